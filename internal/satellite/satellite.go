// Package satellite is both ends of synchronization: what an authority knows of its satellites and answers them, and what a
// satellite says to its authority and takes over from it. A satellite is an authority with a parent: the desk itself is package
// authority, on both sides.
//
// An exchange is three steps, bytes in and bytes out, whatever carries the bytes: Export at the satellite, Answer at the
// authority, Apply at the satellite. It opens no connection, keeps no clock and knows no page.
//
// Invariants:
//   - Every file says all that the other side has to know; the newest one is enough, whatever became of those before.
//   - Counts of units that cross the gap are totals that only grow, so that taking over a file again, late or out of order
//     changes nothing. A unit is debited before the file that gives it is signed, and is nowhere usable until the other side
//     has taken it over.
//   - Quantities come from the authority's word only. What a satellite says of them is checked against it.
//   - Nothing of a file counts before its signature, its kind and its audience were checked.
//   - A product never stops because of synchronization.
package satellite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// Way says how a file came or went.
type Way string

// The ways.
const (
	Network Way = "network"
	File    Way = "file"
)

// States of a satellite's row at the authority.
const (
	stateInvited = "INVITED"
	stateActive  = "ACTIVE"
	stateLeaving = authority.SatelliteLeaving
	stateRemoved = "REMOVED"
)

// Options are what the room is made of; all but Log, Hosts, Machine and Version are needed.
type Options struct {
	Authority *authority.Authority
	Now       func() time.Time
	Log       *slog.Logger
	// Hosts are the names of this server: at an authority no satellite may have them, at a satellite its certificate is for them.
	Hosts []string
	// Machine is the one of Hosts that nobody asked for, the name of the machine; empty where somebody did.
	Machine string
	Version string
}

// Sync is the room. It is safe for concurrent use.
type Sync struct {
	Options
	keys *trust.Keys
}

// New makes the room. It starts nothing.
func New(o Options) *Sync {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Sync{Options: o, keys: o.Authority.Keys()}
}

// IsSatellite says whether this server is a satellite.
func (s *Sync) IsSatellite() bool { return s.keys.Site() != "" }

// Satellite is a satellite as its authority shows it.
type Satellite struct {
	ID, Name        string
	State           license.SatelliteState
	Leaving         bool // it was asked to give everything back, and has not yet
	Site            string
	Hosts           []string
	Program         string
	VirtualAccounts []string
	Instances       int
	Epoch, Number   int64
	Every           time.Duration
	CreatedAt       time.Time
	CreatedBy       string
	JoinedAt        time.Time
	SyncedAt        time.Time
	SyncedBy        Way
	IdentityEndsAt  time.Time
	RemovedAt       time.Time
	RemovedBy       string
	// InTransit, Consigned and Asked are licenses on their way to it, at it, and wanted back from it. Reserved is what reservations hold
	// of those at it, as it said last.
	InTransit, Consigned, Reserved, Asked int64
	Findings                              []license.Fact
}

// NewSatellite describes a satellite to be made.
type NewSatellite struct {
	Name string
	// VirtualAccounts are those that it gets, by id or name, without products, live tokens or the mark of the default one. None
	// makes one by the satellite's name.
	VirtualAccounts []string
	Days            int // how long its token lasts, 1 to 365; 0 for 30
}

