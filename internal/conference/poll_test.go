package conference

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/test/double"
)

// polled is a house with a bridge whose call bridge plays its API.
type polled struct {
	*house
	bridge   *double.Bridge
	id       string
	receiver string
	log      bytes.Buffer
}

func newPolled(t *testing.T, h *house, start func(testing.TB) *double.Bridge) *polled {
	t.Helper()
	p := &polled{house: h, bridge: start(t)}
	keys, err := trust.OpenKeys(t.TempDir(), h.clock.Now())
	must(t, err)
	h.engine = New(Options{Store: h.store, Transport: func(string) agent.Transport { return away{} }, Now: h.clock.Now, Log: slog.New(slog.NewTextHandler(&p.log, nil)), Keys: keys})
	p.id, p.receiver = h.bridge("Main")
	return p
}

func (p *polled) given() NewBridgeAPI {
	return NewBridgeAPI{URL: p.bridge.URL, User: double.User, Password: double.Password}
}

func (p *polled) set(in NewBridgeAPI) BridgeAPI {
	p.t.Helper()
	a, err := p.engine.SetBridgeAPI(p.t.Context(), "admin", p.account, "main", in)
	must(p.t, err)
	return a
}

// poll is a turn by hand.
func (p *polled) poll() APIState {
	p.t.Helper()
	all, err := p.engine.PollBridgeAPIs(p.t.Context(), "admin", p.account, "Main")
	must(p.t, err)
	return all[0].Found
}

// TestRule12Compare: the index of the next record against the last that came.
func TestRule12Compare(t *testing.T) {
	t.Parallel()
	booted := start.Add(-time.Hour)
	same := heard{session: run1, next: 111, last: start.Add(30 * time.Minute)}
	for name, c := range map[string]struct {
		next   int64
		heard  heard
		booted time.Time
		want   string
	}{
		"all came":                   {111, same, booted, TailComplete},
		"more came than was counted": {109, same, booted, TailComplete},
		"under way":                  {114, same, booted, TailWaiting},
		"restarted, nothing counted": {0, same, start.Add(40 * time.Minute), TailComplete},
		"restarted, nothing came":    {5, same, start.Add(40 * time.Minute), TailRestart},
		"never heard of":             {5, heard{}, booted, TailRestart},
	} {
		if got := c.heard.compare(c.next, c.booted); got.State != c.want {
			t.Errorf("%s: got %s, want %s", name, got.State, c.want)
		}
	}
}

// TestRule12PolledTail: what was counted and never came marks the meetings of the time, until it comes.
func TestRule12PolledTail(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		records := story()
		h.receive(h.engine, p.receiver, body(run1, records[:9]...)) // the last two of the run stay away
		p.set(p.given())
		if s := p.poll(); s.Tail.State != TailWaiting || s.Tail.Heard != 109 || s.Tail.Next != 111 || s.Tail.Session != run1 || s.Tail.CallBridge != bridgeA {
			t.Fatalf("first turn: %+v", s.Tail)
		}
		if m := h.one(h.engine); m.Lost {
			t.Error("a meeting is marked while records may be under way")
		}
		for range 2 { // and it says so until they come
			h.clock.Advance(DefaultEvery)
			if s := p.poll(); s.Tail.State != TailLost || s.Tail.Lost != 2 {
				t.Fatalf("later: %+v", s.Tail)
			}
			if m := h.one(h.engine); !m.Incomplete || !m.Lost {
				t.Errorf("the meeting that was open is not marked: %s", brief([]Meeting{m}))
			}
		}
		h.receive(h.engine, p.receiver, body(run1, records[9:]...))
		if s := p.poll(); s.Tail.State != TailComplete {
			t.Fatalf("after they came: %+v", s.Tail)
		}
		if m := h.one(h.engine); m.Incomplete {
			t.Error("the meeting is marked though all records came")
		}
		h.receive(h.engine, p.receiver, strings.Replace(body(run2, callStart(0, 0, call2, "")), bridgeA, "22222222-0000-4000-8000-00000000000b", 1))
		if s := p.poll(); s.Tail.State != TailUnknown {
			t.Errorf("one of two call bridges: %+v", s.Tail)
		}
	})
}

