package authority_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
)

func TestOrderIsImportedOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		o := license.Order{Number: "SO-1", Account: s.account.Name, Lines: []license.OrderLine{line(smp, 3)}}
		for i := range 3 {
			got, err := s.ImportOrder(t.Context(), admin, "", o)
			if err != nil || got.Repeated != (i > 0) || len(got.Lots) != 1 {
				t.Fatalf("import %d: got %+v, %v", i, got, err)
			}
			s.clock.Advance(time.Hour)
		}
		o.Lines[0].Quantity = 4
		_, err := s.ImportOrder(t.Context(), admin, "", o)
		wantRefusal(t, err, "order-differs")
		if e := license.AsError(err); !strings.Contains(e.Message, `quantity "3" and now has "4"`) {
			t.Errorf("the refusal must say what differs: %s", e.Message)
		}
		if r := s.row(smp); r.Quantity != 3 {
			t.Errorf("got %d licenses, want 3", r.Quantity)
		}
		bad := license.Order{Number: "SO-2", Account: s.account.Name, Lines: []license.OrderLine{line(smp, 1), {Tag: smp, Quantity: 1, VirtualAccount: "nowhere"}}}
		if _, err := s.ImportOrder(t.Context(), admin, "", bad); license.AsError(err) == nil {
			t.Fatalf("an order into an unknown virtual account was taken: %v", err)
		}
		if r := s.row(smp); r.Quantity != 3 {
			t.Errorf("half an order was taken: %d licenses", r.Quantity)
		}
		s.check()
	})
}

func TestRule8LotsEndWithoutTraffic(t *testing.T) {
	t.Parallel()
	s := onOne(t)
	s.order("SO-1", license.OrderLine{Tag: smp, Quantity: 2, Type: license.Term, End: license.Date{Time: s.clock.Now().Add(10 * day)}})
	p := s.product("A").mustRegister()
	if m := p.must(use(smp, 2)); m.Status != license.StatusAuthorized {
		t.Fatalf("inside the term: %+v", m)
	}
	s.clock.Advance(10 * day)
	r := s.row(smp)
	if r.Quantity != 0 || r.Shortage != 2 || r.Status != license.OutOfCompliance {
		t.Fatalf("after the term: %+v", r)
	}
	if !slices.ContainsFunc(r.Why, func(f license.Fact) bool { return f.Code == license.FactLotEnded }) {
		t.Errorf("the ended lot is not named: %+v", r.Why)
	}
}

func TestVirtualAccounts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx, a := t.Context(), s.account.ID
		labs, err := s.CreateVirtualAccount(ctx, admin, a, "Labs")
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.CreateVirtualAccount(ctx, admin, a, "LABS")
		wantRefusal(t, err, "name-taken")
		wantRefusal(t, s.DeleteVirtualAccount(ctx, admin, a, "Default"), "default-virtual-account")
		s.order("SO-1", license.OrderLine{Tag: smp, Quantity: 5, VirtualAccount: "labs"})
		wantRefusal(t, s.DeleteVirtualAccount(ctx, admin, a, "Labs"), "not-empty")
		if _, err := s.SetDefaultVirtualAccount(ctx, admin, a, labs.ID); err != nil {
			t.Fatal(err)
		}
		list, _, err := s.VirtualAccounts(ctx, admin, a, authority.Page{})
		defaults := 0
		for _, v := range list {
			if v.Default {
				defaults++
			}
		}
		if err != nil || len(list) != 2 || defaults != 1 {
			t.Fatalf("rule 1: got %+v, %v", list, err)
		}
		if err := s.DeleteVirtualAccount(ctx, admin, a, "Default"); err != nil {
			t.Fatalf("an empty one that is no default any more: %v", err)
		}
		if _, err := s.RenameVirtualAccount(ctx, admin, a, "Labs", "Laboratory"); err != nil {
			t.Fatal(err)
		}
		s.order("SO-2", line(smp, 1))
		rows, err := s.Licenses(ctx, admin, a, "laboratory")
		if err != nil || len(rows) != 1 || rows[0].Quantity != 6 {
			t.Fatalf("rule 2: an order without a virtual account goes to the default one: %+v, %v", rows, err)
		}
		s.check()
	})
}

