package conference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tallystick/tallystick/internal/license"
)

const (
	bridgeB = "22222222-0000-4000-8000-00000000000b"
	legD    = "66666666-0000-4000-8000-00000000000d"
	legE    = "66666666-0000-4000-8000-00000000000e"
)

// two are the posts of two call bridges: a meeting on both, and one on the second alone that another one follows.
func two() []string {
	b := []rec{
		callStart(0, 30, call2, corr1), legStart(1, 31, legD, call2), legIn(2, 32, legD, call2), legEnd(3, 3700, legD), callEnd(4, 3701, call2, 1, 3671),
		callStart(5, 4000, call3, "55555555-0000-4000-8000-000000000009"), legStart(6, 4001, legE, call3), legIn(7, 4002, legE, call3), legEnd(8, 4100, legE), callEnd(9, 4101, call3, 1, 101),
	}
	of := posts(run2, b)
	for i := range of {
		of[i] = strings.ReplaceAll(of[i], bridgeA, bridgeB)
	}
	var out []string
	for i, p := range posts(run1, story()) {
		if i < len(of) {
			out = append(out, of[i])
		}
		out = append(out, p)
	}
	return out
}

// shapes says what meetings of a bridge come to, whatever their ids.
func (h *house) shapes(e *Engine, bridge string) string {
	h.t.Helper()
	var out []string
	for _, m := range h.meetings(e) {
		if m.Bridge == bridge {
			m.ID = ""
			out = append(out, brief([]Meeting{m}), fmt.Sprintln(m.Bridges))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "")
}

// TestQuarantineOpensAndCloses: kept records count once their call bridge is allowed, as if it had always been, and none do once it is denied; on
// every server.
func TestQuarantineOpensAndCloses(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.directory(true)
		main, receiver := h.bridge("Main", bridgeA)
		onlyA, truthA := h.bridge("Only A", bridgeA)
		both, truth := h.bridge("Both", bridgeA, bridgeB)
		all := two()
		other := h.open()
		post := func(from, to int) {
			for i, p := range all[from:to] {
				if i == 9 {
					h.directory(false) // meetings that begin later are decided by another version
				}
				for _, r := range []string{receiver, truthA, truth} {
					h.receive([]*Engine{h.engine, other}[i%2], r, p)
				}
			}
		}
		check := func(what, want string) {
			t.Helper()
			for _, e := range []*Engine{other, h.engine, h.open()} {
				if got, as := h.shapes(e, main), h.shapes(e, want); got != as || got == "" {
					t.Fatalf("%s: got\n%s\nwant\n%s", what, got, as)
				}
			}
			assertSegments(t, h, h.meetings(h.engine))
		}
		post(0, 15)
		check("before", onlyA)
		b, streams, err := h.engine.Allow(t.Context(), "admin", h.account, "main", strings.ToUpper(bridgeB), true)
		must(t, err)
		if b.Changing || !slices.Equal(b.Allowed, []string{bridgeA, bridgeB}) || streams[1].Quarantined {
			t.Errorf("got %+v %+v, want both to count", b, streams)
		}
		check("allowed while it runs", both)
		post(15, len(all))
		check("and goes on", both)
		_, _, err = other.Allow(t.Context(), "admin", h.account, "main", bridgeB, false)
		must(t, err)
		check("denied", onlyA)
		_, _, err = h.engine.Allow(t.Context(), "admin", h.account, "main", bridgeB, false) // is denied already
		must(t, err)
		check("denied again", onlyA)
		_, _, err = h.engine.Allow(t.Context(), "admin", h.account, "main", bridgeB, true)
		must(t, err)
		check("allowed again", both)
		if _, _, err := h.engine.Allow(t.Context(), "admin", h.account, "only a", bridgeA, false); license.AsError(err) == nil || license.AsError(err).Code != "last-callbridge" {
			t.Errorf("the last one is denied: got %v", err)
		}
		if _, _, err := h.engine.Allow(t.Context(), "admin", h.account, "main", "x", true); license.AsError(err) == nil || license.AsError(err).Code != "bad-callbridge" {
			t.Errorf("no GUID: got %v", err)
		}
		r, next, err := h.engine.Replay(t.Context(), h.account, ReplayOptions{}, "", 100)
		must(t, err)
		if len(r.Differences) != 0 || next != "" {
			t.Errorf("replay differs: %+v", r.Differences)
		}
	})
}

