package conference

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// maxReport is how many rows a report has at most.
const maxReport = 200_000

// Report makes a table for [from, to). Kinds: "meetings" has a row per segment of the meetings that started then; "users" one per
// host of the UTC days, "hours" and "days" one per hour or day and license; "demand" one per shortage of shared licenses. Errors: a
// license.Error of kind not found for another kind, too large above 200,000 rows.
func (e *Engine) Report(ctx context.Context, account, kind string, from, to time.Time) (license.Report, error) {
	switch kind {
	case meetingsKind:
		return e.meetingsReport(ctx, account, from, to)
	case "users":
		return e.usersReport(ctx, account, from, to)
	case "hours":
		return e.hoursReport(ctx, account, from, to)
	case "days":
		return e.daysReport(ctx, account, from, to)
	case "demand":
		return e.demandReport(ctx, account, from, to)
	}
	return license.Report{}, license.NotFound("report", kind)
}

func (e *Engine) hoursReport(ctx context.Context, account string, from, to time.Time) (license.Report, error) {
	out := license.Report{Kind: "hours", Columns: []string{"hour", "license", "tag", "peakSixths", "licenses", "peakAt", "meetings"}}
	rows, err := e.Usage(ctx, account, from, to)
	for _, u := range rows {
		out.Rows = append(out.Rows, []any{u.Hour, u.Tag, u.Tag, u.Sixths, u.Licenses, u.PeakAt, u.Meetings})
	}
	return out, err
}

func (e *Engine) daysReport(ctx context.Context, account string, from, to time.Time) (license.Report, error) {
	out := license.Report{Kind: "days", Columns: []string{"day", "license", "tag", "peakSixths", "licenses", "peakAt", "sampledSixths", "meetings",
		"sixthSeconds", "assigned", "entitled", "over"}}
	rows, err := e.Days(ctx, account, from, to)
	for _, d := range rows {
		out.Rows = append(out.Rows, []any{d.Day, d.Tag, d.Tag, d.Sixths, d.Licenses, d.PeakAt, d.Sampled, d.Meetings, d.Used, d.Assigned, d.Entitled, d.Over})
	}
	return out, err
}

// usersReport says who hosts, how much, and with which license. Days count whole.
func (e *Engine) usersReport(ctx context.Context, account string, from, to time.Time) (license.Report, error) {
	out := license.Report{Kind: "users", Columns: []string{"user", "personalLicense", "meetings", "personalMeetings", "sharedMeetings", "secondMeetings",
		"heldSeconds", "personalSeconds", "sharedSeconds", "participantsMax"}}
	from, to, err := e.period(from, to)
	if err != nil {
		return out, err
	}
	if err := e.upToDate(ctx, account, from, to); err != nil {
		return out, err
	}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := hostsOf(ctx, tx, account, store.Ms(from), store.Ms(to), store.Ms(e.now()))
		if err != nil {
			return err
		}
		if len(rows) > maxReport {
			return tooLong()
		}
		holders, err := tx.PersonalHolders(ctx, account)
		if err != nil {
			return err
		}
		out.Rows = out.Rows[:0]
		for _, r := range rows {
			_, holds := slices.BinarySearch(holders, r.host)
			held, personal := r.held/1000, r.personalHeld/1000
			out.Rows = append(out.Rows, []any{orNil(r.host), holds, r.meetings, r.personal, r.meetings - r.personal, r.seconds, held, personal,
				held - personal, r.participantsMax})
		}
		return nil
	})
	return out, outcome("make report", err)
}

func (e *Engine) demandReport(ctx context.Context, account string, from, to time.Time) (license.Report, error) {
	out := license.Report{Kind: "demand", Columns: []string{"from", "to", "seconds", "tag", "usedSixths", "usedAt", "entitled", "missing"}}
	d, err := e.Demand(ctx, account, from, to)
	for _, s := range d.Advice.Shortages {
		out.Rows = append(out.Rows, []any{s.From, s.To, int64(s.To.Sub(s.From) / time.Second), meeting.Shared.Tag(), int64(s.Most), s.At, s.Entitled, s.Missing()})
	}
	return out, err
}

func tooLong() error {
	return license.Refuse(license.KindTooLarge, "report-too-long", "ask for a shorter period", "the report has more than %d rows", maxReport)
}

func (e *Engine) meetingsReport(ctx context.Context, account string, from, to time.Time) (license.Report, error) {
	if err := e.sync(ctx, account); err != nil {
		return license.Report{}, err
	}
	out := license.Report{Kind: meetingsKind, Columns: []string{"meeting", "name", "space", "startedAt", "endedAt", "participantsMax", "from", "to",
		"license", "tag", "sixths", "user", "rule", "why"}}
	err := e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.MeetingsFrom(ctx, db.MeetingsFromParams{AccountID: account, FromAt: max(store.Ms(from), 1), ToAt: store.Ms(to), Page: maxReport + 1})
		if err != nil {
			return err
		}
		out.Rows = out.Rows[:0]
		sentences := map[string]string{}
		times := make([]window, len(rows))
		for i, r := range rows {
			times[i] = window{r.StartedAt, counted(r.StartedAt, r.EndedAt)}
		}
		overlaps, err := e.readOverlaps(ctx, tx, account, times)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if overlaps.firsts[r.MeetingID] != nil || overlaps.seconds[r.MeetingID] != nil {
				more, err := overlaps.report(r)
				if err != nil {
					return err
				}
				out.Rows = append(out.Rows, more...)
				continue
			}
			segments, err := decodeSegments(r.MeetingID, r.Segments)
			if err != nil {
				return err
			}
			for _, s := range segments {
				facts := r.Facts
				if s.Why != nil {
					facts = string(s.Why)
				}
				if _, known := sentences[facts]; !known {
					if sentences[facts], err = sentence(facts); err != nil {
						return err
					}
				}
				out.Rows = append(out.Rows, []any{r.MeetingID, r.Name, orNil(r.Space), store.At(r.StartedAt), timeOrNil(r.EndedAt), r.ParticipantsMax,
					store.At(s.From), timeOrNil(s.To), s.License, s.Tag, s.Sixths, orNil(s.User), s.Rule, sentences[facts]})
			}
			if len(out.Rows) > maxReport {
				return tooLong()
			}
		}
		return nil
	})
	return out, outcome("make report", err)
}

// report makes the rows of a meeting that has to do with second meetings of a personal license.
func (all *overlapping) report(r db.MeetingsFromRow) ([][]any, error) {
	m := Meeting{ID: r.MeetingID}
	var err error
	if m.Segments, err = segmentsOf(r.MeetingID, r.Segments, r.Facts); err != nil {
		return nil, err
	}
	all.show(&m)
	var out [][]any
	for _, s := range m.Segments {
		to := any(nil)
		if s.To != nil {
			to = *s.To
		}
		texts := make([]string, len(s.Why))
		for i, f := range s.Why {
			texts[i] = f.Text
		}
		out = append(out, []any{r.MeetingID, r.Name, orNil(r.Space), store.At(r.StartedAt), timeOrNil(r.EndedAt), r.ParticipantsMax,
			s.From, to, s.License, s.Tag, s.Sixths, orNil(s.User), s.Rule, strings.Join(texts, " ")})
	}
	return out, nil
}

// sentence is stored facts in words.
func sentence(stored string) (string, error) {
	facts, err := decodeFacts(stored)
	texts := make([]string, len(facts))
	for i, f := range facts {
		texts[i] = f.Text
	}
	return strings.Join(texts, " "), err
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func timeOrNil(ms int64) any {
	if at := ended(ms); at != nil {
		return *at
	}
	return nil
}
