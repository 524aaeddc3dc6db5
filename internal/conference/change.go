package conference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

const (
	changePosts    = 256    // posts, at most, that one step of a change takes to their meetings
	changeSpan     = 10_000 // posts, at most, that it looks through for them
	changeMeetings = 200    // meetings that one step looks at
	changeLease    = 2 * time.Minute
)

// errReloaded says that memory was loaded anew within a step, which is then done again.
var errReloaded = errors.New("what is in memory is not what the step began with")

// settleBridges makes the meetings of an account show which call bridges count. It goes in steps, each of which may be done again: after a crash
// at any point the next server goes on where the last step was written. One server does it at a time.
func (e *Engine) settleBridges(ctx context.Context, account string) error {
	holder := trust.NewID("chg", e.now())
	for held := false; ; {
		var all []db.CdrChange
		err := e.store.View(ctx, func(tx *store.Tx) (err error) {
			all, err = tx.Changes(ctx, account)
			return err
		})
		if err != nil || len(all) == 0 {
			if held {
				_, err = lease(ctx, e.store, account, "call bridges", holder, -changeLease)
			}
			return err
		}
		if held, err = lease(ctx, e.store, account, "call bridges", holder, changeLease); err != nil || !held {
			return err
		}
		c, err := e.cluster(ctx, account, all[0].ClusterID)
		if err != nil {
			return err
		}
		for try := 0; ; try++ {
			err = c.change(ctx, all[0])
			if !errors.Is(err, errReloaded) && !errors.Is(err, errBehind) || try == 5 {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("show the call bridges of %s: %w", c.id, err)
		}
	}
}

// change does one step of a change, and notes how far it is then.
func (c *cluster) change(ctx context.Context, k db.CdrChange) error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	defer c.queue.stir()
	defer c.evict()
	if err := c.catchUp(ctx); err != nil {
		return err
	}
	if err := c.flushOnce(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	counts, generation := c.counts(k.Callbridge), c.generation
	c.reshaping = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.reshaping = false
		c.mu.Unlock()
	}()
	var over bool
	var err error
	if counts {
		over, err = c.include(ctx, &k, generation)
	} else {
		over, err = c.exclude(ctx, &k, generation)
	}
	if err != nil {
		return err
	}
	return c.e.store.Update(ctx, "note how far a change is", func(tx *store.Tx) error {
		if over && !k.Found {
			if err := tx.DropChange(ctx, db.DropChangeParams{AccountID: k.AccountID, ClusterID: k.ClusterID, Callbridge: k.Callbridge, Shape: k.Shape}); err != nil {
				return err
			}
		}
		if over { // if it is still there, there is more to find
			return tx.RestartChange(ctx, db.RestartChangeParams{AccountID: k.AccountID, ClusterID: k.ClusterID, Callbridge: k.Callbridge, Shape: k.Shape})
		}
		return tx.MoveChange(ctx, db.MoveChangeParams{Seq: k.Seq, BeganAt: k.BeganAt, MeetingID: k.MeetingID, Found: k.Found,
			AccountID: k.AccountID, ClusterID: k.ClusterID, Callbridge: k.Callbridge, Shape: k.Shape})
	})
}

