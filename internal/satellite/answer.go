package satellite

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
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

// MaxFile bounds a synchronization file: its text and the signature.
const MaxFile = wire.MaxSync + 64<<10

// restoredShown is for how long the authority shows that a satellite lost its database or went back to an older one, unless somebody
// settles it before.
const restoredShown = 90 * 24 * time.Hour

// Answer takes a file of a satellite, whatever carried it, and returns the answer for it. The same file again gets the same
// answer, byte for byte. A refusal by a rule comes as a signed answer together with the license.Error; an error without an
// answer says nothing that the satellite would act on.
func (s *Sync) Answer(ctx context.Context, file []byte, way Way) ([]byte, error) {
	if s.IsSatellite() {
		return nil, license.Refuse(license.KindRefused, "at-satellite", "carry the file to the authority", "this is a satellite, and no authority of satellites")
	}
	h, err := trust.PeekFile(file, MaxFile)
	if err != nil {
		return nil, badFile(err)
	}
	if h.Kind == wire.KindJoin {
		return s.answerJoin(ctx, file, way)
	}
	pins := trust.Pins{Root: s.keys.Fingerprint(), Site: trust.AnySite, MaxBytes: MaxFile}
	e, err := trust.OpenAuthorityFile(file, []string{wire.KindSync}, wire.Audience, pins, s.Now())
	if err != nil && !errors.Is(err, trust.ErrExpired) { // one that was away for years is known by its key
		return nil, badFile(err)
	}
	m, err := wire.ParseSyncRequest(e.Payload)
	if err != nil {
		return nil, err
	}
	if e.Site == "" || !trust.ValidID("acc", m.Exchange.Account) || !trust.ValidID("sat", m.Exchange.Satellite) {
		return nil, unknownSatellite()
	}
	digest := sha256.Sum256(e.Payload)
	a := &answering{Sync: s, m: m, digest: digest[:], way: way, key: trust.IssuingKey(e.Signer)}
	if a.elsewhere, err = s.elsewhere(ctx, m.Exchange.Account, e.Site, trust.Predecessors(e.Signer)); err != nil {
		return nil, err
	}
	if len(m.Exchange.CSR) > 0 {
		if a.next, err = s.successor(ctx, m.Exchange); err != nil {
			return nil, err
		}
	}
	return a.answer(ctx, func(row *db.SatelliteRow) error { return signedBy(row, e, s.Now()) })
}

func unknownSatellite() error {
	return license.Refuse(license.KindUnknown, "satellite-unknown", "join the satellite with a token of this authority: `tally satellite create`, then `tally sync join`",
		"this authority does not know the satellite that the file is from")
}

// answering is one file of a satellite at work.
type answering struct {
	*Sync
	m      *wire.SyncRequest
	digest []byte
	way    Way
	join   *joining // nil but for the first file
	key    *ecdsa.PublicKey
	named  []string // names of its server that it is certified for
	// elsewhere is what the key follows for other accounts.
	elsewhere []trust.Predecessor
	next      *successor // nil but where the satellite is about to replace its keys
	was       string     // the site that counted before this file, empty for none
}

