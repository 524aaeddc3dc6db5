package conference

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// ReplayOptions say what is decided again. The zero value is everything, under the policies that meetings are bound to.
type ReplayOptions struct {
	Bridge   string    // id or name; empty for all
	From, To time.Time // meetings that began in [From, To); zero for no bound
	Policy   string    // what another policy would have decided, with the options that it has by itself
	Write    bool      // put what is decided now in the place of what is stored
}

// Replay is what came of some meetings that were decided again.
type Replay struct {
	Meetings    int64        // looked at
	Records     int64        // of these meetings
	Kept        int64        // of the records, those whose posts are kept; the others were taken from their meetings
	Differing   int64        // meetings that come out otherwise than they are stored
	Written     int64        // of those, written
	Differences []Difference // of these meetings
	Totals      []ReplayTotal
}

// Difference is one thing that comes out otherwise.
type Difference struct {
	Meeting, Bridge, Name string
	StartedAt             time.Time
	What                  string // what differs: "segment 1", "ended", "participants", …
	Before, After         string // as stored, and as decided now; empty for nothing
	Reason                string // why it is so now, in sentences
}

// ReplayTotal is how much of a license meetings take, as stored and as decided now. Those that run count up to now.
type ReplayTotal struct {
	Tag                         string
	MeetingsBefore, MeetingsNow int64
	BeforeSixthSeconds          int64 // a sixth of a license for one second
	NowSixthSeconds             int64
}

// replayAtOnce is how many meetings are decided again in one step.
const replayAtOnce = 200

// Replay decides stored meetings again, the oldest first, at most limit of them (1 to 1000, else 100), and says with which
// cursor it goes on; that is empty at the end. Records are read from the posts that are kept, meetings and decisions are made of
// them by the functions that made them before. Errors: a license.Error of kind invalid for a wrong cursor, an unknown policy, or
// a policy together with Write; not found for an unknown bridge.
func (e *Engine) Replay(ctx context.Context, account string, o ReplayOptions, cursor string, limit int) (Replay, string, error) {
	var policy *meeting.Policy
	if o.Policy != "" {
		p, err := policyOf(o.Policy, nil)
		if err != nil {
			return Replay{}, "", err
		}
		if policy = &p; o.Write {
			return Replay{}, "", license.Refuse(license.KindInvalid, "replay-policy", "a policy is put in force with `tally conference policy set`; replay writes what meetings are bound to",
				"what another policy would decide is not written")
		}
	}
	at, id, err := parseReplayCursor(cursor)
	if err != nil {
		return Replay{}, "", err
	}
	if err := e.sync(ctx, account); err != nil {
		return Replay{}, "", err
	}
	to := int64(far)
	if !o.To.IsZero() {
		to = store.Ms(o.To)
	}
	limit = bounded(limit)
	var rows []db.Meeting
	err = e.store.View(ctx, func(tx *store.Tx) error {
		bridge := ""
		if o.Bridge != "" {
			row, err := bridgeNamed(ctx, tx, account, o.Bridge)
			if err != nil {
				return err
			}
			bridge = row.ClusterID
		}
		rows, err = tx.MeetingsToReplay(ctx, db.MeetingsToReplayParams{AccountID: account, ClusterID: bridge, FromAt: max(store.Ms(o.From), 1), ToAt: to,
			AfterAt: at, AfterID: id, Page: int32(min(limit, replayAtOnce) + 1)})
		return err
	})
	if err != nil {
		return Replay{}, "", outcome("read meetings", err)
	}
	next := ""
	if n := min(limit, replayAtOnce); len(rows) > n {
		rows = rows[:n]
		next = strconv.FormatInt(rows[n-1].StartedAt, 10) + "_" + rows[n-1].MeetingID
	}
	out, err := e.replay(ctx, account, rows, policy, o.Write)
	return out, next, outcome("replay meetings", err)
}

func parseReplayCursor(cursor string) (at int64, id string, err error) {
	if cursor == "" {
		return 0, "", nil
	}
	return parseCursor(cursor)
}

