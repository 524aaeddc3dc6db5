//go:build !testclock

package main

import (
	"time"

	"github.com/tallystick/tallystick/agent"
)

// clock returns the clock of the program.
func clock() func() time.Time { return time.Now }

// uptime returns how long this machine has been running.
func uptime() func() (string, time.Duration) { return agent.SystemUptime }
