package authority

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// Instance is a registered product as lists show it.
type Instance struct {
	ID               string
	Product          string
	Hostname         string
	Version          string
	UDI              string
	VirtualAccount   string
	VirtualAccountID string
	// State is Active, Overdue (10 days past its announced contact), Expired (its certificate ended), Duplicate (two copies of
	// its state are at work), Reserved (it holds a reservation and never calls) or Removed; Next says what to do, empty for
	// nothing.
	State string
	Next  string
	// Status is what its last report was answered; empty before the first.
	Status           license.AuthorizationStatus
	StatusSince      time.Time
	ExportControlled bool
	RegisteredAt     time.Time
	RenewedAt        time.Time
	ExpiresAt        time.Time
	LastContact      time.Time
	NextContact      time.Time
	Deadline         time.Time
	// ForkedAt is when two copies of its state were first seen at work; zero for never, or settled.
	ForkedAt  time.Time
	RemovedAt time.Time
	RemovedBy string
	// Satellite is the name of the satellite that the instance is registered at, empty for the authority itself.
	Satellite string
	// LastKnown is when that satellite spoke last, where it was removed since and the instance with it: what is shown of its
	// authorization and its use is as of then, and counts nowhere any more. Zero for all others.
	LastKnown time.Time
	Usage     []UsageRow
}

// UsageRow is what an instance uses of a tag.
type UsageRow struct {
	Tag   license.Tag
	Name  string
	Count int64
	Since time.Time
}

// Instances lists the product instances of an account, or of one virtual account, removed ones included.
func (a *Authority) Instances(ctx context.Context, who access.Person, account, va string, page Page) ([]Instance, string, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return nil, "", err
	}
	var out []Instance
	var next string
	err = a.read(ctx, "list instances", func(tx *store.Tx) error {
		names, only, err := vaNames(ctx, tx, id, va)
		if err != nil {
			return err
		}
		uses, err := a.usageByInstance(ctx, tx, id)
		if err != nil {
			return err
		}
		stock, err := loadInventory(ctx, tx, id)
		if err != nil {
			return err
		}
		satellites, err := satellitesByID(ctx, tx, id)
		if err != nil {
			return err
		}
		for {
			rows, err := tx.Instances(ctx, db.InstancesParams{AccountID: id, After: page.After, Page: page.rows()})
			if err != nil {
				return err
			}
			below, err := satelliteInstances(ctx, tx, id, only, page.After, page.rows())
			if err != nil {
				return err
			}
			covered := a.covered(stock, rows, uses, tx.Now())
			found := make([]Instance, 0, len(rows)+len(below))
			for _, r := range rows {
				found = append(found, instanceOf(r, names[r.VaID], uses[r.InstanceID], covered[r.InstanceID], tx.Now()))
			}
			for _, r := range below {
				in, err := a.instanceBelow(r, names[r.VaID], satellites[r.SatelliteID], tx.Now())
				if err != nil {
					return err
				}
				found = append(found, in)
			}
			slices.SortStableFunc(found, func(x, y Instance) int { return strings.Compare(x.ID, y.ID) })
			found, next = cut(found, page, func(in Instance) string { return in.ID })
			for _, in := range found {
				if only == "" || in.VirtualAccountID == only {
					out = append(out, in)
				}
			}
			if len(out) > 0 || next == "" {
				return nil
			}
			page.After = next // a page without a row of the virtual account: go on
		}
	})
	return out, next, err
}

func (a *Authority) usageByInstance(ctx context.Context, tx *store.Tx, account string) (map[string][]UsageRow, error) {
	rows, err := tx.UsageOfAccount(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("read use: %w", err)
	}
	out := map[string][]UsageRow{}
	for _, u := range rows {
		out[u.InstanceID] = append(out[u.InstanceID], UsageRow{Tag: license.Tag(u.Tag), Name: a.catalog.Name(license.Tag(u.Tag)), Count: u.Quantity, Since: store.At(u.SinceAt)})
	}
	return out, nil
}

