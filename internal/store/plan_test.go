package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// TestPersonIsEndedByName: a change of a directory of 5,000 people ends 5,000 rows one by one, so none of them may look at the others.
func TestPersonIsEndedByName(t *testing.T) {
	s := storetest.Open(t)
	var plan []string
	err := s.View(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.DB().QueryContext(context.Background(), `EXPLAIN QUERY PLAN UPDATE directory_user SET to_version = 2 WHERE account_id = 'a' AND jid = 'j' AND to_version = 0`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				return err
			}
			plan = append(plan, step)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatalf("explain: %v", err)
	}
	if got := strings.Join(plan, "; "); !strings.Contains(got, "jid=?") {
		t.Errorf("the row is found by %q, want by jid", got)
	}
}
