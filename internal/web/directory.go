package web

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

// directoryRoutes are the rows of the table about the directory's sources.
func (s *server) directoryRoutes() []route {
	return []route{
		{"GET", account + "/conference/directory/users", keyed, access.See, rest("list-directory-users", "List the users in force", s.listDirectoryUsers)},
		{"GET", account + "/conference/directory/spaces", keyed, access.See, rest("list-directory-spaces", "List the spaces in force", s.listDirectorySpaces)},
		{"GET", account + "/conference/directory/clashes", keyed, access.See, rest("list-directory-clashes", "List contradictions of the directory's sources", s.listClashes)},
		{"GET", account + "/conference/directory/changes", keyed, access.See, rest("list-directory-changes", "List who appeared, disappeared, gained or lost a personal license", s.listChanges)},
		{"GET", account + "/conference/directory/sources", keyed, access.See, rest("list-directory-sources", "List what the directory is made of", s.listSources)},
		{"POST", account + "/conference/directory/sources/{source}/accept", keyed, access.Manage, rest("accept-directory-source", "Agree to a change that is held", s.acceptSource)},
		{"GET", account + "/conference/directory/runs", keyed, access.See, rest("list-directory-runs", "List the readings of the directory's sources, the newest first", s.listRuns)},
		{"GET", account + "/conference/directory/defaults", keyed, access.See, rest("list-directory-defaults", "List what holds where a source says nothing of personal licenses", s.listDefaults)},
		{"PUT", account + "/conference/directory/defaults", keyed, access.Manage, rest("set-directory-default", "Set what holds where a source says nothing of personal licenses", s.setDefault)},
		{"POST", account + "/conference/ldap", keyed, access.Manage, rest("add-ldap-source", "Add an LDAP source", s.addLDAP, created)},
		{"GET", account + "/conference/ldap", keyed, access.See, rest("list-ldap-sources", "List the LDAP sources", s.listLDAP)},
		{"GET", ldap, keyed, access.See, rest("get-ldap-source", "Find an LDAP source", s.showLDAP)},
		{"PATCH", ldap, keyed, access.Manage, rest("change-ldap-source", "Change an LDAP source", s.changeLDAP)},
		{"DELETE", ldap, keyed, access.Manage, rest("remove-ldap-source", "Remove an LDAP source with the users that only it knew", s.removeLDAP)},
		{"POST", ldap + "/test", keyed, access.Manage, rest("test-ldap-source", "Read the first entries of an LDAP source, and change nothing", s.testLDAP)},
		{"POST", ldap + "/sync", keyed, access.Manage, rest("sync-ldap-source", "Read an LDAP source now", s.syncLDAP)},
	}
}

// LDAPPath names an LDAP source.
type LDAPPath struct {
	AccountPath
	Source string `path:"source" doc:"LDAP source, by id or name."`
}

// Accept agrees to a change that takes away much.
type Accept struct {
	Accept bool `query:"accept" doc:"Do it even if much is taken away."`
}

func (s *server) addLDAP(ctx context.Context, in *struct {
	AccountPath
	Body api.NewLDAPSource
}) (*reply[api.LDAPSource], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	var made conference.LDAPSource
	if err := overlay(&made, in.Body); err != nil {
		return nil, err
	}
	n := conference.NewLDAP{Name: deref(in.Body.Name), Like: deref(in.Body.Like), LDAPServer: made.LDAPServer, Password: trust.Secret(deref(in.Body.Password)), LDAPSettings: made.LDAPSettings}
	if in.Body.Every != nil {
		n.Every = &made.Every
	}
	made, err = s.Conference.AddLDAP(ctx, in.Who.ID, id, n)
	return answerWith(ldapOf(made, conference.SourceInfo{}), err)
}

