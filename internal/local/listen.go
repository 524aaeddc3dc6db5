package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

// The files that a loopback listener keeps in the state folder while it runs; both can be read by their owner only.
const (
	FileToken   = "local-token"
	FileAddress = "local-address"
)

// maxRequests bounds the requests that are worked on at the same time.
const maxRequests = 32

// Listen opens the listener of a daemon: unix:PATH, which only the owner of the process can connect to, or a loopback address
// with its port. Anything else is refused: what is served holds the right to give licenses up.
func Listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(path)
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, license.Refuse(license.KindInvalid, "bad-listen", "use unix:PATH, or a loopback address such as 127.0.0.1:4711",
			"%.200q is no address of this host alone", address)
	}
	if host == "localhost" {
		address = net.JoinHostPort("127.0.0.1", address[len("localhost:"):])
	}
	l, err := net.Listen("tcp", address) //nolint:noctx // opening a listener does not wait
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// listenUnix opens a socket of mode 0600. What a daemon that died left behind is removed, one that answers is not.
func listenUnix(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil { //nolint:noctx // has its own limit
		_ = conn.Close()
		return nil, license.Refuse(license.KindConflict, "already-serving", "stop the other one first, or use another path", "another daemon serves %s", path)
	} else if info, statErr := os.Lstat(path); statErr == nil && info.Mode()&os.ModeSocket != 0 && errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	// The mode must be right from the first moment, so that nobody connects before it is.
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path) //nolint:noctx // opening a listener does not wait
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// Serve serves the host until ctx ends. On a loopback address it makes the token of this run, writes it and the address
// into dir, and removes both at the end. It calls ready when callers may come.
func (f *Face) Serve(ctx context.Context, l net.Listener, dir string, ready func()) error {
	handler := http.Handler(f.mux)
	if l.Addr().Network() != "unix" {
		token := newSecret()
		files := map[string]string{FileToken: token + "\n", FileAddress: "http://" + l.Addr().String() + "\n"}
		for name, text := range files {
			if err := trust.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				return errors.Join(fmt.Errorf("write %s: %w", name, err), l.Close())
			}
		}
		defer func() {
			// Another daemon may have written its own since; only what is ours is removed.
			if text, err := os.ReadFile(filepath.Join(dir, FileToken)); err == nil && string(text) == files[FileToken] {
				for name := range files {
					_ = os.Remove(filepath.Join(dir, name))
				}
			}
		}()
		g := newGuard(l.Addr(), token, f.Now)
		handler = g.protect(f.withPage(g, l.Addr().String()), public)
	}
	server := &http.Server{
		Handler: bounded(headers(handler)), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 3 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }() // ends with the server
	ready()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the host: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the host: %w", err)
	}
	return nil
}

// bounded answers 503 at once when too many requests are worked on.
func bounded(next http.Handler) http.Handler {
	room := make(chan struct{}, maxRequests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			writeProblem(w, license.Refuse(license.KindUnavailable, "busy", "send it again", "too many requests at once"))
		}
	})
}

// headers are on every answer: no page of ours loads or runs anything from elsewhere, or stands in a frame.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
