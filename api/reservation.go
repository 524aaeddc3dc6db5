package api

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// Reservation is what a product holds by codes, without ever reporting.
type Reservation struct {
	ID             string `json:"id" doc:"Id, rsv_…"`
	UDI            string `json:"udi" doc:"Product id and serial number of its product."`
	Instance       string `json:"instance" doc:"Id of the product instance."`
	VirtualAccount string `json:"virtualAccount" doc:"Name of the virtual account whose licenses it holds."`
	Type           string `json:"type" enum:"SPECIFIC,UNIVERSAL" doc:"UNIVERSAL covers every use and has no quantities."`
	State          string `json:"state" enum:"ISSUED,CONFIRMED,IN_TRANSIT,RETURNED,QUARANTINED,RELEASED" doc:"IN_TRANSIT: an update waits for its confirmation code. QUARANTINED: the product is dead and another one has its licenses."`
	RequestCode    string `json:"requestCode" doc:"The request code that it answers."`
	Sequence       int    `json:"sequence" doc:"Number of the product's request."`
	Version        int    `json:"version" doc:"The newest authorization, from 1."`
	Confirmed      int    `json:"confirmed" doc:"The newest version whose confirmation code was entered; 0 for none."`

	Licenses []ReservedQuantity `json:"licenses" nullable:"false" doc:"What the newest authorization says."`
	Charged  []ReservedQuantity `json:"charged" nullable:"false" doc:"What the virtual account is charged: in transit the larger of before and after."`
	Lots     []ReservedLot      `json:"lots" nullable:"false" doc:"The lots of the newest authorization."`

	CreatedAt   time.Time  `json:"createdAt" doc:"When it was made."`
	CreatedBy   string     `json:"createdBy" doc:"Who made it."`
	IssuedAt    time.Time  `json:"issuedAt" doc:"When the newest authorization was issued."`
	ConfirmedAt *time.Time `json:"confirmedAt,omitempty" doc:"When a confirmation code was entered last."`
	EndedAt     *time.Time `json:"endedAt,omitempty" doc:"When it was returned or quarantined."`
	ReturnCode  string     `json:"returnCode,omitempty" doc:"The return code that ended it."`
	Predecessor string     `json:"predecessor,omitempty" doc:"The quarantined reservation whose licenses it got."`
	Successor   string     `json:"successor,omitempty" doc:"The reservation that got its licenses."`
	Findings    []Reason   `json:"findings" nullable:"false" doc:"What somebody should look at."`
	Repeated    bool       `json:"repeated,omitempty" doc:"Whether the same had been done before and nothing changed."`

	AuthorizationFile string `json:"authorizationFile,omitempty" doc:"The newest authorization, as the file to carry to the product. Absent in lists, for viewers, and when the reservation has ended."`
	AuthorizationCode string `json:"authorizationCode,omitempty" doc:"The same as one line that can be pasted."`
}

// ReservedQuantity is how many of a tag are reserved.
type ReservedQuantity struct {
	Tag      string `json:"tag" doc:"License tag."`
	License  string `json:"license,omitempty" doc:"Name of the license."`
	Quantity int64  `json:"quantity" minimum:"0" doc:"How many."`
}

// ReservedLot is the part of a lot that is reserved.
type ReservedLot struct {
	Lot          string     `json:"lot" doc:"Id of the lot."`
	Tag          string     `json:"tag" doc:"License tag."`
	Quantity     int64      `json:"quantity" doc:"How many."`
	Type         string     `json:"type" doc:"PERPETUAL, TERM or DEMO."`
	Start        time.Time  `json:"start" doc:"From when on it counts."`
	End          *time.Time `json:"end,omitempty" doc:"Until when it counts; absent for ever."`
	Subscription string     `json:"subscription,omitempty" doc:"Subscription of the order line."`
}

// NewReservation asks for a reservation.
type NewReservation struct {
	RequestCode    string             `json:"requestCode" doc:"As the product shows it, with @ and the identity of the product."`
	VirtualAccount string             `json:"virtualAccount,omitempty" doc:"By id or name; the default one if absent."`
	Type           string             `json:"type,omitempty" enum:"SPECIFIC,UNIVERSAL" doc:"SPECIFIC if absent."`
	Licenses       []ReservedQuantity `json:"licenses,omitempty" maxItems:"100" doc:"What to reserve."`
}

// ReservationUpdate says what a reservation is to hold from now on, as a whole: a tag that is not named is given up.
type ReservationUpdate struct {
	Licenses []ReservedQuantity `json:"licenses" maxItems:"100" doc:"What it is to hold; a tag that is not named is given up."`
}

// ReservationCode is a code that the product made.
type ReservationCode struct {
	Code string `json:"code" doc:"The code, in either case, with or without hyphens."`
}

// NewRehost asks to give the licenses of a dead product to another one.
type NewRehost struct {
	RequestCode string `json:"requestCode" doc:"Request code of the new product."`
	Reason      string `json:"reason" doc:"Why the old product cannot make a return code."`
}

