package cdr

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	sessionA = "11111111-aaaa-4000-8000-000000000001"
	bridgeA  = "22222222-aaaa-4000-8000-000000000001"
	callA    = "33333333-aaaa-4000-8000-000000000001"
	legA     = "44444444-aaaa-4000-8000-000000000001"
	spaceA   = "55555555-aaaa-4000-8000-000000000001"
	corrA    = "66666666-aaaa-4000-8000-000000000001"
)

// body wraps records the way call bridges do.
func body(records ...string) []byte {
	return []byte(`<?xml version="1.0"?><records session="` + sessionA + `" callBridge="` + bridgeA + `">` +
		strings.Join(records, "\n") + "\n</records>")
}

// record wraps the content of one record.
func record(kind string, correlator int, content string) string {
	return fmt.Sprintf(`<record type="%s" time="2024-03-05T09:00:%02dZ" recordIndex="%d" correlatorIndex="%d">`+"\n%s</record>",
		kind, correlator%60, correlator+1, correlator, content)
}

const (
	startOfCall = `<call id="` + callA + `"><name>Harbor plan</name><ownerName>Ines</ownerName><callType>coSpace</callType><coSpace>` + spaceA +
		`</coSpace><callCorrelator>` + corrA + `</callCorrelator></call>`
	startOfLeg = `<callLeg id="` + legA + `"><remoteParty>noor@quay.example</remoteParty><displayName>Noor Økland</displayName><type>acano</type>` +
		`<direction>incoming</direction><call>` + callA + `</call><groupId>` + legA + `</groupId></callLeg>`
	updateOfLeg = `<callLeg id="` + legA + `"><state>connected</state><call>` + callA + `</call><deactivated>false</deactivated><groupId>` + legA +
		`</groupId><displayName>Noor Økland</displayName></callLeg>`
	endOfLeg = `<callLeg id="` + legA + `"><reason>remoteTeardown</reason><remoteTeardown>true</remoteTeardown><durationSeconds>61</durationSeconds>` +
		`<mediaUsagePercentages><mainVideoViewer>99.9</mainVideoViewer></mediaUsagePercentages><alarm type="packetLoss" durationPercentage="0.1" />` +
		`<rxAudio><codec>opus</codec></rxAudio><rxVideo><codec>h264</codec><maxSizeWidth>1280</maxSizeWidth></rxVideo></callLeg>`
	endOfCall = `<call id="` + callA + `"><callLegsCompleted>1</callLegsCompleted><callLegsMaxActive>1</callLegsMaxActive><durationSeconds>62</durationSeconds></call>`
)

// tenRecords is a post as a busy bridge sends it.
func tenRecords() []byte {
	var records []string
	for i := range 2 {
		records = append(records, record("callStart", 5*i, startOfCall), record("callLegStart", 5*i+1, startOfLeg),
			record("callLegUpdate", 5*i+2, updateOfLeg), record("callLegEnd", 5*i+3, endOfLeg), record("callEnd", 5*i+4, endOfCall))
	}
	return body(records...)
}

func mustParse(t testing.TB, b []byte) Post {
	t.Helper()
	post, err := Parse(b)
	if err != nil {
		t.Fatalf("Parse(%.200s): %v", b, err)
	}
	return post
}

