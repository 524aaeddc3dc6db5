package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/test/play"
)

// patient is a registered product whose way to its authority is broken in every way that the field knows.
type patient struct {
	*desk
	state string
	keys  *trust.Keys
}

// newPatient starts an authority with https and registers a product with it.
func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{desk: &desk{t: t, data: filepath.Join(t.TempDir(), "data")}, state: filepath.Join(t.TempDir(), "state")}
	p.key, _ = p.json(tally(), "bootstrap", "--data", p.data)["apiKey"].(string)
	var err error
	if p.keys, err = trust.OpenKeys(p.data, time.Now()); err != nil {
		t.Fatal(err)
	}
	p.env = []string{"TALLY_ROOT=" + filepath.Join(p.data, "authority-1", "root.pem")}
	p.serveAs(time.Now(), "localhost")
	p.json(tally(), "account", "create", "acme.example")
	p.order("SO-1", `{"tag":"cms-smp-plus","quantity":1}`)
	token, _ := p.json(tally(), "token", "create")["token"].(string)
	p.agent(0, "init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", "A1")
	p.agent(0, "transport", "direct", p.address())
	p.agent(0, "license", "smart", "register", "idtoken", token)
	p.agent(0, "usage", "set", "cms-smp-plus", "1")
	p.agent(0, "report")
	return p
}

// serveAs starts the authority with a certificate of its own that was made at the given time for the given name.
func (p *patient) serveAs(at time.Time, name string) {
	p.t.Helper()
	if p.srv != nil {
		p.srv.Stop()
	}
	made, err := p.keys.ServerCertificate([]string{name, "127.0.0.1"}, at)
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		p.t.Fatal(err)
	}
	cert := p.file("server.pem", string(trust.CertificatePEM(made.Certificate...)))
	p.serve = []string{"serve", "--data", p.data, "--listen", "127.0.0.1:0", "--tls-cert", cert,
		"--tls-key", p.file("server.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))}
	p.start()
	p.env = append(p.env, "TALLY_URL=https://127.0.0.1:"+p.port())
}

func (p *patient) port() string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(p.srv.URL, "https://"))
	return port
}

// address is the authority by its name.
func (p *patient) address() string { return "https://localhost:" + p.port() }

func (p *patient) agent(want int, args ...string) string {
	p.t.Helper()
	out, _ := p.run(want, tallyAgent(), append([]string{"--state", p.state}, args...)...)
	return out
}

// state is what must not get worse.
func (p *patient) standing() string {
	p.t.Helper()
	doc := p.json(tallyAgent(), "--state", p.state, "show", "license", "status")
	r, _ := doc["registration"].(map[string]any)
	a, _ := doc["authorization"].(map[string]any)
	return fmt.Sprint(r["status"], r["instance"], a["status"], a["deadline"], doc["licenses"])
}

// tries renews the registration, which waits for no second try when it is refused here; it returns the exit code.
func (p *patient) tries() int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 3*time.Second) // it would go on for a minute
	defer cancel()
	_, _, code := play.Run(ctx, p.env, tallyAgent(), "--state", p.state, "license", "smart", "renew", "id")
	return code
}

// examine runs the doctor and wants one step to fail, and the others not to be blamed for it.
func (p *patient) examine(t *testing.T, step, mend string) {
	t.Helper()
	out, errs := p.run(1, tallyAgent(), "--state", p.state, "doctor")
	t.Logf("\n%s%s", out, errs)
	var failed []string
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		if len(line) < 20 || strings.TrimSpace(line[11:19]) != "failed" {
			continue
		}
		failed = append(failed, strings.TrimSpace(line[:10]))
		if !strings.Contains(lines[i+1], "mend:") || !strings.Contains(lines[i+1], mend) {
			t.Errorf("the mend of %s is %q, want it to speak of %q", step, lines[i+1], mend)
		}
	}
	if fmt.Sprint(failed) != "["+step+"]" {
		t.Errorf("failed: %q, want only %s", failed, step)
	}
	for _, bad := range []string{"insecure", "verification off", "disable"} {
		if strings.Contains(strings.ToLower(out), bad) {
			t.Errorf("the doctor speaks of %q", bad)
		}
	}
}

