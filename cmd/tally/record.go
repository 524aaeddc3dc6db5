package main

import (
	"context"
	"fmt"
	"io"

	"github.com/tallystick/tallystick/api"
)

type meetingRecordsCmd struct {
	ID  string `arg:"" help:"Id of the meeting."`
	Leg string `help:"Only the records of this leg." placeholder:"GUID"`
}

// Run shows every call-detail record of a meeting with all its fields.
func (c meetingRecordsCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "records", r.MeetingRecords(ctx, account, c.ID, c.Leg))
	if err != nil {
		return err
	}
	return s.print(list[api.Record]{append([]api.Record{}, all...)}, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(s.stderr, "there are no such records")
			return
		}
		t := newTable(w, "time | type | call bridge | session | index | correlator | field | value")
		for _, rec := range all {
			head := []any{rec.Time, rec.Type, rec.CallBridge, rec.Session, orDash(rec.RecordIndex), rec.Correlator}
			for _, f := range rec.Fields {
				if known(f.Path) {
					continue // stands at the head
				}
				t.row(append(head, f.Path, f.Value)...)
				head = []any{" ", " ", " ", " ", " ", " "}
			}
			if head[0] != " " {
				t.row(append(head, "", "")...)
			}
			if !rec.Whole {
				t.row(" ", " ", " ", " ", " ", " ", "(the post is gone; this is what the meeting is made of)", " ")
			}
		}
		t.end()
	})
}

// known says whether an attribute of a record has a column of its own.
func known(path string) bool {
	switch path {
	case "@type", "@time", "@recordIndex", "@correlatorIndex":
		return true
	}
	return false
}

// orDash shows a number that may be missing.
func orDash(n int64) any {
	if n == 0 {
		return ""
	}
	return n
}

// writeMissing says which records are lost from the time of a meeting.
func writeMissing(w io.Writer, all []api.Missing) {
	if len(all) > 0 {
		fmt.Fprintln(w)
	}
	for _, m := range all {
		fmt.Fprintln(w, cellText(m.Text))
	}
}
