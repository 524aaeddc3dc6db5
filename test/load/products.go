package main

import (
	"errors"
	"fmt"
	"sync"

	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
	"github.com/tallystick/tallystick/test/play"
)

const (
	registerPath  = "/machine/v1/register"
	authorizePath = "/machine/v1/authorize"
	verifiedPath  = "/baseline/verified"
	appendPath    = "/baseline/append"
	settlePath    = "/baseline/settle"
)

// register registers n products, each over a new connection as products do.
func (d *driver) register(n int, prefix string) ([]*play.Product, error) {
	certs, err := trust.ParseCertificatesPEM([]byte(d.server.RootPEM))
	if err != nil {
		return nil, err
	}
	root := trust.Of(certs[0])
	products, errs := make([]*play.Product, n), make([]error, n)
	var wg sync.WaitGroup
	gate := make(chan struct{}, d.connections)
	for i := range n {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			products[i] = play.NewProduct(d.server.Account, fmt.Sprintf("%s-%06d", prefix, i))
			errs[i] = d.registerOne(products[i], root)
		})
	}
	wg.Wait()
	return products, errors.Join(errs...)
}

func (d *driver) registerOne(p *play.Product, root trust.Fingerprint) error {
	envelope, err := p.Registration(d.server.Token)
	if err != nil {
		return err
	}
	c, err := d.dialer.dial()
	if err != nil {
		return err
	}
	defer c.raw.Close()
	answer, err := c.do(request(d.server.Address, registerPath, "application/jose", envelope))
	if err != nil {
		return err
	}
	return p.Registered(answer, root, d.started)
}

// reports signs n reports spread over the products and renders them for a path. Counts change now and then, as products' do.
// The baseline does not move the exchange number, so reports for it are numbered again afterwards.
func reports(products []*play.Product, address, path string, n int) (work, error) {
	w, errs := make(work, len(products)), make([]error, len(products))
	var wg sync.WaitGroup
	for i, p := range products {
		share := n / len(products)
		if i < n%len(products) {
			share++
		}
		wg.Go(func() {
			number := p.Number
			for range share {
				envelope, err := p.Report(wire.Usage{Tag: "exp-rms", Count: 10 + p.Number/3%5}, wire.Usage{Tag: "ucm-enhanced-plus", Count: 4})
				if err != nil {
					errs[i] = err
					return
				}
				w[i] = append(w[i], request(address, path, "application/jose", envelope))
			}
			if path != authorizePath {
				p.Number = number
			}
		})
	}
	wg.Wait()
	return w, errors.Join(errs...)
}
