package trust

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// CodeKind says which step of a reservation a short code belongs to. Its value is the first character of the code.
type CodeKind byte

// The kinds of short codes.
const (
	CodeRequest      CodeKind = 'Q' // made by the product: it asks for a reservation
	CodeConfirmation CodeKind = 'C' // made by the product: this version of the authorization is installed
	CodeReturn       CodeKind = 'R' // made by the product: the reservation was given up
	CodeDiscard      CodeKind = 'D' // made by the product: this authorization was never installed and never will be
)

// Bounds of the numbers in a code.
const (
	MaxCodeSequence = 1<<15 - 1
	MaxCodeVersion  = 1<<10 - 1
	MaxCodeText     = 1024 // bytes of a code as somebody enters it; more is refused unread
)

// codeFormat is the second character of every code. Another form of codes gets another one.
const codeFormat = '1'

// codeAlphabet is Crockford's base 32: no I, L, O or U. O is read as 0, I and L as 1, in either case, so that no look-alike
// makes another code.
const codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Where the parts of a code stand, in characters. Codes of a return have a mark between tag and check.
const (
	codeSequenceAt = 2
	codeVersionAt  = codeSequenceAt + 3
	codeUDIAt      = codeVersionAt + 2
	codeTagAt      = codeUDIAt + 6
	codeMarkAt     = codeTagAt + 10
	codeShort      = codeMarkAt + codeCheck     // 25 characters, five groups
	codeLong       = codeMarkAt + 5 + codeCheck // 30 characters, six groups
	codeCheck      = 2
	codeGroup      = 5
)

// Why a short code is refused before anything is looked up.
var (
	// ErrCodeForm: not the characters, or not as many, as a code has.
	ErrCodeForm = errors.New("this is no code")
	// ErrCodeMistyped: the check characters do not fit: at least one character is wrong, or two are exchanged.
	ErrCodeMistyped = errors.New("the code was mistyped")
	// ErrCodeFormat: a whole code of a form that this version does not know.
	ErrCodeFormat = errors.New("the code is of a newer form")
)

// Code is a short code for people: typed, or read over a telephone. It says which step it is, of which request and which
// version of its authorization, and of which product.
//
//	characters  1  kind          1  form
//	            3  sequence      2  version      of the request, and of the authorization (0 in a request)
//	            6  product       30 bits of the digest of the UDI
//	           10  tag           50 bits: random in a request, otherwise made with a key that only the authorization holds
//	            5  mark          25 random bits, in codes of a return only: giving up twice makes two codes
//	            2  check         over all of it and, in a request, over the UDI that is written after it
//
// The check is the one of a Reed-Solomon code over GF(32) with the roots α and α²: it detects every change of one character,
// every exchange of two neighbors, and every change of any two characters of the code (31 or fewer characters).
type Code struct {
	Kind     CodeKind
	Sequence int
	Version  int
	// UDI is the product's identity as it stands in a request; empty in other codes, which hold a digest only.
	UDI  string
	udi  uint64
	tag  uint64
	mark uint64
}

// NewRequestCode makes the code of a new request of the product with this UDI. The sequence is 1 to MaxCodeSequence.
func NewRequestCode(udi string, sequence int) (Code, error) {
	if sequence < 1 || sequence > MaxCodeSequence || udi == "" || len(udi) > MaxCodeText/2 {
		return Code{}, fmt.Errorf("request code: sequence %d of %.40q is out of range", sequence, udi)
	}
	return Code{Kind: CodeRequest, Sequence: sequence, UDI: udi, udi: codeDigest(udi), tag: randomBits(50)}, nil
}

// CodeKey authenticates the codes that answer an authorization. It travels inside the authorization.
type CodeKey struct{ secret hidden }

// NewCodeKey makes a random key.
func NewCodeKey() CodeKey { return CodeKey{hide([32]byte(Random(32)))} }

// ParseCodeKey reads what Reveal returned.
func ParseCodeKey(b []byte) (CodeKey, error) {
	if len(b) != 32 {
		return CodeKey{}, fmt.Errorf("%w: want a code key of 32 bytes, got %d", ErrKey, len(b))
	}
	return CodeKey{hide([32]byte(b))}, nil
}

// Reveal returns the key, for the one place that writes it into an authorization.
func (k CodeKey) Reveal() []byte { b := k.secret(); return b[:] }

