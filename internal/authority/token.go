package authority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// Token is a registration token as lists show it; its text is shown once, when it is made.
type Token struct {
	ID               string
	VirtualAccount   string
	VirtualAccountID string
	Description      string
	CreatedAt        time.Time
	CreatedBy        string
	ExpiresAt        time.Time
	MaxUses          int64 // 0 for no limit
	Uses             int64
	ExportControlled bool
	Status           string // Active, Expired, Revoked, Exhausted
}

// NewToken describes a token to be made. Days is 1 to 365, 0 for the default of 30.
type NewToken struct {
	VirtualAccount   string
	Days             int
	MaxUses          int64
	ExportControlled bool
	Description      string
}

// CreateToken makes a registration token for a virtual account. Only a digest of it is kept, so the text cannot be shown
// again. A repeated request key is refused for the same reason.
func (a *Authority) CreateToken(ctx context.Context, who access.Person, account string, want NewToken) (Token, trust.Secret, error) {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return Token{}, "", err
	}
	if want.Days == 0 {
		want.Days = license.TokenDaysDefault
	}
	switch {
	case want.Days < license.TokenDaysMin || want.Days > license.TokenDaysMax:
		return Token{}, "", license.Refuse(license.KindInvalid, "bad-days", "choose 1 to 365 days", "a token cannot last %d days", want.Days)
	case want.MaxUses < 0 || want.MaxUses > license.MaxQuantity:
		return Token{}, "", license.Refuse(license.KindInvalid, "bad-uses", "leave the number of uses out for no limit", "a token cannot have %d uses", want.MaxUses)
	case want.Description != "":
		if err := license.CheckName("token description", want.Description); err != nil {
			return Token{}, "", err
		}
	}
	var text trust.Secret
	made, err := once(ctx, a, who, id, "create token", want, func(d *desk) (Token, error) {
		va, err := d.va(ctx, want.VirtualAccount)
		if err != nil {
			return Token{}, err
		}
		if err := d.notOfSatellite(ctx, va, "its tokens are made"); err != nil {
			return Token{}, err
		}
		use := trust.ForProduct
		if a.keys.Site() != "" {
			use = trust.ForBelow
		}
		token, err := trust.NewTokenFor(use, id, trust.NewID("tok", d.now), a.keys.Fingerprint())
		if err != nil {
			return Token{}, fmt.Errorf("make token: %w", err)
		}
		digest := token.Digest()
		row := db.Token{
			AccountID: id, TokenID: token.ID, VaID: va.VaID, Digest: digest[:], Description: want.Description, CreatedAt: store.Ms(d.now), CreatedBy: d.who.ID,
			ExpiresAt: store.Ms(d.now.AddDate(0, 0, want.Days)), MaxUses: want.MaxUses, ExportControlled: want.ExportControlled,
		}
		if err := d.InsertToken(ctx, db.InsertTokenParams{
			AccountID: id, TokenID: row.TokenID, VaID: row.VaID, Digest: row.Digest, Description: row.Description, CreatedAt: row.CreatedAt,
			CreatedBy: row.CreatedBy, ExpiresAt: row.ExpiresAt, MaxUses: row.MaxUses, ExportControlled: row.ExportControlled,
		}); err != nil {
			return Token{}, fmt.Errorf("insert token: %w", err)
		}
		text = token.Text()
		_, err = d.record(ctx, "token.created", row.TokenID, map[string]any{
			"virtualAccount": va.VaID, "days": want.Days, "maxUses": want.MaxUses, "exportControlled": want.ExportControlled,
		})
		return tokenOf(row, va.Name, d.now), err
	})
	if err == nil && text == "" {
		return made, "", license.Refuse(license.KindConflict, "shown-once", "revoke it and create another one with a new Idempotency-Key",
			"the token %s was created by an earlier request, and its text is shown only once", made.ID)
	}
	return made, text, err
}

