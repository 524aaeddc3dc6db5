package conference

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const smp, pmp = "cms-smp-plus", "cms-pmp-plus"

// own gives the engine's virtual account some licenses from a day on, for some days or, with 0, for good.
func (h *house) own(tag string, quantity int64, from time.Time, days int) {
	h.t.Helper()
	must(h.t, h.store.Update(h.t.Context(), "own", func(tx *store.Tx) error {
		ctx := h.t.Context()
		chain, err := tx.Lock(ctx, h.account)
		if err != nil {
			return err
		}
		seq, err := chain.Record(ctx, "admin", "order.imported", "SO-1", nil)
		if err != nil {
			return err
		}
		id := fmt.Sprintf("%s_%d", tag, seq)
		ends := int64(0)
		if days > 0 {
			ends = store.Ms(from.AddDate(0, 0, days))
		}
		if err := tx.InsertPurchase(ctx, db.InsertPurchaseParams{AccountID: h.account, PurchaseID: "pur_" + id, Number: id, Content: []byte{}}); err != nil {
			return err
		}
		if err := tx.InsertLot(ctx, db.InsertLotParams{AccountID: h.account, LotID: "lot_" + id, PurchaseID: "pur_" + id, VaID: "va_1", Tag: tag,
			LotType: "TERM", Quantity: quantity, StartsAt: store.Ms(from), EndsAt: ends}); err != nil {
			return err
		}
		if err := tx.InsertMovement(ctx, db.InsertMovementParams{AccountID: h.account, MovementID: "mov_" + id, MovedAt: store.Ms(tx.Now()), Kind: "order", EventSeq: seq}); err != nil {
			return err
		}
		return tx.InsertPosting(ctx, db.InsertPostingParams{AccountID: h.account, MovementID: "mov_" + id, Place: "va:va_1", LotID: "lot_" + id, Tag: tag, Quantity: quantity})
	}))
}

// segment is what the model knows of one segment.
type seen struct {
	meeting, tag string
	from, to     time.Time
	sixths       int64
	first        time.Time
}

func (h *house) seen() []seen {
	h.t.Helper()
	var out []seen
	for _, m := range h.meetings(h.engine) {
		for _, s := range m.Segments {
			to := h.clock.Now()
			if s.To != nil {
				to = *s.To
			}
			out = append(out, seen{m.ID, s.Tag, s.From, to, s.Sixths, m.Segments[0].From})
		}
	}
	return out
}

// levels is the model: what was taken at each second of a period.
func levelsOf(all []seen, tag string, from, to time.Time) map[int64]time.Duration {
	out := map[int64]time.Duration{}
	for at := from; at.Before(to); at = at.Add(time.Second) {
		var sum int64
		for _, s := range all {
			if s.tag == tag && !s.from.After(at) && s.to.After(at) {
				sum += s.sixths
			}
		}
		out[sum] += time.Second
	}
	return out
}

