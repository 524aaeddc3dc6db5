package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

func TestFactoryResetKeepsWhatNeverRunsBack(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.use(2)
	p.clock.add(10 * 24 * time.Hour)
	p.must(p.SetRoute(t.Context(), Route{Kind: Direct, Address: "https://licenses.example:8443"}))
	_, err := p.EnableReservation(t.Context(), "")
	p.must(err)
	_, err = p.RequestReservation(t.Context(), 6)
	p.must(err)
	_, err = p.CancelReservation(t.Context())
	p.must(err)
	_, err = p.DisableReservation(t.Context())
	p.must(err)
	p.register()
	left := p.status().Authorization.EvaluationSeconds

	told, err := p.FactoryReset(t.Context())
	p.must(err)
	if !told || !p.desk.only().gone {
		t.Error("the desk did not hear that the identity is given up")
	}
	s := p.status()
	if s.Registration.Status != Unregistered || s.Registration.Initial.Outcome != "" || s.Transport != "" || len(s.Messages) != 0 {
		t.Errorf("after the reset: %+v", s)
	}
	if s.UDI != "PID:CMS,SN:X1" || s.Authorization.EvaluationSeconds != left || left >= int64(80*24*time.Hour/time.Second)+1 || s.Licenses[0].Count != 2 {
		t.Errorf("the reset took what must stay: %+v, evaluation left %d before", s, left)
	}
	_, err = p.EnableReservation(t.Context(), "")
	p.must(err)
	r, err := p.RequestReservation(t.Context(), 0)
	p.must(err)
	if r.Sequence != 8 {
		t.Errorf("the next request has the number %d, want 8", r.Sequence)
	}
}

func TestFactoryResetWithoutTheAuthority(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	id := p.status().Registration.Instance
	p.desk.refuse = func(string) (string, int64) { return "restricted-in-use", 0 }
	_, err := p.FactoryReset(t.Context())
	wantCode(t, err, "restricted-in-use")
	if r := p.status().Registration; r.Status != Registered {
		t.Fatalf("a signed No left the registration %+v", r)
	}
	p.desk.refuse, p.desk.away = nil, &Unreachable{Err: errors.New("no route")}
	told, err := p.FactoryReset(t.Context())
	p.must(err)
	if r := p.status().Registration; told || r.Orphan != id || r.Status != Unregistered {
		t.Errorf("told %v, registration %+v; want the orphan %s", told, r, id)
	}
}

func TestMessagesAreCounted(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.desk.refuse = func(string) (string, int64) { return "token-expired", 0 }
	wantCode(t, p.Register(t.Context(), p.desk.token(), false), "token-expired")
	p.desk.refuse = nil
	p.clock.add(time.Minute)
	p.register()
	p.desk.away = &Unreachable{Err: errors.New("no route")}
	for range 3 {
		p.clock.add(time.Minute)
		if _, err := p.Report(t.Context()); err == nil {
			t.Fatal("reported to nobody")
		}
	}
	failed := p.clock.now()
	p.desk.away = license.Refuse(license.KindInvalid, "bad-request", "h", "it cannot be read")
	if p.RenewIdentity(t.Context()) == nil {
		t.Fatal("renewed with nobody")
	}
	want := []Messages{
		{Kind: "authorize", Succeeded: 1, Failed: 4, Failing: 4, LastSuccess: start.Add(time.Minute), LastFailure: failed, Reason: "it cannot be read"},
		{Kind: "register", Succeeded: 1, Failed: 1, LastSuccess: start.Add(time.Minute), LastFailure: start, Reason: "the desk says no: token-expired"},
	}
	got := p.status().Messages
	if len(got) != len(want) {
		t.Fatalf("counted %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("counted %+v, want %+v", got[i], want[i])
		}
	}
}
