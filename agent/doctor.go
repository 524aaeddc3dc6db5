package agent

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// The outcomes of a step of the doctor.
const (
	StepOK      = "ok"
	StepFailed  = "failed"
	StepSkipped = "skipped"
)

// The steps of the doctor, in their order.
const (
	StepDNS       = "DNS"
	StepTCP       = "TCP"
	StepProxy     = "proxy"
	StepTLS       = "TLS chain"
	StepNames     = "names"
	StepHTTP      = "HTTP"
	StepSignature = "signature"
	StepClock     = "clock"
)

// stepLimit bounds one step that waits for the network.
const stepLimit = 10 * time.Second

// toleratedSkew is the clock difference that hurts nothing (smart licensing, section 13.3).
const toleratedSkew = 24 * time.Hour

// Step is what one step of the doctor came to. Its JSON form is a contract.
type Step struct {
	Name string `json:"step"`
	// Outcome is ok, failed or skipped.
	Outcome string `json:"outcome"`
	// Found is one sentence about what was seen.
	Found string `json:"found"`
	// Mend is one sentence about what to do, after a failure.
	Mend string `json:"mend,omitempty"`
}

// Diagnosis is what the doctor found on the way to the authority, step by step.
type Diagnosis struct {
	// Authority is the address that was tried, Proxy the one of the proxy on the way, if any.
	Authority string `json:"authority"`
	Proxy     string `json:"proxy,omitempty"`
	Steps     []Step `json:"steps"`
}

// Healthy says that no step failed.
func (d Diagnosis) Healthy() bool {
	for _, f := range d.Steps {
		if f.Outcome == StepFailed {
			return false
		}
	}
	return true
}

// Doctor walks the way to the authority and says of each step whether it works, and of one that does not, what mends it. It
// changes nothing, here or there, and tells the other side nothing about the product. Before a registration the root of the
// authority is known only from the token; an empty token leaves the steps that need it out. An error means that there was
// nothing to examine; what is broken on the way is a Step that failed.
func (a *Agent) Doctor(ctx context.Context, token string) (Diagnosis, error) {
	st, _, err := a.load(ctx)
	if err != nil {
		return Diagnosis{}, err
	}
	if err := st.initialized(); err != nil {
		return Diagnosis{}, err
	}
	x := examination{now: a.now, agent: a}
	if id := st.Identity; id != nil {
		x.root, x.last, x.account = id.Root, id.Signer, id.Account.ID
	}
	if token != "" {
		t, err := parseToken(token)
		if err != nil {
			return Diagnosis{}, err
		}
		x.root, x.last = t.Root, nil
	}
	if x.way, err = st.way(); err != nil {
		return Diagnosis{}, err
	}
	x.diagnosis.Authority = x.way.authority.String()
	if x.way.proxy != nil {
		x.diagnosis.Proxy = x.way.proxy.Redacted()
	}
	x.walk(ctx)
	return x.diagnosis, nil
}

// way is how the authority is reached.
type way struct {
	authority *url.URL
	proxy     *url.URL // without user and password
	user      *url.Userinfo
}

// way reads the transport of a state.
func (st *state) way() (way, error) {
	if st.Route.Address == "" {
		return way{}, errNoTransport()
	}
	u, err := url.Parse(st.Route.Address)
	if err != nil {
		return way{}, fmt.Errorf("read the kept address: %w", err)
	}
	w := way{authority: u}
	if proxy := Route(st.Route).proxy(); proxy != nil {
		w.user, proxy.User = proxy.User, nil
		w.proxy = proxy
	}
	return w, nil
}

// hostPort is where a URL is dialed.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// examination is one walk.
type examination struct {
	agent     *Agent
	now       func() time.Time
	way       way
	root      trust.Fingerprint // zero: not known yet
	last      [][]byte          // chain of the desk that the product is registered at; nil: not known
	account   string
	diagnosis Diagnosis

	served    time.Time // the server's clock: signed, or what the server's software says
	signed    bool
	judgement *trust.ServerJudgement
}

func (x *examination) add(step, outcome, mend, format string, args ...any) {
	x.diagnosis.Steps = append(x.diagnosis.Steps, Step{Name: step, Outcome: outcome, Found: fmt.Sprintf(format, args...), Mend: mend})
}

func (x *examination) ok(step, format string, args ...any) { x.add(step, StepOK, "", format, args...) }

func (x *examination) failed(step, mend, format string, args ...any) {
	x.add(step, StepFailed, mend, format, args...)
}

