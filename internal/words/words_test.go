package words

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/tallystick/tallystick/internal/license"
)

type line struct {
	Plant struct {
		Water struct {
			Tree   string   `arg:"" help:"Tree by name."`
			Liters []string `arg:"" help:"UDI of cans, such as can=5."`
			Why    string   `required:"" help:"Why it is dry." placeholder:"TEXT"`
			Days   int      `help:"How long, 1 to 365." default:"30"`
		} `cmd:"" help:"Water."`
		Cut struct {
			Tree  string `arg:""`
			Where string `arg:"" optional:"" enum:"low,high," default:""`
			With  string `enum:"saw,axe," default:"" placeholder:"TOOL"`
		} `cmd:"" help:"Cut."`
	} `cmd:"" help:"Plants."`
}

// TestRefusals: each error says what is missing or wrong, what that is, and what to write.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const water, cut = "write: garden plant water TREE LITERS… --why TEXT; `garden plant water --help` says more", "write: garden plant cut TREE [WHERE]; `garden plant cut --help` says more"
	for _, c := range []struct{ line, text, hint string }{
		{"", "`garden` needs another word", "one of these comes after `garden`: plant"},
		{"plant", "`garden plant` needs another word", "one of these comes after `garden plant`: water, cut"},
		{"plant wter", `unexpected argument wter, did you mean "water"?`, "one of these comes after `garden plant`: water, cut"},
		{"plant cut", "`garden plant cut` lacks TREE", cut},
		{"plant cut oak low fast", "unexpected argument fast", cut},
		{"plant cut oak top", `"top" is no value for WHERE; it is one of low, high`, cut},
		{"plant cut oak low --with knife", `"knife" is no value for --with TOOL; it is one of saw, axe`, cut},
		{"plant water", "`garden plant water` lacks TREE (tree by name), LITERS… (UDI of cans, such as can=5) and --why TEXT (why it is dry)", water},
		{"plant water oak", "`garden plant water` lacks LITERS… (UDI of cans, such as can=5) and --why TEXT (why it is dry)", water},
		{"plant water oak 3", "`garden plant water` lacks --why TEXT (why it is dry)", water},
		{"plant water oak 3 --why", "a value is missing after --why TEXT (why it is dry)", water},
		{"plant water oak 3 --why x --days y", `"y" is no whole number, which --days DAYS (how long, 1 to 365) needs`, water},
		{"plant water _ 3 --why x", "`garden plant water` lacks TREE (tree by name)", water},
		{"plant water oak 3 --wy x", "unknown flag --wy, did you mean \"--why\"?", water},
		{"plant water oak 3 --why x", "", ""},
	} {
		var l line
		parser, err := kong.New(&l, kong.Name("garden"), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		args := strings.Fields(c.line)
		for i, a := range args {
			if a == "_" {
				args[i] = ""
			}
		}
		k, err := Parse(parser, args)
		got, hint := "", ""
		if e := license.AsError(err); e != nil {
			got, hint = e.Message, e.Hint
			if e.Kind != license.KindInvalid || e.Code != "usage" {
				t.Errorf("%q: %v", c.line, fmt.Sprint(e.Kind, e.Code))
			}
		} else if err != nil || k == nil {
			t.Fatalf("%q: %v", c.line, err)
		}
		if got != c.text || hint != c.hint {
			t.Errorf("%q:\n got %s\n     %s\nwant %s\n     %s", c.line, got, hint, c.text, c.hint)
		}
	}
}
