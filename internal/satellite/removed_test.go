package satellite_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
)

// TestProductsOfARemovedSatellite: they are shown as they were last known, of a satellite that was removed, and use nothing of the
// virtual accounts that belong to the authority again (smart licensing, section 13.8); a product that registers here is the one meant.
func TestProductsOfARemovedSatellite(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		_, token := w.invite("Plant 7")
		w.order("SO-1", "Plant 7", 3)
		plant := w.join(token, address)
		w.sync(plant)
		p := w.register(plant, "", "A1")
		p.mustReport(2, license.StatusAuthorized)
		w.sync(plant)
		spoke := w.clock.Now()
		if _, err := w.top.Sync.Remove(ctx, admin, id, "Plant 7", true); err != nil {
			t.Fatal(err)
		}
		if r := w.row(w.top, "Plant 7"); r.Quantity != 3 || r.InUse != 0 || r.Available != 3 {
			t.Errorf("the virtual account has %+v", r.Row)
		}
		in, err := w.top.Instance(ctx, admin, id, "A1")
		if err != nil || in.State != "Removed" || in.RemovedBy != admin.Name || in.Satellite != "Plant 7" || spoke.Sub(in.LastKnown).Abs().Seconds() > 1 ||
			in.Status != license.StatusAuthorized || len(in.Usage) != 1 || in.Usage[0].Count != 2 || !strings.Contains(in.Next, "another desk") {
			t.Errorf("as last known: %+v, %v", in, err)
		}
		wantCode(t, w.top.RemoveInstance(ctx, admin, id, "A1", ""), "satellite-instance")
		_, here, err := w.top.CreateToken(ctx, admin, id, authority.NewToken{VirtualAccount: "Plant 7"})
		if err != nil {
			t.Fatal(err)
		}
		q := &product{t: t, desk: w.top, clock: w.clock, key: p.key, serial: "A1", account: id}
		if _, err := q.ask(here.Reveal()); err != nil {
			t.Fatal(err)
		}
		if in, err = w.top.Instance(ctx, admin, id, "A1"); err != nil || in.State != "Active" || !in.LastKnown.IsZero() || in.Satellite != "" {
			t.Errorf("after it registered here: %+v, %v", in, err)
		}
	})
}

// TestRemovedSatelliteJoinsAgain: a satellite that was removed says what to do, and joins as another one with the database that it
// has: it counts from nothing, and every license arrives, also those that its reservations kept.
func TestRemovedSatelliteJoinsAgain(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		onBoth(t, func(t *testing.T, w *world, address string) {
			ctx, id := t.Context(), w.account.ID
			plant, b := w.reserved(address)
			w.sync(plant)
			if !lost {
				if err := b.giveBack(plant); err != nil {
					t.Fatal(err)
				}
			}
			_, other := w.invite("Plant 8")
			_, err := satellite.Joiner{Store: plant.store, Keys: plant.keys, Catalog: license.DefaultCatalog(), Now: w.clock.Now}.Request(ctx, other)
			wantCode(t, err, "other-satellite")
			shown, err := w.top.Sync.Remove(ctx, admin, id, "Plant 7", lost)
			if err != nil {
				t.Fatal(err)
			}
			if !lost {
				_, err := w.top.Transfer(ctx, admin, id, authority.Transfer{Tag: smp, Quantity: 1, From: "Default", To: "Plant 7"})
				wantCode(t, err, "satellite-leaving")
			}
			for range 3 {
				if out, _ := w.exchange(plant); out.Removed && !slices.ContainsFunc(out.Findings, func(f license.Fact) bool { return f.Code == license.FactSyncOver }) {
					t.Errorf("the satellite does not say how to go on: %+v", out)
				}
			}
			if st, err := plant.Status(ctx, admin, id); err != nil || !st.Removed || st.Every != 0 || len(st.Findings) == 0 || st.Findings[0].Code != license.FactSyncOver {
				t.Errorf("status: %+v, %v", st, err)
			}
			w.check(plant)
			if lost {
				if _, err := w.top.Settle(ctx, admin, id, shown.ID); err != nil {
					t.Error(err)
				}
			}
			_, again := w.invite("Plant 7", "Plant 7")
			plant = w.joinWith(again, plant.store, plant.keys)
			for range 3 {
				w.sync(plant)
			}
			w.agree(plant)
			if r := w.row(plant, ""); r.Quantity != 10 || lost != (r.Reserved == 4) {
				t.Errorf("it has %+v", r.Row)
			}
			if st, err := plant.Status(ctx, admin, id); err != nil || st.Removed || st.State != license.SatelliteOK || len(st.Findings) != 0 {
				t.Errorf("status: %+v, %v", st, err)
			}
		})
	}
}
