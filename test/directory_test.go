package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/test/play"
)

// ldapFlags are the flags of a source that signs in over StartTLS.
func (d *desk) ldapFlags(s *play.Directory, more ...string) []string {
	return append([]string{"--ldap", s.URL, "--start-tls", "--ca", d.file("root.pem", string(s.Root)), "--bind-dn", play.SyncDN, "--password-file", d.file("password", play.SyncSecret+"\n"),
		"--base-dn", play.PeopleDN, "--jid", "$uid$@acme.example", "--name", "$cn$", "--user-id", "$sAMAccountName$"}, more...)
}

func (d *desk) ldap(args ...string) map[string]any {
	d.t.Helper()
	return d.json(tally(), append([]string{"conference", "ldap"}, args...)...)
}

// numbers wants the numbers of the directory in force.
func (d *desk) numbers(what string, users, personal float64) {
	d.t.Helper()
	got := d.json(tally(), "conference", "directory", "show")
	if got["users"] != users || got["personal"] != personal {
		d.t.Errorf("%s: got %v, want %v users and %v licenses", what, got, users, personal)
	}
}

// TestDirectoryOfFiveThousand is the story of a directory server with 5,000 people: a first reading in seconds, a group that gives
// personal licenses, and a meeting that begins after somebody left the group.
func TestDirectoryOfFiveThousand(t *testing.T) {
	storetest.Each(t, func(t *testing.T, database string) {
		people := play.People(5000)
		s := play.Slapd(t, play.Limited, people)
		s.Licensed(people[:300])
		d := newDesk(t, database)
		d.json(tally(), "account", "create", "acme.example")
		d.run(0, tally(), "conference", "enable")
		url, _ := d.json(tally(), "conference", "bridge", "add", "cluster-1")["url"].(string)
		d.ldap(append([]string{"add", "everybody"}, d.ldapFlags(s)...)...)
		d.ldap("add", "licensed", "--like", "everybody", "--base-dn", play.PeopleDN, "--filter", play.LicensedFilter, "--jid", "$uid$@acme.example", "--personal", "yes")

		if test := d.ldap("test", "everybody"); len(test["entries"].([]any)) != 5 || test["more"] != true {
			t.Errorf("the test shows %v", test)
		}
		d.numbers("after a test", 0, 0)
		began := time.Now()
		run := d.ldap("sync", "everybody")
		took := time.Since(began)
		t.Logf("first reading of 5,000 users: %s", took)
		if run["state"] != "complete" || run["users"] != 5000.0 || run["added"] != 5000.0 || took > 10*time.Second {
			t.Errorf("the first reading took %s: %v", took, run)
		}
		d.numbers("after everybody", 5000, 0)
		if run = d.ldap("sync", "licensed"); run["gained"] != 300.0 || run["users"] != 300.0 {
			t.Errorf("got %v", run)
		}
		d.numbers("after the group", 5000, 300)
		if run = d.ldap("sync", "everybody"); run["state"] != "unchanged" {
			t.Errorf("the same again: got %v", run)
		}

		// Rule 34: who leaves the group keeps the license of the meeting that runs, and has none for the next.
		d.run(0, tally(), "conference", "directory", "import", d.file("directory.json", `{"spaces":[{"id":"`+space+`","name":"techsupport","owner":"p0000@acme.example"}]}`))
		first, second := recorded(1), recorded(2)
		d.post(url, first[0], 200)
		d.post(url, first[1], 200)
		s.Licensed(people[1:300])
		if run = d.ldap("sync", "licensed"); run["lost"] != 1.0 || run["removed"] != 1.0 {
			t.Errorf("got %v", run)
		}
		for _, post := range append(first[2:], second...) {
			d.post(url, post, 200)
		}
		taken := map[any]int{}
		for _, m := range d.items(tally(), "meeting", "list") {
			for _, segment := range d.json(tally(), "meeting", "show", fmt.Sprint(m["id"]))["segments"].([]any) {
				taken[segment.(map[string]any)["tag"]]++
			}
		}
		if taken["cms-pmp-plus"] != 1 || taken["cms-smp-plus"] != 1 {
			t.Errorf("the meetings took %v, want the running one on the personal license and the next on a shared one", taken)
		}
		d.calendar()
	})
}

