package main

import (
	"context"
	"fmt"
	"io"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

type eventListCmd struct{}

// Run lists the events of an account.
func (eventListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "events", r.Events(ctx, account))
	if err != nil {
		return err
	}
	return printList(s, all, "nothing has happened yet", "seq | at | kind | subject | actor | hash",
		func(e api.Event) []any {
			return []any{e.Seq, e.At, e.Kind, e.Subject, e.Actor, e.Hash[:min(12, len(e.Hash))]}
		})
}

type eventVerifyCmd struct{}

// Run checks the event chain and the books of an account; it is refused when they do not fit.
func (eventVerifyCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	v, err := r.VerifyEvents(ctx, account)
	if err != nil {
		return err
	}
	err = s.print(v, func(w io.Writer) {
		for _, problem := range v.Problems {
			fmt.Fprintln(w, cellText(problem))
		}
		fmt.Fprintf(w, "%s checked, %s\n", counted(v.Events, "event", "events"), counted(int64(len(v.Problems)), "problem", "problems"))
	})
	if err == nil && len(v.Problems) > 0 {
		return license.Refuse(license.KindRefused, "books", "keep the database as it is and restore a backup beside it to compare", "the events or the books of the account do not fit")
	}
	return err
}
