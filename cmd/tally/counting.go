package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
	rules "github.com/tallystick/tallystick/internal/meeting"
)

// amount writes sixths exactly.
func amount(sixths int64) string { return rules.Sixths(sixths).String() }

type conferenceUsageCmd struct {
	By   string `help:"hour, day, level, curve or peak; hour when left out." enum:"hour,day,level,curve,peak" default:"hour" placeholder:"KIND"`
	Peak bool   `help:"The highest use and the meetings in it; the same as --by peak."`
	periodFlags
}

// Run shows the use of conferencing licenses.
func (c conferenceUsageCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	if c.Peak {
		if c.By != "hour" && c.By != "peak" {
			return usage("ask two questions, or leave one out", "--peak is --by peak, and --by %s was given too", c.By)
		}
		c.By = "peak"
	}
	switch c.By {
	case "day":
		return c.days(ctx, s, r, account)
	case "level", "curve":
		return c.levels(ctx, s, r, account)
	case "peak":
		return c.peaks(ctx, s, r, account)
	}
	all, err := gather(s, "hours", r.ConferenceUsage(ctx, account, c.From.Time, c.To.Time))
	if err != nil {
		return err
	}
	return printList(s, all, "there was no use", "hour | license | tag | peak | licenses | peak at | meetings",
		func(h api.HourUse) []any {
			return []any{h.Hour, h.License, h.Tag, fmt.Sprintf("%d/6", h.PeakSixths), h.Licenses, h.PeakAt, h.Meetings}
		})
}

func (c conferenceUsageCmd) days(ctx context.Context, s *shell, r *remote, account string) error {
	all, err := gather(s, "days", r.ConferenceDays(ctx, account, c.From.Time, c.To.Time))
	if err != nil {
		return err
	}
	return printList(s, all, "there was no use", "day | license | tag | peak | peak at | in snapshots | meetings | average | assigned | owned | over",
		func(d api.DayUse) []any {
			return []any{d.Day.UTC().Format(time.DateOnly), d.License, d.Tag, amount(d.PeakSixths), d.PeakAt, amount(d.SampledSixths), d.Meetings,
				average(d.SixthSeconds, 24*time.Hour), d.Assigned, d.Entitled, d.Over}
		})
}

// average is the use over time in licenses, with two decimals.
func average(sixthSeconds int64, period time.Duration) string {
	if period <= 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(sixthSeconds)/6/period.Seconds(), 'f', 2, 64)
}

func (c conferenceUsageCmd) levels(ctx context.Context, s *shell, r *remote, account string) error {
	all, err := gather(s, "licenses", r.ConferenceLevels(ctx, account, c.From.Time, c.To.Time))
	if err != nil {
		return err
	}
	return s.print(api.List[api.LevelUse]{Items: all}, func(w io.Writer) {
		for i, l := range all {
			if i > 0 {
				fmt.Fprintln(w)
			}
			period := l.To.Sub(l.From)
			fmt.Fprintf(w, "%s (%s), %s to %s: peak %s, average %s\n", l.License, l.Tag, cellText(l.From), cellText(l.To), amount(l.PeakSixths),
				average(l.SixthSeconds, period))
			t := newTable(w, "taken | for | share")
			if c.By == "curve" {
				t = newTable(w, "at least | for | share")
				slices.Reverse(l.Levels)
			}
			for _, v := range l.Levels {
				ms := v.Milliseconds
				if c.By == "curve" {
					ms = v.AtLeastMilliseconds
				}
				t.row(amount(v.Sixths), time.Duration(ms)*time.Millisecond, share(ms, period.Milliseconds()))
			}
			t.end()
		}
	})
}

func share(part, whole int64) string {
	if whole <= 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(part)*100/float64(whole), 'f', 2, 64) + " %"
}

