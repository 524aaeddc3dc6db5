package console

import (
	"net/http"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// Names of the session's cookie. Browsers accept the first only from HTTPS and never let another host set it; the second
// is for plain HTTP, which the server speaks on loopback only.
const (
	secureCookie = "__Host-tally"
	plainCookie  = "tally"
)

// maxForm bounds the body of a form.
const maxForm = 4 << 10

// overTLS says whether the browser came by HTTPS, here or at a proxy in front. Who claims it falsely gets a cookie that
// their browser does not send.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

func sessionOf(r *http.Request) string {
	name := plainCookie
	if overTLS(r) {
		name = secureCookie
	}
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// setSession gives the browser a session for a time; a negative time takes it away.
func setSession(w http.ResponseWriter, r *http.Request, session string, life time.Duration) {
	cookie := &http.Cookie{Name: plainCookie, Value: session, Path: "/", MaxAge: int(life / time.Second), HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if overTLS(r) {
		cookie.Name, cookie.Secure = secureCookie, true
	}
	http.SetCookie(w, cookie)
}

// signInPage says how to sign in or, with a code, asks for one press of a button: following the link alone spends nothing,
// so that a program that looks at links for a preview does not use it up.
func (c *console) signInPage(w http.ResponseWriter, r *http.Request) {
	c.sendSignIn(w, r, sheet{body: signInBody(r.URL.Query().Get("code"), nil)})
}

// signIn spends the code of the form.
func (c *console) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	session, life, err := c.Authority.SignIn(r.Context(), r.PostFormValue("code"))
	if e := license.AsError(err); e != nil && e.Kind == license.KindUnknown {
		c.sendSignIn(w, r, sheet{status: http.StatusUnauthorized, body: signInBody("", e)})
		return
	}
	if err != nil {
		c.sendSignIn(w, r, c.refusal(w, r, err))
		return
	}
	setSession(w, r, string(session), life)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (c *console) sendSignIn(w http.ResponseWriter, r *http.Request, s sheet) {
	if s.title == "" {
		s.title = "Sign in"
	}
	c.send(w, &visit{Request: r, now: c.Now().UTC()}, s)
}

// signOut ends the session, in the database too.
func (c *console) signOut(w http.ResponseWriter, r *http.Request) {
	who, err := c.Authority.Session(r.Context(), sessionOf(r))
	if err == nil {
		err = c.Authority.SignOut(r.Context(), who)
	}
	if e := license.AsError(err); err != nil && (e == nil || e.Kind != license.KindUnknown) {
		c.sendSignIn(w, r, c.refusal(w, r, err))
		return
	}
	setSession(w, r, "", -time.Second)
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
}
