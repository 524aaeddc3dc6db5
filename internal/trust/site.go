package trust

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A satellite has an issuing key and a message key of its own. Its authority's root certifies the issuing key for the
// purposes of a satellite and for its own host names; the message key, the ID certificates of its products and its server
// certificate stand below that. So products behind a satellite pin the same root as all others.

const (
	siteSet    = "satellite-1"
	sitePrefix = "site"

	// SiteLife is how long a satellite's issuing certificate lasts. Every exchange with the authority makes it last that
	// long again.
	SiteLife = 3 * year

	// siteSignerLife bounds the message certificate; what ends earlier is the issuing certificate above it.
	siteSignerLife = rootLife

	maxSiteHosts = 50
)

// ErrRootKeyAway is the error of certifying a satellite where the key file of the root is not in its folder.
var ErrRootKeyAway = errors.New("the key of the root certificate is not in the key folder")

// Site is a pair of keys of a satellite, certified or not yet.
type Site struct {
	set     string // the satellite's key set
	pair    string // folder of this pair
	issuing *ecdsa.PrivateKey
}

// OpenSite opens the keys of a satellite in dir that are in force and makes them at the first time. Until Complete they have no
// certificates, and OpenKeys does not look at them.
func OpenSite(dir string) (*Site, error) {
	set := filepath.Join(dir, siteSet)
	if _, err := os.Lstat(set); errors.Is(err, fs.ErrNotExist) {
		if err := makeSite(dir, set); err != nil {
			return nil, fmt.Errorf("make a satellite's keys in %s: %w", dir, err)
		}
	}
	pair, err := inForce(set)
	if err != nil {
		return nil, fmt.Errorf("open a satellite's keys: %w", err)
	}
	return openSite(set, pair)
}

func openSite(set, pair string) (*Site, error) {
	path := filepath.Join(pair, issuingKey)
	der, err := readPEM(path, keyBlock)
	if err != nil {
		return nil, fmt.Errorf("open a satellite's keys: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("open a satellite's keys: %s is damaged", path)
	}
	return &Site{set: set, pair: pair, issuing: key}, nil
}

// makeSite makes the first pair of keys in a folder that gets its name when they are whole.
func makeSite(dir, set string) error {
	files, _, err := newSitePair()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, ".new-*")
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

// newSitePair makes the files of a satellite's issuing and message key, not certified yet, and says who the satellite is with them.
func newSitePair() (map[string][]byte, string, error) {
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	issuing, files := newECKey(), map[string][]byte{}
	for name, key := range map[string]any{issuingKey: issuing, signerKey: signer} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, "", err
		}
		files[name] = keyPEM(der)
	}
	return files, siteID(&issuing.PublicKey), nil
}

// ID names the satellite: it is made of its issuing key, so no two have the same, and it lasts as long as the key.
func (s *Site) ID() string { return siteID(&s.issuing.PublicKey) }

// SiteID is the ID of the satellite with this issuing key.
func SiteID(key *ecdsa.PublicKey) string { return siteID(key) }

// HasSite says whether dir holds the keys of a satellite that its authority has certified.
func HasSite(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, siteSet, issuingCert))
	return err == nil
}

func siteID(key *ecdsa.PublicKey) string {
	spki, err := MarshalPublicKey(key)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(spki)
	return idText(sitePrefix, [16]byte(sum[:16]))
}

// CSR is the request for the issuing certificate.
func (s *Site) CSR() ([]byte, error) { return NewCSR(s.issuing) }

// SealFile signs a text with the issuing key, which the file carries: for the one message before there are certificates.
// The same input gives the same bytes.
func (s *Site) SealFile(h Header, text []byte) ([]byte, error) {
	return SealProductFile(fixedSigner{s.issuing}, h, true, text)
}

// Complete keeps the certificates that the authority gave, after checking that they are for this satellite and lead to
// root: from then on OpenKeys returns this satellite's keys, unless the pair is the next one. With certificates there already it
// renews them.
func (s *Site) Complete(issuing, rootDER []byte, root Fingerprint, now time.Time) error {
	cert, err := checkSite(issuing, rootDER, root, &s.issuing.PublicKey)
	if err != nil {
		return err
	}
	der, err := readPEM(filepath.Join(s.pair, signerKey), keyBlock)
	if err != nil {
		return err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	signer, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return fmt.Errorf("%s is damaged", filepath.Join(s.pair, signerKey))
	}
	policies, err := purposeSatellite.policies()
	if err != nil {
		return err
	}
	from := now.UTC().Truncate(time.Second).Add(-clockSlack)
	message := x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Tallystick Satellite Messages", SerialNumber: s.ID()},
		NotBefore: from, NotAfter: from.Add(siteSignerLife), KeyUsage: x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{documentSigning}, Policies: policies,
	}
	signerDER, err := x509.CreateCertificate(nil, &message, cert, signer.Public(), fixedSigner{s.issuing})
	if err != nil {
		return fmt.Errorf("certify the message key: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(s.pair, signerCert)); errors.Is(err, fs.ErrNotExist) {
		if err := WriteFile(filepath.Join(s.pair, signerCert), CertificatePEM(signerDER), 0o600); err != nil {
			return err
		}
	}
	if err := WriteFile(filepath.Join(s.set, rootCert), CertificatePEM(rootDER), 0o600); err != nil {
		return err
	}
	return WriteFile(filepath.Join(s.pair, issuingCert), CertificatePEM(issuing), 0o600) // the last: it makes the pair whole
}

