package local

import (
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

var update = flag.Bool("update", false, "write the golden files again")

var registered = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// states are all states that a product can show, by name.
func states() map[string]agent.Status {
	day := func(n int) time.Time { return registered.AddDate(0, 0, n) }
	ok := func(t time.Time) agent.Attempt { return agent.Attempt{Outcome: agent.Succeeded, At: t} }
	failed := func(t time.Time) agent.Attempt {
		return agent.Attempt{Outcome: agent.Failed, At: t, Reason: `the authority cannot be reached: Post "https://licenses.example:8443/machine/v1/authorize": dial tcp: connection refused`}
	}
	base := agent.Status{
		Product: agent.Product{Name: "Call Bridge", PID: "CMS", Serial: "9A6PGB43PJC", Version: "3.9", Hostname: "bridge-1"},
		UDI:     "PID:CMS,SN:9A6PGB43PJC", AgentVersion: "0.1.0", Transport: "https://licenses.example:8443",
		Registration:  agent.Registration{Status: agent.Unregistered},
		Authorization: agent.Authorization{Status: string(license.StatusNone), EvaluationSeconds: 90 * 86400},
	}
	in := base
	in.Registration = agent.Registration{
		Status: agent.Registered, Account: "acme.example", VirtualAccount: "Wile E. Coyote", Instance: "ins_01", ExportControlled: true,
		Initial: ok(registered), NextRenewal: day(180), ExpiresAt: day(365).Add(-5 * time.Minute),
	}
	in.Authorization = agent.Authorization{
		Status: string(license.StatusAuthorized), Since: registered, LastAttempt: ok(registered), NextAttempt: day(30),
		Deadline: day(90).Add(-5 * time.Minute), EvaluationSeconds: 90 * 86400,
	}
	in.Licenses = []agent.License{
		{Tag: "cms-pmp-plus", Name: "Personal Multiparty Plus", Count: 3, Status: "AUTHORIZED", Entitled: 3},
		{Tag: "cms-smp-plus", Name: "Shared Multiparty Plus", Count: 1, Status: "AUTHORIZED", Entitled: 1},
	}
	change := func(s agent.Status, f func(s *agent.Status)) agent.Status {
		s.Licenses = append([]agent.License(nil), s.Licenses...)
		f(&s)
		return s
	}
	none := func(s *agent.Status) {
		s.Licenses, s.Authorization.Status = nil, string(license.StatusNone)
		s.Authorization.Since = time.Time{}
	}
	use := func(s *agent.Status, status license.AuthorizationStatus) {
		s.Authorization.Status = string(status)
		s.Licenses = []agent.License{{Tag: "cms-smp-plus", Count: 1, Status: string(status)}}
	}
	return map[string]agent.Status{
		"new":             change(base, func(s *agent.Status) { s.Transport, s.Product.Hostname = "", "" }),
		"evaluation":      change(base, func(s *agent.Status) { use(s, license.StatusEvaluation); s.Authorization.EvaluationSeconds = 7695231 }),
		"evaluation-over": change(base, func(s *agent.Status) { use(s, license.StatusEvalExpired); s.Authorization.EvaluationSeconds = 0 }),
		"refused": change(base, func(s *agent.Status) {
			s.Registration.Initial = agent.Attempt{Outcome: agent.Failed, At: registered, Reason: "the token has expired"}
		}),
		"removed": change(base, func(s *agent.Status) {
			use(s, license.StatusEvaluation)
			s.Authorization.LastAttempt = agent.Attempt{Outcome: agent.Failed, At: registered, Reason: "the instance was removed by admin"}
		}),
		"gone-here":    change(base, func(s *agent.Status) { s.Registration.Orphan = "ins_01" }),
		"authorized":   in,
		"nothing-used": change(in, none),
		"not-yet-answered": change(in, func(s *agent.Status) {
			use(s, license.StatusEvaluation)
			s.Authorization.Since = time.Time{}
			s.Authorization.LastAttempt = failed(registered)
			s.Authorization.Deadline = time.Time{}
			s.Licenses[0].Status = agent.Waiting
		}),
		"out-of-compliance": change(in, func(s *agent.Status) {
			s.Authorization.Status, s.Authorization.NextAttempt = string(license.StatusOutOfCompliance), registered.Add(12*time.Hour)
			l := &s.Licenses[1]
			l.Count, l.Shortage, l.Status = 2, 1, string(license.StatusOutOfCompliance)
			f := license.Fact{Code: license.FactShort, Tag: l.Tag, Count: 1, Of: 2}
			l.Why = []agent.Reason{{Fact: f, Sentence: f.Text()}}
		}),
		"satellite-removed": change(in, func(s *agent.Status) {
			s.Authorization.Status, s.Authorization.NextAttempt = string(license.StatusOutOfCompliance), registered.Add(12*time.Hour)
			l := &s.Licenses[1]
			l.Shortage, l.Status = 1, string(license.StatusOutOfCompliance)
			f := license.Fact{Code: license.FactHelpDesk, Tag: l.Tag}
			l.Why = []agent.Reason{{Fact: f, Sentence: f.Text()}}
		}),
		"failing": change(in, func(s *agent.Status) {
			s.Registration.LastRenewal, s.Registration.NextRenewal = failed(day(180)), day(180).Add(15*time.Minute)
			s.Authorization.LastAttempt, s.Authorization.NextAttempt = failed(day(30)), day(30).Add(29*time.Second)
		}),
		"authorization-expired": change(in, func(s *agent.Status) {
			s.Authorization.Status, s.Authorization.Since = string(license.StatusExpired), s.Authorization.Deadline
			for i := range s.Licenses {
				s.Licenses[i].Status = string(license.StatusExpired)
			}
		}),
		"renewed": change(in, func(s *agent.Status) { s.Registration.LastRenewal, s.ClockSkewSeconds = ok(day(180)), -3540 }),
		"registration-expired": change(in, func(s *agent.Status) {
			s.Registration.Status, s.Registration.LastRenewal = agent.RegistrationExpired, failed(day(364))
		}),
		"registering": change(base, func(s *agent.Status) {
			use(s, license.StatusEvaluation)
			s.Registration.Status, s.Registration.NextTry = agent.Registering, day(0).Add(29*time.Second)
			s.Registration.Initial = failed(registered)
		}),
		"through-a-proxy": change(in, func(s *agent.Status) {
			s.Route = agent.RouteStatus{Kind: agent.Proxy, Address: s.Transport, Proxy: "http://proxy.example:3128", User: "product", HasPassword: true}
			s.Privacy = agent.Privacy{Hostname: true, Version: true}
		}),
		"behind-a-satellite": change(in, func(s *agent.Status) {
			s.Transport = "https://satellite.example:8443"
			s.Route = agent.RouteStatus{Kind: agent.Gateway, Address: s.Transport}
		}),
		"lost-state": change(base, func(s *agent.Status) {
			use(s, license.StatusUnknown)
			s.Registration.Status = agent.RegistrationUnknown
			s.Findings = []agent.Finding{{Code: "state-unknown", Sentence: "This product was registered, and what it knew about it is lost.", Next: "Register again, with force; until then everything is allowed."}}
		}),
		"reserved": change(base, func(s *agent.Status) {
			s.Registration = agent.Registration{Status: agent.RegisteredSpecific, Account: "acme.example", VirtualAccount: "Default", Initial: ok(registered)}
			s.Authorization = agent.Authorization{Status: string(license.StatusReserved), Since: registered}
			s.Licenses = []agent.License{{Tag: "cms-smp-plus", Name: "Shared Multiparty Plus", Count: 2, Status: string(license.StatusReserved), Entitled: 3}}
			s.Reservation = &agent.ReservationStatus{
				Enabled: true, State: agent.ReservationReserved, Type: "SPECIFIC", Sequence: 1, Version: 1, RequestCode: "REQUEST", ConfirmationCode: "CONFIRMATION", InstalledAt: registered,
				Licenses: []agent.ReservedLicense{{Tag: "cms-smp-plus", Reserved: 3, Used: 2}},
			}
		}),
		"reserved-too-little": change(base, func(s *agent.Status) {
			s.Registration = agent.Registration{Status: agent.RegisteredUniversal, Account: "acme.example", VirtualAccount: "Default", Initial: ok(registered)}
			s.Authorization = agent.Authorization{Status: string(license.StatusNotReserved), Since: registered}
			s.Licenses = []agent.License{{Tag: "cms-smp-plus", Count: 4, Status: string(license.StatusNotReserved), Shortage: 1}}
			s.Reservation = &agent.ReservationStatus{Enabled: true, State: agent.ReservationReserved}
		}),
		"reservation-requested": change(base, func(s *agent.Status) {
			s.Reservation = &agent.ReservationStatus{Enabled: true, State: agent.ReservationRequested, Sequence: 1, RequestCode: "REQUEST"}
		}),
		"reservation-on": change(base, func(s *agent.Status) {
			use(s, license.StatusEvaluation)
			s.Reservation = &agent.ReservationStatus{Enabled: true}
		}),
		"waiting": change(in, func(s *agent.Status) { s.Licenses[0].Status = agent.Waiting }),
	}
}

func TestShowInEveryState(t *testing.T) {
	t.Parallel()
	for name, s := range states() {
		for verb, show := range map[string]func(agent.Status) string{
			"all": ShowAll, "status": ShowStatus, "summary": ShowSummary, "usage": ShowUsage, "udi": ShowUDI,
			"tech-support": func(s agent.Status) string { return ShowTechSupport(s, registered) },
		} {
			if verb != "all" && verb != "status" && name != "out-of-compliance" && name != "new" && name != "through-a-proxy" && name != "reserved" {
				continue
			}
			path := filepath.Join("testdata", verb+"-"+name+".txt")
			got := show(s)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
			}
		}
	}
}

