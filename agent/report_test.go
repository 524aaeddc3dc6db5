package agent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

func TestReportFollowsCompliance(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.desk.stock[tag] = 1
	p.register()
	p.wantAuth(license.StatusNone)
	p.use(1)
	if s := p.status(); s.Licenses[0].Status != Waiting {
		t.Errorf("unreported use is %q, want WAITING", s.Licenses[0].Status)
	}
	p.report()
	p.wantAuth(license.StatusAuthorized)
	p.use(2)
	first := p.report()
	if len(first.Tags) != 1 || first.Tags[0].Shortage != 1 || len(first.Tags[0].Why) == 0 || first.Tags[0].Why[0].Sentence == "" {
		t.Errorf("answer is %+v, want a shortage of 1 with reasons", first)
	}
	if want := start.Add(12 * time.Hour); !first.NextAttempt.Equal(want) {
		t.Errorf("next attempt %s, want %s", first.NextAttempt, want)
	}
	p.clock.add(time.Hour)
	p.report()
	if s := p.status().Authorization; s.Status != string(license.StatusOutOfCompliance) || !s.Since.Equal(start) {
		t.Errorf("authorization is %+v, want out of compliance since the first answer", s)
	}
	p.desk.stock[tag] = 2
	p.report()
	p.wantAuth(license.StatusAuthorized)
	p.use(0)
	p.report()
	p.wantAuth(license.StatusNone)
	if n, ok := p.desk.only().usage[tag]; !ok || n != 0 {
		t.Errorf("the authority knows usage %d, %v; want an explicit 0", n, ok)
	}
	p.report()
	if u := p.desk.only().usage; len(u) != 0 {
		t.Errorf("a tag given back is reported again: %v", u)
	}
}

func TestLostAnswerIsAskedForWithTheSameBytes(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register() // report 1
	p.use(1)
	for range 3 {
		p.desk.lose = 1
		if _, err := p.Report(t.Context()); err == nil {
			t.Fatal("a lost answer is an answer")
		}
	}
	p.report()
	if n := p.desk.only().number; n != 2 {
		t.Errorf("number is %d, want 2: the same request", n)
	}
	// With another use meanwhile the old request is answered first, then the new one.
	p.desk.lose = 1
	_, _ = p.Report(t.Context())
	p.use(5)
	if a := p.report(); a.Tags[0].Requested != 5 {
		t.Errorf("answer is for %d, want 5", a.Tags[0].Requested)
	}
	want := []string{"register 0", "authorize 1", "authorize 2", "authorize 2", "authorize 2", "authorize 2", "authorize 3", "authorize 3", "authorize 4"}
	if !slices.Equal(p.desk.seen, want) {
		t.Errorf("the authority saw %q, want %q", p.desk.seen, want)
	}
}

