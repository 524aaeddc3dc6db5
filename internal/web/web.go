// Package web is the HTTP face: the REST resources under /api/v1, the machine gate that products speak with, the receivers of
// call-detail records, and the few addresses that need no key. It turns requests into calls of verbs and errors into problem
// documents, and hands every other address to the console.
//
// It holds no rule of licensing and no state; it opens no listener and knows no SQL.
//
// Invariants: every route is a row of the table in routes.go, which names who may call it; answers are types of package api,
// never those of the verbs; an error that is no refusal leaves as "internal error" with the request's id and is logged once;
// keys, receiver names and bodies are never logged; every body is bounded before it is read.
//
// docs/openapi.json and the examples in docs/protocol.md are made by the tests of this package: `go test -update` writes them.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/trust"
)

// Options are the parts of the face. Authority and Conference are needed; without Satellite one is made.
type Options struct {
	Authority  *authority.Authority
	Conference *conference.Engine
	Satellite  *satellite.Sync
	// SyncNow synchronizes an account of a satellite over the network; nil where there is no upstream.
	SyncNow   func(ctx context.Context, who access.Person, account string) (satellite.Applied, error)
	Upstream  string       // address of a satellite's authority, for people
	Console   http.Handler // everything that is not under another address; nil answers 404
	Log       *slog.Logger // nil discards
	Now       func() time.Time
	PublicURL string // how others reach this server; empty takes it from each request
	Version   string // of the program
}

// server is the face. It is safe for concurrent use.
type server struct {
	Options
	mux     *http.ServeMux
	rest    huma.API
	openAPI []byte // served as it is
	boot    string // first part of request ids
	count   atomic.Uint64

	arriving atomic.Int64 // bytes of bodies that have not come to their end
}

// New makes the handler. It starts nothing.
func New(o Options) http.Handler { return newServer(o) }

func newServer(o Options) *server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Satellite == nil && o.Authority != nil {
		o.Satellite = satellite.New(satellite.Options{Authority: o.Authority, Now: o.Now, Log: o.Log, Version: o.Version})
	}
	if o.Console == nil {
		o.Console = http.HandlerFunc(missingPage)
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	s := &server{Options: o, mux: http.NewServeMux(), boot: strings.ToLower(trust.NewID("req", o.Now())) + "-"}
	s.rest = huma.NewAPI(describe(), adapter{s})
	for _, r := range s.routes() {
		r.serve(s, r)
	}
	s.closeTrees()
	s.openAPI = document(s.rest)
	return s
}

// requestHeader carries the id of a request, the caller's or ours, in every answer.
const requestHeader = "X-Request-Id"

// requestID is the id of a request: the one that the caller sent, if it is a plain word, or a new one.
func (s *server) requestID(r *http.Request) string {
	sent := r.Header.Get(requestHeader)
	strange := func(c rune) bool {
		return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.')
	}
	if sent != "" && len(sent) <= 64 && !strings.ContainsFunc(sent, strange) {
		return sent
	}
	return s.boot + strconv.FormatUint(s.count.Add(1), 36)
}

// ServeHTTP gives the request an id, serves it, and logs one line.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestHeader, s.requestID(r))
	began := s.Now()
	a := &answer{ResponseWriter: w, request: r}
	defer func() {
		p := recover()
		if p != nil {
			s.panicked(a, r, p)
		}
		s.logRequest(a, r, began)
		if p != nil && a.cut {
			panic(http.ErrAbortHandler)
		}
	}()
	s.mux.ServeHTTP(a, r)
}

// panicked answers a request whose handler failed in a way that nobody foresaw. An answer that had begun is cut off, so that
// nobody takes a half for the whole.
func (s *server) panicked(a *answer, r *http.Request, p any) {
	a.cut = a.status != 0
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		a.cut = true
		return
	}
	s.Log.ErrorContext(r.Context(), "panic while serving a request", "route", shown(r), "request", a.Header().Get(requestHeader), "panic", p, "stack", string(debug.Stack()))
	if !a.cut {
		writeProblem(a, internalProblem(a.Header().Get(requestHeader)))
	}
}

// logRequest writes the line of a request: for people who look on, the many small ones of machines only on debug level.
func (s *server) logRequest(a *answer, r *http.Request, began time.Time) {
	level := slog.LevelInfo
	switch r.Pattern {
	case machineRoute, receiverRoute, "GET /livez", "GET /readyz":
		level = slog.LevelDebug
	}
	if !s.Log.Enabled(r.Context(), level) {
		return
	}
	s.Log.LogAttrs(r.Context(), level, "request",
		slog.String("method", r.Method), slog.String("path", shown(r)), slog.Int("status", max(a.status, http.StatusOK)),
		slog.Duration("took", s.Now().Sub(began)), slog.String("from", r.RemoteAddr), slog.String("request", a.Header().Get(requestHeader)))
}

// shown is the path of a request for the log. The name in a receiver's address is a secret.
func shown(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/cdr/") {
		return "/cdr/{receiver}"
	}
	return r.URL.Path
}

// answer remembers the status of an answer for the log, and reads what is too large to its end before it says so.
type answer struct {
	http.ResponseWriter
	request *http.Request
	status  int  // 0 while nothing is written
	cut     bool // the handler failed on its way
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
		if status == http.StatusRequestEntityTooLarge {
			a.discard()
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
