package cdr

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Conference is what the records of one meeting say. Absent facts are empty.
type Conference struct {
	Key       string // of the meeting, as given to Fold
	Name      string
	OwnerName string // a name or a JID, as the bridge has it
	CallType  string // coSpace, adHoc, forwarding, lyncConferencing, or unknown text
	Space     string // identifier of the permanent space
	Calls     []string
	Bridges   []string // call bridges, by session where a bridge does not say its own id

	Start, End      time.Time // zero while unknown; End is zero while any call runs
	DurationSeconds int64     // as the bridge counted a single call, else End minus Start; 0 while running

	// ParticipantsMax is the most participants at one instant. Where leg records
	// of a single call are missing, the bridge's own callLegsMaxActive fills in.
	ParticipantsMax int
	Levels          []Level // ascending, neighbors differ, the first is above zero
	Participants    []Participant

	Incomplete   bool      // records are known to be missing
	Estimated    bool      // a call was closed by Options.ClosedAt, not by its end record
	LastRecordAt time.Time // newest record about one of the calls
}

// Level is how many take part from an instant on.
type Level struct {
	At           time.Time
	Participants int
	Audio        int32 // of them, legs whose end says that they had sound and no picture
	Lync         int32 // … legs to or from a Lync or Skype for Business system
	Media        int32 // … recorders and streamers
	Callers      int32 // calls, one for each call bridge, that have one of those Lync legs
}

func (l Level) same(other Level) bool {
	other.At = l.At
	return l == other
}

// Participant is one stay of a leg, recorder or streamer in a call.
type Participant struct {
	Leg, Call                string
	DisplayName, RemoteParty string
	RemoteAddress, Type      string // Type is "recording" or "streaming" for those without a leg of their own
	LocalAddress, Direction  string
	Audio                    bool      // the leg's end says that it had sound and no picture; false while it runs
	Lync                     bool      // it leads to or comes from a Lync or Skype for Business system
	Media                    bool      // a recorder or streamer
	From, To                 time.Time // To is zero while present
	Reason                   string    // why the leg ended, if it ended in this stay
}

// Options are what is known about a meeting besides its records.
type Options struct {
	// ClosedAt holds, by session, when a session was found to be over. Its calls
	// without an end record close then, or at their last record if that is later
	// (domain rule 5).
	ClosedAt map[string]time.Time
}

// Fold returns the conference that a set of records tells of. key is the
// meeting's key from a Router; it says which calls are meant where legs moved
// in from or out to other meetings. The order of records and repeats do not
// matter; of two records in conflict, the one with the lower digest counts.
//
// A leg takes part from the first record that has it in a call in state
// connected until it ends, moves, goes to the lobby or the voice menu, or the
// call ends; presence of no length is not presence. Once connected it stays
// so, as later updates may omit the state. A leg whose end record counts more
// than zero seconds, though no record says connected, takes part from the
// first record that names its call. Links between bridges (distributionLink,
// lyncDistribution) never take part (domain rules 8 and 9). Whether a leg had
// a picture is known from its end only (domain rule 19): until then it counts
// as one that has.
func Fold(key string, records []*Record, opt Options) Conference {
	sorted := slices.Clone(records)
	slices.SortFunc(sorted, func(a, b *Record) int {
		return cmp.Or(byIdentity(a, b), slices.Compare(a.Digest[:], b.Digest[:]))
	})
	groups := map[home][]*Record{}
	for _, r := range sorted {
		h, ok := homeOf(r)
		set := groups[h]
		if !ok || len(set) > 0 && byIdentity(set[len(set)-1], r) == 0 {
			continue
		}
		groups[h] = append(set, r)
	}
	f := newFolder(key, opt)
	for h, set := range groups {
		f.add(h, set)
	}
	return f.fold()
}

// folder gathers the records of one meeting by what they are about; every set
// is sorted and free of repeats.
type folder struct {
	key         string
	opt         Options
	own         map[string]*call
	legs, media [][]*Record
	bridges     map[string]bool
	bridge      string // of these, the one noted last
	stays       []Participant
	out         Conference
}

// call is what is known about one call of the meeting.
type call struct {
	id          string
	start, end  *Record
	first, last time.Time // records about it
	session     string
	begun, over time.Time // over is zero while it runs
	legs        int
	openLegs    bool // a leg without an end record
	unknownLegs bool // a leg without a start record
}

func newFolder(key string, opt Options) *folder {
	f := &folder{key: key, opt: opt, own: map[string]*call{}, bridges: map[string]bool{}}
	if id, ok := strings.CutPrefix(key, callPrefix); ok {
		f.own[id] = &call{id: id}
	}
	return f
}

