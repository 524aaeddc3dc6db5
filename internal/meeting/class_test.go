package meeting

import "testing"

func TestClassOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		license License
		rule    string
		want    Class
	}{
		{Personal, RuleOwner, ClassPersonal},
		{Shared, RuleShared, ClassFull},
		{Shared, RuleGateway, ClassPointToPoint},
		{Shared, RulePointToPoint, ClassPointToPoint},
		{Shared, RuleLyncGateway, ClassPointToPoint},
		{Shared, RuleDualHome, ClassFull},
		{Shared, RuleAudio, ClassAudio},
		{Shared, RuleSecond, ClassFull},
		{Personal, RuleMember, ClassPersonal},
		{Shared, "a rule to come", ClassFull},
	} {
		if got := ClassOf(tc.license, tc.rule); got != tc.want {
			t.Errorf("%s by %s: got %s, want %s", tc.license, tc.rule, got, tc.want)
		}
	}
}

func TestHostOf(t *testing.T) {
	t.Parallel()
	facts := Decide(OwnerFirst(), call(TypeSpace, "space-of-noor", 0, 3), quay().directory()).Why
	if host, cause := HostOf(facts), CauseOf(facts); host != "noor@quay.example" || cause != OwnerWithoutLicense {
		t.Errorf("got %q because of %q", host, cause)
	}
	if host, cause := HostOf(nil), CauseOf(nil); host != "" || cause != "" {
		t.Errorf("got %q because of %q for nothing", host, cause)
	}
}
