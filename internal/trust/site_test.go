package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// newSite makes a satellite below k for these hosts.
func newSite(t testing.TB, k *Keys, hosts ...string) (*Site, *Keys) {
	t.Helper()
	dir := t.TempDir()
	site, err := OpenSite(dir)
	if err != nil {
		t.Fatal(err)
	}
	csrDER, err := site.CSR()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ParseCSR(csrDER)
	if err != nil {
		t.Fatal(err)
	}
	der, err := k.CertifySite(csr.PublicKey(), hosts, nil, testNow())
	if err != nil {
		t.Fatal(err)
	}
	if none, err := openSiteKeys(dir); none != nil || err != nil {
		t.Fatalf("keys before they are certified: %v, %v", none, err)
	}
	if err := site.Complete(der, k.RootDER(), k.Fingerprint(), testNow()); err != nil {
		t.Fatal(err)
	}
	keys, err := OpenKeys(dir, testNow())
	if err != nil {
		t.Fatal(err)
	}
	if keys.Site() != site.ID() || keys.Fingerprint() != k.Fingerprint() {
		t.Fatalf("the keys are of %q, root %s", keys.Site(), keys.Fingerprint())
	}
	return site, keys
}

// What a satellite signs is taken from that satellite and from nobody else: not for its authority's word, not for another
// satellite's.
func TestSatelliteSpeaksForItselfOnly(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	_, one := newSite(t, k, "one.example")
	_, two := newSite(t, k, "two.example")
	for name, c := range map[string]struct {
		signer *Keys
		site   string
		want   error
	}{
		"the authority":                     {k, "", nil},
		"a satellite":                       {one, one.Site(), nil},
		"any":                               {one, AnySite, nil},
		"the authority where any may":       {k, AnySite, nil},
		"a satellite for the authority":     {one, "", ErrKey},
		"the authority for a satellite":     {k, one.Site(), ErrKey},
		"a satellite for another satellite": {two, one.Site(), ErrKey},
	} {
		sealed := c.signer.Seal(Header{Kind: "k", Chain: c.signer.SignerChain()}, []byte("p"))
		e, err := OpenAuthority(sealed, []string{"k"}, "", Pins{Root: k.Fingerprint(), Site: c.site}, testNow())
		if !errors.Is(err, c.want) || err == nil && e.Site != c.signer.Site() {
			t.Errorf("%s: site %q, %v", name, e.Site, err)
		}
	}
}

// The certificates of a satellite are in every answer of it. Another one that puts them into its own chain is not taken for it:
// what decides is who signed, not what lies between.
func TestSatelliteCannotBorrowCertificates(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	_, one := newSite(t, k, "one.example")
	_, two := newSite(t, k, "two.example")
	mine, other := two.SignerChain(), one.SignerChain()
	for name, chain := range map[string][][]byte{
		"between":                {mine[0], other[1], mine[1], mine[2]},
		"in place":               {mine[0], other[1], mine[2]},
		"after its own":          {mine[0], mine[1], other[1], mine[2]},
		"the authority's":        {mine[0], k.SignerChain()[1], mine[1], mine[2]},
		"the other's message":    {mine[0], other[0], mine[1], mine[2]},
		"the root twice":         {mine[0], mine[1], mine[2], mine[2]},
		"its own twice":          {mine[0], mine[1], mine[1], mine[2]},
		"below the other's leaf": {mine[0], other[0], other[1], mine[2]},
	} {
		sealed := two.Seal(Header{Kind: "k", Chain: chain}, []byte("p"))
		for _, site := range []string{one.Site(), ""} {
			if e, err := OpenAuthority(sealed, []string{"k"}, "", Pins{Root: k.Fingerprint(), Site: site}, testNow()); err == nil {
				t.Errorf("%s: taken as the word of %q", name, e.Site)
			}
		}
	}
}

// A satellite's issuing certificate makes no message certificates of an authority, and none below another one.
func TestSatelliteCannotRaiseItself(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	_, sat := newSite(t, k, "one.example")
	for _, c := range []struct {
		has, want purpose
		ok        bool
	}{
		{purposeSigner, purposeSigner, false}, {purposeSatellite, purposeSatellite, true}, {purposeServer, purposeServer, true},
		{purposeInstance, purposeInstance, true}, {purposeSatellite, purposeSigner, false}, {purposeInstance, purposeServer, false},
	} {
		chain := issue(t, sat, c.has, NewProductKey().Public())
		if _, err := verifyChain(chain, k.Fingerprint(), c.want, testNow()); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrChain) {
			t.Errorf("a certificate of %s as %s: %v", c.has, c.want, err)
		}
	}
	if _, err := sat.CertifySite(&NewProductKey().PublicKey, nil, nil, testNow()); err == nil {
		t.Error("a satellite certifies a satellite")
	}
}

