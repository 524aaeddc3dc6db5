package web

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

// writeCursor makes the cursor of the next page from the key of a page's last row: what the list is ordered by, ids and
// never names, with spaces between them. No key is no cursor.
func writeCursor(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// keyPart says whether a text may be a part of a list's keys.
type keyPart func(string) bool

// after is the key that the page begins after, empty for the first page. A cursor whose key is not made of the list's parts
// is refused.
func (p Paging) after(parts ...keyPart) (string, error) {
	if p.Cursor == "" {
		return "", nil
	}
	key, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	found := strings.Split(string(key), " ")
	good := err == nil && len(found) == len(parts) && writeCursor(string(key)) == p.Cursor
	for i := 0; good && i < len(parts); i++ {
		good = parts[i](found[i])
	}
	if !good {
		return "", license.Refuse(license.KindInvalid, "bad-cursor", "pass the next of the page before, or none", "%.100q is no cursor of this list", p.Cursor)
	}
	return string(key), nil
}

// page is the page of a list whose keys are ids with this prefix.
func (p Paging) page(prefix string) (authority.Page, error) {
	after, err := p.after(idPart(prefix))
	return authority.Page{After: after, Limit: p.Limit}, err
}

// idPart is the part of ids with a prefix.
func idPart(prefix string) keyPart { return func(s string) bool { return trust.ValidID(prefix, s) } }

func numberPart(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}

func hourPart(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil
}

func tagPart(s string) bool {
	_, err := license.ParseTag(s)
	return err == nil
}

// meetingPart is the part that the conference engine makes: the begin of a meeting and its id.
func meetingPart(s string) bool {
	began, name, _ := strings.Cut(s, "_")
	return numberPart(began) && trust.ValidID("mtg", name)
}
