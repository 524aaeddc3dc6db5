package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

// apiFlags say where the API of a call bridge is and how to sign in.
type apiFlags struct {
	API          string        `name:"api" env:"-" help:"Address of the call bridge's web administration." placeholder:"URL"`
	User         string        `env:"-" help:"Name of an API user of the call bridge." placeholder:"NAME"`
	PasswordFile string        `name:"password-file" env:"-" help:"File with its password; - reads standard input." placeholder:"FILE"`
	CA           string        `name:"ca" env:"-" xor:"trust" help:"PEM file with the certificates that the server's certificate comes from." placeholder:"FILE"`
	Fingerprint  string        `env:"-" xor:"trust" help:"SHA-256 of the server's certificate." placeholder:"HEX"`
	CallBridge   string        `name:"callbridge" env:"-" help:"GUID that the call bridge posts its records with; needed where several post to one receiver." placeholder:"GUID"`
	Every        time.Duration `env:"-" help:"How often it is asked." default:"5m"`
}

// document reads the files that the flags name.
func (f apiFlags) document(s *shell) (api.NewBridgeAPI, error) {
	out := api.NewBridgeAPI{URL: f.API, User: f.User, Fingerprint: f.Fingerprint, CallBridge: f.CallBridge, IntervalSeconds: int64(f.Every / time.Second)}
	if f.PasswordFile != "" {
		text, err := s.read("password file", f.PasswordFile, maxPassword)
		if err != nil {
			return out, err
		}
		out.Password = strings.TrimRight(string(text), "\r\n")
	}
	if f.CA != "" {
		text, err := readFile("file with certificates", f.CA, maxCA)
		if err != nil {
			return out, err
		}
		out.CA = string(text)
	}
	return out, nil
}

type bridgeAPISetCmd struct {
	Bridge string `arg:"" help:"Bridge, by name or id."`
	apiFlags
}

// Run keeps where the API of a call bridge is, and asks it once.
func (c bridgeAPISetCmd) Run(ctx context.Context, s *shell) error {
	if c.API == "" || c.User == "" || c.PasswordFile == "" {
		return usage("give --api URL --user NAME --password-file FILE", "the API needs an address, a user and a password")
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	doc, err := c.document(s)
	if err != nil {
		return err
	}
	a, err := r.SetBridgeAPI(ctx, account, c.Bridge, doc)
	if err != nil {
		return err
	}
	return s.print(a, func(w io.Writer) {
		fmt.Fprintf(w, "%s is read every %s, the first time within a quarter of a minute; `tally conference bridge api poll` reads it at once.\n", a.URL, cellText(time.Duration(a.IntervalSeconds)*time.Second))
	})
}

type bridgeAPIShowCmd struct {
	Bridge string `arg:"" help:"Bridge, by name or id."`
}

// Run shows what the APIs of a bridge's call bridges said last.
func (c bridgeAPIShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "APIs", r.BridgeAPIs(ctx, account, c.Bridge))
	if err != nil {
		return err
	}
	return s.printAPIs(all)
}

type bridgeAPIPollCmd struct {
	Bridge string `arg:"" help:"Bridge, by name or id."`
}

// Run asks the APIs of a bridge's call bridges now.
func (c bridgeAPIPollCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := r.PollBridgeAPIs(ctx, account, c.Bridge)
	if err != nil {
		return err
	}
	if err := s.printAPIs(all.Items); err != nil {
		return err
	}
	for _, a := range all.Items {
		if f := a.Found.Failure; f != nil {
			return license.Refuse(license.KindUnavailable, f.Code, f.Hint, "%s", f.Detail)
		}
	}
	return nil
}

type bridgeAPIRemoveCmd struct {
	Bridge string `arg:"" help:"Bridge, by name or id."`
	API    string `name:"api" env:"-" help:"Only this one, by address or id." placeholder:"URL"`
	Forget bool   `env:"-" help:"With the last one, take away the spaces and users that only these call bridges know."`
}

