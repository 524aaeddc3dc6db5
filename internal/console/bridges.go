package console

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
)

// The most rows that the pages of bridges show.
const (
	maxBridges     = 200
	maxDifferences = 20
	maxNamed       = 3 // meetings of a difference
)

// bridgeCard is a bridge, what it is read by, and the policy that decides its meetings.
type bridgeCard struct {
	conference.Bridge
	apis   []conference.BridgeAPI
	policy conference.BridgePolicy
}

// bridgePage is what the page of one bridge shows.
type bridgePage struct {
	bridgeCard
	streams []conference.Stream
	period  period
	counts  *conference.Reconciliation // nil where there is nothing to compare
	missing *license.Error             // why there is not
}

// comparePeriods are the choices of how much of the past counts are compared for.
func comparePeriods() []period {
	return []period{{"", "24 hours", 24}, {"week", "7 days", 7 * 24}, {"month", "30 days", 30 * 24}}
}

// bridges lists the bridges with what is known of their call bridges.
func (c *console) bridges(v *visit) (sheet, error) {
	s := sheet{title: "Bridges", tab: "bridges"}
	enabled, err := c.Conference.Enabled(v.Context(), v.account.ID)
	if err != nil || !enabled {
		s.body = notEnabledBody("Bridges", "Where call-detail records come from, and what call bridges answer.")
		return s, err
	}
	list, err := c.bridgeCards(v)
	s.body = bridgesBody(v, list)
	return s, err
}

