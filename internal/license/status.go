package license

import "time"

// RegistrationStatus is what a product shows of its registration.
type RegistrationStatus string

// The states of a registration (smart licensing, section 13.1), in the words that products show.
const (
	Unregistered        RegistrationStatus = "UNREGISTERED"
	Registering         RegistrationStatus = "REGISTERING"
	Registered          RegistrationStatus = "REGISTERED"
	RegistrationExpired RegistrationStatus = "REGISTRATION EXPIRED"
	// RegistrationUnknown is a product that was registered and has lost what it knew about it.
	RegistrationUnknown RegistrationStatus = "REGISTERED - UNKNOWN"
	// RegisteredSpecific and RegisteredUniversal are products that hold a reservation.
	RegisteredSpecific  RegistrationStatus = "REGISTERED - SPECIFIC LICENSE RESERVATION"
	RegisteredUniversal RegistrationStatus = "REGISTERED - UNIVERSAL LICENSE RESERVATION"
)

// AuthorizationStatus is what a product shows of its authorization.
type AuthorizationStatus string

// The states of an authorization (smart licensing, section 13.2), in the words that products show.
const (
	StatusNone            AuthorizationStatus = "No Licenses in Use"
	StatusEvaluation      AuthorizationStatus = "EVAL MODE"
	StatusEvalExpired     AuthorizationStatus = "EVAL EXPIRED"
	StatusAuthorized      AuthorizationStatus = "AUTHORIZED"
	StatusOutOfCompliance AuthorizationStatus = "OUT OF COMPLIANCE"
	StatusExpired         AuthorizationStatus = "AUTHORIZATION EXPIRED"
	StatusReserved        AuthorizationStatus = "AUTHORIZED - RESERVED"
	StatusNotReserved     AuthorizationStatus = "NOT AUTHORIZED - RESERVED"
	// StatusUnknown goes with RegistrationUnknown.
	StatusUnknown AuthorizationStatus = "UNKNOWN"
)

// Held is how long something has lasted without a break, in time that certainly passed.
type Held struct {
	For time.Duration `json:"for"`
	// Ran is the part in which the machine certainly ran.
	Ran time.Duration `json:"ran"`
	// Contacts is how many signed answers said so.
	Contacts int `json:"contacts"`
	// Since is when it began, by the product's clock, for people.
	Since time.Time `json:"since,omitzero"`
}

// Confirmed says that a statement may allow less (reliability, rule R2): it was held for 72 hours of running time and said
// in two contacts.
func (h Held) Confirmed() bool { return h.Contacts >= 2 && h.Ran >= Patience }

// Add counts more time.
func (h Held) Add(passed, ran time.Duration) Held {
	h.For, h.Ran = h.For+passed, h.Ran+ran
	return h
}

// Standing is what is known on a product about its own licensing. ShownRegistration and ShownStatus turn it into words, and
// Decide into what is allowed.
type Standing struct {
	// Registering says that a registration is being tried.
	Registering bool
	// Registered says that the product holds an identity; a removal that was said and is not confirmed yet takes it from
	// what is shown, and Leaving says so.
	Registered bool
	Leaving    bool
	// Unknown says that the product was registered and has lost its state.
	Unknown bool
	// Expires is the end of the identity, in the authority's time; zero for none.
	Expires      time.Time
	UsesLicenses bool
	// Answer is the status in the last answer of the authority, empty when there was none.
	Answer AuthorizationStatus
	// Deadline is the instant up to which the last answer holds, in the authority's time.
	Deadline time.Time
	// Evaluation is that of the licensed version.
	Evaluation EvaluationClock
	// Reserved says that a reservation is installed, Universal that it covers every use, Uncovered that it lacks a tag or a
	// count that is in use, and Lacking for how long.
	Reserved  bool
	Universal bool
	Uncovered bool
	Lacking   Held
	// Short is for how long the answers have said out of compliance, from the first to the last of them: what no answer
	// has said does not count. Lapsed is for how long the authorization has been expired.
	Short  Held
	Lapsed Held
}

// ShownRegistration is the one place where the shown status of a registration is decided. now is the authority's time.
func ShownRegistration(s Standing, now time.Time) RegistrationStatus {
	switch {
	case s.Reserved && s.Universal:
		return RegisteredUniversal
	case s.Reserved:
		return RegisteredSpecific
	case s.Unknown:
		return RegistrationUnknown
	case s.identityOver(now):
		return RegistrationExpired
	case s.Registered:
		return Registered
	case s.Registering:
		return Registering
	}
	return Unregistered
}

func (s Standing) identityOver(now time.Time) bool {
	return s.Registered && !s.Expires.IsZero() && !now.Before(s.Expires)
}

// ShownStatus is the one place where the shown status of an authorization is decided. It decides what is shown, not what
// is allowed: that is for Decide. now is the authority's time.
func ShownStatus(s Standing, now time.Time) AuthorizationStatus {
	evaluation := StatusEvaluation
	if s.Evaluation.Expired() {
		evaluation = StatusEvalExpired
	}
	switch {
	case s.Reserved && s.Uncovered:
		return StatusNotReserved
	case s.Reserved:
		return StatusReserved
	case !s.UsesLicenses && (!s.Registered || s.Answer != StatusOutOfCompliance):
		return StatusNone
	case s.Unknown:
		return StatusUnknown
	case !s.Registered, s.identityOver(now):
		return evaluation
	case s.lapsed(now):
		return StatusExpired
	case s.Answer == "":
		return evaluation
	}
	return s.Answer
}

func (s Standing) lapsed(now time.Time) bool { return !s.Deadline.IsZero() && !now.Before(s.Deadline) }
