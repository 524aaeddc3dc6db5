package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
)

// TestDirectoryResources walks every resource of the directory; each answer is compared with the OpenAPI document on the way.
func TestDirectoryResources(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		acme := w.account("acme.example")
		must(w.EnableConference(ctx, acme.ID, ""))(t)
		file := func(n int) []byte {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, `,{"jid":"user%02d@acme.example","name":"=1+%d","guid":"g","personalLicense":true}`, i, i)
			}
			return fmt.Appendf(nil, `{"users":[%s],"spaces":[{"id":"s","name":"Daily","owner":"user00@acme.example"}]}`, strings.TrimPrefix(b.String(), ","))
		}
		must(w.ImportDirectory(ctx, acme.ID, file(30)))(t)
		w.clock.Advance(24 * time.Hour)
		_, err := w.ImportDirectory(ctx, acme.ID, file(15))
		wantProblem(t, err, http.StatusUnprocessableEntity, "mass-change")
		if sum := must(w.ReplaceDirectory(ctx, acme.ID, file(15)))(t); sum.UsersGone != 15 {
			t.Errorf("got %+v", sum)
		}
		users := must(api.Collect(w.DirectoryUsers(ctx, acme.ID)))(t)
		if len(users) != 15 || !users[0].PersonalLicense || users[0].By != "the directory file" || users[0].Level != "source" || users[3].Name != "=1+3" {
			t.Errorf("got %+v", users)
		}
		if spaces := must(api.Collect(w.DirectorySpaces(ctx, acme.ID)))(t); len(spaces) != 1 || spaces[0].Owner != "user00@acme.example" {
			t.Errorf("got %+v", spaces)
		}
		clashes := must(api.Collect(w.DirectoryClashes(ctx, acme.ID)))(t)
		if len(clashes) != 14 || clashes[0].Code != "guid-twice" || !strings.Contains(clashes[0].Text, "user00@acme.example") {
			t.Errorf("got %+v", clashes)
		}
		from := w.clock.Now().Add(-time.Hour)
		changes := must(api.Collect(w.DirectoryChanges(ctx, acme.ID, from, time.Time{})))(t)
		if len(changes) != 30 || changes[0].What != "disappeared" || changes[1].What != "lost" || changes[0].Day != w.clock.Now().Format(time.DateOnly) || changes[0].Source != "file" {
			t.Errorf("got %d changes, %+v", len(changes), changes[0])
		}
		var page api.List[api.DirectoryChange]
		a := w.call("GET", "/api/v1/accounts/acme.example/conference/directory/changes?limit=7", "")
		for n := 7; ; n += 7 {
			page = decoded[api.List[api.DirectoryChange]](t, a)
			if page.Next == "" {
				if n-7+len(page.Items) != 90 {
					t.Errorf("the pages have %d changes, want 90", n-7+len(page.Items))
				}
				break
			}
			a = w.call("GET", "/api/v1/accounts/acme.example/conference/directory/changes?limit=7&cursor="+page.Next, "")
		}
		runs := must(api.Collect(w.DirectoryRuns(ctx, acme.ID, "file")))(t)
		if len(runs) != 2 || runs[0].AcceptedBy == "" || runs[0].Removed != 15 || runs[0].Reasons[0].Text == "" {
			t.Errorf("got %+v", runs)
		}
		sources := must(api.Collect(w.DirectorySources(ctx, acme.ID)))(t)
		if len(sources) != 1 || sources[0].Kind != "file" || sources[0].Users != 15 || sources[0].Last == nil {
			t.Errorf("got %+v", sources)
		}
		_, err = w.AcceptDirectorySource(ctx, acme.ID, "file")
		wantProblem(t, err, http.StatusConflict, "nothing-held")
		must(w.SetDirectoryDefault(ctx, acme.ID, api.DirectoryDefault{Tenant: "east & west", Personal: "yes"}, false))(t)
		if d := must(api.Collect(w.DirectoryDefaults(ctx, acme.ID)))(t); len(d) != 2 || d[0].Personal != "inherit" || d[0].InForce != "no" || d[1].Tenant != "east & west" || d[1].InForce != "yes" {
			t.Errorf("got %+v", d)
		}
	})
}

