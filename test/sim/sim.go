// Package sim plays years of an estate in seconds: an authority, its satellites, real products behind them (package agent), their
// clocks and their troubles (outages, lost files, clones, snapshots put back, clocks that jump, a satellite restored from an old
// backup, keys that are replaced or lost, a satellite that cheats), by seed. It knows what is true and counts harm: the time in which a
// product refused what it had allowed before, for a cause outside it.
package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/trust"
)

// Plan is what is played. The same plan gives the same trace.
type Plan struct {
	Seed            uint64
	Sites, Products int // each site has a satellite; Products are spread over the sites
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
	// Syncs were taken over by a satellite, LostFiles were not; Noticed is how many of the Backups put back satellites noticed.
	Syncs, LostFiles, Backups, Noticed int
	Exchanges, Jumps, Outages          int
	// AuthorityKeys and SatelliteKeys are how often keys were replaced, Lost how many satellites lost database and keys and were
	// rebuilt; Stranded are products whose authorization is over in the end, as they would be had they not followed their desk.
	AuthorityKeys, SatelliteKeys, Lost int
	Stranded                           []string
	// Cheats is how often a satellite lied to the authority, Lies how often it was to lie to a product of another site and Told how often
	// it did; Unnoticed is what the authority did not say of it, or what changed by it.
	Cheats, Lies, Told int
	Unnoticed          []string
	Trace              uint64
	Trouble            error // the books of a desk that do not agree
}

const tag = license.Tag("cms-smp-plus")

// Start is when the years begin.
func Start() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) }

// window is how long sites run side by side before files are carried and purchases made.
const window = 10 * day

// site is a satellite with its products and its own course of time.
type site struct {
	index    int
	name     string // of its virtual account too
	dir      string
	rand     *rand.Rand
	now      time.Time
	store    *store.Store
	desk     *authority.Authority
	sync     *satellite.Sync
	who      access.Person
	account  string
	ways     time.Time // no file is carried until then
	backup   string    // a copy of the database
	troubles []trouble
	products []*product
	away     time.Time // the desk cannot be reached until then
	short    time.Time // since when its stock is below its use; zero while it is not
	bought   time.Time // when a shortage ended
	stock    int64

	satellite, va  string // ids
	replaced, next string // its first keys, and those that replace them
	lost           bool   // database and keys, once
	cheated        time.Time
	lies           int

	running sync.WaitGroup // the window that it plays
	failed  error

	jumps, outages int
	reported       map[string]bool // UDIs of products of which the desk said that they are copies, as far as somebody looked
}

// Machine implements desk.
func (s *site) Machine(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	return s.desk.Machine(ctx, verb, envelope)
}

// begin lets the site run to the end of a window.
func (s *site) begin(ctx context.Context, end time.Time) {
	s.running.Go(func() { s.failed = s.play(ctx, end) })
}

// wait waits until the site has run to the end of its window.
func (s *site) wait() error {
	s.running.Wait()
	return s.failed
}

