package conference

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// people are n users of a domain, each of whom the source says the same of.
func people(n int, flag directory.Flag) []directory.User {
	out := make([]directory.User, n)
	for i := range out {
		out[i] = directory.User{JID: fmt.Sprintf("user%04d@acme.example", i), Name: fmt.Sprintf("User %d", i), Personal: flag}
	}
	return out
}

func group(users []directory.User, flag directory.Flag) sourcePut {
	return sourcePut{source: directory.Source{Kind: directory.LDAP, ID: "lds_1", Name: "Group", Personal: flag, Users: users}}
}

func (h *house) put(in sourcePut) Run {
	h.t.Helper()
	r, err := h.engine.putSource(h.t.Context(), "schedule", h.account, in)
	must(h.t, err)
	return r
}

// inForce are the numbers of the directory in force.
func (h *house) inForce() DirectorySummary {
	h.t.Helper()
	sum, err := h.engine.Directory(h.t.Context(), h.account)
	must(h.t, err)
	return sum
}

func TestSourcesAreOneDirectory(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.directory(true)
		r := h.put(group(people(3, ""), directory.Yes))
		if got := h.inForce(); r.State != RunComplete || r.Added != 3 || r.Gained != 3 || r.Version != 2 || got.Users != 4 || got.Personal != 4 || got.Spaces != 1 {
			t.Errorf("got %+v and %+v, want the file's user and three more", r, got)
		}
		if r = h.put(group(people(3, ""), directory.Yes)); r.State != RunUnchanged || r.Version != 0 || r.ID == "" {
			t.Errorf("the same again: got %+v", r)
		}
		again := group(people(3, ""), directory.Yes)
		again.quiet = true
		if r = h.put(again); r.State != RunUnchanged || r.ID != "" {
			t.Errorf("the same again, quietly: got %+v", r)
		}
		// A file that lists nobody takes away what files said, and nothing else.
		_, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[]}`))
		must(t, err)
		if got := h.inForce(); got.Users != 3 || got.Spaces != 0 {
			t.Errorf("after an empty file: got %+v", got)
		}
		runs, next, err := h.engine.Runs(t.Context(), h.account, "", "", 2)
		must(t, err)
		rest, end, err := h.engine.Runs(t.Context(), h.account, "", next, 100)
		must(t, err)
		if len(runs) != 2 || len(rest) != 2 || end != "" || runs[0].Kind != directory.File || rest[1].Kind != directory.File || runs[1].State != RunUnchanged {
			t.Errorf("got the history %+v and %+v", runs, rest)
		}
	})
}

// TestRule33SourcesDisagree: what a file says of a user wins over LDAP, and where it says nothing LDAP decides.
func TestRule33SourcesDisagree(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.put(group(people(3, ""), directory.Yes))
		_, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[{"jid":"user0000@acme.example","personalLicense":false},{"jid":"user0001@acme.example"}]}`))
		must(t, err)
		if got := h.inForce(); got.Users != 3 || got.Personal != 2 {
			t.Errorf("got %+v, want three users of whom the file takes one license", got)
		}
	})
}

func TestTheBrakeHoldsAndAsks(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.put(group(people(100, ""), directory.Yes))
		for name, tc := range map[string]struct {
			users  []directory.User
			reason string
		}{
			"empty":   {nil, "the answer is empty, and 100 users were known"},
			"a half":  {people(50, ""), "50 of 100 users would be gone"},
			"eleven":  {people(89, ""), "11 of 100 users would be gone"},
			"license": {people(100, directory.No), "100 of 100 personal licenses would be taken away"},
		} {
			r := h.put(group(tc.users, directory.Yes))
			if r.State != RunHeld || len(r.Reasons) == 0 || !strings.Contains(r.Reasons[0].Text(), tc.reason) {
				t.Errorf("%s: got %+v", name, r)
			}
			if got := h.inForce(); got.Version != 1 || got.Users != 100 || got.Personal != 100 {
				t.Fatalf("%s: something was released: %+v", name, got)
			}
		}
		preview, err := h.engine.previewSource(t.Context(), h.account, group(people(95, ""), directory.Yes))
		must(t, err)
		if preview.State != RunPreview || preview.Removed != 5 || preview.Lost != 5 || h.inForce().Users != 100 {
			t.Errorf("got the preview %+v", preview)
		}
		held := h.put(group(people(40, ""), directory.Yes))
		accepted, err := h.engine.AcceptSource(t.Context(), "admin", h.account, "group")
		must(t, err)
		if got := h.inForce(); accepted.ID != held.ID || accepted.State != RunAccepted || accepted.AcceptedBy != "admin" || accepted.Version != 2 || got.Users != 40 {
			t.Errorf("got %+v and %+v", accepted, got)
		}
		_, err = h.engine.AcceptSource(t.Context(), "admin", h.account, "group")
		if e := license.AsError(err); e == nil || e.Code != "nothing-held" {
			t.Errorf("accepted twice: got %v", err)
		}
		_, err = h.engine.AcceptSource(t.Context(), "admin", h.account, "another")
		if e := license.AsError(err); e == nil || e.Kind != license.KindNotFound {
			t.Errorf("no such source: got %v", err)
		}
		// What waits gives way to a later state that passes.
		h.put(group(people(10, ""), directory.Yes))
		if r := h.put(group(people(41, ""), directory.Yes)); r.State != RunComplete {
			t.Errorf("got %+v", r)
		}
		runs, _, err := h.engine.Runs(t.Context(), h.account, "group", "", 100)
		must(t, err)
		states := map[string]int{}
		for _, r := range runs {
			states[r.State]++
		}
		if states[RunHeld] != 0 || states[RunSuperseded] != 5 || states[RunAccepted] != 1 {
			t.Errorf("got the history %v", states)
		}
	})
}

