package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// The states of a reservation on the product (smart licensing, section 13.4). An empty state is mode on, and nothing asked.
const (
	ReservationRequested = "REQUESTED"
	ReservationReserved  = "RESERVED"
	// ReservationReturned is frozen: the licenses are given up, and the return code is on its way to the authority.
	ReservationReturned = "RETURNED"
)

// maxEndings is how many codes of ended reservations are kept.
const maxEndings = 50

// reservation is what is kept of the ceremony. It outlives the mode: the numbers never run back (row P9).
type reservation struct {
	Enabled bool `json:"enabled"`
	// Root is the authority that is trusted: told at enabling, else that of the first authorization.
	Root *trust.Fingerprint `json:"root,omitempty"`
	// Sequence is the number of the last request, Gone the highest that was given up: up to it nothing can be installed again.
	Sequence int `json:"sequence"`
	Gone     int `json:"gone"`
	// Request is the code of the request that is open or was answered by the grant.
	Request string `json:"request,omitempty"`
	Grant   *grant `json:"grant,omitempty"`
	// Frozen is between a return and its completion.
	Frozen  bool     `json:"frozen,omitempty"`
	Endings []ending `json:"endings,omitempty"`
	// Lacking is for how long the grant has not covered what is in use.
	Lacking license.Held `json:"lacking,omitzero"`
	// SetBack is when a state came back in which licenses were held that had been given up.
	SetBack time.Time `json:"setBack,omitzero"`
}

// grant is an installed authorization.
type grant struct {
	wire.Reservation
	File         []byte    `json:"file"`
	InstalledAt  time.Time `json:"installedAt"`
	Confirmation string    `json:"confirmation"`
}

// ending is how a request ended and the code that says so to the authority.
type ending struct {
	Sequence  int       `json:"sequence"`
	Version   int       `json:"version"`
	Discarded bool      `json:"discarded,omitempty"`
	Code      string    `json:"code"`
	At        time.Time `json:"at"`
}

// ReservationStatus is what a product shows of its reservation. Its JSON form is a contract. Every code can be shown again.
type ReservationStatus struct {
	// Enabled says that the reservation mode is on; the product cannot register meanwhile.
	Enabled bool `json:"enabled"`
	// State is REQUESTED, RESERVED or RETURNED; empty when nothing is asked for.
	State string `json:"state,omitempty"`
	// Type is SPECIFIC or UNIVERSAL.
	Type string `json:"type,omitempty"`
	// Sequence is the number of the last request, Version that of the installed authorization.
	Sequence int `json:"sequence"`
	Version  int `json:"version,omitempty"`

	RequestCode      string `json:"requestCode,omitempty"`
	ConfirmationCode string `json:"confirmationCode,omitempty"`
	// ReturnCode is the code of a return that is not completed; LastReturnCode the newest of all.
	ReturnCode     string              `json:"returnCode,omitempty"`
	LastReturnCode string              `json:"lastReturnCode,omitempty"`
	Endings        []ReservationEnding `json:"endings,omitempty"`

	// Root is the fingerprint of the authority that is trusted.
	Root           string            `json:"root,omitempty"`
	Account        string            `json:"account,omitempty"`
	VirtualAccount string            `json:"virtualAccount,omitempty"`
	Reservation    string            `json:"reservation,omitempty"`
	InstalledAt    time.Time         `json:"installedAt,omitzero"`
	Licenses       []ReservedLicense `json:"licenses,omitempty"`
}

// ReservationEnding is a request that was given up.
type ReservationEnding struct {
	Sequence  int       `json:"sequence"`
	Version   int       `json:"version"`
	Installed bool      `json:"installed"`
	Code      string    `json:"code"`
	At        time.Time `json:"at"`
}

// ReservedLicense is what a reservation holds of a tag beside what is in use.
type ReservedLicense struct {
	Tag      string `json:"tag"`
	Name     string `json:"name,omitempty"`
	Reserved int64  `json:"reserved"`
	Used     int64  `json:"used"`
	Missing  int64  `json:"missing,omitempty"`
	Ended    int64  `json:"ended,omitempty"`
	// Ends is the next end of what counts now.
	Ends time.Time `json:"ends,omitzero"`
}

// held is the reservation as it is kept, never nil.
func (st *state) held() *reservation {
	if st.Reservation == nil {
		st.Reservation = &reservation{}
	}
	return st.Reservation
}

// reserved is the installed authorization; nil when there is none.
func (st *state) reserved() *grant {
	if st.Reservation == nil {
		return nil
	}
	return st.Reservation.Grant
}

