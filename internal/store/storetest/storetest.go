// Package storetest gives tests real databases: a fresh SQLite file, and a fresh database on the PostgreSQL server that
// TALLY_TEST_POSTGRES names. There are no fakes of a database, here or elsewhere, and no test is skipped because the
// server is missing. Not for production code.
package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/tallystick/tallystick/internal/store"
)

// Environment is the variable that holds the address of a PostgreSQL server whose user may create databases.
const Environment = "TALLY_TEST_POSTGRES"

// Start is the instant at which the clocks of Run and Open stand.
func Start() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) }

// Run runs fn as a parallel subtest on each database, empty but for the schema. The clock stands at Start.
func Run(t *testing.T, fn func(t *testing.T, s *store.Store)) {
	t.Helper()
	RunAt(t, Start(), func(t *testing.T, s *store.Store, _ *Clock) { fn(t, s) })
}

// RunAt is Run with a clock of its own for each subtest, which stands at start until the test advances it.
func RunAt(t *testing.T, start time.Time, fn func(t *testing.T, s *store.Store, clock *Clock)) {
	t.Helper()
	Each(t, func(t *testing.T, address string) {
		clock := NewClock(start)
		fn(t, OpenURL(t, address, clock.Now), clock)
	})
}

// Each runs fn as a parallel subtest with the address of each database, not yet opened: for tests that open it twice.
func Each(t *testing.T, fn func(t *testing.T, address string)) {
	t.Helper()
	t.Run(store.SQLite, func(t *testing.T) {
		t.Parallel()
		fn(t, filepath.Join(t.TempDir(), "tally.db"))
	})
	t.Run(store.Postgres, func(t *testing.T) {
		t.Parallel()
		fn(t, PostgresURL(t))
	})
}

// Open opens a fresh SQLite database for packages that do not test SQL. The clock stands at Start.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return OpenURL(t, filepath.Join(t.TempDir(), "tally.db"), NewClock(Start()).Now)
}

// OpenURL opens the database at address and closes it at the end of the test.
func OpenURL(t testing.TB, address string, now func() time.Time) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: address, Now: now})
	if err != nil {
		t.Fatalf("open the test database: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the test database: %v", err)
		}
	})
	return s
}

// PostgresURL makes an empty database and returns its address; it is dropped at the end of the test.
func PostgresURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv(Environment)
	if server == "" {
		t.Fatalf("%s is not set: run `make test`, which starts a PostgreSQL server and names it", Environment)
	}
	address, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s is not an address: %v", Environment, err)
	}
	name := fmt.Sprintf("tally_test_%016x", rand.Uint64()) //nolint:gosec // no secret
	administer(t, server, "CREATE DATABASE "+name+" TEMPLATE template0")
	t.Cleanup(func() { administer(t, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	address.Path = "/" + name
	return address.String()
}

func administer(t testing.TB, server, statement string) {
	t.Helper()
	pool, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatalf("connect to %s: %v", Environment, err)
	}
	defer func() { _ = pool.Close() }()                                          // nothing is lost with it
	if _, err := pool.ExecContext(context.Background(), statement); err != nil { // also after the test's context ended
		t.Fatalf("%s: %v", statement, err)
	}
}

// Clock is a clock that tests move. It may be used concurrently.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// NewClock returns a clock that stands at start.
func NewClock(start time.Time) *Clock { return &Clock{now: start} }

// Now is what the clock shows; pass it where a Now field is asked for.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
