package conference

import (
	"testing"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/meeting"
)

// BenchmarkFoldAndDecide takes parsed records to their meetings, folds each one and decides it: all that is pure between a
// post and the row of its meeting, on one processor.
func BenchmarkFoldAndDecide(b *testing.B) {
	var posts []cdr.Post
	records := 0
	for n := range 200 {
		p, err := cdr.Parse([]byte(body(run1, numbered(longMeeting(n), 100*n)...)))
		must(b, err)
		posts = append(posts, p)
		records += len(p.Records)
	}
	nobody := meeting.NewDirectory(1, nil, nil, nil)
	for b.Loop() {
		router := cdr.NewRouter()
		for i := range posts {
			for j := range posts[i].Records {
				router.Add(&posts[i].Records[j])
			}
		}
		keys := router.Keys()
		if len(keys) != len(posts) {
			b.Fatalf("got %d meetings, want %d", len(keys), len(posts))
		}
		for _, key := range keys {
			conf := router.Fold(key, cdr.Options{})
			policy := meeting.OwnerFirst()
			if d := meeting.Decide(policy, callOf(key, &conf, &policy), nobody); len(d.Why) == 0 {
				b.Fatalf("nothing was decided about %s", key)
			}
		}
	}
	b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
}

// numbered gives the records of a meeting their numbers and seconds.
func numbered(records []rec, from int) []rec {
	for i := range records {
		records[i].n, records[i].second = from+i, i
	}
	return records
}