func instanceOf(r db.InstancesRow, va string, uses []UsageRow, covered bool, now time.Time) Instance {
	if r.State == stateReserved {
		r.RemovedAt, r.RemovedBy = 0, "" // what its key gets to hear if it calls
	}
	state, next := license.StateOfInstance(license.InstanceStanding{
		ID: r.InstanceID, Removed: r.State == stateRemoved, Reserved: r.State == stateReserved, Expires: store.At(r.ExpiresAt), Next: store.At(r.NextAt), Forked: store.At(r.ForkedAt),
		Status: license.AuthorizationStatus(r.Status), Covered: covered,
	}, now)
	return Instance{
		ID: r.InstanceID, Product: r.Product, Hostname: r.Hostname, Version: r.Version, UDI: r.Udi, VirtualAccount: va, VirtualAccountID: r.VaID,
		State: string(state), Next: next,
		Status: license.AuthorizationStatus(r.Status), StatusSince: store.At(r.StatusAt), ExportControlled: r.ExportControlled,
		RegisteredAt: store.At(r.RegisteredAt), RenewedAt: store.At(r.RenewedAt), ExpiresAt: store.At(r.ExpiresAt), LastContact: store.At(r.AnsweredAt),
		NextContact: store.At(r.NextAt), Deadline: store.At(r.DeadlineAt), ForkedAt: store.At(r.ForkedAt), RemovedAt: store.At(r.RemovedAt), RemovedBy: r.RemovedBy, Usage: uses,
	}
}

// Instance finds a product instance by id, by UDI, by serial number or by host name; a name that fits several is refused.
func (a *Authority) Instance(ctx context.Context, who access.Person, account, ref string) (Instance, error) {
	page := Page{Limit: 1000}
	if trust.ValidID("ins", ref) {
		page = Page{After: before(ref), Limit: 1}
	}
	var found []Instance
	for {
		list, next, err := a.Instances(ctx, who, account, "", page)
		if err != nil {
			return Instance{}, err
		}
		for _, in := range list {
			_, serial, _ := strings.Cut(in.UDI, ",SN:")
			if in.ID == ref || in.UDI == ref || serial == ref || in.Hostname != "" && in.Hostname == ref {
				found = append(found, in)
			}
		}
		if next == "" || trust.ValidID("ins", ref) {
			break
		}
		page.After = next
	}
	if len(found) > 1 { // one that registered elsewhere after its satellite was removed
		found = slices.DeleteFunc(found, func(in Instance) bool { return !in.LastKnown.IsZero() && in.ID != ref })
	}
	switch len(found) {
	case 0:
		return Instance{}, license.NotFound("product instance", ref)
	case 1:
		return found[0], nil
	}
	return Instance{}, license.Refuse(license.KindConflict, "ambiguous", "name it by its id", "%d product instances are called %q", len(found), ref)
}

// before is a cursor right before an id: pages begin after their cursor.
func before(id string) string { return id[:len(id)-1] }

// RemoveInstance removes a product instance; its licenses are free at once. The product learns of it at its next contact. One that
// holds a reservation is removed by its return code and not otherwise (domain rule 30); the code is empty for all others.
func (a *Authority) RemoveInstance(ctx context.Context, who access.Person, account, ref, returnCode string) error {
	if returnCode != "" {
		in, err := a.Instance(ctx, who, account, ref)
		if err != nil {
			return err
		}
		_, err = a.ReturnReservation(ctx, who, account, in.UDI, returnCode)
		return err
	}
	return a.changeInstance(ctx, who, account, ref, "remove instance", func(d *desk, row db.Instance) error {
		switch row.State {
		case stateRemoved:
			return nil
		case stateReserved:
			return license.Refuse(license.KindRefused, "instance-reserved", "return the licenses on the product and give its return code: tally instance remove ID --return-code CODE; for a dead product: tally reservation rehost",
				"the product %s holds reserved licenses, and only its return code proves that it gave them up", row.Udi)
		}
		return d.remove(ctx, row, cmp.Or(d.who.Name, d.who.ID), "", "instance.removed")
	})
}

