package local

import (
	"embed"
	"net/http"

	"github.com/tallystick/tallystick/internal/license"
)

//go:embed static
var static embed.FS

// assets are the files of the page by their address. They hold no secret: what is shown comes over the REST interface.
func assets() map[string]string {
	return map[string]string{"/": "index.html", "/page.css": "page.css", "/page.js": "page.js", "/icon.svg": "icon.svg"}
}

// smallVersion is the version of the small interface, as its callers compare it.
const smallVersion = "2.9.0"

// public says which requests need no token: the page itself, and those that bring a secret in their body.
func public(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		_, asset := assets()[r.URL.Path]
		return asset || r.URL.Path == small+"/system_information"
	case http.MethodPost:
		return r.URL.Path == "/v1/session" || r.URL.Path == small+"/authenticate"
	}
	return false
}

// withPage adds what only a loopback address serves: the page, its sign-in, and that of the small interface.
func (f *Face) withPage(g *guard, address string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", f.mux)
	handle := func(pattern string, serve func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				writeProblem(w, err)
			}
		})
	}
	for path, name := range assets() {
		if path == "/" {
			path = "/{$}"
		}
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, static, "static/"+name)
		})
	}
	handle("POST /v1/link", func(w http.ResponseWriter, _ *http.Request) error {
		return reply(w, map[string]any{"url": "http://" + address + "/#code=" + g.newLink(), "minutes": int(linkLife.Minutes())}, nil)
	})
	handle("POST /v1/session", func(w http.ResponseWriter, r *http.Request) error {
		var body struct {
			Code string `json:"code"`
		}
		if err := read(r, &body); err != nil {
			return err
		}
		if err := g.openSession(w, body.Code); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	handle("DELETE /v1/session", func(w http.ResponseWriter, r *http.Request) error {
		g.closeSession(w, r)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	handle("GET "+small+"/system_information", func(w http.ResponseWriter, _ *http.Request) error {
		return reply(w, map[string]any{"version": smallVersion, "ready": true}, nil)
	})
	handle("POST "+small+"/authenticate", func(w http.ResponseWriter, r *http.Request) error {
		var body struct {
			Username string `json:"username"`
			Password string `json:"password"`
		}
		if err := read(r, &body); err != nil {
			return err
		}
		if !same(digestOf(body.Password), g.token) {
			return license.Refuse(license.KindPermission, "bad-password", "the password is the token of the file local-token", "the password is wrong")
		}
		return reply(w, body.Password, nil)
	})
	handle("DELETE "+small+"/logout", func(w http.ResponseWriter, _ *http.Request) error { return reply(w, true, nil) })
	return mux
}
