package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

type policyShowCmd struct {
	Bridge string `help:"Id or name of a bridge; all of them when left out." placeholder:"BRIDGE"`
}

// Run shows which policies are in force, and what their options mean.
func (c policyShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "policies", r.Policies(ctx, account))
	if err != nil {
		return err
	}
	if c.Bridge != "" {
		var some []api.BridgePolicy
		for _, p := range all {
			if p.Bridge == c.Bridge || strings.EqualFold(p.BridgeName, c.Bridge) {
				some = append(some, p)
			}
		}
		if all = some; some == nil {
			return license.NotFound("bridge", c.Bridge)
		}
	}
	return printList(s, all, "", "bridge | policy | options | set here | since",
		func(p api.BridgePolicy) []any {
			name := p.BridgeName
			if p.Bridge == "" {
				name = "all bridges"
			}
			return []any{name, fmt.Sprintf("%s %d", p.Policy.Name, p.Policy.Version), optionsOf(p.Policy), p.Own, p.SetAt}
		})
}

// optionsOf are the options that differ from the default.
func optionsOf(p api.Policy) string {
	words := strings.Fields(p.Text)
	return strings.Join(words[min(2, len(words)):], " ")
}

type policyOptionsCmd struct{}

// Run lists what can be chosen.
func (policyOptionsCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "options", r.PolicyOptions(ctx, account))
	if err != nil {
		return err
	}
	return printList(s, all, "", "option | values | default | meaning", func(o api.PolicyOption) []any {
		values := strings.Join(o.Values, " ")
		if values == "" {
			values = "names"
		}
		return []any{o.Key, values, o.Default, o.Doc}
	})
}

type policySetCmd struct {
	Name   string            `arg:"" help:"owner-first or member-first."`
	Bridge string            `help:"Id or name of a bridge; all bridges without a policy of their own when left out." placeholder:"BRIDGE"`
	Option map[string]string `help:"An option that differs from the default; may repeat." placeholder:"KEY=VALUE"`
}

// Run puts a policy in force.
func (c policySetCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	p, err := r.SetPolicy(ctx, account, api.NewPolicy{Bridge: c.Bridge, Name: c.Name, Options: c.Option})
	if err != nil {
		return err
	}
	where := "all bridges without a policy of their own"
	if p.Bridge != "" {
		where = p.BridgeName
	}
	if p.Unchanged {
		return s.say(p, "%s was in force already for %s", p.Policy.Text, where)
	}
	return s.say(p, "%s is in force for %s; it counts for meetings that begin from now on", p.Policy.Text, where)
}

type meetingAskCmd struct {
	Space        string            `help:"A meeting in this space: identifier or name." placeholder:"SPACE"`
	Owner        string            `help:"Who owns the space, in place of whom the directory has: JID or sign-in name." placeholder:"USER"`
	Adhoc        string            `help:"An ad hoc meeting for which call control passes this GUID or name; none for nothing." placeholder:"GUID"`
	Booking      string            `help:"A booked meeting for which the scheduler passes this owner; none for nothing." placeholder:"OWNER"`
	Gateway      bool              `help:"A gateway call, such as from SIP to Skype for Business."`
	Lync         bool              `help:"A call with a Lync or Skype for Business meeting."`
	Member       []string          `help:"Who takes part: JID, address, device or sign-in name; may repeat." placeholder:"USER" sep:"none"`
	Participants int               `help:"How many take part; 3 when left out." placeholder:"N"`
	Audio        bool              `help:"Nobody has a picture."`
	Bridge       string            `help:"Id or name of the bridge whose policy is asked." placeholder:"BRIDGE"`
	Policy       string            `help:"Only this policy; each when left out." placeholder:"NAME"`
	Option       map[string]string `help:"An option in place of the one in force; may repeat." placeholder:"KEY=VALUE"`
}

// Run decides a meeting without a call.
func (c meetingAskCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := r.Ask(ctx, account, api.Question{
		Space: c.Space, Owner: c.Owner, AdHoc: c.Adhoc, Booking: c.Booking, Gateway: c.Gateway, Lync: c.Lync, Members: c.Member, Participants: c.Participants,
		Audio: c.Audio, Bridge: c.Bridge, Policy: c.Policy, Options: c.Option,
	})
	if err != nil {
		return err
	}
	return s.print(all, func(w io.Writer) {
		for i, d := range all.Items {
			if i > 0 {
				fmt.Fprintln(w)
			}
			writeDecision(w, d)
		}
	})
}

func writeDecision(w io.Writer, d api.Decision) {
	force := ""
	if d.InForce {
		force = ", which is in force"
	}
	user := ""
	if d.User != "" {
		user = ", charged to " + cellText(d.User)
	}
	fmt.Fprintf(w, "%s%s: %s%s (rule %s)\n", cellText(d.Policy.Text), force, taking(api.Segment{Sixths: d.Sixths, Tag: d.Tag}), user, d.Rule)
	writeWhy(w, d.Why, d.More)
}
