package conference

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// yearSegments is how many segments the year of BenchmarkYear has; TALLY_BENCH_SEGMENTS names another number.
const yearSegments = 10_000_000

// seedYear writes segments as a year of office hours would leave them: half of them are charged to one of 10,000 users.
const seedYear = `INSERT INTO segment (account_id, lasting, to_at, from_at, tag, sixths, meeting_id, cluster_id, user_jid, class)
WITH RECURSIVE n(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2),
  s(i, begun) AS (SELECT i, $3 + (i * 365 / $4) * 86400000 + 25200000 + (i * 7919 % 39600) * 1000 FROM n)
SELECT $5, FALSE, begun + (300 + i * 104729 % 3300) * 1000, begun, CASE WHEN i % 2 = 0 THEN 'cms-pmp-plus' ELSE 'cms-smp-plus' END,
  CASE WHEN i % 6 = 1 THEN 1 ELSE 6 END, 'mtg_' || printf('%026d', i), 'brg_1',
  CASE WHEN i % 2 = 0 THEN 'user' || (i * 31 % 10000) || '@acme.example' ELSE '' END,
  CASE WHEN i % 2 = 0 THEN 'pmp' WHEN i % 6 = 1 THEN 'smpPtP' ELSE 'smpFull' END FROM s`

// BenchmarkYear asks about a year with ten million segments on SQLite, after counting them once: that is the metric count-s.
func BenchmarkYear(b *testing.B) {
	segments := yearSegments
	if n, err := strconv.Atoi(os.Getenv("TALLY_BENCH_SEGMENTS")); err == nil {
		segments = n
	}
	clock := storetest.NewClock(time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC))
	s := storetest.OpenURL(b, b.TempDir()+"/tally.db", clock.Now)
	h := newHouse(b, s, clock)
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	h.own(smp, 400, from, 0)
	h.own(pmp, 9000, from, 0)
	const batch = 200_000
	for n := 0; n < segments; n += batch {
		must(b, s.Update(b.Context(), "load", func(tx *store.Tx) error {
			_, err := tx.DB().ExecContext(b.Context(), seedYear, int64(n), int64(min(n+batch, segments)), store.Ms(from), int64(segments), h.account)
			return err
		}))
	}
	must(b, s.Update(b.Context(), "mark", func(tx *store.Tx) error {
		hours := hourMarks{}
		for _, l := range kinds() {
			for at := store.Ms(from); at < store.Ms(clock.Now()); at += hour {
				hours[hourMark{l.Tag(), at}] = true
			}
		}
		return tx.MarkHours(b.Context(), hours.rows(h.account, 1))
	}))
	began := time.Now()
	must(b, h.engine.settleAll(b.Context(), h.account, from, clock.Now()))
	b.Logf("%d segments are counted once in %s", segments, time.Since(began).Round(time.Second))
	for _, question := range []struct {
		name string
		ask  func(context.Context) error
	}{
		{"peaks", func(ctx context.Context) error {
			out, err := h.engine.Peaks(ctx, h.account, from, clock.Now())
			if err == nil && len(out[0].Meetings) == 0 {
				return fmt.Errorf("got %+v", out)
			}
			return err
		}},
		{"levels", func(ctx context.Context) error {
			out, err := h.engine.Levels(ctx, h.account, from, clock.Now())
			if err == nil && (len(out[0].Levels) < 10 || meeting.Used(out[0].Levels) == 0) {
				return fmt.Errorf("got %+v", out)
			}
			return err
		}},
		{"days", func(ctx context.Context) error {
			out, err := h.engine.Days(ctx, h.account, from, clock.Now())
			if err == nil && len(out) < 700 {
				return fmt.Errorf("got %d days", len(out))
			}
			return err
		}},
		{"compliance", func(ctx context.Context) error {
			_, err := h.engine.Compliance(ctx, h.account)
			return err
		}},
		{"users", func(ctx context.Context) error {
			out, err := h.engine.Report(ctx, h.account, "users", from.Add(40*time.Hour), clock.Now())
			if err == nil && len(out.Rows) < 1000 {
				return fmt.Errorf("got %d users", len(out.Rows))
			}
			return err
		}},
		{"hours", func(ctx context.Context) error {
			_, err := h.engine.Usage(ctx, h.account, from, clock.Now())
			return err
		}},
	} {
		b.Run(question.name, func(b *testing.B) {
			for b.Loop() {
				must(b, question.ask(b.Context()))
			}
		})
	}
}
