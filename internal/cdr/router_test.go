package cdr

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRouterFollowsWhatRecordsTell(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.legStart(0, "l", "")                 // 0: a leg in the voice menu
	tp.update(1, "l", "c1", StateConnected) // 1: its call is known by name only
	tp.callStart(2, "c1", "m")              // 2: the call's correlator becomes known
	tp.callStart(3, "c2", "")               // 3: a call by itself
	tp.callStart(4, "c2", "m")              // 4: which turns out to be the same meeting
	tp.legEnd(5, "l", 4)
	rt := NewRouter()
	for i, want := range []Change{
		{Touched: []string{"leg:l"}},
		{Touched: []string{"call:c1"}, Merged: []Merge{{"leg:l", "call:c1"}}},
		{Touched: []string{"corr:m"}, Merged: []Merge{{"call:c1", "corr:m"}}},
		{Touched: []string{"call:c2"}},
		{Touched: []string{"corr:m"}, Merged: []Merge{{"call:c2", "corr:m"}}},
		{Touched: []string{"corr:m"}},
	} {
		if got := rt.Add(tp.records[i]); !reflect.DeepEqual(got, want) {
			t.Errorf("record %d: got %+v, want %+v", i, got, want)
		}
	}
	if got, want := rt.RefsOf("corr:m"), []string{"call:c1", "call:c2", "corr:m", "leg:l"}; !slices.Equal(got, want) {
		t.Errorf("got refs %v, want %v", got, want)
	}
	if got := rt.RecordsOf("corr:m"); !reflect.DeepEqual(got, tp.records) {
		t.Errorf("got %d records, want all %d", len(got), len(tp.records))
	}
}

func TestRule02RepeatAndConflict(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c", "m")
	rt := NewRouter()
	rt.Add(tp.records[0])
	again := *tp.records[0]
	again.RecordIndex = 77 // from another receiver
	if got := rt.Add(&again); !reflect.DeepEqual(got, Change{Repeat: true}) {
		t.Errorf("repeat: got %+v", got)
	}
	again.Digest[0]++
	again.Kind, again.DurationSeconds = CallEnd, 600
	if got := rt.Add(&again); !reflect.DeepEqual(got, Change{Conflict: true}) {
		t.Errorf("conflict: got %+v", got)
	}
	if got := rt.RecordsOf("corr:m"); !reflect.DeepEqual(got, tp.records) {
		t.Errorf("got %+v, want the first record alone", got)
	}
}

func TestRouterTouchesBothMeetingsOfALeg(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c1", "m1")
	tp.callStart(0, "c2", "m2")
	tp.update(1, "l", "c1", StateConnected)
	tp.update(5, "l", "c2", StateConnected)
	tp.legEnd(9, "l", 8)
	rt := NewRouter()
	var last Change
	for _, r := range tp.records {
		last = rt.Add(r)
	}
	if want := []string{"corr:m1", "corr:m2"}; !slices.Equal(last.Touched, want) {
		t.Errorf("got %v, want %v", last.Touched, want)
	}
	for ref, want := range map[string]string{"leg:l": "call:c1", "call:c2": "call:c2", "leg:x": "", "": ""} {
		if got := rt.CallOf(ref); got != want {
			t.Errorf("call of %q: got %q, want %q", ref, got, want)
		}
	}
	for key, want := range map[string]string{"corr:m1": "1:1 5:0", "corr:m2": "5:1 9:0"} {
		if got := levels(rt.Fold(key, Options{})); got != want {
			t.Errorf("%s: got levels %q, want %q", key, got, want)
		}
	}

	kept := rt.RecordsOf("corr:m1")
	rt.Forget("corr:m1")
	if rt.Knows("leg:l") || rt.Knows("call:c1") || rt.Knows("corr:m1") || !rt.Knows("call:c2") {
		t.Error("Knows is wrong after Forget")
	}
	rt.Restore("corr:m1", kept)
	if !rt.Knows("leg:l") || levels(rt.Fold("corr:m1", Options{})) != "1:1 5:0" {
		t.Error("Restore did not bring the meeting back")
	}
}

