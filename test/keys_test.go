package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/test/play"
)

// TestKeysAreReplaced is the story of keys with real processes: a satellite's and the authority's are replaced while they run, and
// then the satellite is lost with its keys. The product behind it needs nothing each time.
func TestKeysAreReplaced(t *testing.T) {
	t.Parallel()
	top := newDesk(t, filepath.Join(t.TempDir(), "top.db"))
	top.json(tally(), "account", "create", "acme.example")
	token := filepath.Join(t.TempDir(), "token")
	top.run(0, tally(), "satellite", "create", "Plant", "-o", token)
	top.order("SO-1", `{"tag":"cms-smp-plus","quantity":5,"virtualAccount":"Plant"}`)
	sat := joined(t, top, token, false)
	text, _ := sat.json(tally(), "token", "create")["token"].(string)
	state := filepath.Join(t.TempDir(), "product")
	agent := func(args ...string) string {
		t.Helper()
		out, _ := sat.run(0, tallyAgent(), append([]string{"--state", state}, args...)...)
		return out
	}
	report := func(when string) {
		t.Helper()
		if out := agent("report"); !strings.Contains(out, "AUTHORIZED") {
			t.Errorf("%s: %s", when, out)
		}
		cert, chain := filepath.Join(state, "id-cert.pem"), filepath.Join(state, "chain.pem")
		if out, _, code := play.Run(t.Context(), nil, "openssl", "verify", "-CAfile", chain, "-partial_chain", cert); code != 0 {
			t.Errorf("%s: the certificate does not fit its chain: %s", when, out)
		}
	}
	agent("init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", "A1", "--version", "2.6")
	agent("transport", "gateway", sat.srv.URL)
	agent("license", "smart", "register", "idtoken", text)
	agent("usage", "set", "cms-smp-plus", "4")
	report("registered")
	keys := func(d *desk, args ...string) map[string]any {
		t.Helper()
		return d.json(tally(), append(append([]string{"keys"}, args...), "--data", d.data)...)
	}

	before := keys(sat, "show")
	if _, errs := sat.run(2, tally(), "keys", "rotate", "--data", sat.data); !strings.Contains(errs, "--yes") || !strings.HasPrefix(errs, "The satellite gets another issuing key") {
		t.Errorf("without --yes: %s", errs)
	}
	waiting := keys(sat, "rotate", "--yes")
	if waiting["waiting"] == nil || waiting["issuer"] != before["issuer"] {
		t.Errorf("the next keys of the satellite: %v", waiting)
	}
	again, errs := sat.run(0, tally(), "keys", "rotate", "--data", sat.data, "--yes")
	if !strings.Contains(errs, "waits already, until the next synchronization") || !strings.Contains(again, waiting["waiting"].(string)) {
		t.Errorf("replaced again while the next keys wait: %s%s", again, errs)
	}
	report("while the next keys wait")
	sat.run(0, tally(), "sync", "now")
	after := keys(sat, "show")
	if after["issuer"] != waiting["waiting"] || after["waiting"] != nil {
		t.Errorf("after the synchronization: %v, want %v in force", after, waiting["waiting"])
	}
	report("after the satellite's keys were replaced")
	if out := agent("show", "license", "status"); !strings.Contains(out, "The keys of the satellite ") {
		t.Errorf("the product does not say so: %s", out)
	}
	sat.run(0, tally(), "sync", "now")

	old := keys(top, "show")
	if now := keys(top, "rotate", "--yes"); now["issuer"] == old["issuer"] || now["kind"] != "authority" {
		t.Errorf("the authority's keys: %v", now)
	}
	sat.run(0, tally(), "sync", "now") // whether or not the server has seen its new keys
	top.srv.Stop()
	top.start()
	sat.srv.Stop()
	sat.serve = []string{"serve", "--data", sat.data, "--plaintext", "--listen", "127.0.0.1:0", "--upstream", top.srv.URL}
	sat.start()
	agent("transport", "gateway", sat.srv.URL)
	sat.run(0, tally(), "sync", "now")
	report("after the authority's keys were replaced")

	// The satellite's host burns down. Its database does not start with the keys of another server.
	sat.srv.Stop()
	_, errs = sat.run(3, tally(), "serve", "--data", sat.data, "--keys", top.data, "--plaintext", "--listen", "127.0.0.1:0")
	if !strings.Contains(errs, "the database is of a satellite") || !strings.Contains(errs, "\nhint: name the key folder") {
		t.Errorf("with the keys of another server: %s", errs)
	}
	copied := &desk{t: t, data: filepath.Join(t.TempDir(), "copied"), key: sat.key, serve: sat.serve}
	if err := os.Rename(sat.data, copied.data); err != nil {
		t.Fatal(err)
	}
	invitation := filepath.Join(t.TempDir(), "again")
	top.run(0, tally(), "satellite", "invite", "Plant", "-o", invitation)
	rebuilt := joined(t, top, invitation, false)
	sat.env = rebuilt.env
	agent("transport", "gateway", rebuilt.srv.URL)
	report("after the satellite was rebuilt with other keys")
	rebuilt.run(0, tally(), "sync", "now")
	if rows := top.items(tally(), "license", "list", "-V", "Plant"); len(rows) != 1 || rows[0]["quantity"] != 5.0 || rows[0]["inUse"] != 4.0 {
		t.Errorf("the authority sees %v", rows)
	}
	// A copy of the burnt host turns up: what its authority refuses is a finding that says since when, and what to do.
	copied.serve[2] = copied.data
	copied.start()
	copied.run(3, tally(), "sync", "now")
	if out, _ := copied.run(0, tally(), "sync", "status"); !strings.Contains(out, "is refused since ") || !strings.Contains(out, "What to do: start the satellite with its newest key folder") {
		t.Errorf("the old copy says: %s", out)
	}
	top.run(0, tally(), "event", "verify")
	rebuilt.run(0, tally(), "event", "verify")
	if out, _ := top.run(0, tally(), "event", "list"); strings.Count(out, "keys.replaced") != 3 { // the satellite's, its own, and the satellite's after the fire
		t.Errorf("the authority's events say of its keys: %s", out)
	}
}
