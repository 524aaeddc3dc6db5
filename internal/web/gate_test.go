package web

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

func csrOf(t *testing.T, p *product) []byte {
	t.Helper()
	return must(trust.NewCSR(p.key))(t)
}

func TestGateRefusesWithoutChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.account("acme.example")
	p := w.register(acme, "FOC1")
	p.report("cms-smp-plus", 1)
	before := must(w.VerifyEvents(t.Context(), acme.ID))(t)
	good := p.seal(wire.KindAuthorize, 2, wire.Authorize{Nonce: testNonce, Usage: []wire.Usage{{Tag: "cms-smp-plus", Count: 3}}})
	flipped := bytes.Clone(good)
	flipped[len(flipped)-40] = 'A' // of the alphabet, and another one
	if good[len(good)-40] == 'A' {
		flipped[len(flipped)-40] = 'B'
	}
	for name, c := range map[string]struct {
		verb    string
		body    []byte
		headers []string
		status  int
		code    string
	}{
		"nothing":         {"authorize", nil, nil, 400, "bad-envelope"},
		"noise":           {"authorize", []byte("{}"), nil, 400, "bad-envelope"},
		"flipped byte":    {"authorize", flipped, nil, 401, "bad-signature"},
		"another verb":    {"renew", good, nil, 400, "bad-envelope"},
		"too large":       {"authorize", bytes.Repeat([]byte("x"), wire.MaxMessage+1), nil, 413, "too-large"},
		"encoded":         {"authorize", good, []string{"Content-Encoding", "gzip"}, 415, "content-encoding"},
		"no such product": {"authorize", (&product{world: w, key: p.key, account: p.account, instance: trust.NewID("ins", w.clock.Now())}).seal(wire.KindAuthorize, 1, wire.Deregister{}), nil, 404, "instance-unknown"},
	} {
		a := w.raw("POST", "/machine/v1/"+c.verb, c.body, c.headers...)
		if got := a.problem(t); a.status != c.status || got.Code != c.code {
			t.Errorf("%s: got %d %+v, want %d %s", name, a.status, got, c.status, c.code)
		}
	}
	if after := must(w.VerifyEvents(t.Context(), acme.ID))(t); after.Events != before.Events {
		t.Errorf("refusals added %d events", after.Events-before.Events)
	}
	if in := must(w.Instance(t.Context(), acme.ID, p.instance))(t); in.Usage[0].Count != 1 {
		t.Errorf("a refused report counts: %+v", in.Usage)
	}
}

// records is a meeting of two people in a space, told in one post.
const records = `<?xml version="1.0"?><records session="6b1c7b56-54ae-4e1f-9c77-2a5a4a6f0001" callBridge="4f2f8b0e-1111-4222-8333-000000000001">
<record type="callStart" time="2026-03-02T08:00:00Z" recordIndex="1" correlatorIndex="0"><call id="c-1"><name>Planning</name><callType>coSpace</callType><coSpace>5b1d7c1e-0001</coSpace><callCorrelator>k-1</callCorrelator></call></record>
<record type="callLegStart" time="2026-03-02T08:00:01Z" recordIndex="2" correlatorIndex="1"><callLeg id="l-1"><displayName>Ann</displayName><remoteParty>ann@acme.example</remoteParty><type>sip</type><direction>incoming</direction><call>c-1</call></callLeg></record>
<record type="callLegUpdate" time="2026-03-02T08:00:02Z" recordIndex="3" correlatorIndex="2"><callLeg id="l-1"><state>connected</state><call>c-1</call></callLeg></record>
<record type="callLegEnd" time="2026-03-02T08:30:02Z" recordIndex="4" correlatorIndex="3"><callLeg id="l-1"><reason>remoteTeardown</reason><durationSeconds>1800</durationSeconds></callLeg></record>
<record type="callEnd" time="2026-03-02T08:30:03Z" recordIndex="5" correlatorIndex="4"><call id="c-1"><callLegsCompleted>1</callLegsCompleted><callLegsMaxActive>1</callLegsMaxActive><durationSeconds>1803</durationSeconds></call></record>
</records>`

// guest is a call bridge that posts later.
const guest = "22222222-0000-4000-8000-00000000000b"

