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

// HostOf returns whose meeting it is by the facts of its decision, charged or
// not: the owner that they name, or the person who called or booked. It is empty
// when nobody is known.
func HostOf(facts []Fact) string {
	for _, name := range []string{"owner", "user"} {
		for _, f := range facts {
			if host := f.Args[name]; host != "" {
				return host
			}
		}
	}
	return ""
}

// CauseOf returns the code of the fact that made a meeting take a shared license:
// that its host lacks a personal one, else the first.
func CauseOf(facts []Fact) string {
	for _, f := range facts {
		if PersonalWouldHelp(f.Code) {
			return f.Code
		}
	}
	if len(facts) == 0 {
		return ""
	}
	return facts[0].Code
}

// PersonalWouldHelp reports whether a meeting that took a shared license for
// this cause would be charged to its host, had the host a personal one.
func PersonalWouldHelp(cause string) bool {
	switch cause {
	case OwnerWithoutLicense, GUIDWithoutLicense, PassedWithoutLicense:
		return true
	default:
		return false
	}
}
