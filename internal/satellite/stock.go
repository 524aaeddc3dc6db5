package satellite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// spot is a lot in a virtual account.
type spot struct{ va, lot string }

// stock is what an authority's books say of one satellite, under the account's lock. What was given and has not come back
// (granted less burnt, summed over a lot) is what the transit and satellite places hold of the lot: take, credit and grant keep
// that.
type stock struct {
	row   db.SatelliteRow
	vas   []string // of the satellite, in the order of their ids
	rows  map[spot]*db.SatelliteStock
	had   map[spot]db.SatelliteStock  // the rows as they are kept
	tags  map[string]license.Tag      // by lot
	kept  map[spot]int64              // what reservations hold there, as the satellite says: a part of what it holds
	place map[string]map[string]int64 // what the satellite's places and pools hold: by place and lot
	was   map[string]map[string]int64 // the same before anything moved
	facts []license.Fact
}

func loadStock(ctx context.Context, b *authority.Books, row db.SatelliteRow) (*stock, error) {
	s := &stock{row: row, rows: map[spot]*db.SatelliteStock{}, had: map[spot]db.SatelliteStock{}, kept: map[spot]int64{}, tags: map[string]license.Tag{}, place: map[string]map[string]int64{}, was: map[string]map[string]int64{}}
	vas, err := authority.VirtualAccountRows(ctx, b.Tx, row.AccountID)
	if err != nil {
		return nil, err
	}
	for _, v := range vas {
		if v.SatelliteID == row.SatelliteID {
			s.vas = append(s.vas, v.VaID)
		}
	}
	rows, err := b.SatelliteStock(ctx, db.SatelliteStockParams{AccountID: row.AccountID, SatelliteID: row.SatelliteID})
	if err != nil {
		return nil, fmt.Errorf("read stock of satellite: %w", err)
	}
	for _, r := range rows {
		s.rows[spot{r.VaID, r.LotID}], s.had[spot{r.VaID, r.LotID}] = &r, r
	}
	held, err := b.HoldingsOf(ctx)
	if err != nil {
		return nil, fmt.Errorf("read holdings: %w", err)
	}
	for _, h := range held {
		s.tags[h.LotID] = license.Tag(h.Tag)
		if s.was[h.Place] == nil {
			s.was[h.Place], s.place[h.Place] = map[string]int64{}, map[string]int64{}
		}
		s.was[h.Place][h.LotID], s.place[h.Place][h.LotID] = h.Quantity, h.Quantity
	}
	return s, nil
}

// at is the row of a spot, made when there is none.
func (s *stock) at(va, lot string) *db.SatelliteStock {
	r := s.rows[spot{va, lot}]
	if r == nil {
		r = &db.SatelliteStock{AccountID: s.row.AccountID, SatelliteID: s.row.SatelliteID, VaID: va, LotID: lot}
		s.rows[spot{va, lot}] = r
	}
	return r
}

func (s *stock) spots() []spot { return inOrder(s.rows) }

// inOrder are the spots of a map in an order that is always the same.
func inOrder[T any](of map[spot]T) []spot {
	return slices.SortedFunc(maps.Keys(of), func(x, y spot) int { return strings.Compare(x.va+x.lot, y.va+y.lot) })
}

// out is how many of a lot were given and have not come back.
func (s *stock) out(lot string) int64 {
	var n int64
	for k, r := range s.rows {
		if k.lot == lot {
			n += r.Granted - r.Burnt
		}
	}
	return n
}

func (s *stock) outstanding() int64 {
	var n int64
	for _, r := range s.rows {
		n += r.Granted - r.Burnt
	}
	return n
}

func (s *stock) put(place, lot string, n int64) {
	if s.place[place] == nil {
		s.place[place] = map[string]int64{}
	}
	s.place[place][lot] += n
}

