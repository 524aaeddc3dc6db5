package callbridge

import "encoding/xml"

// List is what the documents with pages have in common.
type List struct {
	Total Number `xml:"total,attr"`
}

// Status is /system/status. What a server does not measure is left out.
type Status struct {
	XMLName              xml.Name `xml:"status"`
	HostID               Text     `xml:"hostId,omitempty"`
	SoftwareVersion      Text     `xml:"softwareVersion"`
	UptimeSeconds        Number   `xml:"uptimeSeconds"`
	CDRTime              Instant  `xml:"cdrTime"`
	Activated            Flag     `xml:"activated"`
	ClusterEnabled       Flag     `xml:"clusterEnabled"`
	ClusterID            Text     `xml:"clusterId,omitempty"`
	CDRCorrelatorIndex   *Number  `xml:"cdrCorrelatorIndex"` // of the next record; nil before version 2.2
	CallLegsActive       Number   `xml:"callLegsActive"`
	CallLegsMaxActive    *Number  `xml:"callLegsMaxActive"`
	CallLegsCompleted    *Number  `xml:"callLegsCompleted"`
	AudioBitRateOutgoing *Number  `xml:"audioBitRateOutgoing"`
	AudioBitRateIncoming *Number  `xml:"audioBitRateIncoming"`
	VideoBitRateOutgoing *Number  `xml:"videoBitRateOutgoing"`
	VideoBitRateIncoming *Number  `xml:"videoBitRateIncoming"`
}

// Alarms is /system/alarms.
type Alarms struct {
	XMLName xml.Name `xml:"alarms"`
	List
	Alarms []Alarm `xml:"alarm"`
}

// Alarm is one fault that stands.
type Alarm struct {
	ID            Text   `xml:"id,attr"`
	Type          Text   `xml:"type"`
	ActiveSeconds Number `xml:"activeTimeSeconds"`
	FailureReason Text   `xml:"failureReason,omitempty"`
}

// AlarmCDR is the type of the alarm that a receiver of call-detail records is not reached.
const AlarmCDR = "cdrConnectionFailure"

// Receivers is /system/cdrReceivers.
type Receivers struct {
	XMLName xml.Name `xml:"cdrReceivers"`
	List
	Maximum   Number     `xml:"maximum,attr,omitempty"`
	Receivers []Receiver `xml:"cdrReceiver"`
}

// Receiver is an address that call-detail records are posted to. The address may hold a secret.
type Receiver struct {
	ID  Text `xml:"id,attr"`
	URI Text `xml:"uri"`
}

// Licensing is /system/licensing, and with another name /clusterLicensing.
type Licensing struct {
	XMLName  xml.Name
	Features Features `xml:"features"`
}

// The names of the two licensing documents.
const (
	SystemLicensing  = "licensing"
	ClusterLicensing = "clusterLicensing"
)

// Features are licensed features by the names of their elements.
type Features struct {
	Features []Feature `xml:",any"`
}

// Feature is one licensed feature.
type Feature struct {
	XMLName xml.Name
	Status  Text    `xml:"status"`
	Expiry  *Expiry `xml:"expiry"`
	Level   Text    `xml:"level,omitempty"`
	Limit   *Number `xml:"limit"`
}

// The states of a feature.
const (
	StatusNone      = "noLicense"
	StatusActivated = "activated"
	StatusGrace     = "grace"
	StatusExpired   = "expired"
)

// Multiparty is /system/multipartyLicensing. Weighted calls are a call bridge's part of meetings that several serve: their sum over
// a cluster is the number of meetings (domain rule 22).
type Multiparty struct {
	XMLName                                 xml.Name    `xml:"multipartyLicensing"`
	Timestamp                               Instant     `xml:"timestamp"`
	PersonalLicenseLimit                    Number      `xml:"personalLicenseLimit"`
	SharedLicenseLimit                      Number      `xml:"sharedLicenseLimit"`
	CapacityUnitLimit                       Number      `xml:"capacityUnitLimit"`
	Users                                   Number      `xml:"users"`
	PersonalLicenses                        Number      `xml:"personalLicenses"`
	ParticipantsActive                      Number      `xml:"participantsActive"`
	CallsActive                             Number      `xml:"callsActive"`
	WeightedCallsActive                     Thousandths `xml:"weightedCallsActive"`
	CallsWithoutPersonalLicense             Number      `xml:"callsWithoutPersonalLicense"`
	WeightedCallsWithoutPersonalLicense     Thousandths `xml:"weightedCallsWithoutPersonalLicense"`
	CapacityUnitUsage                       Thousandths `xml:"capacityUnitUsage"`
	CapacityUnitUsageWithoutPersonalLicense Thousandths `xml:"capacityUnitUsageWithoutPersonalLicense"`
}

