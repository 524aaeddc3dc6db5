package conference

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/test/double"
)

// usage is the document of snapshots of one host, the newest first, every five minutes from a moment on.
func usage(from time.Time, n int, counters string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<MPLicenseUsage total="%d">`, n)
	for i := n - 1; i >= 0; i-- {
		fmt.Fprintf(&b, `<entry time="%s">%s</entry>`, from.Add(time.Duration(i)*5*time.Minute).UTC().Format(time.RFC3339), counters)
	}
	return b.String() + "</MPLicenseUsage>"
}

// TestRule21Reconciliation: the call bridges' own count beside ours, the difference with the meeting that explains it, and the policy
// that explains their count best (domain rules 21, 25 and 26).
func TestRule21Reconciliation(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		_, err := h.engine.ImportDirectory(t.Context(), "admin", h.account, []byte(`{"users":[{"jid":"ada@acme.example","personalLicense":true},{"jid":"ben@acme.example"}],
			"spaces":[{"id":"`+space+`","name":"Daily","owner":"ben@acme.example"}]}`))
		must(t, err)
		// Ada, who holds a personal license, joins the space of Ben, who holds none: owner-first takes a shared license, member-first hers.
		records := story()
		records[1].inside = fmt.Sprintf(`<callLeg id="%s"><displayName>Ada</displayName><remoteParty>ada@acme.example</remoteParty><type>acano</type><call>%s</call></callLeg>`, legA, call1)
		h.receive(h.engine, p.receiver, body(run1, records...))
		h.clock.Advance(30 * time.Minute)
		p.set(p.given())
		p.bridge.Set("/coSpaces", `<coSpaces total="0"/>`)
		p.bridge.Set("/users", `<users total="0"/>`)
		reconcile := func() Reconciliation {
			t.Helper()
			r, err := h.engine.Reconcile(t.Context(), h.account, "main", time.Time{}, time.Time{}, 5)
			must(t, err)
			return r
		}
		if _, err := h.engine.Reconcile(t.Context(), h.account, "main", time.Time{}, time.Time{}, 5); license.AsError(err) == nil || license.AsError(err).Code != "no-snapshots" {
			t.Errorf("without snapshots: got %v", err)
		}
		p.bridge.Set("/system/MPLicenseUsage", usage(start.Add(time.Minute), 12, "<smpFull>1.00</smpFull><pmpAssigned>1.00</pmpAssigned>"))
		p.poll()
		r := reconcile()
		if r.Compared != 12 || r.Differing != 0 || r.Hosts != 1 || r.Proposed != "" || r.PeakExact != 6 || r.PeakSampled != 6 || r.PeakTheirs != 600 || r.Assigned != 1 || r.AssignedTheirs != 1 {
			t.Errorf("where both agree: got %+v", r)
		}
		if len(r.Fits) != 2 || !r.Fits[0].InForce || r.Fits[0].Distance != 0 || r.Fits[1].Distance != 12*200 {
			t.Errorf("policies: got %+v", r.Fits)
		}
		must(t, dropSnapshots(h, p.id))
		p.bridge.Set("/system/MPLicenseUsage", usage(start.Add(time.Minute), 12, "<pmp>1.00</pmp>"))
		p.poll()
		r = reconcile()
		if r.Compared != 12 || r.Differing != 12 || len(r.Differences) != 5 || !strings.HasPrefix(r.Proposed, "member-first") || r.PeakTheirs != 0 {
			t.Errorf("where they took the member's license: got %+v", r)
		}
		if d := r.Differences[0]; len(d.Meetings) != 1 || d.Meetings[0].ID != h.one(h.engine).ID || d.Meetings[0].Class != "smpFull" || d.Meetings[0].Name != "Daily" || d.Ours.Full != 100 || d.Theirs.Personal != 100 {
			t.Errorf("got %+v", d)
		}
		must(t, dropSnapshots(h, p.id))
		p.bridge.Set("/system/MPLicenseUsage", usage(start.Add(time.Minute), 3, "<pmp>1.00</pmp>"))
		p.poll()
		if r := reconcile(); r.Skipped == "" || r.Proposed != "" || r.Compared != 3 {
			t.Errorf("with little evidence: got %+v", r)
		}
	})
}

// TestRule25Hosts: meetings that several call bridges serve count in parts there; intervals that not every host has are left out.
func TestRule25Hosts(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		h.directory(false)
		h.receive(h.engine, p.receiver, body(run1, story()...))
		h.clock.Advance(30 * time.Minute)
		p.set(p.given())
		p.bridge.Set("/system/MPLicenseUsage/knownHosts", `<knownHosts total="2"><host id="host-a"/><host id="host-b"/></knownHosts>`)
		p.bridge.Set("/system/MPLicenseUsage?hostId=host-a", usage(start.Add(time.Minute), 10, "<smpFull>0.50</smpFull>"))
		p.bridge.Set("/system/MPLicenseUsage?hostId=host-b", usage(start.Add(2*time.Minute), 8, "<smpFull>0.50</smpFull>"))
		if s := p.poll(); s.Snapshots != 18 || len(s.Hosts) != 2 {
			t.Fatalf("got %+v", s)
		}
		r, err := h.engine.Reconcile(t.Context(), h.account, p.id, time.Time{}, time.Time{}, 5)
		must(t, err)
		if r.Compared != 8 || r.Partial != 2 || r.Differing != 0 || r.Hosts != 2 {
			t.Errorf("got %+v", r)
		}
	})
}
