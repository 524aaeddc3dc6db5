package web

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
)

// CountedPath is the account and the period of a question about counts.
type CountedPath struct {
	AccountPath
	From string `query:"from" doc:"Begin of the period: 2026-01-31 or RFC 3339; 30 days before its end when left out."`
	To   string `query:"to" doc:"End of the period, which is not part of it; now when left out."`
}

// counted is the account that a question is about, and its period. An account without the engine has no counts, and is told so.
func (s *server) counted(ctx context.Context, in *CountedPath) (id string, from, to time.Time, err error) {
	if id, err = s.Authority.Scope(ctx, in.Who, access.See, in.Account); err == nil {
		from, to, err = period(in.From, in.To)
	}
	if err == nil {
		_, err = s.Conference.EngineVA(ctx, id)
	}
	return id, from, to, err
}

func (s *server) nameOf(tag string) string { return s.Authority.Catalog().Name(license.Tag(tag)) }

func (s *server) listDays(ctx context.Context, in *struct {
	CountedPath
	Paging
}) (*reply[api.List[api.DayUse]], error) {
	id, from, to, err := s.counted(ctx, &in.CountedPath)
	if err != nil {
		return nil, err
	}
	after, err := in.after(hourPart, tagPart)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Days(ctx, id, from, to)
	rows, next := cut(rows, after, in.Limit, func(d conference.DayUsage) string { return d.Day.UTC().Format(time.RFC3339) + " " + d.Tag })
	return listed(rows, next, err, func(d conference.DayUsage) api.DayUse {
		return api.DayUse{Day: d.Day, License: s.nameOf(d.Tag), Tag: d.Tag, PeakSixths: d.Sixths, Licenses: d.Licenses, PeakAt: optional(d.PeakAt),
			SampledSixths: d.Sampled, Meetings: d.Meetings, SixthSeconds: d.Used, Assigned: d.Assigned, Entitled: d.Entitled, Over: d.Over}
	})
}

func (s *server) listLevels(ctx context.Context, in *struct {
	CountedPath
	Paging
}) (*reply[api.List[api.LevelUse]], error) {
	id, from, to, err := s.counted(ctx, &in.CountedPath)
	if err != nil {
		return nil, err
	}
	after, err := in.after(tagPart)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Levels(ctx, id, from, to)
	rows, next := cut(rows, after, in.Limit, func(l conference.LevelUsage) string { return l.Tag })
	return listed(rows, next, err, func(l conference.LevelUsage) api.LevelUse {
		out := api.LevelUse{License: s.nameOf(l.Tag), Tag: l.Tag, From: l.From, To: l.To, PeakSixths: l.Sixths, PeakAt: optional(l.PeakAt),
			SampledSixths: l.Sampled, SixthSeconds: l.Used, Levels: make([]api.LevelTime, len(l.Levels))}
		curve := meeting.Curve(l.Levels)
		for i, t := range l.Levels {
			out.Levels[i] = api.LevelTime{Sixths: int64(t.Sixths), Milliseconds: t.For.Milliseconds(), AtLeastMilliseconds: curve[len(curve)-1-i].For.Milliseconds()}
		}
		return out
	})
}

func (s *server) listPeaks(ctx context.Context, in *struct {
	CountedPath
	Paging
}) (*reply[api.List[api.PeakUse]], error) {
	id, from, to, err := s.counted(ctx, &in.CountedPath)
	if err != nil {
		return nil, err
	}
	after, err := in.after(tagPart)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Peaks(ctx, id, from, to)
	rows, next := cut(rows, after, in.Limit, func(p conference.PeakUsage) string { return p.Tag })
	return listed(rows, next, err, func(p conference.PeakUsage) api.PeakUse {
		return api.PeakUse{License: s.nameOf(p.Tag), Tag: p.Tag, From: p.From, To: p.To, PeakSixths: p.Sixths, Licenses: p.Licenses, PeakAt: optional(p.At),
			SampledSixths: p.Sampled, Entitled: p.Entitled, Meetings: each(p.Meetings, peakMeetingOf), More: p.More}
	})
}

