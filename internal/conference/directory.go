package conference

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// MaxDirectory is the largest directory file, in bytes.
const MaxDirectory = 16 << 20

const maxDirectoryText = 1024 // bytes of one value

// DirectorySummary says what a version of the directory holds.
type DirectorySummary struct {
	Version    int64     `json:"version"` // 0 before the first import
	ImportedAt time.Time `json:"importedAt,omitzero"`
	ImportedBy string    `json:"importedBy,omitempty"`
	Users      int64     `json:"users"`
	Spaces     int64     `json:"spaces"`
	Personal   int64     `json:"personal"` // users who hold a personal license
	// The rest is told by an import only.
	Unchanged     bool  `json:"unchanged,omitempty"`     // the file said what was known; no new version
	UnknownOwners int64 `json:"unknownOwners,omitempty"` // spaces whose owner is not among the users
	UsersGone     int64 `json:"usersGone,omitempty"`     // users of the version before that are missing now
	SpacesGone    int64 `json:"spacesGone,omitempty"`    // spaces of the version before that are missing now
}

// file is the whole state that a directory file gives, by lower-case JID and space identifier.
type file struct {
	users  map[string]db.DirectoryUser
	spaces map[string]db.DirectorySpace
}

// parseDirectory reads a directory file strictly. Refusals name what is wrong.
func parseDirectory(doc []byte) (file, error) {
	f := file{users: map[string]db.DirectoryUser{}, spaces: map[string]db.DirectorySpace{}}
	if len(doc) > MaxDirectory {
		return f, license.Refuse(license.KindTooLarge, "directory-too-large", "a directory file has at most 16 MiB",
			"the directory file has %d bytes, more than %d", len(doc), MaxDirectory)
	}
	var in struct {
		Users []struct {
			JID             string `json:"jid"`
			GUID            string `json:"guid"`
			Email           string `json:"email"`
			PersonalLicense bool   `json:"personalLicense"`
		} `json:"users"`
		Spaces []struct {
			ID    string `json:"id"`
			Name  string `json:"name"`
			Owner string `json:"owner"`
		} `json:"spaces"`
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return f, badDirectory("it is not the expected JSON: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return f, badDirectory("something follows the JSON document, at byte %d", d.InputOffset())
	}
	if in.Users == nil && in.Spaces == nil {
		return f, badDirectory("it has neither users nor spaces; write empty lists if everybody is gone")
	}
	for i, u := range in.Users {
		jid, err := key("users", i, "jid", u.JID)
		if err != nil {
			return f, err
		}
		if _, twice := f.users[jid]; twice {
			return f, badDirectory("the user %s is listed twice", jid)
		}
		if err := texts("users", i, u.GUID, u.Email); err != nil {
			return f, err
		}
		f.users[jid] = db.DirectoryUser{Jid: jid, Guid: fold(u.GUID), Email: strings.TrimSpace(u.Email), Personal: u.PersonalLicense}
	}
	for i, s := range in.Spaces {
		id, err := key("spaces", i, "id", s.ID)
		if err != nil {
			return f, err
		}
		if _, twice := f.spaces[id]; twice {
			return f, badDirectory("the space %s is listed twice", id)
		}
		if err := texts("spaces", i, s.Name, s.Owner); err != nil {
			return f, err
		}
		f.spaces[id] = db.DirectorySpace{SpaceID: id, Name: strings.TrimSpace(s.Name), Owner: fold(s.Owner)}
	}
	return f, nil
}

func badDirectory(message string, args ...any) error {
	return license.Refuse(license.KindInvalid, "bad-directory",
		`write {"users":[{"jid":"alice@acme.example","personalLicense":true}],"spaces":[{"id":"…","name":"…","owner":"alice@acme.example"}]}`,
		"the directory file is refused: "+message, args...)
}

// fold makes identifiers comparable.
func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func key(list string, i int, name, value string) (string, error) {
	value = fold(value)
	if value == "" {
		return "", badDirectory("%s[%d] has no %s", list, i, name)
	}
	return value, texts(list, i, value)
}

func texts(list string, i int, values ...string) error {
	for _, v := range values {
		if len(v) > maxDirectoryText || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return badDirectory("%s[%d] has a value that is no text of at most %d bytes", list, i, maxDirectoryText)
		}
	}
	return nil
}

