package conference

import (
	"cmp"
	"context"
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
	far  = 253402300799000
	day  = int64(24 * time.Hour / time.Millisecond)
	hour = int64(time.Hour / time.Millisecond)

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
	defer c.queue.stir()
	defer c.evict()
	if err := c.writeUses(ctx); err != nil {
		return err
	}
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
	if err := c.routeAll(ctx); err != nil {
		return err
	}
	defer c.mu.Unlock()
	target := c.routed
	dirty := c.takeDirty(func(*entry) bool { return true })
	sessions, err := c.sessionRows()
	if err != nil || len(dirty) == 0 && len(sessions) == 0 {
		return err
	}
	return c.flushDirty(ctx, target, dirty, sessions)
}

// flushEnded writes those of the dirty meetings that are over. How far the journal is shown stays as it was.
func (c *cluster) flushEnded(ctx context.Context) error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	defer c.queue.stir()
	c.mu.Lock()
	defer func() {
		many := len(c.entries) > 2*maxEnded
		c.mu.Unlock()
		if many {
			c.evict()
		}
	}()
	dirty := c.takeDirty(func(e *entry) bool { return e.over })
	if len(dirty) == 0 {
		return nil
	}
	slices.SortFunc(dirty, func(a, b *entry) int { return cmp.Compare(a.id, b.id) }) // neighbors in the index by id share its pages
	return c.flushDirty(ctx, 0, dirty, nil)
}

// takeDirty takes some of the dirty meetings, to be written.
func (c *cluster) takeDirty(which func(*entry) bool) []*entry {
	taken := make([]*entry, 0, len(c.dirtied))
	left := c.dirtied[:0]
	for _, e := range c.dirtied {
		if !which(e) {
			left = append(left, e)
			continue
		}
		taken = append(taken, e)
		e.dirty = false
		if e.over {
			e.over = false
			c.ended--
		}
	}
	clear(c.dirtied[len(left):])
	c.dirtied = left
	return taken
}

// flushDirty writes meetings and sessions that were taken for it. It is called with mu held, and gives it up meanwhile.
func (c *cluster) flushDirty(ctx context.Context, target int64, dirty []*entry, sessions []sessionRow) error {
	generation := c.generation
	c.mu.Unlock()
	err := c.flushChunks(ctx, generation, target, dirty, sessions)
	c.mu.Lock()
	switch {
	case c.generation != generation: // loaded anew, and what is not written is dirty again
	case err != nil:
		c.unwritten(dirty, sessions)
	default:
		for _, row := range sessions {
			s := c.sessions[row.Session]
			s.posts = append([]postRange(nil), s.posts[len(row.posts):]...)
			s.clashes = append([]clash(nil), s.clashes[len(row.clashes):]...)
		}
	}
	return err
}

