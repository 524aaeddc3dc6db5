package cdr

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of a body. All but MaxRecords are checked on the raw bytes before
// anything is decoded.
const (
	MaxBody    = 1 << 20 // bytes
	MaxRecords = 5000    // records of one post

	maxTag     = 8 << 10 // bytes between < and >
	maxDepth   = 16      // elements inside each other
	maxAttrs   = 64      // attributes of one tag
	maxID      = 128     // bytes of an identifier
	maxText    = 1024    // bytes kept of a name; the rest is cut
	maxUnknown = 8       // names kept in Record.Unknown
)

// Parse reads one body. Unknown elements, attributes, kinds and reasons are
// accepted, and so is a post without records. Refused, always with an *Error
// and never with a partial Post: malformed XML, a second root, a document type
// or entities of one's own, a missing session, a record without type, time or
// a correlatorIndex of 0 or more, and whatever exceeds the limits.
func Parse(body []byte) (Post, error) {
	if len(body) > MaxBody {
		return Post{}, &Error{Message: fmt.Sprintf("body of %d bytes, limit is %d", len(body), MaxBody), Line: 1}
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if post, ok := scan(body); ok {
		return post, nil
	}
	return decode(body)
}

// attr is an attribute with its value decoded.
type attr struct{ name, value []byte }

// builder turns the tags of a document into a Post. Both readers drive it, so
// what a document means is written once.
type builder struct {
	post    Post     // without its records
	records []Record // of the post
	rec     *Record  // the last one, while inside
	depth   int
	closed  bool // the root has ended
	inside  bool // in a record
	subject byte // element below the record: c call, l leg, m media, 0 other
	canon   []byte
	texts   []byte // of the record, one after the other: they become one string
	cuts    []cut
	call    string // named last: many records in a row name one
}

// cut is a part of texts and where it belongs.
type cut struct {
	to        *string
	from, end int
}

// builders are used again, with the room that they have.
var builders = sync.Pool{New: func() any { return &builder{canon: make([]byte, 0, 1024), texts: make([]byte, 0, 1024)} }}

// maxKept is for how many records a builder or encoder that is used again has room.
const maxKept = 64

func newBuilder() *builder { return builders.Get().(*builder) }

// done returns the post and gives the builder back.
func (b *builder) done() Post {
	post := b.post
	post.Records = append(make([]Record, 0, len(b.records)), b.records...)
	b.release()
	return post
}

// release gives the builder back. Nothing of what it read stays in it.
func (b *builder) release() {
	clear(b.records)
	clear(b.cuts)
	records := b.records[:0]
	if cap(records) > maxKept {
		records = nil
	}
	*b = builder{records: records, canon: b.canon[:0], texts: b.texts[:0], cuts: b.cuts[:0]}
	builders.Put(b)
}

// start takes a start tag and the trimmed text before it.
func (b *builder) start(before, name []byte, attrs []attr) error {
	if err := b.text(before); err != nil {
		return err
	}
	b.depth++
	switch {
	case b.depth > maxDepth:
		return fmt.Errorf("elements nested more than %d deep", maxDepth)
	case b.depth == 1:
		return b.root(name, attrs)
	case b.depth == 2:
		b.inside = string(name) == "record"
		if b.inside {
			return b.record(attrs)
		}
		return nil
	case !b.inside:
		return nil
	}
	b.canon = append(append(b.canon, 1), name...)
	for i := range attrs {
		b.canonAttr(&attrs[i])
	}
	if b.depth == 3 {
		return b.begin(name, attrs)
	}
	if b.depth == 4 && b.subject == 'l' {
		switch string(name) {
		case "ivr":
			b.rec.InIVR = true
		case "rxAudio", "txAudio":
			b.rec.HasMedia = true
		case "rxVideo", "txVideo":
			b.rec.HasMedia, b.rec.HasVideo = true, true
		}
	}
	return nil
}

// end takes the end of the element and the trimmed text before it.
func (b *builder) end(before, name []byte) error {
	if err := b.text(before); err != nil {
		return err
	}
	if b.inside {
		b.canon = append(b.canon, 5)
		switch b.depth {
		case 4:
			if err := b.field(name, before); err != nil {
				return err
			}
		case 2:
			if err := b.finish(); err != nil {
				return err
			}
		}
	}
	b.depth--
	b.closed = b.depth == 0
	return nil
}

func (b *builder) text(t []byte) error {
	if len(t) == 0 {
		return nil
	}
	if b.depth == 0 {
		return errors.New("text outside the root element")
	}
	if b.inside {
		b.canon = append(append(b.canon, 4), t...)
	}
	return nil
}

func (b *builder) canonAttr(a *attr) {
	b.canon = append(append(b.canon, 2), a.name...)
	b.canon = append(append(b.canon, 3), a.value...)
}

func (b *builder) root(name []byte, attrs []attr) (err error) {
	if b.closed {
		return fmt.Errorf("a second root element <%.40s>", name)
	}
	if string(name) != "records" {
		return fmt.Errorf("root element <%.40s>, want <records>", name)
	}
	for _, a := range attrs {
		switch string(a.name) {
		case "session":
			b.post.Session, err = identifier("session", a.value)
		case "callBridge":
			b.post.CallBridge, err = identifier("callBridge", a.value)
		}
		if err != nil {
			return err
		}
	}
	if b.post.Session == "" {
		return errors.New("<records> without a session")
	}
	return nil
}

func (b *builder) record(attrs []attr) (err error) {
	if len(b.records) == MaxRecords {
		return fmt.Errorf("more than %d records", MaxRecords)
	}
	b.records = append(b.records, Record{Session: b.post.Session, CallBridge: b.post.CallBridge, Correlator: -1})
	b.rec = &b.records[len(b.records)-1]
	b.canon, b.texts, b.cuts, b.subject = b.canon[:0], b.texts[:0], b.cuts[:0], 0
	for i := range attrs {
		a := &attrs[i]
		switch string(a.name) {
		case "type":
			v := trim(a.value)
			if known := word(v); known != "" {
				b.rec.Kind = Kind(known)
			} else {
				b.rec.Kind = Kind(clipped(v))
			}
		case "time":
			b.rec.At, err = instant(a.value)
		case "recordIndex":
			b.rec.RecordIndex, err = index("recordIndex", a.value)
		case "correlatorIndex":
			b.rec.Correlator, err = index("correlatorIndex", a.value)
		case "numPreceedingRecordsMissing": // spelled so by call bridges
			b.rec.Missing, err = index("numPreceedingRecordsMissing", a.value)
		default:
			b.canonAttr(a)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case b.rec.Kind == "":
		return errors.New("<record> without a type")
	case len(b.rec.Kind) > maxID:
		return fmt.Errorf("record type longer than %d bytes", maxID)
	case b.rec.At.IsZero():
		return errors.New("<record> without a time")
	case b.rec.Correlator < 0:
		return errors.New("<record> without a correlatorIndex")
	}
	return nil
}

// begin takes the element that says what the record is about.
func (b *builder) begin(name []byte, attrs []attr) (err error) {
	var id *string
	switch string(name) {
	case "call":
		b.subject, id = 'c', &b.rec.CallID
	case "callLeg":
		b.subject, id = 'l', &b.rec.LegID
	case "recording", "streaming":
		b.subject, id = 'm', &b.rec.MediaID
	default:
		b.subject = 0
		b.unknown(name)
		return nil
	}
	for _, a := range attrs {
		if string(a.name) == "id" {
			err = b.identifier(id, string(name), a.value)
		}
	}
	return err
}

// field takes an element directly below the subject.
func (b *builder) field(name, v []byte) (err error) {
	r := b.rec
	switch b.subject {
	case 'c':
		switch string(name) {
		case "name":
			b.keep(&r.Name, v)
		case "ownerName":
			b.keep(&r.OwnerName, v)
		case "callType":
			b.word(&r.CallType, v)
		case "coSpace":
			err = b.identifier(&r.Space, "coSpace", v)
		case "callCorrelator":
			err = b.identifier(&r.CallCorrelator, "callCorrelator", v)
		case "durationSeconds":
			b.number(&r.DurationSeconds, name, v)
		case "callLegsMaxActive":
			b.number(&r.LegsMaxActive, name, v)
		case "callLegsCompleted":
			b.number(&r.LegsCompleted, name, v)
		case "tenant", "cdrTag", "endpointRecorded":
		default:
			b.unknown(name)
		}
	case 'l':
		err = b.legField(name, v)
	case 'm':
		switch string(name) {
		case "call":
			err = b.identifier(&r.CallID, "call", v)
		case "callLeg":
			err = b.identifier(&r.LegID, "callLeg", v)
		case "path", "recorderUrl", "recorderUri", "streamUrl", "streamerUrl":
		default:
			b.unknown(name)
		}
	}
	return err
}

func (b *builder) legField(name, v []byte) (err error) {
	r := b.rec
	switch string(name) {
	case "call":
		err = b.identifier(&r.CallID, "call", v)
	case "state":
		b.word(&r.State, v)
	case "deactivated":
		r.Deactivated = string(v) == "true" || string(v) == "1"
	case "displayName":
		b.keep(&r.DisplayName, v)
	case "remoteParty":
		b.keep(&r.RemoteParty, v)
	case "remoteAddress":
		b.keep(&r.RemoteAddress, v)
	case "localAddress":
		b.keep(&r.LocalAddress, v)
	case "type":
		b.word(&r.Type, v)
	case "subType", "subtype": // both spellings are in use
		b.word(&r.SubType, v)
	case "direction":
		b.word(&r.Direction, v)
	case "reason":
		b.word(&r.Reason, v)
	case "durationSeconds":
		b.number(&r.DurationSeconds, name, v)
	case "ivr", "rxAudio", "txAudio", "rxVideo", "txVideo", "cdrTag", "guestConnection", "recording", "streaming",
		"lyncSubType", "ownerId", "sipCallId", "groupId", "replacesSipCallId", "canMove", "movedCallLeg",
		"movedCallLegCallBridge", "confirmationStatus", "remoteTeardown", "encryptedMedia", "unencryptedMedia",
		"activatedDuration", "mediaUsagePercentages", "maxScreens", "alarm":
	default:
		b.unknown(name)
	}
	return err
}

// number reads a count. One that cannot be read is unknown, not a reason to
// refuse the post: the bridge would send it for ever.
func (b *builder) number(to *int64, name, v []byte) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < 0 {
		b.unknown(name)
		return
	}
	*to = n
}

func (b *builder) unknown(name []byte) {
	if len(b.rec.Unknown) < maxUnknown {
		b.rec.Unknown = append(b.rec.Unknown, clipped(name))
	}
}

func (b *builder) finish() error {
	b.canon = append(append(b.canon, 6), b.rec.Kind...)
	b.canon = strconv.AppendInt(append(b.canon, 6), b.rec.At.UnixMilli(), 10)
	b.canon = strconv.AppendInt(append(b.canon, 6), b.rec.Correlator, 10)
	sum := sha256.Sum256(b.canon)
	b.rec.Digest = [16]byte(sum[:16])
	b.inside = false
	texts := string(b.texts)
	for i := range b.cuts {
		c := &b.cuts[i]
		*c.to = texts[c.from:c.end]
	}
	if b.rec.CallID != "" {
		b.call = b.rec.CallID
	}
	return nil
}

// trim cuts white space as XML has it; bytes.Trim takes a quarter of Parse.
func trim(v []byte) []byte {
	for len(v) > 0 && isSpace(v[0]) {
		v = v[1:]
	}
	for len(v) > 0 && isSpace(v[len(v)-1]) {
		v = v[:len(v)-1]
	}
	return v
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func identifier(what string, v []byte) (string, error) {
	v, err := identifierBytes(what, v)
	return string(v), err
}

func identifierBytes(what string, v []byte) ([]byte, error) {
	v = trim(v)
	if len(v) > maxID {
		return nil, fmt.Errorf("%s longer than %d bytes", what, maxID)
	}
	if anyOf(v)&upper != 0 {
		return bytes.ToLower(v), nil
	}
	return v, nil
}

// identifier takes an identifier into a field of the record.
func (b *builder) identifier(to *string, what string, v []byte) error {
	v, err := identifierBytes(what, v)
	if err != nil {
		return err
	}
	if string(v) == b.call {
		b.put(to, b.call)
		return nil
	}
	b.keep(to, v)
	return nil
}

// keep takes a text into a field of the record. A field that comes twice has the last one.
func (b *builder) keep(to *string, v []byte) {
	if len(v) > maxText {
		b.put(to, clipped(v))
		return
	}
	from := len(b.texts)
	b.texts = append(b.texts, v...)
	b.cuts = append(b.cuts, cut{to, from, len(b.texts)})
}

// put is keep for a text that stands by itself.
func (b *builder) put(to *string, text string) {
	for i := range b.cuts {
		if b.cuts[i].to == to {
			b.cuts[i].to = new(string)
		}
	}
	*to = text
}

// word takes the text of a field that has few values.
func (b *builder) word(to *string, v []byte) {
	if known := word(v); known != "" {
		b.put(to, known)
		return
	}
	b.keep(to, v)
}

func index(what string, v []byte) (int64, error) {
	n, err := strconv.ParseInt(string(trim(v)), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s %.40q is not a number of 0 or more", what, v)
	}
	return n, nil
}

func instant(v []byte) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, string(trim(v)))
	if err != nil || t.Unix() <= 0 {
		return time.Time{}, fmt.Errorf("time %.40q is not an RFC 3339 time after 1970", v)
	}
	return time.UnixMilli(t.UnixMilli()).UTC(), nil
}

// clipped keeps the head of a long text, cut between characters.
func clipped(v []byte) string {
	if len(v) <= maxText {
		return string(v)
	}
	return strings.ToValidUTF8(string(v[:maxText]), "")
}

// word returns a text that is common in fields of few values, and nothing for any other.
func word(v []byte) string {
	switch string(v) {
	case string(CallStart):
		return string(CallStart)
	case string(CallEnd):
		return string(CallEnd)
	case string(CallLegStart):
		return string(CallLegStart)
	case string(CallLegUpdate):
		return string(CallLegUpdate)
	case string(CallLegEnd):
		return string(CallLegEnd)
	case StateConnected:
		return StateConnected
	case "coSpace":
		return "coSpace"
	case "acano":
		return "acano"
	case "sip":
		return "sip"
	case "incoming":
		return "incoming"
	case "outgoing":
		return "outgoing"
	case "remoteTeardown":
		return "remoteTeardown"
	default:
		return ""
	}
}
