package conference

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
)

// TestReceiversRotate: a new address works at once, those before for the overlap, and it shows who posts where; records that
// come to both count once.
func TestReceiversRotate(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, first := h.bridge("Main")
		all := posts(run1, story())
		h.receive(h.engine, first, all[0])
		h.clock.Advance(time.Second)
		made, secret, err := h.engine.AddReceiver(t.Context(), "admin", h.account, "main", true, 7*24*time.Hour)
		must(t, err)
		second := secret.Reveal()
		if second == first || !strings.HasPrefix(made.ID, "rcv_") {
			t.Fatalf("got %+v", made)
		}
		other := h.open()
		for _, e := range []*Engine{h.engine, other} {
			if r := h.receive(e, second, all[0]); r.Repeats != 1 {
				t.Errorf("over the other receiver: got %+v, want a repeat", r)
			}
		}
		h.receive(other, first, all[1])
		h.clock.Advance(2 * time.Minute)
		h.receive(h.engine, second, all[2])
		must(t, h.engine.flush(t.Context()))
		must(t, other.flush(t.Context()))
		receivers, err := h.engine.Receivers(t.Context(), h.account, "MAIN")
		must(t, err)
		if len(receivers) != 2 || receivers[0].RetireAt.IsZero() || !receivers[1].RetireAt.IsZero() || !receivers[1].Used[bridgeA].After(receivers[0].Used[bridgeA]) {
			t.Errorf("got %+v, want the first one to end and the second one used later", receivers)
		}
		h.clock.Advance(7 * 24 * time.Hour)
		for _, e := range []*Engine{h.engine, other} {
			_, err := e.Receive(t.Context(), first, []byte(all[3]))
			if e := license.AsError(err); e == nil || e.Code != "receiver-retired" || e.Kind != license.KindNotFound {
				t.Errorf("after the overlap: got %v, want it retired", err)
			}
		}
		for _, p := range all[3:] {
			h.receive(other, second, p)
		}
		if m := h.one(h.engine); m.DurationSeconds != 3601 || m.Incomplete {
			t.Errorf("got %s", brief([]Meeting{m}))
		}
		must(t, h.engine.RetireReceiver(t.Context(), "admin", h.account, "Main", made.ID))
		must(t, h.engine.RetireReceiver(t.Context(), "admin", h.account, "Main", made.ID))
		if _, err := h.engine.Receive(t.Context(), second, []byte(all[3])); license.AsError(err) == nil || license.AsError(err).Code != "receiver-retired" {
			t.Errorf("retired: got %v", err)
		}
		h.clock.Advance(2 * receiverFresh)
		if _, err := other.Receive(t.Context(), second, []byte(all[3])); license.AsError(err) == nil || license.AsError(err).Code != "receiver-retired" {
			t.Errorf("retired elsewhere, two minutes later: got %v", err)
		}
		if err := h.engine.RetireReceiver(t.Context(), "admin", h.account, "Main", "rcv_x"); license.AsError(err) == nil || license.AsError(err).Kind != license.KindNotFound {
			t.Errorf("got %v, want no such receiver", err)
		}
		if _, _, err := h.engine.AddReceiver(t.Context(), "admin", h.account, "Main", true, 10_000*time.Hour); license.AsError(err) == nil {
			t.Errorf("got %v, want a refusal of the overlap", err)
		}
		for range maxReceivers {
			_, _, err = h.engine.AddReceiver(t.Context(), "admin", h.account, "Main", false, 0)
		}
		must(t, err)
		if _, _, err := h.engine.AddReceiver(t.Context(), "admin", h.account, "Main", false, 0); license.AsError(err) == nil || license.AsError(err).Code != "too-many-receivers" {
			t.Errorf("got %v, want too many receivers", err)
		}
	})
}

