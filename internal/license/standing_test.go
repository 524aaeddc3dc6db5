package license

import (
	"testing"
	"time"
)

func TestRule32EvaluationIsPerLicensedVersion(t *testing.T) {
	t.Parallel()
	old, both := []Tag{"ucm-11"}, []Tag{"ucm-11", "ucm-12"}
	var e Evaluations
	if e = e.Spend("11", nil, 5*day); len(e) != 0 {
		t.Errorf("without a license in use an evaluation began: %+v", e)
	}
	e = e.Spend("11", old, 60*day)
	for _, c := range []struct {
		name    string
		version string
		tags    []Tag
		left    time.Duration
	}{
		{"the same version", "11", old, 30 * day},
		{"the same version with another tag", "11", both, 30 * day},
		{"an upgrade that needs no other tag", "12", old, 30 * day},
		{"an upgrade that needs another tag", "12", both, 90 * day},
		{"a downgrade with another tag", "10", both, 30 * day},
		{"no version at all", "", both, 30 * day},
	} {
		if got := e.Of(c.version, c.tags).Remaining(); got != c.left {
			t.Errorf("%s has %s left, want %s", c.name, got, c.left)
		}
	}
	e = e.Spend("12", both, 200*day)
	if got := e.Of("12", old); !got.Expired() || got.Used != Evaluation {
		t.Errorf("after 90 days of 12: %+v", got)
	}
	if got := e.Of("11", old).Remaining(); got != 30*day {
		t.Errorf("back at 11 %s are left, want 30 days", got)
	}
	if got := e.Of("12", []Tag{"ucm-12", "brand-new"}); !got.Expired() {
		t.Errorf("the same version began a second evaluation: %+v", got)
	}
	for v := range 100 { // as many as one likes are not to be had
		e = e.Spend(string(rune('A'+v%26))+string(rune('A'+v)), []Tag{Tag(rune('a' + v))}, 0)
	}
	if len(e) > maxEvaluations {
		t.Errorf("%d evaluations", len(e))
	}
}

func TestEvaluationsMergeToTheMost(t *testing.T) {
	t.Parallel()
	x := Evaluations{}.Spend("1", []Tag{"a"}, 10*day)
	y := Evaluations{}.Spend("1", []Tag{"b"}, 20*day).Spend("2", []Tag{"c"}, day)
	for _, m := range []Evaluations{x.Merge(y), y.Merge(x), x.Merge(y).Merge(x)} {
		if m.Of("1", nil).Used != 20*day || m.Of("2", nil).Used != day || len(m) != 2 || len(m[0].Tags) != 2 {
			t.Errorf("merged to %+v", m)
		}
	}
}

func TestLicensedVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"": "", "3.9": "3", "12": "12", " 4.0.1 ": "4", "X15.2": "X15"} {
		if got := LicensedVersion(version); got != want {
			t.Errorf("%q is licensed as %q, want %q", version, got, want)
		}
	}
	for _, c := range []struct {
		x, y string
		want bool
	}{{"12", "9", true}, {"9", "12", false}, {"12.1", "12", true}, {"12", "12", false}, {"X15", "X14", true}} {
		if later(c.x, c.y) != c.want {
			t.Errorf("later(%q, %q) is %v", c.x, c.y, !c.want)
		}
	}
}

