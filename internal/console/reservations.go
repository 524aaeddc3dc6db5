package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/qrcode"
	"github.com/tallystick/tallystick/internal/wire"
)

// reservationsPage is what the list shows.
type reservationsPage struct {
	live, ended []authority.Reservation
	rehosts     []authority.Rehost
	pools       []authority.LicenseRow // what can be reserved
	vas         []authority.VirtualAccount
	leave       authority.ReservationLeave
	advice      []license.Fact
	next        string
}

// reservations lists the reservations of an account, with the form that makes one.
func (c *console) reservations(v *visit) (sheet, error) {
	ctx, account := v.Context(), v.account.ID
	var p reservationsPage
	list, next, err := c.Authority.Reservations(ctx, v.who, account, authority.Page{After: v.URL.Query().Get("after"), Limit: pageRows})
	if err != nil {
		return sheet{}, err
	}
	p.next = next
	for _, r := range list {
		if r.State.Live() || r.State == license.ReservationQuarantined {
			p.live = append(p.live, r)
		} else {
			p.ended = append(p.ended, r)
		}
	}
	wishes, _, err := c.Authority.Rehosts(ctx, v.who, account, authority.Page{Limit: 1000})
	if err != nil {
		return sheet{}, err
	}
	p.rehosts = slices.DeleteFunc(wishes, func(r authority.Rehost) bool { return r.State != authority.RehostWaiting })
	if p.pools, err = c.Authority.Licenses(ctx, v.who, account, ""); err != nil {
		return sheet{}, err
	}
	if p.vas, _, err = c.Authority.VirtualAccounts(ctx, v.who, account, authority.Page{Limit: 1000}); err != nil {
		return sheet{}, err
	}
	if p.leave, err = c.Authority.ReservationLeave(ctx, v.who, account); err != nil {
		return sheet{}, err
	}
	p.advice, err = c.Authority.ManyReservations(ctx, v.who, account)
	return sheet{title: "Reservations", tab: "reservations", body: reservationsBody(v, p)}, err
}

// tags are the licenses that some virtual account has available, each once, with the most that one has.
func (p reservationsPage) tags() []authority.LicenseRow {
	var out []authority.LicenseRow
	for _, r := range p.pools {
		i := slices.IndexFunc(out, func(o authority.LicenseRow) bool { return o.Tag == r.Tag })
		switch {
		case r.Available == 0:
		case i < 0:
			out = append(out, r)
		default:
			out[i].Available = max(out[i].Available, r.Available)
		}
	}
	return out
}

// nothing says why no license can be reserved; empty where one can.
func (p reservationsPage) nothing() string {
	switch {
	case len(p.tags()) > 0:
		return ""
	case len(p.pools) == 0:
		return "There is no license to reserve: nothing was bought yet."
	}
	return "There is no license to reserve: none of what was bought is available. The page of licenses says why."
}

// first says how the first reservation begins.
func (p reservationsPage) first() string {
	if p.nothing() != "" && !p.leave.Universal {
		return "A product makes a request code, which is pasted here once there are licenses to reserve:"
	}
	return "Make a request code on the product, and paste it below:"
}

// reservation shows one reservation, its codes, and the forms of what may be done with it.
func (c *console) reservation(v *visit) (sheet, error) {
	r, err := c.Authority.Reservation(v.Context(), v.who, v.account.ID, v.PathValue("reservation"))
	if err != nil {
		return sheet{}, err
	}
	pools, err := c.Authority.Licenses(v.Context(), v.who, v.account.ID, r.VirtualAccount)
	if err != nil {
		return sheet{}, err
	}
	pictures, err := picturesOf(r.Authorization)
	return sheet{title: "Reservation of " + r.UDI, tab: "reservations", body: reservationBody(v, r, fieldsOf(r, pools), pictures)}, err
}

// picture is one QR code of an authorization.
type picture struct {
	path string
	size int
}

func picturesOf(file []byte) ([]picture, error) {
	if len(file) == 0 {
		return nil, nil
	}
	var out []picture
	for _, text := range wire.Frames(file, qrcode.MaxText) {
		path, size, err := qrcode.Path(text)
		if err != nil {
			return nil, err
		}
		out = append(out, picture{path, size})
	}
	return out, nil
}

func (p picture) box() string { return fmt.Sprintf("0 0 %d %d", p.size, p.size) }

// field is a quantity in a form: what is reserved now, and the most that can be.
type field struct {
	tag, name string
	now, most int64
}

func fieldsOf(r authority.Reservation, pools []authority.LicenseRow) []field {
	var out []field
	for _, l := range r.Lots {
		if i := slices.IndexFunc(out, func(f field) bool { return f.tag == string(l.Tag) }); i >= 0 {
			out[i].now += l.Quantity
			out[i].most += l.Quantity
		} else {
			out = append(out, field{string(l.Tag), l.Name, l.Quantity, l.Quantity})
		}
	}
	for _, p := range pools {
		i := slices.IndexFunc(out, func(f field) bool { return f.tag == string(p.Tag) })
		switch {
		case p.Available == 0:
		case i >= 0:
			out[i].most += p.Available
		default:
			out = append(out, field{string(p.Tag), p.Name, 0, p.Available})
		}
	}
	return out
}

