package conference

import (
	"testing"

	"github.com/tallystick/tallystick/internal/cdr"
	"pgregory.net/rapid"
)

// TestRule03RecordIndex: a record that comes to a receiver with the number of another one is flagged and counts, once, whatever
// happens in between; the same record with another number at another receiver is no conflict.
func TestRule03RecordIndex(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		_, secret, err := h.engine.AddReceiver(t.Context(), "admin", h.account, "Main", false, 0)
		must(t, err)
		all := story()
		h.receive(h.engine, receiver, bodyFrom(1, run1, all[:3]...))
		h.receive(h.engine, secret.Reveal(), bodyFrom(51, run1, all[:4]...)) // a slot that began earlier
		h.receive(h.engine, receiver, bodyFrom(2, run1, all[4]))             // 2 is the number of another one
		second := h.open()                                                   // as after a crash: nothing was flushed
		if r := h.receive(second, receiver, bodyFrom(3, run1, all[5])); r != (Receipt{Records: 1, New: 1}) {
			t.Fatalf("got %+v, want the record to count", r)
		}
		must(t, second.flush(t.Context()))
		third := h.open() // and after another, when all was
		h.receive(third, receiver, bodyFrom(7, run1, all[6:]...))
		for _, e := range []*Engine{third, h.engine, h.open()} {
			if m := h.one(e); m.DurationSeconds != 3601 || m.Incomplete || m.Conflicts != 2 {
				t.Errorf("got %s with %d conflicts, want a whole meeting and 2", brief([]Meeting{m}), m.Conflicts)
			}
		}
		found, err := third.Conflicts(t.Context(), h.account, "Main", "", 10)
		must(t, err)
		if len(found) != 2 {
			t.Fatalf("got %d conflicts, want 2", len(found))
		}
		for i, want := range []struct{ correlator, index, against int64 }{{104, 2, 101}, {105, 3, 102}} {
			k := found[i]
			if k.Correlator != want.correlator || k.RecordIndex != want.index || k.Against != want.against || !k.Counts || len(k.Stored) == 0 || len(k.Received) == 0 {
				t.Errorf("got %+v, want %+v", k, want)
			}
		}
	})
}

// TestNumbersOfReceivers: what is numbered as call bridges do is no conflict in any order of arrival, and one strange number is.
func TestNumbersOfReceivers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var records []cdr.Record
		correlator := int64(0)
		for index := range rapid.Int64Range(1, 60).Draw(t, "records") {
			if rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
				correlator += rapid.Int64Range(1, 5).Draw(t, "many")
			}
			records = append(records, cdr.Record{Session: run1, Correlator: correlator, RecordIndex: index + 1})
			correlator++
		}
		s := &session{id: run1}
		hear := func(r *cdr.Record) int64 {
			if r.Correlator%7 == 3 { // another receiver brought it before
				s.hear(r, 1)
				return s.number("rcv_1", r, true)
			}
			against := s.number("rcv_1", r, false)
			s.hear(r, 1)
			return against
		}
		for _, i := range rapid.Permutation(records).Draw(t, "order") {
			if against := hear(&i); against >= 0 {
				t.Fatalf("%d is taken for a conflict with %d", i.Correlator, against)
			}
		}
		if s.numbers["rcv_1"].Several {
			t.Fatalf("taken for several numberings")
		}
		first := records[rapid.IntRange(0, len(records)-1).Draw(t, "first")]
		strange := cdr.Record{Session: run1, Correlator: correlator + 100, RecordIndex: first.RecordIndex}
		text, err := s.numbersText()
		if err != nil {
			t.Fatal(err)
		}
		s.numbers = nil
		if err := s.readNumbers(text); err != nil {
			t.Fatal(err)
		}
		if against := s.number("rcv_1", &strange, false); against != first.Correlator {
			t.Fatalf("got %d, want a conflict with %d", against, first.Correlator)
		}
	})
}

// TestSeveralNumberings: an address that several slots of a call bridge share, and a slot that was made anew, are found out.
func TestSeveralNumberings(t *testing.T) {
	t.Parallel()
	shared, anew := &session{}, &session{}
	flagged := 0
	for n := range int64(200) {
		r := cdr.Record{Correlator: n, RecordIndex: n + 1}
		if shared.number("rcv_1", &r, false) >= 0 {
			t.Fatalf("%d is a conflict", n)
		}
		shared.hear(&r, 1)
		if n >= 100 {
			if r.RecordIndex -= 100; shared.number("rcv_1", &r, true) >= 0 {
				t.Fatalf("the repeat of %d is a conflict", n)
			}
		}
		again := cdr.Record{Correlator: n, RecordIndex: n%100 + 1}
		if anew.number("rcv_1", &again, false) >= 0 {
			flagged++
		}
		anew.hear(&again, 1)
	}
	if !shared.numbers["rcv_1"].Several || !anew.numbers["rcv_1"].Several || flagged > maxStrays {
		t.Errorf("got %+v and %+v, %d flagged; want several numberings, and few", shared.numbers["rcv_1"], anew.numbers["rcv_1"], flagged)
	}
}
