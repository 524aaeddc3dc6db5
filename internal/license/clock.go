package license

import "time"

// The clock rules of a product (reliability, section 2 rows 3 and 4).
const (
	// Leap is how far a wall clock may run ahead of the time that certainly passed before it is suspect.
	Leap = 24 * time.Hour
	// Patience is how long the machine runs before a suspect clock is believed, and how long a signed statement that
	// allows less is held before it counts.
	Patience = 72 * time.Hour
)

// Reading is one look at the clocks of a machine.
type Reading struct {
	// Wall is the time of day that the machine shows.
	Wall time.Time
	// Boot names the run of the machine and Up is the time since it began, sleep included. An empty Boot says that the
	// product vouches for its wall clock, which is then believed whatever it shows.
	Boot string
	Up   time.Duration
}

// Suspicion is a wall clock that went ahead without time passing.
type Suspicion struct {
	// Since is what the wall clock showed when it was noticed, Jump how far ahead it was, Ran the running time then.
	Since time.Time     `json:"since"`
	Jump  time.Duration `json:"jump"`
	Ran   time.Duration `json:"ran"`
}

// Clock is what a product knows about time: an estimate of the authority's time that a wall clock which is set forward or
// back cannot spoil. Time that passes is taken from the machine's own count since it was started; across a restart at most a
// day of what the wall clock says counts beyond it. Only a signed answer may move the estimate back.
// The zero Clock has seen nothing yet.
type Clock struct {
	// Time is the authority's time at the last look, as far as it is certain.
	Time time.Time `json:"time"`
	// Wall, Boot and Up are the last look.
	Wall time.Time     `json:"wall"`
	Boot string        `json:"boot,omitempty"`
	Up   time.Duration `json:"up,omitempty"`
	// Skew is the authority's clock minus the product's wall clock at the last signed time.
	Skew time.Duration `json:"skew,omitempty"`
	// Signed is the last signed time, zero before the first.
	Signed time.Time `json:"signed,omitzero"`
	// Passed is all time that certainly passed since the first look; Ran is the part in which the machine certainly ran.
	Passed time.Duration `json:"passed"`
	Ran    time.Duration `json:"ran"`
	// Suspect is set while the wall clock is not believed.
	Suspect *Suspicion `json:"suspect,omitempty"`
}

// Advance takes a look at the clocks.
func (c Clock) Advance(r Reading) Clock {
	if c.Wall.IsZero() {
		c.Time, c.Wall, c.Boot, c.Up = r.Wall, r.Wall, r.Boot, r.Up
		return c
	}
	passed, ran := c.between(r)
	c.Time, c.Passed, c.Ran = c.Time.Add(passed), c.Passed+passed, c.Ran+ran
	c.Wall, c.Boot, c.Up = r.Wall, r.Boot, r.Up
	ahead := c.ahead()
	switch {
	case r.Boot == "":
		c.Suspect, c.Time = nil, c.Time.Add(max(ahead, 0))
	case ahead <= Leap:
		c.Suspect = nil
	case c.Suspect == nil, (ahead - c.Suspect.Jump).Abs() > Leap:
		c.Suspect = &Suspicion{Since: r.Wall, Jump: ahead, Ran: c.Ran}
	case c.Ran-c.Suspect.Ran >= Patience:
		c.Suspect, c.Time = nil, c.Time.Add(ahead)
	}
	return c
}

// between is the time that certainly passed between the last look and r, and that in which the machine certainly ran.
func (c Clock) between(r Reading) (passed, ran time.Duration) {
	wall := max(r.Wall.Sub(c.Wall), 0)
	switch r.Boot {
	case "":
		return wall, wall
	case c.Boot:
		ran = max(r.Up-c.Up, 0)
		return ran, ran
	}
	// Another run of the machine, or another machine of a cluster, whose time since the start says little by itself.
	ran = min(max(r.Up, 0), wall)
	return min(wall, ran+Leap), ran
}

// ahead is how far the wall clock is ahead of the certain time; negative when it is behind.
func (c Clock) ahead() time.Duration { return c.Wall.Add(c.Skew).Sub(c.Time) }

// Now is the authority's time at the last look: the later of the certain time and the wall clock, unless that is suspect.
func (c Clock) Now() time.Time {
	if ahead := c.ahead(); c.Suspect == nil && ahead > 0 {
		return c.Time.Add(ahead)
	}
	return c.Time
}

// Behind is how far the wall clock stands behind the time that is certain, zero when it does not.
func (c Clock) Behind() time.Duration { return max(-c.ahead(), 0) }

// Heard takes a signed time of the authority, given at some moment of the last waited. What is known stays when it fits
// into that time, so that the late answer to an early request moves nothing; otherwise the signed time wins, backwards too.
func (c Clock) Heard(server time.Time, waited time.Duration) Clock {
	t := c.Now()
	if last := server.Add(max(waited, 0)); t.After(last) {
		t = last
	}
	if t.Before(server) {
		t = server
	}
	c.Time, c.Skew, c.Signed, c.Suspect = t, t.Sub(c.Wall), server, nil
	return c
}
