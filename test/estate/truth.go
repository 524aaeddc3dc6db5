package estate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Truth is what a reader of all records must find.
type Truth struct {
	Meetings []Meeting
	Hours    []Hour
	Records  int64 // that reach a receiver
	Lost     int64
}

// Meeting is one meeting as the records that were not lost tell it.
type Meeting struct {
	Name, Space, CallType string
	From, To              int64 // unix seconds
	Seconds               int64
	Most                  int // participants at once
	Bridges               []string
	Incomplete, Estimated bool
	Segments              []Segment
	Participants          []Participant
}

// Segment is a stretch with one license.
type Segment struct {
	From, To int64
	Charge
}

// Charge is what is taken at one moment.
type Charge struct {
	Tag    string
	Sixths int
	User   string // JID of who pays with a personal license
	Rule   string
}

// Participant is one stay of somebody.
type Participant struct {
	Name     string
	From, To int64
}

// Sorted sorts participants and returns them.
func Sorted(all []Participant) []Participant {
	slices.SortFunc(all, func(a, b Participant) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Name, b.Name), cmp.Compare(a.To, b.To))
	})
	return all
}

// Hour is the highest use of one license in one hour.
type Hour struct {
	At       int64
	Tag      string
	Sixths   int
	PeakAt   int64 // first second of the peak
	Meetings int
}

// String is the meeting in one line.
func (m Meeting) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %s %s %s..%s %d s, most %d, on %s", m.Name, m.CallType, m.Space, clock(m.From), clock(m.To), m.Seconds, m.Most, strings.Join(m.Bridges, " "))
	if m.Incomplete {
		b.WriteString(", incomplete")
	}
	if m.Estimated {
		b.WriteString(", estimated")
	}
	for _, s := range m.Segments {
		fmt.Fprintf(&b, " [%s..%s %s %d/6 %s %s]", clock(s.From), clock(s.To), s.Tag, s.Sixths, s.User, s.Rule)
	}
	return b.String()
}

// String is the hour in one line.
func (h Hour) String() string {
	return fmt.Sprintf("%s %s %d/6 at %s, %d meetings", clock(h.At), h.Tag, h.Sixths, clock(h.PeakAt), h.Meetings)
}

func clock(at int64) string { return time.Unix(at, 0).UTC().Format("2006-01-02T15:04:05") }

// part is one call as the records tell it.
type part struct {
	*call
	from, to  int64
	stays     []stay
	people    []Participant
	marked    bool // incomplete
	holes     bool // and that shows
	estimated bool
}

// truth puts together what is known of each meeting. A call without its start is a meeting by itself: nothing says of which.
func (e *Estate) truth() Truth {
	out := e.Truth
	told := map[*leg][]stay{}
	for _, l := range e.legs {
		told[l] = l.told()
	}
	for _, p := range e.plans {
		var whole, alone []part
		for _, c := range p.calls {
			if c.start.lost {
				alone = append(alone, c.part(told))
			} else {
				whole = append(whole, c.part(told))
			}
		}
		if len(whole) > 0 {
			out.Meetings = append(out.Meetings, p.meeting(e.Policy, whole))
		}
		for i := range alone {
			out.Meetings = append(out.Meetings, (&plan{calls: p.calls}).meeting(e.Policy, alone[i:i+1]))
		}
	}
	out.Hours = Hours(out.Meetings)
	return out
}

// told reads what the records of the leg say that were not lost: it takes part from the first one that has it in a call and
// connected, as long as none takes it out. Without losses that is what was the case, and a test compares.
func (l *leg) told() []stay {
	kept := slices.DeleteFunc(slices.Clone(l.records), func(r *record) bool { return r.lost })
	has := func(yes func(*record) bool) bool { return slices.ContainsFunc(kept, yes) }
	if l.media != "" {
		if len(kept) == 0 || !strings.HasSuffix(kept[0].kind, "Start") || l.own != nil && l.own.heard() {
			return nil
		}
		s := stay{call: kept[0].call, from: kept[0].at, to: forever}
		if len(kept) > 1 {
			s.to = kept[1].at
		}
		return []stay{s}
	}
	if l.link && has(func(r *record) bool { return r.kind == "callLegStart" }) { // only that one tells what it is
		return nil
	}
	connected := !has(func(r *record) bool { return r.connected }) && has(func(r *record) bool { return r.kind == "callLegEnd" && r.seconds > 0 })
	var out []stay
	var in, present *call
	for _, r := range kept {
		if r.call != nil || r.ivr || r.kind == "callLegEnd" {
			in = r.call
		}
		connected = connected || r.connected
		now := in
		if !connected || r.lobby {
			now = nil
		}
		if now == present {
			continue
		}
		if present != nil {
			out[len(out)-1].to = r.at
		}
		if now != nil {
			out = append(out, stay{call: now, from: r.at, to: forever})
		}
		present = now
	}
	return slices.DeleteFunc(out, func(s stay) bool { return s.from >= s.to })
}

