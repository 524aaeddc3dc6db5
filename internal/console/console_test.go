package console

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
)

// canary is put wherever people or products choose a text.
const canary = `"><script>alert(1)</script><img src=x onerror=alert(2)>&`

// estate is a console over a real database with one account, and a browser's cookie of a session.
type estate struct {
	*authority.Authority
	console *console
	handler http.Handler
	account authority.Account
	cookie  *http.Cookie
}

func person() access.Person {
	return access.Person{ID: "key_test", Role: access.Administrator, Account: access.Site}
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	s := storetest.Open(t)
	quiet := slog.New(slog.DiscardHandler)
	keys, err := trust.OpenKeys(t.TempDir(), storetest.Start())
	if err != nil {
		t.Fatal(err)
	}
	a := authority.New(authority.Options{Store: s, Keys: keys, Catalog: license.DefaultCatalog(), Now: storetest.Start})
	options := Options{
		Authority: a, Conference: conference.New(conference.Options{Store: s, Now: storetest.Start, Log: quiet}),
		Now: storetest.Start, Log: quiet, Version: "1.2.3",
	}
	e := &estate{Authority: a, handler: New(options), console: &console{Options: options}}
	if e.account, err = a.CreateAccount(t.Context(), person(), "acme <b>example"); err != nil {
		t.Fatal(err)
	}
	code, err := a.SignInCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer := e.post("/signin", url.Values{"code": {string(code)}})
	if cookies := answer.Result().Cookies(); len(cookies) == 1 {
		e.cookie = cookies[0]
	} else {
		t.Fatalf("signing in gave %d and the cookies %v, want one", answer.Code, cookies)
	}
	return e
}

func (e *estate) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	return w
}

func (e *estate) get(path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if e.cookie != nil {
		r.AddCookie(e.cookie)
	}
	return e.send(r)
}

func (e *estate) post(path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if e.cookie != nil {
		r.AddCookie(e.cookie)
	}
	return e.send(r)
}

// path fills the names of a route's pattern.
func (e *estate) path(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	path = strings.NewReplacer("{account}", e.account.ID, "{meeting}", "mtg_none", "{reservation}", "rsv_none", "{rehost}", "reh_none", "{bridge}", "brg_none", "{act}", "confirm", "{file}", "style.css", "{$}", "").Replace(path)
	return method, path
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	routes := append(e.console.routes(), route{pattern: "GET /no/such/page"}, route{pattern: "PUT /accounts"})
	for _, signedIn := range []bool{true, false} {
		for _, r := range routes {
			if r.pattern == "POST /signout" && signedIn {
				continue // would end the session of the others
			}
			method, path := e.path(r.pattern)
			request := httptest.NewRequest(method, path, nil)
			if signedIn {
				request.AddCookie(e.cookie)
			}
			h := e.send(request).Header()
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
				"X-Content-Type-Options":  "nosniff",
				"Referrer-Policy":         "no-referrer",
				"Cache-Control":           "no-store",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s, signed in %t: %s is %q, want %q", r.pattern, signedIn, name, got, want)
				}
			}
		}
	}
}

func TestOnlySignInAndAssetsAreOpen(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.cookie = nil
	open := map[string]bool{"GET /static/{file}": true, "GET /signin": true, "POST /signin": true, "POST /signout": true}
	for _, r := range e.console.routes() {
		if open[r.pattern] {
			continue
		}
		_, path := e.path(r.pattern)
		if w := e.get(path); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/signin" {
			t.Errorf("%s without a session: %d to %q, want 303 to /signin", r.pattern, w.Code, w.Header().Get("Location"))
		}
	}
}

func TestEveryPageIsWellMade(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	importOrder(t, e)
	for _, path := range []string{
		"/signin", "/signin?code=" + url.QueryEscape(canary), "/accounts", "/accounts/" + e.account.ID, "/accounts/" + e.account.ID + "/meetings",
		"/accounts/" + e.account.ID + "/meetings?day=2026-03-01", "/accounts/" + e.account.ID + "/products", "/accounts/" + e.account.ID + "/usage?period=month",
		"/accounts/" + e.account.ID + "/events", "/accounts/" + e.account.ID + "/directory", "/accounts/" + e.account.ID + "/bridges",
	} {
		w := e.get(path)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d, want 200", path, w.Code)
		}
		checkPage(t, path, w.Body.String())
	}
}

func TestRefusalsArePages(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	account := "/accounts/" + e.account.ID
	for path, want := range map[string]int{
		"/nowhere":                               http.StatusNotFound,
		"/accounts/" + url.PathEscape(canary):    http.StatusNotFound,
		"/accounts/acc_00000000000000000000000a": http.StatusNotFound,
		account + "/meetings/mtg_none":           http.StatusNotFound,
		account + "/meetings?day=yesterday":      http.StatusBadRequest,
		account + "/meetings?after=x":            http.StatusBadRequest,
		account + "/events?after=x":              http.StatusBadRequest,
	} {
		w := e.get(path)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
		checkPage(t, path, w.Body.String())
	}
}

