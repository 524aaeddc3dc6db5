package conference

import (
	"context"
	"errors"
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
	sums    map[meeting.Sixths]time.Duration // of levels above zero, until close
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
	m.top(o.peak, o.at, o.sampled)
	for _, l := range o.levels {
		m.level(l.Sixths, l.For)
	}
}

func (m *measured) top(peak meeting.Sixths, at time.Time, sampled meeting.Sixths) {
	if peak > m.peak {
		m.peak, m.at = peak, at
	}
	m.sampled = max(m.sampled, sampled)
}

func (m *measured) level(n meeting.Sixths, d time.Duration) {
	if m.sums == nil {
		m.sums = map[meeting.Sixths]time.Duration{}
	}
	if n > 0 {
		m.sums[n] += d
	}
}

// stored joins a row of hours or days.
func (m *measured) stored(peak, at, sampled int64, levels string) error {
	m.top(meeting.Sixths(peak), store.At(at), meeting.Sixths(sampled))
	return eachLevel(levels, m.level)
}

// close puts the levels in order and gives level zero the time in which nothing was taken.
func (m *measured) close(period time.Duration) {
	m.levels = make([]meeting.LevelTime, 0, len(m.sums)+1)
	for n, d := range m.sums {
		m.levels = append(m.levels, meeting.LevelTime{Sixths: n, For: d})
		period -= d
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

// eachLevel reads what encodeLevels wrote. It is read by hand, as a year has hundreds of thousands of numbers.
func eachLevel(text string, fn func(meeting.Sixths, time.Duration)) error {
	var pair [2]int64
	n, inside := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c >= '0' && c <= '9' && inside:
			pair[n] = pair[n]*10 + int64(c-'0')
		case c == ',' && inside && n == 0:
			n = 1
		case c == '[' && !inside && i > 0:
			pair, n, inside = [2]int64{}, 0, true
		case c == ']' && inside && n == 1:
			fn(meeting.Sixths(pair[0]), time.Duration(pair[1])*time.Millisecond)
			inside = false
		case (c == '[' && i == 0 || c == ',' || c == ']' && i == len(text)-1) && !inside: // between pairs
		default:
			return fmt.Errorf("levels have %q at byte %d", c, i)
		}
	}
	if inside {
		return errors.New("levels end within a pair")
	}
	return nil
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
		if err := m.stored(r.Peak, r.PeakAt, r.Sampled, r.Levels); err != nil {
			return err
		}
	}
	return nil
}

func addDays(ctx context.Context, tx *store.Tx, account, tag string, from, to int64, m *measured) error {
	rows, err := tx.UsageDays(ctx, db.UsageDaysParams{AccountID: account, Tag: tag, FromAt: from, ToAt: to})
	if err != nil {
		return fmt.Errorf("read days: %w", err)
	}
	for _, r := range rows {
		if err := m.stored(r.Peak, r.PeakAt, r.Sampled, r.Levels); err != nil {
			return err
		}
	}
	return nil
}
