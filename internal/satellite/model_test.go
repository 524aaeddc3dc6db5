package satellite_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// TestAnyCourier is the model of two parties and a random courier (rule 49; reliability, section 2, row 8): files are lost,
// repeated, delayed, reordered, cut off and bent; databases of the satellite go back to backups; and after every step the books
// of both are right and no license counts in two places. After two clean exchanges both equal the model, which is a handful of
// sums: what was bought, and what the people of both sides wanted where.
//
// -rapid.checks sets how many schedules are tried.
func TestAnyCourier(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) { courier(t, rt) })
}

// TestMain tries few schedules unless told otherwise: each one makes two databases.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("25"); err != nil {
			panic(err)
		}
	}
	// They are the same each time, which anybody can repeat; make soak tries others.
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == "0" && os.Getenv("TALLY_TEST_KILLS") == "" {
		_ = seed.Value.Set("48")
	}
	os.Exit(m.Run())
}

// bag is what a courier carries.
type bag struct{ up, down [][]byte }

func courier(t *testing.T, rt *rapid.T) {
	dir, err := os.MkdirTemp(t.TempDir(), "") // removed at once: there are many
	if err != nil {
		rt.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // and again with the test
	w := newWorld(t, filepath.Join(dir, "top.db"))
	_, token := w.invite("Plant 7")
	keys := filepath.Join(dir, "keys")
	path := filepath.Join(dir, "sat0.db")
	w.join0(token, path, keys)
	sat := w.reopenAt(path, keys)
	defer func() { _ = w.top.store.Close(); _ = sat.store.Close() }() // they are thrown away
	var bought, generations int64
	var files bag
	var backups []string
	ctx, id := t.Context(), w.account.ID
	products, reserving := map[string]*product{}, map[string]*closed{"C": w.closed("C"), "D": w.closed("D")}
	verify := func() {
		// No license counts in two places: what is usable here and there is never more than what was bought.
		top, below := w.usable(w.top), w.usable(sat)
		if top+below > bought && len(backups) == 0 {
			rt.Fatalf("%d are usable at the authority and %d at the satellite, of %d bought", top, below, bought)
		}
		for _, d := range []*desk{w.top, sat} {
			v, err := d.VerifyEvents(ctx, admin, id)
			if err != nil || len(v.Problems) > 0 {
				rt.Fatalf("books: %v, %v", v.Problems, err)
			}
		}
	}
	for range rapid.IntRange(1, 12).Draw(rt, "steps") {
		switch rapid.SampledFrom([]string{"order", "order", "export", "export", "answer", "answer", "apply", "apply", "recall", "use", "reserve", "reserve", "add", "move", "backup", "restore", "bend"}).Draw(rt, "step") {
		case "order":
			n := rapid.Int64Range(1, 9).Draw(rt, "quantity")
			bought += n
			generations++
			w.order("SO-"+strconv.FormatInt(generations, 10), "Plant 7", n)
		case "export":
			file, err := sat.Export(ctx, admin, id, satellite.File)
			if err != nil {
				rt.Fatalf("export: %v", err)
			}
			files.up = append(files.up, file)
		case "answer": // any file, old or new, and again
			if len(files.up) > 0 {
				if reply, _ := w.top.Answer(ctx, rapid.SampledFrom(files.up).Draw(rt, "file"), satellite.File); reply != nil {
					files.down = append(files.down, reply)
				}
			}
		case "apply":
			if len(files.down) > 0 {
				if _, err := sat.Apply(ctx, admin, id, rapid.SampledFrom(files.down).Draw(rt, "answer"), satellite.File); err != nil {
					rt.Fatalf("apply: %v", err)
				}
			}
		case "recall":
			_, err := w.top.Transfer(ctx, admin, id, authority.Transfer{Tag: smp, Quantity: rapid.Int64Range(1, 5).Draw(rt, "back"), From: "Plant 7", To: "Default"})
			if license.AsError(err) == nil && err != nil {
				rt.Fatalf("recall: %v", err)
			}
		case "use":
			serial := rapid.SampledFrom([]string{"A", "B"}).Draw(rt, "product")
			if products[serial] == nil {
				products[serial] = w.register(sat, "Plant 7", serial)
			}
			_, _ = products[serial].report(rapid.Int64Range(0, 6).Draw(rt, "use")) // after a restore it may be unknown for a while
		case "reserve": // and give it back
			if err := reserving[rapid.SampledFrom([]string{"C", "D"}).Draw(rt, "closed")].act(sat, rapid.Int64Range(1, 5).Draw(rt, "reserved")); err != nil {
				rt.Fatalf("reserve: %v", err)
			}
		case "add":
			_, _ = sat.CreateVirtualAccount(ctx, admin, id, "Lab") // the second time the name is taken
		case "move":
			_, _ = sat.Transfer(ctx, admin, id, authority.Transfer{Tag: smp, Quantity: 1, From: "Plant 7", To: "Lab"}) // where there is something to move
		case "backup":
			generations++
			backup := filepath.Join(dir, "backup"+strconv.FormatInt(generations, 10)+".db")
			sat = w.backup(sat, &path, backup, keys)
			backups = append(backups, backup)
		case "restore":
			if len(backups) > 0 {
				generations++
				path = filepath.Join(dir, "sat"+strconv.FormatInt(generations, 10)+".db")
				copyFile(t, rapid.SampledFrom(backups).Draw(rt, "backup"), path)
				if err := sat.store.Close(); err != nil {
					rt.Fatal(err)
				}
				sat = w.reopenAt(path, keys)
				for _, p := range products {
					p.desk = sat
				}
			}
		case "bend":
			all := append(append([][]byte{}, files.up...), files.down...)
			if len(all) > 0 {
				file := bytes.Clone(rapid.SampledFrom(all).Draw(rt, "victim"))
				if at := rapid.IntRange(0, len(file)-1).Draw(rt, "byte"); rapid.Bool().Draw(rt, "cut") {
					file = file[:at]
				} else {
					file[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
				}
				if reply, err := w.top.Answer(ctx, file, satellite.File); reply != nil || err == nil {
					rt.Fatalf("a bent file is answered: %v", err)
				}
				if _, err := sat.Apply(ctx, admin, id, file, satellite.File); err == nil {
					rt.Fatal("a bent file is applied")
				}
			}
		}
		for _, p := range products {
			p.desk = sat
		}
		verify()
	}
	// Clean exchanges: one notices what went back, the others bring both sides together, and what is wanted back takes two.
	for range 4 {
		out, _ := w.exchange(sat)
		if out.Restored {
			w.sync(sat)
		}
	}
	verify()
	if top, below := w.usable(w.top), w.usable(sat); top+below != bought {
		rt.Fatalf("%d are usable at the authority and %d at the satellite, of %d bought", top, below, bought)
	}
	shown, err := w.top.Show(ctx, admin, id, "Plant 7")
	if err != nil || shown.Consigned != w.usable(sat) || shown.InTransit != 0 || shown.Asked > shown.Reserved {
		rt.Fatalf("the authority sees %d at the satellite, %d on their way and %d asked back; the satellite has %d: %v", shown.Consigned, shown.InTransit, shown.Asked, w.usable(sat), err)
	}
	if above, below := w.standing(w.top, sat), w.standing(sat, sat); above != below {
		rt.Fatalf("the authority shows\n%sand the satellite\n%s", above, below)
	}
}

// join0 joins a satellite at a path and closes its database.
func (w *world) join0(token, path, keys string) {
	w.t.Helper()
	st := storetest.OpenURL(w.t, path, w.clock.Now)
	w.joinWith(token, st, keys)
	if err := st.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reopenAt(path, keys string) *desk {
	w.t.Helper()
	return w.reopen(storetest.OpenURL(w.t, path, w.clock.Now), keys)
}

// backup copies a satellite's closed database and opens it again.
func (w *world) backup(sat *desk, path *string, backup, keys string) *desk {
	w.t.Helper()
	if err := sat.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	copyFile(w.t, *path, backup)
	return w.reopenAt(*path, keys)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// usable is what the virtual accounts of a desk can use themselves: at the authority nothing that is a satellite's.
func (w *world) usable(d *desk) int64 {
	w.t.Helper()
	var n int64
	vas, _, err := d.VirtualAccounts(w.t.Context(), admin, w.account.ID, authority.Page{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range vas {
		if v.Satellite == "" {
			n += w.row(d, v.ID).Quantity
		}
	}
	return n
}
