package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. Another process may do the same at this moment.
func migrate(ctx context.Context, dialect string, pool *sql.DB) error {
	folder, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	gooseDialect := goose.DialectSQLite3
	if dialect == Postgres {
		gooseDialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(gooseDialect, pool, folder, options...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	// SQLite has no lock that outlives a transaction. Who loses a race finds the tables made, fails, and sees the version
	// moved by the winner; an error while the version stands still is a real one.
	for version := int64(-1); ; {
		_, err := provider.Up(ctx)
		if err == nil {
			return nil
		}
		moved, versionErr := provider.GetDBVersion(ctx)
		if versionErr != nil || moved == version || dialect == Postgres {
			return fmt.Errorf("migrate: %w", err)
		}
		version = moved
	}
}
