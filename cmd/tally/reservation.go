package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/qrcode"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// carry says in which forms an authorization leaves.
type carry struct {
	Output string `short:"o" help:"Write the authorization to this file; a name that ends in .png makes QR pictures." placeholder:"FILE" env:"-"`
	QR     bool   `name:"qr" help:"Draw the authorization as QR codes on the terminal." env:"-"`
	Line   bool   `help:"Print the authorization as one line to paste, and nothing else." env:"-"`
}

// hand writes what the flags ask for and says what became of it.
func (c carry) hand(s *shell, r api.Reservation) error {
	file := []byte(r.AuthorizationFile)
	if len(file) == 0 && (c.Output != "" || c.QR || c.Line) {
		return license.Refuse(license.KindRefused, "no-authorization", "`tally reservation show` says what became of the reservation",
			"there is no authorization to carry: the reservation is %s, or the key may only look", r.State)
	}
	switch {
	case c.Output == "":
	case strings.EqualFold(filepath.Ext(c.Output), ".png"):
		if err := writePictures(s, c.Output, wire.Frames(file, qrcode.MaxText)); err != nil {
			return err
		}
	default:
		if err := trust.WriteFile(c.Output, file, 0o600); err != nil {
			return err
		}
		fmt.Fprintf(s.stderr, "wrote %s\n", c.Output)
	}
	if c.QR {
		return drawFrames(s.stdout, wire.Frames(file, terminalFrame))
	}
	return nil
}

// terminalFrame is how many bytes a picture on a terminal takes: 40 lines.
const terminalFrame = 400

// writePictures writes one picture, or NAME-1.png, NAME-2.png, … for several.
func writePictures(s *shell, name string, frames []string) error {
	for i, text := range frames {
		picture, err := qrcode.PNG(text)
		if err != nil {
			return err
		}
		file := name
		if len(frames) > 1 {
			ext := filepath.Ext(name)
			file = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), i+1, ext)
		}
		if err := trust.WriteFile(file, picture, 0o600); err != nil {
			return err
		}
		fmt.Fprintf(s.stderr, "wrote %s\n", file)
	}
	return nil
}

func drawFrames(w io.Writer, frames []string) error {
	for i, text := range frames {
		fmt.Fprintf(w, "\nPart %d of %d\n", i+1, len(frames))
		if err := qrcode.Terminal(w, text); err != nil {
			return err
		}
	}
	return nil
}

// answer prints a reservation, its authorization as wanted, and what is to be done next.
func (c carry) answer(s *shell, r api.Reservation, next string) error {
	if c.Line {
		if err := c.hand(s, r); err != nil {
			return err
		}
		fmt.Fprintln(s.stdout, r.AuthorizationCode)
		return nil
	}
	if err := s.print(r, showReservation(r)); err != nil {
		return err
	}
	if next != "" && !s.JSON {
		fmt.Fprintf(s.stderr, "next: %s\n", next)
	}
	return c.hand(s, r)
}

// quantity reads TAG=QTY.
func quantity(text string) (api.ReservedQuantity, error) {
	tag, n, ok := strings.Cut(text, "=")
	q, err := strconv.ParseInt(n, 10, 64)
	if !ok || err != nil || q < 0 {
		return api.ReservedQuantity{}, usage("write a tag and a number, such as cms-smp-plus=5", "%.80q is no quantity of a license", text)
	}
	return api.ReservedQuantity{Tag: tag, Quantity: q}, nil
}

func quantities(texts []string) ([]api.ReservedQuantity, error) {
	out := []api.ReservedQuantity{}
	for _, t := range texts {
		q, err := quantity(t)
		if err != nil {
			return nil, err
		}
		out = append(out, q)
	}
	return out, nil
}

type reservationCreateCmd struct {
	RequestCode string   `arg:"" help:"Request code as the product shows it, with @ and its identity; tally-agent license smart reservation request makes one."`
	Licenses    []string `arg:"" optional:"" name:"tag=qty" help:"What to reserve, such as cms-smp-plus=5."`
	vaFlag
	Universal bool `help:"Cover every use of the product; the account needs leave for it." env:"-"`
	carry
}

// Run reserves licenses for a product that cannot be reached.
func (c reservationCreateCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	want := api.NewReservation{RequestCode: c.RequestCode, VirtualAccount: c.VA, Type: string(license.Specific)}
	if c.Universal {
		want.Type = string(license.Universal)
	}
	if want.Licenses, err = quantities(c.Licenses); err != nil {
		return err
	}
	made, err := r.CreateReservation(ctx, account, want)
	if err != nil {
		return err
	}
	return c.answer(s, made, c.next(made))
}

