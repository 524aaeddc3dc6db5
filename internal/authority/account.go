package authority

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// Account is a customer.
type Account struct {
	ID             string
	Name           string
	DefaultVA      string
	CreatedAt      time.Time
	VirtualAccount string // name of the default virtual account, filled by CreateAccount and Account
}

// VirtualAccount is a part of an account.
type VirtualAccount struct {
	ID        string
	Name      string
	Default   bool
	CreatedAt time.Time
	// Satellite is the id of the satellite that the virtual account belongs to, empty for none.
	Satellite string
}

const firstVA = "Default"

// CreateAccount makes an account with its default virtual account, named Default. A name that is taken is a conflict.
func (a *Authority) CreateAccount(ctx context.Context, who access.Person, name string) (Account, error) {
	if err := who.Check(access.Run, access.Site); err != nil {
		return Account{}, err
	}
	if err := a.notAtSatellite("accounts are made"); err != nil {
		return Account{}, err
	}
	if err := license.CheckName("account", name); err != nil {
		return Account{}, err
	}
	if trust.ValidID("acc", name) {
		return Account{}, license.Refuse(license.KindInvalid, "bad-name", "choose a name that people use", "%q looks like an id", name)
	}
	var made Account
	err := a.store.Update(ctx, "create account", func(tx *store.Tx) error {
		var err error
		made, err = repeatable(ctx, tx, who, access.Site, "create account", name, func() (Account, error) {
			return createAccount(ctx, tx, who, name, trust.DeskOf(a.keys.SignerChain()).Issuer)
		})
		return err
	})
	return made, outcome("create account", err)
}

func createAccount(ctx context.Context, tx *store.Tx, who access.Person, name, issuer string) (Account, error) {
	made := Account{ID: trust.NewID("acc", tx.Now()), Name: name, DefaultVA: trust.NewID("va", tx.Now()), CreatedAt: tx.Now(), VirtualAccount: firstVA}
	n, err := tx.ClaimAccountName(ctx, db.ClaimAccountNameParams{NameKey: nameKey(name), AccountID: made.ID})
	if err != nil {
		return made, fmt.Errorf("claim account name: %w", err)
	}
	if n == 0 {
		return made, license.Refuse(license.KindConflict, "name-taken", "use `tally account list` to see the accounts", "there is an account %q already", name)
	}
	now := store.Ms(tx.Now())
	if err := tx.InsertAccount(ctx, db.InsertAccountParams{AccountID: made.ID, Name: name, CreatedAt: now, LastAt: now, EventHash: []byte{}, DefaultVa: made.DefaultVA}); err != nil {
		return made, fmt.Errorf("insert account: %w", err)
	}
	d, err := lock(ctx, tx, who, made.ID)
	if err != nil {
		return made, err
	}
	if _, err := tx.InsertVA(ctx, db.InsertVAParams{AccountID: made.ID, VaID: made.DefaultVA, Name: firstVA, NameKey: nameKey(firstVA), CreatedAt: now}); err != nil {
		return made, fmt.Errorf("insert default virtual account: %w", err)
	}
	if err := tx.PutDeskKey(ctx, db.PutDeskKeyParams{AccountID: made.ID, Issuer: issuer}); err != nil {
		return made, fmt.Errorf("keep the keys of a new account: %w", err)
	}
	_, err = d.record(ctx, "account.created", made.ID, map[string]string{"name": name, "defaultVirtualAccount": made.DefaultVA})
	return made, err
}

// Accounts lists the accounts that the caller may see.
func (a *Authority) Accounts(ctx context.Context, who access.Person, page Page) ([]Account, string, error) {
	if who.Account != access.Site {
		one, err := a.Account(ctx, who, who.Account)
		return []Account{one}, "", err
	}
	var out []Account
	var next string
	err := a.read(ctx, "list accounts", func(tx *store.Tx) error {
		rows, err := tx.Accounts(ctx, db.AccountsParams{After: page.After, Page: page.rows()})
		if err != nil {
			return err
		}
		rows, next = cut(rows, page, func(r db.Account) string { return r.AccountID })
		out = nil // this may run twice
		for _, r := range rows {
			out = append(out, accountOf(r))
		}
		return nil
	})
	return out, next, err
}

