package directory

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// speaker is a program that says the same to everybody who connects, and then listens until they leave.
func speaker(t *testing.T, says []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = c.Read(make([]byte, 1))
				_, _ = c.Write(says)
				if len(says) > 0 {
					_, _ = c.Read(make([]byte, 1<<16))
				}
			}()
		}
	}()
	return "ldap://" + l.Addr().String()
}

// TestOtherPrograms: whatever answers in the place of a directory server, the answer is a refusal.
func TestOtherPrograms(t *testing.T) {
	t.Parallel()
	search := Search{BaseDN: "dc=x", Attributes: []string{"cn"}}
	for name, says := range map[string][]byte{
		"nothing":          nil,
		"a web server":     []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"zeros":            make([]byte, 4096),
		"ones":             bytes.Repeat([]byte{0xff}, 4096),
		"a huge length":    {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02, 0x01, 0x01},
		"a deep nest":      bytes.Repeat([]byte{0x30, 0x80}, 100_000),
		"an empty message": {0x30, 0x00, 0x30, 0x03, 0x02, 0x01, 0x01},
		"done without end": {0x30, 0x05, 0x02, 0x01, 0x01, 0x65, 0x00},
		"another's answer": {0x30, 0x0c, 0x02, 0x01, 0x63, 0x65, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, end := context.WithTimeout(t.Context(), 2*time.Second)
			defer end()
			answer, err := Server{URL: speaker(t, says)}.Ask(ctx, search)
			if e := license.AsError(err); e == nil || e.Kind != license.KindUnavailable || len(answer.Entries) != 0 {
				t.Errorf("got %+v, %v, want a refusal", answer, err)
			}
		})
	}
}

func TestServersAndSearchesAreChecked(t *testing.T) {
	t.Parallel()
	for code, s := range map[string]Server{
		"bad-ldap-url":   {URL: "ldap://user:word@x"},
		"ldap-plaintext": {URL: "LDAP://dc1.acme.example", BindDN: "cn=x"},
		"":               {URL: "ldap://[::1]:389", BindDN: "cn=x"},
	} {
		if e := license.AsError(s.Check()); code != "" && (e == nil || e.Code != code) || code == "" && e != nil {
			t.Errorf("%+v: got %v, want %s", s.URL, e, code)
		}
	}
	for _, url := range []string{"", "x", "ldap:", "https://x", "ldap://x/dc=x", "ldap://x?y", "ldapi://x"} {
		if err := (Server{URL: url}).Check(); license.AsError(err) == nil {
			t.Errorf("%q: got %v, want a refusal", url, err)
		}
	}
	for _, filter := range []string{"(", "uid=*)(", "(uid=*))(|(uid=*", "(uid=\x00"} {
		if err := (Search{BaseDN: "dc=x", Filter: filter}).Check(); license.AsError(err) == nil {
			t.Errorf("%q: got %v, want a refusal", filter, err)
		}
	}
}
