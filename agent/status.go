package agent

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/wire"
)

// The states of a registration, in the words that products show.
const (
	Unregistered        = string(license.Unregistered)
	Registering         = string(license.Registering)
	Registered          = string(license.Registered)
	RegistrationExpired = string(license.RegistrationExpired)
	RegistrationUnknown = string(license.RegistrationUnknown)
	RegisteredSpecific  = string(license.RegisteredSpecific)
	RegisteredUniversal = string(license.RegisteredUniversal)
)

// Waiting is the status of a license whose use the authority has not answered yet.
const Waiting = "WAITING"

// Status is all that a product can show about its licensing. Its JSON form is a contract. Times are by the product's
// clock except Registration.ExpiresAt and Authorization.Deadline, which are the authority's; a zero time is left out.
type Status struct {
	Product      Product `json:"product"`
	UDI          string  `json:"udi"`
	AgentVersion string  `json:"agentVersion"`
	// Transport is the address of the authority or the gateway, empty while none is set. Route says the whole way.
	Transport string      `json:"transport,omitempty"`
	Route     RouteStatus `json:"route,omitzero"`
	// Privacy is what the authority is not told.
	Privacy       Privacy       `json:"privacy"`
	Registration  Registration  `json:"registration"`
	Authorization Authorization `json:"authorization"`
	Licenses      []License     `json:"licenses,omitempty"`
	// Reservation is where the ceremony of a reservation stands; absent when there never was one.
	Reservation *ReservationStatus `json:"reservation,omitempty"`
	// Decision is what the product may do now.
	Decision Decision `json:"decision"`
	// Cluster is the place of the product in its cluster; nil without one.
	Cluster *ClusterStatus `json:"cluster,omitempty"`
	// Findings are what somebody should look at; most are none.
	Findings []Finding `json:"findings,omitempty"`
	// Messages counts what became of the messages of each kind that was sent.
	Messages []Messages `json:"messages,omitempty"`
	// ClockSkewSeconds is the authority's clock minus the product's, as measured at the last exchange.
	ClockSkewSeconds int64 `json:"clockSkewSeconds"`
	// WaitingIntervals is how many intervals no answer has acknowledged yet.
	WaitingIntervals int `json:"waitingIntervals"`
}

