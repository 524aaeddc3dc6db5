package license

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// ReservationKind says what a reservation covers.
type ReservationKind string

// The kinds. A universal reservation covers every use of its product and takes nothing from a pool; an account needs leave
// for it.
const (
	Specific  ReservationKind = "SPECIFIC"
	Universal ReservationKind = "UNIVERSAL"
)

// ReservationState is where the ceremony of a reservation stands at the authority (smart licensing, section 13.5).
type ReservationState string

// The states.
const (
	ReservationIssued      ReservationState = "ISSUED"      // authorized; nothing says that the product has installed it
	ReservationConfirmed   ReservationState = "CONFIRMED"   // the newest version is installed
	ReservationInTransit   ReservationState = "IN_TRANSIT"  // an update is authorized and not confirmed
	ReservationReturned    ReservationState = "RETURNED"    // the product has proved that it gave the licenses up
	ReservationQuarantined ReservationState = "QUARANTINED" // its product is dead; another product has its licenses
	ReservationReleased    ReservationState = "RELEASED"    // quarantined once; an administrator answers for it
)

// Live says whether the reservation holds licenses.
func (s ReservationState) Live() bool {
	return s == ReservationIssued || s == ReservationConfirmed || s == ReservationInTransit
}

const (
	// ManyReservations is how many reserved products an account has before a satellite is less work (smart licensing, 6.3).
	ManyReservations = 30
	// MaxQuarantined is how many dead products a virtual account may have whose licenses moved on without a return code: each
	// may still use what it had, and nothing could tell.
	MaxQuarantined = 5
	// MaxReservedLots bounds one reservation, so that its authorization stays a small file.
	MaxReservedLots = 100
)

// ReservedLot is the part of one lot that a reservation holds. A zero End never comes.
type ReservedLot struct {
	Lot          string    `json:"lot"`
	Tag          Tag       `json:"tag"`
	Name         string    `json:"name,omitempty"`
	Quantity     int64     `json:"quantity"`
	Type         LotType   `json:"type"`
	Start        time.Time `json:"start"`
	End          time.Time `json:"end,omitzero"`
	Subscription string    `json:"subscription,omitempty"`
}

// Counts says whether the lot is valid at now, like Lot.Counts.
func (l ReservedLot) Counts(now time.Time) bool { return Lot{Start: l.Start, End: l.End}.Counts(now) }

// Reservation is what the rules of the ceremony need to know of one.
type Reservation struct {
	State ReservationState
	// Version is the newest authorization that was issued, from 1; Confirmed the newest that a code has confirmed, 0 for none.
	Version   int
	Confirmed int
}

// Update says whether another authorization may be issued (rows Q3 and Q5).
func (r Reservation) Update() error {
	switch {
	case r.State == ReservationInTransit:
		return Refuse(KindConflict, "reservation-in-transit", "install the update that was issued and enter its confirmation code; `tally reservation show` prints it again",
			"version %d of this reservation waits for its confirmation code, so it cannot be changed again", r.Version)
	case !r.State.Live():
		return ended(r.State)
	case r.Version >= 1023:
		return Refuse(KindRefused, "too-many-updates", "return the reservation and make a new one", "this reservation was updated 1022 times, which is all that codes can count")
	}
	return nil
}

func ended(s ReservationState) *Error {
	e := Refuse(KindConflict, "reservation-ended", "make a new request code on the product", "this reservation holds nothing any more: it is %s", s)
	if s == ReservationQuarantined {
		e.Hint = "enter the return code of the old product, or release it, before it gets a new reservation"
	}
	return e
}

