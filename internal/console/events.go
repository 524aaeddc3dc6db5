package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

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

// pair is one value of an event's data, by name.
type pair struct{ name, value string }

// pairs writes the data of an event for reading; lists are counted, the whole is in the event itself.
func pairs(data json.RawMessage) []pair {
	var values map[string]any
	if json.Unmarshal(data, &values) != nil {
		return nil
	}
	var out []pair
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch value := values[name].(type) {
		case nil:
		case []any:
			out = append(out, pair{name, counted(int64(len(value)), "entry", "entries")})
		case map[string]any:
			out = append(out, pair{name, counted(int64(len(value)), "value", "values")})
		case float64:
			out = append(out, pair{name, strconv.FormatFloat(value, 'f', -1, 64)})
		default:
			if text := fmt.Sprint(value); text != "" {
				out = append(out, pair{name, text})
			}
		}
	}
	return out
}
