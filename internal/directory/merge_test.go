package directory

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func users(jids ...string) []User {
	var out []User
	for _, j := range jids {
		out = append(out, User{JID: j})
	}
	return out
}

// TestRule33Precedence: what a source says wins over its tenant's default, and that over the system's.
func TestRule33Precedence(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		source, tenant, system Flag
		want                   bool
		level                  string
	}{
		"nobody says anything":       {Inherit, "", "", false, LevelNobody},
		"the system":                 {Inherit, "", Yes, true, LevelSystem},
		"the tenant over the system": {Inherit, No, Yes, false, LevelTenant},
		"the tenant inherits":        {Inherit, Inherit, Yes, true, LevelSystem},
		"the source over the tenant": {Yes, No, No, true, LevelSource},
		"the source says no":         {No, Yes, Yes, false, LevelSource},
		"the source of old":          {"", Yes, No, true, LevelTenant},
	} {
		got := Merge([]Source{{Kind: LDAP, ID: "1", Tenant: "t", Personal: tc.source, Users: users("a@x")}, {Kind: LDAP, ID: "2", Users: users("b@x")}},
			Defaults{System: tc.system, Tenants: map[string]Flag{"t": tc.tenant}})
		if p := got.People[0]; p.License != tc.want || p.Level != tc.level || len(got.Clashes) != 0 {
			t.Errorf("%s: got %+v, clashes %v", name, p, got.Clashes)
		}
		d := Defaults{System: tc.system, Tenants: map[string]Flag{"t": tc.tenant}}
		if got, want := d.InForce("t"), FlagOf(tc.tenant == Yes || tc.tenant != No && tc.system == Yes); got != want {
			t.Errorf("%s: %q is in force for the tenant, want %q", name, got, want)
		}
		if got, want := d.InForce(""), FlagOf(tc.system == Yes); got != want {
			t.Errorf("%s: %q is in force for the system, want %q", name, got, want)
		}
	}
}

// TestRule33TwoSources: a user matched by two sources is resolved the same way always, and reported when they differ on the
// level that decides.
func TestRule33TwoSources(t *testing.T) {
	t.Parallel()
	all := Source{Kind: LDAP, ID: "1", Name: "everybody", Personal: Inherit, Users: []User{{JID: "a@x", Name: "From LDAP", GUID: "g"}}}
	no := Source{Kind: LDAP, ID: "2", Name: "no", Personal: No, Users: users("a@x")}
	yes := Source{Kind: LDAP, ID: "3", Name: "yes", Personal: Yes, Users: users("a@x")}
	file := Source{Kind: File, Users: []User{{JID: "a@x", Personal: No, Name: "From the file"}}}
	bridge := Source{Kind: Bridge, ID: "b", Name: "main", Users: []User{{JID: "a@x", Personal: Yes}}}
	for name, tc := range map[string]struct {
		sources []Source
		want    bool
		by      string
		clashes []Clash
	}{
		"a group over everybody":    {[]Source{all, yes}, true, "ldap yes", nil},
		"yes wins among equals":     {[]Source{no, yes}, true, "ldap yes", []Clash{{ClashLicense, "a@x", "ldap yes", "ldap no"}}},
		"the file wins":             {[]Source{all, yes, file, bridge}, false, "the directory file", []Clash{{ClashLicense, "a@x", "the directory file", "callbridge main"}, {ClashLicense, "a@x", "the directory file", "ldap yes"}}},
		"LDAP over the call bridge": {[]Source{bridge, no}, false, "ldap no", []Clash{{ClashLicense, "a@x", "ldap no", "callbridge main"}}},
		"a bridge over a default":   {[]Source{bridge, all}, true, "callbridge main", nil},
	} {
		for range 10 {
			rand.Shuffle(len(tc.sources), func(i, j int) { tc.sources[i], tc.sources[j] = tc.sources[j], tc.sources[i] })
			got := Merge(tc.sources, Defaults{System: No})
			if p := got.People[0]; len(got.People) != 1 || p.License != tc.want || p.By != tc.by || !reflect.DeepEqual(got.Clashes, tc.clashes) {
				t.Fatalf("%s: got %+v, clashes %+v", name, got.People, got.Clashes)
			}
		}
	}
	// What a tenant says wins over what the system says, also between sources.
	tenant := Source{Kind: LDAP, ID: "4", Name: "tenant", Tenant: "t", Users: users("a@x")}
	for _, says := range []Flag{Yes, No} {
		d := Defaults{System: FlagOf(says == No), Tenants: map[string]Flag{"t": says}}
		if p := Merge([]Source{all, tenant}, d).People[0]; p.License != (says == Yes) || p.Level != LevelTenant || p.By != "ldap tenant" {
			t.Errorf("the tenant says %s, the system the opposite: got %+v", says, p)
		}
	}
	if p := Merge([]Source{all, file}, Defaults{}).People[0]; p.Name != "From the file" || p.GUID != "g" {
		t.Errorf("what one source lacks another gives: got %+v", p)
	}
}

