package conference

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// TestUsageByHour: the peak of each hour, exactly, and amended when late records come.
func TestUsageByHour(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		eight := start.Truncate(time.Hour)
		hours := func() []HourUsage {
			t.Helper()
			out, err := h.engine.Usage(t.Context(), h.account, eight.Add(-24*time.Hour), eight.Add(24*time.Hour))
			must(t, err)
			return out
		}
		h.receive(h.engine, receiver, body(run1, story()...))           // 8:10 to 9:10, a whole license
		h.receive(h.engine, receiver, body(run1, adHoc(1000, 0, 2)...)) // 8:10 to 8:20, a sixth
		h.receive(h.engine, receiver, body(run1, adHoc(2000, 600, 3)...))
		got := hours()
		if len(got) != 2 || got[0].Sixths != 12 || got[0].Licenses != 2 || got[0].Meetings != 3 || got[1].Sixths != 6 || !got[1].Hour.Equal(eight.Add(time.Hour)) {
			t.Fatalf("got %+v, want peaks of 12 and 6 sixths", got)
		}
		if at := start.Add(602 * time.Second); !got[0].PeakAt.Equal(at) {
			t.Errorf("got the peak at %s, want %s when the third joined", got[0].PeakAt, at)
		}
		within, err := h.engine.Usage(t.Context(), h.account, eight.Add(20*time.Minute), eight.Add(30*time.Minute))
		if must(t, err); len(within) != 1 || within[0] != got[0] {
			t.Errorf("a question about a part of the hour: got %+v, want %+v", within, got[0])
		}
		h.receive(h.engine, receiver, body(run1, adHoc(3000, 602, 3)...)) // late
		if got := hours(); got[0].Sixths != 18 || got[0].Meetings != 4 {
			t.Errorf("after a late meeting: got %+v, want 18 sixths", got[0])
		}
	})
}

// TestUsageOfRunningMeeting: it counts in every hour that begins, and no longer once its end is known.
func TestUsageOfRunningMeeting(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.receive(h.engine, receiver, body(run1, story()[:7]...))
		count := func() int {
			t.Helper()
			out, err := h.engine.Usage(t.Context(), h.account, time.UnixMilli(0), h.clock.Now().Add(time.Hour))
			must(t, err)
			if slices.ContainsFunc(out, func(u HourUsage) bool { return u.Sixths != 6 }) {
				t.Errorf("got %+v, want 6 sixths in every hour", out)
			}
			return len(out)
		}
		if n := count(); n != 2 { // 8 and 9 o'clock
			t.Errorf("got %d hours, want 2", n)
		}
		h.clock.Advance(5 * time.Hour)
		if n := count(); n != 7 {
			t.Errorf("5 hours later: got %d hours, want 7", n)
		}
		h.clock.Advance(60 * 24 * time.Hour)
		if n := count(); n > maxHours {
			t.Errorf("after two months: got %d hours, want at most a month", n)
		}
		h.receive(h.engine, receiver, body(run1, story()[7:]...))
		if n := count(); n != 2 {
			t.Errorf("after the end came: got %d hours, want 2", n)
		}
	})
}

func TestMeetingsReportAndPages(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		for i := range 5 {
			h.receive(h.engine, receiver, body(run1, adHoc(1000*(i+1), 60*i, 3)...))
		}
		h.receive(h.engine, receiver, body(run1, story()[:3]...))
		report, err := h.engine.Report(t.Context(), h.account, "meetings", start, start.Add(time.Hour))
		must(t, err)
		var text strings.Builder
		must(t, report.WriteCSV(&text))
		// Each ad hoc call is a point-to-point call until the third joins, and the last one runs.
		if len(report.Rows) != 11 || !strings.Contains(text.String(), "Ad hoc,,") || !strings.Contains(text.String(), "point-to-point") {
			t.Errorf("got %d rows:\n%s", len(report.Rows), text.String())
		}
		if _, err := h.engine.Report(t.Context(), h.account, "nothing", start, start); license.AsError(err) == nil {
			t.Errorf("got %v, want not found", err)
		}
		var ids []string
		for cursor := ""; ; {
			part, next, err := h.engine.Meetings(t.Context(), h.account, Filter{}, cursor, 2)
			must(t, err)
			for _, m := range part {
				ids = append(ids, m.ID)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		slices.Sort(ids)
		if n := len(slices.Compact(ids)); n != 6 {
			t.Errorf("the pages have %d meetings, want 6", n)
		}
		running, _, err := h.engine.Meetings(t.Context(), h.account, Filter{Running: true}, "", 0)
		must(t, err)
		early, _, err := h.engine.Meetings(t.Context(), h.account, Filter{From: start.Add(time.Minute), To: start.Add(3 * time.Minute)}, "", 0)
		must(t, err)
		if len(running) != 1 || running[0].EndedAt != nil || len(early) != 2 {
			t.Errorf("got %d running and %d in two minutes, want 1 and 2", len(running), len(early))
		}
		if _, _, err := h.engine.Meetings(t.Context(), h.account, Filter{}, "x", 0); license.AsError(err) == nil {
			t.Errorf("wrong cursor: got %v, want a refusal", err)
		}
		if _, err := h.engine.Meeting(t.Context(), h.account, "mtg_0"); license.AsError(err) == nil {
			t.Errorf("unknown meeting: got %v, want not found", err)
		}
	})
}
