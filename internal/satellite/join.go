package satellite

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// joining is the first file of a satellite, as its authority reads it.
type joining struct {
	token trust.Token
	key   *ecdsa.PublicKey
	site  string
}

// answerJoin takes the first file of a satellite: whoever has the token and the key that it carries.
func (s *Sync) answerJoin(ctx context.Context, file []byte, way Way) ([]byte, error) {
	e, err := trust.OpenProductFile(file, wire.KindJoin, wire.Audience, nil, wire.MaxMessage)
	if err != nil {
		return nil, badFile(err)
	}
	m, err := wire.ParseSyncRequest(e.Payload)
	if err != nil {
		return nil, err
	}
	token, err := readToken(m.Exchange.Token)
	if err != nil {
		return nil, err
	}
	if token.Root != s.keys.Fingerprint() {
		return nil, license.Refuse(license.KindRefused, "token-other-authority", "carry the file to the authority that made the token",
			"the token was issued by the authority with the root certificate %s; this one has %s", token.Root, s.keys.Fingerprint())
	}
	csr, err := trust.ParseCSR(m.Exchange.CSR)
	if err != nil || !csr.PublicKey().Equal(e.EmbeddedKey()) || m.Exchange.Account != token.Account || m.Exchange.Satellite != token.ID {
		return nil, license.Refuse(license.KindInvalid, "bad-certificate-request", "make the file again with `tally sync join`", "the file does not fit its token and its key")
	}
	digest := sha256.Sum256(e.Payload)
	join := &joining{token: token, key: csr.PublicKey(), site: trust.SiteID(csr.PublicKey())}
	a := &answering{Sync: s, m: m, digest: digest[:], way: way, join: join, key: join.key}
	if present := m.Exchange.Certificate; len(present) > 0 {
		before, err := s.keys.Certified(present, join.key)
		if err != nil {
			return nil, license.Refuse(license.KindInvalid, "bad-certificate-request", "make the file again with `tally sync join`", "the present certificate in the file does not fit its key: %v", err)
		}
		if a.elsewhere, err = s.elsewhere(ctx, token.Account, join.site, before); err != nil {
			return nil, err
		}
	}
	return a.answer(ctx, func(*db.SatelliteRow) error { return nil })
}

// readToken reads the token of a satellite.
func readToken(text string) (trust.Token, error) {
	token, err := trust.ParseToken(text)
	switch {
	case errors.Is(err, trust.ErrTokenDamaged):
		return token, license.Refuse(license.KindInvalid, "token-damaged", "copy the token again, whole and without a line break", "the satellite's token was mistyped or cut off")
	case err != nil:
		return token, license.Refuse(license.KindInvalid, "token-malformed", "copy the token from `tally satellite create`", "this is no token of a satellite: %v", err)
	case token.For != trust.ForSatellite:
		return token, license.Refuse(license.KindRefused, "token-for-product", "make one with `tally satellite create` at the authority", "this token is for products, not for a satellite")
	}
	return token, nil
}

// admit spends the token: it joins one satellite, once.
func (j *joining) admit(row *db.SatelliteRow, now time.Time) error {
	digest := j.token.Digest()
	switch {
	case len(row.TokenDigest) == 0 || !trust.SameDigest(row.TokenDigest, digest[:]):
		return license.Refuse(license.KindRefused, "token-used-up", "make a new one with `tally satellite invite`", "the satellite's token was used or replaced by a newer one")
	case row.TokenEndsAt <= store.Ms(now):
		return license.Refuse(license.KindRefused, "token-expired", "make a new one with `tally satellite invite`", "the satellite's token expired on %s", store.At(row.TokenEndsAt).Format("2006-01-02 15:04 UTC"))
	}
	public, err := trust.MarshalPublicKey(j.key)
	if err != nil {
		return fmt.Errorf("keep key: %w", err)
	}
	l, err := lineageOf(*row).joins(*row, j.site, now)
	if err != nil {
		return err
	}
	row.TokenDigest, row.TokenEndsAt, row.Site, row.PublicKey, row.Issuers = []byte{}, 0, j.site, public, l.text()
	if row.State == stateInvited {
		row.State = stateActive
	}
	return nil
}

