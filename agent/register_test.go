package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

func TestRegisterGivesIdentityAndFirstAuthorization(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.desk.stock[tag] = 1
	p.use(1)
	p.register()
	s := p.status()
	r, a := s.Registration, s.Authorization
	if r.Status != Registered || r.Account != "acme.example" || r.VirtualAccount != "Default" || !r.ExportControlled {
		t.Errorf("registration is %+v", r)
	}
	if want := start.Add(180 * 24 * time.Hour); !r.NextRenewal.Equal(want) {
		t.Errorf("next renewal %s, want %s", r.NextRenewal, want)
	}
	if want := start.Add(365 * 24 * time.Hour); !r.ExpiresAt.Equal(want) {
		t.Errorf("expiry %s, want %s", r.ExpiresAt, want)
	}
	if want := start.Add(30 * 24 * time.Hour); !a.NextAttempt.Equal(want) {
		t.Errorf("next attempt %s, want %s", a.NextAttempt, want)
	}
	if want := start.Add(90 * 24 * time.Hour); !a.Deadline.Equal(want) {
		t.Errorf("deadline %s, want %s", a.Deadline, want)
	}
	p.wantAuth(license.StatusAuthorized)
	if got := s.Licenses[0]; got.Name != "Shared Multiparty Plus" || got.Status != "AUTHORIZED" || got.Count != 1 {
		t.Errorf("license is %+v", got)
	}
}

// TestRegisterTellsItsRequests: a product that once asked for a reservation says how many requests it remembers, so that its desk
// notices a state that was set back; one that never did says nothing, which an older authority understands.
func TestRegisterTellsItsRequests(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	if n := p.desk.told.Requests; n != 0 {
		t.Errorf("it tells of %d requests and made none", n)
	}
	_, err := p.Deregister(t.Context())
	p.must(err)
	for range 2 {
		reserve := func(_ ReservationStatus, err error) { p.must(err) }
		reserve(p.EnableReservation(t.Context(), ""))
		reserve(p.RequestReservation(t.Context(), 0))
		reserve(p.CancelReservation(t.Context()))
		reserve(p.DisableReservation(t.Context()))
	}
	p.register()
	if n := p.desk.told.Requests; n != 2 {
		t.Errorf("it tells of %d requests and made 2", n)
	}
	p.desk.forgot, p.desk.told, p.desk.instances = true, wire.Register{}, map[string]*registered{}
	p.must(p.SetUsage(t.Context(), "cms-smp-plus", 1))
	_, err = p.Report(t.Context())
	p.must(err)
	if told := p.desk.told; told.Identity == nil || told.Requests != 2 {
		t.Errorf("it brings itself with %d requests and made 2", told.Requests)
	}
}

func TestLostRegistrationCostsNoSecondUse(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	token := p.desk.token()
	for range 3 {
		p.desk.lose = 1
		err := p.Register(t.Context(), token, false)
		if _, ok := errors.AsType[*Unreachable](err); !ok {
			t.Fatalf("lost answer: %v, want Unreachable", err)
		}
		p.clock.add(time.Minute)
	}
	if r := p.status().Registration; r.Status != Registering || r.Initial.Outcome != Failed || r.NextTry.IsZero() {
		t.Fatalf("after lost answers registration is %+v", r)
	}
	p.must(p.again().Register(t.Context(), token, false))
	p.desk.only()
	if p.desk.uses != 1 {
		t.Errorf("token used %d times, want 1", p.desk.uses)
	}
}

func TestRegistrationRefused(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.desk.refuse = func(string) (string, int64) { return "token-expired", 0 }
	err := p.Register(t.Context(), p.desk.token(), false)
	wantCode(t, err, "token-expired")
	if e := license.AsError(err); e.Kind != license.KindRefused || e.Hint != "ask the desk" {
		t.Errorf("refusal is %+v", e)
	}
	if r := p.status().Registration; r.Status != Unregistered || r.Initial.Reason != "the desk says no: token-expired" {
		t.Errorf("registration is %+v", r)
	}
	p.desk.refuse = nil
	p.register()
	wantCode(t, p.Register(t.Context(), p.desk.token(), false), wire.CodeAlreadyRegistered)
	p.must(p.Register(t.Context(), p.desk.token(), true))
	if len(p.desk.instances) != 2 { // the stand-in does not join instances by UDI
		t.Errorf("force made %d identities, want a second one", len(p.desk.instances))
	}
}

