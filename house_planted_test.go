package house_test

import (
	"slices"
	"strings"
	"testing"
)

func TestFloorsPointDown(t *testing.T) {
	t.Parallel()
	for i, from := range rooms {
		for name := range strings.FieldsSeq(strings.TrimPrefix(from.sees, "*")) {
			if !slices.ContainsFunc(rooms[:i], func(r room) bool { return r.name() == name }) {
				t.Errorf("%s sees %s, which does not stand above it in the table", from.dir, name)
			}
		}
	}
}

// TestLawsCatch plants one thing at a time and wants each law to see its breach and to leave
// alone what is allowed. A check that cannot fail is a defect.
func TestLawsCatch(t *testing.T) {
	t.Parallel()
	const ours = `import _ "` + module
	tests := []struct {
		law, path, code string
		broken          bool
	}{
		{"rooms", "internal/ledger/ledger.go", ``, true},
		{"rooms", "cmd/tally-load/main.go", ``, true},
		{"rooms", "doc.go", ``, true},
		{"rooms", "internal/store/db/query.go", ``, false},
		{"rooms", "test/register/register_test.go", ``, false},
		{"floors", "internal/license/a.go", ours + `/internal/trust"`, true},
		{"floors", "internal/store/db/a.go", ours + `/internal/authority"`, true},
		{"floors", "internal/console/a.go", ours + `/internal/store/db"`, true},
		{"floors", "internal/access/a_test.go", ours + `/internal/trust"`, true},
		{"floors", "internal/license/a.go", ours + `/test/server"`, true},
		{"floors", "internal/authority/a.go", ours + `/internal/store/storetest"`, true},
		{"floors", "cmd/tally/a.go", ours + `/internal/store/storetest"`, true},
		{"floors", "agent/a_test.go", ours + `/internal/store/storetest"`, true},
		{"floors", "cmd/tally-agent/a.go", ours + `/internal/store"`, true},
		{"floors", "internal/console/a_test.go", ours + `/internal/store/storetest"`, false},
		{"floors", "internal/store/a_test.go", ours + `/internal/store/storetest"`, false},
		{"floors", "internal/store/a.go", ours + `/internal/store/db"`, false},
		{"floors", "internal/authority/a.go", ours + `/internal/store"`, false},
		{"floors", "cmd/tally/a.go", ours + `/internal/console"`, false},
		{"purity", "internal/cdr/a.go", `import _ "net/http"`, true},
		{"purity", "internal/license/a.go", `import _ "math/rand/v2"`, true},
		{"purity", "internal/meeting/a.go", `import "time"; var now = time.Now`, true},
		{"purity", "internal/meeting/a.go", `import clock "time"; var _ = clock.Tick(1)`, true},
		{"purity", "internal/meeting/a.go", `import . "time"`, true},
		{"purity", "internal/meeting/a.go", `import "time"; var _ = time.Unix(0, 0)`, false},
		{"purity", "internal/cdr/a_test.go", `import _ "os"`, false},
		{"databases", "internal/web/a.go", `import _ "database/sql"`, true},
		{"databases", "cmd/tally/a_test.go", `import _ "github.com/jackc/pgx/v5/stdlib"`, true},
		{"databases", "internal/store/db/a.go", `import _ "database/sql"`, false},
		{"databases", "test/crash/checker.go", `import _ "database/sql"`, false},
		{"processes", "cmd/tally/a.go", `import _ "os/exec"`, true},
		{"processes", "cmd/tally/a_test.go", `import _ "os/exec"`, false},
		{"clock", "agent/a.go", `import "time"; var start = time.Now()`, true},
		{"clock", "agent/a.go", `import "time"; var Now = time.Now()`, true},
		{"clock", "agent/a.go", `import "time"; var clock = time.Now`, true},
		{"clock", "agent/a.go", `import "time"; func f(t time.Time) { _ = time.Since(t) }`, true},
		{"clock", "agent/a.go", `import "time"; func f(a *struct{ Now func() time.Time }) { a.Now = time.Now }`, false},
		{"clock", "agent/a.go", `import "time"; var _ = struct{ Now func() time.Time }{Now: time.Now}`, false},
		{"clock", "agent/a.go", `import _ "time"; func f(time struct{ Now func() int }) { _ = time.Now() }`, false},
		{"clock", "cmd/tally/a.go", `import "time"; var start = time.Now()`, false},
		{"modules", "internal/license/a.go", `import _ "` + goJose + `"`, true},
		{"modules", "internal/wire/a.go", `import _ "golang.org/x/crypto/cryptobyte"`, true},
		{"modules", "internal/trust/a.go", `import _ "` + goJose + `/jwt"`, false},
		{"names", "internal/web/utils/a.go", `package utils`, true},
		{"names", "internal/web/a.go", `package common_test`, true},
		{"names", "internal/web/a.go", `package web`, false},
		{"unfinished work", "agent/a.go", `// ` + `TO` + `DO: more`, true},
		{"unfinished work", "agent/a.go", `// mastodon't`, false},
		{"skipped tests", "agent/a_test.go", `import "testing"; func TestA(t *testing.T) { t.Skip() }`, true},
		{"skipped tests", "internal/store/storetest/a.go", `import "testing"; func f(x testing.TB) { x.Skipf("") }`, true},
		{"skipped tests", "internal/cdr/a_test.go", `import "testing"; func f(t *testing.T, d decoder) { d.Skip() }`, false},
		{"introductions", "agent/a.go", ``, true},
		{"introductions", "agent/a.go", "// Agent is what a product embeds.\npackage agent", true},
		{"introductions", "agent/a.go", "// Package agent is what a product embeds.\npackage agent", false},
		{"introductions", "cmd/tally/a.go", "// Tally is the server.\npackage main", false},
		{"introductions", "internal/store/db/a.go", "// Code generated by sqlc. DO NOT EDIT.\n\npackage db", false},
	}
	caught := map[string]bool{}
	for _, test := range tests {
		code := test.code
		if !strings.Contains(code, "package ") {
			code = "package planted\n" + code
		}
		breaches := laws[test.law]([]source{parse(t, test.path, []byte(code))})
		if got := len(breaches) > 0; got != test.broken {
			t.Errorf("%s: %s with %q: got breaches %q, want any: %t", test.law, test.path, test.code, breaches, test.broken)
		}
		caught[test.law] = caught[test.law] || test.broken
	}
	for name := range laws {
		if !caught[name] {
			t.Errorf("nothing is planted for the law on %s", name)
		}
	}
}

func TestModuleLawsCatch(t *testing.T) {
	t.Parallel()
	const gomod = "require (\n\tgithub.com/a/b v1.0.0\n\tgithub.com/c/d v1.0.0 // indirect\n)\nrequire example.org/e v0.1.0\n"
	if got := undecided(gomod, "`example.org/e`: for a test"); len(got) != 1 || !strings.Contains(got[0], "github.com/a/b") {
		t.Errorf("undecided: got %q, want a breach for github.com/a/b only", got)
	}
	if got := foreign("\n" + module + "\n" + goJose + "\nexample.org/e\nexample.org/e\n"); !slices.Equal(got, []string{"example.org/e"}) {
		t.Errorf("foreign: got %q, want example.org/e only", got)
	}
}
