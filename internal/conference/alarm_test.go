package conference

import (
	"testing"
	"time"
)

// TestACallBridgeThatNeverAnsweredIsUnreadableSinceItWasSet: a check that waits for an alarm of some age must see it grow.
func TestACallBridgeThatNeverAnsweredIsUnreadableSinceItWasSet(t *testing.T) {
	t.Parallel()
	set := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	now := set.Add(time.Hour)
	a := BridgeAPI{ID: "api_1", SetAt: set, Found: APIState{AskedAt: now, Failure: &Refusal{Code: "bridge-away"}}}
	if got := a.alarms("acc_1", now); len(got) != 1 || got[0].Type != "callBridgeUnreadable" || got[0].ActiveSeconds != 3600 {
		t.Errorf("never answered: got %+v", got)
	}
	a.Found.AnsweredAt = now.Add(-time.Minute)
	if got := a.alarms("acc_1", now); len(got) != 1 || got[0].ActiveSeconds != 60 {
		t.Errorf("answered a minute ago: got %+v", got)
	}
	a.Found.Failure = nil
	if got := a.alarms("acc_1", now); len(got) != 0 {
		t.Errorf("readable: got %+v", got)
	}
}
