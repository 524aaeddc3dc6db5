package conference

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

const (
	rangePosts = 256 // posts of one row of cdr_range
)

// postRange is which correlators a stored post has, at most.
type postRange struct{ seq, low, high int64 }

// rangeRows are the rows for posts of one session, in the order of the journal. Where they are written with a flush and not
// with each post, a busy session costs the database one page a flush.
func (c *cluster) rangeRows(session string, posts []postRange) ([]db.CdrRange, error) {
	var rows []db.CdrRange
	for part := range slices.Chunk(posts, rangePosts) {
		row := db.CdrRange{AccountID: c.account, ClusterID: c.id, Session: session, Low: part[0].low, High: part[0].high, FirstSeq: part[0].seq}
		for _, p := range part {
			row.Low, row.High = min(row.Low, p.low), max(row.High, p.high)
		}
		steps := make([]int64, 0, 3*len(part))
		seq, low := row.FirstSeq, row.Low
		for _, p := range part {
			steps = append(steps, p.seq-seq, p.low-low, p.high-p.low)
			seq, low = p.seq, p.low
		}
		text, err := json.Marshal(steps)
		if err != nil {
			return nil, fmt.Errorf("encode ranges of session %s: %w", session, err)
		}
		row.Posts = string(text)
		rows = append(rows, row)
	}
	return rows, nil
}

// postsOf is the inverse of rangeRows for one row.
func postsOf(r db.RangesAroundRow) ([]postRange, error) {
	var steps []int64
	if err := json.Unmarshal([]byte(r.Posts), &steps); err != nil {
		return nil, fmt.Errorf("decode range from post %d: %w", r.FirstSeq, err)
	}
	posts := make([]postRange, 0, len(steps)/3)
	seq, low := r.FirstSeq, r.Low
	for s := range slices.Chunk(steps[:len(steps)/3*3], 3) {
		seq, low = seq+s[0], low+s[1]
		posts = append(posts, postRange{seq, low, low + s[2]})
	}
	return posts, nil
}

// writeSessions writes sessions, and the ranges of those of their posts that the tables do not have.
func (c *cluster) writeSessions(ctx context.Context, tx *store.Tx, sessions []sessionRow, projected int64) error {
	var ranges []db.CdrRange
	for _, s := range sessions {
		if err := tx.PutSession(ctx, s.PutSessionParams); err != nil {
			return fmt.Errorf("write session %s: %w", s.Session, err)
		}
		if err := c.keepClashes(ctx, tx, s.Session, s.clashes); err != nil {
			return err
		}
		known, _ := slices.BinarySearchFunc(s.posts, projected+1, func(p postRange, seq int64) int { return cmp.Compare(p.seq, seq) })
		rows, err := c.rangeRows(s.Session, s.posts[known:])
		if err != nil {
			return err
		}
		ranges = append(ranges, rows...)
	}
	if err := tx.PutRanges(ctx, ranges); err != nil {
		return fmt.Errorf("write ranges of sessions: %w", err)
	}
	return nil
}

// stored finds a record that counted, nil if there is none. It keeps all records of the posts that it reads, as those that
// are asked for stand beside each other. When the post is no longer kept, that is a record of no kind with what is left of its
// digest: see contradicts.
func (c *cluster) stored(ctx context.Context, tx *store.Tx, id identity, l *lookup) (*cdr.Record, error) {
	seqs, err := c.holders(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	var gone *cdr.Record
	for _, seq := range seqs {
		if l.removed[seq] {
			gone = cmp.Or(l.gone[id], &cdr.Record{})
		}
		if l.read[seq] {
			continue
		}
		l.read[seq] = true
		row, err := tx.Post(ctx, db.PostParams{AccountID: c.account, ClusterID: c.id, Seq: seq})
		if errors.Is(err, store.ErrNoRow) {
			if err := c.goneWith(ctx, tx, seq, l); err != nil {
				return nil, err
			}
			l.removed[seq] = true
			gone = cmp.Or(l.gone[id], &cdr.Record{})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read post %d of %s: %w", seq, c.id, err)
		}
		p, err := postOf(row.Seq, row.DirectoryVersion, row.Ignored, row.Body)
		if err != nil {
			return nil, err
		}
		p.each(func(r *cdr.Record) { l.found[identity{r.Session, r.Correlator}] = r })
		if r := l.found[id]; r != nil {
			return r, nil
		}
	}
	return gone, nil
}

// holders lists the posts that may hold a record: of those that are not in the tables of ranges yet, and of those that are.
func (c *cluster) holders(ctx context.Context, tx *store.Tx, id identity) ([]int64, error) {
	var seqs []int64
	holding := func(posts []postRange) {
		for _, p := range posts {
			if p.low <= id.correlator && id.correlator <= p.high {
				seqs = append(seqs, p.seq)
			}
		}
	}
	c.mu.Lock()
	if s := c.sessions[id.session]; s != nil {
		holding(s.posts)
	}
	c.mu.Unlock()
	rows, err := tx.RangesAround(ctx, db.RangesAroundParams{
		AccountID: c.account, ClusterID: c.id, Session: id.session, Correlator: id.correlator, Page: page,
	})
	if err != nil {
		return nil, fmt.Errorf("look up record %d of session %s: %w", id.correlator, id.session, err)
	}
	for _, row := range rows {
		posts, err := postsOf(row)
		if err != nil {
			return nil, err
		}
		holding(posts)
	}
	return seqs, nil
}

// counted is the position of the record of an identity, -1 if it is not in the post or was known before.
func (p *journalPost) counted(id identity) int {
	for i := range p.records {
		if p.session == id.session && p.records[i].Correlator == id.correlator && !slices.Contains(p.ignored, i) {
			return i
		}
	}
	return -1
}
