package authority_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

var admin = access.Person{ID: "key_test", Name: "test", Role: access.Administrator, Account: access.Site}

// site is an authority with one account, on a real store.
type site struct {
	*authority.Authority
	t       testing.TB
	store   *store.Store
	clock   *storetest.Clock
	account authority.Account
	keys    *trust.Keys
}

func newSite(t testing.TB, st *store.Store, clock *storetest.Clock) *site {
	t.Helper()
	keys, err := trust.OpenKeys(t.TempDir(), clock.Now())
	if err != nil {
		t.Fatalf("open keys: %v", err)
	}
	s := &site{t: t, store: st, clock: clock, keys: keys, Authority: authority.New(authority.Options{Store: st, Keys: keys, Catalog: license.DefaultCatalog(), Now: clock.Now})}
	if s.account, err = s.CreateAccount(t.Context(), admin, "acme.example"); err != nil {
		t.Fatalf("create account: %v", err)
	}
	return s
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, fn func(t *testing.T, s *site)) {
	t.Helper()
	storetest.RunAt(t, storetest.Start(), func(t *testing.T, st *store.Store, clock *storetest.Clock) { fn(t, newSite(t, st, clock)) })
}

// onOne runs a test on SQLite.
func onOne(t *testing.T) *site {
	t.Helper()
	clock := storetest.NewClock(storetest.Start())
	return newSite(t, storetest.OpenURL(t, filepath.Join(t.TempDir(), "test.db"), clock.Now), clock)
}

func (s *site) order(number string, lines ...license.OrderLine) {
	s.t.Helper()
	if _, err := s.ImportOrder(s.t.Context(), admin, "", license.Order{Number: number, Account: s.account.Name, Lines: lines}); err != nil {
		s.t.Fatalf("import order %s: %v", number, err)
	}
}

func line(tag license.Tag, n int64) license.OrderLine {
	return license.OrderLine{Tag: tag, Quantity: n}
}

func (s *site) token(want authority.NewToken) string {
	s.t.Helper()
	_, text, err := s.CreateToken(s.t.Context(), admin, s.account.ID, want)
	if err != nil {
		s.t.Fatalf("create token: %v", err)
	}
	return text.Reveal()
}

// row finds one pool in the license list.
func (s *site) row(tag license.Tag) authority.LicenseRow {
	s.t.Helper()
	rows, err := s.Licenses(s.t.Context(), admin, s.account.ID, "Default")
	if err != nil {
		s.t.Fatalf("list licenses: %v", err)
	}
	for _, r := range rows {
		if r.Tag == tag {
			return r
		}
	}
	return authority.LicenseRow{}
}

// check verifies the account's books.
func (s *site) check() {
	s.t.Helper()
	v, err := s.VerifyEvents(s.t.Context(), admin, s.account.ID)
	if err != nil || len(v.Problems) > 0 {
		s.t.Fatalf("books of the account: %v, %v", v.Problems, err)
	}
}

// product speaks the protocol by hand, so that every byte of it can be bent.
type product struct {
	site     *site
	key      *ecdsa.PrivateKey
	serial   string
	nonce    string
	requests int // for reservations, that it remembers
	instance string
	number   int64
	sent     int
}

func (s *site) product(serial string) *product {
	return &product{site: s, key: trust.NewProductKey(), serial: serial, nonce: "nonce-of-product-" + serial}
}

func (p *product) registration(token string, force bool) []byte {
	p.site.t.Helper()
	csr, err := trust.NewCSR(p.key)
	if err != nil {
		p.site.t.Fatalf("make request: %v", err)
	}
	return p.seal(trust.Header{Kind: wire.KindRegister, Audience: wire.Audience}, true, wire.Register{
		Token: token, CSR: csr, Force: force, Requests: p.requests, Nonce: p.nonce, Product: wire.Product{Name: "Test product", PID: "TEST", Serial: p.serial, Version: "1.0", Hostname: "host-" + p.serial},
	})
}

func (p *product) seal(h trust.Header, embed bool, message any) []byte {
	p.site.t.Helper()
	payload, err := json.Marshal(message)
	if err != nil {
		p.site.t.Fatalf("encode: %v", err)
	}
	envelope, err := trust.SealProduct(p.key, h, embed, payload)
	if err != nil {
		p.site.t.Fatalf("seal: %v", err)
	}
	return envelope
}

// open opens an answer of the authority.
func (p *product) open(envelope []byte, audience string, into any) (kind string, err error) {
	e, err := trust.OpenAuthority(envelope, []string{wire.KindRegistered, wire.KindAuthorized, wire.KindRenewed, wire.KindDeregistered, wire.KindRefusal}, audience,
		trust.Pins{Root: p.site.Keys().Fingerprint(), Signers: [][][]byte{p.site.Keys().SignerChain()}}, p.site.clock.Now())
	if err != nil {
		return "", err
	}
	return e.Header.Kind, json.Unmarshal(e.Payload, into)
}

func (p *product) register(ctx context.Context, token string, force bool) (wire.Registered, error) {
	var m wire.Registered
	answer, err := p.site.Machine(ctx, "register", p.registration(token, force))
	if err != nil {
		return m, err
	}
	if _, err := p.open(answer, p.nonce, &m); err != nil {
		return m, fmt.Errorf("open registration: %w", err)
	}
	p.instance, p.number = m.Instance, m.Number
	return m, nil
}

// mustRegister registers with a new token.
func (p *product) mustRegister() *product {
	p.site.t.Helper()
	if _, err := p.register(p.site.t.Context(), p.site.token(authority.NewToken{}), false); err != nil {
		p.site.t.Fatalf("register %s: %v", p.serial, err)
	}
	return p
}

func (p *product) header(kind string, number int64) trust.Header {
	return trust.Header{Kind: kind, KeyID: p.site.account.ID + "/" + p.instance, Audience: wire.Audience, Number: number}
}

// report makes the envelope of a usage report.
func (p *product) report(number int64, usage ...wire.Usage) []byte {
	p.sent++
	return p.seal(p.header(wire.KindAuthorize, number), false, wire.Authorize{Nonce: fmt.Sprintf("nonce-of-report-%06d", p.sent), Usage: usage})
}

// authorize reports use with the next number.
func (p *product) authorize(ctx context.Context, usage ...wire.Usage) (wire.Authorized, error) {
	var m wire.Authorized
	answer, err := p.site.Machine(ctx, "authorize", p.report(p.number+1, usage...))
	if err != nil {
		return m, err
	}
	p.number++
	_, err = p.open(answer, p.instance, &m)
	return m, err
}

func (p *product) must(usage ...wire.Usage) wire.Authorized {
	p.site.t.Helper()
	m, err := p.authorize(p.site.t.Context(), usage...)
	if err != nil {
		p.site.t.Fatalf("authorize %s: %v", p.serial, err)
	}
	return m
}

func use(tag license.Tag, n int64) wire.Usage { return wire.Usage{Tag: tag, Count: n} }

// wantRefusal checks the code of a refusal.
func wantRefusal(t testing.TB, err error, code string) {
	t.Helper()
	e := license.AsError(err)
	if e == nil || e.Code != code {
		t.Fatalf("got error %v, want the refusal %q", err, code)
	}
	if e.Message == "" || e.Hint == "" {
		t.Errorf("the refusal %q says %q and hints %q; both are needed", code, e.Message, e.Hint)
	}
}

const day = 24 * time.Hour