func TestTokenTroubles(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	wantCode(t, p.Register(t.Context(), "nonsense", false), "bad-token")
	foreign := newDesk(t, p.clock.now)
	err := p.Register(t.Context(), foreign.token(), false)
	wantCode(t, err, "other-authority")
	if fp := foreign.keys.Fingerprint().String(); !strings.Contains(license.AsError(err).Message, fp) {
		t.Errorf("%q does not name the token's authority %s", err, fp)
	}
	if strings.Contains(p.status().Registration.Initial.Reason, foreign.token()) {
		t.Error("the token is in a reason")
	}
}

func TestRegistrationChecksTheCertificate(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(d *desk, m *wire.Registered){
		"other nonce":    func(_ *desk, m *wire.Registered) { m.Nonce = strings.Repeat("0", 32) },
		"other key":      func(d *desk, m *wire.Registered) { m.Certificate = otherCertificate(d, m.Instance) },
		"other instance": func(_ *desk, m *wire.Registered) { m.Instance = "ins_other" },
		"other account":  func(_ *desk, m *wire.Registered) { m.Account.ID = "acc_other" },
		"no certificate": func(_ *desk, m *wire.Registered) { m.Certificate = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProduct(t, 0)
			p.desk.change = func(_ *trust.Header, payload any) {
				if m, ok := payload.(*wire.Registered); ok {
					spoil(p.desk, m)
				}
			}
			token := p.desk.token()
			if err := p.Register(t.Context(), token, false); err == nil {
				t.Fatal("registered with a spoiled answer")
			}
			if s := p.status().Registration.Status; s != Registering {
				t.Errorf("registration is %s, want it to be tried again", s)
			}
			p.desk.change = nil
			p.must(p.Register(t.Context(), token, false))
			if p.desk.uses != 1 {
				t.Errorf("token used %d times, want 1", p.desk.uses)
			}
		})
	}
}

func otherCertificate(d *desk, instance string) []byte {
	raw, err := trust.NewCSR(trust.NewProductKey())
	if err != nil {
		d.t.Error(err)
	}
	csr, err := trust.ParseCSR(raw)
	if err != nil {
		d.t.Error(err)
	}
	der, err := d.keys.SignInstance(d.keys.PrepareInstance(csr, trust.InstanceName{Account: account, Instance: instance}, d.now()))
	if err != nil {
		d.t.Error(err)
	}
	return der
}

func TestDeregister(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		trouble   func(d *desk)
		confirmed bool
		code      string
		status    string
		orphan    bool
	}{
		{"confirmed", func(*desk) {}, true, "", Unregistered, false},
		{"authority away", func(d *desk) { d.away = &Unreachable{Err: errors.New("no route")} }, false, "", Unregistered, true},
		{"answer lost", func(d *desk) { d.lose = 1 }, false, "", Unregistered, true},
		{"unsigned answer", func(d *desk) { d.tamper = func(string, []byte) []byte { return []byte("ok") } }, false, "", Unregistered, true},
		{"unsigned no", func(d *desk) {
			d.away = license.Refuse(license.KindRefused, "forged", "h", "you may not")
		}, false, "", Unregistered, true},
		{"signed no", func(d *desk) { d.refuse = func(string) (string, int64) { return "restricted-in-use", 0 } }, false, "restricted-in-use", Registered, false},
		{"removed before", func(d *desk) { d.only().gone = true }, true, "", Unregistered, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newProduct(t, 0)
			p.register()
			c.trouble(p.desk)
			confirmed, err := p.Deregister(t.Context())
			if c.code != "" {
				wantCode(t, err, c.code)
			} else {
				p.must(err)
			}
			r := p.status().Registration
			if confirmed != c.confirmed || r.Status != c.status || (r.Orphan != "") != c.orphan {
				t.Errorf("confirmed %v, registration %+v; want %+v", confirmed, r, c)
			}
		})
	}
	p := newProduct(t, 0)
	_, err := p.Deregister(t.Context())
	wantCode(t, err, "not-registered")
}