// next is what to do with an authorization.
func (c carry) next(r api.Reservation) string {
	if c.Output == "" && !c.QR {
		return fmt.Sprintf("save the authorization with tally reservation show %s -o FILE, carry it to the product and install it: tally-agent license smart reservation install-file FILE", r.ID)
	}
	return "install it on the product, then enter its confirmation code: tally reservation confirm " + r.ID + " CODE"
}

type reservationUpdateCmd struct {
	Reservation string   `arg:"" help:"Reservation by id, request code, UDI or serial number."`
	Licenses    []string `arg:"" name:"tag=qty" help:"What it is to hold as a whole; a tag that is not named is given up."`
	Yes         bool     `help:"Do it without asking." env:"-"`
	carry
}

// Run issues an authorization with other quantities.
func (c reservationUpdateCmd) Run(ctx context.Context, s *shell) error {
	want, err := quantities(c.Licenses)
	if err != nil {
		return err
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	old, err := r.Reservation(ctx, account, c.Reservation)
	if err != nil {
		return err
	}
	if lost := givenUp(old.Licenses, want); lost != "" && isTerminal(s.stdin) {
		if err := s.confirm(c.Yes, "%s (%s) gives up: %s.", old.ID, cellText(old.UDI), lost); err != nil {
			return err
		}
	}
	changed, err := r.UpdateReservation(ctx, account, old.ID, api.ReservationUpdate{Licenses: want})
	if err != nil {
		return err
	}
	return c.answer(s, changed, c.next(changed))
}

// givenUp names the tags that an update drops as a whole.
func givenUp(before, after []api.ReservedQuantity) string {
	var lost []string
	for _, b := range before {
		left := int64(0)
		for _, a := range after {
			if a.Tag == b.Tag {
				left = a.Quantity
			}
		}
		if left == 0 {
			lost = append(lost, fmt.Sprintf("%d %s", b.Quantity, cellText(b.Tag)))
		}
	}
	return strings.Join(lost, ", ")
}

type reservationConfirmCmd struct {
	Reservation string `arg:"" help:"Reservation by id, request code, UDI or serial number."`
	Code        string `arg:"" help:"Confirmation code that the product shows; tally-agent license smart reservation show prints it there again."`
}

// Run enters a confirmation code.
func (c reservationConfirmCmd) Run(ctx context.Context, s *shell) error {
	return s.reserved(ctx, carry{}, "", func(r *remote, account string) (api.Reservation, error) {
		return r.ConfirmReservation(ctx, account, c.Reservation, c.Code)
	})
}

// reserved runs a verb of a reservation, shows what became of it, and what is to be done next.
func (s *shell) reserved(ctx context.Context, c carry, next string, verb func(r *remote, account string) (api.Reservation, error)) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	done, err := verb(r, account)
	if err != nil {
		return err
	}
	return c.answer(s, done, next)
}

type reservationReturnCmd struct {
	Reservation string `arg:"" help:"Reservation by id, request code, UDI or serial number."`
	Code        string `arg:"" help:"Return code that the product shows; tally-agent license smart reservation show prints it there again."`
}

// Run enters a return code.
func (c reservationReturnCmd) Run(ctx context.Context, s *shell) error {
	return s.reserved(ctx, carry{}, "finish on the product: tally-agent license smart reservation return complete", func(r *remote, account string) (api.Reservation, error) {
		return r.ReturnReservation(ctx, account, c.Reservation, c.Code)
	})
}

type reservationReleaseCmd struct {
	Reservation string `arg:"" help:"Reservation by id, request code, UDI or serial number."`
	Yes         bool   `help:"Do it without asking." env:"-"`
}

// Run answers for a quarantined product.
func (c reservationReleaseCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	old, err := r.Reservation(ctx, account, c.Reservation)
	if err != nil {
		return err
	}
	if err := s.confirm(c.Yes, "%s may ask for a reservation again; you answer for it that it does not use the old one any more, %s with %s.",
		cellText(old.UDI), old.ID, sumText(old.Licenses, old.Type)); err != nil {
		return err
	}
	done, err := r.ReleaseReservation(ctx, account, old.ID)
	if err != nil {
		return err
	}
	return carry{}.answer(s, done, "")
}

type reservationListCmd struct {
	vaFlag
	All bool `help:"Show ended ones, too." env:"-"`
}

