package conference

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// callers is how many goroutines post at once.
const callers = 64

func BenchmarkReceive1(b *testing.B)  { benchmarkReceive(b, 1) }
func BenchmarkReceive10(b *testing.B) { benchmarkReceive(b, 10) }

// benchmarkReceive posts the records of meetings of ten people, 32 records each, with the flusher at work.
func benchmarkReceive(b *testing.B, size int) {
	addresses := map[string]func() string{store.SQLite: func() string { return b.TempDir() + "/tally.db" }}
	if os.Getenv(storetest.Environment) != "" {
		addresses[store.Postgres] = func() string { return storetest.PostgresURL(b) }
	}
	for _, dialect := range []string{store.SQLite, store.Postgres} {
		if addresses[dialect] == nil {
			continue
		}
		b.Run(dialect, func(b *testing.B) {
			s := storetest.OpenURL(b, addresses[dialect](), time.Now)
			h := newHouse(b, s, storetest.NewClock(time.Now()))
			_, receiver := h.bridge("Main")
			ctx, end := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- h.engine.Run(ctx) }()
			bodies := meetingBodies(b.N, size)
			var next atomic.Int64
			b.SetParallelism(callers / 2)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := h.engine.Receive(ctx, receiver, bodies[next.Add(1)-1]); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			end()
			if err := <-ended; err != nil {
				b.Error(err)
			}
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// meetingBodies makes n posts of the records of many meetings that run at the same time.
func meetingBodies(n, size int) [][]byte {
	out := make([][]byte, 0, n)
	const open = 64
	streams := make([][]rec, open)
	correlator, made, second := 0, 0, 0
	for len(out) < n {
		records := make([]rec, 0, size)
		for len(records) < size {
			i := made % open
			if len(streams[i]) == 0 {
				streams[i] = longMeeting(made)
			}
			r := streams[i][0]
			streams[i] = streams[i][1:]
			r.n, r.second = correlator, second/20
			correlator++
			second++
			made++
			records = append(records, r)
		}
		out = append(out, []byte(body(run1, records...)))
	}
	return out
}

// longMeeting is the life of a meeting of ten people.
func longMeeting(n int) []rec {
	call, corr := fmt.Sprintf("44444444-0000-4000-8000-%012d", n), fmt.Sprintf("55555555-0000-4000-8000-%012d", n)
	records := []rec{callStart(0, 0, call, corr)}
	var ends []rec
	for i := range 10 {
		leg := fmt.Sprintf("66666666-0000-4000-8%03d-%012d", i, n)
		records = append(records, legStart(0, 0, leg, call), legIn(0, 0, leg, call))
		ends = append(ends, legEnd(0, 0, leg))
	}
	return append(append(records, ends...), callEnd(0, 0, call, 10, 100))
}

// BenchmarkUsageReport reads the use of a year with one million segments, and first counts it.
func BenchmarkUsageReport(b *testing.B) {
	s := storetest.OpenURL(b, b.TempDir()+"/tally.db", time.Now)
	clock := storetest.NewClock(time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC))
	h := newHouse(b, s, clock)
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	const segments, batch = 1_000_000, 5_000
	step := 365 * day / segments
	for n := 0; n < segments; n += batch {
		must(b, s.Update(b.Context(), "load", func(tx *store.Tx) error {
			rows := make([]db.Segment, 0, batch)
			hours := hourMarks{}
			for i := n; i < n+batch; i++ {
				at := store.Ms(from) + int64(i)*step
				rows = append(rows, db.Segment{AccountID: h.account, MeetingID: fmt.Sprintf("mtg_%026d", i), FromAt: at, ToAt: at + 45*60_000,
					Tag: meeting.Shared.Tag(), Sixths: 6})
			}
			hours.mark(rows, store.Ms(clock.Now()))
			if err := tx.PutSegments(b.Context(), rows); err != nil {
				return err
			}
			return tx.MarkHours(b.Context(), hours.rows(h.account, 1))
		}))
	}
	began := time.Now()
	_, err := h.engine.Usage(b.Context(), h.account, from, clock.Now())
	must(b, err)
	first := time.Since(began)
	for b.Loop() {
		rows, err := h.engine.Usage(b.Context(), h.account, from, clock.Now())
		if err != nil || len(rows) < 365*24 {
			b.Fatalf("got %d rows, %v", len(rows), err)
		}
	}
	b.ReportMetric(float64(first.Milliseconds()), "first-ms")
}
