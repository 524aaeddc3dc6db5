package api

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// ReplayQuery says which meetings are decided again.
type ReplayQuery struct {
	Bridge   string    // id or name; all when empty
	From, To time.Time // meetings that began in [From, To); zero for no bound
	Policy   string    // name of another policy; what it would have decided is not written
	Write    bool      // put what is decided now in the place of what is stored
}

// Replay is what came of one step of deciding meetings again.
type Replay struct {
	Meetings    int64         `json:"meetings" doc:"Meetings looked at in this step."`
	Records     int64         `json:"records" doc:"Records of these meetings."`
	Kept        int64         `json:"kept" doc:"Of the records, those whose posts are kept. The others were taken from their meetings."`
	Differing   int64         `json:"differing" doc:"Meetings that come out otherwise than they are stored."`
	Written     int64         `json:"written" doc:"Of those, how many were written."`
	Differences []Difference  `json:"differences" nullable:"false" doc:"What differs."`
	Totals      []ReplayTotal `json:"totals" nullable:"false" doc:"How much these meetings take of each license."`
	Next        string        `json:"next,omitempty" doc:"Cursor of the next step; absent after the last."`
}

// Difference is one thing of a meeting that comes out otherwise.
type Difference struct {
	Meeting   string    `json:"meeting" doc:"Id of the meeting."`
	Bridge    string    `json:"bridge" doc:"Id of its bridge."`
	Name      string    `json:"name" doc:"Name of the meeting."`
	StartedAt time.Time `json:"startedAt" doc:"When it began."`
	What      string    `json:"what" doc:"What differs, such as segment 1, ended or participants."`
	Before    string    `json:"before" doc:"As it is stored; empty for nothing."`
	After     string    `json:"after" doc:"As it is decided now; empty for nothing."`
	Reason    string    `json:"reason,omitempty" doc:"Why it is so now, where it is about a license."`
}

// ReplayTotal is how much of a license meetings take.
type ReplayTotal struct {
	Tag                string `json:"tag" doc:"License tag."`
	MeetingsBefore     int64  `json:"meetingsBefore" doc:"Meetings that take it as stored."`
	MeetingsNow        int64  `json:"meetingsNow" doc:"Meetings that take it as decided now."`
	BeforeSixthSeconds int64  `json:"beforeSixthSeconds" doc:"Sixths of a license times seconds, as stored."`
	NowSixthSeconds    int64  `json:"nowSixthSeconds" doc:"The same as decided now."`
}

// ReplayStep decides some meetings again, the oldest first, those after a cursor.
func (c *Client) ReplayStep(ctx context.Context, account string, q ReplayQuery, cursor string, limit int) (Replay, error) {
	values := query("bridge", q.Bridge, "from", instant(q.From), "to", instant(q.To), "policy", q.Policy, "cursor", cursor, "limit", strconv.Itoa(limit))
	if q.Write {
		return send[Replay](ctx, c, http.MethodPost, at("accounts", account, "conference", "replay"), values, "", nil)
	}
	return get[Replay](ctx, c, at("accounts", account, "conference", "replay"), values)
}
