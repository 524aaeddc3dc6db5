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

// Reservation is a reservation as lists show it.
type Reservation struct {
	ID               string
	UDI              string
	Instance         string
	VirtualAccount   string
	VirtualAccountID string
	Kind             license.ReservationKind
	State            license.ReservationState
	Request          string // without the UDI
	Sequence         int
	// Version is the newest authorization, Confirmed the newest that a code has confirmed, 0 for none.
	Version, Confirmed int
	// Lots are what the newest authorization says, Charged what the virtual account is charged, which in transit is more.
	Lots, Charged []license.ReservedLot
	CreatedAt     time.Time
	CreatedBy     string
	IssuedAt      time.Time // of the newest authorization
	ConfirmedAt   time.Time
	EndedAt       time.Time
	EndedBy       string
	ReturnCode    string
	Predecessor   string
	Successor     string
	// Findings are what somebody should look at.
	Findings []license.Fact
	// Repeated says that a verb had been done before and changed nothing now.
	Repeated bool
	// Authorization is the file for the product; empty in lists and when the reservation holds nothing any more.
	Authorization []byte

	secret []byte
	body   wire.Reservation
}

// version is one authorization as it is kept.
type version struct {
	db.ReservationVersion
	body wire.Reservation
}

// versions reads the authorizations of a reservation from one version on.
func (d *desk) versions(ctx context.Context, r db.Reservation, from int64) ([]version, error) {
	return reservationVersions(ctx, d.Tx, r, from)
}

func reservationVersions(ctx context.Context, tx *store.Tx, r db.Reservation, from int64) ([]version, error) {
	rows, err := tx.ReservationVersions(ctx, db.ReservationVersionsParams{AccountID: r.AccountID, ReservationID: r.ReservationID, Version: from})
	if err != nil {
		return nil, fmt.Errorf("read authorizations: %w", err)
	}
	var out []version
	for _, row := range rows {
		v := version{ReservationVersion: row}
		if err := json.Unmarshal(row.Body, &v.body); err != nil {
			return nil, fmt.Errorf("read authorization %d of %s: %w", row.Version, r.ReservationID, err)
		}
		out = append(out, v)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("reservation %s has no authorization %d", r.ReservationID, from)
	}
	return out, nil
}

// findReservation finds a reservation by id, by its request code, or by the UDI or serial number of its product, the newest first.
// Where there is none here, it names the satellites that have some.
func findReservation(ctx context.Context, tx *store.Tx, account, ref string) (db.Reservation, error) {
	row, err := reservationCalled(ctx, tx, account, ref)
	no := license.AsError(err)
	if no == nil || no.Kind != license.KindNotFound {
		return row, err
	}
	below, failed := reservedBelow(ctx, tx, account)
	if failed != nil {
		return row, failed
	}
	if len(below) > 0 {
		no.Hint = factTexts(below)
	}
	return row, no
}

func factTexts(facts []license.Fact) string {
	var texts []string
	for _, f := range facts {
		texts = append(texts, f.Text())
	}
	return strings.Join(texts, " ")
}

