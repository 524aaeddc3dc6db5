package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/callbridge"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// Tail compares the index that a call bridge gives its next record with the records that came (domain rule 12).
type Tail struct {
	State      string    `json:"state,omitempty"` // one of the Tail constants
	CallBridge string    `json:"callBridge,omitempty"`
	Session    string    `json:"session,omitempty"` // the newest one heard of
	Next       int64     `json:"next"`              // index of the next record, as the call bridge says
	Heard      int64     `json:"heard"`             // the last index received and one
	Lost       int64     `json:"lost,omitempty"`
	LastAt     time.Time `json:"lastAt,omitzero"` // of the last record that came
}

// The states of the comparison.
const (
	TailComplete = "complete" // everything came
	TailWaiting  = "waiting"  // records are under way
	TailLost     = "lost"     // records that were under way did not come: meetings of the time are marked incomplete
	TailRestart  = "restart"  // the call bridge restarted, and nothing was heard of it since
	TailUnknown  = "unknown"  // several call bridges post to the receiver, and it is not known which one this is
	TailNever    = "no-index" // the version does not give the index
)

// heard is what was received of the newest session of a call bridge.
type heard struct {
	session string
	next    int64 // the highest correlator index and one
	last    time.Time
}

// compare says how the index of the next record stands to what was received. Booted is when the call bridge began to run.
func (h heard) compare(next int64, booted time.Time) Tail {
	t := Tail{State: TailComplete, Session: h.session, Next: next, Heard: h.next, LastAt: h.last}
	switch {
	case h.session == "" || h.last.Before(booted):
		t.Session, t.Heard = "", 0
		if next > 0 {
			t.State = TailRestart
		}
	case h.next < next:
		t.State = TailWaiting
	}
	return t
}

// tail compares the index, and marks meetings when records that were numbered did not come.
func (t *turn) tail(ctx context.Context, before Tail, status callbridge.Status) error {
	if status.CDRCorrelatorIndex == nil {
		t.found.Tail = Tail{State: TailNever}
		return nil
	}
	next := int64(*status.CDRCorrelatorIndex)
	if err := t.e.sync(ctx, t.r.AccountID); err != nil {
		return err
	}
	guid, h, err := t.e.heardOf(ctx, t.r)
	if err != nil {
		return outcome("read sessions", err)
	}
	if h == nil {
		t.found.Tail = Tail{State: TailUnknown, Next: next}
		return nil
	}
	now := status.CDRTime.Time
	if now.IsZero() {
		now = t.e.now()
	}
	found := h.compare(next, now.Add(-time.Duration(status.UptimeSeconds)*time.Second))
	found.CallBridge = guid
	if found.State == TailWaiting || found.State == TailComplete {
		lost, err := t.e.NoteCorrelator(ctx, t.r.AccountID, t.r.ClusterID, guid, next)
		if err != nil {
			return err
		}
		if lost == 0 && before.State == TailLost && before.Session == found.Session && before.Heard == found.Heard && found.State == TailWaiting {
			lost = before.Lost
		}
		if lost > 0 {
			found.State, found.Lost = TailLost, lost
		}
	}
	t.found.Tail = found
	return nil
}

// heardOf finds what was received of a call bridge, nil when it is not known which of several it is.
func (e *Engine) heardOf(ctx context.Context, r *db.BridgeApi) (guid string, h *heard, err error) {
	err = e.store.View(ctx, func(tx *store.Tx) error {
		guid, h = r.Callbridge, nil
		if guid == "" {
			seen, err := tx.BridgesSeen(ctx, db.BridgesSeenParams{AccountID: r.AccountID, ClusterID: r.ClusterID})
			if err != nil || len(seen) > 1 {
				return err
			}
			if len(seen) == 1 {
				guid = seen[0]
			}
		}
		row, err := tx.NewestSession(ctx, db.NewestSessionParams{AccountID: r.AccountID, ClusterID: r.ClusterID, Callbridge: guid})
		if errors.Is(err, store.ErrNoRow) {
			h = &heard{}
			return nil
		}
		if err != nil {
			return err
		}
		var spans []span
		if err := json.Unmarshal([]byte(row.Ranges), &spans); err != nil {
			return fmt.Errorf("decode ranges of session %s: %w", row.Session, err)
		}
		h = &heard{session: row.Session, last: store.At(row.LastAt)}
		if len(spans) > 0 {
			h.next = spans[len(spans)-1][1] + 1
		}
		return nil
	})
	return guid, h, err
}
