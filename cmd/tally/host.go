package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/trust"
)

// desk is an opened authority with the store below it.
type desk struct {
	*authority.Authority
	store *store.Store
}

// openDesk opens keys and database as they are configured and makes what is missing. Any number of processes may do so at
// the same time. The caller closes the store.
func openDesk(ctx context.Context, c Config, now func() time.Time, log *slog.Logger) (*desk, error) {
	catalog, err := c.catalog()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	keys, err := trust.OpenKeys(c.keys(), now())
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Options{URL: c.database(), Now: now, Logger: log})
	if err != nil {
		return nil, cannotOpen(err)
	}
	a := authority.New(authority.Options{Store: db, Keys: keys, Catalog: catalog, Log: log, Now: now})
	return &desk{a, db}, nil
}

// cannotOpen words why a database does not answer; what else is wrong with one is told as it is.
func cannotOpen(err error) error {
	refuse := func(code, message string, args ...any) error {
		e := license.Refuse(license.KindUnavailable, code, "check --db, the network, and that PostgreSQL runs and lets this host in", message, args...)
		e.Err = err
		return e
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return refuse("database-unreachable", "the host %q of the database is not known", e.Name)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		cause := e.Err
		if plain, ok := errors.AsType[syscall.Errno](cause); ok {
			cause = plain
		}
		return refuse("database-unreachable", "PostgreSQL does not answer at %v: %v", e.Addr, cause)
	}
	if e, ok := errors.AsType[sqlError](err); ok && (strings.HasPrefix(e.SQLState(), "28") || strings.HasPrefix(e.SQLState(), "3D")) {
		return refuse("database-refused", "PostgreSQL refuses the connection: %v", e)
	}
	return fmt.Errorf("open the database: %w", err)
}

// sqlError is what PostgreSQL answers. Class 28 of its states is a wrong user or password, 3D an unknown database.
type sqlError interface {
	error
	SQLState() string
}

// onHost runs a verb of somebody who holds the database and the key files, beside a running server or without one.
func onHost(ctx context.Context, c Config, log *slog.Logger, verb func(*authority.Authority) (trust.Secret, error)) (_ trust.Secret, err error) {
	d, err := openDesk(ctx, c, clock(), log)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.store.Close()) }()
	return verb(d.Authority)
}

type bootstrapCmd struct {
	Config `embed:""`
	Again  bool `help:"Make one more key, because the first is lost." env:"-"`
}

// Run makes an administrator's key and prints it, once.
func (b bootstrapCmd) Run(ctx context.Context, s *shell) error {
	key, err := bootstrap(ctx, b.Config, b.logger(s.stderr), b.Again)
	if err != nil {
		return err
	}
	doc := struct {
		APIKey string `json:"apiKey"`
	}{key}
	return s.print(doc, func(w io.Writer) {
		fmt.Fprintln(w, key)
		fmt.Fprintln(s.stderr, "This key is shown once. Keep it, and set it as TALLY_KEY.")
	})
}

func bootstrap(ctx context.Context, c Config, log *slog.Logger, again bool) (string, error) {
	key, err := onHost(ctx, c, log, func(a *authority.Authority) (trust.Secret, error) { return a.Bootstrap(ctx, again) })
	return key.Reveal(), err
}

type signinCmd struct {
	Config `embed:""`
}

// Run prints a one-time link for the console.
func (c signinCmd) Run(ctx context.Context, s *shell) error {
	link, err := signInLink(ctx, c.Config, c.logger(s.stderr), cmp.Or(c.PublicURL, s.URL, c.address(c.Listen)))
	if err != nil {
		return err
	}
	doc := struct {
		URL string `json:"url"`
	}{link}
	return s.print(doc, func(w io.Writer) {
		fmt.Fprintln(w, link)
		fmt.Fprintln(s.stderr, "The link works once, within 10 minutes.")
	})
}

func signInLink(ctx context.Context, c Config, log *slog.Logger, at string) (string, error) {
	code, err := onHost(ctx, c, log, func(a *authority.Authority) (trust.Secret, error) { return a.SignInCode(ctx) })
	return strings.TrimRight(at, "/") + "/signin?code=" + code.Reveal(), err
}
