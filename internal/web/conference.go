package web

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
)

// enableConference registers the engine like any product: with a token for one use, made for it and taken away again.
func (s *server) enableConference(ctx context.Context, in *struct {
	AccountPath
	Body api.Conference
}) (*reply[api.Conference], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	va, err := s.Authority.VirtualAccount(ctx, in.Who, id, in.Body.VirtualAccount)
	if err != nil {
		return nil, err
	}
	who := in.Who
	who.RequestKey = "" // enabling may be repeated, the token inside may not
	token := ""
	if status, err := s.Conference.Status(ctx, id); err != nil || status.Registration.Instance == "" {
		made, text, err := s.Authority.CreateToken(ctx, who, id, authority.NewToken{VirtualAccount: va.ID, Days: 1, MaxUses: 1, Description: "conference engine"})
		if err != nil {
			return nil, err
		}
		defer func() { _ = s.Authority.RemoveToken(context.WithoutCancel(ctx), who, id, made.ID) }() // it ends by itself in a day
		token = text.Reveal()
	}
	return answerWith(api.Conference{VirtualAccount: va.Name}, s.Conference.Enable(ctx, who.ID, id, va.ID, token))
}

func (s *server) createBridge(ctx context.Context, in *struct {
	AccountPath
	Body api.NewBridge
}) (*reply[api.Bridge], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	made, secret, err := s.Conference.AddBridge(ctx, in.Who.ID, id, in.Body.Name, in.Body.CallBridges)
	out := bridgeOf(made)
	out.URL = in.Address + "/cdr/" + secret.Reveal()
	return answerWith(out, err)
}

func bridgeOf(b conference.Bridge) api.Bridge {
	return api.Bridge{
		ID: b.ID, Name: b.Name, CreatedAt: b.CreatedAt, Allowed: b.Allowed, CallBridges: append([]string{}, b.CallBridges...), Quarantined: b.Quarantined, LastPostAt: optional(b.LastPostAt),
		Posts: b.Posts, Records: b.Records, Repeats: b.Repeats, Conflicts: b.Conflicts, Missing: b.Missing, Announced: b.Announced, Refused: b.Refused, Changing: b.Changing,
	}
}

// maxBridges leaves room for the one more that tells whether there is a next page.
const maxBridges = 999

func (s *server) listBridges(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.Bridge]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(idPart("brg"))
	if err != nil {
		return nil, err
	}
	limit, next := min(in.Limit, maxBridges), ""
	rows, err := s.Conference.Bridges(ctx, id, after, limit+1)
	if len(rows) > limit {
		rows, next = rows[:limit], rows[limit-1].ID
	}
	return listed(rows, next, err, bridgeOf)
}

