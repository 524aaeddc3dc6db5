package cdr

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// everyField is one record of each of the nine types with every element and attribute that call bridges are known to send.
var everyField = map[Kind]string{
	CallStart: `<call id="c1"><name>Tide table</name><ownerName>Ines</ownerName><callType>coSpace</callType><coSpace>s1</coSpace>` +
		`<tenant>t1</tenant><cdrTag>harbor</cdrTag><callCorrelator>m1</callCorrelator></call>`,
	CallEnd: `<call id="c1"><callLegsCompleted>2</callLegsCompleted><callLegsMaxActive>2</callLegsMaxActive>` +
		`<durationSeconds>61</durationSeconds><endpointRecorded>true</endpointRecorded></call>`,
	CallLegStart: `<callLeg id="l1"><cdrTag>quay</cdrTag><displayName>Noor</displayName><guestConnection>true</guestConnection>` +
		`<localAddress>7001@quay.example</localAddress><remoteAddress>noor@quay.example</remoteAddress><remoteParty>noor@quay.example</remoteParty>` +
		`<recording>true</recording><streaming>false</streaming><type>sip</type><subType>lync</subType><lyncSubType>audioVideo</lyncSubType>` +
		`<direction>incoming</direction><call>c1</call><ownerId>o1</ownerId><sipCallId>sip-1</sipCallId><groupId>g1</groupId>` +
		`<replacesSipCallId>sip-0</replacesSipCallId><canMove>true</canMove><movedCallLeg>l0</movedCallLeg>` +
		`<movedCallLegCallBridge>b0</movedCallLegCallBridge><confirmationStatus>required</confirmationStatus></callLeg>`,
	CallLegUpdate: `<callLeg id="l1"><cdrTag>quay</cdrTag><state>connected</state><ivr/><ownerId>o1</ownerId><sipCallId>sip-1</sipCallId>` +
		`<groupId>g1</groupId><deactivated>true</deactivated><displayName>Noor</displayName><remoteAddress>noor@quay.example</remoteAddress>` +
		`<canMove>false</canMove><confirmationStatus>confirmed</confirmationStatus></callLeg>`,
	CallLegEnd: `<callLeg id="l1"><cdrTag>quay</cdrTag><reason>remoteTeardown</reason><remoteTeardown>true</remoteTeardown>` +
		`<encryptedMedia>true</encryptedMedia><unencryptedMedia>false</unencryptedMedia><durationSeconds>60</durationSeconds>` +
		`<activatedDuration>58</activatedDuration><mediaUsagePercentages><mainVideoViewer>99.9</mainVideoViewer><mainVideoContributor>50.0` +
		`</mainVideoContributor><presentationViewer>1.5</presentationViewer><presentationContributor>0.0</presentationContributor>` +
		`<multistreamVideo>0.0</multistreamVideo></mediaUsagePercentages><maxScreens>2</maxScreens>` +
		`<alarm type="packetLoss" durationPercentage="0.1"/><alarm type="excessiveJitter" durationPercentage="0.2"/>` +
		`<rxAudio><codec>opus</codec><packetStatistics><packetLossBursts><duration>0.01</duration><density>0.02</density></packetLossBursts>` +
		`<packetGap><duration>1.5</duration><density>0.03</density></packetGap></packetStatistics></rxAudio><txAudio><codec>opus</codec></txAudio>` +
		`<rxVideo><codec>h264</codec><maxSizeWidth>1280</maxSizeWidth><maxSizeHeight>720</maxSizeHeight></rxVideo>` +
		`<txVideo><codec>h264</codec></txVideo><ownerId>o1</ownerId><sipCallId>sip-1</sipCallId><confirmationStatus>confirmed</confirmationStatus></callLeg>`,
	RecordingStart: "<recording id=\"r1\"><path>spaces/s1/20240305090000+0100\n</path><recorderUrl>https://192.0.2.4:8443\n</recorderUrl>" +
		"<recorderUri>rec@quay.example</recorderUri><call>c1\n</call><callLeg>l1\n</callLeg></recording>",
	RecordingEnd:   "<recording id=\"r1\">\n</recording>",
	StreamingStart: `<streaming id="s1"><streamUrl>rtmp://stream.example/live</streamUrl><streamerUrl>https://192.0.2.5</streamerUrl><call>c1</call><callLeg>l1</callLeg></streaming>`,
	StreamingEnd:   `<streaming id="s1"/>`,
}

// value finds a field by its path.
func value(fields []Field, path string) (string, bool) {
	for _, f := range fields {
		if f.Path == path {
			return f.Value, true
		}
	}
	return "", false
}

