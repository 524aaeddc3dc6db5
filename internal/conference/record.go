package conference

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// RecordDetail is one call-detail record of a meeting, as the call bridge wrote it.
type RecordDetail struct {
	Kind        string
	At          time.Time
	CallBridge  string // empty when the bridge does not say
	Session     string
	RecordIndex int64 // the receiver's own numbering; 0 when the post is gone
	Correlator  int64
	Call, Leg   string
	ReceivedAt  time.Time // zero when the post is gone
	Whole       bool      // every element and attribute is there; otherwise what meetings are made of, as the post is gone
	Fields      []cdr.Field
}

// Records lists the records of a meeting in the order in which they happened, those after a cursor, at most limit (1 to
// 1000, else 100), and says with which cursor the list goes on; that is empty at its end. With a leg, only the records of
// that leg, and of its recordings. Errors: a license.Error of kind not found for an unknown meeting, invalid for a wrong
// cursor.
func (e *Engine) Records(ctx context.Context, account, meeting, leg, cursor string, limit int) ([]RecordDetail, string, error) {
	after, err := parseRecordCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	if err := e.sync(ctx, account); err != nil {
		return nil, "", err
	}
	var row db.Meeting
	err = e.store.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.Meeting(ctx, db.MeetingParams{AccountID: account, MeetingID: meeting})
		return err
	})
	if errors.Is(err, store.ErrNoRow) || err == nil && row.StartedAt == 0 {
		return nil, "", license.NotFound("meeting", meeting)
	}
	if err != nil {
		return nil, "", outcome("read meeting", err)
	}
	records, err := cdr.Decode(row.Records)
	if err != nil {
		return nil, "", fmt.Errorf("read records of %s: %w", meeting, err)
	}
	leg, limit = fold(leg), bounded(limit)
	records = slices.DeleteFunc(records, func(r *cdr.Record) bool {
		return leg != "" && r.LegID != leg || placeOf(r).compare(after) <= 0
	})
	slices.SortFunc(records, func(a, b *cdr.Record) int { return placeOf(a).compare(placeOf(b)) })
	next := ""
	if len(records) > limit {
		records = records[:limit]
		next = placeOf(records[limit-1]).cursor()
	}
	c, err := e.cluster(ctx, account, row.ClusterID)
	if err != nil {
		return nil, "", err
	}
	var out []RecordDetail
	err = e.store.View(ctx, func(tx *store.Tx) (err error) {
		out, err = c.details(ctx, tx, records)
		return err
	})
	return out, next, outcome("list records", err)
}

// place is where a record stands in the list of its meeting.
type place struct {
	at         int64
	session    string
	correlator int64
}

func placeOf(r *cdr.Record) place { return place{store.Ms(r.At), r.Session, r.Correlator} }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.at, q.at), strings.Compare(p.session, q.session), cmp.Compare(p.correlator, q.correlator))
}

func (p place) cursor() string {
	return strconv.FormatInt(p.at, 10) + "_" + strconv.FormatInt(p.correlator, 10) + "_" + hex.EncodeToString([]byte(p.session))
}

func parseRecordCursor(cursor string) (place, error) {
	if cursor == "" {
		return place{at: -1}, nil
	}
	parts := strings.SplitN(cursor, "_", 3)
	if len(parts) == 3 {
		at, first := strconv.ParseInt(parts[0], 10, 64)
		correlator, second := strconv.ParseInt(parts[1], 10, 64)
		session, third := hex.DecodeString(parts[2])
		if first == nil && second == nil && third == nil {
			return place{at, string(session), correlator}, nil
		}
	}
	return place{}, license.Refuse(license.KindInvalid, "bad-cursor", "use the cursor of the page before, or none", "%.100q is no cursor of this list", cursor)
}

// details reads records from the posts that brought them. Posts are kept in memory only for one page of a list.
func (c *cluster) details(ctx context.Context, tx *store.Tx, records []*cdr.Record) ([]RecordDetail, error) {
	out := make([]RecordDetail, len(records))
	read := map[int64]*openPost{}
	for i, r := range records {
		d := RecordDetail{Kind: string(r.Kind), At: r.At, CallBridge: r.CallBridge, Session: r.Session, Correlator: r.Correlator,
			Call: r.CallID, Leg: r.LegID, Fields: r.Fields()}
		id := identity{r.Session, r.Correlator}
		seqs, err := c.holders(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		for _, seq := range seqs {
			p := read[seq]
			if p == nil {
				if p, err = c.open(ctx, tx, seq); err != nil {
					return nil, err
				}
				read[seq] = p
			}
			if found, fields := p.find(id); found != nil {
				d.RecordIndex, d.ReceivedAt, d.Fields, d.Whole = found.RecordIndex, p.receivedAt, fields, true
				break
			}
		}
		out[i] = d
	}
	return out, nil
}

// openPost is a stored post with what its body says of each of its records.
type openPost struct {
	journalPost
	receivedAt time.Time
	fields     [][]cdr.Field
}

// open reads a post of the journal for people; one that is gone has no records.
func (c *cluster) open(ctx context.Context, tx *store.Tx, seq int64) (*openPost, error) {
	row, err := tx.Post(ctx, db.PostParams{AccountID: c.account, ClusterID: c.id, Seq: seq})
	if errors.Is(err, store.ErrNoRow) {
		return &openPost{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read post %d of %s: %w", seq, c.id, err)
	}
	p, err := postOf(row.Seq, row.DirectoryVersion, row.Ignored, row.Body)
	if err != nil {
		return nil, err
	}
	return &openPost{*p, store.At(row.ReceivedAt), fieldsOf(row.Body)}, nil
}

// fieldsOf are the fields of the records of a body, in their order.
func fieldsOf(body []byte) [][]cdr.Field {
	details, _ := cdr.Details(body) // what can be read of a body that was refused is worth showing
	var out [][]cdr.Field
	for _, d := range details {
		if d.Correlator >= 0 {
			out = append(out, d.Fields)
		}
	}
	return out
}

// find returns the record of an identity that counted, with its fields; nil if it is not in the post.
func (p *openPost) find(id identity) (*cdr.Record, []cdr.Field) {
	i := p.counted(id)
	switch {
	case i < 0:
		return nil, nil
	case i < len(p.fields):
		return &p.records[i], p.fields[i]
	}
	return &p.records[i], p.records[i].Fields()
}
