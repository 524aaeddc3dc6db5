package license

import (
	"strings"
	"testing"
	"time"
)

// TestStatesOfInstance goes through the rows of section 13.6.
func TestStatesOfInstance(t *testing.T) {
	t.Parallel()
	good := InstanceStanding{ID: "ins_1", Expires: noon.Add(365 * day), Next: noon.Add(30 * day), Status: StatusAuthorized}
	with := func(change func(s *InstanceStanding)) InstanceStanding { s := good; change(&s); return s }
	for _, c := range []struct {
		name string
		s    InstanceStanding
		at   time.Time
		want InstanceState
		next string
	}{
		{"registered", good, noon, InstanceActive, ""},
		{"ten days late", good, noon.Add(40 * day), InstanceActive, ""},
		{"later", good, noon.Add(40*day + 1), InstanceOverdue, "doctor"},
		{"a second before its certificate ends", with(func(s *InstanceStanding) { s.Next = noon.Add(360 * day) }), noon.Add(365*day - time.Second), InstanceActive, ""},
		{"its certificate ended", good, noon.Add(365 * day), InstanceExpired, "new one"},
		{"two copies", with(func(s *InstanceStanding) { s.Forked = noon }), noon.Add(400 * day), InstanceDuplicate, "settle ins_1"},
		{"removed", with(func(s *InstanceStanding) { s.Removed, s.Forked = true, noon }), noon, InstanceRemoved, ""},
		{"never reported", with(func(s *InstanceStanding) { s.Next = time.Time{} }), noon.Add(300 * day), InstanceActive, ""},
		{"short", with(func(s *InstanceStanding) { s.Status = StatusOutOfCompliance }), noon, InstanceActive, ""},
		{"was short", with(func(s *InstanceStanding) { s.Status, s.Covered = StatusOutOfCompliance, true }), noon, InstanceActive, "asks at once"},
	} {
		got, next := StateOfInstance(c.s, c.at)
		if got != c.want || (next == "") != (c.next == "") || !strings.Contains(next, c.next) {
			t.Errorf("%s: %s, %q; want %s with %q", c.name, got, next, c.want, c.next)
		}
	}
}
