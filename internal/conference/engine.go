package conference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// Options are the parts of an Engine. Store and Transport are required.
type Options struct {
	Store *store.Store
	// Transport returns the way to the authority for the engine of an account.
	Transport func(account string) agent.Transport
	Now       func() time.Time // nil means time.Now
	Log       *slog.Logger     // nil means slog.Default
	Version   string           // of the program, shown at the authority
	Keys      *trust.Keys      // keep the passwords of other servers; nil keeps none
}

// Changes gather for quietLooks looks before they are written to the tables of meetings: up to busyLooks while more than
// busyRecords come between two, so that meetings that run on are written once a second in a rush. Those that ended are written
// at every look then, so that nothing piles up. afterTrouble is how long the next try waits when that failed.
const (
	lookDelay    = 25 * time.Millisecond
	quietLooks   = 10
	busyLooks    = 40
	busyRecords  = 25
	manyEnded    = 48   // meetings that ended; fewer wait
	manyDirty    = 1000 // meetings that run on; so many are written at once
	afterTrouble = 5 * time.Second
)

// Engine is the conference engine of all accounts of a server. Several engines, in several processes, may work on one
// database. Safe for concurrent use.
type Engine struct {
	store     *store.Store
	transport func(account string) agent.Transport
	now       func() time.Time
	log       *slog.Logger
	version   string
	keys      *trust.Keys // nil where no password can be kept
	holder    string      // of leases
	begun     time.Time

	leaders sync.WaitGroup // goroutines that commit posts
	doors   doors

	mu       sync.Mutex          // guards what follows
	clusters map[string]*cluster // by id, for good: there are few
	kept     snapshots           // versions of directories and policies
	sharing  map[string]bool     // accounts with a policy that gives second meetings a shared license, as far as seen
	keepers  map[string]*keeper  // states of agents, by account
	changed  map[string]bool     // accounts whose use may have changed since the last look
	details  map[string]*details // of APIs of call bridges, by id
	wake     chan struct{}       // holds one value when a cluster has become dirty
	used     chan struct{}       // holds one value when changed is not empty
}

// New makes an engine. It starts nothing; Receive works at once, and Run does the rest.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Engine{
		store: o.Store, transport: o.Transport, now: o.Now, log: o.Log, version: o.Version, keys: o.Keys,
		holder: trust.NewID("eng", o.Now()), begun: o.Now(),
		doors:    doors{known: map[string]door{}},
		clusters: map[string]*cluster{}, keepers: map[string]*keeper{}, sharing: map[string]bool{}, changed: map[string]bool{}, details: map[string]*details{},
		wake: make(chan struct{}, 1), used: make(chan struct{}, 1),
	}
}

// Run writes meetings as records come, and, for the accounts whose lease it holds, reports use to the authority. It
// returns when ctx ends, having written what was left; the error is that of this last writing.
func (e *Engine) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { e.flushing(ctx) })
	parts.Go(func() { e.reporting(ctx) })
	parts.Go(func() { e.polling(ctx) })
	parts.Go(func() { e.syncing(ctx) })
	parts.Wait()
	e.leaders.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return e.flush(last)
}

// resume writes the meetings of posts that were stored, but not decided, when the last process ended. It finishes what it
// began also when the engine is stopped right away.
func (e *Engine) resume(ctx context.Context) {
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer end()
	var all []db.Conference
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.Conferences(ctx)
		return err
	})
	for _, c := range all {
		err = errors.Join(err, e.sync(ctx, c.AccountID), e.settleBridges(ctx, c.AccountID))
	}
	if err != nil {
		e.log.ErrorContext(ctx, "meetings are not up to date yet; the next record or question brings them", "error", err)
	}
}

// flushing writes what has become dirty, a little later.
func (e *Engine) flushing(ctx context.Context) {
	e.resume(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		for n, more := 1, true; more; n++ {
			if !pause(ctx, lookDelay) {
				return
			}
			busy := e.look(ctx)
			more = n < quietLooks || busy && n < busyLooks
		}
		for wait := time.Duration(1); wait > 0; {
			if !pause(ctx, wait) {
				return
			}
			wait = 0
			whole, end := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
			err := e.flush(whole)
			end()
			if err != nil {
				e.log.ErrorContext(ctx, "meetings are not written; it will be tried again", "error", err)
				wait = afterTrouble
			}
		}
	}
}

// look takes what was heard to its meetings, writes those that ended if there are many, and says whether it is worth while to
// wait for more. An error shows when all are flushed.
func (e *Engine) look(ctx context.Context) (wait bool) {
	records, running := 0, 0
	for _, c := range e.all() {
		c.mu.Lock()
		records += c.waiting
		c.mu.Unlock()
		_ = c.route(ctx)
		c.mu.Lock()
		ended := c.ended
		running += len(c.dirtied) - ended
		c.mu.Unlock()
		if ended >= manyEnded {
			_ = c.flushEnded(ctx)
		}
	}
	return records > busyRecords && running < manyDirty
}

// flush writes the dirty meetings of all clusters.
func (e *Engine) flush(ctx context.Context) error {
	var errs []error
	for _, c := range e.all() {
		errs = append(errs, c.flush(ctx))
	}
	return errors.Join(errs...)
}

// all returns the clusters in memory.
func (e *Engine) all() []*cluster {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.clusters))
}

// sync brings the tables of an account's meetings up to date with its journal.
func (e *Engine) sync(ctx context.Context, account string) error {
	var behind []string
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		behind, err = tx.BehindClusters(ctx, account)
		return err
	})
	for _, id := range behind {
		if err != nil {
			break
		}
		var c *cluster
		if c, err = e.cluster(ctx, account, id); err == nil {
			if err = c.catchUp(ctx); err == nil {
				err = c.flush(ctx)
			}
		}
	}
	return outcome("bring meetings up to date", err)
}

// cluster finds a cluster by its id.
func (e *Engine) cluster(ctx context.Context, account, id string) (*cluster, error) {
	e.mu.Lock()
	c := e.clusters[id]
	e.mu.Unlock()
	if c != nil && c.account == account {
		return c, nil
	}
	var row db.Cluster
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.Cluster(ctx, db.ClusterParams{AccountID: account, ClusterID: id})
		return err
	})
	if errors.Is(err, store.ErrNoRow) {
		return nil, license.NotFound("bridge", id)
	}
	if err != nil {
		return nil, fmt.Errorf("look up bridge %s: %w", id, err)
	}
	made, err := newCluster(e, row)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.clusters[id]; c != nil {
		return c, nil
	}
	e.clusters[id] = made
	return made, nil
}

// dirty tells Run that there is something to write.
func (e *Engine) dirty() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// use tells Run that the use of an account may have changed.
func (e *Engine) use(account string) {
	e.mu.Lock()
	e.changed[account] = true
	e.mu.Unlock()
	select {
	case e.used <- struct{}{}:
	default:
	}
}

// outcome turns the store's conditions into refusals that a caller can act on.
func outcome(verb string, err error) error {
	switch {
	case err == nil || license.AsError(err) != nil:
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &license.Error{Kind: license.KindUnavailable, Code: "unavailable", Message: "the database did not answer in time",
			Hint: "repeat the request; it does no harm twice", Err: err}
	}
	return fmt.Errorf("%s: %w", verb, err)
}

// pause waits, and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
