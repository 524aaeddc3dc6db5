package conference

import (
	"errors"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

func run(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	t.Parallel()
	storetest.RunAt(t, storetest.Start(), func(t *testing.T, s *store.Store, clock *storetest.Clock) { fn(t, newHouse(t, s, clock)) })
}

// TestMeetingFromPosts is the whole way: posts in, one meeting with its license and reasons out.
func TestMeetingFromPosts(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		for _, p := range posts(run1, story()) {
			if r := h.receive(h.engine, receiver, p); r != (Receipt{Records: 1, New: 1}) {
				t.Fatalf("got receipt %+v, want one new record", r)
			}
		}
		m := h.one(h.engine)
		if m.Name != "Daily" || m.Space != space || m.EndedAt == nil || m.DurationSeconds != 3601 || m.ParticipantsMax != 3 || m.Incomplete || m.Estimated {
			t.Errorf("got %s", brief([]Meeting{m}))
		}
		if len(m.Segments) != 1 || m.Segments[0].Tag != "cms-smp-plus" || m.Segments[0].Sixths != 6 || m.Segments[0].Rule != "shared" {
			t.Errorf("got segments %+v, want one whole shared license", m.Segments)
		}
		if len(m.Participants) != 3 {
			t.Errorf("got %d participants, want 3", len(m.Participants))
		}
		_, lines, err := h.engine.Why(t.Context(), h.account, m.ID)
		must(t, err)
		if text := strings.Join(lines, "\n"); !strings.Contains(text, "not in the directory") || !strings.Contains(text, "shared license") {
			t.Errorf("got the reasons %q", text)
		}
	})
}

// TestRule02RepeatsChangeNothing: the same posts again are acknowledged, by every engine.
func TestRule02RepeatsChangeNothing(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		for _, p := range posts(run1, story()) {
			h.receive(h.engine, receiver, p)
		}
		want := brief(h.meetings(h.engine))
		for _, e := range []*Engine{h.engine, h.open()} {
			for _, p := range posts(run1, story()) {
				if r := h.receive(e, receiver, p); r != (Receipt{Records: 1, Repeats: 1}) {
					t.Fatalf("got receipt %+v, want a repeat", r)
				}
			}
			mixed := append(story()[8:], rec{n: 111, kind: "somethingNew", second: 3700})
			if r := h.receive(e, receiver, body(run1, mixed...)); r.Records != 4 || r.New+r.Repeats != 4 || r.Conflicts != 0 {
				t.Fatalf("got receipt %+v, want 4 records without a conflict", r)
			}
			if got := brief(h.meetings(e)); got != want {
				t.Errorf("repeats changed the meetings:\n%s\nwant\n%s", got, want)
			}
		}
		all, err := h.engine.Bridges(t.Context(), h.account, "", 10)
		must(t, err)
		if b := all[0]; b.Posts != 12 || b.Records != 12 || len(b.CallBridges) != 1 || b.CallBridges[0] != bridgeA || b.LastPostAt.IsZero() {
			t.Errorf("got bridge %+v, want 12 posts and records", b)
		}
	})
}

// TestRule03Conflict: a record that contradicts a stored one is kept, flagged, acknowledged, and changes nothing else.
func TestRule03Conflict(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		for _, p := range posts(run1, story()) {
			h.receive(h.engine, receiver, p)
		}
		want := brief(h.meetings(h.engine))
		clash := body(run1, callEnd(100, 0, call1, 2, 600))
		for _, e := range []*Engine{h.engine, h.open()} { // the second has no digest in memory
			if r := h.receive(e, receiver, clash); r != (Receipt{Records: 1, Conflicts: 1}) {
				t.Fatalf("got receipt %+v, want a conflict", r)
			}
		}
		elsewhere := body(run1, callEnd(101, 0, call2, 2, 600), rec{n: 120, kind: "other", second: 9})
		if r := h.receive(h.engine, receiver, elsewhere); r != (Receipt{Records: 2, New: 1, Conflicts: 1}) {
			t.Fatalf("got receipt %+v, want a conflict and a new record", r)
		}
		for _, e := range []*Engine{h.engine, h.open()} {
			if got := brief(h.meetings(e)); got != want {
				t.Errorf("the conflict changed the meetings:\n%s\nwant\n%s", got, want)
			}
			if m := h.one(e); m.Conflicts != 1 {
				t.Errorf("got %d conflicts at the meeting, want 1", m.Conflicts)
			}
		}
		all, err := h.engine.Bridges(t.Context(), h.account, "", 10)
		must(t, err)
		if all[0].Conflicts != 2 {
			t.Errorf("got %d conflicts at the bridge, want 2", all[0].Conflicts)
		}
	})
}

