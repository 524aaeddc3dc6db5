package license

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestRule33NextAttempt(t *testing.T) {
	t.Parallel()
	if got := NextAttempt(true); got != 30*24*time.Hour {
		t.Errorf("in compliance: got %s, want 30 days", got)
	}
	if got := NextAttempt(false); got != 12*time.Hour {
		t.Errorf("out of compliance: got %s, want 12 hours", got)
	}
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		failures int
		failing  time.Duration
		after    time.Duration
		most     time.Duration
	}{
		{"first", 1, 0, 0, 30 * time.Second},
		{"third", 3, time.Minute, 0, 2 * time.Minute},
		{"cap of the first day", 40, time.Hour, 0, 15 * time.Minute},
		{"cap up to day 23", 40, 5 * day, 0, time.Hour},
		{"cap after day 23", 400, 30 * day, 0, 12 * time.Hour},
		{"the other side's wish is a lower bound", 1, 0, time.Hour, time.Hour},
	} {
		for _, chance := range []float64{0, 0.5, 0.999999} {
			got := RetryDelay(c.failures, c.failing, chance, c.after)
			if got < time.Second || got > c.most || got < c.after {
				t.Errorf("%s with chance %v: got %s, want at most %s and at least %s", c.name, chance, got, c.most, max(time.Second, c.after))
			}
		}
	}
}

func TestJitterIsFivePercent(t *testing.T) {
	t.Parallel()
	for _, chance := range []float64{0, 0.25, 0.5, 0.999} {
		got := Jitter(100*time.Hour, chance)
		if got < 95*time.Hour || got > 105*time.Hour {
			t.Errorf("chance %v: got %s", chance, got)
		}
	}
}

func TestRule8LotsCountInsideTheirTerm(t *testing.T) {
	t.Parallel()
	l := Lot{Start: noon, End: noon.Add(day)}
	for _, c := range []struct {
		at   time.Time
		want bool
	}{{noon.Add(-1), false}, {noon, true}, {noon.Add(day - 1), true}, {noon.Add(day), false}} {
		if got := l.Counts(c.at); got != c.want {
			t.Errorf("at %s: got %v, want %v", c.at, got, c.want)
		}
	}
	if !(Lot{Start: noon}).Counts(noon.AddDate(100, 0, 0)) {
		t.Error("a lot without an end must count for ever")
	}
}

const orderJSON = `{"order":"SO-1","account":"acme.example","lines":[{"tag":"cms-smp-plus","quantity":3},{"sku":"R-CMS-K9","quantity":2,"virtualAccount":"Labs"},
 {"tag":"cwms-host","quantity":9,"type":"TERM","start":"2026-01-01","end":"2027-01-01","subscription":"Sub-7"}]}`

const orderCSV = "order,account,sku,tag,quantity,virtualAccount,type,start,end,subscription\r\n" +
	"SO-1,acme.example,,cms-smp-plus,3,,,,,\r\nSO-1,acme.example,R-CMS-K9,,2,Labs,,,,\r\nSO-1,acme.example,,cwms-host,9,,TERM,2026-01-01,2027-01-01,Sub-7\r\n"

func TestOrderFormsAreEqual(t *testing.T) {
	t.Parallel()
	fromJSON, err := ParseOrders([]byte(orderJSON))
	if err != nil {
		t.Fatalf("JSON: %v", err)
	}
	fromCSV, err := ParseOrders([]byte("\xef\xbb\xbf" + orderCSV))
	if err != nil {
		t.Fatalf("CSV: %v", err)
	}
	if len(fromCSV) != 1 {
		t.Fatalf("CSV: got %d orders, want 1", len(fromCSV))
	}
	if d := Difference(fromJSON[0], fromCSV[0]); d != "" {
		t.Errorf("the two forms differ: %s", d)
	}
	o, err := ResolveOrder(DefaultCatalog(), fromJSON[0], noon)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	if l := o.Lines[1]; l.Tag != "cms-activation" || l.Quantity != 2 || l.Type != Perpetual || !l.Start.Time.Equal(noon) {
		t.Errorf("part number: got %+v", l)
	}
}

