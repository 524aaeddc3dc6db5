package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

type orderImportCmd struct {
	Files []string `arg:"" name:"file" help:"Order files, JSON or CSV; - reads standard input."`
}

// orderOutcome is what became of one order of a file.
type orderOutcome struct {
	File    string `json:"file"`
	Order   string `json:"order,omitempty"`
	Account string `json:"account,omitempty"`
	ID      string `json:"id,omitempty"`
	Outcome string `json:"outcome"` // imported, unchanged, refused or failed
	Lots    int    `json:"lots,omitempty"`
	Expired int    `json:"expired,omitempty"` // lots that have ended already
	Code    string `json:"code,omitempty"`
	Error   string `json:"error,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Run imports every order of every file, whatever becomes of the others, and returns the first error.
func (c orderImportCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.connect()
	if err != nil {
		return err
	}
	var outcomes []orderOutcome
	var first error
	note := func(o orderOutcome, err error) {
		if err != nil {
			o.Code, o.Error, o.Hint = refusal(err)
			first = cmp.Or(first, err)
		}
		outcomes = append(outcomes, o)
	}
	for i, file := range c.Files {
		if len(c.Files) > 1 {
			s.progress("%d of %d files …", i, len(c.Files))
		}
		doc, err := s.read("order file", file, license.MaxOrderBytes)
		if err != nil {
			note(orderOutcome{File: file, Outcome: orderFailed}, err)
			continue
		}
		orders, err := license.ParseOrderFile(file, doc)
		if err != nil {
			note(orderOutcome{File: file, Outcome: orderRefused}, err)
		}
		for _, order := range orders {
			o, err := importOrder(ctx, r, order)
			if err != nil {
				o.Outcome = missed(err)
			}
			o.File = file
			note(o, err)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	s.progressEnd()
	err = printList(s, outcomes, "", "file | order | account | outcome | lots | expired | reason",
		func(o orderOutcome) []any {
			return []any{o.File, o.Order, o.Account, o.Outcome, o.Lots, o.Expired, o.Error}
		})
	return cmp.Or(first, err)
}

// What an order is when it is not imported.
const (
	orderRefused = "refused" // it is wrong, or a rule says no
	orderFailed  = "failed"  // it was not read or not answered; nothing is wrong with it as far as is known
)

func missed(err error) string {
	switch exitCode(err) {
	case exitFailed, exitUnreachable:
		return orderFailed
	}
	return orderRefused
}

// importOrder imports one order into the account that it names.
func importOrder(ctx context.Context, r *remote, order license.Order) (orderOutcome, error) {
	o := orderOutcome{Order: order.Number, Account: order.Account, Outcome: "imported"}
	if order.Account == "" {
		return o, usage("every order names its account", "order %q names no account", order.Number)
	}
	doc, err := json.Marshal(order)
	if err != nil {
		return o, fmt.Errorf("write order %s: %w", order.Number, err)
	}
	stored, err := r.ImportOrders(ctx, order.Account, doc)
	if err != nil {
		return o, err
	}
	for _, order := range stored {
		o.ID, o.Lots = order.ID, len(order.Lots)
		if order.Repeated {
			o.Outcome = "unchanged"
		}
		for _, lot := range order.Lots {
			if lot.Status == "Expired" {
				o.Expired++
			}
		}
	}
	return o, nil
}

// refusal takes an error apart for a document.
func refusal(err error) (code, message, hint string) {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p.Code, p.Detail, p.Hint
	}
	if e := license.AsError(err); e != nil {
		return e.Code, e.Message, e.Hint
	}
	if _, away := errors.AsType[*api.Unreachable](err); away {
		return "unreachable", err.Error(), ""
	}
	return "failed", err.Error(), ""
}

type orderListCmd struct{}

// Run lists orders.
func (orderListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "orders", r.Orders(ctx, account))
	if err != nil {
		return err
	}
	return printList(s, all, "there is no order yet; import one with `tally order import FILE`", "order | id | received | lots",
		func(o api.Order) []any { return []any{o.Order, o.ID, o.ReceivedAt, len(o.Lots)} })
}

type orderShowCmd struct {
	Order string `arg:"" help:"Number or id of the order."`
}

// Run shows an order with its lots.
func (c orderShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	o, err := r.Order(ctx, account, c.Order)
	if err != nil {
		return err
	}
	return s.print(o, func(w io.Writer) {
		fields(w, "Order", o.Order, "Id", o.ID, "Received", o.ReceivedAt, "By", o.ReceivedBy)
		fmt.Fprintln(w)
		t := newTable(w, lotColumns)
		for _, lot := range o.Lots {
			t.row(lotRow(lot)...)
		}
		t.end()
	})
}
