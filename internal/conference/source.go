package conference

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// The directory in force is the merge of its sources: the file that an administrator imports, LDAP sources, call bridges. Each
// source keeps its own last accepted whole state; a new one is merged with the others and published as a new version if anything
// differs.

// The states of a run.
const (
	RunComplete   = "complete"   // it is in force
	RunUnchanged  = "unchanged"  // it says what was known
	RunHeld       = "held"       // it takes away much and waits for a person
	RunAccepted   = "accepted"   // it was held and a person agreed
	RunSuperseded = "superseded" // it was held and another one came after it
	RunFailed     = "failed"     // the source could not be read to its end; nothing was changed
	RunPreview    = "preview"    // it would be in force; nothing was changed
)

// maxExamples is how many skipped entries and clashes a run keeps.
const maxExamples = 100

// Run is one reading of a source of the directory and what became of it.
type Run struct {
	ID         string // "run_…"; none of a preview
	Kind       directory.Kind
	Source     string // id
	Name       string
	State      string
	StartedAt  time.Time
	EndedAt    time.Time
	By         string
	AcceptedAt time.Time
	AcceptedBy string
	Version    int64 // of the directory that it put in force, 0 for none
	Entries    int64
	Users      int64
	Skipped    int64
	Clashes    int64
	Added      int64 // users of the source
	Removed    int64
	Gained     int64 // personal licenses
	Lost       int64
	RunDetails
}

// RunDetails are what a run keeps besides its numbers. Of what was left out and of clashes it keeps the first hundred.
type RunDetails struct {
	Reasons   []directory.Reason `json:"reasons,omitempty"` // to hold it
	Code      string             `json:"code,omitempty"`    // of a failure
	Message   string             `json:"message,omitempty"`
	Hint      string             `json:"hint,omitempty"`
	Referrals int                `json:"referrals,omitempty"` // to other servers, not followed
	Skips     []directory.Skip   `json:"skips,omitempty"`
	Twice     []directory.Clash  `json:"clashes,omitempty"`
}

// sourcePut is a new whole state of a source and what is known of its reading.
type sourcePut struct {
	source    directory.Source
	started   time.Time // when reading began; zero for now
	limits    directory.Limits
	agreed    bool // a person wants it whatever it takes away
	quiet     bool // a run that changes nothing is not kept
	entries   int  // read; 0 for as many as users
	skips     []directory.Skip
	clashes   []directory.Clash // within the source
	referrals int
	wanted    func(ctx context.Context, tx *store.Tx) error // refuses where the source was taken away meanwhile; may be nil
}

// putSource makes a state the last accepted one of its source and brings the merge into force; a state that takes away too much
// is kept beside and waits for AcceptSource. The same state again changes nothing.
func (e *Engine) putSource(ctx context.Context, who, account string, in sourcePut) (Run, error) {
	run, _, err := e.put(ctx, who, account, in)
	return run, err
}

func (e *Engine) put(ctx context.Context, who, account string, in sourcePut) (run Run, sum DirectorySummary, err error) {
	in.source = sorted(in.source)
	if known, err := e.knows(ctx, account, in); err != nil || known {
		if err == nil {
			run, err = e.unchanged(ctx, who, account, in)
		}
		return run, DirectorySummary{Unchanged: true}, outcome("put directory source", err)
	}
	err = e.store.Update(ctx, "put directory source", func(tx *store.Tx) error {
		d, err := lockDirectory(ctx, tx, account)
		if err == nil && in.wanted != nil {
			err = in.wanted(ctx, tx)
		}
		if err != nil {
			return err
		}
		run, sum, err = d.put(ctx, who, in)
		return err
	})
	if err != nil {
		return Run{}, DirectorySummary{}, outcome("put directory source", err)
	}
	e.use(account)
	if run.State == RunHeld {
		e.log.WarnContext(ctx, "a source of the directory takes away much and waits for a person", "account", account, "source", run.Name, "run", run.ID)
	}
	return run, sum, nil
}

