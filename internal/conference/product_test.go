package conference

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

// desk stands in for the authority: real keys and envelopes, one instance, everything authorized.
type desk struct {
	t       testing.TB
	keys    *trust.Keys
	now     func() time.Time
	account string

	mu        sync.Mutex // guards what follows
	id        string
	key       *ecdsa.PublicKey
	serial    string
	usage     map[string]int64
	intervals map[string]int64 // peak by tag and hour
	reports   chan map[string]int64
}

// question is what the desk reads of any message.
type question struct {
	Nonce   string `json:"nonce"`
	CSR     []byte `json:"csr"`
	Product struct {
		Name   string `json:"name"`
		PID    string `json:"pid"`
		Serial string `json:"serial"`
	} `json:"product"`
	Usage []struct {
		Tag   string `json:"tag"`
		Count int64  `json:"count"`
	} `json:"usage"`
	Intervals []struct {
		Tag  string    `json:"tag"`
		From time.Time `json:"from"`
		Peak int64     `json:"peak"`
	} `json:"intervals"`
}

func newDesk(t testing.TB, account string, now func() time.Time) *desk {
	t.Helper()
	keys, err := trust.OpenKeys(t.TempDir(), now())
	must(t, err)
	return &desk{t: t, keys: keys, now: now, account: account, intervals: map[string]int64{}, reports: make(chan map[string]int64, 100)}
}

func (d *desk) token() string {
	d.t.Helper()
	token, err := trust.NewToken(d.account, "tok_00000000000000000000000001", d.keys.Fingerprint())
	must(d.t, err)
	return token.Text().Reveal()
}

// Exchange implements agent.Transport.
func (d *desk) Exchange(_ context.Context, verb string, envelope []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var q question
	if verb == "register" {
		e, err := trust.OpenProduct(envelope, "tally.register.1", "tally-authority", nil)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(e.Payload, &q); err != nil {
			return nil, err
		}
		return d.register(q)
	}
	e, err := trust.OpenProduct(envelope, "tally.authorize.1", "tally-authority", d.key)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(e.Payload, &q); err != nil {
		return nil, err
	}
	d.usage = map[string]int64{}
	for _, u := range q.Usage {
		d.usage[u.Tag] = u.Count
	}
	for _, v := range q.Intervals {
		d.intervals[v.Tag+" "+v.From.Format(time.RFC3339)] = v.Peak
	}
	d.reports <- d.usage
	return d.seal(trust.Header{Kind: "tally.authorized.1", Audience: d.id, Number: e.Header.Number}, map[string]any{
		"nonce": q.Nonce, "status": license.StatusAuthorized, "serverTime": d.now(), "nextInSeconds": 30 * 24 * 3600,
		"deadline": d.now().Add(90 * 24 * time.Hour), "account": "acme.example", "virtualAccount": "Default",
	})
}

func (d *desk) register(q question) ([]byte, error) {
	csr, err := trust.ParseCSR(q.CSR)
	if err != nil {
		return nil, err
	}
	d.key, d.serial, d.id = csr.PublicKey(), q.Product.Serial, trust.NewID("ins", d.now())
	p := d.keys.PrepareInstance(csr, trust.InstanceName{
		Account: d.account, Instance: d.id, Product: q.Product.Name, PID: q.Product.PID, Serial: q.Product.Serial,
	}, d.now())
	der, err := d.keys.SignInstance(p)
	if err != nil {
		return nil, err
	}
	named := func(id, name string) map[string]string { return map[string]string{"id": id, "name": name} }
	return d.seal(trust.Header{Kind: "tally.registered.1", Audience: q.Nonce, Chain: d.keys.SignerChain()}, map[string]any{
		"nonce": q.Nonce, "account": named(d.account, "acme.example"), "virtualAccount": named("va_1", "Default"), "instance": d.id,
		"certificate": der, "expiresAt": p.NotAfter, "exportControlled": false, "serverTime": d.now(), "number": 0,
	})
}

func (d *desk) seal(h trust.Header, payload any) ([]byte, error) {
	raw, err := json.Marshal(payload)
	if err != nil {
		return nil, err
	}
	return d.keys.Seal(h, raw), nil
}

