package web

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/wire"
)

const (
	reservation = account + "/reservations/{reservation}"
	rehost      = account + "/rehosts/{rehost}"
)

func (s *server) reservationRoutes() []route {
	return []route{
		{"POST", account + "/reservations", keyed, access.Manage, rest("create-reservation", "Reserve licenses for a product that cannot be reached", s.createReservation, created)},
		{"GET", account + "/reservations", keyed, access.See, rest("list-reservations", "List the reservations", s.listReservations)},
		{"GET", reservation, keyed, access.See, rest("get-reservation", "Find a reservation, with its authorization", s.getReservation)},
		{"PATCH", reservation, keyed, access.Manage, rest("update-reservation", "Issue an authorization with other quantities", s.updateReservation)},
		{"POST", reservation + "/confirm", keyed, access.Manage, rest("confirm-reservation", "Enter the confirmation code of the product", s.confirmReservation)},
		{"POST", reservation + "/return", keyed, access.Manage, rest("return-reservation", "Enter the return code of the product", s.returnReservation)},
		{"POST", reservation + "/rehost", keyed, access.Manage, rest("ask-rehost", "Ask to give the licenses of a dead product to another one", s.askRehost, created)},
		{"POST", reservation + "/release", keyed, access.Manage, rest("release-reservation", "Answer for a quarantined product", s.releaseReservation)},
		{"GET", account + "/rehosts", keyed, access.See, rest("list-rehosts", "List the rehosts", s.listRehosts)},
		{"POST", rehost + "/approve", keyed, access.Manage, rest("approve-rehost", "Approve a rehost that somebody else asked for", s.approveRehost)},
		{"POST", rehost + "/reject", keyed, access.Manage, rest("reject-rehost", "Reject a rehost", s.rejectRehost)},
		{"GET", account + "/reservation-leave", keyed, access.See, rest("get-reservation-leave", "Say what the account may reserve", s.showReservationLeave)},
		{"PUT", account + "/reservation-leave", keyed, access.Run, rest("set-reservation-leave", "Set what the account may reserve", s.setReservationLeave)},
	}
}

func (s *server) reservationOf(r authority.Reservation) api.Reservation {
	out := api.Reservation{
		ID: r.ID, UDI: r.UDI, Instance: r.Instance, VirtualAccount: r.VirtualAccount, Type: string(r.Kind), State: string(r.State), RequestCode: r.Request + "@" + r.UDI,
		Sequence: r.Sequence, Version: r.Version, Confirmed: r.Confirmed, Licenses: s.reservedSums(r.Lots), Charged: s.reservedSums(r.Charged),
		Lots: each(r.Lots, func(l license.ReservedLot) api.ReservedLot {
			return api.ReservedLot{Lot: l.Lot, Tag: string(l.Tag), Quantity: l.Quantity, Type: string(l.Type), Start: l.Start, End: optional(l.End), Subscription: l.Subscription}
		}),
		CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy, IssuedAt: r.IssuedAt, ConfirmedAt: optional(r.ConfirmedAt), EndedAt: optional(r.EndedAt), ReturnCode: r.ReturnCode,
		Predecessor: r.Predecessor, Successor: r.Successor, Findings: each(r.Findings, poolReason), Repeated: r.Repeated,
	}
	if len(r.Authorization) > 0 {
		out.AuthorizationFile, out.AuthorizationCode = string(r.Authorization), wire.OneLine(r.Authorization)
	}
	return out
}

func (s *server) reservedSums(lots []license.ReservedLot) []api.ReservedQuantity {
	sums := license.TagSums(lots, time.Time{})
	return each(slices.Sorted(maps.Keys(sums)), func(tag license.Tag) api.ReservedQuantity {
		return api.ReservedQuantity{Tag: string(tag), License: s.Authority.Catalog().Name(tag), Quantity: sums[tag]}
	})
}

// wanted reads quantities by tag; a tag may be named once.
func wanted(rows []api.ReservedQuantity) (map[license.Tag]int64, error) {
	out := map[license.Tag]int64{}
	for _, r := range rows {
		tag, err := license.ParseTag(r.Tag)
		if err != nil {
			return nil, err
		}
		if _, twice := out[tag]; twice {
			return nil, license.Refuse(license.KindInvalid, "tag-twice", "name every license once", "%s is named twice", tag)
		}
		out[tag] = r.Quantity
	}
	return out, nil
}

func (s *server) createReservation(ctx context.Context, in *struct {
	AccountPath
	Body api.NewReservation
}) (*reply[api.Reservation], error) {
	want, err := wanted(in.Body.Licenses)
	if err != nil {
		return nil, err
	}
	made, err := s.Authority.Reserve(ctx, in.Who, in.Account, authority.NewReservation{
		Request: in.Body.RequestCode, VirtualAccount: in.Body.VirtualAccount, Kind: license.ReservationKind(in.Body.Type), Licenses: want,
	})
	if err != nil {
		return nil, err
	}
	many, err := s.Authority.ManyReservations(ctx, in.Who, in.Account)
	made.Findings = append(made.Findings, many...)
	return answerWith(s.reservationOf(made), err)
}

