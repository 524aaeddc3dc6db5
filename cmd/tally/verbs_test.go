package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/trust"
)

// started is a server of its own on a loopback address, with the account acme.example.
type started struct {
	t        *testing.T
	url, key string
}

func startServer(t *testing.T, flags ...string) started {
	t.Helper()
	data := t.TempDir()
	var first struct{ APIKey string }
	got := call(t, "bootstrap", "--json", "--data", data)
	if err := json.Unmarshal([]byte(got.stdout), &first); err != nil {
		t.Fatalf("bootstrap: %v in %s%s", err, got.stdout, got.stderr)
	}
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- tally(ctx, append([]string{"serve", "--plaintext", "--listen", "127.0.0.1:0", "--data", data}, flags...), strings.NewReader(""), in, &stderr)
		_ = in.Close()
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("serve: exit %d\n%s", code, stderr.String())
		}
	})
	line, _ := bufio.NewReader(out).ReadString('\n')
	s := started{t, strings.TrimSpace(strings.TrimPrefix(line, "listening on ")), first.APIKey}
	s.must("account", "create", "acme.example")
	return s
}

func (s started) call(args ...string) outcome {
	s.t.Helper()
	return call(s.t, append(args, "--url", s.url, "--key", s.key)...)
}

// must is a call that succeeds; it returns the standard output.
func (s started) must(args ...string) string {
	s.t.Helper()
	got := s.call(args...)
	if got.code != 0 {
		s.t.Fatalf("%v: exit %d\n%s", args, got.code, got.stderr)
	}
	return got.stdout
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVerbsAgainstAServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--catalog", write(t, "catalog.json", `{"licenses":[{"tag":"acme-widget","name":"Widget","kind":"other","unit":"widget"}]}`))
	good := write(t, "good.csv", "order,account,tag,quantity,type,start,end\nSO-1,acme.example,exp-rms,2,TERM,2020-01-01,2021-01-01\nSO-1,acme.example,acme-widget,1,,,\nSO-1,acme.example,cms-smp-plus,1,,,\n")
	bad := write(t, "bad.json", `{"order":"SO-2","account":"acme.example","lines":[{"tag":"nope","quantity":1}]}`)
	csv := write(t, "csv.json", "order,account,tag,quantity\nSO-3,acme.example,vts,1\n")
	got := s.call("order", "import", "--json", good, bad, csv, filepath.Join(t.TempDir(), "gone.json"))
	var doc list[orderOutcome]
	if err := json.Unmarshal([]byte(got.stdout), &doc); err != nil || len(doc.Items) != 4 || got.code != exitUsage {
		t.Fatalf("order import: exit %d, %v\n%s%s", got.code, err, got.stdout, got.stderr)
	}
	for i, want := range []orderOutcome{
		{Order: "SO-1", Outcome: "imported", Lots: 3, Expired: 1}, {Order: "SO-2", Outcome: "refused", Error: "order SO-2, line 1"},
		{Outcome: "refused", Error: "no JSON"}, {Outcome: "failed", Error: "cannot be read"},
	} {
		o := doc.Items[i]
		if o.Order != want.Order || o.Outcome != want.Outcome || o.Lots != want.Lots || o.Expired != want.Expired || !strings.Contains(o.Error, want.Error) {
			t.Errorf("order %d: got %+v, want %+v", i, o, want)
		}
	}
	for _, row := range []struct {
		args []string
		code int
		says string // in one of the outputs
	}{
		{[]string{"order", "import", good}, 0, "EXPIRED"},
		{[]string{"license", "show", "vts", "-V", "Default"}, 0, "Default neither holds nor uses vts"},
		{[]string{"license", "show", "vts"}, 0, "no virtual account holds or uses vts"},
		{[]string{"license", "show", "vtx"}, exitNotFound, "tally license list"},
		{[]string{"license", "show", "acme-widget"}, 0, "Widget"},
		{[]string{"token", "create", "--days", "0"}, exitUsage, "0 days"},
		{[]string{"token", "create", "--days=-1"}, exitUsage, "1 to 365"},
		{[]string{"token", "create", "--days", "366"}, exitUsage, "1 to 365"},
		{[]string{"token", "create", "--max-uses", "0"}, exitUsage, "--max-uses"},
		{[]string{"report", "costs"}, exitUsage, "subscriptions"},
		{[]string{"report", "licenses"}, 0, "Shared Multiparty Plus"},
		{[]string{"account", "list", "-A", "acme.example"}, exitUsage, "takes no -A"},
		{[]string{"account", "create", "beta.example", "--account", "acme.example"}, exitUsage, "takes no -A"},
		{[]string{"account", "create", ""}, exitUsage, "lacks NAME"},
		{[]string{"account", "show", "nobody"}, exitNotFound, "tally account list"},
		{[]string{"va", "list", "-A", "acme.example"}, 0, "Default"},
		{[]string{"va", "delete", "Labs", "--yes"}, exitNotFound, "tally va list"},
		{[]string{"instance", "show", "X"}, exitNotFound, "tally instance list"},
		{[]string{"event", "verify"}, 0, "0 problems"},
		{[]string{"account", "create", "beta.example"}, 0, "beta.example"},
		{[]string{"va", "list"}, exitUsage, "TALLY_ACCOUNT"},
	} {
		if got := s.call(row.args...); got.code != row.code || !strings.Contains(got.stdout+got.stderr, row.says) {
			t.Errorf("%v: exit %d, want %d and %q in:\n%s%s", row.args, got.code, row.code, row.says, got.stdout, got.stderr)
		}
	}
	away := call(t, "order", "import", "--json", good, "--url", "http://127.0.0.1:1", "--key", "k")
	if !strings.Contains(away.stdout, `"outcome": "failed"`) || away.code != exitUnreachable {
		t.Errorf("an order that reached nobody: exit %d\n%s", away.code, away.stdout)
	}
}

