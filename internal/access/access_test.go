package access_test

import (
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
)

// TestRoles is the whole matrix: role, whose account, action.
func TestRoles(t *testing.T) {
	t.Parallel()
	const mine, other = "acc_mine", "acc_other"
	for _, c := range []struct {
		role             access.Role
		account, on      string
		see, manage, run string // code of the refusal, empty for allowed
	}{
		{access.Administrator, access.Site, other, "", "", ""},
		{access.Administrator, mine, mine, "", "", "not-permitted"},
		{access.Administrator, mine, other, "not-found", "not-found", "not-found"},
		{access.Viewer, access.Site, other, "", "not-permitted", "not-permitted"},
		{access.Viewer, mine, mine, "", "not-permitted", "not-permitted"},
		{access.Viewer, mine, other, "not-found", "not-found", "not-found"},
		{"nobody", access.Site, mine, "not-permitted", "not-permitted", "not-permitted"},
		{"", "", mine, "not-found", "not-found", "not-found"},
	} {
		p := access.Person{Role: c.role, Account: c.account}
		for action, want := range map[access.Action]string{access.See: c.see, access.Manage: c.manage, access.Run: c.run, "unknown": "any"} {
			got := ""
			if e := license.AsError(p.Check(action, c.on)); e != nil {
				got = e.Code
			}
			if got != want && (want != "any" || got == "") {
				t.Errorf("%q of %q, %s on %s: got %q, want %q", c.role, c.account, action, c.on, got, want)
			}
		}
	}
}
