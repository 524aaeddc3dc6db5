package cdr

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Detail is one record as the call bridge wrote it: every element and attribute, known or not.
type Detail struct {
	Kind       Kind
	Session    string // of the body
	CallBridge string // of the body
	Correlator int64  // -1 where it cannot be read
	Fields     []Field
}

// Field is one attribute or element of a record, in the order of the document. Path names the elements from below the
// record on, as in "callLeg/rxAudio/codec"; an attribute stands behind an @, as in "callLeg@id" or "@time" of the record
// itself. Of neighbors with the same name the second one is "alarm[2]". Value is the text, trimmed; an element without
// text is a field if nothing is in it, as in "callLeg/ivr".
type Field struct{ Path, Value string }

// Details reads a body for people. It refuses nothing for its meaning: what stands before a fault is returned with the
// *Error that says what the fault is. The bounds are those of Parse, besides the number of records.
func Details(body []byte) ([]Detail, error) {
	if len(body) > MaxBody {
		return nil, &Error{Message: fmt.Sprintf("body of %d bytes, limit is %d", len(body), MaxBody), Line: 1}
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	r := reader{}
	d := xml.NewDecoder(bytes.NewReader(body))
	if err := checkBounds(body); err != nil {
		fault, _ := errors.AsType[*Error](err)
		d = xml.NewDecoder(bytes.NewReader(body[:fault.Offset]))
		_ = r.read(d) // what was cut off is the fault
		return r.out, err
	}
	if err := r.read(d); err != nil {
		return r.out, refusal(d, err)
	}
	return r.out, nil
}

// reader gathers the fields of records, whatever their form.
type reader struct {
	out                 []Detail
	session, callBridge string
	stack               []element // the root has the path "/", a record ""
	current             Detail
	text                []byte
}

// element is an open element.
type element struct {
	path  string
	field int            // where its field stands, -1 for none yet
	empty bool           // nothing was in it so far
	seen  map[string]int // how many children of a name it has
}

func (r *reader) read(d *xml.Decoder) error {
	for {
		token, err := d.Token()
		if err != nil {
			if slices.ContainsFunc(r.stack, func(l element) bool { return l.path == "" }) {
				r.out = append(r.out, r.current) // a record that was cut off
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		switch t := token.(type) {
		case xml.CharData:
			r.text = append(r.text, t...)
		case xml.StartElement:
			r.flush()
			r.start(t)
		case xml.EndElement:
			r.flush()
			r.end()
		}
	}
}

// start opens an element. The first is the body's root, the second a record; a record without a root is one as well.
func (r *reader) start(t xml.StartElement) {
	if len(r.stack) == 0 && t.Name.Local != "record" {
		r.session, r.callBridge = "", ""
		for _, a := range t.Attr {
			switch v := string(bytes.ToLower(trim([]byte(a.Value)))); a.Name.Local {
			case "session":
				r.session = clipped([]byte(v))
			case "callBridge":
				r.callBridge = clipped([]byte(v))
			}
		}
		r.stack = append(r.stack, element{path: "/", field: -1})
		return
	}
	if len(r.stack) == 0 || r.stack[len(r.stack)-1].path == "/" {
		r.current = Detail{Session: r.session, CallBridge: r.callBridge, Correlator: -1}
		r.stack = append(r.stack, element{path: "", field: -1, empty: true})
		for _, a := range attributes(t.Attr) {
			switch string(a.name) {
			case "type":
				r.current.Kind = Kind(clipped(trim(a.value)))
			case "correlatorIndex":
				if n, err := strconv.ParseInt(string(trim(a.value)), 10, 64); err == nil && t.Name.Local == "record" {
					r.current.Correlator = n
				}
			}
			r.field("@"+string(a.name), a.value)
		}
		return
	}
	parent := &r.stack[len(r.stack)-1]
	parent.empty = false
	if parent.seen == nil {
		parent.seen = map[string]int{}
	}
	name := t.Name.Local
	parent.seen[name]++
	if n := parent.seen[name]; n > 1 {
		name += "[" + strconv.Itoa(n) + "]"
	}
	if parent.path != "" {
		name = parent.path + "/" + name
	}
	r.stack = append(r.stack, element{path: name, field: -1, empty: len(t.Attr) == 0})
	for _, a := range attributes(t.Attr) {
		r.field(name+"@"+string(a.name), a.value)
	}
}

// flush keeps the text since the last tag; text in pieces is one value.
func (r *reader) flush() {
	text := trim(r.text)
	if n := len(r.stack); len(text) > 0 && n > 0 && r.stack[n-1].path != "/" {
		l := &r.stack[n-1]
		if l.empty = false; l.field < 0 {
			l.field = len(r.current.Fields)
			r.field(l.path, text)
		} else {
			r.current.Fields[l.field].Value += " " + string(text)
		}
	}
	r.text = r.text[:0]
}

func (r *reader) end() {
	n := len(r.stack) - 1
	l := r.stack[n]
	r.stack = r.stack[:n]
	switch {
	case l.path == "/":
	case l.path == "":
		r.out = append(r.out, r.current)
	case l.empty:
		r.field(l.path, nil)
	}
}

func (r *reader) field(path string, value []byte) {
	r.current.Fields = append(r.current.Fields, Field{path, string(trim(value))})
}

// Fields returns what a record keeps, with the paths that Details uses: all that is left when the body it came in is
// gone. What this version had no field for is not there.
func (r *Record) Fields() []Field {
	out := []Field{
		{"@type", string(r.Kind)}, {"@time", r.At.Format("2006-01-02T15:04:05.999Z07:00")},
		{"@correlatorIndex", strconv.FormatInt(r.Correlator, 10)},
	}
	subject := map[homeKind]string{inCall: "call", inLeg: "callLeg", inMedia: "recording"}
	h, ok := homeOf(r)
	if !ok {
		return out
	}
	of := subject[h.kind]
	if r.Kind == StreamingStart || r.Kind == StreamingEnd {
		of = "streaming"
	}
	out = append(out, Field{of + "@id", h.id})
	add := func(name, value string) {
		if value != "" {
			out = append(out, Field{of + "/" + name, value})
		}
	}
	truth := func(name string, is bool) {
		if is {
			add(name, "true")
		}
	}
	count := func(name string, n int64) {
		if n != 0 {
			add(name, strconv.FormatInt(n, 10))
		}
	}
	if h.kind != inCall {
		add("call", r.CallID)
	}
	if h.kind == inMedia {
		add("callLeg", r.LegID)
	}
	if r.InIVR {
		out = append(out, Field{of + "/ivr", ""})
	}
	add("name", r.Name)
	add("ownerName", r.OwnerName)
	add("callType", r.CallType)
	add("coSpace", r.Space)
	add("callCorrelator", r.CallCorrelator)
	add("state", r.State)
	truth("deactivated", r.Deactivated)
	add("displayName", r.DisplayName)
	add("remoteParty", r.RemoteParty)
	add("remoteAddress", r.RemoteAddress)
	add("localAddress", r.LocalAddress)
	add("type", r.Type)
	add("subType", r.SubType)
	add("direction", r.Direction)
	add("reason", r.Reason)
	count("callLegsCompleted", r.LegsCompleted)
	count("callLegsMaxActive", r.LegsMaxActive)
	count("durationSeconds", r.DurationSeconds)
	return out
}
