package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	page         = 500    // rows read at once
	routedAtOnce = 256    // posts taken to their meetings at once
	breath       = 16     // … until others may have mu
	maxWaiting   = 20_000 // records that wait for that
	largePost    = 100    // records of a post that is not kept in memory for a few of them
)

// journalPost is a stored post.
type journalPost struct {
	seq, version    int64
	session, bridge string
	receiver        string // empty for a note, and where it is not known
	records         []cdr.Record
	ignored         []int // positions of records that were known before

	// Filled in when it is heard.
	before  int64 // highest correlator of the session before it
	newest  bool  // it may have made its session the newest of its call bridge
	replay  bool  // meetings may show its records already
	shifted *span // between which times something was lost, or turned out not to be

	next, asked int64 // of a note: the number that the next record will have, and when the call bridge said so
	hole        span  // of a note without next: what never came before a record that was made when asked says
}

// shift says that what was lost at a time is another now.
func (p *journalPost) shift(at int64) {
	if p.shifted == nil {
		p.shifted = &span{at, at}
	}
	p.shifted[0], p.shifted[1] = min(p.shifted[0], at), max(p.shifted[1], at)
}

// each calls fn with the records that count.
func (p *journalPost) each(fn func(*cdr.Record)) {
	for i := range p.records {
		if !slices.Contains(p.ignored, i) {
			fn(&p.records[i])
		}
	}
}

// postOf reads a row of the journal.
func postOf(seq, version int64, ignored string, body []byte) (*journalPost, error) {
	parsed, err := cdr.Parse(body)
	if err != nil {
		return nil, fmt.Errorf("read stored post %d: %w", seq, err)
	}
	p := &journalPost{seq: seq, version: version, session: parsed.Session, bridge: parsed.CallBridge, records: parsed.Records}
	if err := noteOf(p, parsed, body); err != nil {
		return nil, err
	}
	if ignored != "" {
		if err := json.Unmarshal([]byte(ignored), &p.ignored); err != nil {
			return nil, fmt.Errorf("read stored post %d: %w", seq, err)
		}
	}
	return p, nil
}

// readPosts reads the journal after one number up to another.
func (c *cluster) readPosts(ctx context.Context, tx *store.Tx, after, through int64) ([]*journalPost, error) {
	var posts []*journalPost
	for after < through {
		rows, err := tx.PostsAfter(ctx, db.PostsAfterParams{
			AccountID: c.account, ClusterID: c.id, After: after, Through: through, Page: page,
		})
		if err != nil {
			return nil, fmt.Errorf("read journal of %s: %w", c.id, err)
		}
		for _, r := range rows {
			p, err := postOf(r.Seq, r.DirectoryVersion, r.Ignored, r.Body)
			if err != nil {
				return nil, err
			}
			p.receiver = r.Receiver
			posts = append(posts, p)
		}
		if len(rows) == 0 || rows[0].Seq != after+1 {
			return nil, errFar // these posts were removed, as meetings show them since long
		}
		after = rows[len(rows)-1].Seq
	}
	return posts, nil
}

// load fills memory from the tables, once: sessions, meetings that run, and the posts that those do not show yet.
func (c *cluster) load(ctx context.Context) error {
	if c.isLoaded() {
		return nil
	}
	c.applying.Lock()
	defer c.applying.Unlock()
	if c.isLoaded() { // by another one meanwhile
		return nil
	}
	return c.reloadLocked(ctx)
}

func (c *cluster) isLoaded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaded
}

// reload forgets what is in memory and loads it anew.
func (c *cluster) reload(ctx context.Context) error {
	c.applying.Lock()
	defer c.applying.Unlock()
	return c.reloadLocked(ctx)
}

// reloadLocked is reload where applying is held.
func (c *cluster) reloadLocked(ctx context.Context) error {
	var row db.Cluster
	var share bool
	var sessions []*session
	var running []held
	var posts []*journalPost
	err := c.e.store.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.Cluster(ctx, db.ClusterParams{AccountID: c.account, ClusterID: c.id})
		if err != nil {
			return fmt.Errorf("read bridge %s: %w", c.id, err)
		}
		if share, err = policiesShare(ctx, tx, c.account); err != nil {
			return err
		}
		if sessions, err = c.readSessions(ctx, tx); err != nil {
			return err
		}
		if running, err = c.readRunning(ctx, tx); err != nil {
			return err
		}
		posts, err = c.readPosts(ctx, tx, row.ProjectedSeq, row.LastSeq)
		return err
	})
	if err != nil {
		return err
	}
	allowed, err := allowedOf(row)
	if err != nil {
		return err
	}
	if share {
		c.e.mu.Lock()
		c.e.sharing[c.account] = true
		c.e.mu.Unlock()
	}
	c.mu.Lock()
	c.clear()
	c.allowed, c.shape = allowed, row.Shape
	for _, s := range sessions {
		c.sessions[s.id] = s
	}
	for _, s := range sessions {
		if s.bridge != "" && c.counts(s.bridge) {
			c.close(s.bridge, c.e.now())
		}
	}
	for _, h := range running {
		c.restore(h)
	}
	c.seq, c.routed, c.flushed = row.ProjectedSeq, row.ProjectedSeq, -1
	for _, p := range posts {
		p.replay = true
		c.hear(p)
	}
	c.mu.Unlock()
	if err := c.routeLocked(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.loaded = true
	c.mu.Unlock()
	return nil
}