// Registration is the identity of the product.
type Registration struct {
	// Status is UNREGISTERED, REGISTERING, REGISTERED, REGISTRATION EXPIRED, REGISTERED - UNKNOWN, or, with a reservation,
	// REGISTERED - SPECIFIC LICENSE RESERVATION or REGISTERED - UNIVERSAL LICENSE RESERVATION.
	Status           string    `json:"status"`
	Account          string    `json:"account,omitempty"`
	VirtualAccount   string    `json:"virtualAccount,omitempty"`
	Instance         string    `json:"instance,omitempty"`
	ExportControlled bool      `json:"exportControlled"`
	Initial          Attempt   `json:"initial"`
	LastRenewal      Attempt   `json:"lastRenewal"`
	NextRenewal      time.Time `json:"nextRenewal,omitzero"`
	// NextTry is when a registration that is being tried is tried again.
	NextTry   time.Time `json:"nextTry,omitzero"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// Orphan is the instance that was given up here while the authority could not be reached, and that must be removed
	// there by hand.
	Orphan string `json:"orphan,omitempty"`
}

// Authorization is the right to the use that was reported.
type Authorization struct {
	// Status is No Licenses in Use, EVAL MODE, EVAL EXPIRED, AUTHORIZED, OUT OF COMPLIANCE or AUTHORIZATION EXPIRED, or, with a
	// reservation, AUTHORIZED - RESERVED or NOT AUTHORIZED - RESERVED.
	Status string `json:"status"`
	// Since is when the status came: the last answer, the first answer of an uninterrupted lack, or the deadline passed.
	Since       time.Time `json:"since,omitzero"`
	LastAttempt Attempt   `json:"lastAttempt"`
	NextAttempt time.Time `json:"nextAttempt,omitzero"`
	Deadline    time.Time `json:"deadline,omitzero"`
	// EvaluationSeconds is what is left of the 90 days of the licensed version, EvaluationVersion.
	EvaluationSeconds int64  `json:"evaluationSeconds"`
	EvaluationVersion string `json:"evaluationVersion,omitempty"`
}

// Attempt is how an exchange ended.
type Attempt struct {
	// Outcome is SUCCEEDED, FAILED, or empty when none was made.
	Outcome string    `json:"outcome,omitempty"`
	At      time.Time `json:"at,omitzero"`
	// Reason is one line of text after a failure.
	Reason string `json:"reason,omitempty"`
}

// The outcomes of an Attempt.
const (
	Succeeded = "SUCCEEDED"
	Failed    = "FAILED"
)

// License is one tag that the product uses.
type License struct {
	Tag string `json:"tag"`
	// Name is the authority's, empty before its first answer.
	Name  string `json:"name,omitempty"`
	Count int64  `json:"count"`
	// Status is AUTHORIZED, OUT OF COMPLIANCE, WAITING, or that of the whole authorization in its other states.
	Status   string   `json:"status"`
	Entitled int64    `json:"entitled,omitempty"`
	Shortage int64    `json:"shortage,omitempty"`
	Why      []Reason `json:"why,omitempty"`
}

// Status says how things stand. It reads the kept state and nothing else: no network, no lock.
func (a *Agent) Status(ctx context.Context) (Status, error) {
	st, _, err := a.load(ctx)
	if err != nil {
		return Status{}, err
	}
	if err := st.initialized(); err != nil {
		return Status{}, err
	}
	return st.show(), nil
}

// show is the state as people see it at its last look at the clocks.
func (st *state) show() Status {
	standing, now := st.standing(), st.Clock.Now()
	s := Status{
		Product: st.product(), UDI: st.Product.UDI(), AgentVersion: Version, Transport: st.Route.Address, Route: Route(st.Route).show(), Privacy: st.Privacy,
		Registration: st.showRegistration(license.ShownRegistration(standing, now)),
		Authorization: Authorization{
			LastAttempt: st.Authorization.Last.show(), NextAttempt: st.Authorization.Next,
			EvaluationSeconds: int64(standing.Evaluation.Remaining() / time.Second), EvaluationVersion: st.licensed(),
		},
		Reservation: st.showReservation(), Decision: st.decide(), Findings: st.findings(), Cluster: st.showCluster(), Messages: st.messages(),
		ClockSkewSeconds: int64(st.Clock.Skew.Round(time.Second) / time.Second), WaitingIntervals: len(st.Intervals),
	}
	if st.Answer != nil {
		s.Authorization.Deadline = st.Answer.Deadline
	}
	shown := license.ShownStatus(standing, now)
	s.Authorization.Status = string(shown)
	switch shown {
	case license.StatusAuthorized:
		s.Authorization.Since = st.Answer.At
	case license.StatusOutOfCompliance:
		s.Authorization.Since = standing.Short.Since
	case license.StatusExpired:
		s.Authorization.Since = st.Answer.Deadline
	case license.StatusReserved:
		s.Authorization.Since = st.reserved().InstalledAt
	case license.StatusNotReserved:
		s.Authorization.Since = standing.Lacking.Since
	}
	for _, u := range usesOf(st.Usage) {
		if u.Count > 0 {
			s.Licenses = append(s.Licenses, st.showLicense(u, shown))
		}
	}
	return st.asMember(s)
}

// answered is the status in the last answer. Use that began after an answer without any is authorized by no answer yet.
func (st *state) answered() license.AuthorizationStatus {
	status := license.AuthorizationStatus(st.Answer.Status)
	if status == license.StatusNone && st.uses() {
		return ""
	}
	return status
}

func (st *state) showRegistration(status license.RegistrationStatus) Registration {
	r := Registration{
		Status: string(status), Initial: st.Registered.show(), LastRenewal: st.Renewal.Last.show(), Orphan: st.Orphan,
	}
	if st.Asked != nil && st.Asked.Text != "" {
		r.NextTry = st.Asked.Tries.Next
	}
	if g := st.reserved(); g != nil {
		r.Account, r.VirtualAccount, r.Initial = g.Account.Name, g.VirtualAccount.Name, Attempt{Outcome: Succeeded, At: g.InstalledAt}
	}
	if id := st.Identity; id != nil && st.Removal == nil {
		r.Account, r.VirtualAccount, r.Instance, r.ExportControlled = id.Account.Name, id.VirtualAccount.Name, id.Instance, id.Exported
		r.Initial = Attempt{Outcome: Succeeded, At: id.RegisteredAt}
		r.NextRenewal, r.ExpiresAt = st.Renewal.Next, id.ExpiresAt
	}
	return r
}

func (st *state) showLicense(u wire.Usage, shown license.AuthorizationStatus) License {
	l := License{Tag: string(u.Tag), Count: u.Count, Status: string(shown)}
	if st.reserved() != nil {
		l.Name, l.Entitled, l.Shortage, l.Status = st.reservedLicense(u.Tag)
		return l
	}
	if st.Answer == nil {
		if st.Identity != nil && st.Removal == nil {
			l.Status = Waiting
		}
		return l
	}
	i := slices.IndexFunc(st.Answer.Tags, func(t TagAnswer) bool { return t.Tag == l.Tag })
	if i < 0 {
		l.Status = Waiting
		return l
	}
	t := st.Answer.Tags[i]
	l.Name, l.Entitled, l.Shortage, l.Why = t.Name, t.Entitled, t.Shortage, t.Why
	if shown == license.StatusAuthorized || shown == license.StatusOutOfCompliance {
		l.Status = string(license.StatusAuthorized)
		switch {
		case t.Requested != l.Count:
			l.Status = Waiting
		case license.Compliance(t.Status) == license.OutOfCompliance:
			l.Status = string(license.StatusOutOfCompliance)
		}
	}
	return l
}

func (a attempt) show() Attempt {
	switch {
	case a.At.IsZero():
		return Attempt{}
	case a.Reason != "":
		return Attempt{Outcome: Failed, At: a.At, Reason: a.Reason}
	}
	return Attempt{Outcome: Succeeded, At: a.At}
}
