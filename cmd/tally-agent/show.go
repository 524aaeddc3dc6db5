package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

// stamp is how administrators of this field read an instant.
func stamp(t time.Time) string { return t.UTC().Format("Jan 02 15:04:05 2006 UTC") }

// page collects lines.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// at writes "label: instant" unless there is none.
func (p *page) at(label string, t time.Time) {
	if !t.IsZero() {
		p.line("  %s: %s", label, stamp(t))
	}
}

// attempt writes how something ended, and why it failed.
func (p *page) attempt(label string, a agent.Attempt) {
	if a.Outcome == "" {
		p.line("  %s: None", label)
		return
	}
	p.line("  %s: %s on %s", label, a.Outcome, stamp(a.At))
	if a.Outcome == agent.Failed {
		p.line("    Failure reason: %s", a.Reason)
	}
}

// title writes a heading with its rule.
func (p *page) title(text string) {
	p.line("%s\n%s", text, strings.Repeat("=", len(text)))
}

// showAll has the layout, and not one line more, that the public template cisco_asa_show_license_all reads; an unknown
// line is an error there.
func showAll(s agent.Status) string {
	var p page
	p.line("")
	p.title("Smart Licensing Status")
	p.line("\nSmart Licensing is ENABLED\n")
	p.registration(s.Registration)
	p.line("")
	p.authorization(s)
	p.line("")
	p.title("License Usage")
	p.line("")
	p.licenses(s)
	p.line("")
	p.title("Product Information")
	p.line("UDI: %s\n", s.UDI)
	p.title("Agent Version")
	p.line("Smart Agent for Licensing: %s", s.AgentVersion)
	return p.String()
}

// showStatus is for people: the same blocks after those on privacy and transport, and what to do next.
func showStatus(s agent.Status) string {
	var p page
	p.line("Smart Licensing is ENABLED\n")
	p.line("Utility:\n  Status: DISABLED\n")
	sending := "no"
	if s.Product.Hostname != "" {
		sending = "yes"
	}
	p.line("Data Privacy:\n  Sending Hostname: %s", sending)
	p.line("    Callhome hostname privacy: DISABLED\n    Smart Licensing hostname privacy: DISABLED\n  Version privacy: DISABLED\n")
	p.line("Transport:\n  Type: direct")
	if s.Transport != "" {
		p.line("  URL: %s", s.Transport)
	}
	p.line("")
	p.registration(s.Registration)
	p.line("")
	p.authorization(s)
	p.reasons(s.Licenses)
	p.line("\nWhat to do next:")
	for _, sentence := range next(s) {
		p.line("  %s", sentence)
	}
	return p.String()
}

// reasons writes why each license is as it is, where the authority said so.
func (p *page) reasons(licenses []agent.License) {
	heading := "\nReasons:"
	for _, l := range licenses {
		for _, why := range l.Why {
			if heading != "" {
				p.line("%s", heading)
				heading = ""
			}
			p.line("  %s: %s", l.Tag, why.Sentence)
		}
	}
}

func (p *page) registration(r agent.Registration) {
	p.line("Registration:\n  Status: %s", r.Status)
	registered := r.Instance != ""
	if registered {
		p.line("  Smart Account: %s\n  Virtual Account: %s", r.Account, r.VirtualAccount)
	}
	allowed := "Not Allowed"
	if r.ExportControlled {
		allowed = "Allowed"
	}
	p.line("  Export-Controlled Functionality: %s", allowed)
	if registered || r.Initial.Outcome != "" {
		p.attempt("Initial Registration", r.Initial)
	}
	if registered || r.LastRenewal.Outcome != "" {
		p.attempt("Last Renewal Attempt", r.LastRenewal)
	}
	p.at("Next Renewal Attempt", r.NextRenewal)
	p.at("Registration Expires", r.ExpiresAt)
}

func (p *page) authorization(s agent.Status) {
	a := s.Authorization
	p.line("License Authorization:")
	status := a.Status
	if !a.Since.IsZero() {
		status += " on " + stamp(a.Since)
	}
	p.line("  Status: %s", status)
	if a.Status == string(license.StatusEvaluation) {
		p.line("  Evaluation Period Remaining: %s", remaining(a.EvaluationSeconds))
	}
	if s.Registration.Instance != "" || a.LastAttempt.Outcome != "" {
		p.attempt("Last Communication Attempt", a.LastAttempt)
	}
	if s.Registration.Instance != "" {
		p.at("Next Communication Attempt", a.NextAttempt)
		p.at("Communication Deadline", a.Deadline)
	}
}

