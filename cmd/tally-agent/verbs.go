package main

import (
	"context"
	"fmt"
	"os"

	"github.com/tallystick/tallystick/agent"
)

type initCmd struct {
	Product  string `required:"" help:"Name of the product." placeholder:"NAME"`
	PID      string `name:"pid" required:"" help:"Product id."`
	SN       string `name:"sn" required:"" help:"Serial number."`
	Release  string `name:"version" help:"Version of the product." placeholder:"V"`
	Hostname bool   `help:"Tell the authority the name of this host." default:"true" negatable:""`
}

// Run fixes the identity of the product.
func (c *initCmd) Run(ctx context.Context, s *shell) error {
	p := agent.Product{Name: c.Product, PID: c.PID, Serial: c.SN, Version: c.Release}
	if c.Hostname {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find the host name: %w", err)
		}
		p.Hostname = host
	}
	if err := s.agent.Init(ctx, p); err != nil {
		return err
	}
	return s.show(ctx, showUDI)
}

type directCmd struct {
	URL string `arg:"" name:"url" help:"Address of the authority, such as https://licenses.example:8443."`
}

// Run sets the authority's address.
func (c *directCmd) Run(ctx context.Context, s *shell) error {
	if err := s.agent.SetTransport(ctx, c.URL); err != nil {
		return err
	}
	return s.show(ctx, func(st agent.Status) string { return "Transport: direct " + st.Transport + "\n" })
}

type registerCmd struct {
	Token string `arg:"" help:"Registration token."`
	Force string `arg:"" optional:"" enum:"force," default:"" help:"Replace an identity that exists."`
}

// Run registers and waits for the outcome. The first authorization belongs to it, but its failure is not one of the
// registration.
func (c *registerCmd) Run(ctx context.Context, s *shell) error {
	patience := newPatience(s)
	err := patience.try(ctx, func(ctx context.Context) error {
		return s.agent.Register(ctx, c.Token, c.Force != "")
	})
	if err != nil {
		return err
	}
	st, err := s.agent.Status(ctx)
	if err != nil {
		return err
	}
	if st.Authorization.LastAttempt.Outcome == agent.Failed {
		err = patience.try(ctx, func(ctx context.Context) error {
			_, err := s.agent.Report(ctx)
			return err
		})
		if err != nil {
			fmt.Fprintf(s.stderr, "registered, but without an authorization yet: %v\n", err)
		}
	}
	return s.show(ctx, showStatus)
}

type reportCmd struct{}

// Run reports once. Being short of licenses is an answer like any other.
func (*reportCmd) Run(ctx context.Context, s *shell) error {
	var answer agent.Answer
	err := newPatience(s).try(ctx, func(ctx context.Context) (err error) {
		answer, err = s.agent.Report(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if s.json {
		return s.print(answer)
	}
	fmt.Fprint(s.stdout, showAnswer(answer))
	return nil
}

type renewIDCmd struct{}

// Run renews the ID certificate.
func (*renewIDCmd) Run(ctx context.Context, s *shell) error {
	if err := newPatience(s).try(ctx, s.agent.RenewIdentity); err != nil {
		return err
	}
	return s.show(ctx, showStatus)
}

type deregisterCmd struct{}

// Run gives the identity up, whether or not the authority hears of it.
func (*deregisterCmd) Run(ctx context.Context, s *shell) error {
	st, err := s.agent.Status(ctx)
	if err != nil {
		return err
	}
	confirmed, err := s.agent.Deregister(ctx)
	if err != nil {
		return err
	}
	if s.json {
		return s.print(struct {
			Instance  string `json:"instance"`
			Confirmed bool   `json:"confirmed"`
		}{st.Registration.Instance, confirmed})
	}
	if confirmed {
		fmt.Fprintln(s.stdout, "Deregistered.")
		return nil
	}
	fmt.Fprintf(s.stdout, "Deregistered here. The authority did not confirm it: remove the instance %s there.\n", st.Registration.Instance)
	return nil
}

type usageSetCmd struct {
	Tag   string `arg:"" help:"License tag, such as cms-smp-plus."`
	Count int64  `arg:"" help:"What is in use now; 0 gives the licenses back."`
}

// Run keeps a count for the next exchange.
func (c *usageSetCmd) Run(ctx context.Context, s *shell) error {
	if err := s.agent.SetUsage(ctx, c.Tag, c.Count); err != nil {
		return err
	}
	return s.show(ctx, showSummary)
}

type showStatusCmd struct{}

// Run shows the status.
func (*showStatusCmd) Run(ctx context.Context, s *shell) error { return s.show(ctx, showStatus) }

type showSummaryCmd struct{}

// Run shows one line per license.
func (*showSummaryCmd) Run(ctx context.Context, s *shell) error { return s.show(ctx, showSummary) }

type showUsageCmd struct{}

// Run shows one block per license.
func (*showUsageCmd) Run(ctx context.Context, s *shell) error { return s.show(ctx, showUsage) }

type showUDICmd struct{}

// Run shows the identity of the product.
func (*showUDICmd) Run(ctx context.Context, s *shell) error { return s.show(ctx, showUDI) }

type showAllCmd struct{}

// Run shows everything.
func (*showAllCmd) Run(ctx context.Context, s *shell) error { return s.show(ctx, showAll) }

type serveCmd struct{}

// Run is the daemon.
func (*serveCmd) Run(ctx context.Context, s *shell) error {
	st, err := s.agent.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "serving %s\n", st.UDI)
	return s.agent.Run(ctx)
}

type versionCmd struct{}

// Run prints the version.
func (*versionCmd) Run(s *shell) error {
	if s.json {
		return s.print(map[string]string{"version": agent.Version})
	}
	fmt.Fprintln(s.stdout, "tally-agent "+agent.Version)
	return nil
}
