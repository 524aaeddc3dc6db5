package directory

import "slices"

// Change is what a new state of a source makes of the directory.
type Change struct {
	Merged         Merged   // what the directory would be
	Loss           Loss     // what is taken away
	Added, Removed int      // users of the source
	Gained, Lost   int      // personal licenses in the directory
	Reasons        []Reason // to hold it
}

// Weigh says what a new state of a source changes, and whether the brake holds it. sources are all that are known so far, the
// state before of this one included.
func Weigh(sources []Source, next Source, d Defaults, limits Limits) Change {
	before := Merge(sources, d)
	others, previous := Without(sources, next.Kind, next.ID)
	c := weigh(before, Merge(append(others, next), d))
	c.Loss.Before, c.Loss.After = len(previous.Users), len(next.Users)
	here := jids(next.Users)
	for _, u := range previous.Users {
		if !here[u.JID] {
			c.Removed++
		}
	}
	c.Added = c.Loss.After - c.Loss.Before + c.Removed
	c.Loss.Gone = c.Removed
	owners := map[string]string{}
	for _, sp := range next.Spaces {
		owners[sp.ID] = sp.Owner
	}
	for _, sp := range previous.Spaces {
		if sp.Owner == "" {
			continue
		}
		c.Loss.Owned++
		if owners[sp.ID] == "" {
			c.Loss.Orphaned++
		}
	}
	c.Reasons = Brake(c.Loss, limits)
	return c
}

// weigh compares two directories.
func weigh(before, after Merged) Change {
	c := Change{Merged: after}
	licensed := map[string]bool{}
	for _, p := range before.People {
		if p.License {
			licensed[p.JID] = true
		}
	}
	c.Loss.Licensed = len(licensed)
	for _, p := range after.People {
		switch {
		case p.License && licensed[p.JID]:
			delete(licensed, p.JID)
		case p.License:
			c.Gained++
		}
	}
	c.Lost, c.Loss.Released = len(licensed), len(licensed)
	return c
}

// WeighDefaults says what other defaults change.
func WeighDefaults(sources []Source, before, after Defaults, limits Limits) Change {
	c := weigh(Merge(sources, before), Merge(sources, after))
	c.Reasons = Brake(c.Loss, limits)
	return c
}

// Without splits a source from the others; a source that is not known is empty.
func Without(sources []Source, kind Kind, id string) (others []Source, one Source) {
	others = slices.Clone(sources)
	at := slices.IndexFunc(others, func(s Source) bool { return s.Kind == kind && s.ID == id })
	if at < 0 {
		return others, Source{Kind: kind, ID: id}
	}
	one = others[at]
	return slices.Delete(others, at, at+1), one
}

func jids(users []User) map[string]bool {
	out := make(map[string]bool, len(users))
	for _, u := range users {
		out[u.JID] = true
	}
	return out
}
