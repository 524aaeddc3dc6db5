package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

// statusOf is the one table from kinds of refusals to status numbers.
func statusOf(k license.Kind) int {
	switch k {
	case license.KindInvalid:
		return http.StatusBadRequest
	case license.KindRefused:
		return http.StatusUnprocessableEntity
	case license.KindNotFound:
		return http.StatusNotFound
	case license.KindConflict:
		return http.StatusConflict
	case license.KindPermission:
		return http.StatusForbidden
	case license.KindUnknown:
		return http.StatusUnauthorized
	case license.KindTooLarge:
		return http.StatusRequestEntityTooLarge
	case license.KindBusy:
		return http.StatusTooManyRequests
	case license.KindUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// retryAfter is how many seconds a caller waits before the next attempt; 0 for statuses that waiting does not mend.
func retryAfter(status int) int {
	switch status {
	case http.StatusTooManyRequests:
		return 1
	case http.StatusServiceUnavailable:
		return 5
	}
	return 0
}

// problem is a problem document on its way out.
type problem struct{ api.Problem }

// GetStatus and the next two make it an error that huma writes as it is.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if seconds := retryAfter(p.Status); seconds > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return h
}

const problemType = "application/problem+json"

func newProblem(status int, code, hint, detail string, args ...any) *problem {
	return &problem{api.Problem{Title: http.StatusText(status), Status: status, Code: code, Hint: hint, Detail: fmt.Sprintf(detail, args...)}}
}

func internalProblem(request string) *problem {
	return newProblem(http.StatusInternalServerError, "internal", "look for the request's id in the server's log", "internal error (request %s)", request)
}

// problemOf renders an error. What is no refusal is logged here, once, and leaves as an internal error.
func (s *server) problemOf(ctx context.Context, request string, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	e := license.AsError(err)
	if e == nil {
		if ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "internal error", "request", request, "error", err)
		}
		return internalProblem(request)
	}
	if e.Kind == license.KindUnavailable && e.Err != nil {
		s.Log.WarnContext(ctx, "unavailable", "request", request, "error", e)
	}
	return newProblem(statusOf(e.Kind), e.Code, e.Hint, "%s", e.Message)
}

// writeProblem writes a problem document where huma does not.
func writeProblem(w http.ResponseWriter, p *problem) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller may be gone
}

// fromHuma rewords a refusal of the REST layer. A body or a parameter that is not of the documented form is "invalid" under
// one status, wherever it was found; values are not repeated, as they may be secret.
func fromHuma(e *huma.ErrorModel, request string) *problem {
	status, code, hint := e.Status, "invalid", "compare with /api/v1/openapi.json"
	detail := e.Detail
	switch {
	case status == http.StatusRequestEntityTooLarge:
		code, hint = "too-large", "send less at once"
	case status == http.StatusUnsupportedMediaType:
		code, hint = "content-type", "send JSON with Content-Type: application/json"
		detail = "the body's type is not understood here"
	case status == http.StatusRequestTimeout:
		code, hint, detail = "too-slow", "send the request again", "the body did not arrive in time"
	case status >= http.StatusInternalServerError:
		return internalProblem(request)
	default:
		status = http.StatusBadRequest
		for i, d := range e.Errors {
			sentence, help := worded(d)
			if i == 0 {
				detail = sentence
			} else {
				detail += "; " + sentence
			}
			if help != "" && len(e.Errors) == 1 {
				hint = help
			}
		}
	}
	return newProblem(status, code, hint, "%s", detail)
}
