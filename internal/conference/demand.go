package conference

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// Demand is when the shared licenses did not suffice, why, and what would have helped.
type Demand struct {
	From, To time.Time
	Advice   meeting.Advice
	Meetings []DemandMeeting // of the worst moment, the longest first
	Why      []Fact
}

// DemandMeeting is a meeting at the worst moment.
type DemandMeeting struct {
	Meeting, Name, Host, Cause string
	Text                       string // the cause as a sentence
	Sixths                     int64
}

// Demand finds the shortages of shared licenses in [from, to). It reads the segments of the hours whose peak is above what was
// owned; when those are too many, a license.Error of kind too large asks for a shorter period.
func (e *Engine) Demand(ctx context.Context, account string, from, to time.Time) (Demand, error) {
	from, to, err := e.period(from, to)
	if err != nil {
		return Demand{}, err
	}
	if err := e.upToDate(ctx, account, from, to); err != nil {
		return Demand{}, err
	}
	out := Demand{From: from, To: to}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		owned, err := grants(ctx, tx, account)
		if err != nil {
			return err
		}
		all, err := shortTakings(ctx, tx, account, owned[meeting.Shared.Tag()], store.Ms(from), store.Ms(to))
		if err != nil {
			return err
		}
		meetings, err := all.hostings(ctx, tx, account)
		if err != nil {
			return err
		}
		holders, err := tx.PersonalHolders(ctx, account)
		if err != nil {
			return err
		}
		may := func(t *meeting.Taking) bool {
			_, holds := slices.BinarySearch(holders, t.Host)
			return !holds && meeting.PersonalWouldHelp(t.Cause)
		}
		described := all.described(meeting.Shared.Tag(), meetings)
		out.Advice = meeting.Advise(described, owned[meeting.Shared.Tag()], from, to, may)
		out.Why = rendered(out.Advice.Why)
		out.Meetings = worst(described, meetings, out.Advice.Shortages)
		return nil
	})
	return out, outcome("find unmet demand", err)
}

// shortTakings reads the segments of the hours in which more was taken than the least that was owned in them.
func shortTakings(ctx context.Context, tx *store.Tx, account string, owned []meeting.Grant, from, to int64) (taken, error) {
	rows, err := tx.HourLevels(ctx, db.HourLevelsParams{AccountID: account, Tag: meeting.Shared.Tag(), FromAt: from - from%hour, ToAt: to})
	if err != nil {
		return nil, err
	}
	type key struct {
		meeting  string
		from, to int64
	}
	var out taken
	seen := map[key]bool{}
	for i := 0; i < len(rows); {
		begin := rows[i].HourAt
		end := begin
		for ; i < len(rows) && rows[i].HourAt == end; i++ { // neighbors are read at once
			least := meeting.EntitledLeast(owned, store.At(end), store.At(end+hour))
			if meeting.Sixths(rows[i].Peak) <= meeting.Sixths(least)*meeting.Full {
				break
			}
			end += hour
		}
		if end == begin {
			i++
			continue
		}
		found, err := takings(ctx, tx, account, max(begin, from), min(end, to))
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if k := (key{t.meeting, t.from, t.to}); t.tag == meeting.Shared.Tag() && !seen[k] {
				seen[k] = true
				out = append(out, t)
			}
		}
		if len(out) > maxTakings {
			return nil, tooMany()
		}
	}
	return out, nil
}

// worst are the meetings at the worst moment.
func worst(all []meeting.Taking, meetings map[string]*hosting, shortages []meeting.Shortage) []DemandMeeting {
	out := []DemandMeeting{}
	if len(shortages) == 0 {
		return out
	}
	most := slices.MaxFunc(shortages, func(a, b meeting.Shortage) int { return int(a.Missing() - b.Missing()) })
	at := meeting.At(all, most.At)
	slices.SortFunc(at, func(a, b meeting.Taking) int { return a.From.Compare(b.From) })
	for _, t := range at[:min(len(at), maxShown)] {
		h := meetings[t.Meeting]
		m := DemandMeeting{Meeting: t.Meeting, Name: h.Name, Host: t.Host, Cause: t.Cause, Sixths: int64(t.Sixths)}
		if facts, err := decodeFacts(h.Facts); err == nil && len(facts) > 0 {
			m.Text = facts[0].Text
		}
		out = append(out, m)
	}
	return out
}
