package authority

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/wire"
)

// report is one authorization request waiting in a lane, and what became of it.
type report struct {
	request
	message wire.Authorize

	answer []byte // payload, set on success
	err    error
	done   chan struct{}
}

// errKeyChanged says that the key that verified a request is no longer the instance's key.
var errKeyChanged = errors.New("the product's key has changed")

func (a *Authority) authorize(ctx context.Context, envelope []byte) ([]byte, error) {
	var m wire.Authorize
	r, err := a.open(ctx, envelope, wire.KindAuthorize, &m)
	if err != nil {
		return a.refuse(r.instance, m.Nonce, r.number, a.now(), err)
	}
	rep := &report{request: r, message: m, done: make(chan struct{})}
	if err := a.enqueue(ctx, rep); err != nil {
		return nil, err
	}
	if errors.Is(rep.err, errKeyChanged) {
		a.productKeys.drop(r.account + "/" + r.instance)
		return a.authorize(ctx, envelope) // ends: the key that is read now verifies it, or it is refused
	}
	if rep.err != nil {
		return a.refuse(r.instance, m.Nonce, r.number, a.now(), rep.err)
	}
	return a.answer(r, wire.KindAuthorized, rep.answer, m.Signer), nil
}

// lane gathers the reports of one account: what waits while a transaction commits goes into the next one together. There is
// no timer; a single report does not wait.
type lane struct {
	waiting []*report
}

const (
	maxBatch   = 128
	maxWaiting = 4096
)

// enqueue hands a report to its account's lane and waits until it is decided and durable.
func (a *Authority) enqueue(ctx context.Context, r *report) error {
	a.mu.Lock()
	l := a.lanes[r.account]
	if l == nil {
		l = &lane{}
		a.lanes[r.account] = l
		go a.drain(context.WithoutCancel(ctx), r.account, l) // ends when nothing waits
	}
	if len(l.waiting) >= maxWaiting {
		a.mu.Unlock()
		return license.Refuse(license.KindBusy, "busy", "send the report again later; nothing was lost", "%d reports of this account are waiting already", maxWaiting)
	}
	l.waiting = append(l.waiting, r)
	a.mu.Unlock()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return license.Refuse(license.KindUnavailable, "canceled", "send the same report again", "the caller went away before the report was decided")
	}
}

func (a *Authority) drain(ctx context.Context, account string, l *lane) {
	for {
		a.mu.Lock()
		n := min(len(l.waiting), maxBatch)
		batch := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		if n == 0 {
			delete(a.lanes, account)
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		err := a.write(ctx, machine("products"), account, "authorize", func(d *desk) error {
			return a.decide(ctx, d, batch)
		})
		for _, r := range batch {
			if err != nil {
				r.err = err
			}
			close(r.done)
		}
	}
}

// batch is the state that the decisions of one transaction share.
type batch struct {
	*desk
	instances map[string]*store.InstanceState
	uses      map[string]map[license.Tag]db.InstanceUsage
	stock     inventory
	demand    map[string]map[license.Tag]int64 // by virtual account
	pools     map[string][]license.Pool        // without demand, by virtual account

	exchanges  map[string]db.Exchange
	dirtyUse   map[string]map[license.Tag]bool
	dirtyPools map[string]map[license.Tag]bool
}

// decide answers all reports of a batch in the order in which they came, so that of two that ask for the last license exactly
// one is in compliance (domain rule 12), and writes what changed with few statements.
func (a *Authority) decide(ctx context.Context, d *desk, reports []*report) error {
	ids := make([]string, 0, len(reports))
	for _, r := range reports {
		r.answer, r.err = nil, nil // the transaction may run twice
		if !slices.Contains(ids, r.instance) {
			ids = append(ids, r.instance)
		}
	}
	b, err := a.loadBatch(ctx, d, ids)
	if err != nil {
		return err
	}
	for _, r := range reports {
		if err := a.decideOne(ctx, b, r); err != nil {
			if license.AsError(err) == nil && !errors.Is(err, errKeyChanged) {
				return err
			}
			r.err = err
		}
	}
	return b.save(ctx)
}

func (a *Authority) loadBatch(ctx context.Context, d *desk, ids []string) (*batch, error) {
	b := &batch{
		desk: d, instances: map[string]*store.InstanceState{}, uses: map[string]map[license.Tag]db.InstanceUsage{}, demand: map[string]map[license.Tag]int64{},
		pools: map[string][]license.Pool{}, exchanges: map[string]db.Exchange{}, dirtyUse: map[string]map[license.Tag]bool{}, dirtyPools: map[string]map[license.Tag]bool{},
	}
	states, err := d.InstanceStates(ctx, d.account.AccountID, ids)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		b.instances[s.InstanceID] = &s
		b.uses[s.InstanceID] = map[license.Tag]db.InstanceUsage{}
	}
	uses, err := d.UsageOfInstances(ctx, d.account.AccountID, ids)
	if err != nil {
		return nil, err
	}
	for _, u := range uses {
		b.uses[u.InstanceID][license.Tag(u.Tag)] = u
	}
	if b.stock, err = a.stock.load(ctx, d); err != nil {
		return nil, err
	}
	if b.stock.demand, err = d.DemandOfAccount(ctx, d.account.AccountID); err != nil {
		return nil, fmt.Errorf("read demand: %w", err)
	}
	for _, r := range b.stock.demand {
		if b.demand[r.VaID] == nil {
			b.demand[r.VaID] = map[license.Tag]int64{}
		}
		b.demand[r.VaID][license.Tag(r.Tag)] = r.Quantity
	}
	return b, nil
}