// ImportDirectory makes a directory file the directory in force: who is missing in it is gone from then on. Meetings that
// began before keep what was in force then. The same content again changes nothing. An owner who is not among the users
// is accepted and counted. Errors: a license.Error of kind invalid, too large, or refused while the engine is not enabled.
func (e *Engine) ImportDirectory(ctx context.Context, who, account string, doc []byte) (DirectorySummary, error) {
	f, err := parseDirectory(doc)
	if err != nil {
		return DirectorySummary{}, err
	}
	var sum DirectorySummary
	err = e.store.Update(ctx, "import directory", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		conf, err := tx.LockConference(ctx, account)
		if errors.Is(err, store.ErrNoRow) {
			return notEnabled()
		}
		if err != nil {
			return fmt.Errorf("lock conference of %s: %w", account, err)
		}
		ch := change{account: account, version: conf.DirectoryVersion + 1}
		if err := ch.users(ctx, tx, f); err != nil {
			return err
		}
		if err := ch.spaces(ctx, tx, f); err != nil {
			return err
		}
		sum = f.summary()
		if ch.nothing() && conf.DirectoryVersion > 0 {
			row, err := tx.DirectoryVersion(ctx, db.DirectoryVersionParams{AccountID: account, Version: conf.DirectoryVersion})
			sum.Version, sum.ImportedAt, sum.ImportedBy, sum.Unchanged = row.Version, store.At(row.ImportedAt), row.ImportedBy, true
			return err
		}
		sum.Version, sum.ImportedAt, sum.ImportedBy = ch.version, tx.Now(), who
		sum.UsersGone, sum.SpacesGone = ch.gone(f)
		if err := ch.write(ctx, tx, sum); err != nil {
			return err
		}
		_, err = chain.Record(ctx, who, "directory.imported", fmt.Sprintf("directory %d", ch.version), sum)
		return err
	})
	if err != nil {
		return DirectorySummary{}, outcome("import directory", err)
	}
	e.use(account)
	return sum, nil
}

func notEnabled() error {
	return license.Refuse(license.KindRefused, "conference-not-enabled", "enable it first: tally conference enable",
		"the conference engine is not enabled in this account")
}

func (f file) summary() DirectorySummary {
	sum := DirectorySummary{Users: int64(len(f.users)), Spaces: int64(len(f.spaces))}
	for _, u := range f.users {
		if u.Personal {
			sum.Personal++
		}
	}
	for _, s := range f.spaces {
		if _, known := f.users[s.Owner]; s.Owner != "" && !known {
			sum.UnknownOwners++
		}
	}
	return sum
}

// change is the difference between the directory in force and the next version.
type change struct {
	account               string
	version               int64
	goneUsers, goneSpaces []string
	newUsers              []db.DirectoryUser
	newSpaces             []db.DirectorySpace
}

func (ch *change) nothing() bool {
	return len(ch.goneUsers)+len(ch.goneSpaces)+len(ch.newUsers)+len(ch.newSpaces) == 0
}

