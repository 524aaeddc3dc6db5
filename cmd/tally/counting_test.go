package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
)

// TestCountingVerbs plays two meetings at once with one shared license, and asks everything about them.
func TestCountingVerbs(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.must("order", "import", write(t, "order.csv", "order,account,tag,quantity,start\nSO-1,acme.example,cms-smp-plus,1,2020-01-01\n"))
	s.must("conference", "enable")
	var bridge api.Bridge
	if err := json.Unmarshal([]byte(s.must("conference", "bridge", "add", "HQ", "--json")), &bridge); err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().Add(-time.Second).Truncate(time.Second)
	for n := range 2 {
		post(t, bridge.URL, meetingRecords(n, at.Add(-10*time.Minute), at))
	}
	from := at.Add(-time.Hour).Format(time.RFC3339)
	for _, row := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"conference", "usage"}, 0, []string{"12/6"}},
		{[]string{"conference", "usage", "--by", "day"}, 0, []string{"cms-smp-plus", "OVER"}},
		{[]string{"conference", "usage", "--by", "level", "--from", from}, 0, []string{"peak 2", " 10m ", "TAKEN"}},
		{[]string{"conference", "usage", "--by", "curve", "--from", from}, 0, []string{"AT LEAST", "100.00 %"}},
		{[]string{"conference", "usage", "--peak"}, 0, []string{"peak 2 at", "mtg_", "no permanent space", "Personal Multiparty Plus (cms-pmp-plus): no use"}},
		{[]string{"conference", "usage", "--by", "week"}, exitUsage, []string{"hour"}},
		{[]string{"conference", "usage", "--by", "day", "--peak"}, exitUsage, []string{"--by day"}},
		{[]string{"conference", "activation", "show"}, 0, []string{"nothing is known of its activation keys"}},
		{[]string{"conference", "demand"}, 0, []string{"1 shared license more", "WORST"}},
		{[]string{"conference", "compliance"}, 0, []string{"15, 45 and 90 days", "cms-pmp-plus"}},
		{[]string{"conference", "compliance", "--thresholds", "1,2,3"}, 0, []string{"1, 2 and 3 days"}},
		{[]string{"conference", "compliance", "--thresholds", "3,2,1"}, exitUsage, []string{"ascend"}},
		{[]string{"conference", "compliance", "--thresholds", "1"}, exitUsage, []string{"three numbers"}},
		{[]string{"conference", "allocation", "set", "--bridge", "HQ", "cms-smp-plus=2"}, exitRefused, []string{"1 are owned"}},
		{[]string{"conference", "allocation", "set", "--bridge", "HQ", "cms-smp-plus=1"}, 0, []string{"HQ", "uses 2 and is allocated 1"}},
		{[]string{"conference", "allocation", "set", "--bridge", "HQ", "cms-smp-plus"}, exitUsage, []string{"no allocation"}},
		{[]string{"conference", "allocation", "show"}, 0, []string{"(not allocated)"}},
		{[]string{"conference", "activation", "set", "--bridge", "HQ", "missing"}, 0, []string{"level 3", "no activation key"}},
		{[]string{"conference", "activation", "set", "--bridge", "HQ", "present", "--until", "2030-01-01"}, 0, []string{"level 0", "2030-01-01"}},
		{[]string{"conference", "activation", "show"}, 0, []string{"callBridge", "activated"}},
		{[]string{"conference", "snapshots", "--from", from, "--json"}, 0, []string{`"smpFull": "2.00"`, `"pmpAssigned"`}},
		{[]string{"conference", "snapshots", "--bridge", "nowhere"}, exitNotFound, []string{"nowhere"}},
		{[]string{"conference", "retention", "set", "--days", "-4"}, exitUsage, []string{"1 to 36500 days", "--days forever"}},
		{[]string{"conference", "retention", "set", "--days", "0"}, exitUsage, []string{"1 to 36500 days"}},
		{[]string{"conference", "retention", "set", "--days", "36501"}, exitUsage, []string{"1 to 36500 days"}},
		{[]string{"conference", "retention", "set", "--days"}, exitUsage, []string{"a value is missing after --days N"}},
		{[]string{"conference", "retention", "set", "--days=36500"}, 0, []string{"36500 days"}},
		{[]string{"conference", "retention", "set", "--days", "forever"}, 0, []string{"for ever"}},
		{[]string{"conference", "bridge", "deny", "HQ", "7c000000-0000-4000-8000-0000000000ff", "--yes"}, exitNotFound, []string{"nothing was ever heard", "bridge show"}},
		{[]string{"conference", "directory", "default"}, 0, []string{"(the system)  -    no"}},
		{[]string{"conference", "directory", "show"}, 0, []string{"The directory is empty", "ldap add"}},
		{[]string{"conference", "reconcile"}, 0, []string{"there is nothing to compare", "bridge api"}},
		{[]string{"meeting", "ask", "--adhoc", "zzz"}, 0, []string{"It is no GUID"}},
		{[]string{"report", "users"}, 0, []string{"secondMeetings"}},
		{[]string{"report", "days", "--json"}, 0, []string{`"over":true`}},
		{[]string{"report", "hours"}, 0, []string{"Shared Multiparty Plus"}},
		{[]string{"report", "demand"}, 0, []string{"cms-smp-plus"}},
	} {
		got := s.call(row.args...)
		for _, says := range row.says {
			if got.code != row.code || !strings.Contains(got.stdout+got.stderr, says) && !strings.Contains(strings.ToUpper(got.stdout), says) {
				t.Errorf("%v: exit %d, want %d, and want %q:\n%s%s", row.args, got.code, row.code, says, got.stdout, got.stderr)
			}
		}
	}
	events := s.must("event", "list", "--json")
	for _, same := range [][]string{{"compliance", "--thresholds", "1,2,3"}, {"allocation", "set", "--bridge", "HQ", "cms-smp-plus=1"},
		{"activation", "set", "--bridge", "HQ", "present", "--until", "2030-01-01"}} {
		s.must(append([]string{"conference"}, same...)...)
	}
	if before, after := strings.Count(events, `"conference.`), strings.Count(s.must("event", "list", "--json"), `"conference.`); before < 4 || after != before {
		t.Errorf("what was set again has events of its own: %d, then %d", before, after)
	}
}

