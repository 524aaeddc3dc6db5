package satellite_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// TestPurchasesGoDownUseGoesUp is the main job, end to end.
func TestPurchasesGoDownUseGoesUp(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		made, token := w.invite("Plant 7")
		if made.State != license.SatellitePending {
			t.Errorf("a new satellite is %s", made.State)
		}
		w.order("SO-1", "Plant 7", 3)
		plant := w.join(token, address)
		if got := w.row(plant, "").Quantity; got != 3 {
			t.Fatalf("the satellite has %d, want 3", got)
		}
		w.check(plant)
		p := w.register(plant, "", "A1")
		p.mustReport(2, license.StatusAuthorized)
		p.mustReport(4, license.StatusOutOfCompliance)
		w.sync(plant)
		w.check(plant)
		row := w.row(w.top, "Plant 7")
		if row.Quantity != 3 || row.InUse != 4 || row.Shortage != 1 {
			t.Errorf("the authority sees %+v", row.Row)
		}
		w.order("SO-2", "Plant 7", 5)
		if got := w.sync(plant); got.Arrived != 5 {
			t.Errorf("%d arrived, want 5", got.Arrived)
		}
		p.mustReport(4, license.StatusAuthorized)
		w.sync(plant)
		w.check(plant)
		got, err := w.top.Show(t.Context(), admin, w.account.ID, "plant 7")
		if err != nil || got.State != license.SatelliteOK || got.Consigned != 8 || got.InTransit != 0 || got.Instances != 1 {
			t.Errorf("the authority shows %+v, %v", got, err)
		}
		for _, d := range []*desk{w.top, plant} {
			used, err := d.Report(t.Context(), admin, w.account.ID, "usage", time.Time{}, time.Time{})
			by := map[bool]string{true: "Plant 7"}[d == w.top]
			if err != nil || len(used.Rows) != 1 || used.Rows[0][0] != "Plant 7" || used.Rows[0][7] != int64(4) || used.Rows[0][8] != by {
				t.Errorf("the report of usage: %+v, %v", used, err)
			}
		}
		in, _, err := w.top.Instances(t.Context(), admin, w.account.ID, "", authority.Page{})
		if err != nil || len(in) != 1 || in[0].Satellite != "Plant 7" || in[0].Usage[0].Count != 4 || in[0].Hostname != p.host {
			t.Errorf("instances at the authority: %+v, %v", in, err)
		}
	})
}

// TestLostJoinIsAskedForAgain: the answer to a join may be lost after the token was spent; the same token asks for it again.
func TestLostJoinIsAskedForAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx := t.Context()
		_, token := w.invite("Plant 7")
		w.order("SO-1", "Plant 7", 3)
		st := storetest.OpenURL(t, address, w.clock.Now)
		j := satellite.Joiner{Store: st, Keys: t.TempDir(), Catalog: license.DefaultCatalog(), Hosts: []string{"plant.example"}, Version: "test", Now: w.clock.Now}
		var answers [][]byte
		for range 2 { // the first answer is lost
			file, err := j.Request(ctx, token)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := w.top.Answer(ctx, file, satellite.Network)
			if err != nil {
				t.Fatalf("the token was spent for nothing: %v", err)
			}
			answers = append(answers, answer)
			w.clock.Advance(time.Hour)
		}
		if !bytes.Equal(answers[0], answers[1]) {
			t.Error("the same request got another answer")
		}
		if _, err := j.Complete(ctx, answers[1]); err != nil {
			t.Fatal(err)
		}
		plant := w.reopen(st, j.Keys)
		if got := w.row(plant, "").Quantity; got != 3 {
			t.Errorf("the satellite has %d", got)
		}
		w.check(plant)
		// Another program or another name makes another file, for which the token is spent.
		j.Hosts = []string{"other.example"}
		file, err := j.Request(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.top.Answer(ctx, file, satellite.Network)
		wantCode(t, err, "token-used-up")
	})
}

// TestTokensAreMadeAtTheirDesk is the row of section 13.7 about tokens of satellites, and rule 23.
func TestTokensAreMadeAtTheirDesk(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		_, token := w.invite("Plant 7")
		plant := w.join(token, address)
		_, _, err := w.top.CreateToken(t.Context(), admin, w.account.ID, authority.NewToken{VirtualAccount: "Plant 7"})
		wantCode(t, err, "satellite-virtual-account")
		if e := license.AsError(err); e == nil || !strings.Contains(e.Hint, "plant.example") {
			t.Errorf("the refusal does not say where: %v", err)
		}
		_, above, err := w.top.CreateToken(t.Context(), admin, w.account.ID, authority.NewToken{})
		if err != nil {
			t.Fatal(err)
		}
		p := w.register(plant, "", "A1")
		_, err = p.ask(above.Reveal())
		wantCode(t, err, "token-of-authority")
		_, below, err := plant.CreateToken(t.Context(), admin, w.account.ID, authority.NewToken{})
		if err != nil {
			t.Fatal(err)
		}
		q := w.product("A1")
		q.desk = w.top
		_, err = q.ask(below.Reveal())
		wantCode(t, err, "token-of-satellite")
		_, err = q.ask(token)
		wantCode(t, err, "token-for-satellite")
	})
}

