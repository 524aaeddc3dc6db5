package console

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
)

// TestSpacesPage lists spaces page by page, finds them, and says of each what its owner comes to.
func TestSpacesPage(t *testing.T) {
	t.Parallel()
	e, _ := engineEstate(t)
	wantText(t, e.seen(t, "/directory/spaces"), "No space is known", "tally conference directory import FILE")
	var spaces []string
	for i := range 2*pageRows + 1 {
		spaces = append(spaces, fmt.Sprintf(`{"id":"s-%04d","name":"Room %d <of> alice","owner":"alice@acme.example"}`, i, i))
	}
	spaces = append(spaces, `{"id":"t-1","name":"Bob's","owner":"bob@acme.example"}`, `{"id":"t-2","name":"Left","owner":"gone@acme.example"}`, `{"id":"t-3"}`)
	_, err := e.console.Conference.ImportDirectory(t.Context(), "test", e.account.ID, fmt.Appendf(nil,
		`{"users":[{"jid":"alice@acme.example","personalLicense":true},{"jid":"bob@acme.example"}],"spaces":[%s]}`, strings.Join(spaces, ",")))
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, e.seen(t, "/directory"), `/directory/spaces">`)
	for query, want := range map[string][]string{
		"?owner=none":                {"1 space<", "no name", "t-3", ">no owner<", ">nobody<"},
		"?owner=unknown":             {"1 space<", "Left", "gone<wbr>@acme.example", ">not a user<", "the directory file", "not known"},
		"?owner=unlicensed":          {"1 space<", "Bob&#39;s", ">no personal license<"},
		"?find=+BOB%40acme&owner=no": {"1 space<", "Bob&#39;s", `value="BOB@acme"`},
		"?find=s-0007":               {"1 space<", "Room 7 &lt;of&gt; alice", ">personal license<"},
		"?find=nothing+like+it":      {"0 spaces<", "No space is found."},
	} {
		wantText(t, e.seen(t, "/directory/spaces"+query), want...)
	}
	rows, next := 0, "/directory/spaces?owner=licensed"
	for pages := 1; next != ""; pages++ {
		text := e.seen(t, next)
		rows += strings.Count(text, `<th scope="row">`)
		next = ""
		if found := regexp.MustCompile(`rel="next" href="/accounts/[^/]*([^"]*)"`).FindStringSubmatch(text); found != nil {
			next = html.UnescapeString(found[1])
		}
		if pages > 3 || !strings.Contains(text, fmt.Sprintf("%d spaces<", 2*pageRows+1)) {
			t.Fatalf("page %d of the list, then %q", pages, next)
		}
	}
	if rows != 2*pageRows+1 {
		t.Errorf("the pages have %d spaces, want %d", rows, 2*pageRows+1)
	}
}
