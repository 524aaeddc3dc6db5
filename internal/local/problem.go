package local

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

// maxBody bounds every body in bytes: the longest is an authorization of 64 KiB as text in a document.
const maxBody = 192 << 10

// problem is a refusal on the wire (RFC 9457) with a code and a hint.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Hint   string `json:"hint,omitempty"`
}

// problemOf is the one table from errors to status numbers.
func problemOf(err error) (p problem, retryAfter time.Duration) {
	if e := license.AsError(err); e != nil {
		p = problem{Detail: e.Message, Code: e.Code, Hint: e.Hint}
		switch e.Kind {
		case license.KindInvalid:
			p.Status = http.StatusBadRequest
		case license.KindRefused:
			p.Status = http.StatusUnprocessableEntity
		case license.KindNotFound:
			p.Status = http.StatusNotFound
		case license.KindConflict:
			p.Status = http.StatusConflict
		case license.KindPermission:
			p.Status = http.StatusForbidden
		case license.KindUnknown:
			p.Status = http.StatusUnauthorized
		case license.KindTooLarge:
			p.Status = http.StatusRequestEntityTooLarge
		case license.KindBusy:
			p.Status = http.StatusTooManyRequests
		default:
			p.Status = http.StatusServiceUnavailable
		}
	} else if away, ok := errors.AsType[*agent.Unreachable](err); ok {
		retryAfter = max(away.RetryAfter, time.Second)
		p = problem{
			Status: http.StatusServiceUnavailable, Detail: away.Error(), Code: "unreachable",
			Hint: "find out why with the doctor; the product goes on working, and the same request may be repeated",
		}
	} else {
		p = problem{Status: http.StatusInternalServerError, Detail: err.Error(), Code: "internal", Hint: "look at the log of the daemon"}
	}
	p.Title = http.StatusText(p.Status)
	return p, retryAfter
}

func writeProblem(w http.ResponseWriter, err error) {
	p, after := problemOf(err)
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(after.Round(time.Second)/time.Second)))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, p.Status, p)
}

// write sends a document; the caller may be gone.
func write(w http.ResponseWriter, status int, doc any) {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(doc)
}

// read reads a JSON body strictly: one document, no unknown member, at most maxBody bytes. The type must be JSON, which a
// form of a web page cannot send without asking first.
func read(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return license.Refuse(license.KindInvalid, "content-type", "send Content-Type: application/json", "the body is not said to be JSON")
	}
	dec := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return license.Refuse(license.KindTooLarge, "too-large", "send less at once", "the body is larger than %d bytes", maxBody)
		}
		return license.Refuse(license.KindInvalid, "malformed", "docs/local-rest.md shows the documents", "the body is not of the documented form: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return license.Refuse(license.KindInvalid, "malformed", "send one document", "something follows after the body's document")
	}
	return nil
}
