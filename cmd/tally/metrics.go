package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// measure serves metrics and profiles on a private listener of their own, when one is configured, and times the requests that
// reach faces. The caller ends it with the returned function.
func (c Config) measure(ctx context.Context, faces http.Handler) (end func(), handler http.Handler, err error) {
	if c.Metrics == "" {
		return func() {}, faces, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Metrics)
	if err != nil {
		return nil, nil, cannotListen("--metrics", c.Metrics, err)
	}
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tally_request_duration_seconds", Help: "Time to answer requests, by method and status.", Buckets: prometheus.DefBuckets,
	}, []string{"method", "code"})
	registry := prometheus.NewRegistry()
	registry.MustRegister(took, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	private := http.NewServeMux()
	private.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	private.HandleFunc("/debug/pprof/", pprof.Index)
	private.HandleFunc("/debug/pprof/profile", pprof.Profile)
	private.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: private, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }() // ends with Close
	return func() {
		_ = errors.Join(server.Close(), <-ended) // nothing depends on how it ends
	}, promhttp.InstrumentHandlerDuration(took, faces), nil
}
