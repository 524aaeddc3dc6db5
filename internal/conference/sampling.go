package conference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
)

// maxSnapshotDays bounds one answer.
const maxSnapshotDays = 31

// SnapshotFilter picks what snapshots are about; the zero value is the whole account of the last day.
type SnapshotFilter struct {
	From, To   time.Time
	Bridge     string // id or name of a bridge; empty for all
	CallBridge string // GUID: only what is on it, in parts where a meeting is on others too
}

// Snapshots returns the use every five minutes in the classes of the call bridges' own snapshots (domain rules 21, 22 and 26),
// at multiples of five minutes, the oldest first. They begin with the engine, or with the first meeting it knows if that was earlier:
// before, nothing was counted, which is not the same as no use. Errors: a license.Error of kind too large beyond 31 days, not found for an
// unknown bridge, invalid for a call bridge that is no GUID.
func (e *Engine) Snapshots(ctx context.Context, account string, f SnapshotFilter) ([]meeting.Snapshot, error) {
	if f.From.IsZero() {
		end := f.To
		if end.IsZero() {
			end = e.now()
		}
		f.From = end.Add(-24 * time.Hour)
	}
	from, to, err := e.period(f.From, f.To)
	if err != nil {
		return nil, err
	}
	if to.Sub(from) > maxSnapshotDays*24*time.Hour {
		return nil, license.Refuse(license.KindTooLarge, "usage-too-long", "ask for a shorter period", "snapshots of more than %d days were asked for", maxSnapshotDays)
	}
	if err := e.sync(ctx, account); err != nil {
		return nil, err
	}
	f.CallBridge = fold(f.CallBridge)
	if f.CallBridge != "" && !isGUID(f.CallBridge) {
		return nil, noCallBridge(f.CallBridge)
	}
	var out []meeting.Snapshot
	err = e.store.View(ctx, func(tx *store.Tx) error {
		out = nil
		begun, err := countedSince(ctx, tx, account)
		if err != nil || begun.IsZero() {
			return err
		}
		if from.Before(begun) {
			from = begun
		}
		if first := from.Truncate(meeting.SnapshotEvery); first.Before(from) {
			from = first.Add(meeting.SnapshotEvery)
		}
		cluster := ""
		if f.Bridge != "" {
			row, err := bridgeNamed(ctx, tx, account, f.Bridge)
			if err != nil {
				return err
			}
			cluster = row.ClusterID
		}
		all, err := takings(ctx, tx, account, store.Ms(from), store.Ms(to))
		if err != nil {
			return err
		}
		if cluster != "" {
			all = slices.DeleteFunc(all, func(t taking) bool { return t.cluster != cluster })
		}
		meetings, err := all.hostings(ctx, tx, account)
		if err != nil {
			return err
		}
		seen := all.described("", meetings)
		media, err := mediaOf(ctx, tx, account, meetings)
		if err != nil {
			return err
		}
		out = meeting.Snapshots(append(seen, media...), f.CallBridge, from, to, meeting.SnapshotEvery)
		assigned, err := assignments(ctx, tx, account)
		for i := range out {
			out[i].Assigned = meeting.Assigned(assigned, out[i].At)
		}
		return err
	})
	return out, outcome("make snapshots", err)
}

// countedSince is when counting began: when the engine was enabled, or when the first meeting began that came to it. Zero where it was
// not enabled.
func countedSince(ctx context.Context, tx *store.Tx, account string) (time.Time, error) {
	conf, err := tx.Conference(ctx, account)
	if errors.Is(err, store.ErrNoRow) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read conference of %s: %w", account, err)
	}
	first, err := tx.FirstMeeting(ctx, account)
	if errors.Is(err, store.ErrNoRow) {
		return store.At(conf.EnabledAt), nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("find the first meeting of %s: %w", account, err)
	}
	return store.At(min(conf.EnabledAt, first)), nil
}

// mediaOf are the recordings and streams of meetings.
func mediaOf(ctx context.Context, tx *store.Tx, account string, meetings map[string]*hosting) ([]meeting.Taking, error) {
	ids := make([]string, 0, len(meetings))
	for id := range meetings {
		ids = append(ids, id)
	}
	var out []meeting.Taking
	err := tx.MeetingRecords(ctx, account, ids, func(id string, ended int64, stored []byte) error {
		records, err := cdr.Decode(stored)
		if err != nil {
			return err
		}
		out = append(out, media(records, meetings[id].bridges, store.At(ended))...)
		return nil
	})
	return out, err
}

// media finds recordings and streams in the records of a meeting; one whose end is missing ends with the meeting.
func media(records []*cdr.Record, bridges []string, ended time.Time) []meeting.Taking {
	type life struct {
		class    meeting.Class
		from, to time.Time
	}
	var order []string
	lives := map[string]*life{}
	for _, r := range records {
		class := meeting.ClassRecording
		switch r.Kind {
		case cdr.StreamingStart, cdr.StreamingEnd:
			class = meeting.ClassStream
		case cdr.RecordingStart, cdr.RecordingEnd:
		default:
			continue
		}
		l := lives[r.MediaID]
		if l == nil {
			l = &life{class: class, to: ended}
			lives[r.MediaID] = l
			order = append(order, r.MediaID)
		}
		if r.Kind == cdr.RecordingStart || r.Kind == cdr.StreamingStart {
			l.from = r.At
		} else {
			l.to = r.At
		}
	}
	var out []meeting.Taking
	for _, id := range order {
		if l := lives[id]; !l.from.IsZero() {
			out = append(out, meeting.Taking{Charge: meeting.Charge{From: l.from, To: l.to, Sixths: meeting.Full}, Class: l.class, Bridges: bridges})
		}
	}
	return out
}
