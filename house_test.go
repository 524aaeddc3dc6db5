// Package house_test holds the laws of the house as data and fails on anything else: which
// package may import which, what the pure rooms may not touch, where SQL, processes and the
// clock are allowed, and how packages are named and introduced. It reads the source as a tree
// and runs nothing of it. It does not check behavior; the packages' own tests do.
//
// A room is a top-level package with its sub-folders. Adding one takes a row in rooms and a
// note in docs/decisions.
package house_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module    = "github.com/tallystick/tallystick"
	storetest = "internal/store/storetest"
	goJose    = "github.com/go-jose/go-jose/v4"
)

// room is one row of the floor table. Imports point down only: a room sees the rooms in sees
// and itself, never one that stands on a higher floor.
type room struct {
	dir   string
	floor int
	sees  string // names of rooms, "*" for all
}

var rooms = []room{
	{"internal/license", 0, ""},
	{"internal/meeting", 0, ""},
	{"internal/cdr", 0, ""},
	{"internal/trust", 0, ""},
	{"internal/qrcode", 0, ""},
	{"api", 0, ""},
	{"internal/access", 1, "license"},
	{"internal/callbridge", 1, "license"},
	{"internal/wire", 1, "license trust"},
	{"internal/words", 1, "license"},
	{"internal/directory", 1, "license meeting"},
	{"agent", 2, "license trust wire"},
	{"internal/store", 2, "license meeting access cdr trust"},
	{"internal/authority", 3, "license access trust wire store"},
	{"internal/satellite", 3, "license access trust wire store authority"},
	{"internal/conference", 3, "license meeting cdr directory callbridge trust store agent"},
	{"internal/web", 4, "api wire trust cdr callbridge license meeting access authority satellite conference"},
	{"internal/local", 3, "agent license trust"},
	{"internal/console", 4, "qrcode trust wire license meeting access authority satellite conference"},
	{"cmd/tally", 5, "*"},
	{"cmd/tally-agent", 5, "agent qrcode license trust wire words local"},
	{"examples", 5, "agent"},
}

// Rooms under further laws, by name.
var (
	pure       = []string{"license", "meeting", "cdr"}
	standalone = []string{"license", "meeting", "cdr", "trust", "wire", "agent"}
	signing    = []string{"trust", "wire", "agent"} // of standalone, those that may use go-jose
)

func (r room) name() string { return path.Base(r.dir) }

// roomOf finds the room that a folder belongs to.
func roomOf(dir string) (room, bool) {
	for _, r := range rooms {
		if dir == r.dir || strings.HasPrefix(dir, r.dir+"/") {
			return r, true
		}
	}
	return room{}, false
}

// source is one parsed Go file. Its path is slash-separated and starts at the module's root.
type source struct {
	path   string
	set    *token.FileSet
	syntax *ast.File
}

func (s source) dir() string   { return path.Dir(s.path) }
func (s source) isTest() bool  { return strings.HasSuffix(s.path, "_test.go") || s.isStory() }
func (s source) isStory() bool { return strings.HasPrefix(s.path, "test/") }
func (s source) ships() bool   { return !strings.HasSuffix(s.path, "_test.go") }
func (s source) isCmd() bool   { return strings.HasPrefix(s.path, "cmd/") }
func (s source) room() string {
	r, _ := roomOf(s.dir())
	return r.name()
}

// breach words one broken law with its place.
func (s source) breach(at ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.set.Position(at.Pos()).Line, fmt.Sprintf(format, args...))
}

// imports calls each with every imported path.
func (s source) imports(each func(spec *ast.ImportSpec, imported string)) {
	for _, spec := range s.syntax.Imports {
		if imported, err := strconv.Unquote(spec.Path.Value); err == nil {
			each(spec, imported)
		}
	}
}

// forbid lists the imports for which the argument answers true.
func (s source) forbid(bad func(imported string) bool, why string) (breaches []string) {
	s.imports(func(spec *ast.ImportSpec, imported string) {
		if bad(imported) {
			breaches = append(breaches, s.breach(spec, "%s imports %s: %s", s.dir(), imported, why))
		}
	})
	return breaches
}

// uses finds the selections of the given names from an imported package, under whatever name
// the file imports it. A dot import hides them and is itself reported.
func (s source) uses(imported string, names ...string) []ast.Expr {
	var found []ast.Expr
	s.imports(func(spec *ast.ImportSpec, p string) {
		if p != imported {
			return
		}
		local := path.Base(p)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		if local == "." {
			found = append(found, spec.Name)
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(names, sel.Sel.Name) {
				return true
			}
			// A name that the file itself declares has an object; an import has none.
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && x.Obj == nil {
				found = append(found, sel)
			}
			return true
		})
	})
	return found
}

func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// under reports whether an import path is one of the roots or lies below one.
func under(imported string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return imported == root || strings.HasPrefix(imported, root+"/")
	})
}

