package conference

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	flushChunk = 32 // meetings of one transaction
	far        = 253402300799000
	day        = int64(24 * time.Hour / time.Millisecond)
	hour       = int64(time.Hour / time.Millisecond)

	// maxHours is for how many hours one segment counts: a call whose end never comes must not count for years.
	maxHours = 31 * 24
)

// errBehind says that another replica wrote newer meetings than these.
var errBehind = errors.New("another replica has written newer meetings")

// flush writes the dirty meetings, and how far the journal is now shown. What another replica wrote from a later state of
// the journal is never written over: then memory catches up first.
func (c *cluster) flush(ctx context.Context) error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	defer c.evict()
	for range 5 {
		err := c.flushOnce(ctx)
		if !errors.Is(err, errBehind) {
			return err
		}
		if err := c.catchUp(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("write meetings of %s: %w", c.id, errBehind)
}

// flushOnce writes in transactions of a few meetings each, so that posts never wait long for the database. The last one
// says how far the journal is shown; should it never come, the posts are taken from the journal again.
func (c *cluster) flushOnce(ctx context.Context) error {
	c.mu.Lock()
	target := c.seq
	generation := c.generation
	dirty := c.dirtied
	c.dirtied = nil
	for _, e := range dirty {
		e.dirty = false
	}
	sessions, err := c.sessionRows()
	c.mu.Unlock()
	if err != nil || len(dirty) == 0 && len(sessions) == 0 {
		return err
	}
	for done := false; !done; {
		n := min(len(dirty), flushChunk)
		done = n == len(dirty)
		f := chunk{generation: generation, dirty: dirty[:n]}
		if done {
			f.sessions, f.shown = sessions, target
		}
		if err := c.flushChunk(ctx, f); err != nil {
			c.unwritten(generation, dirty, sessions)
			return err
		}
		dirty = dirty[n:]
	}
	return nil
}

// sessionRows returns the sessions that changed, as they are now.
func (c *cluster) sessionRows() ([]db.PutSessionParams, error) {
	var rows []db.PutSessionParams
	for _, s := range c.sessions {
		if !s.dirty {
			continue
		}
		row, err := s.row(c.account, c.id)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
		s.dirty, s.repeats = false, 0
	}
	slices.SortFunc(rows, func(a, b db.PutSessionParams) int { return cmp.Compare(a.Session, b.Session) })
	return rows, nil
}

// unwritten makes everything dirty again that a flush did not bring through.
func (c *cluster) unwritten(generation int, dirty []*entry, sessions []db.PutSessionParams) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != generation {
		return // loaded anew, and what is not written is dirty again
	}
	for _, e := range dirty {
		e.written, e.refs = nil, nil
		c.touch(e, e.touched)
	}
	for _, row := range sessions {
		if s := c.sessions[row.Session]; s != nil {
			s.dirty = true
			s.repeats += row.Repeats
		}
	}
}

// view is what one meeting comes to, on its way into the tables.
type view struct {
	entry    *entry
	absorbed []*entry
	conf     cdr.Conference
	row      db.Meeting
	refs     []string // nil when they are written already
	segments []db.Segment
}

// chunk is one transaction of a flush. The last one has the sessions and how far the journal is shown; 0 says nothing.
type chunk struct {
	generation int
	dirty      []*entry
	sessions   []db.PutSessionParams
	shown      int64
}

