package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// makeProbe makes tables of the tests' own.
func makeProbe(t testing.TB, s *store.Store) {
	t.Helper()
	for _, statement := range []string{
		`CREATE TABLE probe (id BIGINT PRIMARY KEY, name TEXT NOT NULL, UNIQUE (name))`,
		`CREATE TABLE probe_child (id BIGINT PRIMARY KEY, probe_id BIGINT NOT NULL REFERENCES probe (id))`,
	} {
		update(t, s, func(tx *store.Tx) error { return exec(tx, statement) })
	}
}

func update(t testing.TB, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), "test", fn); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func exec(tx *store.Tx, statement string, args ...any) error {
	_, err := tx.DB().ExecContext(context.Background(), statement, args...)
	return err
}

func insert(tx *store.Tx, id int) error {
	return exec(tx, `INSERT INTO probe (id, name) VALUES ($1, $2)`, id, fmt.Sprint("n", id))
}

func number(tx *store.Tx, query string, args ...any) (n int64, err error) {
	err = tx.DB().QueryRowContext(context.Background(), query, args...).Scan(&n)
	return n, err
}

// count is the number of probes that a View sees.
func count(t testing.TB, s *store.Store) (n int64) {
	t.Helper()
	err := s.View(context.Background(), func(tx *store.Tx) (err error) {
		n, err = number(tx, `SELECT count(*) FROM probe`)
		return err
	})
	if err != nil {
		t.Fatalf("view: %v", err)
	}
	return n
}

func TestConcurrentUpdatesKeepTheirOwnResults(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *store.Store) {
		makeProbe(t, s)
		refuse := errors.New("refused")
		const n = 300
		var wg sync.WaitGroup
		for id := range n {
			wg.Go(func() {
				err := s.Update(t.Context(), "insert", func(tx *store.Tx) error {
					if err := insert(tx, id); err != nil {
						return err
					}
					switch id % 10 {
					case 0:
						return refuse
					case 1:
						return insert(tx, id) // fails
					}
					return nil
				})
				switch id % 10 {
				case 0:
					if err != refuse { //nolint:errorlint // as it is, says the contract
						t.Errorf("update %d: got %v, want the closure's own error", id, err)
					}
				case 1:
					if !store.IsDuplicate(err) {
						t.Errorf("update %d: got %v, want a duplicate", id, err)
					}
				default:
					if err != nil {
						t.Errorf("update %d: %v", id, err)
					}
				}
			})
		}
		wg.Wait()
		if got := count(t, s); got != n*8/10 {
			t.Errorf("got %d rows, want %d", got, n*8/10)
		}
	})
}

func TestPanicIsTheErrorOfItsCaller(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *store.Store) {
		makeProbe(t, s)
		err := s.Update(t.Context(), "explode", func(tx *store.Tx) error {
			if err := insert(tx, 1); err != nil {
				return err
			}
			panic("boom")
		})
		if err == nil {
			t.Error("got no error from a panic")
		}
		update(t, s, func(tx *store.Tx) error { return insert(tx, 2) })
		if got := count(t, s); got != 1 {
			t.Errorf("got %d rows, want 1", got)
		}
	})
}

func TestATransactionDoesNotGoOnAfterAFailedStatement(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *store.Store) {
		makeProbe(t, s)
		err := s.Update(t.Context(), "go on", func(tx *store.Tx) error {
			if err := insert(tx, 1); err != nil {
				return err
			}
			if err := insert(tx, 1); err == nil {
				t.Error("a duplicate was taken")
			}
			if err := insert(tx, 2); err == nil {
				t.Error("a statement ran after one had failed")
			}
			if _, err := number(tx, `SELECT count(*) FROM probe`); err == nil {
				t.Error("a query ran after a statement had failed")
			}
			return nil
		})
		if err == nil {
			t.Error("a transaction with a failed statement was committed")
		}
		if got := count(t, s); got != 0 {
			t.Errorf("got %d rows, want none", got)
		}
	})
}

func TestConstraintsAreRecognized(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *store.Store) {
		makeProbe(t, s)
		update(t, s, func(tx *store.Tx) error { return insert(tx, 1) })
		for _, test := range []struct {
			name, statement       string
			duplicate, foreignKey bool
		}{
			{"primary key", `INSERT INTO probe (id, name) VALUES (1, 'other')`, true, false},
			{"unique index", `INSERT INTO probe (id, name) VALUES (2, 'n1')`, true, false},
			{"foreign key", `INSERT INTO probe_child (id, probe_id) VALUES (1, 99)`, false, true},
			{"not null", `INSERT INTO probe (id, name) VALUES (3, NULL)`, false, false},
		} {
			err := s.Update(t.Context(), test.name, func(tx *store.Tx) error { return exec(tx, test.statement) })
			if err == nil || store.IsDuplicate(err) != test.duplicate || store.IsForeignKey(err) != test.foreignKey {
				t.Errorf("%s: got %v, duplicate %t, foreign key %t", test.name, err, store.IsDuplicate(err), store.IsForeignKey(err))
			}
		}
	})
}

