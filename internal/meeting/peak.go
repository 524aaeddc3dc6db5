package meeting

import (
	"slices"
	"time"
)

// Charge is what one segment takes of a license, for counting. Whoever counts
// picks the charges of one license.
type Charge struct {
	From   time.Time
	To     time.Time // zero while running
	Sixths Sixths
}

// Charge returns what the segment takes.
func (s Segment) Charge() Charge { return Charge{From: s.From, To: s.To, Sixths: s.Sixths} }

// Covers reports whether the charge holds at an instant: [From, To).
func (c Charge) Covers(at time.Time) bool {
	return !at.Before(c.From) && (c.To.IsZero() || at.Before(c.To))
}

// Taking is a charge with what is needed to say whose it is.
type Taking struct {
	Charge
	Meeting string
	User    string // charged, empty for a shared license
	Host    string // whose meeting it is, as far as known
	Cluster string
	Class   Class
	Cause   string   // the code of the fact that made it take a shared license
	Bridges []string // the call bridges it was on, for counts per call bridge
}

// ChargesOf returns the charges of takings.
func ChargesOf(takings []Taking) []Charge {
	out := make([]Charge, len(takings))
	for i := range takings {
		out[i] = takings[i].Charge
	}
	return out
}

// Step is what is taken from an instant on, until the next step.
type Step struct {
	At     time.Time
	Sixths Sixths
}

// Profile returns what charges take over [from, to): the first step is at from,
// and each differs from the one before. It is empty when the period is. Charges
// hold for [From, To), so one that ends when another begins is never counted
// with it. The order of charges does not matter.
func Profile(charges []Charge, from, to time.Time) []Step {
	if !from.Before(to) {
		return nil
	}
	moves := make([]Step, 1, 2*len(charges)+1)
	moves[0].At = from
	for _, c := range charges {
		begin, end := c.From, c.To
		if begin.Before(from) {
			begin = from
		}
		if end.IsZero() || end.After(to) {
			end = to
		}
		if begin.Before(end) {
			moves = append(moves, Step{begin, c.Sixths}, Step{end, -c.Sixths})
		}
	}
	slices.SortFunc(moves, func(a, b Step) int { return a.At.Compare(b.At) })
	out := moves[:0] // never ahead of what is read
	var sum Sixths
	for i := 0; i < len(moves) && moves[i].At.Before(to); {
		at := moves[i].At
		for ; i < len(moves) && moves[i].At.Equal(at); i++ {
			sum += moves[i].Sixths
		}
		if n := len(out); n == 0 || out[n-1].Sixths != sum {
			out = append(out, Step{at, sum})
		}
	}
	return out
}

// Peak returns the most that charges take at one instant of [from, to), and the
// first instant at which they do; zero and no time when they take nothing
// (domain rule 21).
func Peak(charges []Charge, from, to time.Time) (peak Sixths, at time.Time) {
	return Highest(Profile(charges, from, to))
}

// Highest returns the first of the highest steps, zero and no time when none is
// above zero.
func Highest(profile []Step) (peak Sixths, at time.Time) {
	for _, s := range profile {
		if s.Sixths > peak {
			peak, at = s.Sixths, s.At
		}
	}
	return peak, at
}

// At returns the takings that hold at an instant: with the moment of a peak,
// the meetings in it.
func At(takings []Taking, at time.Time) []Taking {
	var out []Taking
	for i := range takings {
		if takings[i].Covers(at) {
			out = append(out, takings[i])
		}
	}
	return out
}

// LevelTime says for how long exactly so many sixths were taken.
type LevelTime struct {
	Sixths Sixths
	For    time.Duration
}

// Levels returns the time at each level of a profile that goes on until to,
// ascending, level zero with the rest. The times add up to the whole period.
func Levels(profile []Step, to time.Time) []LevelTime {
	out := make([]LevelTime, 0, len(profile))
	for i, s := range profile {
		until := to
		if i+1 < len(profile) {
			until = profile[i+1].At
		}
		out = append(out, LevelTime{s.Sixths, until.Sub(s.At)})
	}
	return MergeLevels(out)
}

// MergeLevels adds up the times of equal levels, ascending. It may use the
// memory of its argument.
func MergeLevels(all []LevelTime) []LevelTime {
	slices.SortFunc(all, func(a, b LevelTime) int { return int(a.Sixths - b.Sixths) })
	out := all[:0]
	for _, l := range all {
		if n := len(out); n > 0 && out[n-1].Sixths == l.Sixths {
			out[n-1].For += l.For
			continue
		}
		out = append(out, l)
	}
	return out
}

// Curve turns times at levels into a duration curve: for how long at least so
// many sixths were taken, from the highest level down. The last one, where it
// is level zero, has the whole period.
func Curve(levels []LevelTime) []LevelTime {
	out := make([]LevelTime, len(levels))
	var sum time.Duration
	for i := len(levels) - 1; i >= 0; i-- {
		sum += levels[i].For
		out[len(levels)-1-i] = LevelTime{levels[i].Sixths, sum}
	}
	return out
}

// Used is the area under a profile, in milliseconds of one sixth.
func Used(levels []LevelTime) int64 {
	var sum int64
	for _, l := range levels {
		sum += int64(l.Sixths) * l.For.Milliseconds()
	}
	return sum
}

// Above is for how long more than so many sixths were taken.
func Above(levels []LevelTime, sixths Sixths) time.Duration {
	var sum time.Duration
	for _, l := range levels {
		if l.Sixths > sixths {
			sum += l.For
		}
	}
	return sum
}

// Sampled is the most that a profile of [from, to) shows at multiples of a time
// after from: what snapshots see of it (domain rule 21).
func Sampled(profile []Step, from, to time.Time, every time.Duration) (most Sixths) {
	i := 0
	for at := from; at.Before(to) && len(profile) > 0; at = at.Add(every) {
		for i+1 < len(profile) && !profile[i+1].At.After(at) {
			i++
		}
		if !profile[i].At.After(at) {
			most = max(most, profile[i].Sixths)
		}
	}
	return most
}
