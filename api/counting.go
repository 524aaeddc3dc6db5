package api

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// DayUse is the use of a conferencing license on one UTC day.
type DayUse struct {
	Day           time.Time  `json:"day" doc:"Begin of the day, UTC."`
	License       string     `json:"license" doc:"Name of the license."`
	Tag           string     `json:"tag" doc:"License tag."`
	PeakSixths    int64      `json:"peakSixths" doc:"The highest use in sixths of a license."`
	Licenses      int64      `json:"licenses" doc:"Whole licenses that cover the peak."`
	PeakAt        *time.Time `json:"peakAt,omitempty" doc:"When the peak was first reached; absent without use."`
	SampledSixths int64      `json:"sampledSixths" doc:"The highest use at a multiple of five minutes: what snapshots see of it."`
	Meetings      int64      `json:"meetings" doc:"How many meetings took the license on the day."`
	SixthSeconds  int64      `json:"sixthSeconds" doc:"Use over time, in seconds of one sixth."`
	Assigned      int64      `json:"assigned,omitempty" doc:"Of personal licenses: the most users who held one."`
	Entitled      int64      `json:"entitled" doc:"The most licenses that were owned."`
	Over          bool       `json:"over" doc:"Whether the peak or, of personal licenses, the assigned users are above what was owned."`
}

// LevelUse says for how long each level of use of a license held; the times add up to the period.
type LevelUse struct {
	License       string      `json:"license" doc:"Name of the license."`
	Tag           string      `json:"tag" doc:"License tag."`
	From          time.Time   `json:"from" doc:"Begin of the period."`
	To            time.Time   `json:"to" doc:"End of the period."`
	PeakSixths    int64       `json:"peakSixths" doc:"The highest use in sixths of a license."`
	PeakAt        *time.Time  `json:"peakAt,omitempty" doc:"When the peak was first reached; absent without use."`
	SampledSixths int64       `json:"sampledSixths" doc:"The highest use at a multiple of five minutes."`
	SixthSeconds  int64       `json:"sixthSeconds" doc:"Use over time, in seconds of one sixth."`
	Levels        []LevelTime `json:"levels" nullable:"false" doc:"The levels, ascending."`
}

// LevelTime is how long one level held.
type LevelTime struct {
	Sixths              int64 `json:"sixths" doc:"Use in sixths of a license."`
	Milliseconds        int64 `json:"milliseconds" doc:"For how long exactly so much was taken."`
	AtLeastMilliseconds int64 `json:"atLeastMilliseconds" doc:"For how long so much or more was taken: the duration curve."`
}

// PeakUse is the highest use of a license in a period, with the meetings that it consists of.
type PeakUse struct {
	License       string        `json:"license" doc:"Name of the license."`
	Tag           string        `json:"tag" doc:"License tag."`
	From          time.Time     `json:"from" doc:"Begin of the period."`
	To            time.Time     `json:"to" doc:"End of the period."`
	PeakSixths    int64         `json:"peakSixths" doc:"The highest use in sixths of a license."`
	Licenses      int64         `json:"licenses" doc:"Whole licenses that cover the peak."`
	PeakAt        *time.Time    `json:"peakAt,omitempty" doc:"When the peak was first reached; absent without use."`
	SampledSixths int64         `json:"sampledSixths" doc:"The highest use at a multiple of five minutes; what is missing to the peak, snapshots did not see."`
	Entitled      int64         `json:"entitled" doc:"Licenses owned at that moment."`
	Meetings      []PeakMeeting `json:"meetings" nullable:"false" doc:"The meetings at that moment, the largest first: at most 1000."`
	More          int           `json:"more,omitempty" doc:"How many meetings were left out."`
}

// PeakMeeting is a meeting at the moment of a peak.
type PeakMeeting struct {
	Meeting string     `json:"meeting" doc:"Id of the meeting."`
	Name    string     `json:"name" doc:"Name of the call."`
	Space   string     `json:"space,omitempty" doc:"Identifier of the permanent space."`
	Bridge  string     `json:"bridge" doc:"Id of the bridge."`
	Host    string     `json:"host,omitempty" doc:"JID of whose meeting it is, as far as known."`
	User    string     `json:"user,omitempty" doc:"JID of who is charged; absent for a shared license."`
	Class   string     `json:"class" doc:"Class in snapshots: pmp, smpFull, smpPtP or smpAud."`
	Sixths  int64      `json:"sixths" doc:"How many sixths it took."`
	From    time.Time  `json:"from" doc:"Since when."`
	To      *time.Time `json:"to" doc:"Until when; null while it runs."`
	Why     []Reason   `json:"why" nullable:"false" doc:"Why it took that: at most 10."`
	More    int        `json:"more,omitempty" doc:"How many reasons were left out."`
}

