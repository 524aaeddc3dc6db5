package cdr

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// The stored form of a record set, version 1: the version byte, the number of
// records, then for each record a mask of the fields that are not zero, time
// and correlator as differences to the record before, the digest, the counts
// and the texts. A text is a number: that of an equal text before, or one past
// them followed by the text itself; a GUID in the usual form takes 16 bytes.
const (
	encodingVersion = 1
	minEncoded      = 1 + 1 + 1 + 16 // bytes of the least record
	guidLength      = 36
	markGUID        = 0 // in the place of a length
)

// Bits of the mask; the texts take the bits from maskTexts on.
const (
	maskDeactivated = 1 << iota
	maskInIVR
	maskHasMedia
	maskHasVideo
	maskDuration
	maskLegsMaxActive
	maskLegsCompleted
	maskTexts

	allTexts = 19
	maskBits = 7 + allTexts // the seven above and one for each text
)

// Encode returns the stored form of records, in the order given. RecordIndex,
// Missing and Unknown are left out, so that the bytes of a sorted set depend on
// what the bridge said and not on how it reached a receiver.
func Encode(records []*Record) []byte {
	e := encoders.Get().(*encoder)
	out := bytes.Clone(e.encode(records))
	clear(e.seen) // nothing of the records stays
	e.last = [len(e.last)]numbered{}
	if len(records) <= maxKept {
		encoders.Put(e)
	}
	return out
}

// encoders are used again, with the room that they have.
var encoders = sync.Pool{New: func() any { return &encoder{seen: map[string]uint64{}} }}

func (e *encoder) encode(records []*Record) []byte {
	e.out = append(e.out[:0], encodingVersion)
	e.out = binary.AppendUvarint(e.out, uint64(len(records)))
	var at, correlator int64
	for _, r := range records {
		texts, counts := r.texts(), r.counts()
		mask := r.mask(&texts)
		e.out = binary.AppendUvarint(e.out, mask)
		e.out = binary.AppendVarint(e.out, r.At.UnixMilli()-at)
		e.out = binary.AppendVarint(e.out, r.Correlator-correlator)
		at, correlator = r.At.UnixMilli(), r.Correlator
		e.out = append(e.out, r.Digest[:]...)
		for bit, n := range counts {
			if mask&(maskDuration<<bit) != 0 {
				e.out = binary.AppendVarint(e.out, *n)
			}
		}
		e.text(string(r.Kind), len(texts))
		for bit, t := range texts {
			if mask&(maskTexts<<bit) != 0 {
				e.text(*t, bit)
			}
		}
	}
	return e.out
}

// Decode reads what Encode wrote. Anything else is refused with an *Error.
func Decode(stored []byte) ([]*Record, error) {
	d := decoder{in: stored}
	if version := d.bytes(1); d.err == nil && version[0] != encodingVersion {
		return nil, &Error{Message: fmt.Sprintf("record set of version %d, want %d", version[0], encodingVersion)}
	}
	n := d.uvarint()
	if n > uint64(len(stored)/minEncoded) {
		return nil, &Error{Message: fmt.Sprintf("%d records in %d bytes", n, len(stored)), Offset: int64(d.at)}
	}
	whole := make([]Record, n)
	records := make([]*Record, n)
	var at, correlator int64
	for i := range whole {
		r := &whole[i]
		records[i] = r
		mask := d.uvarint()
		if mask>>maskBits != 0 {
			d.fail("fields that this version does not know")
		}
		at += d.varint()
		correlator += d.varint()
		r.At, r.Correlator = time.UnixMilli(at).UTC(), correlator
		copy(r.Digest[:], d.bytes(len(r.Digest)))
		r.Deactivated, r.InIVR = mask&maskDeactivated != 0, mask&maskInIVR != 0
		r.HasMedia, r.HasVideo = mask&maskHasMedia != 0, mask&maskHasVideo != 0
		for bit, n := range r.counts() {
			if mask&(maskDuration<<bit) != 0 {
				*n = d.varint()
			}
		}
		r.Kind = Kind(d.text())
		for bit, t := range r.texts() {
			if mask&(maskTexts<<bit) != 0 {
				*t = d.text()
			}
		}
		if d.err != nil {
			return nil, d.err
		}
	}
	if d.at != len(stored) {
		d.fail("bytes after the last record")
	}
	if d.err != nil {
		return nil, d.err
	}
	return records, nil
}