// reservationMode says whether the product holds licenses by codes.
func (st *state) reservationMode() bool { return st.Reservation != nil && st.Reservation.Enabled }

// cover compares the grant with what is in use.
func (st *state) cover() (rows []license.Cover, covered bool) {
	g := st.reserved()
	return license.CoverUse(g.Kind, g.Lots, st.Usage, st.Clock.Now())
}

// tickReservation counts for how long the grant has not covered the use.
func (st *state) tickReservation(wall time.Time, passed, ran time.Duration) {
	if st.reserved() == nil {
		return
	}
	r := *st.Reservation // decisions share what they were taken from
	switch _, covered := st.cover(); {
	case covered:
		r.Lacking = license.Held{}
	case r.Lacking.Since.IsZero():
		r.Lacking.Since = wall
	default:
		r.Lacking = r.Lacking.Add(passed, ran)
	}
	st.Reservation = &r
}

// stands adds to a standing what the rules need to know of the reservation.
func (st *state) stands(s *license.Standing) {
	g := st.reserved()
	if g == nil {
		return
	}
	_, covered := st.cover()
	s.Reserved, s.Universal, s.Uncovered, s.Lacking = true, g.Kind == license.Universal, !covered, st.Reservation.Lacking
}

// ceremony changes the reservation and shows it as it is then. What it decides is saved before anybody sees a code.
func (a *Agent) ceremony(ctx context.Context, change func(st *state, r *reservation, now time.Time) error) (ReservationStatus, error) {
	var shown ReservationStatus
	err := a.update(ctx, func(st *state, now time.Time) error {
		if err := st.alone(); err != nil {
			return err
		}
		if err := change(st, st.held(), now); err != nil {
			return err
		}
		shown = *st.showReservation()
		return nil
	})
	return shown, err
}

func (r *reservation) on() error {
	if r.Enabled {
		return nil
	}
	return license.Refuse(license.KindRefused, "reservation-off", "turn it on: tally-agent license smart reservation enable", "the reservation mode is off")
}

func (r *reservation) state() string {
	switch {
	case r.Frozen:
		return ReservationReturned
	case r.Grant != nil:
		return ReservationReserved
	case r.Request != "":
		return ReservationRequested
	}
	return ""
}

// EnableReservation turns the reservation mode on (row P1). The product must not be registered. With a root, the fingerprint of
// an authority's root certificate, authorizations of no other are taken; without one, the first authorization decides.
func (a *Agent) EnableReservation(ctx context.Context, root string) (ReservationStatus, error) {
	var pin *trust.Fingerprint
	if root != "" {
		f, err := trust.ParseFingerprint(root)
		if err != nil {
			return ReservationStatus{}, license.Refuse(license.KindInvalid, "bad-root", "copy the 64 digits that the authority shows", "this is no fingerprint of a root certificate: %v", err)
		}
		pin = &f
	}
	return a.ceremony(ctx, func(st *state, r *reservation, _ time.Time) error {
		switch {
		case r.Enabled:
			return license.Refuse(license.KindConflict, "reservation-on", "go on with reservation request; reservation show says where it stands", "the reservation mode is on already")
		case st.Identity != nil || st.Asked != nil:
			return license.Refuse(license.KindConflict, "registered", "deregister it first: tally-agent license smart deregister; a registration that is being tried is ended with register cancel",
				"the product is registered or is being registered; it either reports or holds a reservation")
		}
		r.Enabled, st.Unknown = true, false
		if pin != nil {
			r.Root = pin
		}
		return nil
	})
}

// DisableReservation turns the mode off (row P9). The numbers stay.
func (a *Agent) DisableReservation(ctx context.Context) (ReservationStatus, error) {
	return a.ceremony(ctx, func(_ *state, r *reservation, _ time.Time) error {
		switch r.state() {
		case ReservationReserved:
			return license.Refuse(license.KindConflict, "reserved", "give the licenses up first: tally-agent license smart reservation return", "the product holds a reservation")
		case ReservationRequested:
			return license.Refuse(license.KindConflict, "request-open", "cancel it first: tally-agent license smart reservation cancel", "a request code was made and is not canceled")
		}
		r.Enabled, r.Frozen, r.Root = false, false, nil
		return nil
	})
}

