package conference

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

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
	lostUnnumbered = "unnumbered" // it said so and numbered on, so nobody can tell which they are
	lostTail       = "tail"       // it numbered further than it sent
	lostGap        = "gap"        // it numbered and sent others after them, said nothing, and an hour later they had not come
)

// loss is records that a call bridge made and that did not come. Those of the range that were heard are not lost: another
// receiver had them, or they came late. An unnumbered loss is between the records high and high+1, unless it turns out that
// the numbers of those two have nothing to do with each other: then it is one like any other.
type loss struct {
	cause     string
	low, high int64 // correlators
	at        int64 // when the record that follows was made, or when the call bridge was asked, in milliseconds
	records   int64
}

// said reports whether the call bridge announced the loss.
func (l *loss) said() bool { return l.cause == lostAnnounced || l.cause == lostUnnumbered }

// gap is a part of a loss of which nothing was heard.
type gap loss

// numbering is how the records of a session are numbered for receivers: by how much the recordIndex is behind the
// correlatorIndex. As long as that is the same for all, nothing that is numbered was lost, and there is one receiver.
type numbering struct {
	behind int64
	state  numberingState
}

type numberingState int64

const (
	unnumbered numberingState = iota
	single
	several
)

func (n *numbering) see(r *cdr.Record) {
	switch behind := r.Correlator - r.RecordIndex; {
	case n.state == several || n.state == single && n.behind == behind:
	case n.state == single || r.RecordIndex == 0:
		n.state = several
	default:
		n.behind, n.state = behind, single
	}
}