// Create makes a satellite of an account and the one-time token that it joins with. The token is shown once.
func (s *Sync) Create(ctx context.Context, who access.Person, account string, want NewSatellite) (Satellite, trust.Secret, error) {
	id, err := s.Authority.Scope(ctx, who, access.Manage, account)
	if err != nil {
		return Satellite{}, "", err
	}
	if s.IsSatellite() {
		return Satellite{}, "", license.Refuse(license.KindRefused, "at-satellite", "make it at the authority", "a satellite has no satellites")
	}
	if err := license.CheckName("satellite", want.Name); err != nil {
		return Satellite{}, "", err
	}
	if strings.Contains(want.Name, "/") || trust.ValidID("sat", want.Name) {
		return Satellite{}, "", license.Refuse(license.KindInvalid, "bad-name", "choose a name without a slash that is no id", "%q cannot be the name of a satellite", want.Name)
	}
	var made Satellite
	var text trust.Secret
	err = s.Authority.Books(ctx, who, id, "create satellite", func(b *authority.Books) error {
		row := db.SatelliteRow{
			AccountID: id, SatelliteID: trust.NewID("sat", b.Time()), Name: want.Name, NameKey: authority.NameKey(want.Name), State: stateInvited,
			PublicKey: []byte{}, Hosts: "[]", Issuers: "[]", Digest: []byte{}, Findings: "[]", CreatedAt: store.Ms(b.Time()), CreatedBy: who.ID, TokenDigest: []byte{},
		}
		if text, err = s.invite(&row, want.Days, b.Time()); err != nil {
			return err
		}
		n, err := b.InsertSatellite(ctx, insertOf(row))
		if err != nil {
			return fmt.Errorf("insert satellite: %w", err)
		}
		if n == 0 {
			return license.Refuse(license.KindConflict, "name-taken", "use `tally satellite list` to see the satellites", "there is a satellite %q already", want.Name)
		}
		vas, err := attach(ctx, b, row, want.VirtualAccounts)
		if err != nil {
			return err
		}
		if _, err := b.Record(ctx, "satellite.created", row.SatelliteID, map[string]any{"name": row.Name, "virtualAccounts": vas}); err != nil {
			return err
		}
		made, err = s.show(ctx, b.Tx, row)
		return err
	})
	return made, text, err
}

func insertOf(r db.SatelliteRow) db.InsertSatelliteParams {
	return db.InsertSatelliteParams{
		AccountID: r.AccountID, SatelliteID: r.SatelliteID, Name: r.Name, NameKey: r.NameKey, State: r.State, TokenDigest: r.TokenDigest, TokenEndsAt: r.TokenEndsAt,
		Site: r.Site, PublicKey: r.PublicKey, Hosts: r.Hosts, Program: r.Program, Epoch: r.Epoch, Number: r.Number, Digest: r.Digest, Answer: []byte{}, Findings: r.Findings,
		EveryS: r.EveryS, CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy, JoinedAt: r.JoinedAt, SyncedAt: r.SyncedAt, SyncedBy: r.SyncedBy, IdentityEndsAt: r.IdentityEndsAt,
		RemovedAt: r.RemovedAt, RemovedBy: r.RemovedBy, Issuers: r.Issuers,
	}
}

func save(ctx context.Context, tx *store.Tx, r db.SatelliteRow) error {
	for _, b := range []*[]byte{&r.TokenDigest, &r.PublicKey, &r.Digest} {
		if *b == nil { // as SQLite reads empty bytes
			*b = []byte{}
		}
	}
	err := tx.UpdateSatellite(ctx, db.UpdateSatelliteParams{
		AccountID: r.AccountID, SatelliteID: r.SatelliteID, Name: r.Name, NameKey: r.NameKey, State: r.State, TokenDigest: r.TokenDigest, TokenEndsAt: r.TokenEndsAt,
		Site: r.Site, PublicKey: r.PublicKey, Hosts: r.Hosts, Program: r.Program, Epoch: r.Epoch, Number: r.Number, Digest: r.Digest, Findings: r.Findings,
		EveryS: r.EveryS, JoinedAt: r.JoinedAt, SyncedAt: r.SyncedAt, SyncedBy: r.SyncedBy, IdentityEndsAt: r.IdentityEndsAt, RemovedAt: r.RemovedAt, RemovedBy: r.RemovedBy, Issuers: r.Issuers,
	})
	if err != nil {
		return fmt.Errorf("keep satellite: %w", err)
	}
	return nil
}

// invite makes a satellite's one-time token.
func (s *Sync) invite(row *db.SatelliteRow, days int, now time.Time) (trust.Secret, error) {
	if days == 0 {
		days = license.TokenDaysDefault
	}
	if days < license.TokenDaysMin || days > license.TokenDaysMax {
		return "", license.Refuse(license.KindInvalid, "bad-days", "choose 1 to 365 days", "a token cannot last %d days", days)
	}
	token, err := trust.NewTokenFor(trust.ForSatellite, row.AccountID, row.SatelliteID, s.keys.Fingerprint())
	if err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	digest := token.Digest()
	row.TokenDigest, row.TokenEndsAt = digest[:], store.Ms(now.AddDate(0, 0, days))
	return token.Text(), nil
}

