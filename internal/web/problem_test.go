package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

func TestStatusOfKinds(t *testing.T) {
	t.Parallel()
	for kind, want := range map[license.Kind]int{
		license.KindInvalid: 400, license.KindRefused: 422, license.KindNotFound: 404, license.KindConflict: 409, license.KindPermission: 403,
		license.KindUnknown: 401, license.KindTooLarge: 413, license.KindBusy: 429, license.KindUnavailable: 503, 0: 500,
	} {
		if got := statusOf(kind); got != want {
			t.Errorf("kind %d: got %d, want %d", kind, got, want)
		}
	}
}

func TestOnlyRefusalsLeaveTheProcess(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := &server{Options: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	p := s.problemOf(t.Context(), "req-1", fmt.Errorf("list accounts: %w", errors.New("disk /dev/sda1 is full")))
	if p.Status != 500 || strings.Contains(p.Detail+p.Hint, "sda1") || !strings.Contains(p.Detail, "req-1") || strings.Count(log.String(), "sda1") != 1 {
		t.Errorf("got %+v and the log %q", p.Problem, log.String())
	}
	busy := s.problemOf(t.Context(), "req-2", fmt.Errorf("take post: %w", license.Refuse(license.KindBusy, "busy", "later", "full")))
	if busy.Status != 429 || busy.Code != "busy" || busy.Detail != "full" || busy.GetHeaders().Get("Retry-After") != "1" {
		t.Errorf("got %+v", busy)
	}
	away := s.problemOf(t.Context(), "req-3", &license.Error{Kind: license.KindUnavailable, Code: "unavailable", Message: "away", Err: errors.New("dial 10.0.0.1")})
	if away.Status != 503 || away.Detail != "away" || away.GetHeaders().Get("Retry-After") != "5" || !strings.Contains(log.String(), "10.0.0.1") {
		t.Errorf("got %+v", away)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	before := log.Len()
	if p := s.problemOf(gone, "req-4", context.Canceled); p.Status != 500 || log.Len() != before {
		t.Errorf("a caller that went away was logged: %s", log.String()[before:])
	}
}

func TestMalformedRequestsAreInvalid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("acme.example")
	in := "/api/v1/accounts/acme.example"
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		code, says         string
	}{
		{"POST", "/api/v1/accounts", `{"name":`, nil, 400, "invalid", "body"},
		{"POST", "/api/v1/accounts", ``, nil, 400, "invalid", "body is required"},
		{"POST", "/api/v1/accounts", `{}`, nil, 400, "invalid", "name is missing"},
		{"POST", "/api/v1/accounts", `{"name":"x","secret":"hunter2"}`, nil, 400, "invalid", "secret is not known here"},
		{"POST", "/api/v1/accounts", `{"name":7}`, nil, 400, "invalid", "name must be text"},
		{"POST", "/api/v1/accounts", `{"name":""}`, nil, 400, "bad-name", ""},
		{"POST", "/api/v1/accounts", `{"name":"ACME.example"}`, nil, 409, "name-taken", "already"},
		{"POST", "/api/v1/accounts", `name=x`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "content-type", ""},
		{"POST", "/api/v1/accounts", `{"name":"x"}`, []string{"Content-Encoding", "gzip"}, 415, "content-encoding", ""},
		{"POST", "/api/v1/accounts", `{"name":"` + strings.Repeat("x", maxJSON) + `"}`, nil, 413, "too-large", ""},
		{"POST", "/api/v1/accounts", `{"name":"x"}`, []string{"Idempotency-Key", strings.Repeat("k", 129)}, 400, "idempotency-key", ""},
		{"GET", "/api/v1/accounts?limit=0", "", nil, 400, "invalid", "limit must be at least 1"},
		{"GET", "/api/v1/accounts?limit=1001", "", nil, 400, "invalid", "limit must be at most 1000"},
		{"GET", "/api/v1/accounts?limit=ten", "", nil, 400, "invalid", "limit must be a whole number"},
		{"GET", "/api/v1/accounts?page=2", "", nil, 400, "invalid", "page is not known here"},
		{"GET", "/api/v1/accounts/nobody", "", nil, 404, "not-found", "nobody"},
		{"GET", in + "/virtual-accounts/nothing", "", nil, 404, "not-found", "nothing"},
		{"GET", in + "/licenses/nothing", "", nil, 404, "not-found", "nothing"},
		{"GET", in + "/licenses?virtualAccount=nothing", "", nil, 404, "not-found", "nothing"},
		{"GET", in + "/events?cursor=x", "", nil, 400, "bad-cursor", ""},
		{"GET", in + "/conference/meetings?cursor=x", "", nil, 400, "bad-cursor", ""},
		{"GET", in + "/conference/meetings/mtg_x", "", nil, 404, "not-found", ""},
		{"GET", in + "/reports/costs", "", nil, 404, "not-found", "costs"},
		{"POST", in + "/virtual-accounts/Default/tokens", `{"days":0}`, nil, 400, "invalid", "days must be at least 1"},
		{"POST", in + "/virtual-accounts/Default/tokens", `{"days":-1}`, nil, 400, "invalid", "days must be at least 1"},
		{"POST", in + "/virtual-accounts/Default/tokens", `{"days":366}`, nil, 400, "invalid", "days must be at most 365"},
		{"POST", in + "/virtual-accounts/Default/tokens", `{"days":1.5}`, nil, 400, "invalid", "days must be a whole number"},
		{"POST", in + "/virtual-accounts/Default/tokens", `{"maxUses":0}`, nil, 400, "invalid", "maxUses must be at least 1"},
		{"PATCH", in + "/virtual-accounts/Default", `{}`, nil, 400, "nothing-to-change", ""},
		{"POST", in + "/transfers", `{"tag":"No Tag","quantity":1,"from":"a","to":"b"}`, nil, 400, "bad-tag", ""},
		{"POST", in + "/orders", `[]`, nil, 400, "bad-order", ""},
		{"POST", in + "/orders", `{"order":"SO-1","account":"acme.example","lines":[{"tag":"cms-smp-plus","quantity":9}]}`, nil, 409, "order-differs", "quantity"},
	} {
		a := w.call(c.method, c.path, c.body, c.headers...)
		p := a.problem(t)
		if a.status != c.status || p.Code != c.code || !strings.Contains(p.Detail, c.says) || p.Hint == "" {
			t.Errorf("%s %s %.60s: got %d %+v, want %d %s with %q", c.method, c.path, c.body, a.status, p, c.status, c.code, c.says)
		}
		if strings.Contains(string(a.body), "hunter2") {
			t.Errorf("the answer repeats what was sent: %s", a.body)
		}
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	var log logBook
	s := newServer(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: storetest.Start, Console: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			_, _ = io.WriteString(w, "half")
		}
		panic("out of cheese")
	})})
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if id := rec.Header().Get(requestHeader); rec.Code != 500 || !strings.Contains(rec.Body.String(), id) || strings.Contains(rec.Body.String(), "cheese") || !strings.Contains(log.String(), id) {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	rec = httptest.NewRecorder()
	defer func() {
		if p := recover(); p != any(http.ErrAbortHandler) || rec.Body.String() != "half" {
			t.Errorf("a half answer: got %v and %s, want it cut off", p, rec.Body)
		}
	}()
	s.ServeHTTP(rec, httptest.NewRequest("GET", "/late", nil))
}

func TestPublicAddress(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", "https://tally.acme.example:8443/x", nil)
	for configured, want := range map[string]string{"": "https://tally.acme.example:8443", "https://tally.example": "https://tally.example"} {
		s := &server{Options: Options{PublicURL: configured}}
		if got := s.address(r); got != want {
			t.Errorf("with %q: got %q, want %q", configured, got, want)
		}
	}
}

func TestManyReasonsAreShortened(t *testing.T) {
	t.Parallel()
	why := make([]int, 40)
	for i := range why {
		why[i] = i
	}
	kept, more := shorten(why)
	if fmt.Sprint(kept, more) != "[0 1 2 3 4 5 6 37 38 39] 30" {
		t.Errorf("got %v and %d more", kept, more)
	}
	if kept, more := shorten(why[:10]); len(kept) != 10 || more != 0 {
		t.Errorf("ten: got %v and %d more", kept, more)
	}
}
