package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/internal/license"
)

const (
	pageSize   = 500
	maxEntries = 200_000
	maxAnswer  = 256 << 20 // bytes that a server may send for one search
	dialFor    = 10 * time.Second
	pageFor    = time.Minute     // for one page, or to bind
	searchFor  = 3 * time.Minute // for an answer without pages
	maxFilter  = 4096
)

// Server is a directory server and how to sign in. Without BindDN it is asked as nobody in particular.
type Server struct {
	URL      string // ldap:// or ldaps://, HOST[:PORT]
	StartTLS bool   // encrypt an ldap:// connection before anything is said
	TLS      *tls.Config
	BindDN   string
	Password func() string // told to the server only
	// Plaintext lets a password go over a connection that is not encrypted, to another machine.
	Plaintext bool
}

// Search is what to ask a server.
type Search struct {
	BaseDN     string
	Filter     string // empty for (objectClass=*)
	Attributes []string
	NoPages    bool // for servers that do not know paged results
	Most       int  // entries, to look at some; 0 for all
}

// Check refuses a server that cannot be asked, or should not be.
func (s Server) Check() error {
	host, _, err := s.address()
	if err != nil {
		return err
	}
	encrypted := s.StartTLS || strings.HasPrefix(strings.ToLower(s.URL), "ldaps:")
	if s.BindDN != "" && !encrypted && !s.Plaintext && !loopback(host) {
		return license.Refuse(license.KindRefused, "ldap-plaintext", "use ldaps:// or --start-tls; --plaintext-bind is for those who trust every cable on the way",
			"the password would go to %s for everybody to read", host)
	}
	return nil
}

