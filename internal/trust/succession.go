package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Issuing keys are replaced: a satellite's because it lost them, any because they are old or somebody may have them. The root says
// so in the certificate of the new one, as further names of its subject (RFC 5280, section 4.2.1.6):
// tallystick://succeeds/ACCOUNT/ISSUER, or authority in place of an account for an authority's own. Whoever takes the word of the
// old key takes that of the new one from then on, and of the old one no more. The statement is for the products of one account:
// a satellite may serve several, and only the one of an account says who follows it there.
const (
	succeedsHost   = "succeeds"
	ownAccount     = "authority"
	maxPredecessor = 32 // names in one certificate; the newest stay
)

// Predecessor is an issuing key that another one follows.
type Predecessor struct {
	Account string // for whose products; empty for an authority's own keys
	Issuer  string // made of the key; of a satellite it is who the satellite was
}

// ErrOtherDesk is the error of a message that is well signed by another desk of the pinned authority than the one whose word counts.
var ErrOtherDesk = fmt.Errorf("another desk of this authority signed it: %w", ErrKey)

// OtherDeskError is an ErrOtherDesk that names the desks.
type OtherDeskError struct {
	Signed, Pinned Desk
	// Replaced says that the signer is the pinned desk itself, with keys that were replaced since.
	Replaced bool
}

// Error names both desks.
func (e *OtherDeskError) Error() string {
	if e.Replaced {
		return fmt.Sprintf("it was signed by %s with keys that were replaced", e.Signed)
	}
	return fmt.Sprintf("it was signed by %s, not by %s", e.Signed, e.Pinned)
}

// Unwrap makes it an ErrOtherDesk.
func (e *OtherDeskError) Unwrap() error { return ErrOtherDesk }

// Desk is who signs below a root: the authority itself, or one of its satellites.
type Desk struct {
	Site   string   // empty for the authority itself
	Issuer string   // made of its issuing key; of a satellite it is Site
	Hosts  []string // names of a satellite's server
}

// String names it for people: by the server's name where there is one.
func (d Desk) String() string {
	switch {
	case d.Site == "":
		return "the authority itself"
	case d.Site == AnySite:
		return "any desk of the authority"
	}
	for _, h := range d.Hosts {
		if h != "localhost" && h != "invalid" {
			return "the satellite " + h + " (" + d.Site + ")"
		}
	}
	return "the satellite " + d.Site
}

// DeskOf says whose a chain of certificates (leaf first) claims to be. Nothing of it is verified.
func DeskOf(chain [][]byte) Desk {
	cert := issuerIn(chain)
	if cert == nil {
		return Desk{}
	}
	return Desk{Site: siteOfIssuer(cert), Issuer: issuerID(cert), Hosts: cert.PermittedDNSDomains}
}

// issuerIn is the issuing certificate of a chain, leaf first, nil when there is none.
func issuerIn(chain [][]byte) *x509.Certificate {
	if len(chain) < 3 || len(chain[1]) > maxCertificate {
		return nil
	}
	name := sha256.Sum256(chain[1])
	if cert, known := issuers.get(name); known {
		return cert
	}
	cert, err := x509.ParseCertificate(chain[1])
	if err != nil {
		return nil
	}
	issuers.put(name, cert)
	return cert
}

// SameIssuer tells whether two chains, leaf first, have the same issuing key.
func SameIssuer(a, b [][]byte) bool {
	x, y := issuerIn(a), issuerIn(b)
	return x != nil && y != nil && issuerID(x) == issuerID(y)
}

// Follows tells whether the issuing key of a chain, leaf first, follows that of another one by the root's word, for the products of
// an account. Neither chain is verified here.
func Follows(next, last [][]byte, account string) bool {
	x, y := issuerIn(next), issuerIn(last)
	return x != nil && y != nil && follows(x, y, account)
}

// follows tells whether an issuing certificate names the key of another one as one before its own. What follows is of the same kind:
// no satellite follows an authority, and no authority a satellite.
func follows(next, last *x509.Certificate, account string) bool {
	if siteOfIssuer(last) == "" {
		account = ""
	} else if account == "" {
		return false
	}
	if (siteOfIssuer(next) == "") != (siteOfIssuer(last) == "") {
		return false
	}
	return slices.Contains(predecessors(next), Predecessor{account, issuerID(last)})
}

// issuerID names an issuing key.
func issuerID(c *x509.Certificate) string {
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return ""
	}
	return siteID(key)
}

// desk checks that the verified chain of a message is of the desk whose word counts.
func (p Pins) desk(chain [][]byte) error {
	signed, last := issuerIn(chain), issuerIn(p.Last)
	if last == nil {
		if site := SiteOf(chain); p.Site != AnySite && p.Site != site {
			return &OtherDeskError{Signed: DeskOf(chain), Pinned: Desk{Site: p.Site}}
		}
		return nil
	}
	if signed == nil {
		return errors.Join(ErrChain, errors.New("no issuing certificate"))
	}
	if bytes.Equal(signed.RawSubjectPublicKeyInfo, last.RawSubjectPublicKeyInfo) || follows(signed, last, p.Account) {
		return nil
	}
	return &OtherDeskError{Signed: DeskOf(chain), Pinned: DeskOf(p.Last), Replaced: follows(last, signed, p.Account)}
}

// predecessors reads what an issuing certificate says that its key follows. What has another form is not of ours.
func predecessors(c *x509.Certificate) []Predecessor {
	var all []Predecessor
	for _, u := range c.URIs {
		account, issuer, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if !ok || u.Scheme != uriScheme || u.Host != succeedsHost || !ValidID(sitePrefix, issuer) {
			continue
		}
		if account == ownAccount {
			account = ""
		} else if !ValidID("acc", account) {
			continue
		}
		all = append(all, Predecessor{account, issuer})
	}
	return all
}

// successionURIs are the names that say what a key follows; of more than a certificate holds, the last ones.
func successionURIs(before []Predecessor) []*url.URL {
	var all []*url.URL
	for _, p := range before[max(0, len(before)-maxPredecessor):] {
		account := p.Account
		if account == "" {
			account = ownAccount
		}
		all = append(all, &url.URL{Scheme: uriScheme, Host: succeedsHost, Path: "/" + account + "/" + p.Issuer})
	}
	return all
}

// Predecessors are what the issuing certificate of a chain, leaf first, says that its key follows. The chain is not verified here.
func Predecessors(chain [][]byte) []Predecessor {
	if c := issuerIn(chain); c != nil {
		return predecessors(c)
	}
	return nil
}

// IssuingKey is the key of the issuing certificate of a chain, leaf first, nil when there is none. The chain is not verified here.
func IssuingKey(chain [][]byte) *ecdsa.PublicKey {
	if c := issuerIn(chain); c != nil {
		key, _ := c.PublicKey.(*ecdsa.PublicKey)
		return key
	}
	return nil
}
