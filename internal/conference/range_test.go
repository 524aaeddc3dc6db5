package conference

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

func TestRangesKeepPosts(t *testing.T) {
	t.Parallel()
	var want []postRange
	for i := range int64(2*rangePosts + 1) { // some go back
		want = append(want, postRange{seq: 7 + 3*i, low: 1000 + 10*i - 95*(i%7), high: 1004 + 10*i})
	}
	rows, err := (&cluster{}).rangeRows("s", want)
	must(t, err)
	var got []postRange
	for _, r := range rows {
		posts, err := postsOf(db.RangesAroundRow{Low: r.Low, FirstSeq: r.FirstSeq, Posts: r.Posts})
		must(t, err)
		for _, p := range posts {
			if p.low < r.Low || p.high > r.High {
				t.Errorf("post %+v is outside of its row, %d to %d", p, r.Low, r.High)
			}
		}
		got = append(got, posts...)
	}
	if len(rows) != 3 || !slices.Equal(got, want) {
		t.Errorf("got %d rows with %v, want 3 with %v", len(rows), got, want)
	}
}

// TestRecordIsFoundInTheJournal: an engine that knows no digest tells repeats from conflicts, whichever engine stored the
// record and whether or not it was flushed; and two engines that take turns write each range once.
func TestRecordIsFoundInTheJournal(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		engines := []*Engine{h.engine, h.open()}
		all := posts(run1, story())
		for i, p := range all {
			e := engines[i%2]
			h.receive(e, receiver, p)
			if i%3 == 2 {
				must(t, e.flush(t.Context()))
			}
		}
		changed := slices.Clone(story())
		for i := range changed {
			changed[i].second++
		}
		for name, e := range map[string]*Engine{"one that wrote": engines[0], "a new one": h.open()} {
			for _, c := range e.all() {
				c.mu.Lock()
				for _, s := range c.sessions {
					s.ring = nil // as when it is long ago
				}
				c.mu.Unlock()
			}
			for i, p := range all {
				if r := h.receive(e, receiver, p); r != (Receipt{Records: 1, Repeats: 1}) {
					t.Errorf("%s, record %d again: got %+v, want a repeat", name, i, r)
				}
				if r := h.receive(e, receiver, posts(run1, changed)[i]); r != (Receipt{Records: 1, Conflicts: 1}) {
					t.Errorf("%s, record %d changed: got %+v, want a conflict", name, i, r)
				}
			}
		}
		got := h.meetings(h.open())
		assertSegments(t, h, got)
		if len(got) != 1 || got[0].Conflicts != int64(len(all)) {
			t.Errorf("got %s with %d conflicts, want one meeting with %d", brief(got), got[0].Conflicts, len(all))
		}
		seen := map[int64]int{}
		must(t, h.store.View(t.Context(), func(tx *store.Tx) error {
			for n := range all {
				rows, err := tx.RangesAround(t.Context(), db.RangesAroundParams{AccountID: h.account, ClusterID: got[0].Bridge, Session: run1,
					Correlator: int64(story()[n].n), Page: 100})
				if err != nil {
					return err
				}
				for _, r := range rows {
					posts, err := postsOf(r)
					must(t, err)
					for _, p := range posts {
						if p.low == int64(story()[n].n) {
							seen[p.seq]++
						}
					}
				}
			}
			return nil
		}))
		for seq := range int64(len(all)) {
			if seen[seq+1] != 1 {
				t.Errorf("post %d stands in %d ranges, want 1", seq+1, seen[seq+1])
			}
		}
	})
}

// assertSegments checks that what is counted is what the meetings show.
func assertSegments(t *testing.T, h *house, meetings []Meeting) {
	t.Helper()
	want, got := 0, 0
	for _, m := range meetings {
		want += len(m.Segments)
	}
	must(t, h.store.View(t.Context(), func(tx *store.Tx) error {
		return tx.DB().QueryRowContext(t.Context(), "SELECT count(*) FROM segment WHERE account_id = $1", h.account).Scan(&got)
	}))
	if got != want {
		t.Errorf("%d segments are counted, the meetings have %d", got, want)
	}
}

// TestRecordIsFoundAmongManyPosts: posts that several receivers sent each other's records in between overlap; however many may
// hold a record, a repeat of it is one.
func TestRecordIsFoundAmongManyPosts(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		nested := func(i int) string {
			id := fmt.Sprintf("44444444-0000-4000-9000-%012d", i)
			return body(run1, callStart(i, i, id, "55"+id[2:]), callEnd(999-i, 999-i, id, 0, 999-2*i))
		}
		for i := range 100 {
			h.receive(h.engine, receiver, nested(i))
		}
		h.meetings(h.engine)
		later := h.open()
		for i := range 100 {
			if r := h.receive(later, receiver, nested(i)); r.New != 0 || r.Repeats != 2 {
				t.Fatalf("post %d again: got %+v, want two repeats", i, r)
			}
		}
	})
}

// TestLoadBesidePosts: memory that is filled anew beside the lane, with what the journal was a moment ago, makes no record
// count twice.
func TestLoadBesidePosts(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		record := func(i int) rec {
			id := fmt.Sprintf("44444444-0000-4000-9000-%012d", i)
			return callStart(i, i, id, "55"+id[2:])
		}
		for i := range 30 {
			h.receive(h.engine, receiver, body(run1, record(i)))
		}
		h.meetings(h.engine)
		done := make(chan struct{})
		var loads sync.WaitGroup
		for range 2 {
			loads.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					for _, c := range h.engine.all() {
						if err := c.reload(t.Context()); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		for i := 30; i < 130; i++ {
			if r := h.receive(h.engine, receiver, body(run1, record(i))); r.New != 1 {
				t.Errorf("record %d: got %+v, want a new one", i, r)
			}
			if r := h.receive(h.engine, receiver, body(run1, record(i-30), record(i))); r.Repeats != 2 {
				t.Errorf("record %d again: got %+v, want two repeats", i, r)
			}
		}
		close(done)
		loads.Wait()
		if b := h.bridgeNow(h.engine); b.Records != 130 {
			t.Errorf("%d records count, want 130", b.Records)
		}
	})
}
