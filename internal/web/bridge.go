package web

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/conference"
)

func (s *server) showBridge(ctx context.Context, in *BridgePath) (*reply[api.BridgeDetail], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	b, streams, err := s.Conference.FindBridge(ctx, id, in.Bridge)
	return s.bridgeDetail(ctx, id, b, streams, err)
}

func (s *server) bridgeDetail(ctx context.Context, account string, b conference.Bridge, streams []conference.Stream, err error) (*reply[api.BridgeDetail], error) {
	if err != nil {
		return nil, err
	}
	receivers, err := s.Conference.Receivers(ctx, account, b.ID)
	return answerWith(api.BridgeDetail{Bridge: bridgeOf(b), Streams: each(streams, streamOf), Receivers: each(receivers, receiverOf)}, err)
}

func (s *server) setCallBridge(ctx context.Context, in *struct {
	BridgePath
	CallBridge string `path:"callBridge" doc:"GUID of the call bridge."`
	Body       api.CallBridgeCounts
}) (*reply[api.BridgeDetail], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	b, streams, err := s.Conference.Allow(ctx, in.Who.ID, id, in.Bridge, in.CallBridge, in.Body.Counts)
	return s.bridgeDetail(ctx, id, b, streams, err)
}

func streamOf(s conference.Stream) api.Stream {
	return api.Stream{CallBridge: s.CallBridge, Sessions: s.Sessions, Records: s.Records, Repeats: s.Repeats, Missing: s.Missing, Announced: s.Announced,
		FirstAt: optional(s.FirstAt), LastAt: optional(s.LastAt), Quarantined: s.Quarantined}
}

func receiverOf(r conference.Receiver) api.Receiver {
	out := api.Receiver{ID: r.ID, Bridge: r.Bridge, CreatedAt: r.CreatedAt, RetireAt: optional(r.RetireAt), UsedAt: optional(r.UsedAt), Used: []api.ReceiverUse{}}
	for bridge, at := range r.Used {
		out.Used = append(out.Used, api.ReceiverUse{CallBridge: bridge, At: at})
	}
	slices.SortFunc(out.Used, func(a, b api.ReceiverUse) int { return cmp.Compare(a.CallBridge, b.CallBridge) })
	return out
}

func (s *server) addReceiver(ctx context.Context, in *struct {
	BridgePath
	Body api.NewReceiver
}) (*reply[api.Receiver], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	made, secret, err := s.Conference.AddReceiver(ctx, in.Who.ID, id, in.Bridge, in.Body.Rotate, time.Duration(in.Body.OverlapHours)*time.Hour)
	out := receiverOf(made)
	out.URL = in.Address + "/cdr/" + secret.Reveal()
	return answerWith(out, err)
}

func (s *server) retireReceiver(ctx context.Context, in *struct {
	BridgePath
	Receiver string `path:"receiver" doc:"Id of the receiver."`
}) (*struct{}, error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	return nil, s.Conference.RetireReceiver(ctx, in.Who.ID, id, in.Bridge, in.Receiver)
}

func (s *server) listSessions(ctx context.Context, in *struct {
	BridgePath
	Paging
}) (*reply[api.List[api.BridgeSession]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(hexPart)
	if err != nil {
		return nil, err
	}
	from, _ := hex.DecodeString(after) // it was just checked
	limit, next := min(in.Limit, maxBridges), ""
	rows, err := s.Conference.Sessions(ctx, id, in.Bridge, string(from), limit+1)
	if len(rows) > limit {
		rows = rows[:limit]
		next = hex.EncodeToString([]byte(rows[limit-1].ID))
	}
	return listed(rows, next, err, func(v conference.Session) api.BridgeSession {
		return api.BridgeSession{ID: v.ID, CallBridge: v.CallBridge, Records: v.Records, Repeats: v.Repeats, Missing: v.Missing, Announced: v.Announced,
			Gaps: v.Gaps, Highest: v.Highest, FirstAt: optional(v.FirstAt), LastAt: optional(v.LastAt), Over: v.Over}
	})
}

func hexPart(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

func (s *server) listConflicts(ctx context.Context, in *struct {
	BridgePath
	Paging
}) (*reply[api.List[api.Conflict]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(func(part string) bool {
		parts := strings.Split(part, "_")
		return len(parts) == 3 && hexPart(parts[0]) && numberPart(parts[1]) && hexPart(parts[2])
	})
	if err != nil {
		return nil, err
	}
	limit, next := min(in.Limit, maxBridges), ""
	rows, err := s.Conference.Conflicts(ctx, id, in.Bridge, after, limit+1)
	if len(rows) > limit {
		rows, next = rows[:limit], rows[limit-1].ID
	}
	return listed(rows, next, err, func(k conference.Conflict) api.Conflict {
		what := "content"
		if k.Counts {
			what = "recordIndex"
		}
		return api.Conflict{ID: k.ID, What: what, Against: k.Against, Receiver: k.Receiver, Index: k.RecordIndex, Session: k.Session, Correlator: k.Correlator, CallBridge: k.CallBridge, NotedAt: k.NotedAt,
			Stored: each(k.Stored, fieldOf), Received: each(k.Received, fieldOf)}
	})
}

func (s *server) listRefused(ctx context.Context, in *struct {
	BridgePath
	Paging
}) (*reply[api.List[api.RefusedBody]], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	after, err := in.after(numberPart, hexPart)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conference.RefusedBodies(ctx, id, in.Bridge)
	// The newest first: the key counts down.
	rows, next := cut(rows, after, in.Limit, func(r conference.Refused) string {
		return strconv.FormatInt(1<<52-r.At.UnixMilli(), 10) + " " + r.ID
	})
	return listed(rows, next, err, refusedOf)
}

func (s *server) showRefused(ctx context.Context, in *struct {
	BridgePath
	Refused string `path:"refused" doc:"Id of the refused body."`
}) (*reply[api.RefusedBody], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	r, err := s.Conference.RefusedBody(ctx, id, in.Bridge, in.Refused)
	return answerWith(refusedOf(r), err)
}

func refusedOf(r conference.Refused) api.RefusedBody { return api.RefusedBody(r) }

func (s *server) showRetention(ctx context.Context, in *AccountPath) (*reply[api.Retention], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.See, in.Account)
	if err != nil {
		return nil, err
	}
	r, err := s.Conference.Retention(ctx, id)
	return answerWith(retentionOf(r), err)
}

func (s *server) setRetention(ctx context.Context, in *struct {
	AccountPath
	Body api.Retention
}) (*reply[api.Retention], error) {
	id, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account)
	if err != nil {
		return nil, err
	}
	r, err := s.Conference.SetRetention(ctx, in.Who.ID, id, in.Body.Days)
	return answerWith(retentionOf(r), err)
}

func retentionOf(r conference.Retention) api.Retention {
	return api.Retention{Days: r.Days, Posts: r.Posts, Bytes: r.Bytes, OldestAt: optional(r.OldestAt)}
}
