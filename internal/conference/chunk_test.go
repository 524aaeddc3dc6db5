package conference

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// TestEndedMeetingsAreWrittenFirst: in a rush those that ended are in the tables before those that run, and how far the
// journal is shown says nothing of it, so that a crash in between loses none.
func TestEndedMeetingsAreWrittenFirst(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.receive(h.engine, receiver, body(run1, append(story(), callStart(111, 3700, call2, "55555555-0000-4000-8000-000000000002"))...))
		c := h.engine.all()[0]
		must(t, c.catchUp(t.Context())) // a post is answered before it is in memory
		must(t, c.route(t.Context()))
		must(t, c.flushEnded(t.Context()))
		must(t, h.store.View(t.Context(), func(tx *store.Tx) error {
			n := 0
			if err := tx.DB().QueryRowContext(t.Context(), "SELECT count(*) FROM meeting WHERE started_at > 0").Scan(&n); err != nil || n != 1 {
				t.Errorf("%d meetings are written, %v, want the one that ended", n, err)
			}
			row, err := tx.Cluster(t.Context(), db.ClusterParams{AccountID: c.account, ClusterID: c.id})
			if row.ProjectedSeq != 0 {
				t.Errorf("the journal is shown up to %d, want 0", row.ProjectedSeq)
			}
			return err
		}))
		after := h.meetings(h.open()) // as after kill -9
		if before := h.meetings(h.engine); len(before) != 2 || brief(after) != brief(before) {
			t.Errorf("got\n%s\nwant\n%s", brief(after), brief(before))
		}
	})
}

// TestMeetingsTravelWithPosts: whoever writes meetings while posts come, and whoever lets go of what is in memory or fills it anew
// meanwhile, all meetings are there in the end, once, and take what they show and no more.
func TestMeetingsTravelWithPosts(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		const callers, each = 4, 8
		stop := make(chan struct{})
		var posting, besides sync.WaitGroup
		for _, step := range []func(c *cluster) error{
			func(c *cluster) error { return c.flush(t.Context()) },
			func(c *cluster) error { return c.flushEnded(t.Context()) },
			func(c *cluster) error { return c.reload(t.Context()) },
			func(c *cluster) error { c.leave(1); return nil },
		} {
			besides.Go(func() {
				for more := true; more; {
					for _, c := range h.engine.all() {
						if err := step(c); err != nil && !errors.Is(err, errBehind) { // that is written by the next one
							t.Error(err)
							return
						}
					}
					select {
					case <-stop:
						more = false
					default:
					}
				}
			})
		}
		for c := range callers {
			posting.Go(func() {
				for i := range each {
					n := c*each + i
					for part := range slices.Chunk(numbered(longMeeting(n), 100*n), 1+n%6) {
						if _, err := h.engine.Receive(t.Context(), receiver, []byte(body(run1, part...))); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		posting.Wait()
		close(stop)
		besides.Wait()
		got := h.meetings(h.engine)
		if len(got) != callers*each {
			t.Errorf("got %d meetings, want %d", len(got), callers*each)
		}
		h.wantSegments(got)
		if again := h.meetings(h.open()); brief(again) != brief(got) {
			t.Errorf("another engine shows\n%s\nwant\n%s", brief(again), brief(got))
		}
	})
}

// leave lets go of so many meetings that run.
func (c *cluster) leave(n int) {
	c.mu.Lock()
	for _, e := range c.entries {
		if n > 0 && e.end == 0 && !e.leaving {
			e.leaving = true
			c.touch(e, e.touched)
			n--
		}
	}
	c.mu.Unlock()
	c.evict()
}

// wantSegments fails unless the tables have the segments that meetings show, which are all over.
func (h *house) wantSegments(meetings []Meeting) {
	h.t.Helper()
	want := 0
	for _, m := range meetings {
		want += len(m.Segments)
	}
	must(h.t, h.store.View(h.t.Context(), func(tx *store.Tx) error {
		var all, lasting int
		err := tx.DB().QueryRowContext(h.t.Context(), "SELECT count(*), count(CASE WHEN lasting THEN 1 END) FROM segment").Scan(&all, &lasting)
		if err == nil && (all != want || lasting != 0) {
			h.t.Errorf("%d segments are written, %d of them running; the meetings have %d and are over", all, lasting, want)
		}
		return err
	}))
}

// TestAChunkIsHandedBack: when no posts come any more, meetings are written alone.
func TestAChunkIsHandedBack(t *testing.T) {
	t.Parallel()
	q := queue{leading: true, offered: make(chan struct{}, 1)}
	carried := make(chan bool)
	go func() { carried <- q.carry(&chunk{done: make(chan struct{})}) }()
	<-q.offered
	if batch := q.next(); batch != nil || <-carried || q.rider != nil {
		t.Errorf("got %v, and the chunk is still waiting or was called written", batch)
	}
	if q.carry(&chunk{done: make(chan struct{})}) {
		t.Error("a chunk was carried by nobody")
	}
}

// TestMemoryFilledAnewBesideAChunk: memory that is loaded while a chunk waits for its commit does not know what the chunk wrote,
// and asks the tables: no segment of before stays beside that of after.
func TestMemoryFilledAnewBesideAChunk(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		records := story()
		h.receive(h.engine, receiver, body(run1, callStart(90, 0, call2, "55555555-0000-4000-8000-000000000002"), callEnd(91, 1, call2, 0, 1)))
		must(t, h.engine.flush(t.Context())) // from now on this engine knows what is written
		h.receive(h.engine, receiver, body(run1, records[:7]...))
		c := h.engine.all()[0]
		h.engine.leaders.Wait() // the lane is empty
		c.queue.leading = true
		written := make(chan error)
		go func() { written <- c.flush(t.Context()) }()
		var f *chunk
		for f == nil { // the flush before has left a word too
			<-c.queue.offered
			f = c.queue.passenger()
		}
		must(t, c.reload(t.Context()))
		must(t, h.store.Update(t.Context(), "chunk", func(tx *store.Tx) error { return c.writeChunk(t.Context(), tx, f) }))
		f.arrive(true)
		must(t, <-written)
		c.queue.leading = false

		h.receive(h.engine, receiver, body(run1, records[7:]...))
		must(t, h.engine.flush(t.Context()))
		h.wantSegments(h.meetings(h.engine))
	})
}
