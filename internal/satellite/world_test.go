package satellite_test

import (
	"cmp"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

var admin = access.Person{ID: "key_test", Name: "test", Role: access.Administrator, Account: access.Site}

const smp = license.Tag("cms-smp-plus")

// desk is a server: an authority or a satellite, on a real store.
type desk struct {
	t    testing.TB
	keys string // folder
	*authority.Authority
	*satellite.Sync
	store *store.Store
}

// world is an authority with an account, and its satellites.
type world struct {
	t       testing.TB
	clock   *storetest.Clock
	top     *desk
	account authority.Account
}

func newWorld(t testing.TB, address string) *world {
	t.Helper()
	clock := storetest.NewClock(storetest.Start())
	keys := t.TempDir()
	k, err := trust.OpenKeys(keys, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, clock: clock, top: openDesk(t, keys, k, storetest.OpenURL(t, address, clock.Now), clock, "authority.example")}
	if w.account, err = w.top.CreateAccount(t.Context(), admin, "acme.example"); err != nil {
		t.Fatal(err)
	}
	return w
}

func openDesk(t testing.TB, dir string, keys *trust.Keys, st *store.Store, clock *storetest.Clock, host string) *desk {
	a := authority.New(authority.Options{Store: st, Keys: keys, Catalog: license.DefaultCatalog(), Now: clock.Now})
	return &desk{t: t, keys: dir, store: st, Authority: a, Sync: satellite.New(satellite.Options{Authority: a, Now: clock.Now, Hosts: []string{host}, Version: "test"})}
}

// invite makes a satellite at the authority and returns its token.
func (w *world) invite(name string, vas ...string) (satellite.Satellite, string) {
	w.t.Helper()
	made, token, err := w.top.Create(w.t.Context(), admin, w.account.ID, satellite.NewSatellite{Name: name, VirtualAccounts: vas})
	if err != nil {
		w.t.Fatalf("create satellite: %v", err)
	}
	return made, token.Reveal()
}

// join makes a server on a fresh store a satellite.
func (w *world) join(token, address string) *desk {
	w.t.Helper()
	return w.joinWith(token, storetest.OpenURL(w.t, address, w.clock.Now), w.t.TempDir())
}

func (w *world) joinWith(token string, st *store.Store, dir string) *desk {
	w.t.Helper()
	j := w.joinerOn(st, dir)
	file, err := j.Request(w.t.Context(), token)
	if err != nil {
		w.t.Fatalf("make request: %v", err)
	}
	reply, err := w.top.Answer(w.t.Context(), file, satellite.File)
	if err != nil {
		w.t.Fatalf("answer join: %v", err)
	}
	if _, err := j.Complete(w.t.Context(), reply); err != nil {
		w.t.Fatalf("complete join: %v\n%s", err, reply)
	}
	return w.reopen(st, dir)
}

// joiner is a server on a fresh store that is about to join.
func (w *world) joiner(address, dir string) satellite.Joiner {
	w.t.Helper()
	return w.joinerOn(storetest.OpenURL(w.t, address, w.clock.Now), dir)
}

func (w *world) joinerOn(st *store.Store, dir string) satellite.Joiner {
	return satellite.Joiner{Store: st, Keys: dir, Catalog: license.DefaultCatalog(), Hosts: []string{"plant.example"}, Version: "test", Now: w.clock.Now}
}

func (w *world) reopen(st *store.Store, dir string) *desk {
	w.t.Helper()
	keys, err := trust.OpenKeys(dir, w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return openDesk(w.t, dir, keys, st, w.clock, "plant.example")
}

// reopenTop is the authority on another database, with the keys that it has.
func (w *world) reopenTop(path string) *desk {
	w.t.Helper()
	keys, err := trust.OpenKeys(w.top.keys, w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return openDesk(w.t, w.top.keys, keys, storetest.OpenURL(w.t, path, w.clock.Now), w.clock, "authority.example")
}

// sync does one whole exchange and fails when it is refused.
func (w *world) sync(d *desk) satellite.Applied {
	w.t.Helper()
	out, err := w.exchange(d)
	if err != nil {
		w.t.Fatalf("exchange: %v", err)
	}
	return out
}

// exchange does one whole exchange; a refusal of the authority is applied all the same.
func (w *world) exchange(d *desk) (satellite.Applied, error) {
	w.t.Helper()
	file, err := d.Export(w.t.Context(), admin, w.account.ID, satellite.File)
	if err != nil {
		w.t.Fatalf("export: %v", err)
	}
	reply, refused := w.top.Answer(w.t.Context(), file, satellite.File)
	if reply == nil {
		return satellite.Applied{}, refused
	}
	out, err := d.Apply(w.t.Context(), admin, w.account.ID, reply, satellite.File)
	if err != nil {
		w.t.Fatalf("apply: %v\n%s", err, reply)
	}
	return out, refused
}

func (w *world) order(number, va string, n int64) {
	w.t.Helper()
	_, err := w.top.ImportOrder(w.t.Context(), admin, "", license.Order{
		Number: number, Account: w.account.Name, Lines: []license.OrderLine{{Tag: smp, Quantity: n, VirtualAccount: va}},
	})
	if err != nil {
		w.t.Fatalf("import order: %v", err)
	}
}

// row is one pool of a desk.
func (w *world) row(d *desk, va string) authority.LicenseRow {
	w.t.Helper()
	rows, err := d.Licenses(w.t.Context(), admin, w.account.ID, va)
	if err != nil {
		w.t.Fatalf("list licenses: %v", err)
	}
	for _, r := range rows {
		if r.Tag == smp {
			return r
		}
	}
	return authority.LicenseRow{}
}

// check verifies the books of desks.
func (w *world) check(desks ...*desk) {
	w.t.Helper()
	for i, d := range append(desks, w.top) {
		v, err := d.VerifyEvents(w.t.Context(), admin, w.account.ID)
		if err != nil || len(v.Problems) > 0 {
			w.t.Fatalf("books of desk %d: %v, %v", i, v.Problems, err)
		}
	}
}

// product speaks the protocol by hand.
type product struct {
	t                 testing.TB
	desk              *desk
	clock             *storetest.Clock
	key               *ecdsa.PrivateKey
	serial, host      string
	account, instance string
	nonce             string // of its registration
	number            int64
	unheard           func() error         // says again what was not answered; nil for nothing
	sent              func(into any) error // sends the last message again, byte for byte
	va                string
	last              [][]byte // whose word it took last
	identity          [][]byte // its certificate and the chain above it
	requests          int      // for reservations, that it remembers
}

// register registers a new product at a desk.
func (w *world) register(d *desk, va, serial string) *product {
	w.t.Helper()
	_, token, err := d.CreateToken(w.t.Context(), admin, w.account.ID, authority.NewToken{VirtualAccount: va})
	if err != nil {
		w.t.Fatalf("create token: %v", err)
	}
	p := w.product(serial)
	p.desk = d
	answer, err := p.ask(token.Reveal())
	if err != nil {
		w.t.Fatalf("register: %v", err)
	}
	p.instance, p.number, p.va = answer.Instance, answer.Number, answer.VirtualAccount.ID
	p.identity = append([][]byte{answer.Certificate}, p.last[1:]...)
	return p
}

// product is a new installation, of an old machine perhaps.
func (w *world) product(serial string) *product {
	return &product{t: w.t, clock: w.clock, key: trust.NewProductKey(), serial: serial, host: "host-" + serial + ".internal", account: w.account.ID, nonce: "nonce-of-registration-" + trust.NewID("ins", w.clock.Now())}
}

func (p *product) ask(token string) (wire.Registered, error) {
	p.t.Helper()
	p.nonce = cmp.Or(p.nonce, "nonce-of-registration-"+p.serial)
	csr, err := trust.NewCSR(p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	m := wire.Register{Token: token, CSR: csr, Product: wire.Product{Name: "Call Bridge", PID: "CMS", Serial: p.serial, Version: "2.6", Hostname: p.host}, Nonce: p.nonce}
	var out wire.Registered
	return out, p.send("register", wire.KindRegister, "", p.nonce, 0, m, &out)
}

// introduce brings the product's certificate in place of a token.
func (p *product) introduce() error {
	p.t.Helper()
	csr, err := trust.NewCSR(p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	nonce := "nonce-of-introduction-" + p.serial
	m := wire.Register{Identity: p.identity, VirtualAccount: p.va, Requests: p.requests, CSR: csr, Product: wire.Product{Name: "Call Bridge", PID: "CMS", Serial: p.serial, Version: "2.6", Hostname: p.host}, Nonce: nonce}
	var out wire.Registered
	if err := p.send("register", wire.KindRegister, "", nonce, 0, m, &out); err != nil {
		return err
	}
	if out.Instance != p.instance || out.Account.ID != p.account {
		p.t.Errorf("the product %s was brought back as %s of %s", p.instance, out.Instance, out.Account.ID)
	}
	chain := append([][]byte{out.Certificate}, p.last[1:]...)
	if _, err := trust.VerifyInstance(chain, p.desk.Keys().Fingerprint(), p.clock.Now()); err != nil {
		p.t.Errorf("the certificate that it got does not fit its chain: %v", err)
	}
	p.identity = chain
	return nil
}

// send does one exchange and opens what comes back as a product does: by the root, and by whose word it took last.
func (p *product) send(verb, kind, keyID, audience string, number int64, m, into any) error {
	p.t.Helper()
	payload, err := json.Marshal(m)
	if err != nil {
		p.t.Fatal(err)
	}
	envelope, err := trust.SealProduct(p.key, trust.Header{Kind: kind, KeyID: keyID, Audience: wire.Audience, Number: number}, verb == "register", payload)
	if err != nil {
		p.t.Fatal(err)
	}
	p.sent = func(into any) error { return p.carry(verb, envelope, audience, into) }
	return p.sent(into)
}

// carry carries an envelope to the desk and opens the answer.
func (p *product) carry(verb string, envelope []byte, audience string, into any) error {
	p.t.Helper()
	answer, refused := p.desk.Machine(p.t.Context(), verb, envelope)
	if answer == nil {
		return refused
	}
	pins := trust.Pins{Root: p.desk.Keys().Fingerprint(), Site: trust.AnySite, Last: p.last, Account: p.account}
	e, err := trust.OpenAuthority(answer, []string{wire.KindRegistered, wire.KindAuthorized, wire.KindRenewed, wire.KindRefusal}, audience, pins, p.clock.Now())
	if err != nil {
		return fmt.Errorf("open answer to %s: %w", verb, err)
	}
	p.last = e.Signer
	if refused != nil {
		return refused
	}
	return json.Unmarshal(e.Payload, into)
}

// report reports use.
func (p *product) report(n int64) (wire.Authorized, error) {
	p.t.Helper()
	p.number++
	var out wire.Authorized
	return out, p.send("authorize", wire.KindAuthorize, p.account+"/"+p.instance, p.instance, p.number,
		wire.Authorize{Nonce: fmt.Sprintf("nonce-of-report-%s-%06d", p.serial, p.number), Usage: []wire.Usage{{Tag: smp, Count: n}}, Hostname: p.host}, &out)
}

// renew gets a new certificate, and checks that it fits the chain that comes with it.
func (p *product) renew() error {
	p.t.Helper()
	csr, err := trust.NewCSR(p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.number++
	var out wire.Registered
	m := wire.Renew{Nonce: fmt.Sprintf("nonce-of-renewal-%s-%06d", p.serial, p.number), CSR: csr}
	if err := p.send("renew", wire.KindRenew, p.account+"/"+p.instance, p.instance, p.number, m, &out); err != nil {
		return err
	}
	_, err = trust.VerifyInstance(append([][]byte{out.Certificate}, p.last[1:]...), p.desk.Keys().Fingerprint(), p.clock.Now())
	return err
}

func (p *product) mustReport(n int64, want license.AuthorizationStatus) {
	p.t.Helper()
	got, err := p.report(n)
	if err != nil || got.Status != want {
		p.t.Fatalf("report of %d: %v, %v; want %v", n, got.Status, err, want)
	}
}

// onBoth runs a test with authority and satellite on each kind of database.
func onBoth(t *testing.T, fn func(t *testing.T, w *world, address string)) {
	t.Helper()
	t.Run(store.SQLite, func(t *testing.T) {
		t.Parallel()
		fn(t, newWorld(t, filepath.Join(t.TempDir(), "top.db")), filepath.Join(t.TempDir(), "sat.db"))
	})
	t.Run(store.Postgres, func(t *testing.T) {
		t.Parallel()
		fn(t, newWorld(t, storetest.PostgresURL(t)), storetest.PostgresURL(t))
	})
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if e := license.AsError(err); e == nil || e.Code != code {
		t.Errorf("got %v, want a refusal %q", err, code)
	}
}

// join0 joins a satellite at a path and closes its database.
func (w *world) join0(token, path, keys string) {
	w.t.Helper()
	st := storetest.OpenURL(w.t, path, w.clock.Now)
	w.joinWith(token, st, keys)
	if err := st.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reopenAt(path, keys string) *desk {
	w.t.Helper()
	return w.reopen(storetest.OpenURL(w.t, path, w.clock.Now), keys)
}

// backup copies a satellite's closed database and opens it again.
func (w *world) backup(sat *desk, path *string, backup, keys string) *desk {
	w.t.Helper()
	if err := sat.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	copyFile(w.t, *path, backup)
	return w.reopenAt(*path, keys)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
