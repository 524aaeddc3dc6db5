package conference

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// The engine as a product. Name and product id are shown at the authority; the serial is made when it is enabled.
const (
	productName = "Tallystick conference engine"
	productID   = "TALLY-CONF"
	agentID     = "conference"
)

const (
	leaseName  = "conference"
	leaseFor   = time.Minute
	leaseRenew = 20 * time.Second
	lockName   = "conference-state"
	lockFor    = 10 * time.Second
	lockPause  = 20 * time.Millisecond
	reportWait = time.Second      // between two reports at least
	hourGrace  = 10 * time.Minute // how long after its end an hour goes to the authority
	hourQuiet  = 3 * time.Second  // how long it must not have changed before
)

// Enable puts the engine of an account to work as a product instance of a virtual account, registered with a token of
// that virtual account. Doing it again with the same virtual account changes nothing while the registration holds, and
// tries it again when it failed. Errors are license.Error: of kind conflict when it is enabled in another virtual
// account, and those of the registration.
func (e *Engine) Enable(ctx context.Context, who, account, va, token string) error {
	var conf db.Conference
	err := e.store.Update(ctx, "enable conference engine", func(tx *store.Tx) error {
		var err error
		conf, err = tx.Conference(ctx, account)
		switch {
		case err == nil && conf.VaID != va:
			return license.Refuse(license.KindConflict, "conference-enabled", "move the engine's product instance instead",
				"the conference engine of this account is enabled in the virtual account %s already", conf.VaID)
		case err == nil:
			return nil
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		conf = db.Conference{AccountID: account, VaID: va, Serial: trust.NewID("eng", tx.Now()), EnabledAt: store.Ms(tx.Now())}
		err = tx.PutConference(ctx, db.PutConferenceParams{AccountID: account, VaID: va, Serial: conf.Serial, EnabledAt: conf.EnabledAt})
		if store.IsForeignKey(err) {
			return license.NotFound("virtual account", va)
		}
		return err
	})
	if err != nil {
		return outcome("enable conference engine", err)
	}
	a, err := e.agent(account)
	if err != nil {
		return fmt.Errorf("make agent of %s: %w", account, err)
	}
	if err := a.Init(ctx, agent.Product{Name: productName, PID: productID, Serial: conf.Serial, Version: e.version}); err != nil {
		return outcome("prepare agent", err)
	}
	if status, err := a.Status(ctx); err != nil || registered(status) {
		return outcome("read agent", err)
	}
	if err := a.Register(ctx, token, true); err != nil {
		return outcome("register conference engine", err)
	}
	e.log.InfoContext(ctx, "conference engine enabled", "account", account, "virtualAccount", va, "by", who)
	e.use(account)
	return nil
}

// Status says how the engine of an account stands with the authority. Errors: a license.Error of kind refused while it is
// not enabled.
func (e *Engine) Status(ctx context.Context, account string) (agent.Status, error) {
	err := e.store.View(ctx, func(tx *store.Tx) error {
		_, err := tx.Conference(ctx, account)
		if errors.Is(err, sql.ErrNoRows) {
			return notEnabled()
		}
		return err
	})
	if err != nil {
		return agent.Status{}, outcome("read conference", err)
	}
	a, err := e.agent(account)
	if err != nil {
		return agent.Status{}, fmt.Errorf("make agent of %s: %w", account, err)
	}
	status, err := a.Status(ctx)
	return status, outcome("read agent", err)
}

func (e *Engine) agent(account string) (*agent.Agent, error) {
	e.mu.Lock()
	k := e.keepers[account]
	if k == nil {
		k = &keeper{store: e.store, account: account, holder: e.holder, busy: make(chan struct{}, 1)}
		e.keepers[account] = k
	}
	e.mu.Unlock()
	return agent.New(k, agent.Options{Transport: e.transport(account), Now: e.now, Logger: e.log})
}

// keeper keeps the agent's state of one account in the database, and locks it for this process and the others.
type keeper struct {
	store   *store.Store
	account string
	holder  string
	busy    chan struct{} // holds one value while locked
}

// Load implements agent.Keeper.
func (k *keeper) Load(ctx context.Context) ([]byte, error) {
	var state []byte
	err := k.store.View(ctx, func(tx *store.Tx) (err error) {
		state, err = tx.AgentState(ctx, db.AgentStateParams{AccountID: k.account, AgentID: agentID})
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return state, err
}

// Save implements agent.Keeper.
func (k *keeper) Save(ctx context.Context, state []byte) error {
	return k.store.Update(ctx, "save agent state", func(tx *store.Tx) error {
		return tx.PutAgentState(ctx, db.PutAgentStateParams{AccountID: k.account, AgentID: agentID, State: state, SavedAt: store.Ms(tx.Now())})
	})
}

// Lock implements agent.Keeper. A lock whose holder died is free after a while.
func (k *keeper) Lock(ctx context.Context) (func(), error) {
	select {
	case k.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		locked, err := lease(ctx, k.store, k.account, lockName, k.holder, lockFor)
		if locked && err == nil {
			return k.unlock, nil
		}
		if err != nil || !pause(ctx, lockPause) {
			<-k.busy
			return nil, cmp.Or(err, ctx.Err())
		}
	}
}

func (k *keeper) unlock() {
	ctx, cancel := context.WithTimeout(context.Background(), lockFor)
	defer cancel()
	_, _ = lease(ctx, k.store, k.account, lockName, k.holder, -lockFor) // else it ends by itself
	<-k.busy
}

// lease takes or renews a lease, or with a negative time gives it back; it reports whether the holder had or got it.
func lease(ctx context.Context, st *store.Store, account, name, holder string, d time.Duration) (bool, error) {
	var taken int64
	err := st.Update(ctx, "take lease", func(tx *store.Tx) (err error) {
		taken, err = tx.TakeLease(ctx, db.TakeLeaseParams{AccountID: account, Name: name, Holder: holder,
			UntilAt: store.Ms(tx.Now().Add(d)), Now: store.Ms(tx.Now())})
		return err
	})
	return taken == 1, err
}

// reporting works, for each account whose lease this engine gets, as its product, until ctx ends.
func (e *Engine) reporting(ctx context.Context) {
	var works sync.WaitGroup
	running := map[string]*work{}
	look := func() {
		var accounts []db.Conference
		err := e.store.View(ctx, func(tx *store.Tx) (err error) {
			accounts, err = tx.Conferences(ctx)
			return err
		})
		if err != nil {
			e.complain(ctx, "accounts with a conference engine are not known", err)
			return
		}
		for _, conf := range accounts {
			account := conf.AccountID
			leads := e.lead(ctx, account)
			w := running[account]
			switch {
			case leads && w == nil:
				within, end := context.WithCancel(ctx)
				w = &work{engine: e, account: account, end: end, changed: make(chan struct{}, 1)}
				running[account] = w
				works.Go(func() { w.run(within) })
			case !leads && w != nil:
				w.end()
				delete(running, account)
			}
		}
	}
	renew := time.NewTicker(leaseRenew)
	defer renew.Stop()
	look()
	for {
		select {
		case <-ctx.Done():
			for _, w := range running {
				w.end()
			}
			works.Wait()
			return
		case <-renew.C:
			look()
		case <-e.used:
			e.mu.Lock()
			changed := e.changed
			e.changed = map[string]bool{}
			e.mu.Unlock()
			for account := range changed {
				if running[account] == nil {
					look()
				}
				if w := running[account]; w != nil {
					w.wake()
				}
			}
		}
	}
}

// lead takes or renews the lease of an account.
func (e *Engine) lead(ctx context.Context, account string) bool {
	leads, err := lease(ctx, e.store, account, leaseName, e.holder, leaseFor)
	if err != nil {
		e.complain(ctx, "the lease of the conference engine is not taken", err)
	}
	return err == nil && leads
}

func (e *Engine) complain(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		e.log.WarnContext(ctx, what, "error", err)
	}
}

// work is the product of one account, while this engine holds its lease.
type work struct {
	engine  *Engine
	account string
	end     context.CancelFunc
	changed chan struct{} // holds one value when the use may have changed
}

func (w *work) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// run reports what changed, at most once a second, and lets the agent do its regular work.
func (w *work) run(ctx context.Context) {
	a, err := w.engine.agent(w.account)
	if err != nil {
		w.engine.complain(ctx, "the conference engine cannot report", err)
		return
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() {
		if err := a.Run(ctx); err != nil {
			w.engine.complain(ctx, "the agent of the conference engine stopped", err)
		}
	})
	w.wake()
	regular := time.NewTicker(leaseRenew)
	defer regular.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		case <-regular.C:
		}
		if !pause(ctx, reportWait) {
			return
		}
		again, err := w.report(ctx, a)
		if err != nil {
			w.engine.complain(ctx, "the use of conference licenses is not reported yet", err)
		}
		if again > 0 {
			time.AfterFunc(again, w.wake)
		}
	}
}

