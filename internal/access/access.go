// Package access says who may do what: people and programs, their roles, and the actions a role allows. It is pure; where
// credentials are kept and checked is the business of package authority.
//
// Invariants: unknown roles and actions allow nothing; whoever may not see an account is told that it does not exist.
package access

import "github.com/tallystick/tallystick/internal/license"

// Site is the account of callers who see every account.
const Site = "site"

// Role is a named set of actions.
type Role string

// The roles. An administrator of the site sees every account; the others belong to one account or to the site.
const (
	Administrator Role = "administrator"
	Viewer        Role = "viewer"
)

// Action is what a verb needs. Every route of every face names exactly one.
type Action string

// The actions.
const (
	See    Action = "see"    // read what belongs to an account
	Manage Action = "manage" // change what belongs to an account
	Run    Action = "run"    // create accounts and API keys
)

// Person is a caller that was authenticated: an administrator's key, a console session, or a part of this program.
type Person struct {
	// ID is the credential's id, and what the event chain records as the actor.
	ID   string
	Name string
	Role Role
	// Account is the only account that the person sees, or Site.
	Account string
	// RequestKey makes a writing request repeatable; empty for none.
	RequestKey string
}

var allowed = map[Role]map[Action]bool{
	Administrator: {See: true, Manage: true, Run: true},
	Viewer:        {See: true},
}

// Sees says whether the person may know that the account exists.
func (p Person) Sees(account string) bool { return p.Account == Site || p.Account == account }

// Check refuses an action on an account. For an account that the person may not see the refusal is the one for an account
// that does not exist.
func (p Person) Check(action Action, account string) error {
	if !p.Sees(account) {
		return license.NotFound("account", account)
	}
	if action == Run && p.Account != Site || !allowed[p.Role][action] {
		return license.Refuse(license.KindPermission, "not-permitted", "ask an administrator for a key with a wider role",
			"the role %q does not allow this", p.Role)
	}
	return nil
}
