package satellite_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
)

// replacements are the subjects of the events of replaced keys that a desk has, the oldest first.
func (w *world) replacements(d *desk) []string {
	w.t.Helper()
	return w.eventsOf(d, "keys.replaced")
}

func (w *world) eventsOf(d *desk, kind string) []string {
	w.t.Helper()
	events, _, err := d.Events(w.t.Context(), admin, w.account.ID, authority.Page{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, e := range events {
		if e.Kind == kind {
			all = append(all, e.Subject)
		}
	}
	return all
}

// TestKeysOfAnotherServer: a key folder beside the database of another server is refused before it answers anybody. Folders that belong
// there are taken: the one that was replaced, the one before it while the next keys wait in it, and one with other keys that joined anew.
func TestKeysOfAnotherServer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx := t.Context()
		_, token := w.invite("Plant 7")
		_, other := w.invite("Plant 8")
		keys, st := t.TempDir(), storetest.OpenURL(t, address, w.clock.Now)
		plant := w.joinWith(token, st, keys)
		neighbor := w.join(other, filepath.Join(t.TempDir(), "neighbor.db"))
		good := func(name string, d *desk) {
			t.Helper()
			for range 2 {
				if err := d.KeysInForce(ctx); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		bad := func(name string, d *desk) {
			t.Helper()
			err := d.KeysInForce(ctx)
			wantCode(t, err, "other-keys")
			if e := license.AsError(err); e != nil && (e.Message == "" || e.Hint == "") {
				t.Errorf("%s: %+v", name, e)
			}
		}
		good("at first", plant)
		good("the neighbor", neighbor)
		good("the authority", w.top)
		bad("the neighbor's keys", w.reopen(st, neighbor.keys))
		bad("an authority's keys", w.reopen(st, t.TempDir()))
		bad("a satellite's keys beside an authority's database", w.reopen(w.top.store, keys))
		good("lost with its database", w.reopen(storetest.OpenURL(t, filepath.Join(t.TempDir(), "empty.db"), w.clock.Now), keys))
		copied := func() string {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(keys)); err != nil {
				t.Fatal(err)
			}
			return dir
		}
		old := copied()
		_, next, err := trust.PrepareSite(keys)
		if err != nil {
			t.Fatal(err)
		}
		waiting := copied()
		w.sync(plant)
		good("replaced", plant)
		good("replaced, and started again", w.reopen(st, keys))
		if got := w.replacements(plant); !slices.Equal(got, []string{next}) {
			t.Errorf("events of replaced keys are of %v, want %s", got, next)
		}
		bad("keys that were replaced", w.reopen(st, old))
		good("while the keys in force wait", w.reopen(st, waiting))
		// The keys are lost and the database is not.
		fresh := t.TempDir()
		anew := w.joinWith(w.again(w.account.ID, "Plant 7"), st, fresh)
		good("joined anew", anew)
		bad("the keys before those", w.reopen(st, keys))
		if got := w.replacements(anew); !slices.Equal(got, []string{next, anew.Keys().Site()}) {
			t.Errorf("events of replaced keys are of %v", got)
		}
		w.check(anew)
	})
}
