package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// Meeting is one meeting with the licenses it takes. Times are UTC, by the clocks of the call bridges.
type Meeting struct {
	ID               string     `json:"id"` // "mtg_…"
	Bridge           string     `json:"bridge"`
	Name             string     `json:"name"`
	Space            string     `json:"space,omitempty"`
	CallType         string     `json:"callType"`
	Bridges          []string   `json:"bridges"`
	StartedAt        time.Time  `json:"startedAt"`
	EndedAt          *time.Time `json:"endedAt"` // nil while no end was heard; Runs says whether it is taken to run
	DurationSeconds  int64      `json:"durationSeconds"`
	ParticipantsMax  int64      `json:"participantsMax"`
	Policy           string     `json:"policy"` // name and version
	DirectoryVersion int64      `json:"directoryVersion"`
	Incomplete       bool       `json:"incomplete"`        // the start or end of a call or participant is not known, or records are lost
	Lost             bool       `json:"lost"`              // a call bridge announced lost records from its time
	Missing          []Missing  `json:"missing,omitempty"` // what is lost; only of a single meeting
	Estimated        bool       `json:"estimated"`         // its end is not from a record
	Conflicts        int64      `json:"conflicts"`         // records that contradict stored ones
	Second           bool       `json:"second"`            // at some time another meeting held the personal license that pays for it
	// Diagnosis is why no personal license pays, in one word.
	Diagnosis    meeting.Diagnosis `json:"diagnosis,omitempty"`
	Segments     []Segment         `json:"segments"`
	Why          []Fact            `json:"why"`
	Participants []Participant     `json:"participants,omitempty"` // only of a single meeting

	latest time.Time // when the segment began that has no end; zero without one
}

// Segment is a stretch of a meeting with one license.
type Segment struct {
	From    time.Time  `json:"from"`
	To      *time.Time `json:"to"` // nil while it runs
	License string     `json:"license"`
	Tag     string     `json:"tag"`
	Sixths  int64      `json:"sixths"`
	User    string     `json:"user,omitempty"` // the JID of who is charged
	Rule    string     `json:"rule"`
	Why     []Fact     `json:"why"`
}

// CountedTo is until when the segment counts, if that is over at now and before its end: a call whose end never comes must
// not count for years. Nil for a segment that counts to its end, or still.
func (s *Segment) CountedTo(now time.Time) *time.Time {
	to := int64(far)
	if s.To != nil {
		to = store.Ms(*s.To)
	}
	end := counted(store.Ms(s.From), to)
	if end == to || end > store.Ms(now) {
		return nil
	}
	at := store.At(end)
	return &at
}

// RunsFor is for how long a meeting without an end is taken to run since the license that it takes last changed, at full hours, as
// long as that is counted: the end may have been lost.
const RunsFor = maxHours * time.Hour

// Runs says whether the meeting is taken to run at now: no end was heard, and it takes a license that is counted, or takes none and
// would be counted if it had taken one from its beginning. Whatever lists or counts running meetings means these.
func (m *Meeting) Runs(now time.Time) bool {
	return m.EndedAt == nil && max(store.Ms(m.StartedAt), store.Ms(m.latest)) >= countedFrom(store.Ms(now))
}

// Fact is one reason, with its sentence.
type Fact struct {
	Code string            `json:"code"`
	Text string            `json:"text"`
	Args map[string]string `json:"args,omitempty"`
}

// Participant is one stay in the meeting.
type Participant struct {
	Name string     `json:"name"`
	From time.Time  `json:"from"`
	To   *time.Time `json:"to"`
}

// Filter picks meetings. The zero Filter picks all.
type Filter struct {
	From, To time.Time // started in [From, To); zero for no bound
	Running  bool      // only those that run, as Meeting.Runs says
}

// MaxSegments is how many segments one meeting of a list shows; a single meeting shows all.
const MaxSegments = 1000

