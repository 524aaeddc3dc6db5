package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// laws are the constructs that behave differently on the two databases, or hide what a statement does.
func laws() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"a star where columns are named":                  regexp.MustCompile(`(?i)(\bselect|\breturning|,)\s+(\w+\.)?\*|\bselect\s+distinct\s+\*`),
		"LIKE":                                            regexp.MustCompile(`(?i)\bi?like\b`),
		"the time of the database":                        regexp.MustCompile(`(?i)\bnow\s*\(\s*\)|\bcurrent_(timestamp|date|time)\b|\b(clock|statement|transaction)_timestamp\b|\b(unixepoch|julianday|strftime)\b`),
		"a parameter without a number":                    regexp.MustCompile(`\?`),
		"a trigger":                                       regexp.MustCompile(`(?i)\bcreate\s+(or\s+replace\s+)?trigger\b`),
		"a constraint that is checked at COMMIT":          regexp.MustCompile(`(?i)\bdeferr(able|ed)\b`),
		"FOR UPDATE, which only one of the databases has": regexp.MustCompile(`(?i)\bfor\s+(no\s+key\s+)?(update|share)\b`),
	}
}

func broken(text string) (names []string) {
	for name, law := range laws() {
		if law.MatchString(text) {
			names = append(names, name)
		}
	}
	return names
}

// sqlTexts are the statements of queries, migrations, and the strings of the package's Go files, by where they stand.
// Comments and quoted text do not count.
func sqlTexts(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	read := func(pattern string) []string {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		return files
	}
	comment := regexp.MustCompile(`--[^\n]*|'[^']*'`)
	for _, file := range append(read("queries/*.sql"), read("migrations/*.sql")...) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = comment.ReplaceAllString(string(content), "")
	}
	statement := regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|VALUES|WHERE|RETURNING|ON CONFLICT)\b`)
	for _, file := range read("*.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && statement.MatchString(text) {
					texts[set.Position(lit.Pos()).String()] = comment.ReplaceAllString(text, "")
				}
			}
			return true
		})
	}
	return texts
}

func TestStatementsKeepTheLaws(t *testing.T) {
	t.Parallel()
	for place, text := range sqlTexts(t) {
		for _, name := range broken(text) {
			t.Errorf("%s: %s", place, name)
		}
	}
}

func TestABrokenLawIsFound(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"SELECT * FROM lot", "select l.* from lot l", "SELECT id, * FROM lot", "INSERT INTO lot (id) VALUES ($1) RETURNING *",
		"SELECT id FROM lot WHERE name LIKE $1", "SELECT now()", "SELECT CURRENT_TIMESTAMP", "SELECT id FROM lot WHERE id = ?",
		"CREATE TRIGGER x", "SELECT id FROM lot FOR UPDATE", "REFERENCES lot DEFERRABLE INITIALLY DEFERRED",
	} {
		if len(broken(text)) != 1 {
			t.Errorf("%q: got %q, want one broken law", text, broken(text))
		}
	}
	for _, text := range []string{"SELECT count(*) FROM lot", "SELECT a * b FROM lot", "UPDATE account SET last_at = sqlc.arg(now)"} {
		if names := broken(text); len(names) != 0 {
			t.Errorf("%q: got %q, want none", text, names)
		}
	}
}
