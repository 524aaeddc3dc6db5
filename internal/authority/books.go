package authority

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/wire"
)

// Books are the books of a locked account, for the verbs of package satellite: the same transaction, event chain and ledger
// that the desk's own verbs use.
type Books struct{ *desk }

// Books runs a writing verb of another room on an account: it locks the account's row first, and writes all or nothing. fn may
// run twice.
func (a *Authority) Books(ctx context.Context, who access.Person, account, verb string, fn func(*Books) error) error {
	return a.write(ctx, who, account, verb, func(d *desk) error { return fn(&Books{d}) })
}

// BooksIn is Books inside a transaction that runs already, of an account that was made in it.
func (a *Authority) BooksIn(ctx context.Context, tx *store.Tx, who access.Person, account string) (*Books, error) {
	d, err := lock(ctx, tx, who, account)
	return &Books{d}, err
}

// Read runs a reading verb of another room in one snapshot.
func (a *Authority) Read(ctx context.Context, verb string, fn func(*store.Tx) error) error {
	return a.read(ctx, verb, fn)
}

// Account is the account's row.
func (b *Books) Account() db.Account { return b.account.Account }

// Time is the instant of the verb: UTC, whole milliseconds, never before that of the verb before.
func (b *Books) Time() time.Time { return b.now }

// Record appends the verb's event and returns its number.
func (b *Books) Record(ctx context.Context, kind, subject string, data any) (int64, error) {
	return b.record(ctx, kind, subject, data)
}

// Leg is one side of a movement: a quantity that arrives at a place, or leaves it when below zero.
type Leg struct {
	Place, Lot string
	Tag        license.Tag
	Quantity   int64
}

// Move writes a movement whose legs sum to zero for each lot. Legs of nothing are left out, and no legs are no movement.
func (b *Books) Move(ctx context.Context, kind string, event int64, moved []Leg) error {
	var legs []leg
	for _, l := range moved {
		if l.Quantity != 0 {
			legs = append(legs, leg{l.Place, l.Lot, l.Tag, l.Quantity})
		}
	}
	if len(legs) == 0 {
		return nil
	}
	return b.move(ctx, kind, event, legs)
}

// The places of the supply book that other rooms move to and from. TransitPlace holds what was given to a virtual account of a
// satellite and has not arrived as far as is known, SatellitePlace what has and is free there, ReservedPlace what has and is held
// there by reservations: all of them count as that virtual account's stock.
// OutPlace is at a satellite: what it gave back and its authority has not acknowledged.
const (
	IssuerPlace = issuer
	OutPlace    = "out"
)

// PoolPlace is what a virtual account holds itself.
func PoolPlace(va string) string { return poolPlace(va) }

// TransitPlace is described with the others above.
func TransitPlace(va string) string { return "transit:" + va }

// SatellitePlace is described with the others above.
func SatellitePlace(va string) string { return "sat:" + va }

// ReservedPlace is described with the others above.
func ReservedPlace(va string) string { return "sat-reserved:" + va }

// PlacesBelow are the places of what a satellite has of a virtual account, or will have when it arrives.
func PlacesBelow(va string) []string {
	return []string{TransitPlace(va), SatellitePlace(va), ReservedPlace(va)}
}

// HoldingsOf lists what is held anywhere in the account.
func (b *Books) HoldingsOf(ctx context.Context) ([]db.HoldingsRow, error) {
	return b.Holdings(ctx, b.account.AccountID)
}

// VirtualAccountRows lists the virtual accounts of an account, those of satellites included.
func VirtualAccountRows(ctx context.Context, tx *store.Tx, account string) ([]db.VirtualAccount, error) {
	return allVAs(ctx, tx, account)
}

// ReservationPlaces says of which virtual account a place is a part that a live reservation holds.
func ReservationPlaces(ctx context.Context, tx *store.Tx, account string) (map[string]string, error) {
	live, err := tx.LiveReservations(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("read reservations: %w", err)
	}
	places := make(map[string]string, len(live))
	for _, r := range live {
		places[reservedPlace(r.ReservationID)] = r.VaID
	}
	return places, nil
}

// NameKey folds a name for comparison.
func NameKey(s string) string { return nameKey(s) }

// CheckVirtualAccountName refuses what cannot be the name of a virtual account.
func CheckVirtualAccountName(name string) error { return checkVAName(name) }

// notOfSatellite refuses a verb on a virtual account that belongs to a satellite, and says where it can be done.
func (d *desk) notOfSatellite(ctx context.Context, va db.VirtualAccount, what string) error {
	if va.SatelliteID == "" {
		return nil
	}
	s, err := d.Satellite(ctx, db.SatelliteParams{AccountID: va.AccountID, SatelliteID: va.SatelliteID})
	if err != nil {
		return fmt.Errorf("read satellite: %w", err)
	}
	at := "in its console or with its command line there"
	if hosts := hostsOf(s); len(hosts) > 0 {
		at = "its server is " + strings.Join(hosts, " or ")
	}
	return license.Refuse(license.KindRefused, "satellite-virtual-account", fmt.Sprintf("do it at the satellite %q: %s", s.Name, at),
		"the virtual account %q belongs to the satellite %q: %s there", va.Name, s.Name, what)
}

// hostsOf are the names by which others reach a satellite: those of loopback are in its certificate and mean nothing elsewhere.
func hostsOf(s db.SatelliteRow) []string {
	var hosts []string
	_ = json.Unmarshal([]byte(s.Hosts), &hosts) // written by us; an empty list is as good
	return slices.DeleteFunc(hosts, Loopback)
}

