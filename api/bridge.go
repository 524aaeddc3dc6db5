package api

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// BridgeDetail is a bridge with what came of each of its call bridges.
type BridgeDetail struct {
	Bridge
	Streams   []Stream   `json:"streams" nullable:"false" doc:"What came of each call bridge."`
	Receivers []Receiver `json:"receivers" nullable:"false" doc:"The secret addresses."`
}

// Stream is what came of one call bridge.
type Stream struct {
	CallBridge  string     `json:"callBridge,omitempty" doc:"GUID; absent for those that do not say who they are, which belong to the receiver."`
	Sessions    int64      `json:"sessions" doc:"How many runs of it were seen."`
	Records     int64      `json:"records" doc:"Records stored."`
	Repeats     int64      `json:"repeats" doc:"Records that came again and were ignored."`
	Missing     int64      `json:"missing" doc:"Records that it lost and that have not come by now."`
	Announced   int64      `json:"announced" doc:"Records that it said it lost, whether or not they came after all."`
	FirstAt     *time.Time `json:"firstAt,omitempty" doc:"Time of its first record."`
	LastAt      *time.Time `json:"lastAt,omitempty" doc:"Time of its last record."`
	Quarantined bool       `json:"quarantined" doc:"Its records are kept and do not count, as other call bridges were named."`
}

// Receiver is one secret address of a bridge.
type Receiver struct {
	ID        string        `json:"id" doc:"Id, rcv_…"`
	Bridge    string        `json:"bridge" doc:"Id of the bridge."`
	CreatedAt time.Time     `json:"createdAt" doc:"When it was made."`
	URL       string        `json:"url,omitempty" doc:"Address to type into the call bridges; a secret, only in the answer that made it."`
	RetireAt  *time.Time    `json:"retireAt,omitempty" doc:"When it stops working, or stopped; absent for never."`
	UsedAt    *time.Time    `json:"usedAt,omitempty" doc:"When something was posted to it last."`
	Used      []ReceiverUse `json:"used" nullable:"false" doc:"When each call bridge posted to it last."`
}

// ReceiverUse is when a call bridge posted to a receiver last.
type ReceiverUse struct {
	CallBridge string    `json:"callBridge,omitempty" doc:"GUID; absent for those that do not say who they are."`
	At         time.Time `json:"at" doc:"When, to the minute."`
}

// BridgeSession is what was heard of one run of a call bridge.
type BridgeSession struct {
	ID         string     `json:"id" doc:"The session, new at every start of the call bridge."`
	CallBridge string     `json:"callBridge,omitempty" doc:"GUID of the call bridge."`
	Records    int64      `json:"records" doc:"Records stored."`
	Repeats    int64      `json:"repeats" doc:"Records that came again and were ignored."`
	Missing    int64      `json:"missing" doc:"Records that are lost and have not come by now."`
	Announced  int64      `json:"announced" doc:"Records that the call bridge said it lost."`
	Gaps       int64      `json:"gaps" doc:"Records between the first and the last one that have not come, lost or on their way."`
	Highest    int64      `json:"highest" doc:"correlatorIndex of the last record."`
	FirstAt    *time.Time `json:"firstAt,omitempty" doc:"Time of the first record."`
	LastAt     *time.Time `json:"lastAt,omitempty" doc:"Time of the last record."`
	Over       bool       `json:"over" doc:"A later run of the same call bridge is known."`
}

// Conflict is two records that claim to be the same one. The stored one counts; where only the number at a receiver is the same, both do.
type Conflict struct {
	ID         string    `json:"id" doc:"Id of the conflict."`
	What       string    `json:"what" enum:"content,recordIndex" doc:"content: one identity with two contents, of which the stored one counts. recordIndex: two records with one recordIndex at one receiver; both count."`
	Session    string    `json:"session" doc:"The run of the call bridge."`
	Correlator int64     `json:"correlatorIndex" doc:"Number of the record that was received."`
	Against    int64     `json:"storedCorrelatorIndex" doc:"Number of the stored one: the same for content."`
	Receiver   string    `json:"receiver,omitempty" doc:"Id of the receiver that it came to; absent where it is not known any more."`
	Index      int64     `json:"recordIndex,omitempty" doc:"Its number at that receiver."`
	CallBridge string    `json:"callBridge,omitempty" doc:"GUID of the call bridge."`
	NotedAt    time.Time `json:"notedAt" doc:"When the second one came."`
	Stored     []Field   `json:"stored" nullable:"false" doc:"The stored one, which counts; empty when its post is no longer kept."`
	Received   []Field   `json:"received" nullable:"false" doc:"The other one."`
}

