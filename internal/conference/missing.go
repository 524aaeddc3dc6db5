package conference

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// Missing is records that are lost from the time of a meeting: nobody knows whether they were about it.
type Missing struct {
	CallBridge string    `json:"callBridge,omitempty"`
	Session    string    `json:"session"`
	Records    int64     `json:"records"`
	From       time.Time `json:"from,omitzero"` // of the last record of the meeting before them; zero for none
	To         time.Time `json:"to"`            // when the next record was made, or when the loss was noticed
	Cause      string    `json:"cause"`         // announced, unnumbered, tail or gap
}

// Sentence says what is lost, in words.
func (m Missing) Sentence() string {
	const form = "2006-01-02 15:04:05"
	between := "before " + m.To.Format(form)
	if !m.From.IsZero() {
		between = "between " + m.From.Format(form) + " and " + m.To.Format(form)
	}
	records := "1 record"
	if m.Records != 1 {
		records = fmt.Sprintf("%d records", m.Records)
	}
	how := "as it announced; they count when another receiver brings them"
	switch m.Cause {
	case lostUnnumbered:
		how = "as it announced"
	case lostTail:
		how = "as it has numbered more than it sent; they count when they come"
	case lostGap:
		how = "or they were lost on the way: others that it numbered after them have come, and it announced nothing; they count when they come"
	}
	return fmt.Sprintf("The call bridge lost %s %s UTC, %s. The meeting may have been longer or larger than shown.", records, between, how)
}

// maxMissing is how many losses a meeting shows; the last one then stands for the rest.
const maxMissing = 100

// missingOf says what is lost from the time of a meeting.
func missingOf(ctx context.Context, tx *store.Tx, row db.Meeting, calls []string, records []*cdr.Record, closed map[string]time.Time) ([]Missing, error) {
	var out []Missing
	for i := range records {
		if i > 0 && records[i].Session == records[i-1].Session {
			continue
		}
		stored, err := tx.Session(ctx, db.SessionParams{AccountID: row.AccountID, ClusterID: row.ClusterID, Session: records[i].Session})
		if errors.Is(err, store.ErrNoRow) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read session of %s: %w", row.MeetingID, err)
		}
		s, err := sessionOf(stored)
		if err != nil {
			return nil, err
		}
		for _, g := range s.lostFrom(calls, records, closed) {
			m := Missing{CallBridge: s.bridge, Session: s.id, Records: g.records, To: store.At(g.at), Cause: g.cause}
			for _, r := range records { // sorted by number within a session
				switch {
				case r.Session != s.id:
				case r.Correlator < g.low || g.cause == lostUnnumbered && r.Correlator <= g.high:
					m.From = r.At
				case r.Correlator > g.high && r.At.Before(m.To):
					m.To = r.At
				}
			}
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b Missing) int { return a.To.Compare(b.To) })
	for len(out) > maxMissing {
		last := &out[len(out)-2]
		last.Records, last.To = last.Records+out[len(out)-1].Records, out[len(out)-1].To
		out = out[:len(out)-1]
	}
	return out, nil
}

// missing says what is lost from the time of a stored meeting.
func (e *Engine) missing(ctx context.Context, row db.Meeting, calls []string, records []*cdr.Record) (out []Missing, err error) {
	c, err := e.cluster(ctx, row.AccountID, row.ClusterID)
	if err != nil {
		return nil, err
	}
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	closed := maps.Clone(c.closed)
	c.mu.Unlock()
	err = e.store.View(ctx, func(tx *store.Tx) error {
		out, err = missingOf(ctx, tx, row, calls, records, closed)
		return err
	})
	return out, err
}
