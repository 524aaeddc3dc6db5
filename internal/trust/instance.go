package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// InstanceLife is how long an ID certificate is valid.
const InstanceLife = year

const (
	maxCSR         = 8 << 10
	maxCommonName  = 64 // RFC 5280, appendix A.1: ub-common-name
	uriScheme      = "tallystick"
	instancePrefix = "instance:"
	udiPrefix      = "udi:sha256:"
)

// ErrCSR is the error of a certificate request that is malformed, badly signed or not for a P-256 key.
var ErrCSR = errors.New("certificate request refused")

// NewProductKey makes the P-256 key of a product instance. It never leaves the product.
func NewProductKey() *ecdsa.PrivateKey { return newECKey() }

func newECKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(fmt.Sprintf("make P-256 key: %v", err)) // the system's random source is documented never to fail
	}
	return key
}

// MarshalKeyPEM writes a product key as PEM (PKCS #8) for a file of mode 0600.
func MarshalKeyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("write product key: not a usable key")
	}
	return keyPEM(der), nil
}

// ParseKeyPEM reads what MarshalKeyPEM wrote. Errors never quote the key.
func ParseKeyPEM(text []byte) (*ecdsa.PrivateKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != keyBlock || len(rest) != 0 || len(text) > maxCSR {
		return nil, fmt.Errorf("%w: want one PEM block %s", ErrKey, keyBlock)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: damaged private key", ErrKey)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: want P-256", ErrKey)
	}
	return ec, nil
}

func keyPEM(pkcs8 []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: pkcs8})
}

// NewCSR makes the certificate request of a product key, in DER. It holds the key and the proof of having it, nothing
// else: what the certificate says is the authority's word.
func NewCSR(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

// CSR is a certificate request whose signature was checked. The zero CSR cannot be signed.
type CSR struct {
	key  *ecdsa.PublicKey
	spki []byte
}

// ParseCSR reads a certificate request of at most 8 KiB in DER and checks that its sender has the P-256 key in it. All
// names and extensions in it are ignored. The error is ErrCSR.
func ParseCSR(der []byte) (CSR, error) {
	if len(der) > maxCSR {
		return CSR{}, fmt.Errorf("%w: larger than %d bytes", ErrCSR, maxCSR)
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return CSR{}, fmt.Errorf("%w: %w", ErrCSR, err)
	}
	key, ok := req.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return CSR{}, fmt.Errorf("%w: the key is not on P-256", ErrCSR)
	}
	if err := req.CheckSignature(); err != nil {
		return CSR{}, fmt.Errorf("%w: its signature is bad", ErrCSR)
	}
	spki, err := MarshalPublicKey(key)
	if err != nil {
		return CSR{}, fmt.Errorf("%w: %w", ErrCSR, err)
	}
	return CSR{key: key, spki: spki}, nil
}

// PublicKey returns the key of the request, nil for the zero CSR.
func (c CSR) PublicKey() *ecdsa.PublicKey { return c.key }

// KeyThumbprint returns the base64url SHA-256 of the key's SubjectPublicKeyInfo.
func (c CSR) KeyThumbprint() string { return thumbprint(c.spki) }

// InstanceName is what an ID certificate says about a product instance (domain rule 26).
type InstanceName struct {
	Account  string // "acc_…"
	Instance string // "ins_…"
	Product  string // what people call it; the certificate keeps the first 64 bytes
	PID      string // product id of the UDI
	Serial   string // serial number of the UDI; the certificate keeps a digest of the UDI only
}

// PreparedInstance is an ID certificate that was decided on but is not signed yet. The caller records it, commits, and
// signs then; signing again, in another process too, gives the same bytes.
type PreparedInstance struct {
	Serial    string // certificate serial number, hexadecimal
	Name      InstanceName
	NotBefore time.Time
	NotAfter  time.Time
	PublicKey []byte // DER SubjectPublicKeyInfo, P-256
}

// PrepareInstance decides on the ID certificate of a request: a random serial number, valid from now, in whole seconds,
// for InstanceLife.
func (k *Keys) PrepareInstance(csr CSR, name InstanceName, now time.Time) PreparedInstance {
	from := now.UTC().Truncate(time.Second)
	return PreparedInstance{
		Serial: randomSerial().Text(16), Name: name,
		NotBefore: from, NotAfter: from.Add(InstanceLife), PublicKey: csr.spki,
	}
}