// TestRule25Import: snapshots of each host, each once.
func TestRule25Import(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		if s := p.poll(); s.Snapshots != 4 || len(s.Hosts) != 1 {
			t.Fatalf("first turn: %+v", s)
		}
		if s := p.poll(); s.Snapshots != 0 {
			t.Errorf("again: %d snapshots are new", s.Snapshots)
		}
		p.bridge.Edit("/system/MPLicenseUsage", "<MPLicenseUsage total=\"4\">", `<MPLicenseUsage total="5"><entry time="2026-03-02T09:02:01Z"><smpFull>2.00</smpFull></entry>`)
		if s := p.poll(); s.Snapshots != 1 {
			t.Errorf("one more: %d snapshots are new", s.Snapshots)
		}
		var rows []db.BridgeSnapshotsRow
		must(t, h.store.View(t.Context(), func(tx *store.Tx) (err error) {
			rows, err = tx.BridgeSnapshots(t.Context(), db.BridgeSnapshotsParams{AccountID: h.account, ClusterID: p.id, FromAt: 0, ToAt: far, Page: 100})
			return err
		}))
		if len(rows) != 5 || rows[4].SmpFull != 200 || rows[3].Pmp != 50 || rows[3].PmpAssigned != 200 || rows[1].SmpFull != 0 || rows[0].SmpAud != 100 {
			t.Errorf("got %+v", rows)
		}
	})
}

// TestRule33Profiles: the user's profile goes before the tenant's, and that before the system's. Owners are known by JID or id.
func TestRule33Profiles(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		s := p.poll()
		if s.Failure != nil || s.Directory == nil || s.Directory.Users != 5 || s.Directory.Spaces != 4 || s.Directory.State != RunComplete {
			t.Fatalf("got %+v", s)
		}
		users, err := h.engine.FaceUsers(t.Context(), h.account)
		must(t, err)
		got := map[string]bool{}
		for _, u := range users {
			got[string(u.UserJID)] = u.UserProfile == licensedProfile
		}
		want := map[string]bool{"ada@acme.example": true, "ben@acme.example": false, "cleo@branch.example": true, "dan@branch.example": false, "eve@acme.example": false}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		spaces, err := h.engine.FaceSpaces(t.Context(), h.account)
		must(t, err)
		var owners []string
		for _, s := range spaces {
			owners = append(owners, string(s.OwnerJID))
		}
		if fmt.Sprint(owners) != "[ada@acme.example cleo@branch.example  ben@acme.example]" {
			t.Errorf("owners: %v", owners)
		}
		h.receive(h.engine, p.receiver, body(run1, story()...))
		if m := h.one(h.engine); len(m.Segments) != 1 || m.Segments[0].User != "ada@acme.example" {
			t.Errorf("a meeting of a learned space: %s", brief([]Meeting{m}))
		}
		// The brake: a list that lost most of its users waits for a person.
		p.bridge.Set("/users", `<users total="1"><user id="d0000000-0000-4000-8000-000000000d02"><userJid>ben@acme.example</userJid></user></users>`)
		if s := p.poll(); s.Directory.State != RunHeld {
			t.Errorf("a truncated list: %+v", s.Directory)
		}
		if users, err := h.engine.FaceUsers(t.Context(), h.account); err != nil || len(users) != 5 {
			t.Errorf("a truncated list took users away: %d, %v", len(users), err)
		}
	})
}

// TestReceiverOfACallBridge: a call bridge that does not post to us is told so.
func TestReceiverOfACallBridge(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		if s := p.poll(); s.Receives != ReceivesNo {
			t.Errorf("got %q, want no", s.Receives)
		}
		p.bridge.Set("/system/cdrReceivers", `<cdrReceivers total="1"><cdrReceiver id="1"><uri>https://tally.acme.example:8443/cdr/`+p.receiver+`?x=1</uri></cdrReceiver></cdrReceivers>`)
		p.bridge.Set("/system/alarms", `<alarms total="1"><alarm id="1"><type>cdrConnectionFailure</type><activeTimeSeconds>60</activeTimeSeconds></alarm></alarms>`)
		p.bridge.Set("/system/multipartyLicensing", "")
		s := p.poll()
		if s.Receives != ReceivesYes || len(s.Alarms) != 1 || s.Alarms[0].Type != "cdrConnectionFailure" || !s.Alarms[0].Since.Equal(h.clock.Now().Add(-time.Minute)) {
			t.Errorf("got %+v", s)
		}
		if fmt.Sprint(s.Missing) != "[/system/multipartyLicensing]" || s.Failure != nil {
			t.Errorf("an older version: %+v", s)
		}
	})
}

