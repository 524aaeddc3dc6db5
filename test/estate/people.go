package estate

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// User is a person of the directory, or one who only dials in.
type User struct {
	JID, GUID, ID, Email, Name string
	Personal                   bool   // holds a personal license
	Guest                      bool   // is not in the directory
	Device                     string // that calls from an address of its own; the directory says whose it is

	office int
}

// Space is a permanent space. An owner who is not in the directory, and a space that is not, happen.
type Space struct {
	ID, Name string
	Owner    *User // nil without one
	Unlisted bool  // not in the directory

	office int
	busy   [][2]int64 // it has one meeting at a time
}

// office is a place where people work from eight to six by its own clock.
type office struct {
	name  string
	hours int64 // east of UTC
}

var offices = []office{
	{"Berlin", 1}, {"London", 0}, {"New York", -5}, {"Austin", -6}, {"Singapore", 8}, {"São Paulo", -3},
}

var (
	firstNames = strings.Fields("Ada Amir Anna Ben Björn Carla Chen Claire Dario Deepa Elif Emma Erik Fatima Felix Grace Hana Hugo Ines Ivan " +
		"Jana Jonas Julia Kaito Kofi Lars Lea Liam Lin Luca Maja Marco Maria Mei Mila Nadia Noah Nora Olga Omar Paul Priya Rafael Rosa " +
		"Sam Sara Sofia Tariq Tomás Uma Vera Viktor Wei Yara Yusuf Zoë")
	lastNames = strings.Fields("Abe Acosta Adler Almeida Bauer Becker Brandt Castro Chan Costa Demir Diaz Dubois Eriksson Fischer Fontana " +
		"Garcia Gupta Haddad Hansen Ito Jensen Kaya Keller Khan Kim Kovács Kumar Lange Lee Lindqvist Lopez Mensah Moreau Müller Nakamura " +
		"Novak O'Brien Okafor Oliveira Park Patel Petrov Popescu Reyes Rossi Santos Sato Schmidt Silva Smith Tanaka Virtanen Walsh Weber " +
		"Wójcik Yilmaz Young Zhang")
	teams = strings.Split("Sales EMEA|R&D weekly|Platform stand-up|Finance <close>|Design review|Support shift|Security council|People & culture|"+
		"Network operations|Board prep|Customer success|Release train|Legal sync|Facilities|Marketing stand-up|Data guild", "|")
	rooms = strings.Fields("Aurora Baltic Cedar Delta Ember Fjord Garnet Harbor Iris Juniper Kestrel Lagoon")
)

// people makes the users and the spaces.
func (e *Estate) people() {
	for i := range max(12, e.Meetings/8) {
		u := &User{GUID: e.guid(), office: i % len(offices), Personal: e.chance(30), Guest: e.chance(6)}
		u.Name = one(e, firstNames) + " " + one(e, lastNames)
		u.JID = e.unique(plain(u.Name), ".") + "@acme.example"
		if u.Guest {
			u.Personal = false
			u.JID = strings.Replace(u.JID, "acme", "partner", 1)
		}
		first, last, _ := strings.Cut(plain(u.Name), ".")
		u.ID = e.unique(first[:1]+last, "")
		u.Email = u.ID + ".mail@acme.example"
		if u.GUID[0] < '8' && !u.Guest {
			u.Device = "room-" + u.ID + "@devices.acme.example"
		}
		e.Users = append(e.Users, u)
		if !u.Guest || e.chance(30) { // a guest's space was made for somebody who has left the directory
			e.space(u.Name+"'s space", u, u.office)
		}
	}
	for i := range max(4, e.Meetings/100) {
		owner := one(e, e.Users)
		e.space(e.unique(teams[i%len(teams)], " "), owner, owner.office)
	}
	for i := range max(2, e.Meetings/300) {
		s := e.space(e.unique("Room "+rooms[i%len(rooms)], " "), nil, i%len(offices))
		s.Unlisted = e.chance(25)
	}
	for i := range max(2, e.Meetings/400) {
		e.space(fmt.Sprintf("TMS_Scheduled_Meeting_%d", i+1), nil, i%len(offices))
	}
}

func (e *Estate) space(name string, owner *User, office int) *Space {
	s := &Space{ID: e.guid(), Name: name, Owner: owner, office: office}
	e.Spaces = append(e.Spaces, s)
	return s
}

// unique adds a number to a name that was given before.
func (e *Estate) unique(name, before string) string {
	e.names[name]++
	if n := e.names[name]; n > 1 {
		return fmt.Sprintf("%s%s%d", name, before, n)
	}
	return name
}

// plain is a name as the local part of an address.
func plain(name string) string {
	fold := strings.NewReplacer("ö", "o", "ü", "u", "á", "a", "ó", "o", "ë", "e", " ", ".")
	return strings.Map(func(r rune) rune {
		if r == '.' || r < unicode.MaxASCII && unicode.IsLetter(r) {
			return r
		}
		return -1
	}, fold.Replace(strings.ToLower(name)))
}

// Directory is the directory file of the estate.
func (e *Estate) Directory() []byte {
	type user struct {
		JID      string `json:"jid"`
		GUID     string `json:"guid"`
		ID       string `json:"userId"`
		Email    string `json:"email"`
		Name     string `json:"name"`
		Personal bool   `json:"personalLicense"`
	}
	type space struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Owner string `json:"owner"`
	}
	type device struct {
		Device string `json:"device"`
		Owner  string `json:"owner"`
	}
	var file struct {
		Users   []user   `json:"users"`
		Spaces  []space  `json:"spaces"`
		Devices []device `json:"devices"`
	}
	for _, u := range e.Users {
		if !u.Guest {
			file.Users = append(file.Users, user{u.JID, u.GUID, u.ID, u.Email, u.Name, u.Personal})
		}
		if u.Device != "" {
			file.Devices = append(file.Devices, device{u.Device, u.JID})
		}
	}
	for _, s := range e.Spaces {
		if s.Unlisted {
			continue
		}
		owner := ""
		if s.Owner != nil {
			owner = s.Owner.JID
		}
		file.Spaces = append(file.Spaces, space{s.ID, s.Name, owner})
	}
	text, err := json.MarshalIndent(file, "", " ")
	if err != nil {
		panic(err) // texts and booleans
	}
	return text
}