func TestRefusedOrders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ doc, says string }{
		"empty":            {" \n", "empty"},
		"cut off":          {orderJSON[:60], "cut off"},
		"unknown member":   {`{"order":"1","account":"a","lines":[],"color":"red"}`, "color"},
		"trailing":         {orderJSON + "{}", "follows"},
		"no lines":         {`{"order":"1","account":"a","lines":[]}`, "0 lines"},
		"no number":        {`{"account":"a","lines":[{"tag":"vts","quantity":1}]}`, "number"},
		"no account":       {`{"order":"1","lines":[{"tag":"vts","quantity":1}]}`, "account"},
		"both":             {`{"order":"1","account":"a","lines":[{"tag":"vts","sku":"R-VTS","quantity":1}]}`, "exactly one"},
		"zero":             {`{"order":"1","account":"a","lines":[{"tag":"vts","quantity":0}]}`, "quantity 0"},
		"negative":         {`{"order":"1","account":"a","lines":[{"tag":"vts","quantity":-4}]}`, "quantity -4"},
		"unknown tag":      {`{"order":"1","account":"a","lines":[{"tag":"nope","quantity":1}]}`, "nope"},
		"unknown sku":      {`{"order":"1","account":"a","lines":[{"sku":"NOPE","quantity":1}]}`, "NOPE"},
		"term without end": {`{"order":"1","account":"a","lines":[{"tag":"vts","quantity":1,"type":"TERM"}]}`, "needs an end"},
		"end before start": {`{"order":"1","account":"a","lines":[{"tag":"vts","quantity":1,"start":"2026-02-02","end":"2026-02-01"}]}`, "not after"},
		"bad date":         {`{"order":"1","account":"a","lines":[{"tag":"vts","quantity":1,"start":"02.02.2026"}]}`, "no date"},
		"bad type":         {`{"order":"1","account":"a","lines":[{"tag":"vts","quantity":1,"type":"FOREVER"}]}`, "FOREVER"},
		"csv column":       {"order,account,shade\n1,a,red\n", "shade"},
		"csv quantity":     {"order,account,tag,quantity\n1,a,vts,many\n", "line 2"},
	} {
		orders, err := ParseOrders([]byte(c.doc))
		if err == nil {
			_, err = ResolveOrder(DefaultCatalog(), orders[0], noon)
		}
		e := AsError(err)
		if e == nil || e.Kind != KindInvalid || e.Hint == "" || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: got %v, want a refusal that says %q", name, err, c.says)
		}
	}
}

func TestCatalogRefusesCircles(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"circle":      `{"licenses":[{"tag":"a","name":"A","above":"b"},{"tag":"b","name":"B","above":"a"}]}`,
		"self":        `{"licenses":[{"tag":"a","name":"A","above":"a"}]}`,
		"missing":     `{"licenses":[{"tag":"a","name":"A","above":"z"}]}`,
		"twice":       `{"licenses":[{"tag":"a","name":"A"},{"tag":"a","name":"B"}]}`,
		"nameless":    `{"licenses":[{"tag":"a"}]}`,
		"unknown sku": `{"licenses":[{"tag":"a","name":"A"}],"skus":[{"sku":"S","tag":"z","quantity":1}]}`,
		"member":      `{"licensees":[]}`,
	} {
		if _, err := ParseCatalog([]byte(doc)); AsError(err) == nil {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	if len(DefaultCatalog().Entries()) < 20 {
		t.Error("the embedded catalog is smaller than documented")
	}
}

func TestCatalogExtends(t *testing.T) {
	t.Parallel()
	c, err := ExtendCatalog(DefaultCatalog(), []byte(`{"licenses":[{"tag":"acme-widget","name":"Widget","above":"vts"},{"tag":"vts","name":"Another name"}],
		"skus":[{"sku":"W-1","tag":"acme-widget","quantity":5}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := c.SKU("W-1"); !ok || s.Quantity != 5 || c.Name("vts") != "Another name" || !c.Knows("cms-smp-plus") || c.above("acme-widget") != "vts" {
		t.Errorf("extended: %+v", c.entries)
	}
	if DefaultCatalog().Knows("acme-widget") {
		t.Error("extending changed the catalog that was extended")
	}
	if c, err = ExtendCatalog(DefaultCatalog(), []byte(`{"replace":true,"licenses":[{"tag":"acme-widget","name":"Widget"}]}`)); err != nil || len(c.Entries()) != 1 {
		t.Errorf("replaced: %d entries, %v", len(c.Entries()), err)
	}
}

func TestReportCSV(t *testing.T) {
	t.Parallel()
	at, never := noon, (*time.Time)(nil)
	r := Report{Columns: []string{"name", "count", "at"}, Rows: [][]any{{"=1+1", int64(2), noon}, {"p", &at, never}, {"a,\"b\"\nc", nil, time.Time{}}, {"@x", int64(-3), nil}}}
	var b bytes.Buffer
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	want := "name,count,at\r\n'=1+1,2,2026-03-02T12:00:00Z\r\np,2026-03-02T12:00:00Z,\r\n\"a,\"\"b\"\"\r\nc\",,\r\n'@x,-3,\r\n"
	if b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
}

func FuzzParseOrders(f *testing.F) {
	f.Add([]byte(orderJSON))
	f.Add([]byte(orderCSV))
	f.Add([]byte("[" + orderJSON + "]"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		orders, err := ParseOrders(doc)
		if err != nil {
			if AsError(err) == nil {
				t.Errorf("got %v, which is no refusal", err)
			}
			return
		}
		for _, o := range orders {
			_, _ = ResolveOrder(DefaultCatalog(), o, noon)
		}
	})
}