// TestRule21CountsOfAPeriod: levels, peaks, days and hosts from rollups are those of the segments, for any period, also after
// late records, and the same on another engine.
func TestRule21CountsOfAPeriod(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		chance := rand.New(rand.NewPCG(21, 27))
		origin := start.Add(-60 * time.Hour).Truncate(time.Hour)
		send := func(n int) {
			at := int(origin.Sub(start)/time.Second) + chance.IntN(58*3600)
			h.receive(h.engine, receiver, body(run1, adHoc(1000*n, at, 1+chance.IntN(4))...))
		}
		check := func(e *Engine) {
			t.Helper()
			all := h.seen()
			from := origin.Add(time.Duration(chance.IntN(10*3600)) * time.Second)
			to := from.Add(time.Duration(1+chance.IntN(50*3600)) * time.Second)
			got, err := e.Levels(t.Context(), h.account, from, to)
			must(t, err)
			want := levelsOf(all, smp, from, to)
			if len(got) != 2 || got[0].Tag != smp || len(got[0].Levels) != len(want) {
				t.Fatalf("%s to %s: got %+v, want %v", from, to, got, want)
			}
			var peak int64
			for _, l := range got[0].Levels {
				peak = max(peak, int64(l.Sixths))
				if l.For != want[int64(l.Sixths)] {
					t.Errorf("%s to %s, %v: got %v, want %v", from, to, l.Sixths, l.For, want[int64(l.Sixths)])
				}
			}
			peaks, err := e.Peaks(t.Context(), h.account, from, to)
			must(t, err)
			var sum int64
			for _, m := range peaks[0].Meetings {
				sum += m.Sixths
				if len(m.Why) == 0 {
					t.Errorf("%s is in the peak and does not say why", m.Meeting)
				}
			}
			if got[0].Sixths != peak || peaks[0].Sixths != peak || sum != peak || peaks[0].Sampled > peak || !peaks[0].At.Equal(got[0].PeakAt) {
				t.Errorf("got peaks of %d and %d with meetings of %d, want %d", got[0].Sixths, peaks[0].Sixths, sum, peak)
			}
			days, err := e.Days(t.Context(), h.account, origin, h.clock.Now())
			must(t, err)
			report, err := e.Report(t.Context(), h.account, "users", origin, h.clock.Now())
			must(t, err)
			begun := map[string]bool{}
			var held time.Duration
			for _, d := range days {
				ids := map[string]bool{}
				for _, s := range all {
					if s.from.Before(d.Day.AddDate(0, 0, 1)) && s.to.After(d.Day) {
						ids[s.meeting] = true
					}
				}
				of := levelsOf(all, smp, d.Day, d.Day.AddDate(0, 0, 1))
				var most, used int64
				for n, l := range of {
					most = max(most, n)
					used += n * int64(l/time.Second)
				}
				if d.Tag != smp || d.Sixths != most || d.Used != used || d.Meetings != int64(len(ids)) {
					t.Errorf("day %s: got %+v, want a peak of %d, %d used and %d meetings", d.Day, d, most, used, len(ids))
				}
			}
			for _, s := range all {
				begun[s.meeting] = true
				held += s.to.Sub(s.from)
			}
			if len(report.Rows) != 1 || report.Rows[0][0] != nil || report.Rows[0][2] != int64(len(begun)) || report.Rows[0][6] != int64(held/time.Second) {
				t.Errorf("users: got %v, want %d meetings of %v", report.Rows, len(begun), held)
			}
		}
		for n := range 30 {
			send(n + 1)
		}
		check(h.engine)
		check(h.engine)
		for n := range 5 {
			send(100 + n)
		}
		must(t, h.engine.tidy(t.Context(), h.account))
		check(h.engine)
		check(h.open())
	})
}

