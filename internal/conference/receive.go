package conference

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// maxRefused is how many refused bodies are kept of a cluster.
const maxRefused = 100

// Receipt says what became of the records of a post.
type Receipt struct {
	Records   int // in the post
	New       int // stored and counted
	Repeats   int // known before; nothing changed
	Conflicts int // contradict a stored record; kept, not counted
}

// Receive takes one body that a call bridge posted to a receiver address; receiver is the secret part of the address. When
// it returns nil the records are on the disk, and the body is the caller's again; after an error it must not be changed.
//
// Errors are license.Error: not found for a receiver that is unknown or wrong, the same for both; too large; invalid for a
// body that cannot be read, which is kept for the operator; busy and unavailable, after which the bridge sends it again.
func (e *Engine) Receive(ctx context.Context, receiver string, body []byte) (Receipt, error) {
	c, id, err := e.receiver(ctx, receiver)
	if err != nil {
		return Receipt{}, outcome("find receiver", err)
	}
	if len(body) > cdr.MaxBody {
		return Receipt{}, license.Refuse(license.KindTooLarge, "records-too-large", "post fewer records at once",
			"the body has %d bytes, more than %d", len(body), cdr.MaxBody)
	}
	parsed, err := cdr.Parse(body)
	if err != nil {
		return Receipt{}, c.refuse(ctx, body, err)
	}
	if len(parsed.Records) == 0 {
		return Receipt{}, nil
	}
	p := &post{Post: parsed, body: body, from: id, packed: store.Pack(body), done: make(chan struct{})}
	if err := c.take(ctx, p); err != nil {
		return Receipt{}, outcome("store call records", err)
	}
	c.uses.note(id, parsed.CallBridge, store.Ms(e.now()))
	return p.receipt, nil
}

// maxHead is how much is kept of a body that is too large, in bytes.
const maxHead = 4 << 10

// ReceiveHead notes a body that was too large to be taken, by its beginning and its size in bytes, which is -1 where nobody
// knows. Errors are those of Receive; a body that was noted is an error of kind too large.
func (e *Engine) ReceiveHead(ctx context.Context, receiver string, head []byte, size int64) error {
	c, _, err := e.receiver(ctx, receiver)
	if err != nil {
		return outcome("find receiver", err)
	}
	cause := license.Refuse(license.KindTooLarge, "records-too-large", "post fewer records at once", "the body is larger than %d bytes", cdr.MaxBody)
	if err := c.keepRefused(ctx, head[:min(len(head), maxHead)], max(size, cdr.MaxBody+1), cause); err != nil {
		return outcome("keep refused body", err)
	}
	return cause
}

// receiver finds the cluster that a secret name belongs to, and the id of the receiver.
func (e *Engine) receiver(ctx context.Context, secret string) (*cluster, string, error) {
	cred, err := trust.ParseCredential(trust.Receiver, secret)
	if err != nil {
		return nil, "", unknownReceiver()
	}
	d, err := e.door(ctx, cred.Account, cred.ID)
	if err != nil {
		return nil, "", err
	}
	if digest := cred.Digest(); !trust.SameDigest(digest[:], d.digest) {
		return nil, "", unknownReceiver()
	}
	if d.retireAt != 0 && d.retireAt <= store.Ms(e.now()) {
		return nil, "", license.Refuse(license.KindNotFound, "receiver-retired", "type the newer address into the call bridge, or make one with `tally conference bridge rotate NAME`",
			"this receiver address does not work any more")
	}
	c, err := e.cluster(ctx, cred.Account, d.bridge)
	return c, cred.ID, err
}

func unknownReceiver() error {
	return license.Refuse(license.KindNotFound, "unknown-receiver", "type the whole address that `tally conference bridge add` showed into the call bridge",
		"there is no such receiver")
}

// bridgeID is the id of the cluster whose receiver has this id: they differ in the prefix.
func bridgeID(receiver string) string { return "brg_" + strings.TrimPrefix(receiver, "rcv_") }

// toll makes a bridge that sends what cannot be read wait for its answers once it does so faster than at a rate: then it keeps
// neither a processor nor the database from others.
type toll struct {
	mu  sync.Mutex // guards due
	due time.Time  // when the next one is within the rate
}

const (
	tollEvery = 200 * time.Millisecond
	tollFree  = 20 // at once, after a while without any
	tollMost  = 2 * time.Second
)

// pay returns how long the one at now has to wait.
func (t *toll) pay(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if free := now.Add(-tollFree * tollEvery); t.due.Before(free) {
		t.due = free
	}
	t.due = t.due.Add(tollEvery)
	if most := now.Add(tollMost); t.due.After(most) {
		t.due = most
	}
	return max(0, t.due.Sub(now))
}

// refuse keeps a body that cannot be read, and says what is wrong with it. Of very many it keeps none, and answers late.
func (c *cluster) refuse(ctx context.Context, body []byte, cause error) error {
	if wait := c.toll.pay(c.e.now()); wait > 0 {
		pause(ctx, wait)
		return license.Refuse(license.KindInvalid, "malformed-records", "the answer came late, and the body is not kept, as there are many like it",
			"the call records cannot be read: %v", cause)
	}
	if err := c.keepRefused(ctx, body, int64(len(body)), cause); err != nil {
		return outcome("keep refused body", err)
	}
	return license.Refuse(license.KindInvalid, "malformed-records", "the body is kept; nothing of it counts",
		"the call records cannot be read: %v", cause)
}

// keepRefused keeps a body, or its beginning, and lets go of the oldest ones.
func (c *cluster) keepRefused(ctx context.Context, body []byte, size int64, cause error) error {
	digest := sha256.Sum256(body)
	return c.e.store.Update(ctx, "keep refused body", func(tx *store.Tx) error {
		if err := tx.PutRefused(ctx, db.PutRefusedParams{AccountID: c.account, ClusterID: c.id, Digest: digest[:],
			Reason: cause.Error(), RefusedAt: store.Ms(tx.Now()), Body: body, Size: size}); err != nil {
			return err
		}
		beyond, err := tx.RefusedBeyond(ctx, db.RefusedBeyondParams{AccountID: c.account, ClusterID: c.id, Page: maxRefused, Keep: maxRefused})
		if err != nil {
			return err
		}
		for _, old := range beyond {
			if err := tx.DropRefused(ctx, db.DropRefusedParams{AccountID: c.account, ClusterID: c.id, Digest: old}); err != nil {
				return err
			}
		}
		return nil
	})
}