func (s *server) changeLDAP(ctx context.Context, in *struct {
	LDAPPath
	Body api.NewLDAPSource
}) (*reply[api.LDAPSource], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	if in.Body.Name != nil || in.Body.Like != nil {
		return nil, license.Refuse(license.KindInvalid, "not-changeable", "add another source and remove this one", "the name and the server of a source stay")
	}
	if err := overlay(&conference.LDAPSource{}, in.Body); err != nil {
		return nil, err
	}
	_, err = s.Conference.SetLDAP(ctx, in.Who.ID, id, in.Source, trust.Secret(deref(in.Body.Password)), func(l *conference.LDAPSource) {
		_ = overlay(l, in.Body) // it was looked at above
	})
	if err != nil {
		return nil, err
	}
	return s.ldapSource(ctx, id, in.Source)
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// overlay puts what a document gives over what is known of a source.
func overlay(l *conference.LDAPSource, d api.NewLDAPSource) error {
	set(&l.URL, d.URL)
	set(&l.StartTLS, d.StartTLS)
	set(&l.CA, d.CA)
	set(&l.Fingerprint, d.Fingerprint)
	set(&l.BindDN, d.BindDN)
	set(&l.PlaintextBind, d.PlaintextBind)
	set(&l.BaseDN, d.BaseDN)
	set(&l.Filter, d.Filter)
	set(&l.Tenant, d.Tenant)
	set(&l.NoPaging, d.NoPaging)
	set((*string)(&l.Personal), d.Personal)
	if d.Mapping != nil {
		m := &l.Mapping
		for _, x := range []struct {
			to   *string
			text string
		}{{&m.JID, d.Mapping.JID}, {&m.Name, d.Mapping.Name}, {&m.UserID, d.Mapping.UserID}, {&m.Email, d.Mapping.Email}, {&m.CDRTag, d.Mapping.CDRTag},
			{&m.SpaceURI, d.Mapping.SpaceURI}, {&m.SpaceURI2, d.Mapping.SpaceSecondaryURI}, {&m.CallID, d.Mapping.SpaceCallID}} {
			if x.text != "" {
				*x.to = x.text
			}
		}
	}
	if d.Limits != nil {
		l.Limits.Removals, l.Limits.Licenses = d.Limits.Removals, d.Limits.Licenses
	}
	if d.Every != nil {
		every, err := time.ParseDuration(strings.TrimSpace(*d.Every))
		if err != nil {
			return license.Refuse(license.KindInvalid, "bad-interval", "write 6h, 30m, or 0 for on demand only", "%.40q is no interval", *d.Every)
		}
		l.Every = every
	}
	return nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s *server) listLDAP(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.LDAPSource]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(idPart("lds"))
	if err != nil {
		return nil, err
	}
	rows, infos, err := s.ldapSources(ctx, id)
	rows, next := cut(rows, after, in.Limit, func(l conference.LDAPSource) string { return l.ID })
	return listed(rows, next, err, func(l conference.LDAPSource) api.LDAPSource { return ldapOf(l, infos[l.ID]) })
}

func (s *server) showLDAP(ctx context.Context, in *LDAPPath) (*reply[api.LDAPSource], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	return s.ldapSource(ctx, id, in.Source)
}

func (s *server) ldapSource(ctx context.Context, account, source string) (*reply[api.LDAPSource], error) {
	found, err := s.Conference.FindLDAP(ctx, account, source)
	if err != nil {
		return nil, err
	}
	_, infos, err := s.ldapSources(ctx, account)
	return answerWith(ldapOf(found, infos[found.ID]), err)
}

// ldapSources are the LDAP sources, and what is in force of each, by id.
func (s *server) ldapSources(ctx context.Context, account string) ([]conference.LDAPSource, map[string]conference.SourceInfo, error) {
	rows, err := s.Conference.LDAPSources(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	all, err := s.Conference.Sources(ctx, account)
	infos := map[string]conference.SourceInfo{}
	for _, i := range all {
		infos[i.ID] = i
	}
	return rows, infos, err
}

func (s *server) removeLDAP(ctx context.Context, in *struct {
	LDAPPath
	Accept
}) (*reply[api.DirectorySummary], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	sum, err := s.Conference.RemoveLDAP(ctx, in.Who.ID, id, in.Source, in.Accept.Accept)
	return answerWith(directoryOf(sum), err)
}

func (s *server) testLDAP(ctx context.Context, in *LDAPPath) (*reply[api.LDAPTest], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	t, err := s.Conference.TestLDAP(ctx, id, in.Source)
	return answerWith(api.LDAPTest{Source: t.Source.ID, Entries: each(t.Entries, testEntryOf), More: t.More, Personal: t.Personal, Level: t.Level}, err)
}

func (s *server) syncLDAP(ctx context.Context, in *struct {
	LDAPPath
	Preview bool `query:"preview" doc:"Say what it would change, and change nothing."`
}) (*reply[api.DirectoryRun], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	run, err := s.Conference.SyncLDAP(ctx, in.Who.ID, id, in.Source, in.Preview)
	return answerWith(runOf(run), err)
}

func (s *server) listSources(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.DirectorySource]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(anyPart)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Sources(ctx, id)
	rows, next := cut(rows, after, in.Limit, func(i conference.SourceInfo) string { return url.QueryEscape(string(i.Kind) + ":" + i.ID) })
	return listed(rows, next, err, sourceOf)
}

