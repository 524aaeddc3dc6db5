package conference

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/test/double"
)

// TestMeetingsWithoutAnEndRunFor31Days: the list of running meetings, the meeting itself and the calls of the documents say the same at every
// time, and that is whether a license is counted for it.
func TestMeetingsWithoutAnEndRunFor31Days(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.receive(h.engine, receiver, body(run1, story()[:7]...)) // begins at start, and no end comes
		for _, c := range []struct {
			at   time.Time
			runs bool
		}{{start.Add(2 * time.Hour), true}, {start.Truncate(time.Hour).Add(RunsFor - time.Millisecond), true}, {start.Truncate(time.Hour).Add(RunsFor), false}, {start.Add(2 * RunsFor), false}} {
			h.clock.Advance(c.at.Sub(h.clock.Now()))
			running, _, err := h.engine.Meetings(t.Context(), h.account, Filter{Running: true}, "", 10)
			must(t, err)
			calls, err := h.engine.FaceCalls(t.Context(), h.account)
			must(t, err)
			m := h.one(h.engine)
			counts := m.Segments[0].CountedTo(h.clock.Now()) == nil
			if counts != c.runs {
				t.Errorf("at %s: a license is counted: %v, want %v", c.at, counts, c.runs)
			}
			if m.EndedAt != nil || m.Runs(h.clock.Now()) != c.runs || len(running) == 1 != c.runs || len(calls) == 1 != c.runs {
				t.Errorf("at %s: got runs %v, %d in the list of running ones and %d calls, want %v of each", c.at, m.Runs(h.clock.Now()), len(running), len(calls), c.runs)
			}
		}
	})
}

// TestAPermanentMeetingRunsWhileItTakesALicense: one that began long ago and takes a license since yesterday is in every list of what
// runs, with the license that is counted for it.
func TestAPermanentMeetingRunsWhileItTakesALicense(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		const day = 24 * 3600
		_, receiver := h.bridge("Main")
		h.receive(h.engine, receiver, body(run1, callStart(100, 0, call1, corr1), legStart(101, 1, legA, call1), legIn(102, 2, legA, call1), legEnd(103, 3600, legA)))
		look := func(at time.Time, runs bool, licenses int64) {
			t.Helper()
			h.clock.Advance(at.Sub(h.clock.Now()))
			running, _, err := h.engine.Meetings(t.Context(), h.account, Filter{Running: true}, "", 10)
			must(t, err)
			calls, err := h.engine.FaceCalls(t.Context(), h.account)
			must(t, err)
			use, err := h.engine.inUse(t.Context(), h.account)
			must(t, err)
			sum, err := h.engine.FaceMultiparty(t.Context(), h.account)
			must(t, err)
			m := h.one(h.engine)
			if m.Runs(at) != runs || len(running) == 1 != runs || len(calls) == 1 != runs || use[meeting.Shared.Tag()] != licenses || int64(sum.CallsActive) != licenses {
				t.Errorf("at %s: got runs %v, %d in the list, %d calls, %v in use, %v in the summary; want %v and %d licenses", at, m.Runs(at), len(running), len(calls), use, sum, runs, licenses)
			}
		}
		look(start.Add(30*24*time.Hour), true, 0)  // empty, and not so old
		look(start.Add(40*24*time.Hour), false, 0) // empty for long: its end may have been lost
		h.receive(h.engine, receiver, bodyFrom(5, run1, legStart(104, 41*day, legB, call1), legIn(105, 41*day+1, legB, call1)))
		look(start.Add(42*24*time.Hour), true, 1)
		look(start.Add(80*24*time.Hour), false, 0)
		h.receive(h.engine, receiver, bodyFrom(7, run1, legEnd(106, 80*day, legB), callEnd(107, 80*day, call1, 2, 80*day)))
		look(start.Add(81*24*time.Hour), false, 0)
	})
}

