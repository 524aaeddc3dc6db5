package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// purpose is what a certificate is for. Every certificate below the issuing one names exactly one, as a certificate
// policy (RFC 5280, section 4.2.1.4: the policies of an end-entity certificate are "the purposes for which the
// certificate may be used"). Extended key usage cannot hold these: numbers of the 2.25 arc are longer than it can read.
type purpose string

// The arc is 2.25 and a UUID of our own, 9f7dcb55-7238-418c-82ac-b37653dce45f. The last numbers are for ever.
const (
	purposeArc       purpose = "2.25.212000412536011132758149803525378204767"
	purposeInstance          = purposeArc + ".1" // ID certificate of a product instance
	purposeSatellite         = purposeArc + ".2" // sync identity of a satellite
	purposeServer            = purposeArc + ".3" // TLS server
	purposeSigner            = purposeArc + ".4" // message key of an authority
)

const (
	certBlock      = "CERTIFICATE"
	keyBlock       = "PRIVATE KEY"
	maxCertificate = 8 << 10
	maxChain       = 4
)

var (
	// ErrChain is the error of a certificate that does not lead to the pinned root or has another purpose.
	ErrChain = errors.New("certificate is not from the pinned authority")
	// ErrExpired is the error of what verifies in every respect but has a certificate whose time is over. It comes
	// together with a whole result: whether it matters is for the caller to decide.
	ErrExpired = errors.New("certificate has expired")
)

// CertificatePEM writes certificates one after the other as PEM.
func CertificatePEM(ders ...[]byte) []byte {
	var b bytes.Buffer
	for _, der := range ders {
		_ = pem.Encode(&b, &pem.Block{Type: certBlock, Bytes: der}) // a buffer does not fail
	}
	return b.Bytes()
}

// ParseCertificatesPEM reads one to four certificates; text around them is ignored. It checks their form only.
func ParseCertificatesPEM(text []byte) ([][]byte, error) {
	if len(text) > 4*maxChain*maxCertificate {
		return nil, errors.New("certificates: too large")
	}
	var ders [][]byte
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != certBlock || len(ders) == maxChain {
			return nil, fmt.Errorf("certificates: want at most %d PEM blocks CERTIFICATE, got one more of type %q", maxChain, block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
		ders, text = append(ders, block.Bytes), rest
	}
	if len(ders) == 0 {
		return nil, errors.New("certificates: no PEM block CERTIFICATE")
	}
	return ders, nil
}

// verifyChain checks a chain of DER certificates from leaf to root: the last one has the fingerprint, the leaf leads to
// it and has the purpose. A wrong clock is not an error: now is moved into the time in which all of them are valid. When
// now is after it, the leaf comes together with ErrExpired. Any other error is ErrChain.
//
// A chain that was found good is remembered: those of a desk come with every message, and whether they hold together depends
// on nothing but their bytes.
func verifyChain(chain [][]byte, root Fingerprint, want purpose, now time.Time) (*x509.Certificate, error) {
	if len(chain) < 2 || len(chain) > maxChain {
		return nil, fmt.Errorf("%w: %d certificates, want 2 to %d", ErrChain, len(chain), maxChain)
	}
	for i, der := range chain {
		if len(der) > maxCertificate {
			return nil, fmt.Errorf("%w: certificate %d is too large", ErrChain, i+1)
		}
	}
	name := chainName(chain, root, want)
	good, known := goodChains.get(name)
	if !known {
		var err error
		if good, err = checkChain(chain, root, want, now); err != nil {
			return nil, err
		}
		goodChains.put(name, good)
	}
	if _, expired := withinValidity(good, now); expired {
		return good[0], ErrExpired
	}
	return good[0], nil
}

// checkChain is verifyChain without the bounds and the time: the certificates, which nobody may change.
func checkChain(chain [][]byte, root Fingerprint, want purpose, now time.Time) ([]*x509.Certificate, error) {
	if Of(chain[len(chain)-1]) != root {
		return nil, fmt.Errorf("%w: the last certificate is not the root %s", ErrChain, root)
	}
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		var err error
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("%w: certificate %d: %w", ErrChain, i+1, err)
		}
	}
	// Each is signed by the next. Certificates travel with everything and are anybody's to take: without this, one that merely
	// lies in between would be taken for the issuer, and who that is says whose word it is.
	for i, c := range certs[:len(certs)-1] {
		if err := c.CheckSignatureFrom(certs[i+1]); err != nil {
			return nil, fmt.Errorf("%w: certificate %d is not signed by the next: %w", ErrChain, i+1, err)
		}
	}
	leaf := certs[0]
	if !hasPurpose(leaf, want) || !mayIssue(certs[1:], want) {
		return nil, fmt.Errorf("%w: it has another purpose", ErrChain)
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	opts.Roots.AddCert(certs[len(certs)-1])
	for _, c := range certs[1 : len(certs)-1] {
		opts.Intermediates.AddCert(c)
	}
	opts.CurrentTime, _ = withinValidity(certs, now)
	if _, err := leaf.Verify(opts); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	return certs, nil
}

