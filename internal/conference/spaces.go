package conference

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/directory"
)

// KnownSpace is a space of the directory in force, with what its owner comes to.
type KnownSpace struct {
	ID       string
	Name     string
	Owner    string    // as a source names it, by JID or GUID; empty where none does
	NamedBy  string    // the source that names the owner; empty where none does
	JID      string    // of the owner; empty where the owner is not among the users
	Personal bool      // the owner holds a personal license, so that the meetings of the space take it under owner-first
	Sources  []string  // that know the space, the strongest first
	Bridges  []string  // names of the bridges whose API has it
	SeenAt   time.Time // when one of its sources was read to its end last; UTC
}

// Spaces are the spaces of the directory in force, by id. The owner is found as a decision finds it.
func (e *Engine) Spaces(ctx context.Context, account string) ([]KnownSpace, error) {
	sum, err := e.Directory(ctx, account)
	if err != nil {
		return nil, err
	}
	in, err := e.snapshot(ctx, account, sum.Version)
	if err != nil {
		return nil, outcome("list spaces", err)
	}
	merged, err := e.Merged(ctx, account)
	if err != nil {
		return nil, err
	}
	read, err := e.lastRead(ctx, account)
	if err != nil {
		return nil, err
	}
	out := make([]KnownSpace, len(merged.Spaces))
	for i, m := range merged.Spaces {
		s := KnownSpace{ID: m.ID, Name: m.Name, Owner: m.Owner, NamedBy: m.NamedBy}
		if owner, ok := in.directory.Owner(m.Owner); ok {
			s.JID, s.Personal = owner.JID, owner.Personal
		}
		for _, o := range m.Origins {
			s.Sources = append(s.Sources, o.Label)
			if o.Kind == directory.Bridge {
				s.Bridges = append(s.Bridges, o.Name)
			}
			if at := read[sourceKey{o.Kind, o.ID}]; at.After(s.SeenAt) {
				s.SeenAt = at
			}
		}
		out[i] = s
	}
	return out, nil
}

type sourceKey struct {
	kind directory.Kind
	id   string
}

// lastRead says of each source when it was read to its end last, with what is in force of it.
func (e *Engine) lastRead(ctx context.Context, account string) (map[sourceKey]time.Time, error) {
	sources, err := e.Sources(ctx, account)
	if err != nil {
		return nil, err
	}
	apis, err := e.BridgeAPIs(ctx, account, "")
	if err != nil {
		return nil, err
	}
	good := []string{RunComplete, RunUnchanged, RunAccepted}
	out := map[sourceKey]time.Time{}
	for _, s := range sources {
		at := s.AcceptedAt
		if s.Last != nil && slices.Contains(good, s.Last.State) && s.Last.EndedAt.After(at) {
			at = s.Last.EndedAt
		}
		out[sourceKey{s.Kind, s.ID}] = at
	}
	for _, a := range apis { // a reading by the schedule that says nothing new is in no history
		key := sourceKey{directory.Bridge, a.Bridge}
		if d := a.Found.Directory; d != nil && slices.Contains(good, d.State) && d.ReadAt.After(out[key]) {
			out[key] = d.ReadAt
		}
	}
	return out, nil
}
