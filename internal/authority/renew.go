package authority

import (
	"cmp"
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

// exchange does one numbered exchange that is no usage report: it answers a repetition from the store, and otherwise lets fn
// decide and stores the answer with the number. The answer's payload comes back.
func (a *Authority) exchange(ctx context.Context, r request, kind string, fn func(*desk, db.Instance) (any, error)) ([]byte, db.Instance, error) {
	var row db.Instance
	var payload []byte
	var forked error // a refusal that leaves a mark, so that it is no error of the transaction
	err := a.write(ctx, machine(r.instance), r.account, kind, func(d *desk) error {
		var err error
		if row, err = d.Instance(ctx, db.InstanceParams{AccountID: r.account, InstanceID: r.instance}); err != nil {
			return fmt.Errorf("read instance: %w", err)
		}
		last, err := d.Exchange(ctx, db.ExchangeParams{AccountID: r.account, InstanceID: r.instance})
		if err != nil && !errors.Is(err, store.ErrNoRow) {
			return fmt.Errorf("read last exchange: %w", err)
		}
		var repeated bool
		repeated, forked = turn(last.Number, last.Digest, r)
		switch {
		case repeated:
			payload = last.Answer
			return nil
		case row.KeyThumbprint != r.thumbprint:
			return license.Refuse(license.KindConflict, "key-changed", "send it again", "the product was registered anew while this request was under way")
		case forked != nil:
			_, err := d.noteFork(ctx, r.instance, row.ForkedAt)
			return err
		case row.State != stateActive:
			return removed(row.RemovedBy, row.RemovedWhy, store.At(row.RemovedAt))
		}
		answer, err := fn(d, row)
		if err != nil {
			return err
		}
		if payload, err = json.Marshal(answer); err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		if row, err = d.Instance(ctx, db.InstanceParams{AccountID: r.account, InstanceID: r.instance}); err != nil {
			return fmt.Errorf("read instance: %w", err)
		}
		last.AccountID, last.InstanceID, last.Number, last.Digest, last.Kind, last.Answer = r.account, r.instance, r.number, r.digest[:], kind, payload
		return d.PutExchange(ctx, db.PutExchangeParams(last))
	})
	return payload, row, cmp.Or(err, forked)
}

// renew gives an instance a new ID certificate for the key it has.
func (a *Authority) renew(ctx context.Context, envelope []byte) ([]byte, error) {
	var m wire.Renew
	r, err := a.open(ctx, envelope, wire.KindRenew, &m)
	if err != nil {
		return a.refuse(r.instance, m.Nonce, r.number, a.now(), err)
	}
	csr, err := trust.ParseCSR(m.CSR)
	if err != nil || csr.KeyThumbprint() != r.thumbprint {
		return a.refuse(r.instance, m.Nonce, r.number, a.now(), license.Refuse(license.KindInvalid, "bad-certificate-request",
			"update the product's agent", "the certificate request is not one for the product's key"))
	}
	payload, row, err := a.exchange(ctx, r, wire.KindRenewed, func(d *desk, row db.Instance) (any, error) {
		if err := a.prepare(&row, csr, d); err != nil {
			return nil, err
		}
		if err := d.RenewInstance(ctx, db.RenewInstanceParams{
			AccountID: r.account, InstanceID: r.instance, RenewedAt: store.Ms(d.now), Prepared: row.Prepared, Certificate: row.Certificate, ExpiresAt: row.ExpiresAt,
		}); err != nil {
			return nil, fmt.Errorf("record renewal: %w", err)
		}
		va, err := d.va(ctx, row.VaID)
		if err != nil {
			return nil, err
		}
		if _, err := d.record(ctx, "instance.renewed", r.instance, map[string]any{"expiresAt": store.At(row.ExpiresAt)}); err != nil {
			return nil, err
		}
		return wire.Registered{
			Nonce: m.Nonce, Account: wire.Named{ID: d.account.AccountID, Name: d.account.Name}, VirtualAccount: wire.Named{ID: va.VaID, Name: va.Name},
			Instance: r.instance, ExpiresAt: store.At(row.ExpiresAt), Exported: row.ExportControlled, ServerTime: d.now, Number: r.number,
		}, nil
	})
	if err != nil {
		return a.refuse(r.instance, m.Nonce, r.number, a.now(), err)
	}
	// What was stored lacks the certificate: it is signed after the commit, from what was recorded.
	var answer wire.Registered
	if err := json.Unmarshal(payload, &answer); err != nil {
		return nil, fmt.Errorf("read stored answer: %w", err)
	}
	if answer.Certificate, err = a.certify(ctx, row); err != nil {
		return nil, err
	}
	if payload, err = json.Marshal(answer); err != nil {
		return nil, fmt.Errorf("encode renewal: %w", err)
	}
	return a.answer(r, wire.KindRenewed, payload, ""), nil
}

// deregister gives an instance's identity up; its licenses are free again in the same transaction.
func (a *Authority) deregister(ctx context.Context, envelope []byte) ([]byte, error) {
	var m wire.Deregister
	r, err := a.open(ctx, envelope, wire.KindDeregister, &m)
	if err != nil {
		return a.refuse(r.instance, m.Nonce, r.number, a.now(), err)
	}
	payload, _, err := a.exchange(ctx, r, wire.KindDeregistered, func(d *desk, row db.Instance) (any, error) {
		if err := d.remove(ctx, row, "the product itself", "it was deregistered", "instance.deregistered"); err != nil {
			return nil, err
		}
		return wire.Deregistered{Nonce: m.Nonce, ServerTime: d.now}, nil
	})
	if err != nil {
		return a.refuse(r.instance, m.Nonce, r.number, a.now(), err)
	}
	return a.answer(r, wire.KindDeregistered, payload, ""), nil
}
