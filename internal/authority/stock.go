package authority

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// Places of the supply book. Only the issuer's holding may be below zero: it is what was ever bought.
const issuer = "issuer"

func poolPlace(va string) string { return "va:" + va }

// leg is one side of a movement: a quantity arriving at a place (or leaving it, below zero).
type leg struct {
	place    string
	lot      string
	tag      license.Tag
	quantity int64
}

var errUnbalanced = errors.New("the legs of a movement do not sum to zero")

// move writes a movement and moves the holdings. The legs must sum to zero for each lot. A place that holds too little is
// an error of the caller, who has checked before under the account's lock.
func (d *desk) move(ctx context.Context, kind string, event int64, legs []leg) error {
	sums := map[string]int64{}
	for _, l := range legs {
		sums[l.lot] += l.quantity
	}
	for lot, sum := range sums {
		if sum != 0 {
			return fmt.Errorf("movement %s, lot %s, rest %d: %w", kind, lot, sum, errUnbalanced)
		}
	}
	account, id := d.account.AccountID, trust.NewID("mov", d.now)
	if err := d.InsertMovement(ctx, db.InsertMovementParams{AccountID: account, MovementID: id, MovedAt: store.Ms(d.now), Kind: kind, Actor: d.who.ID, EventSeq: event}); err != nil {
		return fmt.Errorf("insert movement: %w", err)
	}
	for i, l := range legs {
		if err := d.InsertPosting(ctx, db.InsertPostingParams{
			AccountID: account, MovementID: id, Leg: int64(i), Place: l.place, LotID: l.lot, Tag: string(l.tag), Quantity: l.quantity,
		}); err != nil {
			return fmt.Errorf("insert posting: %w", err)
		}
		if err := d.post(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func (d *desk) post(ctx context.Context, l leg) error {
	account := d.account.AccountID
	if l.quantity > 0 || l.place == issuer {
		err := d.MoveHolding(ctx, db.MoveHoldingParams{AccountID: account, Place: l.place, LotID: l.lot, Tag: string(l.tag), Quantity: l.quantity})
		if err != nil {
			return fmt.Errorf("add to holding: %w", err)
		}
		return nil
	}
	n, err := d.TakeHolding(ctx, db.TakeHoldingParams{Quantity: -l.quantity, AccountID: account, Place: l.place, LotID: l.lot})
	if err == nil && n != 1 {
		err = errors.New("it holds less")
	}
	if err != nil {
		return fmt.Errorf("take %d of %s from %s: %w", -l.quantity, l.lot, l.place, err)
	}
	return nil
}

// LotRow is a lot, or the part of it, that a virtual account holds.
type LotRow struct {
	license.Lot
	VirtualAccount string
	Status         string
	Reserved       int64 // of the quantity, what reservations hold
	// Back is how many more lie here that a satellite, which is being removed, has given up: they cover nothing there any more.
	Back int64
}

// LicenseRow is one tag in one virtual account, with the reasons beside the numbers.
type LicenseRow struct {
	license.Row
	Name             string
	VirtualAccount   string
	VirtualAccountID string
	// Ends is the next end of a lot that counts now; zero when none ends.
	Ends time.Time
}

// inventory is everything about stock and use of one account at one moment.
type inventory struct {
	vas      []db.VirtualAccount
	holdings []db.HoldingsRow
	demand   []db.DemandOfAccountRow
	uses     []db.UsageOfAccountRow
	places   map[string]string // virtual account by place: its pool, what its satellite has of it, what reservations hold
	reserved map[string]bool   // which of these places are those of reservations, here or at a satellite
	leaving  map[string]bool   // virtual accounts of satellites that are being removed
	ending   bool              // this is a satellite that its authority is removing or has removed
}

func loadInventory(ctx context.Context, tx *store.Tx, account string) (inventory, error) {
	var in inventory
	var err error
	if in.vas, err = allVAs(ctx, tx, account); err != nil {
		return in, err
	}
	if in.holdings, err = tx.Holdings(ctx, account); err != nil {
		return in, fmt.Errorf("read holdings: %w", err)
	}
	if in.demand, err = tx.DemandOfAccount(ctx, account); err != nil {
		return in, fmt.Errorf("read demand: %w", err)
	}
	if in.places, err = ReservationPlaces(ctx, tx, account); err != nil {
		return in, err
	}
	if in.leaving, err = leavingVAs(ctx, tx, account, in.vas); err != nil {
		return in, err
	}
	up, err := tx.Upstream(ctx, account)
	if err != nil && !errors.Is(err, store.ErrNoRow) {
		return in, fmt.Errorf("read upstream: %w", err)
	}
	in.ending = up.Leaving // stays when it was removed
	in.reserved = make(map[string]bool, len(in.places)+len(in.vas))
	for place := range in.places {
		in.reserved[place] = true
	}
	for _, va := range in.vas {
		in.places[poolPlace(va.VaID)] = va.VaID
		for _, place := range PlacesBelow(va.VaID) {
			in.places[place] = va.VaID
		}
		in.reserved[ReservedPlace(va.VaID)] = true
	}
	return in, nil
}

// loadUses adds what uses the stock of one virtual account, an id, or of all when va is empty.
func (in *inventory) loadUses(ctx context.Context, tx *store.Tx, account, va string) (err error) {
	if in.uses, err = tx.UsageOfAccount(ctx, account); err != nil {
		return fmt.Errorf("read use: %w", err)
	}
	below, err := usesBelow(ctx, tx, account, va)
	in.uses = append(in.uses, below...)
	return err
}

// leavingVAs are those of an account's virtual accounts whose satellite is being removed.
func leavingVAs(ctx context.Context, tx *store.Tx, account string, vas []db.VirtualAccount) (map[string]bool, error) {
	leaving := map[string]bool{}
	if !slices.ContainsFunc(vas, func(v db.VirtualAccount) bool { return v.SatelliteID != "" }) {
		return leaving, nil
	}
	satellites, err := satellitesByID(ctx, tx, account)
	for _, v := range vas {
		if satellites[v.SatelliteID].State == SatelliteLeaving {
			leaving[v.VaID] = true
		}
	}
	return leaving, err
}

// stockCache keeps the stock of accounts between batches of reports. Every change of stock appends an event, so the number of
// the newest event, which comes with the account's lock, says whether what is kept still holds, whoever changed it.
type stockCache struct {
	mu sync.Mutex // guards of
	of map[string]keptStock
}

type keptStock struct {
	seq   int64
	stock inventory
}

// maxKeptStock bounds the cache; beyond it, it starts again.
const maxKeptStock = 10_000

// load returns the stock of the locked account, without demand and use.
func (c *stockCache) load(ctx context.Context, d *desk) (inventory, error) {
	account := d.account.AccountID
	c.mu.Lock()
	kept, ok := c.of[account]
	c.mu.Unlock()
	if ok && kept.seq == d.account.EventSeq {
		return kept.stock, nil
	}
	in, err := loadInventory(ctx, d.Tx, account)
	if err != nil {
		return in, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil || len(c.of) >= maxKeptStock {
		c.of = map[string]keptStock{}
	}
	c.of[account] = keptStock{d.account.EventSeq, in}
	return in, nil
}

func allVAs(ctx context.Context, tx *store.Tx, account string) ([]db.VirtualAccount, error) {
	var out []db.VirtualAccount
	page := Page{Limit: 1000}
	for {
		rows, err := tx.VAs(ctx, db.VAsParams{AccountID: account, After: page.After, Page: page.rows()})
		if err != nil {
			return nil, fmt.Errorf("read virtual accounts: %w", err)
		}
		rows, next := cut(rows, page, func(r db.VirtualAccount) string { return r.VaID })
		out = append(out, rows...)
		if next == "" {
			return out, nil
		}
		page.After = next
	}
}

// pools builds the pools of one virtual account for the compliance rule. Lots that ended within the last 90 days or start
// later are named as changes, so that a shortage explains itself. What a satellite that is being removed has given back covers nothing
// of what is used there: both sides show the same.
func (in inventory) pools(va string, now time.Time) []license.Pool {
	byTag := map[license.Tag]*license.Pool{}
	var order []license.Tag
	pool := func(tag license.Tag) *license.Pool {
		if byTag[tag] == nil {
			byTag[tag] = &license.Pool{Tag: tag, Leaving: in.leaving[va] || in.ending}
			order = append(order, tag)
		}
		return byTag[tag]
	}
	for _, h := range in.holdings {
		if in.places[h.Place] != va {
			continue
		}
		p, lot := pool(license.Tag(h.Tag)), lotOf(h)
		switch {
		case lot.Counts(now) && in.leaving[va] && h.Place == poolPlace(va):
			p.Back += h.Quantity // at hand here, and nothing that covers what is used there
		case lot.Counts(now):
			p.Entitled += h.Quantity
			if in.reserved[h.Place] {
				p.Reserved += h.Quantity
			}
		case now.Before(lot.Start):
			p.Changes = append(p.Changes, license.LotChange{Lot: lot.ID, Quantity: h.Quantity, At: lot.Start})
		case now.Sub(lot.End) < license.AuthorizeLife:
			p.Changes = append(p.Changes, license.LotChange{Lot: lot.ID, Quantity: h.Quantity, At: lot.End, Ended: true})
		}
	}
	for _, u := range in.demand {
		if u.VaID == va {
			pool(license.Tag(u.Tag)).Demand += u.Quantity
		}
	}
	for _, u := range in.uses {
		if u.VaID == va {
			p := pool(license.Tag(u.Tag))
			p.Uses = append(p.Uses, license.Use{Instance: u.InstanceID, Name: displayName(u.Product, u.Hostname), Count: u.Quantity, Since: store.At(u.SinceAt)})
		}
	}
	out := make([]license.Pool, 0, len(order))
	for _, tag := range order {
		out = append(out, *byTag[tag])
	}
	return out
}

func displayName(product, hostname string) string {
	if hostname == "" {
		return product
	}
	return product + " on " + hostname
}

func lotOf(h db.HoldingsRow) license.Lot {
	return license.Lot{
		ID: h.LotID, Order: h.Number, Tag: license.Tag(h.Tag), Type: license.LotType(h.LotType), Quantity: h.Quantity,
		Start: store.At(h.StartsAt), End: store.At(h.EndsAt), Subscription: h.Subscription,
	}
}

// rows compares stock and use of every virtual account and, where one is short, names what the others have free. It asks the
// compliance rule for a virtual account twice
// at most: once to see what is free, once to explain.
func (a *Authority) rows(in inventory, now time.Time) []LicenseRow {
	type standing struct {
		pools []license.Pool
		rows  []license.Row
	}
	of := make([]standing, len(in.vas))
	free := map[license.Tag][]license.Surplus{}
	for i, va := range in.vas {
		of[i].pools = in.pools(va.VaID, now)
		of[i].rows = license.Comply(a.catalog, of[i].pools)
		for _, r := range of[i].rows {
			if r.Available > 0 && !in.leaving[va.VaID] {
				free[r.Tag] = append(free[r.Tag], license.Surplus{VirtualAccount: va.Name, Free: r.Available})
			}
		}
		for _, p := range of[i].pools {
			if p.Back > 0 {
				free[p.Tag] = append(free[p.Tag], license.Surplus{VirtualAccount: va.Name, Free: p.Back})
			}
		}
	}
	var out []LicenseRow
	for i, va := range in.vas {
		short := false
		for j, p := range of[i].pools {
			if r, _ := license.FindRow(of[i].rows, p.Tag); r.Shortage > 0 {
				of[i].pools[j].Elsewhere, short = free[p.Tag], true
			}
		}
		if short {
			of[i].rows = license.Comply(a.catalog, of[i].pools)
		}
		for _, r := range of[i].rows {
			out = append(out, LicenseRow{Row: r, Name: a.catalog.Name(r.Tag), VirtualAccount: va.Name, VirtualAccountID: va.VaID, Ends: in.nextEnd(va.VaID, r.Tag, now)})
		}
	}
	return out
}

func (in inventory) nextEnd(va string, tag license.Tag, now time.Time) time.Time {
	var next time.Time
	for _, h := range in.holdings {
		lot := lotOf(h)
		if in.places[h.Place] == va && lot.Tag == tag && lot.Counts(now) && !lot.End.IsZero() && (next.IsZero() || lot.End.Before(next)) {
			next = lot.End
		}
	}
	return next
}

// Licenses lists the pools of an account, or of one virtual account, with bought, used, available and short quantities and
// their reasons. Pools that hold nothing and are used by nobody do not appear.
func (a *Authority) Licenses(ctx context.Context, who access.Person, account, va string) ([]LicenseRow, error) {
	var out []LicenseRow
	err := a.survey(ctx, who, account, va, true, func(in inventory, only string, now time.Time) {
		for _, r := range a.rows(in, now) {
			idle := r.Quantity == 0 && r.InUse == 0 && len(r.Why) == 0
			if !idle && (only == "" || r.VirtualAccountID == only) {
				out = append(out, r)
			}
		}
	})
	return out, err
}

// Lots lists what the virtual accounts hold, lot by lot, with what reservations hold of it.
func (a *Authority) Lots(ctx context.Context, who access.Person, account, va string) ([]LotRow, error) {
	var out []LotRow
	err := a.survey(ctx, who, account, va, false, func(in inventory, only string, now time.Time) {
		names := map[string]string{}
		for _, v := range in.vas {
			if only == "" || v.VaID == only {
				names[v.VaID] = v.Name
			}
		}
		for _, h := range in.holdings {
			name, shown := names[in.places[h.Place]]
			if !shown {
				continue
			}
			lot := lotOf(h)
			i := slices.IndexFunc(out, func(l LotRow) bool { return l.ID == lot.ID && l.VirtualAccount == name })
			if i < 0 {
				i = len(out)
				out = append(out, LotRow{Lot: lot, VirtualAccount: name, Status: lot.Status(now)})
				out[i].Quantity = 0
			}
			if va := in.places[h.Place]; in.leaving[va] && h.Place == poolPlace(va) {
				out[i].Back += lot.Quantity
				continue
			}
			out[i].Quantity += lot.Quantity // parts may be reserved or on their way
			if in.reserved[h.Place] {
				out[i].Reserved += lot.Quantity
			}
		}
	})
	return out, err
}

// survey hands fn the stock of an account, with what uses it in the virtual account that was asked for when withUses is set, and the
// id of that one, empty for all.
func (a *Authority) survey(ctx context.Context, who access.Person, account, va string, withUses bool, fn func(in inventory, only string, now time.Time)) error {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return err
	}
	return a.read(ctx, "read stock", func(tx *store.Tx) error {
		_, only, err := vaNames(ctx, tx, id, va)
		if err != nil {
			return err
		}
		in, err := loadInventory(ctx, tx, id)
		if err == nil && withUses {
			err = in.loadUses(ctx, tx, id, only)
		}
		if err != nil {
			return err
		}
		fn(in, only, tx.Now())
		return nil
	})
}

// Transfer is a wish to move licenses between two virtual accounts.
type Transfer struct {
	Tag      license.Tag
	Quantity int64
	From, To string // virtual accounts by id or name
	Lot      string // one lot only; empty for any, the longest-dated first
}

// Moved is what a transfer did.
type Moved struct {
	From, To string
	Lots     []LotRow
	// Asked is how many are asked back from the satellite that holds them; they arrive when it has let go of them. Reserved is how many
	// of these reservations there hold, as far as it has said: they come when these are returned.
	Asked, Reserved int64
	// InUse is how many its products use in From, as it has said last, and Left how many it has there when all that was asked for came.
	InUse, Left int64
}

// Transfer moves licenses of any quantity between two virtual accounts, all or nothing. Lots keep their identity and dates;
// licenses in use may be moved, the shortage that this makes is reported like any other (domain rule 13).
func (a *Authority) Transfer(ctx context.Context, who access.Person, account string, t Transfer) (Moved, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Moved{}, err
	}
	if t.Quantity < 1 || t.Quantity > license.MaxQuantity {
		return Moved{}, license.Refuse(license.KindInvalid, "bad-quantity", "name a quantity of at least 1", "the quantity %d cannot be transferred", t.Quantity)
	}
	return once(ctx, a, who, id, "transfer", t, func(d *desk) (Moved, error) {
		from, err := d.va(ctx, t.From)
		if err != nil {
			return Moved{}, err
		}
		to, err := d.va(ctx, t.To)
		if err != nil {
			return Moved{}, err
		}
		if from.VaID == to.VaID {
			return Moved{}, license.Refuse(license.KindInvalid, "same-place", "name another virtual account after --to", "both sides are the virtual account %q", from.Name)
		}
		leaving, err := leavingVAs(ctx, d.Tx, id, []db.VirtualAccount{to})
		if err != nil {
			return Moved{}, err
		}
		if leaving[to.VaID] {
			return Moved{}, license.Refuse(license.KindConflict, "satellite-leaving", "name another virtual account after --to",
				"the virtual account %q is that of a satellite that is being removed: nothing is given to it any more", to.Name)
		}
		if from.SatelliteID != "" {
			return d.transferBack(ctx, t, from, to)
		}
		held, err := d.HoldingsAt(ctx, db.HoldingsAtParams{AccountID: id, Place: poolPlace(from.VaID)})
		if err != nil {
			return Moved{}, fmt.Errorf("read holdings: %w", err)
		}
		legs, lots, rest := pick(held, t, d.now, from.VaID, to.VaID)
		if rest > 0 {
			return Moved{}, license.Refuse(license.KindRefused, "not-enough", "`tally license lots` shows what there is",
				"%q holds %d of %s that can be transferred, %d were asked for", from.Name, t.Quantity-rest, t.Tag, t.Quantity)
		}
		for i := range lots {
			lots[i].VirtualAccount = to.Name
		}
		seq, err := d.record(ctx, "licenses.transferred", string(t.Tag), map[string]any{"from": from.VaID, "to": to.VaID, "quantity": t.Quantity})
		if err != nil {
			return Moved{}, err
		}
		return Moved{From: from.Name, To: to.Name, Lots: lots}, d.move(ctx, "transfer", seq, legs)
	})
}

// transferBack transfers licenses out of a virtual account of a satellite.
func (d *desk) transferBack(ctx context.Context, t Transfer, from, to db.VirtualAccount) (Moved, error) {
	legs, done, err := d.recall(ctx, t, from, to)
	if err != nil {
		return Moved{}, err
	}
	for i := range done.Lots {
		done.Lots[i].VirtualAccount = to.Name
	}
	seq, err := d.record(ctx, "licenses.transferred", string(t.Tag), map[string]any{"from": from.VaID, "to": to.VaID, "quantity": t.Quantity, "askedBack": done.Asked})
	if err != nil || len(legs) == 0 {
		return done, err
	}
	return done, d.move(ctx, "transfer", seq, legs)
}

// pick chooses the lots of a transfer, the longest-dated first, and says how many are missing.
func pick(held []db.HoldingsAtRow, t Transfer, now time.Time, from, to string) (legs []leg, lots []LotRow, rest int64) {
	rest = t.Quantity
	slices.SortStableFunc(held, func(x, y db.HoldingsAtRow) int {
		return strings.Compare(endKey(y.EndsAt), endKey(x.EndsAt))
	})
	for _, h := range held {
		lot := license.Lot{ID: h.LotID, Tag: license.Tag(h.Tag), Type: license.LotType(h.LotType), Start: store.At(h.StartsAt), End: store.At(h.EndsAt), Subscription: h.Subscription}
		ended := !lot.End.IsZero() && !now.Before(lot.End)
		if lot.Tag != t.Tag || t.Lot != "" && lot.ID != t.Lot || ended || rest == 0 {
			continue
		}
		n := min(rest, h.Quantity)
		rest -= n
		lot.Quantity = n
		lots = append(lots, LotRow{Lot: lot, Status: lot.Status(now)})
		legs = append(legs, leg{poolPlace(from), lot.ID, lot.Tag, -n}, leg{poolPlace(to), lot.ID, lot.Tag, n})
	}
	return legs, lots, rest
}

// endKey orders ends: a lot without an end is the longest-dated of all.
func endKey(endsAt int64) string {
	if endsAt == 0 {
		return "~"
	}
	return fmt.Sprintf("%020d", endsAt)
}
