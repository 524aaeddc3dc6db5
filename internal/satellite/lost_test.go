package satellite_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
)

// again invites a satellite anew.
func (w *world) again(account, name string) string {
	w.t.Helper()
	_, token, err := w.top.Invite(w.t.Context(), admin, account, name, 0)
	if err != nil {
		w.t.Fatalf("invite: %v", err)
	}
	return token.Reveal()
}

// TestLostWithItsKeys: a satellite loses its database and its keys, twice. Its products come back with their next contacts, without
// a token and without force, one that slept through both losses too; nothing is counted twice, and the lost keys speak to nobody.
func TestLostWithItsKeys(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		_, token := w.invite("Plant 7")
		_, other := w.invite("Plant 8")
		w.order("SO-1", "Plant 7", 10)
		first := w.join(token, address)
		neighbor := w.join(other, filepath.Join(t.TempDir(), "neighbor.db"))
		awake, asleep := w.register(first, "", "A1"), w.register(first, "", "A2")
		awake.mustReport(4, "AUTHORIZED")
		asleep.mustReport(3, "AUTHORIZED")
		w.sync(first)

		second := w.join(w.again(w.account.ID, "Plant 7"), filepath.Join(t.TempDir(), "second.db"))
		awake.desk = second
		awake.mustReport(5, "AUTHORIZED")
		w.sync(second)

		third := w.join(w.again(w.account.ID, "Plant 7"), filepath.Join(t.TempDir(), "third.db"))
		awake.desk, asleep.desk = third, third
		awake.mustReport(5, "AUTHORIZED")
		asleep.mustReport(3, "AUTHORIZED")
		for range 2 {
			w.sync(third)
		}
		w.check(third)
		if row := w.row(third, ""); row.Quantity != 10 || row.InUse != 8 {
			t.Errorf("the satellite has %+v", row.Row)
		}
		if row := w.row(w.top, "Plant 7"); row.Quantity != 10 || row.InUse != 8 {
			t.Errorf("the authority sees %+v", row.Row)
		}
		shown, err := w.top.Show(t.Context(), admin, w.account.ID, "Plant 7")
		if err != nil || shown.Site != third.Keys().Site() || shown.Consigned != 10 || shown.InTransit != 0 {
			t.Errorf("the authority shows %+v, %v", shown, err)
		}
		// Whoever has the lost keys, or others, does not speak to a product that has heard the new ones.
		for name, d := range map[string]*desk{"first": first, "second": second, "neighbor": neighbor, "authority": w.top} {
			for _, p := range []*product{awake, asleep} {
				held := *p
				held.desk = d
				var no *trust.OtherDeskError
				if _, err := held.report(1); d == first || d == second {
					if !errors.As(err, &no) || !no.Replaced {
						t.Errorf("%s to %s: %v", name, p.serial, err)
					}
				} else if err == nil {
					t.Errorf("%s takes the report of %s", name, p.serial)
				}
			}
		}
		for _, lost := range []*desk{first, second, first} {
			_, refused := w.exchange(lost)
			wantCode(t, refused, "satellite-keys-replaced")
		}
		w.clock.Advance(2 * time.Hour)
		last := w.clock.Now()
		_, refused := w.exchange(second)
		wantCode(t, refused, "satellite-keys-replaced")
		w.sync(third)
		w.check(third)
		// The authority says so until somebody has looked: the last time of all, and one event for them.
		shown, err = w.top.Show(t.Context(), admin, w.account.ID, "Plant 7")
		noted := slices.DeleteFunc(shown.Findings, func(f license.Fact) bool { return f.Code != license.FactSyncOldKeys })
		if err != nil || len(noted) != 1 || noted[0].Since.Before(last) {
			t.Errorf("of the refused files the authority shows %+v, %v", noted, err)
		}
		if n := len(w.eventsOf(w.top, "keys.refused")); n != 1 {
			t.Errorf("the refused files are %d events, want 1", n)
		}
		if n := len(w.replacements(w.top)); n != 2 {
			t.Errorf("two replacements are %d events", n)
		}
		settled, err := w.top.Settle(t.Context(), admin, w.account.ID, "Plant 7")
		if err != nil || slices.ContainsFunc(settled.Findings, func(f license.Fact) bool { return f.Code == license.FactSyncOldKeys }) {
			t.Errorf("settled: %+v, %v", settled.Findings, err)
		}
	})
}

