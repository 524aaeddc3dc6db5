package conference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	maxReconcileDays = 31
	maxObserved      = 50_000 // snapshots of one answer
	maxRedecided     = 20_000 // meetings that are decided anew under each policy
	shownMeetings    = 10     // of one difference
	leastObserved    = 12     // intervals, an hour; fewer are no evidence for another policy
)

// Reconciliation is what call bridges of a cluster counted themselves beside our own count (domain rules 21, 25 and 26).
type Reconciliation struct {
	Bridge      string
	BridgeName  string
	From, To    time.Time
	Hosts       int // that kept snapshots in this time
	Compared    int // intervals
	Partial     int // intervals left out, as not every host has a snapshot of them
	Differing   int
	Differences []CountDifference // the largest first, at most as many as were asked for
	// The peaks of shared licenses: ours exactly, and as the compared moments show it; theirs.
	PeakExact, PeakSampled int64 // sixths
	PeakAt                 time.Time
	PeakTheirs             int64 // hundredths of a sixth
	PeakTheirsAt           time.Time
	// Users with a personal license at the end, ours and theirs; theirs is absent before version 3.0.
	Assigned, AssignedTheirs int64
	Fits                     []PolicyFit // the best first
	Proposed                 string      // policy that explains their counts better than the one in force; empty for none
	Skipped                  string      // why policies were not compared, empty where they were
}

// CountDifference is one interval in which the counts differ.
type CountDifference struct {
	At           time.Time
	Ours, Theirs meeting.Tally
	Meetings     []CountedMeeting // that we counted then
	More         int
}

// CountedMeeting is a meeting as we counted it at a moment.
type CountedMeeting struct {
	ID, Name, Class, Rule, User string
}

// PolicyFit is how well a policy explains what the call bridges counted.
type PolicyFit struct {
	Policy   meeting.Policy
	InForce  bool
	Distance int64 // sum of absolute differences, in hundredths of a meeting
}

// Reconcile compares our count with that of the call bridges of a cluster, by id or name, in [from, to): the last day when nothing is
// said. Every policy is tried on the meetings of the time: the evidence proposes another one when that explains the call bridges'
// own counts better. Errors: a license.Error of kind not found, too large beyond 31 days, refused where no snapshot is kept.
func (e *Engine) Reconcile(ctx context.Context, account, bridge string, from, to time.Time, most int) (Reconciliation, error) {
	if from.IsZero() {
		end := to
		if end.IsZero() {
			end = e.now()
		}
		from = end.Add(-24 * time.Hour)
	}
	from, to, err := e.period(from, to)
	if err != nil {
		return Reconciliation{}, err
	}
	if to.Sub(from) > maxReconcileDays*24*time.Hour {
		return Reconciliation{}, license.Refuse(license.KindTooLarge, "usage-too-long", "ask for a shorter period", "more than %d days are to be compared", maxReconcileDays)
	}
	if err := e.sync(ctx, account); err != nil {
		return Reconciliation{}, err
	}
	w := reconciling{e: e, account: account, out: Reconciliation{From: from, To: to}}
	err = e.store.View(ctx, func(tx *store.Tx) error { return w.load(ctx, tx, bridge) })
	if err != nil {
		return Reconciliation{}, outcome("read snapshots", err)
	}
	compared := meeting.Reconcile(w.seen, w.ours)
	w.peaks(compared)
	w.differ(compared, most)
	if err := w.fit(ctx); err != nil {
		return Reconciliation{}, outcome("compare policies", err)
	}
	return w.out, nil
}

// reconciling is one comparison under way.
type reconciling struct {
	e       *Engine
	account string
	out     Reconciliation
	seen    []meeting.Observation
	ours    []meeting.Taking
	charges []meeting.Charge // of shared licenses
	hosting map[string]*hosting
	policy  meeting.Policy // in force
}

