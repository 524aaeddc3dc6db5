package satellite_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// closed is a product on a closed site behind a satellite, known by its codes only.
type closed struct {
	w         *world
	udi       string
	sequence  int
	id        string // of its reservation
	installed wire.Reservation
}

func (w *world) closed(serial string) *closed {
	return &closed{w: w, udi: wire.Product{PID: "CMS", Serial: serial}.UDI()}
}

// reserve asks a desk for licenses with a new request code.
func (c *closed) reserve(d *desk, n int64) error {
	c.w.t.Helper()
	c.sequence++
	code, err := trust.NewRequestCode(c.udi, c.sequence)
	if err != nil {
		c.w.t.Fatal(err)
	}
	r, err := d.Reserve(c.w.t.Context(), admin, c.w.account.ID, authority.NewReservation{Request: code.String(), Licenses: map[license.Tag]int64{smp: n}})
	if err == nil {
		c.id = r.ID
		c.install(d, r.Authorization)
	}
	return err
}

// install opens an authorization as a product of a desk does.
func (c *closed) install(d *desk, file []byte) {
	c.w.t.Helper()
	keys := d.Keys()
	e, err := trust.OpenAuthorityFile(file, []string{wire.KindReservation}, wire.AudienceReservation, trust.Pins{Root: keys.Fingerprint(), Site: keys.Site()}, c.w.clock.Now())
	if err != nil {
		c.w.t.Fatalf("open authorization: %v", err)
	}
	if c.installed, err = wire.ParseReservation(e.Payload); err != nil {
		c.w.t.Fatal(err)
	}
}

func (c *closed) code(kind trust.CodeKind) string {
	c.w.t.Helper()
	key, err := trust.ParseCodeKey(c.installed.Key)
	if err != nil {
		c.w.t.Fatal(err)
	}
	code, err := key.Sign(kind, c.udi, c.installed.Sequence, c.installed.Version)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return code.String()
}

func (c *closed) giveBack(d *desk) error {
	_, err := d.ReturnReservation(c.w.t.Context(), admin, c.w.account.ID, c.id, c.code(trust.CodeReturn))
	return err
}

// reserved is a satellite with 10 licenses, of which a product on a closed site has reserved 4.
func (w *world) reserved(address string) (*desk, *closed) {
	w.t.Helper()
	_, token := w.invite("Plant 7")
	w.order("SO-1", "Plant 7", 10)
	plant, b := w.join(token, address), w.closed("B1")
	if err := b.reserve(plant, 4); err != nil {
		w.t.Fatal(err)
	}
	return plant, b
}