// RefusedBody is a post that was not taken.
type RefusedBody struct {
	ID     string    `json:"id" doc:"Id of the body."`
	At     time.Time `json:"at" doc:"When it came last."`
	Reason string    `json:"reason" doc:"What is wrong with it."`
	Size   int64     `json:"size" doc:"Bytes."`
	Body   string    `json:"body" doc:"The body as text: in a list its beginning."`
	Whole  bool      `json:"whole" doc:"Whether body is all of it."`
}

// Bridge finds a bridge by id or name.
func (c *Client) Bridge(ctx context.Context, account, bridge string) (BridgeDetail, error) {
	return get[BridgeDetail](ctx, c, at("accounts", account, "conference", "bridges", bridge), nil)
}

// CallBridgeCounts says whether the records of a call bridge count.
type CallBridgeCounts struct {
	Counts bool `json:"counts" doc:"Whether they count; otherwise they are only kept. Those that came before as well."`
}

// SetCallBridge says whether the records of a call bridge count; meetings are decided anew.
func (c *Client) SetCallBridge(ctx context.Context, account, bridge, callBridge string, counts bool) (BridgeDetail, error) {
	return write[BridgeDetail](ctx, c, http.MethodPut, at("accounts", account, "conference", "bridges", bridge, "callbridges", callBridge), CallBridgeCounts{counts})
}

// BridgeSessions lists the runs of the call bridges of a bridge.
func (c *Client) BridgeSessions(ctx context.Context, account, bridge string) iter.Seq2[BridgeSession, error] {
	return pages[BridgeSession](ctx, c, at("accounts", account, "conference", "bridges", bridge, "sessions"), nil)
}

// Conflicts lists the records that contradict stored ones.
func (c *Client) Conflicts(ctx context.Context, account, bridge string) iter.Seq2[Conflict, error] {
	return pages[Conflict](ctx, c, at("accounts", account, "conference", "bridges", bridge, "conflicts"), nil)
}

// RefusedBodies lists the posts that were not taken, the newest first.
func (c *Client) RefusedBodies(ctx context.Context, account, bridge string) iter.Seq2[RefusedBody, error] {
	return pages[RefusedBody](ctx, c, at("accounts", account, "conference", "bridges", bridge, "refused"), nil)
}

// RefusedBody finds one of them, with all that is kept of it.
func (c *Client) RefusedBody(ctx context.Context, account, bridge, id string) (RefusedBody, error) {
	return get[RefusedBody](ctx, c, at("accounts", account, "conference", "bridges", bridge, "refused", id), nil)
}

// AddReceiver makes another address for a bridge; only this answer has it. With overlap, the addresses that there are work
// so many days longer.
func (c *Client) AddReceiver(ctx context.Context, account, bridge string, r NewReceiver) (Receiver, error) {
	return write[Receiver](ctx, c, http.MethodPost, at("accounts", account, "conference", "bridges", bridge, "receivers"), r)
}

// NewReceiver says what becomes of the addresses that there are.
type NewReceiver struct {
	Rotate       bool  `json:"rotate,omitempty" doc:"Whether the addresses that there are stop working."`
	OverlapHours int64 `json:"overlapHours,omitempty" minimum:"0" maximum:"8784" doc:"After how many hours they do."`
}

// RetireReceiver stops an address at once.
func (c *Client) RetireReceiver(ctx context.Context, account, bridge, id string) error {
	return order(ctx, c, http.MethodDelete, at("accounts", account, "conference", "bridges", bridge, "receivers", id))
}

// Retention is for how long posts are kept.
type Retention struct {
	Days     int64      `json:"days" minimum:"0" maximum:"36500" doc:"Days; 0 for ever."`
	Posts    int64      `json:"posts,omitempty" doc:"Posts that are kept now."`
	Bytes    int64      `json:"bytes,omitempty" doc:"Bytes that their packed bodies take."`
	OldestAt *time.Time `json:"oldestAt,omitempty" doc:"When the oldest of them came."`
}

// Retention says for how long the posts of an account are kept.
func (c *Client) Retention(ctx context.Context, account string) (Retention, error) {
	return get[Retention](ctx, c, at("accounts", account, "conference", "retention"), nil)
}

// SetRetention sets for how many days posts are kept; 0 is for ever.
func (c *Client) SetRetention(ctx context.Context, account string, days int64) (Retention, error) {
	return write[Retention](ctx, c, http.MethodPut, at("accounts", account, "conference", "retention"), Retention{Days: days})
}
