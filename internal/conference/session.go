package conference

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	maxRing  = 4096   // digests kept of a session
	maxSpans = 10_000 // ranges kept of a session; beyond, the oldest gaps are forgotten
)

// session is what was heard of one run of one call bridge.
type session struct {
	id, bridge  string
	spans       []span // sorted, apart; a superset of what was heard once gaps were forgotten
	ring        []mark // by correlator modulo its length, which is a power of two
	losses      []loss // by correlator
	lostTo      int64  // no loss is after this one
	numbering   numbering
	numbers     map[string]*numbers // by receiver
	clashes     []clash             // not yet written
	posts       []postRange         // up to what is heard, that may not be in the tables of ranges
	records     int64
	announced   int64 // lost records, as the call bridge said, whether or not they came after all
	repeats     int64 // not yet written
	first, last int64 // times of its records, in milliseconds
	closed      bool  // a later session of the same bridge is known (domain rule 5)
	dirty       bool
}

// span is the correlators from the first to the second, both included.
type span [2]int64

// mark is the digest of a record; used tells it from an empty place.
type mark struct {
	correlator int64
	index      int64 // recordIndex, the number among those sent to the receiver
	digest     [16]byte
	used       bool
}

// heard reports whether a correlator may have been heard, and its digest if that is still known.
func (s *session) heard(correlator int64) (digest [16]byte, known, may bool) {
	if len(s.ring) > 0 {
		if m := &s.ring[correlator&int64(len(s.ring)-1)]; m.used && m.correlator == correlator {
			return m.digest, true, true
		}
	}
	n := len(s.spans)
	if n == 0 || correlator > s.spans[n-1][1] {
		return digest, false, false
	}
	_, found := slices.BinarySearchFunc(s.spans, correlator, func(sp span, c int64) int {
		switch {
		case sp[1] < c:
			return -1
		case sp[0] > c:
			return 1
		default:
			return 0
		}
	})
	return digest, false, found
}

// highest is the highest correlator that was heard, -1 for none.
func (s *session) highest() int64 {
	if len(s.spans) == 0 {
		return -1
	}
	return s.spans[len(s.spans)-1][1]
}

// covers reports whether everything of [low, high] was heard.
func (s *session) covers(low, high int64) bool {
	for i := len(s.spans) - 1; i >= 0; i-- {
		if sp := s.spans[i]; sp[0] <= low {
			return high <= sp[1]
		}
	}
	return false
}

// hear notes a record that counts. It returns when the loss was noticed that it was thought to be in, 0 for none.
func (s *session) hear(r *cdr.Record, at int64) (found int64) {
	correlator := r.Correlator
	s.records++
	s.dirty = true
	if s.first == 0 || at < s.first {
		s.first = at
	}
	s.last = max(s.last, at)
	s.remember(mark{correlator, r.RecordIndex, r.Digest, true})
	s.numbering.see(r)
	n := len(s.spans)
	switch {
	case n == 0 || correlator > s.spans[n-1][1]+1:
		s.spans = append(s.spans, span{correlator, correlator})
	case correlator == s.spans[n-1][1]+1:
		s.spans[n-1][1]++
		return s.found(r)
	default:
		s.fill(correlator)
	}
	if len(s.spans) > maxSpans {
		half := len(s.spans) / 2
		s.spans[half-1][0] = s.spans[0][0]
		s.spans = slices.Delete(s.spans, 0, half-1)
	}
	return s.found(r)
}

// remember keeps a digest, in place of an older one.
func (s *session) remember(new mark) {
	correlator := new.correlator
	if n := int64(len(s.ring)); n == 0 {
		s.ring = make([]mark, 64)
	} else if m := s.ring[correlator&(n-1)]; m.used && m.correlator != correlator && n < maxRing {
		grown := make([]mark, 2*n)
		for _, m := range s.ring {
			if m.used {
				grown[m.correlator&(2*n-1)] = m
			}
		}
		s.ring = grown
	}
	s.ring[correlator&int64(len(s.ring)-1)] = new
}

// fill adds a correlator below the highest one.
func (s *session) fill(c int64) {
	i := 0
	for i < len(s.spans) && s.spans[i][1] < c-1 {
		i++
	}
	switch sp := &s.spans[i]; {
	case sp[0] <= c && c <= sp[1]:
		return
	case c == sp[1]+1:
		sp[1] = c
	case c == sp[0]-1:
		sp[0] = c
	default:
		s.spans = slices.Insert(s.spans, i, span{c, c})
	}
	if i+1 < len(s.spans) && s.spans[i][1]+1 >= s.spans[i+1][0] {
		s.spans[i][1] = s.spans[i+1][1]
		s.spans = slices.Delete(s.spans, i+1, i+2)
	}
}

// row is the session as it is stored.
func (s *session) row(account, cluster string) (db.PutSessionParams, error) {
	ranges, err := json.Marshal(append([]span{}, s.spans...))
	if err != nil {
		return db.PutSessionParams{}, fmt.Errorf("encode ranges of session %s: %w", s.id, err)
	}
	if len(s.losses) > 0 {
		s.prune()
	}
	losses, err := s.lossText()
	if err != nil {
		return db.PutSessionParams{}, err
	}
	numbers, err := s.numbersText()
	if err != nil {
		return db.PutSessionParams{}, err
	}
	return db.PutSessionParams{
		AccountID: account, ClusterID: cluster, Session: s.id, Callbridge: s.bridge, Ranges: string(ranges), Losses: losses,
		Records: s.records, Missing: s.missing(), Announced: s.announced, Behind: s.numbering.behind, Numbering: int64(s.numbering.state), Repeats: s.repeats, FirstAt: s.first, LastAt: s.last, Numbers: numbers,
	}, nil
}

// sessionOf is the inverse of row. Repeats counts from zero: the row grows by what comes.
func sessionOf(r db.CdrSession) (*session, error) {
	s := &session{id: r.Session, bridge: r.Callbridge, records: r.Records, announced: r.Announced, numbering: numbering{r.Behind, numberingState(r.Numbering)}, first: r.FirstAt, last: r.LastAt}
	if err := json.Unmarshal([]byte(r.Ranges), &s.spans); err != nil {
		return nil, fmt.Errorf("decode ranges of session %s: %w", r.Session, err)
	}
	if err := s.readNumbers(r.Numbers); err != nil {
		return nil, err
	}
	return s, s.readLosses(r.Losses)
}
