package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/wire"
)

// Version is the version of this library, shown as the agent version.
const Version = "0.1.0"

// maxKept is how many intervals wait for an authority that is away: a year of hours and some.
const maxKept = 10_000

// Error is a refusal: a stable Code, a Message for people and a Hint what to do next. Every rule that says no, here or at
// the authority, says so with one; find it with errors.AsType.
type Error = license.Error

// Transport carries envelopes to the authority. Implementations are safe for concurrent use.
type Transport interface {
	// Exchange carries one envelope to the authority and brings its answer. The verb is register, authorize, renew or
	// deregister. An envelope may come more than once. An error means that there was no signed answer: *Unreachable when
	// trying again later may help, *Error for a refusal that nobody signed.
	Exchange(ctx context.Context, verb string, envelope []byte) ([]byte, error)
}

// Keeper keeps the state of one product, which holds its private key. Implementations are safe for concurrent use.
type Keeper interface {
	// Load returns the bytes saved last, nil when there are none. It is called with and without the lock.
	Load(ctx context.Context) ([]byte, error)
	// Save replaces the state. It is atomic, and when it returns nil the state survives a power loss.
	Save(ctx context.Context, state []byte) error
	// Lock keeps every other user of the same state out, other processes included, until unlock is called. It is held
	// for the time of a Load and a Save, never during an exchange.
	Lock(ctx context.Context) (unlock func(), err error)
}

// Options are the parts that a product may put in place of the usual ones. The zero value is useful.
type Options struct {
	// Transport defaults to HTTPS by the route of SetRoute.
	Transport Transport
	// Now defaults to the system's clock.
	Now func() time.Time
	// Uptime names the run of the machine and says how long it has lasted, sleep included. It defaults to SystemUptime, or,
	// when Now is set, to nothing: then the product vouches for its clock, and a jump of it is believed.
	Uptime func() (boot string, up time.Duration)
	// Anchors are further places that remember what must outlive the state: the time of evaluation that was used, and that
	// the product was registered. The product's own database is a good one.
	Anchors []Anchor
	// Rand returns numbers in [0,1) that spread attempts over time; it keeps no secrets.
	Rand func() float64
	// Logger takes what Run meets; nothing is logged without it.
	Logger *slog.Logger
}

// Product says what the product is. PID and Serial together are its UDI, which the first Init fixes for ever.
type Product struct {
	Name    string `json:"name"`
	PID     string `json:"pid"`
	Serial  string `json:"serial"`
	Version string `json:"version,omitempty"`
	// Hostname is shown at the authority; leave it empty to keep it private.
	Hostname string `json:"hostname,omitempty"`
	// LicensedVersion is what licenses are sold for, such as 12. Left empty it is the number before the first dot of
	// Version. An upgrade to another one that uses other tags starts a new evaluation.
	LicensedVersion string `json:"licensedVersion,omitempty"`
	// Policy is what the product does when it is over what it holds: none (the default), ucm-12 or cwms-4. See Decision.
	Policy string `json:"policy,omitempty"`
}