// TestDoctor breaks the way to the authority for real, one thing at a time: the doctor names that step and what mends it, a
// report fails, and the product keeps its last good state.
func TestDoctor(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	good := p.standing()
	if out := p.agent(0, "doctor"); strings.Count(out, " ok ") < 7 || strings.Contains(out, "failed") {
		t.Fatalf("a healthy way:\n%s", out)
	}
	keeps := func(t *testing.T) {
		t.Helper()
		if code := p.tries(); code == 0 && t.Name() != "TestDoctor/healthy_again" {
			t.Error("a report came through")
		}
		if now := p.standing(); now != good {
			t.Errorf("the state became worse:\n%s\nwas\n%s", now, good)
		}
	}
	other := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<h1>Welcome to the hotel</h1>")
	}))
	t.Cleanup(portal.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	portalTLS := p.portal(t)

	for _, c := range []struct{ name, address, step, mend string }{
		{"name not resolvable", "https://licenses.invalid:8443", "DNS", "check the spelling of licenses.invalid"},
		{"address unreachable", "https://" + closed.Addr().String(), "TCP", "nothing listens on port"},
		{"captive portal", portal.URL, "HTTP", "sign in to the network"},
		{"captive portal behind TLS", portalTLS, "HTTP", "sign in to the network"},
		{"no TLS there", strings.Replace(portal.URL, "http:", "https:", 1), "TLS chain", "does not speak TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.agent(0, "transport", "direct", c.address)
			p.examine(t, c.step, c.mend)
			keeps(t)
		})
	}
	t.Run("a foreign authority", func(t *testing.T) {
		p.agent(0, "transport", "direct", other.URL)
		out, _ := p.run(1, tallyAgent(), "--state", p.state, "doctor")
		if !strings.Contains(out, "TLS chain  failed   the server's certificates lead to") || !strings.Contains(out, "exempt 127.0.0.1 from it") {
			t.Errorf("got\n%s", out)
		}
		keeps(t)
	})
	t.Run("name wrong", func(t *testing.T) {
		p.serveAs(time.Now(), "other.example")
		p.agent(0, "transport", "direct", p.address())
		p.examine(t, "names", "start the server with --name localhost")
		keeps(t)
	})
	t.Run("certificate expired", func(t *testing.T) {
		p.serveAs(time.Now().AddDate(-2, 0, 0), "localhost")
		p.agent(0, "transport", "direct", p.address())
		p.examine(t, "TLS chain", "renew the server's certificate")
		keeps(t)
	})
	t.Run("clock off by a year", func(t *testing.T) {
		p.serveAs(time.Now(), "localhost")
		p.agent(0, "transport", "direct", p.address())
		healthy := p.env
		defer func() { p.env = healthy }()
		for _, shift := range []string{"8760h", "-8760h"} {
			p.env = append(healthy[:len(healthy):len(healthy)], "TALLY_TEST_CLOCK="+p.file("clock", shift))
			p.examine(t, "clock", "set the clock of this host")
		}
	})
	t.Run("through a proxy", func(t *testing.T) {
		proxy := play.Squid(t, "product", "the right one", portOf(t, p.srv.URL))
		through := func(user, password, authority string) {
			t.Helper()
			args := []string{"transport", "proxy", proxy, "--authority", authority}
			if user != "" {
				args = append(args, "--user", user, "--password-file", p.file("password", password+"\n"))
			}
			p.agent(0, args...)
		}
		through("product", "the wrong one", p.address())
		p.examine(t, "proxy", "set the right ones")
		keeps(t)
		through("", "", p.address())
		p.examine(t, "proxy", "set user and password")
		through("product", "the right one", "https://localhost:1")
		p.examine(t, "proxy", "allow CONNECT to localhost:1")
		through("product", "the right one", p.address())
		out := p.agent(0, "doctor")
		if !strings.Contains(out, "the proxy opened a way to localhost:") || strings.Contains(out, "failed") {
			t.Errorf("a healthy way through a proxy:\n%s", out)
		}
		p.agent(0, "report")
		good = p.standing() // with a later deadline
		p.agent(0, "transport", "direct", p.address())
	})
	t.Run("healthy again", func(t *testing.T) {
		keeps(t)
		if out := p.agent(0, "doctor"); strings.Contains(out, "failed") {
			t.Errorf("a healthy way:\n%s", out)
		}
	})
}

// portal is a web page with a certificate of the authority itself in front: a device that opens TLS with its blessing.
func (p *patient) portal(t *testing.T) string {
	t.Helper()
	made, err := p.keys.ServerCertificate([]string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<h1>Welcome</h1>")
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{made}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
}