// take takes over what the satellite says, as far as it can be: no more arrived than was given, no more comes back than is out.
// It returns what came back. What cannot be is a finding and counts for nothing.
func (s *stock) take(said []wire.SyncStock, reserved []wire.SyncReserved) (came map[spot]int64) {
	came = map[spot]int64{}
	for _, w := range reserved { // of a lot that is not its own, take says so below
		s.kept[spot{w.VA, w.Lot}] = w.Count
	}
	for _, r := range s.rows {
		r.Applied, r.Held = 0, 0
	}
	claims := map[string]int64{}
	for _, w := range said {
		if !slices.Contains(s.vas, w.VA) || s.tags[w.Lot] == "" {
			s.facts = append(s.facts, license.Fact{Code: license.FactSyncForeign, Name: w.Lot, Lot: w.Lot, Count: w.Held})
			continue
		}
		r := s.at(w.VA, w.Lot)
		if w.Applied > r.Granted {
			s.facts = append(s.facts, license.Fact{Code: license.FactSyncMore, Lot: w.Lot, Count: w.Applied, Of: r.Granted})
		}
		r.Applied, r.Held = min(w.Applied, r.Granted), w.Held
		claims[w.Lot] += w.Held
		if back := w.Burnt - r.Burnt; back > 0 {
			free := min(back, s.out(w.Lot))
			if free < back {
				s.facts = append(s.facts, license.Fact{Code: license.FactSyncMore, Lot: w.Lot, Count: back, Of: free})
			}
			r.Burnt += free
			if free > 0 {
				came[spot{w.VA, w.Lot}] = free
			}
		}
	}
	for _, lot := range slices.Sorted(maps.Keys(claims)) {
		if out := s.out(lot); claims[lot] > out {
			s.facts = append(s.facts, license.Fact{Code: license.FactSyncMore, Lot: lot, Count: claims[lot], Of: out})
		}
	}
	return came
}

// credit puts what came back where it was asked for, the oldest wish first; what nobody asked for stays with the virtual account
// that it came from.
func (s *stock) credit(ctx context.Context, b *authority.Books, came map[spot]int64) error {
	wishes, err := b.Recalls(ctx, db.RecallsParams{AccountID: s.row.AccountID, SatelliteID: s.row.SatelliteID})
	if err != nil {
		return fmt.Errorf("read recalls: %w", err)
	}
	for _, k := range inOrder(came) {
		rest := came[k]
		for _, w := range wishes {
			if w.VaID != k.va || w.LotID != k.lot || rest == 0 {
				continue
			}
			n := min(rest, w.Quantity-w.Came)
			rest -= n
			s.put(authority.PoolPlace(w.ToVa), k.lot, n)
			if err := b.SetRecall(ctx, db.SetRecallParams{AccountID: w.AccountID, RecallID: w.RecallID, Came: w.Came + n}); err != nil {
				return fmt.Errorf("fulfill recall: %w", err)
			}
		}
		s.put(authority.PoolPlace(k.va), k.lot, rest)
	}
	return nil
}

// grant gives the satellite what lies in the pools of its virtual accounts.
func (s *stock) grant() {
	for _, va := range s.vas {
		pool := s.place[authority.PoolPlace(va)]
		for _, lot := range slices.Sorted(maps.Keys(pool)) {
			if n := pool[lot]; n > 0 {
				s.at(va, lot).Granted += n
				pool[lot] = 0
			}
		}
	}
}

// spread lays what is out over the places: what the satellite says to hold where it says so, apart what reservations hold of that,
// and the rest on its way.
func (s *stock) spread() {
	lots := map[string]bool{}
	for k := range s.rows {
		lots[k.lot] = true
	}
	for lot := range lots {
		rest := s.out(lot)
		for _, va := range s.vas {
			n := min(s.at(va, lot).Held, rest)
			rest -= n
			kept := min(s.kept[spot{va, lot}], n)
			s.set(authority.ReservedPlace(va), lot, kept)
			s.set(authority.SatellitePlace(va), lot, n-kept)
		}
		for _, va := range s.vas {
			r := s.at(va, lot)
			n := min(max(0, r.Granted-r.Applied), rest)
			rest -= n
			s.set(authority.TransitPlace(va), lot, n)
		}
		for _, va := range s.vas {
			if rest > 0 {
				s.put(authority.TransitPlace(va), lot, rest)
				rest = 0
			}
		}
	}
}