const forever = int64(1 << 60)

// heard reports whether a record tells that the leg is in a call: its end alone does not say in which.
func (l *leg) heard() bool {
	return slices.ContainsFunc(l.records, func(r *record) bool { return !r.lost && r.call != nil })
}

// as is what the records say of it: that it had no picture only its end says, and that it records only the start of the recording.
func (l *leg) as() as {
	last := l.records[len(l.records)-1]
	switch {
	case l.media != "" || l.own != nil && !l.own.records[0].lost:
		return recorder
	case l.audio && last.kind == "callLegEnd" && last.seconds > 0 && !last.lost:
		return sound
	}
	return person
}

// holder is who the records say is at the other end, where that is somebody with a personal license: nobody knows it of a leg
// whose records with an address were lost.
func (l *leg) holder() *User {
	told := func(r *record) bool { return !r.lost && (r.kind == "callLegStart" || r.kind == "callLegUpdate") }
	if u := l.user; u != nil && u.Personal && !u.Guest && slices.ContainsFunc(l.records, told) {
		return u
	}
	return nil
}

// known is the name that the records give.
func (l *leg) known() string {
	name, party := "", ""
	for _, r := range l.records {
		if r.lost || l.media != "" {
			continue
		}
		if r.kind == "callLegUpdate" || r.kind == "callLegStart" && l.web {
			name = r.says()
		}
		if r.kind == "callLegStart" {
			party = l.party()
		}
	}
	return cmp.Or(name, party, l.media)
}

// part is what is known of one call.
func (c *call) part(told map[*leg][]stay) part {
	p := part{call: c, from: c.from, to: c.to}
	p.marked, p.holes = c.start.lost, c.start.lost
	if c.end == nil || c.end.lost {
		p.estimated, p.to = true, c.run.last
	}
	for _, l := range c.legs {
		if !l.here(c) {
			continue
		}
		p.marked = p.marked || l.marks(c)
		p.holes = p.holes || !p.estimated && l.hole(c)
		for _, s := range told[l] {
			s.to, s.as, s.holder = min(s.to, p.to), l.as(), l.holder()
			if s.call == c && s.from < s.to {
				p.stays = append(p.stays, s)
				p.people = append(p.people, Participant{l.known(), s.from, s.to})
			}
		}
	}
	return p
}

// marks reports whether a call is incomplete for what is not known of one of its legs: a bridge never told of its start, or a
// record that matters to the call was lost. Recorders are no legs.
func (l *leg) marks(c *call) bool {
	if l.media != "" {
		return false
	}
	in := (*call)(nil)
	marks := l.records[0].kind != "callLegStart"
	for _, r := range l.records {
		was := in
		if r.call != nil || r.ivr {
			in = r.call
		}
		marks = marks || r.lost && (in == c || was == c || r.kind == "callLegStart")
	}
	return marks
}

// hole reports whether the records that are left show that some of a leg are missing: it does not begin or not end, or is not
// among those that the call counted.
func (l *leg) hole(c *call) bool {
	if l.media != "" {
		return false
	}
	var kept []*record
	var last *call
	for _, r := range l.records {
		if !r.lost {
			kept = append(kept, r)
			if r.call != nil || r.ivr {
				last = r.call
			}
		}
	}
	if !slices.ContainsFunc(kept, func(r *record) bool { return r.call == c }) {
		return true
	}
	return kept[0].kind != "callLegStart" || last == c && kept[len(kept)-1].kind != "callLegEnd"
}

