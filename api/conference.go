package api

import "time"

// Conference says where the conference engine of an account is registered.
type Conference struct {
	VirtualAccount string `json:"virtualAccount,omitempty" doc:"Virtual account whose licenses meetings take, by id or name; the default one when left out."`
}

// NewBridge describes a call bridge, or a cluster of them, that will post call-detail records.
type NewBridge struct {
	Name        string   `json:"name" doc:"Name of 1 to 120 characters."`
	CallBridges []string `json:"callBridges,omitempty" nullable:"false" doc:"GUIDs of the call bridges that may post; any when left out."`
}

// Bridge is the receiver of a call bridge or of a cluster of them.
type Bridge struct {
	ID          string     `json:"id" doc:"Id, brg_…"`
	Name        string     `json:"name" doc:"Name."`
	CreatedAt   time.Time  `json:"createdAt" doc:"When it was made."`
	URL         string     `json:"url,omitempty" doc:"Address to type into the call bridge; a secret, only in the answer that made it."`
	Allowed     []string   `json:"allowed,omitempty" nullable:"false" doc:"GUIDs of the call bridges that count, the empty one for those that do not say who they are; absent for any."`
	CallBridges []string   `json:"callBridges" nullable:"false" doc:"GUIDs of the call bridges that were seen."`
	Quarantined []string   `json:"quarantined,omitempty" nullable:"false" doc:"Those of them whose records are kept and do not count, the empty one for those that do not say who they are; absent for none."`
	LastPostAt  *time.Time `json:"lastPostAt,omitempty" doc:"When it posted last."`
	Posts       int64      `json:"posts" doc:"Posts stored."`
	Records     int64      `json:"records" doc:"Records stored."`
	Repeats     int64      `json:"repeats" doc:"Records that came again and were ignored."`
	Conflicts   int64      `json:"conflicts" doc:"Records that contradict a stored one; kept and flagged."`
	Missing     int64      `json:"missing" doc:"Records that the call bridges lost and that have not come by now."`
	Announced   int64      `json:"announced" doc:"Records that the call bridges said they lost, whether or not they came after all."`
	Refused     int64      `json:"refused" doc:"Posts that were malformed."`
	Changing    bool       `json:"changing,omitempty" doc:"A call bridge was allowed or denied, and not all meetings show it yet."`
}

// Directory is a directory file: the whole state, so who is missing is gone from then on.
type Directory struct {
	Users  []DirectoryUser  `json:"users" nullable:"false" doc:"The users."`
	Spaces []DirectorySpace `json:"spaces" nullable:"false" doc:"The spaces."`
	// Devices are asked by member-first, which looks at who joins.
	Devices []DirectoryDevice `json:"devices,omitempty" doc:"Whose device calls from an address or number."`
}

// DirectoryUser is a person who may own spaces.
type DirectoryUser struct {
	JID             string `json:"jid" doc:"Identifier such as alice@acme.example."`
	GUID            string `json:"guid,omitempty" doc:"The objectGUID in Active Directory, or the identifier of another directory; call control names people by it."`
	UserID          string `json:"userId,omitempty" doc:"The sign-in name, with or without its domain; schedulers name people by it."`
	Email           string `json:"email,omitempty" doc:"Address for mail."`
	Name            string `json:"name,omitempty" doc:"Name as people write it."`
	PersonalLicense bool   `json:"personalLicense,omitempty" doc:"Whether the user holds a personal license."`
}

// DirectorySpace is a permanent space.
type DirectorySpace struct {
	ID    string `json:"id" doc:"GUID of the space on the call bridge."`
	Name  string `json:"name,omitempty" doc:"Name."`
	Owner string `json:"owner,omitempty" doc:"JID or GUID of the owner."`
}

// DirectoryDevice is an endpoint that calls for a person.
type DirectoryDevice struct {
	Device string `json:"device" doc:"SIP address, or number as the call bridge sees it; scheme, port and parameters do not matter."`
	Owner  string `json:"owner" doc:"JID of whose device it is."`
}

// DirectorySummary is the directory in force.
type DirectorySummary struct {
	Version    int64      `json:"version" doc:"Number of the version in force; 0 before the first import."`
	ImportedAt *time.Time `json:"importedAt,omitempty" doc:"When it was imported."`
	ImportedBy string     `json:"importedBy,omitempty" doc:"Id of the key that imported it."`
	Users      int64      `json:"users" doc:"How many users it has."`
	Spaces     int64      `json:"spaces" doc:"How many spaces it has."`
	Devices    int64      `json:"devices,omitempty" doc:"How many devices it has."`
	Personal   int64      `json:"personal" doc:"How many users hold a personal license."`
	Unchanged  bool       `json:"unchanged,omitempty" doc:"In the answer to an import: it says what was known, so there is no new version."`
	// UnknownOwners are taken nevertheless: such spaces take shared licenses.
	UnknownOwners int64 `json:"unknownOwners,omitempty" doc:"In the answer to an import: spaces whose owner is not among the users."`
	// UsersGone and SpacesGone were in the version before and are missing in the file.
	UsersGone  int64 `json:"usersGone,omitempty" doc:"In the answer to an import: users of the version before that are gone."`
	SpacesGone int64 `json:"spacesGone,omitempty" doc:"In the answer to an import: spaces of the version before that are gone."`
}

