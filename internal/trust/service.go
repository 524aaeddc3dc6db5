package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ServiceTLS returns the settings of a client of a server that is none of ours, such as a directory server. It is known by the
// certificates of CAs in caPEM, or by a pin: the fingerprint of its own certificate, or of a CA's that stands in the chain it
// presents; with neither, by the roots of the system. The name is checked, but not where its own certificate is pinned. A certificate that
// is not trusted is a tls.CertificateVerificationError.
func ServiceTLS(host string, caPEM []byte, pin *Fingerprint, now func() time.Time) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, Time: now}
	switch {
	case len(caPEM) > 0 && pin != nil:
		return nil, errors.New("a CA and a fingerprint exclude each other")
	case len(caPEM) > 0:
		ders, err := ParseCertificatesPEM(caPEM)
		if err != nil {
			return nil, fmt.Errorf("CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		for _, der := range ders {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("CA: %w", err)
			}
			config.RootCAs.AddCert(cert)
		}
	case pin != nil:
		config.InsecureSkipVerify = true // replaced by VerifyConnection, not left out
		config.VerifyConnection = func(cs tls.ConnectionState) error {
			if err := pinned(cs.PeerCertificates, host, *pin, now()); err != nil {
				return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err} // as without a pin
			}
			return nil
		}
	}
	return config, nil
}

// pinned checks the chain of a server against a pin.
func pinned(chain []*x509.Certificate, host string, pin Fingerprint, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("server presented no certificate")
	}
	if Of(chain[0].Raw) == pin {
		return nil
	}
	opts := x509.VerifyOptions{DNSName: host, CurrentTime: now, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	found := false
	for _, cert := range chain[1:] {
		if Of(cert.Raw) == pin {
			opts.Roots.AddCert(cert)
			found = true
		} else {
			opts.Intermediates.AddCert(cert)
		}
	}
	if !found {
		return fmt.Errorf("%w: the server presents %s and no certificate with the pinned fingerprint", ErrChain, Of(chain[0].Raw))
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return fmt.Errorf("%w: %w", ErrChain, err)
	}
	return nil
}
