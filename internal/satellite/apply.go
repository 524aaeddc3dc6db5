package satellite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// Applied is what became of an answer.
type Applied struct {
	Account string // its name
	Number  int64
	// Old says that nothing changed, as the same or a newer answer was applied before.
	Old bool
	// Restored says that this satellite noticed that its database went back: its next file says everything and asks for
	// everything.
	Restored bool
	// Removed says that the authority has removed this satellite.
	Removed bool
	// Arrived and GivenBack are licenses that this answer moved.
	Arrived, GivenBack int64
	Findings           []license.Fact
}

// Apply takes over an answer of the authority, whatever carried it. Again, late or out of order it changes nothing and says so.
// A signed refusal is no error: it is taken over too.
func (s *Sync) Apply(ctx context.Context, who access.Person, account string, file []byte, way Way) (Applied, error) {
	id, err := s.Authority.Scope(ctx, who, access.Manage, account)
	if err != nil {
		return Applied{}, err
	}
	var row db.Upstream
	err = s.Authority.Read(ctx, "apply", func(tx *store.Tx) (err error) {
		row, err = upstream(ctx, tx, id)
		return err
	})
	if err != nil {
		return Applied{}, err
	}
	e, err := trust.OpenAuthorityFile(file, []string{wire.KindSynced}, audience(id, row.SatelliteID), s.pins(row), s.Now())
	if err != nil && !errors.Is(err, trust.ErrExpired) {
		return Applied{}, badFile(err)
	}
	m, err := wire.ParseSyncAnswer(e.Payload)
	if err != nil {
		return Applied{}, err
	}
	var out Applied
	err = s.Authority.Books(ctx, who, id, "apply", func(b *authority.Books) error {
		up, err := upstream(ctx, b.Tx, id)
		if err != nil {
			return err
		}
		up.Signer = string(trust.CertificatePEM(e.Signer...))
		out, err = s.apply(ctx, b, up, m, way)
		return err
	})
	if err != nil {
		return Applied{}, err
	}
	if m.Identity != nil && !out.Old {
		if err := s.keys.RenewSite(m.Identity.Certificate); err != nil {
			s.Log.WarnContext(ctx, "the satellite's certificate was not renewed", "error", err)
		}
	}
	if m.Next != nil && !out.Old {
		if err := s.takeNext(ctx, m.Next); err != nil {
			s.Log.WarnContext(ctx, "the satellite's next keys are not in force yet; the next synchronization tries again", "error", err)
		}
	}
	return out, nil
}

// pins say whose answers are taken: the authority's, with the keys that it signed the last one with or with some that follow them.
func (s *Sync) pins(up db.Upstream) trust.Pins {
	p := trust.Pins{Root: s.keys.Fingerprint(), MaxBytes: MaxFile}
	if last, err := trust.ParseCertificatesPEM([]byte(up.Signer)); err == nil { // none was kept before this was
		p.Last = last
	}
	return p
}

func listText(list []string) string {
	text, err := json.Marshal(list)
	if err != nil || len(list) == 0 {
		return "[]"
	}
	return string(text)
}

// apply decides in which order an answer stands.
func (s *Sync) apply(ctx context.Context, b *authority.Books, up db.Upstream, m *wire.SyncAnswer, way Way) (Applied, error) {
	e := m.Exchange
	out := Applied{Account: e.AccountName, Number: e.Number}
	if no := m.Refusal; no != nil {
		return s.applyRefusal(ctx, b, up, m, no, out)
	}
	switch {
	case e.Epoch < up.Epoch || e.Epoch == up.Epoch && e.Number <= up.Answered:
		out.Old = true
		return out, nil
	case e.Epoch > up.Epoch || e.Number > up.Number || e.Number == up.Number && !bytes.Equal(e.Request, up.Digest):
		// It answers a file that this database does not know: the database went back, or another copy of it is at work.
		return s.restart(ctx, b, up, e.Epoch, e.Number, out)
	}
	return s.takeOver(ctx, b, up, m, way)
}

