package web

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/trust"
)

// BridgePath is the input of what belongs to one bridge.
type BridgePath struct {
	AccountPath
	Bridge string `path:"bridge" doc:"Bridge, by id or name."`
}

// bridgeAPIRoutes are the rows of the table for the APIs of call bridges.
func (s *server) bridgeAPIRoutes() []route {
	const bridge = account + "/conference/bridges/{bridge}"
	return []route{
		{"PUT", bridge + "/apis", keyed, access.Manage, rest("set-bridge-api", "Say where the API of a call bridge is", s.setBridgeAPI)},
		{"GET", bridge + "/apis", keyed, access.See, rest("list-bridge-apis", "List the APIs of a bridge's call bridges and what they said", s.listBridgeAPIs)},
		{"DELETE", bridge + "/apis", keyed, access.Manage, rest("remove-bridge-apis", "Forget the APIs of a bridge's call bridges", s.removeBridgeAPIs)},
		{"POST", bridge + "/apis/test", keyed, access.Manage, rest("test-bridge-api", "Sign in at the API of a call bridge, and keep nothing", s.testBridgeAPI)},
		{"POST", bridge + "/apis/poll", keyed, access.Manage, rest("poll-bridge-apis", "Ask the APIs of a bridge's call bridges now", s.pollBridgeAPIs)},
		{"GET", bridge + "/reconciliation", keyed, access.See, rest("reconcile", "Compare the call bridges' own count with ours", s.reconcile)},
	}
}

func newBridgeAPI(b api.NewBridgeAPI) conference.NewBridgeAPI {
	return conference.NewBridgeAPI{URL: b.URL, User: b.User, Password: trust.Secret(b.Password), CA: b.CA, Fingerprint: b.Fingerprint, CallBridge: b.CallBridge,
		Every: time.Duration(b.IntervalSeconds) * time.Second}
}

func (s *server) setBridgeAPI(ctx context.Context, in *struct {
	BridgePath
	Body api.NewBridgeAPI
}) (*reply[api.BridgeAPI], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	a, err := s.Conference.SetBridgeAPI(ctx, in.Who.ID, id, in.Bridge, newBridgeAPI(in.Body))
	return answerWith(bridgeAPIOf(a), err)
}

