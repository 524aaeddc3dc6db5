package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// MaxEnvelope is the size in bytes above which an envelope is refused unread.
const MaxEnvelope = 64 << 10

// Why an envelope is refused. Each says one thing; errors.Is tells them apart.
var (
	// ErrMalformed: not a compact JWS with a header as this package writes it.
	ErrMalformed = errors.New("malformed envelope")
	// ErrTooLarge: above the bound.
	ErrTooLarge = errors.New("envelope is too large")
	// ErrAlgorithm: not the one algorithm that its sender must use.
	ErrAlgorithm = errors.New("envelope has a signature algorithm that is not accepted")
	// ErrSignature: the signature is not of these bytes by this key.
	ErrSignature = errors.New("signature of the envelope is bad")
	// ErrKind: well signed, but another kind of message.
	ErrKind = errors.New("envelope is of another kind")
	// ErrAudience: well signed, but for somebody else.
	ErrAudience = errors.New("envelope is for another audience")
	// ErrNumber: well signed, but of another exchange.
	ErrNumber = errors.New("envelope is of another exchange")
	// ErrKey: the key is missing, unknown, or of another type.
	ErrKey = errors.New("key is missing, unknown or of another type")
)

// Envelope is a message whose signature, kind and audience were checked.
type Envelope struct {
	Header  Header
	Payload []byte
	// Signer is the verified chain of the authority's message certificate, leaf first, in DER. The caller may keep it in
	// Pins.Signers. Nil for a product's envelope.
	Signer [][]byte
	// Site is the satellite that signed, empty for the authority itself.
	Site string

	digest [32]byte
	jwk    *ecdsa.PublicKey
}

// Digest is the SHA-256 of the bytes that were signed. It is the same when a message is signed again or its signature
// is written another way, so repeats are told from forks by it and never by the bytes of the whole envelope.
func (e Envelope) Digest() [32]byte { return e.digest }

// EmbeddedKey is the key that a product's envelope carries, nil when it carries none.
func (e Envelope) EmbeddedKey() *ecdsa.PublicKey { return e.jwk }

// CheckNumber returns ErrNumber unless the envelope belongs to exchange n.
func (e Envelope) CheckNumber(n int64) error {
	if e.Header.Number != n {
		return fmt.Errorf("%w: number %d, want %d", ErrNumber, e.Header.Number, n)
	}
	return nil
}

// Seal signs a payload with the authority's message key as a compact JWS. h.KeyID is set here. The same input gives the
// same bytes. It panics when the header cannot be written (see Header), which is a mistake in the calling code: what a
// verified envelope said is always fit to be answered with.
//
// A header that carries the chain of the pair of keys before the one in force is signed by that pair.
func (k *Keys) Seal(h Header, payload []byte) []byte {
	r := k.now().of(h.Chain)
	h.KeyID = r.thumbprint
	var space [512]byte
	header, err := appendHeader(space[:0], algAuthority, h, nil)
	if err != nil {
		panic("trust: seal: " + err.Error())
	}
	b := signingInput(header, payload)
	return appendSignature(b, ed25519.Sign(r.signerKey, b))
}

// SealProduct signs a payload with a product's P-256 key, which may live in hardware. With embedKey the envelope carries
// the public key; that is for registration, where the other side does not know it yet.
func SealProduct(key crypto.Signer, h Header, embedKey bool, payload []byte) ([]byte, error) {
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("seal: %w: want P-256", ErrKey)
	}
	var jwk *ecdsa.PublicKey
	if embedKey {
		jwk = pub
	}
	header, err := appendHeader(nil, algProduct, h, jwk)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	b := signingInput(header, payload)
	sig, err := signES256(key, b)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return appendSignature(b, sig), nil
}

// signES256 signs b and writes the signature as RFC 7518, section 3.4, wants it: r and s, 32 bytes each.
func signES256(key crypto.Signer, b []byte) ([]byte, error) {
	digest := sha256.Sum256(b)
	der, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &sig); err != nil || len(rest) != 0 || sig.R.Sign() <= 0 || sig.S.Sign() <= 0 ||
		sig.R.BitLen() > 256 || sig.S.BitLen() > 256 {
		return nil, fmt.Errorf("%w: it made no ECDSA signature", ErrKey)
	}
	raw := make([]byte, 64)
	sig.R.FillBytes(raw[:32])
	sig.S.FillBytes(raw[32:])
	return raw, nil
}

