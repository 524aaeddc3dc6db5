package main

import (
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
		"waiting": change(in, func(s *agent.Status) { s.Licenses[0].Status = agent.Waiting }),
	}
}

func TestShowInEveryState(t *testing.T) {
	t.Parallel()
	for name, s := range states() {
		for verb, show := range map[string]func(agent.Status) string{
			"all": showAll, "status": showStatus, "summary": showSummary, "usage": showUsage, "udi": showUDI,
		} {
			if verb != "all" && verb != "status" && name != "out-of-compliance" && name != "new" {
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

// The layout of "show license all", section by section: the lines that it may have. Any other line is an error for the
// programs that read it.
const (
	date    = `[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4} UTC`
	outcome = `(SUCCEEDED|FAILED) on ` + date
)

func layout() map[string][]string {
	return map[string][]string{
		"": {`Smart Licensing Status`, `=+`, `Smart Licensing is ENABLED`},
		"Registration:": {
			`  Status: (UNREGISTERED|REGISTERED|REGISTRATION EXPIRED)`, `  Smart Account: \S.*`, `  Virtual Account: \S.*`,
			`  Export-Controlled Functionality: (Allowed|Not Allowed)`, `  Initial Registration: ` + outcome,
			`  Last Renewal Attempt: (None|` + outcome + `)`, `    Failure reason: \S.*`,
			`  Next Renewal Attempt: ` + date, `  Registration Expires: ` + date,
		},
		"License Authorization:": {
			`  Status: (AUTHORIZED|OUT OF COMPLIANCE|AUTHORIZATION EXPIRED) on ` + date, `  Status: (EVAL MODE|EVAL EXPIRED|No Licenses in Use)`,
			`  Evaluation Period Remaining: \d+ days, \d+ hours, \d+ minutes, \d+ seconds`,
			`  Last Communication Attempt: ` + outcome, `    Failure reason: \S.*`,
			`  Next Communication Attempt: ` + date, `  Communication Deadline: ` + date,
		},
		"License Usage": {
			`=+`, `No licenses in use`, `(\S.* )?\(\S+\):`, `  Description: .*`, `  Count: \d+`, `  Version: \S+`, `  Status: \S.*`,
		},
		"Product Information": {`=+`, `UDI: PID:[^ ,]+,SN:[^ ,]+`},
		"Agent Version":       {`=+`, `Smart Agent for Licensing: \S+`},
	}
}

// checkLayout returns the first line that the layout does not have, or a section that is missing.
func checkLayout(text string) string {
	order := []string{"Registration:", "License Authorization:", "License Usage", "Product Information", "Agent Version"}
	rules, section := layout(), ""
lines:
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		if len(order) > 0 && line == order[0] {
			section, order = line, order[1:]
			continue
		}
		for _, rule := range rules[section] {
			if regexp.MustCompile(`^` + rule + `$`).MatchString(line) {
				continue lines
			}
		}
		return section + " has the line " + line
	}
	if len(order) > 0 {
		return "missing " + order[0]
	}
	return ""
}

func TestShowAllHasNoOtherLine(t *testing.T) {
	t.Parallel()
	for name, s := range states() {
		if bad := checkLayout(showAll(s)); bad != "" {
			t.Errorf("%s: %s", name, bad)
		}
		if bad := checkLayout(showStatus(s)); bad == "" {
			t.Errorf("%s: the check takes anything", name)
		}
	}
}
