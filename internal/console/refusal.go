package console

import (
	"net/http"

	"github.com/tallystick/tallystick/internal/license"
)

// nowhere is the page of an address that does not exist.
func nowhere(v *visit) (sheet, error) {
	return sheet{}, license.Refuse(license.KindNotFound, "not-found", "go back to the start page", "there is no page at this address")
}

// refusal is the page of an error. Only the text of a license.Error is shown; any other error goes to the log.
func (c *console) refusal(w http.ResponseWriter, r *http.Request, err error) sheet {
	e := license.AsError(err)
	if e == nil {
		c.Log.ErrorContext(r.Context(), "internal error", "path", r.URL.Path, "request", w.Header().Get("X-Request-Id"), "error", err)
		e = license.Refuse(0, "internal", "try again; if it stays, look for the request in the server's log", "internal error")
	}
	s := sheet{status: http.StatusInternalServerError, title: "Something went wrong"}
	switch e.Kind {
	case license.KindNotFound:
		s.status, s.title = http.StatusNotFound, "Not found"
	case license.KindPermission:
		s.status, s.title = http.StatusForbidden, "Not permitted"
	case license.KindInvalid, license.KindRefused, license.KindConflict, license.KindTooLarge:
		s.status, s.title = http.StatusBadRequest, "That did not work"
	case license.KindUnknown:
		s.status, s.title = http.StatusUnauthorized, "Not signed in"
	case license.KindBusy, license.KindUnavailable:
		s.status, s.title = http.StatusServiceUnavailable, "Not available"
		w.Header().Set("Retry-After", "5")
	}
	s.body = refusalBody(s.title, e, w.Header().Get("X-Request-Id"))
	return s
}
