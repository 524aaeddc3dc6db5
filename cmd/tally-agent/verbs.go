package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/local"
)

type initCmd struct {
	Product  string `required:"" help:"Name of the product." placeholder:"NAME"`
	PID      string `name:"pid" required:"" help:"Product id."`
	SN       string `name:"sn" required:"" help:"Serial number."`
	Release  string `name:"version" help:"Version of the product." placeholder:"V"`
	Licensed string `name:"licensed-version" help:"What licenses are sold for; default: the number before the first dot of the version." placeholder:"V"`
	Policy   string `help:"What the product does when it is over what it holds: none, ucm-12 or cwms-4." default:"none" env:"TALLY_AGENT_POLICY"`
	Hostname bool   `help:"Tell the authority the name of this host." default:"true" negatable:""`
}

// Run fixes the identity of the product.
func (c *initCmd) Run(ctx context.Context, s *shell) error {
	p := agent.Product{Name: c.Product, PID: c.PID, Serial: c.SN, Version: c.Release, LicensedVersion: c.Licensed, Policy: c.Policy}
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
	return s.show(ctx, local.ShowUDI)
}

type directCmd struct {
	URL string `arg:"" name:"url" help:"Address of the authority, such as https://licenses.example:8443."`
}

// Run sets the authority's address.
func (c *directCmd) Run(ctx context.Context, s *shell) error {
	return s.route(ctx, agent.Route{Kind: agent.Direct, Address: c.URL})
}

type gatewayCmd struct {
	URL string `arg:"" name:"url" help:"Address of the satellite or gateway, such as https://satellite.example:8443."`
}

// Run sets the gateway's address.
func (c *gatewayCmd) Run(ctx context.Context, s *shell) error {
	return s.route(ctx, agent.Route{Kind: agent.Gateway, Address: c.URL})
}

type proxyCmd struct {
	URL          string `arg:"" name:"url" help:"Address of the proxy, such as proxy.example:8080; port 3128 when none is given."`
	User         string `help:"User at the proxy." placeholder:"U"`
	PasswordFile string `help:"File with the user's password in its first line." type:"path" placeholder:"F"`
	Authority    string `required:"" help:"Address of the authority, such as https://licenses.example:8443." placeholder:"URL"`
}

type transportCmds struct {
	Direct  directCmd  `cmd:"" help:"Reach the authority at this address."`
	Gateway gatewayCmd `cmd:"" aliases:"ssm-satellite" help:"Reach the authority through a satellite, or through what forwards to the authority."`
	Proxy   proxyCmd   `cmd:"" help:"Reach the authority through an HTTP or HTTPS proxy."`
}

// maxPasswordFile bounds what is read of a password file.
const maxPasswordFile = 4096

// Run sets the proxy and the authority's address.
func (c *proxyCmd) Run(ctx context.Context, s *shell) error {
	r := agent.Route{Kind: agent.Proxy, Address: c.Authority, Proxy: c.URL, User: c.User}
	if c.PasswordFile != "" {
		f, err := os.Open(c.PasswordFile)
		if err != nil {
			return license.Refuse(license.KindInvalid, "password-file", "name a file that this user can read", "the password file cannot be read: %v", err)
		}
		raw, err := io.ReadAll(io.LimitReader(f, maxPasswordFile))
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("read the password file: %w", err)
		}
		r.Password, _, _ = strings.Cut(string(raw), "\n")
		r.Password = strings.TrimSuffix(r.Password, "\r")
	}
	return s.route(ctx, r)
}

// route sets a route and shows it.
func (s *shell) route(ctx context.Context, r agent.Route) error {
	if err := s.agent.SetRoute(ctx, r); err != nil {
		return err
	}
	return s.show(ctx, func(st agent.Status) string {
		text := "Transport: " + string(st.Route.Kind) + " " + st.Route.Address
		if st.Route.Proxy != "" {
			text += " through " + st.Route.Proxy
		}
		if st.Route.User != "" {
			text += " as " + st.Route.User
		}
		return text + "\n"
	})
}

type cancelCmd struct{}

// Run ends a registration that is being tried.
func (*cancelCmd) Run(ctx context.Context, s *shell) error {
	if err := s.agent.CancelRegistration(ctx); err != nil {
		return err
	}
	return s.show(ctx, local.ShowStatus)
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
	return s.show(ctx, local.ShowStatus)
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
	fmt.Fprint(s.stdout, local.ShowAnswer(answer))
	return nil
}

type renewIDCmd struct{}

// Run renews the ID certificate.
func (*renewIDCmd) Run(ctx context.Context, s *shell) error {
	if err := newPatience(s).try(ctx, s.agent.RenewIdentity); err != nil {
		return err
	}
	return s.show(ctx, local.ShowStatus)
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
	return s.gaveUp("Deregistered.", st.Registration.Instance, confirmed)
}

// gaveUp says that an identity was given up, and whether the authority knows; an empty instance says that there was none.
func (s *shell) gaveUp(done, instance string, confirmed bool) error {
	if s.json {
		return s.print(struct {
			Instance  string `json:"instance,omitempty"`
			Confirmed bool   `json:"confirmed"`
		}{instance, confirmed})
	}
	fmt.Fprintln(s.stdout, done)
	if !confirmed {
		fmt.Fprintf(s.stdout, "The authority did not confirm it: remove the instance %s there.\n", instance)
	} else if instance != "" {
		fmt.Fprintf(s.stdout, "The authority knows that the instance %s is given up.\n", instance)
	}
	return nil
}

type resetCmd struct{}

// Run forgets everything but what may never run back.
func (*resetCmd) Run(ctx context.Context, s *shell) error {
	st, err := s.agent.Status(ctx)
	if err != nil {
		return err
	}
	told, err := s.agent.FactoryReset(ctx)
	if err != nil {
		return err
	}
	return s.gaveUp("Reset: identity, trust and transport are forgotten.", st.Registration.Instance, told)
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
	return s.show(ctx, local.ShowSummary)
}

type showStatusCmd struct{}

// Run shows the status.
func (*showStatusCmd) Run(ctx context.Context, s *shell) error { return s.show(ctx, local.ShowStatus) }

type showSummaryCmd struct{}

// Run shows one line per license.
func (*showSummaryCmd) Run(ctx context.Context, s *shell) error {
	return s.show(ctx, local.ShowSummary)
}

type showUsageCmd struct{}

// Run shows one block per license.
func (*showUsageCmd) Run(ctx context.Context, s *shell) error { return s.show(ctx, local.ShowUsage) }

type showUDICmd struct{}

// Run shows the identity of the product.
func (*showUDICmd) Run(ctx context.Context, s *shell) error { return s.show(ctx, local.ShowUDI) }

type showSupportCmd struct{}

// Run shows all that somebody who helps from afar wants to know.
func (*showSupportCmd) Run(ctx context.Context, s *shell) error {
	return s.show(ctx, func(st agent.Status) string { return local.ShowTechSupport(st, s.now()) })
}

type showAllCmd struct{}

// Run shows everything.
func (*showAllCmd) Run(ctx context.Context, s *shell) error { return s.show(ctx, local.ShowAll) }

type versionCmd struct{}

// Run prints the version.
func (*versionCmd) Run(s *shell) error {
	if s.json {
		return s.print(map[string]string{"version": agent.Version})
	}
	fmt.Fprintln(s.stdout, "tally-agent "+agent.Version)
	return nil
}
