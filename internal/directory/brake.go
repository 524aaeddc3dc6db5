package directory

import "fmt"

// DefaultLimit is how many of a hundred may be taken away without asking.
const DefaultLimit = 10

// Limits are the bounds of a source beyond which a change waits for a person: in percent, 0 for DefaultLimit. AtLeast is how many
// users or licenses must be concerned for the brake to look at all.
type Limits struct {
	Removals int `json:"removals,omitempty"`
	Licenses int `json:"licenses,omitempty"`
	AtLeast  int `json:"atLeast,omitempty"`
}

// Loss is what a new state of a source takes away from the one that was accepted last.
type Loss struct {
	Before, After int // users of the source
	Gone          int // of those before, the ones that are missing now
	Licensed      int // holders of a personal license in the directory in force
	Released      int // of those, the ones that would lose it
	Owned         int // spaces of the source that had an owner before
	Orphaned      int // of those, the ones that are missing now, or have no owner
}

// The codes of reasons to hold a change.
const (
	HoldEmpty    = "empty"
	HoldRemovals = "removals"
	HoldLicenses = "licenses"
	HoldSpaces   = "spaces"
)

// fewSpaces is how many spaces may always go: they come and go by the day, unlike people.
const fewSpaces = 10

// Reason is why a change is held.
type Reason struct {
	Code  string `json:"code"`
	Lost  int    `json:"lost"`
	Of    int    `json:"of"`
	Limit int    `json:"limit,omitempty"` // percent
}

// Text is the reason as a sentence.
func (r Reason) Text() string {
	switch r.Code {
	case HoldEmpty:
		return fmt.Sprintf("the answer is empty, and %d users were known", r.Of)
	case HoldRemovals:
		return fmt.Sprintf("%d of %d users would be gone, more than %d percent", r.Lost, r.Of, r.Limit)
	case HoldLicenses:
		return fmt.Sprintf("%d of %d personal licenses would be taken away, more than %d percent", r.Lost, r.Of, r.Limit)
	case HoldSpaces:
		return fmt.Sprintf("%d of %d spaces with an owner would be gone or without one, more than %d percent", r.Lost, r.Of, r.Limit)
	}
	return r.Code
}

// Brake says why a change must not come into force before a person agrees; no reason lets it pass. A source's first state takes
// nothing away.
func Brake(l Loss, limits Limits) []Reason {
	var out []Reason
	check := func(code string, lost, of, percent, few int) {
		if percent <= 0 {
			percent = DefaultLimit
		}
		if lost > few && lost >= limits.AtLeast && lost*100 > of*percent {
			out = append(out, Reason{Code: code, Lost: lost, Of: of, Limit: percent})
		}
	}
	if l.After == 0 && l.Before > 0 && l.Before >= limits.AtLeast {
		out = append(out, Reason{Code: HoldEmpty, Lost: l.Before, Of: l.Before})
	} else {
		check(HoldRemovals, l.Gone, l.Before, limits.Removals, 0)
	}
	check(HoldLicenses, l.Released, l.Licensed, limits.Licenses, 0)
	check(HoldSpaces, l.Orphaned, l.Owned, limits.Removals, fewSpaces)
	return out
}
