package conference

import (
	"testing"
	"time"
)

// TestASegmentSaysUntilWhenItCounts: what lists and counts say of a call whose end never came comes from one function.
func TestASegmentSaysUntilWhenItCounts(t *testing.T) {
	t.Parallel()
	from := time.Date(2024, 3, 5, 9, 20, 0, 0, time.UTC)
	over := from.Truncate(time.Hour).AddDate(0, 0, 31)
	soon, late := from.Add(time.Hour), over.Add(time.Hour)
	for name, c := range map[string]struct {
		to   *time.Time
		now  time.Time
		want bool
	}{
		"ended":                           {&soon, late, false},
		"ended where counting ends":       {&over, late, false},
		"ended later than it counts":      {&late, late, true},
		"running":                         {nil, over.Add(-time.Millisecond), false},
		"without an end, and over by now": {nil, over, true},
	} {
		s := Segment{From: from, To: c.to}
		got := s.CountedTo(c.now)
		if (got != nil) != c.want || got != nil && !got.Equal(over) {
			t.Errorf("%s: got %v, want %v at %s", name, got, c.want, over)
		}
	}
}
