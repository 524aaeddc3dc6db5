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

// RehostState says what became of a wish to rehost.
type RehostState string

// The states of a rehost.
const (
	RehostWaiting  RehostState = "WAITING"  // for a second person
	RehostApproved RehostState = "APPROVED" // done
	RehostRejected RehostState = "REJECTED"
)

// Rehost is a wish to give the licenses of a dead product, which cannot make a return code any more, to another one.
type Rehost struct {
	ID          string
	Reservation string
	UDI         string // of the dead product
	NewUDI      string
	Reason      string
	State       RehostState
	AskedAt     time.Time
	AskedBy     string // credential
	AskedName   string
	DecidedAt   time.Time
	DecidedBy   string
	DecidedName string
	// Successor is the reservation of the new product, once it is approved.
	Successor string
}

// AskRehost notes the wish to give the licenses of a dead product to the product that made the request code. Nothing moves until
// another person approves it. The same wish again is the same answer.
func (a *Authority) AskRehost(ctx context.Context, who access.Person, account, ref, request, reason string) (Rehost, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Rehost{}, err
	}
	code, err := readCode(request, trust.CodeRequest)
	if err != nil {
		return Rehost{}, err
	}
	if err := license.CheckName("reason", reason); err != nil {
		return Rehost{}, err
	}
	var out Rehost
	err = a.write(ctx, who, id, "ask for a rehost", func(d *desk) error {
		row, err := findReservation(ctx, d.Tx, id, ref)
		if err != nil {
			return err
		}
		old, err := d.RehostsOfReservation(ctx, db.RehostsOfReservationParams{AccountID: id, ReservationID: row.ReservationID})
		if err != nil {
			return fmt.Errorf("read rehosts: %w", err)
		}
		for _, r := range old {
			switch {
			case r.State == string(RehostRejected):
			case r.Request == code.String():
				out = rehostOf(r, row)
				return nil
			case r.State == string(RehostWaiting):
				return license.Refuse(license.KindConflict, "rehost-waiting", "decide it first: tally reservation rehost approve or reject "+r.RehostID,
					"a rehost of this reservation to another product waits for a second person since %s", stampDay(r.AskedAt))
			}
		}
		if err := d.mayRehost(ctx, row, code); err != nil {
			return err
		}
		r := db.Rehost{
			AccountID: id, RehostID: trust.NewID("reh", d.now), ReservationID: row.ReservationID, Request: code.String(), Reason: reason, State: string(RehostWaiting),
			AskedAt: store.Ms(d.now), AskedBy: who.ID, AskedName: who.Name,
		}
		if err := d.InsertRehost(ctx, db.InsertRehostParams{
			AccountID: id, RehostID: r.RehostID, ReservationID: r.ReservationID, Request: r.Request, Reason: r.Reason, AskedAt: r.AskedAt, AskedBy: r.AskedBy, AskedName: r.AskedName,
		}); err != nil {
			return fmt.Errorf("insert rehost: %w", err)
		}
		out = rehostOf(r, row)
		_, err = d.record(ctx, "rehost.asked", r.RehostID, map[string]string{"reservation": row.ReservationID, "udi": row.Udi, "to": code.UDI, "reason": reason})
		return err
	})
	return out, err
}

// mayRehost checks both ends of a rehost.
func (d *desk) mayRehost(ctx context.Context, row db.Reservation, code trust.Code) error {
	if err := rulesOf(row).Rehost(); err != nil {
		return err
	}
	if code.UDI == row.Udi {
		return license.Refuse(license.KindInvalid, "same-product", "make the request code on the new product", "the request code is of the dead product itself")
	}
	n, err := d.CountQuarantined(ctx, db.CountQuarantinedParams{AccountID: row.AccountID, VaID: row.VaID})
	if err != nil {
		return fmt.Errorf("count quarantined: %w", err)
	}
	if n >= license.MaxQuarantined {
		return license.Refuse(license.KindRefused, "too-many-rehosts", "enter the return codes of old products, or answer for them with `tally reservation release`",
			"%d products of this virtual account were declared dead and nobody has answered for them; more are not moved", n)
	}
	if err := d.mayReserve(ctx, license.ReservationKind(row.Kind)); err != nil {
		return err
	}
	return d.fresh(ctx, code)
}