func decoded[T any](t *testing.T, a answered) (v T) {
	t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return v
}

func wantProblem(t *testing.T, err error, status int, code string) {
	t.Helper()
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || p.Status != status || p.Code != code || p.Hint == "" {
		t.Errorf("got %v, want %d %s with a hint", err, status, code)
	}
}

// TestLDAPResources walks the resources of a source whose server is away.
func TestLDAPResources(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		acme := w.account("acme.example")
		_, err := w.AddLDAPSource(ctx, acme.ID, api.NewLDAPSource{})
		wantProblem(t, err, http.StatusBadRequest, "bad-name")
		n := api.NewLDAPSource{
			Name: new("staff"), URL: new("ldap://127.0.0.1:1"), BindDN: new("cn=x"), Password: new("secret words"), BaseDN: new("dc=x"),
			Mapping: &api.LDAPMapping{JID: "$uid$@x", Name: "$cn$"}, Personal: new("yes"), Every: new("1h"), Limits: &api.LDAPLimits{Removals: 20},
		}
		_, err = w.AddLDAPSource(ctx, acme.ID, n)
		wantProblem(t, err, http.StatusUnprocessableEntity, "conference-not-enabled")
		must(w.EnableConference(ctx, acme.ID, ""))(t)
		made := must(w.AddLDAPSource(ctx, acme.ID, n))(t)
		if made.Every != "1h0m0s" || made.NextAt == nil || made.Limits.Removals != 20 || made.Personal != "yes" || made.Mapping.Name != "$cn$" {
			t.Errorf("got %+v", made)
		}
		changed := must(w.ChangeLDAPSource(ctx, acme.ID, "Staff", api.NewLDAPSource{Filter: new("(uid=*)"), Mapping: &api.LDAPMapping{UserID: "$uid$"}, Every: new("0")}))(t)
		if changed.Filter != "(uid=*)" || changed.Mapping.JID != "$uid$@x" || changed.Mapping.UserID != "$uid$" || changed.NextAt != nil || changed.URL != made.URL {
			t.Errorf("got %+v", changed)
		}
		for what, d := range map[string]api.NewLDAPSource{"bad-filter": {Filter: new("(")}, "not-changeable": {Name: new("other")}, "bad-interval": {Every: new("often")}, "password-again": {URL: new("ldaps://x")}} {
			_, err = w.ChangeLDAPSource(ctx, acme.ID, "staff", d)
			wantProblem(t, err, http.StatusBadRequest, what)
		}
		_, err = w.TestLDAPSource(ctx, acme.ID, made.ID)
		wantProblem(t, err, http.StatusServiceUnavailable, "ldap-unreachable")
		_, err = w.SyncLDAPSource(ctx, acme.ID, made.ID, true)
		wantProblem(t, err, http.StatusServiceUnavailable, "ldap-unreachable")
		_, err = w.SyncLDAPSource(ctx, acme.ID, made.ID, false)
		wantProblem(t, err, http.StatusServiceUnavailable, "ldap-unreachable")
		all := must(api.Collect(w.LDAPSources(ctx, acme.ID)))(t)
		if len(all) != 1 || all[0].Last == nil || all[0].Last.State != "failed" || all[0].Last.Code != "ldap-unreachable" {
			t.Errorf("got %+v", all)
		}
		_, err = w.SyncLDAPSource(ctx, acme.ID, "other", false)
		wantProblem(t, err, http.StatusNotFound, "not-found")
		must(w.RemoveLDAPSource(ctx, acme.ID, "staff", false))(t)
		for _, path := range []string{"ldap", "ldap/staff", "directory/runs", "events"} {
			a := w.call("GET", "/api/v1/accounts/acme.example/"+strings.Replace("conference/"+path, "conference/events", "events", 1), "")
			if strings.Contains(string(a.body), "secret words") {
				t.Errorf("%s shows the password", path)
			}
		}
		if strings.Contains(w.log.String(), "secret words") {
			t.Error("the log shows the password")
		}
	})
}
