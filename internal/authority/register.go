package authority

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// Instance states.
const (
	stateActive  = "ACTIVE"
	stateRemoved = "REMOVED"
)

func (a *Authority) register(ctx context.Context, envelope []byte) ([]byte, error) {
	e, err := trust.OpenProduct(envelope, wire.KindRegister, wire.Audience, nil)
	if err != nil {
		return nil, badEnvelope(err)
	}
	var m wire.Register
	if err := wire.Decode(e.Payload, &m); err != nil {
		return nil, err
	}
	csr, err := trust.ParseCSR(m.CSR)
	if err != nil || !csr.PublicKey().Equal(e.EmbeddedKey()) {
		return nil, license.Refuse(license.KindInvalid, "bad-certificate-request", "update the product's agent",
			"the certificate request is not one for the key that signed the message")
	}
	admit := a.registered
	if len(m.Identity) > 0 {
		admit = a.introduced
	}
	answer, err := admit(ctx, m, csr)
	if err != nil {
		return a.refuse(m.Nonce, m.Nonce, 0, a.now(), err)
	}
	payload, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("encode registration: %w", err)
	}
	h := trust.Header{Kind: wire.KindRegistered, KeyID: a.keys.SignerThumbprint(), Audience: m.Nonce, Chain: a.keys.SignerChain()}
	return a.keys.Seal(h, payload), nil
}

// registered does the registration: prepare, check, record, commit, and only then sign the certificate. The certificate is a
// function of what was recorded, so a crash before the signature is stored loses nothing.
func (a *Authority) registered(ctx context.Context, m wire.Register, csr trust.CSR) (wire.Registered, error) {
	token, err := a.readToken(m.Token)
	if err != nil {
		return wire.Registered{}, err
	}
	var row db.Instance
	var answer wire.Registered
	err = a.write(ctx, machine("token "+token.ID), token.Account, "register instance", func(d *desk) error {
		row, err = a.admit(ctx, d, token, m, csr)
		if err != nil {
			return err
		}
		answer, err = d.identity(ctx, row, m.Nonce)
		return err
	})
	if license.AsError(err) != nil && license.AsError(err).Kind == license.KindNotFound {
		err = unknownToken() // of an account that is not here
	}
	if err != nil {
		return answer, err
	}
	answer.Certificate, err = a.certify(ctx, row)
	return answer, err
}

// identity is the answer to a registration, without the certificate.
func (d *desk) identity(ctx context.Context, row db.Instance, nonce string) (wire.Registered, error) {
	va, err := d.va(ctx, row.VaID)
	if err != nil {
		return wire.Registered{}, err
	}
	last, err := d.Exchange(ctx, db.ExchangeParams{AccountID: row.AccountID, InstanceID: row.InstanceID})
	if err != nil && !errors.Is(err, store.ErrNoRow) {
		return wire.Registered{}, fmt.Errorf("read last exchange: %w", err)
	}
	return wire.Registered{
		Nonce: nonce, Account: wire.Named{ID: d.account.AccountID, Name: d.account.Name}, VirtualAccount: wire.Named{ID: va.VaID, Name: va.Name},
		Instance: row.InstanceID, ExpiresAt: store.At(row.ExpiresAt), Exported: row.ExportControlled, ServerTime: d.now, Number: last.Number,
	}, nil
}

