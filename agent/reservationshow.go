package agent

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// showReservation is the reservation as people see it; nil when there never was one.
func (st *state) showReservation() *ReservationStatus {
	r := st.Reservation
	if r == nil {
		return nil
	}
	s := &ReservationStatus{Enabled: r.Enabled, State: r.state(), Sequence: r.Sequence, RequestCode: r.Request}
	if r.Root != nil {
		s.Root = r.Root.String()
	}
	for _, e := range r.Endings {
		s.Endings = append(s.Endings, ReservationEnding{Sequence: e.Sequence, Version: e.Version, Installed: !e.Discarded, Code: e.Code, At: e.At})
		s.LastReturnCode = e.Code
	}
	if r.Frozen {
		s.ReturnCode = s.LastReturnCode
	}
	g := r.Grant
	if g == nil {
		return s
	}
	s.Type, s.Version, s.ConfirmationCode, s.Account, s.VirtualAccount = string(g.Kind), g.Version, g.Confirmation, g.Account.Name, g.VirtualAccount.Name
	s.Reservation, s.InstalledAt = g.Reservation.Reservation, g.InstalledAt
	rows, _ := st.cover()
	for _, c := range rows {
		l := ReservedLicense{Tag: string(c.Tag), Reserved: c.Reserved, Used: c.Used, Missing: c.Missing, Ended: c.Ended, Ends: c.Ends}
		for _, lot := range g.Lots {
			if lot.Tag == c.Tag {
				l.Name = oneLine(lot.Name)
			}
		}
		s.Licenses = append(s.Licenses, l)
	}
	return s
}

// reservedLicense is how one tag stands beside the grant.
func (st *state) reservedLicense(tag license.Tag) (name string, entitled, shortage int64, status string) {
	rows, _ := st.cover()
	for _, lot := range st.reserved().Lots {
		if lot.Tag == tag {
			name = oneLine(lot.Name)
		}
	}
	status = string(license.StatusReserved)
	for _, c := range rows {
		if c.Tag != tag {
			continue
		}
		if entitled, shortage = c.Reserved, c.Missing; shortage > 0 {
			status = string(license.StatusNotReserved)
		}
	}
	return name, entitled, shortage, status
}

// reservationFindings are what to look at of a reservation.
func (st *state) reservationFindings(add func(code string, since time.Time, next, sentence string, args ...any)) {
	r := st.Reservation
	if r == nil {
		return
	}
	if !r.SetBack.IsZero() {
		add("reservation-set-back", r.SetBack, "Look at the snapshots of this host, and make a new request: tally-agent license smart reservation request",
			"The state of this product was set back to one in which it held licenses that it had given up. They were dropped.")
	}
	if r.Frozen {
		add("reservation-return-open", r.Endings[len(r.Endings)-1].At, "Enter the return code at the authority, then: tally-agent license smart reservation return complete",
			"The licenses were given up; the return code is %s.", r.Endings[len(r.Endings)-1].Code)
	}
	if r.Grant == nil {
		return
	}
	rows, _ := st.cover()
	for _, c := range rows {
		if c.Missing > 0 {
			add("reservation-lacking", r.Lacking.Since, "Update the reservation at the authority and install the new authorization, or use less.",
				"%d of %s are in use and %d are reserved.", c.Used, c.Tag, c.Reserved)
		}
		if days, soon := expiring(c.Ends.Sub(st.Clock.Now())); soon && !c.Ends.IsZero() {
			add("reservation-ending", time.Time{}, "Order more and update the reservation at the authority.",
				"Reserved licenses of %s end on %s, in less than %d days.", c.Tag, c.Ends.UTC().Format("2006-01-02 15:04 UTC"), days)
		}
	}
}

// ReservationStatus says where the reservation stands, with every code of it.
func (a *Agent) ReservationStatus(ctx context.Context) (ReservationStatus, error) {
	s, err := a.Status(ctx)
	if err != nil || s.Reservation == nil {
		return ReservationStatus{}, err
	}
	return *s.Reservation, nil
}

// rememberReservation takes over the numbers that an anchor knows. A grant that was given up, and is there again because the state
// was set back, is dropped: its licenses are others' now (domain rule 43). It was an act of the product's own administrator.
func (st *state) rememberReservation(sequence, gone int) {
	if sequence == 0 && gone == 0 {
		return
	}
	r := *st.held() // decisions share what they were taken from
	r.Sequence, r.Gone = max(r.Sequence, sequence), max(r.Gone, gone)
	if r.Grant != nil && r.Grant.Sequence <= r.Gone {
		r.Grant, r.Request, r.Lacking, r.SetBack = nil, "", license.Held{}, st.Clock.Wall
	}
	st.Reservation = &r
}