// Confirm takes the confirmation code of a version (rows Q2, Q4 and Q9). Done says that nothing is left to confirm, so that what
// the reservation gave up is free; repeated, that the code was entered before.
func (r Reservation) Confirm(version int) (next Reservation, repeated bool, err error) {
	switch {
	case !r.State.Live():
		return r, false, ended(r.State)
	case version > r.Version:
		return r, false, Refuse(KindConflict, "code-ahead", "restore the newest backup, or rehost the product",
			"the code confirms version %d, and only version %d was issued here: this server was restored from an older backup", version, r.Version)
	case version == r.Version && r.Confirmed == r.Version:
		return r, true, nil
	case version == r.Version:
		r.State, r.Confirmed = ReservationConfirmed, version
		return r, false, nil
	case version > r.Confirmed: // the code of the version before the update, which nobody had entered
		r.Confirmed = version
		return r, false, nil
	}
	return r, false, Refuse(KindConflict, "code-old", "install the newest authorization on the product and enter the code that it shows then",
		"this is the confirmation code of version %d, which was confirmed before; version %d waits for its own", version, r.Version)
}

// GiveUp takes a return code, or the code of an authorization that was never installed (row Q6). A reservation that is returned
// already stays so; the caller tells a repeated code from another one.
func (r Reservation) GiveUp() (next Reservation, repeated bool) {
	if r.State == ReservationReturned || r.State == ReservationReleased {
		return r, true
	}
	r.State = ReservationReturned
	return r, false
}

// Rehost says whether the licenses of a dead product may go to another one (row Q7).
func (r Reservation) Rehost() error {
	switch {
	case r.State == ReservationReturned:
		return Refuse(KindConflict, "return-complete", "reserve the licenses for the new product with its request code", "the old product has returned its licenses; there is nothing to move")
	case r.State == ReservationInTransit:
		return Refuse(KindConflict, "reservation-in-transit", "enter the confirmation code if there is one; otherwise wait for the product or return its licenses",
			"an update of this reservation is under way, so it is not known what the old product holds")
	case !r.State.Live():
		return ended(r.State)
	}
	return nil
}

// Release says whether an administrator may answer for a quarantined product (row Q7).
func (r Reservation) Release() (next Reservation, repeated bool, err error) {
	switch r.State {
	case ReservationReleased, ReservationReturned:
		return r, true, nil
	case ReservationQuarantined:
		r.State = ReservationReleased
		return r, false, nil
	}
	return r, false, Refuse(KindConflict, "not-quarantined", "enter the return code of the product", "this reservation is %s; only a quarantined one can be released", r.State)
}

// PlanReservation chooses the lots of a reservation that is to hold the wanted quantities, all or nothing: what it holds already
// stays, the longest-dated first; more comes from the lots of the pool that count now, the longest-dated first, up to what the
// compliance rule calls available (reservations never borrow, rule 11); what has ended is left behind. A tag that is not wanted is
// given up. The result is ordered by tag and then by end, the longest-dated first.
func PlanReservation(old []ReservedLot, want map[Tag]int64, pool []ReservedLot, available map[Tag]int64, now time.Time) ([]ReservedLot, error) {
	var next []ReservedLot
	for _, tag := range slices.Sorted(maps.Keys(want)) {
		kept, rest := take(nil, old, tag, want[tag], now)
		if rest > available[tag] {
			return nil, Refuse(KindRefused, "not-available", "order more, transfer licenses here, or reserve fewer; `tally license list` says who uses them",
				"%d more of %s were asked for, and %d are available in this virtual account", rest, tag, available[tag])
		}
		if kept, rest = take(kept, pool, tag, rest, now); rest > 0 {
			return nil, Refuse(KindRefused, "not-available", "wait until a product gives some back, or order more",
				"%d of %s are missing in the lots that count now", rest, tag)
		}
		next = append(next, kept...)
	}
	if len(next) > MaxReservedLots {
		return nil, Refuse(KindTooLarge, "too-many-lots", "reserve less, or in several products", "the reservation would hold parts of %d lots; %d is the most", len(next), MaxReservedLots)
	}
	return next, nil
}

// take adds n of a tag from lots to chosen and returns what is missing.
func take(chosen, lots []ReservedLot, tag Tag, n int64, now time.Time) ([]ReservedLot, int64) {
	lots = slices.DeleteFunc(slices.Clone(lots), func(l ReservedLot) bool { return l.Tag != tag || !l.Counts(now) })
	slices.SortStableFunc(lots, longestFirst)
	for _, l := range lots {
		q := min(n, l.Quantity)
		if q == 0 {
			continue
		}
		n -= q
		l.Quantity = q
		if i := slices.IndexFunc(chosen, func(c ReservedLot) bool { return c.Lot == l.Lot }); i >= 0 {
			chosen[i].Quantity += q
		} else {
			chosen = append(chosen, l)
		}
	}
	slices.SortStableFunc(chosen, longestFirst)
	return chosen, n
}