// Loopback tells a host name or address that means the host itself.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// notAtSatellite refuses a verb at a satellite that only its authority has.
func (a *Authority) notAtSatellite(what string) error {
	if a.keys.Site() == "" {
		return nil
	}
	return license.Refuse(license.KindRefused, "at-satellite", "do it at the authority; it comes here with the next synchronization", "this is a satellite: %s at its authority", what)
}

// UniqueVAName finds a free name for a virtual account that comes from elsewhere: the wanted one or, where another has it, one
// with the origin behind it.
func (b *Books) UniqueVAName(ctx context.Context, id, want, origin string) (string, error) {
	for _, name := range []string{want, want + " (" + origin + ")", want + " (" + id + ")"} {
		row, err := b.VAByName(ctx, db.VAByNameParams{AccountID: b.account.AccountID, NameKey: nameKey(name)})
		if errors.Is(err, store.ErrNoRow) || err == nil && row.VaID == id {
			return name, nil
		}
		if err != nil {
			return "", fmt.Errorf("look for a name: %w", err)
		}
	}
	return id, nil
}

// satelliteInstances reads what satellites said of their product instances in one virtual account, an id, or in all when va is empty.
func satelliteInstances(ctx context.Context, tx *store.Tx, account, va, after string, page int32) ([]db.SatelliteInstance, error) {
	rows, err := tx.SatelliteInstances(ctx, db.SatelliteInstancesParams{AccountID: account, VaID: va, After: after, Page: page})
	if err != nil {
		return nil, fmt.Errorf("read instances of satellites: %w", err)
	}
	return rows, nil
}

// instanceBelow is a product instance of a satellite as lists show it.
func (a *Authority) instanceBelow(r db.SatelliteInstance, va string, satellite db.SatelliteRow, now time.Time) (Instance, error) {
	var in wire.SyncInstance
	if err := json.Unmarshal(r.Body, &in); err != nil {
		return Instance{}, fmt.Errorf("read instance %s of a satellite: %w", r.InstanceID, err)
	}
	out := instanceOf(db.InstancesRow{
		InstanceID: in.ID, VaID: r.VaID, Udi: "PID:" + in.PID + ",SN:" + in.Serial, Pid: in.PID, Serial: in.Serial, Product: in.Product, Version: in.Version, Hostname: in.Hostname,
		State: in.State, RegisteredAt: in.RegisteredAt, RenewedAt: in.RenewedAt, ExpiresAt: in.ExpiresAt, Status: in.Status, StatusAt: in.StatusAt, ForkedAt: in.ForkedAt,
		RemovedAt: in.RemovedAt, ExportControlled: in.Exported, Number: in.Number, AnsweredAt: in.ContactAt, NextAt: in.NextAt, DeadlineAt: in.DeadlineAt,
	}, va, nil, false, now)
	if out.Satellite = satellite.Name; out.Next != "" {
		out.Next = fmt.Sprintf("at the satellite %q: %s", satellite.Name, out.Next)
	}
	if satellite.RemovedAt != 0 && in.RemovedAt == satellite.RemovedAt { // it was removed with the satellite
		out.LastKnown, out.RemovedBy = store.At(cmp.Or(satellite.SyncedAt, satellite.JoinedAt)), satellite.RemovedBy
		out.Next = fmt.Sprintf("its satellite %q was removed: to count it again, register it at another desk", satellite.Name)
	}
	for _, tag := range sortedTags(in.Use) {
		out.Usage = append(out.Usage, UsageRow{Tag: tag, Name: a.catalog.Name(tag), Count: in.Use[tag], Since: store.At(in.SinceAt[tag])})
	}
	return out, nil
}

func sortedTags(use map[license.Tag]int64) []license.Tag {
	tags := make([]license.Tag, 0, len(use))
	for tag := range use {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}

// usesBelow lists what the products of satellites use in one virtual account, or in all when va is empty, in the form of the desk's own.
func usesBelow(ctx context.Context, tx *store.Tx, account, va string) ([]db.UsageOfAccountRow, error) {
	var out []db.UsageOfAccountRow
	after := ""
	for {
		rows, err := satelliteInstances(ctx, tx, account, va, after, 1000)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			var in wire.SyncInstance
			if err := json.Unmarshal(r.Body, &in); err != nil {
				return nil, fmt.Errorf("read instance %s of a satellite: %w", r.InstanceID, err)
			}
			for _, tag := range sortedTags(in.Use) {
				if in.Use[tag] > 0 && in.State != stateRemoved {
					out = append(out, db.UsageOfAccountRow{InstanceID: r.InstanceID, Tag: string(tag), VaID: r.VaID, Quantity: in.Use[tag], SinceAt: in.SinceAt[tag], Product: in.Product, Hostname: in.Hostname})
				}
			}
			after = r.InstanceID
		}
		if len(rows) < 1000 {
			return out, nil
		}
	}
}

// SatelliteLeaving is the state of a satellite's row while it is asked to give everything back.
const SatelliteLeaving = "LEAVING"

// satellitesByID are the satellites of an account, removed ones included.
func satellitesByID(ctx context.Context, tx *store.Tx, account string) (map[string]db.SatelliteRow, error) {
	all, after := map[string]db.SatelliteRow{}, ""
	for {
		rows, err := tx.Satellites(ctx, db.SatellitesParams{AccountID: account, After: after, Page: 1000})
		if err != nil {
			return nil, fmt.Errorf("read satellites: %w", err)
		}
		for _, r := range rows {
			all[r.SatelliteID], after = db.SatelliteRow(r), r.SatelliteID
		}
		if len(rows) < 1000 {
			return all, nil
		}
	}
}