func (f *folder) add(h home, set []*Record) {
	switch h.kind {
	case inLeg:
		f.legs = append(f.legs, set)
	case inMedia:
		f.media = append(f.media, set)
	case inCall:
		c := f.own[h.id]
		if c == nil {
			c = &call{id: h.id}
			f.own[h.id] = c
		}
		for _, r := range set {
			f.note(c, r)
			switch {
			case r.Kind == CallStart && c.start == nil:
				c.start = r
			case r.Kind == CallEnd && c.end == nil:
				c.end = r
			}
		}
	}
}

// note keeps that a record is about a call.
func (f *folder) note(c *call, r *Record) {
	if c == nil {
		return
	}
	if c.first.IsZero() || r.At.Before(c.first) {
		c.first = r.At
	}
	if r.At.After(c.last) {
		c.last = r.At
	}
	if c.session == "" || r.Session < c.session {
		c.session = r.Session
	}
	if bridge := cmp.Or(r.CallBridge, r.Session); bridge != f.bridge || len(f.bridges) == 0 {
		f.bridges[bridge], f.bridge = true, bridge
	}
}

func (f *folder) fold() Conference {
	recorders := make(map[string]bool, len(f.media)) // legs of recorders and streamers: whether they have records
	for _, set := range f.media {
		for _, r := range set {
			if r.LegID != "" {
				recorders[r.LegID] = false
			}
		}
	}
	f.stays = slices.Grow(f.stays, len(f.legs)+len(f.media))
	for _, set := range f.legs {
		_, media := recorders[set[0].LegID]
		f.leg(set, media)
		if media {
			recorders[set[0].LegID] = true
		}
	}
	for _, set := range f.media {
		f.recorder(set, recorders)
	}
	calls := slices.SortedFunc(maps.Values(f.own), func(a, b *call) int {
		return cmp.Or(a.first.Compare(b.first), strings.Compare(a.id, b.id))
	})
	for _, c := range calls {
		f.limit(c)
	}
	f.out.Key = f.key
	f.describe(calls)
	f.count()
	if len(calls) == 1 && f.out.Incomplete && calls[0].end != nil {
		f.out.ParticipantsMax = max(f.out.ParticipantsMax, int(min(calls[0].end.LegsMaxActive, 1<<20)))
	}
	return f.out
}

// leg adds the stays of one leg in the calls of the meeting; media is for that of a recorder or streamer.
func (f *folder) leg(set []*Record, media bool) {
	var who Participant
	var started, link, said bool // said: some record says connected
	var end *Record
	for _, r := range set {
		switch r.Kind {
		case CallLegStart:
			started = true
		case CallLegEnd:
			end = cmp.Or(end, r)
		}
		said = said || r.State == StateConnected
		link = link || strings.EqualFold(r.SubType, "distributionLink") || strings.EqualFold(r.SubType, "lyncDistribution")
		who.Lync = who.Lync || strings.EqualFold(r.SubType, "lync")
		who.DisplayName = cmp.Or(r.DisplayName, who.DisplayName)
		who.RemoteParty = cmp.Or(r.RemoteParty, who.RemoteParty)
		who.RemoteAddress = cmp.Or(r.RemoteAddress, who.RemoteAddress)
		who.LocalAddress = cmp.Or(r.LocalAddress, who.LocalAddress)
		who.Type = cmp.Or(r.Type, who.Type)
		who.Direction = cmp.Or(r.Direction, who.Direction)
	}
	who.Leg, who.Media = set[0].LegID, media
	who.Audio = end != nil && end.HasMedia && !end.HasVideo && !media
	connected := !said && end != nil && end.DurationSeconds > 0

	var in, visited *call // of the meeting; nil elsewhere
	var lobby, staying bool
	for _, r := range set {
		f.note(in, r)
		was := in
		switch r.Kind {
		case CallLegStart, CallLegUpdate:
			if r.CallID != "" {
				in = f.own[r.CallID]
			} else if r.InIVR {
				in = nil
			}
			connected = connected || r.State == StateConnected
			lobby = r.Deactivated
		case CallLegEnd:
			in = nil
		default:
			continue
		}
		if in != nil && in != was {
			f.note(in, r)
			if in != visited {
				in.legs++
				in.unknownLegs = in.unknownLegs || !started
				visited = in
			}
		}
		present := in != nil && connected && !lobby && !link
		if staying && (!present || in != was) {
			stay := &f.stays[len(f.stays)-1]
			stay.To, stay.Reason = r.At, r.Reason
			staying = false
		}
		if present && !staying {
			who.Call, who.From = in.id, r.At
			f.stays = append(f.stays, who)
			staying = true
		}
		if r.Kind == CallLegEnd {
			break
		}
	}
	if in != nil {
		in.openLegs = true
	}
}

// recorder adds a recorder or streamer that has no leg records of its own; it
// counts as a participant (domain rule 19).
func (f *folder) recorder(set []*Record, legs map[string]bool) {
	var start, end *Record
	for _, r := range set {
		switch r.Kind {
		case RecordingStart, StreamingStart:
			start = cmp.Or(start, r)
		case RecordingEnd, StreamingEnd:
			end = cmp.Or(end, r)
		}
	}
	if start == nil || f.own[start.CallID] == nil {
		return
	}
	c := f.own[start.CallID]
	f.note(c, start)
	stay := Participant{Leg: cmp.Or(start.LegID, start.MediaID), Call: c.id, From: start.At, Media: true}
	stay.Type, _ = strings.CutSuffix(string(start.Kind), "Start")
	if end != nil {
		f.note(c, end)
		stay.To = end.At
	}
	if !legs[stay.Leg] {
		f.stays = append(f.stays, stay)
	}
}

// limit settles when a call began and ended, and what is missing of it.
func (f *folder) limit(c *call) {
	c.begun = c.first
	switch {
	case c.start != nil:
		c.begun = c.start.At
	case c.end != nil && c.end.DurationSeconds > 0:
		const limit = 10 * 365 * 24 * 3600 // keeps a nonsensical figure a time
		c.begun = c.end.At.Add(-time.Duration(min(c.end.DurationSeconds, limit)) * time.Second)
	}
	incomplete := c.start == nil || c.unknownLegs
	if c.end != nil {
		c.over = c.end.At
		incomplete = incomplete || c.openLegs || c.end.LegsCompleted > int64(c.legs)
	} else if at, ok := f.opt.ClosedAt[c.session]; ok {
		c.over = at
		if c.last.After(at) {
			c.over = c.last
		}
		f.out.Estimated = true
	}
	f.out.Incomplete = f.out.Incomplete || incomplete
}

// describe fills in what is said of the meeting as a whole.
func (f *folder) describe(calls []*call) {
	o := &f.out
	running := false
	for _, c := range calls {
		o.Calls = append(o.Calls, c.id)
		if s := c.start; s != nil {
			o.Name = cmp.Or(o.Name, s.Name)
			o.OwnerName = cmp.Or(o.OwnerName, s.OwnerName)
			o.CallType = cmp.Or(o.CallType, s.CallType)
			o.Space = cmp.Or(o.Space, s.Space)
		}
		if o.Start.IsZero() || c.begun.Before(o.Start) {
			o.Start = c.begun
		}
		if c.over.After(o.End) {
			o.End = c.over
		}
		if c.last.After(o.LastRecordAt) {
			o.LastRecordAt = c.last
		}
		running = running || c.over.IsZero()
	}
	o.Bridges = slices.Sorted(maps.Keys(f.bridges))
	switch {
	case running:
		o.End = time.Time{}
	case len(calls) == 1 && calls[0].end != nil && calls[0].end.DurationSeconds > 0:
		o.DurationSeconds = calls[0].end.DurationSeconds
	case o.End.After(o.Start):
		o.DurationSeconds = int64(o.End.Sub(o.Start).Round(time.Second) / time.Second)
	}
}

// count cuts the stays to their calls and makes the step function of them.
func (f *folder) count() {
	type step struct {
		at  time.Time
		by  int
		who int // of kept
	}
	steps := make([]step, 0, 2*len(f.stays))
	kept := f.stays[:0]
	for _, s := range f.stays {
		if over := f.own[s.Call].over; !over.IsZero() && (s.To.IsZero() || s.To.After(over)) {
			s.To = over
		}
		if !s.To.IsZero() && !s.To.After(s.From) {
			continue
		}
		kept = append(kept, s)
	}
	slices.SortFunc(kept, func(a, b Participant) int {
		return cmp.Or(a.From.Compare(b.From), strings.Compare(a.Leg, b.Leg), strings.Compare(a.Call, b.Call), strings.Compare(a.Type, b.Type), a.To.Compare(b.To))
	})
	for i := range kept {
		steps = append(steps, step{kept[i].From, 1, i})
		if to := kept[i].To; !to.IsZero() {
			steps = append(steps, step{to, -1, i})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	f.out.Participants = kept
	f.out.Levels = slices.Grow(f.out.Levels, len(steps))
	var level, last Level
	var lync map[string]int // legs to Lync, by call
	for i, s := range steps {
		who := &kept[s.who]
		level.At = s.at
		level.Participants += s.by
		switch {
		case who.Media:
			level.Media += int32(s.by)
		case who.Audio:
			level.Audio += int32(s.by)
		}
		if who.Lync {
			if lync == nil {
				lync = map[string]int{}
			}
			if lync[who.Call] += s.by; lync[who.Call] == 0 {
				delete(lync, who.Call)
			}
			level.Lync += int32(s.by)
			level.Callers = int32(len(lync))
		}
		if i+1 < len(steps) && steps[i+1].at.Equal(s.at) || level.same(last) {
			continue
		}
		f.out.Levels = append(f.out.Levels, level)
		f.out.ParticipantsMax = max(f.out.ParticipantsMax, level.Participants)
		last = level
	}
}
