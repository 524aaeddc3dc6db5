package play

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// Product is a product that speaks the machine gate by hand: every request is bytes that may be sent, kept and sent again.
type Product struct {
	Account, Instance, Serial string
	Number                    int64 // of the last report that was made

	key    *ecdsa.PrivateKey
	nonce  string
	signer string // thumbprint of the authority's message certificate, as products send it
}

// NewProduct makes an unregistered product with a key of its own.
func NewProduct(account, serial string) *Product {
	return &Product{Account: account, Serial: serial, key: trust.NewProductKey(), nonce: "registration-of-" + serial}
}

// Registration is the envelope of a registration; made again it is another envelope with the same nonce.
func (p *Product) Registration(token string) ([]byte, error) {
	csr, err := trust.NewCSR(p.key)
	if err != nil {
		return nil, err
	}
	return p.seal(trust.Header{Kind: wire.KindRegister, Audience: wire.Audience}, true, wire.Register{
		Token: token, CSR: csr, Nonce: p.nonce, Product: wire.Product{Name: "Test product", PID: "TEST", Serial: p.Serial, Version: "1", Hostname: "test"},
	})
}

// Registered opens the answer to a registration and takes the identity over.
func (p *Product) Registered(answer []byte, root trust.Fingerprint, now time.Time) error {
	e, err := trust.OpenAuthority(answer, []string{wire.KindRegistered}, p.nonce, trust.Pins{Root: root}, now)
	if err != nil {
		return fmt.Errorf("open registration: %w", err)
	}
	var m wire.Registered
	if err := json.Unmarshal(e.Payload, &m); err != nil {
		return fmt.Errorf("read registration: %w", err)
	}
	p.Instance, p.Number, p.signer = m.Instance, m.Number, e.Header.KeyID
	return nil
}

// Report is the envelope of the usage report with the next exchange number.
func (p *Product) Report(usage ...wire.Usage) ([]byte, error) {
	p.Number++
	h := trust.Header{Kind: wire.KindAuthorize, KeyID: p.Account + "/" + p.Instance, Audience: wire.Audience, Number: p.Number}
	return p.seal(h, false, wire.Authorize{Nonce: fmt.Sprintf("report-number-%09d", p.Number), Usage: usage, Signer: p.signer})
}

func (p *Product) seal(h trust.Header, embed bool, message any) ([]byte, error) {
	payload, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return trust.SealProduct(p.key, h, embed, payload)
}
