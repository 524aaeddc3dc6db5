package console

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
)

// maxWords is how many changes of the reason a list shows.
const maxWords = 3

// maxRunning is how many running meetings are shown or counted.
const maxRunning = 200

// runningMeetings says how many meetings run.
func (c *console) runningMeetings(ctx context.Context, account string) (string, error) {
	list, next, err := c.Conference.Meetings(ctx, account, conference.Filter{Running: true}, "", maxRunning)
	return atLeast(len(list), next != ""), err
}

// meetings lists meetings, the newest first: those of one day, or all of them with the running ones apart.
func (c *console) meetings(v *visit) (sheet, error) {
	q := v.URL.Query()
	f := conference.Filter{}
	if text := q.Get("day"); text != "" {
		from, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return sheet{}, license.Refuse(license.KindInvalid, "bad-day", "write the day like 2026-03-31", "%.40q is no day", text)
		}
		f.From, f.To = from, from.Add(day)
	}
	list, next, err := c.Conference.Meetings(v.Context(), v.account.ID, f, q.Get("after"), pageRows)
	if err != nil {
		return sheet{}, err
	}
	var running []conference.Meeting
	more := false
	if f.From.IsZero() {
		list = slices.DeleteFunc(list, func(m conference.Meeting) bool { return m.Runs(v.now) })
		if !q.Has("after") {
			var rest string
			running, rest, err = c.Conference.Meetings(v.Context(), v.account.ID, conference.Filter{Running: true}, "", maxRunning)
			more = rest != ""
		}
	}
	return sheet{title: "Meetings", tab: "meetings", body: meetingsBody(v, f.From, running, more, list, next)}, err
}

// meeting shows one meeting and why it took its licenses.
func (c *console) meeting(v *visit) (sheet, error) {
	m, err := c.Conference.Meeting(v.Context(), v.account.ID, v.PathValue("meeting"))
	if err != nil {
		return sheet{}, err
	}
	return sheet{title: titleOf(m), tab: "meetings", body: meetingBody(v, m)}, nil
}

func titleOf(m conference.Meeting) string {
	if m.Name == "" {
		return "Meeting without a name"
	}
	return m.Name
}

// length is how long a meeting took, or has taken so far.
func length(m conference.Meeting, now time.Time) string {
	switch {
	case m.Runs(now):
		return lasting(max(0, now.Sub(m.StartedAt)))
	case m.EndedAt == nil:
		return "not known"
	}
	return lasting(time.Duration(m.DurationSeconds) * time.Second)
}

// take is a license that a meeting takes, with the most that it takes of it at once.
type take struct {
	license, user string
	sixths        meeting.Sixths
}

// takesOf lists what a meeting takes. Its segments follow each other, so the most is the largest of them.
func takesOf(m conference.Meeting) []take {
	var out []take
	for _, s := range m.Segments {
		i := slices.IndexFunc(out, func(t take) bool { return t.license == s.License && t.user == s.User })
		if i < 0 {
			out, i = append(out, take{license: s.License, user: s.User}), len(out)
		}
		out[i].sixths = max(out[i].sixths, meeting.Sixths(s.Sixths))
	}
	return out
}

// reasonWord says a fact that decides on a license in a few words; others only add to one of these.
func reasonWord(code string) string {
	switch code {
	case meeting.OwnerPersonal:
		return "the owner holds a license"
	case meeting.NoSpace:
		return "no permanent space"
	case meeting.SpaceUnknown:
		return "space not in the directory"
	case meeting.SpaceWithoutOwner:
		return "space without an owner"
	case meeting.OwnerUnknown:
		return "owner not in the directory"
	case meeting.OwnerWithoutLicense:
		return "the owner holds no license"
	case meeting.GatewayCall:
		return "gateway call"
	case meeting.LyncCall:
		return "Lync call"
	case meeting.PointToPoint:
		return "point to point"
	case meeting.MoreThanTwo:
		return "more than two people"
	case meeting.NotAdHoc:
		return "neither space nor ad hoc"
	case meeting.TypeNotKnown:
		return "type not known"
	case meeting.NobodyJoined, meeting.NobodyYet:
		return "nobody joined"
	}
	return ""
}

