package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The layout of a registration token: version, account, token, secret, root fingerprint, and the first four bytes of the
// SHA-256 of all before. Standard base 64 makes 136 characters of it; the version byte makes the first one a letter.
const (
	tokenVersion  = 1 // made by an authority, for products
	siteToken     = 2 // made by an authority, for a satellite
	belowToken    = 3 // made by a satellite, for products
	tokenBody     = 1 + 16 + 16 + 32 + 32
	checksumLen   = 4
	accountPrefix = "acc"
	tokenPrefix   = "tok"
)

var (
	// ErrTokenMalformed is the error of text that cannot be a registration token; the text says why.
	ErrTokenMalformed = errors.New("malformed registration token")
	// ErrTokenDamaged is the error of a registration token that was mistyped or cut off.
	ErrTokenDamaged = errors.New("registration token is mistyped or cut off")
)

// Token is a registration token: a bearer secret that also says which account and token row it belongs to and, by the
// fingerprint of its root, which authority issued it. The text is shown once; the authority keeps Digest only.
// The zero Token is not usable.
type Token struct {
	Account string      // "acc_…"
	ID      string      // "tok_…"
	Root    Fingerprint // of the authority that issued it
	// For says who registers with it: a product at the authority, a product at a satellite, or a satellite.
	For    TokenUse
	secret hidden
}

// TokenUse is what a token is for.
type TokenUse int

// The uses of tokens.
const (
	ForProduct   TokenUse = iota // of the authority
	ForBelow                     // a product of a satellite, which made the token
	ForSatellite                 // the token's id is that of the satellite, "sat_…"
)

const satellitePrefix = "sat"

// idPrefix is the prefix of the ids of such tokens.
func (u TokenUse) idPrefix() string {
	if u == ForSatellite {
		return satellitePrefix
	}
	return tokenPrefix
}

// version is the first byte of such tokens.
func (u TokenUse) version() byte {
	switch u {
	case ForSatellite:
		return siteToken
	case ForBelow:
		return belowToken
	default:
		return tokenVersion
	}
}

// NewToken makes a token for products of the authority, with a random secret of 256 bits. The error is ErrID.
func NewToken(account, id string, root Fingerprint) (Token, error) {
	return NewTokenFor(ForProduct, account, id, root)
}

// NewTokenFor makes a token for one use, with a random secret of 256 bits. The error is ErrID.
func NewTokenFor(use TokenUse, account, id string, root Fingerprint) (Token, error) {
	if _, err := idBytes(accountPrefix, account); err != nil {
		return Token{}, fmt.Errorf("account of token: %w", err)
	}
	if _, err := idBytes(use.idPrefix(), id); err != nil {
		return Token{}, fmt.Errorf("id of token: %w", err)
	}
	return Token{Account: account, ID: id, Root: root, For: use, secret: hide([32]byte(Random(32)))}, nil
}

// ParseToken reads the text of a token; white space around it is ignored. The error is ErrTokenMalformed or
// ErrTokenDamaged. Whether the authority knows the token is for the authority to say.
func ParseToken(s string) (Token, error) {
	s = strings.TrimSpace(s)
	const textLen = (tokenBody + checksumLen + 2) / 3 * 4
	switch {
	case s == "":
		return Token{}, fmt.Errorf("%w: it is empty", ErrTokenMalformed)
	case strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != "":
		return Token{}, fmt.Errorf("%w: it has a character that no token has", ErrTokenMalformed)
	case len(s) > textLen:
		return Token{}, fmt.Errorf("%w: %d characters, want %d", ErrTokenMalformed, len(s), textLen)
	case len(s) < textLen:
		return Token{}, fmt.Errorf("%w: %d characters, want %d", ErrTokenDamaged, len(s), textLen)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != tokenBody+checksumLen || !checked(b) {
		return Token{}, ErrTokenDamaged
	}
	use := ForProduct
	switch b[0] {
	case tokenVersion:
	case siteToken:
		use = ForSatellite
	case belowToken:
		use = ForBelow
	default:
		return Token{}, fmt.Errorf("%w: version %d is not known here", ErrTokenMalformed, b[0])
	}
	return Token{
		For:     use,
		Account: idText(accountPrefix, [16]byte(b[1:17])),
		ID:      idText(use.idPrefix(), [16]byte(b[17:33])),
		secret:  hide([32]byte(b[33:65])),
		Root:    Fingerprint(b[65:97]),
	}, nil
}

// Text is what the operator types: 136 characters of [A-Za-z0-9+/=], the first one a letter.
func (t Token) Text() Secret {
	account, _ := idBytes(accountPrefix, t.Account)
	id, _ := idBytes(t.For.idPrefix(), t.ID)
	b := make([]byte, 0, tokenBody+checksumLen)
	b = append(b, t.For.version())
	b = append(b, account[:]...)
	b = append(b, id[:]...)
	secret := t.secret()
	b = append(b, secret[:]...)
	b = append(b, t.Root[:]...)
	return Secret(base64.StdEncoding.EncodeToString(withChecksum(b)))
}

// Digest is what the authority stores in place of the token.
func (t Token) Digest() [32]byte {
	secret := t.secret()
	if t.For != ForProduct {
		return Digest("tallystick registration token 1", []byte(t.Account), []byte(t.ID), secret[:], []byte{t.For.version()})
	}
	return Digest("tallystick registration token 1", []byte(t.Account), []byte(t.ID), secret[:])
}

// MadeAt is when the authority made the token, by the authority's clock; zero when the token does not say.
func (t Token) MadeAt() time.Time {
	b, err := idBytes(tokenPrefix, t.ID)
	if err != nil {
		return time.Time{}
	}
	return madeAt(b)
}

// String returns "redacted".
func (t Token) String() string { return redacted }

// withChecksum appends the first bytes of the SHA-256 of b.
func withChecksum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:checksumLen]...)
}

// checked tells whether b ends in the checksum of what stands before.
func checked(b []byte) bool {
	body := b[:len(b)-checksumLen]
	sum := sha256.Sum256(body)
	return string(sum[:checksumLen]) == string(b[len(body):])
}
