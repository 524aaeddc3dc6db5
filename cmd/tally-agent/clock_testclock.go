//go:build testclock

package main

import (
	"os"
	"strings"
	"time"

	"github.com/tallystick/tallystick/agent"
)

// clock returns a clock that tests drive through the file that TALLY_TEST_CLOCK names, read at every call: a duration such
// as 2160h is added to the system's time, an RFC 3339 instant takes its place. Without a readable file it is the system's.
func clock() func() time.Time {
	return func() time.Time {
		word := driven()
		if shift, err := time.ParseDuration(word); err == nil {
			return time.Now().Add(shift)
		}
		if at, err := time.Parse(time.RFC3339, word); err == nil {
			return at
		}
		return time.Now()
	}
}

// uptime goes on by the duration in the same file: so much time has passed. An instant in it is a clock that was set, which
// lets no time pass.
func uptime() func() (string, time.Duration) {
	return func() (string, time.Duration) {
		boot, up := agent.SystemUptime()
		shift, _ := time.ParseDuration(driven())
		return boot, up + shift
	}
}

// driven is what the test's file says, nothing without one.
func driven() string {
	text, err := os.ReadFile(os.Getenv("TALLY_TEST_CLOCK")) //nolint:gosec // the test names its own file
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