func TestSurplusElsewhereIsNamed(t *testing.T) {
	t.Parallel()
	s := onOne(t)
	if _, err := s.CreateVirtualAccount(t.Context(), admin, s.account.ID, "Labs"); err != nil {
		t.Fatal(err)
	}
	s.order("SO-1", license.OrderLine{Tag: smp, Quantity: 5, VirtualAccount: "Labs"})
	m := s.product("A").mustRegister().must(use(smp, 2))
	var text []string
	for _, f := range m.Tags[0].Why {
		text = append(text, f.Text())
	}
	want := `Virtual account "Labs" has 5 free: transferring them here would help.`
	if m.Status != license.StatusOutOfCompliance || !slices.Contains(text, want) {
		t.Fatalf("rule 15: got %s, %q", m.Status, text)
	}
	if _, err := s.Transfer(t.Context(), admin, s.account.ID, authority.Transfer{Tag: smp, Quantity: 2, From: "Labs", To: "Default"}); err != nil {
		t.Fatal(err)
	}
	if r := s.row(smp); r.Shortage != 0 {
		t.Errorf("after the transfer: %+v", r)
	}
	_, err := s.Transfer(t.Context(), admin, s.account.ID, authority.Transfer{Tag: smp, Quantity: 4, From: "Labs", To: "Default"})
	wantRefusal(t, err, "not-enough")
	s.check()
}

// TestLedgerConserves plays random orders, transfers and reports against a model of a few lines.
func TestLedgerConserves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := onOne(t)
		ctx, a := t.Context(), s.account.ID
		names := []string{"Default", "B", "C"}
		for _, n := range names[1:] {
			if _, err := s.CreateVirtualAccount(ctx, admin, a, n); err != nil {
				rt.Fatal(err)
			}
		}
		model, p := map[string]int64{}, s.product("A").mustRegister()
		for i := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			from, to := rapid.SampledFrom(names).Draw(rt, "from"), rapid.SampledFrom(names).Draw(rt, "to")
			n := rapid.Int64Range(1, 20).Draw(rt, "n")
			switch rapid.IntRange(0, 2).Draw(rt, "act") {
			case 0:
				s.order(fmt.Sprintf("SO-%d", i), license.OrderLine{Tag: smp, Quantity: n, VirtualAccount: to})
				model[to] += n
			case 1:
				_, err := s.Transfer(ctx, admin, a, authority.Transfer{Tag: smp, Quantity: n, From: from, To: to})
				if possible := from != to && model[from] >= n; possible != (err == nil) {
					rt.Fatalf("transfer %d from %s (%d) to %s: %v", n, from, model[from], to, err)
				} else if possible {
					model[from], model[to] = model[from]-n, model[to]+n
				}
			case 2:
				p.must(use(smp, n))
			}
		}
		rows, err := s.Licenses(ctx, admin, a, "")
		if err != nil {
			rt.Fatal(err)
		}
		for _, r := range rows {
			if r.Quantity != model[r.VirtualAccount] {
				rt.Fatalf("%s holds %d, the model says %d", r.VirtualAccount, r.Quantity, model[r.VirtualAccount])
			}
		}
		s.check()
	})
}

func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		s.order("SO-1", line(smp, 3))
		for name, text := range map[string]string{
			"event":   "UPDATE event SET actor = 'nobody' WHERE account_id = $1 AND seq = 2",
			"holding": "UPDATE holding SET quantity = quantity + 1 WHERE account_id = $1 AND place <> 'issuer'",
			"demand":  "INSERT INTO demand (account_id, va_id, tag, quantity) VALUES ($1, 'va_x', 'vts', 4)",
			"chain":   "DELETE FROM event WHERE account_id = $1 AND seq = 1",
		} {
			if err := s.store.Update(t.Context(), "tamper", func(tx *store.Tx) error {
				_, err := tx.DB().ExecContext(t.Context(), text, s.account.ID)
				return err
			}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			v, err := s.VerifyEvents(t.Context(), admin, s.account.ID)
			if err != nil || len(v.Problems) == 0 {
				t.Errorf("tampering with %s was not found: %+v, %v", name, v, err)
			}
		}
	})
}

