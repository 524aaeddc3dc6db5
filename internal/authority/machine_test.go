package authority_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

const smp = license.Tag("cms-smp-plus")

func TestOneLicenseEndToEnd(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		s.order("SO-1", line(smp, 1))
		p := s.product("A1").mustRegister()
		m := p.must(use(smp, 1))
		if m.Status != license.StatusAuthorized || m.NextInSeconds != 30*86400 || !m.Deadline.Equal(m.ServerTime.Add(90*day)) {
			t.Fatalf("one of one: got %+v", m)
		}
		m = p.must(use(smp, 2))
		if m.Status != license.StatusOutOfCompliance || m.NextInSeconds != 12*3600 || m.Tags[0].Shortage != 1 || len(m.Tags[0].Why) == 0 {
			t.Fatalf("two of one: got %+v", m)
		}
		r := s.row(smp)
		if r.InUse != 2 || r.Shortage != 1 || r.Available != 0 || r.Status != license.OutOfCompliance || len(r.Why) < 3 {
			t.Fatalf("license row: got %+v", r)
		}
		s.order("SO-2", line(smp, 1))
		if m = p.must(use(smp, 2)); m.Status != license.StatusAuthorized {
			t.Fatalf("two of two: got %+v", m)
		}
		if m = p.must(); m.Status != license.StatusNone || s.row(smp).InUse != 0 {
			t.Fatalf("nothing in use: got %+v, row %+v", m, s.row(smp))
		}
		s.check()
	})
}

func TestRule20TokenUsesAreExact(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		token := s.token(authority.NewToken{MaxUses: 10})
		var registered atomic.Int64
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				_, err := s.product(fmt.Sprintf("P%02d", i)).register(t.Context(), token, false)
				switch e := license.AsError(err); {
				case err == nil:
					registered.Add(1)
				case e == nil || e.Code != "token-used-up":
					t.Errorf("registration %d: got %v, want token-used-up", i, err)
				}
			})
		}
		wg.Wait()
		if registered.Load() != 10 {
			t.Errorf("%d products registered with a token of 10 uses", registered.Load())
		}
		s.check()
	})
}

func TestRule12LastLicense(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		s.order("SO-1", line(smp, 1))
		products := []*product{s.product("A").mustRegister(), s.product("B").mustRegister()}
		var authorized atomic.Int64
		var wg sync.WaitGroup
		for _, p := range products {
			wg.Go(func() {
				m, err := p.authorize(t.Context(), use(smp, 1))
				if err != nil {
					t.Errorf("authorize: %v", err)
				}
				if m.Status == license.StatusAuthorized {
					authorized.Add(1)
				}
			})
		}
		wg.Wait()
		if authorized.Load() != 1 {
			t.Errorf("%d of two requests for the last license are in compliance, want 1", authorized.Load())
		}
		s.check()
	})
}

// TestRefusedTokens is section 13.7: with an active token a product registers, with any other it does not, and hears why; products
// that registered with it before go on.
func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	other := onOne(t)
	onBoth(t, func(t *testing.T, s *site) {
		ctx := t.Context()
		s.order("SO-1", line(smp, 9))
		olds := map[string]*product{}
		register := func(name, token string) {
			t.Helper()
			p := s.product("OLD-" + strings.ReplaceAll(name, " ", "-"))
			if _, err := p.register(ctx, token, false); err != nil {
				t.Fatalf("%s: the first use: %v", name, err)
			}
			olds[name] = p
		}
		create := func(name string, want authority.NewToken) (id, token string) {
			t.Helper()
			made, text, err := s.CreateToken(ctx, admin, s.account.ID, want)
			if err != nil {
				t.Fatalf("create token: %v", err)
			}
			register(name, text.Reveal())
			return made.ID, text.Reveal()
		}
		_, used := create("used up", authority.NewToken{MaxUses: 1})
		made, revoked := create("revoked", authority.NewToken{})
		if err := s.RevokeToken(ctx, admin, s.account.ID, made); err != nil {
			t.Fatalf("revoke: %v", err)
		}
		gone, removed := create("removed", authority.NewToken{})
		if err := s.RemoveToken(ctx, admin, s.account.ID, gone); err != nil {
			t.Fatalf("remove: %v", err)
		}
		_, good := create("expired", authority.NewToken{Days: 1})
		register("active", good)
		s.clock.Advance(day)
		forged, _ := trust.NewToken(s.account.ID, made, s.Keys().Fingerprint())
		for name, c := range map[string]struct{ token, code string }{
			"expired":         {good, "token-expired"},
			"used up":         {used, "token-used-up"},
			"revoked":         {revoked, "token-revoked"},
			"removed":         {removed, "token-unknown"},
			"forged":          {forged.Text().Reveal(), "token-unknown"},
			"other authority": {other.token(authority.NewToken{}), "token-other-authority"},
			"mistyped":        {swap(good), "token-damaged"},
			"cut off":         {good[:len(good)-3], "token-damaged"},
			"nonsense":        {"nonsense", "token-damaged"},
		} {
			p := s.product("N-" + name[:2])
			_, err := p.register(ctx, c.token, false)
			if e := license.AsError(err); e == nil || e.Code != c.code && (name != "nonsense" || e.Code != "token-malformed") {
				t.Errorf("%s: got %v, want %s", name, err, c.code)
			}
		}
		for _, p := range olds {
			p.must(use(smp, 1))
		}
		if r := s.row(smp); r.InUse != int64(len(olds)) {
			t.Errorf("%d are in use by %d products", r.InUse, len(olds))
		}
		s.check()
	})
}