func TestReceiver(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		acme := w.account("acme.example")
		bridge, err := w.CreateBridge(ctx, acme.ID, api.NewBridge{Name: "core"})
		if err == nil || !strings.Contains(err.Error(), "not enabled") {
			t.Fatalf("a bridge before the engine: got %+v, %v", bridge, err)
		}
		for range 2 {
			if c := must(w.EnableConference(ctx, acme.ID, ""))(t); c.VirtualAccount != "Default" {
				t.Errorf("enabled: got %+v", c)
			}
		}
		if tokens := must(api.Collect(w.Tokens(ctx, acme.ID, "")))(t); len(tokens) != 0 {
			t.Errorf("the engine's token was left: %+v", tokens)
		}
		bridge = must(w.CreateBridge(ctx, acme.ID, api.NewBridge{Name: "core"}))(t)
		secret, ok := strings.CutPrefix(bridge.URL, w.url+"/cdr/")
		if !ok || len(secret) < 40 {
			t.Fatalf("receiver address: %q", bridge.URL)
		}
		path := "/cdr/" + secret
		for name, c := range map[string]struct {
			method, path, body string
			headers            []string
			status             int
		}{
			"malformed":       {"POST", path, "<records><record", nil, 400},
			"unknown":         {"POST", path[:len(path)-1] + "x", records, nil, 404},
			"too large":       {"POST", path, strings.Repeat(" ", 1<<20) + records, nil, 413},
			"encoded":         {"POST", path, records, []string{"Content-Encoding", "gzip"}, 415},
			"another method":  {"GET", path, "", nil, 405},
			"nothing at root": {"POST", "/cdr/", records, nil, 404},
		} {
			if a := w.raw(c.method, c.path, []byte(c.body), c.headers...); a.status != c.status || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
				t.Errorf("%s: got %d %s, want %d", name, a.status, a.body, c.status)
			}
		}
		for _, kind := range []string{"text/xml", "application/x-www-form-urlencoded", ""} {
			if a := w.raw("POST", path, []byte(records), "Content-Type", kind); a.status != http.StatusOK || len(a.body) != 0 {
				t.Errorf("post as %q: got %d %s", kind, a.status, a.body)
			}
		}
		w.checkMeeting(acme)
		bridges := must(api.Collect(w.Bridges(ctx, acme.ID)))(t)
		if len(bridges) != 1 || bridges[0].URL != "" || bridges[0].Records != 5 || bridges[0].Repeats != 10 || bridges[0].Refused == 0 || bridges[0].LastPostAt == nil {
			t.Errorf("bridges: got %+v", bridges)
		}
		later := strings.NewReplacer("6b1c7b56", "6b1c7b58", "4f2f8b0e-1111-4222-8333-000000000001", guest, `"c-1"`, `"c-2"`, ">c-1<", ">c-2<", "l-1", "l-2", "k-1", "k-2")
		if a := w.raw("POST", path, []byte(later.Replace(records))); a.status != http.StatusOK {
			t.Fatalf("another call bridge: got %d %s", a.status, a.body)
		}
		if b := must(w.SetCallBridge(ctx, acme.ID, "core", guest, false))(t); b.Changing || len(b.Allowed) != 1 || slices.Contains(b.Allowed, guest) || len(b.Streams) != 2 {
			t.Errorf("got %+v, want the other to count", b)
		}
		if b := must(w.SetCallBridge(ctx, acme.ID, "core", guest, true))(t); !slices.Contains(b.Allowed, guest) {
			t.Errorf("got %+v, want it to count again", b)
		}
		for _, hidden := range []string{secret, w.key} {
			if strings.Contains(w.log.String(), hidden) {
				t.Errorf("the log holds a secret")
			}
		}
		if !strings.Contains(w.log.String(), "path=/cdr/{receiver}") {
			t.Errorf("the log has no line of the posts")
		}
	})
}

func TestWithoutItsStoreTheServerSaysLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.account("acme.example")
	must(w.EnableConference(t.Context(), acme.ID, ""))(t)
	bridge := must(w.CreateBridge(t.Context(), acme.ID, api.NewBridge{Name: "core"}))(t)
	p := w.register(acme, "FOC1")
	p.report("cms-smp-plus", 1)
	receiver := strings.TrimPrefix(bridge.URL, w.url)
	w.raw("POST", receiver, []byte(records))
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{
		receiver: strings.ReplaceAll(records, "6b1c7b56", "6b1c7b57"), "/machine/v1/authorize": string(p.seal(wire.KindAuthorize, 2, wire.Authorize{Nonce: testNonce})),
	} {
		if a := w.raw("POST", path, []byte(body)); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("POST %.20s: got %d %s, want 503", path, a.status, a.body)
		}
	}
	for _, path := range []string{"/readyz", "/api/v1/accounts"} {
		if a := w.call("GET", path, ""); a.status != http.StatusServiceUnavailable {
			t.Errorf("GET %s: got %d %s, want 503", path, a.status, a.body)
		}
	}
}

