package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/test/play"
)

// host is a product with its daemon on an authority of its own.
type host struct {
	*desk
	state  string
	daemon *play.Server
	token  string // of the loopback listener
}

// newHost starts an authority that sold two licenses of each tag and a product's daemon that listens as told.
func newHost(t *testing.T, listen string) *host {
	t.Helper()
	h := &host{desk: newDesk(t, filepath.Join(t.TempDir(), "tally.db")), state: filepath.Join(t.TempDir(), "state")}
	h.json(tally(), "account", "create", "acme.example")
	h.order("SO-1", `{"tag":"cms-smp-plus","quantity":2},{"tag":"cms-pmp-plus","quantity":2}`)
	h.product("init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", "A1", "--version", "3.9")
	h.product("transport", "direct", h.srv.URL)
	h.serveHost(listen)
	return h
}

func (h *host) serveHost(listen string) {
	h.t.Helper()
	h.daemon = play.Serve(h.t, tallyAgent(), "--state", h.state, "serve", "--listen", listen)
	if !strings.HasPrefix(listen, "unix:") {
		raw, err := os.ReadFile(filepath.Join(h.state, "local-token"))
		if err != nil {
			h.t.Fatal(err)
		}
		h.token = strings.TrimSpace(string(raw))
	}
}

func (h *host) product(args ...string) string {
	h.t.Helper()
	out, _ := h.run(0, tallyAgent(), append([]string{"--state", h.state}, args...)...)
	return out
}

func (h *host) newToken() string {
	h.t.Helper()
	token, _ := h.json(tally(), "token", "create")["token"].(string)
	return token
}

// status is what the product shows on the command line.
func (h *host) status() (registration, authorization string) {
	h.t.Helper()
	doc := h.json(tallyAgent(), "--state", h.state, "show", "license", "status")
	r, _ := doc["registration"].(map[string]any)
	a, _ := doc["authorization"].(map[string]any)
	return fmt.Sprint(r["status"]), fmt.Sprint(a["status"])
}

// wants checks both statuses.
func (h *host) wants(registration, authorization string) {
	h.t.Helper()
	if r, a := h.status(); r != registration || a != authorization {
		h.t.Errorf("the product is %s and %s, want %s and %s", r, a, registration, authorization)
	}
}

// caller calls a local interface.
type caller struct {
	t      *testing.T
	base   string
	client *http.Client
	header http.Header
}

// do calls and wants a status; it returns the answer.
func (c caller) do(want int, method, path string, body any) string {
	c.t.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, in)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range c.header {
		req.Header[name] = values
		if name == "Host" {
			req.Host = values[0]
		}
	}
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != want {
		c.t.Errorf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, want, text)
	}
	return string(text)
}

// with is the caller with headers more.
func (c caller) with(header ...string) caller {
	c.header = c.header.Clone()
	for i := 0; i < len(header); i += 2 {
		c.header.Set(header[i], header[i+1])
	}
	return c
}

func (h *host) caller() caller {
	return caller{h.t, h.daemon.URL, &http.Client{}, http.Header{"Authorization": {"Bearer " + h.token}}}
}

