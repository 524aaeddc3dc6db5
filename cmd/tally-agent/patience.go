package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

const (
	patienceLimit = 60 * time.Second
	firstPause    = 500 * time.Millisecond
	longestPause  = 8 * time.Second
)

// patience repeats exchanges that did not reach the authority, for a minute altogether.
type patience struct {
	shell *shell
	until time.Time
	pause time.Duration
}

func newPatience(s *shell) *patience {
	return &patience{shell: s, until: time.Now().Add(patienceLimit), pause: firstPause}
}

// try calls exchange until it succeeds, fails for another reason than an authority that is away, or the minute is over. It
// never comes earlier than the authority asked for.
func (p *patience) try(ctx context.Context, exchange func(context.Context) error) error {
	limited, cancel := context.WithDeadline(ctx, p.until)
	defer cancel()
	for {
		err := exchange(limited)
		away, ok := errors.AsType[*agent.Unreachable](err)
		if !ok || license.AsError(err) != nil { // or a proxy that wants another password: waiting helps nobody
			return err
		}
		pause := max(away.RetryAfter, p.pause/2+rand.N(p.pause/2)) //nolint:gosec // spreads attempts, keeps no secret
		if time.Until(p.until) <= pause {
			return err
		}
		p.pause = min(2*p.pause, longestPause)
		if p.shell.terminal {
			fmt.Fprintf(p.shell.stderr, "%v; trying again in %s\n", away, pause.Round(time.Second/10))
		}
		timer := time.NewTimer(pause)
		select {
		case <-limited.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}
