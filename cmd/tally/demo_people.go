package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// demoUser is a person of the demo's directory.
type demoUser struct {
	JID      string `json:"jid"`
	GUID     string `json:"guid"`
	Email    string `json:"email"`
	Name     string `json:"name"`
	Personal bool   `json:"personalLicense"`
}

// demoSpace is a permanent space of the demo's directory.
type demoSpace struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Owner string `json:"owner,omitempty"`
}

// demoDirectory is the directory file of the demo: every third of its users holds a personal license, most spaces belong to
// one of them, some to somebody without one, and the rooms of the house to nobody.
type demoDirectory struct {
	Users  []demoUser  `json:"users"`
	Spaces []demoSpace `json:"spaces"`
}

const demoDomain = "acme.example"

func newDemoDirectory() demoDirectory {
	given := strings.Fields("Alice Bruno Chiara Dmitri Elena Farid Greta Hiro Ines Jonas Katya Liam Mona Nils Olga Pavel Quinn Rosa Samir Tessa")
	family := strings.Fields("Moreau Okafor Lindqvist Tanaka Herrera Novak Fischer Rossi Haddad Bennett Kowalski Silva")
	var d demoDirectory
	for i := range 60 {
		first, last := given[i%len(given)], family[(i*5+i/len(given))%len(family)]
		local := strings.ToLower(first + "." + last)
		d.Users = append(d.Users, demoUser{
			JID: local + "@" + demoDomain, GUID: guid("user", local), Email: local + "@" + demoDomain, Personal: i%3 == 0, Name: first + " " + last,
		})
	}
	for i := range 18 { // of people with a personal license
		u := d.Users[i*3]
		d.Spaces = append(d.Spaces, demoSpace{guid("space", u.JID), u.Name + "'s space", u.JID})
	}
	for i, name := range []string{"Facilities planning", "Works council", "Language exchange", "Apprentices", "Canteen crew", "Fire wardens"} {
		d.Spaces = append(d.Spaces, demoSpace{guid("space", name), name, d.Users[i*3+1].JID})
	}
	for _, name := range []string{"Boardroom", "Town hall", "Reception", "Training room", "Incident bridge", "Visitors"} {
		d.Spaces = append(d.Spaces, demoSpace{ID: guid("space", name), Name: name})
	}
	return d
}

// space finds a space by its name. A name that the directory does not have is a space all the same, one that nobody imported.
func (d demoDirectory) space(name string) demoSpace {
	for _, s := range d.Spaces {
		if s.Name == name {
			return s
		}
	}
	return demoSpace{ID: guid("space", name), Name: name}
}

// user finds a person by JID.
func (d demoDirectory) user(jid string) (demoUser, bool) {
	for _, u := range d.Users {
		if u.JID == jid {
			return u, true
		}
	}
	return demoUser{}, false
}

func (d demoDirectory) document() ([]byte, error) { return json.Marshal(d) }

// guid derives an identifier from words, so that every demo has the same ones.
func guid(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	h := hex.EncodeToString(sum[:16])
	return fmt.Sprintf("%s-%s-4%s-a%s-%s", h[:8], h[8:12], h[13:16], h[17:20], h[20:])
}
