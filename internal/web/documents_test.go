package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// committed compares a document with the committed copy, or writes that with -update.
func committed(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatalf("write document: %v", err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read committed document: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what this source makes: run go test ./internal/web -update", path)
	}
}

func TestOpenAPIIsCommitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call("GET", "/api/v1/openapi.json", "")
	var document struct {
		OpenAPI string
		Paths   map[string]any
	}
	if err := json.Unmarshal(a.body, &document); err != nil || document.OpenAPI != "3.1.0" || len(document.Paths) < 20 {
		t.Fatalf("got %d %.200s: %v", a.status, a.body, err)
	}
	for _, stranger := range []string{"ErrorModel", "$schema", "octet-stream"} {
		if bytes.Contains(a.body, []byte(stranger)) {
			t.Errorf("the document speaks of %s", stranger)
		}
	}
	committed(t, "../../docs/openapi.json", a.body)
	page, err := os.ReadFile("../../docs/rest.md")
	if err != nil {
		t.Fatal(err)
	}
	for path := range document.Paths {
		if rest, ok := strings.CutPrefix(path, "/api/v1/accounts/{account}/conference"); ok && !bytes.Contains(page, []byte("`…"+rest+"`")) {
			t.Errorf("docs/rest.md has no line on %s", path)
		}
	}
}

// TestProtocolExamples fills the examples of the protocol page from real exchanges. Chance and clock are fixed, so that
// they come out the same each time.
func TestProtocolExamples(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 2026)
	w := newWorld(t)
	ctx := t.Context()
	acme := w.account("acme.example")
	token := must(w.CreateToken(ctx, acme.ID, "Default", api.NewToken{}))(t)
	p := &product{world: w, key: trust.NewProductKey(), account: acme.ID}
	examples := map[string]string{}
	var signer string
	exchange := func(name, verb string, envelope []byte) {
		a := p.exchange(verb, envelope)
		var header struct {
			KeyID string `json:"kid"`
		}
		examples[name+"-header"], examples[name] = part(t, envelope, 0, nil), part(t, envelope, 1, nil)
		examples[name+"-answer-header"], examples[name+"-answer"] = part(t, a.body, 0, &header), part(t, a.body, 1, nil)
		examples[name+"-envelope"], examples[name+"-answer-envelope"] = string(envelope), string(a.body)
		signer = header.KeyID
	}
	product := wire.Product{Name: "Expressway", PID: "EXP-E", Serial: "FOC2317A0B1", Version: "15.2", Hostname: "edge1.acme.example"}
	exchange("register", "register", p.seal(wire.KindRegister, 0, wire.Register{Token: token.Token, CSR: csrOf(t, p), Product: product, Force: true, Nonce: testNonce}))
	in := must(w.Instance(ctx, acme.ID, product.Serial))(t)
	p.instance = in.ID
	hour := storetest.Start().Add(-time.Hour)
	exchange("authorize", "authorize", p.seal(wire.KindAuthorize, 1, wire.Authorize{
		Nonce: testNonce, Usage: []wire.Usage{{Tag: "cms-smp-plus", Count: 4}}, Version: "15.2.1", Hostname: product.Hostname, Signer: signer,
		Intervals: []wire.Interval{{Tag: "cms-smp-plus", From: hour, To: hour.Add(time.Hour), Peak: 5}},
	}))
	exchange("renew", "renew", p.seal(wire.KindRenew, 2, wire.Renew{Nonce: testNonce, CSR: csrOf(t, p)}))
	exchange("refusal", "authorize", p.seal(wire.KindAuthorize, 1, wire.Authorize{Nonce: testNonce}))
	exchange("deregister", "deregister", p.seal(wire.KindDeregister, 3, wire.Deregister{Nonce: testNonce}))
	exchange("hello", "hello", must(trust.SealProduct(p.key, trust.Header{Kind: wire.KindHello, Audience: wire.Audience}, true, []byte(`{"nonce":"`+testNonce+`"}`)))(t))
	examples["unsigned"] = indented(t, p.exchange("authorize", []byte("{}")).body)

	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	page = regexp.MustCompile("(?s)<!-- example ([a-z-]+) -->\n(```[a-z]*\n).*?```").ReplaceAllFunc(page, func(block []byte) []byte {
		head, rest, _ := bytes.Cut(block, []byte(" -->\n"))
		name := string(bytes.TrimPrefix(head, []byte("<!-- example ")))
		fence, _, _ := bytes.Cut(rest, []byte("\n"))
		text, ok := examples[name]
		if !ok {
			t.Errorf("the page asks for the example %q, which no exchange makes", name)
		}
		used++
		return []byte(string(head) + " -->\n" + string(fence) + "\n" + strings.TrimSpace(text) + "\n```")
	})
	if used < 12 {
		t.Errorf("the page has %d examples", used)
	}
	committed(t, "../../docs/protocol.md", page)
}

// part shows the header (0) or the payload (1) of an envelope for people: long values are cut.
func part(t *testing.T, envelope []byte, n int, into any) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(string(envelope), ".")[n])
	if err != nil {
		t.Fatalf("envelope %s: %v", envelope, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	return regexp.MustCompile(`"([A-Za-z0-9+/=_-]{40})[A-Za-z0-9+/=_-]{60,}"`).ReplaceAllString(indented(t, text), `"$1…"`)
}

func indented(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b.String()
}

// TestProtocolNamesEveryField looks for each member of each message on the protocol page.
func TestProtocolNamesEveryField(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	now := storetest.Start()
	for _, message := range []any{
		wire.Register{Force: true, Product: wire.Product{Version: "x", Hostname: "x"}}, wire.Registered{}, wire.Renew{}, wire.Deregister{}, wire.Deregistered{},
		wire.Authorize{Usage: []wire.Usage{{}}, Version: "x", Hostname: "x", Signer: "x", Intervals: []wire.Interval{{}}},
		wire.Authorized{Tags: []wire.TagAnswer{{}}}, wire.Refusal{Hint: "x", Number: 1, ServerTime: now},
	} {
		text, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range regexp.MustCompile(`"([a-zA-Z]+)":`).FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(page), "`"+member[1]+"`") || !strings.Contains(string(page), `"`+member[1]+`"`) {
				t.Errorf("%T: the member %s is not described, or has no example", message, member[1])
			}
		}
	}
}
