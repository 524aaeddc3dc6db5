package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/tallystick/tallystick/internal/store/db"
)

// maxPrepared bounds the prepared statements of one connection.
const maxPrepared = 512

// statements is one connection of SQLite with the statements prepared on it: preparing costs more than most of them do.
// One goroutine uses it at a time.
type statements struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
	inserts  map[rowsOf]driver.Stmt // few: insertions, each for some powers of two
	args     []driver.NamedValue    // of insert, to be used again
}

// rowsOf is an insertion of so many rows.
type rowsOf struct {
	*insertion

	n int
}

func newStatements(ctx context.Context, pool *sql.DB) (*statements, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &statements{conn: conn, prepared: make(map[string]*sql.Stmt), inserts: make(map[rowsOf]driver.Stmt)}, nil
}

func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(ctx, anonymous(query))
	if err != nil {
		return nil, err
	}
	if len(s.prepared) >= maxPrepared {
		for text, old := range s.prepared { // any one
			delete(s.prepared, text)
			_ = old.Close() // frees memory only
			break
		}
	}
	s.prepared[query] = stmt
	return stmt, nil
}

// exec runs one of the statements that frame a transaction. Those are never canceled.
func (s *statements) exec(query string) error {
	stmt, err := s.get(context.Background(), query) //nolint:sqlclosecheck // kept for the next time
	if err == nil {
		_, err = stmt.ExecContext(context.Background())
	}
	return err
}

func (s *statements) close() error {
	for _, stmt := range s.prepared {
		_ = stmt.Close() // the connection goes with it
	}
	for _, stmt := range s.inserts {
		_ = stmt.Close()
	}
	return s.conn.Close()
}

// insert writes rows by the driver itself: what database/sql does for each value costs as much as the rows.
func (s *statements) insert(ctx context.Context, in *insertion, n int, values []any) error {
	s.args = s.args[:0]
	for i, v := range values {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	defer clear(s.args)
	return s.conn.Raw(func(conn any) (err error) {
		key := rowsOf{in, n}
		stmt := s.inserts[key]
		if stmt == nil {
			if stmt, err = conn.(driver.ConnPrepareContext).PrepareContext(ctx, anonymous(in.text(len(values)/n, n))); err != nil {
				return err
			}
			s.inserts[key] = stmt
		}
		_, err = stmt.(driver.StmtExecContext).ExecContext(ctx, s.args)
		return err
	})
}

// session runs the statements of one closure on SQLite. Once a statement has failed it runs no other, as PostgreSQL does:
// some errors make SQLite roll back by itself, and the next statement would then be a transaction of its own.
type session struct {
	*statements

	writes bool
	failed error
}

var _ db.DBTX = (*session)(nil)

// may returns why no statement may run, and remembers that. The driver interrupts a statement whose context ends, and SQLite
// answers an interrupted write by rolling back the whole transaction, which the writer shares among callers: so a writing
// statement looks at the context only before it starts.
func (s *session) may(ctx context.Context) error {
	if s.failed != nil {
		return errWentOn
	}
	s.failed = ctx.Err()
	return s.failed
}

// ready returns the statement and the context to run it with. Where nothing may run, the returned context has ended.
func (s *session) ready(ctx context.Context, query string) (context.Context, *sql.Stmt, error) {
	if err := s.may(ctx); err != nil {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return ended, nil, err
	}
	if s.writes {
		ctx = context.WithoutCancel(ctx)
	}
	stmt, err := s.get(ctx, query)
	s.failed = err
	return ctx, stmt, err
}

func (s *session) insert(ctx context.Context, in *insertion, n int, values []any) error {
	if err := s.may(ctx); err != nil {
		return err
	}
	s.failed = s.statements.insert(context.WithoutCancel(ctx), in, n, values)
	return s.failed
}

// ExecContext is part of db.DBTX.
func (s *session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, stmt, err := s.ready(ctx, query) //nolint:sqlclosecheck // kept for the next time
	if err != nil {
		return nil, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	s.failed = err
	return result, err
}

// QueryContext is part of db.DBTX.
func (s *session) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx, stmt, err := s.ready(ctx, query) //nolint:sqlclosecheck // kept for the next time
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	s.failed = err
	return rows, err
}

// QueryRowContext is part of db.DBTX.
func (s *session) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	ctx, stmt, err := s.ready(ctx, query) //nolint:sqlclosecheck // kept for the next time
	if err != nil {
		return s.conn.QueryRowContext(ctx, query, args...) // only database/sql makes a Row; this one fails as ready did
	}
	row := stmt.QueryRowContext(ctx, args...)
	s.failed = row.Err()
	return row
}

// PrepareContext is part of db.DBTX and always fails: every statement is prepared anyway, and one that ran past this
// session would end with its context.
func (s *session) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	return nil, errors.New("statements are prepared by the store")
}
