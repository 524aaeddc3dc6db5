package sim

import (
	"context"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// TestNoHarm plays an estate of 1,000 products at ten satellites: 550 days of 60 products at ten satellites here, three years of all with
// TALLY_TEST_SIM=1, which takes about a minute on two processors.
func TestNoHarm(t *testing.T) {
	plan := Plan{Seed: 1, Sites: 10, Products: 60, For: 550 * day}
	if os.Getenv("TALLY_TEST_SIM") != "" {
		plan.Products, plan.For = 1000, 3*365*day
	}
	if n, err := strconv.ParseUint(os.Getenv("TALLY_TEST_SIM_SEED"), 10, 64); err == nil {
		plan.Seed = n
	}
	plan.Dir = memory(t)
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // memory is cheaper here than time
	began := time.Now()
	r, err := Play(context.Background(), plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d: %d products, %s days in %s: %d exchanges, %d files taken over, %d lost, %d satellites restored from a backup, %d outages, %d clones, %d restores, %d jumps of clocks; refused for their own cause %s; %d and %d times keys replaced, %d satellites lost, %d lies to the authority, %d to products; trace %x",
		plan.Seed, plan.Products, strconv.Itoa(int(plan.For/day)), time.Since(began).Round(time.Millisecond), r.Exchanges, r.Syncs, r.LostFiles, r.Backups, r.Outages, r.Clones, r.Restores, r.Jumps, r.Fair, r.AuthorityKeys, r.SatelliteKeys, r.Lost, r.Cheats, r.Told, r.Trace)
	if r.Harm > 0 {
		t.Errorf("%v of harm: %q", r.Harm, r.Harmed)
	}
	if r.Unreported > 0 || r.FalseAlarms > 0 {
		t.Errorf("clones and restores: %d reported, %d not, %d false alarms: %q", r.Reported, r.Unreported, r.FalseAlarms, r.Missed)
	}
	if r.Noticed < r.Backups {
		t.Errorf("%d satellites were restored from a backup, %d of them noticed it", r.Backups, r.Noticed)
	}
	if r.Backups == 0 || r.LostFiles == 0 || r.Clones == 0 || r.Restores == 0 || r.Jumps == 0 || r.Fair == 0 {
		t.Error("the plan had no trouble of some kind, so that nothing was shown")
	}
	if r.AuthorityKeys != 2 || r.SatelliteKeys != plan.Sites || r.Lost != plan.Sites/5 {
		t.Errorf("keys were replaced %d times at the authority and %d times at satellites; %d satellites were lost", r.AuthorityKeys, r.SatelliteKeys, r.Lost)
	}
	if len(r.Stranded) > 0 {
		t.Errorf("products that lost their desk: %q", r.Stranded)
	}
	if r.Cheats == 0 || r.Told == 0 || len(r.Unnoticed) > 0 {
		t.Errorf("satellites cheated %d times, and lied to products %d times; not noticed: %q", r.Cheats, r.Told, r.Unnoticed)
	}
	if r.Trouble != nil {
		t.Error(r.Trouble)
	}
}

// TestSameTrace: one seed, one trace.
func TestSameTrace(t *testing.T) {
	var traces [2]uint64
	for i := range traces {
		r, err := Play(context.Background(), Plan{Seed: 7, Sites: 2, Products: 40, For: 320 * day, Dir: memory(t)})
		if err != nil {
			t.Fatal(err)
		}
		traces[i] = r.Trace
	}
	if traces[0] != traces[1] {
		t.Errorf("two plays of one seed differ: %x and %x", traces[0], traces[1])
	}
}

// memory is a folder in a file system in memory where the system has one, for nothing here is about disks.
func memory(t *testing.T) string {
	t.Helper()
	if dir, err := os.MkdirTemp("/dev/shm", "tally-sim-"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}