// RequestReservation makes a request code, or shows the one that is open (row P2). Its number is above the last one and above
// the given one, which the authority names when it has seen a higher number than the product remembers.
func (a *Agent) RequestReservation(ctx context.Context, above int) (ReservationStatus, error) {
	return a.ceremony(ctx, func(st *state, r *reservation, _ time.Time) error {
		if err := r.on(); err != nil {
			return err
		}
		switch r.state() {
		case ReservationReserved:
			return license.Refuse(license.KindConflict, "reserved", "change it at the authority with tally reservation update, or return it first", "the product holds a reservation already")
		case ReservationRequested:
			if above < r.Sequence {
				return nil
			}
			return license.Refuse(license.KindConflict, "request-open", "cancel it first: tally-agent license smart reservation cancel", "request %d is open", r.Sequence)
		}
		next := max(r.Sequence, r.Gone, above) + 1
		code, err := trust.NewRequestCode(st.Product.UDI(), next)
		if err != nil {
			return license.Refuse(license.KindRefused, "requests-used-up", "give the product another serial number", "no request code can be made any more: %v", err)
		}
		r.Sequence, r.Request, r.Frozen = next, code.String(), false
		return nil
	})
}

// CancelReservation forgets a request that was not answered (row P3). An authorization that the authority has made for it is given
// back with ReturnAuthorization. Without a request nothing happens.
func (a *Agent) CancelReservation(ctx context.Context) (ReservationStatus, error) {
	return a.ceremony(ctx, func(_ *state, r *reservation, _ time.Time) error {
		if r.state() == ReservationReserved {
			return license.Refuse(license.KindConflict, "reserved", "give the licenses up: tally-agent license smart reservation return", "the request was answered and its authorization is installed")
		}
		r.Request = ""
		return nil
	})
}

// InstallReservation installs an authorization: the text of its file, its line, or its frames (rows P4 to P6). The product then
// holds what it says, and nothing of what another version said. A refusal changes nothing and says which check failed.
func (a *Agent) InstallReservation(ctx context.Context, text []byte) (ReservationStatus, error) {
	return a.ceremony(ctx, func(st *state, r *reservation, now time.Time) error {
		if err := r.on(); err != nil {
			return err
		}
		if r.Frozen {
			return license.Refuse(license.KindConflict, "return-open", "finish the return: tally-agent license smart reservation return complete", "the licenses were given up, and the return is not completed")
		}
		g, root, err := st.openReservation(text)
		if err != nil {
			return err
		}
		if err := r.fits(g, st.Clock.Now()); err != nil {
			return err
		}
		key, err := trust.ParseCodeKey(g.Key)
		if err != nil {
			return license.Refuse(license.KindInvalid, "authorization-unreadable", "make it again at the authority", "the authorization has no usable key: %v", err)
		}
		code, err := key.Sign(trust.CodeConfirmation, st.Product.UDI(), g.Sequence, g.Version)
		if err != nil {
			return fmt.Errorf("make confirmation code: %w", err)
		}
		g.Confirmation, g.InstalledAt = code.String(), now
		st.giveUp()
		r.Grant, r.Root, r.Lacking = g, &root, license.Held{}
		return nil
	})
}

// openReservation verifies an authorization and that it is for this product.
func (st *state) openReservation(text []byte) (*grant, trust.Fingerprint, error) {
	file, err := wire.CarriedReservation(text)
	if err != nil {
		return nil, trust.Fingerprint{}, err
	}
	h, err := trust.PeekFile(file, wire.MaxReservation)
	if err != nil || len(h.Chain) == 0 {
		return nil, trust.Fingerprint{}, badAuthorization(errors.Join(err, errNoChain(h)))
	}
	root := trust.Of(h.Chain[len(h.Chain)-1])
	if pin := st.held().Root; pin != nil && *pin != root {
		return nil, root, license.Refuse(license.KindRefused, "authorization-other-authority", "get the authorization from the authority whose root this product was told, or disable and enable the mode anew",
			"the authorization is signed below the root %s; this product trusts %s", root, *pin)
	}
	pins := st.held().pins()
	pins.Root = root
	e, err := trust.OpenAuthorityFile(file, []string{wire.KindReservation}, wire.AudienceReservation, pins, st.Clock.Now())
	if no, ok := errors.AsType[*trust.OtherDeskError](err); ok {
		refused := license.Refuse(license.KindRefused, "authorization-other-desk", "change the reservation where it was made, or return it there first",
			"the authorization is of %s, and the one that is installed of %s", no.Signed, no.Pinned)
		if no.Replaced {
			refused = license.Refuse(license.KindRefused, "authorization-replaced-keys", "take it again from the authority: tally reservation show", "the authorization is signed with keys of %s that have been replaced since", no.Signed)
		}
		return nil, root, refused
	}
	if err != nil && !errors.Is(err, trust.ErrExpired) { // an old certificate takes no license away
		return nil, root, badAuthorization(err)
	}
	r, err := wire.ParseReservation(e.Payload)
	if err != nil {
		return nil, root, err
	}
	if r.UDI() != st.Product.UDI() {
		return nil, root, license.Refuse(license.KindConflict, "authorization-other-product", "install it on that product", "the authorization is for the product %s; this one is %s", r.UDI(), st.Product.UDI())
	}
	return &grant{Reservation: r, File: file}, root, nil
}