// employ registers the engine with a desk.
func (h *house) employ() *desk {
	h.t.Helper()
	d := newDesk(h.t, h.account, h.clock.Now)
	h.engine.transport = func(string) agent.Transport { return d }
	must(h.t, h.engine.Enable(h.t.Context(), "admin", h.account, "va_1", d.token()))
	<-d.reports // the first authorization
	return d
}

// TestEngineReportsAsProduct: the engine registers like any product, once, and reports personal licenses and peaks.
func TestEngineReportsAsProduct(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		d := h.employ()
		must(t, h.engine.Enable(t.Context(), "admin", h.account, "va_1", d.token())) // again: nothing happens
		status, err := h.engine.Status(t.Context(), h.account)
		must(t, err)
		if status.UDI != "PID:TALLY-CONF,SN:"+d.serial && !strings.Contains(status.UDI, d.serial) || status.Product.Name != productName {
			t.Errorf("got product %+v, UDI %s", status.Product, status.UDI)
		}
		h.directory(true)
		_, receiver := h.bridge("Main")
		w := &work{engine: h.engine, account: h.account, changed: make(chan struct{}, 1)}
		a, err := h.engine.agent(h.account)
		must(t, err)
		report := func() {
			t.Helper()
			must(t, h.engine.sync(t.Context(), h.account))
			_, err := w.report(t.Context(), a)
			must(t, err)
		}
		const pmp, smp = "cms-pmp-plus", "cms-smp-plus"
		report()
		if d.usage[pmp] != 1 || d.usage[smp] != 0 {
			t.Errorf("got use %v, want one personal license", d.usage)
		}
		// Two ad hoc calls of three people run at the same time in the present hour, and one was in an hour long past.
		now := int(h.clock.Now().Sub(start) / time.Second)
		for i, at := range []int{now + 60, now + 70, -50 * 3600} {
			n := 1000 * (i + 1)
			h.receive(h.engine, receiver, body(run1, adHoc(n, at, 3)...))
		}
		report()
		if d.usage[smp] != 2 || len(d.intervals) != 0 {
			t.Errorf("got use %v and %v, want two shared licenses and no closed hour yet", d.usage, d.intervals)
		}
		h.clock.Advance(hourQuiet)
		report()
		if want := smp + " " + start.Add(-50*time.Hour).Truncate(time.Hour).Format(time.RFC3339); len(d.intervals) != 1 || d.intervals[want] != 1 {
			t.Errorf("got intervals %v, want %s once", d.intervals, want)
		}
		sent := len(d.reports)
		report()
		if len(d.reports) != sent {
			t.Error("nothing new was reported again")
		}
		h.clock.Advance(time.Hour + hourGrace)
		report()
		if d.usage[smp] != 0 || d.intervals[smp+" "+start.Truncate(time.Hour).Add(time.Hour).Format(time.RFC3339)] != 2 {
			t.Errorf("an hour later: got use %v and intervals %v", d.usage, d.intervals)
		}
	})
}

// TestRunReportsByItself: posts lead to a report without anybody asking, by one of two engines.
func TestRunReportsByItself(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		d := h.employ()
		_, receiver := h.bridge("Main")
		other := h.open()
		other.transport = h.engine.transport
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for _, e := range []*Engine{h.engine, other} {
			go func() { ended <- e.Run(ctx) }()
		}
		at := int(h.clock.Now().Sub(start) / time.Second)
		h.receive(h.engine, receiver, body(run1, adHoc(1000, at, 3)...))
		deadline := time.After(30 * time.Second)
		for reported := int64(0); reported != 1; {
			select {
			case use := <-d.reports:
				reported = use["cms-smp-plus"]
			case <-deadline:
				t.Fatal("no report came")
			}
		}
		end()
		for range 2 {
			must(t, <-ended)
		}
	})
}

// adHoc is a call of some people without a space, of ten minutes; correlators count from n.
func adHoc(n, at, people int) []rec {
	call := fmt.Sprintf("44444444-0000-4000-a000-%012d", n)
	records := []rec{{n: n, kind: "callStart", second: at, inside: `<call id="` + call + `"><name>Ad hoc</name><callType>adHoc</callType></call>`}}
	for i := range people {
		leg := fmt.Sprintf("66666666-0000-4000-a%03d-%012d", i, n)
		records = append(records, legStart(n+1+3*i, at, leg, call), legIn(n+2+3*i, at+i, leg, call), legEnd(n+3+3*i, at+600, leg))
	}
	return append(records, callEnd(n+900, at+600, call, people, 600))
}
