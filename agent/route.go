package agent

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// RouteKind says how the authority is reached.
type RouteKind string

// The kinds of a Route.
const (
	// Direct is the authority's own address.
	Direct RouteKind = "direct"
	// Gateway is the address of a satellite, or of anything that forwards to the authority.
	Gateway RouteKind = "gateway"
	// Proxy is the authority's own address, reached through an HTTP or HTTPS proxy.
	Proxy RouteKind = "proxy"
)

// proxyPort is the port of a proxy whose address names none.
const proxyPort = "3128"

// maxPassword bounds the password of a proxy.
const maxPassword = 1024

// Route is the way to the authority.
type Route struct {
	Kind RouteKind
	// Address is that of the authority, or of the gateway, such as https://licenses.example:8443. Plain http is for
	// addresses of this machine only.
	Address string
	// Proxy is the proxy's address, such as proxy.example, proxy.example:8080 or https://proxy.example:3129. Port 3128 is
	// taken when none is given. User and Password sign in there (basic, RFC 7617). The password is kept in the state, which
	// only its owner can read, and is never shown or logged.
	Proxy    string
	User     string
	Password string
}

// RouteStatus is a Route as it is shown.
type RouteStatus struct {
	Kind    RouteKind `json:"type"`
	Address string    `json:"url"`
	Proxy   string    `json:"proxy,omitempty"`
	User    string    `json:"user,omitempty"`
	// HasPassword says that a password is kept.
	HasPassword bool `json:"hasPassword,omitempty"`
}

func (r Route) show() RouteStatus {
	return RouteStatus{Kind: r.Kind, Address: r.Address, Proxy: r.Proxy, User: r.User, HasPassword: r.Password != ""}
}

// String keeps the password out of whatever prints a route.
func (r Route) String() string {
	words := []string{string(r.Kind), r.Address}
	if r.Proxy != "" {
		words = append(words, "through", r.Proxy)
	}
	return strings.Join(words, " ")
}

// route is a Route as it is kept.
type route struct {
	Kind     RouteKind `json:"kind"`
	Address  string    `json:"address"`
	Proxy    string    `json:"proxy,omitempty"`
	User     string    `json:"user,omitempty"`
	Password string    `json:"password,omitempty"`
}

// proxy is the address of the proxy with its user; nil for a route without one.
func (r Route) proxy() *url.URL {
	if r.Kind != Proxy {
		return nil
	}
	u, err := url.Parse(r.Proxy)
	if err != nil {
		return nil // checked when it was set
	}
	if r.User != "" {
		u.User = url.UserPassword(r.User, r.Password)
	}
	return u
}

// SetTransport sets the authority's own address, such as https://licenses.example:8443. Plain http is refused unless the host
// is a loopback address.
func (a *Agent) SetTransport(ctx context.Context, address string) error {
	return a.SetRoute(ctx, Route{Kind: Direct, Address: address})
}

// SetRoute sets the way to the authority, also while the product is registered. What failed on the old way is tried at once
// on the new one.
func (a *Agent) SetRoute(ctx context.Context, r Route) error { return a.setRoute(ctx, r, false) }

// SetRouteKeepingPassword is SetRoute for a face that cannot show the password: r has none, and the one that is kept stays as
// long as the proxy and the user do.
func (a *Agent) SetRouteKeepingPassword(ctx context.Context, r Route) error {
	return a.setRoute(ctx, r, true)
}

func (a *Agent) setRoute(ctx context.Context, r Route, keepPassword bool) error {
	var err error
	if r.Address, err = checkAddress(r.Address); err != nil {
		return err
	}
	switch r.Kind {
	case Direct, Gateway:
		if r.Proxy != "" || r.User != "" || r.Password != "" {
			return license.Refuse(license.KindInvalid, "bad-route", "choose proxy, or leave the proxy out", "a %s route has no proxy", r.Kind)
		}
	case Proxy:
		if r.Proxy, err = checkProxy(r.Proxy); err != nil {
			return err
		}
		if len(r.User) > maxPassword || len(r.Password) > maxPassword || strings.ContainsAny(r.User, ":\r\n") || strings.ContainsAny(r.Password, "\r\n") {
			return license.Refuse(license.KindInvalid, "bad-proxy-user", "a user has no colon, a password is one line; both are short",
				"the user or the password of the proxy cannot be used")
		}
		if r.Password != "" && r.User == "" {
			return license.Refuse(license.KindInvalid, "bad-proxy-user", "name the user too", "there is a password for the proxy and no user")
		}
	default:
		return license.Refuse(license.KindInvalid, "bad-route", "the routes are direct, gateway and proxy", "there is no route %.100q", r.Kind)
	}
	return a.update(ctx, func(st *state, now time.Time) error {
		if err := st.alone(); err != nil {
			return err
		}
		if keepPassword && r.Kind == Proxy && r.User != "" && st.Route.Proxy == r.Proxy && st.Route.User == r.User {
			r.Password = st.Route.Password
		}
		if st.Route == route(r) {
			return nil
		}
		st.Route = route(r)
		for _, s := range []*schedule{&st.Authorization, &st.Renewal} {
			if s.Failures > 0 {
				s.Next, s.Wake = now, now
			}
		}
		if st.Asked != nil {
			st.Asked.Tries.Wake = now
		}
		return nil
	})
}

// checkAddress reads the address of an authority or a gateway.
func checkAddress(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && u.Scheme != "http" {
		return "", license.Refuse(license.KindInvalid, "bad-address", "write the address like https://licenses.example:8443",
			"%.200q is no address of an authority", withoutUser(address))
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return "", license.Refuse(license.KindInvalid, "plaintext-address", "use https://, or an address of this machine such as http://127.0.0.1:8080",
			"plain http to the host %q is refused: anybody on the way could read the registration token", u.Hostname())
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// checkProxy reads the address of a proxy: a host, with a port or without, with http:// or https:// or without.
func checkProxy(address string) (string, error) {
	text := address
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && u.Scheme != "http" {
		return "", license.Refuse(license.KindInvalid, "bad-proxy", "write it like proxy.example:3128; the user and the password are given beside it",
			"%.200q is no address of a proxy", withoutUser(address))
	}
	u.Host, u.Path = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), proxyPort)), ""
	return u.String(), nil
}

// withoutUser keeps a password that was typed into an address out of messages.
func withoutUser(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return "…" + address[i:]
	}
	return address
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
