package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

const (
	maxReceivers   = 16               // of a bridge, those that do not work any more not counted
	maxOverlap     = 366 * 24         // hours
	receiverFresh  = time.Minute      // how long what is known of a receiver is believed
	useGranularity = int64(60 * 1000) // in milliseconds, how exactly the last use is kept
)

// Receiver is one secret address of a bridge. Only the digest of the secret is stored.
type Receiver struct {
	ID, Bridge string // "rcv_…", "brg_…"
	CreatedAt  time.Time
	RetireAt   time.Time            // when it stops working, or stopped; zero for never
	UsedAt     time.Time            // when something was posted to it last, to the minute
	Used       map[string]time.Time // the same by call bridge; "" for those that do not say who they are
}

// door is what a server knows of a receiver.
type door struct {
	bridge   string
	digest   []byte
	retireAt int64
	asked    time.Time
}

// doors is what is known of receivers, for a minute.
type doors struct {
	mu    sync.Mutex // guards what follows
	known map[string]door
}

// Receivers lists the addresses of a bridge (id or name) by age.
func (e *Engine) Receivers(ctx context.Context, account, bridge string) ([]Receiver, error) {
	var out []Receiver
	err := e.store.View(ctx, func(tx *store.Tx) error {
		b, err := bridgeNamed(ctx, tx, account, bridge)
		if err != nil {
			return err
		}
		out, err = receiversOf(ctx, tx, b)
		return err
	})
	return out, outcome("list receivers", err)
}

func receiversOf(ctx context.Context, tx *store.Tx, b db.Cluster) ([]Receiver, error) {
	rows, err := tx.Receivers(ctx, db.ReceiversParams{AccountID: b.AccountID, ClusterID: b.ClusterID})
	if err != nil {
		return nil, fmt.Errorf("read receivers of %s: %w", b.ClusterID, err)
	}
	out := make([]Receiver, len(rows))
	for i, r := range rows {
		used, err := usesOf(r)
		if err != nil {
			return nil, err
		}
		out[i] = Receiver{ID: r.ReceiverID, Bridge: r.ClusterID, CreatedAt: store.At(r.CreatedAt), RetireAt: store.At(r.RetireAt), UsedAt: store.At(r.UsedAt), Used: map[string]time.Time{}}
		for bridge, at := range used {
			out[i].Used[bridge] = store.At(at)
		}
	}
	return out, nil
}

func usesOf(r db.CdrReceiver) (map[string]int64, error) {
	used := map[string]int64{}
	if err := json.Unmarshal([]byte(r.Used), &used); err != nil {
		return nil, fmt.Errorf("decode uses of %s: %w", r.ReceiverID, err)
	}
	return used, nil
}

// AddReceiver makes another secret address for a bridge (id or name); its secret name is returned once and never again. To
// rotate, the addresses that there are stop working after an overlap; their last use shows when all call bridges have moved.
// Errors: a license.Error of kind not found for an unknown bridge, invalid for an overlap of more than a year, refused when the
// bridge has 16 addresses that work.
func (e *Engine) AddReceiver(ctx context.Context, who, account, bridge string, rotate bool, overlap time.Duration) (Receiver, trust.Secret, error) {
	if overlap < 0 || overlap > maxOverlap*time.Hour {
		return Receiver{}, "", license.Refuse(license.KindInvalid, "bad-overlap", "use at most a year", "an overlap of %s is not possible", overlap)
	}
	id := trust.NewID(trust.Receiver.IDPrefix(), e.now())
	cred, err := trust.NewCredential(trust.Receiver, account, id)
	if err != nil {
		return Receiver{}, "", license.NotFound("account", account)
	}
	digest := cred.Digest()
	var out Receiver
	err = e.store.Update(ctx, "add receiver", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		b, err := bridgeNamed(ctx, tx, account, bridge)
		if err != nil {
			return err
		}
		all, err := receiversOf(ctx, tx, b)
		if err != nil {
			return err
		}
		working := 0
		for _, r := range all {
			if !r.RetireAt.IsZero() && !r.RetireAt.After(tx.Now()) {
				continue
			}
			working++
			if rotate {
				if err := tx.RetireReceiver(ctx, db.RetireReceiverParams{RetireAt: store.Ms(tx.Now().Add(overlap)), AccountID: account, ReceiverID: r.ID}); err != nil {
					return fmt.Errorf("retire receiver %s: %w", r.ID, err)
				}
			}
		}
		if working >= maxReceivers {
			return license.Refuse(license.KindRefused, "too-many-receivers", "retire one that is not used: tally conference bridge receiver retire ID",
				"%q has %d receiver addresses that work", b.Name, working)
		}
		n, err := tx.AddReceiver(ctx, db.AddReceiverParams{AccountID: account, ReceiverID: id, ClusterID: b.ClusterID, Digest: digest[:], CreatedAt: store.Ms(tx.Now())})
		if err == nil && n == 0 {
			err = errors.New("its id is taken")
		}
		if err != nil {
			return fmt.Errorf("insert receiver: %w", err)
		}
		out = Receiver{ID: id, Bridge: b.ClusterID, CreatedAt: tx.Now(), Used: map[string]time.Time{}}
		kind, data := "receiver.added", map[string]any{"receiver": id}
		if rotate {
			kind, data["overlapHours"] = "receiver.rotated", int64(overlap/time.Hour)
		}
		_, err = chain.Record(ctx, who, kind, b.ClusterID, data)
		return err
	})
	if err != nil {
		return Receiver{}, "", outcome("add receiver", err)
	}
	e.doors.forget()
	return out, cred.Text(), nil
}

