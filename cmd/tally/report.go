package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

// periodFlags bound a list or report; a day stands for its first instant, UTC.
type periodFlags struct {
	From license.Date `help:"Begin of the period: a day or an RFC 3339 instant." placeholder:"TIME"`
	To   license.Date `help:"End of the period, not included." placeholder:"TIME"`
}

type reportCmd struct {
	Kind   string `arg:"" enum:"licenses,subscriptions,instances,usage,meetings,users,hours,days,demand" help:"licenses, subscriptions, instances, usage, meetings, users, hours, days or demand."`
	Format string `help:"csv or json; json is usual with --json." enum:"csv,json," default:"" placeholder:"FORMAT"`
	Output string `short:"o" help:"Write to this file." placeholder:"FILE"`
	periodFlags
}

// Run writes a report while it comes; a file appears whole or not at all.
func (c reportCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	format := c.Format
	switch {
	case format == "" && s.JSON:
		format = "json"
	case format == "":
		format = "csv"
	}
	write := func(w io.Writer) error {
		return r.WriteReport(ctx, w, account, c.Kind, format, c.From.Time, c.To.Time)
	}
	if c.Output == "" {
		return write(s.stdout)
	}
	var text bytes.Buffer
	if err := write(&text); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if err := trust.WriteFile(c.Output, text.Bytes(), mode); err != nil {
		return fmt.Errorf("write %s: %w", c.Output, err)
	}
	fmt.Fprintf(s.stderr, "wrote %s\n", c.Output)
	return nil
}
