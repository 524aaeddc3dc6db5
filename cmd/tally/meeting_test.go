package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
)

// TestAListSaysEveryLicenseOfAMeeting: one that went from a shared license to a personal one took both.
func TestAListSaysEveryLicenseOfAMeeting(t *testing.T) {
	t.Parallel()
	const smp, pmp = "cms-smp-plus", "cms-pmp-plus"
	for name, tc := range map[string]struct {
		segments    []api.Segment
		taken, user string
	}{
		"nothing":               {},
		"a sixth, then whole":   {[]api.Segment{{Tag: smp, Sixths: 1}, {Tag: smp, Sixths: 6}, {Tag: smp, Sixths: 1}}, smp, ""},
		"shared, then personal": {[]api.Segment{{Tag: smp, Sixths: 1}, {Tag: pmp, Sixths: 6, User: "ines"}}, "1/6 " + smp + ", " + pmp, "ines"},
		"one after the other":   {[]api.Segment{{Tag: pmp, Sixths: 6, User: "noor"}, {Tag: pmp, Sixths: 6, User: "ines"}, {Tag: pmp, Sixths: 6, User: "noor"}}, pmp, "noor, ines"},
	} {
		if taken, user := takenBy(api.Meeting{Segments: tc.segments}); taken != tc.taken || user != tc.user {
			t.Errorf("%s: got %q charged to %q, want %q charged to %q", name, taken, user, tc.taken, tc.user)
		}
	}
}

func TestWhyOfAMeetingThatRuns(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	writeSegments(&b, []api.Segment{{From: time.Date(2024, 3, 5, 9, 0, 0, 0, time.UTC), Tag: "cms-smp-plus", Sixths: 6, Rule: "shared"}})
	if want := "2024-03-05 09:00:00Z to now: cms-smp-plus (rule shared)"; !strings.Contains(b.String(), want) {
		t.Errorf("got %q, want %q in it", b.String(), want)
	}
}

// TestWhyOfAMeetingWithoutAnEnd: who sees that it runs is told that it no longer counts.
func TestWhyOfAMeetingWithoutAnEnd(t *testing.T) {
	t.Parallel()
	from := time.Date(2024, 3, 5, 9, 0, 0, 0, time.UTC)
	to := from.AddDate(0, 0, 31)
	var b bytes.Buffer
	writeSegments(&b, []api.Segment{{From: from, CountedTo: &to, Tag: "cms-smp-plus", Sixths: 6, Rule: "shared"}})
	for _, want := range []string{"2024-03-05 09:00:00Z on, no end heard: cms-smp-plus (rule shared)", "this one until 2024-04-05 09:00:00Z."} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("got %q, want %q in it", b.String(), want)
		}
	}
}

func TestReplayWritesNoOtherPolicy(t *testing.T) {
	t.Parallel()
	err := replayCmd{Policy: "member-first", Write: true}.Run(t.Context(), &shell{})
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "not written") {
		t.Errorf("got %v, want a usage error", err)
	}
}