// ActiveLicenses is /system/multipartyLicensing/activePersonalLicenses.
type ActiveLicenses struct {
	XMLName xml.Name `xml:"activePersonalLicenses"`
	List
	Users []ActiveLicense `xml:"user"`
}

// ActiveLicense is a user whose personal license is in use.
type ActiveLicense struct {
	ID                  Text        `xml:"id,attr"`
	UserJID             Text        `xml:"userJid,omitempty"`
	CallsActive         Number      `xml:"callsActive"`
	WeightedCallsActive Thousandths `xml:"weightedCallsActive"`
}

// Usage is /system/MPLicenseUsage: snapshots, the newest first.
type Usage struct {
	XMLName xml.Name `xml:"MPLicenseUsage"`
	List
	Entries []Snapshot `xml:"entry"`
}

// Snapshot is what a call bridge counted at one moment. Counters of zero are left out.
type Snapshot struct {
	Time Instant `xml:"time,attr"`
	Counts
}

// Counts are the counters of a snapshot: meetings on personal licenses, users who hold one, meetings on shared licenses that are
// audio-only, point-to-point, or neither, recordings and streams.
type Counts struct {
	Personal     Hundredths `xml:"pmp,omitempty" json:"pmp"`
	Assigned     Hundredths `xml:"pmpAssigned,omitempty" json:"pmpAssigned"`
	AudioOnly    Hundredths `xml:"smpAud,omitempty" json:"smpAud"`
	PointToPoint Hundredths `xml:"smpPtP,omitempty" json:"smpPtP"`
	Full         Hundredths `xml:"smpFull,omitempty" json:"smpFull"`
	Recording    Hundredths `xml:"rec,omitempty" json:"rec"`
	Streaming    Hundredths `xml:"str,omitempty" json:"str"`
}

// KnownHosts is /system/MPLicenseUsage/knownHosts.
type KnownHosts struct {
	XMLName xml.Name `xml:"knownHosts"`
	List
	Hosts []Host `xml:"host"`
}

// Host is a call bridge that keeps snapshots.
type Host struct {
	ID Text `xml:"id,attr"`
}

// CoSpaces is /coSpaces.
type CoSpaces struct {
	XMLName xml.Name `xml:"coSpaces"`
	List
	Spaces []CoSpace `xml:"coSpace"`
}

// CoSpace is one permanent space, in a list or by itself.
type CoSpace struct {
	XMLName         xml.Name `xml:"coSpace"`
	ID              Text     `xml:"id,attr"`
	Name            Text     `xml:"name,omitempty"`
	AutoGenerated   Flag     `xml:"autoGenerated"`
	URI             Text     `xml:"uri,omitempty"`
	CallID          Text     `xml:"callId,omitempty"`
	Tenant          Text     `xml:"tenant,omitempty"`
	CDRTag          Text     `xml:"cdrTag,omitempty"`
	NonMemberAccess *Flag    `xml:"nonMemberAccess"`
	OwnerID         Text     `xml:"ownerId,omitempty"`
	OwnerJID        Text     `xml:"ownerJid,omitempty"`
}

// Users is /users.
type Users struct {
	XMLName xml.Name `xml:"users"`
	List
	Users []User `xml:"user"`
}

// User is one user, in a list or by itself.
type User struct {
	XMLName     xml.Name `xml:"user"`
	ID          Text     `xml:"id,attr"`
	UserJID     Text     `xml:"userJid"`
	Tenant      Text     `xml:"tenant,omitempty"`
	Name        Text     `xml:"name,omitempty"`
	Email       Text     `xml:"email,omitempty"`
	UserProfile Text     `xml:"userProfile,omitempty"`
}

// UserProfiles is /userProfiles.
type UserProfiles struct {
	XMLName xml.Name `xml:"userProfiles"`
	List
	Profiles []UserProfile `xml:"userProfile"`
}