// authorization hands the file of a reservation out.
func (c *console) authorization(v *visit) (sheet, error) {
	r, err := c.Authority.Reservation(v.Context(), v.who, v.account.ID, v.PathValue("reservation"))
	if err == nil && len(r.Authorization) == 0 {
		err = license.Refuse(license.KindRefused, "no-authorization", "the page of the reservation says what became of it", "there is no authorization to carry: the reservation is %s", r.State)
	}
	return sheet{file: r.Authorization, fileName: "authorization-" + r.ID + ".txt"}, err
}

// quantityPrefix begins the names of quantities in forms.
const quantityPrefix = "quantity-"

// quantitiesOf reads the quantities of a form; an empty field is zero.
func quantitiesOf(r *http.Request) (map[license.Tag]int64, error) {
	out := map[license.Tag]int64{}
	for name, values := range r.PostForm {
		tag, ok := strings.CutPrefix(name, quantityPrefix)
		text := strings.TrimSpace(values[0])
		if !ok || text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, license.Refuse(license.KindInvalid, "bad-quantity", "write a whole number", "%.40q is no quantity of %.64s", text, tag)
		}
		out[license.Tag(tag)] = n
	}
	return out, nil
}

// form reads the form of a visit within its bound.
func (v *visit) form() error {
	v.Body = http.MaxBytesReader(nil, v.Body, maxForm)
	if err := v.ParseForm(); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return license.Refuse(license.KindTooLarge, "too-large", "send less", "the form is larger than %d bytes", maxForm)
		}
		return license.Refuse(license.KindInvalid, "bad-form", "send it again from the page", "the form cannot be read")
	}
	return nil
}

// sure refuses what cannot be undone unless its box was ticked.
func (v *visit) sure() error {
	if v.PostFormValue("sure") != "" {
		return nil
	}
	return license.Refuse(license.KindInvalid, "not-confirmed", "go back, tick the box and press the button again", "this needs a confirmation; nothing was changed")
}

// reserve makes a reservation from the form.
func (c *console) reserve(v *visit) (sheet, error) {
	if err := v.form(); err != nil {
		return sheet{}, err
	}
	want, err := quantitiesOf(v.Request)
	if err != nil {
		return sheet{}, err
	}
	n := authority.NewReservation{Request: v.PostFormValue("request"), VirtualAccount: v.PostFormValue("va"), Licenses: want}
	if v.PostFormValue("universal") != "" {
		n.Kind = license.Universal
	}
	r, err := c.Authority.Reserve(v.Context(), v.who, v.account.ID, n)
	return sheet{goTo: v.path("/reservations/" + r.ID)}, err
}

// act does what a form of the page of a reservation asks for, and shows the page again.
func (c *console) act(v *visit) (sheet, error) {
	if err := v.form(); err != nil {
		return sheet{}, err
	}
	ctx, account, ref, code := v.Context(), v.account.ID, v.PathValue("reservation"), v.PostFormValue("code")
	var err error
	switch act := v.PathValue("act"); act {
	case "confirm":
		_, err = c.Authority.ConfirmReservation(ctx, v.who, account, ref, code)
	case "update":
		var want map[license.Tag]int64
		if want, err = quantitiesOf(v.Request); err == nil {
			if err = v.sure(); err == nil {
				_, err = c.Authority.UpdateReservation(ctx, v.who, account, ref, want)
			}
		}
	case "return":
		if err = v.sure(); err == nil {
			_, err = c.Authority.ReturnReservation(ctx, v.who, account, ref, code)
		}
	case "rehost":
		if err = v.sure(); err == nil {
			_, err = c.Authority.AskRehost(ctx, v.who, account, ref, v.PostFormValue("request"), v.PostFormValue("reason"))
		}
		ref = ""
	case "release":
		if err = v.sure(); err == nil {
			_, err = c.Authority.ReleaseReservation(ctx, v.who, account, ref)
		}
	default:
		err = license.NotFound("page", act)
	}
	return sheet{goTo: strings.TrimSuffix(v.path("/reservations/"+ref), "/")}, err
}

// decideRehost approves or rejects a rehost.
func (c *console) decideRehost(v *visit) (sheet, error) {
	if err := v.form(); err != nil {
		return sheet{}, err
	}
	ref := v.PathValue("rehost")
	if v.PathValue("act") == "reject" {
		_, err := c.Authority.RejectRehost(v.Context(), v.who, v.account.ID, ref)
		return sheet{goTo: v.path("/reservations")}, err
	}
	if err := v.sure(); err != nil {
		return sheet{}, err
	}
	r, err := c.Authority.ApproveRehost(v.Context(), v.who, v.account.ID, ref)
	return sheet{goTo: v.path("/reservations/" + r.ID)}, err
}

func reservationTone(s license.ReservationState) tone {
	switch s {
	case license.ReservationConfirmed:
		return good
	case license.ReservationInTransit, license.ReservationIssued:
		return alert
	case license.ReservationQuarantined:
		return bad
	}
	return quiet
}

func reservationWord(s license.ReservationState) string {
	switch s {
	case license.ReservationIssued:
		return "Waits for its confirmation code"
	case license.ReservationConfirmed:
		return "Confirmed"
	case license.ReservationInTransit:
		return "Update in transit"
	case license.ReservationReturned:
		return "Returned"
	case license.ReservationQuarantined:
		return "Quarantined"
	case license.ReservationReleased:
		return "Released"
	}
	return string(s)
}