// TestTroubleWithACallBridge: every failure is kept with what to do, and takes nothing away.
func TestTroubleWithACallBridge(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		p.poll()
		before, err := h.engine.Directory(t.Context(), h.account)
		must(t, err)
		trouble := func(name, code string) {
			t.Helper()
			s := p.poll()
			if s.Failure == nil || s.Failure.Code != code || s.Failure.Hint == "" || s.AnsweredAt.IsZero() || s.Version == "" {
				t.Errorf("%s: got %+v, want the failure %s", name, s.Failure, code)
			}
			if now, err := h.engine.Directory(t.Context(), h.account); err != nil || now != before {
				t.Errorf("%s: the directory changed: %+v, %v", name, now, err)
			}
		}
		p.bridge.Garbage([]byte("<html>maintenance"))
		trouble("garbage", "bridge-answer")
		p.bridge.Garbage(nil)
		n := 0
		p.bridge.Between(func(path string) {
			if n++; path == "/users" {
				p.bridge.Garbage([]byte("<users total='5'><user id='1'>"))
			}
		})
		trouble("cut in the middle of the users", "bridge-answer")
		p.bridge.Garbage(nil)
		p.bridge.Between(nil)
		in := p.given()
		in.Password = "another password"
		p.set(in)
		all, err := h.engine.PollBridgeAPIs(t.Context(), "admin", h.account, p.id)
		must(t, err)
		if f := all[0].Found.Failure; f == nil || f.Code != "bridge-sign-in" {
			t.Errorf("a wrong password: %+v", f)
		}
		p.set(p.given())
		p.bridge.Close()
		all, err = h.engine.PollBridgeAPIs(t.Context(), "admin", h.account, p.id)
		must(t, err)
		if f := all[0].Found.Failure; f == nil || f.Code != "bridge-away" {
			t.Errorf("away: %+v", f)
		}
		if text := p.log.String(); strings.Contains(text, double.Password) || strings.Contains(text, "another password") {
			t.Error("a password is in the log")
		}
	})
}

// TestOneDocumentFails: a document that cannot be read keeps the others from nothing, its failure is that of the turn, and what
// failed is read again at the next one.
func TestOneDocumentFails(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		p.bridge.Between(func(path string) {
			p.bridge.Garbage(nil)
			if path == "/system/alarms" || path == "/system/MPLicenseUsage/knownHosts" {
				p.bridge.Garbage([]byte("<alarms total='1'><alarm id='1'>"))
			}
		})
		s := p.poll()
		if s.Failure == nil || s.Failure.Code != "bridge-answer" || !strings.Contains(s.Failure.Message, "alarms") || !s.AnsweredAt.IsZero() {
			t.Errorf("got the failure %+v of a turn that ended %s", s.Failure, s.AnsweredAt)
		}
		if s.Multiparty == nil || s.Licensing == nil || s.Active == nil || s.Calls != 1 || s.Directory == nil || s.Directory.Users != 5 {
			t.Errorf("got %+v, want everything else", s)
		}
		p.bridge.Between(nil)
		p.bridge.Garbage(nil)
		if s = p.poll(); s.Failure != nil || s.AnsweredAt.IsZero() {
			t.Errorf("got %+v", s)
		}
	})
}

// TestRule28ReadKeys: what a call bridge says of its activation key holds until a person says something else.
func TestRule28ReadKeys(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		keys := func() BridgeActivation {
			t.Helper()
			all, err := h.engine.Activations(t.Context(), h.account)
			must(t, err)
			return all[0]
		}
		s := p.poll()
		if s.Licensing == nil || s.Licensing.Document != "clusterLicensing" || len(s.Licensing.Features) != 2 || s.Licensing.Features[1].Status != "expired" {
			t.Errorf("got %+v", s.Licensing)
		}
		until := time.Date(2026, 5, 30, 0, 0, 0, 0, time.UTC)
		if a := keys(); len(a.Keys) != 1 || a.Keys[0].Bridge != "127.0.0.1" || !a.Keys[0].Present || !a.Keys[0].Read || !a.Keys[0].Until.Equal(until) || a.Level != 0 {
			t.Errorf("got %+v", a)
		}
		h.receive(h.engine, p.receiver, body(run1, story()...))
		p.bridge.Set("/clusterLicensing", "") // an older version has its own only
		p.bridge.Set("/system/licensing", "<licensing><features><callBridge><status>noLicense</status></callBridge></features></licensing>")
		s = p.poll()
		if a := keys(); s.Licensing.Document != "licensing" || len(a.Keys) != 1 || a.Keys[0].Bridge != bridgeA || a.Keys[0].Present || a.Level != 3 {
			t.Errorf("got %+v, %+v", s.Licensing, a)
		}
		if advice := strings.Join(s.Advice(), " "); !strings.Contains(advice, "no activation key") {
			t.Errorf("got the advice %q", advice)
		}
		must(t, h.engine.SetActivation(t.Context(), "admin", h.account, "main", meeting.Key{Present: true}))
		if a := keys(); len(a.Keys) != 1 || !a.Keys[0].Present || a.Keys[0].Read || a.Level != 0 {
			t.Errorf("after a person said that it is there: got %+v", a)
		}
	})
}

