package agent

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// runFor lets Run work for a time. Inside a synctest bubble the time passes at once.
func runFor(t *testing.T, p *product, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// inBubble is a product whose clock is the bubble's.
func inBubble(t *testing.T, chance float64) *product {
	t.Helper()
	p := &product{t: t, keep: newMemory(), desk: newDesk(t, time.Now)}
	a, err := New(p.keep, Options{Transport: p.desk, Uptime: bubbleUptime(), Rand: func() float64 { return chance }})
	p.must(err)
	p.Agent = a
	p.must(p.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1"}))
	return p
}

// bubbleUptime is the run of a machine that began now.
func bubbleUptime() func() (string, time.Duration) {
	began := time.Now()
	return func() (string, time.Duration) { return "bubble", time.Since(began) }
}

func (d *desk) count(verb string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, s := range d.seen {
		if len(s) > len(verb) && s[:len(verb)] == verb {
			n++
		}
	}
	return n
}

func TestRunForAYear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, 0.999)
		p.desk.stock[tag] = 1
		p.use(1)
		p.register()
		began := time.Now()
		runFor(t, p, 365*24*time.Hour)
		if got := time.Since(began); got != 365*24*time.Hour {
			t.Errorf("the year took %s", got)
		}
		if n := p.desk.count(verbRenew); n != 2 {
			t.Errorf("%d renewals of the identity, want 2", n)
		}
		if n := p.desk.count(verbAuthorize); n != 13 {
			t.Errorf("%d authorizations, want 13: the first and one each 30 days", n)
		}
		p.wantAuth(license.StatusAuthorized)
	})
}

func TestRunComesEarlierNeverLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, 0)
		p.register()
		began := time.Now()
		runFor(t, p, 29*24*time.Hour) // 30 days less five percent
		if last := p.status().Authorization.LastAttempt.At.Sub(began); last != 684*time.Hour {
			t.Errorf("authorized after %s, want 684h", last)
		}
	})
}

func TestRunWhileOutOfCompliance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, 0.999999)
		p.use(1)
		p.register()
		runFor(t, p, 10*24*time.Hour)
		if n := p.desk.count(verbAuthorize); n != 21 {
			t.Errorf("%d authorizations in ten days, want 21: one each 12 hours", n)
		}
		p.desk.stock[tag] = 1
		runFor(t, p, 12*time.Hour)
		p.wantAuth(license.StatusAuthorized)
	})
}

func TestRunGoesOnWhenTheAuthorityIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, 0.5)
		p.desk.stock[tag] = 1
		p.use(1)
		p.register()
		p.desk.away = &Unreachable{Err: errors.New("no route")}
		runFor(t, p, 89*24*time.Hour)
		p.wantAuth(license.StatusAuthorized)
		if a := p.status().Authorization; a.LastAttempt.Outcome != Failed || !a.NextAttempt.After(a.LastAttempt.At) {
			t.Errorf("authorization is %+v", a)
		}
		runFor(t, p, 2*24*time.Hour)
		p.wantAuth(license.StatusExpired)
		if s := p.status().Registration.Status; s != Registered {
			t.Errorf("registration is %s", s)
		}
		p.desk.away = nil
		runFor(t, p, 12*time.Hour)
		p.wantAuth(license.StatusAuthorized)
	})
}

func TestRunHonorsRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, 0)
		p.desk.away = nil
		p.register()
		p.desk.away = &Unreachable{RetryAfter: 3 * time.Hour, Err: errors.New("busy")}
		if _, err := p.Report(t.Context()); err == nil {
			t.Fatal("no error")
		}
		failed := time.Now()
		p.desk.away = nil
		runFor(t, p, 3*time.Hour-time.Second)
		if n := p.desk.count(verbAuthorize); n != 1 {
			t.Errorf("asked again before the authority wanted it: %q", p.desk.seen)
		}
		runFor(t, p, 2*time.Second)
		if at := p.status().Authorization.LastAttempt; at.Outcome != Succeeded || at.At.Sub(failed) != 3*time.Hour {
			t.Errorf("last attempt %+v, want success after 3h", at)
		}
	})
}

func TestRunStopsAfterRemoval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, 0.5)
		p.use(1)
		p.register()
		p.desk.only().gone = true
		runFor(t, p, 40*24*time.Hour)
		if n := p.desk.count(verbAuthorize); n != 3 {
			t.Errorf("asked %d times, want 3: a removed product asks once more and not in a loop", n)
		}
		s := p.status()
		if s.Registration.Status != Unregistered || s.Authorization.EvaluationSeconds >= 54*86400 || s.Authorization.EvaluationSeconds < 53*86400 {
			t.Errorf("status is %+v, want unregistered with more than 36 days of evaluation used", s)
		}
	})
}

func TestRunNoticesWhatOthersDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, 0.5)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		other, err := New(p.keep, Options{Transport: p.desk, Uptime: p.opts.Uptime})
		p.must(err)
		p.must(other.Register(ctx, p.desk.token(), false))
		time.Sleep(31 * 24 * time.Hour) // the bubble's time
		cancel()
		p.must(<-done)
		if n := p.desk.count(verbAuthorize); n < 2 {
			t.Errorf("%d authorizations, want the registration of the other process to be noticed", n)
		}
	})
}

