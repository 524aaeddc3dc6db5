package satellite_test

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
)

// TestSection138States is section 13.8 as an authority sees it, state by state: what is shown and what it leads to. Nothing of it
// takes anything from a product behind the satellite, and the next good exchange makes it good again.
func TestSection138States(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		made, token := w.invite("Plant 7")
		want := func(state license.SatelliteState, findings ...string) {
			t.Helper()
			got, err := w.top.Show(ctx, admin, id, made.ID)
			if err != nil || got.State != state || len(got.Findings) != len(findings) {
				t.Fatalf("the authority shows %s with %+v, %v; want %s with %v", got.State, got.Findings, err, state, findings)
			}
			for i, f := range got.Findings {
				if f.Code != findings[i] {
					t.Errorf("%s: finding %s, want %s", state, f.Code, findings[i])
				}
			}
		}
		never := license.SatellitePending
		if got, err := w.top.Show(ctx, admin, id, made.ID); err != nil || got.State != never {
			t.Fatalf("an invited one is %s, %v", got.State, err)
		}
		w.order("SO-1", "Plant 7", 5)
		plant := w.join(token, address)
		if got, err := w.top.Show(ctx, admin, id, made.ID); err != nil || got.State != never {
			t.Fatalf("one that has joined and not synchronized is %s, %v", got.State, err)
		}
		p := w.register(plant, "", "A1")
		p.mustReport(4, license.StatusAuthorized)
		file, reply := w.files(plant)
		want(license.SatelliteOK)
		w.clock.Advance(30 * day)
		want(license.SatelliteOK)
		w.clock.Advance(time.Second)
		want(license.SatelliteDue, license.FactSyncDue)
		w.clock.Advance(30 * day)
		want(license.SatelliteOverdue, license.FactSyncOverdue)

		// A file that was answered before is no exchange.
		again, err := w.top.Answer(ctx, file, "file")
		if err != nil || string(again) != string(reply) {
			t.Errorf("an old file got another answer: %v", err)
		}
		want(license.SatelliteOverdue, license.FactSyncOverdue)
		w.clock.Advance(30 * day)
		want(license.SatelliteRemoved, license.FactSyncGone)

		// What is known of it stays visible, and what is its own stays its own: nothing counts twice.
		if r := w.row(w.top, "Plant 7"); r.Quantity != 5 || r.InUse != 4 {
			t.Errorf("the authority shows %+v", r.Row)
		}
		in, _, err := w.top.Instances(ctx, admin, id, "", authority.Page{})
		if err != nil || len(in) != 1 || in[0].Usage[0].Count != 4 {
			t.Errorf("its products are %+v, %v", in, err)
		}
		_, _, err = w.top.CreateToken(ctx, admin, id, authority.NewToken{VirtualAccount: "Plant 7"})
		wantCode(t, err, "satellite-virtual-account")
		p.mustReport(5, license.StatusAuthorized)
		w.register(plant, "", "A2").mustReport(1, license.StatusOutOfCompliance)
		w.check(plant)

		w.sync(plant)
		want(license.SatelliteOK)
		if r := w.row(w.top, "Plant 7"); r.InUse != 6 {
			t.Errorf("after the next exchange: %+v", r.Row)
		}

		// By an administrator, for one that is lost.
		if _, err := w.top.Sync.Remove(ctx, admin, id, "Plant 7", true); err != nil {
			t.Fatal(err)
		}
		want(license.SatelliteRemoved, license.FactSyncLost)
		in, _, err = w.top.Instances(ctx, admin, id, "", authority.Page{})
		if err != nil || len(in) != 2 {
			t.Errorf("its products are %+v, %v", in, err)
		}
		if _, _, err = w.top.CreateToken(ctx, admin, id, authority.NewToken{VirtualAccount: "Plant 7"}); err != nil {
			t.Errorf("its virtual account is not free: %v", err)
		}
		p.mustReport(5, license.StatusOutOfCompliance) // with the other one: it is short by one, and works
		out, refused := w.exchange(plant)
		if wantCode(t, refused, "satellite-removed"); !out.Removed {
			t.Errorf("the satellite does not hear of it: %+v", out)
		}
		w.check(plant)
	})
}

// files does one whole exchange and returns its file and the answer.
func (w *world) files(d *desk) (file, reply []byte) {
	w.t.Helper()
	file, err := d.Export(w.t.Context(), admin, w.account.ID, "file")
	if err != nil {
		w.t.Fatal(err)
	}
	if reply, err = w.top.Answer(w.t.Context(), file, "file"); err != nil {
		w.t.Fatal(err)
	}
	if _, err = d.Apply(w.t.Context(), admin, w.account.ID, reply, "file"); err != nil {
		w.t.Fatal(err)
	}
	return file, reply
}