// applyRefusal takes over a signed No.
func (s *Sync) applyRefusal(ctx context.Context, b *authority.Books, up db.Upstream, m *wire.SyncAnswer, no *wire.SyncRefusal, out Applied) (Applied, error) {
	switch no.Code {
	case wire.CodeSyncRemoved:
		if up.State == stateRemoved {
			out.Old, out.Removed, out.Findings = true, true, []license.Fact{{Code: license.FactSyncOver}}
			return out, nil
		}
		out.Removed = true
		rows, err := b.UpstreamStock(ctx, up.AccountID)
		if err != nil {
			return out, fmt.Errorf("read upstream stock: %w", err)
		}
		for _, r := range rows {
			if r.Asked = max(r.Asked, r.Applied); r.Asked > 0 {
				if err := b.PutUpstreamStock(ctx, db.PutUpstreamStockParams(r)); err != nil {
					return out, fmt.Errorf("keep upstream stock: %w", err)
				}
			}
		}
		burnt, held, err := s.giveBack(ctx, b, up)
		if err != nil {
			return out, err
		}
		up.State, up.Leaving, out.GivenBack = stateRemoved, true, burnt.count
		up.Findings, out.Findings = factsText(held), append([]license.Fact{{Code: license.FactSyncOver}}, held...)
		seq, err := b.Record(ctx, "sync.removed", up.SatelliteID, map[string]any{"givenBack": burnt.count})
		if err != nil {
			return out, err
		}
		if err := burnt.save(ctx, b, seq); err != nil {
			return out, err
		}
		return out, keep(ctx, b.Tx, up)
	case wire.CodeSyncBehind:
		behind := no.Epoch > up.Epoch || no.Epoch == up.Epoch && (no.Number > up.Number || no.Number == up.Number && !bytes.Equal(no.Last, up.Digest))
		if !behind {
			out.Old = true // a file of this database that came late; the newest one is answered or on its way
			return out, nil
		}
		return s.restart(ctx, b, up, no.Epoch, no.Number, out)
	}
	return out, license.Refuse(license.KindRefused, no.Code, no.Hint, "the authority refused the file: %s", no.Message)
}

// restart begins a new epoch: the authority has answered files that this database does not know.
func (s *Sync) restart(ctx context.Context, b *authority.Books, up db.Upstream, epoch, number int64, out Applied) (Applied, error) {
	up.Epoch, up.Number, up.Whole, up.Answered = max(epoch, up.Epoch)+1, max(number, up.Number), true, 0
	out.Restored = true
	if _, err := b.Record(ctx, "sync.restored", up.SatelliteID, map[string]any{"epoch": up.Epoch, "number": up.Number}); err != nil {
		return out, err
	}
	return out, keep(ctx, b.Tx, up)
}

// takeOver takes over everything that an answer gives.
func (s *Sync) takeOver(ctx context.Context, b *authority.Books, up db.Upstream, m *wire.SyncAnswer, way Way) (Applied, error) {
	e := m.Exchange
	out := Applied{Account: e.AccountName, Number: e.Number, Findings: m.Findings}
	if err := takeNames(ctx, b, m.VAs, e.Name); err != nil {
		return out, err
	}
	if err := takeLots(ctx, b, m, e.AccountName); err != nil {
		return out, err
	}
	arriving, err := takeStock(ctx, b, up.AccountID, m)
	if err != nil {
		return out, err
	}
	if e.Whole {
		if err := takeInstances(ctx, b, up.AccountID, m.Instances); err != nil {
			return out, err
		}
	}
	up.Name, up.Answered, up.Leaving = e.Name, e.Number, e.Leaving
	if e.Whole && up.Whole {
		up.Whole = false
	}
	if way != "" { // joining is no synchronization yet
		up.SyncedAt, up.SyncedBy, up.Trouble = store.Ms(b.Time()), string(way), ""
	}
	out.Arrived = arriving.count
	seq, err := b.Record(ctx, "sync.applied", up.SatelliteID, map[string]any{"by": way, "epoch": e.Epoch, "number": e.Number, "arrived": arriving.count})
	if err != nil {
		return out, err
	}
	if err := arriving.save(ctx, b, seq); err != nil {
		return out, err
	}
	burnt, held, err := s.giveBack(ctx, b, up)
	if err != nil {
		return out, err
	}
	out.GivenBack, out.Findings = burnt.count, append(out.Findings, held...)
	if err := burnt.save(ctx, b, seq); err != nil {
		return out, err
	}
	up.Findings = factsText(out.Findings)
	out.Findings = append(leavingFact(up), out.Findings...)
	return out, keep(ctx, b.Tx, up)
}

