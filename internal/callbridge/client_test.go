package callbridge_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/callbridge"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/test/double"
)

func client(t *testing.T, b *double.Bridge, change ...func(*callbridge.Config)) *callbridge.Client {
	t.Helper()
	c := callbridge.Config{URL: b.URL, User: double.User, Password: func() string { return double.Password },
		Pause: func(ctx context.Context, _ time.Duration) bool { return ctx.Err() == nil }}
	for _, f := range change {
		f(&c)
	}
	made, err := callbridge.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	return made
}

func code(err error) string {
	if e := license.AsError(err); e != nil {
		return e.Code
	}
	return fmt.Sprint(err)
}

func TestPagesAreFollowedByOffset(t *testing.T) {
	t.Parallel()
	b := double.Start(t)
	b.PageCap = 2
	users, err := client(t, b).Users(t.Context())
	if err != nil || len(users) != 5 || users[4].UserJID != "eve@acme.example" || users[2].Tenant == "" {
		t.Fatalf("got %+v, %v", users, err)
	}
	if asked := b.Asked(); len(asked) != 3 || !strings.Contains(asked[1], "offset=2") || !strings.Contains(asked[2], "offset=4") {
		t.Errorf("asked %v", asked)
	}
	if m := b.Methods(); len(m) != 1 || m["GET"] != 3 {
		t.Errorf("got methods %v, want GET alone", m)
	}
}

func TestAListThatChangesIsReadAgain(t *testing.T) {
	t.Parallel()
	b := double.Start(t)
	b.PageCap = 2
	n := 0
	b.Between(func(string) {
		if n++; n == 2 {
			b.Edit("/users", `total="5">`, `total="6"><user id="new"><userJid>new@acme.example</userJid></user>`)
		}
	})
	users, err := client(t, b).Users(t.Context())
	if err != nil || len(users) != 6 || users[0].UserJID != "new@acme.example" {
		t.Fatalf("got %+v, %v", users, err)
	}
	seen := map[callbridge.Text]bool{}
	for _, u := range users {
		if seen[u.ID] {
			t.Errorf("%s comes twice", u.ID)
		}
		seen[u.ID] = true
	}
	b.Between(func(string) {
		n++
		b.Set("/users", fmt.Sprintf(`<users total="0">%s</users>`, strings.Repeat(`<user id="x"><userJid>x</userJid></user>`, 10+n)))
	})
	if _, err := client(t, b).Users(t.Context()); code(err) != "bridge-unsteady" {
		t.Errorf("got %v, want that it never stands still", err)
	}
}