func peakMeetingOf(m conference.PeakMeeting) api.PeakMeeting {
	why, more := shorten(m.Why)
	return api.PeakMeeting{Meeting: m.Meeting, Name: m.Name, Space: m.Space, Bridge: m.Bridge, Host: m.Host, User: m.User, Class: m.Class, Sixths: m.Sixths,
		From: m.From, To: m.To, Why: each(why, meetingReason), More: more}
}

// maxShortages is how many shortages one answer lists; the report has all.
const maxShortages = 1000

func (s *server) showDemand(ctx context.Context, in *CountedPath) (*reply[api.Demand], error) {
	id, from, to, err := s.counted(ctx, in)
	if err != nil {
		return nil, err
	}
	d, err := s.Conference.Demand(ctx, id, from, to)
	a := d.Advice
	shown := a.Shortages[:min(len(a.Shortages), maxShortages)]
	return answerWith(api.Demand{
		From: d.From, To: d.To, Seconds: int64(a.Short / time.Second), Buy: a.Buy, Suffices: a.Removes, Rest: a.Rest, More: len(a.Shortages) - len(shown),
		Give: each(a.Give, func(c meeting.Candidate) api.Candidate {
			return api.Candidate{User: c.Host, Meetings: c.Meetings, Seconds: int64(c.For / time.Second)}
		}),
		Causes: each(a.Causes, func(c meeting.Cause) api.Cause { return api.Cause(c) }),
		Shortages: each(shown, func(g meeting.Shortage) api.Shortage {
			return api.Shortage{From: g.From, To: g.To, UsedSixths: int64(g.Most), UsedAt: g.At, Entitled: g.Entitled, Missing: g.Missing()}
		}),
		Meetings: each(d.Meetings, func(m conference.DemandMeeting) api.DemandMeeting {
			return api.DemandMeeting{Meeting: m.Meeting, Name: m.Name, Host: m.Host, Sixths: m.Sixths, Cause: m.Cause, Text: m.Text}
		}),
		Why: each(d.Why, meetingReason),
	}, err)
}

func (s *server) showCompliance(ctx context.Context, in *AccountPath) (*reply[api.Compliance], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	if _, err := s.Conference.EngineVA(ctx, id); err != nil {
		return nil, err
	}
	return s.compliance(ctx, id)
}

func (s *server) compliance(ctx context.Context, id string) (*reply[api.Compliance], error) {
	c, err := s.Conference.Compliance(ctx, id)
	return answerWith(api.Compliance{
		Thresholds: c.Thresholds[:], Window: meeting.WindowDays, Level: c.Level,
		Licenses: each(c.Licenses, func(l conference.LicenseStanding) api.LicenseStanding {
			basis := "peak"
			if l.Assigned {
				basis = "assigned"
			}
			return api.LicenseStanding{
				License: s.nameOf(l.Tag), Tag: l.Tag, Basis: basis, Entitled: l.Entitled, Used: l.Used, From: l.From, To: l.To, DaysOver: len(l.Over), Level: l.Level,
				Over: each(l.Over, func(d meeting.Day) api.OverDay {
					return api.OverDay{Day: d.Date, UsedSixths: int64(d.Used), Entitled: d.Entitled, Missing: d.Over().Licenses()}
				}),
				Falls: each(l.Falls, func(f meeting.Fall) api.LevelOn { return api.LevelOn(f) }),
				Why:   each(l.Why, meetingReason),
			}
		}),
		Bridges: each(c.Bridges, func(b conference.BridgeStanding) api.BridgeStanding {
			return api.BridgeStanding{Bridge: b.Bridge, Name: b.Name, Level: b.Level, Why: each(b.Why, meetingReason)}
		}),
	}, err)
}

func (s *server) setThresholds(ctx context.Context, in *struct {
	AccountPath
	Body api.Thresholds
}) (*reply[api.Compliance], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	if err := s.Conference.SetThresholds(ctx, in.Who.ID, id, meeting.Thresholds(in.Body.Thresholds)); err != nil {
		return nil, err
	}
	return s.compliance(ctx, id)
}

func (s *server) listAllocation(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.Allocated]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(tagPart)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Allocations(ctx, id)
	rows, next := cut(rows, after, in.Limit, func(a conference.AllocatedLicense) string { return a.Tag })
	return listed(rows, next, err, s.allocatedOf)
}