// standing is what a desk shows of the virtual accounts that a satellite has: every number of every license, and what is held lot by
// lot. The names of virtual accounts may differ on the two sides.
func (w *world) standing(d, sat *desk) string {
	w.t.Helper()
	ctx, id := w.t.Context(), w.account.ID
	vas, _, err := sat.VirtualAccounts(ctx, admin, id, authority.Page{})
	if err != nil {
		w.t.Fatal(err)
	}
	var out strings.Builder
	for _, va := range vas {
		rows, err := d.Licenses(ctx, admin, id, va.ID)
		if license.AsError(err) != nil {
			continue // made at the satellite, and not heard of above yet
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range rows {
			if r.Quantity != r.InUse+r.Lent+r.Reserved+r.Available-r.Shortage-r.Borrowed {
				w.t.Fatalf("rule 7: %+v", r.Row)
			}
			fmt.Fprintf(&out, "%s %s: %d bought, %d in use, %d reserved, %d lent, %d borrowed, %d available, %d short, %s\n",
				va.ID, r.Tag, r.Quantity, r.InUse, r.Reserved, r.Lent, r.Borrowed, r.Available, r.Shortage, r.Status)
		}
		lots, err := d.Lots(ctx, admin, id, va.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, l := range lots {
			fmt.Fprintf(&out, "%s %s: %d, %d reserved\n", va.ID, l.ID, l.Quantity, l.Reserved)
		}
	}
	return out.String()
}

// agree fails when authority and satellite do not show the same of the satellite's virtual accounts.
func (w *world) agree(sat *desk) {
	w.t.Helper()
	if above, below := w.standing(w.top, sat), w.standing(sat, sat); above != below {
		w.t.Fatalf("the authority shows\n%sand the satellite\n%s", above, below)
	}
	w.check(sat)
}

// TestReservedAtASatellite: what reservations hold at a satellite is in its file, and its authority shows the same numbers, also
// where a reservation makes others short.
func TestReservedAtASatellite(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		_, token := w.invite("Plant 7")
		w.order("SO-1", "Plant 7", 6)
		w.order("SO-2", "Plant 7", 4)
		plant := w.join(token, address)
		w.sync(plant)
		w.agree(plant)
		b := w.closed("B1")
		if err := b.reserve(plant, 7); err != nil {
			t.Fatal(err)
		}
		preview, err := plant.Preview(ctx, admin, id)
		if want := `# Reservations hold 7 of cms-smp-plus in the virtual account "Plant 7".` + "\nreserved {"; err != nil || !bytes.Contains(preview, []byte(want)) {
			t.Errorf("the preview does not say what is reserved: %v\n%s", err, preview)
		}
		w.sync(plant)
		w.agree(plant)
		if r := w.row(w.top, "Plant 7"); r.Quantity != 10 || r.Reserved != 7 || r.Available != 3 {
			t.Errorf("the authority shows %+v", r.Row)
		}
		p := w.register(plant, "", "A1")
		p.mustReport(5, license.StatusOutOfCompliance)
		w.sync(plant)
		w.agree(plant)
		if r := w.row(w.top, "Plant 7"); r.Shortage != 2 || r.Status != license.OutOfCompliance {
			t.Errorf("the authority does not see what the reservation makes short: %+v", r.Row)
		}
		p.mustReport(0, license.StatusNone)

		// Taking back says how much of it reservations hold; that comes when they are returned.
		moved, err := w.top.Transfer(ctx, admin, id, transferBack(5))
		if err != nil || moved.Asked != 5 || moved.Reserved != 2 {
			t.Fatalf("taking 5 of 3 free and 7 reserved back: %+v, %v", moved, err)
		}
		moved, err = w.top.Transfer(ctx, admin, id, transferBack(1))
		if err != nil || moved.Asked != 1 || moved.Reserved != 1 {
			t.Fatalf("one more: %+v, %v", moved, err)
		}
		_, err = w.top.Transfer(ctx, admin, id, transferBack(5))
		wantCode(t, err, "not-enough")
		for range 3 {
			w.sync(plant)
		}
		w.agree(plant)
		if here, there := w.row(w.top, "Default").Quantity, w.row(w.top, "Plant 7"); here != 3 || there.Quantity != 7 || there.Reserved != 7 {
			t.Errorf("%d came back, and the authority shows %+v", here, there.Row)
		}
		shown, err := w.top.Show(ctx, admin, id, "Plant 7")
		if err != nil || shown.Consigned != 7 || shown.Reserved != 7 || shown.Asked != 3 {
			t.Fatalf("the authority shows %+v, %v", shown, err)
		}
		if f := shown.Findings[len(shown.Findings)-1]; f.Code != license.FactSyncWaiting || f.Count != 3 || f.Of != 3 {
			t.Errorf("the finding is %+v", f)
		}
		if err := b.giveBack(plant); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			w.sync(plant)
		}
		w.agree(plant)
		if here, there := w.row(w.top, "Default").Quantity, w.row(w.top, "Plant 7"); here != 6 || there.Quantity != 4 || there.Reserved != 0 {
			t.Errorf("after the return %d came back, and the authority shows %+v", here, there.Row)
		}
	})
}