// Play plays a plan. Within a window of time sites run side by side; at its end files are carried, one after the other, and a site whose
// turn is over runs on. Only where one of them is to cheat all others wait, for a lie concerns two of them.
func Play(ctx context.Context, plan Plan) (Result, error) {
	var all Result
	top, err := openTop(ctx, plan)
	if err != nil {
		return all, err
	}
	defer func() { _ = top.store.Close() }()
	sites := make([]*site, plan.Sites)
	for i := range sites {
		if sites[i], err = top.site(ctx, plan, i); err != nil {
			return all, fmt.Errorf("site %d: %w", i, err)
		}
		defer func() {
			_ = sites[i].wait()
			_ = sites[i].store.Close()
		}()
	}
	end := Start().Add(plan.For)
	runOn := func(s *site, now time.Time) {
		if now.Before(end) {
			s.begin(ctx, now)
		}
	}
	for _, s := range sites {
		runOn(s, Start().Add(window))
	}
	for now := Start().Add(window); now.Before(end); now = now.Add(window) {
		top.now = now
		if err := top.replaceKeys(plan, &all); err != nil {
			return all, err
		}
		together := slices.ContainsFunc(sites, func(s *site) bool { return s.willCheat(now) })
		if together {
			for _, s := range sites {
				_ = s.wait() // asked again below
			}
		}
		for _, s := range sites {
			if err := s.wait(); err != nil {
				return all, fmt.Errorf("site %d: %w", s.index, err)
			}
			s.now = later(s.now, now)
			if err := errors.Join(s.keyEvents(ctx, top, plan, &all), s.cheat(ctx, top, sites, &all)); err != nil {
				return all, fmt.Errorf("site %d: %w", s.index, err)
			}
			if err := s.between(ctx, top, plan, &all); err != nil {
				return all, fmt.Errorf("site %d: %w", s.index, err)
			}
			if !together {
				runOn(s, now.Add(window))
			}
		}
		if together {
			for _, s := range sites {
				runOn(s, now.Add(window))
			}
		}
	}
	for _, s := range sites {
		s.sum(ctx, &all)
		s.sumCheats(&all)
		if err := errors.Join(s.compare(ctx, top, &all), s.sumKeys(ctx, top, &all)); err != nil {
			return all, err
		}
	}
	return all, top.sum(ctx, &all)
}

// top is the authority.
type top struct {
	now     time.Time
	store   *store.Store
	desk    *authority.Authority
	sync    *satellite.Sync
	who     access.Person
	account string
	orders  int
}

func openTop(ctx context.Context, plan Plan) (*top, error) {
	t := &top{now: Start(), who: access.Person{ID: "sim", Role: access.Administrator, Account: access.Site}}
	dir := filepath.Join(plan.Dir, "authority")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	now := func() time.Time { return t.now }
	keys, err := trust.OpenKeys(dir, t.now)
	if err != nil {
		return nil, err
	}
	if t.store, err = store.Open(ctx, store.Options{URL: filepath.Join(dir, "tally.db"), Now: now}); err != nil {
		return nil, err
	}
	t.desk = authority.New(authority.Options{Store: t.store, Keys: keys, Catalog: license.DefaultCatalog(), Now: now})
	t.sync = satellite.New(satellite.Options{Authority: t.desk, Now: now, Hosts: []string{"authority.example"}})
	account, err := t.desk.CreateAccount(ctx, t.who, "acme.example")
	t.account = account.ID
	return t, err
}

// site joins a satellite, installs its products and buys what they will use.
func (t *top) site(ctx context.Context, plan Plan, index int) (*site, error) {
	s := &site{index: index, name: fmt.Sprint("site-", index), rand: rand.New(rand.NewPCG(plan.Seed, uint64(index))), now: Start(), who: t.who, account: t.account, reported: map[string]bool{}}
	s.dir = filepath.Join(plan.Dir, s.name)
	made, token, err := t.sync.Create(ctx, t.who, t.account, satellite.NewSatellite{Name: s.name})
	if err != nil {
		return nil, err
	}
	if err := s.join(ctx, t, token.Reveal()); err != nil {
		return nil, err
	}
	vas, _, err := s.desk.VirtualAccounts(ctx, s.who, s.account, authority.Page{})
	if err != nil || len(vas) == 0 {
		return nil, fmt.Errorf("no virtual account of the satellite: %w", err)
	}
	s.satellite, s.va, s.cheated = made.ID, vas[0].ID, s.now
	for i := index; i < plan.Products; i += plan.Sites {
		p, err := s.install(ctx, i)
		if err != nil {
			return s, err
		}
		s.products = append(s.products, p)
		s.stock += p.uses
	}
	// One site in five has a year of licenses only, and buys the next late.
	if err := t.buy(ctx, s, s.late()); err != nil {
		return nil, err
	}
	s.plan(plan.For)
	_, err = s.exchange(ctx, t)
	return s, err
}

func (s *site) clock() time.Time { return s.now }

func (s *site) database() string { return filepath.Join(s.dir, "tally.db") }

