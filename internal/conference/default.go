package conference

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// readDefaults reads what holds for the personal license where a source says nothing.
func readDefaults(ctx context.Context, tx *store.Tx, account string) (directory.Defaults, error) {
	rows, err := tx.DirectoryDefaults(ctx, account)
	if err != nil {
		return directory.Defaults{}, fmt.Errorf("read directory defaults: %w", err)
	}
	d := directory.Defaults{System: directory.Inherit, Tenants: map[string]directory.Flag{}}
	for _, r := range rows {
		if r.Tenant == "" {
			d.System = directory.Flag(r.Personal)
		} else {
			d.Tenants[r.Tenant] = directory.Flag(r.Personal)
		}
	}
	return d, nil
}

// Defaults says what holds for the personal license where a source says nothing: of its tenant, and of the system.
func (e *Engine) Defaults(ctx context.Context, account string) (d directory.Defaults, err error) {
	err = e.store.View(ctx, func(tx *store.Tx) error {
		d, err = readDefaults(ctx, tx, account)
		return err
	})
	return d, outcome("read directory defaults", err)
}

// SetDefault says whether the users of a tenant, or with no tenant those of the system, hold a personal license where their source
// says nothing; directory.Inherit says nothing either. It is in force from the next meeting on. What takes much away must be agreed
// to.
func (e *Engine) SetDefault(ctx context.Context, who, account, tenant, personal string, agreed bool) (DirectorySummary, error) {
	flag, known := directory.ParseFlag(personal)
	if !known {
		return DirectorySummary{}, license.Refuse(license.KindInvalid, "bad-flag", "write yes, no or inherit", "%.40q says nothing of personal licenses", personal)
	}
	tenant = strings.TrimSpace(tenant)
	if len(tenant) > maxName || strings.ContainsFunc(tenant, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return DirectorySummary{}, license.Refuse(license.KindInvalid, "bad-tenant", "use the name or GUID of the tenant", "%.200q is no name of a tenant", tenant)
	}
	var sum DirectorySummary
	err := e.store.Update(ctx, "set directory default", func(tx *store.Tx) error {
		d, err := lockDirectory(ctx, tx, account)
		if err != nil {
			return err
		}
		after, err := d.setDefault(ctx, who, tenant, flag)
		if err != nil {
			return err
		}
		change := directory.WeighDefaults(d.sources, d.defaults, after, directory.Limits{})
		if len(change.Reasons) > 0 && !agreed {
			return massChange("this default", change.Reasons)
		}
		if _, err := d.chain.Record(ctx, who, "directory.default", tenant, map[string]any{"tenant": tenant, "personal": flag, "gained": change.Gained, "lost": change.Lost}); err != nil {
			return err
		}
		if len(d.sources) == 0 {
			return nil // nobody is concerned yet
		}
		sum, err = publish(ctx, d.tx, d.chain, d.conf, who, contentOf(change.Merged))
		return err
	})
	if err != nil {
		return DirectorySummary{}, outcome("set directory default", err)
	}
	e.use(account)
	return sum, nil
}

// setDefault writes a default and returns those that hold then.
func (d *sourced) setDefault(ctx context.Context, who, tenant string, flag directory.Flag) (directory.Defaults, error) {
	var err error
	if flag == directory.Inherit {
		err = d.tx.DropDirectoryDefault(ctx, db.DropDirectoryDefaultParams{AccountID: d.conf.AccountID, Tenant: tenant})
	} else {
		err = d.tx.PutDirectoryDefault(ctx, db.PutDirectoryDefaultParams{AccountID: d.conf.AccountID, Tenant: tenant, Personal: string(flag), SetAt: store.Ms(d.tx.Now()), SetBy: who})
	}
	if err != nil {
		return directory.Defaults{}, fmt.Errorf("set directory default: %w", err)
	}
	return readDefaults(ctx, d.tx, d.conf.AccountID)
}