// TestRule07NineTypesWithEveryField: nothing of the known elements is unknown to Parse, and Details shows all of them.
func TestRule07NineTypesWithEveryField(t *testing.T) {
	t.Parallel()
	if len(everyField) != 9 {
		t.Fatalf("got %d types, want 9", len(everyField))
	}
	for kind, content := range everyField {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := body(record(string(kind), 7, content))
			parsed := mustParse(t, b).Records[0]
			if parsed.Unknown != nil {
				t.Errorf("got unknown elements %v, want none", parsed.Unknown)
			}
			all, err := Details(b)
			if err != nil || len(all) != 1 || all[0].Kind != kind || all[0].Correlator != 7 || all[0].Session != sessionA || all[0].CallBridge != bridgeA {
				t.Fatalf("got %+v, %v", all, err)
			}
			if want := strings.Count(content, "</") + strings.Count(content, "/>"); len(all[0].Fields) < want/2 {
				t.Errorf("got %d fields of %d elements", len(all[0].Fields), want)
			}
			// What is left without the body is part of what the body shows.
			for _, f := range parsed.Fields() {
				if got, ok := value(all[0].Fields, f.Path); !ok || got != f.Value {
					t.Errorf("%s: the record keeps %q, the body shows %q", f.Path, f.Value, got)
				}
			}
		})
	}
}

func TestDetailsKeepTheOrderOfTheDocument(t *testing.T) {
	t.Parallel()
	b := body(`<record type="novelty" time="soon" recordIndex="5" correlatorIndex="x" numPreceedingRecordsMissing="3" flavor="salt">` +
		"<callLeg id=\"L1\" extra=\"e\"><ivr/>\n<alarm type=\"packetLoss\"/><alarm type=\"x\">late</alarm><rxAudio><codec> opus </codec></rxAudio>" +
		"<name>a&amp;b<![CDATA[ <c>]]></name></callLeg><board/></record>")
	want := []Field{
		{"@type", "novelty"}, {"@time", "soon"}, {"@recordIndex", "5"}, {"@correlatorIndex", "x"}, {"@numPreceedingRecordsMissing", "3"}, {"@flavor", "salt"},
		{"callLeg@id", "L1"}, {"callLeg@extra", "e"}, {"callLeg/ivr", ""}, {"callLeg/alarm@type", "packetLoss"},
		{"callLeg/alarm[2]@type", "x"}, {"callLeg/alarm[2]", "late"}, {"callLeg/rxAudio/codec", "opus"}, {"callLeg/name", "a&b <c>"}, {"board", ""},
	}
	got, err := Details(b)
	if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0].Fields, want) || got[0].Correlator != -1 {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// TestDetailsOfBrokenBodies: what stands before the fault is shown, with the fault.
func TestDetailsOfBrokenBodies(t *testing.T) {
	t.Parallel()
	whole := string(body(record("callEnd", 1, endOfCall)))
	for name, tc := range map[string]struct {
		body    string
		records int
		fault   bool
	}{
		"second root":            {whole + whole[len(`<?xml version="1.0"?>`):], 2, false},
		"cut off":                {whole[:len(whole)-20] + "<record", 1, true},
		"document type":          {`<!DOCTYPE x>` + whole, 0, true},
		"too deep":               {strings.TrimSuffix(whole, "</records>") + "<record>" + strings.Repeat("<a>", 30), 2, true},
		"record without a root":  {`<record type="callEnd" correlatorIndex="3"><call id="c"/></record>`, 1, false},
		"nothing":                {"", 0, false},
		"not markup":             {"hello", 0, false},
		"more than a body holds": {strings.Repeat(" ", MaxBody+1), 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Details([]byte(tc.body))
			_, ours := errors.AsType[*Error](err)
			if len(got) != tc.records || (err != nil) != tc.fault || err != nil && !ours {
				t.Errorf("got %d records, %v; want %d, fault %t", len(got), err, tc.records, tc.fault)
			}
		})
	}
}

// FuzzDetails: no input crashes the reader, and of what Parse accepts it shows every record, in order, and each apart
// is the same.
func FuzzDetails(f *testing.F) {
	f.Add(tenRecords())
	for kind, content := range everyField {
		f.Add(body(record(string(kind), 1, content)))
	}
	f.Add([]byte("<a><b>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		details, err := Details(b)
		post, refused := Parse(b)
		if refused != nil {
			return
		}
		if err != nil {
			t.Fatalf("Parse accepts it, Details says %v", err)
		}
		apart(t, b)
		var got, want []string
		for _, d := range details {
			if d.Correlator >= 0 { // children of the root that are no records have none
				got = append(got, fmt.Sprint(d.Correlator))
			}
		}
		for _, r := range post.Records {
			want = append(want, fmt.Sprint(r.Correlator))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got records %v, want %v", got, want)
		}
	})
}
