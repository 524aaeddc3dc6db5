package conference

import (
	"context"
	"crypto/sha256"
	"strings"

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
// it returns nil the records are on the disk. The body must not be changed afterwards.
//
// Errors are license.Error: not found for a receiver that is unknown or wrong, the same for both; too large; invalid for a
// body that cannot be read, which is kept for the operator; busy and unavailable, after which the bridge sends it again.
func (e *Engine) Receive(ctx context.Context, receiver string, body []byte) (Receipt, error) {
	c, err := e.receiver(ctx, receiver)
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
	p := &post{Post: parsed, body: body, packed: store.Pack(body), done: make(chan struct{})}
	if err := c.take(ctx, p); err != nil {
		return Receipt{}, outcome("store call records", err)
	}
	return p.receipt, nil
}

// receiver finds the cluster that a secret name belongs to.
func (e *Engine) receiver(ctx context.Context, secret string) (*cluster, error) {
	cred, err := trust.ParseCredential(trust.Receiver, secret)
	if err != nil {
		return nil, unknownReceiver()
	}
	c, err := e.cluster(ctx, cred.Account, bridgeID(cred.ID))
	if refused := license.AsError(err); refused != nil && refused.Kind == license.KindNotFound {
		return nil, unknownReceiver()
	}
	if err != nil {
		return nil, err
	}
	if digest := cred.Digest(); !trust.SameDigest(digest[:], c.digest) {
		return nil, unknownReceiver()
	}
	return c, nil
}

func unknownReceiver() error {
	return license.Refuse(license.KindNotFound, "unknown-receiver", "type the whole address that `tally conference bridge add` showed into the call bridge",
		"there is no such receiver")
}

// bridgeID is the id of the cluster whose receiver has this id: they differ in the prefix.
func bridgeID(receiver string) string { return "brg_" + strings.TrimPrefix(receiver, "rcv_") }

// refuse keeps a body that cannot be read, and says what is wrong with it.
func (c *cluster) refuse(ctx context.Context, body []byte, cause error) error {
	digest := sha256.Sum256(body)
	err := c.e.store.Update(ctx, "keep refused body", func(tx *store.Tx) error {
		if err := tx.PutRefused(ctx, db.PutRefusedParams{AccountID: c.account, ClusterID: c.id, Digest: digest[:],
			Reason: cause.Error(), RefusedAt: store.Ms(tx.Now()), Body: body}); err != nil {
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
	if err != nil {
		return outcome("keep refused body", err)
	}
	return license.Refuse(license.KindInvalid, "malformed-records", "the body is kept; nothing of it counts",
		"the call records cannot be read: %v", cause)
}
