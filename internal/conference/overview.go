package conference

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// Stream is what came of one call bridge to the receivers of a bridge.
type Stream struct {
	CallBridge  string // empty for those that do not say who they are; they belong to the receiver
	Sessions    int64  // runs of it
	Records     int64
	Repeats     int64
	Missing     int64
	Announced   int64
	FirstAt     time.Time // of its records
	LastAt      time.Time
	Quarantined bool // its records are kept and do not count, as other call bridges were named
}

// Session is what was heard of one run of a call bridge.
type Session struct {
	ID, CallBridge string
	Records        int64
	Repeats        int64
	Missing        int64 // lost, and not come by now
	Announced      int64 // said to be lost
	Gaps           int64 // records between the first and the last heard that have not come, lost or not
	Highest        int64 // number of the last record
	FirstAt        time.Time
	LastAt         time.Time
	Over           bool // a later run is known
}

// FindBridge returns a bridge by its id or name, with what came of each of its call bridges.
func (e *Engine) FindBridge(ctx context.Context, account, bridge string) (Bridge, []Stream, error) {
	if err := e.sync(ctx, account); err != nil {
		return Bridge{}, nil, err
	}
	var b Bridge
	var streams []Stream
	err := e.store.View(ctx, func(tx *store.Tx) error {
		row, err := bridgeNamed(ctx, tx, account, bridge)
		if err != nil {
			return err
		}
		if b, err = bridgeOf(ctx, tx, row); err != nil {
			return fmt.Errorf("read bridge %s: %w", row.ClusterID, err)
		}
		rows, err := tx.Streams(ctx, db.StreamsParams{AccountID: account, ClusterID: row.ClusterID})
		if err != nil {
			return fmt.Errorf("read sessions of %s: %w", row.ClusterID, err)
		}
		counts := map[string]bool{}
		for _, a := range b.Allowed {
			counts[a] = true
		}
		streams = streams[:0]
		for _, r := range rows {
			streams = append(streams, Stream{CallBridge: r.Callbridge, Sessions: r.Sessions, Records: r.Records, Repeats: r.Repeats, Missing: r.Missing,
				Announced: r.Announced, FirstAt: store.At(r.FirstAt), LastAt: store.At(r.LastAt), Quarantined: len(counts) > 0 && !counts[r.Callbridge]})
		}
		return nil
	})
	return b, streams, outcome("read bridge", err)
}

// Sessions lists the runs of the call bridges of a bridge (id or name) by their id, those after one, at most limit (1 to 1000,
// else 100).
func (e *Engine) Sessions(ctx context.Context, account, bridge, after string, limit int) ([]Session, error) {
	if err := e.sync(ctx, account); err != nil {
		return nil, err
	}
	id, err := e.bridgeID(ctx, account, bridge)
	if err != nil {
		return nil, err
	}
	closed, err := e.closedSessions(ctx, account, id)
	if err != nil {
		return nil, err
	}
	out := []Session{}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Sessions(ctx, db.SessionsParams{AccountID: account, ClusterID: id, After: after, Page: int32(bounded(limit))})
		if err != nil {
			return err
		}
		out = out[:0]
		for _, r := range rows {
			s, err := sessionOf(r)
			if err != nil {
				return err
			}
			v := Session{ID: s.id, CallBridge: s.bridge, Records: r.Records, Repeats: r.Repeats, Missing: r.Missing, Announced: r.Announced,
				Highest: s.highest(), FirstAt: store.At(r.FirstAt), LastAt: store.At(r.LastAt)}
			if len(s.spans) > 0 {
				v.Gaps = s.unheard(s.spans[0][0], s.highest())
			}
			_, v.Over = closed[s.id]
			out = append(out, v)
		}
		return nil
	})
	return out, outcome("list sessions", err)
}

// bridgeID finds the id of a bridge by its id or name.
func (e *Engine) bridgeID(ctx context.Context, account, bridge string) (id string, err error) {
	err = e.store.View(ctx, func(tx *store.Tx) error {
		row, err := bridgeNamed(ctx, tx, account, bridge)
		id = row.ClusterID
		return err
	})
	return id, outcome("find bridge", err)
}

// Conflict is two records that claim to be the same one. Of two with one identity and different content, the stored one counts. Two
// that came to one receiver with the same number (recordIndex) have identities of their own, and both count.
type Conflict struct {
	ID          string
	Session     string
	Correlator  int64 // of the one received
	Receiver    string
	RecordIndex int64
	Against     int64 // correlator of the one stored
	Counts      bool  // the one received counts as well
	CallBridge  string
	NotedAt     time.Time
	Stored      []cdr.Field // empty when the post that brought it is no longer kept
	Received    []cdr.Field
}

// keptBy is what the meeting of a ref keeps of a record whose post is gone; nothing if it is in another one or in none.
func keptBy(ctx context.Context, tx *store.Tx, account, bridge, ref string, id identity) ([]cdr.Field, error) {
	ids, err := tx.MeetingsByRefs(ctx, account, bridge, []string{ref})
	if err != nil {
		return nil, err
	}
	for _, meeting := range ids {
		row, err := tx.Meeting(ctx, db.MeetingParams{AccountID: account, MeetingID: meeting})
		if err != nil {
			return nil, fmt.Errorf("read meeting %s: %w", meeting, err)
		}
		records, err := cdr.Decode(row.Records)
		if err != nil {
			return nil, fmt.Errorf("read records of %s: %w", meeting, err)
		}
		for _, r := range records {
			if (identity{r.Session, r.Correlator}) == id {
				return r.Fields(), nil
			}
		}
	}
	return nil, nil
}

