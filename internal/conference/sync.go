package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

const (
	syncFor   = 4 * time.Minute  // at most, shorter than a request may take
	syncLease = 5 * time.Minute  // so that a replica that died does not stand in the way for long
	syncRetry = 15 * time.Minute // after a reading that failed, if that is sooner than the next one
	syncLook  = 30 * time.Second // how often the schedule is looked at
)

// Scheduled is who reads a source by itself.
const Scheduled = "schedule"

// SyncLDAP reads an LDAP source and brings it into force, unless the brake holds it: then the run says why and waits for
// AcceptSource. With preview nothing is changed or kept. One reading of a source runs at a time, among all replicas. An answer that
// did not come to its end is a license.Error, and a failed run of the history.
func (e *Engine) SyncLDAP(ctx context.Context, who, account, name string, preview bool) (Run, error) {
	s, server, mapping, err := e.ldap(ctx, account, name)
	if err != nil {
		return Run{}, err
	}
	end, err := e.alone(ctx, account, s)
	if err != nil {
		return Run{}, err
	}
	defer end()
	return e.syncLDAP(ctx, who, account, s, server, mapping, preview)
}

// alone takes the lease of a source; end gives it back.
func (e *Engine) alone(ctx context.Context, account string, s LDAPSource) (end func(), err error) {
	name, holder := "ldap "+s.ID, trust.NewID("syn", e.now())
	got, err := lease(ctx, e.store, account, name, holder, syncLease)
	if err != nil {
		return nil, outcome("take the lease of an LDAP source", err)
	}
	if !got {
		return nil, license.Refuse(license.KindConflict, "sync-running", "wait for it; `tally conference ldap history` shows its end", "the source %q is being read just now", s.Name)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockFor)
		defer cancel()
		if _, err := lease(ctx, e.store, account, name, holder, -syncLease); err != nil {
			e.complain(ctx, "the lease of an LDAP source is not given back; it ends by itself", err)
		}
	}, nil
}

func (e *Engine) syncLDAP(ctx context.Context, who, account string, s LDAPSource, server directory.Server, mapping directory.Mapping, preview bool) (Run, error) {
	started := store.At(store.Ms(e.now()))
	within, end := context.WithTimeout(ctx, syncFor)
	defer end()
	answer, err := server.Ask(within, s.search(mapping))
	if err != nil {
		if preview {
			return Run{}, err
		}
		return Run{}, e.failed(ctx, account, Run{Kind: directory.LDAP, Source: s.ID, Name: s.Name, By: who, StartedAt: started}, err)
	}
	found := mapping.Import(answer.Entries)
	in := sourcePut{
		source:  directory.Source{Kind: directory.LDAP, ID: s.ID, Name: s.Name, Tenant: s.Tenant, Personal: s.Personal, Users: found.Users},
		started: started, limits: s.Limits, entries: found.Entries, skips: found.Skipped, clashes: found.Clashes, referrals: answer.Referrals,
		wanted: func(ctx context.Context, tx *store.Tx) error {
			rows, err := tx.LdapSources(ctx, account)
			if err == nil {
				_, err = findLDAP(rows, s.ID)
			}
			return err
		},
	}
	if preview {
		return e.previewSource(ctx, account, in)
	}
	run, err := e.putSource(ctx, who, account, in)
	e.plan(ctx, account, s, s.Every)
	if err == nil {
		e.log.InfoContext(ctx, "LDAP source read", "account", account, "source", s.Name, "state", run.State, "users", run.Users, "skipped", run.Skipped, "took", run.EndedAt.Sub(run.StartedAt))
	}
	return run, err
}

// plan says when a source is read next by itself.
func (e *Engine) plan(ctx context.Context, account string, s LDAPSource, in time.Duration) {
	if s.Every <= 0 {
		return
	}
	err := e.store.Update(context.WithoutCancel(ctx), "plan LDAP source", func(tx *store.Tx) error {
		return tx.SetLdapNext(ctx, db.SetLdapNextParams{NextAt: store.Ms(tx.Now().Add(in)), AccountID: account, SourceID: s.ID})
	})
	if err != nil {
		e.complain(ctx, "the next reading of an LDAP source is not planned", err)
	}
}

// syncing reads LDAP sources when they are due, until ctx ends. The replica that gets a source's lease reads it.
func (e *Engine) syncing(ctx context.Context) {
	look := time.NewTicker(syncLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			e.syncDue(ctx)
		}
	}
}

// syncDue reads the sources that are due now, one after the other.
func (e *Engine) syncDue(ctx context.Context) {
	for _, account := range e.accounts(ctx) {
		all, err := e.LDAPSources(ctx, account)
		if err != nil {
			e.complain(ctx, "LDAP sources are not known", err)
			continue
		}
		for _, s := range all {
			if e.due(s) && ctx.Err() == nil {
				e.syncOne(ctx, account, s)
			}
		}
	}
}

func (e *Engine) due(s LDAPSource) bool {
	return s.Every > 0 && !s.NextAt.IsZero() && !s.NextAt.After(e.now())
}

// syncOne reads a source that is due, if no other replica does or just has.
func (e *Engine) syncOne(ctx context.Context, account string, s LDAPSource) {
	end, err := e.alone(ctx, account, s)
	if err == nil {
		defer end()
		var server directory.Server
		var mapping directory.Mapping
		if s, server, mapping, err = e.ldap(ctx, account, s.ID); err == nil && e.due(s) {
			_, err = e.syncLDAP(ctx, Scheduled, account, s, server, mapping, false)
		}
	}
	if refusal := license.AsError(err); refusal != nil && (refusal.Code == "sync-running" || refusal.Kind == license.KindNotFound) {
		return
	}
	if err != nil {
		e.complain(ctx, "an LDAP source is not read; nothing was changed", fmt.Errorf("source %q: %w", s.Name, err))
		e.plan(ctx, account, s, min(s.Every, syncRetry))
	}
}