// grammar is what a public reader of "show license all" takes: in each state the lines that it knows, and the state that a line
// leads to. Any other line is an error there. It is written from what the reader does, state by state; a date is checked
// more strictly than the reader does.
const (
	date    = `[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4} UTC`
	outcome = `(SUCCEEDED|FAILED) on ` + date
	rule    = `=+`
)

// line is a known line and the state after it; empty for the same.
type line struct{ text, next string }

func grammar() map[string][]line {
	enabled := line{`Smart Licensing is ENABLED`, ""}
	registration, authorization := line{`Registration:`, "registration"}, line{`License Authorization:`, "authorization"}
	usage, product, version := line{`License Usage`, "usage"}, line{`Product Information`, "product"}, line{`Agent Version`, "version"}
	return map[string][]line{
		"start": {
			{`Smart Licensing Status`, ""}, enabled, {rule, ""}, registration, authorization, usage, product, version, {`No licenses in use`, ""},
		},
		"registration": {
			{`  Status: (UNREGISTERED|REGISTERING|REGISTERED|REGISTRATION EXPIRED|REGISTERED - (UNKNOWN|SPECIFIC LICENSE RESERVATION|UNIVERSAL LICENSE RESERVATION))`, ""},
			{`  Smart Account: \S.*`, ""}, {`  Virtual Account: \S.*`, ""}, {`  Export-Controlled Functionality: (Allowed|Not Allowed)`, ""},
			{`  Initial Registration: ` + outcome, ""}, {`  Last Renewal Attempt: (None|` + outcome + `)`, ""}, {`    Failure reason: \S.*`, ""},
			{`  Next Renewal Attempt: ` + date, ""}, {`  Registration Expires: ` + date, ""},
			authorization, usage, product, version, {rule, ""},
		},
		"authorization": {
			{`  Status: (AUTHORIZED|OUT OF COMPLIANCE|AUTHORIZATION EXPIRED|AUTHORIZED - RESERVED|NOT AUTHORIZED - RESERVED) on ` + date, ""},
			{`  Status: (EVAL MODE|EVAL EXPIRED|No Licenses in Use|UNKNOWN|AUTHORIZED - RESERVED|NOT AUTHORIZED - RESERVED)`, ""},
			{`  Evaluation Period Remaining: \d+ days, \d+ hours, \d+ minutes, \d+ seconds`, ""},
			{`  Last Communication Attempt: (None|` + outcome + `)`, ""}, {`    Failure reason: \S.*`, ""},
			{`  Next Communication Attempt: ` + date, ""}, {`  Communication Deadline: ` + date, ""},
			usage, product, version, registration, {rule, ""},
		},
		"usage": {
			{`(\S.* )?\(\S+\):`, ""}, {`  Description:( \S.*)?`, ""}, {`  Count: \d+`, ""}, {`  Version: \S+`, ""}, {`  Status: \S.*`, ""},
			{`No licenses in use`, ""}, product, version, registration, authorization, {rule, ""},
		},
		"product":     {{`UDI: PID:[^ ,]+,SN:[^ ,]+`, "start"}, version, registration, authorization, usage, {rule, ""}},
		"version":     {{`Smart Agent for Licensing: \S+`, ""}, {`Reservation Info`, "reservation"}, {rule, ""}},
		"reservation": {{`License reservation: (ENABLED|DISABLED)`, ""}, {rule, ""}},
	}
}

