package conference

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// What is left of a post that retention removed is a digest of each of its records that counted, nine to ten bytes a record: what
// it said can no longer be shown, but a record that contradicts it can be told from a repeat (domain rule 3).

const (
	digestVersion = 1
	digestRecords = 4096 // of one row, unless one post has more
	digestPosts   = 50   // read at once
)

// shortDigest is the first bytes of a record's digest: enough for two records that claim one number.
type shortDigest [8]byte

func shortened(d [16]byte) shortDigest { return shortDigest(d[:8]) }

// digestRow is the digests of the records of posts beside each other.
type digestRow struct {
	first, last int64 // posts
	records     int
	sessions    map[string][]keptDigest
}

// keptDigest is a record as a digest row has it.
type keptDigest struct {
	correlator int64
	digest     shortDigest
}

func (d *digestRow) add(p *journalPost) {
	if d.sessions == nil {
		d.sessions, d.first = map[string][]keptDigest{}, p.seq
	}
	d.last = p.seq
	p.each(func(r *cdr.Record) {
		d.sessions[r.Session] = append(d.sessions[r.Session], keptDigest{r.Correlator, shortened(r.Digest)})
		d.records++
	})
}

// encode writes a version, then for each session the length of its name, the name, the number of records, and of each record the
// step from the one before and its digest.
func (d *digestRow) encode() []byte {
	out := []byte{digestVersion}
	names := make([]string, 0, len(d.sessions))
	for name := range d.sessions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = append(binary.AppendUvarint(out, uint64(len(name))), name...)
		out = binary.AppendUvarint(out, uint64(len(d.sessions[name])))
		before := int64(0)
		for _, n := range d.sessions[name] {
			out = append(binary.AppendVarint(out, n.correlator-before), n.digest[:]...)
			before = n.correlator
		}
	}
	return out
}

// eachDigest reads what encode wrote.
func eachDigest(body []byte, fn func(identity, shortDigest)) error {
	broken := errors.New("digests of removed posts cannot be read")
	if len(body) == 0 || body[0] != digestVersion {
		return broken
	}
	body = body[1:]
	number := func() uint64 {
		n, size := binary.Uvarint(body)
		if size <= 0 {
			body = nil
			return 0
		}
		body = body[size:]
		return n
	}
	for len(body) > 0 {
		length := number()
		if length > uint64(len(body)) {
			return broken
		}
		id := identity{session: string(body[:length])}
		body = body[length:]
		for range number() {
			step, size := binary.Varint(body)
			if size <= 0 || len(body) < size+len(shortDigest{}) {
				return broken
			}
			id.correlator += step
			body = body[size:]
			fn(id, shortDigest(body))
			body = body[len(shortDigest{}):]
		}
	}
	return nil
}

// digestsOf makes the rows of digests for posts, which are about to be removed.
func (c *cluster) digestsOf(ctx context.Context, tx *store.Tx, low, through int64) ([]db.PutDigestsParams, error) {
	var out []db.PutDigestsParams
	var d digestRow
	put := func() {
		if d.records > 0 {
			out = append(out, db.PutDigestsParams{AccountID: c.account, ClusterID: c.id, FirstSeq: d.first, LastSeq: d.last, Body: d.encode()})
		}
		d = digestRow{}
	}
	for after := low - 1; after < through; {
		rows, err := tx.PostsAfter(ctx, db.PostsAfterParams{AccountID: c.account, ClusterID: c.id, After: after, Through: through, Page: digestPosts})
		if err != nil {
			return nil, fmt.Errorf("read posts of %s: %w", c.id, err)
		}
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			after = r.Seq
			p, err := postOf(r.Seq, r.DirectoryVersion, r.Ignored, r.Body)
			if err != nil {
				continue // nothing is known of it
			}
			if d.add(p); d.records >= digestRecords {
				put()
			}
		}
	}
	put()
	return out, nil
}

// goneWith takes the digests into a look-up that are left of a post which is no longer kept.
func (c *cluster) goneWith(ctx context.Context, tx *store.Tx, seq int64, l *lookup) error {
	for _, s := range l.left {
		if s[0] <= seq && seq <= s[1] {
			return nil
		}
	}
	row, err := tx.DigestsAt(ctx, db.DigestsAtParams{AccountID: c.account, ClusterID: c.id, Seq: seq})
	if errors.Is(err, store.ErrNoRow) {
		return nil // it was removed by a version that kept none
	}
	if err != nil {
		return fmt.Errorf("read digests of post %d of %s: %w", seq, c.id, err)
	}
	l.left = append(l.left, span{row.FirstSeq, row.LastSeq})
	return eachDigest(row.Body, func(id identity, d shortDigest) {
		r := &cdr.Record{}
		copy(r.Digest[:], d[:])
		l.gone[id] = r
	})
}

// contradicts reports whether a record is another one than what was found of its number. Of a record of no kind the post is no
// longer kept, and the digest has its first bytes only, or nothing where not even those are known: then it is taken for a repeat.
func contradicts(r, found *cdr.Record) bool {
	if found.Kind != "" {
		return r.Digest != found.Digest
	}
	kept := shortened(found.Digest)
	return kept != shortDigest{} && kept != shortened(r.Digest)
}
