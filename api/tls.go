package api

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// clientTLS returns settings that know the server host by root: PEM text, a fingerprint, or empty for the system's roots.
// There is no way to accept just any certificate.
func clientTLS(root, host string) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	root = strings.TrimSpace(root)
	switch {
	case root == "":
	case strings.HasPrefix(root, "-----BEGIN"):
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM([]byte(root)) {
			return nil, errors.New("the root is no certificate in PEM")
		}
	default:
		fingerprint, err := hex.DecodeString(strings.ReplaceAll(root, ":", ""))
		if err != nil || len(fingerprint) != sha256.Size {
			return nil, errors.New("the root is neither a certificate in PEM nor a SHA-256 fingerprint of 64 hexadecimal digits")
		}
		settings.InsecureSkipVerify = true // replaced by VerifyConnection, not left out
		settings.VerifyConnection = func(cs tls.ConnectionState) error {
			return verifyPinned(cs.PeerCertificates, [sha256.Size]byte(fingerprint), host)
		}
	}
	return settings, nil
}

// verifyPinned accepts a chain that presents the certificate with that fingerprint, leads to it, and is for the host. The
// standard check cannot do this, as it wants the root itself beforehand.
func verifyPinned(chain []*x509.Certificate, fingerprint [sha256.Size]byte, host string) error {
	if len(chain) == 0 {
		return errors.New("the server presented no certificate")
	}
	opts := x509.VerifyOptions{DNSName: host, Intermediates: x509.NewCertPool()}
	for _, c := range chain {
		opts.Intermediates.AddCert(c)
		if sha256.Sum256(c.Raw) == fingerprint {
			opts.Roots = x509.NewCertPool()
			opts.Roots.AddCert(c)
		}
	}
	if opts.Roots == nil {
		return fmt.Errorf("the server does not present the root certificate with the fingerprint %x", fingerprint)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return fmt.Errorf("the server's certificate: %w", err)
	}
	return nil
}
