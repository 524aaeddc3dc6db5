package conference

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// withKeys is an engine of the house that can keep passwords.
func (h *house) withKeys(dir string) *Engine {
	h.t.Helper()
	keys, err := trust.OpenKeys(dir, h.clock.Now())
	must(h.t, err)
	return New(Options{Store: h.store, Transport: func(string) agent.Transport { return away{} }, Now: h.clock.Now, Log: slog.New(slog.DiscardHandler), Keys: keys})
}

const secret = "the password of the service user"

// nobody is an address of this machine at which nobody answers.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	return "ldap://" + l.Addr().String()
}

func source(name, url string) NewLDAP {
	return NewLDAP{Name: name, LDAPServer: LDAPServer{URL: url, BindDN: "cn=sync,dc=x"}, Password: secret,
		LDAPSettings: LDAPSettings{BaseDN: "dc=x", Mapping: directory.MappingText{JID: "$uid$@x"}}}
}

func refusedWith(t *testing.T, what, code string, err error) {
	t.Helper()
	if e := license.AsError(err); e == nil || e.Code != code || e.Hint == "" {
		t.Errorf("%s: got %v, want a refusal %s", what, err, code)
	}
}

// TestOtherSettingsReleaseWhatIsHeld: a reading that waits for a person is that of the source as it was; once the source is another
// one, or its server, nobody can agree to it any more. How often it is read, and what is held, changes nothing of it.
func TestOtherSettingsReleaseWhatIsHeld(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		e := h.withKeys(t.TempDir())
		s, err := e.AddLDAP(t.Context(), "admin", h.account, source("staff", "ldap://127.0.0.1"))
		must(t, err)
		hold := func() Run {
			t.Helper()
			put := sourcePut{source: directory.Source{Kind: directory.LDAP, ID: s.ID, Name: s.Name, Users: people(30, directory.Yes)}}
			_, err := e.putSource(t.Context(), "admin", h.account, put)
			must(t, err)
			put.source.Users = put.source.Users[:3]
			r, err := e.putSource(t.Context(), "admin", h.account, put)
			must(t, err)
			if r.State != RunHeld {
				t.Fatalf("got %+v, want it held", r)
			}
			return r
		}
		set := func(change func(*LDAPSource)) {
			t.Helper()
			_, err := e.SetLDAP(t.Context(), "admin", h.account, "staff", secret, change)
			must(t, err)
		}
		for name, change := range map[string]func(*LDAPSource){
			"filter": func(s *LDAPSource) { s.Filter = "(uid=*)" },
			"server": func(s *LDAPSource) { s.URL = "ldap://127.0.0.1:1389" },
		} {
			held := hold()
			set(func(s *LDAPSource) { s.Every, s.Limits.Removals = time.Hour, 20 })
			if states := h.runStates(e); states[held.ID] != RunHeld {
				t.Errorf("%s, after another interval: got %q, want it held", name, states[held.ID])
			}
			set(change)
			if states := h.runStates(e); states[held.ID] != RunSuperseded {
				t.Errorf("after another %s: got %q", name, states[held.ID])
			}
			if _, err := e.AcceptSource(t.Context(), "admin", h.account, "staff"); license.AsError(err) == nil {
				t.Errorf("after another %s: what was read before was accepted, %v", name, err)
			}
		}
	})
}

// runStates are the states of the runs in the history, by id.
func (h *house) runStates(e *Engine) map[string]string {
	h.t.Helper()
	runs, _, err := e.Runs(h.t.Context(), h.account, "", "", 100)
	must(h.t, err)
	out := map[string]string{}
	for _, r := range runs {
		out[r.ID] = r.State
	}
	return out
}