// load reads snapshots, our takings of the same time, and the policy in force.
func (w *reconciling) load(ctx context.Context, tx *store.Tx, bridge string) error {
	cluster, err := bridgeNamed(ctx, tx, w.account, bridge)
	if err != nil {
		return err
	}
	w.out.Bridge, w.out.BridgeName = cluster.ClusterID, cluster.Name
	from, to := store.Ms(w.out.From), store.Ms(w.out.To)
	rows, err := tx.BridgeSnapshots(ctx, db.BridgeSnapshotsParams{AccountID: w.account, ClusterID: cluster.ClusterID, FromAt: from, ToAt: to, Page: maxObserved + 1})
	if err != nil {
		return err
	}
	switch {
	case len(rows) > maxObserved:
		return license.Refuse(license.KindTooLarge, "usage-too-long", "ask for a shorter period", "more than %d snapshots are in the time asked for", maxObserved)
	case len(rows) == 0:
		return license.Refuse(license.KindRefused, "no-snapshots", "set its API with `tally conference bridge api`, or ask for another time: `tally conference bridge api show` says what is kept",
			"no snapshot of the call bridges of %.140q is kept of this time", cluster.Name)
	}
	w.observe(rows)
	all, err := takings(ctx, tx, w.account, from, to)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(t taking) bool { return t.cluster != cluster.ClusterID })
	if w.hosting, err = all.hostings(ctx, tx, w.account); err != nil {
		return err
	}
	w.ours, w.charges = all.described("", w.hosting), all.of(meeting.Shared.Tag())
	assigned, err := assignments(ctx, tx, w.account)
	if err != nil {
		return err
	}
	w.out.Assigned = meeting.Assigned(assigned, store.At(rows[len(rows)-1].TakenAt))
	p, err := policyInForce(ctx, tx, w.account, cluster.ClusterID)
	if err == nil && !p.Own {
		p, err = policyInForce(ctx, tx, w.account, "")
	}
	w.policy = p.Policy
	return err
}

// observe joins what the hosts of a cluster counted within the same five minutes. Where a host that kept snapshots in this time has
// none, the interval is left out.
func (w *reconciling) observe(rows []db.BridgeSnapshotsRow) {
	type interval struct {
		hosts map[string]db.BridgeSnapshotsRow
	}
	hosts := map[string]bool{}
	var order []int64
	intervals := map[int64]*interval{}
	every := meeting.SnapshotEvery.Milliseconds()
	for _, r := range rows {
		hosts[r.HostID] = true
		at := r.TakenAt - r.TakenAt%every
		if intervals[at] == nil {
			intervals[at] = &interval{hosts: map[string]db.BridgeSnapshotsRow{}}
			order = append(order, at)
		}
		intervals[at].hosts[r.HostID] = r // of two, the later
		w.out.AssignedTheirs = r.PmpAssigned / 100
	}
	w.out.Hosts = len(hosts)
	for _, at := range order {
		in := intervals[at]
		if len(in.hosts) < len(hosts) {
			w.out.Partial++
			continue
		}
		var o meeting.Observation
		for _, r := range in.hosts {
			o.At = append(o.At, store.At(r.TakenAt))
			o.Tally.Personal += r.Pmp
			o.Tally.PointToPoint += r.SmpPtp
			o.Tally.Audio += r.SmpAud
			o.Tally.Full += r.SmpFull
		}
		w.seen = append(w.seen, o)
	}
}

// peaks compares the highest use of shared licenses (domain rule 21).
func (w *reconciling) peaks(compared []meeting.Comparison) {
	exact, at := meeting.Peak(w.charges, w.out.From, w.out.To)
	w.out.PeakExact, w.out.PeakAt = int64(exact), at
	for _, c := range compared {
		w.out.PeakSampled = max(w.out.PeakSampled, c.Ours.Shared()/100)
		if theirs := c.Theirs.Shared(); theirs > w.out.PeakTheirs {
			w.out.PeakTheirs, w.out.PeakTheirsAt = theirs, c.At
		}
	}
}

