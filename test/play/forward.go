package play

import (
	"crypto/ecdsa"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
)

// Forwarder is a running gateway that carries requests of products on.
type Forwarder struct {
	URL string
	// Root is a file with the root of its certificate, PEM.
	Root string

	t   testing.TB
	dir string
	cmd *exec.Cmd
}

// apacheConf forwards the machine gate and nothing else.
const apacheConf = `
ServerRoot DIR
ServerName localhost
PidFile DIR/apache.pid
Listen 127.0.0.1:PORT
LoadModule mpm_event_module MODULES/mod_mpm_event.so
LoadModule authz_core_module MODULES/mod_authz_core.so
LoadModule ssl_module MODULES/mod_ssl.so
LoadModule proxy_module MODULES/mod_proxy.so
LoadModule proxy_http_module MODULES/mod_proxy_http.so
USER
ErrorLog DIR/error.log
LogFormat "%m %U %>s" short
CustomLog DIR/access.log short
SSLEngine on
SSLCertificateFile DIR/cert.pem
SSLCertificateKeyFile DIR/key.pem
SSLProxyEngine on
SSLProxyCACertificateFile AUTHORITY_ROOT
ProxyPass /machine/ AUTHORITY/machine/
`

// Apache starts a gateway on a free loopback port that forwards the machine gate of an authority, whose root certificate is in
// a PEM file. Its own certificate, for localhost, is of another CA. The test ends it.
func Apache(t testing.TB, authority, rootFile string) *Forwarder {
	t.Helper()
	f := &Forwarder{t: t, dir: openDir(t)}
	ca, err := trust.OpenKeys(filepath.Join(f.dir, "ca"), Now())
	must(t, "make a CA", err)
	cert, err := ca.ServerCertificate([]string{"localhost"}, Now())
	must(t, "make a certificate", err)
	key, err := trust.MarshalKeyPEM(cert.PrivateKey.(*ecdsa.PrivateKey))
	must(t, "write the key", err)
	port, account := freePort(t), ""
	if os.Geteuid() == 0 {
		account = "User www-data\nGroup www-data"
	}
	conf := strings.NewReplacer("PORT", fmt.Sprint(port), "DIR", f.dir, "MODULES", "/usr/lib/apache2/modules", "USER", account,
		"AUTHORITY_ROOT", rootFile, "AUTHORITY", authority).Replace(apacheConf)
	f.Root = filepath.Join(f.dir, "root.pem")
	for file, text := range map[string][]byte{"apache.conf": []byte(conf), "cert.pem": trust.CertificatePEM(cert.Certificate...), "key.pem": key, "root.pem": ca.RootPEM()} {
		must(t, "write "+file, os.WriteFile(filepath.Join(f.dir, file), text, 0o600))
	}
	f.URL = fmt.Sprintf("https://localhost:%d", port)
	f.start(sbin("apache2"), "-X", "-f", filepath.Join(f.dir, "apache.conf"))
	return f
}

// openDir is a folder that a program which gives its rights up can write to.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "forward")
	must(t, "make a folder", err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		must(t, "open the folder", os.Chmod(dir, 0o777))
	}
	return dir
}

// start starts the program and waits until it takes connections.
func (f *Forwarder) start(program string, args ...string) {
	f.t.Helper()
	f.cmd = exec.Command(program, args...)
	var log strings.Builder
	f.cmd.Stdout, f.cmd.Stderr, f.cmd.WaitDelay = &log, &log, 5*time.Second
	must(f.t, "start "+program, f.cmd.Start())
	done := make(chan error, 1)
	go func() { done <- f.cmd.Wait() }() // ends with the program
	f.t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		<-done //nolint:errcheck // it was killed
	})
	_, address, _ := strings.Cut(f.URL, "://")
	address = strings.Replace(address, "localhost", "127.0.0.1", 1)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		select {
		case err := <-done:
			done <- err
			f.t.Fatalf("%s ended: %v\n%s\n%s", program, err, log.String(), f.read("error.log"))
		case <-time.After(20 * time.Millisecond):
		}
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = c.Close()
			return
		}
	}
	f.t.Fatalf("%s does not listen\n%s", program, log.String())
}

// Log is what it noted of requests.
func (f *Forwarder) Log() string { return f.read("access.log") }

func (f *Forwarder) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(f.dir, name))
	return string(text)
}
