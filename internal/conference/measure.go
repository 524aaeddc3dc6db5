package conference

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// measured is the exact use of one license over a time.
type measured struct {
	peak    meeting.Sixths
	at      time.Time      // first moment of the peak
	sampled meeting.Sixths // the most that snapshots see
	levels  []meeting.LevelTime
}

// measure takes charges apart over [from, to), in milliseconds.
func measure(charges []meeting.Charge, from, to int64) measured {
	begin, end := store.At(from), store.At(to)
	profile := meeting.Profile(charges, begin, end)
	var m measured
	m.peak, m.at = meeting.Highest(profile)
	first := begin.Truncate(meeting.SnapshotEvery)
	if first.Before(begin) {
		first = first.Add(meeting.SnapshotEvery)
	}
	m.sampled = meeting.Sampled(profile, first, end, meeting.SnapshotEvery)
	m.levels = meeting.Levels(profile, end)
	return m
}

// add joins the use of a later time.
func (m *measured) add(o measured) {
	if o.peak > m.peak {
		m.peak, m.at = o.peak, o.at
	}
	m.sampled = max(m.sampled, o.sampled)
	m.levels = append(m.levels, o.levels...)
}

// close puts the levels in order and gives level zero the time in which nothing was taken.
func (m *measured) close(period time.Duration) {
	for _, l := range m.levels {
		period -= l.For
	}
	if period > 0 {
		m.levels = append(m.levels, meeting.LevelTime{For: period})
	}
	m.levels = meeting.MergeLevels(m.levels)
}

// encodeLevels writes levels above zero as [[sixths,milliseconds],…].
func encodeLevels(levels []meeting.LevelTime) string {
	b := make([]byte, 0, 16*len(levels)+2)
	b = append(b, '[')
	for _, l := range levels {
		if l.Sixths == 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, '['), int64(l.Sixths), 10)
		b = append(strconv.AppendInt(append(b, ','), l.For.Milliseconds(), 10), ']')
	}
	return string(append(b, ']'))
}

func decodeLevels(text string) ([]meeting.LevelTime, error) {
	if text == "" {
		return nil, nil
	}
	var pairs [][2]int64
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, fmt.Errorf("decode levels: %w", err)
	}
	out := make([]meeting.LevelTime, len(pairs))
	for i, p := range pairs {
		out[i] = meeting.LevelTime{Sixths: meeting.Sixths(p[0]), For: time.Duration(p[1]) * time.Millisecond}
	}
	return out, nil
}

// useOf measures one license over [from, to), in milliseconds and over by now: from whole days and hours as far as they are
// counted, from segments at the edges. All that is in it is settled.
func useOf(ctx context.Context, tx *store.Tx, account, tag string, from, to int64) (measured, error) {
	var m measured
	if from >= to {
		return m, nil
	}
	up := func(at, unit int64) int64 { return min(to, (at+unit-1)/unit*unit) }
	hours, end := up(from, hour), to-to%hour
	days := max(hours, min(end, up(hours, day)))
	late := max(days, end-end%day)
	for _, part := range []struct {
		from, to int64
		read     func(context.Context, *store.Tx, string, string, int64, int64, *measured) error
	}{
		{from, hours, addSegments}, {hours, days, addHours}, {days, late, addDays}, {late, end, addHours}, {max(hours, end), to, addSegments},
	} {
		if part.from >= part.to {
			continue
		}
		if err := part.read(ctx, tx, account, tag, part.from, part.to, &m); err != nil {
			return m, err
		}
	}
	m.close(time.Duration(to-from) * time.Millisecond)
	return m, nil
}

func addSegments(ctx context.Context, tx *store.Tx, account, tag string, from, to int64, m *measured) error {
	found, err := takings(ctx, tx, account, from, to)
	if err != nil {
		return err
	}
	m.add(measure(found.of(tag), from, to))
	return nil
}

func addHours(ctx context.Context, tx *store.Tx, account, tag string, from, to int64, m *measured) error {
	rows, err := tx.HourLevels(ctx, db.HourLevelsParams{AccountID: account, Tag: tag, FromAt: from, ToAt: to})
	if err != nil {
		return fmt.Errorf("read hours: %w", err)
	}
	for _, r := range rows {
		levels, err := decodeLevels(r.Levels)
		if err != nil {
			return err
		}
		m.add(measured{meeting.Sixths(r.Peak), store.At(r.PeakAt), meeting.Sixths(r.Sampled), levels})
	}
	return nil
}

func addDays(ctx context.Context, tx *store.Tx, account, tag string, from, to int64, m *measured) error {
	rows, err := tx.UsageDays(ctx, db.UsageDaysParams{AccountID: account, Tag: tag, FromAt: from, ToAt: to})
	if err != nil {
		return fmt.Errorf("read days: %w", err)
	}
	for _, r := range rows {
		levels, err := decodeLevels(r.Levels)
		if err != nil {
			return err
		}
		m.add(measured{meeting.Sixths(r.Peak), store.At(r.PeakAt), meeting.Sixths(r.Sampled), levels})
	}
	return nil
}
