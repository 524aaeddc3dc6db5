package satellite_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
)

// TestMutantsAreRefused bends files by bytes, cuts and exchanged parts: none is taken, and nothing changes (reliability, section
// 2, row 8). TALLY_TEST_MUTANTS sets how many.
func TestMutantsAreRefused(t *testing.T) {
	t.Parallel()
	n := 2000
	if text := os.Getenv("TALLY_TEST_MUTANTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, filepath.Join(t.TempDir(), "top.db"))
	_, token := w.invite("Plant 7")
	w.order("SO-1", "Plant 7", 3)
	plant := w.join(token, filepath.Join(t.TempDir(), "sat.db"))
	w.register(plant, "", "A1")
	up, err := plant.Export(t.Context(), admin, w.account.ID, satellite.File)
	if err != nil {
		t.Fatal(err)
	}
	down, err := w.top.Answer(t.Context(), up, satellite.File)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < n; i++ {
		b := bytes.Clone([][]byte{up, down}[i%2])
		switch at := random.IntN(len(b)); random.IntN(4) {
		case 0:
			b[at] ^= byte(1 + random.IntN(255))
		case 1:
			b = b[:at]
		case 2:
			other := random.IntN(len(b))
			if b[at] == b[other] {
				i--
				continue // nothing would change
			}
			b[at], b[other] = b[other], b[at]
		case 3:
			b = append(b[:at], append([]byte{byte(random.IntN(256))}, b[at:]...)...)
		}
		if reply, err := w.top.Answer(t.Context(), b, satellite.File); err == nil || reply != nil {
			t.Fatalf("mutant %d is answered", i)
		}
		if _, err := plant.Apply(t.Context(), admin, w.account.ID, b, satellite.File); err == nil {
			t.Fatalf("mutant %d is applied", i)
		}
	}
	t.Logf("%d files were bent, none was taken", n)
	w.check(plant)
}

// TestTenThousandProducts: full synchronization of 10,000 products behind one satellite by file, below 5 s each way and below 5 MiB.
func TestTenThousandProducts(t *testing.T) {
	w := newWorld(t, filepath.Join(t.TempDir(), "top.db"))
	_, token := w.invite("Plant 7")
	plant := w.join(token, filepath.Join(t.TempDir(), "sat.db"))
	fill(t, w, plant, 10_000)
	measure := func(what string, fn func() []byte) []byte {
		began := time.Now()
		file := fn()
		took := time.Since(began)
		t.Logf("%s: %v, %d bytes", what, took.Round(time.Millisecond), len(file))
		if took > slower*5*time.Second || len(file) > 5<<20 {
			t.Errorf("%s: %v and %d bytes, want below 5 s and 5 MiB", what, took, len(file))
		}
		return file
	}
	must := func(file []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	up := measure("export", func() []byte { return must(plant.Export(t.Context(), admin, w.account.ID, satellite.File)) })
	down := measure("answer", func() []byte { return must(w.top.Answer(t.Context(), up, satellite.File)) })
	measure("apply", func() []byte {
		_, err := plant.Apply(t.Context(), admin, w.account.ID, down, satellite.File)
		return must(nil, err)
	})
	shown, err := w.top.Show(t.Context(), admin, w.account.ID, "Plant 7")
	if err != nil || shown.Instances != 10_000 {
		t.Errorf("the authority sees %d products, %v", shown.Instances, err)
	}
	w.check(plant)
	// The same the other way: the database is lost, and everything comes back.
	_, again, err := w.top.Invite(t.Context(), admin, w.account.ID, "Plant 7", 0)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	fresh := w.join(again.Reveal(), filepath.Join(t.TempDir(), "fresh.db"))
	if took := time.Since(began); took > slower*15*time.Second {
		t.Errorf("rebuilding took %v", took)
	}
	if got := w.row(fresh, "").InUse; got != 10_000 {
		t.Errorf("%d in use after the rebuild", got)
	}
	w.check(fresh)
}

// fill writes products straight into a satellite's tables, as 10,000 registrations would take long.
func fill(t *testing.T, w *world, plant *desk, n int) {
	t.Helper()
	err := plant.store.Update(t.Context(), "fill", func(tx *store.Tx) error {
		vas, err := tx.VAs(t.Context(), db.VAsParams{AccountID: w.account.ID, Page: 1})
		if err != nil {
			return err
		}
		va, now := vas[0].VaID, store.Ms(storetest.Start())
		var uses []db.InstanceUsage
		key, err := trust.MarshalPublicKey(&trust.NewProductKey().PublicKey)
		if err != nil {
			return err
		}
		for i := range n {
			id := trust.NewID("ins", storetest.Start().Add(time.Duration(i)*time.Millisecond))
			serial := fmt.Sprintf("FOC%08d", i)
			if err := tx.InsertInstance(t.Context(), db.InsertInstanceParams{
				AccountID: w.account.ID, InstanceID: id, VaID: va, Udi: "PID:CMS-1000,SN:" + serial, Pid: "CMS-1000", Serial: serial, Product: "Call Bridge", Version: "3.2.1",
				Hostname: "callbridge-" + strconv.Itoa(i) + ".plant7.example", State: "ACTIVE", Incarnation: 1, RegisteredAt: now, RenewedAt: now, PublicKey: key,
				Prepared: []byte("{}"), Certificate: []byte{}, ExpiresAt: now + 31536000000, Status: "AUTHORIZED", StatusAt: now,
			}); err != nil {
				return err
			}
			uses = append(uses, db.InstanceUsage{AccountID: w.account.ID, InstanceID: id, Tag: string(smp), VaID: va, Quantity: 1, SinceAt: now})
		}
		if err := tx.PutUsage(t.Context(), uses); err != nil {
			return err
		}
		return tx.PutDemand(t.Context(), db.PutDemandParams{AccountID: w.account.ID, VaID: va, Tag: string(smp), Quantity: int64(n)})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPrivateNamesStay is rule 52: what is marked private is in no byte of the file.
func TestPrivateNamesStay(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		_, token := w.invite("Plant 7")
		plant := w.join(token, address)
		p := w.register(plant, "", "A1")
		p.host = "secret-host.internal"
		q := w.register(plant, "", "A2")
		q.host = "192.0.2.77"
		for _, one := range []*product{p, q} {
			if _, err := one.report(1); err != nil {
				t.Fatal(err)
			}
		}
		export := func(private ...string) []byte {
			if err := plant.SetPrivacy(t.Context(), admin, w.account.ID, private); err != nil {
				t.Fatal(err)
			}
			preview, err := plant.Preview(t.Context(), admin, w.account.ID)
			if err != nil {
				t.Fatal(err)
			}
			file, err := plant.Export(t.Context(), admin, w.account.ID, satellite.File)
			if err != nil || !bytes.HasPrefix(file, preview) {
				t.Fatalf("what was shown is not what left: %v", err)
			}
			return file
		}
		host, address4 := []byte("secret-host"), []byte(net.ParseIP("192.0.2.77").String())
		if file := export(); !bytes.Contains(file, host) || !bytes.Contains(file, address4) {
			t.Error("names are missing that are not private")
		}
		if file := export(satellite.PrivateHosts); bytes.Contains(file, host) || !bytes.Contains(file, address4) {
			t.Error("host names leave the site, or addresses do not")
		}
		first, second := export(satellite.PrivateHosts, satellite.PrivateAddresses), export(satellite.PrivateHosts, satellite.PrivateAddresses)
		if bytes.Contains(first, host) || bytes.Contains(first, address4) || bytes.Contains(first, []byte("key_test")) {
			t.Error("private names leave the site")
		}
		if a, b := pseudonyms(t, first), pseudonyms(t, second); len(a) != 2 || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("pseudonyms %v and %v", a, b)
		}
		wantCode(t, plant.SetPrivacy(t.Context(), admin, w.account.ID, []string{"everything"}), "bad-privacy")
	})
}

func pseudonyms(t *testing.T, file []byte) []string {
	t.Helper()
	var out []string
	for line := range bytes.Lines(file) {
		if text, ok := bytes.CutPrefix(line, []byte("instance ")); ok {
			var in struct{ Hostname string }
			if err := json.Unmarshal(text, &in); err != nil {
				t.Fatal(err)
			}
			out = append(out, in.Hostname)
		}
	}
	return out
}

// TestRestoredDatabaseIsNoticed is rule 53, and what happens when the database is lost.
func TestRestoredDatabaseIsNoticed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, filepath.Join(dir, "top.db"))
	_, token := w.invite("Plant 7")
	w.order("SO-1", "Plant 7", 10)
	keys, path, backup := filepath.Join(dir, "keys"), filepath.Join(dir, "sat.db"), filepath.Join(dir, "backup.db")
	w.join0(token, path, keys)
	plant := w.reopenAt(path, keys)
	w.sync(plant)
	plant = w.backup(plant, &path, backup, keys)
	p := w.register(plant, "", "A1")
	p.mustReport(2, "AUTHORIZED")
	if _, err := w.top.Transfer(t.Context(), admin, w.account.ID, transferBack(4)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.sync(plant)
	}
	if err := plant.store.Close(); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(dir, "restored.db")
	copyFile(t, backup, restored)
	plant = w.reopenAt(restored, keys)
	if got := w.row(plant, "").Quantity; got != 10 {
		t.Fatalf("the restored database has %d", got)
	}
	out, refused := w.exchange(plant)
	if wantCode(t, refused, "sync-behind"); !out.Restored {
		t.Fatalf("the satellite did not notice: %+v", out)
	}
	w.sync(plant)
	w.check(plant)
	if got := w.row(plant, ""); got.Quantity != 6 || got.InUse != 2 {
		t.Errorf("after the full synchronization: %+v", got.Row)
	}
	p.desk = plant
	p.mustReport(3, "AUTHORIZED") // known by its key
	w.sync(plant)
	w.sync(plant)
	w.check(plant)
	if here, there := w.row(w.top, "Default").Quantity, w.row(plant, "").Quantity; here != 4 || there != 6 {
		t.Errorf("%d here and %d there, want 4 and 6", here, there)
	}
	shown, err := w.top.Show(t.Context(), admin, w.account.ID, "Plant 7")
	if err != nil || shown.Epoch != 2 || len(shown.Findings) == 0 || shown.Findings[0].Code != "sync-restored" {
		t.Errorf("the authority shows %+v, %v", shown, err)
	}
	// Lost altogether: a new token, an empty database, other keys.
	_, again, err := w.top.Invite(t.Context(), admin, w.account.ID, "Plant 7", 0)
	if err != nil {
		t.Fatal(err)
	}
	fresh := w.join(again.Reveal(), filepath.Join(dir, "fresh.db"))
	if got := w.row(fresh, ""); got.Quantity != 6 || got.InUse != 3 {
		t.Errorf("after the rebuild: %+v", got.Row)
	}
	w.sync(fresh)
	w.check(fresh)
	p.desk = fresh
	p.number--
	p.mustReport(3, "AUTHORIZED") // the answer to its last report was lost with the database; other keys, by the root's word its desk
	if fresh.Keys().Site() == plant.Keys().Site() {
		t.Error("the rebuilt satellite has the old keys")
	}
	_, refused = w.exchange(plant)
	wantCode(t, refused, "satellite-keys-replaced") // the old keys are nobody's
	p.desk = plant
	if _, err := p.report(3); !errors.Is(err, trust.ErrOtherDesk) {
		t.Errorf("the old keys speak to a product that has heard the new ones: %v", err)
	}
}

