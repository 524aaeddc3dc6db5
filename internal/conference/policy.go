package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// BridgePolicy is the policy in force for a bridge, or for all bridges without one of their own.
type BridgePolicy struct {
	Bridge     string // id; empty for all without one of their own
	BridgeName string
	Policy     meeting.Policy
	Own        bool      // set for this bridge itself; false for what it gets from all
	Version    int64     // of directory and policies, from which it holds; 0 for always
	SetAt      time.Time // zero for never
	SetBy      string
	Unchanged  bool // in the answer to SetPolicy: it was in force already
}

// Policies returns the policy for all bridges, and then for each bridge, by name.
func (e *Engine) Policies(ctx context.Context, account string) ([]BridgePolicy, error) {
	var out []BridgePolicy
	err := e.store.View(ctx, func(tx *store.Tx) error {
		bridges, err := clusters(ctx, tx, account)
		if err != nil {
			return err
		}
		slices.SortFunc(bridges, func(a, b db.Cluster) int { return strings.Compare(a.NameKey, b.NameKey) })
		all, err := policyInForce(ctx, tx, account, "")
		if err != nil {
			return err
		}
		out = []BridgePolicy{all}
		for _, b := range bridges {
			p, err := policyInForce(ctx, tx, account, b.ClusterID)
			if err != nil {
				return err
			}
			if !p.Own {
				p = all
				p.Own = false
			}
			p.Bridge, p.BridgeName = b.ClusterID, b.Name
			out = append(out, p)
		}
		return nil
	})
	return out, outcome("read policies", err)
}

// policyInForce reads the policy that was set for a bridge, or for all of them.
func policyInForce(ctx context.Context, tx *store.Tx, account, bridge string) (BridgePolicy, error) {
	out := BridgePolicy{Bridge: bridge, Policy: meeting.OwnerFirst()}
	row, err := tx.PolicyInForce(ctx, db.PolicyInForceParams{AccountID: account, ClusterID: bridge})
	if errors.Is(err, store.ErrNoRow) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("read policy of %q: %w", bridge, err)
	}
	out.Own, out.Version, out.SetAt, out.SetBy = true, row.FromVersion, store.At(row.SetAt), row.SetBy
	out.Policy, err = parsePolicy(row.Policy)
	return out, err
}

// policyOf reads a policy from a name and changes of its default options.
func policyOf(name string, options map[string]string) (meeting.Policy, error) {
	p, err := meeting.Named(name)
	if err != nil {
		names := make([]string, 0, 2)
		for _, known := range meeting.Policies() {
			names = append(names, known.Name)
		}
		return p, license.Refuse(license.KindInvalid, "no-such-policy", "use "+strings.Join(names, " or "), "there is no policy %.200q", name)
	}
	return withOptions(p, options)
}

func withOptions(p meeting.Policy, options map[string]string) (meeting.Policy, error) {
	for key, value := range options {
		changed, err := p.With(key, value)
		switch {
		case errors.Is(err, meeting.ErrUnknownOption):
			var keys []string
			for _, o := range meeting.OptionList() {
				keys = append(keys, o.Key)
			}
			return p, license.Refuse(license.KindInvalid, "no-such-option", "the options are "+strings.Join(keys, ", "), "a policy has no option %.200q", key)
		case err != nil:
			hint := "separate sign-in names by commas, without spaces, at most 1024 bytes"
			for _, o := range meeting.OptionList() {
				if o.Key == key && o.Values != nil {
					hint = "use " + strings.Join(o.Values, " or ")
				}
			}
			return p, license.Refuse(license.KindInvalid, "bad-option", hint, "%.200q is no value of the option %s", value, key)
		}
		p = changed
	}
	return p, nil
}

// SetPolicy puts a policy in force for a bridge (id or name), or, if that is empty, for all bridges without one of their own.
// Options that are not given have their defaults. It counts for meetings whose first record is stored afterwards; the others
// keep theirs. The same policy again changes nothing. Errors: a license.Error of kind invalid for an unknown policy or option,
// not found for an unknown bridge, refused while the engine is not enabled.
func (e *Engine) SetPolicy(ctx context.Context, who, account, bridge, name string, options map[string]string) (BridgePolicy, error) {
	p, err := policyOf(name, options)
	if err != nil {
		return BridgePolicy{}, err
	}
	doc, err := json.Marshal(p)
	if err != nil {
		return BridgePolicy{}, fmt.Errorf("encode policy: %w", err)
	}
	var out BridgePolicy
	err = e.store.Update(ctx, "set policy", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		conf, err := tx.LockConference(ctx, account)
		if errors.Is(err, store.ErrNoRow) {
			return notEnabled()
		}
		if err != nil {
			return fmt.Errorf("lock conference of %s: %w", account, err)
		}
		var b db.Cluster
		if bridge != "" {
			if b, err = bridgeNamed(ctx, tx, account, bridge); err != nil {
				return err
			}
		}
		before, err := policyInForce(ctx, tx, account, b.ClusterID)
		if err != nil {
			return err
		}
		if out = before; before.Policy == p && (before.Own || bridge == "") {
			out.BridgeName, out.Unchanged = b.Name, true
			return nil
		}
		out = BridgePolicy{Bridge: b.ClusterID, BridgeName: b.Name, Policy: p, Own: true, Version: conf.DirectoryVersion + 1, SetAt: tx.Now(), SetBy: who}
		if err := out.write(ctx, tx, conf, string(doc)); err != nil {
			return err
		}
		subject := "all bridges"
		if bridge != "" {
			subject = b.ClusterID
		}
		_, err = chain.Record(ctx, who, "policy.set", subject, map[string]any{"policy": p, "before": before.Policy, "version": out.Version})
		return err
	})
	if err != nil {
		return BridgePolicy{}, outcome("set policy", err)
	}
	return out, nil
}

// write puts the policy in force with the next version of directory and policies; the directory stays as it is.
func (p *BridgePolicy) write(ctx context.Context, tx *store.Tx, conf db.Conference, doc string) error {
	account := conf.AccountID
	if err := tx.EndPolicy(ctx, db.EndPolicyParams{Version: p.Version, AccountID: account, ClusterID: p.Bridge}); err != nil {
		return fmt.Errorf("end policy: %w", err)
	}
	if err := tx.InsertPolicy(ctx, db.InsertPolicyParams{AccountID: account, ClusterID: p.Bridge, FromVersion: p.Version, Policy: doc,
		SetAt: store.Ms(p.SetAt), SetBy: p.SetBy}); err != nil {
		return fmt.Errorf("add policy: %w", err)
	}
	next := db.InsertDirectoryVersionParams{AccountID: account}
	if conf.DirectoryVersion > 0 {
		row, err := tx.DirectoryVersion(ctx, db.DirectoryVersionParams{AccountID: account, Version: conf.DirectoryVersion})
		if err != nil {
			return fmt.Errorf("read directory version: %w", err)
		}
		next = db.InsertDirectoryVersionParams(row)
	}
	next.Version = p.Version
	return putVersion(ctx, tx, next)
}