func (s *server) allocatedOf(a conference.AllocatedLicense) api.Allocated {
	return api.Allocated{License: s.nameOf(a.Tag), Tag: a.Tag, Purchased: a.Purchased, Allocated: a.Allocated, Unallocated: a.Unallocated, Excess: a.Excess,
		Bridges: each(a.Bridges, func(b conference.AllocatedBridge) api.AllocatedBridge {
			return api.AllocatedBridge{Bridge: b.Bridge, Name: b.Name, Quantity: b.Quantity, PeakSixths: b.Sixths, Why: each(b.Why, meetingReason)}
		})}
}

func (s *server) allocate(ctx context.Context, in *struct {
	AccountPath
	Body api.NewAllocation
}) (*reply[api.List[api.Allocated]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	if err := s.Conference.Allocate(ctx, in.Who.ID, id, in.Body.Bridge, in.Body.Quantities); err != nil {
		return nil, err
	}
	rows, err := s.Conference.Allocations(ctx, id)
	return listed(rows, "", err, s.allocatedOf)
}

func (s *server) listActivation(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.Activation]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(idPart("brg"))
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Activations(ctx, id)
	rows, next := cut(rows, after, in.Limit, func(a conference.BridgeActivation) string { return a.Bridge })
	return listed(rows, next, err, activationOf)
}

func activationOf(a conference.BridgeActivation) api.Activation {
	return api.Activation{
		Bridge: a.Bridge, Name: a.Name, Level: a.Level, RenewedAt: optional(a.RenewedAt), Why: each(a.Why, meetingReason),
		Keys: each(a.Keys, func(k meeting.Key) api.ActivationKey {
			return api.ActivationKey{CallBridge: k.Bridge, Present: k.Present, Read: k.Read, Until: optional(k.Until)}
		}),
		Features: each(a.Features, func(f meeting.Pushed) api.Feature {
			return api.Feature{Name: f.Name, Status: f.Status, Expiry: optional(f.Expiry)}
		}),
	}
}

func (s *server) setActivation(ctx context.Context, in *struct {
	AccountPath
	Body api.NewActivationKey
}) (*reply[api.List[api.Activation]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	key := meeting.Key{Bridge: in.Body.CallBridge, Present: in.Body.Present}
	if in.Body.Until != nil {
		key.Until = *in.Body.Until
	}
	if err := s.Conference.SetActivation(ctx, in.Who.ID, id, in.Body.Bridge, key); err != nil {
		return nil, err
	}
	rows, err := s.Conference.Activations(ctx, id)
	return listed(rows, "", err, activationOf)
}

func (s *server) listSnapshots(ctx context.Context, in *struct {
	AccountPath
	Paging
	From       string `query:"from" doc:"Begin of the period: 2026-01-31 or RFC 3339; 24 hours before its end when left out."`
	To         string `query:"to" doc:"End of the period, which is not part of it; now when left out. At most 31 days."`
	Bridge     string `query:"bridge" doc:"Only this bridge, by id or name."`
	CallBridge string `query:"callBridge" doc:"GUID: only what is on this call bridge, in parts where a meeting is on others too."`
}) (*reply[api.List[api.Snapshot]], error) {
	id, from, to, err := s.counted(ctx, &CountedPath{in.AccountPath, in.From, in.To})
	if err != nil {
		return nil, err
	}
	after, err := in.after(hourPart)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.Snapshots(ctx, id, conference.SnapshotFilter{From: from, To: to, Bridge: in.Bridge, CallBridge: in.CallBridge})
	rows, next := cut(rows, after, in.Limit, func(r meeting.Snapshot) string { return r.At.UTC().Format(time.RFC3339) })
	return listed(rows, next, err, func(r meeting.Snapshot) api.Snapshot {
		return api.Snapshot{Time: r.At, PMP: r.Personal.Decimal(2), PMPAssigned: r.Assigned, SMPAud: r.Audio.Decimal(2), SMPPtP: r.PointToPoint.Decimal(2),
			SMPFull: r.Full.Decimal(2), Rec: r.Recordings.Decimal(2), Str: r.Streams.Decimal(2), SMPSixths: int64(r.Shared())}
	})
}
