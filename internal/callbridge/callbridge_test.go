package callbridge

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRule22Weighted: three meetings on two call bridges, of which one is on the first alone. The sum of the weighted calls over
// the cluster is the number of meetings.
func TestRule22Weighted(t *testing.T) {
	t.Parallel()
	var sum Thousandths
	for calls, weighted := range map[string]string{"3": "2.000", "2": "1.0"} {
		var d Multiparty
		text := "<multipartyLicensing><weightedCallsActive>" + weighted + "</weightedCallsActive><callsActive>" + calls + "</callsActive></multipartyLicensing>"
		if err := Parse([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		sum += d.WeightedCallsActive
	}
	if sum != 3000 {
		t.Errorf("got %s licenses, want 3", sum)
	}
}

// TestRule25Snapshots: the newest first, an idle entry has no counters, two decimals.
func TestRule25Snapshots(t *testing.T) {
	t.Parallel()
	var d Usage
	err := Parse([]byte(`<?xml version="1.0"?><MPLicenseUsage total="300"><entry time="2026-03-02T08:57:01Z"><smpFull>1.50</smpFull><later>9</later><smpPtP>0.5</smpPtP></entry>
		<entry time="2026-03-02T08:52:01Z"/></MPLicenseUsage>`), &d)
	if err != nil {
		t.Fatal(err)
	}
	want := Counts{Full: 150, PointToPoint: 50}
	if d.Total != 300 || len(d.Entries) != 2 || d.Entries[0].Counts != want || d.Entries[1].Counts != (Counts{}) ||
		!d.Entries[1].Time.Equal(time.Date(2026, 3, 2, 8, 52, 1, 0, time.UTC)) {
		t.Errorf("got %+v", d)
	}
}

// TestSpellings: names that servers write in several ways.
func TestSpellings(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"subType", "subtype"} {
		var d CallLeg
		if err := Parse([]byte(`<callLeg id="1"><`+text+`>lync</`+text+`></callLeg>`), &d); err != nil || d.SubType != "lync" {
			t.Errorf("%s: got %+v, %v", text, d, err)
		}
	}
	for _, text := range []string{"baseDn", "baseDN"} {
		var d LDAPSource
		if err := Parse([]byte(`<ldapSource id="1"><`+text+`> dc=acme </`+text+`><filter/></ldapSource>`), &d); err != nil || d.BaseDN != "dc=acme" {
			t.Errorf("%s: got %+v, %v", text, d, err)
		}
	}
	for _, text := range []string{"activePersonalLicenses", "activePersonalLicensing"} {
		var d ActiveLicenses
		if err := Parse([]byte(`<`+text+` total="0"/>`), &d); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestRefusedDocuments: what is no document of the form that was asked for.
func TestRefusedDocuments(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":         "",
		"text":          "busy",
		"another root":  "<html><body/></html>",
		"cut":           "<status><hostId>x</hostId>",
		"two roots":     "<status/><status/>",
		"tail":          "<status/>rest",
		"declaration":   `<!DOCTYPE status [<!ENTITY a "b">]><status><hostId>&a;</hostId></status>`,
		"entity":        `<status><hostId>&a;</hostId></status>`,
		"no number":     "<status><callLegsActive>many</callLegsActive></status>",
		"minus":         "<status><callLegsActive>-1</callLegsActive></status>",
		"huge number":   "<status><callLegsActive>99999999999999999999</callLegsActive></status>",
		"no flag":       "<status><activated>perhaps</activated></status>",
		"no time":       "<status><cdrTime>yesterday</cdrTime></status>",
		"deep":          "<status>" + strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40) + "</status>",
		"long tag":      "<status " + strings.Repeat(`a="b" `, 3000) + "/>",
		"long value":    "<status><hostId>" + strings.Repeat("x", 5000) + "</hostId></status>",
		"too long":      "<status>" + strings.Repeat(" ", MaxDocument) + "</status>",
		"binary":        "<status>\x00</status>",
		"three decimal": "<status><uptimeSeconds>1.001</uptimeSeconds></status>",
	} {
		if err := Parse([]byte(text), new(Status)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := Parse([]byte(`<MPLicenseUsage total="1"><entry time="2026-03-02T08:57:01Z"><pmp>0.333</pmp></entry></MPLicenseUsage>`), new(Usage)); err == nil {
		t.Error("a counter with three decimals is accepted")
	}
}

// TestDecimals: parse after print is identity, and so is print after parse.
func TestDecimals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, k := Hundredths(rapid.Int64Range(0, maxWhole).Draw(t, "h")), Thousandths(rapid.Int64Range(0, maxWhole).Draw(t, "k"))
		var h2 Hundredths
		var k2 Thousandths
		if err := h2.UnmarshalText([]byte(h.String())); err != nil || h2 != h {
			t.Fatalf("%s: got %s, %v", h, h2, err)
		}
		if err := k2.UnmarshalText([]byte(k.String())); err != nil || k2 != k {
			t.Fatalf("%s: got %s, %v", k, k2, err)
		}
	})
	for text, want := range map[string]Hundredths{"": 0, "1": 100, " 1.5 ": 150, "0.17": 17, "1.000": 100} {
		var h Hundredths
		if err := h.UnmarshalText([]byte(text)); err != nil || h != want {
			t.Errorf("%q: got %d, %v", text, h, err)
		}
	}
}

