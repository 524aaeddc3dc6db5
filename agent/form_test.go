package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// ofVersion1 is a product whose state was written by the first version.
func ofVersion1(t *testing.T, name string) *product {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "state-1-"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	p := newProduct(t, time.Hour)
	p.keep.raw = raw
	return p
}

// TestStateOfVersion1 reads what version 1 has written, and goes on from there.
func TestStateOfVersion1(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	p := ofVersion1(t, "evaluation")
	p.clock.add(10 * day)
	if s := p.status(); s.UDI != "PID:CMS,SN:X1" || s.Authorization.EvaluationSeconds != 80*86400 || s.Licenses[0].Count != 2 || s.Authorization.EvaluationVersion != "3" {
		t.Errorf("an evaluation is %+v", s)
	}
	p.clock.add(day)
	p.use(1)
	if s := p.status(); s.Authorization.EvaluationSeconds != 79*86400 {
		t.Errorf("a day later the evaluation has %d s", s.Authorization.EvaluationSeconds)
	}

	p = ofVersion1(t, "registered")
	p.clock.add(11 * day)
	s := p.status()
	if s.Registration.Status != Registered || s.Transport != "https://licenses.example:8443" || s.Route.Kind != Direct || s.ClockSkewSeconds != 3600 ||
		s.Authorization.Status != string(license.StatusOutOfCompliance) || !s.Authorization.Since.Equal(start.Add(10*day)) || s.WaitingIntervals != 1 {
		t.Errorf("a registered product is %+v", s)
	}
	st, _, err := p.load(t.Context())
	p.must(err)
	if st.Pending == nil || st.Pending.Number != 2 || st.Short == nil || st.Short.Held.Contacts != 1 || len(st.Identity.Signer) != 3 {
		t.Errorf("state is %+v", st)
	}

	p = ofVersion1(t, "asked")
	if s := p.status(); s.Registration.Status != Unregistered || s.Registration.Initial.Outcome != Failed {
		t.Errorf("a registration without an answer is %+v: without its token nobody tries it again", s.Registration)
	}
	p.register()
}

// TestDamageIsSeen: no byte of a kept state can change unseen.
func TestDamageIsSeen(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.use(1)
	p.register()
	good, err := decodeState(p.keep.raw)
	p.must(err)
	want, err := good.encode()
	p.must(err)
	for at := range p.keep.raw {
		raw := bytes.Clone(p.keep.raw)
		raw[at] ^= 1
		st, err := decodeState(raw)
		if err != nil {
			continue
		}
		if got, err := st.encode(); err != nil || !bytes.Equal(got, want) { // white space may change
			t.Fatalf("byte %d changed unseen: %q", at, raw[max(0, at-20):min(len(raw), at+20)])
		}
	}
	if _, err := decodeState([]byte(`{"version":9,"sum":"","state":{}}`)); license.AsError(err).Code != "state-version" {
		t.Errorf("a newer state: %v", err)
	}
	if st, err := decodeState(nil); err != nil || errors.Is(err, os.ErrNotExist) || st.Product.PID != "" {
		t.Errorf("no state: %+v, %v", st, err)
	}
}

// What sealForm wrote is taken apart as the JSON that it is.
func TestFormIsCutAsJSON(t *testing.T) {
	raw, err := sealForm(stateVersion, map[string]string{"text": formState + formEnd})
	if err != nil {
		t.Fatal(err)
	}
	var want sealed
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	got, ok := cutForm(raw)
	if !ok || got.Version != want.Version || got.Sum != want.Sum || !bytes.Equal(bytes.TrimSpace(got.State), want.State) {
		t.Errorf("got %+v, %t, want %+v", got, ok, want)
	}
	for _, edited := range []string{" " + string(raw), string(raw) + " ", `{"version": 2}`, "{}\n", ""} {
		if f, ok := cutForm([]byte(edited)); ok {
			t.Errorf("%.40q was taken for the written form: %+v", edited, f)
		}
	}
}
