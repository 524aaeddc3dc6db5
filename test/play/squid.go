package play

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// squidConf is a proxy as companies have them: who is not known gets nowhere, and who is gets to TLS ports with CONNECT. Only the
// port that the test chooses is one.
const squidConf = `
http_port 127.0.0.1:PORT
auth_param basic program /usr/lib/squid/basic_ncsa_auth DIR/passwords
auth_param basic realm proxy
acl known proxy_auth REQUIRED
acl tls port TLSPORT
acl connect method CONNECT
http_access deny connect !tls
http_access allow known
http_access deny all
cache deny all
cache_mem 8 MB
access_log stdio:DIR/access.log
cache_log DIR/cache.log
pid_filename none
coredump_dir DIR
shutdown_lifetime 0 seconds
dns_v4_first on
`

// Squid starts a proxy that asks for this user and password (basic, RFC 7617), opens ways to tlsPort alone, and returns its
// address, host and port. The test ends it. A missing proxy fails the test.
func Squid(t testing.TB, user, password string, tlsPort int) (address string) {
	t.Helper()
	program, err := exec.LookPath("squid")
	if err != nil {
		program = "/usr/sbin/squid"
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("the proxy is missing: run `make test`, which installs it: %v", err)
	}
	dir, err := os.MkdirTemp("", "tally-squid-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { // as root the proxy becomes another user
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = l.Close()
	hash, err := exec.Command("openssl", "passwd", "-apr1", password).Output()
	if err != nil {
		t.Fatalf("hash the password: %v", err)
	}
	files := map[string]string{
		"passwords":  user + ":" + string(hash),
		"squid.conf": strings.NewReplacer("TLSPORT", fmt.Sprint(tlsPort), "PORT", port, "DIR", dir).Replace(squidConf),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-N", "-f", filepath.Join(dir, "squid.conf"))
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the proxy
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended //nolint:errcheck // it was killed
	})
	for end := time.Now().Add(20 * time.Second); ; {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return address
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the proxy ended: %v\n%s", err, log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("the proxy was not ready after 20 s\n%s", log.String())
		}
	}
}
