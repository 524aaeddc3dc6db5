package meeting

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawCharges(t *rapid.T) []Charge {
	var charges []Charge
	for range rapid.IntRange(0, 20).Draw(t, "charges") {
		from := rapid.IntRange(-10, 70).Draw(t, "from")
		to := from + rapid.IntRange(0, 30).Draw(t, "length")
		if rapid.IntRange(0, 9).Draw(t, "open") == 0 {
			to = running
		}
		charges = append(charges, stretch(from, to, Sixths(rapid.IntRange(1, 13).Draw(t, "sixths"))))
	}
	return charges
}

// taken is the model: what charges take in one second.
func taken(charges []Charge, sec int) (sum Sixths) {
	for _, c := range charges {
		if !c.From.After(second(sec)) && (c.To.IsZero() || c.To.After(second(sec))) {
			sum += c.Sixths
		}
	}
	return sum
}

// TestRule21Levels: the profile, the levels, the curve and the area say the same as counting second by second.
func TestRule21Levels(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		charges := drawCharges(t)
		want := map[Sixths]time.Duration{}
		var area int64
		for sec := range 60 {
			n := taken(charges, sec)
			want[n] += time.Second
			area += int64(n) * 1000
		}
		profile := Profile(charges, second(0), second(60))
		for i, s := range profile {
			if i > 0 && s.Sixths == profile[i-1].Sixths {
				t.Errorf("steps %d and %d are equal: %v", i-1, i, profile)
			}
		}
		levels := Levels(profile, second(60))
		var sum time.Duration
		for i, l := range levels {
			sum += l.For
			if l.For != want[l.Sixths] || i > 0 && l.Sixths <= levels[i-1].Sixths {
				t.Errorf("got %v, want %v", levels, want)
			}
			if above := Above(levels, l.Sixths); i+1 == len(levels) && above != 0 {
				t.Errorf("above the highest level: got %v", above)
			}
		}
		if len(levels) != len(want) || sum != time.Minute || Used(levels) != area {
			t.Errorf("got %v with area %d, want %v with %d", levels, Used(levels), want, area)
		}
		for i, p := range Curve(levels) {
			var atLeast time.Duration
			for n, d := range want {
				if n >= p.Sixths {
					atLeast += d
				}
			}
			if p.For != atLeast || p.Sixths != levels[len(levels)-1-i].Sixths {
				t.Errorf("curve at %v: got %v, want %v", p.Sixths, p.For, atLeast)
			}
		}
		var sampled Sixths
		for sec := 0; sec < 60; sec += 7 {
			sampled = max(sampled, taken(charges, sec))
		}
		if got := Sampled(profile, second(0), second(60), 7*time.Second); got != sampled {
			t.Errorf("sampled every 7 seconds: got %v, want %v", got, sampled)
		}
		// Two halves come to the whole.
		half := append(Levels(Profile(charges, second(0), second(25)), second(25)), Levels(Profile(charges, second(25), second(60)), second(60))...)
		if got := MergeLevels(half); !slices.Equal(got, levels) {
			t.Errorf("halves: got %v, want %v", got, levels)
		}
	})
}

// TestRule21PeakHasItsMeetings: those who are there at the moment of the peak add up to it.
func TestRule21PeakHasItsMeetings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var takings []Taking
		for i, c := range drawCharges(t) {
			takings = append(takings, Taking{Charge: c, Meeting: fmt.Sprint(i)})
		}
		peak, at := Peak(ChargesOf(takings), second(0), second(60))
		var sum Sixths
		for _, in := range At(takings, at) {
			sum += in.Sixths
		}
		if peak > 0 && sum != peak {
			t.Errorf("got meetings of %v at a peak of %v", sum, peak)
		}
	})
}

func minutes(from, to int, class Class, bridges ...string) Taking {
	s := Taking{Charge: stretch(from*60, to*60, class.unit()), Class: class, Bridges: bridges}
	if to == running {
		s.To = time.Time{}
	}
	return s
}

