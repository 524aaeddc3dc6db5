package house_test

import (
	"go/ast"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestRulesHaveTheirTests: docs/rules.md has a line for each of the rules 1 to 35, and every test that it names is in the tree.
func TestRulesHaveTheirTests(t *testing.T) {
	page, err := os.ReadFile("docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, s := range readTree(t) {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && strings.HasSuffix(s.path, "_test.go") {
				tests[f.Name.Name] = true
			}
		}
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	rows := map[int]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		rule, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		if err != nil {
			continue
		}
		rows[rule] = true
		all := named.FindAllStringSubmatch(cells[3], -1)
		if len(all) == 0 && !strings.Contains(cells[3], "no test: ") {
			t.Errorf("rule %d has neither a test nor a reason why not", rule)
		}
		for _, name := range all {
			if !tests[name[1]] {
				t.Errorf("rule %d names %s, which does not exist", rule, name[1])
			}
		}
	}
	for rule := 1; rule <= 35; rule++ {
		if !rows[rule] {
			t.Errorf("rule %d has no line", rule)
		}
	}
}