// TestWriteIsRead: what is written is read again as the same.
func TestWriteIsRead(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	limit := Number(3)
	index := Number(7)
	yes := Flag(true)
	status := Status{HostID: "h", CDRTime: Instant{at}, CDRCorrelatorIndex: &index, Activated: true}
	licensing := Licensing{XMLName: xml.Name{Local: SystemLicensing}, Features: Features{[]Feature{
		{XMLName: xml.Name{Local: "shared"}, Status: StatusActivated, Expiry: &Expiry{time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)}, Limit: &limit}}}}
	usage := Usage{List: List{1}, Entries: []Snapshot{{Time: Instant{at}, Counts: Counts{Personal: 50}}}}
	spaces := CoSpaces{List: List{1}, Spaces: []CoSpace{{ID: "1", Name: `a<&>"b`, NonMemberAccess: &yes}}}
	check(t, status, `<hostId>h</hostId>`, `<cdrCorrelatorIndex>7</cdrCorrelatorIndex>`, `<activated>true</activated>`)
	check(t, licensing, `<licensing><features><shared><status>activated</status><expiry>2027-Jan-31</expiry><limit>3</limit></shared></features></licensing>`)
	check(t, usage, `<MPLicenseUsage total="1"><entry time="2026-03-02T09:00:00Z"><pmp>0.50</pmp></entry></MPLicenseUsage>`)
	check(t, spaces, `total="1"`, `id="1"`)
	check(t, KnownHosts{}, `<knownHosts total="0"></knownHosts>`)
	check(t, NewFailure("coSpaceDoesNotExist"), `<failureDetails><coSpaceDoesNotExist></coSpaceDoesNotExist></failureDetails>`)
}

func check[T any](t *testing.T, doc T, want ...string) {
	t.Helper()
	text, err := Write(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(string(text), w) {
			t.Errorf("got %s, want %s in it", text, w)
		}
	}
	var again T
	if err := Parse(text, &again); err != nil {
		t.Fatal(err)
	}
	if twice, err := Write(again); err != nil || string(twice) != string(text) {
		t.Errorf("got %s (%v), want %s", twice, err, text)
	}
}

// FuzzParse: no input makes a reader fail in another way than with an error, and what is read can be written.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`<MPLicenseUsage total="1"><entry time="2026-03-02T08:57:01Z"><pmp>0.33</pmp></entry></MPLicenseUsage>`))
	f.Add([]byte(`<licensing><features><shared><status>activated</status><expiry>2027-Jan-31</expiry></shared></features></licensing>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var u Usage
		if Parse(text, &u) == nil {
			if _, err := Write(u); err != nil {
				t.Error(err)
			}
		}
		_ = Parse(text, new(Licensing))
		_ = Parse(text, new(CoSpaces))
	})
}
