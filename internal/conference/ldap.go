package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

const (
	maxLDAP      = 100 // sources of an account
	maxCA        = 64 << 10
	maxPassword  = 1024
	ldapEvery    = 6 * time.Hour
	ldapSoonest  = 15 * time.Minute
	ldapLatest   = 31 * 24 * time.Hour
	ldapExamples = 5
)

// LDAPServer is a directory server as it was typed, without the password.
type LDAPServer struct {
	URL           string `json:"url"`
	StartTLS      bool   `json:"startTls,omitempty"`
	CA            string `json:"ca,omitempty"`          // PEM
	Fingerprint   string `json:"fingerprint,omitempty"` // SHA-256 of its certificate or of a CA's
	BindDN        string `json:"bindDn,omitempty"`
	PlaintextBind bool   `json:"plaintextBind,omitempty"`
}

// LDAPSettings are what to read of a server and what to make of it.
type LDAPSettings struct {
	BaseDN   string                `json:"baseDn"`
	Filter   string                `json:"filter,omitempty"`
	Mapping  directory.MappingText `json:"mapping"`
	Tenant   string                `json:"tenant,omitempty"`
	Personal directory.Flag        `json:"personal"`
	NoPaging bool                  `json:"noPaging,omitempty"`
	Limits   directory.Limits      `json:"limits"`
}

// LDAPSource is a part of a directory server that is a source of the directory.
type LDAPSource struct {
	ID   string // "lds_…"
	Name string
	LDAPServer
	LDAPSettings
	ServerID string
	Every    time.Duration // 0 for on demand only
	AddedAt  time.Time
	NextAt   time.Time // when it is read by itself; zero for on demand only
}

// NewLDAP describes a source to add. Password is kept encrypted and never shown. Like names another source whose server is read
// with the same sign-in; the server must then be left out.
type NewLDAP struct {
	Name string
	Like string
	LDAPServer
	Password trust.Secret
	LDAPSettings
	Every *time.Duration // nil for every six hours
}

// AddLDAP adds a source. Nothing is read yet: TestLDAP and SyncLDAP do, and the schedule after the first interval. Errors: a
// license.Error of kind invalid or refused that says what to mend, conflict when the name is taken.
func (e *Engine) AddLDAP(ctx context.Context, who, account string, n NewLDAP) (LDAPSource, error) {
	s, err := e.newLDAP(n)
	if err != nil {
		return LDAPSource{}, err
	}
	err = e.store.Update(ctx, "add LDAP source", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		if _, err := tx.LockConference(ctx, account); err != nil {
			return enabled(account, err)
		}
		rows, err := tx.LdapSources(ctx, account)
		if err != nil {
			return fmt.Errorf("list LDAP sources: %w", err)
		}
		if len(rows) >= maxLDAP {
			return license.Refuse(license.KindRefused, "too-many-ldap-sources", "let a filter match more users", "an account has at most %d LDAP sources", maxLDAP)
		}
		if err := e.putServer(ctx, tx, account, n, rows, &s); err != nil {
			return err
		}
		settings, err := json.Marshal(s.LDAPSettings)
		if err != nil {
			return fmt.Errorf("encode LDAP source: %w", err)
		}
		s.AddedAt = tx.Now()
		s.NextAt = next(s.AddedAt, s.Every)
		added, err := tx.InsertLdapSource(ctx, db.InsertLdapSourceParams{AccountID: account, SourceID: s.ID, ServerID: s.ServerID, Name: s.Name, NameKey: directory.Fold(s.Name),
			Settings: string(settings), AddedAt: store.Ms(s.AddedAt), EveryMs: s.Every.Milliseconds(), NextAt: store.Ms(s.NextAt)})
		if err == nil && added == 0 {
			return license.Refuse(license.KindConflict, "name-taken", "choose another name, or change that one: tally conference ldap set", "there is an LDAP source named %q already", s.Name)
		}
		if err != nil {
			return fmt.Errorf("insert LDAP source: %w", err)
		}
		_, err = chain.Record(ctx, who, "ldap.added", s.ID, s.record())
		return err
	})
	return s, outcome("add LDAP source", err)
}

