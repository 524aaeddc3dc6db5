package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

// KindReservation is the kind of the authorization of a reservation, a file that people carry; AudienceReservation is its
// audience. Which product it is for stands in it.
const (
	KindReservation     = "tally.reservation.1"
	AudienceReservation = "tally-product"
)

// MaxReservation is the size in bytes above which the authorization of a reservation is refused unread (domain rule 44).
const MaxReservation = 64 << 10

// pasted begins the authorization of a reservation as one line, for people who cannot carry a file: the file in base64url.
const pasted = "tally1:"

// Reservation is what the authorization of a reservation says. It carries the key with which the product makes the codes that
// answer it; whoever has it can give the licenses back.
type Reservation struct {
	Account        Named  `json:"account"`
	VirtualAccount Named  `json:"virtualAccount"`
	Reservation    string `json:"reservation"`
	PID            string `json:"pid"`
	Serial         string `json:"serial"`
	// Request is the request code that it answers, without the UDI; the sequence is the request's.
	Request  string                  `json:"request"`
	Sequence int                     `json:"sequence"`
	Version  int                     `json:"version"`
	Kind     license.ReservationKind `json:"kind"`
	Lots     []license.ReservedLot   `json:"lots"`
	IssuedAt time.Time               `json:"issuedAt"`
	Key      []byte                  `json:"key,omitempty"`
}

// UDI is the identity of the product that it is for.
func (r Reservation) UDI() string { return Product{PID: r.PID, Serial: r.Serial}.UDI() }

// ParseUDI takes a UDI in the form that products print apart.
func ParseUDI(udi string) (pid, serial string, err error) {
	pid, serial, ok := strings.Cut(udi, ",SN:")
	pid, begins := strings.CutPrefix(pid, "PID:")
	p := Product{Name: "product", PID: pid, Serial: serial}
	if err := p.Check(); !ok || !begins || err != nil {
		return "", "", license.Refuse(license.KindInvalid, "bad-udi", "write it as the product shows it, such as PID:CMS-1000,SN:A1",
			"%.100q is not the identity of a product", udi)
	}
	return pid, serial, nil
}

// Check refuses what no authority would sign.
func (r Reservation) Check() error {
	if err := (Product{Name: "product", PID: r.PID, Serial: r.Serial}).Check(); err != nil {
		return err
	}
	switch {
	case r.Sequence < 1 || r.Sequence > trust.MaxCodeSequence || r.Version < 1 || r.Version > trust.MaxCodeVersion:
		return malformed("the authorization has the sequence %d and the version %d", r.Sequence, r.Version)
	case r.Kind != license.Specific && r.Kind != license.Universal:
		return malformed("the authorization is of the unknown kind %.40q", r.Kind)
	case len(r.Lots) > license.MaxReservedLots:
		return malformed("the authorization has more than %d lots", license.MaxReservedLots)
	}
	for _, l := range r.Lots {
		if err := checkCount(l.Tag, l.Quantity); err != nil {
			return err
		}
	}
	return nil
}

// Text is what is signed: first for people, then the same as JSON.
func (r Reservation) Text() ([]byte, error) {
	doc, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write authorization: %w", err)
	}
	var b bytes.Buffer
	line := func(format string, args ...any) { b.WriteString(printable(fmt.Sprintf(format, args...)) + "\n") }
	line("TALLYSTICK LICENSE RESERVATION")
	line("")
	line("Product          %s", r.UDI())
	line("Account          %s, virtual account %s", r.Account.Name, r.VirtualAccount.Name)
	line("Reservation      %s, version %d", r.Reservation, r.Version)
	line("Answers request  %s (number %d)", r.Request, r.Sequence)
	line("Issued           %s", stamp(r.IssuedAt))
	line("")
	if r.Kind == license.Universal {
		line("Universal: every use of this product is covered.")
	}
	for _, l := range r.Lots {
		term := "without end"
		if !l.End.IsZero() {
			term = "until " + stamp(l.End)
		}
		line("%8d  %s (%s), %s", l.Quantity, l.Name, l.Tag, term)
	}
	line("")
	line("Install it on the product: tally-agent license smart reservation install-file FILE")
	line("It answers with a confirmation code. Keep this file to yourself: who has it can give these licenses back.")
	line("")
	b.Write(doc)
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// printable keeps what is not text out of a line for people.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd {
			return '?'
		}
		return r
	}, s)
}

