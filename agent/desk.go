package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// movedShown is for how long a product shows that its desk has other keys.
const movedShown = 30 * 24 * time.Hour

// moved is when the desk of a product has last spoken with other keys, and who it is by them.
type moved struct {
	At   time.Time `json:"at"`
	Desk string    `json:"desk"` // for people
}

// issuers is the chain above the ID certificate: issuing, root.
func (id *identity) issuers() [][]byte {
	if len(id.Issuers) > 0 {
		return id.Issuers
	}
	return id.Signer[1:]
}

// pins say whose word counts: that of the desk that registered the product, or of the one that has taken its place by the root's
// word. With the first answer of that one the old one's word counts no more.
func (id *identity) pins() trust.Pins {
	p := trust.Pins{Root: id.Root, Site: trust.AnySite, Last: id.Signer, Account: id.Account.ID} // without a chain it does not know any more
	if id.SignerID != "" {
		p.Signers = [][][]byte{id.Signer}
	}
	return p
}

// heard keeps who signed an answer. When those are other keys, the ID certificate is of the old ones still, and is renewed at once.
func (st *state) heard(before [][]byte, e trust.Envelope, now time.Time, chance float64) {
	id := st.Identity
	id.Signer, id.SignerID = e.Signer, e.Header.KeyID
	if !st.moved(before, e, now) || e.Header.Kind == answerKind(verbRenew) { // there the certificate came with it
		return
	}
	if len(id.Issuers) == 0 {
		id.Issuers = before[1:]
	}
	if st.Removal == nil {
		st.Renewal.plan(now, 0, chance)
	}
}

// moved notes when the keys that signed an answer are others than those before.
func (st *state) moved(before [][]byte, e trust.Envelope, now time.Time) bool {
	if len(before) < 2 || trust.SameIssuer(before, e.Signer) {
		return false
	}
	st.Moved = &moved{At: now, Desk: trust.DeskOf(e.Signer).String()}
	return true
}

// otherDesk words that another desk of the authority answered than the one that the product is registered at.
func otherDesk(err error) error {
	no, ok := errors.AsType[*trust.OtherDeskError](err)
	if !ok {
		return err
	}
	out := &Error{
		Kind: license.KindRefused, Code: "other-desk",
		Message: "the answer came from " + no.Signed.String() + ", and this product is registered at " + no.Pinned.String(),
		Hint:    "set the address of the desk that it is registered at (tally-agent transport), or move it to this one: tally-agent license smart register idtoken TOKEN force",
	}
	switch {
	case no.Signed.Site == "" && no.Pinned.Site == "" && !no.Replaced:
		out.Code, out.Message = "unknown-keys", "the answer was signed with keys of the authority that do not follow those that this product knows"
		out.Hint = "an older copy of the authority's key folder was put back: its administrator makes keys that everybody follows with: tally keys rotate --after " + no.Pinned.Issuer
	case no.Replaced:
		out.Code, out.Message = "replaced-keys", "the answer was signed with keys of "+no.Signed.String()+" that have been replaced since"
		out.Hint = "an old copy of that server's key folder is at work, or somebody has its old keys: ask its administrator to start it with the newest ones, of the issuer " + no.Pinned.Issuer
	}
	return out
}

// isUnknown says whether a desk does not know the product. Nobody signs that, and nothing is given up because of it.
func isUnknown(err error) bool {
	e := license.AsError(err)
	return e != nil && e.Code == wire.CodeUnknown
}

// notIntroduced is why a desk that does not know the product took its certificate neither: mostly that it is another desk. Where it
// gives no reason that people could use, it is that it does not know the product.
func (a *Agent) notIntroduced(ctx context.Context, verb string, unknown, no error) error {
	e := license.AsError(no)
	if e == nil || e.Kind == license.KindInvalid { // it cannot be reached any more, or is older than this
		return unknown
	}
	noted := a.update(context.WithoutCancel(ctx), func(st *state, _ time.Time) error {
		st.scheduleOf(verb).Last.Reason = oneLine(e.Message)
		return nil
	})
	return errors.Join(no, noted)
}

// introduce brings the ID certificate to a desk that does not know the product, because its database was lost. The answer is a
// new certificate for the same key; the instance, its numbers and what waits to be reported stay.
func (a *Agent) introduce(ctx context.Context) error {
	var id identity
	var t Transport
	var envelope []byte
	nonce := newNonce()
	err := a.update(ctx, func(st *state, _ time.Time) (err error) {
		if st.Identity == nil {
			return st.registered()
		}
		id = *st.Identity
		if t, err = a.transport(st, id.Root, a.trusted(st)); err != nil {
			return err
		}
		key, err := a.key(&id)
		if err != nil {
			return err
		}
		csr, err := trust.NewCSR(key)
		if err != nil {
			return err
		}
		m := wire.Register{
			Identity: append([][]byte{id.Certificate}, id.issuers()...), VirtualAccount: id.VirtualAccount.ID, CSR: csr, Product: st.told(), Nonce: nonce,
		}
		if st.Reservation != nil { // so that the desk notices a state that was set back, as with a token
			m.Requests = st.Reservation.Sequence
		}
		payload, err := json.Marshal(m)
		if err != nil {
			return err
		}
		envelope, err = trust.SealProduct(key, trust.Header{Kind: wire.KindRegister, Audience: wire.Audience}, true, payload)
		return err
	})
	if err != nil {
		return fmt.Errorf("compose introduction: %w", err)
	}
	reply, err := t.Exchange(ctx, verbRegister, envelope)
	if err != nil {
		return err
	}
	e, err := open(reply, []string{wire.KindRegistered, wire.KindRefusal}, nonce, id.pins(), a.now())
	if err != nil {
		return otherDesk(fmt.Errorf("answer to the introduction: %w", err))
	}
	if e.Header.Kind == wire.KindRefusal {
		var no refusal
		if err := decode(e.Payload, &no.Refusal, &no.Nonce, nonce); err != nil {
			return fmt.Errorf("answer to the introduction: %w", err)
		}
		return no.err()
	}
	var m wire.Registered
	if err := decode(e.Payload, &m, &m.Nonce, nonce); err != nil {
		return fmt.Errorf("answer to the introduction: %w", err)
	}
	next, err := id.renewed(m, e, a.now())
	if err != nil {
		return fmt.Errorf("answer to the introduction: %w", err)
	}
	return a.update(ctx, func(st *state, now time.Time) error {
		if st.Identity == nil || st.Identity.Instance != next.Instance {
			return nil // another process has given it up, or registered anew
		}
		next.Number = max(st.Identity.Number, m.Number)
		*st.Identity = next
		st.moved(id.Signer, e, now)
		st.Renewal.succeeded(now, license.IdentityRenewal, a.opts.Rand())
		return nil
	})
}
