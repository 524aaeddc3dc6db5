package main

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// product is a registered product whose requests are signed before they are measured.
type product struct {
	account, instance string
	key               *ecdsa.PrivateKey
	number            int64
}

func registration(d description, key *ecdsa.PrivateKey, serial string) ([]byte, string, error) {
	csr, err := trust.NewCSR(key)
	if err != nil {
		return nil, "", err
	}
	nonce := fmt.Sprintf("registration-%s", serial)
	payload, err := json.Marshal(wire.Register{
		Token: d.Token, CSR: csr, Nonce: nonce, Product: wire.Product{Name: "Load product", PID: "LOAD", Serial: serial, Version: "1", Hostname: "load"},
	})
	if err != nil {
		return nil, "", err
	}
	envelope, err := trust.SealProduct(key, trust.Header{Kind: wire.KindRegister, Audience: wire.Audience}, true, payload)
	return request(d.Address, "/machine/v1/register", "application/jose", envelope), nonce, err
}

// register registers n products over kept connections.
func (d *driver) register(n int, prefix string) ([]*product, error) {
	root, err := rootOf(d.server.RootPEM)
	if err != nil {
		return nil, err
	}
	products := make([]*product, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	gate := make(chan struct{}, d.connections)
	for i := range n {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			products[i], errs[i] = d.registerOne(root, fmt.Sprintf("%s-%06d", prefix, i))
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return products, nil
}

func (d *driver) registerOne(root trust.Fingerprint, serial string) (*product, error) {
	p := &product{account: d.server.Account, key: trust.NewProductKey()}
	r, nonce, err := registration(d.server.description, p.key, serial)
	if err != nil {
		return nil, err
	}
	c, err := d.dialer.dial()
	if err != nil {
		return nil, err
	}
	defer c.raw.Close() //nolint:errcheck // done
	answer, err := c.do(r)
	if err != nil {
		return nil, err
	}
	e, err := trust.OpenAuthority(answer, []string{wire.KindRegistered}, nonce, trust.Pins{Root: root}, d.started)
	if err != nil {
		return nil, err
	}
	var m wire.Registered
	if err := json.Unmarshal(e.Payload, &m); err != nil {
		return nil, err
	}
	p.instance = m.Instance
	return p, nil
}

func rootOf(pem string) (trust.Fingerprint, error) {
	certs, err := trust.ParseCertificatesPEM([]byte(pem))
	if err != nil {
		return trust.Fingerprint{}, err
	}
	return trust.Of(certs[0]), nil
}

// report signs the next usage report; counts change now and then, as products' do.
func (p *product) report() ([]byte, error) {
	p.number++
	payload, err := json.Marshal(wire.Authorize{
		Nonce: fmt.Sprintf("report-number-%09d", p.number), Usage: []wire.Usage{{Tag: "exp-rms", Count: 10 + p.number/3%5}, {Tag: "ucm-enhanced-plus", Count: 4}},
	})
	if err != nil {
		return nil, err
	}
	return trust.SealProduct(p.key, trust.Header{Kind: wire.KindAuthorize, KeyID: p.account + "/" + p.instance, Audience: wire.Audience, Number: p.number}, false, payload)
}

// reports signs n reports spread over the products and renders them for a path.
func reports(products []*product, address, path string, n int) (work, error) {
	w := make(work, len(products))
	errs := make([]error, len(products))
	var wg sync.WaitGroup
	for i, p := range products {
		share := n / len(products)
		if i < n%len(products) {
			share++
		}
		wg.Go(func() {
			number := p.number
			for range share {
				envelope, err := p.report()
				if err != nil {
					errs[i] = err
					return
				}
				w[i] = append(w[i], request(address, path, "application/jose", envelope))
			}
			if path != authorizePath {
				p.number = number // the baseline does not move the exchange number
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

const (
	authorizePath = "/machine/v1/authorize"
	verifiedPath  = "/baseline/verified"
	appendPath    = "/baseline/append"
)
