// Package estate plays a conferencing estate by seed: offices in time zones, users with and without a personal license, spaces,
// the meetings of some days by habit, a cluster of call bridges that restart and lose records, and receivers that get everything
// several times and out of order. It gives what the call bridges post, and the truth: what a reader of those records must find.
//
// The truth is the generator's own bookkeeping. It counts second by second, the slow and obvious way, and uses nothing of the
// engine, so that an error has to be made twice to go unseen. For tests only; it does no input or output.
//
// Invariants: equal options give equal bytes and an equal truth. Times are whole seconds, as call bridges write them. Names of
// hosts end in .example.
package estate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Options say which estate is played. The zero value of a field takes the default.
type Options struct {
	Seed      uint64
	Meetings  int       // planned; 100
	Policy    Policy    // that the truth is told under; nothing else depends on it
	Days      int       // working days; one for every 800 meetings
	From      time.Time // midnight UTC of the first day; a Monday in March 2026
	Bridges   int       // of the cluster; 3
	Receivers int       // addresses to which each bridge posts everything; 4
	Restarts  int       // of bridges in all
	Losses    int       // times in all that a bridge loses records for all its receivers, and says so
	Overflows int       // times in all that it loses records for one receiver only
	Nameless  bool      // the bridges do not say which they are, as outside a cluster; then none restarts
	Most      int       // records of one post; 60
	Repeats   float64   // share of the posts that are sent again
	Disorder  int       // by how many places posts overtake each other
}

func (o *Options) defaults() {
	set := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	set(&o.Meetings, 100)
	set(&o.Days, 1+(o.Meetings-1)/800)
	set(&o.Bridges, 3)
	set(&o.Receivers, 4)
	set(&o.Most, 60)
	if o.From.IsZero() {
		o.From = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	}
}

// Policy is one of the two official rules of whose personal license pays.
type Policy int

// The policies.
const (
	OwnerFirst  Policy = iota // the owner of the space, or who called or booked
	MemberFirst               // who joined first and holds one; before that the owner of the space
)

// Estate is one played estate.
type Estate struct {
	Options
	Users  []*User
	Spaces []*Space
	Truth  Truth

	random  *rand.Rand
	bridges []*bridge
	plans   []*plan
	legs    []*leg
	records []*record // by bridge, then in the order in which they are made
	names   map[string]int
}

// bridge is a call bridge. Each of its runs has a session of its own.
type bridge struct {
	id   string
	runs []*run
}

// run is a call bridge from one start to the next.
type run struct {
	bridge  *bridge
	session string
	name    string // the bridge's id, or the session where bridges have none
	from    int64
	records []*record // that are sent, in order of their correlators
	last    int64     // time of the last one
	losses  []loss    // that nobody heard of
}

// loss is where records of a run were lost: right before the record of this number and time.
type loss struct{ next, at int64 }

// New plays an estate.
func New(o Options) *Estate {
	o.defaults()
	e := &Estate{Options: o, random: rand.New(rand.NewPCG(o.Seed, 0xe57a7e)), names: map[string]int{}}
	for range o.Bridges {
		b := &bridge{id: e.guid()}
		b.runs = []*run{e.start(b, 0)}
		e.bridges = append(e.bridges, b)
	}
	e.people()
	e.meetings()
	e.restart()
	e.number()
	e.lose()
	e.Truth = e.truth()
	return e
}

// one returns one of the choices.
func one[T any](e *Estate, choices []T) T { return choices[e.random.IntN(len(choices))] }

// chance is true in so many of a hundred cases.
func (e *Estate) chance(percent int) bool { return e.random.IntN(100) < percent }

// between returns a number of [low, high].
func (e *Estate) between(low, high int64) int64 { return low + e.random.Int64N(high-low+1) }

// day returns midnight UTC of one of the working days.
func (e *Estate) day() int64 {
	d := e.between(0, int64(e.Days)-1)
	return e.From.Unix() + (d/5*7+d%5)*86400
}

func (e *Estate) guid() string {
	a, b := e.random.Uint64(), e.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}

// restart starts bridges anew in the middle of a day's work: what the old run had open is never heard of again.
func (e *Estate) restart() {
	if e.Nameless {
		return
	}
	for range e.Restarts {
		b, p := one(e, e.bridges), one(e, e.plans)
		at := p.from + (p.to-p.from)/2
		if near := func(r *run) bool { return max(r.from-at, at-r.from) < 60 }; slices.ContainsFunc(b.runs, near) {
			continue
		}
		b.runs = append(b.runs, e.start(b, at))
		l := &leg{id: e.guid(), bridge: b, user: one(e, e.Users), reason: "clientInitiatedTeardown"} // somebody calls again, into the menu
		e.legs = append(e.legs, l)
		l.add(record{kind: "callLegStart", at: at + 20, ivr: true})
		l.add(record{kind: "callLegEnd", at: at + 30, seconds: 10})
	}
	for _, b := range e.bridges {
		slices.SortFunc(b.runs, func(x, y *run) int { return int(x.from - y.from) })
	}
	for _, p := range e.plans {
		for _, c := range p.calls {
			c.run = c.bridge.at(c.from)
			c.cut = c.bridge.after(c.from)
		}
	}
	for _, l := range e.legs {
		l.run = l.bridge.at(l.records[0].at)
		cut := l.bridge.after(l.records[0].at)
		for _, r := range l.records {
			if r.call != nil {
				cut = min(cut, r.call.cut)
			}
		}
		l.records = slices.DeleteFunc(l.records, func(r *record) bool { return r.at >= cut })
	}
}

func (e *Estate) start(b *bridge, at int64) *run {
	r := &run{bridge: b, session: e.guid(), name: b.id, from: at}
	if e.Nameless {
		r.name = r.session
	}
	return r
}

// at is the run in which a moment falls.
func (b *bridge) at(moment int64) *run {
	i := len(b.runs) - 1
	for i > 0 && b.runs[i].from > moment {
		i--
	}
	return b.runs[i]
}

// after is when the run ends in which a moment falls.
func (b *bridge) after(moment int64) int64 {
	for _, r := range b.runs {
		if r.from > moment {
			return r.from
		}
	}
	return 1 << 60
}

// number gathers the records of each run in the order in which its bridge makes them.
func (e *Estate) number() {
	add := func(on *run, r *record) {
		r.run = on
		on.records = append(on.records, r)
	}
	for _, p := range e.plans {
		for _, c := range p.calls {
			if c.run == nil {
				c.run, c.cut = c.bridge.runs[0], 1<<60
			}
			add(c.run, c.start)
			if c.end.at < c.cut {
				add(c.run, c.end)
			} else {
				c.end = nil
			}
		}
	}
	for _, l := range e.legs {
		if l.run == nil {
			l.run = l.bridge.runs[0]
		}
		for _, r := range l.records {
			add(l.run, r)
		}
	}
	for _, b := range e.bridges {
		for _, r := range b.runs {
			slices.SortStableFunc(r.records, func(x, y *record) int {
				if x.at != y.at {
					return int(x.at - y.at)
				}
				return x.rank() - y.rank()
			})
			for i, rec := range r.records {
				rec.correlator = int64(i)
			}
			e.records = append(e.records, r.records...)
		}
	}
}
