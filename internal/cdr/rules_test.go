package cdr

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// parsed reads the records of bodies and folds them into the only meeting that they make.
func parsed(t *testing.T, bodies ...[]byte) Conference {
	t.Helper()
	rt := NewRouter()
	for _, b := range bodies {
		p := mustParse(t, b)
		for i := range p.Records {
			rt.Add(&p.Records[i])
		}
	}
	if keys := rt.Keys(); len(keys) != 1 {
		t.Fatalf("got the meetings %v, want one", keys)
	}
	return rt.Fold(rt.Keys()[0], Options{})
}

func legOf(id, inside string) string { return `<callLeg id="` + id + `">` + inside + `</callLeg>` }

// TestRule08LegsWithoutStartOrEnd: a leg is built from its update, ends with its call, and belongs to no meeting in the voice menu.
func TestRule08LegsWithoutStartOrEnd(t *testing.T) {
	t.Parallel()
	c := parsed(t, body(
		record("callStart", 0, startOfCall),
		record("callLegStart", 1, legOf("menu", `<ivr/>`)),
		record("callLegUpdate", 2, legOf("late", `<state>connected</state><call>`+callA+`</call><displayName>Late</displayName>`)),
		record("callLegUpdate", 9, legOf("menu", `<state>connected</state><call>`+callA+`</call>`)),
		record("callEnd", 30, endOfCall)))
	if got := levels(c); !strings.HasPrefix(got, fmt.Sprintf("%d:1 ", int(c.Levels[0].At.Sub(began).Seconds()))) || c.ParticipantsMax != 2 || !c.Incomplete {
		t.Errorf("got levels %q, most %d, incomplete %t", got, c.ParticipantsMax, c.Incomplete)
	}
	for _, p := range c.Participants {
		if !p.To.Equal(c.End) {
			t.Errorf("%s is there until %s, want the end of the call", p.Leg, p.To)
		}
	}
}

// TestRule09LobbyAndLinks: who waits in the lobby is not there, and links between bridges never are, in either spelling.
func TestRule09LobbyAndLinks(t *testing.T) {
	t.Parallel()
	in := `<call>` + callA + `</call><state>connected</state>`
	records := []string{record("callStart", 0, startOfCall), record("callLegStart", 1, legOf("a", in)),
		record("callLegUpdate", 2, legOf("b", in+`<deactivated>true</deactivated>`))}
	for i, link := range []string{`<subType>distributionLink</subType>`, `<subtype>distributionLink</subtype>`, `<subType>lyncDistribution</subType>`} {
		records = append(records, record("callLegStart", 3+i, legOf(fmt.Sprint("link", i), link+in)))
	}
	if c := parsed(t, body(records...)); c.ParticipantsMax != 1 || len(c.Participants) != 1 || c.Participants[0].Leg != "a" {
		t.Errorf("got %d at most: %+v, want the first leg alone", c.ParticipantsMax, c.Participants)
	}
	records = append(records, record("callLegUpdate", 9, legOf("b", in+`<deactivated>false</deactivated>`)))
	if c := parsed(t, body(records...)); c.ParticipantsMax != 2 {
		t.Errorf("let in: got %d at most, want 2", c.ParticipantsMax)
	}
}

// TestRule10OneCorrelator: calls with one correlator are one meeting, on whatever call bridge, in whatever order.
func TestRule10OneCorrelator(t *testing.T) {
	t.Parallel()
	there := slices.Clone(body(record("callStart", 5, strings.ReplaceAll(startOfCall, callA, "33333333-aaaa-4000-8000-000000000002"))))
	other := []byte(strings.NewReplacer(sessionA, "11111111-aaaa-4000-8000-000000000009", bridgeA, "22222222-aaaa-4000-8000-000000000009").Replace(string(there)))
	here := body(record("callStart", 0, startOfCall), record("callLegStart", 1, startOfLeg), record("callLegUpdate", 2, updateOfLeg))
	for _, order := range [][][]byte{{here, other}, {other, here}} {
		if c := parsed(t, order...); len(c.Calls) != 2 || len(c.Bridges) != 2 || c.ParticipantsMax != 1 {
			t.Errorf("got %+v, want one meeting of two calls on two call bridges", c)
		}
	}
}

// TestMovedLegsAndRecordings: a leg that moved in from another call bridge is a participant like any other, and the texts of
// recordings are trimmed, so that they find their call.
func TestMovedLegsAndRecordings(t *testing.T) {
	t.Parallel()
	moved := legOf("new", `<call>`+callA+`</call><state>connected</state><sipCallId>sip-2</sipCallId><replacesSipCallId>sip-1</replacesSipCallId>`+
		`<movedCallLeg>old</movedCallLeg><movedCallLegCallBridge>`+bridgeA+`</movedCallLegCallBridge>`)
	c := parsed(t, body(record("callStart", 0, startOfCall), record("callLegStart", 1, moved), record("callLegEnd", 20, legOf("new", `<reason>callMoved</reason>`)),
		record("recordingStart", 5, "<recording id=\"r\">\n<path>spaces/x\n</path><recorderUrl>https://192.0.2.4\n</recorderUrl><call>"+callA+"\n</call><callLeg>rl\n</callLeg></recording>"),
		record("recordingEnd", 9, "<recording id=\"r\">\n</recording>")))
	if len(c.Participants) != 2 || c.Participants[0].Reason != "callMoved" || c.Participants[1].Type != "recording" || c.Participants[1].Leg != "rl" {
		t.Errorf("got %+v, want the leg and the recorder", c.Participants)
	}
}
