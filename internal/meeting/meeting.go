// Package meeting holds the words and rules of conferencing licenses: which
// license a meeting takes, how many sixths of it, charged to whom, and why. It
// is pure: no input or output, no clock, no chance, standard library only.
//
// It does not read call-detail records and does not know where directories come
// from; callers hand it a Call and a Directory.
//
// Invariants:
//   - A decision is a function of policy, call and directory. Equal input gives
//     equal segments and equal facts.
//   - Quantities are whole sixths of a license, never fractions in floating
//     point. Only Sixths.Licenses rounds, upward.
//   - Segments have positive length, follow each other in time, and two that
//     touch differ. Where nobody takes part, no license is taken.
//   - A license is never a reason to refuse a meeting (domain rule 23).
package meeting

import (
	"fmt"
	"strconv"
	"time"
)

// Level is how many take part from an instant on.
type Level struct {
	At           time.Time
	Participants int
	Audio        int32 // of them, legs that had sound and no picture from beginning to end
	Lync         int32 // … legs to or from a Lync or Skype for Business system
	Media        int32 // … recorders and streamers: participants, but neither with a picture nor without
	Callers      int32 // call bridges that have one of those Lync legs
}

// Member is one stay of a participant.
type Member struct {
	Name  string // as the call bridge shows it
	Party string // JID, address or number
	From  time.Time
}

// The types of calls that the rules tell apart. Other text is allowed.
const (
	TypeSpace   = "coSpace"
	TypeAdHoc   = "adHoc"
	TypeGateway = "forwarding"
	TypeLync    = "lyncConferencing"
)

// Call is one meeting as the rules see it: all calls of it on all call bridges.
type Call struct {
	ID        string
	Type      string // one of the Type constants, other text, or empty while not known
	Space     string // identifier of the permanent space, empty without one
	Name      string
	OwnerName string // as call control, a scheduler or the call bridge passed it: a GUID, sign-in name, JID, address or name
	Start     time.Time
	End       time.Time // zero while it runs
	Levels    []Level   // ascending in time
	Members   []Member  // ascending in time; only for a policy that NeedsMembers
}

// License is a kind of license that meetings take.
type License string

// The two licenses: a personal one belongs to a named user, whatever the size
// of the meeting; shared ones are taken from a common stock.
const (
	Personal License = "personal"
	Shared   License = "shared"
)

// Tag returns the entitlement tag under which the license is bought and counted.
func (l License) Tag() string {
	if l == Personal {
		return "cms-pmp-plus"
	}
	return "cms-smp-plus"
}

// Sixths is an amount of licenses in sixths, the least part that a call takes.
type Sixths int

// Full is one whole license.
const Full Sixths = 6

// Licenses returns the whole licenses that cover the amount: it rounds upward.
func (s Sixths) Licenses() int64 {
	if s <= 0 {
		return 0
	}
	return (int64(s) + int64(Full) - 1) / int64(Full)
}

// String prints the amount exactly: "0", "1", "1/6", "2 1/6". Sixths stay
// sixths; "3/6" is not shortened, as it counts three calls.
func (s Sixths) String() string {
	if s < 0 {
		return "-" + (-s).String()
	}
	whole, rest := int(s/Full), int(s%Full)
	switch {
	case rest == 0:
		return strconv.Itoa(whole)
	case whole == 0:
		return fmt.Sprintf("%d/%d", rest, Full)
	default:
		return fmt.Sprintf("%d %d/%d", whole, rest, Full)
	}
}

// The rules of the policies, as Segment.Rule names them. Owner, ad hoc,
// scheduler and member say whose personal license it is; the others say what is
// taken of a shared one.
const (
	RuleOwner        = "owner"
	RuleAdHoc        = "ad-hoc"
	RuleScheduler    = "scheduler"
	RuleMember       = "member"
	RuleShared       = "shared"
	RuleGateway      = "gateway"
	RulePointToPoint = "point-to-point"
	RuleAudio        = "audio-only"
	RuleLyncGateway  = "lync-gateway"
	RuleDualHome     = "dual-home"
	RuleSecond       = "second-meeting"
)

// Segment is a stretch of a meeting with one license.
type Segment struct {
	From    time.Time
	To      time.Time // zero while running
	License License
	Sixths  Sixths
	User    string // JID of who is charged, empty for a shared license
	Rule    string // one of the Rule constants
	Why     []Fact // shared between segments; not to be changed
}

// Decision is what a meeting takes, and why.
type Decision struct {
	Policy           Policy // the one applied
	DirectoryVersion int64
	Segments         []Segment // empty for a call that nobody joined
	Why              []Fact    // what holds for the meeting as a whole, never empty
}
