package cdr

import (
	"slices"
	"testing"
	"time"
)

// media ends a leg with what its end says of sound and picture.
func (tp *tape) media(seconds int, leg string, audio, video bool) {
	tp.at(seconds, CallLegEnd, func(r *Record) {
		r.LegID, r.DurationSeconds, r.HasMedia, r.HasVideo = leg, 1, audio || video, video
	})
}

func (tp *tape) lync(from, to int, leg, call string) {
	tp.at(from, CallLegStart, func(r *Record) { r.LegID, r.CallID, r.SubType, r.State = leg, call, "lync", StateConnected })
	tp.legEnd(to, leg, int64(to-from))
}

func (tp *tape) recorder(seconds int, kind Kind, id, leg, call string) {
	tp.at(seconds, kind, func(r *Record) { r.MediaID, r.LegID, r.CallID = id, leg, call })
}

// levelsOf folds a tape of calls with one correlator.
func levelsOf(tp *tape) []Level {
	return Fold("corr:x", tp.records, Options{}).Levels
}

func atLevel(seconds, participants int, audio, lync, media, callers int32) Level {
	return Level{at(seconds), participants, audio, lync, media, callers}
}

// TestRule19AudioOnly: a leg has sound only once its end says so, and then it had from its beginning.
func TestRule19AudioOnly(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c", "x")
	for i, leg := range []string{"audio", "video", "silent", "runs"} {
		tp.legStart(i+1, leg, "c")
		tp.update(i+1, leg, "c", StateConnected)
	}
	if got, want := levelsOf(tp), []Level{atLevel(1, 1, 0, 0, 0, 0), atLevel(2, 2, 0, 0, 0, 0), atLevel(3, 3, 0, 0, 0, 0), atLevel(4, 4, 0, 0, 0, 0)}; !slices.Equal(got, want) {
		t.Errorf("while all run: got %v", got)
	}
	tp.media(10, "audio", true, false)
	tp.media(11, "video", true, true)
	tp.media(12, "silent", false, false)
	want := []Level{atLevel(1, 1, 1, 0, 0, 0), atLevel(2, 2, 1, 0, 0, 0), atLevel(3, 3, 1, 0, 0, 0), atLevel(4, 4, 1, 0, 0, 0),
		atLevel(10, 3, 0, 0, 0, 0), atLevel(11, 2, 0, 0, 0, 0), atLevel(12, 1, 0, 0, 0, 0)}
	if got := levelsOf(tp); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestRule20PictureLeaves: a level of its own where one with a picture gives way to one without at the same moment.
func TestRule20PictureLeaves(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c", "x")
	tp.legStart(1, "a", "c")
	tp.update(1, "a", "c", StateConnected)
	tp.legStart(5, "b", "c")
	tp.update(5, "b", "c", StateConnected)
	tp.media(5, "a", true, true)
	tp.media(9, "b", true, false)
	if got, want := levelsOf(tp), []Level{atLevel(1, 1, 0, 0, 0, 0), atLevel(5, 1, 1, 0, 0, 0), atLevel(9, 0, 0, 0, 0, 0)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestRule19RecordersAreNeither: recorders and streamers take part, with or without a leg of their own, and are neither with a
// picture nor without.
func TestRule19RecordersAreNeither(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c", "x")
	tp.legStart(1, "a", "c")
	tp.update(1, "a", "c", StateConnected)
	tp.legStart(2, "rec", "c")
	tp.update(2, "rec", "c", StateConnected)
	tp.recorder(2, RecordingStart, "m1", "rec", "c")
	tp.recorder(4, StreamingStart, "m2", "", "c")
	tp.media(6, "rec", true, false)
	tp.recorder(6, RecordingEnd, "m1", "", "")
	tp.recorder(7, StreamingEnd, "m2", "", "")
	tp.media(9, "a", true, false)
	want := []Level{atLevel(1, 1, 1, 0, 0, 0), atLevel(2, 2, 1, 0, 1, 0), atLevel(4, 3, 1, 0, 2, 0), atLevel(6, 2, 1, 0, 1, 0), atLevel(7, 1, 1, 0, 0, 0), atLevel(9, 0, 0, 0, 0, 0)}
	if got := levelsOf(tp); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestRule18LyncLegs: the calls that have a leg to Lync are counted once each, whatever its legs.
func TestRule18LyncLegs(t *testing.T) {
	t.Parallel()
	tp := &tape{session: "s"}
	tp.callStart(0, "c", "x")
	tp.callStart(0, "d", "x")
	tp.lync(1, 20, "l1", "c")
	tp.lync(2, 18, "l2", "c")
	tp.lync(3, 9, "l3", "d")
	tp.joined(4, 15, "sip", "d")
	want := []Level{atLevel(1, 1, 0, 1, 0, 1), atLevel(2, 2, 0, 2, 0, 1), atLevel(3, 3, 0, 3, 0, 2), atLevel(4, 4, 0, 3, 0, 2),
		atLevel(9, 3, 0, 2, 0, 1), atLevel(15, 2, 0, 2, 0, 1), atLevel(18, 1, 0, 1, 0, 1), atLevel(20, 0, 0, 0, 0, 0)}
	if got := levelsOf(tp); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func at(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