// leavingFact says that the authority is removing this satellite, while it is.
func leavingFact(up db.Upstream) []license.Fact {
	if up.Leaving && up.State != stateRemoved {
		return []license.Fact{{Code: license.FactSyncLeaving}}
	}
	return nil
}

// startOver forgets what a satellite counted as another one of its authority, which counts from nothing for this one. What was given
// back is gone; what is still held here, by reservations, has arrived as far as that goes.
func startOver(ctx context.Context, b *authority.Books, before db.Upstream, satellite string) error {
	rows, err := b.UpstreamStock(ctx, before.AccountID)
	if err != nil {
		return fmt.Errorf("read upstream stock: %w", err)
	}
	held, err := b.HoldingsOf(ctx)
	if err != nil {
		return fmt.Errorf("read holdings: %w", err)
	}
	var g burning
	here := map[string]int64{}
	for _, h := range held {
		if h.Place == authority.OutPlace {
			g.legs = append(g.legs, authority.Leg{Place: h.Place, Lot: h.LotID, Tag: license.Tag(h.Tag), Quantity: -h.Quantity},
				authority.Leg{Place: authority.IssuerPlace, Lot: h.LotID, Tag: license.Tag(h.Tag), Quantity: h.Quantity})
			continue
		}
		here[h.LotID] += h.Quantity
	}
	for _, r := range rows {
		r.Applied, r.Asked, r.Burnt, r.Taken = here[r.LotID], 0, 0, 0
		here[r.LotID] = 0 // one virtual account answers for all of a lot
		g.rows = append(g.rows, r)
	}
	seq, err := b.Record(ctx, "sync.started-over", satellite, map[string]any{"before": before.SatelliteID})
	if err != nil {
		return err
	}
	return g.save(ctx, b, seq)
}

// takeNames takes over the names that virtual accounts have at the authority, and those that are missing here.
func takeNames(ctx context.Context, b *authority.Books, vas []wire.SyncVA, origin string) error {
	account := b.Account().AccountID
	for _, v := range vas {
		row, err := b.VA(ctx, db.VAParams{AccountID: account, VaID: v.ID})
		if err != nil && !noRow(err) {
			return fmt.Errorf("read virtual account: %w", err)
		}
		if err == nil {
			continue // its name is this satellite's to choose
		}
		if row.Name, err = b.UniqueVAName(ctx, v.ID, v.Name, origin); err != nil {
			return err
		}
		if _, err := b.InsertVA(ctx, db.InsertVAParams{AccountID: account, VaID: v.ID, Name: row.Name, NameKey: authority.NameKey(row.Name), CreatedAt: store.Ms(b.Time())}); err != nil {
			return fmt.Errorf("insert virtual account: %w", err)
		}
	}
	return nil
}

// takeLots takes over the orders and lots of which this satellite has a part.
func takeLots(ctx context.Context, b *authority.Books, m *wire.SyncAnswer, accountName string) error {
	account := b.Account().AccountID
	for _, o := range m.Orders {
		content, err := json.Marshal(license.Order{Number: o.Number, Account: accountName})
		if err != nil {
			return fmt.Errorf("keep order: %w", err)
		}
		if err := b.RestoredPurchase(ctx, db.RestoredPurchaseParams{
			AccountID: account, PurchaseID: o.ID, Number: o.Number, Content: content, ReceivedAt: store.Ms(o.ReceivedAt), ReceivedBy: "authority",
		}); err != nil {
			return fmt.Errorf("keep order: %w", err)
		}
	}
	for _, l := range m.Lots {
		if err := b.RestoredLot(ctx, db.RestoredLotParams{
			AccountID: account, LotID: l.ID, PurchaseID: l.Order, Line: l.Line, VaID: l.VA, Sku: l.SKU, Tag: string(l.Tag), LotType: string(l.Type), Quantity: l.Quantity,
			StartsAt: l.StartAt, EndsAt: l.EndAt, Subscription: l.Subscription,
		}); err != nil {
			return fmt.Errorf("keep lot: %w", err)
		}
	}
	return nil
}

