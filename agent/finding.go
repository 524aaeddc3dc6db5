package agent

import (
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// Finding is something about the licensing of a product that somebody should look at. Nothing is stopped because of one.
type Finding struct {
	// Code is stable: clock-suspect, clock-behind, state-rebuilt, state-unknown, removal-unconfirmed, registration-failing,
	// registration-expiring, renewal-late, desk-keys-replaced, reservation-set-back, reservation-return-open, reservation-lacking,
	// reservation-ending, orphan.
	Code     string    `json:"code"`
	Since    time.Time `json:"since,omitzero"`
	Sentence string    `json:"text"`
	Next     string    `json:"next"`
}

// expiring are the days before the end of the registration at which the words get more urgent (smart licensing, section
// 13.1, R7).
func expiring(left time.Duration) (days int64, soon bool) {
	const day = 24 * time.Hour
	for _, limit := range []int64{1, 7, 30, 60} {
		if left <= time.Duration(limit)*day {
			return limit, left > 0
		}
	}
	return 0, false
}

// findings are what is to be looked at, most urgent first.
func (st *state) findings() []Finding {
	var all []Finding
	add := func(code string, since time.Time, next, sentence string, args ...any) {
		all = append(all, Finding{Code: code, Since: since, Sentence: fmt.Sprintf(sentence, args...), Next: next})
	}
	now := st.Clock.Now()
	if st.Unknown {
		add("state-unknown", st.Rebuilt, "Register again, with force; until then everything is allowed.",
			"This product was registered, and what it knew about it is lost.")
	}
	if !st.Rebuilt.IsZero() {
		add("state-rebuilt", st.Rebuilt, "Look at the disk; the damaged file, if there was one, is kept beside the state.",
			"The state was missing or damaged and was made again from what was left.")
	}
	if s := st.Clock.Suspect; s != nil {
		add("clock-suspect", s.Since, "Set the clock of this host, or reach the authority: one answer tells the time.",
			"The clock of this host went ahead by %s without time passing; it is not believed, and nothing changes, for 72 hours of running time.", round(s.Jump))
	}
	if behind := st.Clock.Behind(); behind > time.Hour {
		add("clock-behind", time.Time{}, "Set the clock of this host.", "The clock of this host is behind the time that has certainly passed by %s.", round(behind))
	}
	if r := st.Removal; r != nil {
		add("removal-unconfirmed", r.Held.Since, "If it was meant, register again with a new token. If it was not, ask the administrator of the authority.",
			"The authority said that this product was removed: %s. It is asked once more after 72 hours, and until then nothing else changes.", r.Reason)
	}
	if id := st.Identity; id != nil && st.Removal == nil {
		if days, soon := expiring(id.ExpiresAt.Sub(now)); soon && st.Renewal.Failures > 0 {
			add("registration-expiring", st.Renewal.FailingSince, "Find out why it cannot be renewed, then: tally-agent license smart renew id",
				"The registration ends on %s, in less than %d days, and could not be renewed: %s.", id.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC"), days, st.Renewal.Last.Reason)
		}
		if a := st.Answer; a != nil && a.Deadline.After(now) {
			without := license.AuthorizeLife - a.Deadline.Sub(now)
			if late := without - license.AuthorizeEvery; late > 24*time.Hour {
				add("renewal-late", st.Authorization.FailingSince, "Reach the authority again: tally-agent doctor tells where it fails.",
					"The authority was not reached for %s. After 90 days the authorization shows as expired; what runs goes on.", round(without))
			}
		}
	}
	if m := st.Moved; m != nil && st.Identity != nil && now.Sub(m.At) < movedShown {
		next := "Nothing is to be done."
		switch {
		case st.Authorization.Failures > 0 || st.Renewal.Failures > 0:
			next = "The last exchange failed since: tally-agent doctor tells why."
		case len(st.Identity.Issuers) > 0:
			next = "Nothing is to be done: the certificate below the new keys comes with the next contact."
		}
		add("desk-keys-replaced", m.At, next, "The keys of %s were replaced, as the root of the authority confirms.", m.Desk)
	}
	if st.Asked != nil && st.Asked.Text != "" && st.Asked.Tries.Failures > 0 {
		add("registration-failing", st.Asked.Tries.FailingSince, "Mend what is wrong, or end it: tally-agent license smart register cancel",
			"The registration has no answer yet and is tried again on %s: %s.", st.Asked.Tries.Next.Format("2006-01-02 15:04 UTC"), st.Registered.Reason)
	}
	st.reservationFindings(add)
	if st.Orphan != "" {
		add("orphan", time.Time{}, "Remove it at the authority: tally instance remove "+st.Orphan,
			"The instance %s was given up here while the authority could not be reached; it still holds licenses there.", st.Orphan)
	}
	return all
}

// round is a duration in words of days or hours.
func round(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.Round(time.Minute).String()
}
