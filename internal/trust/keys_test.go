package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOpenKeysTwice(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state", "keys")
	first, err := OpenKeys(dir, testNow())
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenKeys(dir, testNow().Add(40*year))
	if err != nil {
		t.Fatal(err)
	}
	if first.Fingerprint() != again.Fingerprint() || first.SignerThumbprint() != again.SignerThumbprint() ||
		!bytes.Equal(first.ChainPEM(), again.ChainPEM()) || !bytes.Equal(first.RootPEM(), again.RootPEM()) {
		t.Error("the second start has other keys")
	}
	for cert, want := range map[*x509.Certificate]struct {
		life    time.Duration
		ca      bool
		pathLen int
	}{first.root: {30 * year, true, -1}, first.now().issuing: {10 * year, true, 0}, first.now().signer: {5 * year, false, -1}} {
		if got := cert.NotAfter.Sub(cert.NotBefore); got != want.life || cert.IsCA != want.ca || (want.ca && cert.MaxPathLen != want.pathLen) {
			t.Errorf("%s: %s, CA %t, path length %d, want %+v", cert.Subject, got, cert.IsCA, cert.MaxPathLen, want)
		}
	}
	var files int
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files != 6 {
		t.Errorf("%d files, %v, want 6", files, err)
	}
}

// Several processes may start at once on one folder: one set survives, and all use it.
func TestOpenKeysAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	prints := make([]string, 8)
	for i := range prints {
		wg.Go(func() {
			k, err := OpenKeys(dir, testNow())
			if err != nil {
				t.Errorf("start %d: %v", i, err)
				return
			}
			prints[i] = k.Fingerprint().String() + k.SignerThumbprint()
		})
	}
	wg.Wait()
	for i := range prints {
		if prints[i] != prints[0] {
			t.Errorf("starts 0 and %d have different keys", i)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A damaged set is an error that names the file, never a silent new key.
func TestOpenKeysDamaged(t *testing.T) {
	t.Parallel()
	other := t.TempDir()
	if _, err := OpenKeys(other, testNow()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{rootCert, rootKey, issuingCert, issuingKey, signerCert, signerKey} {
		dir := t.TempDir()
		if _, err := OpenKeys(dir, testNow()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, keySet, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(good)
		flipped[len(good)/2] ^= 4
		foreign, err := os.ReadFile(filepath.Join(other, keySet, name))
		if err != nil {
			t.Fatal(err)
		}
		for kind, data := range map[string][]byte{
			"empty": {}, "cut off": good[:len(good)/2], "flipped": flipped, "with more": append(bytes.Clone(good), "x\n"...),
			"foreign": foreign, "missing": nil,
		} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if data == nil {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			_, err := OpenKeys(dir, testNow())
			switch {
			case name == rootKey && data == nil:
				if err != nil {
					t.Errorf("without the key of the root, which may be kept elsewhere: %v", err)
				}
			case err == nil:
				t.Errorf("%s %s: accepted", name, kind)
			// A foreign root is whole in itself; its own key then does not fit.
			case !strings.Contains(err.Error(), name):
				t.Errorf("%s %s: the error does not name the file: %v", name, kind, err)
			case data == nil && !errors.Is(err, os.ErrNotExist):
				t.Errorf("%s missing: %v", name, err)
			}
		}
	}
}

var testName = InstanceName{Account: "acc_01", Instance: "ins_02", Product: "Meeting Server", PID: "CMS", Serial: "S/N:é"}

// instance makes a product key and its signed certificate.
func instance(t testing.TB, k *Keys) (*ecdsa.PrivateKey, PreparedInstance, []byte) {
	t.Helper()
	key := NewProductKey()
	request, err := NewCSR(key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ParseCSR(request)
	if err != nil {
		t.Fatal(err)
	}
	p := k.PrepareInstance(csr, testName, testNow())
	der, err := k.SignInstance(p)
	if err != nil {
		t.Fatal(err)
	}
	return key, p, der
}

func TestInstanceCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, err := OpenKeys(dir, testNow())
	if err != nil {
		t.Fatal(err)
	}
	key, prepared, der := instance(t, k)
	chain := [][]byte{der, k.now().issuing.Raw, k.root.Raw}
	got, err := VerifyInstance(chain, k.Fingerprint(), testNow())
	if err != nil {
		t.Fatal(err)
	}
	if got.Account != testName.Account || got.Instance != testName.Instance || got.Product != testName.Product ||
		!got.Key.Equal(key.Public()) || !got.HasUDI(testName.PID, testName.Serial) || got.HasUDI(testName.PID, "other") {
		t.Errorf("VerifyInstance = %+v", got)
	}
	if from := testNow().Truncate(time.Second); !got.NotBefore.Equal(from) || got.NotAfter.Sub(from) != 365*24*time.Hour {
		t.Errorf("valid from %s to %s", got.NotBefore, got.NotAfter)
	}
	// After a crash between commit and signature another process makes the same bytes.
	reopened, err := OpenKeys(dir, testNow())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := reopened.SignInstance(prepared); err != nil || !bytes.Equal(again, der) {
		t.Errorf("signed again: other bytes, %v", err)
	}

	for name, c := range map[string]struct {
		chain [][]byte
		root  Fingerprint
		now   time.Time
		want  error
	}{
		"ten years behind":  {chain, k.Fingerprint(), testNow().Add(-10 * year), nil},
		"last second":       {chain, k.Fingerprint(), got.NotAfter, nil},
		"expired":           {chain, k.Fingerprint(), got.NotAfter.Add(time.Second), ErrExpired},
		"forty years ahead": {chain, k.Fingerprint(), testNow().Add(40 * year), ErrExpired},
		"other root":        {chain, Of([]byte("x")), testNow(), ErrChain},
		"no root":           {chain[:2], k.Fingerprint(), testNow(), ErrChain},
		"no issuing":        {[][]byte{der, k.root.Raw}, k.Fingerprint(), testNow(), ErrChain},
		"root alone":        {chain[2:], k.Fingerprint(), testNow(), ErrChain},
		"too long":          {[][]byte{der, der, der, der, k.root.Raw}, k.Fingerprint(), testNow(), ErrChain},
		"not DER":           {[][]byte{{1}, k.now().issuing.Raw, k.root.Raw}, k.Fingerprint(), testNow(), ErrChain},
		"oversize":          {[][]byte{make([]byte, maxCertificate+1), k.root.Raw}, k.Fingerprint(), testNow(), ErrChain},
	} {
		got, err := VerifyInstance(c.chain, c.root, c.now)
		if !errors.Is(err, c.want) || (err != nil) != (c.want != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if whole := got.Key != nil; whole != (c.want == nil || errors.Is(c.want, ErrExpired)) {
			t.Errorf("%s: result %+v with %v", name, got, err)
		}
	}
	for i := range der {
		mutant := bytes.Clone(der)
		mutant[i] ^= 1
		if _, err := VerifyInstance([][]byte{mutant, k.now().issuing.Raw, k.root.Raw}, k.Fingerprint(), testNow()); !errors.Is(err, ErrChain) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
}

func TestSignInstanceRefuses(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	_, good, _ := instance(t, k)
	for name, spoil := range map[string]func(*PreparedInstance){
		"zero CSR":        func(p *PreparedInstance) { *p = k.PrepareInstance(CSR{}, testName, testNow()) },
		"serial zero":     func(p *PreparedInstance) { p.Serial = "0" },
		"serial negative": func(p *PreparedInstance) { p.Serial = "-1" },
		"serial too long": func(p *PreparedInstance) { p.Serial = strings.Repeat("f", 32) },
		"id not plain":    func(p *PreparedInstance) { p.Name.Instance = "ins_é" },
	} {
		p := good
		spoil(&p)
		if der, err := k.SignInstance(p); err == nil {
			t.Errorf("%s: signed %d bytes", name, len(der))
		}
	}
	good.Name.Product = strings.Repeat("é", 40)
	der, err := k.SignInstance(good)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err := x509.ParseCertificate(der); err != nil || cert.Subject.CommonName != strings.Repeat("é", 32) {
		t.Errorf("common name = %q, %v", cert.Subject.CommonName, err)
	}
	good.Name.Product = "x" + strings.Repeat("é", 40)
	if got, want := commonName(good.Name.Product), "x"+strings.Repeat("é", 31); got != want {
		t.Errorf("commonName = %q, want %q", got, want)
	}
}

func TestParseCSR(t *testing.T) {
	t.Parallel()
	key := NewProductKey()
	good, err := NewCSR(key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ParseCSR(good)
	if err != nil || !csr.PublicKey().Equal(key.Public()) || len(csr.KeyThumbprint()) != 43 {
		t.Fatalf("ParseCSR = %+v, %v", csr, err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCSR(p384)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, err := NewCSR(ed)
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"empty": nil, "P-384": other, "Ed25519": edwards, "trailing": append(bytes.Clone(good), 0), "large": make([]byte, maxCSR+1),
	} {
		if csr, err := ParseCSR(der); !errors.Is(err, ErrCSR) || csr.PublicKey() != nil {
			t.Errorf("%s: %v, want ErrCSR", name, err)
		}
	}
	for i := range good {
		mutant := bytes.Clone(good)
		mutant[i] ^= 1
		if _, err := ParseCSR(mutant); !errors.Is(err, ErrCSR) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
}

func TestProductKeyFiles(t *testing.T) {
	t.Parallel()
	key := NewProductKey()
	text, err := MarshalKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseKeyPEM(text); err != nil || !back.Equal(key) {
		t.Errorf("ParseKeyPEM: %v", err)
	}
	spki, err := MarshalPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParsePublicKey(spki); err != nil || !back.Equal(key.Public()) {
		t.Errorf("ParsePublicKey: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("x"), text[:40], append(bytes.Clone(text), 'x'), CertificatePEM(spki), keyPEM(spki)} {
		if _, err := ParseKeyPEM(bad); !errors.Is(err, ErrKey) {
			t.Errorf("ParseKeyPEM(%q): %v, want ErrKey", bad, err)
		}
		if _, err := ParsePublicKey(bad); !errors.Is(err, ErrKey) {
			t.Errorf("ParsePublicKey(%q): %v, want ErrKey", bad, err)
		}
	}
	k := openKeys(t)
	ders, err := ParseCertificatesPEM(append([]byte("issuing and root:\n"), k.ChainPEM()...))
	if err != nil || len(ders) != 2 || Of(ders[1]) != k.Fingerprint() {
		t.Errorf("ParseCertificatesPEM: %d, %v", len(ders), err)
	}
	for _, bad := range [][]byte{nil, text, CertificatePEM([]byte{1}), bytes.Repeat(k.RootPEM(), 5), make([]byte, 1<<20)} {
		if ders, err := ParseCertificatesPEM(bad); err == nil {
			t.Errorf("ParseCertificatesPEM accepts %d certificates in %.40q", len(ders), bad)
		}
	}
}

// openssl, which operators have, checks our certificates.
func TestOpenSSLVerifies(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	_, _, der := instance(t, k)
	server, err := k.ServerCertificate([]string{"tally.example", "192.0.2.7"}, testNow())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{
		"root.pem": k.RootPEM(), "chain.pem": k.ChainPEM(), "id-cert.pem": CertificatePEM(der),
		"server.pem": CertificatePEM(server.Certificate[0]), "signer.pem": CertificatePEM(k.now().signer.Raw),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openssl := func(args ...string) (string, error) {
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	at := fmt.Sprint(testNow().Unix())
	for _, c := range []struct {
		file, purpose string
		ok            bool
	}{
		{"id-cert.pem", "any", true}, {"id-cert.pem", "sslclient", true}, {"id-cert.pem", "sslserver", false},
		{"server.pem", "sslserver", true}, {"server.pem", "sslclient", false},
		{"signer.pem", "any", true}, {"signer.pem", "sslserver", false}, {"signer.pem", "sslclient", false},
	} {
		out, err := openssl("verify", "-x509_strict", "-attime", at, "-purpose", c.purpose, "-CAfile", "root.pem", "-untrusted", "chain.pem", c.file)
		if (err == nil) != c.ok {
			t.Errorf("openssl verify %s as %s: %v, want accepted = %t\n%s", c.file, c.purpose, err, c.ok, out)
		}
	}
	out, err := openssl("x509", "-in", "id-cert.pem", "-noout", "-text")
	if err != nil {
		t.Fatalf("openssl x509: %v\n%s", err, out)
	}
	for _, want := range []string{
		"Not Before: Mar  1 12:00:00 2027 GMT", "Not After : Feb 29 12:00:00 2028 GMT", "CN = Meeting Server", "serialNumber = ins_02",
		"O = acc_01", "URI:tallystick:instance:acc_01/ins_02", "URI:tallystick:udi:sha256:", "Policy: " + string(purposeInstance),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("openssl x509 -text does not show %q:\n%s", want, out)
		}
	}
}