// TestActiveLicenses: whose license is in use there is set beside the meetings that run here.
func TestActiveLicenses(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		s := p.poll()
		if s.Active == nil || s.Active.There != 1 || s.Active.Here != 0 || fmt.Sprint(s.Active.OnlyThere) != "[ada@acme.example]" || !strings.Contains(strings.Join(s.Advice(), " "), "ada@acme.example") {
			t.Errorf("got %+v", s.Active)
		}
		h.receive(h.engine, p.receiver, body(run1, story()[:5]...)) // in a space of hers
		if s = p.poll(); s.Active.There != 1 || s.Active.Here != 1 || len(s.Active.OnlyThere) != 0 {
			t.Errorf("got %+v", s.Active)
		}
	})
}

// TestDetailsAreReadWhenDue: users and spaces are read one by one when they are new, changed, old, counted otherwise, or when a
// person asks, and not each hour.
func TestDetailsAreReadWhenDue(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		singles := func() (users, spaces int) {
			for _, path := range p.bridge.Asked() {
				if strings.HasPrefix(path, "/users/") {
					users++
				}
				if strings.HasPrefix(path, "/coSpaces/") {
					spaces++
				}
			}
			return users, spaces
		}
		hourly := func(what string, users, spaces int) {
			t.Helper()
			h.clock.Advance(directoryEvery)
			h.engine.pollDue(t.Context())
			if u, s := singles(); u != users || s != spaces {
				t.Errorf("%s: %d users and %d spaces were read, want %d and %d", what, u, s, users, spaces)
			}
			if sum, err := h.engine.Directory(t.Context(), h.account); err != nil || sum.Users != 5 {
				t.Errorf("%s: got %+v, %v", what, sum, err)
			}
		}
		hourly("at first", 5, 4)
		hourly("an hour later", 0, 0)
		p.bridge.Edit("/coSpaces", "Nobody's", "Somebody's")
		hourly("a space has another name", 0, 1)
		p.bridge.Edit("/system/multipartyLicensing", "<personalLicenses>2<", "<personalLicenses>3<")
		hourly("somebody was given a license", 5, 0)
		all, err := h.engine.PollBridgeAPIs(t.Context(), "admin", h.account, "Main")
		must(t, err)
		if u, s := singles(); u != 5 || s != 4 || all[0].Found.Failure != nil {
			t.Errorf("by hand: %d users and %d spaces were read", u, s)
		}
		h.clock.Advance(detailsFor - directoryEvery)
		hourly("after six hours", 5, 4)
	})
}

