package agent

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// lookEvery is how often Run looks at the state, which other processes may have changed, and saves the evaluation clock.
	lookEvery = time.Hour
	// afterTrouble is how long Run waits when the state itself cannot be read or written.
	afterTrouble = time.Minute
)

// Run does what has to be done regularly until ctx ends, and then returns nil: it reports when the next authorization is
// due (every 30 days, every 12 hours while out of compliance), renews the identity after 180 days, repeats what failed
// with growing delays, never earlier than the authority asked for, and saves the evaluation clock every hour, at the start
// and at the end. It comes up to five percent before the times that Status shows. Failures are logged and kept in the
// state; only a state that cannot be used at the start ends Run.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.keep(ctx); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	for {
		wait, err := a.step(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			a.opts.Logger.ErrorContext(ctx, "the agent could not do its work; it will try again", "error", err)
			wait = afterTrouble
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-a.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := a.keep(last); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

// step does what is due and says how long nothing will be.
func (a *Agent) step(ctx context.Context) (time.Duration, error) {
	st, _, err := a.load(ctx)
	if err != nil {
		return 0, err
	}
	now := a.now()
	if st.Identity == nil {
		if wait := st.Evaluation.Seen.Add(lookEvery).Sub(now); wait > 0 || !st.evaluating() {
			return min(max(wait, time.Minute), lookEvery), nil
		}
		return lookEvery, a.keep(ctx)
	}
	for _, verb := range []string{verbRenew, verbAuthorize} {
		if st.scheduleOf(verb).due(now) {
			return 0, a.regular(ctx, verb)
		}
	}
	return max(0, min(lookEvery, st.Authorization.Wake.Sub(now), st.Renewal.Wake.Sub(now))), nil
}

// keep moves and saves the evaluation clock.
func (a *Agent) keep(ctx context.Context) error {
	return a.update(ctx, func(*state, time.Time) error { return nil })
}

// regular renews or reports. A failure that is in the schedule is logged and no more; one that is not means that the state
// cannot be used.
func (a *Agent) regular(ctx context.Context, verb string) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	_, cause := a.converse(ctx, verb)
	if cause == nil || ctx.Err() != nil {
		return nil
	}
	st, _, err := a.load(ctx)
	if err != nil || st.Identity != nil && st.scheduleOf(verb).due(a.now()) {
		return errors.Join(cause, err)
	}
	a.opts.Logger.WarnContext(ctx, "no answer that counts; it will be tried again", "verb", verb, "error", cause)
	return nil
}