// calendar wants what the story of the five thousand changed, by day.
func (d *desk) calendar() {
	d.t.Helper()
	what := map[any]int{}
	for _, c := range d.items(tally(), "conference", "directory", "changes", "--from", "2020-01-01") {
		what[c["what"]]++
		if c["what"] == "lost" && (c["jid"] != "p0000@acme.example" || c["source"] != "ldap licensed") {
			d.t.Errorf("got %v", c)
		}
	}
	if what["appeared"] != 5000 || what["gained"] != 300 || what["lost"] != 1 || what["disappeared"] != 0 {
		d.t.Errorf("the calendar has %v", what)
	}
	users := d.items(tally(), "conference", "directory", "show", "--users")
	if len(users) != 5000 || users[1]["by"] != "ldap licensed" || users[1]["level"] != "source" || fmt.Sprint(users[1]["sources"]) != "[ldap everybody ldap licensed]" {
		d.t.Errorf("%d users, such as %v", len(users), users[1])
	}
	if clashes := d.items(tally(), "conference", "directory", "show", "--clashes"); len(clashes) != 0 {
		d.t.Errorf("there are clashes: %v", clashes)
	}
}

// TestNothingIsReleased: whatever a directory server does, nobody loses a license by it before a person agrees.
func TestNothingIsReleased(t *testing.T) {
	t.Parallel()
	people := play.People(1200)
	s := play.Slapd(t, play.Limited, people)
	cut := play.NewCut(t, s.URL)
	d := newDesk(t, filepath.Join(t.TempDir(), "tally.db"))
	d.json(tally(), "account", "create", "acme.example")
	d.run(0, tally(), "conference", "enable")
	plain := func(url string, more ...string) []string {
		return append([]string{"--ldap", url, "--bind-dn", play.SyncDN, "--password-file", d.file("password", play.SyncSecret), "--base-dn", play.PeopleDN, "--jid", "$uid$@acme.example"}, more...)
	}
	d.ldap(append([]string{"add", "all"}, plain(cut.URL, "--personal", "yes")...)...)
	d.ldap("sync", "all")
	d.numbers("first", 1200, 1200)
	refused := func(want int, code string, args ...string) {
		t.Helper()
		_, stderr := d.run(want, tally(), append([]string{"conference", "ldap"}, args...)...)
		if !strings.Contains(stderr, "error: ") || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%v: got %s", args, stderr)
		}
		last := d.items(tally(), "conference", "ldap", "history")[0]
		if last["state"] != "failed" && last["state"] != "held" || code != "" && last["code"] != code {
			t.Errorf("%v: the history says %v", args, last)
		}
		d.numbers(strings.Join(args, " "), 1200, 1200)
	}

	for _, n := range []int64{0, 14, 100, 5000, 60000, 100000} { // before the sign-in, within it, within each page
		cut.After(n)
		refused(7, "", "sync", "all")
	}
	cut.After(-1)
	d.ldap("set", "all", "--no-paging") // then the server's limit ends the answer
	refused(7, "ldap-size-limit", "sync", "all")
	d.ldap(append([]string{"set", "all"}, "--base-dn", "ou=gone,"+play.BaseDN)...)
	refused(3, "ldap-base-dn", "sync", "all")
	d.run(0, tally(), "conference", "ldap", "set", "all", "--base-dn", play.BaseDN, "--filter", "(uid=nobody)")
	refused(3, "", "sync", "all") // empty, and held
	d.run(0, tally(), "conference", "ldap", "set", "all", "--base-dn", play.PeopleDN, "--filter", "(uid=p00*)")
	refused(3, "", "sync", "all") // a part only, and held
	if preview, _, code := play.Run(t.Context(), d.env, tally(), "conference", "ldap", "sync", "all", "--preview", "--json"); code != 3 || !strings.Contains(preview, `"removed": 1100`) {
		t.Errorf("the preview: exit %d, %s", code, preview)
	}
	d.ldap("set", "all", "--password-file", d.file("password", "wrong"))
	refused(3, "ldap-credentials", "sync", "all")
	d.ldap("set", "all", "--password-file", d.file("password", play.SyncSecret))
	s.Kill()
	refused(7, "ldap-unreachable", "sync", "all")
	s.Start()

	// A person agrees to what was held: the part that was shown.
	if run := d.ldap("accept", "all"); run["state"] != "accepted" || run["removed"] != 1100.0 {
		t.Errorf("got %v", run)
	}
	d.numbers("accepted", 100, 100)
}

// TestSizeLimitOverPages: a server that ends its pages at a limit gives a part, and a part is never taken for the whole.
func TestSizeLimitOverPages(t *testing.T) {
	t.Parallel()
	s := play.Slapd(t, "sizelimit size.soft=500 size.hard=500 size.pr=500 size.prtotal=1000", play.People(1200))
	d := newEngine(t)
	d.ldap(append([]string{"add", "all"}, d.ldapFlags(s, "--personal", "yes")...)...)
	d.refuse(7, "size limit, after 1000 entries; nothing was changed", "sync", "all")
	d.numbers("a part", 0, 0)
	d.ldap("set", "all", "--filter", "(uid=p00*)")
	if run := d.ldap("sync", "all"); run["users"] != 100.0 {
		t.Errorf("got %v", run)
	}
}
