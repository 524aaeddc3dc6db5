package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tallystick/tallystick/test/play"
)

// ingest is what many records cost the server in memory.
type ingest struct {
	Records int     `json:"records"`
	Rate    float64 `json:"recordsPerSecond"`
	Peak    float64 `json:"peakMiB"` // resident, of the server's whole life so far
	Bound   float64 `json:"boundMiB"`
}

// ingest posts records, ten a post, until their meetings are written, and asks what memory the server had at most.
func (d *driver) ingest(bridges []*play.Bridge) error {
	const perPost, postsAtOnce = 10, 20_000
	var took time.Duration
	for left := d.records / perPost; left > 0; left -= postsAtOnce {
		t, err := d.dialer.settled(posts(bridges, d.server.Address, d.server.Receiver, min(left, postsAtOnce), perPost))
		if err != nil {
			return err
		}
		took += t
	}
	peak, err := d.server.peak()
	d.result.Ingest = &ingest{Records: d.records, Rate: float64(d.records) / took.Seconds(), Peak: peak, Bound: 300}
	return err
}

// peak is the most memory that the server ever had resident, in MiB.
func (p *process) peak() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the server's memory: %w", err)
	}
	_, rest, found := strings.Cut(string(text), "VmHWM:")
	kib := 0.0
	if _, err := fmt.Sscan(rest, &kib); !found || err != nil {
		return 0, fmt.Errorf("the server's memory is not told: %w", err)
	}
	return kib / 1024, nil
}
