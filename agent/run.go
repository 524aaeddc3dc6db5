package agent

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// keepEvery is how often Run saves the clocks, so that time which only it saw passing outlives a crash; lookEvery is how
	// often while something counts it, and how often Run looks at the clocks at all.
	keepEvery = 12 * time.Hour
	lookEvery = time.Hour
	// afterTrouble is how long Run waits when the state itself cannot be read or written.
	afterTrouble = time.Minute
)

// Run does what has to be done regularly until ctx ends, and then returns nil: it reports when the next authorization is
// due (every 30 days, every 12 hours while out of compliance), renews the identity after 180 days, repeats what failed, a
// registration too, with growing delays, never earlier than the authority asked for, and saves the clocks every hour while
// something counts time, every 12 hours otherwise, at the start and at the end. It comes up to five percent before the times
// that Status shows. Failures are logged and kept in the state; only a state that cannot be used at the start ends Run.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.keep(ctx); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	changed, stop := a.watch()
	defer stop()
	for {
		wait, err := a.Step(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			a.opts.Logger.ErrorContext(ctx, "the agent could not do its work; it will try again", "error", err)
			wait = afterTrouble
		}
		a.pause(ctx, wait, changed)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := a.keep(last); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

// pause waits until there is something to do: the time is over, this process or another one has changed the state, or ctx has
// ended.
func (a *Agent) pause(ctx context.Context, wait time.Duration, changed <-chan time.Time) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
			return
		case <-timer.C:
			return
		case <-changed:
			if a.anew(ctx) {
				return
			}
		}
	}
}

// Step does what is due now and says how long nothing will be; zero is to be asked again at once. It is Run for
// products that have a scheduler of their own; coming later than it says harms nothing. An error means that the state cannot
// be used.
func (a *Agent) Step(ctx context.Context) (time.Duration, error) {
	st, err := a.peek(ctx)
	if err != nil {
		return 0, err
	}
	now := a.now()
	every := keepEvery
	if st.evaluating() || st.Clock.Suspect != nil || st.Removal != nil || st.Lapsed.For > 0 {
		every = lookEvery
	}
	left := st.Clock.Wall.Add(every).Sub(now)
	overdue := left <= 0 || left > every // or the clock was set back
	work, wait := a.due(st, now)
	switch {
	case work != nil: // whatever is done saves the clocks too
		err := work(ctx)
		if err != nil && overdue {
			err = errors.Join(err, a.keep(ctx))
		}
		return 0, err
	case overdue:
		return 0, a.keep(ctx)
	}
	return min(wait, left, lookEvery), nil
}

// due is what is to be done now, or nil and how long nothing will be.
func (a *Agent) due(st *state, now time.Time) (work func(ctx context.Context) error, wait time.Duration) {
	if j := st.Joined; j != nil {
		if j.due(st, now) {
			return a.regularMember, 0
		}
		return nil, j.Wake.Sub(now)
	}
	wait = lookEvery
	if ask := st.Asked; ask != nil && ask.Text != "" {
		if ask.Tries.due(now) {
			return a.again, 0
		}
		wait = ask.Tries.Wake.Sub(now)
	}
	var verbs []string
	switch {
	case st.Removal != nil:
		verbs = []string{verbAuthorize} // only to hear it once more
	case st.Identity != nil:
		verbs = []string{verbRenew, verbAuthorize}
	}
	for _, verb := range verbs {
		if st.scheduleOf(verb).due(now) {
			return func(ctx context.Context) error { return a.regular(ctx, verb) }, 0
		}
		wait = min(wait, st.scheduleOf(verb).Wake.Sub(now))
	}
	return nil, wait
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
	st, err := a.peek(ctx)
	if err != nil || st.Identity != nil && st.scheduleOf(verb).due(a.now()) {
		return errors.Join(cause, err)
	}
	a.opts.Logger.WarnContext(ctx, "no answer that counts; it will be tried again", "verb", verb, "error", cause)
	return nil
}

// regularMember reports to the holder of the cluster. A failure stands in the state and is tried again.
func (a *Agent) regularMember(ctx context.Context) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	st, _, err := a.load(ctx)
	if err != nil || st.Joined == nil {
		return err
	}
	if _, cause := a.reportToHolder(ctx, st); cause != nil && ctx.Err() == nil {
		if st, _, err = a.load(ctx); err != nil || st.Joined != nil && st.Joined.due(st, a.now()) {
			return errors.Join(cause, err)
		}
		a.opts.Logger.WarnContext(ctx, "the holder of the cluster did not take the report; it will be tried again", "error", cause)
	}
	return nil
}

// watchEvery is how often Run looks whether another process has changed the state.
const watchEvery = 2 * time.Second

// watch ticks for keepers that can say cheaply whether the state was changed.
func (a *Agent) watch() (<-chan time.Time, func()) {
	if _, ok := a.keeper.(stamped); !ok {
		return nil, func() {}
	}
	t := time.NewTicker(watchEvery)
	return t.C, t.Stop
}

// stamped is a keeper whose stamp changes whenever the state was saved.
type stamped interface {
	stamp() (time.Time, int64)
}

// anew says whether the state was changed since a decision was last taken from it, and takes the next one from the new one.
func (a *Agent) anew(ctx context.Context) bool {
	k, ok := a.keeper.(stamped)
	if !ok {
		return false
	}
	at, size := k.stamp()
	if s := a.seen.Load(); s != nil && s.savedAt.Equal(at) && s.size == size {
		return false
	}
	a.refresh(ctx)
	return true
}
