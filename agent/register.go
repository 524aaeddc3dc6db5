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
// once. It sends the registration once; after an *Unreachable error the caller may try again with the same token, which
// then costs no second use. With force it replaces an identity that the product or the authority still has.
//
// When it returns nil the product is registered. That the first authorization failed is no error; Status shows it, and
// Report or Run try again. Refusals are *Error, with the authority's code and hint.
func (a *Agent) Register(ctx context.Context, token string, force bool) error {
	t, err := parseToken(token)
	if err != nil {
		return err
	}
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
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
	err := a.update(ctx, func(st *state, _ time.Time) (err error) {
		if st.Identity != nil && !force {
			return license.Refuse(license.KindRefused, wire.CodeAlreadyRegistered, "deregister first, or register with force",
				"the product is registered already, as %s of the account %s", st.Identity.Instance, st.Identity.Account.Name)
		}
		if t, err = a.transport(st, token.Root); err != nil {
			return err
		}
		if st.Asked == nil || st.Asked.Token != token.Digest() {
			key, err := trust.MarshalKeyPEM(trust.NewProductKey())
			if err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			st.Asked = &asked{Token: token.Digest(), Nonce: newNonce(), Key: key}
		}
		ask, product = *st.Asked, st.Product
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
	// A caller that gave up waiting still wants the outcome on record.
	noted := a.update(context.WithoutCancel(ctx), func(st *state, now time.Time) error {
		if st.Asked == nil || st.Asked.Nonce != ask.Nonce {
			return nil // another process took the same answer
		}
		if err != nil {
			st.Registered = attempt{At: now, Reason: oneLine(reason(err))}
			if signed {
				st.Asked = nil
			}
			return nil
		}
		st.giveUp()
		st.Asked, st.Orphan = nil, ""
		id.RegisteredAt = now
		st.Identity, st.Registered = &id, attempt{At: now}
		st.measure(m.ServerTime, now, now)
		st.Renewal.plan(now, license.IdentityRenewal, a.opts.Rand())
		st.Authorization.Next, st.Authorization.Wake = now, now
		return nil
	})
	return errors.Join(err, noted)
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
	payload, err := json.Marshal(wire.Register{Token: token.Text().Reveal(), CSR: csr, Product: product, Force: force, Nonce: ask.Nonce})
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
		Kind: license.KindRefused, Code: "other-authority",
		Message: fmt.Sprintf("the token was made by the authority with the root %s, and the server at this address is another one", root),
		Hint:    "set the address of the authority that made the token, or get a token from the authority at this address", Err: err,
	}
}

// renewed is the identity with what an answer brings, after checking that the certificate was issued by the pinned root to
// this instance, for the key of the product.
func (id identity) renewed(m wire.Registered, e trust.Envelope, now time.Time) (identity, error) {
	id.Signer, id.SignerID = e.Signer, e.Header.KeyID
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
