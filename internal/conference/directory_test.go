package conference

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
)

// TestRule34DirectoryIsPinned: a meeting keeps the directory that was in force when its first record was stored; the next
// one takes the new one. The owner never joins (domain rule 14).
func TestRule34DirectoryIsPinned(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		_, receiver := h.bridge("Main")
		h.receive(h.engine, receiver, body(run1, story()[:3]...))
		first := h.directory(true)
		h.receive(h.engine, receiver, body(run1, story()[3:]...))
		if m := h.one(h.open()); m.DirectoryVersion != 0 || m.Segments[0].Rule != "shared" {
			t.Errorf("got %s, want the meeting that began before the import on a shared license", brief([]Meeting{m}))
		}
		second := h.directory(false)
		if first.Version != 1 || second.Version != 2 || first.Personal != 1 || second.Personal != 0 {
			t.Errorf("got %+v and %+v", first, second)
		}
		h.directory(true)
		again := make([]rec, 0, 3)
		for i, r := range []rec{callStart(0, 4000, call2, corr1[:35]+"2"), legStart(0, 4001, legA[:35]+"e", call2), legIn(0, 4002, legA[:35]+"e", call2)} {
			r.n = 300 + i
			again = append(again, r)
		}
		h.receive(h.engine, receiver, body(run1, again...))
		h.directory(false)
		h.receive(h.open(), receiver, body(run1, legEnd(303, 4500, legA[:35]+"e"), callEnd(304, 4500, call2, 1, 500)))
		for _, e := range []*Engine{h.engine, h.open()} {
			m := h.meetings(e)[0]
			if m.DirectoryVersion != 3 || len(m.Segments) != 1 || m.Segments[0].User != "alice@acme.example" || m.Segments[0].Tag != "cms-pmp-plus" {
				t.Errorf("got %s, want the meeting on the personal license of the owner", brief([]Meeting{m}))
			}
			_, lines, err := e.Why(t.Context(), h.account, m.ID)
			must(t, err)
			if text := strings.Join(lines, "\n"); !strings.Contains(text, "owned by alice@acme.example, who holds a personal license") {
				t.Errorf("got the reasons %q", text)
			}
		}
	})
}

func TestImportDirectory(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		if sum, err := h.engine.Directory(t.Context(), h.account); err != nil || sum.Version != 0 {
			t.Errorf("before the first import: got %+v, %v", sum, err)
		}
		first := h.directory(true)
		if same := h.directory(true); !same.Unchanged || same.Version != first.Version {
			t.Errorf("the same file again: got %+v, want no new version", same)
		}
		sum, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"spaces":[{"id":"S","owner":"nobody@acme.example"}]}`))
		must(t, err)
		if sum.Version != 2 || sum.Users != 0 || sum.Spaces != 1 || sum.UnknownOwners != 1 {
			t.Errorf("got %+v, want one space whose owner is not known", sum)
		}
		got, err := h.engine.Directory(t.Context(), h.account)
		must(t, err)
		if got.Version != 2 || got.Users != 0 || got.Spaces != 1 || got.ImportedBy != "admin" || got.ImportedAt.IsZero() {
			t.Errorf("got %+v", got)
		}
		// A GUID that two users have names nobody, here as in a decision.
		shared, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[{"jid":"a@acme.example","guid":"00112233-4455-6677-8899-aabbccddeeff"},
			{"jid":"b@acme.example","guid":"00112233-4455-6677-8899-aabbccddeeff"}],"spaces":[{"id":"S","owner":"00112233-4455-6677-8899-aabbccddeeff"}]}`))
		must(t, err)
		if shared.Users != 2 || shared.UnknownOwners != 1 {
			t.Errorf("got %+v, want one space whose owner is not known", shared)
		}
	})
}