// ApproveRehost does what another person asked for: the licenses go to a new reservation of the new product, the old one is
// quarantined, and its product is blocked until its return code comes or somebody answers for it (row Q7). It answers with the new
// reservation. Approved before, it answers the same.
func (a *Authority) ApproveRehost(ctx context.Context, who access.Person, account, ref string) (Reservation, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Reservation{}, err
	}
	return a.reserving(ctx, who, id, "approve rehost", func(d *desk) (db.Reservation, bool, error) {
		wish, old, err := d.rehost(ctx, ref)
		if err != nil {
			return old, false, err
		}
		switch RehostState(wish.State) {
		case RehostApproved:
			row, err := findReservation(ctx, d.Tx, id, wish.Successor)
			return row, true, err
		case RehostRejected:
			return old, false, license.Refuse(license.KindConflict, "rehost-rejected", "ask for it again", "this rehost was rejected on %s by %s", stampDay(wish.DecidedAt), wish.DecidedName)
		}
		if err := second(who, wish); err != nil {
			return old, false, err
		}
		code, err := readCode(wish.Request, trust.CodeRequest)
		if err != nil {
			return old, false, err
		}
		if err := d.mayRehost(ctx, old, code); err != nil {
			return old, false, err
		}
		made, err := a.moveToSuccessor(ctx, d, old, code, wish)
		return made, false, err
	})
}

// second refuses the person who asked: two people decide about a product that cannot speak for itself.
func second(who access.Person, wish db.Rehost) error {
	if who.ID != wish.AskedBy {
		return nil
	}
	return license.Refuse(license.KindPermission, "second-person", "let another administrator approve it, with a key or a sign-in of their own",
		"the person who asked for a rehost cannot approve it")
}

func (a *Authority) moveToSuccessor(ctx context.Context, d *desk, old db.Reservation, code trust.Code, wish db.Rehost) (db.Reservation, error) {
	va, err := d.va(ctx, old.VaID)
	if err != nil {
		return old, err
	}
	versions, err := d.versions(ctx, old, old.Version)
	if err != nil {
		return old, err
	}
	held := versions[0].body.Lots
	var lots, over []license.ReservedLot
	for _, l := range held {
		if l.Counts(d.now) {
			lots = append(lots, l)
		} else {
			over = append(over, l)
		}
	}
	made, err := a.issueReservation(ctx, d, code, va, license.ReservationKind(old.Kind), lots, old.ReservationID)
	if err != nil {
		return made, err
	}
	old.State, old.EndedAt, old.EndedBy, old.Successor = string(license.ReservationQuarantined), store.Ms(d.now), d.who.ID, made.ReservationID
	if err := d.saveReservation(ctx, old); err != nil {
		return made, err
	}
	if err := d.endInstance(ctx, old, "it is dead; its licenses went to "+made.Udi); err != nil {
		return made, err
	}
	if err := d.DecideRehost(ctx, db.DecideRehostParams{
		AccountID: wish.AccountID, RehostID: wish.RehostID, State: string(RehostApproved), DecidedAt: store.Ms(d.now), DecidedBy: d.who.ID, DecidedName: d.who.Name, Successor: made.ReservationID,
	}); err != nil {
		return made, fmt.Errorf("decide rehost: %w", err)
	}
	data := reservationData(made, lots)
	data.Why = wish.Reason
	seq, err := d.record(ctx, "reservation.rehosted", made.ReservationID, data)
	if err != nil {
		return made, err
	}
	if err := d.shift(ctx, "rehost", seq, reservedPlace(old.ReservationID), reservedPlace(made.ReservationID), lots); err != nil {
		return made, err
	}
	return made, d.shift(ctx, "unreserve", seq, reservedPlace(old.ReservationID), poolPlace(old.VaID), over)
}