// Run forgets APIs.
func (c bridgeAPIRemoveCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	done, err := r.RemoveBridgeAPIs(ctx, account, c.Bridge, c.API, c.Forget)
	if err != nil {
		return err
	}
	rest := "what was learned stays"
	if c.Forget {
		rest = "spaces and users that nobody else knows are gone with the last one"
	}
	return s.say(done, "forgot %s; %s", counted(int64(done.Removed), "API", "APIs"), rest)
}

type bridgeAPITestCmd struct {
	Bridge string `arg:"" help:"Bridge, by name or id."`
	apiFlags
}

// Run signs in at an API, that of the flags or the kept one, and keeps nothing.
func (c bridgeAPITestCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	doc, err := c.document(s)
	if err != nil {
		return err
	}
	found, err := r.TestBridgeAPI(ctx, account, c.Bridge, doc)
	if err != nil {
		return err
	}
	return s.print(found, func(w io.Writer) {
		fmt.Fprintf(w, "The call bridge answers: version %s.\n", cellText(found.Version))
		writeAdvice(w, found.Advice)
	})
}

func (s *shell) printAPIs(all []api.BridgeAPI) error {
	if all == nil {
		all = []api.BridgeAPI{}
	}
	return s.print(list[api.BridgeAPI]{all}, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "there is no API; set one with `tally conference bridge api NAME --api URL --user NAME --password-file FILE`")
		}
		for i, a := range all {
			if i > 0 {
				fmt.Fprintln(w)
			}
			writeAPI(w, a)
		}
	})
}

func writeAPI(w io.Writer, a api.BridgeAPI) {
	f := a.Found
	tail := ""
	if t := f.Tail; t != nil {
		switch {
		case t.State == "no-index":
			tail = "this version does not say which number is the next"
		case t.Heard > 0:
			tail = fmt.Sprintf("%s (the next is %d, heard up to %d)", t.State, t.Next, t.Heard-1)
		default:
			tail = fmt.Sprintf("%s (the next is %d, nothing heard of this run)", t.State, t.Next)
		}
	}
	learned := ""
	if d := f.Directory; d != nil {
		learned = fmt.Sprintf("%s, %s, read %s: %s", counted(int64(d.Users), "user", "users"), counted(int64(d.Spaces), "space", "spaces"), d.ReadAt.UTC().Format(time.DateTime), d.State)
	}
	calls := "not known"
	if f.AnsweredAt != nil {
		calls = fmt.Sprintf("%d, of which %d run here", f.Calls, f.Running)
	}
	fields(w, "API", a.URL, "Id", a.ID, "Bridge", a.BridgeName, "User", a.User, "Known by", a.Trust, "Every", time.Duration(a.IntervalSeconds)*time.Second,
		"Asked", f.AskedAt, "Answered", f.AnsweredAt, "Version", f.Version, "Active calls", calls,
		"Posts to us", f.Receives, "Records", tail, "Directory", learned)
	if len(f.Missing) > 0 {
		fmt.Fprintf(w, "It answers, and has no %s\n", cellText(strings.Join(f.Missing, ", ")))
	}
	if a := f.Active; a != nil {
		fmt.Fprintf(w, "Personal licenses in use: %s by its count, %s by ours\n", counted(int64(a.There), "user", "users"), counted(int64(a.Here), "user", "users"))
	}
	if l := f.Licensing; l != nil {
		for _, v := range l.Features {
			end := ""
			if v.Expiry != nil {
				end = " until " + v.Expiry.UTC().Format(time.DateOnly)
			}
			fmt.Fprintf(w, "Feature %s: %s%s\n", cellText(v.Name), cellText(v.Status), end)
		}
	}
	for _, h := range f.Hosts {
		fmt.Fprintf(w, "Snapshots of %s up to %s\n", cellText(h.ID), cellText(h.Newest))
	}
	for _, alarm := range f.Alarms {
		reason := ""
		if alarm.Reason != "" {
			reason = ": " + cellText(alarm.Reason)
		}
		fmt.Fprintf(w, "Alarm %s since %s%s\n", cellText(alarm.Type), cellText(alarm.Since), reason)
	}
	if f.Failure != nil {
		fmt.Fprintf(w, "The last turn failed: %s\n  what to do: %s\n", cellText(f.Failure.Detail), cellText(f.Failure.Hint))
	}
	writeAdvice(w, f.Advice)
}

