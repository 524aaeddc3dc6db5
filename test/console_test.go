package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tallystick/tallystick/test/play"
)

// TestDemoInBrowser runs the demo and looks at its console with a real browser: the one-time link signs in once, every page
// shows what it should, fits a telephone, and asks for nothing from elsewhere. With TALLY_SHOTS set to a folder it writes
// pictures of the pages there, light, dark and narrow.
func TestDemoInBrowser(t *testing.T) {
	t.Parallel()
	link := startDemo(t)
	b := play.Chromium(t)
	b.Screen(1280, "light")
	b.Open(link)
	b.Click("main form button")
	base, _, _ := strings.Cut(link, "/signin")
	wantText(t, b, "h1", "Licenses")
	account, _ := b.Eval("location.pathname").(string)
	if !strings.HasPrefix(account, "/accounts/") {
		t.Fatalf("signed in to %q, want the licenses of the account", account)
	}
	for _, page := range []struct {
		path, heading string
		texts         []string
	}{
		{"", "Licenses", []string{"Shared Multiparty Plus", "Out Of Compliance", "What would help", "borrowed", "one of them the conference engine"}},
		{"/meetings", "Meetings", []string{"personal", "shared", "gateway call"}},
		{"/products", "Products", []string{"conference engine"}},
		{"/bridges", "Bridges", []string{"CMS cluster", "API not read"}},
		{"/directory", "Directory", []string{"Directory file", "alice.moreau@acme.example", "Alice Moreau", "got a personal license"}},
		{"/reservations", "Reservations", []string{"No product holds a reservation"}},
		{"/satellites", "Satellites", []string{"Plant", "over the network"}},
		{"/usage", "Usage", nil},
		{"/events", "Events", []string{"order.imported"}},
	} {
		for _, look := range []struct {
			name, scheme string
			width        int
		}{{"light", "light", 1280}, {"dark", "dark", 1280}, {"narrow", "light", 360}} {
			b.Screen(look.width, look.scheme)
			b.Open(base + account + page.path)
			wantText(t, b, "h1", page.heading)
			for _, text := range page.texts {
				wantText(t, b, "main", text)
			}
			if wide, _ := b.Eval("document.documentElement.scrollWidth").(float64); int(wide) > look.width { // not innerWidth, which grows with the page
				t.Errorf("%s is %v pixels wide on a screen of %d", page.heading, wide, look.width)
			}
			if look.width < 400 { // a table that scrolls hides what people look for
				if cut, _ := b.Eval(`[...document.querySelectorAll(".stack :is(th, td)")].filter(c => c.getBoundingClientRect().right > document.documentElement.clientWidth).length`).(float64); cut > 0 {
					t.Errorf("%s has %v cells that a screen of %d cuts off", page.heading, cut, look.width)
				}
			}
			if foreign, _ := b.Eval("performance.getEntriesByType('resource').filter(r => !r.name.startsWith(location.origin)).length").(float64); foreign > 0 {
				t.Errorf("%s asks %v times for something from elsewhere", page.heading, foreign)
			}
			if dir := os.Getenv("TALLY_SHOTS"); dir != "" {
				b.Shot(filepath.Join(dir, fmt.Sprintf("%s-%s.png", strings.ToLower(page.heading), look.name)))
			}
		}
	}
	b.Screen(1280, "light")
	b.Open(base + account + "/meetings")
	b.Click("main table a")
	wantText(t, b, "main", "Why this license")
	if dir := os.Getenv("TALLY_SHOTS"); dir != "" {
		b.Shot(filepath.Join(dir, "meeting-light.png"))
	}
	b.Open(link)
	if b.Eval("document.querySelector('main form button') !== null") == true {
		b.Click("main form button")
	}
	if text, _ := b.Eval("document.body.innerText").(string); strings.Contains(text, "What each virtual account has bought") {
		t.Error("the one-time link signed in a second time")
	}
}

func wantText(t *testing.T, b *play.Browser, selector, want string) {
	t.Helper()
	got, _ := b.Eval(fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)).(string)
	if !strings.Contains(got, want) {
		t.Errorf("%v: %s lacks %q:\n%.600s", b.Eval("location.pathname"), selector, want, got)
	}
}

// startDemo runs `tally demo` at full pace and returns its one-time link once the day has been played. The first result must
// come within five seconds of the start.
func startDemo(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(tally(), "demo", "--pace", "2s")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	started := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	})
	link := ""
	for in := bufio.NewScanner(out); in.Scan(); {
		line := in.Text()
		if at := strings.Index(line, "http://"); at >= 0 && strings.Contains(line, "/signin?code=") {
			link = strings.TrimSpace(line[at:])
		}
		if strings.HasPrefix(line, "The first result") {
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("the first result came after %s, want 5 s at most", took)
			}
		}
		if strings.Contains(line, "TALLY_URL") {
			go func() { // the rest of the tour; ends with the demo
				for in.Scan() {
				}
			}()
			return link
		}
	}
	t.Fatal("the demo ended before its tour")
	return ""
}