func TestDirectoryRefusals(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		``:                         "not the expected JSON",
		`{}{}`:                     "something follows",
		`{"user":[]}`:              "unknown field",
		`{"users":[{"guid":"x"}]}`: "users[0]: it has no jid",
		`{"users":[{"jid":"a@x"},{"jid":" A@X "}]}`:                                                `users[1]: "a@x" is listed twice`,
		`{"spaces":[{"id":"s"},{"id":"S"}]}`:                                                       `spaces[1]: "s" is listed twice`,
		`{"spaces":[{"id":"s","name":"a\u0000b"}]}`:                                                "spaces[0]: it has a value",
		`{"users":[{"jid":"a","personalLicense":"y"}]}`:                                            "line 1, users.personalLicense cannot be a string",
		"{\"users\":[\n{\"jid\":}]}":                                                               "line 2, invalid character",
		`{"users":[{"jid":"ines"}]}`:                                                               `line 1, users[0]: the jid "ines" is none: it has no domain`,
		"{\"spaces\":[],\n\"users\":[\n{\"jid\":\"a@x\"},\n\n  {\"name\":\"b\",\n\"jid\":\"b\"}]}": `line 5, users[1]: the jid "b" is none`,
		`{"devices":[{"device":"d","owner":""}],"users":[]}`:                                       "devices[0]: it has no owner",
	} {
		_, err := parseDirectory([]byte(doc))
		if e := license.AsError(err); e == nil || e.Kind != license.KindInvalid || !strings.Contains(e.Message, want) {
			t.Errorf("%s: got %v, want a refusal that says %q", doc, err, want)
		}
	}
	if e := license.AsError(second(parseDirectory(make([]byte, MaxDirectory+1)))); e == nil || e.Kind != license.KindTooLarge {
		t.Errorf("got %v, want too large", e)
	}
}

func second(_ directory.Source, err error) error { return err }

// TestSnapshotIsItsVersion: a version stays as it was, however often the directory changes afterwards.
func TestSnapshotIsItsVersion(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		const form = `{"users":[{"jid":"ines@acme.example","guid":"00112233-4455-6677-8899-aabbccddeeff","userId":"ACME\\Ines","name":"Ines","personalLicense":%t}],
			"spaces":[{"id":"S","owner":"{33221100-5544-7766-8899-AABBCCDDEEFF}"}],"devices":[{"device":"sip:dx@acme.example:5060","owner":"ines@acme.example"}]}`
		for i := range 3 {
			sum, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, fmt.Appendf(nil, form, i == 1))
			must(t, err)
			if sum.Version != int64(i+1) || sum.Devices != 1 || sum.UnknownOwners != 0 {
				t.Errorf("got %+v", sum)
			}
		}
		for _, e := range []*Engine{h.engine, h.open()} {
			for version := range int64(4) {
				s, err := e.snapshot(t.Context(), h.account, version)
				must(t, err)
				u, n := s.directory.UserByID("ines")
				owner, device := s.directory.DeviceOwner("dx@acme.example")
				if s.directory.Version() != version || (n == 1) != (version > 0) || u.Personal != (version == 2) || device != (version > 0) || device && owner != u.JID {
					t.Errorf("version %d: got %d %+v, %q", version, n, u, owner)
				}
				if again, err := e.snapshot(t.Context(), h.account, version); again != s || err != nil {
					t.Errorf("version %d is not kept: %v", version, err)
				}
			}
		}
		empty, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[]}`))
		must(t, err)
		if s, err := h.engine.snapshot(t.Context(), h.account, empty.Version); err != nil || s.directory.Size() != 0 {
			t.Errorf("got %d entries of an empty directory, %v", s.directory.Size(), err)
		}
	})
}

func TestSnapshotsAreBounded(t *testing.T) {
	t.Parallel()
	var all snapshots
	for i := range int64(3 * maxSnapshots) {
		all = all.with(&snapshot{account: "a", version: i})
	}
	if len(all) != maxSnapshots || all.find("a", 0) != nil || all.find("b", 3*maxSnapshots-1) != nil {
		t.Errorf("got %d", len(all))
	}
	oldest := all[0]
	if all.find("a", oldest.version) != oldest || all[len(all)-1] != oldest {
		t.Error("what was asked for is not the last one")
	}
}
