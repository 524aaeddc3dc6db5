package test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the commands of pages print into them anew")

// TestWhyThisLicense types the commands of docs/why-this-license.md, block by block, and compares what they print with the block
// that follows. Times of day are not compared.
func TestWhyThisLicense(t *testing.T) {
	t.Parallel()
	const page = "../docs/why-this-license.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, filepath.Join(t.TempDir(), "tally.db"))
	d.run(0, tally(), "account", "create", "acme.example")
	d.run(0, tally(), "conference", "enable")
	dir := t.TempDir()
	env := append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "TALLY_") }), d.env...)
	env = append(env, "PATH="+bin+":"+os.Getenv("PATH"))
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```\n(\n```text\n.*?```\n)?")
	typed := 0
	got := blocks.ReplaceAllStringFunc(string(text), func(block string) string {
		typed++
		script := blocks.FindStringSubmatch(block)[1]
		cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = dir, env
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s%s", script, err, out, stderr.Bytes())
		}
		if len(out) == 0 {
			return "```sh\n" + script + "```\n"
		}
		return "```sh\n" + script + "```\n\n```text\n" + string(out) + "```\n"
	})
	if typed < 10 {
		t.Fatalf("the page has %d blocks of commands", typed)
	}
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	times := regexp.MustCompile(`\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d`)
	is, stands := strings.Split(times.ReplaceAllString(got, "T"), "\n"), strings.Split(times.ReplaceAllString(string(text), "T"), "\n")
	if !slices.Equal(is, stands) {
		for i := range min(len(is), len(stands)) {
			if is[i] != stands[i] {
				t.Fatalf("line %d is now %q and stands there as %q; -update writes the page anew", i+1, is[i], stands[i])
			}
		}
		t.Fatal("the page has another length; -update writes it anew")
	}
}
