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

// Register gets the product an identity from the authority that the token names, and asks for the first authorization at
// once. It sends the registration once; after an *Unreachable error Run goes on trying until there is an answer, the token is
// too old or CancelRegistration is called, and the caller may try again with the same token too; neither costs a second use.
// With force it replaces an identity that the product or the authority still has.
//
// When it returns nil the product is registered. That the first authorization failed is no error; Status shows it, and
// Report or Run try again. Refusals are *Error, with the authority's code and hint.
func (a *Agent) Register(ctx context.Context, token string, force bool) error {
	t, err := parseToken(token)
	if err != nil {
		noted := a.update(ctx, func(st *state, now time.Time) error {
			if !st.live() {
				st.Registered = attempt{At: now, Reason: oneLine(reason(err))}
			}
			return nil
		})
		return errors.Join(err, noted)
	}
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := a.mayLicense(ctx); err != nil {
		return err
	}
	if err := a.register(ctx, t, force); err != nil {
		return err
	}
	if _, err := a.converse(ctx, verbAuthorize); err != nil {
		a.opts.Logger.WarnContext(ctx, "registered; the first authorization failed", "error", err)
	}
	return nil
}

func parseToken(text string) (trust.Token, error) {
	t, err := trust.ParseToken(text)
	if err != nil {
		return t, license.Refuse(license.KindRefused, "bad-token", "copy the whole token again, as it was shown when it was made",
			"this is no registration token: %v", err)
	}
	return t, nil
}

func (a *Agent) register(ctx context.Context, token trust.Token, force bool) error {
	var ask asked
	var product wire.Product
	var t Transport
	err := a.update(ctx, func(st *state, now time.Time) (err error) {
		if st.reservationMode() {
			return license.Refuse(license.KindConflict, "reservation-on", "give its licenses up and turn the mode off: tally-agent license smart reservation return, return complete, disable",
				"the reservation mode is on; a product either reports or holds a reservation")
		}
		if st.live() && !force {
			return license.Refuse(license.KindRefused, wire.CodeAlreadyRegistered, "deregister first, or register with force",
				"the product is registered already, as %s of the account %s", st.Identity.Instance, st.Identity.Account.Name)
		}
		if t, err = a.transport(st, token.Root, a.around(st, token)); err != nil {
			return err
		}
		if st.Asked == nil || st.Asked.Token != token.Digest() {
			key, err := trust.MarshalKeyPEM(trust.NewProductKey())
			if err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			st.Asked = &asked{Token: token.Digest(), Nonce: newNonce(), Key: key}
		}
		// Whoever looks next tries it again when this attempt comes to nothing.
		st.Asked.Text, st.Asked.Force = token.Text().Reveal(), force
		if st.Reservation != nil {
			st.Asked.Requests = st.Reservation.Sequence
		}
		st.Asked.Tries.Next = now.Add(license.RetryDelay(st.Asked.Tries.Failures+1, 0, a.opts.Rand(), exchangeLimit))
		st.Asked.Tries.Wake = st.Asked.Tries.Next
		ask, product = *st.Asked, st.told()
		return nil
	})
	if err != nil {
		return err
	}
	id, m, err := a.ask(ctx, t, token, ask, product, force)
	no, signed := errors.AsType[*refusal](err)
	if signed {
		err = no.err()
	}
	over := signed || license.AsError(err) != nil && license.AsError(err).Code == codeOtherAuthority
	var wait time.Duration
	if u, ok := errors.AsType[*Unreachable](err); ok {
		wait = u.RetryAfter
	}
	// A caller that gave up waiting still wants the outcome on record.
	noted := a.update(context.WithoutCancel(ctx), func(st *state, now time.Time) error {
		if st.Asked == nil || st.Asked.Nonce != ask.Nonce {
			return nil // another process took the same answer, or it was canceled
		}
		if err != nil {
			st.Registered = attempt{At: now, Reason: oneLine(reason(err))}
			st.count(verbRegister, now, reason(err))
			st.Asked.Tries.failed(now, reason(err), a.opts.Rand(), wait)
			if over {
				st.Asked = nil
			}
			return nil
		}
		st.giveUp()
		st.Asked, st.Orphan = nil, ""
		id.RegisteredAt = now
		st.Identity, st.Registered = &id, attempt{At: now}
		st.count(verbRegister, now, "")
		st.measure(m.ServerTime, st.Clock.Passed)
		st.Renewal.plan(now, license.IdentityRenewal, a.opts.Rand())
		st.Authorization.Next, st.Authorization.Wake = now, now
		return nil
	})
	return errors.Join(err, noted)
}

