package meeting

import (
	"cmp"
	"strconv"
	"strings"
)

// ownerFirst looks for whose personal license pays: the owner of the space, the
// one whom call control names, the one whom a scheduler names.
func (pl *plan) ownerFirst(c *Call, d *Directory) {
	pl.owners = true
	owner := spaceOwner(c, d)
	if pl.pays(owner.user, RuleOwner, owner.facts, owner.ok) {
		return
	}
	passed := passedOwner(c, d, &pl.options, &owner)
	if pl.pays(passed.user, passed.rule, passed.facts, passed.ok) {
		return
	}
	help := passed.help
	if !passed.surer {
		help = append(owner.help, passed.help...)
	}
	pl.share(c, append(owner.facts, passed.facts...), help)
}

// pays makes somebody's personal license pay for the call, if it does.
func (pl *plan) pays(user, rule string, facts []Fact, ok bool) bool {
	if ok {
		pl.fix(charge{Personal, Full, user, rule, facts})
	}
	return ok
}

// found is whom one step of a policy came to.
type found struct {
	ok    bool // it is a user with a personal license
	surer bool // its help is the one that counts
	user  string
	name  string
	rule  string
	facts []Fact
	help  []Fact
}

// spaceOwner finds the owner of the space.
func spaceOwner(c *Call, d *Directory) found {
	id := lower(c.Space)
	if id == "" {
		return found{facts: []Fact{{Code: NoSpace}}}
	}
	args := map[string]string{"space": id, "name": c.Name}
	space, ok := d.Space(id)
	if !ok {
		return found{facts: []Fact{{SpaceUnknown, args}}, help: []Fact{{HelpDirectory, args}}}
	}
	args["name"] = cmp.Or(space.Name, c.Name)
	named := lower(space.Owner)
	if named == "" {
		return found{facts: []Fact{{SpaceWithoutOwner, args}}, help: []Fact{{HelpDirectory, args}}}
	}
	args["owner"] = named
	user, ok := d.Owner(named)
	if !ok {
		return found{user: named, facts: []Fact{{OwnerUnknown, args}}, help: []Fact{{HelpUser, map[string]string{"owner": named}}}}
	}
	jid := lower(user.JID)
	args["owner"] = jid
	out := found{user: jid, name: user.Name}
	who := map[string]string{"owner": jid}
	if !user.Personal {
		out.facts, out.help = []Fact{{OwnerWithoutLicense, args}}, []Fact{{HelpLicense, who}}
		return out
	}
	out.ok, out.facts = true, []Fact{{OwnerPersonal, args}, {OwnerAbsence, who}}
	return out
}

// passedOwner finds the one whom call control or a scheduler passed as the
// owner. Call control passes a GUID.
func passedOwner(c *Call, d *Directory, o *Options, owner *found) found {
	passed := strings.TrimSpace(c.OwnerName)
	if passed == "" {
		return nobodyPassed(c, owner)
	}
	if guid, ok := ParseGUID(passed); ok {
		return escalated(d, guid)
	}
	if owner.user != "" && (lower(passed) == owner.user || owner.name != "" && strings.EqualFold(passed, owner.name)) {
		return found{} // the call bridge says again who owns the space
	}
	args := map[string]string{"passed": passed}
	id := UserID(passed)
	if o.isServiceAccount(id) {
		return found{facts: []Fact{{ServiceAccount, args}}, help: []Fact{{HelpServiceAccount, args}}, surer: true}
	}
	user, ok := d.User(passed)
	as, n := "jid", 1
	if !ok {
		as = "user-id"
		user, n = d.UserByID(passed)
	}
	byEmail := false
	if n == 0 {
		as = "e-mail"
		user, n = d.UserByEmail(passed)
		byEmail = n == 1 && !o.SchedulerEmail
	}
	switch {
	case n == 0 && c.Type == TypeAdHoc:
		return found{facts: []Fact{{PassedUnknown, args}}, help: []Fact{{Code: HelpSameDirectory}}, surer: true}
	case n == 0:
		return found{facts: []Fact{{PassedUnknown, args}}, help: []Fact{{HelpPassed, args}}, surer: owner.user == ""}
	case n > 1:
		args["count"] = strconv.Itoa(n)
		return found{facts: []Fact{{PassedSeveral, args}}, help: []Fact{{HelpPassedOnce, args}}, surer: true}
	}
	jid := lower(user.JID)
	args["owner"] = jid
	if byEmail {
		return found{facts: []Fact{{PassedEmail, args}}, help: []Fact{{Code: HelpEmail}}, surer: true}
	}
	args["as"] = as
	return judged(user, RuleScheduler, Fact{SchedulerPersonal, args}, Fact{PassedWithoutLicense, args})
}

// escalated finds the one whom call control names by GUID (domain rule 16).
func escalated(d *Directory, guid GUID) found {
	args := map[string]string{"guid": guid.String()}
	user, n := d.UserByGUID(guid)
	switch {
	case n == 0:
		return found{facts: []Fact{{GUIDUnknown, args}}, help: []Fact{{Code: HelpSameDirectory}}, surer: true}
	case n > 1:
		args["count"] = strconv.Itoa(n)
		return found{facts: []Fact{{GUIDSeveral, args}}, help: []Fact{{Code: HelpSameDirectory}}, surer: true}
	}
	args["owner"] = lower(user.JID)
	return judged(user, RuleAdHoc, Fact{AdHocPersonal, args}, Fact{GUIDWithoutLicense, args})
}

// judged says whether a user pays.
func judged(user User, rule string, yes, no Fact) found {
	out := found{user: lower(user.JID), rule: rule}
	if user.Personal {
		out.ok, out.facts = true, []Fact{yes}
		return out
	}
	out.facts, out.help, out.surer = []Fact{no}, []Fact{{HelpLicense, map[string]string{"owner": out.user}}}, true
	return out
}

// The facts of calls for which nothing was passed.
var (
	schedulerNobody = []Fact{{Code: SchedulerNobody}}
	helpScheduler   = []Fact{{Code: HelpScheduler}}
)

// bookedPrefix begins the names of spaces that TMS makes for a booking.
const bookedPrefix = "TMS_"

// nobodyPassed says what it means that no owner was passed.
func nobodyPassed(c *Call, owner *found) found {
	switch {
	case c.Type == TypeAdHoc && c.Space == "":
		return found{} // a point-to-point call passes nobody; take says it of larger ones
	case c.Type == TypeAdHoc:
		return found{facts: []Fact{{Code: AdHocNobody}}, help: []Fact{{Code: HelpCallControl}}}
	case c.Space == "" || owner.user != "":
		return found{}
	default:
		return found{facts: schedulerNobody, help: helpScheduler, surer: strings.HasPrefix(c.Name, bookedPrefix)}
	}
}