// address is the host and what to dial.
func (s Server) address() (host, dial string, err error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Scheme == "ldaps" && s.StartTLS {
		return "", "", license.Refuse(license.KindInvalid, "bad-ldap-url", "write ldaps://HOST[:PORT], or ldap://HOST[:PORT] with --start-tls",
			"%.200q is no address of a directory server", s.URL)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	return u.Hostname(), net.JoinHostPort(u.Hostname(), port), nil
}

// Host is the name of the server, for the check of its certificate.
func (s Server) Host() string {
	host, _, _ := s.address()
	return host
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Check refuses a search that no server would understand.
func (q Search) Check() error {
	if _, err := ldap.ParseDN(q.BaseDN); err != nil || len(q.BaseDN) > maxFilter {
		return license.Refuse(license.KindInvalid, "bad-base-dn", "write it like ou=people,dc=acme,dc=example", "%.200q is no distinguished name", q.BaseDN)
	}
	if _, err := ldap.CompileFilter(q.filter()); err != nil || len(q.Filter) > maxFilter {
		return license.Refuse(license.KindInvalid, "bad-filter", "write it like (&(objectClass=person)(mail=*)), with ( ) * \\ in values as \\28 \\29 \\2a \\5c",
			"%.200q is no filter of a directory server", q.Filter)
	}
	return nil
}

func (q Search) filter() string {
	if q.Filter == "" {
		return "(objectClass=*)"
	}
	return q.Filter
}

// Answer is all that a server answered.
type Answer struct {
	Entries   []Entry
	Referrals int  // to other servers, which are not followed
	More      bool // there is more than the Most that was asked for
}

// Ask connects, signs in and searches the whole tree below the base. An answer that did not come to its end is an error, so that
// a shorter list is never taken for the whole. Referrals are not followed. Errors: a license.Error of kind unavailable, refused
// or invalid, with the server's own words; the context's.
func (s Server) Ask(ctx context.Context, q Search) (Answer, error) {
	if err := errors.Join(s.Check(), q.Check()); err != nil {
		return Answer{}, err
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return Answer{}, reword(ctx, s, "connect", err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	if err := s.bind(conn); err != nil {
		return Answer{}, reword(ctx, s, "sign in", err)
	}
	answer, err := q.run(conn)
	if err != nil {
		return Answer{}, reword(ctx, s, "search", err)
	}
	return answer, nil
}

// connect dials and encrypts.
func (s Server) connect(ctx context.Context) (*ldap.Conn, error) {
	_, address, err := s.address()
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithTimeout(ctx, dialFor)
	defer end()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	var line net.Conn = &boundedConn{Conn: raw, left: maxAnswer}
	secure := strings.HasPrefix(strings.ToLower(s.URL), "ldaps:")
	if secure {
		outer := tls.Client(line, s.TLS)
		if err := outer.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, &tlsError{err}
		}
		line = outer
	}
	conn := ldap.NewConn(line, secure)
	conn.SetTimeout(pageFor)
	conn.Start()
	if s.StartTLS {
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		if err := conn.StartTLS(s.TLS); err != nil {
			_ = conn.Close()
			return nil, &tlsError{err}
		}
	}
	return conn, nil
}

// tlsError is a failed encryption.
type tlsError struct{ error }

// Unwrap returns the cause.
func (e *tlsError) Unwrap() error { return e.error }

func (s Server) bind(conn *ldap.Conn) error {
	if s.BindDN == "" {
		return nil
	}
	password := ""
	if s.Password != nil {
		password = s.Password()
	}
	if password == "" { // a server would take it for nobody in particular, and answer less
		return ldap.NewError(ldap.LDAPResultInvalidCredentials, errors.New("there is no password"))
	}
	return conn.Bind(s.BindDN, password)
}

// run reads the whole answer.
func (q Search) run(conn *ldap.Conn) (Answer, error) {
	var out Answer
	var paging *ldap.ControlPaging
	if q.NoPages {
		conn.SetTimeout(searchFor)
	} else {
		size := uint32(pageSize)
		if q.Most > 0 {
			size = uint32(min(q.Most+1, pageSize))
		}
		paging = ldap.NewControlPaging(size)
	}
	for {
		req := ldap.NewSearchRequest(q.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, q.filter(), q.Attributes, nil)
		if paging != nil {
			req.Controls = []ldap.Control{paging}
		}
		if q.NoPages && q.Most > 0 {
			req.SizeLimit = q.Most + 1
		}
		page, err := conn.Search(req)
		if page != nil {
			out.Referrals += len(page.Referrals)
			for _, e := range page.Entries {
				out.Entries = append(out.Entries, entryOf(e))
			}
		}
		if q.Most > 0 && len(out.Entries) > q.Most {
			out.Entries, out.More = out.Entries[:q.Most], true
			return out, nil
		}
		if err != nil {
			return Answer{}, &brokenOff{len(out.Entries), err}
		}
		if len(out.Entries) > maxEntries {
			return Answer{}, &brokenOff{len(out.Entries), errTooMany}
		}
		next, _ := ldap.FindControl(page.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if paging == nil || next == nil || len(next.Cookie) == 0 {
			return out, nil
		}
		if len(page.Entries) == 0 && slices.Equal(next.Cookie, paging.Cookie) {
			return Answer{}, &brokenOff{len(out.Entries), errors.New("the server sends the same page again")}
		}
		paging.SetCookie(next.Cookie)
	}
}

func entryOf(e *ldap.Entry) Entry {
	out := Entry{DN: e.DN, Attributes: make(map[string][][]byte, len(e.Attributes))}
	for _, a := range e.Attributes {
		if len(a.ByteValues) > 0 {
			out.Attributes[strings.ToLower(a.Name)] = a.ByteValues[:1]
		}
	}
	return out
}

// boundedConn ends a connection on which more comes than anybody needs.
type boundedConn struct {
	net.Conn
	left int64 // used by one reader at a time
}

// Read implements net.Conn.
func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMany
	}
	n, err := c.Conn.Read(b)
	c.left -= int64(n)
	return n, err
}

var errTooMany = fmt.Errorf("more than %d entries or %d MiB", maxEntries, maxAnswer>>20)

// brokenOff is a search that did not come to its end.
type brokenOff struct {
	entries int
	err     error
}

// Error implements error.
func (e *brokenOff) Error() string { return fmt.Sprintf("after %d entries: %v", e.entries, e.err) }

// Unwrap returns the cause.
func (e *brokenOff) Unwrap() error { return e.err }
