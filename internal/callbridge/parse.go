package callbridge

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The bounds of a document.
const (
	MaxDocument = 1 << 20 // bytes
	maxTag      = 8 << 10 // bytes of one tag with its attributes
	maxDepth    = 16
)

// spellings are names that servers and papers write in several ways, in lower case, with the one that the types have.
var spellings = map[string]string{
	"subtype":                 "subType",
	"basedn":                  "baseDn",
	"activepersonallicensing": "activePersonalLicenses",
	"activepersonallicenses":  "activePersonalLicenses",
}

// Parse reads one document into v, a pointer to one of the types of this package.
func Parse(document []byte, v any) error {
	if len(document) > MaxDocument {
		return fmt.Errorf("the document has %d bytes, more than %d", len(document), MaxDocument)
	}
	if err := checkTags(document); err != nil {
		return err
	}
	in := &tokens{in: xml.NewDecoder(bytes.NewReader(document))}
	d := xml.NewTokenDecoder(in)
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the document is empty")
		}
		return plain(err)
	}
	for { // something behind the root
		t, err := in.Token()
		switch t := t.(type) {
		case xml.StartElement:
			return fmt.Errorf("a second root <%s> follows", t.Name.Local)
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errors.New("text follows the root")
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return plain(err)
		}
	}
}

// checkTags refuses tags so long that the decoder would take much memory for their attributes.
func checkTags(document []byte) error {
	for rest := document; ; {
		open := bytes.IndexByte(rest, '<')
		if open < 0 {
			return nil
		}
		rest = rest[open:]
		end := bytes.IndexByte(rest, '>')
		if end < 0 || end > maxTag {
			return fmt.Errorf("a tag has more than %d bytes, or no end", maxTag)
		}
		rest = rest[end:]
	}
}

// plain words the decoder's errors without its own name.
func plain(err error) error {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return fmt.Errorf("malformed XML in line %d: %s", syntax.Line, syntax.Msg)
	}
	return err
}

// tokens hands on the tokens of a decoder with one spelling for each name and without name spaces.
type tokens struct {
	in    *xml.Decoder
	depth int
}

// Token implements xml.TokenReader.
func (t *tokens) Token() (xml.Token, error) {
	for {
		token, err := t.in.Token()
		if err != nil {
			return token, err
		}
		switch e := token.(type) {
		case xml.StartElement:
			if t.depth++; t.depth > maxDepth {
				return nil, fmt.Errorf("elements are nested deeper than %d", maxDepth)
			}
			e.Name = spelled(e.Name)
			return e, nil
		case xml.EndElement:
			t.depth--
			e.Name = spelled(e.Name)
			return e, nil
		case xml.CharData:
			return e, nil
		case xml.Directive:
			return nil, errors.New("a document type declaration is not accepted")
		default: // comments and processing instructions say nothing
		}
	}
}

func spelled(n xml.Name) xml.Name {
	if s, ok := spellings[strings.ToLower(n.Local)]; ok {
		n.Local = s
	}
	return xml.Name{Local: n.Local}
}

// Write renders a document as call bridges do.
func Write(v any) ([]byte, error) {
	body, err := xml.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write document: %w", err)
	}
	return append([]byte(`<?xml version="1.0"?>`), body...), nil
}