func (x *examination) skipped(step, format string, args ...any) {
	x.add(step, StepSkipped, "", format, args...)
}

// skipAll leaves the given steps out because an earlier one failed.
func (x *examination) skipAll(steps ...string) {
	for _, step := range steps {
		x.skipped(step, "not reached")
	}
}

// walk takes the steps until one stands in the way of all others.
func (x *examination) walk(ctx context.Context) {
	first := cmp.Or(x.way.proxy, x.way.authority)
	host := first.Hostname()
	addresses, ok := x.resolve(ctx, host)
	if !ok {
		x.skipAll(StepTCP, StepProxy, StepTLS, StepNames, StepHTTP, StepSignature, StepClock)
		return
	}
	conn := x.dial(ctx, addresses, first)
	if conn == nil {
		x.skipAll(StepProxy, StepTLS, StepNames, StepHTTP, StepSignature, StepClock)
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(deadline(ctx))
	conn, ok = x.pass(ctx, conn)
	if !ok {
		x.skipAll(StepTLS, StepNames, StepHTTP, StepSignature, StepClock)
		return
	}
	conn, ok = x.handshake(ctx, conn)
	if !ok {
		x.skipAll(StepNames, StepHTTP, StepSignature, StepClock)
		return
	}
	at := len(x.diagnosis.Steps) // TLS and names are judged when the right time is known
	x.greet(conn)
	rest := x.diagnosis.Steps[at:]
	x.diagnosis.Steps = append([]Step(nil), x.diagnosis.Steps[:at]...)
	x.judgeServer()
	x.diagnosis.Steps = append(x.diagnosis.Steps, rest...)
	x.judgeClock()
}

// deadline is when connections of the examination end, by the system's clock, as connections want it.
func deadline(ctx context.Context) time.Time {
	limited, cancel := context.WithTimeout(ctx, 3*stepLimit)
	defer cancel()
	until, _ := limited.Deadline()
	return until
}

// resolve is the DNS step.
func (x *examination) resolve(ctx context.Context, host string) ([]string, bool) {
	if net.ParseIP(host) != nil {
		x.skipped(StepDNS, "%s is an address, no name to look up", host)
		return []string{host}, true
	}
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err == nil {
		x.ok(StepDNS, "%s is %s", host, strings.Join(addresses[:min(len(addresses), 4)], ", "))
		return addresses, true
	}
	missing, isDNS := errors.AsType[*net.DNSError](err)
	mend := "let this host reach its name server (UDP and TCP port 53), or write the name into its hosts file"
	if isDNS && missing.IsNotFound {
		mend = "check the spelling of " + host + " in the transport settings, and that the name server of this host knows it"
	}
	x.failed(StepDNS, mend, "the name %s cannot be looked up: %s", host, oneLine(err.Error()))
	return nil, false
}

// dial is the TCP step: to the proxy where there is one.
func (x *examination) dial(ctx context.Context, addresses []string, to *url.URL) net.Conn {
	_, port, _ := net.SplitHostPort(hostPort(to))
	var last error
	for _, address := range addresses[:min(len(addresses), 8)] {
		limited, cancel := context.WithTimeout(ctx, stepLimit)
		conn, err := (&net.Dialer{}).DialContext(limited, "tcp", net.JoinHostPort(address, port))
		cancel()
		if err == nil {
			x.ok(StepTCP, "connected to %s", conn.RemoteAddr())
			return conn
		}
		last = err
	}
	mend := "let this host reach TCP port " + port + " of " + to.Hostname() + ": `tally-agent doctor --firewall` lists what a firewall must pass"
	if errors.Is(last, syscall.ECONNREFUSED) {
		mend = "nothing listens on port " + port + " of " + to.Hostname() + ": check the port, and that the server there runs"
	}
	x.failed(StepTCP, mend, "no connection to %s port %s: %s", to.Hostname(), port, oneLine(last.Error()))
	return nil
}

// pass is the proxy step: a tunnel for https, nothing to do yet for the plain http of a loopback address.
func (x *examination) pass(ctx context.Context, conn net.Conn) (net.Conn, bool) {
	if x.way.proxy == nil {
		x.skipped(StepProxy, "no proxy is set")
		return conn, true
	}
	if x.way.proxy.Scheme == "https" {
		secure := tls.Client(conn, &tls.Config{ServerName: x.way.proxy.Hostname(), MinVersion: tls.VersionTLS12, Time: x.now})
		if err := secure.HandshakeContext(ctx); err != nil {
			x.failed(StepProxy, "give the proxy a certificate that this host trusts, or name it with http:// if it does not speak TLS",
				"no TLS with the proxy: %s", oneLine(err.Error()))
			return conn, false
		}
		conn = secure
	}
	if x.way.authority.Scheme != "https" {
		return conn, true // its answer tells
	}
	target := hostPort(x.way.authority)
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{"User-Agent": {"tally-agent/" + Version}}}
	x.authenticate(req)
	if err := req.Write(conn); err != nil {
		x.failed(StepProxy, "check that an HTTP proxy listens there", "the proxy closed the connection: %s", oneLine(err.Error()))
		return conn, false
	}
	in := bufio.NewReaderSize(conn, 4096)
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		x.failed(StepProxy, "check that an HTTP proxy listens there", "what answered is no HTTP proxy: %s", oneLine(err.Error()))
		return conn, false
	}
	if resp.StatusCode == http.StatusOK {
		x.ok(StepProxy, "the proxy opened a way to %s", target)
		return &bufferedConn{Conn: conn, in: in}, true
	}
	_ = resp.Body.Close()
	x.refusedByProxy(resp.StatusCode, resp.Status, target)
	return conn, false
}

func (x *examination) authenticate(req *http.Request) {
	if x.way.proxy != nil && x.way.user != nil {
		password, _ := x.way.user.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(x.way.user.Username()+":"+password)))
	}
}

// refusedByProxy words the No of a proxy.
func (x *examination) refusedByProxy(code int, status, target string) {
	switch {
	case code == http.StatusProxyAuthRequired && x.way.user == nil:
		x.failed(StepProxy, "set user and password: tally-agent transport proxy URL --user U --password-file F --authority URL", "the proxy wants a user and a password")
	case code == http.StatusProxyAuthRequired:
		x.failed(StepProxy, "set the right ones: tally-agent transport proxy URL --user U --password-file F --authority URL",
			"the proxy refuses the user %q or the password", x.way.user.Username())
	case code == http.StatusForbidden:
		x.failed(StepProxy, "ask the proxy's administrator to allow CONNECT to "+target, "the proxy forbids the way to %s: %s", target, status)
	case code >= 500:
		x.failed(StepProxy, "find out on the proxy why it does not reach "+target+": its name service, its firewall, or the server there",
			"the proxy does not reach %s: %s", target, status)
	default:
		x.failed(StepProxy, "check that an HTTP proxy listens there that allows CONNECT", "the proxy answered %s", status)
	}
}

// bufferedConn reads on where a buffered reader has read ahead.
type bufferedConn struct {
	net.Conn
	in *bufio.Reader
}

// Read implements net.Conn.
func (c *bufferedConn) Read(b []byte) (int, error) { return c.in.Read(b) }

// handshake opens TLS to look at what the server presents; it says what it thinks of it later. Nothing but a question that
// names nobody goes over a connection that was not found trustworthy.
func (x *examination) handshake(ctx context.Context, conn net.Conn) (net.Conn, bool) {
	if x.way.authority.Scheme != "https" {
		return conn, true
	}
	secure := tls.Client(conn, &tls.Config{
		ServerName: x.way.authority.Hostname(), MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // the certificates are judged one question at a time, and no secret is sent
	})
	limited, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	err := secure.HandshakeContext(limited)
	if err == nil {
		j := trust.JudgeServer(secure.ConnectionState().PeerCertificates, x.way.authority.Hostname(), x.root)
		x.judgement = &j
		return secure, true
	}
	mend := "check that a Tallystick server, or a reverse proxy in front of one, listens there and speaks TLS 1.2 or newer"
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		mend = "what listens there does not speak TLS: check the port in the transport settings"
	}
	x.failed(StepTLS, mend, "no TLS with %s: %s", hostPort(x.way.authority), oneLine(err.Error()))
	return conn, false
}

