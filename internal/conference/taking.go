package conference

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// maxTakings is how many segments one question reads at most.
const maxTakings = 500_000

// taking is a segment as it is counted; to ends a month after its begin for a meeting whose end never came.
type taking struct {
	from, to, shown int64 // shown is far while it runs
	sixths          int64
	tag, meeting    string
	cluster, user   string
	class           string
	held            string // the meeting that holds the personal license for which this takes a shared one
}

func (t *taking) charge() meeting.Charge {
	return meeting.Charge{From: store.At(t.from), To: store.At(t.to), Sixths: meeting.Sixths(t.sixths)}
}

// taken are segments.
type taken []taking

// of returns the charges of one license.
func (all taken) of(tag string) []meeting.Charge {
	out := make([]meeting.Charge, 0, len(all))
	for i := range all {
		if all[i].tag == tag {
			out = append(out, all[i].charge())
		}
	}
	return out
}

// takings reads the segments that overlap [from, to), in milliseconds, in no order. What second meetings of a personal license
// take is of a shared one where their policy says so.
func takings(ctx context.Context, tx *store.Tx, account string, from, to int64) (taken, error) {
	short, err := tx.ShortTakings(ctx, db.ShortTakingsParams{AccountID: account, FromAt: from, UptoAt: to + day, ToAt: to, Page: maxTakings + 1})
	if err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	lasting, err := tx.LastingTakings(ctx, db.LastingTakingsParams{AccountID: account, FromAt: from, ToAt: to, Page: maxTakings + 1})
	if err != nil {
		return nil, fmt.Errorf("read lasting segments: %w", err)
	}
	if len(short) > maxTakings || len(lasting) > maxTakings {
		return nil, tooMany()
	}
	out := make(taken, 0, len(short)+len(lasting))
	for _, s := range short {
		out = append(out, taking{s.FromAt, s.ToAt, s.ToAt, s.Sixths, s.Tag, s.MeetingID, s.ClusterID, s.UserJid, s.Class, ""})
	}
	for _, s := range lasting {
		end := counted(s.FromAt, s.ToAt)
		if end > from {
			out = append(out, taking{s.FromAt, end, s.ToAt, s.Sixths, s.Tag, s.MeetingID, s.ClusterID, s.UserJid, s.Class, ""})
		}
	}
	return out.share(ctx, tx, account)
}

func tooMany() error {
	return license.Refuse(license.KindTooLarge, "usage-too-long", "ask for a shorter period", "more than %d segments are in the time asked for", maxTakings)
}

// counted is until when a segment counts: a call whose end never comes must not count for years.
func counted(from, to int64) int64 { return min(to, from-from%hour+maxHours*hour) }

// countedFrom is when the oldest segment began that has no end and is counted at now.
func countedFrom(now int64) int64 { return now - now%hour - (maxHours-1)*hour }

// hosting is what counting needs to know of a meeting.
type hosting struct {
	store.Hosting
	host, cause string
	bridges     []string
	first       int64 // begin of its first segment
	segments    []storedSegment
}

// hostings reads the meetings of segments.
func (all taken) hostings(ctx context.Context, tx *store.Tx, account string) (map[string]*hosting, error) {
	out := make(map[string]*hosting, len(all))
	ids := make([]string, 0, len(all))
	for i := range all {
		if _, known := out[all[i].meeting]; !known {
			out[all[i].meeting] = nil
			ids = append(ids, all[i].meeting)
		}
	}
	rows, err := tx.Hostings(ctx, account, ids)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		h := &hosting{Hosting: r}
		if h.segments, err = decodeSegments(r.MeetingID, r.Segments); err != nil {
			return nil, err
		}
		if len(h.segments) > 0 {
			h.first = h.segments[0].From
		}
		var facts []storedFact
		if err := json.Unmarshal([]byte(r.Facts), &facts); err != nil {
			return nil, fmt.Errorf("decode facts of %s: %w", r.MeetingID, err)
		}
		if err := json.Unmarshal([]byte(r.Bridges), &h.bridges); err != nil {
			return nil, fmt.Errorf("decode bridges of %s: %w", r.MeetingID, err)
		}
		why := make([]meeting.Fact, len(facts))
		for i, f := range facts {
			why[i] = meeting.Fact(f)
		}
		h.host, h.cause = meeting.HostOf(why), meeting.CauseOf(why)
		for _, s := range h.segments {
			if s.User != "" {
				h.host = s.User
			}
		}
		out[r.MeetingID] = h
	}
	for i := range all { // those whose meeting is not kept any more
		t := &all[i]
		if h := out[t.meeting]; h == nil {
			out[t.meeting] = &hosting{Hosting: store.Hosting{MeetingID: t.meeting}, host: t.user, first: t.from}
		} else if h.Segments == "" {
			h.first = min(h.first, t.from)
		}
	}
	return out, nil
}

// described are the takings of one license with what the rules ask of their meetings.
func (all taken) described(tag string, meetings map[string]*hosting) []meeting.Taking {
	var out []meeting.Taking
	for i := range all {
		t := &all[i]
		if tag != "" && t.tag != tag {
			continue
		}
		h := meetings[t.meeting]
		out = append(out, meeting.Taking{Charge: t.charge(), Meeting: t.meeting, User: t.user, Host: h.host, Cluster: t.cluster,
			Class: meeting.Class(t.class), Cause: h.cause, Bridges: h.bridges})
	}
	return out
}
