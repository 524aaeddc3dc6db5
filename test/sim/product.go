package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

const day = 24 * time.Hour

// machine is the host of one product. Its time of day may be wrong by any amount; how long it has run is right. The agent asks
// it in the background as well; only the play changes it.
type machine struct {
	mu     sync.Mutex    // guards what follows, where the agent reads it
	true   time.Time     // what the time is
	wrong  time.Duration // what its clock shows beyond that
	booted time.Time
	boot   int
}

func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.true.Add(m.wrong)
}

func (m *machine) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func (m *machine) uptime() (string, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprint(m.boot), m.true.Sub(m.booted)
}

// disk keeps a product's state and what it was before.
type disk struct {
	mu    sync.Mutex // guards raw
	raw   []byte
	saved [][]byte // snapshots that somebody took
}

func (d *disk) Load(context.Context) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.raw, nil
}

func (d *disk) Save(_ context.Context, state []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.raw = state
	return nil
}

func (d *disk) Lock(context.Context) (func(), error) { return func() {}, nil }

// desk is where products talk to: an authority or a satellite.
type desk interface {
	Machine(ctx context.Context, verb string, envelope []byte) ([]byte, error)
}

var errAway = errors.New("no route to host")

// way is the connection of a product to its desk, as it is seen through the machine gate.
type way struct {
	desk desk
	m    *machine
	rand *rand.Rand
	away time.Time // cut until then
	// since is when it was found cut first; zero while it is not.
	since time.Time
	site  *site

	exchanges int
}

// cut says that the desk cannot be reached now. No product is without it for more than 90 days.
func (w *way) cut() bool {
	if !w.m.true.Before(w.away) && !w.m.true.Before(w.site.away) {
		w.since = time.Time{}
		return false
	}
	if w.since.IsZero() {
		w.since = w.m.true
	}
	if w.m.true.Sub(w.since) > 90*day {
		w.since, w.away = time.Time{}, time.Time{}
		return false
	}
	return true
}

// Exchange implements agent.Transport. One answer in fifty is lost after it was given.
func (w *way) Exchange(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	if w.cut() {
		return nil, &agent.Unreachable{Err: errAway}
	}
	reply, err := w.desk.Machine(ctx, verb, envelope)
	w.exchanges++
	switch {
	case w.rand.IntN(50) == 0:
		return nil, &agent.Unreachable{Err: errors.New("connection reset")}
	case reply != nil:
		return reply, nil
	case err != nil && license.AsError(err) != nil:
		return nil, license.AsError(err)
	case err != nil:
		return nil, &agent.Unreachable{Err: err}
	}
	return reply, nil
}

// product is one installation, with what the world knows about it and the product does not.
type product struct {
	name   string
	policy string
	tag    license.Tag
	uses   int64
	token  string
	joins  time.Time // when somebody registers it; zero for never

	m     machine
	disk  disk
	way   way
	agent *agent.Agent
	next  time.Time // of the world's clock

	joined   bool
	refused  bool // by the last look
	lookedAt time.Time
	harm     time.Duration // refused for a cause outside
	fair     time.Duration // refused for what its owner did or bought
	copies   int           // of its state at work, beyond itself
	restored int           // snapshots put back that had been left behind
	doubtful bool          // put back a snapshot that may or may not have been left behind
	trace    uint64
}

// start makes the process anew over the kept state, as after a restart of the machine.
func (p *product) start(ctx context.Context, at time.Time) error {
	p.m.set(func() { p.m.true, p.m.booted, p.m.boot = at, at, p.m.boot+1 })
	var err error
	p.agent, err = agent.New(&p.disk, agent.Options{Transport: &p.way, Now: p.m.now, Uptime: p.m.uptime, Rand: p.way.rand.Float64})
	if err != nil {
		return err
	}
	if err := p.agent.Init(ctx, agent.Product{Name: "Conference Server", PID: "CMS", Serial: p.name, Version: "4.1", Policy: p.policy}); err != nil {
		return err
	}
	return p.agent.SetUsage(ctx, string(p.tag), p.uses)
}

// work lets the product do at the time at whatever is due, and says when it is to be asked again.
func (p *product) work(ctx context.Context, at time.Time) error {
	p.m.set(func() { p.m.true = at })
	p.look()
	if !p.joined && !p.joins.IsZero() && !at.Before(p.joins) {
		err := p.agent.Register(ctx, p.token, false)
		if e := license.AsError(err); e != nil && !isAway(err) {
			return fmt.Errorf("%s registers: %w", p.name, err)
		}
		p.joined = true // Step goes on with it
	}
	for range 16 {
		wait, err := p.agent.Step(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if wait > 0 {
			break
		}
	}
	p.look()
	st, err := p.agent.Status(ctx)
	if err != nil {
		return err
	}
	p.next = at.Add(30 * day)
	if !p.joined && !p.joins.IsZero() {
		p.next = earlier(p.next, p.joins)
	}
	// The times that are shown are by the product's clock. In an outage it comes once a day, which is later than it could.
	soonest := at.Add(time.Hour)
	if st.Authorization.LastAttempt.Outcome == agent.Failed || st.Registration.LastRenewal.Outcome == agent.Failed {
		soonest = at.Add(day)
	}
	for _, t := range []time.Time{st.Registration.NextRenewal, st.Authorization.NextAttempt} {
		if !t.IsZero() {
			p.next = earlier(p.next, later(t.Add(-p.m.wrong), soonest))
		}
	}
	p.note(at, st)
	return nil
}

// look asks whether the product refuses something, and counts since the last look.
func (p *product) look() {
	allowed, _ := p.agent.Allowed(agent.ActionProvision)
	if p.refused && !p.lookedAt.IsZero() {
		if p.way.site.fair(p, p.lookedAt) {
			p.fair += p.m.true.Sub(p.lookedAt)
		} else {
			p.harm += p.m.true.Sub(p.lookedAt)
		}
	}
	if running, _ := p.agent.Allowed(agent.ActionRun); !running {
		p.harm += 1000 * day // nothing may ever end what runs
	}
	p.refused, p.lookedAt = !allowed, p.m.true
}

// note adds what is seen to the trace, which two runs of one seed must have in common.
func (p *product) note(at time.Time, st agent.Status) {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], p.trace)
	binary.LittleEndian.PutUint64(b[8:], uint64(at.UnixMilli()))
	_, _ = h.Write(b[:])
	_, _ = fmt.Fprint(h, st.Registration.Status, st.Authorization.Status, p.refused, p.way.exchanges)
	p.trace = h.Sum64()
}

func isAway(err error) bool {
	_, ok := errors.AsType[*agent.Unreachable](err)
	return ok
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
