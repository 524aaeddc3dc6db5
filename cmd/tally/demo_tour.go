package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

// settling is how long the tour waits for the last report of the conference engine.
const settling = 10 * time.Second

// sharedTag is the tag of the shared licenses of meetings.
const sharedTag = "cms-smp-plus"

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
	c := countMeetings(meetings)
	fmt.Fprintf(out, "%d meetings, %d on the personal license of their owner, %d on shared licenses; %d running.\n", c.all, c.personal, c.shared, c.running)
	short := 0
	for _, l := range licenses {
		if l.Shortage > 0 {
			short++
			fmt.Fprintf(out, "%s in %s: %s, %d bought, %d in use, %d short.\n", l.License, l.VirtualAccount, l.Status, l.Quantity, l.InUse, l.Shortage)
		}
	}
	fmt.Fprintf(out, "%d of %d licenses are in compliance.\n", len(licenses)-short, len(licenses))

	demand, err := d.client.ConferenceDemand(ctx, d.account, time.Time{}, time.Time{})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nThe shared licenses of the day:")
	writeWhy(out, demand.Why, 0)

	fmt.Fprintf(out, `
Try in another terminal:

  export TALLY_URL=%s
  export TALLY_KEY=%s
  alias tally=%s

  tally license list                  what is bought, used, short, and why
  tally meeting list                  which meeting took which license
  tally meeting why %s
  tally meeting ask --space Boardroom  what a meeting would take, without a call, under each policy
  tally conference usage --peak       the highest moment, its meetings, and why each took what it took
  tally conference demand             when shared licenses were short, why, and whom a personal one would have helped
  tally conference compliance         days over what is owned, of the last 90
  tally conference bridge list        what came from the call bridges
  tally report users                  who hosts, how much, with which license
  tally report meetings -o meetings.csv
  tally instance list                 the products
  tally satellite show %s          a server on another site, what it has, and when it last synchronized
  tally event verify                  the event chain and the books

The same of the satellite, which has an administrator of its own:

  export TALLY_URL=%s
  export TALLY_KEY=%s

  tally sync status
  tally sync export --preview         everything that would leave the site

`, d.address, d.key, quoted(os.Args[0]), example.ID, demoPlant, d.plantAddress, d.plantKey)
	fmt.Fprintln(d.shell.stderr, "Ctrl-C ends the demo and removes everything.")
	return nil
}

// settled returns the licenses once the authority knows what the conference engine counts, or after a while as they are.
func (d *demo) settled(ctx context.Context) ([]api.License, error) {
	until := d.now().Add(settling)
	for {
		hours, err := api.Collect(d.client.ConferenceUsage(ctx, d.account, d.now().Add(-time.Hour), time.Time{}))
		if err != nil {
			return nil, err
		}
		licenses, err := api.Collect(d.client.Licenses(ctx, d.account, ""))
		if err != nil {
			return nil, err
		}
		counted := slices.IndexFunc(hours, func(h api.HourUse) bool { return h.Tag == sharedTag && h.Hour.Equal(d.now().Truncate(time.Hour)) })
		known := slices.IndexFunc(licenses, func(l api.License) bool { return l.Tag == sharedTag })
		if counted >= 0 && known >= 0 && licenses[known].InUse == hours[counted].Licenses || d.now().After(until) {
			return licenses, nil
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
	return license.ShellWord(path)
}
