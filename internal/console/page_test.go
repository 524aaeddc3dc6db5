package console

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store/storetest"

	"github.com/a-h/templ"
)

// checkPage walks the elements of a page: well nested, one heading of the first order, landmarks, labels, captions and
// scopes, and nothing that would run or that the content security policy would refuse.
func checkPage(t *testing.T, name, text string) {
	t.Helper()
	seen, ids := map[string]int{}, map[string]bool{}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		tag, has := element.Name.Local, map[string]string{}
		seen[tag]++
		for _, a := range element.Attr {
			has[a.Name.Local] = a.Value
			if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") || strings.HasPrefix(a.Value, "javascript:") {
				t.Errorf("%s: <%s %s=%q>", name, tag, a.Name.Local, a.Value)
			}
		}
		if id, ok := has["id"]; ok && ids[id] {
			t.Errorf("%s: two elements have the id %q", name, id)
		} else if ok {
			ids[id] = true
		}
		switch {
		case tag == "script" || tag == "style" || tag == "img" || tag == "b":
			t.Errorf("%s: there is a <%s>", name, tag)
		case tag == "th" && has["scope"] == "":
			t.Errorf("%s: a <th> without a scope", name)
		case tag == "input" && has["type"] != "hidden" && has["id"] == "":
			t.Errorf("%s: an <input> that no label can name", name)
		case tag == "input" && has["type"] != "hidden" && !strings.Contains(text, `<label for="`+has["id"]+`"`):
			t.Errorf("%s: the <input> %q has no label", name, has["id"])
		}
	}
	for _, tag := range []string{"html", "main", "header", "footer", "h1", "title"} {
		if seen[tag] < 1 || seen[tag] > 1 && tag != "header" && tag != "title" {
			t.Errorf("%s: %d <%s>, want one", name, seen[tag], tag)
		}
	}
	if seen["table"] != seen["caption"] {
		t.Errorf("%s: %d tables, %d captions", name, seen["table"], seen["caption"])
	}
}

// drawn is a page drawn from values, checked.
func drawn(t *testing.T, title string, body func(*visit) templ.Component) string {
	t.Helper()
	v := &visit{
		Request: httptest.NewRequest("GET", "/accounts/acc_1", nil), now: storetest.Start(),
		who: person(), account: authority.Account{ID: "acc_1", Name: canary},
	}
	var text strings.Builder
	if err := (frame{visit: v, sheet: sheet{title: title, body: body(v)}}).draw().Render(t.Context(), &text); err != nil {
		t.Fatal(err)
	}
	checkPage(t, t.Name(), text.String())
	return text.String()
}

func wantText(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
}

func TestShortLicensesStandOpenWithTheirReasons(t *testing.T) {
	t.Parallel()
	since := storetest.Start().Add(-48 * time.Hour)
	rows := []authority.LicenseRow{
		{Name: "Fine", VirtualAccount: "b", VirtualAccountID: "va_b", Row: license.Row{Tag: "fine", Quantity: 5, Available: 5, Status: license.InCompliance}},
		{Name: canary, VirtualAccount: canary, VirtualAccountID: "va_a", Ends: storetest.Start().Add(72 * time.Hour), Row: license.Row{
			Tag: "short", Quantity: 1000, InUse: 1004, Borrowed: 2, Shortage: 2, Status: license.OutOfCompliance, Why: []license.Fact{
				{Code: license.FactShort, Count: 2, Of: 1004},
				{Code: license.FactUse, Instance: "ins_1", Name: canary, Count: 1004, Since: since},
				{Code: license.FactHelpMove, Other: canary, Count: 7},
			}}},
	}
	page := drawn(t, "Licenses", func(v *visit) templ.Component {
		return licensesBody(v, summary{inCompliance: 1, outOfCompliance: 1, running: "2", products: "3", engine: true}, gather(rows, "va_b"))
	})
	wantText(t, page, "<details open", "2 licenses are missing", `href="/accounts/acc_1/products#ins_1"`, "What would help", "1,004", "2 borrowed from a higher tier",
		"a lot ends in 3 days", "Out Of Compliance", "2 licenses short", "Nobody uses it.", `href="#short"`, "one of them the conference engine")
}