// reservedBelow says at which satellites of an account reservations hold licenses, as far as these have said.
func reservedBelow(ctx context.Context, tx *store.Tx, account string) ([]license.Fact, error) {
	vas, err := allVAs(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	of := map[string]string{} // satellite by place
	for _, v := range vas {
		if v.SatelliteID != "" {
			of[ReservedPlace(v.VaID)] = v.SatelliteID
		}
	}
	if len(of) == 0 {
		return nil, nil
	}
	held, err := tx.Holdings(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("read holdings: %w", err)
	}
	sums := map[string]int64{}
	for _, h := range held {
		if id := of[h.Place]; id != "" {
			sums[id] += h.Quantity
		}
	}
	satellites, err := satellitesByID(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	var facts []license.Fact
	for _, id := range slices.Sorted(maps.Keys(sums)) {
		if sums[id] > 0 {
			facts = append(facts, license.Fact{Code: license.FactReservedBelow, Name: satellites[id].Name, Count: sums[id]})
		}
	}
	return facts, nil
}

func reservationCalled(ctx context.Context, tx *store.Tx, account, ref string) (db.Reservation, error) {
	missing := license.NotFound("reservation", ref)
	if !findable(ref) {
		return db.Reservation{}, missing
	}
	if trust.ValidID("rsv", ref) {
		row, err := tx.Reservation(ctx, db.ReservationParams{AccountID: account, ReservationID: ref})
		if errors.Is(err, store.ErrNoRow) {
			return row, missing
		}
		return row, err
	}
	if c, err := trust.ParseCode(ref); err == nil && c.Kind == trust.CodeRequest {
		row, err := tx.ReservationByRequest(ctx, db.ReservationByRequestParams{AccountID: account, Request: requestText(c)})
		if errors.Is(err, store.ErrNoRow) {
			return row, missing
		}
		return row, err
	}
	udi := ref
	if !strings.HasPrefix(udi, "PID:") {
		found, err := udiOf(ctx, tx, account, ref)
		if err != nil {
			return db.Reservation{}, err
		}
		udi = found
	}
	rows, err := tx.ReservationsOfUDI(ctx, db.ReservationsOfUDIParams{AccountID: account, Udi: udi})
	if err != nil {
		return db.Reservation{}, fmt.Errorf("look up product: %w", err)
	}
	if len(rows) == 0 {
		return db.Reservation{}, missing
	}
	return rows[0], nil
}

// udiOf finds the one reserved product with an instance id or a serial number.
func udiOf(ctx context.Context, tx *store.Tx, account, ref string) (string, error) {
	found, page := "", Page{Limit: 1000}
	for {
		rows, err := tx.Reservations(ctx, db.ReservationsParams{AccountID: account, After: page.After, Page: page.rows()})
		if err != nil {
			return "", fmt.Errorf("read reservations: %w", err)
		}
		rows, next := cut(rows, page, func(r db.Reservation) string { return r.ReservationID })
		for _, r := range rows {
			_, serial, _ := strings.Cut(r.Udi, ",SN:")
			if serial != ref && r.InstanceID != ref || r.Udi == found {
				continue
			}
			if found != "" {
				return "", license.Refuse(license.KindConflict, "ambiguous", "name the reservation by its id", "%s and %s are both called %q", found, r.Udi, ref)
			}
			found = r.Udi
		}
		if page.After = next; next == "" {
			break
		}
	}
	if found == "" {
		return "", license.NotFound("reservation", ref)
	}
	return found, nil
}

// Reservations lists the reservations of an account, ended ones included.
func (a *Authority) Reservations(ctx context.Context, who access.Person, account string, page Page) ([]Reservation, string, error) {
	return listed(ctx, a, who, account, "reservations", page, func(tx *store.Tx, id string) ([]db.Reservation, error) {
		return tx.Reservations(ctx, db.ReservationsParams{AccountID: id, After: page.After, Page: page.rows()})
	}, func(r db.Reservation) string { return r.ReservationID }, func(tx *store.Tx, r db.Reservation) (Reservation, error) {
		return a.showReservation(ctx, tx, r, tx.Now())
	})
}

// Reservation finds a reservation by id, request code, UDI or serial number, with its authorization: every code can be shown again.
func (a *Authority) Reservation(ctx context.Context, who access.Person, account, ref string) (Reservation, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return Reservation{}, err
	}
	var out Reservation
	err = a.read(ctx, "find reservation", func(tx *store.Tx) error {
		row, err := findReservation(ctx, tx, id, ref)
		if err != nil {
			return err
		}
		out, err = a.showReservation(ctx, tx, row, tx.Now())
		return err
	})
	if err != nil || who.Check(access.Manage, id) != nil { // the file lets its holder give the licenses back
		return out, err
	}
	return out, a.signReservation(&out)
}

// showReservation reads what belongs to a reservation. Its numbers and its findings come from the same rows.
func (a *Authority) showReservation(ctx context.Context, tx *store.Tx, r db.Reservation, now time.Time) (Reservation, error) {
	va, err := tx.VA(ctx, db.VAParams{AccountID: r.AccountID, VaID: r.VaID})
	if err != nil {
		return Reservation{}, fmt.Errorf("find virtual account: %w", err)
	}
	from := r.Version
	if r.State == string(license.ReservationInTransit) {
		from = max(1, r.Version-1)
	}
	versions, err := reservationVersions(ctx, tx, r, from)
	if err != nil {
		return Reservation{}, err
	}
	newest := versions[len(versions)-1]
	out := Reservation{
		ID: r.ReservationID, UDI: r.Udi, Instance: r.InstanceID, VirtualAccount: va.Name, VirtualAccountID: va.VaID, Kind: license.ReservationKind(r.Kind),
		State: license.ReservationState(r.State), Request: r.Request, Sequence: int(r.Sequence), Version: int(r.Version), Confirmed: int(r.Confirmed), Lots: newest.body.Lots,
		CreatedAt: store.At(r.CreatedAt), CreatedBy: r.CreatedBy, IssuedAt: store.At(newest.IssuedAt), ConfirmedAt: store.At(r.ConfirmedAt), EndedAt: store.At(r.EndedAt),
		EndedBy: r.EndedBy, ReturnCode: r.ReturnCode, Predecessor: r.Predecessor, Successor: r.Successor, secret: r.Secret, body: newest.body,
	}
	switch {
	case out.State == license.ReservationInTransit:
		out.Charged = license.InTransit(versions[0].body.Lots, out.Lots)
	case out.State.Live():
		out.Charged = out.Lots
	}
	out.Findings = reservationFindings(r, out, now)
	return out, nil
}

// reservationFindings are what somebody should look at, the worst first.
func reservationFindings(r db.Reservation, out Reservation, now time.Time) []license.Fact {
	var facts []license.Fact
	if r.Revived > 0 {
		facts = append(facts, license.Fact{Code: license.FactRevived, Instance: r.InstanceID, Name: r.Udi, Count: r.Revived, Since: store.At(r.RevivedAt)})
	}
	if r.Revived > 0 || out.State == license.ReservationQuarantined {
		for _, l := range out.Lots {
			facts = append(facts, license.Fact{Code: license.FactUncounted, Tag: string(l.Tag), Name: r.Udi, Lot: l.Lot, Count: l.Quantity, Since: out.EndedAt})
		}
	}
	if r.WrongCodes > 0 {
		facts = append(facts, license.Fact{Code: license.FactWrongCodes, Name: r.Udi, Count: r.WrongCodes, Since: store.At(r.WrongSince)})
	}
	if out.State == license.ReservationInTransit {
		facts = append(facts, license.Fact{Code: license.FactInTransit, Name: r.Udi, Count: r.Version, Since: out.IssuedAt})
	}
	if out.State.Live() {
		for _, l := range out.Charged {
			if !l.End.IsZero() && !now.Before(l.End) {
				facts = append(facts, license.Fact{Code: license.FactReservedEnded, Tag: string(l.Tag), Name: r.Udi, Lot: l.Lot, Count: l.Quantity, Since: l.End})
			}
		}
	}
	return facts
}

// signReservation makes the file of the newest authorization. The same authorization is the same text, and the same bytes until a
// certificate in the chain beside its signature is renewed, as that of a satellite is with every synchronization.
func (a *Authority) signReservation(r *Reservation) error {
	if !r.State.Live() {
		return nil
	}
	key, err := a.codeKey(db.Reservation{AccountID: r.body.Account.ID, ReservationID: r.ID, Secret: r.secret})
	if err != nil {
		return err
	}
	body := r.body
	body.Key = key.Reveal()
	text, err := body.Text()
	if err != nil {
		return err
	}
	h := trust.Header{Kind: wire.KindReservation, Audience: wire.AudienceReservation, Number: int64(body.Version), Chain: a.keys.SignerChain()}
	if r.Authorization, err = a.keys.SealFile(h, text); err != nil {
		return fmt.Errorf("sign authorization: %w", err)
	}
	if len(r.Authorization) > wire.MaxReservation {
		return license.Refuse(license.KindTooLarge, "authorization-too-large", "reserve from fewer lots", "the authorization would have %d bytes, and products read %d", len(r.Authorization), wire.MaxReservation)
	}
	return nil
}

// ManyReservations is the advice for an account that reserves for many products; empty for few.
func (a *Authority) ManyReservations(ctx context.Context, who access.Person, account string) ([]license.Fact, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return nil, err
	}
	var facts []license.Fact
	err = a.read(ctx, "count reservations", func(tx *store.Tx) error {
		live, err := tx.LiveReservations(ctx, id)
		if err != nil {
			return err
		}
		facts = nil
		if len(live) > license.ManyReservations {
			facts = append(facts, license.Fact{Code: license.FactManyReservations, Count: int64(len(live)), Of: license.ManyReservations})
		}
		return nil
	})
	return facts, err
}