// knows says whether a source says what it said last, without taking the account's row: most readings change nothing, and merging
// takes a while. What a file says is merged always, for its importer is told of the whole.
func (e *Engine) knows(ctx context.Context, account string, in sourcePut) (known bool, err error) {
	if in.source.Kind == directory.File {
		return false, nil
	}
	state, err := pack(stateOf(in.source))
	if err != nil {
		return false, err
	}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		key := db.DirectorySourceParams{AccountID: account, Kind: string(in.source.Kind), SourceID: in.source.ID}
		r, err := tx.DirectorySource(ctx, key)
		if errors.Is(err, store.ErrNoRow) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read directory source: %w", err)
		}
		_, err = tx.DirectoryHeld(ctx, db.DirectoryHeldParams(key))
		known = errors.Is(err, store.ErrNoRow) && bytes.Equal(r.State, state) && r.Name == in.source.Name && r.Tenant == in.source.Tenant && r.Personal == string(in.source.Personal)
		if errors.Is(err, store.ErrNoRow) {
			return nil
		}
		return err
	})
	return known, err
}

// unchanged is the run of a source that says what it said last.
func (e *Engine) unchanged(ctx context.Context, who, account string, in sourcePut) (run Run, err error) {
	if in.quiet {
		run = in.run(e.now(), directory.Change{})
		run.State, run.By = RunUnchanged, who
		return run, nil
	}
	err = e.store.Update(ctx, "keep run", func(tx *store.Tx) (err error) {
		if _, err := tx.Lock(ctx, account); err != nil {
			return err
		}
		if in.wanted != nil {
			if err := in.wanted(ctx, tx); err != nil {
				return err
			}
		}
		run = in.run(tx.Now(), directory.Change{})
		run.State, run.By = RunUnchanged, who
		if run.ID, err = newRun(ctx, tx, account); err != nil {
			return err
		}
		return keepRun(ctx, tx, account, run)
	})
	return run, err
}

// previewSource says what a state would change, and changes nothing.
func (e *Engine) previewSource(ctx context.Context, account string, in sourcePut) (run Run, err error) {
	err = e.store.View(ctx, func(tx *store.Tx) error {
		d, err := readDirectory(ctx, tx, account)
		if err == nil {
			run = in.run(d.tx.Now(), directory.Weigh(d.sources, in.source, d.defaults, in.limits))
			run.State = RunPreview
			if len(run.Reasons) > 0 {
				run.State = RunHeld
			}
		}
		return err
	})
	return run, outcome("preview directory source", err)
}

// sourced is the directory of an account with its sources, within one transaction.
type sourced struct {
	tx       *store.Tx
	chain    *store.LockedAccount // nil where nothing is written
	conf     db.Conference
	sources  []directory.Source
	rows     []db.DirectorySource
	defaults directory.Defaults
}

// lockDirectory takes the rows of the account and its conference, and reads the sources.
func lockDirectory(ctx context.Context, tx *store.Tx, account string) (*sourced, error) {
	chain, err := tx.Lock(ctx, account)
	if err != nil {
		return nil, err
	}
	conf, err := tx.LockConference(ctx, account)
	if err != nil {
		return nil, enabled(account, err)
	}
	d := &sourced{tx: tx, chain: chain, conf: conf}
	return d, d.read(ctx)
}

func readDirectory(ctx context.Context, tx *store.Tx, account string) (*sourced, error) {
	conf, err := tx.Conference(ctx, account)
	if err != nil {
		return nil, enabled(account, err)
	}
	d := &sourced{tx: tx, conf: conf}
	return d, d.read(ctx)
}

// enabled words why an account's conference was not found.
func enabled(account string, err error) error {
	if errors.Is(err, store.ErrNoRow) {
		return notEnabled()
	}
	return fmt.Errorf("read conference of %s: %w", account, err)
}

// read reads the sources. Where none is known though a directory is in force, it was imported before sources were told apart, and
// is the file's.
func (d *sourced) read(ctx context.Context) (err error) {
	if d.defaults, err = readDefaults(ctx, d.tx, d.conf.AccountID); err != nil {
		return err
	}
	if d.rows, err = d.tx.DirectorySources(ctx, d.conf.AccountID); err != nil {
		return fmt.Errorf("read directory sources: %w", err)
	}
	for _, r := range d.rows {
		s := directory.Source{Kind: directory.Kind(r.Kind), ID: r.SourceID, Name: r.Name, Tenant: r.Tenant, Personal: directory.Flag(r.Personal)}
		var state sourceState
		if err := unpack(r.State, &state); err != nil {
			return fmt.Errorf("read directory source %s: %w", r.SourceID, err)
		}
		s.Users, s.Spaces, s.Devices = state.Users, state.Spaces, state.Devices
		d.sources = append(d.sources, s)
	}
	if len(d.rows) > 0 || d.conf.DirectoryVersion == 0 {
		return nil
	}
	f, err := d.inForce(ctx)
	if err == nil && len(f.Users)+len(f.Spaces)+len(f.Devices) > 0 {
		d.sources = append(d.sources, f)
	}
	return err
}