// record is what the event chain says of a source: all but the password.
func (s LDAPSource) record() map[string]any {
	return map[string]any{"name": s.Name, "url": s.URL, "bindDn": s.BindDN, "baseDn": s.BaseDN, "filter": s.Filter, "personal": s.Personal, "tenant": s.Tenant}
}

// next is when a source is read by itself after a moment; never when every is 0.
func next(after time.Time, every time.Duration) time.Time {
	if every <= 0 {
		return time.Time{}
	}
	return after.Add(every)
}

// newLDAP checks what was typed.
func (e *Engine) newLDAP(n NewLDAP) (LDAPSource, error) {
	s := LDAPSource{ID: trust.NewID("lds", e.now()), Name: strings.TrimSpace(n.Name), LDAPServer: n.LDAPServer, LDAPSettings: n.LDAPSettings, Every: ldapEvery}
	if n.Every != nil {
		s.Every = *n.Every
	}
	if s.Name == "" || len(s.Name) > maxName || strings.ContainsFunc(s.Name, func(r rune) bool { return !unicode.IsPrint(r) || r == '/' }) || directory.Fold(s.Name) == "file" {
		return s, license.Refuse(license.KindInvalid, "bad-name", "use 1 to 128 printable characters and no slash", "%.200q is no name for an LDAP source", n.Name)
	}
	switch server := n.LDAPServer != (LDAPServer{}) || n.Password != ""; {
	case n.Like != "" && server:
		return s, license.Refuse(license.KindInvalid, "two-servers", "leave either away", "with --like the server is that of the other source")
	case n.Like == "":
		if err := e.checkServer(s.LDAPServer, n.Password); err != nil {
			return s, err
		}
	}
	return s, s.check()
}

// check refuses settings with which nothing could be read.
func (s *LDAPSource) check() error {
	var known bool
	if s.Personal, known = directory.ParseFlag(string(s.Personal)); !known {
		return license.Refuse(license.KindInvalid, "bad-flag", "write yes, no or inherit", "%.40q says nothing of personal licenses", string(s.Personal))
	}
	if s.Every < 0 || s.Every > ldapLatest || s.Every > 0 && s.Every < ldapSoonest {
		return license.Refuse(license.KindInvalid, "bad-interval", "use 15 minutes to 31 days, or 0 for on demand only", "a source is not read every %s", s.Every)
	}
	if l := s.Limits; min(l.Removals, l.Licenses, l.AtLeast) < 0 || max(l.Removals, l.Licenses) > 100 || l.AtLeast != 0 {
		return license.Refuse(license.KindInvalid, "bad-limit", "write 1 to 100", "the limit of a change is a number of percent")
	}
	if s.Tenant = strings.TrimSpace(s.Tenant); len(s.Tenant) > maxName || strings.ContainsFunc(s.Tenant, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return license.Refuse(license.KindInvalid, "bad-tenant", "use the name or GUID of the tenant", "%.200q is no name of a tenant", s.Tenant)
	}
	mapping, err := directory.ParseMapping(s.Mapping)
	if err != nil {
		return err
	}
	return s.search(mapping).Check()
}

func (s LDAPSource) search(m directory.Mapping) directory.Search {
	return directory.Search{BaseDN: s.BaseDN, Filter: s.Filter, Attributes: m.Attributes(), NoPages: s.NoPaging}
}

// checkServer refuses a server that cannot be asked, and a sign-in without its other half.
func (e *Engine) checkServer(s LDAPServer, password trust.Secret) error {
	if _, err := e.server(s, password); err != nil {
		return err
	}
	switch {
	case s.BindDN != "" && password == "":
		return license.Refuse(license.KindInvalid, "no-password", "give a file with the password: --password-file FILE", "signing in as %.200q takes a password", s.BindDN)
	case s.BindDN == "" && password != "":
		return license.Refuse(license.KindInvalid, "no-bind-dn", "say whose password it is: --bind-dn DN", "there is a password and nobody to sign in as")
	case len(password) > maxPassword || strings.ContainsAny(password.Reveal(), "\x00\r\n"):
		return license.Refuse(license.KindInvalid, "bad-password", "the file holds the password on one line", "the password is too long or has line breaks within")
	case password != "" && e.keys == nil:
		return license.Refuse(license.KindUnavailable, "no-keys", "start the server with its key files", "this server has no keys to keep a password with")
	}
	return nil
}