func (s *server) listMeetings(ctx context.Context, in *struct {
	AccountPath
	Paging
	From    string `query:"from" doc:"Only meetings that began then or later: 2026-01-31 or RFC 3339."`
	To      string `query:"to" doc:"Only meetings that began before."`
	Running bool   `query:"running" doc:"Only meetings that run now: no end was heard, and they began, or began to take the license that they take, in the last 31 days."`
}) (*reply[api.List[api.Meeting]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	from, to, err := period(in.From, in.To)
	if err != nil {
		return nil, err
	}
	after, err := in.after(meetingPart)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Conference.Meetings(ctx, id, conference.Filter{From: from, To: to, Running: in.Running}, after, in.Limit)
	return listed(rows, next, err, s.meetingOf)
}

func (s *server) showMeeting(ctx context.Context, in *struct {
	AccountPath
	Meeting string `path:"meeting" doc:"Id of the meeting."`
}) (*reply[api.Meeting], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	found, err := s.Conference.Meeting(ctx, id, in.Meeting)
	return answerWith(s.meetingOf(found), err)
}

func (s *server) meetingOf(m conference.Meeting) api.Meeting {
	why, more := shorten(m.Why)
	return api.Meeting{
		ID: m.ID, Name: m.Name, Space: m.Space, Bridge: m.Bridge, Bridges: append([]string{}, m.Bridges...), CallType: m.CallType, StartedAt: m.StartedAt,
		EndedAt: m.EndedAt, Running: m.Runs(s.Now()), DurationSeconds: m.DurationSeconds, ParticipantsMax: m.ParticipantsMax, Policy: m.Policy, DirectoryVersion: m.DirectoryVersion,
		Segments: each(m.Segments, s.segmentOf), Why: each(why, meetingReason), More: more, Incomplete: m.Incomplete, Estimated: m.Estimated,
		Conflicts: m.Conflicts, Second: m.Second, Diagnosis: string(m.Diagnosis), Missing: some(m.Missing, missingOf),
		Participants: each(m.Participants, func(p conference.Participant) api.Participant { return api.Participant(p) }),
	}
}

func (s *server) segmentOf(g conference.Segment) api.Segment {
	why, more := shorten(g.Why)
	return api.Segment{
		From: g.From, To: g.To, CountedTo: g.CountedTo(s.Now()), License: s.Authority.Catalog().Name(license.Tag(g.Tag)), Tag: g.Tag, Sixths: g.Sixths, User: g.User, Rule: g.Rule,
		Why: each(why, meetingReason), More: more,
	}
}

func meetingReason(f conference.Fact) api.Reason {
	out := api.Reason{Code: f.Code, Text: f.Text, Fact: f.Text, Space: f.Args["space"], Name: f.Args["name"], Owner: f.Args["owner"], Type: f.Args["type"]}
	for name, value := range f.Args {
		switch name {
		case "space", "name", "owner", "type":
		default:
			if out.Args == nil {
				out.Args = map[string]string{}
			}
			out.Args[name] = value
		}
	}
	return out
}

func (s *server) listUsage(ctx context.Context, in *struct {
	AccountPath
	Paging
	From string `query:"from" doc:"Begin: 2026-01-31 or RFC 3339; the hour in which it lies is whole. Open when left out."`
	To   string `query:"to" doc:"End, which is not part of it; open when left out."`
}) (*reply[api.List[api.HourUse]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	from, to, err := period(in.From, in.To)
	if err != nil {
		return nil, err
	}
	after, err := in.after(hourPart, tagPart)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Usage(ctx, id, from, s.until(to))
	rows, next := cut(rows, after, in.Limit, func(u conference.HourUsage) string { return u.Hour.UTC().Format(time.RFC3339) + " " + u.Tag })
	return listed(rows, next, err, func(u conference.HourUsage) api.HourUse {
		return api.HourUse{
			Hour: u.Hour, License: s.Authority.Catalog().Name(license.Tag(u.Tag)), Tag: u.Tag, PeakSixths: u.Sixths, Licenses: u.Licenses, PeakAt: u.PeakAt,
			Meetings: u.Meetings,
		}
	})
}

// directoryBody describes the directory file.
func (s *server) directoryBody(op *huma.Operation) {
	op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: s.schema(api.Directory{})}}}
	op.SkipValidateBody = true // the reader of directory files says better what is wrong
	op.MaxBodyBytes = conference.MaxDirectory + 1
	op.BodyReadTimeout = time.Minute
}

func (s *server) importDirectory(ctx context.Context, in *struct {
	AccountPath
	Accept
	RawBody []byte
}) (*reply[api.DirectorySummary], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	take := s.Conference.ImportDirectory
	if in.Accept.Accept {
		take = s.Conference.ReplaceDirectory
	}
	sum, err := take(ctx, in.Who.ID, id, in.RawBody)
	return answerWith(directoryOf(sum), err)
}

func (s *server) showDirectory(ctx context.Context, in *AccountPath) (*reply[api.DirectorySummary], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	sum, err := s.Conference.Directory(ctx, id)
	return answerWith(directoryOf(sum), err)
}

func directoryOf(d conference.DirectorySummary) api.DirectorySummary {
	return api.DirectorySummary{
		Version: d.Version, ImportedAt: optional(d.ImportedAt), ImportedBy: d.ImportedBy, Users: d.Users, Spaces: d.Spaces, Devices: d.Devices, Personal: d.Personal,
		Unchanged: d.Unchanged, UnknownOwners: d.UnknownOwners, UsersGone: d.UsersGone, SpacesGone: d.SpacesGone,
	}
}