func swap(s string) string {
	b := []byte(s)
	for i := 20; i < len(b)-1; i++ {
		if b[i] != b[i+1] {
			b[i], b[i+1] = b[i+1], b[i]
			break
		}
	}
	return string(b)
}

func TestRule24RegistrationIsRepeatable(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		token := s.token(authority.NewToken{MaxUses: 2})
		p := s.product("A")
		first, err := p.register(t.Context(), token, false)
		if err != nil {
			t.Fatalf("register: %v", err)
		}
		again, err := p.register(t.Context(), token, false)
		if err != nil || again.Instance != first.Instance || string(again.Certificate) != string(first.Certificate) {
			t.Fatalf("the same key and nonce got %+v, %v; want instance %s with the same certificate", again, err, first.Instance)
		}
		p.must(use(smp, 5))
		copied := s.product("A")
		copied.nonce = "another-nonce-0000000"
		_, err = copied.register(t.Context(), token, false)
		wantRefusal(t, err, wire.CodeAlreadyRegistered)
		if r := s.row(smp); r.InUse != 5 {
			t.Errorf("a refused registration changed the use: %+v", r)
		}
		forced, err := copied.register(t.Context(), token, true)
		if err != nil || forced.Instance != first.Instance {
			t.Fatalf("with force: got %+v, %v", forced, err)
		}
		if r := s.row(smp); r.InUse != 0 {
			t.Errorf("re-registration must release the use once: %+v", r)
		}
		_, err = p.authorize(t.Context(), use(smp, 5))
		wantRefusal(t, err, "bad-signature")
		copied.must(use(smp, 3))
		s.check()
	})
}

func TestRule28LostAnswersAndForks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		p := s.product("A").mustRegister()
		envelope := p.report(1, use(smp, 1))
		first, err := s.Machine(t.Context(), "authorize", envelope)
		if err != nil {
			t.Fatalf("authorize: %v", err)
		}
		s.clock.Advance(time.Hour)
		again, err := s.Machine(t.Context(), "authorize", envelope)
		if err != nil || string(again) != string(first) {
			t.Fatalf("asking again with the same bytes got another answer (%v)", err)
		}
		answer, err := s.Machine(t.Context(), "authorize", p.report(1, use(smp, 9)))
		wantRefusal(t, err, wire.CodeNumber)
		var refusal wire.Refusal
		if kind, err := p.open(answer, p.instance, &refusal); err != nil || kind != wire.KindRefusal || refusal.Number != 1 {
			t.Fatalf("signed refusal: got %s %+v, %v", kind, refusal, err)
		}
		if r := s.row(smp); r.InUse != 1 {
			t.Errorf("a fork changed the use: %+v", r)
		}
		in, err := s.Instance(t.Context(), admin, s.account.ID, p.instance)
		if err != nil || in.ForkedAt.IsZero() {
			t.Errorf("the fork is not shown: %+v, %v", in, err)
		}
		p.number = 1
		if m := p.must(use(smp, 2)); m.Tags[0].Requested != 2 {
			t.Errorf("going on from the told number: %+v", m)
		}
		s.check()
	})
}

// A snapshot that was put back may speak first by a renewal.
func TestRule28ForkByRenewal(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		p := s.product("A").mustRegister()
		p.must(use(smp, 1))
		csr, err := trust.NewCSR(p.key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Machine(t.Context(), "renew", p.seal(p.header(wire.KindRenew, 1), false, wire.Renew{Nonce: "renewal-nonce-00", CSR: csr}))
		wantRefusal(t, err, wire.CodeNumber)
		in, err := s.Instance(t.Context(), admin, s.account.ID, p.instance)
		if err != nil || in.ForkedAt.IsZero() {
			t.Errorf("the fork is not shown: %+v, %v", in, err)
		}
		s.check()
	})
}

