package conference

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// HourUsage is the highest use of one license in one hour.
type HourUsage struct {
	Hour     time.Time `json:"hour"` // its beginning, UTC
	Tag      string    `json:"tag"`
	Sixths   int64     `json:"sixths"`   // the peak, exactly
	Licenses int64     `json:"licenses"` // whole licenses that cover it
	PeakAt   time.Time `json:"peakAt"`   // the first moment of the peak
	Meetings int64     `json:"meetings"` // that took the license in this hour
}

const (
	maxUsage     = 200_000 // rows of one answer
	hoursAtOnce  = 24      // computed in one transaction
	meetingsKind = "meetings"
)

// Usage returns the use per hour and license of an account, for the hours that overlap [from, to) and have begun by now.
// Hours without use are left out. Errors: a license.Error of kind too large when that is more than 200,000 rows.
func (e *Engine) Usage(ctx context.Context, account string, from, to time.Time) ([]HourUsage, error) {
	if err := e.sync(ctx, account); err != nil {
		return nil, err
	}
	from = from.Truncate(time.Hour)
	if err := e.settle(ctx, account, from, to, far); err != nil {
		return nil, err
	}
	out := []HourUsage{}
	err := e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.UsageHours(ctx, db.UsageHoursParams{AccountID: account, FromAt: store.Ms(from), ToAt: store.Ms(to), Page: maxUsage + 1})
		if err != nil {
			return err
		}
		if len(rows) > maxUsage {
			return license.Refuse(license.KindTooLarge, "usage-too-long", "ask for a shorter period", "the usage asked for has more than %d rows", maxUsage)
		}
		out = make([]HourUsage, len(rows))
		for i, r := range rows {
			out[i] = HourUsage{Hour: store.At(r.HourAt), Tag: r.Tag, Sixths: r.Peak, Licenses: meeting.Sixths(r.Peak).Licenses(),
				PeakAt: store.At(r.PeakAt), Meetings: r.Meetings}
		}
		return nil
	})
	return out, outcome("read usage", err)
}

// settle computes the stale hours that begin in [from, to), up to the hour that runs, of the segments that are written. Hours
// that changed after changedBy, in milliseconds, stay stale.
func (e *Engine) settle(ctx context.Context, account string, from, to time.Time, changedBy int64) error {
	if err := e.sweep(ctx, account); err != nil {
		return outcome("mark hours", err)
	}
	lo, end := store.Ms(from), min(store.Ms(to), store.Ms(e.now())+1)
	for {
		var stale []db.StaleHoursRow
		err := e.store.View(ctx, func(tx *store.Tx) (err error) {
			stale, err = tx.StaleHours(ctx, db.StaleHoursParams{AccountID: account, FromAt: lo, ToAt: end, ChangedBy: changedBy, Page: 1})
			return err
		})
		if err != nil || len(stale) == 0 {
			return outcome("find stale hours", err)
		}
		lo = stale[0].HourAt
		hi := min(end, lo+hoursAtOnce*hour)
		err = e.store.Update(ctx, "count usage", func(tx *store.Tx) error { return count(ctx, tx, account, lo, hi, changedBy) })
		if err != nil {
			return outcome("count usage", err)
		}
		lo = hi
	}
}

// sweep marks the hours that have begun since the last time for meetings that run on.
func (e *Engine) sweep(ctx context.Context, account string) error {
	now := store.Ms(e.now())
	current := now - now%hour
	var conf db.Conference
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		conf, err = tx.Conference(ctx, account)
		return err
	})
	if errors.Is(err, store.ErrNoRow) || err == nil && conf.SweptAt >= current {
		return nil
	}
	if err != nil {
		return err
	}
	return e.store.Update(ctx, "mark hours", func(tx *store.Tx) error {
		running, err := tx.RunningFrom(ctx, db.RunningFromParams{AccountID: account, Far: far, FromAt: current - maxHours*hour})
		if err != nil {
			return err
		}
		hours := hourMarks{}
		shares, err := policiesShare(ctx, tx, account)
		if err != nil {
			return err
		}
		for _, r := range running {
			hours.span(r.Tag, max(r.FromAt, conf.SweptAt), far, now)
			if shares && r.Tag == meeting.Personal.Tag() {
				hours.span(meeting.Shared.Tag(), max(r.FromAt, conf.SweptAt), far, now)
			}
		}
		if err := tx.MarkHours(ctx, hours.rows(account, store.Ms(tx.Now()))); err != nil {
			return err
		}
		return tx.SetSwept(ctx, db.SetSweptParams{SweptAt: current, AccountID: account})
	})
}

