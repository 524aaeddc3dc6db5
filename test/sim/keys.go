package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/trust"
)

// offline is for how long a third of a site's products reach nobody when its keys are replaced.
const offline = 60 * day

// replaceKeys replaces the authority's keys twice while everything runs.
func (t *top) replaceKeys(plan Plan, all *Result) error {
	if t.now.Sub(Start()) < plan.For*time.Duration(2*all.AuthorityKeys+1)/4 || all.AuthorityKeys == 2 {
		return nil
	}
	all.AuthorityKeys++
	if _, _, err := trust.Rotate(filepath.Join(plan.Dir, "authority"), nil, t.now); err != nil {
		return err
	}
	changed, err := t.desk.Keys().Refresh()
	if err == nil && !changed {
		err = errors.New("the authority did not take its new keys over")
	}
	return err
}

// keyEvents is what happens to the keys of a site: it replaces them once, while a third of its products reach nobody; and some lose
// database and keys, and are rebuilt from the authority and by their products.
func (s *site) keyEvents(ctx context.Context, t *top, plan Plan, all *Result) error {
	since := s.now.Sub(Start())
	if s.next == "" && since > plan.For*5/12 {
		var err error
		if s.replaced, s.next, err = trust.PrepareSite(s.dir); err != nil {
			return err
		}
		all.SatelliteKeys++
		for i, p := range s.products {
			if i%3 == 0 && !s.late() {
				p.way.away = later(p.way.away, s.now.Add(offline))
				s.outages++
			}
		}
	}
	if s.index%5 == 3 && !s.lost && since > plan.For*3/5 {
		s.lost = true
		all.Lost++
		return s.rebuild(ctx, t)
	}
	return nil
}

// newcomer is a product that registers, of which the authority hears nothing before the satellite is lost. A license is bought for it.
func (s *site) newcomer(ctx context.Context, t *top) error {
	p, err := s.install(ctx, 90_000+s.index)
	if err != nil {
		return err
	}
	_, token, err := s.desk.CreateToken(ctx, s.who, s.account, authority.NewToken{VirtualAccount: s.name, Days: 365, MaxUses: 1})
	if err != nil {
		return err
	}
	p.joins, p.token, p.uses = s.now, token.Reveal(), 1
	if err := p.agent.SetUsage(ctx, string(p.tag), p.uses); err != nil {
		return err
	}
	away := s.away
	s.away = time.Time{} // it is there for the newcomer
	defer func() { s.away = away }()
	for range 5 { // one answer in fifty is lost
		if err := p.work(ctx, s.now); err != nil {
			return err
		}
	}
	st, err := p.agent.Status(ctx)
	if err == nil && st.Registration.Status != agent.Registered {
		err = fmt.Errorf("%s did not register: %s", p.name, st.Registration.Status)
	}
	if err != nil {
		return err
	}
	s.products = append(s.products, p)
	t.orders++
	_, err = t.desk.ImportOrder(ctx, t.who, t.account, license.Order{
		Number: fmt.Sprint("SO-", t.orders), Account: t.account, Lines: []license.OrderLine{{Tag: tag, Quantity: p.uses, VirtualAccount: s.name}},
	})
	return err
}

// rebuild makes the satellite anew on an empty host, with other keys. What its desk had noted of copies since the last file is gone.
func (s *site) rebuild(ctx context.Context, t *top) error {
	if err := errors.Join(s.newcomer(ctx, t), s.heed(ctx)); err != nil {
		return err
	}
	if err := s.store.Close(); err != nil {
		return err
	}
	was := s.desk.Keys().Site()
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	_, token, err := t.sync.Invite(ctx, t.who, t.account, s.name, 0)
	if err != nil {
		return err
	}
	if err := s.join(ctx, t, token.Reveal()); err != nil {
		return err
	}
	if s.desk.Keys().Site() == was {
		return fmt.Errorf("%s has the keys that it lost", s.name)
	}
	for _, p := range s.products {
		p.doubtful = true
	}
	s.ways = s.now // the next file goes at once
	return nil
}

// join makes a satellite with a token on an empty host.
func (s *site) join(ctx context.Context, t *top, token string) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	var err error
	if s.store, err = store.Open(ctx, store.Options{URL: s.database(), Now: s.clock}); err != nil {
		return err
	}
	j := satellite.Joiner{Store: s.store, Keys: s.dir, Catalog: license.DefaultCatalog(), Hosts: []string{s.name + ".example"}, Now: s.clock}
	file, err := j.Request(ctx, token)
	if err != nil {
		return err
	}
	reply, err := t.sync.Answer(ctx, file, satellite.File)
	if err != nil {
		return err
	}
	if _, err := j.Complete(ctx, reply); err != nil {
		return err
	}
	return s.open()
}

// sumKeys looks whether the keys that were replaced count no more.
func (s *site) sumKeys(ctx context.Context, t *top, all *Result) error {
	row, err := t.sync.Show(ctx, t.who, t.account, s.name)
	if err != nil {
		return err
	}
	if now := s.desk.Keys().Site(); s.next != "" && (now == s.replaced || row.Site != now || !s.lost && now != s.next) {
		all.Trouble = errors.Join(all.Trouble, fmt.Errorf("site %d: its keys are %s, after %s and then %s; the authority knows %s", s.index, now, s.replaced, s.next, row.Site))
	}
	for _, p := range s.products {
		st, err := p.agent.Status(ctx)
		if err != nil {
			return err
		}
		if deadline := st.Authorization.Deadline; st.Registration.Status == agent.Registered && !deadline.IsZero() && deadline.Before(s.now) {
			all.Stranded = append(all.Stranded, fmt.Sprintf("site %d, %s: until %s, %s", s.index, p.name, deadline.Format(time.DateOnly), st.Authorization.LastAttempt.Reason))
		}
	}
	return nil
}
