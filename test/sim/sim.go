// Package sim plays years of an estate in seconds: real products (package agent), real desks, their clocks and their troubles
// (outages, clones, snapshots put back, clocks that jump), by seed. It knows what is true and counts harm: the time in which a
// product refused what it had allowed before, for a cause outside it.
package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/trust"
)

// Plan is what is played. The same plan gives the same trace.
type Plan struct {
	Seed            uint64
	Sites, Products int // Products are spread over the sites
	For             time.Duration
	Dir             string // for databases and keys; a file system in memory is faster
}

// Result is what it came to.
type Result struct {
	// Harm is the sum over all products; Fair is the time in which products refused because their own evaluation was over,
	// or their own virtual account had been short for more than 90 days and the product's policy says so.
	Harm, Fair time.Duration
	Harmed     []string
	// Clones and Restores are how many there were that a desk could know of; the others are how many of them it reported, and
	// how many products it reported that were neither.
	Clones, Restores, Reported, Unreported, FalseAlarms int
	Missed                                              []string
	Exchanges, Jumps, Outages                           int
	Trace                                               uint64
	Trouble                                             error // the books of a desk that do not agree
}

const tag = license.Tag("cms-smp-plus")

// Start is when the years begin.
func Start() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) }

// site is a desk with its products and its own course of time.
type site struct {
	index    int
	rand     *rand.Rand
	now      time.Time
	store    *store.Store
	desk     *authority.Authority
	who      access.Person
	account  string
	products []*product
	away     time.Time // the desk cannot be reached until then
	short    time.Time // since when its stock is below its use; zero while it is not
	bought   time.Time // when a shortage ended
	stock    int64
	orders   int

	jumps, outages int
}

// Play plays a plan. Sites run side by side and do not know of each other.
func Play(ctx context.Context, plan Plan) (Result, error) {
	var all Result
	sites := make([]*site, plan.Sites)
	failed := make([]error, plan.Sites)
	var running sync.WaitGroup
	for i := range sites {
		running.Go(func() {
			sites[i], failed[i] = open(ctx, plan, i)
			if failed[i] == nil {
				failed[i] = sites[i].play(ctx, plan.For)
			}
		})
	}
	running.Wait()
	for i, s := range sites {
		if s != nil {
			s.sum(ctx, &all)
			failed[i] = errors.Join(failed[i], s.store.Close())
		}
	}
	return all, errors.Join(failed...)
}

func open(ctx context.Context, plan Plan, index int) (*site, error) {
	s := &site{index: index, rand: rand.New(rand.NewPCG(plan.Seed, uint64(index))), now: Start(), who: access.Person{ID: "sim", Role: access.Administrator, Account: access.Site}}
	dir := filepath.Join(plan.Dir, fmt.Sprint("site-", index))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	now := func() time.Time { return s.now }
	keys, err := trust.OpenKeys(dir, s.now)
	if err != nil {
		return nil, err
	}
	if s.store, err = store.Open(ctx, store.Options{URL: filepath.Join(dir, "tally.db"), Now: now}); err != nil {
		return nil, err
	}
	s.desk = authority.New(authority.Options{Store: s.store, Keys: keys, Catalog: license.DefaultCatalog(), Now: now})
	account, err := s.desk.CreateAccount(ctx, s.who, "acme.example")
	if err != nil {
		return s, err
	}
	s.account = account.ID
	for i := index; i < plan.Products; i += plan.Sites {
		p, err := s.install(ctx, i)
		if err != nil {
			return s, err
		}
		s.products = append(s.products, p)
		s.stock += p.uses
	}
	// One site in five has a year of licenses only, and buys the next late.
	return s, s.buy(ctx, s.stock, s.late())
}

func (s *site) late() bool { return s.index%5 == 4 }

// install makes a product. Three of four are registered within ten days, most others within 60, one in fifty never.
func (s *site) install(ctx context.Context, i int) (*product, error) {
	p := &product{name: fmt.Sprintf("S%05d", i), policy: [...]string{"none", "ucm-12", "cwms-4"}[i%3], tag: tag, uses: 1 + s.rand.Int64N(20)}
	p.way = way{desk: s.desk, m: &p.m, site: s, rand: rand.New(rand.NewPCG(s.rand.Uint64(), uint64(i)))}
	p.m.boot = i * 1_000_000
	switch n := s.rand.IntN(100); {
	case n < 75:
		p.joins = s.now.Add(time.Duration(s.rand.Int64N(int64(10 * day))))
	case n < 98:
		p.joins = s.now.Add(time.Duration(s.rand.Int64N(int64(60 * day))))
	}
	if !p.joins.IsZero() {
		_, token, err := s.desk.CreateToken(ctx, s.who, s.account, authority.NewToken{Days: 365, MaxUses: 1})
		if err != nil {
			return nil, err
		}
		p.token = token.Reveal()
	}
	p.next = s.now
	return p, p.start(ctx, s.now)
}

// buy puts licenses into the account, for ever or for a year.
func (s *site) buy(ctx context.Context, n int64, year bool) error {
	s.orders++
	line := license.OrderLine{Tag: tag, Quantity: n}
	if year {
		line.Type, line.End = "TERM", license.Date{Time: s.now.Add(365 * day)}
	}
	_, err := s.desk.ImportOrder(ctx, s.who, s.account, license.Order{Number: fmt.Sprint("SO-", s.orders), Account: s.account, Lines: []license.OrderLine{line}})
	return err
}

