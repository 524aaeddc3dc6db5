package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// openFile opens a fresh SQLite database with a table probe, and returns its engine too.
func openFile(t *testing.T) (*Store, *sqliteDB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tally.db")
	s, err := Open(t.Context(), Options{
		URL: path, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	err = s.Update(t.Context(), "make probe", func(tx *Tx) error {
		_, err := tx.conn.ExecContext(t.Context(), `CREATE TABLE probe (id BIGINT PRIMARY KEY)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, s.engine.(*sqliteDB), path
}

// insertJob is a taken job that inserts id and then returns what last returns.
func insertJob(ctx context.Context, id int, last func(*Tx) error) *job {
	return &job{ctx: ctx, name: "insert", done: make(chan struct{}), fn: func(tx *Tx) error {
		if _, err := tx.conn.ExecContext(ctx, `INSERT INTO probe (id) VALUES ($1)`, id); err != nil {
			return err
		}
		return last(tx)
	}}
}

func probes(t *testing.T, s *Store) (ids []int) {
	t.Helper()
	err := s.View(t.Context(), func(tx *Tx) error {
		rows, err := tx.conn.QueryContext(t.Context(), `SELECT id FROM probe ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestOneClosureOfABatchFailsAlone(t *testing.T) {
	t.Parallel()
	s, d, _ := openFile(t)
	refuse := errors.New("refused")
	ended, cancel := context.WithCancel(t.Context())
	fine := func(*Tx) error { return nil }
	batch := []*job{
		insertJob(t.Context(), 1, fine),
		insertJob(t.Context(), 2, func(*Tx) error { return refuse }),
		insertJob(t.Context(), 3, func(tx *Tx) error {
			_, err := tx.conn.ExecContext(t.Context(), `INSERT INTO probe (id) VALUES (1)`)
			return err
		}),
		insertJob(t.Context(), 4, func(*Tx) error { panic("boom") }),
		insertJob(ended, 5, func(tx *Tx) error {
			cancel()
			_, err := tx.conn.ExecContext(ended, `INSERT INTO probe (id) VALUES (6)`)
			return err
		}),
		insertJob(t.Context(), 7, fine),
	}
	d.writer.commit(batch)
	for i, want := range []func(error) bool{
		func(err error) bool { return err == nil },
		func(err error) bool { return errors.Is(err, refuse) },
		IsDuplicate,
		func(err error) bool { return err != nil },
		func(err error) bool { return errors.Is(err, context.Canceled) },
		func(err error) bool { return err == nil },
	} {
		<-batch[i].done
		if !want(batch[i].err) {
			t.Errorf("job %d: got %v", i, batch[i].err)
		}
	}
	if got := probes(t, s); len(got) != 2 || got[0] != 1 || got[1] != 7 {
		t.Errorf("got rows %v, want [1 7]", got)
	}
}

func TestABatchThatSQLiteUndoesFailsAsAWhole(t *testing.T) {
	t.Parallel()
	s, d, _ := openFile(t)
	batch := []*job{
		insertJob(t.Context(), 1, func(*Tx) error { return nil }),
		insertJob(t.Context(), 2, func(tx *Tx) error { // what a full disk does
			_, err := tx.conn.ExecContext(t.Context(), `INSERT OR ROLLBACK INTO probe (id) VALUES (2)`)
			return err
		}),
		insertJob(t.Context(), 3, func(*Tx) error { return nil }),
	}
	d.writer.commit(batch)
	for i, j := range batch {
		if j.err == nil || errors.Is(j.err, ErrUnknownOutcome) {
			t.Errorf("job %d: got %v, want an error with a known outcome", i, j.err)
		}
	}
	if got := probes(t, s); len(got) != 0 {
		t.Errorf("got rows %v, want none", got)
	}
	if err := s.Update(t.Context(), "next", insertJob(t.Context(), 4, func(*Tx) error { return nil }).fn); err != nil {
		t.Errorf("the next update: %v", err)
	}
}

func TestASkippedJobDoesNotRun(t *testing.T) {
	t.Parallel()
	_, d, _ := openFile(t)
	j := insertJob(t.Context(), 1, func(*Tx) error { return nil })
	j.state.Store(jobSkipped)
	if got := d.writer.gather(j); len(got) != 0 {
		t.Errorf("got a batch of %d, want none", len(got))
	}
}

// A constraint that is checked at COMMIT stands for any COMMIT that fails; the schema has none.
func TestFailedCommitStopsTheStore(t *testing.T) {
	t.Parallel()
	s, _, _ := openFile(t)
	err := s.Update(t.Context(), "make late", func(tx *Tx) error {
		_, err := tx.conn.ExecContext(t.Context(), `CREATE TABLE late (id BIGINT REFERENCES probe (id) DEFERRABLE INITIALLY DEFERRED)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), "late", func(tx *Tx) error {
		_, err := tx.conn.ExecContext(t.Context(), `INSERT INTO late (id) VALUES (7)`)
		return err
	})
	if !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("got %v, want %v", err, ErrUnknownOutcome)
	}
	<-s.Failed()
	if err := s.Update(t.Context(), "next", func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("the next update: got %v, want %v", err, ErrClosed)
	}
}

func TestAClosureThatEndsItsGoroutineLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	s, _, _ := openFile(t)
	err := s.Update(t.Context(), "exit", func(*Tx) error { runtime.Goexit(); return nil })
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
	<-s.Failed()
	if err := s.Update(t.Context(), "next", func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("the next update: got %v, want %v", err, ErrClosed)
	}
}

func TestEveryConnectionHasItsSettings(t *testing.T) {
	t.Parallel()
	s, d, path := openFile(t)
	both := map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000",
		"wal_autocheckpoint": "0", "temp_store": "2",
	}
	check := func(what string, extra map[string]string) func(*Tx) error {
		return func(tx *Tx) error {
			for _, settings := range []map[string]string{both, extra} {
				for name, want := range settings {
					var got string
					if err := tx.conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got); err != nil {
						return err
					}
					if got != want {
						t.Errorf("%s: %s is %s, want %s", what, name, got, want)
					}
				}
			}
			return nil
		}
	}
	if err := s.Update(t.Context(), "ask", check("writer", map[string]string{"query_only": "0", "cache_size": "-32768"})); err != nil {
		t.Error(err)
	}
	if err := s.View(t.Context(), check("reader", map[string]string{"query_only": "1", "cache_size": "-16384"})); err != nil {
		t.Error(err)
	}
	var synchronous int // syncs the database file before the log is forgotten
	if err := d.checkpointer.pool.QueryRow("PRAGMA synchronous").Scan(&synchronous); err != nil || synchronous != 2 {
		t.Errorf("checkpointer: synchronous is %d, error %v, want 2", synchronous, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("the file's mode is %o, want 600", got)
	}
}

func TestALargeLogIsStartedAnew(t *testing.T) {
	t.Parallel()
	_, d, path := openFile(t)
	c, err := newCheckpointer(path, slog.New(slog.DiscardHandler), d.writer) // not run: only this test calls it
	if err != nil {
		t.Fatal(err)
	}
	defer c.pool.Close()
	c.large = 1
	if left, err := c.checkpoint(true); err != nil || left {
		t.Errorf("checkpoint: left %t, error %v", left, err)
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != 0 {
		t.Errorf("the log has %d bytes, want none", info.Size())
	}
}

func TestALongLogIsWrittenFromItsBeginningAgain(t *testing.T) {
	t.Parallel()
	s, d, path := openFile(t)
	c, err := newCheckpointer(path, slog.New(slog.DiscardHandler), d.writer) // not run: only this test calls it
	if err != nil {
		t.Fatal(err)
	}
	defer c.pool.Close()
	c.long = 1
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	write := func(name string) {
		if err := s.Update(t.Context(), "write", func(tx *Tx) error {
			_, err := tx.conn.ExecContext(t.Context(), "CREATE TABLE "+name+" (n BIGINT)")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	before := size()
	if _, err := c.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	write("b")
	if got := size(); got != before {
		t.Errorf("the log has %d bytes, want %d as before", got, before)
	}
}

func TestPreparedStatementsAreBounded(t *testing.T) {
	t.Parallel()
	s, d, _ := openFile(t)
	err := s.Update(t.Context(), "many", func(tx *Tx) error {
		text := "SELECT 1"
		for range maxPrepared + 10 {
			text += " "
			if err := tx.conn.QueryRowContext(t.Context(), text).Scan(new(int)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := len(d.writer.conn.prepared); got > maxPrepared {
		t.Errorf("got %d prepared statements, want at most %d", got, maxPrepared)
	}
}
