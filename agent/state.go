package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// stateVersion is the version of the kept form.
//
//	1  the first
const stateVersion = 1

// state is all that is kept of a product, as JSON. Times of schedules are the product's clock; deadline and expiry are the
// authority's.
type state struct {
	Version    int                     `json:"version"`
	Product    wire.Product            `json:"product"`
	URL        string                  `json:"url,omitempty"`
	Evaluation license.EvaluationClock `json:"evaluation"`
	Usage      map[license.Tag]int64   `json:"usage,omitempty"`
	Intervals  []wire.Interval         `json:"intervals,omitempty"`

	// Asked is a registration that has no answer yet.
	Asked *asked `json:"asked,omitempty"`
	// Registered is the outcome of the last registration.
	Registered attempt   `json:"registered,omitzero"`
	Identity   *identity `json:"identity,omitempty"`
	// Pending is a request that has no answer yet.
	Pending *request `json:"pending,omitempty"`

	Renewal       schedule `json:"renewal,omitzero"`
	Authorization schedule `json:"authorization,omitzero"`
	// Answer is the last authorization.
	Answer *Answer `json:"answer,omitempty"`
	// Short is when an uninterrupted lack of licenses was first answered.
	Short time.Time `json:"short,omitzero"`
	// SkewMS is the authority's clock minus the product's.
	SkewMS int64 `json:"skewMs,omitempty"`
	// Orphan is the instance that was given up here without the authority confirming it.
	Orphan string `json:"orphan,omitempty"`
}

// asked is a registration under way: repeated with the same key and nonce, it costs no second use of the token.
type asked struct {
	Token [32]byte `json:"token"` // digest
	Nonce string   `json:"nonce"`
	Key   []byte   `json:"key"` // PEM
}

// identity is what a registration gave.
type identity struct {
	Account        wire.Named        `json:"account"`
	VirtualAccount wire.Named        `json:"virtualAccount"`
	Instance       string            `json:"instance"`
	Exported       bool              `json:"exportControlled"`
	Root           trust.Fingerprint `json:"root"`
	Key            []byte            `json:"key"`         // PEM
	Certificate    []byte            `json:"certificate"` // DER
	Signer         [][]byte          `json:"signer"`      // message certificate, issuing, root, in DER
	SignerID       string            `json:"signerId"`    // thumbprint of the message certificate
	RegisteredAt   time.Time         `json:"registeredAt"`
	ExpiresAt      time.Time         `json:"expiresAt"`
	Number         int64             `json:"number"` // of the last exchange
}

// issuers is the chain above the ID certificate: issuing, root.
func (id *identity) issuers() [][]byte { return id.Signer[1:] }

// request is kept before it is sent and until its answer came.
type request struct {
	Verb      string                `json:"verb"`
	Number    int64                 `json:"number"`
	Nonce     string                `json:"nonce"`
	Envelope  []byte                `json:"envelope"`
	Usage     map[license.Tag]int64 `json:"usage,omitempty"`
	Intervals []wire.Interval       `json:"intervals,omitempty"`
	// MadeAt bounds the clock skew when the answer to an early sending arrives late.
	MadeAt time.Time `json:"madeAt"`
}

// decodeState reads kept bytes; none are an empty state. Damaged bytes are an error and never an empty state.
func decodeState(raw []byte) (*state, error) {
	if raw == nil {
		return &state{Version: stateVersion}, nil
	}
	var st state
	if err := json.Unmarshal(raw, &st); err != nil {
		return nil, &Error{Kind: license.KindUnavailable, Code: "state-damaged", Message: "the kept state is damaged",
			Hint: "put a saved copy of it in its place; without one, start with an empty state and register with force", Err: err}
	}
	if st.Version != stateVersion {
		return nil, license.Refuse(license.KindUnavailable, "state-version", "use the version of the agent that wrote it, or a newer one",
			"the kept state has version %d; this agent reads version %d", st.Version, stateVersion)
	}
	if id := st.Identity; id != nil && len(id.Signer) < 2 {
		return nil, license.Refuse(license.KindUnavailable, "state-damaged", "put a saved copy of it in its place", "the kept state has no certificates")
	}
	return &st, nil
}

func (st *state) encode() ([]byte, error) {
	raw, err := json.MarshalIndent(st, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	return append(raw, '\n'), nil
}

func (st *state) initialized() error {
	if st.Product.PID != "" {
		return nil
	}
	return license.Refuse(license.KindRefused, "not-initialized", "say once which product this is: tally-agent init --product NAME --pid PID --sn SN",
		"this state does not belong to a product yet")
}

func (st *state) registered() error {
	if st.Identity != nil {
		return nil
	}
	return license.Refuse(license.KindRefused, "not-registered", "register with a token of the authority: tally-agent license smart register idtoken TOKEN",
		"the product %s is not registered", st.Product.UDI())
}

// uses says whether the product uses any license.
func (st *state) uses() bool {
	for _, n := range st.Usage {
		if n > 0 {
			return true
		}
	}
	return false
}

// evaluating says whether the evaluation clock runs (domain rule 32).
func (st *state) evaluating() bool { return st.Identity == nil && st.uses() }

// mergeIntervals sorts by time and makes one of those that begin together.
func mergeIntervals(all []wire.Interval) []wire.Interval {
	slices.SortStableFunc(all, func(x, y wire.Interval) int {
		return cmp.Or(x.From.Compare(y.From), cmp.Compare(x.Tag, y.Tag))
	})
	merged := all[:0]
	for _, v := range all {
		n := len(merged) - 1
		if n < 0 || merged[n].Tag != v.Tag || !merged[n].From.Equal(v.From) {
			merged = append(merged, v)
			continue
		}
		merged[n].Peak = max(merged[n].Peak, v.Peak)
		if v.To.After(merged[n].To) {
			merged[n].To = v.To
		}
	}
	return merged
}

// acknowledge drops what an answered request has reported: intervals that did not change since, and tags given back.
func (st *state) acknowledge(r *request) {
	st.Intervals = slices.DeleteFunc(st.Intervals, func(v wire.Interval) bool {
		return slices.ContainsFunc(r.Intervals, func(sent wire.Interval) bool {
			return sent.Tag == v.Tag && sent.From.Equal(v.From) && sent.To.Equal(v.To) && sent.Peak == v.Peak
		})
	})
	for tag, n := range st.Usage {
		if sent, ok := r.Usage[tag]; ok && n == 0 && sent == 0 {
			delete(st.Usage, tag)
		}
	}
}

// measure notes the authority's clock. The request was answered between its making and now; when the skew known so far
// fits into that time it stays, so that the late answer to an early sending does not move it.
func (st *state) measure(server, madeAt, now time.Time) {
	low, high := server.Sub(now).Milliseconds(), server.Sub(madeAt).Milliseconds()
	if low > high { // the product's clock went back meanwhile
		high = low
	}
	st.SkewMS = min(max(st.SkewMS, low), high)
}

// atAuthority is the authority's time at the product's.
func (st *state) atAuthority(now time.Time) time.Time {
	return now.Add(time.Duration(st.SkewMS) * time.Millisecond)
}

// giveUp makes the product unregistered. The evaluation runs on from where it was.
func (st *state) giveUp() {
	st.Identity, st.Pending, st.Answer = nil, nil, nil
	st.Registered, st.Renewal, st.Authorization = attempt{}, schedule{}, schedule{}
	st.Short, st.SkewMS = time.Time{}, 0
}
