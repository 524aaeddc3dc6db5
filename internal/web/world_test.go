package web

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

var update = flag.Bool("update", false, "write the committed documents anew")

// world is a whole server on a real store, with a client that has the first administrator's key.
type world struct {
	*api.Client
	t      *testing.T
	face   *server
	url    string
	key    string
	clock  *storetest.Clock
	desk   *authority.Authority
	engine *conference.Engine
	log    *logBook
	close  func() error // of the store
}

// newWorld makes a world on SQLite.
func newWorld(t *testing.T) *world {
	t.Helper()
	return worldAt(t, filepath.Join(t.TempDir(), "tally.db"))
}

// worldAt makes a world on the database at an address. Every answer below /api is checked against the OpenAPI document.
func worldAt(t *testing.T, address string) *world {
	t.Helper()
	w := &world{t: t, clock: storetest.NewClock(storetest.Start()), log: &logBook{}}
	st := storetest.OpenURL(t, address, w.clock.Now)
	w.close = st.Close
	keys, err := trust.OpenKeys(t.TempDir(), w.clock.Now())
	if err != nil {
		t.Fatalf("open keys: %v", err)
	}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.desk = authority.New(authority.Options{Store: st, Keys: keys, Catalog: license.DefaultCatalog(), Log: log, Now: w.clock.Now})
	o := conference.Options{Store: st, Now: w.clock.Now, Log: log, Version: "test", Keys: keys}
	always(&o.Transport, inProcess{w.desk})
	w.engine = conference.New(o)
	w.face = newServer(Options{Authority: w.desk, Conference: w.engine, Log: log, Now: w.clock.Now, Version: "test"})
	server := httptest.NewServer(&inspector{t, w.face})
	t.Cleanup(server.Close)
	secret, err := w.desk.Bootstrap(t.Context(), false)
	if err != nil {
		t.Fatalf("bootstrap: %v", err)
	}
	w.url, w.key = server.URL, secret.Reveal()
	if w.Client, err = api.New(api.Config{URL: w.url, Key: w.key}); err != nil {
		t.Fatalf("make client: %v", err)
	}
	return w
}

// always sets a function that returns v, whose interface type this package has no name for.
func always[T any](f *func(string) T, v any) { *f = func(string) T { return v.(T) } }

// inProcess carries the conference engine's envelopes to the desk.
type inProcess struct{ desk *authority.Authority }

func (p inProcess) Exchange(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	answer, err := p.desk.Machine(ctx, verb, envelope)
	if answer != nil {
		return answer, nil
	}
	return nil, err
}

// logBook keeps what was logged.
type logBook struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// inspector compares every JSON answer with the schema that the OpenAPI document has for it: no member too many, none
// missing, none null that may not be.
type inspector struct {
	t    *testing.T
	face *server
}

func (i *inspector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	i.face.ServeHTTP(rec, r)
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	i.inspect(r, rec)
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (i *inspector) inspect(r *http.Request, rec *httptest.ResponseRecorder) {
	method, path, _ := strings.Cut(r.Pattern, " ")
	document := i.face.rest.OpenAPI()
	item := document.Paths[path]
	kind, _, _ := strings.Cut(rec.Header().Get("Content-Type"), ";")
	if item == nil || !strings.HasSuffix(kind, "json") {
		return
	}
	op := map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete}[method]
	answer := op.Responses[map[int]string{200: "200", 201: "201"}[rec.Code]]
	if answer == nil {
		answer = op.Responses["default"]
	}
	content := answer.Content[kind]
	if content == nil {
		i.t.Errorf("%s answered %d with %s, which the OpenAPI document does not have", r.Pattern, rec.Code, kind)
		return
	}
	var v any
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		i.t.Errorf("%s answered no JSON: %v", r.Pattern, err)
		return
	}
	var res huma.ValidateResult
	huma.Validate(document.Components.Schemas, content.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, &res)
	for _, err := range res.Errors {
		i.t.Errorf("%s answered %s, which is not as documented: %v", r.Pattern, rec.Body, err)
	}
}

// answered is what a raw request got.
type answered struct {
	status int
	header http.Header
	body   []byte
}

// raw sends a request as it is. headers are pairs of name and value.
func (w *world) raw(method, path string, body []byte, headers ...string) answered {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: read answer: %v", method, path, err)
	}
	return answered{resp.StatusCode, resp.Header, text}
}

