package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/internal/store/db"
)

// The statements of the call-record lane and of the projection of meetings, which write many rows at once.

var (
	insertPosts = &insertion{"INSERT INTO cdr_post (account_id, cluster_id, seq, received_at, session, callbridge, directory_version, ignored, body, receiver)", ""}
	putRanges   = &insertion{"INSERT INTO cdr_range (account_id, cluster_id, session, low, first_seq, high, posts)", ""}
	putMeetings = &insertion{"INSERT INTO meeting (account_id, meeting_id, cluster_id, meeting_key, name, space, call_type, bridges, started_at, " +
		"ended_at, duration_s, participants_max, policy, directory_version, incomplete, lost, estimated, facts, segments, records)",
		" ON CONFLICT (account_id, meeting_id) DO UPDATE SET name = excluded.name, space = excluded.space, call_type = excluded.call_type, " +
			"bridges = excluded.bridges, started_at = excluded.started_at, ended_at = excluded.ended_at, duration_s = excluded.duration_s, " +
			"participants_max = excluded.participants_max, policy = excluded.policy, directory_version = excluded.directory_version, " +
			"incomplete = excluded.incomplete, lost = excluded.lost, estimated = excluded.estimated, facts = excluded.facts, " +
			"segments = excluded.segments, records = excluded.records"}
	putSegments = &insertion{"INSERT INTO segment (account_id, lasting, to_at, from_at, tag, sixths, meeting_id, cluster_id, user_jid, class)",
		" ON CONFLICT (account_id, lasting, to_at, from_at, tag, sixths, meeting_id) DO NOTHING"}
	putRefs = &insertion{"INSERT INTO meeting_ref (account_id, cluster_id, ref, meeting_id)",
		" ON CONFLICT (account_id, cluster_id, ref, meeting_id) DO NOTHING"}
	markHours = &insertion{hoursHead, " ON CONFLICT (account_id, tag, hour_at) DO UPDATE SET stale = TRUE, changed_at = excluded.changed_at " +
		"WHERE usage_hour.stale = FALSE OR usage_hour.changed_at < excluded.changed_at - 1000"} // a mark a second is enough
	putHours = &insertion{hoursLevelsHead, " ON CONFLICT (account_id, tag, hour_at) DO UPDATE SET peak = excluded.peak, peak_at = excluded.peak_at, " +
		"meetings = excluded.meetings, levels = excluded.levels, sampled = excluded.sampled, stale = FALSE"}
	markDays = &insertion{"INSERT INTO usage_day (account_id, tag, day_at, peak, peak_at, meetings, used, sampled, levels, marks, stale)",
		" ON CONFLICT (account_id, tag, day_at) DO UPDATE SET stale = TRUE, marks = usage_day.marks + 1"}
	insertHostDays         = &insertion{"INSERT INTO usage_host_day (account_id, day_at, host, meetings, personal, seconds, held, personal_held, participants_max)", ""}
	insertDirectoryUsers   = &insertion{"INSERT INTO directory_user (account_id, jid, from_version, to_version, guid, email, personal, user_id, name)", ""}
	insertDirectoryDevices = &insertion{"INSERT INTO directory_device (account_id, device, from_version, to_version, owner)", ""}
	insertDirectorySpaces  = &insertion{"INSERT INTO directory_space (account_id, space_id, from_version, to_version, name, owner)", ""}
)

const (
	hoursHead       = "INSERT INTO usage_hour (account_id, tag, hour_at, peak, peak_at, meetings, changed_at, stale, reported)"
	hoursLevelsHead = "INSERT INTO usage_hour (account_id, tag, hour_at, peak, peak_at, meetings, changed_at, stale, reported, levels, sampled)"
)

// InsertPosts appends to the journal of call-record posts; bodies are as Pack made them.
func (tx *Tx) InsertPosts(ctx context.Context, posts []db.CdrPost) error {
	var account, cluster, receiver boxed
	return insertRows(ctx, tx, insertPosts, posts, func(v []any, p *db.CdrPost) []any {
		return append(v, account.of(p.AccountID), cluster.of(p.ClusterID), p.Seq, p.ReceivedAt, p.Session, p.Callbridge, p.DirectoryVersion, p.Ignored, p.Body,
			receiver.of(p.Receiver))
	})
}

// PutRanges writes which posts hold which correlators of sessions.
func (tx *Tx) PutRanges(ctx context.Context, ranges []db.CdrRange) error {
	return insertRows(ctx, tx, putRanges, ranges, func(v []any, r *db.CdrRange) []any {
		return append(v, r.AccountID, r.ClusterID, r.Session, r.Low, r.FirstSeq, r.High, r.Posts)
	})
}

