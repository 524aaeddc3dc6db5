package license

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestReservationRows plays the rows of smart licensing, section 13.5, that need no pool: what is allowed and what is refused.
func TestReservationRows(t *testing.T) {
	states := []ReservationState{ReservationIssued, ReservationConfirmed, ReservationInTransit, ReservationReturned, ReservationQuarantined, ReservationReleased}
	at := func(s ReservationState) Reservation {
		switch s {
		case ReservationIssued:
			return Reservation{State: s, Version: 1}
		case ReservationInTransit:
			return Reservation{State: s, Version: 3, Confirmed: 2}
		}
		return Reservation{State: s, Version: 2, Confirmed: 2}
	}
	code := func(err error) string {
		if err == nil {
			return ""
		}
		return AsError(err).Code
	}
	want := map[ReservationState][4]string{ // update, confirm the newest, rehost, release
		ReservationIssued:      {"", "", "", "not-quarantined"},
		ReservationConfirmed:   {"", "", "", "not-quarantined"},
		ReservationInTransit:   {"reservation-in-transit", "", "reservation-in-transit", "not-quarantined"},
		ReservationReturned:    {"reservation-ended", "reservation-ended", "return-complete", ""},
		ReservationQuarantined: {"reservation-ended", "reservation-ended", "reservation-ended", ""},
		ReservationReleased:    {"reservation-ended", "reservation-ended", "reservation-ended", ""},
	}
	for _, s := range states {
		r := at(s)
		_, _, confirm := r.Confirm(r.Version)
		_, _, release := r.Release()
		if got := [4]string{code(r.Update()), code(confirm), code(r.Rehost()), code(release)}; got != want[s] {
			t.Errorf("%s: got %q, want %q", s, got, want[s])
		}
		next, repeated := r.GiveUp()
		if s == ReservationReleased {
			if !repeated || next.State != s {
				t.Errorf("%s, return: got %+v, %t", s, next, repeated)
			}
		} else if next.State != ReservationReturned || repeated != (s == ReservationReturned) {
			t.Errorf("%s, return: got %+v, %t", s, next, repeated)
		}
	}
	for _, c := range []struct {
		r         Reservation
		version   int
		state     ReservationState
		confirmed int
		repeated  bool
		code      string
	}{
		{Reservation{ReservationIssued, 1, 0}, 1, ReservationConfirmed, 1, false, ""},            // Q2
		{Reservation{ReservationConfirmed, 1, 1}, 1, ReservationConfirmed, 1, true, ""},          // Q9
		{Reservation{ReservationInTransit, 2, 1}, 2, ReservationConfirmed, 2, false, ""},         // Q4
		{Reservation{ReservationInTransit, 2, 1}, 1, ReservationInTransit, 1, false, "code-old"}, // says so
		{Reservation{ReservationInTransit, 2, 0}, 1, ReservationInTransit, 1, false, ""},         // late, and right
		{Reservation{ReservationIssued, 1, 0}, 2, ReservationIssued, 0, false, "code-ahead"},
	} {
		got, repeated, err := c.r.Confirm(c.version)
		if got.State != c.state || got.Confirmed != c.confirmed || repeated != c.repeated || code(err) != c.code {
			t.Errorf("%+v confirms %d: got %+v, %t, %v", c.r, c.version, got, repeated, err)
		}
	}
}

func lotsOf(now time.Time) []ReservedLot {
	return []ReservedLot{
		{Lot: "short", Tag: "a", Quantity: 3, Type: Term, Start: now.Add(-day), End: now.Add(10 * day)},
		{Lot: "forever", Tag: "a", Quantity: 2, Type: Perpetual, Start: now.Add(-day)},
		{Lot: "long", Tag: "a", Quantity: 4, Type: Term, Start: now.Add(-day), End: now.Add(100 * day)},
		{Lot: "over", Tag: "a", Quantity: 50, Type: Term, Start: now.Add(-9 * day), End: now},
		{Lot: "later", Tag: "a", Quantity: 50, Type: Perpetual, Start: now.Add(day)},
		{Lot: "other", Tag: "b", Quantity: 7, Type: Perpetual, Start: now.Add(-day)},
	}
}

func quantities(lots []ReservedLot) map[string]int64 {
	out := map[string]int64{}
	for _, l := range lots {
		out[l.Lot] += l.Quantity
	}
	return out
}

