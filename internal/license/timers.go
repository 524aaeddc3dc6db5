package license

import "time"

const day = 24 * time.Hour

// The timers of registration and authorization (domain rules 32 to 38). Next attempts count on the product's clock,
// expiry and deadline are instants of the authority's clock.
const (
	IdentityLife     = 365 * day // an ID certificate
	IdentityRenewal  = 180 * day // the product renews its identity after this time
	AuthorizeEvery   = 30 * day  // the next authorization while in compliance
	AuthorizeSooner  = 12 * time.Hour
	AuthorizeLife    = 90 * day // without any contact the authorization shows as expired
	Evaluation       = 90 * day // the whole budget of an unregistered product that consumes licenses
	TokenDaysMin     = 1
	TokenDaysMax     = 365
	TokenDaysDefault = 30
)

// NextAttempt says how long a product waits until its next authorization: 30 days in compliance, 12 hours out of it
// (domain rule 33).
func NextAttempt(inCompliance bool) time.Duration {
	if inCompliance {
		return AuthorizeEvery
	}
	return AuthorizeSooner
}

// RetryDelay is the law of repeated attempts after failed communication: full jitter over an exponential that starts at
// 30 s, capped at 15 minutes during the first day, at one hour until day 23, then at 12 hours. failures counts from 1;
// failing is how long contact has been missing; chance is in [0,1). retryAfter, when the other side gave one, is a lower
// bound. The result is at least one second.
func RetryDelay(failures int, failing time.Duration, chance float64, retryAfter time.Duration) time.Duration {
	limit := 15 * time.Minute
	switch {
	case failing > 23*day:
		limit = 12 * time.Hour
	case failing > day:
		limit = time.Hour
	}
	bound := limit
	if failures < 12 {
		bound = min(limit, 30*time.Second<<(max(failures, 1)-1))
	}
	delay := max(time.Second, time.Duration(chance*float64(bound)))
	return max(delay, retryAfter)
}

// Jitter spreads a regular interval by at most five percent either way, so that products that registered together do
// not come back together. chance is in [0,1).
func Jitter(interval time.Duration, chance float64) time.Duration {
	return interval + time.Duration((chance*2-1)*0.05*float64(interval))
}
