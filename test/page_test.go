package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/test/play"
)

// visible is the text that stands in an element, for the page's expressions.
func has(selector, text string) string {
	return fmt.Sprintf("(document.querySelector(%q)?.innerText ?? '').includes(%q)", selector, text)
}

// tab goes on with the keyboard until the focus is on the element with the id.
func tab(t *testing.T, b *play.Browser, id string) {
	t.Helper()
	for range 80 {
		if b.Eval("document.activeElement?.id") == id {
			return
		}
		b.Press("Tab")
	}
	t.Fatalf("the keyboard does not reach %s; it is on %v", id, b.Eval("document.activeElement?.outerHTML"))
}

// TestProductPage does every procedure of the page with the keyboard alone, on a real product and its authority. With
// TALLY_SHOTS set to a folder it writes pictures of the page there, light, dark and narrow.
func TestProductPage(t *testing.T) {
	t.Parallel()
	h := newHost(t, "127.0.0.1:0")
	b := play.Chromium(t)
	b.Screen(1280, "light")
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
			if dir := os.Getenv("TALLY_SHOTS"); dir != "" {
				b.Shot(filepath.Join(dir, "page-"+name+"-"+look.name+".png"))
			}
		}
		b.Screen(1280, "light")
	}
	link := strings.TrimSpace(h.product("page"))
	b.Open(h.daemon.URL + "/")
	b.Wait(has("#closed", "tally-agent page")) // without the link there is nothing to see
	b.Open("about:blank")
	b.Open(link)
	b.Wait(has("#registration-status", "UNREGISTERED"))
	if b.Eval("location.hash") != "" {
		t.Error("the code of the link stays in the address")
	}
	b.Wait(has("#registration-next", "Register with a token of the authority."))
	shot("unregistered")

	// Edit the transport settings: a proxy with a password, and back.
	tab(t, b, "transport-open")
	b.Press("Enter")
	b.Wait("document.activeElement.id === 'direct'")
	b.Eval("document.querySelector('#proxy').click()")
	b.Eval("document.querySelector('#proxy-url').focus()")
	b.Type("proxy.example")
	tab(t, b, "user")
	b.Type("product")
	tab(t, b, "password")
	b.Type("a secret")
	b.Press("Enter")
	b.Wait(has("#transport-facts", "http://proxy.example:3128"))
	b.Wait(has("#transport-facts", "product, with a password"))
	if text, _ := b.Eval("document.documentElement.outerHTML").(string); strings.Contains(text, "a secret") {
		t.Error("the page shows the password")
	}
	tab(t, b, "transport-open")
	b.Press("Enter")
	b.Eval("document.querySelector('#direct').click()")
	b.Eval("document.querySelector('#url').value = 'http://licenses.example'")
	b.Eval("document.querySelector('#url').focus()")
	b.Press("Enter")
	rested := " && !document.querySelector('[aria-busy]')"                                           // a button that works still takes no Enter
	b.Wait(has("#transport-error", "anybody on the way could read the registration token") + rested) // beside the field, with the hint
	b.Eval(fmt.Sprintf("document.querySelector('#url').value = %q", h.srv.URL))
	b.Press("Enter")
	b.Wait(has("#transport-facts", "direct"))
	tab(t, b, "examine")
	b.Press("Enter")
	b.Wait(has("#said", "Every step to the authority works."))
	shot("examined")

	// Register; the dialog of a refusal is beside the field.
	register := func(token string, focused bool) {
		t.Helper()
		if !focused {
			tab(t, b, "register-open")
			b.Press("Enter")
			b.Wait("document.activeElement.id === 'token'")
		}
		b.Eval("document.querySelector('#token').value = ''")
		b.Eval("document.querySelector('#token').focus()")
		b.Type(token)
		tab(t, b, "register")
		b.Press("Enter")
	}
	register("nonsense", false)
	b.Wait(has("#register-error", "this is no registration token") + rested)
	register(h.newToken(), true)
	b.Wait(has("#registration-status", "REGISTERED") + " && " + has("#said", "The product is registered."))
	h.product("usage", "set", "cms-smp-plus", "3")
	tab(t, b, "renew-auth")
	b.Press("Enter")
	b.Wait(has("#authorization-status", "OUT OF COMPLIANCE"))
	b.Wait(has("#licenses", "1 license is missing"))
	b.Wait(has("#authorization-next", "Order the licenses that are missing"))
	for _, id := range []string{"registration-facts", "authorization-facts"} {
		b.Wait(has("#"+id, "Next attempt") + " && " + has("#"+id, "Deadline"))
	}
	shot("registered")
	tab(t, b, "renew-id")
	b.Press("Enter")
	b.Wait(has("#said", "The registration is renewed."))

	// Reregister: refused first, with the box ticked for the second time.
	register(h.newToken(), false)
	b.Wait(has("#register-error", "registered already") + " && document.querySelector('#force').checked")
	tab(t, b, "register")
	b.Press("Enter")
	b.Wait(has("#said", "The product is registered.") + " && document.querySelector('#register-form').hidden")

	// Privacy.
	tab(t, b, "send-hostname")
	b.Press(" ")
	b.Wait(has("#said", "The privacy settings are saved."))
	wantIn(t, h.product("show", "license", "status"), "Smart Licensing hostname privacy: ENABLED", "Version privacy: DISABLED")

	// Deregister asks first; no is the answer of Escape and of the first button.
	for _, answer := range []string{"Escape", "Enter"} {
		tab(t, b, "deregister")
		b.Press("Enter")
		b.Wait("document.querySelector('#ask').open")
		if answer == "Escape" {
			shot("asking")
		}
		b.Press(answer)
		b.Wait("!document.querySelector('#ask').open")
		h.wants("REGISTERED", "OUT OF COMPLIANCE")
	}
	tab(t, b, "deregister")
	b.Press("Enter")
	b.Wait("document.querySelector('#ask').open")
	tab(t, b, "ask-yes")
	b.Press("Enter")
	b.Wait(has("#registration-status", "UNREGISTERED"))
	h.wants("UNREGISTERED", "EVAL MODE")

	// What the page needs is its own, it has names for all it shows, and an address leads nobody astray.
	if foreign, _ := b.Eval("performance.getEntriesByType('resource').filter(r => !r.name.startsWith(location.origin)).length").(float64); foreign > 0 {
		t.Errorf("the page asks %v times for something from elsewhere", foreign)
	}
	if bare := b.Eval(`[...document.querySelectorAll('input, textarea')].filter(e => !e.labels.length).map(e => e.id).join()`); bare != "" {
		t.Errorf("without a label: %v", bare)
	}
	b.Open("about:blank")
	b.Open(link)
	b.Wait(has("#said", "this link was used"))
	b.Wait(has("#registration-status", "UNREGISTERED")) // the session is still open
	tab(t, b, "leave")
	b.Press("Enter")
	b.Wait(has("#closed", "tally-agent page"))
}
