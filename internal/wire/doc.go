// Package wire holds the messages that products and the authority exchange at the machine gate, with their versions, bounds
// and checks. It does no cryptography and no input or output: a message is the payload of an envelope of package trust,
// whose header carries the kind, the audience and the exchange number under the signature.
//
// History of the message version, which is part of every kind:
//
//	1  register, authorize, renew, deregister, refusal; later also hello, and the requests of a product that once reserved,
//	   which an older authority does not know
//
// Unknown members are refused in requests. Products accept unknown members in answers, so that an older product keeps
// working with a newer authority.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// The kinds, one per message and direction; they are the `typ` of the envelope.
const (
	KindRegister     = "tally.register.1"
	KindRegistered   = "tally.registered.1"
	KindAuthorize    = "tally.authorize.1"
	KindAuthorized   = "tally.authorized.1"
	KindRenew        = "tally.renew.1"
	KindRenewed      = "tally.renewed.1"
	KindDeregister   = "tally.deregister.1"
	KindDeregistered = "tally.deregistered.1"
	KindHello        = "tally.hello.1"
	KindGreeting     = "tally.greeting.1"
	KindRefusal      = "tally.refusal.1"
)

// Audience is the `aud` of every request to an authority. Answers carry the instance's id instead, or, before there is
// one, the nonce of the request.
const Audience = "tally-authority"

// Bounds of messages.
const (
	MaxMessage   = 64 << 10
	MaxUsageTags = 100
	MaxIntervals = 400
	MaxText      = 200
)

// Product names what a product is. PID and Serial together are its UDI, which identifies it for ever.
type Product struct {
	Name     string `json:"name"`
	PID      string `json:"pid"`
	Serial   string `json:"serial"`
	Version  string `json:"version,omitempty"`
	Hostname string `json:"hostname,omitempty"`
}

// UDI is the product's identity in the form that products print.
func (p Product) UDI() string { return "PID:" + p.PID + ",SN:" + p.Serial }

// Check refuses a product without a name, product id or serial, and over-long or unprintable text.
func (p Product) Check() error {
	for _, f := range []struct {
		name, value string
		needed      bool
	}{{"name", p.Name, true}, {"pid", p.PID, true}, {"serial", p.Serial, true}, {"version", p.Version, false}, {"hostname", p.Hostname, false}} {
		if f.needed && f.value == "" {
			return malformed("the product's %s is missing", f.name)
		}
		if err := checkText("product "+f.name, f.value); err != nil {
			return err
		}
	}
	if strings.ContainsAny(p.PID+p.Serial, ", ") {
		return malformed("the product id and serial number may contain neither comma nor space")
	}
	return nil
}

// Register asks for an identity. It is signed by the key whose certificate request it carries. A product that is registered, and that
// its desk has lost, brings its ID certificate in place of a token.
type Register struct {
	Token   string  `json:"token"`
	CSR     []byte  `json:"csr"` // PKCS #10, DER
	Product Product `json:"product"`
	Force   bool    `json:"force,omitempty"`
	// Identity is the ID certificate with the chain above it, issuing and root, in DER; VirtualAccount the id of where the product was.
	Identity       [][]byte `json:"identity,omitempty"`
	VirtualAccount string   `json:"virtualAccount,omitempty"`
	// Requests is the number of the last request for a reservation that the product remembers; none for a product that never made one.
	Requests int `json:"requests,omitempty"`
	// Nonce makes the request repeatable: the same nonce with the same key gets the same instance and costs no second use
	// of the token.
	Nonce string `json:"nonce"`
}

// Registered answers Register and, with a new certificate, Renew.
type Registered struct {
	Nonce          string    `json:"nonce"`
	Account        Named     `json:"account"`
	VirtualAccount Named     `json:"virtualAccount"`
	Instance       string    `json:"instance"`
	Certificate    []byte    `json:"certificate"` // DER
	ExpiresAt      time.Time `json:"expiresAt"`
	Exported       bool      `json:"exportControlled"`
	ServerTime     time.Time `json:"serverTime"`
	// Number is the last exchange number that the authority has seen of this instance; the product goes on with the next.
	Number int64 `json:"number"`
}

// Named is an id with the name that people know it by.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Authorize reports use and asks for an authorization. The exchange number stands in the envelope's header.
type Authorize struct {
	Nonce    string  `json:"nonce"`
	Usage    []Usage `json:"usage"`
	Version  string  `json:"version,omitempty"`
	Hostname string  `json:"hostname,omitempty"`
	// Intervals are peaks of past, closed intervals; reporting one again replaces nothing and counts nothing twice.
	Intervals []Interval `json:"intervals,omitempty"`
	// Signer is the thumbprint of the authority's message certificate that the product knows; the answer carries the chain
	// when it is another.
	Signer string `json:"signer,omitempty"`
}

// Usage is what a product uses of a tag at the moment of the report.
type Usage struct {
	Tag   license.Tag `json:"tag"`
	Count int64       `json:"count"`
}

// Interval is the highest use of a tag inside [From, To).
type Interval struct {
	Tag  license.Tag `json:"tag"`
	From time.Time   `json:"from"`
	To   time.Time   `json:"to"`
	Peak int64       `json:"peak"`
}

// Authorized answers Authorize.
type Authorized struct {
	Nonce          string                      `json:"nonce"`
	Status         license.AuthorizationStatus `json:"status"`
	ServerTime     time.Time                   `json:"serverTime"`
	NextInSeconds  int64                       `json:"nextInSeconds"`
	Deadline       time.Time                   `json:"deadline"`
	Account        string                      `json:"account"`
	VirtualAccount string                      `json:"virtualAccount"`
	Tags           []TagAnswer                 `json:"tags,omitempty"`
}

