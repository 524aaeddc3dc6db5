package conference

import (
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/license"
)

// TestRule01StoredBeforeAnswered: what was answered is there for every server, also for one that starts anew; what cannot be
// stored is not answered.
func TestRule01StoredBeforeAnswered(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.receive(h.engine, receiver, body(run1, story()...)) // and nothing is flushed
		if m := h.one(h.open()); m.DurationSeconds != 3601 {
			t.Errorf("got %s", brief([]Meeting{m}))
		}
		must(t, h.store.Close())
		if _, err := h.engine.Receive(t.Context(), receiver, []byte(body(run2, callStart(0, 0, call2, corr3)))); err == nil {
			t.Error("records were answered that nobody could store")
		}
	})
}

// TestRule06WithoutCallBridge: records of a call bridge that does not say who it is belong to the address that they came to.
func TestRule06WithoutCallBridge(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		id, receiver := h.bridge("Nameless")
		_, named := h.bridge("Named", bridgeA)
		nameless := strings.ReplaceAll(body(run1, story()...), ` callBridge="`+bridgeA+`"`, "")
		h.receive(h.engine, receiver, nameless)
		h.receive(h.engine, named, strings.ReplaceAll(nameless, run1, run2))
		m := h.one(h.engine)
		if m.Bridge != id || len(m.Bridges) != 1 || m.Bridges[0] != run1 || m.Incomplete {
			t.Errorf("got %s of %s on %v", brief([]Meeting{m}), m.Bridge, m.Bridges)
		}
		_, streams, err := h.engine.FindBridge(t.Context(), h.account, "named")
		must(t, err)
		if len(streams) != 1 || streams[0].CallBridge != "" || !streams[0].Quarantined {
			t.Errorf("where call bridges are named: got %+v, want it in quarantine", streams)
		}
		if _, _, err := h.engine.FindBridge(t.Context(), h.account, "nowhere"); license.AsError(err) == nil {
			t.Errorf("got %v, want no such bridge", err)
		}
	})
}
