package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/wire"
)

// must is the value of a call that may not fail.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func onBoth(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, address string) { fn(t, worldAt(t, address)) })
}

func TestFromOrderToReason(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		acme := w.account("acme.example")
		p := w.register(acme, "FOC1")
		if got := p.report("cms-smp-plus", 3).Status; got != license.StatusAuthorized {
			t.Errorf("three of three: got %s", got)
		}
		if got := p.report("cms-smp-plus", 4).Status; got != license.StatusOutOfCompliance {
			t.Errorf("four of three: got %s", got)
		}
		rows := must(api.Collect(w.Licenses(ctx, "ACME.example", "Default")))(t)
		if len(rows) != 1 {
			t.Fatalf("got %d license rows, want 1", len(rows))
		}
		row := rows[0]
		want := api.License{License: "Shared Multiparty Plus", Tag: "cms-smp-plus", VirtualAccount: "Default", Quantity: 3, InUse: 4, Shortage: 1, Status: "Out Of Compliance", Why: row.Why}
		if fmt.Sprint(row) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", row, want)
		}
		var use *api.Reason
		for i, r := range row.Why {
			if r.Fact != r.Text || r.Text == "" || r.Code == "" {
				t.Errorf("a reason without sentence or code: %+v", r)
			}
			if r.Code == license.FactUse {
				use = &row.Why[i]
			}
		}
		if use == nil || use.Instance != p.instance || use.Count != 4 || use.Since == nil || !use.Since.Equal(storetest.Start()) || !strings.Contains(use.Name, "edge1") {
			t.Errorf("who uses it: got %+v", use)
		}
		if last := row.Why[len(row.Why)-1]; last.Code != license.FactHelpOrder || last.Count != 1 {
			t.Errorf("what would help: got %+v", last)
		}
		orders := must(w.ImportOrders(ctx, acme.ID, []byte("order,account,tag,quantity\nSO-2,acme.example,cms-smp-plus,1\n")))(t)
		if len(orders) != 1 || orders[0].Repeated || orders[0].Order != "SO-2" || len(orders[0].Lots) != 1 || orders[0].Lots[0].Status != "Active" || orders[0].Lots[0].End != nil {
			t.Errorf("CSV order: got %+v", orders)
		}
		if got := p.report("cms-smp-plus", 4).Status; got != license.StatusAuthorized {
			t.Errorf("four of four: got %s", got)
		}
		in := must(w.Instance(ctx, acme.ID, "FOC1"))(t)
		if in.ID != p.instance || in.State != "Active" || in.Authorization != "AUTHORIZED" || len(in.Usage) != 1 || in.Usage[0].Count != 4 || in.LastContact == nil {
			t.Errorf("instance: got %+v", in)
		}
		verified := must(w.VerifyEvents(ctx, acme.ID))(t)
		events := must(api.Collect(w.Events(ctx, acme.ID)))(t)
		if len(verified.Problems) != 0 || verified.Events != int64(len(events)) || events[0].Seq != 1 || events[0].Kind != "account.created" || events[0].Data == nil {
			t.Errorf("events: got %+v, %d listed", verified, len(events))
		}
	})
}

func TestVirtualAccountsTransfersAndMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	acme := w.account("acme.example")
	_, err := w.CreateVirtualAccount(ctx, acme.ID, "Labs / 50%")
	if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != "bad-name" || p.Status != http.StatusBadRequest {
		t.Errorf("a name with a slash: got %v", err)
	}
	lab := must(w.CreateVirtualAccount(ctx, acme.ID, "Labs 50% ?"))(t)
	if got := must(w.VirtualAccount(ctx, "acme.example", "labs 50% ?"))(t); got != lab {
		t.Errorf("found by name: got %+v, want %+v", got, lab)
	}
	moved := must(w.Transfer(ctx, acme.ID, api.Transfer{Tag: "cms-smp-plus", Quantity: 2, From: "Default", To: lab.ID}))(t)
	if moved.To != lab.Name || len(moved.Lots) != 1 || moved.Lots[0].Quantity != 2 {
		t.Errorf("transfer: got %+v", moved)
	}
	if lots := must(api.Collect(w.Lots(ctx, acme.ID, lab.Name)))(t); len(lots) != 1 || lots[0].Quantity != 2 || lots[0].Order != "SO-1" {
		t.Errorf("lots of the other: got %+v", lots)
	}
	_, err = w.Transfer(ctx, acme.ID, api.Transfer{Tag: "cms-smp-plus", Quantity: 2, From: "Default", To: lab.ID})
	if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != "not-enough" || p.Status != http.StatusUnprocessableEntity {
		t.Errorf("too much: got %v, want not-enough", err)
	}
	p := w.register(acme, "FOC1")
	p.report("cms-smp-plus", 1)
	if in := must(w.MoveInstance(ctx, acme.ID, "edge1.acme.example", lab.Name))(t); in.VirtualAccount != lab.Name {
		t.Errorf("move: got %+v", in)
	}
	if rows := must(api.Collect(w.License(ctx, acme.ID, "cms-smp-plus", "")))(t); len(rows) != 2 || rows[0].InUse+rows[1].InUse != 1 {
		t.Errorf("rows of the tag: got %+v", rows)
	}
	changed := must(w.ChangeVirtualAccount(ctx, acme.ID, lab.Name, api.VirtualAccountChange{Name: "Labs", Default: true}))(t)
	if changed.Name != "Labs" || !changed.Default {
		t.Errorf("change: got %+v", changed)
	}
	if err := w.DeleteVirtualAccount(ctx, acme.ID, "Labs"); err == nil || !strings.Contains(err.Error(), "default") {
		t.Errorf("delete the default one: got %v", err)
	}
	if err := w.RemoveInstance(ctx, acme.ID, p.instance, ""); err != nil {
		t.Errorf("remove: %v", err)
	}
	if in := must(w.Instance(ctx, acme.ID, p.instance))(t); in.State != "Removed" || in.RemovedAt == nil || in.RemovedBy == "" {
		t.Errorf("removed: got %+v", in)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	acme := w.account("acme.example")
	must(w.CreateVirtualAccount(ctx, acme.ID, "Labs"))(t)
	made := must(w.CreateToken(ctx, acme.ID, "Labs", api.NewToken{Days: new(7), MaxUses: new(int64(2)), Description: "edge"}))(t)
	if made.Token == "" || len(made.Token) > 140 || made.ExpiresAt != storetest.Start().AddDate(0, 0, 7) || made.VirtualAccount != "Labs" {
		t.Errorf("token: got %+v", made)
	}
	other := must(w.CreateToken(ctx, acme.ID, "Default", api.NewToken{}))(t)
	shown := made
	shown.Token = ""
	if got := must(w.Token(ctx, acme.ID, made.ID))(t); got != shown {
		t.Errorf("found: got %+v, want %+v", got, shown)
	}
	if got := must(api.Collect(w.Tokens(ctx, acme.ID, "Labs")))(t); len(got) != 1 || got[0] != shown {
		t.Errorf("of Labs: got %+v", got)
	}
	if got := must(api.Collect(w.Tokens(ctx, acme.ID, "")))(t); len(got) != 2 {
		t.Errorf("of the account: got %d", len(got))
	}
	inLabs := "/api/v1/accounts/acme.example/virtual-accounts/labs/tokens/"
	for _, a := range []answered{
		w.call("GET", inLabs+other.ID, ""), w.call("POST", inLabs+other.ID+"/revoke", ""), w.call("DELETE", inLabs+other.ID, ""), w.call("GET", inLabs+"tok_x", ""),
	} {
		if a.status != http.StatusNotFound {
			t.Errorf("a token of another virtual account: got %d %s, want 404", a.status, a.body)
		}
	}
	if a := w.call("POST", inLabs+made.ID+"/revoke", ""); a.status != http.StatusNoContent {
		t.Errorf("revoke: got %d %s", a.status, a.body)
	}
	if got := must(w.Token(ctx, acme.ID, made.ID))(t); got.Status != "Revoked" {
		t.Errorf("revoked: got %+v", got)
	}
	if err := errors.Join(w.RevokeToken(ctx, acme.ID, other.ID), w.RemoveToken(ctx, acme.ID, other.ID), w.RemoveToken(ctx, acme.ID, made.ID)); err != nil {
		t.Error(err)
	}
	if got := must(api.Collect(w.Tokens(ctx, acme.ID, "")))(t); len(got) != 0 {
		t.Errorf("after removal: got %+v", got)
	}
}

func TestPagesGoOnWhereTheyEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	acme := w.account("acme.example")
	w.account("beta.example")
	for _, name := range []string{"One", "Two"} {
		va := must(w.CreateVirtualAccount(ctx, acme.ID, name))(t)
		must(w.Transfer(ctx, acme.ID, api.Transfer{Tag: "cms-smp-plus", Quantity: 1, From: "Default", To: va.ID}))(t)
		must(w.CreateToken(ctx, acme.ID, name, api.NewToken{}))(t)
	}
	in := "/api/v1/accounts/acme.example"
	for path, want := range map[string]int{
		"/api/v1/accounts": 2, in + "/virtual-accounts": 3, in + "/tokens": 2, in + "/orders": 1, in + "/licenses": 3, in + "/licenses/cms-smp-plus": 3,
		in + "/lots": 3, in + "/instances": 0, in + "/events": 8, in + "/conference/bridges": 0, in + "/conference/meetings": 0, in + "/conference/usage": 0,
	} {
		var seen []string
		cursor := ""
		for range 20 {
			var page api.List[json.RawMessage]
			a := w.call("GET", path+"?limit=1"+cursor, "")
			if err := json.Unmarshal(a.body, &page); err != nil || a.status != http.StatusOK || page.Items == nil || len(page.Items) > 1 {
				t.Fatalf("GET %s%s: got %d %s", path, cursor, a.status, a.body)
			}
			for _, item := range page.Items {
				if slices.Contains(seen, string(item)) {
					t.Errorf("GET %s shows twice: %s", path, item)
				}
				seen = append(seen, string(item))
			}
			if page.Next == "" {
				break
			}
			if strings.ContainsFunc(page.Next, func(c rune) bool { return c == ' ' || c > '~' }) || strings.Contains(page.Next, "One") {
				t.Errorf("GET %s has the cursor %q", path, page.Next)
			}
			cursor = "&cursor=" + page.Next
		}
		if len(seen) != want {
			t.Errorf("GET %s: got %d rows, want %d", path, len(seen), want)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("acme.example")
	path, body := "/api/v1/accounts/acme.example/virtual-accounts", `{"name":"Labs"}`
	first := w.call("POST", path, body, "Idempotency-Key", "one")
	again := w.call("POST", path, body, "Idempotency-Key", "one")
	if first.status != http.StatusCreated || again.status != first.status || !bytes.Equal(first.body, again.body) {
		t.Errorf("repeated: got %d %s, want %d %s", again.status, again.body, first.status, first.body)
	}
	if a := w.call("POST", path, `{"name":"Other"}`, "Idempotency-Key", "one"); a.status != http.StatusConflict || a.problem(t).Code != "idempotency-key" {
		t.Errorf("another request: got %d %s, want 409", a.status, a.body)
	}
	if a := w.call("POST", path, body); a.status != http.StatusConflict || a.problem(t).Code != "name-taken" {
		t.Errorf("without the key: got %d %s, want 409", a.status, a.body)
	}
	first = w.call("POST", "/api/v1/accounts", `{"name":"beta.example"}`, "Idempotency-Key", "two")
	again = w.call("POST", "/api/v1/accounts", `{"name":"beta.example"}`, "Idempotency-Key", "two")
	if first.status != http.StatusCreated || again.status != first.status || !bytes.Equal(first.body, again.body) {
		t.Errorf("account, repeated: got %d %s, want %d %s", again.status, again.body, first.status, first.body)
	}
	if a := w.call("POST", "/api/v1/accounts", `{"name":"gamma.example"}`, "Idempotency-Key", "two"); a.status != http.StatusConflict || a.problem(t).Code != "idempotency-key" {
		t.Errorf("account, another request: got %d %s, want 409", a.status, a.body)
	}
	must(w.EnableConference(t.Context(), "acme.example", ""))(t)
	path, body = "/api/v1/accounts/acme.example/conference/bridges", `{"name":"HQ"}`
	if a := w.call("POST", path, body, "Idempotency-Key", "three"); a.status != http.StatusCreated {
		t.Errorf("bridge: got %d %s", a.status, a.body)
	}
	if a := w.call("POST", path, body, "Idempotency-Key", "three"); a.status != http.StatusConflict || a.problem(t).Code != "name-taken" {
		t.Errorf("bridge, repeated: got %d %s, want 409", a.status, a.body)
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	acme := w.account("acme.example")
	w.register(acme, "FOC1").report("cms-smp-plus", 2)
	for _, kind := range []string{"licenses", "subscriptions", "instances", "usage", "meetings"} {
		var csv, text bytes.Buffer
		if err := errors.Join(w.WriteReport(ctx, &csv, acme.ID, kind, "csv", time.Time{}, time.Time{}), w.WriteReport(ctx, &text, acme.ID, kind, "json", time.Time{}, time.Time{})); err != nil {
			t.Fatalf("report %s: %v", kind, err)
		}
		var r api.Report
		if err := json.Unmarshal(text.Bytes(), &r); err != nil || r.Kind != kind || r.Items == nil {
			t.Fatalf("report %s: %s: %v", kind, text.String(), err)
		}
		lines := strings.Split(strings.TrimSuffix(csv.String(), "\r\n"), "\r\n")
		if lines[0] != strings.Join(r.Columns, ",") || len(lines) != len(r.Items)+1 {
			t.Errorf("report %s: CSV has %d lines and %q, JSON has %d rows and %v", kind, len(lines), lines[0], len(r.Items), r.Columns)
		}
		for _, item := range r.Items {
			if len(item) != len(r.Columns) {
				t.Errorf("report %s: a row has %d members, want %d", kind, len(item), len(r.Columns))
			}
		}
	}
	a := w.call("GET", "/api/v1/accounts/acme.example/reports/usage?format=csv&from=2026-03-01&to=2026-03-02", "")
	if a.status != http.StatusOK || a.header.Get("Content-Disposition") != `attachment; filename="usage.csv"` {
		t.Errorf("got %d %v", a.status, a.header)
	}
	for path, status := range map[string]int{"usage?format=xml": 400, "usage?from=yesterday": 400, "usage?from=2026-03-02&to=2026-03-01": 400, "nothing": 404} {
		if a := w.call("GET", "/api/v1/accounts/acme.example/reports/"+path, ""); a.status != status {
			t.Errorf("reports/%s: got %d %s, want %d", path, a.status, a.body, status)
		}
	}
}

func TestSignedRefusalsAreAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.account("acme.example")
	p := w.register(acme, "FOC1")
	p.report("cms-smp-plus", 1)
	token := must(w.CreateToken(t.Context(), acme.ID, "Default", api.NewToken{}))(t)
	copied := &product{world: w, key: p.key, account: acme.ID}
	a := w.raw("POST", "/machine/v1/register", copied.seal(wire.KindRegister, 0, wire.Register{
		Token: token.Token, CSR: csrOf(t, copied), Nonce: "another-nonce-of-the-test", Product: wire.Product{Name: "Expressway", PID: "EXP-E", Serial: "FOC1"},
	}))
	var no wire.Refusal
	p.open(a, wire.KindRefusal, "another-nonce-of-the-test", &no)
	if a.status != http.StatusConflict || no.Code != wire.CodeAlreadyRegistered {
		t.Errorf("registered twice: got %d %+v, want 409 %s", a.status, no, wire.CodeAlreadyRegistered)
	}
	p.number--
	late := p.exchange("authorize", p.seal(wire.KindAuthorize, p.number, wire.Authorize{Nonce: testNonce}))
	p.open(late, wire.KindRefusal, p.instance, &no)
	if late.status != http.StatusConflict || no.Code != wire.CodeNumber || no.Number != 1 {
		t.Errorf("an old number: got %d %+v", late.status, no)
	}
}
