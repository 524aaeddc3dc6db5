package meeting

import "fmt"

// Fact is one reason of a decision: what is stored and compared. Sentences are
// rendered from it and may change; codes and argument names stay.
type Fact struct {
	Code string
	Args map[string]string // nil without arguments; not to be changed
}

// The codes of facts, with the names of their arguments.
const (
	OwnerPersonal       = "owner-holds-personal-license" // space, name, owner
	OwnerAbsence        = "owner-need-not-join"          // owner
	NoSpace             = "call-without-space"
	SpaceUnknown        = "space-not-in-directory" // space, name
	SpaceWithoutOwner   = "space-without-owner"    // space, name
	OwnerUnknown        = "owner-not-in-directory" // space, name, owner
	OwnerWithoutLicense = "owner-without-license"  // space, name, owner
	TakesShared         = "takes-shared-license"
	HelpDirectory       = "help-directory-owner" // space, name
	GatewayCall         = "gateway-call"
	LyncCall            = "lync-call"
	PointToPoint        = "point-to-point"
	MoreThanTwo         = "more-than-two"
	NotAdHoc            = "not-ad-hoc" // type
	TypeNotKnown        = "type-not-known"
	NobodyJoined        = "nobody-joined"
	NobodyYet           = "nobody-joined-yet"
)

// Text returns the fact as a sentence for a person. A code of another version
// gives the code itself.
func (f Fact) Text() string {
	space, owner := f.space(), f.Args["owner"]
	switch f.Code {
	case OwnerPersonal:
		return fmt.Sprintf("%s is owned by %s, who holds a personal license, so the meeting is charged to that license.", space, owner)
	case OwnerAbsence:
		return fmt.Sprintf("It makes no difference whether %s takes part: the owner's license counts, present or not.", owner)
	case NoSpace:
		return "The call has no permanent space, so there is no owner whose personal license could apply."
	case SpaceUnknown:
		return fmt.Sprintf("%s is not in the directory, so nobody is known as its owner.", space)
	case SpaceWithoutOwner:
		return fmt.Sprintf("%s is in the directory but has no owner there.", space)
	case OwnerUnknown:
		return fmt.Sprintf("%s is owned by %s, who is not among the users of the directory.", space, owner)
	case OwnerWithoutLicense:
		return fmt.Sprintf("%s is owned by %s, who holds no personal license.", space, owner)
	case TakesShared:
		return "Nobody's personal license applies, so the meeting takes one shared license while anybody takes part."
	case HelpDirectory:
		return fmt.Sprintf("What would help: import a directory file in which %s has an owner who holds a personal license. "+
			"It counts for meetings that begin after the import.", "t"+space[1:])
	case GatewayCall:
		return "This is a gateway call (type forwarding): each takes one sixth of a shared license, whoever takes part."
	case LyncCall:
		return "This is a call with a Lync or Skype for Business meeting (type lyncConferencing), which is counted as one whole meeting."
	case PointToPoint:
		return "With at most two participants it is a point-to-point call, which takes one sixth of a shared license."
	case MoreThanTwo:
		return "With more than two participants it is a meeting and no longer a point-to-point call."
	case NotAdHoc:
		return fmt.Sprintf("The call is of type %q and not ad hoc, so it cannot count as a point-to-point call.", f.Args["type"])
	case TypeNotKnown:
		return "The record that opened the call has not arrived, so its type and its space are not known."
	case NobodyJoined:
		return "Nobody joined, so no license was taken."
	case NobodyYet:
		return "Nobody has joined yet, so no license is taken so far."
	default:
		return f.countText()
	}
}

// space names the space of the fact as the beginning of a sentence.
func (f Fact) space() string {
	if name := f.Args["name"]; name != "" {
		return fmt.Sprintf("The space “%s” (%s)", name, f.Args["space"])
	}
	return "The space " + f.Args["space"]
}
