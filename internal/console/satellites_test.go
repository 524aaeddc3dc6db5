package console

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
)

// carry posts a file as a browser does.
func (e *estate) carry(path string, file []byte) *httptest.ResponseRecorder {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "file.txt")
	if err == nil {
		_, err = part.Write(file)
	}
	if err != nil || form.Close() != nil {
		panic(err)
	}
	r := httptest.NewRequest(http.MethodPost, path, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.AddCookie(e.cookie)
	return e.send(r)
}

// TestSatellitePages plays a synchronization by files in two browsers, and what needs a tick first.
func TestSatellitePages(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	path := "/accounts/" + e.account.ID + "/satellites"
	page := func(e *estate) string {
		t.Helper()
		w := e.get(path)
		if w.Code != http.StatusOK {
			t.Fatalf("%d\n%s", w.Code, w.Body)
		}
		checkPage(t, path, w.Body.String())
		return w.Body.String()
	}
	page(e)
	made := e.post(path+"/create", url.Values{"name": {"Plant 7"}})
	checkPage(t, path, made.Body.String())
	_, token, _ := strings.Cut(made.Body.String(), "<pre><code>")
	token, _, _ = strings.Cut(token, "</code>")
	dir := t.TempDir()
	st := storetest.Open(t)
	j := satellite.Joiner{Store: st, Keys: dir, Catalog: license.DefaultCatalog(), Now: storetest.Start}
	request, err := j.Request(t.Context(), token)
	if err != nil {
		t.Fatalf("the token of the page: %v", err)
	}
	answer := e.carry(path+"/answer", request)
	if _, err := j.Complete(t.Context(), answer.Body.Bytes()); err != nil {
		t.Fatalf("the answer of the page: %v\n%s", err, answer.Body)
	}
	keys, err := trust.OpenKeys(dir, storetest.Start())
	if err != nil {
		t.Fatal(err)
	}
	a := authority.New(authority.Options{Store: st, Keys: keys, Catalog: license.DefaultCatalog(), Now: storetest.Start})
	below := &estate{Authority: a, handler: New(Options{Authority: a, Conference: conference.New(conference.Options{Store: st, Now: storetest.Start}), Now: storetest.Start})}
	code, err := a.SignInCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	below.cookie = below.post("/signin", url.Values{"code": {string(code)}}).Result().Cookies()[0]
	if text := page(below); !strings.Contains(text, "Plant 7") || !strings.Contains(text, "exchange {") {
		t.Error("the page of the satellite does not show what would leave")
	}
	if w := below.post(path+"/now", url.Values{}); w.Code != http.StatusNotFound || strings.Contains(page(below), "Synchronize now") {
		t.Errorf("it synchronizes over no network: %d", w.Code)
	}
	up := below.post(path+"/export", url.Values{})
	down := e.carry(path+"/answer", up.Body.Bytes())
	if !strings.Contains(down.Header().Get("Content-Disposition"), "answer.txt") {
		t.Fatalf("no answer: %s", down.Body)
	}
	if done := below.carry(path+"/apply", down.Body.Bytes()); !strings.Contains(done.Body.String(), "Synchronized:") {
		t.Errorf("applied: %s", done.Body)
	}
	if bent := below.carry(path+"/apply", up.Body.Bytes()); bent.Code == http.StatusOK {
		t.Error("a file of a satellite is applied")
	}
	room, desk := satellite.New(satellite.Options{Authority: a, Now: storetest.Start}), satellite.New(satellite.Options{Authority: e.Authority, Now: storetest.Start})
	online := &estate{Authority: a, cookie: below.cookie, handler: New(Options{
		Authority: a, Conference: conference.New(conference.Options{Store: st, Now: storetest.Start}), Satellite: room, Now: storetest.Start,
		SyncNow: func(ctx context.Context, who access.Person, account string) (satellite.Applied, error) {
			file, err := room.Export(ctx, who, account, satellite.Network)
			if err != nil {
				return satellite.Applied{}, err
			}
			if file, err = desk.Answer(ctx, file, satellite.Network); err != nil {
				return satellite.Applied{}, err
			}
			return room.Apply(ctx, who, account, file, satellite.Network)
		},
	})}
	wantText(t, page(online), "Synchronize now")
	done := online.post(path+"/now", url.Values{})
	checkPage(t, path, done.Body.String())
	wantText(t, done.Body.String(), "Synchronized:", "over the network")
	if text := page(e); !strings.Contains(text, ">OK<") {
		t.Error("the authority does not show the synchronization")
	}
	// Its database is lost: it joins again, that is noted, and somebody settles it.
	again := e.post(path+"/invite", url.Values{"name": {"Plant 7"}})
	_, token, _ = strings.Cut(again.Body.String(), "<pre><code>")
	token, _, _ = strings.Cut(token, "</code>")
	if request, err = j.Request(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if w := e.carry(path+"/answer", request); w.Code != http.StatusOK {
		t.Fatalf("joined again: %d\n%s", w.Code, w.Body)
	}
	settle, noted := "Somebody has looked", "was noticed on 2026-03-02"
	if text := page(e); !strings.Contains(text, settle) || !strings.Contains(text, noted) {
		t.Errorf("a lost database is not noted:\n%s", text)
	}
	if w := e.post(path+"/settle", url.Values{"name": {"Plant 7"}}); w.Code != http.StatusSeeOther {
		t.Errorf("settled: %d", w.Code)
	}
	if text := page(e); strings.Contains(text, settle) || strings.Contains(text, noted) {
		t.Errorf("settled, and still noted:\n%s", text)
	}
	if w := e.post(path+"/remove", url.Values{"name": {"Plant 7"}}); w.Code != http.StatusBadRequest {
		t.Errorf("removed without a tick: %d", w.Code)
	}
	if w := e.post(path+"/remove", url.Values{"name": {"Plant 7"}, "sure": {"on"}}); w.Code != http.StatusSeeOther {
		t.Errorf("removed: %d", w.Code)
	}
	if w := e.post(path+"/remove", url.Values{"name": {"Plant 7"}, "sure": {"on"}, "lost": {"on"}}); w.Code != http.StatusSeeOther {
		t.Errorf("removed as lost: %d", w.Code)
	}
	gone := page(e)
	wantText(t, gone, ">Removed<", "by console", "tally satellite create NAME -V VA")
	for _, text := range []string{"virtual account", "Certificate ends"} {
		if strings.Contains(gone, `<span class="hint">`+text) || strings.Contains(gone, "<dt>"+text) {
			t.Errorf("a removed satellite still shows %q", text)
		}
	}
}
