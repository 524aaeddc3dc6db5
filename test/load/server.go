package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/web"
	"github.com/tallystick/tallystick/internal/wire"
)

// description is what the server process tells the driver on its first line.
type description struct {
	Address  string `json:"address"`
	Account  string `json:"account"`
	Token    string `json:"token"`
	Receiver string `json:"receiver"` // path
	RootPEM  string `json:"rootPEM"`
	Dialect  string `json:"dialect"`
}

var operator = access.Person{ID: "load", Role: access.Administrator, Account: access.Site}

// serveBench runs the real handlers of the product and, beside them, the baseline handlers, over TLS on a free loopback port.
func serveBench(ctx context.Context, db, profile string, out io.Writer) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	debug.SetGCPercent(200) // as `tally serve` does
	dir, err := os.MkdirTemp("", "tally-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if db == "" {
		db = filepath.Join(dir, "load.db")
	}
	st, err := store.Open(ctx, store.Options{URL: db})
	if err != nil {
		return err
	}
	defer st.Close()
	keys, err := trust.OpenKeys(dir, time.Now())
	if err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	desk := authority.New(authority.Options{Store: st, Keys: keys, Catalog: license.DefaultCatalog(), Now: time.Now, Log: quiet})
	engine := conference.New(conference.Options{Store: st, Now: time.Now, Log: quiet, Version: "load", Transport: func(string) agent.Transport { return inProcess{desk} }})
	go engine.Run(ctx) //nolint:errcheck // ends with ctx
	d, err := seed(ctx, desk, engine, keys, st)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", web.New(web.Options{Authority: desk, Conference: engine, Console: http.NotFoundHandler(), Log: quiet, Now: time.Now}))
	if err := baseline(ctx, mux, desk, engine, st, d.Account); err != nil {
		return err
	}
	cert, err := keys.ServerCertificate([]string{"127.0.0.1"}, time.Now())
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.Address = listener.Addr().String()
	if err := json.NewEncoder(out).Encode(d); err != nil {
		return err
	}
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}},
	}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// inProcess carries the engine's own envelopes to the desk.
type inProcess struct{ desk *authority.Authority }

func (p inProcess) Exchange(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	answer, err := p.desk.Machine(ctx, verb, envelope)
	if answer != nil {
		return answer, nil
	}
	return nil, err
}

// seed makes an account with licenses, a token without a limit, and a call-bridge receiver.
func seed(ctx context.Context, desk *authority.Authority, engine *conference.Engine, keys *trust.Keys, st *store.Store) (description, error) {
	d := description{RootPEM: string(keys.RootPEM()), Dialect: st.Dialect()}
	a, err := desk.CreateAccount(ctx, operator, trust.NewID("load", time.Now()))
	if err != nil {
		return d, err
	}
	d.Account = a.ID
	order := license.Order{Number: "SO-LOAD", Account: a.Name, Lines: []license.OrderLine{
		{Tag: "cms-smp-plus", Quantity: 1000}, {Tag: "exp-rms", Quantity: 100_000}, {Tag: "ucm-enhanced-plus", Quantity: 100_000},
	}}
	if _, err := desk.ImportOrder(ctx, operator, "", order); err != nil {
		return d, err
	}
	_, text, err := desk.CreateToken(ctx, operator, a.ID, authority.NewToken{})
	if err != nil {
		return d, err
	}
	d.Token = text.Reveal()
	if err := engine.Enable(ctx, operator.ID, a.ID, a.DefaultVA, d.Token); err != nil {
		return d, err
	}
	_, receiver, err := engine.AddBridge(ctx, operator.ID, a.ID, "load", nil)
	d.Receiver = "/cdr/" + receiver.Reveal()
	return d, err
}