func TestRestoreMakesNoMeetingOfAnotherCall(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c1", "m1")
	tp.callStart(0, "c2", "m2")
	tp.legStart(0, "l", "")
	tp.update(1, "l", "c2", StateConnected)
	tp.update(5, "l", "c1", StateConnected)
	full, rt := NewRouter(), NewRouter()
	for _, r := range tp.records {
		full.Add(r)
	}
	rt.Restore("corr:m1", full.RecordsOf("corr:m1"))
	if got := rt.Keys(); !slices.Equal(got, []string{"corr:m1"}) || rt.Knows("leg:l") {
		t.Errorf("got %v, and the leg counts as known: %v", got, rt.Knows("leg:l"))
	}
	rt.Restore("corr:m2", full.RecordsOf("corr:m2"))
	if got := rt.Keys(); !slices.Equal(got, full.Keys()) || !rt.Knows("leg:l") {
		t.Errorf("got %v, and the leg counts as known: %v", got, rt.Knows("leg:l"))
	}
}

func TestWaitingLegs(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.legStart(0, "l1", "")
	tp.legStart(8, "l2", "")
	tp.callStart(0, "c", "m")
	tp.at(3, "novelty", func(*Record) {})
	rt := NewRouter()
	for _, r := range tp.records {
		rt.Add(r)
	}
	if got := rt.Waiting(began.Add(5 * time.Second)); !slices.Equal(got, []string{"leg:l1"}) {
		t.Errorf("got %v, want the leg of the first second", got)
	}
	for _, key := range rt.Keys() {
		rt.Forget(key)
	}
	if len(rt.nodes) != 0 || len(rt.corrs) != 0 || len(rt.meetings) != 0 {
		t.Errorf("something is left: %+v", rt)
	}
}

// world draws records of several bridges: calls with and without correlators,
// legs that move about, records that are lost.
func world(t *rapid.T) []*Record {
	var out []*Record
	for s := range rapid.IntRange(1, 2).Draw(t, "sessions") {
		tp := &tape{session: fmt.Sprintf("s%d", s)}
		thing := func(kind string) string { return fmt.Sprintf("%s%d-%d", kind, s, rapid.IntRange(0, 2).Draw(t, kind)) }
		for second := range rapid.IntRange(0, 14).Draw(t, "records") {
			switch rapid.SampledFrom([]string{"callStart", "callEnd", "legStart", "ivr", "update", "update", "legEnd", "media"}).Draw(t, "kind") {
			case "callStart":
				tp.callStart(second, thing("c"), rapid.SampledFrom([]string{"", "m1", "m2", "m3"}).Draw(t, "correlator"))
			case "callEnd":
				tp.callEnd(second, thing("c"), int64(second), 2)
			case "legStart":
				tp.legStart(second, thing("l"), thing("c"))
			case "ivr":
				tp.legStart(second, thing("l"), "")
			case "update":
				tp.update(second, thing("l"), thing("c"), rapid.SampledFrom([]string{"", StateConnected}).Draw(t, "state"))
			case "legEnd":
				tp.legEnd(second, thing("l"), int64(second))
			case "media":
				tp.at(second, RecordingStart, func(r *Record) { r.MediaID, r.CallID, r.LegID = thing("r"), thing("c"), thing("l") })
			}
		}
		lost := rapid.SliceOfN(rapid.Bool(), len(tp.records), len(tp.records)).Draw(t, "lost")
		for i, r := range tp.records {
			if !lost[i] {
				out = append(out, r)
			}
		}
	}
	return out
}

// meetings folds all that a router holds.
func meetings(rt *Router) map[string]Conference {
	out := map[string]Conference{}
	for _, key := range rt.Keys() {
		out[key] = Fold(key, rt.RecordsOf(key), Options{})
	}
	return out
}

