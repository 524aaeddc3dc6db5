package authority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// Codes that are whole and fit a reservation but were not made with its key are counted: who guesses has so many tries an hour.
// A code has 50 such bits.
const (
	maxWrongCodes   = 10
	wrongCodesAfter = time.Hour
)

// readCode reads a short code of one of some kinds, or says what it is instead. Nothing has been looked up when it refuses.
func readCode(text string, kinds ...trust.CodeKind) (trust.Code, error) {
	c, err := trust.ParseCode(text)
	switch {
	case errors.Is(err, trust.ErrCodeMistyped):
		return c, license.Refuse(license.KindInvalid, "code-mistyped", "compare it with the product character by character; a request code ends with @ and the identity of the product",
			"the code was mistyped: at least one character is wrong or two are exchanged; nothing was changed")
	case errors.Is(err, trust.ErrCodeFormat):
		return c, license.Refuse(license.KindInvalid, "code-newer", "update this server", "the code is of a newer form than this server knows; nothing was changed")
	case err != nil:
		return c, license.Refuse(license.KindInvalid, "code-malformed", "enter the code as the product shows it, such as C1004-0G2XM-…; case, spaces and hyphens do not matter",
			"%s; nothing was changed", err)
	}
	for _, k := range kinds {
		if c.Kind == k {
			return c, nil
		}
	}
	use := "`tally reservation confirm`"
	switch c.Kind {
	case trust.CodeRequest:
		use = "`tally reservation create`"
	case trust.CodeReturn, trust.CodeDiscard:
		use = "`tally reservation return`"
	}
	return c, license.Refuse(license.KindInvalid, "code-kind", "enter it with "+use, "this is a %s, and a %s is needed here; nothing was changed", c.Kind.Name(), kinds[0].Name())
}

// codeFor checks that a code belongs to a reservation and was made by its product, or says what it is instead.
func (a *Authority) codeFor(ctx context.Context, d *desk, r *db.Reservation, c trust.Code) error {
	if !c.Of(r.Udi) {
		return d.foreignCode(ctx, r, c)
	}
	if c.Sequence != int(r.Sequence) {
		return license.Refuse(license.KindConflict, "code-other-request", "name the reservation that answered that request; `tally reservation list` shows them",
			"the code answers request %d of this product, and the reservation %s request %d; nothing was changed", c.Sequence, r.ReservationID, r.Sequence)
	}
	if r.WrongCodes >= maxWrongCodes && d.now.Sub(store.At(r.WrongSince)) < wrongCodesAfter {
		return license.Refuse(license.KindBusy, "too-many-codes", "wait until then, and enter the code that the product shows",
			"%d codes that its product did not make were entered for this reservation; no more are taken until %s",
			r.WrongCodes, store.At(r.WrongSince).Add(wrongCodesAfter).Format("2006-01-02 15:04 UTC"))
	}
	key, err := a.codeKey(*r)
	if err != nil {
		return err
	}
	if key.Signed(c, r.Udi) {
		return nil
	}
	if r.WrongCodes == 0 || d.now.Sub(store.At(r.WrongSince)) >= wrongCodesAfter {
		r.WrongCodes, r.WrongSince = 0, store.Ms(d.now)
	}
	r.WrongCodes++
	if err := d.saveReservation(ctx, *r); err != nil {
		return err
	}
	if _, err := d.record(ctx, "reservation.code-refused", r.ReservationID, map[string]any{"kind": c.Kind.Name(), "count": r.WrongCodes}); err != nil {
		return err
	}
	return keptRefusal{license.Refuse(license.KindRefused, "code-made-up", "enter the code that the product itself shows: reservation show",
		"the code is whole, but the product did not make it from the authorization of this reservation; nothing was freed")}
}

// foreignCode names the product that a code is of, when this account knows it.
func (d *desk) foreignCode(ctx context.Context, r *db.Reservation, c trust.Code) error {
	of := "a product that this account does not know"
	page := Page{Limit: 1000}
	for {
		rows, err := d.Tx.Reservations(ctx, db.ReservationsParams{AccountID: r.AccountID, After: page.After, Page: page.rows()})
		if err != nil {
			return fmt.Errorf("read reservations: %w", err)
		}
		rows, next := cut(rows, page, func(r db.Reservation) string { return r.ReservationID })
		for _, other := range rows {
			if c.Of(other.Udi) {
				of = other.Udi + " (reservation " + other.ReservationID + ")"
			}
		}
		if page.After = next; next == "" {
			break
		}
	}
	return license.Refuse(license.KindConflict, "code-other-product", "name the reservation of that product", "this is the %s of %s, not of %s; nothing was changed", c.Kind.Name(), of, r.Udi)
}

