package directory

import (
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

func eval(t *testing.T, text string, values map[string]string) (string, string) {
	t.Helper()
	x, err := ParseExpression(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return x.Eval(func(a string) (string, bool) { v, ok := values[a]; return v, ok })
}

// TestRule31Expressions: the language of mapping expressions, with the published vectors first.
func TestRule31Expressions(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"samaccountname": "fred", "mail": "firstname.lastname@test.example.com", "cn": "Alan Banana", "short": "fred.blogs@example.com",
		"path": `a\b/c'd`, "phone": "+49 30 1234", "same": "aaa", "empty": "", "pipe": "x|y|z", "dots": "a.b.c", "word": "grüße",
	}
	for _, tc := range []struct{ text, want string }{
		{`$sAMAccountName$@example.com`, "fred@example.com"},
		{`$mail|'/@test/@xmpp/'$`, "firstname.lastname@xmpp.example.com"},
		{`$cn|'/a//g'$`, "Aln Bnn"},
		{`$short|'/@.*//'$.space`, "fred.blogs.space"},

		{``, ""}, {`no attribute`, "no attribute"}, {`$SAMACCOUNTNAME$`, "fred"}, {`$cn$ ($sAMAccountName$)`, "Alan Banana (fred)"},
		{`$same|'/a/b/'$`, "baa"}, {`$same|'/a/b/g'$`, "bbb"}, {`$same|'/x/b/g'$`, "aaa"},
		{`$cn|'/(\w+) (\w+)/\2, \1/'$`, "Banana, Alan"},
		{`$cn|'/an/[\0]/g'$`, "Al[an] B[an][an]a"},
		{`$cn|'/(A)|(B)/<\1\2>/g'$`, "<A>lan <B>anana"},
		{`$phone|'/[^0-9]//g'$`, "49301234"},
		{`$mail|'#@.*##'$`, "firstname.lastname"},
		{`$mail|'|@.*||'$`, "firstname.lastname"},
		{`$mail|'ä@.*ää'$`, "firstname.lastname"},
		{`$pipe|'|\|y\|| |'$`, "x z"},             // an escaped separator is literal, though | means something in a regex
		{`$dots|'.\.b\..-.'$`, "a-c"},             // and so is an escaped dot
		{`$path|'/\//:/'$`, `a\b:c'd`},            // an escaped slash
		{`$path|'/\\\\/-/'$`, `a-b/c'd`},          // backslashes are escaped, once for the language and once for the regex
		{`$path|'/\'/"/'$`, `a\b/c"d`},            // an escaped quotation mark
		{`$path|'/c\'d/\\\/\'/'$`, `a\b/\/'`},     // and the same in the replacement
		{`$dots|'/\./_/g'$`, "a_b_c"},             // other escapes are the regex's own
		{`$dots|'/\\./_/g'$`, "a_b_c"},            // written strictly
		{`$same|'/a$/z/'$`, "aaz"},                // a dollar sign within
		{`$same|'/a/$/'$`, "$aa"},                 //
		{`$same|'/^/x/g'$`, "xaaa"},               //
		{`$same|'/x*/-/g'$`, "-a-a-a-"},           // empty matches
		{`$empty|'/^$/none/'$`, "none"},           //
		{`$word|'/ü/ue/'$`, "grueße"},             //
		{`$same|'/a/\0\0/g'$$same$`, "aaaaaaaaa"}, //
	} {
		if got, missing := eval(t, tc.text, values); got != tc.want || missing != "" {
			t.Errorf("%s: got %q, missing %q, want %q", tc.text, got, missing, tc.want)
		}
	}
	if got, missing := eval(t, "$cn$ $sn$ $givenName$", values); got != "Alan Banana  " || missing != "sn" {
		t.Errorf("got %q, missing %q", got, missing)
	}
}

func TestRule31ExpressionRefusals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`$mail`:                      "a $ is not closed",
		`$$`:                         "no name of an attribute",
		`$mail $`:                    "no name of an attribute",
		`$(mail=*)$`:                 "no name of an attribute",
		`$mail|/a/b/$`:               "no quotation mark",
		`$mail|'`:                    "no separator",
		`$mail|'''$`:                 "no separator",
		`$mail|'\a\b\'$`:             "no separator",
		`$mail|'1a1b1'$`:             "no separator",
		`$mail|'/a/b'$`:              "2 separators, not 3",
		`$mail|'/a'$`:                "1 separators, not 3",
		`$mail|'/a/b/c/d'$`:          "more than 3 separators",
		`$mail|'/a/b/`:               "not closed",
		`$mail|'/a/b/\`:              "not closed",
		`$mail|'/a/b/'`:              "no $ follows",
		`$mail|'/a/b/'|'/c/d/'$`:     "no $ follows",
		`$mail|'/a/b/i'$`:            `the option "i" is not known`,
		`$mail|'/(a/b/'$`:            "cannot be read",
		`$mail|'/(a)\\1/b/'$`:        "cannot be read",
		`$mail|'/(a)/\2/'$`:          `names \2 and the regular expression has 1 groups`,
		"a\x00b":                     "no text",
		"\xff":                       "no text",
		strings.Repeat("a", 1025):    "too long",
		strings.Repeat("$mail$", 33): "more than 32 parts",
	} {
		_, err := ParseExpression(text)
		if e := license.AsError(err); e == nil || e.Code != "bad-expression" || e.Hint == "" || !strings.Contains(e.Message, want) {
			t.Errorf("%q: got %v, want a refusal that says %q", text, err, want)
		}
	}
}

// TestRule31IsBounded: neither a regex that others take for ever on nor a replacement that grows costs much.
func TestRule31IsBounded(t *testing.T) {
	t.Parallel()
	hard := map[string]string{"cn": strings.Repeat("a", MaxValue)}
	for _, text := range []string{`$cn|'/(a+)+b/x/'$`, `$cn|'/(a|a)*b/x/g'$`, `$cn|'/a/` + strings.Repeat(`\0`, 400) + `/g'$`, strings.Repeat("$cn$", 30)} {
		began := time.Now()
		if got, _ := eval(t, text, hard); len(got) > MaxValue+1 {
			t.Errorf("%.40s: got %d bytes", text, len(got))
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%.40s: took %s", text, took)
		}
	}
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{`$sAMAccountName$@example.com`, `$mail|'/@test/@xmpp/'$`, `$cn|'/a//g'$`, `$mail|'/@.*//'$.space`, `$cn|'#(x)\#|\'#\1\\#g'$`} {
		f.Add(s, "firstname.lastname@test.example.com")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		x, err := ParseExpression(text)
		if err != nil {
			if license.AsError(err) == nil {
				t.Fatalf("got %v, want a refusal", err)
			}
			return
		}
		got, _ := x.Eval(func(string) (string, bool) { return value[:min(len(value), MaxValue)], true })
		again, err := ParseExpression(x.String())
		if err != nil || len(got) > MaxValue+1 {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		if same, _ := again.Eval(func(string) (string, bool) { return value[:min(len(value), MaxValue)], true }); same != got {
			t.Fatalf("got %q and %q", got, same)
		}
	})
}
