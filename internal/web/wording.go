package web

import (
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// worded says in a sentence what a check of the REST layer found, and a hint where there is a better one than the contract
// itself. Names stand as the caller wrote them, without the part of the request they were found in; values are not repeated.
// What is not known here stands as it is.
func worded(e *huma.ErrorDetail) (sentence, hint string) {
	name := e.Location
	for _, part := range []string{"body.", "query.", "path.", "header."} {
		if rest, ok := strings.CutPrefix(name, part); ok {
			name = rest
			break
		}
	}
	if name == "body" || name == "" {
		name = "the body"
	}
	m := e.Message
	switch m {
	case "unexpected property", "unknown query parameter":
		return name + " is not known here", "check the spelling; /api/v1/openapi.json has every name"
	case "expected integer", "invalid integer":
		return name + " must be a whole number", "write digits only"
	case "expected number", "invalid number", "invalid float":
		return name + " must be a number", "write digits only"
	case "expected boolean", "invalid boolean":
		return name + " must be true or false", "write true or false"
	case "expected string":
		return name + " must be text", "put it in quotation marks"
	case "expected array":
		return name + " must be a list", ""
	case "expected object":
		return name + " must be an object", ""
	}
	for _, w := range []struct{ before, after, says, unit, hint string }{
		{"expected number >= ", "", " must be at least ", "", "write %s or more"},
		{"expected number <= ", "", " must be at most ", "", "write %s or less"},
		{"expected length >= ", "", " must have at least ", " characters", "write more"},
		{"expected length <= ", "", " must have at most ", " characters", "write less"},
		{"expected array length >= ", "", " must have at least ", " entries", "send more"},
		{"expected array length <= ", "", " must have at most ", " entries", "send fewer at once"},
	} {
		bound, ok := strings.CutPrefix(m, w.before)
		if !ok {
			continue
		}
		if f, err := strconv.ParseFloat(bound, 64); err == nil { // large ones come as 1e+06
			bound = strconv.FormatFloat(f, 'f', -1, 64)
		}
		return name + w.says + bound + w.unit, strings.Replace(w.hint, "%s", bound, 1)
	}
	if rest, ok := strings.CutPrefix(m, `expected value to be one of "`); ok {
		return name + " must be one of " + strings.TrimSuffix(rest, `"`), "choose one of them"
	}
	if rest, ok := strings.CutPrefix(m, "expected required property "); ok {
		missing := strings.TrimSuffix(rest, " to be present")
		if name != "the body" {
			missing = name + "." + missing
		}
		return missing + " is missing", ""
	}
	return e.Location + ": " + m, ""
}
