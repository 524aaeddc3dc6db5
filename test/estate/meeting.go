package estate

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// The types of calls as call bridges name them.
const (
	inSpace = "coSpace"
	adHoc   = "adHoc"
	gateway = "forwarding"
	lync    = "lyncConferencing"
)

// plan is one meeting as it really takes place, on one call of each bridge that somebody joins it from.
type plan struct {
	name, kind, correlator string
	space                  *Space
	host                   *User  // who is there first
	passed                 string // whom the bridge names as the owner
	payer                  *User  // whose personal license applies; nil for nobody's
	rule                   string // by which that is so
	from, to               int64
	calls                  []*call
}

type call struct {
	id         string
	plan       *plan
	bridge     *bridge
	run        *run
	from, to   int64
	cut        int64 // when the bridge restarted in it
	start, end *record
	legs       []*leg // that were ever in it
}

// visit is that a person wants to take part.
type visit struct {
	user     *User
	bridge   *bridge
	from, to int64
}

// meetings plans all meetings: by the habits of spaces, the same day and hour every week, until there are enough.
func (e *Estate) meetings() {
	for len(e.plans) < e.Meetings {
		switch d := e.random.IntN(100); {
		case d < 76:
			e.spaceMeeting(one(e, e.Spaces))
		case d < 86:
			e.call(adHoc, e.between(3, 5))
		case d < 92:
			e.call(adHoc, 2)
		case d < 96:
			e.call(gateway, 2)
		default:
			e.call(lync, e.between(1, 6))
		}
	}
}

// moment is a time of work in an office: mostly the full hour or the half.
func (e *Estate) moment(office int) int64 {
	quarter := e.between(0, 36)
	if e.chance(60) {
		quarter = quarter / 2 * 2
	}
	local := 8*3600 + quarter*900
	return e.day() + local - offices[office].hours*3600
}

// spaceMeeting is one meeting in a space: at the time that it has every day or week, or at any other.
func (e *Estate) spaceMeeting(s *Space) {
	from := e.moment(s.office)
	if len(s.busy) > 0 && e.chance(70) {
		from = e.day() + (s.busy[0][0]-e.From.Unix())%86400
	}
	p := &plan{name: s.Name, kind: inSpace, correlator: e.guid(), space: s, host: s.Owner, from: from}
	p.to = from + one(e, []int64{900, 1800, 1800, 2700, 3600, 3600, 5400})
	clash := func(b [2]int64) bool { return from-1200 < b[1] && b[0] < p.to+1200 }
	if slices.ContainsFunc(s.busy, clash) {
		return
	}
	s.busy = append(s.busy, [2]int64{p.from, p.to})
	if s.Owner == nil {
		p.host = one(e, e.Users)
	}
	e.owner(p)
	people := e.between(2, 6)
	switch d := e.random.IntN(100); {
	case d < 8:
		people = e.between(0, 1)
	case d < 12:
		people = e.between(10, 25)
	}
	e.hold(p, people, e.chance(85) && s.Owner != nil)
}

