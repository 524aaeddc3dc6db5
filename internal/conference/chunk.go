package conference

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	soloChunk  = 512 // meetings of one transaction of their own
	riderChunk = 96  // … of one that is shared with posts, which wait for it
)

// chunk is one transaction of a flush. The last one has the sessions and how far the journal is shown; 0 says nothing.
type chunk struct {
	sessions []sessionRow
	shown    int64

	seq   int64 // up to which the journal was routed when the views were taken
	views []view
	gone  []string // meetings to be erased before the views are written
	stray bool     // a view has records that do not count any more

	shape   int64 // c.shape before this chunk
	reshape bool  // it writes something besides what was posted: what others have in memory is old then

	flushed int64 // c.flushed before this chunk
	alone   bool  // nobody else wrote meetings since this engine did
	behind  bool  // another replica wrote newer ones, and nothing was written

	done    chan struct{} // closed when a commit of posts is through with it
	carried bool          // … and took it along
}

// flushChunks writes dirty meetings. One chunk is prepared while the one before is written.
func (c *cluster) flushChunks(ctx context.Context, generation int, target int64, dirty []*entry, sessions []sessionRow) error {
	written := make(chan error, 1)
	written <- nil
	for last := false; !last; {
		n := min(len(dirty), c.queue.room())
		last = n == len(dirty)
		f := &chunk{done: make(chan struct{})}
		if last {
			f.sessions, f.shown = sessions, target
		}
		err := c.prepareChunk(ctx, f, generation, dirty[:n])
		if err = errors.Join(<-written, err); err != nil {
			return err
		}
		go func() { written <- c.flushChunk(ctx, f) }() // ends before this function does
		dirty = dirty[n:]
	}
	return <-written
}

// prepareChunk folds and decides meetings.
func (c *cluster) prepareChunk(ctx context.Context, f *chunk, generation int, dirty []*entry) error {
	c.mu.Lock()
	if c.generation != generation {
		c.mu.Unlock()
		return errBehind
	}
	f.seq = c.routed
	f.views = make([]view, 0, len(dirty))
	seen := make(map[*entry]bool, len(dirty))
	for _, e := range dirty {
		for e.into != nil { // merged since it was taken: what it had is to be written with this flush, under its new name
			e = e.into
		}
		if c.entries[e.key] == e && !seen[e] {
			seen[e] = true
			v := c.view(e)
			f.stray = f.stray || v.stray
			f.views = append(f.views, v)
		}
	}
	c.mu.Unlock()
	return c.decide(ctx, f.views)
}

// flushChunk writes a chunk, with posts if any wait, and notes what is written.
func (c *cluster) flushChunk(ctx context.Context, f *chunk) error {
	c.mu.Lock()
	f.flushed, f.shape, f.reshape = c.flushed, c.shape, c.reshaping
	generation := c.generation
	c.mu.Unlock()
	if !c.queue.carry(f) {
		err := c.e.store.Update(ctx, "write meetings", func(tx *store.Tx) error { return c.writeChunk(ctx, tx, f) })
		if err != nil {
			return err
		}
	}
	if f.behind {
		return errBehind
	}
	c.mu.Lock()
	if c.generation == generation { // else memory was filled from the tables as they were before this chunk: it knows nothing of it
		c.flushed = f.seq
		if f.reshape {
			c.shape = f.shape + 1
		}
	}
	if !f.alone {
		for _, e := range c.entries {
			e.written = nil
		}
	}
	for i := range f.views {
		v := &f.views[i]
		written := v.segments // alone: the entry outlives the chunk
		v.entry.written = &written
		if v.refs != nil {
			v.entry.refs = v.refs
		}
		v.entry.end, v.entry.guessed, v.entry.lost = v.row.EndedAt, v.row.Estimated, v.row.Lost
		v.entry.absorbed = slices.DeleteFunc(slices.Clone(v.entry.absorbed), func(e *entry) bool { return slices.Contains(v.absorbed, e) })
	}
	c.mu.Unlock()
	c.e.use(c.account)
	return nil
}

// writeChunk is what a chunk does in its transaction, which may run twice.
func (c *cluster) writeChunk(ctx context.Context, tx *store.Tx, f *chunk) error {
	last, err := tx.LockCluster(ctx, db.LockClusterParams{AccountID: c.account, ClusterID: c.id})
	if err != nil {
		return fmt.Errorf("lock bridge %s: %w", c.id, err)
	}
	if f.behind = last.FlushedSeq > f.seq || last.Shape != f.shape; f.behind {
		return nil
	}
	shape := last.Shape
	if f.reshape {
		shape++
	}
	if err := tx.SetFlushed(ctx, db.SetFlushedParams{FlushedSeq: f.seq, Shape: shape, ProjectedSeq: max(last.ProjectedSeq, f.shown), AccountID: c.account, ClusterID: c.id}); err != nil {
		return fmt.Errorf("mark flush of %s: %w", c.id, err)
	}
	if err := c.writeSessions(ctx, tx, f.sessions, last.ProjectedSeq); err != nil {
		return err
	}
	f.alone = last.FlushedSeq == f.flushed
	if err := c.eraseGone(ctx, tx, f); err != nil {
		return err
	}
	return c.writeViews(ctx, tx, f.views, f.alone)
}

// A chunk travels with the posts that are committed while it is ready, so that they share the commit and posts never wait
// for a transaction of meetings alone.

// room is how many meetings the next chunk shall have.
func (q *queue) room() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.leading {
		return riderChunk
	}
	return soloChunk
}

// carry waits until a commit of posts has taken a chunk along. It reports false when there was none, or it failed: then the
// chunk is written alone, which tells whose fault that is.
func (q *queue) carry(f *chunk) bool {
	q.mu.Lock()
	leading := q.leading
	if leading {
		q.rider = f
		q.stir()
	}
	q.mu.Unlock()
	if !leading {
		return false
	}
	<-f.done
	return f.carried
}

// stir tells a lane that waits for a chunk that there is one, or that there will be none.
func (q *queue) stir() {
	select {
	case q.offered <- struct{}{}:
	default:
	}
}

// passenger takes the chunk that waits, if one does; arrive is called with it.
func (q *queue) passenger() *chunk {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.rider
	q.rider = nil
	return f
}

// arrive ends the journey of a chunk.
func (f *chunk) arrive(carried bool) {
	f.carried = carried
	close(f.done)
}
