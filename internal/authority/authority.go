// Package authority is the licensing desk: every verb on accounts, orders, licenses, tokens, product instances and their
// authorizations. A verb is one transaction: lock the account, load, decide with the pure rules of package license, write,
// append the one event that says so, commit. Faces (web, console, command line) call these verbs and add no rule.
//
// It is not a conference engine and knows nothing of meetings; the engine reports its use like any product.
//
// Invariants: decisions of one account are serial; licenses move in legs whose sum is zero; over-use is counted and
// reported, never refused; a change of state appends exactly one event to the account's hash chain; an answer to a product
// is stored before it is signed, so that asking again gets the same bytes.
package authority

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// Authority is the desk over one store and one set of keys. It is safe for concurrent use.
type Authority struct {
	store   *store.Store
	keys    *trust.Keys
	catalog *license.Catalog
	log     *slog.Logger
	now     func() time.Time

	productKeys keyCache
	stock       stockCache

	mu    sync.Mutex       // guards lanes
	lanes map[string]*lane // authorization lanes by account; a lane lives while requests wait
}

// Options are what the desk is made of; all but Log are needed.
type Options struct {
	Store   *store.Store
	Keys    *trust.Keys
	Catalog *license.Catalog
	Log     *slog.Logger
	Now     func() time.Time
}

// New makes the desk. It starts nothing.
func New(o Options) *Authority {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Authority{store: o.Store, keys: o.Keys, catalog: o.Catalog, log: o.Log, now: o.Now, lanes: map[string]*lane{}}
}

// Catalog returns what is sold and counted here.
func (a *Authority) Catalog() *license.Catalog { return a.catalog }

// Keys returns the authority's public face: root and chain certificates and the fingerprint.
func (a *Authority) Keys() *trust.Keys { return a.keys }

// Ready says whether the store answers.
func (a *Authority) Ready(ctx context.Context) error {
	return a.store.View(ctx, func(tx *store.Tx) error {
		_, err := tx.Accounts(ctx, db.AccountsParams{Page: 1})
		return err
	})
}

// desk is one verb at work: the transaction, the locked account and the one instant of the verb.
type desk struct {
	*store.Tx
	who     access.Person
	account *store.LockedAccount
	now     time.Time
}

// write runs one writing verb of an account: it locks the account's row first, which makes decisions of the account serial
// and keeps time from running back.
func (a *Authority) write(ctx context.Context, who access.Person, account, verb string, fn func(*desk) error) error {
	err := a.store.Update(ctx, verb, func(tx *store.Tx) error {
		d, err := lock(ctx, tx, who, account)
		if err != nil {
			return err
		}
		return fn(d)
	})
	return outcome(verb, err)
}

// outcome lets refusals through, the store's included, and says of anything else what was being done.
func outcome(verb string, err error) error {
	if err == nil || license.AsError(err) != nil {
		return err
	}
	return fmt.Errorf("%s: %w", verb, err)
}

func lock(ctx context.Context, tx *store.Tx, who access.Person, account string) (*desk, error) {
	row, err := tx.Lock(ctx, account)
	if err != nil {
		return nil, err
	}
	return &desk{Tx: tx, who: who, account: row, now: tx.Now()}, nil
}

// read runs a reading verb in one snapshot.
func (a *Authority) read(ctx context.Context, verb string, fn func(*store.Tx) error) error {
	return outcome(verb, a.store.View(ctx, fn))
}

// once runs a writing verb that answers, at most once for each request key of the caller: the stored answer is returned to a
// repetition, and the same key with another request is refused.
func once[T any](ctx context.Context, a *Authority, who access.Person, account, verb string, request any, fn func(*desk) (T, error)) (T, error) {
	var answer T
	err := a.write(ctx, who, account, verb, func(d *desk) error {
		var err error
		answer, err = repeatable(ctx, d.Tx, who, account, verb, request, func() (T, error) { return fn(d) })
		return err
	})
	return answer, err
}

// repeatable does fn unless the caller's request key has an answer already, inside the transaction of fn.
func repeatable[T any](ctx context.Context, tx *store.Tx, who access.Person, account, verb string, request any, fn func() (T, error)) (T, error) {
	if who.RequestKey == "" {
		return fn()
	}
	var answer T
	text, err := json.Marshal(request)
	if err != nil {
		return answer, fmt.Errorf("digest request: %w", err)
	}
	digest := sha256.Sum256(append([]byte(verb+"\n"), text...))
	key := who.ID + " " + who.RequestKey
	old, err := tx.IdempotentAnswer(ctx, db.IdempotentAnswerParams{AccountID: account, IdemKey: key})
	switch {
	case err == nil && !trust.SameDigest(old.Digest, digest[:]):
		return answer, license.Refuse(license.KindConflict, "idempotency-key", "use a new Idempotency-Key for another request",
			"this Idempotency-Key was used for another request")
	case err == nil:
		return answer, json.Unmarshal(old.Answer, &answer)
	case !errors.Is(err, store.ErrNoRow):
		return answer, fmt.Errorf("look up idempotency key: %w", err)
	}
	if answer, err = fn(); err != nil {
		return answer, err
	}
	kept, err := json.Marshal(answer)
	if err != nil {
		return answer, fmt.Errorf("keep answer: %w", err)
	}
	return answer, tx.InsertIdempotentAnswer(ctx, db.InsertIdempotentAnswerParams{
		AccountID: account, IdemKey: key, Digest: digest[:], Answer: kept, CreatedAt: store.Ms(tx.Now()),
	})
}

// record appends the verb's event to the account's chain and returns its number.
func (d *desk) record(ctx context.Context, kind, subject string, data any) (int64, error) {
	return d.account.Record(ctx, d.who.ID, kind, subject, data)
}

// nameKey folds a name for comparison: names differ only when they differ in more than case.
func nameKey(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// Page asks for a part of a list: what comes after an id, at most Limit rows.
type Page struct {
	After string
	Limit int
}

// rows is the number of rows to ask the store for: one more than the page, which tells whether there is a next one.
func (p Page) rows() int32 { return int32(p.limit() + 1) }

func (p Page) limit() int {
	if p.Limit < 1 || p.Limit > 1000 {
		return 100
	}
	return p.Limit
}

// listed reads one page of a list of an account: rows reads from the page on, key is what the cursor of a row is, and show makes of a
// row what is shown.
func listed[R, T any](ctx context.Context, a *Authority, who access.Person, account, noun string, page Page,
	rows func(*store.Tx, string) ([]R, error), key func(R) string, show func(*store.Tx, R) (T, error),
) ([]T, string, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return nil, "", err
	}
	var out []T
	var next string
	err = a.read(ctx, "list "+noun, func(tx *store.Tx) error {
		found, err := rows(tx, id)
		if err != nil {
			return err
		}
		out = nil
		found, next = cut(found, page, key)
		for _, r := range found {
			one, err := show(tx, r)
			if err != nil {
				return err
			}
			out = append(out, one)
		}
		return nil
	})
	return out, next, err
}

// cut splits what the store returned into the page and the cursor of the next one, empty on the last page.
func cut[T any](rows []T, p Page, id func(T) string) ([]T, string) {
	if len(rows) <= p.limit() {
		return rows, ""
	}
	rows = rows[:p.limit()]
	return rows, id(rows[len(rows)-1])
}