func TestProductsShowRegistrationAndAuthorizationApart(t *testing.T) {
	t.Parallel()
	now := storetest.Start()
	in := authority.Instance{
		ID: "ins_1", Product: canary, Hostname: canary, Version: canary, UDI: canary, VirtualAccount: canary, State: "Overdue",
		Status: license.StatusOutOfCompliance, RegisteredAt: now.Add(-200 * day), RenewedAt: now.Add(-20 * day), ExpiresAt: now.Add(345 * day),
		NextContact: now.Add(12 * time.Hour), Deadline: now.Add(90 * day), ForkedAt: now.Add(-time.Hour), Next: "Two copies of its state: " + canary,
		Usage: []authority.UsageRow{{Tag: "t", Name: canary, Count: 4, Since: now}},
	}
	gone := authority.Instance{ID: "ins_2", Product: canary, UDI: canary, State: stateRemoved, RemovedAt: now}
	reserved := authority.Instance{ID: "ins_3", Product: canary, UDI: canary, VirtualAccount: canary, State: stateReserved}
	below := authority.Instance{ID: "ins_4", Product: canary, UDI: canary, VirtualAccount: canary, State: stateReserved, Satellite: canary}
	held := map[string]authority.Reservation{"ins_3": {ID: "rsv_1", Kind: license.Specific, Lots: []license.ReservedLot{{Tag: "t", Name: canary, Quantity: 1234}}}}
	page := drawn(t, "Products", func(v *visit) templ.Component {
		return productsBody(v, []authority.Instance{in, reserved, below}, []authority.Instance{gone}, held, "ins_2")
	})
	wantText(t, page, "Overdue", "Out of compliance", "20 days ago", "in 345 days", "in 12 h", "in 90 days", "none", "Two copies", "1 removed product", "?after=ins_2", "1,234", `href="/accounts/acc_1/reservations/rsv_1">held by its reservation`, "It holds a reservation of the satellite")
	if strings.Count(page, "· version ") != 1 || strings.Contains(page, "It uses no licenses.") {
		t.Error("a reserved product shows a version that it never said, or no licenses")
	}
}

// canned is a meeting that changes its license.
func canned(now time.Time) conference.Meeting {
	begin, middle, end := now.Add(-2*time.Hour), now.Add(-90*time.Minute), now.Add(-time.Hour)
	fact := func(code string, args map[string]string) conference.Fact {
		return conference.Fact{Code: code, Text: meeting.Fact{Code: code, Args: args}.Text(), Args: args}
	}
	return conference.Meeting{
		ID: "mtg_1", Name: canary, Space: canary, CallType: canary, Bridges: []string{canary}, StartedAt: begin, EndedAt: &end, DurationSeconds: 3600,
		ParticipantsMax: 1234, Policy: "owner-first 1", DirectoryVersion: 7, Incomplete: true, Estimated: true, Conflicts: 2,
		Missing: []conference.Missing{{CallBridge: canary, Session: canary, Records: 3, From: begin, To: middle, Cause: "announced"}},
		Segments: []conference.Segment{
			{From: begin, To: &middle, License: "shared", Tag: "cms-smp-plus", Sixths: 1, Rule: meeting.RulePointToPoint, Why: []conference.Fact{fact(meeting.NoSpace, nil), fact(meeting.PointToPoint, nil)}},
			{From: middle, To: &end, License: "personal", Tag: "cms-pmp-plus", Sixths: 6, User: canary, Rule: meeting.RuleOwner,
				Why: []conference.Fact{fact(meeting.OwnerPersonal, map[string]string{"space": canary, "name": canary, "owner": canary})}},
		},
		Participants: []conference.Participant{{Name: canary, From: begin, To: &middle}, {Name: "b", From: begin, To: &end}},
	}
}

func TestAMeetingSaysWhyItTookItsLicense(t *testing.T) {
	t.Parallel()
	page := drawn(t, "Meeting", func(v *visit) templ.Component { return meetingBody(v, canned(v.now)) })
	wantText(t, page, "1/6 shared", "1 personal", "point to point, then the owner holds a license", "point-to-point call, which takes one sixth",
		"who holds a personal license", "07:00:00 to 07:30:00", "1 h 0 min", "incomplete: 3 records are lost", "lost 3 records between", "the end is estimated", "2 conflicts", "owner-first, version 1", "version 7", "1,234")
}

