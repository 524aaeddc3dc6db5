package meeting

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// factCodes are the constants of fact.go.
func factCodes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "fact.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || v.Names[0].Name == "later" {
			return true
		}
		code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
		return false
	})
	return codes
}

func TestEveryCodeHasASentence(t *testing.T) {
	t.Parallel()
	args := map[string]string{"space": "SPACE", "name": "NAME", "owner": "OWNER", "type": "TYPE", "guid": "GUID", "passed": "PASSED", "as": "user-id", "count": "2",
		"member": "MEMBER", "party": "PARTY", "at": "09:00:00", "members": "MEMBERS", "user": "USER", "meeting": "MEETING", "when": "WHEN"}
	codes := factCodes(t)
	if len(codes) < 40 {
		t.Fatalf("found %d codes", len(codes))
	}
	seen := map[string]string{}
	for _, code := range codes {
		text := Fact{Code: code, Args: args}.Text()
		if !strings.HasSuffix(text, ".") || strings.Contains(text, "%!") || text == code || seen[text] != "" || !regexp.MustCompile(`^[A-Z“]`).MatchString(text) {
			t.Errorf("%s: %q, as %q", code, text, seen[text])
		}
		seen[text] = code
	}
	if got := (Fact{Code: "from-a-later-version"}).Text(); got != "from-a-later-version" {
		t.Errorf("got %q for an unknown code", got)
	}
}

// TestFactsReadAsAnswers: read them aloud.
func TestFactsReadAsAnswers(t *testing.T) {
	t.Parallel()
	booked := call(TypeSpace, "space-of-nobody", 0, 3)
	for _, tc := range []struct {
		call Call
		want []string
	}{
		{call(TypeSpace, "ABC", 0, 3), []string{
			"The space “Harbor plan” (abc) is not in the directory, so nobody is known as its owner.",
			"No scheduler passed an owner of the meeting either.",
			"Nobody's personal license applies, so the meeting takes one shared license while anybody takes part.",
			"What would help: a directory in which the space “Harbor plan” (abc) has an owner who holds a personal license. It counts for meetings that begin afterwards.",
			"What would help if this meeting was booked: a scheduler that passes the owner (TMS 15.6 or later), and a booking by somebody who is in the directory with a personal license."}},
		{call(TypeSpace, "space-of-ines", 0, 3), []string{
			"The space “harbor” (space-of-ines) is owned by ines@quay.example, who holds a personal license, so the meeting is charged to that license.",
			"It makes no difference whether ines@quay.example takes part: the owner's license counts, present or not."}},
		{named1(call(TypeAdHoc, "", 0, 3), asNumbers), []string{
			"Call control passed the identifier 00112233-4455-6677-8899-aabbccddeeff. That is ines@quay.example, who holds a personal license, so the meeting is charged to that license."}},
		{call(TypeAdHoc, "", 0, 3), []string{
			"The call has no permanent space, so there is no owner of a space who could pay.",
			"With more than two participants it is a meeting and no longer a point-to-point call.",
			"Call control did not pass who started this ad hoc meeting, so nobody's personal license could be found.",
			"Nobody's personal license applies, so the meeting takes one shared license while anybody takes part.",
			"What would help: call control that passes the user (CUCM 10.5 or later, call bridge 2.1 or later), with the same Active Directory behind call control and this directory."}},
		{named1(booked, `QUAY\imoe`), []string{
			`“QUAY\imoe” was passed as the owner of the meeting. That is ines@quay.example by sign-in name, who holds a personal license, so the meeting is charged to that license.`}},
		{named1(booked, "Ines Moe"), []string{
			"The space “TMS_Scheduled_Meeting_1” (space-of-nobody) is in the directory but has no owner there.",
			"“Ines Moe” was passed as the owner of the meeting. It is no GUID, as call control passes, and neither the sign-in name nor the JID of anybody in the directory.",
			"Nobody's personal license applies, so the meeting takes one shared license while anybody takes part.",
			"What would help: a booking program that passes the owner's sign-in name; “Ines Moe” looks like a display name, which several people may have."}},
		{named1(booked, "noor"), []string{
			"The space “TMS_Scheduled_Meeting_1” (space-of-nobody) is in the directory but has no owner there.",
			"“noor” was passed as the owner of the meeting. That is noor@quay.example by sign-in name, who holds no personal license.",
			"Nobody's personal license applies, so the meeting takes one shared license while anybody takes part.",
			"What would help: put noor@quay.example into the group that gives personal licenses, and bring the directory up to date. It counts for meetings that begin afterwards."}},
	} {
		got := Decide(OwnerFirst(), tc.call, town()).Segments[0].Why
		for i, f := range got {
			if i >= len(tc.want) || f.Text() != tc.want[i] {
				t.Errorf("got  %s", f.Text())
			}
		}
		if len(got) != len(tc.want) {
			t.Errorf("got %d sentences, want %q", len(got), tc.want)
		}
	}
}
