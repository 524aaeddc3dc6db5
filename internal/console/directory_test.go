package console

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/test/double"
	"github.com/tallystick/tallystick/test/play"
)

// inProcess carries the conference engine's envelopes to the desk.
type inProcess struct{ desk *authority.Authority }

func (p inProcess) Exchange(ctx context.Context, verb string, envelope []byte) ([]byte, error) {
	answer, err := p.desk.Machine(ctx, verb, envelope)
	if answer != nil {
		return answer, nil
	}
	return nil, err
}

// always sets a function that returns v, whose interface type this package has no name for.
func always[T any](f *func(string) T, v any) { *f = func(string) T { return v.(T) } }

// engineEstate is an estate whose conference engine works, with a clock that moves.
func engineEstate(t *testing.T) (*estate, *storetest.Clock) {
	t.Helper()
	e := newEstate(t)
	clock, quiet := storetest.NewClock(storetest.Start()), slog.New(slog.DiscardHandler)
	st := storetest.OpenURL(t, filepath.Join(t.TempDir(), "tally.db"), clock.Now)
	keys, err := trust.OpenKeys(t.TempDir(), clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	e.Authority = authority.New(authority.Options{Store: st, Keys: keys, Catalog: license.DefaultCatalog(), Now: clock.Now})
	o := conference.Options{Store: st, Now: clock.Now, Log: quiet, Keys: keys, Version: "test"}
	always(&o.Transport, inProcess{e.Authority})
	options := Options{Authority: e.Authority, Conference: conference.New(o), Now: clock.Now, Log: quiet, Version: "1.2.3"}
	e.handler, e.console = New(options), &console{Options: options}
	if e.account, err = e.CreateAccount(t.Context(), person(), "acme <b>example"); err != nil {
		t.Fatal(err)
	}
	_, token, err := e.CreateToken(t.Context(), person(), e.account.ID, authority.NewToken{VirtualAccount: e.account.DefaultVA, Days: 1, MaxUses: 1})
	if err == nil {
		err = options.Conference.Enable(t.Context(), "test", e.account.ID, e.account.DefaultVA, token.Reveal())
	}
	if err != nil {
		t.Fatal(err)
	}
	code, err := e.SignInCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.cookie = e.post("/signin", url.Values{"code": {string(code)}}).Result().Cookies()[0]
	return e, clock
}

// seen is a page of the account, checked.
func (e *estate) seen(t *testing.T, path string) string {
	t.Helper()
	w := e.get("/accounts/" + e.account.ID + path)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d\n%s", path, w.Code, w.Body)
	}
	checkPage(t, path, w.Body.String())
	return w.Body.String()
}

// acted posts a form of a page and wants an answer with a status.
func (e *estate) acted(t *testing.T, status int, path string, form ...string) *httptest.ResponseRecorder {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	w := e.post("/accounts/"+e.account.ID+path, values)
	if w.Code != status {
		t.Fatalf("%s with %v: %d, want %d\n%s", path, form, w.Code, status, w.Body)
	}
	if status != http.StatusSeeOther {
		checkPage(t, path, w.Body.String())
	}
	return w
}