// Interval is the highest use of a tag inside [From, To), a closed interval of at most 31 days.
type Interval struct {
	Tag  string    `json:"tag"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Peak int64     `json:"peak"`
}

// Agent is one product's side of licensing. It keeps everything in its Keeper, so several agents, in several processes,
// may work on the same state. Safe for concurrent use.
type Agent struct {
	keeper Keeper
	opts   Options
	talk   chan struct{} // holds one value while an exchange of this process is under way
	wake   chan struct{} // tells Run that the state has changed
	seen   atomic.Pointer[sight]
	kept   atomic.Pointer[kept]
	signs  atomic.Pointer[signing]
	look   chan struct{} // holds one value while the state is read again beside a decision
}

// New makes an agent over the state that k keeps. It starts nothing and reads nothing.
func New(k Keeper, opts Options) (*Agent, error) {
	if k == nil {
		return nil, errors.New("new agent: no keeper")
	}
	if opts.Now == nil {
		opts.Now = time.Now
		if opts.Uptime == nil {
			opts.Uptime = SystemUptime
		}
	}
	if opts.Uptime == nil {
		opts.Uptime = func() (string, time.Duration) { return "", 0 }
	}
	if opts.Rand == nil {
		opts.Rand = rand.Float64
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Agent{keeper: k, opts: opts, talk: make(chan struct{}, 1), wake: make(chan struct{}, 1), look: make(chan struct{}, 1)}, nil
}

// Init fixes which product this is. The first call makes the state; later ones may change the name, versions, host name and
// policy and are refused, with the code identity-fixed, for another UDI. Nothing else is changed, the evaluation clock least.
func (a *Agent) Init(ctx context.Context, p Product) error {
	product := p.wire()
	if err := product.Check(); err != nil {
		return err
	}
	policy, err := license.ParsePolicy(p.Policy)
	if err != nil {
		return err
	}
	if len(p.LicensedVersion) > wire.MaxText {
		return license.Refuse(license.KindInvalid, "bad-version", "name it like 12", "the licensed version is longer than %d bytes", wire.MaxText)
	}
	return a.change(ctx, true, func(st *state, _ time.Time) error {
		if st.Product.PID != "" && st.Product.UDI() != product.UDI() {
			return license.Refuse(license.KindConflict, "identity-fixed", "use another state folder for another product",
				"this state belongs to the product %s and cannot become %s", st.Product.UDI(), product.UDI())
		}
		if id := st.Identity; id != nil && st.Product.PID == "" && !id.belongsTo(product) {
			st.giveUp() // what was left of a lost state was another product's
		}
		st.Product, st.Licensed, st.Policy = product, p.LicensedVersion, policy.Name
		return nil
	})
}

// SetUsage says what the product uses of a tag now. It is kept and reported with the next exchange; zero gives the
// licenses back. It never waits for the network.
func (a *Agent) SetUsage(ctx context.Context, tag string, count int64) error {
	return a.SetUsages(ctx, map[string]int64{tag: count})
}

// SetUsages is SetUsage for several tags at once: all are set or none is. Tags that are not named stay as they are.
func (a *Agent) SetUsages(ctx context.Context, counts map[string]int64) error {
	for tag, count := range counts {
		if err := checkCount(tag, count); err != nil {
			return err
		}
	}
	return a.update(ctx, func(st *state, _ time.Time) error {
		return st.use(counts)
	})
}

// AddInterval keeps peaks of past intervals until an answer acknowledges them. Two intervals of one tag that begin at the
// same instant become one, with the later end and the higher peak. It never waits for the network.
func (a *Agent) AddInterval(ctx context.Context, intervals ...Interval) error {
	for _, v := range intervals {
		if err := checkCount(v.Tag, v.Peak); err != nil {
			return err
		}
		if !v.To.After(v.From) || v.To.Sub(v.From) > 31*24*time.Hour {
			return license.Refuse(license.KindInvalid, "bad-interval", "report closed intervals of at most 31 days",
				"the interval of %s from %s to %s is empty or longer than 31 days", v.Tag, v.From, v.To)
		}
	}
	return a.update(ctx, func(st *state, _ time.Time) error {
		if st.Joined != nil {
			return license.Refuse(license.KindRefused, "cluster-member", "say what is in use now; the highest moments of several nodes cannot be added",
				"a member of a cluster reports no intervals")
		}
		for _, v := range intervals {
			st.Intervals = append(st.Intervals, wire.Interval{Tag: license.Tag(v.Tag), From: instant(v.From), To: instant(v.To), Peak: v.Peak})
		}
		st.Intervals = mergeIntervals(st.Intervals)
		if len(st.Intervals) > maxKept {
			return license.Refuse(license.KindTooLarge, "too-many-intervals", "bring the authority back, or report longer intervals",
				"%d intervals wait for the authority; more than %d are not kept", len(st.Intervals), maxKept)
		}
		return nil
	})
}

func checkCount(tag string, count int64) error {
	if _, err := license.ParseTag(tag); err != nil {
		return err
	}
	if count < 0 || count > license.MaxQuantity {
		return license.Refuse(license.KindInvalid, "bad-count", "count what is in use now; zero gives the licenses back",
			"the count %d of %s is not between 0 and %d", count, tag, license.MaxQuantity)
	}
	return nil
}

// update changes the state of a product that has an identity.
func (a *Agent) update(ctx context.Context, change func(st *state, now time.Time) error) error {
	return a.change(ctx, false, change)
}

// change locks and loads the state, moves its clocks, lets change work on it and saves it. When change fails, nothing is
// saved.
func (a *Agent) change(ctx context.Context, first bool, change func(st *state, now time.Time) error) error {
	unlock, err := a.keeper.Lock(ctx)
	if err != nil {
		return fmt.Errorf("lock the state: %w", err)
	}
	defer unlock()
	st, old, err := a.load(ctx)
	if err != nil {
		return err
	}
	if !first {
		if err := st.initialized(); err != nil {
			return err
		}
	}
	if err := change(st, st.Clock.Wall); err != nil {
		return err
	}
	remembered := a.recall(ctx)
	st.remember(remembered)
	next, err := st.encode()
	if err != nil || bytes.Equal(old, next) {
		return err
	}
	if err := a.keeper.Save(ctx, next); err != nil {
		return fmt.Errorf("save the state: %w", err)
	}
	a.saved(next, st)
	a.anchor(ctx, st, remembered)
	a.seen.Store(a.sightOf(st))
	select {
	case a.wake <- struct{}{}:
	default: // Run will look anyway
	}
	return nil
}

// load reads the state, moves its clocks, and takes over what the anchors remember, in this order: what a restored state makes
// up for as time passes and what an anchor has seen already are the same time. The bytes come beside it.
func (a *Agent) load(ctx context.Context) (*state, []byte, error) {
	st, raw, err := a.read(ctx)
	if err != nil {
		return nil, nil, err
	}
	st.tick(a.reading())
	st.remember(a.recall(ctx))
	return st, raw, nil
}

// read is the state as it was kept, or made again from what is left, and its bytes.
func (a *Agent) read(ctx context.Context) (*state, []byte, error) {
	raw, err := a.keeper.Load(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("load the state: %w", err)
	}
	st, err := a.decode(raw)
	if raw == nil || err != nil {
		if st, err = a.rebuild(ctx, err); err != nil {
			return nil, nil, err
		}
	}
	return st, raw, nil
}

// peek is the state as it was kept, its clocks where they were, for those who only look: nobody changes it.
func (a *Agent) peek(ctx context.Context) (*state, error) {
	if raw, err := a.keeper.Load(ctx); err == nil {
		if st := a.known(raw); st != nil {
			return st, nil
		}
	}
	st, _, err := a.read(ctx)
	return st, err
}

// reading is one look at the clocks of this machine.
func (a *Agent) reading() license.Reading {
	boot, up := a.opts.Uptime()
	return license.Reading{Wall: instant(a.opts.Now()), Boot: boot, Up: up}
}

// now is the product's clock.
func (a *Agent) now() time.Time { return instant(a.opts.Now()) }

// instant is a time as it is kept: UTC, milliseconds.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// usesOf is the reported form of a usage map.
func usesOf(usage map[license.Tag]int64) []wire.Usage {
	uses := make([]wire.Usage, 0, len(usage))
	for _, tag := range slices.Sorted(maps.Keys(usage)) {
		uses = append(uses, wire.Usage{Tag: tag, Count: usage[tag]})
	}
	return uses
}
