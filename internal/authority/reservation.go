package authority

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// stateReserved is the state of an instance that is known by its reservation only.
const stateReserved = "RESERVED"

// reservedPlace is where the supply book keeps what a reservation holds.
func reservedPlace(reservation string) string { return "res:" + reservation }

// NewReservation is a wish to reserve licenses for the product that made the request code.
type NewReservation struct {
	Request        string // the request code, with the UDI
	VirtualAccount string // by id or name; empty for the default one
	Kind           license.ReservationKind
	Licenses       map[license.Tag]int64
}

// Reserve takes licenses out of a virtual account for a product that cannot be reached, all or nothing, and issues version 1 of
// its authorization. What is taken is charged before anything is signed (row Q1). The same request code with the same quantities
// gets the same answer (Q9), with others it is refused (Q10); a request of a reservation that ended is refused for ever (Q6).
func (a *Authority) Reserve(ctx context.Context, who access.Person, account string, want NewReservation) (Reservation, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Reservation{}, err
	}
	code, err := readCode(want.Request, trust.CodeRequest)
	if err != nil {
		return Reservation{}, err
	}
	if want.Kind == "" {
		want.Kind = license.Specific
	}
	if want.Licenses, err = checkWanted(want.Kind, want.Licenses); err != nil {
		return Reservation{}, err
	}
	return a.reserving(ctx, who, id, "reserve", func(d *desk) (db.Reservation, bool, error) {
		old, err := d.ReservationByRequest(ctx, db.ReservationByRequestParams{AccountID: id, Request: requestText(code)})
		if err == nil {
			return a.reservedAgain(ctx, d, old, want)
		}
		if !errors.Is(err, store.ErrNoRow) {
			return old, false, fmt.Errorf("look up request: %w", err)
		}
		if err := d.mayReserve(ctx, want.Kind); err != nil {
			return old, false, err
		}
		va, err := d.va(ctx, want.VirtualAccount)
		if err != nil {
			return old, false, err
		}
		if err := d.notOfSatellite(ctx, va, "its licenses are reserved"); err != nil {
			return old, false, err
		}
		if err := d.fresh(ctx, code); err != nil {
			return old, false, err
		}
		lots, err := a.plan(ctx, d, va.VaID, nil, want.Licenses)
		if err != nil {
			return old, false, err
		}
		row, err := a.issueReservation(ctx, d, code, va, want.Kind, lots, "")
		if err != nil {
			return row, false, err
		}
		seq, err := d.record(ctx, "reservation.issued", row.ReservationID, reservationData(row, lots))
		if err != nil {
			return row, false, err
		}
		return row, false, d.shift(ctx, "reserve", seq, poolPlace(va.VaID), reservedPlace(row.ReservationID), lots)
	})
}