func TestParseReadsEveryField(t *testing.T) {
	t.Parallel()
	post := mustParse(t, body(record("callStart", 7, startOfCall), record("callLegUpdate", 8, updateOfLeg), record("callLegEnd", 9, endOfLeg), record("callEnd", 10, endOfCall)))
	for i := range post.Records {
		if post.Records[i].Digest == ([16]byte{}) {
			t.Errorf("record %d has no digest", i)
		}
		post.Records[i].Digest = [16]byte{}
	}
	at := func(s int) time.Time { return time.Date(2024, 3, 5, 9, 0, s, 0, time.UTC) }
	want := Post{Session: sessionA, CallBridge: bridgeA, Records: []Record{
		{Kind: CallStart, At: at(7), Session: sessionA, CallBridge: bridgeA, RecordIndex: 8, Correlator: 7, CallID: callA, Name: "Harbor plan",
			OwnerName: "Ines", CallType: "coSpace", Space: spaceA, CallCorrelator: corrA},
		{Kind: CallLegUpdate, At: at(8), Session: sessionA, CallBridge: bridgeA, RecordIndex: 9, Correlator: 8, CallID: callA, LegID: legA,
			State: StateConnected, DisplayName: "Noor Økland"},
		{Kind: CallLegEnd, At: at(9), Session: sessionA, CallBridge: bridgeA, RecordIndex: 10, Correlator: 9, LegID: legA,
			Reason: "remoteTeardown", DurationSeconds: 61, HasMedia: true, HasVideo: true},
		{Kind: CallEnd, At: at(10), Session: sessionA, CallBridge: bridgeA, RecordIndex: 11, Correlator: 10, CallID: callA,
			DurationSeconds: 62, LegsMaxActive: 1, LegsCompleted: 1},
	}}
	if !reflect.DeepEqual(post, want) {
		t.Errorf("got  %+v\nwant %+v", post, want)
	}
}

func TestParseAccepts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		record string
		check  func(Record) bool
	}{
		"rule 7: unknown element":   {record("callStart", 1, `<call id="c"><flavor>x</flavor></call>`), func(r Record) bool { return r.CallID == "c" && r.Unknown[0] == "flavor" }},
		"rule 7: unknown kind":      {record("callPaused", 1, `<call id="c"/>`), func(r Record) bool { return r.Kind == "callPaused" && r.CallID == "c" }},
		"rule 7: unknown subject":   {record("whiteboard", 1, `<board id="b"/>`), func(r Record) bool { return r.CallID == "" && r.Unknown[0] == "board" }},
		"rule 7: unknown reason":    {record("callLegEnd", 1, `<callLeg id="l"><reason>boredom</reason></callLeg>`), func(r Record) bool { return r.Reason == "boredom" }},
		"unreadable number":         {record("callEnd", 1, `<call id="c"><durationSeconds>long</durationSeconds></call>`), func(r Record) bool { return r.DurationSeconds == 0 && r.Unknown[0] == "durationSeconds" }},
		"text is trimmed":           {record("callLegStart", 1, "<callLeg id=\" l \"><type>sip\n</type><call>\r\n c </call></callLeg>"), func(r Record) bool { return r.LegID == "l" && r.Type == "sip" && r.CallID == "c" }},
		"identifiers in lower case": {record("callLegStart", 1, `<callLeg id="AB-C"><call>DEF</call></callLeg>`), func(r Record) bool { return r.LegID == "ab-c" && r.CallID == "def" }},
		"both spellings: subtype":   {record("callLegStart", 1, `<callLeg id="l"><subtype>lync</subtype></callLeg>`), func(r Record) bool { return r.SubType == "lync" }},
		"both spellings: subType":   {record("callLegStart", 1, `<callLeg id="l"><subType>lync</subType></callLeg>`), func(r Record) bool { return r.SubType == "lync" }},
		"voice menu":                {record("callLegStart", 1, `<callLeg id="l"><ivr/></callLeg>`), func(r Record) bool { return r.InIVR && r.CallID == "" }},
		"lobby":                     {record("callLegUpdate", 1, `<callLeg id="l"><deactivated>true</deactivated></callLeg>`), func(r Record) bool { return r.Deactivated }},
		"empty owner":               {record("callStart", 1, `<call id="c"><ownerName> </ownerName></call>`), func(r Record) bool { return r.OwnerName == "" && r.Unknown == nil }},
		"the five entities":         {record("callStart", 1, `<call id="c"><name>&lt;R&amp;D&gt; &quot;&apos;&#x41;&#66;</name></call>`), func(r Record) bool { return r.Name == `<R&D> "'AB` }},
		"section":                   {record("callStart", 1, `<call id="c"><name>R<![CDATA[&D <b>]]>!</name></call>`), func(r Record) bool { return r.Name == "R&D <b>!" }},
		"comment":                   {record("callStart", 1, `<call id="c"><name>ab<!-- x -->cd</name></call>`), func(r Record) bool { return r.Name == "abcd" }},
		"single quotes":             {record("callStart", 1, `<call id='c'/>`), func(r Record) bool { return r.CallID == "c" }},
		"recording": {record("recordingStart", 1, `<recording id="m"><path>spaces/x</path><call>c </call><callLeg>l</callLeg></recording>`),
			func(r Record) bool { return r.MediaID == "m" && r.CallID == "c" && r.LegID == "l" && r.Unknown == nil }},
		"milliseconds and offset": {`<record type="callEnd" time="2024-03-05T10:00:00.1239+01:00" correlatorIndex="0"><call id="c"/></record>`,
			func(r Record) bool {
				return r.At.Equal(time.Date(2024, 3, 5, 9, 0, 0, 123e6, time.UTC)) && r.At.Location() == time.UTC
			}},
		"lost records":   {`<record type="callEnd" time="2024-03-05T10:00:00Z" correlatorIndex="9" numPreceedingRecordsMissing="4"/>`, func(r Record) bool { return r.Missing == 4 }},
		"long name, cut": {record("callStart", 1, `<call id="c"><name>`+strings.Repeat("ø", 700)+`</name></call>`), func(r Record) bool { return r.Name == strings.Repeat("ø", 512) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if post := mustParse(t, body(tc.record)); len(post.Records) != 1 || !tc.check(post.Records[0]) {
				t.Errorf("got %+v", post.Records)
			}
		})
	}
}