func TestMeetingsThatRunOrThatNobodyJoined(t *testing.T) {
	t.Parallel()
	begin := storetest.Start().Add(-90 * time.Second)
	running := conference.Meeting{ID: "mtg_1", StartedAt: begin, Segments: []conference.Segment{{From: begin, License: "shared", Sixths: 6}},
		Participants: []conference.Participant{{Name: "a", From: begin}}}
	page := drawn(t, "Meeting", func(v *visit) templ.Component { return meetingBody(v, running) })
	wantText(t, page, "Meeting without a name", "running", "to now", "1 min 30 s", "none was imported")
	end := storetest.Start()
	nobody := conference.Meeting{ID: "mtg_2", StartedAt: begin, EndedAt: &end, Why: []conference.Fact{{Code: meeting.NobodyJoined, Text: "Nobody joined."}}}
	page = drawn(t, "Meeting", func(v *visit) templ.Component { return meetingBody(v, nobody) })
	wantText(t, page, "No license", "Nobody joined.", "Nobody took part.")
	page = drawn(t, "Meetings", func(v *visit) templ.Component {
		return meetingsBody(v, time.Time{}, []conference.Meeting{running}, true, []conference.Meeting{nobody, canned(v.now)}, "x")
	})
	wantText(t, page, "Running now", "1+", "no license", "Ended", "1/6 shared", "?after=x")
}

func TestUsageIsDrawnAgainstWhatIsOwned(t *testing.T) {
	t.Parallel()
	now := storetest.Start()
	hours := []conference.HourUsage{
		{Hour: now.Add(-2 * time.Hour), Tag: "cms-pmp-plus", Sixths: 6, Licenses: 1, PeakAt: now, Meetings: 1},
		{Hour: now.Add(-2 * time.Hour), Tag: "cms-smp-plus", Sixths: 13, Licenses: 3, PeakAt: now, Meetings: 4},
		{Hour: now.Add(-time.Hour), Tag: "cms-smp-plus", Sixths: 6, Licenses: 1, PeakAt: now, Meetings: 1},
	}
	shared := kindUse{license: "shared", tag: "cms-smp-plus", title: "Shared licenses", owned: 2, peak: hours[1]}
	shared.chart = peaks(shared, hours[1:], time.Hour, now.Add(-day), now)
	if n := len(shared.chart.boxes); n != 3 {
		t.Errorf("%d bars, want 3: one for each hour, and one above what is owned", n)
	}
	if b := shared.chart.boxes; b[0].further || !b[1].further || b[2].further {
		t.Errorf("the bars are %v, want the second alone to be heard with the one before it", b)
	}
	table := tabulate(hours)
	if len(table) != 2 || table[1].personal.Sixths != 6 || table[1].shared.Sixths != 13 || table[0].personal.Sixths != 0 {
		t.Errorf("the table is %v", table)
	}
	page := drawn(t, "Usage", func(v *visit) templ.Component {
		return usageBody(v, periods()[0], []kindUse{shared, {license: "personal", chart: drawing{}}}, table, usageCounts(now))
	})
	wantText(t, page, "1 above what is owned", "2 1/6 → 3", "2 owned", `aria-hidden="true"><title>`, `class="num lack"`, `aria-current="page">24 hours`)
}

// usageCounts are canned values of the highest moment and the last 90 days.
func usageCounts(now time.Time) counts {
	levels := conference.LevelUsage{From: now.Add(-day), To: now, Sixths: 13, Levels: []meeting.LevelTime{{Sixths: 0, For: 20 * time.Hour}, {Sixths: 6, For: 3 * time.Hour}, {Sixths: 13, For: time.Hour}}}
	why := []conference.Fact{{Code: meeting.GatewayCall, Text: canary}}
	return counts{
		peak: conference.PeakUsage{Tag: "cms-smp-plus", Sixths: 13, Licenses: 3, At: now, Entitled: 2, More: 30,
			Meetings: []conference.PeakMeeting{{Meeting: "mtg_1", Name: canary, Host: canary, Sixths: 6, From: now, Why: why}, {Meeting: "mtg_2", Sixths: 7, From: now}}},
		curve: curve(levels, 2), above: time.Hour, names: map[string]string{"cms-smp-plus": "Shared licenses"},
		standing: conference.Compliance{Thresholds: meeting.DefaultThresholds(), Level: 3,
			Licenses: []conference.LicenseStanding{{Tag: "cms-smp-plus", Level: 1, Over: make([]meeting.Day, 15), Why: why}},
			Bridges:  []conference.BridgeStanding{{Name: canary, Level: 3, Why: why}}},
	}
}