// routeAll takes everything that was heard to the meetings, and returns with mu held if there is no error.
func (c *cluster) routeAll(ctx context.Context) error {
	for {
		if err := c.route(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		if len(c.pending) == 0 {
			return nil
		}
		c.mu.Unlock() // more came meanwhile, less than before
	}
}

// sessionRow is a session on its way into the tables, with the ranges of its posts and those that have the numbers of others.
type sessionRow struct {
	db.PutSessionParams
	posts   []postRange
	clashes []clash
}

// sessionRows returns the sessions that changed, as they are now.
func (c *cluster) sessionRows() ([]sessionRow, error) {
	var rows []sessionRow
	for _, s := range c.sessions {
		if !s.dirty {
			continue
		}
		row, err := s.row(c.account, c.id)
		if err != nil {
			return nil, err
		}
		rows = append(rows, sessionRow{row, s.posts, s.clashes})
		s.dirty, s.repeats = false, 0
	}
	slices.SortFunc(rows, func(a, b sessionRow) int { return cmp.Compare(a.Session, b.Session) })
	return rows, nil
}

// unwritten makes everything dirty again that a flush did not bring through.
func (c *cluster) unwritten(dirty []*entry, sessions []sessionRow) {
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
	stray    bool // it has records of a call bridge that does not count any more
	unheard  bool // nothing was heard of it: a record of a leg names a call of another meeting; it is not written
}

// view folds a meeting and prepares its row.
func (c *cluster) view(e *entry) view {
	v := view{entry: e, absorbed: e.absorbed, conf: c.router.Fold(e.key, cdr.Options{ClosedAt: c.closed})}
	records := c.router.RecordsOf(e.key)
	v.row = db.Meeting{
		AccountID: c.account, MeetingID: e.id, ClusterID: c.id, MeetingKey: e.key, DirectoryVersion: e.version,
		Bridges: "[]", Facts: "[]", Segments: "[]", Records: cdr.Encode(records),
	}
	if v.unheard = len(records) == 0; v.unheard {
		v.row.EndedAt = 1 // nothing keeps it in memory
		return v
	}
	v.stray = len(c.allowed) > 0 && slices.ContainsFunc(records, func(r *cdr.Record) bool { return !c.counts(r.CallBridge) })
	c.describe(&v, records)
	v.refs = c.refs(&v, records)
	return v
}

// describe takes a conference over into its row.
func (c *cluster) describe(v *view, records []*cdr.Record) {
	conf, row := &v.conf, &v.row
	row.Name, row.Space, row.CallType = conf.Name, conf.Space, conf.CallType
	row.StartedAt, row.EndedAt, row.DurationS = store.Ms(conf.Start), store.Ms(conf.End), conf.DurationSeconds
	row.ParticipantsMax, row.Incomplete, row.Estimated, row.Lost = int64(conf.ParticipantsMax), conf.Incomplete, conf.Estimated, false
	if len(conf.Calls) == 0 { // a leg that waits; it is over when it ended
		row.StartedAt, row.EndedAt = 0, 0
		for _, r := range records {
			if r.Kind == cdr.CallLegEnd || r.Kind == cdr.RecordingEnd || r.Kind == cdr.StreamingEnd {
				row.EndedAt = store.Ms(r.At)
			}
		}
		return
	}
	for i := range records {
		if i > 0 && records[i].Session == records[i-1].Session {
			continue
		}
		s := c.sessions[records[i].Session]
		row.Lost = row.Lost || s != nil && len(s.losses) > 0 && len(s.lostFrom(conf.Calls, records, c.closed)) > 0
	}
	row.Incomplete = row.Incomplete || row.Lost
}

// earlyMentions is by how much the number of a record that names a call may be lower than that of the call's start.
const earlyMentions = 1000

// refs returns those by which a record to come can find the meeting once it is not in memory. While it runs it stays in
// memory, and is loaded at every start. A leg of which everything was heard, from start to end, gets no more records, and
// neither does such a call: after its end the bridge does not name it, and what named it before was heard.
func (c *cluster) refs(v *view, records []*cdr.Record) []string {
	if v.row.EndedAt == 0 && !v.entry.leaving {
		return nil
	}
	refs := []string{}
	c.router.EachRef(v.entry.key, func(ref cdr.Ref) {
		if ref.Correlator() {
			if text := ref.String(); text != v.entry.key || !keepsNoRef(text) {
				refs = append(refs, text)
			}
			return
		}
		// A leg that waits for its call does so also when that was heard and not yet understood.
		if len(v.conf.Calls) == 0 || !c.complete(ref) {
			refs = append(refs, ref.String())
		}
	})
	slices.Sort(refs)
	if v.row.EndedAt == 0 || v.row.Estimated {
		refs = append(refs, sessionRefs(records)...)
	}
	if slices.Equal(refs, v.entry.refs) {
		return nil
	}
	return refs
}

// complete reports whether everything was heard of a call or leg, from its start to its end.
func (c *cluster) complete(ref cdr.Ref) bool {
	if len(ref.Records) == 0 {
		return false
	}
	begins, ends := cdr.CallStart, cdr.CallEnd
	switch {
	case ref.Leg():
		begins, ends = cdr.CallLegStart, cdr.CallLegEnd
	case !ref.Call():
		return false
	}
	var begun, closed bool
	for _, r := range ref.Records {
		begun = begun || r.Kind == begins
		closed = closed || r.Kind == ends
	}
	s := c.sessions[ref.Records[0].Session]
	if !begun || !closed || s == nil {
		return false
	}
	first, last := ref.Records[0].Correlator, ref.Records[len(ref.Records)-1].Correlator
	if ref.Call() {
		first = max(0, first-earlyMentions)
	}
	return s.covers(first, last)
}

// sessionRef is the ref of meetings whose end a session decides.
func sessionRef(session string) string { return "session:" + session }

func sessionRefs(records []*cdr.Record) []string {
	var refs []string
	for i, r := range records {
		if i == 0 || r.Session != records[i-1].Session {
			refs = append(refs, sessionRef(r.Session))
		}
	}
	return refs
}

// keepsNoRef reports whether a meeting with this ref as its key is found by its id alone.
func keepsNoRef(ref string) bool { return strings.HasPrefix(ref, "corr:") }

// decide applies policies to meetings, each with the version of directory and policy that it is bound to.
func (c *cluster) decide(ctx context.Context, views []view) error {
	for i := range views {
		v := &views[i]
		v.segments = []db.Segment{}
		if len(v.conf.Calls) == 0 {
			continue
		}
		known, err := c.e.snapshot(ctx, c.account, v.row.DirectoryVersion)
		if err != nil {
			return err
		}
		policy := known.policy(c.id)
		d := meeting.Decide(policy.Policy, callOf(v.entry.id, &v.conf, &policy.Policy), known.directory)
		v.keep(&d, policy.text)
	}
	return nil
}

// keep takes a decision over into the rows.
func (v *view) keep(d *meeting.Decision, policy string) {
	v.row.Bridges = string(appendTexts(nil, v.conf.Bridges))
	v.row.Policy = policy
	v.row.Facts = encodeFacts(d.Why)
	v.keepSegments(d.Segments)
}

// writeViews writes meetings, what of their segments and refs is new, and marks the hours whose use may have changed. Unless
// alone, what an entry says to be written may not be.
func (c *cluster) writeViews(ctx context.Context, tx *store.Tx, views []view, alone bool) error {
	meetings := make([]db.Meeting, 0, len(views))
	var segments []db.Segment
	var refs []db.MeetingRef
	hours := hourMarks{}
	now := store.Ms(tx.Now())
	for i := range views {
		v := &views[i]
		for _, gone := range v.absorbed {
			if err := c.erase(ctx, tx, gone.id, hours, now); err != nil {
				return err
			}
		}
		if v.unheard {
			continue
		}
		meetings = append(meetings, v.row)
		for _, ref := range v.refs {
			refs = append(refs, db.MeetingRef{AccountID: c.account, ClusterID: c.id, Ref: ref, MeetingID: v.row.MeetingID})
		}
		changed, err := c.differing(ctx, tx, v, alone, hours, now)
		if err != nil {
			return err
		}
		segments = append(segments, changed...)
	}
	// In the order of their keys, neighbors in the tables are neighbors in time as well.
	slices.SortFunc(meetings, func(a, b db.Meeting) int { return cmp.Compare(a.MeetingID, b.MeetingID) })
	slices.SortFunc(refs, func(a, b db.MeetingRef) int { return cmp.Compare(a.Ref, b.Ref) })
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
func (c *cluster) differing(ctx context.Context, tx *store.Tx, v *view, alone bool, hours hourMarks, now int64) ([]db.Segment, error) {
	var old []db.Segment
	if alone && v.entry.written != nil {
		old = *v.entry.written
	} else {
		row, err := tx.MeetingSegments(ctx, db.MeetingSegmentsParams{AccountID: c.account, MeetingID: v.row.MeetingID})
		if err != nil && !errors.Is(err, store.ErrNoRow) {
			return nil, fmt.Errorf("read segments of %s: %w", v.row.MeetingID, err)
		}
		if old, err = c.segmentRows(v.row.MeetingID, row); err != nil {
			return nil, err
		}
	}
	same := 0
	for same < min(len(old), len(v.segments)) && old[same] == v.segments[same] {
		same++
	}
	if err := c.eraseSegments(ctx, tx, old[same:]); err != nil {
		return nil, err
	}
	c.mark(hours, old[same:], now)
	c.mark(hours, v.segments[same:], now)
	return v.segments[same:], nil
}

// segmentRows are the rows of the segments that a meeting keeps; text is empty for one that is not stored.
func (c *cluster) segmentRows(id, text string) ([]db.Segment, error) {
	if text == "" {
		return nil, nil
	}
	stored, err := decodeSegments(id, text)
	rows := make([]db.Segment, len(stored))
	for i := range stored {
		rows[i] = stored[i].row(c.account, c.id, id)
	}
	return rows, err
}

func (c *cluster) eraseSegments(ctx context.Context, tx *store.Tx, rows []db.Segment) error {
	for _, s := range rows {
		if err := tx.DeleteSegment(ctx, db.DeleteSegmentParams{AccountID: s.AccountID, Lasting: s.Lasting, ToAt: s.ToAt, FromAt: s.FromAt, Tag: s.Tag,
			Sixths: s.Sixths, MeetingID: s.MeetingID}); err != nil {
			return fmt.Errorf("delete segment of %s: %w", s.MeetingID, err)
		}
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
	refs := sessionRefs(records)
	for i := range records {
		refs = append(refs, records[i].Refs()...)
	}
	slices.Sort(refs)
	for _, ref := range slices.Compact(refs) {
		if err := tx.DeleteRef(ctx, db.DeleteRefParams{AccountID: c.account, ClusterID: c.id, Ref: ref, MeetingID: id}); err != nil {
			return fmt.Errorf("delete refs of %s: %w", id, err)
		}
	}
	segments, err := c.segmentRows(id, row.Segments)
	if err == nil {
		err = c.eraseSegments(ctx, tx, segments)
	}
	if err != nil {
		return err
	}
	c.mark(hours, segments, now)
	if err := tx.DeleteMeeting(ctx, db.DeleteMeetingParams{AccountID: c.account, MeetingID: id}); err != nil {
		return fmt.Errorf("delete meeting %s: %w", id, err)
	}
	return nil
}
