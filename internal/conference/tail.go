package conference

import (
	"context"
	"encoding/xml"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// tailGrace is how long records may be on their way that a call bridge has numbered.
const tailGrace = 2 * time.Minute

// counter is what a call bridge said of its numbers: the next record of the session will have number next.
type counter struct {
	session string
	next    int64
	at      time.Time // by our clock
}

// NoteCorrelator takes what the call bridge's own interface says: the number (cdrCorrelatorIndex) that the next record of a
// call bridge will have, now. Whoever asks the call bridge calls it at every look, at most once a minute or so. When records
// that were numbered before an earlier look have not come two minutes later, they are lost: it reports how many, and marks
// the meetings that were open then (domain rule 12). They count when they come after all. A call bridge that nothing was
// heard of, and one that restarted meanwhile, lose nothing that can be known.
func (e *Engine) NoteCorrelator(ctx context.Context, account, bridge, callBridge string, next int64) (lost int64, err error) {
	c, err := e.cluster(ctx, account, bridge)
	if err != nil {
		return 0, err
	}
	if err := c.catchUp(ctx); err != nil {
		return 0, outcome("note the numbers of a call bridge", err)
	}
	c.mu.Lock()
	s, now := c.newest(fold(callBridge)), e.now()
	if s == nil || next <= s.highest()+1 {
		delete(c.counters, fold(callBridge))
		c.mu.Unlock()
		return 0, nil
	}
	earlier, known := c.counters[fold(callBridge)]
	known = known && earlier.session == s.id && earlier.next > s.highest()+1
	if !known {
		c.counters[fold(callBridge)] = counter{s.id, next, now}
	}
	if !known || now.Sub(earlier.at) < tailGrace {
		c.mu.Unlock()
		return 0, nil
	}
	delete(c.counters, fold(callBridge))
	id, from := s.id, s.bridge
	lost = earlier.next - s.highest() - 1
	told := s.tailTold(earlier.next - 1)
	c.mu.Unlock()
	if told {
		return lost, nil
	}
	if err := c.journal(ctx, note{Session: id, CallBridge: from, Next: earlier.next, Asked: store.Ms(earlier.at)}); err != nil {
		return 0, outcome("note the numbers of a call bridge", err)
	}
	if err := c.catchUp(ctx); err != nil {
		return 0, outcome("note the numbers of a call bridge", err)
	}
	e.dirty()
	return lost, nil
}

// newest is the last run of a call bridge, nil if nothing was heard of it.
func (c *cluster) newest(bridge string) *session {
	var newest *session
	for _, s := range c.sessions {
		if s.bridge == bridge && s.first > 0 && (newest == nil || s.first > newest.first || s.first == newest.first && s.id > newest.id) {
			newest = s
		}
	}
	return newest
}

// note is an entry of the journal that no call bridge posted. It is in the form of a post, so that every reader of the journal
// sees it in its place; posts without records are never stored, so none can be taken for it.
type note struct {
	XMLName    xml.Name `xml:"records"`
	Session    string   `xml:"session,attr"`
	CallBridge string   `xml:"callBridge,attr,omitempty"`
	Next       int64    `xml:"tallyNext,attr"`
	Asked      int64    `xml:"tallyAsked,attr"`

	// Of a hole, and then there is no Next and Asked is when the record behind it was made.
	Low  int64 `xml:"tallyLow,attr,omitempty"`
	High int64 `xml:"tallyHigh,attr,omitempty"`
}

// journal appends notes to the journal.
func (c *cluster) journal(ctx context.Context, notes ...note) error {
	rows := make([]db.CdrPost, len(notes))
	for i, n := range notes {
		body, err := xml.Marshal(n)
		if err != nil {
			return fmt.Errorf("encode note: %w", err)
		}
		rows[i] = db.CdrPost{AccountID: c.account, ClusterID: c.id, Session: n.Session, Callbridge: n.CallBridge, Body: body}
	}
	return c.e.store.Update(ctx, "note the numbers of a call bridge", func(tx *store.Tx) error {
		seq, err := tx.TakeSeqs(ctx, db.TakeSeqsParams{Posts: int64(len(rows)), AccountID: c.account, ClusterID: c.id})
		if err != nil {
			return fmt.Errorf("number note of %s: %w", c.id, err)
		}
		version, err := tx.DirectoryInForce(ctx, c.account)
		if err != nil {
			return fmt.Errorf("read directory version of %s: %w", c.account, err)
		}
		for i := range rows {
			rows[i].Seq, rows[i].ReceivedAt, rows[i].DirectoryVersion = seq-int64(len(rows)-1-i), store.Ms(tx.Now()), version
		}
		return tx.InsertPosts(ctx, rows)
	})
}

// noteOf reads what a stored post without records notes.
func noteOf(p *journalPost, post cdr.Post, body []byte) error {
	if len(post.Records) > 0 {
		return nil
	}
	var n note
	if err := xml.Unmarshal(body, &n); err != nil {
		return fmt.Errorf("read note %d: %w", p.seq, err)
	}
	p.next, p.asked, p.hole = n.Next, n.Asked, span{n.Low, n.High}
	return nil
}