func (c conferenceUsageCmd) peaks(ctx context.Context, s *shell, r *remote, account string) error {
	all, err := gather(s, "licenses", r.ConferencePeaks(ctx, account, c.From.Time, c.To.Time))
	if err != nil {
		return err
	}
	return s.print(api.List[api.PeakUse]{Items: all}, func(w io.Writer) {
		for i, p := range all {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if p.PeakAt == nil {
				fmt.Fprintf(w, "%s (%s): no use\n", p.License, p.Tag)
				continue
			}
			fmt.Fprintf(w, "%s (%s): peak %s at %s, %d owned; snapshots saw %s\n", p.License, p.Tag, amount(p.PeakSixths), cellText(*p.PeakAt), p.Entitled,
				amount(p.SampledSixths))
			for _, m := range p.Meetings {
				who := ""
				if m.Host != "" {
					who = " of " + cellText(m.Host)
				}
				fmt.Fprintf(w, "\n%s %s%s: %s since %s\n", m.Meeting, cellText(m.Name), who, amount(m.Sixths), cellText(m.From))
				writeWhy(w, m.Why, m.More)
			}
			if p.More > 0 {
				fmt.Fprintf(w, "\nand %d more\n", p.More)
			}
		}
	})
}

type complianceCmd struct {
	Thresholds []int `help:"Set the days over entitlement from which levels 1, 2 and 3 hold, such as 15,45,90." placeholder:"DAYS"`
}

// Run shows the standing of the licenses, after setting the thresholds if asked.
func (c complianceCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	var all api.Compliance
	if len(c.Thresholds) > 0 {
		if len(c.Thresholds) != 3 {
			return usage("write three numbers like 15,45,90", "%d thresholds were given", len(c.Thresholds))
		}
		all, err = r.SetThresholds(ctx, account, c.Thresholds)
	} else {
		all, err = r.ConferenceCompliance(ctx, account)
	}
	if err != nil {
		return err
	}
	return s.print(all, func(w io.Writer) {
		t := newTable(w, "license | tag | counts | used today | owned | days over | level")
		for _, l := range all.Licenses {
			t.row(l.License, l.Tag, l.Basis, l.Used, l.Entitled, l.DaysOver, l.Level)
		}
		t.end()
		for _, l := range all.Licenses {
			fmt.Fprintf(w, "\n%s\n", l.License)
			writeWhy(w, l.Why, 0)
		}
		for _, b := range all.Bridges {
			if b.Level > 0 {
				fmt.Fprintf(w, "\n%s: level %d\n", cellText(b.Name), b.Level)
				writeWhy(w, b.Why, 0)
			}
		}
	})
}

type allocationShowCmd struct{}

// Run shows what bridges are allocated.
func (allocationShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "licenses", r.Allocations(ctx, account))
	if err != nil {
		return err
	}
	return s.print(api.List[api.Allocated]{Items: all}, showAllocation(all))
}

func showAllocation(all []api.Allocated) func(io.Writer) {
	return func(w io.Writer) {
		t := newTable(w, "license | tag | bridge | allocated | peak today")
		for _, a := range all {
			for _, b := range a.Bridges {
				t.row(a.License, a.Tag, b.Name, b.Quantity, amount(b.PeakSixths))
			}
			t.row(a.License, a.Tag, "(not allocated)", a.Unallocated, "")
		}
		t.end()
		for _, a := range all {
			if a.Excess > 0 {
				fmt.Fprintf(w, "Warning: %s is allocated beyond the %d that are owned, by %d.\n", a.Tag, a.Purchased, a.Excess)
			}
			for _, b := range a.Bridges {
				writeWhy(w, b.Why, 0)
			}
		}
	}
}

type allocationSetCmd struct {
	Bridge   string   `required:"" help:"Bridge, by id or name." placeholder:"BRIDGE"`
	Quantity []string `arg:"" name:"tag=qty" help:"What it gets of a license; 0 takes it back."`
}

// Run allocates licenses to a bridge.
func (c allocationSetCmd) Run(ctx context.Context, s *shell) error {
	quantities := map[string]int64{}
	for _, text := range c.Quantity {
		tag, number, _ := strings.Cut(text, "=")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 {
			return usage("write a tag and a number like cms-smp-plus=5", "%q is no allocation", text)
		}
		quantities[tag] = n
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := r.Allocate(ctx, account, api.NewAllocation{Bridge: c.Bridge, Quantities: quantities})
	if err != nil {
		return err
	}
	return s.print(all, showAllocation(all.Items))
}

type activationShowCmd struct{}

// Run shows the activation of bridges.
func (activationShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "bridges", r.Activations(ctx, account))
	if err != nil {
		return err
	}
	return s.print(api.List[api.Activation]{Items: all}, showActivation(all))
}

