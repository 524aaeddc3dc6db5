package conference

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

const (
	maxName    = 128 // bytes of a bridge's name
	maxAllowed = 100 // call bridges that may be named
	maxPage    = 1000
)

// Bridge is a cluster of call bridges that post to one receiver address.
type Bridge struct {
	ID          string    `json:"id"` // "brg_…"
	Name        string    `json:"name"`
	CreatedAt   time.Time `json:"createdAt"`
	CallBridges []string  `json:"callBridges"` // seen on the receiver
	Allowed     []string  `json:"allowed"`     // the records of others are kept and not counted; empty for all
	Quarantined []string  `json:"quarantined"` // seen and not counted, the empty one for those that do not say who they are
	LastPostAt  time.Time `json:"lastPostAt,omitzero"`
	Posts       int64     `json:"posts"`
	Records     int64     `json:"records"`
	Repeats     int64     `json:"repeats"`
	Conflicts   int64     `json:"conflicts"`
	Missing     int64     `json:"missing"`   // records that the bridges lost, and that have not come by now
	Announced   int64     `json:"announced"` // records that the bridges said they lost, whether or not they came after all
	Refused     int64     `json:"refused"`   // bodies that could not be read, the newest 100
	Changing    bool      `json:"changing"`  // a call bridge was allowed or denied, and not all meetings show it yet
}

// AddBridge makes a receiver for a cluster of call bridges. The receiver's secret name is returned once and never again.
// With call bridges given, the records of any other one are kept and not counted. Errors: a license.Error of kind
// invalid, conflict when the name is taken, refused while the engine is not enabled.
func (e *Engine) AddBridge(ctx context.Context, who, account, name string, callBridges []string) (Bridge, trust.Secret, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '\ufffd' }) {
		return Bridge{}, "", license.Refuse(license.KindInvalid, "bad-name", "use 1 to 128 printable characters", "%.200q is no name for a bridge", name)
	}
	allowed := make([]string, 0, len(callBridges))
	for _, b := range callBridges {
		if b = fold(b); !isGUID(b) {
			return Bridge{}, "", noCallBridge(b)
		}
		allowed = append(allowed, b)
	}
	slices.Sort(allowed)
	allowed = slices.Compact(allowed)
	if len(allowed) > maxAllowed {
		return Bridge{}, "", license.Refuse(license.KindInvalid, "too-many-callbridges", "add a second bridge for the others", "a bridge has at most %d call bridges", maxAllowed)
	}
	text, err := json.Marshal(allowed)
	if err != nil {
		return Bridge{}, "", fmt.Errorf("encode call bridges: %w", err)
	}
	receiver := trust.NewID(trust.Receiver.IDPrefix(), e.now())
	cred, err := trust.NewCredential(trust.Receiver, account, receiver)
	if err != nil {
		return Bridge{}, "", license.NotFound("account", account)
	}
	digest := cred.Digest()
	b := Bridge{ID: bridgeID(receiver), Name: name, CallBridges: []string{}, Allowed: allowed}
	err = e.store.Update(ctx, "add bridge", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		if _, err := tx.LockConference(ctx, account); errors.Is(err, store.ErrNoRow) {
			return notEnabled()
		} else if err != nil {
			return fmt.Errorf("lock conference of %s: %w", account, err)
		}
		b.CreatedAt = tx.Now()
		n, err := tx.InsertCluster(ctx, db.InsertClusterParams{AccountID: account, ClusterID: b.ID, Name: name, NameKey: strings.ToLower(name),
			Digest: digest[:], Allowed: string(text), CreatedAt: store.Ms(tx.Now())})
		if err == nil && n == 0 {
			return license.Refuse(license.KindConflict, "name-taken", "choose another name", "there is a bridge named %q already", name)
		}
		if err != nil {
			return fmt.Errorf("insert bridge: %w", err)
		}
		if _, err := tx.AddReceiver(ctx, db.AddReceiverParams{AccountID: account, ReceiverID: receiver, ClusterID: b.ID, Digest: digest[:], CreatedAt: store.Ms(tx.Now())}); err != nil {
			return fmt.Errorf("insert receiver: %w", err)
		}
		_, err = chain.Record(ctx, who, "bridge.added", b.ID, map[string]any{"name": name, "callBridges": allowed})
		return err
	})
	if err != nil {
		return Bridge{}, "", outcome("add bridge", err)
	}
	e.log.InfoContext(ctx, "bridge added", "account", account, "bridge", b.ID, "by", who)
	return b, cred.Text(), nil
}

