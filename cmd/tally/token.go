package main

import (
	"context"
	"fmt"
	"io"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

type tokenCreateCmd struct {
	vaFlag
	Days             int    `help:"How long it is valid, 1 to 365." default:"30"`
	MaxUses          *int64 `help:"How many products may register with it; no limit when left out." placeholder:"N"`
	ExportControlled bool   `help:"Let products use export-controlled functions."`
	Description      string `help:"What it is for." placeholder:"TEXT"`
	Output           string `short:"o" help:"Write the token to this file, readable by its owner only, and do not print it." placeholder:"FILE"`
}

// Run makes a token and prints its text, once.
func (c tokenCreateCmd) Run(ctx context.Context, s *shell) error {
	if err := checkDays(c.Days); err != nil {
		return err
	}
	if c.MaxUses != nil && *c.MaxUses < 1 {
		return usage("leave --max-uses out for no limit", "a token cannot have %d uses", *c.MaxUses)
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	va, err := r.virtualAccount(ctx, account, c.VA)
	if err != nil {
		return err
	}
	t, err := r.CreateToken(ctx, account, va, api.NewToken{Days: &c.Days, MaxUses: c.MaxUses, ExportControlled: c.ExportControlled, Description: c.Description})
	if err != nil {
		return err
	}
	if c.Output != "" {
		if err := trust.WriteFile(c.Output, []byte(t.Token+"\n"), 0o600); err != nil {
			return fmt.Errorf("token %s was made and cannot be written; remove it: %w", t.ID, err)
		}
		t.Token = ""
	}
	return s.print(t, func(w io.Writer) {
		once := ""
		if t.Token != "" {
			fmt.Fprintln(w, t.Token)
			once = " It is shown once."
		}
		fmt.Fprintf(s.stderr, "Token %s for %s is good until %s.%s\n", t.ID, cellText(t.VirtualAccount), cellText(t.ExpiresAt), once)
	})
}

// checkDays refuses a token that lasts too short or too long, also 0 days, which is no word for the usual.
func checkDays(days int) error {
	if days < license.TokenDaysMin || days > license.TokenDaysMax {
		return usage(fmt.Sprintf("choose %d to %d days", license.TokenDaysMin, license.TokenDaysMax), "a token cannot last %s", counted(int64(days), "day", "days"))
	}
	return nil
}

type tokenListCmd struct {
	vaFlag
}

// Run lists tokens.
func (c tokenListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "tokens", r.Tokens(ctx, account, c.VA))
	if err != nil {
		return err
	}
	return printList(s, all, "there is no token; make one with `tally token create`", "id | virtual account | status | uses | max uses | expires | description",
		func(t api.Token) []any {
			most := any(t.MaxUses)
			if t.MaxUses == 0 {
				most = "no limit"
			}
			return []any{t.ID, t.VirtualAccount, t.Status, t.Uses, most, t.ExpiresAt, t.Description}
		})
}

type tokenRevokeCmd struct {
	ID string `arg:"" help:"Id of the token."`
}

// Run stops new registrations with a token.
func (c tokenRevokeCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	if err := r.RevokeToken(ctx, account, c.ID); err != nil {
		return err
	}
	t, err := r.Token(ctx, account, c.ID)
	if err != nil {
		return err
	}
	return s.say(t, "token %s is revoked; products that registered with it are untouched", t.ID)
}

type tokenRemoveCmd struct {
	ID  string `arg:"" help:"Id of the token."`
	Yes bool   `help:"Do it without asking." env:"-"`
}

// Run removes a token from the list.
func (c tokenRemoveCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	t, err := r.Token(ctx, account, c.ID)
	if err != nil {
		return err
	}
	if err := s.confirm(c.Yes, "Token %s of %s (%s, %s) will be removed from the list.", t.ID, cellText(t.VirtualAccount), t.Status, counted(t.Uses, "use", "uses")); err != nil {
		return err
	}
	if err := r.RemoveToken(ctx, account, t.ID); err != nil {
		return err
	}
	return s.say(removed{t.ID}, "removed token %s", t.ID)
}