// pins say whose authorizations are taken: while one is installed those of the desk that made it, the authority itself or one of
// its satellites, or of the one that has taken its place; else those of any below the trusted root.
func (r *reservation) pins() trust.Pins {
	p := trust.Pins{Site: trust.AnySite, MaxBytes: wire.MaxReservation}
	if r.Grant == nil {
		return p
	}
	h, err := trust.PeekFile(r.Grant.File, wire.MaxReservation)
	if err != nil {
		return p // a state that was made again from what is left has no file; its request number and UDI still bind it
	}
	p.Last, p.Account = h.Chain, r.Grant.Account.ID
	return p
}

func errNoChain(h trust.Header) error {
	if len(h.Chain) == 0 {
		return errors.New("it carries no certificates")
	}
	return nil
}

// badAuthorization says why the bytes are not an authority's.
func badAuthorization(err error) error {
	switch {
	case errors.Is(err, trust.ErrCutOff):
		return license.Refuse(license.KindInvalid, "authorization-cut-off", "copy the whole file again", "the authorization is cut off: its end is missing")
	case errors.Is(err, trust.ErrSignature), errors.Is(err, trust.ErrChain), errors.Is(err, trust.ErrKey):
		return license.Refuse(license.KindRefused, "authorization-signature", "copy it again from the authority; nothing in it may be changed", "the signature of the authorization does not fit: it was altered, or no authority made it")
	case errors.Is(err, trust.ErrKind), errors.Is(err, trust.ErrAudience):
		return license.Refuse(license.KindInvalid, "authorization-kind", "take the file of tally reservation create", "the file is signed by an authority, but is no authorization of a reservation")
	}
	return license.Refuse(license.KindInvalid, "authorization-unreadable", "copy it again from the authority", "the authorization cannot be read: %v", err)
}

// fits checks an authorization against the request and what is installed.
func (r *reservation) fits(g *grant, now time.Time) error {
	if e := r.ending(g.Sequence); e != nil || g.Sequence <= r.Gone {
		return license.Refuse(license.KindConflict, "authorization-given-up", "make a new request: tally-agent license smart reservation request",
			"the authorization answers request %d, which this product has given up; it can never be installed again", g.Sequence)
	}
	switch {
	case g.Sequence > r.Sequence:
		return license.Refuse(license.KindConflict, "authorization-sequence", "give it back with reservation return-authorization, then make a request",
			"the authorization answers request %d, and this product remembers %d requests: its state was lost or set back", g.Sequence, r.Sequence)
	case g.Sequence < r.Sequence:
		return license.Refuse(license.KindConflict, "authorization-sequence", "enter the newest request code at the authority; this authorization is given back with reservation return-authorization",
			"the authorization answers request %d, and the newest request is %d", g.Sequence, r.Sequence)
	case r.Grant == nil && r.Request == "":
		return license.Refuse(license.KindConflict, "request-canceled", "give it back: tally-agent license smart reservation return-authorization", "the authorization answers a request that was canceled")
	case r.Request != g.Request+"@"+g.UDI():
		return license.Refuse(license.KindConflict, "authorization-sequence", "cancel the request, give this authorization back with reservation return-authorization, and request again",
			"the authorization answers another request with the number %d: the state of this product was set back", g.Sequence)
	case r.Grant != nil && g.Version == r.Grant.Version:
		return license.Refuse(license.KindConflict, "already-installed", "its confirmation code is "+r.Grant.Confirmation, "version %d of this authorization is installed already", g.Version)
	case r.Grant != nil && g.Version < r.Grant.Version:
		return license.Refuse(license.KindConflict, "authorization-old", "take the newest from the authority: tally reservation show", "this is version %d, and version %d is installed", g.Version, r.Grant.Version)
	}
	if g.Kind == license.Specific && !slices.ContainsFunc(g.Lots, func(l license.ReservedLot) bool { return l.End.IsZero() || now.Before(l.End) }) {
		return license.Refuse(license.KindRefused, "authorization-expired", "update the reservation at the authority", "the terms of all licenses in this authorization are over")
	}
	return nil
}

