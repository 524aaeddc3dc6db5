package agent

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// Decision is what the product may do, why, and what to do next: the answer and its explanation come from one function.
type Decision = license.Decision

// Action is what a product asks to do.
type Action = license.Action

// Function is what a policy leaves of a product.
type Function = license.Function

// The actions that a product may ask for. What is running is never stopped, and registering is always allowed.
const (
	ActionRun       = license.ActionRun
	ActionUse       = license.ActionUse
	ActionProvision = license.ActionProvision
	ActionManage    = license.ActionManage
	ActionRegister  = license.ActionRegister
)

// The functions.
const (
	FullFunction          = license.FullFunction
	NoProvisioning        = license.NoProvisioning
	LicenseManagementOnly = license.LicenseManagementOnly
	RegistrationOnly      = license.RegistrationOnly
)

// sight is the state that decisions are taken from. It is never changed.
type sight struct {
	st *state
	at time.Time // when it was read, by the product's clock
	// savedAt and size are the keeper's stamp, if it has one.
	savedAt time.Time
	size    int64
}

// staleAfter is the age from which on a decision has the state read again beside it.
const staleAfter = 2 * time.Second

// Decision says what the product may do now, by the policy of Init. It takes well below a millisecond, waits for neither
// disk nor network, and is made for every call, user and page: only the very first one of an Agent reads the state. What
// other processes change is seen within seconds. A state that cannot be read takes nothing away.
func (a *Agent) Decision() Decision {
	s := a.seen.Load()
	if s == nil {
		if s = a.refresh(context.Background()); s == nil {
			return Decision{
				Policy: license.PolicyNone, Function: FullFunction, Status: license.StatusUnknown,
				Sentence: "Everything is allowed: the kept state cannot be read.", Next: "Look at the log, and mend the folder or the database that holds the state.",
			}
		}
	} else if a.now().Sub(s.at).Abs() > staleAfter {
		a.refreshBeside()
	}
	st := *s.st
	st.tick(a.reading())
	return st.decide()
}

// Allowed says whether the product may do something now, with the reason. See Decision.
func (a *Agent) Allowed(action Action) (bool, Decision) {
	d := a.Decision()
	return d.Allows(action), d
}

// decide is what the state allows.
func (st *state) decide() Decision {
	if st.Joined != nil {
		return st.Joined.decide()
	}
	policy, err := license.ParsePolicy(st.Policy)
	if err != nil {
		policy, _ = license.ParsePolicy(license.PolicyNone) // of a newer agent
	}
	return license.Decide(policy, st.standing(), st.Clock.Now())
}

// sightOf is a state to take decisions from, which nobody changes any more.
func (a *Agent) sightOf(st *state) *sight {
	s := &sight{st: st, at: a.now()}
	if k, ok := a.keeper.(stamped); ok {
		s.savedAt, s.size = k.stamp()
	}
	return s
}

// refresh reads the state for decisions; nil when it cannot be read and never was.
func (a *Agent) refresh(ctx context.Context) *sight {
	before := a.seen.Load()
	kept, err := a.peek(ctx)
	if err != nil {
		a.opts.Logger.ErrorContext(ctx, "the state cannot be read; what was allowed before is allowed still", "error", err)
		return before
	}
	st := *kept
	st.tick(a.reading())
	st.remember(a.recall(ctx))
	s := a.sightOf(&st)
	if !a.seen.CompareAndSwap(before, s) { // the state was saved meanwhile, and what was read may be older
		return a.seen.Load()
	}
	return s
}

// refreshBeside does it without making anybody wait, once at a time.
func (a *Agent) refreshBeside() {
	select {
	case a.look <- struct{}{}:
		go func() { // ends with the reading
			defer func() { <-a.look }()
			a.refresh(context.Background())
		}()
	default:
	}
}
