package estate

import "fmt"

// leg is one connection of a person, a recorder or another bridge; or a recording or streaming, which has a leg or is one.
type leg struct {
	id       string
	bridge   *bridge
	run      *run
	user     *User // nil for those of machines
	web      bool  // the browser's kind of leg, not a SIP one
	out      bool  // called by the bridge
	audio    bool  // without video
	link     bool  // between bridges; takes no part
	recorder bool
	sub      string // subType
	moved    *leg   // that it goes on from
	reason   string
	media    string // "recording" or "streaming"; then at is the leg that does it
	at       string
	own      *leg // of a recorder the recording, and the other way around

	records []*record
	stays   []stay // as it really was
}

// stay is that a leg takes part in a call, from one second up to another.
type stay struct {
	call     *call
	from, to int64
	as       as
	holder   *User // who is known to be there and to hold a personal license; nil for nobody
}

// as tells what somebody takes part as.
type as int

const (
	person as = iota
	sound     // who is known to have had no picture
	recorder
)

func (e *Estate) leg(c *call, u *User) *leg {
	l := &leg{id: e.guid(), bridge: c.bridge, user: u, reason: "remoteTeardown"}
	e.legs = append(e.legs, l)
	c.legs = append(c.legs, l)
	return l
}

// add appends a record of the leg.
func (l *leg) add(r record) {
	r.leg = l
	l.records = append(l.records, &r)
}

func (l *leg) stay(c *call, from, to int64) {
	if from < to {
		l.stays = append(l.stays, stay{call: c, from: from, to: to})
	}
}

// attend makes the legs of one visit.
func (e *Estate) attend(c *call, v visit, audio bool) {
	l := e.leg(c, v.user)
	l.audio = audio
	l.web = e.chance(60)
	if c.plan.kind == lync {
		l.sub, l.web = "lync", false
	}
	from, to := v.from, v.to
	whole := func(from int64) { l.add(record{kind: "callLegEnd", at: to, seconds: to - from}) }
	switch d := e.random.IntN(100); {
	case d < 25: // dials into the voice menu, and is in no call before it has chosen one
		menu := from - e.between(8, 40)
		l.web = false
		l.add(record{kind: "callLegStart", at: menu, ivr: e.chance(50)})
		if e.chance(50) {
			l.add(record{kind: "callLegUpdate", at: menu + 1, ivr: true, connected: true})
		}
		l.add(record{kind: "callLegUpdate", at: from, call: c, connected: true})
		l.stay(c, from, to)
		e.middle(l, c, from, to)
		whole(menu)
	case d < 33: // waits in the lobby
		in := min(from+e.between(5, 180), to)
		l.add(record{kind: "callLegStart", at: from, call: c})
		l.add(record{kind: "callLegUpdate", at: from, call: c, connected: true, lobby: true})
		if in < to {
			l.add(record{kind: "callLegUpdate", at: in, call: c, connected: true})
			l.stay(c, in, to)
		}
		whole(from)
	case d < 38: // is called, and answers after some ringing
		in := min(from+e.between(2, 20), to)
		l.out, l.reason = true, "callEnded"
		l.add(record{kind: "callLegStart", at: from, call: c})
		l.add(record{kind: "callLegUpdate", at: in, call: c, connected: true})
		l.stay(c, in, to)
		whole(in)
	case d < 40: // does not answer
		l.out, l.reason = true, "ringingTimeout"
		l.add(record{kind: "callLegStart", at: from, call: c})
		l.add(record{kind: "callLegEnd", at: min(from+60, to)})
	case d < 42: // no record says that it is connected; its end does, by counting seconds
		l.add(record{kind: "callLegStart", at: from, call: c})
		whole(from)
		l.stay(c, from, to)
	case d < 43: // was there before the bridge told anybody: an update, no start, no end
		l.add(record{kind: "callLegUpdate", at: from, call: c, connected: true})
		l.stay(c, from, c.to)
	case d < 45: // gets the passcode wrong, and is never in the call
		l.web, l.reason = false, "incorrectPasscode"
		c.legs = c.legs[:len(c.legs)-1]
		l.add(record{kind: "callLegStart", at: from, ivr: true})
		l.add(record{kind: "callLegUpdate", at: from, ivr: true, connected: true})
		l.add(record{kind: "callLegEnd", at: from + 15, seconds: 15})
	case d < 47 && to-from > 120:
		e.move(l, c, from, to)
	default:
		l.add(record{kind: "callLegStart", at: from, call: c})
		l.add(record{kind: "callLegUpdate", at: from, call: c, connected: true})
		l.stay(c, from, to)
		e.middle(l, c, from, to)
		if l.web && e.chance(25) { // says once more that it is there, without a state, and goes
			l.add(record{kind: "callLegUpdate", at: to, call: c})
		}
		whole(from)
	}
}

