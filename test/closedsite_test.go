package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/test/play"
)

// codeText finds codes, ids and times in a transcript.
var (
	codeText = regexp.MustCompile(`\b[QCRD]1[0-9A-Z]{3}(-[0-9A-Z]{5}){4,5}\b`)
	idText   = regexp.MustCompile(`\b(rsv|ins|lot|acc|va)_[0-9a-z]{26}\b`)
	rootText = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	timeText = regexp.MustCompile(`\b20\d\d-\d\d-\d\d(T| )\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z)`)
)

// plainText is a transcript without what is different every time.
func plainText(s string) string {
	s = codeText.ReplaceAllStringFunc(s, func(c string) string { return c[:1] + strings.Repeat("-", len(c)-1) })
	s = idText.ReplaceAllString(s, "$1")
	s = rootText.ReplaceAllString(s, "ROOT")
	return timeText.ReplaceAllString(s, "TIME")
}

// closedSite is an authority with its database, and a product that cannot reach it.
type closedSite struct {
	dir, data, database string
	server              *play.Server
	env                 []string
}

func newClosedSite(t *testing.T, database string) *closedSite {
	t.Helper()
	c := &closedSite{dir: t.TempDir(), data: t.TempDir(), database: database}
	stdout, stderr, code := play.Run(t.Context(), nil, tally(), "bootstrap", "--data", c.data, "--db", database)
	if code != 0 {
		t.Fatal(stderr)
	}
	c.env = []string{"TALLY_KEY=" + strings.TrimSpace(stdout), "TALLY_AGENT_STATE=" + filepath.Join(c.dir, "product"), "PATH=" + filepath.Dir(tally()) + ":" + os.Getenv("PATH")}
	c.serve(t)
	order := filepath.Join(c.dir, "order.json")
	if err := os.WriteFile(order, []byte(`{"order":"SO-1","account":"acme.example","lines":[{"tag":"cms-smp-plus","quantity":10}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must(t, "tally account create acme.example && tally order import order.json && rm order.json")
	return c
}

func (c *closedSite) serve(t *testing.T) {
	t.Helper()
	c.server = play.Serve(t, tally(), "serve", "--data", c.data, "--db", c.database, "--plaintext", "--listen", "127.0.0.1:0")
}

// command is one line of a shell on one of the two machines.
func (c *closedSite) command(t *testing.T, line string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = c.dir
	cmd.Env = append(slices.Clone(c.env), "TALLY_URL="+c.server.URL)
	return cmd
}

func (c *closedSite) must(t *testing.T, line string) string {
	t.Helper()
	out, err := c.command(t, line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// TestClosedSiteAsDocumented plays the ceremony of docs/closed-site.md: every line of it is typed, with the codes of this run in
// place of those on the page, and must print what stands there. TALLY_TEST_WRITE=1 writes the page anew from the terminal.
func TestClosedSiteAsDocumented(t *testing.T) {
	t.Parallel()
	const page = "../docs/closed-site.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	c := newClosedSite(t, filepath.Join(t.TempDir(), "tally.db"))
	codes := map[string]string{} // of the page to those of this run
	parts := strings.Split(string(text), "<!-- transcript -->\n```\n")
	for i := 1; i < len(parts); i++ {
		block, rest, _ := strings.Cut(parts[i], "```\n")
		var again strings.Builder
		for _, chunk := range strings.Split("\n"+block, "\nproduct$ ") {
			for j, piece := range strings.Split("\n"+chunk, "\nauthority$ ") {
				machine := "product$ "
				if j > 0 {
					machine = "authority$ "
				}
				piece = strings.TrimPrefix(piece, "\n")
				if strings.TrimSpace(piece) == "" {
					continue
				}
				line, printed, _ := strings.Cut(piece, "\n")
				typed := codeText.ReplaceAllStringFunc(line, func(s string) string {
					if now, ok := codes[s]; ok {
						return now
					}
					return codes["newest "+s[:1]] // the line was written before there was a transcript
				})
				out := c.must(t, typed)
				was, is := codeText.FindAllString(printed, -1), codeText.FindAllString(out, -1)
				for n, code := range is {
					codes["newest "+code[:1]] = code
					if n < len(was) {
						codes[was[n]] = code
					}
				}
				if got, want := plainText(strings.TrimSpace(out)), plainText(strings.TrimSpace(printed)); got != want && os.Getenv("TALLY_TEST_WRITE") == "" {
					t.Errorf("%s printed\n%s\nand the page says\n%s", line, got, want)
				}
				again.WriteString(machine + typed + "\n" + strings.TrimRight(out, "\n") + "\n")
			}
		}
		parts[i] = again.String() + "```\n" + rest
	}
	if os.Getenv("TALLY_TEST_WRITE") != "" {
		if err := os.WriteFile(page, []byte(strings.Join(parts, "<!-- transcript -->\n```\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRule42KilledAtEachStep kills the product, or the authority, at some instant of every step of the ceremony, and does the step
// again until it is done: the ceremony can always be finished, and the books sum to zero.
func TestRule42KilledAtEachStep(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, database string) {
		c := newClosedSite(t, database)
		const r = "tally-agent license smart reservation "
		c.must(t, "tally-agent init --product CB --pid CMS-1000 --sn A1 && "+r+"enable")
		field := func(name string) string {
			return `$(` + r + `show --json | sed -n 's/.*"` + name + `": "\(.*\)".*/\1/p' | head -n 1)`
		}
		steps := []struct {
			line   string
			server bool
		}{
			{r + "request", false},
			{`tally reservation create "` + field("requestCode") + `" cms-smp-plus=5`, true},
			{`tally reservation show A1 -o one.txt`, true},
			{r + "install-file one.txt || " + r + "show | grep 'Confirmation code'", false},
			{`tally reservation confirm A1 "` + field("confirmationCode") + `"`, true},
			{`tally reservation update A1 cms-smp-plus=2`, true},
			{`tally reservation show A1 -o two.txt`, true},
			{r + "install-file two.txt || " + r + "show | grep 'Confirmation code'", false},
			{`tally reservation confirm A1 "` + field("confirmationCode") + `"`, true},
			{r + "return", false},
			{`tally reservation return A1 "` + field("returnCode") + `"`, true},
			{r + "return complete", false},
			{r + "request", false},
			{r + "cancel", false},
			{r + "disable", false},
		}
		for n, step := range steps {
			for try := range 3 {
				cmd := c.command(t, "exec 2>&1; "+step.line)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				// The instant is another one for every step and try; a busy machine moves it further.
				if step.server {
					c.must(t, "sleep 0.0"+string(rune('0'+(n+3*try)%10)))
					c.server.Kill()
					_ = cmd.Wait() // whatever became of it
					c.serve(t)
				} else {
					c.must(t, "sleep 0.00"+string(rune('0'+(n+3*try)%10)))
					_ = cmd.Process.Kill()
					_ = cmd.Wait()
				}
			}
			c.must(t, step.line)
		}
		if out := c.must(t, "tally event verify"); !strings.Contains(out, "0 problems") {
			t.Errorf("the books: %s", out)
		}
		if out := c.must(t, "tally license list"); !regexp.MustCompile(`cms-smp-plus +Default +10 +0 +0 `).MatchString(out) {
			t.Errorf("everything is free again: %s", out)
		}
	})
}
