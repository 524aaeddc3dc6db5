package conference

import (
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
)

// replayAll follows a replay to its end.
func (h *house) replayAll(e *Engine, o ReplayOptions, atOnce int) (out Replay) {
	h.t.Helper()
	for cursor, n := "", 0; n == 0 || cursor != ""; n++ {
		r, next, err := e.Replay(h.t.Context(), h.account, o, cursor, atOnce)
		must(h.t, err)
		out.Meetings, out.Records, out.Kept = out.Meetings+r.Meetings, out.Records+r.Records, out.Kept+r.Kept
		out.Differing, out.Written = out.Differing+r.Differing, out.Written+r.Written
		out.Differences, out.Totals = append(out.Differences, r.Differences...), append(out.Totals, r.Totals...)
		cursor = next
	}
	return out
}

// TestReplayFindsNothing: what is stored is what comes of the kept records, whatever happened on the way; and what somebody
// changed is found and mended.
func TestReplayFindsNothing(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.directory(true)
		told, _ := lossy()
		all := slices.Concat(posts(run1, twoCalls()), posts(run2, told))
		slices.Reverse(all)
		for _, p := range all {
			h.receive(h.engine, receiver, p)
		}
		for _, e := range []*Engine{h.engine, h.open()} {
			r := h.replayAll(e, ReplayOptions{}, 2)
			if r.Differing != 0 || r.Meetings != 2 || r.Kept != r.Records || r.Records < 20 {
				t.Fatalf("got %+v, want nothing that differs and every record kept", r)
			}
		}
		before := brief(h.meetings(h.engine))
		must(t, h.store.Update(t.Context(), "spoil", func(tx *store.Tx) error {
			_, err := tx.DB().ExecContext(t.Context(), "UPDATE meeting SET participants_max = 77, segments = '[]' WHERE name = 'Daily'")
			return err
		}))
		e := h.open()
		r := h.replayAll(e, ReplayOptions{Bridge: "main"}, 100)
		if r.Differing == 0 || !slices.ContainsFunc(r.Differences, func(d Difference) bool { return d.What == "participants" && d.Before == "77" }) ||
			!slices.ContainsFunc(r.Differences, func(d Difference) bool {
				return d.What == "segment 1" && d.Before == "" && strings.Contains(d.After, "cms-pmp-plus") && d.Reason != ""
			}) {
			t.Errorf("got %+v, want what was changed", r.Differences)
		}
		if brief(h.meetings(e)) == before {
			t.Error("a replay without writing wrote")
		}
		if w := h.replayAll(e, ReplayOptions{Write: true}, 100); w.Written != r.Differing {
			t.Errorf("got %d written, want %d", w.Written, r.Differing)
		}
		for _, e := range []*Engine{e, h.open()} {
			if got := brief(h.meetings(e)); got != before {
				t.Errorf("mended:\n%s\nwant\n%s", got, before)
			}
			if r := h.replayAll(e, ReplayOptions{}, 100); r.Differing != 0 {
				t.Errorf("got %+v after mending", r.Differences)
			}
		}
	})
}

// TestReplayUnderAnotherPolicy: it says what would have been decided, with totals, and writes nothing.
func TestReplayUnderAnotherPolicy(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.directory(true)
		for _, p := range posts(run1, story()) {
			h.receive(h.engine, receiver, p)
		}
		r := h.replayAll(h.engine, ReplayOptions{Policy: "member-first"}, 100)
		if r.Meetings != 1 || len(r.Totals) == 0 {
			t.Errorf("got %+v, want a meeting and its totals", r)
		}
		for _, total := range r.Totals {
			if total.Tag == "cms-pmp-plus" && (total.MeetingsBefore != 1 || total.BeforeSixthSeconds != 6*3598) {
				t.Errorf("got %+v", total)
			}
		}
		for _, o := range []ReplayOptions{{Policy: "nobody-first"}, {Policy: "member-first", Write: true}, {Bridge: "nowhere"}} {
			if _, _, err := h.engine.Replay(t.Context(), h.account, o, "", 1); license.AsError(err) == nil {
				t.Errorf("%+v: got %v, want a refusal", o, err)
			}
		}
		if _, _, err := h.engine.Replay(t.Context(), h.account, ReplayOptions{}, "x", 1); license.AsError(err) == nil {
			t.Errorf("got %v, want a refusal of the cursor", err)
		}
	})
}