// TestRule21SnapshotsMissWhatIsBetween: the difference between the exact peak and the one that snapshots see.
func TestRule21SnapshotsMissWhatIsBetween(t *testing.T) {
	t.Parallel()
	takings := []Taking{minutes(0, 20, ClassFull), minutes(1, 4, ClassFull), minutes(6, running, ClassPointToPoint)}
	snapshots := Snapshots(takings, "", second(0), second(3600), SnapshotEvery)
	if len(snapshots) != 12 || snapshots[0].Full != WholeShare || snapshots[1].PointToPoint != 0 || snapshots[2].PointToPoint != WholeShare || snapshots[4].Full != 0 {
		t.Fatalf("got %+v", snapshots)
	}
	profile := Profile(ChargesOf(takings), second(0), second(3600))
	exact, at := Highest(profile)
	if sampled := Sampled(profile, second(0), second(3600), SnapshotEvery); exact != 12 || !at.Equal(second(60)) || sampled != 7 {
		t.Errorf("got %v at %v and %v in snapshots, want 2 after a minute and 1 1/6", exact, at, sampled)
	}
	for i, s := range snapshots {
		if i > 0 && s.Shared() > 7 {
			t.Errorf("a snapshot has %v", s.Shared())
		}
	}
}

func TestSnapshotsAreTheProfile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		charges := drawCharges(t)
		var takings []Taking
		for _, c := range charges {
			takings = append(takings, Taking{Charge: c, Class: rapid.SampledFrom([]Class{ClassFull, ClassAudio, ClassPointToPoint}).Draw(t, "class")})
		}
		for i, s := range Snapshots(takings, "", second(0), second(60), 7*time.Second) {
			if got, want := s.Shared(), taken(charges, 7*i); got != want || !s.At.Equal(second(7*i)) {
				t.Errorf("at %v: got %v, want %v", s.At, got, want)
			}
		}
	})
}

// TestRule22Weighted: the vendor's vector, and the sum of the parts is the number of meetings.
func TestRule22Weighted(t *testing.T) {
	t.Parallel()
	on := func(bridge string, takings []Taking) Share {
		return Snapshots(takings, bridge, second(0), second(60), SnapshotEvery)[0].Full
	}
	vector := []Taking{minutes(0, 60, ClassFull, "1"), minutes(0, 60, ClassFull, "1", "2"), minutes(0, 60, ClassFull, "1", "2")}
	if one, two := on("1", vector), on("2", vector); one != 2*WholeShare || two != WholeShare {
		t.Errorf("got %s and %s, want 2 and 1", one.Decimal(3), two.Decimal(3))
	}
	rapid.Check(t, func(t *rapid.T) {
		var takings []Taking
		for range rapid.IntRange(0, 20).Draw(t, "meetings") {
			var bridges []string
			for i := range rapid.IntRange(1, 24).Draw(t, "bridges") {
				bridges = append(bridges, fmt.Sprint(i))
			}
			takings = append(takings, minutes(0, 60, ClassFull, bridges...))
		}
		var sum Share
		for i := range 24 {
			sum += on(fmt.Sprint(i), takings)
		}
		if sum != Share(len(takings))*WholeShare {
			t.Errorf("got %s, want %d", sum.Decimal(3), len(takings))
		}
	})
	shared := minutes(0, 60, ClassFull, "1", "2", "3")
	if s := Snapshots([]Taking{shared, minutes(0, 60, ClassPersonal, "2")}, "1", second(0), second(60), SnapshotEvery); s[0].Full != WholeShare/3 || s[0].Personal != 0 {
		t.Errorf("got %+v, want a third", s[0])
	}
}