// UserProfile says what its users may do. A missing flag leaves the word to the next profile (domain rule 33).
type UserProfile struct {
	XMLName    xml.Name `xml:"userProfile"`
	ID         Text     `xml:"id,attr"`
	HasLicense *Flag    `xml:"hasLicense"`
}

// SystemProfile is /system/profiles.
type SystemProfile struct {
	XMLName     xml.Name `xml:"profiles"`
	UserProfile Text     `xml:"userProfile,omitempty"`
}

// Tenant is /tenants/{id}.
type Tenant struct {
	XMLName     xml.Name `xml:"tenant"`
	ID          Text     `xml:"id,attr"`
	Name        Text     `xml:"name,omitempty"`
	UserProfile Text     `xml:"userProfile,omitempty"`
}

// LDAPSources is /ldapSources.
type LDAPSources struct {
	XMLName xml.Name `xml:"ldapSources"`
	List
	Sources []LDAPSource `xml:"ldapSource"`
}

// LDAPSource is where users are imported from.
type LDAPSource struct {
	XMLName     xml.Name `xml:"ldapSource"`
	ID          Text     `xml:"id,attr"`
	Server      Text     `xml:"server"`
	Mapping     Text     `xml:"mapping"`
	BaseDN      Text     `xml:"baseDn"`
	Filter      Text     `xml:"filter"`
	Tenant      Text     `xml:"tenant,omitempty"`
	UserProfile Text     `xml:"userProfile,omitempty"`
}

// Calls is /calls.
type Calls struct {
	XMLName xml.Name `xml:"calls"`
	List
	Calls []Call `xml:"call"`
}

// Call is one active call, in a list or by itself. Correlator is the same for the parts of a meeting on all call bridges.
type Call struct {
	XMLName            xml.Name `xml:"call"`
	ID                 Text     `xml:"id,attr"`
	Name               Text     `xml:"name,omitempty"`
	Type               Text     `xml:"callType,omitempty"`
	CoSpace            Text     `xml:"coSpace,omitempty"`
	OwnerName          Text     `xml:"ownerName,omitempty"`
	Correlator         Text     `xml:"callCorrelator,omitempty"`
	DurationSeconds    *Number  `xml:"durationSeconds"`
	Legs               *Number  `xml:"numCallLegs"`
	MaxLegs            *Number  `xml:"maxCallLegs"`
	ParticipantsLocal  *Number  `xml:"numParticipantsLocal"`
	ParticipantsRemote *Number  `xml:"numParticipantsRemote"`
	Recording          *Flag    `xml:"recording"`
	Streaming          *Flag    `xml:"streaming"`
}

// CallLegs is /callLegs, and its subType element may be spelled subtype.
type CallLegs struct {
	XMLName xml.Name `xml:"callLegs"`
	List
	Legs []CallLeg `xml:"callLeg"`
}

// CallLeg is one participant of an active call.
type CallLeg struct {
	XMLName xml.Name `xml:"callLeg"`
	ID      Text     `xml:"id,attr"`
	Name    Text     `xml:"name,omitempty"`
	Type    Text     `xml:"type,omitempty"`
	SubType Text     `xml:"subType,omitempty"`
	Call    Text     `xml:"call,omitempty"`
}

// Database is /system/database.
type Database struct {
	XMLName   xml.Name         `xml:"database"`
	Clustered Text             `xml:"clustered"`
	Cluster   *DatabaseCluster `xml:"cluster"`
}

// DatabaseCluster is the nodes of a database that has several.
type DatabaseCluster struct {
	Nodes []DatabaseNode `xml:"node"`
}

// DatabaseNode is one node of the database.
type DatabaseNode struct {
	Hostname   Text   `xml:"hostname"`
	Master     Flag   `xml:"master"`
	Up         Flag   `xml:"up"`
	SyncBehind Number `xml:"syncBehind"`
}

// Failure is the answer to a request that is refused: one empty element whose name says why.
type Failure struct {
	XMLName xml.Name        `xml:"failureDetails"`
	Reasons []FailureReason `xml:",any"`
}

// FailureReason is a reason by the name of its element.
type FailureReason struct {
	XMLName xml.Name
}

// NewFailure makes the answer for one reason.
func NewFailure(reason string) Failure {
	return Failure{Reasons: []FailureReason{{XMLName: xml.Name{Local: reason}}}}
}
