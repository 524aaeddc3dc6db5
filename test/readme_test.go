package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeTour types the commands of README's five-minute tour, as they stand there, into a shell. Only the building is left
// out, which was done before, and the port is a free one.
func TestReadmeTour(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "## Five minutes\n\n```sh\n")
	script, _, closed := strings.Cut(rest, "```")
	_, script, built := strings.Cut(script, "\n\n")
	if !found || !closed || !built {
		t.Fatal("README has no tour in the form that this test reads")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	script = strings.ReplaceAll(script, "127.0.0.1:8080", free.Addr().String())
	_ = free.Close()
	cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", "trap 'kill %1' EXIT\n"+script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "TALLY_") }), "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the tour: %v\n%s", err, out)
	}
	for _, want := range []string{"Status: AUTHORIZED", "Status: OUT OF COMPLIANCE", "Out Of Compliance"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the tour lacks %q:\n%s", want, out)
		}
	}
}

// TestLinksLead: every relative link of the project's pages leads to a file.
func TestLinksLead(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile("(?s)```.*?```|`[^`]*`")
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/decisions/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil || len(pages) == 0 {
			t.Fatalf("no pages in %s: %v", pattern, err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
				if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
					t.Errorf("%s links to %s, which is not there", page, m[1])
				}
			}
		}
	}
}
