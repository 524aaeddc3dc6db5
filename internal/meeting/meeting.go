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
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Level is the number of participants from an instant on.
type Level struct {
	At           time.Time
	Participants int
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
	OwnerName string
	Start     time.Time
	End       time.Time // zero while it runs
	Levels    []Level   // ascending in time
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

// Policy names a rule set. Its version changes with every change of what it
// decides, so that a stored decision says by which rules it was made.
type Policy struct {
	Name    string
	Version int
}

// OwnerFirst returns the default policy: the owner of the space pays with a
// personal license, present or not, else the meeting takes a shared one
// (domain rules 13 and 14).
func OwnerFirst() Policy { return Policy{Name: "owner-first", Version: 1} }

// ErrUnknownPolicy says that no policy has the name and version asked for.
var ErrUnknownPolicy = errors.New("no such policy")

// Check returns ErrUnknownPolicy, wrapped with the name, unless Decide knows p.
func (p Policy) Check() error {
	if p != OwnerFirst() {
		return fmt.Errorf("policy %q version %d: %w", p.Name, p.Version, ErrUnknownPolicy)
	}
	return nil
}

// The rules of owner-first, as Segment.Rule names them.
const (
	RuleOwner        = "owner"
	RuleShared       = "shared"
	RuleGateway      = "gateway"
	RulePointToPoint = "point-to-point"
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
