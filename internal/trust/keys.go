package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
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
// key. The root's private key is not held in memory. Safe for concurrent use.
type Keys struct {
	root, issuing, signer *x509.Certificate
	issuingKey            fixedSigner
	signerKey             ed25519.PrivateKey
	thumbprint            string

	set     string                           // folder of the key files
	site    string                           // of a satellite: who it is; empty for an authority
	renewed atomic.Pointer[x509.Certificate] // of a satellite: its issuing certificate since the last renewal
}

// issuer is the issuing certificate that is in force.
func (k *Keys) issuer() *x509.Certificate {
	if c := k.renewed.Load(); c != nil {
		return c
	}
	return k.issuing
}

// OpenKeys reads the key set in dir and makes it at the first start: root (P-256, 30 years), issuing certificate
// (P-256, 10 years, no certificate authority below it) and message key (Ed25519, 5 years). The set appears as a whole
// or not at all, so of several processes that start at once on one dir all use the set of the one that came first. A
// set that is there is only read: a missing or damaged file of it is an error that names the file.
//
// Where a satellite's set lies in dir, certified by its authority (see OpenSite), those are the keys.
func OpenKeys(dir string, now time.Time) (*Keys, error) {
	if k, err := openSiteKeys(dir); k != nil || err != nil {
		return k, err
	}
	set := filepath.Join(dir, keySet)
	_, err := os.Lstat(set)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKeys(dir, set, now); err != nil {
			return nil, fmt.Errorf("make keys in %s: %w", dir, err)
		}
	} else if err != nil {
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
	root, issuing := newECKey(), newECKey()
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	policies, err := purposeSigner.policies()
	if err != nil {
		return nil, err
	}
	from := now.UTC().Truncate(time.Second).Add(-clockSlack)
	ca := x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Tallystick Root"},
		NotBefore: from, NotAfter: from.Add(rootLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	sub := ca
	sub.SerialNumber, sub.Subject = randomSerial(), pkix.Name{CommonName: "Tallystick Issuing"}
	sub.NotAfter, sub.MaxPathLenZero = from.Add(issuingLife), true
	message := x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Tallystick Messages"},
		NotBefore: from, NotAfter: from.Add(signerLife), KeyUsage: x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{documentSigning}, Policies: policies,
	}
	rootDER, err := x509.CreateCertificate(nil, &ca, &ca, root.Public(), fixedSigner{root})
	if err != nil {
		return nil, err
	}
	parent, err := x509.ParseCertificate(rootDER)
	if err != nil {
		return nil, err
	}
	issuingDER, err := x509.CreateCertificate(nil, &sub, parent, issuing.Public(), fixedSigner{root})
	if err != nil {
		return nil, err
	}
	if parent, err = x509.ParseCertificate(issuingDER); err != nil {
		return nil, err
	}
	signerDER, err := x509.CreateCertificate(nil, &message, parent, signer.Public(), fixedSigner{issuing})
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		rootCert: CertificatePEM(rootDER), issuingCert: CertificatePEM(issuingDER), signerCert: CertificatePEM(signerDER),
	}
	for name, key := range map[string]crypto.Signer{rootKey: root, issuingKey: issuing, signerKey: signer} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		files[name] = keyPEM(der)
	}
	return files, nil
}

// readKeys reads a set and checks that its parts belong together.
func readKeys(set string) (*Keys, error) {
	root, _, err := readPair(set, rootCert, rootKey, nil)
	if err != nil {
		return nil, err
	}
	k, err := readBelow(set, root)
	if err != nil {
		return nil, err
	}
	if !hasPurpose(k.signer, purposeSigner) {
		return nil, fmt.Errorf("%s: not the certificate of a message key", filepath.Join(set, signerCert))
	}
	return k, nil
}

// readBelow reads what stands below the root in a set: the issuing certificate and the message key.
func readBelow(set string, root *x509.Certificate) (*Keys, error) {
	issuing, issuingSigner, err := readPair(set, issuingCert, issuingKey, root)
	if err != nil {
		return nil, err
	}
	signer, messageSigner, err := readPair(set, signerCert, signerKey, issuing)
	if err != nil {
		return nil, err
	}
	issuingEC, ok := issuingSigner.(*ecdsa.PrivateKey)
	if !ok || issuingEC.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: not a P-256 key", filepath.Join(set, issuingKey))
	}
	message, ok := messageSigner.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an Ed25519 key", filepath.Join(set, signerKey))
	}
	return &Keys{
		root: root, issuing: issuing, signer: signer,
		issuingKey: fixedSigner{issuingEC}, signerKey: message, thumbprint: thumbprint(signer.Raw), set: set,
	}, nil
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
func (k *Keys) ChainPEM() []byte { return CertificatePEM(k.issuer().Raw, k.root.Raw) }

// Fingerprint returns the fingerprint of the root certificate.
func (k *Keys) Fingerprint() Fingerprint { return Of(k.root.Raw) }

// SignerThumbprint returns the base64url SHA-256 of the message certificate; it is the key id of sealed envelopes.
func (k *Keys) SignerThumbprint() string { return k.thumbprint }

// SignerChain returns the message certificate and its chain to the root in DER, for Header.Chain.
func (k *Keys) SignerChain() [][]byte { return [][]byte{k.signer.Raw, k.issuer().Raw, k.root.Raw} }

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
	issuer := k.issuer()
	for _, name := range names {
		if k.site != "" && !permits(issuer, name) {
			continue // its own authority did not certify it for that
		}
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	key := newECKey()
	der, err := x509.CreateCertificate(nil, &t, issuer, key.Public(), k.issuingKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("server certificate for %q: %w", names, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("server certificate for %q: %w", names, err)
	}
	return tls.Certificate{Certificate: [][]byte{der, issuer.Raw, k.root.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// fixedSigner signs as RFC 6979 says, without randomness, so that the same certificate made again is the same bytes.
type fixedSigner struct{ key *ecdsa.PrivateKey }

// Public returns the public key.
func (s fixedSigner) Public() crypto.PublicKey { return s.key.Public() }

// Sign ignores the source of randomness: crypto/ecdsa signs deterministically when it gets none.
func (s fixedSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(nil, digest, opts)
}
