package satellite

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/wire"
)

// Settle ends the notes that an administrator has looked at: that a satellite's database was lost or went back, what it forgot of
// reservations, and that it was removed while licenses were out. What is still so at its next file is noted again.
func (s *Sync) Settle(ctx context.Context, who access.Person, account, ref string) (Satellite, error) {
	return s.change(ctx, who, account, ref, "settle satellite", func(b *authority.Books, row *db.SatelliteRow) error {
		kept := slices.DeleteFunc(notedOf(*row), lasting)
		if text := factsText(kept); text != row.Findings {
			row.Findings = text
			_, err := b.Record(ctx, "satellite.settled", row.SatelliteID, nil)
			return err
		}
		return nil
	})
}

// Settles says whether among findings are some that Settle would end.
func Settles(facts []license.Fact) bool { return slices.ContainsFunc(facts, lasting) }

// lasting tells the findings that stay when the next file has nothing odd: somebody should look.
func lasting(f license.Fact) bool {
	return f.Code == license.FactSyncRestored || f.Code == license.FactSyncForgot || f.Code == license.FactSyncLost || f.Code == license.FactSyncOldKeys
}

// notedOf are the findings that were kept with a satellite's row.
func notedOf(r db.SatelliteRow) []license.Fact {
	var facts []license.Fact
	_ = json.Unmarshal([]byte(r.Findings), &facts) // written by us
	return facts
}

// Remove removes a satellite. Unless it never joined, it is first asked to give everything back: its virtual accounts are free
// when it has. With lost it is removed at once, for one that will not be heard again; what it held returns to its virtual
// accounts here, and a finding says that it may be used in two places until the satellite is heard.
func (s *Sync) Remove(ctx context.Context, who access.Person, account, ref string, lost bool) (Satellite, error) {
	return s.change(ctx, who, account, ref, "remove satellite", func(b *authority.Books, row *db.SatelliteRow) error {
		row.TokenDigest, row.TokenEndsAt = []byte{}, 0
		switch {
		case row.State == stateRemoved:
			return nil
		case row.State == stateInvited && row.JoinedAt == 0:
			if _, err := b.Record(ctx, "satellite.removed", row.SatelliteID, nil); err != nil {
				return err
			}
			return s.part(ctx, b, row, cmp.Or(who.Name, who.ID))
		case lost:
			stock, err := loadStock(ctx, b, *row)
			if err != nil {
				return err
			}
			out := stock.outstanding()
			seq, err := b.Record(ctx, "satellite.removed", row.SatelliteID, map[string]any{"lost": true, "licensesOut": out})
			if err != nil {
				return err
			}
			if err := stock.writeOff(ctx, b, seq); err != nil {
				return err
			}
			if out > 0 {
				row.Findings = factsText([]license.Fact{{Code: license.FactSyncLost, Count: out}})
			}
			return s.part(ctx, b, row, cmp.Or(who.Name, who.ID))
		case row.State == stateLeaving:
			return nil
		}
		row.State = stateLeaving
		_, err := b.Record(ctx, "satellite.leaving", row.SatelliteID, nil)
		return err
	})
}

// part ends what binds a satellite to its virtual accounts. What is known of its products stays visible and uses nothing any
// more.
func (s *Sync) part(ctx context.Context, b *authority.Books, row *db.SatelliteRow, by string) error {
	rows, err := authority.VirtualAccountRows(ctx, b.Tx, row.AccountID)
	if err != nil {
		return err
	}
	demand, err := b.DemandOfAccount(ctx, row.AccountID)
	if err != nil {
		return fmt.Errorf("read demand: %w", err)
	}
	for _, v := range rows {
		if v.SatelliteID != row.SatelliteID {
			continue
		}
		if err := b.SetVASatellite(ctx, db.SetVASatelliteParams{AccountID: row.AccountID, VaID: v.VaID}); err != nil {
			return fmt.Errorf("free virtual account: %w", err)
		}
		for _, d := range demand {
			if d.VaID == v.VaID && d.Quantity != 0 {
				if err := b.PutDemand(ctx, db.PutDemandParams{AccountID: row.AccountID, VaID: d.VaID, Tag: d.Tag}); err != nil {
					return fmt.Errorf("release demand: %w", err)
				}
			}
		}
	}
	instances, err := b.InstancesOfSatellite(ctx, db.InstancesOfSatelliteParams{AccountID: row.AccountID, SatelliteID: row.SatelliteID})
	if err != nil {
		return fmt.Errorf("read instances: %w", err)
	}
	for i := range instances {
		var in wire.SyncInstance
		if err := json.Unmarshal(instances[i].Body, &in); err != nil {
			return fmt.Errorf("read instance: %w", err)
		}
		if in.State == instanceRemoved {
			continue
		}
		in.State, in.RemovedAt = instanceRemoved, store.Ms(b.Time())
		if instances[i].Body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("keep instance: %w", err)
		}
	}
	if err := b.PutSatelliteInstances(ctx, instances); err != nil {
		return fmt.Errorf("keep instances: %w", err)
	}
	row.State, row.RemovedAt, row.RemovedBy = stateRemoved, store.Ms(b.Time()), by
	row.NameKey = row.SatelliteID // the name is free
	return nil
}

// instanceRemoved is the state of an instance that was removed, as the desk writes it.
const instanceRemoved = "REMOVED"