func showActivation(all []api.Activation) func(io.Writer) {
	return func(w io.Writer) {
		for i, a := range all {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%s (%s): level %d, renewed %s\n", cellText(a.Name), a.Bridge, a.Level, cellText(a.RenewedAt))
			if len(a.Keys) == 0 {
				fmt.Fprintln(w, "nothing is known of its activation keys: `tally conference activation set present|missing` says it")
			}
			t := newTable(w, "call bridge | key | until | known from")
			for _, k := range a.Keys {
				state, from := "missing", "activation set"
				if k.Present {
					state = "present"
				}
				if k.Read {
					from = "its API"
				}
				t.row(k.CallBridge, state, k.Until, from)
			}
			t.end()
			t = newTable(w, "feature | status | expires")
			for _, f := range a.Features {
				t.row(f.Name, f.Status, f.Expiry)
			}
			t.end()
			writeWhy(w, a.Why, 0)
		}
	}
}

type activationSetCmd struct {
	Bridge     string       `required:"" help:"Bridge, by id or name." placeholder:"BRIDGE"`
	CallBridge string       `name:"callbridge" help:"GUID of one call bridge; all of the bridge when left out." placeholder:"GUID"`
	State      string       `arg:"" name:"present|missing" enum:"present,missing" help:"Whether the key is there: present or missing."`
	Until      license.Date `help:"When the key ends: a day or an RFC 3339 instant." placeholder:"TIME"`
}

// Run says whether call bridges have their activation key.
func (c activationSetCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	key := api.ActivationKey{CallBridge: c.CallBridge, Present: c.State == "present"}
	if !c.Until.IsZero() {
		key.Until = &c.Until.Time
	}
	all, err := r.SetActivation(ctx, account, api.NewActivationKey{Bridge: c.Bridge, ActivationKey: key})
	if err != nil {
		return err
	}
	return s.print(all, showActivation(all.Items))
}

type snapshotsCmd struct {
	Bridge     string `help:"Only this bridge, by id or name." placeholder:"BRIDGE"`
	CallBridge string `name:"callbridge" help:"GUID of a call bridge: what is on it, in parts where a meeting is on others too." placeholder:"GUID"`
	periodFlags
}

// Run lists the use every five minutes.
func (c snapshotsCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "snapshots", r.Snapshots(ctx, account, api.SnapshotFilter{From: c.From.Time, To: c.To.Time, Bridge: c.Bridge, CallBridge: c.CallBridge}))
	if err != nil {
		return err
	}
	return printList(s, all, "there are no snapshots in this time", "time | pmp | pmpAssigned | smpAud | smpPtP | smpFull | rec | str | smp",
		func(v api.Snapshot) []any {
			return []any{v.Time, v.PMP, v.PMPAssigned, v.SMPAud, v.SMPPtP, v.SMPFull, v.Rec, v.Str, amount(v.SMPSixths)}
		})
}

type demandCmd struct {
	periodFlags
}

// Run says when shared licenses were short, because of what, and what would have helped.
func (c demandCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	d, err := r.ConferenceDemand(ctx, account, c.From.Time, c.To.Time)
	if err != nil {
		return err
	}
	return s.print(d, func(w io.Writer) {
		writeWhy(w, d.Why, 0)
		if len(d.Shortages) == 0 {
			return
		}
		fmt.Fprintln(w, "\nWhen:")
		t := newTable(w, "from | to | most | at | owned | missing")
		for _, g := range d.Shortages {
			t.row(g.From, g.To, amount(g.UsedSixths), g.UsedAt, g.Entitled, g.Missing)
		}
		t.end()
		if d.More > 0 {
			fmt.Fprintf(w, "and %d more: `tally report demand`\n", d.More)
		}
		fmt.Fprintln(w, "\nWhy shared licenses were taken:")
		t = newTable(w, "cause | meetings")
		for _, cause := range d.Causes {
			t.row(cause.Code, cause.Meetings)
		}
		t.end()
		if len(d.Give) > 0 {
			fmt.Fprintln(w, "\nWhom a personal license would help, in this order:")
			t = newTable(w, "user | meetings | for")
			for _, g := range d.Give {
				t.row(g.User, g.Meetings, time.Duration(g.Seconds)*time.Second)
			}
			t.end()
		}
		fmt.Fprintln(w, "\nThe worst moment:")
		t = newTable(w, "meeting | name | host | takes | because")
		for _, m := range d.Meetings {
			t.row(m.Meeting, m.Name, m.Host, amount(m.Sixths), m.Text)
		}
		t.end()
	})
}
