package meeting

import (
	"cmp"
	"encoding/hex"
	"strings"
)

// User is a person of the directory.
type User struct {
	JID      string
	GUID     string // objectGUID or another identifier in the form of a GUID, empty when not known
	ID       string // the sign-in name; UserID says its form
	Email    string
	Name     string
	Personal bool // holds a personal license
}

// Space is a permanent space of the directory.
type Space struct {
	ID    string
	Name  string
	Owner string // JID or GUID, empty without an owner
}

// Device is an endpoint that calls for a person.
type Device struct {
	Party string // address or number; Party says its form
	Owner string // JID
}

// Directory is one version of the users, spaces and devices of an account. It
// does not change; many may ask it at once. A nil Directory knows nobody and
// has the version 0.
type Directory struct {
	version int64
	users   []User
	spaces  map[string]Space
	devices map[string]string
	byJID   map[string]int32
	byGUID  map[GUID]place
	byID    map[string]place
	byEmail map[string]place
}

// place is the first of some users, and how many there are.
type place struct{ at, n int32 }

// NewDirectory makes a version of the directory. Of two with the same
// identifier the first counts. It keeps users.
func NewDirectory(version int64, users []User, spaces []Space, devices []Device) *Directory {
	d := &Directory{
		version: version, users: users, spaces: make(map[string]Space, len(spaces)), devices: make(map[string]string, len(devices)),
		byJID: make(map[string]int32, len(users)), byGUID: map[GUID]place{}, byID: map[string]place{}, byEmail: map[string]place{},
	}
	for i := range users {
		u := &users[i]
		jid := lower(u.JID)
		if _, twice := d.byJID[jid]; twice {
			continue
		}
		at := int32(i)
		d.byJID[jid] = at
		if g, ok := ParseGUID(u.GUID); ok {
			join(d.byGUID, g, at)
		}
		if id := UserID(u.ID); id != "" {
			join(d.byID, id, at)
		}
		if email := lower(u.Email); email != "" {
			join(d.byEmail, email, at)
		}
	}
	for _, s := range spaces {
		if id := lower(s.ID); d.spaces[id].ID == "" {
			d.spaces[id] = s
		}
	}
	for _, v := range devices {
		party := Party(v.Party)
		d.devices[party] = cmp.Or(d.devices[party], lower(v.Owner))
	}
	return d
}

func join[K comparable](m map[K]place, k K, at int32) {
	p, known := m[k]
	if !known {
		p.at = at
	}
	p.n++
	m[k] = p
}

// Version tells this directory from others of the account.
func (d *Directory) Version() int64 {
	if d == nil {
		return 0
	}
	return d.version
}

// Size says how many users, spaces and devices there are.
func (d *Directory) Size() int {
	if d == nil {
		return 0
	}
	return len(d.users) + len(d.spaces) + len(d.devices)
}

// Space returns the space with that identifier.
func (d *Directory) Space(id string) (Space, bool) {
	if d == nil {
		return Space{}, false
	}
	s, ok := d.spaces[lower(id)]
	return s, ok
}

// SpacesNamed returns the spaces with that name, in no order. It looks at all of them.
func (d *Directory) SpacesNamed(name string) []Space {
	var out []Space
	if d == nil {
		return out
	}
	for _, s := range d.spaces {
		if strings.EqualFold(s.Name, name) {
			out = append(out, s)
		}
	}
	return out
}

// User returns the user with that JID.
func (d *Directory) User(jid string) (User, bool) {
	if d == nil {
		return User{}, false
	}
	at, ok := d.byJID[lower(jid)]
	if !ok {
		return User{}, false
	}
	return d.users[at], true
}

// UserByGUID returns the user with that GUID, in either textual byte order, and
// how many users have it; more than one is a mistake in the directory. The
// order as written goes first.
func (d *Directory) UserByGUID(g GUID) (User, int) {
	if d == nil {
		return User{}, 0
	}
	p, ok := d.byGUID[g]
	if !ok {
		p = d.byGUID[g.Swapped()]
	}
	return d.among(p)
}