// longestFirst orders lots by their end; one without an end is the longest-dated of all.
func longestFirst(a, b ReservedLot) int {
	switch {
	case a.End.Equal(b.End):
		return cmp.Compare(a.Lot, b.Lot)
	case a.End.IsZero():
		return -1
	case b.End.IsZero():
		return 1
	}
	return b.End.Compare(a.End)
}

// InTransit is what a reservation is charged between an update and its confirmation: for every lot the larger of before and after
// (row Q3). With the plan of PlanReservation that is the larger quantity for every tag as well.
func InTransit(before, after []ReservedLot) []ReservedLot {
	charged := slices.Clone(after)
	for _, l := range before {
		i := slices.IndexFunc(charged, func(c ReservedLot) bool { return c.Lot == l.Lot })
		if i < 0 {
			charged = append(charged, l)
			continue
		}
		charged[i].Quantity = max(charged[i].Quantity, l.Quantity)
	}
	slices.SortStableFunc(charged, func(a, b ReservedLot) int { return cmp.Or(cmp.Compare(a.Tag, b.Tag), longestFirst(a, b)) })
	return charged
}

// Less is what the lots of before hold and those of after do not.
func Less(before, after []ReservedLot) []ReservedLot {
	var out []ReservedLot
	for _, l := range before {
		for _, a := range after {
			if a.Lot == l.Lot {
				l.Quantity -= a.Quantity
			}
		}
		if l.Quantity > 0 {
			out = append(out, l)
		}
	}
	return out
}

// TagSums adds lots up by tag. With a time, only those that count then.
func TagSums(lots []ReservedLot, now time.Time) map[Tag]int64 {
	sums := map[Tag]int64{}
	for _, l := range lots {
		if now.IsZero() || l.Counts(now) {
			sums[l.Tag] += l.Quantity
		}
	}
	return sums
}

// Cover is how a reservation stands beside what its product uses.
type Cover struct {
	Tag Tag
	// Used is what the product uses, Reserved what the reservation holds of it now; Universal reservations hold any number.
	Used, Reserved int64
	// Missing is what is used and not reserved.
	Missing int64
	// Ended is what the reservation held in lots whose term is over.
	Ended int64
	// Ends is the next end of a lot that counts now; zero when none ends.
	Ends time.Time
}

// CoverUse compares what a product uses with what its reservation holds at now (rows A9 and A10). It is the one place where that
// is decided: what the product shows and what a product policy asks come from it. The rows are all tags that are used or reserved,
// ordered by tag; covered says that none is missing.
func CoverUse(kind ReservationKind, lots []ReservedLot, usage map[Tag]int64, now time.Time) (rows []Cover, covered bool) {
	of := map[Tag]*Cover{}
	row := func(tag Tag) *Cover {
		if of[tag] == nil {
			of[tag] = &Cover{Tag: tag}
		}
		return of[tag]
	}
	for tag, n := range usage {
		if n > 0 {
			row(tag).Used = n
		}
	}
	for _, l := range lots {
		c := row(l.Tag)
		switch {
		case l.Counts(now):
			c.Reserved += l.Quantity
			if !l.End.IsZero() && (c.Ends.IsZero() || l.End.Before(c.Ends)) {
				c.Ends = l.End
			}
		case !now.Before(l.Start):
			c.Ended += l.Quantity
		}
	}
	covered = true
	for _, tag := range slices.Sorted(maps.Keys(of)) {
		c := of[tag]
		if kind != Universal {
			c.Missing = max(0, c.Used-c.Reserved)
		}
		covered = covered && c.Missing == 0
		rows = append(rows, *c)
	}
	return rows, covered
}
