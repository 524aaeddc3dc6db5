package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/qrcode"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// reservationCmds are the words of the ceremony.
type reservationCmds struct {
	Enable      reservationEnableCmd      `cmd:"" help:"Turn the reservation mode on; the product must not be registered."`
	Request     reservationRequestCmd     `cmd:"" help:"Make a request code, or show the open one."`
	Install     reservationInstallCmd     `cmd:"" help:"Install an authorization that was pasted; shows the confirmation code."`
	InstallFile reservationInstallFileCmd `cmd:"" name:"install-file" help:"Install an authorization from its file; shows the confirmation code."`
	Return      struct {
		Now      reservationReturnCmd   `cmd:"" default:"withargs" hidden:"" help:"Give the licenses up; shows the return code."`
		Complete reservationCompleteCmd `cmd:"" help:"End the return, once its code is at the authority."`
	} `cmd:"" help:"Give the licenses up; shows the return code, again when it was made before."`
	ReturnAuthorization reservationDiscardCmd `cmd:"" name:"return-authorization" help:"Turn an authorization that was never installed into a return code."`
	Cancel              reservationCancelCmd  `cmd:"" help:"Forget the open request."`
	Disable             reservationDisableCmd `cmd:"" help:"Turn the reservation mode off."`
	Show                reservationShowCmd    `cmd:"" help:"Show where the reservation stands, and every code again."`
}

// keepCode says where a code goes besides the terminal.
type keepCode struct {
	Output string `short:"o" help:"Write the code to this file; a name that ends in .png makes a QR picture." placeholder:"FILE"`
	QR     bool   `name:"qr" help:"Draw the code as a QR code on the terminal."`
}

func (k keepCode) keep(s *shell, code string) error {
	if code == "" {
		return nil
	}
	if k.Output != "" {
		data := []byte(code + "\n")
		if strings.EqualFold(filepath.Ext(k.Output), ".png") {
			var err error
			if data, err = qrcode.PNG(code); err != nil {
				return err
			}
		}
		if err := trust.WriteFile(k.Output, data, 0o600); err != nil {
			return err
		}
		fmt.Fprintf(s.stderr, "wrote %s\n", k.Output)
	}
	if k.QR {
		return qrcode.Terminal(s.stdout, code)
	}
	return nil
}

// reservation prints where the reservation stands: the JSON document, or a code with what to do with it.
func (s *shell) reservation(r agent.ReservationStatus, label, code, next string) error {
	if s.json {
		return s.print(r)
	}
	if code != "" {
		fmt.Fprintf(s.stdout, "%s: %s\n", label, code)
	}
	if next != "" {
		fmt.Fprintln(s.stdout, next)
	}
	return nil
}

type reservationEnableCmd struct {
	Root string `help:"Fingerprint of the root certificate of the authority; authorizations of others are refused. Without it the first one decides." placeholder:"FINGERPRINT"`
}

// Run turns the mode on.
func (c *reservationEnableCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.agent.EnableReservation(ctx, c.Root)
	if err != nil {
		return err
	}
	return s.reservation(r, "", "", "The reservation mode is on. Next: tally-agent license smart reservation request")
}

type reservationRequestCmd struct {
	Above int `help:"Use a number above this one, which the authority names when it has seen higher ones." placeholder:"N"`
	keepCode
}

// Run makes or shows a request code.
func (c *reservationRequestCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.agent.RequestReservation(ctx, c.Above)
	if err != nil {
		return err
	}
	if err := s.reservation(r, "Request code", r.RequestCode, "Enter it at the authority: tally reservation create REQUEST-CODE TAG=QTY…"); err != nil {
		return err
	}
	return c.keep(s, r.RequestCode)
}

type reservationInstallCmd struct {
	Code string `arg:"" help:"The line or the text of the authorization, or - for standard input."`
	keepCode
}

// Run installs a pasted authorization.
func (c *reservationInstallCmd) Run(ctx context.Context, s *shell) error {
	text, err := pasted(c.Code)
	if err != nil {
		return err
	}
	return install(ctx, s, text, c.keepCode)
}

// pasted is an argument, or standard input for a dash.
func pasted(text string) ([]byte, error) {
	if text != "-" {
		return []byte(text), nil
	}
	return bounded("standard input", os.Stdin)
}

