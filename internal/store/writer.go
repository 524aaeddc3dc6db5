package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// maxBatch is how many closures share one COMMIT at most.
const maxBatch = 256

// States of a job. Its caller may skip it while it waits, the writer takes it otherwise.
const (
	jobWaits int32 = iota
	jobTaken
	jobSkipped
)

// job is one Update that waits for the writer.
type job struct {
	ctx   context.Context
	name  string
	fn    func(*Tx) error
	state atomic.Int32
	done  chan struct{} // closed after err is set
	err   error
}

// writer is group commit on SQLite: one goroutine, one connection. It takes whatever waits, up to maxBatch, runs each
// closure in a savepoint of its own, and commits once. There is no timer: closures gather while the last COMMIT runs.
type writer struct {
	store *Store
	conn  *statements
	queue chan *job
	dirty chan struct{} // tells the checkpointer that there is something to do
	ended chan struct{} // closed when run returns, which close brings about

	turn   sync.Mutex // held during a transaction, and by the checkpointer while it restarts the log
	broken bool       // used by run only: take no more work
}

func newWriter(s *Store, conn *statements) *writer {
	return &writer{
		store: s, conn: conn,
		queue: make(chan *job, MaxWaiting), dirty: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

func (w *writer) update(ctx context.Context, name string, fn func(*Tx) error) error {
	j := &job{ctx: ctx, name: name, fn: fn, done: make(chan struct{})}
	select {
	case w.queue <- j:
	default: // full of jobs that their callers skipped
		return ErrBusy
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaits, jobSkipped) {
			return ctx.Err()
		}
		<-j.done
	}
	return j.err
}

// run takes jobs until close. A closure that ends its goroutine (runtime.Goexit, as t.Fatal does) ends this one, with a
// transaction half done: then every caller is refused rather than left waiting.
func (w *writer) run() {
	defer close(w.ended)
	defer func() {
		w.fail(errors.New("a closure ended the writer's goroutine"))
		for j := range w.queue {
			j.err = ErrClosed
			close(j.done)
		}
	}()
	for first := range w.queue {
		w.commit(w.gather(first))
	}
	w.broken = true // closed in order: nothing failed
}

func (w *writer) gather(first *job) []*job {
	var batch []*job
	for j := first; ; {
		if j.state.CompareAndSwap(jobWaits, jobTaken) {
			batch = append(batch, j)
		}
		if len(batch) == maxBatch {
			return batch
		}
		select {
		case next, open := <-w.queue:
			if !open {
				return batch
			}
			j = next
		default:
			return batch
		}
	}
}

// commit runs a batch and then tells every caller its own result.
func (w *writer) commit(batch []*job) {
	results := make([]error, len(batch))
	for _, j := range batch {
		j.err = ErrClosed // unless this function comes to its end
		defer close(j.done)
	}
	if err := w.transact(batch, results); err != nil {
		for i := range results {
			if results[i] == nil {
				results[i] = fmt.Errorf("%s: %w", batch[i].name, err)
			}
		}
	}
	for i, j := range batch {
		j.err = results[i]
	}
}

// transact runs a batch in one transaction. What a closure returned is in results; the error is for all the others.
func (w *writer) transact(batch []*job, results []error) error {
	if len(batch) == 0 {
		return nil
	}
	if w.broken {
		return ErrClosed
	}
	w.turn.Lock()
	defer w.turn.Unlock()
	if err := w.conn.exec("BEGIN IMMEDIATE"); err != nil {
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code()&0xff != sqlite3.SQLITE_BUSY {
			w.fail(err)
		}
		return unavailable(context.Background(), fmt.Errorf("begin: %w", err))
	}
	if len(batch) == 1 {
		if results[0] = w.closure(batch[0]); results[0] != nil {
			w.rollback()
			return nil
		}
	} else if err := w.savepoints(batch, results); err != nil {
		w.rollback()
		return fmt.Errorf("undone with the others of its batch: %w", err)
	}
	if err := w.conn.exec("COMMIT"); err != nil {
		w.fail(err)
		return fmt.Errorf("%w: commit: %w", ErrUnknownOutcome, err)
	}
	select {
	case w.dirty <- struct{}{}:
	default:
	}
	return nil
}

// savepoints runs each closure in its own savepoint. An error means that the transaction is beyond repair.
func (w *writer) savepoints(batch []*job, results []error) error {
	for i, j := range batch {
		if err := w.conn.exec("SAVEPOINT closure"); err != nil {
			return err
		}
		if results[i] = w.closure(j); results[i] != nil {
			if err := w.conn.exec("ROLLBACK TO closure"); err != nil {
				return errors.Join(results[i], err)
			}
		}
		if err := w.conn.exec("RELEASE closure"); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) closure(j *job) error {
	conn := &session{statements: w.conn, writes: true}
	if err := w.store.call(j.name, w.store.newTx(conn), j.fn); err != nil {
		return err
	}
	if conn.failed != nil {
		return fmt.Errorf("%s: %w: %w", j.name, errWentOn, conn.failed)
	}
	return nil
}

// rollback ends a transaction of which nothing shall remain. SQLite may have ended it by itself, which makes an error
// here; one that is really still open makes the next BEGIN fail, which is noticed.
func (w *writer) rollback() {
	if err := w.conn.exec("ROLLBACK"); err != nil {
		w.store.log.Warn("roll back", "error", err)
	}
}

// fail makes the store take no more work.
func (w *writer) fail(err error) {
	if w.broken {
		return
	}
	w.broken = true
	w.store.log.Error("the database takes no more writes", "error", err)
	close(w.store.failed)
}

// close is called when no Update runs.
func (w *writer) close() error {
	close(w.queue)
	<-w.ended
	return w.conn.close()
}
