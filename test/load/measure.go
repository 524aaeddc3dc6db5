package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/test/play"
)

type driver struct {
	settings
	server  *process
	dialer  *dialer
	started time.Time
	result  result
}

// result is what one run found.
type result struct {
	Go          string   `json:"go"`
	CPUs        int      `json:"cpus"`
	Database    string   `json:"database"`
	Connections int      `json:"connections"`
	DiskSyncs   float64  `json:"diskSyncsPerSecond"` // a probe: 4 KiB and fdatasync, one second
	Ratios      []ratio  `json:"ratios"`
	Open        []step   `json:"openLoop"`
	Ingest      *ingest  `json:"ingest,omitempty"`
	Registered  float64  `json:"registrationsPerSecond,omitempty"`
	Notes       []string `json:"notes,omitempty"`
}

// ratio compares the product with the baseline: requests a second, and the server's processor time for a request.
type ratio struct {
	Name     string  `json:"name"`
	Median   float64 `json:"median"`
	Least    float64 `json:"least"`
	Most     float64 `json:"most"`
	Bound    float64 `json:"bound"`
	Ours     float64 `json:"oursPerSecond"`
	Baseline float64 `json:"baselinePerSecond"`
	OursCPU  float64 `json:"oursMicroseconds"`
	BaseCPU  float64 `json:"baselineMicroseconds"`
	Pairs    int     `json:"pairs"`
}

// step is one rate of an open loop.
type step struct {
	Name   string  `json:"name"`
	Rate   float64 `json:"perSecond"`
	Share  float64 `json:"shareOfFoundRate"`
	P50    float64 `json:"p50ms"`
	P99    float64 `json:"p99ms"`
	P999   float64 `json:"p999ms"`
	Bound  float64 `json:"boundP99ms,omitempty"`
	Counts int     `json:"requests"`
}

func (d *driver) wants(name string) bool { return d.only == "" || d.only == name }

func (d *driver) measure(ctx context.Context) error {
	var err error
	if d.dialer, err = newDialer(d.server.description); err != nil {
		return err
	}
	d.started = time.Now()
	d.result.DiskSyncs = probeDisk()
	if d.wants("register") {
		if err := d.registrations(); err != nil {
			return fmt.Errorf("registrations: %w", err)
		}
	}
	products, err := d.register(d.connections, "kept")
	if err != nil {
		return fmt.Errorf("register products: %w", err)
	}
	authorizations := func(path string, n int) func() (work, error) {
		return func() (work, error) { return reports(products, d.server.Address, path, n) }
	}
	bridges := make([]*play.Bridge, d.connections)
	for i := range bridges {
		bridges[i] = play.NewBridge(i, d.started.AddDate(0, 0, -90))
	}
	if d.wants("memory") {
		if err := d.ingest(bridges); err != nil {
			return fmt.Errorf("memory: %w", err)
		}
	}
	post := func(path string, n, records int) func() (work, error) {
		return func() (work, error) { return posts(bridges, d.server.Address, path, n, records), nil }
	}
	for _, c := range []struct {
		key, name  string
		bound      float64
		run        func(work) (time.Duration, error)
		ours, base func() (work, error)
	}{
		{"authorize", "authorizations, kept connections / verifying durable no-op", 0.5, d.dialer.kept, authorizations(authorizePath, d.authorize), authorizations(verifiedPath, d.baseline)},
		{"new", "authorizations, new connections / verifying durable no-op", 0.75, d.dialer.fresh, authorizations(authorizePath, d.newConns), authorizations(verifiedPath, d.newConns)},
		{"cdr1", "call-record posts of 1 record / durable no-op", 0.5, d.dialer.settled, post(d.server.Receiver, d.posts, 1), post(appendPath, d.baseline, 1)},
		{"cdr10", "call-record posts of 10 records / durable no-op", 0.4, d.dialer.settled, post(d.server.Receiver, d.posts/2, 10), post(appendPath, d.baseline, 10)},
	} {
		if !d.wants(c.key) {
			continue
		}
		r, err := d.compare(c.name, c.run, c.ours, c.base)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.Bound = c.bound
		d.result.Ratios = append(d.result.Ratios, r)
		if c.key == "new" && d.wants("open") {
			if err := d.openLoop(ctx); err != nil {
				return err
			}
		}
	}
	if d.only == "open" {
		return d.openLoop(ctx)
	}
	return nil
}

// compare runs pairs of fixed work in the order ours, baseline, baseline, ours, so that a drift of the machine falls out of
// each pair of pairs.
func (d *driver) compare(name string, run func(work) (time.Duration, error), ours, base func() (work, error)) (ratio, error) {
	r := ratio{Name: name, Pairs: d.pairs}
	var ratios, ourRates, baseRates []float64
	var ourCPU, baseCPU, ourRequests, baseRequests float64
	for pair := range d.pairs {
		var rates [2]float64 // ours, baseline
		for _, side := range [][2]int{{0, 1}, {1, 0}}[pair%2] {
			make := ours
			if side == 1 {
				make = base
			}
			w, err := make()
			if err != nil {
				return r, err
			}
			before := d.server.cpu()
			took, err := run(w)
			if err != nil {
				return r, err
			}
			used := float64((d.server.cpu() - before).Microseconds())
			rates[side] = float64(w.total()) / took.Seconds()
			if side == 0 {
				ourCPU, ourRequests = ourCPU+used, ourRequests+float64(w.total())
			} else {
				baseCPU, baseRequests = baseCPU+used, baseRequests+float64(w.total())
			}
		}
		ratios, ourRates, baseRates = append(ratios, rates[0]/rates[1]), append(ourRates, rates[0]), append(baseRates, rates[1])
		fmt.Fprintf(os.Stderr, "%s: pair %d of %d: %.0f/s against %.0f/s, ratio %.3f\n", name, pair+1, d.pairs, rates[0], rates[1], rates[0]/rates[1])
	}
	r.Median, r.Ours, r.Baseline = median(ratios), median(ourRates), median(baseRates)
	r.Least, r.Most = slices.Min(ratios), slices.Max(ratios)
	r.OursCPU, r.BaseCPU = ourCPU/ourRequests, baseCPU/baseRequests
	return r, nil
}

