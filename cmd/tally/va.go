package main

import (
	"context"

	"github.com/tallystick/tallystick/api"
)

// vaFlag chooses a virtual account; without it a list is about all of them, and a verb about the default one.
type vaFlag struct {
	VA string `name:"va" short:"V" help:"Virtual account by name or id." placeholder:"VA"`
}

type vaCreateCmd struct {
	Name string `arg:"" help:"Name of the virtual account."`
}

// Run creates a virtual account.
func (c vaCreateCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	va, err := r.CreateVirtualAccount(ctx, account, c.Name)
	if err != nil {
		return err
	}
	return s.say(va, "virtual account %s is %s", va.Name, va.ID)
}

type vaListCmd struct{}

// Run lists virtual accounts.
func (vaListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "virtual accounts", r.VirtualAccounts(ctx, account))
	if err != nil {
		return err
	}
	return printList(s, all, "there is no virtual account", "id | name | default | created",
		func(v api.VirtualAccount) []any { return []any{v.ID, v.Name, v.Default, v.CreatedAt} })
}

type vaRenameCmd struct {
	Name string `arg:"" help:"Name or id now."`
	To   string `arg:"" help:"New name."`
}

// Run renames a virtual account.
func (c vaRenameCmd) Run(ctx context.Context, s *shell) error {
	return changeVA(ctx, s, c.Name, api.VirtualAccountChange{Name: c.To})
}

type vaDefaultCmd struct {
	Name string `arg:"" help:"Name or id."`
}

// Run moves the mark of the default virtual account.
func (c vaDefaultCmd) Run(ctx context.Context, s *shell) error {
	return changeVA(ctx, s, c.Name, api.VirtualAccountChange{Default: true})
}

func changeVA(ctx context.Context, s *shell, name string, change api.VirtualAccountChange) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	va, err := r.ChangeVirtualAccount(ctx, account, name, change)
	if err != nil {
		return err
	}
	if va.Default {
		return s.say(va, "virtual account %s (%s) is the default one", va.Name, va.ID)
	}
	return s.say(va, "virtual account %s is %s", va.Name, va.ID)
}

type vaDeleteCmd struct {
	Name string `arg:"" help:"Name or id."`
	Yes  bool   `help:"Do it without asking." env:"-"`
}

// Run deletes an empty virtual account.
func (c vaDeleteCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	va, err := r.VirtualAccount(ctx, account, c.Name)
	if err != nil {
		return err
	}
	if err := s.confirm(c.Yes, "Virtual account %s (%s) will be deleted.", va.Name, va.ID); err != nil {
		return err
	}
	if err := r.DeleteVirtualAccount(ctx, account, va.ID); err != nil {
		return err
	}
	return s.say(removed{va.ID}, "deleted %s", va.Name)
}
