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
	FactUnknownKind = "unknown-tag"   // no catalog entry and no order has this tag
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
	case FactUnknownKind:
		return fmt.Sprintf("Nothing was ever ordered under the tag %s and the catalog does not know it: check the spelling on the product.", f.Tag)
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
