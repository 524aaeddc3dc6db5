package web

import (
	"context"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/conference"
)

// ReplayInput says which meetings are decided again.
type ReplayInput struct {
	AccountPath
	Paging
	Bridge string `query:"bridge" doc:"Only meetings of this bridge, by id or name."`
	From   string `query:"from" doc:"Only meetings that began then or later: 2026-01-31 or RFC 3339."`
	To     string `query:"to" doc:"Only meetings that began before."`
}

func (s *server) showReplay(ctx context.Context, in *struct {
	ReplayInput
	Policy string `query:"policy" doc:"What this policy would have decided; the one that each meeting is bound to when left out."`
}) (*reply[api.Replay], error) {
	return s.replay(ctx, access.See, &in.ReplayInput, conference.ReplayOptions{Policy: in.Policy})
}

func (s *server) writeReplay(ctx context.Context, in *ReplayInput) (*reply[api.Replay], error) {
	return s.replay(ctx, access.Manage, in, conference.ReplayOptions{Write: true})
}

func (s *server) replay(ctx context.Context, action access.Action, in *ReplayInput, o conference.ReplayOptions) (*reply[api.Replay], error) {
	id, err := s.Authority.Scope(ctx, in.Who, action, in.Account)
	if err != nil {
		return nil, err
	}
	if o.From, o.To, err = period(in.From, in.To); err != nil {
		return nil, err
	}
	after, err := in.after(meetingPart)
	if err != nil {
		return nil, err
	}
	o.Bridge = in.Bridge
	r, next, err := s.Conference.Replay(ctx, id, o, after, in.Limit)
	return answerWith(api.Replay{
		Meetings: r.Meetings, Records: r.Records, Kept: r.Kept, Differing: r.Differing, Written: r.Written, Next: writeCursor(next),
		Differences: each(r.Differences, func(d conference.Difference) api.Difference { return api.Difference(d) }),
		Totals:      each(r.Totals, func(t conference.ReplayTotal) api.ReplayTotal { return api.ReplayTotal(t) }),
	}, err)
}
