package local

import (
	"context"
	"net/http"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

// reservationRoutes are the steps of the ceremony by codes, for products without a connection.
func (f *Face) reservationRoutes() []route {
	const reservation = "/v1/reservation"
	return []route{
		{"GET", reservation, f.reservation},
		{"POST", reservation + "/enable", f.enableReservation},
		{"POST", reservation + "/disable", step(f.Agent.DisableReservation)},
		{"POST", reservation + "/request", f.requestReservation},
		{"POST", reservation + "/cancel", step(f.Agent.CancelReservation)},
		{"POST", reservation + "/install", f.installReservation},
		{"POST", reservation + "/return", step(f.Agent.ReturnReservation)},
		{"POST", reservation + "/return/complete", step(f.Agent.CompleteReturn)},
		{"POST", reservation + "/return-authorization", f.returnAuthorization},

		{"PUT", small + "/licensing/reservation/mode", smallAnswer(f.smallMode)},
		{"POST", small + "/licensing/reservation/request", smallAnswer(f.smallRequest)},
		{"POST", small + "/licensing/reservation/complete", smallAnswer(f.smallComplete)},
		{"DELETE", small + "/licensing/reservation/cancel", smallAnswer(f.smallCancel)},
		{"DELETE", small + "/licensing/reservation/release", smallAnswer(f.smallRelease)},
		{"POST", small + "/licensing/reservation/discard", smallAnswer(f.smallDiscard)},
		{"GET", small + "/licensing/reservation/confirmation_code", smallAnswer(f.smallConfirmation)},
		{"DELETE", small + "/licensing/reservation/confirmation_code", smallAnswer(f.smallHideConfirmation)},
		{"GET", small + "/licensing/reservation/return_code", smallAnswer(f.smallReturnCode)},
		{"DELETE", small + "/licensing/reservation/return_code", smallAnswer(f.smallCompleteReturn)},
	}
}

// step serves a verb that takes nothing.
func step(verb func(context.Context) (agent.ReservationStatus, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		s, err := verb(r.Context())
		return reply(w, s, err)
	}
}

// maxAuthorization bounds an authorization in bytes, as text inside a document.
const maxAuthorization = 64 << 10

func (f *Face) reservation(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.ReservationStatus(r.Context())
	return reply(w, s, err)
}

func (f *Face) enableReservation(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Root string `json:"root"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	s, err := f.Agent.EnableReservation(r.Context(), body.Root)
	return reply(w, s, err)
}

func (f *Face) requestReservation(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Above int `json:"above"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	s, err := f.Agent.RequestReservation(r.Context(), body.Above)
	return reply(w, s, err)
}

// authorization reads the text of an authorization out of a document.
func authorization(r *http.Request) ([]byte, error) {
	var body struct {
		Authorization string `json:"authorization"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	return boundedAuthorization(body.Authorization)
}

func boundedAuthorization(text string) ([]byte, error) {
	if text == "" || len(text) > maxAuthorization {
		return nil, license.Refuse(license.KindInvalid, "malformed", "give the whole text of the authorization", "the authorization is missing or longer than %d bytes", maxAuthorization)
	}
	return []byte(text), nil
}

func (f *Face) installReservation(w http.ResponseWriter, r *http.Request) error {
	text, err := authorization(r)
	if err != nil {
		return err
	}
	s, err := f.Agent.InstallReservation(r.Context(), text)
	return reply(w, s, err)
}

func (f *Face) returnAuthorization(w http.ResponseWriter, r *http.Request) error {
	text, err := authorization(r)
	if err != nil {
		return err
	}
	s, code, err := f.Agent.ReturnAuthorization(r.Context(), text)
	return reply(w, struct {
		agent.ReservationStatus
		Code string `json:"code"`
	}{s, code}, err)
}

// The same in the small interface: its callers take a code as a JSON string.

func (f *Face) smallMode(w http.ResponseWriter, r *http.Request) error {
	var on bool
	if err := readExactly(r, &on); err != nil {
		return err
	}
	var err error
	if on {
		_, err = f.Agent.EnableReservation(r.Context(), "")
	} else {
		s, statusErr := f.Agent.ReservationStatus(r.Context())
		if statusErr == nil && !s.Enabled {
			return license.Refuse(license.KindConflict, "reservation-off", "nothing is to be done", "the reservation mode is off already")
		}
		_, err = f.Agent.DisableReservation(r.Context())
	}
	return noContent(w, err)
}

// noContent answers 204, or returns the error.
func noContent(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (f *Face) smallRequest(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.RequestReservation(r.Context(), 0)
	return reply(w, s.RequestCode, err)
}

func (f *Face) smallComplete(w http.ResponseWriter, r *http.Request) error {
	var text string
	if err := readExactly(r, &text); err != nil {
		return err
	}
	raw, err := boundedAuthorization(text)
	if err != nil {
		return err
	}
	s, err := f.Agent.InstallReservation(r.Context(), raw)
	return reply(w, s.ConfirmationCode, err)
}

func (f *Face) smallCancel(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.ReservationStatus(r.Context())
	if err == nil && !s.Enabled {
		return license.Refuse(license.KindConflict, "reservation-off", "enable it first", "the reservation mode is off")
	}
	if err == nil {
		_, err = f.Agent.CancelReservation(r.Context())
	}
	return noContent(w, err)
}

func (f *Face) smallRelease(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.ReturnReservation(r.Context())
	return reply(w, s.ReturnCode, err)
}

func (f *Face) smallDiscard(w http.ResponseWriter, r *http.Request) error {
	var text string
	if err := readExactly(r, &text); err != nil {
		return err
	}
	raw, err := boundedAuthorization(text)
	if err != nil {
		return err
	}
	_, code, err := f.Agent.ReturnAuthorization(r.Context(), raw)
	return reply(w, code, err)
}

func (f *Face) smallConfirmation(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.ReservationStatus(r.Context())
	code := s.ConfirmationCode
	if hidden := f.hidden.Load(); hidden != nil && *hidden == code {
		code = ""
	}
	return reply(w, none(code), err)
}

// smallHideConfirmation shows the code no more here. It stays where every code stays: in the status.
func (f *Face) smallHideConfirmation(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.ReservationStatus(r.Context())
	hidden := f.hidden.Load()
	if err == nil && (s.ConfirmationCode == "" || hidden != nil && *hidden == s.ConfirmationCode) {
		return license.Refuse(license.KindNotFound, "no-code", "there is none after an installation only", "there is no confirmation code")
	}
	if err == nil {
		f.hidden.Store(&s.ConfirmationCode)
	}
	return noContent(w, err)
}

func (f *Face) smallReturnCode(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.ReservationStatus(r.Context())
	return reply(w, none(s.ReturnCode), err)
}

// smallCompleteReturn is the word of the administrator that the code is at the authority.
func (f *Face) smallCompleteReturn(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.ReservationStatus(r.Context())
	if err == nil && s.ReturnCode == "" {
		return license.Refuse(license.KindNotFound, "no-code", "there is none after a release only", "there is no return code")
	}
	if err == nil {
		_, err = f.Agent.CompleteReturn(r.Context())
	}
	return noContent(w, err)
}
