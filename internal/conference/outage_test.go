package conference

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tallystick/tallystick/agent"
)

// weather is the way to a desk: requests get lost, or their answers do.
type weather struct {
	*desk

	chance  *rand.Rand
	away    bool // nothing arrives
	stormy  bool // half of it does not, or its answer does not
	arrived int
}

// Exchange implements agent.Transport.
func (w *weather) Exchange(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	lost := &agent.Unreachable{Err: errors.New("lost on the way")}
	if w.away || w.stormy && w.chance.IntN(4) == 0 {
		return nil, lost
	}
	answer, err := w.desk.Exchange(ctx, verb, envelope)
	w.arrived++
	if w.stormy && w.chance.IntN(3) == 0 {
		return nil, lost
	}
	return answer, err
}

// TestHoursArriveOnceThroughOutages plays twelve days of meetings in which the authority is away for days, answers get lost, the
// engine is restarted and killed between keeping an hour and noting that it is kept, and records come late. In the end
// the authority has every hour, once, as it was when it was closed.
func TestHoursArriveOnceThroughOutages(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		d := h.employ()
		way := &weather{desk: d, chance: rand.New(rand.NewPCG(6, 12))}
		_, receiver := h.bridge("Main")
		e := h.engine
		e.transport = func(string) agent.Transport { return way }
		restart := func() {
			e = h.open()
			e.transport = func(string) agent.Transport { return way }
		}
		first := map[string]int64{} // what the authority keeps: the first value of each hour
		report := func() error {
			a, err := e.agent(h.account)
			must(t, err)
			must(t, e.sync(t.Context(), h.account))
			w := &work{engine: e, account: h.account, changed: make(chan struct{}, 1)}
			_, err = w.report(t.Context(), a)
			for len(d.reports) > 0 {
				<-d.reports
			}
			for hour, peak := range d.intervals {
				if kept, known := first[hour]; known && kept != peak {
					t.Errorf("%s: sent as %d and as %d", hour, kept, peak)
				}
				first[hour] = peak
			}
			return err
		}
		n := 0
		meet := func(at time.Time) {
			n++
			h.receive(e, receiver, body(run1, adHoc(1000*n, int(at.Sub(start)/time.Second), 3)...))
		}
		origin := h.clock.Now()
		amended := map[string]bool{}
		failed := 0
		for step := range 12 * 8 { // of three hours each
			now := h.clock.Now()
			way.away = step >= 20 && step < 50 || step >= 60 && step < 70
			way.stormy = step%3 != 0
			for range way.chance.IntN(3) {
				meet(now.Add(-time.Duration(way.chance.IntN(170)) * time.Minute))
			}
			if step > 8 && step%5 == 0 { // hours or days late
				at := now.Add(-time.Duration(5+way.chance.IntN(15)) * time.Hour)
				meet(at)
				for _, touched := range []time.Time{at, at.Add(10 * time.Minute)} {
					amended[smp+" "+touched.UTC().Truncate(time.Hour).Format(time.RFC3339)] = true
				}
			}
			switch way.chance.IntN(4) {
			case 0:
				restart()
			case 1: // killed between keeping closed hours and noting it
				closed, err := e.closedHours(t.Context(), h.account)
				must(t, err)
				a, err := e.agent(h.account)
				must(t, err)
				must(t, a.AddInterval(t.Context(), closed...))
				restart()
			}
			for range 3 {
				h.clock.Advance(time.Hour)
				if report() != nil {
					failed++
				}
			}
		}
		way.away, way.stormy = false, false
		h.clock.Advance(time.Hour)
		a, err := e.agent(h.account)
		must(t, err)
		must(t, report())
		_, err = a.Report(t.Context())
		must(t, err)
		must(t, report())
		hours, err := e.Usage(t.Context(), h.account, origin.Add(-72*time.Hour), h.clock.Now().Add(-2*time.Hour))
		must(t, err)
		if failed < 20 || way.arrived < 20 || len(hours) < 60 || len(amended) < 10 {
			t.Fatalf("got %d failures, %d exchanges, %d hours, %d amended: the play is too quiet", failed, way.arrived, len(hours), len(amended))
		}
		for _, u := range hours {
			name := u.Tag + " " + u.Hour.UTC().Format(time.RFC3339)
			got, sent := first[name]
			if !sent || got > u.Licenses || got != u.Licenses && !amended[name] {
				t.Errorf("%s: the authority has %d (%v), the engine %d", name, got, sent, u.Licenses)
			}
			delete(first, name)
		}
		for name, peak := range first {
			t.Errorf("%s: the authority has %d, the engine no use", name, peak)
		}
		status, err := a.Status(t.Context())
		must(t, err)
		if status.WaitingIntervals != 0 {
			t.Errorf("%d hours wait still", status.WaitingIntervals)
		}
	})
}
