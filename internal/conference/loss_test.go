package conference

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	call3 = "44444444-0000-4000-8000-000000000003"
	call4 = "44444444-0000-4000-8000-000000000004"
	corr3 = "55555555-0000-4000-8000-000000000003"
	corr4 = "55555555-0000-4000-8000-000000000004"
)

// lossy is three meetings of one session: the first is over before records 6 to 8 are lost, the second runs then, the
// third begins with the record that announces the loss. The lost records are in the second list: a third leg of the second.
func lossy() (told, lost []rec) {
	first := callStart(10, 31, call4, corr4)
	first.lost = 3
	return []rec{
			callStart(0, 0, call1, corr1), callStart(1, 1, call2, corr3), legStart(2, 2, legA, call2), legIn(3, 3, legA, call2),
			legStart(4, 4, legB, call2), legIn(5, 5, legB, call2), callEnd(6, 6, call1, 0, 6),
			first, callEnd(11, 60, call4, 0, 29), legEnd(12, 61, legA), legEnd(13, 62, legB), callEnd(14, 63, call2, 2, 62),
		}, []rec{
			legStart(7, 10, legC, call2), legIn(8, 11, legC, call2), legEnd(9, 30, legC),
		}
}

// doubts says of each meeting, by its call's start, whether it is incomplete and how many records it misses.
func (h *house) doubts(e *Engine) string {
	h.t.Helper()
	var out []string
	all := h.meetings(e)
	for i := range all {
		m, err := e.Meeting(h.t.Context(), h.account, all[len(all)-1-i].ID)
		must(h.t, err)
		n := int64(0)
		for _, l := range m.Missing {
			n += l.Records
		}
		out = append(out, fmt.Sprintf("%t/%d", m.Incomplete, n))
	}
	return strings.Join(out, " ")
}

func (h *house) bridgeNow(e *Engine) Bridge {
	h.t.Helper()
	all, err := e.Bridges(h.t.Context(), h.account, "", 10)
	must(h.t, err)
	return all[0]
}

// TestRule04Losses: announced losses mark the meetings that were open then, and no others; when the lost records come from
// elsewhere, even much later, the mark goes away.
func TestRule04Losses(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		told, lost := lossy()
		for _, p := range posts(run1, told) {
			h.receive(h.engine, receiver, p)
		}
		h.receive(h.engine, receiver, strings.ReplaceAll(body(run2, callStart(0, 0, call3, "55"), callEnd(1, 90, call3, 0, 90)), bridgeA, bridgeA[:35]+"b"))
		const open = "false/0 false/0 true/3 false/0"
		for _, e := range []*Engine{h.engine, h.open()} {
			if got := h.doubts(e); got != open {
				t.Fatalf("got %s, want %s: the second meeting alone was open", got, open)
			}
		}
		if got := h.bridgeNow(h.engine); got.Missing != 3 || got.Announced != 3 {
			t.Errorf("got %d missing of %d announced, want 3 of 3", got.Missing, got.Announced)
		}
		var m Meeting
		for _, one := range h.meetings(h.engine) {
			if one.Lost {
				m, _, _ = h.engine.Why(t.Context(), h.account, one.ID)
			}
		}
		if len(m.Missing) != 1 || !m.Missing[0].From.Equal(start.Add(5*time.Second)) || !m.Missing[0].To.Equal(start.Add(31*time.Second)) || m.Missing[0].Cause != "announced" {
			t.Errorf("got %+v, want 3 records between the 5th and the 31st second", m.Missing)
		}
		if want := "lost 3 records between 2026-03-02 08:10:05 and 2026-03-02 08:10:31 UTC"; len(m.Missing) == 1 && !strings.Contains(m.Missing[0].Sentence(), want) {
			t.Errorf("got %q, want %q in it", m.Missing[0].Sentence(), want)
		}
		h.clock.Advance(2 * keepEnded)
		for _, c := range h.engine.all() {
			c.evict()
		}
		h.receive(h.engine, receiver, body(run1, lost[0]))
		if got := h.doubts(h.open()); got != "false/0 false/0 true/2 false/0" {
			t.Errorf("one of three came: got %s", got)
		}
		h.receive(h.open(), receiver, body(run1, lost[1:]...))
		for _, e := range []*Engine{h.engine, h.open()} {
			all := h.meetings(e)
			if got := h.doubts(e); got != "false/0 false/0 false/0 false/0" || all[1].ParticipantsMax != 3 {
				t.Errorf("all came: got %s and %s", got, brief(all))
			}
			if got := h.bridgeNow(e); got.Missing != 0 || got.Announced != 3 {
				t.Errorf("got %d missing of %d announced, want 0 of 3", got.Missing, got.Announced)
			}
		}
	})
}