// TestReservedUntilRemoved: a satellite that is removed goes when its reservations are returned, and says what it waits for.
func TestReservedUntilRemoved(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		plant, b := w.reserved(address)
		p := w.register(plant, "", "A1")
		p.mustReport(3, license.StatusAuthorized)
		w.sync(plant)
		if _, err := w.top.Sync.Remove(ctx, admin, id, "Plant 7", false); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if out := w.sync(plant); len(out.Findings) == 0 || out.Findings[0].Code != license.FactSyncLeaving {
				t.Errorf("the satellite is not told that it is being removed: %+v", out)
			}
		}
		w.check(plant)
		if st, err := plant.Status(ctx, admin, id); err != nil || !st.Leaving || len(st.Findings) != 2 || st.Findings[0].Code != license.FactSyncLeaving ||
			st.Findings[1].Code != license.FactSyncShort || st.Findings[1].Tag != string(smp) || st.Findings[1].Count != 4 {
			t.Errorf("the satellite shows %+v, %v", st, err)
		}
		// What came back covers nothing of what is used there, and both sides say so.
		for _, d := range []*desk{w.top, plant} {
			if r := w.row(d, "Plant 7"); r.Quantity != 4 || r.Reserved != 4 || r.Available != 0 || r.InUse != 3 || r.Shortage != 3 || r.Why[len(r.Why)-1].Code != license.FactHelpDesk {
				t.Errorf("what is free came back, and what is reserved did not: %+v", r.Row)
			}
		}
		if r := w.row(w.top, "Plant 7"); !slices.ContainsFunc(r.Why, func(f license.Fact) bool { return f.Code == license.FactCameBack && f.Count == 6 }) {
			t.Errorf("what came back is not told: %+v", r.Why)
		}
		lots, err := w.top.Lots(ctx, admin, id, "Plant 7")
		if err != nil || len(lots) != 1 || lots[0].Quantity != 4 || lots[0].Reserved != 4 || lots[0].Back != 6 {
			t.Errorf("the lots do not say what came back: %+v, %v", lots, err)
		}
		moved, err := w.top.Transfer(ctx, admin, id, transferBack(2))
		if err != nil || moved.Asked != 0 || w.row(w.top, "Default").Available != 2 {
			t.Errorf("what came back is not at hand: %+v, %v", moved, err)
		}
		// Whoever asks for the reservations above is told where they are.
		_, err = w.top.Reservation(ctx, admin, id, b.udi)
		if no := license.AsError(err); no == nil || no.Code != "not-found" || !strings.Contains(no.Hint, `4 licenses at the satellite "Plant 7"`) {
			t.Errorf("the authority says of a reservation there: %+v", no)
		}
		shown, err := w.top.Show(ctx, admin, id, "Plant 7")
		if err != nil || !shown.Leaving || shown.Asked != 4 || shown.Reserved != 4 {
			t.Fatalf("the authority shows %+v, %v", shown, err)
		}
		if f := shown.Findings[len(shown.Findings)-1]; f.Code != license.FactSyncWaiting || f.Count != 4 || f.Of != 4 {
			t.Errorf("the finding is %+v", f)
		}
		if err := b.giveBack(plant); err != nil {
			t.Fatal(err)
		}
		w.sync(plant)
		w.check(plant)
		if r := w.row(w.top, "Plant 7"); r.Quantity != 8 || r.Reserved != 0 || r.Shortage != 0 {
			t.Errorf("after the removal: %+v", r.Row)
		}
		if shown, err = w.top.Show(ctx, admin, id, shown.ID); err != nil || shown.State != license.SatelliteRemoved {
			t.Errorf("the authority shows %+v, %v", shown, err)
		}
	})
}

// TestReservedInOldFiles: the same file twice, late or out of order leaves what the newest said.
func TestReservedInOldFiles(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		_, token := w.invite("Plant 7")
		w.order("SO-1", "Plant 7", 10)
		plant := w.join(token, address)
		w.sync(plant)
		b, files := w.closed("B1"), [][]byte{}
		export := func() {
			file, err := plant.Export(ctx, admin, id, satellite.File)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		export()
		if err := b.reserve(plant, 4); err != nil {
			t.Fatal(err)
		}
		export()
		if err := b.giveBack(plant); err != nil {
			t.Fatal(err)
		}
		export()
		for _, step := range []struct {
			file     int
			reserved int64
			code     string
		}{{1, 4, ""}, {1, 4, ""}, {0, 4, "sync-behind"}, {2, 0, ""}, {1, 0, "sync-behind"}, {2, 0, ""}} {
			_, err := w.top.Answer(ctx, files[step.file], satellite.File)
			if step.code == "" && err != nil {
				t.Fatal(err)
			} else if step.code != "" {
				wantCode(t, err, step.code)
			}
			if r := w.row(w.top, "Plant 7"); r.Quantity != 10 || r.Reserved != step.reserved {
				t.Fatalf("after file %d the authority shows %+v", step.file, r.Row)
			}
			w.check()
		}
		w.agree(plant)
	})
}

// TestReservationsOfARestoredSatellite: a database that went back to before a reservation, or was lost, is noticed; what was
// reserved is named until somebody settles it, and counts neither twice nor below zero.
func TestReservationsOfARestoredSatellite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, filepath.Join(dir, "top.db"))
	ctx, id := t.Context(), w.account.ID
	_, token := w.invite("Plant 7")
	w.order("SO-1", "Plant 7", 10)
	keys, path, backup := filepath.Join(dir, "keys"), filepath.Join(dir, "sat.db"), filepath.Join(dir, "backup.db")
	w.join0(token, path, keys)
	plant := w.reopenAt(path, keys)
	w.sync(plant)
	plant = w.backup(plant, &path, backup, keys)
	if err := w.closed("B1").reserve(plant, 4); err != nil {
		t.Fatal(err)
	}
	w.sync(plant)
	w.agree(plant)
	forgot := func() (facts []license.Fact) {
		shown, err := w.top.Show(ctx, admin, id, "Plant 7")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range shown.Findings {
			if f.Code == license.FactSyncForgot {
				facts = append(facts, f)
			}
		}
		return facts
	}
	if err := plant.store.Close(); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(dir, "restored.db")
	copyFile(t, backup, restored)
	plant = w.reopenAt(restored, keys)
	if out, _ := w.exchange(plant); !out.Restored {
		t.Fatalf("the satellite did not notice: %+v", out)
	}
	w.sync(plant)
	w.agree(plant)
	if got := forgot(); len(got) != 1 || got[0].Count != 4 || got[0].Of != 0 || got[0].Since.IsZero() {
		t.Fatalf("what was forgotten: %+v", got)
	}
	w.sync(plant)
	if got := forgot(); len(got) != 1 {
		t.Fatalf("after another exchange: %+v", got)
	}
	for range 2 {
		if shown, err := w.top.Settle(ctx, admin, id, "Plant 7"); err != nil || len(shown.Findings) != 0 {
			t.Fatalf("settled: %+v, %v", shown.Findings, err)
		}
	}
	w.sync(plant)
	if shown, err := w.top.Show(ctx, admin, id, "Plant 7"); err != nil || len(shown.Findings) != 0 {
		t.Fatalf("after settling: %+v, %v", shown.Findings, err)
	}
	// Lost altogether.
	b := w.closed("B2")
	if err := b.reserve(plant, 3); err != nil {
		t.Fatal(err)
	}
	w.sync(plant)
	_, again, err := w.top.Invite(ctx, admin, id, "Plant 7", 0)
	if err != nil {
		t.Fatal(err)
	}
	fresh := w.join(again.Reveal(), filepath.Join(dir, "fresh.db"))
	w.sync(fresh)
	w.agree(fresh)
	if got := forgot(); len(got) != 1 || got[0].Count != 3 {
		t.Fatalf("what was forgotten: %+v", got)
	}
	if r := w.row(fresh, ""); r.Quantity != 10 || r.Reserved != 0 {
		t.Errorf("after the rebuild: %+v", r.Row)
	}
}

