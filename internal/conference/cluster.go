package conference

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

const (
	keepEnded = 5 * time.Minute // by our clock, since its last record
	maxHeld   = 20_000          // meetings and waiting legs in memory
	maxEnded  = 1_000           // … of which over
)

// cluster is what is in memory of one cluster of call bridges: a function of the journal up to seq.
//
// Locks are taken in the order flushing, applying, mu. None but flushing is held while a transaction that writes is
// waited for, and a transaction takes none but mu.
type cluster struct {
	e           *Engine
	account, id string

	queue queue // posts that wait for their commit
	uses  uses  // of receivers
	toll  toll  // on bodies that cannot be read

	flushing sync.Mutex // one at a time writes the tables of meetings
	applying sync.Mutex // one at a time moves memory along the journal, or lets go of it

	mu         sync.Mutex      // guards what follows
	allowed    map[string]bool // call bridges that count; empty for all
	shape      int64           // the cluster's shape when this was loaded, or as this one wrote it last
	reshaping  bool            // what is written now is more than what was posted; only while flushing is held
	loaded     bool
	generation int            // grows when everything is forgotten
	seq        int64          // up to which the journal is heard
	routed     int64          // … and taken to the meetings
	flushed    int64          // the cluster's flushed_seq as this one wrote it last; -1 for not yet
	pending    []*journalPost // heard and not routed
	waiting    int            // their records
	sessions   map[string]*session
	closed     map[string]time.Time // when sessions were found to be over
	router     *cdr.Router
	counters   map[string]counter // what call bridges said of their numbers, until it is settled
	holes      map[hole]time.Time // what was missing in between when it was last looked, and since when
	entries    map[string]*entry  // meetings by key
	held       map[string]*entry  // the same by id
	dirtied    []*entry
	ended      int                   // how many of those are over
	staged     map[identity][16]byte // of judge, to be used again
	added      cdr.Change            // of add, to be used again
}

// entry is a meeting in memory, or a leg that waits for one.
type entry struct {
	key, id string
	version int64 // of the directory, when the first record was stored
	touched time.Time
	dirty   bool
	over    bool     // dirty, and a record that ends a call was among what made it so
	end     int64    // as written last; 0 while it runs
	guessed bool     // the end was estimated
	lost    bool     // records are lost from its time
	refs    []string // those of its refs that are written
	leaving bool     // its refs are to be written though it runs, so that it can leave memory

	written  *[]db.Segment // nil when that is not known
	absorbed []*entry      // merged into this one; their rows are to be deleted
	into     *entry        // that this one was merged into
}

func newCluster(e *Engine, row db.Cluster) (*cluster, error) {
	allowed, err := allowedOf(row)
	if err != nil {
		return nil, err
	}
	c := &cluster{e: e, account: row.AccountID, id: row.ClusterID, allowed: allowed, shape: row.Shape, holes: map[hole]time.Time{}, staged: map[identity][16]byte{}}
	c.queue.offered = make(chan struct{}, 1)
	c.clear()
	return c, nil
}

// allowedOf are the call bridges that count.
func allowedOf(row db.Cluster) (map[string]bool, error) {
	var list []string
	if err := json.Unmarshal([]byte(row.Allowed), &list); err != nil {
		return nil, fmt.Errorf("decode call bridges of %s: %w", row.ClusterID, err)
	}
	allowed := make(map[string]bool, len(list))
	for _, b := range list {
		allowed[b] = true
	}
	return allowed, nil
}

// clear forgets everything.
func (c *cluster) clear() {
	c.loaded, c.seq, c.routed, c.flushed = false, 0, 0, -1
	c.pending, c.waiting = nil, 0
	c.generation++
	c.sessions, c.closed, c.counters = map[string]*session{}, map[string]time.Time{}, map[string]counter{}
	c.router = cdr.NewRouter()
	c.entries, c.held = map[string]*entry{}, map[string]*entry{}
	c.dirtied, c.ended = nil, 0
}

// counts reports whether the records of a call bridge count, or are only kept.
func (c *cluster) counts(bridge string) bool { return len(c.allowed) == 0 || c.allowed[bridge] }

// meetingID makes the id of a meeting from its cluster and key, so that it is the same whichever record came first.
func (c *cluster) meetingID(key string) string {
	sum := trust.Digest("tallystick meeting 1", []byte(c.id), []byte(key))
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	id := []byte("mtg_00000000000000000000000000")
	for i := 4; i < len(id); i++ {
		id[i] = digits[sum[i]&31]
	}
	id[4] = digits[sum[4]&7]
	return string(id)
}

// entry finds or makes the meeting of a key.
func (c *cluster) entry(key string, version int64) *entry {
	e := c.entries[key]
	if e == nil {
		e = &entry{key: key, id: c.meetingID(key), version: version, written: &[]db.Segment{}}
		c.entries[key], c.held[e.id] = e, e
	}
	e.version = min(e.version, version)
	return e
}

// drop takes a meeting out of memory.
func (c *cluster) drop(e *entry) {
	delete(c.entries, e.key)
	delete(c.held, e.id)
}

// changed takes over what the router did with a record; over says that the record ends a call.
func (c *cluster) changed(ch *cdr.Change, version int64, now time.Time, over bool) {
	for _, m := range ch.Merged {
		into := version
		from := c.entries[m.From]
		if from != nil { // else it never was between two records
			c.drop(from)
			into = from.version
		}
		to := c.entry(m.Into, into)
		if from != nil {
			to.absorbed = append(append(to.absorbed, from), from.absorbed...)
			from.into = to
		}
		c.touch(to, now)
	}
	for _, key := range ch.Touched {
		e := c.entry(key, version)
		c.touch(e, now)
		if over && !e.over {
			e.over = true
			c.ended++
		}
	}
}

