package agent

import (
	"cmp"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// stateVersion is the version of the kept form.
//
//	1  the first
//	2  under a checksum; time that certainly passed, evaluations by licensed version, policy, route, retried registration,
//	   removals that wait for their confirmation
const stateVersion = 2

// state is all that is kept of a product, as JSON. Times of schedules are the product's clock; deadline and expiry are the
// authority's.
type state struct {
	Product wire.Product `json:"product"`
	// Licensed is the version that licenses are sold for, when the product names it.
	Licensed string `json:"licensed,omitempty"`
	// Policy is what the product chose to do when it is over what it holds.
	Policy      string                `json:"policy,omitempty"`
	Route       route                 `json:"route,omitzero"`
	Privacy     Privacy               `json:"privacy,omitzero"`
	Clock       license.Clock         `json:"clock"`
	Evaluations license.Evaluations   `json:"evaluations,omitempty"`
	Usage       map[license.Tag]int64 `json:"usage,omitempty"`
	Intervals   []wire.Interval       `json:"intervals,omitempty"`

	// Holding is the cluster that this product holds, Joined the one that it is a member of.
	Holding *holding `json:"holding,omitempty"`
	Joined  *joined  `json:"joined,omitempty"`

	// Asked is a registration that has no answer yet; it is tried until it has one or is canceled.
	Asked *asked `json:"asked,omitempty"`
	// Registered is the outcome of the last registration.
	Registered attempt   `json:"registered,omitzero"`
	Identity   *identity `json:"identity,omitempty"`
	// Removal is what the authority said of the identity and has not confirmed yet.
	Removal *statement `json:"removal,omitempty"`
	// Unknown says that the product was registered and that what it knew of it was lost.
	Unknown bool `json:"unknown,omitempty"`
	// Fresh says that nothing was kept before; it is over once the product is known.
	Fresh bool `json:"-"`
	// Rebuilt is when this state was last made from a copy.
	Rebuilt time.Time `json:"rebuilt,omitzero"`
	// Moved is when the desk was last found to have other keys.
	Moved *moved `json:"moved,omitempty"`
	// Pending is a request that has no answer yet.
	Pending *request `json:"pending,omitempty"`

	Renewal       schedule `json:"renewal,omitzero"`
	Authorization schedule `json:"authorization,omitzero"`
	// Answer is the last authorization.
	Answer *Answer `json:"answer,omitempty"`
	// Short is an uninterrupted lack of licenses in the answers.
	Short *statement `json:"short,omitempty"`
	// Lapsed is for how long the deadline of the last answer has been over.
	Lapsed license.Held `json:"lapsed,omitzero"`
	// Messages counts what became of the messages of each kind.
	Messages map[string]Messages `json:"messages,omitempty"`
	// Orphan is the instance that was given up here without the authority confirming it.
	Orphan string `json:"orphan,omitempty"`
	// Reservation is the ceremony of a product on a closed site; nil when there never was one.
	Reservation *reservation `json:"reservation,omitempty"`
}

// statement is something that the authority signed and that may allow less one day.
type statement struct {
	// Held is its age, from the first answer that said so to the last.
	Held license.Held `json:"held"`
	// Passed and Ran are the clock at the first answer.
	Passed time.Duration `json:"passed"`
	Ran    time.Duration `json:"ran"`
	// Reason is one line for people.
	Reason string `json:"reason,omitempty"`
}

// said notes that one more answer says so.
func (s *statement) said(c license.Clock, now time.Time) *statement {
	if s == nil {
		s = &statement{Held: license.Held{Since: now}, Passed: c.Passed, Ran: c.Ran}
	}
	s.Held.Contacts++
	s.Held.For, s.Held.Ran = c.Passed-s.Passed, c.Ran-s.Ran
	return s
}

// asked is a registration under way: repeated with the same key and nonce, it costs no second use of the token.
type asked struct {
	Token [32]byte `json:"token"` // digest
	Nonce string   `json:"nonce"`
	Key   []byte   `json:"key"` // PEM
	// Text is the token itself, a secret: without it nobody could go on trying. It is gone with the answer.
	Text  string `json:"text,omitempty"`
	Force bool   `json:"force,omitempty"`
	// Requests is the number of the last request for a reservation, 0 for none.
	Requests int `json:"requests,omitempty"`
	// Tries says when it is tried next.
	Tries schedule `json:"tries,omitzero"`
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
	// Issuers is the chain above the ID certificate where it is another one than the signer's: the desk has other keys since.
	Issuers [][]byte `json:"issuers,omitempty"`
}

// request is kept before it is sent and until its answer came.
type request struct {
	Verb      string                `json:"verb"`
	Number    int64                 `json:"number"`
	Nonce     string                `json:"nonce"`
	Envelope  []byte                `json:"envelope"`
	Usage     map[license.Tag]int64 `json:"usage,omitempty"`
	Intervals []wire.Interval       `json:"intervals,omitempty"`
	// Passed is the clock at its making; it bounds the clock skew when the answer to an early sending arrives late.
	Passed time.Duration `json:"passed"`
}

func (st *state) initialized() error {
	if st.Product.PID != "" {
		return nil
	}
	return license.Refuse(license.KindRefused, "not-initialized", "say once which product this is: tally-agent init --product NAME --pid PID --sn SN",
		"this state does not belong to a product yet")
}

func (st *state) registered() error {
	if st.Identity != nil && st.Removal == nil {
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

// tags are those that the product uses, sorted.
func (st *state) tags() []license.Tag {
	var tags []license.Tag
	for tag, n := range st.Usage {
		if n > 0 {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// licensed is the version that licenses are sold for.
func (st *state) licensed() string {
	return cmp.Or(st.Licensed, license.LicensedVersion(st.Product.Version))
}

// evaluation is that of the licensed version.
func (st *state) evaluation() license.EvaluationClock {
	return st.Evaluations.Of(st.licensed(), st.tags())
}

// live says whether there is an identity that counts: neither expired nor said to be removed.
func (st *state) live() bool {
	return st.Identity != nil && st.Removal == nil && st.Clock.Now().Before(st.Identity.ExpiresAt)
}

// evaluating says whether the evaluation clock runs (domain rule 32). While a removal waits for its confirmation it does not:
// a wrong No costs no day.
func (st *state) evaluating() bool {
	return !st.live() && st.Removal == nil && !st.Unknown && st.reserved() == nil && st.uses() && st.Joined == nil
}

// tick moves every clock of the state to a reading.
func (st *state) tick(r license.Reading) {
	before := st.Clock
	st.Clock = before.Advance(r)
	passed, ran := st.Clock.Passed-before.Passed, st.Clock.Ran-before.Ran
	if st.evaluating() {
		spent := passed
		if st.Identity != nil { // from its end on
			spent = min(passed, st.Clock.Now().Sub(st.Identity.ExpiresAt))
		}
		st.Evaluations = st.Evaluations.Spend(st.licensed(), st.tags(), spent)
	}
	st.aged()
	st.tickReservation(r.Wall, passed, ran)
	if over := st.overDeadline(); over < 0 {
		st.Lapsed = license.Held{}
	} else {
		if st.Lapsed.Since.IsZero() {
			st.Lapsed.Since = r.Wall
		}
		st.Lapsed = st.Lapsed.Add(min(passed, over), min(ran, over))
	}
	if before.Suspect == nil && st.Clock.Suspect != nil {
		st.Authorization.Wake = r.Wall // one answer tells
	}
}

// overDeadline is how long the deadline of the last answer is over; negative while it is not or there is none.
func (st *state) overDeadline() time.Duration {
	if st.Identity == nil || st.Answer == nil {
		return -1
	}
	return st.Clock.Now().Sub(st.Answer.Deadline)
}

// standing is the state as the rules see it.
func (st *state) standing() license.Standing {
	s := license.Standing{
		Registering: st.Asked != nil && st.Asked.Text != "", Registered: st.Identity != nil && st.Removal == nil, Leaving: st.Removal != nil,
		Unknown: st.Unknown, UsesLicenses: st.uses(), Evaluation: st.evaluation(), Lapsed: st.Lapsed,
	}
	if st.Identity != nil {
		s.Expires = st.Identity.ExpiresAt
	}
	if st.Answer != nil {
		s.Answer, s.Deadline = st.answered(), st.Answer.Deadline
	}
	if st.Short != nil {
		s.Short = st.Short.Held
	}
	st.stands(&s)
	return s
}

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

// measure notes the authority's clock: an answer to a request that was made when the clock had passed so much.
func (st *state) measure(server time.Time, passed time.Duration) {
	st.Clock = st.Clock.Heard(server.UTC(), st.Clock.Passed-passed)
}

// giveUp makes the product unregistered. The evaluation runs on from where it was.
func (st *state) giveUp() {
	st.Identity, st.Pending, st.Answer, st.Short, st.Removal = nil, nil, nil, nil, nil
	st.Registered, st.Renewal, st.Authorization = attempt{}, schedule{}, schedule{}
	st.Lapsed, st.Unknown, st.Moved = license.Held{}, false, nil
}
