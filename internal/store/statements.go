package store

import (
	"context"
	"database/sql"
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
}

func newStatements(ctx context.Context, pool *sql.DB) (*statements, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &statements{conn: conn, prepared: make(map[string]*sql.Stmt)}, nil
}

func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(ctx, query)
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
	return s.conn.Close()
}

// session runs the statements of one closure on SQLite. Once a statement has failed it runs no other, as PostgreSQL does:
// some errors make SQLite roll back by itself, and the next statement would then be a transaction of its own.
type session struct {
	*statements

	writes bool
	failed error
}

var _ db.DBTX = (*session)(nil)

// ready returns the statement and the context to run it with. The driver interrupts a statement whose context ends, and
// SQLite answers an interrupted write by rolling back the whole transaction, which the writer shares among callers: so a
// writing statement looks at the context only before it starts. Where nothing may run, the returned context has ended.
func (s *session) ready(ctx context.Context, query string) (context.Context, *sql.Stmt, error) {
	err := errWentOn
	if s.failed == nil {
		err = ctx.Err()
		s.failed = err
	}
	if err != nil {
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
