package meeting

import (
	"slices"
	"strconv"
	"time"
)

// WindowDays is for how many days a day over the entitlement counts, the
// present one among them.
const WindowDays = 90

// Thresholds are the days over entitlement within the window from which levels
// 1, 2 and 3 hold. The defaults are not official: they are recalled and
// confirmed by no published text.
type Thresholds [3]int

// DefaultThresholds are 15, 45 and 90 days.
func DefaultThresholds() Thresholds { return Thresholds{15, 45, 90} }

// Valid reports whether the thresholds ascend within the window.
func (t Thresholds) Valid() bool {
	return t[0] >= 1 && t[0] < t[1] && t[1] < t[2] && t[2] <= WindowDays
}

// Level is the level of so many days over entitlement: 0 to 3.
func (t Thresholds) Level(days int) int {
	level := 0
	for level < len(t) && days >= t[level] {
		level++
	}
	return level
}

// String writes the thresholds as "15, 45 and 90".
func (t Thresholds) String() string {
	return strconv.Itoa(t[0]) + ", " + strconv.Itoa(t[1]) + " and " + strconv.Itoa(t[2])
}

// Grant is a quantity that is owned within [From, To): a part of a lot, or below
// zero what left again.
type Grant struct {
	Quantity int64
	From     time.Time
	To       time.Time // zero for never
}

// Entitled is what grants come to at an instant.
func Entitled(grants []Grant, at time.Time) int64 {
	var sum int64
	for _, g := range grants {
		if !at.Before(g.From) && (g.To.IsZero() || at.Before(g.To)) {
			sum += g.Quantity
		}
	}
	return max(0, sum)
}

// EntitledMost is the most that was owned at an instant of [from, to).
func EntitledMost(grants []Grant, from, to time.Time) int64 {
	most := Entitled(grants, from)
	for _, g := range grants {
		for _, at := range []time.Time{g.From, g.To} {
			if at.After(from) && at.Before(to) {
				most = max(most, Entitled(grants, at))
			}
		}
	}
	return most
}

// EntitledLeast is the least that was owned at an instant of [from, to).
func EntitledLeast(grants []Grant, from, to time.Time) int64 {
	least := Entitled(grants, from)
	for _, g := range grants {
		for _, at := range []time.Time{g.From, g.To} {
			if at.After(from) && at.Before(to) {
				least = min(least, Entitled(grants, at))
			}
		}
	}
	return least
}

// Assignment is the number of users who hold a personal license from an instant
// on, by a version of the directory.
type Assignment struct {
	From  time.Time
	Users int64
}

// Assigned is the number of users who hold a personal license at an instant;
// versions ascend in time.
func Assigned(versions []Assignment, at time.Time) int64 {
	var users int64
	for _, v := range versions {
		if v.From.After(at) {
			break
		}
		users = v.Users
	}
	return users
}

// AssignedMost is the most users who held one at an instant of [from, to).
func AssignedMost(versions []Assignment, from, to time.Time) int64 {
	most := Assigned(versions, from)
	for _, v := range versions {
		if v.From.After(from) && v.From.Before(to) {
			most = max(most, v.Users)
		}
	}
	return most
}

// Day is the use of one license on one UTC day, in sixths, against what was
// owned: the peak of shared licenses, the assigned users of personal ones.
type Day struct {
	Date     time.Time // its first instant
	Used     Sixths
	Entitled int64
}

// Over is by how much the day was over the entitlement; zero when it was not.
// Sixths are compared exactly: rounding the use up first comes to the same days.
func (d Day) Over() Sixths { return max(0, d.Used-Sixths(d.Entitled)*Full) }

// Fall says on which day a level will have dropped, if no further day is over.
type Fall struct {
	Level int
	On    time.Time
}

// Standing is how a license stands in the window (domain rule 27). It restricts
// no meeting: levels are for people to act on.
type Standing struct {
	From, To time.Time // the window, in days: [From, To)
	Over     []Day     // the days over entitlement, the oldest first
	Level    int
	Falls    []Fall
	Why      []Fact
}

// Stand counts the days over entitlement in the window that ends with today. A
// day may stand in days at most once; those outside the window do not count.
func Stand(days []Day, today time.Time, t Thresholds) Standing {
	today = today.UTC().Truncate(24 * time.Hour)
	s := Standing{From: today.AddDate(0, 0, 1-WindowDays), To: today.AddDate(0, 0, 1)}
	for _, d := range days {
		if d.Over() > 0 && !d.Date.Before(s.From) && d.Date.Before(s.To) {
			s.Over = append(s.Over, d)
		}
	}
	slices.SortFunc(s.Over, func(a, b Day) int { return a.Date.Compare(b.Date) })
	s.Level = t.Level(len(s.Over))
	for level := s.Level; level > 0; level-- {
		// The day that leaves the window when too few stay.
		leaves := s.Over[len(s.Over)-t[level-1]]
		s.Falls = append(s.Falls, Fall{level - 1, leaves.Date.AddDate(0, 0, WindowDays)})
	}
	s.Why = s.explain(t)
	return s
}

