// Package console serves the pages for people: what an account has bought and uses, which license each meeting took and
// why, the products, the use per hour, and the chain of events. Pages are drawn on the server, need no script, and show
// what the verbs of packages authority and conference answer.
//
// It decides nothing: every number and every sentence comes from a verb, and whoever may not see an account gets the page
// of one that does not exist. What its forms change (reservations, satellites, readings of the directory and of call bridges, the policy
// of a bridge) they change by the same verbs as everybody.
//
// Invariants: every page but the sign-in page and the assets needs a session; every answer carries the security headers,
// errors included; a page is drawn whole before its first byte is sent; no page carries an inline style or script.
package console

import (
	"bytes"
	"context"
	"embed"
	"log/slog"
	"net/http"
	"time"

	"github.com/a-h/templ"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
)

//go:generate templ generate -log-level error

//go:embed static
var assets embed.FS

// pageRows is the length of a page of a list.
const pageRows = 50

// Options are what the console is made of. Authority and Conference are needed.
type Options struct {
	Authority  *authority.Authority
	Conference *conference.Engine
	Satellite  *satellite.Sync // nil makes one
	// SyncNow synchronizes an account of a satellite over the network; nil where there is no upstream.
	SyncNow func(ctx context.Context, who access.Person, account string) (satellite.Applied, error)
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil means slog.Default
	Version string           // of the program, shown at the foot of a page
}

type console struct {
	Options
	style string // address of the style sheet, different for every content
}

// New returns the handler of all pages and their assets. It starts nothing and is safe for concurrent use. The handler
// expects to be asked for every path that no other face serves.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Satellite == nil {
		o.Satellite = satellite.New(satellite.Options{Authority: o.Authority, Now: o.Now, Log: o.Log, Version: o.Version})
	}
	c := &console{Options: o, style: assetAddress("style.css")}
	mux := http.NewServeMux()
	for _, r := range c.routes() {
		mux.HandleFunc(r.pattern, r.serve)
	}
	return guarded(http.NewCrossOriginProtection().Handler(mux))
}

type route struct {
	pattern string
	serve   http.HandlerFunc
}

// routes are all addresses of the console. Those that do not go through page are open to everybody.
func (c *console) routes() []route {
	return []route{
		{"GET /static/{file}", serveAsset},
		{"GET /signin", c.signInPage},
		{"POST /signin", c.signIn},
		{"POST /signout", c.signOut},
		{"GET /{$}", c.page(c.front)},
		{"GET /accounts", c.page(c.accounts)},
		{"GET /accounts/{account}", c.page(c.inAccount(c.licenses))},
		{"GET /accounts/{account}/meetings", c.page(c.inAccount(c.meetings))},
		{"GET /accounts/{account}/meetings/{meeting}", c.page(c.inAccount(c.meeting))},
		{"GET /accounts/{account}/products", c.page(c.inAccount(c.products))},
		{"GET /accounts/{account}/reservations", c.page(c.inAccount(c.reservations))},
		{"POST /accounts/{account}/reservations", c.page(c.inAccount(c.reserve))},
		{"GET /accounts/{account}/reservations/{reservation}", c.page(c.inAccount(c.reservation))},
		{"GET /accounts/{account}/reservations/{reservation}/authorization", c.page(c.inAccount(c.authorization))},
		{"POST /accounts/{account}/reservations/{reservation}/{act}", c.page(c.inAccount(c.act))},
		{"POST /accounts/{account}/rehosts/{rehost}/{act}", c.page(c.inAccount(c.decideRehost))},
		{"GET /accounts/{account}/satellites", c.page(c.inAccount(c.satellites))},
		{"POST /accounts/{account}/satellites/{act}", c.page(c.inAccount(c.actOnSatellites))},
		{"GET /accounts/{account}/directory", c.page(c.inAccount(c.directory))},
		{"GET /accounts/{account}/directory/spaces", c.page(c.inAccount(c.spaces))},
		{"POST /accounts/{account}/directory/{act}", c.page(c.inAccount(c.actOnDirectory))},
		{"GET /accounts/{account}/bridges", c.page(c.inAccount(c.bridges))},
		{"GET /accounts/{account}/bridges/{bridge}", c.page(c.inAccount(c.bridge))},
		{"POST /accounts/{account}/bridges/{bridge}/{act}", c.page(c.inAccount(c.actOnBridge))},
		{"GET /accounts/{account}/usage", c.page(c.inAccount(c.usage))},
		{"GET /accounts/{account}/events", c.page(c.inAccount(c.events))},
		{"GET /", c.page(nowhere)},
	}
}

// guarded puts the security headers on every answer.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "+
			"frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// visit is one request of a person who is signed in.
type visit struct {
	*http.Request
	who     access.Person
	now     time.Time
	account authority.Account // zero on pages outside of an account
}

// sheet is a page without its frame, or, with goTo, the address of another page.
type sheet struct {
	title  string
	tab    string // of the account's navigation
	status int    // zero means 200
	body   templ.Component
	goTo   string
	// file is sent in place of a page, under fileName.
	file     []byte
	fileName string
}

// page turns a page into a handler that wants a session.
func (c *console) page(draw func(*visit) (sheet, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Request: r, now: c.Now().UTC()}
		who, err := c.Authority.Session(r.Context(), sessionOf(r))
		if e := license.AsError(err); e != nil && e.Kind == license.KindUnknown {
			http.Redirect(w, r, "/signin", http.StatusSeeOther)
			return
		}
		var s sheet
		if v.who = who; err == nil {
			s, err = draw(v)
		}
		if err != nil {
			s = c.refusal(w, r, err)
		}
		if s.goTo != "" {
			http.Redirect(w, r, s.goTo, http.StatusSeeOther)
			return
		}
		if s.file != nil {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Content-Disposition", "attachment; filename="+s.fileName)
			_, _ = w.Write(s.file) // whoever asked has gone
			return
		}
		c.send(w, v, s)
	}
}

// inAccount finds the account that the address names before it draws a page of it.
func (c *console) inAccount(draw func(*visit) (sheet, error)) func(*visit) (sheet, error) {
	return func(v *visit) (sheet, error) {
		var err error
		if v.account, err = c.Authority.Account(v.Context(), v.who, v.PathValue("account")); err != nil {
			return sheet{}, err
		}
		return draw(v)
	}
}

func (c *console) send(w http.ResponseWriter, v *visit, s sheet) {
	var text bytes.Buffer
	f := frame{visit: v, sheet: s, style: c.style, version: c.Version}
	if err := f.draw().Render(v.Context(), &text); err != nil {
		c.Log.ErrorContext(v.Context(), "a page cannot be drawn", "path", v.URL.Path, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(max(s.status, http.StatusOK))
	_, _ = text.WriteTo(w) // whoever asked has gone
}
