package directory

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tallystick/tallystick/internal/meeting"
)

// Kind says where a source comes from.
type Kind string

// The kinds of sources.
const (
	File   Kind = "file"       // imported by an administrator
	LDAP   Kind = "ldap"       // read from a directory server
	Bridge Kind = "callbridge" // read from a call bridge
)

// kinds, the first of which wins where two sources contradict each other: what a person wrote down on purpose before what was
// asked of a directory server for this purpose, and that before what a call bridge happened to have.
var kinds = []Kind{File, LDAP, Bridge}

// Source is the whole state of one source: who is missing in it is not known to it.
type Source struct {
	Kind   Kind
	ID     string
	Name   string
	Tenant string
	// Personal is what the source says of all its users that it says nothing special of.
	Personal Flag
	Users    []User
	Spaces   []Space
	Devices  []Device
}

// label names a source for people.
func (s Source) label() string {
	if s.Kind == File {
		return "the directory file"
	}
	return string(s.Kind) + " " + cmp.Or(s.Name, s.ID)
}

// Defaults are what holds where a source says nothing of the personal license.
type Defaults struct {
	System  Flag
	Tenants map[string]Flag
}

// InForce is what holds for a tenant, or with no tenant for the system, where a source says nothing: Yes or No. Nobody holds a license of
// whom nothing is said.
func (d Defaults) InForce(tenant string) Flag {
	personal, _ := Source{Tenant: tenant}.Says(User{}, d)
	return FlagOf(personal)
}

// The levels at which a personal license is decided, the strongest first (domain rule 33).
const (
	LevelSource = "source"
	LevelTenant = "tenant"
	LevelSystem = "system"
	LevelNobody = "" // nobody said anything
)

var levels = []string{LevelSource, LevelTenant, LevelSystem, LevelNobody}

// Says is what a source says of a user's license, and at which level.
func (s Source) Says(u User, d Defaults) (personal bool, level string) {
	for _, at := range []struct {
		level string
		flag  Flag
	}{{LevelSource, u.Personal}, {LevelSource, s.Personal}, {LevelTenant, d.Tenants[s.Tenant]}, {LevelSystem, d.System}} {
		if at.flag == Yes || at.flag == No {
			return at.flag == Yes, at.level
		}
	}
	return false, LevelNobody
}

// Person is a user of the merged directory.
type Person struct {
	User
	License bool     // holds a personal license
	Level   string   // at which that was decided
	By      string   // the source that decided it
	Sources []string // that know the user, the strongest first

	identity string // the source that gave the GUID
}

// sameGUID compares GUIDs, in whichever of the two byte orders they are written.
func sameGUID(a, b string) bool {
	x, isX := meeting.ParseGUID(a)
	y, isY := meeting.ParseGUID(b)
	if isX && isY {
		return x == y || x == y.Swapped()
	}
	return a == b
}

// KnownSpace is a space of the merged directory.
type KnownSpace struct {
	Space
	NamedBy string   // the source that names the owner; empty where none does
	Origins []Origin // the sources that know the space, the strongest first
}

// Origin names a source.
type Origin struct {
	Kind     Kind
	ID, Name string
	Label    string // for people
}

// Merged is the directory that several sources are together.
type Merged struct {
	People  []Person     // by JID
	Spaces  []KnownSpace // by id
	Devices []Device     // by party
	Clashes []Clash
}

