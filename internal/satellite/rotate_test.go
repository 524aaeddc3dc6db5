package satellite_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
)

// TestSatelliteReplacesItsKeys: the next keys wait until they are certified, whatever gets lost on the way, and then take the place of
// the ones before: at the authority, and at products with their next contact, those that slept too.
func TestSatelliteReplacesItsKeys(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		_, token := w.invite("Plant 7")
		w.order("SO-1", "Plant 7", 5)
		keys, st := t.TempDir(), storetest.OpenURL(t, address, w.clock.Now)
		plant := w.joinWith(token, st, keys)
		awake, asleep := w.register(plant, "", "A1"), w.register(plant, "", "A2")
		awake.mustReport(2, "AUTHORIZED")
		w.sync(plant)
		stale := t.TempDir()
		if err := os.CopyFS(stale, os.DirFS(keys)); err != nil {
			t.Fatal(err)
		}
		before, after, err := trust.PrepareSite(keys)
		if err != nil || before != plant.Keys().Site() {
			t.Fatal(err)
		}
		export := func() []byte {
			file, err := plant.Export(ctx, admin, id, satellite.File)
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
		// Lost on the way up, and lost on the way down: the keys of before go on.
		export()
		if _, err := w.top.Answer(ctx, export(), satellite.File); err != nil {
			t.Fatal(err)
		}
		awake.mustReport(3, "AUTHORIZED")
		if plant.Keys().Site() != before {
			t.Fatal("keys are in force before the answer came")
		}
		plant = w.reopen(st, keys) // the process dies
		awake.desk, asleep.desk = plant, plant
		late := export()
		w.sync(plant)
		if plant.Keys().Site() != after {
			t.Fatalf("in force are the keys of %s, want %s", plant.Keys().Site(), after)
		}
		awake.mustReport(3, "AUTHORIZED")
		if _, err := w.top.Answer(ctx, late, satellite.File); err == nil {
			t.Error("a late file is taken for a new one")
		}
		for range 2 {
			w.sync(plant)
		}
		shown, err := w.top.Show(ctx, admin, id, "Plant 7")
		if err != nil || shown.Site != after || shown.Epoch != 1 || len(shown.Findings) != 0 {
			t.Errorf("the authority shows %+v, %v", shown, err)
		}
		// Again, while one product slept through both.
		if _, after, err = trust.PrepareSite(keys); err != nil {
			t.Fatal(err)
		}
		w.sync(plant)
		w.sync(plant)
		if plant = w.reopen(st, keys); plant.Keys().Site() != after {
			t.Error("the second replacement did not come to its end")
		}
		asleep.desk = plant
		asleep.mustReport(1, "AUTHORIZED")
		w.check(plant)
		// The keys of before count no more, for files, products and joins.
		thief := w.reopen(st, stale)
		file, err := thief.Export(ctx, admin, id, satellite.File)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.top.Answer(ctx, file, satellite.File)
		wantCode(t, err, "satellite-keys-replaced")
		held := *awake
		held.desk = thief
		var no *trust.OtherDeskError
		if _, err := held.report(1); !errors.As(err, &no) || !no.Replaced {
			t.Errorf("the old keys speak to a product: %v", err)
		}
		// No certificate is taken below replaced keys that were not lost.
		second := w.joinWith(w.again(id, "Plant 7"), storetest.OpenURL(t, filepath.Join(t.TempDir(), "lost.db"), w.clock.Now), t.TempDir())
		stolen := &product{t: t, desk: second, clock: w.clock, key: trust.NewProductKey(), serial: "Z1", account: id, instance: trust.NewID("ins", w.clock.Now())}
		stolen.identity = forged(t, thief.Keys(), stolen)
		wantCode(t, stolen.introduce(), "identity-other-desk")
		stolen.identity = forged(t, plant.Keys(), stolen)
		if err := stolen.introduce(); err != nil {
			t.Errorf("below lost keys: %v", err)
		}
	})
}

