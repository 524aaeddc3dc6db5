package conference

import (
	"context"
	"strings"

	"github.com/tallystick/tallystick/internal/callbridge"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// learnedFrom are the documents that spaces and users are learned from.
var learnedFrom = []string{"/users", "/coSpaces", "/userProfiles", "/system/profiles"}

// learn reads spaces, users and profiles and makes them a source of the directory. A list that cannot be read to its end changes
// nothing. One that the call bridge does not have changes nothing either, and is no failure of the turn.
func (t *turn) learn(ctx context.Context, who string) error {
	started := t.e.now()
	p, err := t.profiles(ctx)
	if err != nil {
		return err
	}
	d := t.detailsOf(who != Scheduled)
	users, jids, err := t.users(ctx, p, d)
	if err != nil {
		return t.unlearned("/users", err)
	}
	spaces, err := t.spaces(ctx, jids, d)
	if err != nil {
		return t.unlearned("/coSpaces", err)
	}
	name := t.r.ClusterID
	err = t.e.store.View(ctx, func(tx *store.Tx) error {
		c, err := tx.Cluster(ctx, db.ClusterParams{AccountID: t.r.AccountID, ClusterID: t.r.ClusterID})
		name = c.Name
		return err
	})
	if err != nil {
		return outcome("read bridge", err)
	}
	run, err := t.e.putSource(ctx, who, t.r.AccountID, sourcePut{
		source:  directory.Source{Kind: directory.Bridge, ID: t.r.ClusterID, Name: name, Users: users, Spaces: spaces},
		started: started, quiet: who == Scheduled,
	})
	if err != nil {
		return err
	}
	t.learned = true
	t.found.Directory = &APIDirectory{ReadAt: started, State: run.State, Run: run.ID, Users: len(users), Spaces: len(spaces)}
	return nil
}

// unlearned says that nothing is learned, as one of the lists is not there. It is asked for again when the directory is due.
func (t *turn) unlearned(list string, err error) error {
	if err = t.lacks(list, err); err == nil {
		t.found.Directory, t.learned = nil, true
	}
	return err
}

// profiles says who holds a personal license: the profile of the user, which an import gave, goes before that of the tenant, and
// that before the one of the system (domain rule 33).
type profiles struct {
	licensed map[callbridge.Text]*callbridge.Flag // by profile
	tenants  map[callbridge.Text]callbridge.Text  // their profiles
	system   callbridge.Text
}

// of is what the profiles say of a user.
func (p *profiles) of(u callbridge.User) directory.Flag {
	for _, id := range []callbridge.Text{u.UserProfile, p.tenants[u.Tenant], p.system} {
		if has := p.licensed[id]; id != "" && has != nil {
			return directory.FlagOf(bool(*has))
		}
	}
	return directory.Inherit
}

func (t *turn) profiles(ctx context.Context) (*profiles, error) {
	p := &profiles{licensed: map[callbridge.Text]*callbridge.Flag{}, tenants: map[callbridge.Text]callbridge.Text{}}
	all, err := t.client.UserProfiles(ctx)
	if err = t.lacks("/userProfiles", err); err != nil {
		return nil, err
	}
	for _, u := range all {
		if u.HasLicense == nil { // lists of some versions are short
			if u, err = t.client.UserProfile(ctx, u.ID); gone(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		p.licensed[u.ID] = u.HasLicense
	}
	system, err := t.client.SystemProfile(ctx)
	p.system = system.UserProfile
	return p, t.lacks("/system/profiles", err)
}

// gone says that a thing of a list is there no more.
func gone(err error) bool {
	refusal := license.AsError(err)
	return refusal != nil && refusal.Kind == license.KindNotFound
}

// users reads the users, one by one where that is due, as lists do not have their profiles, and returns their JIDs by id as well.
func (t *turn) users(ctx context.Context, p *profiles, d *details) ([]directory.User, map[callbridge.Text]string, error) {
	listed, err := t.client.Users(ctx)
	if err != nil {
		return nil, nil, err
	}
	out, jids := make([]directory.User, 0, len(listed)), map[callbridge.Text]string{}
	seen := map[string]bool{}
	known := d.users
	d.users = make(map[callbridge.Text]detail[callbridge.User], len(listed))
	for _, l := range listed {
		u, err := one(known, d.users, l.ID, l, t.e.now(), func() (callbridge.User, error) { return t.client.User(ctx, l.ID) })
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if _, known := p.tenants[u.Tenant]; u.Tenant != "" && !known {
			tenant, err := t.client.Tenant(ctx, u.Tenant)
			if err != nil && !gone(err) {
				return nil, nil, err
			}
			p.tenants[u.Tenant] = tenant.UserProfile
		}
		jid := fold(string(u.UserJID))
		if jid == "" || seen[jid] || !fits(jid, string(u.Name), string(u.Email)) {
			continue
		}
		seen[jid], jids[u.ID] = true, jid
		out = append(out, directory.User{JID: jid, Name: string(u.Name), Email: string(u.Email), Personal: p.of(u)})
	}
	return out, jids, nil
}

// spaces reads the spaces, one by one where that is due, as lists do not have their owners. An owner is named by JID, or by the user's id.
func (t *turn) spaces(ctx context.Context, jids map[callbridge.Text]string, d *details) ([]directory.Space, error) {
	listed, err := t.client.CoSpaces(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]directory.Space, 0, len(listed))
	seen := map[string]bool{}
	known := d.spaces
	d.spaces = make(map[callbridge.Text]detail[callbridge.CoSpace], len(listed))
	for _, l := range listed {
		l.NonMemberAccess = nil // not ours, and a pointer is no value to compare
		s, err := one(known, d.spaces, l.ID, l, t.e.now(), func() (callbridge.CoSpace, error) { return t.client.CoSpace(ctx, l.ID) })
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		owner := fold(string(s.OwnerJID))
		if owner == "" {
			owner = jids[s.OwnerID]
		}
		id := fold(string(l.ID))
		if id == "" || seen[id] || !fits(id, string(s.Name), owner) {
			continue
		}
		seen[id] = true
		out = append(out, directory.Space{ID: id, Name: string(s.Name), Owner: owner})
	}
	return out, nil
}

// maxLearned is the most bytes of one value.
const maxLearned = 1024

// fits says whether values are texts that the directory keeps.
func fits(values ...string) bool {
	for _, v := range values {
		if len(v) > maxLearned || strings.ContainsRune(v, 0) {
			return false
		}
	}
	return true
}