func (s *Standing) explain(t Thresholds) []Fact {
	n := len(s.Over)
	if n == 0 {
		return []Fact{{DaysNone, map[string]string{"window": strconv.Itoa(WindowDays)}}}
	}
	worst := slices.MaxFunc(s.Over, func(a, b Day) int { return int(a.Over() - b.Over()) })
	why := []Fact{
		{DaysOver, map[string]string{"days": strconv.Itoa(n), "window": strconv.Itoa(WindowDays), "level": strconv.Itoa(s.Level)}},
		{WorstDay, map[string]string{"day": worst.Date.Format(time.DateOnly), "used": worst.Used.String(),
			"entitled": strconv.FormatInt(worst.Entitled, 10), "missing": strconv.FormatInt(worst.Over().Licenses(), 10)}},
	}
	if s.Level < len(t) {
		why = append(why, Fact{NextLevel, map[string]string{"level": strconv.Itoa(s.Level + 1), "days": strconv.Itoa(t[s.Level] - n)}})
	}
	for _, f := range s.Falls {
		why = append(why, Fact{LevelFalls, map[string]string{"level": strconv.Itoa(f.Level), "day": f.On.Format(time.DateOnly)}})
	}
	return append(why, Fact{Unofficial, map[string]string{"thresholds": t.String()}})
}

// HighestLevel is the level of a cluster one of whose call bridges lacks its
// activation key.
const HighestLevel = 3

// Key is what is known of the activation key of one call bridge.
type Key struct {
	Bridge  string
	Present bool
	Until   time.Time // zero for no end
	Read    bool      // the call bridge itself said so; otherwise a person did
}

// Valid reports whether the key is there at an instant.
func (k Key) Valid(now time.Time) bool {
	return k.Present && (k.Until.IsZero() || now.Before(k.Until))
}

// Activation is the level that the keys of a cluster put it at: the highest when
// one is missing or over, none otherwise, and which ones those are (domain rule 28).
func Activation(keys []Key, now time.Time) (level int, why []Fact) {
	for _, k := range keys {
		switch {
		case k.Valid(now):
			continue
		case !k.Present:
			why = append(why, Fact{KeyMissing, map[string]string{"bridge": k.Bridge}})
		default:
			why = append(why, Fact{KeyOver, map[string]string{"bridge": k.Bridge, "day": k.Until.UTC().Format(time.DateOnly)}})
		}
		level = HighestLevel
	}
	return level, why
}

// PushLife is how far ahead a license that is pushed to a cluster may end: what
// renews it may be away for so long.
const PushLife = 90 * 24 * time.Hour

// The states of a pushed feature, in the words of call bridges.
const (
	FeatureNone      = "noLicense"
	FeatureActivated = "activated"
	FeatureExpired   = "expired"
)

// Feature is one feature of a license that is pushed to a cluster.
type Feature struct {
	Name  string
	Owned bool
	Until time.Time // of what is owned; zero for no end
}

// Pushed is a feature as the cluster has it.
type Pushed struct {
	Name   string
	Status string
	Expiry time.Time // zero for a feature that is not owned
}

// Push is what a license that was renewed last at an instant says now: each
// feature ends with what is owned, and never later than 90 days after the
// renewal. One that ended is expired, whatever the others are (domain rule 29).
func Push(features []Feature, renewed, now time.Time) []Pushed {
	out := make([]Pushed, len(features))
	for i, f := range features {
		out[i] = Pushed{Name: f.Name, Status: FeatureNone}
		if !f.Owned || renewed.IsZero() {
			continue
		}
		end := renewed.Add(PushLife)
		if !f.Until.IsZero() && f.Until.Before(end) {
			end = f.Until
		}
		out[i].Status, out[i].Expiry = FeatureActivated, end
		if !now.Before(end) {
			out[i].Status = FeatureExpired
		}
	}
	return out
}

// Allocation is what of a purchased total is set aside for clusters.
type Allocation struct {
	Purchased   int64
	Allocated   map[string]int64 // by cluster
	Unallocated int64            // never below zero
	Excess      int64            // allocated beyond the total, when that became smaller
}

// Allocate sets what one cluster gets. ok is false, and nothing changes, when all
// together would get more than the total (domain rule 30).
func (a Allocation) Allocate(cluster string, quantity int64) (after Allocation, ok bool) {
	sum := quantity
	for c, n := range a.Allocated {
		if c != cluster {
			sum += n
		}
	}
	if quantity < 0 || sum > a.Purchased && quantity > a.Allocated[cluster] {
		return a, false
	}
	next := map[string]int64{}
	for c, n := range a.Allocated {
		next[c] = n
	}
	delete(next, cluster)
	if quantity > 0 {
		next[cluster] = quantity
	}
	return Allot(a.Purchased, next), true
}

// Allot says how an allocation stands to the total.
func Allot(purchased int64, allocated map[string]int64) Allocation {
	a := Allocation{Purchased: purchased, Allocated: allocated}
	left := purchased
	for _, n := range allocated {
		left -= n
	}
	a.Unallocated, a.Excess = max(0, left), max(0, -left)
	return a
}
