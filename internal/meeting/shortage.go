package meeting

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// Shortage is a stretch in which more was taken than is owned.
type Shortage struct {
	From, To time.Time
	Entitled int64
	Most     Sixths    // the most that was taken in it
	At       time.Time // when that was first
}

// Missing is how many licenses more would have covered it.
func (s Shortage) Missing() int64 { return (s.Most - Sixths(s.Entitled)*Full).Licenses() }

// Shortages returns the stretches of [from, to) in which charges take more than
// the grants come to. Two that touch differ in what is owned.
func Shortages(charges []Charge, grants []Grant, from, to time.Time) []Shortage {
	var out []Shortage
	for _, p := range split(charges, grants, from, to) {
		if p.taken <= Sixths(p.entitled)*Full {
			continue
		}
		n := len(out)
		if n == 0 || !out[n-1].To.Equal(p.from) || out[n-1].Entitled != p.entitled {
			out = append(out, Shortage{From: p.from, To: p.to, Entitled: p.entitled, Most: p.taken, At: p.from})
			continue
		}
		s := &out[n-1]
		s.To = p.to
		if p.taken > s.Most {
			s.Most, s.At = p.taken, p.from
		}
	}
	return out
}

// piece is a stretch in which neither what is taken nor what is owned changes.
type piece struct {
	from, to time.Time
	taken    Sixths
	entitled int64
}

func split(charges []Charge, grants []Grant, from, to time.Time) []piece {
	cuts := []time.Time{}
	for _, g := range grants {
		for _, at := range []time.Time{g.From, g.To} {
			if at.After(from) && at.Before(to) {
				cuts = append(cuts, at)
			}
		}
	}
	slices.SortFunc(cuts, time.Time.Compare)
	cuts = append(slices.CompactFunc(cuts, time.Time.Equal), to)
	var out []piece
	profile := Profile(charges, from, to)
	for i, n := 0, 0; i < len(profile); {
		until := to
		if i+1 < len(profile) {
			until = profile[i+1].At
		}
		begin := profile[i].At
		if n > 0 && cuts[n-1].After(begin) {
			begin = cuts[n-1]
		}
		end := until
		if cuts[n].Before(until) {
			end = cuts[n]
		}
		if begin.Before(end) {
			out = append(out, piece{begin, end, profile[i].Sixths, Entitled(grants, begin)})
		}
		if !cuts[n].After(until) && n+1 < len(cuts) {
			n++
		}
		if end.Equal(until) {
			i++
		}
	}
	return out
}

// Candidate is a host without a personal license and what giving one would free.
type Candidate struct {
	Host     string
	Meetings int           // of the host within shortages
	For      time.Duration // how long those were part of shortages
}

// Advice is what would have removed the shortages of a period, each of its two
// remedies for itself: shared licenses to buy, or personal licenses to give.
type Advice struct {
	Shortages []Shortage
	Short     time.Duration // how long it was short, altogether
	Buy       int64         // shared licenses more than were owned at the time
	Give      []Candidate   // hosts to give personal licenses, the most helpful first
	Removes   bool          // those suffice
	Rest      int64         // shared licenses that are missing still after giving
	Causes    []Cause
	Why       []Fact
}

// Cause counts the meetings within shortages that took a shared license for one
// reason.
type Cause struct {
	Code     string
	Meetings int
}

// maxGive bounds how many hosts an advice names.
const maxGive = 1000

// Advise says what would have removed the shortages of shared licenses in
// [from, to). Takings are those of shared licenses; a personal license helps a
// host when eligible says so of a taking: a policy may charge gateway calls to
// nobody. Hosts are chosen one after the other, each time the one who takes most
// from what is still missing, over all moments (by name where two are equal).
func Advise(takings []Taking, grants []Grant, from, to time.Time, eligible func(*Taking) bool) Advice {
	a := Advice{Shortages: Shortages(ChargesOf(takings), grants, from, to)}
	for _, s := range a.Shortages {
		a.Short += s.To.Sub(s.From)
		a.Buy = max(a.Buy, s.Missing())
	}
	r := rescue{hosts: map[string]int{}, inside: make([]bool, len(takings)), takings: takings}
	r.sweep(a.Shortages, eligible)
	a.Causes = r.causes()
	r.give(&a)
	a.explain()
	return a
}

// rescue is the search for hosts to give personal licenses.
type rescue struct {
	takings []Taking
	inside  []bool // which takings hold at a moment of a shortage
	hosts   map[string]int
	names   []string
	moments []moment
}

// moment is a piece of a shortage, with what each host takes who could be given
// a personal license.
type moment struct {
	length  time.Duration
	missing Sixths
	hosts   []hosted
}

type hosted struct {
	host  int
	takes Sixths
}

