package satellite

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// A satellite's keys are replaced when they are lost (it joins anew) or old (it asks for a certificate of the next ones). Its
// authority keeps which ones it ever certified, in their order. The certificate of each says that it follows all before it, so that
// products take its word wherever they took one of theirs. What a later one has taken the place of counts no more: neither do files
// that it signs, nor may a satellite join with it again, or two sites could follow each other.

// issuer is an issuing key that a satellite was certified with.
type issuer struct {
	Site string `json:"site"`
	At   int64  `json:"at"` // when it was certified first, in milliseconds
	// Lost says that the satellite joined anew with other keys.
	Lost bool `json:"lost,omitempty"`
}

// maxIssuers bounds what a satellite can make its authority keep.
const maxIssuers = 200

// lineage is all of them, the oldest first.
type lineage []issuer

func lineageOf(row db.SatelliteRow) lineage {
	var l lineage
	_ = json.Unmarshal([]byte(row.Issuers), &l) // written by us
	if len(l) == 0 && row.Site != "" {
		l = lineage{{Site: row.Site, At: row.JoinedAt}}
	}
	return l
}

func (l lineage) text() string {
	text, err := json.Marshal(l)
	if err != nil || len(l) == 0 {
		return "[]"
	}
	return string(text)
}

func (l lineage) index(site string) int {
	return slices.IndexFunc(l, func(i issuer) bool { return i.Site == site })
}

// before is what the keys of a site follow, for an account.
func (l lineage) before(account, site string) []trust.Predecessor {
	var all []trust.Predecessor
	for _, i := range l[:max(0, l.index(site))] {
		all = append(all, trust.Predecessor{Account: account, Issuer: i.Site})
	}
	return all
}

// lost lists the sites that a satellite was and that were lost.
func (l lineage) lost() []string {
	var all []string
	for _, i := range l {
		if i.Lost {
			all = append(all, i.Site)
		}
	}
	return all
}

// codeKeysReplaced refuses a file signed with keys of before.
const codeKeysReplaced = "satellite-keys-replaced"

// oldKeysEvery is how often at most it is noted that such a file came: whoever has old keys makes the authority write no more.
const oldKeysEvery = time.Hour

// noteOldKeys keeps at the satellite that a file was refused because its keys were replaced: when the last one came, and an event for the
// first one that nobody has looked at.
func (a *answering) noteOldKeys(ctx context.Context) {
	e := a.m.Exchange
	err := a.Authority.Books(ctx, access.Person{ID: e.Satellite}, e.Account, "note old keys", func(b *authority.Books) error {
		row, err := b.Satellite(ctx, db.SatelliteParams{AccountID: e.Account, SatelliteID: e.Satellite})
		if err != nil {
			return fmt.Errorf("read satellite: %w", err)
		}
		facts := notedOf(row)
		at := slices.IndexFunc(facts, func(f license.Fact) bool { return f.Code == license.FactSyncOldKeys })
		if at >= 0 {
			if b.Time().Sub(facts[at].Since) < oldKeysEvery {
				return nil
			}
			facts = slices.Delete(facts, at, at+1)
		} else if _, err := b.Record(ctx, "keys.refused", row.SatelliteID, map[string]any{"by": a.way}); err != nil {
			return err
		}
		row.Findings = factsText(slices.Insert(facts, 0, license.Fact{Code: license.FactSyncOldKeys, Since: b.Time()}))
		return save(ctx, b.Tx, row)
	})
	if err != nil {
		a.Log.WarnContext(ctx, "it was not noted that a file by replaced keys came", "satellite", e.Satellite, "error", err)
	}
}

// replacedKeys refuses keys that later ones have taken the place of.
func replacedKeys(row db.SatelliteRow) error {
	at := row.JoinedAt
	if l := lineageOf(row); len(l) > 0 {
		at = l[max(0, l.index(row.Site))].At
	}
	return license.Refuse(license.KindUnknown, codeKeysReplaced,
		"start the satellite with its newest key folder; if that is lost, put the folder satellite-1 aside, make a token with `tally satellite invite`, and join anew",
		"the keys that signed this were replaced by others of the satellite %q on %s, and count no more", row.Name, store.At(at).Format(time.DateOnly))
}

// signedBy takes a file's signer: the keys that counted last, or some that follow them, which count from then on.
func signedBy(row *db.SatelliteRow, e trust.Envelope, now time.Time) error {
	l := lineageOf(*row)
	at, current := l.index(e.Site), l.index(row.Site)
	switch {
	case e.Site == row.Site:
		return nil
	case at < 0 && row.Site != "" && slices.Contains(trust.Predecessors(e.Signer), trust.Predecessor{Account: row.AccountID, Issuer: row.Site}):
		l = append(l, issuer{Site: e.Site, At: store.Ms(now)}) // the root certified it, and this database went back
	case at < 0:
		return unknownSatellite()
	case at < current:
		return replacedKeys(*row)
	}
	public, err := trust.MarshalPublicKey(trust.IssuingKey(e.Signer))
	if err != nil {
		return err
	}
	row.Site, row.PublicKey, row.Issuers = e.Site, public, l.text()
	return nil
}

