package conference

import (
	"context"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// snapshot is one version of an account's directory and policies. It never changes.
type snapshot struct {
	account   string
	version   int64
	directory *meeting.Directory
	policies  map[string]*stated // by bridge; "" for those without one of their own
}

// stated is a policy with the text that meetings keep of it.
type stated struct {
	meeting.Policy
	text string
}

func state(p meeting.Policy) *stated { return &stated{p, p.String()} }

// policy returns the one of a bridge.
func (s *snapshot) policy(bridge string) *stated {
	if p := s.policies[bridge]; p != nil {
		return p
	}
	return s.policies[""]
}

// The bounds of what is kept of snapshots, besides the one used last.
const (
	maxSnapshots = 16
	maxKept      = 500_000 // users, spaces and devices
)

// snapshots keeps those in use, the one used last at the end.
type snapshots []*snapshot

// find returns a snapshot and makes it the last one.
func (all snapshots) find(account string, version int64) *snapshot {
	for i := len(all) - 1; i >= 0; i-- {
		if s := all[i]; s.version == version && s.account == account {
			copy(all[i:], all[i+1:])
			all[len(all)-1] = s
			return s
		}
	}
	return nil
}

// with adds a snapshot and lets go of those that were not used for the longest time.
func (all snapshots) with(s *snapshot) snapshots {
	all = append(all, s)
	size, from := 0, len(all)-1
	for from >= 0 && len(all)-from <= maxSnapshots && (from == len(all)-1 || size+all[from].directory.Size() <= maxKept) {
		size += all[from].directory.Size()
		from--
	}
	return slices.Delete(all, 0, from+1)
}

// snapshot returns a version of an account's directory and policies, from memory if it was asked for lately. Version 0 is an
// empty directory and the default policy.
func (e *Engine) snapshot(ctx context.Context, account string, version int64) (*snapshot, error) {
	e.mu.Lock()
	s := e.kept.find(account, version)
	e.mu.Unlock()
	if s != nil {
		return s, nil
	}
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		s, err = readSnapshot(ctx, tx, account, version)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read directory %d of %s: %w", version, account, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range s.policies {
		if p.Options.SecondShared {
			e.sharing[account] = true
		}
	}
	if e.kept.find(account, version) == nil {
		e.kept = e.kept.with(s)
	}
	return s, nil
}

func readSnapshot(ctx context.Context, tx *store.Tx, account string, version int64) (*snapshot, error) {
	s := &snapshot{account: account, version: version, policies: map[string]*stated{"": state(meeting.OwnerFirst())}}
	if version == 0 {
		return s, nil
	}
	set, err := tx.PoliciesAt(ctx, db.PoliciesAtParams{AccountID: account, Version: version})
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	for _, r := range set {
		p, err := parsePolicy(r.Policy)
		if err != nil {
			return nil, fmt.Errorf("policy of %q: %w", r.ClusterID, err)
		}
		s.policies[r.ClusterID] = state(p)
	}
	var users []meeting.User
	for after := ""; ; {
		rows, err := tx.UsersAt(ctx, db.UsersAtParams{AccountID: account, Version: version, After: after, Page: snapshotPage})
		if err != nil {
			return nil, fmt.Errorf("users: %w", err)
		}
		for _, r := range rows {
			users = append(users, meeting.User{JID: r.Jid, GUID: r.Guid, ID: r.UserID, Email: r.Email, Name: r.Name, Personal: r.Personal})
		}
		if len(rows) < snapshotPage {
			break
		}
		after = rows[len(rows)-1].Jid
	}
	var spaces []meeting.Space
	for after := ""; ; {
		rows, err := tx.SpacesAt(ctx, db.SpacesAtParams{AccountID: account, Version: version, After: after, Page: snapshotPage})
		if err != nil {
			return nil, fmt.Errorf("spaces: %w", err)
		}
		for _, r := range rows {
			spaces = append(spaces, meeting.Space{ID: r.SpaceID, Name: r.Name, Owner: r.Owner})
		}
		if len(rows) < snapshotPage {
			break
		}
		after = rows[len(rows)-1].SpaceID
	}
	var devices []meeting.Device
	for after := ""; ; {
		rows, err := tx.DevicesAt(ctx, db.DevicesAtParams{AccountID: account, Version: version, After: after, Page: snapshotPage})
		if err != nil {
			return nil, fmt.Errorf("devices: %w", err)
		}
		for _, r := range rows {
			devices = append(devices, meeting.Device{Party: r.Device, Owner: r.Owner})
		}
		if len(rows) < snapshotPage {
			break
		}
		after = rows[len(rows)-1].Device
	}
	s.directory = meeting.NewDirectory(version, users, spaces, devices)
	return s, nil
}

// snapshotPage is how many rows are read at once: few statements, and bounded memory for each.
const snapshotPage = 5000
