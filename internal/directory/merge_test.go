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
	if want := []Space{{"s", "Daily", "a@x"}, {"t", "", "b@x"}}; !reflect.DeepEqual(got.Spaces, want) || len(got.Devices) != 1 {
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

func TestBrake(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		loss   Loss
		limits Limits
		want   []string
	}{
		"the first state":               {Loss{0, 500, 0, 0, 0}, Limits{}, nil},
		"nothing lost":                  {Loss{500, 600, 0, 50, 0}, Limits{}, nil},
		"a tenth exactly":               {Loss{500, 450, 50, 50, 5}, Limits{}, nil},
		"one more":                      {Loss{500, 449, 51, 50, 5}, Limits{}, []string{HoldRemovals}},
		"licenses":                      {Loss{500, 500, 0, 50, 6}, Limits{}, []string{HoldLicenses}},
		"both":                          {Loss{500, 100, 400, 50, 40}, Limits{}, []string{HoldRemovals, HoldLicenses}},
		"empty":                         {Loss{500, 0, 500, 50, 50}, Limits{}, []string{HoldEmpty, HoldLicenses}},
		"empty after a single user":     {Loss{1, 0, 1, 0, 0}, Limits{}, []string{HoldEmpty}},
		"still empty":                   {Loss{0, 0, 0, 0, 0}, Limits{}, nil},
		"replaced by as many":           {Loss{100, 100, 60, 0, 0}, Limits{}, []string{HoldRemovals}},
		"a limit of its own":            {Loss{500, 300, 200, 50, 20}, Limits{Removals: 40, Licenses: 40}, nil},
		"few, where few do not matter":  {Loss{5, 2, 3, 2, 2}, Limits{AtLeast: 10}, nil},
		"many, where few do not matter": {Loss{50, 40, 10, 2, 2}, Limits{AtLeast: 10}, []string{HoldRemovals}},
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
