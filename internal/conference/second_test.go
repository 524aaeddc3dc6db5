package conference

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/meeting"
)

// twoOfAlice are two meetings of one owner, the second from minute 10 to 40 of the first's hour, and one that begins at its end.
func twoOfAlice() []rec {
	meetings := []struct{ from, to int }{{0, 1800}, {600, 2400}, {2400, 3000}}
	var out []rec
	for i, m := range meetings {
		call, corr := fmt.Sprintf("%s%d", call1[:35], i+3), fmt.Sprintf("%s%d", corr1[:35], i+3)
		leg := fmt.Sprintf("%s%d", legA[:35], i+3)
		out = append(out, callStart(0, m.from, call, corr), legStart(0, m.from, leg, call), legIn(0, m.from, leg, call), legEnd(0, m.to, leg), callEnd(0, m.to, call, 1, m.to-m.from))
	}
	slices.SortStableFunc(out, func(a, b rec) int { return a.second - b.second })
	for i := range out {
		out[i].n = i
	}
	return out
}

// inHours prints the peaks per hour as "09:00 cms-pmp-plus 12".
func (h *house) inHours(e *Engine) string {
	h.t.Helper()
	rows, err := e.Usage(h.t.Context(), h.account, start.Add(-time.Hour), h.clock.Now().Add(time.Hour))
	must(h.t, err)
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s %s %d", r.Hour.Format("15:04"), strings.TrimPrefix(r.Tag, "cms-"), r.Sixths))
	}
	return strings.Join(out, "; ")
}

// segmentsOfAll prints the segments of meetings in the order of their begin.
func (h *house) segmentsOfAll(e *Engine) string {
	h.t.Helper()
	all := h.meetings(e)
	slices.Reverse(all)
	var out []string
	for _, m := range all {
		line := ""
		if m.Second {
			line = "second:"
		}
		for _, s := range m.Segments {
			line += fmt.Sprintf(" %d-%d %s %s", int(s.From.Sub(start).Minutes()), int(s.To.Sub(start).Minutes()), s.License, s.Rule)
		}
		out = append(out, strings.TrimSpace(line))
	}
	return strings.Join(out, "; ")
}

// TestRule24ChargedOrShared: a second meeting is charged to the owner too and flagged, or takes a shared license while the first
// one runs; in what is shown and in what is counted, whatever the order in which the records came.
func TestRule24ChargedOrShared(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.directory(true)
		for i, mode := range []string{"personal", "shared"} {
			_, err := h.engine.SetPolicy(t.Context(), "admin", h.account, "", "owner-first", map[string]string{"second-meeting": mode})
			must(t, err)
			records := twoOfAlice()
			run := fmt.Sprintf("%s%d", run1[:35], 5+i)
			random := rand.New(rand.NewPCG(uint64(i), 7))
			random.Shuffle(len(records), func(a, b int) { records[a], records[b] = records[b], records[a] })
			if i == 1 { // another day
				for j := range records {
					records[j].second += 86400
					records[j].inside = strings.NewReplacer(call1[:30], call1[:29]+"7", corr1[:30], corr1[:29]+"7", legA[:30], legA[:29]+"7").Replace(records[j].inside)
				}
			}
			h.clock.Advance(start.Add(time.Duration(26+24*i) * time.Hour).Sub(h.clock.Now()))
			e := h.engine
			for _, r := range records {
				h.receive(e, receiver, body(run, r))
				if random.IntN(3) == 0 {
					h.inHours(e)
				}
				if random.IntN(4) == 0 {
					e = h.open()
				}
			}
		}
		const both = "0-30 personal owner; second: 10-40 personal owner; 40-50 personal owner; "
		const moved = "1440-1470 personal owner; second: 1450-1470 shared second-meeting 1470-1480 personal owner; 1480-1490 personal owner"
		for _, e := range []*Engine{h.engine, h.open()} {
			if got := h.segmentsOfAll(e); got != both+moved {
				t.Errorf("got  %s\nwant %s", got, both+moved)
			}
			hour := start.Truncate(time.Hour).Format("15:04")
			if got, want := h.inHours(e), hour+" pmp-plus 12; "+hour+" pmp-plus 6; "+hour+" smp-plus 6"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		peaks, err := h.engine.Peaks(t.Context(), h.account, start.Add(-time.Hour), start.Add(12*time.Hour))
		must(t, err)
		at := slices.IndexFunc(peaks, func(p PeakUsage) bool { return p.Tag == meeting.Personal.Tag() })
		for i, want := range []string{meeting.FirstOfSome, meeting.SecondCharged} {
			if p := peaks[at]; p.Sixths != 12 || len(p.Meetings) != 2 || !slices.ContainsFunc(p.Meetings[i].Why, func(f Fact) bool { return f.Code == want }) {
				t.Errorf("meeting %d of the peak: got %+v, want it to say %s", i, p.Meetings, want)
			}
		}
		again := h.replayAll(h.engine, ReplayOptions{}, 2) // in steps, so that what is second to a meeting of another step counts
		minutes := map[string]int64{}
		for _, v := range again.Totals {
			if v.BeforeSixthSeconds != v.NowSixthSeconds || v.MeetingsBefore != v.MeetingsNow {
				t.Errorf("replay: got %+v", v)
			}
			minutes[v.Tag] += v.NowSixthSeconds / 60 / int64(meeting.Full)
		}
		if want := map[string]int64{"cms-pmp-plus": 30 + 30 + 10 + 30 + 10 + 10, "cms-smp-plus": 20}; again.Differing != 0 || !maps.Equal(minutes, want) {
			t.Errorf("replay: got %v and %+v, want %v license minutes", minutes, again.Differences, want)
		}
		all := h.meetings(h.engine)
		slices.Reverse(all)
		for i, want := range []string{meeting.FirstOfSome, meeting.SecondCharged, "", meeting.FirstHeld, meeting.SecondShared, ""} {
			m, lines, err := h.engine.Why(t.Context(), h.account, all[i].ID)
			must(t, err)
			found := slices.ContainsFunc(m.Segments[0].Why, func(f Fact) bool { return f.Code == want })
			if want != "" && (!found || !strings.Contains(strings.Join(lines, "\n"), "econd meeting")) || want == "" && len(m.Segments[0].Why) != 2 {
				t.Errorf("meeting %d: got %q, want %s", i, lines, want)
			}
		}
	})
}