// Meeting is all calls of one meeting on all call bridges, with the licenses that it takes.
type Meeting struct {
	ID               string        `json:"id" doc:"Id, mtg_…"`
	Name             string        `json:"name" doc:"Name of the call."`
	Space            string        `json:"space,omitempty" doc:"Identifier of the permanent space; absent without one."`
	Bridge           string        `json:"bridge" doc:"Id of the bridge whose receiver took its records, brg_…"`
	Bridges          []string      `json:"bridges" nullable:"false" doc:"GUIDs of the call bridges that it was on."`
	CallType         string        `json:"callType,omitempty" doc:"Type of the call; absent while not known."`
	StartedAt        time.Time     `json:"startedAt" doc:"When it began."`
	EndedAt          *time.Time    `json:"endedAt" doc:"When it ended; null while no end was heard."`
	Running          bool          `json:"running" doc:"It runs: no end was heard, and it began, or began to take the license that it takes, in the last 31 days. The end of another one may have been lost."`
	DurationSeconds  int64         `json:"durationSeconds" doc:"How long it was; 0 while no end was heard."`
	ParticipantsMax  int64         `json:"participantsMax" doc:"The most participants at one instant."`
	Policy           string        `json:"policy" doc:"Rules that decided, with their version."`
	DirectoryVersion int64         `json:"directoryVersion" doc:"Version of the directory that decided; 0 for none."`
	Second           bool          `json:"second,omitempty" doc:"At some time another meeting held the personal license that pays for it; the reasons say which."`
	Diagnosis        string        `json:"diagnosis,omitempty" doc:"Why no personal license pays, in one word, as in the answer to ask."`
	Segments         []Segment     `json:"segments" nullable:"false" doc:"What it took, in order; empty when nobody joined."`
	Why              []Reason      `json:"why" nullable:"false" doc:"What holds for the meeting as a whole: at most 10."`
	More             int           `json:"more,omitempty" doc:"How many reasons were left out."`
	Incomplete       bool          `json:"incomplete" doc:"Records are known to be missing."`
	Missing          []Missing     `json:"missing,omitempty" nullable:"false" doc:"Records that are lost from its time; only in the answer about one meeting."`
	Estimated        bool          `json:"estimated" doc:"Its end is an estimate, as the end record never came."`
	Conflicts        int64         `json:"conflicts" doc:"Records about it that contradict a stored one."`
	Participants     []Participant `json:"participants,omitempty" nullable:"false" doc:"Who took part; only in the answer about one meeting."`
}

// Missing is records that were lost while a meeting ran: nobody knows whether they were about it.
type Missing struct {
	CallBridge string     `json:"callBridge,omitempty" doc:"GUID of the call bridge that lost them."`
	Session    string     `json:"session" doc:"The run of the call bridge."`
	Records    int64      `json:"records" doc:"How many."`
	From       *time.Time `json:"from,omitempty" doc:"Time of the last record of the meeting before them; absent for none."`
	To         time.Time  `json:"to" doc:"Time of the next record, or when the loss was noticed."`
	Cause      string     `json:"cause" doc:"announced: the call bridge said so; unnumbered: it said so, and its numbers do not show which; tail: it numbered more than it sent; gap: others that it numbered after them came, and an hour later these had not."`
	Text       string     `json:"text" doc:"The same as a sentence."`
}

// Segment is a stretch of a meeting with one license. It has positive length.
type Segment struct {
	From time.Time  `json:"from" doc:"When it begins."`
	To   *time.Time `json:"to" doc:"When it ends; null while it runs."`
	// CountedTo is until when it counts, where that is before its end.
	CountedTo *time.Time `json:"countedTo,omitempty" doc:"Until when it counts, where that is before its end: at most 31 days, as an end that was lost must not count for years."`
	License   string     `json:"license" doc:"Name of the license."`
	Tag       string     `json:"tag" doc:"License tag."`
	Sixths    int64      `json:"sixths" doc:"How many sixths of a license it takes."`
	User      string     `json:"user,omitempty" doc:"JID of who is charged; absent for a shared license."`
	Rule      string     `json:"rule" doc:"Rule of the policy that decided."`
	Why       []Reason   `json:"why" nullable:"false" doc:"The facts that decided: at most 10."`
	More      int        `json:"more,omitempty" doc:"How many reasons were left out."`
}

// Participant is one stay of somebody in a meeting.
type Participant struct {
	Name string     `json:"name" doc:"Name that was shown, or else the address or the kind of the participant."`
	From time.Time  `json:"from" doc:"When the stay began."`
	To   *time.Time `json:"to" doc:"When it ended; null while present."`
}

// HourUse is the highest use of a conferencing license within one hour.
type HourUse struct {
	Hour       time.Time `json:"hour" doc:"Begin of the hour, UTC."`
	License    string    `json:"license" doc:"Name of the license."`
	Tag        string    `json:"tag" doc:"License tag."`
	PeakSixths int64     `json:"peakSixths" doc:"The highest use in sixths of a license."`
	Licenses   int64     `json:"licenses" doc:"Whole licenses that cover the peak."`
	PeakAt     time.Time `json:"peakAt" doc:"When the peak was first reached."`
	Meetings   int64     `json:"meetings" doc:"How many meetings took the license in the hour."`
}