func (c *cluster) touch(e *entry, now time.Time) {
	e.touched = now
	if !e.dirty {
		e.dirty = true
		c.dirtied = append(c.dirtied, e)
	}
}

// hear notes one post of the journal: what it has, not yet what that means.
func (c *cluster) hear(p *journalPost) {
	c.seq = p.seq
	s := c.sessions[p.session]
	if s == nil {
		s = &session{id: p.session, bridge: p.bridge}
		c.sessions[p.session] = s
	}
	p.before = s.highest()
	begun, last := s.first == 0, s.last
	of := postRange{seq: p.seq, low: math.MaxInt64, high: -1}
	for i := range p.records {
		r := &p.records[i]
		if r.Missing > 0 && s.announce(r, store.Ms(r.At)) {
			p.shift(store.Ms(r.At))
		}
		if slices.Contains(p.ignored, i) {
			continue
		}
		if against := s.number(p.receiver, r, false); against >= 0 {
			s.clashes = append(s.clashes, clash{p.seq, p.receiver, r.Correlator, r.RecordIndex, against})
		}
		if at := s.hear(r, store.Ms(r.At)); at != 0 {
			p.shift(at)
		}
		of.low, of.high = min(of.low, r.Correlator), max(of.high, r.Correlator)
	}
	if p.next > 0 && s.end(p.next, p.asked) {
		p.shift(p.asked)
	}
	if p.next == 0 && p.hole[1] > 0 && s.gone(p.hole[0], p.hole[1], p.asked) {
		p.shift(p.asked)
	}
	if of.high >= 0 {
		s.posts = append(s.posts, of)
	}
	s.dirty = true
	p.newest = p.bridge != "" && c.counts(p.bridge) && (begun || s.closed && s.last > last)
	c.pending = append(c.pending, p)
	c.waiting += len(p.records)
}

// add takes the records of a post to their meetings.
func (c *cluster) add(p *journalPost, now time.Time) {
	c.routed = p.seq
	c.waiting -= len(p.records)
	counts := c.counts(p.bridge)
	for i := range p.records {
		r := &p.records[i]
		if slices.Contains(p.ignored, i) {
			continue
		}
		if !counts {
			continue
		}
		if len(p.records) > largePost {
			r = new(*r)
		}
		c.router.AddTo(r, &c.added)
		c.changed(&c.added, p.version, now, r.Kind == cdr.CallEnd)
	}
	if p.newest {
		c.close(p.bridge, now)
	}
	if p.shifted != nil {
		c.reopen(func(e *entry) bool { return e.end == 0 || e.end >= p.shifted[0] || e.lost }, now)
	}
}

// close finds the sessions of a call bridge that are over because a later one began: its restart (domain rule 5).
func (c *cluster) close(bridge string, now time.Time) {
	newest := c.newest(bridge)
	moved := false
	for _, s := range c.sessions {
		if s.bridge != bridge || s.first == 0 {
			continue
		}
		was, had := c.closed[s.id]
		s.closed = s != newest
		if !s.closed {
			delete(c.closed, s.id)
		} else {
			c.closed[s.id] = store.At(s.last)
		}
		moved = moved || had != s.closed || had && !was.Equal(store.At(s.last))
	}
	if moved {
		c.reopen(func(e *entry) bool { return e.end == 0 || e.guessed }, now)
	}
}

// reopen makes meetings dirty that something besides their records may have changed.
func (c *cluster) reopen(which func(*entry) bool, now time.Time) {
	for _, e := range c.entries {
		if which(e) {
			c.touch(e, now)
		}
	}
}

// evict lets go of meetings that ended or have been silent for long, and of the longest silent ones above the bound. All
// can be brought back by their refs.
func (c *cluster) evict() {
	c.applying.Lock()
	defer c.applying.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.e.now()
	var over, clean []*entry
	for _, e := range c.entries {
		switch {
		case e.dirty:
		case e.end != 0 && now.Sub(e.touched) > keepEnded:
			c.forget(e)
		case e.end != 0:
			over = append(over, e)
		default:
			clean = append(clean, e)
		}
	}
	c.shrink(over, len(over)-maxEnded)
	c.shrink(clean, len(c.entries)-maxHeld)
}

// shrink forgets those that were silent for longest when there are some too many, and a quarter more.
func (c *cluster) shrink(entries []*entry, over int) {
	if over <= 0 {
		return
	}
	slices.SortFunc(entries, func(a, b *entry) int { return a.touched.Compare(b.touched) })
	for _, e := range entries[:min(len(entries), over+maxEnded/4)] {
		if e.end == 0 && !e.leaving {
			e.leaving = true
			c.touch(e, e.touched)
			continue
		}
		c.forget(e)
	}
}

func (c *cluster) forget(e *entry) {
	c.router.Forget(e.key)
	c.drop(e)
}

// meant returns the ref by which the meeting of a conflicting record is found: that of its call, if it can be known.
func (c *cluster) meant(r *cdr.Record) string {
	refs := append(r.Refs(), "")
	if r.CallID != "" {
		return "call:" + r.CallID
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.router.CallOf(refs[0]), refs[0])
}