// meetingRecords are an ad hoc call of three people.
func meetingRecords(n int, from, to time.Time) string {
	var b strings.Builder
	call := fmt.Sprintf("7a000000-0000-4000-8000-%012d", n)
	fmt.Fprintf(&b, `<records session="7b000000-0000-4000-8000-%012d" callBridge="7c000000-0000-4000-8000-000000000001">`, n)
	index := 0
	record := func(kind string, at time.Time, inside string) {
		index++
		fmt.Fprintf(&b, `<record type="%s" time="%s" recordIndex="%d" correlatorIndex="%d">%s</record>`, kind, at.Format(time.RFC3339), index, index-1, inside)
	}
	record("callStart", from, `<call id="`+call+`"><name>Standup</name><callType>adHoc</callType></call>`)
	for i := range 3 {
		leg := fmt.Sprintf("7d000000-0000-4000-800%d-%012d", i, n)
		record("callLegStart", from, `<callLeg id="`+leg+`"><type>sip</type><call>`+call+`</call></callLeg>`)
		record("callLegUpdate", from, `<callLeg id="`+leg+`"><state>connected</state><call>`+call+`</call></callLeg>`)
	}
	record("callEnd", to, `<call id="`+call+`"><callLegsCompleted>3</callLegsCompleted><callLegsMaxActive>3</callLegsMaxActive><durationSeconds>600</durationSeconds></call>`)
	b.WriteString("</records>")
	return b.String()
}

func post(t *testing.T, url, body string) {
	t.Helper()
	resp, err := http.Post(url, "text/xml", strings.NewReader(body)) //nolint:noctx // as a call bridge does
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s for the records", resp.Status)
	}
}