func (e *Engine) replay(ctx context.Context, account string, rows []db.Meeting, policy *meeting.Policy, write bool) (Replay, error) {
	r := replayer{engine: e, now: store.Ms(e.now()), policy: policy, totals: map[string]*ReplayTotal{}, closed: map[string]map[string]time.Time{}}
	wrong := map[string][]held{} // by cluster
	for i := range rows {
		row := &rows[i]
		n := len(r.out.Differences)
		told, err := r.meeting(ctx, account, row)
		if err != nil {
			return r.out, err
		}
		if len(r.out.Differences) > n {
			r.out.Differing++
			wrong[row.ClusterID] = append(wrong[row.ClusterID], held{row.MeetingID, row.MeetingKey, row.DirectoryVersion, row.EndedAt, row.Estimated, row.Lost, told})
		}
	}
	err := e.store.View(ctx, func(tx *store.Tx) error {
		r.tags, r.totals = nil, map[string]*ReplayTotal{}
		if err := r.total(ctx, tx, account, true, func(d *decidedAgain) []storedSegment { return d.before }, func(t *ReplayTotal) (*int64, *int64) { return &t.MeetingsBefore, &t.BeforeSixthSeconds }); err != nil {
			return err
		}
		return r.total(ctx, tx, account, policy == nil, func(d *decidedAgain) []storedSegment { return d.after }, func(t *ReplayTotal) (*int64, *int64) { return &t.MeetingsNow, &t.NowSixthSeconds })
	})
	if err != nil {
		return r.out, err
	}
	for _, tag := range r.tags {
		r.out.Totals = append(r.out.Totals, *r.totals[tag])
	}
	if !write {
		return r.out, nil
	}
	for id, all := range wrong {
		c, err := e.cluster(ctx, account, id)
		if err != nil {
			return r.out, err
		}
		c.again(all)
		if err := c.flush(ctx); err != nil {
			return r.out, err
		}
		r.out.Written += int64(len(all))
	}
	return r.out, nil
}

// again makes meetings be written anew.
func (c *cluster) again(all []held) {
	c.applying.Lock()
	defer c.applying.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range all {
		c.restore(h)
		if e := c.entries[h.key]; e != nil {
			e.written = nil
			c.touch(e, c.e.now())
		}
	}
}

// replayer decides meetings again and compares.
type replayer struct {
	engine *Engine
	now    int64
	policy *meeting.Policy
	closed map[string]map[string]time.Time // by cluster
	posts  map[int64]*journalPost          // of one cluster
	of     string                          // the cluster of posts
	done   []decidedAgain
	totals map[string]*ReplayTotal
	tags   []string
	out    Replay
}

// decidedAgain is what a meeting takes, as stored and as decided now.
type decidedAgain struct {
	meeting       string
	before, after []storedSegment
}

// meeting decides one meeting again and notes what differs. It returns the records as the call bridges sent them.
func (r *replayer) meeting(ctx context.Context, account string, row *db.Meeting) ([]*cdr.Record, error) {
	c, err := r.engine.cluster(ctx, account, row.ClusterID)
	if err != nil {
		return nil, err
	}
	if r.closed[row.ClusterID] == nil {
		if r.closed[row.ClusterID], err = r.engine.closedSessions(ctx, account, row.ClusterID); err != nil {
			return nil, err
		}
	}
	records, err := r.records(ctx, c, row)
	if err != nil {
		return nil, err
	}
	fresh := *row
	fresh.Records = cdr.Encode(records)
	conf, d, err := r.engine.decideStored(ctx, &fresh, r.closed[row.ClusterID], r.policy)
	if err != nil {
		return nil, err
	}
	v := view{conf: conf, row: fresh}
	c.mu.Lock()
	c.describe(&v, records)
	c.mu.Unlock()
	v.keep(&d, d.Policy.String())
	r.out.Meetings++
	r.out.Records += int64(len(records))
	return records, r.compare(row, &v, meetingKeys(records))
}

// meetingKeys are the keys of the meetings that records make by themselves.
func meetingKeys(records []*cdr.Record) []string {
	rt := cdr.NewRouter()
	for _, rec := range records {
		rt.Add(rec)
	}
	return rt.Keys()
}

// records reads the records of a meeting from the posts that brought them; where a post is gone, from the meeting.
func (r *replayer) records(ctx context.Context, c *cluster, row *db.Meeting) ([]*cdr.Record, error) {
	records, err := cdr.Decode(row.Records)
	if err != nil {
		return nil, fmt.Errorf("read records of %s: %w", row.MeetingID, err)
	}
	if r.of != c.id || len(r.posts) > 4*replayAtOnce {
		r.of, r.posts = c.id, map[int64]*journalPost{}
	}
	err = r.engine.store.View(ctx, func(tx *store.Tx) error {
		kept := int64(0)
		for i, rec := range records {
			id := identity{rec.Session, rec.Correlator}
			seqs, err := c.holders(ctx, tx, id)
			if err != nil {
				return err
			}
			for _, seq := range seqs {
				p := r.posts[seq]
				if p == nil {
					open, err := c.open(ctx, tx, seq)
					if err != nil {
						return err
					}
					p = &open.journalPost
					r.posts[seq] = p
				}
				if n := p.counted(id); n >= 0 {
					records[i] = &p.records[n]
					kept++
					break
				}
			}
		}
		r.out.Kept += kept
		return nil
	})
	return records, err
}

