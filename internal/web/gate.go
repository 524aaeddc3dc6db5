package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/wire"
)

// gate hands one envelope of a product to the authority and brings the answer back. A refusal may be an envelope too: the
// status is for people and proxies, the product reads what is signed.
func (s *server) gate(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("verb") == "sync" {
		s.sync(w, r)
		return
	}
	body, err := s.readBody(r, wire.MaxMessage)
	var envelope []byte
	if err == nil {
		envelope, err = s.Authority.Machine(r.Context(), r.PathValue("verb"), body)
	}
	status := http.StatusOK
	if err != nil {
		p := s.problemOf(r.Context(), w.Header().Get(requestHeader), err)
		if envelope == nil {
			writeProblem(w, p)
			return
		}
		status = p.Status
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/jose"}
	h["Content-Length"] = []string{strconv.Itoa(len(envelope))}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	w.WriteHeader(status)
	_, _ = w.Write(envelope) //nolint:gosec // signed and of a type that no browser shows; the product asks again when it was lost
}

// receive takes the call-detail records that a call bridge posts. Only 200 means that they are stored; a call bridge looks
// at nothing but the status, and the text is for people. The type of the body is not looked at, as call bridges differ in it.
func (s *server) receive(w http.ResponseWriter, r *http.Request) {
	room := rooms.Get().(*bytes.Buffer)
	body, err := s.readInto(room, r, cdr.MaxBody)
	switch e := license.AsError(err); {
	case err == nil:
		if _, err = s.Conference.Receive(r.Context(), r.PathValue("receiver"), body); err == nil && room.Cap() <= 2*firstRead {
			rooms.Put(room)
		}
	case e != nil && e.Kind == license.KindTooLarge:
		if body == nil {
			body, _ = io.ReadAll(io.LimitReader(r.Body, firstRead)) // what came of it is the rest of the truth
		}
		if noted := s.Conference.ReceiveHead(r.Context(), r.PathValue("receiver"), body, r.ContentLength); license.AsError(noted) == nil {
			s.Log.WarnContext(r.Context(), "a body that was too large is not noted", "error", noted)
		}
	}
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	p := s.problemOf(r.Context(), w.Header().Get(requestHeader), err)
	if seconds := retryAfter(p.Status); seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	http.Error(w, p.Detail+"\n"+p.Hint, p.Status)
}

// firstRead is how much room a body gets before it has come: a claimed length alone costs no more than this.
const firstRead = 16 << 10

// maxReading is how many bytes of bodies may be in memory that have not come to their end: callers who let them drip do not
// get more than this together.
const maxReading = 128 << 20

// arriving is a body on its way, counted with all others.
type arriving struct {
	io.Reader
	all *atomic.Int64
	own int64
}

var errCrowded = license.Refuse(license.KindUnavailable, "busy", "send it again; a call bridge does so by itself", "too many bodies arrive at once")

// Read implements io.Reader.
func (a *arriving) Read(b []byte) (int, error) {
	n, err := a.Reader.Read(b)
	a.own += int64(n)
	if a.all.Add(int64(n)) > maxReading && a.own > firstRead {
		return n, errCrowded
	}
	return n, err
}

// rooms are for bodies of call records that nobody needs any more: those whose records are on the disk.
var rooms = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readBody reads a body of at most limit bytes, which belongs to the caller.
func (s *server) readBody(r *http.Request, limit int64) ([]byte, error) {
	return s.readInto(new(bytes.Buffer), r, limit)
}

// readInto is readBody with the room of a buffer, which the body shares.
func (s *server) readInto(b *bytes.Buffer, r *http.Request, limit int64) ([]byte, error) {
	if err := bounded(r, limit); err != nil {
		return nil, err
	}
	from := &arriving{Reader: io.LimitReader(r.Body, limit+1), all: &s.arriving}
	defer func() { s.arriving.Add(-from.own) }()
	b.Reset()
	// ReadFrom wants room for one read more when the end is reached.
	b.Grow(int(min(max(r.ContentLength, 0), firstRead)) + bytes.MinRead)
	_, err := b.ReadFrom(from)
	switch {
	case errors.Is(err, errCrowded):
		return nil, errCrowded
	case int64(b.Len()) > limit:
		return b.Bytes(), tooLarge(limit)
	case err != nil:
		return nil, &license.Error{Kind: license.KindInvalid, Code: "cut-off", Message: "the body did not arrive whole", Hint: "send it again", Err: err}
	}
	return b.Bytes(), nil
}

// How much of a body that is too large is read and thrown away, and for how long.
const (
	maxDiscard  = 16 << 20
	discardTime = 5 * time.Second
)

// discard reads the rest of a body that is refused as too large: a caller that writes all before it reads would otherwise
// find a broken connection in place of the answer. The connection ends with the answer.
func (a *answer) discard() {
	r := a.request
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if r.ProtoMajor == 1 {
		a.Header().Set("Connection", "close")
	}
	if r.ContentLength >= 0 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return // the length alone was refused, so the caller is not sending
	}
	ctx, cancel := context.WithTimeout(r.Context(), discardTime)
	defer cancel()
	until, _ := ctx.Deadline() // on the clock of the system, as connections want it
	if http.NewResponseController(a.ResponseWriter).SetReadDeadline(until) == nil {
		_, _ = io.CopyN(io.Discard, r.Body, maxDiscard) // the answer is the same
	}
}

// bounded refuses a body that says that it is too long, and every encoding: what is small on the way may be large here.
func bounded(r *http.Request, limit int64) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return newProblem(http.StatusUnsupportedMediaType, "content-encoding", "send the body as it is", "bodies with Content-Encoding are not taken")
	}
	if r.ContentLength > limit {
		return tooLarge(limit)
	}
	return nil
}

func tooLarge(limit int64) error {
	return license.Refuse(license.KindTooLarge, "too-large", "send less at once", "the body is larger than %d bytes", limit)
}

// live says that the process answers.
func live(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok\n") }

// ready says that the database answers too.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.Authority.Ready(r.Context()); err != nil {
		if !errors.Is(err, r.Context().Err()) {
			s.Log.WarnContext(r.Context(), "not ready", "error", err)
		}
		say(w, http.StatusServiceUnavailable, "the database does not answer\n")
		return
	}
	say(w, http.StatusOK, "ok\n")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the caller may be gone
}

// root serves the root certificate, which is no secret; what makes it trusted is that its fingerprint was learned elsewhere.
func (s *server) root(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(s.Authority.Keys().RootPEM()) // the caller may be gone
}

func (s *server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.openAPI) // the caller may be gone
}