// TestRetention: posts go after their days, meetings and their records stay, and repeats are still known.
func TestRetention(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		all := posts(run1, story())
		for _, p := range all[:6] {
			h.receive(h.engine, receiver, p)
		}
		idle := h.open() // hears nothing of what follows until posts are gone
		must(t, idle.sync(t.Context(), h.account))
		for _, c := range idle.all() {
			must(t, c.load(t.Context()))
		}
		for _, p := range all[6:] {
			h.receive(h.engine, receiver, p)
		}
		before := brief(h.meetings(h.engine))
		h.clock.Advance(20 * 24 * time.Hour)
		if n, err := h.engine.expire(t.Context(), h.account); n != 0 || err != nil {
			t.Fatalf("after 20 days: got %d removed, %v", n, err)
		}
		h.receive(h.engine, receiver, body(run2, callStart(0, 5000, call2, corr3)))
		h.meetings(h.engine)
		h.clock.Advance(11 * 24 * time.Hour)
		if n, err := h.engine.expire(t.Context(), h.account); n != 11 || err != nil {
			t.Fatalf("after 31 days: got %d removed, %v; want 11", n, err)
		}
		kept, err := h.engine.Retention(t.Context(), h.account)
		must(t, err)
		if kept.Days != 30 || kept.Posts != 1 || kept.Bytes == 0 {
			t.Errorf("got %+v, want one post kept for 30 days", kept)
		}
		for _, e := range []*Engine{h.engine, idle, h.open()} {
			for _, c := range e.all() {
				c.mu.Lock()
				for _, s := range c.sessions {
					s.ring = nil // as when it is long ago
				}
				c.mu.Unlock()
			}
			for i, p := range all {
				if r := h.receive(e, receiver, p); r != (Receipt{Records: 1, Repeats: 1}) {
					t.Errorf("record %d again: got %+v, want a repeat", i, r)
				}
			}
			list := h.meetings(e)
			if got := brief(list[1:]); got != before || len(list) != 2 {
				t.Errorf("got\n%s\nwant\n%s", got, before)
			}
			records, _, err := e.Records(t.Context(), h.account, list[1].ID, legB, "", 100)
			must(t, err)
			if len(records) != 3 || records[0].Whole || !strings.Contains(fieldText(records[0].Fields), "callLeg/displayName=") {
				t.Errorf("got records %+v, want what is left of them", records)
			}
			if r := h.replayAll(e, ReplayOptions{}, 100); r.Differing != 0 || r.Kept != 1 || r.Records != 12 {
				t.Errorf("replay: got %+v", r)
			}
		}
		for _, days := range []int64{-1, 1e9} {
			if _, err := h.engine.SetRetention(t.Context(), "admin", h.account, days); license.AsError(err) == nil {
				t.Errorf("%d days: got %v, want a refusal", days, err)
			}
		}
		kept, err = h.engine.SetRetention(t.Context(), "admin", h.account, 0)
		must(t, err)
		h.clock.Advance(400 * 24 * time.Hour)
		if n, err := h.engine.expire(t.Context(), h.account); kept.Days != 0 || n != 0 || err != nil {
			t.Errorf("for ever: got %d removed, %v", n, err)
		}
	})
}

// TestRule03ContradictsARemovedPost: of a record whose post retention removed it is still known whether another one says the
// same, also of one that says it of another call, and of one that belongs to no meeting.
func TestRule03ContradictsARemovedPost(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		id, receiver := h.bridge("Main")
		all := append(story(), rec{kind: "somethingNew", n: 500, second: 100, inside: "<thing>one</thing>"})
		for _, p := range posts(run1, all) {
			h.receive(h.engine, receiver, p)
		}
		before := brief(h.meetings(h.engine))
		h.clock.Advance(31 * 24 * time.Hour)
		n, err := h.engine.expire(t.Context(), h.account)
		must(t, err)
		if int(n) != len(all) {
			t.Fatalf("got %d posts removed, want all %d", n, len(all))
		}
		again := h.open()
		for i, p := range posts(run1, all) {
			if r := h.receive(again, receiver, p); r != (Receipt{Records: 1, Repeats: 1}) {
				t.Errorf("record %d again: got %+v, want a repeat", i, r)
			}
		}
		first := all[0]
		first.inside = strings.Replace(first.inside, "<name>", "<name>not ", 1)
		elsewhere := callStart(all[0].n, 0, call2, corr3)
		other := all[len(all)-1]
		other.inside = "<thing>two</thing>"
		for _, r := range []rec{first, elsewhere, other} {
			if got := h.receive(again, receiver, body(run1, r)); got != (Receipt{Records: 1, Conflicts: 1}) {
				t.Errorf("%s: got %+v, want a conflict", r.inside, got)
			}
		}
		list := h.meetings(again)
		if len(list) != 1 || brief(list) != before || list[0].Conflicts != 1 {
			t.Errorf("got\n%s\nwant\n%s", brief(list), before)
		}
		conflicts, err := again.Conflicts(t.Context(), h.account, id, "", 10)
		must(t, err)
		if len(conflicts) != 3 {
			t.Fatalf("got %d conflicts, want 3", len(conflicts))
		}
		for _, c := range conflicts {
			if strings.Contains(fieldText(c.Received), "not ") && !strings.Contains(fieldText(c.Stored), "call/callCorrelator="+corr1) {
				t.Errorf("got %s, want what its meeting keeps of the record", fieldText(c.Stored))
			}
		}
	})
}

