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
	b := newBuilder(body)
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
			return Post{}, false
		}
	}
	for {
		lt := bytes.IndexByte(rest, '<')
		if lt < 0 {
			ok := b.closed && len(trim(rest)) == 0
			return b.post, ok
		}
		before := trim(rest[:lt])
		if !plain(before) || len(rest) < lt+2 {
			return Post{}, false
		}
		rest = rest[lt+1:]
		if rest[0] == '/' {
			if b.depth == 0 {
				return Post{}, false
			}
			name := open[b.depth-1]
			n := len(name)
			if len(rest) < n+2 || string(rest[1:n+1]) != string(name) || rest[n+1] != '>' || b.end(before, name) != nil {
				return Post{}, false
			}
			rest = rest[n+2:]
			continue
		}
		tag, ok := scanTag(rest, &attrs)
		if !ok || b.depth == maxDepth {
			return Post{}, false
		}
		open[b.depth] = tag.name
		if b.start(before, tag.name, attrs[:tag.attrs]) != nil {
			return Post{}, false
		}
		if tag.closed && b.end(nil, tag.name) != nil {
			return Post{}, false
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

// nameEnd returns where the name that starts at i ends, i if there is none.
func nameEnd(s []byte, i int) int {
	from := i
	for i < len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > from && ('0' <= c && c <= '9' || c == '-' || c == '.'):
		default:
			return i
		}
		i++
	}
	return i
}

// plain reports whether text stands for itself: valid, without entities,
// brackets, carriage returns, or characters that XML may forbid.
func plain(s []byte) bool {
	ascii := true
	for _, c := range s {
		switch {
		case c < ' ' && c != '\t' && c != '\n', c == '&', c == '<', c == '>', c == 0xef:
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii || utf8.Valid(s)
}