func (c *console) bridgeCards(v *visit) ([]bridgeCard, error) {
	all, err := c.Conference.Bridges(v.Context(), v.account.ID, "", maxBridges)
	if err != nil {
		return nil, err
	}
	apis, err := c.Conference.BridgeAPIs(v.Context(), v.account.ID, "")
	if err != nil {
		return nil, err
	}
	policies, err := c.Conference.Policies(v.Context(), v.account.ID)
	if err != nil {
		return nil, err
	}
	out := make([]bridgeCard, len(all))
	for i, b := range all {
		out[i].Bridge = b
		for _, a := range apis {
			if a.Bridge == b.ID {
				out[i].apis = append(out[i].apis, a)
			}
		}
		for _, p := range policies {
			if p.Bridge == b.ID {
				out[i].policy = p
			}
		}
	}
	slices.SortStableFunc(out, func(a, b bridgeCard) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return out, nil
}

// bridge shows one bridge: its call bridges, what their API answers, and its own count beside ours.
func (c *console) bridge(v *visit) (sheet, error) {
	b, streams, err := c.Conference.FindBridge(v.Context(), v.account.ID, v.PathValue("bridge"))
	if err != nil {
		return sheet{}, err
	}
	p := bridgePage{streams: streams, period: comparePeriods()[0]}
	list, err := c.bridgeCards(v)
	if err != nil {
		return sheet{}, err
	}
	if at := slices.IndexFunc(list, func(k bridgeCard) bool { return k.ID == b.ID }); at >= 0 {
		p.bridgeCard = list[at]
	} else {
		p.Bridge = b
	}
	for _, choice := range comparePeriods() {
		if choice.key == v.URL.Query().Get("period") {
			p.period = choice
		}
	}
	s := sheet{title: b.Name, tab: "bridges"}
	if len(p.apis) == 0 { // nothing is read that could be compared
		s.body = bridgeBody(v, p)
		return s, nil
	}
	counts, err := c.Conference.Reconcile(v.Context(), v.account.ID, b.ID, v.now.Add(-time.Duration(p.period.hours)*time.Hour), v.now, maxDifferences)
	if e := license.AsError(err); e != nil && (e.Kind == license.KindRefused || e.Kind == license.KindTooLarge) {
		p.missing, err = e, nil
	} else if err == nil {
		p.counts = &counts
	}
	s.body = bridgeBody(v, p)
	return s, err
}

// actOnBridge does what a form of the page of a bridge asks for.
func (c *console) actOnBridge(v *visit) (sheet, error) {
	if err := v.form(); err != nil {
		return sheet{}, err
	}
	account, err := c.Authority.Scope(v.Context(), v.who, access.Manage, v.account.ID)
	if err != nil {
		return sheet{}, err
	}
	act, bridge := v.PathValue("act"), v.PathValue("bridge")
	if act != "poll" && act != "policy" {
		return sheet{}, license.NotFound("page", act)
	}
	if err := v.sure(); err != nil {
		return sheet{}, err
	}
	if act == "poll" {
		_, err = c.Conference.PollBridgeAPIs(v.Context(), v.who.ID, account, bridge)
	} else {
		_, err = c.Conference.SetPolicy(v.Context(), v.who.ID, account, bridge, v.PostFormValue("policy"), nil)
	}
	return sheet{goTo: v.path("/bridges/" + bridge)}, err
}

// standing colors and words how the APIs of a bridge stand: the worst of them.
func (b bridgeCard) standing() (tone, string) {
	if len(b.apis) == 0 {
		return quiet, "API not read"
	}
	t, word := good, "API answers"
	for _, a := range b.apis {
		switch own, said := apiStanding(a); {
		case own == bad:
			return own, said
		case own != good:
			t, word = own, said
		}
	}
	return t, word
}

func apiStanding(a conference.BridgeAPI) (tone, string) {
	switch {
	case a.Found.Failure != nil && a.Found.AnsweredAt.IsZero():
		return bad, "never answered"
	case a.Found.Failure != nil:
		return bad, "last turn failed"
	case a.Found.AskedAt.IsZero():
		return quiet, "not asked yet"
	case len(a.Found.Advice()) > 0:
		return alert, "answers, look at it"
	}
	return good, "API answers"
}

// policyWord names a policy for people.
func policyWord(p conference.BridgePolicy) string {
	if p.Own {
		return p.Policy.String() + ", of this bridge"
	}
	return p.Policy.String() + ", as for all bridges"
}

// tailWord says whether all records came that the call bridge numbered.
func tailWord(t conference.Tail) string {
	switch t.State {
	case conference.TailComplete:
		return "all came that it numbered"
	case conference.TailWaiting:
		return "some are under way"
	case conference.TailLost:
		return counted(t.Lost, "record did not come", "records did not come")
	case conference.TailRestart:
		return "nothing came since it restarted"
	case conference.TailUnknown:
		return "not known which call bridge this is"
	}
	return "not known"
}

// streamName names a call bridge by its GUID.
func streamName(guid string) string {
	if guid == "" {
		return "without a name"
	}
	return guid
}

// hundredths writes hundredths as a decimal number, without zeros that say nothing.
func hundredths(n int64) string {
	text := strconv.FormatInt(n/100, 10)
	if rest := n % 100; rest != 0 {
		text += strings.TrimRight("."+strconv.FormatInt(100+rest, 10)[1:], "0")
	}
	return text
}

// sixthsOf writes hundredths of a sixth, as call bridges count, in licenses.
func sixthsOf(n int64) string {
	if n%100 == 0 {
		return meeting.Sixths(n / 100).String()
	}
	return hundredths(n/6) + " or so"
}

// classes are the classes of the call bridges' own counters, in the order of the table.
func classes(ours, theirs meeting.Tally) [4][2]int64 {
	return [4][2]int64{{ours.Personal, theirs.Personal}, {ours.Full, theirs.Full}, {ours.PointToPoint, theirs.PointToPoint}, {ours.Audio, theirs.Audio}}
}

// classNames are their names.
var classNames = [4]string{"Personal", "Shared, whole", "Two people", "Sound only"}

// best is the policy that is proposed; nil for none.
func (p bridgePage) best() *conference.PolicyFit {
	for i := range p.counts.Fits {
		if f := &p.counts.Fits[i]; p.counts.Proposed != "" && f.Policy.String() == p.counts.Proposed {
			return f
		}
	}
	return nil
}
