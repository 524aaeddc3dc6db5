package conference

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// twoCalls is a meeting on two call bridges' calls, a leg that moves between meetings, and a second meeting.
func twoCalls() []rec {
	const call3, corr3 = "44444444-0000-4000-8000-000000000003", "55555555-0000-4000-8000-000000000003"
	return slices.Concat(story(), []rec{
		callStart(200, 100, call2, corr1), legStart(201, 101, legB[:35]+"d", ""), legIn(202, 102, legB[:35]+"d", call2),
		legIn(203, 400, legB[:35]+"d", call3), callStart(204, 399, call3, corr3),
		legEnd(205, 500, legB[:35]+"d"), callEnd(206, 500, call2, 1, 400), callEnd(207, 501, call3, 1, 102),
	})
}

// TestAnyOrderAcrossRestarts: in whatever order posts come, and whenever the engine starts anew, the meetings are the same.
func TestAnyOrderAcrossRestarts(t *testing.T) {
	t.Parallel()
	for name, records := range map[string][]rec{"one call": story(), "two calls": twoCalls()} {
		want := ""
		for seed := range uint64(6) {
			random := rand.New(rand.NewPCG(seed, 1))
			t.Run(fmt.Sprintf("%s %d", name, seed), func(t *testing.T) {
				orderly(t, records, random, seed, &want)
			})
		}
	}
}

func orderly(t *testing.T, records []rec, random *rand.Rand, seed uint64, want *string) {
	t.Helper()
	all := posts(run1, records)
	switch seed {
	case 0:
	case 1:
		slices.Reverse(all)
	default:
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	storetestEach(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		h := newHouse(t, s, clock)
		// The same receiver everywhere makes the same ids.
		_, receiver := h.bridge("Main")
		e := h.engine
		for i, p := range all {
			h.receive(e, receiver, p)
			switch {
			case seed%3 == 1, seed%3 == 2 && random.IntN(2) == 0:
				if random.IntN(2) == 0 {
					must(t, e.flush(t.Context()))
				}
				e = h.open() // as after kill -9: what was not flushed is in the journal
			case i%5 == 4:
				h.meetings(e)
			}
		}
		var got []Meeting
		for _, m := range h.meetings(e) {
			m.ID = ""
			got = append(got, m)
		}
		text := brief(got)
		if *want == "" {
			*want = text
		}
		if text != *want {
			t.Errorf("order %d gave\n%s\nwant\n%s", seed, text, *want)
		}
		if again := h.open(); brief(h.meetings(again)) != brief(h.meetings(e)) {
			t.Error("another engine on the same database shows other meetings")
		}
		usage, err := e.Usage(t.Context(), h.account, start.Add(-time.Hour), start.Add(3*time.Hour))
		must(t, err)
		for _, u := range usage {
			if u.Tag != "cms-smp-plus" || u.Sixths%6 != 0 || u.Licenses != u.Sixths/6 {
				t.Errorf("got usage %+v", u)
			}
		}
		assertNoRemains(t, h, len(got))
		assertSegments(t, h, got)
	})
}

// storetestEach runs on both databases, one after the other, so that they can compare.
func storetestEach(t *testing.T, fn func(t *testing.T, s *store.Store, clock *storetest.Clock)) {
	t.Helper()
	for _, address := range []func() string{func() string { return t.TempDir() + "/tally.db" }, func() string { return storetest.PostgresURL(t) }} {
		clock := storetest.NewClock(storetest.Start())
		fn(t, storetest.OpenURL(t, address(), clock.Now), clock)
	}
}

// assertNoRemains checks that nothing is left of meetings that were merged away.
func assertNoRemains(t *testing.T, h *house, want int) {
	t.Helper()
	must(t, h.store.View(t.Context(), func(tx *store.Tx) error {
		for query, most := range map[string]int{
			"SELECT count(*) FROM meeting": want,
			"SELECT count(*) FROM segment s WHERE NOT EXISTS (SELECT m.meeting_id FROM meeting m WHERE m.account_id = s.account_id AND m.meeting_id = s.meeting_id)":     0,
			"SELECT count(*) FROM meeting_ref s WHERE NOT EXISTS (SELECT m.meeting_id FROM meeting m WHERE m.account_id = s.account_id AND m.meeting_id = s.meeting_id)": 0,
		} {
			var n int
			if err := tx.DB().QueryRowContext(t.Context(), query).Scan(&n); err != nil {
				return err
			}
			if n > most {
				t.Errorf("%s: got %d, want at most %d", query, n, most)
			}
		}
		return nil
	}))
}

