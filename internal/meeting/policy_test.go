package meeting

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func with(t testing.TB, p Policy, options ...string) Policy {
	t.Helper()
	for i := 0; i < len(options); i += 2 {
		var err error
		if p, err = p.With(options[i], options[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestRule13NamedPolicies(t *testing.T) {
	t.Parallel()
	for _, p := range Policies() {
		if got, err := Named(p.Name); got != p || err != nil || p.Check() != nil {
			t.Errorf("%s: got %s, %v, %v", p, got, err, p.Check())
		}
	}
	if Policies()[0] != OwnerFirst() || OwnerFirst().String() != "owner-first 2" || MemberFirst().String() != "member-first 1" {
		t.Errorf("got %v", Policies())
	}
	for _, p := range []Policy{{}, {Name: "guest-first", Version: 1}, {NameOwnerFirst, 1, DefaultOptions()}, {NameMemberFirst, 2, DefaultOptions()}} {
		if err := p.Check(); !errors.Is(err, ErrUnknownPolicy) {
			t.Errorf("%+v: got %v", p, err)
		}
	}
	for _, p := range []Policy{{NameOwnerFirst, 2, Options{}}, {NameOwnerFirst, 2, Options{LyncMode: LyncCluster, ServiceAccounts: "B,a"}}} {
		if err := p.Check(); !errors.Is(err, ErrOptionValue) {
			t.Errorf("%+v: got %v", p, err)
		}
	}
	if _, err := Named("guest-first"); !errors.Is(err, ErrUnknownPolicy) || !strings.Contains(err.Error(), `"guest-first"`) {
		t.Errorf("got %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range OptionList() {
		if got := o.get(DefaultOptions()); got != o.Default || o.Doc == "" || o.Values != nil && (len(o.Values) < 2 || o.Values[0] != o.Default) {
			t.Errorf("%s: got default %q", o.Key, got)
		}
		for _, value := range o.Values {
			p := with(t, OwnerFirst(), o.Key, value)
			if o.get(p.Options) != value || (p == OwnerFirst()) != (value == o.Default) || p.Check() != nil {
				t.Errorf("%s=%s: got %s", o.Key, value, p)
			}
		}
	}
	p := with(t, MemberFirst(), "service-accounts", `ACME\Svc-TMS, svc-tms,Booking@acme.example ,`)
	if want := "member-first 1 service-accounts=booking,svc-tms"; p.String() != want {
		t.Errorf("got %s, want %s", p, want)
	}
	for key, value := range map[string]string{"lync-mode": "sideways", "audio-only": "", "second-meeting": "Shared", "service-accounts": "a b"} {
		if _, err := OwnerFirst().With(key, value); !errors.Is(err, ErrOptionValue) {
			t.Errorf("%s=%s: got %v", key, value, err)
		}
	}
	if _, err := OwnerFirst().With("flavor", "red"); !errors.Is(err, ErrUnknownOption) {
		t.Errorf("got %v", err)
	}
}

// TestPolicyTextIsItsInverse: what is stored of a policy, as text and as JSON, gives the same policy.
func TestPolicyTextIsItsInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(Policies()).Draw(t, "policy")
		for _, o := range OptionList() {
			value := rapid.StringMatching(`[a-z]{1,5}(,[a-z]{1,5})?|`).Draw(t, o.Key)
			if o.Values != nil {
				value = rapid.SampledFrom(o.Values).Draw(t, o.Key)
			}
			var err error
			if p, err = p.With(o.Key, value); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := ParsePolicy(p.String()); got != p || err != nil {
			t.Errorf("%s: got %s, %v", p, got, err)
		}
		doc, err := json.Marshal(p)
		var got Policy
		if err != nil || json.Unmarshal(doc, &got) != nil || got != p || p.Check() != nil {
			t.Errorf("%s: got %s, %v, %v", doc, got, err, p.Check())
		}
	})
	for _, text := range []string{"", "owner-first", "owner-first two", "owner-first 2 flavor=red", "owner-first 2 audio-only=loud", " 2"} {
		if p, err := ParsePolicy(text); err == nil {
			t.Errorf("%q: got %s", text, p)
		}
	}
	for _, doc := range []string{`[]`, `{"name":"owner-first","version":2,"options":{"flavor":"red"}}`} {
		if err := json.Unmarshal([]byte(doc), new(Policy)); err == nil {
			t.Errorf("%s: accepted", doc)
		}
	}
}

// town is a directory in which people are known by every name.
func town() *Directory {
	return NewDirectory(9, []User{
		{JID: "ines@quay.example", GUID: asNumbers, ID: "imoe", Email: "ines.moe@quay.example", Name: "Ines Moe", Personal: true},
		{JID: "noor@quay.example", GUID: "11111111-2222-3333-4444-555555555555", ID: "noor", Email: "noor.ali@quay.example", Name: "Noor Ali"},
		{JID: "per@quay.example", ID: "per", Personal: true},
		{JID: "per@dock.example", ID: "per", Personal: true},
		{JID: "svc@quay.example", ID: "svc-tms", Personal: true},
	}, []Space{
		{ID: "space-of-ines", Name: "harbor", Owner: "{" + strings.ToUpper(asStored) + "}"},
		{ID: "space-of-noor", Name: "dock", Owner: "noor@quay.example"},
		{ID: "space-of-nobody", Name: "TMS_Scheduled_Meeting_1"},
	}, []Device{{"sip:dx80@quay.example", "ines@quay.example"}, {"1001", "noor@quay.example"}, {"lost@quay.example", "gone@quay.example"}})
}

func named1(c Call, owner string) Call { c.OwnerName = owner; return c }

func TestOwnerFirstSteps(t *testing.T) {
	t.Parallel()
	whole, third := []string{"0-100 shared 1 shared"}, []string{"0-100 shared 1/6 point-to-point"}
	adHoc, small := call(TypeAdHoc, "", 0, 3), call(TypeAdHoc, "", 0, 2)
	booked := call(TypeSpace, "space-of-nobody", 0, 3)
	for name, tc := range map[string]struct {
		options  []string
		call     Call
		segments []string
		why      []string
		cause    Diagnosis
	}{
		"rule 13: the owner of a space is known by GUID": {nil, call(TypeSpace, "space-of-ines", 0, 3),
			[]string{"0-100 personal 1 owner ines@quay.example"}, []string{OwnerPersonal, OwnerAbsence}, ""},
		"rule 16: call control passes the GUID as stored": {nil, named1(adHoc, asStored),
			[]string{"0-100 personal 1 ad-hoc ines@quay.example"}, []string{AdHocPersonal}, ""},
		"rule 16: … and as numbers, in braces": {nil, named1(small, "{"+strings.ToUpper(asNumbers)+"}"),
			[]string{"0-100 personal 1 ad-hoc ines@quay.example"}, []string{AdHocPersonal}, ""},
		"rule 16: nobody has it": {nil, named1(adHoc, "99999999-2222-3333-4444-555555555555"),
			whole, []string{NoSpace, GUIDUnknown, MoreThanTwo, TakesShared, HelpSameDirectory}, DiagnosedOtherDirectory},
		"rule 16: nobody has it, and they are two": {nil, named1(small, "99999999-2222-3333-4444-555555555555"),
			third, []string{NoSpace, GUIDUnknown, PointToPoint, HelpSameDirectory}, DiagnosedOtherDirectory},
		"rule 16: not in the group": {nil, named1(adHoc, "11111111-2222-3333-4444-555555555555"),
			whole, []string{NoSpace, GUIDWithoutLicense, MoreThanTwo, TakesShared, HelpLicense}, DiagnosedNoLicense},
		"rule 16: nothing is passed": {nil, adHoc,
			whole, []string{NoSpace, MoreThanTwo, AdHocNobody, TakesShared, HelpCallControl}, DiagnosedOldCallControl},
		"rule 16: two people need nobody": {nil, small, third, []string{NoSpace, PointToPoint}, ""},
		"rule 16: a JID instead": {nil, named1(adHoc, "Ines@quay.example"),
			[]string{"0-100 personal 1 scheduler ines@quay.example"}, []string{SchedulerPersonal}, ""},
		"rule 17: by sign-in name with domain": {nil, named1(booked, `QUAY\IMoe`),
			[]string{"0-100 personal 1 scheduler ines@quay.example"}, []string{SchedulerPersonal}, ""},
		"rule 17: by JID": {nil, named1(booked, "INES@quay.example"),
			[]string{"0-100 personal 1 scheduler ines@quay.example"}, []string{SchedulerPersonal}, ""},
		"rule 17: not by e-mail unless wanted": {nil, named1(booked, "ines.moe@quay.example"),
			whole, []string{SpaceWithoutOwner, PassedEmail, TakesShared, HelpEmail}, DiagnosedEmail},
		"rule 17: by e-mail if wanted": {[]string{"scheduler-email", "on"}, named1(booked, "Ines.Moe@quay.example"),
			[]string{"0-100 personal 1 scheduler ines@quay.example"}, []string{SchedulerPersonal}, ""},
		"rule 17: not in the group": {nil, named1(booked, "noor"),
			whole, []string{SpaceWithoutOwner, PassedWithoutLicense, TakesShared, HelpLicense}, DiagnosedNoLicense},
		"rule 17: nobody of that name": {nil, named1(booked, "olga"),
			whole, []string{SpaceWithoutOwner, PassedUnknown, TakesShared, HelpPassed}, DiagnosedOwnerUnknown},
		"rule 17: several of that name": {nil, named1(booked, "per"),
			whole, []string{SpaceWithoutOwner, PassedSeveral, TakesShared, HelpPassedOnce}, DiagnosedAmbiguous},
		"rule 17: several of that name, one of that JID": {nil, named1(booked, "per@dock.example"),
			[]string{"0-100 personal 1 scheduler per@dock.example"}, []string{SchedulerPersonal}, ""},
		"rule 17: nothing is passed": {nil, booked,
			whole, []string{SpaceWithoutOwner, SchedulerNobody, TakesShared, HelpDirectory, HelpScheduler}, DiagnosedNoOwner},
		"rule 17: the space's owner has none, who booked it has one": {nil, named1(call(TypeSpace, "space-of-noor", 0, 3), "imoe"),
			[]string{"0-100 personal 1 scheduler ines@quay.example"}, []string{SchedulerPersonal}, ""},
		"rule 17: the call bridge repeats the space's owner": {nil, named1(call(TypeSpace, "space-of-noor", 0, 3), "Noor Ali"),
			whole, []string{OwnerWithoutLicense, TakesShared, HelpLicense}, DiagnosedNoLicense},
		"rule 37: a service account that is known to be one": {[]string{"service-accounts", "svc-tms"}, named1(booked, `QUAY\svc-tms`),
			whole, []string{SpaceWithoutOwner, ServiceAccount, TakesShared, HelpServiceAccount}, DiagnosedServiceAccount},
		"rule 37: … and that is not": {nil, named1(booked, `QUAY\svc-tms`),
			[]string{"0-100 personal 1 scheduler svc@quay.example"}, []string{SchedulerPersonal}, ""},
		"rule 19: two in a space, by option": {[]string{"space-point-to-point", "on"}, call(TypeSpace, "space-of-noor", 0, 2, 50, 3),
			[]string{"0-50 shared 1/6 point-to-point", "50-100 shared 1 shared"}, []string{OwnerWithoutLicense, SpacePair, HelpLicense}, DiagnosedNoLicense},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Decide(with(t, OwnerFirst(), tc.options...), tc.call, town())
			why := got.Segments[0].Why
			if !slices.Equal(lines(got), tc.segments) || !slices.Equal(codes(why), tc.why) || Diagnose(why) != tc.cause {
				t.Errorf("got  %q because %q: %q\nwant %q because %q: %q", lines(got), codes(why), Diagnose(why), tc.segments, tc.why, tc.cause)
			}
		})
	}
}

// levels makes a call from levels, a second apart from 0 on.
func levels(typ, space string, all ...Level) Call {
	c := Call{ID: "c", Type: typ, Space: space, Start: began, End: second(100)}
	for i, l := range all {
		l.At = second(10 * i)
		c.Levels = append(c.Levels, l)
	}
	return c
}

func TestSixths(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy   Policy
		call     Call
		segments []string
	}{
		"rule 19: sound only": {OwnerFirst(), levels(TypeSpace, "space-of-noor", Level{Participants: 4, Audio: 4}),
			[]string{"0-100 shared 1/6 audio-only"}},
		"rule 20: a picture comes and goes": {OwnerFirst(),
			levels(TypeSpace, "space-of-noor", Level{Participants: 4, Audio: 4}, Level{Participants: 5, Audio: 4}, Level{Participants: 4, Audio: 4}),
			[]string{"0-10 shared 1/6 audio-only", "10-20 shared 1 shared", "20-100 shared 1/6 audio-only"}},
		"rule 19: a recorder has neither sound nor picture": {OwnerFirst(), levels(TypeSpace, "space-of-noor", Level{Participants: 3, Audio: 2, Media: 1}, Level{Participants: 1, Media: 1}),
			[]string{"0-10 shared 1/6 audio-only", "10-100 shared 1 shared"}},
		"rule 19: a recorder is the third": {OwnerFirst(), levels(TypeAdHoc, "", Level{Participants: 2}, Level{Participants: 3, Media: 1}),
			[]string{"0-10 shared 1/6 point-to-point", "10-100 shared 1 shared"}},
		"rule 19: sound goes before point-to-point": {OwnerFirst(), levels(TypeAdHoc, "", Level{Participants: 2, Audio: 2}, Level{Participants: 2, Audio: 1}, Level{Participants: 3, Audio: 3}),
			[]string{"0-10 shared 1/6 audio-only", "10-20 shared 1/6 point-to-point", "20-100 shared 1/6 audio-only"}},
		"rule 19: sound may count whole": {with(t, OwnerFirst(), "audio-only", "whole"), levels(TypeSpace, "space-of-noor", Level{Participants: 4, Audio: 4}),
			[]string{"0-100 shared 1 shared"}},
		"rule 19: a personal license is always whole": {OwnerFirst(), levels(TypeSpace, "space-of-ines", Level{Participants: 4, Audio: 4}),
			[]string{"0-100 personal 1 owner ines@quay.example"}},
		"rule 18: AVMCU, a sixth for each SIP participant": {with(t, OwnerFirst(), "lync-mode", "gateway"),
			levels(TypeLync, "", Level{Participants: 1, Lync: 1, Callers: 1}, Level{Participants: 2, Lync: 1, Callers: 1}, Level{Participants: 9, Lync: 1, Callers: 1, Media: 1}),
			[]string{"10-20 shared 1/6 lync-gateway", "20-100 shared 1 1/6 lync-gateway"}},
		"rule 18: dual home, one for the cluster": {OwnerFirst(), levels(TypeLync, "", Level{Participants: 9, Lync: 3, Callers: 3}),
			[]string{"0-100 shared 1 dual-home"}},
		"rule 18: dual home, one for each calling bridge": {with(t, OwnerFirst(), "lync-mode", "dualHomeCallBridge"),
			levels(TypeLync, "", Level{Participants: 2}, Level{Participants: 9, Lync: 3, Callers: 3}, Level{Participants: 5, Lync: 1, Callers: 1}),
			[]string{"0-10 shared 1 dual-home", "10-20 shared 3 dual-home", "20-100 shared 1 dual-home"}},
		"rule 18: gateway under member-first too": {MemberFirst(), levels(TypeGateway, "space-of-ines", Level{Participants: 2, Audio: 2}),
			[]string{"0-100 shared 1/6 gateway"}},
	} {
		if got := lines(Decide(tc.policy, tc.call, town())); !slices.Equal(got, tc.segments) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, tc.segments)
		}
	}
}

