package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/console"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/web"
)

const (
	// drainTime is how long requests that have begun may take after the server was told to stop.
	drainTime = 10 * time.Second

	// gcPercent lets the heap grow to three times what lives. The server keeps little in memory and makes much garbage;
	// collecting it less often leaves requests some more of the processors. GOGC overrides it.
	gcPercent = 200
)

type serveCmd struct {
	Config        `embed:""`
	UpstreamToken string `name:"upstream-token" help:"File with the token of tally satellite create: joins --upstream at the first start." placeholder:"FILE"`
}

// Run serves until the process is told to stop.
func (c serveCmd) Run(ctx context.Context, s *shell) error {
	if c.UpstreamToken != "" && !trust.HasSite(c.keys()) {
		if c.Upstream == "" {
			return usage("give both, or join with `tally sync join`", "--upstream-token is for --upstream")
		}
		if err := c.check(); err != nil {
			return err
		}
		text, err := s.read("token", c.UpstreamToken, 4096)
		if err != nil {
			return err
		}
		if _, err := joinNow(ctx, c.Config, string(text), c.logger(s.stderr)); err != nil {
			return err
		}
	}
	return serve(ctx, c.Config, s.stdout, c.logger(s.stderr))
}

// serve runs a server until ctx ends, and then lets what has begun come to its end. When it is ready it writes one line to
// stdout: "listening on URL". It is the whole wiring: top to bottom to start, and back to stop.
func serve(ctx context.Context, c Config, stdout io.Writer, log *slog.Logger) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	now := clock()
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	unlock, err := lockDatabase(c.database())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	desk, err := openDesk(ctx, c, now, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.store.Close()) }()

	engine := conference.New(conference.Options{
		Store: desk.store, Now: now, Log: log, Version: version, Keys: desk.Keys(),
		Transport: func(string) agent.Transport { return inProcess{desk.Authority} },
	})
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("ask for the host name: %w", err)
	}
	room := satellite.New(satellite.Options{
		Authority: desk.Authority, Now: now, Log: log, Hosts: serverNames(c.Name, host), Machine: machineName(c.Name, host), Version: version,
	})
	if err := room.KeysInForce(ctx); err != nil {
		return err
	}
	up, err := c.upstream(desk, room, now, log)
	if err != nil {
		return err
	}
	pages := console.Options{Authority: desk.Authority, Conference: engine, Satellite: room, Now: now, Log: log, Version: version}
	options := web.Options{
		Authority: desk.Authority, Conference: engine, Satellite: room, Log: log, Now: now, PublicURL: c.PublicURL, Version: version, Upstream: c.Upstream,
	}
	if up != nil {
		options.SyncNow, pages.SyncNow = up.exchange, up.exchange
	}
	options.Console = console.New(pages)
	faces := web.New(options)

	listener, err := c.listen(ctx, desk.Keys(), now)
	if err != nil {
		return err
	}
	closeMetrics, handler, err := c.measure(ctx, faces)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer closeMetrics()

	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	engineDone := make(chan error, 1)
	go func() { engineDone <- engine.Run(engineCtx) }() // ends with stopEngine
	defer func() {
		stopEngine()
		if e := <-engineDone; e != nil {
			err = errors.Join(err, fmt.Errorf("stop the conference engine: %w", e))
		}
	}()

	keysDone := make(chan struct{})
	go func() { defer close(keysDone); followKeys(engineCtx, desk.Keys(), room.KeysInForce, log) }() // ends with stopEngine
	defer func() { stopEngine(); <-keysDone }()

	if up != nil {
		upDone := make(chan struct{})
		go func() { defer close(upDone); up.run(engineCtx) }() // ends with stopEngine
		defer func() { stopEngine(); <-upDone }()
	}

	server := &http.Server{
		Handler: handler, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 5 * time.Minute, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 16 << 10,
		ConnState: newConnections(log).state,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }() // ends with Shutdown
	address := c.address(listener.Addr().String())
	log.Info("serving", "url", address, "root", desk.Keys().Fingerprint().String(), "database", desk.store.Dialect(), "version", version)
	fmt.Fprintf(stdout, "listening on %s\n", address)

	select {
	case err = <-served:
		return fmt.Errorf("serve: %w", err)
	case <-desk.store.Failed():
		err = license.Refuse(license.KindUnavailable, "database-failed", "look at the disk and start the server again; what was acknowledged is kept",
			"the database could not write and is in an unknown state")
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if e := server.Shutdown(drain); e != nil {
		log.Warn("requests were cut off", "error", e)
		_ = server.Close() // closes what Shutdown left open
	}
	return err
}

// upstream is a satellite's way to its authority over the network, nil where there is none.
func (c Config) upstream(d *desk, room *satellite.Sync, now func() time.Time, log *slog.Logger) (*upstream, error) {
	if c.Upstream == "" {
		return nil, nil
	}
	if !room.IsSatellite() {
		return nil, license.Refuse(license.KindRefused, "not-joined", "join first: `tally sync join TOKENFILE --upstream URL`, or start with --upstream-token FILE",
			"--upstream is for a satellite, and this server has joined no authority")
	}
	return &upstream{sync: room, link: newUplink(c.Upstream, d.Keys().Fingerprint(), now), every: c.every(), now: now, log: log}, nil
}

// listen opens the listener: plain on loopback, otherwise TLS 1.3 with the own certificate or the operator's.
func (c Config) listen(ctx context.Context, keys *trust.Keys, now func() time.Time) (net.Listener, error) {
	var certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	switch {
	case c.Plaintext:
	case c.TLSCert != "":
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("read the server certificate: %w", err)
		}
		certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
	default:
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("ask for the host name: %w", err)
		}
		own := &serverCertificate{keys: keys, names: serverNames(c.Name, host), now: now}
		if _, err := own.get(nil); err != nil {
			return nil, err
		}
		certificate = own.get
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, cannotListen("--listen", c.Listen, err)
	}
	if c.Plaintext {
		return listener, nil
	}
	return tls.NewListener(listener, &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: certificate, NextProtos: []string{"h2", "http/1.1"},
	}), nil
}

// cannotListen words why the address of a flag cannot be listened on.
func cannotListen(flag, address string, err error) error {
	message, hint := "", ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		message, hint = "another program listens on %s already", "stop it, or choose another address with "+flag
	case errors.Is(err, syscall.EACCES):
		message, hint = "this user may not listen on %s", "choose a port above 1023 with "+flag
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		message, hint = "this host does not have the address %s", "choose another address with "+flag
	default:
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	return &license.Error{Kind: license.KindUnavailable, Code: "address", Message: fmt.Sprintf(message, address), Hint: hint, Err: err}
}

// inProcess carries the envelopes of the conference engine to the authority beside it.
type inProcess struct{ desk *authority.Authority }

// Exchange implements agent.Transport.
func (t inProcess) Exchange(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	answer, err := t.desk.Machine(ctx, verb, envelope)
	if len(answer) > 0 {
		return answer, nil // signed; a refusal says so itself
	}
	if e := license.AsError(err); e != nil && e.Kind != license.KindBusy && e.Kind != license.KindUnavailable {
		return nil, e
	}
	return nil, &agent.Unreachable{Err: err}
}