// TestSnapshotsBeginWithTheEngine: before it was there nothing was counted, which is not zero; meetings of before move the begin.
func TestSnapshotsBeginWithTheEngine(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		now := h.clock.Now()
		fresh := trust.NewID("acc", now)
		must(t, h.store.Update(t.Context(), "seed", func(tx *store.Tx) error {
			ctx := t.Context()
			if err := tx.InsertAccount(ctx, db.InsertAccountParams{AccountID: fresh, Name: "fresh.example", EventHash: []byte{}, DefaultVa: "va_1"}); err != nil {
				return err
			}
			if _, err := tx.InsertVA(ctx, db.InsertVAParams{AccountID: fresh, VaID: "va_1", Name: "Default", NameKey: "default"}); err != nil {
				return err
			}
			return tx.PutConference(ctx, db.PutConferenceParams{AccountID: fresh, VaID: "va_1", Serial: "eng_2", EnabledAt: store.Ms(now)})
		}))
		h.account = fresh
		times := func() (first time.Time, n int) {
			t.Helper()
			all, err := h.engine.Snapshots(t.Context(), fresh, SnapshotFilter{From: start.Add(-time.Hour), To: start.Add(25 * time.Hour)})
			must(t, err)
			if len(all) > 0 {
				first = all[0].At
			}
			return first, len(all)
		}
		recent, err := h.engine.Snapshots(t.Context(), fresh, SnapshotFilter{})
		must(t, err)
		if len(recent) > 1 || len(recent) == 1 && recent[0].At.Before(now) {
			t.Errorf("got %d snapshots of the day before the engine", len(recent))
		}
		h.clock.Advance(11 * time.Minute)
		if recent, err = h.engine.Snapshots(t.Context(), fresh, SnapshotFilter{}); err != nil || len(recent) < 2 || recent[0].At.Before(now) {
			t.Errorf("after eleven minutes: got %+v, %v", recent, err)
		}
		if first, n := times(); n > 0 && first.Before(now) {
			t.Errorf("got %d snapshots from %s on, before the engine", n, first)
		}
		_, receiver := h.bridge("Main")
		h.receive(h.engine, receiver, body(run1, story()...))
		if first, n := times(); n == 0 || first != start { // 8:10 is a multiple of five minutes
			t.Errorf("got %d snapshots from %s on, want them from the first meeting on", n, first)
		}
		if all, err := h.engine.Snapshots(t.Context(), trust.NewID("acc", now), SnapshotFilter{}); err != nil || len(all) != 0 {
			t.Errorf("without an engine: got %d, %v", len(all), err)
		}
	})
}

// TestDenyWhatWasNeverSeen is refused, and names nobody else by the way.
func TestDenyWhatWasNeverSeen(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.receive(h.engine, receiver, body(run1, story()...))
		const unseen = "22222222-0000-4000-8000-0000000000ff"
		for range 2 {
			_, _, err := h.engine.Allow(t.Context(), "admin", h.account, "Main", unseen, false)
			if e := license.AsError(err); e == nil || e.Code != "callbridge-not-seen" || e.Kind != license.KindNotFound || e.Hint == "" {
				t.Fatalf("got %v", err)
			}
			b, _, err := h.engine.FindBridge(t.Context(), h.account, "Main")
			must(t, err)
			if len(b.Allowed) != 0 {
				t.Fatalf("a refusal names call bridges: %v", b.Allowed)
			}
		}
		h.bridge("Named", bridgeA, unseen) // one that was named may be denied before it is heard
		if b, _, err := h.engine.Allow(t.Context(), "admin", h.account, "Named", unseen, false); err != nil || !slices.Equal(b.Allowed, []string{bridgeA}) {
			t.Errorf("got %v, %v", b.Allowed, err)
		}
	})
}

// TestACallBridgeWithoutSpaces answers: what it has is shown, what it has not is said, and what was learned before stays.
func TestACallBridgeWithoutSpaces(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		if s := p.poll(); s.Directory == nil || s.Directory.Users != 5 {
			t.Fatalf("got %+v", s.Directory)
		}
		known, err := h.engine.Directory(t.Context(), h.account)
		must(t, err)
		for _, list := range []string{"/coSpaces", "/users"} {
			p.bridge.Set(list, "")
			s := p.poll()
			if s.Failure != nil || s.AnsweredAt.IsZero() || s.Directory != nil || !slices.Contains(s.Missing, list) || s.Version == "" || s.Calls != 1 {
				t.Errorf("without %s: got %+v", list, s)
			}
			if !slices.ContainsFunc(s.Advice(), func(a string) bool { return strings.HasPrefix(a, "The call bridge has no list "+list+",") }) {
				t.Errorf("without %s: it is not said what to do: %q", list, s.Advice())
			}
		}
		after, err := h.engine.Directory(t.Context(), h.account)
		must(t, err)
		if after != known || known.Users != 5 {
			t.Errorf("the directory was %+v and is %+v", known, after)
		}
		// A turn that does not ask for spaces and users still says that they were not there.
		rows := []db.BridgeApi{}
		must(t, h.store.View(t.Context(), func(tx *store.Tx) (err error) {
			rows, err = tx.BridgeAPIs(t.Context(), h.account)
			return err
		}))
		found, err := h.engine.poll(t.Context(), Scheduled, &rows[0], false)
		must(t, err)
		if !slices.Equal(found.Missing, []string{"/users"}) {
			t.Errorf("the next turn lacks %q", found.Missing)
		}
	})
}