// greet is the HTTP step and the signature step: one question to the machine gate, answered with a signature.
func (x *examination) greet(conn net.Conn) {
	nonce := newNonce()
	payload, err := json.Marshal(wire.Hello{Nonce: nonce})
	if err != nil {
		x.failed(StepHTTP, "report this as a mistake of the agent", "%v", err)
		return
	}
	envelope, err := trust.SealProduct(trust.NewProductKey(), trust.Header{Kind: wire.KindHello, Audience: wire.Audience}, true, payload)
	if err != nil {
		x.failed(StepHTTP, "report this as a mistake of the agent", "%v", err)
		return
	}
	resp, body, err := x.post(conn, envelope) //nolint:bodyclose // post has read and closed it
	if err != nil {
		x.served = time.Time{}
		x.failed(StepHTTP, "check that a Tallystick server listens at this address", "no HTTP answer: %s", oneLine(err.Error()))
		x.skipAll(StepSignature)
		return
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		x.served = at
	}
	if x.way.proxy != nil && x.way.authority.Scheme != "https" {
		if code := resp.StatusCode; code == http.StatusProxyAuthRequired || code == http.StatusForbidden {
			x.refusedByProxy(code, resp.Status, hostPort(x.way.authority))
			x.skipAll(StepHTTP, StepSignature)
			return
		}
		x.ok(StepProxy, "the proxy carries the request to %s", hostPort(x.way.authority))
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusOK && kind == "application/jose":
		x.ok(StepHTTP, "the machine gate answers")
		x.verify(body, nonce)
	case kind == "application/problem+json" && resp.StatusCode == http.StatusNotFound:
		x.ok(StepHTTP, "the machine gate answers")
		x.skipped(StepSignature, "the server is older than this question; the next exchange will tell")
	default:
		x.strangeAnswer(resp, kind)
		x.skipAll(StepSignature)
	}
}

// strangeAnswer words an answer that does not come from the machine gate.
func (x *examination) strangeAnswer(resp *http.Response, kind string) {
	code := resp.StatusCode
	switch {
	case code == http.StatusTooManyRequests || code >= 500:
		x.failed(StepHTTP, "wait: the product asks again by itself; if it stays so, look at the server's log", "the server answered %s", resp.Status)
	case code >= 300 && code < 400:
		x.failed(StepHTTP, "sign in to the network if it asks for that, and set the address of the authority itself",
			"the server leads elsewhere, to %.100q, which this product does not follow", resp.Header.Get("Location"))
	case kind == "text/html":
		x.failed(StepHTTP, "sign in to the network if it asks for that, else check the address: something between here and the authority answers in its place",
			"a web page answered (%s) and not the authority", resp.Status)
	default:
		x.failed(StepHTTP, "check the address and the path in the transport settings; a gateway must pass /machine/v1/ on",
			"what answered (%s) is no machine gate", resp.Status)
	}
}

// post sends the question over the connection.
func (x *examination) post(conn net.Conn, envelope []byte) (*http.Response, []byte, error) {
	address := strings.TrimRight(x.way.authority.String(), "/") + "/machine/v1/hello"
	req, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(envelope)) //nolint:noctx // the connection has a deadline
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/jose")
	req.Header.Set("User-Agent", "tally-agent/"+Version)
	req.Close = true
	write := req.Write
	if x.way.proxy != nil && x.way.authority.Scheme != "https" {
		x.authenticate(req)
		write = req.WriteProxy
	}
	if err := write(conn); err != nil {
		return nil, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxMessage+1))
	return resp, body, err
}

// verify is the signature step.
func (x *examination) verify(body []byte, nonce string) {
	if x.root == (trust.Fingerprint{}) {
		x.skipped(StepSignature, "no registration and no token yet, so it is not known who should have signed: tally-agent doctor --token TOKEN")
		return
	}
	e, err := open(body, []string{wire.KindGreeting}, nonce, trust.Pins{Root: x.root, Site: trust.AnySite}, x.now())
	var m wire.Greeting
	if err == nil {
		err = decode(e.Payload, &m, &m.Nonce, nonce)
	}
	if err != nil {
		mend := "set the address of the authority with the root " + x.root.String() + ", or register with a token of the one at this address"
		x.failed(StepSignature, mend, "the answer is not signed by the authority that this product trusts: %s", oneLine(err.Error()))
		return
	}
	x.served, x.signed = m.ServerTime, true
	x.ofDesk(e.Signer)
}

