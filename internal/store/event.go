package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// LockedAccount is an account whose row this transaction holds, with the end of its event chain. Decisions of the account are
// serial from here to the commit.
type LockedAccount struct {
	db.Account
	tx *Tx
}

// Lock takes the account's row, which also keeps the account's clock from running back: Now of the transaction is the later of
// its own and the account's. An account that does not exist is a license.Error.
func (tx *Tx) Lock(ctx context.Context, account string) (*LockedAccount, error) {
	row, err := tx.LockAccount(ctx, db.LockAccountParams{Now: Ms(tx.now), AccountID: account})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, license.NotFound("account", account)
	}
	if err != nil {
		return nil, fmt.Errorf("lock account %s: %w", account, err)
	}
	tx.SetNow(At(row.LastAt))
	return &LockedAccount{Account: row, tx: tx}, nil
}

// EventBody is the exact form of an event; its bytes are kept as they were hashed.
type EventBody struct {
	Version int       `json:"v"`
	Account string    `json:"account"`
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Kind    string    `json:"kind"`
	Subject string    `json:"subject"`
	Data    any       `json:"data,omitempty"`
	Before  string    `json:"before"` // hash of the event before, hexadecimal
}

var errChain = errors.New("the event chain moved under the account's lock")

// Record appends the one event that says what this transaction changed, and returns its number.
func (a *LockedAccount) Record(ctx context.Context, actor, kind, subject string, data any) (int64, error) {
	seq := a.EventSeq + 1
	body, err := json.Marshal(EventBody{
		Version: 1, Account: a.AccountID, Seq: seq, At: a.tx.now, Actor: actor, Kind: kind, Subject: subject, Data: data, Before: hex.EncodeToString(a.EventHash),
	})
	if err != nil {
		return 0, fmt.Errorf("encode event %s: %w", kind, err)
	}
	hash := trust.ChainHash(a.EventHash, body)
	if err := a.tx.InsertEvent(ctx, db.InsertEventParams{
		AccountID: a.AccountID, Seq: seq, HappenedAt: Ms(a.tx.now), Kind: kind, Actor: actor, Subject: subject, Body: body, Hash: hash[:],
	}); err != nil {
		return 0, fmt.Errorf("append event %s: %w", kind, err)
	}
	n, err := a.tx.AdvanceEvents(ctx, db.AdvanceEventsParams{Seq: seq, Hash: hash[:], AccountID: a.AccountID, Before: a.EventSeq})
	if err == nil && n != 1 {
		err = errChain
	}
	if err != nil {
		return 0, fmt.Errorf("advance event chain of %s: %w", a.AccountID, err)
	}
	a.EventSeq, a.EventHash = seq, hash[:]
	return seq, nil
}