func TestParseAcceptsOddBodies(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]string{
		"no records":        `<records session="s"></records>`,
		"no prolog, spaces": "\n  <records session=\"s\" >\n</records>\n\n",
		"byte order mark":   "\xef\xbb\xbf<records session=\"s\"/>",
		"unknown neighbor":  `<records session="s"><note type="callStart">x</note></records>`,
		"name space":        `<records xmlns="urn:x" session="s"/>`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if post := mustParse(t, []byte(b)); post.Session != "s" || len(post.Records) != 0 {
				t.Errorf("got %+v", post)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := record("callEnd", 1, endOfCall)
	for name, tc := range map[string]struct{ body, want string }{
		"empty":               {"", "no <records> element"},
		"only text":           {"hello", "no <records> element"},
		"another root":        {`<record/>`, "root element <record>"},
		"two roots":           {string(body(good)) + "<records session=\"s\"/>", "second root element"},
		"text after root":     {string(body(good)) + "x", "text outside the root"},
		"stray end tag":       {`<records session="s"><record type="callLegStart" time="2024-03-05T09:00:00Z" correlatorIndex="1"><callLeg id="l"></cdrTag></callLeg></record></records>`, "malformed XML"},
		"cut short":           {string(body(good)[:200]), "malformed XML"},
		"document type":       {`<!DOCTYPE records [<!ENTITY a "b">]><records session="s"/>`, "document type"},
		"entity of one's own": {`<records session="&a;"/>`, "malformed XML"},
		"bad encoding":        {"<records session=\"\xff\"/>", "malformed XML"},
		"missing session":     {`<records callBridge="x"/>`, "without a session"},
		"empty session":       {`<records session=" "/>`, "without a session"},
		"no type":             {`<records session="s"><record time="2024-03-05T09:00:00Z" correlatorIndex="1"/></records>`, "without a type"},
		"no time":             {`<records session="s"><record type="callEnd" correlatorIndex="1"/></records>`, "without a time"},
		"bad time":            {`<records session="s"><record type="callEnd" time="yesterday" correlatorIndex="1"/></records>`, `time "yesterday" is not`},
		"time before all":     {`<records session="s"><record type="callEnd" time="0001-01-01T00:00:00Z" correlatorIndex="1"/></records>`, "is not an RFC 3339 time"},
		"no correlator":       {`<records session="s"><record type="callEnd" time="2024-03-05T09:00:00Z"/></records>`, "without a correlatorIndex"},
		"negative correlator": {`<records session="s"><record type="callEnd" time="2024-03-05T09:00:00Z" correlatorIndex="-1"/></records>`, `correlatorIndex "-1"`},
		"bad record index":    {`<records session="s"><record type="callEnd" time="2024-03-05T09:00:00Z" recordIndex="x" correlatorIndex="1"/></records>`, `recordIndex "x"`},
		"long identifier":     {string(body(record("callEnd", 1, `<call id="`+strings.Repeat("a", 129)+`"/>`))), "call longer than 128 bytes"},
		"large body":          {strings.Repeat(" ", MaxBody+1), "limit is 1048576"},
		"large tag":           {`<records session="s" x="` + strings.Repeat("a", maxTag) + `"/>`, "tag of more than 8192 bytes"},
		"many attributes":     {`<records session="s"` + strings.Repeat(` a="b"`, maxAttrs) + `/>`, "more than 64 attributes"},
		"deep":                {`<records session="s">` + strings.Repeat("<a>", maxDepth), "nested more than 16 deep"},
		"deep, closed":        {`<records session="s">` + strings.Repeat("<a>", maxDepth-1) + "<a/>" + strings.Repeat("</a>", maxDepth-1) + "</records>", "nested more than 16 deep"},
		"many records":        {string(body(strings.Repeat(`<record type="x" time="2024-03-05T09:00:00Z" correlatorIndex="1"/>`, MaxRecords+1))), "more than 5000 records"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			post, err := Parse([]byte(tc.body))
			refused, ok := errors.AsType[*Error](err)
			if !ok || !strings.Contains(err.Error(), tc.want) || refused.Line < 1 {
				t.Errorf("got error %v, want one that contains %q", err, tc.want)
			}
			if !reflect.DeepEqual(post, Post{}) {
				t.Errorf("refused, and yet got %+v", post)
			}
		})
	}
}

