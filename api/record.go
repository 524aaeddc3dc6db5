package api

import (
	"context"
	"iter"
	"time"
)

// Record is one call-detail record, as the call bridge wrote it.
type Record struct {
	Type        string     `json:"type" doc:"Type of the record, such as callLegStart."`
	Time        time.Time  `json:"time" doc:"When the call bridge made it."`
	CallBridge  string     `json:"callBridge,omitempty" doc:"GUID of the call bridge; absent when it does not say."`
	Session     string     `json:"session" doc:"The run of the call bridge; new at every restart."`
	RecordIndex int64      `json:"recordIndex,omitempty" doc:"Number of the record among those sent to this receiver; absent when the post is gone."`
	Correlator  int64      `json:"correlatorIndex" doc:"Number of the record in its session, the same on every receiver."`
	Call        string     `json:"call,omitempty" doc:"The call that it is about."`
	Leg         string     `json:"callLeg,omitempty" doc:"The leg that it is about."`
	ReceivedAt  *time.Time `json:"receivedAt,omitempty" doc:"When it was stored; absent when the post is gone."`
	Whole       bool       `json:"whole" doc:"Whether fields are all that the call bridge sent. Otherwise the post is gone, and they are what meetings are made of."`
	Fields      []Field    `json:"fields" nullable:"false" doc:"Every attribute and element in the order of the document."`
}

// Field is one attribute or element of a record.
type Field struct {
	Path  string `json:"path" doc:"Elements from below the record on, as in callLeg/rxAudio/codec; an attribute stands behind an @."`
	Value string `json:"value" doc:"Text, without the white space around it."`
}

// MeetingRecords lists the records of a meeting in the order in which they happened; of one leg when it is not empty.
func (c *Client) MeetingRecords(ctx context.Context, account, meeting, leg string) iter.Seq2[Record, error] {
	return pages[Record](ctx, c, at("accounts", account, "conference", "meetings", meeting, "records"), query("leg", leg))
}