// attach gives virtual accounts to a new satellite.
func attach(ctx context.Context, b *authority.Books, row db.SatelliteRow, refs []string) ([]string, error) {
	rows, err := authority.VirtualAccountRows(ctx, b.Tx, row.AccountID)
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		if slices.ContainsFunc(rows, func(v db.VirtualAccount) bool { return v.VaID == b.Account().DefaultVa && v.NameKey == row.NameKey }) {
			return nil, license.Refuse(license.KindRefused, "default-virtual-account", "choose another name, or virtual accounts for it", "%q is the default virtual account, which cannot be a satellite's", row.Name)
		}
		name, err := b.UniqueVAName(ctx, "", row.Name, "satellite")
		if err != nil {
			return nil, err
		}
		id := trust.NewID("va", b.Time())
		if _, err := b.InsertVA(ctx, db.InsertVAParams{AccountID: row.AccountID, VaID: id, Name: name, NameKey: authority.NameKey(name), CreatedAt: store.Ms(b.Time())}); err != nil {
			return nil, fmt.Errorf("insert virtual account: %w", err)
		}
		return []string{id}, own(ctx, b, row, id)
	}
	var ids []string
	for _, ref := range refs {
		i := slices.IndexFunc(rows, func(v db.VirtualAccount) bool { return v.VaID == ref || v.NameKey == authority.NameKey(ref) })
		if i < 0 {
			return nil, license.NotFound("virtual account", ref)
		}
		va := rows[i]
		in, err := b.VAContents(ctx, db.VAContentsParams{AccountID: row.AccountID, VaID: va.VaID, Place: authority.PoolPlace(va.VaID)})
		switch {
		case err != nil:
			return nil, fmt.Errorf("look into virtual account: %w", err)
		case va.SatelliteID != "":
			return nil, license.Refuse(license.KindRefused, "satellite-virtual-account", "choose another one", "the virtual account %q belongs to a satellite already", va.Name)
		case va.VaID == b.Account().DefaultVa:
			return nil, license.Refuse(license.KindRefused, "default-virtual-account", "make another one the default first: `tally va default NAME`", "the default virtual account %q cannot be a satellite's", va.Name)
		case in.Instances > 0 || in.Tokens > 0 || in.Conferences > 0:
			return nil, license.Refuse(license.KindRefused, "not-empty", "choose one without products, tokens and conference engine; licenses may be in it",
				"%q holds %d product instances, also removed ones, %d registration tokens and %d conference engines", va.Name, in.Instances, in.Tokens, in.Conferences)
		}
		if !slices.Contains(ids, va.VaID) {
			ids = append(ids, va.VaID)
		}
		if err := own(ctx, b, row, va.VaID); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func own(ctx context.Context, b *authority.Books, row db.SatelliteRow, va string) error {
	if err := b.SetVASatellite(ctx, db.SetVASatelliteParams{AccountID: row.AccountID, VaID: va, SatelliteID: row.SatelliteID}); err != nil {
		return fmt.Errorf("give virtual account to satellite: %w", err)
	}
	return nil
}

// Invite makes another one-time token for a satellite, which ends the one before: for one that lost its database or its keys.
func (s *Sync) Invite(ctx context.Context, who access.Person, account, ref string, days int) (Satellite, trust.Secret, error) {
	var text trust.Secret
	out, err := s.change(ctx, who, account, ref, "invite satellite", func(b *authority.Books, row *db.SatelliteRow) (err error) {
		if row.State == stateRemoved {
			return removedError(*row)
		}
		if text, err = s.invite(row, days, b.Time()); err != nil {
			return err
		}
		_, err = b.Record(ctx, "satellite.invited", row.SatelliteID, nil)
		return err
	})
	return out, text, err
}

func removedError(row db.SatelliteRow) error {
	return license.Refuse(license.KindRefused, wire.CodeSyncRemoved, "make a new one with `tally satellite create`, and join it with the new token",
		"the satellite %q was removed on %s by %s", row.Name, store.At(row.RemovedAt).Format(time.DateOnly), row.RemovedBy)
}

// change runs a writing verb on one satellite.
func (s *Sync) change(ctx context.Context, who access.Person, account, ref, verb string, fn func(*authority.Books, *db.SatelliteRow) error) (Satellite, error) {
	id, err := s.Authority.Scope(ctx, who, access.Manage, account)
	if err != nil {
		return Satellite{}, err
	}
	found, err := s.find(ctx, id, ref)
	if err != nil {
		return Satellite{}, err
	}
	var out Satellite
	err = s.Authority.Books(ctx, who, id, verb, func(b *authority.Books) error {
		row, err := b.Satellite(ctx, db.SatelliteParams{AccountID: id, SatelliteID: found.SatelliteID})
		if err != nil {
			return fmt.Errorf("read satellite: %w", err)
		}
		if err := fn(b, &row); err != nil {
			return err
		}
		if err := save(ctx, b.Tx, row); err != nil {
			return err
		}
		out, err = s.show(ctx, b.Tx, row)
		return err
	})
	return out, err
}

// find finds a satellite by id or name: one that is there before one that was removed.
func (s *Sync) find(ctx context.Context, account, ref string) (db.SatelliteRow, error) {
	var found db.SatelliteRow
	err := s.Authority.Read(ctx, "find satellite", func(tx *store.Tx) error {
		rows, err := allSatellites(ctx, tx, account)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.SatelliteID == ref || r.NameKey == authority.NameKey(ref) {
				found = r
				return nil
			}
		}
		gone := slices.DeleteFunc(rows, func(r db.SatelliteRow) bool {
			return r.State != stateRemoved || authority.NameKey(r.Name) != authority.NameKey(ref)
		})
		switch len(gone) {
		case 0:
			return license.NotFound("satellite", ref)
		case 1:
			found = gone[0]
			return nil
		}
		return license.Refuse(license.KindConflict, "ambiguous", "name it by its id; `tally satellite list` shows them", "%d satellites called %q were removed", len(gone), ref)
	})
	return found, err
}

