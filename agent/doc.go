// Package agent is what a product embeds, or runs as tally-agent, to take part in licensing: it registers the product
// with an authority, reports what the product uses, holds the authority's answer, and counts the evaluation time of a
// product that is not registered.
//
// It decides what is shown, never what is allowed: it has no call that stops anything, and a product goes on working in
// every state that Status can show. It is no license server and keeps no history.
//
// Invariants:
//   - Only an answer that the pinned authority signed and that echoes the request changes what is known. An authority
//     that is away, an unsigned error or a malformed answer is recorded as a failed attempt and changes nothing else.
//   - The private key is made here and goes nowhere but to the Keeper.
//   - A request is kept before it is sent, and is sent again with the same number and the same bytes until its answer
//     came, so a lost answer costs nothing and numbers never fork.
//   - The evaluation clock only grows; neither Init, registration nor deregistration sets it back (domain rule 32).
//   - The state is locked while it is changed and never while the network is waited for.
package agent
