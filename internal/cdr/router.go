package cdr

import (
	"slices"
	"strings"
	"time"
)

// Router assigns the records of one cluster to meetings, in memory, as they
// come. A meeting is all calls that share a callCorrelator, over all bridges
// and sessions; a call without one is a meeting by itself (domain rule 10). A
// leg belongs, with all its records, to the meeting of every call it was ever
// in; before its first call it waits under a key of its own.
//
// A key is "corr:" and the least callCorrelator of the meeting, else "call:"
// and its call, else "leg:" or "media:" and the leg or recording that waits.
// Keys change as records tell more; Change.Merged says so. Which meetings there
// are in the end, and their keys, depend on the set of records alone.
//
// A Router is not safe for concurrent use. It grows with the records added and
// shrinks by Forget only: the caller forgets ended meetings and old Waiting
// ones, and before it adds a record restores what the record's Refs name and
// the Router does not know.
type Router struct {
	nodes    map[home]*node
	corrs    map[string]*meeting
	meetings map[string]*meeting
	last     *node // found last: many records in a row name one call
}

// node is a call, leg or recording with its own records, sorted.
type node struct {
	home    home
	records []*Record
	in      []*meeting // exactly one for a call, at least one for others
	gone    []string   // keys or call refs of meetings it is in that are not in memory

	few [3]*Record  // room for records
	one [1]*meeting // … and for in
}

type meeting struct {
	key    string
	calls  []*node
	others []*node
	corrs  []string
}

// Change says what a record did.
type Change struct {
	Repeat   bool     // the record was there already; at most it was not known in one of its meetings
	Conflict bool     // another record of that identity was there, and stays
	Touched  []string // keys of the meetings whose record sets grew
	Merged   []Merge  // keys that are no more, in the order in which they went
}

// Merge says that the records under From are now under Into.
type Merge struct{ From, Into string }

// NewRouter returns an empty Router.
func NewRouter() *Router {
	return &Router{nodes: map[home]*node{}, corrs: map[string]*meeting{}, meetings: map[string]*meeting{}}
}

// Add assigns a record, which must not change afterwards. Repeats and conflicts are told within one call, leg or
// recording that is in memory; those beyond are the caller's to tell by what it
// stored. A record that is about none of these touches nothing.
func (rt *Router) Add(r *Record) Change {
	var c Change
	rt.AddTo(r, &c)
	return c
}

// AddTo is Add that says what the record did in a Change which is used again.
func (rt *Router) AddTo(r *Record, c *Change) {
	*c = Change{Touched: c.Touched[:0], Merged: c.Merged[:0]}
	rt.add(r, nil, c)
}

// Restore brings back a meeting that was forgotten, with the records that
// RecordsOf gave under key. Meetings that its legs were also in are not made
// from these records; until they are restored too, Knows is false for such legs.
// Keys do not change by this if the caller restored before it added.
//
// It says what this did to others that are in memory: a meeting that was stored before a leg of it came has its records now, and
// a leg that waited is where it belongs.
func (rt *Router) Restore(key string, records []*Record) Change {
	own := map[string]bool{}
	if id, ok := strings.CutPrefix(key, callPrefix); ok {
		own[id] = true
	}
	for i := range records {
		if h, ok := homeOf(records[i]); ok && h.kind == inCall {
			own[h.id] = true
		}
	}
	var c Change
	for i := range records { // first, so that no leg waits for its call meanwhile
		h, ok := homeOf(records[i])
		if id := records[i].CallID; ok && h.kind != inCall && own[id] {
			rt.link(rt.node(h), home{inCall, id}, &c)
		}
	}
	for i := range records {
		rt.add(records[i], own, &c)
	}
	for i := range records {
		if h, ok := homeOf(records[i]); ok {
			n := rt.node(h)
			n.gone = without(n.gone, key)
		}
	}
	c.Repeat, c.Conflict, c.Touched = false, false, without(c.Touched, key)
	return c
}