// Pending is a join that waits for its answer: what the satellite has to know to check it. It holds no secret.
type pending struct {
	Root      trust.Fingerprint `json:"root"`
	Account   string            `json:"account"`
	Satellite string            `json:"satellite"`
	Digest    []byte            `json:"digest"` // of the text that was signed
	// At, CSR and Certificate are what the text would not be the same without.
	At          time.Time `json:"at,omitzero"`
	CSR         []byte    `json:"csr,omitempty"`
	Certificate []byte    `json:"certificate,omitempty"`
}

func pendingFile(keys, account string) string {
	return filepath.Join(keys, ".joining-"+account+".json")
}

// Joiner joins a satellite to its authority. It works beside a running server or without one; keys is the key folder.
type Joiner struct {
	Store   *store.Store
	Keys    string
	Catalog *license.Catalog
	Hosts   []string
	Machine string // as in Options
	Version string
	Now     func() time.Time
	// Every is how often the satellite will synchronize by itself.
	Every time.Duration
}

// Request makes the first file for a token of `tally satellite create`. For the same token it is the same file again, byte for byte, as
// its answer may have been lost after the token was spent.
func (j Joiner) Request(ctx context.Context, text string) ([]byte, error) {
	token, err := readToken(text)
	if err != nil {
		return nil, err
	}
	if err := j.mayJoin(ctx, token); err != nil {
		return nil, err
	}
	site, err := trust.OpenSite(j.Keys)
	if err != nil {
		return nil, err
	}
	p := pending{Root: token.Root, Account: token.Account, Satellite: token.ID, At: j.Now().UTC().Truncate(time.Millisecond), Certificate: site.Certificate()}
	if p.CSR, err = site.CSR(); err != nil {
		return nil, err
	}
	h := trust.Header{Kind: wire.KindJoin, Audience: wire.Audience}
	if before := j.asked(token); before.of(site) {
		if body, err := j.compose(token, before); err == nil && bytes.Equal(before.Digest, digestOf(body)) {
			return site.SealFile(h, body)
		}
	}
	body, err := j.compose(token, p)
	if err != nil {
		return nil, err
	}
	p.Digest = digestOf(body)
	kept, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("keep what was asked: %w", err)
	}
	if err := trust.WriteFile(pendingFile(j.Keys, token.Account), kept, 0o600); err != nil {
		return nil, err
	}
	return site.SealFile(h, body)
}

// compose is the text of the first file.
func (j Joiner) compose(token trust.Token, p pending) ([]byte, error) {
	m := wire.SyncRequest{Exchange: wire.SyncExchange{
		Satellite: token.ID, Account: token.Account, Epoch: 1, Number: 1, At: p.At, Program: j.Version, Hosts: j.Hosts, Machine: j.Machine,
		EverySeconds: int64(j.Every / time.Second), Whole: true, Token: token.Text().Reveal(), CSR: p.CSR, Certificate: p.Certificate,
	}}
	return m.Text()
}

func digestOf(text []byte) []byte {
	sum := sha256.Sum256(text)
	return sum[:]
}

// asked is what was asked last for the satellite of a token; zero for nothing that can be read.
func (j Joiner) asked(token trust.Token) pending {
	text, err := os.ReadFile(pendingFile(j.Keys, token.Account))
	var p pending
	if err != nil || json.Unmarshal(text, &p) != nil || p.Root != token.Root || p.Satellite != token.ID {
		return pending{}
	}
	return p
}

// of says whether it was asked with the keys of a site.
func (p pending) of(site *trust.Site) bool {
	csr, err := trust.ParseCSR(p.CSR)
	return err == nil && trust.SiteID(csr.PublicKey()) == site.ID()
}

