package trust

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// issue makes a certificate for key with one purpose and every extended key usage, so that a test meets our own check
// and not another one.
func issue(t testing.TB, k *Keys, p purpose, key any, names ...string) [][]byte {
	t.Helper()
	policies, err := p.policies()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(nil, &x509.Certificate{
		SerialNumber: randomSerial(), NotBefore: testNow(), NotAfter: testNow().Add(year), Policies: policies, DNSNames: names,
	}, k.now().issuing, key, k.now().issuingKey)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{der, k.now().issuing.Raw, k.root.Raw}
}

// A certificate of one purpose is never accepted for another.
func TestPurposesAreNotConfused(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	pins := Pins{Root: k.Fingerprint()}
	purposes := []purpose{purposeInstance, purposeSatellite, purposeServer, purposeSigner}
	for _, has := range purposes {
		chain := issue(t, k, has, pub)
		for _, want := range purposes {
			leaf, err := verifyChain(chain, k.Fingerprint(), want, testNow())
			if ok := has == want; ok != (err == nil) || ok != (leaf != nil) || (!ok && !errors.Is(err, ErrChain)) {
				t.Errorf("certificate of %s as %s: %v", has, want, err)
			}
		}
		// The same with a whole envelope, signed by the key that is certified.
		forger := forgerOf(key, thumbprint(chain[0]))
		sealed := forger.Seal(Header{Kind: "k", Chain: chain}, nil)
		_, err := OpenAuthority(sealed, []string{"k"}, "", pins, testNow())
		if ok := has == purposeSigner; ok != (err == nil) || (!ok && !errors.Is(err, ErrChain)) {
			t.Errorf("envelope signed with a certificate of %s: %v", has, err)
		}
	}
	// The issuing certificate and the root have no purpose of their own.
	for _, want := range purposes {
		if _, err := verifyChain([][]byte{k.now().issuing.Raw, k.root.Raw}, k.Fingerprint(), want, testNow()); !errors.Is(err, ErrChain) {
			t.Errorf("issuing certificate as %s: %v", want, err)
		}
	}
}

// handshake connects a client to a server certificate through a pipe.
func handshake(t testing.TB, client *tls.Config, server tls.Certificate, name string) error {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _ = a.Close() }()
	done := make(chan struct{})
	go func() { // ends when the client closes its side
		defer close(done)
		s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS12})
		_ = s.Handshake()
		_ = b.Close()
	}()
	client = client.Clone()
	client.ServerName = name
	err := tls.Client(a, client).Handshake()
	_ = a.Close()
	<-done
	return err
}

func TestPinnedTLS(t *testing.T) {
	t.Parallel()
	k, other := openKeys(t), openKeys(t)
	certify := func(k *Keys, names ...string) tls.Certificate {
		cert, err := k.ServerCertificate(names, testNow())
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	good := certify(k, "tally.example", "192.0.2.7", "2001:db8::7")
	short := good
	short.Certificate = good.Certificate[:2]
	mixed := certify(other, "tally.example")
	mixed.Certificate = append(mixed.Certificate, k.root.Raw, k.now().issuing.Raw)
	key, _, der := instance(t, k)
	product := tls.Certificate{Certificate: [][]byte{der, k.now().issuing.Raw, k.root.Raw}, PrivateKey: key}
	foreign := NewProductKey()
	plainServer := tls.Certificate{Certificate: issue(t, k, purposeArc+".99", foreign.Public(), "tally.example"), PrivateKey: foreign}

	at := func(now time.Time) func() time.Time { return func() time.Time { return now } }
	pinned := PinnedTLS(k.Fingerprint(), at(testNow()))
	rooted, err := RootTLS(k.ChainPEM(), at(testNow()))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		client *tls.Config
		server tls.Certificate
		host   string
		ok     bool
	}{
		"pinned":                          {pinned, good, "tally.example", true},
		"IPv4":                            {pinned, good, "192.0.2.7", true},
		"IPv6":                            {pinned, good, "2001:db8::7", true},
		"other name":                      {pinned, good, "evil.example", false},
		"other authority":                 {pinned, certify(other, "tally.example"), "tally.example", false},
		"other authority, IP":             {pinned, certify(other, "192.0.2.7"), "192.0.2.7", false},
		"other authority, root added":     {pinned, mixed, "tally.example", false},
		"other authority, root added, IP": {pinned, mixed, "192.0.2.7", false},
		"root not presented":              {pinned, short, "tally.example", false},
		"product as server":               {pinned, product, "192.0.2.7", false},
		"other purpose, named":            {pinned, plainServer, "tally.example", false},
		"clock ten years behind":          {PinnedTLS(k.Fingerprint(), at(testNow().Add(-10*year))), good, "tally.example", true},
		"clock ten years ahead":           {PinnedTLS(k.Fingerprint(), at(testNow().Add(10*year))), good, "tally.example", true},
		"root known":                      {rooted, short, "tally.example", true},
		"root known, IP":                  {rooted, short, "192.0.2.7", true},
		"root known, other name":          {rooted, short, "evil.example", false},
		"root known, other authority":     {rooted, certify(other, "tally.example"), "tally.example", false},
	} {
		err := handshake(t, c.client, c.server, c.host)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want accepted = %t", name, err, c.ok)
		}
		if err != nil && !errors.Is(err, ErrChain) {
			t.Errorf("%s: refused for another reason: %v", name, err)
		}
	}
	if _, err := RootTLS([]byte("x"), at(testNow())); err == nil {
		t.Error("RootTLS accepts what is not PEM")
	}
	if _, err := k.ServerCertificate(nil, testNow()); err == nil {
		t.Error("ServerCertificate accepts no name")
	}
	if _, err := k.ServerCertificate([]string{"é.example"}, testNow()); err == nil {
		t.Error("ServerCertificate accepts a name that DNS cannot hold")
	}
	if life := good.Leaf.NotAfter.Sub(good.Leaf.NotBefore); life != 397*24*time.Hour {
		t.Errorf("server certificate lives %s", life)
	}
}

// A reverse proxy with a public certificate stands for the authority where its name is right and its time not over.
func TestServerOfSystemRoot(t *testing.T) {
	t.Parallel()
	k, public := openKeys(t), openKeys(t)
	system := x509.NewCertPool()
	system.AddCert(public.root)
	key := NewProductKey()
	var chain []*x509.Certificate
	for _, der := range issue(t, public, purposeArc+".99", key.Public(), "tally.example")[:2] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		chain = append(chain, c)
	}
	for name, c := range map[string]struct {
		host string
		now  time.Time
		want string
	}{
		"right":      {"tally.example", testNow(), ""},
		"other name": {"evil.example", testNow(), "not evil.example"},
		"no name":    {"", testNow(), "without a host name"},
		"expired":    {"tally.example", testNow().Add(2 * year), "expired"},
	} {
		check := serverCheck{root: k.Fingerprint(), system: system, now: func() time.Time { return c.now }}
		err := check.verify(chain, c.host)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err := check.verify(nil, c.host); err == nil {
			t.Error("accepts a server without a certificate")
		}
	}
}
