package cdr

import (
	"bytes"
	"unicode/utf8"
)

// scan reads the form in which call bridges write: plain tags, attributes in
// double quotes, no entities, comments or sections. It reports false for
// anything else and for every error, which decode then judges; it must never
// accept what decode would refuse or read differently. FuzzParse holds it to
// that.
func scan(body []byte) (Post, bool) {
	b := newBuilder()
	if !b.scan(body) {
		b.release()
		return Post{}, false
	}
	return b.done(), true
}

func (b *builder) scan(body []byte) bool {
	var open [maxDepth][]byte
	var attrs [8]attr
	rest := body
	if bytes.HasPrefix(rest, []byte("<?xml ")) {
		const plainProlog, utf8Prolog = `<?xml version="1.0"?>`, `<?xml version="1.0" encoding="UTF-8"?>`
		switch {
		case bytes.HasPrefix(rest, []byte(plainProlog)):
			rest = rest[len(plainProlog):]
		case bytes.HasPrefix(rest, []byte(utf8Prolog)):
			rest = rest[len(utf8Prolog):]
		default:
			return false
		}
	}
	for {
		lt := bytes.IndexByte(rest, '<')
		if lt < 0 {
			return b.closed && len(trim(rest)) == 0
		}
		before := trim(rest[:lt])
		if !plain(before) || len(rest) < lt+2 {
			return false
		}
		rest = rest[lt+1:]
		if rest[0] == '/' {
			if b.depth == 0 {
				return false
			}
			name := open[b.depth-1]
			n := len(name)
			if len(rest) < n+2 || string(rest[1:n+1]) != string(name) || rest[n+1] != '>' || b.end(before, name) != nil {
				return false
			}
			rest = rest[n+2:]
			continue
		}
		tag, ok := scanTag(rest, &attrs)
		if !ok || b.depth == maxDepth {
			return false
		}
		open[b.depth] = tag.name
		if b.start(before, tag.name, attrs[:tag.attrs]) != nil {
			return false
		}
		if tag.closed && b.end(nil, tag.name) != nil {
			return false
		}
		rest = rest[tag.size:]
	}
}

type scannedTag struct {
	name   []byte
	attrs  int
	closed bool // <name/>
	size   int  // bytes up to and with >
}

// scanTag reads a start tag whose < is already read.
func scanTag(s []byte, attrs *[8]attr) (t scannedTag, ok bool) {
	i := nameEnd(s, 0)
	if i == 0 {
		return t, false
	}
	t.name = s[:i]
	for {
		gap := i
		for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t') {
			i++
		}
		if i >= len(s) || i > maxTag-2 {
			return t, false
		}
		switch s[i] {
		case '>':
			t.size = i + 1
			return t, true
		case '/':
			t.closed, t.size = true, i+2
			return t, i+1 < len(s) && s[i+1] == '>'
		}
		from := i
		i = nameEnd(s, i)
		if gap == from || i == from || t.attrs == len(attrs) || i+1 >= len(s) || s[i] != '=' || s[i+1] != '"' {
			return t, false
		}
		a := &attrs[t.attrs]
		a.name = s[from:i]
		i += 2
		n := bytes.IndexByte(s[i:], '"')
		if n < 0 || !plain(s[i:i+n]) || string(a.name) == "xmlns" {
			return t, false
		}
		a.value = s[i : i+n]
		t.attrs++
		i += n + 1
	}
}

// What a byte can be.
const (
	forbidden = 1 << iota // in text that stands for itself
	wide                  // part of a character beyond ASCII
	inName
	beginsName
	upper
)

var classes = func() (of [256]byte) {
	for i := range of {
		c := byte(i)
		switch {
		case c < ' ' && c != '\t' && c != '\n', c == '&', c == '<', c == '>', c == 0xef:
			of[i] = forbidden
		case c >= utf8.RuneSelf:
			of[i] = wide
		case 'A' <= c && c <= 'Z':
			of[i] = inName | beginsName | upper
		case 'a' <= c && c <= 'z', c == '_':
			of[i] = inName | beginsName
		case '0' <= c && c <= '9', c == '-', c == '.':
			of[i] = inName
		}
	}
	return of
}()

// anyOf is what any of the bytes is.
func anyOf(s []byte) (of byte) {
	for _, c := range s {
		of |= classes[c]
	}
	return of
}

// nameEnd returns where the name that starts at i ends, i if there is none.
func nameEnd(s []byte, i int) int {
	if i >= len(s) || classes[s[i]]&beginsName == 0 {
		return i
	}
	for i < len(s) && classes[s[i]]&inName != 0 {
		i++
	}
	return i
}

// plain reports whether text stands for itself: valid, without entities,
// brackets, carriage returns, or characters that XML may forbid.
func plain(s []byte) bool {
	of := anyOf(s)
	return of&forbidden == 0 && (of&wide == 0 || utf8.Valid(s))
}