// Forget drops a meeting and everything that is in no other one.
func (rt *Router) Forget(key string) {
	m := rt.meetings[key]
	if m == nil {
		return
	}
	for _, n := range m.calls {
		delete(rt.nodes, n.home)
	}
	for _, n := range m.others {
		n.in = without(n.in, m)
		if len(n.in) == 0 {
			delete(rt.nodes, n.home)
		} else {
			n.gone = append(n.gone, key)
		}
	}
	for _, corr := range m.corrs {
		delete(rt.corrs, corr)
	}
	delete(rt.meetings, key)
	rt.last = nil
}

// Knows reports whether the meetings that ref belongs to are all in memory.
// ref is one of Record.Refs.
func (rt *Router) Knows(ref string) bool {
	h, ok := homeNamed(ref)
	return ok && rt.knows(h)
}

func homeNamed(ref string) (home, bool) {
	kind, id, _ := strings.Cut(ref, ":")
	switch kind + ":" {
	case corrPrefix:
		return home{inCorr, id}, true
	case callPrefix:
		return home{inCall, id}, true
	case legPrefix:
		return home{inLeg, id}, true
	case mediaPrefix:
		return home{inMedia, id}, true
	default:
		return home{}, false
	}
}

// CallOf returns the ref of a call, the least, of the meetings in memory that a
// ref belongs to; nothing if there is none.
func (rt *Router) CallOf(ref string) (least string) {
	h, _ := homeNamed(ref)
	n := rt.nodes[h]
	if n == nil {
		return ""
	}
	for _, m := range n.in {
		for _, call := range m.calls {
			if of := call.home.ref(); least == "" || of < least {
				least = of
			}
		}
	}
	return least
}

func (rt *Router) knows(h home) bool {
	if h.kind == inCorr {
		return rt.corrs[h.id] != nil
	}
	n := rt.last
	if n == nil || n.home != h {
		n = rt.nodes[h]
	}
	return n != nil && (h.kind == inCall || len(n.gone) == 0)
}

// Need collects what is to be restored before records are added to a Router:
// the refs of these records that it does not know.
type Need struct {
	Refs []string // each once
	rt   *Router
	seen map[home]bool
	call home // asked for last: many records in a row name one
}

// Need returns an empty Need. It is of use until the Router changes.
func (rt *Router) Need() *Need { return &Need{rt: rt, seen: map[home]bool{}} }

// Of adds what one record needs; records come in the order in which they are to
// be added. first says that nothing was ever stored of what the record is about.
func (n *Need) Of(r *Record, first bool) {
	h, ok := homeOf(r)
	if !ok {
		return
	}
	n.of(h, first)
	switch {
	case h.kind == inCall && r.CallCorrelator != "":
		n.of(home{inCorr, r.CallCorrelator}, false)
	case h.kind != inCall && r.CallID != "":
		n.of(home{inCall, r.CallID}, false)
	}
}

func (n *Need) of(h home, first bool) {
	if h.kind == inCall {
		if h == n.call {
			return
		}
		n.call = h
	}
	if n.rt.knows(h) || n.seen[h] {
		return
	}
	n.seen[h] = true
	if !first {
		n.Refs = append(n.Refs, h.ref())
	}
}

// RecordsOf returns the records of a meeting, sorted by session and correlator,
// in a slice of the caller's. The records are shared. It is nil for an unknown key.
func (rt *Router) RecordsOf(key string) []*Record {
	m := rt.meetings[key]
	if m == nil {
		return nil
	}
	size := 0
	for n := range m.nodes {
		size += len(n.records)
	}
	out := make([]*Record, 0, size)
	for n := range m.nodes {
		out = append(out, n.records...)
	}
	slices.SortFunc(out, byIdentity)
	return out
}