// ParseReservation reads the verified text of an authorization. Members that a newer authority adds are ignored.
func ParseReservation(text []byte) (Reservation, error) {
	var r Reservation
	at := bytes.Index(text, []byte("\n{\n"))
	if at < 0 {
		return r, malformed("the authorization holds no data")
	}
	if err := json.Unmarshal(text[at:], &r); err != nil {
		return r, malformed("the data of the authorization cannot be read: %v", err)
	}
	return r, r.Check()
}

// OneLine writes an authorization file as one line that can be pasted.
func OneLine(file []byte) string { return pasted + base64.RawURLEncoding.EncodeToString(file) }

// errNoReservation is why text is no authorization.
var errNoReservation = errors.New("it is neither the file of an authorization nor its line")

// CarriedReservation finds the file of an authorization in what somebody pasted or read: the file itself, with whatever line ends
// it got on its way, its line, or its frames. Nothing is verified.
func CarriedReservation(text []byte) ([]byte, error) {
	if len(text) > 2*MaxReservation {
		return nil, license.Refuse(license.KindTooLarge, "too-large", "give the file that the authority made, and nothing else",
			"it has %d bytes; an authorization has at most %d", len(text), MaxReservation)
	}
	trimmed := bytes.TrimSpace(text)
	if line, ok := bytes.CutPrefix(trimmed, []byte(pasted)); ok {
		line = bytes.Map(func(r rune) rune { // a terminal may have broken it
			if r == '\n' || r == '\r' || r == ' ' {
				return -1
			}
			return r
		}, line)
		file, err := base64.RawURLEncoding.Strict().DecodeString(string(line))
		if err != nil {
			return nil, notCarried(errors.New("the line was not copied whole"))
		}
		return file, nil
	}
	if bytes.HasPrefix(trimmed, []byte("tally1/")) {
		return joinFrames(string(trimmed))
	}
	if !bytes.HasPrefix(trimmed, []byte("TALLYSTICK LICENSE RESERVATION")) {
		return nil, notCarried(errNoReservation)
	}
	return append(bytes.ReplaceAll(trimmed, []byte("\r\n"), []byte("\n")), '\n'), nil
}

func notCarried(err error) error {
	return license.Refuse(license.KindInvalid, "authorization-unreadable", "copy it again from the authority: the whole file, or the whole line that begins with "+pasted,
		"this is no authorization of a reservation: %v", err)
}

// Frames cuts an authorization into texts of at most size bytes, for pictures that take no more. Each says which it is, of how many
// and of which whole, so that CarriedReservation can put them together in any order and say which are missing.
func Frames(file []byte, size int) []string {
	line := base64.RawURLEncoding.EncodeToString(file)
	const head = len("tally1/99/99/12345678:")
	n := max(1, (len(line)+size-head-1)/(size-head))
	each := (len(line) + n - 1) / n
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("tally1/%d/%d/%s:%s", i+1, n, frameSum(line), line[i*each:min(len(line), (i+1)*each)]))
	}
	return out
}

func frameSum(line string) string {
	sum := sha256.Sum256([]byte(line))
	return hex.EncodeToString(sum[:4])
}

// maxFrames is how many texts an authorization may be cut into.
const maxFrames = 99

// joinFrames puts the frames of an authorization together. Frames may come in any order and more than once.
func joinFrames(text string) ([]byte, error) {
	var parts []string
	var whole string
	for frame := range strings.FieldsSeq(text) {
		head, part, ok := strings.Cut(frame, ":")
		var i, n int
		var sum string
		if _, err := fmt.Sscanf(strings.ReplaceAll(head, "/", " "), "tally1 %d %d %s", &i, &n, &sum); !ok || err != nil || n < 1 || n > maxFrames || i < 1 || i > n {
			return nil, notCarried(fmt.Errorf("%.30q is no part of one", frame))
		}
		if parts == nil {
			parts, whole = make([]string, n), sum
		}
		if n != len(parts) || sum != whole {
			return nil, notCarried(errors.New("its parts are of different authorizations"))
		}
		parts[i-1] = part
	}
	var missing []string
	for i, p := range parts {
		if p == "" {
			missing = append(missing, fmt.Sprint(i+1))
		}
	}
	if missing != nil {
		return nil, notCarried(fmt.Errorf("of its %d parts these are missing: %s", len(parts), strings.Join(missing, ", ")))
	}
	line := strings.Join(parts, "")
	file, err := base64.RawURLEncoding.Strict().DecodeString(line)
	if err != nil || frameSum(line) != whole {
		return nil, notCarried(errors.New("a part was not copied whole"))
	}
	return file, nil
}