// bounded reads what may be an authorization.
func bounded(name string, from io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, 2*wire.MaxReservation+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

func readAuthorization(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, license.Refuse(license.KindInvalid, "usage", "check the name of the file", "the authorization cannot be read: %v", err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	return bounded(file, f)
}

type reservationInstallFileCmd struct {
	File string `arg:"" help:"File that the authority made."`
	keepCode
}

// Run installs an authorization from its file.
func (c *reservationInstallFileCmd) Run(ctx context.Context, s *shell) error {
	text, err := readAuthorization(c.File)
	if err != nil {
		return err
	}
	return install(ctx, s, text, c.keepCode)
}

func install(ctx context.Context, s *shell, text []byte, k keepCode) error {
	r, err := s.agent.InstallReservation(ctx, text)
	if err != nil {
		return err
	}
	if !s.json {
		fmt.Fprint(s.stdout, reservedText(r))
	}
	if err := s.reservation(r, "Confirmation code", r.ConfirmationCode, "Enter it at the authority: tally reservation confirm "+r.Reservation+" CODE"); err != nil {
		return err
	}
	return k.keep(s, r.ConfirmationCode)
}

type reservationReturnCmd struct {
	keepCode
}

// Run gives the licenses up.
func (c *reservationReturnCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.agent.ReturnReservation(ctx)
	if err != nil {
		return err
	}
	if err := s.reservation(r, "Return code", r.ReturnCode,
		"Enter it at the authority: tally reservation return ID CODE\nThen finish here: tally-agent license smart reservation return complete"); err != nil {
		return err
	}
	return c.keep(s, r.ReturnCode)
}

type reservationCompleteCmd struct{}

// Run ends a return.
func (*reservationCompleteCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.agent.CompleteReturn(ctx)
	if err != nil {
		return err
	}
	said := "The return is complete"
	if r.LastReturnCode == "" {
		said = "Nothing was returned, so there is nothing to complete"
	}
	return s.reservation(r, "Last return code", r.LastReturnCode, said+". Next: reservation request, or reservation disable")
}

type reservationDiscardCmd struct {
	Code string `arg:"" optional:"" help:"The line or the text of the authorization, or - for standard input."`
	File string `help:"File of the authorization." placeholder:"FILE"`
	keepCode
}

// Run gives an authorization back that was never installed.
func (c *reservationDiscardCmd) Run(ctx context.Context, s *shell) error {
	if (c.Code == "") == (c.File == "") {
		return license.Refuse(license.KindInvalid, "usage", "paste the authorization, or name its file with --file", "name the authorization once")
	}
	text, err := pasted(c.Code)
	if c.File != "" {
		text, err = readAuthorization(c.File)
	}
	if err != nil {
		return err
	}
	r, code, err := s.agent.ReturnAuthorization(ctx, text)
	if err != nil {
		return err
	}
	if err := s.reservation(r, "Return code", code, "Enter it at the authority: tally reservation return ID CODE"); err != nil {
		return err
	}
	return c.keep(s, code)
}

type reservationCancelCmd struct{}

// Run forgets the open request.
func (*reservationCancelCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.agent.CancelReservation(ctx)
	if err != nil {
		return err
	}
	return s.reservation(r, "", "", "No request is open. An authorization that the authority has made for it is given back with reservation return-authorization.")
}

type reservationDisableCmd struct{}

// Run turns the mode off.
func (*reservationDisableCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.agent.DisableReservation(ctx)
	if err != nil {
		return err
	}
	return s.reservation(r, "", "", "The reservation mode is off; the product may register.")
}

type reservationShowCmd struct {
	keepCode
}

// Run shows the reservation with every code.
func (c *reservationShowCmd) Run(ctx context.Context, s *shell) error {
	r, err := s.agent.ReservationStatus(ctx)
	if err != nil {
		return err
	}
	if s.json {
		return s.print(r)
	}
	fmt.Fprint(s.stdout, reservationText(r))
	return c.keep(s, cmp.Or(r.ReturnCode, r.ConfirmationCode, r.RequestCode, r.LastReturnCode))
}

// reservationText is all that is known of a reservation.
func reservationText(r agent.ReservationStatus) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-20s %s\n", name+":", value)
		}
	}
	line("Reservation mode", map[bool]string{true: "on", false: "off"}[r.Enabled])
	line("State", r.State)
	line("Requests made", fmt.Sprint(r.Sequence))
	line("Trusted root", r.Root)
	line("Request code", r.RequestCode)
	b.WriteString(reservedText(r))
	line("Confirmation code", r.ConfirmationCode)
	line("Return code", r.ReturnCode)
	for _, e := range r.Endings {
		what := "returned"
		if !e.Installed {
			what = "never installed"
		}
		fmt.Fprintf(&b, "%-20s %s  %s on %s\n", fmt.Sprintf("Request %d ended:", e.Sequence), e.Code, what, e.At.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return b.String()
}

// reservedText is what an installed reservation says.
func reservedText(r agent.ReservationStatus) string {
	if r.State != agent.ReservationReserved {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-20s %s, version %d, of %s (%s)\n", "Installed:", r.Reservation, r.Version, r.Account, r.VirtualAccount)
	if r.Type == string(license.Universal) {
		b.WriteString("  every use of this product is covered\n")
	}
	for _, l := range r.Licenses {
		ends := ""
		if !l.Ends.IsZero() {
			ends = ", until " + l.Ends.UTC().Format(time.DateOnly)
		}
		fmt.Fprintf(&b, "  %d reserved, %d in use: %s (%s)%s\n", l.Reserved, l.Used, cmp.Or(l.Name, l.Tag), l.Tag, ends)
	}
	return b.String()
}
