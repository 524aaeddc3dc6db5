package test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSmallRESTReservation plays the reservation calls of the public client for the small interface: what is allowed, what is
// refused with 400, and a whole ceremony with a real authority.
func TestSmallRESTReservation(t *testing.T) {
	t.Parallel()
	h := newHost(t, "127.0.0.1:0")
	c := h.caller()
	c.base += "/api/v0/licensing"
	wants := func(mode bool, registration, authorization string) {
		t.Helper()
		var d struct {
			Mode          bool `json:"reservation_mode"`
			Registration  struct{ Status string }
			Authorization struct{ Status string }
		}
		decodeInto(t, c.do(200, "GET", "", nil), &d)
		if d.Mode != mode || d.Registration.Status != registration || d.Authorization.Status != authorization {
			t.Errorf("mode %t, %s, %s; want %t, %s, %s", d.Mode, d.Registration.Status, d.Authorization.Status, mode, registration, authorization)
		}
	}
	code := func(method, path string, body any) string {
		t.Helper()
		var text string
		decodeInto(t, c.do(200, method, "/reservation/"+path, body), &text)
		if text == "" {
			t.Errorf("%s %s gave no code", method, path)
		}
		return text
	}
	none := func(path string) {
		t.Helper()
		if got := c.do(200, "GET", "/reservation/"+path, nil); got != "null\n" {
			t.Errorf("%s is %s, want null", path, got)
		}
		c.do(400, "DELETE", "/reservation/"+path, nil)
	}
	for _, bad := range []any{-1, "false", 1.4, nil, "", "none"} {
		c.do(400, "PUT", "/reservation/mode", bad)
	}
	for _, call := range [][2]string{{"POST", "request"}, {"DELETE", "release"}, {"DELETE", "cancel"}} {
		c.do(400, call[0], "/reservation/"+call[1], nil)
	}
	c.do(400, "PUT", "/reservation/mode", false)
	c.do(204, "PUT", "/reservation/mode", true)
	c.do(400, "PUT", "/reservation/mode", true)
	wants(true, "NOT_REGISTERED", "NOT_AUTHORIZED")
	first := code("POST", "request", nil)
	wants(true, "RESERVATION_IN_PROGRESS", "NOT_AUTHORIZED")
	if again := code("POST", "request", nil); again != first {
		t.Errorf("the request code is %s, was %s", again, first)
	}
	for _, bad := range []any{-1, 66000, true, nil, "", "token%a\x00badcode", "<specificPLR></specificPLR>"} {
		c.do(400, "POST", "/reservation/complete", bad)
		c.do(400, "POST", "/reservation/discard", bad)
	}
	c.do(400, "DELETE", "/reservation/release", nil)
	c.do(204, "DELETE", "/reservation/cancel", nil)
	wants(true, "NOT_REGISTERED", "NOT_AUTHORIZED")
	second := code("POST", "request", nil)
	if second == first {
		t.Error("a canceled request code comes again")
	}
	none("confirmation_code")
	none("return_code")

	file := filepath.Join(t.TempDir(), "authorization.txt")
	h.run(0, tally(), "reservation", "create", second, "cms-smp-plus=2", "-o", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	confirmation := code("POST", "complete", string(text))
	if again := code("GET", "confirmation_code", nil); again != confirmation {
		t.Errorf("the confirmation code is %s, was %s", again, confirmation)
	}
	h.run(0, tally(), "reservation", "confirm", second, confirmation)
	c.do(204, "DELETE", "/reservation/confirmation_code", nil)
	none("confirmation_code")
	c.do(204, "PATCH", "/features", map[string]int{"cms-smp-plus": 2})
	wants(true, "COMPLETED", "RESERVED_AUTHORIZED")
	c.do(204, "PATCH", "/features", map[string]int{"cms-smp-plus": 3})
	wants(true, "COMPLETED", "NOT_AUTHORIZED")
	c.do(400, "DELETE", "/reservation/cancel", nil)
	c.do(400, "PUT", "/reservation/mode", false)
	back := code("DELETE", "release", nil)
	if again := code("GET", "return_code", nil); again != back {
		t.Errorf("the return code is %s, was %s", again, back)
	}
	h.run(0, tally(), "reservation", "return", second, back)
	c.do(204, "DELETE", "/reservation/return_code", nil)
	none("return_code")

	third := code("POST", "request", nil)
	h.run(0, tally(), "reservation", "create", third, "cms-smp-plus=1", "-o", file)
	if text, err = os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	c.do(204, "DELETE", "/reservation/cancel", nil)
	h.run(0, tally(), "reservation", "return", third, code("POST", "discard", string(text)))
	c.do(204, "PUT", "/reservation/mode", false)
	wants(false, "NOT_REGISTERED", "INIT")
}
