package conference

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// Second meetings of a personal license (domain rule 24) are found when meetings are read and when hours are counted: what is
// stored of a meeting says nothing of others, so that it does not change with them.

// policiesShare reports whether a policy that ever was in force gives second meetings a shared license.
func policiesShare(ctx context.Context, tx *store.Tx, account string) (bool, error) {
	rows, err := tx.PoliciesEver(ctx, account)
	if err != nil {
		return false, fmt.Errorf("read policies: %w", err)
	}
	for _, doc := range rows {
		p, err := parsePolicy(doc)
		if err != nil {
			return false, err
		}
		if p.Options.SecondShared {
			return true, nil
		}
	}
	return false, nil
}

// shares says whether a meeting that a policy decided takes a shared license while it is a second one. Where that cannot be
// read any more, it does not.
func shares(policy string) bool {
	p, err := meeting.ParsePolicy(policy)
	return err == nil && p.Options.SecondShared
}

// share lets second meetings take a shared license where their policy says so.
func (all taken) share(ctx context.Context, tx *store.Tx, account string) (taken, error) {
	var held []meeting.Held
	var at []int
	for i := range all {
		if t := &all[i]; t.user != "" {
			held = append(held, meeting.Held{Meeting: t.meeting, User: t.user, From: store.At(t.from), To: store.At(t.to)})
			at = append(at, i)
		}
	}
	if len(held) < 2 {
		return all, nil
	}
	if any, err := policiesShare(ctx, tx, account); err != nil || !any {
		return all, err
	}
	overlaps := meeting.Overlaps(held)
	policies, err := policiesOf(ctx, tx, account, held, overlaps)
	if err != nil {
		return nil, err
	}
	for _, o := range overlaps {
		i := at[o.Second]
		if !shares(policies[all[i].meeting].Policy) {
			continue
		}
		// What is left of the stretch comes after the overlap: overlaps of one stretch are in order and leave no gap.
		second := all[i]
		second.from, second.to, second.shown = store.Ms(o.From), store.Ms(o.To), min(store.Ms(o.To), second.shown)
		if second.to == all[i].to {
			second.shown = all[i].shown
		}
		second.tag, second.user, second.class = meeting.Shared.Tag(), "", string(meeting.ClassOf(meeting.Shared, meeting.RuleSecond))
		second.held = held[o.First].Meeting
		all[i].from = second.to
		all = append(all, second)
	}
	return slices.DeleteFunc(all, func(t taking) bool { return t.from >= t.to }), nil
}

// policiesOf reads by which policies the meetings of overlaps were decided, and their names.
func policiesOf(ctx context.Context, tx *store.Tx, account string, held []meeting.Held, overlaps []meeting.Overlap) (map[string]store.MeetingPolicy, error) {
	var ids []string
	for _, o := range overlaps {
		ids = append(ids, held[o.Second].Meeting, held[o.First].Meeting)
	}
	slices.Sort(ids)
	rows, err := tx.MeetingPolicies(ctx, account, slices.Compact(ids))
	out := make(map[string]store.MeetingPolicy, len(rows))
	for _, r := range rows {
		out[r.MeetingID] = r
	}
	return out, err
}

// overlapping is where meetings ask for personal licenses that others hold, for showing them.
type overlapping struct {
	held            []meeting.Held
	overlaps        []meeting.Overlap
	policies        map[string]store.MeetingPolicy
	firsts, seconds map[string][]int // overlaps by the meeting that holds the license, and by the other one
}

// window is the time of [from, to), in milliseconds.
type window struct{ from, to int64 }

// windows puts those together that are less than a day apart.
func windows(all []window) []window {
	slices.SortFunc(all, func(a, b window) int { return cmp.Compare(a.from, b.from) })
	out := all[:0]
	for _, w := range all {
		if n := len(out); n > 0 && w.from < out[n-1].to+day {
			out[n-1].to = max(out[n-1].to, w.to)
			continue
		}
		out = append(out, w)
	}
	return out
}

// readOverlaps finds the overlaps of the segments of some times. A meeting whose end never comes holds a license for as long as
// it counts.
func (e *Engine) readOverlaps(ctx context.Context, tx *store.Tx, account string, times []window) (*overlapping, error) {
	all := &overlapping{firsts: map[string][]int{}, seconds: map[string][]int{}}
	now := store.Ms(e.now())
	for _, w := range windows(times) {
		for _, lasting := range []bool{false, true} {
			upto := int64(far)
			if !lasting {
				upto = min(w.to+day, far-1)
			}
			rows, err := tx.PersonalSegments(ctx, db.PersonalSegmentsParams{AccountID: account, Lasting: lasting, FromAt: w.from, UptoAt: upto, ToAt: w.to, Page: maxTakings + 1})
			if err != nil {
				return nil, fmt.Errorf("read personal segments: %w", err)
			}
			if len(rows) > maxTakings {
				return nil, tooMany()
			}
			for _, r := range rows {
				h := meeting.Held{Meeting: r.MeetingID, User: r.UserJid, From: store.At(r.FromAt)}
				if end := counted(r.FromAt, r.ToAt); r.ToAt != far || end <= now {
					h.To = store.At(end)
				}
				all.held = append(all.held, h)
			}
		}
	}
	if len(times) > 1 { // a stretch may be in several times
		slices.SortFunc(all.held, func(a, b meeting.Held) int {
			return cmp.Or(strings.Compare(a.Meeting, b.Meeting), a.From.Compare(b.From))
		})
		all.held = slices.Compact(all.held)
	}
	all.overlaps = meeting.Overlaps(all.held)
	for i, o := range all.overlaps {
		second, first := all.held[o.Second].Meeting, all.held[o.First].Meeting
		all.seconds[second] = append(all.seconds[second], i)
		all.firsts[first] = append(all.firsts[first], i)
	}
	if len(all.overlaps) == 0 {
		return all, nil
	}
	var err error
	all.policies, err = policiesOf(ctx, tx, account, all.held, all.overlaps)
	return all, err
}

