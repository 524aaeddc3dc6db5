package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// exchangeLimit bounds one exchange over HTTP, from the look-up of the name to the last byte.
const exchangeLimit = 30 * time.Second

// Unreachable is the error of an exchange that brought no answer because the authority is away or too busy. Nothing is
// known about the request; trying again later may help.
type Unreachable struct {
	// RetryAfter is how long the authority asked to wait; zero when it did not.
	RetryAfter time.Duration
	// Err is the cause.
	Err error
}

// Error returns the cause in words.
func (u *Unreachable) Error() string { return "the authority cannot be reached: " + u.Err.Error() }

// Unwrap returns the cause.
func (u *Unreachable) Unwrap() error { return u.Err }

// HTTPTransport carries envelopes by POST to address/machine/v1/{verb}. A server with https must present a chain to the
// root certificate with this SHA-256 fingerprint, or one that the system trusts; what it then says must be signed by the
// authority all the same. now is the clock that certificates of others are checked by. Proxies are not used and redirects
// not followed.
//
// Lost connections and the status numbers 429, 502, 503 and 504 are *Unreachable; a problem document (RFC 9457) is an
// *Error.
func HTTPTransport(address string, root [32]byte, now func() time.Time) Transport {
	return routeTransport(Route{Kind: Direct, Address: address}, root, now)
}

// routeTransport is HTTPTransport by a route, through a proxy too. The environment names no proxy for it.
func routeTransport(r Route, root [32]byte, now func() time.Time) Transport {
	over := &http.Transport{
		TLSClientConfig: trust.PinnedTLS(root, now),
		// Hours pass between exchanges; a connection is not kept for them.
		DisableKeepAlives: true,
	}
	if proxy := r.proxy(); proxy != nil {
		over.Proxy = http.ProxyURL(proxy)
	}
	return &httpTransport{
		address: strings.TrimRight(r.Address, "/"),
		route:   r,
		now:     now,
		client: &http.Client{
			Timeout: exchangeLimit, Transport: over,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

type httpTransport struct {
	address string
	route   Route
	now     func() time.Time
	client  *http.Client
}

// Exchange implements Transport.
func (t *httpTransport) Exchange(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.address+"/machine/v1/"+verb, bytes.NewReader(envelope))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	req.Header.Set("Content-Type", "application/jose")
	req.Header.Set("User-Agent", "tally-agent/"+Version)
	resp, err := t.client.Do(req)
	switch {
	case errors.Is(err, trust.ErrChain):
		return nil, &Error{
			Kind: license.KindRefused, Code: "server-certificate", Message: "the server at " + t.address + " is not of the authority that this product trusts",
			Hint: "check the address; a server behind a proxy that opens TLS cannot be trusted", Err: err,
		}
	case err != nil && t.route.Proxy != "" && strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)):
		return nil, t.proxyRefused() // of a tunnel, where net/http gives the words of the answer only
	case err != nil:
		return nil, &Unreachable{Err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxMessage+1))
	if err != nil {
		return nil, &Unreachable{Err: err}
	}
	if len(body) > wire.MaxMessage {
		return nil, fmt.Errorf("%s: the answer is longer than %d bytes", verb, wire.MaxMessage)
	}
	return t.judge(resp, body)
}

// judge tells an answer, which may be a signed No under any status number, from everything else.
func (t *httpTransport) judge(resp *http.Response, body []byte) ([]byte, error) {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode == http.StatusOK || kind == "application/jose" {
		return body, nil
	}
	if resp.StatusCode == http.StatusProxyAuthRequired {
		return nil, t.proxyRefused()
	}
	said := fmt.Errorf("the server at %s answered %s", t.address, resp.Status)
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nil, &Unreachable{RetryAfter: retryAfter(resp.Header.Get("Retry-After"), t.now()), Err: said}
	}
	var p struct{ Code, Detail, Hint string }
	if kind == "application/problem+json" && json.Unmarshal(body, &p) == nil && p.Code != "" && p.Detail != "" {
		return nil, &Error{Kind: kindOf(resp.StatusCode), Code: oneLine(p.Code), Message: oneLine(p.Detail), Hint: oneLine(p.Hint), Err: said}
	}
	return nil, said
}

// proxyRefused is the error of a proxy that wants another user or password. It may be mended there as well as here, so it is
// tried again later like a lost connection; the *Error in it says what to do here.
func (t *httpTransport) proxyRefused() error {
	said := "wants a user and a password"
	if t.route.User != "" {
		said = fmt.Sprintf("does not take the user %q with this password", t.route.User)
	}
	return &Unreachable{Err: license.Refuse(license.KindRefused, "proxy-sign-in",
		"set the right ones: tally-agent transport proxy URL --user U --password-file F --authority URL", "the proxy %s %s", t.route.Proxy, said)}
}

func kindOf(status int) license.Kind {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		return license.KindInvalid
	case http.StatusRequestEntityTooLarge:
		return license.KindTooLarge
	case http.StatusNotFound:
		return license.KindNotFound
	case http.StatusConflict:
		return license.KindConflict
	case http.StatusUnauthorized:
		return license.KindUnknown
	case http.StatusForbidden:
		return license.KindPermission
	}
	return license.KindRefused
}

// retryAfter reads the header in both its forms (RFC 9110, section 10.2.3) and takes at most a day of it.
func retryAfter(header string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), 24*time.Hour)
}
