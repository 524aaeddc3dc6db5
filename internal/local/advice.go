package local

import (
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

// Advice says in one sentence each what to do next about the two things that administrators confuse: the registration, which
// is the identity, and the authorization, which is the right to what is in use.
type Advice struct {
	Registration  string `json:"registration"`
	Authorization string `json:"authorization"`
}

// Advise is the advice for a status.
func Advise(s agent.Status) Advice {
	return Advice{Registration: adviseRegistration(s), Authorization: adviseAuthorization(s)}
}

func adviseRegistration(s agent.Status) string {
	if holder := elsewhere(s); holder != "" {
		return holder
	}
	if text := adviseReservation(s); text != "" {
		return text
	}
	r := s.Registration
	failed := r.Initial.Outcome == agent.Failed
	switch r.Status {
	case agent.Unregistered:
		switch {
		case s.Transport == "":
			return "Set the address of the authority in the transport settings, then register with a token of the authority."
		case failed:
			return fmt.Sprintf("The last attempt failed: %s. Mend that, then register with a token of the authority.", r.Initial.Reason)
		}
		return "Register with a token of the authority."
	case agent.Registering:
		return fmt.Sprintf("Nothing, the product tries again on %s. Examine the connection if it goes on, or stop trying.", Stamp(r.NextTry))
	case agent.RegistrationExpired:
		return "Register again with a new token, and overwrite the product instance at the authority."
	case agent.RegistrationUnknown:
		return "Register again with a new token, and overwrite the product instance at the authority; until then everything is allowed."
	}
	switch {
	case r.LastRenewal.Outcome == agent.Failed:
		return fmt.Sprintf("The renewal failed: %s. Mend that, or wait: it is tried again on %s, and the registration holds until %s.", r.LastRenewal.Reason, Stamp(r.NextRenewal), Stamp(r.ExpiresAt))
	case r.NextRenewal.IsZero():
		return "Nothing."
	}
	return fmt.Sprintf("Nothing: it renews itself on %s.", Stamp(r.NextRenewal))
}

// adviseReservation is the next step of the ceremony; empty while the mode is off.
func adviseReservation(s agent.Status) string {
	r := s.Reservation
	if r == nil || !r.Enabled {
		return ""
	}
	switch r.State {
	case agent.ReservationRequested:
		return "Enter the request code at the authority, then install the authorization that it makes."
	case agent.ReservationReserved:
		return "Nothing. After an update is installed, enter its confirmation code at the authority."
	case agent.ReservationReturned:
		return "Enter the return code at the authority, then complete the return here."
	}
	return "Make a request code, or turn the reservation mode off to register."
}

// elsewhere names the node that does the licensing for a member of a cluster.
func elsewhere(s agent.Status) string {
	if c := s.Cluster; c != nil && c.Role == agent.RoleMember {
		return fmt.Sprintf("Licensing is done on the node %s, at %s, which holds the identity for this one.", c.Holder, c.Address)
	}
	return ""
}

func adviseAuthorization(s agent.Status) string {
	if c := s.Cluster; c != nil && c.Role == agent.RoleMember {
		if c.LastReport.Outcome == agent.Failed {
			return fmt.Sprintf("Let this node reach %s at %s: the last report failed, and the last state stays.", c.Holder, c.Address)
		}
		return elsewhere(s)
	}
	a := s.Authorization
	failing := s.Registration.Instance != "" && a.LastAttempt.Outcome == agent.Failed
	switch license.AuthorizationStatus(a.Status) {
	case license.StatusNone:
		if s.Registration.Instance == "" {
			return "Nothing: no license is in use."
		}
	case license.StatusEvaluation:
		if s.Registration.Instance != "" {
			return fmt.Sprintf("Nothing: the first answer of the authority is asked for on %s.", Stamp(a.NextAttempt))
		}
		return fmt.Sprintf("%s; the evaluation lasts for %s more of use.", wayOut(s), remaining(a.EvaluationSeconds))
	case license.StatusEvalExpired:
		return wayOut(s) + ": the evaluation is over."
	case license.StatusOutOfCompliance:
		if deskEnds(s) {
			return "Register the product at another desk: this one was removed from its authority and gets no licenses any more."
		}
		return "Order the licenses that are missing, or move them here, then renew the authorization."
	case license.StatusExpired:
		return "Reach the authority again and renew the authorization; examine the connection to see where it fails."
	case license.StatusNotReserved:
		return "Install a reservation that covers what is in use, or use less."
	case license.StatusReserved:
		return "Nothing: the reservation covers what is in use."
	case license.StatusUnknown:
		return "Register the product again; until then everything is allowed."
	}
	switch {
	case failing && a.Deadline.IsZero():
		return fmt.Sprintf("The last exchange failed: %s. It is tried again on %s.", a.LastAttempt.Reason, Stamp(a.NextAttempt))
	case failing:
		return fmt.Sprintf("The last exchange failed: %s. It is tried again on %s, and until %s nothing changes.", a.LastAttempt.Reason, Stamp(a.NextAttempt), Stamp(a.Deadline))
	case a.NextAttempt.IsZero():
		return "Nothing."
	}
	return fmt.Sprintf("Nothing: the next exchange is on %s.", Stamp(a.NextAttempt))
}

// deskEnds tells that the desk says of what is missing that no licenses come to it any more.
func deskEnds(s agent.Status) bool {
	return slices.ContainsFunc(s.Licenses, func(l agent.License) bool {
		return slices.ContainsFunc(l.Why, func(r agent.Reason) bool { return r.Code == license.FactHelpDesk })
	})
}

// wayOut is what ends the evaluation.
func wayOut(s agent.Status) string {
	if adviseReservation(s) != "" {
		return "Install a reservation"
	}
	return "Register the product"
}

// Next is what the administrator can do on the command line, the most urgent first.
func Next(s agent.Status) []string {
	var todo []string
	add := func(when bool, format string, args ...any) {
		if when {
			todo = append(todo, fmt.Sprintf(format, args...))
		}
	}
	if text := elsewhere(s); text != "" {
		if advice := adviseAuthorization(s); advice != text {
			return []string{text, advice}
		}
		return []string{text}
	}
	a, r := s.Authorization, s.Registration
	for _, f := range s.Findings {
		add(true, "%s %s", f.Sentence, f.Next)
	}
	add(s.Decision.Enforced || s.Decision.RemainingSeconds > 0, "%s", s.Decision.Sentence)
	add(r.Orphan != "" && len(todo) == 0, "Remove the instance %s at the authority: it did not confirm the deregistration.", r.Orphan)
	unregistered := r.Status == agent.Unregistered
	codes := s.Reservation != nil && s.Reservation.Enabled // take the place of a registration; a return that is open is a finding
	add(codes && s.Reservation.State == "", "Make a request code: tally-agent license smart reservation request")
	add(codes && s.Reservation.State == agent.ReservationRequested, "Enter the request code at the authority, then: tally-agent license smart reservation install-file FILE")
	add(unregistered && !codes && s.Transport == "", "Set the authority's address: tally-agent transport direct URL")
	add(unregistered && !codes, "Register with a token of the authority: tally-agent license smart register idtoken TOKEN")
	add(unregistered && a.Status == string(license.StatusEvaluation), "The evaluation lasts for %s more of use.", remaining(a.EvaluationSeconds))
	add(r.Status == agent.RegistrationExpired, "Register again: tally-agent license smart register idtoken TOKEN force")
	short := a.Status == string(license.StatusOutOfCompliance)
	add(short && deskEnds(s), "Register at another desk, with a token of it: tally-agent transport direct URL, then: tally-agent license smart register idtoken TOKEN force")
	add(short && !deskEnds(s), "Order or transfer the licenses that are missing, then: tally-agent report")
	failing := !unregistered && a.LastAttempt.Outcome == agent.Failed
	add(failing, "The last exchange failed: %s. See which step fails with tally-agent doctor, mend it, then: tally-agent report", a.LastAttempt.Reason)
	add(failing && !a.Deadline.IsZero(), "Until %s nothing changes while it is away.", Stamp(a.Deadline))
	add(!failing && a.Status == string(license.StatusExpired), "Reach the authority again: tally-agent report")
	skew := time.Duration(s.ClockSkewSeconds) * time.Second
	add(skew.Abs() > time.Minute, "Set the clock of this host: the authority's is %s ahead of it.", skew)
	for _, l := range s.Licenses {
		if !unregistered && l.Status == agent.Waiting {
			add(true, "Report the use, or wait for the next exchange: tally-agent report")
			break
		}
	}
	add(len(todo) == 0 && !a.NextAttempt.IsZero(), "Nothing. The next exchange is on %s.", Stamp(a.NextAttempt))
	add(len(todo) == 0, "Nothing.")
	return todo
}
