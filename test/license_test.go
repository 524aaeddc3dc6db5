package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/test/play"
)

// desk is a running server with an administrator's key, driven by the command line.
type desk struct {
	t     *testing.T
	srv   *play.Server
	data  string
	serve []string // arguments
	key   string
	env   []string
}

// newDesk bootstraps a server on the given database and starts it with plain HTTP on a free loopback port.
func newDesk(t *testing.T, database string, env ...string) *desk {
	t.Helper()
	d := &desk{t: t, data: filepath.Join(t.TempDir(), "data"), env: env}
	d.key, _ = d.json(tally(), "bootstrap", "--data", d.data, "--db", database)["apiKey"].(string)
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value) // the server reads it as well
	}
	d.serve = []string{"serve", "--data", d.data, "--db", database, "--plaintext", "--listen", "127.0.0.1:0"}
	d.start()
	return d
}

// start starts the server, at first or again after it has ended.
func (d *desk) start() {
	d.t.Helper()
	d.srv = play.Serve(d.t, tally(), d.serve...)
	d.env = append(d.env, "TALLY_URL="+d.srv.URL, "TALLY_KEY="+d.key)
}

// client calls the server's resources.
func (d *desk) client() *api.Client {
	d.t.Helper()
	c, err := api.New(api.Config{URL: d.srv.URL, Key: d.key})
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// run runs a program and wants an exit code; it returns what was printed on standard output and on standard error.
func (d *desk) run(want int, program string, args ...string) (stdout, stderr string) {
	d.t.Helper()
	out, errs, code := play.Run(d.t.Context(), d.env, program, args...)
	if code != want {
		d.t.Fatalf("%s %s: exit %d, want %d\n%s%s", filepath.Base(program), strings.Join(args, " "), code, want, out, errs)
	}
	return out, errs
}

// json runs a program with --json and reads the one document it prints.
func (d *desk) json(program string, args ...string) map[string]any {
	d.t.Helper()
	out, _ := d.run(0, program, append(args, "--json")...)
	var doc map[string]any
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		d.t.Fatalf("%s %s --json printed no JSON document: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return doc
}

func (d *desk) items(program string, args ...string) []map[string]any {
	d.t.Helper()
	doc := d.json(program, args...)
	list, ok := doc["items"].([]any)
	if !ok {
		d.t.Fatalf("%v: no items in %v", args, doc)
	}
	out := make([]map[string]any, 0, len(list))
	for _, i := range list {
		m, _ := i.(map[string]any)
		out = append(out, m)
	}
	return out
}

// file writes a file and returns its path.
func (d *desk) file(name, content string) string {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func (d *desk) order(number, lines string) {
	d.t.Helper()
	d.run(0, tally(), "order", "import", d.file("order.json", fmt.Sprintf(`{"order":%q,"account":"acme.example","lines":[%s]}`, number, lines)))
}

// post posts a call-record body and wants a status.
func (d *desk) post(url, body string, want int) {
	d.t.Helper()
	r, err := http.Post(url, "text/xml", strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	if r.StatusCode != want {
		d.t.Fatalf("post: status %d, want %d: %s", r.StatusCode, want, text)
	}
}

// TestOneLicense is the story of one license: sold, pooled, used, over-used, mended.
func TestOneLicense(t *testing.T) {
	storetest.Each(t, func(t *testing.T, database string) {
		d := newDesk(t, database)
		d.json(tally(), "account", "create", "acme.example")
		d.order("SO-1", `{"tag":"cms-smp-plus","quantity":1}`)
		token, _ := d.json(tally(), "token", "create")["token"].(string)
		if len(token) > 140 || token == "" {
			t.Fatalf("a token of %d characters", len(token))
		}
		state := filepath.Join(t.TempDir(), "product")
		agent := func(args ...string) map[string]any {
			t.Helper()
			return d.json(tallyAgent(), append([]string{"--state", state}, args...)...)
		}
		agent("init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", "A1", "--version", "2.6")
		agent("transport", "direct", d.srv.URL)
		agent("license", "smart", "register", "idtoken", token)
		agent("usage", "set", "cms-smp-plus", "1")
		wantStatus(t, agent("report"), "AUTHORIZED")
		agent("usage", "set", "cms-smp-plus", "2")
		wantStatus(t, agent("report"), "OUT OF COMPLIANCE")
		row := d.items(tally(), "license", "list")[0]
		why, _ := row["why"].([]any)
		if row["inUse"] != 2.0 || row["shortage"] != 1.0 || row["available"] != 0.0 || row["status"] != "Out Of Compliance" || len(why) == 0 {
			t.Fatalf("license row: %v", row)
		}
		d.order("SO-2", `{"tag":"cms-smp-plus","quantity":1}`)
		wantStatus(t, agent("report"), "AUTHORIZED")
		if v := d.json(tally(), "event", "verify"); fmt.Sprint(v["problems"]) != "[]" {
			t.Errorf("event verify: %v", v)
		}
		verifyCertificate(t, d, state)
		if code := d.srv.Stop(); code != 0 {
			t.Errorf("SIGTERM: exit %d, want 0", code)
		}
		d.run(7, tally(), "license", "list")
	})
}

func wantStatus(t *testing.T, doc map[string]any, want string) {
	t.Helper()
	if doc["status"] != want {
		t.Fatalf("status %v, want %s: %v", doc["status"], want, doc)
	}
}

// verifyCertificate lets openssl check the identity that the product was given.
func verifyCertificate(t *testing.T, d *desk, state string) {
	t.Helper()
	r, err := http.Get(d.srv.URL + "/root.pem")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	pem, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	root := d.file("root.pem", string(pem))
	cert := filepath.Join(state, "id-cert.pem")
	out, err := exec.Command("openssl", "verify", "-CAfile", root, "-untrusted", filepath.Join(state, "chain.pem"), cert).CombinedOutput()
	if err != nil {
		t.Errorf("openssl verify: %v\n%s", err, out)
	}
	var dates [2]time.Time
	for i, flag := range []string{"-startdate", "-enddate"} {
		out, err := exec.Command("openssl", "x509", "-in", cert, "-noout", flag).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl x509: %v\n%s", err, out)
		}
		_, text, _ := strings.Cut(strings.TrimSpace(string(out)), "=")
		if dates[i], err = time.Parse("Jan _2 15:04:05 2006 MST", text); err != nil {
			t.Fatal(err)
		}
	}
	if got := dates[1].Sub(dates[0]); got != 365*24*time.Hour {
		t.Errorf("the certificate is valid for %s, want 365 days", got)
	}
}

// TestRefusals: every refusal names what was wrong and what to do, and has its exit code.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d := newDesk(t, filepath.Join(t.TempDir(), "tally.db"))
	d.json(tally(), "account", "create", "acme.example")
	made := d.json(tally(), "token", "create", "--max-uses", "1")
	token, _ := made["token"].(string)
	id, _ := made["id"].(string)
	d.run(0, tally(), "token", "revoke", id)
	state := filepath.Join(t.TempDir(), "product")
	agent := func(want int, args ...string) string {
		t.Helper()
		_, errs := d.run(want, tallyAgent(), append([]string{"--state", state}, args...)...)
		return errs
	}
	agent(0, "init", "--product", "Bridge", "--pid", "P", "--sn", "S", "--version", "1")
	agent(0, "transport", "direct", d.srv.URL)
	for _, c := range []struct {
		what  string
		errs  string
		wants []string
	}{
		{"a revoked token", agent(3, "license", "smart", "register", "idtoken", token), []string{"revoked", "hint:", "tally token create"}},
		{"a mistyped token", agent(3, "license", "smart", "register", "idtoken", token[:50]+"xx"+token[52:]), []string{"mistyped", "hint:"}},
		{"a negative count", agent(2, "usage", "set", "cms-smp-plus", "-1"), []string{"error:"}},
		{"an unknown account", d.fails(4, "account", "show", "nobody.example"), []string{"nobody.example", "hint:"}},
		{"a name that is taken", d.fails(5, "account", "create", "acme.example"), []string{"already", "hint:"}},
		{"an order of nothing", d.fails(-1, "order", "import", d.file("bad.json", `{"order":"1","account":"acme.example","lines":[]}`)), []string{"lines", "hint:"}},
		{"an unknown verb", d.fails(2, "licenze", "list"), []string{"licenze"}},
	} {
		for _, want := range c.wants {
			if !strings.Contains(c.errs, want) {
				t.Errorf("%s: the message lacks %q:\n%s", c.what, want, c.errs)
			}
		}
	}
}

// fails wants an exit code above 0, or any when -1 is given.
func (d *desk) fails(want int, args ...string) string {
	d.t.Helper()
	out, errs, code := play.Run(d.t.Context(), d.env, tally(), args...)
	if code == 0 || want > 0 && code != want {
		d.t.Fatalf("tally %s: exit %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errs)
	}
	return errs
}