func (r *reservation) ending(sequence int) *ending {
	for i := range r.Endings {
		if r.Endings[i].Sequence == sequence {
			return &r.Endings[i]
		}
	}
	return nil
}

// end gives a request up for ever and keeps the code that proves it.
func (r *reservation) end(g *grant, udi string, kind trust.CodeKind, now time.Time) error {
	key, err := trust.ParseCodeKey(g.Key)
	if err != nil {
		return license.Refuse(license.KindInvalid, "authorization-unreadable", "make it again at the authority", "the authorization has no usable key: %v", err)
	}
	code, err := key.Sign(kind, udi, g.Sequence, g.Version)
	if err != nil {
		return fmt.Errorf("make return code: %w", err)
	}
	r.Endings = append(r.Endings, ending{Sequence: g.Sequence, Version: g.Version, Discarded: kind == trust.CodeDiscard, Code: code.String(), At: now})
	r.Endings = r.Endings[max(0, len(r.Endings)-maxEndings):]
	r.Sequence, r.Gone = max(r.Sequence, g.Sequence), max(r.Gone, g.Sequence)
	return nil
}

// ReturnReservation gives the licenses up and makes the return code (row P7): the use is zero before anybody sees the code. The
// product is frozen until CompleteReturn, and shows the same code when it is asked again.
func (a *Agent) ReturnReservation(ctx context.Context) (ReservationStatus, error) {
	return a.ceremony(ctx, func(st *state, r *reservation, now time.Time) error {
		switch r.state() {
		case ReservationReturned:
			return nil
		case ReservationReserved:
		default:
			return license.Refuse(license.KindConflict, "not-reserved", "an authorization that was never installed is given back with reservation return-authorization",
				"the product holds no reservation; reservation show shows the last return code")
		}
		if err := r.end(r.Grant, st.Product.UDI(), trust.CodeReturn, now); err != nil {
			return err
		}
		r.Grant, r.Request, r.Frozen, r.Lacking = nil, "", true, license.Held{}
		st.Usage = nil
		return nil
	})
}

// CompleteReturn ends the freeze, once the return code is at the authority. Without one nothing happens.
func (a *Agent) CompleteReturn(ctx context.Context) (ReservationStatus, error) {
	return a.ceremony(ctx, func(_ *state, r *reservation, _ time.Time) error {
		switch r.state() {
		case ReservationReserved:
			return license.Refuse(license.KindConflict, "not-returned", "give the licenses up first: tally-agent license smart reservation return", "the product holds its reservation")
		case ReservationReturned:
			r.Frozen = false
		}
		return nil
	})
}

// ReturnAuthorization turns an authorization that was never installed into a return code (row P8). It can never be installed
// afterwards. The same authorization gives the same code.
func (a *Agent) ReturnAuthorization(ctx context.Context, text []byte) (ReservationStatus, string, error) {
	code := ""
	shown, err := a.ceremony(ctx, func(st *state, r *reservation, now time.Time) error {
		if err := r.on(); err != nil {
			return err
		}
		g, root, err := st.openReservation(text)
		if err != nil {
			return err
		}
		if e := r.ending(g.Sequence); e != nil && e.Discarded {
			code = e.Code
			return nil
		} else if e != nil {
			return license.Refuse(license.KindConflict, "authorization-installed", "enter its return code at the authority: "+e.Code, "the authorization of request %d was installed and returned on %s",
				g.Sequence, e.At.Format(time.DateOnly))
		}
		switch r.state() {
		case ReservationReserved:
			return license.Refuse(license.KindConflict, "reserved", "install the update, or give everything up with reservation return", "the product holds the reservation of request %d", r.Sequence)
		case ReservationRequested:
			return license.Refuse(license.KindConflict, "request-open", "cancel it first: tally-agent license smart reservation cancel", "request %d is open", r.Sequence)
		case ReservationReturned:
			return license.Refuse(license.KindConflict, "return-open", "finish the return: tally-agent license smart reservation return complete", "a return is not completed")
		}
		if err := r.end(g, st.Product.UDI(), trust.CodeDiscard, now); err != nil {
			return err
		}
		r.Root = &root
		code = r.Endings[len(r.Endings)-1].Code
		return nil
	})
	return shown, code, err
}
