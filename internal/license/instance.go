package license

import (
	"fmt"
	"time"
)

// InstanceState is what an authority shows of a product instance (smart licensing, section 13.6).
type InstanceState string

// The states of a product instance.
const (
	InstanceActive    InstanceState = "Active"
	InstanceOverdue   InstanceState = "Overdue"
	InstanceExpired   InstanceState = "Expired"
	InstanceDuplicate InstanceState = "Duplicate"
	InstanceReserved  InstanceState = "Reserved"
	InstanceRemoved   InstanceState = "Removed"
)

// overdueAfter is how long past its announced contact a product counts as overdue (smart licensing, section 13.3).
const overdueAfter = 10 * day

// InstanceStanding is what is known at an authority about one product instance.
type InstanceStanding struct {
	ID string
	// Removed and Reserved are kept states; a reserved instance never reports.
	Removed, Reserved bool
	// Expires is the end of its certificate; Next its announced contact, zero before the first.
	Expires, Next time.Time
	// Forked is when two copies of its state were seen at work, zero for never or settled.
	Forked time.Time
	// Status is what its last report was answered; Covered says that what it was short of is there now.
	Status  AuthorizationStatus
	Covered bool
}

// StateOfInstance is the state of an instance at now and what to do next, empty when there is nothing to do.
func StateOfInstance(s InstanceStanding, now time.Time) (state InstanceState, next string) {
	switch {
	case s.Removed:
		return InstanceRemoved, ""
	case s.Reserved:
		return InstanceReserved, ""
	case !s.Forked.IsZero():
		return InstanceDuplicate, fmt.Sprintf("Two copies of its state are at work, seen first on %s; both go on. If an old state was restored and only one is there: "+
			"tally instance settle %s. If both are real: give one of them a serial number of its own, register it, then settle.", stamp(s.Forked), s.ID)
	case !now.Before(s.Expires):
		return InstanceExpired, fmt.Sprintf("Its certificate ended on %s. It gets a new one at its next contact; if it is gone for good: tally instance remove %s.", stamp(s.Expires), s.ID)
	case !s.Next.IsZero() && now.Sub(s.Next) > overdueAfter:
		return InstanceOverdue, fmt.Sprintf("It announced itself for %s and did not come; it goes on working, and its use counts as it was. "+
			"On the product, tally-agent doctor tells what is in the way; if it is gone for good: tally instance remove %s.", stamp(s.Next), s.ID)
	case s.Status == StatusOutOfCompliance && s.Covered:
		return InstanceActive, fmt.Sprintf("What it was short of is there now. It asks again on %s; tally-agent report on the product, or its page, asks at once.", stamp(s.Next))
	}
	return InstanceActive, ""
}