func (a *Authority) codeKey(r db.Reservation) (trust.CodeKey, error) {
	secret, err := a.keys.Unhide(codeKeyLabel(r), r.Secret)
	if err != nil {
		return trust.CodeKey{}, fmt.Errorf("key of reservation %s: %w", r.ReservationID, err)
	}
	return trust.ParseCodeKey([]byte(secret.Reveal()))
}

// noteRevived keeps that a code came of a reservation whose licenses were given up: the product's state was set back to a time
// before, and it may have used them again meanwhile (domain rule 43).
func (d *desk) noteRevived(ctx context.Context, r *db.Reservation, c trust.Code, what string) error {
	r.Revived++
	if r.RevivedAt == 0 {
		r.RevivedAt = store.Ms(d.now)
	}
	if err := d.saveReservation(ctx, *r); err != nil {
		return err
	}
	data := reservationEvent{UDI: r.Udi, VirtualAccount: r.VaID, Kind: r.Kind, Sequence: int64(c.Sequence), Version: int64(c.Version), Why: what}
	held, err := d.versions(ctx, *r, r.Version)
	if err != nil {
		return err
	}
	data.Licenses = license.TagSums(held[0].body.Lots, time.Time{})
	_, err = d.record(ctx, "reservation.revived", r.ReservationID, data)
	return err
}

// ConfirmReservation takes the confirmation code of the product: the version is installed there, and what it gave up is free
// (rows Q2 and Q4). The same code again is the same answer.
func (a *Authority) ConfirmReservation(ctx context.Context, who access.Person, account, ref, text string) (Reservation, error) {
	return a.withCode(ctx, who, account, ref, text, "confirm reservation", []trust.CodeKind{trust.CodeConfirmation}, func(d *desk, row db.Reservation, code trust.Code) (db.Reservation, bool, error) {
		rules := rulesOf(row)
		if !rules.State.Live() {
			if err := d.noteRevived(ctx, &row, code, "a confirmation code"); err != nil {
				return row, false, err
			}
			return row, false, keptRefusal{license.Refuse(license.KindConflict, "code-after-return", "the product must return its licenses again: reservation return; look at its snapshots",
				"the reservation was %s on %s, and this code says that the product has installed it: its state was set back; `tally reservation show` says what it may have used",
				wordOfEnd(row), stampDay(row.EndedAt))}
		}
		next, repeated, err := rules.Confirm(code.Version)
		if err != nil || repeated {
			return row, repeated, err
		}
		row.State, row.Confirmed, row.ConfirmedAt, row.WrongCodes = string(next.State), int64(next.Confirmed), store.Ms(d.now), 0
		if err := d.saveReservation(ctx, row); err != nil {
			return row, false, err
		}
		if err := d.ConfirmReservationVersion(ctx, db.ConfirmReservationVersionParams{
			AccountID: row.AccountID, ReservationID: row.ReservationID, Version: row.Confirmed, ConfirmedAt: row.ConfirmedAt,
		}); err != nil {
			return row, false, fmt.Errorf("confirm authorization: %w", err)
		}
		versions, err := d.versions(ctx, row, row.Confirmed)
		if err != nil {
			return row, false, err
		}
		var freed []license.ReservedLot
		if next.State == license.ReservationConfirmed {
			if freed, err = d.heldBy(ctx, row); err != nil {
				return row, false, err
			}
			freed = license.Less(freed, versions[0].body.Lots)
		}
		data := reservationData(row, versions[0].body.Lots)
		data.Version, data.Freed = row.Confirmed, license.TagSums(freed, time.Time{})
		seq, err := d.record(ctx, "reservation.confirmed", row.ReservationID, data)
		if err != nil {
			return row, false, err
		}
		return row, false, d.shift(ctx, "unreserve", seq, reservedPlace(row.ReservationID), poolPlace(row.VaID), freed)
	})
}

func wordOfEnd(r db.Reservation) string {
	switch license.ReservationState(r.State) {
	case license.ReservationQuarantined, license.ReservationReleased:
		return "moved to another product"
	}
	return "returned"
}