func accountOf(r db.Account) Account {
	return Account{ID: r.AccountID, Name: r.Name, DefaultVA: r.DefaultVa, CreatedAt: store.At(r.CreatedAt)}
}

// Account finds an account by id or name. An empty ref is the only account there is for the caller; with several it is
// refused.
func (a *Authority) Account(ctx context.Context, who access.Person, ref string) (Account, error) {
	var out Account
	err := a.read(ctx, "find account", func(tx *store.Tx) error {
		id, err := resolveAccount(ctx, tx, who, ref)
		if err != nil {
			return err
		}
		row, err := tx.Account(ctx, id)
		if errors.Is(err, store.ErrNoRow) {
			return license.NotFound("account", ref)
		}
		if err != nil {
			return err
		}
		out = accountOf(row)
		va, err := tx.VA(ctx, db.VAParams{AccountID: id, VaID: row.DefaultVa})
		out.VirtualAccount = va.Name
		return err
	})
	return out, err
}

// findable says whether a reference can name anything at all: databases refuse text with a zero byte or bad UTF-8.
func findable(ref string) bool { return utf8.ValidString(ref) && !strings.ContainsRune(ref, 0) }

func resolveAccount(ctx context.Context, tx *store.Tx, who access.Person, ref string) (string, error) {
	if !findable(ref) {
		return "", license.NotFound("account", ref)
	}
	id := ref
	if !trust.ValidID("acc", ref) {
		var err error
		id, err = tx.AccountIDByName(ctx, nameKey(ref))
		if errors.Is(err, store.ErrNoRow) {
			return "", license.NotFound("account", ref)
		}
		if err != nil {
			return "", err
		}
	}
	if err := who.Check(access.See, id); err != nil {
		return "", license.NotFound("account", ref)
	}
	return id, nil
}

// scope resolves an account named by id or name and checks that the caller may do the action there.
func (a *Authority) scope(ctx context.Context, who access.Person, action access.Action, account string) (string, error) {
	var id string
	err := a.read(ctx, "find account", func(tx *store.Tx) error {
		var err error
		id, err = resolveAccount(ctx, tx, who, account)
		return err
	})
	if err != nil {
		return "", err
	}
	return id, who.Check(action, id)
}

// Scope is scope for the other rooms of an account, such as the conference engine: it returns the account's id.
func (a *Authority) Scope(ctx context.Context, who access.Person, action access.Action, account string) (string, error) {
	return a.scope(ctx, who, action, account)
}

// resolveVA finds a virtual account by id or name; an empty ref is the default one.
func resolveVA(ctx context.Context, tx *store.Tx, account db.Account, ref string) (db.VirtualAccount, error) {
	var row db.VirtualAccount
	var err error
	switch {
	case !findable(ref):
		return row, license.NotFound("virtual account", ref)
	case ref == "":
		row, err = tx.VA(ctx, db.VAParams{AccountID: account.AccountID, VaID: account.DefaultVa})
	case trust.ValidID("va", ref):
		row, err = tx.VA(ctx, db.VAParams{AccountID: account.AccountID, VaID: ref})
	default:
		row, err = tx.VAByName(ctx, db.VAByNameParams{AccountID: account.AccountID, NameKey: nameKey(ref)})
	}
	if errors.Is(err, store.ErrNoRow) {
		return row, license.NotFound("virtual account", ref)
	}
	return row, err
}

func (d *desk) va(ctx context.Context, ref string) (db.VirtualAccount, error) {
	return resolveVA(ctx, d.Tx, d.account.Account, ref)
}

