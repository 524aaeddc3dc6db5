package conference

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
)

// fieldText is the fields of a record in one line.
func fieldText(fields []cdr.Field) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Path + "=" + f.Value
	}
	return strings.Join(parts, " ")
}

// TestRecordsOfAMeeting: every element and attribute of every record, in the order of time, in pages, by leg.
func TestRecordsOfAMeeting(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		records := story()
		records[9].inside = strings.Replace(records[9].inside, "</callLeg>", `<alarm type="packetLoss" durationPercentage="0.1"/><novelty>7</novelty></callLeg>`, 1)
		late := slices.Clone(posts(run1, records))
		slices.Reverse(late)
		for _, p := range late {
			h.receive(h.engine, receiver, p)
		}
		m := h.one(h.engine)
		for _, e := range []*Engine{h.engine, h.open()} {
			all, next, err := e.Records(t.Context(), h.account, m.ID, "", "", 100)
			must(t, err)
			if len(all) != 11 || next != "" {
				t.Fatalf("got %d records, next %q; want 11", len(all), next)
			}
			for i, r := range all {
				if !r.Whole || r.Correlator != int64(100+i) || r.CallBridge != bridgeA || r.Session != run1 || r.RecordIndex != int64(101+i) || r.ReceivedAt.IsZero() {
					t.Errorf("record %d: got %+v", i, r)
				}
			}
			want := `@type=callLegEnd @time=2026-03-02T09:10:00Z @recordIndex=110 @correlatorIndex=109 callLeg@id=` + legA +
				` callLeg/reason=remoteTeardown callLeg/durationSeconds=10 callLeg/alarm@type=packetLoss callLeg/alarm@durationPercentage=0.1 callLeg/novelty=7`
			if got := fieldText(all[9].Fields); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			var paged []int64
			for cursor, n := "", 0; n == 0 || cursor != ""; n++ {
				part, next, err := e.Records(t.Context(), h.account, m.ID, "", cursor, 4)
				must(t, err)
				for _, r := range part {
					paged = append(paged, r.Correlator)
				}
				cursor = next
			}
			if fmt.Sprint(paged) != "[100 101 102 103 104 105 106 107 108 109 110]" {
				t.Errorf("got the pages %v", paged)
			}
			one, _, err := e.Records(t.Context(), h.account, m.ID, strings.ToUpper(legB), "", 100)
			must(t, err)
			if len(one) != 3 || one[0].Leg != legB {
				t.Errorf("of one leg: got %d records, want 3", len(one))
			}
		}
		for _, cursor := range []string{"x", "1_2", "1_x_y"} {
			if _, _, err := h.engine.Records(t.Context(), h.account, m.ID, "", cursor, 1); license.AsError(err) == nil || license.AsError(err).Code != "bad-cursor" {
				t.Errorf("cursor %q: got %v", cursor, err)
			}
		}
		if _, _, err := h.engine.Records(t.Context(), h.account, "mtg_00000000000000000000000000", "", "", 1); license.AsError(err) == nil || license.AsError(err).Kind != license.KindNotFound {
			t.Errorf("got %v, want no such meeting", err)
		}
	})
}