// TestVirtualAccountsOfSatellites: a satellite may add virtual accounts and delete none; none of them is the default one, and
// removing the satellite frees them.
func TestVirtualAccountsOfSatellites(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		if _, err := w.top.CreateVirtualAccount(t.Context(), admin, w.account.ID, "Lab"); err != nil {
			t.Fatal(err)
		}
		_, _, err := w.top.Create(t.Context(), admin, w.account.ID, satellite.NewSatellite{Name: "X", VirtualAccounts: []string{"Default"}})
		wantCode(t, err, "default-virtual-account")
		_, token := w.invite("Plant 7", "Lab")
		_, err = w.top.SetDefaultVirtualAccount(t.Context(), admin, w.account.ID, "Lab")
		wantCode(t, err, "satellite-virtual-account")
		wantCode(t, w.top.DeleteVirtualAccount(t.Context(), admin, w.account.ID, "Lab"), "satellite-virtual-account")
		plant := w.join(token, address)
		if _, err := plant.CreateVirtualAccount(t.Context(), admin, w.account.ID, "Default"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, plant.DeleteVirtualAccount(t.Context(), admin, w.account.ID, "Default"), "at-satellite")
		_, err = plant.CreateAccount(t.Context(), admin, "other")
		wantCode(t, err, "at-satellite")
		w.order("SO-1", "Lab", 4)
		w.sync(plant)
		if _, err := plant.Transfer(t.Context(), admin, w.account.ID, authority.Transfer{Tag: smp, Quantity: 3, From: "Lab", To: "Default"}); err != nil {
			t.Fatal(err)
		}
		w.sync(plant)
		w.check(plant)
		if got := w.row(w.top, "Default (Plant 7)").Quantity; got != 3 {
			t.Errorf("the authority sees %d in the virtual account that the satellite made, want 3", got)
		}
		if _, err := w.top.Sync.Remove(t.Context(), admin, w.account.ID, "Plant 7", false); err != nil {
			t.Fatal(err)
		}
		w.sync(plant)
		if got := w.row(plant, "Lab").Quantity + w.row(plant, "Default").Quantity; got != 0 {
			t.Errorf("the satellite kept %d", got)
		}
		w.sync(plant)
		w.check(plant)
		list, _, err := w.top.VirtualAccounts(t.Context(), admin, w.account.ID, authority.Page{})
		for _, v := range list {
			if v.Satellite != "" || err != nil {
				t.Errorf("%q still belongs to a satellite", v.Name)
			}
		}
		if got := w.row(w.top, "Lab").Quantity + w.row(w.top, "Default (Plant 7)").Quantity; got != 4 {
			t.Errorf("%d came back, want 4", got)
		}
		out, refused := w.exchange(plant)
		if wantCode(t, refused, "satellite-removed"); !out.Removed {
			t.Errorf("the satellite did not take the removal: %+v", out)
		}
	})
}

// TestTakingBackWaitsForTheSatellite: what the authority takes back is free only when the satellite has let go of it.
func TestTakingBackWaitsForTheSatellite(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		_, token := w.invite("Plant 7")
		w.order("SO-1", "Plant 7", 10)
		plant := w.join(token, address)
		p := w.register(plant, "", "A1")
		p.mustReport(8, license.StatusAuthorized)
		w.sync(plant)
		moved, err := w.top.Transfer(t.Context(), admin, w.account.ID, authority.Transfer{Tag: smp, Quantity: 4, From: "Plant 7", To: "Default"})
		if err != nil || moved.Asked != 4 || moved.InUse != 8 || moved.Left != 6 || len(moved.Lots) != 0 {
			t.Fatalf("transfer: %+v, %v", moved, err)
		}
		if got := w.row(w.top, "Default").Quantity; got != 0 {
			t.Errorf("%d are free before the satellite let go", got)
		}
		_, err = w.top.Transfer(t.Context(), admin, w.account.ID, authority.Transfer{Tag: smp, Quantity: 7, From: "Plant 7", To: "Default"})
		wantCode(t, err, "not-enough")
		if got := w.sync(plant); got.GivenBack != 4 {
			t.Errorf("the satellite gave back %d", got.GivenBack)
		}
		if got, at := w.row(w.top, "Default").Quantity, w.row(plant, ""); got != 0 || at.Quantity != 6 || at.Shortage != 2 {
			t.Errorf("%d are free before the satellite said so; it has %+v", got, at.Row)
		}
		w.check(plant)
		w.sync(plant)
		if got := w.row(w.top, "Default").Quantity; got != 4 {
			t.Errorf("%d came back, want 4", got)
		}
		w.sync(plant)
		w.check(plant)
	})
}