// forged is an ID certificate that somebody makes who has a satellite's keys.
func forged(t *testing.T, keys *trust.Keys, p *product) [][]byte {
	t.Helper()
	der, err := trust.NewCSR(p.key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := trust.ParseCSR(der)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := keys.SignInstance(keys.PrepareInstance(csr, trust.InstanceName{Account: p.account, Instance: p.instance, Product: "X", PID: "CMS", Serial: p.serial}, p.clock.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return append([][]byte{cert}, keys.SignerChain()[1:]...)
}

// TestAuthorityReplacesItsKeys: satellites and products take the new keys over, and the old ones no more; an answer that was given
// before is given again with the new ones.
func TestAuthorityReplacesItsKeys(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		_, token := w.invite("Plant 7")
		w.order("SO-1", "Plant 7", 5)
		plant := w.join(token, address)
		own := w.register(w.top, "", "A1")
		behind := w.register(plant, "", "B1")
		w.sync(plant)
		stale := t.TempDir()
		if err := os.CopyFS(stale, os.DirFS(w.top.keys)); err != nil {
			t.Fatal(err)
		}
		file, err := plant.Export(ctx, admin, id, satellite.File)
		if err != nil {
			t.Fatal(err)
		}
		lost, err := w.top.Answer(ctx, file, satellite.File)
		if err != nil {
			t.Fatal(err)
		}
		asked, err := own.report(0)
		if err != nil || asked.Status == "" {
			t.Fatal(err)
		}
		if _, _, err := trust.Rotate(w.top.keys, nil, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if changed, err := w.top.Keys().Refresh(); err != nil || !changed {
			t.Fatal(err)
		}
		var again struct{ Status string }
		if err := own.sent(&again); err != nil || again.Status != string(asked.Status) { // the answer was lost
			t.Errorf("the answer to a report of before: %+v, %v", again, err)
		}
		own.mustReport(0, "No Licenses in Use")
		if err := own.renew(); err != nil {
			t.Errorf("renew: %v", err)
		}
		behind.mustReport(1, "AUTHORIZED")
		answer, err := w.top.Answer(ctx, file, satellite.File)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plant.Apply(ctx, admin, id, answer, satellite.File); err != nil {
			t.Errorf("the satellite does not take the new keys over: %v", err)
		}
		_, err = plant.Apply(ctx, admin, id, lost, satellite.File)
		wantCode(t, err, "file-replaced-keys")
		w.sync(plant)
		w.check(plant)
		old, err := trust.OpenKeys(stale, w.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		thief := openDesk(t, stale, old, w.top.store, w.clock, "authority.example")
		held := *own
		held.desk = thief
		if _, err := held.report(0); !errors.Is(err, trust.ErrOtherDesk) {
			t.Errorf("the old keys speak to a product: %v", err)
		}
	})
}

// TestKeysOfTwoAccounts: a server that is the satellite of two accounts uses its next keys only when both have certified them.
func TestKeysOfTwoAccounts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx := t.Context()
		globex, err := w.top.CreateAccount(ctx, admin, "globex.example")
		if err != nil {
			t.Fatal(err)
		}
		_, theirs, err := w.top.Create(ctx, admin, globex.ID, satellite.NewSatellite{Name: "Plant 7"})
		if err != nil {
			t.Fatal(err)
		}
		_, token := w.invite("Plant 7")
		keys, st := t.TempDir(), storetest.OpenURL(t, address, w.clock.Now)
		w.joinWith(token, st, keys)
		plant := w.joinWith(theirs.Reveal(), st, keys)
		ours := w.register(plant, "", "A1")
		ours.mustReport(0, "No Licenses in Use")
		exchange := func(account string) {
			t.Helper()
			file, err := plant.Export(ctx, admin, account, satellite.File)
			if err != nil {
				t.Fatal(err)
			}
			reply, err := w.top.Answer(ctx, file, satellite.File)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plant.Apply(ctx, admin, account, reply, satellite.File); err != nil {
				t.Fatal(err)
			}
		}
		before, after, err := trust.PrepareSite(keys)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			exchange(w.account.ID)
			ours.mustReport(0, "No Licenses in Use")
			if plant.Keys().Site() != before {
				t.Fatal("keys are in force that one account has not certified")
			}
		}
		exchange(globex.ID)
		if plant.Keys().Site() != after {
			t.Fatal("both accounts have certified the keys, and they are not in force")
		}
		for _, account := range []string{w.account.ID, globex.ID} {
			exchange(account)
			shown, err := w.top.Show(ctx, admin, account, "Plant 7")
			if err != nil || shown.Site != after {
				t.Errorf("the authority knows %s of %s, want %s: %v", shown.Site, account, after, err)
			}
			if !slices.Contains(trust.Predecessors(plant.Keys().SignerChain()), trust.Predecessor{Account: account, Issuer: before}) {
				t.Errorf("after the renewal the certificate does not say that it follows for %s", account)
			}
		}
		ours.mustReport(0, "No Licenses in Use")
	})
}