// Merge makes one directory of sources. Sources stand in an order, by their kind and then their name and id. The first that has a
// value for a user gives it. On the license, what is said for a source wins over what is said for its tenant, and that over what is
// said for the system; on the same level the first kind wins, and between sources of one kind yes wins, for a meeting that takes a
// license too much harms less than one that finds none. Sources that differ on the level that decided are a clash.
func Merge(sources []Source, d Defaults) Merged {
	sources = slices.Clone(sources)
	slices.SortStableFunc(sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	var out Merged
	people := map[string]*Person{}
	said := map[string][]statement{}
	spaces := map[string]*KnownSpace{}
	devices := map[string]string{}
	for _, s := range sources {
		for _, u := range s.Users {
			p := people[u.JID]
			if p == nil {
				p = &Person{User: User{JID: u.JID}}
				people[u.JID] = p
			}
			if p.GUID != "" && u.GUID != "" && !sameGUID(p.GUID, u.GUID) {
				out.Clashes = append(out.Clashes, Clash{Code: ClashPerson, Value: u.JID, Kept: p.identity, Dropped: s.label()})
			}
			p.add(u, s.label())
			personal, level := s.Says(u, d)
			said[u.JID] = append(said[u.JID], statement{s.Kind, s.label(), level, personal})
		}
		for _, sp := range s.Spaces {
			known := spaces[sp.ID]
			if known == nil {
				known = &KnownSpace{Space: Space{ID: sp.ID}}
				spaces[sp.ID] = known
			}
			if known.Owner == "" && sp.Owner != "" {
				known.Owner, known.NamedBy = sp.Owner, s.label()
			}
			known.Name = cmp.Or(known.Name, sp.Name)
			known.Origins = append(known.Origins, Origin{s.Kind, s.ID, s.Name, s.label()})
		}
		for _, v := range s.Devices {
			devices[v.Party] = cmp.Or(devices[v.Party], v.Owner)
		}
	}
	for _, jid := range slices.Sorted(maps.Keys(people)) {
		p := people[jid]
		out.Clashes = append(out.Clashes, p.decide(said[jid])...)
		out.People = append(out.People, *p)
	}
	for _, id := range slices.Sorted(maps.Keys(spaces)) {
		out.Spaces = append(out.Spaces, *spaces[id])
	}
	for _, party := range slices.Sorted(maps.Keys(devices)) {
		out.Devices = append(out.Devices, Device{party, devices[party]})
	}
	out.Clashes = append(out.Clashes, twice(out.People, ClashGUID, func(p Person) string { return p.GUID })...)
	out.Clashes = append(out.Clashes, twice(out.People, ClashUserID, func(p Person) string { return Fold(p.UserID) })...)
	sortClashes(out.Clashes)
	return out
}

func rank(k Kind) int {
	if at := slices.Index(kinds, k); at >= 0 {
		return at
	}
	return len(kinds)
}

// add takes what is not known yet.
func (p *Person) add(u User, label string) {
	if p.GUID == "" && u.GUID != "" {
		p.identity = label
	}
	p.Name, p.UserID, p.Email = cmp.Or(p.Name, u.Name), cmp.Or(p.UserID, u.UserID), cmp.Or(p.Email, u.Email)
	p.GUID, p.CDRTag = cmp.Or(p.GUID, u.GUID), cmp.Or(p.CDRTag, u.CDRTag)
	p.Sources = append(p.Sources, label)
}

// statement is what one source says of the license of one user.
type statement struct {
	kind     Kind
	label    string
	level    string
	personal bool
}

// decide finds the statement that holds, and the clashes with others on its level. all is in the order of sources.
func (p *Person) decide(all []statement) []Clash {
	best := slices.MinFunc(all, func(a, b statement) int {
		yes := func(s statement) int {
			if s.personal {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(slices.Index(levels, a.level), slices.Index(levels, b.level)), cmp.Compare(rank(a.kind), rank(b.kind)),
			cmp.Compare(yes(a), yes(b)))
	})
	p.License, p.Level, p.By = best.personal, best.level, best.label
	var out []Clash
	for _, s := range all {
		if s.level == best.level && s.personal != best.personal {
			out = append(out, Clash{Code: ClashLicense, Value: p.JID, Kept: best.label, Dropped: s.label})
		}
	}
	return out
}

// twice finds people who share an identifier that should be theirs alone.
func twice(people []Person, code string, key func(Person) string) []Clash {
	var out []Clash
	first := map[string]string{}
	for _, p := range people {
		k := key(p)
		if k == "" {
			continue
		}
		if other, taken := first[k]; taken {
			out = append(out, Clash{Code: code, Value: k, Kept: other, Dropped: p.JID})
		} else {
			first[k] = p.JID
		}
	}
	return out
}