// SignInstance signs a prepared ID certificate and returns its DER, always the same for the same p and key. It fails only for
// a p that PrepareInstance did not make from a checked CSR, or with an id that is not plain text.
func (k *Keys) SignInstance(p PreparedInstance) (der []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("sign certificate of instance %s: %w", p.Name.Instance, err)
		}
	}()
	key, err := ParsePublicKey(p.PublicKey)
	if err != nil {
		return nil, err
	}
	serial, ok := new(big.Int).SetString(p.Serial, 16)
	if !ok || serial.Sign() <= 0 || serial.BitLen() > 127 {
		return nil, errors.New("bad serial number")
	}
	policies, err := purposeInstance.policies()
	if err != nil {
		return nil, err
	}
	r := k.now()
	t := x509.Certificate{
		SerialNumber: serial, NotBefore: p.NotBefore, NotAfter: p.NotAfter,
		Subject: pkix.Name{
			CommonName: commonName(p.Name.Product), SerialNumber: p.Name.Instance, Organization: []string{p.Name.Account},
		},
		URIs: []*url.URL{
			r.uri(instancePrefix, p.Name.Account+"/"+p.Name.Instance),
			r.uri(udiPrefix, udiDigest(p.Name.PID, p.Name.Serial)),
		},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Policies: policies, BasicConstraintsValid: true,
	}
	return x509.CreateCertificate(nil, &t, r.issuing, key, r.issuingKey)
}

// uri is a name in an ID certificate: tallystick:instance:… and tallystick:udi:sha256:…. Below a satellite, whose issuing
// certificate has name constraints, names need a host part, or checkers refuse them: tallystick://instance/… and
// tallystick://udi/….
func (r *ring) uri(prefix, name string) *url.URL {
	if r.site == "" {
		return &url.URL{Scheme: uriScheme, Opaque: prefix + name}
	}
	host, _, _ := strings.Cut(prefix, ":")
	return &url.URL{Scheme: uriScheme, Host: host, Path: "/" + name}
}

// cutURI is the inverse of uri.
func cutURI(u *url.URL, prefix string) (string, bool) {
	if u.Opaque != "" {
		return strings.CutPrefix(u.Opaque, prefix)
	}
	host, _, _ := strings.Cut(prefix, ":")
	name, ok := strings.CutPrefix(u.Path, "/")
	return name, ok && u.Scheme == uriScheme && u.Host == host
}

// commonName cuts a product's name to what a certificate may hold.
func commonName(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= maxCommonName {
		return s
	}
	n := maxCommonName
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// udiDigest is the hexadecimal SHA-256 of a UDI as products show it.
func udiDigest(pid, serial string) string {
	sum := sha256.Sum256([]byte("PID:" + pid + ",SN:" + serial))
	return hex.EncodeToString(sum[:])
}

// Instance is what a verified ID certificate says.
type Instance struct {
	Account, Instance, Product string
	NotBefore, NotAfter        time.Time
	Key                        *ecdsa.PublicKey
	udi                        string
}

// HasUDI tells whether the certificate was issued for this product id and serial number.
func (i Instance) HasUDI(pid, serial string) bool { return i.udi == udiDigest(pid, serial) }

// VerifyInstance checks an ID certificate and its chain (leaf, issuing, root in DER) against the pinned root. An
// expired certificate comes whole and with ErrExpired; a clock that is behind is no error. Any other error is ErrChain.
func VerifyInstance(chain [][]byte, root Fingerprint, now time.Time) (Instance, error) {
	leaf, err := verifyChain(chain, root, purposeInstance, now)
	if leaf == nil {
		return Instance{}, err
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || len(leaf.URIs) != 2 {
		return Instance{}, fmt.Errorf("%w: not in the form of an ID certificate", ErrChain)
	}
	ids, isInstance := cutURI(leaf.URIs[0], instancePrefix)
	account, instance, isPair := strings.Cut(ids, "/")
	udi, isUDI := cutURI(leaf.URIs[1], udiPrefix)
	if !isInstance || !isPair || !isUDI {
		return Instance{}, fmt.Errorf("%w: not in the form of an ID certificate", ErrChain)
	}
	return Instance{
		Account: account, Instance: instance, Product: leaf.Subject.CommonName,
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Key: key, udi: udi,
	}, err
}
