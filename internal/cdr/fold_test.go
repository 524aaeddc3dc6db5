package cdr

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var began = time.Date(2024, 3, 5, 9, 0, 0, 0, time.UTC)

// tape writes the records of one session, a correlator after the other.
type tape struct {
	session, bridge string
	records         []*Record
}

// at adds a record made so many seconds after the beginning.
func (tp *tape) at(seconds int, kind Kind, fill func(*Record)) {
	r := &Record{Kind: kind, At: began.Add(time.Duration(seconds) * time.Second), Session: tp.session, CallBridge: tp.bridge, Correlator: int64(len(tp.records))}
	fill(r)
	copy(r.Digest[:], fmt.Sprintf("%s/%d", tp.session, r.Correlator))
	tp.records = append(tp.records, r)
}

func (tp *tape) callStart(seconds int, call, corr string) {
	tp.at(seconds, CallStart, func(r *Record) {
		r.CallID, r.CallCorrelator, r.CallType, r.Name, r.Space = call, corr, "coSpace", "Harbor plan", spaceA
	})
}

func (tp *tape) callEnd(seconds int, call string, duration, legs int64) {
	tp.at(seconds, CallEnd, func(r *Record) {
		r.CallID, r.DurationSeconds, r.LegsCompleted, r.LegsMaxActive = call, duration, legs, legs
	})
}

func (tp *tape) legStart(seconds int, leg, call string) {
	tp.at(seconds, CallLegStart, func(r *Record) {
		r.LegID, r.CallID, r.DisplayName, r.RemoteParty, r.InIVR = leg, call, "name of "+leg, leg+"@quay.example", call == ""
	})
}

func (tp *tape) update(seconds int, leg, call, state string) {
	tp.at(seconds, CallLegUpdate, func(r *Record) { r.LegID, r.CallID, r.State = leg, call, state })
}

func (tp *tape) legEnd(seconds int, leg string, duration int64) {
	tp.at(seconds, CallLegEnd, func(r *Record) { r.LegID, r.DurationSeconds, r.Reason = leg, duration, "remoteTeardown" })
}

// joined has a leg in a call from one second to another.
func (tp *tape) joined(from, to int, leg, call string) {
	tp.legStart(from, leg, call)
	tp.update(from, leg, call, StateConnected)
	tp.legEnd(to, leg, int64(to-from))
}

// levels prints a step function as "0:1 5:2 9:0".
func levels(c Conference) string {
	var out []string
	for _, l := range c.Levels {
		out = append(out, fmt.Sprintf("%d:%d", int(l.At.Sub(began).Seconds()), l.Participants))
	}
	return strings.Join(out, " ")
}

