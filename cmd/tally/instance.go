package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/tallystick/tallystick/api"
)

type instanceListCmd struct {
	vaFlag
}

// Run lists product instances.
func (c instanceListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "instances", r.Instances(ctx, account, c.VA))
	if err != nil {
		return err
	}
	return printList(s, all, "no product has registered yet; `tally token create` makes a token for one", "id | product | udi | virtual account | state | authorization | last contact | uses",
		func(i api.Instance) []any {
			var uses []string
			for _, u := range i.Usage {
				uses = append(uses, fmt.Sprintf("%s %d", u.Tag, u.Count))
			}
			return []any{i.ID, i.Product, i.UDI, i.VirtualAccount, i.State, lastKnown(i, i.Authorization), i.LastContact, lastKnown(i, strings.Join(uses, ", "))}
		})
}

// lastKnown marks what is shown of a product whose satellite was removed: it is of the past, and counts nowhere.
func lastKnown(i api.Instance, text string) string {
	if i.LastKnownAt == nil || text == "" {
		return text
	}
	return text + " (last known)"
}

type instanceShowCmd struct {
	Instance string `arg:"" help:"Id, UDI, serial number or host name."`
}

// Run shows a product instance.
func (c instanceShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	i, err := r.Instance(ctx, account, c.Instance)
	if err != nil {
		return err
	}
	return s.print(i, showInstance(i))
}

func showInstance(i api.Instance) func(io.Writer) {
	return func(w io.Writer) {
		pairs := []any{
			"Instance", i.ID, "Product", i.Product, "Version", i.Version, "Host name", i.Hostname, "UDI", i.UDI,
			"Virtual account", i.VirtualAccount, "Registration", i.State, "Registered", i.RegisteredAt, "Renewed", i.RenewedAt, "Certificate ends", i.ExpiresAt,
			"Export-controlled functions", i.ExportControlled,
			"Authorization", lastKnown(i, i.Authorization), "Since", i.StatusSince, "Last contact", i.LastContact,
		}
		if i.RemovedAt == nil {
			pairs = append(pairs, "Next contact", i.NextContact, "Deadline", i.Deadline)
		} else {
			pairs = append(pairs, "Removed", i.RemovedAt, "Removed by", i.RemovedBy)
		}
		if i.Satellite != "" {
			pairs = append(pairs, "Satellite", i.Satellite)
		}
		if i.LastKnownAt != nil {
			pairs = append(pairs, "Last known", i.LastKnownAt)
		}
		if i.ForkedAt != nil {
			pairs = append(pairs, "Two copies at work since", i.ForkedAt)
		}
		if i.Next != "" {
			pairs = append(pairs, "What to do", i.Next)
		}
		fields(w, pairs...)
		if len(i.Usage) == 0 {
			return
		}
		fmt.Fprintln(w)
		t := newTable(w, "license | tag | count | since")
		for _, u := range i.Usage {
			t.row(u.License, u.Tag, u.Count, u.Since)
		}
		t.end()
	}
}

type instanceRemoveCmd struct {
	Instance string `arg:"" help:"Id, UDI, serial number or host name."`
	Yes      bool   `help:"Do it without asking." env:"-"`

	ReturnCode string `help:"Return code of a product that holds a reservation." env:"-" placeholder:"CODE"`
}

// Run removes a product instance.
func (c instanceRemoveCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	i, err := r.Instance(ctx, account, c.Instance)
	if err != nil {
		return err
	}
	if err := s.confirm(c.Yes, "%s (%s) of %s will be removed; its licenses are free at once, and it learns of it at its next contact.",
		cellText(i.Product), cellText(i.UDI), cellText(i.VirtualAccount)); err != nil {
		return err
	}
	if err := r.RemoveInstance(ctx, account, i.ID, c.ReturnCode); err != nil {
		return err
	}
	return s.say(removed{i.ID}, "removed %s", i.ID)
}

type instanceMoveCmd struct {
	Instance string `arg:"" help:"Id, UDI, serial number or host name."`
	To       string `required:"" help:"Virtual account to move to." placeholder:"VA"`
}

// Run moves a product instance to another virtual account.
func (c instanceMoveCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	i, err := r.MoveInstance(ctx, account, c.Instance, c.To)
	if err != nil {
		return err
	}
	return s.say(i, "%s (%s) is in %s now", i.Product, i.ID, i.VirtualAccount)
}

type instanceSettleCmd struct {
	Instance string `arg:"" help:"Id, UDI, serial number or host name."`
}

// Run takes the mark of two copies from a product instance.
func (c instanceSettleCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	i, err := r.SettleInstance(ctx, account, c.Instance)
	if err != nil {
		return err
	}
	return s.say(i, "%s (%s) is %s; if two copies of it are at work, the next exchange of the other one shows it again", i.Product, i.ID, i.State)
}
