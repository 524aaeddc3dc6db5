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

// How long a one-time sign-in link and a console session last.
const (
	signInLife  = 10 * time.Minute
	sessionLife = 12 * time.Hour
)

// Bootstrap makes the first administrator's API key. It needs no caller: whoever can run it holds the database and the key
// files. Once there is a key it refuses, unless again is set, which makes another key for somebody who lost theirs.
func (a *Authority) Bootstrap(ctx context.Context, again bool) (trust.Secret, error) {
	var text trust.Secret
	err := a.store.Update(ctx, "bootstrap", func(tx *store.Tx) error {
		n, err := tx.CountCredentials(ctx, db.CountCredentialsParams{AccountID: access.Site, Kind: kindName(trust.APIKey)})
		if err != nil {
			return err
		}
		if n > 0 && !again {
			return license.Refuse(license.KindConflict, "bootstrapped", "use the key that was printed then; if it is lost, run `tally bootstrap --again` on this host",
				"the first administrator exists already")
		}
		text, err = issue(ctx, tx, trust.APIKey, "administrator", access.Administrator, 0)
		return err
	})
	return text, outcome("bootstrap", err)
}

// kindName is the stored name of a kind of credential.
func kindName(k trust.CredentialKind) string { return k.IDPrefix() }

// issue makes a credential of the site; only its digest is stored. A zero life never ends.
func issue(ctx context.Context, tx *store.Tx, kind trust.CredentialKind, name string, role access.Role, life time.Duration) (trust.Secret, error) {
	c, err := trust.NewCredential(kind, "", trust.NewID(kind.IDPrefix(), tx.Now()))
	if err != nil {
		return "", fmt.Errorf("make credential: %w", err)
	}
	var ends int64
	if life > 0 {
		ends = store.Ms(tx.Now().Add(life))
	}
	digest := c.Digest()
	if err := tx.InsertCredential(ctx, db.InsertCredentialParams{
		AccountID: access.Site, CredentialID: c.ID, Kind: kindName(kind), Digest: digest[:], Name: name, Role: string(role), CreatedAt: store.Ms(tx.Now()), ExpiresAt: ends,
	}); err != nil {
		return "", fmt.Errorf("insert credential: %w", err)
	}
	return c.Text(), nil
}

// Authenticate finds the caller behind an API key. All failures are one refusal.
func (a *Authority) Authenticate(ctx context.Context, key string) (access.Person, error) {
	return a.authenticate(ctx, trust.APIKey, key)
}

// Session finds the caller behind a console session.
func (a *Authority) Session(ctx context.Context, session string) (access.Person, error) {
	return a.authenticate(ctx, trust.Session, session)
}

func (a *Authority) authenticate(ctx context.Context, kind trust.CredentialKind, text string) (access.Person, error) {
	var who access.Person
	err := a.read(ctx, "authenticate", func(tx *store.Tx) error {
		row, err := check(ctx, tx, kind, text)
		who = access.Person{ID: row.CredentialID, Name: row.Name, Role: access.Role(row.Role), Account: row.AccountID}
		return err
	})
	return who, err
}

func check(ctx context.Context, tx *store.Tx, kind trust.CredentialKind, text string) (db.Credential, error) {
	unknown := license.Refuse(license.KindUnknown, "not-signed-in", "pass a key that `tally bootstrap` printed; the console is entered with `tally signin` on the host",
		"the key or link is unknown, was ended, or has expired")
	c, err := trust.ParseCredential(kind, text)
	if err != nil {
		return db.Credential{}, unknown
	}
	account := c.Account
	if account == "" {
		account = access.Site
	}
	row, err := tx.Credential(ctx, db.CredentialParams{AccountID: account, CredentialID: c.ID})
	if errors.Is(err, store.ErrNoRow) {
		return row, unknown
	}
	if err != nil {
		return row, err
	}
	digest := c.Digest()
	expired := row.ExpiresAt != 0 && row.ExpiresAt <= store.Ms(tx.Now())
	if !trust.SameDigest(row.Digest, digest[:]) || row.EndedAt != 0 || expired || row.Kind != kindName(kind) {
		return db.Credential{}, unknown
	}
	return row, nil
}

// SignInCode makes a one-time code for the console, valid for 10 minutes. Like Bootstrap it is run on the host.
func (a *Authority) SignInCode(ctx context.Context) (trust.Secret, error) {
	var text trust.Secret
	err := a.store.Update(ctx, "make sign-in code", func(tx *store.Tx) error {
		var err error
		text, err = issue(ctx, tx, trust.SignIn, "console", access.Administrator, signInLife)
		return err
	})
	return text, outcome("make sign-in code", err)
}

// SignIn spends a one-time code and opens a console session of 12 hours. A code works exactly once.
func (a *Authority) SignIn(ctx context.Context, code string) (trust.Secret, time.Duration, error) {
	var session trust.Secret
	err := a.store.Update(ctx, "sign in", func(tx *store.Tx) error {
		row, err := check(ctx, tx, trust.SignIn, code)
		if err != nil {
			return err
		}
		n, err := tx.EndCredential(ctx, db.EndCredentialParams{Now: store.Ms(tx.Now()), AccountID: row.AccountID, CredentialID: row.CredentialID})
		if err != nil {
			return err
		}
		if n != 1 {
			return license.Refuse(license.KindUnknown, "not-signed-in", "run `tally signin` on the host again", "the link was used already")
		}
		session, err = issue(ctx, tx, trust.Session, row.Name, access.Role(row.Role), sessionLife)
		return err
	})
	return session, sessionLife, outcome("sign in", err)
}

// SignOut ends a console session. An unknown one is no error.
func (a *Authority) SignOut(ctx context.Context, who access.Person) error {
	return outcome("sign out", a.store.Update(ctx, "sign out", func(tx *store.Tx) error {
		_, err := tx.EndCredential(ctx, db.EndCredentialParams{Now: store.Ms(tx.Now()), AccountID: who.Account, CredentialID: who.ID})
		return err
	}))
}
