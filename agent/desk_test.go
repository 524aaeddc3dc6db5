package agent

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// siteBelow makes the keys of a satellite below an authority, which follow those of others for an account.
func siteBelow(t *testing.T, top *trust.Keys, now time.Time, of string, before ...*trust.Keys) *trust.Keys {
	t.Helper()
	dir := t.TempDir()
	site, err := trust.OpenSite(dir)
	if err != nil {
		t.Fatal(err)
	}
	der, err := site.CSR()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := trust.ParseCSR(der)
	if err != nil {
		t.Fatal(err)
	}
	var follows []trust.Predecessor
	for _, k := range before {
		follows = append(follows, trust.Predecessor{Account: of, Issuer: k.Site()})
	}
	cert, err := top.CertifySite(csr.PublicKey(), []string{"plant.example"}, follows, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := site.Complete(cert, top.RootDER(), top.Fingerprint(), now); err != nil {
		t.Fatal(err)
	}
	keys, err := trust.OpenKeys(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// behindSite is a product that is registered at a satellite.
func behindSite(t *testing.T) (f *folder, top, site *trust.Keys) {
	t.Helper()
	f = newFolder(t)
	top = f.desk.keys
	site = siteBelow(t, top, f.clock.now(), account)
	f.desk.keys = site
	token, err := trust.NewTokenFor(trust.ForBelow, account, "tok_00000000000000000000000001", top.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	f.must(f.Register(t.Context(), token.Text().Reveal(), false))
	return f, top, site
}

func (f *folder) finding(code string) bool {
	f.t.Helper()
	for _, found := range f.status().Findings {
		if found.Code == code {
			return true
		}
	}
	return false
}

// chainFits says whether the certificate and the chain beside the state belong together.
func (f *folder) chainFits() error {
	f.t.Helper()
	var ders [][]byte
	for _, name := range []string{fileCert, fileChain} {
		text, err := os.ReadFile(filepath.Join(f.dir, name))
		f.must(err)
		more, err := trust.ParseCertificatesPEM(text)
		f.must(err)
		ders = append(ders, more...)
	}
	leaf, err := x509.ParseCertificate(ders[0])
	f.must(err)
	above, err := x509.ParseCertificate(ders[1])
	f.must(err)
	return leaf.CheckSignatureFrom(above)
}

// TestProductFollowsItsSatellite: a satellite that lost its keys is followed at the next contact, without a token; the product says so
// once, has a certificate below the new keys with the same contact, and takes the word of the old keys no more. It sleeps through
// any number of such changes.
func TestProductFollowsItsSatellite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f, top, first := behindSite(t)
	second := siteBelow(t, top, f.clock.now(), account, first)
	third := siteBelow(t, top, f.clock.now(), account, first, second)
	fourth := siteBelow(t, top, f.clock.now(), account, first, second, third)
	report := func(k *trust.Keys) error {
		f.desk.keys = k
		f.again()
		_, err := f.Report(ctx)
		return err
	}
	was := f.status().Registration.Instance
	for _, k := range []*trust.Keys{first, second, fourth} {
		f.must(report(k))
		f.must(f.chainFits())
		if got := f.finding("desk-keys-replaced"); got != (k != first) {
			t.Errorf("the product says that its desk has other keys: %t", got)
		}
	}
	f.clock.add(movedShown)
	if s := f.status(); f.finding("desk-keys-replaced") || s.Registration.Instance != was {
		t.Errorf("after 30 days: %+v", s.Findings)
	}
	for name, c := range map[string]struct {
		keys *trust.Keys
		code string
	}{
		"first": {first, "replaced-keys"}, "second": {second, "replaced-keys"}, "third, which it never heard": {third, "replaced-keys"},
		"a neighbor":                    {siteBelow(t, top, f.clock.now(), account), "other-desk"},
		"the authority":                 {top, "other-desk"},
		"one that follows for another":  {siteBelow(t, top, f.clock.now(), "acc_00000000000000000000000002", first, second, third, fourth), "other-desk"},
		"another authority's satellite": {siteBelow(t, newDesk(t, f.clock.now).keys, f.clock.now(), account, fourth), ""},
	} {
		before := f.status()
		err := report(c.keys)
		e, _ := errors.AsType[*Error](err)
		if err == nil || c.code != "" && (e == nil || e.Code != c.code || e.Hint == "") {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
		if c.keys != top && c.code != "" && !strings.Contains(e.Message, "plant.example") {
			t.Errorf("%s: the error does not name the satellite: %v", name, err)
		}
		after := f.status()
		if after.Registration.Status != before.Registration.Status || after.Authorization.Status != before.Authorization.Status || after.Authorization.Deadline != before.Authorization.Deadline {
			t.Errorf("%s: it changed what the product shows: %+v", name, after)
		}
	}
	f.must(report(fourth))
	// What is left of a lost state still leads to its desk.
	f.remove(fileState, fileCopy)
	f.must(report(fourth))
	f.must(f.chainFits())
}

// TestProductFollowsItsAuthority: the authority's keys are replaced, and the product takes that over in the same way.
func TestProductFollowsItsAuthority(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFolder(t)
	dir := t.TempDir()
	keys, err := trust.OpenKeys(dir, f.clock.now())
	f.must(err)
	f.desk.keys = keys
	f.must(f.Register(ctx, f.desk.token(), false))
	stale := t.TempDir()
	f.must(os.CopyFS(stale, os.DirFS(dir)))
	old, err := trust.OpenKeys(stale, f.clock.now())
	f.must(err)
	_, _, err = trust.Rotate(dir, nil, f.clock.now())
	f.must(err)
	_, err = keys.Refresh()
	f.must(err)
	f.clock.add(40 * 24 * time.Hour)
	for range 8 { // the daemon's way: both exchanges are due
		wait, err := f.Step(ctx)
		f.must(err)
		if wait > 0 {
			break
		}
	}
	f.must(f.chainFits())
	if !f.finding("desk-keys-replaced") || !strings.Contains(strings.Join(f.desk.seen, ";"), "renew") {
		t.Errorf("findings %+v after %q", f.status().Findings, f.desk.seen)
	}
	f.desk.keys = old
	if _, err := f.Report(ctx); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("the replaced keys are heard: %v", err)
	}
	f.desk.keys = keys
	_, err = f.Report(ctx)
	f.must(err)
}

// TestDoctorTellsDesksApart: the right desk, one with new keys, one with old keys, and a wrong one.
func TestDoctorTellsDesksApart(t *testing.T) {
	t.Parallel()
	f, top, first := behindSite(t)
	second := siteBelow(t, top, f.clock.now(), account, first)
	answers := first
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e, err := trust.OpenProduct(raw, wire.KindHello, wire.Audience, nil)
		if err != nil {
			t.Error(err)
		}
		var m wire.Hello
		if err := json.NewDecoder(bytes.NewReader(e.Payload)).Decode(&m); err != nil {
			t.Error(err)
		}
		payload, err := json.Marshal(wire.Greeting{Nonce: m.Nonce, ServerTime: f.clock.now()})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/jose")
		_, _ = w.Write(answers.Seal(trust.Header{Kind: wire.KindGreeting, Audience: m.Nonce, Chain: answers.SignerChain()}, payload))
	}))
	defer server.Close()
	f.must(f.SetRoute(t.Context(), Route{Kind: Direct, Address: server.URL}))
	for name, c := range map[string]struct {
		answers       *trust.Keys
		outcome, says string
	}{
		"its own desk":  {first, StepOK, "signed by the authority with the root"},
		"with new keys": {second, StepOK, "keys were replaced"},
		"a neighbor":    {siteBelow(t, top, f.clock.now(), account), StepFailed, "and this product is registered at the satellite plant.example"},
		"the authority": {top, StepFailed, "signed by the authority itself"},
		"another root":  {newDesk(t, f.clock.now).keys, StepFailed, "not signed by the authority that this product trusts"},
	} {
		answers = c.answers
		f.examined(name, c.outcome, c.says)
	}
	f.desk.keys = second
	_, err := f.Report(t.Context())
	f.must(err)
	answers = first
	f.examined("with keys of old", StepFailed, "keys of the satellite plant.example")
	answers = second
	f.examined("with the keys that it knows now", StepOK, "signed by the authority with the root")
}