const codeOtherAuthority = "other-authority"

// tokenLife is the longest that a token may be valid.
const tokenLife = license.TokenDaysMax * 24 * time.Hour

// around is a clock for the first exchange, when nothing signed is known yet: the token was made not long ago, whatever the
// product's clock shows.
func (a *Agent) around(st *state, token trust.Token) func() time.Time {
	clock := a.trusted(st)
	made := token.MadeAt()
	if made.IsZero() || !st.Clock.Signed.IsZero() {
		return clock
	}
	return func() time.Time {
		now := clock()
		switch {
		case now.Before(made):
			return made
		case now.After(made.Add(tokenLife)):
			return made.Add(tokenLife)
		}
		return now
	}
}

// again tries a registration that has no answer yet once more.
func (a *Agent) again(ctx context.Context) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	st, _, err := a.load(ctx)
	if err != nil || st.Asked == nil || !st.Asked.Tries.due(a.now()) {
		return err // another process had the turn
	}
	token, err := trust.ParseToken(st.Asked.Text)
	made := token.MadeAt()
	if err != nil || !made.IsZero() && !st.Clock.Signed.IsZero() && st.Clock.Now().After(made.Add(tokenLife)) {
		return a.update(ctx, func(st *state, now time.Time) error {
			st.Asked, st.Registered = nil, attempt{At: now, Reason: "the token has expired; make a new one"}
			return nil
		})
	}
	if err := a.register(ctx, token, st.Asked.Force); err != nil {
		a.opts.Logger.WarnContext(ctx, "not registered", "error", err)
		return a.scheduled(ctx, err)
	}
	if _, err := a.converse(ctx, verbAuthorize); err != nil {
		a.opts.Logger.WarnContext(ctx, "registered; the first authorization failed", "error", err)
	}
	return nil
}

// scheduled is the cause of a failed registration unless the state holds the time of the next attempt.
func (a *Agent) scheduled(ctx context.Context, cause error) error {
	st, _, err := a.load(ctx)
	if err != nil || st.Asked != nil && st.Asked.Tries.due(a.now()) {
		return errors.Join(cause, err)
	}
	return nil
}

// CancelRegistration ends a registration that is still being tried. An identity that the product has stays. It is refused,
// with the code not-registering, when none is tried.
func (a *Agent) CancelRegistration(ctx context.Context) error {
	return a.update(ctx, func(st *state, now time.Time) error {
		if st.Asked == nil || st.Asked.Text == "" {
			return license.Refuse(license.KindRefused, "not-registering", "tally-agent show license status says how things stand",
				"no registration is being tried")
		}
		st.Asked, st.Registered = nil, attempt{At: now, Reason: "it was canceled"}
		return nil
	})
}

