package local

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

const (
	// linkLife is how long a one-time link to the page works.
	linkLife = 5 * time.Minute
	// sessionLife is how long a session of the page lasts without being used.
	sessionLife = 8 * time.Hour
	// maxSessions and maxLinks bound what is kept; the oldest goes first.
	maxSessions = 32
	maxLinks    = 32
)

// digest is a secret as it is kept.
type digest [sha256.Size]byte

func digestOf(secret string) digest { return sha256.Sum256([]byte(secret)) }

// newSecret is 256 bits in hex.
func newSecret() string { return hex.EncodeToString(trust.Random(32)) }

// guard decides who may call over a loopback address. Safe for concurrent use.
type guard struct {
	now   func() time.Time
	token digest
	hosts []string // that a request may name
	// cookie is the name of the session cookie. It holds the port, because cookies do not: two products on one host would
	// overwrite each other's.
	cookie string

	mu       sync.Mutex // guards what follows
	links    []pass
	sessions []pass
}

// pass is a link or a session.
type pass struct {
	secret digest
	until  time.Time
}

// newGuard guards the listener at address, which is a loopback address with its port.
func newGuard(address net.Addr, token string, now func() time.Time) *guard {
	host, port, _ := net.SplitHostPort(address.String())
	return &guard{
		now: now, token: digestOf(token), cookie: "tally-" + port,
		hosts: []string{net.JoinHostPort(host, port), "localhost:" + port},
	}
}

// protect lets through what the guard allows. Public addresses are those of the page itself, which holds no secret.
func (g *guard) protect(next http.Handler, public func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.place(r); err != nil {
			writeProblem(w, err)
			return
		}
		if !public(r) && !g.admits(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="tally-agent"`)
			writeProblem(w, license.Refuse(license.KindUnknown, "no-token", "send the token of the file local-token in the state folder as Authorization: Bearer, or open the page with the link that `tally-agent page` prints",
				"this is for callers who have the token of this host"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// place refuses what does not come from this host's own programs or from the page itself.
func (g *guard) place(r *http.Request) error {
	if !slices.Contains(g.hosts, strings.ToLower(r.Host)) {
		return license.Refuse(license.KindPermission, "foreign-host", "call it by its loopback address, such as http://"+g.hosts[0],
			"the request is for the host %.100q", r.Host)
	}
	foreign := license.Refuse(license.KindPermission, "foreign-origin", "open the page with the link that `tally-agent page` prints",
		"the request comes from a web page of somebody else")
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+strings.ToLower(r.Host) {
		return foreign
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin":
	case "none": // typed, or a link outside the browser
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return foreign
		}
	default:
		// A link on another page may lead here, to the page and no further: it is public and no request of its own.
		if r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.URL.Path != "/" {
			return foreign
		}
	}
	return nil
}

// admits says whether the caller has the token or a session. With a session, what changes anything must say that it comes
// from the page.
func (g *guard) admits(r *http.Request) bool {
	if token, ok := bearer(r); ok {
		return same(digestOf(token), g.token)
	}
	c, err := r.Cookie(g.cookie)
	if err != nil {
		return false
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !reads && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") != "same-origin" {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i := find(g.sessions, c.Value, g.now())
	if i < 0 {
		return false
	}
	g.sessions[i].until = g.now().Add(sessionLife)
	return true
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, ok && strings.EqualFold(scheme, "Bearer")
}

func same(x, y digest) bool { return subtle.ConstantTimeCompare(x[:], y[:]) == 1 }

func find(passes []pass, secret string, now time.Time) int {
	d := digestOf(secret)
	return slices.IndexFunc(passes, func(p pass) bool { return same(p.secret, d) && now.Before(p.until) })
}

// newLink makes the code of a one-time link.
func (g *guard) newLink() string {
	code := newSecret()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.links = keep(g.links, pass{digestOf(code), g.now().Add(linkLife)}, maxLinks, g.now())
	return code
}

// openSession spends a code and sets the cookie of a new session.
func (g *guard) openSession(w http.ResponseWriter, code string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := find(g.links, code, g.now())
	if i < 0 {
		return license.Refuse(license.KindUnknown, "link-spent", "get a new one: tally-agent page", "this link was used or is older than %s", linkLife)
	}
	g.links = slices.Delete(g.links, i, i+1)
	secret := newSecret()
	g.sessions = keep(g.sessions, pass{digestOf(secret), g.now().Add(sessionLife)}, maxSessions, g.now())
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // loopback has no TLS
		Name: g.cookie, Value: secret, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	return nil
}

// closeSession ends the session of the caller.
func (g *guard) closeSession(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(g.cookie); err == nil {
		g.mu.Lock()
		g.sessions = slices.DeleteFunc(g.sessions, func(p pass) bool { return same(p.secret, digestOf(c.Value)) })
		g.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode}) //nolint:gosec // loopback has no TLS
}

func keep(passes []pass, p pass, most int, now time.Time) []pass {
	passes = append(slices.DeleteFunc(passes, func(p pass) bool { return !now.Before(p.until) }), p)
	return passes[max(0, len(passes)-most):]
}
