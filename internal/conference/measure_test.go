package conference

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/meeting"
)

func TestLevelsComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var in, out []meeting.LevelTime
		for n := range rapid.IntRange(0, 20).Draw(t, "levels") {
			in = append(in, meeting.LevelTime{Sixths: meeting.Sixths(n + 1), For: time.Duration(rapid.IntRange(1, 86_400_000).Draw(t, "ms")) * time.Millisecond})
		}
		text := encodeLevels(append([]meeting.LevelTime{{Sixths: 0, For: time.Hour}}, in...))
		if err := eachLevel(text, func(n meeting.Sixths, d time.Duration) { out = append(out, meeting.LevelTime{Sixths: n, For: d}) }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(in) != fmt.Sprint(out) {
			t.Errorf("%s: got %v, want %v", text, out, in)
		}
	})
	for _, bad := range []string{"x", "[[1]]", "[[1,2", "[1,2]", "[[1,2,3]]", "[[a,2]]"} {
		if err := eachLevel(bad, func(meeting.Sixths, time.Duration) {}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