// gone counts what was known and is missing in the file; what only changed is in both.
func (ch *change) gone(f file) (users, spaces int64) {
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

func (ch *change) users(ctx context.Context, tx *store.Tx, f file) error {
	same := map[string]bool{}
	for after := ""; ; {
		rows, err := tx.DirectoryUsers(ctx, db.DirectoryUsersParams{AccountID: ch.account, After: after, Page: page})
		if err != nil {
			return fmt.Errorf("read directory users: %w", err)
		}
		for _, r := range rows {
			u, still := f.users[r.Jid]
			if still && u.Guid == r.Guid && u.Email == r.Email && u.Personal == r.Personal {
				same[r.Jid] = true
			} else {
				ch.goneUsers = append(ch.goneUsers, r.Jid)
			}
		}
		if len(rows) < page {
			break
		}
		after = rows[len(rows)-1].Jid
	}
	for jid, u := range f.users {
		if !same[jid] {
			u.AccountID, u.FromVersion = ch.account, ch.version
			ch.newUsers = append(ch.newUsers, u)
		}
	}
	return nil
}

func (ch *change) spaces(ctx context.Context, tx *store.Tx, f file) error {
	same := map[string]bool{}
	for after := ""; ; {
		rows, err := tx.DirectorySpaces(ctx, db.DirectorySpacesParams{AccountID: ch.account, After: after, Page: page})
		if err != nil {
			return fmt.Errorf("read directory spaces: %w", err)
		}
		for _, r := range rows {
			s, still := f.spaces[r.SpaceID]
			if still && s.Name == r.Name && s.Owner == r.Owner {
				same[r.SpaceID] = true
			} else {
				ch.goneSpaces = append(ch.goneSpaces, r.SpaceID)
			}
		}
		if len(rows) < page {
			break
		}
		after = rows[len(rows)-1].SpaceID
	}
	for id, s := range f.spaces {
		if !same[id] {
			s.AccountID, s.FromVersion = ch.account, ch.version
			ch.newSpaces = append(ch.newSpaces, s)
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
	if err := tx.InsertDirectoryUsers(ctx, ch.newUsers); err != nil {
		return fmt.Errorf("add directory users: %w", err)
	}
	if err := tx.InsertDirectorySpaces(ctx, ch.newSpaces); err != nil {
		return fmt.Errorf("add directory spaces: %w", err)
	}
	if err := tx.InsertDirectoryVersion(ctx, db.InsertDirectoryVersionParams{
		AccountID: ch.account, Version: ch.version, ImportedAt: store.Ms(sum.ImportedAt), ImportedBy: sum.ImportedBy,
		Users: sum.Users, Spaces: sum.Spaces, Personal: sum.Personal,
	}); err != nil {
		return fmt.Errorf("add directory version: %w", err)
	}
	n, err := tx.SetDirectoryVersion(ctx, db.SetDirectoryVersionParams{Version: ch.version, AccountID: ch.account, Before: ch.version - 1})
	if err == nil && n != 1 {
		err = errors.New("its row is locked and has moved")
	}
	if err != nil {
		return fmt.Errorf("put directory in force: %w", err)
	}
	return nil
}

// Directory says what the directory in force holds; its version is 0 before the first import.
func (e *Engine) Directory(ctx context.Context, account string) (DirectorySummary, error) {
	var sum DirectorySummary
	err := e.store.View(ctx, func(tx *store.Tx) error {
		conf, err := tx.Conference(ctx, account)
		if errors.Is(err, store.ErrNoRow) || err == nil && conf.DirectoryVersion == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read conference of %s: %w", account, err)
		}
		row, err := tx.DirectoryVersion(ctx, db.DirectoryVersionParams{AccountID: account, Version: conf.DirectoryVersion})
		sum = DirectorySummary{Version: row.Version, ImportedAt: store.At(row.ImportedAt), ImportedBy: row.ImportedBy,
			Users: row.Users, Spaces: row.Spaces, Personal: row.Personal}
		return err
	})
	return sum, outcome("read directory", err)
}

// ownerKey asks what a version of the directory says of a space; the answer never changes.
type ownerKey struct {
	account string
	version int64
	space   string
}

// ownerAnswer is a space and its owner as the directory had them.
type ownerAnswer struct {
	space      meeting.Space
	owner      meeting.User
	hasSpace   bool
	ownerKnown bool
}

const maxOwners = 50_000

// owners answers for the meetings of one flush.
type owners map[ownerKey]ownerAnswer

// of returns the directory that a meeting is bound to.
func (o owners) of(account string, v *view) meeting.Directory {
	k := ownerKey{account, v.row.DirectoryVersion, strings.ToLower(v.conf.Space)}
	return bound{k.version, o[k]}
}

// bound is one version of the directory, as far as one meeting asks for it.
type bound struct {
	version int64
	answer  ownerAnswer
}

// Space implements meeting.Directory.
func (b bound) Space(id string) (meeting.Space, bool) {
	return b.answer.space, b.answer.hasSpace && b.answer.space.ID == id
}

// User implements meeting.Directory.
func (b bound) User(jid string) (meeting.User, bool) {
	return b.answer.owner, b.answer.ownerKnown && b.answer.owner.JID == jid
}

// Version implements meeting.Directory.
func (b bound) Version() int64 { return b.version }

// ownersOf asks the directory about the spaces of meetings, from memory as far as it was asked before.
func (e *Engine) ownersOf(ctx context.Context, account string, views []view) (owners, error) {
	out := owners{}
	var missing []ownerKey
	e.mu.Lock()
	for i := range views {
		k := ownerKey{account, views[i].row.DirectoryVersion, strings.ToLower(views[i].conf.Space)}
		if _, have := out[k]; have || k.space == "" || k.version == 0 {
			continue
		}
		answer, known := e.owners[k]
		out[k] = answer
		if !known {
			missing = append(missing, k)
		}
	}
	e.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	err := e.store.View(ctx, func(tx *store.Tx) error {
		for _, k := range missing {
			answer, err := lookUpOwner(ctx, tx, k)
			if err != nil {
				return fmt.Errorf("look up space %s: %w", k.space, err)
			}
			out[k] = answer
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.owners) > maxOwners {
		clear(e.owners)
	}
	for _, k := range missing {
		e.owners[k] = out[k]
	}
	return out, nil
}

func lookUpOwner(ctx context.Context, tx *store.Tx, k ownerKey) (ownerAnswer, error) {
	var a ownerAnswer
	space, err := tx.SpaceAt(ctx, db.SpaceAtParams{AccountID: k.account, SpaceID: k.space, Version: k.version})
	if errors.Is(err, store.ErrNoRow) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	a.space, a.hasSpace = meeting.Space{ID: space.SpaceID, Name: space.Name, Owner: space.Owner}, true
	user, err := tx.UserAt(ctx, db.UserAtParams{AccountID: k.account, Jid: space.Owner, Version: k.version})
	if errors.Is(err, store.ErrNoRow) {
		return a, nil
	}
	a.owner, a.ownerKnown = meeting.User{JID: user.Jid, GUID: user.Guid, Email: user.Email, Personal: user.Personal}, true
	return a, err
}