// TestLocalRESTOnASocket is a product in another language that does everything over a Unix socket.
func TestLocalRESTOnASocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "tally") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	h := newHost(t, "unix:"+socket)
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the socket has mode %v: %v", info.Mode(), err)
	}
	c := caller{t, "http://tally-agent", &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}, http.Header{}}

	wantIn(t, c.do(200, "GET", "/v1/status", nil), `"status":"UNREGISTERED"`, `"registration":"Register with a token of the authority."`)
	wantIn(t, c.do(422, "POST", "/v1/report", struct{}{}), `"code":"not-registered"`, `"hint":`)
	wantIn(t, c.do(200, "PUT", "/v1/usage/cms-smp-plus", map[string]int{"count": 1}), `"tag":"cms-smp-plus"`)
	c.do(400, "PUT", "/v1/usage/cms-smp-plus", map[string]int{"count": -1})
	c.do(400, "PUT", "/v1/usage/cms-smp-plus", map[string]int{"cuont": 1})
	c.do(404, "GET", "/v1/nothing", nil)
	c.do(413, "POST", "/v1/registration", map[string]string{"token": strings.Repeat("x", 200_000)})
	token := h.newToken()
	wantIn(t, c.do(200, "POST", "/v1/registration", map[string]any{"token": token}), `"status":"REGISTERED"`, `"status":"AUTHORIZED"`)
	wantIn(t, c.do(422, "POST", "/v1/registration", map[string]any{"token": h.newToken()}), `"code":"already-registered"`)
	c.do(200, "PUT", "/v1/usage/cms-smp-plus", map[string]int{"count": 3})
	wantIn(t, c.do(200, "POST", "/v1/report", nil), `"status":"OUT OF COMPLIANCE"`, `"shortage":1`)
	wantIn(t, c.do(200, "GET", "/v1/decision/provision", nil), `"allowed":true`, `"policy":"none"`)
	wantIn(t, c.do(404, "GET", "/v1/decision/provison", nil), `there is no action`)
	wantIn(t, c.do(200, "GET", "/v1/show/all", nil), "Smart Licensing is ENABLED", "  Status: OUT OF COMPLIANCE on ")
	c.do(200, "POST", "/v1/registration/renew", nil)
	now := time.Now().UTC().Truncate(time.Hour)
	wantIn(t, c.do(200, "POST", "/v1/intervals", map[string]any{"items": []any{map[string]any{"tag": "cms-smp-plus", "from": now.Add(-time.Hour), "to": now, "peak": 4}}}), `"waitingIntervals"`)
	wantIn(t, c.do(200, "POST", "/v1/doctor", map[string]string{}), `"healthy":true`)
	wantIn(t, c.do(200, "GET", "/v1/firewall", nil), `"direction":"out"`)
	wantIn(t, c.do(200, "PUT", "/v1/transport", map[string]any{"type": "gateway", "url": h.srv.URL}), `"type":"gateway"`)
	wantIn(t, c.do(200, "PUT", "/v1/privacy", map[string]any{"hostname": true, "version": false}), `"hostname":true`)
	wantIn(t, c.do(200, "DELETE", "/v1/registration", nil), `"confirmed":true`)
	h.wants("UNREGISTERED", "EVAL MODE")

	// A second daemon on the same socket says so; one that died leaves no trouble.
	_, errs := h.run(5, tallyAgent(), "--state", h.state, "serve", "--listen", "unix:"+socket)
	wantIn(t, errs, "another daemon serves")
	h.daemon.Kill()
	h.serveHost("unix:" + socket)
	if code := h.daemon.Stop(); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	_, errs = h.run(2, tallyAgent(), "--state", h.state, "serve", "--listen", "0.0.0.0:0")
	wantIn(t, errs, "is no address of this host alone")
}

func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