// middle lets a leg change its name, or go back to the lobby for a while.
func (e *Estate) middle(l *leg, c *call, from, to int64) {
	if to-from < 60 {
		return
	}
	out := from + e.between(10, (to-from)/2)
	switch d := e.random.IntN(100); {
	case d < 6:
		l.add(record{kind: "callLegUpdate", at: out, call: c, connected: true, name: l.user.Name + " (mobile)"})
	case d < 10:
		back := out + e.between(1, (to-from)/4)
		l.stays[len(l.stays)-1].to = out
		l.add(record{kind: "callLegUpdate", at: out, call: c, connected: true, lobby: true})
		l.add(record{kind: "callLegUpdate", at: back, call: c, connected: true})
		l.stay(c, back, to)
	}
}

// move takes a leg from one call to another on the same bridge, if there is one: as a new leg, which is how call bridges do it,
// or as the same leg in another call.
func (e *Estate) move(l *leg, c *call, from, to int64) {
	l.add(record{kind: "callLegStart", at: from, call: c})
	l.add(record{kind: "callLegUpdate", at: from, call: c, connected: true})
	at := from + (to-from)/2
	var into *call
	for i := len(e.plans) - 1; i >= 0 && i > len(e.plans)-400; i-- {
		if o := e.plans[i].on(c.bridge); o != nil && o.from <= at && at+10 < o.to {
			into = o
			break
		}
	}
	if into == nil {
		l.add(record{kind: "callLegEnd", at: to, seconds: to - from})
		l.stay(c, from, to)
		return
	}
	l.stay(c, from, at)
	end := min(into.to, at+e.between(5, 600))
	if e.chance(50) {
		into.legs = append(into.legs, l)
		l.add(record{kind: "callLegUpdate", at: at, call: into, connected: true})
		l.add(record{kind: "callLegEnd", at: end, seconds: end - from})
		l.stay(into, at, end)
		return
	}
	l.reason = "callMoved"
	l.add(record{kind: "callLegEnd", at: at, seconds: at - from})
	next := e.leg(into, l.user)
	next.web, next.audio, next.moved = l.web, l.audio, l
	next.add(record{kind: "callLegStart", at: at, call: into})
	next.add(record{kind: "callLegUpdate", at: at, call: into, connected: true})
	next.add(record{kind: "callLegEnd", at: end, seconds: end - at})
	next.stay(into, at, end)
}

// name is what the leg calls itself.
func (l *leg) name() string {
	switch {
	case l.recorder:
		return "Recorder"
	case l.link:
		return "Call bridge"
	}
	return l.user.Name
}

// party is whom the bridge is connected with.
func (l *leg) party() string {
	switch {
	case l.recorder:
		return "recorder@media.acme.example"
	case l.link:
		return "bridge@cluster.acme.example"
	case !l.web && l.user.Device != "" && l.id[0] < '8':
		return fmt.Sprintf("sip:%s;transport=tls", l.user.Device)
	case !l.web:
		return fmt.Sprintf("sip:%s;transport=tls", l.user.JID)
	}
	return l.user.JID
}