func writeAdvice(w io.Writer, advice []string) {
	for _, a := range advice {
		fmt.Fprintf(w, "  - %s\n", cellText(a))
	}
}

type reconcileCmd struct {
	periodFlags
	Bridge string `env:"-" help:"Bridge, by name or id; every one when left out." placeholder:"BRIDGE"`
	Limit  int    `env:"-" help:"At most so many differences of a bridge." default:"20"`
}

// Run compares the call bridges' own count with ours.
func (c reconcileCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	names := []string{c.Bridge}
	if c.Bridge == "" {
		all, err := gather(s, "bridges", r.Bridges(ctx, account))
		if err != nil {
			return err
		}
		names = names[:0]
		for _, b := range all {
			names = append(names, b.ID)
		}
	}
	out := []api.Reconciliation{}
	for _, name := range names {
		one, err := r.Reconcile(ctx, account, name, c.From.Time, c.To.Time, c.Limit)
		if p, ok := errors.AsType[*api.Problem](err); ok && p.Code == "no-snapshots" && c.Bridge == "" {
			fmt.Fprintln(s.stderr, p.Detail)
			continue
		}
		if err != nil {
			return err
		}
		out = append(out, one)
	}
	return s.print(list[api.Reconciliation]{out}, func(w io.Writer) {
		if len(out) == 0 {
			fmt.Fprintln(w, "there is nothing to compare: snapshots are read where the API of a call bridge is set with `tally conference bridge api BRIDGE --api URL --user NAME --password-file FILE`")
		}
		for i, one := range out {
			if i > 0 {
				fmt.Fprintln(w)
			}
			writeReconciliation(w, one)
		}
	})
}

func writeReconciliation(w io.Writer, r api.Reconciliation) {
	fields(w, "Bridge", r.BridgeName, "From", r.From, "To", r.To, "Compared", fmt.Sprintf("%d intervals of %s", r.Compared, counted(int64(r.Hosts), "call bridge", "call bridges")),
		"Left out", r.Partial, "Differing", r.Differing,
		"Our peak of shared licenses", fmt.Sprintf("%d/6 exactly, %d/6 as snapshots see it", r.PeakExactSixths, r.PeakSampledSixths),
		"Their peak", hundredths(r.PeakTheirs)+"/6", "Personal licenses assigned", fmt.Sprintf("%d here, %d there", r.Assigned, r.AssignedTheirs))
	if len(r.Differences) > 0 {
		fmt.Fprintln(w)
		t := newTable(w, "at | ours: pmp | full | ptp | aud | theirs: pmp | full | ptp | aud | meetings that we counted")
		for _, d := range r.Differences {
			var meetings []string
			for _, m := range d.Meetings {
				meetings = append(meetings, fmt.Sprintf("%s %s (%s)", m.ID, m.Name, m.Class))
			}
			if d.More > 0 {
				meetings = append(meetings, fmt.Sprintf("and %d more", d.More))
			}
			t.row(d.At, hundredths(d.Ours.Personal), hundredths(d.Ours.Full), hundredths(d.Ours.PointToPoint), hundredths(d.Ours.Audio),
				hundredths(d.Theirs.Personal), hundredths(d.Theirs.Full), hundredths(d.Theirs.PointToPoint), hundredths(d.Theirs.Audio), strings.Join(meetings, ", "))
		}
		t.end()
	}
	if len(r.Policies) > 0 {
		fmt.Fprintln(w)
		t := newTable(w, "policy | in force | differs by")
		for _, p := range r.Policies {
			t.row(p.Policy.Text, p.InForce, hundredths(p.Distance))
		}
		t.end()
	}
	if r.Skipped != "" {
		fmt.Fprintf(w, "\nPolicies are not compared: %s.\n", r.Skipped)
	}
	if r.Proposed != "" {
		fmt.Fprintf(w, "\nThe call bridges' own count is explained better by %s than by the policy in force. See `tally conference policy set`.\n", r.Proposed)
	}
}

// hundredths writes hundredths as a decimal number.
func hundredths(n int64) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }
