package test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/test/double"
	"github.com/tallystick/tallystick/test/play"
)

// plugin is the check of call bridges that Debian's package centreon-plugins has.
const plugin = "/usr/lib/nagios/plugins/centreon_plugins.pl"

// TestExistingChecksOfCallBridges runs every mode of a check that was made for call bridges, as it is installed, against a server
// over HTTPS, whose root it is told.
func TestExistingChecksOfCallBridges(t *testing.T) {
	t.Parallel()
	d := &desk{t: t, data: filepath.Join(t.TempDir(), "data")}
	key := fmt.Sprint(d.json(tally(), "bootstrap", "--data", d.data)["apiKey"])
	d.srv = play.Serve(t, tally(), "serve", "--data", d.data, "--listen", "127.0.0.1:0")
	u, err := url.Parse(d.srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(d.data, "authority-1", "root.pem")
	d.env = []string{"TALLY_URL=https://localhost:" + u.Port(), "TALLY_KEY=" + key, "TALLY_ROOT=" + root}
	d.run(0, tally(), "account", "create", "acme.example")
	d.order("SO-1", `{"tag":"cms-smp-plus","quantity":1},{"sku":"CUWL-PMP-K9","quantity":2},{"tag":"cms-activation","quantity":1,"type":"TERM","start":"2024-01-01","end":"2099-01-01"}`)
	d.run(0, tally(), "conference", "enable")
	args := func(mode string, more ...string) []string {
		return append([]string{plugin, "--plugin=apps::cisco::cms::restapi::plugin", "--mode=" + mode, "--hostname=localhost", "--port=" + u.Port(),
			"--username=acme.example", "--password=" + key, `--ssl-opt=SSL_ca_file => "` + root + `"`}, more...)
	}
	check := func(mode string, code int, more ...string) string {
		t.Helper()
		out, errs, got := play.Run(t.Context(), nil, "perl", args(mode, more...)...)
		if got != code {
			t.Errorf("%s: exit %d, want %d\n%s%s", mode, got, code, out, errs)
		}
		return out
	}
	modes, _, _ := play.Run(t.Context(), nil, "perl", plugin, "--plugin=apps::cisco::cms::restapi::plugin", "--list-mode")
	tried := map[string]bool{}
	says := func(mode, out string, want ...string) {
		t.Helper()
		tried[mode] = true
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: got %q, want %q in it", mode, out, w)
			}
		}
	}
	says("alarms", check("alarms", 0), "OK: 0 problem(s) detected")
	says("calls", check("calls", 0), "OK:", "Active calls: 0", "'active_calls'=0calls")
	says("database-status", check("database-status", 3), "Database clustering is not enabled")
	says("licenses", check("licenses", 0, "--verbose"), "All features licensing are ok", "Feature 'shared' status is 'activated'", "Feature 'personal'", "Feature 'callBridge'", "2099-Jan-01")
	says("system-status", check("system-status", 0), "OK: Call Bridge activation is 'true', cluster enabled is 'false'", "Active: 0")
	_, modes, listed := strings.Cut(modes, "Modes Available:")
	for mode := range strings.FieldsSeq(modes) {
		if mode != "multi" && !tried[mode] { // it runs the others
			t.Errorf("the mode %q is not tried", mode)
		}
	}
	if !listed {
		t.Error("the modes are not listed")
	}

	// Two meetings that run, where one license was bought.
	bridge := fmt.Sprint(d.json(tally(), "conference", "bridge", "add", "main")["url"])
	pem, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	for n := range 2 {
		resp, err := client.Post(strings.Replace(bridge, "127.0.0.1", "localhost", 1), "text/xml", strings.NewReader(underWay(n, time.Now().Add(-10*time.Minute))))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("post records: %s", resp.Status)
		}
	}
	says("calls", check("calls", 0), "Active calls: 2", "Local participants: 6", "Call legs: 6")
	says("system-status", check("system-status", 0), "Active: 6")
	const short = "--critical-status=%{type} eq 'licenseShortage'"
	d.await(t, "the shortage reaches the authority", func() bool {
		out, _, _ := play.Run(t.Context(), nil, "perl", args("alarms", short, "--verbose")...)
		return strings.Contains(out, "licenseShortage")
	})
	says("alarms", check("alarms", 2, short, "--verbose"), "CRITICAL: 1 problem(s) detected", "alarm 'licenseShortage' active for")
	if out := check("calls", 3, "--password=wrong"); !strings.Contains(out, "notSignedIn") {
		t.Errorf("a wrong password: %s", out)
	}
}