// count computes the stale hours of [lo, hi). They are taken first, under their locks: what is written of segments later
// makes them stale again.
func count(ctx context.Context, tx *store.Tx, account string, lo, hi, changedBy int64) error {
	stale, err := tx.TakeStale(ctx, db.TakeStaleParams{AccountID: account, FromAt: lo, ToAt: hi, ChangedBy: changedBy})
	if err != nil || len(stale) == 0 {
		return err
	}
	slices.SortFunc(stale, func(a, b db.TakeStaleRow) int {
		return cmp.Or(cmp.Compare(a.HourAt, b.HourAt), cmp.Compare(a.Tag, b.Tag))
	})
	lo, hi = stale[0].HourAt, stale[len(stale)-1].HourAt+hour
	uses := map[hourMark]*hourUse{}
	for _, s := range stale {
		uses[hourMark{s.Tag, s.HourAt}] = &hourUse{}
	}
	all, err := takings(ctx, tx, account, lo, hi)
	if err != nil {
		return err
	}
	for i := range all {
		s := &all[i]
		spread(uses, s.tag, s.meeting, s.from, s.to, s.sixths, lo, hi)
	}
	rows := make([]db.UsageHour, 0, len(stale))
	for _, s := range stale {
		u := uses[hourMark{s.Tag, s.HourAt}]
		n := measure(u.charges, s.HourAt, s.HourAt+hour)
		slices.Sort(u.meetings)
		rows = append(rows, db.UsageHour{AccountID: account, Tag: s.Tag, HourAt: s.HourAt, Peak: int64(n.peak), PeakAt: store.Ms(n.at),
			Meetings: int64(len(slices.Compact(u.meetings))), ChangedAt: store.Ms(tx.Now()), Levels: encodeLevels(n.levels), Sampled: int64(n.sampled)})
	}
	if err := tx.PutHours(ctx, rows); err != nil {
		return err
	}
	return tx.MarkDays(ctx, daysOf(rows))
}

// hourUse is what overlaps one hour.
type hourUse struct {
	charges  []meeting.Charge
	meetings []string
}

// spread adds a segment to the hours of [lo, hi) that it overlaps.
func spread(uses map[hourMark]*hourUse, tag, id string, from, to, sixths, lo, hi int64) {
	for at := max(from-from%hour, lo); at < min(to, hi); at += hour {
		if u := uses[hourMark{tag, at}]; u != nil {
			u.charges = append(u.charges, meeting.Charge{From: store.At(from), To: store.At(to), Sixths: meeting.Sixths(sixths)})
			u.meetings = append(u.meetings, id)
		}
	}
}

// hourMarks is the hours whose use may have changed.
type hourMarks map[hourMark]bool

type hourMark struct {
	tag string
	at  int64
}

func (h hourMarks) mark(segments []db.Segment, now int64) {
	for _, s := range segments {
		h.span(s.Tag, s.FromAt, s.ToAt, now)
	}
}

// span marks the hours of [from, to) that have begun by now, or the first one.
func (h hourMarks) span(tag string, from, to, now int64) {
	first := from - from%hour
	to = min(to, max(now+1, from+1), first+maxHours*hour)
	for at := first; at < to; at += hour {
		h[hourMark{tag, at}] = true
	}
}

// rows are the marks in the order in which every transaction writes them.
func (h hourMarks) rows(account string, now int64) []db.UsageHour {
	rows := make([]db.UsageHour, 0, len(h))
	for m := range h {
		rows = append(rows, db.UsageHour{AccountID: account, Tag: m.tag, HourAt: m.at, ChangedAt: now})
	}
	slices.SortFunc(rows, func(a, b db.UsageHour) int { return cmp.Or(cmp.Compare(a.HourAt, b.HourAt), cmp.Compare(a.Tag, b.Tag)) })
	return rows
}