// Certificate is the issuing certificate of the pair in DER, nil when there is none yet.
func (s *Site) Certificate() []byte {
	der, err := readPEM(filepath.Join(s.pair, issuingCert), certBlock)
	if err != nil {
		return nil
	}
	return der
}

// Predecessors are what the pair's certificate says that it follows.
func (s *Site) Predecessors() ([]Predecessor, error) {
	cert, err := x509.ParseCertificate(s.Certificate())
	if err != nil {
		return nil, err
	}
	return predecessors(cert), nil
}

// checkSite checks an issuing certificate of a satellite: by this root, for this key, with the purposes of a satellite.
func checkSite(issuing, rootDER []byte, root Fingerprint, key *ecdsa.PublicKey) (*x509.Certificate, error) {
	if len(issuing) > maxCertificate || len(rootDER) > maxCertificate || Of(rootDER) != root {
		return nil, fmt.Errorf("%w: the root is another one", ErrChain)
	}
	above, err := x509.ParseCertificate(rootDER)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	cert, err := x509.ParseCertificate(issuing)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	if err := cert.CheckSignatureFrom(above); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	if !key.Equal(cert.PublicKey) || siteOfIssuer(cert) != siteID(key) {
		return nil, fmt.Errorf("%w: it is for another satellite", ErrChain)
	}
	return cert, nil
}

// Certified checks that an issuing certificate is of this root, for this key of a satellite, and says what the key follows.
func (k *Keys) Certified(issuing []byte, key *ecdsa.PublicKey) ([]Predecessor, error) {
	cert, err := checkSite(issuing, k.root.Raw, k.Fingerprint(), key)
	if err != nil {
		return nil, err
	}
	return predecessors(cert), nil
}

// openSiteKeys reads a satellite's keys, nil when there are none in dir or they are not certified yet.
func openSiteKeys(dir string) (*Keys, error) {
	set := filepath.Join(dir, siteSet)
	if _, err := os.Lstat(filepath.Join(set, issuingCert)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	root, err := readRoot(set)
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	k := &Keys{root: root, set: set}
	r, err := k.readRing()
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	if r.site == "" {
		return nil, fmt.Errorf("open keys: %s: not the certificate of a satellite", filepath.Join(r.set, issuingCert))
	}
	k.ring.Store(r)
	return k, nil
}

// Site is who a satellite is, empty for the keys of an authority and for none.
func (k *Keys) Site() string {
	if k == nil {
		return ""
	}
	return k.now().site
}

// RootDER returns the root certificate in DER.
func (k *Keys) RootDER() []byte { return k.root.Raw }

// SiteEnds is when a satellite's issuing certificate ends.
func (k *Keys) SiteEnds() time.Time { return k.now().issuing.NotAfter.UTC() }

// RenewSite puts a new issuing certificate of this satellite in force, for the same key, and keeps it in the key folder.
// One that ends earlier than the present one changes nothing.
func (k *Keys) RenewSite(issuing []byte) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	r := *k.now()
	cert, err := checkSite(issuing, k.root.Raw, k.Fingerprint(), r.issuingKey.Public().(*ecdsa.PublicKey))
	if err != nil {
		return err
	}
	if r.site == "" || !cert.NotAfter.After(r.issuing.NotAfter) {
		return nil
	}
	if err := WriteFile(filepath.Join(r.set, issuingCert), CertificatePEM(issuing), 0o600); err != nil {
		return fmt.Errorf("keep the renewed certificate: %w", err)
	}
	r.issuing = cert
	k.ring.Store(&r)
	return nil
}

