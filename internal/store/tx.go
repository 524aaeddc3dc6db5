package store

import (
	"time"

	"github.com/tallystick/tallystick/internal/store/db"
)

// Tx is one transaction: the generated queries bound to it, and its instant. It belongs to one closure and one goroutine.
type Tx struct {
	*db.Queries

	conn    db.DBTX
	now     time.Time
	dialect string
}

func (s *Store) newTx(conn db.DBTX) *Tx {
	return &Tx{Queries: db.New(conn), conn: conn, now: At(Ms(s.now())), dialect: s.dialect}
}

// Now is the instant of the transaction: UTC, whole milliseconds.
func (tx *Tx) Now() time.Time { return tx.now }

// SetNow moves the instant: the statement that locks an account calls it, for an account's clock never runs back.
func (tx *Tx) SetNow(t time.Time) { tx.now = At(Ms(t)) }

// DB runs statements that sqlc cannot generate. Rows must be closed before the same text runs again.
func (tx *Tx) DB() db.DBTX { return tx.conn }

// Dialect is SQLite or Postgres.
func (tx *Tx) Dialect() string { return tx.dialect }

// Ms is t as columns named _at keep it: milliseconds since 1970, and 0 for the zero time.
func Ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// At is the inverse of Ms; the time is UTC.
func At(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