// TestShown goes through the states of sections 13.1 and 13.2.
func TestShown(t *testing.T) {
	t.Parallel()
	deadline, expires := noon.Add(90*day), noon.Add(365*day)
	over := EvaluationClock{Used: Evaluation}
	in := Standing{Registered: true, UsesLicenses: true, Answer: StatusAuthorized, Deadline: deadline, Expires: expires}
	with := func(change func(s *Standing)) Standing { s := in; change(&s); return s }
	for _, c := range []struct {
		name string
		s    Standing
		at   time.Time
		reg  RegistrationStatus
		want AuthorizationStatus
	}{
		{"A0 nothing used", Standing{}, noon, Unregistered, StatusNone},
		{"A0 nothing used, registered", Standing{Registered: true, Answer: StatusNone, Deadline: deadline}, noon, Registered, StatusNone},
		{"A1 evaluation", Standing{UsesLicenses: true}, noon, Unregistered, StatusEvaluation},
		{"A2 evaluation over", Standing{UsesLicenses: true, Evaluation: over}, noon, Unregistered, StatusEvalExpired},
		{"R1 registering in evaluation", Standing{UsesLicenses: true, Registering: true}, noon, Registering, StatusEvaluation},
		{"registered, no answer yet", with(func(s *Standing) { s.Answer, s.Deadline = "", time.Time{} }), noon, Registered, StatusEvaluation},
		{"registered after the evaluation, no answer yet", with(func(s *Standing) { s.Answer, s.Deadline, s.Evaluation = "", time.Time{}, over }), noon, Registered, StatusEvalExpired},
		{"A3 authorized", in, noon, Registered, StatusAuthorized},
		{"A3 authorized after the evaluation", with(func(s *Standing) { s.Evaluation = over }), noon, Registered, StatusAuthorized},
		{"A4 out of compliance", with(func(s *Standing) { s.Answer = StatusOutOfCompliance }), noon, Registered, StatusOutOfCompliance},
		{"rule 37 one hour before the deadline", in, deadline.Add(-time.Hour), Registered, StatusAuthorized},
		{"A6 at the deadline", in, deadline, Registered, StatusExpired},
		{"A6 at the deadline, out of compliance", with(func(s *Standing) { s.Answer = StatusOutOfCompliance }), deadline, Registered, StatusExpired},
		{"A6 first use after a deadline that passed without any", with(func(s *Standing) { s.Answer = "" }), deadline, Registered, StatusExpired},
		{"R8 one second before the end of the identity", in, expires.Add(-time.Second), Registered, StatusExpired},
		{"R8 at the end of the identity", in, expires, RegistrationExpired, StatusEvaluation},
		{"R8 at the end of the identity, evaluation over", with(func(s *Standing) { s.Evaluation = over }), expires, RegistrationExpired, StatusEvalExpired},
		{"R9 registering again", with(func(s *Standing) { s.Registering = true }), expires, RegistrationExpired, StatusEvaluation},
		{"R11 said to be removed", with(func(s *Standing) { s.Registered, s.Leaving = false, true }), noon, Unregistered, StatusEvaluation},
		{"R5 of reliability: the state is lost", Standing{Unknown: true, UsesLicenses: true}, noon, RegistrationUnknown, StatusUnknown},
		{"A9 reserved", Standing{UsesLicenses: true, Reserved: true}, noon, RegisteredSpecific, StatusReserved},
		{"A10 reserved too little", Standing{UsesLicenses: true, Reserved: true, Uncovered: true}, noon, RegisteredSpecific, StatusNotReserved},
		{"A9 universal", Standing{UsesLicenses: true, Reserved: true, Universal: true}, noon, RegisteredUniversal, StatusReserved},
	} {
		if got := ShownRegistration(c.s, c.at); got != c.reg {
			t.Errorf("%s: registration is %s, want %s", c.name, got, c.reg)
		}
		if got := ShownStatus(c.s, c.at); got != c.want {
			t.Errorf("%s: authorization is %s, want %s", c.name, got, c.want)
		}
	}
}

