package api

import (
	"context"
	"iter"
	"net/http"
	"strconv"
	"time"
)

// NewBridgeAPI says where the API of a call bridge is. In a test the address may be left out, and then the password too.
type NewBridgeAPI struct {
	URL             string `json:"url,omitempty" doc:"Address of the call bridge's web administration, https://HOST[:PORT]; plain http for a loopback address only."`
	User            string `json:"user,omitempty" doc:"Name of an API user of the call bridge."`
	Password        string `json:"password,omitempty" doc:"Its password; kept encrypted and never shown."`
	CA              string `json:"ca,omitempty" doc:"Certificates in PEM that the server's certificate comes from; the roots of the system when left out."`
	Fingerprint     string `json:"fingerprint,omitempty" doc:"SHA-256 of the server's certificate, in place of certificates."`
	CallBridge      string `json:"callBridge,omitempty" doc:"GUID that the call bridge posts its records with; needed where several post to one receiver."`
	IntervalSeconds int64  `json:"intervalSeconds,omitempty" minimum:"60" maximum:"86400" doc:"How often it is asked; every 5 minutes when left out."`
}

// BridgeAPI is the API of a call bridge and what was found at it.
type BridgeAPI struct {
	ID              string         `json:"id" doc:"Id, api_…"`
	Bridge          string         `json:"bridge" doc:"Id of the bridge, brg_…"`
	BridgeName      string         `json:"bridgeName" doc:"Name of the bridge."`
	URL             string         `json:"url" doc:"Address."`
	User            string         `json:"user" doc:"Name to sign in with."`
	Trust           string         `json:"trust" enum:"ca,fingerprint,system" doc:"How the server is known."`
	CallBridge      string         `json:"callBridge,omitempty" doc:"GUID that its records come with, if it was given."`
	IntervalSeconds int64          `json:"intervalSeconds" doc:"How often it is asked."`
	SetAt           *time.Time     `json:"setAt,omitempty" doc:"When it was set."`
	SetBy           string         `json:"setBy,omitempty" doc:"Id of the key that set it."`
	NextAt          *time.Time     `json:"nextAt,omitempty" doc:"When it is asked next."`
	Found           BridgeAPIState `json:"found" doc:"What the last turn found."`
}

// BridgeAPIState is what a turn found at the API of a call bridge.
type BridgeAPIState struct {
	AskedAt    *time.Time          `json:"askedAt,omitempty" doc:"When it was asked last; absent for never."`
	AnsweredAt *time.Time          `json:"answeredAt,omitempty" doc:"When a turn came to its end last."`
	Failure    *BridgeAPIFailure   `json:"failure,omitempty" doc:"Why the last turn did not come to its end."`
	Version    string              `json:"version,omitempty" doc:"Software version of the call bridge."`
	Host       string              `json:"host,omitempty" doc:"Host id of the call bridge."`
	Cluster    bool                `json:"cluster,omitempty" doc:"Whether it says that it is in a cluster."`
	StartedAt  *time.Time          `json:"startedAt,omitempty" doc:"Since when it runs."`
	Licenses   *BridgeAPILicenses  `json:"licenses,omitempty" doc:"What it says of its licenses now."`
	Licensing  *BridgeLicensing    `json:"licensing,omitempty" doc:"The features that it is licensed for."`
	Active     *BridgeActive       `json:"active,omitempty" doc:"Whose personal licenses are in use, there and here."`
	Calls      int                 `json:"calls" doc:"Active calls, as it says."`
	Running    int                 `json:"running" doc:"Those of them that the engine has as running meetings."`
	Receives   string              `json:"receives,omitempty" enum:"yes,no" doc:"Whether our receiver is among the addresses it posts to."`
	Alarms     []BridgeAlarm       `json:"alarms,omitempty" nullable:"false" doc:"Its alarms."`
	Tail       *BridgeTail         `json:"tail,omitempty" doc:"The index of its next record beside what came."`
	Snapshots  int                 `json:"snapshots" doc:"Snapshots that were new in the last turn."`
	Hosts      []BridgeHost        `json:"hosts,omitempty" nullable:"false" doc:"Hosts whose snapshots are kept."`
	Directory  *BridgeAPIDirectory `json:"directory,omitempty" doc:"What became of its spaces and users."`
	Missing    []string            `json:"missing,omitempty" nullable:"false" doc:"Documents that its version does not have."`
	Advice     []string            `json:"advice,omitempty" nullable:"false" doc:"What to do, in sentences."`
}

// BridgeAPIFailure is a refusal, as it was.
type BridgeAPIFailure struct {
	Code   string `json:"code" doc:"Stable code."`
	Detail string `json:"detail" doc:"What happened."`
	Hint   string `json:"hint,omitempty" doc:"What to do."`
}

// BridgeLicensing is what a call bridge says of the features it is licensed for.
type BridgeLicensing struct {
	Document string          `json:"document" enum:"clusterLicensing,licensing" doc:"The document that says so: of the cluster, or its own where a version has no other."`
	Features []BridgeFeature `json:"features" nullable:"false" doc:"Features, in the words of the call bridge."`
}

