package meeting

import (
	"fmt"
	"strings"
)

// Fact is one reason of a decision: what is stored and compared. Sentences are
// rendered from it and may change; codes and argument names stay.
type Fact struct {
	Code string
	Args map[string]string // nil without arguments; not to be changed
}

// The codes of facts, with the names of their arguments.
const (
	// The owner of the space.
	OwnerPersonal       = "owner-holds-personal-license" // space, name, owner
	OwnerAbsence        = "owner-need-not-join"          // owner
	NoSpace             = "call-without-space"
	SpaceUnknown        = "space-not-in-directory" // space, name
	SpaceWithoutOwner   = "space-without-owner"    // space, name
	OwnerUnknown        = "owner-not-in-directory" // space, name, owner
	OwnerWithoutLicense = "owner-without-license"  // space, name, owner

	// The one whom call control names.
	AdHocPersonal      = "escalating-user-holds-personal-license" // guid, owner
	AdHocNobody        = "escalating-user-not-passed"
	GUIDUnknown        = "guid-not-in-directory" // guid
	GUIDSeveral        = "guid-of-several-users" // guid, count
	GUIDWithoutLicense = "guid-without-license"  // guid, owner

	// The one whom a scheduler names.
	SchedulerPersonal    = "booking-owner-holds-personal-license" // passed, owner, as
	SchedulerNobody      = "booking-owner-not-passed"
	PassedUnknown        = "passed-owner-not-in-directory" // passed
	PassedSeveral        = "passed-owner-of-several-users" // passed, count
	PassedEmail          = "passed-owner-is-e-mail"        // passed, owner
	PassedWithoutLicense = "passed-owner-without-license"  // passed, owner, as
	ServiceAccount       = "passed-owner-is-service-account"

	// Who joins.
	MemberJoined          = "member-holds-personal-license"        // member, party, at
	MemberDevice          = "member-device-holds-personal-license" // member, party, at
	MemberFlip            = "member-joins-later"                   // member, party, at
	MembersWithoutLicense = "members-without-license"              // count, members
	MembersUnknown        = "members-not-recognized"               // count, members

	// What is taken.
	TakesShared     = "takes-shared-license"
	GatewayCall     = "gateway-call"
	LyncCall        = "lync-call"
	LyncGatewayCall = "lync-gateway-call"
	LyncCallers     = "lync-call-bridges"
	PointToPoint    = "point-to-point"
	SpacePair       = "two-in-a-space"
	MoreThanTwo     = "more-than-two"
	AudioOnly       = "audio-only"
	NotAdHoc        = "not-ad-hoc" // type
	TypeNotKnown    = "type-not-known"
	NobodyJoined    = "nobody-joined"
	NobodyYet       = "nobody-joined-yet"

	// A second meeting of one personal license.
	SecondCharged = "second-meeting-charged" // user, meeting, name, when
	SecondShared  = "second-meeting-shared"  // user, meeting, name, when
	FirstOfSome   = "first-meeting-charged"  // user, meeting, name, when
	FirstHeld     = "first-meeting-holds"    // user, meeting, name, when

	// What would help.
	HelpDirectory      = "help-directory-owner" // space, name
	HelpUser           = "help-directory-user"  // owner
	HelpLicense        = "help-give-license"    // owner
	HelpCallControl    = "help-newer-call-control"
	HelpSameDirectory  = "help-same-directory"
	HelpScheduler      = "help-newer-scheduler"
	HelpPassed         = "help-booking-user"  // passed
	HelpPassedOnce     = "help-distinct-name" // passed
	HelpEmail          = "help-compare-e-mail"
	HelpServiceAccount = "help-booking-owner" // passed
	HelpMember         = "help-member-joins"
)

const later = " It counts for meetings that begin afterwards."

// Text returns the fact as a sentence for a person. A code of another version
// gives the code itself.
func (f Fact) Text() string {
	for _, text := range []func() string{f.ownerText, f.passedText, f.memberText, f.takenText, f.secondText, f.helpText, f.countText} {
		if s := text(); s != "" {
			return s
		}
	}
	return f.Code
}