// laws are the checks, by name. Each lists what breaks it.
var laws = map[string]func([]source) []string{
	"rooms":           perFile(checkRooms),
	"floors":          perFile(checkFloors),
	"purity":          perFile(checkPurity),
	"databases":       perFile(checkDatabases),
	"processes":       perFile(checkProcesses),
	"clock":           perFile(checkClock),
	"modules":         perFile(checkModules),
	"names":           perFile(checkNames),
	"unfinished work": perFile(checkUnfinished),
	"skipped tests":   perFile(checkSkips),
	"introductions":   checkIntroductions,
}

func perFile(check func(source) []string) func([]source) []string {
	return func(tree []source) []string {
		var breaches []string
		for _, s := range tree {
			breaches = append(breaches, check(s)...)
		}
		return breaches
	}
}

func checkRooms(s source) []string {
	_, known := roomOf(s.dir())
	if known || s.isStory() || s.dir() == "." && s.isTest() {
		return nil
	}
	return []string{s.breach(s.syntax, "%s is no room of the house", s.dir())}
}

func checkFloors(s source) (breaches []string) {
	from, ok := roomOf(s.dir())
	if !ok || s.isStory() {
		return nil
	}
	s.imports(func(spec *ast.ImportSpec, imported string) {
		dir, ours := strings.CutPrefix(imported, module+"/")
		if !ours {
			return
		}
		if dir == storetest && from.name() != "store" {
			if !s.isTest() || from.floor < 3 {
				breaches = append(breaches, s.breach(spec, "%s is for tests from floor 3 upward", storetest))
			}
			return
		}
		if strings.HasPrefix(dir, "test/") {
			if !s.isTest() {
				breaches = append(breaches, s.breach(spec, "%s is for tests", dir))
			}
			return
		}
		to, known := roomOf(dir)
		allowed := known && (to == from || from.sees == "*" || slices.Contains(strings.Fields(from.sees), to.name()))
		if !allowed {
			breaches = append(breaches, s.breach(spec, "%s may not import %s", from.dir, dir))
		}
	})
	return breaches
}

func checkPurity(s source) (breaches []string) {
	if s.isTest() || !slices.Contains(pure, s.room()) {
		return nil
	}
	breaches = s.forbid(func(imported string) bool {
		return under(imported, "net", "os", "database", "math/rand", "crypto/rand", "syscall")
	}, "a pure room knows only values")
	for _, use := range s.uses("time", "Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker") {
		breaches = append(breaches, s.breach(use, "%s is pure and may not ask the clock", s.room()))
	}
	return breaches
}

func checkDatabases(s source) []string {
	if s.isStory() || s.room() == "store" {
		return nil
	}
	return s.forbid(func(imported string) bool {
		return under(imported, "database/sql", "modernc.org/sqlite", "github.com/jackc", "github.com/pressly/goose")
	}, "all SQL is in internal/store")
}

func checkProcesses(s source) []string {
	if s.isTest() {
		return nil
	}
	return s.forbid(func(imported string) bool { return imported == "os/exec" }, "only tests start processes")
}

// checkClock allows time.Now outside cmd only as the value given to something named Now.
func checkClock(s source) (breaches []string) {
	if s.isTest() || s.isCmd() {
		return nil
	}
	defaults := map[ast.Expr]bool{}
	assign := func(target ast.Node, value ast.Expr) {
		if sel, ok := target.(*ast.SelectorExpr); ok {
			target = sel.Sel
		}
		if id, ok := target.(*ast.Ident); ok && strings.EqualFold(id.Name, "Now") {
			defaults[value] = true
		}
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			assign(n.Key, n.Value)
		case *ast.AssignStmt:
			for i := range min(len(n.Lhs), len(n.Rhs)) {
				assign(n.Lhs[i], n.Rhs[i])
			}
		case *ast.ValueSpec:
			for i := range min(len(n.Names), len(n.Values)) {
				assign(n.Names[i], n.Values[i])
			}
		}
		return true
	})
	for _, use := range s.uses("time", "Now", "Since", "Until") {
		if !defaults[use] {
			breaches = append(breaches, s.breach(use, "time is injected: the clock is only the default of a Now field"))
		}
	}
	return breaches
}

func checkModules(s source) []string {
	if s.isTest() || !slices.Contains(standalone, s.room()) {
		return nil
	}
	return s.forbid(func(imported string) bool {
		allowed := slices.Contains(signing, s.room()) && under(imported, goJose)
		return !isStandard(imported) && !under(imported, module) && !allowed
	}, "products embed this room and link nothing further")
}

var shapeless = []string{"util", "common", "helper", "misc", "type", "model", "base", "core", "manager"}

func checkNames(s source) (breaches []string) {
	declared := strings.TrimSuffix(s.syntax.Name.Name, "_test")
	for _, name := range []string{declared, path.Base(s.dir())} {
		if slices.Contains(shapeless, strings.TrimSuffix(name, "s")) {
			breaches = append(breaches, s.breach(s.syntax.Name, "%s names no subject", name))
		}
	}
	return breaches
}

var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)

