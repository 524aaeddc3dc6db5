package web

import (
	"context"
	"net/url"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/conference"
)

// The directory as it is shown. Package web does not see package directory, so its values are taken over field by field.

func (s *server) listDirectoryUsers(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.DirectoryPerson]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(anyPart)
	if err != nil {
		return nil, err
	}
	m, err := s.Conference.Merged(ctx, id)
	var rows []api.DirectoryPerson
	for _, p := range m.People {
		rows = append(rows, api.DirectoryPerson{JID: p.JID, Name: p.Name, UserID: p.UserID, Email: p.Email, GUID: p.GUID, CDRTag: p.CDRTag, PersonalLicense: p.License,
			Level: p.Level, By: p.By, Sources: p.Sources})
	}
	rows, next := cut(rows, after, in.Limit, func(p api.DirectoryPerson) string { return url.QueryEscape(p.JID) })
	return listed(rows, next, err, same)
}

func same[T any](v T) T { return v }

func (s *server) listDirectorySpaces(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.KnownSpace]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(anyPart)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Spaces(ctx, id)
	rows, next := cut(rows, after, in.Limit, func(p conference.KnownSpace) string { return url.QueryEscape(p.ID) })
	return listed(rows, next, err, func(p conference.KnownSpace) api.KnownSpace {
		return api.KnownSpace{ID: p.ID, Name: p.Name, Owner: p.Owner, NamedBy: p.NamedBy, JID: p.JID, PersonalLicense: p.Personal, Sources: p.Sources, Bridges: p.Bridges,
			SeenAt: optional(p.SeenAt)}
	})
}

func (s *server) listClashes(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.DirectoryClash]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	rows, next, err := rowsAfter(in.Paging, func() (rows []api.DirectoryClash, err error) {
		m, err := s.Conference.Merged(ctx, id)
		for _, c := range m.Clashes {
			rows = append(rows, api.DirectoryClash{Code: c.Code, Text: c.Text(), Value: c.Value, Kept: c.Kept, Dropped: c.Dropped})
		}
		return rows, err
	})
	return listed(rows, next, err, same)
}

func ldapOf(l conference.LDAPSource, i conference.SourceInfo) api.LDAPSource {
	return api.LDAPSource{
		ID: l.ID, Name: l.Name, Server: l.ServerID, URL: l.URL, StartTLS: l.StartTLS, CA: l.CA, Fingerprint: l.Fingerprint, BindDN: l.BindDN, PlaintextBind: l.PlaintextBind,
		BaseDN: l.BaseDN, Filter: l.Filter, Tenant: l.Tenant, Personal: string(l.Personal), NoPaging: l.NoPaging, Every: l.Every.String(), AddedAt: l.AddedAt,
		Mapping: api.LDAPMapping{JID: l.Mapping.JID, Name: l.Mapping.Name, UserID: l.Mapping.UserID, Email: l.Mapping.Email, CDRTag: l.Mapping.CDRTag,
			SpaceURI: l.Mapping.SpaceURI, SpaceSecondaryURI: l.Mapping.SpaceURI2, SpaceCallID: l.Mapping.CallID},
		Limits: api.LDAPLimits{Removals: l.Limits.Removals, Licenses: l.Limits.Licenses}, NextAt: optional(l.NextAt), Users: i.Users, Held: heldID(i.Held), Last: lastRun(i.Last),
	}
}

// heldID is the id of a run that waits; empty for none.
func heldID(r *conference.Run) string {
	if r == nil {
		return ""
	}
	return r.ID
}

func lastRun(r *conference.Run) *api.DirectoryRun {
	if r == nil {
		return nil
	}
	last := runOf(*r)
	return &last
}

func sourceOf(i conference.SourceInfo) api.DirectorySource {
	return api.DirectorySource{
		Kind: string(i.Kind), ID: i.ID, Name: i.Name, Tenant: i.Tenant, Personal: string(i.Personal), Users: i.Users, Spaces: i.Spaces, AcceptedAt: optional(i.AcceptedAt),
		AcceptedBy: i.AcceptedBy, Held: heldID(i.Held), Last: lastRun(i.Last),
	}
}

func runOf(r conference.Run) api.DirectoryRun {
	out := api.DirectoryRun{
		ID: r.ID, Kind: string(r.Kind), Source: r.Source, Name: r.Name, State: r.State, StartedAt: r.StartedAt, EndedAt: r.EndedAt, By: r.By, AcceptedAt: optional(r.AcceptedAt),
		AcceptedBy: r.AcceptedBy, Version: r.Version, Entries: r.Entries, Users: r.Users, Skipped: r.Skipped, Clashes: r.Clashes, Added: r.Added, Removed: r.Removed,
		Gained: r.Gained, Lost: r.Lost, Code: r.Code, Detail: r.Message, Hint: r.Hint, Referrals: r.Referrals,
	}
	for _, h := range r.Reasons {
		out.Reasons = append(out.Reasons, api.HoldReason{Code: h.Code, Text: h.Text(), Lost: h.Lost, Of: h.Of, Limit: h.Limit})
	}
	for _, k := range r.Skips {
		out.Skips = append(out.Skips, api.LDAPTestEntry{DN: k.DN, Skip: k.Code, Detail: k.Detail, Text: k.Text()})
	}
	for _, c := range r.Twice {
		out.Twice = append(out.Twice, api.DirectoryClash{Code: c.Code, Text: c.Text(), Value: c.Value, Kept: c.Kept, Dropped: c.Dropped})
	}
	return out
}

func testEntryOf(e conference.LDAPEntry) api.LDAPTestEntry {
	out := api.LDAPTestEntry{DN: e.DN, Skip: e.Skip.Code, Detail: e.Skip.Detail, Text: e.Skip.Text()}
	if u := e.User; u.JID != "" {
		out.User = &api.DirectoryPerson{JID: u.JID, Name: u.Name, UserID: u.UserID, Email: u.Email, GUID: u.GUID, CDRTag: u.CDRTag}
	}
	return out
}

func changeOf(c conference.DirectoryChange) api.DirectoryChange {
	return api.DirectoryChange{Day: c.At.UTC().Format(time.DateOnly), At: c.At, Version: c.Version, JID: c.JID, Name: c.Name, What: c.What, Source: c.Source, By: c.By}
}
