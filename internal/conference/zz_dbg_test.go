package conference
import ("testing";"context";"time";"github.com/tallystick/tallystick/internal/store/storetest";"log/slog";"os")
func TestDbg(t *testing.T) {
	s := storetest.OpenURL(t, t.TempDir()+"/x.db", time.Now)
	h := newHouse(t, s, storetest.NewClock(time.Now()))
	h.engine.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	_, rcv := h.bridge("b")
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.engine.Run(ctx) }()
	for _, b := range meetingBodies(2000, 10) { h.receive(h.engine, rcv, string(b)) }
	end(); t.Log(<-ended)
}
