package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	defaultConnections = 16
	maxAttempts        = 5                    // of a closure that lost to another transaction
	backoffUnit        = 5 * time.Millisecond // times the attempt, and as much again by chance
)

// postgresDB is the engine on PostgreSQL: every closure is a transaction of its own, and the row lock of an account makes
// those of one account follow each other.
type postgresDB struct {
	store *Store
	pool  *sql.DB
}

func openPostgres(ctx context.Context, s *Store, o Options) (*postgresDB, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, err
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "tally"
	}
	connections := o.Connections
	if connections == 0 {
		connections = defaultConnections
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	if err := migrate(ctx, Postgres, pool); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &postgresDB{store: s, pool: pool}, nil
}

func (d *postgresDB) update(ctx context.Context, name string, fn func(*Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := d.attempt(ctx, name, fn)
		if err == nil || attempt == maxAttempts || !lost(err) {
			return err
		}
		wait := time.NewTimer(time.Duration(attempt) * (backoffUnit + rand.N(backoffUnit))) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
	}
}

// attempt runs fn in one transaction. Only statements end with the context, never the transaction behind their back: a
// COMMIT that was cut off would have an outcome that nobody knows.
func (d *postgresDB) attempt(ctx context.Context, name string, fn func(*Tx) error) error {
	tx, err := d.begin(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.end()
	if err := d.store.call(name, d.store.newTx(tx), fn); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	switch err := tx.Commit(); {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return fmt.Errorf("%s: %w", name, errWentOn)
	case refused(err):
		return fmt.Errorf("%s: commit: %w", name, err)
	default:
		return fmt.Errorf("%s: %w: commit: %w", name, ErrUnknownOutcome, err)
	}
}

func (d *postgresDB) view(ctx context.Context, fn func(*Tx) error) error {
	tx, err := d.begin(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.end()
	return d.store.call("view", d.store.newTx(tx), fn)
}

// pgTx is a transaction and the connection that it occupies.
type pgTx struct {
	*sql.Tx

	conn *sql.Conn
}

func (d *postgresDB) begin(ctx context.Context, o *sql.TxOptions) (*pgTx, error) {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return nil, unavailable(ctx, fmt.Errorf("connect: %w", err))
	}
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), o)
	if err != nil {
		return nil, unavailable(ctx, errors.Join(fmt.Errorf("begin: %w", err), conn.Close()))
	}
	return &pgTx{Tx: tx, conn: conn}, nil
}

// end rolls back what was not committed and gives the connection back. Its errors say that there is nothing to roll
// back, or that the connection is gone, which comes to the same.
func (tx *pgTx) end() {
	_ = tx.Rollback()
	_ = tx.conn.Close()
}

func (d *postgresDB) close() error { return d.pool.Close() }

// lost reports whether a transaction was undone for the sake of another one (serialization_failure, deadlock_detected),
// so that it may simply run again.
func lost(err error) bool {
	return code(err, "40001") || code(err, "40P01")
}

// refused reports whether the server itself said that COMMIT did not happen: integrity constraints (class 23) and
// transaction rollback (class 40) except statement_completion_unknown.
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code != "40003" && (strings.HasPrefix(e.Code, "23") || strings.HasPrefix(e.Code, "40"))
}