// showSeconds says in meetings where they, or others, are second meetings of a personal license.
func (e *Engine) showSeconds(ctx context.Context, tx *store.Tx, account string, meetings []Meeting) error {
	var times []window
	for i := range meetings {
		for _, s := range meetings[i].Segments {
			if s.User == "" {
				continue
			}
			w := window{store.Ms(s.From), far}
			if s.To != nil {
				w.to = store.Ms(*s.To)
			}
			w.to = counted(w.from, w.to)
			times = append(times, w)
		}
	}
	if len(times) == 0 {
		return nil
	}
	all, err := e.readOverlaps(ctx, tx, account, times)
	for i := range meetings {
		if err == nil {
			all.show(&meetings[i])
		}
	}
	return err
}

// show changes a meeting that has to do with second meetings.
func (all *overlapping) show(m *Meeting) {
	for _, o := range all.firsts[m.ID] {
		all.first(m, &all.overlaps[o])
	}
	for _, o := range all.seconds[m.ID] {
		all.second(m, &all.overlaps[o])
	}
}

// maxSecondFacts is how many other meetings a segment names.
const maxSecondFacts = 3

// first tells the meeting that holds the license of another one.
func (all *overlapping) first(m *Meeting, o *meeting.Overlap) {
	fact := all.fact(all.firstCode(o), all.held[o.Second].Meeting, o)
	for i := range m.Segments {
		if s := &m.Segments[i]; s.User != "" && s.overlaps(o) {
			s.add(fact)
		}
	}
}

// at says what a meeting that is charged to a personal license has to do with second meetings at one moment.
func (all *overlapping) at(id string, moment time.Time) []Fact {
	var out []Fact
	add := func(overlaps []int, fact func(o *meeting.Overlap) Fact) {
		for _, i := range overlaps {
			o := &all.overlaps[i]
			if !o.From.After(moment) && (o.To.IsZero() || moment.Before(o.To)) && len(out) < maxSecondFacts {
				out = append(out, fact(o))
			}
		}
	}
	add(all.seconds[id], func(o *meeting.Overlap) Fact { return all.fact(meeting.SecondCharged, all.held[o.First].Meeting, o) })
	add(all.firsts[id], func(o *meeting.Overlap) Fact { return all.fact(all.firstCode(o), all.held[o.Second].Meeting, o) })
	return out
}

// firstCode is what the meeting that holds a license says of another one that asks for it.
func (all *overlapping) firstCode(o *meeting.Overlap) string {
	if shares(all.policies[all.held[o.Second].Meeting].Policy) {
		return meeting.FirstHeld
	}
	return meeting.FirstOfSome
}

// second flags a second meeting, or makes it take a shared license meanwhile.
func (all *overlapping) second(m *Meeting, o *meeting.Overlap) {
	m.Second = true
	first := all.held[o.First]
	share := shares(all.policies[m.ID].Policy)
	code := meeting.SecondCharged
	if share {
		code = meeting.SecondShared
	}
	fact := all.fact(code, first.Meeting, o)
	for i := 0; i < len(m.Segments); i++ {
		s := m.Segments[i]
		if s.User == "" || !s.overlaps(o) {
			continue
		}
		if !share {
			m.Segments[i].add(fact)
			continue
		}
		taken := s
		taken.From, taken.To = o.From, orNever(o.To)
		taken.License, taken.Tag, taken.User, taken.Rule = string(meeting.Shared), meeting.Shared.Tag(), "", meeting.RuleSecond
		taken.Sixths = int64(meeting.Full)
		taken.Why = slices.Clone(s.Why)
		taken.add(fact)
		parts := []Segment{taken}
		if taken.To != nil && (s.To == nil || s.To.After(*taken.To)) {
			rest := s
			rest.From = *taken.To
			parts = append(parts, rest)
		}
		m.Segments = slices.Replace(m.Segments, i, i+1, parts...)
		return
	}
}

func (all *overlapping) fact(code, other string, o *meeting.Overlap) Fact {
	const form = "2006-01-02 15:04:05"
	when := "since " + o.From.Format(form) + " UTC"
	if !o.To.IsZero() {
		when = "from " + o.From.Format(form) + " to " + o.To.Format(form) + " UTC"
	}
	f := meeting.Fact{Code: code, Args: map[string]string{"user": all.held[o.Second].User, "meeting": other, "name": all.policies[other].Name, "when": when}}
	return Fact{Code: f.Code, Text: f.Text(), Args: f.Args}
}

// add appends a fact about another meeting, up to a few of them.
func (s *Segment) add(f Fact) {
	n := 0
	for _, have := range s.Why {
		if have.Code == f.Code {
			n++
		}
	}
	if n < maxSecondFacts {
		s.Why = append(slices.Clone(s.Why), f)
	}
}

func (s *Segment) overlaps(o *meeting.Overlap) bool {
	return (o.To.IsZero() || s.From.Before(o.To)) && (s.To == nil || s.To.After(o.From))
}

func orNever(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

// mark marks the hours of segments; those of shared licenses too where personal ones may make other meetings take them.
func (c *cluster) mark(hours hourMarks, segments []db.Segment, now int64) {
	hours.mark(segments, now)
	c.e.mu.Lock()
	sharing := c.e.sharing[c.account]
	c.e.mu.Unlock()
	for i := range segments {
		if s := &segments[i]; sharing && s.UserJid != "" {
			hours.span(meeting.Shared.Tag(), s.FromAt, s.ToAt, now)
		}
	}
}
