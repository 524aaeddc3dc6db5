package conference

import (
	"context"
	"fmt"

	"github.com/tallystick/tallystick/internal/meeting"
)

// Why explains a meeting in sentences: which license each stretch takes and for which reasons, and what is not known.
// Errors are those of Meeting.
func (e *Engine) Why(ctx context.Context, account, id string) (Meeting, []string, error) {
	m, err := e.Meeting(ctx, account, id)
	if err != nil {
		return Meeting{}, nil, err
	}
	var lines []string
	said := map[string]bool{}
	say := func(facts []Fact) {
		for _, f := range facts {
			if !said[f.Text] {
				said[f.Text] = true
				lines = append(lines, f.Text)
			}
		}
	}
	for i := range m.Segments {
		lines = append(lines, m.Segments[i].sentence())
		say(m.Segments[i].Why)
	}
	say(m.Why)
	switch {
	case m.Lost:
		for _, l := range m.Missing {
			lines = append(lines, l.Sentence())
		}
	case m.Incomplete:
		lines = append(lines, "The start or end of the call or of a participant was not recorded: the meeting may have been longer or larger than shown.")
	}
	if m.Estimated {
		lines = append(lines, "The call bridge restarted before it reported the end: the end shown is when it was last heard of.")
	}
	if m.Conflicts > 0 {
		lines = append(lines, fmt.Sprintf("Records that contradict stored ones: %d. They are kept and do not count.", m.Conflicts))
	}
	return m, lines, nil
}

func (s *Segment) sentence() string {
	const form = "2006-01-02 15:04:05"
	until := "until now"
	if s.To != nil {
		until = "to " + s.To.Format(form)
	}
	whose := ""
	if s.User != "" {
		whose = " of " + s.User
	}
	return fmt.Sprintf("From %s %s UTC: %s %s license%s (%s), by the rule %q of the policy.",
		s.From.Format(form), until, meeting.Sixths(s.Sixths), s.License, whose, s.Tag, s.Rule)
}
