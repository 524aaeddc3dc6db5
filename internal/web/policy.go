package web

import (
	"cmp"
	"context"
	"strings"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
)

func policyOf(p meeting.Policy) api.Policy {
	return api.Policy{Name: p.Name, Version: p.Version, Options: p.Values(), Text: p.String()}
}

func bridgePolicyOf(p conference.BridgePolicy) api.BridgePolicy {
	return api.BridgePolicy{
		Bridge: p.Bridge, BridgeName: p.BridgeName, Policy: policyOf(p.Policy), Own: p.Own, Version: p.Version, SetAt: optional(p.SetAt), SetBy: p.SetBy,
		Unchanged: p.Unchanged,
	}
}

// allBridges is the cursor's word for the row that is about all bridges.
const allBridges = "all"

func (s *server) listPolicies(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.BridgePolicy]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(func(part string) bool { return part == allBridges || idPart("brg")(part) })
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Policies(ctx, id)
	rows, next := cut(rows, after, in.Limit, func(p conference.BridgePolicy) string { return cmp.Or(p.Bridge, allBridges) })
	return listed(rows, next, err, bridgePolicyOf)
}

func (s *server) setPolicy(ctx context.Context, in *struct {
	AccountPath
	Body api.NewPolicy
}) (*reply[api.BridgePolicy], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	p, err := s.Conference.SetPolicy(ctx, in.Who.ID, id, in.Body.Bridge, in.Body.Name, in.Body.Options)
	return answerWith(bridgePolicyOf(p), err)
}

func (s *server) listPolicyOptions(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.PolicyOption]], error) {
	if _, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account); err != nil {
		return nil, err
	}
	after, err := in.after(func(part string) bool { return part != "" })
	if err != nil {
		return nil, err
	}
	rows, next := cut(meeting.OptionList(), after, in.Limit, func(o meeting.Option) string { return o.Key })
	return listed(rows, next, nil, func(o meeting.Option) api.PolicyOption {
		return api.PolicyOption{Key: o.Key, Values: o.Values, Default: o.Default, Doc: o.Doc}
	})
}

// ask decides a meeting that has not taken place.
func (s *server) ask(ctx context.Context, in *struct {
	AccountPath
	Space        string   `query:"space" maxLength:"1024" doc:"A meeting in this space: identifier or name."`
	Owner        string   `query:"owner" maxLength:"1024" doc:"JID or sign-in name of who owns the space, in place of whom the directory has."`
	AdHoc        string   `query:"adhoc" maxLength:"1024" doc:"An ad hoc meeting for which call control passes this GUID or name; none for nothing."`
	Booking      string   `query:"booking" maxLength:"1024" doc:"A booked meeting for which the scheduler passes this owner; none for nothing."`
	Gateway      bool     `query:"gateway" doc:"A gateway call."`
	Lync         bool     `query:"lync" doc:"A call with a Lync or Skype for Business meeting."`
	Member       []string `query:"member,explode" maxItems:"100" doc:"JID, address, device or sign-in name of a participant; may repeat."`
	Participants int      `query:"participants" minimum:"0" maximum:"10000" doc:"How many take part; 3 when left out, and never fewer than those named."`
	Audio        bool     `query:"audio" doc:"Nobody has a picture."`
	Bridge       string   `query:"bridge" maxLength:"128" doc:"Id or name of the bridge whose policy is asked; that of all bridges when left out."`
	Policy       string   `query:"policy" maxLength:"128" doc:"Only this policy; each when left out."`
	Option       []string `query:"option,explode" maxItems:"100" doc:"key=value: an option in place of the one in force; may repeat."`
}) (*reply[api.List[api.Decision]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	q := conference.Question{
		Question: meeting.Question{
			Space: in.Space, Owner: in.Owner, AdHoc: in.AdHoc, Booking: in.Booking, Gateway: in.Gateway, Lync: in.Lync, Members: in.Member,
			Participants: in.Participants, Audio: in.Audio,
		},
		Bridge: in.Bridge, Policy: in.Policy, Options: map[string]string{},
	}
	for _, o := range in.Option {
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			return nil, license.Refuse(license.KindInvalid, "bad-option", "write option=key=value", "%.200q is no option with its value", o)
		}
		q.Options[key] = value
	}
	answers, err := s.Conference.Ask(ctx, id, q)
	return listed(answers, "", err, s.decisionOf)
}

func (s *server) decisionOf(a conference.Answer) api.Decision {
	why, more := shorten(a.Why)
	out := api.Decision{Policy: policyOf(a.Policy), InForce: a.InForce, DirectoryVersion: a.Directory, Diagnosis: string(a.Diagnosis), Why: each(why, meetingReason), More: more}
	if len(a.Segments) > 0 {
		g := a.Segments[0]
		tag := g.License.Tag()
		out.License, out.Tag, out.Sixths, out.User, out.Rule = s.Authority.Catalog().Name(license.Tag(tag)), tag, int64(g.Sixths), g.User, g.Rule
	}
	return out
}