func (a *Authority) decideOne(ctx context.Context, b *batch, r *report) error {
	in := b.instances[r.instance]
	switch {
	case in == nil:
		return license.Refuse(license.KindNotFound, wire.CodeUnknown, "register the product again", "this authority knows no product instance %s", r.instance)
	case in.KeyThumbprint != r.thumbprint:
		return errKeyChanged
	}
	repeated, forked := turn(in.Number, in.Digest, r.request)
	if repeated {
		return b.repeat(ctx, r)
	}
	if forked != nil {
		var err error
		if in.ForkedAt, err = b.noteFork(ctx, in.InstanceID, in.ForkedAt); err != nil {
			return err
		}
		return forked
	}
	if in.State != stateActive {
		return removed(in.RemovedBy, in.RemovedWhy, store.At(in.RemovedAt))
	}
	counts := b.apply(in, r.message.Usage)
	rows := license.Comply(a.catalog, b.poolsOf(in.VaID))
	status := license.StatusOf(rows, counts)
	if err := b.noteStatus(ctx, in, status, rows, counts); err != nil {
		return err
	}
	if err := b.noteSelf(ctx, in, r.message); err != nil {
		return err
	}
	if err := b.keepPeaks(ctx, in, r.message.Intervals); err != nil {
		return err
	}
	answer := wire.Authorized{
		Nonce: r.message.Nonce, Status: status, ServerTime: b.now, Deadline: b.now.Add(license.AuthorizeLife), Account: b.account.Name,
		NextInSeconds:  int64(license.NextAttempt(status != license.StatusOutOfCompliance) / time.Second),
		VirtualAccount: b.vaName(in.VaID), Tags: a.tagAnswers(b, in.VaID, rows, counts, status),
	}
	var err error
	if r.answer, err = json.Marshal(answer); err != nil {
		return fmt.Errorf("encode authorization: %w", err)
	}
	in.Number, in.Digest = r.number, r.digest[:]
	b.exchanges[in.InstanceID] = db.Exchange{
		AccountID: b.account.AccountID, InstanceID: in.InstanceID, Number: r.number, Digest: in.Digest, Kind: wire.KindAuthorized, Answer: r.answer,
		AnsweredAt: store.Ms(b.now), NextAt: store.Ms(b.now) + answer.NextInSeconds*1000, DeadlineAt: store.Ms(answer.Deadline),
	}
	return nil
}

// repeat returns the stored answer of an exchange whose answer was lost.
func (b *batch) repeat(ctx context.Context, r *report) error {
	ex, ok := b.exchanges[r.instance]
	if !ok {
		var err error
		if ex, err = b.Exchange(ctx, db.ExchangeParams{AccountID: r.account, InstanceID: r.instance}); err != nil {
			return fmt.Errorf("read stored answer: %w", err)
		}
	}
	r.answer = ex.Answer
	return nil
}

// apply takes over what the product uses now and moves the demand by the difference. Tags that are not reported any more are
// released. It returns the counts by tag.
func (b *batch) apply(in *store.InstanceState, usage []wire.Usage) map[license.Tag]int64 {
	counts := make(map[license.Tag]int64, len(usage))
	for _, u := range usage {
		counts[u.Tag] = u.Count
	}
	uses := b.uses[in.InstanceID]
	for tag, old := range uses {
		if _, reported := counts[tag]; !reported && old.Quantity > 0 {
			b.setUse(in, tag, 0)
		}
	}
	for tag, n := range counts {
		if old, known := uses[tag]; old.Quantity != n || !known && n > 0 {
			b.setUse(in, tag, n)
		}
	}
	return counts
}