// signingInput is the header and the payload as they are signed (RFC 7515, section 5.1), with room for the signature.
func signingInput(header, payload []byte) []byte {
	enc := base64.RawURLEncoding
	b := make([]byte, 0, enc.EncodedLen(len(header))+1+enc.EncodedLen(len(payload))+1+signatureLen)
	b = enc.AppendEncode(b, header)
	b = append(b, '.')
	return enc.AppendEncode(b, payload)
}

func appendSignature(b, sig []byte) []byte {
	return base64.RawURLEncoding.AppendEncode(append(b, '.'), sig)
}

// signatureLen is the length of a signature in base 64; both algorithms make 64 bytes.
const signatureLen = 86

// compact is an envelope taken apart, nothing of it verified.
type compact struct {
	protected
	signed    []byte // header, dot, payload
	payload   []byte // encoded
	signature [64]byte
}

// Peek reads the protected header of an envelope before anything is verified. The result may be used for one thing: to
// find the key to open the envelope with.
func Peek(envelope []byte) (Header, error) {
	p, _, err := peek(envelope)
	return p.Header, err
}

// peek reads the protected header and tells where it ends.
func peek(envelope []byte) (protected, int, error) {
	end := bytes.IndexByte(envelope[:min(len(envelope), maxHeader+1)], '.')
	if end < 0 {
		return protected{}, 0, fmt.Errorf("%w: no header", ErrMalformed)
	}
	var space [512]byte
	header, err := decode(space[:0], envelope[:end])
	if err != nil {
		return protected{}, 0, err
	}
	p, err := parseHeader(string(header))
	return p, end, err
}

// decode reads base64url in the one way it can be written (RFC 7515, section 2).
func decode(dst, text []byte) ([]byte, error) {
	// The decoder skips line ends, which would let one message have many spellings.
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return nil, fmt.Errorf("%w: line end in base64url", ErrMalformed)
	}
	b, err := base64.RawURLEncoding.Strict().AppendDecode(dst, text)
	if err != nil {
		return nil, fmt.Errorf("%w: bad base64url", ErrMalformed)
	}
	return b, nil
}

// split takes an envelope of at most limit bytes apart and refuses every algorithm but alg.
func split(envelope []byte, alg string, limit int) (compact, error) {
	var c compact
	if len(envelope) > limit {
		return c, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(envelope), limit)
	}
	var end int
	var err error
	if c.protected, end, err = peek(envelope); err != nil {
		return c, err
	}
	if c.alg != alg {
		return c, fmt.Errorf("%w: %q, want %q", ErrAlgorithm, c.alg, alg)
	}
	dot := len(envelope) - signatureLen - 1
	if dot <= end || envelope[dot] != '.' {
		return c, fmt.Errorf("%w: want header, payload and a signature of 64 bytes", ErrMalformed)
	}
	c.signed, c.payload = envelope[:dot], envelope[end+1:dot]
	_, err = decode(c.signature[:0], envelope[dot+1:])
	return c, err
}

// open finishes a verified envelope: its payload, kind and audience.
func (c *compact) open(kinds []string, audience string) (Envelope, error) {
	if !slices.Contains(kinds, c.Kind) {
		return Envelope{}, fmt.Errorf("%w: %q, want %q", ErrKind, c.Kind, kinds)
	}
	if c.Audience != audience {
		return Envelope{}, fmt.Errorf("%w: %q, want %q", ErrAudience, c.Audience, audience)
	}
	payload, err := decode(make([]byte, 0, base64.RawURLEncoding.DecodedLen(len(c.payload))), c.payload)
	if err != nil {
		return Envelope{}, err
	}
	return Envelope{Header: c.Header, Payload: payload, jwk: c.jwk}, nil
}

// OpenProduct verifies an envelope of a product with ES256 and then checks its kind and audience. An envelope that
// carries a key must carry this one. With a nil key it is verified by the key that it carries, which proves only that
// the sender has that key: registration alone may do so. Errors are the sentinels above.
func OpenProduct(envelope []byte, kind, audience string, key *ecdsa.PublicKey) (Envelope, error) {
	return openProduct(envelope, kind, audience, key, MaxEnvelope)
}

