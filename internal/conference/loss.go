package conference

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// maxLosses is how many losses are kept of a session; beyond, neighbors become one. What was heard between them does not
// count as lost.
const maxLosses = 1_000

// The causes of losses.
const (
	lostAnnounced  = "announced"  // the call bridge said so, in the record that follows
	lostUnnumbered = "unnumbered" // it said so and numbered on, so nobody can tell when they come after all
	lostTail       = "tail"       // it numbered further than it sent
)

// loss is records that a call bridge made and that did not come. Those of the range that were heard are not lost: another
// receiver had them, or they came late.
type loss struct {
	cause     string
	low, high int64 // correlators; of unnumbered ones both are that of the record that follows
	at        int64 // when the record that follows was made, or when the call bridge was asked, in milliseconds
	records   int64
}

// gap is a part of a loss of which nothing was heard.
type gap loss

// announce notes that records before one are lost, and reports whether that is news.
func (s *session) announce(r *cdr.Record, at int64) bool {
	l := loss{lostAnnounced, max(r.Correlator-r.Missing, 0), r.Correlator - 1, at, r.Missing}
	switch {
	case s.told(r):
		return false
	case s.numberedOn(r.Correlator, r.RecordIndex):
		l.cause, l.low, l.high = lostUnnumbered, r.Correlator, r.Correlator
	case l.high < l.low || s.unheard(l.low, l.high) == 0:
		s.announced += r.Missing
		s.dirty = true
		return false
	}
	s.announced += r.Missing
	s.lose(l)
	return true
}

// end notes that the call bridge has numbered records up to the one before next, as it said at a time.
func (s *session) end(next, at int64) bool {
	l := loss{lostTail, s.highest() + 1, next - 1, at, next - s.highest() - 1}
	if l.high < l.low || s.tailTold(l.high) {
		return false
	}
	s.lose(l)
	return true
}

// loses reports whether a record that was heard before announces a loss that is not known: to this receiver it came
// after records that no receiver got.
func (s *session) loses(r *cdr.Record) bool {
	return !s.told(r) && s.unheard(max(r.Correlator-r.Missing, 0), r.Correlator-1) > 0
}

// tailTold reports whether everything up to a record that did not come is known to be lost.
func (s *session) tailTold(high int64) bool {
	low := s.highest() + 1
	return slices.ContainsFunc(s.losses, func(l loss) bool { return l.cause == lostTail && l.low <= low && l.high >= high })
}

// told reports whether the loss that a record announces is known already.
func (s *session) told(r *cdr.Record) bool {
	low := max(r.Correlator-r.Missing, 0)
	return slices.ContainsFunc(s.losses, func(l loss) bool {
		return l.cause == lostAnnounced && l.low <= low && l.high >= r.Correlator-1 ||
			l.cause == lostUnnumbered && l.high == r.Correlator && l.records >= r.Missing
	})
}

// numberedOn reports whether the record before came right before this one to the same receiver, by both of its numbers:
// then no number stands for what is lost between them.
func (s *session) numberedOn(correlator, index int64) bool {
	if n := int64(len(s.ring)); n > 0 && index > 1 {
		m := &s.ring[(correlator-1)&(n-1)]
		return m.used && m.correlator == correlator-1 && m.index == index-1
	}
	return false
}

// lose keeps a loss, in the order of correlators.
func (s *session) lose(l loss) {
	s.dirty = true
	at, _ := slices.BinarySearchFunc(s.losses, l, func(a, b loss) int {
		return cmp.Or(cmp.Compare(a.low, b.low), cmp.Compare(a.high, b.high), strings.Compare(a.cause, b.cause))
	})
	s.losses = slices.Insert(s.losses, at, l)
	s.lostTo = max(s.lostTo, l.high)
	if len(s.losses) <= maxLosses {
		return
	}
	first, second := s.losses[0], s.losses[1]
	first.high = max(first.high, second.high)
	first.at, first.records = max(first.at, second.at), first.records+second.records
	s.losses = slices.Delete(s.losses, 1, 2)
	s.losses[0] = first
}

// found returns when the loss was noticed that a record just heard was thought to be in, 0 if it was in none. A record
// that shows by its index that a loss has no numbers makes it so.
func (s *session) found(r *cdr.Record) (at int64) {
	if r.Correlator > s.lostTo {
		return 0
	}
	for i := range s.losses {
		l := &s.losses[i]
		if l.cause == lostUnnumbered || r.Correlator < l.low || r.Correlator > l.high {
			continue
		}
		at = max(at, l.at)
		if next := l.high + 1; l.cause == lostAnnounced && next == r.Correlator+1 && r.RecordIndex > 0 {
			if m := &s.ring[next&int64(len(s.ring)-1)]; m.used && m.correlator == next && m.index == r.RecordIndex+1 {
				l.cause, l.low, l.high = lostUnnumbered, next, next
			}
		}
	}
	return at
}

// unheard counts the correlators of [low, high] that were not heard.
func (s *session) unheard(low, high int64) (n int64) {
	s.holes(low, high, func(from, to int64) { n += to - from + 1 })
	return n
}