func (s *server) acceptSource(ctx context.Context, in *struct {
	AccountPath
	Source string `path:"source" doc:"Source of the directory, by id or name."`
}) (*reply[api.DirectoryRun], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	run, err := s.Conference.AcceptSource(ctx, in.Who.ID, id, in.Source)
	return answerWith(runOf(run), err)
}

func (s *server) listRuns(ctx context.Context, in *struct {
	AccountPath
	Paging
	Source string `query:"source" doc:"Only this source, by id or name."`
}) (*reply[api.List[api.DirectoryRun]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	before, err := in.after(idPart("run"))
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Conference.Runs(ctx, id, in.Source, before, in.Limit)
	return listed(rows, next, err, runOf)
}

// anyPart is a part of keys that are escaped.
func anyPart(s string) bool {
	_, err := url.QueryUnescape(s)
	return s != "" && err == nil
}

func (s *server) listChanges(ctx context.Context, in *struct {
	AccountPath
	Paging
	From string `query:"from" doc:"Changes from then on: 2026-01-31 or RFC 3339; open when left out."`
	To   string `query:"to" doc:"Changes before then; open when left out."`
}) (*reply[api.List[api.DirectoryChange]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	from, to, err := period(in.From, in.To)
	if err != nil {
		return nil, err
	}
	rows, next, err := rowsAfter(in.Paging, func() ([]conference.DirectoryChange, error) { return s.Conference.Changes(ctx, id, from, s.until(to)) })
	return listed(rows, next, err, changeOf)
}

// rowsAfter is a page of rows that stand in an order to which is only added at the end; their keys are their numbers.
func rowsAfter[D any](p Paging, all func() ([]D, error)) (rows []D, next string, err error) {
	after, err := p.after(numberPart)
	if err != nil {
		return nil, "", err
	}
	if rows, err = all(); err != nil {
		return nil, "", err
	}
	first, _ := strconv.Atoi(after) // numberPart has looked at it
	first = min(first, len(rows))
	rows = rows[first:]
	if len(rows) > p.Limit {
		rows, next = rows[:p.Limit], strconv.Itoa(first+p.Limit)
	}
	return rows, next, nil
}

func (s *server) listDefaults(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.DirectoryDefault]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(anyPart)
	if err != nil {
		return nil, err
	}
	d, err := s.Conference.Defaults(ctx, id)
	rows := []api.DirectoryDefault{{Personal: string(d.System), InForce: string(d.InForce(""))}}
	for tenant, flag := range d.Tenants {
		rows = append(rows, api.DirectoryDefault{Tenant: tenant, Personal: string(flag), InForce: string(d.InForce(tenant))})
	}
	rows, next := cut(rows, after, in.Limit, func(d api.DirectoryDefault) string { return url.QueryEscape("t" + d.Tenant) })
	return listed(rows, next, err, func(d api.DirectoryDefault) api.DirectoryDefault { return d })
}

func (s *server) setDefault(ctx context.Context, in *struct {
	AccountPath
	Accept
	Body api.DirectoryDefault
}) (*reply[api.DirectorySummary], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	sum, err := s.Conference.SetDefault(ctx, in.Who.ID, id, in.Body.Tenant, in.Body.Personal, in.Accept.Accept)
	return answerWith(directoryOf(sum), err)
}