func TestLDAPSourcesAreChecked(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		e := h.withKeys(t.TempDir())
		for code, change := range map[string]func(*NewLDAP){
			"bad-name":        func(n *NewLDAP) { n.Name = "a/b" },
			"bad-ldap-url":    func(n *NewLDAP) { n.URL = "http://x" },
			"ldap-plaintext":  func(n *NewLDAP) { n.URL = "ldap://dc1.acme.example" },
			"no-password":     func(n *NewLDAP) { n.Password = "" },
			"no-bind-dn":      func(n *NewLDAP) { n.BindDN = "" },
			"bad-password":    func(n *NewLDAP) { n.Password = "a\nb" },
			"bad-ca":          func(n *NewLDAP) { n.CA = "no PEM" },
			"bad-fingerprint": func(n *NewLDAP) { n.Fingerprint = "12:34" },
			"bad-base-dn":     func(n *NewLDAP) { n.BaseDN = "no name" },
			"bad-filter":      func(n *NewLDAP) { n.Filter = "(uid=*))(|(uid=*" },
			"bad-expression":  func(n *NewLDAP) { n.Mapping.Name = "$cn" },
			"bad-flag":        func(n *NewLDAP) { n.Personal = "perhaps" },
			"bad-interval":    func(n *NewLDAP) { n.Every = new(time.Minute) },
			"bad-limit":       func(n *NewLDAP) { n.Limits.Removals = 101 },
			"bad-tenant":      func(n *NewLDAP) { n.Tenant = "a\x00" },
			"two-servers":     func(n *NewLDAP) { n.Like = "other" },
		} {
			n := source("staff", "ldap://127.0.0.1")
			change(&n)
			_, err := e.AddLDAP(t.Context(), "admin", h.account, n)
			refusedWith(t, code, code, err)
		}
		_, err := h.engine.AddLDAP(t.Context(), "admin", h.account, source("staff", "ldap://127.0.0.1"))
		refusedWith(t, "a server without keys", "no-keys", err)
		all, err := e.LDAPSources(t.Context(), h.account)
		must(t, err)
		if len(all) != 0 {
			t.Errorf("got %+v, want nothing added", all)
		}
	})
}

// TestPasswordsAreHidden: what is stored and what is recorded does not show the password; another server address wants it again.
func TestPasswordsAreHidden(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		dir := t.TempDir()
		e := h.withKeys(dir)
		s, err := e.AddLDAP(t.Context(), "admin", h.account, source("staff", "ldap://127.0.0.1"))
		must(t, err)
		like, err := e.AddLDAP(t.Context(), "admin", h.account, NewLDAP{Name: "Hosts", Like: "STAFF", LDAPSettings: s.LDAPSettings})
		must(t, err)
		if like.URL != s.URL || like.ServerID != s.ServerID || like.BindDN != s.BindDN {
			t.Errorf("got %+v, want the server of %+v", like, s)
		}
		_, err = e.AddLDAP(t.Context(), "admin", h.account, source("STAFF ", "ldap://127.0.0.1"))
		refusedWith(t, "the name again", "name-taken", err)
		must(t, h.store.View(t.Context(), func(tx *store.Tx) error {
			server, err := tx.LdapServer(t.Context(), db.LdapServerParams{AccountID: h.account, ServerID: s.ServerID})
			if bytes.Contains(server.Secret, []byte(secret)) || strings.Contains(server.Settings, secret) || len(server.Secret) == 0 {
				t.Error("the password is stored as it is")
			}
			return err
		}))
		for _, change := range []func(*LDAPSource){
			func(s *LDAPSource) { s.URL = "ldaps://elsewhere.example" },
			func(s *LDAPSource) { s.Fingerprint = strings.Repeat("ab", 32) },
			func(s *LDAPSource) { s.PlaintextBind = true },
		} {
			_, err = e.SetLDAP(t.Context(), "admin", h.account, "staff", "", change)
			refusedWith(t, "another server", "password-again", err)
		}
		changed, err := e.SetLDAP(t.Context(), "admin", h.account, "staff", "another one", func(s *LDAPSource) { s.URL, s.Every = "ldaps://elsewhere.example", 0 })
		must(t, err)
		if changed.URL != "ldaps://elsewhere.example" || !changed.NextAt.IsZero() {
			t.Errorf("got %+v", changed)
		}
		for _, e := range []*Engine{e, h.withKeys(dir)} { // a replica
			_, server, _, err := e.ldap(t.Context(), h.account, "hosts")
			must(t, err)
			if server.Password() != "another one" || server.URL != "ldaps://elsewhere.example" {
				t.Error("the source that shares the server does not sign in with the new password")
			}
		}
		_, _, _, err = h.withKeys(t.TempDir()).ldap(t.Context(), h.account, "hosts")
		refusedWith(t, "other keys", "password-lost", err)
	})
}