func TestAnswerThatIsNotRightChangesNothing(t *testing.T) {
	t.Parallel()
	flip := func(at int) func(string, []byte) []byte {
		return func(_ string, reply []byte) []byte {
			reply = slices.Clone(reply)
			reply[at%len(reply)] ^= 1
			return reply
		}
	}
	cases := map[string]func(p *product){
		"away": func(p *product) { p.desk.away = &Unreachable{Err: errors.New("no route")} },
		"unsigned error": func(p *product) {
			p.desk.away = license.Refuse(license.KindRefused, wire.CodeRemoved, "h", "removed, believe me")
		},
		"empty": func(p *product) { p.desk.tamper = func(string, []byte) []byte { return nil } },
		"unsigned JSON": func(p *product) {
			p.desk.tamper = func(string, []byte) []byte { return []byte(`{"code":"instance-removed"}`) }
		},
		"wrong nonce": func(p *product) {
			p.desk.change = func(_ *trust.Header, m any) {
				if m, ok := m.(*wire.Authorized); ok {
					m.Nonce = strings.Repeat("0", 32)
				}
			}
		},
		"wrong number":   func(p *product) { p.desk.change = func(h *trust.Header, _ any) { h.Number++ } },
		"wrong audience": func(p *product) { p.desk.change = func(h *trust.Header, _ any) { h.Audience = "ins_other" } },
		"wrong kind":     func(p *product) { p.desk.change = func(h *trust.Header, _ any) { h.Kind = wire.KindDeregistered } },
		"removal with another nonce": func(p *product) {
			p.desk.refuse = func(string) (string, int64) { return wire.CodeRemoved, 0 }
			p.desk.change = func(_ *trust.Header, m any) { m.(*wire.Refusal).Nonce = strings.Repeat("0", 32) }
		},
		"other authority": func(p *product) {
			other, id := newDesk(t, p.clock.now), p.desk.only().id
			p.desk.tamper = func(string, []byte) []byte { return other.no("n", id, 2, wire.CodeRemoved, 0) }
		},
	}
	for at := range 40 {
		cases[fmt.Sprintf("byte %d flipped", at*17)] = func(p *product) { p.desk.tamper = flip(at * 17) }
	}
	for name, trouble := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProduct(t, 0)
			p.desk.stock[tag] = 5
			p.use(1)
			p.register()
			p.clock.add(time.Hour)
			want := p.status()
			trouble(p)
			if _, err := p.Report(t.Context()); err == nil {
				t.Fatal("accepted")
			}
			got := p.status()
			if last := got.Authorization.LastAttempt; last.Outcome != Failed || last.Reason == "" || strings.Contains(last.Reason, "\n") {
				t.Errorf("last attempt is %+v", last)
			}
			got.Authorization.LastAttempt, got.Authorization.NextAttempt = want.Authorization.LastAttempt, want.Authorization.NextAttempt
			got.Messages = want.Messages
			if !reflect.DeepEqual(got, want) {
				t.Errorf("status is\n%+v\nwant\n%+v", got, want)
			}
			st, _, err := p.load(t.Context())
			p.must(err)
			if st.Identity.Number != 1 || st.Pending == nil {
				t.Errorf("exchange number is %d, pending %v; want 1 and the request kept", st.Identity.Number, st.Pending)
			}
		})
	}
}

func TestReplayedAnswerIsRefused(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	var old []byte
	p.desk.tamper = func(_ string, reply []byte) []byte { old = reply; return reply }
	p.report()
	p.desk.tamper = func(string, []byte) []byte { return old }
	p.use(3)
	if _, err := p.Report(t.Context()); err == nil {
		t.Fatal("an old answer was taken for a new one")
	}
}

func TestSignedRemovalUnregisters(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.use(1)
	p.clock.add(24 * time.Hour)
	p.register()
	p.clock.add(24 * time.Hour)
	p.desk.only().gone = true
	_, err := p.Report(t.Context())
	wantCode(t, err, wire.CodeRemoved)
	s := p.status()
	if s.Registration.Status != Unregistered || s.Registration.LastRenewal.Outcome != "" || s.Authorization.LastAttempt.Reason != "the desk says no: instance-removed" {
		t.Errorf("status is %+v", s)
	}
	p.wantAuth(license.StatusEvaluation)
	if s.Findings[0].Code != "removal-unconfirmed" {
		t.Errorf("findings are %+v", s.Findings)
	}
	_, err = p.Report(t.Context())
	wantCode(t, err, "not-registered")
	p.clock.add(80 * time.Hour)
	if got := p.status().Authorization.EvaluationSeconds; got != 89*86400 {
		t.Errorf("evaluation has %d s left before the removal is confirmed, want 89 days", got)
	}
	p.steps() // it asks once more
	p.clock.add(24 * time.Hour)
	if s := p.status(); s.Authorization.EvaluationSeconds != 88*86400 || len(s.Findings) != 0 {
		t.Errorf("evaluation has %d s left, want 88 days: a day before and a day after, none while registered", s.Authorization.EvaluationSeconds)
	}
}

func TestRemovalThatWasAMistake(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.desk.stock[tag] = 1
	p.use(1)
	p.register()
	p.desk.only().gone = true
	_, err := p.Report(t.Context())
	wantCode(t, err, wire.CodeRemoved)
	p.desk.only().gone = false
	p.clock.add(80 * time.Hour)
	p.steps()
	if s := p.status(); s.Registration.Status != Registered || s.Authorization.Status != "AUTHORIZED" || s.Authorization.EvaluationSeconds != 90*86400 {
		t.Errorf("status is %+v, want everything as it was", s)
	}
}

