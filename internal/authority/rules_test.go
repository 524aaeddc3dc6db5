package authority_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// in is the instance as lists show it.
func (p *product) in() authority.Instance {
	p.site.t.Helper()
	in, err := p.site.Instance(p.site.t.Context(), admin, p.site.account.ID, p.instance)
	if err != nil {
		p.site.t.Fatal(err)
	}
	return in
}

func TestRule25ForceReleasesOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		s.order("SO-1", line(smp, 9))
		token := s.token(authority.NewToken{})
		p := s.product("A").mustRegister()
		p.must(use(smp, 5))
		anew := s.product("A")
		anew.nonce = "another-nonce-0000000"
		_, err := anew.register(t.Context(), token, false)
		wantRefusal(t, err, wire.CodeAlreadyRegistered)
		for range 3 { // its answer got lost twice
			if m, err := anew.register(t.Context(), token, true); err != nil || m.Instance != p.instance {
				t.Fatalf("with force: %+v, %v", m, err)
			}
		}
		if n := s.row(smp).InUse; n != 0 {
			t.Errorf("%d in use after the registration, want 0", n)
		}
		anew.must(use(smp, 4))
		if n := s.row(smp).InUse; n != 4 {
			t.Errorf("%d in use, want 4", n)
		}
		s.clock.Advance(366 * day) // an identity that is over needs no force
		third := s.product("A")
		third.nonce = "a-third-nonce-0000000"
		if m, err := third.register(t.Context(), s.token(authority.NewToken{}), false); err != nil || m.Instance != p.instance {
			t.Errorf("after the end: %+v, %v", m, err)
		}
		s.check()
	})
}

func TestRule26CertificateBindsTheUDI(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		p := s.product("A1")
		m, err := p.register(t.Context(), s.token(authority.NewToken{}), false)
		if err != nil {
			t.Fatal(err)
		}
		chain := append([][]byte{m.Certificate}, s.keys.SignerChain()[1:]...)
		info, err := trust.VerifyInstance(chain, s.keys.Fingerprint(), s.clock.Now())
		if err != nil || info.Instance != m.Instance || !p.key.PublicKey.Equal(info.Key) || !info.HasUDI("TEST", "A1") || info.HasUDI("TEST", "A2") {
			t.Errorf("certificate is %+v, %v", info, err)
		}
	})
}

func TestRule29AnswersCarryTheTime(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		p := s.product("A").mustRegister()
		s.clock.Advance(90 * time.Minute)
		if m := p.must(use(smp, 1)); m.ServerTime.Sub(s.clock.Now()).Abs() > time.Second {
			t.Errorf("server time is %s, the clock shows %s", m.ServerTime, s.clock.Now())
		}
	})
}

func TestRule30RemovalReleasesTheUse(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		s.order("SO-1", line(smp, 3))
		p := s.product("A").mustRegister()
		p.must(use(smp, 3))
		if err := s.RemoveInstance(t.Context(), admin, s.account.ID, p.instance, ""); err != nil {
			t.Fatal(err)
		}
		if r := s.row(smp); r.InUse != 0 || r.Available != 3 {
			t.Errorf("after the removal the pool is %+v", r)
		}
		_, err := p.authorize(t.Context(), use(smp, 3))
		wantRefusal(t, err, wire.CodeRemoved)
		if e := license.AsError(err); !strings.Contains(e.Message, "test") {
			t.Errorf("the product does not learn who removed it: %v", err)
		}
		if r := s.row(smp); r.InUse != 0 {
			t.Errorf("a removed product uses %d", r.InUse)
		}
		s.check()
	})
}

func TestRule33Timers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		s.order("SO-1", line(smp, 1))
		p := s.product("A").mustRegister()
		for use1, next := range map[int64]time.Duration{1: 30 * day, 2: 12 * time.Hour} {
			m := p.must(use(smp, use1))
			if time.Duration(m.NextInSeconds)*time.Second != next || m.Deadline.Sub(m.ServerTime) != 90*day {
				t.Errorf("using %d: next in %d s, deadline after %s", use1, m.NextInSeconds, m.Deadline.Sub(m.ServerTime))
			}
		}
		if in := p.in(); in.ExpiresAt.Sub(in.RegisteredAt).Round(time.Hour) != 365*day {
			t.Errorf("the certificate lasts %s", in.ExpiresAt.Sub(in.RegisteredAt))
		}
	})
}