func (s *server) listReservations(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.Reservation]], error) {
	page, err := in.page("rsv")
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Authority.Reservations(ctx, in.Who, in.Account, page)
	return listed(rows, next, err, s.reservationOf)
}

// ReservationPath is the input of what is done to a reservation.
type ReservationPath struct {
	AccountPath
	Reservation string `path:"reservation" doc:"Reservation, by id, request code, UDI or serial number."`
}

func (s *server) getReservation(ctx context.Context, in *ReservationPath) (*reply[api.Reservation], error) {
	found, err := s.Authority.Reservation(ctx, in.Who, in.Account, in.Reservation)
	return answerWith(s.reservationOf(found), err)
}

func (s *server) updateReservation(ctx context.Context, in *struct {
	ReservationPath
	Body api.ReservationUpdate
}) (*reply[api.Reservation], error) {
	want, err := wanted(in.Body.Licenses)
	if err != nil {
		return nil, err
	}
	changed, err := s.Authority.UpdateReservation(ctx, in.Who, in.Account, in.Reservation, want)
	return answerWith(s.reservationOf(changed), err)
}

// codeInput is the input of verbs that a code proves.
type codeInput struct {
	ReservationPath
	Body api.ReservationCode
}

func (s *server) confirmReservation(ctx context.Context, in *codeInput) (*reply[api.Reservation], error) {
	changed, err := s.Authority.ConfirmReservation(ctx, in.Who, in.Account, in.Reservation, in.Body.Code)
	return answerWith(s.reservationOf(changed), err)
}

func (s *server) returnReservation(ctx context.Context, in *codeInput) (*reply[api.Reservation], error) {
	changed, err := s.Authority.ReturnReservation(ctx, in.Who, in.Account, in.Reservation, in.Body.Code)
	return answerWith(s.reservationOf(changed), err)
}

func (s *server) releaseReservation(ctx context.Context, in *ReservationPath) (*reply[api.Reservation], error) {
	changed, err := s.Authority.ReleaseReservation(ctx, in.Who, in.Account, in.Reservation)
	return answerWith(s.reservationOf(changed), err)
}

func rehostOf(r authority.Rehost) api.Rehost {
	return api.Rehost{
		ID: r.ID, Reservation: r.Reservation, UDI: r.UDI, NewUDI: r.NewUDI, Reason: r.Reason, State: string(r.State), AskedAt: r.AskedAt, AskedBy: r.AskedBy,
		DecidedAt: optional(r.DecidedAt), DecidedBy: r.DecidedBy, Successor: r.Successor,
	}
}

func (s *server) askRehost(ctx context.Context, in *struct {
	ReservationPath
	Body api.NewRehost
}) (*reply[api.Rehost], error) {
	asked, err := s.Authority.AskRehost(ctx, in.Who, in.Account, in.Reservation, in.Body.RequestCode, in.Body.Reason)
	return answerWith(rehostOf(asked), err)
}

func (s *server) listRehosts(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.Rehost]], error) {
	page, err := in.page("reh")
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Authority.Rehosts(ctx, in.Who, in.Account, page)
	return listed(rows, next, err, rehostOf)
}

// RehostPath is the input of what is done to a rehost.
type RehostPath struct {
	AccountPath
	Rehost string `path:"rehost" doc:"Rehost, by id."`
}

func (s *server) approveRehost(ctx context.Context, in *RehostPath) (*reply[api.Reservation], error) {
	made, err := s.Authority.ApproveRehost(ctx, in.Who, in.Account, in.Rehost)
	return answerWith(s.reservationOf(made), err)
}

func (s *server) rejectRehost(ctx context.Context, in *RehostPath) (*reply[api.Rehost], error) {
	ended, err := s.Authority.RejectRehost(ctx, in.Who, in.Account, in.Rehost)
	return answerWith(rehostOf(ended), err)
}

func (s *server) showReservationLeave(ctx context.Context, in *AccountPath) (*reply[api.ReservationLeave], error) {
	leave, err := s.Authority.ReservationLeave(ctx, in.Who, in.Account)
	return answerWith(api.ReservationLeave(leave), err)
}

func (s *server) setReservationLeave(ctx context.Context, in *struct {
	AccountPath
	Body api.ReservationLeave
}) (*reply[api.ReservationLeave], error) {
	leave, err := s.Authority.SetReservationLeave(ctx, in.Who, in.Account, authority.ReservationLeave(in.Body))
	return answerWith(api.ReservationLeave(leave), err)
}