func TestFoldRules(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		key        string
		write      func(*tape)
		levels     string
		max        int
		duration   int64
		began      int // second, from the records
		running    bool
		incomplete bool
	}{
		"plain meeting": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.joined(1, 9, "l1", "c")
			tp.joined(4, 6, "l2", "c")
			tp.callEnd(9, "c", 10, 2)
		}, levels: "1:1 4:2 6:1 9:0", max: 2, duration: 10},
		"still running": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.joined(1, 9, "l1", "c")
		}, levels: "1:1 9:0", max: 1, running: true},
		"nobody joined": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.callEnd(9, "c", 9, 0)
		}, duration: 9},
		"one leaves as another joins: never both": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.joined(1, 5, "l1", "c")
			tp.joined(5, 9, "l2", "c")
			tp.callEnd(9, "c", 9, 2)
		}, levels: "1:1 9:0", max: 1, duration: 9},
		"rule 8: leg from its update when the start is missing": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.update(2, "l1", "c", StateConnected)
			tp.legEnd(7, "l1", 6)
			tp.callEnd(9, "c", 9, 1)
		}, levels: "2:1 7:0", max: 1, duration: 9, incomplete: true},
		"rule 8: the end of the call ends its legs": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.legStart(1, "l1", "c")
			tp.update(1, "l1", "c", StateConnected)
			tp.callEnd(9, "c", 9, 1)
		}, levels: "1:1 9:0", max: 1, duration: 9, incomplete: true},
		"rule 8: a leg in the voice menu joins when a call appears": {write: func(tp *tape) {
			tp.legStart(0, "l1", "")
			tp.callStart(3, "c", "m")
			tp.update(4, "l1", "c", StateConnected)
			tp.legEnd(8, "l1", 8)
			tp.callEnd(8, "c", 5, 1)
		}, levels: "4:1 8:0", max: 1, duration: 5, began: 3},
		"rule 8: back to the voice menu is out of the call": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.legStart(1, "l1", "c")
			tp.update(1, "l1", "c", StateConnected)
			tp.at(5, CallLegUpdate, func(r *Record) { r.LegID, r.State, r.InIVR = "l1", StateConnected, true })
			tp.legEnd(8, "l1", 7)
			tp.callEnd(9, "c", 9, 1)
		}, levels: "1:1 5:0", max: 1, duration: 9},
		"rule 9: the lobby is not the meeting": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.legStart(1, "l1", "c")
			tp.at(1, CallLegUpdate, func(r *Record) { r.LegID, r.CallID, r.State, r.Deactivated = "l1", "c", StateConnected, true })
			tp.update(4, "l1", "c", StateConnected)
			tp.legEnd(8, "l1", 7)
			tp.callEnd(9, "c", 9, 1)
		}, levels: "4:1 8:0", max: 1, duration: 9},
		"rule 9: links between bridges are not participants": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.at(1, CallLegStart, func(r *Record) { r.LegID, r.CallID, r.SubType = "link", "c", "distributionLink" })
			tp.update(1, "link", "c", StateConnected)
			tp.legEnd(8, "link", 7)
			tp.callEnd(9, "c", 9, 1)
		}, duration: 9},
		"a leg that only rang never took part": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.legStart(1, "l1", "c")
			tp.legEnd(8, "l1", 0)
			tp.callEnd(9, "c", 9, 1)
		}, duration: 9},
		"no update came, yet the end counts seconds": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.legStart(1, "l1", "c")
			tp.legEnd(8, "l1", 7)
			tp.callEnd(9, "c", 9, 1)
		}, levels: "1:1 8:0", max: 1, duration: 9},
		"an update without state does not disconnect": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.legStart(1, "l1", "c")
			tp.update(2, "l1", "c", StateConnected)
			tp.update(5, "l1", "c", "")
			tp.legEnd(8, "l1", 7)
			tp.callEnd(9, "c", 9, 1)
		}, levels: "2:1 8:0", max: 1, duration: 9},
		"the start of the call is missing: it began as long before its end as it lasted": {write: func(tp *tape) {
			tp.joined(1, 9, "l1", "c")
			tp.callEnd(9, "c", 9, 1)
		}, key: "call:c", levels: "1:1 9:0", max: 1, duration: 9, incomplete: true},
		"legs are missing: the bridge's figure counts": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.joined(1, 9, "l1", "c")
			tp.callEnd(9, "c", 9, 4)
		}, levels: "1:1 9:0", max: 4, duration: 9, incomplete: true},
		"a leg that moves on to another meeting": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.legStart(1, "l1", "c")
			tp.update(1, "l1", "c", StateConnected)
			tp.update(4, "l1", "other", StateConnected)
			tp.legEnd(8, "l1", 7)
			tp.callEnd(9, "c", 9, 1)
		}, levels: "1:1 4:0", max: 1, duration: 9},
		"rule 10: calls of one correlator are one meeting": {write: func(tp *tape) {
			tp.callStart(0, "c1", "m")
			tp.joined(1, 9, "l1", "c1")
			tp.callStart(2, "c2", "m")
			tp.joined(3, 6, "l2", "c2")
			tp.callEnd(7, "c2", 5, 1)
			tp.callEnd(9, "c1", 9, 1)
		}, levels: "1:1 3:2 6:1 9:0", max: 2, duration: 9},
		"rule 10: it runs while one of its calls does": {write: func(tp *tape) {
			tp.callStart(0, "c1", "m")
			tp.callStart(2, "c2", "m")
			tp.callEnd(7, "c2", 5, 0)
		}, running: true},
		"rule 19: a recorder without a leg of its own counts": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.joined(1, 9, "l1", "c")
			tp.at(3, RecordingStart, func(r *Record) { r.MediaID, r.LegID, r.CallID = "rec", "l9", "c" })
			tp.at(6, RecordingEnd, func(r *Record) { r.MediaID = "rec" })
			tp.callEnd(9, "c", 9, 1)
		}, levels: "1:1 3:2 6:1 9:0", max: 2, duration: 9},
		"rule 19: a recorder that is a leg counts once": {write: func(tp *tape) {
			tp.callStart(0, "c", "m")
			tp.joined(1, 9, "l1", "c")
			tp.at(3, RecordingStart, func(r *Record) { r.MediaID, r.LegID, r.CallID = "rec", "l1", "c" })
			tp.callEnd(9, "c", 9, 1)
		}, levels: "1:1 9:0", max: 1, duration: 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tp := &tape{session: "s", bridge: "b"}
			tc.write(tp)
			if tc.key == "" {
				tc.key = "corr:m"
			}
			got := Fold(tc.key, tp.records, Options{})
			if levels(got) != tc.levels || got.ParticipantsMax != tc.max || got.DurationSeconds != tc.duration ||
				got.End.IsZero() != tc.running || got.Incomplete != tc.incomplete || got.Estimated || !got.Start.Equal(began.Add(time.Duration(tc.began)*time.Second)) {
				t.Errorf("got levels %q max %d duration %d, %v to %v, incomplete %v, estimated %v; want %+v",
					levels(got), got.ParticipantsMax, got.DurationSeconds, got.Start, got.End, got.Incomplete, got.Estimated, tc)
			}
		})
	}
}

