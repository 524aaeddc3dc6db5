package cdr

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	post    Post
	rec     Record
	depth   int
	closed  bool // the root has ended
	inside  bool // in a record
	subject byte // element below the record: c call, l leg, m media, 0 other
	canon   []byte
}

func newBuilder(body []byte) *builder {
	n := min(bytes.Count(body, []byte("<record ")), MaxRecords)
	return &builder{post: Post{Records: make([]Record, 0, n)}, canon: make([]byte, 0, 1024)}
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
	if len(b.post.Records) == MaxRecords {
		return fmt.Errorf("more than %d records", MaxRecords)
	}
	b.rec = Record{Session: b.post.Session, CallBridge: b.post.CallBridge, Correlator: -1}
	b.canon, b.subject = b.canon[:0], 0
	for i := range attrs {
		a := &attrs[i]
		switch string(a.name) {
		case "type":
			b.rec.Kind = Kind(word(trim(a.value)))
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
			*id, err = identifier(string(name), a.value)
		}
	}
	return err
}

// field takes an element directly below the subject.
func (b *builder) field(name, v []byte) (err error) {
	r := &b.rec
	switch b.subject {
	case 'c':
		switch string(name) {
		case "name":
			r.Name = clipped(v)
		case "ownerName":
			r.OwnerName = clipped(v)
		case "callType":
			r.CallType = word(v)
		case "coSpace":
			r.Space, err = identifier("coSpace", v)
		case "callCorrelator":
			r.CallCorrelator, err = identifier("callCorrelator", v)
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
			r.CallID, err = identifier("call", v)
		case "callLeg":
			r.LegID, err = identifier("callLeg", v)
		case "path", "recorderUrl", "recorderUri", "streamUrl", "streamerUrl":
		default:
			b.unknown(name)
		}
	}
	return err
}

func (b *builder) legField(name, v []byte) (err error) {
	r := &b.rec
	switch string(name) {
	case "call":
		r.CallID, err = identifier("call", v)
	case "state":
		r.State = word(v)
	case "deactivated":
		r.Deactivated = string(v) == "true" || string(v) == "1"
	case "displayName":
		r.DisplayName = clipped(v)
	case "remoteParty":
		r.RemoteParty = clipped(v)
	case "remoteAddress":
		r.RemoteAddress = clipped(v)
	case "localAddress":
		r.LocalAddress = clipped(v)
	case "type":
		r.Type = word(v)
	case "subType", "subtype": // both spellings are in use
		r.SubType = word(v)
	case "direction":
		r.Direction = word(v)
	case "reason":
		r.Reason = word(v)
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
	b.post.Records = append(b.post.Records, b.rec)
	b.inside = false
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
	v = trim(v)
	if len(v) > maxID {
		return "", fmt.Errorf("%s longer than %d bytes", what, maxID)
	}
	for _, c := range v {
		if 'A' <= c && c <= 'Z' {
			return string(bytes.ToLower(v)), nil
		}
	}
	return string(v), nil
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

// word returns the text of a field that has few values, without allocating for
// those that are common.
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
		return clipped(v)
	}
}