// CertifySite signs the issuing certificate of a satellite, valid from now for SiteLife. hosts are the DNS names and
// addresses that its server certificates may hold; nothing else can stand in them. before are the keys that this one follows.
// The root's key is read from its file for this one act; where it is kept elsewhere, the error is ErrRootKeyAway.
func (k *Keys) CertifySite(key *ecdsa.PublicKey, hosts []string, before []Predecessor, now time.Time) ([]byte, error) {
	if k.Site() != "" {
		return nil, errors.New("a satellite certifies no satellites")
	}
	if slices.ContainsFunc(before, func(p Predecessor) bool { return p.Account == "" || p.Issuer == siteID(key) }) {
		return nil, errors.New("a satellite follows satellites only, and not itself")
	}
	signer, err := k.rootSigner()
	if err != nil {
		return nil, err
	}
	from := now.UTC().Truncate(time.Second)
	t := x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Tallystick Satellite", SerialNumber: siteID(key)},
		NotBefore: from.Add(-clockSlack), NotAfter: from.Add(SiteLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, PermittedDNSDomainsCritical: true, URIs: successionURIs(before),
	}
	for _, p := range []purpose{purposeInstance, purposeSatellite, purposeServer} {
		policies, err := p.policies()
		if err != nil {
			return nil, err
		}
		t.Policies = append(t.Policies, policies...)
	}
	if err := constrain(&t, hosts); err != nil {
		return nil, err
	}
	return x509.CreateCertificate(nil, &t, k.root, key, fixedSigner{signer})
}

// rootSigner reads the root's key from its file.
func (k *Keys) rootSigner() (*ecdsa.PrivateKey, error) {
	path := filepath.Join(k.set, rootKey)
	der, err := readPEM(path, keyBlock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrRootKeyAway
	}
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	signer, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || !signer.PublicKey.Equal(k.root.PublicKey) {
		return nil, fmt.Errorf("%s is damaged or of another root", path)
	}
	return signer, nil
}

// constrain writes the name constraints (RFC 5280, section 4.2.1.10). A kind of name without any is shut out as a whole:
// absent constraints would leave it free.
func constrain(t *x509.Certificate, hosts []string) error {
	if err := CheckHosts(hosts); err != nil {
		return err
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			if v4 := ip.To4(); v4 != nil {
				ip = v4
			}
			t.PermittedIPRanges = append(t.PermittedIPRanges, &net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))})
		} else {
			t.PermittedDNSDomains = append(t.PermittedDNSDomains, strings.ToLower(h))
		}
	}
	if len(t.PermittedDNSDomains) == 0 {
		t.PermittedDNSDomains = []string{"invalid"} // RFC 6761, section 6.4: the name that never is one
	}
	if len(t.PermittedIPRanges) == 0 {
		t.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}
	}
	return nil
}

// permits tells whether the name constraints of an issuing certificate name a host.
func permits(issuer *x509.Certificate, host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return slices.ContainsFunc(issuer.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(ip) })
	}
	return slices.ContainsFunc(issuer.PermittedDNSDomains, func(d string) bool { return strings.EqualFold(d, host) })
}

// CheckHosts refuses what cannot be the host names and addresses of one server.
func CheckHosts(hosts []string) error {
	if len(hosts) > maxSiteHosts {
		return fmt.Errorf("%d host names, at most %d", len(hosts), maxSiteHosts)
	}
	for _, h := range hosts {
		odd := strings.ContainsFunc(h, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
		})
		if net.ParseIP(h) == nil && (h == "" || len(h) > 253 || odd || strings.HasPrefix(h, ".") || strings.HasSuffix(h, ".")) {
			return fmt.Errorf("%q is no host name", h)
		}
	}
	return nil
}

// SiteOf says which satellite a chain of certificates (leaf first) claims to be of, empty for an authority's. Nothing of it
// is verified.
func SiteOf(chain [][]byte) string {
	if cert := issuerIn(chain); cert != nil {
		return siteOfIssuer(cert)
	}
	return ""
}

// siteOfIssuer is the satellite of an issuing certificate. That is told by its purposes and not by its name.
func siteOfIssuer(c *x509.Certificate) string {
	if !slices.ContainsFunc(c.Policies, purposeArc.holds) {
		return ""
	}
	return c.Subject.SerialNumber
}

// Pseudonym replaces a text that is not to leave this site: the same text has the same pseudonym here, no other site can
// tell which it was, and none can find it by trying. It is 16 characters of base 32.
func (k *Keys) Pseudonym(kind, text string) string {
	mac := hmac.New(sha256.New, k.now().pseudonym)
	sum := Digest("tallystick pseudonym 1", []byte(kind), []byte(text))
	mac.Write(sum[:])
	return credentialEncoding.EncodeToString(mac.Sum(nil)[:10])
}

// pseudonymKey is the key of pseudonyms that a message key makes. The pairs of keys after it keep it.
func pseudonymKey(seed []byte) []byte { return derived(seed, "tallystick pseudonyms 1") }
