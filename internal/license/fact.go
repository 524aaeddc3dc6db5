package license

import (
	"fmt"
	"time"
)

// Fact is one reason beside a number: a stable code and its arguments. Sentences are rendered from facts by Text, and
// nowhere else, so that what is kept does not depend on wording.
type Fact struct {
	Code     string    `json:"code"`
	Tag      string    `json:"tag,omitempty"`
	Other    string    `json:"other,omitempty"` // the other tag or the other virtual account
	Instance string    `json:"instance,omitempty"`
	Name     string    `json:"name,omitempty"`
	Lot      string    `json:"lot,omitempty"`
	Count    int64     `json:"count,omitempty"`
	Of       int64     `json:"of,omitempty"`
	Since    time.Time `json:"since,omitzero"`
}

// The codes of facts about a pool.
const (
	FactShort       = "short"         // Count missing, Of used
	FactCovered     = "covered"       // Count used, Of held
	FactUse         = "in-use"        // Instance uses Count since Since
	FactBorrowed    = "borrowed"      // Count lent by the tag Other
	FactLent        = "lent"          // Count lent to the tag Other
	FactReserved    = "reserved"      // Count reserved by codes
	FactLotEnded    = "lot-ended"     // Lot of Count ended at Since
	FactLotStarts   = "lot-starts"    // Lot of Count starts at Since
	FactHelpMove    = "help-transfer" // virtual account Other has Count free
	FactHelpOrder   = "help-order"    // Count more would be enough
	FactHelpDesk    = "help-register" // nothing is given to this desk any more, a satellite that is or was removed: its products belong elsewhere
	FactUnknownKind = "unknown-tag"   // no catalog entry and no order has this tag; Other is like it
	FactCameBack    = "came-back"     // Count have come back from the satellite of the virtual account, which is being removed
)

// The codes of facts about a reservation.
const (
	FactRevived          = "revived"           // Count codes or registrations came although the licenses had been given up, the first at Since
	FactUncounted        = "uncounted"         // the product Name may still use Count of Tag in Lot, uncounted since Since
	FactWrongCodes       = "wrong-codes"       // Count codes that the product did not make, since Since
	FactInTransit        = "in-transit"        // version Count waits for its confirmation code since Since
	FactReservedEnded    = "reserved-ended"    // Count of Tag in Lot ended at Since
	FactManyReservations = "many-reservations" // Count products are reserved, above Of a satellite is less work
	FactReservedBelow    = "reserved-below"    // Count are reserved at the satellite Name
)

// Text renders the fact as a sentence.
func (f Fact) Text() string {
	switch f.Code {
	case FactShort:
		return fmt.Sprintf("%s missing: %d in use, %d available to this virtual account.", plural(f.Count, "license is", "licenses are"), f.Of, f.Of-f.Count)
	case FactCovered:
		return fmt.Sprintf("This virtual account uses %d, covered by %s.", f.Count, plural(f.Of, "license", "licenses"))
	case FactUse:
		return fmt.Sprintf("%s uses %d, and has used this license since %s.", f.who(), f.Count, stamp(f.Since))
	case FactBorrowed:
		return fmt.Sprintf("%s borrowed from the higher tier %s.", plural(f.Count, "license is", "licenses are"), f.Other)
	case FactLent:
		return fmt.Sprintf("%s lent to the lower tier %s.", plural(f.Count, "license is", "licenses are"), f.Other)
	case FactReserved:
		return fmt.Sprintf("%s held by reservations.", plural(f.Count, "license is", "licenses are"))
	case FactLotEnded:
		return fmt.Sprintf("A lot of %d ended on %s and no longer counts.", f.Count, stamp(f.Since))
	case FactLotStarts:
		return fmt.Sprintf("A lot of %d starts to count on %s.", f.Count, stamp(f.Since))
	case FactHelpMove:
		return fmt.Sprintf("Virtual account %q has %d free: transferring them here would help.", f.Other, f.Count)
	case FactHelpOrder:
		return fmt.Sprintf("Ordering %d more of %s would cover the use.", f.Count, f.Tag)
	case FactHelpDesk:
		return fmt.Sprintf("No licenses come here any more, as the satellite is removed from its authority: register the products that use %s at another desk.", f.Tag)
	case FactCameBack:
		return fmt.Sprintf("%s come back from the satellite, which is being removed: not counted above, as they cover nothing there any more. Transfer them to where they are needed.", plural(f.Count, "license has", "licenses have"))
	case FactUnknownKind:
		text := fmt.Sprintf("Nothing was ever ordered under the tag %s and the catalog does not know it: check the spelling on the product.", f.Tag)
		if f.Other != "" {
			text += fmt.Sprintf(" Is %s meant?", f.Other)
		}
		return text
	}
	if text, ok := f.syncText(); ok {
		return text
	}
	return f.reservationText()
}

// reservationText renders the facts of reservations.
func (f Fact) reservationText() string {
	switch f.Code {
	case FactRevived:
		return fmt.Sprintf("%s since %s, although %s had given its licenses up: its state was set back. Look at its snapshots, and return there once more.",
			plural(f.Count, "code or registration has come", "codes or registrations have come"), stamp(f.Since), f.Name)
	case FactUncounted:
		return fmt.Sprintf("%s may use %d of %s (lot %s) uncounted since %s.", f.Name, f.Count, f.Tag, f.Lot, stamp(f.Since))
	case FactWrongCodes:
		return fmt.Sprintf("%s entered since %s that %s did not make.", plural(f.Count, "code was", "codes were"), stamp(f.Since), f.Name)
	case FactInTransit:
		return fmt.Sprintf("Version %d waits since %s for the confirmation code of %s; until then the larger quantities are charged.", f.Count, stamp(f.Since), f.Name)
	case FactReservedEnded:
		return fmt.Sprintf("Reserved license expired: %d of %s (lot %s) ended on %s and cover nothing on %s any more.", f.Count, f.Tag, f.Lot, stamp(f.Since), f.Name)
	case FactReservedBelow:
		return fmt.Sprintf("Reservations hold %s at the satellite %q: they are listed, shown and changed there.", plural(f.Count, "license", "licenses"), f.Name)
	case FactManyReservations:
		return fmt.Sprintf("%d products hold reservations. Above %d, a satellite that is synchronized by files is less work and counts what is used.", f.Count, f.Of)
	}
	return f.Code
}

func (f Fact) who() string {
	if f.Name != "" {
		return fmt.Sprintf("%s (%s)", f.Name, f.Instance)
	}
	return f.Instance
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