// announce notes that records before one are lost, and reports whether that is news.
func (s *session) announce(r *cdr.Record, at int64) bool {
	l := loss{lostAnnounced, max(r.Correlator-r.Missing, 0), r.Correlator - 1, at, r.Missing}
	if s.told(r) {
		return false
	}
	if low := l.low; !slices.ContainsFunc(s.losses, func(l loss) bool { return l.said() && l.low <= low && l.high >= r.Correlator-1 }) {
		s.announced += r.Missing
	}
	s.dirty = true
	if s.numberedOn(r) {
		l.cause = lostUnnumbered
	} else if l.high < l.low || s.unheard(l.low, l.high) == 0 {
		return false
	}
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

// told reports whether the loss that a record announces is known already, and from when. A later record may have told of more
// to another receiver; that this one was made before is news.
func (s *session) told(r *cdr.Record) bool {
	low := max(r.Correlator-r.Missing, 0)
	return slices.ContainsFunc(s.losses, func(l loss) bool { return l.said() && l.low <= low && l.high == r.Correlator-1 })
}

// numberedOn reports whether the record before one came right before it to the same receiver, by both of its numbers: then
// no number stands for what is lost between them.
func (s *session) numberedOn(r *cdr.Record) bool {
	if n := int64(len(s.ring)); n > 0 && r.RecordIndex > 1 && s.numbering == (numbering{r.Correlator - r.RecordIndex, single}) {
		m := &s.ring[(r.Correlator-1)&(n-1)]
		return m.used && m.correlator == r.Correlator-1
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
// that is numbered right before the one which announced the loss shows that the loss has no numbers.
func (s *session) found(r *cdr.Record) (at int64) {
	if r.Correlator > s.lostTo {
		return 0
	}
	for i := range s.losses {
		l := &s.losses[i]
		if r.Correlator < l.low || r.Correlator > l.high {
			continue
		}
		at = max(at, l.at)
		if l.cause == lostAnnounced && r.Correlator == l.high && s.numbering.state == single {
			next := &s.ring[(l.high+1)&int64(len(s.ring)-1)]
			if next.used && next.correlator == l.high+1 && next.index == r.RecordIndex+1 {
				l.cause = lostUnnumbered
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

// gaps lists what is lost by now, in the order of correlators; no record is in two of them. Of several losses that a record
// is in, it belongs to the one that was noticed first.
func (s *session) gaps() []gap {
	if len(s.losses) == 0 {
		return nil
	}
	losses := slices.Clone(s.losses)
	slices.SortStableFunc(losses, func(a, b loss) int { return cmp.Compare(a.high, b.high) })
	rest := session{spans: slices.Clone(s.spans)}
	var out []gap
	for _, l := range losses {
		if l.cause == lostUnnumbered && s.numbering.state == single {
			out = append(out, gap(l))
			continue
		}
		n := len(out)
		rest.holes(l.low, l.high, func(from, to int64) { out = append(out, gap{l.cause, from, to, l.at, to - from + 1}) })
		for _, g := range out[n:] {
			rest.cover(g.low, g.high)
		}
	}
	slices.SortFunc(out, func(a, b gap) int { return cmp.Or(cmp.Compare(a.low, b.low), cmp.Compare(a.high, b.high)) })
	return out
}

// cover adds a range that nothing is heard of to what was heard.
func (s *session) cover(low, high int64) {
	i, _ := slices.BinarySearchFunc(s.spans, low, func(sp span, c int64) int { return cmp.Compare(sp[0], c) })
	s.spans = slices.Insert(s.spans, i, span{low, high})
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
	s.losses = slices.DeleteFunc(s.losses, func(l loss) bool {
		return (l.cause != lostUnnumbered || s.numbering.state == several) && s.unheard(l.low, l.high) == 0
	})
}

// lostFrom returns the gaps that fall into the life of a meeting, given its calls and records, some of which are of this session.
// A leg that moved may name calls of other meetings as well, whose life does not matter. For calls of this session, that is between start and end by the numbers of records, which do not depend on clocks: where the
// start is not known, it may be in the last gap before the first record that names the call; where the end is not, every
// later gap may have it. For the meeting's calls on other call bridges, it is by time; closed says when sessions were over.
func (s *session) lostFrom(calls []string, records []*cdr.Record, closed map[string]time.Time) []gap {
	gaps := s.gaps()
	if len(gaps) == 0 {
		return nil
	}
	lives := map[string]*life{}
	for _, r := range records {
		if !slices.Contains(calls, r.CallID) {
			continue
		}
		l := lives[r.CallID]
		if l == nil {
			l = &life{session: r.Session, here: r.Session == s.id, start: -1, first: r.Correlator, end: math.MaxInt64, from: r.At, to: store.At(far)}
			lives[r.CallID] = l
		}
		l.see(r)
	}
	for _, l := range lives {
		if at, over := closed[l.session]; over && l.end == math.MaxInt64 && l.to.After(at) {
			l.to = at
		}
	}
	var out []gap
	for _, g := range gaps {
		for _, l := range lives {
			if l.has(g, gaps) {
				out = append(out, g)
				break
			}
		}
	}
	return out
}

// life is how long a call was, by the numbers of its records and by their times.
type life struct {
	session           string
	here              bool  // in the session that is asked
	start, first, end int64 // numbers of the records; start is -1 for none
	from, to          time.Time
}

func (l *life) see(r *cdr.Record) {
	l.first = min(l.first, r.Correlator)
	if r.At.Before(l.from) {
		l.from = r.At
	}
	switch r.Kind {
	case cdr.CallStart:
		l.start = r.Correlator
	case cdr.CallEnd:
		l.end, l.to = r.Correlator, r.At
	}
}

// has reports whether a gap, one of some, falls into the life of the call.
func (l *life) has(g gap, of []gap) bool {
	low := g.low
	if g.cause == lostUnnumbered {
		low = g.high
	}
	switch later := func(o gap) bool { return o.low > g.low && o.low < l.first }; {
	case !l.here:
		return !store.At(g.at).Before(l.from) && !store.At(g.at).After(l.to)
	case low >= l.end:
		return false
	case l.start >= 0:
		return g.high >= l.start
	default:
		return g.high >= l.first || !slices.ContainsFunc(of, later)
	}
}

// storedLoss is a loss as it is kept: [at, records, low, high, cause].
type storedLoss [5]int64

var lossCauses = [...]string{lostAnnounced, lostUnnumbered, lostTail, lostGap}

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
