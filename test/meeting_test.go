package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/store/storetest"
)

const space = "3b5cf0a1-5a52-4d9c-93a2-7f1f1d0c2b11"

// bodies renders the nine posts of one recorded meeting: two participants with a start, one that is only ever updated, an
// update without a state right before an end, and two records in the last post. The form is that of a real bridge.
func bodies(session, call, correlator string) []string {
	record := func(index int, kind, at, body string) string {
		return fmt.Sprintf(`<record type="%s" time="2024-03-05T%sZ" recordIndex="%d" correlatorIndex="%d">`+"\n%s</record>\n", kind, at, index+1, index, body)
	}
	leg := func(id, rest string) string {
		return fmt.Sprintf(`<callLeg id="%s-0000-4000-8000-00000000000%s">%s</callLeg>`, session[:8], id, rest)
	}
	in := "<call>" + call + "</call>"
	media := "<encryptedMedia>true</encryptedMedia><rxAudio><codec>opus</codec></rxAudio><txAudio><codec>opus</codec></txAudio><rxVideo><codec>h264</codec></rxVideo>"
	var posts []string
	for _, records := range [][]string{
		{record(10, "callStart", "09:00:11", `<call id="`+call+`"><name>techsupport</name><callType>coSpace</callType><coSpace>`+space+`</coSpace><callCorrelator>`+correlator+`</callCorrelator></call>`)},
		{record(11, "callLegStart", "09:00:11", leg("1", "<remoteParty>one@acme.example</remoteParty><displayName>User One</displayName><type>acano</type><direction>incoming</direction>"+in))},
		{record(12, "callLegUpdate", "09:00:11", leg("1", "<state>connected</state>"+in+"<deactivated>false</deactivated>"))},
		{record(24, "callLegStart", "09:00:53", leg("2", "<remoteParty>three@acme.example</remoteParty><displayName>user three</displayName><type>acano</type><direction>incoming</direction>"+in))},
		{record(25, "callLegUpdate", "09:00:53", leg("2", "<state>connected</state>"+in+"<deactivated>false</deactivated>"))},
		{record(31, "callLegUpdate", "09:01:52", leg("3", "<state>connected</state>"+in+"<deactivated>false</deactivated><sipCallId>4147</sipCallId><displayName>User 2</displayName><remoteAddress>two@acme.example</remoteAddress>"))},
		{record(50, "callLegEnd", "10:06:05", leg("1", "<reason>remoteTeardown</reason><remoteTeardown>true</remoteTeardown><durationSeconds>3953</durationSeconds><activatedDuration>3953</activatedDuration><alarm type=\"packetLoss\" durationPercentage=\"1.4\" />"+media))},
		{record(51, "callLegUpdate", "10:06:05", leg("2", in+"<deactivated>false</deactivated>"))},
		{record(52, "callLegEnd", "10:06:05", leg("2", "<reason>remoteTeardown</reason><remoteTeardown>true</remoteTeardown><durationSeconds>3912</durationSeconds>"+media)),
			record(53, "callEnd", "10:06:05", `<call id="`+call+`"><callLegsCompleted>3</callLegsCompleted><callLegsMaxActive>3</callLegsMaxActive><durationSeconds>3955</durationSeconds></call>`)},
	} {
		posts = append(posts, fmt.Sprintf(`<?xml version="1.0"?><records session="%s">%s</records>`, session, strings.Join(records, "")))
	}
	return posts
}

func recorded(n int) []string {
	return bodies(fmt.Sprintf("%08x-1111-4222-8333-444444444444", n), fmt.Sprintf("%08x-5555-4666-8777-888888888888", n), fmt.Sprintf("%08x-9999-4aaa-8bbb-cccccccccccc", n))
}

const twoRoots = `<records session="f1f46817-3f81-4e91-a5bd-572c80c2753e"><record type="callStart" time="2020-01-07T11:17:52Z" recordIndex="1" correlatorIndex="0">
<call id="1ffc9435-4e57-40e0-b43b-059285473485"><name>test </name></call></record></records>
<records session="f1f46817-3f81-4e91-a5bd-572c80c2753e"></cdrTag></records>`

