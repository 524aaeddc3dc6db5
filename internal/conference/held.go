package conference

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// heldPut is a state that waits, with what the run said of it.
type heldPut struct {
	Source  directory.Source  `json:"source"`
	Clashes []directory.Clash `json:"clashes"`
}

// hold keeps a state beside until a person agrees. The same state again is one more run and no new event.
func (d *sourced) hold(ctx context.Context, in sourcePut, run Run) (Run, error) {
	held, err := pack(heldPut{in.source, firstOf(in.clashes)})
	if err != nil {
		return run, err
	}
	digest := sha256.Sum256(held)
	before, err := d.tx.DirectoryHeld(ctx, db.DirectoryHeldParams{AccountID: d.conf.AccountID, Kind: string(run.Kind), SourceID: run.Source})
	known := err == nil && trust.SameDigest(before.Digest, digest[:])
	if err != nil && !errors.Is(err, store.ErrNoRow) {
		return run, fmt.Errorf("read held directory source: %w", err)
	}
	if known && in.quiet {
		run.ID = before.RunID
		return run, nil
	}
	if err := d.release(ctx, run.Kind, run.Source); err != nil {
		return run, err
	}
	err = d.tx.PutDirectoryHeld(ctx, db.PutDirectoryHeldParams{AccountID: d.conf.AccountID, Kind: string(run.Kind), SourceID: run.Source, RunID: run.ID, Digest: digest[:], Put: held})
	if err != nil {
		return run, fmt.Errorf("hold directory source: %w", err)
	}
	if err := d.keep(ctx, run); err != nil || known {
		return run, err
	}
	_, err = d.chain.Record(ctx, run.By, "directory.held", run.ID, map[string]any{"kind": run.Kind, "source": run.Source, "name": run.Name, "reasons": run.Reasons})
	return run, err
}

// release lets go of a state that was held.
func (d *sourced) release(ctx context.Context, kind directory.Kind, source string) error {
	held, err := d.tx.DirectoryHeld(ctx, db.DirectoryHeldParams{AccountID: d.conf.AccountID, Kind: string(kind), SourceID: source})
	if errors.Is(err, store.ErrNoRow) {
		return nil
	}
	if err == nil {
		err = d.tx.EndDirectoryRun(ctx, db.EndDirectoryRunParams{State: RunSuperseded, AccountID: d.conf.AccountID, RunID: held.RunID})
	}
	if err == nil {
		err = d.tx.DropDirectoryHeld(ctx, db.DropDirectoryHeldParams{AccountID: d.conf.AccountID, Kind: string(kind), SourceID: source})
	}
	if err != nil {
		return fmt.Errorf("release held directory source: %w", err)
	}
	return nil
}

// AcceptSource brings a state into force that was held: the very one that was shown, not what the source says by now. source is the
// id or the name of the source, or the id of the run that waits: then another one that waits by now is not accepted for it. Errors: a
// license.Error when there is no such source, or none of its states is held.
func (e *Engine) AcceptSource(ctx context.Context, who, account, source string) (run Run, err error) {
	err = e.store.Update(ctx, "accept directory source", func(tx *store.Tx) error {
		d, err := lockDirectory(ctx, tx, account)
		if err != nil {
			return err
		}
		run, err = d.acceptHeld(ctx, who, source)
		return err
	})
	if err != nil {
		return Run{}, outcome("accept directory source", err)
	}
	e.use(account)
	return run, nil
}

func (d *sourced) acceptHeld(ctx context.Context, who, source string) (Run, error) {
	run, err := d.heldRun(ctx, source)
	if err != nil {
		return Run{}, err
	}
	held, err := d.tx.DirectoryHeld(ctx, db.DirectoryHeldParams{AccountID: d.conf.AccountID, Kind: string(run.Kind), SourceID: run.Source})
	var put heldPut
	if err == nil {
		err = unpack(held.Put, &put)
	}
	if err != nil {
		return Run{}, fmt.Errorf("read held directory source: %w", err)
	}
	in := sourcePut{source: put.Source, clashes: put.Clashes}
	change := directory.Weigh(d.sources, in.source, d.defaults, directory.Limits{})
	sum, err := d.accept(ctx, who, in, change)
	if err != nil {
		return Run{}, err
	}
	end := db.EndDirectoryRunParams{State: RunAccepted, AcceptedAt: store.Ms(d.tx.Now()), AcceptedBy: who, Version: sum.Version, AccountID: d.conf.AccountID, RunID: held.RunID}
	if sum.Unchanged {
		end.Version = 0
	}
	if err := d.tx.EndDirectoryRun(ctx, end); err != nil {
		return Run{}, fmt.Errorf("end directory run: %w", err)
	}
	if _, err := d.chain.Record(ctx, who, "directory.accepted", held.RunID, map[string]any{"kind": run.Kind, "source": run.Source, "name": run.Name, "lost": change.Lost, "removed": change.Removed}); err != nil {
		return Run{}, err
	}
	return readRun(ctx, d.tx, d.conf.AccountID, held.RunID)
}

// heldRun finds the run of a source, by its id or its name, that waits, or a run that waits by its own id.
func (d *sourced) heldRun(ctx context.Context, source string) (Run, error) {
	all, err := d.tx.HeldSources(ctx, d.conf.AccountID)
	if err != nil {
		return Run{}, fmt.Errorf("read held sources: %w", err)
	}
	for _, h := range all {
		run, err := readRun(ctx, d.tx, d.conf.AccountID, h.RunID)
		if err != nil || run.ID == source || run.Source == source || directory.Fold(run.Name) == directory.Fold(source) {
			return run, err
		}
	}
	if strings.HasPrefix(source, "run_") {
		return Run{}, license.Refuse(license.KindConflict, "nothing-held", "look at what waits now, if anything does", "the reading %.140q does not wait for anybody any more", source)
	}
	if d.knows(source) {
		return Run{}, license.Refuse(license.KindConflict, "nothing-held", "`tally conference ldap history` shows what became of each reading", "nothing of %.140q waits for anybody", source)
	}
	rows, err := d.tx.LdapSources(ctx, d.conf.AccountID)
	if err != nil {
		return Run{}, fmt.Errorf("list LDAP sources: %w", err)
	}
	if _, err := findLDAP(rows, source); err == nil {
		return Run{}, license.Refuse(license.KindConflict, "nothing-held", "read it first: tally conference ldap sync", "%.140q was not read yet", source)
	}
	return Run{}, license.NotFound("directory source", source)
}

// knows says whether there is a source with that id or name; the file is called "file".
func (d *sourced) knows(source string) bool {
	return slices.ContainsFunc(d.rows, func(r db.DirectorySource) bool {
		return r.SourceID == source || directory.Fold(r.Name) == directory.Fold(source) || r.Kind == string(directory.File) && source == "file"
	})
}
