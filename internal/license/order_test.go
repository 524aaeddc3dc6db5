package license

import (
	"strings"
	"testing"
)

func TestRefusalsNameOrderAndLine(t *testing.T) {
	t.Parallel()
	const line = `{"tag":"vts","quantity":1}`
	for name, c := range map[string]struct{ file, doc, says string }{
		"member of a line":    {"", `{"order":"SO-7","account":"a","lines":[` + line + `,{"tag":"vts","amount":1}]}`, `order SO-7, line 2: unknown field "amount"`},
		"type in a line":      {"", `{"order":"SO-7","account":"a","lines":[{"tag":"vts","quantity":"3"}]}`, "order SO-7, line 1: quantity has the wrong type, string"},
		"member of an order":  {"", `{"order":"SO-7","account":"a","color":"red","lines":[` + line + `]}`, `order SO-7: unknown field "color"`},
		"second of the array": {"", `[{"order":"SO-7","account":"a","lines":[` + line + `]},{"account":7}]`, "order 2 of the file: account has the wrong type, number"},
		"no JSON":             {"", "{\n\"order\":\n oops}", "line 3"},
		"date":                {"", `{"order":"SO-7","account":"a","lines":[{"tag":"vts","quantity":1,"start":"soon"}]}`, "order SO-7, line 1: \"soon\" is no date"},
		"CSV quantity":        {"", "\n\norder,account,tag,quantity\nSO-7,a,vts,1\nSO-8,a,vts,many\n", "order SO-8, line 5 of the file: the quantity"},
		"CSV fields":          {"", "order,account,tag,quantity\nSO-7,a,vts\n", "order SO-7, line 2 of the file: wrong number of fields"},
		"CSV header only":     {"", "order,account,tag,quantity\n", "no order"},
		"name says JSON":      {"orders.JSON", "order,account,tag,quantity\nSO-7,a,vts,1\n", "it is no JSON"},
		"empty file of JSON":  {"orders.json", "", "empty"},
	} {
		_, err := ParseOrderFile(c.file, []byte(c.doc))
		e := AsError(err)
		if e == nil || e.Code != "bad-order" || !strings.Contains(e.Message, c.says) || strings.Contains(e.Message, "json:") || strings.Contains(e.Message, "Go ") {
			t.Errorf("%s: got %v, want a refusal that says %q", name, err, c.says)
		}
	}
	for _, separator := range []string{";", "\t", "|", " "} {
		_, err := ParseOrders([]byte(strings.Join([]string{"order", "account", "tag", "quantity"}, separator) + "\nx\n"))
		if e := AsError(err); e == nil || e.Hint != "separate the columns with commas" {
			t.Errorf("columns separated by %q: got %v", separator, err)
		}
	}
	if orders, err := ParseOrderFile("orders.txt", []byte(" [{\"order\":\"1\",\"account\":\"a\",\"lines\":["+line+"]}]\n")); err != nil || len(orders) != 1 || len(orders[0].Lines) != 1 {
		t.Errorf("JSON in a file of another name: got %+v, %v", orders, err)
	}
}

func TestSubscriptionsArePlain(t *testing.T) {
	t.Parallel()
	for _, subscription := range []string{"a\x00b", strings.Repeat("x", 81), " x"} {
		o := Order{Number: "1", Account: "a", Lines: []OrderLine{{Tag: "vts", Quantity: 1, Subscription: subscription}}}
		if _, err := ResolveOrder(DefaultCatalog(), o, noon); err == nil || !strings.Contains(err.Error(), "order 1, line 1: the subscription") {
			t.Errorf("%q: got %v", subscription, err)
		}
	}
}

func TestNamesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "an account: it is empty", strings.Repeat("é", 121): "longer than 120", "a\tb": "control", " a": "white space", "a\n": "white space", "\xff": "UTF-8",
	} {
		e := AsError(CheckName("account", name))
		if e == nil || e.Code != "bad-name" || !strings.Contains(e.Message, want) {
			t.Errorf("%.10q: got %v, want %q", name, e, want)
		}
	}
	if err := CheckName("account", strings.Repeat("é", 120)); err != nil {
		t.Errorf("120 characters: %v", err)
	}
	if err := CheckName("virtual account", ""); !strings.Contains(err.Error(), "of a virtual account") {
		t.Errorf("got %v", err)
	}
}

func TestNotFoundSaysWhereToLook(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]string{
		"account": "tally account list", "virtual account": "tally va list", "token": "tally token list", "product instance": "tally instance list",
		"order": "tally order list", "license": "tally license list", "report": "meetings", "meeting": "tally meeting list",
		"bridge": "tally conference bridge list", "machine verb": "authorize",
	} {
		if e := NotFound(what, "x"); e.Kind != KindNotFound || !strings.Contains(e.Hint, want) {
			t.Errorf("%s: got the hint %q, want %q", what, e.Hint, want)
		}
	}
}

func TestAWordOfACommandLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"main": "main", "CMS cluster": "'CMS cluster'", "": "''", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "/opt/tally": "/opt/tally", "é": "'é'", "~": "'~'", "a;b": "'a;b'",
	} {
		if got := ShellWord(text); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	}
}
