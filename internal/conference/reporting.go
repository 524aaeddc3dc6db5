package conference

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	leaseName  = "conference"
	leaseFor   = time.Minute
	leaseRenew = 20 * time.Second
	lookEvery  = 5 * time.Second  // for what other replicas wrote, and for the hour to end
	reportWait = time.Second      // between two reports at least
	hourGrace  = 10 * time.Minute // how long after its end an hour goes to the authority
	hourQuiet  = 3 * time.Second  // how long it must not have changed before
	rushTidy   = time.Minute      // between two counts of hours and days at least, while records come without a pause
)

// reporting works, for each account whose lease this engine gets, as its product, until ctx ends.
func (e *Engine) reporting(ctx context.Context) {
	var parts sync.WaitGroup
	works := map[string]*work{} // by account; nil for one that another engine leads
	look := func() {
		for _, account := range e.accounts(ctx) {
			leads, w := e.lead(ctx, account), works[account]
			switch {
			case leads && w == nil:
				within, end := context.WithCancel(ctx)
				w = &work{engine: e, account: account, end: end, changed: make(chan struct{}, 1)}
				parts.Go(func() { w.run(within) })
			case !leads && w != nil:
				w.end()
				w = nil
			}
			works[account] = w
		}
	}
	renew := time.NewTicker(leaseRenew)
	defer renew.Stop()
	look()
	for {
		select {
		case <-ctx.Done():
			parts.Wait()
			e.leave(works)
			return
		case <-renew.C:
			look()
		case <-e.used:
			for account := range e.taken() {
				if _, known := works[account]; !known {
					look()
				}
				if w := works[account]; w != nil {
					w.wake()
				}
			}
		}
	}
}

// accounts lists those with a conference engine.
func (e *Engine) accounts(ctx context.Context) []string {
	var out []string
	err := e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Conferences(ctx)
		out = out[:0]
		for _, r := range rows {
			out = append(out, r.AccountID)
		}
		return err
	})
	if err != nil {
		e.complain(ctx, "accounts with a conference engine are not known", err)
	}
	return out
}

// taken returns the accounts whose use may have changed since the last call.
func (e *Engine) taken() map[string]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := e.changed
	e.changed = map[string]bool{}
	return changed
}

// leave gives leases back, so that another engine need not wait for their end.
func (e *Engine) leave(works map[string]*work) {
	ctx, cancel := context.WithTimeout(context.Background(), lockFor)
	defer cancel()
	for account, w := range works {
		if w != nil {
			w.end()
			if _, err := lease(ctx, e.store, account, leaseName, e.holder, -leaseFor); err != nil {
				e.complain(ctx, "the lease of the conference engine is not given back", err)
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
	tidied, quiet := w.engine.now(), false
	var expired, searched time.Time
	regular := time.NewTicker(lookEvery)
	defer regular.Stop()
	for {
		tidy := false
		select {
		case <-ctx.Done():
			return
		case <-w.changed: // and written
			quiet = false
		case <-regular.C:
			tidy = quiet || w.engine.now().Sub(tidied) > rushTidy
			quiet = true
			if err := w.engine.sync(ctx, w.account); err != nil {
				w.engine.complain(ctx, "what other engines stored is not counted yet", err)
			}
			if err := w.engine.settleBridges(ctx, w.account); err != nil {
				w.engine.complain(ctx, "meetings do not show yet which call bridges count", err)
			}
			if now := w.engine.now(); now.Sub(searched) >= gapEvery {
				searched = now
				if err := w.engine.noteGaps(ctx, w.account); err != nil {
					w.engine.complain(ctx, "meetings do not show yet that records never came", err)
				}
			}
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
		if !tidy {
			continue // more may come: what is counted now would be counted again
		}
		tidied = w.engine.now()
		if now := w.engine.now(); now.Sub(expired) >= expireEvery {
			expired = now
			if _, err := w.engine.expire(ctx, w.account); err != nil {
				w.engine.complain(ctx, "old posts are not removed yet", err)
			}
		}
		if err := w.engine.tidy(ctx, w.account); err != nil {
			w.engine.complain(ctx, "hours and days are not counted yet; a question counts them", err)
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
	if err := e.settle(ctx, account, now, now.Add(time.Hour), far); err != nil {
		return nil, err
	}
	directory, err := e.Directory(ctx, account)
	if err != nil {
		return nil, err
	}
	use := map[string]int64{meeting.Personal.Tag(): directory.Personal, meeting.Shared.Tag(): 0}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		peak, err := tx.UsageHour(ctx, db.UsageHourParams{AccountID: account, Tag: meeting.Shared.Tag(), HourAt: store.Ms(now)})
		if errors.Is(err, store.ErrNoRow) {
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
	if err := e.settle(ctx, account, time.UnixMilli(0), now, store.Ms(now.Add(-hourQuiet))); err != nil {
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
