package agent

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// boot is the name of this run of the machine, empty where the system has none.
var boot = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(id))
})

// SystemUptime names the run of the machine and says how long it has lasted, time asleep included. It is read from /proc; a
// system without it gives no name, and its wall clock is believed.
func SystemUptime() (string, time.Duration) {
	raw, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "", 0
	}
	first, _, _ := strings.Cut(string(raw), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return "", 0
	}
	return boot(), time.Duration(seconds * float64(time.Second))
}
