package test

import (
	"encoding/csv"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/test/play"
)

// newEngine is a desk with an account whose conference engine works.
func newEngine(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, filepath.Join(t.TempDir(), "tally.db"))
	d.json(tally(), "account", "create", "acme.example")
	d.run(0, tally(), "conference", "enable")
	return d
}

// refuse wants a verb of LDAP to be refused, and the refusal to say something.
func (d *desk) refuse(code int, says string, args ...string) {
	d.t.Helper()
	_, stderr := d.run(code, tally(), append([]string{"conference", "ldap"}, args...)...)
	if !strings.Contains(stderr, says) || !strings.Contains(stderr, "hint: ") {
		d.t.Errorf("%v: got %s, want %q and a hint", args, stderr, says)
	}
}

// TestDirectoryServersAreKnown: a server is let in by its CA or its fingerprint, and a password goes to no other and to nobody on
// the way; it is nowhere to be seen afterwards.
func TestDirectoryServersAreKnown(t *testing.T) {
	t.Parallel()
	s := play.Slapd(t, play.Unlimited, play.People(20))
	other, err := trust.OpenKeys(t.TempDir(), play.Now())
	if err != nil {
		t.Fatal(err)
	}
	d := newEngine(t)
	ca, password := d.file("ca.pem", string(s.Root)), d.file("password", play.SyncSecret)
	block, _ := pem.Decode(s.Root)
	root, leaf := trust.Of(block.Bytes).String(), trust.Of(s.Certificate).String()
	add := func(name string, more ...string) []string {
		return append([]string{"add", name, "--bind-dn", play.SyncDN, "--password-file", password, "--base-dn", play.PeopleDN, "--jid", "$uid$@acme.example"}, more...)
	}
	for name, more := range map[string][]string{
		"ldaps-ca":       {"--ldap", s.LDAPS, "--ca", ca},
		"ldaps-pin":      {"--ldap", s.LDAPS, "--fingerprint", leaf},
		"ldaps-root-pin": {"--ldap", s.LDAPS, "--fingerprint", root},
		"starttls-ca":    {"--ldap", s.URL, "--start-tls", "--ca", ca},
		"starttls-pin":   {"--ldap", s.URL, "--start-tls", "--fingerprint", leaf},
		"loopback":       {"--ldap", s.URL, "--no-paging"},
	} {
		d.ldap(add(name, more...)...)
		if test := d.ldap("test", name); len(test["entries"].([]any)) != 5 {
			t.Errorf("%s: got %v", name, test)
		}
		if run := d.ldap("sync", name); run["users"] != 20.0 {
			t.Errorf("%s: got %v", name, run)
		}
	}
	for name, more := range map[string][]string{
		"other-ca":      {"--ldap", s.LDAPS, "--ca", d.file("other.pem", string(other.RootPEM()))},
		"other-pin":     {"--ldap", s.LDAPS, "--fingerprint", other.Fingerprint().String()},
		"no-ca":         {"--ldap", s.LDAPS},
		"starttls-none": {"--ldap", s.URL, "--start-tls"},
		"not-tls":       {"--ldap", strings.Replace(s.URL, "ldap:", "ldaps:", 1), "--ca", ca},
	} {
		d.ldap(add(name, more...)...)
		d.refuse(7, "no trusted encryption", "test", name)
		d.refuse(7, "no trusted encryption", "sync", name)
	}
	d.refuse(3, "for everybody to read", add("far", "--ldap", "ldap://dc1.acme.example")...)
	d.refuse(2, "exclude each other", add("both", "--ldap", s.LDAPS, "--ca", ca, "--fingerprint", root)...)
	if all := d.items(tally(), "conference", "ldap", "list"); len(all) != 11 {
		t.Errorf("%d sources are listed", len(all))
	}
	err = filepath.WalkDir(filepath.Dir(d.data), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), play.SyncSecret) {
			t.Errorf("%s has the password", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestHostileDirectory: what a directory server holds stays text: in filters and names of ours, on the terminal, in JSON, in CSV.
func TestHostileDirectory(t *testing.T) {
	t.Parallel()
	hostile := []string{
		"*)(uid=*))(|(uid=*", `a\2a\28\29`, "cn=admin,dc=acme,dc=example", `x,ou=other\,dc=acme`, "=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "'; DROP TABLE directory_user;--",
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "a\u202egnp.exe", "\u2066isolated\u2069", "zero\u200bwidth", "\x1b[31mred\x1b[0m", "bell\x07", "line\nbreak", "$mail$", `\0\1`,
		"{{.}}", "${jndi:ldap://x}", strings.Repeat("A", 1<<20), "👩‍👩‍👧", "Zoë Größe", " leading", "../../etc/passwd", "%s%n%d", "null", "\ufeffbom",
	}
	people := make([]play.Person, 0, 2*len(hostile)+1)
	for i, h := range hostile {
		people = append(people, play.Person{UID: fmt.Sprintf("name%02d", i), CN: h, Mail: "m@acme.example"}, play.Person{UID: h, CN: fmt.Sprintf("uid%02d", i), Number: fmt.Sprint(i)})
	}
	people = append(people, play.Person{UID: "good", CN: "A Good Name", Mail: "good@acme.example"})
	s := play.Slapd(t, play.Limited, people)
	d := newEngine(t)
	d.ldap("add", "hostile", "--ldap", s.LDAPS, "--ca", d.file("ca.pem", string(s.Root)), "--bind-dn", play.SyncDN, "--password-file", d.file("password", play.SyncSecret), "--base-dn", play.PeopleDN,
		"--filter", "(uid=*)", "--jid", "$uid$@acme.example", "--name", "$cn$", "--user-id", "$uid$", "--personal", "yes")
	run := d.ldap("sync", "hostile")
	if run["state"] != "complete" || run["entries"] != float64(len(people)) || run["users"].(float64)+run["skipped"].(float64)+run["clashes"].(float64) != run["entries"] {
		t.Errorf("every entry is a user, left out or a clash: got %v", run)
	}
	users := d.items(tally(), "conference", "directory", "show", "--users")
	for _, u := range users {
		jid := fmt.Sprint(u["jid"])
		if strings.Count(jid, "@") != 1 || strings.ContainsAny(jid, "<>\"'&/:\\ \n\t") || strings.ContainsFunc(jid, odd) {
			t.Errorf("%q is taken for a JID", jid)
		}
		if name := fmt.Sprint(u["name"]); strings.ContainsFunc(name, odd) || len(name) > 1024 {
			t.Errorf("%q is taken for a name", name)
		}
	}
	table, _ := d.run(0, tally(), "conference", "directory", "show", "--users")
	if strings.ContainsFunc(strings.ReplaceAll(table, "\n", ""), odd) {
		t.Errorf("the table has control characters")
	}
	text, _ := d.run(0, tally(), "conference", "directory", "show", "--users", "--csv")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != len(users)+1 {
		t.Fatalf("CSV of %d rows for %d users: %v", len(rows), len(users), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Errorf("the cell %q is a formula", cell)
			}
		}
	}
	history, _ := d.run(0, tally(), "conference", "ldap", "show", "hostile")
	if strings.ContainsFunc(strings.ReplaceAll(history, "\n", ""), odd) {
		t.Errorf("the last reading shows control characters")
	}
}

// odd characters are those that make text look other than it is.
func odd(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u200c'
}

// TestRule35ObjectGUID: call control passes the objectGUID in either byte order; the user comes from the directory server.
func TestRule35ObjectGUID(t *testing.T) {
	t.Parallel()
	guid, err := hex.DecodeString("33221100554477668899aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	people := play.People(1100) // three pages
	people[700].GUID = guid
	s := play.Slapd(t, play.Limited, people)
	d := newEngine(t)
	d.ldap("add", "staff", "--ldap", s.LDAPS, "--ca", d.file("ca.pem", string(s.Root)), "--bind-dn", play.SyncDN, "--password-file", d.file("password", play.SyncSecret), "--base-dn", play.PeopleDN,
		"--jid", "$uid$@acme.example", "--personal", "yes")
	d.ldap("sync")
	users := d.items(tally(), "conference", "directory", "show", "--users")
	if len(users) != 1100 || users[700]["guid"] != "00112233-4455-6677-8899-aabbccddeeff" {
		t.Fatalf("%d users, number 700 is %v", len(users), users[700])
	}
	if g, ok := meeting.ParseGUID(fmt.Sprint(users[0]["guid"])); !ok || g == (meeting.GUID{}) {
		t.Errorf("without an objectGUID the entryUUID counts: got %v", users[0])
	}
	for _, passed := range []string{"00112233-4455-6677-8899-AABBCCDDEEFF", "33221100-5544-7766-8899-aabbccddeeff"} {
		decisions := d.items(tally(), "meeting", "ask", "--adhoc", passed)
		if len(decisions) == 0 || decisions[0]["tag"] != "cms-pmp-plus" || decisions[0]["user"] != "p0700@acme.example" {
			t.Errorf("call control passes %s: got %v", passed, decisions)
		}
	}
}
