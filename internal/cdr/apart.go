package cdr

import (
	"bytes"
	"encoding/xml"
)

// Apart returns each record of the body that the post was read from as a body of its own, in their order: what Parse reads of
// one is the same record.
func (p *Post) Apart(body []byte) [][]byte {
	var head bytes.Buffer
	head.WriteString(`<records session="`)
	_ = xml.EscapeText(&head, []byte(p.Session)) // a buffer takes everything
	if p.CallBridge != "" {
		head.WriteString(`" callBridge="`)
		_ = xml.EscapeText(&head, []byte(p.CallBridge))
	}
	head.WriteString(`">`)
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	d := xml.NewDecoder(bytes.NewReader(body))
	var out [][]byte
	var begin int64
	record, depth := false, 0
	for {
		at := d.InputOffset()
		token, err := d.Token()
		if err != nil { // the end
			return out
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 1 {
				begin, record = at, t.Name.Local == "record"
			}
			depth++
		case xml.EndElement:
			if depth--; depth == 1 && record {
				out = append(out, bytes.Join([][]byte{head.Bytes(), body[begin:d.InputOffset()], []byte("</records>")}, nil))
			}
		}
	}
}