// TestRule32TwoPeopleOneJID: the same JID with another GUID in another source is another person, and is reported.
func TestRule32TwoPeopleOneJID(t *testing.T) {
	t.Parallel()
	const stored, numbers = "33221100-5544-7766-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff"
	got := Merge([]Source{
		{Kind: LDAP, ID: "1", Name: "east", Users: []User{{JID: "a@x", GUID: numbers}, {JID: "b@x", GUID: numbers[:35] + "0"}}},
		{Kind: LDAP, ID: "2", Name: "west", Users: []User{{JID: "a@x", GUID: stored}, {JID: "b@x", GUID: numbers[:35] + "1"}}},
	}, Defaults{})
	if want := []Clash{{ClashPerson, "b@x", "ldap east", "ldap west"}}; !reflect.DeepEqual(got.Clashes, want) || len(got.People) != 2 {
		t.Errorf("got %+v, want %+v", got.Clashes, want)
	}
}

func TestMergeReportsSharedIdentifiers(t *testing.T) {
	t.Parallel()
	got := Merge([]Source{
		{Kind: LDAP, Users: []User{{JID: "a@x", GUID: "g", UserID: "Ines"}, {JID: "b@x", GUID: "g"}, {JID: "c@x", UserID: "ines"}}, Spaces: []Space{{ID: "s", Owner: "a@x"}}},
		{Kind: File, Spaces: []Space{{ID: "s", Name: "Daily"}, {ID: "t", Owner: "b@x"}}, Devices: []Device{{"room", "a@x"}}},
	}, Defaults{})
	if want := []Clash{{ClashGUID, "g", "a@x", "b@x"}, {ClashUserID, "ines", "a@x", "c@x"}}; !reflect.DeepEqual(got.Clashes, want) {
		t.Errorf("got %+v, want %+v", got.Clashes, want)
	}
	file := Origin{Kind: File, Label: "the directory file"}
	ldap := Origin{Kind: LDAP, Label: "ldap "}
	if want := []KnownSpace{{Space{"s", "Daily", "a@x"}, "ldap ", []Origin{file, ldap}}, {Space{"t", "", "b@x"}, file.Label, []Origin{file}}}; !reflect.DeepEqual(got.Spaces, want) || len(got.Devices) != 1 {
		t.Errorf("got %+v and %+v", got.Spaces, got.Devices)
	}
}

// TestMergeKnowsNoOrder: any order of sources, and of users in them, gives the same directory; who is in no source is not in it.
func TestMergeKnowsNoOrder(t *testing.T) {
	t.Parallel()
	flag := rapid.SampledFrom([]Flag{"", Inherit, Yes, No})
	user := rapid.Custom(func(t *rapid.T) User {
		return User{JID: rapid.SampledFrom([]string{"a@x", "b@x", "c@x"}).Draw(t, "jid"), Personal: flag.Draw(t, "flag"), GUID: rapid.SampledFrom([]string{"", "g", "h"}).Draw(t, "guid")}
	})
	rapid.Check(t, func(t *rapid.T) {
		var sources []Source
		known := map[string]bool{}
		for i := range rapid.IntRange(0, 5).Draw(t, "sources") {
			s := Source{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), ID: string(rune('a' + i)), Personal: flag.Draw(t, "all"), Tenant: rapid.SampledFrom([]string{"", "t"}).Draw(t, "tenant"),
				Users: rapid.SliceOfNDistinct(user, 0, 3, func(u User) string { return u.JID }).Draw(t, "users")}
			for _, u := range s.Users {
				known[u.JID] = true
			}
			sources = append(sources, s)
		}
		d := Defaults{System: flag.Draw(t, "system"), Tenants: map[string]Flag{"t": flag.Draw(t, "of tenant")}}
		got := Merge(sources, d)
		if again := Merge(rapid.Permutation(sources).Draw(t, "order"), d); !reflect.DeepEqual(got, again) {
			t.Fatalf("got %+v and %+v", got, again)
		}
		if len(got.People) != len(known) {
			t.Fatalf("got %+v, want %v", got.People, known)
		}
	})
}

