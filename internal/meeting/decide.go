package meeting

import (
	"time"
)

// pointToPointMax is the most participants of a point-to-point call; recorders
// and streamers count (domain rule 19).
const pointToPointMax = 2

// Decide applies a policy to a call. A decision cannot fail: what is not known
// makes it say so and take a shared license, and a policy that Check refuses
// decides like owner-first.
func Decide(p Policy, c Call, d *Directory) Decision {
	pl := planOf(&p, &c, d)
	out := Decision{Policy: p, DirectoryVersion: d.Version(), Segments: pl.segments(&c), Why: pl.why}
	if len(out.Segments) == 0 {
		code := NobodyJoined
		if c.End.IsZero() {
			code = NobodyYet
		}
		out.Why = append(out.Why[:len(out.Why):len(out.Why)], Fact{Code: code})
	}
	return out
}

// NeedsMembers reports whether Decide looks at Call.Members.
func (p Policy) NeedsMembers() bool { return p.Name == NameMemberFirst }

// charge is what a meeting takes at some level.
type charge struct {
	license License
	sixths  Sixths
	user    string
	rule    string
	why     []Fact
}

// plan is what a call takes at each level.
type plan struct {
	options Options
	why     []Fact // what holds for the whole call
	whole   charge
	pairs   bool // at most two participants are a point-to-point call
	shared  bool // whole is a shared license that gives way to sixths
	owners  bool // the policy asks whom call control passes
	lync    string

	tried, help  []Fact    // why no personal license applies, and what would make one apply
	small, sound charge    // made when they are needed, and whole if pairs
	flip         time.Time // from then on it is after, unless zero
	after        charge
}

// The facts of calls about which there is nothing else to say.
var (
	gatewayWhy     = []Fact{{Code: GatewayCall}}
	lyncGatewayWhy = []Fact{{Code: LyncGatewayCall}}
	clusterWhy     = []Fact{{Code: LyncCall}, {Code: TakesShared}}
	callBridgeWhy  = []Fact{{Code: LyncCall}, {Code: LyncCallers}}
)

func planOf(p *Policy, c *Call, d *Directory) plan {
	pl := plan{options: p.Options}
	switch {
	case c.Type == TypeGateway:
		pl.fix(charge{Shared, 1, "", RuleGateway, gatewayWhy})
	case c.Type == TypeLync && pl.options.LyncMode == LyncGateway:
		pl.fix(charge{Shared, 1, "", RuleLyncGateway, lyncGatewayWhy})
		pl.lync = LyncGateway
	case c.Type == TypeLync && pl.options.LyncMode == LyncCallBridge:
		pl.fix(charge{Shared, Full, "", RuleDualHome, callBridgeWhy})
		pl.lync = LyncCallBridge
	case c.Type == TypeLync:
		pl.fix(charge{Shared, Full, "", RuleDualHome, clusterWhy})
	case p.Name == NameMemberFirst:
		pl.memberFirst(c, d)
	default:
		pl.ownerFirst(c, d)
	}
	return pl
}

// fix makes the call take the same at every level.
func (pl *plan) fix(one charge) {
	pl.whole, pl.why = one, one.why
}

// share makes the call take a shared license, or a sixth of one where its size
// or its sound allows that. tried says whose personal licenses do not apply,
// help what would make one apply.
func (pl *plan) share(c *Call, tried, help []Fact) {
	pl.shared = true
	pl.pairs = c.Type == TypeAdHoc && c.Space == "" || c.Space != "" && pl.options.SpacePairs
	switch {
	case c.Type == "" && c.Space == "":
		tried = []Fact{{Code: TypeNotKnown}}
	case c.Type == "":
		tried = append(tried, Fact{Code: TypeNotKnown})
	case c.Space == "" && c.Type != TypeAdHoc:
		tried = append(tried, Fact{NotAdHoc, map[string]string{"type": c.Type}})
	}
	pl.tried, pl.help = tried, help
	if pl.pairs {
		pl.why = pl.because()
	} else {
		pl.why = pl.because(TakesShared)
		pl.whole = charge{Shared, Full, "", RuleShared, pl.why}
	}
}

// because returns the facts of a shared license with some in their middle.
func (pl *plan) because(codes ...string) []Fact {
	out := append(make([]Fact, 0, len(pl.tried)+len(codes)+len(pl.help)), pl.tried...)
	for _, code := range codes {
		out = append(out, Fact{Code: code})
	}
	return append(out, pl.help...)
}

// take returns what the call takes at a level.
func (pl *plan) take(c *Call, l *Level) *charge {
	switch {
	case pl.lync == LyncGateway:
		pl.whole.sixths = Sixths(max(int32(l.Participants)-l.Lync-l.Media, 0))
		return &pl.whole
	case pl.lync == LyncCallBridge:
		pl.whole.sixths = Full * Sixths(max(l.Callers, 1))
		return &pl.whole
	case !pl.shared:
		return &pl.whole
	case !pl.options.AudioWhole && l.Audio > 0 && int(l.Audio+l.Media) == l.Participants:
		if pl.sound.sixths == 0 {
			pl.sound = charge{Shared, 1, "", RuleAudio, pl.because(AudioOnly)}
		}
		return &pl.sound
	case pl.pairs && l.Participants <= pointToPointMax:
		if pl.small.sixths == 0 {
			code := PointToPoint
			if c.Space != "" {
				code = SpacePair
			}
			pl.small = charge{Shared, 1, "", RulePointToPoint, pl.because(code)}
		}
		return &pl.small
	case pl.whole.sixths == 0:
		pl.whole = charge{Shared, Full, "", RuleShared, pl.because(MoreThanTwo, TakesShared)}
		if c.Type == TypeAdHoc && c.Space == "" && c.OwnerName == "" && pl.owners {
			pl.whole.why = pl.because(MoreThanTwo, AdHocNobody, TakesShared, HelpCallControl)
		}
	}
	return &pl.whole
}

// segments lays the plan over the participants, where there are any.
func (pl *plan) segments(c *Call) []Segment {
	var out []Segment
	for i := range c.Levels {
		level := &c.Levels[i]
		from, to := level.At, c.End
		if i+1 < len(c.Levels) && (to.IsZero() || c.Levels[i+1].At.Before(to)) {
			to = c.Levels[i+1].At
		}
		if level.Participants < 1 || !to.IsZero() && !to.After(from) {
			continue
		}
		flips := !pl.flip.IsZero()
		switch {
		case flips && !from.Before(pl.flip):
			out = appendSegment(out, from, to, &pl.after)
		case flips && (to.IsZero() || to.After(pl.flip)):
			out = appendSegment(out, from, pl.flip, pl.take(c, level))
			out = appendSegment(out, pl.flip, to, &pl.after)
		default:
			out = appendSegment(out, from, to, pl.take(c, level))
		}
	}
	return out
}

func appendSegment(out []Segment, from, to time.Time, take *charge) []Segment {
	if take.sixths < 1 {
		return out
	}
	if n := len(out); n > 0 {
		last := &out[n-1]
		if last.To.Equal(from) && last.Rule == take.rule && last.Sixths == take.sixths && last.User == take.user {
			last.To = to
			return out
		}
	}
	return append(out, Segment{From: from, To: to, License: take.license, Sixths: take.sixths,
		User: take.user, Rule: take.rule, Why: take.why})
}
