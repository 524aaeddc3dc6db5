// Package local is what a product's own host sees of its licensing: a REST interface for products in other languages, the
// small REST interface that existing tooling of this field calls, the product page "System > Licenses", and the texts of
// `show license`. It has no rule of its own: every decision is made in package agent.
//
// Invariants:
//   - It listens on a Unix socket that only its owner can open, or on a loopback address, and nowhere else.
//   - On a loopback address nobody is served without the secret of this run: as a bearer token, which is in a file that only
//     the owner can read, or as the cookie of a session that a one-time link opened. The Host header must name the listener,
//     and an Origin must be the page's own, so that a web page of somebody else gets nothing (reliability, section 2 row 24).
//   - Every body is bounded and read strictly.
//   - The page asks for nothing from elsewhere and has no script or style in its text.
package local
