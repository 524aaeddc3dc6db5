package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/test/play"
)

// TestProductCluster is three nodes of one product: one holds the identity, two report through it, by real daemons.
func TestProductCluster(t *testing.T) {
	storetest.Each(t, func(t *testing.T, database string) {
		d := newDesk(t, database)
		d.json(tally(), "account", "create", "acme.example")
		d.order("SO-1", `{"tag":"cms-smp-plus","quantity":6}`)
		token, _ := d.json(tally(), "token", "create")["token"].(string)
		dir := t.TempDir()
		node := func(want, n int, args ...string) (stdout, stderr string) {
			t.Helper()
			return d.run(want, tallyAgent(), append([]string{"--state", filepath.Join(dir, fmt.Sprint("node-", n))}, args...)...)
		}
		for n := 1; n <= 3; n++ {
			node(0, n, "init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", fmt.Sprint("A", n), "--version", "3.9")
		}
		port := freePort(t)
		node(0, 1, "transport", "direct", d.srv.URL)
		node(0, 1, "cluster", "hold", "--name", "node-1", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--address", fmt.Sprintf("localhost:%d", port))
		node(0, 1, "license", "smart", "register", "idtoken", token)
		node(0, 1, "usage", "set", "cms-smp-plus", "1")
		invitation := filepath.Join(dir, "invitation.json")
		node(0, 1, "cluster", "invite", "-o", invitation)
		if info, err := os.Stat(invitation); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the invitation has mode %v: %v", info.Mode(), err)
		}
		holder := play.Serve(t, tallyAgent(), "--state", filepath.Join(dir, "node-1"), "serve", "--listen", "127.0.0.1:0")
		for n := 2; n <= 3; n++ {
			node(0, n, "cluster", "join", invitation, "--name", fmt.Sprint("node-", n))
			node(0, n, "usage", "set", "cms-smp-plus", fmt.Sprint(n))
			node(0, n, "report")
		}
		node(0, 1, "report")
		inUse := func(want float64) {
			t.Helper()
			if row := d.items(tally(), "license", "list")[0]; row["inUse"] != want {
				t.Errorf("%v are in use, want %v", row["inUse"], want)
			}
		}
		inUse(6)
		out, _ := node(0, 1, "cluster", "status")
		wantIn(t, out, "Node node-1 holds the identity", "node-2 ", "cms-smp-plus 2", "node-3 ", "cms-smp-plus 3", "without another report")

		// A member shows what the holder shows and does no licensing of its own.
		node(0, 2, "report")
		out, _ = node(0, 2, "show", "license", "status")
		wantIn(t, out, "Status: REGISTERED", "Smart Account: acme.example", "Status: AUTHORIZED", "Licensing is done on the node node-1")
		for _, verb := range [][]string{
			{"license", "smart", "register", "idtoken", token}, {"license", "smart", "deregister"}, {"license", "smart", "renew", "id"}, {"transport", "direct", d.srv.URL},
		} {
			_, errs := node(3, 2, verb...)
			wantIn(t, errs, "licensing is done on the node node-1", "hint: do it on the node node-1, at localhost:")
		}
		if instances := d.items(tally(), "instance", "list"); len(instances) != 1 {
			t.Errorf("the authority knows %d instances of the cluster, want 1", len(instances))
		}

		// The holder dies: the members go on with what they know, and say so.
		holder.Kill()
		out, _ = node(0, 3, "show", "license", "summary")
		wantIn(t, out, "cms-smp-plus")
		node(0, 3, "decision", "provision")
		holder = play.Serve(t, tallyAgent(), "--state", filepath.Join(dir, "node-1"), "serve", "--listen", "127.0.0.1:0")
		node(0, 3, "cluster", "leave")
		node(0, 1, "report")
		inUse(3)
		holder.Kill()
		if out, _ := node(0, 2, "cluster", "leave"); !strings.Contains(out, "The holder did not hear of it") {
			t.Errorf("leave without a holder: %s", out)
		}
		node(0, 1, "cluster", "remove", "node-2")
		node(0, 1, "report")
		inUse(1)
	})
}