// TestAuthorizationAfterARenewal: shown again, an authorization is the same bytes until the certificate of its desk is renewed, which
// a satellite's is with each synchronization; then it is the same authorization with the newer certificate, and products take either.
func TestAuthorizationAfterARenewal(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		plant, b := w.reserved(address)
		show := func() []byte {
			r, err := plant.Reservation(t.Context(), admin, w.account.ID, b.id)
			if err != nil {
				t.Fatal(err)
			}
			return r.Authorization
		}
		first, code := show(), b.code(trust.CodeConfirmation)
		if !bytes.Equal(first, show()) {
			t.Error("shown twice, it differs")
		}
		w.clock.Advance(24 * time.Hour)
		w.sync(plant)
		second := show()
		cut := func(file []byte) []byte { return file[:bytes.Index(file, []byte("-----BEGIN"))] }
		if bytes.Equal(first, second) || !bytes.Equal(cut(first), cut(second)) {
			t.Errorf("after a renewal:\n%s\nand before\n%s", second, first)
		}
		for _, file := range [][]byte{first, second} {
			if b.install(plant, file); b.code(trust.CodeConfirmation) != code {
				t.Error("it makes another code")
			}
		}
		if r, err := plant.ConfirmReservation(t.Context(), admin, w.account.ID, b.id, code); err != nil || r.State != license.ReservationConfirmed {
			t.Errorf("confirmed: %+v, %v", r, err)
		}
	})
}

// TestIntroducedAfterItWasSetBack: a product that brings itself to a desk and remembers fewer requests for reservations than that one
// answered was set back; the reservation that it may hold says so, as when it registers with a token (rule 43).
func TestIntroducedAfterItWasSetBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, filepath.Join(dir, "top.db"))
	_, token := w.invite("Plant 7")
	w.order("SO-1", "Plant 7", 10)
	keys, path, backup := filepath.Join(dir, "keys"), filepath.Join(dir, "sat.db"), filepath.Join(dir, "backup.db")
	w.join0(token, path, keys)
	plant, b := w.reopenAt(path, keys), w.closed("B1")
	w.sync(plant)
	if err := b.reserve(plant, 4); err != nil {
		t.Fatal(err)
	}
	first := b.id
	if err := errors.Join(b.giveBack(plant), b.reserve(plant, 2)); err != nil {
		t.Fatal(err)
	}
	if err := b.giveBack(plant); err != nil {
		t.Fatal(err)
	}
	plant = w.backup(plant, &path, backup, keys)
	p := w.register(plant, "", "B1")
	w.sync(plant)
	if err := plant.store.Close(); err != nil {
		t.Fatal(err)
	}
	p.desk = w.reopenAt(backup, keys)
	if out, _ := w.exchange(p.desk); !out.Restored {
		t.Fatalf("the satellite did not notice: %+v", out)
	}
	w.sync(p.desk)
	p.requests = 1
	for range 2 {
		if err := p.introduce(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := p.desk.Reservation(t.Context(), admin, w.account.ID, first)
	if err != nil || !slices.ContainsFunc(got.Findings, func(f license.Fact) bool { return f.Code == license.FactRevived && f.Count == 1 }) {
		t.Errorf("the reservation says %+v, %v", got.Findings, err)
	}
}