// takeStock credits what arrived, acknowledges what the authority has taken back, and notes what it wants back. What it has
// taken back and this database does not know of, having gone back, is given up again: it is asked for.
func takeStock(ctx context.Context, b *authority.Books, account string, m *wire.SyncAnswer) (burning, error) {
	var g burning
	rows, err := b.UpstreamStock(ctx, account)
	if err != nil {
		return g, fmt.Errorf("read upstream stock: %w", err)
	}
	tags := map[string]license.Tag{}
	for _, l := range m.Lots {
		tags[l.ID] = l.Tag
	}
	known := map[spot]db.UpstreamStock{}
	for _, r := range rows {
		known[spot{r.VaID, r.LotID}] = r
	}
	for _, w := range m.Stock {
		r, found := known[spot{w.VA, w.Lot}]
		was := r
		r.AccountID, r.VaID, r.LotID = account, w.VA, w.Lot
		if n := w.Granted - r.Applied; n > 0 {
			r.Applied += n
			g.count += n
			g.legs = append(g.legs, authority.Leg{Place: authority.IssuerPlace, Lot: w.Lot, Tag: tags[w.Lot], Quantity: -n},
				authority.Leg{Place: authority.PoolPlace(w.VA), Lot: w.Lot, Tag: tags[w.Lot], Quantity: n})
		}
		r.Asked = max(w.Asked, w.Returned)
		if taken := min(w.Returned, r.Burnt); taken > r.Taken {
			g.legs = append(g.legs, authority.Leg{Place: authority.OutPlace, Lot: w.Lot, Tag: tags[w.Lot], Quantity: r.Taken - taken},
				authority.Leg{Place: authority.IssuerPlace, Lot: w.Lot, Tag: tags[w.Lot], Quantity: taken - r.Taken})
			r.Taken = taken
		}
		if !found || r != was {
			g.rows = append(g.rows, r)
		}
	}
	return g, nil
}

