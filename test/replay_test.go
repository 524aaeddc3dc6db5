package test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/test/estate"
)

// TestReplayOfAnEstate: whatever an estate sends, in whatever order, replaying what is kept finds nothing that differs.
func TestReplayOfAnEstate(t *testing.T) {
	t.Parallel()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		e := estate.New(estate.Options{
			Seed: rapid.Uint64().Draw(rt, "seed"), Meetings: rapid.IntRange(1, 12).Draw(rt, "meetings"), Bridges: rapid.IntRange(1, 3).Draw(rt, "bridges"),
			Receivers: rapid.IntRange(1, 2).Draw(rt, "receivers"), Restarts: rapid.IntRange(0, 2).Draw(rt, "restarts"),
			Losses: rapid.IntRange(0, 3).Draw(rt, "losses"), Nameless: rapid.Bool().Draw(rt, "nameless"), Most: 8, Repeats: 0.2,
		})
		run++
		p := openEngine(t.Context(), rt, filepath.Join(t.TempDir(), fmt.Sprintf("%d.db", run)), e)
		for i, post := range rapid.Permutation(slices.Concat(e.Streams()...)).Draw(rt, "order") {
			p.post(post)
			if rapid.IntRange(0, 19).Draw(rt, fmt.Sprintf("after post %d", i)) == 0 {
				p.restart()
			}
		}
		meetings := int64(0)
		for cursor, n := "", 0; n == 0 || cursor != ""; n++ {
			r, next, err := p.Replay(t.Context(), p.account, conference.ReplayOptions{}, cursor, 5)
			if err != nil {
				rt.Fatal(err)
			}
			if r.Differing != 0 || r.Kept != r.Records {
				rt.Errorf("got %d that differ, %d of %d records kept: %+v", r.Differing, r.Kept, r.Records, r.Differences)
			}
			meetings += r.Meetings
			cursor = next
		}
		if want := int64(len(e.Truth.Meetings)); meetings != want {
			rt.Errorf("got %d meetings, want %d", meetings, want)
		}
		if err := p.store.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}
