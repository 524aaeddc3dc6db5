package conference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// daysOf are the days of hours, once each, in the order in which every transaction writes them.
func daysOf(hours []db.UsageHour) []db.UsageDay {
	var out []db.UsageDay
	for _, h := range hours {
		out = append(out, db.UsageDay{AccountID: h.AccountID, Tag: h.Tag, DayAt: h.HourAt - h.HourAt%day})
	}
	slices.SortFunc(out, func(a, b db.UsageDay) int { return cmp.Or(cmp.Compare(a.DayAt, b.DayAt), cmp.Compare(a.Tag, b.Tag)) })
	return slices.Compact(out)
}

// errMoved says that a day was counted by another engine, or that its hours have changed meanwhile.
var errMoved = errors.New("the day has moved on")

// settleAll brings hours, days and months of [from, to) up to date, as far as they have begun or, days and months, are over.
func (e *Engine) settleAll(ctx context.Context, account string, from, to time.Time) error {
	if err := e.settle(ctx, account, from, to, far); err != nil {
		return err
	}
	return outcome("count days", e.settleDays(ctx, account, from, to))
}

// tidy counts what has been quiet for a moment, so that questions find it counted.
func (e *Engine) tidy(ctx context.Context, account string) error {
	now := e.now()
	if err := e.settle(ctx, account, time.UnixMilli(0), now, store.Ms(now.Add(-hourQuiet))); err != nil {
		return err
	}
	return outcome("count days", e.settleDays(ctx, account, time.UnixMilli(0), now))
}

// settleDays computes the stale days that are over, each in a transaction of its own, and then the months that they are in.
// What is read is read before: only the writing holds the database.
func (e *Engine) settleDays(ctx context.Context, account string, from, to time.Time) error {
	now := store.Ms(e.now())
	lo := store.Ms(from)
	lo -= lo % day
	end := min(store.Ms(to), now-now%day)
	for lo < end {
		var stale []db.StaleDaysRow
		var c countedDay
		err := e.store.View(ctx, func(tx *store.Tx) (err error) {
			stale, err = tx.StaleDays(ctx, db.StaleDaysParams{AccountID: account, FromAt: lo, ToAt: end, Page: 100})
			if err != nil || len(stale) == 0 {
				return err
			}
			lo = stale[0].DayAt
			stale = slices.DeleteFunc(stale, func(r db.StaleDaysRow) bool { return r.DayAt != lo })
			c, err = countDay(ctx, tx, account, lo, lo+day)
			return err
		})
		if err != nil {
			return fmt.Errorf("read stale days: %w", err)
		}
		if len(stale) == 0 {
			break
		}
		err = e.store.Update(ctx, "count day", func(tx *store.Tx) error { return c.write(ctx, tx, account, stale) })
		if err != nil && !errors.Is(err, errMoved) {
			return err
		}
		lo += day // what has moved is stale and is found the next time
	}
	return e.settleMonths(ctx, account)
}

// countedDay is what one day comes to.
type countedDay struct {
	at    int64
	tags  map[string]measured
	users map[string]int64 // meetings by tag
	hosts map[string]*db.UsageHostDay
}

// countDay counts [from, to), which lies in one day.
func countDay(ctx context.Context, tx *store.Tx, account string, from, to int64) (countedDay, error) {
	c := countedDay{at: from, tags: map[string]measured{}, users: map[string]int64{}}
	for _, l := range []meeting.License{meeting.Shared, meeting.Personal} {
		var m measured
		if err := addHours(ctx, tx, account, l.Tag(), from, to, &m); err != nil {
			return c, err
		}
		m.close(0)
		c.tags[l.Tag()] = m
	}
	all, err := takings(ctx, tx, account, from, to)
	if err != nil {
		return c, err
	}
	seen := map[[2]string]bool{}
	for i := range all {
		if k := [2]string{all[i].tag, all[i].meeting}; !seen[k] {
			seen[k] = true
			c.users[all[i].tag]++
		}
	}
	meetings, err := all.hostings(ctx, tx, account)
	c.hosts = all.hosts(account, meetings, from, to)
	return c, err
}

// hosts sums up who hosted what in [from, to).
func (all taken) hosts(account string, meetings map[string]*hosting, from, to int64) map[string]*db.UsageHostDay {
	out := map[string]*db.UsageHostDay{}
	counted := map[string]bool{}
	charged := map[string]bool{}
	byHost := map[string][]*taking{}
	slices.SortFunc(all, func(a, b taking) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.meeting, b.meeting)) })
	for i := range all {
		t := &all[i]
		h := meetings[t.meeting]
		row := out[h.host]
		if row == nil {
			row = &db.UsageHostDay{AccountID: account, DayAt: from, Host: h.host}
			out[h.host] = row
		}
		held := min(t.to, to) - max(t.from, from)
		row.Held += held
		row.ParticipantsMax = max(row.ParticipantsMax, h.ParticipantsMax)
		personal := t.tag == meeting.Personal.Tag()
		if personal {
			row.PersonalHeld += held
		}
		today := h.first >= from && h.first < to
		if today && !counted[t.meeting] {
			counted[t.meeting] = true
			row.Meetings++
			if h.host != "" && slices.ContainsFunc(byHost[h.host], func(o *taking) bool { return o.meeting != t.meeting && o.to > h.first }) {
				row.Seconds++
			}
		}
		if today && personal && !charged[t.meeting] {
			charged[t.meeting] = true
			row.Personal++
		}
		if h.host != "" {
			byHost[h.host] = append(slices.DeleteFunc(byHost[h.host], func(o *taking) bool { return o.to <= t.from }), t)
		}
	}
	return out
}

