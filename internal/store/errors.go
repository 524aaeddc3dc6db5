package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tallystick/tallystick/internal/license"
)

// Errors of Update and View, found with errors.Is.
var (
	// ErrNoRow is the error of a generated query for one row that found none.
	ErrNoRow = sql.ErrNoRows
	// ErrBusy refuses an Update because MaxWaiting others wait. Nothing was done.
	ErrBusy error = license.Refuse(license.KindBusy, "busy",
		"try again after a moment", "more work is waiting for the database than it takes")
	// ErrClosed refuses a transaction because the store is closed or has failed. Nothing was done.
	ErrClosed error = license.Refuse(license.KindUnavailable, "stopping",
		"try again after a moment", "the database is being closed")
	// ErrUnknownOutcome says that COMMIT failed and the transaction may exist or not.
	ErrUnknownOutcome error = license.Refuse(license.KindUnavailable, "outcome-unknown",
		"send the same request with the same number again: its answer says what happened",
		"the database did not say whether the change was kept")

	errWentOn = errors.New("a statement failed and the transaction went on")
)

// IsDuplicate reports whether err comes from a primary key or a unique index.
func IsDuplicate(err error) bool {
	return code(err, "23505", sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// IsForeignKey reports whether err comes from a foreign key.
func IsForeignKey(err error) bool {
	return code(err, "23503", sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY)
}

// code reports whether err carries the SQLSTATE or one of the extended result codes.
func code(err error, state string, results ...int) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == state
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		for _, r := range results {
			if e.Code() == r {
				return true
			}
		}
	}
	return false
}

// unavailable is what a caller is told when no transaction could begin. An ended context speaks for itself.
func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &license.Error{
		Kind: license.KindUnavailable, Code: "database-unavailable", Message: "the database does not answer",
		Hint: "try again after a moment; the operator finds the cause in the log", Err: err,
	}
}