// mayJoin refuses to make a satellite of an authority, and to join a second authority.
func (j Joiner) mayJoin(ctx context.Context, token trust.Token) error {
	keys, err := j.siteKeys()
	if err != nil {
		return err
	}
	if keys != nil && keys.Fingerprint() != token.Root {
		return license.Refuse(license.KindRefused, "other-authority", "use another --data for a satellite of another authority", "this satellite has joined the authority with the root certificate %s", keys.Fingerprint())
	}
	return j.Store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Accounts(ctx, db.AccountsParams{Page: 1000})
		if err != nil {
			return fmt.Errorf("read accounts: %w", err)
		}
		for _, a := range rows {
			up, err := tx.Upstream(ctx, a.AccountID)
			switch {
			case noRow(err):
				return license.Refuse(license.KindRefused, "is-authority", "use an empty --data for the satellite", "the account %q was made here, so this is an authority and becomes no satellite", a.Name)
			case err != nil:
				return fmt.Errorf("read accounts: %w", err)
			case a.AccountID == token.Account && up.SatelliteID != token.ID && up.State != stateRemoved:
				return license.Refuse(license.KindRefused, "other-satellite", "use another --data for a second satellite; to end this one, remove it at the authority and synchronize",
					"this is the satellite %q of the account %q, and the token is for another one", up.Name, a.Name)
			}
		}
		return nil
	})
}

// siteKeys are the keys of a satellite that has joined, nil for none.
func (j Joiner) siteKeys() (*trust.Keys, error) {
	if !trust.HasSite(j.Keys) {
		return nil, nil
	}
	return trust.OpenKeys(j.Keys, j.Now())
}

