package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/test/play"
)

// TestRoutes is the story of a product behind a proxy that wants a password, and behind a gateway that forwards: it registers
// and reports through both, changes between them while it is registered, and tells nobody the password.
func TestRoutes(t *testing.T) {
	t.Parallel()
	const password = "correct horse battery"
	p := newPatient(t)
	squid := "http://" + play.Squid(t, "bridge", password, portOf(t, p.srv.URL))
	root := filepath.Join(p.data, "authority-1", "root.pem")
	gateway := play.Apache(t, p.address(), root)
	env := p.env
	token := func() string {
		p.env = env
		text, _ := p.json(tally(), "token", "create")["token"].(string)
		return text
	}
	// as makes the product's programs see further variables.
	as := func(vars ...string) { p.env = append(slices.Clone(env), vars...) }
	behind := filepath.Join(t.TempDir(), "behind")
	p.state = behind
	var printed strings.Builder
	agent := func(want int, args ...string) string {
		t.Helper()
		out, errs := p.run(want, tallyAgent(), append([]string{"--state", p.state}, args...)...)
		printed.WriteString(out + errs)
		return out + errs
	}
	says := func(out string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(out, word) {
				t.Errorf("it does not say %q:\n%s", word, out)
			}
		}
	}
	agent(0, "init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", "B2")

	says(agent(0, "transport", "proxy", squid, "--authority", p.address()), "proxy "+p.address()+" through "+squid)
	says(agent(3, "license", "smart", "register", "idtoken", token()), "wants a user and a password", "hint: ")
	says(agent(0, "show", "license", "status"), "Status: REGISTERING")
	wrong := p.file("wrong", "incorrect\n")
	agent(0, "transport", "proxy", squid, "--user", "bridge", "--password-file", wrong, "--authority", p.address())
	says(agent(3, "license", "smart", "register", "idtoken", token()), `does not take the user "bridge"`)
	right := p.file("right", password+"\nnot this line\n")
	agent(0, "transport", "proxy", squid, "--user", "bridge", "--password-file", right, "--authority", p.address())
	says(agent(0, "license", "smart", "register", "idtoken", token()), "Status: REGISTERED")
	agent(0, "usage", "set", "cms-smp-plus", "1")
	says(agent(0, "report"), "Status: ")
	agent(0, "license", "smart", "renew", "id")
	says(agent(0, "doctor"), squid)
	trusting := "SSL_CERT_FILE=" + gateway.Root // the product's host trusts the CA of the gateway
	as(trusting)
	says(agent(0, "transport", "gateway", gateway.URL), "gateway "+gateway.URL)
	says(agent(0, "report"), "Status: ")
	if log := gateway.Log(); !strings.Contains(log, "POST /machine/v1/authorize 200") {
		t.Errorf("the gateway noted:\n%s", log)
	}

	// Another product registers through the gateway, with clocks that are ten years off: the gateway's certificate is checked
	// by the time at which the token was made.
	for _, year := range []string{"2016", "2045"} {
		p.state = filepath.Join(t.TempDir(), year)
		fresh := token()
		as(trusting, "TALLY_TEST_CLOCK="+p.file("clock", year+"-06-01T12:00:00Z"))
		agent(0, "init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", year)
		agent(0, "transport", "gateway", gateway.URL)
		says(agent(0, "license", "smart", "register", "idtoken", fresh), "Status: REGISTERED")
		says(agent(0, "report"), "Status: ")
	}

	if strings.Contains(printed.String(), password) || strings.Contains(printed.String(), "incorrect") {
		t.Error("the password was printed")
	}
	_ = filepath.WalkDir(filepath.Dir(behind), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if text, _ := os.ReadFile(path); strings.Contains(string(text), password) && info.Mode().Perm() != 0o600 {
			t.Errorf("%s holds the password and has the mode %s", path, info.Mode())
		}
		return nil
	})
}
