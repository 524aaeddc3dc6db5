package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	maxRuns     = 64 // of one receiver in one session; with more, its numbers say nothing
	maxStrays   = 3  // records that have numbers of others; with more, they are of another numbering
	maxNumbered = 64 // receivers of one session that are watched
)

// numberRun is records of a session that came to one receiver numbered alike: the recordIndex is by so much behind the
// correlatorIndex. It grows where a call bridge lost records and never falls, so runs of one numbering do not overlap.
type numberRun struct{ Behind, Low, High int64 } // low and high of recordIndex

// numbers is how the records of a session were numbered for one receiver (domain rule 3).
type numbers struct {
	Runs    []numberRun `json:"runs,omitempty"`
	Strays  int64       `json:"strays,omitempty"`  // records that had the number of another one
	Several bool        `json:"several,omitempty"` // more than one numbering: several slots of a call bridge, or one that was made anew
}

// clash is a record that has the number, for its receiver, of another one.
type clash struct {
	seq               int64 // of its post
	receiver          string
	correlator, index int64
	against           int64 // correlator of the other
}

// number notes by which number a record came to a receiver. It returns the correlator of another record that had this number
// there, -1 for none. A repeat has its place already: when its number is that of another record, or not the one that it had before,
// the receiver has several numberings.
func (s *session) number(receiver string, r *cdr.Record, repeat bool) (against int64) {
	if receiver == "" || r.RecordIndex == 0 {
		return -1
	}
	n := s.numbers[receiver]
	if n == nil {
		if len(s.numbers) >= maxNumbered {
			return -1
		}
		if s.numbers == nil {
			s.numbers = map[string]*numbers{}
		}
		n = &numbers{}
		s.numbers[receiver] = n
	}
	if n.Several {
		return -1
	}
	behind := r.Correlator - r.RecordIndex
	own, against := -1, int64(-1)
	for i := range n.Runs {
		run := &n.Runs[i]
		switch {
		case run.Behind == behind:
			own = i
		case run.has(r.RecordIndex) && s.has(r.RecordIndex+run.Behind):
			against = r.RecordIndex + run.Behind
		case repeat && run.has(r.Correlator-run.Behind):
			n.Several = true
		}
	}
	if own < 0 {
		own = len(n.Runs)
		n.Runs = append(n.Runs, numberRun{Behind: behind, Low: r.RecordIndex, High: r.RecordIndex})
	}
	run := &n.Runs[own]
	if against < 0 {
		run.Low, run.High = min(run.Low, r.RecordIndex), max(run.High, r.RecordIndex)
	} else {
		n.Strays++
	}
	if n.Several = n.Several || repeat && against >= 0 || n.Strays > maxStrays || len(n.Runs) > maxRuns; n.Several {
		n.Runs = nil
		return -1
	}
	return against
}

func (r *numberRun) has(index int64) bool { return r.Low <= index && index <= r.High }

// has reports whether a correlator may have been heard.
func (s *session) has(correlator int64) bool {
	_, _, may := s.heard(correlator)
	return may
}

func (s *session) numbersText() (string, error) {
	if len(s.numbers) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(s.numbers)
	if err != nil {
		return "", fmt.Errorf("encode numbers of session %s: %w", s.id, err)
	}
	return string(text), nil
}

func (s *session) readNumbers(text string) error {
	if text == "" || text == "{}" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &s.numbers); err != nil {
		return fmt.Errorf("decode numbers of session %s: %w", s.id, err)
	}
	return nil
}

// keepClashes keeps records that have the number of another one where conflicts are shown, as long as there is room. They count: each has an
// identity of its own.
func (c *cluster) keepClashes(ctx context.Context, tx *store.Tx, session string, clashes []clash) error {
	if len(clashes) == 0 {
		return nil
	}
	kept, err := tx.CountConflicts(ctx, db.CountConflictsParams{AccountID: c.account, ClusterID: c.id})
	if err != nil {
		return fmt.Errorf("count conflicts: %w", err)
	}
	for _, k := range clashes {
		if kept >= maxConflicts {
			return nil
		}
		row, err := tx.Post(ctx, db.PostParams{AccountID: c.account, ClusterID: c.id, Seq: k.seq})
		if errors.Is(err, store.ErrNoRow) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read post %d of %s: %w", k.seq, c.id, err)
		}
		p, err := cdr.Parse(row.Body)
		if err != nil {
			return fmt.Errorf("read stored post %d: %w", k.seq, err)
		}
		bodies := p.Apart(row.Body)
		i := slices.IndexFunc(p.Records, func(r cdr.Record) bool { return r.Correlator == k.correlator && r.RecordIndex == k.index })
		if i < 0 || i >= len(bodies) {
			continue
		}
		r := &p.Records[i]
		n, err := tx.InsertConflict(ctx, db.InsertConflictParams{
			AccountID: c.account, ClusterID: c.id, Session: session, Correlator: r.Correlator, Digest: r.Digest[:], Ref: c.meant(r),
			NotedAt: row.ReceivedAt, Body: bodies[i], Receiver: k.receiver, RecordIndex: k.index, Against: k.against,
		})
		if err != nil {
			return fmt.Errorf("keep conflict: %w", err)
		}
		kept += n
	}
	return nil
}