// TestRule26Decimals: snapshots have two decimals.
func TestRule26Decimals(t *testing.T) {
	t.Parallel()
	for share, want := range map[Share]string{0: "0.00", WholeShare: "1.00", WholeShare / 3: "0.33", WholeShare * 2 / 3: "0.67", WholeShare*2 - 1: "2.00", WholeShare * 7 / 2: "3.50"} {
		if got := share.Decimal(2); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := (WholeShare * 2).Decimal(3) + " " + WholeShare.Decimal(0); got != "2.000 1" {
		t.Errorf("got %s", got)
	}
}

// TestRule26Shared: full ones and a sixth for each audio-only and point-to-point call; personal licenses by assignment.
func TestRule26Shared(t *testing.T) {
	t.Parallel()
	s := Snapshot{Full: 2 * WholeShare, Audio: 3 * WholeShare, PointToPoint: 4 * WholeShare, Personal: 9 * WholeShare}
	if got := s.Shared(); got != 19 || got.String() != "3 1/6" {
		t.Errorf("got %v, want 3 1/6", got)
	}
	versions := []Assignment{{second(0), 5}, {second(100), 9}, {second(200), 7}}
	if a, b := AssignedMost(versions, second(-50), second(-10)), AssignedMost(versions, second(50), second(250)); a != 0 || b != 9 {
		t.Errorf("got %d and %d assigned, want 0 and 9", a, b)
	}
	if got := Assigned(versions, second(200)); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
	// Nine users hold a license and eight are owned: over, though nobody is in a meeting.
	if over := (Day{Used: 9 * Full, Entitled: 8}).Over(); over != Full {
		t.Errorf("got %v, want 1", over)
	}
}

func dayAt(n int) time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

// TestRule27Window: days over entitlement in the last 90, with thresholds that can be set; the level drops as the window slides.
func TestRule27Window(t *testing.T) {
	t.Parallel()
	over := func(days ...int) (out []Day) {
		for _, n := range days {
			out = append(out, Day{dayAt(n), 13, 2})
		}
		return out
	}
	span := func(from, to int) (out []int) {
		for n := from; n < to; n++ {
			out = append(out, n)
		}
		return out
	}
	for name, tc := range map[string]struct {
		days       []Day
		today      int
		thresholds Thresholds
		count      int
		level      int
		falls      string
	}{
		"none":                        {[]Day{{dayAt(0), 12, 2}}, 0, DefaultThresholds(), 0, 0, ""},
		"a sixth over is over":        {over(0), 0, DefaultThresholds(), 1, 0, ""},
		"fourteen are notice only":    {over(span(0, 14)...), 20, DefaultThresholds(), 14, 0, ""},
		"fifteen are level 1":         {over(span(0, 15)...), 20, DefaultThresholds(), 15, 1, "0@90"},
		"the first leaves the window": {over(span(0, 15)...), 90, DefaultThresholds(), 14, 0, ""},
		"the day before it":           {over(span(0, 15)...), 89, DefaultThresholds(), 15, 1, "0@90"},
		"forty-five are level 2":      {over(span(0, 50)...), 60, DefaultThresholds(), 50, 2, "1@95 0@125"},
		"ninety are level 3":          {over(span(0, 90)...), 89, DefaultThresholds(), 90, 3, "2@90 1@135 0@165"},
		"own thresholds":              {over(1, 2, 3), 3, Thresholds{1, 2, 3}, 3, 3, "2@91 1@92 0@93"},
		"tomorrow does not count":     {over(5), 4, DefaultThresholds(), 0, 0, ""},
	} {
		got := Stand(tc.days, dayAt(tc.today).Add(15*time.Hour), tc.thresholds)
		var falls []string
		for _, f := range got.Falls {
			falls = append(falls, fmt.Sprintf("%d@%d", f.Level, int(f.On.Sub(dayAt(0))/(24*time.Hour))))
		}
		if len(got.Over) != tc.count || got.Level != tc.level || strings.Join(falls, " ") != tc.falls || len(got.Why) == 0 {
			t.Errorf("%s: got %d days, level %d, falls %q", name, len(got.Over), got.Level, falls)
		}
	}
}

// TestRule27LevelsFall: the announced falls are what a later day finds, if no further day is over.
func TestRule27LevelsFall(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var days []Day
		for n := range 90 {
			days = append(days, Day{dayAt(n), Sixths(rapid.SampledFrom([]int{12, 13}).Draw(t, "used")), 2})
		}
		thresholds := Thresholds{10, 30, 60}
		now := Stand(days, dayAt(89), thresholds)
		for _, f := range now.Falls {
			if before, on := Stand(days, f.On.AddDate(0, 0, -1), thresholds), Stand(days, f.On, thresholds); before.Level <= f.Level || on.Level != f.Level {
				t.Errorf("level %d on %v: got %d the day before and %d then", f.Level, f.On, before.Level, on.Level)
			}
		}
		count := 0
		for _, d := range days {
			if d.Used > Sixths(d.Entitled)*Full {
				count++
			}
		}
		if len(now.Over) != count || now.Level != thresholds.Level(count) || len(now.Falls) != now.Level {
			t.Errorf("got %d days and level %d with %d falls, want %d days", len(now.Over), now.Level, len(now.Falls), count)
		}
	})
	for _, bad := range []Thresholds{{}, {0, 1, 2}, {1, 1, 2}, {1, 3, 2}, {1, 2, 91}} {
		if bad.Valid() {
			t.Errorf("%v is taken", bad)
		}
	}
	if !DefaultThresholds().Valid() || DefaultThresholds().String() != "15, 45 and 90" {
		t.Error("the defaults are not valid")
	}
}