// TestLoopbackPortNeedsTheToken tries everything that is not the owner's own program.
func TestLoopbackPortNeedsTheToken(t *testing.T) {
	t.Parallel()
	h := newHost(t, "127.0.0.1:0")
	for _, name := range []string{"local-token", "local-address"} {
		info, err := os.Stat(filepath.Join(h.state, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: %v", name, info.Mode(), err)
		}
	}
	owner := h.caller()
	owner.do(200, "GET", "/v1/status", nil)
	stranger := owner
	stranger.header = http.Header{}
	for _, path := range []string{"/v1/status", "/v1/show/all", "/v1/decision", "/api/v0/licensing", "/v1/transport"} {
		stranger.do(401, "GET", path, nil)
	}
	for _, c := range []struct{ method, path string }{
		{"POST", "/v1/link"}, {"POST", "/v1/report"}, {"DELETE", "/v1/registration"}, {"PUT", "/v1/usage/cms-smp-plus"}, {"POST", "/v1/registration"},
		{"DELETE", "/api/v0/licensing/deregistration"},
	} {
		stranger.do(401, c.method, c.path, map[string]any{})
		owner.with("Origin", "http://evil.example").do(403, c.method, c.path, map[string]any{})
	}
	stranger.with("Authorization", "Bearer "+strings.Repeat("0", 64)).do(401, "GET", "/v1/status", nil)
	owner.with("Host", "evil.example").do(403, "GET", "/v1/status", nil) // a name that was bound to this address
	owner.with("Host", "evil.example").do(403, "GET", "/", nil)
	owner.with("Origin", "null").do(403, "GET", "/v1/status", nil)
	owner.with("Sec-Fetch-Site", "cross-site").do(403, "GET", "/v1/status", nil)
	owner.with("Sec-Fetch-Site", "same-site").do(403, "POST", "/v1/report", nil) // another port of this host
	owner.with("Content-Type", "text/plain").do(400, "POST", "/v1/registration", map[string]any{"token": "x"})
	stranger.do(401, "POST", "/v1/session", map[string]string{"code": strings.Repeat("0", 64)})

	// The page is public and holds nothing; what it loads is its own.
	resp, err := http.Get(h.daemon.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the page may load what %q says", csp)
	}
	if bytes.Contains(text, []byte("CMS-1000")) || bytes.Contains(text, []byte("<style")) || bytes.Contains(text, []byte(" style=")) || bytes.Contains(text, []byte(" onclick=")) {
		t.Error("the page holds more than it should")
	}
	if code := h.daemon.Stop(); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	if _, err := os.Stat(filepath.Join(h.state, "local-token")); err == nil {
		t.Error("the token outlives the daemon")
	}
}

// TestForeignWebPageCannotReachTheAgent opens a page of somebody else in the browser in which the administrator has the
// product page open. It tries what a web page can try; nothing gets through (reliability, section 2 row 24).
func TestForeignWebPageCannotReachTheAgent(t *testing.T) {
	t.Parallel()
	h := newHost(t, "127.0.0.1:0")
	h.product("license", "smart", "register", "idtoken", h.newToken())
	target := h.daemon.URL
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><body><img id=i><iframe id=f src="%[1]s/"></iframe><form id=p method=post target=f2 enctype="text/plain" action="%[1]s/v1/report"><input name='{"x":"' value='"}'></form><iframe name=f2></iframe>
<script>
const results = [];
async function attack() {
  const tries = [
    ['GET', '/v1/status'], ['GET', '/api/v0/licensing'], ['DELETE', '/v1/registration'], ['DELETE', '/api/v0/licensing/deregistration'],
    ['POST', '/v1/report'], ['PUT', '/v1/usage/cms-smp-plus', '{"count":2}'], ['POST', '/v1/link', '{}'],
    ['PUT', '/v1/transport', '{"type":"direct","url":"https://evil.example"}'],
  ];
  for (const [method, path, body] of tries)
    for (const mode of ['cors', 'no-cors'])
      for (const type of ['application/json', 'text/plain'])
        try {
          const r = await fetch('%[1]s' + path, {method, mode, body, credentials: 'include', headers: {'Content-Type': type}});
          if (r.type !== 'opaque') results.push(method + ' ' + path + ' ' + mode + ': ' + r.status + ' ' + await r.text());
        } catch (e) { /* refused */ }
  document.getElementById('p').submit();
  await new Promise(done => { const s = document.createElement('script'); s.src = '%[1]s/v1/status'; s.onload = () => { results.push('script'); done(); }; s.onerror = done; document.body.append(s); });
  await new Promise(done => { const s = new WebSocket('%[1]s'.replace('http', 'ws') + '/v1/status'); s.onopen = () => { results.push('socket'); done(); }; s.onerror = done; });
  try { if (document.getElementById('f').contentDocument?.body?.innerText.includes('Licenses')) results.push('frame'); } catch { /* refused */ }
  window.done = true;
}
attack();
</script>`, target)
	}))
	defer evil.Close()
	b := play.Chromium(t)
	b.Open(strings.TrimSpace(h.product("page")))
	b.Wait(`document.querySelector('#registration-status').textContent === 'REGISTERED'`)
	for _, address := range []string{evil.URL, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} { // same site, and another one
		b.Open(address)
		b.Wait("window.done === true")
		if got := b.Eval("results.join('\\n')"); got != "" {
			t.Errorf("from %s a foreign page got\n%v", address, got)
		}
	}
	h.wants("REGISTERED", "No Licenses in Use")
	doc := h.json(tallyAgent(), "--state", h.state, "show", "license", "status")
	if doc["transport"] != h.srv.URL || doc["licenses"] != nil {
		t.Errorf("a foreign page changed something: %v", doc)
	}
	b.Open(target + "/") // the session of the administrator is still open
	b.Wait(`document.querySelector('#registration-status').textContent === 'REGISTERED'`)
}

// TestSmallREST plays the calls of the licensing model of the public client for the small interface, in its order and form:
// it signs in, sets the transport, registers and waits, renews, changes features and deregisters.
func TestSmallREST(t *testing.T) {
	t.Parallel()
	h := newHost(t, "127.0.0.1:0")
	owner := h.caller()
	owner.base += "/api/v0/"
	stranger := owner
	stranger.header = http.Header{}
	var info struct{ Version string }
	decodeInto(t, stranger.do(200, "GET", "system_information", nil), &info)
	if !strings.HasPrefix(info.Version, "2.") {
		t.Errorf("the version %q is none that the client takes", info.Version)
	}
	stranger.do(403, "POST", "authenticate", map[string]string{"username": "tally", "password": "wrong"})
	var bearer string
	decodeInto(t, stranger.do(200, "POST", "authenticate", map[string]string{"username": "tally", "password": h.token}), &bearer)
	c := stranger.with("Authorization", "Bearer "+bearer)
	c.do(200, "GET", "authok", nil)

	type document struct {
		UDI          string
		Registration struct {
			Status      string
			Expires     string
			Account     string         `json:"smart_account"`
			RegisterAt  map[string]any `json:"register_time"`
			RenewAt     map[string]any `json:"renew_time"`
			InstanceNam string         `json:"instance_name"`
		}
		Authorization struct{ Status, Expires string }
		Transport     struct {
			SSMS, Default string
			Proxy         struct {
				Server *string
				Port   *int
			}
		}
		ReservationMode bool `json:"reservation_mode"`
		Features        []map[string]any
	}
	status := func() (d document) {
		t.Helper()
		decodeInto(t, c.do(200, "GET", "licensing", nil), &d)
		return d
	}
	waitFor := func(what string, is func(document) bool) document {
		t.Helper()
		for end := time.Now().Add(45 * time.Second); ; {
			d := status()
			if is(d) {
				return d
			}
			if time.Now().After(end) {
				t.Fatalf("%s did not come within 45 s: %+v", what, d)
			}
			<-time.After(50 * time.Millisecond)
		}
	}
	if d := status(); d.Registration.Status != "NOT_REGISTERED" || d.Authorization.Status != "INIT" || d.ReservationMode {
		t.Errorf("at first: %+v", d)
	}
	transport := func(ssms, server, port any) map[string]any {
		return map[string]any{"ssms": ssms, "proxy": map[string]any{"server": server, "port": port}}
	}
	for _, bad := range []map[string]any{transport("", nil, nil), transport(1, nil, nil), transport(h.srv.URL, "localhost", -1), transport(h.srv.URL, "localhost", "123"), transport(h.srv.URL, "", 80)} {
		c.do(400, "PUT", "licensing/transport", bad)
	}
	c.do(204, "PUT", "licensing/transport", transport(h.srv.URL, "127.0.0.1", 49152))
	if d := status(); d.Transport.SSMS != h.srv.URL || d.Transport.Proxy.Server == nil || *d.Transport.Proxy.Server != "127.0.0.1" || *d.Transport.Proxy.Port != 49152 {
		t.Errorf("the transport is %+v", d.Transport)
	}
	c.do(204, "PUT", "licensing/transport", transport(h.srv.URL, nil, nil))
	for _, bad := range []any{1, nil, "", strings.Repeat("x", 257)} {
		c.do(400, "POST", "licensing/registration", map[string]any{"token": bad, "reregister": false})
	}
	c.do(204, "POST", "licensing/registration", map[string]any{"token": "BadRegistrationToken", "reregister": false})
	waitFor("a failed registration", func(d document) bool {
		return d.Registration.Status == "FAILED" || d.Registration.Status == "RETRY_IN_PROGRESS"
	})

	c.do(204, "POST", "licensing/registration", map[string]any{"token": h.newToken(), "reregister": false})
	waitFor("COMPLETED", func(d document) bool { return d.Registration.Status == "COMPLETED" })
	d := waitFor("IN_COMPLIANCE", func(d document) bool { return d.Authorization.Status == "IN_COMPLIANCE" })
	if _, err := time.Parse(time.DateTime, d.Registration.Expires); err != nil || d.Registration.Account != "acme.example" || d.Registration.RegisterAt["success"] != "SUCCESS" {
		t.Errorf("registered: %+v", d.Registration)
	}
	c.do(204, "POST", "licensing/registration", map[string]any{"token": h.newToken(), "reregister": true})
	waitFor("COMPLETED", func(d document) bool {
		return d.Registration.Status == "COMPLETED" && d.Authorization.Status == "IN_COMPLIANCE"
	})
	c.do(204, "PATCH", "licensing/features", []any{map[string]any{"id": "cms-smp-plus", "count": 1}})
	c.do(204, "PATCH", "licensing/features", map[string]int{"cms-pmp-plus": 3})
	for _, bad := range []any{[]any{}, map[string]any{}, map[string]any{"cms-smp-plus": "1"}, map[string]any{"cms-smp-plus": -1}, []any{map[string]any{"id": nil, "count": 1}}, map[string]any{"cms-smp-plus": nil}} {
		c.do(400, "PATCH", "licensing/features", bad)
	}
	c.do(204, "PUT", "licensing/authorization/renew", nil)
	d = waitFor("OUT_OF_COMPLIANCE", func(d document) bool { return d.Authorization.Status == "OUT_OF_COMPLIANCE" })
	var features []map[string]any
	decodeInto(t, c.do(200, "GET", "licensing/features", nil), &features)
	i := slices.IndexFunc(features, func(f map[string]any) bool { return f["id"] == "cms-pmp-plus" })
	if len(features) != 2 || i < 0 || features[i]["in_use"] != 3.0 || features[i]["status"] != "OUT_OF_COMPLIANCE" || len(d.Features) != 2 {
		t.Errorf("the features are %v", features)
	}
	c.do(204, "PUT", "licensing/registration/renew", nil)
	wantIn(t, c.do(200, "GET", "licensing/tech_support", nil), "Smart Licensing Tech Support info", "OUT OF COMPLIANCE")
	c.do(204, "DELETE", "licensing/deregistration", nil)
	waitFor("NOT_REGISTERED", func(d document) bool {
		return d.Registration.Status == "NOT_REGISTERED" && d.Authorization.Status == "EVAL"
	})
	c.do(400, "PUT", "licensing/registration/renew", nil)
	c.do(400, "DELETE", "licensing/deregistration", nil)

	// The authority is away: gone here, not confirmed there.
	c.do(204, "POST", "licensing/registration", map[string]any{"token": h.newToken(), "reregister": false})
	waitFor("COMPLETED", func(d document) bool { return d.Registration.Status == "COMPLETED" })
	h.srv.Kill()
	c.do(202, "DELETE", "licensing/deregistration", nil)
	waitFor("NOT_REGISTERED", func(d document) bool { return d.Registration.Status == "NOT_REGISTERED" })
	c.do(200, "DELETE", "logout", nil)
}

func decodeInto(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