// TestScheduleReadsWhatIsDue: among replicas one reads, a failure is recorded, and the next try is soon.
func TestScheduleReadsWhatIsDue(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		e := h.withKeys(t.TempDir())
		url := nobody(t)
		_, err := e.AddLDAP(t.Context(), "admin", h.account, source("staff", url))
		must(t, err)
		never := source("by hand", url)
		never.Every = new(time.Duration)
		_, err = e.AddLDAP(t.Context(), "admin", h.account, never)
		must(t, err)
		runs := func() []Run {
			t.Helper()
			out, _, err := e.Runs(t.Context(), h.account, "", "", 100)
			must(t, err)
			return out
		}
		e.syncDue(t.Context())
		if got := runs(); len(got) != 0 {
			t.Errorf("read before it is due: %+v", got)
		}
		h.clock.Advance(ldapEvery)
		e.syncDue(t.Context())
		e.syncDue(t.Context()) // another replica looks as well
		got := runs()
		if len(got) != 1 || got[0].State != RunFailed || got[0].By != Scheduled || got[0].Code != "ldap-unreachable" || got[0].Name != "staff" || got[0].Hint == "" {
			t.Fatalf("got %+v, want one failed reading", got)
		}
		h.clock.Advance(syncRetry)
		s, err := e.FindLDAP(t.Context(), h.account, "staff")
		must(t, err)
		end, err := e.alone(t.Context(), h.account, s)
		must(t, err)
		e.syncDue(t.Context())
		if _, err := e.SyncLDAP(t.Context(), "admin", h.account, "staff", false); license.AsError(err) == nil || license.AsError(err).Code != "sync-running" {
			t.Errorf("while another reads: got %v", err)
		}
		if got := runs(); len(got) != 1 {
			t.Errorf("two read at once: %+v", got)
		}
		end()
		e.syncDue(t.Context())
		if got := runs(); len(got) != 2 {
			t.Errorf("after a failure it is tried again soon: %+v", got)
		}
	})
}

func TestRemovingASource(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		e := h.withKeys(t.TempDir())
		s, err := e.AddLDAP(t.Context(), "admin", h.account, source("staff", nobody(t)))
		must(t, err)
		in := sourcePut{source: directory.Source{Kind: directory.LDAP, ID: s.ID, Name: s.Name, Personal: directory.Yes, Users: people(20, "")}}
		h.put(in)
		_, err = e.RemoveLDAP(t.Context(), "admin", h.account, "staff", false)
		refusedWith(t, "removing", "mass-change", err)
		_, err = e.RemoveLDAP(t.Context(), "admin", h.account, "staff", true)
		must(t, err)
		if got := h.inForce(); got.Users != 0 || got.Personal != 0 {
			t.Errorf("got %+v", got)
		}
		_, err = e.RemoveLDAP(t.Context(), "admin", h.account, "staff", true)
		if e := license.AsError(err); e == nil || e.Kind != license.KindNotFound {
			t.Errorf("removed twice: got %v", err)
		}
		// What was being read when its source went is not taken.
		in.wanted = func(ctx context.Context, tx *store.Tx) error {
			rows, err := tx.LdapSources(ctx, h.account)
			if err == nil {
				_, err = findLDAP(rows, s.ID)
			}
			return err
		}
		if _, err := e.putSource(t.Context(), Scheduled, h.account, in); license.AsError(err) == nil {
			t.Errorf("a source that is gone: got %v", err)
		}
		changes, err := e.Changes(t.Context(), h.account, time.UnixMilli(0), h.clock.Now().Add(time.Hour))
		must(t, err)
		what := map[string]int{}
		for _, c := range changes {
			what[c.What]++
		}
		if what[Appeared] != 20 || what[Gained] != 20 || what[Lost] != 20 || what[Disappeared] != 20 {
			t.Errorf("the calendar has %v", what)
		}
	})
}

// TestRule33Defaults: what holds where a source says nothing, of its tenant and of the system.
func TestRule33Defaults(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		in := group(people(30, ""), directory.Inherit)
		in.source.Tenant = "east"
		set := func(tenant, flag string, agreed bool) error {
			_, err := h.engine.SetDefault(t.Context(), "admin", h.account, tenant, flag, agreed)
			return err
		}
		must(t, set("", "no", false))
		if h.inForce().Version != 0 {
			t.Error("a default alone makes a version")
		}
		h.put(in)
		for _, tc := range []struct {
			tenant, flag string
			personal     int64
		}{{"east", "yes", 30}, {"west", "no", 30}, {"", "yes", 30}} {
			must(t, set(tc.tenant, tc.flag, false))
			if got := h.inForce(); got.Personal != tc.personal {
				t.Errorf("%+v: got %+v", tc, got)
			}
		}
		refusedWith(t, "taking it away", "mass-change", set("east", "no", false))
		must(t, set("east", "no", true))
		if got := h.inForce(); got.Personal != 0 {
			t.Errorf("got %+v", got)
		}
		must(t, set("east", "inherit", false))
		if got := h.inForce(); got.Personal != 30 {
			t.Errorf("inherited from the system: got %+v", got)
		}
		refusedWith(t, "no flag", "bad-flag", set("", "perhaps", false))
	})
}
