package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
)

func TestDemoRecordsAreThoseOfFortyMeetings(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 5, 6, 17, 0, 0, 0, time.UTC)
	posts, err := demoPosts(newDemoDirectory(), end)
	if err != nil {
		t.Fatal(err)
	}
	again, err := demoPosts(newDemoDirectory(), end)
	if err != nil {
		t.Fatal(err)
	}
	calls, ended, correlator := map[string]bool{}, 0, int64(0)
	for i, post := range posts {
		if !bytes.Equal(post.body, again[i].body) {
			t.Fatalf("post %d is not the same a second time", i)
		}
		parsed, err := cdr.Parse(post.body)
		if err != nil {
			t.Fatalf("post %d: %v\n%s", i, err, post.body)
		}
		for _, r := range parsed.Records {
			if r.Correlator != correlator {
				t.Fatalf("correlator %d, want %d", r.Correlator, correlator)
			}
			correlator++
			if r.At.After(end) || r.At.Before(end.Add(-demoDay)) || len(r.Unknown) > 0 {
				t.Errorf("record at %s with unknown %v, want it within the day and all known", r.At, r.Unknown)
			}
			switch r.Kind {
			case cdr.CallStart:
				calls[r.CallID] = true
			case cdr.CallEnd:
				ended++
			}
		}
	}
	if len(calls) != 40 || ended != 35 {
		t.Errorf("%d meetings of which %d ended, want 40 and 35", len(calls), ended)
	}
}

func TestDemoSpacesExistAsPlanned(t *testing.T) {
	t.Parallel()
	d := newDemoDirectory()
	seen := map[string]bool{}
	for _, u := range d.Users {
		if seen[u.JID] {
			t.Errorf("user %s is there twice", u.JID)
		}
		seen[u.JID] = true
	}
	for _, m := range demoMeetings() {
		owner := d.space(m.place).Owner
		if strings.HasSuffix(m.place, "'s space") {
			if u, ok := d.user(owner); !ok || !u.Personal {
				t.Errorf("the space %q has the owner %q, want one with a personal license", m.place, owner)
			}
		}
	}
}

func TestDemoShowsItsEstateAndLeavesNothing(t *testing.T) { // not parallel: it sets the environment
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	begun := time.Now()
	got := call(t, "demo", "--once", "--pace", "3s")
	t.Logf("the demo took %s", time.Since(begun))
	if got.code != 0 {
		t.Fatalf("exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	for _, want := range []string{
		`http://127\.0\.0\.1:\d+/signin\?code=si_[a-z0-9]+`,
		`The first result: "Boardroom" takes cms-smp-plus, rule `,
		`40 meetings, 15 on the personal license of their owner, 25 on shared licenses; 5 running\.`,
		`Shared Multiparty Plus in HQ: Out Of Compliance, 3 bought, 4 in use, 1 short\.`,
		`Expressway Rich Media Session in HQ: Out Of Compliance, 10 bought, 12 in use, 2 short\.`,
		`Shared licenses were short \d times, for `,
		`The worst moment was .* UTC: 4 1/6 in use, 3 owned, 2 missing\.`,
		`What would help: 2 shared licenses more than were owned then\.`,
		`example has 4 virtual accounts, one of them at a satellite, \d+ orders, \d+ users, \d+ spaces and 3 products\.`,
		`export TALLY_KEY=tally_[a-z0-9]+`,
		`tally satellite show Plant`,
		`tally sync export --preview`,
		`tally meeting why mtg_[a-z0-9]+`,
	} {
		if !regexp.MustCompile(want).MatchString(got.stdout) {
			t.Errorf("the demo does not print %s; it prints\n%s", want, got.stdout)
		}
	}
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if path != folder {
			t.Errorf("the demo leaves %s", path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}