// TestAFileThatTakesMuchAway: a person wrote it, so few are never asked about; many are.
func TestAFileThatTakesMuchAway(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		file := func(n int) []byte {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, `,{"jid":"user%d@acme.example","personalLicense":true}`, i)
			}
			return fmt.Appendf(nil, `{"users":[%s]}`, strings.TrimPrefix(b.String(), ","))
		}
		for _, n := range []int{100, 91, 100} { // nine of a hundred, and back
			_, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, file(n))
			must(t, err)
		}
		_, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, file(80))
		if e := license.AsError(err); e == nil || e.Code != "mass-change" || e.Kind != license.KindRefused || !strings.Contains(e.Message, "20 of 100 users would be gone") {
			t.Errorf("got %v", err)
		}
		if h.inForce().Users != 100 {
			t.Error("the refused file is in force")
		}
		sum, err := h.engine.ReplaceDirectory(t.Context(), "admin", h.account, file(80))
		must(t, err)
		if sum.Users != 80 || sum.UsersGone != 20 {
			t.Errorf("got %+v", sum)
		}
	})
}

// TestDirectoryOfAnEarlierRelease: what was imported before sources were told apart is the file's.
func TestDirectoryOfAnEarlierRelease(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.directory(true)
		must(t, h.store.Update(t.Context(), "as it was", func(tx *store.Tx) error {
			_, err := tx.DB().ExecContext(t.Context(), "DELETE FROM directory_source WHERE account_id = $1", h.account)
			return err
		}))
		h.put(group(people(3, ""), directory.Yes))
		if got := h.inForce(); got.Users != 4 || got.Personal != 4 || got.Spaces != 1 {
			t.Errorf("got %+v", got)
		}
		_, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[],"spaces":[]}`))
		must(t, err)
		if got := h.inForce(); got.Users != 3 || got.Spaces != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

// TestAFirstReadingCanBeHeld: a call bridge that is read for the first time may contradict a default that gave licenses.
func TestAFirstReadingCanBeHeld(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.put(group(people(30, ""), directory.Inherit))
		_, err := h.engine.SetDefault(t.Context(), "admin", h.account, "", "yes", false)
		must(t, err)
		bridge := sourcePut{source: directory.Source{Kind: directory.Bridge, ID: "brg_1", Name: "Main", Users: people(30, directory.No)}, quiet: true}
		first := h.put(bridge)
		if first.State != RunHeld || h.inForce().Personal != 30 {
			t.Fatalf("got %+v", first)
		}
		if again := h.put(bridge); again.State != RunHeld || again.ID != first.ID {
			t.Errorf("the same again, quietly: got %+v, want the run that waits", again)
		}
		accepted, err := h.engine.AcceptSource(t.Context(), "admin", h.account, "main")
		must(t, err)
		if accepted.ID != first.ID || accepted.State != RunAccepted || h.inForce().Personal != 0 {
			t.Errorf("got %+v", accepted)
		}
		if r := h.put(bridge); r.State != RunUnchanged || r.ID != "" {
			t.Errorf("got %+v", r)
		}
		runs, _, err := h.engine.Runs(t.Context(), h.account, "Main", "", 100)
		must(t, err)
		if len(runs) != 1 {
			t.Errorf("got the history %+v", runs)
		}
	})
}

// BenchmarkPutSource is a reading of 5,000 users of whom one is new each time.
func BenchmarkPutSource(b *testing.B) {
	clock := storetest.NewClock(start)
	h := newHouse(b, storetest.OpenURL(b, filepath.Join(b.TempDir(), "tally.db"), clock.Now), clock)
	users := people(5000, "")
	h.put(group(users, directory.Yes))
	for b.Loop() {
		users[0].Name += "x"
		users[0].Name = users[0].Name[max(0, len(users[0].Name)-100):]
		users[1].Name = fmt.Sprint(b.Elapsed())
		h.put(group(users, directory.Yes))
	}
}

// TestReadingsOfOneMillisecondAreInOrder: whatever became of them, the newest is the one that came last.
func TestReadingsOfOneMillisecondAreInOrder(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		var want []string
		for i := range 8 {
			for range 2 { // the second says nothing new
				r := h.put(group(people(20+i, ""), directory.Yes))
				want = append(want, r.ID)
			}
			refused := license.Refuse(license.KindUnavailable, "ldap-unreachable", "", "attempt %d", i)
			if err := h.engine.failed(t.Context(), h.account, Run{Kind: directory.LDAP, Source: "lds_group", Name: "group"}, refused); err == nil {
				t.Fatal("a failed reading is no error")
			}
			runs, _, err := h.engine.Runs(t.Context(), h.account, "", "", 1)
			must(t, err)
			if runs[0].Message != refused.Error() {
				t.Fatalf("after a failed reading the newest is %+v", runs[0])
			}
			want = append(want, runs[0].ID)
		}
		runs, _, err := h.engine.Runs(t.Context(), h.account, "", "", 100)
		must(t, err)
		var got []string
		for _, r := range runs {
			got = append(got, r.ID)
		}
		slices.Reverse(got)
		if !slices.Equal(got, want) {
			t.Errorf("got the readings %q, want them as they came: %q", got, want)
		}
	})
}