// reserving runs a verb of one reservation and shows what became of it. The authorization is signed after the commit.
func (a *Authority) reserving(ctx context.Context, who access.Person, account, verb string, fn func(*desk) (db.Reservation, bool, error)) (Reservation, error) {
	var out Reservation
	var refusal error
	err := a.write(ctx, who, account, verb, func(d *desk) error {
		row, repeated, err := fn(d)
		if kept, ok := errors.AsType[keptRefusal](err); ok {
			refusal = kept.error // what was written about it stays
			return nil
		}
		if refusal = err; err != nil {
			return err
		}
		out, err = a.showReservation(ctx, d.Tx, row, d.now)
		out.Repeated = repeated
		return err
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return Reservation{}, err
	}
	return out, a.signReservation(&out)
}

// keptRefusal is a refusal after which the transaction is committed: a wrong code is counted.
type keptRefusal struct{ error }

// checkWanted refuses quantities that cannot be reserved and drops those that are zero.
func checkWanted(kind license.ReservationKind, want map[license.Tag]int64) (map[license.Tag]int64, error) {
	out := map[license.Tag]int64{}
	for tag, n := range want {
		if _, err := license.ParseTag(string(tag)); err != nil {
			return nil, err
		}
		if n < 0 || n > license.MaxQuantity {
			return nil, license.Refuse(license.KindInvalid, "bad-quantity", "name a quantity of at least 1", "%d of %s cannot be reserved", n, tag)
		}
		if n > 0 {
			out[tag] = n
		}
	}
	switch {
	case kind != license.Specific && kind != license.Universal:
		return nil, license.Refuse(license.KindInvalid, "bad-kind", "choose SPECIFIC or UNIVERSAL", "%.40q is no kind of reservation", kind)
	case kind == license.Specific && len(out) == 0:
		return nil, license.Refuse(license.KindInvalid, "reservation-empty", "name what to reserve, such as cms-smp-plus=5; to give everything back, return the reservation on the product",
			"a reservation of nothing is none")
	case kind == license.Universal && len(out) > 0:
		return nil, license.Refuse(license.KindInvalid, "universal-counts", "leave the quantities out", "a universal reservation covers every use and has no quantities")
	}
	return out, nil
}

// requestText is a request code without the UDI, as it is kept.
func requestText(c trust.Code) string {
	text, _, _ := strings.Cut(c.String(), "@")
	return text
}

// reservedAgain answers a request code that was used before.
func (a *Authority) reservedAgain(ctx context.Context, d *desk, row db.Reservation, want NewReservation) (db.Reservation, bool, error) {
	if !license.ReservationState(row.State).Live() {
		return row, false, license.Refuse(license.KindConflict, "request-old", "make a new request code on the product: reservation cancel, then reservation request",
			"this request code was answered on %s by the reservation %s, which is %s", stampDay(row.CreatedAt), row.ReservationID, row.State)
	}
	first, err := d.versions(ctx, row, 1)
	if err != nil {
		return row, false, err
	}
	va, err := d.va(ctx, want.VirtualAccount)
	if err != nil {
		return row, false, err
	}
	had := license.TagSums(first[0].body.Lots, time.Time{})
	if !maps.Equal(had, want.Licenses) || row.Kind != string(want.Kind) || want.VirtualAccount != "" && va.VaID != row.VaID {
		return row, false, license.Refuse(license.KindConflict, "request-used", "`tally reservation show` shows it; change it with `tally reservation update`",
			"this request code was answered on %s by the reservation %s with other licenses: %s", stampDay(row.CreatedAt), row.ReservationID, quantities(had))
	}
	return row, true, nil
}

func stampDay(ms int64) string { return store.At(ms).Format(time.DateOnly) }

func quantities(sums map[license.Tag]int64) string {
	var parts []string
	for _, tag := range slices.Sorted(maps.Keys(sums)) {
		parts = append(parts, fmt.Sprintf("%s=%d", tag, sums[tag]))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, " ")
}

// fresh refuses a request of a product that holds a reservation, is quarantined, is registered, or asks with a sequence that it
// has used (rows Q6 and Q7; domain rule 43).
func (d *desk) fresh(ctx context.Context, code trust.Code) error {
	rows, err := d.ReservationsOfUDI(ctx, db.ReservationsOfUDIParams{AccountID: d.account.AccountID, Udi: code.UDI})
	if err != nil {
		return fmt.Errorf("look up product: %w", err)
	}
	for _, r := range rows {
		switch {
		case license.ReservationState(r.State).Live():
			return license.Refuse(license.KindConflict, "already-reserved", "change it with `tally reservation update`, or return it on the product first; an authorization that was never installed is given back with reservation return-authorization",
				"the product %s has the reservation %s", code.UDI, r.ReservationID)
		case r.State == string(license.ReservationQuarantined):
			return license.Refuse(license.KindConflict, "quarantined", "enter its return code with `tally reservation return`, or answer for it with `tally reservation release`",
				"the product %s was declared dead on %s and its licenses went to the reservation %s", code.UDI, stampDay(r.EndedAt), r.Successor)
		}
	}
	if len(rows) > 0 && code.Sequence <= int(rows[0].Sequence) {
		refusal := license.Refuse(license.KindConflict, "request-old", fmt.Sprintf("on the product: reservation cancel, then reservation request --above %d", rows[0].Sequence),
			"this is request %d of the product %s, and its request %d was answered before: the code is an old one, or the product's state was set back",
			code.Sequence, code.UDI, rows[0].Sequence)
		for _, r := range rows {
			if int(r.Sequence) == code.Sequence { // two requests with one number
				if err := d.noteRevived(ctx, &r, code, "a second request with the number of an answered one"); err != nil {
					return err
				}
				return keptRefusal{refusal}
			}
		}
		return refusal
	}
	in, err := d.InstanceByUDI(ctx, db.InstanceByUDIParams{AccountID: d.account.AccountID, Udi: code.UDI})
	if errors.Is(err, store.ErrNoRow) || err == nil && in.State != stateActive {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up product: %w", err)
	}
	return license.Refuse(license.KindConflict, "instance-registered", fmt.Sprintf("deregister it, or remove it here: tally instance remove %s", in.InstanceID),
		"the product %s is registered as %s; a product either reports or holds a reservation", code.UDI, in.InstanceID)
}

// plan chooses the lots of a reservation from the pool of a virtual account.
func (a *Authority) plan(ctx context.Context, d *desk, va string, old []license.ReservedLot, want map[license.Tag]int64) ([]license.ReservedLot, error) {
	in, err := loadInventory(ctx, d.Tx, d.account.AccountID)
	if err != nil {
		return nil, err
	}
	free := map[license.Tag]int64{}
	for _, r := range license.Comply(a.catalog, in.pools(va, d.now)) {
		free[r.Tag] = r.Available
	}
	for _, tag := range slices.Sorted(maps.Keys(want)) {
		if !a.catalog.Knows(tag) && !slices.ContainsFunc(in.holdings, func(h db.HoldingsRow) bool { return h.Tag == string(tag) }) {
			no := license.Refuse(license.KindRefused, license.FactUnknownKind, "`tally license list` shows the tags", "nothing was ever ordered under the tag %s, and the catalog does not know it", tag)
			if like := a.catalog.Nearest(tag); like != "" {
				no.Hint = fmt.Sprintf("is %s meant? %s", like, no.Hint)
			}
			return nil, no
		}
	}
	var pool []license.ReservedLot
	for _, h := range in.holdings {
		if h.Place == poolPlace(va) {
			pool = append(pool, a.reservedLot(lotOf(h)))
		}
	}
	return license.PlanReservation(old, want, pool, free, d.now)
}

func (a *Authority) reservedLot(l license.Lot) license.ReservedLot {
	return license.ReservedLot{
		Lot: l.ID, Tag: l.Tag, Name: a.catalog.Name(l.Tag), Quantity: l.Quantity, Type: l.Type, Start: l.Start, End: l.End, Subscription: l.Subscription,
	}
}

// issueReservation writes a new reservation with its first version, and the instance that is known by it.
func (a *Authority) issueReservation(ctx context.Context, d *desk, code trust.Code, va db.VirtualAccount, kind license.ReservationKind, lots []license.ReservedLot, predecessor string) (db.Reservation, error) {
	account := d.account.AccountID
	row := db.Reservation{
		AccountID: account, ReservationID: trust.NewID("rsv", d.now), VaID: va.VaID, Udi: code.UDI, Kind: string(kind), State: string(license.ReservationIssued),
		Request: requestText(code), Sequence: int64(code.Sequence), Version: 1, CreatedAt: store.Ms(d.now), CreatedBy: d.who.ID, Predecessor: predecessor,
	}
	row.Secret = a.keys.Hide(codeKeyLabel(row), trust.Secret(trust.NewCodeKey().Reveal()))
	var err error
	if row.InstanceID, err = d.reserveInstance(ctx, row); err != nil {
		return row, err
	}
	if err := d.InsertReservation(ctx, db.InsertReservationParams{
		AccountID: account, ReservationID: row.ReservationID, VaID: row.VaID, InstanceID: row.InstanceID, Udi: row.Udi, Kind: row.Kind, State: row.State,
		Request: row.Request, Sequence: row.Sequence, Version: row.Version, Secret: row.Secret, CreatedAt: row.CreatedAt, CreatedBy: row.CreatedBy, Predecessor: predecessor,
	}); err != nil {
		return row, fmt.Errorf("insert reservation: %w", err)
	}
	return row, d.insertVersion(ctx, row, va, lots)
}

func codeKeyLabel(r db.Reservation) string {
	return "code key of " + r.AccountID + "/" + r.ReservationID
}

// reserveInstance finds or makes the instance of a reserved product. It has no key: it never calls.
func (d *desk) reserveInstance(ctx context.Context, r db.Reservation) (string, error) {
	pid, serial, err := wire.ParseUDI(r.Udi)
	if err != nil {
		return "", err
	}
	why := "it holds the reservation " + r.ReservationID
	old, err := d.InstanceByUDI(ctx, db.InstanceByUDIParams{AccountID: r.AccountID, Udi: r.Udi})
	switch {
	case err == nil:
		return old.InstanceID, d.ReserveInstance(ctx, db.ReserveInstanceParams{
			AccountID: r.AccountID, InstanceID: old.InstanceID, VaID: r.VaID, RegisteredAt: r.CreatedAt, RemovedBy: d.byName(), RemovedWhy: why,
		})
	case !errors.Is(err, store.ErrNoRow):
		return "", fmt.Errorf("look up product: %w", err)
	}
	id := trust.NewID("ins", d.now)
	if err := d.InsertInstance(ctx, db.InsertInstanceParams{
		AccountID: r.AccountID, InstanceID: id, VaID: r.VaID, Udi: r.Udi, Pid: pid, Serial: serial, Product: pid, State: stateReserved,
		RegisteredAt: r.CreatedAt, RenewedAt: r.CreatedAt, PublicKey: []byte{}, Prepared: []byte{}, Certificate: []byte{}, StatusAt: r.CreatedAt,
	}); err != nil {
		return "", fmt.Errorf("insert instance: %w", err)
	}
	return id, nil
}

// byName is the actor as people know it.
func (d *desk) byName() string {
	if d.who.Name != "" {
		return d.who.Name
	}
	return d.who.ID
}

// insertVersion keeps what the authorization says, but for the key of the codes.
func (d *desk) insertVersion(ctx context.Context, r db.Reservation, va db.VirtualAccount, lots []license.ReservedLot) error {
	pid, serial, err := wire.ParseUDI(r.Udi)
	if err != nil {
		return err
	}
	if lots == nil {
		lots = []license.ReservedLot{}
	}
	body, err := json.Marshal(wire.Reservation{
		Account: wire.Named{ID: r.AccountID, Name: d.account.Name}, VirtualAccount: wire.Named{ID: va.VaID, Name: va.Name}, Reservation: r.ReservationID,
		PID: pid, Serial: serial, Request: r.Request, Sequence: int(r.Sequence), Version: int(r.Version), Kind: license.ReservationKind(r.Kind), Lots: lots, IssuedAt: d.now,
	})
	if err != nil {
		return fmt.Errorf("encode authorization: %w", err)
	}
	if err := d.InsertReservationVersion(ctx, db.InsertReservationVersionParams{
		AccountID: r.AccountID, ReservationID: r.ReservationID, Version: r.Version, Body: body, IssuedAt: store.Ms(d.now), IssuedBy: d.who.ID,
	}); err != nil {
		return fmt.Errorf("insert authorization: %w", err)
	}
	return nil
}

// shift moves lots from one place to another. Nothing to move is no movement.
func (d *desk) shift(ctx context.Context, kind string, event int64, from, to string, lots []license.ReservedLot) error {
	var legs []leg
	for _, l := range lots {
		legs = append(legs, leg{from, l.Lot, l.Tag, -l.Quantity}, leg{to, l.Lot, l.Tag, l.Quantity})
	}
	if legs == nil {
		return nil
	}
	return d.move(ctx, kind, event, legs)
}

// reservationEvent is what the chain says of a reservation.
type reservationEvent struct {
	UDI            string                `json:"udi"`
	VirtualAccount string                `json:"virtualAccount"`
	Kind           string                `json:"kind"`
	Sequence       int64                 `json:"sequence"`
	Version        int64                 `json:"version"`
	Licenses       map[license.Tag]int64 `json:"licenses"`
	Before         map[license.Tag]int64 `json:"before,omitempty"`
	Freed          map[license.Tag]int64 `json:"freed,omitempty"`
	Predecessor    string                `json:"predecessor,omitempty"`
	Why            string                `json:"why,omitempty"`
}

func reservationData(r db.Reservation, lots []license.ReservedLot) reservationEvent {
	return reservationEvent{
		UDI: r.Udi, VirtualAccount: r.VaID, Kind: r.Kind, Sequence: r.Sequence, Version: r.Version, Licenses: license.TagSums(lots, time.Time{}), Predecessor: r.Predecessor,
	}
}

// UpdateReservation issues another version of an authorization with other quantities; a tag that is not named is given up. Until
// its confirmation code comes, the larger quantity of each tag stays charged (row Q3). The quantities that the newest version has
// already change nothing.
func (a *Authority) UpdateReservation(ctx context.Context, who access.Person, account, ref string, want map[license.Tag]int64) (Reservation, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Reservation{}, err
	}
	return a.reserving(ctx, who, id, "update reservation", func(d *desk) (db.Reservation, bool, error) {
		row, err := findReservation(ctx, d.Tx, id, ref)
		if err != nil {
			return row, false, err
		}
		want, err := checkWanted(license.ReservationKind(row.Kind), want)
		if err != nil {
			return row, false, err
		}
		held, err := d.versions(ctx, row, row.Version)
		if err != nil {
			return row, false, err
		}
		before := held[0].body.Lots
		if rules := rulesOf(row); rules.State.Live() && maps.Equal(license.TagSums(before, d.now), want) {
			return row, true, nil
		} else if err := rules.Update(); err != nil {
			return row, false, err
		}
		if err := d.mayReserve(ctx, license.ReservationKind(row.Kind)); err != nil {
			return row, false, err
		}
		va, err := d.va(ctx, row.VaID)
		if err != nil {
			return row, false, err
		}
		after, err := a.plan(ctx, d, row.VaID, before, want)
		if err != nil {
			return row, false, err
		}
		row.Version++
		row.State = string(license.ReservationInTransit)
		if err := d.insertVersion(ctx, row, va, after); err != nil {
			return row, false, err
		}
		if err := d.saveReservation(ctx, row); err != nil {
			return row, false, err
		}
		data := reservationData(row, after)
		data.Before = license.TagSums(before, time.Time{})
		seq, err := d.record(ctx, "reservation.updated", row.ReservationID, data)
		if err != nil {
			return row, false, err
		}
		return row, false, d.shift(ctx, "reserve", seq, poolPlace(row.VaID), reservedPlace(row.ReservationID), license.Less(after, before))
	})
}

func rulesOf(r db.Reservation) license.Reservation {
	return license.Reservation{State: license.ReservationState(r.State), Version: int(r.Version), Confirmed: int(r.Confirmed)}
}

func (d *desk) saveReservation(ctx context.Context, r db.Reservation) error {
	err := d.Tx.UpdateReservation(ctx, db.UpdateReservationParams{
		AccountID: r.AccountID, ReservationID: r.ReservationID, State: r.State, Version: r.Version, Confirmed: r.Confirmed, ConfirmedAt: r.ConfirmedAt,
		EndedAt: r.EndedAt, EndedBy: r.EndedBy, ReturnCode: r.ReturnCode, Successor: r.Successor, WrongCodes: r.WrongCodes, WrongSince: r.WrongSince,
		Revived: r.Revived, RevivedAt: r.RevivedAt,
	})
	if err != nil {
		return fmt.Errorf("save reservation: %w", err)
	}
	return nil
}
