package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/wire"
)

// rowsState brings a product that uses a license into a state of section 13.1.
type rowsState struct {
	name   string
	status string
	enter  func(p *product)
}

func rowsStates() []rowsState {
	away := &Unreachable{Err: errors.New("no route")}
	return []rowsState{
		{"unregistered", Unregistered, func(*product) {}},
		{"registering", Registering, func(p *product) {
			p.desk.away = away
			_ = p.Register(p.t.Context(), p.desk.token(), false)
			p.desk.away = nil
		}},
		{"registered", Registered, func(p *product) { p.register() }},
		{"token refused", Unregistered, func(p *product) {
			p.desk.refuse = func(string) (string, int64) { return "token-expired", 0 }
			wantCode(p.t, p.Register(p.t.Context(), p.desk.token(), false), "token-expired")
			p.desk.refuse = nil
		}},
		{"renewal failed", Registered, func(p *product) {
			p.register()
			p.desk.away = away
			_ = p.RenewIdentity(p.t.Context())
			p.desk.away = nil
		}},
		{"registration expired", RegistrationExpired, func(p *product) {
			p.register()
			p.clock.add(366 * 24 * time.Hour)
		}},
		{"said to be removed", Unregistered, func(p *product) {
			p.register()
			p.desk.only().gone = true
			_, _ = p.Report(p.t.Context())
		}},
		{"deregistered here only", Unregistered, func(p *product) {
			p.register()
			p.desk.away = away
			_, _ = p.Deregister(p.t.Context())
			p.desk.away = nil
		}},
		{"reservation mode", Unregistered, func(p *product) {
			_, err := p.EnableReservation(p.t.Context(), "")
			p.must(err)
		}},
		{"reservation requested", Unregistered, func(p *product) {
			_, err := p.EnableReservation(p.t.Context(), "")
			p.must(err)
			_, err = p.RequestReservation(p.t.Context(), 0)
			p.must(err)
		}},
	}
}

// TestSection131Rows is section 13.1 as a table of states and events: what is allowed and where it leads, what is refused with
// which code, and that a refusal changes neither the registration nor what is left of the evaluation.
func TestSection131Rows(t *testing.T) {
	t.Parallel()
	events := []struct {
		name string
		do   func(p *product) error
	}{
		{"register", func(p *product) error { return p.Register(p.t.Context(), p.desk.token(), false) }},
		{"register with force", func(p *product) error { return p.Register(p.t.Context(), p.desk.token(), true) }},
		{"cancel the registration", func(p *product) error { return p.CancelRegistration(p.t.Context()) }},
		{"renew the identity", func(p *product) error { return p.RenewIdentity(p.t.Context()) }},
		{"renew the authorization", func(p *product) error { _, err := p.RenewAuthorization(p.t.Context()); return err }},
		{"deregister", func(p *product) error { _, err := p.Deregister(p.t.Context()); return err }},
		{"enable reservations", func(p *product) error { _, err := p.EnableReservation(p.t.Context(), ""); return err }},
	}
	const (
		none = "not-registered"
		idle = "not-registering"
	)
	// For each event where an allowed one leads, or the code of the refusal.
	want := map[string][7]string{
		"unregistered":           {Registered, Registered, idle, none, none, none, Unregistered},                                     // R1, R2
		"registering":            {Registered, Registered, Unregistered, none, none, none, "registered"},                             // R5
		"registered":             {wire.CodeAlreadyRegistered, Registered, idle, Registered, Registered, Unregistered, "registered"}, // R4, R6, R10
		"renewal failed":         {wire.CodeAlreadyRegistered, Registered, idle, Registered, Registered, Unregistered, "registered"}, // R7
		"registration expired":   {Registered, Registered, idle, Registered, RegistrationExpired, Unregistered, "registered"},        // R8, R9
		"said to be removed":     {Registered, Registered, idle, none, none, Unregistered, "registered"},                             // R11
		"deregistered here only": {Registered, Registered, idle, none, none, none, Unregistered},                                     // R10
		"reservation mode":       {"reservation-on", "reservation-on", idle, none, none, none, "reservation-on"},                     // R12
		"reservation requested":  {"reservation-on", "reservation-on", idle, none, none, none, "reservation-on"},                     // R12
		"token refused":          {Registered, Registered, idle, none, none, none, Unregistered},                                     // R3
	}
	for _, s := range rowsStates() {
		for i, e := range events {
			t.Run(s.name+"/"+e.name, func(t *testing.T) {
				t.Parallel()
				p := newProduct(t, 0)
				p.desk.stock[tag] = 1
				p.use(1)
				s.enter(p)
				before := p.status()
				if before.Registration.Status != s.status {
					t.Fatalf("the registration is %s, want %s", before.Registration.Status, s.status)
				}
				err := e.do(p)
				after := p.status()
				if refused := license.AsError(err); refused != nil {
					if refused.Code != want[s.name][i] || refused.Hint == "" || after.Registration.Status != s.status || after.Authorization.EvaluationSeconds != before.Authorization.EvaluationSeconds {
						t.Errorf("refused with %s (hint %q), and it is %s; want %s", refused.Code, refused.Hint, after.Registration.Status, want[s.name][i])
					}
					return
				}
				p.must(err)
				if after.Registration.Status != want[s.name][i] {
					t.Errorf("it is %s, want %s", after.Registration.Status, want[s.name][i])
				}
			})
		}
	}
}
