package license

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Overage is how long a product may be over what it holds before the policies that look at it do anything.
const Overage = 90 * day

// Function is how much of a product may be used.
type Function string

// The functions, from the most to the least. What is running ends normally under all of them.
const (
	FullFunction          Function = "full"
	NoProvisioning        Function = "no-new-provisioning"
	LicenseManagementOnly Function = "license-management-only"
	RegistrationOnly      Function = "registration-only"
)

// Action is what a product asks to do.
type Action string

// The actions.
const (
	// ActionRun is to let go on what is running: a call, a meeting, a session. It is always allowed.
	ActionRun Action = "run"
	// ActionUse is to begin a new use of what is set up: a new meeting of a user that exists.
	ActionUse Action = "use"
	// ActionProvision is to add or change what takes licenses: a user, a device.
	ActionProvision Action = "provision"
	// ActionManage is to work on licenses and their assignment.
	ActionManage Action = "manage-licenses"
	// ActionRegister is to register, to renew and to deregister. It is always allowed.
	ActionRegister Action = "register"
)

// Allows says whether the function leaves the action. Actions that are not known are taken for a new use.
func (f Function) Allows(a Action) bool {
	switch {
	case a == ActionRun, a == ActionRegister, f == FullFunction, f == "":
		return true
	case f == NoProvisioning:
		return a != ActionProvision
	case f == LicenseManagementOnly:
		return a == ActionManage
	}
	return false
}

// Policy is what a product does in the states in which it is over what it holds. The product chooses it, nobody else; the
// zero Policy and PolicyNone never stop anything.
type Policy struct {
	Name  string
	rules []policyRule
}

// policyRule: a status that lasted longer than after leaves function.
type policyRule struct {
	status   AuthorizationStatus
	after    time.Duration
	function Function
}

// PolicyNone is the name of the default: nothing is ever stopped.
const PolicyNone = "none"

// policies are what the field knows (smart licensing, section 3.5).
func policies() []Policy {
	return []Policy{
		{Name: PolicyNone},
		{Name: "ucm-12", rules: []policyRule{
			{StatusEvalExpired, 0, NoProvisioning}, // the evaluation itself has lasted 90 days
			{StatusOutOfCompliance, Overage, NoProvisioning},
			{StatusExpired, Overage, NoProvisioning},
			{StatusNotReserved, Overage, NoProvisioning},
		}},
		{Name: "cwms-4", rules: []policyRule{
			{StatusEvalExpired, 0, RegistrationOnly},
			{StatusNotReserved, 0, LicenseManagementOnly},
		}},
	}
}

// ParsePolicy finds a policy by its name; the empty name is PolicyNone. The error is a refusal that lists the names.
func ParsePolicy(name string) (Policy, error) {
	all := policies()
	names := make([]string, len(all))
	for i, p := range all {
		if p.Name == name || name == "" && p.Name == PolicyNone {
			return p, nil
		}
		names[i] = p.Name
	}
	return Policy{}, Refuse(KindInvalid, "unknown-policy", "the policies are "+strings.Join(names, ", "), "there is no policy %.100q", name)
}

// Enforce is what the policy leaves of a product that has been in a status since then: a function of nothing else. A rule of
// 90 days does nothing up to 90 days, and something one moment later (domain rule 34).
func (p Policy) Enforce(status AuthorizationStatus, since, now time.Time) Function {
	r, ok := p.rule(status)
	if ok && (r.after == 0 || now.Sub(since) > r.after) {
		return r.function
	}
	return FullFunction
}

func (p Policy) rule(status AuthorizationStatus) (policyRule, bool) {
	i := slices.IndexFunc(p.rules, func(r policyRule) bool { return r.status == status })
	if i < 0 {
		return policyRule{}, false
	}
	return p.rules[i], true
}

// Decision is what a product may do, and why, and what to do next.
type Decision struct {
	Policy   string   `json:"policy"`
	Function Function `json:"function"`
	// Enforced says that the policy takes something away.
	Enforced bool `json:"enforced"`
	// Status is the status that decided, Since when it began by the authority's time, where that is known.
	Status AuthorizationStatus `json:"status"`
	Since  time.Time           `json:"since,omitzero"`
	// RemainingSeconds is how much longer the status may last before the policy takes something away; zero when it does
	// not, or does already.
	RemainingSeconds int64 `json:"remainingSeconds,omitempty"`
	// Sentence says why, Next what to do next; Next is empty when there is nothing to do.
	Sentence string `json:"sentence"`
	Next     string `json:"next,omitempty"`
}

// Allows says whether the action is allowed.
func (d Decision) Allows(a Action) bool { return d.Function.Allows(a) }

