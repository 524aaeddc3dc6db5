package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// meter counts the requests that a handler answers, by the hundred of their status.
type meter struct {
	next  http.Handler
	now   func() time.Time
	count [6]atomic.Int64
	nanos [6]atomic.Int64
}

// ServeHTTP implements http.Handler.
func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := m.now()
	answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	m.next.ServeHTTP(answer, r)
	hundred := min(max(answer.status/100, 0), len(m.count)-1)
	m.count[hundred].Add(1)
	m.nanos[hundred].Add(int64(m.now().Sub(begun)))
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// show writes the figures in the text format that Prometheus reads (version 0.0.4).
func (m *meter) show(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintln(w, "# HELP tally_request_duration_seconds Time to answer requests.\n# TYPE tally_request_duration_seconds summary")
	for hundred := range m.count {
		if n := m.count[hundred].Load(); n > 0 {
			fmt.Fprintf(w, "tally_request_duration_seconds_sum{status=\"%dxx\"} %g\n", hundred, time.Duration(m.nanos[hundred].Load()).Seconds())
			fmt.Fprintf(w, "tally_request_duration_seconds_count{status=\"%dxx\"} %d\n", hundred, n)
		}
	}
	samples := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}}
	metrics.Read(samples)
	for i, name := range []string{"go_goroutines", "go_memory_heap_objects_bytes", "go_memory_total_bytes"} {
		fmt.Fprintf(w, "# TYPE %s gauge\n%s %d\n", name, name, samples[i].Value.Uint64())
	}
}

// measure serves metrics and profiles on a listener of their own, when one is configured, and counts the requests that reach
// faces. The caller ends it with the returned function.
func (c Config) measure(ctx context.Context, faces http.Handler, now func() time.Time) (end func(), handler http.Handler, err error) {
	if c.Metrics == "" {
		return func() {}, faces, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Metrics)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for metrics on %s: %w", c.Metrics, err)
	}
	m := &meter{next: faces, now: now}
	private := http.NewServeMux()
	private.HandleFunc("GET /metrics", m.show)
	private.HandleFunc("/debug/pprof/", pprof.Index)
	private.HandleFunc("/debug/pprof/profile", pprof.Profile)
	private.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: private, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }() // ends with Close
	return func() {
		_ = errors.Join(server.Close(), <-ended) // nothing depends on how it ends
	}, m, nil
}