// BridgeFeature is one licensed feature.
type BridgeFeature struct {
	Name   string     `json:"name" doc:"Name of the feature."`
	Status string     `json:"status" doc:"noLicense, activated, grace or expired, or as the call bridge says."`
	Expiry *time.Time `json:"expiry,omitempty" doc:"When it ends; absent for not said."`
}

// BridgeActive is whose personal licenses are in use, by the call bridge's own word and by running meetings.
type BridgeActive struct {
	There     int      `json:"there" doc:"Users, as the call bridge says of its own part."`
	Here      int      `json:"here" doc:"Users whom running meetings of the bridge are charged to."`
	OnlyThere []string `json:"onlyThere,omitempty" nullable:"false" doc:"JIDs whom no running meeting here is charged to, the first 20."`
}

// BridgeAPILicenses is what a call bridge says of its licenses. Weighted numbers are thousandths.
type BridgeAPILicenses struct {
	Users                   int64 `json:"users" doc:"Users that are no guests."`
	Personal                int64 `json:"personal" doc:"Users who hold a personal license."`
	Participants            int64 `json:"participants" doc:"Participants now."`
	Calls                   int64 `json:"calls" doc:"Calls now."`
	Weighted                int64 `json:"weighted" doc:"Calls in parts where they are on several call bridges, in thousandths."`
	WithoutPersonal         int64 `json:"withoutPersonal" doc:"Calls that take no personal license."`
	WeightedWithoutPersonal int64 `json:"weightedWithoutPersonal" doc:"The same in parts, in thousandths."`
}

// BridgeAlarm is an alarm of a call bridge.
type BridgeAlarm struct {
	Type   string    `json:"type" doc:"Type, as the call bridge names it."`
	Since  time.Time `json:"since" doc:"Since when."`
	Reason string    `json:"reason,omitempty" doc:"Why, if it says so."`
}

// BridgeTail compares the index of a call bridge's next record with what came.
type BridgeTail struct {
	State      string `json:"state" enum:"complete,waiting,lost,restart,unknown,no-index" doc:"Whether all came."`
	CallBridge string `json:"callBridge,omitempty" doc:"GUID of the call bridge."`
	Session    string `json:"session,omitempty" doc:"Its run."`
	Next       int64  `json:"next" doc:"Index of its next record, as it says."`
	Heard      int64  `json:"heard" doc:"The index after the last one that came; 0 when none came of this run."`
	Lost       int64  `json:"lost,omitempty" doc:"Records that did not come; meetings of the time are marked incomplete."`
}

// BridgeHost is a call bridge whose snapshots are kept.
type BridgeHost struct {
	ID     string    `json:"id" doc:"Host id."`
	Newest time.Time `json:"newest" doc:"Time of its newest snapshot."`
}

// BridgeAPIDirectory is what became of the spaces and users of a call bridge.
type BridgeAPIDirectory struct {
	ReadAt time.Time `json:"readAt" doc:"When they were read last."`
	State  string    `json:"state" doc:"State of the reading; held waits for a person."`
	Run    string    `json:"run,omitempty" doc:"Id of the reading in the history."`
	Users  int       `json:"users" doc:"Users read."`
	Spaces int       `json:"spaces" doc:"Spaces read."`
}

// RemovedBridgeAPIs says how many were removed.
type RemovedBridgeAPIs struct {
	Removed int `json:"removed" doc:"How many."`
}

// Tally is use in the classes of the call bridges' snapshots, in hundredths of a meeting.
type Tally struct {
	Personal     int64 `json:"pmp" doc:"Meetings on personal licenses."`
	PointToPoint int64 `json:"smpPtP" doc:"Point-to-point and gateway calls on shared licenses."`
	Audio        int64 `json:"smpAud" doc:"Audio-only calls on shared licenses."`
	Full         int64 `json:"smpFull" doc:"Other meetings on shared licenses."`
}