// Sign makes the code by which the product with this UDI answers an authorization: that it is installed, given up, or was
// never installed. Codes of a return are different each time they are made.
func (k CodeKey) Sign(kind CodeKind, udi string, sequence, version int) (Code, error) {
	if sequence < 1 || sequence > MaxCodeSequence || version < 1 || version > MaxCodeVersion || kind == CodeRequest {
		return Code{}, fmt.Errorf("code %q: sequence %d or version %d is out of range", kind, sequence, version)
	}
	c := Code{Kind: kind, Sequence: sequence, Version: version, udi: codeDigest(udi)}
	if kind.marked() {
		c.mark = randomBits(25)
	}
	c.tag = k.tag(c, udi)
	return c, nil
}

// Signed says whether a code was made with this key for the product with this UDI.
func (k CodeKey) Signed(c Code, udi string) bool {
	return c.Kind != CodeRequest && c.Of(udi) && c.tag == k.tag(c, udi)
}

func (k CodeKey) tag(c Code, udi string) uint64 {
	secret := k.secret()
	mac := hmac.New(sha256.New, secret[:])
	_, _ = fmt.Fprintf(mac, "tallystick reservation code 1\n%c %d %d %d\n%s", c.Kind, c.Sequence, c.Version, c.mark, udi) // a hash takes everything
	return leading(mac.Sum(nil), 50)
}

// String prints "redacted": a code key lets its holder give licenses back.
func (k CodeKey) String() string { return redacted }

// Of says whether the code belongs to the product with this UDI. It is no proof: other products may have the same 30 bits.
func (c Code) Of(udi string) bool { return c.udi == codeDigest(udi) }

func codeDigest(udi string) uint64 {
	sum := Digest("tallystick reservation code udi 1", []byte(udi))
	return leading(sum[:], 30)
}

// leading is the first n bits of b, n at most 56.
func leading(b []byte, n int) uint64 {
	var v uint64
	for i := range 7 {
		v = v<<8 | uint64(b[i])
	}
	return v >> (56 - n)
}

func randomBits(n int) uint64 { return leading(Random(7), n) }

func (k CodeKind) marked() bool { return k == CodeReturn || k == CodeDiscard }

func (k CodeKind) known() bool {
	return k == CodeRequest || k == CodeConfirmation || k == CodeReturn || k == CodeDiscard
}

func (k CodeKind) length() int {
	if k.marked() {
		return codeLong
	}
	return codeShort
}

// Name is what people call the kind.
func (k CodeKind) Name() string {
	switch k {
	case CodeRequest:
		return "request code"
	case CodeConfirmation:
		return "confirmation code"
	case CodeReturn:
		return "return code"
	case CodeDiscard:
		return "return code of an authorization that was never installed"
	}
	return "code"
}

// String is the code as people see it: groups of five capital letters and digits; a request is followed by @ and the UDI.
func (c Code) String() string {
	var s []byte
	s = append(s, byte(c.Kind), codeFormat)
	s = appendSymbols(s, uint64(c.Sequence), 3)
	s = appendSymbols(s, uint64(c.Version), 2)
	s = appendSymbols(s, c.udi, 6)
	s = appendSymbols(s, c.tag, 10)
	if c.Kind.marked() {
		s = appendSymbols(s, c.mark, 5)
	}
	s = append(s, codeAlphabet[0], codeAlphabet[0])
	values := make([]byte, len(s))
	for i := range s {
		values[i] = byte(strings.IndexByte(codeAlphabet, s[i]))
	}
	c1, c0 := codeChecks(values, c.UDI)
	s[len(s)-2], s[len(s)-1] = codeAlphabet[c1], codeAlphabet[c0]
	var b strings.Builder
	for i := range s {
		if i > 0 && i%codeGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(s[i])
	}
	if c.Kind == CodeRequest {
		b.WriteByte('@')
		b.WriteString(c.UDI)
	}
	return b.String()
}

func appendSymbols(s []byte, v uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		s = append(s, codeAlphabet[v>>(5*i)&31])
	}
	return s
}

