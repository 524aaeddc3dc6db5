package meeting

import (
	"fmt"
	"strings"
)

// The codes of facts about counts, with the names of their arguments.
const (
	DaysNone       = "no-day-over"         // window
	DaysOver       = "days-over"           // days, window, level
	WorstDay       = "worst-day"           // day, used, entitled, missing
	NextLevel      = "next-level"          // level, days
	LevelFalls     = "level-falls"         // level, day
	Unofficial     = "thresholds"          // thresholds
	KeyMissing     = "key-missing"         // bridge
	KeyOver        = "key-over"            // bridge, day
	NeverShort     = "never-short"         //
	ShortFor       = "short-for"           // times, for
	ShortMost      = "short-most"          // at, used, entitled, missing
	HelpBuy        = "help-buy-shared"     // count
	HelpGive       = "help-give-personal"  // count, first, rest
	HelpGiveAndBuy = "help-give-and-buy"   // count, first, rest
	HelpGiveNobody = "help-give-nobody"    //
	AboveGrant     = "more-than-allocated" // bridge, used, allocated
)

// countText renders the facts about counts.
func (f Fact) countText() string {
	a := func(name string) string { return f.Args[name] }
	switch f.Code {
	case DaysNone:
		return fmt.Sprintf("No day of the last %s was over what was owned.", a("window"))
	case DaysOver:
		return fmt.Sprintf("Days over what was owned: %s of the last %s, which is level %s. No meeting is refused for it.", a("days"), a("window"), a("level"))
	case WorstDay:
		return fmt.Sprintf("The worst day was %s: %s in use, %s owned, %s missing.", a("day"), a("used"), a("entitled"), a("missing"))
	case NextLevel:
		return fmt.Sprintf("Level %s is reached with %s more.", a("level"), plural(a("days"), "day"))
	case LevelFalls:
		return fmt.Sprintf("If no further day is over, the level is %s from %s on, as older days leave the window.", a("level"), a("day"))
	case Unofficial:
		return fmt.Sprintf("The levels begin at %s days. These thresholds are not official and can be set.", a("thresholds"))
	case KeyMissing:
		return fmt.Sprintf("The call bridge %s has no activation key, which puts the bridge that it belongs to at the highest level.", a("bridge"))
	case KeyOver:
		return fmt.Sprintf("The activation key of the call bridge %s ended on %s, which puts the bridge that it belongs to at the highest level.", a("bridge"), a("day"))
	case NeverShort:
		return "There were enough shared licenses all the time."
	case ShortFor:
		return fmt.Sprintf("Shared licenses were short %s, for %s altogether. The meetings took place nevertheless.", plural(a("times"), "time"), a("for"))
	case ShortMost:
		return fmt.Sprintf("The worst moment was %s UTC: %s in use, %s owned, %s missing.", a("at"), a("used"), a("entitled"), a("missing"))
	case HelpBuy:
		return fmt.Sprintf("What would help: %s more than were owned then.", plural(a("count"), "shared license"))
	case HelpGive:
		return fmt.Sprintf("What would help as well: %s for the heaviest hosts without one, %s first. Nothing would have been missing then.",
			plural(a("count"), "personal license"), a("first"))
	case HelpGiveAndBuy:
		return fmt.Sprintf("What would help in part: %s for the hosts without one, %s first, and %s more.",
			plural(a("count"), "personal license"), a("first"), plural(a("rest"), "shared license"))
	case HelpGiveNobody:
		return "Personal licenses would not have helped: none of the meetings has a host who lacks one."
	case AboveGrant:
		return fmt.Sprintf("The bridge %s uses %s and is allocated %s.", a("bridge"), a("used"), a("allocated"))
	default:
		return f.Code
	}
}

// plural writes a number of things.
func plural(n, one string) string {
	if n == "1" {
		return n + " " + one
	}
	return strings.TrimSpace(n) + " " + one + "s"
}
