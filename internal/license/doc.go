// Package license holds the words and the rules of licensing: what a license is, when a lot counts, who is in compliance
// and why, when a product asks again, and how long an evaluation lasts. It is pure: it reads no clock, no network, no file
// and no database; instants are arguments.
//
// The words, one per idea, used by every other package, page, column and message:
//
//	Account         a customer, the owner of everything below; the unit of order (decisions inside one account are serial)
//	VirtualAccount  a part of an account that holds licenses and products; exactly one of them is the default
//	Tag             the key of a kind of license, such as cms-smp-plus
//	Order, Lot      what was bought; a lot is one order line: tag, quantity, term
//	Pool            what a virtual account holds of one tag
//	Movement        licenses going from one place to another, in legs whose sum is zero
//	Token           lets a product register once or several times
//	Instance        a registered product, known by its UDI (product id and serial number)
//	Usage           what an instance uses of a tag, a measurement that may exceed the stock
//	Authorization   the answer to a usage report
//	Compliance      the comparison of use with stock, computed, never stored as a quantity
//	Substitution    a higher tier lending unused licenses to a lower one
//
// Invariants: a shortage is reported and explained, it never refuses use; available and shortage are never negative and
// never both positive; a number and its explanation come from the same function.
package license
