package agent

import (
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// attempt is how an exchange ended, by the product's clock; the zero attempt was never made.
type attempt struct {
	At time.Time `json:"at,omitzero"`
	// Reason is one line; empty after success.
	Reason string `json:"reason,omitempty"`
}

// schedule says when something regular is tried next.
type schedule struct {
	Last attempt `json:"last,omitzero"`
	// Next is the time that is shown; Wake, at most five percent earlier, is when Run comes, so that products which
	// registered together do not come back together.
	Next         time.Time `json:"next,omitzero"`
	Wake         time.Time `json:"wake,omitzero"`
	Failures     int       `json:"failures,omitempty"`
	FailingSince time.Time `json:"failingSince,omitzero"`
}

// plan sets the next attempt after a success.
func (s *schedule) plan(now time.Time, interval time.Duration, chance float64) {
	*s = schedule{Last: s.Last, Next: now.Add(interval), Wake: now.Add(license.Jitter(interval, chance/2)).Truncate(time.Millisecond)}
}

// succeeded notes a success and plans the next attempt.
func (s *schedule) succeeded(now time.Time, interval time.Duration, chance float64) {
	s.Last = attempt{At: now}
	s.plan(now, interval, chance)
}

// failed notes a failure and sets the next attempt by the law of repeated attempts.
func (s *schedule) failed(now time.Time, reason string, chance float64, retryAfter time.Duration) {
	if s.Failures == 0 || now.Before(s.FailingSince) {
		s.FailingSince = now
	}
	s.Failures++
	s.Last = attempt{At: now, Reason: oneLine(reason)}
	s.Next = now.Add(license.RetryDelay(s.Failures, now.Sub(s.FailingSince), chance, retryAfter)).Truncate(time.Millisecond)
	s.Wake = s.Next
}

// due says whether to try now. A clock that went back behind the last attempt makes it due: otherwise a product whose
// clock was once years ahead would wait for years.
func (s *schedule) due(now time.Time) bool {
	return !now.Before(s.Wake) || now.Before(s.Last.At.Add(-time.Hour))
}

// oneLine makes a reason fit for one line of output.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "unknown"
	}
	if r := []rune(s); len(r) > 200 {
		return string(r[:199]) + "…"
	}
	return s
}
