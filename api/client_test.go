package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
)

// serve starts a server on plain HTTP and returns a client of it.
func serve(t *testing.T, h http.HandlerFunc) *api.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := api.New(api.Config{URL: server.URL + "/", Key: "tally_key"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func reply(w http.ResponseWriter, status int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestRequestsCarryKeyAndName(t *testing.T) {
	t.Parallel()
	seen := make(chan *http.Request, 2)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Clone(context.Background())
		reply(w, 200, "application/json", `{"id":"va_1","name":"R&D / 7%"}`)
	})
	if _, err := c.VirtualAccount(t.Context(), "acme.example", "R&D / 7%"); err != nil {
		t.Fatal(err)
	}
	r := <-seen
	if got, want := r.URL.EscapedPath(), "/api/v1/accounts/acme.example/virtual-accounts/R&D%20%2F%207%25"; got != want {
		t.Errorf("path: got %s, want %s", got, want)
	}
	if r.Header.Get("Authorization") != "Bearer tally_key" || r.Header.Get("Idempotency-Key") != "" {
		t.Errorf("headers of a read: %v", r.Header)
	}
	if _, err := c.CreateVirtualAccount(t.Context(), "acme.example", "Labs"); err != nil {
		t.Fatal(err)
	}
	if r = <-seen; len(r.Header.Get("Idempotency-Key")) < 20 || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers of a write: %v", r.Header)
	}
}

func TestPagesAreFollowed(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		next := map[string]string{"": `"b c"`, "b c": `"d"`, "d": `""`}[r.URL.Query().Get("cursor")]
		if r.URL.Query().Get("limit") == "" || next == "" {
			reply(w, 500, "text/plain", r.URL.String())
			return
		}
		reply(w, 200, "application/json", `{"items":[{"id":"`+r.URL.Query().Get("cursor")+`"}],"next":`+next+`}`)
	})
	list := c.Accounts(t.Context())
	for range 2 { // a list can be asked for again
		all, err := api.Collect(list)
		if err != nil || len(all) != 3 || all[1].ID != "b c" || all[2].ID != "d" {
			t.Errorf("got %v, %v", all, err)
		}
	}
	for first, err := range list {
		if err != nil || first.ID != "" {
			t.Errorf("got %v, %v", first, err)
		}
		break
	}
}

func TestRefusalsAndAbsence(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/accounts/refused":
			reply(w, 422, "application/problem+json", `{"title":"x","status":422,"detail":"not so","code":"no","hint":"do"}`)
		case "/api/v1/accounts/proxy":
			reply(w, 502, "text/html", "<h1>Bad Gateway</h1>")
		case "/api/v1/accounts/elsewhere":
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		case "/api/v1/accounts/half":
			reply(w, 200, "application/json", `{"id":"acc`)
		}
	})
	_, err := c.Account(t.Context(), "refused")
	if p, ok := errors.AsType[*api.Problem](err); !ok || *p != (api.Problem{Title: "x", Status: 422, Detail: "not so", Code: "no", Hint: "do"}) || p.Error() != "not so" {
		t.Errorf("refused: got %v", err)
	}
	for _, name := range []string{"proxy", "elsewhere", "half"} {
		_, err := c.Account(t.Context(), name)
		if u, ok := errors.AsType[*api.Unreachable](err); !ok || u.URL == "" || strings.Contains(err.Error(), "tally_key") {
			t.Errorf("%s: got %v, want *Unreachable", name, err)
		}
	}
	gone, err := api.New(api.Config{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = gone.Account(t.Context(), "x")
	if _, ok := errors.AsType[*api.Unreachable](err); !ok || strings.Count(err.Error(), "127.0.0.1:1") > 2 {
		t.Errorf("nobody listens: got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := gone.Account(ended, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by the caller: got %v", err)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"https://tally.example:8443": true, "https://tally.example/": true, "http://localhost:8080": true, "http://[::1]:8080": true, "http://127.0.0.1": true,
		"http://tally.example": false, "tally.example": false, "": false, "ftp://tally.example": false, "https://u:p@tally.example": false, "https://tally.example?x=1": false,
	} {
		if _, err := api.New(api.Config{URL: address}); (err == nil) != good {
			t.Errorf("%q: got %v, want good %v", address, err, good)
		}
	}
	for _, root := range []string{"zz", "abcd", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"} {
		if _, err := api.New(api.Config{URL: "https://tally.example", Root: root}); err == nil {
			t.Errorf("root %q was taken", root)
		}
	}
}

// issue makes a certificate; without a parent it is a root.
func issue(t *testing.T, parent *x509.Certificate, signer *ecdsa.PrivateKey, names ...string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: strings.Join(names, " ")}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: parent == nil, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if parent == nil {
		template.KeyUsage, template.DNSNames, template.IPAddresses = x509.KeyUsageCertSign, nil, nil
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func TestServerIsKnownByItsRoot(t *testing.T) {
	t.Parallel()
	root, rootKey := issue(t, nil, nil, "Root")
	other, _ := issue(t, nil, nil, "Other")
	leaf, leafKey := issue(t, root, rootKey, "tally.example")
	start := func(chain ...*x509.Certificate) string {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(api.Account{ID: "acc_1"})
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
		presented := tls.Certificate{PrivateKey: leafKey}
		for _, c := range chain {
			presented.Certificate = append(presented.Certificate, c.Raw)
		}
		server.TLS = &tls.Config{Certificates: []tls.Certificate{presented}}
		server.StartTLS()
		t.Cleanup(server.Close)
		return server.URL
	}
	pinned := func(c *x509.Certificate) string {
		digest := sha256.Sum256(c.Raw)
		return strings.ToUpper(hex.EncodeToString(digest[:]))
	}
	whole, alone, strange := start(leaf, root), start(leaf), start(leaf, other)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
	for name, c := range map[string]struct {
		url, root string
		good      bool
	}{
		"PEM":                             {alone, text, true},
		"fingerprint":                     {whole, pinned(root), true},
		"fingerprint, root not presented": {alone, pinned(root), false},
		"fingerprint of another root":     {whole, pinned(other), false},
		"another root that is presented":  {strange, pinned(other), false},
		"fingerprint of the server's own": {alone, pinned(leaf), true},
		"system roots":                    {whole, "", false},
		"another name":                    {strings.Replace(whole, "127.0.0.1", "localhost", 1), pinned(root), false},
	} {
		client, err := api.New(api.Config{URL: c.url, Root: c.root})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := client.Account(t.Context(), "acme.example")
		if c.good && (err != nil || got.ID != "acc_1") {
			t.Errorf("%s: %v", name, err)
		}
		if _, away := errors.AsType[*api.Unreachable](err); !c.good && !away {
			t.Errorf("%s: got %v, want *Unreachable", name, err)
		}
	}
}