func (b *batch) setUse(in *store.InstanceState, tag license.Tag, n int64) {
	old := b.uses[in.InstanceID][tag]
	since := old.SinceAt
	if old.Quantity == 0 {
		since = store.Ms(b.now)
	}
	b.uses[in.InstanceID][tag] = db.InstanceUsage{AccountID: b.account.AccountID, InstanceID: in.InstanceID, Tag: string(tag), VaID: in.VaID, Quantity: n, SinceAt: since}
	if b.demand[in.VaID] == nil {
		b.demand[in.VaID] = map[license.Tag]int64{}
	}
	b.demand[in.VaID][tag] += n - old.Quantity
	mark(b.dirtyUse, in.InstanceID, tag)
	mark(b.dirtyPools, in.VaID, tag)
}

func mark(set map[string]map[license.Tag]bool, key string, tag license.Tag) {
	if set[key] == nil {
		set[key] = map[license.Tag]bool{}
	}
	set[key][tag] = true
}

// poolsOf is the virtual account's stock, computed once a batch, with the demand of this moment.
func (b *batch) poolsOf(va string) []license.Pool {
	pools, ok := b.pools[va]
	if !ok {
		pools = b.stock.pools(va, b.now)
	}
	seen := 0
	for i := range pools {
		n, ok := b.demand[va][pools[i].Tag]
		pools[i].Demand = n
		if ok {
			seen++
		}
	}
	if seen < len(b.demand[va]) {
		for tag, n := range b.demand[va] {
			if !slices.ContainsFunc(pools, func(p license.Pool) bool { return p.Tag == tag }) {
				pools = append(pools, license.Pool{Tag: tag, Demand: n})
			}
		}
	}
	b.pools[va] = pools
	return pools
}

func (b *batch) vaName(id string) string {
	for _, v := range b.stock.vas {
		if v.VaID == id {
			return v.Name
		}
	}
	return id
}

// tagAnswers explains each reported tag; only a shortage looks at what other virtual accounts have free.
func (a *Authority) tagAnswers(b *batch, va string, rows []license.Row, counts map[license.Tag]int64, status license.AuthorizationStatus) []wire.TagAnswer {
	if status == license.StatusOutOfCompliance {
		rows = a.withSurplus(b, va)
	}
	out := make([]wire.TagAnswer, 0, len(counts))
	facts := maxFacts
	for _, tag := range slices.Sorted(maps.Keys(counts)) {
		row, ok := license.FindRow(rows, tag)
		if !ok {
			row = license.Row{Tag: tag, Status: license.InCompliance}
		}
		why := row.Why[:min(len(row.Why), facts, maxFactsPerTag)]
		facts -= len(why)
		out = append(out, wire.TagAnswer{
			Tag: tag, Name: a.catalog.Name(tag), Requested: counts[tag], Entitled: row.Quantity, Shortage: row.Shortage, Status: row.Status, Why: why,
		})
	}
	return out
}

// Bounds of the reasons in one answer, so that it fits an envelope whatever a product reports.
const (
	maxFactsPerTag = 10
	maxFacts       = 60
)

func (a *Authority) withSurplus(b *batch, va string) []license.Row {
	in := b.stock
	in.demand = nil
	for id, tags := range b.demand {
		for tag, n := range tags {
			in.demand = append(in.demand, db.DemandOfAccountRow{VaID: id, Tag: string(tag), Quantity: n})
		}
	}
	var out []license.Row
	for _, r := range a.rows(in, b.now) {
		if r.VirtualAccountID == va {
			out = append(out, r.Row)
		}
	}
	return out
}

// shortPool is what an event says of a pool that was short.
type shortPool struct {
	Tag   license.Tag `json:"tag"`
	InUse int64       `json:"inUse"`
	Short int64       `json:"short"`
}