// server makes a server that can be asked.
func (e *Engine) server(s LDAPServer, password trust.Secret) (directory.Server, error) {
	out := directory.Server{URL: s.URL, StartTLS: s.StartTLS, BindDN: s.BindDN, Plaintext: s.PlaintextBind, Password: password.Reveal}
	if err := out.Check(); err != nil {
		return out, err
	}
	var pin *trust.Fingerprint
	if s.Fingerprint != "" {
		f, err := trust.ParseFingerprint(s.Fingerprint)
		if err != nil {
			return out, license.Refuse(license.KindInvalid, "bad-fingerprint", "write the SHA-256 of the certificate in hexadecimal", "%.100q is no fingerprint", s.Fingerprint)
		}
		pin = &f
	}
	config, err := trust.ServiceTLS(out.Host(), []byte(s.CA), pin, e.now)
	if err != nil || len(s.CA) > maxCA {
		return out, license.Refuse(license.KindInvalid, "bad-ca", "give a PEM file with the certificates of the CA, or a fingerprint", "the CA of the directory server cannot be used: %v", err)
	}
	out.TLS = config
	return out, nil
}

func passwordLabel(account, server string) string { return "ldap " + account + " " + server }

// putServer writes the server of a new source, or finds that of the source it is like.
func (e *Engine) putServer(ctx context.Context, tx *store.Tx, account string, n NewLDAP, rows []db.LdapSource, s *LDAPSource) error {
	if n.Like != "" {
		other, err := findLDAP(rows, n.Like)
		if err != nil {
			return err
		}
		s.ServerID = other.ServerID
		server, err := tx.LdapServer(ctx, db.LdapServerParams{AccountID: account, ServerID: s.ServerID})
		if err != nil {
			return fmt.Errorf("read LDAP server: %w", err)
		}
		return unmarshal(server.Settings, &s.LDAPServer)
	}
	s.ServerID = trust.NewID("ldp", e.now())
	settings, err := json.Marshal(s.LDAPServer)
	if err != nil {
		return fmt.Errorf("encode LDAP server: %w", err)
	}
	if err := tx.InsertLdapServer(ctx, db.InsertLdapServerParams{AccountID: account, ServerID: s.ServerID, Settings: string(settings), Secret: e.hide(account, s.ServerID, n.Password)}); err != nil {
		return fmt.Errorf("insert LDAP server: %w", err)
	}
	return nil
}

// hide encrypts a password; none is kept as nothing.
func (e *Engine) hide(account, server string, password trust.Secret) []byte {
	if password == "" {
		return []byte{}
	}
	return e.keys.Hide(passwordLabel(account, server), password)
}

func (e *Engine) unhide(account, server string, secret []byte) (trust.Secret, error) {
	if len(secret) == 0 {
		return "", nil
	}
	err := errors.New("no keys")
	if e.keys != nil {
		var password trust.Secret
		if password, err = e.keys.Unhide(passwordLabel(account, server), secret); err == nil {
			return password, nil
		}
	}
	return "", &license.Error{Kind: license.KindUnavailable, Code: "password-lost", Message: "the password for the directory server was kept with other keys than this server has",
		Hint: "start the server with the same key files, or type the password again: tally conference ldap set NAME --password-file FILE", Err: err}
}

func unmarshal(text string, v any) error {
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	return nil
}

// findLDAP finds a source by its id or its name.
func findLDAP(rows []db.LdapSource, name string) (db.LdapSource, error) {
	at := slices.IndexFunc(rows, func(r db.LdapSource) bool { return r.SourceID == name || r.NameKey == directory.Fold(name) })
	if at < 0 {
		return db.LdapSource{}, license.NotFound("LDAP source", name)
	}
	return rows[at], nil
}

