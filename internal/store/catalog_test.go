package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/store"
)

// globalTables are the tables that belong to no account. A table joins them with a reason only: what is global cannot be
// distributed.
func globalTables() []string {
	return []string{
		"account_name",     // names are unique over all accounts
		"goose_db_version", // the version of the schema
	}
}

// keysQuery lists every key that the catalog knows: primary keys and unique indexes with their first column, foreign keys
// with the first column here and there. A table without a primary key has a line with no column.
const keysQuery = `
SELECT c.relname, CASE WHEN i.indisprimary THEN 'primary key' ELSE 'unique index' END || ' ' || x.relname,
       coalesce(a.attname, ''), 'account_id'
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
 WHERE i.indisunique AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT c.relname, 'foreign key ' || k.conname, a.attname, f.attname
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
  JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
 WHERE k.contype = 'f' AND c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT c.relname, 'no primary key', '', ''
  FROM pg_class c
 WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
ORDER BY 1, 2`

// badKeys lists the keys of account tables that do not begin with account_id, and the tables that it looked at.
func badKeys(t *testing.T, s *store.Store) (bad, tables []string) {
	t.Helper()
	err := s.View(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.DB().QueryContext(context.Background(), keysQuery)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var table, key, here, there string
			if err := rows.Scan(&table, &key, &here, &there); err != nil {
				return err
			}
			if !slices.Contains(tables, table) {
				tables = append(tables, table)
			}
			if !slices.Contains(globalTables(), table) && (here != "account_id" || there != "account_id") {
				bad = append(bad, table+": "+key)
			}
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return bad, tables
}

func TestEveryKeyBeginsWithTheAccount(t *testing.T) {
	t.Parallel()
	s := openPostgres(t)
	bad, tables := badKeys(t, s)
	for _, key := range bad {
		t.Errorf("%s: does not begin with account_id", key)
	}
	for _, table := range append(globalTables(), "account", "lot", "event") {
		if !slices.Contains(tables, table) {
			t.Errorf("table %s: not found in the catalog", table)
		}
	}
}

func TestAKeyWithoutTheAccountIsFound(t *testing.T) {
	t.Parallel()
	s := openPostgres(t)
	for _, statement := range []string{
		`CREATE TABLE planted (id TEXT PRIMARY KEY, account_id TEXT NOT NULL, code TEXT NOT NULL)`,
		`CREATE UNIQUE INDEX planted_code ON planted (code, account_id)`,
		`CREATE UNIQUE INDEX planted_lower ON planted (lower(account_id))`,
		`CREATE TABLE planted_child (account_id TEXT NOT NULL, n BIGINT NOT NULL, parent TEXT NOT NULL REFERENCES planted (id), PRIMARY KEY (account_id, n))`,
		`CREATE TABLE planted_crossed (account_id TEXT PRIMARY KEY REFERENCES planted (id))`,
		`CREATE TABLE planted_heap (account_id TEXT NOT NULL)`,
	} {
		update(t, s, func(tx *store.Tx) error { return exec(tx, statement) })
	}
	bad, _ := badKeys(t, s)
	want := []string{
		"planted: primary key planted_pkey", "planted: unique index planted_code", "planted: unique index planted_lower",
		"planted_child: foreign key planted_child_parent_fkey",
		"planted_crossed: foreign key planted_crossed_account_id_fkey", "planted_heap: no primary key",
	}
	if !slices.Equal(bad, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(bad, "\n"), strings.Join(want, "\n"))
	}
}
