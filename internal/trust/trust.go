// Package trust holds everything with a key, a hash or a signature: the authority's own certificates, the signed
// envelope that every machine message travels in, registration tokens, credentials of people and call bridges, the
// hash chain of events, and the TLS settings of a client that knows one root.
//
// It is not a protocol: it does not know what a payload says, stores nothing but the key files, never asks the time
// (instants are arguments) and never touches the network. It is the only place where randomness is taken.
//
// Invariants:
//   - Bytes are verified before they are parsed; only the protected header is read earlier, to find the key.
//   - The algorithms are fixed: ES256 (P-256) for products, EdDSA (Ed25519) for the authority. Nothing selects another.
//   - The kind and the audience of a message are under its signature.
//   - A certificate serves one purpose. No override of a bad signature exists.
//   - The authority's signatures are deterministic: the same input gives the same bytes.
//   - Every decoder has a bound and refuses what it does not know.
package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"log/slog"
)

// redacted is what a secret prints as.
const redacted = "redacted"

// Random returns n bytes from the system's cryptographic source.
func Random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // documented never to fail: it ends the process instead
	return b
}

// Secret is text that must not reach a log, an error or a listing: fmt, slog and the text and JSON encoders print
// "redacted". Note that fmt cannot call methods on unexported struct fields; keep a Secret in exported fields only.
type Secret string

// Reveal returns the secret itself, for the one place that hands it to its owner.
func (s Secret) Reveal() string { return string(s) }

// String returns "redacted".
func (s Secret) String() string { return redacted }

// Format prints "redacted" whatever the verb, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue makes slog print "redacted".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText makes the JSON and other text encoders print "redacted".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// hidden holds 256 secret bits in a closure: fmt follows pointers when a verb does not fit, but it cannot look into a
// function, so no struct around a secret ever shows it.
type hidden func() [32]byte

func hide(b [32]byte) hidden { return func() [32]byte { return b } }

// Digest is SHA-256 over the domain and the parts, each preceded by its length (64 bits, big endian), so that neither
// two domains nor two splits of the same bytes collide. A domain names the use and its version.
func Digest(domain string, parts ...[]byte) [32]byte {
	h := sha256.New()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(domain)))
	h.Write(n[:])
	h.Write([]byte(domain))
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// SameDigest tells whether a and b are equal, in time that does not depend on where they differ.
func SameDigest(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// ChainHash is the hash of an event in the chain of its account: it covers the hash of the event before (nil for the
// first) and the exact bytes of this one, so that no event can be altered, removed or inserted unseen.
func ChainHash(prev, event []byte) [32]byte {
	return Digest("tallystick event chain 1", prev, event)
}