// Thresholds are the days over entitlement at which levels begin.
type Thresholds struct {
	Thresholds []int `json:"thresholds" nullable:"false" minItems:"3" maxItems:"3" doc:"Days of levels 1, 2 and 3, ascending from 1 to at most 90."`
}

// Compliance is how the conferencing licenses stand. No meeting is refused for it.
type Compliance struct {
	Thresholds []int             `json:"thresholds" nullable:"false" doc:"Days over entitlement from which levels 1, 2 and 3 hold."`
	Official   bool              `json:"official" doc:"Whether the thresholds are published ones: they are not."`
	Window     int               `json:"window" doc:"Days of the window."`
	Level      int               `json:"level" doc:"The highest level of all."`
	Licenses   []LicenseStanding `json:"licenses" nullable:"false" doc:"Each license."`
	Bridges    []BridgeStanding  `json:"bridges" nullable:"false" doc:"The activation of each bridge."`
}

// LicenseStanding is how one license stands in the window.
type LicenseStanding struct {
	License  string    `json:"license" doc:"Name of the license."`
	Tag      string    `json:"tag" doc:"License tag."`
	Basis    string    `json:"basis" enum:"peak,assigned" doc:"What counts: the peak of the day, or the assigned users."`
	Entitled int64     `json:"entitled" doc:"Licenses owned now."`
	Used     int64     `json:"used" doc:"Whole licenses of the present day."`
	From     time.Time `json:"from" doc:"Begin of the window."`
	To       time.Time `json:"to" doc:"End of the window."`
	DaysOver int       `json:"daysOver" doc:"Days over entitlement within it."`
	Level    int       `json:"level" doc:"Level, 0 to 3."`
	Over     []OverDay `json:"over" nullable:"false" doc:"Those days, the oldest first."`
	Falls    []LevelOn `json:"falls" nullable:"false" doc:"When the level drops, if no further day is over."`
	Why      []Reason  `json:"why" nullable:"false" doc:"The reasons."`
}

// OverDay is a day over entitlement.
type OverDay struct {
	Day        time.Time `json:"day" doc:"Begin of the day, UTC."`
	UsedSixths int64     `json:"usedSixths" doc:"What counts of the day, in sixths."`
	Entitled   int64     `json:"entitled" doc:"Licenses owned on the day."`
	Missing    int64     `json:"missing" doc:"Whole licenses that were missing."`
}

// LevelOn is the level from a day on.
type LevelOn struct {
	Level int       `json:"level" doc:"Level."`
	On    time.Time `json:"on" doc:"First day."`
}

// BridgeStanding is the level that activation keys put a bridge at.
type BridgeStanding struct {
	Bridge string   `json:"bridge" doc:"Id of the bridge."`
	Name   string   `json:"name" doc:"Its name."`
	Level  int      `json:"level" doc:"3 when a key is missing or over, else 0."`
	Why    []Reason `json:"why" nullable:"false" doc:"Which ones."`
}

// Allocated is one license and what of it is set aside for which bridge.
type Allocated struct {
	License     string            `json:"license" doc:"Name of the license."`
	Tag         string            `json:"tag" doc:"License tag."`
	Purchased   int64             `json:"purchased" doc:"Licenses owned now in the engine's virtual account."`
	Allocated   int64             `json:"allocated" doc:"Of those, allocated."`
	Unallocated int64             `json:"unallocated" doc:"Of those, not allocated."`
	Excess      int64             `json:"excess" doc:"Allocated beyond what is owned, after that became less."`
	Bridges     []AllocatedBridge `json:"bridges" nullable:"false" doc:"The bridges."`
}

// AllocatedBridge is what one bridge was allocated, and uses.
type AllocatedBridge struct {
	Bridge     string   `json:"bridge" doc:"Id of the bridge."`
	Name       string   `json:"name" doc:"Its name."`
	Quantity   int64    `json:"quantity" doc:"Licenses allocated."`
	PeakSixths int64    `json:"peakSixths" doc:"Highest use of the present UTC day, in sixths."`
	Why        []Reason `json:"why" nullable:"false" doc:"What is wrong, if anything."`
}

// NewAllocation sets what one bridge gets.
type NewAllocation struct {
	Bridge     string           `json:"bridge" doc:"Bridge, by id or name."`
	Quantities map[string]int64 `json:"quantities" doc:"Licenses by tag; 0 takes them back."`
}