// holes calls fn with the ranges within [low, high] that were not heard.
func (s *session) holes(low, high int64, fn func(from, to int64)) {
	i, _ := slices.BinarySearchFunc(s.spans, low, func(sp span, c int64) int { return cmp.Compare(sp[1], c) })
	for ; low <= high; i++ {
		if i == len(s.spans) || s.spans[i][0] > high {
			fn(low, high)
			return
		}
		if s.spans[i][0] > low {
			fn(low, s.spans[i][0]-1)
		}
		low = s.spans[i][1] + 1
	}
}

// gaps lists what is lost by now, in the order of correlators; no record is in two of them.
func (s *session) gaps() []gap {
	var out []gap
	next := int64(0)
	for _, l := range s.losses {
		if l.cause == lostUnnumbered {
			out = append(out, gap(l))
			continue
		}
		s.holes(max(l.low, next), l.high, func(from, to int64) { out = append(out, gap{l.cause, from, to, l.at, to - from + 1}) })
		next = max(next, l.high+1)
	}
	return out
}

// missing counts what is lost by now.
func (s *session) missing() (n int64) {
	for _, g := range s.gaps() {
		n += g.records
	}
	return n
}

// prune forgets losses of which everything has come.
func (s *session) prune() {
	s.losses = slices.DeleteFunc(s.losses, func(l loss) bool { return l.cause != lostUnnumbered && s.unheard(l.low, l.high) == 0 })
}

// lostFrom returns the gaps that fall into the life of one of the calls that records of this session are about: between
// its start and its end by the numbers of the records, which do not depend on clocks. Where the start is not known, it may
// be in the last gap before the first record that names the call; where the end is not, every later gap may have it.
func (s *session) lostFrom(records []*cdr.Record) []gap {
	gaps := s.gaps()
	if len(gaps) == 0 {
		return nil
	}
	type life struct{ start, first, end int64 }
	lives := map[string]*life{}
	for _, r := range records {
		if r.Session != s.id || r.CallID == "" {
			continue
		}
		l := lives[r.CallID]
		if l == nil {
			l = &life{-1, r.Correlator, math.MaxInt64}
			lives[r.CallID] = l
		}
		l.first = min(l.first, r.Correlator)
		switch r.Kind {
		case cdr.CallStart:
			l.start = r.Correlator
		case cdr.CallEnd:
			l.end = r.Correlator
		}
	}
	var out []gap
	for i, g := range gaps {
		for _, l := range lives {
			begins := l.start >= 0 && g.high > l.start
			if l.start < 0 {
				begins = g.high > l.first || i+1 == len(gaps) || gaps[i+1].low > l.first
			}
			low := g.low
			if g.cause == lostUnnumbered {
				low-- // before the record that follows
			}
			if begins && low < l.end {
				out = append(out, g)
				break
			}
		}
	}
	return out
}

// storedLoss is a loss as it is kept: [at, records, low, high, cause].
type storedLoss [5]int64

var lossCauses = [...]string{lostAnnounced, lostUnnumbered, lostTail}

func (s *session) lossText() (string, error) {
	out := make([]storedLoss, len(s.losses))
	for i, l := range s.losses {
		out[i] = storedLoss{l.at, l.records, l.low, l.high, int64(slices.Index(lossCauses[:], l.cause))}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("encode losses of session %s: %w", s.id, err)
	}
	return string(text), nil
}

func (s *session) readLosses(text string) error {
	var in []storedLoss
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return fmt.Errorf("decode losses of session %s: %w", s.id, err)
	}
	for _, l := range in {
		if l[4] < 0 || l[4] >= int64(len(lossCauses)) {
			return fmt.Errorf("decode losses of session %s: cause %d", s.id, l[4])
		}
		s.losses = append(s.losses, loss{lossCauses[l[4]], l[2], l[3], l[0], l[1]})
		s.lostTo = max(s.lostTo, l[3])
	}
	return nil
}

// maxDoubtful is how many meetings are looked at anew for losses that become known, or are made good, at once.
const maxDoubtful = 20_000

// doubtful lists the stored meetings that are to be looked at anew, as it became known what was lost or not: those that
// ended after a loss, and those that were thought to have lost records. Those that run are in memory.
func (c *cluster) doubtful(ctx context.Context, tx *store.Tx, posts []*journalPost) ([]string, error) {
	var out []string
	for _, p := range posts {
		if p.shifted == nil || !c.counts(p.bridge) {
			continue
		}
		lost, err := tx.LostMeetings(ctx, db.LostMeetingsParams{AccountID: c.account, ClusterID: c.id,
			FromAt: p.shifted[0] - maxHours*hour, Through: p.shifted[1], Page: maxDoubtful})
		if err != nil {
			return nil, fmt.Errorf("read meetings with losses: %w", err)
		}
		open, err := tx.MeetingsOpenAt(ctx, db.MeetingsOpenAtParams{AccountID: c.account, ClusterID: c.id,
			FromAt: p.shifted[0] - day, Through: p.shifted[1], EndedFrom: p.shifted[0], Page: maxDoubtful})
		if err != nil {
			return nil, fmt.Errorf("read meetings of a loss: %w", err)
		}
		out = append(append(out, lost...), open...)
	}
	return out, nil
}
