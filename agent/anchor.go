package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// Anchor is a place outside the state that remembers what must outlive it. Implementations are safe for concurrent use and
// quick: an anchor is read with every use of the state. Its bytes hold no secret. An anchor that fails is logged, and stops
// nothing.
type Anchor interface {
	// Load returns the bytes saved last, nil when there are none.
	Load(ctx context.Context) ([]byte, error)
	// Save replaces them.
	Save(ctx context.Context, memory []byte) error
}

// anchorVersion is the version of what anchors hold.
const anchorVersion = 2

// maxAnchored bounds the products of one anchor, maxAnchor its bytes.
const (
	maxAnchored = 32
	maxAnchor   = 256 << 10
)

// memory is what an anchor holds: by UDI, because a folder may serve one product after another.
type memory map[string]remembered

// remembered is what is known of one product.
type remembered struct {
	Product     wire.Product        `json:"product"`
	Evaluations license.Evaluations `json:"evaluations,omitempty"`
	Route       route               `json:"route,omitzero"` // without the password
	// Instance is the identity that the product held, empty when it held none.
	Instance string `json:"instance,omitempty"`
	// Usage keeps a product with licenses in use from looking like one without.
	Usage map[license.Tag]int64 `json:"usage,omitempty"`
	// Requested is the number of the last request for a reservation, Gone of the last that was given up. They never run back.
	Requested int `json:"requested,omitempty"`
	Gone      int `json:"gone,omitempty"`
}

func (a *Agent) anchors() []Anchor {
	own, ok := a.keeper.(interface{ anchors() []Anchor })
	if !ok {
		return a.opts.Anchors
	}
	return append(slices.Clone(a.opts.Anchors), own.anchors()...)
}

// recall is what the anchors remember, together: of evaluations the most. What cannot be read is not there.
func (a *Agent) recall(ctx context.Context) memory {
	all := memory{}
	for _, anchor := range a.anchors() {
		raw, err := anchor.Load(ctx)
		if err != nil || len(raw) > maxAnchor {
			a.opts.Logger.WarnContext(ctx, "an anchor cannot be read", "error", err, "bytes", len(raw))
			continue
		}
		if raw == nil {
			continue
		}
		var one memory
		version, inner, err := openForm(raw)
		if err == nil && version == anchorVersion {
			err = json.Unmarshal(inner, &one)
		}
		if err != nil {
			a.opts.Logger.WarnContext(ctx, "an anchor is damaged and will be written anew", "error", err)
			continue
		}
		for udi, r := range one {
			known, ok := all[udi]
			if ok {
				r.Evaluations = known.Evaluations.Merge(r.Evaluations)
				r.Requested, r.Gone = max(r.Requested, known.Requested), max(r.Gone, known.Gone)
			}
			all[udi] = r
		}
	}
	return all
}

// remember takes over what anchors know of this product: time of evaluation that was used is never given back. A new state
// of a product that was registered is one whose own was lost (reliability, rule R5).
func (st *state) remember(m memory) {
	if st.Product.PID == "" && !st.Rebuilt.IsZero() && len(m) == 1 {
		for _, r := range m {
			st.Product = r.Product
		}
	}
	r, ok := m[st.Product.UDI()]
	if !ok || st.Product.PID == "" {
		return
	}
	st.Evaluations = st.Evaluations.Merge(r.Evaluations)
	st.rememberReservation(r.Requested, r.Gone)
	if st.Fresh {
		st.Fresh = false
		if r.Instance != "" && st.Identity == nil {
			st.Unknown = true
		}
		if st.Route.Address == "" {
			st.Route = r.Route
		}
		if st.Usage == nil {
			st.Usage = maps.Clone(r.Usage)
		}
	}
}

// anchor writes what must be remembered to every anchor that does not hold it yet.
func (a *Agent) anchor(ctx context.Context, st *state, m memory) {
	anchors := a.anchors()
	if len(anchors) == 0 {
		return
	}
	r := remembered{Product: st.Product, Evaluations: st.Evaluations, Route: st.Route, Usage: st.Usage}
	r.Route.Password = ""
	if v := st.Reservation; v != nil {
		r.Requested, r.Gone = v.Sequence, v.Gone
	}
	switch {
	case st.Identity != nil:
		r.Instance = st.Identity.Instance
	case st.Unknown:
		r.Instance = m[st.Product.UDI()].Instance
	}
	for udi := range m {
		if udi != st.Product.UDI() && len(m) >= maxAnchored {
			delete(m, udi)
		}
	}
	m[st.Product.UDI()] = r
	raw, err := sealForm(anchorVersion, m)
	if err != nil {
		a.opts.Logger.WarnContext(ctx, "an anchor cannot be written", "error", err)
		return
	}
	for _, anchor := range anchors {
		old, err := anchor.Load(ctx)
		if err == nil && !bytes.Equal(old, raw) {
			err = anchor.Save(ctx, raw)
		}
		if err != nil {
			a.opts.Logger.WarnContext(ctx, "an anchor cannot be written", "error", err)
		}
	}
}

// rebuild makes a state again from what is left when it is missing or damaged, with the error why: from its second copy, else
// from the identity's own files, else from nothing. That is a new product, or, when there was a state, one that was registered
// and does not know more. A state of a newer agent is no damage.
func (a *Agent) rebuild(ctx context.Context, cause error) (*state, error) {
	if k, ok := a.keeper.(interface {
		rebuild(ctx context.Context) *state
	}); ok {
		if st := k.rebuild(ctx); st != nil {
			a.opts.Logger.WarnContext(ctx, "the state was missing or damaged and was made again from what is left", "error", cause)
			st.Rebuilt = a.now()
			return st, nil
		}
	}
	if cause != nil && !isDamaged(cause) {
		return nil, cause
	}
	st := &state{Fresh: true, Unknown: cause != nil}
	if st.Unknown {
		a.opts.Logger.ErrorContext(ctx, "the state is damaged and nothing is left to make it again from; the product goes on", "error", cause)
		st.Rebuilt = a.now()
	}
	return st, nil
}

func isDamaged(err error) bool {
	e := license.AsError(err)
	return e != nil && e.Code == codeDamaged
}

// stateOf is the state of an identity of which only the files beside the state are left. It does not know what number the
// authority has seen last, and learns it from the first answer.
func stateOf(key, cert, chain []byte) *state {
	certs, err := trust.ParseCertificatesPEM(cert)
	if err != nil || len(certs) != 1 {
		return nil
	}
	issuers, err := trust.ParseCertificatesPEM(chain)
	if err != nil || len(issuers) == 0 {
		return nil
	}
	root := trust.Of(issuers[len(issuers)-1])
	in, err := trust.VerifyInstance(append(certs, issuers...), root, time.Time{})
	if err != nil && !errors.Is(err, trust.ErrExpired) {
		return nil
	}
	if k, err := trust.ParseKeyPEM(key); err != nil || !k.PublicKey.Equal(in.Key) {
		return nil
	}
	return &state{Fresh: true, Unknown: true, Identity: &identity{
		Account: wire.Named{ID: in.Account}, Instance: in.Instance, Root: root, Key: key, Certificate: certs[0],
		Signer: append([][]byte{nil}, issuers...), RegisteredAt: in.NotBefore, ExpiresAt: in.NotAfter,
	}}
}
