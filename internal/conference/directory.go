package conference

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// MaxDirectory is the largest directory file, in bytes.
const MaxDirectory = 16 << 20

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

// parseDirectory reads a directory file strictly. Refusals name what is wrong and, where it is one entry, its line.
func parseDirectory(doc []byte) (directory.Source, error) {
	f := directory.Source{Kind: directory.File}
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
			PersonalLicense *bool  `json:"personalLicense"`
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
		return f, badDirectory("it is not the expected JSON: %s", wrongJSON(doc, err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return f, badDirectory("something follows the JSON document, at byte %d", d.InputOffset())
	}
	if in.Users == nil && in.Spaces == nil {
		return f, badDirectory("it has neither users nor spaces; write empty lists if everybody is gone")
	}
	r := fileReader{doc: doc, seen: map[string]bool{}}
	for i, u := range in.Users {
		user := directory.User{JID: r.key("users", i, "jid", u.JID), GUID: directory.Fold(u.GUID), UserID: strings.TrimSpace(u.UserID),
			Email: strings.TrimSpace(u.Email), Name: strings.TrimSpace(u.Name)}
		if wrong := directory.CheckJID(user.JID); wrong != "" {
			r.refuse("users", i, "the jid %q is none: %s; write it like alice@acme.example", u.JID, wrong)
		}
		r.texts("users", i, u.GUID, u.UserID, u.Email, u.Name)
		if u.PersonalLicense != nil {
			user.Personal = directory.FlagOf(*u.PersonalLicense)
		}
		f.Users = append(f.Users, user)
	}
	for i, s := range in.Spaces {
		r.texts("spaces", i, s.Name, s.Owner)
		f.Spaces = append(f.Spaces, directory.Space{ID: r.key("spaces", i, "id", s.ID), Name: strings.TrimSpace(s.Name), Owner: directory.Fold(s.Owner)})
	}
	for i, v := range in.Devices {
		r.texts("devices", i, v.Owner)
		if strings.TrimSpace(v.Owner) == "" {
			r.refuse("devices", i, "it has no owner")
		}
		f.Devices = append(f.Devices, directory.Device{Party: r.key("devices", i, "device", meeting.Party(v.Device)), Owner: directory.Fold(v.Owner)})
	}
	return f, r.err
}

func badDirectory(message string, args ...any) error {
	return license.Refuse(license.KindInvalid, "bad-directory",
		`write {"users":[{"jid":"alice@acme.example","personalLicense":true}],"spaces":[{"id":"…","name":"…","owner":"alice@acme.example"}]}`,
		"the directory file is refused: "+message, args...)
}

// wrongJSON words why a document was not read, with the line where that is known.
func wrongJSON(doc []byte, err error) string {
	at, text := int64(-1), strings.TrimPrefix(err.Error(), "json: ")
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = e.Offset
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		at, text = e.Offset, fmt.Sprintf("%s cannot be a %s", cmp.Or(e.Field, "the document"), e.Value)
	}
	if at < 0 {
		return text
	}
	return fmt.Sprintf("line %d, %s", 1+bytes.Count(doc[:min(at, int64(len(doc)))], []byte{'\n'}), text)
}

// fileReader checks the entries of a directory file and keeps the first refusal.
type fileReader struct {
	doc  []byte
	seen map[string]bool // list and key
	err  error
}

func (r *fileReader) refuse(list string, i int, message string, args ...any) {
	if r.err == nil {
		r.err = badDirectory("line %d, %s[%d]: "+message, append([]any{lineOf(r.doc, list, i), list, i}, args...)...)
	}
}

// key is an identifier as it is compared; there is one, and none twice.
func (r *fileReader) key(list string, i int, name, value string) string {
	value = directory.Fold(value)
	switch {
	case value == "":
		r.refuse(list, i, "it has no %s", name)
	case r.seen[list+" "+value]:
		r.refuse(list, i, "%.100q is listed twice", value)
	}
	r.seen[list+" "+value] = true
	r.texts(list, i, value)
	return value
}

func (r *fileReader) texts(list string, i int, values ...string) {
	for _, v := range values {
		if len(v) > directory.MaxValue || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			r.refuse(list, i, "it has a value that is no text of at most %d bytes", directory.MaxValue)
		}
	}
}

// lineOf finds the line on which an entry of a list of a directory file begins.
func lineOf(doc []byte, list string, i int) int {
	d := json.NewDecoder(bytes.NewReader(doc))
	depth, name, n := 0, "", -1
	for {
		at := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			return 1
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if depth == 2 && name == list {
				if n++; n == i {
					end := int(at)
					for end < len(doc) && strings.ContainsRune(" \t\r\n,", rune(doc[end])) {
						end++
					}
					return 1 + bytes.Count(doc[:end], []byte{'\n'})
				}
			}
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		default:
			if key, ok := token.(string); ok && depth == 1 {
				name = key
			}
		}
	}
}

// fileBrake lets a file that takes away a few pass without asking, whatever part of the whole they are: a person wrote it.
const fileBrake = 10

// ImportDirectory makes a directory file the new whole state of what files say: who is missing in it is gone from then on, unless
// another source of the directory knows them. Meetings that began before keep what was in force then. The same content again changes
// nothing. An owner who is not among the users is accepted and counted. Errors: a license.Error of kind invalid, too large, refused
// while the engine is not enabled, or refused because ten users or licenses and more than a tenth would be taken away: then
// ReplaceDirectory does it.
func (e *Engine) ImportDirectory(ctx context.Context, who, account string, doc []byte) (DirectorySummary, error) {
	return e.importFile(ctx, who, account, doc, false)
}

// ReplaceDirectory is ImportDirectory for a file that takes away much, on purpose.
func (e *Engine) ReplaceDirectory(ctx context.Context, who, account string, doc []byte) (DirectorySummary, error) {
	return e.importFile(ctx, who, account, doc, true)
}

func (e *Engine) importFile(ctx context.Context, who, account string, doc []byte, agreed bool) (DirectorySummary, error) {
	f, err := parseDirectory(doc)
	if err != nil {
		return DirectorySummary{}, err
	}
	_, sum, err := e.put(ctx, who, account, sourcePut{source: f, limits: directory.Limits{AtLeast: fileBrake}, agreed: agreed})
	return sum, err
}

// massChange refuses what takes away so much that it may be a mistake.
func massChange(what string, reasons []directory.Reason) error {
	var lines []string
	for _, r := range reasons {
		lines = append(lines, r.Text())
	}
	return license.Refuse(license.KindRefused, "mass-change", "if that is meant, repeat it with --yes (accept=true)", "%s takes away much: %s; nothing was changed", what, strings.Join(lines, ", "))
}

// fold makes identifiers comparable.
func fold(s string) string { return directory.Fold(s) }

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
