package license

import "time"

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
)

// Standing is what is known on a product about its own licensing; ShownStatus turns it into one word.
type Standing struct {
	Registered   bool
	UsesLicenses bool
	// Answer is the status in the last answer of the authority, empty when there was none.
	Answer AuthorizationStatus
	// Deadline is the instant up to which the last answer holds, in the authority's time.
	Deadline   time.Time
	Evaluation EvaluationClock
}

// ShownStatus is the one place where the shown status of an authorization is decided. It decides what is shown, not what
// is allowed: a product keeps working in every one of these states.
func ShownStatus(s Standing, now time.Time) AuthorizationStatus {
	switch {
	case !s.UsesLicenses && (!s.Registered || s.Answer != StatusOutOfCompliance):
		return StatusNone
	case s.Registered && !s.Deadline.IsZero() && !now.Before(s.Deadline):
		return StatusExpired
	case !s.Registered && s.Evaluation.Expired():
		return StatusEvalExpired
	case !s.Registered, s.Answer == "":
		return StatusEvaluation
	}
	return s.Answer
}
