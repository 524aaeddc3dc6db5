package house_test

import (
	"go/ast"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestRulesHaveTheirTests: docs/rules.md has a line for each of the rules 1 to 35, docs/rules-licensing.md for 24 to 44 and 49
// to 53, and every test that they name is in the tree.
func TestRulesHaveTheirTests(t *testing.T) {
	tests := map[string]bool{}
	for _, s := range readTree(t) {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && strings.HasSuffix(s.path, "_test.go") {
				tests[f.Name.Name] = true
			}
		}
	}
	for _, page := range []struct {
		path  string
		spans [][2]int
	}{{"docs/rules.md", [][2]int{{1, 35}}}, {"docs/rules-licensing.md", [][2]int{{24, 44}, {49, 53}}}} {
		checkRules(t, page.path, page.spans, tests)
	}
}

// checkRules wants a line with a test or a reason why not for each rule of the spans.
func checkRules(t *testing.T, path string, spans [][2]int, tests map[string]bool) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
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
			t.Errorf("%s: rule %d has neither a test nor a reason why not", path, rule)
		}
		for _, name := range all {
			if !tests[name[1]] {
				t.Errorf("%s: rule %d names %s, which does not exist", path, rule, name[1])
			}
		}
	}
	for _, span := range spans {
		for rule := span[0]; rule <= span[1]; rule++ {
			if !rows[rule] {
				t.Errorf("%s: rule %d has no line", path, rule)
			}
		}
	}
}