// ofDesk is the signature step's last question: whether the desk that answers is the one that the product is registered at. The chain
// is verified.
func (x *examination) ofDesk(signer [][]byte) {
	desk := trust.DeskOf(signer)
	switch {
	case len(x.last) == 0 || trust.SameIssuer(signer, x.last):
		x.ok(StepSignature, "signed by the authority with the root %s", x.root)
	case trust.Follows(signer, x.last, x.account):
		x.ok(StepSignature, "signed by %s, whose keys were replaced since the last report; the next one takes that over", desk)
	case trust.Follows(x.last, signer, x.account):
		x.failed(StepSignature, "an old copy of the server's key folder is at work, or somebody has its old keys: its administrator has to start it with the newest ones, of the issuer "+trust.DeskOf(x.last).Issuer,
			"signed with keys of %s that have been replaced since", desk)
	case desk.Site == "" && trust.DeskOf(x.last).Site == "":
		x.failed(StepSignature, "an older copy of the authority's key folder was put back: its administrator makes keys that everybody follows with: tally keys rotate --after "+trust.DeskOf(x.last).Issuer,
			"signed with keys of the authority that do not follow those that this product knows")
	default:
		x.failed(StepSignature, "set the address of the desk that the product is registered at; if it is to move to this desk, register it here: tally-agent license smart register idtoken TOKEN force",
			"signed by %s, and this product is registered at %s", desk, trust.DeskOf(x.last))
	}
}

// judgeServer is the TLS step and the names step, at the server's time where that is signed: a wrong clock of this host is
// no fault of the server.
func (x *examination) judgeServer() {
	j := x.judgement
	if j == nil {
		x.skipped(StepTLS, "plain http on this machine")
		x.skipped(StepNames, "plain http on this machine")
		return
	}
	at := x.now()
	if x.signed {
		at = x.served
	}
	host := x.way.authority.Hostname()
	switch {
	case j.Chain != nil && x.root != (trust.Fingerprint{}) && j.Root != x.root:
		x.failed(StepTLS, "set the address of the authority that this product trusts; if a device on the way opens TLS, exempt "+host+" from it",
			"the server's certificates lead to %s, and this product trusts the root %s", j.Root, x.root)
	case j.Chain != nil:
		x.failed(StepTLS, "let the server present its whole chain, or set the right address", "%s", oneLine(j.Chain.Error()))
	case at.Before(j.From):
		x.failed(StepTLS, "set the clock of this host and of the server; one of the two is wrong", "the server's certificate is valid from %s", instantText(j.From))
	case at.After(j.To):
		x.failed(StepTLS, "renew the server's certificate; one that tally serve makes itself is made anew at its start", "the server's certificate expired on %s", instantText(j.To))
	case x.root == (trust.Fingerprint{}) && j.Own:
		x.ok(StepTLS, "an authority with the root %s; compare it with the one that your token is from", j.Root)
	case j.Own:
		x.ok(StepTLS, "the certificate is the authority's own, until %s", instantText(j.To))
	default:
		x.ok(StepTLS, "the certificate leads to a root that this host trusts, until %s", instantText(j.To))
	}
	switch {
	case net.ParseIP(host) != nil:
		x.skipped(StepNames, "%s is an address, no name to compare", host)
	case j.Name != nil:
		x.failed(StepNames, "use one of its names in the transport settings, or start the server with --name "+host,
			"the certificate is for %s and not for %s", cmp.Or(strings.Join(j.Names, ", "), "no name"), host)
	default:
		x.ok(StepNames, "the certificate is for %s", host)
	}
}

// judgeClock is the clock step.
func (x *examination) judgeClock() {
	if x.served.IsZero() {
		x.skipped(StepClock, "no answer told the time")
		return
	}
	says := "the server's software says, unsigned"
	if x.signed {
		says = "the authority says, signed"
	}
	switch skew := x.now().Sub(x.served).Round(time.Second); {
	case skew.Abs() > toleratedSkew:
		side := "ahead of"
		if skew < 0 {
			side = "behind"
		}
		x.failed(StepClock, "set the clock of this host (here it is "+instantText(x.now())+"); until then the product keeps its last state",
			"this host is %s %s the time that %s: %s", inWords(skew.Abs()), side, says, instantText(x.served))
	case skew.Abs() > time.Minute:
		x.ok(StepClock, "the clocks differ by %s, which hurts nothing (%s)", skew, says)
	default:
		x.ok(StepClock, "the clocks agree (%s)", says)
	}
}

func instantText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// inWords is a long difference for people.
func inWords(d time.Duration) string {
	if days := d / (24 * time.Hour); days >= 2 {
		return fmt.Sprintf("%d days", days)
	}
	return d.String()
}

func errNoTransport() error {
	return license.Refuse(license.KindRefused, "no-transport", "set it: tally-agent transport direct URL", "the authority's address is not set")
}