func (c *cluster) readSessions(ctx context.Context, tx *store.Tx) ([]*session, error) {
	var out []*session
	for after := ""; ; {
		rows, err := tx.Sessions(ctx, db.SessionsParams{AccountID: c.account, ClusterID: c.id, After: after, Page: page})
		if err != nil {
			return nil, fmt.Errorf("read sessions of %s: %w", c.id, err)
		}
		for _, r := range rows {
			s, err := sessionOf(r)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		if len(rows) < page {
			return out, nil
		}
		after = rows[len(rows)-1].Session
	}
}

// held is a stored meeting on its way back into memory.
type held struct {
	id, key string
	version int64
	end     int64
	guessed bool
	lost    bool
	records []*cdr.Record
}

func (c *cluster) readRunning(ctx context.Context, tx *store.Tx) ([]held, error) {
	var out []held
	for after := ""; len(out) < maxHeld; {
		rows, err := tx.RunningMeetings(ctx, db.RunningMeetingsParams{AccountID: c.account, ClusterID: c.id, After: after, Page: page})
		if err != nil {
			return nil, fmt.Errorf("read running meetings of %s: %w", c.id, err)
		}
		for _, r := range rows {
			records, err := cdr.Decode(r.Records)
			if err != nil {
				return nil, fmt.Errorf("read records of %s: %w", r.MeetingID, err)
			}
			out = append(out, held{r.MeetingID, r.MeetingKey, r.DirectoryVersion, 0, false, true, records})
		}
		if len(rows) < page {
			break
		}
		after = rows[len(rows)-1].MeetingID
	}
	return out, nil
}

// restore brings a stored meeting back into memory. What is written of it is not known: another replica may have
// written since.
func (c *cluster) restore(h held) {
	if c.entries[h.key] != nil {
		return
	}
	e := c.entry(h.key, h.version)
	e.touched, e.end, e.guessed, e.lost, e.written = c.e.now(), h.end, h.guessed, h.lost, nil
	change := c.router.Restore(h.key, h.records)
	c.changed(&change, h.version, c.e.now(), false)
}

// apply takes posts of the journal into memory, in order; those that are there already are skipped. What they mean for
// meetings is worked out later, for many posts at once, unless too many wait for it already.
func (c *cluster) apply(ctx context.Context, posts []*journalPost) error {
	c.mu.Lock()
	for _, p := range posts {
		if p.seq == c.seq+1 {
			c.hear(p)
		}
	}
	full := c.waiting > maxWaiting
	c.mu.Unlock()
	if full {
		return c.route(ctx)
	}
	return nil
}

// route takes the posts that were heard to their meetings.
func (c *cluster) route(ctx context.Context) error {
	c.applying.Lock()
	defer c.applying.Unlock()
	return c.routeLocked(ctx)
}

// yield lets the lane have mu, which must never wait long for it.
func (c *cluster) yield() {
	c.mu.Unlock()
	runtime.Gosched()
	c.mu.Lock()
}

// routeLocked is route where applying is held: nothing else changes the router.
func (c *cluster) routeLocked(ctx context.Context) error {
	for {
		c.mu.Lock()
		posts := c.pending[:min(len(c.pending), routedAtOnce)]
		c.mu.Unlock()
		if len(posts) == 0 {
			return nil
		}
		refs := c.unknown(posts)
		back, err := c.missing(ctx, refs, posts)
		if err != nil {
			return err
		}
		c.mu.Lock()
		now := c.e.now()
		for _, h := range back {
			c.restore(h)
		}
		for part := range slices.Chunk(posts, breath) {
			for _, p := range part {
				c.add(p, now)
			}
			c.pending = c.pending[len(part):]
			c.yield()
		}
		if len(c.pending) == 0 {
			c.pending = nil
		}
		c.mu.Unlock()
	}
}

// missing reads the meetings that refs belong to, or that losses may concern, and that are not in memory. A leg may lead to a meeting whose other legs
// and calls lead to no further one: a meeting is stored with all its records.
func (c *cluster) missing(ctx context.Context, refs []string, posts []*journalPost) ([]held, error) {
	shifted, replay := false, false
	for _, p := range posts {
		shifted = shifted || p.shifted != nil
		replay = replay || p.replay
	}
	if len(refs) == 0 && !shifted && !replay {
		return nil, nil
	}
	var keyed []string
	for _, ref := range refs {
		if keepsNoRef(ref) {
			keyed = append(keyed, c.meetingID(ref))
		}
	}
	var out []held
	err := c.e.store.View(ctx, func(tx *store.Tx) error {
		out = out[:0]
		ids, err := tx.MeetingsByRefs(ctx, c.account, c.id, refs)
		if err != nil {
			return err
		}
		there, err := tx.MeetingsThere(ctx, c.account, keyed)
		if err != nil {
			return err
		}
		ids = append(ids, there...)
		if shifted {
			doubtful, err := c.doubtful(ctx, tx, posts)
			if err != nil {
				return err
			}
			ids = append(ids, doubtful...)
		}
		if replay {
			shown, err := c.shown(ctx, tx, posts)
			if err != nil {
				return err
			}
			ids = append(ids, shown...)
		}
		slices.Sort(ids)
		for _, id := range slices.Compact(ids) {
			c.mu.Lock()
			e := c.held[id]
			c.mu.Unlock()
			if e != nil {
				continue
			}
			row, err := tx.Meeting(ctx, db.MeetingParams{AccountID: c.account, MeetingID: id})
			if err != nil { // refs go with their meeting
				return fmt.Errorf("read meeting %s: %w", id, err)
			}
			records, err := cdr.Decode(row.Records)
			if err != nil {
				return fmt.Errorf("read records of %s: %w", id, err)
			}
			out = append(out, held{id, row.MeetingKey, row.DirectoryVersion, row.EndedAt, row.Estimated, row.Lost, records})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up earlier meetings of %s: %w", c.id, err)
	}
	return out, nil
}

// shown lists the meetings that may have records of these posts already, or be where they belong: those from their time. A
// meeting of which everything was heard keeps no refs, also when what was heard is heard again after a crash.
func (c *cluster) shown(ctx context.Context, tx *store.Tx, posts []*journalPost) ([]string, error) {
	from, to := int64(far), int64(0)
	for _, p := range posts {
		p.each(func(r *cdr.Record) { from, to = min(from, store.Ms(r.At)), max(to, store.Ms(r.At)) })
	}
	ids, err := tx.MeetingsOpenAt(ctx, db.MeetingsOpenAtParams{AccountID: c.account, ClusterID: c.id,
		FromAt: from - day, Through: to + hour, EndedFrom: from - hour, Page: maxDoubtful})
	if err != nil {
		return nil, fmt.Errorf("read meetings of replayed posts: %w", err)
	}
	return ids, nil
}

// unknown lists the refs of posts that the router does not know. A record that begins something is the first one about
// it; when nothing later was heard of its session, nothing about it was. A post that moves the end of sessions moves that of
// the meetings which have no other end.
func (c *cluster) unknown(posts []*journalPost) []string {
	need := c.router.Need()
	newest := map[string]bool{} // call bridges
	for _, p := range posts {
		if !c.counts(p.bridge) {
			continue
		}
		highest := p.before
		for i := range p.records {
			if r := &p.records[i]; !slices.Contains(p.ignored, i) {
				need.Of(r, !p.replay && r.Correlator > highest && begins(r.Kind))
				highest = max(highest, r.Correlator)
			}
		}
		if p.newest {
			newest[p.bridge] = true
		}
	}
	if len(newest) > 0 {
		c.mu.Lock() // the lane hears of sessions meanwhile
		for id, s := range c.sessions {
			if newest[s.bridge] {
				need.Refs = append(need.Refs, sessionRef(id))
			}
		}
		c.mu.Unlock()
	}
	slices.Sort(need.Refs)
	return need.Refs
}

func begins(k cdr.Kind) bool {
	return k == cdr.CallStart || k == cdr.CallLegStart || k == cdr.RecordingStart || k == cdr.StreamingStart
}

// catchUp takes what other replicas stored into memory.
func (c *cluster) catchUp(ctx context.Context) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	seq, shape := c.seq, c.shape
	c.mu.Unlock()
	var posts []*journalPost
	far := false
	err := c.e.store.View(ctx, func(tx *store.Tx) error {
		row, err := tx.Cluster(ctx, db.ClusterParams{AccountID: c.account, ClusterID: c.id})
		if err != nil {
			return fmt.Errorf("read bridge %s: %w", c.id, err)
		}
		if far = row.LastSeq-seq > maxForeign || row.Shape != shape; far {
			return nil
		}
		posts, err = c.readPosts(ctx, tx, seq, row.LastSeq)
		return err
	})
	if err != nil && !errors.Is(err, errFar) {
		return err
	}
	if far || err != nil {
		return c.reload(ctx)
	}
	return c.apply(ctx, posts)
}
