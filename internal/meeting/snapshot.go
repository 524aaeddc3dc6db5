package meeting

import (
	"slices"
	"strconv"
	"time"
)

// Share is an amount of whole meetings in parts of WholeShare, so that a
// meeting on several call bridges is divided among them without rounding.
type Share int64

// WholeShare is one meeting: it can be divided by every number up to 24, the
// most call bridges of a cluster.
const WholeShare Share = 5_354_228_880

// Decimal writes the amount with so many decimals, rounded half up, as call
// bridges do: "1.00".
func (s Share) Decimal(places int) string {
	scale := int64(1)
	for range places {
		scale *= 10
	}
	whole, rest := int64(s/WholeShare), int64(s%WholeShare)
	part := (rest*scale*2 + int64(WholeShare)) / (2 * int64(WholeShare))
	if part == scale {
		whole, part = whole+1, 0
	}
	text := strconv.FormatInt(scale+part, 10)[1:]
	if places == 0 {
		return strconv.FormatInt(whole, 10)
	}
	return strconv.FormatInt(whole, 10) + "." + text
}

// SnapshotEvery is the time between two snapshots of a call bridge.
const SnapshotEvery = 5 * time.Minute

// Snapshot is the use at one instant in the classes of the call bridges' own
// snapshots.
type Snapshot struct {
	At           time.Time
	Personal     Share // pmp
	Assigned     int64 // pmpAssigned: users who hold a personal license
	Audio        Share // smpAud
	PointToPoint Share // smpPtP
	Full         Share // smpFull
	Recordings   Share // rec
	Streams      Share // str
}

// Shared returns the shared licenses that the snapshot comes to: whole ones and
// a sixth for each audio-only and point-to-point call (domain rule 26). Parts
// of a sixth, which snapshots of one call bridge among several may have, round
// down.
func (s Snapshot) Shared() Sixths {
	return Sixths((s.Full*Share(Full) + s.Audio + s.PointToPoint) / WholeShare)
}

// add counts a taking with a sign. A taking of several units counts as often.
func (s *Snapshot) add(class Class, units Share) {
	switch class {
	case ClassPersonal:
		s.Personal += units
	case ClassAudio:
		s.Audio += units
	case ClassPointToPoint:
		s.PointToPoint += units
	case ClassFull:
		s.Full += units
	case ClassRecording:
		s.Recordings += units
	case ClassStream:
		s.Streams += units
	}
}

// Snapshots returns the use at from and every so often after it, before to. With
// a call bridge, only what is on it counts, and in parts where a meeting is on
// others too; without one, all of the cluster does.
func Snapshots(takings []Taking, bridge string, from, to time.Time, every time.Duration) []Snapshot {
	if every <= 0 || !from.Before(to) {
		return nil
	}
	type move struct {
		at    int // index of the first snapshot that sees it
		class Class
		units Share
	}
	out := make([]Snapshot, (to.Sub(from)+every-1)/every)
	seen := func(t time.Time) int {
		return int(max(0, min((t.Sub(from)+every-1)/every, time.Duration(len(out)))))
	}
	var moves []move
	for i := range takings {
		t := &takings[i]
		units := WholeShare * Share(t.Sixths) / Share(t.Class.unit())
		if bridge != "" {
			if !slices.Contains(t.Bridges, bridge) {
				continue
			}
			units /= Share(len(t.Bridges))
		}
		begin, end := seen(t.From), len(out)
		if !t.To.IsZero() {
			end = seen(t.To)
		}
		if begin < end {
			moves = append(moves, move{begin, t.Class, units}, move{end, t.Class, -units})
		}
	}
	slices.SortFunc(moves, func(a, b move) int { return a.at - b.at })
	var sum Snapshot
	for i, n := 0, 0; i < len(out); i++ {
		for ; n < len(moves) && moves[n].at == i; n++ {
			sum.add(moves[n].class, moves[n].units)
		}
		out[i] = sum
		out[i].At = from.Add(time.Duration(i) * every)
	}
	return out
}