// isGUID says whether s, in lower case, has the form of a GUID.
func isGUID(s string) bool {
	for i, r := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := r >= '0' && r <= '9' || r >= 'a' && r <= 'f'
		if dash != (r == '-') || !dash && !hex {
			return false
		}
	}
	return len(s) == 36
}

// noCallBridge refuses what is written for the GUID of a call bridge.
func noCallBridge(guid string) error {
	return license.Refuse(license.KindInvalid, "bad-callbridge", "copy the GUID, `tally conference bridge list` shows those that were seen",
		"%.80q is no GUID of a call bridge", guid)
}

// Bridges lists the bridges of an account by id, those after an id, at most limit (1 to 1000, else 100).
func (e *Engine) Bridges(ctx context.Context, account, after string, limit int) ([]Bridge, error) {
	if err := e.sync(ctx, account); err != nil {
		return nil, err
	}
	out := []Bridge{}
	err := e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Clusters(ctx, db.ClustersParams{AccountID: account, After: after, Page: int32(bounded(limit))})
		if err != nil {
			return err
		}
		for _, r := range rows {
			b, err := bridgeOf(ctx, tx, r)
			if err != nil {
				return fmt.Errorf("read bridge %s: %w", r.ClusterID, err)
			}
			out = append(out, b)
		}
		return nil
	})
	return out, outcome("list bridges", err)
}

// bounded is the page size that is used for one asked for.
func bounded(limit int) int {
	if limit < 1 || limit > maxPage {
		return 100
	}
	return limit
}

func bridgeOf(ctx context.Context, tx *store.Tx, r db.Cluster) (Bridge, error) {
	b := Bridge{ID: r.ClusterID, Name: r.Name, CreatedAt: store.At(r.CreatedAt), Posts: r.LastSeq, CallBridges: []string{}}
	if err := json.Unmarshal([]byte(r.Allowed), &b.Allowed); err != nil {
		return b, err
	}
	at, err := tx.PostReceivedAt(ctx, db.PostReceivedAtParams{AccountID: r.AccountID, ClusterID: r.ClusterID, Seq: r.LastSeq})
	if err != nil && !errors.Is(err, store.ErrNoRow) {
		return b, err
	}
	b.LastPostAt = store.At(at)
	seen, err := tx.BridgesSeen(ctx, db.BridgesSeenParams{AccountID: r.AccountID, ClusterID: r.ClusterID})
	if err != nil {
		return b, err
	}
	for _, s := range seen {
		if s != "" {
			b.CallBridges = append(b.CallBridges, s)
		}
		if len(b.Allowed) > 0 && !slices.Contains(b.Allowed, s) {
			b.Quarantined = append(b.Quarantined, s)
		}
	}
	totals, err := tx.BridgeTotals(ctx, db.BridgeTotalsParams{AccountID: r.AccountID, ClusterID: r.ClusterID})
	if err != nil {
		return b, err
	}
	b.Records, b.Missing, b.Announced, b.Repeats = totals.Records, totals.Missing, totals.Announced, totals.Repeats
	changes, err := tx.Changes(ctx, r.AccountID)
	if err != nil {
		return b, err
	}
	b.Changing = slices.ContainsFunc(changes, func(k db.CdrChange) bool { return k.ClusterID == r.ClusterID })
	var first, second error
	b.Conflicts, first = tx.CountConflicts(ctx, db.CountConflictsParams{AccountID: r.AccountID, ClusterID: r.ClusterID})
	if first == nil {
		b.Refused, second = tx.CountRefused(ctx, db.CountRefusedParams{AccountID: r.AccountID, ClusterID: r.ClusterID})
	}
	return b, cmp.Or(first, second)
}