func TestNumberRefusalIsMendedOnce(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	p.desk.only().number = 40 // the product's state is older than the authority's
	p.report()
	if n := p.desk.only().number; n != 41 {
		t.Errorf("number is %d, want 41", n)
	}
	p.desk.refuse = func(string) (string, int64) { return wire.CodeNumber, 40 }
	_, err := p.Report(t.Context())
	wantCode(t, err, wire.CodeNumber)
	if last := p.status().Authorization.LastAttempt; last.Outcome != Failed {
		t.Errorf("last attempt is %+v, want a failure with a later retry", last)
	}
}

func TestUnreadableRequestIsMadeAnew(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	p.desk.away = license.Refuse(license.KindInvalid, "malformed", "h", "cannot be read")
	_, err := p.Report(t.Context())
	wantCode(t, err, "malformed")
	p.desk.away = nil
	p.report()
	want := []string{"register 0", "authorize 1", "authorize 3", "authorize 2"}
	if !slices.Equal(p.desk.seen, want) {
		t.Errorf("the authority saw %q, want %q: a new number, then the authority's", p.desk.seen, want)
	}
}

func TestIntervalsStayUntilAcknowledged(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	hour := func(i int, peak int64) Interval {
		from := start.Add(time.Duration(i) * time.Hour)
		return Interval{Tag: tag, From: from, To: from.Add(time.Hour), Peak: peak}
	}
	var all []Interval
	for i := range 400 {
		all = append(all, hour(i, int64(i)))
	}
	p.must(p.AddInterval(t.Context(), all...))
	p.register()
	if n := p.status().WaitingIntervals; n != 0 {
		t.Errorf("%d intervals wait after registration, want 0", n)
	}
	if len(p.desk.intervals) != 400 {
		t.Errorf("the authority got %d intervals, want 400", len(p.desk.intervals))
	}
	p.must(p.AddInterval(t.Context(), hour(500, 3), hour(500, 7), hour(500, 5)))
	p.desk.lose = 1
	_, _ = p.Report(t.Context())
	p.must(p.AddInterval(t.Context(), hour(500, 9)))
	p.report()
	if p.desk.intervals[wireInterval(hour(500, 7))] != 1 || p.desk.intervals[wireInterval(hour(500, 9))] != 1 {
		t.Errorf("the authority does not have the peak of 7 and then of 9: %v", len(p.desk.intervals))
	}
	wantCode(t, p.AddInterval(t.Context(), Interval{Tag: tag, From: start, To: start}), "bad-interval")
	wantCode(t, p.AddInterval(t.Context(), hour(1, -1)), "bad-count")
	var many []Interval
	for i := range maxKept + 1 {
		many = append(many, Interval{Tag: "x", From: start.Add(time.Duration(i) * time.Second), To: start.Add(time.Hour * 24), Peak: 1})
	}
	wantCode(t, p.AddInterval(t.Context(), many...), "too-many-intervals")
}

func wireInterval(v Interval) wire.Interval {
	return wire.Interval{Tag: license.Tag(v.Tag), From: v.From, To: v.To, Peak: v.Peak}
}

func TestLargestReportFitsTheEnvelope(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.desk.change = func(_ *trust.Header, m any) {
		if m, ok := m.(*wire.Authorized); ok {
			m.Tags = nil // the largest answer is another matter
		}
	}
	long := func(i int) string { return fmt.Sprintf("%0*d", 64, i) }
	var peaks []Interval
	for i := range intervalsPerReport + 1 {
		from := start.Add(time.Duration(i)*time.Hour + 123*time.Millisecond)
		peaks = append(peaks, Interval{Tag: long(i), From: from, To: from.Add(time.Hour), Peak: license.MaxQuantity})
	}
	p.must(p.AddInterval(t.Context(), peaks...))
	for i := range wire.MaxUsageTags {
		p.must(p.SetUsage(t.Context(), long(i), license.MaxQuantity))
	}
	wantCode(t, p.SetUsage(t.Context(), "one-more", 1), "too-many-tags")
	p.register()
	if s := p.status(); s.Authorization.LastAttempt.Outcome != Succeeded || s.WaitingIntervals != 0 {
		t.Errorf("authorization is %+v", s.Authorization)
	}
}

