package license

import "time"

// EvaluationClock counts the time in which a product uses licenses without being registered. It only ever grows: it is
// stopped by registration and runs on from where it was when registration is lost (domain rule 32).
type EvaluationClock struct {
	// Used is the time spent so far.
	Used time.Duration `json:"used"`
	// Seen is the latest instant at which the clock was advanced; a clock set back does not give time back.
	Seen time.Time `json:"seen"`
}

// Advance moves the clock to now. It counts only when running is true, which callers set while the product is
// unregistered and uses at least one license. A product clock that stepped back adds nothing; the high-water mark stays.
func (c EvaluationClock) Advance(now time.Time, running bool) EvaluationClock {
	if c.Seen.IsZero() || !now.After(c.Seen) {
		if c.Seen.IsZero() {
			c.Seen = now
		}
		return c
	}
	if running {
		c.Used = min(Evaluation, c.Used+now.Sub(c.Seen))
	}
	c.Seen = now
	return c
}

// Remaining is what is left of the 90 days, never negative.
func (c EvaluationClock) Remaining() time.Duration { return max(0, Evaluation-c.Used) }

// Expired says that nothing is left.
func (c EvaluationClock) Expired() bool { return c.Remaining() == 0 }