// ReservationLeave says which reservations an account may make.
type ReservationLeave struct {
	Specific, Universal bool
}

// ReservationLeave says what an account may reserve: specific reservations unless they were denied, universal ones only with leave.
func (a *Authority) ReservationLeave(ctx context.Context, who access.Person, account string) (ReservationLeave, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return ReservationLeave{}, err
	}
	var out ReservationLeave
	err = a.read(ctx, "read reservation leave", func(tx *store.Tx) error {
		out, err = reservationLeave(ctx, tx, id)
		return err
	})
	return out, err
}

func reservationLeave(ctx context.Context, tx *store.Tx, account string) (ReservationLeave, error) {
	row, err := tx.ReservationLeave(ctx, account)
	if errors.Is(err, store.ErrNoRow) {
		return ReservationLeave{Specific: true}, nil
	}
	return ReservationLeave(row), err
}

// SetReservationLeave says which new reservations an account may make; those that it has stay. It is the business of whoever runs
// the site, not of the account's own administrators.
func (a *Authority) SetReservationLeave(ctx context.Context, who access.Person, account string, leave ReservationLeave) (ReservationLeave, error) {
	id, err := a.scope(ctx, who, access.Run, account)
	if err != nil {
		return leave, err
	}
	return leave, a.write(ctx, who, id, "set reservation leave", func(d *desk) error {
		before, err := reservationLeave(ctx, d.Tx, id)
		if err != nil || before == leave {
			return err
		}
		if err := d.PutReservationLeave(ctx, db.PutReservationLeaveParams{AccountID: id, Specific: leave.Specific, Universal: leave.Universal}); err != nil {
			return err
		}
		_, err = d.record(ctx, "account.reservation-leave", id, map[string]bool{"specific": leave.Specific, "universal": leave.Universal})
		return err
	})
}

func (d *desk) mayReserve(ctx context.Context, kind license.ReservationKind) error {
	leave, err := reservationLeave(ctx, d.Tx, d.account.AccountID)
	switch {
	case err != nil:
		return err
	case kind == license.Universal && !leave.Universal:
		return license.Refuse(license.KindRefused, "universal-not-allowed", "let the administrator of the site allow it: tally account reservation allow --universal",
			"the account %q may not make universal reservations", d.account.Name)
	case kind == license.Specific && !leave.Specific:
		return license.Refuse(license.KindRefused, "reservation-not-allowed", "let the administrator of the site allow it: tally account reservation allow",
			"the account %q may not reserve licenses", d.account.Name)
	}
	return nil
}