// texts lists the text fields in the order of their bits; the order is stored.
func (r *Record) texts() [allTexts]*string {
	return [...]*string{
		&r.Session, &r.CallBridge, &r.CallID, &r.LegID, &r.MediaID,
		&r.Name, &r.OwnerName, &r.CallType, &r.Space, &r.CallCorrelator, &r.State,
		&r.DisplayName, &r.RemoteParty, &r.RemoteAddress, &r.LocalAddress,
		&r.Type, &r.SubType, &r.Direction, &r.Reason,
	}
}

// counts lists the counts in the order of their bits.
func (r *Record) counts() [3]*int64 {
	return [...]*int64{&r.DurationSeconds, &r.LegsMaxActive, &r.LegsCompleted}
}

func (r *Record) mask(texts *[allTexts]*string) (mask uint64) {
	for bit, set := range [...]bool{r.Deactivated, r.InIVR, r.HasMedia, r.HasVideo} {
		if set {
			mask |= 1 << bit
		}
	}
	for bit, n := range r.counts() {
		if *n != 0 {
			mask |= maskDuration << bit
		}
	}
	for bit, t := range texts {
		if *t != "" {
			mask |= maskTexts << bit
		}
	}
	return mask
}

type encoder struct {
	out  []byte
	seen map[string]uint64
	last [allTexts + 1]numbered // by field: neighbors mostly say the same
}

// numbered is a text with its number.
type numbered struct {
	text   string
	number uint64
}

// text appends a text of a field.
func (e *encoder) text(s string, field int) {
	last := &e.last[field]
	if s == last.text && s != "" {
		e.out = binary.AppendUvarint(e.out, last.number)
		return
	}
	n, ok := e.seen[s]
	if !ok {
		n = uint64(len(e.seen))
		e.seen[s] = n
	}
	*last = numbered{s, n}
	e.out = binary.AppendUvarint(e.out, n)
	if ok {
		return
	}
	if raw, ok := parseGUID(s); ok {
		e.out = append(append(e.out, markGUID), raw[:]...)
		return
	}
	e.out = binary.AppendUvarint(e.out, uint64(len(s))+1)
	e.out = append(e.out, s...)
}

// decoder reads until the first error and gives zeros from then on.
type decoder struct {
	in   []byte
	at   int
	seen []string
	err  error
}

func (d *decoder) fail(message string) {
	if d.err == nil {
		d.err = &Error{Message: message, Offset: int64(d.at)}
	}
}

func (d *decoder) bytes(n int) []byte {
	if d.err != nil || n > len(d.in)-d.at {
		d.fail("record set cut short")
		return make([]byte, min(n, guidLength))
	}
	d.at += n
	return d.in[d.at-n : d.at]
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.in[d.at:])
	if n <= 0 {
		d.fail("number cut short")
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *decoder) text() string {
	switch n := d.uvarint(); {
	case d.err != nil:
		return ""
	case n < uint64(len(d.seen)):
		return d.seen[n]
	case n > uint64(len(d.seen)):
		d.fail("text that was not written before")
		return ""
	}
	var s string
	switch n := d.uvarint(); {
	case n == markGUID:
		s = formatGUID(d.bytes(16))
	case n-1 > uint64(len(d.in)):
		d.fail("text longer than the record set")
	default:
		s = string(d.bytes(int(n - 1)))
	}
	d.seen = append(d.seen, s)
	return s
}

// parseGUID reads the usual form in lower case, the only one that formatGUID
// gives back.
func parseGUID(s string) (raw [16]byte, ok bool) {
	if len(s) != guidLength || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return raw, false
	}
	from := 0
	for i := range raw {
		if from == 8 || from == 13 || from == 18 || from == 23 {
			from++
		}
		high, low := nibble(s[from]), nibble(s[from+1])
		if high > 15 || low > 15 {
			return raw, false
		}
		raw[i] = high<<4 | low
		from += 2
	}
	return raw, true
}

func formatGUID(raw []byte) string {
	out := make([]byte, 0, guidLength)
	for i := range raw {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = hex.AppendEncode(out, raw[i:i+1])
	}
	return string(out)
}

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	default:
		return 255
	}
}
