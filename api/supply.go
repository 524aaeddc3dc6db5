package api

import "time"

// OrderFile is a purchase to be put into an account, as the order file has it.
type OrderFile struct {
	Order   string      `json:"order" doc:"Number of the order, unique in the account."`
	Account string      `json:"account" doc:"Account that the order is for, by id or name."`
	Lines   []OrderLine `json:"lines" nullable:"false" doc:"1 to 1000 lines; each becomes a lot."`
}

// OrderLine is one line of an order file. Exactly one of SKU and Tag is given.
type OrderLine struct {
	SKU            string `json:"sku,omitempty" doc:"Part number of the catalog."`
	Tag            string `json:"tag,omitempty" doc:"License tag of the catalog."`
	Quantity       int64  `json:"quantity" doc:"How many were bought."`
	VirtualAccount string `json:"virtualAccount,omitempty" doc:"Where they go, by id or name; the default one when left out."`
	Type           string `json:"type,omitempty" enum:"PERPETUAL,TERM,DEMO" doc:"PERPETUAL when left out; the others need an end."`
	Start          string `json:"start,omitempty" doc:"First day, or instant in RFC 3339; now when left out."`
	End            string `json:"end,omitempty" doc:"First day, or instant in RFC 3339, that no longer counts."`
	Subscription   string `json:"subscription,omitempty" doc:"Subscription that the line belongs to."`
}

// Order is a purchase that was put into an account.
type Order struct {
	ID         string    `json:"id" doc:"Id, ord_…"`
	Order      string    `json:"order" doc:"Number of the order."`
	ReceivedAt time.Time `json:"receivedAt" doc:"When it was imported."`
	ReceivedBy string    `json:"receivedBy" doc:"Id of the key that imported it."`
	Repeated   bool      `json:"repeated,omitempty" doc:"In the answer to an import: the order was known, nothing changed."`
	Lots       []Lot     `json:"lots" nullable:"false" doc:"What its lines became."`
}

// Lot is one line of an order, or the part of it that a virtual account holds.
type Lot struct {
	ID             string     `json:"id" doc:"Id, lot_…"`
	Order          string     `json:"order,omitempty" doc:"Number of the order that it came with."`
	License        string     `json:"license" doc:"Name of the license."`
	Tag            string     `json:"tag" doc:"License tag."`
	VirtualAccount string     `json:"virtualAccount,omitempty" doc:"Name of the virtual account that holds it; absent in an order."`
	Type           string     `json:"type" enum:"PERPETUAL,TERM,DEMO" doc:"How long it counts."`
	Quantity       int64      `json:"quantity" doc:"How many licenses."`
	Reserved       int64      `json:"reserved,omitempty" doc:"How many of them reservations hold, here or at the satellite that has them; these cannot be transferred."`
	CameBack       int64      `json:"cameBack,omitempty" doc:"How many more lie here that a satellite, which is being removed, has given up; they cover nothing there any more and can be transferred."`
	Start          time.Time  `json:"start" doc:"From when on it counts."`
	End            *time.Time `json:"end" doc:"From when on it no longer counts; null for never."`
	Subscription   string     `json:"subscription,omitempty" doc:"Subscription that it belongs to."`
	Status         string     `json:"status" enum:"Active,Future,Expired" doc:"Whether it counts now."`
}

// License is one tag in one virtual account: stock and use, and why they stand so. Available and Shortage are never negative
// and never both positive.
type License struct {
	License        string   `json:"license" doc:"Name of the license."`
	Tag            string   `json:"tag" doc:"License tag."`
	VirtualAccount string   `json:"virtualAccount" doc:"Name of the virtual account."`
	Quantity       int64    `json:"quantity" doc:"How many are held in lots that are valid now."`
	InUse          int64    `json:"inUse" doc:"How many the products use."`
	Reserved       int64    `json:"reserved" doc:"How many reservations hold."`
	Lent           int64    `json:"lent" doc:"How many are lent to a lower tier."`
	Borrowed       int64    `json:"borrowed" doc:"How many are borrowed from a higher tier."`
	Available      int64    `json:"available" doc:"How many are free."`
	Shortage       int64    `json:"shortage" doc:"How many are missing."`
	Status         string   `json:"status" enum:"In Compliance,Out Of Compliance" doc:"Out Of Compliance while some are missing."`
	Why            []Reason `json:"why" nullable:"false" doc:"Who uses it, since when, and what would help: at most 10."`
	More           int      `json:"more,omitempty" doc:"How many reasons were left out."`
}

// Transfer is a wish to move licenses between two virtual accounts.
type Transfer struct {
	Tag      string `json:"tag" doc:"License tag."`
	Quantity int64  `json:"quantity" doc:"How many."`
	From     string `json:"from" doc:"Virtual account that gives, by id or name."`
	To       string `json:"to" doc:"Virtual account that gets, by id or name."`
	Lot      string `json:"lot,omitempty" doc:"Take from this lot only; when left out, from the one that lasts longest."`
}

// Transferred is what a transfer did.
type Transferred struct {
	From string `json:"from" doc:"Name of the virtual account that gave."`
	To   string `json:"to" doc:"Name of the virtual account that got."`
	Lots []Lot  `json:"lots" nullable:"false" doc:"What was moved, with the moved quantities."`
	// AskedBack is how many a satellite has to let go of first.
	AskedBack int64 `json:"askedBack,omitempty" doc:"How many are asked back from the satellite that has them; they arrive when it has let go of them."`
	// AskedReserved is how many of AskedBack come only when reservations at the satellite are returned.
	AskedReserved int64 `json:"askedReserved,omitempty" doc:"How many of those reservations at the satellite hold, as it said last; they come when these are returned."`
	// InUse and Left stand beside AskedBack.
	InUse int64 `json:"inUse,omitempty" doc:"How many products of the satellite use in the virtual account that gives, as it said last."`
	Left  int64 `json:"left,omitempty" doc:"How many the satellite has there when all that is asked back has come."`
}
