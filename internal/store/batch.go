package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/internal/store/db"
)

var (
	putExchanges = &insertion{`INSERT INTO exchange (account_id, instance_id, number, digest, kind, answer, answered_at, next_at, deadline_at)`,
		` ON CONFLICT (account_id, instance_id) DO UPDATE SET number = excluded.number, digest = excluded.digest, kind = excluded.kind,
  answer = excluded.answer, answered_at = excluded.answered_at, next_at = excluded.next_at, deadline_at = excluded.deadline_at`}
	putUsage = &insertion{`INSERT INTO instance_usage (account_id, instance_id, tag, va_id, quantity, since_at)`,
		` ON CONFLICT (account_id, instance_id, tag) DO UPDATE SET va_id = excluded.va_id, quantity = excluded.quantity, since_at = excluded.since_at`}
	putDemands = &insertion{`INSERT INTO demand (account_id, va_id, tag, quantity)`,
		` ON CONFLICT (account_id, va_id, tag) DO UPDATE SET quantity = excluded.quantity`}
	putSatelliteInstances = &insertion{`INSERT INTO satellite_instance (account_id, satellite_id, instance_id, va_id, body)`,
		` ON CONFLICT (account_id, instance_id, satellite_id) DO UPDATE SET va_id = excluded.va_id, body = excluded.body`}
)

// queryIn runs head ($2,$3,…) tail with account as $1, for at most maxRows ids at a time, and scans each row.
func (tx *Tx) queryIn(ctx context.Context, head, tail, account string, ids []string, scan func(scan func(...any) error) error) error {
	for len(ids) > 0 {
		n := 1
		for n < min(len(ids), maxRows) {
			n *= 2
		}
		taken := min(n, len(ids))
		args := make([]any, 0, n+1)
		args = append(args, account)
		for i := range n {
			args = append(args, ids[min(i, taken-1)])
		}
		var b strings.Builder
		b.WriteString(head)
		b.WriteByte('(')
		placeholders(&b, 2, n)
		b.WriteByte(')')
		b.WriteString(tail)
		if err := tx.scanAll(ctx, b.String(), args, scan); err != nil {
			return err
		}
		ids = ids[taken:]
	}
	return nil
}

func (tx *Tx) scanAll(ctx context.Context, text string, args []any, scan func(func(...any) error) error) error {
	rows, err := tx.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// InstanceState is what the authorization lane needs to know of an instance.
type InstanceState struct {
	InstanceID, VaID, State, KeyThumbprint     string
	Product, Version, Hostname                 string
	Status, RemovedBy, RemovedWhy              string
	StatusAt, ForkedAt, RemovedAt, Incarnation int64
	Number                                     int64
	Digest                                     []byte
}

// InstanceStates reads instances with the number of their last exchange.
func (tx *Tx) InstanceStates(ctx context.Context, account string, ids []string) ([]InstanceState, error) {
	var out []InstanceState
	err := tx.queryIn(ctx, `SELECT i.instance_id, i.va_id, i.state, i.key_thumbprint, i.product, i.version, i.hostname, i.status, i.removed_by,
  i.removed_why, i.status_at, i.forked_at, i.removed_at, i.incarnation, coalesce(e.number, 0), coalesce(e.digest, i.public_key)
FROM instance i LEFT JOIN exchange e ON e.account_id = i.account_id AND e.instance_id = i.instance_id
WHERE i.account_id = $1 AND i.instance_id IN `, "", account, ids, func(scan func(...any) error) error {
		var s InstanceState
		err := scan(&s.InstanceID, &s.VaID, &s.State, &s.KeyThumbprint, &s.Product, &s.Version, &s.Hostname, &s.Status, &s.RemovedBy,
			&s.RemovedWhy, &s.StatusAt, &s.ForkedAt, &s.RemovedAt, &s.Incarnation, &s.Number, &s.Digest)
		out = append(out, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read instances: %w", err)
	}
	return out, nil
}

// UsageOfInstances reads what the instances use.
func (tx *Tx) UsageOfInstances(ctx context.Context, account string, ids []string) ([]db.InstanceUsage, error) {
	var out []db.InstanceUsage
	err := tx.queryIn(ctx, `SELECT account_id, instance_id, tag, va_id, quantity, since_at FROM instance_usage
WHERE account_id = $1 AND instance_id IN `, "", account, ids, func(scan func(...any) error) error {
		var u db.InstanceUsage
		err := scan(&u.AccountID, &u.InstanceID, &u.Tag, &u.VaID, &u.Quantity, &u.SinceAt)
		out = append(out, u)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read use of instances: %w", err)
	}
	return out, nil
}

// PutExchanges stores the last exchange of each instance; an instance may stand in rows once.
func (tx *Tx) PutExchanges(ctx context.Context, rows []db.Exchange) error {
	return insertRows(ctx, tx, putExchanges, rows, func(v []any, r *db.Exchange) []any {
		return append(v, r.AccountID, r.InstanceID, r.Number, r.Digest, r.Kind, r.Answer, r.AnsweredAt, r.NextAt, r.DeadlineAt)
	})
}

// PutUsage stores what instances use; an instance's tag may stand in rows once.
func (tx *Tx) PutUsage(ctx context.Context, rows []db.InstanceUsage) error {
	return insertRows(ctx, tx, putUsage, rows, func(v []any, r *db.InstanceUsage) []any {
		return append(v, r.AccountID, r.InstanceID, r.Tag, r.VaID, r.Quantity, r.SinceAt)
	})
}

// PutDemands stores the demand of pools; a pool may stand in rows once. The caller holds the account's lock.
func (tx *Tx) PutDemands(ctx context.Context, rows []db.Demand) error {
	return insertRows(ctx, tx, putDemands, rows, func(v []any, r *db.Demand) []any {
		return append(v, r.AccountID, r.VaID, r.Tag, r.Quantity)
	})
}

// PutSatelliteInstances stores what satellites said of their product instances; an instance may stand in rows once.
func (tx *Tx) PutSatelliteInstances(ctx context.Context, rows []db.SatelliteInstance) error {
	return insertRows(ctx, tx, putSatelliteInstances, rows, func(v []any, r *db.SatelliteInstance) []any {
		return append(v, r.AccountID, r.SatelliteID, r.InstanceID, r.VaID, r.Body)
	})
}
