package trust

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"time"
)

// nodeLife is how long the certificate of a cluster's node holds. It is known by its fingerprint, so its time decides nothing.
const nodeLife = 30 * 365 * 24 * time.Hour

// NewNodeCertificate makes a P-256 key and a certificate signed with it, for the node that the others of its cluster know by
// the certificate's fingerprint. The key is PEM, the certificate DER.
func NewNodeCertificate(now time.Time) (key, cert []byte, err error) {
	k := newECKey()
	from := now.UTC().Truncate(time.Second).Add(-clockSlack)
	t := x509.Certificate{
		SerialNumber: randomSerial(), Subject: pkix.Name{CommonName: "Tallystick Cluster Node"}, NotBefore: from, NotAfter: from.Add(nodeLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if cert, err = x509.CreateCertificate(nil, &t, &t, k.Public(), k); err != nil {
		return nil, nil, fmt.Errorf("node certificate: %w", err)
	}
	key, err = MarshalKeyPEM(k)
	return key, cert, err
}

// NodePair is the key and certificate of a node as TLS wants them.
func NodePair(key, cert []byte) (tls.Certificate, error) {
	k, err := ParseKeyPEM(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("node key: %w", err)
	}
	leaf, err := x509.ParseCertificate(cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("node certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: k, Leaf: leaf}, nil
}

// NodeTLS returns the settings of a client that accepts the one certificate with this fingerprint, whatever its name and
// time, and no other.
func NodeTLS(want Fingerprint) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // replaced by VerifyConnection, not left out
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 || Of(cs.PeerCertificates[0].Raw) != want {
				return errors.Join(ErrChain, errors.New("it is not the node that invited this one"))
			}
			return nil
		},
	}
}