func TestBadUsageIsRefused(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	wantCode(t, p.SetUsage(t.Context(), tag, -1), "bad-count")
	wantCode(t, p.SetUsage(t.Context(), "Bad Tag", 1), "bad-tag")
	_, err := p.Report(t.Context())
	wantCode(t, err, "not-registered")
}

func TestRenewIdentity(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	p.clock.add(100 * 24 * time.Hour)
	p.desk.lose = 1
	if err := p.RenewIdentity(t.Context()); err == nil {
		t.Fatal("renewed without an answer")
	}
	if r := p.status().Registration; r.LastRenewal.Outcome != Failed || r.Status != Registered {
		t.Errorf("registration is %+v", r)
	}
	p.must(p.RenewIdentity(t.Context()))
	r := p.status().Registration
	if want := p.clock.now().Add(365 * 24 * time.Hour); !r.ExpiresAt.Equal(want) || r.LastRenewal.Outcome != Succeeded {
		t.Errorf("registration is %+v, want expiry %s", r, want)
	}
	if want := p.clock.now().Add(180 * 24 * time.Hour); !r.NextRenewal.Equal(want) {
		t.Errorf("next renewal %s, want %s", r.NextRenewal, want)
	}
	p.report()
}

func TestAgentsOfOneStateWorkTogether(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			a := p.again()
			for n := range 5 {
				if err := a.SetUsage(t.Context(), tag, int64(i*10+n)); err != nil {
					t.Error(err)
				}
				if _, err := a.Report(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	p.report()
	var usage int64
	st, _, err := p.load(t.Context())
	p.must(err)
	usage = st.Usage[tag]
	if got := p.desk.only().usage[tag]; got != usage {
		t.Errorf("the authority knows %d, the product uses %d", got, usage)
	}
}

func TestSkewChangesNoOutcome(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for _, skew := range []time.Duration{-10 * year, -time.Hour, -59 * time.Minute, 0, time.Hour, 10 * year} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			p := newProduct(t, skew)
			p.desk.stock[tag] = 1
			p.use(1)
			p.register()
			s := p.status()
			if got := time.Duration(s.ClockSkewSeconds) * time.Second; got != skew {
				t.Errorf("skew shown is %s, want %s", got, skew)
			}
			if want := start.Add(30 * 24 * time.Hour); !s.Authorization.NextAttempt.Equal(want) {
				t.Errorf("next attempt is %s, want %s by the product's clock", s.Authorization.NextAttempt, want)
			}
			p.desk.away = &Unreachable{Err: errors.New("no route")}
			p.clock.add(89*24*time.Hour + 23*time.Hour)
			_, _ = p.Report(t.Context())
			p.wantAuth(license.StatusAuthorized)
			p.clock.add(time.Hour)
			p.wantAuth(license.StatusExpired)
			p.desk.away = nil
			p.report()
			p.wantAuth(license.StatusAuthorized)
			p.clock.add(364 * 24 * time.Hour)
			if got := p.status().Registration.Status; got != RegistrationExpired {
				t.Errorf("after 454 days registration is %s", got)
			}
			p.must(p.RenewIdentity(t.Context()))
		})
	}
}

func TestLateAnswerDoesNotMoveTheSkew(t *testing.T) {
	t.Parallel()
	p := newProduct(t, time.Hour)
	p.register()
	p.desk.lose = 1
	_, _ = p.Report(t.Context())
	p.clock.add(10 * 24 * time.Hour)
	p.report() // the answer of ten days ago
	if got := p.status().ClockSkewSeconds; got != 3600 {
		t.Errorf("skew is %d s, want 3600", got)
	}
}