func TestViewSeesOneSnapshot(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *store.Store) {
		makeProbe(t, s)
		err := s.View(t.Context(), func(tx *store.Tx) error {
			before, err := number(tx, `SELECT count(*) FROM probe`)
			if err != nil {
				return err
			}
			update(t, s, func(tx *store.Tx) error { return insert(tx, 1) })
			after, err := number(tx, `SELECT count(*) FROM probe`)
			if before != after {
				t.Errorf("got %d rows, then %d", before, after)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := count(t, s); got != 1 {
			t.Errorf("a new View sees %d rows, want 1", got)
		}
	})
}

func TestViewCannotWrite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *store.Store) {
		makeProbe(t, s)
		if err := s.View(t.Context(), func(tx *store.Tx) error { return insert(tx, 1) }); err == nil {
			t.Error("a View wrote")
		}
		if got := count(t, s); got != 0 {
			t.Errorf("got %d rows, want none", got)
		}
	})
}

func TestNowIsOneInstantInMilliseconds(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 2, 9, 0, 0, 123_456_789, time.FixedZone("west", -3600))
	storetest.RunAt(t, start, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		update(t, s, func(tx *store.Tx) error {
			want := time.Date(2026, 3, 2, 10, 0, 0, 123_000_000, time.UTC)
			clock.Advance(time.Hour)
			if got := tx.Now(); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
			tx.SetNow(want.Add(time.Minute))
			if got := tx.Now(); got != want.Add(time.Minute) {
				t.Errorf("after SetNow: got %v", got)
			}
			return nil
		})
	})
}

func TestZeroTimeIsZeroMilliseconds(t *testing.T) {
	t.Parallel()
	if got := store.Ms(time.Time{}); got != 0 {
		t.Errorf("Ms of the zero time: got %d", got)
	}
	if got := store.At(0); !got.IsZero() {
		t.Errorf("At(0): got %v", got)
	}
	if got := store.Ms(store.At(1_772_442_000_123)); got != 1_772_442_000_123 {
		t.Errorf("Ms of At: got %d", got)
	}
}

func TestRestartKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, address string) {
		clock := storetest.NewClock(storetest.Start())
		s, err := store.Open(t.Context(), store.Options{URL: address, Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		makeProbe(t, s)
		update(t, s, func(tx *store.Tx) error { return insert(tx, 1) })
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := count(t, storetest.OpenURL(t, address, clock.Now)); got != 1 { // migrates again, which changes nothing
			t.Errorf("got %d rows, want 1", got)
		}
	})
}

func TestSeveralStoresOpenOneDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, address string) {
		clock := storetest.NewClock(storetest.Start())
		stores := make([]*store.Store, 3)
		var wg sync.WaitGroup
		for i := range stores {
			wg.Go(func() {
				var err error
				stores[i], err = store.Open(t.Context(), store.Options{URL: address, Now: clock.Now})
				if err != nil {
					t.Errorf("store %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		makeProbe(t, stores[0])
		for i, s := range stores {
			update(t, s, func(tx *store.Tx) error { return insert(tx, i) })
		}
		for i, s := range stores {
			if got := count(t, s); got != int64(len(stores)) {
				t.Errorf("store %d sees %d rows, want %d", i, got, len(stores))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAnEndedContextBeginsNothing(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ran := func(*store.Tx) error { t.Error("the closure ran"); return nil }
		if err := s.Update(ctx, "late", ran); !errors.Is(err, context.Canceled) {
			t.Errorf("update: got %v", err)
		}
	})
}

func TestAContextThatEndsInAClosureUndoesIt(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *store.Store) {
		makeProbe(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := s.Update(ctx, "canceled", func(tx *store.Tx) error {
			if err := insert(tx, 1); err != nil {
				return err
			}
			cancel()
			_, err := tx.DB().ExecContext(ctx, `INSERT INTO probe (id, name) VALUES (2, 'n2')`)
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if got := count(t, s); got != 0 {
			t.Errorf("got %d rows, want none", got)
		}
	})
}

func TestOverloadIsRefusedAtOnceAndCloseDrains(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, s *store.Store) {
		release := make(chan struct{})
		results := make(chan error, store.MaxWaiting+1)
		for range store.MaxWaiting + 1 {
			go func() {
				results <- s.Update(context.Background(), "wait", func(*store.Tx) error { <-release; return nil })
			}()
		}
		if err := <-results; !errors.Is(err, store.ErrBusy) {
			t.Errorf("the one too many: got %v, want %v", err, store.ErrBusy)
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		close(release)
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
		for range store.MaxWaiting {
			if err := <-results; err != nil {
				t.Fatalf("an Update that waited when the store was closed: %v", err)
			}
		}
		if err := s.Update(t.Context(), "late", func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
			t.Errorf("update after Close: got %v", err)
		}
		if err := s.View(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
			t.Errorf("view after Close: got %v", err)
		}
	})
}
