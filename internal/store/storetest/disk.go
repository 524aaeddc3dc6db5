package storetest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/tallystick/tallystick/internal/store"
)

// Disk is a real database that a test breaks: some write in the middle of a transaction fails, as on a disk that is full, or a COMMIT
// is undone. What is left can be copied and opened again. One goroutine uses it at a time.
type Disk struct {
	address string
	t       testing.TB
	faults  *faults // of SQLite
}

// faults are counted down by the statements of one SQLite file.
type faults struct {
	mu     sync.Mutex // guards the others; statements run on the writer's goroutine
	armed  bool
	writes int // that still succeed
	commit bool
	struck bool

	writer  sqlite.ExecQuerierContext // the writer's connection, at rest whenever the test arms its faults
	planted map[string]bool           // the tables that have triggers on that connection
}

var errStruck = errors.New("the disk fails, as the test wants it")

// write is called by a trigger before each row of a table is inserted, updated or deleted.
func (f *faults) write() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.armed {
		return nil
	}
	if f.writes > 0 {
		f.writes--
		return nil
	}
	f.struck = true
	return errStruck
}

// committing says whether a COMMIT is to be undone.
func (f *faults) committing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.armed || !f.commit {
		return false
	}
	f.struck, f.writes = true, 0
	return true
}

// disks finds the faults of a file by its path; files that are not in it do not fail.
var disks sync.Map

func faultsOf(path string) *faults {
	if f, ok := disks.Load(path); ok {
		return f.(*faults)
	}
	return nil
}

// hook lets the driver of SQLite ask for faults, once for all disks.
var hook = sync.OnceFunc(func() {
	sqlite.MustRegisterFunction("tally_test_write", &sqlite.FunctionImpl{NArgs: 1, Scalar: func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		if path, ok := args[0].(string); ok {
			if f := faultsOf(path); f != nil {
				return int64(0), f.write()
			}
		}
		return int64(0), nil
	}})
	sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, dsn string) error {
		name, err := url.Parse(dsn)
		if err != nil || !strings.Contains(dsn, "journal_mode") { // the writer's connection
			return nil
		}
		f := faultsOf(name.Path)
		if f == nil {
			return nil
		}
		hooks, ok := conn.(sqlite.HookRegisterer)
		if !ok {
			return errors.New("the driver has no hooks")
		}
		hooks.RegisterCommitHook(func() int32 {
			if f.committing() {
				return 1
			}
			return 0
		})
		f.mu.Lock()
		defer f.mu.Unlock()
		f.writer, f.planted = conn, map[string]bool{}
		return nil
	})
})

// plant puts triggers that fail on the writer's connection; the file itself does not know of them.
func (f *faults) plant(path, table string) error {
	if f.planted[table] {
		return nil
	}
	var text strings.Builder
	for _, verb := range []string{"INSERT", "UPDATE", "DELETE"} {
		fmt.Fprintf(&text, "CREATE TEMP TRIGGER \"break_%[1]s_%[2]s\" BEFORE %[2]s ON main.\"%[1]s\" BEGIN SELECT tally_test_write('%[3]s'); END;\n", table, verb, strings.ReplaceAll(path, "'", "''"))
	}
	_, err := f.writer.ExecContext(context.Background(), text.String(), nil)
	f.planted[table] = err == nil
	return err
}

// NewDisk makes an empty database with its schema, SQLite in dir or on the PostgreSQL server that Environment names.
func NewDisk(t testing.TB, dialect, dir string) *Disk {
	t.Helper()
	hook()
	d := &Disk{t: t, faults: &faults{}}
	if dialect == store.Postgres {
		d.address = PostgresURL(t)
	} else {
		d.address = filepath.Join(dir, fmt.Sprintf("%016x.db", rand.Uint64())) //nolint:gosec // no secret
	}
	s, err := store.Open(t.Context(), store.Options{URL: d.address})
	if err == nil {
		err = s.Close()
	}
	if err == nil && dialect == store.Postgres {
		err = d.plant()
	}
	if err != nil {
		t.Fatalf("make a database: %v", err)
	}
	return d
}

func (d *Disk) postgres() bool { return strings.HasPrefix(d.address, "postgres") }

// plant puts triggers that fail into a PostgreSQL database. The count of writes is a sequence, which no rollback takes back.
func (d *Disk) plant() error {
	return d.exec(`
		CREATE SEQUENCE tally_test_writes;
		CREATE TABLE tally_test_fault (of text NOT NULL, writes bigint NOT NULL, commits boolean NOT NULL, kill boolean NOT NULL);
		INSERT INTO tally_test_fault VALUES ('', 9000000000000, false, false);
		CREATE FUNCTION tally_test_write() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE f tally_test_fault%ROWTYPE;
		BEGIN
			SELECT * INTO f FROM tally_test_fault;
			IF TG_TABLE_NAME = f.of AND nextval('tally_test_writes') > f.writes THEN
				IF f.kill THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
				RAISE EXCEPTION 'the disk fails, as the test wants it';
			END IF;
			IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
			RETURN NEW;
		END $$;
		CREATE FUNCTION tally_test_commit() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE f tally_test_fault%ROWTYPE;
		BEGIN
			SELECT * INTO f FROM tally_test_fault;
			IF f.commits THEN
				PERFORM setval('tally_test_writes', 9000000000001);
				IF f.kill THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
				RAISE EXCEPTION 'the commit fails, as the test wants it';
			END IF;
			RETURN NULL;
		END $$;
		DO $$
		DECLARE r record;
		BEGIN
			FOR r IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename NOT LIKE 'goose%' AND tablename NOT LIKE 'tally_test%' LOOP
				EXECUTE format('CREATE TRIGGER break BEFORE INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION tally_test_write()', r.tablename);
			END LOOP;
		END $$;
		CREATE CONSTRAINT TRIGGER break_commit AFTER INSERT OR UPDATE ON account DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tally_test_commit()`)
}