// inForce is the directory in force as if a file had said it.
func (d *sourced) inForce(ctx context.Context) (directory.Source, error) {
	const all = math.MaxInt32 // no more than files had, which are bounded
	f := directory.Source{Kind: directory.File}
	users, err := d.tx.DirectoryUsers(ctx, db.DirectoryUsersParams{AccountID: d.conf.AccountID, Page: all})
	if err != nil {
		return f, fmt.Errorf("read directory users: %w", err)
	}
	for _, r := range users {
		u := directory.User{JID: r.Jid, GUID: r.Guid, Email: r.Email, UserID: r.UserID, Name: r.Name}
		if r.Personal {
			u.Personal = directory.Yes
		}
		f.Users = append(f.Users, u)
	}
	spaces, err := d.tx.DirectorySpaces(ctx, db.DirectorySpacesParams{AccountID: d.conf.AccountID, Page: all})
	if err != nil {
		return f, fmt.Errorf("read directory spaces: %w", err)
	}
	for _, r := range spaces {
		f.Spaces = append(f.Spaces, directory.Space{ID: r.SpaceID, Name: r.Name, Owner: r.Owner})
	}
	devices, err := d.tx.DirectoryDevices(ctx, db.DirectoryDevicesParams{AccountID: d.conf.AccountID, Page: all})
	if err != nil {
		return f, fmt.Errorf("read directory devices: %w", err)
	}
	for _, r := range devices {
		f.Devices = append(f.Devices, directory.Device{Party: r.Device, Owner: r.Owner})
	}
	return f, nil
}

// sourceState is what is kept of a source.
type sourceState struct {
	Users   []directory.User   `json:"users"`
	Spaces  []directory.Space  `json:"spaces"`
	Devices []directory.Device `json:"devices,omitempty"`
}

func stateOf(s directory.Source) sourceState { return sourceState{s.Users, s.Spaces, s.Devices} }

// pack writes a value as gzipped JSON.
func pack(v any) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(z).Encode(v), z.Close()); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return b.Bytes(), nil
}

func unpack(packed []byte, v any) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	text, err := io.ReadAll(z)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// sorted brings a source into the order in which it is kept, so that the same content is the same bytes.
func sorted(s directory.Source) directory.Source {
	s.Users, s.Spaces, s.Devices = slices.Clone(s.Users), slices.Clone(s.Spaces), slices.Clone(s.Devices)
	slices.SortFunc(s.Users, func(a, b directory.User) int { return cmp.Compare(a.JID, b.JID) })
	slices.SortFunc(s.Spaces, func(a, b directory.Space) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Devices, func(a, b directory.Device) int { return cmp.Compare(a.Party, b.Party) })
	return s
}

// run begins what is kept of a put.
func (in sourcePut) run(now time.Time, c directory.Change) Run {
	started := in.started
	if started.IsZero() {
		started = now
	}
	return Run{
		Kind: in.source.Kind, Source: in.source.ID, Name: in.source.Name, StartedAt: started, EndedAt: now, Entries: int64(cmp.Or(in.entries, len(in.source.Users))),
		Users: int64(len(in.source.Users)), Skipped: int64(len(in.skips)), Clashes: int64(len(in.clashes)), Added: int64(c.Added), Removed: int64(c.Removed),
		Gained: int64(c.Gained), Lost: int64(c.Lost),
		RunDetails: RunDetails{Reasons: c.Reasons, Referrals: in.referrals, Skips: firstOf(in.skips), Twice: firstOf(in.clashes)},
	}
}

func firstOf[T any](all []T) []T { return all[:min(len(all), maxExamples)] }