// openProduct is OpenProduct with a bound in bytes.
func openProduct(envelope []byte, kind, audience string, key *ecdsa.PublicKey, limit int) (Envelope, error) {
	c, err := split(envelope, algProduct, limit)
	if err != nil {
		return Envelope{}, err
	}
	switch {
	case c.Chain != nil:
		return Envelope{}, fmt.Errorf("%w: a product sends no certificates", ErrMalformed)
	case key == nil && c.jwk == nil:
		return Envelope{}, fmt.Errorf("%w: the envelope carries none", ErrKey)
	case key == nil:
		key = c.jwk
	case c.jwk != nil && !key.Equal(c.jwk):
		return Envelope{}, fmt.Errorf("%w: the envelope carries another", ErrKey)
	case key.Curve != elliptic.P256():
		return Envelope{}, fmt.Errorf("%w: want P-256", ErrKey)
	}
	digest := sha256.Sum256(c.signed)
	var space [72]byte
	der := append(space[:0], 0x30, 0)
	der = appendInteger(der, c.signature[:32])
	der = appendInteger(der, c.signature[32:])
	der[1] = byte(len(der) - 2)
	if !ecdsa.VerifyASN1(key, digest[:], der) {
		return Envelope{}, ErrSignature
	}
	e, err := c.open([]string{kind}, audience)
	e.digest = digest
	return e, err
}

// appendInteger writes 32 bytes as a DER INTEGER, not negative.
func appendInteger(der, b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	if b[0] >= 0x80 {
		der = append(der, 2, byte(len(b)+1), 0)
	} else {
		der = append(der, 2, byte(len(b)))
	}
	return append(der, b...)
}

// Pins say which authority is trusted.
type Pins struct {
	Root    Fingerprint
	Signers [][][]byte // chains of message certificates met before (Envelope.Signer), verified again at each use
	// Site is the satellite whose word counts, AnySite for any; empty means the authority itself and no satellite.
	Site string
	// Last is the chain of the message certificate whose word was taken last, leaf first. It takes the place of Site: the word of
	// its issuing key counts, and of one that follows it by the root's word, for an account where it is a satellite's. What it
	// follows itself does not count any more.
	Last     [][]byte
	Account  string
	MaxBytes int // bound of an envelope; zero means MaxEnvelope
}

// AnySite in Pins takes what the authority or any of its satellites signed.
const AnySite = "*"

// OpenAuthority verifies an envelope of the pinned authority with EdDSA and then checks its kind and audience. The
// message certificate comes with the envelope or is among pins.Signers; either way its chain must lead to pins.Root and
// it must have the purpose of a message key. now may be wrong by years: it decides nothing but whether a certificate
// has expired, and then the whole envelope comes together with ErrExpired. Other errors are the sentinels above and
// ErrChain.
func OpenAuthority(envelope []byte, kinds []string, audience string, pins Pins, now time.Time) (Envelope, error) {
	limit := pins.MaxBytes
	if limit == 0 {
		limit = MaxEnvelope
	}
	c, err := split(envelope, algAuthority, limit)
	if err != nil {
		return Envelope{}, err
	}
	if c.jwk != nil {
		return Envelope{}, fmt.Errorf("%w: an authority is known by its certificate, not by a key", ErrMalformed)
	}
	chain := c.Chain
	if chain == nil {
		for _, known := range pins.Signers {
			if len(known) > 0 && thumbprint(known[0]) == c.KeyID {
				chain = known
			}
		}
	}
	if chain == nil || thumbprint(chain[0]) != c.KeyID {
		return Envelope{}, fmt.Errorf("%w: no certificate of %q", ErrKey, c.KeyID)
	}
	site := SiteOf(chain)
	want := purposeSigner
	if site != "" {
		want = purposeSatellite
	}
	leaf, chainErr := verifyChain(chain, pins.Root, want, now)
	if leaf == nil {
		return Envelope{}, chainErr
	}
	if err := pins.desk(chain); err != nil {
		return Envelope{}, err
	}
	key, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok {
		return Envelope{}, fmt.Errorf("%w: want Ed25519", ErrKey)
	}
	if !ed25519.Verify(key, c.signed, c.signature[:]) {
		return Envelope{}, ErrSignature
	}
	e, err := c.open(kinds, audience)
	if err != nil {
		return Envelope{}, err
	}
	e.digest, e.Signer, e.Site = sha256.Sum256(c.signed), chain, site
	return e, chainErr // nil or ErrExpired
}