// Complete applies the answer to a join: it keeps the certificate, makes the account, and takes over everything that the
// authority gave. Again is no harm.
func (j Joiner) Complete(ctx context.Context, file []byte) (Applied, error) {
	h, err := trust.PeekFile(file, MaxFile)
	if err != nil {
		return Applied{}, badFile(err)
	}
	account, _, _ := strings.Cut(h.Audience, "/")
	if !trust.ValidID("acc", account) {
		return Applied{}, badFile(trust.ErrAudience)
	}
	text, err := os.ReadFile(pendingFile(j.Keys, account))
	if errors.Is(err, fs.ErrNotExist) {
		return Applied{}, license.Refuse(license.KindRefused, "not-joining", "begin with `tally sync join` and the token", "nothing is known here of a join that this file could answer")
	}
	if err != nil {
		return Applied{}, fmt.Errorf("read what was asked: %w", err)
	}
	var p pending
	if err := json.Unmarshal(text, &p); err != nil {
		return Applied{}, fmt.Errorf("read what was asked: %w", err)
	}
	e, err := trust.OpenAuthorityFile(file, []string{wire.KindSynced}, audience(p.Account, p.Satellite), trust.Pins{Root: p.Root, MaxBytes: MaxFile}, j.Now())
	if err != nil && !errors.Is(err, trust.ErrExpired) {
		return Applied{}, badFile(err)
	}
	m, err := wire.ParseSyncAnswer(e.Payload)
	if err != nil {
		return Applied{}, err
	}
	if m.Refusal != nil {
		return Applied{}, license.Refuse(license.KindRefused, m.Refusal.Code, m.Refusal.Hint, "%s", m.Refusal.Message)
	}
	if string(m.Exchange.Request) != string(p.Digest) || m.Identity == nil {
		return Applied{}, license.Refuse(license.KindConflict, "old-answer", "carry the answer to the newest file of `tally sync join`", "this answers an earlier attempt to join")
	}
	site, err := trust.OpenSite(j.Keys)
	if err != nil {
		return Applied{}, err
	}
	if err := site.Complete(m.Identity.Certificate, m.Identity.Root, p.Root, j.Now()); err != nil {
		return Applied{}, err
	}
	keys, err := trust.OpenKeys(j.Keys, j.Now())
	if err != nil {
		return Applied{}, err
	}
	s := New(Options{Authority: authority.New(authority.Options{Store: j.Store, Keys: keys, Catalog: j.Catalog, Now: j.Now}), Now: j.Now, Version: j.Version})
	var out Applied
	err = j.Store.Update(ctx, "join", func(tx *store.Tx) error {
		if err := makeAccount(ctx, tx, m); err != nil {
			return err
		}
		b, err := s.Authority.BooksIn(ctx, tx, access.Person{ID: "authority"}, m.Exchange.Account)
		if err != nil {
			return err
		}
		if err := keepDeskKey(ctx, b, keys.Site()); err != nil {
			return err
		}
		up, err := b.Upstream(ctx, p.Account)
		fresh := noRow(err)
		if err != nil && !fresh {
			return fmt.Errorf("read upstream: %w", err)
		}
		if !fresh && up.SatelliteID == p.Satellite && up.Epoch == m.Exchange.Epoch && up.Answered >= m.Exchange.Number {
			out = Applied{Account: m.Exchange.AccountName, Number: m.Exchange.Number, Old: true}
			return nil
		}
		if !fresh && up.SatelliteID != p.Satellite {
			if err := startOver(ctx, b, up, p.Satellite); err != nil {
				return err
			}
		}
		if fresh {
			up = db.Upstream{AccountID: p.Account, Digest: []byte{}, Privacy: "[]", Findings: "[]"}
		}
		up.Signer, up.LostSites = string(trust.CertificatePEM(e.Signer...)), listText(m.Identity.Lost)
		up.SatelliteID, up.Name, up.State, up.Epoch, up.Number, up.Digest = p.Satellite, m.Exchange.Name, stateActive, m.Exchange.Epoch, m.Exchange.Number, p.Digest
		up.JoinedAt, up.EveryS, up.Leaving, up.Trouble = store.Ms(b.Time()), int64(j.Every/time.Second), false, ""
		if fresh {
			if err := b.InsertUpstream(ctx, db.InsertUpstreamParams(up)); err != nil {
				return fmt.Errorf("insert upstream: %w", err)
			}
		}
		out, err = s.takeOver(ctx, b, up, m, "")
		return err
	})
	return out, err
}

// makeAccount makes the account with its virtual accounts, the first of them the default one here.
func makeAccount(ctx context.Context, tx *store.Tx, m *wire.SyncAnswer) error {
	e := m.Exchange
	if len(m.VAs) == 0 {
		return license.Refuse(license.KindRefused, "no-virtual-account", "give the satellite one at the authority", "the satellite has no virtual account")
	}
	_, err := tx.Account(ctx, e.Account)
	if err == nil || !noRow(err) {
		return err
	}
	n, err := tx.ClaimAccountName(ctx, db.ClaimAccountNameParams{NameKey: authority.NameKey(e.AccountName), AccountID: e.Account})
	if err != nil {
		return fmt.Errorf("claim account name: %w", err)
	}
	if n == 0 {
		return license.Refuse(license.KindConflict, "name-taken", "rename one of the two", "there is an account %q here already", e.AccountName)
	}
	now := store.Ms(tx.Now())
	if err := tx.InsertAccount(ctx, db.InsertAccountParams{AccountID: e.Account, Name: e.AccountName, CreatedAt: now, LastAt: now, EventHash: []byte{}, DefaultVa: m.VAs[0].ID}); err != nil {
		return fmt.Errorf("insert account: %w", err)
	}
	for _, v := range m.VAs {
		if _, err := tx.InsertVA(ctx, db.InsertVAParams{AccountID: e.Account, VaID: v.ID, Name: v.Name, NameKey: authority.NameKey(v.Name), CreatedAt: now}); err != nil {
			return fmt.Errorf("insert virtual account: %w", err)
		}
	}
	return nil
}
