package satellite

import (
	"context"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// The books of an account know the issuing key that spoke for it last. So a key folder that was put beside the database of another
// server is noticed before it answers anybody, and every replacement is an event, whoever made it and whether or not a server ran.

// eventKeysReplaced says that keys were replaced: of the desk itself, with the new issuer as its subject, or of the satellite that is.
const eventKeysReplaced = "keys.replaced"

// deskKey is how the keys in force stand with an account.
type deskKey struct {
	account string
	last    string // the issuer that spoke for it last, empty for not known
	// foreign says that the keys in force do not speak for the account.
	foreign bool
}

// KeysInForce compares the keys in force with those that the accounts of the database know, and records those that follow them or, at
// an authority, came in their place. When they speak for no account that is here, a server must not start with them: the error is a
// license.Error and nothing was changed. Accounts of a satellite that has yet to join anew for them are left as they are, and logged.
func (s *Sync) KeysInForce(ctx context.Context) error {
	issuer := trust.DeskOf(s.keys.SignerChain()).Issuer
	var all []deskKey
	err := s.Authority.Read(ctx, "read keys of accounts", func(tx *store.Tx) (err error) {
		all, err = s.deskKeys(ctx, tx, issuer)
		return err
	})
	if err != nil {
		return err
	}
	foreign := slices.IndexFunc(all, func(k deskKey) bool { return k.foreign })
	if foreign >= 0 && !slices.ContainsFunc(all, func(k deskKey) bool { return !k.foreign }) {
		return s.otherKeys(issuer, all[foreign].last)
	}
	for _, k := range all {
		switch {
		case k.foreign:
			s.Log.WarnContext(ctx, "the satellite's keys are not those that an account knows; join anew for it", "account", k.account, "keys", issuer, "known", k.last)
		case k.last != issuer:
			err := s.Authority.Books(ctx, access.Person{ID: "authority"}, k.account, "keep keys", func(b *authority.Books) error { return keepDeskKey(ctx, b, issuer) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// otherKeys words that the keys in force are of another server than the database.
func (s *Sync) otherKeys(issuer, last string) error {
	hint := "name the key folder that belongs to this database with --keys or --data; if it is lost, put what is there aside and join anew: `tally satellite invite` at the authority, then `tally sync join`"
	switch {
	case s.IsSatellite() && last == "":
		return license.Refuse(license.KindRefused, "other-keys", "name the key folder that belongs to this database with --keys or --data",
			"the key folder is of the satellite %s, and the database is of an authority", issuer)
	case s.IsSatellite():
		return license.Refuse(license.KindRefused, "other-keys", hint,
			"the keys are of %s, and this database knows %s, which they do not follow: they are of another server, or older ones", issuer, last)
	}
	return license.Refuse(license.KindRefused, "other-keys", hint, "the database is of a satellite, and its keys are not in the key folder")
}

// deskKeys compares an issuer with what every account knows. Accounts that this satellite was removed from do not count.
func (s *Sync) deskKeys(ctx context.Context, tx *store.Tx, issuer string) ([]deskKey, error) {
	follows := trust.Predecessors(s.keys.SignerChain())
	next := ""
	if waiting, err := s.keys.NextSite(); err != nil {
		return nil, err
	} else if waiting != nil {
		next = waiting.ID()
	}
	var all []deskKey
	for after, page := "", 1000; page == 1000; {
		rows, err := tx.Accounts(ctx, db.AccountsParams{After: after, Page: 1000})
		if err != nil {
			return nil, fmt.Errorf("read accounts: %w", err)
		}
		for _, a := range rows {
			k := deskKey{account: a.AccountID}
			if k.last, err = tx.DeskKey(ctx, a.AccountID); err != nil && !noRow(err) {
				return nil, fmt.Errorf("read keys of an account: %w", err)
			}
			up, err := tx.Upstream(ctx, a.AccountID)
			joined := err == nil
			switch {
			case err != nil && !noRow(err):
				return nil, fmt.Errorf("read upstream: %w", err)
			case joined && up.State == stateRemoved:
				after = a.AccountID
				continue
			case joined != s.IsSatellite():
				k.foreign = true
			case joined && k.last == next && next != "":
				k.last = issuer // an older copy of the folder, in which the pair still waits: synchronizing puts it in force
			case joined && k.last != "" && k.last != issuer:
				k.foreign = !slices.Contains(follows, trust.Predecessor{Account: a.AccountID, Issuer: k.last})
			}
			if !joined && s.IsSatellite() {
				k.last = ""
			}
			all, after = append(all, k), a.AccountID
		}
		page = len(rows)
	}
	return all, nil
}

// keepDeskKey keeps that an issuer speaks for an account, and records when it came in the place of another one.
func keepDeskKey(ctx context.Context, b *authority.Books, issuer string) error {
	account := b.Account().AccountID
	last, err := b.DeskKey(ctx, account)
	if err != nil && !noRow(err) {
		return fmt.Errorf("read keys of an account: %w", err)
	}
	if last == issuer {
		return nil
	}
	if last != "" {
		if _, err := b.Record(ctx, eventKeysReplaced, issuer, map[string]any{"before": last}); err != nil {
			return err
		}
	}
	if err := b.PutDeskKey(ctx, db.PutDeskKeyParams{AccountID: account, Issuer: issuer}); err != nil {
		return fmt.Errorf("keep keys of an account: %w", err)
	}
	return nil
}