// answer does the exchange in one transaction and signs what was stored.
func (a *answering) answer(ctx context.Context, check func(*db.SatelliteRow) error) ([]byte, error) {
	e := a.m.Exchange
	var text []byte
	var refusal error
	err := a.Authority.Books(ctx, access.Person{ID: e.Satellite}, e.Account, "synchronize satellite", func(b *authority.Books) error {
		text, refusal = nil, nil
		row, err := b.Satellite(ctx, db.SatelliteParams{AccountID: e.Account, SatelliteID: e.Satellite})
		if noRow(err) {
			return unknownSatellite()
		}
		if err != nil {
			return fmt.Errorf("read satellite: %w", err)
		}
		a.was = row.Site
		if err := check(&row); err != nil {
			return err
		}
		if bytes.Equal(row.Digest, a.digest) && (a.join != nil || row.Epoch == e.Epoch && row.Number == e.Number) {
			if text, err = b.SatelliteAnswer(ctx, db.SatelliteAnswerParams{AccountID: e.Account, SatelliteID: e.Satellite}); err != nil {
				return fmt.Errorf("read stored answer: %w", err)
			}
			return nil
		}
		if row.State == stateRemoved {
			refusal = removedError(row)
			if err := a.heard(ctx, b, &row); err != nil {
				return err
			}
		} else if a.join == nil {
			refusal = turn(row, e)
		} else {
			refusal = a.join.admit(&row, b.Time())
		}
		if no := license.AsError(refusal); no != nil {
			if a.join != nil && no.Code != wire.CodeSyncRemoved {
				return refusal // whoever brings a token that is not good is told no more
			}
			text, err = a.refused(b, row, no)
			return err
		}
		text, err = a.exchange(ctx, b, row)
		return err
	})
	if err != nil {
		if no := license.AsError(err); no != nil && no.Kind == license.KindNotFound {
			err = unknownSatellite() // of an account that is not here
		} else if no != nil && no.Code == codeKeysReplaced {
			a.noteOldKeys(ctx)
		}
		return nil, err
	}
	reply, err := a.keys.SealFile(trust.Header{
		Kind: wire.KindSynced, Audience: audience(e.Account, e.Satellite), Number: e.Number, Chain: a.keys.SignerChain(),
	}, text)
	return reply, errors.Join(err, refusal)
}

// heard notes that a satellite that was removed while licenses were out is at work, and what reservations hold there.
func (a *answering) heard(ctx context.Context, b *authority.Books, row *db.SatelliteRow) error {
	noted := notedOf(*row)
	for i := range noted {
		if noted[i].Code == license.FactSyncLost {
			noted[i].Of, noted[i].Since = 0, b.Time()
			for _, r := range a.m.Reserved {
				noted[i].Of += r.Count
			}
		}
	}
	text := factsText(noted)
	if text == row.Findings {
		return nil
	}
	row.Findings = text
	return save(ctx, b.Tx, *row)
}

// audience is whom an answer is for.
func audience(account, satellite string) string { return account + "/" + satellite }

// turn is the rule of file numbers. A number above the last one is the next file: those between were lost or are on their way,
// and nothing is missing, as every file says everything. So is any file of a later epoch: a satellite that found out by an old
// answer that its database went back numbers from there, below what was heard of it before. Anything else is an old file, or
// comes from a satellite whose database went back; the signed refusal lets the satellite find out which.
func turn(row db.SatelliteRow, e wire.SyncExchange) error {
	if e.Epoch > row.Epoch || e.Epoch == row.Epoch && e.Number > row.Number {
		return nil
	}
	return license.Refuse(license.KindConflict, wire.CodeSyncBehind,
		"a file that comes late or twice does no harm; if the satellite's database was restored, apply this answer there and it synchronizes anew",
		"file %d of epoch %d is not newer than file %d of epoch %d, which was answered on %s", e.Number, e.Epoch, row.Number, row.Epoch, store.At(row.SyncedAt).Format("2006-01-02 15:04 UTC"))
}

// refused writes a signed No.
func (a *answering) refused(b *authority.Books, row db.SatelliteRow, no *license.Error) ([]byte, error) {
	reply := a.reply(b, row)
	reply.Refusal = &wire.SyncRefusal{Code: no.Code, Message: no.Message, Hint: no.Hint, Epoch: row.Epoch, Number: row.Number, Last: row.Digest}
	return reply.Text()
}

func (a *answering) reply(b *authority.Books, row db.SatelliteRow) *wire.SyncAnswer {
	e := a.m.Exchange
	return &wire.SyncAnswer{Exchange: wire.SyncReply{
		Satellite: row.SatelliteID, Name: row.Name, Account: row.AccountID, AccountName: b.Account().Name, Epoch: e.Epoch, Number: e.Number, Request: a.digest,
		At: b.Time(), Program: a.Version, Whole: e.Whole || a.join != nil, Leaving: row.State == stateLeaving,
	}}
}