// readLDAP reads a source with its server, and the server's password as it is kept.
func readLDAP(ctx context.Context, tx *store.Tx, r db.LdapSource) (LDAPSource, []byte, error) {
	s := LDAPSource{ID: r.SourceID, Name: r.Name, ServerID: r.ServerID, Every: time.Duration(r.EveryMs) * time.Millisecond, AddedAt: store.At(r.AddedAt), NextAt: store.At(r.NextAt)}
	server, err := tx.LdapServer(ctx, db.LdapServerParams{AccountID: r.AccountID, ServerID: r.ServerID})
	if err != nil {
		return s, nil, fmt.Errorf("read LDAP server: %w", err)
	}
	return s, server.Secret, errors.Join(unmarshal(r.Settings, &s.LDAPSettings), unmarshal(server.Settings, &s.LDAPServer))
}

// LDAPSources lists the LDAP sources of an account, at most a hundred, by id.
func (e *Engine) LDAPSources(ctx context.Context, account string) ([]LDAPSource, error) {
	var out []LDAPSource
	err := e.store.View(ctx, func(tx *store.Tx) error {
		out = []LDAPSource{}
		rows, err := tx.LdapSources(ctx, account)
		for _, r := range rows {
			s, _, e := readLDAP(ctx, tx, r)
			out, err = append(out, s), errors.Join(err, e)
		}
		return err
	})
	return out, outcome("list LDAP sources", err)
}

// ldap finds a source and makes what is needed to read it.
func (e *Engine) ldap(ctx context.Context, account, name string) (s LDAPSource, server directory.Server, m directory.Mapping, err error) {
	var secret []byte
	err = e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.LdapSources(ctx, account)
		if err != nil {
			return fmt.Errorf("list LDAP sources: %w", err)
		}
		row, err := findLDAP(rows, name)
		if err != nil {
			return err
		}
		s, secret, err = readLDAP(ctx, tx, row)
		return err
	})
	if err != nil {
		return s, server, m, outcome("find LDAP source", err)
	}
	password, err := e.unhide(account, s.ServerID, secret)
	if err == nil {
		server, err = e.server(s.LDAPServer, password)
	}
	if err == nil {
		m, err = directory.ParseMapping(s.Mapping)
	}
	return s, server, m, err
}

// FindLDAP finds a source by its id or name.
func (e *Engine) FindLDAP(ctx context.Context, account, name string) (LDAPSource, error) {
	all, err := e.LDAPSources(ctx, account)
	if err != nil {
		return LDAPSource{}, err
	}
	at := slices.IndexFunc(all, func(s LDAPSource) bool { return s.ID == name || directory.Fold(s.Name) == directory.Fold(name) })
	if at < 0 {
		return LDAPSource{}, license.NotFound("LDAP source", name)
	}
	return all[at], nil
}

// RemoveLDAP takes a source away with all users that only it knew, from the next meeting on. Removing one that takes much away must
// be agreed to.
func (e *Engine) RemoveLDAP(ctx context.Context, who, account, name string, agreed bool) (sum DirectorySummary, err error) {
	err = e.store.Update(ctx, "remove LDAP source", func(tx *store.Tx) error {
		d, err := lockDirectory(ctx, tx, account)
		if err != nil {
			return err
		}
		rows, err := tx.LdapSources(ctx, account)
		if err != nil {
			return fmt.Errorf("list LDAP sources: %w", err)
		}
		row, err := findLDAP(rows, name)
		if err != nil {
			return err
		}
		change := directory.Weigh(d.sources, directory.Source{Kind: directory.LDAP, ID: row.SourceID}, d.defaults, directory.Limits{})
		if len(change.Reasons) > 0 && !agreed {
			return massChange("removing the source "+row.Name, change.Reasons)
		}
		if _, err := tx.DropLdapSource(ctx, db.DropLdapSourceParams{AccountID: account, SourceID: row.SourceID}); err != nil {
			return fmt.Errorf("drop LDAP source: %w", err)
		}
		if err := tx.DropUnusedLdapServers(ctx, account); err != nil {
			return fmt.Errorf("drop LDAP servers: %w", err)
		}
		if _, err := d.chain.Record(ctx, who, "ldap.removed", row.SourceID, map[string]any{"name": row.Name, "removed": change.Removed, "lost": change.Lost}); err != nil {
			return err
		}
		sum, err = d.dropSource(ctx, who, directory.LDAP, row.SourceID)
		return err
	})
	if err != nil {
		return DirectorySummary{}, outcome("remove LDAP source", err)
	}
	e.use(account)
	return sum, nil
}
