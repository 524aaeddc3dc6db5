package local

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

// Stamp is how administrators of this field read an instant.
func Stamp(t time.Time) string { return t.UTC().Format("Jan 02 15:04:05 2006 UTC") }

// page collects lines.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// at writes "label: instant" unless there is none.
func (p *page) at(label string, t time.Time) {
	if !t.IsZero() {
		p.line("  %s: %s", label, Stamp(t))
	}
}

// attempt writes how something ended, and why it failed.
func (p *page) attempt(label string, a agent.Attempt) {
	if a.Outcome == "" {
		p.line("  %s: None", label)
		return
	}
	p.line("  %s: %s on %s", label, a.Outcome, Stamp(a.At))
	if a.Outcome == agent.Failed {
		p.line("    Failure reason: %s", a.Reason)
	}
}

// title writes a heading with its rule.
func (p *page) title(text string) {
	p.line("%s\n%s", text, strings.Repeat("=", len(text)))
}

// ShowAll has the layout, and not one line more, that the public template cisco_asa_show_license_all reads; an unknown
// line is an error there.
func ShowAll(s agent.Status) string {
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
	if s.Reservation != nil {
		p.line("")
		p.title("Reservation Info")
		p.line("License reservation: %s", enabled(s.Reservation.Enabled))
	}
	return p.String()
}

func enabled(on bool) string {
	if on {
		return "ENABLED"
	}
	return "DISABLED"
}

// reservation writes every code of the ceremony; none is a secret.
func (p *page) reservation(s agent.Status) {
	p.title("License Reservation")
	r := s.Reservation
	if r == nil {
		p.line("License reservation: DISABLED\n")
		return
	}
	p.line("License reservation: %s", enabled(r.Enabled))
	status := "NOT INSTALLED"
	if r.State == agent.ReservationReserved {
		status = r.Type + " INSTALLED on " + Stamp(r.InstalledAt)
	}
	p.line("Overall status:\n  %s", s.UDI)
	p.line("    Reservation status: %s", status)
	for _, code := range []struct{ label, text string }{
		{"Request code", r.RequestCode}, {"Last return code", r.LastReturnCode}, {"Last Confirmation code", r.ConfirmationCode},
	} {
		p.line("    %s: %s", code.label, cmp.Or(code.text, "<none>"))
	}
	for _, l := range r.Licenses {
		p.line("    %s: %d reserved, %d in use", l.Tag, l.Reserved, l.Used)
	}
	p.line("")
}

// ShowStatus is for people: the same blocks after those on privacy and transport, and what to do next.
func ShowStatus(s agent.Status) string {
	var p page
	p.line("Smart Licensing is ENABLED\n")
	if s.Reservation != nil && s.Reservation.Enabled {
		p.line("License Reservation is ENABLED\n")
	}
	p.line("Utility:\n  Status: DISABLED\n")
	p.privacy(s)
	p.transport(s)
	p.registration(s.Registration)
	p.line("")
	p.authorization(s)
	p.reasons(s.Licenses)
	p.line("\nWhat to do next:")
	for _, sentence := range Next(s) {
		p.line("  %s", sentence)
	}
	return p.String()
}

// privacy writes what the authority is not told.
func (p *page) privacy(s agent.Status) {
	sending := "no"
	if s.Product.Hostname != "" && !s.Privacy.Hostname {
		sending = "yes"
	}
	p.line("Data Privacy:\n  Sending Hostname: %s", sending)
	p.line("    Callhome hostname privacy: DISABLED\n    Smart Licensing hostname privacy: %s\n  Version privacy: %s\n", enabled(s.Privacy.Hostname), enabled(s.Privacy.Version))
}

