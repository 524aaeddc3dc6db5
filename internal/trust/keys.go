package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 365 * day

	rootLife    = 30 * year
	issuingLife = 10 * year
	signerLife  = 5 * year
	serverLife  = 397 * day

	// clockSlack is how long before their making the authority's own certificates become valid, so that a checker
	// whose clock is a little behind accepts them on their first day.
	clockSlack = time.Hour
)

// The files of a key set, in the folder keySet. The number in its name is the version of this layout.
const (
	keySet      = "authority-1"
	rootCert    = "root.pem"
	rootKey     = "root.key"
	issuingCert = "issuing.pem"
	issuingKey  = "issuing.key"
	signerCert  = "signer.pem"
	signerKey   = "signer.key"
)

// documentSigning is the extended key usage of RFC 9336; it keeps the message key from being taken for a TLS key.
var documentSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 36}

// Keys are an authority's own keys and certificates: a root, an issuing certificate below it, and the Ed25519 message
// key. The root's private key is not held in memory. The root stays; the other two can be replaced while the keys are in use.
// Safe for concurrent use.
type Keys struct {
	root *x509.Certificate
	set  string               // folder of the key files
	ring atomic.Pointer[ring] // the pair of keys in force
	turn sync.Mutex           // held while ring is replaced
}

// now is the pair of keys in force. What is made of several of its parts is made of one pair.
func (k *Keys) now() *ring { return k.ring.Load() }

// OpenKeys reads the key set in dir and makes it at the first start: root (P-256, 30 years), issuing certificate
// (P-256, 10 years, no certificate authority below it) and message key (Ed25519, 5 years). The set appears as a whole
// or not at all, so of several processes that start at once on one dir all use the set of the one that came first. A
// set that is there is only read: a missing or damaged file of it is an error that names the file.
//
// Where a satellite's set lies in dir, certified by its authority (see OpenSite), those are the keys.
func OpenKeys(dir string, now time.Time) (*Keys, error) {
	if k, err := OpenExisting(dir); k != nil || err != nil {
		return k, err
	}
	if err := makeKeys(dir, filepath.Join(dir, keySet), now); err != nil {
		return nil, fmt.Errorf("make keys in %s: %w", dir, err)
	}
	return OpenExisting(dir)
}

// OpenExisting is OpenKeys for keys that are there; without any it returns nil.
func OpenExisting(dir string) (*Keys, error) {
	if k, err := openSiteKeys(dir); k != nil || err != nil {
		return k, err
	}
	set := filepath.Join(dir, keySet)
	_, err := os.Lstat(set)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	k, err := readKeys(set)
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	return k, nil
}

// makeKeys makes a whole set in a folder of its own and then gives that its name, which fails when the name is taken:
// then another process was first, and its set is the one.
func makeKeys(dir, set string, now time.Time) error {
	files, err := newKeySet(now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, ".new-*") // mode 0700
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }() // nothing there after the rename
	for name, text := range files {
		if err := WriteFile(filepath.Join(temp, name), text, 0o600); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, set); err != nil {
		if _, taken := os.Lstat(set); taken == nil {
			return nil
		}
		return err
	}
	return syncDir(dir)
}

// newKeySet makes the files of a set.
func newKeySet(now time.Time) (map[string][]byte, error) {
	root := newECKey()
	from := now.UTC().Truncate(time.Second).Add(-clockSlack)
	ca := x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Tallystick Root"},
		NotBefore: from, NotAfter: from.Add(rootLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	rootDER, err := x509.CreateCertificate(nil, &ca, &ca, root.Public(), fixedSigner{root})
	if err != nil {
		return nil, err
	}
	parent, err := x509.ParseCertificate(rootDER)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(root)
	if err != nil {
		return nil, err
	}
	files, _, err := newPair(parent, root, nil, now)
	if err != nil {
		return nil, err
	}
	files[rootCert], files[rootKey] = CertificatePEM(rootDER), keyPEM(der)
	return files, nil
}

// newPair makes the files of an authority's issuing and message key below its root, and says which issuer they are. The issuer
// follows those of before.
func newPair(parent *x509.Certificate, root *ecdsa.PrivateKey, before []Predecessor, now time.Time) (map[string][]byte, string, error) {
	issuing := newECKey()
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	policies, err := purposeSigner.policies()
	if err != nil {
		return nil, "", err
	}
	from := now.UTC().Truncate(time.Second).Add(-clockSlack)
	sub := x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Tallystick Issuing"},
		NotBefore: from, NotAfter: from.Add(issuingLife), URIs: successionURIs(before),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	message := x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Tallystick Messages"},
		NotBefore: from, NotAfter: from.Add(signerLife), KeyUsage: x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{documentSigning}, Policies: policies,
	}
	issuingDER, err := x509.CreateCertificate(nil, &sub, parent, issuing.Public(), fixedSigner{root})
	if err != nil {
		return nil, "", err
	}
	above, err := x509.ParseCertificate(issuingDER)
	if err != nil {
		return nil, "", err
	}
	signerDER, err := x509.CreateCertificate(nil, &message, above, signer.Public(), fixedSigner{issuing})
	if err != nil {
		return nil, "", err
	}
	files := map[string][]byte{issuingCert: CertificatePEM(issuingDER), signerCert: CertificatePEM(signerDER)}
	for name, key := range map[string]crypto.Signer{issuingKey: issuing, signerKey: signer} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, "", err
		}
		files[name] = keyPEM(der)
	}
	return files, siteID(&issuing.PublicKey), nil
}

