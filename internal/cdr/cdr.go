// Package cdr reads call-detail records as call bridges send them and folds
// them into conferences. It holds the wire format (Parse), the assignment of
// records to meetings (Router), the one pure function from the records of a
// meeting to what happened in it (Fold), and the compact form in which a set
// of records is stored (Encode, Decode).
//
// It knows nothing of licenses, and it does no input or output: no network,
// no files, no clock, no chance.
//
// Invariants:
//   - (Session, Correlator) identifies a record on every receiver (domain
//     rule 2). Two records of one identity with equal Digest are a repeat,
//     with different Digest a conflict.
//   - A conference is a function of the set of its records. The order of
//     arrival, repeats and lateness never show in the result.
//   - Identifiers are opaque text in lower case; times are UTC milliseconds.
//   - Every decoder is bounded, and refuses before it allocates.
package cdr

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is the type of a record as the call bridge names it. Unknown kinds are
// kept as they came.
type Kind string

// The kinds of records that Fold understands.
const (
	CallStart      Kind = "callStart"
	CallEnd        Kind = "callEnd"
	CallLegStart   Kind = "callLegStart"
	CallLegUpdate  Kind = "callLegUpdate"
	CallLegEnd     Kind = "callLegEnd"
	RecordingStart Kind = "recordingStart"
	RecordingEnd   Kind = "recordingEnd"
	StreamingStart Kind = "streamingStart"
	StreamingEnd   Kind = "streamingEnd"
)

// StateConnected is the only leg state that call bridges are known to send.
const StateConnected = "connected"

// Post is the content of one body: the records in the order of the document.
type Post struct {
	Session    string // new at every restart of a call bridge
	CallBridge string // stable over restarts; empty when the bridge does not say
	Records    []Record
}

// Record is one call-detail record. Absent fields are empty; the raw body,
// which keeps what has no field here, is the caller's to store.
type Record struct {
	Kind       Kind
	At         time.Time // when the bridge made the record: UTC, milliseconds
	Session    string    // of the Post
	CallBridge string    // of the Post

	RecordIndex int64 // the receiver's own numbering; not part of identity, Digest or Encode
	Correlator  int64 // numbers the records of a session from 0 on, the same on every receiver
	Missing     int64 // records lost immediately before this one; not part of Digest or Encode

	CallID  string // the call itself, or the call that a leg, recording or stream is in
	LegID   string // the leg itself, or the leg that records or streams
	MediaID string // the recording or stream

	Name, OwnerName, CallType, Space, CallCorrelator string // of a call

	State       string // of a leg; StateConnected or empty
	Deactivated bool   // the leg waits in the lobby
	InIVR       bool   // the leg is in the voice menu, in no call

	DisplayName, RemoteParty, RemoteAddress, LocalAddress, Type, SubType, Direction string

	Reason          string // why a leg ended
	DurationSeconds int64  // of the call or leg, on end records
	LegsMaxActive   int64  // callLegsMaxActive of a callEnd
	LegsCompleted   int64  // callLegsCompleted of a callEnd
	HasMedia        bool   // an end record that describes any medium
	HasVideo        bool   // … and video among it

	// Digest covers kind, time, correlator and every element and attribute with
	// trimmed text in document order, known or not; never the receiver's numbering.
	Digest [16]byte

	// Unknown names elements that this version does not know or cannot read, at most 8.
	Unknown []string
}

// Refs returns the identifiers that tie the record to a meeting, its own
// first: "call:", "leg:" or "media:", then "corr:" or the "call:" it is in.
// A record without any belongs to no meeting.
func (r *Record) Refs() []string {
	h, ok := homeOf(r)
	if !ok {
		return nil
	}
	refs := []string{h.ref()}
	switch {
	case h.kind == inCall && r.CallCorrelator != "":
		refs = append(refs, corrPrefix+r.CallCorrelator)
	case h.kind != inCall && r.CallID != "":
		refs = append(refs, callPrefix+r.CallID)
	}
	return refs
}

// Error says what is wrong with a body or a stored record set.
type Error struct {
	Message string
	Line    int   // of the body, from 1; 0 for stored record sets
	Offset  int64 // in bytes
}

// Error implements error.
func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.Message)
	}
	return fmt.Sprintf("byte %d: %s", e.Offset, e.Message)
}

// The prefixes of refs and of meeting keys.
const (
	callPrefix  = "call:"
	legPrefix   = "leg:"
	mediaPrefix = "media:"
	corrPrefix  = "corr:"
)

// homeKind tells what a record is about.
type homeKind byte

const (
	inCall homeKind = iota
	inLeg
	inMedia
	inCorr // a correlator; no record is about one
)

// home is the one thing that a record is about.
type home struct {
	kind homeKind
	id   string
}

func (h home) ref() string {
	switch h.kind {
	case inLeg:
		return legPrefix + h.id
	case inMedia:
		return mediaPrefix + h.id
	case inCorr:
		return corrPrefix + h.id
	default:
		return callPrefix + h.id
	}
}

func homeOf(r *Record) (home, bool) {
	switch {
	case r.MediaID != "":
		return home{inMedia, r.MediaID}, true
	case r.LegID != "":
		return home{inLeg, r.LegID}, true
	case r.CallID != "":
		return home{inCall, r.CallID}, true
	default:
		return home{}, false
	}
}

// byIdentity orders records as their bridges made them. Session and correlator
// order by cause even where the bridge's clock was stepped back.
func byIdentity(a, b *Record) int {
	if c := strings.Compare(a.Session, b.Session); c != 0 {
		return c
	}
	switch {
	case a.Correlator < b.Correlator:
		return -1
	case a.Correlator > b.Correlator:
		return 1
	default:
		return 0
	}
}

// insert puts a record into a sorted set. It reports false, changing nothing,
// when the identity is there already; held is then the record that was kept.
func insert(set []*Record, r *Record) (grown []*Record, held *Record, ok bool) {
	i := len(set)
	if i > 0 && byIdentity(set[i-1], r) >= 0 {
		var found bool
		i, found = slices.BinarySearchFunc(set, r, byIdentity)
		if found {
			return set, set[i], false
		}
	}
	return slices.Insert(set, i, r), nil, true
}