// ask sends a registration and checks the answer; a signed No is a *refusal.
func (a *Agent) ask(ctx context.Context, t Transport, token trust.Token, ask asked, product wire.Product, force bool) (identity, wire.Registered, error) {
	var m wire.Registered
	envelope, err := ask.seal(token, product, force)
	if err != nil {
		return identity{}, m, fmt.Errorf("compose register: %w", err)
	}
	reply, err := t.Exchange(ctx, verbRegister, envelope)
	if err != nil {
		return identity{}, m, ofAuthority(token.Root, err)
	}
	e, err := open(reply, []string{wire.KindRegistered, wire.KindRefusal}, ask.Nonce, trust.Pins{Root: token.Root, Site: trust.AnySite}, a.now())
	if err != nil {
		return identity{}, m, ofAuthority(token.Root, fmt.Errorf("answer to register: %w", err))
	}
	if e.Header.Kind == wire.KindRefusal {
		var no refusal
		if err := decode(e.Payload, &no.Refusal, &no.Nonce, ask.Nonce); err != nil {
			return identity{}, m, fmt.Errorf("answer to register: %w", err)
		}
		return identity{}, m, &no
	}
	if (e.Site != "") != (token.For == trust.ForBelow) {
		return identity{}, m, ofAuthority(token.Root, fmt.Errorf("answer to register: %w: the token is of another desk of this authority", trust.ErrKey))
	}
	if err := decode(e.Payload, &m, &m.Nonce, ask.Nonce); err != nil {
		return identity{}, m, fmt.Errorf("answer to register: %w", err)
	}
	id := identity{
		Account: m.Account, Instance: m.Instance, Exported: m.Exported, Root: token.Root, Key: ask.Key, Number: m.Number,
	}
	id, err = id.renewed(m, e, a.now())
	if err != nil {
		return identity{}, m, fmt.Errorf("answer to register: %w", err)
	}
	return id, m, nil
}

// Error makes a signed No travel as an error inside this package.
func (r *refusal) Error() string { return r.Message }

func (ask asked) seal(token trust.Token, product wire.Product, force bool) ([]byte, error) {
	key, err := trust.ParseKeyPEM(ask.Key)
	if err != nil {
		return nil, err
	}
	csr, err := trust.NewCSR(key)
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(wire.Register{Token: token.Text().Reveal(), CSR: csr, Product: product, Force: force, Requests: ask.Requests, Nonce: ask.Nonce})
	if err != nil {
		return nil, err
	}
	return trust.SealProduct(key, trust.Header{Kind: wire.KindRegister, Audience: wire.Audience}, true, payload)
}

// ofAuthority turns the failure to recognize the other side into a refusal that names the authority of the token (domain
// rule 23). Other errors stay what they are.
func ofAuthority(root trust.Fingerprint, err error) error {
	if !errors.Is(err, trust.ErrChain) && !errors.Is(err, trust.ErrKey) {
		return err
	}
	return &Error{
		Kind: license.KindRefused, Code: codeOtherAuthority,
		Message: fmt.Sprintf("the token was made by the authority with the root %s, and the server at this address is another one", root),
		Hint:    "set the address of the authority that made the token, or get a token from the authority at this address", Err: err,
	}
}

// belongsTo says whether the identity was issued for this product.
func (id *identity) belongsTo(p wire.Product) bool {
	cert, err := trust.VerifyInstance(append([][]byte{id.Certificate}, id.issuers()...), id.Root, time.Time{})
	return (err == nil || errors.Is(err, trust.ErrExpired)) && cert.HasUDI(p.PID, p.Serial)
}

// renewed is the identity with what an answer brings, after checking that the certificate was issued by the pinned root to
// this instance, for the key of the product.
func (id identity) renewed(m wire.Registered, e trust.Envelope, now time.Time) (identity, error) {
	id.Signer, id.SignerID, id.Issuers = e.Signer, e.Header.KeyID, nil
	key, err := trust.ParseKeyPEM(id.Key)
	if err != nil {
		return id, err
	}
	cert, err := trust.VerifyInstance(append([][]byte{m.Certificate}, id.issuers()...), id.Root, now)
	if err != nil && !errors.Is(err, trust.ErrExpired) {
		return id, fmt.Errorf("the certificate in it: %w", err)
	}
	if !key.PublicKey.Equal(cert.Key) || cert.Instance != m.Instance || cert.Account != m.Account.ID || m.Instance != id.Instance || m.Account.ID != id.Account.ID {
		return id, errors.New("the certificate in it is for another product")
	}
	id.Certificate, id.ExpiresAt, id.Exported = m.Certificate, cert.NotAfter, m.Exported
	id.Account, id.VirtualAccount = m.Account, m.VirtualAccount
	return id, nil
}