// report tells the authority what is in use when that changed, and the peaks of closed hours. It says after which time
// there may be more to tell.
func (w *work) report(ctx context.Context, a *agent.Agent) (again time.Duration, err error) {
	e := w.engine
	status, err := a.Status(ctx)
	if err != nil || !registered(status) {
		return 0, err
	}
	use, err := e.inUse(ctx, w.account)
	if err != nil {
		return 0, err
	}
	news := false
	for tag, n := range use {
		if told(status, tag) != n {
			news = true
			if err := a.SetUsage(ctx, tag, n); err != nil {
				return 0, err
			}
		}
	}
	closed, err := e.closedHours(ctx, w.account)
	if err != nil {
		return 0, err
	}
	if len(closed) > 0 {
		news = true
		if err := a.AddInterval(ctx, closed...); err != nil {
			return 0, err
		}
		if err := e.markReported(ctx, w.account, closed); err != nil {
			return 0, err
		}
	}
	if news {
		_, err = a.Report(ctx)
		return hourQuiet, err
	}
	return 0, nil
}

// registered reports whether the authority knows the product.
func registered(s agent.Status) bool { return s.Registration.Instance != "" }

// told is the use of a tag that the agent has to report.
func told(s agent.Status, tag string) int64 {
	for _, l := range s.Licenses {
		if l.Tag == tag {
			return l.Count
		}
	}
	return 0
}