// TestRule24NoLicenseIsHeldForEver: a meeting whose end never comes holds the license for as long as it is counted, in what is
// shown as in what is counted.
func TestRule24NoLicenseIsHeldForEver(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.directory(true)
		_, err := h.engine.SetPolicy(t.Context(), "admin", h.account, "", "owner-first", map[string]string{"second-meeting": "shared"})
		must(t, err)
		h.receive(h.engine, receiver, body(run1, callStart(0, 0, call1, corr1), legStart(1, 0, legA, call1), legIn(2, 0, legA, call1)))
		for i, later := range []int{20 * 86400, 40 * 86400} {
			h.clock.Advance(start.Add(time.Duration(later+1800) * time.Second).Sub(h.clock.Now()))
			call, corr, leg := fmt.Sprintf("%s%d", call1[:35], i+3), fmt.Sprintf("%s%d", corr1[:35], i+3), fmt.Sprintf("%s%d", legA[:35], i+3)
			h.receive(h.engine, receiver, body(run1, callStart(10+5*i, later, call, corr), legStart(11+5*i, later, leg, call), legIn(12+5*i, later, leg, call),
				legEnd(13+5*i, later+600, leg), callEnd(14+5*i, later+600, call, 1, 600)))
		}
		for _, e := range []*Engine{h.engine, h.open()} {
			all := h.meetings(e)
			if all[1].Segments[0].Rule != meeting.RuleSecond || all[0].Segments[0].Rule != meeting.RuleOwner || all[0].Second {
				t.Errorf("got %s", brief(all))
			}
			rows, err := e.Usage(t.Context(), h.account, all[0].StartedAt.Truncate(time.Hour), h.clock.Now())
			must(t, err)
			if len(rows) != 1 || rows[0].Tag != meeting.Personal.Tag() || rows[0].Sixths != 6 {
				t.Errorf("counted after the month: got %+v", rows)
			}
			report, err := e.Report(t.Context(), h.account, "meetings", start.Add(-time.Hour), h.clock.Now())
			must(t, err)
			var rules []any
			for _, r := range report.Rows {
				rules = append(rules, r[slices.Index(report.Columns, "rule")])
			}
			if want := []any{"owner", meeting.RuleSecond, "owner"}; !slices.Equal(rules, want) {
				t.Errorf("reported: got %v, want %v", rules, want)
			}
		}
	})
}

func TestWindowsAreADayApart(t *testing.T) {
	t.Parallel()
	got := windows([]window{{5 * day, 5*day + 10}, {0, 10}, {day / 2, day}, {3*day - 1, 3 * day}, {2, 4}})
	if want := []window{{0, day}, {3*day - 1, 3 * day}, {5 * day, 5*day + 10}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