func (f Fact) ownerText() string {
	space, owner := f.space(), f.Args["owner"]
	switch f.Code {
	case OwnerPersonal:
		return fmt.Sprintf("%s is owned by %s, who holds a personal license, so the meeting is charged to that license.", space, owner)
	case OwnerAbsence:
		return fmt.Sprintf("It makes no difference whether %s takes part: the owner's license counts, present or not.", owner)
	case NoSpace:
		return "The call has no permanent space, so there is no owner of a space who could pay."
	case SpaceUnknown:
		return fmt.Sprintf("%s is not in the directory, so nobody is known as its owner.", space)
	case SpaceWithoutOwner:
		return fmt.Sprintf("%s is in the directory but has no owner there.", space)
	case OwnerUnknown:
		return fmt.Sprintf("%s is owned by %s, who is not among the users of the directory.", space, owner)
	case OwnerWithoutLicense:
		return fmt.Sprintf("%s is owned by %s, who holds no personal license.", space, owner)
	}
	return ""
}

func (f Fact) passedText() string {
	guid, passed, owner, count := f.Args["guid"], f.Args["passed"], f.Args["owner"], f.Args["count"]
	switch f.Code {
	case AdHocPersonal:
		return fmt.Sprintf("Call control passed the identifier %s. That is %s, who holds a personal license, so the meeting is charged to that license.", guid, owner)
	case AdHocNobody:
		return "Call control did not pass who started this ad hoc meeting, so nobody's personal license could be found."
	case GUIDUnknown:
		return fmt.Sprintf("Call control passed the identifier %s, and nobody in the directory has it, whichever way its bytes are written.", guid)
	case GUIDSeveral:
		return fmt.Sprintf("Call control passed the identifier %s, but %s users of the directory have it, so it is not clear who is meant.", guid, count)
	case GUIDWithoutLicense:
		return fmt.Sprintf("Call control passed the identifier %s. That is %s, who holds no personal license.", guid, owner)
	case SchedulerPersonal:
		return fmt.Sprintf("“%s” was passed as the owner of the meeting. That is %s%s, who holds a personal license, so the meeting is charged to that license.", passed, owner, f.by())
	case SchedulerNobody:
		return "No scheduler passed an owner of the meeting either."
	case PassedUnknown:
		return fmt.Sprintf("“%s” was passed as the owner of the meeting. It is no GUID, as call control passes, and neither the sign-in name nor the JID of anybody in the directory.", passed)
	case PassedSeveral:
		return fmt.Sprintf("“%s” was passed as the owner of the meeting, but %s users of the directory have that name, so it is not clear who is meant.", passed, count)
	case PassedEmail:
		return fmt.Sprintf("“%s” was passed as the owner of the meeting. It is the e-mail address of %s, but the policy in force does not compare e-mail addresses.", passed, owner)
	case PassedWithoutLicense:
		return fmt.Sprintf("“%s” was passed as the owner of the meeting. That is %s%s, who holds no personal license.", passed, owner, f.by())
	case ServiceAccount:
		return fmt.Sprintf("“%s” was passed as the owner of the meeting. That is the account with which the booking program signs in, not the person who booked.", passed)
	}
	return ""
}

// by says how a passed owner was found, where it does not show.
func (f Fact) by() string {
	switch f.Args["as"] {
	case "user-id":
		return " by sign-in name"
	case "e-mail":
		return " by e-mail address"
	}
	return ""
}

func (f Fact) memberText() string {
	member, party, at, count, members := f.Args["member"], f.Args["party"], f.Args["at"], f.Args["count"], f.Args["members"]
	switch f.Code {
	case MemberJoined:
		return fmt.Sprintf("%s, who holds a personal license, joined at %s UTC; from then on the meeting is charged to that license, to its end.", member, at)
	case MemberDevice:
		return fmt.Sprintf("The device %s of %s, who holds a personal license, joined at %s UTC; from then on the meeting is charged to that license, to its end.", party, member, at)
	case MemberFlip:
		return fmt.Sprintf("This holds until %s UTC, when %s joins, who holds a personal license.", at, member)
	case MembersWithoutLicense:
		return fmt.Sprintf("Participants who are in the directory and hold no personal license: %s (%s).", count, members)
	case MembersUnknown:
		return fmt.Sprintf("Participants who could not be matched to anybody in the directory, by JID, address or device: %s (%s).", count, members)
	}
	return ""
}

