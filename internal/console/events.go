package console

import (
	"encoding/json"
	"strings"

	"github.com/tallystick/tallystick/internal/authority"
)

// events lists the account's chain, the oldest first.
func (c *console) events(v *visit) (sheet, error) {
	list, next, err := c.Authority.Events(v.Context(), v.who, v.account.ID, authority.Page{After: v.URL.Query().Get("after"), Limit: pageRows})
	if err != nil {
		return sheet{}, err
	}
	return sheet{title: "Events", tab: "events", body: eventsBody(v, list, next)}, nil
}

// detail is the data of an event as text; short enough to read in a list.
func detail(data json.RawMessage) string {
	const longest = 400
	text := string(data)
	if text == "null" {
		return ""
	}
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
