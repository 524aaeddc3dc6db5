package conference

import (
	"cmp"
	"context"
	"encoding/json"
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
	usualPeriod = 30 * 24 * time.Hour // of questions that leave their begin open
	maxDays     = 10 * 366            // days of one answer
	maxShown    = 1000                // meetings of one peak
)

// kinds are the licenses that are counted.
func kinds() []meeting.License { return []meeting.License{meeting.Shared, meeting.Personal} }

// period closes a period: it ends now at the latest, and is 30 days long when its begin is open.
func (e *Engine) period(from, to time.Time) (time.Time, time.Time, error) {
	now := store.At(store.Ms(e.now()))
	if to.IsZero() || to.After(now) {
		to = now
	}
	if from.IsZero() {
		from = to.Add(-usualPeriod)
	}
	if to.Sub(from) > maxDays*24*time.Hour {
		return from, to, license.Refuse(license.KindTooLarge, "usage-too-long", "ask for a shorter period", "the period asked for has more than %d days", maxDays)
	}
	return from, to, nil
}

// grants are what the engine's virtual account owns of the counted licenses, by tag, at every time: the ledger's legs with the
// terms of their lots. An order counts from the begin of its term, whenever it was imported.
func grants(ctx context.Context, tx *store.Tx, account string) (map[string][]meeting.Grant, error) {
	va, err := tx.ConferencePlace(ctx, account)
	if errors.Is(err, store.ErrNoRow) { // not enabled
		return map[string][]meeting.Grant{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the virtual account of the engine: %w", err)
	}
	rows, err := tx.PostingsOfPlace(ctx, db.PostingsOfPlaceParams{AccountID: account, Place: "va:" + va})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	out := map[string][]meeting.Grant{}
	for _, r := range rows {
		from := max(r.MovedAt, r.StartsAt)
		if r.Kind == "order" { // it may have been imported after its term began
			from = r.StartsAt
		}
		out[r.Tag] = append(out[r.Tag], meeting.Grant{Quantity: r.Quantity, From: store.At(from), To: store.At(r.EndsAt)})
	}
	return out, nil
}

// assignments are the numbers of users with a personal license, by version of the directory.
func assignments(ctx context.Context, tx *store.Tx, account string) ([]meeting.Assignment, error) {
	rows, err := tx.DirectoryPersonal(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("read directory versions: %w", err)
	}
	out := make([]meeting.Assignment, len(rows))
	for i, r := range rows {
		out[i] = meeting.Assignment{From: store.At(r.ImportedAt), Users: r.Personal}
	}
	return out, nil
}

// DayUsage is the use of one license on one UTC day.
type DayUsage struct {
	Day      time.Time
	Tag      string
	Sixths   int64     // the peak, exactly
	Licenses int64     // whole licenses that cover it
	PeakAt   time.Time // zero without use
	Sampled  int64     // sixths at the peak of the five-minute snapshots
	Meetings int64     // that took the license
	Used     int64     // seconds of one sixth
	Assigned int64     // users who held a personal license, the most of the day
	Entitled int64     // owned, the most of the day
	Over     bool      // the peak or, of personal licenses, the assigned users are above what was owned
}

// Days returns the use per UTC day and license for the days of [from, to) on which anything was used or assigned.
func (e *Engine) Days(ctx context.Context, account string, from, to time.Time) ([]DayUsage, error) {
	from, to, err := e.period(from, to)
	if err != nil {
		return nil, err
	}
	if err := e.upToDate(ctx, account, from, to); err != nil {
		return nil, err
	}
	var out []DayUsage
	err = e.store.View(ctx, func(tx *store.Tx) (err error) {
		out, err = daysIn(ctx, tx, account, store.Ms(from), store.Ms(to), store.Ms(e.now()))
		return err
	})
	return out, outcome("read days", err)
}

// upToDate writes meetings and counts what a question about [from, to) needs.
func (e *Engine) upToDate(ctx context.Context, account string, from, to time.Time) error {
	if err := e.sync(ctx, account); err != nil {
		return err
	}
	return e.settleAll(ctx, account, from.Truncate(24*time.Hour), to.Add(24*time.Hour))
}

// daysIn reads the days that begin in [from, to), and the one in which from lies.
func daysIn(ctx context.Context, tx *store.Tx, account string, from, to, now int64) ([]DayUsage, error) {
	from -= from % day
	owned, err := grants(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	assigned, err := assignments(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	out := []DayUsage{}
	over := min(to, now-now%day)
	for _, l := range kinds() {
		tag := l.Tag()
		rows, err := tx.UsageDays(ctx, db.UsageDaysParams{AccountID: account, Tag: tag, FromAt: from, ToAt: over})
		if err != nil {
			return nil, fmt.Errorf("read days: %w", err)
		}
		used := make(map[int64]DayUsage, len(rows))
		for _, r := range rows {
			used[r.DayAt] = DayUsage{Sixths: r.Peak, PeakAt: store.At(r.PeakAt), Sampled: r.Sampled, Meetings: r.Meetings, Used: r.Used / 1000}
		}
		if to > over {
			c, err := runningDay(ctx, tx, account, tag, over, now)
			if err != nil {
				return nil, err
			}
			used[over] = c
		}
		for at := from; at < to; at += day {
			d := used[at]
			d.Day, d.Tag, d.Licenses = store.At(at), tag, meeting.Sixths(d.Sixths).Licenses()
			begin, end := store.At(at), store.At(min(at+day, now))
			if l == meeting.Personal {
				d.Assigned = meeting.AssignedMost(assigned, begin, end)
			}
			if d.Sixths == 0 && d.Assigned == 0 {
				continue
			}
			d.Entitled = meeting.EntitledMost(owned[tag], begin, end)
			d.Over = d.rule(l).Over() > 0
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b DayUsage) int { return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.Tag, b.Tag)) })
	return out, nil
}

// rule is the day as compliance sees it: personal licenses count by assignment (domain rule 26).
func (d *DayUsage) rule(l meeting.License) meeting.Day {
	used := meeting.Sixths(d.Sixths)
	if l == meeting.Personal {
		used = meeting.Sixths(d.Assigned) * meeting.Full
	}
	return meeting.Day{Date: d.Day, Used: used, Entitled: d.Entitled}
}

// runningDay counts the day that runs, so far.
func runningDay(ctx context.Context, tx *store.Tx, account, tag string, from, now int64) (DayUsage, error) {
	m, err := useOf(ctx, tx, account, tag, from, now)
	if err != nil {
		return DayUsage{}, err
	}
	all, err := takings(ctx, tx, account, from, max(now, from+1))
	if err != nil {
		return DayUsage{}, err
	}
	meetings := map[string]bool{}
	for i := range all {
		if all[i].tag == tag {
			meetings[all[i].meeting] = true
		}
	}
	return DayUsage{Sixths: int64(m.peak), PeakAt: m.at, Sampled: int64(m.sampled), Meetings: int64(len(meetings)), Used: meeting.Used(m.levels) / 1000}, nil
}

// LevelUsage says how long each level of use of one license held.
type LevelUsage struct {
	Tag      string
	From, To time.Time
	Sixths   int64 // the peak
	PeakAt   time.Time
	Sampled  int64 // sixths at the peak of the five-minute snapshots
	Used     int64 // seconds of one sixth
	Levels   []meeting.LevelTime
}

// Levels returns for each license how long each number of sixths was taken in [from, to). The times add up to the period.
func (e *Engine) Levels(ctx context.Context, account string, from, to time.Time) ([]LevelUsage, error) {
	from, to, err := e.period(from, to)
	if err != nil {
		return nil, err
	}
	if err := e.upToDate(ctx, account, from, to); err != nil {
		return nil, err
	}
	var out []LevelUsage
	err = e.store.View(ctx, func(tx *store.Tx) error {
		out = out[:0]
		for _, l := range kinds() {
			m, err := useOf(ctx, tx, account, l.Tag(), store.Ms(from), store.Ms(to))
			if err != nil {
				return err
			}
			out = append(out, LevelUsage{Tag: l.Tag(), From: from, To: to, Sixths: int64(m.peak), PeakAt: m.at, Sampled: int64(m.sampled),
				Used: meeting.Used(m.levels) / 1000, Levels: m.levels})
		}
		return nil
	})
	return out, outcome("read levels", err)
}

// PeakUsage is the highest use of one license, with the meetings that it consists of.
type PeakUsage struct {
	Tag      string
	From, To time.Time // the period
	Sixths   int64
	Licenses int64
	At       time.Time // the first moment of the peak; zero without use
	Sampled  int64     // sixths at the peak of the five-minute snapshots, which miss what is between two of them
	Entitled int64     // owned at that moment
	Meetings []PeakMeeting
	More     int // meetings that were left out
}

// PeakMeeting is a meeting at the moment of a peak.
type PeakMeeting struct {
	Meeting, Name, Space string
	Host                 string // whose meeting it is, as far as known
	Bridge               string
	Sixths               int64
	Class                string
	User                 string
	From                 time.Time
	To                   *time.Time // nil while it runs
	Why                  []Fact
}

// Peaks returns for each license the highest use in [from, to), when it was first, and why each meeting took what it took.
func (e *Engine) Peaks(ctx context.Context, account string, from, to time.Time) ([]PeakUsage, error) {
	from, to, err := e.period(from, to)
	if err != nil {
		return nil, err
	}
	if err := e.upToDate(ctx, account, from, to); err != nil {
		return nil, err
	}
	var out []PeakUsage
	err = e.store.View(ctx, func(tx *store.Tx) error {
		owned, err := grants(ctx, tx, account)
		if err != nil {
			return err
		}
		out = out[:0]
		for _, l := range kinds() {
			m, err := useOf(ctx, tx, account, l.Tag(), store.Ms(from), store.Ms(to))
			if err != nil {
				return err
			}
			p := PeakUsage{Tag: l.Tag(), From: from, To: to, Sixths: int64(m.peak), Licenses: m.peak.Licenses(), At: m.at, Sampled: int64(m.sampled),
				Meetings: []PeakMeeting{}}
			if m.peak > 0 {
				p.Entitled = meeting.Entitled(owned[l.Tag()], m.at)
				if err := p.fill(ctx, e, tx, account); err != nil {
					return err
				}
			}
			out = append(out, p)
		}
		return nil
	})
	return out, outcome("read peaks", err)
}

// fill finds the meetings of the peak, the largest first.
func (p *PeakUsage) fill(ctx context.Context, e *Engine, tx *store.Tx, account string) error {
	at := store.Ms(p.At)
	all, err := takings(ctx, tx, account, at, at+1)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(t taking) bool { return t.tag != p.Tag || t.from > at || t.to <= at })
	slices.SortFunc(all, func(a, b taking) int {
		return cmp.Or(cmp.Compare(b.sixths, a.sixths), cmp.Compare(a.from, b.from), cmp.Compare(a.meeting, b.meeting))
	})
	p.More = max(0, len(all)-maxShown)
	all = all[:len(all)-p.More]
	meetings, err := all.hostings(ctx, tx, account)
	if err != nil {
		return err
	}
	for i := range all {
		t := &all[i]
		h := meetings[t.meeting]
		why, err := h.why(t)
		if err != nil {
			return err
		}
		p.Meetings = append(p.Meetings, PeakMeeting{Meeting: t.meeting, Name: h.Name, Space: h.Space, Host: h.host, Bridge: t.cluster, Sixths: t.sixths,
			Class: t.class, User: t.user, From: store.At(t.from), To: ended(t.shown), Why: why})
	}
	if p.Tag != meeting.Personal.Tag() {
		return nil
	}
	seconds, err := e.readOverlaps(ctx, tx, account, []window{{at, at + 1}})
	if err != nil {
		return err
	}
	for i := range p.Meetings {
		p.Meetings[i].Why = append(p.Meetings[i].Why, seconds.at(p.Meetings[i].Meeting, p.At)...)
	}
	return nil
}

// why are the facts of one segment.
func (h *hosting) why(t *taking) ([]Fact, error) {
	if h.Facts == "" {
		return []Fact{}, nil
	}
	if t.held != "" {
		why, err := decodeFacts(h.Facts)
		f := meeting.Fact{Code: meeting.SecondShared, Args: map[string]string{"user": h.host, "meeting": t.held, "when": "since " + store.At(t.from).Format("2006-01-02 15:04:05") + " UTC"}}
		return append([]Fact{{Code: f.Code, Text: f.Text(), Args: f.Args}}, why...), err
	}
	text := json.RawMessage(h.Facts)
	for _, s := range h.segments {
		if s.From == t.from && s.Tag == t.tag && s.Why != nil {
			text = s.Why
		}
	}
	return decodeFacts(string(text))
}
