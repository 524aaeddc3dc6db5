package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Config says where the server is and how to know it. URL and Key are needed.
type Config struct {
	URL string // such as https://licenses.example:8443; plain http only to a loopback address
	Key string // as `tally bootstrap` printed it
	// Root is how the server is known: its root certificate as PEM, or that certificate's SHA-256 fingerprint in
	// hexadecimal. Empty means the roots of the system.
	Root string
	// HTTP replaces the client's own transport, for tests; Root is then not looked at.
	HTTP *http.Client
}

// Client calls the REST resources of one server. It is safe for concurrent use. Every method that fails returns *Problem
// for a refusal and *Unreachable when there was no answer; other errors are the caller's, such as an ended context.
type Client struct {
	address string
	key     string
	http    *http.Client
}

// New makes a client. It calls nobody yet.
func New(c Config) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%.200q is no address of a server: write it like https://licenses.example:8443", c.URL)
	}
	if u.Scheme == "http" && c.HTTP == nil && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("plain http to %q is refused, as anybody on the way could read the key: use https, or an address of this machine", u.Hostname())
	}
	if strings.ContainsFunc(c.Key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, errors.New("the API key has white space or control characters in it")
	}
	client := c.HTTP
	if client == nil {
		settings, err := clientTLS(c.Root, u.Hostname())
		if err != nil {
			return nil, err
		}
		client = &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: settings, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8,
				DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
				TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 90 * time.Second,
			},
			// The key goes to the named server and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &Client{address: u.String(), key: c.Key, http: client}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Collect gathers all items of a sequence, up to its first error.
func Collect[T any](items iter.Seq2[T, error]) ([]T, error) {
	all := []T{}
	for item, err := range items {
		if err != nil {
			return all, err
		}
		all = append(all, item)
	}
	return all, nil
}

// pageSize is what the client asks for at once.
const pageSize = "500"

// pages follows a list to its end. It can be ranged over again, which asks again.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		asked := url.Values{"limit": {pageSize}}
		for name, values := range query {
			asked[name] = values
		}
		for {
			page, err := get[List[T]](ctx, c, path, asked)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			asked.Set("cursor", page.Next)
		}
	}
}

// query builds query parameters from pairs of name and value, leaving empty values out.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// instant writes a time for a query; the zero time is left open.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// at joins the segments of a path below /api/v1. Names may hold anything.
func at(segments ...string) string {
	var b strings.Builder
	b.WriteString("/api/v1")
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return send[T](ctx, c, http.MethodGet, path, query, "", nil)
}

// write sends a document and reads the answer.
func write[T any](ctx context.Context, c *Client, method, path string, document any) (T, error) {
	body, err := json.Marshal(document)
	if err != nil {
		var none T
		return none, fmt.Errorf("encode request: %w", err)
	}
	return send[T](ctx, c, method, path, nil, "application/json", body)
}

// order sends a request that has neither a document nor an answer.
func order(ctx context.Context, c *Client, method, path string) error {
	_, err := send[struct{}](ctx, c, method, path, nil, "", nil)
	return err
}

func send[T any](ctx context.Context, c *Client, method, path string, query url.Values, contentType string, body []byte) (T, error) {
	var out T
	resp, err := c.do(ctx, method, path, query, contentType, body)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return out, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, c.unreachable(ctx, fmt.Errorf("read the answer to %s %s: %w", method, path, err))
	}
	return out, nil
}

// do sends one request; what it returns is an answer of success, whose body the caller closes. A writing request has an
// Idempotency-Key, so that net/http may send it again when a kept connection turns out to be dead.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, contentType string, body []byte) (*http.Response, error) {
	address := c.address + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Accept", "application/json")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if method != http.MethodGet {
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(ctx, resp)
}

// unreachable tells the end of the caller's own context from a server that is away.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // it names the address, as we do
	}
	return &Unreachable{URL: c.address, Err: err}
}

const maxProblem = 64 << 10

func (c *Client) refusal(ctx context.Context, resp *http.Response) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	p := &Problem{Status: resp.StatusCode}
	if kind == "application/problem+json" && json.NewDecoder(io.LimitReader(resp.Body, maxProblem)).Decode(p) == nil && p.Code != "" {
		return p
	}
	return c.unreachable(ctx, fmt.Errorf("something else than a Tallystick server answered %s", resp.Status))
}