func (c *countedDay) write(ctx context.Context, tx *store.Tx, account string, stale []db.StaleDaysRow) error {
	for _, s := range stale {
		m := c.tags[s.Tag]
		n, err := tx.SetDay(ctx, db.SetDayParams{Peak: int64(m.peak), PeakAt: store.Ms(m.at), Meetings: c.users[s.Tag], Used: meeting.Used(m.levels),
			Sampled: int64(m.sampled), Levels: encodeLevels(m.levels), AccountID: account, Tag: s.Tag, DayAt: s.DayAt, Marks: s.Marks})
		if err != nil {
			return err
		}
		if n == 0 {
			return errMoved
		}
	}
	if err := tx.DropHostDay(ctx, db.DropHostDayParams{AccountID: account, DayAt: c.at}); err != nil {
		return err
	}
	rows := make([]db.UsageHostDay, 0, len(c.hosts))
	for _, host := range slices.Sorted(maps.Keys(c.hosts)) {
		rows = append(rows, *c.hosts[host])
	}
	if err := tx.InsertHostDays(ctx, rows); err != nil {
		return err
	}
	return tx.MarkMonth(ctx, db.MarkMonthParams{AccountID: account, MonthAt: monthOf(c.at)})
}

// monthOf is the begin of the UTC month of an instant, in milliseconds.
func monthOf(ms int64) int64 {
	at := time.UnixMilli(ms).UTC()
	return store.Ms(time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC))
}

// nextMonth is the begin of the month after.
func nextMonth(ms int64) int64 {
	at := time.UnixMilli(ms).UTC()
	return store.Ms(time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC))
}

// settleMonths sums up the months that are behind their days, also the one that runs.
func (e *Engine) settleMonths(ctx context.Context, account string) error {
	var stale []int64
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		stale, err = tx.StaleMonths(ctx, account)
		return err
	})
	for _, month := range stale {
		if err != nil {
			break
		}
		err = e.store.Update(ctx, "count month", func(tx *store.Tx) error {
			n, err := tx.TakeMonth(ctx, db.TakeMonthParams{AccountID: account, MonthAt: month})
			if err != nil || n == 0 {
				return err
			}
			if err := tx.DropHostMonth(ctx, db.DropHostMonthParams{AccountID: account, MonthAt: month}); err != nil {
				return err
			}
			return tx.SumHostMonth(ctx, db.SumHostMonthParams{MonthAt: month, AccountID: account, EndAt: nextMonth(month)})
		})
	}
	return err
}

// hostRow is what one host hosted.
type hostRow struct {
	host                                                             string
	meetings, personal, seconds, held, personalHeld, participantsMax int64
}

func (r *hostRow) add(o hostRow) {
	r.meetings += o.meetings
	r.personal += o.personal
	r.seconds += o.seconds
	r.held += o.held
	r.personalHeld += o.personalHeld
	r.participantsMax = max(r.participantsMax, o.participantsMax)
}

// hostsOf sums up who hosted what on the UTC days of [from, to): from months, days and, for the day that runs, segments.
func hostsOf(ctx context.Context, tx *store.Tx, account string, from, to, now int64) ([]hostRow, error) {
	from -= from % day
	over := now - now%day
	end := min((to+day-1)/day*day, over)
	sums := map[string]*hostRow{}
	add := func(r hostRow) {
		if have := sums[r.host]; have != nil {
			have.add(r)
			return
		}
		sums[r.host] = &r
	}
	months := from
	if monthOf(from) != from {
		months = min(nextMonth(from), end)
	}
	late := max(months, min(monthOf(max(end, 0)), end))
	for _, part := range [][2]int64{{from, months}, {late, end}} {
		if part[0] >= part[1] {
			continue
		}
		rows, err := tx.HostDays(ctx, db.HostDaysParams{AccountID: account, FromAt: part[0], ToAt: part[1]})
		if err != nil {
			return nil, fmt.Errorf("read hosts: %w", err)
		}
		for _, r := range rows {
			add(hostRow{r.Host, r.Meetings, r.Personal, r.Seconds, r.Held, r.PersonalHeld, r.ParticipantsMax})
		}
	}
	if months < late {
		rows, err := tx.HostMonths(ctx, db.HostMonthsParams{AccountID: account, FromAt: months, ToAt: late})
		if err != nil {
			return nil, fmt.Errorf("read hosts: %w", err)
		}
		for _, r := range rows {
			add(hostRow{r.Host, r.Meetings, r.Personal, r.Seconds, r.Held, r.PersonalHeld, r.ParticipantsMax})
		}
	}
	if to > over && from <= over {
		all, err := takings(ctx, tx, account, over, now)
		if err != nil {
			return nil, err
		}
		meetings, err := all.hostings(ctx, tx, account)
		if err != nil {
			return nil, err
		}
		for _, r := range all.hosts(account, meetings, over, now) {
			add(hostRow{r.Host, r.Meetings, r.Personal, r.Seconds, r.Held, r.PersonalHeld, r.ParticipantsMax})
		}
	}
	out := make([]hostRow, 0, len(sums))
	for _, r := range sums {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b hostRow) int { return cmp.Or(cmp.Compare(b.held, a.held), cmp.Compare(a.host, b.host)) })
	return out, nil
}
