package meeting

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// running stands for the end of a charge that has none.
const running = -1000

func stretch(from, to int, sixths Sixths) Charge {
	c := Charge{From: second(from), Sixths: sixths}
	if to != running {
		c.To = second(to)
	}
	return c
}

func TestRule21Peak(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		charges []Charge
		peak    Sixths
		at      int
	}{
		"nothing":                           {nil, 0, -1},
		"one":                               {[]Charge{stretch(5, 9, 6)}, 6, 5},
		"two at once, the first time":       {[]Charge{stretch(5, 9, 6), stretch(7, 20, 1), stretch(30, 31, 7)}, 7, 7},
		"one ends as another begins":        {[]Charge{stretch(5, 9, 6), stretch(9, 12, 6)}, 6, 5},
		"running":                           {[]Charge{stretch(5, running, 6), stretch(50, running, 1)}, 7, 50},
		"from before the hour":              {[]Charge{stretch(-50, 3, 6)}, 6, 0},
		"outside the hour":                  {[]Charge{stretch(-50, 0, 6), stretch(60, 70, 6)}, 0, -1},
		"sixths do not round before summed": {[]Charge{stretch(1, 9, 1), stretch(2, 9, 1), stretch(3, 9, 1)}, 3, 3},
	} {
		peak, at := Peak(tc.charges, second(0), second(60))
		if want := (tc.at >= 0); peak != tc.peak || at.IsZero() == want || want && !at.Equal(second(tc.at)) {
			t.Errorf("%s: got %v at %v, want %v at second %d", name, peak, at, tc.peak, tc.at)
		}
	}
}

func TestPeakIsTheMostOfAllSeconds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var charges []Charge
		for range rapid.IntRange(0, 20).Draw(t, "charges") {
			from := rapid.IntRange(-10, 70).Draw(t, "from")
			charges = append(charges, stretch(from, from+rapid.IntRange(0, 30).Draw(t, "length"), Sixths(rapid.IntRange(1, 6).Draw(t, "sixths"))))
		}
		var want Sixths
		var first time.Time
		for sec := range 60 {
			var sum Sixths
			for _, c := range charges {
				if !c.From.After(second(sec)) && c.To.After(second(sec)) {
					sum += c.Sixths
				}
			}
			if sum > want {
				want, first = sum, second(sec)
			}
		}
		if got, at := Peak(charges, second(0), second(60)); got != want || !at.Equal(first) {
			t.Errorf("got %v at %v, want %v at %v", got, at, want, first)
		}
	})
}

func TestRule19Sixths(t *testing.T) {
	t.Parallel()
	for s, want := range map[Sixths]struct {
		text     string
		licenses int64
	}{0: {"0", 0}, 1: {"1/6", 1}, 3: {"3/6", 1}, 6: {"1", 1}, 7: {"1 1/6", 2}, 13: {"2 1/6", 3}, 18: {"3", 3}, -7: {"-1 1/6", 0}} {
		if s.String() != want.text || s.Licenses() != want.licenses {
			t.Errorf("%d sixths: got %q and %d, want %q and %d", int(s), s, s.Licenses(), want.text, want.licenses)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	if Personal.Tag() != "cms-pmp-plus" || Shared.Tag() != "cms-smp-plus" {
		t.Errorf("got %s and %s", Personal.Tag(), Shared.Tag())
	}
	if got := (Segment{From: second(1), To: second(2), Sixths: 1, License: Shared}).Charge(); got != stretch(1, 2, 1) {
		t.Errorf("got %+v", got)
	}
}

func BenchmarkPeak(b *testing.B) {
	var charges []Charge
	for i := range 1000 {
		charges = append(charges, stretch(i*7%3600, i*7%3600+600, Full))
	}
	b.ReportAllocs()
	for b.Loop() {
		Peak(charges, second(0), second(3600))
	}
}