// Conflicts lists the conflicts of a bridge (id or name) by session and number, those after an id, at most limit (1 to 1000,
// else 100).
func (e *Engine) Conflicts(ctx context.Context, account, bridge, after string, limit int) ([]Conflict, error) {
	id, err := e.bridgeID(ctx, account, bridge)
	if err != nil {
		return nil, err
	}
	session, correlator, digest, err := parseConflict(after)
	if err != nil {
		return nil, err
	}
	c, err := e.cluster(ctx, account, id)
	if err != nil {
		return nil, err
	}
	if err := c.load(ctx); err != nil {
		return nil, outcome("list conflicts", err)
	}
	out := []Conflict{}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Conflicts(ctx, db.ConflictsParams{AccountID: account, ClusterID: id, Session: session, Correlator: correlator, Digest: digest, Page: int32(bounded(limit))})
		if err != nil {
			return err
		}
		out = out[:0]
		for _, r := range rows {
			k := Conflict{ID: conflictID(r.Session, r.Correlator, r.Digest), Session: r.Session, Correlator: r.Correlator, NotedAt: store.At(r.NotedAt),
				Receiver: r.Receiver, RecordIndex: r.RecordIndex, Against: r.Correlator}
			if r.Against >= 0 {
				k.Against, k.Counts = r.Against, true
			}
			if post, err := cdr.Parse(r.Body); err == nil {
				k.CallBridge = post.CallBridge
				fields := fieldsOf(r.Body)
				for i := range post.Records {
					if rec := &post.Records[i]; rec.Correlator == r.Correlator && string(rec.Digest[:]) == string(r.Digest) && i < len(fields) {
						k.Received = fields[i]
					}
				}
			}
			stored, err := c.details(ctx, tx, []*cdr.Record{{Session: r.Session, Correlator: k.Against}})
			if err != nil {
				return err
			}
			if k.Stored = stored[0].Fields; !stored[0].Whole {
				if k.Stored, err = keptBy(ctx, tx, account, id, r.Ref, identity{r.Session, k.Against}); err != nil {
					return err
				}
			}
			out = append(out, k)
		}
		return nil
	})
	return out, outcome("list conflicts", err)
}

func conflictID(session string, correlator int64, digest []byte) string {
	return hex.EncodeToString([]byte(session)) + "_" + strconv.FormatInt(correlator, 10) + "_" + hex.EncodeToString(digest)
}

func parseConflict(id string) (session string, correlator int64, digest []byte, err error) {
	if id == "" {
		return "", -1, []byte{}, nil
	}
	if parts := strings.Split(id, "_"); len(parts) == 3 {
		name, first := hex.DecodeString(parts[0])
		n, second := strconv.ParseInt(parts[1], 10, 64)
		sum, third := hex.DecodeString(parts[2])
		if first == nil && second == nil && third == nil {
			return string(name), n, sum, nil
		}
	}
	return "", 0, nil, license.Refuse(license.KindInvalid, "bad-cursor", "use the cursor of the page before, or none", "%.100q is no cursor of this list", id)
}

// Refused is a body that was not taken.
type Refused struct {
	ID     string
	At     time.Time
	Reason string
	Size   int64  // bytes of the body
	Body   string // what is kept of it, as text
	Whole  bool   // all of it is kept
}

// maxExcerpt is how much of a refused body a list shows, in bytes.
const maxExcerpt = 200

// RefusedBodies lists the bodies that a bridge (id or name) had refused, the newest first: at most the 100 that are kept. The
// list shows the beginning of each.
func (e *Engine) RefusedBodies(ctx context.Context, account, bridge string) ([]Refused, error) {
	id, err := e.bridgeID(ctx, account, bridge)
	if err != nil {
		return nil, err
	}
	out := []Refused{}
	err = e.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.RefusedBodies(ctx, db.RefusedBodiesParams{AccountID: account, ClusterID: id, Page: maxRefused})
		out = out[:0]
		for _, r := range rows {
			out = append(out, refusedOf(r, maxExcerpt))
		}
		return err
	})
	return out, outcome("list refused bodies", err)
}

// RefusedBody returns one refused body as far as it is kept. The error is a license.Error of kind not found for an unknown id.
func (e *Engine) RefusedBody(ctx context.Context, account, bridge, body string) (Refused, error) {
	id, err := e.bridgeID(ctx, account, bridge)
	if err != nil {
		return Refused{}, err
	}
	digest, err := hex.DecodeString(body)
	if err != nil {
		return Refused{}, license.NotFound("refused body", body)
	}
	var out Refused
	err = e.store.View(ctx, func(tx *store.Tx) error {
		row, err := tx.RefusedBody(ctx, db.RefusedBodyParams{AccountID: account, ClusterID: id, Digest: digest})
		if errors.Is(err, store.ErrNoRow) {
			return license.NotFound("refused body", body)
		}
		out = refusedOf(row, cdr.MaxBody)
		return err
	})
	return out, outcome("read refused body", err)
}

func refusedOf(r db.CdrRefused, most int) Refused {
	size := max(r.Size, int64(len(r.Body)))
	shown := r.Body[:min(len(r.Body), most)]
	text := string(shown)
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\ufffd")
	}
	return Refused{ID: hex.EncodeToString(r.Digest), At: store.At(r.RefusedAt), Reason: r.Reason, Size: size, Body: text, Whole: int64(len(shown)) == size}
}