// takeInstances brings back product instances that this database has lost. They are known again by their keys; what they use
// they say at their next contact.
func takeInstances(ctx context.Context, b *authority.Books, account string, instances []wire.SyncInstance) error {
	vas, err := authority.VirtualAccountRows(ctx, b.Tx, account)
	if err != nil {
		return err
	}
	use := map[string]map[string]int64{}
	var exchanges []db.Exchange
	var uses []db.InstanceUsage
	for _, in := range instances {
		if !slices.ContainsFunc(vas, func(v db.VirtualAccount) bool { return v.VaID == in.VA }) {
			continue
		}
		if len(in.Key) == 0 {
			continue // one that holds a reservation is known by that, and by no key
		}
		key, err := trust.ParseShortKey(in.Key)
		if err != nil {
			return fmt.Errorf("instance %s: %w", in.ID, err)
		}
		spki, err := trust.MarshalPublicKey(key)
		if err != nil {
			return fmt.Errorf("instance %s: %w", in.ID, err)
		}
		prepared := []byte("{}")
		n, err := b.RestoredInstance(ctx, db.RestoredInstanceParams{
			AccountID: account, InstanceID: in.ID, VaID: in.VA, Udi: "PID:" + in.PID + ",SN:" + in.Serial, Pid: in.PID, Serial: in.Serial, Product: in.Product, Version: in.Version,
			Hostname: restoredHost(in.Hostname), State: in.State, Incarnation: in.Incarnation, ExportControlled: in.Exported, RegisteredAt: in.RegisteredAt, RenewedAt: in.RenewedAt,
			KeyThumbprint: trust.KeyThumbprint(key), PublicKey: spki, Prepared: prepared, Certificate: []byte{}, ExpiresAt: in.ExpiresAt, Status: in.Status, StatusAt: in.StatusAt,
			ForkedAt: in.ForkedAt, RemovedAt: in.RemovedAt,
		})
		if err != nil {
			return fmt.Errorf("bring back instance: %w", err)
		}
		if n == 0 || in.State == instanceRemoved {
			continue
		}
		// The answer to the last number is gone: the product may say it again, and is believed.
		exchanges = append(exchanges, db.Exchange{
			AccountID: account, InstanceID: in.ID, Number: max(0, in.Number-1), Digest: []byte{}, Answer: []byte{}, AnsweredAt: in.ContactAt, NextAt: in.NextAt, DeadlineAt: in.DeadlineAt,
		})
		for tag, count := range in.Use {
			uses = append(uses, db.InstanceUsage{AccountID: account, InstanceID: in.ID, Tag: string(tag), VaID: in.VA, Quantity: count, SinceAt: in.SinceAt[tag]})
			if use[in.VA] == nil {
				use[in.VA] = map[string]int64{}
			}
			use[in.VA][string(tag)] += count
		}
	}
	if err := b.PutExchanges(ctx, exchanges); err != nil {
		return fmt.Errorf("bring back exchanges: %w", err)
	}
	slices.SortFunc(uses, func(x, y db.InstanceUsage) int { return strings.Compare(x.InstanceID+x.Tag, y.InstanceID+y.Tag) })
	if err := b.PutUsage(ctx, uses); err != nil {
		return fmt.Errorf("bring back use: %w", err)
	}
	was, err := b.DemandOfAccount(ctx, account)
	if err != nil {
		return fmt.Errorf("read demand: %w", err)
	}
	for _, d := range was {
		if use[d.VaID] != nil {
			use[d.VaID][d.Tag] += d.Quantity
		}
	}
	for va, tags := range use {
		for tag, n := range tags {
			if err := b.PutDemand(ctx, db.PutDemandParams{AccountID: account, VaID: va, Tag: tag, Quantity: n}); err != nil {
				return fmt.Errorf("bring back demand: %w", err)
			}
		}
	}
	return nil
}

// restoredHost forgets a pseudonym: it is not what the product is called here.
func restoredHost(host string) string {
	if strings.HasPrefix(host, "private-") {
		return ""
	}
	return host
}

// Status is how a satellite stands with its authority.
type Status struct {
	Account, AccountID     string
	Satellite, SatelliteID string
	State                  license.SatelliteState
	Leaving                bool
	Epoch, Number          int64
	Answered               int64
	JoinedAt, ExportedAt   time.Time
	SyncedAt               time.Time
	SyncedBy               Way
	TriedAt                time.Time
	Trouble                string
	Every                  time.Duration
	IdentityEndsAt         time.Time
	Root                   string
	Privacy                []string
	Findings               []license.Fact
	// Removed says that the authority has removed this satellite: nothing synchronizes any more.
	Removed bool
}

// Refused says that a finding says why the last attempt came to nothing: it was refused.
func (s Status) Refused() bool {
	return s.Trouble != "" && slices.ContainsFunc(s.Findings, func(f license.Fact) bool {
		return f.Code == license.FactSyncRefused && strings.HasPrefix(f.Name, s.Trouble)
	})
}

// Status says how this satellite stands with its authority, for one account.
func (s *Sync) Status(ctx context.Context, who access.Person, account string) (Status, error) {
	id, err := s.Authority.Scope(ctx, who, access.See, account)
	if err != nil {
		return Status{}, err
	}
	var out Status
	err = s.Authority.Read(ctx, "status of synchronization", func(tx *store.Tx) error {
		up, err := upstream(ctx, tx, id)
		if err != nil {
			return err
		}
		row, err := tx.Account(ctx, id)
		if err != nil {
			return fmt.Errorf("read account: %w", err)
		}
		out = Status{
			Account: row.Name, AccountID: id, Satellite: up.Name, SatelliteID: up.SatelliteID, Leaving: up.Leaving, Epoch: up.Epoch, Number: up.Number, Answered: up.Answered,
			JoinedAt: store.At(up.JoinedAt), ExportedAt: store.At(up.ExportedAt), SyncedAt: store.At(up.SyncedAt), SyncedBy: Way(up.SyncedBy), TriedAt: store.At(up.TriedAt),
			Trouble: up.Trouble, Every: time.Duration(up.EveryS) * time.Second, IdentityEndsAt: s.keys.SiteEnds(), Root: s.keys.Fingerprint().String(), Privacy: private(up),
		}
		var noted []license.Fact
		_ = json.Unmarshal([]byte(up.Findings), &noted) // written by us
		out.State, out.Findings = license.SatelliteStanding(out.SyncedAt, out.IdentityEndsAt, up.State == stateRemoved, s.Now())
		if out.Removed = up.State == stateRemoved; out.Removed {
			out.Every, out.Findings = 0, append(out.Findings, license.Fact{Code: license.FactSyncOver})
		}
		out.Findings = slices.Concat(out.Findings, leavingFact(up), noted)
		return nil
	})
	return out, err
}

