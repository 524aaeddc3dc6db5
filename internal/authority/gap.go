package authority

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// gap checks the movement across the gap (reliability, section 3, invariant I6). At an authority, what was given to a satellite
// and has not come back is what its places hold. At a satellite, what came and was not taken back is what its issuer owes.
func (v *Verification) gap(ctx context.Context, tx *store.Tx, account string) error {
	held, err := tx.Holdings(ctx, account)
	if err != nil {
		return err
	}
	vas, err := allVAs(ctx, tx, account)
	if err != nil {
		return err
	}
	of := map[string]string{} // satellite by place
	for _, va := range vas {
		if va.SatelliteID != "" {
			for _, place := range PlacesBelow(va.VaID) {
				of[place] = va.SatelliteID
			}
		}
	}
	there := map[string]int64{} // by satellite and lot
	for _, h := range held {
		if sat := of[h.Place]; sat != "" {
			there[sat+" "+h.LotID] += h.Quantity
		}
	}
	after := ""
	for {
		sats, err := tx.Satellites(ctx, db.SatellitesParams{AccountID: account, After: after, Page: 1000})
		if err != nil {
			return err
		}
		for _, s := range sats {
			after = s.SatelliteID
			stock, err := tx.SatelliteStock(ctx, db.SatelliteStockParams{AccountID: account, SatelliteID: s.SatelliteID})
			if err != nil {
				return err
			}
			for _, r := range stock {
				there[s.SatelliteID+" "+r.LotID] -= r.Granted - r.Burnt
			}
		}
		if len(sats) < 1000 {
			break
		}
	}
	for _, key := range slices.Sorted(maps.Keys(there)) {
		if there[key] != 0 {
			v.problem("satellite and lot %s: the places hold %d more than was given and has not come back", key, there[key])
		}
	}
	return v.below(ctx, tx, account, held)
}

// below is the same at a satellite.
func (v *Verification) below(ctx context.Context, tx *store.Tx, account string, held []db.HoldingsRow) error {
	if _, err := tx.Upstream(ctx, account); errors.Is(err, store.ErrNoRow) {
		return nil
	} else if err != nil {
		return err
	}
	stock, err := tx.UpstreamStock(ctx, account)
	if err != nil {
		return fmt.Errorf("read upstream stock: %w", err)
	}
	rest, out := map[string]int64{}, map[string]int64{}
	for _, s := range stock {
		rest[s.LotID] += s.Applied - s.Taken
		out[s.LotID] += s.Burnt - s.Taken
	}
	for _, h := range held {
		rest[h.LotID] -= h.Quantity
		if h.Place == OutPlace {
			out[h.LotID] -= h.Quantity
		}
	}
	for _, lot := range slices.Sorted(maps.Keys(rest)) {
		if rest[lot] != 0 || out[lot] != 0 {
			v.problem("lot %s: %d came from the authority and are not here, %d on their way back are not accounted for", lot, rest[lot], out[lot])
		}
	}
	return nil
}
