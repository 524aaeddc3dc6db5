package meeting

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Held is a stretch for which a meeting is charged to the personal license of a
// user.
type Held struct {
	Meeting string
	User    string
	From    time.Time
	To      time.Time // zero while running
}

func (h *Held) before(o *Held) int {
	return cmp.Or(strings.Compare(h.User, o.User), h.From.Compare(o.From), strings.Compare(h.Meeting, o.Meeting))
}

// covers reports whether the stretch holds at an instant after its begin.
func (h *Held) covers(at time.Time) bool { return h.To.IsZero() || h.To.After(at) }

// Overlap is a part of a stretch for which the license is held by another
// meeting already.
type Overlap struct {
	Second, First int // of the list given
	From          time.Time
	To            time.Time // zero while both run
}

// Overlaps returns where a personal license is asked for twice (domain rule 24).
// At every moment it is held by the stretch that began first, of those that
// began at once by that of the meeting with the lesser id; the others are
// second. That follows from the stretches alone: their order does not matter,
// and no stretch that begins later takes the license away.
func Overlaps(all []Held) []Overlap {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return all[a].before(&all[b]) })
	var out []Overlap
	var active []int // began before, of the same user, in order
	for _, i := range order {
		h := &all[i]
		active = slices.DeleteFunc(active, func(j int) bool {
			o := &all[j]
			return o.User != h.User || !o.covers(h.From)
		})
		for at, n := h.From, 0; n < len(active) && h.covers(at); n++ {
			first := &all[active[n]]
			if !first.covers(at) {
				continue
			}
			to := first.To
			if to.IsZero() || !h.covers(to) {
				to = h.To
			}
			if first.Meeting != h.Meeting {
				out = append(out, Overlap{Second: i, First: active[n], From: at, To: to})
			}
			if to.IsZero() {
				break
			}
			at = to
		}
		active = append(active, i)
	}
	return out
}
