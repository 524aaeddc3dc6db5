// Package play holds the parts that the stories and the load driver share: a product that speaks the machine gate by hand, a
// call bridge that plays meetings as real records, and the program under test as a real process. It decides nothing and is
// used by tests only.
package play
