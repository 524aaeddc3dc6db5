package conference

import (
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"
)

func TestSamples(t *testing.T) {
	storetest.RunAt(t, storetest.Start(), func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		h := newHouse(t, s, clock)
		_, rcv := h.bridge("b")
		files, _ := filepath.Glob("/work/shared/samples/mividas-2017/post-0*.xml")
		sort.Strings(files)
		for round := range 2 {
			for _, f := range files {
				b, _ := os.ReadFile(f)
				r := h.receive(h.engine, rcv, string(b))
				if round == 1 && r.New != 0 {
					t.Fatal(r)
				}
			}
		}
		b, _ := os.ReadFile("/work/shared/samples/mividas-2017/post-10.xml")
		t.Log(h.receive(h.engine, rcv, string(b)))
		neg, _ := filepath.Glob("/work/shared/samples/negative/*")
		b, _ = os.ReadFile(neg[0])
		_, err := h.engine.Receive(t.Context(), rcv, b)
		t.Log(err)
		m := h.one(h.engine)
		t.Logf("%+v", m)
		_, lines, err := h.engine.Why(t.Context(), h.account, m.ID)
		for _, l := range lines {
			t.Log(l)
		}
		bs, err := h.engine.Bridges(t.Context(), h.account, "", 10)
		must(t, err)
		t.Logf("%+v", bs)
		u, err := h.engine.Usage(t.Context(), h.account, time.Unix(1, 0), clock.Now())
		must(t, err)
		t.Logf("%+v", u)
		for _, f := range []string{"cisco-cdr-guide-2.0/post-1.xml", "cisco-cdr-guide-2.0/post-2.xml", "cisco-cdr-guide-2.0/post-3.xml", "cisco-cdr-guide-2.0/post-4.xml", "ciscocms-2019/callStart.xml", "ciscocms-2019/cdr-receiver-db-records.reconstructed.xml"} {
			b, err := os.ReadFile("/work/shared/samples/" + f)
			must(t, err)
			t.Log(f, h.receive(h.engine, rcv, string(b)))
		}
		t.Log(brief(h.meetings(h.engine)))
		rep, err := h.engine.Report(t.Context(), h.account, "meetings", time.Unix(1, 0), clock.Now())
		must(t, err)
		rep.WriteCSV(os.Stdout)
	})
}
