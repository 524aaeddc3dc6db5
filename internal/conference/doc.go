// Package conference is the conference engine: it takes call-detail records from call bridges, decides which license each
// meeting takes and keeps the reasons, counts use per hour, and reports it through package agent like any product.
//
// It is not the authority: it holds no licenses and never refuses a meeting. It renders no page and serves no
// HTTP; call bridges are asked through package callbridge.
//
// Invariants:
//   - A post is answered after its journal row is durable. Everything else is made from the journal and can be made again.
//   - A record counts once, by session and correlator, over posts, restarts and replicas.
//   - A meeting is a function of its records and of the directory version pinned when the first of them was stored
//     (domain rule 34). What the tables say of it is a projection that may be behind the journal; every read brings it up
//     to date first.
//   - Orders are by cluster: its row is locked to number posts, not the account's.
//   - Late records amend the history here, never a peak that was already reported.
package conference