// exchange takes over what the satellite said, gives it what lies there for it, and stores the answer.
func (a *answering) exchange(ctx context.Context, b *authority.Books, row db.SatelliteRow) ([]byte, error) {
	e := a.m.Exchange
	restored := a.join == nil && e.Epoch > row.Epoch || a.join != nil && row.JoinedAt != 0
	row.Program, row.EveryS, row.SyncedBy, row.Digest = clip(e.Program), e.EverySeconds, string(a.way), a.digest
	if a.join != nil {
		row.Epoch, row.Number, row.JoinedAt = row.Epoch+1, row.Number+1, store.Ms(b.Time())
	} else {
		row.Epoch, row.Number, row.SyncedAt = e.Epoch, e.Number, store.Ms(b.Time())
	}
	facts, err := a.takeVAs(ctx, b, row)
	if err != nil {
		return nil, err
	}
	stock, err := loadStock(ctx, b, row)
	if err != nil {
		return nil, err
	}
	came := stock.take(a.m.Stock, a.m.Reserved)
	if err := stock.credit(ctx, b, came); err != nil {
		return nil, err
	}
	if row.State == stateLeaving {
		for _, r := range stock.rows {
			r.Asked = max(r.Asked, r.Granted)
		}
	} else {
		stock.grant()
	}
	stock.spread()
	facts = append(facts, stock.facts...)
	foreign, err := a.takeInstances(ctx, b, row, stock.vas)
	if err != nil {
		return nil, err
	}
	facts = append(facts, foreign...)
	reply := a.reply(b, row)
	reply.Exchange.Epoch, reply.Exchange.Number = row.Epoch, row.Number
	noted, err := a.certify(&row, reply, b.Time())
	if err != nil {
		return nil, err
	}
	if a.next != nil {
		odd, err := a.certifyNext(&row, reply, b.Time())
		if err != nil {
			return nil, err
		}
		noted = append(noted, odd...)
	}
	facts = append(noted, facts...)
	shown := stillShown(row, b.Time())
	if restored {
		times := int64(1)
		shown = slices.DeleteFunc(shown, func(f license.Fact) bool {
			if f.Code == license.FactSyncRestored {
				times = max(1, f.Of) + 1
			}
			return f.Code == license.FactSyncRestored
		})
		shown = slices.Concat([]license.Fact{{Code: license.FactSyncRestored, Count: row.Epoch, Of: times, Since: b.Time()}}, stock.forgotten(b.Time()), shown)
	}
	facts = append(shown, facts...)
	if len(facts) > wire.MaxFindings {
		facts = facts[:wire.MaxFindings]
	}
	row.Findings, reply.Findings = factsText(facts), facts
	left := row.State == stateLeaving && stock.outstanding() == 0 && a.join == nil && noneHeld(stock)
	if err := a.write(ctx, b, row, stock, came, restored, left); err != nil {
		return nil, err
	}
	if left {
		if err := a.part(ctx, b, &row, "the satellite "+row.Name); err != nil {
			return nil, err
		}
		if err := save(ctx, b.Tx, row); err != nil {
			return nil, err
		}
	}
	if err := a.tell(ctx, b, stock, reply); err != nil {
		return nil, err
	}
	text, err := reply.Text()
	if err != nil {
		return nil, err
	}
	if err := b.SetSatelliteAnswer(ctx, db.SetSatelliteAnswerParams{AccountID: row.AccountID, SatelliteID: row.SatelliteID, Answer: text}); err != nil {
		return nil, fmt.Errorf("store answer: %w", err)
	}
	return text, nil
}

func noneHeld(s *stock) bool {
	for _, r := range s.rows {
		if r.Held != 0 {
			return false
		}
	}
	return true
}

// stillShown keeps that a satellite was restored until somebody settles it, and for some time at most.
func stillShown(row db.SatelliteRow, now time.Time) []license.Fact {
	return slices.DeleteFunc(notedOf(row), func(f license.Fact) bool { return !lasting(f) || now.Sub(f.Since) > restoredShown })
}

func clip(s string) string { return s[:min(len(s), 64)] }

