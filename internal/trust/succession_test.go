package trust

import (
	"crypto"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// newSiteAfter makes a satellite below k whose keys follow others.
func newSiteAfter(t testing.TB, k *Keys, before ...Predecessor) *Keys {
	t.Helper()
	dir := t.TempDir()
	site, err := OpenSite(dir)
	if err != nil {
		t.Fatal(err)
	}
	der, err := k.CertifySite(&site.issuing.PublicKey, []string{"plant.example"}, before, testNow())
	if err != nil {
		t.Fatal(err)
	}
	if err := site.Complete(der, k.RootDER(), k.Fingerprint(), testNow()); err != nil {
		t.Fatal(err)
	}
	keys, err := OpenKeys(dir, testNow())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Whoever took the word of a key takes that of its successor, for the account for which the root says so, and goes no way back.
func TestSuccession(t *testing.T) {
	t.Parallel()
	k, foreign := openKeys(t), openKeys(t)
	acme, other := NewID("acc", testNow()), NewID("acc", testNow())
	first := newSiteAfter(t, k)
	second := newSiteAfter(t, k, Predecessor{acme, first.Site()})
	third := newSiteAfter(t, k, Predecessor{acme, first.Site()}, Predecessor{acme, second.Site()})
	neighbor := newSiteAfter(t, k)
	thief := newSiteAfter(t, k, Predecessor{other, first.Site()})
	elsewhere := newSiteAfter(t, foreign, Predecessor{acme, first.Site()})
	for name, c := range map[string]struct {
		last, signs *Keys
		ok          bool
		replaced    bool
	}{
		"itself":                              {first, first, true, false},
		"its successor":                       {first, second, true, false},
		"the successor of its successor":      {first, third, true, false},
		"the successor's successor":           {second, third, true, false},
		"the one before":                      {second, first, false, true},
		"two before":                          {third, first, false, true},
		"one before":                          {third, second, false, true},
		"a neighbor":                          {first, neighbor, false, false},
		"a successor for another account":     {first, thief, false, false},
		"the authority":                       {first, k, false, false},
		"a satellite for the authority":       {k, second, false, false},
		"a successor below another authority": {first, elsewhere, false, false},
	} {
		sealed := c.signs.Seal(Header{Kind: "k", Chain: c.signs.SignerChain()}, []byte("p"))
		e, err := OpenAuthority(sealed, []string{"k"}, "", Pins{Root: k.Fingerprint(), Last: c.last.SignerChain(), Account: acme}, testNow())
		if (err == nil) != c.ok || c.ok && e.Site != c.signs.Site() {
			t.Errorf("%s: %v", name, err)
		}
		no, named := errors.AsType[*OtherDeskError](err)
		if other := !c.ok && c.signs != elsewhere; named != other || named && (no.Replaced != c.replaced || !errors.Is(err, ErrKey) || !errors.Is(err, ErrOtherDesk)) {
			t.Errorf("%s: %v", name, err)
		}
		if c.signs != first && c.signs != elsewhere && !c.ok {
			if _, err := OpenAuthority(sealed, []string{"k"}, "", Pins{Root: k.Fingerprint(), Last: c.last.SignerChain()}, testNow()); err == nil {
				t.Errorf("%s: taken without an account", name)
			}
		}
	}
	if _, err := OpenAuthority(second.Seal(Header{Kind: "k", Chain: second.SignerChain()}, nil), []string{"k"}, "", Pins{Root: k.Fingerprint(), Last: first.SignerChain()}, testNow()); err == nil {
		t.Error("a successor is taken by one that does not say of which account it is")
	}
	if _, err := k.CertifySite(&NewProductKey().PublicKey, nil, []Predecessor{{Issuer: first.Site()}}, testNow()); err == nil {
		t.Error("a satellite follows an authority")
	}
	many := make([]Predecessor, 40)
	for i := range many {
		many[i] = Predecessor{acme, siteID(&NewProductKey().PublicKey)}
	}
	chain := newSiteAfter(t, k, many...).SignerChain()
	got := Predecessors(chain)
	if len(got) != maxPredecessor || got[0] != many[8] || got[31] != many[39] || len(chain[1]) > maxCertificate {
		t.Errorf("of 40 predecessors %d stand in the certificate of %d bytes", len(got), len(chain[1]))
	}
}

// The names of a successor are of no use to whoever has its certificate and not its key, nor to a satellite that writes them itself.
func TestSuccessionCannotBeForged(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	acme := NewID("acc", testNow())
	first := newSiteAfter(t, k)
	second := newSiteAfter(t, k, Predecessor{acme, first.Site()})
	neighbor := newSiteAfter(t, k)
	mine, theirs := neighbor.SignerChain(), second.SignerChain()
	pins := Pins{Root: k.Fingerprint(), Last: first.SignerChain(), Account: acme}
	for name, chain := range map[string][][]byte{
		"the certificate of another between": {mine[0], theirs[1], mine[1], mine[2]},
		"the certificate of another":         {mine[0], theirs[1], mine[2]},
		"the chain of another":               theirs,
	} {
		if _, err := OpenAuthority(neighbor.Seal(Header{Kind: "k", Chain: chain}, nil), []string{"k"}, "", pins, testNow()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// An issuing certificate below its own, which says whatever it likes.
	r := neighbor.now()
	key := newECKey()
	below := *r.issuing
	below.URIs, below.SerialNumber, below.PublicKey = successionURIs([]Predecessor{{acme, first.Site()}}), randomSerial(), nil
	der := issueBelow(t, &below, r, key)
	forged := issueBelow(t, r.signer, &ring{issuing: parse(t, der), issuingKey: fixedSigner{key}}, r.signerKey)
	chain := [][]byte{forged, der, r.issuing.Raw, mine[2]}
	forger := forgerOf(r.signerKey, thumbprint(forged))
	if _, err := OpenAuthority(forger.Seal(Header{Kind: "k", Chain: chain}, nil), []string{"k"}, "", pins, testNow()); !errors.Is(err, ErrChain) {
		t.Errorf("a certificate that a satellite made of itself: %v", err)
	}
}

// An authority replaces its keys below the same root: its word is taken by everybody, with the old keys by nobody who has heard the
// new ones, and what was hidden or named with the old ones is still known.
func TestRotate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, err := OpenKeys(dir, testNow())
	if err != nil {
		t.Fatal(err)
	}
	old := *k.now()
	chains := [][][]byte{k.SignerChain()}
	hidden, name := k.Hide("l", "secret"), k.Pseudonym("host", "a")
	_, prepared, id := instance(t, k)
	for n := range 3 {
		before, after, err := Rotate(dir, nil, testNow().Add(time.Duration(n+1)*year))
		if err != nil || before != issuerID(k.now().issuing) || after == before {
			t.Fatalf("rotate: %s to %s, %v", before, after, err)
		}
		begun := k.Seal(Header{Kind: "k", Chain: k.SignerChain()}, []byte("p"))
		if changed, err := k.Refresh(); err != nil || !changed || issuerID(k.now().issuing) != after {
			t.Fatalf("refresh: %t, %v", changed, err)
		}
		if changed, err := k.Refresh(); err != nil || changed {
			t.Fatalf("refresh again: %t, %v", changed, err)
		}
		if again := k.Seal(Header{Kind: "k", Chain: chains[n]}, []byte("p")); string(again) != string(begun) {
			t.Error("what was begun with the pair before is not ended with it")
		}
		chains = append(chains, k.SignerChain())
		restarted, err := OpenKeys(dir, testNow())
		if err != nil || restarted.SignerThumbprint() != k.SignerThumbprint() || restarted.Fingerprint() != k.Fingerprint() {
			t.Fatalf("after a restart: %v", err)
		}
		for _, keys := range []*Keys{k, restarted} {
			if text, err := keys.Unhide("l", hidden); err != nil || text.Reveal() != "secret" || keys.Pseudonym("host", "a") != name {
				t.Errorf("after %d rotations: hidden text %v, pseudonym %s", n+1, err, keys.Pseudonym("host", "a"))
			}
		}
	}
	newest := k.Seal(Header{Kind: "k", Chain: k.SignerChain()}, []byte("p"))
	thief := &Keys{root: k.root}
	thief.ring.Store(&old)
	stolen := thief.Seal(Header{Kind: "k", Chain: thief.SignerChain()}, []byte("p"))
	for n, last := range chains {
		pins := Pins{Root: k.Fingerprint(), Last: last}
		if _, err := OpenAuthority(newest, []string{"k"}, "", pins, testNow()); err != nil {
			t.Errorf("one that slept through %d rotations does not take the newest word: %v", len(chains)-1-n, err)
		}
		if _, err := OpenAuthority(stolen, []string{"k"}, "", pins, testNow()); (err == nil) != (n == 0) {
			t.Errorf("the oldest keys, for one that heard the keys of rotation %d: %v", n, err)
		}
	}
	if k.Issued(id) || k.Site() != "" {
		t.Error("an ID certificate of the old key counts as one of the new key")
	}
	renewed, err := k.SignInstance(prepared)
	if err != nil || !k.Issued(renewed) {
		t.Errorf("the same ID certificate by the new key: %v", err)
	}
	for _, name := range []string{issuingKey, signerKey} {
		if _, err := os.Lstat(filepath.Join(dir, keySet, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the old %s is still there", name)
		}
	}
	key := filepath.Join(dir, keySet, rootKey)
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Rotate(dir, nil, testNow()); !errors.Is(err, ErrRootKeyAway) {
		t.Errorf("without the key of the root: %v", err)
	}
	if _, err := OpenKeys(dir, testNow()); err != nil {
		t.Errorf("start without the key of the root: %v", err)
	}
}

// Whatever step a replacement of keys dies at, one whole pair is in force, and the next attempt ends it.
func TestRotationDiesAtAnyStep(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, set, pair string){
		"files half written": func(t *testing.T, set, _ string) {
			if err := os.MkdirAll(filepath.Join(set, ".new-1"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"pair made, not in force": func(t *testing.T, set, pair string) { remove(t, filepath.Join(set, ringCurrent)) },
	} {
		dir := t.TempDir()
		set := filepath.Join(dir, keySet)
		k, err := OpenKeys(dir, testNow())
		if err != nil {
			t.Fatal(err)
		}
		saved := copies(t, set)
		_, after, err := Rotate(dir, nil, testNow())
		if err != nil {
			t.Fatal(err)
		}
		restore(t, set, saved) // the old private keys are removed last
		spoil(t, set, filepath.Join(set, ringPrefix+after))
		again, err := OpenKeys(dir, testNow())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := issuerID(again.now().issuing); got != issuerID(k.now().issuing) && got != after {
			t.Errorf("%s: in force is %s", name, got)
		}
		if _, _, err := Rotate(dir, nil, testNow()); err != nil {
			t.Errorf("%s: again: %v", name, err)
		}
		if _, err := k.Refresh(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A satellite's next keys wait for their certificate, and are in force from one moment to the next.
func TestPromote(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	site, sat := newSite(t, k, "one.example")
	dir, acme := filepath.Dir(site.set), NewID("acc", testNow())
	old, hidden, pseudonym := sat.SignerChain(), sat.Hide("l", "secret"), sat.Pseudonym("host", "a")
	before, after, err := PrepareSite(dir)
	if err != nil || before != sat.Site() {
		t.Fatalf("prepare: %s, %v", before, err)
	}
	if _, again, err := PrepareSite(dir); err != nil || again != after {
		t.Errorf("prepare again: %s in place of %s, %v", again, after, err)
	}
	next, err := sat.NextSite()
	if err != nil || next == nil || next.ID() != after || next.Certificate() != nil {
		t.Fatalf("next: %v", err)
	}
	if err := sat.Promote(next); err == nil {
		t.Error("keys without a certificate are put in force")
	}
	der, err := k.CertifySite(&next.issuing.PublicKey, []string{"one.example"}, []Predecessor{{acme, before}}, testNow())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := next.Complete(der, k.RootDER(), k.Fingerprint(), testNow()); err != nil {
			t.Fatal(err)
		}
		if open, err := OpenKeys(dir, testNow()); err != nil || open.Site() != before || sat.Site() != before {
			t.Fatalf("certified keys are in force before it is said: %v", err)
		}
	}
	if err := sat.Promote(next); err != nil || sat.Site() != after {
		t.Fatalf("promote: %s, %v", sat.Site(), err)
	}
	if none, err := sat.NextSite(); none != nil || err != nil {
		t.Errorf("after it one waits still: %v", err)
	}
	if joined, err := OpenSite(dir); err != nil || joined.ID() != after {
		t.Errorf("a join uses %v, %v", joined, err)
	}
	open, err := OpenKeys(dir, testNow())
	if err != nil || open.Site() != after || open.Pseudonym("host", "a") != pseudonym {
		t.Fatalf("after a restart: %v", err)
	}
	if text, err := open.Unhide("l", hidden); err != nil || text.Reveal() != "secret" {
		t.Errorf("hidden text: %v", err)
	}
	if !Follows(open.SignerChain(), old, acme) || Follows(old, open.SignerChain(), acme) || Follows(open.SignerChain(), old, "") {
		t.Error("the new keys do not follow the old ones")
	}
	if _, err := os.Lstat(filepath.Join(dir, siteSet, issuingKey)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the old issuing key is still there")
	}
	if err := os.WriteFile(filepath.Join(dir, siteSet, ringCurrent), []byte("../../x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys(dir, testNow()); err == nil {
		t.Error("keys are read from anywhere")
	}
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issueBelow makes a certificate like another one, for a key, signed by a pair of keys.
func issueBelow(t *testing.T, like *x509.Certificate, by *ring, key crypto.Signer) []byte {
	t.Helper()
	template := *like
	template.ExtraExtensions, template.Extensions, template.SubjectKeyId, template.AuthorityKeyId = nil, nil, nil, nil
	der, err := x509.CreateCertificate(nil, &template, by.issuing, key.Public(), by.issuingKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// copies are the files of a folder by name.
func copies(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func restore(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// An older copy of the key folder was put back: the next keys follow those that it does not know, when somebody names them.
func TestRotateAfterLostKeys(t *testing.T) {
	t.Parallel()
	dir, old := t.TempDir(), t.TempDir()
	if _, err := OpenKeys(dir, testNow()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	_, lost, err := Rotate(dir, nil, testNow())
	if err != nil {
		t.Fatal(err)
	}
	heard, err := OpenKeys(dir, testNow())
	if err != nil {
		t.Fatal(err)
	}
	pins := Pins{Root: heard.Fingerprint(), Last: heard.SignerChain()}
	for _, c := range []struct {
		after []string
		ok    bool
	}{{nil, false}, {[]string{lost}, true}} {
		if _, _, err := Rotate(old, c.after, testNow()); err != nil {
			t.Fatal(err)
		}
		k, err := OpenKeys(old, testNow())
		if err != nil {
			t.Fatal(err)
		}
		_, err = OpenAuthority(k.Seal(Header{Kind: "k", Chain: k.SignerChain()}, nil), []string{"k"}, "", pins, testNow())
		no, _ := errors.AsType[*OtherDeskError](err)
		if (err == nil) != c.ok || !c.ok && (no == nil || no.Pinned.Issuer != lost) {
			t.Errorf("after %q: %v", c.after, err)
		}
	}
	if _, _, err := Rotate(old, []string{"../x"}, testNow()); err == nil {
		t.Error("anything is the name of an issuer")
	}
}
