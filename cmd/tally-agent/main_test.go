package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/trust"
)

// call runs the program on a state folder.
func call(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"--state", dir}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func token(t *testing.T) string {
	t.Helper()
	token, err := trust.NewToken("acc_00000000000000000000000001", "tok_00000000000000000000000001", trust.Fingerprint{1})
	if err != nil {
		t.Fatal(err)
	}
	return token.Text().Reveal()
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer busy.Close()
	dir := filepath.Join(t.TempDir(), "state")
	for _, c := range []struct {
		args   string
		code   int
		stdout string // that it contains
		stderr string // that it begins with
	}{
		{"show license all", exitRefused, "", "error: this state does not belong to a product yet\nhint: "},
		{"init --product Bridge --pid CMS", exitUsage, "", "error: `tally-agent init` lacks --sn SN (serial number)"},
		{"init --product Bridge --pid CMS --sn X,1", exitUsage, "", "error: the product id and serial number"},
		{"init --product Bridge --pid CMS --sn X1 --version 3.9", 0, "UDI: PID:CMS,SN:X1\n", ""},
		{"init --product Bridge --pid CMS --sn X1 --policy strict", exitUsage, "", "error: there is no policy \"strict\""},
		{"init --product Bridge --pid CMS --sn X2", exitConflict, "", "error: this state belongs to the product PID:CMS,SN:X1"},
		{"show license udi", 0, "UDI: PID:CMS,SN:X1\n", ""},
		{"license smart register idtoken TOKEN", exitRefused, "", "error: the authority's address is not set\nhint: "},
		{"transport direct http://licenses.example", exitUsage, "", "error: plain http"},
		{"transport direct URL", 0, "direct " + busy.URL, ""},
		{"transport proxy proxy.example", exitUsage, "", "error: `tally-agent transport proxy` lacks --authority URL"},
		{"transport proxy user:secret@proxy.example --authority https://licenses.example", exitUsage, "", "error: \"…@proxy.example\" is no address of a proxy"},
		{"transport proxy proxy.example --authority https://licenses.example --user u", 0, "proxy https://licenses.example through http://proxy.example:3128 as u\n", ""},
		{"transport gateway https://satellite.example:8443/", 0, "gateway https://satellite.example:8443\n", ""},
		{"license smart register cancel", exitRefused, "", "error: no registration is being tried"},
		{"transport direct URL", 0, "direct " + busy.URL, ""},
		{"license smart register idtoken nonsense force", exitRefused, "", "error: this is no registration token"},
		{"license smart register idtoken TOKEN forced", exitUsage, "", "error: "},
		{"license smart register idtoken TOKEN", exitUnreachable, "", "error: the authority cannot be reached"},
		{"show license status", 0, "Status: REGISTERING\n", ""},
		{"license smart register cancel", 0, "Status: UNREGISTERED\n", ""},
		{"license smart deregister", exitRefused, "", "error: the product PID:CMS,SN:X1 is not registered"},
		{"license smart renew auth", exitRefused, "", "error: the product"},
		{"license smart renew id", exitRefused, "", "error: the product"},
		{"license smart renew ID", exitRefused, "", "error: the product"},
		{"report", exitRefused, "", "error: the product"},
		{"usage set cms-smp-plus 2", 0, "cms-smp-plus  (cms-smp-plus)   2      EVAL MODE\n", ""},
		{"usage set cms-smp-plus -- -1", exitUsage, "", "error: the count -1"},
		{"usage set cms-smp-plus two", exitUsage, "", "error: "},
		{"show license summary", 0, "License       Entitlement Tag  Count  Status\n", ""},
		{"show license usage", 0, "(cms-smp-plus):\n", ""},
		{"show license all", 0, "  Initial Registration: FAILED on ", ""},
		{"show license status", 0, "What to do next:\n", ""},
		{"show license everything", exitUsage, "", "error: "},
		{"license smart transport ssm-satellite https://satellite.example", 0, "gateway https://satellite.example\n", ""},
		{"show license tech support", 0, "  Messages to register:\n    Attempts: Total=1, Success=0, Fail=1  Ongoing Failure: 1\n    Last Success Time: <none>\n", ""},
		{"license smart factory reset", 0, "Reset: identity, trust and transport are forgotten.\n", ""},
		{"show license usage", 0, "  Count: 2\n", ""},
		{"version", 0, "tally-agent " + agent.Version, ""},
		{"--help", 0, "Usage: tally-agent <command>", ""},
	} {
		args := strings.Fields(strings.NewReplacer("URL", busy.URL, "TOKEN", token(t)).Replace(c.args))
		code, stdout, stderr := call(t, dir, args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.HasPrefix(stderr, c.stderr) || c.code == 0 && stderr != "" {
			t.Errorf("%s: exit %d\n%s%s\nwant exit %d, %q, %q", c.args, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
		if c.code != 0 && (stdout != "" || !strings.Contains(stderr, "\nhint: ")) {
			t.Errorf("%s: a refusal writes %q and %q", c.args, stdout, stderr)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	for _, args := range []string{
		"init --product Bridge --pid CMS --sn X1 --no-hostname", "transport direct https://licenses.example", "usage set cms-smp-plus 1",
		"show license status", "show license summary", "show license usage", "show license udi", "show license all",
	} {
		code, stdout, stderr := call(t, dir, append([]string{"--json"}, strings.Fields(args)...)...)
		dec := json.NewDecoder(strings.NewReader(stdout))
		dec.DisallowUnknownFields()
		var s agent.Status
		if err := dec.Decode(&s); code != 0 || err != nil || s.UDI != "PID:CMS,SN:X1" || s.Product.Hostname != "" {
			t.Errorf("%s: exit %d, %v\n%s%s", args, code, err, stdout, stderr)
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, _, stderr := call(t, dir, "init", "--product", "Bridge", "--pid", "CMS", "--sn", "X1"); code != 0 {
		t.Fatal(stderr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"--state", dir, "serve"}, &out, &errs); code != 0 || out.String() != "serving PID:CMS,SN:X1\n" {
		t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
	}
}