// TestReplacedKeysDoNotJoin: keys that others took the place of do not come back, whoever has a token; else two sites would follow
// each other. The newest may join again, and with a lost answer nothing is lost.
func TestReplacedKeysDoNotJoin(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		_, token := w.invite("Plant 7")
		w.order("SO-1", "Plant 7", 4)
		first := w.join(token, address)
		p := w.register(first, "", "A1")
		p.mustReport(4, "AUTHORIZED")
		w.sync(first)
		// An answer that never arrives: its keys are certified, and lost like the others.
		j := w.joiner(filepath.Join(t.TempDir(), "none.db"), t.TempDir())
		file, err := j.Request(t.Context(), w.again(w.account.ID, "Plant 7"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.top.Answer(t.Context(), file, satellite.File); err != nil {
			t.Fatal(err)
		}
		keys := t.TempDir()
		second := w.joinWith(w.again(w.account.ID, "Plant 7"), storetest.OpenURL(t, filepath.Join(t.TempDir(), "second.db"), w.clock.Now), keys)
		p.desk = second
		p.mustReport(4, "AUTHORIZED")
		old := w.joiner(filepath.Join(t.TempDir(), "old.db"), first.keys)
		file, err = old.Request(t.Context(), w.again(w.account.ID, "Plant 7"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.top.Answer(t.Context(), file, satellite.File)
		wantCode(t, err, "satellite-keys-replaced")
		third := w.joinWith(w.again(w.account.ID, "Plant 7"), storetest.OpenURL(t, filepath.Join(t.TempDir(), "third.db"), w.clock.Now), keys)
		if third.Keys().Site() != second.Keys().Site() {
			t.Error("joining again with the keys of before made others")
		}
		w.sync(third)
		p.desk = third
		p.mustReport(3, "AUTHORIZED")
		w.sync(third)
		w.check(third)
	})
}

// TestSuccessorOfOneAccount: a server is the satellite of two accounts. Who administers one of them replaces its satellite by another
// server; that follows the first one for the products of this account and for no others. When the first one is lost with its keys,
// it is rebuilt for each account, and for each its products come back.
func TestSuccessorOfOneAccount(t *testing.T) {
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
		both := w.joinWith(theirs.Reveal(), st, keys)
		ours := w.register(both, "", "A1")
		_, their, err := both.CreateToken(ctx, admin, globex.ID, authority.NewToken{})
		if err != nil {
			t.Fatal(err)
		}
		foreign := &product{t: t, desk: both, clock: w.clock, key: trust.NewProductKey(), serial: "B1", nonce: "nonce-of-registration-B1", account: globex.ID}
		answer, err := foreign.ask(their.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		foreign.instance, foreign.number = answer.Instance, answer.Number
		ours.mustReport(0, "No Licenses in Use")
		for _, account := range []string{w.account.ID, globex.ID} {
			file, err := both.Export(ctx, admin, account, satellite.File)
			if err != nil {
				t.Fatal(err)
			}
			reply, err := w.top.Answer(ctx, file, satellite.File)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := both.Apply(ctx, admin, account, reply, satellite.File); err != nil {
				t.Fatal(err)
			}
		}
		taken := w.join(w.again(w.account.ID, "Plant 7"), filepath.Join(t.TempDir(), "taken.db"))
		if !trust.Follows(taken.Keys().SignerChain(), ours.last, w.account.ID) || trust.Follows(taken.Keys().SignerChain(), foreign.last, globex.ID) {
			t.Error("a new server follows the old one for the wrong products")
		}
		ours.desk = taken
		ours.mustReport(0, "No Licenses in Use")
		greeting := taken.Keys().Seal(trust.Header{Kind: "k", Chain: taken.Keys().SignerChain()}, nil)
		if _, err := trust.OpenAuthority(greeting, []string{"k"}, "", trust.Pins{Root: w.top.Keys().Fingerprint(), Last: foreign.last, Account: globex.ID}, w.clock.Now()); !errors.Is(err, trust.ErrOtherDesk) {
			t.Errorf("another account's server speaks to the product: %v", err)
		}
		// The one that serves both is rebuilt with new keys, first for one account, then for the other.
		fresh, fst := t.TempDir(), storetest.OpenURL(t, filepath.Join(t.TempDir(), "fresh.db"), w.clock.Now)
		w.joinWith(w.again(globex.ID, "Plant 7"), fst, fresh)
		rebuilt := w.joinWith(w.again(w.account.ID, "Plant 7"), fst, fresh)
		ours.desk, foreign.desk = rebuilt, rebuilt
		ours.mustReport(0, "No Licenses in Use")
		foreign.mustReport(0, "No Licenses in Use")
		file, err := rebuilt.Export(ctx, admin, globex.ID, satellite.File)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := w.top.Answer(ctx, file, satellite.File)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rebuilt.Apply(ctx, admin, globex.ID, reply, satellite.File); err != nil {
			t.Fatal(err)
		}
		if n := len(trust.Predecessors(rebuilt.Keys().SignerChain())); n != 3 {
			t.Errorf("after the renewal for one account the certificate names %d keys before its own, want 3", n)
		}
	})
}

// TestProductsBringThemselves: what the authority did not hear of before a satellite was lost comes back from the products: they bring
// their certificates, of the lost key. Nobody else's certificate is good for that, nor one of a product that is known otherwise.
func TestProductsBringThemselves(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx := t.Context()
		_, token := w.invite("Plant 7")
		_, other := w.invite("Plant 8")
		w.order("SO-1", "Plant 7", 10)
		first := w.join(token, address)
		neighbor := w.join(other, filepath.Join(t.TempDir(), "neighbor.db"))
		w.sync(first)
		unheard, gone, twice := w.register(first, "", "A1"), w.register(first, "", "A2"), w.register(first, "", "A3")
		for _, p := range []*product{unheard, gone, twice} {
			p.mustReport(2, "AUTHORIZED")
		}
		foreign := w.register(neighbor, "", "B1")

		second := w.join(w.again(w.account.ID, "Plant 7"), filepath.Join(t.TempDir(), "second.db"))
		unheard.desk = second
		_, err := unheard.report(2)
		wantCode(t, err, "instance-unknown")
		unheard.number--
		for range 2 { // the answer may have been lost
			if err := unheard.introduce(); err != nil {
				t.Fatalf("a product brings its certificate: %v", err)
			}
		}
		unheard.mustReport(2, "AUTHORIZED")
		w.sync(second)
		w.check(second)
		if here, there := w.row(second, "").InUse, w.row(w.top, "Plant 7").InUse; here != 2 || there != 2 {
			t.Errorf("in use are %d at the satellite and %d at the authority, want 2", here, there)
		}
		// Known otherwise: registered anew meanwhile, or removed.
		anew := w.register(second, "", "A3")
		twice.desk = second
		wantCode(t, twice.introduce(), "already-registered")
		gone.desk = second
		if err := gone.introduce(); err != nil {
			t.Fatal(err)
		}
		if err := second.RemoveInstance(ctx, admin, w.account.ID, gone.instance, ""); err != nil {
			t.Fatal(err)
		}
		wantCode(t, gone.introduce(), "instance-removed")
		anew.mustReport(1, "AUTHORIZED")
		// Another satellite's, another product's, another key's, or another desk.
		steal := func(name, want string, p product) {
			t.Helper()
			p.last = nil
			if err := p.introduce(); err == nil {
				t.Errorf("%s: taken", name)
			} else {
				wantCode(t, err, want)
			}
		}
		taken := *foreign
		taken.desk = second
		steal("of another satellite", "identity-other-desk", taken)
		taken = *unheard
		taken.desk = neighbor
		steal("at another satellite", "identity-other-desk", taken)
		taken.desk = w.top
		steal("at the authority", "identity-other-desk", taken)
		taken = *unheard
		taken.serial = "A9"
		steal("of another product", "identity-foreign", taken)
		taken = *unheard
		taken.key = trust.NewProductKey()
		steal("of another key", "identity-foreign", taken)
		w.clock.Advance(366 * 24 * time.Hour)
		taken = *unheard
		steal("that has expired", "identity-expired", taken)
	})
}

// TestAuthorityGoesBack: an authority's database went back to before a product registered. The product brings its certificate.
func TestAuthorityGoesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, filepath.Join(dir, "top.db"))
	w.order("SO-1", "Default", 5)
	if err := w.top.store.Close(); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(dir, "top.db"), filepath.Join(dir, "back.db"))
	w.top = w.reopenTop(filepath.Join(dir, "top.db"))
	p := w.register(w.top, "", "A1")
	p.mustReport(3, "AUTHORIZED")
	w.top = w.reopenTop(filepath.Join(dir, "back.db"))
	p.desk = w.top
	_, err := p.report(3)
	wantCode(t, err, "instance-unknown")
	if err := p.introduce(); err != nil {
		t.Fatal(err)
	}
	p.mustReport(3, "AUTHORIZED")
	w.check()
}
