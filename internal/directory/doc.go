// Package directory turns what directories say of people into users, and several directories into one: the language of mapping
// expressions, identifiers of directory servers, the merge of sources with its clashes, the brake on mass change, and the
// client that reads an LDAP server.
//
// It is not the directory in force: which versions there are, who is charged and when a source is read is the business of
// package conference. It stores nothing and never writes to a directory server.
//
// Invariants:
//   - Everything but the client is pure; the same entries and sources give the same users and clashes in any order.
//   - Text of a directory never becomes part of a filter, of a distinguished name or of an expression.
//   - An answer that did not come to its end is an error, never a shorter list.
//   - Nothing is decided silently: an entry that is left out is counted with its reason, a contradiction is a Clash.
package directory
