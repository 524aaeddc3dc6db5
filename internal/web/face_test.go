package web

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/callbridge"
)

// bridged is a world whose account acme.example has a directory and two running meetings: one of a space whose owner holds a
// personal license, one that takes a shared license.
func bridged(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.account("acme.example")
	ctx := t.Context()
	if _, err := w.EnableConference(ctx, "acme.example", ""); err != nil {
		t.Fatal(err)
	}
	var spaces strings.Builder
	for i := range 5 {
		fmt.Fprintf(&spaces, `{"id":"aaaaaaaa-0000-4000-8000-00000000000%d","name":"Room %d","owner":"ada@acme.example"},`, i, i)
	}
	_, err := w.ImportDirectory(ctx, "acme.example", []byte(`{"users":[{"jid":"ada@acme.example","guid":"bbbbbbbb-0000-4000-8000-000000000001","email":"ada@acme.example","personalLicense":true},
		{"jid":"ben@acme.example"}],"spaces":[`+strings.TrimSuffix(spaces.String(), ",")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.CreateBridge(ctx, "acme.example", api.NewBridge{Name: "main"})
	if err != nil {
		t.Fatal(err)
	}
	path := b.URL[strings.Index(b.URL, "/cdr/"):]
	for n, space := range []string{"aaaaaaaa-0000-4000-8000-000000000001", "cccccccc-0000-4000-8000-000000000009"} {
		at := w.clock.Now().Add(-10 * time.Minute).UTC().Format(time.RFC3339)
		body := fmt.Sprintf(`<records session="11111111-0000-4000-8000-000000000001"><record type="callStart" time="%[1]s" recordIndex="1" correlatorIndex="%[2]d0"><call id="44444444-0000-4000-8000-00000000000%[2]d"><name>Call %[2]d</name><callType>coSpace</callType><coSpace>%[3]s</coSpace><callCorrelator>55555555-0000-4000-8000-00000000000%[2]d</callCorrelator></call></record>`, at, n+1, space)
		for leg := range 3 {
			body += fmt.Sprintf(`<record type="callLegStart" time="%s" recordIndex="1" correlatorIndex="%d%d"><callLeg id="66666666-0000-4000-8000-0000000000%d%d"><displayName>x</displayName><type>sip</type><state>connected</state><call>44444444-0000-4000-8000-00000000000%d</call></callLeg></record>`+
				`<record type="callLegUpdate" time="%s" recordIndex="1" correlatorIndex="%d%d"><callLeg id="66666666-0000-4000-8000-0000000000%d%d"><state>connected</state><call>44444444-0000-4000-8000-00000000000%d</call></callLeg></record>`,
				at, n+1, 2*leg+1, n, leg, n+1, at, n+1, 2*leg+2, n, leg, n+1)
		}
		if a := w.raw("POST", path, []byte(body+"</records>")); a.status != http.StatusOK {
			t.Fatalf("post records: %d %s", a.status, a.body)
		}
	}
	return w
}

// read reads a document of the call bridge's API as an existing check would.
func readFace[T any](w *world, path string) T {
	w.t.Helper()
	a := w.raw("GET", "/api/v1"+path, nil, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("acme.example:"+w.key)))
	var d T
	if err := callbridge.Parse(a.body, &d); a.status != http.StatusOK || a.header.Get("Content-Type") != "text/xml" || err != nil {
		w.t.Fatalf("GET %s: got %d %s (%v)", path, a.status, a.body, err)
	}
	return d
}

func TestFaceOfACallBridge(t *testing.T) {
	t.Parallel()
	w := bridged(t)
	m := readFace[callbridge.Multiparty](w, "/system/multipartyLicensing")
	if m.Users != 2 || m.PersonalLicenses != 1 || m.CallsActive != 2 || m.CallsWithoutPersonalLicense != 1 || m.WeightedCallsWithoutPersonalLicense != 1000 ||
		m.ParticipantsActive != 6 || m.SharedLicenseLimit != 3 {
		t.Errorf("multipartyLicensing: %+v", m)
	}
	active := readFace[callbridge.ActiveLicenses](w, "/system/multipartyLicensing/activePersonalLicenses")
	if active.Total != 1 || active.Users[0].UserJID != "ada@acme.example" || active.Users[0].CallsActive != 1 || active.Users[0].ID != "bbbbbbbb-0000-4000-8000-000000000001" {
		t.Errorf("activePersonalLicenses: %+v", active)
	}
	s := readFace[callbridge.Status](w, "/system/status")
	hosts := readFace[callbridge.KnownHosts](w, "/system/MPLicenseUsage/knownHosts")
	if !s.Activated || s.CallLegsActive != 6 || hosts.Total != 1 || hosts.Hosts[0].ID != s.HostID {
		t.Errorf("status %+v, hosts %+v", s, hosts)
	}
	l := readFace[callbridge.Licensing](w, "/system/licensing")
	if len(l.Features.Features) != 1 || l.Features.Features[0].XMLName.Local != "shared" || *l.Features.Features[0].Limit != 3 || l.Features.Features[0].Status != "activated" {
		t.Errorf("licensing: %+v", l)
	}
	calls := readFace[callbridge.Calls](w, "/calls")
	if calls.Total != 2 || calls.Calls[0].Legs != nil {
		t.Fatalf("calls: %+v", calls)
	}
	c := readFace[callbridge.Call](w, "/calls/"+string(calls.Calls[0].ID))
	if *c.Legs != 3 || *c.DurationSeconds != 600 || c.Type != "coSpace" || c.Correlator != calls.Calls[0].Correlator || c.Correlator == "" {
		t.Errorf("call: %+v", c)
	}
	if d := readFace[callbridge.Calls](w, "/calls?coSpaceFilter=cccccccc-0000-4000-8000-000000000009"); d.Total != 1 {
		t.Errorf("calls of a space: %+v", d)
	}
	if d := readFace[callbridge.Database](w, "/system/database"); d.Clustered != "disabled" {
		t.Errorf("database: %+v", d)
	}
}

func TestFaceListsHavePages(t *testing.T) {
	t.Parallel()
	w := bridged(t)
	seen := map[callbridge.Text]bool{}
	for offset := 0; offset < 5; offset += 2 {
		d := readFace[callbridge.CoSpaces](w, fmt.Sprintf("/coSpaces?offset=%d&limit=2", offset))
		if d.Total != 5 || len(d.Spaces) != min(2, 5-offset) {
			t.Errorf("page at %d: %+v", offset, d)
		}
		for _, s := range d.Spaces {
			seen[s.ID] = true
		}
	}
	if len(seen) != 5 {
		t.Errorf("got %d spaces, want 5", len(seen))
	}
	for path, want := range map[string]callbridge.Number{"/coSpaces?filter=room+3": 1, "/coSpaces?offset=99": 5, "/coSpaces?tenantFilter=x": 0, "/coSpaces?limit=0": 5} {
		if d := readFace[callbridge.CoSpaces](w, path); d.Total != want {
			t.Errorf("%s: got %d, want %d", path, d.Total, want)
		}
	}
	users := readFace[callbridge.Users](w, "/users")
	if users.Total != 2 || users.Users[0].Email != "" {
		t.Fatalf("users: %+v", users)
	}
	u := readFace[callbridge.User](w, "/users/"+string(users.Users[0].ID))
	p := readFace[callbridge.UserProfile](w, "/userProfiles/"+string(u.UserProfile))
	if u.Email != "ada@acme.example" || !bool(*p.HasLicense) {
		t.Errorf("user %+v with profile %+v", u, p)
	}
	if d := readFace[callbridge.Users](w, "/users?emailFilter=ada@acme.example&filter=ADA"); d.Total != 1 {
		t.Errorf("users by mail: %+v", d)
	}
	if d := readFace[callbridge.UserProfiles](w, "/userProfiles"); d.Total != 2 {
		t.Errorf("profiles: %+v", d)
	}
}

// TestFaceRefusals: in the form of the call bridge.
func TestFaceRefusals(t *testing.T) {
	t.Parallel()
	w := bridged(t)
	sign := "Basic " + base64.StdEncoding.EncodeToString([]byte("acme.example:"+w.key))
	for _, c := range []struct {
		method, path, sign string
		status             int
		reason             string
	}{
		{"GET", "/coSpaces/nowhere", sign, 404, "coSpaceDoesNotExist"},
		{"GET", "/users/nobody", sign, 404, "userDoesNotExist"},
		{"GET", "/calls/none", sign, 404, "callDoesNotExist"},
		{"GET", "/coSpaces?offset=-1", sign, 400, "parameterError"},
		{"GET", "/tenants", sign, 404, "unrecognizedObject"},
		{"POST", "/coSpaces", sign, 405, "unsupportedOperation"},
		{"DELETE", "/users/x", sign, 405, "unsupportedOperation"},
		{"GET", "/accounts", sign, 401, ""},
		{"GET", "/tenants", "Basic eDp5", 401, "notSignedIn"},
	} {
		a := w.raw(c.method, "/api/v1"+c.path, nil, "Authorization", c.sign)
		if a.status != c.status || !strings.Contains(string(a.body), c.reason) {
			t.Errorf("%s %s: got %d %s, want %d %s", c.method, c.path, a.status, a.body, c.status, c.reason)
		}
	}
	if a := w.raw("GET", "/api/v1/system/status", nil, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("administrator:"+w.key))); a.status != http.StatusOK {
		t.Errorf("the key's own name where there is one account: got %d %s", a.status, a.body)
	}
	if _, err := w.CreateAccount(t.Context(), "other.example"); err != nil {
		t.Fatal(err)
	}
	if a := w.raw("GET", "/api/v1/system/status", nil, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("administrator:"+w.key))); a.status != http.StatusUnauthorized {
		t.Errorf("the key's own name where there are two: got %d", a.status)
	}
}
