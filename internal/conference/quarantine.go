package conference

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// settleFor is how long a request waits for meetings to show which call bridges count.
const settleFor = 20 * time.Second

// Allow says that the records of a call bridge count, or that they are only kept, those that came before as well. Meetings are decided
// anew, each with the directory that was in force when its first record was stored; Bridge.Changing says when that goes on after the
// answer. To deny one while any call bridge counts is to name all others that were seen. Errors: a license.Error of kind not found for an unknown bridge
// and for denying a call bridge that was neither seen nor named, invalid for what is no GUID, refused when no call bridge would count or too many would be named.
func (e *Engine) Allow(ctx context.Context, who, account, bridge, callBridge string, allow bool) (Bridge, []Stream, error) {
	guid := fold(callBridge)
	if !isGUID(guid) {
		return Bridge{}, nil, license.Refuse(license.KindInvalid, "bad-callbridge", "copy the call bridge's GUID from `tally conference bridge show NAME`", "%.200q is no GUID of a call bridge", callBridge)
	}
	if err := e.sync(ctx, account); err != nil { // all that posted are known
		return Bridge{}, nil, err
	}
	id, err := e.allow(ctx, who, account, bridge, guid, allow)
	if err != nil {
		return Bridge{}, nil, outcome("allow or deny a call bridge", err)
	}
	some, end := context.WithTimeout(ctx, settleFor)
	defer end()
	if err := e.settleBridges(some, account); err != nil && some.Err() == nil {
		e.complain(ctx, "meetings do not show yet which call bridges count; it will be tried again", err)
	}
	return e.FindBridge(ctx, account, id)
}

// allow writes which call bridges count, and that meetings are to show it.
func (e *Engine) allow(ctx context.Context, who, account, bridge, guid string, allow bool) (id string, err error) {
	err = e.store.Update(ctx, "allow or deny a call bridge", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		row, err := bridgeNamed(ctx, tx, account, bridge)
		if err != nil {
			return err
		}
		id = row.ClusterID
		allowed, err := allowing(ctx, tx, row, guid, allow)
		if err != nil || allowed == nil {
			return err
		}
		text, err := json.Marshal(allowed)
		if err != nil {
			return fmt.Errorf("encode call bridges: %w", err)
		}
		now, err := tx.SetAllowed(ctx, db.SetAllowedParams{Allowed: string(text), AccountID: account, ClusterID: id})
		if err != nil {
			return fmt.Errorf("set call bridges of %s: %w", id, err)
		}
		if err := tx.PutChange(ctx, db.PutChangeParams{AccountID: account, ClusterID: id, Callbridge: guid, Shape: now.Shape, NotedAt: store.Ms(tx.Now()), Upto: now.LastSeq}); err != nil {
			return fmt.Errorf("note change of %s: %w", id, err)
		}
		kind := "callbridge.denied"
		if allow {
			kind = "callbridge.allowed"
		}
		_, err = chain.Record(ctx, who, kind, id, map[string]any{"callBridge": guid, "allowed": allowed})
		return err
	})
	return id, err
}

// allowing is the list of call bridges that count after one was allowed or denied; nil when that changes nothing.
func allowing(ctx context.Context, tx *store.Tx, row db.Cluster, guid string, allow bool) ([]string, error) {
	var allowed []string
	if err := json.Unmarshal([]byte(row.Allowed), &allowed); err != nil {
		return nil, fmt.Errorf("decode call bridges of %s: %w", row.ClusterID, err)
	}
	if allow {
		if len(allowed) == 0 || slices.Contains(allowed, guid) {
			return nil, nil
		}
		allowed = append(allowed, guid)
	} else {
		seen, err := tx.BridgesSeen(ctx, db.BridgesSeenParams{AccountID: row.AccountID, ClusterID: row.ClusterID})
		if err != nil {
			return nil, fmt.Errorf("read call bridges of %s: %w", row.ClusterID, err)
		}
		switch {
		case !slices.Contains(seen, guid) && !slices.Contains(allowed, guid):
			return nil, license.Refuse(license.KindNotFound, "callbridge-not-seen", "copy its GUID from `tally conference bridge show NAME`. One that is not heard yet does not count by itself once any other is denied or named",
				"nothing was ever heard of the call bridge %s at %q, so there is nothing to deny", guid, row.Name)
		case len(allowed) == 0:
			allowed = seen
		case !slices.Contains(allowed, guid):
			return nil, nil // it does not count anyway
		}
		allowed = slices.DeleteFunc(allowed, func(b string) bool { return b == guid })
	}
	slices.Sort(allowed)
	switch {
	case len(allowed) == 0:
		return nil, license.Refuse(license.KindRefused, "last-callbridge", "allow another one first: tally conference bridge allow NAME GUID", "no call bridge of %q would count", row.Name)
	case len(allowed) > maxAllowed:
		return nil, license.Refuse(license.KindRefused, "too-many-callbridges", "add a second bridge for the others", "a bridge has at most %d call bridges", maxAllowed)
	}
	return allowed, nil
}