func (c *cluster) flushChunk(ctx context.Context, f chunk) error {
	c.mu.Lock()
	if c.generation != f.generation {
		c.mu.Unlock()
		return errBehind
	}
	seq := c.seq
	views := make([]view, 0, len(f.dirty))
	for _, e := range f.dirty {
		if c.entries[e.key] == e {
			views = append(views, c.view(e))
		}
	}
	c.mu.Unlock()
	if err := c.decide(ctx, views); err != nil {
		return err
	}
	err := c.e.store.Update(ctx, "write meetings", func(tx *store.Tx) error {
		n, err := tx.MarkFlushed(ctx, db.MarkFlushedParams{FlushedSeq: seq, ProjectedSeq: f.shown, AccountID: c.account, ClusterID: c.id})
		if err != nil {
			return fmt.Errorf("mark flush of %s: %w", c.id, err)
		}
		if n == 0 {
			return errBehind
		}
		for _, s := range f.sessions {
			if err := tx.PutSession(ctx, s); err != nil {
				return fmt.Errorf("write session %s: %w", s.Session, err)
			}
		}
		return c.writeViews(ctx, tx, views)
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	for i := range views {
		v := &views[i]
		v.entry.written = &v.segments
		if v.refs != nil {
			v.entry.refs = v.refs
		}
		v.entry.end, v.entry.guessed = v.row.EndedAt, v.row.Estimated
		v.entry.absorbed = v.entry.absorbed[len(v.absorbed):]
	}
	c.mu.Unlock()
	c.e.use(c.account)
	return nil
}

// view folds a meeting and prepares its row.
func (c *cluster) view(e *entry) view {
	v := view{entry: e, absorbed: e.absorbed, conf: c.router.Fold(e.key, cdr.Options{ClosedAt: c.closed})}
	records := c.router.RecordsOf(e.key)
	conf := &v.conf
	v.row = db.Meeting{
		AccountID: c.account, MeetingID: e.id, ClusterID: c.id, MeetingKey: e.key, Name: conf.Name, Space: conf.Space,
		CallType: conf.CallType, Bridges: "[]", StartedAt: store.Ms(conf.Start), EndedAt: store.Ms(conf.End),
		DurationS: conf.DurationSeconds, ParticipantsMax: int64(conf.ParticipantsMax), DirectoryVersion: e.version,
		Incomplete: conf.Incomplete, Estimated: conf.Estimated, Facts: "[]", Records: cdr.Encode(records),
	}
	if len(conf.Calls) == 0 { // a leg that waits; it is over when it ended
		v.row.StartedAt, v.row.EndedAt = 0, 0
		for i := range records {
			if records[i].Kind == cdr.CallLegEnd || records[i].Kind == cdr.RecordingEnd || records[i].Kind == cdr.StreamingEnd {
				v.row.EndedAt = store.Ms(records[i].At)
			}
		}
		v.refs = c.refs(&v, records)
		return v
	}
	v.refs = c.refs(&v, records)
	for i := range records {
		if i > 0 && records[i].Session == records[i-1].Session {
			continue
		}
		s := c.sessions[records[i].Session]
		v.row.Incomplete = v.row.Incomplete || s != nil && s.lostWithin(v.row.StartedAt, v.row.EndedAt)
	}
	return v
}

// refs returns those by which a record to come can find the meeting once it is not in memory. While it runs it stays in
// memory, and is loaded at every start. A leg of which everything was heard, from start to end, gets no more records.
func (c *cluster) refs(v *view, records []cdr.Record) []string {
	if v.row.EndedAt == 0 && !v.entry.leaving {
		return nil
	}
	type life struct {
		session       *session
		first, last   int64
		begun, closed bool
	}
	legs := map[string]*life{}
	for i := range records {
		r := &records[i]
		if r.LegID == "" || r.MediaID != "" {
			continue
		}
		l := legs[r.LegID]
		if l == nil {
			l = &life{session: c.sessions[r.Session], first: r.Correlator}
			legs[r.LegID] = l
		}
		l.last = r.Correlator
		l.begun = l.begun || r.Kind == cdr.CallLegStart
		l.closed = l.closed || r.Kind == cdr.CallLegEnd
	}
	refs := slices.DeleteFunc(c.router.RefsOf(v.entry.key), func(ref string) bool {
		id, ok := strings.CutPrefix(ref, "leg:")
		l := legs[id]
		return ok && l != nil && l.begun && l.closed && l.session != nil && l.session.covers(l.first, l.last)
	})
	if slices.Equal(refs, v.entry.refs) {
		return nil
	}
	return refs
}

// decide applies the policy to meetings, each with the directory version that it is bound to.
func (c *cluster) decide(ctx context.Context, views []view) error {
	directory, err := c.e.ownersOf(ctx, c.account, views)
	if err != nil {
		return err
	}
	for i := range views {
		v := &views[i]
		v.segments = []db.Segment{}
		if len(v.conf.Calls) == 0 {
			continue
		}
		call := meeting.Call{
			ID: v.entry.id, Type: v.conf.CallType, Space: v.conf.Space, Name: v.conf.Name, OwnerName: v.conf.OwnerName,
			Start: v.conf.Start, End: v.conf.End, Levels: make([]meeting.Level, len(v.conf.Levels)),
		}
		for j, l := range v.conf.Levels {
			call.Levels[j] = meeting.Level(l)
		}
		d := meeting.Decide(meeting.OwnerFirst(), call, directory.of(c.account, v))
		if err := v.keep(&d); err != nil {
			return err
		}
	}
	return nil
}

// keep takes a decision over into the rows.
func (v *view) keep(d *meeting.Decision) error {
	bridges, err := json.Marshal(v.conf.Bridges)
	if err != nil {
		return fmt.Errorf("encode bridges of %s: %w", v.row.MeetingID, err)
	}
	v.row.Bridges = string(bridges)
	v.row.Policy = fmt.Sprintf("%s %d", d.Policy.Name, d.Policy.Version)
	if v.row.Facts, err = encodeFacts(d.Why); err != nil {
		return err
	}
	for i := range d.Segments {
		s := &d.Segments[i]
		row := db.Segment{
			AccountID: v.row.AccountID, MeetingID: v.row.MeetingID, N: int64(i), FromAt: store.Ms(s.From), ToAt: store.Ms(s.To),
			License: string(s.License), Tag: s.License.Tag(), Sixths: int64(s.Sixths), UserJid: s.User, Rule: s.Rule,
		}
		if s.To.IsZero() {
			row.ToAt = far
		}
		row.Lasting = row.ToAt-row.FromAt > day
		if row.Facts, err = encodeFacts(s.Why); err != nil {
			return err
		}
		v.segments = append(v.segments, row)
	}
	return nil
}

// writeViews writes meetings, what of their segments and refs is new, and marks the hours whose use may have changed.
func (c *cluster) writeViews(ctx context.Context, tx *store.Tx, views []view) error {
	meetings := make([]db.Meeting, 0, len(views))
	var segments []db.Segment
	var refs []db.MeetingRef
	hours := hourMarks{}
	now := store.Ms(tx.Now())
	for i := range views {
		v := &views[i]
		meetings = append(meetings, v.row)
		for _, ref := range v.refs {
			refs = append(refs, db.MeetingRef{AccountID: c.account, ClusterID: c.id, Ref: ref, MeetingID: v.row.MeetingID})
		}
		for _, gone := range v.absorbed {
			if err := c.erase(ctx, tx, gone.id, hours, now); err != nil {
				return err
			}
		}
		changed, err := c.differing(ctx, tx, v, hours, now)
		if err != nil {
			return err
		}
		segments = append(segments, changed...)
	}
	if err := tx.PutMeetings(ctx, meetings); err != nil {
		return fmt.Errorf("write meetings: %w", err)
	}
	if err := tx.PutSegments(ctx, segments); err != nil {
		return fmt.Errorf("write segments: %w", err)
	}
	if err := tx.PutRefs(ctx, refs); err != nil {
		return fmt.Errorf("write refs: %w", err)
	}
	if err := tx.MarkHours(ctx, hours.rows(c.account, now)); err != nil {
		return fmt.Errorf("mark hours: %w", err)
	}
	return nil
}

// differing returns the segments to write, deletes those that are no more, and marks the hours of all that differ.
func (c *cluster) differing(ctx context.Context, tx *store.Tx, v *view, hours hourMarks, now int64) ([]db.Segment, error) {
	if v.entry.written == nil {
		if err := c.eraseSegments(ctx, tx, v.row.MeetingID, hours, now); err != nil {
			return nil, err
		}
		hours.mark(v.segments, now)
		return v.segments, nil
	}
	old := *v.entry.written
	same := 0
	for same < min(len(old), len(v.segments)) && old[same] == v.segments[same] {
		same++
	}
	if len(v.segments) < len(old) {
		if err := tx.DeleteSegments(ctx, db.DeleteSegmentsParams{
			AccountID: c.account, MeetingID: v.row.MeetingID, FromN: int64(len(v.segments)),
		}); err != nil {
			return nil, fmt.Errorf("delete segments of %s: %w", v.row.MeetingID, err)
		}
	}
	hours.mark(old[same:], now)
	hours.mark(v.segments[same:], now)
	return v.segments[same:], nil
}

// eraseSegments deletes whatever is written of a meeting's segments.
func (c *cluster) eraseSegments(ctx context.Context, tx *store.Tx, id string, hours hourMarks, now int64) error {
	spans, err := tx.SegmentSpans(ctx, db.SegmentSpansParams{AccountID: c.account, MeetingID: id})
	if err != nil {
		return fmt.Errorf("read segments of %s: %w", id, err)
	}
	for _, s := range spans {
		hours.span(s.Tag, s.FromAt, s.ToAt, now)
	}
	if err := tx.DeleteSegments(ctx, db.DeleteSegmentsParams{AccountID: c.account, MeetingID: id}); err != nil {
		return fmt.Errorf("delete segments of %s: %w", id, err)
	}
	return nil
}

// erase deletes what is written of a meeting that was merged into another one, if anything is.
func (c *cluster) erase(ctx context.Context, tx *store.Tx, id string, hours hourMarks, now int64) error {
	row, err := tx.Meeting(ctx, db.MeetingParams{AccountID: c.account, MeetingID: id})
	if errors.Is(err, store.ErrNoRow) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read meeting %s: %w", id, err)
	}
	records, err := cdr.Decode(row.Records)
	if err != nil {
		return fmt.Errorf("read records of %s: %w", id, err)
	}
	var refs []string
	for i := range records {
		refs = append(refs, records[i].Refs()...)
	}
	slices.Sort(refs)
	for _, ref := range slices.Compact(refs) {
		if err := tx.DeleteRef(ctx, db.DeleteRefParams{AccountID: c.account, ClusterID: c.id, Ref: ref, MeetingID: id}); err != nil {
			return fmt.Errorf("delete refs of %s: %w", id, err)
		}
	}
	if err := c.eraseSegments(ctx, tx, id, hours, now); err != nil {
		return err
	}
	if err := tx.DeleteMeeting(ctx, db.DeleteMeetingParams{AccountID: c.account, MeetingID: id}); err != nil {
		return fmt.Errorf("delete meeting %s: %w", id, err)
	}
	return nil
}

// hourMarks is the hours whose use may have changed.
type hourMarks map[hourMark]bool

type hourMark struct {
	tag string
	at  int64
}

func (h hourMarks) mark(segments []db.Segment, now int64) {
	for _, s := range segments {
		h.span(s.Tag, s.FromAt, s.ToAt, now)
	}
}

// span marks the hours of [from, to) that have begun by now, or the first one.
func (h hourMarks) span(tag string, from, to, now int64) {
	first := from - from%hour
	to = min(to, max(now+1, from+1), first+maxHours*hour)
	for at := first; at < to; at += hour {
		h[hourMark{tag, at}] = true
	}
}

// rows are the marks in the order in which every transaction writes them.
func (h hourMarks) rows(account string, now int64) []db.UsageHour {
	rows := make([]db.UsageHour, 0, len(h))
	for m := range h {
		rows = append(rows, db.UsageHour{AccountID: account, Tag: m.tag, HourAt: m.at, ChangedAt: now})
	}
	slices.SortFunc(rows, func(a, b db.UsageHour) int { return cmp.Or(cmp.Compare(a.HourAt, b.HourAt), cmp.Compare(a.Tag, b.Tag)) })
	return rows
}