// TestRule28DuplicateIsShownAndSettled: a fork is a state of the instance with what to do, recorded once; it ends by an
// administrator's word or by a registration, and comes back with the next fork.
func TestRule28DuplicateIsShownAndSettled(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		p := s.product("A").mustRegister()
		p.must(use(smp, 1))
		fork := func() {
			t.Helper()
			_, err := s.Machine(t.Context(), "authorize", p.report(1, use(smp, 9)))
			wantRefusal(t, err, wire.CodeNumber)
			if in := p.in(); in.State != "Duplicate" || !strings.Contains(in.Next, "settle "+in.ID) {
				t.Errorf("after a fork the instance is %s: %q", in.State, in.Next)
			}
		}
		settled := func() {
			t.Helper()
			if in := p.in(); in.State != "Active" || in.Next != "" || !in.ForkedAt.IsZero() {
				t.Errorf("settled, the instance is %s: %q", in.State, in.Next)
			}
		}
		fork()
		p.must(use(smp, 2)) // both go on
		fork()
		for range 2 {
			if err := s.SettleInstance(t.Context(), admin, s.account.ID, p.instance); err != nil {
				t.Fatal(err)
			}
			settled()
		}
		fork()
		anew := s.product("A")
		anew.nonce = "another-nonce-0000000"
		if _, err := anew.register(t.Context(), s.token(authority.NewToken{}), true); err != nil {
			t.Fatal(err)
		}
		settled()
		if n := s.count("instance.forked"); n != 2 {
			t.Errorf("%d forks are recorded, want 2", n)
		}
		if n := s.count("instance.settled"); n != 1 {
			t.Errorf("%d settlements are recorded, want 1", n)
		}
		s.check()
	})
}

// count is how many events of a kind the account has.
func (s *site) count(kind string) int {
	s.t.Helper()
	events, _, err := s.Events(s.t.Context(), admin, s.account.ID, authority.Page{Limit: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// TestRule36AskAgain: when a pool has grown, the list says which products may ask again, and asking at once helps at once.
func TestRule36AskAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		s.order("SO-1", line(smp, 1))
		p := s.product("A").mustRegister()
		p.must(use(smp, 3))
		if in := p.in(); in.Next != "" {
			t.Errorf("nothing has grown: %q", in.Next)
		}
		s.order("SO-2", line(smp, 1))
		if in := p.in(); in.Next != "" {
			t.Errorf("one is missing still: %q", in.Next)
		}
		s.order("SO-3", line(smp, 1))
		if in := p.in(); !strings.Contains(in.Next, "asks at once") {
			t.Errorf("the pool has grown: %q", in.Next)
		}
		if m := p.must(use(smp, 3)); m.Status != license.StatusAuthorized {
			t.Errorf("asked at once it is %s", m.Status)
		}
		if in := p.in(); in.Next != "" {
			t.Errorf("afterwards: %q", in.Next)
		}
	})
}

// TestSection136States goes through the states of an instance by time.
func TestSection136States(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		p := s.product("A").mustRegister()
		p.must(use(smp, 1)) // nothing is owned: it announces itself in 12 hours
		want := func(state string) {
			t.Helper()
			if in := p.in(); in.State != state || (in.Next == "") != (state == "Active" || state == "Removed") {
				t.Errorf("the instance is %s: %q; want %s", in.State, in.Next, state)
			}
		}
		want("Active")
		s.clock.Advance(12*time.Hour + 10*day)
		want("Active")
		s.clock.Advance(time.Second)
		want("Overdue")
		s.clock.Advance(355 * day)
		want("Expired")
		p.must(use(smp, 1))
		want("Expired")
		if _, err := s.product("A").register(t.Context(), s.token(authority.NewToken{}), false); err != nil {
			t.Fatal(err)
		}
		want("Active")
		if err := s.RemoveInstance(t.Context(), admin, s.account.ID, p.instance, ""); err != nil {
			t.Fatal(err)
		}
		want("Removed")
	})
}