// TestRule28Activation: one call bridge without its key puts the cluster at the highest level.
func TestRule28Activation(t *testing.T) {
	t.Parallel()
	now := dayAt(10)
	for name, tc := range map[string]struct {
		keys  []Key
		level int
		why   []string
	}{
		"nothing known":  {nil, 0, nil},
		"all there":      {[]Key{{Bridge: "a", Present: true}, {Bridge: "b", Present: true, Until: dayAt(11)}}, 0, nil},
		"one is missing": {[]Key{{Bridge: "a", Present: true}, {Bridge: "b"}}, HighestLevel, []string{KeyMissing}},
		"one has ended":  {[]Key{{Bridge: "a", Present: true, Until: now}}, HighestLevel, []string{KeyOver}},
	} {
		level, why := Activation(tc.keys, now)
		if level != tc.level || !slices.Equal(codes(why), tc.why) {
			t.Errorf("%s: got level %d because %q", name, level, codes(why))
		}
	}
}

// TestRule29Push: never later than 90 days ahead; a missed renewal lets every feature expire by itself.
func TestRule29Push(t *testing.T) {
	t.Parallel()
	features := []Feature{{"callBridge", true, time.Time{}}, {"recording", true, dayAt(30)}, {"customizations", false, time.Time{}}}
	show := func(renewed, now time.Time) string {
		var out []string
		for _, p := range Push(features, renewed, now) {
			expiry := "-"
			if !p.Expiry.IsZero() {
				expiry = fmt.Sprint(int(p.Expiry.Sub(dayAt(0)) / (24 * time.Hour)))
			}
			out = append(out, p.Name+" "+p.Status+" "+expiry)
		}
		return strings.Join(out, ", ")
	}
	for _, tc := range []struct {
		renewed, now time.Time
		want         string
	}{
		{dayAt(0), dayAt(0), "callBridge activated 90, recording activated 30, customizations noLicense -"},
		{dayAt(0), dayAt(30), "callBridge activated 90, recording expired 30, customizations noLicense -"},
		{dayAt(0), dayAt(90), "callBridge expired 90, recording expired 30, customizations noLicense -"},
		{dayAt(20), dayAt(90), "callBridge activated 110, recording expired 30, customizations noLicense -"},
		{time.Time{}, dayAt(0), "callBridge noLicense -, recording noLicense -, customizations noLicense -"},
	} {
		if got := show(tc.renewed, tc.now); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		until := dayAt(rapid.IntRange(0, 400).Draw(t, "until"))
		now := dayAt(rapid.IntRange(0, 200).Draw(t, "now"))
		if p := Push([]Feature{{"x", true, until}}, now, now)[0]; p.Expiry.After(now.Add(PushLife)) || p.Expiry.After(until) {
			t.Errorf("got %v at %v", p.Expiry, now)
		}
	})
}

