package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

type doctorCmd struct {
	Firewall bool   `help:"List what a firewall must let pass, and do nothing else."`
	Token    string `help:"Registration token, which says whose signature is expected before the product is registered."`
}

// Run examines the way to the authority; a failed step is exit code 1.
func (c *doctorCmd) Run(ctx context.Context, s *shell) error {
	if c.Firewall {
		return c.firewall(ctx, s)
	}
	d, err := s.agent.Doctor(ctx, c.Token)
	if err != nil {
		return err
	}
	if s.json {
		err = s.print(struct {
			agent.Diagnosis
			Healthy bool `json:"healthy"`
		}{d, d.Healthy()})
	} else {
		_, err = fmt.Fprint(s.stdout, showDiagnosis(d))
	}
	if err != nil || d.Healthy() {
		return err
	}
	var failed []string
	for _, f := range d.Steps {
		if f.Outcome == agent.StepFailed {
			failed = append(failed, f.Name)
		}
	}
	return license.Refuse(license.KindUnavailable, "unwell", "the mend stands below each failed step; the product keeps its last state and goes on working",
		"the way to the authority fails at: %s", strings.Join(failed, ", "))
}

// showDiagnosis is one line per step, and below a failed one what mends it.
func showDiagnosis(d agent.Diagnosis) string {
	var p strings.Builder
	fmt.Fprintf(&p, "Authority: %s\n", d.Authority)
	if d.Proxy != "" {
		fmt.Fprintf(&p, "Proxy: %s\n", d.Proxy)
	}
	for _, f := range d.Steps {
		fmt.Fprintf(&p, "%-10s %-8s %s\n", f.Name, f.Outcome, f.Found)
		if f.Mend != "" {
			fmt.Fprintf(&p, "%-10s %-8s %s\n", "", "mend:", f.Mend)
		}
	}
	return p.String()
}

// firewall prints the openings.
func (c *doctorCmd) firewall(ctx context.Context, s *shell) error {
	openings, err := s.agent.Firewall(ctx)
	if err != nil {
		return err
	}
	if s.json {
		return s.print(map[string]any{"items": openings})
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Direction\tHost\tPort\tProtocol\tPurpose")
	for _, o := range openings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", o.Direction, o.Host, o.Port, o.Protocol, o.Purpose)
	}
	return w.Flush()
}
