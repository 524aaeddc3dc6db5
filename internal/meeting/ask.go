package meeting

import (
	"cmp"
	"errors"
	"maps"
	"time"
)

// Question is a meeting that has not taken place. One of Space, AdHoc, Booking,
// Gateway and Lync says what kind of meeting it is.
type Question struct {
	Space   string // identifier or name of a space
	Owner   string // JID or sign-in name of who owns the space, in place of whom the directory has
	AdHoc   string // the GUID or name that call control passes; Nothing for none
	Booking string // the owner whom a scheduler passes; Nothing for none
	Gateway bool   // a gateway call
	Lync    bool   // a call with a Lync or Skype for Business meeting

	Members      []string // JID, address, device or sign-in name of participants
	Participants int      // in all; 3 for zero, and never fewer than Members
	Audio        bool     // nobody has a picture
}

// Nothing stands for an owner who is not passed.
const Nothing = "none"

// The errors of Call.
var (
	ErrNoQuestion    = errors.New("it is not said what kind of meeting is meant")
	ErrTwoQuestions  = errors.New("two kinds of meetings at once are meant")
	ErrSeveralSpaces = errors.New("several spaces have that name")
)

const (
	askedParticipants = 3
	askedFor          = time.Hour
)

// Call makes the call that is asked about, as it begins at some time, and the
// directory in which it is decided.
func (q *Question) Call(d *Directory, at time.Time) (Call, *Directory, error) {
	c := Call{ID: "asked", Start: at, End: at.Add(askedFor)}
	kinds := 0
	for _, meant := range []bool{q.AdHoc != "", q.Gateway, q.Lync, q.Space != "" || q.Booking != ""} {
		if meant {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return c, d, ErrNoQuestion
	case kinds > 1:
		return c, d, ErrTwoQuestions
	case q.Gateway:
		c.Type = TypeGateway
	case q.Lync:
		c.Type = TypeLync
	case q.AdHoc != "":
		c.Type, c.OwnerName = TypeAdHoc, q.AdHoc
	default:
		c.Type, c.OwnerName = TypeSpace, q.Booking
		var err error
		if d, err = q.space(&c, d); err != nil {
			return c, d, err
		}
	}
	if c.OwnerName == Nothing {
		c.OwnerName = ""
	}
	for _, m := range q.Members {
		c.Members = append(c.Members, Member{Name: m, Party: d.partyOf(m), From: at})
	}
	n := max(cmp.Or(q.Participants, askedParticipants), len(q.Members), 1)
	l := Level{At: at, Participants: n}
	if q.Audio {
		l.Audio = int32(min(n, 1<<30))
	}
	if q.Lync {
		l.Lync, l.Callers = 1, 1
		l.Participants++
	}
	c.Levels = []Level{l}
	return c, d, nil
}

// space finds the space of the call, and gives it another owner if one is named.
func (q *Question) space(c *Call, d *Directory) (*Directory, error) {
	space, ok := d.Space(q.Space)
	if named := d.SpacesNamed(q.Space); !ok && q.Space != "" {
		if len(named) > 1 {
			return d, ErrSeveralSpaces
		}
		if len(named) == 1 {
			space, ok = named[0], true
		}
	}
	switch {
	case ok:
	case q.Space == "":
		space = Space{ID: "new", Name: bookedPrefix + "Scheduled_Meeting"}
	default:
		space = Space{ID: q.Space}
	}
	c.Space, c.Name = space.ID, space.Name
	if q.Owner == "" {
		return d, nil
	}
	space.Owner = d.partyOf(q.Owner)
	return d.with(space), nil
}

// partyOf returns the JID of whom a person means by JID or sign-in name, else what is given.
func (d *Directory) partyOf(who string) string {
	if _, ok := d.User(who); ok {
		return who
	}
	if _, ok := d.DeviceOwner(who); ok {
		return who
	}
	if u, n := d.UserByID(who); n == 1 {
		return u.JID
	}
	return who
}

// with returns the directory with one space more, or changed.
func (d *Directory) with(s Space) *Directory {
	out := Directory{}
	if d != nil {
		out = *d
	}
	out.spaces = maps.Clone(out.spaces)
	if out.spaces == nil {
		out.spaces = map[string]Space{}
	}
	out.spaces[lower(s.ID)] = s
	return &out
}