// open makes the desk over the open store.
func (s *site) open() error {
	keys, err := trust.OpenKeys(s.dir, s.now)
	if err != nil {
		return err
	}
	s.desk = authority.New(authority.Options{Store: s.store, Keys: keys, Catalog: license.DefaultCatalog(), Now: s.clock})
	s.sync = satellite.New(satellite.Options{Authority: s.desk, Now: s.clock, Hosts: []string{s.name + ".example"}})
	return nil
}

// exchange carries a file up and its answer down.
func (s *site) exchange(ctx context.Context, t *top) (satellite.Applied, error) {
	file, err := s.sync.Export(ctx, s.who, s.account, satellite.File)
	if err != nil {
		return satellite.Applied{}, err
	}
	reply, err := t.sync.Answer(ctx, file, satellite.File)
	if reply == nil {
		return satellite.Applied{}, err
	}
	return s.sync.Apply(ctx, s.who, s.account, reply, satellite.File)
}

// between is what happens to a site between two windows: a purchase, a file each way about once a month, of which one in five is
// lost on either way, and once a backup that is put back.
func (s *site) between(ctx context.Context, t *top, plan Plan, all *Result) error {
	if s.late() && s.bought.IsZero() && !s.short.IsZero() && s.now.Sub(s.short) >= s.gap() {
		if err := t.buy(ctx, s, false); err != nil {
			return err
		}
		s.bought = s.now
	}
	if s.index%5 == 2 {
		switch since := s.now.Sub(Start()); {
		case s.backup == "" && since > plan.For/3:
			s.backup = filepath.Join(s.dir, "backup.db")
			if err := s.swap(ctx, s.database(), s.backup); err != nil {
				return err
			}
		case s.backup != "" && all.Backups <= s.index/5 && since > plan.For/2:
			all.Backups++
			if err := s.heed(ctx); err != nil {
				return err
			}
			if err := s.swap(ctx, s.backup, s.database()); err != nil {
				return err
			}
			for _, p := range s.products {
				p.doubtful = true // what the desk had noted of copies may be gone with what it lost
			}
		}
	}
	if s.now.Before(s.ways) && (s.bought.IsZero() || s.bought.Before(s.now)) {
		return nil
	}
	s.ways = s.now.Add(25 * day)
	if s.rand.IntN(10) == 0 { // nobody carries anything for up to 90 days
		s.ways = s.now.Add(time.Duration(s.rand.Int64N(int64(90 * day))))
	}
	switch n := s.rand.IntN(10); {
	case n == 0 && s.bought.IsZero(): // lost on the way up
		all.LostFiles++
		_, err := s.sync.Export(ctx, s.who, s.account, satellite.File)
		return err
	case n == 1 && s.bought.IsZero(): // lost on the way down
		all.LostFiles++
		file, err := s.sync.Export(ctx, s.who, s.account, satellite.File)
		if err == nil {
			_, err = t.sync.Answer(ctx, file, satellite.File)
		}
		if license.AsError(err) != nil {
			return nil // the answer that was lost says why
		}
		return err
	}
	out, err := s.exchange(ctx, t)
	if err != nil {
		return err
	}
	all.Syncs++
	if err := s.compare(ctx, t, all); err != nil {
		return err
	}
	if out.Restored {
		all.Noticed++
		s.ways = s.now // the next one says everything
	}
	return nil
}

// swap closes the database, copies one file over another, and opens it again.
func (s *site) swap(ctx context.Context, from, to string) error {
	if err := s.store.Close(); err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		return err
	}
	if s.store, err = store.Open(ctx, store.Options{URL: s.database(), Now: s.clock}); err != nil {
		return err
	}
	return s.open()
}

// buy puts licenses for all that a site uses into its virtual account, for ever or for a year.
func (t *top) buy(ctx context.Context, s *site, year bool) error {
	t.orders++
	line := license.OrderLine{Tag: tag, Quantity: s.stock, VirtualAccount: s.name}
	if year {
		line.Type, line.End = "TERM", license.Date{Time: t.now.Add(365 * day)}
	}
	_, err := t.desk.ImportOrder(ctx, t.who, t.account, license.Order{Number: fmt.Sprint("SO-", t.orders), Account: t.account, Lines: []license.OrderLine{line}})
	return err
}

