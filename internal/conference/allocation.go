package conference

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// AllocatedLicense is one license and what of it is set aside for which cluster (domain rule 30).
type AllocatedLicense struct {
	Tag         string
	Purchased   int64 // owned now by the virtual account of the engine
	Allocated   int64
	Unallocated int64
	Excess      int64 // allocated beyond what is owned now
	Bridges     []AllocatedBridge
}

// AllocatedBridge is what one cluster was allocated, and uses.
type AllocatedBridge struct {
	Bridge, Name string
	Quantity     int64
	Sixths       int64 // peak of the present UTC day
	Why          []Fact
}

// Allocations shows what clusters are allocated, by tag. A change shows at once.
func (e *Engine) Allocations(ctx context.Context, account string) ([]AllocatedLicense, error) {
	if err := e.sync(ctx, account); err != nil {
		return nil, err
	}
	var out []AllocatedLicense
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		out, err = e.allocations(ctx, tx, account)
		return err
	})
	return out, outcome("read allocation", err)
}

func (e *Engine) allocations(ctx context.Context, tx *store.Tx, account string) ([]AllocatedLicense, error) {
	all, err := clusters(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	allotted, err := allotted(ctx, tx, account, e.now())
	if err != nil {
		return nil, err
	}
	now := store.Ms(e.now())
	today, err := takings(ctx, tx, account, now-now%day, now+1)
	if err != nil {
		return nil, err
	}
	out := []AllocatedLicense{}
	for _, l := range kinds() {
		a := allotted[l.Tag()]
		row := AllocatedLicense{Tag: l.Tag(), Purchased: a.Purchased, Unallocated: a.Unallocated, Excess: a.Excess, Bridges: []AllocatedBridge{}}
		for _, c := range all {
			b := AllocatedBridge{Bridge: c.ClusterID, Name: c.Name, Quantity: a.Allocated[c.ClusterID], Why: []Fact{}}
			of := slices.DeleteFunc(slices.Clone(today), func(t taking) bool { return t.cluster != c.ClusterID })
			peak, _ := meeting.Peak(of.of(l.Tag()), store.At(now-now%day), store.At(now+1))
			b.Sixths = int64(peak)
			if b.Quantity > 0 && peak > meeting.Sixths(b.Quantity)*meeting.Full {
				b.Why = rendered([]meeting.Fact{{Code: meeting.AboveGrant, Args: map[string]string{"bridge": c.Name, "used": peak.String(),
					"allocated": strconv.FormatInt(b.Quantity, 10)}}})
			}
			row.Allocated += b.Quantity
			row.Bridges = append(row.Bridges, b)
		}
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b AllocatedLicense) int { return strings.Compare(a.Tag, b.Tag) })
	return out, nil
}

// allotted is the allocation of each counted license.
func allotted(ctx context.Context, tx *store.Tx, account string, now time.Time) (map[string]meeting.Allocation, error) {
	owned, err := grants(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Allocations(ctx, account)
	if err != nil {
		return nil, err
	}
	out := map[string]meeting.Allocation{}
	for _, l := range kinds() {
		of := map[string]int64{}
		for _, r := range rows {
			if r.Tag == l.Tag() && r.Quantity > 0 {
				of[r.ClusterID] = r.Quantity
			}
		}
		out[l.Tag()] = meeting.Allot(meeting.Entitled(owned[l.Tag()], now), of)
	}
	return out, nil
}

// Allocate sets what of each tag one cluster gets. Errors: a license.Error of kind refused when all clusters together would
// get more than is owned; of kind not found for an unknown bridge; invalid for another tag or a quantity below zero.
func (e *Engine) Allocate(ctx context.Context, who, account, bridge string, quantities map[string]int64) error {
	if len(quantities) == 0 {
		return license.Refuse(license.KindInvalid, "nothing-to-change", "name a tag and a quantity, such as cms-smp-plus=5", "no quantity was given")
	}
	return e.change(ctx, account, "allocate", func(tx *store.Tx, chain *store.LockedAccount) error {
		c, err := bridgeNamed(ctx, tx, account, bridge)
		if err != nil {
			return err
		}
		have, err := allotted(ctx, tx, account, tx.Now())
		if err != nil {
			return err
		}
		changed := map[string]int64{}
		for _, tag := range slices.Sorted(maps.Keys(quantities)) {
			n := quantities[tag]
			a, known := have[tag]
			if !known || n < 0 {
				return license.Refuse(license.KindInvalid, "bad-allocation", "allocate cms-smp-plus and cms-pmp-plus, in whole licenses",
					"%.80q cannot be allocated with the quantity %d", tag, n)
			}
			if _, ok := a.Allocate(c.ClusterID, n); !ok {
				return license.Refuse(license.KindRefused, "over-allocated", "`tally conference allocation show` shows what is left; buy more, or allocate less elsewhere",
					"of %s, %d are owned, of which %d are not allocated; the bridge %s has %d and cannot get %d", tag, a.Purchased, a.Unallocated, c.Name,
					a.Allocated[c.ClusterID], n)
			}
			if n == a.Allocated[c.ClusterID] {
				continue
			}
			changed[tag] = n
			if err := tx.PutAllocation(ctx, db.PutAllocationParams{AccountID: account, ClusterID: c.ClusterID, Tag: tag, Quantity: n}); err != nil {
				return err
			}
		}
		if len(changed) == 0 {
			return nil
		}
		_, err = chain.Record(ctx, who, "conference.allocated", c.ClusterID, map[string]any{"quantities": changed})
		return err
	})
}
