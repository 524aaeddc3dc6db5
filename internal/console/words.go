package console

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// How instants and lengths of time are written on pages.

const day = 24 * time.Hour

// minute writes an instant to the minute, in UTC; the page says so.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// machine writes an instant for the datetime attribute.
func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// clock writes the time of day to the second.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// relative says how far an instant is from now.
func relative(t, now time.Time) string {
	d := t.Sub(now)
	switch {
	case d >= time.Minute:
		return "in " + roughly(d)
	case d > -time.Minute:
		return "now"
	}
	return roughly(-d) + " ago"
}

// roughly writes a length of time rounded to one unit.
func roughly(d time.Duration) string {
	switch {
	case d < time.Hour-time.Minute/2:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d.Round(time.Hour)/time.Hour)
	case d < 2*365*day:
		return fmt.Sprintf("%d days", d.Round(day)/day)
	}
	return fmt.Sprintf("%d years", d/(365*day))
}

// lasting writes a length of time to the minute, short ones to the second.
func lasting(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int64(d/time.Hour), int64(d/time.Minute)%60, int64(d/time.Second)%60
	switch {
	case h > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	case m >= 10 || m > 0 && s == 0:
		return fmt.Sprintf("%d min", m)
	case m > 0:
		return fmt.Sprintf("%d min %d s", m, s)
	}
	return fmt.Sprintf("%d s", s)
}

// number writes a quantity with commas between the thousands.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// counted writes a quantity with its noun.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// sentence begins with a capital, unless with an address, and ends with a stop; messages of errors do neither.
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	if word, _, _ := strings.Cut(s, " "); strings.Contains(word, "://") {
		return strings.TrimSuffix(s, ".") + "."
	}
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(s[size:], ".") + "."
}

// decimal writes a coordinate.
func decimal(x float64) string { return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64) }