// ActivationKey says whether a call bridge has its activation key.
type ActivationKey struct {
	CallBridge string     `json:"callBridge,omitempty" doc:"GUID of the call bridge; all of the bridge without a key of their own when left out."`
	Present    bool       `json:"present" doc:"Whether the key is there."`
	Read       bool       `json:"read,omitempty" readOnly:"true" doc:"The call bridge's API says so; otherwise a person did, which goes before."`
	Until      *time.Time `json:"until,omitempty" doc:"When it ends; absent for no end."`
}

// NewActivationKey sets what is known of a key.
type NewActivationKey struct {
	Bridge string `json:"bridge" doc:"Bridge, by id or name."`
	ActivationKey
}

// Activation is what is known of the activation of one bridge.
type Activation struct {
	Bridge    string          `json:"bridge" doc:"Id of the bridge."`
	Name      string          `json:"name" doc:"Its name."`
	Level     int             `json:"level" doc:"3 when a key is missing or over, else 0."`
	Keys      []ActivationKey `json:"keys" nullable:"false" doc:"The keys of its call bridges; empty while nothing was said of them."`
	RenewedAt *time.Time      `json:"renewedAt,omitempty" doc:"When the authority answered last: features end 90 days later at the latest."`
	Features  []Feature       `json:"features" nullable:"false" doc:"What the cluster is licensed for."`
	Why       []Reason        `json:"why" nullable:"false" doc:"What is wrong, if anything."`
}

// Feature is one feature of a cluster's license.
type Feature struct {
	Name   string     `json:"name" doc:"callBridge, customizations or recording."`
	Status string     `json:"status" enum:"noLicense,activated,expired" doc:"Its status."`
	Expiry *time.Time `json:"expiry,omitempty" doc:"When it ends."`
}

// Snapshot is the use at one instant, in the classes and with the decimals of call bridges' own snapshots.
type Snapshot struct {
	Time        time.Time `json:"time" doc:"Instant."`
	PMP         string    `json:"pmp" doc:"Meetings on personal licenses."`
	PMPAssigned int64     `json:"pmpAssigned" doc:"Users who hold a personal license."`
	SMPAud      string    `json:"smpAud" doc:"Audio-only calls on shared licenses."`
	SMPPtP      string    `json:"smpPtP" doc:"Point-to-point and gateway calls on shared licenses."`
	SMPFull     string    `json:"smpFull" doc:"Other meetings on shared licenses."`
	Rec         string    `json:"rec" doc:"Recordings."`
	Str         string    `json:"str" doc:"Streams."`
	SMPSixths   int64     `json:"smpSixths" doc:"smpFull + (smpAud + smpPtP) / 6, in sixths."`
}

// Demand is when shared licenses did not suffice, why, and what would have helped.
type Demand struct {
	From      time.Time       `json:"from" doc:"Begin of the period."`
	To        time.Time       `json:"to" doc:"End of the period."`
	Seconds   int64           `json:"seconds" doc:"How long it was short, altogether."`
	Buy       int64           `json:"buy" doc:"Shared licenses that would have covered everything."`
	Give      []Candidate     `json:"give" nullable:"false" doc:"Hosts without a personal license, the one whose license would help most first: instead of buying."`
	Suffices  bool            `json:"suffices" doc:"Whether giving those personal licenses would have covered everything."`
	Rest      int64           `json:"rest" doc:"Shared licenses that would be missing still."`
	Causes    []Cause         `json:"causes" nullable:"false" doc:"Why the meetings took shared licenses, the most frequent first."`
	Shortages []Shortage      `json:"shortages" nullable:"false" doc:"When it was short, the oldest first: at most 1000."`
	More      int             `json:"more,omitempty" doc:"How many shortages were left out."`
	Meetings  []DemandMeeting `json:"meetings" nullable:"false" doc:"The meetings of the worst moment: at most 1000."`
	Why       []Reason        `json:"why" nullable:"false" doc:"The advice in sentences."`
}

// Candidate is a host to give a personal license.
type Candidate struct {
	User     string `json:"user" doc:"JID."`
	Meetings int    `json:"meetings" doc:"Meetings within shortages."`
	Seconds  int64  `json:"seconds" doc:"How long those were part of shortages."`
}

// Cause counts meetings by why they took a shared license.
type Cause struct {
	Code     string `json:"code" doc:"Code of the fact."`
	Meetings int    `json:"meetings" doc:"How many."`
}