// CreateVirtualAccount makes a virtual account. A name that is taken is a conflict.
func (a *Authority) CreateVirtualAccount(ctx context.Context, who access.Person, account, name string) (VirtualAccount, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return VirtualAccount{}, err
	}
	if err := checkVAName(name); err != nil {
		return VirtualAccount{}, err
	}
	return once(ctx, a, who, id, "create virtual account", name, func(d *desk) (VirtualAccount, error) {
		made := VirtualAccount{ID: trust.NewID("va", d.now), Name: name, CreatedAt: d.now}
		n, err := d.InsertVA(ctx, db.InsertVAParams{AccountID: id, VaID: made.ID, Name: name, NameKey: nameKey(name), CreatedAt: store.Ms(d.now)})
		if err != nil {
			return made, fmt.Errorf("insert virtual account: %w", err)
		}
		if n == 0 {
			return made, vaTaken(name)
		}
		_, err = d.record(ctx, "virtual-account.created", made.ID, map[string]string{"name": name})
		return made, err
	})
}

func checkVAName(name string) error {
	if err := license.CheckName("virtual account", name); err != nil {
		return err
	}
	if strings.Contains(name, "/") || trust.ValidID("va", name) {
		return license.Refuse(license.KindInvalid, "bad-name", "choose a name without a slash that is no id", "%q cannot be the name of a virtual account", name)
	}
	return nil
}

func vaTaken(name string) error {
	return license.Refuse(license.KindConflict, "name-taken", "use `tally va list` to see the virtual accounts", "there is a virtual account %q already", name)
}

// VirtualAccounts lists the virtual accounts of an account.
func (a *Authority) VirtualAccounts(ctx context.Context, who access.Person, account string, page Page) ([]VirtualAccount, string, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return nil, "", err
	}
	var out []VirtualAccount
	var next string
	err = a.read(ctx, "list virtual accounts", func(tx *store.Tx) error {
		row, err := tx.Account(ctx, id)
		if err != nil {
			return err
		}
		rows, err := tx.VAs(ctx, db.VAsParams{AccountID: id, After: page.After, Page: page.rows()})
		if err != nil {
			return err
		}
		rows, next = cut(rows, page, func(r db.VirtualAccount) string { return r.VaID })
		out = nil // this may run twice
		for _, r := range rows {
			out = append(out, vaOf(r, row))
		}
		return nil
	})
	return out, next, err
}

func vaOf(r db.VirtualAccount, a db.Account) VirtualAccount {
	return VirtualAccount{ID: r.VaID, Name: r.Name, Default: r.VaID == a.DefaultVa, CreatedAt: store.At(r.CreatedAt), Satellite: r.SatelliteID}
}

// VirtualAccount finds one virtual account by id or name; an empty ref is the default one.
func (a *Authority) VirtualAccount(ctx context.Context, who access.Person, account, ref string) (VirtualAccount, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return VirtualAccount{}, err
	}
	var out VirtualAccount
	err = a.read(ctx, "find virtual account", func(tx *store.Tx) error {
		row, err := tx.Account(ctx, id)
		if err != nil {
			return err
		}
		va, err := resolveVA(ctx, tx, row, ref)
		out = vaOf(va, row)
		return err
	})
	return out, err
}

// RenameVirtualAccount gives a virtual account another name.
func (a *Authority) RenameVirtualAccount(ctx context.Context, who access.Person, account, ref, name string) (VirtualAccount, error) {
	return a.changeVA(ctx, who, account, ref, "rename virtual account", func(d *desk, va *db.VirtualAccount) error {
		if err := checkVAName(name); err != nil {
			return err
		}
		if err := d.notOfSatellite(ctx, *va, "it is renamed"); err != nil {
			return err
		}
		old, err := d.VAByName(ctx, db.VAByNameParams{AccountID: d.account.AccountID, NameKey: nameKey(name)})
		if err == nil && old.VaID != va.VaID {
			return vaTaken(name)
		}
		if err != nil && !errors.Is(err, store.ErrNoRow) {
			return err
		}
		if err := d.RenameVA(ctx, db.RenameVAParams{AccountID: d.account.AccountID, VaID: va.VaID, Name: name, NameKey: nameKey(name)}); err != nil {
			return err
		}
		before := va.Name
		va.Name = name
		_, err = d.record(ctx, "virtual-account.renamed", va.VaID, map[string]string{"before": before, "after": name})
		return err
	})
}