// reasonOf is the reason of a meeting in a few words: of every segment the last fact that has any.
func reasonOf(m conference.Meeting) string {
	var words []string
	say := func(facts []conference.Fact) {
		for _, f := range slices.Backward(facts) {
			if word := reasonWord(f.Code); word != "" {
				if len(words) == 0 || words[len(words)-1] != word {
					words = append(words, word)
				}
				return
			}
		}
	}
	for _, s := range m.Segments {
		say(s.Why)
	}
	if len(m.Segments) == 0 {
		say(m.Why)
	}
	if len(words) > maxWords {
		words = append(words[:maxWords], "…")
	}
	return strings.Join(words, ", then ")
}

// amount writes sixths with the license that they are of.
func amount(license string, sixths meeting.Sixths) string {
	if sixths == meeting.Full {
		return "1 " + license
	}
	return sixths.String() + " " + license
}

// address parts an address before its at sign, where a narrow column may break it.
func address(user string) (name, host string) {
	at := max(0, strings.LastIndexByte(user, '@'))
	return user[:at], user[at:]
}

// policyOf writes the policy that decided: the engine keeps its name and its version with a space between.
func policyOf(m conference.Meeting) string {
	name, version, _ := strings.Cut(m.Policy, " ")
	if version == "" {
		return name
	}
	return name + ", version " + version
}

func endOf(t *time.Time, now time.Time) time.Time {
	if t == nil {
		return now
	}
	return *t
}

// maxStays is how many participants the picture of a meeting draws.
const maxStays = 24

// timeline draws a meeting: the licenses it takes above, who takes part below.
func timeline(m conference.Meeting, now time.Time) drawing {
	const left, top, barHeight, rowHeight = 150, 8, 30, 18
	over := span{from: m.StartedAt, to: endOf(m.EndedAt, now), left: left, right: canvas - margin}
	stays := m.Participants[:min(maxStays, len(m.Participants))]
	bottom := float64(top + barHeight + 12 + rowHeight*len(stays))
	d := drawing{height: decimal(bottom + 22), says: "Timeline of the licenses that the meeting took, and of its participants"}
	d.grid(over, top, bottom)
	d.label(left-10, top+barHeight/2+4, "strong", "end", "License")
	for _, s := range m.Segments {
		class := s.License
		if meeting.Sixths(s.Sixths) < meeting.Full {
			class = "part"
		}
		x, end := over.x(s.From), over.x(endOf(s.To, now))
		text := amount(s.License, meeting.Sixths(s.Sixths))
		d.box(x, top, end-x-1, barHeight, class, text+", "+moment(m, s.From)+" to "+until(m, s.To))
		if end-x > 90 {
			d.label(x+9, top+barHeight/2+4, "on-"+class, "start", text)
		}
	}
	for i, p := range stays {
		y := float64(top + barHeight + 12 + rowHeight*i)
		x := over.x(p.From)
		d.box(x, y+4, over.x(endOf(p.To, now))-x, 8, "stay", p.Name+", "+moment(m, p.From)+" to "+until(m, p.To))
		d.label(left-10, y+12, "", "end", shortened(p.Name, 22))
	}
	return d
}

// shortened cuts a name that a drawing has no room for.
func shortened(s string, longest int) string {
	letters := []rune(s)
	if len(letters) <= longest {
		return s
	}
	return string(letters[:longest-1]) + "…"
}

// maxParticipants is how many stays the page of a meeting lists.
const maxParticipants = 200

// moment writes an instant of a meeting: the time of day, and the day where it is not the one on which the meeting began.
func moment(m conference.Meeting, t time.Time) string {
	if t.UTC().Format(time.DateOnly) == m.StartedAt.UTC().Format(time.DateOnly) {
		return clock(t)
	}
	return t.UTC().Format(time.DateOnly) + " " + clock(t)
}

// until writes the end of something in a meeting, or that it goes on.
func until(m conference.Meeting, t *time.Time) string {
	if t == nil {
		return "now"
	}
	return moment(m, *t)
}

// missingWords says what is missing of a meeting, with the number of lost records where it is known.
func missingWords(m conference.Meeting) string {
	lost := int64(0)
	for _, l := range m.Missing {
		lost += l.Records
	}
	switch {
	case lost > 0:
		return "incomplete: " + counted(lost, "record is lost", "records are lost")
	case m.Lost:
		return "incomplete: some records are lost"
	}
	return "incomplete: some records are missing"
}
