package web

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
)

// example fills the variables of a path.
func example(path string) string {
	return strings.NewReplacer("{account}", "acme.example", "{virtualAccount}", "Default", "{", "", "}", "").Replace(path)
}

func TestEveryRouteButPublicOnesNeedsItsCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("acme.example")
	for _, r := range w.face.routes() {
		path := example(r.path)
		switch r.class {
		case keyed:
			for _, key := range []string{"", "Bearer", "Bearer wrong", "Bearer " + w.key + "x", "Basic " + w.key, "Bearer " + strings.ToUpper(w.key)} {
				a := w.raw(r.method, path, nil, "Authorization", key)
				if p := a.problem(t); a.status != http.StatusUnauthorized || p.Code != "not-signed-in" || p.Hint == "" || a.header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%s %s with %q: got %d %v, want 401", r.method, path, key, a.status, p)
				}
			}
		case basic:
			for _, sign := range []string{"", "Basic", "Basic " + w.key, "Basic " + base64.StdEncoding.EncodeToString([]byte("acme.example:wrong")),
				"Basic " + base64.StdEncoding.EncodeToString([]byte("nobody.example:"+w.key))} {
				a := w.raw(r.method, path, nil, "Authorization", sign)
				if a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") != `Basic realm="api"` || a.header.Get("Content-Type") != "text/xml" {
					t.Errorf("%s %s with %q: got %d %s, want 401", r.method, path, sign, a.status, a.body)
				}
			}
			if a := w.raw(r.method, path, nil, "Authorization", "Bearer "+w.key); a.status != http.StatusNotFound || a.problem(t).Code != "no-such-address" {
				t.Errorf("%s %s with a key in the header: got %d %s", r.method, path, a.status, a.body)
			}
		case machine:
			if a := w.raw(r.method, strings.ReplaceAll(path, "verb", "authorize"), []byte("x")); a.status != http.StatusBadRequest {
				t.Errorf("%s %s: got %d, want 400", r.method, path, a.status)
			}
		case receiver:
			if a := w.raw(r.method, path, []byte("<records/>")); a.status != http.StatusNotFound {
				t.Errorf("%s %s: got %d, want 404", r.method, path, a.status)
			}
		case public:
		default:
			t.Errorf("%s %s has the class %q", r.method, path, r.class)
		}
	}
}

func TestActionsOfRoutes(t *testing.T) {
	t.Parallel()
	viewer := access.Person{Role: access.Viewer, Account: access.Site}
	tenant := access.Person{Role: access.Administrator, Account: "acc_1"}
	w := newWorld(t)
	for _, r := range w.face.routes() {
		if r.class != keyed && r.class != basic {
			continue
		}
		reads := r.method == http.MethodGet
		if sees := viewer.Check(r.action, access.Site) == nil; sees != reads {
			t.Errorf("%s %s: a viewer is let through: %v, want %v", r.method, r.path, sees, reads)
		}
		if runs := tenant.Check(r.action, "acc_1") == nil; runs != (reads || r.path != accounts && r.path != account+"/reservation-leave") {
			t.Errorf("%s %s: an account's administrator is let through: %v", r.method, r.path, runs)
		}
	}
}

func TestTheTableIsAllThereIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	documented := 0
	for path, item := range w.face.rest.OpenAPI().Paths {
		for method, there := range map[string]bool{"GET": item.Get != nil, "POST": item.Post != nil, "PUT": item.Put != nil, "PATCH": item.Patch != nil, "DELETE": item.Delete != nil} {
			if there {
				documented++
				found := false
				for _, r := range w.face.routes() {
					found = found || r.method == method && r.path == path && r.class == keyed
				}
				if !found {
					t.Errorf("%s %s is documented and not in the table", method, path)
				}
			}
		}
	}
	keys := -1 // the document does not describe itself
	for _, r := range w.face.routes() {
		if r.class == keyed {
			keys++
		}
	}
	if documented != keys {
		t.Errorf("%d operations are documented, the table has %d", documented, keys)
	}
	for _, path := range []string{"/api/v1/nothing", "/api/v1/accounts/x/nothing", "/api/v2/accounts", "/api/v1/docs", "/api/v1/schemas/Account", "/machine/v1", "/machine/v2/authorize"} {
		if a := w.call("GET", path, ""); a.status != http.StatusNotFound || a.problem(t).Code != "no-such-address" {
			t.Errorf("GET %s: got %d, want 404", path, a.status)
		}
	}
	for path, allow := range map[string]string{"/api/v1/accounts": "GET, POST", "/api/v1/openapi.json": "GET", "/machine/v1/authorize": "POST", "/cdr/x": "POST"} {
		if a := w.call("DELETE", path, ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != allow {
			t.Errorf("DELETE %s: got %d and %q, want 405 and %q", path, a.status, a.header.Get("Allow"), allow)
		}
	}
	if a := w.raw("GET", "/api/v1/nothing", nil); a.status != http.StatusUnauthorized {
		t.Errorf("unknown address without a key: got %d, want 401", a.status)
	}
	if a := w.raw("POST", "/machine/v1/nothing", []byte("x")); a.status != http.StatusNotFound || a.problem(t).Code != "not-found" {
		t.Errorf("unknown verb: got %d %s, want 404", a.status, a.body)
	}
}

func TestPublicRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, want := range map[string]string{"/livez": "ok\n", "/readyz": "ok\n", "/root.pem": string(w.desk.Keys().RootPEM())} {
		if a := w.raw("GET", path, nil); a.status != http.StatusOK || string(a.body) != want || a.header.Get(requestHeader) == "" {
			t.Errorf("GET %s: got %d %q, want %q", path, a.status, a.body, want)
		}
	}
	if a := w.raw("GET", "/signin", nil); a.status != http.StatusNotFound || a.problem(t).Code != "no-such-address" {
		t.Errorf("without a console: got %d", a.status)
	}
	if a := w.raw("GET", "/livez", nil, requestHeader, "from-the-proxy.1"); a.header.Get(requestHeader) != "from-the-proxy.1" {
		t.Errorf("the caller's request id was replaced by %q", a.header.Get(requestHeader))
	}
	if a := w.raw("GET", "/livez", nil, requestHeader, "a b"); strings.Contains(a.header.Get(requestHeader), " ") {
		t.Errorf("a strange request id was taken over: %q", a.header.Get(requestHeader))
	}
}
