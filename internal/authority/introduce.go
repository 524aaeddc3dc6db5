package authority

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// introduced takes a product that is registered and that this database does not know, because it was lost or went back to an older
// one: it brings its ID certificate in place of a token. What it was is what the certificate says; what it uses it says with its next
// report. The certificate is one of this desk's key, or of the lost key of a satellite whose place this one took.
func (a *Authority) introduced(ctx context.Context, m wire.Register, csr trust.CSR) (wire.Registered, error) {
	in, err := trust.VerifyInstance(m.Identity, a.keys.Fingerprint(), a.now())
	switch {
	case errors.Is(err, trust.ErrExpired):
		return wire.Registered{}, license.Refuse(license.KindRefused, "identity-expired", "register the product again with a new token", "the product's certificate ended on %s", in.NotAfter.Format("2006-01-02 15:04 UTC"))
	case err != nil || !in.Key.Equal(csr.PublicKey()) || !in.HasUDI(m.Product.PID, m.Product.Serial) || !trust.ValidID("acc", in.Account) || !trust.ValidID("ins", in.Instance):
		return wire.Registered{}, license.Refuse(license.KindRefused, "identity-foreign", "register the product with a token of this desk", "the certificate that the product brings is not this product's, or not of this authority")
	}
	var row db.Instance
	var answer wire.Registered
	err = a.write(ctx, machine(in.Instance), in.Account, "introduce instance", func(d *desk) error {
		if err := d.issued(ctx, a.keys, m.Identity); err != nil {
			return err
		}
		if row, err = a.bring(ctx, d, in, m, csr); err != nil {
			return err
		}
		answer, err = d.identity(ctx, row, m.Nonce)
		return err
	})
	if license.AsError(err) != nil && license.AsError(err).Kind == license.KindNotFound {
		err = license.Refuse(license.KindRefused, "identity-foreign", "register the product with a token of this desk", "the account of the product's certificate is not here")
	}
	if err != nil {
		return answer, err
	}
	answer.Certificate, err = a.certify(ctx, row)
	return answer, err
}

// issued tells whether a desk's own products have certificates of this chain.
func (d *desk) issued(ctx context.Context, keys *trust.Keys, chain [][]byte) error {
	if trust.SameIssuer(chain, keys.SignerChain()) {
		return nil
	}
	if site := trust.SiteOf(chain); site != "" && trust.Follows(keys.SignerChain(), chain, d.account.AccountID) {
		up, err := d.Upstream(ctx, d.account.AccountID)
		if err != nil && !errors.Is(err, store.ErrNoRow) {
			return fmt.Errorf("read upstream: %w", err)
		}
		var lost []string
		_ = json.Unmarshal([]byte(up.LostSites), &lost) // written by us; none is as good
		if slices.Contains(lost, site) {
			return nil
		}
	}
	return license.Refuse(license.KindRefused, "identity-other-desk", "set the address of the desk that the product is registered at, or register it with a token of this one",
		"the product's certificate is of %s", trust.DeskOf(chain))
}

// bring finds the instance or makes it again, as its certificate says.
func (a *Authority) bring(ctx context.Context, d *desk, in trust.Instance, m wire.Register, csr trust.CSR) (db.Instance, error) {
	account := d.account.AccountID
	known, err := d.Instance(ctx, db.InstanceParams{AccountID: account, InstanceID: in.Instance})
	if err != nil && !errors.Is(err, store.ErrNoRow) {
		return known, fmt.Errorf("read instance: %w", err)
	}
	reserved := err == nil && known.Udi == m.Product.UDI() && len(known.PublicKey) == 0 // it held a reservation and has registered since
	if err == nil && !reserved {
		switch {
		case known.Udi != m.Product.UDI() || known.KeyThumbprint != csr.KeyThumbprint():
			return known, license.Refuse(license.KindConflict, wire.CodeAlreadyRegistered, "if this is the same product, register again with force; a copy needs its own serial number",
				"the product %s was registered anew since with another key, on %s", known.Udi, store.At(known.RegisteredAt).Format("2006-01-02 15:04 UTC"))
		case known.State != stateActive:
			return known, removed(known.RemovedBy, known.RemovedWhy, store.At(known.RemovedAt))
		case len(known.Certificate) > 0 || known.Nonce == m.Nonce:
			return known, nil
		}
		if err := a.prepare(&known, csr, d); err != nil { // it came back from elsewhere, without what its certificate says
			return known, err
		}
		return known, d.RenewInstance(ctx, db.RenewInstanceParams{
			AccountID: account, InstanceID: known.InstanceID, RenewedAt: store.Ms(d.now), Prepared: known.Prepared, Certificate: known.Certificate, ExpiresAt: known.ExpiresAt,
		})
	}
	if other, err := d.InstanceByUDI(ctx, db.InstanceByUDIParams{AccountID: account, Udi: m.Product.UDI()}); err == nil && !reserved {
		return other, license.Refuse(license.KindConflict, wire.CodeAlreadyRegistered, "if this is the same product, register again with force; a copy needs its own serial number",
			"the product %s is registered already as %s since %s", other.Udi, other.InstanceID, store.At(other.RegisteredAt).Format("2006-01-02 15:04 UTC"))
	} else if err != nil && !errors.Is(err, store.ErrNoRow) {
		return other, fmt.Errorf("look up product: %w", err)
	}
	if err := d.unreserved(ctx, m.Product.UDI()); err != nil {
		return known, err
	}
	if err := d.forgetful(ctx, m); err != nil {
		return known, err
	}
	va, err := d.home(ctx, a, m.VirtualAccount)
	if err != nil {
		return known, err
	}
	fresh := db.Instance{
		AccountID: account, InstanceID: in.Instance, VaID: va, Udi: m.Product.UDI(), Pid: m.Product.PID, Serial: m.Product.Serial, Product: m.Product.Name,
		Version: m.Product.Version, Hostname: m.Product.Hostname, State: stateActive, Incarnation: known.Incarnation + 1, RegisteredAt: store.Ms(in.NotBefore), RenewedAt: store.Ms(d.now),
		Nonce: m.Nonce, KeyThumbprint: csr.KeyThumbprint(), StatusAt: store.Ms(d.now),
	}
	if err := a.prepare(&fresh, csr, d); err != nil {
		return fresh, err
	}
	return fresh, d.saveRegistration(ctx, "instance.introduced", reserved, fresh)
}

// home is the virtual account where a product was, if it is still there and this desk's own, else the default one.
func (d *desk) home(ctx context.Context, a *Authority, id string) (string, error) {
	va, err := d.VA(ctx, db.VAParams{AccountID: d.account.AccountID, VaID: id})
	if err != nil && !errors.Is(err, store.ErrNoRow) {
		return "", fmt.Errorf("read virtual account: %w", err)
	}
	if err == nil && (va.SatelliteID == "" || a.keys.Site() != "") {
		return va.VaID, nil
	}
	return d.account.DefaultVa, nil
}