// maxRemembered bounds what a memory holds: beyond it all is forgotten and found out again.
const maxRemembered = 512

// memory remembers what follows from bytes alone, by their digest. It may be used concurrently; what it gives is never changed.
type memory[V any] struct {
	mu    sync.RWMutex // guards known
	known map[[sha256.Size]byte]V
}

var (
	goodChains memory[[]*x509.Certificate]
	issuers    memory[*x509.Certificate]
)

func (m *memory[V]) get(name [sha256.Size]byte) (V, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.known[name]
	return v, ok
}

func (m *memory[V]) put(name [sha256.Size]byte, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxRemembered {
		m.known = map[[sha256.Size]byte]V{}
	}
	m.known[name] = v
}

// chainName names everything that checkChain looks at: lengths too, so that no two chains are one.
func chainName(chain [][]byte, root Fingerprint, want purpose) (name [sha256.Size]byte) {
	h := sha256.New()
	h.Write(root[:])
	fmt.Fprintf(h, "%d %s\n", len(chain), want)
	for _, der := range chain {
		fmt.Fprintf(h, "%d\n", len(der))
		h.Write(der)
	}
	h.Sum(name[:0])
	return name
}

// withinValidity moves now into the time in which all certificates are valid and tells whether it was after that time.
func withinValidity(certs []*x509.Certificate, now time.Time) (at time.Time, expired bool) {
	from, to := certs[0].NotBefore, certs[0].NotAfter
	for _, c := range certs[1:] {
		if c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if c.NotAfter.Before(to) {
			to = c.NotAfter
		}
	}
	switch {
	case now.Before(from):
		return from, false
	case now.After(to):
		return to, true
	}
	return now, false
}

// hasPurpose tells whether want is the one policy of an end-entity certificate.
func hasPurpose(c *x509.Certificate, want purpose) bool {
	return !c.IsCA && len(c.Policies) == 1 && c.Policies[0].String() == string(want)
}

// mayIssue tells whether the issuers of a certificate, up to the root, may make one for a purpose: an issuing certificate
// that names purposes is held to them (RFC 5280, section 4.2.1.4). An authority's own names none; a satellite's names
// those of a satellite.
func mayIssue(issuers []*x509.Certificate, want purpose) bool {
	for _, c := range issuers {
		if len(c.Policies) > 0 && !slices.ContainsFunc(c.Policies, func(oid x509.OID) bool { return oid.String() == string(want) }) {
			return false
		}
	}
	return true
}

// holds tells whether oid is one of the purposes below p.
func (p purpose) holds(oid x509.OID) bool { return strings.HasPrefix(oid.String(), string(p)+".") }

// policies is the purpose as a certificate template wants it.
func (p purpose) policies() ([]x509.OID, error) {
	oid, err := x509.ParseOID(string(p))
	return []x509.OID{oid}, err
}

// randomSerial is a positive certificate serial number of 127 random bits (RFC 5280, section 4.1.2.2).
func randomSerial() *big.Int {
	b := Random(16)
	b[0] &= 0x7f
	b[15] |= 1 // never zero
	return new(big.Int).SetBytes(b)
}

// thumbprint is the base64url SHA-256 of DER bytes.
func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// MarshalPublicKey writes a P-256 public key as a DER SubjectPublicKeyInfo.
func MarshalPublicKey(key *ecdsa.PublicKey) ([]byte, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: want P-256", ErrKey)
	}
	return x509.MarshalPKIXPublicKey(key)
}

// ParsePublicKey reads what MarshalPublicKey wrote. Anything but a P-256 key is ErrKey.
func ParsePublicKey(der []byte) (*ecdsa.PublicKey, error) {
	if len(der) > 256 {
		return nil, fmt.Errorf("%w: too large", ErrKey)
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: want P-256", ErrKey)
	}
	return key, nil
}

// ShortKey writes a P-256 public key, given as a DER SubjectPublicKeyInfo, as its compressed point: 33 bytes (SEC 1, section 2.3.3).
// Anything else gives nothing.
func ShortKey(spki []byte) []byte {
	key, err := ParsePublicKey(spki)
	if err != nil {
		return nil
	}
	point, err := key.Bytes()
	if err != nil {
		return nil
	}
	return append([]byte{2 + point[64]&1}, point[1:33]...)
}

// ParseShortKey reads what ShortKey wrote. Anything but a point of P-256 is ErrKey.
func ParseShortKey(short []byte) (*ecdsa.PublicKey, error) {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), short)
	if x == nil {
		return nil, fmt.Errorf("%w: want a compressed point of P-256", ErrKey)
	}
	point := make([]byte, 65)
	point[0] = 4
	x.FillBytes(point[1:33])
	y.FillBytes(point[33:])
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
}

// KeyThumbprint returns the base64url SHA-256 of a public key's SubjectPublicKeyInfo, empty for what is no P-256 key.
func KeyThumbprint(key *ecdsa.PublicKey) string {
	spki, err := MarshalPublicKey(key)
	if err != nil {
		return ""
	}
	return thumbprint(spki)
}