// baseline adds the handlers that everything is compared with: read the body, append 160 bytes durably through the same
// writer as everything else, answer a fixed JSON document. /baseline/verified also verifies the ES256 signature of the same
// envelope with the product's public key; keys are read before the measurement. settlePath asks for a meeting, which brings all
// meetings up to date first.
func baseline(ctx context.Context, mux *http.ServeMux, desk *authority.Authority, engine *conference.Engine, st *store.Store, account string) error {
	if err := st.Update(ctx, "baseline table", func(tx *store.Tx) error {
		_, err := tx.DB().ExecContext(ctx, `CREATE TABLE IF NOT EXISTS load_append (account_id TEXT NOT NULL, n BIGINT NOT NULL, body BYTEA NOT NULL, PRIMARY KEY (account_id, n))`)
		return err
	}); err != nil {
		return err
	}
	var n atomic.Int64
	line := make([]byte, 160)
	handle := func(verify func([]byte) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body := make([]byte, r.ContentLength)
			if _, err := io.ReadFull(r.Body, body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if err := verify(body); err != nil {
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
			id := n.Add(1)
			if err := st.Update(r.Context(), "append", func(tx *store.Tx) error {
				_, err := tx.DB().ExecContext(r.Context(), `INSERT INTO load_append (account_id, n, body) VALUES ($1, $2, $3)`, account, id, line)
				return err
			}); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"status":"ok","stored":true}`)
		}
	}
	known := &publicKeys{desk: desk, st: st}
	mux.HandleFunc("POST "+settlePath, func(w http.ResponseWriter, r *http.Request) {
		if _, _, err := engine.Meetings(r.Context(), account, conference.Filter{}, "", 1); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
		w.Header().Set("Content-Length", "0")
	})
	mux.Handle("POST /baseline/append", handle(func([]byte) error { return nil }))
	mux.Handle("POST /baseline/verified", handle(known.verify))
	return nil
}

// publicKeys verifies envelopes like the machine gate does, with keys that were read once.
type publicKeys struct {
	desk *authority.Authority
	st   *store.Store
	keys atomic.Pointer[map[string]*ecdsa.PublicKey]
}

func (p *publicKeys) verify(envelope []byte) error {
	h, err := trust.Peek(envelope)
	if err != nil {
		return err
	}
	keys := p.keys.Load()
	if keys == nil || (*keys)[h.KeyID] == nil {
		if keys, err = p.read(h.KeyID); err != nil {
			return err
		}
	}
	_, err = trust.OpenProduct(envelope, wire.KindAuthorize, wire.Audience, (*keys)[h.KeyID])
	return err
}

func (p *publicKeys) read(keyID string) (*map[string]*ecdsa.PublicKey, error) {
	account, _, _ := strings.Cut(keyID, "/")
	keys := map[string]*ecdsa.PublicKey{}
	err := p.st.View(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.DB().QueryContext(context.Background(), `SELECT instance_id, public_key FROM instance WHERE account_id = $1`, account)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			var der []byte
			if err := rows.Scan(&id, &der); err != nil {
				return err
			}
			if keys[account+"/"+id], err = trust.ParsePublicKey(der); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	p.keys.Store(&keys)
	return &keys, err
}

// process is the server as the driver sees it.
type process struct {
	description
	cmd *exec.Cmd
}

// startServer starts this program again as the server and waits for its first line.
func startServer(ctx context.Context, db, profile string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self, "-serve", "-db", db, "-profile", profile)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the server said nothing: %w", err)
	}
	if err := json.Unmarshal(line, &p.description); err != nil {
		return nil, fmt.Errorf("the server's first line: %w", err)
	}
	if host, _, _ := net.SplitHostPort(p.Address); host != "127.0.0.1" {
		return nil, fmt.Errorf("%s is no loopback address", p.Address)
	}
	return p, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// cpu is the processor time that the server has used so far.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	var user, system int64
	_, _ = fmt.Sscan(f[11], &user)
	_, _ = fmt.Sscan(f[12], &system)
	const ticks = 100 // clock ticks a second on Linux
	return time.Duration(user+system) * time.Second / ticks
}