// PutMeetings writes meetings, in place of what was written of them before.
func (tx *Tx) PutMeetings(ctx context.Context, meetings []db.Meeting) error {
	var account, cluster, kind, bridges, policy boxed
	return insertRows(ctx, tx, putMeetings, meetings, func(v []any, m *db.Meeting) []any {
		return append(v, account.of(m.AccountID), m.MeetingID, cluster.of(m.ClusterID), m.MeetingKey, m.Name, m.Space, kind.of(m.CallType), bridges.of(m.Bridges),
			m.StartedAt, m.EndedAt, m.DurationS, m.ParticipantsMax, policy.of(m.Policy), m.DirectoryVersion, m.Incomplete, m.Lost, m.Estimated, m.Facts,
			m.Segments, m.Records)
	})
}

// PutSegments writes segments; those that stand there already stay.
func (tx *Tx) PutSegments(ctx context.Context, segments []db.Segment) error {
	var account, cluster, tag, class boxed
	return insertRows(ctx, tx, putSegments, segments, func(v []any, s *db.Segment) []any {
		return append(v, account.of(s.AccountID), s.Lasting, s.ToAt, s.FromAt, tag.of(s.Tag), s.Sixths, s.MeetingID, cluster.of(s.ClusterID), s.UserJid,
			class.of(s.Class))
	})
}

// PutRefs writes which meetings calls, legs and correlators belong to.
func (tx *Tx) PutRefs(ctx context.Context, refs []db.MeetingRef) error {
	var account, cluster boxed
	return insertRows(ctx, tx, putRefs, refs, func(v []any, r *db.MeetingRef) []any {
		return append(v, account.of(r.AccountID), cluster.of(r.ClusterID), r.Ref, r.MeetingID)
	})
}

// MarkHours makes hours stale, given by account, tag, hour_at and changed_at. The caller sorts them, so that two
// transactions never wait for each other.
func (tx *Tx) MarkHours(ctx context.Context, hours []db.UsageHour) error {
	return insertRows(ctx, tx, markHours, hours, func(v []any, h *db.UsageHour) []any {
		return append(v, h.AccountID, h.Tag, h.HourAt, int64(0), int64(0), int64(0), h.ChangedAt, true, false)
	})
}

// PutHours writes what hours came to; whether they were reported stays as it is.
func (tx *Tx) PutHours(ctx context.Context, hours []db.UsageHour) error {
	return insertRows(ctx, tx, putHours, hours, func(v []any, h *db.UsageHour) []any {
		return append(v, h.AccountID, h.Tag, h.HourAt, h.Peak, h.PeakAt, h.Meetings, h.ChangedAt, false, false, h.Levels, h.Sampled)
	})
}

// MarkDays makes days stale, given by account, tag and day_at. The caller sorts them, so that two transactions never wait
// for each other.
func (tx *Tx) MarkDays(ctx context.Context, days []db.UsageDay) error {
	return insertRows(ctx, tx, markDays, days, func(v []any, d *db.UsageDay) []any {
		return append(v, d.AccountID, d.Tag, d.DayAt, int64(0), int64(0), int64(0), int64(0), int64(0), "", int64(1), true)
	})
}

// InsertHostDays adds what hosts hosted on a day.
func (tx *Tx) InsertHostDays(ctx context.Context, rows []db.UsageHostDay) error {
	return insertRows(ctx, tx, insertHostDays, rows, func(v []any, r *db.UsageHostDay) []any {
		return append(v, r.AccountID, r.DayAt, r.Host, r.Meetings, r.Personal, r.Seconds, r.Held, r.PersonalHeld, r.ParticipantsMax)
	})
}

// Hosting is what is needed of a meeting to say who hosted it.
type Hosting struct {
	MeetingID, Name, Space string
	Bridges, Facts         string // JSON
	Segments               string // JSON
	StartedAt              int64
	ParticipantsMax        int64
}