func allSatellites(ctx context.Context, tx *store.Tx, account string) ([]db.SatelliteRow, error) {
	var out []db.SatelliteRow
	after := ""
	for {
		rows, err := tx.Satellites(ctx, db.SatellitesParams{AccountID: account, After: after, Page: 1000})
		if err != nil {
			return nil, fmt.Errorf("read satellites: %w", err)
		}
		for _, r := range rows {
			out, after = append(out, db.SatelliteRow(r)), r.SatelliteID
		}
		if len(rows) < 1000 {
			return out, nil
		}
	}
}

// List lists the satellites of an account, removed ones included, in the order in which they were made.
func (s *Sync) List(ctx context.Context, who access.Person, account string) ([]Satellite, error) {
	id, err := s.Authority.Scope(ctx, who, access.See, account)
	if err != nil {
		return nil, err
	}
	if s.IsSatellite() {
		return nil, license.Refuse(license.KindRefused, "at-satellite", "look at the authority; `tally sync status` says how this one stands with it", "this is a satellite, and a satellite has no satellites")
	}
	var out []Satellite
	err = s.Authority.Read(ctx, "list satellites", func(tx *store.Tx) error {
		out = nil
		rows, err := allSatellites(ctx, tx, id)
		if err != nil {
			return err
		}
		for _, r := range rows {
			one, err := s.show(ctx, tx, r)
			if err != nil {
				return err
			}
			out = append(out, one)
		}
		return nil
	})
	return out, err
}

// Show finds one satellite by id or name.
func (s *Sync) Show(ctx context.Context, who access.Person, account, ref string) (Satellite, error) {
	id, err := s.Authority.Scope(ctx, who, access.See, account)
	if err != nil {
		return Satellite{}, err
	}
	row, err := s.find(ctx, id, ref)
	if err != nil {
		return Satellite{}, err
	}
	var out Satellite
	err = s.Authority.Read(ctx, "show satellite", func(tx *store.Tx) error {
		out, err = s.show(ctx, tx, row)
		return err
	})
	return out, err
}