func TestRule15MemberFirst(t *testing.T) {
	t.Parallel()
	ines, noor, per := Member{"Ines", "ines@quay.example", second(40)}, Member{"Noor", "sip:1001", second(0)}, Member{"Per", "sip:per@quay.example:5060", second(40)}
	device := Member{"Board", "sip:DX80@quay.example;transport=tls", second(20)}
	guest := Member{"Room 4", "10.0.0.4", second(0)}
	for name, tc := range map[string]struct {
		space    string
		members  []Member
		segments []string
		why      []string
	}{
		"nobody holds one": {"space-of-noor", []Member{noor, guest},
			[]string{"0-100 shared 1 shared"}, []string{MembersWithoutLicense, MembersUnknown, OwnerWithoutLicense, TakesShared, HelpLicense, HelpMember}},
		"the owner need not join": {"space-of-ines", []Member{noor},
			[]string{"0-100 personal 1 owner ines@quay.example"}, []string{OwnerPersonal, MembersWithoutLicense}},
		"a flip from shared": {"space-of-noor", []Member{noor, guest, ines},
			[]string{"0-40 shared 1 shared", "40-100 personal 1 member ines@quay.example"},
			[]string{MembersUnknown, OwnerWithoutLicense, TakesShared, HelpLicense, HelpMember, MemberFlip}},
		"a flip from the owner": {"space-of-ines", []Member{noor, per},
			[]string{"0-40 personal 1 owner ines@quay.example", "40-100 personal 1 member per@quay.example"}, []string{OwnerPersonal, MemberFlip}},
		"by a device": {"space-of-noor", []Member{noor, device, ines},
			[]string{"0-20 shared 1 shared", "20-100 personal 1 member ines@quay.example"}, []string{OwnerWithoutLicense, TakesShared, HelpLicense, HelpMember, MemberFlip}},
		"of two at once the owner": {"space-of-ines", []Member{per, ines},
			[]string{"0-40 personal 1 owner ines@quay.example", "40-100 personal 1 member ines@quay.example"}, []string{OwnerPersonal, MemberFlip}},
		"of two at once the least": {"space-of-noor", []Member{per, ines},
			[]string{"0-40 shared 1 shared", "40-100 personal 1 member ines@quay.example"}, []string{OwnerWithoutLicense, TakesShared, HelpLicense, HelpMember, MemberFlip}},
		"from the beginning": {"space-of-noor", []Member{{"Ines", "ines@quay.example", second(0)}},
			[]string{"0-100 personal 1 member ines@quay.example"}, []string{MemberJoined}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := call(TypeSpace, tc.space, 0, 3)
			c.Members = tc.members
			got := Decide(MemberFirst(), c, town())
			if !slices.Equal(lines(got), tc.segments) || !slices.Equal(codes(got.Why), tc.why) {
				t.Errorf("got  %q because %q\nwant %q because %q", lines(got), codes(got.Why), tc.segments, tc.why)
			}
		})
	}
	small := call(TypeAdHoc, "", 0, 2, 60, 3)
	small.Members = []Member{guest, ines}
	got := Decide(MemberFirst(), small, town())
	if want := []string{"0-40 shared 1/6 point-to-point", "40-100 personal 1 member ines@quay.example"}; !slices.Equal(lines(got), want) {
		t.Errorf("got %q, want %q", lines(got), want)
	}
	if text := got.Segments[0].Why[len(got.Segments[0].Why)-1]; !slices.Contains(codes(got.Segments[0].Why), MemberFlip) {
		t.Errorf("the sixth does not say until when it holds, but %q", text)
	}
}

// TestRule15NamesStrangers: whom it could not match is said by name, at most five of them.
func TestRule15NamesStrangers(t *testing.T) {
	t.Parallel()
	c := call(TypeSpace, "space-of-noor", 0, 3)
	for _, name := range []string{"g", "f", "e", "d", "c", "b", "a"} {
		c.Members = append(c.Members, Member{name, name + "@elsewhere.example", began}, Member{name, name + "@elsewhere.example", second(3)})
	}
	c.Members = append(c.Members, Member{Name: "", Party: "lost@quay.example", From: began}, Member{})
	why := Decide(MemberFirst(), c, town()).Why
	const want = "Participants who could not be matched to anybody in the directory, by JID, address or device: 9 " +
		"(a (a@elsewhere.example), a participant without a name, b (b@elsewhere.example), c (c@elsewhere.example), d (d@elsewhere.example))."
	if got := why[0].Text(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
