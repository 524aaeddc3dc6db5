package conference

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	gapGrace = time.Hour       // how long records may be late that nobody announced as lost
	gapEvery = 5 * time.Minute // how often it is looked for them
	gapsOnce = 100             // of a bridge that become losses at once
)

// hole is numbers of a session between others that were heard, of which nothing was heard and that no loss explains. A call bridge
// numbers its records alike for all receivers, so they were made; it forgets them when somebody has answered 200, or announces them
// when it gives them up. A database that was restored from an older copy leaves such holes.
type hole struct {
	session   string
	low, high int64
}

// unexplained calls fn with the holes of a session that no loss is known for.
func (s *session) unexplained(fn func(low, high int64)) {
	if len(s.spans) < 2 {
		return
	}
	first, last := s.spans[0][0], s.highest()
	if len(s.losses) == 0 {
		s.holes(first, last, fn)
		return
	}
	known := session{spans: append([]span{}, s.spans...)}
	for _, l := range s.losses {
		var rest []span
		known.holes(max(l.low, first), min(l.high, last), func(low, high int64) { rest = append(rest, span{low, high}) })
		for _, r := range rest {
			known.cover(r[0], r[1])
		}
	}
	known.holes(first, last, fn)
}

// overdue lists holes that were there an hour ago already, and notes those that are new.
func (c *cluster) overdue(now time.Time) []hole {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []hole
	seen := map[hole]time.Time{}
	for _, s := range c.sessions {
		if !c.counts(s.bridge) {
			continue
		}
		s.unexplained(func(low, high int64) {
			h := hole{s.id, low, high}
			since, known := c.holes[h]
			if !known {
				since = now
			}
			seen[h] = since
			if now.Sub(since) >= gapGrace && len(out) < gapsOnce {
				out = append(out, h)
			}
		})
	}
	c.holes = seen
	return out
}

// noteGaps makes losses of the holes that were not filled within an hour: the meetings that were open then are marked incomplete,
// and mended when the records come after all. The clock of a hole begins anew where another server takes over.
func (e *Engine) noteGaps(ctx context.Context, account string) error {
	var all []db.Cluster
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = clusters(ctx, tx, account)
		return err
	})
	if err != nil {
		return outcome("look for records that never came", err)
	}
	for _, row := range all {
		c, err := e.cluster(ctx, account, row.ClusterID)
		if err != nil {
			return err
		}
		if err := c.noteGaps(ctx); err != nil {
			return outcome("look for records that never came", err)
		}
	}
	return nil
}

func (c *cluster) noteGaps(ctx context.Context) error {
	if err := c.catchUp(ctx); err != nil {
		return err
	}
	due := c.overdue(c.e.now())
	if len(due) == 0 {
		return nil
	}
	var notes []note
	for _, h := range due {
		next, err := c.after(ctx, h)
		if err != nil {
			return err
		}
		if next == nil { // its post is gone, and so is the time of the hole: its meetings stay as they were shown for long
			c.mu.Lock()
			c.holes[h] = store.At(far)
			c.mu.Unlock()
			continue
		}
		notes = append(notes, note{Session: h.session, CallBridge: next.CallBridge, Low: h.low, High: h.high, Asked: store.Ms(next.At)})
	}
	if len(notes) == 0 {
		return nil
	}
	if err := c.journal(ctx, notes...); err != nil {
		return err
	}
	if err := c.catchUp(ctx); err != nil {
		return err
	}
	c.e.dirty()
	return nil
}

// after is the record right behind a hole, nil where it is no longer kept.
func (c *cluster) after(ctx context.Context, h hole) (*cdr.Record, error) {
	l := newLookup()
	var found *cdr.Record
	err := c.e.store.View(ctx, func(tx *store.Tx) (err error) {
		found, err = c.stored(ctx, tx, identity{h.session, h.high + 1}, &l)
		return err
	})
	if found != nil && found.Kind == "" {
		found = nil
	}
	return found, err
}

// gone notes that records of a range never came, though others after them did, and nobody announced a loss. At is when the record
// behind them was made.
func (s *session) gone(low, high, at int64) bool {
	found := false
	var parts []span
	s.unexplained(func(l, h int64) {
		if l, h = max(l, low), min(h, high); l <= h {
			parts = append(parts, span{l, h})
		}
	})
	for _, p := range parts {
		s.lose(loss{lostGap, p[0], p[1], at, p[1] - p[0] + 1})
		found = true
	}
	return found
}