// TestRestoredDatabaseHearsAnOldAnswer: where the first thing that a restored database hears is an answer from between its backup and
// the newest one, it goes on with the next pair of files all the same.
func TestRestoredDatabaseHearsAnOldAnswer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, filepath.Join(dir, "top.db"))
	_, token := w.invite("Plant 7")
	w.order("SO-1", "Plant 7", 10)
	keys, path, backup := filepath.Join(dir, "keys"), filepath.Join(dir, "sat.db"), filepath.Join(dir, "backup.db")
	w.join0(token, path, keys)
	plant := w.backup(w.reopenAt(path, keys), &path, backup, keys)
	file, err := plant.Export(t.Context(), admin, w.account.ID, satellite.File)
	if err != nil {
		t.Fatal(err)
	}
	old, err := w.top.Answer(t.Context(), file, satellite.File)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.sync(plant)
	}
	if err := plant.store.Close(); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(dir, "restored.db")
	copyFile(t, backup, restored)
	plant = w.reopenAt(restored, keys)
	w.order("SO-2", "Plant 7", 3)
	if out, err := plant.Apply(t.Context(), admin, w.account.ID, old, satellite.File); err != nil || !out.Restored {
		t.Fatalf("the satellite did not notice: %+v, %v", out, err)
	}
	if out, refused := w.exchange(plant); refused != nil || out.Old {
		t.Fatalf("the next pair of files: %+v, %v", out, refused)
	}
	w.check(plant)
	if got := w.row(plant, "").Quantity; got != 13 {
		t.Errorf("the satellite has %d, want 13", got)
	}
}

func transferBack(n int64) authority.Transfer {
	return authority.Transfer{Tag: smp, Quantity: n, From: "Plant 7", To: "Default"}
}