// MoveInstance moves a product instance with what it uses to another virtual account.
func (a *Authority) MoveInstance(ctx context.Context, who access.Person, account, ref, to string) error {
	return a.changeInstance(ctx, who, account, ref, "move instance", func(d *desk, row db.Instance) error {
		va, err := d.va(ctx, to)
		if err != nil || va.VaID == row.VaID {
			return err
		}
		if err := d.notOfSatellite(ctx, va, "its products register"); err != nil {
			return err
		}
		uses, err := d.UsageOfInstance(ctx, db.UsageOfInstanceParams{AccountID: row.AccountID, InstanceID: row.InstanceID})
		if err != nil {
			return fmt.Errorf("read use: %w", err)
		}
		for _, u := range uses {
			if err := d.shiftDemand(ctx, row.VaID, u.Tag, -u.Quantity); err != nil {
				return err
			}
			if err := d.shiftDemand(ctx, va.VaID, u.Tag, u.Quantity); err != nil {
				return err
			}
		}
		if err := d.MoveUsageOfInstance(ctx, db.MoveUsageOfInstanceParams{AccountID: row.AccountID, InstanceID: row.InstanceID, VaID: va.VaID}); err != nil {
			return err
		}
		if err := d.MoveReservationsOfInstance(ctx, db.MoveReservationsOfInstanceParams{AccountID: row.AccountID, InstanceID: row.InstanceID, VaID: va.VaID}); err != nil {
			return err
		}
		if err := d.MoveInstance(ctx, db.MoveInstanceParams{AccountID: row.AccountID, InstanceID: row.InstanceID, VaID: va.VaID}); err != nil {
			return err
		}
		_, err = d.record(ctx, "instance.moved", row.InstanceID, map[string]string{"before": row.VaID, "after": va.VaID})
		return err
	})
}

func (a *Authority) changeInstance(ctx context.Context, who access.Person, account, ref, verb string, fn func(*desk, db.Instance) error) error {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return err
	}
	in, err := a.Instance(ctx, who, id, ref)
	if err != nil {
		return err
	}
	if !in.LastKnown.IsZero() {
		return license.Refuse(license.KindRefused, "satellite-instance", "nothing is to be done here; to count the product again, register it at another desk",
			"the product instance %s is shown as it was last known: the satellite %q, which it is registered at, was removed", in.ID, in.Satellite)
	}
	if in.Satellite != "" {
		return license.Refuse(license.KindRefused, "satellite-instance", "do it at that satellite; it shows here after the next synchronization",
			"the product instance %s is registered at the satellite %q", in.ID, in.Satellite)
	}
	return a.write(ctx, who, id, verb, func(d *desk) error {
		row, err := d.Instance(ctx, db.InstanceParams{AccountID: id, InstanceID: in.ID})
		if errors.Is(err, store.ErrNoRow) {
			return license.NotFound("product instance", ref)
		}
		if err != nil {
			return err
		}
		return fn(d, row)
	})
}

// remove releases what an instance uses and marks it removed, in the verb's own transaction (domain rule 30).
func (d *desk) remove(ctx context.Context, row db.Instance, by, why, event string) error {
	if err := d.releaseUse(ctx, row); err != nil {
		return err
	}
	if err := d.Tx.RemoveInstance(ctx, db.RemoveInstanceParams{AccountID: row.AccountID, InstanceID: row.InstanceID, RemovedAt: store.Ms(d.now), RemovedBy: by, RemovedWhy: why}); err != nil {
		return fmt.Errorf("remove instance: %w", err)
	}
	_, err := d.record(ctx, event, row.InstanceID, map[string]string{"udi": row.Udi})
	return err
}