// Hostings reads some meetings, in no order.
func (tx *Tx) Hostings(ctx context.Context, account string, ids []string) ([]Hosting, error) {
	out := make([]Hosting, 0, len(ids))
	err := tx.queryIn(ctx, `SELECT meeting_id, name, space, bridges, facts, segments, started_at, participants_max FROM meeting
WHERE account_id = $1 AND meeting_id IN `, "", account, ids, func(scan func(...any) error) error {
		var h Hosting
		err := scan(&h.MeetingID, &h.Name, &h.Space, &h.Bridges, &h.Facts, &h.Segments, &h.StartedAt, &h.ParticipantsMax)
		out = append(out, h)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %d meetings: %w", len(ids), err)
	}
	return out, nil
}

// MeetingPolicy is by which policy a meeting was decided, and its name.
type MeetingPolicy struct{ MeetingID, Name, Policy string }

// MeetingPolicies reads those of some meetings, in no order.
func (tx *Tx) MeetingPolicies(ctx context.Context, account string, ids []string) ([]MeetingPolicy, error) {
	out := make([]MeetingPolicy, 0, len(ids))
	err := tx.queryIn(ctx, "SELECT meeting_id, name, policy FROM meeting WHERE account_id = $1 AND meeting_id IN ", "", account, ids,
		func(scan func(...any) error) error {
			var m MeetingPolicy
			err := scan(&m.MeetingID, &m.Name, &m.Policy)
			out = append(out, m)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read policies of %d meetings: %w", len(ids), err)
	}
	return out, nil
}

// InsertDirectoryUsers adds users to a version of the directory.
func (tx *Tx) InsertDirectoryUsers(ctx context.Context, users []db.DirectoryUser) error {
	return insertRows(ctx, tx, insertDirectoryUsers, users, func(v []any, u *db.DirectoryUser) []any {
		return append(v, u.AccountID, u.Jid, u.FromVersion, u.ToVersion, u.Guid, u.Email, u.Personal, u.UserID, u.Name)
	})
}

// InsertDirectorySpaces adds spaces to a version of the directory.
func (tx *Tx) InsertDirectorySpaces(ctx context.Context, spaces []db.DirectorySpace) error {
	return insertRows(ctx, tx, insertDirectorySpaces, spaces, func(v []any, s *db.DirectorySpace) []any {
		return append(v, s.AccountID, s.SpaceID, s.FromVersion, s.ToVersion, s.Name, s.Owner)
	})
}

// InsertDirectoryDevices adds devices to a version of the directory.
func (tx *Tx) InsertDirectoryDevices(ctx context.Context, devices []db.DirectoryDevice) error {
	return insertRows(ctx, tx, insertDirectoryDevices, devices, func(v []any, d *db.DirectoryDevice) []any {
		return append(v, d.AccountID, d.Device, d.FromVersion, d.ToVersion, d.Owner)
	})
}

// MeetingsByRefs returns the ids of the meetings that refs belong to, in no order, an id perhaps more than once.
func (tx *Tx) MeetingsByRefs(ctx context.Context, account, cluster string, refs []string) ([]string, error) {
	var ids []string
	for len(refs) > 0 {
		n := 1
		for n < min(len(refs), maxRows) {
			n *= 2
		}
		taken := min(n, len(refs))
		args := make([]any, 0, n+2)
		args = append(args, account, cluster)
		for i := range n {
			args = append(args, refs[min(i, taken-1)])
		}
		var b strings.Builder
		b.WriteString("SELECT meeting_id FROM meeting_ref WHERE account_id = $1 AND cluster_id = $2 AND ref IN (")
		placeholders(&b, 3, n)
		b.WriteByte(')')
		err := tx.scanAll(ctx, b.String(), args, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look up %d refs: %w", taken, err)
		}
		refs = refs[taken:]
	}
	return ids, nil
}

// MeetingRecords calls fn with the id, the end and the records of each of some meetings, in no order.
func (tx *Tx) MeetingRecords(ctx context.Context, account string, ids []string, fn func(id string, ended int64, records []byte) error) error {
	err := tx.queryIn(ctx, "SELECT meeting_id, ended_at, records FROM meeting WHERE account_id = $1 AND meeting_id IN ", "", account, ids,
		func(scan func(...any) error) error {
			var id string
			var ended int64
			var records []byte
			if err := scan(&id, &ended, &records); err != nil {
				return err
			}
			return fn(id, ended, records)
		})
	if err != nil {
		return fmt.Errorf("read records of %d meetings: %w", len(ids), err)
	}
	return nil
}

// MeetingsThere returns which of some ids are those of stored meetings, in no order.
func (tx *Tx) MeetingsThere(ctx context.Context, account string, ids []string) ([]string, error) {
	var out []string
	err := tx.queryIn(ctx, "SELECT meeting_id FROM meeting WHERE account_id = $1 AND meeting_id IN ", "", account, ids,
		func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			out = append(out, id)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("look up %d meetings: %w", len(ids), err)
	}
	return out, nil
}
