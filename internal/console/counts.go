package console

import (
	"strconv"
	"time"

	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/meeting"
)

// counts is what the usage page says beside its charts: the highest moment of shared licenses, for how long how many were in
// use, and how the days of the last 90 stand.
type counts struct {
	peak     conference.PeakUsage
	curve    drawing
	above    time.Duration // for how long more was taken than is owned now
	standing conference.Compliance
	names    map[string]string // of licenses, by tag
}

// counts asks for them.
func (c *console) counts(v *visit, shared kindUse, from, to time.Time) (counts, error) {
	var out counts
	peaks, err := c.Conference.Peaks(v.Context(), v.account.ID, from, to)
	if err != nil {
		return out, err
	}
	levels, err := c.Conference.Levels(v.Context(), v.account.ID, from, to)
	if err != nil {
		return out, err
	}
	for _, p := range peaks {
		if p.Tag == shared.tag {
			out.peak = p
		}
	}
	for _, l := range levels {
		if l.Tag == shared.tag {
			out.above = meeting.Above(l.Levels, meeting.Sixths(shared.owned)*meeting.Full)
			out.curve = curve(l, shared.owned)
		}
	}
	out.standing, err = c.Conference.Compliance(v.Context(), v.account.ID)
	return out, err
}

// curve draws for which part of the time at least so many licenses were in use, and a line at what is owned.
func curve(l conference.LevelUsage, owned int64) drawing {
	const left, top, height = 40, 14, 150
	const right = canvas - margin
	whole := l.To.Sub(l.From)
	full := ceiling(max(owned, meeting.Sixths(l.Sixths).Licenses(), 1))
	y := func(licenses float64) float64 { return top + height*(1-licenses/float64(full)) }
	x := func(d time.Duration) float64 { return left + (right-left)*float64(d)/float64(max(whole, 1)) }
	d := drawing{height: decimal(top + height + 24), says: "Shared licenses: for which part of the time at least so many were in use, against the " + number(owned) + " that are owned"}
	for _, n := range marks(full) {
		d.line(left, y(float64(n)), right, y(float64(n)), "grid")
		d.label(left-8, y(float64(n))+4, "", "end", number(n))
	}
	for part := range 5 {
		at := left + (right-left)*float64(part)/4
		d.line(at, top+height, at, top+height+4, "grid")
		d.label(at, top+height+17, "", "middle", strconv.Itoa(25*part)+" %")
	}
	var before time.Duration
	for _, p := range meeting.Curve(l.Levels) {
		if p.Sixths == 0 {
			break
		}
		used := float64(p.Sixths) / float64(meeting.Full)
		says := p.Sixths.String() + " or more for " + lasting(p.For)
		inside := min(used, float64(owned))
		d.box(x(before), y(inside), x(p.For)-x(before), top+height-y(inside), string(meeting.Shared), says)
		if used > inside {
			d.box(x(before), y(used), x(p.For)-x(before), y(inside)-y(used), "over", says)
			d.boxes[len(d.boxes)-1].further = true
		}
		before = p.For
	}
	d.line(left, y(float64(owned)), right, y(float64(owned)), "owned")
	d.label(right-4, y(float64(owned))-5, "owner", "end", number(owned)+" owned")
	return d
}

// shownMeetings is how many meetings of the highest moment the page names.
const shownMeetings = 20

// firstWhy is the reason that comes first.
func firstWhy(facts []conference.Fact) string {
	if len(facts) == 0 {
		return ""
	}
	return facts[0].Text
}

// toneOf colors a level.
func toneOf(level, days int) tone {
	switch {
	case level > 0:
		return bad
	case days > 0:
		return alert
	}
	return good
}

// standingWord says how a license stands.
func standingWord(l conference.LicenseStanding) string {
	if l.Level > 0 {
		return "level " + strconv.Itoa(l.Level)
	}
	return counted(int64(len(l.Over)), "day over", "days over")
}

// nameOf names a meeting of the highest moment.
func nameOf(m conference.PeakMeeting) string {
	if m.Name == "" {
		return m.Meeting
	}
	return m.Name
}