// Meetings lists the meetings of an account, the newest first, at most limit (1 to 1000, else 100), and says with which
// cursor the list goes on; that is empty at its end. Errors: a license.Error of kind invalid for a wrong cursor.
func (e *Engine) Meetings(ctx context.Context, account string, f Filter, cursor string, limit int) ([]Meeting, string, error) {
	at, id, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	if err := e.sync(ctx, account); err != nil {
		return nil, "", err
	}
	if cursor == "" && !f.To.IsZero() {
		at, id = store.Ms(f.To), ""
	}
	limit = bounded(limit)
	out := []Meeting{}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := meetingsPage(ctx, tx, f.Running, db.RunningPageParams{AccountID: account, CountedFrom: countedFrom(store.Ms(e.now())), Far: far,
			FromAt: store.Ms(f.From), BeforeAt: at, BeforeID: id, Page: int32(limit + 1)})
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			m, err := meetingOf(db.Meeting{MeetingID: r.MeetingID, ClusterID: r.ClusterID, Name: r.Name, Space: r.Space, CallType: r.CallType,
				Bridges: r.Bridges, StartedAt: r.StartedAt, EndedAt: r.EndedAt, DurationS: r.DurationS, ParticipantsMax: r.ParticipantsMax,
				Policy: r.Policy, DirectoryVersion: r.DirectoryVersion, Incomplete: r.Incomplete, Lost: r.Lost, Estimated: r.Estimated, Facts: r.Facts, Segments: r.Segments}, MaxSegments)
			if err != nil {
				return err
			}
			out = append(out, m)
		}
		if err := e.showSeconds(ctx, tx, account, out); err != nil {
			return err
		}
		return conflicts(ctx, tx, account, out)
	})
	if err != nil {
		return nil, "", outcome("list meetings", err)
	}
	if len(out) <= limit {
		return out, "", nil
	}
	last := out[limit-1]
	return out[:limit], strconv.FormatInt(store.Ms(last.StartedAt), 10) + "_" + last.ID, nil
}

// meetingsPage reads a page of all meetings, or of those that run.
func meetingsPage(ctx context.Context, tx *store.Tx, running bool, p db.RunningPageParams) ([]db.MeetingsPageRow, error) {
	if !running {
		return tx.MeetingsPage(ctx, db.MeetingsPageParams{AccountID: p.AccountID, FromAt: p.FromAt, BeforeAt: p.BeforeAt, BeforeID: p.BeforeID, Page: p.Page})
	}
	rows, err := tx.RunningPage(ctx, p)
	out := make([]db.MeetingsPageRow, len(rows))
	for i, r := range rows {
		out[i] = db.MeetingsPageRow(r)
	}
	return out, err
}

func parseCursor(cursor string) (at int64, id string, err error) {
	if cursor == "" {
		return far, "", nil
	}
	ms, id, ok := strings.Cut(cursor, "_")
	at, err = strconv.ParseInt(ms, 10, 64)
	if !ok || err != nil {
		return 0, "", license.Refuse(license.KindInvalid, "bad-cursor", "use the cursor of the page before, or none", "%.100q is no cursor of this list", cursor)
	}
	return at, id, nil
}

// conflicts counts the conflicting records of meetings.
func conflicts(ctx context.Context, tx *store.Tx, account string, out []Meeting) error {
	rows, err := tx.ConflictsByMeeting(ctx, account)
	if err != nil {
		return fmt.Errorf("count conflicts: %w", err)
	}
	of := make(map[string]int64, len(rows))
	for _, c := range rows {
		of[c.MeetingID] = c.Conflicts
	}
	for i := range out {
		out[i].Conflicts = of[out[i].ID]
	}
	return nil
}