func TestAnAccountOfOthersDoesNotExist(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.SetPathValue("account", e.account.ID)
	v := &visit{Request: request, who: access.Person{ID: "key_other", Role: access.Viewer, Account: "acc_other"}}
	_, err := e.console.inAccount(e.console.licenses)(v)
	if refused := license.AsError(err); refused == nil || refused.Kind != license.KindNotFound {
		t.Errorf("got %v, want the refusal of an account that does not exist", err)
	}
}

func TestSignInSpendsTheCodeOnlyWhenTheButtonIsPressed(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.cookie = nil
	code, err := e.SignInCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if w := e.get("/signin?code=" + string(code)); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `value="`+string(code)+`"`) {
			t.Fatalf("the page of a code: %d, want 200 and the code in a form", w.Code)
		}
	}
	form := url.Values{"code": {string(code)}}
	if w := e.post("/signin", form); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
		t.Errorf("first use: %d to %q, want 303 to /", w.Code, w.Header().Get("Location"))
	}
	w := e.post("/signin", form)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "tally signin") || len(w.Result().Cookies()) != 0 {
		t.Errorf("second use: %d with the cookies %v, want 401, what to do, and no cookie", w.Code, w.Result().Cookies())
	}
	checkPage(t, "a spent code", w.Body.String())
}

func TestCookies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, forwarded, cookie string
		secure                  bool
	}{{"plain", "", plainCookie, false}, {"behind a proxy", "https", secureCookie, true}} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/signin", nil)
		r.Header.Set("X-Forwarded-Proto", test.forwarded)
		setSession(w, r, "se_x", time.Hour)
		c := w.Result().Cookies()[0]
		if c.Name != test.cookie || c.Secure != test.secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.MaxAge != 3600 {
			t.Errorf("%s: got the cookie %v", test.name, c)
		}
	}
}

func TestSignOutEndsTheSession(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	if w := e.get("/accounts"); w.Code != http.StatusOK {
		t.Fatalf("signed in: %d, want 200", w.Code)
	}
	for range 2 { // signing out twice does no harm
		if w := e.post("/signout", nil); w.Code != http.StatusSeeOther || w.Result().Cookies()[0].MaxAge != -1 {
			t.Errorf("sign out: %d and %v, want 303 and no cookie left", w.Code, w.Result().Cookies())
		}
	}
	if w := e.get("/accounts"); w.Code != http.StatusSeeOther {
		t.Errorf("the old cookie after signing out: %d, want 303", w.Code)
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	r := httptest.NewRequest(http.MethodPost, "/signout", nil)
	r.AddCookie(e.cookie)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if w := e.send(r); w.Code != http.StatusForbidden {
		t.Errorf("a form of another site: %d, want 403", w.Code)
	}
	if w := e.get("/accounts"); w.Code != http.StatusOK {
		t.Errorf("the session afterwards: %d, want 200", w.Code)
	}
}

func TestTheStartPageLeadsToTheOnlyAccount(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	if got, want := e.get("/").Header().Get("Location"), "/accounts/"+e.account.ID; got != want {
		t.Errorf("with one account: to %q, want %q", got, want)
	}
	if _, err := e.CreateAccount(t.Context(), person(), "second"); err != nil {
		t.Fatal(err)
	}
	if got := e.get("/").Header().Get("Location"); got != "/accounts" {
		t.Errorf("with two accounts: to %q, want /accounts", got)
	}
}

func TestLicensesShowWhatWasBought(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	empty := e.get("/accounts/" + e.account.ID).Body.String()
	if !strings.Contains(empty, "tally order import") {
		t.Error("an account without licenses does not say how to import an order")
	}
	importOrder(t, e)
	text := e.get("/accounts/" + e.account.ID).Body.String()
	for _, want := range []string{"Shared Multiparty Plus", "cms-smp-plus", "1,234", "In Compliance", "A lot of 5 ended", "acme &lt;b&gt;example", "West &lt;script&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("the licenses do not show %q", want)
		}
	}
}

func importOrder(t *testing.T, e *estate) {
	t.Helper()
	if _, err := e.CreateVirtualAccount(t.Context(), person(), e.account.ID, "West <script>"); err != nil {
		t.Fatal(err)
	}
	orders, err := license.ParseOrders([]byte(`{"order":"SO-<b>1","account":"acme <b>example","lines":[{"tag":"cms-smp-plus","quantity":1234},
		{"tag":"vts","quantity":5,"type":"TERM","start":"2026-01-01","end":"2026-02-01","virtualAccount":"West <script>"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.ImportOrder(context.WithoutCancel(t.Context()), person(), e.account.ID, orders[0]); err != nil {
		t.Fatal(err)
	}
}

func TestAssetsMayBeKeptWhenTheirAddressNamesTheContent(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	w := e.get(assetAddress("style.css"))
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("the style sheet: %d, %v", w.Code, w.Header())
	}
}