func TestRule27FlippedBytesChangeNothing(t *testing.T) {
	t.Parallel()
	s := onOne(t)
	p := s.product("A").mustRegister()
	before, err := s.VerifyEvents(t.Context(), admin, s.account.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		verb     string
		envelope []byte
	}{
		{"authorize", p.report(1, use(smp, 7))},
		{"register", s.product("B").registration(s.token(authority.NewToken{}), false)},
	} {
		for i := range c.envelope {
			bent := append([]byte(nil), c.envelope...)
			bent[i] ^= 0x08
			if answer, err := s.Machine(t.Context(), c.verb, bent); err == nil {
				t.Fatalf("%s with byte %d flipped was answered: %s", c.verb, i, answer)
			} else if license.AsError(err) == nil {
				t.Fatalf("%s with byte %d flipped: internal error %v", c.verb, i, err)
			}
		}
	}
	after, err := s.VerifyEvents(t.Context(), admin, s.account.ID)
	if err != nil || after.Events != before.Events+1 || s.row(smp).InUse != 0 {
		t.Fatalf("flipped bytes changed the state: %d events before, %d after (one token was made), row %+v, %v", before.Events, after.Events, s.row(smp), err)
	}
}

func TestRemovedProductIsToldSigned(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		p := s.product("A").mustRegister()
		p.must(use(smp, 4))
		if err := s.RemoveInstance(t.Context(), admin, s.account.ID, p.instance, ""); err != nil {
			t.Fatalf("remove: %v", err)
		}
		if r := s.row(smp); r.InUse != 0 {
			t.Errorf("rule 30: removal must release the use: %+v", r)
		}
		answer, err := s.Machine(t.Context(), "authorize", p.report(p.number+1, use(smp, 4)))
		wantRefusal(t, err, wire.CodeRemoved)
		var refusal wire.Refusal
		if _, err := p.open(answer, p.instance, &refusal); err != nil || refusal.Code != wire.CodeRemoved || refusal.Nonce == "" {
			t.Errorf("refusal: got %+v, %v", refusal, err)
		}
		p.nonce = "a-new-nonce-after-removal"
		if m := p.mustRegister(); m.number != 1 {
			t.Errorf("the exchange number must go on after a new registration, got %d", m.number)
		}
		s.check()
	})
}

func TestRenewAndDeregister(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		p := s.product("A").mustRegister()
		p.must(use(smp, 4))
		s.clock.Advance(180 * day)
		csr, err := trust.NewCSR(p.key)
		if err != nil {
			t.Fatal(err)
		}
		renewal := p.seal(p.header(wire.KindRenew, 2), false, wire.Renew{Nonce: "renewal-nonce-00", CSR: csr})
		first, err := s.Machine(t.Context(), "renew", renewal)
		if err != nil {
			t.Fatalf("renew: %v", err)
		}
		var m wire.Registered
		if _, err := p.open(first, p.instance, &m); err != nil || !m.ExpiresAt.Equal(s.clock.Now().Add(365*day)) {
			t.Fatalf("renewal: got %+v, %v", m, err)
		}
		if again, err := s.Machine(t.Context(), "renew", renewal); err != nil || string(again) != string(first) {
			t.Errorf("a repeated renewal got another answer: %v", err)
		}
		goodbye := p.seal(p.header(wire.KindDeregister, 3), false, wire.Deregister{Nonce: "goodbye-nonce-00"})
		first, err = s.Machine(t.Context(), "deregister", goodbye)
		if err != nil || s.row(smp).InUse != 0 {
			t.Fatalf("deregister: %v, row %+v", err, s.row(smp))
		}
		if again, err := s.Machine(t.Context(), "deregister", goodbye); err != nil || string(again) != string(first) {
			t.Errorf("a repeated deregistration got another answer: %v", err)
		}
		s.check()
	})
}

func TestUnknownInstanceIsNotSigned(t *testing.T) {
	t.Parallel()
	s := onOne(t)
	p := s.product("A")
	p.instance = trust.NewID("ins", s.clock.Now())
	answer, err := s.Machine(t.Context(), "authorize", p.report(1))
	wantRefusal(t, err, "instance-unknown")
	if answer != nil {
		t.Errorf("nobody can prove to an unknown product that it is unknown, yet the refusal was signed")
	}
	if _, err := s.Machine(t.Context(), "destroy", nil); license.AsError(err) == nil || errors.Is(err, nil) {
		t.Errorf("unknown verb: got %v", err)
	}
}
