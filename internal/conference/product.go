package conference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
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
	lockName  = "conference-state"
	lockFor   = 10 * time.Second
	lockPause = 20 * time.Millisecond
)

// Enable puts the engine of an account to work as a product instance of a virtual account, registered with a token of
// that virtual account. Doing it again with the same virtual account changes nothing while the registration holds, and
// tries it again when it failed. Errors are license.Error: of kind conflict when it is enabled in another virtual
// account, and those of the registration.
func (e *Engine) Enable(ctx context.Context, who, account, va, token string) error {
	var conf db.Conference
	err := e.store.Update(ctx, "enable conference engine", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		conf, err = tx.Conference(ctx, account)
		switch {
		case err == nil && conf.VaID != va:
			return license.Refuse(license.KindConflict, "conference-enabled", "move the engine's product instance instead",
				"the conference engine of this account is enabled in the virtual account %s already", conf.VaID)
		case err == nil:
			return nil
		case !errors.Is(err, store.ErrNoRow):
			return err
		}
		conf = db.Conference{AccountID: account, VaID: va, Serial: trust.NewID("eng", tx.Now()), EnabledAt: store.Ms(tx.Now())}
		err = tx.PutConference(ctx, db.PutConferenceParams{AccountID: account, VaID: va, Serial: conf.Serial, EnabledAt: conf.EnabledAt})
		if store.IsForeignKey(err) {
			return license.NotFound("virtual account", va)
		}
		if err != nil {
			return fmt.Errorf("insert conference: %w", err)
		}
		_, err = chain.Record(ctx, who, "conference.enabled", account, map[string]string{"virtualAccount": va, "serial": conf.Serial})
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

// Enabled says whether the engine works for an account.
func (e *Engine) Enabled(ctx context.Context, account string) (enabled bool, err error) {
	err = e.store.View(ctx, func(tx *store.Tx) error {
		_, err := tx.Conference(ctx, account)
		if enabled = err == nil; errors.Is(err, store.ErrNoRow) {
			return nil
		}
		return err
	})
	return enabled, outcome("read conference", err)
}

// Status says how the engine of an account stands with the authority. Errors: a license.Error of kind refused while it is
// not enabled.
func (e *Engine) Status(ctx context.Context, account string) (agent.Status, error) {
	err := e.store.View(ctx, func(tx *store.Tx) error {
		_, err := tx.Conference(ctx, account)
		if errors.Is(err, store.ErrNoRow) {
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
	if errors.Is(err, store.ErrNoRow) {
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
