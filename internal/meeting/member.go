package meeting

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// maxNamed is how many participants a fact names.
const maxNamed = 5

// memberFirst looks for a participant whose personal license pays. Of several
// it is the one who joined first; of those who joined at once, the owner of the
// space, then the least JID. It keeps paying to the end, as the rule asks who
// joined, not who is still there. Before, the owner pays, or it is a shared
// license (domain rule 15).
func (pl *plan) memberFirst(c *Call, d *Directory) {
	owner := spaceOwner(c, d)
	first, others := recognize(c, d, owner.user)
	switch {
	case owner.ok:
		pl.fix(charge{Personal, Full, owner.user, RuleOwner, append(owner.facts[:1:1], others...)})
	default:
		pl.share(c, append(others, owner.facts...), append(owner.help, Fact{Code: HelpMember}))
	}
	if first == nil {
		return
	}
	args := map[string]string{"member": first.jid, "party": first.party, "at": first.member.From.UTC().Format("15:04:05")}
	pl.flip = first.member.From
	why := append([]Fact{{first.code, args}}, others...)
	pl.after = charge{Personal, Full, first.jid, RuleMember, why}
	if len(c.Levels) > 0 && !pl.flip.After(c.Levels[0].At) {
		pl.why = why
		return
	}
	flips := Fact{MemberFlip, args}
	pl.tried = append(pl.tried, flips)
	pl.why = append(pl.why[:len(pl.why):len(pl.why)], flips)
	if !pl.pairs {
		pl.whole.why = pl.why
	}
}

// recognized is a participant who holds a personal license.
type recognized struct {
	member *Member
	jid    string
	party  string
	code   string
}

// recognize finds the first participant who holds a personal license, and says
// whom it found without one, and which participants it could not match.
func recognize(c *Call, d *Directory, owner string) (first *recognized, facts []Fact) {
	var strangers, without []string
	for i := range c.Members {
		m := &c.Members[i]
		party := Party(m.Party)
		user, ok := d.User(party)
		code := MemberJoined
		if !ok {
			var jid string
			if jid, ok = d.DeviceOwner(party); ok {
				user, ok = d.User(jid)
			}
			code = MemberDevice
		}
		switch {
		case !ok:
			strangers = append(strangers, stranger(m, party))
			continue
		case !user.Personal:
			without = append(without, lower(user.JID))
			continue
		}
		one := recognized{m, lower(user.JID), party, code}
		if first == nil || one.before(first, owner) {
			first = &one
		}
	}
	if first == nil && len(without) > 0 {
		facts = append(facts, named(MembersWithoutLicense, without))
	}
	if len(strangers) > 0 {
		facts = append(facts, named(MembersUnknown, strangers))
	}
	return first, facts
}

func (r *recognized) before(other *recognized, owner string) bool {
	return cmp.Or(r.member.From.Compare(other.member.From), cmp.Compare(rank(r.jid, owner), rank(other.jid, owner)), strings.Compare(r.jid, other.jid)) < 0
}

func rank(jid, owner string) int {
	if jid == owner {
		return 0
	}
	return 1
}

func stranger(m *Member, party string) string {
	switch {
	case m.Name == "" || Party(m.Name) == party:
		return cmp.Or(party, "a participant without a name")
	case party == "":
		return m.Name
	default:
		return m.Name + " (" + party + ")"
	}
}

// named makes a fact about some participants: their number and the first names.
func named(code string, who []string) Fact {
	slices.Sort(who)
	who = slices.Compact(who)
	args := map[string]string{"count": strconv.Itoa(len(who)), "members": strings.Join(who[:min(len(who), maxNamed)], ", ")}
	return Fact{code, args}
}
