package conference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
)

// away is a transport to an authority that nobody reaches.
type away struct{}

func (away) Exchange(context.Context, string, []byte) ([]byte, error) {
	return nil, &agent.Unreachable{Err: errors.New("it is away")}
}

// house is an engine over a database with one enabled account.
type house struct {
	t       testing.TB
	store   *store.Store
	clock   *storetest.Clock
	engine  *Engine
	account string
}

func newHouse(t testing.TB, s *store.Store, clock *storetest.Clock) *house {
	t.Helper()
	h := &house{t: t, store: s, clock: clock, account: trust.NewID("acc", clock.Now())}
	must(t, s.Update(t.Context(), "seed", func(tx *store.Tx) error {
		ctx := t.Context()
		if err := tx.InsertAccount(ctx, db.InsertAccountParams{AccountID: h.account, Name: "acme.example", EventHash: []byte{}, DefaultVa: "va_1"}); err != nil {
			return err
		}
		if _, err := tx.InsertVA(ctx, db.InsertVAParams{AccountID: h.account, VaID: "va_1", Name: "Default", NameKey: "default"}); err != nil {
			return err
		}
		return tx.PutConference(ctx, db.PutConferenceParams{AccountID: h.account, VaID: "va_1", Serial: "eng_1", EnabledAt: 1})
	}))
	h.engine = h.open()
	return h
}

// open makes another engine on the same database, as after a restart or on another replica.
func (h *house) open() *Engine {
	return New(Options{Store: h.store, Transport: func(string) agent.Transport { return away{} }, Now: h.clock.Now, Log: slog.New(slog.DiscardHandler)})
}

// bridge adds a bridge and returns its id and the secret name of its receiver.
func (h *house) bridge(name string, allowed ...string) (id, receiver string) {
	h.t.Helper()
	b, secret, err := h.engine.AddBridge(h.t.Context(), "admin", h.account, name, allowed)
	must(h.t, err)
	return b.ID, secret.Reveal()
}

func (h *house) receive(e *Engine, receiver, body string) Receipt {
	h.t.Helper()
	r, err := e.Receive(h.t.Context(), receiver, []byte(body))
	must(h.t, err)
	return r
}

func (h *house) meetings(e *Engine) []Meeting {
	h.t.Helper()
	out, _, err := e.Meetings(h.t.Context(), h.account, Filter{}, "", 1000)
	must(h.t, err)
	return out
}

// one returns the only meeting there is.
func (h *house) one(e *Engine) Meeting {
	h.t.Helper()
	all := h.meetings(e)
	if len(all) != 1 {
		h.t.Fatalf("got %d meetings, want 1: %s", len(all), brief(all))
	}
	m, err := e.Meeting(h.t.Context(), h.account, all[0].ID)
	must(h.t, err)
	return m
}

// directory imports a file in which the space is owned by alice, who holds a personal license or not.
func (h *house) directory(personal bool) DirectorySummary {
	h.t.Helper()
	sum, err := h.engine.ImportDirectory(h.t.Context(), "admin", h.account, fmt.Appendf(nil,
		`{"users":[{"jid":"Alice@acme.example","personalLicense":%t}],"spaces":[{"id":%q,"name":"Daily","owner":"alice@ACME.example"}]}`, personal, space))
	must(h.t, err)
	return sum
}

