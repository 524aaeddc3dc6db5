package cdr

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestEncodeKeepsEveryField(t *testing.T) {
	t.Parallel()
	want := []*Record{
		{Kind: CallLegEnd, At: began.Add(time.Millisecond), Session: sessionA, CallBridge: bridgeA, Correlator: 5, CallID: callA, LegID: legA, MediaID: "media",
			Name: "name", OwnerName: "owner", CallType: "adHoc", Space: strings.ToUpper(spaceA), CallCorrelator: corrA, State: "state", Deactivated: true,
			InIVR: true, DisplayName: "ø", RemoteParty: "party", RemoteAddress: "remote", LocalAddress: "local", Type: "sip", SubType: "lync",
			Direction: "incoming", Reason: "reason", DurationSeconds: 1, LegsMaxActive: 2, LegsCompleted: 3, HasMedia: true, HasVideo: true, Digest: [16]byte{9}},
		{Kind: "novelty", At: began.Add(-time.Hour), Session: "s", Correlator: 0},
	}
	given := reflect.ValueOf(*want[0])
	for i := range given.NumField() {
		name := given.Type().Field(i).Name
		if left := name == "RecordIndex" || name == "Missing" || name == "Unknown"; given.Field(i).IsZero() != left {
			t.Errorf("the test does not set %s as it should", name)
		}
	}
	got, err := Decode(Encode(want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	numbered := *want[0]
	numbered.RecordIndex, numbered.Missing, numbered.Unknown = 7, 8, []string{"x"}
	if !bytes.Equal(Encode([]*Record{&numbered, want[1]}), Encode(want)) {
		t.Error("what a receiver adds to a record shows in the stored form")
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good := Encode([]*Record{{Kind: CallStart, At: began, Session: sessionA, CallID: "c"}})
	for name, tc := range map[string]struct {
		stored []byte
		want   string
	}{
		"nothing":             {nil, "cut short"},
		"another version":     {append([]byte{2}, good[1:]...), "version 2, want 1"},
		"cut short":           {good[:len(good)-1], "cut short"},
		"more than there is":  {append(bytes.Clone(good), 0), "bytes after the last record"},
		"more records":        {[]byte{1, 0xff, 0xff, 0xff, 0x7f}, "268435455 records in 5 bytes"},
		"unknown field":       {append([]byte{1, 1, 0x80, 0x80, 0x80, 0x80, 0x01}, make([]byte, 40)...), "fields that this version does not know"},
		"text never written":  {append([]byte{1, 1, 0, 0, 0}, append(make([]byte, 16), 9, 0)...), "text that was not written before"},
		"text without an end": {append([]byte{1, 1, 0, 0, 0}, append(make([]byte, 16), 0, 0xff, 0x7f)...), "text longer than the record set"},
	} {
		records, err := Decode(tc.stored)
		if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), tc.want) || records != nil {
			t.Errorf("%s: got %v, %v; want an error that contains %q", name, records, err, tc.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(large(2)))
	f.Add(Encode(nil))
	f.Fuzz(func(t *testing.T, stored []byte) {
		records, err := Decode(stored)
		if err != nil {
			return
		}
		again, err := Decode(Encode(records))
		if err != nil || !reflect.DeepEqual(again, records) {
			t.Errorf("got %+v, %v\nwant %+v", again, err, records)
		}
	})
}

func TestStoredRecordsAreSmall(t *testing.T) {
	t.Parallel()
	post := mustParse(t, tenRecords())
	records := make([]*Record, len(post.Records))
	for i := range records {
		records[i] = &post.Records[i]
	}
	if got := len(Encode(records)) / len(records); got > 100 {
		t.Errorf("%d bytes a record, want at most 100", got)
	}
}

func BenchmarkEncode(b *testing.B) {
	records := large(10)
	b.ReportAllocs()
	for b.Loop() {
		Encode(records)
	}
	b.ReportMetric(float64(len(Encode(records)))/float64(len(records)), "B/record")
}

func BenchmarkDecode(b *testing.B) {
	stored := Encode(large(10))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(stored); err != nil {
			b.Fatal(err)
		}
	}
}
