package web

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/conference"
)

func (s *server) listRecords(ctx context.Context, in *struct {
	AccountPath
	Paging
	Meeting string `path:"meeting" doc:"Id of the meeting."`
	Leg     string `query:"leg" doc:"Only the records of this leg."`
}) (*reply[api.List[api.Record]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(recordPart)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Conference.Records(ctx, id, in.Meeting, in.Leg, after, in.Limit)
	return listed(rows, next, err, recordOf)
}

// recordPart is the part that the conference engine makes: the time of a record, its number and its session.
func recordPart(s string) bool {
	parts := strings.Split(s, "_")
	if len(parts) != 3 || !numberPart(parts[0]) || !numberPart(parts[1]) {
		return false
	}
	_, err := hex.DecodeString(parts[2])
	return err == nil
}

func recordOf(r conference.RecordDetail) api.Record {
	return api.Record{
		Type: r.Kind, Time: r.At, CallBridge: r.CallBridge, Session: r.Session, RecordIndex: r.RecordIndex, Correlator: r.Correlator, Call: r.Call,
		Leg: r.Leg, ReceivedAt: optional(r.ReceivedAt), Whole: r.Whole, Fields: each(r.Fields, fieldOf),
	}
}

func fieldOf(f cdr.Field) api.Field { return api.Field(f) }

func missingOf(m conference.Missing) api.Missing {
	return api.Missing{CallBridge: m.CallBridge, Session: m.Session, Records: m.Records, From: optional(m.From), To: m.To, Cause: m.Cause, Text: m.Sentence()}
}

// some is each, and nil for nothing.
func some[D, T any](rows []D, convert func(D) T) []T {
	if len(rows) == 0 {
		return nil
	}
	return each(rows, convert)
}