func TestParseNamesTheLine(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("<records session=\"s\">\n\n<record type=\"x\"/>\n</records>"))
	if want := "line 3: <record> without a time"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestDigestTellsRepeatFromConflict(t *testing.T) {
	t.Parallel()
	digest := func(b []byte) [16]byte { return mustParse(t, b).Records[0].Digest }
	first := digest(body(record("callEnd", 4, endOfCall)))
	same := strings.NewReplacer(`recordIndex="5"`, `recordIndex="99" numPreceedingRecordsMissing="3"`, ">62<", "> 62\n<")
	if got := digest([]byte(same.Replace(string(body(record("callEnd", 4, endOfCall)))))); got != first {
		t.Error("another receiver's numbering changes the digest")
	}
	for name, change := range map[string][2]string{
		"kind": {"callEnd", "callStart"}, "time": {"09:00:04", "09:00:05"}, "correlator": {`correlatorIndex="4"`, `correlatorIndex="5"`},
		"text": {">62<", ">63<"}, "element": {"durationSeconds", "novelty"}, "identifier": {callA, legA}, "attribute": {"<call ", `<call x="y" `},
	} {
		if digest([]byte(strings.ReplaceAll(string(body(record("callEnd", 4, endOfCall))), change[0], change[1]))) == first {
			t.Errorf("another %s has the same digest", name)
		}
	}
}