// underWay is the beginning of a meeting of three without an end.
func underWay(n int, at time.Time) string {
	call := fmt.Sprintf("<call>%08x-1111-4000-8000-000000000001</call>", n)
	index := 10 * n
	record := func(kind, body string) string {
		index++
		return fmt.Sprintf(`<record type="%s" time="%s" recordIndex="%d" correlatorIndex="%d">%s</record>`, kind, at.UTC().Format(time.RFC3339), index, index-1, body)
	}
	body := record("callStart", fmt.Sprintf(`<call id="%08[1]x-1111-4000-8000-000000000001"><name>Under way %[1]d</name><callType>coSpace</callType><coSpace>%08[1]x-2222-4000-8000-000000000001</coSpace><callCorrelator>%08[1]x-3333-4000-8000-000000000001</callCorrelator></call>`, n))
	for leg := range 3 {
		body += record("callLegUpdate", fmt.Sprintf(`<callLeg id="%08x-4444-4000-8000-00000000000%d"><state>connected</state>%s<displayName>someone</displayName></callLeg>`, n, leg, call))
	}
	return fmt.Sprintf(`<records session="00000000-5555-4000-8000-000000000001">%s</records>`, body)
}

// TestCallBridgeIsRead: a call bridge's own API over HTTPS, from the command line to the comparison of its count with ours.
func TestCallBridgeIsRead(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, database string) {
		d := newDesk(t, database)
		d.json(tally(), "account", "create", "acme.example")
		d.run(0, tally(), "conference", "enable")
		receiver := fmt.Sprint(d.json(tally(), "conference", "bridge", "add", "main")["url"])
		b := double.StartTLS(t)
		at := time.Now().UTC().Truncate(5 * time.Minute).Add(-5 * time.Minute)
		b.Set("/system/MPLicenseUsage", `<MPLicenseUsage total="1"><entry time="`+at.Format(time.RFC3339)+`"><smpFull>1.00</smpFull></entry></MPLicenseUsage>`)
		password := d.file("password", double.Password+"\n")
		pin := fmt.Sprintf("%x", sha256.Sum256(b.Certificate().Raw))
		api := []string{"conference", "bridge", "api", "main", "--api", b.URL, "--user", double.User, "--password-file", password}
		d.run(0, tally(), api...)
		if _, errs := d.run(1, tally(), "conference", "bridge", "api", "poll", "main"); !strings.Contains(errs, "--fingerprint") {
			t.Errorf("an unknown certificate: %s", errs)
		}
		d.run(0, tally(), append(api, "--fingerprint", pin)...)
		if out, _ := d.run(0, tally(), "conference", "bridge", "api", "test", "main"); !strings.Contains(out, "3.8.1") || !strings.Contains(out, "does not post to our receiver") {
			t.Errorf("test: %s", out)
		}
		b.Set("/system/cdrReceivers", `<cdrReceivers total="1"><cdrReceiver id="1"><uri>`+receiver+`</uri></cdrReceiver></cdrReceivers>`)
		d.post(receiver, underWay(1, at.Add(-10*time.Minute)), 200)
		out, _ := d.run(0, tally(), "conference", "bridge", "api", "poll", "main")
		for _, want := range []string{"3.8.1", "5 users, 4 spaces", "complete", "Posts to us", "yes"} {
			if !strings.Contains(out, want) {
				t.Errorf("poll: got %s, want %q in it", out, want)
			}
		}
		out, _ = d.run(0, tally(), "conference", "bridge", "api", "show", "main", "--json")
		if !strings.Contains(out, `"receives": "yes"`) || strings.Contains(out, "battery") {
			t.Errorf("show: %s", out)
		}
		if out, _ := d.run(0, tally(), "conference", "reconcile", "--bridge", "main"); !strings.Contains(out, "1 intervals of 1 call bridge") || !strings.Contains(out, "6/6 exactly, 6/6 as snapshots see it") {
			t.Errorf("reconcile: %s", out)
		}
		d.run(0, tally(), "conference", "bridge", "api", "remove", "main")
		d.fails(4, "conference", "bridge", "api", "poll", "main")
	})
}
