package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/local"
	"github.com/tallystick/tallystick/internal/trust"
)

type clusterHoldCmd struct {
	Name    string `required:"" help:"Name of this node." placeholder:"NODE"`
	Listen  string `help:"Where the daemon listens for the other nodes." default:":4712" placeholder:"ADDR"`
	Address string `help:"How the other nodes reach it; default: the name of this host and the port of --listen." placeholder:"HOST:PORT"`
}

// Run makes this node the holder.
func (c *clusterHoldCmd) Run(ctx context.Context, s *shell) error {
	if c.Address == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find the host name: %w", err)
		}
		_, port, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return license.Refuse(license.KindInvalid, "bad-cluster-address", "write it like 0.0.0.0:4712", "%.200q is no address to listen at", c.Listen)
		}
		c.Address = net.JoinHostPort(host, port)
	}
	if err := s.agent.HoldCluster(ctx, c.Name, c.Listen, c.Address); err != nil {
		return err
	}
	return s.show(ctx, showCluster)
}

type clusterInviteCmd struct {
	Output string `short:"o" help:"Write to this file, mode 0600, instead of standard output." type:"path" placeholder:"FILE"`
}

// Run writes the invitation.
func (c *clusterInviteCmd) Run(ctx context.Context, s *shell) error {
	text, err := s.agent.Invite(ctx)
	if err != nil {
		return err
	}
	if c.Output == "" {
		_, err = s.stdout.Write(text)
		return err
	}
	if err := trust.WriteFile(c.Output, text, 0o600); err != nil {
		return fmt.Errorf("write the invitation: %w", err)
	}
	if s.json {
		return s.print(map[string]string{"file": c.Output})
	}
	fmt.Fprintf(s.stdout, "Whoever has %s may report as a node of this cluster. On the other node: tally-agent cluster join FILE --name NODE\n", c.Output)
	return nil
}

type clusterJoinCmd struct {
	File string `arg:"" help:"Invitation of the holder." type:"path"`
	Name string `required:"" help:"Name of this node." placeholder:"NODE"`
}

// maxInvitation bounds what is read of an invitation.
const maxInvitation = 4 << 10

// Run joins, and reports once to see that the way works.
func (c *clusterJoinCmd) Run(ctx context.Context, s *shell) error {
	f, err := os.Open(c.File)
	if err != nil {
		return license.Refuse(license.KindInvalid, "no-file", "name the invitation that tally-agent cluster invite wrote", "the invitation cannot be read: %v", err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxInvitation+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read the invitation: %w", err)
	}
	if err := s.agent.JoinCluster(ctx, raw, c.Name); err != nil {
		return err
	}
	if _, err := s.agent.Report(ctx); err != nil {
		fmt.Fprintf(s.stderr, "joined, but the first report failed; the daemon tries again: %v\n", err)
	}
	return s.show(ctx, showCluster)
}

type clusterLeaveCmd struct {
	Force bool `help:"End the cluster that this node holds although members report through it."`
}

// Run leaves.
func (c *clusterLeaveCmd) Run(ctx context.Context, s *shell) error {
	told, err := s.agent.LeaveCluster(ctx, c.Force)
	if err != nil {
		return err
	}
	if s.json {
		return s.print(map[string]bool{"told": told})
	}
	if told {
		fmt.Fprintln(s.stdout, "Left the cluster.")
		return nil
	}
	fmt.Fprintf(s.stdout, "Left the cluster. The holder did not hear of it: its use counts there for %s more, or until tally-agent cluster remove.\n", agent.NodeLife)
	return nil
}

type clusterRemoveCmd struct {
	Node string `arg:"" help:"Name of the node."`
}

// Run forgets a node.
func (c *clusterRemoveCmd) Run(ctx context.Context, s *shell) error {
	if err := s.agent.RemoveNode(ctx, c.Node); err != nil {
		return err
	}
	return s.show(ctx, showCluster)
}

type clusterStatusCmd struct{}

// Run shows the cluster.
func (*clusterStatusCmd) Run(ctx context.Context, s *shell) error {
	return s.show(ctx, showCluster)
}

// showCluster draws the place of the node in its cluster.
func showCluster(st agent.Status) string {
	var b strings.Builder
	c := st.Cluster
	if c == nil {
		return "This product is in no cluster.\n"
	}
	if c.Role == agent.RoleMember {
		fmt.Fprintf(&b, "Node %s is a member; the node %s at %s holds the identity.\n", c.Node, c.Holder, c.Address)
		switch {
		case c.LastReport.Outcome == "":
			fmt.Fprintln(&b, "It has not reported yet.")
		case c.LastReport.Outcome == agent.Failed:
			fmt.Fprintf(&b, "The last report failed on %s: %s. It is tried again on %s.\n", local.Stamp(c.LastReport.At), c.LastReport.Reason, local.Stamp(c.NextReport))
		default:
			fmt.Fprintf(&b, "The last report was taken on %s. The next one is on %s.\n", local.Stamp(c.LastReport.At), local.Stamp(c.NextReport))
		}
		return b.String()
	}
	fmt.Fprintf(&b, "Node %s holds the identity; members reach it at %s.\n", c.Node, c.Address)
	if len(c.Nodes) == 0 {
		fmt.Fprintln(&b, "No node reports through it. Invite one: tally-agent cluster invite -o FILE")
		return b.String()
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Node\tHeard\tUse\tCounts")
	for _, n := range c.Nodes {
		var use []string
		for _, tag := range slices.Sorted(maps.Keys(n.Usage)) {
			use = append(use, fmt.Sprintf("%s %d", tag, n.Usage[tag]))
		}
		counts := "no, silent for too long"
		if n.Counts {
			counts = "for " + (time.Duration(n.RemainingSeconds) * time.Second).Round(time.Minute).String() + " without another report"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", n.Name, local.Stamp(n.HeardAt), strings.Join(use, ", "), counts)
	}
	_ = w.Flush() // a builder does not fail
	return b.String()
}