// TestRule07MalformedIsKeptAndRefused: a bad body gets its reason, and the next good post is taken.
func TestRule07MalformedIsKeptAndRefused(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		id, receiver := h.bridge("Main")
		good := posts(run1, story())
		for range 2 {
			_, err := h.engine.Receive(t.Context(), receiver, []byte(good[0]+good[1][len(`<?xml version="1.0"?>`):]))
			if e := license.AsError(err); e == nil || e.Kind != license.KindInvalid || !strings.Contains(e.Message, "second root") {
				t.Fatalf("got %v, want a refusal that names the second root", err)
			}
		}
		h.receive(h.engine, receiver, good[0])
		_, err := h.engine.Receive(t.Context(), receiver, make([]byte, 1<<20+1))
		if e := license.AsError(err); e == nil || e.Kind != license.KindTooLarge {
			t.Errorf("got %v, want too large", err)
		}
		all, err := h.engine.Bridges(t.Context(), h.account, "", 10)
		must(t, err)
		if all[0].ID != id || all[0].Refused != 1 || all[0].Posts != 1 {
			t.Errorf("got %+v, want 1 refused body and 1 post", all[0])
		}
	})
}

// TestUnknownReceiver: nothing tells a wrong secret from one that never was.
func TestUnknownReceiver(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		other := newHouse(t, h.store, h.clock)
		_, foreign := other.bridge("Main")
		for _, secret := range []string{"", "x", receiver[:len(receiver)-1], receiver + "0", strings.ToUpper(receiver)} {
			_, err := h.engine.Receive(t.Context(), secret, []byte(body(run1, story()[0])))
			if e := license.AsError(err); e == nil || e.Kind != license.KindNotFound || e.Code != "unknown-receiver" {
				t.Errorf("secret %.10q…: got %v, want not found", secret, err)
			}
		}
		h.receive(h.engine, foreign, body(run1, story()[0])) // one engine serves all accounts
		if n := len(h.meetings(h.engine)); n != 0 {
			t.Errorf("got %d meetings, want none: the post was another account's", n)
		}
	})
}

// TestQuarantine: with call bridges named, the records of others are kept and do not count.
func TestQuarantine(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main", "77777777-0000-4000-8000-000000000007")
		_, open := h.bridge("Other", strings.ToUpper(bridgeA))
		h.receive(h.engine, receiver, body(run1, story()...))
		if n := len(h.meetings(h.engine)); n != 0 {
			t.Errorf("got %d meetings of a call bridge that is not allowed, want none", n)
		}
		h.receive(h.engine, open, body(run1, story()...))
		h.one(h.engine)
		all, err := h.engine.Bridges(t.Context(), h.account, "", 10)
		must(t, err)
		if all[0].Records != 11 || all[1].Records != 11 {
			t.Errorf("got %+v, want the records of both kept", all)
		}
	})
}

func TestAddBridgeRefusals(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.bridge("Main")
		for name, want := range map[string]license.Kind{"": license.KindInvalid, "a\x00b": license.KindInvalid, " MAIN ": license.KindConflict} {
			_, _, err := h.engine.AddBridge(t.Context(), "admin", h.account, name, nil)
			if e := license.AsError(err); e == nil || e.Kind != want {
				t.Errorf("name %q: got %v, want kind %d", name, err, want)
			}
		}
		_, _, err := h.engine.AddBridge(t.Context(), "admin", "acc_00000000000000000000000000", "Main", nil)
		if e := license.AsError(err); e == nil || e.Kind != license.KindNotFound {
			t.Errorf("got %v, want no such account", err)
		}
		if _, _, err := h.engine.AddBridge(t.Context(), "admin", h.account, "typo", []string{"not a guid"}); license.AsError(err) == nil || license.AsError(err).Code != "bad-callbridge" {
			t.Errorf("got %v, want a refusal of the call bridge", err)
		}
		if _, err := h.engine.Status(t.Context(), "acc_00000000000000000000000000"); license.AsError(err) == nil {
			t.Errorf("got %v, want a refusal", err)
		}
		if err := h.engine.Enable(t.Context(), "admin", h.account, "va_2", "x"); license.AsError(err) == nil || license.AsError(err).Kind != license.KindConflict {
			t.Errorf("enable elsewhere: got %v, want a conflict", err)
		}
		if err := h.engine.Enable(t.Context(), "admin", h.account, "va_1", "no token"); license.AsError(err) == nil || errors.Is(err, store.ErrBusy) {
			t.Errorf("enable with a wrong token: got %v, want a refusal", err)
		}
	})
}