// TestParseMemory is not parallel: it measures what is allocated meanwhile.
func TestParseMemory(t *testing.T) {
	for name, b := range map[string]string{
		"five megabytes of attributes":            `<records session="s" ` + strings.Repeat(`a="b" `, 5<<20/6) + `/>`,
		"one megabyte of attributes":              `<records session="s" ` + strings.Repeat(`a="b" `, (MaxBody-40)/6) + `/>`,
		"one megabyte of attributes and brackets": `<records session="s"><record ` + strings.Repeat(`a=">" `, (MaxBody-60)/6) + `/></records>`,
		"one megabyte of openings":                `<records session="s">` + strings.Repeat("<a>", MaxBody/3-10),
		"one megabyte of record tags":             `<records session="s">` + strings.Repeat("<record ", MaxBody/8-10),
	} {
		var before, after runtime.MemStats
		input := []byte(b)
		runtime.ReadMemStats(&before)
		if _, err := Parse(input); err == nil {
			t.Errorf("%s: accepted", name)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
			t.Errorf("%s: allocated %d bytes, want at most 8 MiB", name, grown)
		}
	}
}

// FuzzParse holds the fast reader to the standard one: what it accepts, the
// other reads as the same.
func FuzzParse(f *testing.F) {
	f.Add(tenRecords())
	f.Add(body(record("callLegUpdate", 1, `<callLeg id="l"><ivr/><displayName>&lt;ü</displayName></callLeg>`)))
	f.Add([]byte(`<?xml version="1.0" encoding="UTF-8"?><records session="s"><record type="x" time="2024-03-05T09:00:00.5Z" correlatorIndex="0"/></records>`))
	f.Add([]byte("<records session='s'><!-- --><record\ttype=\"a\" /></records>x"))
	f.Add([]byte(`<records session="s"><a x="1" x="2">t<b/>u</a></records>`))
	f.Fuzz(func(t *testing.T, b []byte) { compareReaders(t, b) })
}

func compareReaders(t interface{ Errorf(string, ...any) }, b []byte) (fast bool) {
	got, fast := scan(b)
	want, err := decode(b)
	if fast && (err != nil || !reflect.DeepEqual(got, want)) {
		t.Errorf("the readers differ on %q:\nfast %+v\nslow %+v, %v", b, got, want, err)
	}
	return fast
}

func TestReadersAgreeOnTheUsualForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "part") }
		var b strings.Builder
		b.WriteString(pick(`<?xml version="1.0"?>`, ""))
		b.WriteString(`<records session="` + pick("s", "S-1") + `"` + pick("", " ", ` callBridge="B"`) + ">" + pick("", "\n"))
		for i := range rapid.IntRange(0, 4).Draw(t, "records") {
			fmt.Fprintf(&b, `<record type="%s" time="2024-03-05T09:00:0%dZ" recordIndex="%d" correlatorIndex="%d">`,
				pick("callLegStart", "callStart", "novel"), i, i+1, i)
			subject := pick("call", "callLeg", "recording", "board")
			b.WriteString("<" + subject + pick("", ` id="AB"`, ` id="x" z="ü"`) + ">")
			for range rapid.IntRange(0, 5).Draw(t, "fields") {
				field := pick("name", "call", "displayName", "durationSeconds", "ivr", "rxVideo", "novel")
				b.WriteString(pick("<"+field+"/>", "<"+field+">"+pick("", " ", "7", "Grüße\n", "<codec>x</codec>")+"</"+field+">"))
			}
			b.WriteString("</" + subject + "></record>" + pick("", "\n  "))
		}
		b.WriteString("</records>" + pick("", "\n"))
		if !compareReaders(t, []byte(b.String())) {
			t.Errorf("the fast reader does not read %s", b.String())
		}
	})
}

func BenchmarkParse(b *testing.B) {
	post := tenRecords()
	b.SetBytes(int64(len(post)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(post); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseUnusual(b *testing.B) {
	post := []byte(strings.ReplaceAll(string(tenRecords()), "Harbor plan", "R&amp;D"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(post); err != nil {
			b.Fatal(err)
		}
	}
}