// write writes the satellite's row, its stock, and the one event of the exchange.
func (a *answering) write(ctx context.Context, b *authority.Books, row db.SatelliteRow, stock *stock, came map[spot]int64, restored, left bool) error {
	kind := "satellite.synchronized"
	switch {
	case left:
		kind = "satellite.removed"
	case restored:
		kind = "satellite.restored"
	case a.join != nil:
		kind = "satellite.joined"
	}
	if a.was != "" && a.was != row.Site {
		if _, err := b.Record(ctx, eventKeysReplaced, row.SatelliteID, map[string]any{"before": a.was, "issuer": row.Site, "lost": a.join != nil}); err != nil {
			return err
		}
	}
	var back int64
	for _, n := range came {
		back += n
	}
	seq, err := b.Record(ctx, kind, row.SatelliteID, map[string]any{
		"by": a.way, "epoch": row.Epoch, "number": row.Number, "site": row.Site, "returned": back, "instances": len(a.m.Instances), "findings": len(stock.facts),
	})
	if err != nil {
		return err
	}
	if err := stock.save(ctx, b, seq); err != nil {
		return err
	}
	return save(ctx, b.Tx, row)
}

// takeVAs takes over the virtual accounts that the satellite made and the names that it gave.
func (a *answering) takeVAs(ctx context.Context, b *authority.Books, row db.SatelliteRow) ([]license.Fact, error) {
	var facts []license.Fact
	for _, v := range a.m.VAs {
		known, err := b.VA(ctx, db.VAParams{AccountID: row.AccountID, VaID: v.ID})
		if err != nil && !noRow(err) {
			return nil, fmt.Errorf("read virtual account: %w", err)
		}
		switch {
		case !trust.ValidID("va", v.ID) || err == nil && known.SatelliteID != row.SatelliteID || authority.CheckVirtualAccountName(v.Name) != nil:
			facts = append(facts, license.Fact{Code: license.FactSyncForeign, Name: fmt.Sprintf("virtual account %.40q (%s)", v.Name, v.ID)})
		case err == nil && known.Name == v.Name:
		default:
			name, unique := b.UniqueVAName(ctx, v.ID, v.Name, row.Name)
			if unique != nil {
				return nil, unique
			}
			if err == nil {
				unique = b.RenameVA(ctx, db.RenameVAParams{AccountID: row.AccountID, VaID: v.ID, Name: name, NameKey: authority.NameKey(name)})
			} else if _, unique = b.InsertVA(ctx, db.InsertVAParams{
				AccountID: row.AccountID, VaID: v.ID, Name: name, NameKey: authority.NameKey(name), CreatedAt: store.Ms(b.Time()),
			}); unique == nil {
				unique = own(ctx, b, row, v.ID)
			}
			if unique != nil {
				return nil, fmt.Errorf("keep virtual account: %w", unique)
			}
		}
	}
	return facts, nil
}

// takeInstances replaces what is known of the satellite's products and of what they use. Only what changed is written.
func (a *answering) takeInstances(ctx context.Context, b *authority.Books, row db.SatelliteRow, vas []string) ([]license.Fact, error) {
	old, err := b.InstancesOfSatellite(ctx, db.InstancesOfSatelliteParams{AccountID: row.AccountID, SatelliteID: row.SatelliteID})
	if err != nil {
		return nil, fmt.Errorf("read instances: %w", err)
	}
	if a.m.Exchange.Whole || a.join != nil {
		return nil, nil // it has lost them and is about to get them back
	}
	if err := takeOverInstances(ctx, b, row, a.m.Instances, old); err != nil {
		return nil, err
	}
	known := make(map[string][]byte, len(old))
	for _, o := range old {
		known[o.InstanceID] = o.Body
	}
	var facts []license.Fact
	var changed []db.SatelliteInstance
	use := map[string]map[string]int64{}
	for _, va := range vas {
		use[va] = map[string]int64{}
	}
	for _, in := range a.m.Instances {
		if use[in.VA] == nil || !trust.ValidID("ins", in.ID) {
			facts = append(facts, license.Fact{Code: license.FactSyncForeign, Name: "product instance " + in.ID})
			continue
		}
		body, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("keep instance: %w", err)
		}
		if !bytes.Equal(known[in.ID], body) {
			changed = append(changed, db.SatelliteInstance{AccountID: row.AccountID, SatelliteID: row.SatelliteID, InstanceID: in.ID, VaID: in.VA, Body: body})
		}
		delete(known, in.ID)
		if in.State != instanceRemoved {
			for tag, n := range in.Use {
				use[in.VA][string(tag)] += n
			}
		}
	}
	if err := b.PutSatelliteInstances(ctx, changed); err != nil {
		return nil, fmt.Errorf("keep instances: %w", err)
	}
	for _, o := range old {
		if known[o.InstanceID] == nil {
			continue
		}
		if err := b.DeleteSatelliteInstance(ctx, db.DeleteSatelliteInstanceParams{AccountID: row.AccountID, SatelliteID: row.SatelliteID, InstanceID: o.InstanceID}); err != nil {
			return nil, fmt.Errorf("forget instance: %w", err)
		}
	}
	return facts, setDemand(ctx, b, row.AccountID, use)
}

