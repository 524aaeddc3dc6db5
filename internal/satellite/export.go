package satellite

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net"
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

// What can be kept on the site: host names of products, or the addresses that products report in their place. Each is replaced
// by a pseudonym that is the same in every file and means nothing elsewhere. Names of people are in no file.
const (
	PrivateHosts     = "hostnames"
	PrivateAddresses = "addresses"
)

// notJoined refuses a verb of satellites.
func notJoined() error {
	return license.Refuse(license.KindRefused, "no-upstream", "this is for satellites: `tally sync join` makes one", "the account has no authority above this server")
}

// upstream reads what a satellite is to its authority.
func upstream(ctx context.Context, tx *store.Tx, account string) (db.Upstream, error) {
	up, err := tx.Upstream(ctx, account)
	if noRow(err) {
		return up, notJoined()
	}
	if err != nil {
		return up, fmt.Errorf("read upstream: %w", err)
	}
	return up, nil
}

func keep(ctx context.Context, tx *store.Tx, up db.Upstream) error {
	if up.Digest == nil { // as SQLite reads empty bytes
		up.Digest = []byte{}
	}
	if err := tx.UpdateUpstream(ctx, db.UpdateUpstreamParams(up)); err != nil {
		return fmt.Errorf("keep upstream: %w", err)
	}
	return nil
}

// Export makes the next file for the authority. What is wanted back is given up first, in the same transaction, and only then is
// the file signed.
func (s *Sync) Export(ctx context.Context, who access.Person, account string, way Way) ([]byte, error) {
	id, err := s.Authority.Scope(ctx, who, access.Manage, account)
	if err != nil {
		return nil, err
	}
	var text []byte
	var number int64
	err = s.Authority.Books(ctx, who, id, "export", func(b *authority.Books) error {
		up, err := upstream(ctx, b.Tx, id)
		if err != nil {
			return err
		}
		burnt, _, err := s.giveBack(ctx, b, up)
		if err != nil {
			return err
		}
		up.Number++
		up.ExportedAt = store.Ms(b.Time())
		seq, err := b.Record(ctx, "sync.exported", up.SatelliteID, map[string]any{"by": way, "epoch": up.Epoch, "number": up.Number, "givenBack": burnt.count})
		if err != nil {
			return err
		}
		if err := burnt.save(ctx, b, seq); err != nil {
			return err
		}
		m, err := s.compose(ctx, b.Tx, up, b.Account(), b.Time())
		if err != nil {
			return err
		}
		if text, err = m.Text(); err != nil {
			return err
		}
		digest := sha256.Sum256(text)
		up.Digest, number = digest[:], up.Number
		return keep(ctx, b.Tx, up)
	})
	if err != nil {
		return nil, err
	}
	return s.keys.SealFile(trust.Header{Kind: wire.KindSync, Audience: wire.Audience, Number: number, Chain: s.keys.SignerChain()}, text)
}

// Preview is the text of the next file as it would be written now: everything that would leave the site.
func (s *Sync) Preview(ctx context.Context, who access.Person, account string) ([]byte, error) {
	id, err := s.Authority.Scope(ctx, who, access.See, account)
	if err != nil {
		return nil, err
	}
	var text []byte
	err = s.Authority.Read(ctx, "preview", func(tx *store.Tx) error {
		up, err := upstream(ctx, tx, id)
		if err != nil {
			return err
		}
		row, err := tx.Account(ctx, id)
		if err != nil {
			return fmt.Errorf("read account: %w", err)
		}
		up.Number++
		m, err := s.compose(ctx, tx, up, row, tx.Now())
		if err != nil {
			return err
		}
		text, err = m.Text()
		return err
	})
	return text, err
}