func TestWeighCountsOwnersThatAreLost(t *testing.T) {
	t.Parallel()
	before := Source{Kind: Bridge, ID: "b", Users: users("a@x"), Spaces: []Space{{"1", "", "a@x"}, {"2", "", "a@x"}, {"3", "", "a@x"}, {"4", "", ""}}}
	after := Source{Kind: Bridge, ID: "b", Users: users("a@x"), Spaces: []Space{{"1", "", "b@x"}, {"2", "", ""}, {"5", "", "a@x"}}}
	if l := Weigh([]Source{before}, after, Defaults{}, Limits{}).Loss; l.Owned != 3 || l.Orphaned != 2 {
		t.Errorf("got %+v, want two of three", l)
	}
}

func TestBrake(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		loss   Loss
		limits Limits
		want   []string
	}{
		"the first state":               {Loss{Before: 0, After: 500, Gone: 0, Licensed: 0, Released: 0}, Limits{}, nil},
		"nothing lost":                  {Loss{Before: 500, After: 600, Gone: 0, Licensed: 50, Released: 0}, Limits{}, nil},
		"a tenth exactly":               {Loss{Before: 500, After: 450, Gone: 50, Licensed: 50, Released: 5}, Limits{}, nil},
		"one more":                      {Loss{Before: 500, After: 449, Gone: 51, Licensed: 50, Released: 5}, Limits{}, []string{HoldRemovals}},
		"licenses":                      {Loss{Before: 500, After: 500, Gone: 0, Licensed: 50, Released: 6}, Limits{}, []string{HoldLicenses}},
		"both":                          {Loss{Before: 500, After: 100, Gone: 400, Licensed: 50, Released: 40}, Limits{}, []string{HoldRemovals, HoldLicenses}},
		"empty":                         {Loss{Before: 500, After: 0, Gone: 500, Licensed: 50, Released: 50}, Limits{}, []string{HoldEmpty, HoldLicenses}},
		"empty after a single user":     {Loss{Before: 1, After: 0, Gone: 1, Licensed: 0, Released: 0}, Limits{}, []string{HoldEmpty}},
		"still empty":                   {Loss{Before: 0, After: 0, Gone: 0, Licensed: 0, Released: 0}, Limits{}, nil},
		"replaced by as many":           {Loss{Before: 100, After: 100, Gone: 60, Licensed: 0, Released: 0}, Limits{}, []string{HoldRemovals}},
		"a limit of its own":            {Loss{Before: 500, After: 300, Gone: 200, Licensed: 50, Released: 20}, Limits{Removals: 40, Licenses: 40}, nil},
		"few, where few do not matter":  {Loss{Before: 5, After: 2, Gone: 3, Licensed: 2, Released: 2}, Limits{AtLeast: 10}, nil},
		"ten spaces of eleven":          {Loss{Owned: 11, Orphaned: 10}, Limits{}, nil},
		"eleven spaces":                 {Loss{Owned: 100, Orphaned: 11}, Limits{}, []string{HoldSpaces}},
		"eleven spaces of many":         {Loss{Owned: 200, Orphaned: 11}, Limits{}, nil},
		"many, where few do not matter": {Loss{Before: 50, After: 40, Gone: 10, Licensed: 2, Released: 2}, Limits{AtLeast: 10}, []string{HoldRemovals}},
	} {
		var got []string
		for _, r := range Brake(tc.loss, tc.limits) {
			got = append(got, r.Code)
			if r.Text() == r.Code {
				t.Errorf("%s: %q has no sentence", name, r.Code)
			}
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