// TagAnswer says for one tag what was asked and how the pool of the virtual account stands.
type TagAnswer struct {
	Tag       license.Tag        `json:"tag"`
	Name      string             `json:"name"`
	Requested int64              `json:"requested"`
	Entitled  int64              `json:"entitled"`
	Shortage  int64              `json:"shortage"`
	Status    license.Compliance `json:"status"`
	Why       []license.Fact     `json:"why,omitempty"`
}

// Renew asks for a new ID certificate for the same key.
type Renew struct {
	Nonce string `json:"nonce"`
	CSR   []byte `json:"csr"`
}

// Deregister gives the identity up; the licenses are free again at once.
type Deregister struct {
	Nonce string `json:"nonce"`
}

// Deregistered answers Deregister.
type Deregistered struct {
	Nonce      string    `json:"nonce"`
	ServerTime time.Time `json:"serverTime"`
}

// Hello asks whether signed answers come through. It is signed by a key made for it, so that it names nobody.
type Hello struct {
	Nonce string `json:"nonce"`
}

// Greeting answers Hello; its audience is the nonce.
type Greeting struct {
	Nonce      string    `json:"nonce"`
	ServerTime time.Time `json:"serverTime"`
}

// Refusal is the signed No. Nothing less than a signed refusal that echoes the nonce may make a product give something up.
type Refusal struct {
	Nonce      string    `json:"nonce"`
	Code       string    `json:"code"`
	Message    string    `json:"message"`
	Hint       string    `json:"hint,omitempty"`
	ServerTime time.Time `json:"serverTime"`
	// Number is set by the code CodeNumber: the last exchange number that the authority has seen.
	Number int64 `json:"number,omitempty"`
}

// Codes of refusals that products act on.
const (
	CodeAlreadyRegistered = "already-registered"
	CodeUnknown           = "instance-unknown"
	CodeRemoved           = "instance-removed"
	CodeNumber            = "exchange-number"
)

// Decode reads the payload of a request: strict JSON, nothing after it, at most MaxMessage bytes.
func Decode(payload []byte, into interface{ Check() error }) error {
	if len(payload) > MaxMessage {
		return license.Refuse(license.KindTooLarge, "too-large", "send less at once", "the message has %d bytes, at most %d are taken", len(payload), MaxMessage)
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return malformed("the message is not of the documented form: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return malformed("something follows after the message")
	}
	return into.Check()
}

// Check refuses a registration that lacks a part.
func (m Register) Check() error {
	if (m.Token == "") == (len(m.Identity) == 0) || len(m.Token) > 256 {
		return malformed("the registration token is missing or longer than 256 characters")
	}
	if len(m.Identity) > 4 || len(m.VirtualAccount) > MaxText {
		return malformed("the chain of the certificate or the virtual account is too long")
	}
	if m.Requests < 0 || m.Requests > 1<<20 {
		return malformed("%d is no number of a request for a reservation", m.Requests)
	}
	if len(m.CSR) == 0 {
		return malformed("the certificate request is missing")
	}
	if err := m.Product.Check(); err != nil {
		return err
	}
	return checkNonce(m.Nonce)
}

// Check refuses counts below zero, tags given twice and more than MaxUsageTags tags or MaxIntervals intervals.
func (m Authorize) Check() error {
	if len(m.Usage) > MaxUsageTags || len(m.Intervals) > MaxIntervals {
		return malformed("a report has at most %d tags and %d intervals", MaxUsageTags, MaxIntervals)
	}
	for i, u := range m.Usage {
		if err := checkCount(u.Tag, u.Count); err != nil {
			return err
		}
		for _, other := range m.Usage[:i] {
			if other.Tag == u.Tag {
				return malformed("the tag %s is reported twice", u.Tag)
			}
		}
	}
	for _, v := range m.Intervals {
		if err := checkCount(v.Tag, v.Peak); err != nil {
			return err
		}
		if !v.To.After(v.From) || v.To.Sub(v.From) > 31*24*time.Hour {
			return malformed("an interval of %s is empty or longer than 31 days", v.Tag)
		}
	}
	for _, text := range []string{m.Version, m.Hostname, m.Signer} {
		if err := checkText("text", text); err != nil {
			return err
		}
	}
	return checkNonce(m.Nonce)
}

// Check refuses a renewal without a certificate request.
func (m Renew) Check() error {
	if len(m.CSR) == 0 {
		return malformed("the certificate request is missing")
	}
	return checkNonce(m.Nonce)
}

// Check refuses a missing nonce.
func (m Deregister) Check() error { return checkNonce(m.Nonce) }

// Check refuses a missing nonce.
func (m Hello) Check() error { return checkNonce(m.Nonce) }

func checkCount(tag license.Tag, n int64) error {
	if _, err := license.ParseTag(string(tag)); err != nil {
		return err
	}
	if n < 0 || n > license.MaxQuantity {
		return malformed("the count %d of %s is not between 0 and %d", n, tag, license.MaxQuantity)
	}
	return nil
}

func checkNonce(s string) error {
	if len(s) < 16 || len(s) > 64 {
		return malformed("the nonce has %d characters; 16 to 64 are needed", len(s))
	}
	return checkText("nonce", s)
}

func checkText(name, s string) error {
	if len(s) > MaxText || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return malformed("the %s is longer than %d bytes or has control characters", name, MaxText)
	}
	return nil
}

func malformed(format string, args ...any) *license.Error {
	return license.Refuse(license.KindInvalid, "malformed", "update the product's agent, or compare with the protocol page of the manual",
		"%s", fmt.Sprintf(format, args...))
}