// checkLayout returns the first line that the grammar does not know, or a state that was never met.
func checkLayout(text string) string {
	known, state, met := grammar(), "start", map[string]bool{}
lines:
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if l == "" {
			continue
		}
		for _, rule := range known[state] {
			if regexp.MustCompile(`^` + rule.text + `\s*$`).MatchString(l) {
				if rule.next != "" {
					state, met[rule.next] = rule.next, true
				}
				continue lines
			}
		}
		return state + " has the line " + l
	}
	for _, want := range []string{"registration", "authorization", "usage", "product", "version"} {
		if !met[want] {
			return "missing " + want
		}
	}
	return ""
}

func TestShowAllHasNoOtherLine(t *testing.T) {
	t.Parallel()
	for name, s := range states() {
		if bad := checkLayout(ShowAll(s)); bad != "" {
			t.Errorf("%s: %s", name, bad)
		}
		if bad := checkLayout(ShowStatus(s)); bad == "" {
			t.Errorf("%s: the check takes anything", name)
		}
	}
}

// The public reader of "show license status" takes a block up to its first empty line: a block that was cut by one would lose
// what follows. It reads these values.
func TestShowStatusIsReadBlockByBlock(t *testing.T) {
	t.Parallel()
	for name, s := range states() {
		values, block := map[string]string{}, ""
		for l := range strings.Lines(ShowStatus(s)) {
			l = strings.TrimSuffix(l, "\n")
			key, value, _ := strings.Cut(strings.TrimSpace(l), ":")
			switch {
			case l == "":
				block = ""
			case !strings.HasPrefix(l, " "):
				block = strings.TrimSuffix(l, ":")
			case values[block+"/"+key] == "":
				values[block+"/"+key] = strings.TrimSpace(value)
			}
		}
		for key, want := range map[string]string{
			"Registration/Status": s.Registration.Status, "Registration/Smart Account": s.Registration.Account, "Registration/Virtual Account": s.Registration.VirtualAccount,
			"Transport/Type": cmp.Or(string(s.Route.Kind), "direct"), "Transport/URL": s.Transport,
		} {
			if values[key] != want {
				t.Errorf("%s: %s is %q, want %q", name, key, values[key], want)
			}
		}
		if status := values["License Authorization/Status"]; !strings.HasPrefix(status, s.Authorization.Status) {
			t.Errorf("%s: the authorization is %q, want %q", name, status, s.Authorization.Status)
		}
	}
}
