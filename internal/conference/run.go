package conference

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// keep writes a run into the history.
func (d *sourced) keep(ctx context.Context, r Run) error {
	return keepRun(ctx, d.tx, d.conf.AccountID, r)
}

// newRun makes the id of a run that sorts after those that are kept, so that the newest one is the one written last. The account's
// row is locked.
func newRun(ctx context.Context, tx *store.Tx, account string) (string, error) {
	rows, err := tx.DirectoryRuns(ctx, db.DirectoryRunsParams{AccountID: account, Before: afterAll, Page: 1})
	if err != nil {
		return "", fmt.Errorf("find the newest run: %w", err)
	}
	last := ""
	if len(rows) > 0 {
		last = rows[0].RunID
	}
	return trust.NewIDAfter("run", last, tx.Now()), nil
}

func keepRun(ctx context.Context, tx *store.Tx, account string, r Run) error {
	details, err := json.Marshal(r.RunDetails)
	if err != nil {
		return fmt.Errorf("encode run: %w", err)
	}
	err = tx.InsertDirectoryRun(ctx, db.InsertDirectoryRunParams{
		AccountID: account, RunID: r.ID, Kind: string(r.Kind), SourceID: r.Source, Name: r.Name, State: r.State, StartedAt: store.Ms(r.StartedAt),
		EndedAt: store.Ms(r.EndedAt), RunBy: r.By, AcceptedAt: store.Ms(r.AcceptedAt), AcceptedBy: r.AcceptedBy, Version: r.Version, Entries: r.Entries, Users: r.Users,
		Skipped: r.Skipped, Clashes: r.Clashes, Added: r.Added, Removed: r.Removed, Gained: r.Gained, Lost: r.Lost, Details: string(details),
	})
	if err != nil {
		return fmt.Errorf("keep run: %w", err)
	}
	return nil
}

func runOf(r db.DirectoryRun) (Run, error) {
	out := Run{
		ID: r.RunID, Kind: directory.Kind(r.Kind), Source: r.SourceID, Name: r.Name, State: r.State, StartedAt: store.At(r.StartedAt), EndedAt: store.At(r.EndedAt),
		By: r.RunBy, AcceptedAt: store.At(r.AcceptedAt), AcceptedBy: r.AcceptedBy, Version: r.Version, Entries: r.Entries, Users: r.Users, Skipped: r.Skipped,
		Clashes: r.Clashes, Added: r.Added, Removed: r.Removed, Gained: r.Gained, Lost: r.Lost,
	}
	if err := json.Unmarshal([]byte(r.Details), &out.RunDetails); err != nil {
		return out, fmt.Errorf("read run %s: %w", r.RunID, err)
	}
	return out, nil
}

func readRun(ctx context.Context, tx *store.Tx, account, id string) (Run, error) {
	row, err := tx.DirectoryRun(ctx, db.DirectoryRunParams{AccountID: account, RunID: id})
	if err != nil {
		return Run{}, fmt.Errorf("read run %s: %w", id, err)
	}
	return runOf(row)
}

// afterAll sorts after every id.
const afterAll = "~"

// Runs lists the history of the directory's sources, the newest first: those before an id, at most limit (1 to 1000, else 100),
// of one source by id or name if one is named. next is the id to go on from.
func (e *Engine) Runs(ctx context.Context, account, source, before string, limit int) (out []Run, next string, err error) {
	limit = bounded(limit)
	if before == "" {
		before = afterAll
	}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		for out = []Run{}; ; {
			rows, err := tx.DirectoryRuns(ctx, db.DirectoryRunsParams{AccountID: account, Before: before, Page: page})
			if err != nil {
				return err
			}
			for _, r := range rows {
				before = r.RunID
				if source != "" && r.SourceID != source && directory.Fold(r.Name) != directory.Fold(source) && r.Kind != source {
					continue
				}
				if len(out) == limit {
					next = out[limit-1].ID
					return nil
				}
				run, err := runOf(r)
				if err != nil {
					return err
				}
				out = append(out, run)
			}
			if len(rows) < page {
				return nil
			}
		}
	})
	return out, next, outcome("list directory runs", err)
}

// failed keeps a reading that did not come to its end; its refusal is returned.
func (e *Engine) failed(ctx context.Context, account string, r Run, cause error) error {
	refusal := license.AsError(cause)
	if refusal == nil {
		return cause
	}
	r.State, r.Code, r.Message, r.Hint = RunFailed, refusal.Code, refusal.Message, refusal.Hint
	err := e.store.Update(context.WithoutCancel(ctx), "keep failed run", func(tx *store.Tx) (err error) {
		if _, err := tx.Lock(ctx, account); err != nil {
			return err
		}
		if r.ID, err = newRun(ctx, tx, account); err != nil {
			return err
		}
		r.EndedAt = tx.Now()
		return keepRun(ctx, tx, account, r)
	})
	if err != nil {
		e.complain(ctx, "a failed reading of the directory is not in its history", err)
	}
	return cause
}