// Shortage is a stretch in which more was taken than is owned.
type Shortage struct {
	From       time.Time `json:"from" doc:"When it began."`
	To         time.Time `json:"to" doc:"When it ended."`
	UsedSixths int64     `json:"usedSixths" doc:"The most that was taken, in sixths."`
	UsedAt     time.Time `json:"usedAt" doc:"When that was first."`
	Entitled   int64     `json:"entitled" doc:"Licenses owned."`
	Missing    int64     `json:"missing" doc:"Licenses that were missing."`
}

// DemandMeeting is a meeting of the worst moment.
type DemandMeeting struct {
	Meeting string `json:"meeting" doc:"Id."`
	Name    string `json:"name" doc:"Name of the call."`
	Host    string `json:"host,omitempty" doc:"JID of whose meeting it is, as far as known."`
	Sixths  int64  `json:"sixths" doc:"How many sixths it took."`
	Cause   string `json:"cause" doc:"Code of the fact that made it take a shared license."`
	Text    string `json:"text" doc:"The same as a sentence."`
}

func counting(account string, more ...string) string {
	return at(append([]string{"accounts", account, "conference"}, more...)...)
}

func within(from, to time.Time) url.Values { return query("from", instant(from), "to", instant(to)) }

// ConferenceDays lists the use per UTC day and license; without a begin, of the last 30 days.
func (c *Client) ConferenceDays(ctx context.Context, account string, from, to time.Time) iter.Seq2[DayUse, error] {
	return pages[DayUse](ctx, c, counting(account, "usage", "days"), within(from, to))
}

// ConferenceLevels says for each license how long each level of use held; without a begin, in the last 30 days.
func (c *Client) ConferenceLevels(ctx context.Context, account string, from, to time.Time) iter.Seq2[LevelUse, error] {
	return pages[LevelUse](ctx, c, counting(account, "usage", "levels"), within(from, to))
}

// ConferencePeaks finds the highest use of each license and its meetings; without a begin, in the last 30 days.
func (c *Client) ConferencePeaks(ctx context.Context, account string, from, to time.Time) iter.Seq2[PeakUse, error] {
	return pages[PeakUse](ctx, c, counting(account, "usage", "peaks"), within(from, to))
}

// ConferenceDemand finds when shared licenses were short and what would have helped; without a begin, in the last 30 days.
func (c *Client) ConferenceDemand(ctx context.Context, account string, from, to time.Time) (Demand, error) {
	return get[Demand](ctx, c, counting(account, "demand"), within(from, to))
}

// ConferenceCompliance says how the licenses stand in the window of 90 days.
func (c *Client) ConferenceCompliance(ctx context.Context, account string) (Compliance, error) {
	return get[Compliance](ctx, c, counting(account, "compliance"), nil)
}

// SetThresholds sets the days over entitlement at which the levels begin.
func (c *Client) SetThresholds(ctx context.Context, account string, days []int) (Compliance, error) {
	return write[Compliance](ctx, c, http.MethodPut, counting(account, "compliance"), Thresholds{days})
}

// Allocations shows what bridges are allocated.
func (c *Client) Allocations(ctx context.Context, account string) iter.Seq2[Allocated, error] {
	return pages[Allocated](ctx, c, counting(account, "allocation"), nil)
}

// Allocate sets what one bridge gets, and shows all.
func (c *Client) Allocate(ctx context.Context, account string, a NewAllocation) (List[Allocated], error) {
	return write[List[Allocated]](ctx, c, http.MethodPut, counting(account, "allocation"), a)
}

// Activations shows the activation of every bridge.
func (c *Client) Activations(ctx context.Context, account string) iter.Seq2[Activation, error] {
	return pages[Activation](ctx, c, counting(account, "activation"), nil)
}

// SetActivation says whether call bridges have their activation key, and shows all.
func (c *Client) SetActivation(ctx context.Context, account string, k NewActivationKey) (List[Activation], error) {
	return write[List[Activation]](ctx, c, http.MethodPut, counting(account, "activation"), k)
}

// SnapshotFilter chooses snapshots; zero fields choose those of all bridges in the last 24 hours.
type SnapshotFilter struct {
	From, To   time.Time
	Bridge     string // by id or name
	CallBridge string // GUID: what is on it, in parts where a meeting is on others too
}

// Snapshots lists the use every five minutes, the oldest first.
func (c *Client) Snapshots(ctx context.Context, account string, f SnapshotFilter) iter.Seq2[Snapshot, error] {
	q := within(f.From, f.To)
	if f.Bridge != "" {
		q.Set("bridge", f.Bridge)
	}
	if f.CallBridge != "" {
		q.Set("callBridge", f.CallBridge)
	}
	return pages[Snapshot](ctx, c, counting(account, "snapshots"), q)
}