// takeOverInstances forgets what removed satellites were known to have of products that another one has now.
func takeOverInstances(ctx context.Context, b *authority.Books, row db.SatelliteRow, said []wire.SyncInstance, old []db.SatelliteInstance) error {
	fresh := map[string]bool{}
	for _, in := range said {
		fresh[in.ID] = in.State != instanceRemoved
	}
	for _, o := range old {
		delete(fresh, o.InstanceID)
	}
	if len(fresh) == 0 {
		return nil
	}
	all, err := allSatellites(ctx, b.Tx, row.AccountID)
	if err != nil {
		return err
	}
	for _, gone := range all {
		if gone.State != stateRemoved {
			continue
		}
		had, err := b.InstancesOfSatellite(ctx, db.InstancesOfSatelliteParams{AccountID: row.AccountID, SatelliteID: gone.SatelliteID})
		if err != nil {
			return fmt.Errorf("read instances: %w", err)
		}
		for _, h := range had {
			if !fresh[h.InstanceID] {
				continue
			}
			if err := b.DeleteSatelliteInstance(ctx, db.DeleteSatelliteInstanceParams{AccountID: row.AccountID, SatelliteID: gone.SatelliteID, InstanceID: h.InstanceID}); err != nil {
				return fmt.Errorf("forget instance: %w", err)
			}
		}
	}
	return nil
}

// setDemand replaces the demand of virtual accounts.
func setDemand(ctx context.Context, b *authority.Books, account string, use map[string]map[string]int64) error {
	was, err := b.DemandOfAccount(ctx, account)
	if err != nil {
		return fmt.Errorf("read demand: %w", err)
	}
	for _, d := range was {
		if use[d.VaID] == nil {
			continue
		}
		if n, still := use[d.VaID][d.Tag]; still && n == d.Quantity {
			delete(use[d.VaID], d.Tag)
		} else if !still {
			use[d.VaID][d.Tag] = 0
		}
	}
	for va, tags := range use {
		for tag, n := range tags {
			if err := b.PutDemand(ctx, db.PutDemandParams{AccountID: account, VaID: va, Tag: tag, Quantity: n}); err != nil {
				return fmt.Errorf("keep demand: %w", err)
			}
		}
	}
	return nil
}

