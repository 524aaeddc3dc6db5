package conference

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/test/double"
)

// TestSpacesOfTheDirectory: each space says who its owner is, who says so, which bridge has it and when it was seen, and the owner is
// found as decisions find it.
func TestSpacesOfTheDirectory(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		if all, err := h.engine.Spaces(t.Context(), h.account); err != nil || len(all) != 0 {
			t.Fatalf("an empty directory has the spaces %+v, %v", all, err)
		}
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		first := h.clock.Now()
		p.poll()
		learned, err := p.engine.Spaces(t.Context(), h.account)
		must(t, err)
		if len(learned) != 4 {
			t.Fatalf("got %+v", learned)
		}
		for _, s := range learned {
			if !slices.Equal(s.Bridges, []string{"Main"}) || !slices.Equal(s.Sources, []string{"callbridge Main"}) || !s.SeenAt.Equal(first) || (s.Owner == "") != (s.NamedBy == "") {
				t.Errorf("got %+v", s)
			}
		}

		// A file names another owner for one of them, by a GUID written in the other byte order, and has spaces of its own.
		h.clock.Advance(time.Hour)
		imported := h.clock.Now()
		_, err = p.engine.ImportDirectory(t.Context(), "admin", h.account, fmt.Appendf(nil, `{"users":[{"jid":"zoe@acme.example","guid":"00112233-4455-6677-8899-aabbccddeeff","personalLicense":true}],
			"spaces":[{"id":%q,"name":"Theirs","owner":"33221100-5544-7766-8899-AABBCCDDEEFF"},{"id":"zz-1","name":"A","owner":"nobody@acme.example"},{"id":"zz-2","name":"B"}]}`, learned[0].ID))
		must(t, err)
		h.clock.Advance(time.Hour)
		again := h.clock.Now()
		apis, err := p.engine.PollBridgeAPIs(t.Context(), Scheduled, h.account, "Main")
		must(t, err)
		all, err := p.engine.Spaces(t.Context(), h.account)
		must(t, err)
		if len(all) != 6 {
			t.Fatalf("got %+v", all)
		}
		if s := all[0]; s.JID != "zoe@acme.example" || !s.Personal || s.NamedBy != "the directory file" || s.Name != "Theirs" || !slices.Equal(s.Bridges, []string{"Main"}) || len(s.Sources) != 2 || !s.SeenAt.Equal(again) {
			t.Errorf("of two sources, read %s: got %+v", apis[0].Found.Directory.ReadAt, s)
		}
		if s := all[4]; s.Owner != "nobody@acme.example" || s.JID != "" || s.Personal || len(s.Bridges) != 0 || !s.SeenAt.Equal(imported) {
			t.Errorf("with an owner who is no user: got %+v", s)
		}
		if s := all[5]; s.Owner != "" || s.JID != "" || s.NamedBy != "" {
			t.Errorf("without an owner: got %+v", s)
		}
	})
}
