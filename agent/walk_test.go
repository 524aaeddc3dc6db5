package agent

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// walk is a product whose machine, clock, disk and authority do what they like, and beside it what really happens.
type walk struct {
	*product
	rt     *rapid.T
	anchor *memAnchor
	policy string

	truth     time.Time     // what no clock of the product shows
	evaluated time.Duration // used without a registration, really
	starts    int           // of the machine
	contact   time.Time     // last answer
	short     time.Time     // first answer of an uninterrupted lack
	saved     [][]byte
	holds     bool          // registered, and not by its own administrator's act otherwise since
	steady    time.Duration // the machine has run since its clock last leapt
	late      bool          // it is shown as expired, or in evaluation
	allowed   license.Function
	shown     time.Duration // evaluation used, as shown
}

func newWalk(t *testing.T, rt *rapid.T, keys *trust.Keys) *walk {
	w := &walk{rt: rt, anchor: &memAnchor{}, truth: start, policy: rapid.SampledFrom([]string{"none", "ucm-12", "cwms-4"}).Draw(rt, "policy")}
	w.product = &product{t: t, clock: &clock{t: start}, keep: newMemory()}
	w.desk = &desk{
		t: t, keys: keys, now: func() time.Time { return w.truth }, stock: map[license.Tag]int64{tag: 1}, instances: map[string]*registered{}, intervals: map[wire.Interval]int{},
	}
	w.boot()
	w.of(w.policy)
	w.allowed = license.FullFunction
	return w
}

// boot is the product's process started again.
func (w *walk) boot() {
	a, err := New(w.keep, Options{
		Transport: w.desk, Now: w.clock.now, Uptime: w.clock.uptime, Rand: func() float64 { return 0.5 }, Anchors: []Anchor{w.anchor},
	})
	w.must(err)
	w.Agent = a
}

func (w *walk) must(err error) {
	if err != nil {
		w.rt.Fatalf("%v", err)
	}
}

func (w *walk) state() *state {
	st, _, err := w.load(w.t.Context())
	w.must(err)
	return st
}

// settled does what Run would do, and notes the answers that came.
func (w *walk) settled() {
	for range 10 {
		wait, err := w.Step(w.t.Context())
		w.must(err)
		if wait > 0 {
			break
		}
	}
	st := w.state()
	if last := st.Authorization.Last; st.Answer != nil && last.Reason == "" && w.desk.away == nil {
		w.noted(st)
	}
}

func (w *walk) noted(st *state) {
	if st.Answer == nil {
		return
	}
	if at := st.Answer.ServerTime; at.After(w.contact) {
		w.contact = at
		switch {
		case st.Answer.Status != string(license.StatusOutOfCompliance):
			w.short = time.Time{}
		case w.short.IsZero():
			w.short = at
		}
	}
}

// pass lets time pass on a machine that runs.
func (w *walk) pass(d time.Duration) {
	before := w.state()
	w.truth, w.steady = w.truth.Add(d), w.steady+d
	w.clock.add(d)
	if after := w.state(); before.evaluating() && after.evaluating() || after.evaluating() && before.Identity != nil {
		spent := d
		if after.Identity != nil {
			spent = min(d, after.Clock.Now().Sub(after.Identity.ExpiresAt))
		}
		w.evaluated += spent
	}
	w.must(w.Agent.keep(w.t.Context()))
	w.settled()
}

// check is what holds after everything that happens; own says that the product's own administrator did it.
func (w *walk) check(own bool) {
	sameAsKept(w.t, w.Agent)
	st := w.state()
	d := w.Decision()
	if !d.Allows(ActionRun) || !d.Allows(ActionRegister) {
		w.rt.Fatalf("%s stops what is running: %+v", w.policy, d)
	}
	if w.policy == "none" && d.Enforced {
		w.rt.Fatalf("the policy none enforces: %+v", d)
	}
	used := st.evaluation().Used
	if used < w.shown {
		w.rt.Fatalf("evaluation was given back: %s used, %s before", used, w.shown)
	}
	w.shown = used
	slack := time.Duration(w.starts) * license.Leap
	if used < min(w.evaluated, license.Evaluation) || used > w.evaluated+slack {
		w.rt.Fatalf("evaluation used is %s, really %s after %d starts of the machine", used, w.evaluated, w.starts)
	}
	if !own && d.Enforced && w.allowed == license.FullFunction && !w.deserved(slack) {
		w.rt.Fatalf("%s takes something away for a cause outside the product: %+v\nevaluated %s, contact %s ago, short since %s, standing %+v, clock %+v",
			w.policy, d, w.evaluated, w.truth.Sub(w.contact), w.short, st.standing(), st.Clock)
	}
	w.allowed = d.Function
	shown := license.ShownStatus(st.standing(), st.Clock.Now())
	late := st.Answer != nil && !w.truth.Before(st.Answer.Deadline) || st.Identity != nil && !w.truth.Before(st.Identity.ExpiresAt)
	worse := shown == license.StatusExpired || shown == license.StatusEvaluation || shown == license.StatusEvalExpired
	if worse && w.steady < license.Patience && w.holds && st.Removal == nil && st.Answer != nil && st.answered() != "" && !late && !w.late {
		w.rt.Fatalf("a clock that leapt %s ago shows %s: %+v", w.steady, shown, st.Clock)
	}
	w.late = worse // what was believed once stays until a contact
	if s, err := w.Status(w.t.Context()); err != nil || s.Decision.Function != d.Function {
		w.rt.Fatalf("status %+v, %v; decision %+v", s.Decision, err, d)
	}
}