// Reconciliation is the count of the call bridges of a cluster beside ours.
type Reconciliation struct {
	Bridge            string              `json:"bridge" doc:"Id of the bridge, brg_…"`
	BridgeName        string              `json:"bridgeName" doc:"Name of the bridge."`
	From              time.Time           `json:"from" doc:"Begin of the period."`
	To                time.Time           `json:"to" doc:"Its end, not included."`
	Hosts             int                 `json:"hosts" doc:"Call bridges that kept snapshots."`
	Compared          int                 `json:"compared" doc:"Intervals of five minutes that were compared."`
	Partial           int                 `json:"partial" doc:"Intervals left out, as not every call bridge has a snapshot of them."`
	Differing         int                 `json:"differing" doc:"Intervals in which the counts differ."`
	Differences       []CountDifference   `json:"differences" nullable:"false" doc:"The largest differences first."`
	PeakExactSixths   int64               `json:"peakExactSixths" doc:"Our peak of shared licenses, exactly, in sixths."`
	PeakSampledSixths int64               `json:"peakSampledSixths" doc:"Our peak at the moments of the snapshots, in sixths."`
	PeakAt            *time.Time          `json:"peakAt,omitempty" doc:"First moment of our peak."`
	PeakTheirs        int64               `json:"peakTheirs" doc:"Peak of the call bridges' own count, in hundredths of a sixth."`
	PeakTheirsAt      *time.Time          `json:"peakTheirsAt,omitempty" doc:"Its moment."`
	Assigned          int64               `json:"assigned" doc:"Users with a personal license in our directory at the end."`
	AssignedTheirs    int64               `json:"assignedTheirs" doc:"The same as the call bridges count; 0 before their version 3.0."`
	Policies          []PolicyExplanation `json:"policies" nullable:"false" doc:"How well policies explain the call bridges' own count, the best first."`
	Proposed          string              `json:"proposed,omitempty" doc:"Policy that explains it better than the one in force."`
	Skipped           string              `json:"skipped,omitempty" doc:"Why policies were not compared."`
}

// CountDifference is an interval in which the counts differ.
type CountDifference struct {
	At       time.Time        `json:"at" doc:"When the first call bridge looked."`
	Ours     Tally            `json:"ours" doc:"Our count."`
	Theirs   Tally            `json:"theirs" doc:"Theirs."`
	Meetings []CountedMeeting `json:"meetings" nullable:"false" doc:"Meetings that we counted then: at most 10."`
	More     int              `json:"more,omitempty" doc:"How many meetings were left out."`
}

// CountedMeeting is a meeting as we counted it at a moment.
type CountedMeeting struct {
	ID    string `json:"id" doc:"Id, mtg_…"`
	Name  string `json:"name,omitempty" doc:"Name."`
	Class string `json:"class,omitempty" doc:"Class: pmp, smpFull, smpPtP or smpAud."`
	Rule  string `json:"rule,omitempty" doc:"Rule of the policy that decided."`
	User  string `json:"user,omitempty" doc:"JID of who is charged."`
}

// PolicyExplanation is how well a policy explains what call bridges counted.
type PolicyExplanation struct {
	Policy   Policy `json:"policy" doc:"The policy."`
	InForce  bool   `json:"inForce" doc:"Whether it is the one in force."`
	Distance int64  `json:"distance" doc:"Sum of absolute differences over all intervals and classes, in hundredths of a meeting; less is better."`
}

// SetBridgeAPI keeps where the API of a call bridge is; the same address again replaces what was known of it.
func (c *Client) SetBridgeAPI(ctx context.Context, account, bridge string, a NewBridgeAPI) (BridgeAPI, error) {
	return write[BridgeAPI](ctx, c, http.MethodPut, at("accounts", account, "conference", "bridges", bridge, "apis"), a)
}

// BridgeAPIs lists the APIs of a bridge's call bridges.
func (c *Client) BridgeAPIs(ctx context.Context, account, bridge string) iter.Seq2[BridgeAPI, error] {
	return pages[BridgeAPI](ctx, c, at("accounts", account, "conference", "bridges", bridge, "apis"), nil)
}

// RemoveBridgeAPIs forgets the APIs of a bridge's call bridges, or the one with an address or id; with forget the spaces and users
// that only they know as well.
func (c *Client) RemoveBridgeAPIs(ctx context.Context, account, bridge, api string, forget bool) (RemovedBridgeAPIs, error) {
	q := query("api", api)
	if forget {
		q.Set("forget", "true")
	}
	return send[RemovedBridgeAPIs](ctx, c, http.MethodDelete, at("accounts", account, "conference", "bridges", bridge, "apis"), q, "", nil)
}

// TestBridgeAPI signs in and reads the status, and keeps nothing.
func (c *Client) TestBridgeAPI(ctx context.Context, account, bridge string, a NewBridgeAPI) (BridgeAPIState, error) {
	return write[BridgeAPIState](ctx, c, http.MethodPost, at("accounts", account, "conference", "bridges", bridge, "apis", "test"), a)
}

// PollBridgeAPIs asks the APIs of a bridge's call bridges now.
func (c *Client) PollBridgeAPIs(ctx context.Context, account, bridge string) (List[BridgeAPI], error) {
	return write[List[BridgeAPI]](ctx, c, http.MethodPost, at("accounts", account, "conference", "bridges", bridge, "apis", "poll"), struct{}{})
}

// Reconcile compares the call bridges' own count with ours; zero times are the last day.
func (c *Client) Reconcile(ctx context.Context, account, bridge string, from, to time.Time, most int) (Reconciliation, error) {
	q := query("from", instant(from), "to", instant(to))
	if most > 0 {
		q.Set("limit", strconv.Itoa(most))
	}
	return get[Reconciliation](ctx, c, at("accounts", account, "conference", "bridges", bridge, "reconciliation"), q)
}