// examined is what the doctor says of the signature.
func (f *folder) examined(name, outcome, says string) {
	f.t.Helper()
	d, err := f.Doctor(f.t.Context(), "")
	f.must(err)
	for _, s := range d.Steps {
		if s.Name == StepSignature && (s.Outcome != outcome || !strings.Contains(s.Found, says) || (s.Outcome == StepFailed) != (s.Mend != "")) {
			f.t.Errorf("%s: %+v, want %s: %s", name, s, outcome, says)
		}
	}
}

// TestProductBringsItself: a desk that lost its database, and perhaps its keys, does not know the product. It brings its certificate with
// the same contact, keeps its instance and its numbers, and what waited to be reported is reported. To a wrong desk it says which it is.
func TestProductBringsItself(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f, top, first := behindSite(t)
	f.must(f.SetUsage(ctx, "cms-smp-plus", 3))
	_, err := f.Report(ctx)
	f.must(err)
	was := f.status().Registration
	lose := func(k *trust.Keys) {
		f.desk.keys, f.desk.forgot, f.desk.instances = k, true, map[string]*registered{}
	}
	second := siteBelow(t, top, f.clock.now(), account, first)
	for _, k := range []*trust.Keys{first, second} {
		lose(k)
		f.must(f.SetUsage(ctx, "cms-smp-plus", 4))
		f.again()
		got, err := f.Report(ctx)
		f.must(err)
		if in := f.desk.instances[was.Instance]; in == nil || in.usage["cms-smp-plus"] != 4 || got.Tags[0].Requested != 4 {
			t.Errorf("after the loss the desk knows %+v and answers %+v", in, got)
		}
		f.must(f.chainFits())
	}
	if s := f.status(); s.Registration.Instance != was.Instance || !f.finding("desk-keys-replaced") || s.Registration.ExpiresAt.Before(was.ExpiresAt) {
		t.Errorf("afterwards: %+v", s)
	}
	for name, k := range map[string]*trust.Keys{"a neighbor": siteBelow(t, top, f.clock.now(), account), "the authority": top} {
		lose(k)
		_, err := f.Report(ctx)
		e, _ := errors.AsType[*Error](err)
		if e == nil || e.Code != "other-desk" || !strings.Contains(e.Message, "registered at the satellite plant.example") {
			t.Errorf("%s: %v", name, err)
		}
		if s := f.status(); s.Registration.Status != Registered || !strings.Contains(s.Authorization.LastAttempt.Reason, "registered at the satellite plant.example") {
			t.Errorf("%s: the product shows %+v", name, s.Authorization.LastAttempt)
		}
	}
}
