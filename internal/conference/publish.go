package conference

import (
	"context"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// publish makes a whole directory the one in force from now on: a new version, with its event, if anything differs from the
// version before, else that one as it is. The caller holds the rows of the account and of its conference.
func publish(ctx context.Context, tx *store.Tx, chain *store.LockedAccount, conf db.Conference, who string, f content) (DirectorySummary, error) {
	ch := change{account: conf.AccountID, version: conf.DirectoryVersion + 1}
	for _, part := range []func(context.Context, *store.Tx, content) error{ch.users, ch.spaces, ch.devices} {
		if err := part(ctx, tx, f); err != nil {
			return DirectorySummary{}, err
		}
	}
	sum := f.summary()
	if ch.nothing() && conf.DirectoryVersion > 0 {
		row, err := tx.DirectoryVersion(ctx, db.DirectoryVersionParams{AccountID: conf.AccountID, Version: conf.DirectoryVersion})
		sum.Version, sum.ImportedAt, sum.ImportedBy, sum.Unchanged = row.Version, store.At(row.ImportedAt), row.ImportedBy, true
		return sum, err
	}
	sum.Version, sum.ImportedAt, sum.ImportedBy = ch.version, tx.Now(), who
	sum.UsersGone, sum.SpacesGone = ch.gone(f)
	if err := ch.write(ctx, tx, sum); err != nil {
		return sum, err
	}
	_, err := chain.Record(ctx, who, "directory.imported", fmt.Sprintf("directory %d", ch.version), sum)
	return sum, err
}

func (f content) summary() DirectorySummary {
	sum := DirectorySummary{Users: int64(len(f.users)), Spaces: int64(len(f.spaces)), Devices: int64(len(f.devices))}
	users := make([]meeting.User, 0, len(f.users))
	for _, u := range f.users {
		if u.Personal {
			sum.Personal++
		}
		users = append(users, meeting.User{JID: u.Jid, GUID: u.Guid})
	}
	known := meeting.NewDirectory(0, users, nil, nil)
	for _, s := range f.spaces {
		if _, ok := known.Owner(s.Owner); !ok && s.Owner != "" {
			sum.UnknownOwners++
		}
	}
	return sum
}

// change is the difference between the directory in force and the next version.
type change struct {
	account                            string
	version                            int64
	goneUsers, goneSpaces, goneDevices []string
	newUsers                           []db.DirectoryUser
	newSpaces                          []db.DirectorySpace
	newDevices                         []db.DirectoryDevice
}

func (ch *change) nothing() bool {
	return len(ch.goneUsers)+len(ch.goneSpaces)+len(ch.goneDevices)+len(ch.newUsers)+len(ch.newSpaces)+len(ch.newDevices) == 0
}

// gone counts what was known and is missing in the file; what only changed is in both.
func (ch *change) gone(f content) (users, spaces int64) {
	for _, jid := range ch.goneUsers {
		if _, still := f.users[jid]; !still {
			users++
		}
	}
	for _, id := range ch.goneSpaces {
		if _, still := f.spaces[id]; !still {
			spaces++
		}
	}
	return users, spaces
}

func (ch *change) users(ctx context.Context, tx *store.Tx, f content) error {
	return differ(f.users, &ch.goneUsers, &ch.newUsers, func(after string) ([]db.DirectoryUsersRow, error) {
		return tx.DirectoryUsers(ctx, db.DirectoryUsersParams{AccountID: ch.account, After: after, Page: page})
	}, func(r db.DirectoryUsersRow) (string, db.DirectoryUser) {
		return r.Jid, db.DirectoryUser{Jid: r.Jid, Guid: r.Guid, Email: r.Email, Personal: r.Personal, UserID: r.UserID, Name: r.Name}
	}, func(u *db.DirectoryUser) { u.AccountID, u.FromVersion = ch.account, ch.version })
}

func (ch *change) spaces(ctx context.Context, tx *store.Tx, f content) error {
	return differ(f.spaces, &ch.goneSpaces, &ch.newSpaces, func(after string) ([]db.DirectorySpacesRow, error) {
		return tx.DirectorySpaces(ctx, db.DirectorySpacesParams{AccountID: ch.account, After: after, Page: page})
	}, func(r db.DirectorySpacesRow) (string, db.DirectorySpace) {
		return r.SpaceID, db.DirectorySpace{SpaceID: r.SpaceID, Name: r.Name, Owner: r.Owner}
	}, func(s *db.DirectorySpace) { s.AccountID, s.FromVersion = ch.account, ch.version })
}

func (ch *change) devices(ctx context.Context, tx *store.Tx, f content) error {
	return differ(f.devices, &ch.goneDevices, &ch.newDevices, func(after string) ([]db.DirectoryDevicesRow, error) {
		return tx.DirectoryDevices(ctx, db.DirectoryDevicesParams{AccountID: ch.account, After: after, Page: page})
	}, func(r db.DirectoryDevicesRow) (string, db.DirectoryDevice) {
		return r.Device, db.DirectoryDevice{Device: r.Device, Owner: r.Owner}
	}, func(d *db.DirectoryDevice) { d.AccountID, d.FromVersion = ch.account, ch.version })
}

// differ compares what is stored, read page by page, with what is to be: gone gets the keys of rows that are no more or are another,
// fresh the values that are not stored like that, marked by adopt.
func differ[R any, V comparable](want map[string]V, gone *[]string, fresh *[]V, read func(after string) ([]R, error), stored func(R) (string, V), adopt func(*V)) error {
	same := map[string]bool{}
	for after, more := "", true; more; {
		rows, err := read(after)
		if err != nil {
			return fmt.Errorf("read directory: %w", err)
		}
		for _, r := range rows {
			key, v := stored(r)
			if after = key; want[key] == v {
				same[key] = true
			} else {
				*gone = append(*gone, key)
			}
		}
		more = len(rows) == page
	}
	for key, v := range want {
		if !same[key] {
			adopt(&v)
			*fresh = append(*fresh, v)
		}
	}
	return nil
}

// write ends the rows that are gone or changed, adds the new ones, and puts the version in force.
func (ch *change) write(ctx context.Context, tx *store.Tx, sum DirectorySummary) error {
	for _, jid := range ch.goneUsers {
		if err := tx.EndDirectoryUser(ctx, db.EndDirectoryUserParams{Version: ch.version, AccountID: ch.account, Jid: jid}); err != nil {
			return fmt.Errorf("end directory user: %w", err)
		}
	}
	for _, id := range ch.goneSpaces {
		if err := tx.EndDirectorySpace(ctx, db.EndDirectorySpaceParams{Version: ch.version, AccountID: ch.account, SpaceID: id}); err != nil {
			return fmt.Errorf("end directory space: %w", err)
		}
	}
	for _, device := range ch.goneDevices {
		if err := tx.EndDirectoryDevice(ctx, db.EndDirectoryDeviceParams{Version: ch.version, AccountID: ch.account, Device: device}); err != nil {
			return fmt.Errorf("end directory device: %w", err)
		}
	}
	if err := tx.InsertDirectoryUsers(ctx, ch.newUsers); err != nil {
		return fmt.Errorf("add directory users: %w", err)
	}
	if err := tx.InsertDirectorySpaces(ctx, ch.newSpaces); err != nil {
		return fmt.Errorf("add directory spaces: %w", err)
	}
	if err := tx.InsertDirectoryDevices(ctx, ch.newDevices); err != nil {
		return fmt.Errorf("add directory devices: %w", err)
	}
	return putVersion(ctx, tx, db.InsertDirectoryVersionParams{
		AccountID: ch.account, Version: ch.version, ImportedAt: store.Ms(sum.ImportedAt), ImportedBy: sum.ImportedBy,
		Users: sum.Users, Spaces: sum.Spaces, Personal: sum.Personal, Devices: sum.Devices,
	})
}

// putVersion puts the next version of an account's directory and policies in force. The caller holds the row of the conference.
func putVersion(ctx context.Context, tx *store.Tx, v db.InsertDirectoryVersionParams) error {
	if err := tx.InsertDirectoryVersion(ctx, v); err != nil {
		return fmt.Errorf("add directory version: %w", err)
	}
	n, err := tx.SetDirectoryVersion(ctx, db.SetDirectoryVersionParams{Version: v.Version, AccountID: v.AccountID, Before: v.Version - 1})
	if err == nil && n != 1 {
		err = errors.New("its row is locked and has moved")
	}
	if err != nil {
		return fmt.Errorf("put directory in force: %w", err)
	}
	return nil
}
