package meeting

import (
	"cmp"
	"slices"
	"time"
)

// Tally is use in the classes of the call bridges' own snapshots, in hundredths
// of a meeting, as they write it.
type Tally struct {
	Personal     int64 `json:"pmp"`
	PointToPoint int64 `json:"smpPtP"`
	Audio        int64 `json:"smpAud"`
	Full         int64 `json:"smpFull"`
}

// add counts n hundredths in a class. Recordings and streams are no licenses of
// meetings.
func (t *Tally) add(c Class, n int64) {
	switch c {
	case ClassPersonal:
		t.Personal += n
	case ClassPointToPoint:
		t.PointToPoint += n
	case ClassAudio:
		t.Audio += n
	case ClassFull:
		t.Full += n
	}
}

// Distance is the sum of the absolute differences of all classes.
func (t Tally) Distance(o Tally) int64 {
	return abs(t.Personal-o.Personal) + abs(t.PointToPoint-o.PointToPoint) + abs(t.Audio-o.Audio) + abs(t.Full-o.Full)
}

// Shared is the shared licenses that the tally comes to, in hundredths of a
// sixth: whole ones, and a sixth for each audio-only and point-to-point call
// (domain rule 26).
func (t Tally) Shared() int64 { return int64(Full)*t.Full + t.Audio + t.PointToPoint }

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// Observation is what the call bridges of a cluster counted together within one
// interval of snapshots, and when each of them looked.
type Observation struct {
	At    []time.Time
	Tally Tally
}

// Comparison is one observation beside our own count of the same moments.
// Where call bridges looked at different moments, ours is the mean of these.
type Comparison struct {
	At           time.Time // the first moment
	Ours, Theirs Tally
	Meetings     []string // ids of the meetings that we counted, sorted, where the two differ
	rounding     int64    // by which a class may be off as several call bridges round their parts
}

// Differs says whether any class differs by more than call bridges round: three that share a meeting write 0.33 each.
func (c Comparison) Differs() bool {
	o, t := c.Ours, c.Theirs
	return max(abs(o.Personal-t.Personal), abs(o.PointToPoint-t.PointToPoint), abs(o.Audio-t.Audio), abs(o.Full-t.Full)) > c.rounding
}

// Reconcile sets observations beside our own takings (domain rules 21, 25 and
// 26), in the order of the observations.
func Reconcile(seen []Observation, takings []Taking) []Comparison {
	var moments []time.Time
	for _, o := range seen {
		moments = append(moments, o.At...)
	}
	slices.SortFunc(moments, time.Time.Compare)
	moments = slices.CompactFunc(moments, time.Time.Equal)
	counts := countAt(moments, takings)
	out := make([]Comparison, 0, len(seen))
	for _, o := range seen {
		if len(o.At) == 0 {
			continue
		}
		c := Comparison{At: slices.MinFunc(o.At, time.Time.Compare), Theirs: o.Tally}
		var sum Tally
		for _, at := range o.At {
			t := counts[at.UnixMilli()]
			sum.Personal, sum.PointToPoint, sum.Audio, sum.Full = sum.Personal+t.Personal, sum.PointToPoint+t.PointToPoint, sum.Audio+t.Audio, sum.Full+t.Full
		}
		n := int64(len(o.At))
		if n > 1 { // half of a hundredth for each, and what the mean cuts off
			c.rounding = n
		}
		c.Ours = Tally{sum.Personal / n, sum.PointToPoint / n, sum.Audio / n, sum.Full / n}
		if c.Differs() {
			c.Meetings = present(takings, o.At)
		}
		out = append(out, c)
	}
	return out
}

// countAt counts takings at moments, which ascend, by their milliseconds.
func countAt(moments []time.Time, takings []Taking) map[int64]Tally {
	type step struct {
		at    time.Time
		class Class
		n     int64
	}
	steps := make([]step, 0, 2*len(takings))
	for i := range takings {
		t := &takings[i]
		n := 100 * int64(t.Sixths) / int64(t.Class.unit())
		steps = append(steps, step{t.From, t.Class, n})
		if !t.To.IsZero() {
			steps = append(steps, step{t.To, t.Class, -n})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	out := make(map[int64]Tally, len(moments))
	var now Tally
	next := 0
	for _, m := range moments {
		for ; next < len(steps) && !steps[next].at.After(m); next++ {
			now.add(steps[next].class, steps[next].n)
		}
		out[m.UnixMilli()] = now
	}
	return out
}

// present lists the meetings that take something at any of some moments.
func present(takings []Taking, at []time.Time) []string {
	var out []string
	for i := range takings {
		t := &takings[i]
		if slices.ContainsFunc(at, func(m time.Time) bool { return !m.Before(t.From) && (t.To.IsZero() || m.Before(t.To)) }) {
			out = append(out, t.Meeting)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Fit is how well a policy explains what the call bridges counted: the sum of
// the absolute differences, in hundredths. Less is better.
type Fit struct {
	Policy   Policy
	Distance int64
}

// BestFit returns the policy that explains the counts best, and whether it is
// better than the one in force: of equal ones, the one in force stays.
func BestFit(inForce Fit, others []Fit) (best Fit, better bool) {
	best = inForce
	for _, f := range slices.SortedStableFunc(slices.Values(others), func(a, b Fit) int { return cmp.Compare(a.Distance, b.Distance) }) {
		if f.Distance < best.Distance {
			best, better = f, true
		}
	}
	return best, better
}