// registrations measures how many products register in a second, each over a new connection as products do.
func (d *driver) registrations() error {
	n := max(200, d.newConns/3)
	start := time.Now()
	if _, err := d.register(n, "new"); err != nil {
		return err
	}
	d.result.Registered = float64(n) / time.Since(start).Seconds()
	return nil
}

// openLoop finds the latency of authorizations at fixed rates: a quarter, half and three quarters of the rate that was found
// over kept connections.
func (d *driver) openLoop(ctx context.Context) error {
	found := 0.0
	for _, r := range d.result.Ratios {
		if strings.HasPrefix(r.Name, "authorizations, kept") {
			found = r.Ours
		}
	}
	const openConnections = 256
	products, err := d.register(openConnections, "open")
	if err != nil {
		return err
	}
	if found == 0 {
		w, err := reports(products, d.server.Address, authorizePath, d.authorize)
		if err != nil {
			return err
		}
		took, err := d.dialer.kept(w)
		if err != nil {
			return err
		}
		found = float64(w.total()) / took.Seconds()
	}
	for _, share := range []float64{0.25, 0.5, 0.75} {
		rate := found * share
		w, err := reports(products, d.server.Address, authorizePath, int(rate)*d.openSeconds)
		if err != nil {
			return err
		}
		latencies, err := d.dialer.open(ctx, w, rate)
		if err != nil {
			return fmt.Errorf("open loop at %.0f/s: %w", rate, err)
		}
		slices.Sort(latencies)
		s := step{Name: "authorizations", Rate: rate, Share: share, P50: quantile(latencies, 0.5), P99: quantile(latencies, 0.99), P999: quantile(latencies, 0.999), Counts: len(latencies)}
		if share == 0.5 {
			s.Bound = 20
		}
		d.result.Open = append(d.result.Open, s)
	}
	return nil
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Microseconds()) / 1000
}

// misses names the documented bounds that did not hold.
func (r result) misses() []string {
	var out []string
	for _, c := range r.Ratios {
		if c.Median < c.Bound {
			out = append(out, fmt.Sprintf("%s: %.3f, bound %.2f", c.Name, c.Median, c.Bound))
		}
	}
	if i := r.Ingest; i != nil && i.Peak > i.Bound {
		out = append(out, fmt.Sprintf("resident memory %.0f MiB, bound %.0f MiB", i.Peak, i.Bound))
	}
	for _, s := range r.Open {
		if s.Bound > 0 && s.P99 > s.Bound {
			out = append(out, fmt.Sprintf("open loop p99 %.1f ms, bound %.0f ms", s.P99, s.Bound))
		}
	}
	return out
}

func (r result) print(w io.Writer) {
	fmt.Fprintf(w, "%s on %d processors, %s, %d connections, disk %.0f syncs/s\n\n", r.Go, r.CPUs, r.Database, r.Connections, r.DiskSyncs)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if len(r.Ratios) > 0 {
		fmt.Fprintln(t, "RATIO\tMEDIAN\tLEAST\tMOST\tBOUND\tOURS/S\tBASELINE/S\tOURS CPU µs\tBASELINE CPU µs")
	}
	for _, c := range r.Ratios {
		fmt.Fprintf(t, "%s\t%.3f\t%.3f\t%.3f\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\n", c.Name, c.Median, c.Least, c.Most, c.Bound, c.Ours, c.Baseline, c.OursCPU, c.BaseCPU)
	}
	if len(r.Open) > 0 {
		fmt.Fprintln(t, "\nOPEN LOOP\tRATE/S\tSHARE\tP50 ms\tP99 ms\tP99.9 ms\tREQUESTS")
	}
	for _, s := range r.Open {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f %%\t%.1f\t%.1f\t%.1f\t%d\n", s.Name, s.Rate, s.Share*100, s.P50, s.P99, s.P999, s.Counts)
	}
	_ = t.Flush()
	if i := r.Ingest; i != nil {
		fmt.Fprintf(w, "\n%d call records: %.0f/s, the server had %.0f MiB resident at most (bound %.0f)\n", i.Records, i.Rate, i.Peak, i.Bound)
	}
	if r.Registered > 0 {
		fmt.Fprintf(w, "\nregistrations over new connections: %.0f/s\n", r.Registered)
	}
	for _, m := range r.misses() {
		fmt.Fprintln(w, "BOUND MISSED:", m)
	}
}

// probeDisk measures how many small synchronous writes the disk does in a second, to be printed beside every result.
func probeDisk() float64 {
	f, err := os.CreateTemp("", "tally-probe-")
	if err != nil {
		return 0
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a temporary file
	defer f.Close()
	block, n, start := make([]byte, 4096), 0, time.Now()
	for time.Since(start) < time.Second {
		if _, err := f.Write(block); err != nil {
			return 0
		}
		if err := f.Sync(); err != nil {
			return 0
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds()
}
