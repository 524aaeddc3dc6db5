package main

import (
	"context"
	"fmt"
	"io"

	"github.com/tallystick/tallystick/api"
)

type accountCreateCmd struct {
	Name string `arg:"" help:"Name of the account."`
}

// Run creates an account.
func (c accountCreateCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.connect()
	if err != nil {
		return err
	}
	a, err := r.CreateAccount(ctx, c.Name)
	if err != nil {
		return err
	}
	return s.print(a, showAccount(a))
}

type accountListCmd struct{}

// Run lists accounts.
func (accountListCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.connect()
	if err != nil {
		return err
	}
	all, err := gather(s, "accounts", r.Accounts(ctx))
	if err != nil {
		return err
	}
	return printList(s, all, "there is no account yet; make one with `tally account create NAME`", "id | name | created",
		func(a api.Account) []any { return []any{a.ID, a.Name, a.CreatedAt} })
}

type accountShowCmd struct {
	Name string `arg:"" help:"Name or id of the account."`
}

// Run shows an account.
func (c accountShowCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.connect()
	if err != nil {
		return err
	}
	a, err := r.Account(ctx, c.Name)
	if err != nil {
		return err
	}
	return s.print(a, showAccount(a))
}

func showAccount(a api.Account) func(io.Writer) {
	return func(w io.Writer) {
		fields(w, "Account", a.Name, "Id", a.ID, "Default virtual account", a.DefaultVirtualAccount, "Created", a.CreatedAt)
	}
}

// lines writes sentences, one a line.
func lines(sentences ...string) func(io.Writer) {
	return func(w io.Writer) {
		for _, sentence := range sentences {
			fmt.Fprintln(w, sentence)
		}
	}
}
