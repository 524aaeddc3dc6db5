//go:build testclock

package main

import (
	"os"
	"strings"
	"time"
)

// clock returns a clock that tests drive through the file that TALLY_TEST_CLOCK names, read at every call: a duration such
// as 2160h is added to the system's time, an RFC 3339 instant takes its place. Without a readable file it is the system's.
func clock() func() time.Time {
	path := os.Getenv("TALLY_TEST_CLOCK")
	if path == "" {
		return time.Now
	}
	return func() time.Time {
		text, err := os.ReadFile(path) //nolint:gosec // the test names its own file
		if err != nil {
			return time.Now()
		}
		word := strings.TrimSpace(string(text))
		if shift, err := time.ParseDuration(word); err == nil {
			return time.Now().Add(shift)
		}
		if at, err := time.Parse(time.RFC3339, word); err == nil {
			return at
		}
		return time.Now()
	}
}
