package agent_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// issuerOf makes authorizations as an authority does.
type issuerOf struct {
	t    *testing.T
	keys *trust.Keys
	key  trust.CodeKey
	now  time.Time
}

func newIssuer(t *testing.T, now time.Time) *issuerOf {
	t.Helper()
	keys, err := trust.OpenKeys(t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	return &issuerOf{t, keys, trust.NewCodeKey(), now}
}

// file answers a request code; change bends what is signed.
func (i *issuerOf) file(request string, version int, quantity int64, change ...func(*wire.Reservation)) []byte {
	i.t.Helper()
	c, err := trust.ParseCode(request)
	if err != nil {
		i.t.Fatal(err)
	}
	pid, serial, err := wire.ParseUDI(c.UDI)
	if err != nil {
		i.t.Fatal(err)
	}
	text, _, _ := strings.Cut(request, "@")
	r := wire.Reservation{
		Account: wire.Named{ID: "acc_1", Name: "acme.example"}, VirtualAccount: wire.Named{ID: "va_1", Name: "Default"}, Reservation: "rsv_1", PID: pid, Serial: serial,
		Request: text, Sequence: c.Sequence, Version: version, Kind: license.Specific, IssuedAt: i.now, Key: i.key.Reveal(),
		Lots: []license.ReservedLot{{Lot: "lot_1", Tag: "cms-smp-plus", Name: "Shared", Quantity: quantity, Type: license.Perpetual, Start: i.now.Add(-time.Hour)}},
	}
	for _, f := range change {
		f(&r)
	}
	doc, err := r.Text()
	if err != nil {
		i.t.Fatal(err)
	}
	file, err := i.keys.SealFile(trust.Header{Kind: wire.KindReservation, Audience: wire.AudienceReservation, Number: int64(version), Chain: i.keys.SignerChain()}, doc)
	if err != nil {
		i.t.Fatal(err)
	}
	return file
}

// closed is a product on a closed site, on a real folder.
type closed struct {
	*agent.Agent
	t   *testing.T
	dir string
	now time.Time
}

func newClosed(t *testing.T, serial string) *closed {
	t.Helper()
	c := &closed{t: t, dir: t.TempDir() + "/state", now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	c.open()
	if err := c.Init(t.Context(), agent.Product{Name: "Call Bridge", PID: "CMS-1000", Serial: serial, Version: "2.6"}); err != nil {
		t.Fatal(err)
	}
	return c
}

// open is what a new process does.
func (c *closed) open() {
	c.t.Helper()
	keeper, err := agent.OpenDir(c.dir)
	if err == nil {
		c.Agent, err = agent.New(keeper, agent.Options{Now: func() time.Time { return c.now }})
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *closed) status() agent.Status {
	c.t.Helper()
	s, err := c.Status(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func code(err error) string {
	if e := license.AsError(err); e != nil {
		return e.Code
	}
	return fmt.Sprint(err)
}

// TestRule39ProductRows plays the rows P1 to P9 of smart licensing, section 13.4, each from a process of its own.
func TestRule39ProductRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newClosed(t, "A1")
	i := newIssuer(t, c.now)
	must := func(s agent.ReservationStatus, err error) agent.ReservationStatus {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		c.open()
		return s
	}
	refused := func(want string, err error) {
		t.Helper()
		if got := code(err); got != want {
			t.Errorf("got %s (%v), want %s", got, err, want)
		}
		c.open()
	}
	_, err := c.RequestReservation(ctx, 0)
	refused("reservation-off", err)
	must(c.EnableReservation(ctx, "")) // P1
	_, err = c.EnableReservation(ctx, "")
	refused("reservation-on", err)
	refused("reservation-on", c.Register(ctx, mustToken(t), false)) // R12

	first := must(c.RequestReservation(ctx, 0)) // P2
	if again := must(c.RequestReservation(ctx, 0)); again.RequestCode != first.RequestCode || first.State != agent.ReservationRequested || first.Sequence != 1 {
		t.Fatalf("the same code until it is canceled: %+v, %+v", first, again)
	}
	_, err = c.DisableReservation(ctx)
	refused("request-open", err)
	must(c.CancelReservation(ctx)) // P3
	must(c.CancelReservation(ctx))
	second := must(c.RequestReservation(ctx, 0))
	if second.Sequence != 2 || second.RequestCode == first.RequestCode {
		t.Fatalf("after canceling: %+v", second)
	}
	must(c.CancelReservation(ctx))
	third := must(c.RequestReservation(ctx, 6))
	if third.Sequence != 7 {
		t.Fatalf("above what the authority has seen: %+v", third)
	}

	// P5: what is wrong is named, and nothing changes.
	good := i.file(third.RequestCode, 1, 5)
	altered := []byte(strings.Replace(string(good), `"quantity": 5`, `"quantity": 6`, 1))
	for name, bad := range map[string]struct {
		file []byte
		code string
	}{
		"altered":         {altered, "authorization-signature"},
		"cut off":         {good[:len(good)-200], "authorization-cut-off"},
		"no file":         {[]byte("hello"), "authorization-unreadable"},
		"large":           {make([]byte, 200<<10), "too-large"},
		"other product":   {i.file(third.RequestCode, 1, 5, func(r *wire.Reservation) { r.Serial = "B" }), "authorization-other-product"},
		"older request":   {i.file(second.RequestCode, 1, 5), "authorization-sequence"},
		"later request":   {i.file(third.RequestCode, 1, 5, func(r *wire.Reservation) { r.Sequence = 8 }), "authorization-sequence"},
		"another request": {i.file(third.RequestCode, 1, 5, func(r *wire.Reservation) { r.Request = "Q1" }), "authorization-sequence"},
		"expired":         {i.file(third.RequestCode, 1, 5, func(r *wire.Reservation) { r.Lots[0].End = c.now }), "authorization-expired"},
	} {
		if _, err := c.InstallReservation(ctx, bad.file); code(err) != bad.code {
			t.Errorf("%s: got %s (%v), want %s", name, code(err), err, bad.code)
		}
	}
	if s := c.status(); s.Reservation.State != agent.ReservationRequested || s.Registration.Status != agent.Unregistered {
		t.Fatalf("after bad ones: %+v", s.Reservation)
	}

	must(c.InstallReservation(ctx, good)) // P4
	if s := c.status(); s.Registration.Status != agent.RegisteredSpecific || s.Authorization.Status != string(license.StatusReserved) || s.Registration.Account != "acme.example" {
		t.Fatalf("reserved: %+v", s)
	}
	if err := c.SetUsage(ctx, "cms-smp-plus", 6); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Hour)
	if s := c.status(); s.Authorization.Status != string(license.StatusNotReserved) || s.Licenses[0].Shortage != 1 || s.Authorization.EvaluationSeconds != int64(license.Evaluation/time.Second) { // A10
		t.Fatalf("not covered: %+v", s)
	}
	installed := c.status().Reservation
	if confirmation, err := trust.ParseCode(installed.ConfirmationCode); err != nil || !i.key.Signed(confirmation, "PID:CMS-1000,SN:A1") {
		t.Fatalf("confirmation code %q: %v", installed.ConfirmationCode, err)
	}
	_, err = c.InstallReservation(ctx, good)
	refused("already-installed", err)
	_, err = c.InstallReservation(ctx, newIssuer(t, c.now).file(third.RequestCode, 2, 5))
	refused("authorization-other-authority", err)
	for name, err := range map[string]error{
		"request": second2(c.RequestReservation(ctx, 0)), "cancel": second2(c.CancelReservation(ctx)), "disable": second2(c.DisableReservation(ctx)),
	} {
		if code(err) != "reserved" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err = c.CompleteReturn(ctx)
	refused("not-returned", err)

	updated := must(c.InstallReservation(ctx, i.file(third.RequestCode, 2, 9))) // P6
	if updated.Version != 2 || updated.Licenses[0].Reserved != 9 || updated.ConfirmationCode == installed.ConfirmationCode {
		t.Fatalf("updated: %+v", updated)
	}
	_, err = c.InstallReservation(ctx, good)
	refused("authorization-old", err)
	_, _, err = c.ReturnAuthorization(ctx, i.file(third.RequestCode, 3, 1))
	refused("reserved", err)

	returned := must(c.ReturnReservation(ctx)) // P7
	if s := c.status(); len(s.Licenses) != 0 || s.Registration.Status != agent.Unregistered || s.Reservation.State != agent.ReservationReturned {
		t.Fatalf("returned: %+v", s)
	}
	if again := must(c.ReturnReservation(ctx)); again.ReturnCode != returned.ReturnCode || again.ReturnCode == "" {
		t.Fatalf("the same return code: %+v, %+v", returned, again)
	}
	_, err = c.InstallReservation(ctx, i.file(third.RequestCode, 3, 1))
	refused("return-open", err)
	must(c.CompleteReturn(ctx))
	must(c.CompleteReturn(ctx))
	_, err = c.InstallReservation(ctx, i.file(third.RequestCode, 3, 1))
	refused("authorization-given-up", err) // rule 43
	_, _, err = c.ReturnAuthorization(ctx, i.file(third.RequestCode, 2, 9))
	refused("authorization-installed", err)

	// P8: an authorization that was never installed.
	never := i.file(second.RequestCode, 1, 3)
	_, discarded, err := c.ReturnAuthorization(ctx, never)
	if err != nil {
		t.Fatal(err)
	}
	c.open()
	if _, again, err := c.ReturnAuthorization(ctx, never); err != nil || again != discarded {
		t.Fatalf("the same code again: %s, %s, %v", discarded, again, err)
	}
	_, _, err = c.ReturnAuthorization(ctx, i.file(second.RequestCode, 1, 3, func(r *wire.Reservation) { r.Serial = "B" }))
	refused("authorization-other-product", err)

	// P9: the number never runs back.
	must(c.DisableReservation(ctx))
	must(c.DisableReservation(ctx))
	must(c.EnableReservation(ctx, i.keys.Fingerprint().String()))
	fourth := must(c.RequestReservation(ctx, 0))
	if fourth.Sequence != 8 || len(fourth.Endings) != 2 {
		t.Fatalf("after a return: %+v", fourth)
	}
	_, err = c.InstallReservation(ctx, newIssuer(t, c.now).file(fourth.RequestCode, 1, 5))
	refused("authorization-other-authority", err)
	must(c.InstallReservation(ctx, i.file(fourth.RequestCode, 1, 0, func(r *wire.Reservation) { r.Kind, r.Lots = license.Universal, nil })))
	if err := c.SetUsage(ctx, "anything", 1000); err != nil {
		t.Fatal(err)
	}
	if s := c.status(); s.Registration.Status != agent.RegisteredUniversal || s.Authorization.Status != string(license.StatusReserved) {
		t.Fatalf("universal: %+v", s)
	}
}

// below is a satellite of the issuer's authority that signs with the same code key.
func (i *issuerOf) below() *issuerOf {
	i.t.Helper()
	dir := i.t.TempDir()
	site, err := trust.OpenSite(dir)
	if err != nil {
		i.t.Fatal(err)
	}
	der, err := site.CSR()
	if err != nil {
		i.t.Fatal(err)
	}
	csr, err := trust.ParseCSR(der)
	if err != nil {
		i.t.Fatal(err)
	}
	certificate, err := i.keys.CertifySite(csr.PublicKey(), []string{"plant.example"}, nil, i.now)
	if err != nil {
		i.t.Fatal(err)
	}
	if err := site.Complete(certificate, i.keys.RootDER(), i.keys.Fingerprint(), i.now); err != nil {
		i.t.Fatal(err)
	}
	keys, err := trust.OpenKeys(dir, i.now)
	if err != nil {
		i.t.Fatal(err)
	}
	return &issuerOf{i.t, keys, i.key, i.now}
}

// TestReservationOfSatellite: the authorization of a satellite is taken as one of its authority, and only the desk that made the
// installed one changes it; after a return any desk below the same root may answer.
func TestReservationOfSatellite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	top := newIssuer(t, time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	one, two := top.below(), top.below()
	c := newClosed(t, "A1")
	if _, err := c.EnableReservation(ctx, top.keys.Fingerprint().String()); err != nil {
		t.Fatal(err)
	}
	for _, desk := range []*issuerOf{one, top} {
		asked, err := c.RequestReservation(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			from    *issuerOf
			version int
			want    string
		}{
			{desk, 1, ""}, {two, 2, "authorization-other-desk"}, {map[bool]*issuerOf{true: top, false: one}[desk == one], 2, "authorization-other-desk"}, {desk, 2, ""},
		} {
			got, err := c.InstallReservation(ctx, step.from.file(asked.RequestCode, step.version, int64(step.version)))
			if step.want == "" && (err != nil || got.Version != step.version) || step.want != "" && code(err) != step.want {
				t.Errorf("version %d: %+v, %v, want %q", step.version, got, err, step.want)
			}
			c.open()
		}
		if _, err := c.ReturnReservation(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := c.CompleteReturn(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func second2(_ agent.ReservationStatus, err error) error { return err }

func mustToken(t *testing.T) string {
	t.Helper()
	token, err := trust.NewToken(trust.NewID("acc", time.Unix(1, 0)), trust.NewID("tok", time.Unix(1, 0)), trust.Fingerprint{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Text().Reveal()
}

// TestRule43GivenUpIsNotInstalledAgain sets the state back to before the return. What lies beside the state remembers the numbers:
// the licenses are dropped, and the finding says so.
func TestRule43GivenUpIsNotInstalledAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	kept := &memoryKeeper{}
	anchor := &memoryAnchor{}
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	a, err := agent.New(kept, agent.Options{Now: func() time.Time { return now }, Anchors: []agent.Anchor{anchor}})
	if err != nil {
		t.Fatal(err)
	}
	i := newIssuer(t, now)
	if err := a.Init(ctx, agent.Product{Name: "Call Bridge", PID: "CMS-1000", Serial: "A1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.EnableReservation(ctx, ""); err != nil {
		t.Fatal(err)
	}
	r, err := a.RequestReservation(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := i.file(r.RequestCode, 1, 5)
	if _, err := a.InstallReservation(ctx, file); err != nil {
		t.Fatal(err)
	}
	snapshot := string(kept.raw)
	if _, err := a.ReturnReservation(ctx); err != nil {
		t.Fatal(err)
	}
	kept.raw = []byte(snapshot)
	s, err := a.Status(ctx)
	if err != nil || s.Reservation.State != "" || s.Registration.Status != agent.Unregistered {
		t.Fatalf("set back: %+v, %v", s, err)
	}
	found := false
	for _, f := range s.Findings {
		found = found || f.Code == "reservation-set-back"
	}
	if !found {
		t.Errorf("no finding: %+v", s.Findings)
	}
	if _, err := a.InstallReservation(ctx, file); code(err) != "authorization-given-up" {
		t.Errorf("installed again: %v", err)
	}
	if r, err := a.RequestReservation(ctx, 0); err != nil || r.Sequence != 2 {
		t.Errorf("the next request: %+v, %v", r, err)
	}
}

type memoryKeeper struct{ raw []byte }

func (k *memoryKeeper) Load(context.Context) ([]byte, error)     { return k.raw, nil }
func (k *memoryKeeper) Save(_ context.Context, raw []byte) error { k.raw = raw; return nil }
func (k *memoryKeeper) Lock(context.Context) (func(), error)     { return func() {}, nil }

type memoryAnchor struct{ raw []byte }

func (k *memoryAnchor) Load(context.Context) ([]byte, error)     { return k.raw, nil }
func (k *memoryAnchor) Save(_ context.Context, raw []byte) error { k.raw = raw; return nil }

// FuzzInstall throws bytes at the product: nothing that the authority did not sign is taken (domain rule 44).
func FuzzInstall(f *testing.F) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	a, err := agent.New(&memoryKeeper{}, agent.Options{Now: func() time.Time { return now }})
	if err != nil {
		f.Fatal(err)
	}
	ctx := context.Background()
	if err := a.Init(ctx, agent.Product{Name: "Call Bridge", PID: "CMS-1000", Serial: "A1"}); err != nil {
		f.Fatal(err)
	}
	if _, err := a.EnableReservation(ctx, strings.Repeat("ab", 32)); err != nil {
		f.Fatal(err)
	}
	r, err := a.RequestReservation(ctx, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(r.RequestCode))
	f.Add([]byte("TALLYSTICK LICENSE RESERVATION\n\n{\n}\n-----BEGIN TALLYSTICK SIGNATURE-----\nAAAA..AAAA\n-----END TALLYSTICK SIGNATURE-----\n"))
	f.Add([]byte("tally1/1/1/00000000:AAAA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := a.InstallReservation(ctx, text); license.AsError(err) == nil {
			t.Fatalf("got %v", err)
		}
	})
}

// TestFactoryResetLosesNoReservation refuses a reset while licenses would be lost with it, and keeps the codes.
func TestFactoryResetLosesNoReservation(t *testing.T) {
	t.Parallel()
	c := newClosed(t, "SN-9")
	issuer := newIssuer(t, c.now)
	ctx := t.Context()
	must := func(s agent.ReservationStatus, err error) agent.ReservationStatus {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	refused := func(want string) {
		t.Helper()
		if _, err := c.FactoryReset(ctx); code(err) != want {
			t.Fatalf("the reset: %v, want %s", err, want)
		}
	}
	must(c.EnableReservation(ctx, ""))
	request := must(c.RequestReservation(ctx, 0)).RequestCode
	must(c.InstallReservation(ctx, issuer.file(request, 1, 5)))
	refused("reserved")
	back := must(c.ReturnReservation(ctx)).ReturnCode
	refused("returned")
	must(c.CompleteReturn(ctx))
	if told, err := c.FactoryReset(ctx); err != nil || !told {
		t.Fatal(told, err)
	}
	r := c.status().Reservation
	if r == nil || r.Enabled || r.Root != "" || r.Sequence != 1 || len(r.Endings) != 1 || r.LastReturnCode != back {
		t.Errorf("after the reset the reservation is %+v", r)
	}
}
