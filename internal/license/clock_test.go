package license

import (
	"testing"
	"time"
)

// machine is a machine with its clocks.
type machine struct {
	wall time.Time
	boot string
	up   time.Duration
}

func (m *machine) pass(d time.Duration) { m.wall, m.up = m.wall.Add(d), m.up+d }
func (m *machine) read() Reading        { return Reading{Wall: m.wall, Boot: m.boot, Up: m.up} }

func TestClockRules(t *testing.T) {
	t.Parallel()
	const year = 365 * day
	m := &machine{wall: noon, boot: "a", up: time.Hour}
	var c Clock
	look := func(name string, passed time.Duration, now time.Time, suspect bool) {
		t.Helper()
		before := c
		c = c.Advance(m.read())
		if got := c.Passed - before.Passed; got != passed {
			t.Errorf("%s: %s passed, want %s", name, got, passed)
		}
		if !c.Now().Equal(now) {
			t.Errorf("%s: now is %s, want %s", name, c.Now(), now)
		}
		if (c.Suspect != nil) != suspect {
			t.Errorf("%s: suspect is %v", name, c.Suspect)
		}
	}
	look("the first look", 0, noon, false)
	m.pass(100 * day)
	at := noon.Add(100 * day)
	look("time passes", 100*day, at, false)
	m.wall = m.wall.Add(-10 * year)
	look("set back", 0, at, false)
	if c.Behind() != 10*year {
		t.Errorf("behind by %s", c.Behind())
	}
	m.pass(day)
	at = at.Add(day)
	look("time passes on a clock that is behind", day, at, false)
	m.wall = at
	look("mended", 0, at, false)
	m.wall = at.Add(30 * year)
	look("thirty years ahead", 0, at, true)
	m.pass(71 * time.Hour)
	at = at.Add(71 * time.Hour)
	look("not believed yet", 71*time.Hour, at, true)
	m.wall = m.wall.Add(-30 * year)
	look("mended in time", 0, at, false)
	m.wall = at.Add(2 * year)
	look("ahead again", 0, at, true)
	m.pass(72 * time.Hour)
	at = at.Add(72*time.Hour + 2*year)
	look("believed after 72 hours", 72*time.Hour, at, false)
	c = c.Heard(at.Add(-2*year), 0)
	at = at.Add(-2 * year)
	if !c.Now().Equal(at) || c.Skew != -2*year {
		t.Errorf("a signed time does not bring it back: %s, skew %s", c.Now(), c.Skew)
	}
	m.boot, m.up = "b", time.Minute
	m.wall = m.wall.Add(20 * time.Hour)
	at = at.Add(20 * time.Hour)
	look("off for a night", 20*time.Hour, at, false)
	m.boot, m.up = "c", time.Minute
	m.wall = m.wall.Add(40 * day)
	at = at.Add(day + time.Minute)
	look("off for forty days", day+time.Minute, at, true)
	m.boot, m.up = "d", 400*day
	m.wall = m.wall.Add(time.Second)
	look("another machine of the cluster", time.Second, at.Add(time.Second), true)
	m.boot = ""
	m.wall = m.wall.Add(time.Hour)
	look("a product that vouches for its clock", time.Hour, m.wall.Add(c.Skew), false)
}

// TestManySmallLeapsAreOneLarge: steps that are small enough each do not add up unseen.
func TestManySmallLeapsAreOneLarge(t *testing.T) {
	t.Parallel()
	m := &machine{wall: noon, boot: "a"}
	c := Clock{}.Advance(m.read())
	for range 30 {
		m.wall = m.wall.Add(20 * time.Hour)
		m.pass(time.Hour)
		c = c.Advance(m.read())
	}
	if c.Passed != 30*time.Hour || c.Suspect == nil || c.Now().Sub(noon) > 30*time.Hour {
		t.Errorf("clock is %+v", c)
	}
}

func TestRule29LateAnswersDoNotMoveTheClock(t *testing.T) {
	t.Parallel()
	m := &machine{wall: noon, boot: "a"}
	c := Clock{}.Advance(m.read()).Heard(noon.Add(59*time.Minute), 0)
	if c.Skew != 59*time.Minute {
		t.Errorf("skew is %s", c.Skew)
	}
	m.pass(10 * day)
	c = c.Advance(m.read())
	// The stored answer of a request that was made ten days ago.
	if late := c.Heard(noon.Add(59*time.Minute), 10*day); late.Skew != 59*time.Minute || !late.Now().Equal(c.Now()) {
		t.Errorf("skew is %s, now %s", late.Skew, late.Now())
	}
}