// TestAnyOrderOfArrival also repeats records, compares the incremental way with
// the function of the record set, and stores the set and reads it back.
func TestAnyOrderOfArrival(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		records := world(t)
		straight, mixed := NewRouter(), NewRouter()
		for _, r := range records {
			straight.Add(r)
		}
		repeats := slices.Concat(records, records[:rapid.IntRange(0, len(records)).Draw(t, "repeats")])
		for _, r := range rapid.Permutation(repeats).Draw(t, "arrival") {
			mixed.Add(r)
		}
		want := meetings(straight)
		if got := meetings(mixed); !reflect.DeepEqual(got, want) {
			t.Errorf("in another order:\ngot  %+v\nwant %+v", got, want)
		}
		for key := range want {
			if got := mixed.Fold(key, Options{}); !reflect.DeepEqual(got, want[key]) {
				t.Errorf("%s, incrementally:\ngot  %+v\nwant %+v", key, got, want[key])
			}
			stored, err := Decode(Encode(mixed.RecordsOf(key)))
			if err != nil || !reflect.DeepEqual(stored, straight.RecordsOf(key)) {
				t.Errorf("%s, stored and read: %v\ngot  %+v\nwant %+v", key, err, stored, straight.RecordsOf(key))
			}
		}
	})
}

// shelf is what a caller stores: for every key the records and refs.
type shelf map[string]struct {
	records []*Record
	refs    []string
}

func (s shelf) keep(rt *Router, c Change) {
	for _, m := range c.Merged {
		delete(s, m.From)
	}
	for _, key := range c.Touched {
		s[key] = struct {
			records []*Record
			refs    []string
		}{rt.RecordsOf(key), rt.RefsOf(key)}
	}
}

// TestForgettingChangesNothing evicts meetings at any time and restores them by
// the refs of the records that come.
func TestForgettingChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		records := world(t)
		straight, rt, stored := NewRouter(), NewRouter(), shelf{}
		for _, r := range records {
			straight.Add(r)
		}
		for _, r := range rapid.Permutation(records).Draw(t, "arrival") {
			for _, ref := range r.Refs() {
				if rt.Knows(ref) {
					continue
				}
				for key, kept := range stored {
					if slices.Contains(kept.refs, ref) && rt.RecordsOf(key) == nil {
						rt.Restore(key, kept.records)
						if rt.RecordsOf(key) == nil {
							t.Errorf("%s is not there after it was restored", key)
						}
					}
				}
			}
			stored.keep(rt, rt.Add(r))
			for _, key := range rt.Keys() {
				if rapid.IntRange(0, 3).Draw(t, "forget") == 0 {
					rt.Forget(key)
				}
			}
		}
		want, got := meetings(straight), map[string]Conference{}
		for key, kept := range stored {
			got[key] = Fold(key, kept.records, Options{})
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestRefs(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Record{
		"call:c corr:m":  {CallID: "c", CallCorrelator: "m"},
		"leg:l call:c":   {LegID: "l", CallID: "c"},
		"leg:l":          {LegID: "l"},
		"media:r call:c": {MediaID: "r", CallID: "c", LegID: "l"},
		"":               {Kind: "novelty"},
	} {
		if got := strings.Join(r.Refs(), " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// BenchmarkRouterAdd adds the records of a meeting with ten legs to an empty
// router.
func BenchmarkRouterAdd(b *testing.B) {
	records := large(10)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		rt := NewRouter()
		for _, r := range records {
			rt.Add(r)
		}
		n += len(records)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}

// TestRepeatReachesTheOtherMeeting: a leg that moved is restored with one of its meetings; the other one was stored before the leg
// came, and gets it when its records come again.
func TestRepeatReachesTheOtherMeeting(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c", "x")
	tp.callStart(1, "d", "y")
	tp.legStart(2, "moves", "c")
	tp.update(3, "moves", "c", StateConnected)
	tp.update(5, "moves", "d", StateConnected)
	whole := NewRouter()
	for _, r := range tp.records {
		whole.Add(r)
	}
	stored := map[string][]*Record{"corr:x": tp.records[:1], "corr:y": whole.RecordsOf("corr:y")}
	for _, order := range [][]string{{"corr:x", "corr:y"}, {"corr:y", "corr:x"}} {
		again := NewRouter()
		var touched []string
		for _, key := range order {
			touched = append(touched, again.Restore(key, stored[key]).Touched...)
		}
		for _, r := range tp.records[2:] {
			touched = append(touched, again.Add(r).Touched...)
		}
		if got, want := len(again.RecordsOf("corr:x")), len(whole.RecordsOf("corr:x")); got != want || !slices.Contains(touched, "corr:x") {
			t.Errorf("restored in the order %v the first meeting has %d records, want %d; touched were %v", order, got, want, touched)
		}
	}
}
