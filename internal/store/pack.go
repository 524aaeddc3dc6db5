package store

import (
	"context"
	_ "embed" // the dictionary
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store/db"
)

// Bodies of the journal are packed: a post of call records is mostly the same words, and what is written costs more than
// what is computed. The first byte says how; a body that stands for itself begins with another one, as XML does.
const packed1 = 1 // S2 with dictionary 1

// dictionary1 is the usual words of call records. It must never change: bodies are stored by it. A better one gets a number
// of its own.
//
//go:embed pack1.xml
var dictionary1 []byte

var s2Dictionary = sync.OnceValue(func() *s2.Dict { return s2.MakeDict(dictionary1, nil) })

var squeezers = sync.Pool{New: func() any { return newSqueezer(dictionary1) }}

// Pack makes the stored form of a body.
func Pack(body []byte) []byte {
	var small []byte
	if len(body) <= squeezeMost {
		s := squeezers.Get().(*squeezer)
		defer squeezers.Put(s)
		small = s.squeeze(body)
	} else {
		small = s2Dictionary().Encode(nil, body)
	}
	if len(small) >= len(body) && (len(body) == 0 || body[0] != packed1) {
		return body
	}
	return append(append(make([]byte, 0, len(small)+1), packed1), small...)
}

// Unpack is the inverse of Pack.
func Unpack(stored []byte) ([]byte, error) {
	if len(stored) == 0 || stored[0] != packed1 {
		return stored, nil
	}
	switch n, err := s2.DecodedLen(stored[1:]); {
	case err != nil:
		return nil, err
	case n > cdr.MaxBody:
		return nil, errors.New("a stored body is longer than any that is taken")
	}
	return s2Dictionary().Decode(nil, stored[1:])
}

// PostsAfter reads the journal; bodies are as they came.
func (tx *Tx) PostsAfter(ctx context.Context, arg db.PostsAfterParams) ([]db.PostsAfterRow, error) {
	rows, err := tx.Queries.PostsAfter(ctx, arg)
	for i := range rows {
		if err == nil {
			if rows[i].Body, err = Unpack(rows[i].Body); err != nil {
				err = fmt.Errorf("unpack post %d: %w", rows[i].Seq, err)
			}
		}
	}
	return rows, err
}

// PostsOfBridge reads the journal of one call bridge; bodies are as they came.
func (tx *Tx) PostsOfBridge(ctx context.Context, arg db.PostsOfBridgeParams) ([]db.PostsOfBridgeRow, error) {
	rows, err := tx.Queries.PostsOfBridge(ctx, arg)
	for i := range rows {
		if err == nil {
			if rows[i].Body, err = Unpack(rows[i].Body); err != nil {
				err = fmt.Errorf("unpack post %d: %w", rows[i].Seq, err)
			}
		}
	}
	return rows, err
}

// Post reads one post of the journal; the body is as it came.
func (tx *Tx) Post(ctx context.Context, arg db.PostParams) (db.PostRow, error) {
	row, err := tx.Queries.Post(ctx, arg)
	if err == nil {
		if row.Body, err = Unpack(row.Body); err != nil {
			err = fmt.Errorf("unpack post %d: %w", arg.Seq, err)
		}
	}
	return row, err
}
