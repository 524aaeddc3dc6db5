package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

type licenseListCmd struct {
	vaFlag
}

// Run lists what is bought, used, available and short, and says why where something is short.
func (c licenseListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "licenses", r.Licenses(ctx, account, c.VA))
	if err != nil {
		return err
	}
	err = printList(s, all, "there are no licenses yet; import an order with `tally order import FILE`", licenseColumns, licenseRow)
	if err != nil || s.JSON {
		return err
	}
	for _, l := range all {
		if l.Shortage > 0 || cameBack(l) {
			writeReasons(s.stdout, l)
		}
	}
	return nil
}

// cameBack says whether licenses lie with a license that are not in its numbers.
func cameBack(l api.License) bool {
	return slices.ContainsFunc(l.Why, func(w api.Reason) bool { return w.Code == license.FactCameBack })
}

type licenseShowCmd struct {
	Tag string `arg:"" help:"License tag."`
	vaFlag
}

// Run shows one license with all its reasons.
func (c licenseShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "licenses", r.License(ctx, account, c.Tag, c.VA))
	if err != nil {
		return err
	}
	where := "no virtual account holds or uses "
	if c.VA != "" {
		where = cellText(c.VA) + " neither holds nor uses "
	}
	err = printList(s, all, where+cellText(c.Tag), licenseColumns, licenseRow)
	if err != nil || s.JSON {
		return err
	}
	for _, l := range all {
		writeReasons(s.stdout, l)
	}
	return nil
}

const licenseColumns = "license | tag | virtual account | bought | in use | reserved | lent | borrowed | available | short | status"

func licenseRow(l api.License) []any {
	return []any{l.License, l.Tag, l.VirtualAccount, l.Quantity, l.InUse, l.Reserved, l.Lent, l.Borrowed, l.Available, l.Shortage, l.Status}
}

// writeReasons says why a license stands as it does.
func writeReasons(w io.Writer, l api.License) {
	if len(l.Why) == 0 {
		return
	}
	fmt.Fprintf(w, "\nWhy %s in %s:\n", cellText(l.License), cellText(l.VirtualAccount))
	for _, why := range l.Why {
		fmt.Fprintf(w, "  - %s\n", cellText(why.Text))
	}
	if l.More > 0 {
		fmt.Fprintf(w, "  and %d more\n", l.More)
	}
}

type licenseLotsCmd struct {
	vaFlag
}

// Run lists lots.
func (c licenseLotsCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "lots", r.Lots(ctx, account, c.VA))
	if err != nil {
		return err
	}
	columns := "lot | order | tag | virtual account | quantity | reserved | type | start | end | subscription | status"
	back := slices.ContainsFunc(all, func(l api.Lot) bool { return l.CameBack > 0 })
	if back {
		columns += " | came back" // from a satellite that is being removed: not in the quantity
	}
	return printList(s, all, "there are no lots yet; import an order with `tally order import FILE`", columns, func(l api.Lot) []any {
		row := []any{l.ID, l.Order, l.Tag, l.VirtualAccount, l.Quantity, l.Reserved, l.Type, l.Start, l.End, l.Subscription, l.Status}
		if back {
			row = append(row, l.CameBack)
		}
		return row
	})
}

const lotColumns = "lot | order | tag | virtual account | quantity | type | start | end | subscription | status"

func lotRow(l api.Lot) []any {
	return []any{l.ID, l.Order, l.Tag, l.VirtualAccount, l.Quantity, l.Type, l.Start, l.End, l.Subscription, l.Status}
}

type licenseTransferCmd struct {
	Tag      string `arg:"" help:"License tag."`
	Quantity int64  `arg:"" help:"How many."`
	From     string `required:"" help:"Virtual account that gives." placeholder:"VA"`
	To       string `required:"" help:"Virtual account that gets." placeholder:"VA"`
	Lot      string `help:"Take from this lot only." placeholder:"LOT"`
}

// Run moves licenses between two virtual accounts.
func (c licenseTransferCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	done, err := r.Transfer(ctx, account, api.Transfer{Tag: c.Tag, Quantity: c.Quantity, From: c.From, To: c.To, Lot: c.Lot})
	if err != nil {
		return err
	}
	if done.AskedBack > 0 {
		held := ""
		if done.InUse > 0 {
			held = fmt.Sprintf(".\nIts products use %d of %s there, as it has said last, and have %d left when all has come", done.InUse, c.Tag, done.Left)
		}
		if done.AskedReserved > 0 {
			held += fmt.Sprintf(".\nReservations there hold %d of them, as far as it has said: these come when their products return them", done.AskedReserved)
		}
		if done.AskedBack == c.Quantity {
			return s.say(done, "asked %d %s back from the satellite of %s: they arrive in %s when it has let go of them%s", c.Quantity, c.Tag, done.From, done.To, held)
		}
		return s.say(done, "moved %d %s from %s to %s, and asked %d back from the satellite: they arrive when it has let go of them%s",
			c.Quantity-done.AskedBack, c.Tag, done.From, done.To, done.AskedBack, held)
	}
	return s.say(done, "moved %d %s from %s to %s", c.Quantity, c.Tag, done.From, done.To)
}