// ParseCode reads a code as somebody typed it: in either case, with or without hyphens and spaces, with look-alikes. The
// errors are ErrCodeForm, ErrCodeMistyped and ErrCodeFormat; nothing is known of a code that is refused.
func ParseCode(text string) (Code, error) {
	if len(text) > MaxCodeText {
		return Code{}, fmt.Errorf("%w: it is longer than %d bytes", ErrCodeForm, MaxCodeText)
	}
	typed, udi, hasUDI := strings.Cut(strings.TrimSpace(text), "@")
	values := make([]byte, 0, codeLong)
	for i, r := range typed {
		if r == '-' || r == ' ' {
			continue
		}
		v := codeValue(r)
		if v < 0 {
			return Code{}, fmt.Errorf("%w: its character %d, %q, does not occur in codes", ErrCodeForm, i+1, r)
		}
		if len(values) == codeLong {
			return Code{}, fmt.Errorf("%w: it has more than %d characters", ErrCodeForm, codeLong)
		}
		values = append(values, byte(v))
	}
	if len(values) != codeShort && len(values) != codeLong {
		return Code{}, fmt.Errorf("%w: it has %d characters, codes have %d or %d", ErrCodeForm, len(values), codeShort, codeLong)
	}
	if !codeChecked(values, udi) {
		if udi = strings.ToUpper(udi); !codeChecked(values, udi) { // product ids are mostly capitals, and read aloud without saying so
			return Code{}, ErrCodeMistyped
		}
	}
	c := Code{
		Kind: CodeKind(codeAlphabet[values[0]]), Sequence: int(symbols(values[codeSequenceAt:codeVersionAt])),
		Version: int(symbols(values[codeVersionAt:codeUDIAt])), UDI: udi, udi: symbols(values[codeUDIAt:codeTagAt]), tag: symbols(values[codeTagAt:codeMarkAt]),
	}
	if codeAlphabet[values[1]] != codeFormat || !c.Kind.known() {
		return Code{}, ErrCodeFormat
	}
	if c.Kind.marked() {
		c.mark = symbols(values[codeMarkAt : len(values)-codeCheck])
	}
	switch {
	case len(values) != c.Kind.length():
		return Code{}, fmt.Errorf("%w: a %s has %d characters", ErrCodeForm, c.Kind.Name(), c.Kind.length())
	case hasUDI != (c.Kind == CodeRequest), c.Kind == CodeRequest && (udi == "" || !c.Of(udi)), c.Sequence == 0, (c.Version == 0) != (c.Kind == CodeRequest):
		return Code{}, fmt.Errorf("%w: a %s does not look like this", ErrCodeForm, c.Kind.Name())
	}
	return c, nil
}

func codeValue(r rune) int {
	switch r {
	case 'o', 'O':
		return 0
	case 'i', 'I', 'l', 'L':
		return 1
	}
	if r >= 'a' && r <= 'z' {
		r += 'A' - 'a'
	}
	if r > 'Z' {
		return -1
	}
	return strings.IndexByte(codeAlphabet, byte(r))
}

func symbols(values []byte) uint64 {
	var v uint64
	for _, s := range values {
		v = v<<5 | uint64(s)
	}
	return v
}

// codeChecks are the two check symbols that make both sums zero; the last two values are not looked at.
func codeChecks(values []byte, udi string) (c1, c0 byte) {
	clear(values[len(values)-codeCheck:])
	s1, s2 := codeSums(values, udi)
	// c1·α + c0 = s1 and c1·α² + c0 = s2, hence c1 = (s1 + s2) / (α + α²); addition is exclusive or.
	c1 = gfMul(s1^s2, gfInverse(gfExp(1)^gfExp(2)))
	return c1, s1 ^ gfMul(c1, gfExp(1))
}

func codeChecked(values []byte, udi string) bool {
	s1, s2 := codeSums(values, udi)
	return s1 == 0 && s2 == 0
}

// codeSums evaluates the word at α and α². The last character has exponent 0; the bytes of the UDI follow the first one, each
// as two symbols of 3 and 5 bits.
func codeSums(values []byte, udi string) (s1, s2 byte) {
	add := func(position int, v byte) {
		s1 ^= gfMul(v, gfExp(position))
		s2 ^= gfMul(v, gfExp(2*position))
	}
	for i, v := range values {
		add(len(values)-1-i, v)
	}
	for i := range len(udi) {
		add(len(values)+2*i, udi[i]>>5)
		add(len(values)+2*i+1, udi[i]&31)
	}
	return s1, s2
}

// gfExp is α to the n in GF(32) with x⁵ + x² + 1, in which α = 2 is primitive.
func gfExp(n int) byte {
	v := byte(1)
	for range n % 31 {
		v <<= 1
		if v&32 != 0 {
			v ^= 0b100101
		}
	}
	return v
}

func gfMul(a, b byte) byte {
	var product byte
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			product ^= a
		}
		a <<= 1
		if a&32 != 0 {
			a ^= 0b100101
		}
	}
	return product
}

// gfInverse is a to the 30, as a to the 31 is 1.
func gfInverse(a byte) byte {
	v := byte(1)
	for range 30 {
		v = gfMul(v, a)
	}
	return v
}