// The server certificates of a satellite hold its own names only.
func TestSatelliteServerNames(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	_, sat := newSite(t, k, "lic.plant.example", "192.0.2.7")
	_, bare := newSite(t, k)
	now := func() time.Time { return testNow() }
	for _, c := range []struct {
		keys *Keys
		name string
		ok   bool
	}{
		{sat, "lic.plant.example", true}, {sat, "authority.example", false}, {sat, "plant.example", false}, {bare, "lic.plant.example", false},
		{k, "authority.example", true},
	} {
		var chain []*x509.Certificate
		for _, der := range issue(t, c.keys, purposeServer, NewProductKey().Public(), c.name) {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, cert)
		}
		err := PinnedTLS(k.Fingerprint(), now).VerifyConnection(tls.ConnectionState{PeerCertificates: chain, ServerName: c.name})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	own, err := sat.ServerCertificate([]string{"lic.plant.example", "authority.example", "192.0.2.7", "192.0.2.8"}, testNow())
	if err != nil || len(own.Leaf.DNSNames) != 1 || len(own.Leaf.IPAddresses) != 1 {
		t.Errorf("its own server certificate is for %v and %v, %v", own.Leaf.DNSNames, own.Leaf.IPAddresses, err)
	}
	if _, err := k.CertifySite(&NewProductKey().PublicKey, []string{"*.example"}, nil, testNow()); err == nil {
		t.Error("a wildcard is certified")
	}
}

// Renewal is for the same key only, lasts, and is kept for the next start. A product's ID certificate verifies before and
// after it.
func TestSatelliteRenewal(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	site, sat := newSite(t, k, "one.example")
	ends := sat.SiteEnds()
	key := NewProductKey()
	csrDER, err := NewCSR(key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ParseCSR(csrDER)
	if err != nil {
		t.Fatal(err)
	}
	name := InstanceName{Account: NewID("acc", testNow()), Instance: NewID("ins", testNow()), Product: "P", PID: "P", Serial: "1"}
	id, err := sat.SignInstance(sat.PrepareInstance(csr, name, testNow()))
	if err != nil {
		t.Fatal(err)
	}
	later := testNow().Add(30 * day)
	other, err := k.CertifySite(&NewProductKey().PublicKey, nil, nil, later)
	if err != nil {
		t.Fatal(err)
	}
	if err := sat.RenewSite(other); !errors.Is(err, ErrChain) {
		t.Errorf("renewal for another key: %v", err)
	}
	der, err := k.CertifySite(&site.issuing.PublicKey, []string{"one.example"}, nil, later)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := sat.RenewSite(der); err != nil || !sat.SiteEnds().Equal(ends.Add(30*day)) {
			t.Fatalf("renewed until %s: %v", sat.SiteEnds(), err)
		}
	}
	in, err := VerifyInstance([][]byte{id, sat.now().issuing.Raw, k.root.Raw}, k.Fingerprint(), testNow())
	if err != nil || in.Account != name.Account || in.Instance != name.Instance || !in.HasUDI("P", "1") {
		t.Errorf("an ID certificate after the renewal: %+v, %v", in, err)
	}
	again, err := OpenKeys(filepath.Dir(site.set), later)
	if err != nil || !again.SiteEnds().Equal(sat.SiteEnds()) || again.SignerThumbprint() != sat.SignerThumbprint() {
		t.Errorf("after a restart: until %s, %v", again.SiteEnds(), err)
	}
	if err := os.Remove(filepath.Join(k.set, rootKey)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.CertifySite(&site.issuing.PublicKey, nil, nil, later); !errors.Is(err, ErrRootKeyAway) {
		t.Errorf("without the root's key: %v", err)
	}
}

func TestTokenUses(t *testing.T) {
	t.Parallel()
	for use, prefix := range map[TokenUse]string{ForProduct: "tok", ForBelow: "tok", ForSatellite: "sat"} {
		token, err := NewTokenFor(use, NewID("acc", testNow()), NewID(prefix, testNow()), Fingerprint{1})
		if err != nil {
			t.Fatal(err)
		}
		text := token.Text().Reveal()
		back, err := ParseToken(text)
		if err != nil || back.For != use || back.ID != token.ID || back.Digest() != token.Digest() || len(text) > 140 || text[0] != 'A' {
			t.Errorf("token for %d came back for %d, %v", use, back.For, err)
		}
		back.For = (use + 1) % 3
		if back.Digest() == token.Digest() {
			t.Errorf("a token for %d is as good as one for %d", use, back.For)
		}
	}
}

func TestPseudonyms(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	_, sat := newSite(t, k)
	if a, b := sat.Pseudonym("host", "a"), sat.Pseudonym("host", "a"); a != b || len(a) != 16 || a == sat.Pseudonym("host", "b") || a == sat.Pseudonym("user", "a") || a == k.Pseudonym("host", "a") {
		t.Errorf("pseudonyms %q and %q", a, b)
	}
}