// owner settles whom the bridge names as the owner of a meeting in a space, and who pays: the owner of the space, or else whom a
// scheduler names by a JID or a sign-in name. An e-mail address is not enough.
func (e *Estate) owner(p *plan) {
	s, booker := p.space, one(e, e.Users)
	scheduled := s.Owner == nil && e.chance(70) || e.chance(10)
	switch d := e.random.IntN(10); {
	case !scheduled:
	case d < 6:
		p.passed = one(e, []string{`ACME\`, ""}) + booker.ID
		p.pays(booker, "scheduler")
	case d < 8:
		p.passed = booker.JID
		p.pays(booker, "scheduler")
	default:
		p.passed = booker.Email
	}
	if s.Owner == nil {
		return
	}
	if !scheduled {
		p.passed = one(e, []string{s.Owner.Name, s.Owner.JID})
	}
	if !s.Unlisted {
		p.pays(s.Owner, "owner")
	}
}

// pays lets a personal license apply, if the user has one that the directory knows of.
func (p *plan) pays(u *User, rule string) {
	if u.Personal && !u.Guest {
		p.payer, p.rule = u, rule
	}
}

// written is a GUID as one of the systems writes it that pass it on: some turn the bytes of its first three groups around.
func (e *Estate) written(guid string) string {
	switch e.random.IntN(4) {
	case 0:
		return strings.ToUpper(guid)
	case 1:
		return "{" + guid + "}"
	case 2:
		b := func(i int) string { return guid[i : i+2] }
		return b(6) + b(4) + b(2) + b(0) + "-" + b(11) + b(9) + "-" + b(16) + b(14) + guid[18:]
	}
	return guid
}

// call is one without a space.
func (e *Estate) call(kind string, people int64) {
	host := one(e, e.Users)
	p := &plan{kind: kind, correlator: e.guid(), host: host, from: e.moment(host.office)}
	p.from += e.between(0, 899)
	p.to = p.from + e.between(120, 2400)
	switch kind {
	case adHoc:
		p.name = fmt.Sprintf("00%d", e.between(100000000, 999999999))
		if e.chance(40) { // call control says who turned the call into a meeting
			p.passed = e.written(host.GUID)
			p.pays(host, "ad-hoc")
		}
	case gateway:
		p.name = one(e, e.Users).JID
	default:
		p.name = "Skype meeting of " + host.Name
	}
	e.hold(p, people, true)
}

// hold lets people come, makes the calls that they come to, and the records of everything.
func (e *Estate) hold(p *plan, people int64, hostComes bool) {
	var visits []visit
	home := e.bridges[p.host.office%len(e.bridges)]
	for i := range people {
		u := one(e, e.Users)
		if i == 0 && hostComes {
			u = p.host
		}
		v := visit{u, home, p.from + e.between(-90, 240), p.to - e.between(-200, 120)}
		if p.kind == inSpace && e.chance(40) {
			v.bridge = e.bridges[u.office%len(e.bridges)]
		}
		if p.kind != inSpace && i > 1 {
			v.from += (p.to - p.from) / 3 // the third person is called in
		}
		if e.chance(8) && v.to-v.from > 400 { // falls out and comes again
			middle := v.from + (v.to-v.from)/2
			visits = append(visits, visit{u, v.bridge, middle + e.between(5, 90), v.to})
			v.to = middle
		}
		if v.to <= v.from {
			v.to = v.from + 1
		}
		visits = append(visits, v)
	}
	if len(visits) == 0 { // somebody opens the space and nobody comes
		visits = append(visits, visit{nil, home, p.from, p.from + 30})
	}
	e.calls(p, visits)
	allAudio := e.chance(9)
	for _, v := range visits {
		c := p.on(v.bridge)
		if v.user != nil {
			e.attend(c, v, allAudio || e.chance(12))
		}
	}
	e.links(p)
	if e.chance(6) && p.kind == inSpace {
		e.record(p.calls[0])
	}
	e.plans = append(e.plans, p)
}

// calls makes one call on each bridge that is visited, from its first visit to its last.
func (e *Estate) calls(p *plan, visits []visit) {
	slices.SortStableFunc(visits, func(a, b visit) int { return int(a.from - b.from) })
	for _, v := range visits {
		c := p.on(v.bridge)
		if c == nil {
			c = &call{id: e.guid(), plan: p, bridge: v.bridge, from: v.from - e.between(0, 4), cut: math.MaxInt64}
			p.calls = append(p.calls, c)
		}
		c.to = max(c.to, v.to)
	}
	for _, c := range p.calls {
		c.start = &record{kind: "callStart", at: c.from, call: c, empty: e.random.IntN(4)}
		c.end = &record{kind: "callEnd", at: c.to, call: c, seconds: c.to - c.from}
	}
}

// on is the plan's call on a bridge, nil for none.
func (p *plan) on(b *bridge) *call {
	for _, c := range p.calls {
		if c.bridge == b {
			return c
		}
	}
	return nil
}

// links ties the calls of a meeting on several bridges together, with a leg at either end that nobody sits behind.
func (e *Estate) links(p *plan) {
	first := p.calls[0]
	for _, other := range p.calls[1:] {
		from, to := max(first.from, other.from), min(first.to, other.to)
		if from >= to {
			continue
		}
		for _, c := range []*call{first, other} {
			l := e.leg(c, nil)
			l.link, l.sub = true, "distributionLink"
			l.add(record{kind: "callLegStart", at: from, call: c})
			l.add(record{kind: "callLegUpdate", at: from, call: c, connected: true})
			l.add(record{kind: "callLegEnd", at: to, seconds: to - from})
		}
	}
	if p.kind == lync && e.chance(50) {
		c := first
		l := e.leg(c, nil)
		l.link, l.sub = true, "lyncDistribution"
		l.add(record{kind: "callLegStart", at: c.from, call: c})
		l.add(record{kind: "callLegUpdate", at: c.from, call: c, connected: true})
		l.add(record{kind: "callLegEnd", at: c.to, seconds: c.to - c.from})
	}
}

// record lets a call be recorded or streamed: by a recorder that is a leg, or by one that only its own records tell of.
func (e *Estate) record(c *call) {
	from := c.from + e.between(1, 120)
	to := from + e.between(60, 1200)
	if to > c.to {
		return
	}
	m := &leg{id: e.guid(), bridge: c.bridge, media: "recording", at: e.guid()}
	if e.chance(25) {
		m.media = "streaming"
	}
	if e.chance(50) {
		l := e.leg(c, nil)
		l.recorder, l.own, m.own, m.at = true, m, l, l.id
		l.add(record{kind: "callLegStart", at: from, call: c})
		l.add(record{kind: "callLegUpdate", at: from, call: c, connected: true})
		l.add(record{kind: "callLegEnd", at: to, seconds: to - from})
		l.stays = []stay{{call: c, from: from, to: to}}
	} else {
		m.stays = []stay{{call: c, from: from, to: to}}
	}
	m.add(record{kind: m.media + "Start", at: from, call: c})
	m.add(record{kind: m.media + "End", at: to})
	e.legs = append(e.legs, m)
	c.legs = append(c.legs, m)
}