func (w *world) checkMeeting(acme api.Account) {
	w.t.Helper()
	ctx, t := w.t.Context(), w.t
	meetings := must(api.Collect(w.Meetings(ctx, acme.ID, api.MeetingFilter{})))(t)
	if len(meetings) != 1 {
		t.Fatalf("got %d meetings, want 1", len(meetings))
	}
	m := must(w.Meeting(ctx, acme.ID, meetings[0].ID))(t)
	if m.Name != "Planning" || m.EndedAt == nil || m.DurationSeconds != 1803 || m.ParticipantsMax != 1 || m.CallType != "coSpace" || len(m.Participants) != 1 || m.Participants[0].Name != "Ann" {
		t.Errorf("meeting: got %+v", m)
	}
	if len(m.Segments) != 1 || m.Segments[0].License != "Shared Multiparty Plus" || m.Segments[0].Tag != "cms-smp-plus" || m.Segments[0].Sixths != 6 || m.Segments[0].User != "" || len(m.Segments[0].Why) == 0 {
		t.Errorf("segments: got %+v", m.Segments)
	}
	told := must(api.Collect(w.MeetingRecords(ctx, acme.ID, m.ID, "")))(t)
	if len(told) != 5 || told[1].Type != "callLegStart" || told[1].RecordIndex != 2 || !told[1].Whole || len(told[1].Fields) != 10 {
		t.Errorf("records: got %+v", told)
	}
	if told := must(api.Collect(w.MeetingRecords(ctx, acme.ID, m.ID, "l-1")))(t); len(told) != 3 {
		t.Errorf("records of a leg: got %+v", told)
	}
	page := w.call("GET", "/api/v1/accounts/acme.example/conference/meetings/"+m.ID+"/records?limit=2", "")
	if page.status != http.StatusOK || !strings.Contains(string(page.body), `"next"`) {
		t.Errorf("a page of records: got %d %s", page.status, page.body)
	}
	b := must(w.Bridge(ctx, acme.ID, m.Bridge))(t)
	if b.Records != 5 || len(b.Streams) != 1 || b.Streams[0].Quarantined || len(b.Receivers) != 1 || b.Receivers[0].URL != "" {
		t.Errorf("bridge: got %+v", b)
	}
	if sessions := must(api.Collect(w.BridgeSessions(ctx, acme.ID, m.Bridge)))(t); len(sessions) != 1 || sessions[0].Highest != 4 {
		t.Errorf("sessions: got %+v", sessions)
	}
	must(api.Collect(w.Conflicts(ctx, acme.ID, m.Bridge)))(t)
	_, err := w.SetCallBridge(ctx, acme.ID, m.Bridge, guest, false)
	wantProblem(t, err, http.StatusNotFound, "callbridge-not-seen")
	for _, r := range must(api.Collect(w.RefusedBodies(ctx, acme.ID, m.Bridge)))(t) {
		if one := must(w.RefusedBody(ctx, acme.ID, m.Bridge, r.ID))(t); one.Reason == "" || one.Size < int64(len(one.Body)) {
			t.Errorf("refused: got %+v", one)
		}
	}
	made := must(w.AddReceiver(ctx, acme.ID, m.Bridge, api.NewReceiver{Rotate: true, OverlapHours: 1}))(t)
	if !strings.Contains(made.URL, "/cdr/") {
		t.Errorf("rotated: got %+v", made)
	}
	if err := w.RetireReceiver(ctx, acme.ID, m.Bridge, made.ID); err != nil {
		t.Error(err)
	}
	if k := must(w.SetRetention(ctx, acme.ID, 7))(t); k.Days != 7 || k.Posts == 0 {
		t.Errorf("retention: got %+v", k)
	}
	if k := must(w.Retention(ctx, acme.ID))(t); k.Days != 7 {
		t.Errorf("retention: got %+v", k)
	}
	for _, write := range []bool{false, true} {
		r := must(w.ReplayStep(ctx, acme.ID, api.ReplayQuery{Write: write}, "", 10))(t)
		if r.Meetings != 1 || r.Records != 5 || r.Kept != 5 || r.Differing != 0 || len(r.Totals) != 1 || r.Next != "" {
			t.Errorf("replay: got %+v", r)
		}
	}
	usage := must(api.Collect(w.ConferenceUsage(ctx, acme.ID, w.clock.Now().Add(-3*3600e9), w.clock.Now())))(t)
	if len(usage) != 1 || usage[0].PeakSixths != 6 || usage[0].Licenses != 1 || usage[0].Meetings != 1 {
		t.Errorf("usage: got %+v", usage)
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	acme := w.account("acme.example")
	must(w.EnableConference(ctx, acme.ID, "Default"))(t)
	if d := must(w.DirectorySummary(ctx, acme.ID))(t); d.Version != 0 || d.ImportedAt != nil {
		t.Errorf("before: got %+v", d)
	}
	file := []byte(`{"users":[{"jid":"ann@acme.example","personalLicense":true}],"spaces":[{"id":"5b1d7c1e-0001","name":"Planning","owner":"bob@acme.example"}]}`)
	d := must(w.ImportDirectory(ctx, acme.ID, file))(t)
	if d.Version != 1 || d.Users != 1 || d.Spaces != 1 || d.Personal != 1 || d.UnknownOwners != 1 || d.ImportedAt == nil {
		t.Errorf("import: got %+v", d)
	}
	if d := must(w.ImportDirectory(ctx, acme.ID, file))(t); d.Version != 1 || !d.Unchanged {
		t.Errorf("again: got %+v", d)
	}
	a := w.call("PUT", "/api/v1/accounts/acme.example/conference/directory", `{"users":[{"jid":"a","age":1}]}`)
	if a.status != http.StatusBadRequest || a.problem(t).Code != "bad-directory" {
		t.Errorf("unknown member: got %d %s", a.status, a.body)
	}
}
