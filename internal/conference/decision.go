package conference

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store/db"
)

// callOf is what the rules see of a conference; who joins only where the policy looks at it.
func callOf(id string, conf *cdr.Conference, p *meeting.Policy) meeting.Call {
	call := meeting.Call{
		ID: id, Type: conf.CallType, Space: conf.Space, Name: conf.Name, OwnerName: conf.OwnerName,
		Start: conf.Start, End: conf.End, Levels: make([]meeting.Level, len(conf.Levels)),
	}
	for i, l := range conf.Levels {
		call.Levels[i] = meeting.Level(l)
	}
	if !p.NeedsMembers() {
		return call
	}
	for i := range conf.Participants {
		if who := &conf.Participants[i]; !who.Media {
			party := cmp.Or(who.RemoteParty, who.RemoteAddress) // only the start of a leg has the party, its updates have the address
			call.Members = append(call.Members, meeting.Member{Name: who.DisplayName, Party: party, From: who.From})
		}
	}
	return call
}

// decideStored folds a stored meeting from its records and decides it: under a policy, or, if that is nil, under the one that
// the meeting is bound to; always with the directory that it is bound to. closed is what closedSessions says of its bridge.
func (e *Engine) decideStored(ctx context.Context, row *db.Meeting, closed map[string]time.Time, policy *meeting.Policy) (cdr.Conference, meeting.Decision, error) {
	records, err := cdr.Decode(row.Records)
	if err != nil {
		return cdr.Conference{}, meeting.Decision{}, fmt.Errorf("read records of %s: %w", row.MeetingID, err)
	}
	known, err := e.snapshot(ctx, row.AccountID, row.DirectoryVersion)
	if err != nil {
		return cdr.Conference{}, meeting.Decision{}, err
	}
	if policy == nil {
		policy = &known.policy(row.ClusterID).Policy
	}
	conf := cdr.Fold(row.MeetingKey, records, cdr.Options{ClosedAt: closed})
	return conf, meeting.Decide(*policy, callOf(row.MeetingID, &conf, policy), known.directory), nil
}

// closedSessions says which runs of the call bridges of a bridge are known to be over, and since when.
func (e *Engine) closedSessions(ctx context.Context, account, bridge string) (map[string]time.Time, error) {
	c, err := e.cluster(ctx, account, bridge)
	if err != nil {
		return nil, err
	}
	if err := c.catchUp(ctx); err != nil {
		return nil, err
	}
	if err := c.route(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.closed), nil
}

// parsePolicy reads a stored policy.
func parsePolicy(doc string) (meeting.Policy, error) {
	var p meeting.Policy
	if err := json.Unmarshal([]byte(doc), &p); err != nil {
		return p, fmt.Errorf("read stored policy: %w", err)
	}
	return p, nil
}
