package store_test

import (
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// each runs fn on SQLite, and on PostgreSQL when a server is named, from 64 goroutines.
func each(b *testing.B, fn func(b *testing.B, s *store.Store)) {
	run := func(s *store.Store) func(*testing.B) {
		return func(b *testing.B) {
			b.SetParallelism((64 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.ReportAllocs()
			fn(b, s)
		}
	}
	s := storetest.Open(b)
	makeProbe(b, s)
	b.Run(store.SQLite, run(s))
	if os.Getenv(storetest.Environment) != "" {
		s := openPostgres(b)
		makeProbe(b, s)
		b.Run(store.Postgres, run(s))
	}
}

// BenchmarkUpdate is one durable insert by each of 64 callers.
func BenchmarkUpdate(b *testing.B) {
	var last atomic.Int64
	each(b, func(b *testing.B, s *store.Store) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				id := int(last.Add(1))
				if err := s.Update(context.Background(), "insert", func(tx *store.Tx) error { return insert(tx, id) }); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkUpdateAlone is one durable insert by one caller: what a COMMIT costs.
func BenchmarkUpdateAlone(b *testing.B) {
	var last atomic.Int64
	each(b, func(b *testing.B, s *store.Store) {
		for b.Loop() {
			id := int(last.Add(1))
			if err := s.Update(context.Background(), "insert", func(tx *store.Tx) error { return insert(tx, id) }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkView is one read by key by each of 64 callers.
func BenchmarkView(b *testing.B) {
	each(b, func(b *testing.B, s *store.Store) {
		update(b, s, func(tx *store.Tx) error {
			_, err := tx.DB().ExecContext(context.Background(), `INSERT INTO probe (id, name) VALUES (0, 'n0') ON CONFLICT DO NOTHING`)
			return err
		})
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				err := s.View(context.Background(), func(tx *store.Tx) error {
					_, err := number(tx, `SELECT id FROM probe WHERE id = $1`, 0)
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	})
}