func TestPlanTakesTheLongestDatedFirst(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	free := map[Tag]int64{"a": 9, "b": 7}
	one, err := PlanReservation(nil, map[Tag]int64{"a": 5, "b": 1}, lotsOf(now), free, now)
	if got := quantities(one); err != nil || !maps.Equal(got, map[string]int64{"forever": 2, "long": 3, "other": 1}) {
		t.Fatalf("got %v, %v", got, err)
	}
	less, err := PlanReservation(one, map[Tag]int64{"a": 1}, nil, nil, now)
	if got := quantities(less); err != nil || !maps.Equal(got, map[string]int64{"forever": 1}) {
		t.Fatalf("a smaller one keeps the longest-dated: got %v, %v", got, err)
	}
	if got := quantities(InTransit(one, less)); !maps.Equal(got, quantities(one)) {
		t.Errorf("in transit to less, all stays charged: %v", got)
	}
	if got := quantities(Less(InTransit(one, less), less)); !maps.Equal(got, map[string]int64{"forever": 1, "long": 3, "other": 1}) {
		t.Errorf("what is freed: %v", got)
	}
	_, err = PlanReservation(one, map[Tag]int64{"a": 6}, lotsOf(now), map[Tag]int64{"a": 0}, now)
	if AsError(err).Code != "not-available" {
		t.Errorf("more than is available: %v", err)
	}
	// Ten days later the short lot has ended: what it held is left behind and must come from elsewhere.
	all, err := PlanReservation(nil, map[Tag]int64{"a": 9}, lotsOf(now), free, now)
	if err != nil {
		t.Fatal(err)
	}
	same, err := PlanReservation(all, map[Tag]int64{"a": 9}, []ReservedLot{{Lot: "new", Tag: "a", Quantity: 5, Start: now}}, map[Tag]int64{"a": 5}, now.Add(10*day))
	if got := quantities(same); err != nil || !maps.Equal(got, map[string]int64{"forever": 2, "long": 4, "new": 3}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestPlanHoldsWhatIsWanted(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		pool := lotsOf(now)
		for i := range pool {
			pool[i].Quantity = rapid.Int64Range(0, 6).Draw(rt, pool[i].Lot)
		}
		free := TagSums(pool, now)
		var held []ReservedLot
		for range 4 {
			want := map[Tag]int64{"a": rapid.Int64Range(0, 12).Draw(rt, "a"), "b": rapid.Int64Range(0, 6).Draw(rt, "b")}
			next, err := PlanReservation(held, want, pool, free, now)
			possible := want["a"] <= TagSums(held, now)["a"]+free["a"] && want["b"] <= TagSums(held, now)["b"]+free["b"]
			if (err == nil) != possible {
				rt.Fatalf("want %v, held %v, free %v: %v", want, held, free, err)
			}
			if err != nil {
				continue
			}
			charged := InTransit(held, next)
			for tag := range free {
				if TagSums(next, now)[tag] != want[tag] {
					rt.Fatalf("holds %v, want %v", next, want)
				}
				if TagSums(charged, now)[tag] != max(want[tag], TagSums(held, now)[tag]) {
					rt.Fatalf("charged %v for %v and then %v", charged, held, next)
				}
			}
			for _, l := range Less(next, held) { // what was taken
				i := 0
				for pool[i].Lot != l.Lot {
					i++
				}
				if pool[i].Quantity -= l.Quantity; pool[i].Quantity < 0 {
					rt.Fatalf("lot %s gave more than it had", l.Lot)
				}
			}
			for _, l := range Less(charged, next) { // what the confirmation frees
				i := 0
				for pool[i].Lot != l.Lot {
					i++
				}
				pool[i].Quantity += l.Quantity
			}
			held, free = next, TagSums(pool, now)
		}
	})
}

func TestCoverUse(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	lots := lotsOf(now)
	for _, c := range []struct {
		kind    ReservationKind
		usage   map[Tag]int64
		covered bool
	}{
		{Specific, nil, true},
		{Specific, map[Tag]int64{"a": 9, "b": 7}, true},
		{Specific, map[Tag]int64{"a": 10}, false},
		{Specific, map[Tag]int64{"c": 1}, false},
		{Specific, map[Tag]int64{"c": 0}, true},
		{Universal, map[Tag]int64{"c": 1000}, true},
	} {
		if rows, covered := CoverUse(c.kind, lots, c.usage, now); covered != c.covered {
			t.Errorf("%s %v: got %t, %+v", c.kind, c.usage, covered, rows)
		}
	}
	rows, _ := CoverUse(Specific, lots, map[Tag]int64{"a": 11}, now)
	if r := rows[0]; r.Reserved != 9 || r.Missing != 2 || r.Ended != 50 || !r.Ends.Equal(now.Add(10*day)) {
		t.Errorf("got %+v", r)
	}
	if rows, covered := CoverUse(Specific, lots, map[Tag]int64{"a": 9}, now.Add(10*day)); covered && rows[0].Missing == 0 {
		t.Log("the lot that starts later covers")
	}
}