// differ shows the largest differences with the meetings that we counted then.
func (w *reconciling) differ(compared []meeting.Comparison, most int) {
	w.out.Compared = len(compared)
	differing := slices.DeleteFunc(slices.Clone(compared), func(c meeting.Comparison) bool { return !c.Differs() })
	w.out.Differing = len(differing)
	slices.SortStableFunc(differing, func(a, b meeting.Comparison) int { return int(b.Ours.Distance(b.Theirs) - a.Ours.Distance(a.Theirs)) })
	for _, c := range differing[:min(len(differing), bounded(most))] {
		d := CountDifference{At: c.At, Ours: c.Ours, Theirs: c.Theirs}
		for _, id := range c.Meetings[:min(len(c.Meetings), shownMeetings)] {
			d.Meetings = append(d.Meetings, w.counted(id, c.At))
		}
		d.More = len(c.Meetings) - len(d.Meetings)
		w.out.Differences = append(w.out.Differences, d)
	}
}

// counted is a meeting with what it took at a moment.
func (w *reconciling) counted(id string, at time.Time) CountedMeeting {
	m := CountedMeeting{ID: id}
	h := w.hosting[id]
	if h == nil {
		return m
	}
	m.Name = h.Name
	for _, s := range h.segments {
		if s.From <= store.Ms(at) && store.Ms(at) < s.To {
			m.Class, m.Rule, m.User = string(meeting.ClassOf(meeting.License(s.License), s.Rule)), s.Rule, s.User
		}
	}
	return m
}

// fit decides the meetings of the time under each policy and compares what that would come to with what the call bridges counted.
func (w *reconciling) fit(ctx context.Context) error {
	switch {
	case len(w.seen) < leastObserved:
		w.out.Skipped = fmt.Sprintf("fewer than %d intervals are no evidence", leastObserved)
		return nil
	case len(w.hosting) > maxRedecided:
		w.out.Skipped = fmt.Sprintf("more than %d meetings are in the time; ask for a shorter one", maxRedecided)
		return nil
	}
	policies := []meeting.Policy{w.policy}
	for _, p := range meeting.Policies() {
		if p.String() != w.policy.String() {
			policies = append(policies, p)
		}
	}
	decided, err := w.decide(ctx, policies)
	if err != nil {
		return err
	}
	fits := make([]meeting.Fit, len(policies))
	for i, p := range policies {
		fits[i].Policy = p
		for _, c := range meeting.Reconcile(w.seen, decided[i]) {
			fits[i].Distance += c.Ours.Distance(c.Theirs)
		}
		w.out.Fits = append(w.out.Fits, PolicyFit{Policy: p, InForce: i == 0, Distance: fits[i].Distance})
	}
	slices.SortStableFunc(w.out.Fits, func(a, b PolicyFit) int { return int(a.Distance - b.Distance) })
	if best, better := meeting.BestFit(fits[0], fits[1:]); better {
		w.out.Proposed = best.Policy.String()
	}
	return nil
}

// decide returns what the meetings of the time take under each policy.
func (w *reconciling) decide(ctx context.Context, policies []meeting.Policy) ([][]meeting.Taking, error) {
	closed, err := w.e.closedSessions(ctx, w.account, w.out.Bridge)
	if err != nil {
		return nil, err
	}
	out := make([][]meeting.Taking, len(policies))
	for id := range w.hosting {
		var row db.Meeting
		err := w.e.store.View(ctx, func(tx *store.Tx) (err error) {
			row, err = tx.Meeting(ctx, db.MeetingParams{AccountID: w.account, MeetingID: id})
			return err
		})
		if errors.Is(err, store.ErrNoRow) {
			continue // it is kept no more
		}
		if err != nil {
			return nil, err
		}
		for i := range policies {
			_, decision, err := w.e.decideStored(ctx, &row, closed, &policies[i])
			if err != nil {
				return nil, err
			}
			for _, s := range decision.Segments {
				out[i] = append(out[i], meeting.Taking{Charge: meeting.Charge{From: s.From, To: s.To, Sixths: s.Sixths}, Meeting: id, User: s.User, Class: meeting.ClassOf(s.License, s.Rule)})
			}
		}
	}
	return out, nil
}
