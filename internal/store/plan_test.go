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
	if got := planOf(t, `UPDATE directory_user SET to_version = 2 WHERE account_id = 'a' AND jid = 'j' AND to_version = 0`); !strings.Contains(got, "jid=?") {
		t.Errorf("the row is found by %q, want by jid", got)
	}
}

// TestRunningMeetingsAreFoundAmongThose: what runs is listed without a look at the meetings of years.
func TestRunningMeetingsAreFoundAmongThose(t *testing.T) {
	const where = ` FROM meeting m WHERE m.account_id = 'a' AND m.ended_at = 0 AND m.started_at > 0 AND (m.started_at >= 5 OR m.meeting_id IN
		(SELECT s.meeting_id FROM segment s WHERE s.account_id = 'a' AND s.lasting = TRUE AND s.to_at = 9 AND s.from_at >= 5)) `
	for _, query := range []string{
		`SELECT m.name` + where + `AND m.started_at >= 0 AND (m.started_at < 7 OR (m.started_at = 7 AND m.meeting_id < 'm')) ORDER BY m.started_at DESC, m.meeting_id DESC LIMIT 5`,
		`SELECT m.name` + where + `AND (m.started_at > 7 OR (m.started_at = 7 AND m.meeting_id > 'm')) ORDER BY m.started_at, m.meeting_id LIMIT 5`,
	} {
		if got := planOf(t, query); !strings.Contains(got, "USING INDEX meeting_open") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s: is read by %q", query, got)
		}
	}
}

// planOf says how SQLite carries out a statement.
func planOf(t *testing.T, statement string) string {
	t.Helper()
	s := storetest.Open(t)
	var plan []string
	err := s.View(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.DB().QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+statement)
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
	return strings.Join(plan, "; ")
}