// forgotten says which reservations a satellite does not know any more that it knew before its database went back.
func (s *stock) forgotten(now time.Time) []license.Fact {
	before, after := map[license.Tag]int64{}, map[license.Tag]int64{}
	for _, va := range s.vas {
		place := authority.ReservedPlace(va)
		for lot, n := range s.was[place] {
			before[s.tags[lot]] += n
		}
		for lot, n := range s.place[place] {
			after[s.tags[lot]] += n
		}
	}
	var facts []license.Fact
	for _, tag := range slices.Sorted(maps.Keys(before)) {
		if before[tag] > after[tag] {
			facts = append(facts, license.Fact{Code: license.FactSyncForgot, Tag: string(tag), Count: before[tag], Of: after[tag], Since: now})
		}
	}
	return facts
}

func (s *stock) set(place, lot string, n int64) {
	if s.place[place] == nil {
		s.place[place] = map[string]int64{}
	}
	s.place[place][lot] = n
}

// save writes the counts that changed, and one movement of all that changed places.
func (s *stock) save(ctx context.Context, b *authority.Books, event int64) error {
	for _, k := range s.spots() {
		r := s.rows[k]
		had, kept := s.had[k]
		if *r == had || !kept && r.Granted == 0 && r.Burnt == 0 && r.Held == 0 && r.Asked == 0 {
			continue
		}
		if err := b.PutSatelliteStock(ctx, db.PutSatelliteStockParams(*r)); err != nil {
			return fmt.Errorf("keep stock of satellite: %w", err)
		}
	}
	return b.Move(ctx, "satellite", event, legs(s.was, s.place, s.tags))
}

// legs are the movements that make one picture of places out of another: what leaves first, so that no place is ever short.
func legs(was, is map[string]map[string]int64, tags map[string]license.Tag) []authority.Leg {
	places := map[string]bool{}
	for p := range was {
		places[p] = true
	}
	for p := range is {
		places[p] = true
	}
	var out, in []authority.Leg
	for _, p := range slices.Sorted(maps.Keys(places)) {
		lots := map[string]bool{}
		for l := range was[p] {
			lots[l] = true
		}
		for l := range is[p] {
			lots[l] = true
		}
		for _, l := range slices.Sorted(maps.Keys(lots)) {
			leg := authority.Leg{Place: p, Lot: l, Tag: tags[l], Quantity: is[p][l] - was[p][l]}
			if leg.Quantity < 0 {
				out = append(out, leg)
			} else {
				in = append(in, leg)
			}
		}
	}
	return append(out, in...)
}

// writeOff brings everything that is out back into the pools of the satellite's virtual accounts, without its word.
func (s *stock) writeOff(ctx context.Context, b *authority.Books, event int64) error {
	for _, va := range s.vas {
		for _, place := range authority.PlacesBelow(va) {
			for lot, n := range s.place[place] {
				s.put(authority.PoolPlace(va), lot, n)
				s.place[place][lot] = 0
			}
		}
	}
	for _, r := range s.rows {
		r.Granted, r.Applied, r.Asked, r.Held = r.Burnt, min(r.Applied, r.Burnt), r.Burnt, 0
	}
	wishes, err := b.Recalls(ctx, db.RecallsParams{AccountID: s.row.AccountID, SatelliteID: s.row.SatelliteID})
	if err != nil {
		return fmt.Errorf("read recalls: %w", err)
	}
	for _, w := range wishes {
		n := min(w.Quantity-w.Came, s.place[authority.PoolPlace(w.VaID)][w.LotID])
		s.put(authority.PoolPlace(w.VaID), w.LotID, -n)
		s.put(authority.PoolPlace(w.ToVa), w.LotID, n)
		if err := b.SetRecall(ctx, db.SetRecallParams{AccountID: w.AccountID, RecallID: w.RecallID, Came: w.Quantity}); err != nil {
			return fmt.Errorf("end recall: %w", err)
		}
	}
	return s.save(ctx, b, event)
}

// lotIDs are the lots of which the satellite was ever given something.
func (s *stock) lotIDs() []string {
	ids := map[string]bool{}
	for k, r := range s.rows {
		if r.Granted > 0 && trust.ValidID("lot", k.lot) {
			ids[k.lot] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}