// meeting puts calls together.
func (p *plan) meeting(policy Policy, parts []part) Meeting {
	m := Meeting{Name: p.name, CallType: p.kind, From: forever}
	if p.space != nil {
		m.Space = p.space.ID
	}
	runs := map[*run]bool{}
	var stays []stay
	for _, c := range parts {
		m.From, m.To = min(m.From, c.from), max(m.To, c.to)
		m.Incomplete = m.Incomplete || c.marked
		m.Estimated = m.Estimated || c.estimated
		m.Bridges = append(m.Bridges, c.run.name)
		stays = append(stays, c.stays...)
		m.Participants = append(m.Participants, c.people...)
		runs[c.run] = true
	}
	slices.Sort(m.Bridges)
	Sorted(m.Participants)
	m.Seconds = m.To - m.From
	for r := range runs { // whoever was there when records were lost may have lost some
		for _, c := range parts {
			m.Incomplete = m.Incomplete || slices.ContainsFunc(r.losses, func(l loss) bool { return c.there(r, l) })
		}
	}
	counts := levels(stays, m.From, m.To)
	m.Most = int(most(counts))
	if c := parts[0]; len(parts) == 1 && c.holes && !c.estimated { // the bridge's own count stands in
		m.Most = max(m.Most, int(c.legsMost()))
	}
	for i, n := range counts {
		at := m.From + int64(i)
		charge := p.charge(policy, n, stays, at)
		last := len(m.Segments) - 1
		switch {
		case n.people == 0:
		case last >= 0 && m.Segments[last].To == at && m.Segments[last].Charge == charge:
			m.Segments[last].To++
		default:
			m.Segments = append(m.Segments, Segment{at, at + 1, charge})
		}
	}
	return m
}

// there reports whether a call was there when a run lost records: by their order if it was on that run, otherwise by time.
func (p *part) there(r *run, l loss) bool {
	if p.run != r {
		return p.from <= l.at && l.at <= p.to
	}
	return p.start.correlator < l.next && (p.end == nil || p.end.lost || l.next <= p.end.correlator)
}

// charge is what the meeting takes at a moment at which so many take part.
func (p *plan) charge(policy Policy, n level, stays []stay, at int64) Charge {
	const personal, shared = "cms-pmp-plus", "cms-smp-plus"
	switch {
	case p.kind == gateway:
		return Charge{shared, 1, "", "gateway"}
	case p.kind == lync:
		return Charge{shared, 6, "", "dual-home"}
	}
	payer, rule := p.payer, p.rule
	if policy == MemberFirst {
		payer, rule = p.member(stays, at)
	}
	switch {
	case payer != nil:
		return Charge{personal, 6, payer.JID, rule}
	case n.sound > 0 && n.sound+n.recorders == n.people:
		return Charge{shared, 1, "", "audio-only"}
	case p.kind == adHoc && n.people <= 2:
		return Charge{shared, 1, "", "point-to-point"}
	}
	return Charge{shared, 6, "", "shared"}
}

// member is who pays by member-first at a moment: of those with a personal license who have joined by then, gone again or not,
// the first one; of several in one second the owner of the space, or else who comes first in the alphabet. Before anybody of
// them has joined it is the owner of the space.
func (p *plan) member(stays []stay, at int64) (*User, string) {
	var owner, first *User
	if p.space != nil && !p.space.Unlisted {
		owner = p.space.Owner
	}
	since := at + 1
	for _, s := range stays {
		switch {
		case s.holder == nil || s.from > since || s.from > at:
		case s.from < since, s.holder == owner, first != owner && s.holder.JID < first.JID:
			first, since = s.holder, s.from
		}
	}
	switch {
	case first != nil:
		return first, "member"
	case owner != nil && owner.Personal && !owner.Guest:
		return owner, "owner"
	}
	return nil, ""
}

// Hours counts the use of each license in each hour, second by second.
func Hours(meetings []Meeting) []Hour {
	from, to := forever, int64(0)
	for _, m := range meetings {
		from, to = min(from, m.From/3600*3600), max(to, m.To)
	}
	var out []Hour
	for _, tag := range []string{"cms-pmp-plus", "cms-smp-plus"} {
		use := make([]int, max(0, to-from)+3600)
		count := map[int64]int{}
		for _, m := range meetings {
			in := map[int64]bool{}
			for _, s := range m.Segments {
				for at := s.From; s.Tag == tag && at < s.To; at++ {
					use[at-from] += s.Sixths
					in[at/3600*3600] = true
				}
			}
			for at := range in {
				count[at]++
			}
		}
		for at := range count {
			h := Hour{At: at, Tag: tag, Meetings: count[at]}
			for i, n := range use[at-from : at-from+3600] {
				if n > h.Sixths {
					h.Sixths, h.PeakAt = n, at+int64(i)
				}
			}
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b Hour) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Tag, b.Tag)) })
	return out
}
