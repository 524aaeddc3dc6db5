package console

import (
	"strings"

	"github.com/tallystick/tallystick/internal/conference"
)

// spacesPage is what the page of spaces shows.
type spacesPage struct {
	rows   []conference.KnownSpace
	known  int // all of them
	found  int // of them that were looked for
	next   string
	search string
	whose  ownerChoice
}

// ownerChoice is a choice of spaces by their owner.
type ownerChoice struct {
	key, name string
	holds     func(s conference.KnownSpace) bool
}

func ownerChoices() []ownerChoice {
	return []ownerChoice{
		{"", "All", func(conference.KnownSpace) bool { return true }},
		{"licensed", "Owner licensed", func(s conference.KnownSpace) bool { return s.Personal }},
		{"unlicensed", "Owner not licensed", func(s conference.KnownSpace) bool { return s.JID != "" && !s.Personal }},
		{"unknown", "Owner not a user", func(s conference.KnownSpace) bool { return s.Owner != "" && s.JID == "" }},
		{"none", "No owner", func(s conference.KnownSpace) bool { return s.Owner == "" }},
	}
}

// spaces shows the spaces, and what their owners come to.
func (c *console) spaces(v *visit) (sheet, error) {
	s := sheet{title: "Spaces", tab: "directory"}
	enabled, err := c.Conference.Enabled(v.Context(), v.account.ID)
	if err != nil || !enabled {
		s.body = notEnabledBody("Spaces", "Whose they are.")
		return s, err
	}
	all, err := c.Conference.Spaces(v.Context(), v.account.ID)
	if err != nil {
		return sheet{}, err
	}
	s.body = spacesBody(v, pageOfSpaces(v, all))
	return s, nil
}

// pageOfSpaces picks the spaces that the query of the page asks for.
func pageOfSpaces(v *visit, all []conference.KnownSpace) spacesPage {
	q := v.URL.Query()
	p := spacesPage{known: len(all), search: strings.TrimSpace(q.Get("find")), whose: ownerChoices()[0]}
	for _, choice := range ownerChoices() {
		if choice.key == q.Get("owner") {
			p.whose = choice
		}
	}
	wanted, after := strings.ToLower(p.search), q.Get("after")
	for _, s := range all {
		text := strings.ToLower(strings.Join([]string{s.Name, s.ID, s.Owner, s.JID}, "\n"))
		if !p.whose.holds(s) || !strings.Contains(text, wanted) {
			continue
		}
		if p.found++; s.ID <= after {
			continue
		}
		if len(p.rows) == pageRows {
			p.next = p.rows[pageRows-1].ID
			continue
		}
		p.rows = append(p.rows, s)
	}
	return p
}

// ownerWord says what the owner of a space comes to.
func ownerWord(s conference.KnownSpace) (tone, string) {
	switch {
	case s.Owner == "":
		return quiet, "no owner"
	case s.JID == "":
		return alert, "not a user"
	case s.Personal:
		return good, "personal license"
	}
	return quiet, "no personal license"
}
