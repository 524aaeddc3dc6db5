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
	checkStates(t, "docs/rules-licensing.md", map[string][2]int{"R": {1, 12}, "A": {0, 10}, "P": {1, 9}, "Q": {1, 10}, "T": {1, 3}, "S": {1, 6}}, tests)
}

// checkStates wants a line with a test for each row of the state machines.
func checkStates(t *testing.T, path string, spans map[string][2]int, tests map[string]bool) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	named, row := regexp.MustCompile("`(Test[A-Za-z0-9]+)`"), regexp.MustCompile(`^\| ([A-Z]\d+) \|.*\|([^|]*)\|$`)
	rows := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := row.FindStringSubmatch(strings.TrimSpace(line))
		if cells == nil {
			continue
		}
		all := named.FindAllStringSubmatch(cells[2], -1)
		rows[cells[1]] = len(all) > 0
		for _, name := range all {
			if !tests[name[1]] {
				t.Errorf("%s: row %s names %s, which does not exist", path, cells[1], name[1])
			}
		}
	}
	for letter, span := range spans {
		for n := span[0]; n <= span[1]; n++ {
			if name := letter + strconv.Itoa(n); !rows[name] {
				t.Errorf("%s: row %s has no test", path, name)
			}
		}
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