// put weighs a state and accepts or holds it.
func (d *sourced) put(ctx context.Context, who string, in sourcePut) (Run, DirectorySummary, error) {
	change := directory.Weigh(d.sources, in.source, d.defaults, in.limits)
	run := in.run(d.tx.Now(), change)
	run.By = who
	var err error
	if run.ID, err = newRun(ctx, d.tx, d.conf.AccountID); err != nil {
		return run, DirectorySummary{}, err
	}
	if len(change.Reasons) > 0 && !in.agreed && run.Kind == directory.File {
		return run, DirectorySummary{}, massChange("the directory file", change.Reasons)
	}
	if len(change.Reasons) > 0 && !in.agreed {
		run.State = RunHeld
		run, err := d.hold(ctx, in, run)
		return run, DirectorySummary{}, err
	}
	if in.agreed {
		run.AcceptedAt, run.AcceptedBy = d.tx.Now(), who
	}
	sum, err := d.accept(ctx, who, in, change)
	if err != nil {
		return run, sum, err
	}
	run.State, run.Version = RunComplete, sum.Version
	if sum.Unchanged {
		run.State, run.Version = RunUnchanged, 0
		if in.quiet {
			run.ID = ""
			return run, sum, nil
		}
	}
	return run, sum, d.keep(ctx, run)
}

// accept keeps the state of a source, lets go of one that was held, and publishes the merge.
func (d *sourced) accept(ctx context.Context, who string, in sourcePut, change directory.Change) (DirectorySummary, error) {
	if err := d.release(ctx, in.source.Kind, in.source.ID); err != nil {
		return DirectorySummary{}, err
	}
	if len(d.rows) == 0 && len(d.sources) > 0 && in.source.Kind != directory.File {
		if err := d.putRow(ctx, who, sourcePut{source: sorted(d.sources[0])}); err != nil { // the file's, which stood in no row so far
			return DirectorySummary{}, err
		}
	}
	if err := d.putRow(ctx, who, in); err != nil {
		return DirectorySummary{}, err
	}
	return publish(ctx, d.tx, d.chain, d.conf, who, contentOf(change.Merged))
}

func (d *sourced) putRow(ctx context.Context, who string, in sourcePut) error {
	s := in.source
	state, err := pack(stateOf(s))
	if err != nil {
		return err
	}
	clashes, err := json.Marshal(firstOf(in.clashes))
	if err != nil {
		return fmt.Errorf("encode clashes: %w", err)
	}
	err = d.tx.PutDirectorySource(ctx, db.PutDirectorySourceParams{
		AccountID: d.conf.AccountID, Kind: string(s.Kind), SourceID: s.ID, Name: s.Name, Tenant: s.Tenant, Personal: string(s.Personal), Users: int64(len(s.Users)),
		Spaces: int64(len(s.Spaces)), Clashes: string(clashes), AcceptedAt: store.Ms(d.tx.Now()), AcceptedBy: who, State: state,
	})
	if err != nil {
		return fmt.Errorf("keep directory source: %w", err)
	}
	return nil
}

// dropSource takes a source away with all it knew.
func (d *sourced) dropSource(ctx context.Context, who string, kind directory.Kind, id string) (DirectorySummary, error) {
	if err := d.release(ctx, kind, id); err != nil {
		return DirectorySummary{}, err
	}
	n, err := d.tx.DropDirectorySource(ctx, db.DropDirectorySourceParams{AccountID: d.conf.AccountID, Kind: string(kind), SourceID: id})
	if err != nil || n == 0 {
		return DirectorySummary{Unchanged: true}, err
	}
	others, _ := directory.Without(d.sources, kind, id)
	return publish(ctx, d.tx, d.chain, d.conf, who, contentOf(directory.Merge(others, d.defaults)))
}

// contentOf is a merged directory as it is kept.
func contentOf(m directory.Merged) content {
	c := content{
		users: make(map[string]db.DirectoryUser, len(m.People)), spaces: make(map[string]db.DirectorySpace, len(m.Spaces)), devices: make(map[string]db.DirectoryDevice, len(m.Devices)),
	}
	for _, p := range m.People {
		c.users[p.JID] = db.DirectoryUser{Jid: p.JID, Guid: p.GUID, Email: p.Email, UserID: meeting.UserID(p.UserID), Name: p.Name, Personal: p.License}
	}
	for _, s := range m.Spaces {
		c.spaces[s.ID] = db.DirectorySpace{SpaceID: s.ID, Name: s.Name, Owner: s.Owner}
	}
	for _, v := range m.Devices {
		c.devices[v.Party] = db.DirectoryDevice{Device: v.Party, Owner: v.Owner}
	}
	return c
}
