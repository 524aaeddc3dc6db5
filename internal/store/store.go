// Package store keeps everything that Tallystick remembers, on SQLite or on PostgreSQL, and is the only place where SQL
// stands. It knows transactions, statements and migrations; it knows no rule of licensing.
//
// A verb runs in one closure: Update to write, View to read. On SQLite one writer takes the closures that have gathered
// while the last COMMIT ran and commits them together; on PostgreSQL each closure is a transaction of its own.
//
// Invariants:
//   - An Update that returned nil is on the disk; one that returned an error other than ErrUnknownOutcome left nothing.
//   - A closure may run twice, or run and be undone: it changes nothing but the database.
//   - After a statement failed, its transaction takes no further statement and is rolled back.
//   - A closure sees one instant, Tx.Now; SQL never asks the time.
//   - A View sees one snapshot and cannot write.
//   - An error on COMMIT is an unknown outcome. On SQLite the store then takes no more work (see Failed): the file is
//     read again only by a process that starts anew.
package store

//go:generate sqlc generate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// MaxWaiting is how many Updates may be queued or running at once; one more is refused with ErrBusy.
const MaxWaiting = 4096

// The two dialects, as Dialect names them.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// Options say which database to open and how.
type Options struct {
	// URL is the path of an SQLite file, plain or as file:PATH, or a postgres:// address. The file is made when missing,
	// readable by its owner only; its directory must exist.
	URL string
	// Connections is the size of the PostgreSQL pool; 0 means 16. SQLite does not use it.
	Connections int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger receives what nobody can be told by an error; nil means slog.Default.
	Logger *slog.Logger
}

// engine is a database that runs closures.
type engine interface {
	update(ctx context.Context, name string, fn func(*Tx) error) error
	view(ctx context.Context, fn func(*Tx) error) error
	close() error
}

// Store is an open database. Its methods may be called concurrently.
type Store struct {
	engine  engine
	dialect string
	now     func() time.Time
	log     *slog.Logger
	failed  chan struct{} // closed by the writer of SQLite, once

	mu      sync.Mutex // guards closed and waiting
	closed  bool
	waiting int
	active  sync.WaitGroup // Updates and Views; grows under mu only while not closed
}

// Open opens the database that o names, brings its schema up to date, and starts the writer and the checkpointer on
// SQLite, which Close ends. Several processes may open one database at the same time.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{now: o.Now, log: o.Logger, failed: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	var err error
	switch scheme, _, _ := strings.Cut(o.URL, "://"); {
	case o.URL == "":
		return nil, errors.New("open database: no path and no address given")
	case scheme == "postgres" || scheme == "postgresql":
		s.dialect = Postgres
		s.engine, err = openPostgres(ctx, s, o)
	default:
		s.dialect = SQLite
		s.engine, err = openSQLite(ctx, s, strings.TrimPrefix(o.URL, "file:"))
	}
	if err != nil {
		return nil, fmt.Errorf("open %s database: %w", s.dialect, err)
	}
	return s, nil
}

// Update runs fn in a writing transaction and returns after its COMMIT is durable. The error of fn is returned as it is,
// and nothing of fn remains. fn may run more than once and must not keep tx, start goroutines that use it, or call
// Update. Name says what is done, for errors and the log.
//
// Other errors: ErrBusy, ErrClosed, ErrUnknownOutcome, and the context's when it ended before the turn of fn.
func (s *Store) Update(ctx context.Context, name string, fn func(*Tx) error) error {
	if err := s.enter(1); err != nil {
		return err
	}
	defer s.leave(1)
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.engine.update(ctx, name, fn)
}

// View runs fn in a transaction that only reads, on one snapshot of the database. A statement that writes fails. fn must
// not keep tx. Errors are those of fn, of the context, and ErrClosed.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	if err := s.enter(0); err != nil {
		return err
	}
	defer s.leave(0)
	return s.engine.view(ctx, fn)
}

// Close lets the transactions that have begun or wait come to their end, refuses new ones with ErrClosed, and closes the
// database. Calling it again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.active.Wait()
	return s.engine.close()
}

// Failed is closed when SQLite may have lost or kept a transaction that it reported as failed: stop the process, start it
// again, and answer by exchange numbers. On PostgreSQL it never closes.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Dialect is SQLite or Postgres.
func (s *Store) Dialect() string { return s.dialect }

func (s *Store) enter(updates int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.waiting+updates > MaxWaiting {
		return ErrBusy
	}
	s.waiting += updates
	s.active.Add(1)
	return nil
}

func (s *Store) leave(updates int) {
	s.mu.Lock()
	s.waiting -= updates
	s.mu.Unlock()
	s.active.Done()
}

// call runs fn and makes an error of a panic, so that one closure cannot end the others of its batch.
func (s *Store) call(name string, tx *Tx, fn func(*Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a transaction", "transaction", name, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: panic: %v", name, p)
		}
	}()
	return fn(tx)
}
