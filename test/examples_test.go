package test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// newEstate is an authority with licenses for one product of the examples.
func newEstate(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, filepath.Join(t.TempDir(), "tally.db"))
	d.json(tally(), "account", "create", "acme.example")
	d.order("SO-1", `{"tag":"cms-pmp-plus","quantity":2}`)
	return d
}

// TestExampleInGo builds the example product and runs it as docs/embedding.md says.
func TestExampleInGo(t *testing.T) {
	t.Parallel()
	d := newEstate(t)
	program := filepath.Join(t.TempDir(), "product")
	build := exec.Command("go", "build", "-o", program, "../examples/product")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	state := filepath.Join(t.TempDir(), "state")
	d.run(0, tally(), "token", "create", "-o", filepath.Join(filepath.Dir(state), "token.txt"))
	out, _ := d.run(0, program, "--state", state, "--authority", d.srv.URL, "--token-file", filepath.Join(filepath.Dir(state), "token.txt"), "--users", "2")
	wantIn(t, out, "may add a user: true", "registration: REGISTERED", "authorization: AUTHORIZED", "cms-pmp-plus: 2 in use, 0 short, AUTHORIZED")
	out, _ = d.run(0, program, "--state", state, "--users", "3")
	wantIn(t, out, "authorization: OUT OF COMPLIANCE", "3 in use, 1 short", "1 license is missing")
	_, errs := d.run(3, program, "--state", state, "--token-file", filepath.Join(filepath.Dir(state), "token.txt"))
	wantIn(t, errs, "error: the product is registered already", "hint: ")
	d.srv.Kill()
	out, _ = d.run(0, program, "--state", state, "--users", "1")
	wantIn(t, out, "no report: ", "may add a user: true", "registration: REGISTERED")
}

// TestExampleInShell runs the same in shell.
func TestExampleInShell(t *testing.T) {
	t.Parallel()
	d := newEstate(t)
	token, _ := d.json(tally(), "token", "create")["token"].(string)
	d.env = append(d.env, "PATH="+bin+":"+os.Getenv("PATH"), "AUTHORITY="+d.srv.URL, "TOKEN="+token, "USERS=3", "TALLY_AGENT_STATE="+filepath.Join(t.TempDir(), "state"))
	out, _ := d.run(0, "sh", "../examples/product.sh")
	wantIn(t, out, "UDI: PID:EX-2000,SN:B1", "Status: OUT OF COMPLIANCE", "Everything is allowed", "cms-pmp-plus")
}

// recorder is a gateway that keeps what comes through.
type recorder struct {
	mu   sync.Mutex // guards seen
	seen bytes.Buffer
	next http.Handler
}

// ServeHTTP keeps headers and body, the body as sent and with its envelope opened.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	fmt.Fprintf(&r.seen, "%s %s %v\n%s\n", req.Method, req.URL, req.Header, body)
	for part := range strings.SplitSeq(string(body), ".") {
		text, _ := base64.RawURLEncoding.DecodeString(part)
		r.seen.Write(append(text, '\n'))
	}
	r.mu.Unlock()
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.next.ServeHTTP(w, req)
}

// TestPrivacySwitches searches every byte that leaves for what is not to leave.
func TestPrivacySwitches(t *testing.T) {
	t.Parallel()
	d := newEstate(t)
	target, err := url.Parse(d.srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	way := &recorder{next: httputil.NewSingleHostReverseProxy(target)}
	gateway := httptest.NewServer(way)
	defer gateway.Close()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	agent := func(args ...string) string {
		t.Helper()
		out, _ := d.run(0, tallyAgent(), append([]string{"--state", state}, args...)...)
		return out
	}
	token := func() string {
		text, _ := d.json(tally(), "token", "create")["token"].(string)
		return text
	}
	const version = "3.141.59"
	agent("init", "--product", "Private Bridge", "--pid", "PRIV-1", "--sn", "P1", "--version", version)
	agent("transport", "gateway", gateway.URL)
	everything := func() string {
		agent("license", "smart", "register", "idtoken", token(), "force")
		agent("usage", "set", "cms-pmp-plus", "1")
		agent("report")
		agent("license", "smart", "renew", "id")
		agent("doctor")
		way.mu.Lock()
		defer way.mu.Unlock()
		defer way.seen.Reset()
		return way.seen.String()
	}
	for _, c := range []struct {
		words         []string
		host, version bool // that it may leave
	}{
		{[]string{"all"}, false, false},
		{[]string{"hostname", "off"}, true, false},
		{[]string{"all", "off"}, true, true},
		{[]string{"hostname"}, false, true},
		{[]string{"version"}, false, false},
		{[]string{"none"}, true, true},
	} {
		agent(append([]string{"license", "smart", "privacy"}, c.words...)...)
		seen := everything()
		if got := strings.Contains(seen, `"hostname":"`+host+`"`); got != c.host {
			t.Errorf("privacy %v: the host name leaves: %t, want %t", c.words, got, c.host)
		}
		if got := strings.Contains(seen, version); got != c.version {
			t.Errorf("privacy %v: the version leaves: %t, want %t", c.words, got, c.version)
		}
		if !c.host && len(host) > 3 && strings.Contains(seen, host) {
			t.Errorf("privacy %v: the host name %q leaves somewhere", c.words, host)
		}
	}
}