// TestRule26PersonalByAssignment: who holds a license counts, whether or not anybody meets; a day is over by what was owned on it.
func TestRule26PersonalByAssignment(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.own(pmp, 1, start.AddDate(0, 0, -10), 0)
		h.own(smp, 1, start.AddDate(0, 0, -10), 0)
		users := func(n int) {
			text := ""
			for i := range n {
				text += fmt.Sprintf(`,{"jid":"u%d@acme.example","personalLicense":true}`, i)
			}
			_, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[`+text[1:]+`],"spaces":[]}`))
			must(t, err)
		}
		users(1)
		standing := func() LicenseStanding {
			t.Helper()
			c, err := h.engine.Compliance(t.Context(), h.account)
			must(t, err)
			if c.Thresholds != meeting.DefaultThresholds() && c.Thresholds != (meeting.Thresholds{1, 2, 3}) || len(c.Licenses) != 2 {
				t.Fatalf("got %+v", c)
			}
			return c.Licenses[1]
		}
		if s := standing(); s.Tag != pmp || !s.Assigned || s.Used != 1 || s.Entitled != 1 || len(s.Over) != 0 || s.Level != 0 {
			t.Errorf("one of one: got %+v", s)
		}
		users(3)
		if s := standing(); s.Used != 3 || len(s.Over) != 1 || s.Over[0].Over().Licenses() != 2 || s.Level != 0 {
			t.Errorf("three of one: got %+v", s)
		}
		must(t, h.engine.SetThresholds(t.Context(), "admin", h.account, meeting.Thresholds{1, 2, 3}))
		h.clock.Advance(24 * time.Hour)
		if s := standing(); len(s.Over) != 2 || s.Level != 2 || len(s.Falls) != 2 {
			t.Errorf("the next day: got %+v", s)
		}
		h.own(pmp, 2, h.clock.Now(), 0)
		if s := standing(); len(s.Over) != 1 || s.Entitled != 3 {
			t.Errorf("after buying two: got %+v", s)
		}
		h.clock.Advance(90 * 24 * time.Hour)
		if s := standing(); len(s.Over) != 0 || s.Level != 0 {
			t.Errorf("after the window has gone: got %+v", s)
		}
		if err := h.engine.SetThresholds(t.Context(), "admin", h.account, meeting.Thresholds{3, 2, 1}); license.AsError(err) == nil {
			t.Errorf("got %v, want a refusal", err)
		}
	})
}

// TestCountsWithoutAnEngine: an account whose engine is not enabled has counts of nothing, and nothing can be set.
func TestCountsWithoutAnEngine(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		const nobody = "acc_00000000000000000000000001"
		ctx := t.Context()
		c, err := h.engine.Compliance(ctx, nobody)
		must(t, err)
		days, err := h.engine.Days(ctx, nobody, time.Time{}, time.Time{})
		must(t, err)
		peaks, err := h.engine.Peaks(ctx, nobody, time.Time{}, time.Time{})
		must(t, err)
		d, err := h.engine.Demand(ctx, nobody, time.Time{}, time.Time{})
		must(t, err)
		if c.Level != 0 || len(days) != 0 || peaks[0].Sixths != 0 || len(d.Advice.Shortages) != 0 {
			t.Errorf("got %+v, %+v, %+v, %+v", c, days, peaks, d)
		}
		if a, err := h.engine.Activations(ctx, nobody); err != nil || len(a) != 0 {
			t.Errorf("got %+v, %v", a, err)
		}
		if err := h.engine.SetThresholds(ctx, "admin", nobody, meeting.DefaultThresholds()); license.AsError(err) == nil && err == nil {
			t.Error("thresholds are set where there is no engine")
		}
	})
}

// TestRule27SharedDays: a day whose peak is above what was owned is over, also when records come late.
func TestRule27SharedDays(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.own(smp, 1, start.AddDate(0, 0, -100), 0)
		over := func() []meeting.Day {
			t.Helper()
			c, err := h.engine.Compliance(t.Context(), h.account)
			must(t, err)
			return c.Licenses[0].Over
		}
		h.receive(h.engine, receiver, body(run1, adHoc(1000, 0, 3)...))
		h.receive(h.engine, receiver, body(run1, adHoc(2000, -86400, 3)...))
		if got := over(); len(got) != 0 {
			t.Errorf("one meeting a day: got %+v", got)
		}
		h.receive(h.engine, receiver, body(run1, adHoc(3000, -86400+60, 1)...)) // a sixth more, late
		if got := over(); len(got) != 1 || got[0].Over() != 1 || !got[0].Date.Equal(start.AddDate(0, 0, -1).Truncate(24*time.Hour)) {
			t.Errorf("a sixth too much: got %+v", got)
		}
	})
}

// TestRule28ActivationOfABridge: a key that is missing puts its cluster at the highest level, the other ones stay.
func TestRule28ActivationOfABridge(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.bridge("Other")
		h.receive(h.engine, receiver, body(run1, story()...))
		must(t, h.engine.sync(t.Context(), h.account))
		level := func() (all int, of []int, keys []meeting.Key) {
			t.Helper()
			c, err := h.engine.Compliance(t.Context(), h.account)
			must(t, err)
			slices.SortFunc(c.Bridges, func(a, b BridgeStanding) int { return cmp.Compare(a.Name, b.Name) })
			for _, b := range c.Bridges {
				of = append(of, b.Level)
			}
			a, err := h.engine.Activations(t.Context(), h.account)
			must(t, err)
			slices.SortFunc(a, func(a, b BridgeActivation) int { return cmp.Compare(a.Name, b.Name) })
			return c.Level, of, a[0].Keys
		}
		set := func(bridge string, key meeting.Key) error {
			return h.engine.SetActivation(t.Context(), "admin", h.account, bridge, key)
		}
		if all, _, keys := level(); all != 0 || len(keys) != 0 {
			t.Errorf("nothing is known: got level %d, %+v", all, keys)
		}
		must(t, set("main", meeting.Key{Present: true, Until: h.clock.Now().Add(time.Hour)}))
		if all, _, keys := level(); all != 0 || len(keys) != 1 || keys[0].Bridge != bridgeA {
			t.Errorf("present: got level %d, %+v", all, keys)
		}
		h.clock.Advance(time.Hour)
		if all, of, _ := level(); all != meeting.HighestLevel || !slices.Equal(of, []int{meeting.HighestLevel, 0}) {
			t.Errorf("ended: got level %d, %v", all, of)
		}
		must(t, set("Main", meeting.Key{Bridge: bridgeA, Present: true}))
		if all, _, _ := level(); all != 0 {
			t.Errorf("a key of its own: got level %d", all)
		}
		for _, err := range []error{set("nowhere", meeting.Key{Present: true}), set("Main", meeting.Key{Bridge: "x", Present: true}), set("Main", meeting.Key{Until: h.clock.Now()})} {
			if license.AsError(err) == nil {
				t.Errorf("got %v, want a refusal", err)
			}
		}
	})
}

// TestRule29Features: what a cluster is licensed for ends 90 days after the authority answered last, feature by feature.
func TestRule29Features(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.employ()
		h.bridge("Main")
		h.own(recordingTag, 1, h.clock.Now(), 30)
		features := func() string {
			t.Helper()
			a, err := h.engine.Activations(t.Context(), h.account)
			must(t, err)
			text := ""
			for _, f := range a[0].Features {
				text += " " + f.Status
				if f.Expiry.After(a[0].RenewedAt.Add(90 * 24 * time.Hour)) {
					t.Errorf("%s ends on %s", f.Name, f.Expiry)
				}
			}
			return text[1:]
		}
		if got := features(); got != "activated activated activated" {
			t.Errorf("got %s", got)
		}
		h.clock.Advance(30 * 24 * time.Hour)
		if got := features(); got != "activated activated noLicense" {
			t.Errorf("after 30 days: got %s", got)
		}
		h.clock.Advance(60 * 24 * time.Hour)
		if got := features(); got != "expired expired noLicense" {
			t.Errorf("after 90 days: got %s", got)
		}
	})
}

// TestRule30AllocationOfBridges: never more than is owned, what is left is shown, a change shows at once.
func TestRule30AllocationOfBridges(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		id, receiver := h.bridge("Main")
		h.bridge("Other")
		h.own(smp, 5, start, 30)
		allocate := func(bridge string, n int64) error {
			return h.engine.Allocate(t.Context(), "admin", h.account, bridge, map[string]int64{smp: n})
		}
		shared := func() AllocatedLicense {
			t.Helper()
			all, err := h.engine.Allocations(t.Context(), h.account)
			must(t, err)
			if len(all) != 2 || all[0].Tag != meeting.Personal.Tag() || all[1].Tag != smp {
				t.Fatalf("got %+v, want both licenses by tag", all)
			}
			slices.SortFunc(all[1].Bridges, func(a, b AllocatedBridge) int { return cmp.Compare(a.Name, b.Name) })
			return all[1]
		}
		must(t, allocate("Main", 1))
		must(t, allocate("Other", 3))
		if err := license.AsError(allocate(id, 3)); err == nil || err.Code != "over-allocated" {
			t.Errorf("six of five: got %v", err)
		}
		if a := shared(); a.Purchased != 5 || a.Allocated != 4 || a.Unallocated != 1 || a.Bridges[0].Quantity != 1 {
			t.Errorf("got %+v", a)
		}
		now := int(h.clock.Now().Sub(start) / time.Second)
		h.receive(h.engine, receiver, body(run1, adHoc(1000, now-900, 3)...))
		h.receive(h.engine, receiver, body(run1, adHoc(2000, now-900, 3)...))
		if a := shared(); a.Bridges[0].Sixths != 12 || len(a.Bridges[0].Why) != 1 || len(a.Bridges[1].Why) != 0 {
			t.Errorf("got %+v", a)
		}
		h.clock.Advance(31 * 24 * time.Hour)
		if a := shared(); a.Purchased != 0 || a.Excess != 4 {
			t.Errorf("after the term: got %+v", a)
		}
		for _, err := range []error{allocate("nowhere", 1), allocate("Main", -1), h.engine.Allocate(t.Context(), "a", h.account, "Main", map[string]int64{"vts": 1})} {
			if license.AsError(err) == nil {
				t.Errorf("got %v, want a refusal", err)
			}
		}
	})
}

// TestRule26Snapshots: every five minutes in the classes of call bridges, in parts for one call bridge, with recordings.
func TestRule26Snapshots(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.directory(true)
		_, receiver := h.bridge("Main")
		h.receive(h.engine, receiver, body(run1, story()...))             // a personal license from 8:10:02 on
		h.receive(h.engine, receiver, body(run1, adHoc(1000, 600, 3)...)) // 8:20 to 8:30
		got, err := h.engine.Snapshots(t.Context(), h.account, SnapshotFilter{From: start.Truncate(time.Hour), To: start.Add(2 * time.Hour)})
		must(t, err)
		text := ""
		for _, s := range got[:8] {
			text += fmt.Sprintf("%s %s %s %s %d\n", s.At.Format("15:04"), s.Personal.Decimal(2), s.Full.Decimal(2), s.PointToPoint.Decimal(2), s.Assigned)
		}
		want := "08:00 0.00 0.00 0.00 0\n08:05 0.00 0.00 0.00 0\n08:10 0.00 0.00 0.00 0\n08:15 1.00 0.00 0.00 0\n" +
			"08:20 1.00 0.00 1.00 0\n08:25 1.00 1.00 0.00 0\n08:30 1.00 0.00 0.00 0\n08:35 1.00 0.00 0.00 0\n"
		if text != want {
			t.Errorf("got\n%swant\n%s", text, want)
		}
		if last := got[len(got)-1]; last.Assigned != 1 && !h.clock.Now().After(last.At) {
			t.Errorf("got %+v", last)
		}
		none, err := h.engine.Snapshots(t.Context(), h.account, SnapshotFilter{From: start, To: start.Add(time.Hour), CallBridge: "0377d63c-7e36-418b-a4dd-899adb474874"})
		must(t, err)
		if slices.ContainsFunc(none, func(s meeting.Snapshot) bool { return s.Personal+s.Full+s.PointToPoint > 0 }) {
			t.Errorf("on another call bridge: got %+v", none)
		}
		if _, err := h.engine.Snapshots(t.Context(), h.account, SnapshotFilter{Bridge: "nowhere"}); license.AsError(err) == nil {
			t.Errorf("got %v, want not found", err)
		}
		if _, err := h.engine.Snapshots(t.Context(), h.account, SnapshotFilter{CallBridge: "first"}); license.AsError(err) == nil || license.AsError(err).Code != "bad-callbridge" {
			t.Errorf("got %v for what is no GUID, want bad-callbridge", err)
		}
	})
}

// TestUnmetDemand: when it was short, because of what, and what would have helped.
func TestUnmetDemand(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.directory(false)
		_, receiver := h.bridge("Main")
		h.own(smp, 1, start.AddDate(0, 0, -1), 0)
		h.receive(h.engine, receiver, body(run1, story()...))
		h.receive(h.engine, receiver, body(run1, adHoc(1000, 600, 3)...))
		d, err := h.engine.Demand(t.Context(), h.account, start.Add(-time.Hour), time.Time{})
		must(t, err)
		a := d.Advice
		if len(a.Shortages) != 1 || a.Short != 10*time.Minute || a.Buy != 1 || len(d.Meetings) != 2 || len(d.Why) == 0 {
			t.Errorf("got %+v", d)
		}
		if len(a.Give) != 1 || a.Give[0].Host != "alice@acme.example" || !a.Removes {
			t.Errorf("got %+v, want a license for alice", a)
		}
		if want := []meeting.Cause{{Code: meeting.NoSpace, Meetings: 1}, {Code: meeting.OwnerWithoutLicense, Meetings: 1}}; !slices.Equal(a.Causes, want) {
			t.Errorf("got %+v, want %+v", a.Causes, want)
		}
		for _, kind := range []string{"users", "hours", "days", "demand"} {
			r, err := h.engine.Report(t.Context(), h.account, kind, start.Add(-time.Hour), start.Add(24*time.Hour))
			must(t, err)
			for _, row := range r.Rows {
				if len(row) != len(r.Columns) {
					t.Errorf("%s: got %v for %v", kind, row, r.Columns)
				}
			}
			if r.Kind != kind || len(r.Rows) == 0 {
				t.Errorf("%s: got %+v", kind, r)
			}
		}
	})
}
