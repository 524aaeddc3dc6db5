package authority

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// Order is a purchase that was put into an account.
type Order struct {
	ID         string
	Number     string
	ReceivedAt time.Time
	ReceivedBy string
	// Repeated says that the order was known before and nothing changed.
	Repeated bool
	Lots     []license.Lot
}

// ImportOrder puts one order into its account, in one transaction. The same order again changes nothing; another content
// under the same number is refused and the refusal says what differs. The account named in the file must be the one given;
// an empty account means the one in the file.
func (a *Authority) ImportOrder(ctx context.Context, who access.Person, account string, order license.Order) (Order, error) {
	if err := a.notAtSatellite("orders are imported"); err != nil {
		return Order{}, err
	}
	if account == "" {
		account = order.Account
	}
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Order{}, err
	}
	if order.Account != "" {
		named, err := a.scope(ctx, who, access.See, order.Account)
		if err != nil {
			return Order{}, err
		}
		if named != id {
			return Order{}, license.Refuse(license.KindInvalid, "order-account", "import it into the account that it names",
				"order %s is for the account %q, not for %q", order.Number, order.Account, account)
		}
	}
	var out Order
	err = a.write(ctx, who, id, "import order", func(d *desk) error {
		out, err = a.importOrder(ctx, d, order)
		return err
	})
	return out, err
}

func (a *Authority) importOrder(ctx context.Context, d *desk, order license.Order) (Order, error) {
	account := d.account.AccountID
	old, err := d.PurchaseByNumber(ctx, db.PurchaseByNumberParams{AccountID: account, Number: order.Number})
	if err == nil {
		return a.repeatedOrder(ctx, d, old, order)
	}
	if !errors.Is(err, store.ErrNoRow) {
		return Order{}, fmt.Errorf("look up order: %w", err)
	}
	resolved, err := license.ResolveOrder(a.catalog, order, d.now)
	if err != nil {
		return Order{}, err
	}
	content, err := json.Marshal(order)
	if err != nil {
		return Order{}, fmt.Errorf("keep order: %w", err)
	}
	out := Order{ID: trust.NewID("ord", d.now), Number: order.Number, ReceivedAt: d.now, ReceivedBy: d.who.ID}
	if err := d.InsertPurchase(ctx, db.InsertPurchaseParams{
		AccountID: account, PurchaseID: out.ID, Number: order.Number, Content: content, ReceivedAt: store.Ms(d.now), ReceivedBy: d.who.ID,
	}); err != nil {
		return Order{}, fmt.Errorf("insert order: %w", err)
	}
	var legs []leg
	type line struct {
		Lot            string      `json:"lot"`
		Tag            license.Tag `json:"tag"`
		Quantity       int64       `json:"quantity"`
		VirtualAccount string      `json:"virtualAccount"`
	}
	var lines []line
	for i, l := range resolved.Lines {
		va, err := d.va(ctx, l.VirtualAccount)
		if err != nil {
			return Order{}, err
		}
		lot := license.Lot{ID: trust.NewID("lot", d.now), Order: order.Number, Tag: l.Tag, Type: l.Type, Quantity: l.Quantity, Start: l.Start.Time, End: l.End.Time, Subscription: l.Subscription}
		if err := d.InsertLot(ctx, db.InsertLotParams{
			AccountID: account, LotID: lot.ID, PurchaseID: out.ID, Line: int64(i + 1), VaID: va.VaID, Sku: l.SKU, Tag: string(lot.Tag), LotType: string(lot.Type),
			Quantity: lot.Quantity, StartsAt: store.Ms(lot.Start), EndsAt: store.Ms(lot.End), Subscription: lot.Subscription,
		}); err != nil {
			return Order{}, fmt.Errorf("insert lot: %w", err)
		}
		legs = append(legs, leg{issuer, lot.ID, lot.Tag, -lot.Quantity}, leg{poolPlace(va.VaID), lot.ID, lot.Tag, lot.Quantity})
		lines = append(lines, line{lot.ID, lot.Tag, lot.Quantity, va.VaID})
		out.Lots = append(out.Lots, lot)
	}
	seq, err := d.record(ctx, "order.imported", out.ID, map[string]any{"number": order.Number, "lines": lines})
	if err != nil {
		return Order{}, err
	}
	return out, d.move(ctx, "order", seq, legs)
}

func (a *Authority) repeatedOrder(ctx context.Context, d *desk, old db.Purchase, order license.Order) (Order, error) {
	var before license.Order
	if err := json.Unmarshal(old.Content, &before); err != nil {
		return Order{}, fmt.Errorf("read stored order: %w", err)
	}
	if diff := license.Difference(before, order); diff != "" {
		return Order{}, license.Refuse(license.KindConflict, "order-differs", "give the changed order a number of its own",
			"order %s was imported on %s with another content: %s", order.Number, store.At(old.ReceivedAt).Format(time.DateOnly), diff)
	}
	out, err := orderOf(ctx, d.Tx, old)
	out.Repeated = true
	return out, err
}

func orderOf(ctx context.Context, tx *store.Tx, p db.Purchase) (Order, error) {
	lots, err := tx.LotsOfPurchase(ctx, db.LotsOfPurchaseParams{AccountID: p.AccountID, PurchaseID: p.PurchaseID})
	if err != nil {
		return Order{}, fmt.Errorf("read lots: %w", err)
	}
	out := Order{ID: p.PurchaseID, Number: p.Number, ReceivedAt: store.At(p.ReceivedAt), ReceivedBy: p.ReceivedBy}
	for _, l := range lots {
		out.Lots = append(out.Lots, license.Lot{
			ID: l.LotID, Order: p.Number, Tag: license.Tag(l.Tag), Type: license.LotType(l.LotType), Quantity: l.Quantity,
			Start: store.At(l.StartsAt), End: store.At(l.EndsAt), Subscription: l.Subscription,
		})
	}
	return out, nil
}

// Orders lists the orders of an account in the order in which they came.
func (a *Authority) Orders(ctx context.Context, who access.Person, account string, page Page) ([]Order, string, error) {
	return listed(ctx, a, who, account, "orders", page, func(tx *store.Tx, id string) ([]db.Purchase, error) {
		return tx.Purchases(ctx, db.PurchasesParams{AccountID: id, After: page.After, Page: page.rows()})
	}, func(r db.Purchase) string { return r.PurchaseID }, func(tx *store.Tx, r db.Purchase) (Order, error) { return orderOf(ctx, tx, r) })
}

// Order finds an order by id or number.
func (a *Authority) Order(ctx context.Context, who access.Person, account, ref string) (Order, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return Order{}, err
	}
	var out Order
	err = a.read(ctx, "find order", func(tx *store.Tx) error {
		var row db.Purchase
		var err error
		if !findable(ref) {
			return license.NotFound("order", ref)
		}
		if trust.ValidID("ord", ref) {
			row, err = tx.Purchase(ctx, db.PurchaseParams{AccountID: id, PurchaseID: ref})
		} else {
			row, err = tx.PurchaseByNumber(ctx, db.PurchaseByNumberParams{AccountID: id, Number: ref})
		}
		if errors.Is(err, store.ErrNoRow) {
			return license.NotFound("order", ref)
		}
		if err != nil {
			return err
		}
		out, err = orderOf(ctx, tx, row)
		return err
	})
	return out, err
}
