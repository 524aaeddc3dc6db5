package trust

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// crockford is Crockford's base 32 in lower case: no i, l, o or u.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// idLen is the length of 128 bits in base 32.
const idLen = 26

// ErrID is the error of text that is not an identifier of the wanted kind.
var ErrID = errors.New("malformed identifier")

// NewID returns prefix + "_" + 26 characters: 48 bits of now in milliseconds and 80 random bits (the ULID layout), in
// lower-case Crockford base 32, so that identifiers sort by the millisecond they were made in.
func NewID(prefix string, now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16) // the low 48 bits are wanted
	copy(b[6:], Random(10))
	return idText(prefix, b)
}

// NewIDAfter is NewID for an identifier that sorts after last, which may be any text: within one millisecond, or when the clock
// ran back, it is the one that follows last.
func NewIDAfter(prefix, last string, now time.Time) string {
	b, err := idBytes(prefix, last)
	if err != nil || madeAt(b).Before(now.Truncate(time.Millisecond)) {
		return NewID(prefix, now)
	}
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			break
		}
	}
	return idText(prefix, b)
}

// ValidID tells whether s is an identifier with this prefix, as NewID writes it.
func ValidID(prefix, s string) bool {
	_, err := idBytes(prefix, s)
	return err == nil
}

// madeAt is the millisecond that an identifier was made in; zero when it carries none.
func madeAt(b [16]byte) time.Time {
	ms := int64(binary.BigEndian.Uint64(b[:8]) >> 16)
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// idText writes 128 bits as an identifier.
func idText(prefix string, b [16]byte) string {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	var c [idLen]byte
	for i := idLen - 1; i >= 0; i-- {
		c[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return prefix + "_" + string(c[:])
}

// idBytes reads an identifier back; only the one text that idText writes is accepted.
func idBytes(prefix, s string) ([16]byte, error) {
	var b [16]byte
	digits, ok := strings.CutPrefix(s, prefix+"_")
	if !ok || len(digits) != idLen || digits[0] > '7' {
		return b, fmt.Errorf("%w: want %q and %d characters", ErrID, prefix+"_", idLen)
	}
	var hi, lo uint64
	for i := range len(digits) {
		v := strings.IndexByte(crockford, digits[i])
		if v < 0 {
			return b, fmt.Errorf("%w: character %d is not of base 32", ErrID, len(prefix)+2+i)
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return b, nil
}