func TestAccountOfTheEnvironmentIsForEveryVerb(t *testing.T) { // not parallel: it sets the environment
	t.Setenv("TALLY_ACCOUNT", "acme.example")
	if got := call(t, "account", "list", "--url", "http://127.0.0.1:1", "--key", "k"); got.code != exitUnreachable {
		t.Errorf("exit %d, want %d\n%s", got.code, exitUnreachable, got.stderr)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if got := call(t, args...); got.code != 0 || got.stdout != version+"\n" {
			t.Errorf("%v: exit %d, %q", args, got.code, got.stdout)
		}
	}
	if got := call(t, "version", "--json"); !strings.Contains(got.stdout, `"version": "`+version+`"`) {
		t.Errorf("got %s", got.stdout)
	}
}

func TestStrangeKeysAreUsageErrors(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"a b", "a\n", "a\x00", "\u00a0a"} {
		got := call(t, "account", "list", "--url", "http://127.0.0.1:1", "--key", key)
		if got.code != exitUsage || !strings.HasPrefix(got.stderr, "error: the API key ") || !strings.Contains(got.stderr, "TALLY_KEY") {
			t.Errorf("the key %q: exit %d\n%s", key, got.code, got.stderr)
		}
	}
}

func TestServeSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--listen", taken.Addr().String()}, exitFailed, "error: another program listens on " + taken.Addr().String() + " already\nhint: "},
		{[]string{"--metrics", taken.Addr().String()}, exitFailed, "with --metrics"},
		{[]string{"--db", "postgres://tally:hunter2@127.0.0.1:1/tally"}, exitFailed, "error: PostgreSQL does not answer at 127.0.0.1:1: connection refused\nhint: "},
		{[]string{"--db", "postgres://tally:hunter2@no-such-host.invalid/tally"}, exitFailed, "error: the host \"no-such-host.invalid\" of the database is not known\nhint: "},
		{[]string{"--catalog", "no-such-file"}, exitUsage, "catalog file cannot be read"},
		{[]string{"--catalog", write(t, "catalog.json", "{")}, exitUsage, "cut off"},
	} {
		got := call(t, append([]string{"serve", "--plaintext", "--listen", "127.0.0.1:0", "--data", t.TempDir()}, row.args...)...)
		if got.code != row.code || !strings.Contains(got.stderr, row.says) || strings.Contains(got.stderr, "hunter2") {
			t.Errorf("serve %v: exit %d, want %d and %q in:\n%s", row.args, got.code, row.code, row.says, got.stderr)
		}
	}
}

func TestARemovedInstanceIsOneBlock(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	in := api.Instance{ID: trust.NewID("ins", at), NextContact: &at, Deadline: &at, RemovedAt: &at, RemovedBy: "cli_1", ForkedAt: &at}
	var out bytes.Buffer
	showInstance(in)(&out)
	column := -1
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		name, value, _ := strings.Cut(line, ":")
		at := len(line) - len(strings.TrimLeft(value, " "))
		if column >= 0 && at != column {
			t.Errorf("%s: its value stands in column %d, want %d", name, at, column)
		}
		column = at
	}
	if strings.Contains(out.String(), "Next contact") || strings.Contains(out.String(), "Deadline") || !strings.Contains(out.String(), "Removed by:") {
		t.Errorf("got\n%s", out.String())
	}
}