func TestRequestKeysAndRoles(t *testing.T) {
	t.Parallel()
	s := onOne(t)
	ctx, a := t.Context(), s.account.ID
	once := admin
	once.RequestKey = "key-1"
	first, err := s.CreateVirtualAccount(ctx, once, a, "Labs")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.CreateVirtualAccount(ctx, once, a, "Labs")
	if err != nil || again.ID != first.ID {
		t.Errorf("the same request key: got %+v, %v; want %s", again, err, first.ID)
	}
	_, err = s.CreateVirtualAccount(ctx, once, a, "Other")
	wantRefusal(t, err, "idempotency-key")
	made, err := s.CreateAccount(ctx, once, "once.example")
	if err != nil {
		t.Fatalf("create account: %v", err)
	}
	if again, err := s.CreateAccount(ctx, once, "once.example"); err != nil || again.ID != made.ID {
		t.Errorf("the same request key: got %+v, %v; want %s", again, err, made.ID)
	}
	_, err = s.CreateAccount(ctx, once, "twice.example")
	wantRefusal(t, err, "idempotency-key")
	once.RequestKey = "key-2"
	if _, text, err := s.CreateToken(ctx, once, a, authority.NewToken{}); err != nil || text == "" {
		t.Fatalf("create token: %v", err)
	}
	_, text, err := s.CreateToken(ctx, once, a, authority.NewToken{})
	wantRefusal(t, err, "shown-once")
	if text != "" {
		t.Error("a token was shown twice")
	}
	viewer := access.Person{ID: "key_v", Role: access.Viewer, Account: a}
	_, err = s.CreateVirtualAccount(ctx, viewer, a, "No")
	wantRefusal(t, err, "not-permitted")
	if _, err := s.Licenses(ctx, viewer, a, ""); err != nil {
		t.Errorf("a viewer may look: %v", err)
	}
	stranger := access.Person{ID: "key_s", Role: access.Administrator, Account: "acc_00000000000000000000000000"}
	_, err = s.Licenses(ctx, stranger, s.account.Name, "")
	wantRefusal(t, err, "not-found")
	_, err = s.CreateAccount(ctx, stranger, "mine.example")
	wantRefusal(t, err, "not-found")
}

func TestReferencesThatNameNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx, a := t.Context(), s.account.ID
		for _, ref := range []string{"a\x00b", "\xff\xfe", "'; DROP TABLE account; --", strings.Repeat("x", 5000)} {
			_, err := s.Account(ctx, admin, ref)
			wantRefusal(t, err, "not-found")
			_, err = s.VirtualAccount(ctx, admin, a, ref)
			wantRefusal(t, err, "not-found")
			_, err = s.Order(ctx, admin, a, ref)
			wantRefusal(t, err, "not-found")
			_, err = s.Instance(ctx, admin, a, ref)
			wantRefusal(t, err, "not-found")
			_, err = s.Licenses(ctx, admin, a, ref)
			wantRefusal(t, err, "not-found")
			wantRefusal(t, s.RevokeToken(ctx, admin, a, ref), "not-found")
		}
	})
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx := t.Context()
		key, err := s.Bootstrap(ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Bootstrap(ctx, false)
		wantRefusal(t, err, "bootstrapped")
		who, err := s.Authenticate(ctx, key.Reveal())
		if err != nil || who.Account != access.Site || who.Role != access.Administrator {
			t.Fatalf("authenticate: %+v, %v", who, err)
		}
		code, err := s.SignInCode(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []string{"", "tally_x", code.Reveal(), key.Reveal()[:len(key.Reveal())-2] + "00"} {
			_, err := s.Authenticate(ctx, wrong)
			wantRefusal(t, err, "not-signed-in")
		}
		session, _, err := s.SignIn(ctx, code.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.SignIn(ctx, code.Reveal())
		wantRefusal(t, err, "not-signed-in")
		who, err = s.Session(ctx, session.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(12 * time.Hour)
		_, err = s.Session(ctx, session.Reveal())
		wantRefusal(t, err, "not-signed-in")
		if err := s.SignOut(ctx, who); err != nil {
			t.Fatal(err)
		}
	})
}