// transport writes the way to the authority.
func (p *page) transport(s agent.Status) {
	p.line("Transport:\n  Type: %s", cmp.Or(string(s.Route.Kind), string(agent.Direct)))
	if s.Transport != "" {
		p.line("  URL: %s", s.Transport)
	}
	if u, err := url.Parse(s.Route.Proxy); err == nil && s.Route.Proxy != "" {
		p.line("  Proxy:\n    Address: %s\n    Port: %s", u.Hostname(), u.Port())
		if s.Route.User != "" {
			p.line("    Username: %s", s.Route.User)
		}
	}
	p.line("")
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
	if r.Account != "" {
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
		status += " on " + Stamp(a.Since)
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

// ShowUsage is one block per license, and their reasons.
func ShowUsage(s agent.Status) string {
	var p page
	p.line("License Authorization:\n  Status: %s\n", s.Authorization.Status)
	p.licenses(s)
	p.reasons(s.Licenses)
	return p.String()
}

// ShowSummary is one line per license.
func ShowSummary(s agent.Status) string {
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

// ShowUDI is the identity of the product.
func ShowUDI(s agent.Status) string { return "UDI: " + s.UDI + "\n" }

// ShowAnswer is what a report came to.
func ShowAnswer(a agent.Answer) string {
	var p page
	p.line("Status: %s", a.Status)
	for _, t := range a.Tags {
		p.line("  %s: requested %d, entitled %d, short %d: %s", t.Tag, t.Requested, t.Entitled, t.Shortage, t.Status)
		for _, why := range t.Why {
			p.line("    %s", why.Sentence)
		}
	}
	p.line("Next Communication Attempt: %s\nCommunication Deadline: %s", Stamp(a.NextAttempt), Stamp(a.Deadline))
	return p.String()
}

// Texts are the texts of `show license` by their names.
func Texts() map[string]func(agent.Status, time.Time) string {
	plain := func(text func(agent.Status) string) func(agent.Status, time.Time) string {
		return func(s agent.Status, _ time.Time) string { return text(s) }
	}
	return map[string]func(agent.Status, time.Time) string{
		"all": plain(ShowAll), "status": plain(ShowStatus), "summary": plain(ShowSummary), "usage": plain(ShowUsage), "udi": plain(ShowUDI),
		"tech-support": ShowTechSupport,
	}
}

// messages writes what became of the messages of one kind.
func (p *page) messages(m agent.Messages) {
	p.line("  Messages to %s:\n    Attempts: Total=%d, Success=%d, Fail=%d  Ongoing Failure: %d", m.Kind, m.Succeeded+m.Failed, m.Succeeded, m.Failed, m.Failing)
	last := func(label string, at time.Time) {
		text := "<none>"
		if !at.IsZero() {
			text = Stamp(at)
		}
		p.line("    %s: %s", label, text)
	}
	last("Last Success Time", m.LastSuccess)
	last("Last Failure Time", m.LastFailure)
	if m.Reason != "" {
		p.line("      Failure Reason: %s", m.Reason)
	}
}

// ShowTechSupport is everything that somebody who helps from afar wants to know: all other texts, what is due when, how the
// last attempts ended, and what should be looked at. It holds no secret.
func ShowTechSupport(s agent.Status, now time.Time) string {
	var p page
	p.line("Smart Licensing Tech Support info\n")
	p.WriteString(ShowStatus(s))
	p.line("")
	p.title("License Usage")
	p.line("")
	p.licenses(s)
	p.reasons(s.Licenses)
	p.line("")
	p.title("Product Information")
	p.line("UDI: %s\nName: %s\nVersion: %s\nHostname: %s\n", s.UDI, s.Product.Name, cmp.Or(s.Product.Version, "<empty>"), cmp.Or(s.Product.Hostname, "<empty>"))
	p.title("Agent Version")
	p.line("Smart Agent for Licensing: %s\n", s.AgentVersion)
	p.reservation(s)
	p.title("Upcoming Scheduled Jobs")
	p.line("Current time: %s", Stamp(now))
	for _, job := range []struct {
		name string
		at   time.Time
	}{{"Registration attempt", s.Registration.NextTry}, {"ID certificate renewal", s.Registration.NextRenewal}, {"Authorization renewal", s.Authorization.NextAttempt}} {
		if job.at.IsZero() {
			p.line("%s: Not scheduled", job.name)
			continue
		}
		p.line("%s: %s (%s remaining)", job.name, Stamp(job.at), remaining(int64(max(job.at.Sub(now), 0)/time.Second)))
	}
	p.line("")
	p.title("Communication Statistics")
	p.attempt("Registration", s.Registration.Initial)
	p.attempt("ID certificate renewal", s.Registration.LastRenewal)
	p.attempt("Authorization", s.Authorization.LastAttempt)
	for _, m := range s.Messages {
		p.messages(m)
	}
	p.line("  Clock of the authority minus the product's: %d seconds", s.ClockSkewSeconds)
	p.line("  Intervals not yet acknowledged: %d\n", s.WaitingIntervals)
	p.title("Decision")
	p.line("Policy: %s\nFunction: %s\n%s", s.Decision.Policy, s.Decision.Function, s.Decision.Sentence)
	return p.String()
}
