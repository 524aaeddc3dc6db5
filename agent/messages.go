package agent

import (
	"maps"
	"slices"
	"time"
)

// Messages says what became of the messages of one kind since the state was made or last reset.
type Messages struct {
	// Kind is authorize, deregister, register or renew.
	Kind      string `json:"kind"`
	Succeeded int64  `json:"succeeded"`
	// Failed counts those without an answer and those that were refused.
	Failed int64 `json:"failed"`
	// Failing is how many failed since the last that succeeded.
	Failing     int64     `json:"failing"`
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	LastFailure time.Time `json:"lastFailure,omitzero"`
	// Reason is one line about the last failure.
	Reason string `json:"reason,omitempty"`
}

// count notes the outcome of a message; a reason makes it a failure.
func (st *state) count(kind string, now time.Time, reason string) {
	m := st.Messages[kind]
	m.Kind = kind
	if reason == "" {
		m.Succeeded, m.Failing, m.LastSuccess = m.Succeeded+1, 0, now
	} else {
		m.Failed, m.Failing, m.LastFailure, m.Reason = m.Failed+1, m.Failing+1, now, oneLine(reason)
	}
	all := map[string]Messages{} // decisions share what they were taken from
	maps.Copy(all, st.Messages)
	all[kind] = m
	st.Messages = all
}

// messages are the counts, by kind.
func (st *state) messages() []Messages {
	var all []Messages
	for _, kind := range slices.Sorted(maps.Keys(st.Messages)) {
		all = append(all, st.Messages[kind])
	}
	return all
}