// TestSettingsOfABridgeAPI: what is refused, that the password is kept encrypted, and how the server is known.
func TestSettingsOfABridgeAPI(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.StartTLS)
		for name, c := range map[string]struct {
			change func(*NewBridgeAPI)
			code   string
		}{
			"plain http":   {func(a *NewBridgeAPI) { a.URL = "http://bridge.acme.example" }, "bad-bridge-url"},
			"no user":      {func(a *NewBridgeAPI) { a.User = "" }, "bad-bridge-user"},
			"no password":  {func(a *NewBridgeAPI) { a.Password = "" }, "bad-password"},
			"no GUID":      {func(a *NewBridgeAPI) { a.CallBridge = "first" }, "bad-callbridge"},
			"too often":    {func(a *NewBridgeAPI) { a.Every = time.Second }, "bad-interval"},
			"no pin":       {func(a *NewBridgeAPI) { a.Fingerprint = "abc" }, "bad-fingerprint"},
			"no PEM":       {func(a *NewBridgeAPI) { a.CA = "certificate" }, "bad-ca"},
			"PEM too long": {func(a *NewBridgeAPI) { a.CA = strings.Repeat("x", maxBridgeCA+1) }, "ca-too-large"},
		} {
			in := p.given()
			c.change(&in)
			_, err := h.engine.SetBridgeAPI(t.Context(), "admin", h.account, "Main", in)
			if refusal := license.AsError(err); refusal == nil || refusal.Code != c.code || refusal.Hint == "" {
				t.Errorf("%s: got %v, want %s", name, err, c.code)
			}
		}
		p.set(p.given())
		if s := p.poll(); s.Failure == nil || s.Failure.Code != "bridge-certificate" {
			t.Errorf("an unknown certificate: %+v", s.Failure)
		}
		in := p.given()
		in.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.bridge.Certificate().Raw}))
		p.set(in)
		if s := p.poll(); s.Failure != nil {
			t.Errorf("a known CA: %+v", s.Failure)
		}
		in = p.given()
		in.Fingerprint = trust.Fingerprint{1}.String()
		p.set(in)
		if s := p.poll(); s.Failure == nil || s.Failure.Code != "bridge-certificate" || !strings.Contains(s.Failure.Message, trust.Of(p.bridge.Certificate().Raw).String()) {
			t.Errorf("with another fingerprint: %+v", s.Failure)
		}
		in = p.given()
		in.Fingerprint = trust.Of(p.bridge.Certificate().Raw).String()
		if a := p.set(in); a.Trust != "fingerprint" {
			t.Errorf("got %+v", a)
		}
		if s := p.poll(); s.Failure != nil {
			t.Errorf("a pinned certificate: %+v", s.Failure)
		}
		if s, err := h.engine.TestBridgeAPI(t.Context(), h.account, "Main", NewBridgeAPI{}); err != nil || s.Version != "3.8.1" {
			t.Errorf("test: %+v, %v", s, err)
		}
		var rows []db.BridgeApi
		must(t, h.store.View(t.Context(), func(tx *store.Tx) (err error) {
			rows, err = tx.BridgeAPIs(t.Context(), h.account)
			return err
		}))
		if len(rows) != 1 || bytes.Contains(rows[0].Secret, []byte(double.Password)) {
			t.Errorf("got %d rows, want one with an encrypted password", len(rows))
		}
		_, err := h.open().PollBridgeAPIs(t.Context(), "admin", h.account, "Main")
		must(t, err)
		if n, err := h.engine.RemoveBridgeAPI(t.Context(), "admin", h.account, "Main", "", true); err != nil || n != 1 {
			t.Errorf("remove: %d, %v", n, err)
		}
		if d, err := h.engine.Directory(t.Context(), h.account); err != nil || d.Users != 0 || d.Spaces != 0 {
			t.Errorf("after it was forgotten the directory holds %+v, %v", d, err)
		}
		if _, err := h.engine.PollBridgeAPIs(t.Context(), "admin", h.account, "Main"); license.AsError(err) == nil {
			t.Errorf("poll what is removed: %v", err)
		}
	})
}

// TestPollWhenDue: by itself, one reader at a time, spaces and users once an hour.
func TestPollWhenDue(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := newPolled(t, h, double.Start)
		p.set(p.given())
		asked := func() (all, lists, users int) {
			h.engine.pollDue(t.Context())
			for _, path := range p.bridge.Asked() {
				all++
				if path == "/users" || strings.HasPrefix(path, "/users?") {
					lists++
				}
				if strings.HasPrefix(path, "/users/") {
					users++
				}
			}
			return all, lists, users
		}
		if all, lists, users := asked(); lists == 0 || users != 5 {
			t.Errorf("first: %d requests, %d of the list of users, %d of users", all, lists, users)
		}
		if all, _, _ := asked(); all != 0 {
			t.Errorf("at once again: %d requests", all)
		}
		h.clock.Advance(DefaultEvery)
		if all, lists, users := asked(); all == 0 || lists != 0 || users != 0 {
			t.Errorf("after five minutes: %d requests, %d of the list of users, %d of users", all, lists, users)
		}
		h.clock.Advance(directoryEvery)
		p.bridge.Between(func(string) {
			p.bridge.Between(nil)
			if _, err := h.engine.PollBridgeAPIs(context.WithoutCancel(t.Context()), "admin", h.account, "Main"); !isConflict(err) {
				t.Errorf("two at once: got %v, want a conflict", err)
			}
		})
		if all, lists, users := asked(); lists == 0 || users != 0 { // each user again only when due: TestDetailsAreReadWhenDue
			t.Errorf("after an hour: %d requests, %d of the list of users, %d of users", all, lists, users)
		}
		for m := range p.bridge.Methods() {
			if m != "GET" {
				t.Errorf("the call bridge got a %s", m)
			}
		}
	})
}

// dropSnapshots forgets what the call bridges of a cluster counted.
func dropSnapshots(h *house, cluster string) error {
	return h.store.Update(h.t.Context(), "drop", func(tx *store.Tx) error {
		return tx.DropBridgeSnapshots(h.t.Context(), db.DropBridgeSnapshotsParams{AccountID: h.account, ClusterID: cluster, BeforeAt: far})
	})
}