// Run lists reservations.
func (c reservationListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "reservations", r.Reservations(ctx, account))
	if err != nil {
		return err
	}
	var shown []api.Reservation
	live, findings := int64(0), 0
	for _, v := range all {
		isLive := license.ReservationState(v.State).Live()
		if isLive {
			live++
		}
		if !isLive && !c.All && !s.JSON && len(v.Findings) == 0 || c.VA != "" && !strings.EqualFold(v.VirtualAccount, c.VA) {
			continue
		}
		findings += len(v.Findings)
		shown = append(shown, v)
	}
	below, err := reservedBelow(ctx, s, r, account)
	if err != nil {
		return err
	}
	none := "there are no reservations; `tally reservation create REQUEST-CODE TAG=QTY` makes one"
	if len(below) > 0 {
		none = "no reservation was made here"
	}
	err = printList(s, shown, none, "id | product | virtual account | state | version | confirmed | licenses | since",
		func(v api.Reservation) []any {
			since := v.IssuedAt
			if v.EndedAt != nil {
				since = *v.EndedAt
			}
			return []any{v.ID, v.UDI, v.VirtualAccount, v.State, v.Version, v.Confirmed, sumText(v.Licenses, v.Type), since}
		})
	if err != nil || s.JSON {
		return err
	}
	for _, f := range below {
		fmt.Fprintf(s.stderr, "hint: %s\n", cellText(f.Text()))
	}
	if findings > 0 {
		fmt.Fprintln(s.stdout)
	}
	for _, v := range shown {
		writeFindings(s.stdout, v.Findings)
	}
	if live > license.ManyReservations {
		fmt.Fprintf(s.stderr, "hint: %s\n", license.Fact{Code: license.FactManyReservations, Count: live, Of: license.ManyReservations}.Text())
	}
	return nil
}

// reservedBelow says at which satellites of an authority others are reserved, as far as these have said.
func reservedBelow(ctx context.Context, s *shell, r *remote, account string) ([]license.Fact, error) {
	all, err := gather(s, "satellites", r.Satellites(ctx, account))
	if no := license.AsError(err); no != nil && no.Code == "at-satellite" {
		return nil, nil
	}
	var facts []license.Fact
	for _, v := range all {
		if v.Reserved > 0 {
			facts = append(facts, license.Fact{Code: license.FactReservedBelow, Name: v.Name, Count: v.Reserved})
		}
	}
	return facts, err
}

func writeFindings(w io.Writer, findings []api.Reason) {
	for _, f := range findings {
		fmt.Fprintf(w, "  - %s\n", cellText(f.Text))
	}
}

// sumText is what a reservation holds in a few words.
func sumText(sums []api.ReservedQuantity, kind string) string {
	if kind == string(license.Universal) {
		return "every use"
	}
	var parts []string
	for _, q := range sums {
		parts = append(parts, fmt.Sprintf("%s %d", q.Tag, q.Quantity))
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing")
}

type reservationShowCmd struct {
	Reservation string `arg:"" help:"Reservation by id, request code, UDI or serial number."`
	carry
}

// Run shows a reservation and every code of it again.
func (c reservationShowCmd) Run(ctx context.Context, s *shell) error {
	return s.reserved(ctx, c.carry, "", func(r *remote, account string) (api.Reservation, error) {
		return r.Reservation(ctx, account, c.Reservation)
	})
}

func showReservation(r api.Reservation) func(io.Writer) {
	return func(w io.Writer) {
		pairs := []any{
			"Reservation", r.ID, "Product", r.UDI, "Virtual account", r.VirtualAccount, "Instance", r.Instance, "Type", r.Type, "State", r.State,
			"Request code", r.RequestCode, "Request number", r.Sequence, "Newest authorization", fmt.Sprintf("version %d", r.Version), "Issued", r.IssuedAt,
		}
		if r.Confirmed > 0 {
			pairs = append(pairs, "Confirmed", fmt.Sprintf("version %d", r.Confirmed), "Confirmed at", r.ConfirmedAt)
		} else {
			pairs = append(pairs, "Confirmed", "")
		}
		if r.EndedAt != nil {
			pairs = append(pairs, "Ended", r.EndedAt, "Return code", r.ReturnCode)
		}
		for _, link := range []struct{ name, id string }{{"Licenses came from", r.Predecessor}, {"Licenses went to", r.Successor}} {
			if link.id != "" {
				pairs = append(pairs, link.name, link.id)
			}
		}
		if r.Repeated {
			pairs = append(pairs, "Repeated", "the same had been done before; nothing was changed")
		}
		fields(w, pairs...)
		if len(r.Lots) > 0 {
			fmt.Fprintln(w)
			t := newTable(w, "tag | quantity | type | until | lot | subscription")
			for _, l := range r.Lots {
				t.row(l.Tag, l.Quantity, l.Type, l.End, l.Lot, l.Subscription)
			}
			t.end()
		}
		if r.State == string(license.ReservationInTransit) {
			fmt.Fprintf(w, "\nCharged until the confirmation code comes: %s\n", sumText(r.Charged, r.Type))
		}
		if len(r.Findings) > 0 {
			fmt.Fprintln(w)
			writeFindings(w, r.Findings)
		}
	}
}

type rehostAskCmd struct {
	Reservation string `arg:"" help:"Reservation of the dead product, by id, UDI or serial number."`
	RequestCode string `arg:"" help:"Request code of the new product."`
	Reason      string `required:"" help:"Why the old product cannot make a return code." placeholder:"TEXT" env:"-"`
}

// Run asks for a rehost.
func (c rehostAskCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	asked, err := r.AskRehost(ctx, account, c.Reservation, api.NewRehost{RequestCode: c.RequestCode, Reason: c.Reason})
	if err != nil {
		return err
	}
	return s.say(asked, "%s is %s; another administrator approves it with: tally reservation rehost approve %s", asked.ID, strings.ToLower(asked.State), asked.ID)
}

type rehostApproveCmd struct {
	Rehost string `arg:"" help:"Id of the rehost; tally reservation rehost list shows it."`
	Yes    bool   `help:"Do it without asking." env:"-"`
	carry
}

// Run approves a rehost that somebody else asked for.
func (c rehostApproveCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "rehosts", r.Rehosts(ctx, account))
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(all, func(v api.Rehost) bool { return v.ID == c.Rehost }); i >= 0 && all[i].State == string(authority.RehostWaiting) {
		w := all[i]
		old, err := r.Reservation(ctx, account, w.Reservation)
		if err != nil {
			return err
		}
		if err := s.confirm(c.Yes, "%s of the reservation %s of the dead product %s go to the new product %s at once (%s asked: %s). Whatever the old product still uses is counted by nobody.",
			sumText(old.Licenses, old.Type), old.ID, cellText(w.UDI), cellText(w.NewUDI), cellText(w.AskedBy), cellText(w.Reason)); err != nil {
			return err
		}
	}
	made, err := r.ApproveRehost(ctx, account, c.Rehost)
	if err != nil {
		return err
	}
	return c.answer(s, made, c.next(made))
}