func (d *desk) rehost(ctx context.Context, ref string) (db.Rehost, db.Reservation, error) {
	account := d.account.AccountID
	if !trust.ValidID("reh", ref) {
		return db.Rehost{}, db.Reservation{}, license.NotFound("rehost", ref)
	}
	wish, err := d.Tx.Rehost(ctx, db.RehostParams{AccountID: account, RehostID: ref})
	if errors.Is(err, store.ErrNoRow) {
		return wish, db.Reservation{}, license.NotFound("rehost", ref)
	}
	if err != nil {
		return wish, db.Reservation{}, err
	}
	old, err := d.Tx.Reservation(ctx, db.ReservationParams{AccountID: account, ReservationID: wish.ReservationID})
	return wish, old, err
}

// RejectRehost ends a wish without moving anything. Everybody who may manage reservations may, the person who asked included.
func (a *Authority) RejectRehost(ctx context.Context, who access.Person, account, ref string) (Rehost, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Rehost{}, err
	}
	var out Rehost
	err = a.write(ctx, who, id, "reject rehost", func(d *desk) error {
		wish, old, err := d.rehost(ctx, ref)
		if err != nil {
			return err
		}
		switch RehostState(wish.State) {
		case RehostApproved:
			return license.Refuse(license.KindConflict, "rehost-done", "return the new reservation on its product", "this rehost was approved on %s by %s", stampDay(wish.DecidedAt), wish.DecidedName)
		case RehostRejected:
			out = rehostOf(wish, old)
			return nil
		}
		wish.State, wish.DecidedAt, wish.DecidedBy, wish.DecidedName = string(RehostRejected), store.Ms(d.now), who.ID, who.Name
		if err := d.DecideRehost(ctx, db.DecideRehostParams{
			AccountID: id, RehostID: wish.RehostID, State: wish.State, DecidedAt: wish.DecidedAt, DecidedBy: wish.DecidedBy, DecidedName: wish.DecidedName,
		}); err != nil {
			return fmt.Errorf("decide rehost: %w", err)
		}
		out = rehostOf(wish, old)
		_, err = d.record(ctx, "rehost.rejected", wish.RehostID, map[string]string{"reservation": wish.ReservationID})
		return err
	})
	return out, err
}

// Rehosts lists the wishes of an account, decided ones included.
func (a *Authority) Rehosts(ctx context.Context, who access.Person, account string, page Page) ([]Rehost, string, error) {
	return listed(ctx, a, who, account, "rehosts", page, func(tx *store.Tx, id string) ([]db.Rehost, error) {
		return tx.Rehosts(ctx, db.RehostsParams{AccountID: id, After: page.After, Page: page.rows()})
	}, func(r db.Rehost) string { return r.RehostID }, func(tx *store.Tx, r db.Rehost) (Rehost, error) {
		old, err := tx.Reservation(ctx, db.ReservationParams{AccountID: r.AccountID, ReservationID: r.ReservationID})
		return rehostOf(r, old), err
	})
}

func rehostOf(r db.Rehost, old db.Reservation) Rehost {
	out := Rehost{
		ID: r.RehostID, Reservation: r.ReservationID, UDI: old.Udi, Reason: r.Reason, State: RehostState(r.State), AskedAt: store.At(r.AskedAt), AskedBy: r.AskedBy,
		AskedName: r.AskedName, DecidedAt: store.At(r.DecidedAt), DecidedBy: r.DecidedBy, DecidedName: r.DecidedName, Successor: r.Successor,
	}
	if c, err := trust.ParseCode(r.Request); err == nil {
		out.NewUDI = c.UDI
	}
	return out
}

// ReleaseReservation lets an administrator answer for a quarantined product: it may ask for reservations again (row Q7).
func (a *Authority) ReleaseReservation(ctx context.Context, who access.Person, account, ref string) (Reservation, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Reservation{}, err
	}
	return a.reserving(ctx, who, id, "release reservation", func(d *desk) (db.Reservation, bool, error) {
		row, err := findReservation(ctx, d.Tx, id, ref)
		if err != nil {
			return row, false, err
		}
		next, repeated, err := rulesOf(row).Release()
		if err != nil || repeated {
			return row, repeated, err
		}
		row.State = string(next.State)
		if err := d.saveReservation(ctx, row); err != nil {
			return row, false, err
		}
		_, err = d.record(ctx, "reservation.released", row.ReservationID, reservationData(row, nil))
		return row, false, err
	})
}