// readToken checks what can be seen on a token without the store.
func (a *Authority) readToken(text string) (trust.Token, error) {
	token, err := trust.ParseToken(text)
	switch {
	case errors.Is(err, trust.ErrTokenDamaged):
		return token, license.Refuse(license.KindInvalid, "token-damaged", "copy the token again, whole and without a line break", "the registration token was mistyped or cut off")
	case err != nil:
		return token, license.Refuse(license.KindInvalid, "token-malformed", "copy the token from `tally token create` or the console", "this is no registration token: %v", err)
	case token.Root != a.keys.Fingerprint():
		return token, license.Refuse(license.KindRefused, "token-other-authority", "use a token that was made here, or point the product at the authority that made this one",
			"the token was issued by the authority with the root certificate %s; this one has %s", token.Root, a.keys.Fingerprint())
	case token.For == trust.ForSatellite:
		return token, license.Refuse(license.KindRefused, "token-for-satellite", "make a token for products with `tally token create`",
			"this token is for a satellite (`tally sync join`), not for a product")
	case token.For == trust.ForBelow && a.keys.Site() == "":
		return token, license.Refuse(license.KindRefused, "token-of-satellite", "point the product at the satellite that made the token, or make a token here for a virtual account that is no satellite's",
			"the token was made at a satellite of this authority and works there only")
	case token.For == trust.ForProduct && a.keys.Site() != "":
		return token, license.Refuse(license.KindRefused, "token-of-authority", "make a token at this satellite with `tally token create`, or point the product at the authority",
			"the token was made at the authority and works there only; this is one of its satellites")
	}
	return token, nil
}

func unknownToken() error {
	return license.Refuse(license.KindRefused, "token-unknown", "make a new one with `tally token create`", "this authority does not know the registration token; it may have been removed")
}

// admit finds or makes the instance and spends one use of the token. The same key and nonce get the same instance and spend
// nothing (domain rule 24).
func (a *Authority) admit(ctx context.Context, d *desk, token trust.Token, m wire.Register, csr trust.CSR) (db.Instance, error) {
	account, thumbprint := d.account.AccountID, csr.KeyThumbprint()
	old, err := d.InstanceByUDI(ctx, db.InstanceByUDIParams{AccountID: account, Udi: m.Product.UDI()})
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNoRow) {
		return old, fmt.Errorf("look up product: %w", err)
	}
	row, err := d.tokenRow(ctx, token)
	if err != nil {
		return old, err
	}
	if err := d.unreserved(ctx, m.Product.UDI()); err != nil {
		return old, err
	}
	if known && old.State == stateActive && old.Nonce == m.Nonce && old.KeyThumbprint == thumbprint {
		return old, nil
	}
	if err := d.forgetful(ctx, m); err != nil {
		return old, err
	}
	live := known && old.State == stateActive && old.ExpiresAt > store.Ms(d.now)
	if live && !m.Force {
		return old, license.Refuse(license.KindConflict, wire.CodeAlreadyRegistered, "if this is the same product, register again with force; a copy needs its own serial number",
			"the product %s is registered already as %s since %s", m.Product.UDI(), old.InstanceID, store.At(old.RegisteredAt).Format("2006-01-02 15:04 UTC"))
	}
	if err := d.spend(ctx, row); err != nil {
		return old, err
	}
	fresh := db.Instance{
		AccountID: account, InstanceID: old.InstanceID, VaID: row.VaID, Udi: m.Product.UDI(), Pid: m.Product.PID, Serial: m.Product.Serial, Product: m.Product.Name,
		Version: m.Product.Version, Hostname: m.Product.Hostname, State: stateActive, Incarnation: old.Incarnation + 1, TokenID: row.TokenID,
		ExportControlled: row.ExportControlled, RegisteredAt: store.Ms(d.now), RenewedAt: store.Ms(d.now), Nonce: m.Nonce, KeyThumbprint: thumbprint, StatusAt: store.Ms(d.now),
	}
	if !known {
		fresh.InstanceID = trust.NewID("ins", d.now)
	}
	if err := a.prepare(&fresh, csr, d); err != nil {
		return fresh, err
	}
	if known {
		if err := d.releaseUse(ctx, old); err != nil {
			return fresh, err
		}
	}
	kind := "instance.registered"
	if known {
		kind = "instance.reregistered"
	}
	return fresh, d.saveRegistration(ctx, kind, known, fresh)
}

// unreserved refuses to register a product that holds a reservation or is quarantined: it either reports or holds (rows R12, Q7).
func (d *desk) unreserved(ctx context.Context, udi string) error {
	rows, err := d.ReservationsOfUDI(ctx, db.ReservationsOfUDIParams{AccountID: d.account.AccountID, Udi: udi})
	if err != nil {
		return fmt.Errorf("look up reservation: %w", err)
	}
	for _, r := range rows {
		switch {
		case license.ReservationState(r.State).Live():
			return license.Refuse(license.KindConflict, "reserved", "return it on the product, or, if its authorization was never installed: reservation return-authorization; then enter the return code at the authority",
				"the product %s holds the reservation %s", udi, r.ReservationID)
		case r.State == string(license.ReservationQuarantined):
			return license.Refuse(license.KindRefused, "quarantined", "return its reservation on the product and enter the return code at the authority, or let an administrator release it",
				"the product %s was declared dead and its licenses went to another one", udi)
		}
	}
	return nil
}