// sweep walks through time once and notes the moments of shortages.
func (r *rescue) sweep(shortages []Shortage, eligible func(*Taking) bool) {
	order := make([]int, len(r.takings))
	may := make([]bool, len(r.takings))
	for i := range order {
		order[i] = i
		may[i] = r.takings[i].Host != "" && eligible(&r.takings[i])
	}
	slices.SortFunc(order, func(a, b int) int { return r.takings[a].From.Compare(r.takings[b].From) })
	var active []int
	next := 0
	for _, s := range shortages {
		for at := s.From; at.Before(s.To); {
			for ; next < len(order) && !r.takings[order[next]].From.After(at); next++ {
				active = append(active, order[next])
			}
			active = slices.DeleteFunc(active, func(i int) bool { return !r.takings[i].Covers(at) })
			until := s.To
			if next < len(order) && r.takings[order[next]].From.Before(until) {
				until = r.takings[order[next]].From
			}
			m := moment{missing: -Sixths(s.Entitled) * Full}
			sums := map[int]Sixths{}
			for _, i := range active {
				t := &r.takings[i]
				r.inside[i] = true
				m.missing += t.Sixths
				if !t.To.IsZero() && t.To.Before(until) {
					until = t.To
				}
				if may[i] {
					sums[r.host(t.Host)] += t.Sixths
				}
			}
			for host, takes := range sums {
				m.hosts = append(m.hosts, hosted{host, takes})
			}
			m.length = until.Sub(at)
			r.moments = append(r.moments, m)
			at = until
		}
	}
}

func (r *rescue) host(name string) int {
	n, known := r.hosts[name]
	if !known {
		n = len(r.names)
		r.hosts[name] = n
		r.names = append(r.names, name)
	}
	return n
}

// causes counts the meetings within shortages by what made them take a shared license.
func (r *rescue) causes() []Cause {
	seen := map[[2]string]bool{}
	meetings := map[string]int{}
	for i, in := range r.inside {
		if t := &r.takings[i]; in && !seen[[2]string{t.Cause, t.Meeting}] {
			seen[[2]string{t.Cause, t.Meeting}] = true
			meetings[t.Cause]++
		}
	}
	var out []Cause
	for code, n := range meetings {
		out = append(out, Cause{code, n})
	}
	slices.SortFunc(out, func(x, y Cause) int { return cmp.Or(y.Meetings-x.Meetings, cmp.Compare(x.Code, y.Code)) })
	return out
}

// give chooses hosts until nothing is missing or nobody helps any more.
func (r *rescue) give(a *Advice) {
	given := make([]bool, len(r.names))
	for len(a.Give) < maxGive {
		help := make([]int64, len(r.names))
		for i := range r.moments {
			m := &r.moments[i]
			for _, h := range m.hosts {
				if m.missing > 0 && !given[h.host] {
					help[h.host] += int64(min(h.takes, m.missing)) * m.length.Milliseconds()
				}
			}
		}
		best := -1
		for host, n := range help {
			if n > 0 && (best < 0 || n > help[best] || n == help[best] && r.names[host] < r.names[best]) {
				best = host
			}
		}
		if best < 0 {
			break
		}
		given[best] = true
		a.Give = append(a.Give, r.take(best))
	}
	var rest Sixths
	for i := range r.moments {
		rest = max(rest, r.moments[i].missing)
	}
	a.Rest = rest.Licenses()
	a.Removes = a.Rest == 0
}

// take takes what a host has out of all moments.
func (r *rescue) take(host int) Candidate {
	c := Candidate{Host: r.names[host]}
	for i := range r.moments {
		for _, h := range r.moments[i].hosts {
			if h.host == host {
				r.moments[i].missing -= h.takes
				c.For += r.moments[i].length
			}
		}
	}
	meetings := map[string]bool{}
	for i, in := range r.inside {
		if in && r.takings[i].Host == c.Host {
			meetings[r.takings[i].Meeting] = true
		}
	}
	c.Meetings = len(meetings)
	return c
}

func (a *Advice) explain() {
	if len(a.Shortages) == 0 {
		a.Removes = true
		a.Why = []Fact{{Code: NeverShort}}
		return
	}
	worst := slices.MaxFunc(a.Shortages, func(x, y Shortage) int { return cmp.Compare(x.Missing(), y.Missing()) })
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	a.Why = []Fact{
		{ShortFor, map[string]string{"times": n(int64(len(a.Shortages))), "for": a.Short.Round(time.Second).String()}},
		{ShortMost, map[string]string{"at": worst.At.UTC().Format("2006-01-02 15:04:05"), "used": worst.Most.String(),
			"entitled": n(worst.Entitled), "missing": n(worst.Missing())}},
		{HelpBuy, map[string]string{"count": n(a.Buy)}},
	}
	args := map[string]string{"count": n(int64(len(a.Give))), "rest": n(a.Rest)}
	if len(a.Give) > 0 {
		args["first"] = a.Give[0].Host
	}
	switch {
	case len(a.Give) == 0:
		a.Why = append(a.Why, Fact{HelpGiveNobody, nil})
	case a.Removes:
		a.Why = append(a.Why, Fact{HelpGive, args})
	default:
		a.Why = append(a.Why, Fact{HelpGiveAndBuy, args})
	}
}
