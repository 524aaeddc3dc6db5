package cdr

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// decode reads any well-formed body with the standard library's decoder, after
// the raw bytes were checked. All refusals come from here.
func decode(body []byte) (Post, error) {
	if err := checkBounds(body); err != nil {
		return Post{}, err
	}
	b := newBuilder()
	post, err := b.decode(body)
	if err != nil {
		b.release()
	}
	return post, err
}

func (b *builder) decode(body []byte) (Post, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	var pending []byte // text since the last tag
	for {
		token, err := d.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = b.finished(trim(pending))
				if err == nil {
					return b.done(), nil
				}
			}
			return Post{}, refusal(d, err)
		}
		switch t := token.(type) {
		case xml.CharData:
			pending = append(pending, t...)
			continue
		case xml.StartElement:
			err = b.start(trim(pending), []byte(t.Name.Local), attributes(t.Attr))
		case xml.EndElement:
			err = b.end(trim(pending), []byte(t.Name.Local))
		case xml.Directive:
			err = errors.New("a document type declaration is not accepted")
		default: // comments and processing instructions say nothing
			continue
		}
		if err != nil {
			return Post{}, refusal(d, err)
		}
		pending = pending[:0]
	}
}

// finished judges the end of the document.
func (b *builder) finished(after []byte) error {
	if !b.closed {
		return errors.New("no <records> element")
	}
	return b.text(after)
}

func attributes(in []xml.Attr) []attr {
	out := make([]attr, len(in))
	for i, a := range in {
		name := a.Name.Local
		if a.Name.Space != "" {
			name = a.Name.Space + ":" + name
		}
		out[i] = attr{[]byte(name), []byte(a.Value)}
	}
	return out
}

func refusal(d *xml.Decoder, err error) error {
	line, _ := d.InputPos()
	message := err.Error()
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		line, message = syntax.Line, "malformed XML: "+syntax.Msg
	}
	return &Error{Message: message, Line: line, Offset: d.InputOffset()}
}

// checkBounds refuses on the raw bytes what would make the decoder allocate
// without limit: large tags, many attributes, deep nesting, document types.
func checkBounds(body []byte) error {
	depth := 0
	for at := 0; ; {
		lt := bytes.IndexByte(body[at:], '<')
		if lt < 0 {
			return nil
		}
		at += lt
		size, attrs, problem := measure(body[at:])
		if problem == "" && attrs > maxAttrs {
			problem = fmt.Sprintf("a tag with more than %d attributes", maxAttrs)
		}
		if problem == "" && size > 1 {
			switch kind := body[at+1]; {
			case kind == '/':
				depth--
			case kind != '!' && kind != '?' && body[at+size-2] != '/':
				depth++
			}
			if depth > maxDepth {
				problem = fmt.Sprintf("elements nested more than %d deep", maxDepth)
			}
		}
		if problem != "" {
			line := 1 + bytes.Count(body[:at], []byte("\n"))
			return &Error{Message: problem, Line: line, Offset: int64(at)}
		}
		at += size
	}
}

// measure returns the size of the markup at the head of s and how many
// attributes it has. An unfinished one ends with s; the decoder refuses it.
func measure(s []byte) (size, attrs int, problem string) {
	for _, m := range [...][2]string{{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}} {
		if bytes.HasPrefix(s, []byte(m[0])) {
			n := bytes.Index(s[len(m[0]):], []byte(m[1]))
			if n < 0 {
				return len(s), 0, ""
			}
			return len(m[0]) + n + len(m[1]), 0, ""
		}
	}
	if bytes.HasPrefix(s, []byte("<!")) {
		return 0, 0, "a document type declaration is not accepted"
	}
	var quote byte
	for i, c := range s {
		switch {
		case i >= maxTag:
			return 0, 0, fmt.Sprintf("a tag of more than %d bytes", maxTag)
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '=':
			attrs++
		case c == '>':
			return i + 1, attrs, ""
		}
	}
	return len(s), attrs, ""
}