// compose gathers what a satellite says: all of it, each time.
func (s *Sync) compose(ctx context.Context, tx *store.Tx, up db.Upstream, account db.Account, now time.Time) (*wire.SyncRequest, error) {
	m := &wire.SyncRequest{Exchange: wire.SyncExchange{
		Satellite: up.SatelliteID, Name: up.Name, Account: account.AccountID, Epoch: up.Epoch, Number: up.Number, Answered: up.Answered, At: now, Program: s.Version,
		Hosts: s.Hosts, Machine: s.Machine, EverySeconds: up.EveryS, Whole: up.Whole,
	}}
	if err := s.askNext(&m.Exchange); err != nil {
		return nil, err
	}
	vas, err := authority.VirtualAccountRows(ctx, tx, account.AccountID)
	if err != nil {
		return nil, err
	}
	for _, v := range vas {
		m.VAs = append(m.VAs, wire.SyncVA{ID: v.VaID, Name: v.Name})
	}
	if m.Stock, m.Reserved, err = stockBelow(ctx, tx, account.AccountID, vas); err != nil {
		return nil, err
	}
	demand, err := tx.DemandOfAccount(ctx, account.AccountID)
	if err != nil {
		return nil, fmt.Errorf("read demand: %w", err)
	}
	for _, d := range demand {
		if d.Quantity > 0 {
			m.Use = append(m.Use, wire.SyncUse{VA: d.VaID, Tag: license.Tag(d.Tag), Count: d.Quantity})
		}
	}
	m.Instances, err = s.instances(ctx, tx, account.AccountID, private(up))
	return m, err
}

func private(up db.Upstream) []string {
	var list []string
	_ = json.Unmarshal([]byte(up.Privacy), &list) // written by us
	return list
}

// stockBelow says what every virtual account of a satellite has to do with every lot, and what reservations hold of it.
func stockBelow(ctx context.Context, tx *store.Tx, account string, vas []db.VirtualAccount) ([]wire.SyncStock, []wire.SyncReserved, error) {
	rows, err := tx.UpstreamStock(ctx, account)
	if err != nil {
		return nil, nil, fmt.Errorf("read upstream stock: %w", err)
	}
	said := map[spot]*wire.SyncStock{}
	at := func(k spot) *wire.SyncStock {
		if said[k] == nil {
			said[k] = &wire.SyncStock{VA: k.va, Lot: k.lot}
		}
		return said[k]
	}
	for _, r := range rows {
		at(spot{r.VaID, r.LotID}).Applied, at(spot{r.VaID, r.LotID}).Burnt = r.Applied, r.Burnt
	}
	held, err := tx.Holdings(ctx, account)
	if err != nil {
		return nil, nil, fmt.Errorf("read holdings: %w", err)
	}
	pools := map[string]string{}
	for _, v := range vas {
		pools[authority.PoolPlace(v.VaID)] = v.VaID
	}
	reservations, err := authority.ReservationPlaces(ctx, tx, account)
	if err != nil {
		return nil, nil, err
	}
	reserved := map[spot]wire.SyncReserved{}
	for _, h := range held {
		if h.Place == authority.OutPlace || h.Place == authority.IssuerPlace {
			continue
		}
		// A place of no virtual account is this account's all the same.
		k := spot{cmp.Or(pools[h.Place], reservations[h.Place], vas[0].VaID), h.LotID}
		at(k).Held += h.Quantity
		if reservations[h.Place] != "" {
			reserved[k] = wire.SyncReserved{VA: k.va, Lot: k.lot, Tag: license.Tag(h.Tag), Count: reserved[k].Count + h.Quantity}
		}
	}
	var stock []wire.SyncStock
	for _, k := range inOrder(said) {
		stock = append(stock, *said[k])
	}
	var kept []wire.SyncReserved
	for _, k := range inOrder(reserved) {
		kept = append(kept, reserved[k])
	}
	return stock, kept, nil
}

// instances lists the products, with pseudonyms for what is not to leave the site.
func (s *Sync) instances(ctx context.Context, tx *store.Tx, account string, private []string) ([]wire.SyncInstance, error) {
	uses, err := tx.UsageOfAccount(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("read use: %w", err)
	}
	of := map[string][]db.UsageOfAccountRow{}
	for _, u := range uses {
		of[u.InstanceID] = append(of[u.InstanceID], u)
	}
	var out []wire.SyncInstance
	after := ""
	for {
		rows, err := tx.InstancesWhole(ctx, db.InstancesWholeParams{AccountID: account, After: after, Page: 1000})
		if err != nil {
			return nil, fmt.Errorf("read instances: %w", err)
		}
		for _, r := range rows {
			in := wire.SyncInstance{
				ID: r.InstanceID, VA: r.VaID, Product: r.Product, PID: r.Pid, Serial: r.Serial, Version: r.Version, Hostname: s.pseudonym(r.Hostname, private), State: r.State,
				Status: r.Status, StatusAt: r.StatusAt, RegisteredAt: r.RegisteredAt, RenewedAt: r.RenewedAt, ExpiresAt: r.ExpiresAt, ContactAt: r.AnsweredAt, NextAt: r.NextAt,
				DeadlineAt: r.DeadlineAt, ForkedAt: r.ForkedAt, RemovedAt: r.RemovedAt, Incarnation: r.Incarnation, Number: r.Number, Exported: r.ExportControlled, Key: trust.ShortKey(r.PublicKey),
			}
			for _, u := range of[r.InstanceID] {
				if in.Use == nil {
					in.Use, in.SinceAt = map[license.Tag]int64{}, map[license.Tag]int64{}
				}
				in.Use[license.Tag(u.Tag)], in.SinceAt[license.Tag(u.Tag)] = u.Quantity, u.SinceAt
			}
			out, after = append(out, in), r.InstanceID
		}
		if len(rows) < 1000 {
			return out, nil
		}
	}
}