// TestDirectoryPage plays a directory server whose people leave: what its sources say is shown, what takes away much waits, and the forms
// ask before they change anything.
func TestDirectoryPage(t *testing.T) {
	t.Parallel()
	people := play.People(30)
	server := play.Slapd(t, play.Unlimited, people)
	server.Licensed(people[:10])
	e, clock := engineEstate(t)
	wantText(t, e.seen(t, "/directory"), "The directory is empty", "tally conference ldap add", "Nobody appeared")
	engine := e.console.Conference
	settings := conference.LDAPSettings{BaseDN: play.PeopleDN, Filter: "(objectClass=inetOrgPerson)"}
	settings.Mapping.JID, settings.Mapping.Name = "$uid$@acme.example", "$cn$"
	staff, err := engine.AddLDAP(t.Context(), "test", e.account.ID, conference.NewLDAP{Name: "staff", LDAPServer: conference.LDAPServer{URL: server.URL, BindDN: play.SyncDN},
		Password: play.SyncSecret, LDAPSettings: settings})
	if err != nil {
		t.Fatal(err)
	}
	settings.Filter, settings.Personal = play.LicensedFilter, "yes"
	hosts, err := engine.AddLDAP(t.Context(), "test", e.account.ID, conference.NewLDAP{Name: "hosts", Like: "staff", LDAPSettings: settings})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, e.seen(t, "/directory"), "not read yet", "in 6 h", play.LicensedFilter, "all of its users hold one")
	if w := e.acted(t, http.StatusOK, "/directory/preview", "source", staff.ID); !strings.Contains(w.Body.String(), "30 new users") || !strings.Contains(w.Body.String(), "would be in force") {
		t.Errorf("the preview: %s", w.Body)
	}
	e.acted(t, http.StatusBadRequest, "/directory/sync", "source", staff.ID) // it is not said that it is meant
	for _, id := range []string{staff.ID, hosts.ID} {
		if w := e.acted(t, http.StatusSeeOther, "/directory/sync", "source", id, "sure", "on"); !strings.HasSuffix(w.Header().Get("Location"), "/directory#"+id) {
			t.Errorf("to %q", w.Header().Get("Location"))
		}
	}
	text := e.seen(t, "/directory")
	wantText(t, text, "30 new users", "10 personal licenses gained", "p0000<wbr>@acme.example", "ldap hosts", "nobody says anything", "got a personal license", "by hand", ">30<", ">10<")
	if found := e.seen(t, "/directory?find=Person+7"); !strings.Contains(found, `">Person 7<`) || strings.Contains(found, `">Person 8<`) || !strings.Contains(found, "1 person") {
		t.Error("one person is not found alone")
	}
	wantText(t, e.seen(t, "/directory?license=yes"), "10 people")
	wantText(t, e.seen(t, "/directory?find=nobody+like+this"), "Nobody is found.")

	// Most leave.
	server.Licensed(people[:2])
	server.Remove(people[20:])
	clock.Advance(time.Hour)
	e.acted(t, http.StatusSeeOther, "/directory/sync", "source", staff.ID, "sure", "on")
	held := e.seen(t, "/directory")
	wantText(t, held, "takes away much and waits", "10 users gone", "10 of 30 users would be gone, more than 10 percent", "Accept this reading", ">30<")
	_, run, _ := strings.Cut(held, `action="/accounts/`+e.account.ID+`/directory/accept"><input type="hidden" name="source" value="`)
	run, _, _ = strings.Cut(run, `"`)
	e.acted(t, http.StatusBadRequest, "/directory/accept", "source", run)
	server.Remove(people[19:20])
	clock.Advance(time.Minute)
	e.acted(t, http.StatusSeeOther, "/directory/sync", "source", staff.ID, "sure", "on")
	stale := e.acted(t, http.StatusBadRequest, "/directory/accept", "source", run, "sure", "on")
	if !strings.Contains(stale.Body.String(), "does not wait") {
		t.Errorf("a reading that another one came after is accepted: %s", stale.Body)
	}
	_, run, _ = strings.Cut(e.seen(t, "/directory"), `/directory/accept"><input type="hidden" name="source" value="`)
	run, _, _ = strings.Cut(run, `"`)
	e.acted(t, http.StatusSeeOther, "/directory/accept", "source", run, "sure", "on")
	wantText(t, e.seen(t, "/directory"), ">accepted<", "11 users gone", "disappeared", ">19<")
	if w := e.acted(t, http.StatusOK, "/directory/preview", "source", hosts.ID); !strings.Contains(w.Body.String(), "would wait for a person") || !strings.Contains(w.Body.String(), "It would wait for somebody to agree") {
		t.Errorf("the preview of what would be held: %s", w.Body)
	}

	// The server is away, and what was known stays.
	server.Kill()
	clock.Advance(time.Minute)
	e.acted(t, http.StatusServiceUnavailable, "/directory/sync", "source", staff.ID, "sure", "on")
	wantText(t, e.seen(t, "/directory"), ">failed<", "Nothing was changed.", "What to do:", ">19<")
	e.acted(t, http.StatusNotFound, "/directory/erase", "source", staff.ID, "sure", "on")
	e.acted(t, http.StatusNotFound, "/directory/sync", "source", "nowhere", "sure", "on")
}

