package test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/store/storetest"
)

// TestSatellite is the story of a satellite with real processes: joined by network or by files, purchases go down, a product
// registers at it, use goes up, licenses are taken back; both ways end in the same state (rule 50).
func TestSatellite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, database string) {
		top := newDesk(t, database)
		top.json(tally(), "account", "create", "acme.example")
		for _, byFile := range []bool{false, true} {
			name := map[bool]string{false: "Wired", true: "Closed"}[byFile]
			token := filepath.Join(t.TempDir(), "token")
			top.run(0, tally(), "satellite", "create", name, "-o", token)
			top.order("SO-"+name, `{"tag":"cms-smp-plus","quantity":5,"virtualAccount":"`+name+`"}`)
			sat := joined(t, top, token, byFile)
			exchange := func() {
				t.Helper()
				if !byFile {
					sat.run(0, tally(), "sync", "now")
					return
				}
				up, down := filepath.Join(t.TempDir(), "up.txt"), filepath.Join(t.TempDir(), "down.txt")
				sat.run(0, tally(), "sync", "export", "-o", up)
				top.run(0, tally(), "satellite", "answer", up, "-o", down)
				sat.run(0, tally(), "sync", "apply", down)
				if out, _ := sat.run(0, tally(), "sync", "apply", down); !strings.Contains(out, "Nothing changed") {
					t.Errorf("applied twice: %s", out)
				}
			}
			if _, text := top.run(3, tally(), "token", "create", "-V", name); !strings.Contains(text, `satellite "`+name+`"`) || strings.Contains(text, "localhost") || strings.Contains(text, "127.0.0.1") {
				t.Errorf("the refusal does not say where: %s", text)
			}
			text, _ := sat.json(tally(), "token", "create")["token"].(string)
			state := filepath.Join(t.TempDir(), "product")
			agent := func(args ...string) { sat.run(0, tallyAgent(), append([]string{"--state", state}, args...)...) }
			agent("init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", name, "--version", "2.6")
			agent("transport", "gateway", sat.srv.URL)
			agent("license", "smart", "register", "idtoken", text)
			reserveAt(t, top, sat, name, func() {
				exchange()
				above, below := top.items(tally(), "license", "list", "-V", name), sat.items(tally(), "license", "list")
				if len(above) != 1 || above[0]["reserved"] != 2.0 || above[0]["available"] != 3.0 || !reflect.DeepEqual(above[0]["why"], below[0]["why"]) {
					t.Errorf("%s: the authority sees of what is reserved %v, the satellite %v", name, above, below)
				}
				if shown := top.json(tally(), "satellite", "show", name); shown["reserved"] != 2.0 {
					t.Errorf("%s: the authority shows %v", name, shown)
				}
			})
			agent("usage", "set", "cms-smp-plus", "4")
			agent("report")
			exchange()
			if rows := top.items(tally(), "license", "list", "-V", name); len(rows) != 1 || rows[0]["quantity"] != 5.0 || rows[0]["inUse"] != 4.0 {
				t.Errorf("%s: the authority sees %v", name, rows)
			}
			top.run(0, tally(), "license", "transfer", "cms-smp-plus", "2", "--from", name, "--to", "Default")
			exchange()
			exchange()
			if rows := sat.items(tally(), "license", "list"); len(rows) != 1 || rows[0]["quantity"] != 3.0 || rows[0]["shortage"] != 1.0 {
				t.Errorf("%s: the satellite has %v", name, rows)
			}
			shown := top.json(tally(), "satellite", "show", name)
			if shown["state"] != "OK" || shown["consigned"] != 3.0 || shown["asked"] != 0.0 || shown["instances"] != 1.0 {
				t.Errorf("%s: the authority shows %v", name, shown)
			}
			top.run(0, tally(), "event", "verify")
			sat.run(0, tally(), "event", "verify")
			agent("usage", "set", "cms-smp-plus", "3")
			agent("report")
		}
		if rows := top.items(tally(), "license", "list", "-V", "Default"); len(rows) != 1 || rows[0]["quantity"] != 4.0 {
			t.Errorf("what came back: %v", rows)
		}
	})
}

// joined is a running satellite of top.
func joined(t *testing.T, top *desk, token string, byFile bool) *desk {
	t.Helper()
	d := &desk{t: t, data: filepath.Join(t.TempDir(), "data")}
	d.serve = []string{"serve", "--data", d.data, "--plaintext", "--listen", "127.0.0.1:0"}
	if byFile {
		request, answer := filepath.Join(t.TempDir(), "request.txt"), filepath.Join(t.TempDir(), "answer.txt")
		d.run(0, tally(), "sync", "join", token, "--data", d.data, "-o", request)
		top.run(0, tally(), "satellite", "answer", request, "-o", answer)
		d.run(0, tally(), "sync", "join", "--data", d.data, "--answer", answer)
	} else {
		d.serve = append(d.serve, "--upstream", top.srv.URL, "--upstream-token", token)
	}
	d.key, _ = d.json(tally(), "bootstrap", "--data", d.data)["apiKey"].(string)
	d.start()
	return d
}

// reserveAt is the ceremony of a closed site at a satellite: the authority refuses it and says where; the product takes the
// satellite's authorization, an update of it, and gives everything back. Meanwhile it holds 2 licenses, and held is called.
func reserveAt(t *testing.T, top, sat *desk, name string, held func()) {
	t.Helper()
	state, file := filepath.Join(t.TempDir(), "closed"), filepath.Join(t.TempDir(), "authorization.txt")
	agent := func(args ...string) map[string]any {
		return sat.json(tallyAgent(), append([]string{"--state", state}, args...)...)
	}
	text := func(doc map[string]any, member string) string { s, _ := doc[member].(string); return s }
	reservation := []string{"license", "smart", "reservation"}
	agent("init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", name+"-C", "--version", "2.6")
	agent(append(reservation, "enable")...)
	code := text(agent(append(reservation, "request")...), "requestCode")
	top.run(3, tally(), "reservation", "create", code, "cms-smp-plus=1", "-V", name)
	for _, step := range [][]string{{"create", code, "cms-smp-plus=1"}, {"update", name + "-C", "cms-smp-plus=2"}} {
		sat.run(0, tally(), append(append([]string{"reservation"}, step...), "-o", file)...)
		confirmation := text(agent(append(reservation, "install-file", file)...), "confirmationCode")
		if got := sat.json(tally(), "reservation", "confirm", name+"-C", confirmation); got["state"] != "CONFIRMED" {
			t.Errorf("%s: after %s %v", name, step[0], got)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	held()
	back := text(agent(append(reservation, "return")...), "returnCode")
	if got := sat.json(tally(), "reservation", "return", name+"-C", back); got["state"] != "RETURNED" {
		t.Errorf("%s: after the return %v", name, got)
	}
	agent(append(reservation, "return", "complete")...)
}