// forgetful notes that a product remembers fewer requests for reservations than were answered: its state was set back to when it may
// have held the newest of those that it remembers, which it had given up since (domain rule 43). It registers all the same.
func (d *desk) forgetful(ctx context.Context, m wire.Register) error {
	rows, err := d.ReservationsOfUDI(ctx, db.ReservationsOfUDIParams{AccountID: d.account.AccountID, Udi: m.Product.UDI()})
	if err != nil {
		return fmt.Errorf("look up reservations: %w", err)
	}
	if m.Requests == 0 || len(rows) == 0 || int64(m.Requests) >= rows[0].Sequence {
		return nil
	}
	for _, r := range rows { // the newest first
		if r.Sequence <= int64(m.Requests) {
			return d.noteRevived(ctx, &r, trust.Code{Sequence: m.Requests}, fmt.Sprintf("a registration that remembers request %d of %d", m.Requests, rows[0].Sequence))
		}
	}
	return nil
}

// prepare writes down everything that the certificate will say.
func (a *Authority) prepare(row *db.Instance, csr trust.CSR, d *desk) error {
	p := a.keys.PrepareInstance(csr, trust.InstanceName{Account: row.AccountID, Instance: row.InstanceID, Product: row.Product, PID: row.Pid, Serial: row.Serial}, d.now)
	var err error
	if row.Prepared, err = json.Marshal(p); err != nil {
		return fmt.Errorf("record certificate: %w", err)
	}
	row.PublicKey, row.ExpiresAt, row.Certificate = p.PublicKey, store.Ms(p.NotAfter), []byte{}
	return nil
}

func (d *desk) tokenRow(ctx context.Context, token trust.Token) (db.Token, error) {
	row, err := d.Token(ctx, db.TokenParams{AccountID: d.account.AccountID, TokenID: token.ID})
	if errors.Is(err, store.ErrNoRow) {
		return row, unknownToken()
	}
	if err != nil {
		return row, fmt.Errorf("look up token: %w", err)
	}
	if digest := token.Digest(); !trust.SameDigest(row.Digest, digest[:]) {
		return row, unknownToken()
	}
	return row, nil
}

// spend takes one use of the token, or says exactly why it cannot.
func (d *desk) spend(ctx context.Context, row db.Token) error {
	n, err := d.SpendToken(ctx, db.SpendTokenParams{AccountID: row.AccountID, TokenID: row.TokenID, Now: store.Ms(d.now)})
	if err != nil {
		return fmt.Errorf("spend token: %w", err)
	}
	if n == 1 {
		return nil
	}
	const again = "make a new one with `tally token create`; products that are registered already are not affected"
	switch t := tokenOf(row, "", d.now); t.Status {
	case "Revoked":
		return license.Refuse(license.KindRefused, "token-revoked", again, "the registration token %s was revoked", row.TokenID)
	case "Expired":
		return license.Refuse(license.KindRefused, "token-expired", again, "the registration token %s expired on %s", row.TokenID, t.ExpiresAt.Format("2006-01-02 15:04 UTC"))
	default:
		return license.Refuse(license.KindRefused, "token-used-up", again, "all %d uses of the registration token %s are spent", row.MaxUses, row.TokenID)
	}
}

