package callbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// The client's patience and bounds.
const (
	requestTime = 20 * time.Second // for one document
	attempts    = 4                // of one request that is answered "busy" or not at all
	firstPause  = 500 * time.Millisecond
	maxPause    = 10 * time.Second
	pageSize    = 100    // asked for; servers give fewer
	maxPages    = 5_000  // of one list
	maxItems    = 50_000 // of one list
	maxReads    = 3      // of a list that changes while it is read
)

// Config says where an API is and how to sign in.
type Config struct {
	URL      string // https://host[:port]; plain http to a loopback address only
	User     string
	Password func() string // asked for each request, so that no struct holds it
	TLS      *tls.Config   // how the server is known; nil means the roots of the system
	// Pause waits between attempts and returns false when ctx ended; nil waits on a timer.
	Pause func(ctx context.Context, d time.Duration) bool
}

// Client reads the API of one call bridge. It is safe for concurrent use. Its errors are license.Error: of kind unavailable
// when there is no usable answer, refused when the sign-in is refused, not found for a document that is not there.
type Client struct {
	address  string
	user     string
	password func() string
	http     *http.Client
	pause    func(ctx context.Context, d time.Duration) bool
}

// CheckURL says whether an address is one that a client may speak to, and returns it without a path.
func CheckURL(address string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	wrong := func(why string) error {
		return license.Refuse(license.KindInvalid, "bad-bridge-url", "write it like https://bridge.acme.example:445, the address of the call bridge's web administration", "the address of the API is refused: %s", why)
	}
	if err != nil || u.Hostname() == "" || len(address) > 512 {
		return "", wrong("it cannot be read")
	}
	path := strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/api/v1")
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || path != "":
		return "", wrong("it holds more than scheme, host and port")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", wrong("plain http would show the password to anybody on the way")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", wrong("its scheme is not https")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// New makes a client. It calls nobody yet.
func New(c Config) (*Client, error) {
	address, err := CheckURL(c.URL)
	if err != nil {
		return nil, err
	}
	if c.User == "" || strings.Contains(c.User, ":") || c.Password == nil {
		return nil, license.Refuse(license.KindInvalid, "bad-bridge-user", "use the name of an API user of the call bridge, and its password", "the sign-in of the API has no usable name or no password")
	}
	if c.Pause == nil {
		c.Pause = pause
	}
	return &Client{address: address + "/api/v1", user: c.User, password: c.Password, pause: c.Pause, http: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: c.TLS, MaxIdleConnsPerHost: 2, MaxResponseHeaderBytes: 64 << 10,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: requestTime, IdleConnTimeout: 30 * time.Second,
		},
		// The password goes to the named server and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close gives back the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Get reads one document into v. A server that is busy (503) or away is asked again, later each time.
func (c *Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	wait := firstPause
	for n := 1; ; n++ {
		after, err := c.once(ctx, path, query, v)
		if err == nil || after < 0 || n == attempts || ctx.Err() != nil {
			return err
		}
		if !c.pause(ctx, min(max(wait, after), maxPause)) {
			return err
		}
		wait *= 2
	}
}

// never says that another attempt would not help.
const never = -1

// once asks once. After says how long to wait before the next attempt at least, or never.
func (c *Client) once(ctx context.Context, path string, query url.Values, v any) (after time.Duration, err error) {
	ctx, end := context.WithTimeout(ctx, requestTime)
	defer end()
	address := c.address + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return never, fmt.Errorf("ask for %s: %w", path, err)
	}
	req.SetBasicAuth(c.user, c.password())
	req.Header.Set("Accept", "text/xml, application/xml")
	resp, err := c.http.Do(req)
	if err != nil {
		return c.away(path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxDocument+1))
	switch {
	case err != nil:
		return 0, unusable(path, "it broke off", err)
	case resp.StatusCode == http.StatusOK:
		if err := Parse(body, v); err != nil {
			return never, unusable(path, "it is not the document that was expected", err)
		}
		return 0, nil
	}
	return c.refused(path, resp, body)
}

// away words why there was no answer.
func (c *Client) away(path string, err error) (time.Duration, error) {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // it names the address, as we do
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return never, &license.Error{Kind: license.KindUnavailable, Code: "bridge-certificate",
			Message: fmt.Sprintf("the certificate of the call bridge at %s is not trusted: %s", c.address, briefly(e.Err)),
			Hint:    "give the issuing certificate with --ca, or the certificate's own SHA-256 fingerprint with --fingerprint", Err: e}
	}
	return 0, &license.Error{Kind: license.KindUnavailable, Code: "bridge-away",
		Message: fmt.Sprintf("the call bridge does not answer at %s%s: %s", c.address, path, briefly(err)),
		Hint:    "check that its web administration listens there and that this host may reach it", Err: err}
}

// briefly says in a few words what went wrong on the network.
func briefly(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return fmt.Sprintf("the host %q is not known", e.Name)
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took too long"
	}
	return strings.ToValidUTF8(fmt.Sprintf("%.200s", err), "?")
}

func unusable(path, why string, err error) error {
	return &license.Error{Kind: license.KindUnavailable, Code: "bridge-answer", Message: fmt.Sprintf("the call bridge's answer to %s is not usable: %s", path, why),
		Hint: "check that the address is that of a call bridge's API", Err: err}
}

// refused words an answer that is not 200.
func (c *Client) refused(path string, resp *http.Response, body []byte) (time.Duration, error) {
	status := resp.StatusCode
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return never, license.Refuse(license.KindRefused, "bridge-sign-in", "check name and password of the API user, and that its role is api",
			"the call bridge at %s refuses the sign-in of %.100q", c.address, c.user)
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil || seconds < 0 {
			seconds = 0
		}
		return time.Duration(min(seconds, 3600)) * time.Second, license.Refuse(license.KindUnavailable, "bridge-busy", "it is asked again at the next turn", "the call bridge at %s is busy", c.address)
	case status/100 == 3:
		return never, license.Refuse(license.KindUnavailable, "bridge-answer", "give the address of the web administration itself; nobody is followed with a password",
			"the call bridge at %s leads elsewhere (%d)", c.address, status)
	case status == http.StatusNotFound:
		return never, license.Refuse(license.KindNotFound, "bridge-has-not", "older versions lack some documents", "the call bridge at %s has no %s", c.address, path)
	}
	reason := ""
	var f Failure
	if Parse(body, &f) == nil && len(f.Reasons) > 0 {
		reason = fmt.Sprintf(" (%.60s)", f.Reasons[0].XMLName.Local)
		if strings.HasSuffix(f.Reasons[0].XMLName.Local, "DoesNotExist") {
			return never, license.Refuse(license.KindNotFound, "bridge-has-not", "it may be gone since it was listed", "the call bridge at %s has no %s%s", c.address, path, reason)
		}
	}
	again := time.Duration(never)
	if status >= http.StatusInternalServerError {
		again = 0
	}
	return again, license.Refuse(license.KindUnavailable, "bridge-answer", "look at the call bridge's own log", "the call bridge at %s answered %d to %s%s", c.address, status, path, reason)
}
