package trust

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"
)

func TestServiceTLS(t *testing.T) {
	t.Parallel()
	keys, err := OpenKeys(t.TempDir(), testNow())
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenKeys(t.TempDir(), testNow())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := keys.ServerCertificate([]string{"ldap.acme.example", "127.0.0.1"}, testNow())
	if err != nil {
		t.Fatal(err)
	}
	leaf, root, wrong := Of(cert.Certificate[0]), keys.Fingerprint(), other.Fingerprint()
	late := func() time.Time { return testNow().Add(20 * 365 * 24 * time.Hour) }
	for name, tc := range map[string]struct {
		host string
		ca   []byte
		pin  *Fingerprint
		now  func() time.Time
		good bool
	}{
		"the CA":                      {"ldap.acme.example", keys.RootPEM(), nil, testNow, true},
		"the CA, an address":          {"127.0.0.1", keys.RootPEM(), nil, testNow, true},
		"the CA, another name":        {"other.acme.example", keys.RootPEM(), nil, testNow, false},
		"another CA":                  {"ldap.acme.example", other.RootPEM(), nil, testNow, false},
		"the CA, too late":            {"ldap.acme.example", keys.RootPEM(), nil, late, false},
		"its own pin":                 {"ldap.acme.example", nil, &leaf, testNow, true},
		"its own pin, any name":       {"other.acme.example", nil, &leaf, late, true},
		"the pin of its CA":           {"ldap.acme.example", nil, &root, testNow, true},
		"the pin of its CA, any name": {"other.acme.example", nil, &root, testNow, false},
		"the pin of its CA, late":     {"ldap.acme.example", nil, &root, late, false},
		"another pin":                 {"ldap.acme.example", nil, &wrong, testNow, false},
		"the system's roots":          {"ldap.acme.example", nil, nil, testNow, false},
	} {
		config, err := ServiceTLS(tc.host, tc.ca, tc.pin, tc.now)
		if err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		go func() {
			_ = tls.Server(there, &tls.Config{Certificates: []tls.Certificate{cert}}).HandshakeContext(t.Context())
		}()
		err = tls.Client(here, config).HandshakeContext(t.Context())
		if (err == nil) != tc.good {
			t.Errorf("%s: got %v, want accepted %t", name, err, tc.good)
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !tc.good && !ok {
			t.Errorf("%s: got %v, which is no error of a certificate", name, err)
		}
		_, _ = here.Close(), there.Close()
	}
	if _, err := ServiceTLS("x", keys.RootPEM(), &root, testNow); err == nil {
		t.Error("both a CA and a pin are taken")
	}
	if _, err := ServiceTLS("x", []byte("no PEM"), nil, testNow); err == nil {
		t.Error("any text is taken as a CA")
	}
}