func tokenOf(r db.Token, va string, now time.Time) Token {
	t := Token{
		ID: r.TokenID, VirtualAccount: va, VirtualAccountID: r.VaID, Description: r.Description, CreatedAt: store.At(r.CreatedAt), CreatedBy: r.CreatedBy,
		ExpiresAt: store.At(r.ExpiresAt), MaxUses: r.MaxUses, Uses: r.Uses, ExportControlled: r.ExportControlled, Status: "Active",
	}
	switch {
	case r.RevokedAt != 0:
		t.Status = "Revoked"
	case !now.Before(t.ExpiresAt):
		t.Status = "Expired"
	case r.MaxUses > 0 && r.Uses >= r.MaxUses:
		t.Status = "Exhausted"
	}
	return t
}

// Tokens lists the registration tokens of an account, or of one virtual account, without their texts.
func (a *Authority) Tokens(ctx context.Context, who access.Person, account, va string, page Page) ([]Token, string, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return nil, "", err
	}
	var out []Token
	var next string
	err = a.read(ctx, "list tokens", func(tx *store.Tx) error {
		names, only, err := vaNames(ctx, tx, id, va)
		if err != nil {
			return err
		}
		var rows []db.Token
		if only != "" {
			rows, err = tx.TokensOfVA(ctx, db.TokensOfVAParams{AccountID: id, VaID: only, After: page.After, Page: page.rows()})
		} else {
			rows, err = tx.Tokens(ctx, db.TokensParams{AccountID: id, After: page.After, Page: page.rows()})
		}
		if err != nil {
			return err
		}
		rows, next = cut(rows, page, func(r db.Token) string { return r.TokenID })
		out = nil // this may run twice
		for _, r := range rows {
			out = append(out, tokenOf(r, names[r.VaID], tx.Now()))
		}
		return nil
	})
	return out, next, err
}

// vaNames returns the names of an account's virtual accounts by id and, when one was asked for, its id.
func vaNames(ctx context.Context, tx *store.Tx, account, only string) (map[string]string, string, error) {
	vas, err := allVAs(ctx, tx, account)
	if err != nil {
		return nil, "", err
	}
	names := make(map[string]string, len(vas))
	found := ""
	for _, v := range vas {
		names[v.VaID] = v.Name
		if only != "" && (v.VaID == only || v.NameKey == nameKey(only)) {
			found = v.VaID
		}
	}
	if only != "" && found == "" {
		return nil, "", license.NotFound("virtual account", only)
	}
	return names, found, nil
}

// RevokeToken stops new registrations with a token; instances registered with it are untouched. Again is no error.
func (a *Authority) RevokeToken(ctx context.Context, who access.Person, account, token string) error {
	return a.changeToken(ctx, who, account, token, "revoke token", func(d *desk, row db.Token) error {
		n, err := d.RevokeToken(ctx, db.RevokeTokenParams{Now: store.Ms(d.now), AccountID: row.AccountID, TokenID: row.TokenID})
		if err != nil || n == 0 {
			return err
		}
		_, err = d.record(ctx, "token.revoked", row.TokenID, nil)
		return err
	})
}

// RemoveToken deletes a token from the list; like revoking it, that stops new registrations only.
func (a *Authority) RemoveToken(ctx context.Context, who access.Person, account, token string) error {
	return a.changeToken(ctx, who, account, token, "remove token", func(d *desk, row db.Token) error {
		if _, err := d.DeleteToken(ctx, db.DeleteTokenParams{AccountID: row.AccountID, TokenID: row.TokenID}); err != nil {
			return err
		}
		_, err := d.record(ctx, "token.removed", row.TokenID, map[string]any{"uses": row.Uses, "description": row.Description})
		return err
	})
}

func (a *Authority) changeToken(ctx context.Context, who access.Person, account, token, verb string, fn func(*desk, db.Token) error) error {
	id, err := a.scope(ctx, who, access.Manage, account)
	if err != nil {
		return err
	}
	if !findable(token) {
		return license.NotFound("token", token)
	}
	return a.write(ctx, who, id, verb, func(d *desk) error {
		row, err := d.Token(ctx, db.TokenParams{AccountID: id, TokenID: token})
		if errors.Is(err, store.ErrNoRow) {
			return license.NotFound("token", token)
		}
		if err != nil {
			return err
		}
		return fn(d, row)
	})
}
