package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// maxReaders is how many Views run at once on SQLite; others wait.
const maxReaders = 4

// Settings of every connection. Durability is full: with group commit NORMAL is hardly faster and loses acknowledged
// transactions when power fails. Checkpoints are left to the checkpointer, out of the way of COMMIT.
func everyConnection() []string {
	return []string{"busy_timeout(5000)", "synchronous(FULL)", "foreign_keys(1)", "wal_autocheckpoint(0)", "temp_store(MEMORY)"}
}

// sqliteDB is the engine on SQLite: one writer, a few readers, one checkpointer, each with its own connections.
type sqliteDB struct {
	store        *Store
	write, read  *sql.DB
	writer       *writer
	checkpointer *checkpointer
	idle         chan *statements // readers at rest
	unmade       chan struct{}    // one for each reader that was not made yet: idle and busy ones and these are maxReaders
}

func openSQLite(ctx context.Context, s *Store, path string) (_ *sqliteDB, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	write, err := sql.Open("sqlite", sqliteName(path, "journal_mode(WAL)", "cache_size(-32768)"))
	if err != nil {
		return nil, err
	}
	read, err := sql.Open("sqlite", sqliteName(path, "query_only(1)", "cache_size(-16384)"))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	d := &sqliteDB{store: s, write: write, read: read, idle: make(chan *statements, maxReaders), unmade: make(chan struct{}, maxReaders)}
	for range maxReaders {
		d.unmade <- struct{}{}
	}
	if err := d.start(ctx, path); err != nil {
		return nil, errors.Join(err, write.Close(), read.Close())
	}
	return d, nil
}

// makeFile makes a missing file private; SQLite gives its log the same mode. One that exists is not even opened: closing it
// again would drop the locks (POSIX) that SQLite may hold on it in this process.
func makeFile(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

func (d *sqliteDB) start(ctx context.Context, path string) error {
	if err := migrate(ctx, SQLite, d.write); err != nil {
		return err
	}
	conn, err := newStatements(ctx, d.write)
	if err != nil {
		return err
	}
	d.writer = newWriter(d.store, conn)
	d.checkpointer, err = newCheckpointer(path, d.store.log, d.writer)
	if err != nil {
		return errors.Join(err, conn.close())
	}
	go d.writer.run()
	go d.checkpointer.run()
	return nil
}

// sqliteName is the data source name of a file with the settings of every connection and some more.
func sqliteName(path string, more ...string) string {
	query := url.Values{"_pragma": append(everyConnection(), more...), "_txlock": {"immediate"}}
	name := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	return name.String()
}

func (d *sqliteDB) update(ctx context.Context, name string, fn func(*Tx) error) error {
	return d.writer.update(ctx, name, fn)
}

func (d *sqliteDB) view(ctx context.Context, fn func(*Tx) error) (err error) {
	reader, err := d.reader(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if reader != nil {
			d.idle <- reader
		} else {
			d.unmade <- struct{}{}
		}
	}()
	if err := reader.exec("BEGIN"); err != nil {
		return unavailable(ctx, fmt.Errorf("begin to read: %w", err))
	}
	defer func() {
		if err := reader.exec("ROLLBACK"); err != nil {
			_ = reader.close() // in a state that nobody knows: the next View makes a new one
			reader = nil
		}
	}()
	conn := &session{statements: reader}
	if err := d.store.call("view", d.store.newTx(conn), fn); err != nil {
		return err
	}
	if conn.failed != nil {
		return fmt.Errorf("%w: %w", errWentOn, conn.failed)
	}
	return nil
}

// reader takes a reader that is at rest, which has its statements and its pages, and makes one only when all others are busy.
func (d *sqliteDB) reader(ctx context.Context) (*statements, error) {
	select {
	case reader := <-d.idle:
		return reader, nil
	default:
	}
	select {
	case reader := <-d.idle:
		return reader, nil
	case <-d.unmade:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	reader, err := newStatements(ctx, d.read)
	if err != nil {
		d.unmade <- struct{}{}
		return nil, unavailable(ctx, fmt.Errorf("open a reader: %w", err))
	}
	return reader, nil
}

// close is called when no Update and no View runs.
func (d *sqliteDB) close() error {
	d.checkpointer.close()
	err := d.writer.close()
	for range maxReaders {
		select {
		case reader := <-d.idle:
			err = errors.Join(err, reader.close())
		case <-d.unmade:
		}
	}
	return errors.Join(err, d.read.Close(), d.write.Close())
}