// UserByID returns the first user with that sign-in name, whatever its domain,
// and how many users have it.
func (d *Directory) UserByID(id string) (User, int) {
	if d == nil {
		return User{}, 0
	}
	return d.among(d.byID[UserID(id)])
}

// UserByEmail returns the first user with that address, and how many users have it.
func (d *Directory) UserByEmail(address string) (User, int) {
	if d == nil {
		return User{}, 0
	}
	return d.among(d.byEmail[lower(address)])
}

func (d *Directory) among(p place) (User, int) {
	if p.n == 0 {
		return User{}, 0
	}
	return d.users[p.at], int(p.n)
}

// Owner returns the user whom a space names as its owner, by JID or by a GUID that one user alone has.
func (d *Directory) Owner(named string) (User, bool) {
	user, ok := d.User(named)
	if guid, is := ParseGUID(named); !ok && is {
		var n int
		user, n = d.UserByGUID(guid)
		ok = n == 1
	}
	return user, ok
}

// DeviceOwner returns the JID of whose device calls from an address or number.
func (d *Directory) DeviceOwner(party string) (string, bool) {
	if d == nil || len(d.devices) == 0 {
		return "", false
	}
	owner, ok := d.devices[Party(party)]
	return owner, ok
}

func lower(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// UserID is a sign-in name as it is compared: in lower case, without the domain
// that Windows puts before it (ACME\ines) or that stands behind it (ines@acme.example).
func UserID(s string) string {
	s = lower(s)
	if _, after, ok := strings.Cut(s, `\`); ok {
		s = after
	}
	s, _, _ = strings.Cut(s, "@")
	return s
}

// Party is the address or number of a participant as it is compared: in lower
// case, without scheme, display name, port and parameters.
func Party(s string) string {
	s = lower(s)
	if _, after, ok := strings.Cut(s, "<"); ok {
		s, _, _ = strings.Cut(after, ">")
	}
	for _, scheme := range []string{"sips:", "sip:", "tel:", "h323:", "xmpp:"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			s = rest
			break
		}
	}
	if i := strings.IndexAny(s, ";?/"); i >= 0 {
		s = s[:i]
	}
	host := strings.IndexByte(s, '@') + 1
	if i := strings.LastIndexByte(s[host:], ':'); i >= 0 && isPort(s[host+i+1:]) && (host > 0 || i > 0) && !strings.HasSuffix(s[:host+i], ":") {
		if rest := s[host : host+i]; !strings.Contains(rest, ":") || strings.HasSuffix(rest, "]") {
			s = s[:host+i]
		}
	}
	return strings.TrimSpace(s)
}

func isPort(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 5
}

// GUID is an identifier of 16 bytes, in the order in which its text has them.
type GUID [16]byte

// ParseGUID reads a GUID as directories and call control write it: in either
// case, with or without dashes and braces.
func ParseGUID(s string) (GUID, bool) {
	var g GUID
	if len(s) < 32 || len(s) > 64 {
		return g, false
	}
	s = strings.TrimSpace(s)
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	var digits [32]byte
	n := 0
	for i := range len(s) {
		if s[i] == '-' {
			continue
		}
		if n == len(digits) {
			return g, false
		}
		digits[n] = s[i]
		n++
	}
	if n < len(digits) {
		return g, false
	}
	_, err := hex.Decode(g[:], digits[:])
	return g, err == nil
}

// Swapped is the GUID with its first three fields in the other byte order: some
// programs print the bytes of an objectGUID as they are stored, others as
// numbers. Swapping twice gives the GUID again.
func (g GUID) Swapped() GUID {
	return GUID{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]}
}

// String prints the GUID in its usual form.
func (g GUID) String() string {
	h := hex.EncodeToString(g[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