// SetPrivacy says what does not leave the site from the next file on: some of PrivateHosts and PrivateAddresses.
func (s *Sync) SetPrivacy(ctx context.Context, who access.Person, account string, private []string) error {
	for _, p := range private {
		if p != PrivateHosts && p != PrivateAddresses {
			return license.Refuse(license.KindInvalid, "bad-privacy", "choose of hostnames and addresses; names of people are in no file", "%q cannot be kept back", p)
		}
	}
	list, err := json.Marshal(append([]string{}, private...))
	if err != nil {
		return fmt.Errorf("keep privacy: %w", err)
	}
	return s.changeUpstream(ctx, who, account, "sync.privacy", map[string]any{"private": private}, func(up *db.Upstream) { up.Privacy = string(list) })
}

// changeUpstream changes a setting of a satellite's account.
func (s *Sync) changeUpstream(ctx context.Context, who access.Person, account, event string, data any, fn func(*db.Upstream)) error {
	id, err := s.Authority.Scope(ctx, who, access.Manage, account)
	if err != nil {
		return err
	}
	return s.Authority.Books(ctx, who, id, event, func(b *authority.Books) error {
		up, err := upstream(ctx, b.Tx, id)
		if err != nil {
			return err
		}
		fn(&up)
		if event != "" {
			if _, err := b.Record(ctx, event, up.SatelliteID, data); err != nil {
				return err
			}
		}
		return keep(ctx, b.Tx, up)
	})
}

// Due lists the accounts of this satellite whose synchronization is due: every so often after the last one, at once after it
// joined or has to synchronize everything, and not before retry has passed since the last attempt. Zero for every is never.
func (s *Sync) Due(ctx context.Context, every, retry time.Duration) ([]string, error) {
	if every <= 0 {
		return nil, nil
	}
	rows, now, err := s.upstreams(ctx)
	if err != nil {
		return nil, err
	}
	var due []string
	for _, up := range rows {
		waits := up.Trouble != "" && now.Before(store.At(up.TriedAt).Add(retry))
		if up.State != stateRemoved && !waits && (up.SyncedAt == 0 || up.Whole || !now.Before(store.At(up.SyncedAt).Add(every))) {
			due = append(due, up.AccountID)
		}
	}
	return due, nil
}

// upstreams is how this satellite stands with its authority for each account, removed ones included, and when that was read.
func (s *Sync) upstreams(ctx context.Context) ([]db.Upstream, time.Time, error) {
	var all []db.Upstream
	var now time.Time
	err := s.Authority.Read(ctx, "read accounts of the satellite", func(tx *store.Tx) error {
		all, now = nil, tx.Now()
		after := ""
		for {
			rows, err := tx.Accounts(ctx, db.AccountsParams{After: after, Page: 1000})
			if err != nil {
				return fmt.Errorf("read accounts: %w", err)
			}
			for _, a := range rows {
				after = a.AccountID
				up, err := tx.Upstream(ctx, a.AccountID)
				if noRow(err) {
					continue
				}
				if err != nil {
					return fmt.Errorf("read upstream: %w", err)
				}
				all = append(all, up)
			}
			if len(rows) < 1000 {
				return nil
			}
		}
	})
	return all, now, err
}
