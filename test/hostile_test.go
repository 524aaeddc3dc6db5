package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostileRecords: bodies made to exhaust the receiver are refused, memory stays bounded, and the next good post is taken.
func TestHostileRecords(t *testing.T) {
	t.Parallel()
	d := newDesk(t, filepath.Join(t.TempDir(), "tally.db"))
	d.json(tally(), "account", "create", "acme.example")
	d.run(0, tally(), "conference", "enable")
	url, _ := d.json(tally(), "conference", "bridge", "add", "cluster-1")["url"].(string)
	d.post(url, recorded(1)[0], 200)
	before := d.srv.Memory()

	attributes := func(size int) string {
		var b strings.Builder
		b.WriteString(`<records session="3b5cf0a1-5a52-4d9c-93a2-7f1f1d0c2b11"`)
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, ` a%d=""`, i)
		}
		b.WriteString(`></records>`)
		return b.String()
	}
	nested := strings.Repeat("<a>", 200_000)
	for _, c := range []struct {
		what string
		body string
		want int
	}{
		{"5 MB of attributes", attributes(5 << 20), http.StatusRequestEntityTooLarge},
		{"1 MB of attributes", attributes(1<<20 - 100), http.StatusBadRequest},
		{"deep nesting", nested, http.StatusBadRequest},
		{"entities", `<!DOCTYPE r [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><records session="x">&b;</records>`, http.StatusBadRequest},
		{"an outside entity", `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><records session="x">&x;</records>`, http.StatusBadRequest},
		{"nothing", "", http.StatusBadRequest},
		{"no XML", `{"records":[]}`, http.StatusBadRequest},
		{"two roots", twoRoots, http.StatusBadRequest},
	} {
		for range 20 {
			r, err := http.Post(url, "text/xml", strings.NewReader(c.body))
			if err != nil {
				if c.want == http.StatusRequestEntityTooLarge {
					continue // the server may hang up on a body that it will not read
				}
				t.Fatalf("%s: %v", c.what, err)
			}
			_ = r.Body.Close()
			if r.StatusCode != c.want {
				t.Fatalf("%s: status %d, want %d", c.what, r.StatusCode, c.want)
			}
		}
	}
	if grown := d.srv.Memory() - before; grown > 64<<20 {
		t.Errorf("hostile bodies made the server grow by %d MiB, at most 64 are allowed", grown>>20)
	}
	for _, body := range recorded(1) {
		d.post(url, body, 200)
	}
	if m := d.one(t); m["durationSeconds"] != 3955.0 {
		t.Errorf("the meeting after hostile bodies: %v", m)
	}
}