// TestDigestRows: what is left of posts is read as it was written, and nothing else is read.
func TestDigestRows(t *testing.T) {
	t.Parallel()
	var d digestRow
	want := map[identity]shortDigest{}
	for i, session := range []string{run1, run2, run1} {
		p := &journalPost{seq: int64(7 + i), ignored: []int{1}}
		for j := range 3 {
			r := cdr.Record{Session: session, Correlator: int64(1000*i + 7 - 3*j), Digest: [16]byte{byte(i), byte(j), 3, 8: 9}}
			p.records = append(p.records, r)
			if j != 1 {
				want[identity{session, r.Correlator}] = shortDigest{byte(i), byte(j), 3}
			}
		}
		d.add(p)
	}
	text, got := d.encode(), map[identity]shortDigest{}
	if err := eachDigest(text, func(id identity, s shortDigest) { got[id] = s }); err != nil || !maps.Equal(got, want) || d.first != 7 || d.last != 9 || d.records != 6 {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for n := range text {
		_ = eachDigest(text[:n], func(identity, shortDigest) {}) // no panic
	}
	if eachDigest(nil, nil) == nil || eachDigest([]byte{9}, nil) == nil || eachDigest(text[:len(text)-1], func(identity, shortDigest) {}) == nil {
		t.Error("what is no digest row was read")
	}
}

// TestContradictionsTakeNoRoom: a post whose every record contradicts a stored one is kept once, not once for each.
func TestContradictionsTakeNoRoom(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		id, receiver := h.bridge("Main")
		var first, second []rec
		for i := range 200 {
			first, second = append(first, legStart(i, i, legA, call1)), append(second, legStart(i, i, legB, call1))
		}
		h.receive(h.engine, receiver, body(run1, first...))
		again := body(run1, second...)
		if r := h.receive(h.engine, receiver, again); r.Conflicts != 200 {
			t.Fatalf("got %+v, want 200 conflicts", r)
		}
		var size int64
		must(t, h.store.View(t.Context(), func(tx *store.Tx) error {
			return tx.DB().QueryRowContext(t.Context(), "SELECT sum(length(body)) FROM cdr_conflict").Scan(&size)
		}))
		if size > 2*int64(len(again)) {
			t.Errorf("got %d bytes of conflicts for a post of %d", size, len(again))
		}
		conflicts, err := h.engine.Conflicts(t.Context(), h.account, id, "", 10)
		must(t, err)
		if c := conflicts[9]; !strings.Contains(fieldText(c.Stored), legA) || !strings.Contains(fieldText(c.Received), legB) || c.CallBridge != bridgeA {
			t.Errorf("got %+v", c)
		}
	})
}

// TestBridgeOverview: streams, runs, conflicts with both contents, and what was refused.
func TestBridgeOverview(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		id, receiver := h.bridge("Main", bridgeA)
		for _, p := range posts(run1, story()) {
			h.receive(h.engine, receiver, p)
		}
		bridgeB := bridgeA[:35] + "b"
		h.receive(h.engine, receiver, strings.ReplaceAll(body(run2, callStart(0, 0, call2, corr3), callEnd(5, 9, call2, 0, 9)), bridgeA, bridgeB))
		h.receive(h.engine, receiver, body(run1, callEnd(110, 3601, call1, 3, 9999)))
		_, err := h.engine.Receive(t.Context(), receiver, []byte("<records"))
		if err == nil {
			t.Fatal("a broken body was taken")
		}
		if err := h.engine.ReceiveHead(t.Context(), receiver, []byte("<records session"), 9_000_000); license.AsError(err) == nil || license.AsError(err).Kind != license.KindTooLarge {
			t.Errorf("got %v, want too large", err)
		}
		b, streams, err := h.engine.FindBridge(t.Context(), h.account, "main")
		must(t, err)
		if b.ID != id || b.Conflicts != 1 || b.Refused != 2 || len(streams) != 2 || streams[0].Quarantined || !streams[1].Quarantined || streams[0].Records != 11 {
			t.Errorf("got %+v and %+v", b, streams)
		}
		sessions, err := h.engine.Sessions(t.Context(), h.account, id, "", 10)
		must(t, err)
		if len(sessions) != 2 || sessions[0].ID != run1 || sessions[0].Highest != 110 || sessions[1].Gaps != 4 || sessions[0].Over {
			t.Errorf("got %+v", sessions)
		}
		conflicts, err := h.engine.Conflicts(t.Context(), h.account, id, "", 10)
		must(t, err)
		if len(conflicts) != 1 || !strings.Contains(fieldText(conflicts[0].Stored), "durationSeconds=3601") || !strings.Contains(fieldText(conflicts[0].Received), "durationSeconds=9999") {
			t.Errorf("got %+v", conflicts)
		}
		if rest, err := h.engine.Conflicts(t.Context(), h.account, id, conflicts[0].ID, 10); len(rest) != 0 || err != nil {
			t.Errorf("after the last: got %v, %v", rest, err)
		}
		refused, err := h.engine.RefusedBodies(t.Context(), h.account, id)
		must(t, err)
		large := 0
		for _, r := range refused {
			one, err := h.engine.RefusedBody(t.Context(), h.account, id, r.ID)
			must(t, err)
			if one.Reason == "" || one.Body == "" {
				t.Errorf("got %+v", one)
			}
			if one.Size == 9_000_000 && !one.Whole {
				large++
			}
		}
		if len(refused) != 2 || large != 1 {
			t.Errorf("got %+v, want one that is kept whole and one that is not", refused)
		}
		for _, wrong := range []string{"zz", "00"} {
			if _, err := h.engine.RefusedBody(t.Context(), h.account, id, wrong); license.AsError(err) == nil || license.AsError(err).Kind != license.KindNotFound {
				t.Errorf("got %v, want no such body", err)
			}
		}
	})
}