// deserved says whether what really happened lets the policy take something away.
func (w *walk) deserved(slack time.Duration) bool {
	switch {
	case !w.holds:
		return w.evaluated+slack >= license.Evaluation
	case w.policy != "ucm-12":
		return false
	case !w.short.IsZero() && w.contact.Sub(w.short) > license.Overage:
		return true
	}
	return w.truth.Sub(w.contact) > license.AuthorizeLife+license.Overage-slack
}

// registerNow registers whatever the clock shows.
func (w *walk) registerNow() {
	err := w.Register(w.t.Context(), w.desk.token(), true)
	if w.desk.away != nil {
		if _, ok := errors.AsType[*Unreachable](err); !ok {
			w.rt.Fatalf("registered with nobody: %v", err)
		}
		return
	}
	w.must(err)
	st := w.state()
	w.holds = true
	w.noted(st)
	w.healed(st)
}

// healed is a product right after a contact: it knows the time, and shows what the authority says.
func (w *walk) healed(st *state) {
	if st.Clock.Suspect != nil || st.Clock.Now().Sub(w.truth).Abs() > time.Second {
		w.rt.Fatalf("after a contact the clock is %+v, really %s", st.Clock, w.truth)
	}
	s := st.show()
	if s.Registration.Status != Registered || s.Authorization.Status != st.Answer.Status && s.Authorization.Status != string(license.StatusNone) && st.answered() != "" {
		w.rt.Fatalf("after a contact it shows %+v, %+v", s.Registration, s.Authorization)
	}
}

func drawTime(rt *rapid.T, name string, most time.Duration) time.Duration {
	unit := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 365 * 24 * time.Hour}).Draw(rt, name+" unit")
	return min(time.Duration(rapid.Int64Range(1, 100).Draw(rt, name))*unit, most)
}

// TestNoHarmOnAnyWalk: whatever clocks, restarts, restores, outages and a lying authority do, no state allows less for a cause
// outside the product, no day of evaluation comes back, and a contact whose request was made for it heals the clock (reliability,
// section 2 rows 2 to 4
// and section 5).
func TestNoHarmOnAnyWalk(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	keys := newDesk(t, func() time.Time { return start }).keys
	rapid.Check(t, func(rt *rapid.T) {
		w := newWalk(t, rt, keys)
		if rapid.Bool().Draw(rt, "evaluated before") {
			w.use(1)
			w.pass(95 * day)
			w.allowed = w.Decision().Function
		}
		act := func(own bool, do func()) func(*rapid.T) {
			return func(*rapid.T) {
				do()
				w.check(own)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"":     func(*rapid.T) {},
			"pass": act(false, func() { w.pass(drawTime(rt, "time", 40*day)) }),
			"jump": act(false, func() {
				j := drawTime(rt, "jump", 30*365*day)
				if rapid.Bool().Draw(rt, "back") {
					j = -j
				}
				w.clock.jump(j)
				w.steady = 0
				w.settled()
			}),
			"restart": act(false, func() {
				off := drawTime(rt, "off", 60*day)
				w.truth = w.truth.Add(off)
				w.clock.restart(off)
				w.steady = 0
				w.starts++
				w.boot()
				w.of(w.policy)
				w.settled()
			}),
			"crash":  act(false, func() { w.boot(); w.settled() }),
			"outage": act(false, func() { w.desk.away = &Unreachable{Err: errors.New("no route")} }),
			"mended": act(false, func() { w.desk.away = nil; w.settled() }),
			"lost answer": act(false, func() {
				w.desk.lose = 1
				_, _ = w.Report(w.t.Context())
				w.desk.lose = 0
			}),
			"the authority lies once": act(false, func() {
				w.desk.refuse = func(string) (string, int64) { return wire.CodeRemoved, 0 }
				_, _ = w.Report(w.t.Context())
				w.desk.refuse = nil
			}),
			"report": act(false, func() {
				old := w.state().Pending != nil
				if _, err := w.Report(w.t.Context()); err == nil {
					if old { // its answer may have been given at any time since it was asked
						_, err := w.Report(w.t.Context())
						w.must(err)
					}
					st := w.state()
					w.noted(st)
					w.healed(st)
				}
			}),
			"use":  act(true, func() { w.use(rapid.Int64Range(0, 2).Draw(rt, "count")) }),
			"buy":  act(false, func() { w.desk.stock[tag] = rapid.Int64Range(0, 3).Draw(rt, "stock") }),
			"save": act(false, func() { w.saved = append(w.saved, w.keep.raw) }),
			"restore": act(true, func() {
				if len(w.saved) == 0 {
					return
				}
				w.keep.raw = w.saved[rapid.IntRange(0, len(w.saved)-1).Draw(rt, "snapshot")]
				w.boot()
				w.must(w.Agent.keep(w.t.Context())) // as Run begins
				w.restored()
			}),
			"register": act(true, func() { w.registerNow() }),
			"deregister": act(true, func() {
				if _, err := w.Deregister(w.t.Context()); err == nil {
					w.holds = false
				}
			}),
		})
	})
}

// has says whether an instance was neither deregistered nor removed.
func (d *desk) has(instance string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	in := d.instances[instance]
	return in != nil && !in.gone
}

// restored takes what really happened from what the restored state says, as far as it decides: an old identity may be gone at
// the authority, and an old answer is the last one again.
func (w *walk) restored() {
	st := w.state()
	w.evaluated = max(w.evaluated, min(st.evaluation().Used, license.Evaluation))
	w.contact, w.short, w.holds, w.late = time.Time{}, time.Time{}, st.Identity != nil && w.desk.has(st.Identity.Instance), true
	if st.Answer != nil {
		w.contact = st.Answer.ServerTime
		if st.Short != nil {
			w.short = w.contact.Add(-st.Short.Held.For)
		}
	}
}
