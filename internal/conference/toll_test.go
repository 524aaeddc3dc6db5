package conference

import (
	"testing"
	"time"
)

// TestTollOnGarbage: some bodies that cannot be read are answered at once; of very many each waits, never longer than the most.
func TestTollOnGarbage(t *testing.T) {
	t.Parallel()
	var toll toll
	now := start
	for i := range tollFree {
		if wait := toll.pay(now); wait != 0 {
			t.Fatalf("number %d waits %v", i, wait)
		}
	}
	for i := range 3 {
		if wait, want := toll.pay(now), time.Duration(i+1)*tollEvery; wait != want {
			t.Errorf("number %d beyond the free ones waits %v, want %v", i, wait, want)
		}
	}
	for range 1000 {
		toll.pay(now)
	}
	if wait := toll.pay(now); wait != tollMost {
		t.Errorf("after very many: %v, want %v", wait, tollMost)
	}
	if wait := toll.pay(now.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later: %v, want none", wait)
	}
}