// Decide is the one place where it is decided what a product may do. What is shown follows ShownStatus; less is allowed only
// for what the product itself did or did not do, or for what the authority signed, confirmed in a second contact, and was
// held for 72 hours of running time (reliability, section 5). A product that holds an identity never falls back on its
// evaluation. now is the authority's time.
func Decide(p Policy, s Standing, now time.Time) Decision {
	if p.Name == "" {
		p.Name = PolicyNone
	}
	d := Decision{Policy: p.Name, Function: FullFunction}
	var rule policyRule
	for _, c := range s.causes(now) {
		r, counts := p.rule(c.status)
		function := FullFunction
		if counts && c.confirmed {
			function = p.Enforce(c.status, now.Add(-c.held.For), now)
		}
		d.Status, d.Since, d.RemainingSeconds, rule = c.status, time.Time{}, 0, policyRule{}
		if c.held.For > 0 {
			d.Since = now.Add(-c.held.For)
		}
		if function != FullFunction {
			d.Function, d.Enforced, rule = function, true, r
			break
		}
		if counts {
			rule, d.RemainingSeconds = r, int64(max(r.after-c.held.For, Patience-c.held.Ran, time.Second)/time.Second)
		}
	}
	switch {
	case d.Enforced:
		d.Sentence = fmt.Sprintf("%s: %s. What is running ends normally.", d.Function.words(), because(d.Status, rule.after))
		d.Next = nextStep(d.Status)
	case d.RemainingSeconds > 0:
		d.Sentence = fmt.Sprintf("Everything is allowed. If nothing changes, in %s: %s, because %s.",
			days(time.Duration(d.RemainingSeconds)*time.Second), lower(rule.function.words()), because(d.Status, rule.after))
		d.Next = nextStep(d.Status)
	case len(p.rules) == 0:
		d.Sentence = "Everything is allowed: this product never stops anything because of a license."
	default:
		d.Sentence = "Everything is allowed."
	}
	return d
}

// cause is a status that may decide, how long it has lasted, and whether it may allow less.
type cause struct {
	status    AuthorizationStatus
	held      Held
	confirmed bool
}

// causes are the statuses that may decide; the first one that takes something away does, otherwise the last.
func (s Standing) causes(now time.Time) []cause {
	holds := s.Registered || s.Leaving || s.Unknown
	switch {
	case s.Reserved && s.Uncovered: // an act of the product's own administrator
		return []cause{{StatusNotReserved, s.Lacking, true}}
	case s.Reserved:
		return []cause{{status: StatusReserved}}
	case !holds && s.Evaluation.Expired():
		return []cause{{status: StatusEvalExpired, confirmed: true}}
	case !holds:
		return []cause{{status: StatusEvaluation}}
	case s.Unknown:
		return []cause{{status: StatusUnknown}}
	}
	var all []cause
	if s.Answer == StatusOutOfCompliance {
		all = append(all, cause{StatusOutOfCompliance, s.Short, s.Short.Confirmed()})
	}
	if s.lapsed(now) {
		all = append(all, cause{StatusExpired, s.Lapsed, s.Lapsed.Ran >= Patience}) // the deadline itself was signed
	}
	if len(all) == 0 {
		all = append(all, cause{status: s.Answer})
	}
	return all
}

// words says what a function leaves.
func (f Function) words() string {
	switch f {
	case NoProvisioning:
		return "No user and no device can be added or changed"
	case LicenseManagementOnly:
		return "Only the management of licenses works"
	case RegistrationOnly:
		return "Only registration works"
	}
	return "Everything is allowed"
}

func because(status AuthorizationStatus, after time.Duration) string {
	switch status {
	case StatusEvalExpired:
		return "the 90 days of evaluation are over and the product is not registered"
	case StatusOutOfCompliance:
		return "the product is out of compliance for more than " + days(after)
	case StatusExpired:
		return "the authorization has been expired for more than " + days(after)
	case StatusNotReserved:
		if after > 0 {
			return "the reservation has not covered the use for more than " + days(after)
		}
		return "the reservation does not cover what is assigned"
	}
	return string(status)
}

func nextStep(status AuthorizationStatus) string {
	switch status {
	case StatusEvalExpired:
		return "Register with a token of the authority; that lifts it at once."
	case StatusOutOfCompliance:
		return "Order or transfer the licenses that are missing, then report; one answer in compliance lifts it at once."
	case StatusExpired:
		return "Reach the authority again, then report; one answer lifts it at once."
	case StatusNotReserved:
		return "Install a reservation that covers the use, or use less; that lifts it at once."
	}
	return ""
}

func days(d time.Duration) string {
	if d < 2*day {
		return plural(int64((d+time.Hour-1)/time.Hour), "hour", "hours")
	}
	return plural(int64((d+day-1)/day), "day", "days")
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }
