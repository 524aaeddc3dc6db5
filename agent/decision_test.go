package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

func wantNone(t *testing.T, text []byte, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if bytes.Contains(text, []byte(s)) {
			t.Errorf("a secret is in %.200s", text)
		}
	}
}

// of makes the product one of a policy.
func (p *product) of(policy string) {
	p.t.Helper()
	p.must(p.Init(p.t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1", Version: "3.9", Policy: policy}))
}

func (p *product) wantFunction(want Function) {
	p.t.Helper()
	d := p.Decision()
	if d.Function != want || d.Enforced != (want != FullFunction) || d.Enforced && d.Next == "" {
		p.t.Fatalf("decision is %+v, want %s", d, want)
	}
	if s := p.status(); s.Decision != d {
		p.t.Errorf("status says %+v, the decision is %+v", s.Decision, d)
	}
}

// TestEnforcementOfUCM plays the product's life under ucm-12: 90 days of overage, then no provisioning, and one answer lifts
// it.
func TestEnforcementOfUCM(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	p := newProduct(t, 0)
	p.of("ucm-12")
	p.use(1)
	p.clock.add(90*day - time.Second)
	p.wantFunction(FullFunction)
	p.clock.add(time.Second)
	p.wantFunction(NoProvisioning)
	if ok, _ := p.Allowed(ActionUse); !ok {
		t.Error("what is set up cannot be used any more")
	}
	p.register() // lifts it at once, though there is a shortage
	p.wantAuth(license.StatusOutOfCompliance)
	p.wantFunction(FullFunction)
	for range 180 {
		p.clock.add(12 * time.Hour)
		p.report()
	}
	p.wantFunction(FullFunction)
	p.clock.add(time.Second)
	p.report()
	p.wantFunction(NoProvisioning)
	p.desk.away = &Unreachable{Err: errors.New("no route")}
	p.clock.add(200 * day) // an authority that is away lifts nothing
	p.wantFunction(NoProvisioning)
	p.desk.away = nil
	p.desk.stock[tag] = 1
	p.must(p.RenewIdentity(t.Context()))
	p.report()
	p.wantFunction(FullFunction)
	p.clock.add(180*day - time.Second) // 90 days to the deadline, 90 more
	p.wantAuth(license.StatusExpired)
	p.wantFunction(FullFunction)
	p.clock.add(2 * time.Second)
	p.wantFunction(NoProvisioning)
	p.report()
	p.wantFunction(FullFunction)
}

// TestOutageDoesNotCountAsShortage: what was bought while the authority could not be reached cannot be known here.
func TestOutageDoesNotCountAsShortage(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	p := newProduct(t, 0)
	p.of("ucm-12")
	p.use(1)
	p.register()
	p.clock.add(4 * day)
	p.report()
	p.clock.add(89 * day)
	p.wantFunction(FullFunction)
}

func TestEnforcementOfCWMS(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	p := newProduct(t, 0)
	p.of("cwms-4")
	p.use(1)
	p.clock.add(90 * day)
	p.wantFunction(RegistrationOnly)
	for action, want := range map[Action]bool{ActionRun: true, ActionRegister: true, ActionUse: false, ActionProvision: false, ActionManage: false} {
		if ok, _ := p.Allowed(action); ok != want {
			t.Errorf("%s is allowed: %v", action, ok)
		}
	}
	p.desk.away = &Unreachable{Err: errors.New("no route")}
	if err := p.Register(t.Context(), p.desk.token(), false); err == nil {
		t.Fatal("registered")
	}
	p.wantFunction(RegistrationOnly)
	p.desk.away = nil
	p.register()
	p.wantFunction(FullFunction)
	p.clock.add(900 * day) // nothing that the authority does or does not do matters to this policy
	p.wantFunction(FullFunction)
	_, err := p.Deregister(t.Context()) // an act of the product's own administrator
	p.must(err)
	p.wantFunction(RegistrationOnly)
	p.of("none")
	p.wantFunction(FullFunction)
}

func TestRemovalTakesNothingBeforeItIsConfirmed(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.of("cwms-4")
	p.use(1)
	p.clock.add(90 * 24 * time.Hour)
	p.register()
	p.desk.only().gone = true
	_, err := p.Report(t.Context())
	wantCode(t, err, "instance-removed")
	p.wantAuth(license.StatusEvalExpired)
	p.wantFunction(FullFunction)
	p.clock.jump(30 * 365 * 24 * time.Hour) // time that does not pass confirms nothing
	p.steps()
	p.wantFunction(FullFunction)
	p.clock.add(73 * time.Hour)
	p.steps()
	p.wantFunction(RegistrationOnly)
}

// TestDecisionsWithoutTheDisk: when the state cannot be read any more, what was allowed is allowed still.
func TestDecisionsWithoutTheDisk(t *testing.T) {
	t.Parallel()
	k := &broken{memKeeper: newMemory()}
	c := &clock{t: start}
	a, err := New(k, Options{Now: c.now, Uptime: c.uptime})
	if err != nil {
		t.Fatal(err)
	}
	k.down = true
	if d := a.Decision(); d.Enforced || d.Next == "" {
		t.Errorf("a state that cannot be read decides %+v", d)
	}
	k.down = false
	if err := a.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1", Policy: "ucm-12"}); err != nil {
		t.Fatal(err)
	}
	k.down = true
	c.add(time.Hour)
	if d := a.Decision(); d.Policy != "ucm-12" || d.Enforced {
		t.Errorf("without the disk the decision is %+v", d)
	}
}

// broken is a disk that can be broken.
type broken struct {
	*memKeeper
	down bool
}

func (b *broken) Load(ctx context.Context) ([]byte, error) {
	if b.down {
		return nil, errors.New("input/output error")
	}
	return b.memKeeper.Load(ctx)
}

// TestDecisionIsQuick holds rule R1 of reliability: below a millisecond, without disk and network.
func TestDecisionIsQuick(t *testing.T) {
	r := testing.Benchmark(BenchmarkDecision)
	if per := time.Duration(r.NsPerOp()); per > time.Millisecond {
		t.Errorf("a decision takes %s", per)
	}
}

func BenchmarkDecision(b *testing.B) {
	p := newProduct(b, 0)
	p.opts.Uptime = SystemUptime
	p.of("ucm-12")
	for i := range 100 {
		p.must(p.SetUsage(b.Context(), fmt.Sprint("tag-", i), 7))
	}
	p.must(p.Register(b.Context(), p.desk.token(), false))
	p.Decision()
	for b.Loop() {
		if ok, d := p.Allowed(ActionProvision); !ok || !strings.Contains(d.Sentence, "allowed") {
			b.Fatal(d)
		}
	}
}
