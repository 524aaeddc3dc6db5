package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/test/play"
)

// TestReservationOnThePage does the ceremony of a closed site on the product page with the keyboard, its other half on the
// authority's command line, and carries every code by hand: request, install, modify, confirm, return, complete; and the
// authorization that was never installed.
func TestReservationOnThePage(t *testing.T) {
	t.Parallel()
	h := newHost(t, "127.0.0.1:0")
	dir := t.TempDir()
	b := play.Chromium(t)
	b.Screen(1280, "light")
	b.Open(strings.TrimSpace(h.product("page")))
	b.Wait(has("#registration-status", "UNREGISTERED"))
	shown := func(name string) string {
		t.Helper()
		b.Wait(fmt.Sprintf("(document.querySelector('#%s-code')?.innerText ?? '') !== ''", name))
		code, _ := b.Eval(fmt.Sprintf("document.querySelector('#%s-code').innerText", name)).(string)
		return code
	}
	press := func(id string) {
		t.Helper()
		b.Wait(fmt.Sprintf("!!document.querySelector('#%s')?.checkVisibility()", id))
		tab(t, b, id)
		b.Press("Enter")
	}
	sure := func(id string) {
		t.Helper()
		press(id)
		b.Wait("document.querySelector('#ask').open")
		tab(t, b, "ask-yes")
		b.Press("Enter")
		b.Wait("!document.querySelector('#ask').open")
	}
	carry := func(form, file string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		press(form + "-open")
		b.Wait(fmt.Sprintf("!document.querySelector('#%s-form').hidden", form))
		b.Eval(fmt.Sprintf("document.querySelector('#%s-text').focus()", form))
		b.Type(string(text))
		tab(t, b, form)
		b.Press("Enter")
	}
	shot := func(name string) {
		t.Helper()
		for _, look := range []struct {
			name, scheme string
			width        int
		}{{"light", "light", 1280}, {"dark", "dark", 1280}, {"narrow", "light", 360}} {
			b.Screen(look.width, look.scheme)
			if wide, _ := b.Eval("document.documentElement.scrollWidth - innerWidth").(float64); wide > 0 {
				t.Errorf("%s is %v pixels wider than a screen of %d", name, wide, look.width)
			}
			if to := os.Getenv("TALLY_SHOTS"); to != "" {
				b.Shot(filepath.Join(to, "page-"+name+"-"+look.name+".png"))
			}
		}
		b.Screen(1280, "light")
	}

	sure("reservation-enable")
	request := shown("request")
	b.Wait(has("#registration-next", "Enter the request code at the authority"))
	b.Wait("!document.querySelector('#register-open').checkVisibility()")
	shot("requested")
	first, second := filepath.Join(dir, "first.txt"), filepath.Join(dir, "second.txt")
	h.run(0, tally(), "reservation", "create", request, "cms-smp-plus=1", "-o", first)
	broken := filepath.Join(dir, "broken.txt")
	text, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, []byte(strings.Replace(string(text), "1", "2", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	carry("install", broken)
	b.Wait("!document.querySelector('#install-error').hidden") // beside the field; nothing is installed
	h.wants("UNREGISTERED", "No Licenses in Use")
	tab(t, b, "install-text")
	b.Eval("document.querySelector('[data-close=install-form]').click()")
	carry("install", first)
	b.Wait(has("#registration-status", "REGISTERED - SPECIFIC LICENSE RESERVATION"))
	confirmed := shown("confirmation")
	h.run(0, tally(), "reservation", "confirm", request, confirmed)
	h.product("usage", "set", "cms-smp-plus", "2")
	b.Wait(has("#authorization-status", "NOT AUTHORIZED - RESERVED"))

	h.run(0, tally(), "reservation", "update", request, "cms-smp-plus=2", "--yes", "-o", second)
	carry("install", second)
	b.Wait(has("#authorization-status", "AUTHORIZED - RESERVED") + " && !" + has("#authorization-status", "NOT"))
	b.Wait(fmt.Sprintf("document.querySelector('#confirmation-code').innerText !== %q", confirmed))
	h.run(0, tally(), "reservation", "confirm", request, shown("confirmation"))
	shot("reserved")

	// No gives nothing up.
	press("reservation-return")
	b.Wait("document.querySelector('#ask').open")
	b.Press("Escape")
	b.Wait("!document.querySelector('#ask').open")
	h.wants("REGISTERED - SPECIFIC LICENSE RESERVATION", "AUTHORIZED - RESERVED")
	sure("reservation-return")
	code := shown("return")
	b.Wait(has("#registration-next", "Enter the return code at the authority"))
	h.run(0, tally(), "reservation", "return", request, code)
	shot("returned")
	sure("reservation-complete")
	b.Wait(has("#said", "The return is completed."))
	b.Wait("document.querySelector('#endings').textContent.includes(" + fmt.Sprintf("%q", code) + ")")

	// A request whose authorization is never installed.
	press("reservation-request")
	again := shown("request")
	third := filepath.Join(dir, "third.txt")
	h.run(0, tally(), "reservation", "create", again, "cms-smp-plus=2", "-o", third)
	sure("reservation-cancel")
	b.Wait("!!document.querySelector('#discard-open')?.checkVisibility()")
	carry("discard", third)
	b.Wait("document.querySelector('#ask').open")
	tab(t, b, "ask-yes")
	b.Press("Enter")
	b.Wait(has("#said", "Enter this return code at the authority: "))
	said, _ := b.Eval("document.querySelector('#said').innerText").(string)
	_, discard, _ := strings.Cut(said, ": ")
	h.run(0, tally(), "reservation", "return", again, strings.TrimSpace(discard))
	press("reservation-disable")
	b.Wait(has("#reservation-status", "OFF"))
	h.wants("UNREGISTERED", "No Licenses in Use")
	if row := h.items(tally(), "license", "list")[0]; row["reserved"] != 0.0 {
		t.Errorf("reserved at the end: %v", row)
	}
}