// fair says whether p may have refused at an instant because of what its owner did or did not do.
func (s *site) fair(p *product, at time.Time) bool {
	switch {
	case p.joins.IsZero() && p.policy != "none":
		return at.Sub(Start()) > license.Evaluation
	case p.policy == "ucm-12" && !s.short.IsZero():
		return at.Sub(s.short) > license.Overage && (s.bought.IsZero() || at.Sub(s.bought) < 2*day)
	}
	return false
}

// trouble is one thing that happens.
type trouble struct {
	at time.Time
	do func(ctx context.Context) error
}

// play runs the site to the end of the plan.
func (s *site) play(ctx context.Context, length time.Duration) error {
	end := s.now.Add(length)
	troubles := s.troubles(length)
	for {
		var next *product
		for _, p := range s.products {
			if next == nil || p.next.Before(next.next) {
				next = p
			}
		}
		var t *trouble
		for i := range troubles {
			if t == nil || troubles[i].at.Before(t.at) {
				t = &troubles[i]
			}
		}
		if t != nil && t.at.Before(next.next) {
			s.now = later(s.now, t.at)
			do := t.do
			*t = troubles[len(troubles)-1]
			troubles = troubles[:len(troubles)-1]
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

// troubles are drawn from the seed before the play begins.
func (s *site) troubles(length time.Duration) []trouble {
	var all []trouble
	at := func(lead, tail time.Duration) time.Time {
		return s.now.Add(lead + time.Duration(s.rand.Int64N(int64(length-lead-tail))))
	}
	add := func(t time.Time, do func(context.Context) error) { all = append(all, trouble{t, do}) }
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
			add(t, func(context.Context) error { p.m.wrong = wrong; soon(); return nil })
			add(t.Add(time.Duration(s.rand.Int64N(int64(30*day)))), func(context.Context) error { p.m.wrong = 0; soon(); return nil })
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
				p.disk.raw = p.disk.saved[0]
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
		late := [...]time.Duration{40 * day, 130 * day}[s.index/5%2]
		add(ends.Add(late), func(ctx context.Context) error { s.bought = s.now; return s.buy(ctx, s.stock, false) })
	}
	return all
}

// clone copies a machine that runs. Both go on, and neither knows.
func (s *site) clone(ctx context.Context, p *product) error {
	c := &product{name: p.name, policy: p.policy, tag: p.tag, uses: p.uses, joined: true, joins: p.joins, next: s.now}
	c.disk.raw = p.disk.raw
	c.m = machine{wrong: p.m.wrong, boot: p.m.boot + 500_000}
	c.way = way{desk: s.desk, m: &c.m, site: s, rand: rand.New(rand.NewPCG(s.rand.Uint64(), 1))}
	p.copies++
	s.products = append(s.products, c)
	return c.start(ctx, s.now)
}

// sum adds the site to the result and looks at its books.
func (s *site) sum(ctx context.Context, all *Result) {
	all.Jumps, all.Outages = all.Jumps+s.jumps, all.Outages+s.outages
	forked := map[string]bool{}
	demand, truth := int64(0), int64(0)
	for page := (authority.Page{Limit: 1000}); ; {
		rows, next, err := s.desk.Instances(ctx, s.who, s.account, "", page)
		all.Trouble = errors.Join(all.Trouble, err)
		for _, in := range rows {
			forked[in.UDI] = !in.ForkedAt.IsZero()
		}
		if page.After = next; next == "" {
			break
		}
	}
	seen := map[string]bool{}
	for _, p := range s.products {
		all.Harm, all.Fair, all.Exchanges = all.Harm+p.harm, all.Fair+p.fair, all.Exchanges+p.way.exchanges
		all.Trace = all.Trace*1099511628211 ^ p.trace
		if p.harm > 0 {
			all.Harmed = append(all.Harmed, fmt.Sprintf("site %d, %s (%s): %s", s.index, p.name, p.policy, p.harm))
		}
		if seen[p.name] {
			continue
		}
		seen[p.name] = true
		st, err := p.agent.Status(ctx)
		all.Trouble = errors.Join(all.Trouble, err)
		all.Clones, all.Restores = all.Clones+p.copies, all.Restores+p.restored
		known := forked[st.UDI]
		switch told := p.copies+p.restored > 0; {
		case told && known:
			all.Reported++
		case told:
			all.Unreported++
			all.Missed = append(all.Missed, fmt.Sprintf("site %d, %s: %d copies, %d restored", s.index, p.name, p.copies, p.restored))
		case known && !p.doubtful:
			all.FalseAlarms++
			all.Missed = append(all.Missed, fmt.Sprintf("site %d, %s: marked, and is neither", s.index, p.name))
		}
		if st.Registration.Status == agent.Registered {
			truth += p.uses
		}
	}
	rows, err := s.desk.Licenses(ctx, s.who, s.account, "")
	all.Trouble = errors.Join(all.Trouble, err)
	for _, r := range rows {
		demand += r.InUse
	}
	if demand != truth {
		all.Trouble = errors.Join(all.Trouble, fmt.Errorf("site %d: the desk counts %d licenses in use, the products use %d", s.index, demand, truth))
	}
	if _, err := s.desk.VerifyEvents(ctx, s.who, s.account); err != nil {
		all.Trouble = errors.Join(all.Trouble, fmt.Errorf("site %d: %w", s.index, err))
	}
}
