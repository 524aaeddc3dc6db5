package conference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	defaultKeep = 30 // days
	expireEvery = time.Hour
	expireAtOne = 500 // posts of one transaction, so that posts that come never wait long
)

// MaxKeepDays is the longest time, in days, for which posts are kept that are not kept for ever.
const MaxKeepDays = 36_500

// Retention is for how long the posts of an account are kept. What meetings are made of is kept for good.
type Retention struct {
	Days     int64 // 0 for ever
	Posts    int64 // kept now
	Bytes    int64 // that their packed bodies take
	OldestAt time.Time
}

// Retention says for how long the posts of an account are kept, and what is kept now.
func (e *Engine) Retention(ctx context.Context, account string) (Retention, error) {
	var out Retention
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		if out.Days, err = keepDays(ctx, tx, account); err != nil {
			return err
		}
		row, err := tx.CountPosts(ctx, account)
		out.Posts, out.Bytes, out.OldestAt = row.Posts, row.Bytes, store.At(row.OldestAt)
		return err
	})
	return out, outcome("read retention", err)
}

func keepDays(ctx context.Context, tx *store.Tx, account string) (int64, error) {
	days, err := tx.Retention(ctx, account)
	if errors.Is(err, store.ErrNoRow) {
		return defaultKeep, nil
	}
	return days, err
}

// SetRetention sets for how many days posts are kept, 0 for ever. What is older goes within the next hour or two. Errors: a
// license.Error of kind invalid for a negative number or one above 36,500, refused while the engine is not enabled.
func (e *Engine) SetRetention(ctx context.Context, who, account string, days int64) (Retention, error) {
	if days < 0 || days > MaxKeepDays {
		return Retention{}, license.Refuse(license.KindInvalid, "bad-days", "use 1 to 36500 days, or 0 for ever", "posts cannot be kept for %d days", days)
	}
	err := e.store.Update(ctx, "set retention", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		if _, err := tx.LockConference(ctx, account); errors.Is(err, store.ErrNoRow) {
			return notEnabled()
		} else if err != nil {
			return fmt.Errorf("lock conference of %s: %w", account, err)
		}
		if before, err := keepDays(ctx, tx, account); err != nil || before == days {
			return err
		}
		if err := tx.SetRetention(ctx, db.SetRetentionParams{AccountID: account, KeepDays: days}); err != nil {
			return fmt.Errorf("set retention of %s: %w", account, err)
		}
		_, err = chain.Record(ctx, who, "retention.set", "records", map[string]any{"days": days})
		return err
	})
	if err != nil {
		return Retention{}, outcome("set retention", err)
	}
	return e.Retention(ctx, account)
}

// expire removes posts of an account that are older than they are to be kept and that meetings show. It returns how many.
func (e *Engine) expire(ctx context.Context, account string) (removed int64, err error) {
	var days int64
	var all []db.Cluster
	var changes []db.CdrChange
	err = e.store.View(ctx, func(tx *store.Tx) error {
		if changes, err = tx.Changes(ctx, account); err != nil {
			return err
		}
		if days, err = keepDays(ctx, tx, account); err != nil {
			return err
		}
		all, err = clusters(ctx, tx, account)
		return err
	})
	if err != nil || days == 0 {
		return 0, err
	}
	before := store.Ms(e.now()) - days*day
	for _, c := range all {
		if slices.ContainsFunc(changes, func(k db.CdrChange) bool { return k.ClusterID == c.ClusterID }) {
			continue // they are read for it
		}
		for {
			n, err := e.expireSome(ctx, c, before)
			removed += n
			if err != nil {
				return removed, err
			}
			if n < expireAtOne {
				break
			}
		}
	}
	return removed, nil
}

// expireSome removes the oldest posts of a bridge that came before a time, a few at once, and keeps the digests of their records.
func (e *Engine) expireSome(ctx context.Context, c db.Cluster, before int64) (removed int64, err error) {
	bridge, err := e.cluster(ctx, c.AccountID, c.ClusterID)
	if err != nil {
		return 0, err
	}
	old := db.DropPostsParams{AccountID: c.AccountID, ClusterID: c.ClusterID}
	var digests []db.PutDigestsParams
	err = e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.OldestPosts(ctx, db.OldestPostsParams{AccountID: c.AccountID, ClusterID: c.ClusterID, Through: c.ProjectedSeq, Page: expireAtOne})
		if err != nil {
			return fmt.Errorf("read posts of %s: %w", c.ClusterID, err)
		}
		n := 0
		for n < len(rows) && rows[n].ReceivedAt < before {
			n++
		}
		if n == 0 {
			return nil
		}
		old.Low, old.Through = rows[0].Seq, rows[n-1].Seq
		digests, err = bridge.digestsOf(ctx, tx, old.Low, old.Through)
		return err
	})
	if err != nil || old.Through == 0 {
		return 0, err
	}
	err = e.store.Update(ctx, "remove old posts", func(tx *store.Tx) error {
		for _, d := range digests {
			if err := tx.PutDigests(ctx, d); err != nil {
				return fmt.Errorf("keep digests of %s: %w", c.ClusterID, err)
			}
		}
		removed, err = tx.DropPosts(ctx, old)
		return err
	})
	return removed, err
}
