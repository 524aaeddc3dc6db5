package satellite_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
)

// TestNameOfTheAuthority: a satellite on the authority's host is told to take another name, and is not told so any more when it has
// one: nobody asked for the name of the machine.
func TestNameOfTheAuthority(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		_, token := w.invite("Plant 7")
		plant := w.join(token, address)
		for name, c := range map[string]struct {
			hosts   []string
			machine string
			found   bool
		}{
			"no other name":  {[]string{"authority.example", "localhost"}, "authority.example", true},
			"one of its own": {[]string{"plant.example", "authority.example", "localhost"}, "authority.example", false},
			"asked for":      {[]string{"authority.example", "plant.example", "localhost"}, "", true},
		} {
			plant.Sync = satellite.New(satellite.Options{Authority: plant.Authority, Now: w.clock.Now, Hosts: c.hosts, Machine: c.machine, Version: "test"})
			out := w.sync(plant)
			if found := len(out.Findings) == 1 && out.Findings[0].Code == license.FactSyncHost; found != c.found || !found && len(out.Findings) > 0 {
				t.Errorf("%s: the findings are %+v", name, out.Findings)
			}
		}
	})
}

// TestSaysOfARemovedSatellite: one that was removed is found by its name, says when it was heard and what reservations hold there, and
// when it joins again with the same database every product is listed once.
func TestSaysOfARemovedSatellite(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		plant, _ := w.reserved(address)
		p := w.register(plant, "", "A1")
		p.mustReport(2, license.StatusAuthorized)
		w.sync(plant)
		if _, err := w.top.Sync.Remove(ctx, admin, id, "Plant 7", true); err != nil {
			t.Fatal(err)
		}
		lost := func() license.Fact {
			t.Helper()
			shown, err := w.top.Show(ctx, admin, id, "plant 7")
			if err != nil || shown.State != license.SatelliteRemoved || len(shown.Findings) != 1 || shown.Findings[0].Code != license.FactSyncLost {
				t.Fatalf("the authority shows %+v, %v", shown, err)
			}
			return shown.Findings[0]
		}
		if f := lost(); f.Count != 10 || f.Of != 0 || !f.Since.IsZero() {
			t.Errorf("before it is heard: %+v", f)
		}
		if out, refused := w.exchange(plant); refused == nil || !out.Removed || out.GivenBack != 6 {
			t.Errorf("it is told %+v, %v", out, refused)
		}
		said, err := p.report(2)
		if err != nil || said.Status != license.StatusOutOfCompliance || len(said.Tags) != 1 {
			t.Fatalf("its product is told %+v, %v", said, err)
		}
		for who, why := range map[string][]license.Fact{"the administrator": w.row(plant, "").Why, "the product": said.Tags[0].Why} {
			if help := why[len(why)-1]; help.Code != license.FactHelpDesk || slices.ContainsFunc(why, func(f license.Fact) bool { return f.Code == license.FactHelpOrder }) {
				t.Errorf("%s is told %+v", who, why)
			}
		}
		if f := lost(); f.Count != 10 || f.Of != 4 || f.Since.IsZero() {
			t.Errorf("after it was heard: %+v", f)
		}
		if shown, err := w.top.Settle(ctx, admin, id, "Plant 7"); err != nil || len(shown.Findings) != 0 {
			t.Errorf("settled: %+v, %v", shown, err)
		}

		made, token := w.invite("Plant 7", "Plant 7")
		j := w.joinerOn(plant.store, plant.keys)
		file, err := j.Request(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := w.top.Answer(ctx, file, satellite.File)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := j.Complete(ctx, reply); err != nil || out.Old || out.Arrived-out.GivenBack != 6 {
			t.Errorf("joined: %+v, %v", out, err)
		}
		if out, err := j.Complete(ctx, reply); err != nil || !out.Old {
			t.Errorf("joined again: %+v, %v", out, err)
		}
		plant = w.reopen(plant.store, plant.keys)
		for range 2 {
			w.sync(plant)
		}
		if shown, err := w.top.Show(ctx, admin, id, "Plant 7"); err != nil || shown.ID != made.ID {
			t.Errorf("the one that is there is shown first: %+v, %v", shown, err)
		}
		in, _, err := w.top.Instances(ctx, admin, id, "", authority.Page{})
		serials := map[string]int{}
		for _, one := range in {
			serials[one.UDI]++
		}
		if err != nil || serials["PID:CMS,SN:A1"] != 1 || len(in) != len(serials) {
			t.Errorf("the products are %+v, %v", in, err)
		}
	})
}

