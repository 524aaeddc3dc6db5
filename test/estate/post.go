package estate

import (
	"fmt"
	"slices"
	"strings"
)

// lose takes records out of what bridges send: some in a row, which nobody ever gets, and of which the next record tells. What
// no record could tell any more is not lost: both the start and the end of a call, or an end that no restart tells of later.
func (e *Estate) lose() {
	for range e.Losses {
		for range 20 {
			b := one(e, e.bridges)
			r := one(e, b.runs)
			n := e.random.IntN(8) + 1
			if len(r.records) < n+20 {
				continue
			}
			at := e.random.IntN(len(r.records) - n - 1)
			if slices.ContainsFunc(r.records[at:at+n+1], func(rec *record) bool { return rec.missing > 0 || !rec.losable() }) {
				continue
			}
			for _, rec := range r.records[at : at+n] {
				rec.lost = true
				e.Truth.Lost++
			}
			next := r.records[at+n]
			next.missing = int64(n)
			r.losses = append(r.losses, loss{next.correlator, next.at})
			r.records = slices.Delete(r.records, at, at+n)
			break
		}
	}
	for _, b := range e.bridges {
		for _, r := range b.runs {
			for _, rec := range r.records {
				r.last = max(r.last, rec.at)
			}
			e.Truth.Records += int64(len(r.records))
		}
	}
}

func (r *record) losable() bool {
	switch c := r.call; r.kind {
	case "callStart":
		return c.end != nil && !c.end.lost
	case "callEnd":
		runs := c.bridge.runs
		return !c.start.lost && c.run != runs[len(runs)-1]
	}
	return true
}

// Post is one body on its way to one of the receivers of its bridge.
type Post struct {
	Bridge, Receiver int

	estate  *Estate
	run     *run
	records []*record
	index   int           // recordIndex of the first one
	missing map[int]int64 // other losses than everybody's, by position
}

// Records is how many records it has.
func (p *Post) Records() int { return len(p.records) }

// Body writes the post as its bridge does.
func (p *Post) Body() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0"?><records session="%s"`, p.run.session)
	if !p.estate.Nameless {
		fmt.Fprintf(&b, ` callBridge="%s"`, p.run.bridge.id)
	}
	b.WriteString(">")
	for i, r := range p.records {
		r.xml(&b, p.index+i, r.missing+p.missing[i])
	}
	b.WriteString("</records>\n")
	return []byte(b.String())
}

// Streams is everything that is posted: for each bridge and receiver the posts in the order in which they are sent, each over a
// connection of its own. A receiver that was configured later has other indexes.
func (e *Estate) Streams() [][]Post {
	var out [][]Post
	for i, b := range e.bridges {
		for _, run := range b.runs {
			for _, r := range run.records {
				r.text = r.inside()
			}
		}
		for receiver := range e.Receivers {
			var posts []Post
			for n, r := range b.runs {
				skip := 0
				if n == 0 {
					skip = min(receiver*97, len(r.records))
				}
				posts = append(posts, e.posts(Post{Bridge: i, Receiver: receiver, estate: e, run: r, records: r.records[skip:], index: 1})...)
			}
			out = append(out, e.disturb(posts))
		}
	}
	return out
}

// posts cuts a stream into posts: mostly of few records, and of many when something had waited.
func (e *Estate) posts(all Post) []Post {
	var out []Post
	overflow := -1
	if all.Receiver > 0 && e.Overflows > 0 && len(all.records) > 40 && e.chance(min(100, 100*e.Overflows/(e.Bridges*e.Receivers)+1)) {
		overflow = e.random.IntN(len(all.records) - 30)
	}
	for at := 0; at < len(all.records); {
		p := all
		p.index = all.index + at
		n := min(one(e, []int{1, 1, 2, 3, 5, 10, 20, e.Most}), e.Most, len(all.records)-at)
		if overflow >= 0 && at >= overflow { // so many are dropped here, and only here
			drop := min(n, len(all.records)-at-1)
			n = min(n, len(all.records)-at-drop)
			p.missing = map[int]int64{0: int64(drop)}
			at += drop
			all.index -= drop
			overflow = -1
		}
		p.records = all.records[at : at+n]
		at += n
		out = append(out, p)
	}
	return out
}

// disturb sends posts again, and lets them overtake each other.
func (e *Estate) disturb(posts []Post) []Post {
	type place struct {
		at   float64
		post Post
	}
	var places []place
	for i, p := range posts {
		at := float64(i)
		if e.Disorder > 0 {
			at += e.random.Float64() * float64(e.Disorder)
		}
		places = append(places, place{at, p})
		for again := e.Repeats; e.random.Float64() < again; again-- {
			late := 1.0
			if e.chance(20) {
				late = float64(e.random.IntN(200))
			}
			places = append(places, place{at + late + 0.5, p})
		}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	out := make([]Post, len(places))
	for i := range places {
		out[i] = places[i].post
	}
	return out
}