// compare notes what differs between a stored meeting and what it comes to now.
func (r *replayer) compare(row *db.Meeting, v *view, keys []string) error {
	now := &v.row
	reason := ""
	differ := func(what, before, after string) {
		if before != after {
			r.out.Differences = append(r.out.Differences, Difference{Meeting: row.MeetingID, Bridge: row.ClusterID, Name: row.Name,
				StartedAt: store.At(row.StartedAt), What: what, Before: before, After: after, Reason: reason})
		}
	}
	if !slices.Contains(keys, row.MeetingKey) {
		differ("key", row.MeetingKey, strings.Join(keys, " "))
	}
	if string(row.Records) != string(now.Records) {
		differ("records", fmt.Sprintf("%x", len(row.Records)), fmt.Sprintf("%x", len(now.Records)))
	}
	differ("name", row.Name, now.Name)
	differ("space", row.Space, now.Space)
	differ("type", row.CallType, now.CallType)
	differ("bridges", row.Bridges, now.Bridges)
	differ("started", instant(row.StartedAt), instant(now.StartedAt))
	differ("ended", instant(row.EndedAt), instant(now.EndedAt))
	differ("seconds", strconv.FormatInt(row.DurationS, 10), strconv.FormatInt(now.DurationS, 10))
	differ("participants", strconv.FormatInt(row.ParticipantsMax, 10), strconv.FormatInt(now.ParticipantsMax, 10))
	differ("incomplete", strconv.FormatBool(row.Incomplete), strconv.FormatBool(now.Incomplete))
	differ("lost", strconv.FormatBool(row.Lost), strconv.FormatBool(now.Lost))
	differ("estimated", strconv.FormatBool(row.Estimated), strconv.FormatBool(now.Estimated))
	if r.policy == nil {
		differ("policy", row.Policy, now.Policy)
	}
	before, err := decodeSegments(row.MeetingID, row.Segments)
	if err != nil {
		return err
	}
	after, err := decodeSegments(row.MeetingID, now.Segments)
	if err != nil {
		return err
	}
	r.done = append(r.done, decidedAgain{row.MeetingID, before, after})
	for i := range max(len(before), len(after)) {
		was, is := "", ""
		facts := now.Facts
		if i < len(before) {
			was = before[i].words()
		}
		if i < len(after) {
			is = after[i].words()
			if after[i].Why != nil {
				facts = string(after[i].Why)
			}
		}
		if was != is {
			if reason, err = sentence(facts); err != nil {
				return err
			}
		}
		differ("segment "+strconv.Itoa(i+1), was, is)
	}
	if r.policy == nil && row.Segments == now.Segments {
		if reason, err = sentence(now.Facts); err != nil {
			return err
		}
		differ("reasons", row.Facts, now.Facts)
	}
	return nil
}

// words is a segment in one line.
func (s *storedSegment) words() string {
	user := ""
	if s.User != "" {
		user = " of " + s.User
	}
	return fmt.Sprintf("%s to %s: %d/6 %s%s (%s)", instant(s.From), cmp.Or(instant(s.To), "now"), s.Sixths, s.Tag, user, s.Rule)
}

// instant writes a time; nothing for none.
func instant(ms int64) string {
	if ms == 0 || ms == far {
		return ""
	}
	return store.At(ms).Format(time.RFC3339)
}

// total adds what meetings take to the totals, second meetings of a personal license as they are counted: where a policy says so,
// on a shared one. What other meetings hold is as it is stored. A policy that is only asked about has no such option.
func (r *replayer) total(ctx context.Context, tx *store.Tx, account string, share bool, segments func(*decidedAgain) []storedSegment, to func(*ReplayTotal) (meetings, sixthSeconds *int64)) error {
	var all taken
	var times []window
	ours := make(map[string]bool, len(r.done))
	for i := range r.done {
		d := &r.done[i]
		ours[d.meeting] = true
		for _, s := range segments(d) {
			end := s.To
			if end == far {
				end = max(s.From, r.now)
			}
			end = counted(s.From, end)
			all = append(all, taking{from: s.From, to: end, shown: s.To, sixths: s.Sixths, tag: s.Tag, meeting: d.meeting, user: s.User})
			if s.User != "" {
				times = append(times, window{s.From, end})
			}
		}
	}
	if share && len(times) > 0 {
		held, err := r.engine.readOverlaps(ctx, tx, account, times)
		if err != nil {
			return err
		}
		for _, h := range held.held {
			if ours[h.Meeting] {
				continue
			}
			other := taking{from: store.Ms(h.From), to: r.now, tag: meeting.Personal.Tag(), meeting: h.Meeting, user: h.User}
			if !h.To.IsZero() {
				other.to = store.Ms(h.To)
			}
			all = append(all, other)
		}
		if all, err = all.share(ctx, tx, account); err != nil {
			return err
		}
	}
	seen := map[[2]string]bool{}
	for i := range all {
		s := &all[i]
		if !ours[s.meeting] {
			continue
		}
		t := r.totals[s.tag]
		if t == nil {
			t = &ReplayTotal{Tag: s.tag}
			r.totals[s.tag] = t
			r.tags = append(r.tags, s.tag)
		}
		meetings, seconds := to(t)
		if id := [2]string{s.meeting, s.tag}; !seen[id] {
			seen[id] = true
			*meetings++
		}
		*seconds += (s.to - s.from) / 1000 * s.sixths
	}
	return nil
}
