// Program product is a small product that embeds the agent: it registers, says what it uses, asks before it adds a user, and
// prints how things stand. It is what docs/embedding.md explains, as a whole program:
//
//	go run ./examples/product --authority https://licenses.example:8443 --token-file token.txt --sn A1 --users 3
//
// Run again without the token it goes on with what it kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/tallystick/tallystick/agent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if refusal, ok := errors.AsType[*agent.Error](err); ok {
		fmt.Fprintf(os.Stderr, "error: %s\nhint: %s\n", refusal.Message, refusal.Hint)
		os.Exit(3)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("product", flag.ContinueOnError)
	state := flags.String("state", "product-state", "folder that holds the licensing state")
	authority := flags.String("authority", "", "address of the authority")
	tokenFile := flags.String("token-file", "", "file with a registration token; left out once the product is registered")
	serial := flags.String("sn", "A1", "serial number")
	users := flags.Int64("users", 1, "how many users hold a license")
	serve := flags.Bool("serve", false, "go on until stopped, as a product does")
	if err := flags.Parse(args); err != nil {
		return err
	}

	// The product's licensing lives in a folder; the same calls work on a database with a Keeper of your own.
	keeper, err := agent.OpenDir(*state)
	if err != nil {
		return err
	}
	a, err := agent.New(keeper, agent.Options{})
	if err != nil {
		return err
	}
	if err := a.Init(ctx, agent.Product{Name: "Example Bridge", PID: "EX-1000", Serial: *serial, Version: "1.0"}); err != nil {
		return err
	}
	if *authority != "" {
		if err := a.SetTransport(ctx, *authority); err != nil {
			return err
		}
	}

	// The administrator pasted a token: register. What the authority refuses, it says with a hint.
	if *tokenFile != "" {
		token, err := os.ReadFile(*tokenFile)
		if err != nil {
			return err
		}
		if err := a.Register(ctx, strings.TrimSpace(string(token)), false); err != nil {
			return err
		}
	}

	// What is in use is kept at once and reported with the next exchange; this never waits for the network.
	if err := a.SetUsage(ctx, "cms-pmp-plus", *users); err != nil {
		return err
	}
	// An authority that is away is no reason to stop: the product keeps its last state.
	if _, err := a.Report(ctx); err != nil {
		fmt.Fprintln(out, "no report:", err)
	}

	// Before it adds a user the product asks. The default policy never says no; the answer takes no network and no disk.
	allowed, decision := a.Allowed(agent.ActionProvision)
	fmt.Fprintf(out, "may add a user: %t (%s)\n", allowed, decision.Sentence)

	status, err := a.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "registration: %s\nauthorization: %s\n", status.Registration.Status, status.Authorization.Status)
	for _, l := range status.Licenses {
		fmt.Fprintf(out, "%s: %d in use, %d short, %s\n", l.Tag, l.Count, l.Shortage, l.Status)
		for _, why := range l.Why {
			fmt.Fprintln(out, "  "+why.Sentence)
		}
	}
	if *serve {
		return a.Run(ctx) // renews, reports and retries until ctx ends
	}
	return nil
}
