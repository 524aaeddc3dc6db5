package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/test/double"
	"github.com/tallystick/tallystick/test/play"
)

// TestDirectoryAndBridgesInBrowser agrees to a reading that is held, reads a directory server and asks a call bridge, with the keyboard alone, on a
// real server with a real directory server. With TALLY_SHOTS set to a folder it writes pictures of the pages there, light, dark and narrow.
func TestDirectoryAndBridgesInBrowser(t *testing.T) {
	t.Parallel()
	people := play.People(40)
	s := play.Slapd(t, play.Unlimited, people)
	s.Licensed(people[:12])
	d := newEngine(t)
	ca, password := d.file("ca.pem", string(s.Root)), d.file("password", play.SyncSecret)
	d.run(0, tally(), "conference", "ldap", "add", "staff", "--ldap", s.LDAPS, "--ca", ca, "--bind-dn", play.SyncDN, "--password-file", password,
		"--base-dn", play.PeopleDN, "--filter", "(objectClass=inetOrgPerson)", "--jid", "$uid$@acme.example", "--name", "$cn$")
	d.run(0, tally(), "conference", "ldap", "add", "hosts", "--like", "staff", "--personal", "yes", "--base-dn", play.PeopleDN, "--filter", play.LicensedFilter, "--jid", "$uid$@acme.example")
	d.run(0, tally(), "conference", "ldap", "sync")
	bridge, _ := d.json(tally(), "conference", "bridge", "add", "HQ")["id"].(string)
	played := double.Start(t)
	played.PageCap = 100
	played.Set("/system/MPLicenseUsage", snapshotsOf(time.Now(), 30))
	d.run(0, tally(), "conference", "bridge", "api", "set", "HQ", "--api", played.URL, "--user", double.User, "--password-file", d.file("bridge", double.Password))

	b := play.Chromium(t)
	b.Screen(1280, "light")
	link, _ := d.run(0, tally(), "signin", "--data", d.data, "--db", d.serve[slices.Index(d.serve, "--db")+1], "--public-url", d.srv.URL)
	b.Open(strings.TrimSpace(link))
	b.Click("main form button")
	account, _ := b.Eval("location.pathname").(string)
	shot := func(name string) {
		t.Helper()
		for _, look := range []struct {
			name, scheme string
			width        int
		}{{"light", "light", 1280}, {"dark", "dark", 1280}, {"narrow", "light", 360}} {
			b.Screen(look.width, look.scheme)
			if wide, _ := b.Eval("document.documentElement.scrollWidth").(float64); int(wide) > look.width {
				t.Errorf("%s is %v pixels wide on a screen of %d", name, wide, look.width)
			}
			if dir := os.Getenv("TALLY_SHOTS"); dir != "" {
				b.Shot(filepath.Join(dir, name+"-"+look.name+".png"))
			}
		}
		b.Screen(1280, "light")
	}
	// press ticks the box of a form with the keyboard, and presses the button after it; that leads to a page that says something.
	press := func(box, says string) {
		t.Helper()
		tab(t, b, box)
		b.Press(" ")
		b.Wait(fmt.Sprintf("document.querySelector(%q).checked", "#"+box))
		b.Press("Tab")
		b.Press("Enter")
		b.Wait("document.readyState === 'complete' && " + has("main", says))
	}
	id := func(name string) string {
		t.Helper()
		source, _ := d.json(tally(), "conference", "ldap", "show", name)["id"].(string)
		return source
	}

	s.Licensed(people[:3])
	s.Remove(people[25:])
	d.run(3, tally(), "conference", "ldap", "sync", "staff")
	b.Open(d.srv.URL + account + "/directory")
	b.Wait(has("main", "15 of 40 users would be gone"))
	shot("directory-held")
	press("sure-accept-"+id("staff"), "accepted")
	b.Wait(has("main", "25 entries read, 25 users: 15 users gone"))
	open := fmt.Sprintf("document.querySelector(%q).open", "#"+id("hosts")+" details")
	b.Eval(open + " = true")
	press("sure-sync-"+id("hosts"), "9 of 12 personal licenses would be taken away, more than 10 percent")
	b.Eval(open + " = true")
	shot("directory")

	b.Open(d.srv.URL + account + "/bridges")
	b.Wait(has("main", "HQ"))
	shot("bridges")
	b.Click("main h2 a")
	press("sure-poll", "5 users, 4 spaces")
	b.Wait(has("main", "30 intervals of five minutes") + " || " + has("main", "29 intervals of five minutes"))
	if at := b.Eval("location.pathname"); at != account+"/bridges/"+bridge {
		t.Errorf("at %v", at)
	}
	shot("bridge")

	// What the call bridge has is in the list of spaces, which the keyboard leads to.
	b.Open(d.srv.URL + account + "/directory")
	tab(t, b, "to-spaces")
	b.Press("Enter")
	b.Wait(has("main", "4 spaces") + " && " + has("main", "HQ"))
	shot("spaces")
	tab(t, b, "find")
	b.Type("no such space")
	b.Press("Enter")
	b.Wait(has("main", "No space is found."))
	if bare := b.Eval(`[...document.querySelectorAll('input')].filter(e => e.type !== 'hidden' && !e.labels.length).map(e => e.id).join()`); bare != "" {
		t.Errorf("without a label: %v", bare)
	}
}

// snapshotsOf are what a call bridge kept up to now that counted one shared meeting all the time.
func snapshotsOf(now time.Time, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<MPLicenseUsage total="%d">`, n)
	last := now.UTC().Add(-time.Minute).Truncate(time.Second)
	for i := range n {
		fmt.Fprintf(&b, `<entry time="%s"><smpFull>1.00</smpFull><pmpAssigned>2.00</pmpAssigned></entry>`, last.Add(-time.Duration(i)*5*time.Minute).Format(time.RFC3339))
	}
	return b.String() + "</MPLicenseUsage>"
}
