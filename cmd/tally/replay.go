package main

import (
	"context"
	"fmt"
	"io"

	"github.com/tallystick/tallystick/api"
)

// maxDifferences is how many differences are printed; all are counted.
const maxDifferences = 1000

type replayCmd struct {
	periodFlags
	Bridge string `help:"Only meetings of this bridge." placeholder:"NAME"`
	Policy string `help:"Show what this policy would have decided." placeholder:"NAME"`
	Write  bool   `env:"-" help:"Put what is decided now in the place of what is stored."`
}

// replayed is the document of a whole replay.
type replayed struct {
	Meetings    int64             `json:"meetings"`
	Records     int64             `json:"records"`
	Kept        int64             `json:"kept"`
	Differing   int64             `json:"differing"`
	Written     int64             `json:"written"`
	Differences []api.Difference  `json:"differences"`
	More        int64             `json:"more,omitempty"` // differences that were left out
	Totals      []api.ReplayTotal `json:"totals"`
}

// Run decides stored meetings again and shows what differs.
func (c replayCmd) Run(ctx context.Context, s *shell) error {
	if c.Policy != "" && c.Write {
		return usage("leave out one of them; policies are put in force with `tally conference policy set`", "what another policy would decide is not written")
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	sum := replayed{Differences: []api.Difference{}, Totals: []api.ReplayTotal{}}
	for cursor, first := "", true; first || cursor != ""; first = false {
		step, err := r.ReplayStep(ctx, account, api.ReplayQuery{Bridge: c.Bridge, From: c.From.Time, To: c.To.Time, Policy: c.Policy, Write: c.Write}, cursor, 200)
		if err != nil {
			return err
		}
		sum.add(step)
		s.progress("%d meetings, %d differ …", sum.Meetings, sum.Differing)
		cursor = step.Next
	}
	s.progressEnd()
	return s.print(sum, func(w io.Writer) { sum.write(w, c.Policy) })
}

func (d *replayed) add(step api.Replay) {
	d.Meetings, d.Records, d.Kept = d.Meetings+step.Meetings, d.Records+step.Records, d.Kept+step.Kept
	d.Differing, d.Written = d.Differing+step.Differing, d.Written+step.Written
	room := min(len(step.Differences), maxDifferences-len(d.Differences))
	d.Differences = append(d.Differences, step.Differences[:room]...)
	d.More += int64(len(step.Differences) - room)
	for _, t := range step.Totals {
		i := 0
		for i < len(d.Totals) && d.Totals[i].Tag != t.Tag {
			i++
		}
		if i == len(d.Totals) {
			d.Totals = append(d.Totals, t)
			continue
		}
		of := &d.Totals[i]
		of.MeetingsBefore, of.MeetingsNow = of.MeetingsBefore+t.MeetingsBefore, of.MeetingsNow+t.MeetingsNow
		of.BeforeSixthSeconds, of.NowSixthSeconds = of.BeforeSixthSeconds+t.BeforeSixthSeconds, of.NowSixthSeconds+t.NowSixthSeconds
	}
}

func (d *replayed) write(w io.Writer, policy string) {
	if len(d.Differences) > 0 {
		t := newTable(w, "meeting | name | started | what | before | after | reason")
		for _, f := range d.Differences {
			t.row(f.Meeting, f.Name, f.StartedAt, f.What, f.Before, f.After, f.Reason)
		}
		t.end()
		if d.More > 0 {
			fmt.Fprintf(w, "and %d more\n", d.More)
		}
		fmt.Fprintln(w)
	}
	if len(d.Totals) > 0 {
		t := newTable(w, "license | meetings before | now | license hours before | now")
		for _, v := range d.Totals {
			t.row(v.Tag, v.MeetingsBefore, v.MeetingsNow, hoursOf(v.BeforeSixthSeconds), hoursOf(v.NowSixthSeconds))
		}
		t.end()
		fmt.Fprintln(w)
	}
	whose := "as they are bound"
	if policy != "" {
		whose = "under the policy " + policy
	}
	fmt.Fprintf(w, "%s decided again %s, from %s, of which %d are kept whole: ", counted(d.Meetings, "meeting", "meetings"), whose, counted(d.Records, "record", "records"), d.Kept)
	switch {
	case d.Differing == 0:
		fmt.Fprintln(w, "nothing differs.")
	case d.Written > 0:
		fmt.Fprintf(w, "%d differed and were written.\n", d.Written)
	default:
		fmt.Fprintf(w, "%d differ.\n", d.Differing)
	}
}

// hoursOf words sixths of a license times seconds as license hours, with two decimals.
func hoursOf(sixthSeconds int64) string {
	hundredths := sixthSeconds * 100 / 6 / 3600
	return fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)
}