// certify renews the satellite's certificate for the names that its server has. A name of this authority's own is left out.
func (a *answering) certify(row *db.SatelliteRow, reply *wire.SyncAnswer, now time.Time) ([]license.Fact, error) {
	var facts []license.Fact
	var hosts, taken []string
	for _, h := range a.m.Exchange.Hosts {
		if slices.ContainsFunc(a.Hosts, func(own string) bool { return strings.EqualFold(own, h) }) && !authority.Loopback(h) {
			taken = append(taken, h)
			continue
		}
		hosts = append(hosts, h)
	}
	named := slices.ContainsFunc(hosts, func(h string) bool { return !authority.Loopback(h) })
	for _, h := range taken {
		if h != a.m.Exchange.Machine || !named { // nobody asked for that one, and others reach it by another
			facts = append(facts, license.Fact{Code: license.FactSyncHost, Name: h})
		}
	}
	if err := trust.CheckHosts(hosts); err != nil {
		return nil, license.Refuse(license.KindInvalid, "bad-host", "start the satellite with --name HOST", "%v", err)
	}
	l := lineageOf(*row)
	a.named = hosts
	der, err := a.keys.CertifySite(a.key, hosts, append(a.elsewhere, l.before(row.AccountID, row.Site)...), now)
	if errors.Is(err, trust.ErrRootKeyAway) {
		if a.join != nil {
			return nil, license.Refuse(license.KindUnavailable, "root-key-away", "put root.key back into the key folder for the time that it takes", "%v", err)
		}
		return append(facts, license.Fact{Code: license.FactSyncRootAway}), nil
	}
	if err != nil {
		return nil, fmt.Errorf("certify satellite: %w", err)
	}
	list, err := json.Marshal(hosts)
	if err != nil {
		return nil, fmt.Errorf("keep hosts: %w", err)
	}
	row.Hosts, row.IdentityEndsAt = string(list), store.Ms(now.Add(trust.SiteLife).Truncate(time.Second))
	if hosts == nil {
		row.Hosts = "[]"
	}
	reply.Identity = &wire.SyncIdentity{Certificate: der, Root: a.keys.RootDER(), EndsAt: store.At(row.IdentityEndsAt), Lost: l.lost()}
	return facts, nil
}

// tell writes into an answer everything that the satellite was given.
func (a *answering) tell(ctx context.Context, b *authority.Books, stock *stock, reply *wire.SyncAnswer) error {
	account := stock.row.AccountID
	for _, id := range stock.vas {
		v, err := b.VA(ctx, db.VAParams{AccountID: account, VaID: id})
		if err != nil {
			return fmt.Errorf("read virtual account: %w", err)
		}
		reply.VAs = append(reply.VAs, wire.SyncVA{ID: v.VaID, Name: v.Name})
	}
	orders := map[string]bool{}
	for _, id := range stock.lotIDs() {
		l, err := b.Lot(ctx, db.LotParams{AccountID: account, LotID: id})
		if err != nil {
			return fmt.Errorf("read lot: %w", err)
		}
		if !orders[l.PurchaseID] {
			orders[l.PurchaseID] = true
			p, err := b.Purchase(ctx, db.PurchaseParams{AccountID: account, PurchaseID: l.PurchaseID})
			if err != nil {
				return fmt.Errorf("read order: %w", err)
			}
			reply.Orders = append(reply.Orders, wire.SyncOrder{ID: p.PurchaseID, Number: p.Number, ReceivedAt: store.At(p.ReceivedAt)})
		}
		reply.Lots = append(reply.Lots, wire.SyncLot{
			ID: l.LotID, Order: l.PurchaseID, Line: l.Line, VA: l.VaID, SKU: l.Sku, Tag: license.Tag(l.Tag), Type: license.LotType(l.LotType), Quantity: l.Quantity,
			StartAt: l.StartsAt, EndAt: l.EndsAt, Subscription: l.Subscription,
		})
	}
	for _, k := range stock.spots() {
		r := stock.rows[k]
		if r.Granted == 0 && r.Asked == 0 && r.Burnt == 0 {
			continue
		}
		g := wire.SyncGrant{VA: k.va, Lot: k.lot, Granted: r.Granted, Asked: r.Asked, Returned: r.Burnt}
		reply.Stock = append(reply.Stock, g)
	}
	if !reply.Exchange.Whole {
		return nil
	}
	instances, err := b.InstancesOfSatellite(ctx, db.InstancesOfSatelliteParams{AccountID: account, SatelliteID: stock.row.SatelliteID})
	if err != nil {
		return fmt.Errorf("read instances: %w", err)
	}
	for _, r := range instances {
		var in wire.SyncInstance
		if err := json.Unmarshal(r.Body, &in); err != nil {
			return fmt.Errorf("read instance: %w", err)
		}
		reply.Instances = append(reply.Instances, in)
	}
	return nil
}
