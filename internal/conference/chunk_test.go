package conference

import (
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

// TestMeetingsTravelWithPosts: whoever writes meetings while posts come, all are there in the end, once.
func TestMeetingsTravelWithPosts(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		const callers, each = 8, 10
		var posting, flushing sync.WaitGroup
		stop := make(chan struct{})
		flushing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := h.engine.flush(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for c := range callers {
			posting.Go(func() {
				for i := range each {
					n := c*each + i
					if _, err := h.engine.Receive(t.Context(), receiver, []byte(body(run1, numbered(longMeeting(n), 100*n)...))); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		posting.Wait()
		close(stop)
		flushing.Wait()
		got := h.meetings(h.engine)
		if len(got) != callers*each {
			t.Errorf("got %d meetings, want %d", len(got), callers*each)
		}
		if again := h.meetings(h.open()); brief(again) != brief(got) {
			t.Errorf("another engine shows\n%s\nwant\n%s", brief(again), brief(got))
		}
	})
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
		must(t, h.store.View(t.Context(), func(tx *store.Tx) error {
			var all, lasting int
			want := 0
			for _, m := range h.meetings(h.engine) {
				want += len(m.Segments)
			}
			err := tx.DB().QueryRowContext(t.Context(), "SELECT count(*), count(CASE WHEN lasting THEN 1 END) FROM segment").Scan(&all, &lasting)
			if err != nil || all != want || lasting != 0 {
				t.Errorf("%d segments are written, %d of them running, %v; the meetings have %d and are over", all, lasting, err, want)
			}
			return nil
		}))
	})
}
