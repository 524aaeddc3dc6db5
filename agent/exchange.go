package agent

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// The verbs of the machine gate.
const (
	verbRegister   = "register"
	verbAuthorize  = "authorize"
	verbRenew      = "renew"
	verbDeregister = "deregister"
)

// intervalsPerReport keeps the largest report below the bound of an envelope.
const intervalsPerReport = 150

// maxRounds bounds the exchanges of one call: every kept interval, one request left over, one number to mend.
const maxRounds = maxKept/intervalsPerReport + 4

// exchanged is what one exchange came to; the zero value is nothing, and the next round will tell.
type exchanged struct {
	verb    string
	answer  *Answer  // to authorize
	refusal *refusal // the signed No
	// more says that after this report something is still unreported.
	more bool
}

// refusal is a signed No, as an error.
type refusal struct {
	wire.Refusal
}

func (r *refusal) err() *Error {
	hint := r.Hint
	if hint == "" {
		hint = "ask the administrator of the authority"
	}
	return license.Refuse(license.KindRefused, r.Code, hint, "%s", r.Message)
}

// begin takes the turn to talk to the authority: within this process and, where the keeper knows of others, among all.
func (a *Agent) begin(ctx context.Context) (end func(), err error) {
	select {
	case a.talk <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	k, shared := a.keeper.(interface {
		takeTurn(ctx context.Context) (func(), error)
	})
	if !shared {
		return func() { <-a.talk }, nil
	}
	give, err := k.takeTurn(ctx)
	if err != nil {
		<-a.talk
		return nil, fmt.Errorf("wait for another process that talks to the authority: %w", err)
	}
	return func() { give(); <-a.talk }, nil
}

// converse exchanges messages until the verb itself was answered. A request left over from before goes first, with its
// own bytes. Once, it goes on from the number that a refusal gives.
func (a *Agent) converse(ctx context.Context, verb string) (exchanged, error) {
	mended, introduced := false, verb == verbDeregister
	for range maxRounds {
		got, err := a.round(ctx, verb)
		switch {
		case isUnknown(err) && !introduced:
			introduced = true
			if no := a.introduce(ctx); no != nil {
				return got, a.notIntroduced(ctx, verb, err, no)
			}
		case err != nil:
			return got, err
		case got.refusal != nil && got.refusal.Code == wire.CodeNumber && !mended:
			mended = true
			a.opts.Logger.WarnContext(ctx, "the authority counts exchanges differently; going on from its number", "number", got.refusal.Number)
		case got.refusal != nil:
			return got, got.refusal.err()
		case got.verb == verb && !got.more:
			return got, nil
		}
	}
	return exchanged{}, errors.New("the authority answered, but something was left to report every time")
}

// round sends one request, the one left over or a new one, and takes its answer. A failure is noted in the schedule.
func (a *Agent) round(ctx context.Context, verb string) (exchanged, error) {
	var r request
	var id identity
	var t Transport
	err := a.update(ctx, func(st *state, _ time.Time) (err error) {
		if st.Identity == nil {
			return st.registered()
		}
		if t, err = a.transport(st, st.Identity.Root, a.trusted(st)); err != nil {
			return err
		}
		if st.Pending == nil {
			key, err := a.key(st.Identity)
			if err == nil {
				st.Pending, err = st.compose(verb, key)
			}
			if err != nil {
				return fmt.Errorf("compose %s: %w", verb, err)
			}
		}
		r, id = *st.Pending, *st.Identity
		return nil
	})
	if err != nil {
		return exchanged{}, err
	}
	reply, err := t.Exchange(ctx, r.Verb, r.Envelope)
	if err != nil {
		return exchanged{}, a.failed(ctx, verb, r, err)
	}
	got, err := a.settle(ctx, r, id, reply)
	if err != nil {
		return exchanged{}, a.failed(ctx, verb, r, fmt.Errorf("answer to %s: %w", r.Verb, err))
	}
	return got, nil
}

// compose makes the next request. The state holds it before it is sent.
func (st *state) compose(verb string, key crypto.Signer) (*request, error) {
	id := st.Identity
	r := &request{Verb: verb, Number: id.Number + 1, Nonce: newNonce(), Passed: st.Clock.Passed}
	var kind string
	var payload any
	switch verb {
	case verbAuthorize:
		r.Usage = maps.Clone(st.Usage)
		r.Intervals = slices.Clone(st.Intervals[:min(len(st.Intervals), intervalsPerReport)])
		kind, payload = wire.KindAuthorize, wire.Authorize{
			Nonce: r.Nonce, Usage: usesOf(r.Usage), Version: st.told().Version, Hostname: st.told().Hostname,
			Intervals: r.Intervals, Signer: id.SignerID,
		}
	case verbRenew:
		csr, err := trust.NewCSR(key)
		if err != nil {
			return nil, err
		}
		kind, payload = wire.KindRenew, wire.Renew{Nonce: r.Nonce, CSR: csr}
	case verbDeregister:
		kind, payload = wire.KindDeregister, wire.Deregister{Nonce: r.Nonce}
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return nil, err
	}
	h := trust.Header{Kind: kind, KeyID: id.Account.ID + "/" + id.Instance, Audience: wire.Audience, Number: r.Number}
	if r.Envelope, err = trust.SealProduct(key, h, false, raw); err != nil {
		return nil, err
	}
	return r, nil
}

// signing is a key of the product and the bytes that it was read from.
type signing struct {
	pem []byte
	key *ecdsa.PrivateKey
}

// key is the key of an identity. It is read once and not for each request.
func (a *Agent) key(id *identity) (*ecdsa.PrivateKey, error) {
	if s := a.signs.Load(); s != nil && bytes.Equal(s.pem, id.Key) {
		return s.key, nil
	}
	key, err := trust.ParseKeyPEM(id.Key)
	if err == nil {
		a.signs.Store(&signing{pem: id.Key, key: key})
	}
	return key, err
}

func newNonce() string { return hex.EncodeToString(trust.Random(16)) }

// answerKind is the kind that answers a verb.
func answerKind(verb string) string {
	switch verb {
	case verbAuthorize:
		return wire.KindAuthorized
	case verbRenew:
		return wire.KindRenewed
	}
	return wire.KindDeregistered
}

// settle opens the reply to r and applies it. Nothing is applied unless everything about it is right, nor when another
// process has applied it already.
func (a *Agent) settle(ctx context.Context, r request, id identity, reply []byte) (exchanged, error) {
	got := exchanged{verb: r.Verb}
	e, err := open(reply, []string{answerKind(r.Verb), wire.KindRefusal}, id.Instance, id.pins(), a.now())
	if err != nil {
		return got, otherDesk(err)
	}
	var apply func(st *state, now time.Time)
	switch e.Header.Kind {
	case wire.KindRefusal:
		got.refusal = &refusal{}
		if err := decode(e.Payload, &got.refusal.Refusal, &got.refusal.Nonce, r.Nonce); err != nil {
			return got, err
		}
		apply = func(st *state, now time.Time) { st.refused(&r, got.refusal, now, a.opts.Rand()) }
	case wire.KindAuthorized:
		var m wire.Authorized
		if err := decode(e.Payload, &m, &m.Nonce, r.Nonce); err != nil {
			return got, err
		}
		apply = func(st *state, now time.Time) { st.authorized(&r, m, now, a.opts.Rand()) }
	case wire.KindRenewed:
		var m wire.Registered
		if err := decode(e.Payload, &m, &m.Nonce, r.Nonce); err != nil {
			return got, err
		}
		next, err := id.renewed(m, e, a.now())
		if err != nil {
			return got, err
		}
		apply = func(st *state, now time.Time) { st.renewed(&r, next, m.ServerTime, now, a.opts.Rand()) }
	case wire.KindDeregistered:
		var m wire.Deregistered
		if err := decode(e.Payload, &m, &m.Nonce, r.Nonce); err != nil {
			return got, err
		}
		apply = func(st *state, _ time.Time) { st.giveUp() }
	}
	if e.Header.Kind != wire.KindRefusal {
		if err := e.CheckNumber(r.Number); err != nil {
			return got, err
		}
	}
	err = a.update(ctx, func(st *state, now time.Time) error {
		if st.Pending == nil || st.Pending.Nonce != r.Nonce {
			got.answer = st.Answer
			if got.refusal != nil && got.refusal.Code == wire.CodeNumber {
				got = exchanged{} // the other process has the answer and has gone on from there
			}
			return nil
		}
		apply(st, now)
		if got.refusal != nil {
			st.count(r.Verb, now, got.refusal.Message)
		} else {
			st.count(r.Verb, now, "")
		}
		if st.Identity != nil {
			st.heard(id.Signer, e, now, a.opts.Rand())
			got.more = r.Verb == verbAuthorize && got.refusal == nil && (!sameUsage(st.Usage, r.Usage) || len(st.Intervals) > 0)
		}
		got.answer = st.Answer
		return nil
	})
	return got, err
}

// open verifies a reply of the authority. Certificates that have expired are no reason to refuse it: a device whose clock
// is wrong must not lose its authority.
func open(reply []byte, kinds []string, audience string, pins trust.Pins, now time.Time) (trust.Envelope, error) {
	e, err := trust.OpenAuthority(reply, kinds, audience, pins, now)
	if errors.Is(err, trust.ErrExpired) {
		err = nil
	}
	return e, err
}

// decode reads a verified payload and checks that it echoes the nonce. Members that a newer authority adds are ignored.
func decode(payload []byte, into any, echoed *string, nonce string) error {
	if err := json.Unmarshal(payload, into); err != nil {
		return fmt.Errorf("not of the documented form: %w", err)
	}
	if *echoed != nonce {
		return errors.New("it answers another request")
	}
	return nil
}

// sameUsage compares without regard to tags that are not used.
func sameUsage(x, y map[license.Tag]int64) bool {
	for tag, n := range x {
		if y[tag] != n {
			return false
		}
	}
	for tag, n := range y {
		if x[tag] != n {
			return false
		}
	}
	return true
}

// refused takes a signed No: the number counts as used, unless the No names another. A removed instance is unregistered in
// what is shown at once; it gives its identity up when a second contact has confirmed the removal after 72 hours of running
// time (reliability, rule R2).
func (st *state) refused(r *request, no *refusal, now time.Time, chance float64) {
	st.Pending = nil
	st.Identity.Number = r.Number
	st.measure(no.ServerTime, r.Passed)
	again := st.scheduleOf(r.Verb)
	switch no.Code {
	case wire.CodeNumber:
		st.Identity.Number = no.Number
	case wire.CodeRemoved:
		st.Removal = st.Removal.said(st.Clock, now)
		st.Removal.Reason = oneLine(no.Message)
		if st.Removal.Held.Confirmed() {
			st.giveUp()
			break
		}
		st.Renewal, st.Authorization = schedule{}, schedule{}
		st.Authorization.Last = attempt{At: now, Reason: st.Removal.Reason}
		st.Authorization.Next = now.Add(max(license.Patience-st.Removal.Held.Ran, time.Hour))
		st.Authorization.Wake = st.Authorization.Next
		return
	}
	again.failed(now, no.Message, chance, 0)
}

// authorized takes the answer to a report.
func (st *state) authorized(r *request, m wire.Authorized, now time.Time, chance float64) {
	st.Pending = nil
	st.Identity.Number = r.Number
	st.Identity.VirtualAccount.Name, st.Identity.Account.Name = m.VirtualAccount, m.Account
	st.measure(m.ServerTime, r.Passed)
	st.acknowledge(r)
	interval := min(max(time.Duration(m.NextInSeconds)*time.Second, time.Minute), license.AuthorizeLife)
	st.Authorization.succeeded(now, interval, chance)
	st.Answer = answerOf(m, now, st.Authorization.Next)
	st.Unknown, st.Lapsed = false, license.Held{}
	if m.Status == license.StatusOutOfCompliance {
		st.Short = st.Short.said(st.Clock, now)
	} else {
		st.Short = nil
	}
	if st.Removal != nil { // it was a mistake
		st.Removal = nil
		st.Renewal.plan(now, 0, chance)
	}
}

// renewed takes a new identity.
func (st *state) renewed(r *request, next identity, server, now time.Time, chance float64) {
	st.Pending = nil
	*st.Identity = next
	st.Identity.Number = r.Number
	st.measure(server, r.Passed)
	st.Renewal.succeeded(now, license.IdentityRenewal, chance)
}

// failed notes that a request got no answer that counts, and returns the cause. The request stays for the next time,
// except when the other side says that it cannot be read: then the same bytes would fail for ever.
func (a *Agent) failed(ctx context.Context, verb string, r request, cause error) error {
	var retryAfter time.Duration
	if u, ok := errors.AsType[*Unreachable](cause); ok {
		retryAfter = u.RetryAfter
	}
	drop := func(*state) {}
	if e := license.AsError(cause); e != nil && (e.Kind == license.KindInvalid || e.Kind == license.KindTooLarge) {
		drop = func(st *state) {
			if st.Pending != nil && st.Pending.Nonce == r.Nonce {
				st.Pending, st.Identity.Number = nil, r.Number
			}
		}
	}
	// A caller that gave up waiting still wants the failure on record.
	ctx = context.WithoutCancel(ctx)
	err := a.update(ctx, func(st *state, now time.Time) error {
		drop(st)
		st.count(r.Verb, now, reason(cause))
		st.scheduleOf(verb).failed(now, reason(cause), a.opts.Rand(), retryAfter)
		return nil
	})
	return errors.Join(cause, err)
}

func (st *state) scheduleOf(verb string) *schedule {
	if verb == verbRenew {
		return &st.Renewal
	}
	return &st.Authorization
}

// reason is an error in the words that people see.
func reason(err error) string {
	if e := license.AsError(err); e != nil {
		return e.Message
	}
	return err.Error()
}

// transport is the way to the authority with this root.
func (a *Agent) transport(st *state, root trust.Fingerprint, now func() time.Time) (Transport, error) {
	if a.opts.Transport != nil {
		return a.opts.Transport, nil
	}
	if st.Route.Address == "" {
		return nil, errNoTransport()
	}
	return routeTransport(Route(st.Route), root, now), nil
}

// trusted is a clock that goes on from what the state knows of the authority's time.
func (a *Agent) trusted(st *state) func() time.Time {
	clock := st.Clock
	return func() time.Time { return clock.Advance(a.reading()).Now() }
}