// Meeting returns one meeting, with its participants. The error is a license.Error of kind not found for an unknown id.
func (e *Engine) Meeting(ctx context.Context, account, id string) (Meeting, error) {
	if err := e.sync(ctx, account); err != nil {
		return Meeting{}, err
	}
	out := make([]Meeting, 1)
	var row db.Meeting
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.Meeting(ctx, db.MeetingParams{AccountID: account, MeetingID: id})
		if errors.Is(err, store.ErrNoRow) || err == nil && row.StartedAt == 0 {
			return license.NotFound("meeting", id)
		}
		if err != nil {
			return err
		}
		if out[0], err = meetingOf(row, math.MaxInt); err != nil {
			return err
		}
		if err := e.showSeconds(ctx, tx, account, out); err != nil {
			return err
		}
		return conflicts(ctx, tx, account, out)
	})
	if err == nil {
		err = e.detail(ctx, &row, &out[0])
	}
	return out[0], outcome("read meeting", err)
}

// detail reads who took part in a stored meeting, and what is lost of it.
func (e *Engine) detail(ctx context.Context, row *db.Meeting, m *Meeting) error {
	records, err := cdr.Decode(row.Records)
	if err != nil {
		return fmt.Errorf("read records of %s: %w", row.MeetingID, err)
	}
	var o cdr.Options
	if row.Estimated {
		if o.ClosedAt, err = e.closedSessions(ctx, row.AccountID, row.ClusterID); err != nil {
			return err
		}
	}
	conf := cdr.Fold(row.MeetingKey, records, o)
	for _, p := range conf.Participants {
		m.Participants = append(m.Participants, Participant{Name: nameOf(p), From: p.From, To: ended(store.Ms(p.To))})
	}
	if row.Lost {
		m.Missing, err = e.missing(ctx, *row, conf.Calls, records)
	}
	return err
}

func nameOf(p cdr.Participant) string {
	for _, name := range []string{p.DisplayName, p.RemoteParty, p.Type} {
		if name != "" {
			return name
		}
	}
	return p.Leg
}

// ended is the end of something, nil while it runs.
func ended(ms int64) *time.Time {
	if ms == 0 || ms == far {
		return nil
	}
	at := store.At(ms)
	return &at
}

// meetingOf reads a stored meeting, with at most so many of its segments.
func meetingOf(r db.Meeting, most int) (Meeting, error) {
	m := Meeting{ID: r.MeetingID, Bridge: r.ClusterID, Name: r.Name, Space: r.Space, CallType: r.CallType, StartedAt: store.At(r.StartedAt),
		EndedAt: ended(r.EndedAt), DurationSeconds: r.DurationS, ParticipantsMax: r.ParticipantsMax, Policy: r.Policy,
		DirectoryVersion: r.DirectoryVersion, Incomplete: r.Incomplete, Lost: r.Lost, Estimated: r.Estimated}
	if err := json.Unmarshal([]byte(r.Bridges), &m.Bridges); err != nil {
		return m, fmt.Errorf("decode bridges of %s: %w", m.ID, err)
	}
	var err error
	if m.Why, err = decodeFacts(r.Facts); err != nil {
		return m, err
	}
	m.Segments, err = segmentsOf(r.MeetingID, r.Segments, r.Facts)
	if n := len(m.Segments); n > 0 && m.Segments[n-1].To == nil {
		m.latest = m.Segments[n-1].From
	}
	m.Segments = m.Segments[:min(len(m.Segments), most)]
	m.Diagnosis = m.diagnosis()
	return m, err
}

// diagnosis reads all facts of the meeting.
func (m *Meeting) diagnosis() meeting.Diagnosis {
	var facts []meeting.Fact
	for _, s := range append([]Segment{{Why: m.Why}}, m.Segments...) {
		for _, f := range s.Why {
			facts = append(facts, meeting.Fact{Code: f.Code})
		}
	}
	return meeting.Diagnose(facts)
}

// storedFact is a fact as it is kept: without its sentence, which is rendered when it is read.
type storedFact struct {
	Code string            `json:"code"`
	Args map[string]string `json:"args,omitempty"`
}

func decodeFacts(text string) ([]Fact, error) {
	var in []storedFact
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return nil, fmt.Errorf("decode facts: %w", err)
	}
	out := make([]Fact, len(in))
	for i, f := range in {
		out[i] = Fact{Code: f.Code, Text: meeting.Fact(f).Text(), Args: f.Args}
	}
	return out, nil
}
