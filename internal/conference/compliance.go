package conference

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// LicenseStanding is how one license stands in the window of 90 days.
type LicenseStanding struct {
	Tag      string
	Assigned bool  // counts assigned users and not the peak
	Entitled int64 // owned now
	Used     int64 // whole licenses of the present day
	From, To time.Time
	Over     []meeting.Day
	Level    int
	Falls    []meeting.Fall
	Why      []Fact
}

// BridgeStanding is how the activation keys of one bridge stand.
type BridgeStanding struct {
	Bridge, Name string
	Level        int
	Why          []Fact
}

// Compliance is the standing of an account (domain rules 26 to 28). It refuses nothing.
type Compliance struct {
	Thresholds meeting.Thresholds
	Level      int // the highest of all
	Licenses   []LicenseStanding
	Bridges    []BridgeStanding
}

// Compliance counts the days over entitlement in the last 90 days.
func (e *Engine) Compliance(ctx context.Context, account string) (Compliance, error) {
	now := e.now().UTC()
	today := now.Truncate(24 * time.Hour)
	from := today.AddDate(0, 0, 1-meeting.WindowDays)
	if err := e.upToDate(ctx, account, from, now); err != nil {
		return Compliance{}, err
	}
	var out Compliance
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		out = Compliance{Licenses: []LicenseStanding{}, Bridges: []BridgeStanding{}}
		if out.Thresholds, err = thresholds(ctx, tx, account); err != nil {
			return err
		}
		days, err := daysIn(ctx, tx, account, store.Ms(from), store.Ms(now)+1, store.Ms(now)+1)
		if err != nil {
			return err
		}
		owned, err := grants(ctx, tx, account)
		if err != nil {
			return err
		}
		for _, l := range kinds() {
			s := LicenseStanding{Tag: l.Tag(), Assigned: l == meeting.Personal, Entitled: meeting.Entitled(owned[l.Tag()], now)}
			var rows []meeting.Day
			for _, d := range days {
				if d.Tag != s.Tag {
					continue
				}
				rows = append(rows, d.rule(l))
				if d.Day.Equal(today) {
					s.Used = d.rule(l).Used.Licenses()
				}
			}
			st := meeting.Stand(rows, now, out.Thresholds)
			s.From, s.To, s.Over, s.Level, s.Falls, s.Why = st.From, st.To, st.Over, st.Level, st.Falls, rendered(st.Why)
			out.Licenses = append(out.Licenses, s)
			out.Level = max(out.Level, s.Level)
		}
		keys, err := keysOf(ctx, tx, account)
		if err != nil {
			return err
		}
		for _, k := range keys {
			level, why := meeting.Activation(k.keys, now)
			out.Bridges = append(out.Bridges, BridgeStanding{k.bridge, k.name, level, rendered(why)})
			out.Level = max(out.Level, level)
		}
		return nil
	})
	return out, outcome("count compliance", err)
}

// rendered gives facts their sentences.
func rendered(facts []meeting.Fact) []Fact {
	out := make([]Fact, len(facts))
	for i, f := range facts {
		out[i] = Fact{Code: f.Code, Text: f.Text(), Args: f.Args}
	}
	return out
}

func thresholds(ctx context.Context, tx *store.Tx, account string) (meeting.Thresholds, error) {
	r, err := tx.Thresholds(ctx, account)
	if errors.Is(err, store.ErrNoRow) {
		return meeting.DefaultThresholds(), nil
	}
	return meeting.Thresholds{int(r.Level1), int(r.Level2), int(r.Level3)}, err
}

// SetThresholds sets from how many days over entitlement the levels hold. Errors: a license.Error of kind invalid unless they
// ascend from 1 to at most 90; refused while the engine is not enabled.
func (e *Engine) SetThresholds(ctx context.Context, who, account string, t meeting.Thresholds) error {
	if !t.Valid() {
		return license.Refuse(license.KindInvalid, "bad-thresholds", "write three numbers like 15,45,90",
			"the thresholds must ascend, from 1 day to at most %d", meeting.WindowDays)
	}
	return e.change(ctx, account, "set thresholds", func(tx *store.Tx, chain *store.LockedAccount) error {
		if have, err := thresholds(ctx, tx, account); err != nil || have == t {
			return err
		}
		if err := tx.PutThresholds(ctx, db.PutThresholdsParams{AccountID: account, Level1: int64(t[0]), Level2: int64(t[1]), Level3: int64(t[2])}); err != nil {
			return err
		}
		_, err := chain.Record(ctx, who, "conference.thresholds", account, map[string]any{"days": t})
		return err
	})
}

// change is a verb about the engine of an account: the account's row is locked, the engine is enabled.
func (e *Engine) change(ctx context.Context, account, verb string, fn func(*store.Tx, *store.LockedAccount) error) error {
	return outcome(verb, e.store.Update(ctx, verb, func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		if _, err := tx.Conference(ctx, account); errors.Is(err, store.ErrNoRow) {
			return notEnabled()
		} else if err != nil {
			return fmt.Errorf("read conference of %s: %w", account, err)
		}
		return fn(tx, chain)
	}))
}

// clusters are the rows of all bridges of an account.
func clusters(ctx context.Context, tx *store.Tx, account string) ([]db.Cluster, error) {
	var out []db.Cluster
	for after := ""; ; {
		rows, err := tx.Clusters(ctx, db.ClustersParams{AccountID: account, After: after, Page: page})
		if err != nil {
			return nil, fmt.Errorf("read bridges: %w", err)
		}
		out = append(out, rows...)
		if len(rows) < page {
			return out, nil
		}
		after = rows[len(rows)-1].ClusterID
	}
}

// bridgeNamed finds a bridge by its id or name.
func bridgeNamed(ctx context.Context, tx *store.Tx, account, bridge string) (db.Cluster, error) {
	all, err := clusters(ctx, tx, account)
	for _, r := range all {
		if r.ClusterID == bridge || r.NameKey == fold(bridge) {
			return r, nil
		}
	}
	if err != nil {
		return db.Cluster{}, err
	}
	return db.Cluster{}, license.NotFound("bridge", bridge)
}