func remaining(seconds int64) string {
	return fmt.Sprintf("%d days, %d hours, %d minutes, %d seconds", seconds/86400, seconds/3600%24, seconds/60%60, seconds%60)
}

// licenses writes one block per license.
func (p *page) licenses(s agent.Status) {
	if len(s.Licenses) == 0 {
		p.line("No licenses in use")
		return
	}
	for i, l := range s.Licenses {
		if i > 0 {
			p.line("")
		}
		p.line("%s", strings.TrimSpace(l.Name+" ("+l.Tag+"):"))
		p.line("  Description: %s", l.Name)
		p.line("  Count: %d\n  Version: 1.0\n  Status: %s", l.Count, l.Status)
	}
}

// showUsage is one block per license, and their reasons.
func showUsage(s agent.Status) string {
	var p page
	p.line("License Authorization:\n  Status: %s\n", s.Authorization.Status)
	p.licenses(s)
	p.reasons(s.Licenses)
	return p.String()
}

// showSummary is one line per license.
func showSummary(s agent.Status) string {
	var p page
	w := tabwriter.NewWriter(&p, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "License\tEntitlement Tag\tCount\tStatus")
	for _, l := range s.Licenses {
		fmt.Fprintf(w, "%s\t(%s)\t%d\t%s\n", cmp.Or(l.Name, l.Tag), l.Tag, l.Count, l.Status)
	}
	_ = w.Flush() // a page does not fail
	if len(s.Licenses) == 0 {
		p.line("No licenses in use")
	}
	return p.String()
}

func showUDI(s agent.Status) string { return "UDI: " + s.UDI + "\n" }

// showAnswer is what a report came to.
func showAnswer(a agent.Answer) string {
	var p page
	p.line("Status: %s", a.Status)
	for _, t := range a.Tags {
		p.line("  %s: requested %d, entitled %d, short %d: %s", t.Tag, t.Requested, t.Entitled, t.Shortage, t.Status)
		for _, why := range t.Why {
			p.line("    %s", why.Sentence)
		}
	}
	p.line("Next Communication Attempt: %s\nCommunication Deadline: %s", stamp(a.NextAttempt), stamp(a.Deadline))
	return p.String()
}

// next says what the administrator can do, the most urgent first.
func next(s agent.Status) []string {
	var todo []string
	add := func(when bool, format string, args ...any) {
		if when {
			todo = append(todo, fmt.Sprintf(format, args...))
		}
	}
	a, r := s.Authorization, s.Registration
	for _, f := range s.Findings {
		add(true, "%s %s", f.Sentence, f.Next)
	}
	add(s.Decision.Enforced || s.Decision.RemainingSeconds > 0, "%s", s.Decision.Sentence)
	add(r.Orphan != "" && len(todo) == 0, "Remove the instance %s at the authority: it did not confirm the deregistration.", r.Orphan)
	unregistered := r.Status == agent.Unregistered
	add(unregistered && s.Transport == "", "Set the authority's address: tally-agent transport direct URL")
	add(unregistered, "Register with a token of the authority: tally-agent license smart register idtoken TOKEN")
	add(unregistered && a.Status == string(license.StatusEvaluation), "The evaluation lasts for %s more of use.", remaining(a.EvaluationSeconds))
	add(r.Status == agent.RegistrationExpired, "Register again: tally-agent license smart register idtoken TOKEN force")
	add(a.Status == string(license.StatusOutOfCompliance), "Order or transfer the licenses that are missing, then: tally-agent report")
	failing := !unregistered && a.LastAttempt.Outcome == agent.Failed
	add(failing, "Find out why the authority does not answer, then: tally-agent report")
	add(failing && !a.Deadline.IsZero(), "Until %s nothing changes while it is away.", stamp(a.Deadline))
	add(!failing && a.Status == string(license.StatusExpired), "Reach the authority again: tally-agent report")
	skew := time.Duration(s.ClockSkewSeconds) * time.Second
	add(skew.Abs() > time.Minute, "Set the clock of this host: the authority's is %s ahead of it.", skew)
	for _, l := range s.Licenses {
		if !unregistered && l.Status == agent.Waiting {
			add(true, "Report the use, or wait for the next exchange: tally-agent report")
			break
		}
	}
	add(len(todo) == 0 && !a.NextAttempt.IsZero(), "Nothing. The next exchange is on %s.", stamp(a.NextAttempt))
	add(len(todo) == 0, "Nothing.")
	return todo
}
