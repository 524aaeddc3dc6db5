package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

// The most bytes of a file with certificates, and of one with a password, that are read.
const (
	maxCA       = 64 << 10
	maxPassword = 4 << 10
)

// ldapFlags describe an LDAP source. They are no settings: several sources differ in them.
type ldapFlags struct {
	LDAP         *string `name:"ldap" env:"-" help:"Address of the directory server: ldaps://HOST[:PORT], or ldap://HOST[:PORT] with --start-tls." placeholder:"URL"`
	StartTLS     *bool   `name:"start-tls" env:"-" help:"Encrypt an ldap:// connection before anything is said."`
	CA           *string `name:"ca" env:"-" help:"PEM file with the certificates of the CA that the server's certificate comes from." placeholder:"FILE"`
	Fingerprint  *string `env:"-" help:"SHA-256 of the server's certificate, or of a CA's that it presents." placeholder:"HEX"`
	BindDN       *string `name:"bind-dn" env:"-" help:"Who signs in; nobody in particular when left out." placeholder:"DN"`
	PasswordFile string  `name:"password-file" env:"-" help:"File with the password of --bind-dn; - reads standard input." placeholder:"FILE"`
	Plaintext    *bool   `name:"plaintext-bind" env:"-" help:"Let the password go unencrypted to another machine."`
	BaseDN       *string `name:"base-dn" env:"-" help:"Where the tree begins, such as ou=people,dc=acme,dc=example." placeholder:"DN"`
	Filter       *string `env:"-" help:"Which entries, such as (&(memberOf=cn=sales,dc=acme,dc=example)(mail=*))." placeholder:"FILTER"`
	JID          string  `name:"jid" env:"-" help:"Expression of the JID, such as $$sAMAccountName$$@acme.example." placeholder:"EXPR"`
	FullName     string  `name:"name" env:"-" help:"Expression of the name, such as $$cn$$." placeholder:"EXPR"`
	UserID       string  `name:"user-id" env:"-" help:"Expression of the sign-in name, by which schedulers name people." placeholder:"EXPR"`
	Email        string  `env:"-" help:"Expression of the e-mail address; $$mail$$ when left out." placeholder:"EXPR"`
	CDRTag       string  `name:"cdr-tag" env:"-" help:"Expression of the tag on records." placeholder:"EXPR"`
	SpaceURI     string  `name:"space-uri" env:"-" help:"Expression of the address of the user's own space; looked at for clashes." placeholder:"EXPR"`
	SpaceURI2    string  `name:"space-secondary-uri" env:"-" help:"Expression of its second address." placeholder:"EXPR"`
	SpaceCallID  string  `name:"space-call-id" env:"-" help:"Expression of its call id." placeholder:"EXPR"`
	Tenant       *string `env:"-" help:"Tenant of the users." placeholder:"NAME"`
	Personal     *string `env:"-" help:"Whether the users hold a personal license: yes, no, or inherit from the tenant and the system." placeholder:"yes|no|inherit"`
	NoPaging     *bool   `name:"no-paging" env:"-" help:"For servers that do not know paged results."`
	Every        *string `env:"-" help:"How often it is read; 6h when left out, 0 for on demand only." placeholder:"6h"`
	MaxRemovals  *int    `name:"max-removals" env:"-" help:"Percent of the users that may go without asking; 10 when left out." placeholder:"N"`
	MaxReleases  *int    `name:"max-releases" env:"-" help:"Percent of all personal licenses that may be taken away without asking; 10 when left out." placeholder:"N"`
}

// document is the source as the REST resource takes it.
func (f ldapFlags) document(s *shell) (api.NewLDAPSource, error) {
	d := api.NewLDAPSource{
		URL: f.LDAP, StartTLS: f.StartTLS, Fingerprint: f.Fingerprint, BindDN: f.BindDN, PlaintextBind: f.Plaintext, BaseDN: f.BaseDN, Filter: f.Filter,
		Tenant: f.Tenant, Personal: f.Personal, NoPaging: f.NoPaging, Every: f.Every,
	}
	if m := (api.LDAPMapping{JID: f.JID, Name: f.FullName, UserID: f.UserID, Email: f.Email, CDRTag: f.CDRTag, SpaceURI: f.SpaceURI, SpaceSecondaryURI: f.SpaceURI2,
		SpaceCallID: f.SpaceCallID}); m != (api.LDAPMapping{}) {
		d.Mapping = &m
	}
	if f.MaxRemovals != nil || f.MaxReleases != nil {
		d.Limits = &api.LDAPLimits{}
		if f.MaxRemovals != nil {
			d.Limits.Removals = *f.MaxRemovals
		}
		if f.MaxReleases != nil {
			d.Limits.Licenses = *f.MaxReleases
		}
	}
	if f.CA != nil {
		text, err := readFile("CA file", *f.CA, maxCA)
		if err != nil {
			return d, err
		}
		ca := string(text)
		d.CA = &ca
	}
	if f.PasswordFile != "" {
		text, err := s.read("password file", f.PasswordFile, maxPassword)
		if err != nil {
			return d, err
		}
		password := strings.TrimRight(string(text), "\r\n")
		d.Password = &password
	}
	return d, nil
}

type ldapAddCmd struct {
	Name string `arg:"" help:"Name of the source."`
	Like string `env:"-" help:"Another source whose server and sign-in this one uses too." placeholder:"NAME"`
	ldapFlags
}

// Run adds an LDAP source.
func (c ldapAddCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	d, err := c.document(s)
	if err != nil {
		return err
	}
	d.Name = &c.Name
	if c.Like != "" {
		d.Like = &c.Like
	}
	made, err := r.AddLDAPSource(ctx, account, d)
	if err != nil {
		return err
	}
	return s.say(made, "%s is added and not read yet; look with `tally conference ldap test %s`, then `tally conference ldap sync %s`", made.Name, license.ShellWord(made.Name), license.ShellWord(made.Name))
}

type ldapSetCmd struct {
	Name string `arg:"" help:"The source, by name or id."`
	ldapFlags
}

// Run changes what is given of an LDAP source.
func (c ldapSetCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	d, err := c.document(s)
	if err != nil {
		return err
	}
	made, err := r.ChangeLDAPSource(ctx, account, c.Name, d)
	if err != nil {
		return err
	}
	return s.say(made, "%s is changed; it counts from the next reading on: tally conference ldap sync %s", made.Name, made.Name)
}

type ldapListCmd struct{}

// Run lists LDAP sources.
func (ldapListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "sources", r.LDAPSources(ctx, account))
	if err != nil {
		return err
	}
	return printList(s, all, "there is no LDAP source; add one with `tally conference ldap add NAME`", "name | server | filter | personal | users | last reading | state | next",
		func(l api.LDAPSource) []any {
			at, state := any(""), ""
			if l.Last != nil {
				at, state = l.Last.EndedAt, l.Last.State
			}
			return []any{l.Name, l.URL, l.Filter, l.Personal, l.Users, at, state, l.NextAt}
		})
}

type ldapShowCmd struct {
	Name string `arg:"" help:"The source, by name or id."`
}

// Run shows one LDAP source; never its password.
func (c ldapShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	l, err := r.LDAPSource(ctx, account, c.Name)
	if err != nil {
		return err
	}
	return s.print(l, func(w io.Writer) {
		m := l.Mapping
		every := l.Every
		if d, err := time.ParseDuration(every); err == nil {
			every = cellText(d)
		}
		fields(w, "Source", l.ID, "Name", l.Name, "Server", l.URL, "StartTLS", l.StartTLS, "CA", ca(l), "Signs in as", l.BindDN, "Base DN", l.BaseDN, "Filter", l.Filter,
			"JID", m.JID, "Name of users", m.Name, "User id", m.UserID, "E-mail", m.Email, "CDR tag", m.CDRTag, "Tenant", l.Tenant, "Personal license", l.Personal,
			"Paged results", !l.NoPaging, "Read every", every, "Next", l.NextAt, "Users", l.Users)
		if l.Last != nil {
			fmt.Fprintln(w, "\nLast reading")
			writeRun(w, *l.Last)
		}
	})
}

// ca words how the server is known.
func ca(l api.LDAPSource) string {
	switch {
	case l.CA != "":
		return "a CA of its own"
	case l.Fingerprint != "":
		return "fingerprint " + l.Fingerprint
	}
	return "the roots of the system"
}

type ldapRemoveCmd struct {
	Name string `arg:"" help:"The source, by name or id."`
	Yes  bool   `help:"Do not ask." env:"-"`
}

// Run removes an LDAP source with the users that only it knew.
func (c ldapRemoveCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	l, err := r.LDAPSource(ctx, account, c.Name)
	if err != nil {
		return err
	}
	if err := s.confirm(c.Yes, "%s goes, and with it %s as far as no other source knows them. Meetings that run keep their licenses.", l.Name, counted(l.Users, "user", "users")); err != nil {
		return err
	}
	if _, err := r.RemoveLDAPSource(ctx, account, l.ID, true); err != nil {
		return err
	}
	return s.say(removed{l.ID}, "%s is removed", l.Name)
}

type ldapTestCmd struct {
	Name string `arg:"" help:"The source, by name or id."`
}

// Run shows what the first entries of a source would become.
func (c ldapTestCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	t, err := r.TestLDAPSource(ctx, account, c.Name)
	if err != nil {
		return err
	}
	return s.print(t, func(w io.Writer) {
		fmt.Fprintln(w, "The server answers and lets us in. Nothing was changed.")
		if len(t.Entries) == 0 {
			fmt.Fprintln(w, "It has no entry for this base DN and filter.")
			return
		}
		table := newTable(w, "entry | jid | name | user id | email | guid | left out")
		for _, e := range t.Entries {
			u := api.DirectoryPerson{}
			if e.User != nil {
				u = *e.User
			}
			table.row(e.DN, u.JID, u.Name, u.UserID, u.Email, u.GUID, e.Text)
		}
		table.end()
		if t.More {
			fmt.Fprintln(w, "There are more.")
		}
		fmt.Fprintf(w, "Personal license, where no other source says anything: %s\n", cellText(t.Personal))
	})
}

type ldapSyncCmd struct {
	Name    string `arg:"" optional:"" help:"The source, by name or id; all when left out."`
	Preview bool   `help:"Say what it would change, and change nothing." env:"-"`
}

// Run reads LDAP sources now.
func (c ldapSyncCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	names := []string{c.Name}
	if c.Name == "" {
		all, err := gather(s, "sources", r.LDAPSources(ctx, account))
		if err != nil {
			return err
		}
		names = names[:0]
		for _, l := range all {
			names = append(names, l.ID)
		}
	}
	runs := []api.DirectoryRun{}
	var failure error
	for _, name := range names {
		run, err := r.SyncLDAPSource(ctx, account, name, c.Preview)
		if err != nil {
			failure = err
			if len(names) > 1 {
				fail(s.stderr, err)
			}
			continue
		}
		runs = append(runs, run)
		if run.State == "held" && failure == nil {
			failure = license.Refuse(license.KindRefused, "held", "look at it, then agree with `tally conference ldap accept "+run.Name+"`, or mend the directory and read it again",
				"%s takes away much and waits; nothing was changed", run.Name)
			if c.Preview {
				failure = license.Refuse(license.KindRefused, "held", "mend the directory, or read it without --preview and agree then", "%s takes away much and would wait for somebody to agree; nothing was changed", run.Name)
			}
		}
	}
	if len(names) == 1 && failure != nil && len(runs) == 0 {
		return failure
	}
	if err := s.printRuns(runs, len(names) == 1); err != nil {
		return err
	}
	return failure
}

// printRuns prints one run as it is, or several as a list.
func (s *shell) printRuns(runs []api.DirectoryRun, one bool) error {
	if one {
		return s.print(runs[0], func(w io.Writer) { writeRun(w, runs[0]) })
	}
	return printList(s, runs, "nothing was read", runColumns, runRow)
}

const runColumns = "run | source | started | state | users | skipped | clashes | added | removed | gained | lost | version"

func runRow(r api.DirectoryRun) []any {
	state := r.State
	if r.Code != "" {
		state += ": " + r.Code
	}
	return []any{r.ID, sourceName(r), r.StartedAt, state, r.Users, r.Skipped, r.Clashes, r.Added, r.Removed, r.Gained, r.Lost, r.Version}
}

func sourceName(r api.DirectoryRun) string { return strings.TrimSpace(r.Kind + " " + r.Name) }

func writeRun(w io.Writer, r api.DirectoryRun) {
	fields(w, "Run", r.ID, "Source", sourceName(r), "State", r.State, "Started", r.StartedAt, "Ended", r.EndedAt, "Entries", r.Entries, "Users", r.Users,
		"Left out", r.Skipped, "Clashes", r.Clashes, "New users", r.Added, "Gone users", r.Removed, "Licenses gained", r.Gained, "Licenses lost", r.Lost)
	for _, h := range r.Reasons {
		fmt.Fprintf(w, "Held: %s.\n", cellText(h.Text))
	}
	if r.Detail != "" {
		fmt.Fprintf(w, "Failed: %s\n", cellText(r.Detail))
	}
	if r.Referrals > 0 {
		fmt.Fprintf(w, "%s to other servers were not followed.\n", counted(int64(r.Referrals), "reference", "references"))
	}
	if r.Entries == 0 && r.Kind == "ldap" && r.Detail == "" {
		fmt.Fprintln(w, "The answer was empty; check base DN and filter with `tally conference ldap test`.")
	}
	for i, k := range r.Skips {
		if i == 10 {
			fmt.Fprintf(w, "  and %d more\n", r.Skipped-10)
			break
		}
		fmt.Fprintf(w, "  - %s is left out: %s\n", cellText(k.DN), cellText(k.Text))
	}
	for i, c := range r.Twice {
		if i == 10 {
			fmt.Fprintf(w, "  and %d more\n", r.Clashes-10)
			break
		}
		fmt.Fprintf(w, "  - %s\n", cellText(c.Text))
	}
}

type ldapAcceptCmd struct {
	Name string `arg:"" help:"The source, by name or id: an LDAP source or a call bridge; or the id of the reading that waits."`
}

// Run agrees to a change that is held.
func (c ldapAcceptCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	run, err := r.AcceptDirectorySource(ctx, account, c.Name)
	if err != nil {
		return err
	}
	return s.print(run, func(w io.Writer) { writeRun(w, run) })
}

type ldapHistoryCmd struct {
	Name string `arg:"" optional:"" help:"Only this source, by name or id."`
}

// Run lists the readings of sources, the newest first.
func (c ldapHistoryCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "runs", r.DirectoryRuns(ctx, account, c.Name))
	if err != nil {
		return err
	}
	return printList(s, all, "nothing was read yet", runColumns, runRow)
}