func TestCountsAreShown(t *testing.T) {
	t.Parallel()
	now := storetest.Start()
	c := usageCounts(now)
	if n := len(c.curve.boxes); n != 3 || !c.curve.boxes[1].further {
		t.Errorf("%d boxes, want one for each level and one above what is owned: %v", n, c.curve.boxes)
	}
	page := drawn(t, "Usage", func(v *visit) templ.Component {
		return usageBody(v, periods()[3], make([]kindUse, 2), make([]hourRow, 1), c)
	})
	wantText(t, page, "1 h 0 min above what is owned", "32 meetings on shared licenses", "2 1/6 or more for 1 h 0 min", "/meetings/mtg_1", "mtg_2", "level 1", "no activation key",
		"15, 45 and 90 days", "And 12 more")
}

func TestEventsShowTheirData(t *testing.T) {
	t.Parallel()
	e := authority.Event{Seq: 1234, At: storetest.Start(), Actor: canary, Kind: "order.imported", Subject: canary, Hash: "0123456789abcdef",
		Data: []byte(`{"number":"SO-1","lines":[1,2],"none":null,"uses":3,"deep":{"a":1}}`)}
	page := drawn(t, "Events", func(v *visit) templ.Component { return eventsBody(v, []authority.Event{e}, "1234") })
	wantText(t, page, "1,234", "order.imported", "SO-1", "2 entries", "1 value", "0123456789ab<", "?after=1234")
}

func TestAnAddressMayBreakBeforeItsAtSign(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]string{"alice@acme.example": "alice|@acme.example", "alice": "|alice", "@": "|@", "": "|"} {
		if name, host := address(user); name+"|"+host != want {
			t.Errorf("%q is parted into %q and %q, want %q", user, name, host, want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	now := storetest.Start()
	for _, test := range []struct{ got, want string }{
		{relative(now.Add(-30*time.Second), now), "now"},
		{relative(now.Add(-90*time.Minute), now), "2 h ago"},
		{relative(now.Add(12*time.Hour-time.Second), now), "in 12 h"},
		{relative(now.Add(59*time.Minute+40*time.Second), now), "in 1 h"},
		{relative(now.Add(-800*day), now), "2 years ago"},
		{lasting(3955 * time.Second), "1 h 5 min"},
		{lasting(61 * time.Second), "1 min 1 s"},
		{lasting(59 * time.Second), "59 s"},
		{number(-1234567), "-1,234,567"},
		{number(-123), "-123"},
		{counted(1, "license", "licenses"), "1 license"},
		{sentence("émile is late"), "Émile is late."},
		{sentence("ldaps://dc1.acme.example does not answer"), "ldaps://dc1.acme.example does not answer."},
		{hundredths(0), "0"},
		{hundredths(205), "2.05"},
		{hundredths(350), "3.5"},
		{sixthsOf(1300), "2 1/6"},
		{sixthsOf(1350), "2.25 or so"},
		{sentence(""), ""},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestScales(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]int64{1: 1, 3: 3, 7: 8, 9: 10, 25: 30, 61: 80, 1001: 2000} {
		if got := ceiling(n); got != want {
			t.Errorf("ceiling(%d) = %d, want %d", n, got, want)
		}
	}
	for _, whole := range []time.Duration{time.Second, time.Hour, 5 * time.Hour, day, 30 * day, 400 * day} {
		if step := stepOf(whole); step <= 0 || whole/step > 9 {
			t.Errorf("stepOf(%v) = %v gives %d lines", whole, step, whole/step)
		}
	}
}
