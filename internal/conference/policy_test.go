package conference

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// party has a leg of a known address in a call.
func party(n, second int, leg, call, address string) []rec {
	r := legStart(n, second, leg, call)
	r.inside = strings.Replace(r.inside, "</callLeg>", "<remoteParty>"+address+"</remoteParty></callLeg>", 1)
	return []rec{r, legIn(n+1, second, leg, call)}
}

// TestRule13PolicyPerBridge: each bridge decides by its own policy, or by that of all; the change counts for meetings that begin
// afterwards, and each meeting keeps what decided it.
func TestRule13PolicyPerBridge(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, main := h.bridge("Main")
		labID, lab := h.bridge("Lab")
		_, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[{"jid":"alice@acme.example","personalLicense":true},{"jid":"bob@acme.example"}],
			"spaces":[{"id":"`+space+`","name":"Daily","owner":"bob@acme.example"}]}`))
		must(t, err)
		records := func(n int, call, corr string) string {
			all := []rec{callStart(n, 10*n, call, corr)}
			all = append(all, party(n+1, 10*n+1, legA[:33]+call[33:], call, "sip:alice@acme.example:5060")...)
			return body(run1, append(all, legEnd(n+3, 10*n+60, legA[:33]+call[33:]), callEnd(n+4, 10*n+60, call, 1, 60))...)
		}
		h.receive(h.engine, main, records(0, call1, corr1))
		set, err := h.engine.SetPolicy(t.Context(), "admin", h.account, "lab", "member-first", map[string]string{"audio-only": "whole"})
		must(t, err)
		if set.Bridge != labID || set.Version != 2 || !set.Own || set.Unchanged || set.Policy.String() != "member-first 1 audio-only=whole" {
			t.Errorf("got %+v", set)
		}
		again, err := h.engine.SetPolicy(t.Context(), "admin", h.account, labID, "member-first", map[string]string{"audio-only": "whole"})
		must(t, err)
		if !again.Unchanged || again.Version != 2 {
			t.Errorf("the same again: got %+v", again)
		}
		other := strings.NewReplacer(run1, "99999999-0000-4000-8000-000000000009").Replace
		h.receive(h.engine, lab, other(records(0, call2, corr1[:35]+"7")))
		h.receive(h.engine, main, records(100, call1[:35]+"8", corr1[:35]+"8"))
		for _, e := range []*Engine{h.engine, h.open()} {
			got := map[string]string{}
			for _, m := range h.meetings(e) {
				m, err := e.Meeting(t.Context(), h.account, m.ID)
				must(t, err)
				got[m.Policy] += m.Segments[0].Rule + " " + m.Segments[0].User + " " + string(rune('0'+m.DirectoryVersion)) + ";"
			}
			if got["member-first 1 audio-only=whole"] != "member alice@acme.example 2;" || !slices.Contains([]string{"shared  1;shared  2;", "shared  2;shared  1;"}, got["owner-first 2"]) {
				t.Errorf("got %q", got)
			}
		}
		all, err := h.engine.SetPolicy(t.Context(), "admin", h.account, "", "member-first", nil)
		must(t, err)
		list, err := h.engine.Policies(t.Context(), h.account)
		must(t, err)
		var lines []string
		for _, p := range list {
			lines = append(lines, strings.TrimSpace(p.BridgeName+" "+p.Policy.String()))
		}
		if want := []string{"member-first 1", "Lab member-first 1 audio-only=whole", "Main member-first 1"}; !slices.Equal(lines, want) || all.Version != 3 || list[2].Own || !list[1].Own {
			t.Errorf("got %q, want %q", lines, want)
		}
		if sum, err := h.engine.Directory(t.Context(), h.account); err != nil || sum.Version != 3 || sum.Users != 2 || sum.Personal != 1 || sum.ImportedAt.IsZero() {
			t.Errorf("the directory is not as it was: %+v, %v", sum, err)
		}
		var kinds []string
		must(t, h.store.View(t.Context(), func(tx *store.Tx) error {
			rows, err := tx.Events(t.Context(), db.EventsParams{AccountID: h.account, Page: 100})
			for _, r := range rows {
				if r.Kind == "policy.set" {
					kinds = append(kinds, r.Subject)
				}
			}
			return err
		}))
		if !slices.Equal(kinds, []string{labID, "all bridges"}) {
			t.Errorf("got the events %q", kinds)
		}
	})
}

// TestRule15LegWithoutStart: of a leg that a call bridge tells of by an update alone, as it was there before, the address says
// who it is.
func TestRule15LegWithoutStart(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, main := h.bridge("Main")
		_, err := h.engine.SetPolicy(t.Context(), "admin", h.account, "", "member-first", nil)
		must(t, err)
		_, err = h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[{"jid":"alice@acme.example","personalLicense":true}]}`))
		must(t, err)
		in := legIn(1, 10, legA, call1)
		in.inside = strings.Replace(in.inside, "</callLeg>", "<remoteAddress>sip:alice@acme.example</remoteAddress></callLeg>", 1)
		h.receive(h.engine, main, body(run1, callStart(0, 0, call1, corr1), in, legEnd(2, 60, legA), callEnd(3, 60, call1, 1, 60)))
		for _, m := range h.meetings(h.engine) {
			if len(m.Segments) != 1 || m.Segments[0].Rule != "member" || m.Segments[0].User != "alice@acme.example" {
				t.Errorf("got %+v", m.Segments)
			}
		}
	})
}

