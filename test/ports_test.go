package test

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/test/play"
)

// listens lists the TCP ports that a process listens on, each with whether any other host can come: from the system, not from
// the process.
func listens(t *testing.T, pid int) map[int]string {
	t.Helper()
	own := map[string]bool{}
	descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range descriptors {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, d.Name())); err == nil {
			if inode, ok := strings.CutPrefix(to, "socket:["); ok {
				own[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	ports := map[int]string{}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			const listening, unconnected = "0A", "07"
			if len(f) < 10 || !own[f[9]] || f[3] != listening && (f[3] != unconnected || !strings.HasPrefix(table, "udp")) {
				continue
			}
			address, port, _ := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			bytes, err := hex.DecodeString(address)
			if err != nil {
				t.Fatal(err)
			}
			for word := range slices.Chunk(bytes, 4) {
				slices.Reverse(word)
			}
			scope := "any"
			if net.IP(bytes).IsLoopback() {
				scope = "loopback"
			}
			ports[int(n)] = strings.TrimRight(table, "6") + " " + scope
		}
	}
	return ports
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(t, l.Addr().String())
}

// TestPortsPage starts both programs with every listener of docs/ports.md and finds exactly those (domain rule 59).
func TestPortsPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/ports.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "## Listens")
	table, _, _ := strings.Cut(after, "## Connects")
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z -]+)` \\| `([a-z -]+)` \\| (\\S+)").FindAllStringSubmatch(table, -1) {
		rows = append(rows, m[1]+" "+m[2])
	}
	want := []string{"tally serve --listen", "tally serve --metrics", "tally-agent serve --listen", "tally-agent serve cluster hold --listen"}
	if !slices.Equal(rows, want) {
		t.Fatalf("the page lists %q, the test starts %q", rows, want)
	}
	d := &desk{t: t, data: filepath.Join(t.TempDir(), "data")}
	d.key, _ = d.json(tally(), "bootstrap", "--data", d.data)["apiKey"].(string)
	metrics := freePort(t)
	server := play.Serve(t, tally(), "serve", "--data", d.data, "--listen", "0.0.0.0:0", "--metrics", fmt.Sprintf("127.0.0.1:%d", metrics))
	wantListens(t, server, map[int]string{portOf(t, server.URL): "tcp any", metrics: "tcp loopback"})

	state := filepath.Join(t.TempDir(), "state")
	d.run(0, tallyAgent(), "--state", state, "init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", "A1")
	daemon := play.Serve(t, tallyAgent(), "--state", state, "serve", "--listen", "127.0.0.1:0")
	wantListens(t, daemon, map[int]string{portOf(t, daemon.URL): "tcp loopback"})
	daemon.Stop()
	out, _ := d.run(0, tallyAgent(), "--state", state, "cluster", "hold", "--name", "node-1")
	wantIn(t, out, ":4712.")
	wantIn(t, table, "4712")
	nodes := freePort(t)
	d.run(0, tallyAgent(), "--state", state, "cluster", "hold", "--name", "node-1", "--listen", fmt.Sprintf("0.0.0.0:%d", nodes))
	daemon = play.Serve(t, tallyAgent(), "--state", state, "serve", "--listen", "127.0.0.1:0")
	wantListens(t, daemon, map[int]string{portOf(t, daemon.URL): "tcp loopback", nodes: "tcp any"})
}

func wantListens(t *testing.T, s *play.Server, want map[int]string) {
	t.Helper()
	if got := listens(t, s.PID()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("it listens on %v, want %v", got, want)
	}
}

// TestFirewallOfAProduct compares what doctor --firewall lists with the transports.
func TestFirewallOfAProduct(t *testing.T) {
	t.Parallel()
	d := &desk{t: t}
	state := filepath.Join(t.TempDir(), "state")
	agent := func(args ...string) string {
		t.Helper()
		out, _ := d.run(0, tallyAgent(), append([]string{"--state", state}, args...)...)
		return out
	}
	agent("init", "--product", "Call Bridge", "--pid", "CMS-1000", "--sn", "A1")
	for _, c := range []struct {
		transport []string
		lines     []string
	}{
		{[]string{"direct", "https://licenses.example:8443"}, []string{"out licenses.example 8443 TCP", "out the name servers of this host 53 UDP", "out the name servers of this host 53 TCP"}},
		{[]string{"gateway", "https://192.0.2.7"}, []string{"out 192.0.2.7 443 TCP"}},
		{
			[]string{"proxy", "proxy.example", "--authority", "https://licenses.example:8443"},
			[]string{"out proxy.example 3128 TCP", "which carries registration, reports and renewals to licenses.example:8443", "53 UDP"},
		},
	} {
		agent(append([]string{"transport"}, c.transport...)...)
		out := strings.Join(strings.Fields(agent("doctor", "--firewall")), " ")
		wantIn(t, out, c.lines...)
	}
}
