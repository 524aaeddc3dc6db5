// Command load drives a real server with signed authorizations, registrations and call-record posts, and measures it against
// a bare durable baseline in the same run: the same program, TLS, body and storage writer, one durable append of 160 bytes a
// request, and nothing else. Ratios are taken from fixed work in ABBA order, the median of the pairs; latency comes from an
// open loop, counted from the intended start. It talks to loopback addresses only.
//
//	go run ./test/load                 the whole measurement on SQLite
//	go run ./test/load -db postgres://…  the same on PostgreSQL
//	go run ./test/load -short          a quick look
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
)

type settings struct {
	db          string
	pairs       int
	connections int
	authorize   int
	newConns    int
	posts       int
	baseline    int
	openSeconds int
	records     int
	only        string
	json        string
	check       bool
	profile     string
}

func main() {
	var s settings
	serve := flag.Bool("serve", false, "be the server of a measurement (started by the driver itself)")
	short := flag.Bool("short", false, "a tenth of the work: a look, no figures to quote")
	flag.StringVar(&s.db, "db", "", "database URL; empty for SQLite in a temporary folder")
	flag.IntVar(&s.pairs, "pairs", 8, "pairs of measurements for each ratio; 8 or more to quote")
	flag.IntVar(&s.connections, "connections", 64, "connections at a time")
	flag.IntVar(&s.authorize, "authorizations", 5000, "authorizations in one measurement")
	flag.IntVar(&s.newConns, "new", 1500, "requests over new connections in one measurement")
	flag.IntVar(&s.posts, "posts", 20000, "call-record posts in one measurement")
	flag.IntVar(&s.baseline, "baseline", 20000, "baseline requests in one measurement")
	flag.IntVar(&s.openSeconds, "open", 10, "seconds of each open-loop step")
	flag.IntVar(&s.records, "records", 1_000_000, "call records of the measurement of memory")
	flag.StringVar(&s.only, "only", "", "one of memory, authorize, new, cdr1, cdr10, open, register; empty for all")
	flag.StringVar(&s.json, "json", "", "also write the result as JSON to this file")
	flag.BoolVar(&s.check, "check", false, "exit with 1 when a documented bound does not hold")
	flag.StringVar(&s.profile, "profile", "", "write the server's CPU profile to this file")
	flag.Parse()
	if *short {
		s.pairs, s.authorize, s.newConns, s.posts, s.baseline, s.openSeconds, s.records = 3, 1000, 300, 2000, 2000, 2, 100_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s, *serve); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1) //nolint:gocritic // stop only releases the signal
	}
}

func run(ctx context.Context, s settings, serve bool) error {
	if serve {
		return serveBench(ctx, s.db, s.profile, os.Stdout)
	}
	srv, err := startServer(ctx, s.db, s.profile)
	if err != nil {
		return err
	}
	defer srv.stop()
	d := &driver{settings: s, server: srv, result: result{Go: runtime.Version(), CPUs: runtime.NumCPU(), Database: srv.Dialect, Connections: s.connections}}
	if err := d.measure(ctx); err != nil {
		return err
	}
	d.result.print(os.Stdout)
	if s.json != "" {
		text, err := json.MarshalIndent(d.result, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.json, append(text, '\n'), 0o600); err != nil {
			return err
		}
	}
	if bad := d.result.misses(); s.check && len(bad) > 0 {
		return fmt.Errorf("bounds that do not hold: %v", bad)
	}
	return nil
}
