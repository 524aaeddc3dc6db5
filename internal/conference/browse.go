package conference

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// SourceInfo is a source of the directory: what of it is in force, whether something of it waits for a person, and what became of
// its last reading.
type SourceInfo struct {
	Kind       directory.Kind
	ID         string
	Name       string
	Tenant     string
	Personal   directory.Flag
	Users      int64
	Spaces     int64
	AcceptedAt time.Time
	AcceptedBy string
	Held       *Run // the reading that waits for a person; nil for none
	Last       *Run
}

// Sources lists what the directory is made of, those with LDAP that were never read too.
func (e *Engine) Sources(ctx context.Context, account string) ([]SourceInfo, error) {
	var out []SourceInfo
	err := e.store.View(ctx, func(tx *store.Tx) error {
		out = []SourceInfo{}
		rows, err := tx.DirectorySources(ctx, account)
		if err != nil {
			return err
		}
		for _, r := range rows {
			out = append(out, SourceInfo{Kind: directory.Kind(r.Kind), ID: r.SourceID, Name: cmp.Or(r.Name, r.Kind), Tenant: r.Tenant, Personal: directory.Flag(r.Personal),
				Users: r.Users, Spaces: r.Spaces, AcceptedAt: store.At(r.AcceptedAt), AcceptedBy: r.AcceptedBy})
		}
		unread, err := tx.LdapSources(ctx, account)
		if err != nil {
			return err
		}
		for _, r := range unread {
			if !slices.ContainsFunc(out, func(s SourceInfo) bool { return s.ID == r.SourceID }) {
				var settings LDAPSettings
				err = errors.Join(err, unmarshal(r.Settings, &settings))
				out = append(out, SourceInfo{Kind: directory.LDAP, ID: r.SourceID, Name: r.Name, Tenant: settings.Tenant, Personal: settings.Personal})
			}
		}
		return errors.Join(err, addRuns(ctx, tx, account, out))
	})
	return out, outcome("list directory sources", err)
}

// addRuns says of each source what became of its last reading.
func addRuns(ctx context.Context, tx *store.Tx, account string, sources []SourceInfo) error {
	held, err := tx.HeldSources(ctx, account)
	if err != nil {
		return fmt.Errorf("read held sources: %w", err)
	}
	for i := range sources {
		s := &sources[i]
		for _, h := range held {
			if h.Kind == string(s.Kind) && h.SourceID == s.ID {
				run, err := readRun(ctx, tx, account, h.RunID)
				if err != nil {
					return fmt.Errorf("read held run: %w", err)
				}
				s.Held = &run
			}
		}
		row, err := tx.LastDirectoryRun(ctx, db.LastDirectoryRunParams{AccountID: account, Kind: string(s.Kind), SourceID: s.ID})
		if errors.Is(err, store.ErrNoRow) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read last run: %w", err)
		}
		last, err := runOf(row)
		if err != nil {
			return err
		}
		s.Last = &last
	}
	return nil
}

// Merged is the directory in force with what each of its users is known from, and the clashes of and between its sources.
func (e *Engine) Merged(ctx context.Context, account string) (directory.Merged, error) {
	var m directory.Merged
	err := e.store.View(ctx, func(tx *store.Tx) error {
		d, err := readDirectory(ctx, tx, account)
		if err != nil {
			return err
		}
		m = directory.Merge(d.sources, d.defaults)
		for _, r := range d.rows {
			var within []directory.Clash
			if err := json.Unmarshal([]byte(r.Clashes), &within); err != nil {
				return fmt.Errorf("read clashes of %s: %w", r.SourceID, err)
			}
			m.Clashes = append(m.Clashes, within...)
		}
		return nil
	})
	return m, outcome("read directory", err)
}

// The kinds of change that the calendar has.
const (
	Appeared    = "appeared"
	Disappeared = "disappeared"
	Gained      = "gained" // a personal license
	Lost        = "lost"
)

// DirectoryChange is what a version of the directory changed for one user.
type DirectoryChange struct {
	At      time.Time
	Version int64
	By      string // who imported or accepted it
	Source  string // that it came from, where that is known
	JID     string
	Name    string
	What    string
}

// Changes is the calendar of the directory: who appeared, disappeared, gained or lost a personal license, in the order of time, from
// a moment until before another.
func (e *Engine) Changes(ctx context.Context, account string, from, to time.Time) ([]DirectoryChange, error) {
	var out []DirectoryChange
	err := e.store.View(ctx, func(tx *store.Tx) error {
		out = []DirectoryChange{}
		versions, err := tx.VersionsBetween(ctx, db.VersionsBetweenParams{AccountID: account, FromAt: store.Ms(from), ToAt: store.Ms(to)})
		if err != nil || len(versions) == 0 {
			return err
		}
		low, high := versions[0].Version, versions[len(versions)-1].Version
		begun, err := tx.UsersBegun(ctx, db.UsersBegunParams{AccountID: account, Low: low, High: high})
		if err != nil {
			return err
		}
		ended, err := tx.UsersEnded(ctx, db.UsersEndedParams{AccountID: account, Low: low, High: high})
		if err != nil {
			return err
		}
		runs, err := tx.RunsOfVersions(ctx, db.RunsOfVersionsParams{AccountID: account, Low: low, High: high})
		if err != nil {
			return err
		}
		stamp := map[int64]DirectoryChange{}
		for _, v := range versions {
			stamp[v.Version] = DirectoryChange{At: store.At(v.ImportedAt), Version: v.Version, By: v.ImportedBy}
		}
		for _, r := range runs {
			s := stamp[r.Version]
			s.Source = strings.TrimSpace(r.Kind + " " + r.Name)
			stamp[r.Version] = s
		}
		out = calendar(stamp, begun, ended)
		return nil
	})
	return out, outcome("read changes of the directory", err)
}

// calendar compares the rows that versions began with those that they ended.
func calendar(stamp map[int64]DirectoryChange, begun []db.UsersBegunRow, ended []db.UsersEndedRow) []DirectoryChange {
	type place struct {
		version int64
		jid     string
	}
	before := map[place]db.UsersEndedRow{}
	for _, r := range ended {
		before[place{r.ToVersion, r.Jid}] = r
	}
	out := []DirectoryChange{}
	add := func(at place, name, what string) {
		c := stamp[at.version]
		c.JID, c.Name, c.What = at.jid, name, what
		out = append(out, c)
	}
	for _, r := range begun {
		at := place{r.FromVersion, r.Jid}
		old, known := before[at]
		delete(before, at)
		if !known {
			add(at, r.Name, Appeared)
		}
		switch {
		case r.Personal && !old.Personal:
			add(at, r.Name, Gained)
		case !r.Personal && old.Personal:
			add(at, r.Name, Lost)
		}
	}
	for at, old := range before {
		add(at, old.Name, Disappeared)
		if old.Personal {
			add(at, old.Name, Lost)
		}
	}
	slices.SortFunc(out, func(a, b DirectoryChange) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.JID, b.JID), cmp.Compare(a.What, b.What))
	})
	return out
}
