package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

const (
	algProduct   = "ES256" // RFC 7518, section 3.4
	algAuthority = "EdDSA" // RFC 8037, section 3.1

	// maxHeader bounds the encoded protected header: four certificates and the names fit.
	maxHeader = 48 << 10
)

// Header is the protected part of an envelope: all of it is under the signature. Its strings are plain: printable ASCII
// without quote and backslash.
type Header struct {
	Kind     string   // `typ`: what the payload is
	KeyID    string   // `kid`: "<account>/<instance>" for products, thumbprint of the message certificate for the authority
	Audience string   // `aud`: whom it is for
	Number   int64    // `n`: exchange number, not negative
	Chain    [][]byte // `x5c`: certificates in DER, leaf first, where the other side does not know the signer yet
}

// protected is a parsed protected header.
type protected struct {
	Header
	alg string
	jwk *ecdsa.PublicKey
}

// appendHeader writes the protected header. A nil jwk is left out. It tells whether the header can be written.
func appendHeader(b []byte, alg string, h Header, jwk *ecdsa.PublicKey) ([]byte, error) {
	if h.Kind == "" || h.Number < 0 {
		return nil, fmt.Errorf("%w: kind %q, number %d", ErrMalformed, h.Kind, h.Number)
	}
	b = append(b, `{"alg":"`...)
	b = append(b, alg...)
	b = append(b, '"')
	for _, m := range [...]struct{ name, value string }{{`,"typ":"`, h.Kind}, {`,"kid":"`, h.KeyID}, {`,"aud":"`, h.Audience}} {
		for i := range len(m.value) {
			if !plain(m.value[i]) {
				return nil, fmt.Errorf("%w: header text %q is not plain", ErrMalformed, m.value)
			}
		}
		b = append(b, m.name...)
		b = append(b, m.value...)
		b = append(b, '"')
	}
	b = append(b, `,"n":`...)
	b = strconv.AppendInt(b, h.Number, 10)
	for i, der := range h.Chain {
		if i == 0 {
			b = append(b, `,"x5c":["`...)
		} else {
			b = append(b, `","`...)
		}
		b = base64.StdEncoding.AppendEncode(b, der)
	}
	if len(h.Chain) > 0 {
		b = append(b, `"]`...)
	}
	if jwk != nil {
		point, err := jwk.Bytes()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		b = append(b, `,"jwk":{"kty":"EC","crv":"P-256","x":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, point[1:33])
		b = append(b, `","y":"`...)
		b = base64.RawURLEncoding.AppendEncode(b, point[33:])
		b = append(b, `"}`...)
	}
	return append(b, '}'), nil
}

// plain tells whether c may stand in a header's string: printable ASCII that JSON never escapes.
func plain(c byte) bool { return c >= ' ' && c < 0x7f && c != '"' && c != '\\' }

// parseHeader reads a protected header: one JSON object of the members of Header, `alg`, and `jwk`, each at most once,
// `alg` and `typ` always. Any other member is refused, `crit` and `b64` with it (RFC 7515, section 4.1.11), and so is
// every escape in a string, so that no name has two spellings.
func parseHeader(text string) (protected, error) {
	var p protected
	err := scanObject(text, func(s *scanner, name string) bool {
		var ok bool
		switch name {
		case "alg":
			p.alg, ok = s.text()
		case "typ":
			p.Kind, ok = s.text()
		case "kid":
			p.KeyID, ok = s.text()
		case "aud":
			p.Audience, ok = s.text()
		case "n":
			p.Number, ok = s.number()
		case "x5c":
			p.Chain, ok = s.chain()
		case "jwk":
			p.jwk, ok = s.jwk()
		}
		return ok
	})
	switch {
	case err != nil:
		return protected{}, err
	case p.alg != algProduct && p.alg != algAuthority:
		return protected{}, fmt.Errorf("%w: %q", ErrAlgorithm, p.alg)
	case p.Kind == "":
		return protected{}, fmt.Errorf("%w: no kind", ErrMalformed)
	}
	return p, nil
}

// scanner reads the little JSON that headers are made of.
type scanner struct {
	s string
	i int
}

// scanObject reads text as one object and nothing else, handing each member's name to member, which reads the value.
func scanObject(text string, member func(s *scanner, name string) bool) error {
	s := &scanner{s: text}
	if err := s.object(member); err != nil {
		return err
	}
	if s.space(); s.i != len(s.s) {
		return fmt.Errorf("%w: data after the header", ErrMalformed)
	}
	return nil
}

// object reads an object of at most 16 different members.
func (s *scanner) object(member func(s *scanner, name string) bool) error {
	if !s.eat('{') {
		return fmt.Errorf("%w: the header is not an object", ErrMalformed)
	}
	var seen [16]string
	for n := range seen {
		name, ok := s.text()
		if !ok || !s.eat(':') {
			return fmt.Errorf("%w: header member at byte %d", ErrMalformed, s.i)
		}
		for _, other := range seen[:n] {
			if name == other {
				return fmt.Errorf("%w: header member %q twice", ErrMalformed, name)
			}
		}
		seen[n] = name
		if !member(s, name) {
			return fmt.Errorf("%w: header member %q is not known or not in its form", ErrMalformed, name)
		}
		if s.eat('}') {
			return nil
		}
		if !s.eat(',') {
			break
		}
	}
	return fmt.Errorf("%w: header at byte %d", ErrMalformed, s.i)
}

func (s *scanner) space() {
	for s.i < len(s.s) && strings.IndexByte(" \t\r\n", s.s[s.i]) >= 0 {
		s.i++
	}
}

func (s *scanner) eat(c byte) bool {
	s.space()
	if s.i < len(s.s) && s.s[s.i] == c {
		s.i++
		return true
	}
	return false
}

// text reads a string of plain characters.
func (s *scanner) text() (string, bool) {
	if !s.eat('"') {
		return "", false
	}
	from := s.i
	for s.i < len(s.s) && plain(s.s[s.i]) {
		s.i++
	}
	value := s.s[from:s.i]
	if s.i == len(s.s) || s.s[s.i] != '"' {
		return "", false
	}
	s.i++
	return value, true
}

// number reads an integer of at most 18 digits, not negative, written in the one shortest way.
func (s *scanner) number() (int64, bool) {
	s.space()
	from := s.i
	for s.i < len(s.s) && s.s[s.i] >= '0' && s.s[s.i] <= '9' {
		s.i++
	}
	digits := s.s[from:s.i]
	if digits == "" || len(digits) > 18 || (len(digits) > 1 && digits[0] == '0') {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// chain reads an array of one to four certificates in base 64.
func (s *scanner) chain() ([][]byte, bool) {
	if !s.eat('[') {
		return nil, false
	}
	var chain [][]byte
	for range maxChain {
		text, ok := s.text()
		if !ok || len(text) > base64.StdEncoding.EncodedLen(maxCertificate) {
			return nil, false
		}
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, false
		}
		chain = append(chain, der)
		if s.eat(']') {
			return chain, true
		}
		if !s.eat(',') {
			return nil, false
		}
	}
	return nil, false
}

// jwk reads a P-256 public key (RFC 7517, RFC 7518 section 6.2.1).
func (s *scanner) jwk() (*ecdsa.PublicKey, bool) {
	var kty, crv, x, y string
	err := s.object(func(s *scanner, name string) (ok bool) {
		switch name {
		case "kty":
			kty, ok = s.text()
		case "crv":
			crv, ok = s.text()
		case "x":
			x, ok = s.text()
		case "y":
			y, ok = s.text()
		}
		return ok
	})
	if err != nil || kty != "EC" || crv != "P-256" || len(x) != 43 || len(y) != 43 {
		return nil, false
	}
	point := append(make([]byte, 0, 65), 4)
	strict := base64.RawURLEncoding.Strict()
	if point, err = strict.AppendDecode(point, []byte(x)); err != nil {
		return nil, false
	}
	if point, err = strict.AppendDecode(point, []byte(y)); err != nil {
		return nil, false
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	return key, err == nil
}
