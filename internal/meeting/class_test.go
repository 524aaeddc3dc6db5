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
