//go:build !testclock

package main

import "time"

// clock returns the clock of the program.
func clock() func() time.Time { return time.Now }