// ReturnReservation takes the return code of the product, or the code of an authorization that was never installed: all licenses
// are free, the instance is removed, and no request up to this one is ever answered again (row Q6). The same code again is the
// same answer; another one means that the product's state was set back.
func (a *Authority) ReturnReservation(ctx context.Context, who access.Person, account, ref, text string) (Reservation, error) {
	return a.withCode(ctx, who, account, ref, text, "return reservation", []trust.CodeKind{trust.CodeReturn, trust.CodeDiscard}, func(d *desk, row db.Reservation, code trust.Code) (db.Reservation, bool, error) {
		next, over := rulesOf(row).GiveUp()
		switch {
		case over && row.ReturnCode == code.String():
			return row, true, nil
		case over && row.ReturnCode != "":
			if err := d.noteRevived(ctx, &row, code, "another return code"); err != nil {
				return row, false, err
			}
			return row, false, keptRefusal{license.Refuse(license.KindConflict, "code-after-return", "nothing more is to be done here; look at the product's snapshots",
				"the reservation was returned on %s with another code: the product gave its licenses up twice, so its state was set back in between; `tally reservation show` says what it may have used",
				stampDay(row.EndedAt))}
		}
		row.ReturnCode, row.WrongCodes = code.String(), 0
		if over { // released, and now the product has come back
			if err := d.saveReservation(ctx, row); err != nil {
				return row, false, err
			}
			_, err := d.record(ctx, "reservation.returned", row.ReservationID, reservationData(row, nil))
			return row, false, err
		}
		live := license.ReservationState(row.State).Live()
		row.State = string(next.State)
		row.EndedAt, row.EndedBy = store.Ms(d.now), d.who.ID
		if err := d.saveReservation(ctx, row); err != nil {
			return row, false, err
		}
		freed, err := d.heldBy(ctx, row)
		if err != nil {
			return row, false, err
		}
		data := reservationData(row, nil)
		data.Freed = license.TagSums(freed, time.Time{})
		if code.Kind == trust.CodeDiscard {
			data.Why = "the authorization was never installed"
		}
		seq, err := d.record(ctx, "reservation.returned", row.ReservationID, data)
		if err != nil {
			return row, false, err
		}
		if live {
			if err := d.endInstance(ctx, row, "its reservation was returned"); err != nil {
				return row, false, err
			}
		}
		return row, false, d.shift(ctx, "unreserve", seq, reservedPlace(row.ReservationID), poolPlace(row.VaID), freed)
	})
}

// endInstance marks the instance of a reservation removed.
func (d *desk) endInstance(ctx context.Context, r db.Reservation, why string) error {
	if err := d.Tx.RemoveInstance(ctx, db.RemoveInstanceParams{
		AccountID: r.AccountID, InstanceID: r.InstanceID, RemovedAt: store.Ms(d.now), RemovedBy: d.byName(), RemovedWhy: why,
	}); err != nil {
		return fmt.Errorf("remove instance: %w", err)
	}
	return nil
}

// withCode runs a verb that a code of the product proves.
func (a *Authority) withCode(ctx context.Context, who access.Person, account, ref, text, verb string, kinds []trust.CodeKind,
	fn func(*desk, db.Reservation, trust.Code) (db.Reservation, bool, error),
) (Reservation, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Reservation{}, err
	}
	code, err := readCode(text, kinds...)
	if err != nil {
		return Reservation{}, err
	}
	return a.reserving(ctx, who, id, verb, func(d *desk) (db.Reservation, bool, error) {
		row, err := findReservation(ctx, d.Tx, id, ref)
		if err != nil {
			return row, false, err
		}
		if err := a.codeFor(ctx, d, &row, code); err != nil {
			return row, false, err
		}
		return fn(d, row, code)
	})
}

// heldBy is what the supply book says that a reservation holds.
func (d *desk) heldBy(ctx context.Context, r db.Reservation) ([]license.ReservedLot, error) {
	rows, err := d.HoldingsAt(ctx, db.HoldingsAtParams{AccountID: r.AccountID, Place: reservedPlace(r.ReservationID)})
	if err != nil {
		return nil, fmt.Errorf("read what is reserved: %w", err)
	}
	var out []license.ReservedLot
	for _, h := range rows {
		out = append(out, license.ReservedLot{
			Lot: h.LotID, Tag: license.Tag(h.Tag), Quantity: h.Quantity, Type: license.LotType(h.LotType), Start: store.At(h.StartsAt), End: store.At(h.EndsAt),
			Subscription: h.Subscription,
		})
	}
	return out, nil
}