func (d *desk) saveRegistration(ctx context.Context, event string, known bool, r db.Instance) error {
	var err error
	if known {
		err = d.ReregisterInstance(ctx, db.ReregisterInstanceParams{
			AccountID: r.AccountID, InstanceID: r.InstanceID, VaID: r.VaID, Product: r.Product, Version: r.Version, Hostname: r.Hostname, State: r.State,
			Incarnation: r.Incarnation, TokenID: r.TokenID, ExportControlled: r.ExportControlled, RegisteredAt: r.RegisteredAt, RenewedAt: r.RenewedAt,
			Nonce: r.Nonce, KeyThumbprint: r.KeyThumbprint, PublicKey: r.PublicKey, Prepared: r.Prepared, Certificate: r.Certificate, ExpiresAt: r.ExpiresAt,
			Status: r.Status, StatusAt: r.StatusAt,
		})
	} else {
		err = d.InsertInstance(ctx, db.InsertInstanceParams{
			AccountID: r.AccountID, InstanceID: r.InstanceID, VaID: r.VaID, Udi: r.Udi, Pid: r.Pid, Serial: r.Serial, Product: r.Product, Version: r.Version,
			Hostname: r.Hostname, State: r.State, Incarnation: r.Incarnation, TokenID: r.TokenID, ExportControlled: r.ExportControlled,
			RegisteredAt: r.RegisteredAt, RenewedAt: r.RenewedAt, Nonce: r.Nonce, KeyThumbprint: r.KeyThumbprint, PublicKey: r.PublicKey,
			Prepared: r.Prepared, Certificate: r.Certificate, ExpiresAt: r.ExpiresAt, Status: r.Status, StatusAt: r.StatusAt,
		})
	}
	if err != nil {
		return fmt.Errorf("save registration: %w", err)
	}
	_, err = d.record(ctx, event, r.InstanceID, map[string]any{"udi": r.Udi, "product": r.Product, "virtualAccount": r.VaID, "token": r.TokenID, "key": r.KeyThumbprint})
	return err
}

// certify signs the recorded certificate and stores it, unless that was done before with the issuing key that is in force: the
// chain that goes along is of that one.
func (a *Authority) certify(ctx context.Context, row db.Instance) ([]byte, error) {
	if len(row.Certificate) > 0 && a.keys.Issued(row.Certificate) {
		return row.Certificate, nil
	}
	var p trust.PreparedInstance
	if err := json.Unmarshal(row.Prepared, &p); err != nil {
		return nil, fmt.Errorf("read recorded certificate: %w", err)
	}
	der, err := a.keys.SignInstance(p)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	err = a.store.Update(ctx, "store certificate", func(tx *store.Tx) error {
		return tx.SetCertificate(ctx, db.SetCertificateParams{AccountID: row.AccountID, InstanceID: row.InstanceID, Certificate: der})
	})
	return der, outcome("store certificate", err)
}

// releaseUse frees everything that an instance uses, in the verb's own transaction (domain rule 30).
func (d *desk) releaseUse(ctx context.Context, row db.Instance) error {
	uses, err := d.UsageOfInstance(ctx, db.UsageOfInstanceParams{AccountID: row.AccountID, InstanceID: row.InstanceID})
	if err != nil {
		return fmt.Errorf("read use: %w", err)
	}
	for _, u := range uses {
		if err := d.shiftDemand(ctx, u.VaID, u.Tag, -u.Quantity); err != nil {
			return err
		}
	}
	if err := d.DeleteUsageOfInstance(ctx, db.DeleteUsageOfInstanceParams{AccountID: row.AccountID, InstanceID: row.InstanceID}); err != nil {
		return fmt.Errorf("release use: %w", err)
	}
	return nil
}

// shiftDemand moves the demand of one pool. The account's lock makes reading before writing safe.
func (d *desk) shiftDemand(ctx context.Context, va, tag string, by int64) error {
	if by == 0 {
		return nil
	}
	rows, err := d.DemandOfVA(ctx, db.DemandOfVAParams{AccountID: d.account.AccountID, VaID: va})
	if err != nil {
		return fmt.Errorf("read demand: %w", err)
	}
	total := by
	for _, r := range rows {
		if r.Tag == tag {
			total += r.Quantity
		}
	}
	if err := d.PutDemand(ctx, db.PutDemandParams{AccountID: d.account.AccountID, VaID: va, Tag: tag, Quantity: total}); err != nil {
		return fmt.Errorf("move demand of %s: %w", tag, err)
	}
	return nil
}
