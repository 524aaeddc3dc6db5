package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// PinnedTLS returns the settings of a client that knows an authority by the fingerprint of its root. A server is
// accepted when it presents a chain that holds that root and leads to it, or, as a reverse proxy may, one that leads to
// a root of the system; the name is checked in both cases. A server certificate that the authority made itself is not
// refused because of the client's clock (domain rule 29); every other one is checked at now().
//
// A client that dials an IP address has no name to check: then only a server certificate made by the pinned authority
// itself is accepted.
func PinnedTLS(root Fingerprint, now func() time.Time) *tls.Config {
	return clientTLS(serverCheck{root: root, now: now})
}

// RootTLS is PinnedTLS for a client that has the root certificate itself, as PEM: the server need not present it, and no
// other root is accepted.
func RootTLS(rootPEM []byte, now func() time.Time) (*tls.Config, error) {
	ders, err := ParseCertificatesPEM(rootPEM)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	root, err := x509.ParseCertificate(ders[len(ders)-1]) // a chain ends in its root
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	return clientTLS(serverCheck{root: Of(root.Raw), cert: root, now: now}), nil
}

// clientTLS puts our check in the place of the standard one, which cannot work from a fingerprint. The check runs on
// every connection, resumed ones too.
func clientTLS(c serverCheck) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // replaced by VerifyConnection, not left out
		VerifyConnection: func(cs tls.ConnectionState) error {
			return c.verify(cs.PeerCertificates, cs.ServerName)
		},
	}
}

// serverCheck decides whether a TLS server is the right one.
type serverCheck struct {
	root   Fingerprint
	cert   *x509.Certificate // the root where it is known
	system *x509.CertPool    // nil: the system's
	now    func() time.Time
}

// verify checks a presented chain for a host name, empty when an IP address was dialed.
func (c serverCheck) verify(chain []*x509.Certificate, name string) error {
	if len(chain) == 0 {
		return errors.New("server presented no certificate")
	}
	leaf, root := chain[0], c.cert
	opts := x509.VerifyOptions{
		DNSName: name, CurrentTime: c.now(), Roots: c.system, Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, cert := range chain[1:] {
		opts.Intermediates.AddCert(cert)
		if Of(cert.Raw) == c.root {
			root = cert
		}
	}
	own := root != nil && hasPurpose(leaf, purposeServer) && mayIssue(chain[1:], purposeServer)
	switch {
	case !own && name == "":
		return fmt.Errorf("%w: without a host name only its own server certificate is accepted", ErrChain)
	case !own && root != nil && slices.ContainsFunc(leaf.Policies, purposeArc.holds):
		return fmt.Errorf("%w: it has another purpose", ErrChain)
	}
	if root != nil {
		opts.Roots = x509.NewCertPool()
		opts.Roots.AddCert(root)
	}
	if own {
		opts.CurrentTime, _ = withinValidity(chain, opts.CurrentTime)
	}
	if _, err := leaf.Verify(opts); err != nil {
		return fmt.Errorf("%w: %w", ErrChain, err)
	}
	return nil
}