// include takes kept posts of a call bridge that counts now to their meetings.
func (c *cluster) include(ctx context.Context, k *db.CdrChange, generation int) (over bool, err error) {
	var posts []*journalPost
	err = c.e.store.View(ctx, func(tx *store.Tx) error {
		posts = posts[:0]
		if k.Seq == 0 { // posts that were removed are not looked for
			oldest, err := tx.OldestPosts(ctx, db.OldestPostsParams{AccountID: c.account, ClusterID: c.id, Through: k.Upto, Page: 1})
			if err != nil || len(oldest) == 0 {
				k.Seq = k.Upto
				return err
			}
			k.Seq = oldest[0].Seq - 1
		}
		through := min(k.Upto, k.Seq+changeSpan)
		rows, err := tx.PostsOfBridge(ctx, db.PostsOfBridgeParams{AccountID: c.account, ClusterID: c.id, After: k.Seq, Through: through, Callbridge: k.Callbridge, Page: changePosts})
		if err != nil {
			return fmt.Errorf("read journal of %s: %w", c.id, err)
		}
		for _, r := range rows {
			p, err := postOf(r.Seq, r.DirectoryVersion, r.Ignored, r.Body)
			if err != nil {
				return err
			}
			p.replay = true
			posts = append(posts, p)
		}
		if k.Seq = through; len(rows) == changePosts {
			k.Seq = rows[len(rows)-1].Seq
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if len(posts) > 0 {
		if err := c.retake(ctx, posts); err != nil {
			return false, err
		}
		if err := c.flushOnce(ctx); err != nil {
			return false, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != generation {
		return false, errReloaded
	}
	k.Found = false
	return k.Seq >= k.Upto, nil
}

// retake takes posts to their meetings that were heard long ago.
func (c *cluster) retake(ctx context.Context, posts []*journalPost) error {
	if err := c.route(ctx); err != nil {
		return err
	}
	c.applying.Lock()
	defer c.applying.Unlock()
	back, err := c.missing(ctx, c.unknown(posts), posts)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.e.now()
	for _, h := range back {
		c.restore(h)
	}
	for part := range slices.Chunk(posts, breath) {
		for _, p := range part {
			p.each(func(r *cdr.Record) {
				c.router.AddTo(r, &c.added)
				c.changed(&c.added, p.version, now, r.Kind == cdr.CallEnd)
			})
		}
		c.yield()
	}
	return nil
}

// exclude takes the records of call bridges that do not count any more out of meetings. What is left of each is written in the transaction
// that erases it as it was: none is counted twice, or lost.
func (c *cluster) exclude(ctx context.Context, k *db.CdrChange, generation int) (over bool, err error) {
	rows, err := c.strays(ctx, k)
	if err != nil {
		return false, err
	}
	if len(rows.rows) > 0 {
		k.Found = true
		if err := c.split(ctx, rows.rows, generation); err != nil {
			return false, err
		}
	}
	k.BeganAt, k.MeetingID = rows.at, rows.id
	return rows.last, nil
}

// strayPage is what a step found among some meetings.
type strayPage struct {
	rows []stray
	at   int64 // when the last of the meetings began
	id   string
	last bool // there are no more
}

// stray is a stored meeting with records that do not count.
type stray struct {
	held
	left    []*cdr.Record
	version int64 // to which what is left of it is bound
}

// strays reads the next meetings, and returns those that have records of call bridges that do not count.
func (c *cluster) strays(ctx context.Context, k *db.CdrChange) (out strayPage, err error) {
	err = c.e.store.View(ctx, func(tx *store.Tx) error {
		out = strayPage{at: k.BeganAt, id: k.MeetingID}
		rows, err := tx.MeetingsToReplay(ctx, db.MeetingsToReplayParams{AccountID: c.account, ClusterID: c.id, FromAt: 0, ToAt: far + 1,
			AfterAt: k.BeganAt, AfterID: k.MeetingID, Page: changeMeetings})
		if err != nil {
			return fmt.Errorf("read meetings of %s: %w", c.id, err)
		}
		out.last = len(rows) < changeMeetings
		for _, row := range rows {
			out.at, out.id = row.StartedAt, row.MeetingID
			records, err := cdr.Decode(row.Records)
			if err != nil {
				return fmt.Errorf("read records of %s: %w", row.MeetingID, err)
			}
			s := stray{held: held{row.MeetingID, row.MeetingKey, row.DirectoryVersion, row.EndedAt, row.Estimated, row.Lost, records}}
			if s.left = c.counting(records); len(s.left) == len(records) {
				continue
			}
			if s.version, err = c.boundTo(ctx, tx, s.left, row.DirectoryVersion); err != nil {
				return err
			}
			out.rows = append(out.rows, s)
		}
		return nil
	})
	return out, err
}

// counting returns the records that count.
func (c *cluster) counting(records []*cdr.Record) []*cdr.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(records), func(r *cdr.Record) bool { return !c.counts(r.CallBridge) })
}

// boundTo is the version of the directory when the first of some records was stored; that of their meeting when one of their posts is
// no longer kept.
func (c *cluster) boundTo(ctx context.Context, tx *store.Tx, records []*cdr.Record, meeting int64) (int64, error) {
	first := int64(0)
	read := map[int64]*openPost{}
	for _, r := range records {
		seqs, err := c.holders(ctx, tx, identity{r.Session, r.Correlator})
		if err != nil {
			return 0, err
		}
		found := false
		for _, seq := range seqs {
			if read[seq] == nil {
				if read[seq], err = c.open(ctx, tx, seq); err != nil {
					return 0, err
				}
			}
			if p := read[seq]; p.counted(identity{r.Session, r.Correlator}) >= 0 {
				if found = true; first == 0 || p.version < first {
					first = p.version
				}
				break
			}
		}
		if !found {
			return meeting, nil
		}
	}
	return first, nil
}

// split puts what is left of meetings in their place.
func (c *cluster) split(ctx context.Context, rows []stray, generation int) error {
	f := &chunk{done: make(chan struct{})}
	c.applying.Lock()
	c.mu.Lock()
	if c.generation != generation {
		c.mu.Unlock()
		c.applying.Unlock()
		return errReloaded
	}
	for _, s := range rows {
		f.gone = append(f.gone, s.id)
		left := s.left
		if e := c.held[s.id]; e != nil { // more was posted since
			for _, a := range e.absorbed {
				f.gone = append(f.gone, a.id)
			}
			left = slices.DeleteFunc(c.router.RecordsOf(e.key), func(r *cdr.Record) bool { return !c.counts(r.CallBridge) })
			c.forget(e)
		}
		apart := cdr.NewRouter()
		apart.Restore(s.key, left)
		for _, key := range apart.Keys() {
			if records := apart.RecordsOf(key); len(records) > 0 {
				c.restore(held{c.meetingID(key), key, s.version, s.end, s.guessed, s.lost, records})
				c.touch(c.entries[key], c.e.now())
			}
		}
	}
	mine := map[*entry]bool{}
	for _, e := range c.dirtied {
		mine[e] = c.entries[e.key] == e
	}
	dirty := c.takeDirty(func(e *entry) bool { return mine[e] })
	c.mu.Unlock()
	c.applying.Unlock()
	err := c.prepareChunk(ctx, f, generation, dirty)
	if err == nil {
		err = c.flushChunk(ctx, f)
	}
	if err == nil {
		return nil
	}
	// What is in memory was not written, or is not known to be: it is loaded anew.
	again, end := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer end()
	if c.reload(again) != nil {
		c.applying.Lock()
		defer c.applying.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.clear()
	}
	return err
}

// eraseGone erases the meetings in whose place others are written.
func (c *cluster) eraseGone(ctx context.Context, tx *store.Tx, f *chunk) error {
	if f.stray {
		if err := tx.FindChanges(ctx, db.FindChangesParams{AccountID: c.account, ClusterID: c.id}); err != nil {
			return fmt.Errorf("note strays of %s: %w", c.id, err)
		}
	}
	if len(f.gone) == 0 {
		return nil
	}
	hours, now := hourMarks{}, store.Ms(tx.Now())
	for _, id := range f.gone {
		if err := c.erase(ctx, tx, id, hours, now); err != nil {
			return err
		}
	}
	if err := tx.MarkHours(ctx, hours.rows(c.account, now)); err != nil {
		return fmt.Errorf("mark hours: %w", err)
	}
	return nil
}
