package meeting

import (
	"cmp"
	"strings"
	"time"
)

// pointToPointMax is the most participants of a point-to-point call; recorders
// and streamers count (domain rule 19).
const pointToPointMax = 2

// Decide applies owner-first, the only policy so far, whatever p says: ask
// p.Check to refuse others. A decision cannot fail; what is not known makes it
// say so and take a shared license.
func Decide(_ Policy, c Call, d *Directory) Decision {
	out := Decision{Policy: OwnerFirst(), DirectoryVersion: d.Version()}
	small, large, why := charges(c, d)
	out.Segments = segments(c, small, large)
	out.Why = why
	if len(out.Segments) == 0 {
		code := NobodyJoined
		if c.End.IsZero() {
			code = NobodyYet
		}
		out.Why = append(why[:len(why):len(why)], Fact{Code: code})
	}
	return out
}

// charge is what a meeting takes at some number of participants.
type charge struct {
	license License
	sixths  Sixths
	user    string
	rule    string
	why     []Fact
}

// charges returns what the call takes with at most two participants and with
// more, and the facts that hold for both.
func charges(c Call, d *Directory) (small, large charge, why []Fact) {
	switch {
	case c.Type == TypeGateway:
		why = []Fact{{Code: GatewayCall}}
		one := charge{Shared, 1, "", RuleGateway, why}
		return one, one, why
	case c.Type == TypeLync:
		why = []Fact{{Code: LyncCall}, {Code: TakesShared}}
	case c.Space != "":
		owner, facts := owner(c, d)
		if owner != "" {
			one := charge{Personal, Full, owner, RuleOwner, facts}
			return one, one, facts
		}
		why = append(facts, Fact{Code: TakesShared}, Fact{HelpDirectory, facts[0].Args})
	case c.Type == TypeAdHoc:
		why = []Fact{{Code: NoSpace}}
		small = charge{Shared, 1, "", RulePointToPoint, []Fact{why[0], {Code: PointToPoint}}}
		large = charge{Shared, Full, "", RuleShared, []Fact{why[0], {Code: MoreThanTwo}, {Code: TakesShared}}}
		return small, large, why
	case c.Type == "":
		why = []Fact{{Code: TypeNotKnown}, {Code: TakesShared}}
	default:
		why = []Fact{{Code: NoSpace}, {NotAdHoc, map[string]string{"type": c.Type}}, {Code: TakesShared}}
	}
	one := charge{Shared, Full, "", RuleShared, why}
	return one, one, why
}

// owner returns the JID of the owner who pays with a personal license, or
// nothing and the facts that say why nobody does.
func owner(c Call, d *Directory) (string, []Fact) {
	id := strings.ToLower(c.Space)
	args := map[string]string{"space": id, "name": c.Name}
	space, ok := d.Space(id)
	if !ok {
		return "", []Fact{{SpaceUnknown, args}}
	}
	args["name"] = cmp.Or(space.Name, c.Name)
	jid := strings.ToLower(strings.TrimSpace(space.Owner))
	if jid == "" {
		return "", []Fact{{SpaceWithoutOwner, args}}
	}
	args["owner"] = jid
	user, ok := d.User(jid)
	switch {
	case !ok:
		return "", []Fact{{OwnerUnknown, args}}
	case !user.Personal:
		return "", []Fact{{OwnerWithoutLicense, args}}
	default:
		return jid, []Fact{{OwnerPersonal, args}, {OwnerAbsence, map[string]string{"owner": jid}}}
	}
}

// segments lays the charges over the participants, where there are any.
func segments(c Call, small, large charge) []Segment {
	var out []Segment
	for i, level := range c.Levels {
		to := c.End
		if i+1 < len(c.Levels) && (to.IsZero() || c.Levels[i+1].At.Before(to)) {
			to = c.Levels[i+1].At
		}
		if level.Participants < 1 || !to.IsZero() && !to.After(level.At) {
			continue
		}
		take := &small
		if level.Participants > pointToPointMax {
			take = &large
		}
		out = appendSegment(out, level.At, to, take)
	}
	return out
}

func appendSegment(out []Segment, from, to time.Time, take *charge) []Segment {
	if n := len(out); n > 0 {
		last := &out[n-1]
		if last.To.Equal(from) && last.Rule == take.rule && last.Sixths == take.sixths {
			last.To = to
			return out
		}
	}
	return append(out, Segment{From: from, To: to, License: take.license, Sixths: take.sixths,
		User: take.user, Rule: take.rule, Why: take.why})
}
