package directory

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/meeting"
)

// guidOfBytes writes the 16 bytes of an objectGUID as directory tools show it: its first three groups are numbers kept with the
// lowest byte first. Those who print the bytes as they come write meeting.GUID.Swapped of it.
func guidOfBytes(b []byte) (meeting.GUID, bool) {
	var g meeting.GUID
	if len(b) != len(g) {
		return g, false
	}
	copy(g[:], b)
	return g.Swapped(), true
}

// CheckJID says what is wrong with an identifier such as alice@acme.example; nothing for a good one. Directories may hold
// anything, so what would be read in two ways by those who get it on is refused: several @, spaces, control and invisible
// characters, quotation marks and brackets.
func CheckJID(jid string) string {
	local, domain, at := strings.Cut(jid, "@")
	switch {
	case jid == "":
		return "it is empty"
	case len(jid) > MaxValue:
		return "it is too long"
	case !utf8.ValidString(jid):
		return "it is no text"
	case !at || domain == "":
		return "it has no domain"
	case local == "":
		return "nothing stands before the @"
	case strings.ContainsFunc(jid, unprintable) || strings.ContainsFunc(jid, unicode.IsSpace):
		return "it has spaces, control or invisible characters"
	case strings.ContainsAny(local, `"&'/:<>\`) || strings.ContainsAny(domain, `"&'/<>@\`):
		return "it has characters that no such identifier has"
	}
	return ""
}

// unprintable characters make text look other than it is: control characters, and format characters such as those that turn
// the direction of writing. Joiners, which some scripts need, are allowed.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' || r == '\u2028' || r == '\u2029'
}

// clean takes unprintable characters out of a name and cuts spaces.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unprintable(r) {
			return -1
		}
		return r
	}, s))
}

// Fold makes identifiers comparable.
func Fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
