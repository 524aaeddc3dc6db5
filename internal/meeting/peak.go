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

// Peak returns the most that charges take at one instant of [from, to), and the
// first instant at which they do; zero and no time when they take nothing.
// Charges hold for [From, To) too, so one that ends when another begins is never
// counted with it. The order of charges does not matter (domain rule 21).
func Peak(charges []Charge, from, to time.Time) (peak Sixths, at time.Time) {
	type step struct {
		at time.Time
		by Sixths
	}
	steps := make([]step, 0, 2*len(charges))
	for _, c := range charges {
		begin, end := c.From, c.To
		if begin.Before(from) {
			begin = from
		}
		if end.IsZero() || end.After(to) {
			end = to
		}
		if begin.Before(end) {
			steps = append(steps, step{begin, c.Sixths}, step{end, -c.Sixths})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	var sum Sixths
	for i, s := range steps {
		sum += s.by
		if i+1 < len(steps) && steps[i+1].at.Equal(s.at) {
			continue
		}
		if sum > peak {
			peak, at = sum, s.at
		}
	}
	return peak, at
}