// TestRule30Allocation: never more than the total, what is left is shown, and a total that shrinks is shown too.
func TestRule30Allocation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(0, 20).Draw(t, "total")
		a := Allot(total, nil)
		for range rapid.IntRange(0, 10).Draw(t, "changes") {
			cluster, n := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "cluster"), rapid.Int64Range(-2, 12).Draw(t, "quantity")
			after, ok := a.Allocate(cluster, n)
			var others int64
			for c, q := range a.Allocated {
				if c != cluster {
					others += q
				}
			}
			if want := n >= 0 && others+n <= total; ok != want {
				t.Errorf("%d for %s of %+v: got %v, want %v", n, cluster, a, ok, want)
			}
			a = after
			var sum int64
			for _, q := range a.Allocated {
				sum += q
			}
			if sum > total || a.Unallocated != total-sum || a.Excess != 0 {
				t.Errorf("got %+v", a)
			}
		}
	})
	a := Allot(3, map[string]int64{"a": 2, "b": 3})
	if a.Excess != 2 || a.Unallocated != 0 {
		t.Errorf("got %+v, want an excess of 2", a)
	}
	if b, ok := a.Allocate("b", 2); !ok || b.Excess != 1 {
		t.Errorf("less for one cluster is taken even though all have too much: got %+v, %v", b, ok)
	}
}

// TestEntitlementMoves: what is owned follows the lots in and out.
func TestEntitlementMoves(t *testing.T) {
	t.Parallel()
	grants := []Grant{{5, dayAt(0), dayAt(10)}, {-2, dayAt(5), dayAt(10)}, {4, dayAt(8), time.Time{}}}
	for n, want := range map[int]int64{-1: 0, 0: 5, 5: 3, 8: 7, 10: 4} {
		if got := Entitled(grants, dayAt(n)); got != want {
			t.Errorf("day %d: got %d, want %d", n, got, want)
		}
	}
	if got := EntitledMost(grants, dayAt(4), dayAt(9)); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
}

// TestShortagesSecondBySecond: a shortage is where more is taken than is owned, and nowhere else.
func TestShortagesSecondBySecond(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		charges := drawCharges(t)
		var grants []Grant
		for range rapid.IntRange(0, 4).Draw(t, "grants") {
			from := rapid.IntRange(-5, 60).Draw(t, "begins")
			grants = append(grants, Grant{rapid.Int64Range(-1, 3).Draw(t, "quantity"), second(from), second(from + rapid.IntRange(0, 50).Draw(t, "lasts"))})
		}
		got := Shortages(charges, grants, second(0), second(60))
		for sec := range 60 {
			n, owned := taken(charges, sec), Entitled(grants, second(sec))
			i := slices.IndexFunc(got, func(s Shortage) bool { return !s.From.After(second(sec)) && s.To.After(second(sec)) })
			if (i >= 0) != (n > Sixths(owned)*Full) || i >= 0 && (got[i].Entitled != owned || got[i].Most < n) {
				t.Errorf("second %d: %v taken, %d owned, got %+v", sec, n, owned, got)
			}
		}
		for _, s := range got {
			if taken(charges, int(s.At.Sub(began)/time.Second)) != s.Most {
				t.Errorf("the most of %+v is not there", s)
			}
		}
	})
}

func hostedBy(host, id string, from, to int, cause string) Taking {
	return Taking{Charge: stretch(from, to, Full), Meeting: id, Host: host, Cause: cause, Class: ClassFull}
}

func anyHost(*Taking) bool { return true }

