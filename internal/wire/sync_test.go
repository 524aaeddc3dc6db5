package wire

import (
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/license"
)

// TestReservedLines: a file says in a sentence and in lines what reservations hold, and what no satellite says is refused.
func TestReservedLines(t *testing.T) {
	t.Parallel()
	const smp = license.Tag("cms-smp-plus")
	said := func(reserved ...SyncReserved) *SyncRequest {
		return &SyncRequest{
			Exchange: SyncExchange{Satellite: "sat_1", Account: "acc_1", Epoch: 1, Number: 1},
			VAs:      []SyncVA{{ID: "va_1", Name: "Plant"}, {ID: "va_2", Name: "Lab"}},
			Stock:    []SyncStock{{VA: "va_1", Lot: "lot_1", Applied: 9, Held: 5}, {VA: "va_1", Lot: "lot_2", Held: 4}, {VA: "va_2", Lot: "lot_1", Held: 4}},
			Reserved: reserved,
		}
	}
	good := said(SyncReserved{"va_1", "lot_1", smp, 5}, SyncReserved{"va_1", "lot_2", smp, 1}, SyncReserved{"va_2", "lot_1", smp, 2})
	text, err := good.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Reservations hold 2 of cms-smp-plus in the virtual account \"Lab\".\n# Reservations hold 6 of cms-smp-plus in the virtual account \"Plant\".\n",
		`reserved {"va":"va_2","lot":"lot_1","tag":"cms-smp-plus","count":2}` + "\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("missing %q in\n%s", want, text)
		}
	}
	if back, err := ParseSyncRequest(text); err != nil || len(back.Reserved) != 3 || back.Reserved[1] != good.Reserved[1] {
		t.Errorf("read back: %+v, %v", back, err)
	}
	if none, err := said().Text(); err != nil || strings.Contains(strings.ToLower(string(none)), "reserv") {
		t.Errorf("a file without reservations speaks of them: %v\n%s", err, none)
	}
	for name, bad := range map[string]SyncReserved{
		"more than is held":       {"va_1", "lot_2", smp, 5},
		"none":                    {"va_1", "lot_2", smp, 0},
		"below zero":              {"va_1", "lot_2", smp, -1},
		"of a lot that is not":    {"va_2", "lot_2", smp, 1},
		"of another's":            {"va_9", "lot_1", smp, 1},
		"twice":                   {"va_1", "lot_1", smp, 1},
		"of a tag that is no tag": {"va_1", "lot_2", "No Tag", 1},
	} {
		text, err := said(SyncReserved{"va_1", "lot_1", smp, 1}, bad).Text()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSyncRequest(text); license.AsError(err) == nil {
			t.Errorf("%s: taken, %v", name, err)
		}
	}
}
