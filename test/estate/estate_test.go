package estate

import (
	"bytes"
	"slices"
	"testing"

	"github.com/tallystick/tallystick/internal/cdr"
)

// TestSame: equal options play the same estate.
func TestSame(t *testing.T) {
	t.Parallel()
	o := Options{Seed: 7, Meetings: 60, Restarts: 2, Losses: 3, Repeats: 0.3, Disorder: 5}
	a, b := New(o).Streams(), New(o).Streams()
	for i := range a {
		for j := range a[i] {
			if !bytes.Equal(a[i][j].Body(), b[i][j].Body()) {
				t.Fatalf("stream %d differs in post %d:\n%s\n%s", i, j, a[i][j].Body(), b[i][j].Body())
			}
		}
	}
}

// TestToldIsTrue: where nothing is lost and nothing restarts, the records tell exactly what was the case.
func TestToldIsTrue(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		e := New(Options{Seed: seed, Meetings: 200})
		for _, l := range e.legs {
			told := l.told()
			for i := range told {
				told[i].to = min(told[i].to, told[i].call.to)
			}
			if (l.own == nil || l.media == "") && !slices.Equal(told, l.stays) {
				t.Fatalf("seed %d, leg %s: told %v, was %v", seed, l.id, told, l.stays)
			}
		}
	}
}

// TestEverythingHappens: an estate of a usual size has each kind of thing in it.
func TestEverythingHappens(t *testing.T) {
	t.Parallel()
	o := Options{Seed: 1, Meetings: 2000, Restarts: 4, Losses: 20, Repeats: 0.3, Disorder: 10}
	e := New(o)
	o.Policy = MemberFirst
	seen := map[string]int{}
	for _, m := range New(o).Truth.Meetings {
		for i, s := range m.Segments {
			if s.Rule == "member" {
				seen["rule member"]++
			}
			if i > 0 && s.Rule == "member" && m.Segments[i-1].Rule == "owner" {
				seen["a member takes over"]++
			}
		}
	}
	for _, m := range e.Truth.Meetings {
		seen["type "+m.CallType]++
		for _, s := range m.Segments {
			seen["rule "+s.Rule]++
		}
		for is, yes := range map[string]bool{
			"incomplete": m.Incomplete, "estimated": m.Estimated, "several bridges": len(m.Bridges) > 1, "nobody": m.Most == 0,
			"many": m.Most > 9, "several segments": len(m.Segments) > 1, "without its start": m.CallType == "",
		} {
			if yes {
				seen[is]++
			}
		}
	}
	posts, records := 0, 0
	for _, s := range e.Streams() {
		for _, p := range s {
			parsed, err := cdr.Parse(p.Body())
			if err != nil {
				t.Fatalf("%v\n%s", err, p.Body())
			}
			for _, r := range parsed.Records {
				seen[string(r.Kind)]++
				if r.Missing > 0 {
					seen["missing"]++
				}
				if len(r.Unknown) > 0 {
					t.Errorf("a record has elements that no bridge sends: %v", r.Unknown)
				}
			}
			posts++
			records += p.Records()
		}
	}
	t.Logf("%d meetings, %d records, %d lost, %d posts with %d records, %d hours: %v",
		len(e.Truth.Meetings), e.Truth.Records, e.Truth.Lost, posts, records, len(e.Truth.Hours), seen)
	for _, want := range []string{
		"type coSpace", "type adHoc", "type forwarding", "type lyncConferencing", "without its start", "rule owner", "rule shared", "rule gateway",
		"rule point-to-point", "rule ad-hoc", "rule scheduler", "rule audio-only", "rule dual-home", "rule member", "a member takes over", "incomplete", "estimated", "several bridges", "nobody", "many", "several segments", "missing", "callStart", "callEnd",
		"callLegStart", "callLegUpdate", "callLegEnd", "recordingStart", "recordingEnd", "streamingStart", "streamingEnd",
	} {
		if seen[want] == 0 {
			t.Errorf("no %s", want)
		}
	}
}
