package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// ErrFingerprint is the error of text that is not a SHA-256 fingerprint.
var ErrFingerprint = errors.New("malformed fingerprint: want 64 hexadecimal digits, with or without colons")

// Fingerprint is the SHA-256 of a certificate's DER.
type Fingerprint [32]byte

// Of returns the fingerprint of a certificate in DER.
func Of(cert []byte) Fingerprint { return sha256.Sum256(cert) }

// ParseFingerprint reads 64 hexadecimal digits of either case, plain or in pairs with colons as openssl prints them.
func ParseFingerprint(s string) (Fingerprint, error) {
	var f Fingerprint
	if len(s) == 3*len(f)-1 {
		for i := 2; i < len(s); i += 3 {
			if s[i] != ':' {
				return Fingerprint{}, ErrFingerprint
			}
		}
		s = strings.ReplaceAll(s, ":", "")
	}
	if len(s) != 2*len(f) {
		return Fingerprint{}, ErrFingerprint
	}
	if _, err := hex.Decode(f[:], []byte(s)); err != nil {
		return Fingerprint{}, ErrFingerprint
	}
	return f, nil
}

// String returns 64 lower-case hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText writes what String returns.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what ParseFingerprint accepts.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	p, err := ParseFingerprint(string(text))
	if err == nil {
		*f = p
	}
	return err
}