// TestViewersChangeNothing: the forms of the directory and of bridges want somebody who may change the account.
func TestViewersChangeNothing(t *testing.T) {
	t.Parallel()
	e, _ := engineEstate(t)
	for _, act := range []struct {
		name string
		do   func(*visit) (sheet, error)
	}{{"sync", e.console.actOnDirectory}, {"preview", e.console.actOnDirectory}, {"accept", e.console.actOnDirectory}, {"poll", e.console.actOnBridge}, {"policy", e.console.actOnBridge}} {
		for who, want := range map[access.Person]license.Kind{
			{ID: "key_v", Role: access.Viewer, Account: e.account.ID}:       license.KindPermission,
			{ID: "key_o", Role: access.Administrator, Account: "acc_other"}: license.KindNotFound,
		} {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("sure=on&source=x&policy=member-first"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetPathValue("act", act.name)
			r.SetPathValue("bridge", "x")
			_, err := act.do(&visit{Request: r, who: who, now: storetest.Start(), account: e.account})
			if refused := license.AsError(err); refused == nil || refused.Kind != want {
				t.Errorf("%s by %s: got %v, want a refusal of kind %d", act.name, who.ID, err, want)
			}
		}
	}
}

// TestBridgePages: what a call bridge answers, its count beside ours, and the policy that its count speaks for.
func TestBridgePages(t *testing.T) {
	t.Parallel()
	e, clock := engineEstate(t)
	wantText(t, e.seen(t, "/bridges"), "There is no bridge yet", "tally conference bridge add NAME")
	engine := e.console.Conference
	b, receiver, err := engine.AddBridge(t.Context(), "test", e.account.ID, `main "<b>`, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The command is one that a shell takes.
	wantText(t, e.seen(t, "/bridges"), "API not read", "tally conference bridge api &#39;main &#34;&lt;b&gt;&#39; --api")
	wantText(t, e.seen(t, "/bridges/"+b.ID), "No record has come yet", "Its API is not read", "policy owner-first 2, as for all bridges")
	// Ada's space meets, and Ben, who holds a license, takes part for an hour: a shared license by owner-first, a personal one by member-first.
	if _, err := engine.ImportDirectory(t.Context(), "test", e.account.ID, []byte(`{"users":[{"jid":"ada@acme.example"},{"jid":"ben@acme.example","personalLicense":true}],
		"spaces":[{"id":"33333333-0000-4000-8000-000000000009","name":"Weekly","owner":"ada@acme.example"}]}`)); err != nil {
		t.Fatal(err)
	}
	begin := clock.Now().Add(-2 * time.Hour)
	if _, err := engine.Receive(t.Context(), receiver.Reveal(), []byte(weekly(begin))); err != nil {
		t.Fatal(err)
	}
	played := double.Start(t)
	played.PageCap = 100
	played.Set("/system/MPLicenseUsage", personalSnapshots(begin, 24))
	if _, err := engine.SetBridgeAPI(t.Context(), "test", e.account.ID, b.ID, conference.NewBridgeAPI{URL: played.URL, User: double.User, Password: double.Password}); err != nil {
		t.Fatal(err)
	}
	wantText(t, e.seen(t, "/bridges/"+b.ID), "not asked yet", "No snapshot of the call bridges")
	path := "/bridges/" + b.ID
	e.acted(t, http.StatusBadRequest, path+"/poll")
	e.acted(t, http.StatusSeeOther, path+"/poll", "sure", "on")
	text := e.seen(t, path)
	wantText(t, text, "3.8.1", "answers, look at it", "does not post to our receiver", "5 users, 4 spaces", "recorderLowDiskSpace", "its own 0", "Weekly",
		"own count is explained better by member-first 1", "Put member-first in force")
	for _, period := range []string{"week", "month"} {
		wantText(t, e.seen(t, path+"?period="+period), `aria-current="page"`)
	}
	e.acted(t, http.StatusBadRequest, path+"/policy", "policy", "member-first")
	e.acted(t, http.StatusBadRequest, path+"/policy", "policy", "nobody-first", "sure", "on")
	e.acted(t, http.StatusSeeOther, path+"/policy", "policy", "member-first", "sure", "on")
	wantText(t, e.seen(t, path), "member-first 1, of this bridge")

	played.Set("/coSpaces", "")
	e.acted(t, http.StatusSeeOther, path+"/poll", "sure", "on")
	wantText(t, e.seen(t, path), "Not there", "/coSpaces", "has no list /coSpaces")
	played.Close()
	e.acted(t, http.StatusSeeOther, path+"/poll", "sure", "on") // the failure stands on the page
	wantText(t, e.seen(t, path), "last turn failed", "What was known stays.", "What to do:")
	wantText(t, e.seen(t, "/bridges"), "last turn failed", "does not answer")
	wantText(t, e.seen(t, "/directory"), "What this bridge answers")
	e.acted(t, http.StatusNotFound, path+"/erase", "sure", "on")
	if w := e.get("/accounts/" + e.account.ID + "/bridges/brg_none"); w.Code != http.StatusNotFound {
		t.Errorf("a bridge that is not there: %d", w.Code)
	}
}

// weekly are the records of a meeting of an hour in a space of ada's, with three participants, one of them ben.
func weekly(begin time.Time) string {
	const call = "44444444-0000-4000-8000-000000000009"
	var b strings.Builder
	n := 0
	record := func(kind string, at time.Time, inside string) {
		n++
		fmt.Fprintf(&b, `<record type="%s" time="%s" recordIndex="%d" correlatorIndex="%d">%s</record>`, kind, at.Format(time.RFC3339), n, n-1, inside)
	}
	b.WriteString(`<records session="11111111-0000-4000-8000-000000000009" callBridge="22222222-0000-4000-8000-000000000009">`)
	record("callStart", begin, `<call id="`+call+`"><name>Weekly</name><callType>coSpace</callType><coSpace>33333333-0000-4000-8000-000000000009</coSpace><callCorrelator>55555555-0000-4000-8000-000000000009</callCorrelator></call>`)
	for i, who := range []string{"ben@acme.example", "guest@elsewhere.example", "other@elsewhere.example"} {
		leg := fmt.Sprintf("66666666-0000-4000-8000-%012d", i)
		record("callLegStart", begin, `<callLeg id="`+leg+`"><displayName>`+who+`</displayName><remoteParty>`+who+`</remoteParty><type>sip</type><call>`+call+`</call></callLeg>`)
		record("callLegUpdate", begin, `<callLeg id="`+leg+`"><state>connected</state><remoteParty>`+who+`</remoteParty><call>`+call+`</call></callLeg>`)
	}
	for i := range 3 {
		record("callLegEnd", begin.Add(time.Hour), fmt.Sprintf(`<callLeg id="66666666-0000-4000-8000-%012d"><reason>remoteTeardown</reason><durationSeconds>3600</durationSeconds></callLeg>`, i))
	}
	record("callEnd", begin.Add(time.Hour), `<call id="`+call+`"><callLegsCompleted>3</callLegsCompleted><callLegsMaxActive>3</callLegsMaxActive><durationSeconds>3600</durationSeconds></call>`)
	return b.String() + "</records>"
}

// personalSnapshots are what a call bridge kept that counted the meeting as one on a personal license, every five minutes.
func personalSnapshots(begin time.Time, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<MPLicenseUsage total="%d">`, n)
	for i := n - 1; i >= 0; i-- {
		pmp := "0.00"
		if i < 12 {
			pmp = "1.00"
		}
		fmt.Fprintf(&b, `<entry time="%s"><pmp>%s</pmp><pmpAssigned>2.00</pmpAssigned></entry>`, begin.Add(time.Duration(i)*5*time.Minute+time.Second).Format(time.RFC3339), pmp)
	}
	return b.String() + "</MPLicenseUsage>"
}

// TestTheDirectoryShowsWhatPeopleChose: texts of directories and call bridges are texts, whatever they hold.
func TestTheDirectoryShowsWhatPeopleChose(t *testing.T) {
	t.Parallel()
	now := storetest.Start()
	run := conference.Run{ID: "run_1", Kind: fromLDAP, Source: "lds_1", Name: canary, State: conference.RunFailed, StartedAt: now.Add(-time.Hour), EndedAt: now.Add(-time.Hour), By: conference.Scheduled,
		Skipped: 1, RunDetails: conference.RunDetails{Message: canary, Hint: "look at `" + canary + "`"}}
	held := run
	held.State, held.Removed, held.Lost = conference.RunHeld, 1, 2
	failed, waits := sourceCard{kind: fromLDAP, id: "lds_1", server: canary, filter: canary, every: 6 * time.Hour, nextAt: now.Add(time.Hour)}, sourceCard{kind: fromLDAP, id: "lds_2"}
	failed.SourceInfo = conference.SourceInfo{Kind: fromLDAP, Name: canary, Tenant: canary, Users: 1234, AcceptedAt: now, Last: &run}
	waits.SourceInfo = conference.SourceInfo{Kind: fromLDAP, Name: canary, Held: &held, Last: &held}
	page := drawn(t, "Directory", func(v *visit) templ.Component {
		return directoryBody(v, directoryPage{
			sum: conference.DirectorySummary{Version: 7, Users: 1234, Spaces: 2, Devices: 3, Personal: 5, ImportedAt: now}, sources: []sourceCard{waits, failed},
			defaults: []defaultRow{{"", "no"}, {canary, "yes"}}, clashes: []clashRow{{"guid-twice", canary}}, more: 4, found: 1, period: changePeriods()[0], search: canary, licensed: true,
			people:  []personRow{{jid: canary, name: canary, says: canary, license: true, sources: []string{canary}}},
			changes: []conference.DirectoryChange{{At: now, Version: 7, JID: canary, Name: canary, What: conference.Lost, Source: canary, By: "key_1"}}, older: true,
		})
	})
	wantText(t, page, "1,234", "and 3 devices", "1 user gone, 2 personal licenses taken away", "by the schedule", "in 1 h", "every 6 h", "And 4 more", "lost the personal license", "The newest 200", `<code>&#34;&gt;`)
	found := conference.APIState{AskedAt: now, AnsweredAt: now, Version: canary, Receives: conference.ReceivesNo, Calls: 1, Missing: []string{canary},
		Failure: &conference.Refusal{Code: "x", Message: canary, Hint: canary}, Alarms: []conference.APIAlarm{{Type: canary, Since: now, Reason: canary}},
		Licensing: &conference.APILicensing{Features: []conference.APIFeature{{Name: canary, Status: canary, Expiry: now}}}, Active: &conference.APIActive{There: 1, OnlyThere: []string{canary}},
		Directory: &conference.APIDirectory{ReadAt: now, State: conference.RunHeld, Users: 1}, Tail: conference.Tail{State: conference.TailLost, Lost: 2}}
	card := bridgeCard{Bridge: conference.Bridge{ID: "brg_1", Name: canary, Records: 5, CallBridges: []string{canary}, Quarantined: []string{canary}, Missing: 3, Changing: true},
		apis: []conference.BridgeAPI{{ID: "api_1", URL: canary, User: canary, Every: 5 * time.Minute, Found: found}}, policy: conference.BridgePolicy{Policy: meeting.OwnerFirst(), Own: true}}
	page = drawn(t, "Bridges", func(v *visit) templ.Component { return bridgesBody(v, []bridgeCard{card}) })
	wantText(t, page, "1 call bridge in quarantine", "3 records are lost", "last turn failed", "owner-first 2, of this bridge")
	counts := &conference.Reconciliation{Hosts: 2, Compared: 288, Partial: 3, Differing: 21, PeakExact: 13, PeakSampled: 12, PeakTheirs: 1350, Assigned: 1, AssignedTheirs: 2,
		Differences: []conference.CountDifference{{At: now, Ours: meeting.Tally{Personal: 100}, Theirs: meeting.Tally{Full: 33}, Meetings: []conference.CountedMeeting{{ID: "mtg_1", Name: canary}, {ID: "mtg_2"}}, More: 5}},
		Fits:        []conference.PolicyFit{{Policy: meeting.Policies()[1], Distance: 12}, {Policy: meeting.OwnerFirst(), InForce: true, Distance: 300}}, Proposed: meeting.Policies()[1].String()}
	never := card
	never.apis = []conference.BridgeAPI{{ID: "api_1", URL: canary, User: canary, Found: conference.APIState{AskedAt: now, Failure: &conference.Refusal{Code: "x", Message: canary}}}}
	page = drawn(t, "Bridge", func(v *visit) templ.Component {
		return bridgeBody(v, bridgePage{bridgeCard: never, period: comparePeriods()[0], counts: counts})
	})
	if wantText(t, page, "never answered"); strings.Contains(page, "of which") {
		t.Error("active calls of a bridge that never answered")
	}
	page = drawn(t, "Bridge", func(v *visit) templ.Component {
		return bridgeBody(v, bridgePage{bridgeCard: card, period: comparePeriods()[0], counts: counts,
			streams: []conference.Stream{{CallBridge: canary, Records: 5, LastAt: now, Missing: 1, Quarantined: true}, {LastAt: now}}})
	})
	wantText(t, page, "are being decided anew", "without a name", "quarantined", "2 records did not come", "21 intervals differ", "2.25 or so", "and 4 more", "its own 0.33", "0.12", "Put member-first in force", "The largest 1 of 21")
	page = drawn(t, "Bridge", func(v *visit) templ.Component {
		return bridgeBody(v, bridgePage{bridgeCard: card, period: comparePeriods()[0], counts: &conference.Reconciliation{Skipped: "fewer than 12 intervals are no evidence"}})
	})
	wantText(t, page, "no difference", "Policies are not compared: fewer than 12")
}
