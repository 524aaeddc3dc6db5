package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

const (
	checkpointEvery = time.Second // while there is something to do
	longLog         = 8 << 20     // bytes; from here on the write-ahead log is started anew
	largeLog        = 256 << 20   // bytes; a log of this size is cut off when the writer rests
	fewFrames       = 256         // that may be left to copy while the writer stands still
	catchUps        = 3           // to come down to that
)

// checkpointer copies what was committed from SQLite's write-ahead log into the database file, beside the writer and on
// a connection of its own. One that copies behind a busy writer never comes to the end of the log, so that the log would
// grow for ever: a long one is restarted in a moment when the writer stands still, after copying again and again what came
// meanwhile, so that the moment is short. A log that is written from its beginning again keeps its place on the disk: that takes
// half the processor time and half the wait of one that grows.
type checkpointer struct {
	pool     *sql.DB
	wal      string // path of the log
	pageSize int64  // bytes
	long     int64  // bytes
	large    int64  // bytes
	log      *slog.Logger
	writer   *writer
	stop     chan struct{} // closed by close
	ended    chan struct{} // closed when run returns
}

func newCheckpointer(path string, log *slog.Logger, w *writer) (*checkpointer, error) {
	pool, err := sql.Open("sqlite", sqliteName(path, "busy_timeout(0)")) // waits for no reader while it holds the turn
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	c := &checkpointer{
		pool: pool, wal: path + "-wal", long: longLog, large: largeLog, log: log, writer: w,
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := pool.QueryRow("PRAGMA page_size").Scan(&c.pageSize); err != nil {
		return nil, errors.Join(fmt.Errorf("ask the page size: %w", err), pool.Close())
	}
	return c, nil
}

func (c *checkpointer) run() {
	defer close(c.ended)
	timer := time.NewTimer(checkpointEvery)
	defer timer.Stop()
	for left := true; ; {
		if !left {
			select {
			case <-c.stop:
				return
			case <-c.writer.dirty:
			}
		}
		timer.Reset(checkpointEvery)
		select {
		case <-c.stop:
			return
		case <-timer.C:
		}
		idle := true
		select {
		case <-c.writer.dirty:
			idle = false
		default:
		}
		var err error
		if left, err = c.checkpoint(idle); err != nil {
			c.log.Warn("checkpoint", "error", err) // the log keeps what was not copied; the next COMMIT tries again
		}
	}
}

// checkpoint copies what it can and reports whether another round is due: something is left, or the writer was at work, so
// that a large log can be cut off only when it rests.
func (c *checkpointer) checkpoint(idle bool) (left bool, err error) {
	const copying = "PRAGMA wal_checkpoint(PASSIVE)"
	logged, copied, err := c.pragma(copying)
	if err != nil {
		return false, err
	}
	restart := ""
	switch file, err := os.Stat(c.wal); {
	case err != nil:
		return false, err
	case idle && file.Size() >= c.large:
		restart = "PRAGMA wal_checkpoint(TRUNCATE)"
	case logged*c.pageSize >= c.long:
		restart = "PRAGMA wal_checkpoint(RESTART)"
	default:
		return !idle || copied < logged, nil
	}
	for i := 0; i < catchUps && logged-copied > fewFrames; i++ {
		if logged, copied, err = c.pragma(copying); err != nil {
			return false, err
		}
	}
	c.writer.turn.Lock()
	defer c.writer.turn.Unlock()
	logged, copied, err = c.pragma(restart)
	return !idle || copied < logged, err
}

func (c *checkpointer) pragma(text string) (logged, copied int64, err error) {
	var busy int
	err = c.pool.QueryRowContext(context.Background(), text).Scan(&busy, &logged, &copied)
	return logged, copied, err
}

func (c *checkpointer) close() {
	close(c.stop)
	<-c.ended
	if err := c.pool.Close(); err != nil {
		c.log.Warn("close the checkpointer", "error", err)
	}
}