// readKeys reads a set and checks that its parts belong together. The root's key may be kept elsewhere: it is needed to certify
// satellites and to replace keys.
func readKeys(set string) (*Keys, error) {
	var root *x509.Certificate
	var err error
	if _, away := os.Lstat(filepath.Join(set, rootKey)); errors.Is(away, fs.ErrNotExist) {
		root, err = readRoot(set)
	} else {
		root, _, err = readPair(set, rootCert, rootKey, nil)
	}
	if err != nil {
		return nil, err
	}
	k := &Keys{root: root, set: set}
	r, err := k.readRing()
	if err != nil {
		return nil, err
	}
	k.ring.Store(r)
	return k, nil
}

// readRoot reads the root certificate of a set.
func readRoot(set string) (*x509.Certificate, error) {
	path := filepath.Join(set, rootCert)
	der, err := readPEM(path, certBlock)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err == nil {
		err = root.CheckSignatureFrom(root)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return root, nil
}

// readPair reads a certificate, signed by parent (nil: by itself), and the key that it certifies.
func readPair(set, certName, keyName string, parent *x509.Certificate) (*x509.Certificate, crypto.Signer, error) {
	certPath, keyPath := filepath.Join(set, certName), filepath.Join(set, keyName)
	der, err := readPEM(certPath, certBlock)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is damaged: %w", certPath, err)
	}
	if parent == nil {
		parent = cert
	}
	if err := cert.CheckSignatureFrom(parent); err != nil {
		return nil, nil, fmt.Errorf("%s is damaged or of another set: %w", certPath, err)
	}
	if der, err = readPEM(keyPath, keyBlock); err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is damaged", keyPath) // without the cause: it may quote the key
	}
	// The parser overlooks the copy of the public key; writing the key again shows damage there too.
	if whole, err := x509.MarshalPKCS8PrivateKey(parsed); err != nil || !bytes.Equal(whole, der) {
		return nil, nil, fmt.Errorf("%s is damaged", keyPath)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s: not a signing key", keyPath)
	}
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s does not belong to %s", keyPath, certPath)
	}
	return cert, key, nil
}

// readPEM reads a file that is exactly one PEM block.
func readPEM(path, blockType string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err // names the file
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != blockType || len(rest) != 0 || len(text) > 2*maxCertificate {
		return nil, fmt.Errorf("%s is damaged: want one PEM block %s", path, blockType)
	}
	return block.Bytes, nil
}

// RootPEM returns the root certificate.
func (k *Keys) RootPEM() []byte { return CertificatePEM(k.root.Raw) }

// ChainPEM returns what stands between an ID certificate and trust: the issuing certificate and the root.
func (k *Keys) ChainPEM() []byte { return CertificatePEM(k.now().issuing.Raw, k.root.Raw) }

// Fingerprint returns the fingerprint of the root certificate.
func (k *Keys) Fingerprint() Fingerprint { return Of(k.root.Raw) }

// SignerThumbprint returns the base64url SHA-256 of the message certificate; it is the key id of sealed envelopes.
func (k *Keys) SignerThumbprint() string { return k.now().thumbprint }

// SignerChain returns the message certificate and its chain to the root in DER, for Header.Chain.
func (k *Keys) SignerChain() [][]byte {
	r := k.now()
	return [][]byte{r.signer.Raw, r.issuing.Raw, k.root.Raw}
}

// ServerCertificate makes a P-256 key and a certificate for TLS servers: 397 days, names are DNS names or IP addresses; at a
// satellite, those that its authority did not certify it for are left out.
// The chain holds the root too, so that a client which knows no more than its fingerprint can check it.
func (k *Keys) ServerCertificate(names []string, now time.Time) (tls.Certificate, error) {
	if len(names) == 0 {
		return tls.Certificate{}, errors.New("server certificate: no name")
	}
	policies, err := purposeServer.policies()
	if err != nil {
		return tls.Certificate{}, err
	}
	from := now.UTC().Truncate(time.Second).Add(-clockSlack)
	t := x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Tallystick Server"},
		NotBefore: from, NotAfter: from.Add(serverLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, Policies: policies, BasicConstraintsValid: true,
	}
	r := k.now()
	for _, name := range names {
		if r.site != "" && !permits(r.issuing, name) {
			continue // its own authority did not certify it for that
		}
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	key := newECKey()
	der, err := x509.CreateCertificate(nil, &t, r.issuing, key.Public(), r.issuingKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("server certificate for %q: %w", names, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("server certificate for %q: %w", names, err)
	}
	return tls.Certificate{Certificate: [][]byte{der, r.issuing.Raw, k.root.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Issued tells whether a certificate was signed with the issuing key in force.
func (k *Keys) Issued(der []byte) bool {
	if len(der) > maxCertificate {
		return false
	}
	cert, err := x509.ParseCertificate(der)
	return err == nil && cert.CheckSignatureFrom(k.now().issuing) == nil
}

// fixedSigner signs as RFC 6979 says, without randomness, so that the same certificate made again is the same bytes.
type fixedSigner struct{ key *ecdsa.PrivateKey }

// Public returns the public key.
func (s fixedSigner) Public() crypto.PublicKey { return s.key.Public() }

// Sign ignores the source of randomness: crypto/ecdsa signs deterministically when it gets none.
func (s fixedSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(nil, digest, opts)
}