// TestMeetingToReport is the story of a recorded meeting: records, a decision with its reason, a use, an authorization, a
// line in a report.
func TestMeetingToReport(t *testing.T) {
	storetest.Each(t, func(t *testing.T, database string) {
		d := newDesk(t, database)
		d.json(tally(), "account", "create", "acme.example")
		d.order("SO-1", `{"tag":"cms-smp-plus","quantity":3},{"sku":"CUWL-PMP-K9","quantity":2}`)
		d.run(0, tally(), "conference", "enable", "-V", "Default")
		url, _ := d.json(tally(), "conference", "bridge", "add", "cluster-1")["url"].(string)
		posts := recorded(1)
		for _, body := range posts {
			d.post(url, body, 200)
		}
		meeting := d.one(t)
		if meeting["participantsMax"] != 3.0 || meeting["durationSeconds"] != 3955.0 || meeting["endedAt"] == nil {
			t.Fatalf("meeting: %v", meeting)
		}
		wantSegment(t, meeting, "cms-smp-plus", nil)
		why, _ := d.run(0, tally(), "meeting", "why", fmt.Sprint(meeting["id"]))
		if !strings.Contains(why, "techsupport") || !strings.Contains(why, "owner") || !strings.Contains(why, "shared") {
			t.Errorf("why: %s", why)
		}
		for _, body := range posts {
			d.post(url, body, 200)
		}
		if again := d.one(t); fmt.Sprint(again) != fmt.Sprint(meeting) {
			t.Errorf("the same posts again changed the meeting:\n%v\n%v", meeting, again)
		}
		d.post(url, strings.Replace(posts[0], "techsupport", "another name", 1), 200)
		if m := d.one(t); m["conflicts"] != 1.0 || m["name"] != "techsupport" {
			t.Errorf("a contradicting record: %v", m)
		}
		d.post(url, twoRoots, 400)
		d.post(url, posts[0], 200)

		d.run(0, tally(), "conference", "directory", "import", d.file("directory.json", `{"users":[{"jid":"alice@acme.example","personalLicense":true}],
			"spaces":[{"id":"`+space+`","name":"techsupport","owner":"alice@acme.example"}]}`))
		for _, body := range recorded(2) {
			d.post(url, body, 200)
		}
		for _, m := range d.items(tally(), "meeting", "list") {
			if m["id"] != meeting["id"] {
				wantSegment(t, d.json(tally(), "meeting", "show", fmt.Sprint(m["id"])), "cms-pmp-plus", "alice@acme.example")
			} else {
				wantSegment(t, d.json(tally(), "meeting", "show", fmt.Sprint(m["id"])), "cms-smp-plus", nil)
			}
		}
		kinds := map[any]bool{}
		for _, e := range d.items(tally(), "event", "list") {
			kinds[e["kind"]] = true
		}
		for _, kind := range []string{"conference.enabled", "bridge.added", "directory.imported"} {
			if !kinds[kind] {
				t.Errorf("the chain has no %s event: %v", kind, kinds)
			}
		}
		d.await(t, "personal licenses in use", func() bool {
			for _, r := range d.items(tally(), "license", "list") {
				if r["tag"] == "cms-pmp-plus" {
					return r["inUse"] == 1.0 && r["status"] == "In Compliance"
				}
			}
			return false
		})
		d.await(t, "a line in the usage report", func() bool {
			out, _ := d.run(0, tally(), "report", "usage", "--format", "csv")
			return strings.Contains(out, "cms-smp-plus") && strings.Contains(out, "2024-03-05T09:00:00Z")
		})
	})
}

// one is the only meeting there is, in full.
func (d *desk) one(t *testing.T) map[string]any {
	t.Helper()
	list := d.items(tally(), "meeting", "list")
	if len(list) != 1 {
		t.Fatalf("%d meetings, want 1: %v", len(list), list)
	}
	return d.json(tally(), "meeting", "show", fmt.Sprint(list[0]["id"]))
}

func wantSegment(t *testing.T, meeting map[string]any, tag string, user any) {
	t.Helper()
	segments, _ := meeting["segments"].([]any)
	if len(segments) != 1 {
		t.Fatalf("%d segments, want 1: %v", len(segments), meeting)
	}
	s, _ := segments[0].(map[string]any)
	if s["tag"] != tag || s["sixths"] != 6.0 || s["user"] != user || s["rule"] == "" {
		t.Errorf("segment: got %v, want %s charged to %v", s, tag, user)
	}
}

// await asks until the answer is yes: what is awaited happens on another side of the program, within a minute.
func (d *desk) await(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if yes() {
			return
		}
	}
	t.Fatalf("%s: not within a minute", what)
}
