package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	maxBatch      = 256      // posts of one commit
	maxBatchBytes = 8 << 20  // of their bodies
	maxQueue      = 4096     // posts that wait
	maxQueueBytes = 64 << 20 // of their bodies
	maxForeign    = 1000     // posts of other replicas read inside a commit
	commitTimeout = 30 * time.Second
	maxConflicts  = 10_000 // that are kept of a bridge; more of them tell nothing new
	maxDirty      = 2000   // meetings that wait to be written; beyond, posts come no faster than those
)

// queue holds the posts of a cluster that wait for their commit. There is no timer: posts gather while the last commit
// runs. The first post that finds nobody at work starts a goroutine, which ends when nothing waits.
type queue struct {
	mu      sync.Mutex // guards what follows
	waiting []*post
	bytes   int
	leading bool
	rider   *chunk // meetings that wait to be written with the next commit; only while leading

	offered chan struct{} // holds one value when there is a rider, or a flush has ended
}

// post is one body on its way into the journal.
type post struct {
	cdr.Post
	body    []byte
	from    string        // id of the receiver
	packed  []byte        // the body as it is stored
	done    chan struct{} // closed when receipt and err stand
	receipt Receipt
	err     error
}

// take hands a post to the lane and waits for its commit.
func (c *cluster) take(ctx context.Context, p *post) error {
	q := &c.queue
	q.mu.Lock()
	if len(q.waiting) >= maxQueue || q.bytes+len(p.body) > maxQueueBytes {
		q.mu.Unlock()
		return license.Refuse(license.KindBusy, "busy", "send the records again; a call bridge does so by itself",
			"more call records are waiting for the database than it takes")
	}
	q.waiting = append(q.waiting, p)
	q.bytes += len(p.body)
	start := !q.leading
	q.leading = true
	q.mu.Unlock()
	if start {
		c.e.leaders.Go(c.lead)
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// courtesy is how often the lane lets go of its processor before a commit: those who are about to hand in a post do so first, and
// the commit has more of them. Where nobody else has anything to do this takes no time. By itself a commit costs as much as several posts.
const courtesy = 2

// lead commits what waits until nothing does.
func (c *cluster) lead() {
	for {
		for range courtesy {
			runtime.Gosched()
		}
		batch := c.queue.next()
		if batch == nil {
			return
		}
		c.commit(batch)
	}
}

func (q *queue) next() []*post {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && n < maxBatch && (n == 0 || size+len(q.waiting[n].body) <= maxBatchBytes) {
		size += len(q.waiting[n].body)
		n++
	}
	if n == 0 {
		q.leading = false
		if q.rider != nil {
			q.rider.arrive(false)
			q.rider = nil
		}
		return nil
	}
	batch := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	q.bytes -= size
	return batch
}

// errFar says that other replicas wrote more than a commit should read.
var errFar = errors.New("the journal is far ahead of what is in memory")

// commit stores a batch, answers its posts, and takes it into memory.
func (c *cluster) commit(batch []*post) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	w, err := c.storeBatch(ctx, batch)
	for i, p := range batch {
		p.err = err
		if err == nil {
			p.receipt = w.judged[i].receipt
		}
		close(p.done)
	}
	if err != nil {
		return
	}
	if err := c.apply(ctx, w.posts); err != nil {
		c.e.log.ErrorContext(ctx, "call records are stored and not yet counted; the next post counts them", "bridge", c.id, "error", err)
	}
	c.repeats(batch, w.judged)
	c.e.dirty()
	c.ease(ctx)
}

// ease waits, when too many meetings wait to be written, until the next commit can take some along.
func (c *cluster) ease(ctx context.Context) {
	c.mu.Lock()
	behind := len(c.dirtied) > maxDirty
	c.mu.Unlock()
	if !behind {
		return
	}
	if c.flushing.TryLock() { // nobody flushes
		c.flushing.Unlock()
		c.e.leaders.Go(func() {
			whole, end := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
			defer end()
			if err := c.flush(whole); err != nil {
				c.e.log.ErrorContext(whole, "meetings are not written; it will be tried again", "bridge", c.id, "error", err)
			}
		})
	}
	select {
	case <-c.queue.offered:
	case <-ctx.Done():
	}
}

// storeBatch writes what is new of a batch. Where other replicas are far ahead, it loads what they made of the journal
// and tries again.
func (c *cluster) storeBatch(ctx context.Context, batch []*post) (write, error) {
	rider, carried := c.queue.passenger(), false
	defer func() {
		if rider != nil {
			rider.arrive(carried)
		}
	}()
	if err := c.load(ctx); err != nil {
		return write{}, err
	}
	for attempt := 0; ; attempt++ {
		w := c.prepare(batch)
		if w.idle() {
			return w, nil
		}
		if w.clashes > 0 { // their meetings are looked for
			if err := c.route(ctx); err != nil {
				return w, err
			}
		}
		err := c.update(ctx, batch, &w, rider)
		if rider != nil && err != nil && !errors.Is(err, errFar) && !errors.Is(err, store.ErrUnknownOutcome) {
			rider.arrive(false)
			rider = nil
			err = c.update(ctx, batch, &w, nil)
		}
		carried = err == nil
		if !errors.Is(err, errFar) || attempt == 2 {
			return w, err
		}
		if err := c.reload(ctx); err != nil {
			return w, err
		}
	}
}

// update is one transaction of posts, and of a chunk of meetings if there is one.
func (c *cluster) update(ctx context.Context, batch []*post, w *write, rider *chunk) error {
	return c.e.store.Update(ctx, "store call records", func(tx *store.Tx) error {
		if err := c.write(ctx, tx, batch, w); err != nil || rider == nil {
			return err
		}
		return c.writeChunk(ctx, tx, rider)
	})
}

// identity is what makes two records the same (domain rule 2).
type identity struct {
	session    string
	correlator int64
}

// verdict is what becomes of one post.
type verdict struct {
	receipt   Receipt
	seq       int64
	ignored   []int
	news      bool // a repeat announces a loss that is not known
	conflicts []int
}

// write is what one commit does. Its closure may run twice and starts from the beginning each time.
type write struct {
	judged     []verdict
	seq        int64 // up to which memory knew the journal when it judged
	generation int   // of memory, at the same time
	ran        bool
	unsure     []identity               // heard, and their digest is not in memory
	looked     map[identity]*cdr.Record // what the journal said of those, and of others; nil for nothing
	foreign    []*journalPost
	posts      []*journalPost // foreign ones and ours, to be taken into memory
	fresh      int64
	clashes    int
}

// idle reports whether there is nothing to write: every record is known.
func (w *write) idle() bool { return w.fresh == 0 && w.clashes == 0 && len(w.unsure) == 0 }

// prepare judges a batch by what is in memory.
func (c *cluster) prepare(batch []*post) write {
	w := write{judged: make([]verdict, len(batch))}
	c.judge(batch, &w)
	return w
}

// judge says of each record whether it is new, a repeat or a conflict: by what is in memory, by the posts of other
// replicas that are not, and by the batch itself.
func (c *cluster) judge(batch []*post, w *write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.seq, w.generation, w.fresh, w.clashes, w.unsure = c.seq, c.generation, 0, 0, w.unsure[:0]
	staged := c.staged
	clear(staged)
	for _, p := range w.foreign {
		p.each(func(r *cdr.Record) { staged[identity{r.Session, r.Correlator}] = r.Digest })
	}
	for i, p := range batch {
		v := verdict{receipt: Receipt{Records: len(p.Records)}}
		s := c.sessions[p.Session]
		for j := range p.Records {
			r := &p.Records[j]
			id := identity{r.Session, r.Correlator}
			digest, known := staged[id]
			if !known && s != nil {
				var may bool
				if digest, known, may = s.heard(r.Correlator); may && !known {
					if found, looked := w.looked[id]; !looked {
						w.unsure = append(w.unsure, id)
					} else if known = found != nil; known {
						if digest = found.Digest; !contradicts(r, found) {
							digest = r.Digest
						}
					}
				}
			}
			switch {
			case !known:
				staged[id] = r.Digest
				v.receipt.New++
				continue
			case digest == r.Digest:
				v.receipt.Repeats++
				v.news = v.news || r.Missing > 0 && s != nil && s.loses(r)
			default:
				v.receipt.Conflicts++
				v.conflicts = append(v.conflicts, j)
				w.clashes++
			}
			v.ignored = append(v.ignored, j)
		}
		if v.receipt.New > 0 || v.news {
			w.fresh++
		}
		w.judged[i] = v
	}
}

// write is the transaction: number the new posts under the lock of the cluster's row, judge again if other replicas
// wrote in between, append to the journal, keep the conflicts.
func (c *cluster) write(ctx context.Context, tx *store.Tx, batch []*post, w *write) error {
	c.mu.Lock()
	moved := w.ran || c.seq != w.seq
	c.mu.Unlock()
	if moved {
		*w = write{judged: w.judged}
		c.judge(batch, w)
	}
	w.ran = true
	taken := w.fresh
	take := func(n int64) (int64, error) {
		return tx.TakeSeqs(ctx, db.TakeSeqsParams{Posts: n, AccountID: c.account, ClusterID: c.id})
	}
	last, err := take(taken)
	if err != nil {
		return fmt.Errorf("number posts of %s: %w", c.id, err)
	}
	if err := c.settle(ctx, tx, batch, w, last-taken); err != nil {
		return err
	}
	if w.fresh != taken {
		if last, err = take(w.fresh - taken); err != nil {
			return fmt.Errorf("number posts of %s: %w", c.id, err)
		}
	}
	w.posts = append(w.posts, w.foreign...)
	return c.insert(ctx, tx, batch, w, last-w.fresh)
}

// settle judges a batch until what memory does not know of the journal, which ends with the post before, is read: memory may
// be filled anew meanwhile, and then with what the journal was a moment ago.
func (c *cluster) settle(ctx context.Context, tx *store.Tx, batch []*post, w *write, before int64) (err error) {
	for range 3 {
		if before-w.seq > maxForeign || before < w.seq {
			return errFar
		}
		if before > w.seq {
			if w.foreign, err = c.readPosts(ctx, tx, w.seq, before); err != nil {
				return err
			}
		}
		if err := c.lookUp(ctx, tx, w); err != nil {
			return err
		}
		if w.foreign == nil && w.looked == nil {
			return nil
		}
		was := w.generation
		if c.judge(batch, w); w.generation == was && len(w.unsure) == 0 {
			return nil
		}
		w.foreign, w.looked = nil, nil
		c.judge(batch, w)
	}
	return errFar
}

// lookUp asks the journal for the records whose digest is not in memory.
func (c *cluster) lookUp(ctx context.Context, tx *store.Tx, w *write) error {
	if len(w.unsure) == 0 {
		return nil
	}
	l := newLookup()
	for _, id := range w.unsure {
		if _, done := l.found[id]; done {
			continue
		}
		found, err := c.stored(ctx, tx, id, &l)
		if err != nil {
			return err
		}
		l.found[id] = found
	}
	w.looked = l.found
	return nil
}

// lookup is what was read of the journal to find records.
type lookup struct {
	read    map[int64]bool // posts
	removed map[int64]bool // of those, the ones that are no longer kept
	left    []span         // posts whose digests are in gone
	gone    map[identity]*cdr.Record
	found   map[identity]*cdr.Record
}

func newLookup() lookup {
	return lookup{read: map[int64]bool{}, removed: map[int64]bool{}, gone: map[identity]*cdr.Record{}, found: map[identity]*cdr.Record{}}
}

// insert writes the new posts, numbered from the one after before, and the conflicts.
func (c *cluster) insert(ctx context.Context, tx *store.Tx, batch []*post, w *write, before int64) error {
	version, err := tx.DirectoryInForce(ctx, c.account)
	if err != nil {
		return fmt.Errorf("read directory version of %s: %w", c.account, err)
	}
	now := store.Ms(tx.Now())
	rows := make([]db.CdrPost, 0, w.fresh)
	for i, p := range batch {
		v := &w.judged[i]
		if err := c.contradict(ctx, tx, p, v.conflicts, now); err != nil {
			return err
		}
		if v.receipt.New == 0 && !v.news {
			continue
		}
		before++
		v.seq = before
		ignored := ""
		if len(v.ignored) > 0 {
			text, err := json.Marshal(v.ignored)
			if err != nil {
				return fmt.Errorf("encode ignored records: %w", err)
			}
			ignored = string(text)
		}
		rows = append(rows, db.CdrPost{
			AccountID: c.account, ClusterID: c.id, Seq: v.seq, ReceivedAt: now, Session: p.Session, Callbridge: p.CallBridge,
			DirectoryVersion: version, Ignored: ignored, Body: p.packed, Receiver: p.from,
		})
		w.posts = append(w.posts, &journalPost{
			seq: v.seq, version: version, session: p.Session, bridge: p.CallBridge, receiver: p.from, records: p.Records, ignored: v.ignored,
		})
	}
	if err := tx.InsertPosts(ctx, rows); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}

// contradict keeps the records of a post that contradict stored ones, each with its own text only, as long as there is room.
func (c *cluster) contradict(ctx context.Context, tx *store.Tx, p *post, which []int, now int64) error {
	if len(which) == 0 {
		return nil
	}
	kept, err := tx.CountConflicts(ctx, db.CountConflictsParams{AccountID: c.account, ClusterID: c.id})
	if err != nil {
		return fmt.Errorf("count conflicts: %w", err)
	}
	bodies := p.Apart(p.body)
	for _, j := range which {
		if kept >= maxConflicts {
			return nil
		}
		r, body := &p.Records[j], []byte{}
		if j < len(bodies) {
			body = bodies[j]
		}
		n, err := tx.InsertConflict(ctx, db.InsertConflictParams{
			AccountID: c.account, ClusterID: c.id, Session: r.Session, Correlator: r.Correlator, Digest: r.Digest[:],
			Ref: c.meant(r), NotedAt: now, Body: body, Receiver: p.from, RecordIndex: r.RecordIndex, Against: -1,
		})
		if err != nil {
			return fmt.Errorf("keep conflict: %w", err)
		}
		kept += n
	}
	return nil
}

// repeats counts the repeats of a batch, and notes how they were numbered. They are written with their sessions, so those of the last moment before a
// crash are not counted; their records are.
func (c *cluster) repeats(batch []*post, judged []verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range batch {
		s, v := c.sessions[p.Session], &judged[i]
		if s == nil || v.receipt.Repeats == 0 {
			continue
		}
		s.repeats += int64(v.receipt.Repeats)
		s.dirty = true
		for _, j := range v.ignored {
			if !slices.Contains(v.conflicts, j) {
				s.number(p.from, &p.Records[j], true)
			}
		}
	}
}
