package meeting

import (
	"slices"
	"testing"
	"time"
)

func clockAt(minute, second int) time.Time {
	return time.Date(2026, 3, 2, 9, minute, second, 0, time.UTC)
}

func takes(id string, from, to int, class Class) Taking {
	t := Taking{Charge: Charge{From: clockAt(from, 0), Sixths: class.unit()}, Meeting: id, Class: class}
	if to > 0 {
		t.To = clockAt(to, 0)
	}
	return t
}

// TestRule21Reconcile: each observation beside our own count of the same moment.
func TestRule21Reconcile(t *testing.T) {
	t.Parallel()
	takings := []Taking{takes("a", 0, 10, ClassPersonal), takes("b", 4, 0, ClassFull), takes("c", 10, 20, ClassPointToPoint), takes("d", 10, 20, ClassAudio)}
	see := func(minute int, tally Tally) Observation { return Observation{[]time.Time{clockAt(minute, 0)}, tally} }
	got := Reconcile([]Observation{
		see(1, Tally{Personal: 100}),
		see(5, Tally{Personal: 100, Full: 100}),
		see(6, Tally{Full: 200}), // the call bridge took a shared license for a
		see(10, Tally{Full: 100, PointToPoint: 100, Audio: 100}),
		see(20, Tally{Full: 100}),
		{At: []time.Time{clockAt(9, 0), clockAt(11, 0)}, Tally: Tally{Personal: 50, Full: 100, PointToPoint: 50, Audio: 50}}, // two call bridges
		{At: []time.Time{clockAt(5, 0), clockAt(5, 1), clockAt(5, 2)}, Tally: Tally{Personal: 99, Full: 99}},                 // three, which write 0.33
	}, takings)
	for i, c := range got {
		if c.Differs() != (i == 2) {
			t.Errorf("%d: got %+v", i, c)
		}
	}
	if c := got[2]; c.Ours != (Tally{Personal: 100, Full: 100}) || c.Ours.Distance(c.Theirs) != 200 || !slices.Equal(c.Meetings, []string{"a", "b"}) {
		t.Errorf("got %+v", c)
	}
}

// TestRule26Reconcile: whole ones, and a sixth for each audio-only and point-to-point call.
func TestRule26Reconcile(t *testing.T) {
	t.Parallel()
	if got := (Tally{Full: 200, Audio: 100, PointToPoint: 150, Personal: 900}).Shared(); got != 1450 {
		t.Errorf("got %d hundredths of a sixth, want 1450", got)
	}
}

// TestBestFit: the evidence decides, and the policy in force stays where it does not.
func TestBestFit(t *testing.T) {
	t.Parallel()
	all := Policies()
	force := Fit{all[0], 500}
	if best, better := BestFit(force, []Fit{{all[1], 500}, {all[0], 600}}); better || best != force {
		t.Errorf("a tie: got %v, %v", best, better)
	}
	if best, better := BestFit(force, []Fit{{all[0], 400}, {all[1], 20}}); !better || best.Distance != 20 {
		t.Errorf("a better one: got %v, %v", best, better)
	}
}
