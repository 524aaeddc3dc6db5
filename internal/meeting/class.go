package meeting

// Class is one of the counters of the snapshots that call bridges keep of their
// own license use. Every segment is counted in exactly one.
type Class string

// The classes.
const (
	ClassPersonal     Class = "pmp"
	ClassFull         Class = "smpFull"
	ClassPointToPoint Class = "smpPtP" // point-to-point and gateway calls with video
	ClassAudio        Class = "smpAud" // audio-only calls
	ClassRecording    Class = "rec"
	ClassStream       Class = "str"
)

// unit is what one meeting or call of the class is charged.
func (c Class) unit() Sixths {
	if c == ClassPointToPoint || c == ClassAudio {
		return 1
	}
	return Full
}

// ClassOf returns the class of what a rule of a policy takes.
func ClassOf(l License, rule string) Class {
	switch {
	case l == Personal:
		return ClassPersonal
	case rule == RuleGateway, rule == RulePointToPoint, rule == RuleLyncGateway:
		return ClassPointToPoint
	case rule == RuleAudio:
		return ClassAudio
	default:
		return ClassFull
	}
}
