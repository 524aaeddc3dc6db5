package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

func openPostgres(t testing.TB) *store.Store {
	t.Helper()
	return storetest.OpenURL(t, storetest.PostgresURL(t), storetest.NewClock(storetest.Start()).Now)
}

func TestPostgresRunsTheVictimOfADeadlockAgain(t *testing.T) {
	t.Parallel()
	s := openPostgres(t)
	makeProbe(t, s)
	update(t, s, func(tx *store.Tx) error { return errors.Join(insert(tx, 0), insert(tx, 1)) })
	var runs atomic.Int64
	var wg, bothHoldOne sync.WaitGroup
	bothHoldOne.Add(2)
	for me := range 2 {
		first := true
		wg.Go(func() {
			err := s.Update(t.Context(), "cross", func(tx *store.Tx) error {
				runs.Add(1)
				const lock = `UPDATE probe SET name = name || 'x' WHERE id = $1`
				if err := exec(tx, lock, me); err != nil {
					return err
				}
				if first {
					first = false
					bothHoldOne.Done()
					bothHoldOne.Wait()
				}
				return exec(tx, lock, 1-me)
			})
			if err != nil {
				t.Errorf("update %d: %v", me, err)
			}
		})
	}
	wg.Wait()
	if got := runs.Load(); got != 3 {
		t.Errorf("the closures ran %d times, want 3", got)
	}
	err := s.View(t.Context(), func(tx *store.Tx) error {
		got, err := number(tx, `SELECT count(*) FROM probe WHERE name IN ('n0xx', 'n1xx')`)
		if got != 2 {
			t.Errorf("got %d rows changed exactly twice, want 2", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPostgresGivesUpAfterFiveAttempts(t *testing.T) {
	t.Parallel()
	s := openPostgres(t)
	runs := 0
	err := s.Update(t.Context(), "lose", func(tx *store.Tx) error {
		runs++
		return exec(tx, `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$`)
	})
	if err == nil || runs != 5 {
		t.Errorf("got %v after %d runs, want an error after 5", err, runs)
	}
}

func TestPostgresConnectionLostBeforeCommitIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	s := openPostgres(t)
	makeProbe(t, s)
	err := s.Update(t.Context(), "cut off", func(tx *store.Tx) error {
		if err := insert(tx, 1); err != nil {
			return err
		}
		pid, err := number(tx, `SELECT pg_backend_pid()`)
		if err != nil {
			return err
		}
		return s.View(context.Background(), func(tx *store.Tx) error {
			return exec(tx, `SELECT pg_terminate_backend($1, 5000)`, pid)
		})
	})
	if !errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("got %v, want %v", err, store.ErrUnknownOutcome)
	}
	if got := count(t, s); got != 0 { // the pool has made a new connection
		t.Errorf("got %d rows, want none", got)
	}
}

func TestPostgresConstraintAtCommitIsARefusal(t *testing.T) {
	t.Parallel()
	s := openPostgres(t)
	makeProbe(t, s)
	update(t, s, func(tx *store.Tx) error {
		return exec(tx, `CREATE TABLE late (id BIGINT PRIMARY KEY REFERENCES probe (id) DEFERRABLE INITIALLY DEFERRED)`)
	})
	err := s.Update(t.Context(), "late", func(tx *store.Tx) error { return exec(tx, `INSERT INTO late (id) VALUES (7)`) })
	if !store.IsForeignKey(err) || errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("got %v, want a foreign key error with a known outcome", err)
	}
}