func (f Fact) takenText() string {
	switch f.Code {
	case TakesShared:
		return "Nobody's personal license applies, so the meeting takes one shared license while anybody takes part."
	case GatewayCall:
		return "This is a gateway call (type forwarding): each takes one sixth of a shared license, whoever takes part."
	case LyncCall:
		return "This is a call with a Lync or Skype for Business meeting (type lyncConferencing), which has no owner in any directory."
	case LyncGatewayCall:
		return "This is a call into a Lync or Skype for Business meeting (type lyncConferencing) by gateway: each participant from this side takes one sixth of a shared license."
	case LyncCallers:
		return "Each call bridge that calls out to it takes one shared license."
	case PointToPoint:
		return "With at most two participants it is a point-to-point call, which takes one sixth of a shared license."
	case SpacePair:
		return "With at most two participants it counts as a point-to-point call, by an option of the policy, and takes one sixth of a shared license."
	case MoreThanTwo:
		return "With more than two participants it is a meeting and no longer a point-to-point call."
	case AudioOnly:
		return "All who took part had sound only, which takes one sixth of a shared license."
	case NotAdHoc:
		return fmt.Sprintf("The call is of type %q and not ad hoc, so it cannot count as a point-to-point call.", f.Args["type"])
	case TypeNotKnown:
		return "The record that opened the call has not arrived, so its type and its space are not known."
	case NobodyJoined:
		return "Nobody joined, so no license was taken."
	case NobodyYet:
		return "Nobody has joined yet, so no license is taken so far."
	}
	return ""
}

func (f Fact) secondText() string {
	user, other := f.Args["user"], f.Args["meeting"]
	if name := f.Args["name"]; name != "" {
		other = fmt.Sprintf("“%s” (%s)", name, other)
	}
	switch f.Code {
	case SecondCharged:
		return fmt.Sprintf("This is a second meeting: the personal license of %s is charged for %s as well, %s, which had it first.", user, other, f.Args["when"])
	case FirstOfSome:
		return fmt.Sprintf("The personal license of %s is charged for a second meeting as well, %s, %s.", user, other, f.Args["when"])
	case SecondShared:
		return fmt.Sprintf("But this is a second meeting: the personal license of %s is held by %s, %s, so this one takes a shared license meanwhile.", user, other, f.Args["when"])
	case FirstHeld:
		return fmt.Sprintf("A second meeting of %s, %s, takes a shared license, %s, as this one holds the personal license.", user, other, f.Args["when"])
	}
	return ""
}

func (f Fact) helpText() string {
	owner, passed := f.Args["owner"], f.Args["passed"]
	switch f.Code {
	case HelpDirectory:
		return fmt.Sprintf("What would help: a directory in which %s has an owner who holds a personal license.", "t"+f.space()[1:]) + later
	case HelpUser:
		return fmt.Sprintf("What would help: bring %s into the directory, with a personal license.", owner) + later
	case HelpLicense:
		return fmt.Sprintf("What would help: put %s into the group that gives personal licenses, and bring the directory up to date.", owner) + later
	case HelpCallControl:
		return "What would help: call control that passes the user (CUCM 10.5 or later, call bridge 2.1 or later), with the same Active Directory behind call control and this directory."
	case HelpSameDirectory:
		return "What would help: fill call control and this directory from the same Active Directory. The identifier is the user's objectGUID; other directories have none that call control passes."
	case HelpScheduler:
		return "What would help if this meeting was booked: a scheduler that passes the owner (TMS 15.6 or later), and a booking by somebody who is in the directory with a personal license."
	case HelpPassed:
		if strings.Contains(strings.TrimSpace(passed), " ") {
			return fmt.Sprintf("What would help: a booking program that passes the owner's sign-in name; “%s” looks like a display name, which several people may have.", passed)
		}
		return fmt.Sprintf("What would help: a user of the directory with the sign-in name “%s” who holds a personal license.", UserID(passed)) + later
	case HelpPassedOnce:
		return "What would help: sign-in names that are different, or owners passed as JIDs."
	case HelpEmail:
		return "What would help: sign-in names in the directory, or the policy's option scheduler-email=on." + later
	case HelpServiceAccount:
		return "What would help: a booking program that fills in the owner of the booking, name and address, and not its own account."
	case HelpMember:
		return "What would help: a participant with a personal license who joins with a JID or a device of the directory."
	}
	return ""
}

// space names the space of the fact as the beginning of a sentence.
func (f Fact) space() string {
	if name := f.Args["name"]; name != "" {
		return fmt.Sprintf("The space “%s” (%s)", name, f.Args["space"])
	}
	return "The space " + f.Args["space"]
}