func TestPolicyRefusals(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		for _, tc := range []struct {
			bridge, name, key, value, code string
		}{
			{"", "guest-first", "", "", "no-such-policy"},
			{"", "owner-first", "flavor", "red", "no-such-option"},
			{"", "owner-first", "audio-only", "loud", "bad-option"},
			{"", "owner-first", "service-accounts", "a b", "bad-option"},
			{"nowhere", "owner-first", "", "", "not-found"},
		} {
			options := map[string]string{}
			if tc.key != "" {
				options[tc.key] = tc.value
			}
			_, err := h.engine.SetPolicy(t.Context(), "admin", h.account, tc.bridge, tc.name, options)
			if e := license.AsError(err); e == nil || e.Code != tc.code || e.Hint == "" {
				t.Errorf("%+v: got %v", tc, err)
			}
		}
		same, err := h.engine.SetPolicy(t.Context(), "admin", h.account, "", "owner-first", nil)
		must(t, err)
		if !same.Unchanged || same.Version != 0 {
			t.Errorf("the default again: got %+v", same)
		}
	})
}

// TestDecideStored: a stored meeting decided again is what is stored of it, and may be decided under another policy.
func TestDecideStored(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		bridge, receiver := h.bridge("Main")
		h.directory(false)
		records := story()
		records = append(records[:1:1], append(party(101, 1, legA, call1, "alice@acme.example"), records[3:]...)...)
		h.receive(h.engine, receiver, body(run1, records...))
		m := h.one(h.engine)
		closed, err := h.engine.closedSessions(t.Context(), h.account, bridge)
		must(t, err)
		var row db.Meeting
		must(t, h.store.View(t.Context(), func(tx *store.Tx) (err error) {
			row, err = tx.Meeting(t.Context(), db.MeetingParams{AccountID: h.account, MeetingID: m.ID})
			return err
		}))
		conf, d, err := h.engine.decideStored(t.Context(), &row, closed, nil)
		must(t, err)
		v := view{conf: conf, row: row}
		v.keep(&d, d.Policy.String())
		if v.row.Segments != row.Segments || v.row.Facts != row.Facts || v.row.Policy != row.Policy {
			t.Errorf("got %s %s, stored is %s %s", v.row.Policy, v.row.Segments, row.Policy, row.Segments)
		}
		other := meeting.MemberFirst()
		h.directory(true) // does not matter: the meeting is bound to the one before
		if _, d, err = h.engine.decideStored(t.Context(), &row, closed, &other); err != nil || d.Policy != other || d.DirectoryVersion != 1 || d.Segments[0].License != meeting.Shared {
			t.Errorf("got %+v, %v", d, err)
		}
	})
}

