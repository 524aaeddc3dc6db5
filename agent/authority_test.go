package agent

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests move: a machine with its time of day and its time since the start.
type clock struct {
	mu   sync.Mutex
	t    time.Time
	up   time.Duration
	boot int
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) uptime() (string, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint("boot ", c.boot), c.up
}

// add lets time pass; less than none is a clock that is set back.
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t, c.up = c.t.Add(d), c.up+max(d, 0)
}

// jump sets the time of day.
func (c *clock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// restart is the machine started again after it was off for a time.
func (c *clock) restart(off time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t, c.up, c.boot = c.t.Add(off), 0, c.boot+1
}

// memory is a Keeper without a disk, for tests of long times.
type memKeeper struct {
	lock  chan struct{}
	mu    sync.Mutex
	raw   []byte
	saves int
	fail  error
}

func newMemory() *memKeeper { return &memKeeper{lock: make(chan struct{}, 1)} }

func (m *memKeeper) Load(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.raw, nil
}

func (m *memKeeper) Save(_ context.Context, raw []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.raw, m.saves = raw, m.saves+1
	return nil
}

func (m *memKeeper) Lock(context.Context) (func(), error) {
	m.lock <- struct{}{}
	return func() { <-m.lock }, nil
}

// desk stands in for an authority: real keys and envelopes, the protocol of numbers and nonces, and one virtual account.
type desk struct {
	t     testing.TB
	keys  *trust.Keys
	now   func() time.Time
	stock map[license.Tag]int64

	mu        sync.Mutex
	uses      int // of the token
	instances map[string]*registered
	intervals map[wire.Interval]int
	seen      []string      // verb and number of every envelope that came
	told      wire.Register // the last of them to register

	// The trouble that tests make.
	away   error                                         // nothing comes in
	forgot bool                                          // its database was lost
	lose   int                                           // so many answers get lost
	change func(h *trust.Header, payload any)            // before sealing
	tamper func(verb string, reply []byte) []byte        // after sealing
	refuse func(verb string) (code string, number int64) // a signed No
}

type registered struct {
	id     string
	nonce  string
	name   trust.InstanceName
	key    *ecdsa.PublicKey
	number int64
	digest [32]byte
	reply  func() []byte // sealed each time, as an authority does that stores what it said and not how it signed
	usage  map[license.Tag]int64
	gone   bool
}

const account = "acc_00000000000000000000000001"

func newDesk(t testing.TB, now func() time.Time) *desk {
	t.Helper()
	keys, err := trust.OpenKeys(t.TempDir(), now())
	if err != nil {
		t.Fatal(err)
	}
	return &desk{
		t: t, keys: keys, now: now, stock: map[license.Tag]int64{}, instances: map[string]*registered{}, intervals: map[wire.Interval]int{},
	}
}

func (d *desk) token() string {
	d.t.Helper()
	token, err := trust.NewToken(account, "tok_00000000000000000000000001", d.keys.Fingerprint())
	if err != nil {
		d.t.Fatal(err)
	}
	return token.Text().Reveal()
}

// Exchange implements Transport.
func (d *desk) Exchange(_ context.Context, verb string, envelope []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away != nil {
		return nil, d.away
	}
	reply, err := d.answer(verb, envelope)
	if e, ok := errors.AsType[*Error](err); ok {
		return nil, e
	}
	if err != nil {
		d.t.Errorf("the agent sent what no authority can read: %s: %v", verb, err)
		return nil, err
	}
	if d.lose > 0 {
		d.lose--
		return nil, &Unreachable{Err: errors.New("connection reset")}
	}
	if d.tamper != nil {
		reply = d.tamper(verb, reply)
	}
	return reply, nil
}

func (d *desk) answer(verb string, envelope []byte) ([]byte, error) {
	h, err := trust.Peek(envelope)
	if err != nil {
		return nil, err
	}
	d.seen = append(d.seen, fmt.Sprint(verb, " ", h.Number))
	if verb == verbRegister {
		return d.register(envelope)
	}
	_, id, _ := strings.Cut(h.KeyID, "/")
	in := d.instances[id]
	if in == nil && d.forgot {
		return nil, license.Refuse(license.KindNotFound, wire.CodeUnknown, "register", "no instance %q", h.KeyID)
	}
	if in == nil {
		return nil, fmt.Errorf("no instance %q", h.KeyID)
	}
	e, err := trust.OpenProduct(envelope, h.Kind, wire.Audience, in.key)
	if err != nil {
		return nil, err
	}
	return d.numbered(verb, in, e)
}

func (d *desk) register(envelope []byte) ([]byte, error) {
	e, err := trust.OpenProduct(envelope, wire.KindRegister, wire.Audience, nil)
	if err != nil {
		return nil, err
	}
	var m wire.Register
	if err := wire.Decode(e.Payload, &m); err != nil {
		return nil, err
	}
	d.told = m
	csr, err := trust.ParseCSR(m.CSR)
	if err != nil {
		return nil, err
	}
	if !csr.PublicKey().Equal(e.EmbeddedKey()) {
		return nil, errors.New("the request is signed by another key")
	}
	if d.refuse != nil {
		if code, number := d.refuse(verbRegister); code != "" {
			return d.no(m.Nonce, m.Nonce, 0, code, number), nil
		}
	}
	if len(m.Identity) > 0 {
		return d.introduced(m, csr)
	}
	var in *registered
	for _, other := range d.instances {
		if other.nonce == m.Nonce && csr.PublicKey().Equal(other.key) {
			in = other
		}
	}
	if in == nil {
		d.uses++
		id := trust.NewID("ins", d.now())
		in = &registered{id: id, nonce: m.Nonce, key: csr.PublicKey(), name: trust.InstanceName{
			Account: account, Instance: id, Product: m.Product.Name, PID: m.Product.PID, Serial: m.Product.Serial,
		}}
		d.instances[in.id] = in
	}
	return d.seal(trust.Header{Kind: wire.KindRegistered, Audience: m.Nonce, Chain: d.keys.SignerChain()}, d.identity(in, csr, m.Nonce)), nil
}

// introduced takes a product by its certificate.
func (d *desk) introduced(m wire.Register, csr trust.CSR) ([]byte, error) {
	cert, err := trust.VerifyInstance(m.Identity, d.keys.Fingerprint(), d.now())
	if err != nil || m.Token != "" || !csr.PublicKey().Equal(cert.Key) || !cert.HasUDI(m.Product.PID, m.Product.Serial) {
		return nil, fmt.Errorf("an introduction with %q: %w", m.Token, err)
	}
	if own := d.keys.SignerChain(); !trust.SameIssuer(m.Identity, own) && !trust.Follows(own, m.Identity, cert.Account) {
		return d.no(m.Nonce, m.Nonce, 0, "identity-other-desk", 0), nil
	}
	in := &registered{id: cert.Instance, nonce: m.Nonce, key: csr.PublicKey(), name: trust.InstanceName{
		Account: cert.Account, Instance: cert.Instance, Product: m.Product.Name, PID: m.Product.PID, Serial: m.Product.Serial,
	}}
	d.instances[in.id] = in
	return d.seal(trust.Header{Kind: wire.KindRegistered, Audience: m.Nonce, Chain: d.keys.SignerChain()}, d.identity(in, csr, m.Nonce)), nil
}

func (d *desk) identity(in *registered, csr trust.CSR, nonce string) *wire.Registered {
	p := d.keys.PrepareInstance(csr, in.name, d.now())
	der, err := d.keys.SignInstance(p)
	if err != nil {
		d.t.Error(err)
	}
	return &wire.Registered{
		Nonce: nonce, Account: wire.Named{ID: account, Name: "acme.example"}, VirtualAccount: wire.Named{ID: "va_1", Name: "Default"},
		Instance: in.id, Certificate: der, ExpiresAt: p.NotAfter, Exported: true, ServerTime: d.now(), Number: in.number,
	}
}

func (d *desk) numbered(verb string, in *registered, e trust.Envelope) ([]byte, error) {
	var echo struct{ Nonce string }
	if err := json.Unmarshal(e.Payload, &echo); err != nil {
		return nil, err
	}
	n := e.Header.Number
	switch {
	case in.gone:
		return d.no(echo.Nonce, in.id, n, wire.CodeRemoved, 0), nil
	case n == in.number && e.Digest() == in.digest:
		return in.reply(), nil
	case n != in.number+1 && !(d.forgot && n > in.number):
		return d.no(echo.Nonce, in.id, n, wire.CodeNumber, in.number), nil
	}
	if d.refuse != nil {
		if code, number := d.refuse(verb); code != "" {
			return d.no(echo.Nonce, in.id, n, code, number), nil
		}
	}
	h := trust.Header{Audience: in.id, Number: n}
	var payload any
	known := "" // signer
	switch verb {
	case verbAuthorize:
		var m wire.Authorize
		if err := wire.Decode(e.Payload, &m); err != nil {
			return nil, err
		}
		for _, v := range m.Intervals {
			d.intervals[v]++
		}
		known = m.Signer
		h.Kind, payload = wire.KindAuthorized, d.authorize(in, m)
	case verbRenew:
		var m wire.Renew
		if err := wire.Decode(e.Payload, &m); err != nil {
			return nil, err
		}
		csr, err := trust.ParseCSR(m.CSR)
		if err != nil || !csr.PublicKey().Equal(in.key) {
			return nil, fmt.Errorf("renewal for another key: %w", err)
		}
		h.Kind, payload = wire.KindRenewed, d.identity(in, csr, m.Nonce)
	case verbDeregister:
		in.gone = true
		h.Kind, payload = wire.KindDeregistered, &wire.Deregistered{Nonce: echo.Nonce, ServerTime: d.now()}
	}
	in.number, in.digest = n, e.Digest()
	in.reply = func() []byte {
		if h.Chain = nil; known != d.keys.SignerThumbprint() {
			h.Chain = d.keys.SignerChain()
		}
		return d.seal(h, payload)
	}
	return in.reply(), nil
}

func (d *desk) authorize(in *registered, m wire.Authorize) *wire.Authorized {
	in.usage = map[license.Tag]int64{}
	out := &wire.Authorized{
		Nonce: m.Nonce, ServerTime: d.now(), Deadline: d.now().Add(license.AuthorizeLife), Account: "acme.example", VirtualAccount: "Default",
	}
	for _, u := range m.Usage {
		in.usage[u.Tag] = u.Count
	}
	pools := map[license.Tag]int64{}
	for _, other := range d.instances {
		for tag, n := range other.usage {
			pools[tag] += n
		}
	}
	var all []license.Pool
	for tag, demand := range pools {
		all = append(all, license.Pool{Tag: tag, Entitled: d.stock[tag], Demand: demand})
	}
	rows := license.Comply(license.DefaultCatalog(), all)
	out.Status = license.StatusOf(rows, in.usage)
	out.NextInSeconds = int64(license.NextAttempt(out.Status != license.StatusOutOfCompliance) / time.Second)
	for _, row := range rows {
		if n, ok := in.usage[row.Tag]; ok {
			out.Tags = append(out.Tags, wire.TagAnswer{
				Tag: row.Tag, Name: license.DefaultCatalog().Name(row.Tag), Requested: n, Entitled: row.Quantity, Shortage: row.Shortage,
				Status: row.Status, Why: row.Why,
			})
		}
	}
	return out
}

func (d *desk) no(nonce, audience string, number int64, code string, last int64) []byte {
	h := trust.Header{Kind: wire.KindRefusal, Audience: audience, Number: number, Chain: d.keys.SignerChain()}
	return d.seal(h, &wire.Refusal{
		Nonce: nonce, Code: code, Message: "the desk says no: " + code, Hint: "ask the desk", ServerTime: d.now(), Number: last,
	})
}

func (d *desk) seal(h trust.Header, payload any) []byte {
	if d.change != nil {
		d.change(&h, payload)
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		d.t.Error(err)
	}
	return d.keys.Seal(h, raw)
}

// only is the one instance that the desk knows.
func (d *desk) only() *registered {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for in := range maps.Values(d.instances) {
		if len(d.instances) == 1 {
			return in
		}
	}
	d.t.Fatalf("the desk has %d instances, want 1", len(d.instances))
	return nil
}

// product is an agent with the desk as its authority.
type product struct {
	*Agent
	t     testing.TB
	clock *clock
	desk  *desk
	keep  *memKeeper
}

const tag = "cms-smp-plus"

// newProduct is a product that is not registered; the desk's clock is the product's plus skew.
func newProduct(t testing.TB, skew time.Duration) *product {
	t.Helper()
	p := &product{t: t, clock: &clock{t: start}, keep: newMemory()}
	p.desk = newDesk(t, func() time.Time { return p.clock.now().Add(skew) })
	p.Agent = p.again()
	p.must(p.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1", Version: "3.9", Hostname: "bridge-1"}))
	return p
}

// again is a second agent over the same state.
func (p *product) again() *Agent {
	p.t.Helper()
	a, err := New(p.keep, Options{Transport: p.desk, Now: p.clock.now, Uptime: p.clock.uptime, Rand: func() float64 { return 0.5 }})
	p.must(err)
	p.t.Cleanup(func() { sameAsKept(p.t, a) })
	return a
}

func (p *product) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *product) register() {
	p.t.Helper()
	p.must(p.Register(p.t.Context(), p.desk.token(), false))
}

func (p *product) use(n int64) {
	p.t.Helper()
	p.must(p.SetUsage(p.t.Context(), tag, n))
}

func (p *product) status() Status {
	p.t.Helper()
	s, err := p.Status(p.t.Context())
	p.must(err)
	return s
}

func (p *product) wantAuth(want license.AuthorizationStatus) {
	p.t.Helper()
	if got := p.status().Authorization.Status; got != string(want) {
		p.t.Fatalf("authorization is %q, want %q", got, want)
	}
}

// steps does what Run would do now.
func (p *product) steps() {
	p.t.Helper()
	for {
		wait, err := p.Step(p.t.Context())
		p.must(err)
		if wait > 0 {
			return
		}
	}
}

func (p *product) report() Answer {
	p.t.Helper()
	a, err := p.Report(p.t.Context())
	p.must(err)
	return a
}

// wantCode fails unless err is a refusal with the code.
func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	e := license.AsError(err)
	if e == nil || e.Code != code {
		t.Fatalf("error is %v, want code %s", err, code)
	}
	if e.Message == "" || e.Hint == "" {
		t.Errorf("refusal %s lacks a message or a hint", code)
	}
}
