package authority

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// Event is one entry of an account's chain.
type Event struct {
	Seq     int64
	At      time.Time
	Actor   string
	Kind    string
	Subject string
	Data    json.RawMessage
	Hash    string
}

// Events lists an account's events, the oldest first. The cursor is the number of the last one.
func (a *Authority) Events(ctx context.Context, who access.Person, account string, page Page) ([]Event, string, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return nil, "", err
	}
	after, err := seqCursor(page.After)
	if err != nil {
		return nil, "", err
	}
	var out []Event
	var next string
	err = a.read(ctx, "list events", func(tx *store.Tx) error {
		rows, err := tx.Events(ctx, db.EventsParams{AccountID: id, After: after, Page: page.rows()})
		if err != nil {
			return err
		}
		rows, next = cut(rows, page, func(r db.Event) string { return strconv.FormatInt(r.Seq, 10) })
		out = nil // this may run twice
		for _, r := range rows {
			var body struct {
				Data json.RawMessage `json:"data"`
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				return fmt.Errorf("read event %d: %w", r.Seq, err)
			}
			out = append(out, Event{Seq: r.Seq, At: store.At(r.HappenedAt), Actor: r.Actor, Kind: r.Kind, Subject: r.Subject, Data: body.Data, Hash: hex.EncodeToString(r.Hash)})
		}
		return nil
	})
	return out, next, err
}

func seqCursor(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, license.Refuse(license.KindInvalid, "bad-cursor", "pass the cursor that the previous page returned", "%.40q is no cursor", s)
	}
	return n, nil
}

// Verification is what a check of an account's books found.
type Verification struct {
	Events   int64
	Problems []string
}

// VerifyEvents recomputes an account's event chain, its holdings from the postings, and its demand from the reports. It
// reads in one snapshot and changes nothing.
func (a *Authority) VerifyEvents(ctx context.Context, who access.Person, account string) (Verification, error) {
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return Verification{}, err
	}
	var out Verification
	err = a.read(ctx, "verify events", func(tx *store.Tx) error {
		out = Verification{Problems: []string{}}
		if err := out.chain(ctx, tx, id); err != nil {
			return err
		}
		return out.books(ctx, tx, id)
	})
	return out, err
}

func (v *Verification) problem(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

func (v *Verification) chain(ctx context.Context, tx *store.Tx, account string) error {
	row, err := tx.Account(ctx, account)
	if err != nil {
		return err
	}
	last := []byte{}
	for {
		rows, err := tx.Events(ctx, db.EventsParams{AccountID: account, After: v.Events, Page: 1000})
		if err != nil {
			return err
		}
		for _, r := range rows {
			v.Events++
			var body store.EventBody
			hash := trust.ChainHash(last, r.Body)
			switch err := json.Unmarshal(r.Body, &body); {
			case err != nil:
				v.problem("event %d cannot be read: %v", r.Seq, err)
			case r.Seq != v.Events || body.Seq != r.Seq:
				v.problem("event %d stands where %d was expected", r.Seq, v.Events)
			case body.Account != account || body.Kind != r.Kind || body.Actor != r.Actor || body.Subject != r.Subject || store.Ms(body.At) != r.HappenedAt:
				v.problem("the columns of event %d do not say what was signed in", r.Seq)
			case body.Before != hex.EncodeToString(last):
				v.problem("event %d does not continue event %d", r.Seq, r.Seq-1)
			case string(hash[:]) != string(r.Hash):
				v.problem("the hash of event %d is not that of its content", r.Seq)
			}
			v.Events, last = r.Seq, r.Hash
		}
		if len(rows) < 1000 {
			break
		}
	}
	if v.Events != row.EventSeq || string(last) != string(row.EventHash) {
		v.problem("the account says %d events, the chain ends at %d", row.EventSeq, v.Events)
	}
	return nil
}

func (v *Verification) books(ctx context.Context, tx *store.Tx, account string) error {
	unbalanced, err := tx.UnbalancedMovements(ctx, account)
	if err != nil {
		return err
	}
	for _, m := range unbalanced {
		v.problem("movement %s does not sum to zero for lot %s: %d is left", m.MovementID, m.LotID, m.Rest)
	}
	held, err := tx.LedgerDifferences(ctx, account)
	if err != nil {
		return err
	}
	for _, h := range held {
		v.problem("%s holds %d of lot %s, its postings say %d", h.Place, h.Held, h.LotID, h.Posted)
	}
	sums, err := tx.UsageSums(ctx, account)
	if err != nil {
		return err
	}
	demand, err := tx.DemandOfAccount(ctx, account)
	if err != nil {
		return err
	}
	below, err := usesBelow(ctx, tx, account, "")
	if err != nil {
		return err
	}
	if err := v.gap(ctx, tx, account); err != nil {
		return err
	}
	use := map[string]int64{}
	for _, s := range sums {
		use[s.VaID+" "+s.Tag] = s.Quantity
	}
	for _, s := range below {
		use[s.VaID+" "+s.Tag] += s.Quantity
	}
	for _, d := range demand {
		if use[d.VaID+" "+d.Tag] != d.Quantity {
			v.problem("the demand of %s in %s is %d, the reports sum to %d", d.Tag, d.VaID, d.Quantity, use[d.VaID+" "+d.Tag])
		}
		delete(use, d.VaID+" "+d.Tag)
	}
	for pool, n := range use {
		if n != 0 {
			v.problem("the demand of %s is missing, the reports sum to %d", pool, n)
		}
	}
	return nil
}