// show computes what is shown of a satellite.
func (s *Sync) show(ctx context.Context, tx *store.Tx, r db.SatelliteRow) (Satellite, error) {
	out := Satellite{
		ID: r.SatelliteID, Name: r.Name, Leaving: r.State == stateLeaving, Site: r.Site, Program: r.Program, Epoch: r.Epoch, Number: r.Number,
		Every: time.Duration(r.EveryS) * time.Second, CreatedAt: store.At(r.CreatedAt), CreatedBy: r.CreatedBy, JoinedAt: store.At(r.JoinedAt),
		SyncedAt: store.At(r.SyncedAt), SyncedBy: Way(r.SyncedBy), IdentityEndsAt: store.At(r.IdentityEndsAt), RemovedAt: store.At(r.RemovedAt), RemovedBy: r.RemovedBy,
	}
	_ = json.Unmarshal([]byte(r.Hosts), &out.Hosts) // written by us
	out.State, out.Findings = license.SatelliteStanding(out.SyncedAt, out.IdentityEndsAt, r.State == stateRemoved, s.Now())
	noted := notedOf(r)
	if r.State == stateRemoved { // what its last file said of itself is over
		noted = slices.DeleteFunc(noted, func(f license.Fact) bool { return !lasting(f) })
	}
	out.Findings = append(out.Findings, noted...)
	rows, err := authority.VirtualAccountRows(ctx, tx, r.AccountID)
	if err != nil {
		return out, err
	}
	places := map[string]*int64{}
	for _, v := range rows {
		if v.SatelliteID == r.SatelliteID {
			out.VirtualAccounts = append(out.VirtualAccounts, v.Name)
			places[authority.TransitPlace(v.VaID)], places[authority.SatellitePlace(v.VaID)] = &out.InTransit, &out.Consigned
			places[authority.ReservedPlace(v.VaID)] = &out.Reserved
		}
	}
	held, err := tx.Holdings(ctx, r.AccountID)
	if err != nil {
		return out, fmt.Errorf("read holdings: %w", err)
	}
	there := map[string]lotThere{}
	for _, h := range held {
		sum := places[h.Place]
		if sum == nil {
			continue
		}
		*sum += h.Quantity
		l := there[h.LotID]
		l.tag, l.all = h.Tag, l.all+h.Quantity
		if sum == &out.Reserved {
			l.reserved += h.Quantity
		}
		there[h.LotID] = l
	}
	out.Consigned += out.Reserved
	waiting, err := waitingFor(ctx, tx, r, there)
	if err != nil {
		return out, err
	}
	for _, w := range waiting {
		out.Asked += w.Count
	}
	out.Findings = append(out.Findings, waiting...)
	instances, err := tx.InstancesOfSatellite(ctx, db.InstancesOfSatelliteParams{AccountID: r.AccountID, SatelliteID: r.SatelliteID})
	if err != nil {
		return out, fmt.Errorf("read instances: %w", err)
	}
	for _, in := range instances {
		if !strings.Contains(string(in.Body), `"state":"REMOVED"`) {
			out.Instances++
		}
	}
	return out, nil
}

// lotThere is what a satellite has of a lot or will have when it arrives, and what reservations hold of that.
type lotThere struct {
	tag           string
	all, reserved int64
}

// waitingFor says, by tag, what is asked back from a satellite and has not come, and how much of it reservations hold there. One that
// is to be removed is asked for everything.
func waitingFor(ctx context.Context, tx *store.Tx, r db.SatelliteRow, there map[string]lotThere) ([]license.Fact, error) {
	asked, err := tx.Recalls(ctx, db.RecallsParams{AccountID: r.AccountID, SatelliteID: r.SatelliteID})
	if err != nil {
		return nil, fmt.Errorf("read recalls: %w", err)
	}
	waiting := map[string]int64{} // by lot
	for _, a := range asked {
		waiting[a.LotID] += a.Quantity - a.Came
	}
	sums := map[string]license.Fact{}
	for lot, l := range there {
		n := min(waiting[lot], l.all)
		if r.State == stateLeaving {
			n = l.all
		}
		if n > 0 {
			f := sums[l.tag]
			f.Code, f.Tag, f.Count, f.Of = license.FactSyncWaiting, l.tag, f.Count+n, f.Of+max(0, n-(l.all-l.reserved))
			sums[l.tag] = f
		}
	}
	var facts []license.Fact
	for _, tag := range slices.Sorted(maps.Keys(sums)) {
		facts = append(facts, sums[tag])
	}
	return facts, nil
}

func factsText(facts []license.Fact) string {
	if len(facts) > wire.MaxFindings {
		facts = facts[:wire.MaxFindings]
	}
	if len(facts) == 0 {
		return "[]"
	}
	text, err := json.Marshal(facts)
	if err != nil {
		return "[]"
	}
	return string(text)
}

// noRow tells whether nothing was found.
func noRow(err error) bool { return errors.Is(err, store.ErrNoRow) }
