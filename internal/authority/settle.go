package authority

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store/db"
)

// SettleInstance takes the mark of two copies from an instance: an administrator has looked, and one copy is at work. If two
// are, the next exchange of the other one marks it again. It does nothing to an instance without the mark.
func (a *Authority) SettleInstance(ctx context.Context, who access.Person, account, ref string) error {
	return a.changeInstance(ctx, who, account, ref, "settle instance", func(d *desk, row db.Instance) error {
		if row.ForkedAt == 0 {
			return nil
		}
		if err := d.SetInstanceForked(ctx, db.SetInstanceForkedParams{AccountID: row.AccountID, InstanceID: row.InstanceID}); err != nil {
			return err
		}
		_, err := d.record(ctx, "instance.settled", row.InstanceID, nil)
		return err
	})
}

// covered are the instances among rows that were short at their last report and would be covered now (domain rule 36).
func (a *Authority) covered(in inventory, rows []db.InstancesRow, uses map[string][]UsageRow, now time.Time) map[string]bool {
	out := map[string]bool{}
	var pools map[string][]license.Row
	for _, r := range rows {
		if r.State == stateRemoved || license.AuthorizationStatus(r.Status) != license.StatusOutOfCompliance {
			continue
		}
		if pools == nil {
			pools = map[string][]license.Row{}
			for _, row := range a.rows(in, now) {
				pools[row.VirtualAccountID] = append(pools[row.VirtualAccountID], row.Row)
			}
		}
		counts := map[license.Tag]int64{}
		for _, u := range uses[r.InstanceID] {
			counts[u.Tag] = u.Count
		}
		out[r.InstanceID] = license.StatusOf(pools[r.VaID], counts) == license.StatusAuthorized
	}
	return out
}