// RefsOf returns the refs of a meeting, sorted: those by which a record finds it.
func (rt *Router) RefsOf(key string) []string {
	m := rt.meetings[key]
	if m == nil {
		return nil
	}
	var out []string
	for n := range m.nodes {
		out = append(out, n.home.ref())
	}
	for _, corr := range m.corrs {
		out = append(out, corrPrefix+corr)
	}
	slices.Sort(out)
	return out
}

// Fold returns the same as the function Fold of RecordsOf(key), without
// copying them. For an unknown key that is a conference without records.
func (rt *Router) Fold(key string, opt Options) Conference {
	f := newFolder(key, opt)
	if m := rt.meetings[key]; m != nil {
		for n := range m.nodes {
			if len(n.records) > 0 {
				f.add(n.home, n.records)
			}
		}
	}
	return f.fold()
}

// EachRef calls fn for each of RefsOf, in no order.
func (rt *Router) EachRef(key string, fn func(Ref)) {
	m := rt.meetings[key]
	if m == nil {
		return
	}
	for n := range m.nodes {
		fn(Ref{n.home, n.records})
	}
	for _, corr := range m.corrs {
		fn(Ref{home{inCorr, corr}, nil})
	}
}

// Ref is one of the refs of a meeting with the sorted records about what it names. They are shared.
type Ref struct {
	of      home
	Records []*Record
}

// String is the ref as text.
func (r Ref) String() string { return r.of.ref() }

// Call reports whether it names a call.
func (r Ref) Call() bool { return r.of.kind == inCall }

// Leg reports whether it names a leg.
func (r Ref) Leg() bool { return r.of.kind == inLeg }

// Correlator reports whether it is a correlator, which has no records of its own.
func (r Ref) Correlator() bool { return r.of.kind == inCorr }