type rehostRejectCmd struct {
	Rehost string `arg:"" help:"Id of the rehost; tally reservation rehost list shows it."`
}

// Run rejects a rehost.
func (c rehostRejectCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	ended, err := r.RejectRehost(ctx, account, c.Rehost)
	if err != nil {
		return err
	}
	return s.say(ended, "%s is rejected; nothing was moved", ended.ID)
}

type rehostListCmd struct{}

// Run lists rehosts.
func (rehostListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "rehosts", r.Rehosts(ctx, account))
	if err != nil {
		return err
	}
	return printList(s, all, "there are no rehosts", "id | reservation | dead product | new product | state | asked | by | reason",
		func(v api.Rehost) []any {
			return []any{v.ID, v.Reservation, v.UDI, v.NewUDI, v.State, v.AskedAt, v.AskedBy, v.Reason}
		})
}

type reservationLeaveCmd struct {
	Name      string `arg:"" optional:"" help:"Name or id of the account; the one of --account if absent."`
	Universal bool   `help:"Universal reservations, which cover every use." env:"-"`
}

func (c reservationLeaveCmd) set(ctx context.Context, s *shell, allowed bool) error {
	r, account, err := s.leaveAccount(ctx, c.Name)
	if err != nil {
		return err
	}
	leave, err := r.ReservationLeave(ctx, account)
	if err != nil {
		return err
	}
	if c.Universal {
		leave.Universal = allowed
	} else {
		leave.Specific = allowed
	}
	if leave, err = r.SetReservationLeave(ctx, account, leave); err != nil {
		return err
	}
	return s.print(leave, showLeave(leave))
}

func (s *shell) leaveAccount(ctx context.Context, name string) (*remote, string, error) {
	if name == "" {
		return s.in(ctx)
	}
	r, err := s.connect()
	return r, name, err
}

func showLeave(l api.ReservationLeave) func(io.Writer) {
	return func(w io.Writer) { fields(w, "May reserve licenses", l.Specific, "May reserve every use", l.Universal) }
}

type (
	reservationAllowCmd     struct{ reservationLeaveCmd }
	reservationDenyCmd      struct{ reservationLeaveCmd }
	reservationLeaveShowCmd struct {
		Name string `arg:"" optional:"" help:"Name or id of the account; the one of --account if absent."`
	}
)

// Run lets an account reserve.
func (c reservationAllowCmd) Run(ctx context.Context, s *shell) error { return c.set(ctx, s, true) }

// Run stops new reservations of an account; those that it has stay.
func (c reservationDenyCmd) Run(ctx context.Context, s *shell) error { return c.set(ctx, s, false) }

// Run shows what an account may reserve.
func (c reservationLeaveShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.leaveAccount(ctx, c.Name)
	if err != nil {
		return err
	}
	leave, err := r.ReservationLeave(ctx, account)
	if err != nil {
		return err
	}
	return s.print(leave, showLeave(leave))
}