func policy(t *testing.T, name string) Policy {
	t.Helper()
	p, err := ParsePolicy(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRule34NinetyDaysOfOverage(t *testing.T) {
	t.Parallel()
	ucm := policy(t, "ucm-12")
	for _, c := range []struct {
		held time.Duration
		want Function
	}{{0, FullFunction}, {89 * day, FullFunction}, {90 * day, FullFunction}, {90*day + time.Second, NoProvisioning}, {900 * day, NoProvisioning}} {
		if got := ucm.Enforce(StatusOutOfCompliance, noon, noon.Add(c.held)); got != c.want {
			t.Errorf("after %s: %s, want %s", c.held, got, c.want)
		}
		s := Standing{Registered: true, UsesLicenses: true, Answer: StatusOutOfCompliance, Deadline: noon.Add(day), Short: Held{For: c.held, Ran: c.held, Contacts: 180}}
		d := Decide(ucm, s, noon)
		if d.Function != c.want || d.Enforced != (c.want != FullFunction) || d.Next == "" || d.Sentence == "" {
			t.Errorf("after %s: %+v, want %s", c.held, d, c.want)
		}
		if d.Enforced != (d.RemainingSeconds == 0) {
			t.Errorf("after %s %d seconds remain", c.held, d.RemainingSeconds)
		}
		s.Answer = StatusAuthorized
		if d := Decide(ucm, s, noon); d.Enforced || d.Next != "" {
			t.Errorf("one answer in compliance does not lift it: %+v", d)
		}
	}
}

func TestRule35RunningServiceIsNeverStopped(t *testing.T) {
	t.Parallel()
	for _, f := range []Function{FullFunction, NoProvisioning, LicenseManagementOnly, RegistrationOnly} {
		if !f.Allows(ActionRun) || !f.Allows(ActionRegister) {
			t.Errorf("%s stops what is running or the way out", f)
		}
	}
	for _, c := range []struct {
		f                      Function
		use, provision, manage bool
	}{
		{FullFunction, true, true, true},
		{NoProvisioning, true, false, true},
		{LicenseManagementOnly, false, false, true},
		{RegistrationOnly, false, false, false},
	} {
		if c.f.Allows(ActionUse) != c.use || c.f.Allows(ActionProvision) != c.provision || c.f.Allows(ActionManage) != c.manage {
			t.Errorf("%s allows use %v, provision %v, manage %v", c.f, c.f.Allows(ActionUse), c.f.Allows(ActionProvision), c.f.Allows(ActionManage))
		}
	}
}

// TestA8Policies: what each policy leaves in each state, and that what lifts it lifts it at once.
func TestA8Policies(t *testing.T) {
	t.Parallel()
	long := Held{For: 1000 * day, Ran: 1000 * day, Contacts: 9}
	over := EvaluationClock{Used: Evaluation}
	states := map[string]Standing{
		"new":                      {},
		"evaluation":               {UsesLicenses: true},
		"evaluation over":          {Evaluation: over},
		"registering":              {Evaluation: over, Registering: true},
		"registered":               {Evaluation: over, Registered: true},
		"authorized":               {Evaluation: over, Registered: true, Answer: StatusAuthorized, Deadline: noon.Add(day)},
		"out of compliance":        {Registered: true, Answer: StatusOutOfCompliance, Deadline: noon.Add(day), Short: long},
		"authorization expired":    {Registered: true, Answer: StatusAuthorized, Deadline: noon, Lapsed: long},
		"identity expired":         {Evaluation: over, Registered: true, Answer: StatusAuthorized, Deadline: noon, Expires: noon, Lapsed: long},
		"removal said":             {Evaluation: over, Leaving: true},
		"state lost":               {Evaluation: over, Unknown: true},
		"reserved":                 {Evaluation: over, Reserved: true},
		"reserved too little":      {Evaluation: over, Reserved: true, Uncovered: true},
		"reserved too little long": {Evaluation: over, Reserved: true, Uncovered: true, Lacking: long},
	}
	want := map[string]map[string]Function{
		PolicyNone: {},
		"ucm-12": {
			"evaluation over": NoProvisioning, "registering": NoProvisioning, "out of compliance": NoProvisioning,
			"authorization expired": NoProvisioning, "identity expired": NoProvisioning, "reserved too little long": NoProvisioning,
		},
		"cwms-4": {
			"evaluation over": RegistrationOnly, "registering": RegistrationOnly,
			"reserved too little": LicenseManagementOnly, "reserved too little long": LicenseManagementOnly,
		},
	}
	for name, of := range want {
		p := policy(t, name)
		for state, s := range states {
			function := of[state]
			if function == "" {
				function = FullFunction
			}
			d := Decide(p, s, noon)
			if d.Function != function || d.Policy != name || d.Sentence == "" || d.Enforced && d.Next == "" {
				t.Errorf("%s, %s: %+v, want %s", name, state, d, function)
			}
		}
	}
	if _, err := ParsePolicy("strict"); AsError(err) == nil {
		t.Error("an unknown policy was taken")
	}
	if d := Decide(Policy{}, states["evaluation over"], noon); d.Policy != PolicyNone || d.Enforced {
		t.Errorf("the zero policy decides %+v", d)
	}
}

// TestR2LessNeedsTwoContacts: a signed statement takes nothing away before it was held for 72 hours of running time and
// confirmed once.
func TestR2LessNeedsTwoContacts(t *testing.T) {
	t.Parallel()
	ucm := policy(t, "ucm-12")
	for _, h := range []Held{
		{For: 100 * day, Ran: 100 * day, Contacts: 1},
		{For: 100 * day, Ran: 71 * time.Hour, Contacts: 5},
		{For: 80 * day, Ran: 80 * day, Contacts: 50},
	} {
		s := Standing{Registered: true, Answer: StatusOutOfCompliance, Deadline: noon.Add(day), Short: h}
		if d := Decide(ucm, s, noon); d.Enforced {
			t.Errorf("%+v takes something away: %+v", h, d)
		}
	}
	s := Standing{Registered: true, Answer: StatusAuthorized, Deadline: noon, Lapsed: Held{For: 30 * 365 * day, Ran: 71 * time.Hour}}
	if d := Decide(ucm, s, noon.Add(30*365*day)); d.Enforced {
		t.Errorf("a deadline that a clock has jumped over takes something away: %+v", d)
	}
}
