package directory

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/meeting"
)

// Entry is an entry of a directory server. Attributes are by their names in lower case.
type Entry struct {
	DN         string
	Attributes map[string][][]byte
}

// text returns the first value of an attribute, if there is one.
func (e Entry) text(attribute string) (string, bool) {
	values := e.Attributes[attribute]
	if len(values) == 0 {
		return "", false
	}
	return string(values[0]), true
}

// The attributes that identify an entry for good, in order of preference, and those that are always asked for.
const (
	objectGUID  = "objectguid"
	entryUUID   = "entryuuid"
	nsUniqueID  = "nsuniqueid"
	mail        = "mail"
	defaultMail = "$mail$"
)

// guid is the identifier of the entry in the form of a GUID (domain rule 35); empty when it has none.
func (e Entry) guid() string {
	if values := e.Attributes[objectGUID]; len(values) > 0 {
		if g, ok := guidOfBytes(values[0]); ok {
			return g.String()
		}
	}
	for _, attribute := range []string{objectGUID, entryUUID, nsUniqueID} {
		text, _ := e.text(attribute)
		if g, ok := meeting.ParseGUID(text); ok {
			return g.String()
		}
	}
	return ""
}

// MappingText is a mapping as it is typed.
type MappingText struct {
	JID       string `json:"jid"`
	Name      string `json:"name,omitempty"`
	UserID    string `json:"userId,omitempty"`
	Email     string `json:"email,omitempty"`
	CDRTag    string `json:"cdrTag,omitempty"`
	SpaceURI  string `json:"spaceUri,omitempty"`
	SpaceURI2 string `json:"spaceSecondaryUri,omitempty"`
	CallID    string `json:"spaceCallId,omitempty"`
}

// Mapping makes users of entries.
type Mapping struct {
	jid, name, userID, email, cdrTag Expression
	spaceURI, spaceURI2, callID      Expression
}

// ParseMapping reads a mapping; only the expression for the JID is needed. Without one for the e-mail address, $mail$ is it.
func ParseMapping(t MappingText) (Mapping, error) {
	var m Mapping
	if t.Email == "" {
		t.Email = defaultMail
	}
	for _, x := range []struct {
		to   *Expression
		text string
	}{{&m.jid, t.JID}, {&m.name, t.Name}, {&m.userID, t.UserID}, {&m.email, t.Email}, {&m.cdrTag, t.CDRTag},
		{&m.spaceURI, t.SpaceURI}, {&m.spaceURI2, t.SpaceURI2}, {&m.callID, t.CallID}} {
		parsed, err := ParseExpression(x.text)
		if err != nil {
			return Mapping{}, err
		}
		*x.to = parsed
	}
	if len(m.jid.Attributes()) == 0 {
		return Mapping{}, badExpression("name an attribute, as in $sAMAccountName$@example.com", t.JID, "the JID would be the same for everybody")
	}
	return m, nil
}

func (m Mapping) all() []Expression {
	return []Expression{m.jid, m.name, m.userID, m.email, m.cdrTag, m.spaceURI, m.spaceURI2, m.callID}
}

