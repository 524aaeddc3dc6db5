package conference

import (
	"context"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// Question is a meeting that has not taken place, and under which policies it is to be decided.
type Question struct {
	meeting.Question
	Bridge  string            // id or name, for the policy in force; empty for that of all bridges
	Policy  string            // only this one; empty for each
	Options map[string]string // in place of those in force
}

// Answer is what a meeting would take under one policy.
type Answer struct {
	Policy    meeting.Policy
	InForce   bool // it is the policy that decides now
	Directory int64
	Segments  []meeting.Segment
	Why       []Fact
	Diagnosis meeting.Diagnosis
}

// The bounds of a question.
const (
	maxAsked        = 100 // members
	maxParticipants = 10_000
)

// Ask decides a meeting that has not taken place with the directory in force, under each policy, the one in force first.
// Errors: a license.Error of kind invalid for a question that is not clear, not found for an unknown bridge.
func (e *Engine) Ask(ctx context.Context, account string, q Question) ([]Answer, error) {
	if len(q.Members) > maxAsked || q.Participants < 0 || q.Participants > maxParticipants {
		return nil, license.Refuse(license.KindInvalid, "bad-question", "ask about fewer", "a question has at most %d members and %d participants", maxAsked, maxParticipants)
	}
	var version int64
	var bridge string
	err := e.store.View(ctx, func(tx *store.Tx) error {
		conf, err := tx.Conference(ctx, account)
		if errors.Is(err, store.ErrNoRow) {
			return notEnabled()
		}
		if err != nil {
			return fmt.Errorf("read conference of %s: %w", account, err)
		}
		version = conf.DirectoryVersion
		if q.Bridge != "" {
			var b db.Cluster
			b, err = bridgeNamed(ctx, tx, account, q.Bridge)
			bridge = b.ClusterID
		}
		return err
	})
	if err != nil {
		return nil, outcome("ask", err)
	}
	known, err := e.snapshot(ctx, account, version)
	if err != nil {
		return nil, outcome("ask", err)
	}
	call, directory, err := q.Call(known.directory, e.now().UTC())
	if err != nil {
		return nil, unclear(err, q.Space)
	}
	inForce := known.policy(bridge).Policy
	policies, err := q.policies(inForce)
	if err != nil {
		return nil, err
	}
	out := make([]Answer, 0, len(policies))
	for _, p := range policies {
		d := meeting.Decide(p, call, directory)
		why := d.Why
		if len(d.Segments) > 0 {
			why = d.Segments[0].Why
		}
		out = append(out, Answer{Policy: p, InForce: p == inForce, Directory: version, Segments: d.Segments, Why: factsOf(why), Diagnosis: meeting.Diagnose(why)})
	}
	return out, nil
}

// policies are those under which the question is to be decided, with the options in force unless others are given.
func (q *Question) policies(inForce meeting.Policy) ([]meeting.Policy, error) {
	var out []meeting.Policy
	for _, p := range meeting.Policies() {
		if q.Policy != "" && q.Policy != p.Name {
			continue
		}
		p.Options = inForce.Options
		p, err := withOptions(p, q.Options)
		if err != nil {
			return nil, err
		}
		if p.Name == inForce.Name {
			out = append([]meeting.Policy{p}, out...)
		} else {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		_, err := policyOf(q.Policy, nil)
		return nil, err
	}
	return out, nil
}

func unclear(err error, space string) error {
	switch {
	case errors.Is(err, meeting.ErrNoQuestion):
		return license.Refuse(license.KindInvalid, "bad-question", "name a space, what call control passes, or the owner of a booking", "%v", err)
	case errors.Is(err, meeting.ErrTwoQuestions):
		return license.Refuse(license.KindInvalid, "bad-question", "ask one after the other", "%v", err)
	default:
		return license.Refuse(license.KindConflict, "several-spaces", "use the identifier of the space", "%v: %.200q", err, space)
	}
}

// factsOf adds their sentences to facts.
func factsOf(facts []meeting.Fact) []Fact {
	out := make([]Fact, len(facts))
	for i, f := range facts {
		out[i] = Fact{Code: f.Code, Text: f.Text(), Args: f.Args}
	}
	return out
}