// TestRule04LossInARepeat: another receiver brought the record first; that this one lost those before it is not known from
// there.
func TestRule04LossInARepeat(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		told, _ := lossy()
		for _, r := range told {
			r.lost = 0
			h.receive(h.engine, receiver, body(run1, r))
		}
		if got := h.doubts(h.engine); got != "false/0 false/0 false/0" {
			t.Fatalf("got %s, want nothing announced", got)
		}
		for range 2 {
			if r := h.receive(h.engine, receiver, body(run1, told[7])); r.Repeats != 1 {
				t.Fatalf("got %+v, want a repeat", r)
			}
		}
		for _, e := range []*Engine{h.engine, h.open()} {
			if got := h.doubts(e); got != "false/0 true/3 false/0" {
				t.Errorf("got %s, want the loss at the second meeting", got)
			}
		}
		if got := h.bridgeNow(h.engine); got.Announced != 3 || got.Posts != 13 {
			t.Errorf("got %+v, want one more post and 3 announced", got)
		}
	})
}

// TestRule04LossWithoutNumbers: a call bridge that says records are lost and numbers on is believed all the same.
func TestRule04LossWithoutNumbers(t *testing.T) {
	for name, order := range map[string][]int{"in order": {0, 1, 2, 3}, "in any": {0, 2, 1, 3}} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				_, receiver := h.bridge("Main")
				records := []rec{callStart(0, 0, call1, corr1), legStart(1, 1, legA, call1), legIn(2, 2, legA, call1), callEnd(3, 9, call1, 0, 9)}
				records[2].lost = 4
				for _, i := range order {
					h.receive(h.engine, receiver, strings.Replace(body(run1, records[i]), `recordIndex="1"`, fmt.Sprintf(`recordIndex="%d"`, 70+i), 1))
				}
				for _, e := range []*Engine{h.engine, h.open()} {
					if m := h.one(e); !m.Lost || len(m.Missing) != 1 || m.Missing[0].Records != 4 || m.Missing[0].Cause != "unnumbered" {
						t.Errorf("got %s with %+v, want 4 records lost without numbers", brief([]Meeting{m}), m.Missing)
					}
				}
			})
		})
	}
}

// TestRule12TailLoss: what a call bridge has numbered and not sent two minutes later is lost, until it comes.
func TestRule12TailLoss(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		id, receiver := h.bridge("Main")
		look := func(next int64, want int64) {
			t.Helper()
			lost, err := h.engine.NoteCorrelator(t.Context(), h.account, id, strings.ToUpper(bridgeA), next)
			must(t, err)
			if lost != want {
				t.Errorf("next is %d: got %d lost, want %d", next, lost, want)
			}
		}
		look(5, 0) // nothing was heard of it
		records := story()
		for _, p := range posts(run1, records[:7]) {
			h.receive(h.engine, receiver, p)
		}
		look(107, 0)
		look(111, 0)
		h.clock.Advance(time.Minute)
		look(111, 0)
		if m := h.one(h.engine); m.Incomplete {
			t.Error("incomplete while the records may be on their way")
		}
		h.clock.Advance(time.Minute)
		look(113, 4)
		for _, e := range []*Engine{h.engine, h.open()} {
			if m := h.one(e); !m.Incomplete || len(m.Missing) != 1 || m.Missing[0].Records != 4 || m.Missing[0].Cause != "tail" {
				t.Errorf("got %s with %+v, want 4 records missing", brief([]Meeting{m}), m.Missing)
			}
		}
		look(113, 0)
		h.clock.Advance(3 * time.Minute)
		look(113, 6)
		for _, p := range posts(run1, records[7:]) {
			h.receive(h.engine, receiver, p)
		}
		for _, e := range []*Engine{h.engine, h.open()} {
			if m := h.one(e); m.Incomplete || m.Lost || m.DurationSeconds != 3601 {
				t.Errorf("got %s, want it whole", brief([]Meeting{m}))
			}
		}
		look(111, 0)
		h.receive(h.engine, receiver, body(run2, callStart(0, 4000, call2, corr3)))
		look(1, 0) // it has restarted
	})
}