// inUse returns what the account uses now: personal licenses are used by their holders, shared ones up to the peak of
// the hour that runs.
func (e *Engine) inUse(ctx context.Context, account string) (map[string]int64, error) {
	now := e.now().UTC().Truncate(time.Hour)
	if err := e.refresh(ctx, account, now, now.Add(time.Hour)); err != nil {
		return nil, err
	}
	directory, err := e.Directory(ctx, account)
	if err != nil {
		return nil, err
	}
	use := map[string]int64{meeting.Personal.Tag(): directory.Personal, meeting.Shared.Tag(): 0}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		peak, err := tx.UsageHour(ctx, db.UsageHourParams{AccountID: account, Tag: meeting.Shared.Tag(), HourAt: store.Ms(now)})
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		use[meeting.Shared.Tag()] = meeting.Sixths(peak).Licenses()
		return err
	})
	return use, outcome("read present use", err)
}

// closedHours returns the peaks that are to go to the authority: of hours that are over and have been quiet since.
func (e *Engine) closedHours(ctx context.Context, account string) ([]agent.Interval, error) {
	now := e.now()
	if err := e.refresh(ctx, account, time.UnixMilli(0), now); err != nil {
		return nil, err
	}
	var out []agent.Interval
	err := e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.UnreportedHours(ctx, db.UnreportedHoursParams{AccountID: account, Tag: meeting.Shared.Tag(),
			HourAt: store.Ms(now.Add(-time.Hour - hourGrace)), ChangedAt: store.Ms(now.Add(-hourQuiet)), Page: page})
		for _, r := range rows {
			out = append(out, agent.Interval{Tag: r.Tag, From: store.At(r.HourAt), To: store.At(r.HourAt + hour), Peak: meeting.Sixths(r.Peak).Licenses()})
		}
		return err
	})
	return out, outcome("read closed hours", err)
}

func (e *Engine) markReported(ctx context.Context, account string, closed []agent.Interval) error {
	err := e.store.Update(ctx, "mark reported hours", func(tx *store.Tx) error {
		for _, v := range closed {
			if err := tx.MarkReported(ctx, db.MarkReportedParams{AccountID: account, Tag: v.Tag, HourAt: store.Ms(v.From)}); err != nil {
				return err
			}
		}
		return nil
	})
	return outcome("mark reported hours", err)
}
