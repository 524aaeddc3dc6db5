package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

func TestOnlyCursorsOfTheListAreTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.account("acme.example")
	w.account("beta.example")
	labs := must(w.CreateVirtualAccount(t.Context(), acme.ID, "Labs"))(t)
	must(w.Transfer(t.Context(), acme.ID, api.Transfer{Tag: "cms-smp-plus", Quantity: 1, From: "Default", To: labs.ID}))(t)
	in := "/api/v1/accounts/acme.example"
	lists := []string{
		"/api/v1/accounts", in + "/virtual-accounts", in + "/tokens", in + "/virtual-accounts/Default/tokens", in + "/orders", in + "/licenses", in + "/lots", in + "/instances",
		in + "/events", in + "/conference/bridges", in + "/conference/meetings", in + "/conference/usage",
	}
	own := map[string]string{}
	for _, list := range lists {
		var page api.List[any]
		if a := w.call("GET", list+"?limit=1", ""); json.Unmarshal(a.body, &page) != nil || a.status != http.StatusOK {
			t.Fatalf("GET %s: got %d %s", list, a.status, a.body)
		}
		own[list] = page.Next
	}
	if own["/api/v1/accounts"] == "" || own[in+"/lots"] == "" || own[in+"/licenses"] == "" || own[in+"/events"] == "" {
		t.Fatalf("some lists have one page only: %v", own)
	}
	bad := []string{"x", "1", "LTE", labs.ID, writeCursor("Labs"), writeCursor(" "), writeCursor("01"), writeCursor("-1"), strings.Repeat("QQ", 200), "QR", "a%0Ab", "%00"}
	for _, list := range lists {
		for from, cursor := range own {
			if cursor != "" && from != list {
				bad = append(bad, cursor)
			}
		}
		for _, cursor := range bad {
			if cursor == own[list] {
				continue
			}
			if a := w.call("GET", list+"?cursor="+cursor, ""); a.status != http.StatusBadRequest || a.problem(t).Code != "bad-cursor" {
				t.Errorf("GET %s with the cursor %q: got %d %s, want bad-cursor", list, cursor, a.status, a.body)
			}
		}
		bad = bad[:12]
	}
}

func TestALicenseThatNobodyHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.account("acme.example")
	if rows := must(api.Collect(w.License(t.Context(), acme.ID, "vts", "Default")))(t); len(rows) != 0 {
		t.Errorf("got %+v, want nothing", rows)
	}
	if a := w.call("GET", "/api/v1/accounts/acme.example/licenses/vtx", ""); a.status != http.StatusNotFound || !strings.Contains(a.problem(t).Hint, "license list") {
		t.Errorf("a tag that does not exist: got %d %s, want 404", a.status, a.body)
	}
}

func TestReportsNameLicensesAsTheCatalogDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := license.Report{Columns: []string{"meeting", "license", "tag"}, Rows: [][]any{{"mtg_1", "shared", "cms-smp-plus"}, {"mtg_2", "other", "acme-own"}}}
	w.face.nameLicenses(r)
	if r.Rows[0][1] != "Shared Multiparty Plus" || r.Rows[1][1] != "acme-own" {
		t.Errorf("got %v", r.Rows)
	}
	w.face.nameLicenses(license.Report{Columns: []string{"tag"}, Rows: [][]any{{"vts"}}})
}