func TestAsk(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, err := h.engine.Ask(t.Context(), h.account, Question{})
		if e := license.AsError(err); e == nil || e.Code != "bad-question" {
			t.Errorf("got %v", err)
		}
		_, err = h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[
			{"jid":"ines@acme.example","guid":"00112233-4455-6677-8899-aabbccddeeff","userId":"imoe","personalLicense":true},{"jid":"noor@acme.example","userId":"noor"}],
			"spaces":[{"id":"S1","name":"Harbor","owner":"noor@acme.example"},{"id":"S2","name":"Dock","owner":"ines@acme.example"},{"id":"S3","name":"dock"}],
			"devices":[{"device":"dx80@acme.example","owner":"ines@acme.example"}]}`))
		must(t, err)
		_, err = h.engine.SetPolicy(t.Context(), "admin", h.account, "", "owner-first", map[string]string{"audio-only": "whole"})
		must(t, err)
		ask := func(q Question) string {
			t.Helper()
			answers, err := h.engine.Ask(t.Context(), h.account, q)
			must(t, err)
			var out []string
			for _, a := range answers {
				g := a.Segments[0]
				word := a.Policy.Name[:1]
				if a.InForce {
					word = strings.ToUpper(word)
				}
				out = append(out, strings.TrimSpace(word+" "+g.Rule+" "+g.Sixths.String()+" "+g.User))
				if len(a.Why) == 0 || a.Directory != 2 {
					t.Errorf("%+v: got %+v", q, a)
				}
			}
			return strings.Join(out, "; ")
		}
		for _, tc := range []struct {
			q    Question
			want string
		}{
			{Question{Question: meeting.Question{Space: "harbor"}}, "O shared 1; m shared 1"},
			{Question{Question: meeting.Question{Space: "S1", Owner: "imoe"}}, "O owner 1 ines@acme.example; m owner 1 ines@acme.example"},
			{Question{Question: meeting.Question{Space: "S1", Members: []string{"noor", "imoe"}}}, "O shared 1; m member 1 ines@acme.example"},
			{Question{Question: meeting.Question{Space: "S1", Members: []string{"sip:DX80@acme.example"}}}, "O shared 1; m member 1 ines@acme.example"},
			{Question{Question: meeting.Question{AdHoc: "{33221100-5544-7766-8899-AABBCCDDEEFF}"}}, "O ad-hoc 1 ines@acme.example; m shared 1"},
			{Question{Question: meeting.Question{AdHoc: "none", Participants: 2}}, "O point-to-point 1/6; m point-to-point 1/6"},
			{Question{Question: meeting.Question{Booking: `ACME\imoe`}}, "O scheduler 1 ines@acme.example; m shared 1"},
			{Question{Question: meeting.Question{Space: "S1", Booking: "imoe"}}, "O scheduler 1 ines@acme.example; m shared 1"},
			{Question{Question: meeting.Question{Gateway: true}}, "O gateway 1/6; m gateway 1/6"},
			{Question{Question: meeting.Question{Lync: true}}, "O dual-home 1; m dual-home 1"},
			{Question{Question: meeting.Question{Lync: true, Participants: 4}, Options: map[string]string{"lync-mode": "gateway"}, Policy: "owner-first"}, "o lync-gateway 4/6"},
			{Question{Question: meeting.Question{Space: "S1", Audio: true}}, "O shared 1; m shared 1"},
			{Question{Question: meeting.Question{Space: "S1", Audio: true}, Options: map[string]string{"audio-only": "sixth"}}, "o audio-only 1/6; m audio-only 1/6"},
			{Question{Question: meeting.Question{Space: "S1"}, Policy: "member-first"}, "m shared 1"},
		} {
			if got := ask(tc.q); got != tc.want {
				t.Errorf("%+v: got %s, want %s", tc.q, got, tc.want)
			}
		}
		for code, q := range map[string]Question{
			"several-spaces": {Question: meeting.Question{Space: "Dock"}},
			"no-such-policy": {Question: meeting.Question{Space: "S1"}, Policy: "guest-first"},
			"not-found":      {Question: meeting.Question{Space: "S1"}, Bridge: "nowhere"},
			"bad-question":   {Question: meeting.Question{Space: "S1", Gateway: true}},
		} {
			_, err := h.engine.Ask(t.Context(), h.account, q)
			if e := license.AsError(err); e == nil || e.Code != code || e.Hint == "" {
				t.Errorf("%+v: got %v, want %s", q, err, code)
			}
		}
	})
}

// TestPolicyIsStoredWhole: what is stored of a policy has every option, so that another default later does not change it.
func TestPolicyIsStoredWhole(t *testing.T) {
	t.Parallel()
	doc, err := json.Marshal(meeting.OwnerFirst())
	must(t, err)
	for _, o := range meeting.OptionList() {
		if !strings.Contains(string(doc), `"`+o.Key+`":`) {
			t.Errorf("%s lacks %s", doc, o.Key)
		}
	}
}