// SetDefaultVirtualAccount moves the mark of the default virtual account.
func (a *Authority) SetDefaultVirtualAccount(ctx context.Context, who access.Person, account, ref string) (VirtualAccount, error) {
	return a.changeVA(ctx, who, account, ref, "set default virtual account", func(d *desk, va *db.VirtualAccount) error {
		if va.VaID == d.account.DefaultVa {
			return nil
		}
		if va.SatelliteID != "" {
			return license.Refuse(license.KindRefused, "satellite-virtual-account", "choose one that is no satellite's: `tally va list` shows them",
				"the virtual account %q belongs to a satellite and cannot be the default one", va.Name)
		}
		if err := d.SetDefaultVA(ctx, db.SetDefaultVAParams{AccountID: d.account.AccountID, DefaultVa: va.VaID}); err != nil {
			return err
		}
		before := d.account.DefaultVa
		d.account.DefaultVa = va.VaID
		_, err := d.record(ctx, "virtual-account.default", va.VaID, map[string]string{"before": before, "after": va.VaID})
		return err
	})
}

// DeleteVirtualAccount deletes an empty virtual account that is not the default one; otherwise the refusal lists what is
// still in it (domain rule 3).
func (a *Authority) DeleteVirtualAccount(ctx context.Context, who access.Person, account, ref string) error {
	if err := a.notAtSatellite("virtual accounts are deleted"); err != nil {
		return err
	}
	_, err := a.changeVA(ctx, who, account, ref, "delete virtual account", func(d *desk, va *db.VirtualAccount) error {
		if va.SatelliteID != "" {
			return license.Refuse(license.KindRefused, "satellite-virtual-account", "remove the satellite first: `tally satellite remove`",
				"the virtual account %q belongs to a satellite", va.Name)
		}
		if va.VaID == d.account.DefaultVa {
			return license.Refuse(license.KindRefused, "default-virtual-account", "make another one the default first: `tally va default NAME`",
				"%q is the default virtual account", va.Name)
		}
		in, err := d.VAContents(ctx, db.VAContentsParams{AccountID: d.account.AccountID, VaID: va.VaID, Place: poolPlace(va.VaID)})
		if err != nil {
			return err
		}
		var holds []string
		for _, c := range []struct {
			n    int64
			what string
		}{{in.Holdings, "lots of licenses"}, {in.Instances, "product instances, also removed ones"}, {in.Tokens, "registration tokens"}, {in.Conferences, "conference engines"}, {in.Consigned, "lots at satellites"}} {
			if c.n > 0 {
				holds = append(holds, fmt.Sprintf("%d %s", c.n, c.what))
			}
		}
		if len(holds) > 0 {
			return license.Refuse(license.KindRefused, "not-empty", "transfer the licenses, move the instances and remove the tokens first",
				"%q still holds %s", va.Name, strings.Join(holds, ", "))
		}
		if err := d.DeleteVA(ctx, db.DeleteVAParams{AccountID: d.account.AccountID, VaID: va.VaID}); err != nil {
			return err
		}
		_, err = d.record(ctx, "virtual-account.deleted", va.VaID, map[string]string{"name": va.Name})
		return err
	})
	return err
}

func (a *Authority) changeVA(ctx context.Context, who access.Person, account, ref, verb string, fn func(*desk, *db.VirtualAccount) error) (VirtualAccount, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return VirtualAccount{}, err
	}
	var out VirtualAccount
	err = a.write(ctx, who, id, verb, func(d *desk) error {
		va, err := d.va(ctx, ref)
		if err != nil {
			return err
		}
		if err := fn(d, &va); err != nil {
			return err
		}
		out = vaOf(va, d.account.Account)
		return nil
	})
	return out, err
}
