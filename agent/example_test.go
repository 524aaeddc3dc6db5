package agent_test

import (
	"context"
	"errors"
	"log"

	"github.com/tallystick/tallystick/agent"
)

// A product makes its agent at the start, registers once, and says what it uses whenever that changes.
func Example() {
	ctx := context.Background()
	keeper, err := agent.OpenDir("/var/lib/product/licensing")
	if err != nil {
		log.Fatal(err)
	}
	a, err := agent.New(keeper, agent.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := a.Init(ctx, agent.Product{Name: "Call Bridge", PID: "CB-1000", Serial: "9A6PGB43PJC", Version: "3.9"}); err != nil {
		log.Fatal(err)
	}
	go func() { _ = a.Run(ctx) }() // renews, reports, retries until ctx ends

	// When the administrator types the authority's address and a token:
	err = errors.Join(a.SetTransport(ctx, "https://licenses.example:8443"), a.Register(ctx, "TOKEN", false))
	if refusal, ok := errors.AsType[*agent.Error](err); ok {
		log.Print(refusal.Message, " - ", refusal.Hint)
	}

	// When a meeting begins or ends, and when somebody asks how things stand:
	_ = a.SetUsage(ctx, "cms-smp-plus", 3)
	if answer, err := a.Report(ctx); err == nil {
		log.Print(answer.Status)
	}
	status, _ := a.Status(ctx)
	log.Print(status.Authorization.Status)
}
