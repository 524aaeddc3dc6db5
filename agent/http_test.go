package agent

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

func TestHTTPTransportJudges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, kind, retry, body string
		status                  int
		want                    string // of the answer
		code                    string // of a refusal
		away                    bool
		after                   time.Duration
	}{
		{name: "answer", status: 200, kind: "application/jose", body: "a.b.c", want: "a.b.c"},
		{name: "signed no", status: 403, kind: "application/jose", body: "a.b.c", want: "a.b.c"},
		{name: "problem", status: 400, kind: "application/problem+json", body: `{"code":"malformed","detail":"no","hint":"h"}`, code: "malformed"},
		{name: "busy", status: 429, retry: "7", away: true, after: 7 * time.Second},
		{name: "unavailable", status: 503, kind: "application/problem+json", body: `{"code":"x","detail":"y"}`, retry: start.Add(time.Minute).Format(http.TimeFormat), away: true, after: time.Minute},
		{name: "bad gateway", status: 502, retry: "-3", away: true},
		{name: "wait of a year", status: 504, retry: "31536000", away: true, after: 24 * time.Hour},
		{name: "internal error", status: 500, body: "oops"},
		{name: "redirect", status: 302, body: "elsewhere"},
		{name: "too long", status: 200, body: strings.Repeat("x", 64<<10+1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != http.MethodPost || r.URL.Path != "/machine/v1/authorize" || r.Header.Get("Content-Type") != "application/jose" || string(body) != "x.y.z" {
					t.Errorf("request is %s %s %q", r.Method, r.URL, body)
				}
				w.Header().Set("Content-Type", c.kind)
				w.Header().Set("Retry-After", c.retry)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer s.Close()
			got, err := HTTPTransport(s.URL+"/", [32]byte{}, func() time.Time { return start }).Exchange(t.Context(), "authorize", []byte("x.y.z"))
			away, isAway := errors.AsType[*Unreachable](err)
			switch {
			case string(got) != c.want, (err == nil) != (c.want != ""), isAway != c.away:
				t.Errorf("got %q, %v", got, err)
			case isAway && away.RetryAfter != c.after:
				t.Errorf("retry after %s, want %s", away.RetryAfter, c.after)
			}
			if c.code != "" {
				wantCode(t, err, c.code)
			}
		})
	}
}

func TestHTTPTransportToNobody(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, err := HTTPTransport(s.URL, [32]byte{}, time.Now).Exchange(t.Context(), "authorize", nil)
	if _, ok := errors.AsType[*Unreachable](err); !ok {
		t.Errorf("error is %v, want Unreachable", err)
	}
}

// serveTLS puts a desk behind HTTPS with a certificate from its own root.
func serveTLS(t *testing.T, d *desk) string {
	t.Helper()
	cert, err := d.keys.ServerCertificate([]string{"127.0.0.1"}, start)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		reply, err := d.Exchange(r.Context(), strings.TrimPrefix(r.URL.Path, "/machine/v1/"), body)
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/jose")
		_, _ = w.Write(reply)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestRegisterOverTLS(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t, func() time.Time { return start }), newDesk(t, func() time.Time { return start })
	a, err := New(newMemory(), Options{Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := errors.Join(a.Init(ctx, Product{Name: "Call Bridge", PID: "CMS", Serial: "X1"}), a.SetTransport(ctx, serveTLS(t, d))); err != nil {
		t.Fatal(err)
	}
	err = a.Register(ctx, other.token(), false)
	wantCode(t, err, "other-authority")
	if !strings.Contains(license.AsError(err).Message, other.keys.Fingerprint().String()) {
		t.Errorf("%v does not name the authority of the token", err)
	}
	if len(d.seen) != 0 {
		t.Error("the token was sent to another authority")
	}
	if err := a.Register(ctx, d.token(), false); err != nil {
		t.Fatal(err)
	}
	// From now on the root of the registration counts: another server at the address gets nothing.
	if err := a.SetTransport(ctx, serveTLS(t, other)); err != nil {
		t.Fatal(err)
	}
	_, err = a.Report(ctx)
	wantCode(t, err, "server-certificate")
	if s, err := a.Status(ctx); err != nil || s.Registration.Status != Registered {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestStateHoldsNoToken(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	token := p.desk.token()
	p.desk.lose = 1
	_ = p.Register(t.Context(), token, false)
	if !bytes.Contains(p.keep.raw, []byte(token)) {
		t.Error("without the token nobody can go on trying")
	}
	p.must(p.CancelRegistration(t.Context()))
	wantCode(t, p.CancelRegistration(t.Context()), "not-registering")
	if bytes.Contains(p.keep.raw, []byte(token)) {
		t.Error("the token of a canceled registration is kept")
	}
	p.must(p.Register(t.Context(), token, false))
	if bytes.Contains(p.keep.raw, []byte(token)) {
		t.Error("the token is kept")
	}
	if _, err := trust.ParseToken(token); err != nil {
		t.Fatal(err)
	}
}
