package meeting

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// held makes a stretch from seconds; -1 is no end.
func held(meeting, user string, from, to int) Held {
	h := Held{Meeting: meeting, User: user, From: second(from)}
	if to >= 0 {
		h.To = second(to)
	}
	return h
}

// overlapping prints overlaps as "b after a 10-20".
func overlapping(all []Held) []string {
	var out []string
	for _, o := range Overlaps(all) {
		to := "now"
		if !o.To.IsZero() {
			to = fmt.Sprint(o.To.Sub(began).Seconds())
		}
		out = append(out, fmt.Sprintf("%s after %s %v-%s", all[o.Second].Meeting, all[o.First].Meeting, o.From.Sub(began).Seconds(), to))
	}
	slices.Sort(out)
	return out
}

func TestRule24SecondMeeting(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		all  []Held
		want []string
	}{
		"one after the other":         {[]Held{held("a", "u", 0, 10), held("b", "u", 10, 20)}, nil},
		"different people":            {[]Held{held("a", "u", 0, 10), held("b", "v", 0, 20)}, nil},
		"the second ends first":       {[]Held{held("a", "u", 0, 30), held("b", "u", 10, 20)}, []string{"b after a 10-20"}},
		"the second goes on":          {[]Held{held("a", "u", 0, 30), held("b", "u", 10, 50)}, []string{"b after a 10-30"}},
		"at once":                     {[]Held{held("b", "u", 0, 30), held("a", "u", 0, 50)}, []string{"b after a 0-30"}},
		"both run":                    {[]Held{held("a", "u", 0, -1), held("b", "u", 10, -1)}, []string{"b after a 10-now"}},
		"the third waits for two":     {[]Held{held("a", "u", 0, 30), held("b", "u", 10, 50), held("c", "u", 20, 60)}, []string{"b after a 10-30", "c after a 20-30", "c after b 30-50"}},
		"a meeting is not its second": {[]Held{held("a", "u", 0, 30), held("a", "u", 10, 50)}, nil},
		"a pause gives it away":       {[]Held{held("a", "u", 0, 10), held("b", "u", 5, 50), held("a", "u", 20, 30)}, []string{"a after b 20-30", "b after a 5-10"}},
	} {
		if got := overlapping(tc.all); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// TestRule24AnyOrder: at every second of every user exactly one of the stretches that hold then has the license, whatever the order.
func TestRule24AnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all []Held
		for i := range rapid.IntRange(0, 12).Draw(t, "stretches") {
			from := rapid.IntRange(0, 20).Draw(t, "from")
			to := from + rapid.IntRange(1, 15).Draw(t, "length")
			if rapid.IntRange(0, 9).Draw(t, "runs") == 0 {
				to = -1
			}
			all = append(all, held(fmt.Sprintf("m%02d", i), rapid.SampledFrom([]string{"u", "v"}).Draw(t, "user"), from, to))
		}
		want := overlapping(all)
		if got := overlapping(rapid.Permutation(all).Draw(t, "order")); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for at := range 40 {
			moment := second(at).Add(time.Millisecond)
			inside := func(from, to time.Time) bool { return !from.After(moment) && (to.IsZero() || to.After(moment)) }
			for _, user := range []string{"u", "v"} {
				var holders []string
				active := 0
				for i, h := range all {
					if h.User != user || !inside(h.From, h.To) {
						continue
					}
					active++
					if !slices.ContainsFunc(Overlaps(all), func(o Overlap) bool { return o.Second == i && inside(o.From, o.To) }) {
						holders = append(holders, h.Meeting)
					}
				}
				if len(holders) != min(active, 1) {
					t.Fatalf("second %d of %s: held by %s of %d", at, user, strings.Join(holders, ", "), active)
				}
			}
		}
	})
}