// gap is how late a late site buys.
func (s *site) gap() time.Duration { return [...]time.Duration{40 * day, 130 * day}[s.index/5%2] }

func (s *site) late() bool { return s.index%5 == 4 }

// install makes a product. Three of four are registered within ten days, most others within 60, one in fifty never.
func (s *site) install(ctx context.Context, i int) (*product, error) {
	p := &product{name: fmt.Sprintf("S%05d", i), policy: [...]string{"none", "ucm-12", "cwms-4"}[i%3], tag: tag, uses: 1 + s.rand.Int64N(20)}
	p.way = way{desk: s, m: &p.m, site: s, rand: rand.New(rand.NewPCG(s.rand.Uint64(), uint64(i)))}
	p.m.boot = i * 1_000_000
	switch n := s.rand.IntN(100); {
	case n < 75:
		p.joins = s.now.Add(time.Duration(s.rand.Int64N(int64(10 * day))))
	case n < 98:
		p.joins = s.now.Add(time.Duration(s.rand.Int64N(int64(60 * day))))
	}
	if !p.joins.IsZero() {
		_, token, err := s.desk.CreateToken(ctx, s.who, s.account, authority.NewToken{VirtualAccount: s.name, Days: 365, MaxUses: 1})
		if err != nil {
			return nil, err
		}
		p.token = token.Reveal()
	}
	p.next = s.now
	return p, p.start(ctx, s.now)
}

// fair says whether p may have refused at an instant because of what its owner did or did not do.
func (s *site) fair(p *product, at time.Time) bool {
	switch {
	case p.joins.IsZero() && p.policy != "none":
		return at.Sub(Start()) >= license.Evaluation
	case p.policy == "ucm-12" && !s.short.IsZero():
		return at.Sub(s.short) > license.Overage && (s.bought.IsZero() || at.Sub(s.bought) < window+2*day)
	}
	return false
}

// sum adds the site to the result and looks at its books.
func (s *site) sum(ctx context.Context, all *Result) {
	all.Jumps, all.Outages = all.Jumps+s.jumps, all.Outages+s.outages
	demand, truth := int64(0), int64(0)
	all.Trouble = errors.Join(all.Trouble, s.heed(ctx))
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
		known := s.reported[st.UDI]
		switch told := p.copies+p.restored > 0; {
		case told && known:
			all.Reported++
		case told && !p.doubtful:
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
	v, err := s.desk.VerifyEvents(ctx, s.who, s.account)
	if err != nil || len(v.Problems) > 0 {
		all.Trouble = errors.Join(all.Trouble, fmt.Errorf("site %d: %w %q", s.index, err, v.Problems))
	}
}

// compare looks for licenses in two places: a satellite may have no more than the authority has given away for it.
func (s *site) compare(ctx context.Context, t *top, all *Result) error {
	lots, err := s.desk.Lots(ctx, s.who, s.account, "")
	if err != nil {
		return err
	}
	row, err := t.sync.Show(ctx, t.who, t.account, s.name)
	if err != nil {
		return err
	}
	var has int64
	for _, l := range lots {
		has += l.Quantity
	}
	if given := row.Consigned + row.InTransit; has > given || has == 0 {
		all.Trouble = errors.Join(all.Trouble, fmt.Errorf("site %d: the satellite has %d licenses, the authority gave it %d", s.index, has, given))
	}
	return nil
}

// sum looks at the authority's books.
func (t *top) sum(ctx context.Context, all *Result) error {
	v, err := t.desk.VerifyEvents(ctx, t.who, t.account)
	if len(v.Problems) > 0 {
		all.Trouble = errors.Join(all.Trouble, fmt.Errorf("authority: %q", v.Problems))
	}
	return err
}