func TestFoldDescribes(t *testing.T) {
	t.Parallel()
	a, b := &tape{session: "s1", bridge: "bridge-1"}, &tape{session: "s2"}
	a.callStart(0, "c1", "m")
	a.joined(1, 9, "l1", "c1")
	a.callEnd(10, "c1", 10, 1)
	b.callStart(2, "c2", "m")
	b.callEnd(12, "c2", 10, 0)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	want := Conference{Key: "corr:m", Name: "Harbor plan", CallType: "coSpace", Space: spaceA, Calls: []string{"c1", "c2"},
		Bridges: []string{"bridge-1", "s2"}, Start: at(0), End: at(12), DurationSeconds: 12, ParticipantsMax: 1,
		Levels:       []Level{{At: at(1), Participants: 1}, {At: at(9)}},
		Participants: []Participant{{Leg: "l1", Call: "c1", DisplayName: "name of l1", RemoteParty: "l1@quay.example", From: at(1), To: at(9), Reason: "remoteTeardown"}},
		LastRecordAt: at(12)}
	if got := Fold("corr:m", append(b.records, a.records...), Options{}); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRule05RestartClosesTheCallsOfTheSession(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c", "m")
	tp.legStart(1, "l1", "c")
	tp.update(1, "l1", "c", StateConnected)
	tp.update(7, "l1", "c", StateConnected)
	for name, tc := range map[string]struct{ closed, end int }{"later": {9, 9}, "earlier than the last record": {5, 7}} {
		got := Fold("corr:m", tp.records, Options{ClosedAt: map[string]time.Time{"s": began.Add(time.Duration(tc.closed) * time.Second)}})
		want := fmt.Sprintf("1:1 %d:0", tc.end)
		if !got.Estimated || levels(got) != want || !got.End.Equal(began.Add(time.Duration(tc.end)*time.Second)) || got.DurationSeconds != int64(tc.end) {
			t.Errorf("%s: got %+v, want estimated with levels %s", name, got, want)
		}
	}
	if got := Fold("corr:m", tp.records, Options{ClosedAt: map[string]time.Time{"other": began}}); got.Estimated || !got.End.IsZero() {
		t.Errorf("another session's restart closed the call: %+v", got)
	}
}

// TestRule11SpaceMeeting has the shape of a recorded meeting: a leg without
// start and end, an update without state right before an end.
func TestRule11SpaceMeeting(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c", "m")
	tp.legStart(0, "l1", "c")
	tp.update(0, "l1", "c", StateConnected)
	tp.legStart(42, "l2", "c")
	tp.update(42, "l2", "c", StateConnected)
	tp.update(101, "l3", "c", StateConnected)
	tp.legEnd(3954, "l1", 3953)
	tp.update(3954, "l2", "c", "")
	tp.legEnd(3954, "l2", 3912)
	tp.callEnd(3954, "c", 3955, 3)
	got := Fold("corr:m", tp.records, Options{})
	if got.DurationSeconds != 3955 || got.ParticipantsMax != 3 || got.End.IsZero() || levels(got) != "0:1 42:2 101:3 3954:0" {
		t.Errorf("got %+v", got)
	}
	for _, p := range got.Participants {
		if p.To.IsZero() {
			t.Errorf("leg %s is still open", p.Leg)
		}
	}
}

func TestFoldOfConflictDoesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c", "m")
	tp.callEnd(9, "c", 9, 0)
	other := *tp.records[1]
	other.DurationSeconds, other.Digest[0] = 600, 0
	a := Fold("corr:m", append(slices.Clone(tp.records), &other), Options{})
	b := Fold("corr:m", append([]*Record{&other}, tp.records...), Options{})
	if !reflect.DeepEqual(a, b) || a.DurationSeconds != 600 {
		t.Errorf("got %+v and %+v", a, b)
	}
}

// large is a meeting of so many legs over two bridges.
func large(legs int) []*Record {
	a, b := &tape{session: "s1"}, &tape{session: "s2"}
	a.callStart(0, "c1", "m")
	b.callStart(0, "c2", "m")
	for i := range legs {
		tp, call := a, "c1"
		if i%2 == 1 {
			tp, call = b, "c2"
		}
		tp.joined(i, 2*legs-i, fmt.Sprintf("44444444-aaaa-4000-8000-%012d", i), call)
	}
	return append(a.records, b.records...)
}

func BenchmarkFold(b *testing.B) {
	records := large(10)
	rt := NewRouter()
	for _, r := range records {
		rt.Add(r)
	}
	b.Run("router", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rt.Fold("corr:m", Options{})
		}
	})
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	b.Run("records", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Fold("corr:m", records, Options{})
		}
	})
}