// RetireReceiver stops an address of a bridge (id or name) at once; other servers notice within a minute. Errors: a
// license.Error of kind not found for an unknown bridge or receiver.
func (e *Engine) RetireReceiver(ctx context.Context, who, account, bridge, id string) error {
	err := e.store.Update(ctx, "retire receiver", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		b, err := bridgeNamed(ctx, tx, account, bridge)
		if err != nil {
			return err
		}
		row, err := tx.Receiver(ctx, db.ReceiverParams{AccountID: account, ReceiverID: id})
		if errors.Is(err, store.ErrNoRow) || err == nil && row.ClusterID != b.ClusterID {
			return license.NotFound("receiver", id)
		}
		if err != nil || row.RetireAt != 0 && row.RetireAt <= store.Ms(tx.Now()) {
			return err
		}
		if err := tx.RetireReceiver(ctx, db.RetireReceiverParams{RetireAt: store.Ms(tx.Now()), AccountID: account, ReceiverID: id}); err != nil {
			return fmt.Errorf("retire receiver %s: %w", id, err)
		}
		_, err = chain.Record(ctx, who, "receiver.retired", b.ClusterID, map[string]any{"receiver": id})
		return err
	})
	e.doors.forget()
	return outcome("retire receiver", err)
}

// forget makes everything be asked for again.
func (d *doors) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.known)
}

// door finds a receiver by its id.
func (e *Engine) door(ctx context.Context, account, id string) (door, error) {
	now := e.now()
	e.doors.mu.Lock()
	known, ok := e.doors.known[id]
	e.doors.mu.Unlock()
	if ok && now.Sub(known.asked) < receiverFresh && !now.Before(known.asked) {
		return known, nil
	}
	var row db.CdrReceiver
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.Receiver(ctx, db.ReceiverParams{AccountID: account, ReceiverID: id})
		return err
	})
	if errors.Is(err, store.ErrNoRow) {
		return door{}, unknownReceiver()
	}
	if err != nil {
		return door{}, fmt.Errorf("look up receiver %s: %w", id, err)
	}
	known = door{row.ClusterID, row.Digest, row.RetireAt, now}
	e.doors.mu.Lock()
	defer e.doors.mu.Unlock()
	e.doors.known[id] = known
	return known, nil
}

// uses is when call bridges posted to receivers, as far as that is not written.
type uses struct {
	mu      sync.Mutex // guards what follows
	last    map[string]map[string]int64
	written map[string]map[string]int64
}

// note keeps that a call bridge posted to a receiver.
func (u *uses) note(receiver, bridge string, now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now-u.written[receiver][bridge] < useGranularity {
		return
	}
	if u.last[receiver] == nil {
		if u.last == nil {
			u.last = map[string]map[string]int64{}
		}
		u.last[receiver] = map[string]int64{}
	}
	u.last[receiver][bridge] = now
}

// take returns what is to be written.
func (u *uses) take() map[string]map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.last
	u.last = nil
	for receiver, used := range out {
		if u.written == nil {
			u.written = map[string]map[string]int64{}
		}
		if u.written[receiver] == nil {
			u.written[receiver] = map[string]int64{}
		}
		maps.Copy(u.written[receiver], used)
	}
	return out
}

// writeUses writes when receivers were used last, about once a minute. What does not come through is told by the next post.
func (c *cluster) writeUses(ctx context.Context) error {
	all := c.uses.take()
	if len(all) == 0 {
		return nil
	}
	return c.e.store.Update(ctx, "note use of receivers", func(tx *store.Tx) error {
		for id, used := range all {
			row, err := tx.Receiver(ctx, db.ReceiverParams{AccountID: c.account, ReceiverID: id})
			if err != nil {
				return fmt.Errorf("read receiver %s: %w", id, err)
			}
			stored, err := usesOf(row)
			if err != nil {
				return err
			}
			at := row.UsedAt
			for bridge, last := range used {
				if stored[bridge] < last && (len(stored) < maxAllowed || stored[bridge] > 0) {
					stored[bridge] = last
				}
				at = max(at, last)
			}
			text, err := json.Marshal(stored)
			if err != nil {
				return fmt.Errorf("encode uses of %s: %w", id, err)
			}
			if err := tx.UseReceiver(ctx, db.UseReceiverParams{UsedAt: at, Used: string(text), AccountID: c.account, ReceiverID: id}); err != nil {
				return fmt.Errorf("note use of receiver %s: %w", id, err)
			}
		}
		return nil
	})
}