// TestTwoEnginesAlternate: two replicas on one database take posts in turn; nothing is lost or counted twice.
func TestTwoEnginesAlternate(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		engines := []*Engine{h.engine, h.open()}
		for i, p := range posts(run1, story()) {
			h.receive(engines[i%2], receiver, p)
			if i%3 == 0 {
				must(t, engines[(i+1)%2].flush(t.Context()))
			}
			if r := h.receive(engines[(i+1)%2], receiver, p); r.Repeats != 1 {
				t.Fatalf("record %d at the other replica: got %+v, want a repeat", i, r)
			}
			if a, b := brief(h.meetings(engines[0])), brief(h.meetings(engines[1])); a != b {
				t.Fatalf("after record %d the replicas show\n%s\nand\n%s", i, a, b)
			}
		}
		if m := h.one(engines[0]); m.DurationSeconds != 3601 || m.ParticipantsMax != 3 || m.Incomplete {
			t.Errorf("got %s", brief([]Meeting{m}))
		}
	})
}

// TestParallelPosts: many callers at once on two engines; every record counts once.
func TestParallelPosts(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		engines := []*Engine{h.engine, h.open()}
		const callers = 16
		done := make(chan int, callers)
		for c := range callers {
			go func() {
				sum := 0
				defer func() { done <- sum }()
				for n := range 20 {
					// Every post comes from two callers.
					id := fmt.Sprintf("44444444-0000-4000-9000-%012d", c/2*100+n)
					r, err := engines[c%2].Receive(t.Context(), receiver, []byte(body(run1, callStart(c/2*100+n, n, id, "55"+id[2:]))))
					if err != nil {
						t.Error(err)
						return
					}
					sum += r.New
				}
			}()
		}
		sum := 0
		for range callers {
			sum += <-done
		}
		if want := callers / 2 * 20; sum != want {
			t.Errorf("%d records counted as new, want %d", sum, want)
		}
		for _, e := range engines {
			if got, want := len(h.meetings(e)), callers/2*20; got != want {
				t.Errorf("got %d meetings, want %d", got, want)
			}
		}
	})
}

// TestLateRecordsAfterEviction: records of meetings that are no longer in memory find them.
func TestLateRecordsAfterEviction(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		records := story()
		late := []int{3, 7, 5} // a start, an end, a start
		for i, r := range records {
			if !slices.Contains(late, i) {
				h.receive(h.engine, receiver, body(run1, r))
			}
		}
		before := h.one(h.engine)
		if !before.Incomplete {
			t.Error("the meeting without three of its records is not incomplete")
		}
		for _, i := range late {
			h.meetings(h.engine)
			h.clock.Advance(2 * keepEnded)
			for _, c := range h.engine.clusters {
				c.evict()
				if n := len(c.entries); n != 0 {
					t.Fatalf("got %d meetings in memory, want none", n)
				}
			}
			h.receive(h.engine, receiver, body(run1, records[i]))
		}
		if m := h.one(h.engine); m.ID != before.ID || m.Incomplete || m.ParticipantsMax != 3 || len(m.Participants) != 3 {
			t.Errorf("got %s", brief([]Meeting{m}))
		}
	})
}

// TestRule05Restart: a new run of the same call bridge closes the calls of the old one when it was last heard of.
func TestRule05Restart(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		for _, p := range posts(run1, story()[:7]) {
			h.receive(h.engine, receiver, p)
		}
		if m := h.one(h.engine); m.EndedAt != nil {
			t.Fatalf("got %s, want it running", brief([]Meeting{m}))
		}
		h.receive(h.engine, receiver, body(run2, rec{n: 0, kind: "callStart", second: 600, inside: `<call id="` + call2 + `"><name>Next</name></call>`}))
		for _, e := range []*Engine{h.engine, h.open()} {
			all := h.meetings(e)
			if len(all) != 2 || all[1].EndedAt == nil || !all[1].EndedAt.Equal(start.Add(21*time.Second)) || !all[1].Estimated || all[0].EndedAt != nil {
				t.Errorf("got %s, want the first meeting closed at its last record", brief(all))
			}
		}
		h.receive(h.open(), receiver, body(run1, story()[10])) // its true end comes late
		for _, m := range h.meetings(h.open()) {
			if m.Name == "Daily" && (m.Estimated || m.DurationSeconds != 3601) {
				t.Errorf("got %s, want its end from the record", brief([]Meeting{m}))
			}
		}
	})
}