// Attributes are the attributes to ask a server for.
func (m Mapping) Attributes() []string {
	names := []string{objectGUID, entryUUID, nsUniqueID, mail}
	for _, x := range m.all() {
		names = append(names, x.Attributes()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// The reasons for which entries are left out.
const (
	SkipMissing = "missing-attribute" // one that the JID is made of
	SkipJID     = "bad-jid"
	SkipValue   = "bad-value" // no text, or too long
)

// Skip is an entry that was left out and why.
type Skip struct {
	DN     string `json:"dn"`
	Code   string `json:"code"`
	Detail string `json:"detail"` // the attribute, or what is wrong
}

// Text says why an entry is left out, in a few words.
func (k Skip) Text() string {
	switch k.Code {
	case SkipMissing:
		return "it has no " + k.Detail
	case SkipJID:
		return "the JID is none: " + k.Detail
	case SkipValue:
		return "its " + k.Detail + " is no text, or too long"
	}
	return k.Code
}

// Import is what a mapping made of entries.
type Import struct {
	Users   []User // by JID
	Entries int
	Skipped []Skip  // by DN
	Clashes []Clash // by code and value
}

// candidate is an entry with the user it would be.
type candidate struct {
	dn   string
	user User
	uris []string
	call string
}

// Import makes users of entries. Entries without an attribute that the JID is made of are left out, and so are those whose JID
// is none, and all but the first, by their distinguished names, of those that are the same user (domain rule 32).
func (m Mapping) Import(entries []Entry) Import {
	out := Import{Entries: len(entries)}
	found := make([]candidate, 0, len(entries))
	for _, e := range entries {
		c, skip := m.user(e)
		if skip.Code != "" {
			out.Skipped = append(out.Skipped, skip)
			continue
		}
		found = append(found, c)
	}
	slices.SortFunc(out.Skipped, func(a, b Skip) int { return cmp.Or(cmp.Compare(a.DN, b.DN), cmp.Compare(a.Detail, b.Detail)) })
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(Fold(a.dn), Fold(b.dn)), cmp.Compare(a.dn, b.dn), compareUsers(a.user, b.user))
	})
	jids, uris, calls := map[string]string{}, map[string]string{}, map[string]string{}
	clash := func(code string, taken map[string]string, value, dn string) bool {
		kept, twice := taken[value]
		if twice {
			out.Clashes = append(out.Clashes, Clash{Code: code, Value: value, Kept: kept, Dropped: dn})
		} else {
			taken[value] = dn
		}
		return twice
	}
	for _, c := range found {
		dn := Printable(c.dn)
		if clash(ClashJID, jids, c.user.JID, dn) {
			continue
		}
		for _, uri := range c.uris {
			clash(ClashURI, uris, uri, dn)
		}
		if c.call != "" {
			clash(ClashCallID, calls, c.call, dn)
		}
		out.Users = append(out.Users, c.user)
	}
	slices.SortFunc(out.Users, compareUsers)
	sortClashes(out.Clashes)
	return out
}

func compareUsers(a, b User) int {
	return cmp.Or(cmp.Compare(a.JID, b.JID), cmp.Compare(a.GUID, b.GUID), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UserID, b.UserID),
		cmp.Compare(a.Email, b.Email), cmp.Compare(a.CDRTag, b.CDRTag), cmp.Compare(a.Personal, b.Personal))
}

func sortClashes(all []Clash) {
	slices.SortFunc(all, func(a, b Clash) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Kept, b.Kept), cmp.Compare(a.Dropped, b.Dropped))
	})
}

// user makes the user that an entry is, or says why it is left out.
func (m Mapping) user(e Entry) (candidate, Skip) {
	dn := Printable(e.DN)
	for _, x := range m.all() {
		for _, attribute := range x.Attributes() {
			v, there := e.text(attribute)
			if there && (len(v) > MaxValue || !utf8.ValidString(v) || strings.ContainsRune(v, 0)) {
				return candidate{}, Skip{DN: dn, Code: SkipValue, Detail: attribute}
			}
		}
	}
	jid, missing := m.jid.Eval(e.text)
	if missing != "" {
		return candidate{}, Skip{DN: dn, Code: SkipMissing, Detail: missing}
	}
	c := candidate{dn: e.DN, user: User{JID: Fold(jid), GUID: e.guid()}}
	if wrong := CheckJID(c.user.JID); wrong != "" {
		return candidate{}, Skip{DN: dn, Code: SkipJID, Detail: wrong}
	}
	// Only a name may be made of what is there; half an identifier is none.
	name, _ := m.name.Eval(e.text)
	c.user.Name = limited(clean(name))
	for _, x := range []struct {
		to *string
		of Expression
	}{{&c.user.UserID, m.userID}, {&c.user.Email, m.email}, {&c.user.CDRTag, m.cdrTag}, {&c.call, m.callID}} {
		*x.to = whole(x.of, e)
	}
	for _, x := range []Expression{m.spaceURI, m.spaceURI2} {
		if uri := Fold(whole(x, e)); uri != "" && !slices.Contains(c.uris, uri) {
			c.uris = append(c.uris, uri)
		}
	}
	return c, Skip{}
}

// whole is an expression's text when the entry has all attributes that it uses.
func whole(x Expression, e Entry) string {
	text, missing := x.Eval(e.text)
	if missing != "" {
		return ""
	}
	return limited(clean(text))
}

// limited drops a text that is too long to be kept.
func limited(s string) string {
	if len(s) > MaxValue {
		return ""
	}
	return s
}

// Printable is a distinguished name as it may be shown and kept.
func Printable(dn string) string {
	dn = clean(strings.ToValidUTF8(dn, "?"))
	if len(dn) > MaxValue {
		dn = strings.ToValidUTF8(dn[:MaxValue], "") + "…"
	}
	return dn
}