func (d *Disk) exec(text string) error {
	pool, err := sql.Open("pgx", d.address)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(context.Background(), text)
	return errors.Join(err, pool.Close())
}

// Open opens the database. The caller closes the store, before Copy and at the end.
func (d *Disk) Open(ctx context.Context, now func() time.Time) (*store.Store, error) {
	if !d.postgres() {
		disks.Store(d.address, d.faults)
	}
	return store.Open(ctx, store.Options{URL: d.address, Now: now, Connections: 4, Logger: slog.New(slog.DiscardHandler)})
}

// FailWrite lets n rows of a table be written from now on; then every write to it fails. With kill PostgreSQL ends the connection
// too. Of several tables that were named since Heal, the last n counts for all.
func (d *Disk) FailWrite(table string, n int, kill bool) { d.arm(table, n, false, kill) }

// FailCommit undoes the next COMMIT that wrote something.
func (d *Disk) FailCommit(kill bool) { d.arm("", 1_000_000_000, true, kill) }

func (d *Disk) arm(table string, writes int, commit, kill bool) {
	d.t.Helper()
	var err error
	if d.postgres() {
		err = d.exec(fmt.Sprintf("SELECT setval('tally_test_writes', 1, false); UPDATE tally_test_fault SET of = '%s', writes = %d, commits = %t, kill = %t", table, writes, commit, kill))
	} else {
		if !commit {
			err = d.faults.plant(d.address, table)
		}
		d.faults.mu.Lock()
		defer d.faults.mu.Unlock()
		d.faults.armed, d.faults.writes, d.faults.commit, d.faults.struck = true, writes, commit, false
	}
	if err != nil {
		d.t.Fatalf("break the database: %v", err)
	}
}

// Heal ends the failures and says whether there were any.
func (d *Disk) Heal() (struck bool) {
	d.t.Helper()
	if !d.postgres() {
		d.faults.mu.Lock()
		defer d.faults.mu.Unlock()
		d.faults.armed = false
		return d.faults.struck
	}
	pool, err := sql.Open("pgx", d.address)
	if err == nil {
		err = pool.QueryRowContext(context.Background(), "SELECT s.is_called AND s.last_value > f.writes FROM tally_test_writes s, tally_test_fault f").Scan(&struck)
	}
	if err == nil {
		_, err = pool.ExecContext(context.Background(), "UPDATE tally_test_fault SET of = '', writes = 9000000000000, commits = false, kill = false")
	}
	if err = errors.Join(err, pool.Close()); err != nil {
		d.t.Fatalf("mend the database: %v", err)
	}
	return struck
}

// Copy copies the database as it is on the disk: of SQLite the file and its log, whether a store has it open or not, as a killed
// process leaves them; of PostgreSQL a database that nobody has open. The copy is in dir; on PostgreSQL it is dropped with the test
// or by Remove.
func (d *Disk) Copy(dir string) *Disk {
	d.t.Helper()
	c := &Disk{t: d.t, faults: &faults{}}
	name := fmt.Sprintf("%016x", rand.Uint64()) //nolint:gosec // no secret
	if d.postgres() {
		address, err := url.Parse(d.address)
		if err != nil {
			d.t.Fatal(err)
		}
		from := strings.TrimPrefix(address.Path, "/")
		address.Path = "/tally_test_" + name
		c.address = address.String()
		administer(d.t, os.Getenv(Environment), "CREATE DATABASE tally_test_"+name+" TEMPLATE "+from)
		return c
	}
	c.address = filepath.Join(dir, name+".db")
	for _, end := range []string{"", "-wal"} { // in this order: what is copied into the file meanwhile is in the log as well
		content, err := os.ReadFile(d.address + end)
		if end != "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(c.address+end, content, 0o600) //nolint:gosec // a folder of the test
		}
		if err != nil {
			d.t.Fatalf("copy the database: %v", err)
		}
	}
	return c
}

// Remove deletes the database, which nobody has open.
func (d *Disk) Remove() {
	d.t.Helper()
	if d.postgres() {
		if address, err := url.Parse(d.address); err == nil {
			administer(d.t, os.Getenv(Environment), "DROP DATABASE IF EXISTS "+strings.TrimPrefix(address.Path, "/")+" WITH (FORCE)")
		}
		return
	}
	disks.Delete(d.address)
	for _, end := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(d.address + end)
	}
}