// LDAPTest is what the first entries of a source would become.
type LDAPTest struct {
	Source   LDAPSource
	Entries  []LDAPEntry
	More     bool
	Personal bool // what the source says of a user's license, by itself and the defaults
	Level    string
}

// LDAPEntry is an entry and the user it would be, or why it would be left out.
type LDAPEntry struct {
	DN   string
	User directory.User
	Skip directory.Skip
}

// TestLDAP connects, signs in and reads the first five entries. It changes nothing.
func (e *Engine) TestLDAP(ctx context.Context, account, name string) (LDAPTest, error) {
	s, server, mapping, err := e.ldap(ctx, account, name)
	if err != nil {
		return LDAPTest{}, err
	}
	ctx, end := context.WithTimeout(ctx, syncFor)
	defer end()
	q := s.search(mapping)
	q.Most = ldapExamples
	answer, err := server.Ask(ctx, q)
	if err != nil {
		return LDAPTest{}, err
	}
	out := LDAPTest{Source: s, Entries: []LDAPEntry{}, More: answer.More}
	for _, entry := range answer.Entries {
		found := mapping.Import([]directory.Entry{entry})
		row := LDAPEntry{DN: directory.Printable(entry.DN)}
		if len(found.Users) == 1 {
			row.User = found.Users[0]
		} else {
			row.Skip = found.Skipped[0]
		}
		out.Entries = append(out.Entries, row)
	}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		d, err := readDefaults(ctx, tx, account)
		out.Personal, out.Level = directory.Source{Tenant: s.Tenant, Personal: s.Personal}.Says(directory.User{}, d)
		return err
	})
	return out, outcome("read directory defaults", err)
}

// SetLDAP changes a source; change is given what is known of it and may run twice. A new server address wants the password again, so
// that nobody can have it sent elsewhere. What is in force stays until the source is read again; a reading that is held for a person
// and was made with other settings is let go. Errors are those of AddLDAP.
func (e *Engine) SetLDAP(ctx context.Context, who, account, name string, password trust.Secret, change func(*LDAPSource)) (s LDAPSource, err error) {
	err = e.store.Update(ctx, "change LDAP source", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
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
		var secret []byte
		if s, secret, err = readLDAP(ctx, tx, row); err != nil {
			return err
		}
		before := s
		change(&s)
		if err := e.setServer(ctx, tx, account, before, s, password, secret); err != nil {
			return err
		}
		if err := releaseChanged(ctx, tx, account, rows, before, s); err != nil {
			return err
		}
		if err := s.check(); err != nil {
			return err
		}
		settings, err := json.Marshal(s.LDAPSettings)
		if err != nil {
			return fmt.Errorf("encode LDAP source: %w", err)
		}
		if s.Every != before.Every {
			s.NextAt = next(tx.Now(), s.Every)
		}
		if err := tx.SetLdapSource(ctx, db.SetLdapSourceParams{Settings: string(settings), EveryMs: s.Every.Milliseconds(), NextAt: store.Ms(s.NextAt), AccountID: account, SourceID: s.ID}); err != nil {
			return fmt.Errorf("change LDAP source: %w", err)
		}
		_, err = chain.Record(ctx, who, "ldap.changed", s.ID, s.record())
		return err
	})
	return s, outcome("change LDAP source", err)
}

// releaseChanged lets go of readings that wait for a person and were made with other settings: what they say is not what the source
// says now. Those of the source itself, and where its server changed, those of all sources of the server.
func releaseChanged(ctx context.Context, tx *store.Tx, account string, rows []db.LdapSource, before, s LDAPSource) error {
	d := sourced{tx: tx, conf: db.Conference{AccountID: account}}
	was, is := before.LDAPSettings, s.LDAPSettings
	was.Limits, is.Limits = directory.Limits{}, directory.Limits{} // they say what is held, not what is read
	for _, r := range rows {
		moved := s.LDAPServer != before.LDAPServer && r.ServerID == s.ServerID
		if moved || r.SourceID == s.ID && is != was {
			if err := d.release(ctx, directory.LDAP, r.SourceID); err != nil {
				return err
			}
		}
	}
	return nil
}

// setServer writes what changed of the server, for all sources that read it.
func (e *Engine) setServer(ctx context.Context, tx *store.Tx, account string, before, s LDAPSource, password trust.Secret, secret []byte) error {
	if s.LDAPServer == before.LDAPServer && password == "" {
		return nil
	}
	if password == "" && s.BindDN != "" && s.LDAPServer != before.LDAPServer {
		return license.Refuse(license.KindInvalid, "password-again", "give --password-file too", "another server or another way to it wants the password again")
	}
	if err := e.checkServer(s.LDAPServer, password); err != nil {
		return err
	}
	if password != "" || s.BindDN == "" {
		secret = e.hide(account, s.ServerID, password)
	}
	settings, err := json.Marshal(s.LDAPServer)
	if err == nil {
		err = tx.SetLdapServer(ctx, db.SetLdapServerParams{AccountID: account, ServerID: s.ServerID, Settings: string(settings), Secret: secret})
	}
	if err != nil {
		return fmt.Errorf("change LDAP server: %w", errors.Join(err))
	}
	return nil
}