// noteStatus records a change between in and out of compliance, with what was short; a measurement that changes neither leaves
// no event.
func (b *batch) noteStatus(ctx context.Context, in *store.InstanceState, status license.AuthorizationStatus, rows []license.Row, counts map[license.Tag]int64) error {
	if in.Status == string(status) {
		return nil
	}
	data := struct {
		Before string      `json:"before"`
		After  string      `json:"after"`
		Short  []shortPool `json:"short,omitempty"`
	}{Before: in.Status, After: string(status)}
	for _, r := range rows {
		if counts[r.Tag] > 0 && r.Shortage > 0 {
			data.Short = append(data.Short, shortPool{r.Tag, r.InUse, r.Shortage})
		}
	}
	in.Status, in.StatusAt = string(status), store.Ms(b.now)
	if err := b.SetInstanceStatus(ctx, db.SetInstanceStatusParams{AccountID: b.account.AccountID, InstanceID: in.InstanceID, Status: in.Status, StatusAt: in.StatusAt}); err != nil {
		return fmt.Errorf("note status: %w", err)
	}
	_, err := b.account.Record(ctx, in.InstanceID, "instance.status", in.InstanceID, data)
	return err
}

// noteSelf takes over what a product says of itself.
func (b *batch) noteSelf(ctx context.Context, in *store.InstanceState, m wire.Authorize) error {
	version, hostname := m.Version, m.Hostname
	if version == "" {
		version = in.Version
	}
	if hostname == "" {
		hostname = in.Hostname
	}
	if version == in.Version && hostname == in.Hostname {
		return nil
	}
	in.Version, in.Hostname = version, hostname
	return b.SetInstanceSelf(ctx, db.SetInstanceSelfParams{AccountID: b.account.AccountID, InstanceID: in.InstanceID, Version: version, Hostname: hostname})
}

// noteFork records, once per incarnation, that two copies of a product's state are at work, and returns when it was seen
// first. The product keeps working.
func (d *desk) noteFork(ctx context.Context, instance string, forkedAt int64) (int64, error) {
	if forkedAt != 0 {
		return forkedAt, nil
	}
	forkedAt = store.Ms(d.now)
	if err := d.SetInstanceForked(ctx, db.SetInstanceForkedParams{AccountID: d.account.AccountID, InstanceID: instance, ForkedAt: forkedAt}); err != nil {
		return 0, fmt.Errorf("note fork: %w", err)
	}
	_, err := d.account.Record(ctx, instance, "instance.forked", instance, nil)
	return forkedAt, err
}

// keepPeaks stores the peaks of closed intervals; one that is stored already stays as it was reported first.
func (b *batch) keepPeaks(ctx context.Context, in *store.InstanceState, intervals []wire.Interval) error {
	for _, v := range intervals {
		if _, err := b.InsertUsagePeak(ctx, db.InsertUsagePeakParams{
			AccountID: b.account.AccountID, InstanceID: in.InstanceID, Tag: string(v.Tag), FromAt: store.Ms(v.From), ToAt: store.Ms(v.To), VaID: in.VaID, Peak: v.Peak,
			ReportedAt: store.Ms(b.now),
		}); err != nil {
			return fmt.Errorf("store peak: %w", err)
		}
	}
	return nil
}

// save writes what the batch changed. Rows are written in the order of their keys, which keeps two writers of a replicated
// database from waiting for each other.
func (b *batch) save(ctx context.Context) error {
	account := b.account.AccountID
	exchanges := make([]db.Exchange, 0, len(b.exchanges))
	for _, id := range slices.Sorted(maps.Keys(b.exchanges)) {
		exchanges = append(exchanges, b.exchanges[id])
	}
	if err := b.PutExchanges(ctx, exchanges); err != nil {
		return fmt.Errorf("store answers: %w", err)
	}
	var uses []db.InstanceUsage
	for _, id := range slices.Sorted(maps.Keys(b.dirtyUse)) {
		for _, tag := range slices.Sorted(maps.Keys(b.dirtyUse[id])) {
			uses = append(uses, b.uses[id][tag])
		}
	}
	if err := b.PutUsage(ctx, uses); err != nil {
		return fmt.Errorf("store use: %w", err)
	}
	var demands []db.Demand
	for _, va := range slices.Sorted(maps.Keys(b.dirtyPools)) {
		for _, tag := range slices.Sorted(maps.Keys(b.dirtyPools[va])) {
			demands = append(demands, db.Demand{AccountID: account, VaID: va, Tag: string(tag), Quantity: b.demand[va][tag]})
		}
	}
	if err := b.PutDemands(ctx, demands); err != nil {
		return fmt.Errorf("store demand: %w", err)
	}
	return nil
}
