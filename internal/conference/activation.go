package conference

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/callbridge"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// recordingTag is what is owned for recordings and streams.
const recordingTag = "cms-recording"

// BridgeActivation is what is known of the activation of one cluster: the keys of its call bridges, and the features of the
// license that is pushed to it (domain rules 28 and 29).
type BridgeActivation struct {
	Bridge, Name string
	Keys         []meeting.Key
	Level        int
	RenewedAt    time.Time // when the authority answered last
	Features     []meeting.Pushed
	Why          []Fact
}

// clusterKeys are the keys of one cluster, as far as anybody has said something of them.
type clusterKeys struct {
	bridge, name string
	keys         []meeting.Key
}

// keysOf are the keys of the call bridges that were seen or named. A row for all holds for those without their own.
func keysOf(ctx context.Context, tx *store.Tx, account string) ([]clusterKeys, error) {
	all, err := clusters(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	rows, err := tx.ActivationKeys(ctx, account)
	if err != nil {
		return nil, err
	}
	seen, err := tx.CallBridgesOfAccount(ctx, account)
	if err != nil {
		return nil, err
	}
	read, err := readKeys(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	var out []clusterKeys
	for _, c := range all {
		k := clusterKeys{bridge: c.ClusterID, name: c.Name}
		var usual *meeting.Key
		for _, r := range rows {
			if r.ClusterID != c.ClusterID {
				continue
			}
			key := meeting.Key{Bridge: r.Callbridge, Present: r.Present, Until: store.At(r.UntilAt)}
			if r.Callbridge == "" {
				usual = &key
				continue
			}
			k.keys = append(k.keys, key)
		}
		for _, s := range seen {
			own := slices.ContainsFunc(k.keys, func(key meeting.Key) bool { return key.Bridge == s.Callbridge })
			if usual != nil && s.ClusterID == c.ClusterID && !own {
				k.keys = append(k.keys, meeting.Key{Bridge: s.Callbridge, Present: usual.Present, Until: usual.Until})
			}
		}
		if usual != nil && len(k.keys) == 0 { // nothing was seen yet
			k.keys = []meeting.Key{{Bridge: c.Name, Present: usual.Present, Until: usual.Until}}
		}
		for _, key := range read[c.ClusterID] {
			if usual == nil && !slices.ContainsFunc(k.keys, func(own meeting.Key) bool { return own.Bridge == key.Bridge }) {
				k.keys = append(k.keys, key)
			}
		}
		slices.SortFunc(k.keys, func(a, b meeting.Key) int { return cmp.Compare(a.Bridge, b.Bridge) })
		out = append(out, k)
	}
	return out, nil
}

// readKeys are the keys that call bridges whose API is read say they have, by cluster. What a person said goes before.
func readKeys(ctx context.Context, tx *store.Tx, account string) (map[string][]meeting.Key, error) {
	rows, err := tx.BridgeAPIs(ctx, account)
	if err != nil {
		return nil, err
	}
	out := map[string][]meeting.Key{}
	for _, r := range rows {
		a, err := apiOf(r, "")
		if err != nil {
			return nil, err
		}
		if key, known := a.Found.Licensing.key(); known {
			key.Bridge = cmp.Or(r.Callbridge, a.Found.Tail.CallBridge, hostOf(r.Url))
			out[r.ClusterID] = append(out[r.ClusterID], key)
		}
	}
	return out, nil
}

// key is what the features say of the activation key: with encryption or without, it is the same key here.
func (l *APILicensing) key() (key meeting.Key, known bool) {
	if l == nil {
		return key, false
	}
	key.Read = true
	for _, f := range l.Features {
		if f.Name != "callBridge" && f.Name != "callBridgeNoEncryption" {
			continue
		}
		known = true
		if f.Status == callbridge.StatusActivated || f.Status == callbridge.StatusGrace {
			if !key.Present || f.Expiry.IsZero() || !key.Until.IsZero() && f.Expiry.After(key.Until) {
				key.Until = f.Expiry
			}
			key.Present = true
		}
	}
	return key, known
}

// Activations shows the activation of every cluster.
func (e *Engine) Activations(ctx context.Context, account string) ([]BridgeActivation, error) {
	status, err := e.Status(ctx, account)
	if err != nil && license.AsError(err) == nil {
		return nil, err
	}
	renewed := status.Authorization.LastAttempt.At
	if status.Authorization.LastAttempt.Outcome != "SUCCEEDED" {
		renewed = time.Time{}
		if d := status.Authorization.Deadline; !d.IsZero() {
			renewed = d.Add(-license.AuthorizeLife)
		}
	}
	now := e.now()
	var out []BridgeActivation
	err = e.store.View(ctx, func(tx *store.Tx) error {
		keys, err := keysOf(ctx, tx, account)
		if err != nil {
			return err
		}
		owned, err := grants(ctx, tx, account)
		if err != nil {
			return err
		}
		out = []BridgeActivation{}
		for _, k := range keys {
			a := BridgeActivation{Bridge: k.bridge, Name: k.name, Keys: k.keys, RenewedAt: renewed}
			var why []meeting.Fact
			a.Level, why = meeting.Activation(k.keys, now)
			a.Why = rendered(why)
			a.Features = meeting.Push(featuresOf(k.keys, owned[recordingTag], now), renewed, now)
			out = append(out, a)
		}
		return nil
	})
	return out, outcome("read activation", err)
}

// featuresOf are the features that are pushed to a cluster. Its calls end with the first of its keys; customizations need no
// license.
func featuresOf(keys []meeting.Key, recording []meeting.Grant, now time.Time) []meeting.Feature {
	calls := meeting.Feature{Name: "callBridge", Owned: true}
	for _, k := range keys {
		calls.Owned = calls.Owned && k.Present
		if !k.Until.IsZero() && (calls.Until.IsZero() || k.Until.Before(calls.Until)) {
			calls.Until = k.Until
		}
	}
	record := meeting.Feature{Name: "recording", Owned: meeting.Entitled(recording, now) > 0}
	for _, g := range recording {
		if record.Owned && !g.To.IsZero() && now.Before(g.To) && meeting.Entitled(recording, g.To) == 0 && (record.Until.IsZero() || g.To.Before(record.Until)) {
			record.Until = g.To
		}
	}
	return []meeting.Feature{calls, {Name: "customizations", Owned: true}, record}
}

// SetActivation says whether call bridges have their activation key, and until when; without a call bridge it holds for all of
// the cluster that have none of their own. Errors: a license.Error of kind not found for an unknown bridge, invalid for what is
// no GUID.
func (e *Engine) SetActivation(ctx context.Context, who, account, bridge string, key meeting.Key) error {
	key.Bridge = strings.ToLower(strings.TrimSpace(key.Bridge))
	if key.Bridge != "" && !isGUID(key.Bridge) {
		return noCallBridge(key.Bridge)
	}
	if !key.Present && !key.Until.IsZero() {
		return license.Refuse(license.KindInvalid, "bad-key", "leave the end out, or say that the key is present", "a key that is missing has no end")
	}
	return e.change(ctx, account, "set activation", func(tx *store.Tx, chain *store.LockedAccount) error {
		c, err := bridgeNamed(ctx, tx, account, bridge)
		if err != nil {
			return err
		}
		rows, err := tx.ActivationKeys(ctx, account)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(rows, func(r db.ActivationKey) bool {
			return r.ClusterID == c.ClusterID && r.Callbridge == key.Bridge && r.Present == key.Present && r.UntilAt == store.Ms(key.Until)
		}) {
			return nil
		}
		if err := tx.PutActivationKey(ctx, db.PutActivationKeyParams{AccountID: account, ClusterID: c.ClusterID, Callbridge: key.Bridge,
			Present: key.Present, UntilAt: store.Ms(key.Until)}); err != nil {
			return err
		}
		data := map[string]any{"present": key.Present}
		if key.Bridge != "" {
			data["callBridge"] = key.Bridge
		}
		if !key.Until.IsZero() {
			data["until"] = key.Until.UTC()
		}
		_, err = chain.Record(ctx, who, "conference.activation", c.ClusterID, data)
		return err
	})
}
