package sim

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
)

// trouble is one thing that happens.
type trouble struct {
	at time.Time
	do func(ctx context.Context) error
}

// play runs the site to the end of a window.
func (s *site) play(ctx context.Context, end time.Time) error {
	for {
		var next *product
		for _, p := range s.products {
			if next == nil || p.next.Before(next.next) {
				next = p
			}
		}
		var t *trouble
		for i := range s.troubles {
			if t == nil || s.troubles[i].at.Before(t.at) {
				t = &s.troubles[i]
			}
		}
		if t != nil && t.at.Before(next.next) && t.at.Before(end) {
			s.now = later(s.now, t.at)
			do := t.do
			*t = s.troubles[len(s.troubles)-1]
			s.troubles = s.troubles[:len(s.troubles)-1]
			if err := do(ctx); err != nil {
				return err
			}
			continue
		}
		if !next.next.Before(end) {
			return nil
		}
		s.now = later(s.now, next.next)
		if err := next.work(ctx, s.now); err != nil {
			return err
		}
	}
}

// plan draws the troubles from the seed before the play begins.
func (s *site) plan(length time.Duration) {
	at := func(lead, tail time.Duration) time.Time {
		return s.now.Add(lead + time.Duration(s.rand.Int64N(int64(length-lead-tail))))
	}
	add := func(t time.Time, do func(context.Context) error) { s.troubles = append(s.troubles, trouble{t, do}) }
	// Each site's desk is away twice, for up to 90 days.
	if !s.late() {
		for range 2 {
			away := time.Duration(s.rand.Int64N(int64(90 * day)))
			s.outages++
			add(at(70*day, 100*day), func(context.Context) error { s.away = later(s.away, s.now.Add(away)); return nil })
		}
	}
	for _, p := range s.products {
		soon := func() { p.next = s.now }
		for range 1 + s.rand.IntN(4) { // ordinary restarts
			add(at(0, 0), func(ctx context.Context) error { soon(); return p.start(ctx, s.now) })
		}
		switch s.rand.IntN(8) {
		case 0: // a wrong clock, from a second to 30 years, mended within a month
			wrong := time.Duration(math.Pow(10, s.rand.Float64()*math.Log10(30*365*86400)) * float64(time.Second))
			if s.rand.IntN(2) == 0 {
				wrong = -wrong
			}
			s.jumps++
			t := at(0, 40*day)
			add(t, func(context.Context) error { p.m.set(func() { p.m.wrong = wrong }); soon(); return nil })
			add(t.Add(time.Duration(s.rand.Int64N(int64(30*day)))), func(context.Context) error { p.m.set(func() { p.m.wrong = 0 }); soon(); return nil })
		case 1: // cut off from the desk
			if s.late() {
				break
			}
			away := time.Duration(s.rand.Int64N(int64(90 * day)))
			s.outages++
			add(at(70*day, 100*day), func(context.Context) error { p.way.away = s.now.Add(away); return nil })
		case 2: // a clone of the machine
			if p.joins.IsZero() {
				break
			}
			add(at(70*day, 100*day), func(ctx context.Context) error { return s.clone(ctx, p) })
		case 3: // a snapshot, put back some time later
			if p.joins.IsZero() {
				break
			}
			t := at(70*day, 200*day)
			var exchanges int
			add(t, func(context.Context) error {
				p.disk.saved, exchanges = append(p.disk.saved, p.disk.raw), p.way.exchanges
				return nil
			})
			add(t.Add(time.Duration(s.rand.Int64N(int64(90*day)))), func(ctx context.Context) error {
				_ = p.disk.Save(ctx, p.disk.saved[0])
				switch n := p.way.exchanges - exchanges; {
				case n > 2: // more than one answer that may have been lost
					p.restored++
				case n > 0:
					p.doubtful = true
				}
				soon()
				return p.start(ctx, s.now)
			})
		}
	}
	if s.late() { // what was bought for a year ends; the next purchase comes 40 or 130 days later
		ends := s.now.Add(365 * day)
		add(ends, func(context.Context) error { s.short = ends; return nil })
	}
}

// clone copies a machine that runs. Both go on, and neither knows.
func (s *site) clone(ctx context.Context, p *product) error {
	c := &product{name: p.name, policy: p.policy, tag: p.tag, uses: p.uses, joined: true, joins: p.joins, next: s.now}
	c.disk.raw = p.disk.raw
	c.m.wrong, c.m.boot = p.m.wrong, p.m.boot+500_000
	c.way = way{desk: s, m: &c.m, site: s, rand: rand.New(rand.NewPCG(s.rand.Uint64(), 1))}
	p.copies++
	s.products = append(s.products, c)
	return c.start(ctx, s.now)
}

// heed reads what the desk says of copies: at the end, and before it loses what it knows.
func (s *site) heed(ctx context.Context) error {
	for page := (authority.Page{Limit: 1000}); ; {
		rows, next, err := s.desk.Instances(ctx, s.who, s.account, "", page)
		if err != nil {
			return err
		}
		for _, in := range rows {
			s.reported[in.UDI] = s.reported[in.UDI] || !in.ForkedAt.IsZero()
		}
		if page.After = next; next == "" {
			return nil
		}
	}
}
