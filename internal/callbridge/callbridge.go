// Package callbridge knows the API of call bridges: its XML documents, a client that reads them, and how they are written.
// The client and the face that this program serves itself use the same types, so that each is held to the form of the other.
//
// It is not the poller, which decides what is asked when and what follows (package conference), and not a server of routes
// (package web). It keeps nothing.
//
// Invariants:
//   - Read-only: the client sends GET requests and nothing else.
//   - Documents are bounded before they are parsed; a document type declaration is refused; elements that are not known are
//     passed over, in any order; what is missing is zero or empty.
//   - Amounts with decimals are whole numbers of hundredths or thousandths. Digits that do not fit are refused, not rounded.
//   - A password never stands in an error, and goes to the named server only.
package callbridge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Hundredths is an amount in hundredths, written with two decimals: counters of snapshots.
type Hundredths int64

// Thousandths is an amount in thousandths, written with three decimals: weighted calls and capacity units.
type Thousandths int64

// UnmarshalText reads "1", "1.0" or "1.00"; empty is zero.
func (h *Hundredths) UnmarshalText(text []byte) error {
	n, err := decimal(string(text), 2)
	*h = Hundredths(n)
	return err
}

// MarshalText writes two decimals.
func (h Hundredths) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// String is the amount with two decimals.
func (h Hundredths) String() string { return places(int64(h), 2) }

// UnmarshalText reads "1" to "1.000"; empty is zero.
func (t *Thousandths) UnmarshalText(text []byte) error {
	n, err := decimal(string(text), 3)
	*t = Thousandths(n)
	return err
}

// MarshalText writes three decimals.
func (t Thousandths) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// String is the amount with three decimals.
func (t Thousandths) String() string { return places(int64(t), 3) }

const maxWhole = 1_000_000_000 // nothing that a call bridge counts comes near

// decimal reads a number that is not negative as a whole number of parts, ten to the power of digits in one.
func decimal(text string, digits int) (int64, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, nil
	}
	whole, rest, _ := strings.Cut(text, ".")
	rest = strings.TrimRight(rest, "0")
	if len(rest) > digits {
		return 0, fmt.Errorf("%.40q has more than %d decimals", text, digits)
	}
	rest += strings.Repeat("0", digits-len(rest))
	if strings.ContainsFunc(whole+rest, func(r rune) bool { return r < '0' || r > '9' }) || whole == "" {
		return 0, fmt.Errorf("%.40q is no number", text)
	}
	n, err := strconv.ParseInt(whole+rest, 10, 64)
	if err != nil || len(whole) > len(strconv.Itoa(maxWhole)) {
		return 0, fmt.Errorf("%.40q is too large", text)
	}
	return n, nil
}

func places(n int64, digits int) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	text := fmt.Sprintf("%0*d", digits+1, n)
	return sign + text[:len(text)-digits] + "." + text[len(text)-digits:]
}

// Number is a whole number; empty is zero.
type Number int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Number) UnmarshalText(text []byte) error {
	v, err := decimal(string(text), 0)
	*n = Number(v)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (n Number) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(n), 10), nil }

// Flag is true or false; empty is false.
type Flag bool

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Flag) UnmarshalText(text []byte) error {
	switch strings.ToLower(strings.TrimSpace(string(text))) {
	case "true", "1":
		*f = true
	case "", "false", "0":
		*f = false
	default:
		return fmt.Errorf("%.40q is neither true nor false", text)
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (f Flag) MarshalText() ([]byte, error) { return strconv.AppendBool(nil, bool(f)), nil }

// Text is a value without the space around it.
type Text string

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Text) UnmarshalText(text []byte) error {
	*t = Text(strings.TrimSpace(string(text)))
	if len(*t) > maxText {
		return fmt.Errorf("a value has more than %d bytes", maxText)
	}
	return nil
}

// maxText is the most bytes of one value.
const maxText = 4096

// Instant is a time in UTC, to the second; empty is the zero time.
type Instant struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *Instant) UnmarshalText(text []byte) error {
	i.Time = time.Time{}
	if t := strings.TrimSpace(string(text)); t != "" {
		at, err := time.Parse(time.RFC3339, t)
		if err != nil {
			return fmt.Errorf("%.40q is no time", t)
		}
		i.Time = at.UTC()
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (i Instant) MarshalText() ([]byte, error) {
	if i.IsZero() {
		return nil, nil
	}
	return []byte(i.UTC().Format(time.RFC3339)), nil
}

// Expiry is a day as licenses have it, such as 2022-Aug-08; the zero day is none.
type Expiry struct{ time.Time }

const expiryForm = "2006-Jan-02"

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Expiry) UnmarshalText(text []byte) error {
	e.Time = time.Time{}
	if t := strings.TrimSpace(string(text)); t != "" {
		at, err := time.Parse(expiryForm, t)
		if err != nil {
			return fmt.Errorf("%.40q is no day such as 2022-Aug-08", t)
		}
		e.Time = at
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (e Expiry) MarshalText() ([]byte, error) {
	if e.IsZero() {
		return nil, errors.New("an expiry without a day")
	}
	return []byte(e.Format(expiryForm)), nil
}
