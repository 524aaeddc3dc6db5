package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// TestReservationPages plays a ceremony in the browser: every form, what it refuses, and what needs a tick first.
func TestReservationPages(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	importOrder(t, e)
	list := "/accounts/" + e.account.ID + "/reservations"
	bare := newEstate(t)
	if w := bare.get("/accounts/" + bare.account.ID + "/reservations"); !strings.Contains(w.Body.String(), "nothing was bought yet") || strings.Contains(w.Body.String(), "paste it below") || strings.Contains(w.Body.String(), "Reserve and make") {
		t.Errorf("where there is no license, the form does not say so:\n%s", w.Body)
	}
	request, err := trust.NewRequestCode("PID:CMS-1000,SN:A1", 1)
	if err != nil {
		t.Fatal(err)
	}
	wantCode := func(w interface{ Result() *http.Response }, status int, what string) *http.Response {
		t.Helper()
		r := w.Result()
		if r.StatusCode != status {
			t.Fatalf("%s: %d, want %d", what, r.StatusCode, status)
		}
		return r
	}
	text := func(path string) string {
		t.Helper()
		w := e.get(path)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d\n%s", path, w.Code, w.Body)
		}
		checkPage(t, path, w.Body.String())
		return w.Body.String()
	}
	if page := text(list); !strings.Contains(page, quantityPrefix+"cms-smp-plus") {
		t.Fatalf("nothing can be reserved:\n%s", page)
	}
	wantCode(e.post(list, url.Values{"request": {"hello"}, quantityPrefix + "cms-smp-plus": {"1"}}), http.StatusBadRequest, "no code")
	wantCode(e.post(list, url.Values{"request": {request.String()}, quantityPrefix + "cms-smp-plus": {"x"}}), http.StatusBadRequest, "no number")
	made := wantCode(e.post(list, url.Values{"request": {request.String()}, quantityPrefix + "cms-smp-plus": {"1"}}), http.StatusSeeOther, "reserve")
	one := made.Header.Get("Location")
	if page := text(one); strings.Count(page, `class="qr"`) < 2 || !strings.Contains(page, "tally1:") {
		t.Error("the authorization is not on the page")
	}
	text(list)
	w := e.get(one + "/authorization")
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Disposition"), "attachment") || !strings.HasPrefix(w.Body.String(), "TALLYSTICK LICENSE RESERVATION") {
		t.Fatalf("the file: %d %v", w.Code, w.Header())
	}
	said, err := wire.ParseReservation([]byte(w.Body.String()[:strings.Index(w.Body.String(), "-----BEGIN")]))
	if err != nil {
		t.Fatal(err)
	}
	key, err := trust.ParseCodeKey(said.Key)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(kind trust.CodeKind) string {
		c, err := key.Sign(kind, said.UDI(), said.Sequence, said.Version)
		if err != nil {
			t.Fatal(err)
		}
		return c.String()
	}
	wantCode(e.post(one+"/confirm", url.Values{"code": {"C1"}}), http.StatusBadRequest, "a wrong code")
	wantCode(e.post(one+"/confirm", url.Values{"code": {answer(trust.CodeConfirmation)}}), http.StatusSeeOther, "confirm")
	if !strings.Contains(text(one), "Confirmed") {
		t.Error("it is not confirmed")
	}
	other, err := trust.NewRequestCode("PID:CMS-1000,SN:A2", 1)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"request": {other.String()}, "reason": {"fire"}}
	wantCode(e.post(one+"/rehost", form), http.StatusBadRequest, "a rehost without a tick")
	form.Set("sure", "on")
	wantCode(e.post(one+"/rehost", form), http.StatusSeeOther, "ask for a rehost")
	page := text(list)
	_, id, _ := strings.Cut(page, "/rehosts/")
	id, _, _ = strings.Cut(id, "/")
	rehost := "/accounts/" + e.account.ID + "/rehosts/" + id
	wantCode(e.post(rehost+"/approve", url.Values{"sure": {"on"}}), http.StatusForbidden, "approved by who asked")
	wantCode(e.post(rehost+"/reject", nil), http.StatusSeeOther, "reject")
	wantCode(e.post(one+"/return", url.Values{"code": {answer(trust.CodeReturn)}}), http.StatusBadRequest, "a return without a tick")
	wantCode(e.post(one+"/return", url.Values{"code": {answer(trust.CodeReturn)}, "sure": {"on"}}), http.StatusSeeOther, "return")
	if page := text(one); !strings.Contains(page, "Returned") || strings.Contains(page, "tally1:") {
		t.Error("it is not returned")
	}
	all := map[license.Tag]int64{}
	rows, err := e.Licenses(t.Context(), person(), e.account.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		all[r.Tag] = r.Available
	}
	if _, err := e.Reserve(t.Context(), person(), e.account.ID, authority.NewReservation{Request: other.String(), Licenses: all}); err != nil {
		t.Fatal(err)
	}
	if page := text(list); !strings.Contains(page, "none of what was bought is available") || strings.Contains(page, "Reserve and make") {
		t.Error("where all are reserved, the form does not say so")
	}
	wantText(t, text("/accounts/"+e.account.ID+"/products"), "held by its reservation", "cms-smp-plus")
	wantCode(e.get(one+"/authorization"), http.StatusBadRequest, "the file of an ended one")
	wantCode(e.post(one+"/nonsense", nil), http.StatusNotFound, "an act that does not exist")
	text(list)
}