// pseudonym replaces a host name or an address that is not to leave the site.
func (s *Sync) pseudonym(host string, private []string) string {
	kind := PrivateHosts
	if bare := strings.Trim(host, "[]"); net.ParseIP(bare) != nil {
		kind = PrivateAddresses
	}
	if host == "" || !slices.Contains(private, kind) {
		return host
	}
	return "private-" + s.keys.Pseudonym(kind, strings.ToLower(host))
}

// burning is what a satellite gives up at once.
type burning struct {
	legs  []authority.Leg
	rows  []db.UpstreamStock
	count int64
}

func (g burning) save(ctx context.Context, b *authority.Books, event int64) error {
	for _, r := range g.rows {
		if err := b.PutUpstreamStock(ctx, db.PutUpstreamStockParams(r)); err != nil {
			return fmt.Errorf("keep upstream stock: %w", err)
		}
	}
	return b.Move(ctx, "satellite", event, g.legs)
}

// giveBack takes what the authority wants back out of the pools: of the virtual account that it named, and of the others where
// the licenses were transferred on. Use is no hindrance, as demand is a measurement; what a reservation holds stays until that is
// returned, and is a finding.
func (s *Sync) giveBack(ctx context.Context, b *authority.Books, up db.Upstream) (burning, []license.Fact, error) {
	var g burning
	rows, err := b.UpstreamStock(ctx, up.AccountID)
	if err != nil {
		return g, nil, fmt.Errorf("read upstream stock: %w", err)
	}
	held, err := b.HoldingsOf(ctx)
	if err != nil {
		return g, nil, fmt.Errorf("read holdings: %w", err)
	}
	vas, err := authority.VirtualAccountRows(ctx, b.Tx, up.AccountID)
	if err != nil {
		return g, nil, err
	}
	pool, reserved, tags := map[spot]int64{}, map[string]int64{}, map[string]license.Tag{}
	for _, h := range held {
		if h.Place != authority.OutPlace {
			reserved[h.LotID] += h.Quantity
		}
		for _, v := range vas {
			if h.Place == authority.PoolPlace(v.VaID) {
				pool[spot{v.VaID, h.LotID}] = h.Quantity
				reserved[h.LotID] -= h.Quantity
			}
		}
		tags[h.LotID] = license.Tag(h.Tag)
	}
	var facts []license.Fact
	kept := map[license.Tag]int64{}
	for _, r := range rows {
		want := r.Asked - r.Burnt
		if want <= 0 {
			continue
		}
		from := append([]string{r.VaID}, without(vas, r.VaID)...)
		for _, va := range from {
			n := min(want, pool[spot{va, r.LotID}])
			if n == 0 {
				continue
			}
			pool[spot{va, r.LotID}] -= n
			want -= n
			r.Burnt += n
			g.count += n
			g.legs = append(g.legs, authority.Leg{Place: authority.PoolPlace(va), Lot: r.LotID, Tag: tags[r.LotID], Quantity: -n},
				authority.Leg{Place: authority.OutPlace, Lot: r.LotID, Tag: tags[r.LotID], Quantity: n})
		}
		g.rows = append(g.rows, r)
		// What was asked of one virtual account may have come out of another, which is then asked in vain.
		if want = min(want, reserved[r.LotID]); want > 0 {
			reserved[r.LotID] -= want
			kept[tags[r.LotID]] += want
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(kept)) {
		facts = append(facts, license.Fact{Code: license.FactSyncShort, Tag: string(tag), Count: kept[tag]})
	}
	return g, facts, nil
}

func without(vas []db.VirtualAccount, id string) []string {
	var out []string
	for _, v := range vas {
		if v.VaID != id {
			out = append(out, v.VaID)
		}
	}
	return out
}
