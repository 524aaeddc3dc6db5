package meeting

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// estate is the content of a directory.
type estate struct {
	users  []User
	spaces []Space
}

func (e estate) directory() *Directory { return NewDirectory(7, e.users, e.spaces, nil) }

func quay() estate {
	return estate{
		users: []User{{JID: "ines@quay.example", Personal: true}, {JID: "noor@quay.example"}},
		spaces: []Space{
			{ID: "space-of-ines", Name: "harbor", Owner: "Ines@Quay.example"},
			{ID: "space-of-noor", Name: "dock", Owner: "noor@quay.example"},
			{ID: "space-of-nobody", Name: "crane"},
			{ID: "space-of-gone", Owner: "gone@quay.example"},
		},
	}
}

var began = time.Date(2024, 3, 5, 9, 0, 0, 0, time.UTC)

func second(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }

// call makes an ended call of 100 seconds from pairs of second and participants.
func call(typ, space string, pairs ...int) Call {
	c := Call{ID: "c", Type: typ, Space: space, Name: "Harbor plan", Start: began, End: second(100)}
	for i := 0; i < len(pairs); i += 2 {
		c.Levels = append(c.Levels, Level{At: second(pairs[i]), Participants: pairs[i+1]})
	}
	return c
}

// lines prints segments as "0-50 shared 1/6 point-to-point".
func lines(d Decision) []string {
	var out []string
	for _, s := range d.Segments {
		to := "now"
		if !s.To.IsZero() {
			to = fmt.Sprint(s.To.Sub(began).Seconds())
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%v-%s %s %s %s %s", s.From.Sub(began).Seconds(), to, s.License, s.Sixths, s.Rule, s.User)))
	}
	return out
}

func codes(facts []Fact) []string {
	var out []string
	for _, f := range facts {
		out = append(out, f.Code)
	}
	return out
}

func TestDecideOwnerFirst(t *testing.T) {
	t.Parallel()
	running := call(TypeSpace, "space-of-ines", 10, 1)
	running.End = time.Time{}
	for name, tc := range map[string]struct {
		call     Call
		segments []string
		why      []string
	}{
		"rule 13: nobody is known as owner": {call(TypeSpace, "space-unheard-of", 0, 3, 90, 0),
			[]string{"0-90 shared 1 shared"}, []string{SpaceUnknown, SchedulerNobody, TakesShared, HelpDirectory, HelpScheduler}},
		"rule 13: space without owner": {call(TypeSpace, "space-of-nobody", 0, 3),
			[]string{"0-100 shared 1 shared"}, []string{SpaceWithoutOwner, SchedulerNobody, TakesShared, HelpDirectory, HelpScheduler}},
		"rule 13: owner not in the directory": {call(TypeSpace, "space-of-gone", 0, 3),
			[]string{"0-100 shared 1 shared"}, []string{OwnerUnknown, TakesShared, HelpUser}},
		"rule 14: owner without license, whoever joins": {call(TypeSpace, "space-of-noor", 0, 3),
			[]string{"0-100 shared 1 shared"}, []string{OwnerWithoutLicense, TakesShared, HelpLicense}},
		"rule 14: owner with license, absent or not": {call(TypeSpace, "SPACE-of-Ines", 0, 1, 20, 5, 90, 2),
			[]string{"0-100 personal 1 owner ines@quay.example"}, []string{OwnerPersonal, OwnerAbsence}},
		"rule 18: gateway": {call(TypeGateway, "", 0, 1, 5, 2, 6, 9),
			[]string{"0-100 shared 1/6 gateway"}, []string{GatewayCall}},
		"rule 18: gateway into a space of a license holder": {call(TypeGateway, "space-of-ines", 0, 2),
			[]string{"0-100 shared 1/6 gateway"}, []string{GatewayCall}},
		"rule 18: a dual-homed Lync meeting counts whole": {call(TypeLync, "", 0, 2),
			[]string{"0-100 shared 1 dual-home"}, []string{LyncCall, TakesShared}},
		"rule 19: two people in a space are a meeting": {call(TypeSpace, "space-of-noor", 0, 2),
			[]string{"0-100 shared 1 shared"}, []string{OwnerWithoutLicense, TakesShared, HelpLicense}},
		"rule 19: point-to-point": {call(TypeAdHoc, "", 0, 1, 5, 2),
			[]string{"0-100 shared 1/6 point-to-point"}, []string{NoSpace}},
		"rule 19: only ad hoc calls are point-to-point": {call("novel", "", 0, 2),
			[]string{"0-100 shared 1 shared"}, []string{NoSpace, NotAdHoc, TakesShared}},
		"rule 19: nor are calls of unknown type": {call("", "", 0, 2),
			[]string{"0-100 shared 1 shared"}, []string{TypeNotKnown, TakesShared}},
		"rule 20: a third joins and leaves": {call(TypeAdHoc, "", 0, 2, 30, 3, 40, 4, 60, 2, 80, 0),
			[]string{"0-30 shared 1/6 point-to-point", "30-60 shared 1 shared", "60-80 shared 1/6 point-to-point"}, []string{NoSpace}},
		"nobody for a while": {call(TypeSpace, "space-of-nobody", 0, 2, 30, 0, 60, 1, 70, 0),
			[]string{"0-30 shared 1 shared", "60-70 shared 1 shared"}, []string{SpaceWithoutOwner, SchedulerNobody, TakesShared, HelpDirectory, HelpScheduler}},
		"nobody at all": {call(TypeSpace, "space-of-ines"), nil, []string{OwnerPersonal, OwnerAbsence, NobodyJoined}},
		"no length":     {call(TypeSpace, "space-of-ines", 100, 3), nil, []string{OwnerPersonal, OwnerAbsence, NobodyJoined}},
		"running":       {running, []string{"10-now personal 1 owner ines@quay.example"}, []string{OwnerPersonal, OwnerAbsence}},
		"just opened":   {Call{Type: TypeAdHoc, Start: began}, nil, []string{NoSpace, NobodyYet}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Decide(OwnerFirst(), tc.call, quay().directory())
			if !slices.Equal(lines(got), tc.segments) || !slices.Equal(codes(got.Why), tc.why) {
				t.Errorf("got  %q because %q\nwant %q because %q", lines(got), codes(got.Why), tc.segments, tc.why)
			}
			if got.Policy != OwnerFirst() || got.DirectoryVersion != 7 {
				t.Errorf("got policy %+v on directory %d", got.Policy, got.DirectoryVersion)
			}
		})
	}
}

