package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/api"
)

type meetingListCmd struct {
	periodFlags
	Running bool `help:"Only meetings that run now: no end was heard, and they began, or began to take the license that they take, in the last 31 days."`
}

// Run lists meetings with the licenses they took.
func (c meetingListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "meetings", r.Meetings(ctx, account, api.MeetingFilter{From: c.From.Time, To: c.To.Time, Running: c.Running}))
	if err != nil {
		return err
	}
	return printList(s, all, "there are no meetings", "id | name | started | duration | participants | license | charged to",
		func(m api.Meeting) []any {
			taken, user := takenBy(m)
			return []any{m.ID, m.Name, m.StartedAt, duration(m), m.ParticipantsMax, taken, user}
		})
}

// takenBy says what a meeting took of each license at most, one after the other, and who was charged; nothing where nobody took
// part or no user was charged.
func takenBy(m api.Meeting) (taken, user string) {
	var most []api.Segment // one for each license
	var users []string
	for _, segment := range m.Segments {
		i := slices.IndexFunc(most, func(s api.Segment) bool { return s.Tag == segment.Tag })
		if i < 0 {
			i, most = len(most), append(most, segment)
		}
		if segment.Sixths > most[i].Sixths {
			most[i] = segment
		}
		if segment.User != "" && !slices.Contains(users, segment.User) {
			users = append(users, segment.User)
		}
	}
	texts := make([]string, len(most))
	for i, segment := range most {
		texts[i] = taking(segment)
	}
	return strings.Join(texts, ", "), strings.Join(users, ", ")
}

// taking words what a segment takes.
func taking(segment api.Segment) string {
	if segment.Sixths == 6 {
		return segment.Tag
	}
	return fmt.Sprintf("%d/6 %s", segment.Sixths, segment.Tag)
}

// duration words how long a meeting was.
func duration(m api.Meeting) string {
	switch {
	case m.Running:
		return "running"
	case m.EndedAt == nil:
		return "no end heard"
	}
	return (time.Duration(m.DurationSeconds) * time.Second).String()
}

type meetingShowCmd struct {
	ID string `arg:"" help:"Id of the meeting."`
}

// Run shows a meeting: what is known of it, its segments and its participants.
func (c meetingShowCmd) Run(ctx context.Context, s *shell) error {
	m, err := meeting(ctx, s, c.ID)
	if err != nil {
		return err
	}
	return s.print(m, func(w io.Writer) {
		writeMeeting(w, m)
		fields(w, "Incomplete", m.Incomplete, "Estimated", m.Estimated, "Contradicting records", m.Conflicts)
		writeMissing(w, m.Missing)
		fmt.Fprintln(w)
		t := newTable(w, "from | to | license | charged to | rule")
		for _, segment := range m.Segments {
			t.row(segment.From, segment.To, taking(segment), segment.User, segment.Rule)
		}
		t.end()
		fmt.Fprintln(w)
		t = newTable(w, "participant | from | to")
		for _, p := range m.Participants {
			t.row(p.Name, p.From, p.To)
		}
		t.end()
	})
}

type meetingWhyCmd struct {
	ID string `arg:"" help:"Id of the meeting."`
}

// Run says why a meeting took the licenses it took, segment by segment.
func (c meetingWhyCmd) Run(ctx context.Context, s *shell) error {
	m, err := meeting(ctx, s, c.ID)
	if err != nil {
		return err
	}
	return s.print(m, func(w io.Writer) {
		writeMeeting(w, m)
		writeSegments(w, m.Segments)
		if len(m.Segments) == 0 {
			fmt.Fprintln(w, "\nno license was taken")
			writeWhy(w, m.Why, m.More)
		}
		var doubts []string
		if m.Incomplete && len(m.Missing) == 0 {
			doubts = append(doubts, "the start or end of a call or participant was not recorded")
		}
		if m.Estimated {
			doubts = append(doubts, "its end is an estimate")
		}
		if m.Conflicts > 0 {
			doubts = append(doubts, fmt.Sprintf("records that contradict stored ones: %d", m.Conflicts))
		}
		if len(doubts) > 0 {
			fmt.Fprintf(w, "\nNot certain: %s.\n", strings.Join(doubts, "; "))
		}
		writeMissing(w, m.Missing)
	})
}

func meeting(ctx context.Context, s *shell, id string) (api.Meeting, error) {
	r, account, err := s.in(ctx)
	if err != nil {
		return api.Meeting{}, err
	}
	return r.Meeting(ctx, account, id)
}

func writeMeeting(w io.Writer, m api.Meeting) {
	fields(w, "Meeting", m.ID, "Name", m.Name, "Space", m.Space, "Type", m.CallType, "Started", m.StartedAt, "Ended", m.EndedAt, "Duration", duration(m),
		"Participants at most", m.ParticipantsMax, "Policy", m.Policy, "Directory version", m.DirectoryVersion)
}

// writeSegments says what a meeting takes, segment by segment, and why.
func writeSegments(w io.Writer, segments []api.Segment) {
	for _, segment := range segments {
		user, until := "", " to now"
		switch {
		case segment.To != nil:
			until = " to " + cellText(segment.To)
		case segment.CountedTo != nil:
			until = " on, no end heard"
		}
		if segment.User != "" {
			user = ", charged to " + cellText(segment.User)
		}
		fmt.Fprintf(w, "\n%s%s: %s%s (rule %s)\n", cellText(segment.From), until, taking(segment), user, segment.Rule)
		writeWhy(w, segment.Why, segment.More)
		if segment.CountedTo != nil {
			fmt.Fprintf(w, "  - A license is counted for at most 31 days, as the end may have been lost: this one until %s.\n", cellText(segment.CountedTo))
		}
	}
}

func writeWhy(w io.Writer, why []api.Reason, more int) {
	for _, reason := range why {
		fmt.Fprintf(w, "  - %s\n", cellText(reason.Text))
	}
	if more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}