func brief(all []Meeting) string {
	var b strings.Builder
	for _, m := range all {
		end := "-"
		if m.EndedAt != nil {
			end = m.EndedAt.Format("15:04:05")
		}
		fmt.Fprintf(&b, "%s %q %s %s..%s max %d dir %d inc %t est %t", m.ID, m.Name, m.Space, m.StartedAt.Format("15:04:05"), end, m.ParticipantsMax,
			m.DirectoryVersion, m.Incomplete, m.Estimated)
		for _, s := range m.Segments {
			to := "-"
			if s.To != nil {
				to = s.To.Format("15:04:05")
			}
			fmt.Fprintf(&b, " [%s..%s %s %d %s %s]", s.From.Format("15:04:05"), to, s.Tag, s.Sixths, s.User, s.Rule)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The fixtures: one bridge run, a space, a call and its legs.
const (
	run1    = "11111111-0000-4000-8000-000000000001"
	run2    = "11111111-0000-4000-8000-000000000002"
	bridgeA = "22222222-0000-4000-8000-00000000000a"
	space   = "33333333-0000-4000-8000-000000000003"
	call1   = "44444444-0000-4000-8000-000000000001"
	call2   = "44444444-0000-4000-8000-000000000002"
	corr1   = "55555555-0000-4000-8000-000000000001"
	legA    = "66666666-0000-4000-8000-00000000000a"
	legB    = "66666666-0000-4000-8000-00000000000b"
	legC    = "66666666-0000-4000-8000-00000000000c"
)

// start is when the recorded meeting begins.
var start = time.Date(2026, 3, 2, 8, 10, 0, 0, time.UTC)

// rec is one record, at a second after start.
type rec struct {
	n      int // correlatorIndex
	kind   string
	second int
	inside string
	lost   int
}

func (r rec) xml(index int) string {
	missing := ""
	if r.lost > 0 {
		missing = fmt.Sprintf(` numPreceedingRecordsMissing="%d"`, r.lost)
	}
	return fmt.Sprintf(`<record type="%s" time="%s" recordIndex="%d" correlatorIndex="%d"%s>%s</record>`,
		r.kind, start.Add(time.Duration(r.second)*time.Second).Format(time.RFC3339), index, r.n, missing, r.inside)
}

// body is a post of records of a run.
func body(run string, records ...rec) string { return bodyFrom(1, run, records...) }

// bodyFrom is one whose first record has a recordIndex.
func bodyFrom(index int, run string, records ...rec) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0"?><records session="%s" callBridge="%s">`, run, bridgeA)
	for i, r := range records {
		b.WriteString(r.xml(index + i))
	}
	b.WriteString("\n</records>")
	return b.String()
}

func callStart(n, second int, id, corr string) rec {
	return rec{n: n, kind: "callStart", second: second, inside: fmt.Sprintf(`<call id="%s"><name>Daily</name><callType>coSpace</callType>`+
		`<coSpace>%s</coSpace><callCorrelator>%s</callCorrelator></call>`, id, space, corr)}
}

func callEnd(n, second int, id string, legs, seconds int) rec {
	return rec{n: n, kind: "callEnd", second: second, inside: fmt.Sprintf(`<call id="%s"><callLegsCompleted>%d</callLegsCompleted>`+
		`<callLegsMaxActive>%d</callLegsMaxActive><durationSeconds>%d</durationSeconds></call>`, id, legs, legs, seconds)}
}

func legStart(n, second int, id, call string) rec {
	where := ""
	if call != "" {
		where = "<call>" + call + "</call>"
	}
	return rec{n: n, kind: "callLegStart", second: second, inside: fmt.Sprintf(`<callLeg id="%s"><displayName>%s</displayName>`+
		`<type>sip</type>%s</callLeg>`, id, id[34:], where)}
}

func legIn(n, second int, id, call string) rec {
	return rec{n: n, kind: "callLegUpdate", second: second,
		inside: fmt.Sprintf(`<callLeg id="%s"><state>connected</state><call>%s</call></callLeg>`, id, call)}
}

func legEnd(n, second int, id string) rec {
	return rec{n: n, kind: "callLegEnd", second: second, inside: fmt.Sprintf(`<callLeg id="%s"><reason>remoteTeardown</reason>`+
		`<durationSeconds>10</durationSeconds></callLeg>`, id)}
}

// story is a meeting of an hour with three people, one of whom came through the voice menu.
func story() []rec {
	return []rec{
		callStart(100, 0, call1, corr1), legStart(101, 1, legA, call1), legIn(102, 2, legA, call1),
		legStart(103, 5, legB, ""), legIn(104, 9, legB, call1), legStart(105, 20, legC, call1), legIn(106, 21, legC, call1),
		legEnd(107, 3000, legC), legEnd(108, 3590, legB), legEnd(109, 3600, legA), callEnd(110, 3601, call1, 3, 3601),
	}
}

// posts are one for each record, numbered as for a receiver that all were sent to.
func posts(run string, records []rec) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = bodyFrom(r.n+1, run, r)
	}
	return out
}
