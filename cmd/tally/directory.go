package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

// maxDirectory is the most bytes of a directory file that are read.
const maxDirectory = 16 << 20

type directoryImportCmd struct {
	File string `arg:"" help:"Directory file; - reads standard input."`
	Yes  bool   `help:"Import it even if it takes much away." env:"-"`
}

// Run replaces what files say.
func (c directoryImportCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	doc, err := s.read("directory file", c.File, maxDirectory)
	if err != nil {
		return err
	}
	take := r.ImportDirectory
	if c.Yes {
		take = r.ReplaceDirectory
	}
	d, err := take(ctx, account, doc)
	if err != nil {
		return err
	}
	return s.print(d, showDirectory(d))
}

type directoryShowCmd struct {
	Users   bool `xor:"what" env:"-" help:"The users with their licenses, and who says so."`
	Spaces  bool `xor:"what" env:"-" help:"The spaces with their owners."`
	Clashes bool `xor:"what" env:"-" help:"Contradictions within and between the sources."`
	Sources bool `xor:"what" env:"-" help:"What the directory is made of."`
	CSV     bool `name:"csv" env:"-" help:"Print CSV."`
}

// Run shows the directory in force, or a part of it.
func (c directoryShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	switch {
	case c.Users:
		all, err := gather(s, "users", r.DirectoryUsers(ctx, account))
		if err != nil {
			return err
		}
		return c.show(s, "jid | name | userId | email | guid | personalLicense | decidedBy | sources", "there are no users", len(all), all, func(i int) []any {
			p := all[i]
			return []any{p.JID, p.Name, p.UserID, p.Email, p.GUID, p.PersonalLicense, decidedBy(p), strings.Join(p.Sources, ", ")}
		})
	case c.Spaces:
		all, err := gather(s, "spaces", r.DirectorySpaces(ctx, account))
		if err != nil {
			return err
		}
		return c.show(s, "id | name | owner | ownerIs | namedBy | bridges | seenAt", "there are no spaces", len(all), all, func(i int) []any {
			p := all[i]
			return []any{p.ID, p.Name, p.Owner, ownerIs(p), p.NamedBy, strings.Join(p.Bridges, ", "), p.SeenAt}
		})
	case c.Clashes:
		all, err := gather(s, "clashes", r.DirectoryClashes(ctx, account))
		if err != nil {
			return err
		}
		return c.show(s, "code | clash", "the sources agree", len(all), all, func(i int) []any { return []any{all[i].Code, all[i].Text} })
	case c.Sources:
		all, err := gather(s, "sources", r.DirectorySources(ctx, account))
		if err != nil {
			return err
		}
		return c.show(s, "kind | name | users | spaces | changed | held", "there are no sources", len(all), all, func(i int) []any {
			d := all[i]
			return []any{d.Kind, d.Name, d.Users, d.Spaces, d.AcceptedAt, d.Held}
		})
	}
	d, err := r.DirectorySummary(ctx, account)
	if err != nil {
		return err
	}
	return s.print(d, showDirectory(d))
}

// decidedBy words who says whether a user holds a personal license.
func decidedBy(p api.DirectoryPerson) string {
	switch p.Level {
	case "":
		return ""
	case "source":
		return p.By
	}
	return "default of the " + p.Level
}

// ownerIs words what the owner of a space comes to.
func ownerIs(p api.KnownSpace) string {
	switch {
	case p.Owner == "":
		return "nobody"
	case p.JID == "":
		return "not among the users"
	case p.PersonalLicense:
		return "with a personal license"
	}
	return "without a personal license"
}

func (c directoryShowCmd) show(s *shell, columns, nothing string, n int, doc any, row func(i int) []any) error {
	return s.rows(c.CSV, columns, nothing, n, doc, row)
}

// rows prints n rows as a table, as CSV in which no cell is a formula, or as the documented list.
func (s *shell) rows(csv bool, columns, nothing string, n int, doc any, row func(i int) []any) error {
	if csv {
		report := license.Report{Columns: strings.Split(columns, " | ")}
		for i := range n {
			report.Rows = append(report.Rows, row(i))
		}
		return report.WriteCSV(s.stdout)
	}
	if n == 0 {
		doc = []any{}
	}
	return s.print(struct {
		Items any `json:"items"`
	}{doc}, func(w io.Writer) {
		if n == 0 {
			fmt.Fprintln(s.stderr, nothing)
			return
		}
		t := newTable(w, columns)
		for i := range n {
			t.row(row(i)...)
		}
		t.end()
	})
}

func showDirectory(d api.DirectorySummary) func(io.Writer) {
	return func(w io.Writer) {
		if d.Unchanged {
			fmt.Fprintln(w, "The directory in force stays as it was.")
		}
		if d.Version == 0 {
			fmt.Fprintln(w, "The directory is empty: `tally conference ldap add NAME`, `directory import FILE` or `bridge api BRIDGE` fills it.")
		}
		fields(w, "Version", d.Version, "Imported", d.ImportedAt, "Users", d.Users, "With a personal license", d.Personal, "Spaces", d.Spaces, "Devices", d.Devices)
		if d.UsersGone+d.SpacesGone > 0 {
			fmt.Fprintf(w, "Gone since the version before: %s and %s. Import the earlier file again if that was a mistake.\n",
				counted(d.UsersGone, "user", "users"), counted(d.SpacesGone, "space", "spaces"))
		}
		if d.UnknownOwners > 0 {
			fmt.Fprintf(w, "Warning: %s an owner who is not among the users, and so takes shared licenses.\n", counted(d.UnknownOwners, "space has", "spaces have"))
		}
	}
}

type directoryChangesCmd struct {
	periodFlags
	CSV bool `name:"csv" env:"-" help:"Print CSV."`
}

// Run prints the calendar of changes.
func (c directoryChangesCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "changes", r.DirectoryChanges(ctx, account, c.From.Time, c.To.Time))
	if err != nil {
		return err
	}
	return s.rows(c.CSV, "day | what | jid | name | source | by | version", "nobody appeared, disappeared, gained or lost a license", len(all), all, func(i int) []any {
		d := all[i]
		return []any{d.Day, d.What, d.JID, d.Name, d.Source, d.By, d.Version}
	})
}

type directoryDefaultCmd struct {
	Personal string `arg:"" optional:"" help:"yes, no or inherit; left out, the defaults are listed."`
	Tenant   string `env:"-" help:"Of this tenant; of the whole system when left out." placeholder:"NAME"`
	Yes      bool   `help:"Set it even if many lose their license." env:"-"`
}

// Run sets or lists what holds where a source says nothing of personal licenses.
func (c directoryDefaultCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	if c.Personal == "" {
		all, err := gather(s, "defaults", r.DirectoryDefaults(ctx, account))
		if err != nil {
			return err
		}
		return printList(s, all, "there are no defaults", "tenant | set | in force", func(d api.DirectoryDefault) []any {
			tenant, set := cmp.Or(d.Tenant, "(the system)"), d.Personal
			if set == "inherit" {
				set = "" // nothing
			}
			return []any{tenant, set, d.InForce}
		})
	}
	d, err := r.SetDirectoryDefault(ctx, account, api.DirectoryDefault{Tenant: c.Tenant, Personal: c.Personal}, c.Yes)
	if err != nil {
		return err
	}
	return s.print(d, showDirectory(d))
}