// Keys returns the keys of all meetings in memory, sorted.
func (rt *Router) Keys() []string {
	out := make([]string, 0, len(rt.meetings))
	for key := range rt.meetings {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

// Waiting returns the sorted keys of legs and recordings that are in no call
// and have no record at or after the given time.
func (rt *Router) Waiting(before time.Time) []string {
	var out []string
	for key, m := range rt.meetings {
		if len(m.calls) > 0 {
			continue
		}
		recent := func(r *Record) bool { return !r.At.Before(before) }
		if !slices.ContainsFunc(m.others[0].records, recent) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// add assigns r. While a meeting is restored, own holds its calls, and no other
// call is made from what its legs say.
func (rt *Router) add(r *Record, own map[string]bool, c *Change) {
	h, ok := homeOf(r)
	if !ok {
		return
	}
	n := rt.node(h)
	set, held, ok := insert(n.records, r)
	if !ok {
		c.Repeat, c.Conflict = held.Digest == r.Digest, held.Digest != r.Digest
		// A leg may be known by one of its meetings alone, while this one was stored before it came.
		if c.Repeat && own == nil && h.kind != inCall && r.CallID != "" && rt.link(n, home{inCall, r.CallID}, c) {
			n.touch(c)
		}
		return
	}
	n.records = set
	switch {
	case h.kind == inCall && r.CallCorrelator != "":
		if len(n.in) == 0 {
			rt.join(n, r.CallCorrelator)
		} else {
			rt.correlate(n.in[0], r.CallCorrelator, c)
		}
	case h.kind == inCall:
	case r.CallID != "":
		call := home{inCall, r.CallID}
		if own != nil && !own[r.CallID] && rt.nodes[call] == nil {
			n.gone = append(without(n.gone, call.ref()), call.ref())
			break
		}
		rt.link(n, call, c)
	}
	rt.ensure(n)
	n.touch(c)
}

// touch notes that the record sets of the meetings of a node grew.
func (n *node) touch(c *Change) {
	for _, m := range n.in {
		if !slices.Contains(c.Touched, m.key) {
			c.Touched = append(c.Touched, m.key)
		}
	}
}

func (rt *Router) node(h home) *node {
	if n := rt.last; n != nil && n.home == h {
		return n
	}
	n := rt.nodes[h]
	if n == nil {
		n = &node{home: h}
		n.records, n.in = n.few[:0], n.one[:0]
		rt.nodes[h] = n
	}
	if h.kind == inCall {
		rt.last = n
	}
	return n
}

// ensure gives a node that is in no meeting one of its own.
func (rt *Router) ensure(n *node) {
	if len(n.in) > 0 {
		return
	}
	m := &meeting{key: n.home.ref()}
	if n.home.kind == inCall {
		m.calls = []*node{n}
	} else {
		m.others = []*node{n}
	}
	n.in = append(n.in[:0], m)
	rt.meetings[m.key] = m
}

// link puts a leg or recording into the meeting of a call, where it waits no longer; it reports false when it was there.
func (rt *Router) link(n *node, h home, c *Change) bool {
	call := rt.node(h)
	rt.ensure(call)
	m := call.in[0]
	if len(n.gone) > 0 {
		n.gone = without(n.gone, h.ref())
	}
	if slices.Contains(n.in, m) {
		return false
	}
	if len(n.in) == 1 && len(n.in[0].calls) == 0 {
		rt.drop(n.in[0].key, m.key, c)
		n.in = n.in[:0]
	}
	n.in = append(n.in, m)
	m.others = append(m.others, n)
	return true
}

// join puts a new call into the meeting of its correlator.
func (rt *Router) join(n *node, corr string) {
	m := rt.corrs[corr]
	if m == nil {
		m = &meeting{key: corrPrefix + corr, corrs: []string{corr}}
		rt.corrs[corr], rt.meetings[m.key] = m, m
	}
	m.calls = append(m.calls, n)
	n.in = append(n.in[:0], m)
}

// correlate adds a correlator to a meeting, which may turn out to be another
// one, or to have another key.
func (rt *Router) correlate(m *meeting, corr string, c *Change) {
	other := rt.corrs[corr]
	if other == m {
		return
	}
	if other == nil {
		rt.corrs[corr] = m
		m.corrs = append(m.corrs, corr)
		rt.rename(m, c)
		return
	}
	into, from := m, other
	if len(into.others) < len(from.others) {
		into, from = from, into
	}
	for _, n := range from.calls {
		n.in[0] = into
	}
	for _, n := range from.others {
		n.in = without(n.in, from)
		if !slices.Contains(n.in, into) {
			n.in = append(n.in, into)
			into.others = append(into.others, n)
		}
	}
	for _, corr := range from.corrs {
		rt.corrs[corr] = into
	}
	into.calls = append(into.calls, from.calls...)
	into.corrs = append(into.corrs, from.corrs...)
	gone := from.key
	from.key = ""
	rt.rename(into, c)
	if gone != into.key {
		rt.drop(gone, into.key, c)
	}
}

// rename gives a meeting the key that its correlators make.
func (rt *Router) rename(m *meeting, c *Change) {
	key := corrPrefix + slices.Min(m.corrs)
	if key == m.key {
		return
	}
	rt.drop(m.key, key, c)
	m.key = key
	rt.meetings[key] = m
}

func (rt *Router) drop(from, into string, c *Change) {
	delete(rt.meetings, from)
	c.Merged = append(c.Merged, Merge{From: from, Into: into})
	if slices.Contains(c.Touched, from) {
		c.Touched = without(c.Touched, from)
		c.Touched = append(without(c.Touched, into), into)
	}
}

// nodes yields everything that is in the meeting.
func (m *meeting) nodes(yield func(*node) bool) {
	for _, n := range m.calls {
		if !yield(n) {
			return
		}
	}
	for _, n := range m.others {
		if !yield(n) {
			return
		}
	}
}

func without[T comparable](set []T, gone T) []T {
	return slices.DeleteFunc(set, func(v T) bool { return v == gone })
}