func TestRunSavesTheEvaluationHourly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, 0.5)
		runFor(t, p, 5*time.Hour)
		idle := p.keep.saves
		p.use(1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(100*time.Hour + time.Minute)
		st, _, err := p.read(t.Context())
		p.must(err)
		if st.evaluation().Used != 100*time.Hour {
			t.Errorf("after 100 h and a minute %s are saved, want 100h", st.evaluation().Used)
		}
		cancel()
		p.must(<-done)
		st, _, err = p.read(t.Context())
		p.must(err)
		if st.evaluation().Used != 100*time.Hour+time.Minute {
			t.Errorf("after the end %s are saved", st.evaluation().Used)
		}
		if n := p.keep.saves - idle; n > 103 {
			t.Errorf("%d saves in 100 hours", n)
		}
	})
}

func TestRunOutlivesADiskThatIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, 0.5)
		p.register()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(28 * 24 * time.Hour)
		p.keep.mu.Lock()
		p.keep.fail = errors.New("no space left on device")
		p.keep.mu.Unlock()
		time.Sleep(2 * 24 * time.Hour)
		if n := p.desk.count(verbAuthorize); n != 1 {
			t.Errorf("%d requests; a request that cannot be kept must not be sent", n)
		}
		p.keep.mu.Lock()
		p.keep.fail = nil
		p.keep.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if n := p.desk.count(verbAuthorize); n != 2 {
			t.Errorf("%d requests, want the second one now", n)
		}
		cancel()
		p.must(<-done)
	})
}

// TestExpiredOnADiskThatIsFull: a product whose identity is over does not go round and round when nothing can be saved.
func TestExpiredOnADiskThatIsFull(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	p.desk.away = &Unreachable{Err: errors.New("no route")}
	p.clock.add(400 * 24 * time.Hour)
	for {
		wait, err := p.Step(t.Context())
		p.must(err)
		if wait > 0 {
			p.clock.add(wait)
			break
		}
	}
	p.keep.fail = errors.New("no space left on device")
	if wait, err := p.Step(t.Context()); err == nil {
		t.Errorf("nothing can be saved, and Step is to be asked again after %s", wait)
	}
	p.keep.fail = nil
}

// TestReportIsSavedTwice: with the request before it is sent, and with its answer. The clocks go with them.
func TestReportIsSavedTwice(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	p.report()
	p.clock.add(30 * 24 * time.Hour)
	saves, reports := p.keep.saves, p.desk.count(verbAuthorize)
	for {
		wait, err := p.Step(t.Context())
		p.must(err)
		if wait > 0 {
			break
		}
	}
	saves, reports = p.keep.saves-saves, p.desk.count(verbAuthorize)-reports
	if saves != 2 || reports != 1 {
		t.Errorf("%d saves for %d reports, want 2 for one", saves, reports)
	}
}

func TestEvaluationBudget(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	p := newProduct(t, 0)
	want := func(left time.Duration) {
		t.Helper()
		if got := time.Duration(p.status().Authorization.EvaluationSeconds) * time.Second; got != left {
			t.Fatalf("%s left, want %s", got, left)
		}
	}
	p.clock.add(5 * day)
	want(90 * day) // nothing is used yet
	p.use(1)
	p.clock.add(10 * day)
	want(80 * day)
	p.must(p.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1", Version: "4.0"}))
	want(80 * day)
	p.clock.add(-5 * day) // a clock set back gives nothing back
	want(80 * day)
	p.clock.jump(300 * day) // one set forward takes nothing
	want(80 * day)
	p.clock.add(day)
	want(79 * day)
	p.register()
	p.clock.add(50 * day)
	want(79 * day)
	_, err := p.Deregister(t.Context())
	p.must(err)
	want(79 * day)
	p.clock.add(79*day - time.Hour)
	p.wantAuth(license.StatusEvaluation)
	p.clock.add(time.Hour)
	p.wantAuth(license.StatusEvalExpired)
	p.use(0)
	p.wantAuth(license.StatusNone)
	p.use(1)
	p.wantAuth(license.StatusEvalExpired)
	p.register()
	p.wantAuth(license.StatusOutOfCompliance)
}

func TestScheduleDue(t *testing.T) {
	t.Parallel()
	var s schedule
	s.succeeded(start, 100*time.Hour, 0)
	for _, c := range []struct {
		name string
		now  time.Duration
		want bool
	}{
		{"at once", 0, false},
		{"before five percent", 95*time.Hour - 1, false},
		{"at five percent", 95 * time.Hour, true},
		{"clock a little back", -time.Hour, false},
		{"clock far back", -time.Hour - 1, true},
	} {
		if got := s.due(start.Add(c.now)); got != c.want {
			t.Errorf("%s: due is %v, want %v", c.name, got, c.want)
		}
	}
	var waits []time.Duration
	now := start
	for range 4 {
		s.failed(now, "x\n\ty  z\x00", 0.5, 0)
		waits = append(waits, s.Next.Sub(now))
		now = s.Next
	}
	if want := []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute}; !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	if s.Last.Reason != "x y z" {
		t.Errorf("reason %q, want one plain line", s.Last.Reason)
	}
}
