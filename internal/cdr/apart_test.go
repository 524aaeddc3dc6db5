package cdr

import (
	"reflect"
	"strings"
	"testing"
)

// apart checks that each record of a body stands for itself.
func apart(t *testing.T, b []byte) {
	t.Helper()
	post, err := Parse(b)
	if err != nil {
		return
	}
	all := post.Apart(b)
	if len(all) != len(post.Records) {
		t.Fatalf("got %d, want %d records apart", len(all), len(post.Records))
	}
	for i, one := range all {
		again, err := Parse(one)
		if err != nil || len(again.Records) != 1 || !reflect.DeepEqual(again.Records[0], post.Records[i]) {
			t.Fatalf("record %d: got %+v, %v\nof %s\nwant %+v", i, again.Records, err, one, post.Records[i])
		}
	}
}

func TestRecordsApart(t *testing.T) {
	t.Parallel()
	apart(t, tenRecords())
	for kind, content := range everyField {
		apart(t, body(record(string(kind), 1, content), record("novelty", 2, "<![CDATA[<record>]]><!-- <record> --><x/>"), record("callEnd", 3, "")))
	}
	odd := strings.NewReplacer(`<?xml version="1.0"?>`, "\xef\xbb\xbf<?xml version=\"1.0\"?><!-- "+strings.Repeat("x", 1000)+" -->", "</records>", "<other/> </records>")
	b := []byte(odd.Replace(string(body(record("callEnd", 1, endOfCall), record("callStart", 2, startOfCall)))))
	apart(t, b)
	if post, err := Parse(b); err != nil || len(post.Records) != 2 || len(post.Apart(b)[0]) > len(b)/2 {
		t.Errorf("got %v, want two records and each without what stands before them", err)
	}
}