// TestAdvice: what to buy, whom to give a personal license, and why.
func TestAdvice(t *testing.T) {
	t.Parallel()
	owned := []Grant{{1, second(-1000), time.Time{}}}
	takings := []Taking{
		hostedBy("ana", "1", 0, 60, OwnerWithoutLicense), hostedBy("ben", "2", 10, 50, OwnerWithoutLicense),
		hostedBy("ana", "3", 20, 30, OwnerWithoutLicense), hostedBy("", "4", 25, 26, SpaceWithoutOwner), hostedBy("eve", "5", 90, 99, OwnerWithoutLicense),
	}
	got := Advise(takings, owned, second(0), second(100), anyHost)
	if len(got.Shortages) != 1 || got.Short != 40*time.Second || got.Buy != 3 || !got.Shortages[0].At.Equal(second(25)) {
		t.Errorf("got %+v", got)
	}
	if want := []Candidate{{"ana", 2, 40 * time.Second}, {"ben", 1, 40 * time.Second}}; !slices.Equal(got.Give, want) || !got.Removes || got.Rest != 0 {
		t.Errorf("got %+v, want %+v", got.Give, want)
	}
	if want := []Cause{{OwnerWithoutLicense, 3}, {SpaceWithoutOwner, 1}}; !slices.Equal(got.Causes, want) {
		t.Errorf("got %+v, want %+v", got.Causes, want)
	}
	if want := []string{ShortFor, ShortMost, HelpBuy, HelpGive}; !slices.Equal(codes(got.Why), want) {
		t.Errorf("got %q, want %q", codes(got.Why), want)
	}
	enough := Advise(takings, []Grant{{4, second(-1), time.Time{}}}, second(0), second(100), anyHost)
	if enough.Buy != 0 || len(enough.Give) != 0 || !slices.Equal(codes(enough.Why), []string{NeverShort}) {
		t.Errorf("got %+v, want nothing", enough)
	}
	nobody := Advise(takings, nil, second(0), second(100), func(*Taking) bool { return false })
	if len(nobody.Give) != 0 || nobody.Removes || nobody.Rest != 4 || nobody.Buy != 4 {
		t.Errorf("got %+v, want four to buy", nobody)
	}
}

// TestAdviceHolds: buying what it says, or giving what it says, leaves what it says.
func TestAdviceHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var takings []Taking
		for i, c := range drawCharges(t) {
			takings = append(takings, Taking{Charge: c, Meeting: fmt.Sprint(i), Host: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "host")})
		}
		owned := rapid.Int64Range(0, 3).Draw(t, "owned")
		with := func(n int64) []Grant { return []Grant{{n, second(-10), time.Time{}}} }
		got := Advise(takings, with(owned), second(0), second(60), anyHost)
		if s := Shortages(ChargesOf(takings), with(owned+got.Buy), second(0), second(60)); len(s) > 0 {
			t.Errorf("with %d more: still short %+v", got.Buy, s)
		}
		if s := Shortages(ChargesOf(takings), with(owned+got.Buy-1), second(0), second(60)); got.Buy > 0 && len(s) == 0 {
			t.Errorf("%d are more than needed", got.Buy)
		}
		left := slices.DeleteFunc(slices.Clone(takings), func(c Taking) bool {
			return slices.ContainsFunc(got.Give, func(g Candidate) bool { return g.Host == c.Host })
		})
		var rest int64
		for _, s := range Shortages(ChargesOf(left), with(owned), second(0), second(60)) {
			rest = max(rest, s.Missing())
		}
		if rest != got.Rest || got.Removes != (rest == 0) {
			t.Errorf("after giving to %+v: got %d missing, said %d", got.Give, rest, got.Rest)
		}
	})
}

func TestEveryCountCodeHasASentence(t *testing.T) {
	t.Parallel()
	for _, code := range []string{DaysNone, DaysOver, WorstDay, NextLevel, LevelFalls, Unofficial, KeyMissing, KeyOver, NeverShort, ShortFor, ShortMost, HelpBuy,
		HelpGive, HelpGiveAndBuy, HelpGiveNobody, AboveGrant} {
		if text := (Fact{Code: code, Args: map[string]string{"days": "1"}}).Text(); !strings.HasSuffix(text, ".") || strings.Contains(text, "%!") || strings.Contains(text, "cluster") {
			t.Errorf("%s: %q", code, text)
		}
	}
}
