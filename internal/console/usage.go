package console

import (
	"slices"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/meeting"
)

// period is a choice of how much of the past the usage page shows.
type period struct {
	key, name string
	hours     int
}

func periods() []period {
	return []period{{"", "24 hours", 24}, {"week", "7 days", 7 * 24}, {"month", "30 days", 30 * 24}, {"year", "365 days", 365 * 24}}
}

// table names the table of a period.
func (p period) table() string {
	if p.hours > 31*24 {
		return "Days with use"
	}
	return "Hours with use"
}

// kindUse is the use of one license over the period against what is owned now.
type kindUse struct {
	license, tag, title string
	owned               int64
	peak                conference.HourUsage // the highest; zero when there was no use
	chart               drawing
}

func (u kindUse) short() int64 { return max(0, u.peak.Licenses-u.owned) }

// hourRow is one hour of the table beside the charts.
type hourRow struct {
	hour             time.Time
	personal, shared conference.HourUsage
}

// maxHours is how many hours the table shows, the newest first.
const maxHours = 200

// usage shows the peak per hour of personal and shared licenses.
func (c *console) usage(v *visit) (sheet, error) {
	shown := periods()[0]
	for _, p := range periods() {
		if p.key == v.URL.Query().Get("period") {
			shown = p
		}
	}
	to := v.now.Truncate(time.Hour).Add(time.Hour)
	from := to.Add(-time.Duration(shown.hours) * time.Hour)
	unit, hours, err := c.bars(v, shown, from, to)
	if err != nil {
		return sheet{}, err
	}
	licenses, err := c.Authority.Licenses(v.Context(), v.who, v.account.ID, "")
	if err != nil {
		return sheet{}, err
	}
	kinds := []kindUse{
		{license: string(meeting.Shared), tag: meeting.Shared.Tag(), title: "Shared licenses"},
		{license: string(meeting.Personal), tag: meeting.Personal.Tag(), title: "Personal licenses"},
	}
	for i := range kinds {
		k := &kinds[i]
		for _, r := range licenses {
			if string(r.Tag) == k.tag {
				k.owned += r.Quantity
			}
		}
		used := slices.DeleteFunc(slices.Clone(hours), func(h conference.HourUsage) bool { return h.Tag != k.tag })
		for _, h := range used {
			if h.Sixths > k.peak.Sixths {
				k.peak = h
			}
		}
		k.chart = peaks(*k, used, unit, from, to)
	}
	more, err := c.counts(v, kinds[0], from, to)
	if err != nil {
		return sheet{}, err
	}
	more.names = map[string]string{}
	for _, k := range kinds {
		more.names[k.tag] = k.title
	}
	return sheet{title: "Usage", tab: "usage", body: usageBody(v, shown, kinds, tabulate(hours), more)}, nil
}

// bars are the peaks of the period by hour, those of a long one by day.
func (c *console) bars(v *visit, shown period, from, to time.Time) (time.Duration, []conference.HourUsage, error) {
	if shown.hours <= 31*24 {
		hours, err := c.Conference.Usage(v.Context(), v.account.ID, from, to)
		return time.Hour, hours, err
	}
	days, err := c.Conference.Days(v.Context(), v.account.ID, from, to)
	var out []conference.HourUsage
	for _, d := range days {
		if d.Sixths > 0 {
			out = append(out, conference.HourUsage{Hour: d.Day, Tag: d.Tag, Sixths: d.Sixths, Licenses: d.Licenses, PeakAt: d.PeakAt, Meetings: d.Meetings})
		}
	}
	return day, out, err
}

// tabulate joins the use of both licenses by hour, the newest first.
func tabulate(hours []conference.HourUsage) []hourRow {
	var out []hourRow
	for _, h := range hours {
		if len(out) == 0 || !out[len(out)-1].hour.Equal(h.Hour) {
			out = append(out, hourRow{hour: h.Hour})
		}
		row := &out[len(out)-1]
		if h.Tag == meeting.Personal.Tag() {
			row.personal = h
		} else {
			row.shared = h
		}
	}
	slices.Reverse(out)
	return out
}

// peaks draws a bar for each hour or day with use, and a line at what is owned; what rises above the line has another color.
func peaks(k kindUse, hours []conference.HourUsage, unit time.Duration, from, to time.Time) drawing {
	const left, top, height = 40, 14, 170
	over := span{from: from, to: to, left: left, right: canvas - margin}
	full := ceiling(max(k.owned, k.peak.Licenses, 1))
	y := func(licenses float64) float64 { return top + height*(1-licenses/float64(full)) }
	d := drawing{height: decimal(top + height + 24), says: k.title + ": peak use per " + map[bool]string{true: "day", false: "hour"}[unit == day] + " against the " + number(k.owned) + " that are owned"}
	for _, n := range marks(full) {
		d.line(left, y(float64(n)), canvas-margin, y(float64(n)), "grid")
		d.label(left-8, y(float64(n))+4, "", "end", number(n))
	}
	d.times(over, top+height)
	slot := (over.right - over.left) / float64(to.Sub(from)/unit)
	gap := min(3, slot/5)
	for _, h := range hours {
		x, used := over.x(h.Hour)+gap/2, float64(h.Sixths)/float64(meeting.Full)
		begin := minute(h.Hour)
		if unit == day {
			begin = h.Hour.UTC().Format(time.DateOnly)
		}
		says := begin + ": " + meeting.Sixths(h.Sixths).String() + " at " + clock(h.PeakAt)
		inside := min(used, float64(k.owned))
		d.box(x, y(inside), slot-gap, top+height-y(inside), k.license, says)
		if used > inside {
			d.box(x, y(used), slot-gap, y(inside)-y(used), "over", says)
			d.boxes[len(d.boxes)-1].further = true
		}
	}
	d.line(left, y(float64(k.owned)), canvas-margin, y(float64(k.owned)), "owned")
	d.label(left+4, y(float64(k.owned))-5, "owner", "start", number(k.owned)+" owned")
	return d
}

// ceiling is the least round number that a scale up to n ends with.
func ceiling(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, factor := range []int64{1, 2, 3, 4, 5, 6, 8} {
			if n <= factor*unit {
				return factor * unit
			}
		}
	}
}

// marks are the numbers on a scale from zero to full.
func marks(full int64) []int64 {
	parts := int64(4)
	for full%parts != 0 {
		parts--
	}
	out := make([]int64, 0, parts+1)
	for i := range parts + 1 {
		out = append(out, full/parts*i)
	}
	return out
}

// sixthsText writes a peak exactly and, where it is no whole number, as the licenses that cover it.
func sixthsText(h conference.HourUsage) string {
	text := meeting.Sixths(h.Sixths).String()
	if h.Sixths%int64(meeting.Full) != 0 {
		text += " → " + strconv.FormatInt(h.Licenses, 10)
	}
	return text
}
