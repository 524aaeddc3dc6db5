package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// The hot lanes write many rows with one statement. Row numbers are split into powers of two, so that few texts are
// prepared, however many requests a batch has.
const maxRows = 128

// insertion is an INSERT of many rows: what stands before and after its VALUES. Each one is a variable that never changes,
// and its statements are kept by that, which is quicker to find than a long text.
type insertion struct{ head, tail string }

// text is the statement for n rows of some values each.
func (in *insertion) text(width, n int) string {
	var b strings.Builder
	b.Grow(len(in.head) + len(in.tail) + n*width*6)
	b.WriteString(in.head)
	b.WriteString(" VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		placeholders(&b, i*width+1, width)
		b.WriteByte(')')
	}
	b.WriteString(in.tail)
	return b.String()
}

func placeholders(b *strings.Builder, from, n int) {
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(from + i))
	}
}

// insertRows writes rows, whose columns values appends: int64, bool, string or bytes.
func insertRows[T any](ctx context.Context, tx *Tx, in *insertion, rows []T, values func([]any, *T) []any) error {
	var args []any
	for len(rows) > 0 {
		n := maxRows
		for n > len(rows) {
			n /= 2
		}
		args = args[:0]
		for i := range n {
			args = values(args, &rows[i])
		}
		if err := tx.insert(ctx, in, n, args); err != nil {
			return fmt.Errorf("write %d rows: %w", n, err)
		}
		rows = rows[n:]
	}
	return nil
}

// boxed is a text as an argument. Rows that follow each other mostly have the same one, and each conversion allocates.
type boxed struct {
	text string
	arg  any
}

func (b *boxed) of(text string) any {
	if b.arg == nil || b.text != text {
		b.text, b.arg = text, text
	}
	return b.arg
}

func (tx *Tx) insert(ctx context.Context, in *insertion, n int, args []any) error {
	if s, ok := tx.conn.(*session); ok {
		return s.insert(ctx, in, n, args)
	}
	_, err := tx.conn.ExecContext(ctx, in.text(len(args)/n, n), args...)
	return err
}

// anonymous makes ? of the numbered parameters of a statement that has them in order, each once: SQLite's driver looks the
// place of a numbered one up by its name.
func anonymous(query string) string {
	var b strings.Builder
	b.Grow(len(query))
	quoted, next := false, 1
	for i := 0; i < len(query); i++ {
		c := query[i]
		if c == '\'' {
			quoted = !quoted
		}
		if c != '$' || quoted {
			b.WriteByte(c)
			continue
		}
		number := strconv.Itoa(next)
		end := i + 1 + len(number)
		if !strings.HasPrefix(query[i+1:], number) || end < len(query) && '0' <= query[end] && query[end] <= '9' {
			return query
		}
		b.WriteByte('?')
		next, i = next+1, end-1
	}
	return b.String()
}