// joins puts the keys of a join in force. All that may have counted until then are lost.
func (l lineage) joins(row db.SatelliteRow, site string, now time.Time) (lineage, error) {
	at, current := l.index(site), l.index(row.Site)
	switch {
	case at >= 0 && at < current:
		return l, replacedKeys(row)
	case at == current && at >= 0:
		return l, nil
	case at < 0:
		l = append(slices.Clone(l), issuer{Site: site, At: store.Ms(now)})
		at = len(l) - 1
	}
	for i := max(0, current); i < at; i++ {
		l[i].Lost = true
	}
	return l, l.bounded()
}

func (l lineage) bounded() error {
	if len(l) > maxIssuers {
		return license.Refuse(license.KindRefused, "too-many-keys", "make a new satellite with `tally satellite create`", "the satellite was certified with %d keys already", maxIssuers)
	}
	return nil
}

// elsewhere is what the keys of a site follow for other accounts that it serves: of what its present certificate says, that which is
// still so.
func (s *Sync) elsewhere(ctx context.Context, account, site string, present []trust.Predecessor) ([]trust.Predecessor, error) {
	var others []string
	for _, p := range present {
		if p.Account != "" && p.Account != account && !slices.Contains(others, p.Account) {
			others = append(others, p.Account)
		}
	}
	if len(others) == 0 {
		return nil, nil
	}
	var all []trust.Predecessor
	err := s.Authority.Read(ctx, "read other accounts of a satellite", func(tx *store.Tx) error {
		all = nil
		for _, other := range others {
			rows, err := allSatellites(ctx, tx, other)
			if err != nil {
				return err
			}
			for _, row := range rows {
				if l := lineageOf(row); row.State != stateRemoved && l.index(site) >= l.index(row.Site) && l.index(site) >= 0 {
					all = append(all, l.before(other, site)...)
				}
			}
		}
		return nil
	})
	return all, err
}

// successor is the key that is to replace a satellite's.
type successor struct {
	key       *ecdsa.PublicKey
	site      string
	elsewhere []trust.Predecessor // what it follows for other accounts
}

// successor reads the request of a satellite for the certificate of its next key.
func (s *Sync) successor(ctx context.Context, e wire.SyncExchange) (*successor, error) {
	refused := func(err error) error {
		return license.Refuse(license.KindInvalid, "bad-certificate-request", "make the file again with `tally sync export`", "the request for the next keys in the file does not fit its key: %v", err)
	}
	csr, err := trust.ParseCSR(e.CSR)
	if err != nil {
		return nil, refused(err)
	}
	next := &successor{key: csr.PublicKey(), site: trust.SiteID(csr.PublicKey())}
	if len(e.Certificate) == 0 {
		return next, nil
	}
	before, err := s.keys.Certified(e.Certificate, next.key)
	if err != nil {
		return nil, refused(err)
	}
	next.elsewhere, err = s.elsewhere(ctx, e.Account, next.site, before)
	return next, err
}

// certifyNext certifies the satellite's next key. Its present one goes on counting until a file that the next one signed comes: the
// answer may be lost.
func (a *answering) certifyNext(row *db.SatelliteRow, reply *wire.SyncAnswer, now time.Time) ([]license.Fact, error) {
	l := lineageOf(*row)
	at := l.index(a.next.site)
	if at < 0 {
		l = append(l, issuer{Site: a.next.site, At: store.Ms(now)})
	}
	if at >= 0 && at <= l.index(row.Site) || l.bounded() != nil {
		return []license.Fact{{Code: license.FactSyncForeign, Name: "keys of a satellite that cannot come next, " + a.next.site}}, nil
	}
	der, err := a.keys.CertifySite(a.next.key, a.named, append(a.next.elsewhere, l.before(row.AccountID, a.next.site)...), now)
	if errors.Is(err, trust.ErrRootKeyAway) {
		return nil, nil // which the certificate of the present key says
	}
	if err != nil {
		return nil, fmt.Errorf("certify the next keys of a satellite: %w", err)
	}
	row.Issuers = l.text()
	reply.Next = &wire.SyncIdentity{Certificate: der, Root: a.keys.RootDER(), EndsAt: now.Add(trust.SiteLife).Truncate(time.Second)}
	return nil, nil
}

// askNext asks for the certificate of this satellite's next keys, while some wait.
func (s *Sync) askNext(e *wire.SyncExchange) error {
	next, err := s.keys.NextSite()
	if err != nil || next == nil {
		return err
	}
	e.Certificate = next.Certificate()
	e.CSR, err = next.CSR()
	return err
}

// takeNext keeps the certificate of this satellite's next keys, and puts them in force when it says of every account that they follow
// the present ones there. Until then the present ones go on.
func (s *Sync) takeNext(ctx context.Context, certified *wire.SyncIdentity) error {
	next, err := s.keys.NextSite()
	if err != nil || next == nil {
		return err
	}
	if err := next.Complete(certified.Certificate, certified.Root, s.keys.Fingerprint(), s.Now()); err != nil {
		return err
	}
	follows, err := next.Predecessors()
	if err != nil {
		return err
	}
	rows, _, err := s.upstreams(ctx)
	if err != nil {
		return err
	}
	for _, up := range rows {
		if up.State != stateRemoved && !slices.Contains(follows, trust.Predecessor{Account: up.AccountID, Issuer: s.keys.Site()}) {
			return nil
		}
	}
	return s.keys.Promote(next)
}