func TestRule25SnapshotsNewestFirst(t *testing.T) {
	t.Parallel()
	b := double.Start(t)
	c := client(t, b)
	all, err := c.Snapshots(t.Context(), "", time.Time{})
	if err != nil || len(all) != 4 {
		t.Fatalf("got %+v, %v", all, err)
	}
	fresh, err := c.Snapshots(t.Context(), "d0000000-0000-4000-8000-0000000000a1", all[2].Time.Time)
	if err != nil || len(fresh) != 2 || !fresh[1].Time.Equal(all[1].Time.Time) {
		t.Errorf("got %+v, %v, want the two newest", fresh, err)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	b := double.Start(t)
	_, err := client(t, b, func(c *callbridge.Config) { c.Password = func() string { return "open-sesame" } }).Status(t.Context())
	if code(err) != "bridge-sign-in" || strings.Contains(fmt.Sprintf("%+v", err), "sesame") {
		t.Errorf("got %v", err)
	}
	if n := len(b.Asked()); n != 1 {
		t.Errorf("a wrong password was tried %d times", n)
	}
}

func TestABusyBridgeIsAskedAgain(t *testing.T) {
	t.Parallel()
	b := double.Start(t)
	var waits []time.Duration
	c := client(t, b, func(c *callbridge.Config) {
		c.Pause = func(_ context.Context, d time.Duration) bool { waits = append(waits, d); return true }
	})
	b.Busy(2)
	if s, err := c.Status(t.Context()); err != nil || s.SoftwareVersion != "3.8.1" || len(waits) != 2 || waits[1] <= waits[0] {
		t.Errorf("got %+v, %v after %v", s, err, waits)
	}
	b.Busy(100)
	if _, err := c.Status(t.Context()); code(err) != "bridge-busy" {
		t.Errorf("got %v", err)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	b := double.Start(t)
	c := client(t, b)
	for _, answer := range []string{"", "<html>", "\x00\x01", "<status><uptimeSeconds>x</uptimeSeconds></status>", "<status>" + strings.Repeat("<a>", 2<<20)} {
		b.Garbage([]byte(answer))
		if _, err := c.Status(t.Context()); code(err) != "bridge-answer" {
			t.Errorf("%.20q: got %v", answer, err)
		}
	}
	b.Garbage(nil)
	if _, err := c.CoSpace(t.Context(), "nowhere"); code(err) != "bridge-has-not" {
		t.Errorf("got %v", err)
	}
	ctx, end := context.WithCancel(t.Context())
	b.Between(func(string) { end() })
	if _, err := c.Status(ctx); err == nil {
		t.Error("an ended context is no error")
	}
	b.Close()
	if _, err := c.Status(t.Context()); code(err) != "bridge-away" || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestAddressesAndCertificates(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://bridge.acme.example", "ftp://127.0.0.1", "https://user:secret@h", "https://h/admin", "https://", "h:445", "https://h?x=1"} {
		if got, err := callbridge.CheckURL(address); code(err) != "bad-bridge-url" || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: got %q, %v", address, got, err)
		}
	}
	if got, err := callbridge.CheckURL("https://Bridge.acme.example:445/api/v1/"); err != nil || got != "https://bridge.acme.example:445" {
		t.Errorf("got %q, %v", got, err)
	}
	b := double.StartTLS(t)
	if _, err := client(t, b).Status(t.Context()); code(err) != "bridge-certificate" || !strings.Contains(err.Error(), "signed by unknown authority") {
		t.Errorf("an unknown certificate: got %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(b.Certificate())
	trusting := client(t, b, func(c *callbridge.Config) { c.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12} })
	if _, err := trusting.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCallsComeAndGoWhileTheyAreListed(t *testing.T) {
	t.Parallel()
	b := double.Start(t)
	n := 0
	b.Between(func(string) { // one begins, at the front, before each page
		n++
		var calls strings.Builder
		for i := range 7 + n {
			fmt.Fprintf(&calls, `<call id="call-%d"><name>Daily</name></call>`, 7+n-i)
		}
		b.Set("/calls", fmt.Sprintf(`<calls total="0">%s</calls>`, calls.String()))
	})
	calls, err := client(t, b).Calls(t.Context())
	if err != nil || len(calls) < 7 {
		t.Fatalf("got %d calls, %v", len(calls), err)
	}
	seen := map[callbridge.Text]bool{}
	for _, c := range calls {
		if seen[c.ID] {
			t.Errorf("%s comes twice", c.ID)
		}
		seen[c.ID] = true
	}
}

// TestOldServersGiveAllSnapshots: one that does not know startTime may have years of them, and is read no further than is asked for.
func TestOldServersGiveAllSnapshots(t *testing.T) {
	t.Parallel()
	newest := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offset, err := strconv.Atoi(r.URL.Query().Get("offset"))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, `<MPLicenseUsage total="200000">`)
		for i := range 20 {
			fmt.Fprintf(w, `<entry time="%s"/>`, newest.Add(-5*time.Minute*time.Duration(offset+i)).Format(time.RFC3339))
		}
		fmt.Fprint(w, `</MPLicenseUsage>`)
	}))
	t.Cleanup(s.Close)
	c, err := callbridge.New(callbridge.Config{URL: s.URL, User: "u", Password: func() string { return "p" }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Snapshots(t.Context(), "", newest.Add(-3*time.Hour))
	if err != nil || len(got) != 36 {
		t.Errorf("got %d snapshots, %v, want those of three hours", len(got), err)
	}
}