// TestTwoCopiesAreNamed: a satellite that goes back again and again is said to be two.
func TestTwoCopiesAreNamed(t *testing.T) {
	t.Parallel()
	first := license.Fact{Code: license.FactSyncRestored, Count: 2, Of: 1, Since: time.Unix(0, 0)}
	if text := first.Text(); !strings.Contains(text, "restored") || strings.Contains(text, "two copies") {
		t.Error(text)
	}
	dir := t.TempDir()
	w := newWorld(t, filepath.Join(dir, "top.db"))
	_, token := w.invite("Plant 7")
	one, other, keys := filepath.Join(dir, "one.db"), filepath.Join(dir, "other.db"), t.TempDir()
	w.join0(token, one, keys)
	copyFile(t, one, other)
	copies := []*desk{w.reopenAt(one, keys), w.reopenAt(other, keys)}
	for i := range 6 {
		w.clock.Advance(time.Minute)
		if out, _ := w.exchange(copies[i%2]); out.Restored {
			w.sync(copies[i%2])
		}
	}
	shown, err := w.top.Show(t.Context(), admin, w.account.ID, "Plant 7")
	if err != nil || len(shown.Findings) != 1 || shown.Findings[0].Of < 2 || !strings.Contains(shown.Findings[0].Text(), "two copies") {
		t.Errorf("the authority shows %+v, %v", shown.Findings, err)
	}
}

// TestARefusalIsAFinding: what the authority refuses over the network is shown with what to do, since the first time, until a
// synchronization is good; one that is only away is no refusal and ends none.
func TestARefusalIsAFinding(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		ctx, id := t.Context(), w.account.ID
		_, token := w.invite("Plant 7")
		plant := w.join(token, address)
		w.sync(plant)
		no := license.Refuse(license.KindRefused, "satellite-keys-replaced", "join anew", "the keys were replaced")
		away := license.Refuse(license.KindUnavailable, "upstream-unreachable", "check the network", "it does not answer")
		first := w.clock.Now()
		for _, step := range []struct {
			failed  error
			trouble string
			found   bool
			since   time.Time
		}{
			{away, "it does not answer", false, time.Time{}},
			{no, "the keys were replaced", true, first.Add(time.Minute)},
			{no, "the keys were replaced", true, first.Add(time.Minute)},
			{away, "it does not answer", true, first.Add(time.Minute)},
			{nil, "", false, time.Time{}},
			{no, "the keys were replaced", true, first.Add(5 * time.Minute)},
		} {
			if err := plant.NoteAttempt(ctx, id, step.failed, time.Hour); err != nil {
				t.Fatal(err)
			}
			st, err := plant.Status(ctx, admin, id)
			if err != nil || st.Trouble != step.trouble || len(st.Findings) > 0 != step.found {
				t.Fatalf("%v: %+v, %v", step, st, err)
			}
			if step.found && (!st.Findings[0].Since.Equal(step.since) || !strings.Contains(st.Findings[0].Text(), "the keys were replaced. What to do: join anew.")) {
				t.Errorf("the finding is %+v", st.Findings[0])
			}
			w.clock.Advance(time.Minute)
		}
		w.sync(plant) // by a file that somebody carries
		if st, err := plant.Status(ctx, admin, id); err != nil || len(st.Findings) != 0 {
			t.Errorf("after a good synchronization: %+v, %v", st, err)
		}
	})
}
