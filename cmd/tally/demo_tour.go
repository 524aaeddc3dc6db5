package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tallystick/tallystick/api"
)

// settling is how long the tour waits for the last report of the conference engine.
const settling = 10 * time.Second

// tour shows what became of the day: the counts, what is short and why, and commands to try.
func (d *demo) tour(ctx context.Context) error {
	meetings, err := api.Collect(d.client.Meetings(ctx, d.account, api.MeetingFilter{}))
	if err != nil {
		return err
	}
	licenses, err := d.settled(ctx)
	if err != nil {
		return err
	}
	var example api.Meeting // a meeting with more than one segment has the most to say
	for _, m := range meetings {
		if len(m.Segments) > len(example.Segments) {
			example = m
		}
	}
	out := d.shell.stdout
	fmt.Fprintf(out, "%s.\n", countMeetings(meetings))
	short := 0
	for _, l := range licenses {
		if l.Shortage > 0 {
			short++
			fmt.Fprintf(out, "%s in %s: %s, %d bought, %d in use, %d short.\n", l.License, l.VirtualAccount, l.Status, l.Quantity, l.InUse, l.Shortage)
		}
	}
	fmt.Fprintf(out, "%d of %d licenses are in compliance.\n", len(licenses)-short, len(licenses))

	fmt.Fprintf(out, `
Try in another terminal:

  export TALLY_URL=%s
  export TALLY_KEY=%s
  alias tally=%s

  tally license list                  what is bought, used, short, and why
  tally meeting list                  which meeting took which license
  tally meeting why %s
  tally conference usage              peaks per hour
  tally report meetings -o meetings.csv
  tally instance list                 the products
  tally event verify                  the event chain and the books

`, d.address, d.key, quoted(os.Args[0]), example.ID)
	fmt.Fprintln(d.shell.stderr, "Ctrl-C ends the demo and removes everything.")
	return nil
}

// settled returns the licenses once the conference engine has reported the end of the day, or after a while as they are.
func (d *demo) settled(ctx context.Context) ([]api.License, error) {
	until := d.now().Add(settling)
	for {
		licenses, err := api.Collect(d.client.Licenses(ctx, d.account, ""))
		if err != nil {
			return nil, err
		}
		for _, l := range licenses {
			if l.Tag == "cms-smp-plus" && l.Shortage > 0 || d.now().After(until) {
				return licenses, nil
			}
		}
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// quoted is the path of this program as a shell takes it from any folder.
func quoted(program string) string {
	path, err := os.Executable()
	if err != nil {
		path = program
	}
	return "'" + path + "'"
}