// TestTakingBackFromSeveralVirtualAccounts: what is left in one of them does not count what was asked of another, and what a satellite
// passed on between them is not told as held by reservations when it has given all of it back.
func TestTakingBackFromSeveralVirtualAccounts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		_, token := w.invite("Plant 7")
		w.order("SO-1", "Plant 7", 20)
		plant := w.join(token, address)
		if _, err := plant.CreateVirtualAccount(ctx, admin, id, "Line 2"); err != nil {
			t.Fatal(err)
		}
		if _, err := plant.Transfer(ctx, admin, id, authority.Transfer{Tag: smp, Quantity: 5, From: "Plant 7", To: "Line 2"}); err != nil {
			t.Fatal(err)
		}
		w.sync(plant)
		for _, ask := range []struct {
			from    string
			n, left int64
		}{{"Line 2", 3, 2}, {"Plant 7", 5, 10}, {"Plant 7", 5, 5}} {
			moved, err := w.top.Transfer(ctx, admin, id, authority.Transfer{Tag: smp, Quantity: ask.n, From: ask.from, To: "Default"})
			if err != nil || moved.Asked != ask.n || moved.Left != ask.left {
				t.Errorf("%d of %s: %+v, %v, want %d left", ask.n, ask.from, moved, err, ask.left)
			}
		}
		for range 2 {
			w.sync(plant)
		}
		if _, err := w.top.Sync.Remove(ctx, admin, id, "Plant 7", false); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if out, _ := w.exchange(plant); slices.ContainsFunc(out.Findings, func(f license.Fact) bool { return f.Code == license.FactSyncShort }) {
				t.Errorf("nothing is held there, and it says %+v", out.Findings)
			}
		}
		if st, err := plant.Status(ctx, admin, id); err != nil || !st.Removed || len(st.Findings) != 1 {
			t.Errorf("the satellite shows %+v, %v", st, err)
		}
		w.check(plant)
		if got := w.row(w.top, "Default").Quantity + w.row(w.top, "Plant 7").Quantity + w.row(w.top, "Line 2").Quantity; got != 20 {
			t.Errorf("%d of 20 are back", got)
		}
	})
}

// TestFilesAreHarmless: the same file twice, late, out of order, for another site, cut off or altered does no harm and says which.
func TestFilesAreHarmless(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		_, token := w.invite("Plant 7")
		_, other := w.invite("Plant 8")
		w.order("SO-1", "Plant 7", 3)
		plant, second := w.join(token, address), w.join(other, t.TempDir()+"/second.db")
		ctx, id := t.Context(), w.account.ID
		export := func(d *desk) []byte {
			file, err := d.Export(ctx, admin, id, satellite.File)
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
		first, newest := export(plant), export(plant)
		a, err := w.top.Answer(ctx, newest, satellite.File)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := w.top.Answer(ctx, newest, satellite.File); err != nil || !bytes.Equal(a, again) {
			t.Errorf("the same file again: %v, same answer %v", err, bytes.Equal(a, again))
		}
		late, err := w.top.Answer(ctx, first, satellite.File)
		wantCode(t, err, "sync-behind")
		if got, err := plant.Apply(ctx, admin, id, late, satellite.File); err != nil || !got.Old || got.Restored {
			t.Errorf("the refusal of a late file: %+v, %v", got, err)
		}
		_, err = second.Apply(ctx, admin, id, a, satellite.File)
		wantCode(t, err, "file-other-site")
		_, err = plant.Apply(ctx, admin, id, a[:len(a)/2], satellite.File)
		wantCode(t, err, "file-cut-off")
		_, err = plant.Apply(ctx, admin, id, bytes.Replace(a, []byte(`"granted":3`), []byte(`"granted":9`), 1), satellite.File)
		wantCode(t, err, "file-altered")
		_, err = plant.Apply(ctx, admin, id, bytes.ReplaceAll(a, []byte("\n"), []byte("\r\n")), satellite.File)
		wantCode(t, err, "file-line-ends")
		_, err = plant.Apply(ctx, admin, id, newest, satellite.File)
		if err == nil {
			t.Error("a satellite applies a file of a satellite")
		}
		_, err = w.top.Answer(ctx, a, satellite.File)
		if err == nil {
			t.Error("an authority answers an answer")
		}
		for i, want := range []bool{false, true, true} {
			if got, err := plant.Apply(ctx, admin, id, a, satellite.File); err != nil || got.Old != want {
				t.Errorf("apply %d: %+v, %v", i, got, err)
			}
		}
		w.check(plant, second)
		if got := w.row(plant, "").Quantity; got != 3 {
			t.Errorf("the satellite has %d", got)
		}
		w.sync(plant)
		w.check(plant)
	})
}