// TestRule14OwnerFirst: the owner's license pays whether or not the owner joins, and whoever joins, before or later, changes neither
// that nor that a shared one is taken where the owner holds none.
func TestRule14OwnerFirst(t *testing.T) {
	t.Parallel()
	owner, guest := Member{"Ines", "ines@quay.example", second(40)}, Member{"Noor", "noor@quay.example", second(0)}
	for space, want := range map[string]string{
		"space-of-ines": "0-100 personal 1 owner ines@quay.example", "space-of-noor": "0-100 shared 1 shared", "space-of-nobody": "0-100 shared 1 shared",
	} {
		for _, joined := range [][]Member{nil, {guest}, {guest, owner}, {owner}} {
			c := call(TypeSpace, space, 0, 1, 40, 3)
			c.Members = joined
			if got := lines(Decide(OwnerFirst(), c, quay().directory())); !slices.Equal(got, []string{want}) {
				t.Errorf("%s with %v: got %q, want %q", space, joined, got, want)
			}
		}
	}
}

func TestSegmentsSayWhy(t *testing.T) {
	t.Parallel()
	got := Decide(OwnerFirst(), call(TypeAdHoc, "", 0, 2, 30, 3), quay().directory())
	for i, want := range [][]string{{NoSpace, PointToPoint}, {NoSpace, MoreThanTwo, AdHocNobody, TakesShared, HelpCallControl}} {
		if !slices.Equal(codes(got.Segments[i].Why), want) {
			t.Errorf("segment %d: got %q, want %q", i, codes(got.Segments[i].Why), want)
		}
	}
}

// TestRule34LaterDirectory: the decision follows the directory it is given; the
// caller gives a running meeting the one it began with.
func TestRule34LaterDirectory(t *testing.T) {
	t.Parallel()
	first, later := quay(), quay()
	later.users[0].Personal = false
	c := call(TypeSpace, "space-of-ines", 0, 3)
	if a, b := Decide(OwnerFirst(), c, first.directory()), Decide(OwnerFirst(), c, first.directory()); !reflect.DeepEqual(a, b) || a.Segments[0].License != Personal {
		t.Errorf("got %+v and %+v", a, b)
	}
	if got := Decide(OwnerFirst(), c, later.directory()); got.Segments[0].License != Shared {
		t.Errorf("got %+v, want a shared license", got)
	}
}

func TestSegmentsAreAPartition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := Call{Type: rapid.SampledFrom([]string{TypeAdHoc, TypeSpace, TypeGateway, TypeLync, ""}).Draw(t, "type"),
			Space: rapid.SampledFrom([]string{"", "space-of-ines", "space-of-noor"}).Draw(t, "space"), Start: began}
		at := 0
		for range rapid.IntRange(0, 12).Draw(t, "levels") {
			at += rapid.IntRange(0, 5).Draw(t, "gap")
			c.Levels = append(c.Levels, Level{At: second(at), Participants: rapid.IntRange(0, 4).Draw(t, "participants")})
		}
		if rapid.Bool().Draw(t, "ended") {
			c.End = second(rapid.IntRange(0, at+5).Draw(t, "end"))
		}
		got := Decide(OwnerFirst(), c, quay().directory()).Segments
		for i, s := range got {
			if open := s.To.IsZero(); open && (i+1 < len(got) || !c.End.IsZero()) || !open && !s.To.After(s.From) || len(s.Why) == 0 {
				t.Errorf("segment %d of %+v is wrong", i, got)
			}
			if i > 0 {
				before := got[i-1]
				if s.From.Before(before.To) || s.From.Equal(before.To) && s.Rule == before.Rule {
					t.Errorf("segments %d and %d of %+v overlap or should be one", i-1, i, got)
				}
			}
		}
		for sec := range at + 3 {
			present := 0
			for _, l := range c.Levels {
				if !l.At.After(second(sec)) {
					present = l.Participants
				}
			}
			want := present > 0 && (c.End.IsZero() || second(sec).Before(c.End))
			in := slices.ContainsFunc(got, func(s Segment) bool {
				return !s.From.After(second(sec)) && (s.To.IsZero() || s.To.After(second(sec)))
			})
			if in != want {
				t.Errorf("second %d of %+v: licensed %v, want %v", sec, c, in, want)
			}
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	directory := quay().directory()
	for name, c := range map[string]Call{
		"owner":  call(TypeSpace, "space-of-ines", 0, 1, 5, 2, 9, 3, 20, 2, 30, 1, 40, 0),
		"shared": call(TypeSpace, "space-of-noor", 0, 1, 5, 2, 9, 3, 20, 2, 30, 1, 40, 0),
		"ad-hoc": call(TypeAdHoc, "", 0, 1, 5, 2, 9, 3, 20, 2, 30, 1, 40, 0),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Decide(OwnerFirst(), c, directory)
			}
		})
	}
}