func checkUnfinished(s source) (breaches []string) {
	for _, group := range s.syntax.Comments {
		if word := unfinished.FindString(group.Text()); word != "" && !ast.IsGenerated(s.syntax) {
			breaches = append(breaches, s.breach(group, "%s: finish it, or open an issue", word))
		}
	}
	return breaches
}

// checkSkips finds Skip on anything declared as a parameter of a type of package testing.
func checkSkips(s source) (breaches []string) {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
			return true
		}
		receiver, ok := sel.X.(*ast.Ident)
		if !ok || receiver.Obj == nil {
			return true
		}
		field, ok := receiver.Obj.Decl.(*ast.Field)
		if !ok {
			return true
		}
		declared := field.Type
		if star, ok := declared.(*ast.StarExpr); ok {
			declared = star.X
		}
		if slices.Contains(s.uses("testing", "T", "B", "F", "TB"), declared) {
			breaches = append(breaches, s.breach(sel, "a test that cannot run fails, it does not skip"))
		}
		return true
	})
	return breaches
}

// checkIntroductions wants a package comment for every package that is written by hand. A
// package of tests alone introduces itself in a test file.
func checkIntroductions(tree []source) (breaches []string) {
	packages := map[string][]source{}
	for _, s := range tree {
		if !ast.IsGenerated(s.syntax) {
			packages[s.dir()] = append(packages[s.dir()], s)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		files := packages[dir]
		if slices.ContainsFunc(files, source.ships) {
			files = slices.DeleteFunc(files, func(s source) bool { return !s.ships() })
		}
		if !slices.ContainsFunc(files, introduces) {
			breaches = append(breaches, files[0].breach(files[0].syntax, "package %s has no package comment", dir))
		}
	}
	return breaches
}

func introduces(s source) bool {
	doc := s.syntax.Doc.Text()
	name := s.syntax.Name.Name
	return name == "main" && doc != "" || strings.HasPrefix(doc, "Package "+name+" ")
}

// undecided lists the direct requirements of a go.mod that the decision notes do not name.
func undecided(gomod, notes string) (breaches []string) {
	requirement := regexp.MustCompile(`(?m)^(?:require )?\s*([a-z0-9.-]+\.[a-z]+/\S+) v\S+$`)
	for _, match := range requirement.FindAllStringSubmatch(gomod, -1) {
		if !strings.Contains(notes, "`"+match[1]+"`") {
			breaches = append(breaches, fmt.Sprintf("go.mod: docs/decisions has no sentence on %s", match[1]))
		}
	}
	return breaches
}

// foreign lists the modules, one a line as go list prints them, that a product which embeds
// the agent should not have to link.
func foreign(linked string) []string {
	modules := slices.Compact(slices.Sorted(strings.FieldsSeq(linked)))
	return slices.DeleteFunc(modules, func(m string) bool { return m == module || m == goJose })
}

func parse(t *testing.T, name string, text []byte) source {
	t.Helper()
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return source{name, set, syntax}
}

// readTree parses all Go files below the module's root, generated ones and all build tags included.
func readTree(t *testing.T) []source {
	t.Helper()
	var tree []source
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := name != "." && strings.ContainsAny(entry.Name()[:1], "._")
		if entry.IsDir() && (hidden || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || hidden || path.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		tree = append(tree, parse(t, filepath.ToSlash(name), text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestHouse(t *testing.T) {
	t.Parallel()
	tree := readTree(t)
	for name, check := range laws {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, breach := range check(tree) {
				t.Error(breach)
			}
		})
	}
}

func TestDependenciesAreDecided(t *testing.T) {
	t.Parallel()
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("docs/decisions/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no decision notes: %v", err)
	}
	var notes strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		notes.Write(text)
	}
	for _, breach := range undecided(string(gomod), notes.String()) {
		t.Error(breach)
	}
}

// TestDecisionsAreNumberedOnce keeps a note's number out of the hands of two.
func TestDecisionsAreNumberedOnce(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]string{}
	for _, file := range files {
		number, _, _ := strings.Cut(filepath.Base(file), "-")
		if other := taken[number]; other != "" {
			t.Errorf("%s has the number of %s", file, other)
		}
		taken[number] = file
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# "+number+" ") {
			t.Errorf("%s does not begin with its number: # %s …", file, number)
		}
	}
}

func TestAgentLinksNoFurtherModule(t *testing.T) {
	t.Parallel()
	built := map[string]bool{}
	for _, s := range readTree(t) {
		built[s.room()] = built[s.room()] || s.ships()
	}
	for _, r := range rooms {
		if !built[r.name()] || !slices.Contains(standalone, r.name()) {
			continue
		}
		pattern := "./" + r.dir + "/..."
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", pattern)
		out, err := list.CombinedOutput()
		if err != nil {
			t.Fatalf("go list %s: %v\n%s", pattern, err, out)
		}
		for _, m := range foreign(string(out)) {
			t.Errorf("%s links %s", r.dir, m)
		}
	}
}