// TestQuarantineOfMovedLegs: legs that went from one meeting to another, on a call bridge that counts and on one that does not any
// more, leave what they would if the other had never counted; also when both meetings are on both call bridges.
func TestQuarantineOfMovedLegs(t *testing.T) {
	const corr9 = "55555555-0000-4000-8000-000000000009"
	a := []rec{
		callStart(0, 0, call1, corr1), legStart(1, 1, legA, call1), legIn(2, 2, legA, call1), callStart(3, 100, call3, corr9), legIn(4, 200, legA, call3),
		legEnd(5, 300, legA), callEnd(6, 310, call3, 1, 210), callEnd(7, 320, call1, 1, 320),
	}
	b := []rec{
		callStart(0, 30, call2, corr1), legStart(1, 31, legD, call2), legIn(2, 32, legD, call2), legStart(3, 33, legE, call2), legIn(4, 34, legE, call2), callStart(5, 110, call4, corr9),
		legIn(6, 210, legD, call4), legIn(7, 250, legD, call2), legIn(8, 260, legD, call4), legEnd(9, 330, legD), callEnd(10, 331, call4, 1, 221), legEnd(11, 335, legE), callEnd(12, 340, call2, 2, 310),
	}
	run(t, func(t *testing.T, h *house) {
		h.directory(true)
		main, receiver := h.bridge("Main", bridgeA, bridgeB)
		onlyA, truthA := h.bridge("Only A", bridgeA)
		both, truth := h.bridge("Both", bridgeA, bridgeB)
		of, other := posts(run2, b), h.open()
		for i := range of {
			of[i] = strings.ReplaceAll(of[i], bridgeA, bridgeB)
			for _, r := range []string{receiver, truthA, truth} {
				h.receive([]*Engine{h.engine, other}[i%2], r, of[i])
				if at := len(a) - 1 - i; at >= 0 { // the other call bridge in reverse
					h.receive(h.engine, r, posts(run1, a)[at])
				}
			}
		}
		check := func(what, want string) {
			t.Helper()
			for _, e := range []*Engine{other, h.engine, h.open()} {
				if got, as := h.shapes(e, main), h.shapes(e, want); got != as || got == "" {
					t.Fatalf("%s: got\n%s\nwant\n%s", what, got, as)
				}
			}
			assertSegments(t, h, h.meetings(h.engine))
		}
		check("before", both)
		for range 2 {
			_, _, err := h.engine.Allow(t.Context(), "admin", h.account, "main", bridgeB, false)
			must(t, err)
			check("denied", onlyA)
			_, _, err = other.Allow(t.Context(), "admin", h.account, "main", bridgeB, true)
			must(t, err)
			check("allowed", both)
		}
		if r := h.replayAll(h.engine, ReplayOptions{}, 100); r.Differing != 0 {
			t.Errorf("replay differs: %+v", r.Differences)
		}
	})
}

// dying is a context that ends after it was asked some times, as a server that is killed between two statements.
type dying struct {
	context.Context
	left *atomic.Int64
	end  chan struct{}
}

func (d dying) Err() error {
	if d.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func (d dying) Done() <-chan struct{} {
	if d.left.Load() < 0 {
		return d.end
	}
	return nil
}

// TestQuarantineAfterCrashes: a server that ends anywhere while meetings take the new shape leaves nothing lost or counted twice, and the next one
// goes on.
func TestQuarantineAfterCrashes(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		main, receiver := h.bridge("Main", bridgeA)
		onlyA, truthA := h.bridge("Only A", bridgeA)
		both, truth := h.bridge("Both", bridgeA, bridgeB)
		for _, p := range two() {
			for _, r := range []string{receiver, truthA, truth} {
				h.receive(h.engine, r, p)
			}
		}
		wantA, wantBoth := h.shapes(h.engine, onlyA), h.shapes(h.engine, both)
		ended := make(chan struct{})
		close(ended)
		crashes := 0
		for steps, allow := int64(1), true; steps < 200; steps, allow = steps+3, !allow {
			e := h.open()
			must(t, e.sync(t.Context(), h.account))
			gone, stop := context.WithCancel(t.Context())
			stop()
			_, _, err := e.Allow(gone, "admin", h.account, "main", bridgeB, allow) // a canceled request changes nothing
			if !errors.Is(err, context.Canceled) && license.AsError(err) == nil {
				t.Fatalf("canceled: got %v", err)
			}
			_, err = e.allow(t.Context(), "admin", h.account, "main", bridgeB, allow)
			must(t, err)
			var left atomic.Int64
			left.Store(steps)
			if err := e.settleBridges(dying{t.Context(), &left, ended}, h.account); err != nil {
				crashes++
			}
			h.clock.Advance(2 * changeLease) // the lease of the one that died ends
			next := h.open()
			must(t, next.sync(t.Context(), h.account))
			must(t, next.settleBridges(t.Context(), h.account))
			want := wantA
			if allow {
				want = wantBoth
			}
			if got := h.shapes(next, main); got != want {
				t.Fatalf("allowed %t, ended after %d: got\n%s\nwant\n%s", allow, steps, got, want)
			}
			assertSegments(t, h, h.meetings(next))
		}
		if crashes < 5 {
			t.Errorf("only %d of the servers died", crashes)
		}
	})
}
