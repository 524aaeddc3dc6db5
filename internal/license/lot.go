package license

import "time"

// LotType says how long a lot counts.
type LotType string

// The lot types. TERM and DEMO lots have an end.
const (
	Perpetual LotType = "PERPETUAL"
	Term      LotType = "TERM"
	Demo      LotType = "DEMO"
)

// Lot is one line of an order: a quantity of one tag inside a term [Start, End). A zero End never comes.
type Lot struct {
	ID           string
	Order        string
	Tag          Tag
	Type         LotType
	Quantity     int64
	Start        time.Time
	End          time.Time
	Subscription string
}

// Counts says whether the lot is valid at now: lots count only inside [Start, End) (domain rule 8).
func (l Lot) Counts(now time.Time) bool {
	return !now.Before(l.Start) && (l.End.IsZero() || now.Before(l.End))
}

// Status is the lot's state at now for lists and reports.
func (l Lot) Status(now time.Time) string {
	switch {
	case now.Before(l.Start):
		return "Future"
	case l.Counts(now):
		return "Active"
	}
	return "Expired"
}