// call is raw with the key and a JSON body.
func (w *world) call(method, path, body string, headers ...string) answered {
	w.t.Helper()
	return w.raw(method, path, []byte(body), append([]string{"Authorization", "Bearer " + w.key, "Content-Type", "application/json"}, headers...)...)
}

// problem reads an answer that must be a problem document.
func (a answered) problem(t *testing.T) api.Problem {
	t.Helper()
	var p api.Problem
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || a.header.Get("Content-Type") != problemType || p.Status != a.status || p.Code == "" || p.Detail == "" {
		t.Fatalf("got %d %s %s (%v), want a problem document", a.status, a.header.Get("Content-Type"), a.body, err)
	}
	return p
}

// account makes an account with an order of three shared licenses.
func (w *world) account(name string) api.Account {
	w.t.Helper()
	made, err := w.CreateAccount(w.t.Context(), name)
	if err != nil {
		w.t.Fatalf("create account: %v", err)
	}
	order := `{"order":"SO-1","account":"` + name + `","lines":[{"tag":"cms-smp-plus","quantity":3}]}`
	if _, err := w.ImportOrders(w.t.Context(), name, []byte(order)); err != nil {
		w.t.Fatalf("import order: %v", err)
	}
	return made
}

// product speaks the protocol of products by hand.
type product struct {
	*world
	key      *ecdsa.PrivateKey
	account  string
	instance string
	number   int64
}

const testNonce = "nonce-of-the-test-01"

func (p *product) seal(kind string, number int64, message any) []byte {
	p.t.Helper()
	payload, err := json.Marshal(message)
	if err != nil {
		p.t.Fatalf("encode %s: %v", kind, err)
	}
	h := trust.Header{Kind: kind, Audience: wire.Audience, Number: number}
	if p.instance != "" {
		h.KeyID = p.account + "/" + p.instance
	}
	envelope, err := trust.SealProduct(p.key, h, kind == wire.KindRegister, payload)
	if err != nil {
		p.t.Fatalf("seal %s: %v", kind, err)
	}
	return envelope
}

// exchange posts an envelope to the gate.
func (p *product) exchange(verb string, envelope []byte) answered {
	p.t.Helper()
	return p.raw("POST", "/machine/v1/"+verb, envelope, "Content-Type", "application/jose")
}

// open verifies an answer of the authority and reads its message.
func (p *product) open(a answered, kind, audience string, into any) {
	p.t.Helper()
	if a.header.Get("Content-Type") != "application/jose" {
		p.t.Fatalf("got %d %s, want an envelope", a.status, a.body)
	}
	pins := trust.Pins{Root: p.desk.Keys().Fingerprint(), Signers: [][][]byte{p.desk.Keys().SignerChain()}}
	e, err := trust.OpenAuthority(a.body, []string{kind}, audience, pins, p.clock.Now())
	if err != nil {
		p.t.Fatalf("open answer: %v", err)
	}
	if err := json.Unmarshal(e.Payload, into); err != nil {
		p.t.Fatalf("read answer: %v", err)
	}
}

func (p *product) registration(token, serial string) []byte {
	p.t.Helper()
	csr, err := trust.NewCSR(p.key)
	if err != nil {
		p.t.Fatalf("make certificate request: %v", err)
	}
	return p.seal(wire.KindRegister, 0, wire.Register{
		Token: token, CSR: csr, Nonce: testNonce,
		Product: wire.Product{Name: "Expressway", PID: "EXP-E", Serial: serial, Version: "15.2", Hostname: "edge1.acme.example"},
	})
}

// register registers a product with a new token of the default virtual account.
func (w *world) register(account api.Account, serial string) *product {
	w.t.Helper()
	token, err := w.CreateToken(w.t.Context(), account.ID, "Default", api.NewToken{})
	if err != nil {
		w.t.Fatalf("create token: %v", err)
	}
	p := &product{world: w, key: trust.NewProductKey(), account: account.ID}
	var m wire.Registered
	p.open(p.exchange("register", p.registration(token.Token, serial)), wire.KindRegistered, testNonce, &m)
	p.instance = m.Instance
	return p
}

// report says what the product uses and returns the answer.
func (p *product) report(tag license.Tag, n int64) wire.Authorized {
	p.t.Helper()
	p.number++
	var m wire.Authorized
	a := p.exchange("authorize", p.seal(wire.KindAuthorize, p.number, wire.Authorize{Nonce: testNonce, Usage: []wire.Usage{{Tag: tag, Count: n}}}))
	p.open(a, wire.KindAuthorized, p.instance, &m)
	return m
}
