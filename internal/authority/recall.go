package authority

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// recall asks a satellite for licenses of one of its virtual accounts: what its pool here still has goes at once, the rest is
// asked for and comes when the satellite has let go of it; what reservations hold there is asked for last. It returns the legs that
// move now, and what moves and is asked for.
func (d *desk) recall(ctx context.Context, t Transfer, from, to db.VirtualAccount) ([]leg, Moved, error) {
	account, done := d.account.AccountID, Moved{From: from.Name, To: to.Name}
	held, err := d.HoldingsAt(ctx, db.HoldingsAtParams{AccountID: account, Place: poolPlace(from.VaID)})
	if err != nil {
		return nil, done, fmt.Errorf("read holdings: %w", err)
	}
	legs, lots, rest := pick(held, t, d.now, from.VaID, to.VaID)
	if done.Lots = lots; rest == 0 {
		return legs, done, nil
	}
	b, err := d.below(ctx, from)
	if err != nil {
		return nil, done, err
	}
	more := t
	more.Quantity = rest
	free, _, rest := pick(b.free, more, d.now, from.VaID, to.VaID)
	more.Quantity = rest
	reserved, _, rest := pick(b.reserved, more, d.now, from.VaID, to.VaID)
	if rest > 0 {
		return nil, done, license.Refuse(license.KindRefused, "not-enough", "ask for what is there: `tally license lots` shows it, `tally satellite show` what is asked back already",
			"%q holds %d of %s that can be transferred, %d were asked for", from.Name, t.Quantity-rest, t.Tag, t.Quantity)
	}
	wanted := arriving(append(free, reserved...))
	for _, n := range arriving(reserved) {
		done.Reserved += n
	}
	for _, lot := range slices.Sorted(maps.Keys(wanted)) {
		s := b.stock[lot]
		s.AccountID, s.SatelliteID, s.VaID, s.LotID = account, from.SatelliteID, from.VaID, lot
		s.Asked = max(s.Asked, s.Burnt) + wanted[lot]
		if err := d.PutSatelliteStock(ctx, db.PutSatelliteStockParams(s)); err != nil {
			return nil, done, fmt.Errorf("ask satellite: %w", err)
		}
		if err := d.InsertRecall(ctx, db.InsertRecallParams{
			AccountID: account, RecallID: trust.NewID("rec", d.now), SatelliteID: from.SatelliteID, VaID: from.VaID, LotID: lot, Tag: string(t.Tag), ToVa: to.VaID,
			Quantity: wanted[lot], AskedAt: store.Ms(d.now), AskedBy: d.who.ID,
		}); err != nil {
			return nil, done, fmt.Errorf("ask satellite: %w", err)
		}
		done.Asked += wanted[lot]
	}
	done.Left = b.left(t.Tag, wanted, d.now)
	demand, err := d.DemandOfAccount(ctx, account)
	for _, u := range demand {
		if u.VaID == from.VaID && u.Tag == string(t.Tag) {
			done.InUse = u.Quantity
		}
	}
	if err != nil {
		return nil, done, fmt.Errorf("read demand: %w", err)
	}
	return legs, done, nil
}

// arriving is what legs bring, by lot. What leaves does so when the satellite says it.
func arriving(legs []leg) map[string]int64 {
	sums := map[string]int64{}
	for _, l := range legs {
		if l.quantity > 0 {
			sums[l.lot] += l.quantity
		}
	}
	return sums
}

// below is what can be asked back of a virtual account of a satellite, lot by lot: what is free there and what reservations hold
// there, as far as the satellite has said. What was asked back already of any of its virtual accounts is left out, the free ones
// first. own is what the virtual account has less what was asked of it, and stock are its counts by lot.
type below struct {
	free, reserved, own []db.HoldingsAtRow
	stock               map[string]db.SatelliteStock
}

// left is how many of a tag that count at now stay when all has come that was asked for, wanted too.
func (b below) left(tag license.Tag, wanted map[string]int64, now time.Time) (n int64) {
	for _, h := range b.own {
		lot := license.Lot{Start: store.At(h.StartsAt), End: store.At(h.EndsAt)}
		if h.Tag == string(tag) && lot.Counts(now) {
			n += max(0, h.Quantity-wanted[h.LotID])
		}
	}
	return n
}

func (d *desk) below(ctx context.Context, va db.VirtualAccount) (below, error) {
	account, b := d.account.AccountID, below{stock: map[string]db.SatelliteStock{}}
	stock, err := d.SatelliteStock(ctx, db.SatelliteStockParams{AccountID: account, SatelliteID: va.SatelliteID})
	if err != nil {
		return b, fmt.Errorf("read stock of satellite: %w", err)
	}
	pending := map[string]int64{}
	for _, s := range stock {
		if s.VaID == va.VaID {
			b.stock[s.LotID] = s
		}
		pending[s.LotID] += max(0, s.Asked-s.Burnt)
	}
	held, err := d.Holdings(ctx, account)
	if err != nil {
		return b, fmt.Errorf("read holdings: %w", err)
	}
	vas, err := allVAs(ctx, d.Tx, account)
	if err != nil {
		return b, err
	}
	of := map[string]string{} // virtual account by place
	for _, v := range vas {
		for _, place := range PlacesBelow(v.VaID) {
			if v.SatelliteID == va.SatelliteID {
				of[place] = v.VaID
			}
		}
	}
	type sum struct{ own, free, all, allFree int64 }
	sums, rows := map[string]sum{}, map[string]db.HoldingsRow{}
	for _, h := range held {
		if of[h.Place] == "" {
			continue
		}
		s, own, free := sums[h.LotID], of[h.Place] == va.VaID, h.Place != ReservedPlace(of[h.Place])
		s.all += h.Quantity
		if free {
			s.allFree += h.Quantity
		}
		if own {
			s.own += h.Quantity
		}
		if own && free {
			s.free += h.Quantity
		}
		sums[h.LotID], rows[h.LotID] = s, h
	}
	for _, lot := range slices.Sorted(maps.Keys(sums)) {
		h, s := rows[lot], sums[lot]
		row := db.HoldingsAtRow{LotID: lot, Tag: h.Tag, LotType: h.LotType, StartsAt: h.StartsAt, EndsAt: h.EndsAt, Subscription: h.Subscription, PurchaseID: h.PurchaseID}
		can := max(0, min(s.own, s.all-pending[lot]))
		if row.Quantity = max(0, min(s.free, s.allFree-pending[lot])); row.Quantity > 0 {
			b.free = append(b.free, row)
		}
		if row.Quantity = can - row.Quantity; row.Quantity > 0 {
			b.reserved = append(b.reserved, row)
		}
		asked := max(0, b.stock[lot].Asked-b.stock[lot].Burnt)
		if row.Quantity = min(s.own-asked, s.all-pending[lot]); row.Quantity > 0 {
			b.own = append(b.own, row)
		}
	}
	return b, nil
}
