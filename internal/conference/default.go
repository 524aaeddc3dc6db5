package conference

import (
	"context"
	"fmt"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/store"
)

// readDefaults reads what holds for the personal license where a source says nothing.
func readDefaults(ctx context.Context, tx *store.Tx, account string) (directory.Defaults, error) {
	rows, err := tx.DirectoryDefaults(ctx, account)
	if err != nil {
		return directory.Defaults{}, fmt.Errorf("read directory defaults: %w", err)
	}
	d := directory.Defaults{Tenants: map[string]directory.Flag{}}
	for _, r := range rows {
		if r.Tenant == "" {
			d.System = directory.Flag(r.Personal)
		} else {
			d.Tenants[r.Tenant] = directory.Flag(r.Personal)
		}
	}
	return d, nil
}
