package authority

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// Machine takes one envelope from a product and returns one for it: bytes in, bytes out, whatever carries them. verb is
// register, authorize, renew, deregister or hello.
//
// A refusal by a rule returns both a signed refusal for the product and the license.Error for the carrier's status. Errors
// without an envelope say nothing about the product's licenses: they are unsigned, so that no product gives anything up
// because of them. Asking again with the same bytes gets the same answer.
func (a *Authority) Machine(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	switch verb {
	case "register":
		return a.register(ctx, envelope)
	case "authorize":
		return a.authorize(ctx, envelope)
	case "renew":
		return a.renew(ctx, envelope)
	case "deregister":
		return a.deregister(ctx, envelope)
	case "hello":
		return a.hello(ctx, envelope)
	}
	return nil, license.NotFound("machine verb", verb)
}

// request is a verified message of a known instance.
type request struct {
	account, instance string
	number            int64
	digest            [32]byte
	thumbprint        string // of the key that verified it
}

// open verifies an envelope of a registered product and decodes its message.
func (a *Authority) open(ctx context.Context, envelope []byte, kind string, into interface{ Check() error }) (request, error) {
	h, err := trust.Peek(envelope)
	if err != nil {
		return request{}, badEnvelope(err)
	}
	account, instance, _ := strings.Cut(h.KeyID, "/")
	if !trust.ValidID("acc", account) || !trust.ValidID("ins", instance) {
		return request{}, license.Refuse(license.KindInvalid, "bad-envelope", "update the product's agent", "the key id names no account and instance")
	}
	r := request{account: account, instance: instance, number: h.Number}
	for _, fresh := range []bool{false, true} {
		key, err := a.productKey(ctx, account, instance, fresh)
		if err != nil {
			return r, err
		}
		e, err := trust.OpenProduct(envelope, kind, wire.Audience, key.public)
		if errors.Is(err, trust.ErrSignature) && !fresh {
			continue // the product may have registered anew since the key was read
		}
		if err != nil {
			return r, badEnvelope(err)
		}
		r.digest, r.thumbprint = e.Digest(), key.thumbprint
		return r, wire.Decode(e.Payload, into)
	}
	return r, badEnvelope(trust.ErrSignature)
}

func badEnvelope(err error) error {
	kind, code := license.KindInvalid, "bad-envelope"
	if errors.Is(err, trust.ErrSignature) || errors.Is(err, trust.ErrKey) {
		kind, code = license.KindUnknown, "bad-signature"
	}
	return &license.Error{
		Kind: kind, Code: code, Message: "the message was refused and nothing was changed: " + err.Error(),
		Hint: "send it again; if that does not help, register the product anew with force",
	}
}

// answer seals an answer to a known instance. The chain of the message certificate goes along when the product does not
// know the signer yet.
func (a *Authority) answer(r request, kind string, payload []byte, knownSigner string) []byte {
	h := trust.Header{Kind: kind, KeyID: a.keys.SignerThumbprint(), Audience: r.instance, Number: r.number}
	if knownSigner != h.KeyID {
		h.Chain = a.keys.SignerChain()
	}
	return a.keys.Seal(h, payload)
}

// refuse seals a refusal that echoes the nonce. Errors that are no refusals pass unsigned.
func (a *Authority) refuse(audience, nonce string, number int64, now time.Time, err error) ([]byte, error) {
	e := license.AsError(err)
	if e == nil || e.Kind == license.KindBusy || e.Kind == license.KindUnavailable || nonce == "" {
		return nil, err
	}
	refusal := wire.Refusal{Nonce: nonce, Code: e.Code, Message: e.Message, Hint: e.Hint, ServerTime: now}
	if behind, ok := errors.AsType[behindError](e.Err); ok {
		refusal.Number = behind.number
	}
	payload, encodeErr := json.Marshal(refusal)
	if encodeErr != nil {
		return nil, fmt.Errorf("encode refusal: %w", encodeErr)
	}
	h := trust.Header{Kind: wire.KindRefusal, KeyID: a.keys.SignerThumbprint(), Audience: audience, Number: number, Chain: a.keys.SignerChain()}
	return a.keys.Seal(h, payload), err
}

// behindError carries where the authority is, so that a product can go on from there.
type behindError struct{ number int64 }

func (behindError) Error() string { return "the exchange number is not the next one" }

// turn is the rule of exchange numbers: the next number is a new exchange; the last number with the same bytes is a repeated
// one, whose answer was lost; anything older, or the last number with other bytes, comes from a copy of the product's state
// (a clone, a restored snapshot). A number further ahead means that this side was restored from an older backup; the product
// is believed.
func turn(last int64, lastDigest []byte, r request) (repeated bool, err error) {
	if r.number > last {
		return false, nil
	}
	if r.number == last && trust.SameDigest(lastDigest, r.digest[:]) {
		return true, nil
	}
	return false, &license.Error{
		Kind: license.KindConflict, Code: wire.CodeNumber, Err: behindError{last},
		Message: fmt.Sprintf("exchange %d was expected, %d came: two copies of this product's state are at work, or an old state was restored", last+1, r.number),
		Hint:    "if a second copy of the product is running, register it anew with force under its own serial number",
	}
}

func removed(by, why string, at time.Time) error {
	message := fmt.Sprintf("the product instance was removed on %s by %s", at.Format(time.DateOnly), by)
	if why != "" {
		message += ": " + why
	}
	return license.Refuse(license.KindRefused, wire.CodeRemoved, "register the product again with a new token", "%s", message)
}

// productKey is the verified public key of an instance, from the cache or, when fresh, from the store.
func (a *Authority) productKey(ctx context.Context, account, instance string, fresh bool) (productKey, error) {
	id := account + "/" + instance
	if k, ok := a.productKeys.get(id); ok && !fresh {
		return k, nil
	}
	var row db.Instance
	err := a.read(ctx, "find instance", func(tx *store.Tx) error {
		var err error
		row, err = tx.Instance(ctx, db.InstanceParams{AccountID: account, InstanceID: instance})
		if errors.Is(err, store.ErrNoRow) {
			return license.Refuse(license.KindNotFound, wire.CodeUnknown, "register the product again with a token of this authority",
				"this authority knows no product instance %s", instance)
		}
		return err
	})
	if err != nil {
		return productKey{}, err
	}
	if len(row.PublicKey) == 0 {
		return productKey{}, license.Refuse(license.KindNotFound, wire.CodeUnknown, "return its reservation before it registers",
			"the product instance %s holds a reservation and has no key", instance)
	}
	public, err := trust.ParsePublicKey(row.PublicKey)
	if err != nil {
		return productKey{}, fmt.Errorf("read public key of %s: %w", instance, err)
	}
	k := productKey{public: public, thumbprint: row.KeyThumbprint}
	a.productKeys.put(id, k)
	return k, nil
}

type productKey struct {
	public     *ecdsa.PublicKey
	thumbprint string
}

// keyCache keeps parsed public keys. It is only a shortcut: every use compares the thumbprint with the row under the
// account's lock.
type keyCache struct {
	mu   sync.RWMutex // guards keys
	keys map[string]productKey
}

const maxCachedKeys = 200_000

func (c *keyCache) get(id string) (productKey, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.keys[id]
	return k, ok
}

func (c *keyCache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, id)
}

func (c *keyCache) put(id string, k productKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxCachedKeys {
		c.keys = map[string]productKey{}
	}
	c.keys[id] = k
}

// machine is the actor of what a product does itself.
func machine(instance string) access.Person {
	return access.Person{ID: instance, Role: access.Administrator, Account: access.Site}
}