// Rehost is such a wish and what became of it.
type Rehost struct {
	ID          string     `json:"id" doc:"Id, reh_…"`
	Reservation string     `json:"reservation" doc:"Id of the dead product's reservation."`
	UDI         string     `json:"udi" doc:"The dead product."`
	NewUDI      string     `json:"newUdi" doc:"The new product."`
	Reason      string     `json:"reason" doc:"Why."`
	State       string     `json:"state" enum:"WAITING,APPROVED,REJECTED" doc:"WAITING for a second person."`
	AskedAt     time.Time  `json:"askedAt" doc:"When it was asked for."`
	AskedBy     string     `json:"askedBy" doc:"Id of who asked."`
	DecidedAt   *time.Time `json:"decidedAt,omitempty" doc:"When it was decided."`
	DecidedBy   string     `json:"decidedBy,omitempty" doc:"Id of who decided."`
	Successor   string     `json:"successor,omitempty" doc:"The reservation of the new product."`
}

// ReservationLeave says which new reservations an account may make.
type ReservationLeave struct {
	Specific  bool `json:"specific" doc:"Reservations of quantities."`
	Universal bool `json:"universal" doc:"Reservations that cover every use."`
}

// CreateReservation reserves licenses and issues the authorization for the product. The same again is answered the same.
func (c *Client) CreateReservation(ctx context.Context, account string, r NewReservation) (Reservation, error) {
	return write[Reservation](ctx, c, http.MethodPost, at("accounts", account, "reservations"), r)
}

// Reservations lists the reservations of an account, ended ones included.
func (c *Client) Reservations(ctx context.Context, account string) iter.Seq2[Reservation, error] {
	return pages[Reservation](ctx, c, at("accounts", account, "reservations"), nil)
}

// Reservation finds a reservation by id, request code, UDI or serial number, with its authorization.
func (c *Client) Reservation(ctx context.Context, account, ref string) (Reservation, error) {
	return get[Reservation](ctx, c, at("accounts", account, "reservations", ref), nil)
}

// UpdateReservation issues another version of an authorization.
func (c *Client) UpdateReservation(ctx context.Context, account, ref string, u ReservationUpdate) (Reservation, error) {
	return write[Reservation](ctx, c, http.MethodPatch, at("accounts", account, "reservations", ref), u)
}

// ConfirmReservation enters the confirmation code of the product.
func (c *Client) ConfirmReservation(ctx context.Context, account, ref, code string) (Reservation, error) {
	return write[Reservation](ctx, c, http.MethodPost, at("accounts", account, "reservations", ref, "confirm"), ReservationCode{Code: code})
}

// ReturnReservation enters the return code of the product.
func (c *Client) ReturnReservation(ctx context.Context, account, ref, code string) (Reservation, error) {
	return write[Reservation](ctx, c, http.MethodPost, at("accounts", account, "reservations", ref, "return"), ReservationCode{Code: code})
}

// ReleaseReservation answers for a quarantined product.
func (c *Client) ReleaseReservation(ctx context.Context, account, ref string) (Reservation, error) {
	return send[Reservation](ctx, c, http.MethodPost, at("accounts", account, "reservations", ref, "release"), nil, "", nil)
}

// AskRehost asks to give the licenses of a dead product to another one.
func (c *Client) AskRehost(ctx context.Context, account, ref string, r NewRehost) (Rehost, error) {
	return write[Rehost](ctx, c, http.MethodPost, at("accounts", account, "reservations", ref, "rehost"), r)
}

// Rehosts lists the rehosts of an account.
func (c *Client) Rehosts(ctx context.Context, account string) iter.Seq2[Rehost, error] {
	return pages[Rehost](ctx, c, at("accounts", account, "rehosts"), nil)
}

// ApproveRehost does what another person asked for and answers with the reservation of the new product.
func (c *Client) ApproveRehost(ctx context.Context, account, id string) (Reservation, error) {
	return send[Reservation](ctx, c, http.MethodPost, at("accounts", account, "rehosts", id, "approve"), nil, "", nil)
}

// RejectRehost ends a rehost without moving anything.
func (c *Client) RejectRehost(ctx context.Context, account, id string) (Rehost, error) {
	return send[Rehost](ctx, c, http.MethodPost, at("accounts", account, "rehosts", id, "reject"), nil, "", nil)
}

// ReservationLeave says what an account may reserve.
func (c *Client) ReservationLeave(ctx context.Context, account string) (ReservationLeave, error) {
	return get[ReservationLeave](ctx, c, at("accounts", account, "reservation-leave"), nil)
}

// SetReservationLeave says what an account may reserve from now on.
func (c *Client) SetReservationLeave(ctx context.Context, account string, l ReservationLeave) (ReservationLeave, error) {
	return write[ReservationLeave](ctx, c, http.MethodPut, at("accounts", account, "reservation-leave"), l)
}
