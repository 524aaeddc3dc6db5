package conference

import (
	"hash/fnv"
	"time"

	"github.com/tallystick/tallystick/internal/callbridge"
)

// detailsFor is for how long what was read of one user or space is taken as it was, at most; at least half of it. In between it is
// read again when its entry in the list changed, and that of users when the call bridge counts other users or holders of personal
// licenses than before. A reading that a person asks for reads everything.
const detailsFor = 6 * time.Hour

// details are what was read of the users and spaces of a call bridge one by one, as lists have neither profiles nor owners. One
// reading at a time has them, the one with the lease of its API; a server that gets the lease later begins with its own.
type details struct {
	users   map[callbridge.Text]detail[callbridge.User]
	spaces  map[callbridge.Text]detail[callbridge.CoSpace]
	counted [2]int64 // users and holders, as the call bridge said with the last reading
}

// detail is one thing by itself beside its entry in the list.
type detail[T any] struct {
	listed, read T
	until        time.Time
}

// until is when a thing is read again: spread over time by its id, so that a call bridge never gets all requests at once.
func until(id callbridge.Text, now time.Time) time.Time {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // it takes everything
	return now.Add(detailsFor/2 + time.Duration(h.Sum32()%1024)*detailsFor/2048)
}

// detailsOf are the details that are known of an API; none when everything is to be read.
func (t *turn) detailsOf(everything bool) *details {
	d := &details{users: map[callbridge.Text]detail[callbridge.User]{}, spaces: map[callbridge.Text]detail[callbridge.CoSpace]{}}
	counted, known := [2]int64{}, t.found.Multiparty != nil
	if m := t.found.Multiparty; known {
		counted = [2]int64{m.Users, m.Personal}
	}
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	if old := t.e.details[t.r.ApiID]; old != nil && !everything {
		d.spaces = old.spaces
		if known && old.counted == counted {
			d.users = old.users
		}
	}
	d.counted = counted
	t.e.details[t.r.ApiID] = d
	return d
}

// one returns a thing as it was read before, if that still holds, else as it is read now. of is what holds for the next time.
func one[T comparable](known, of map[callbridge.Text]detail[T], id callbridge.Text, listed T, now time.Time, read func() (T, error)) (T, error) {
	if k, ok := known[id]; ok && k.listed == listed && now.Before(k.until) {
		of[id] = k
		return k.read, nil
	}
	v, err := read()
	if err == nil {
		of[id] = detail[T]{listed, v, until(id, now)}
	}
	return v, err
}