func (s *server) listBridgeAPIs(ctx context.Context, in *struct {
	BridgePath
	Paging
}) (*reply[api.List[api.BridgeAPI]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(idPart("api"))
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.BridgeAPIs(ctx, id, in.Bridge)
	rows, next := cut(rows, after, in.Limit, func(a conference.BridgeAPI) string { return a.ID })
	return listed(rows, next, err, bridgeAPIOf)
}

func (s *server) removeBridgeAPIs(ctx context.Context, in *struct {
	BridgePath
	API    string `query:"api" doc:"Only this one, by address or id."`
	Forget bool   `query:"forget" doc:"With the last one, take away the spaces and users that only these call bridges know."`
}) (*reply[api.RemovedBridgeAPIs], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	n, err := s.Conference.RemoveBridgeAPI(ctx, in.Who.ID, id, in.Bridge, in.API, in.Forget)
	return answerWith(api.RemovedBridgeAPIs{Removed: n}, err)
}

func (s *server) testBridgeAPI(ctx context.Context, in *struct {
	BridgePath
	Body api.NewBridgeAPI
}) (*reply[api.BridgeAPIState], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	found, err := s.Conference.TestBridgeAPI(ctx, id, in.Bridge, newBridgeAPI(in.Body))
	return answerWith(apiStateOf(found), err)
}

func (s *server) pollBridgeAPIs(ctx context.Context, in *BridgePath) (*reply[api.List[api.BridgeAPI]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.PollBridgeAPIs(ctx, in.Who.ID, id, in.Bridge)
	return listed(rows, "", err, bridgeAPIOf)
}

func bridgeAPIOf(a conference.BridgeAPI) api.BridgeAPI {
	return api.BridgeAPI{ID: a.ID, Bridge: a.Bridge, BridgeName: a.BridgeName, URL: a.URL, User: a.User, Trust: a.Trust, CallBridge: a.CallBridge,
		IntervalSeconds: int64(a.Every / time.Second), SetAt: optional(a.SetAt), SetBy: a.SetBy, NextAt: optional(a.NextAt), Found: apiStateOf(a.Found)}
}

func apiStateOf(f conference.APIState) api.BridgeAPIState {
	out := api.BridgeAPIState{
		AskedAt: optional(f.AskedAt), AnsweredAt: optional(f.AnsweredAt), Version: f.Version, Host: f.Host, Cluster: f.Cluster, StartedAt: optional(f.StartedAt),
		Calls: f.Calls, Running: f.Running, Receives: f.Receives, Snapshots: f.Snapshots, Missing: f.Missing, Advice: f.Advice(),
		Alarms: each(f.Alarms, func(a conference.APIAlarm) api.BridgeAlarm { return api.BridgeAlarm(a) }),
	}
	if f.Failure != nil {
		out.Failure = &api.BridgeAPIFailure{Code: f.Failure.Code, Detail: f.Failure.Message, Hint: f.Failure.Hint}
	}
	if m := f.Multiparty; m != nil {
		out.Licenses = &api.BridgeAPILicenses{Users: m.Users, Personal: m.Personal, Participants: m.Participants, Calls: m.Calls, Weighted: m.Weighted,
			WithoutPersonal: m.WithoutPmp, WeightedWithoutPersonal: m.WeightedNoPmp}
	}
	if l := f.Licensing; l != nil {
		out.Licensing = &api.BridgeLicensing{Document: l.Document, Features: each(l.Features, func(v conference.APIFeature) api.BridgeFeature {
			return api.BridgeFeature{Name: v.Name, Status: v.Status, Expiry: optional(v.Expiry)}
		})}
	}
	if a := f.Active; a != nil {
		out.Active = &api.BridgeActive{There: a.There, Here: a.Here, OnlyThere: a.OnlyThere}
	}
	if t := f.Tail; t.State != "" {
		out.Tail = &api.BridgeTail{State: t.State, CallBridge: t.CallBridge, Session: t.Session, Next: t.Next, Heard: t.Heard, Lost: t.Lost}
	}
	for _, id := range slices.Sorted(maps.Keys(f.Hosts)) {
		out.Hosts = append(out.Hosts, api.BridgeHost{ID: id, Newest: f.Hosts[id]})
	}
	if d := f.Directory; d != nil {
		out.Directory = &api.BridgeAPIDirectory{ReadAt: d.ReadAt, State: d.State, Run: d.Run, Users: d.Users, Spaces: d.Spaces}
	}
	return out
}

func (s *server) reconcile(ctx context.Context, in *struct {
	BridgePath
	From  string `query:"from" doc:"Begin: 2026-01-31 or RFC 3339; a day before the end when left out."`
	To    string `query:"to" doc:"End, which is not part of it; now when left out."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many differences."`
}) (*reply[api.Reconciliation], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	from, to, err := period(in.From, in.To)
	if err != nil {
		return nil, err
	}
	r, err := s.Conference.Reconcile(ctx, id, in.Bridge, from, to, in.Limit)
	return answerWith(reconciliationOf(r), err)
}

func reconciliationOf(r conference.Reconciliation) api.Reconciliation {
	return api.Reconciliation{
		Bridge: r.Bridge, BridgeName: r.BridgeName, From: r.From, To: r.To, Hosts: r.Hosts, Compared: r.Compared, Partial: r.Partial, Differing: r.Differing,
		PeakExactSixths: r.PeakExact, PeakSampledSixths: r.PeakSampled, PeakAt: optional(r.PeakAt), PeakTheirs: r.PeakTheirs, PeakTheirsAt: optional(r.PeakTheirsAt),
		Assigned: r.Assigned, AssignedTheirs: r.AssignedTheirs, Proposed: r.Proposed, Skipped: r.Skipped,
		Differences: each(r.Differences, func(d conference.CountDifference) api.CountDifference {
			return api.CountDifference{At: d.At, Ours: api.Tally(d.Ours), Theirs: api.Tally(d.Theirs), More: d.More,
				Meetings: each(d.Meetings, func(m conference.CountedMeeting) api.CountedMeeting { return api.CountedMeeting(m) })}
		}),
		Policies: each(r.Fits, func(f conference.PolicyFit) api.PolicyExplanation {
			return api.PolicyExplanation{Policy: policyOf(f.Policy), InForce: f.InForce, Distance: f.Distance}
		}),
	}
}
