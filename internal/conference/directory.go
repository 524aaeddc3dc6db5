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
	Devices    int64     `json:"devices,omitempty"`
	Personal   int64     `json:"personal"` // users who hold a personal license
	// The rest is told by an import only.
	Unchanged     bool  `json:"unchanged,omitempty"`     // the file said what was known; no new version
	UnknownOwners int64 `json:"unknownOwners,omitempty"` // spaces whose owner is not among the users
	UsersGone     int64 `json:"usersGone,omitempty"`     // users of the version before that are missing now
	SpacesGone    int64 `json:"spacesGone,omitempty"`    // spaces of the version before that are missing now
}

// content is a whole directory, by lower-case JID, space identifier and meeting.Party.
type content struct {
	users   map[string]db.DirectoryUser
	spaces  map[string]db.DirectorySpace
	devices map[string]db.DirectoryDevice
}

// parseDirectory reads a directory file strictly. Refusals name what is wrong.
func parseDirectory(doc []byte) (content, error) {
	f := content{users: map[string]db.DirectoryUser{}, spaces: map[string]db.DirectorySpace{}, devices: map[string]db.DirectoryDevice{}}
	if len(doc) > MaxDirectory {
		return f, license.Refuse(license.KindTooLarge, "directory-too-large", "a directory file has at most 16 MiB",
			"the directory file has %d bytes, more than %d", len(doc), MaxDirectory)
	}
	var in struct {
		Users []struct {
			JID             string `json:"jid"`
			GUID            string `json:"guid"`
			UserID          string `json:"userId"`
			Email           string `json:"email"`
			Name            string `json:"name"`
			PersonalLicense bool   `json:"personalLicense"`
		} `json:"users"`
		Spaces []struct {
			ID    string `json:"id"`
			Name  string `json:"name"`
			Owner string `json:"owner"`
		} `json:"spaces"`
		Devices []struct {
			Device string `json:"device"`
			Owner  string `json:"owner"`
		} `json:"devices"`
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
		if err := texts("users", i, u.GUID, u.UserID, u.Email, u.Name); err != nil {
			return f, err
		}
		f.users[jid] = db.DirectoryUser{Jid: jid, Guid: fold(u.GUID), UserID: meeting.UserID(u.UserID), Email: strings.TrimSpace(u.Email),
			Name: strings.TrimSpace(u.Name), Personal: u.PersonalLicense}
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
	for i, v := range in.Devices {
		device, err := key("devices", i, "device", meeting.Party(v.Device))
		if err != nil {
			return f, err
		}
		if _, twice := f.devices[device]; twice {
			return f, badDirectory("the device %s is listed twice", device)
		}
		owner, err := key("devices", i, "owner", v.Owner)
		if err != nil {
			return f, err
		}
		f.devices[device] = db.DirectoryDevice{Device: device, Owner: owner}
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
		sum, err = publish(ctx, tx, chain, conf, who, f)
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
			Users: row.Users, Spaces: row.Spaces, Devices: row.Devices, Personal: row.Personal}
		return err
	})
	return sum, outcome("read directory", err)
}