// TestRule04GapNobodyAnnounced: records that were numbered before others, never came within an hour and were not announced mark the
// meetings that were open then, and those alone; they heal when the records come, also one after the other.
func TestRule04GapNobodyAnnounced(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		records, lost := lossy()
		records[7].lost = 0
		for _, p := range posts(run1, records) {
			h.receive(h.engine, receiver, p)
		}
		look := func(e *Engine, want string) {
			t.Helper()
			must(t, e.noteGaps(t.Context(), h.account))
			for _, e := range []*Engine{e, h.open()} {
				if got := h.doubts(e); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		}
		look(h.engine, "false/0 false/0 false/0")
		h.clock.Advance(time.Hour - time.Second)
		look(h.engine, "false/0 false/0 false/0")
		h.clock.Advance(2 * time.Second)
		look(h.engine, "false/0 true/3 false/0")
		look(h.engine, "false/0 true/3 false/0")
		m, err := h.engine.Meeting(t.Context(), h.account, h.meetings(h.engine)[1].ID)
		must(t, err)
		if len(m.Missing) != 1 || m.Missing[0].Cause != "gap" || !strings.Contains(m.Missing[0].Sentence(), "announced nothing") {
			t.Errorf("got %+v", m.Missing)
		}
		other := h.open()
		look(other, "false/0 true/3 false/0")
		if b := h.bridgeNow(other); b.Missing != 3 || b.Announced != 0 {
			t.Errorf("got %d missing of %d announced, want 3 of 0", b.Missing, b.Announced)
		}
		for i, want := range []string{"false/0 true/2 false/0", "false/0 true/1 false/0", "false/0 false/0 false/0"} {
			h.receive(other, receiver, body(run1, lost[i]))
			look(other, want)
		}
		h.clock.Advance(2 * time.Hour)
		look(other, "false/0 false/0 false/0")
	})
}

// TestLossesInAnyOrder: what is lost of a session depends on the set of its records, not on the order in which they came,
// and survives being stored.
func TestLossesInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "records")
		var records []cdr.Record
		gone := int64(0)
		for i := range int64(n) {
			r := cdr.Record{Session: "s", Correlator: i, RecordIndex: i + 1, At: start.Add(time.Duration(i) * time.Second), CallID: fmt.Sprint(i / 7), Kind: cdr.CallLegUpdate}
			switch i % 7 {
			case 0:
				r.Kind = cdr.CallStart
			case 6:
				r.Kind = cdr.CallEnd
			}
			if rapid.IntRange(0, 3).Draw(t, "lost") == 0 {
				gone++
				continue
			}
			r.RecordIndex -= gone
			r.Missing, gone = gone, 0
			records = append(records, r)
		}
		read := func(records []cdr.Record) (got []gap, lost [][]gap) {
			s := &session{id: "s"}
			for i := range records {
				if records[i].Missing > 0 {
					s.announce(&records[i], store.Ms(records[i].At))
				}
				s.hear(&records[i], store.Ms(records[i].At))
				if rapid.IntRange(0, 5).Draw(t, "stored") == 0 {
					row, err := s.row("a", "c")
					if err != nil {
						t.Fatal(err)
					}
					if s, err = sessionOf(db.CdrSession{Session: "s", Ranges: row.Ranges, Losses: row.Losses, Announced: row.Announced}); err != nil {
						t.Fatal(err)
					}
				}
			}
			byCall := map[string][]*cdr.Record{}
			for i := range records {
				byCall[records[i].CallID] = append(byCall[records[i].CallID], &records[i])
			}
			for c := range n {
				lost = append(lost, s.lostFrom([]string{fmt.Sprint(c)}, byCall[fmt.Sprint(c)], nil))
			}
			return s.gaps(), lost
		}
		gaps, lost := read(records)
		missing := int64(0)
		for _, g := range gaps {
			missing += g.records
		}
		announced := int64(0)
		for _, r := range records {
			announced += r.Missing
		}
		if missing != announced {
			t.Fatalf("%d are missing, %d were announced", missing, announced)
		}
		again, lostAgain := read(rapid.Permutation(records).Draw(t, "arrival"))
		if !reflect.DeepEqual(again, gaps) || !reflect.DeepEqual(lostAgain, lost) {
			t.Errorf("in another order:\ngot  %v %v\nwant %v %v", again, lostAgain, gaps, lost)
		}
	})
}

// TestRule04MovedLeg: a meeting into which a leg moved misses nothing that was lost after it, though the leg's other call went on.
func TestRule04MovedLeg(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		told := callEnd(12, 40, call1, 2, 40)
		told.lost = 3
		for _, p := range posts(run1, []rec{
			callStart(0, 0, call1, corr1), legStart(1, 1, legA, call1), legIn(2, 1, legA, call1), legStart(3, 1, legB, call1), legIn(4, 1, legB, call1),
			callStart(5, 2, call2, corr3), legIn(6, 3, legA, call2), legEnd(7, 9, legA), callEnd(8, 10, call2, 1, 8),
			told,
		}) {
			h.receive(h.engine, receiver, p)
		}
		for _, e := range []*Engine{h.engine, h.open()} {
			for _, m := range h.meetings(e) {
				m, err := e.Meeting(t.Context(), h.account, m.ID)
				must(t, err)
				if lost := len(m.Missing) > 0; lost != (m.StartedAt.Equal(start)) {
					t.Errorf("%s misses %v; the meeting that ran alone does", brief([]Meeting{m}), m.Missing)
				}
			}
		}
	})
}
