package authority_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

const pmp = license.Tag("cms-pmp-plus")

// boxed is a product on a closed site, known by its codes only.
type boxed struct {
	site      *site
	udi       string
	sequence  int
	installed wire.Reservation
}

func (s *site) boxed(serial string) *boxed {
	return &boxed{site: s, udi: wire.Product{PID: "TEST", Serial: serial}.UDI()}
}

func (b *boxed) request() string {
	b.sequence++
	c, err := trust.NewRequestCode(b.udi, b.sequence)
	if err != nil {
		b.site.t.Fatal(err)
	}
	return c.String()
}

// install opens an authorization as a product does.
func (b *boxed) install(file []byte) wire.Reservation {
	b.site.t.Helper()
	e, err := trust.OpenAuthorityFile(file, []string{wire.KindReservation}, wire.AudienceReservation, trust.Pins{Root: b.site.Keys().Fingerprint()}, b.site.clock.Now())
	if err != nil {
		b.site.t.Fatalf("open authorization: %v", err)
	}
	if b.installed, err = wire.ParseReservation(e.Payload); err != nil {
		b.site.t.Fatal(err)
	}
	return b.installed
}

func (b *boxed) code(kind trust.CodeKind) string {
	b.site.t.Helper()
	key, err := trust.ParseCodeKey(b.installed.Key)
	if err != nil {
		b.site.t.Fatal(err)
	}
	c, err := key.Sign(kind, b.udi, b.installed.Sequence, b.installed.Version)
	if err != nil {
		b.site.t.Fatal(err)
	}
	return c.String()
}

func (s *site) reserve(request string, want map[license.Tag]int64) authority.Reservation {
	s.t.Helper()
	r, err := s.Reserve(s.t.Context(), admin, s.account.ID, authority.NewReservation{Request: request, Licenses: want})
	if err != nil {
		s.t.Fatalf("reserve: %v", err)
	}
	return r
}

// pool checks the numbers of a tag (domain rule 7).
func (s *site) pool(tag license.Tag, quantity, reserved, available int64) {
	s.t.Helper()
	if r := s.row(tag); r.Quantity != quantity || r.Reserved != reserved || r.Available != available {
		s.t.Fatalf("%s: got %d with %d reserved and %d available, want %d, %d, %d", tag, r.Quantity, r.Reserved, r.Available, quantity, reserved, available)
	}
	s.check()
}

type want = map[license.Tag]int64

// TestRule39AuthorityRows plays the rows Q1 to Q10 of smart licensing, section 13.5.
func TestRule39AuthorityRows(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx, a := t.Context(), s.account.ID
		s.order("SO-1", line(smp, 10), line(pmp, 4))
		b := s.boxed("A")
		q := b.request()

		// Q1: all or nothing.
		_, err := s.Reserve(ctx, admin, a, authority.NewReservation{Request: q, Licenses: want{smp: 5, pmp: 5}})
		wantRefusal(t, err, "not-available")
		s.pool(smp, 10, 0, 10)
		one := s.reserve(q, want{smp: 5, pmp: 1})
		if one.State != license.ReservationIssued || one.Version != 1 || one.UDI != b.udi || len(one.Authorization) == 0 {
			t.Fatalf("got %+v", one)
		}
		s.pool(smp, 10, 5, 5)
		s.pool(pmp, 4, 1, 3)

		// Q9 and Q10: the same again is the same bytes, other quantities are refused.
		again := s.reserve(strings.ToLower(q[:29])+q[29:], want{smp: 5, pmp: 1})
		if !again.Repeated || again.ID != one.ID || string(again.Authorization) != string(one.Authorization) {
			t.Fatalf("repeated: got %+v", again)
		}
		_, err = s.Reserve(ctx, admin, a, authority.NewReservation{Request: q, Licenses: want{smp: 6, pmp: 1}})
		wantRefusal(t, err, "request-used")
		s.pool(smp, 10, 5, 5)

		// Q2, and the same code twice.
		b.install(one.Authorization)
		for i := range 2 {
			got, err := s.ConfirmReservation(ctx, admin, a, one.ID, b.code(trust.CodeConfirmation))
			if err != nil || got.State != license.ReservationConfirmed || got.Confirmed != 1 || got.Repeated != (i == 1) {
				t.Fatalf("confirm: got %+v, %v", got, err)
			}
		}
		first := b.code(trust.CodeConfirmation)

		// Q3: in transit the larger of both is charged.
		two, err := s.UpdateReservation(ctx, admin, a, one.ID, want{smp: 2, pmp: 3})
		if err != nil || two.State != license.ReservationInTransit || two.Version != 2 {
			t.Fatalf("update: got %+v, %v", two, err)
		}
		s.pool(smp, 10, 5, 5)
		s.pool(pmp, 4, 3, 1)
		if got := license.TagSums(two.Charged, time.Time{}); !maps.Equal(got, want{smp: 5, pmp: 3}) {
			t.Errorf("charged: %v", got)
		}
		if same, err := s.UpdateReservation(ctx, admin, a, one.ID, want{smp: 2, pmp: 3}); err != nil || !same.Repeated || string(same.Authorization) != string(two.Authorization) {
			t.Fatalf("the same update again: got %+v, %v", same, err)
		}

		// Q5.
		_, err = s.UpdateReservation(ctx, admin, a, one.ID, want{smp: 3})
		wantRefusal(t, err, "reservation-in-transit")
		_, err = s.ConfirmReservation(ctx, admin, a, one.ID, first)
		wantRefusal(t, err, "code-old")

		// Q4: the confirmation frees what was given up.
		b.install(two.Authorization)
		if got, err := s.ConfirmReservation(ctx, admin, a, b.udi, b.code(trust.CodeConfirmation)); err != nil || got.State != license.ReservationConfirmed {
			t.Fatalf("confirm: got %+v, %v", got, err)
		}
		s.pool(smp, 10, 2, 8)
		s.pool(pmp, 4, 3, 1)

		// Q6.
		wantRefusal(t, s.RemoveInstance(ctx, admin, a, b.udi, ""), "instance-reserved")
		code := b.code(trust.CodeReturn)
		if err := s.RemoveInstance(ctx, admin, a, b.udi, code); err != nil {
			t.Fatal(err)
		}
		got, err := s.ReturnReservation(ctx, admin, a, one.ID, code)
		if err != nil || !got.Repeated || got.State != license.ReservationReturned || got.ReturnCode != code || got.Authorization != nil {
			t.Fatalf("return: got %+v, %v", got, err)
		}
		s.pool(smp, 10, 0, 10)
		s.pool(pmp, 4, 0, 4)
		if in, err := s.Instance(ctx, admin, a, b.udi); err != nil || in.State != "Removed" {
			t.Fatalf("the instance: %+v, %v", in, err)
		}
		_, err = s.Reserve(ctx, admin, a, authority.NewReservation{Request: q, Licenses: want{smp: 5, pmp: 1}})
		wantRefusal(t, err, "request-old")
		next := s.reserve(b.request(), want{smp: 1})
		if next.Sequence != 2 || next.ID == one.ID {
			t.Fatalf("the next request: %+v", next)
		}
	})
}

// TestRule39Rehost plays row Q7 with two people.
func TestRule39Rehost(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx, a := t.Context(), s.account.ID
		other := access.Person{ID: "key_other", Name: "other", Role: access.Administrator, Account: access.Site}
		s.order("SO-1", line(smp, 10))
		dead, live := s.boxed("A"), s.boxed("B")
		old := s.reserve(dead.request(), want{smp: 4})
		dead.install(old.Authorization)
		q := live.request()
		_, err := s.AskRehost(ctx, admin, a, old.ID, dead.request(), "burnt")
		wantRefusal(t, err, "same-product")
		wish, err := s.AskRehost(ctx, admin, a, old.ID, q, "the board burnt")
		if err != nil || wish.State != authority.RehostWaiting || wish.NewUDI != live.udi {
			t.Fatalf("ask: got %+v, %v", wish, err)
		}
		if again, err := s.AskRehost(ctx, admin, a, old.ID, q, "the board burnt"); err != nil || again.ID != wish.ID {
			t.Fatalf("ask again: got %+v, %v", again, err)
		}
		_, err = s.ApproveRehost(ctx, admin, a, wish.ID)
		wantRefusal(t, err, "second-person")
		s.pool(smp, 10, 4, 6)
		for i := range 2 {
			made, err := s.ApproveRehost(ctx, other, a, wish.ID)
			if err != nil || made.UDI != live.udi || made.Predecessor != old.ID || made.Repeated != (i == 1) {
				t.Fatalf("approve: got %+v, %v", made, err)
			}
			live.install(made.Authorization)
		}
		s.pool(smp, 10, 4, 6)
		got, err := s.Reservation(ctx, admin, a, old.ID)
		if err != nil || got.State != license.ReservationQuarantined || !slices.ContainsFunc(got.Findings, func(f license.Fact) bool { return f.Code == license.FactUncounted && f.Count == 4 }) {
			t.Fatalf("the old one: got %+v, %v", got, err)
		}
		// The dead product is blocked in both ways until its return code comes or somebody answers for it.
		_, err = s.Reserve(ctx, admin, a, authority.NewReservation{Request: dead.request(), Licenses: want{smp: 1}})
		wantRefusal(t, err, "quarantined")
		p := s.product("A")
		_, err = p.register(ctx, s.token(authority.NewToken{}), false)
		wantRefusal(t, err, "quarantined")
		if got, err := s.ReleaseReservation(ctx, admin, a, old.ID); err != nil || got.State != license.ReservationReleased {
			t.Fatalf("release: got %+v, %v", got, err)
		}
		if got, err := s.ReturnReservation(ctx, admin, a, old.ID, dead.code(trust.CodeReturn)); err != nil || !slices.Contains([]license.ReservationState{license.ReservationReleased}, got.State) {
			t.Fatalf("the code of a released one: got %+v, %v", got, err)
		}
		s.pool(smp, 10, 4, 6)
		if got := s.reserve(dead.request(), want{smp: 1}); got.State != license.ReservationIssued {
			t.Fatalf("after the release: %+v", got)
		}
		// And so many times only.
		for i := range license.MaxQuarantined {
			from, to := s.boxed(string(rune('c'+i))), s.boxed(string(rune('m'+i)))
			r := s.reserve(from.request(), want{smp: 1})
			wish, err := s.AskRehost(ctx, admin, a, r.ID, to.request(), "dead as well")
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 { // rejected first, then asked again
				if _, err := s.RejectRehost(ctx, admin, a, wish.ID); err != nil {
					t.Fatal(err)
				}
				_, err := s.ApproveRehost(ctx, other, a, wish.ID)
				wantRefusal(t, err, "rehost-rejected")
				if wish, err = s.AskRehost(ctx, admin, a, r.ID, to.request(), "dead for sure"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.ApproveRehost(ctx, other, a, wish.ID); err != nil {
				t.Fatal(err)
			}
		}
		_, err = s.AskRehost(ctx, admin, a, s.boxed("m").udi, s.boxed("z").request(), "one more")
		wantRefusal(t, err, "too-many-rehosts")
		s.check()
	})
}

// TestRule39TermLots plays row Q8: a lot inside a reservation ends without traffic.
func TestRule39TermLots(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		term := func(days int) license.OrderLine {
			return license.OrderLine{Tag: smp, Quantity: 3, Type: license.Term, End: license.Date{Time: s.clock.Now().Add(time.Duration(days) * day)}}
		}
		s.order("SO-1", term(10), term(100))
		b := s.boxed("A")
		one := s.reserve(b.request(), want{smp: 4})
		byEnd := map[int]int64{}
		for _, l := range one.Lots {
			byEnd[int(l.End.Sub(s.clock.Now())/day)] += l.Quantity
		}
		if !maps.Equal(byEnd, map[int]int64{100: 3, 10: 1}) {
			t.Fatalf("the longest-dated lot first: %v", byEnd)
		}
		s.pool(smp, 6, 4, 2)
		s.clock.Advance(10 * day)
		s.pool(smp, 3, 3, 0)
		got, err := s.Reservation(t.Context(), admin, s.account.ID, one.ID)
		if err != nil || len(got.Findings) != 1 || got.Findings[0].Code != license.FactReservedEnded || got.Findings[0].Count != 1 {
			t.Fatalf("findings: %+v, %v", got.Findings, err)
		}
		// An update leaves behind what has ended.
		s.order("SO-2", line(smp, 1))
		two, err := s.UpdateReservation(t.Context(), admin, s.account.ID, one.ID, want{smp: 4})
		if err != nil || two.State != license.ReservationInTransit || len(two.Lots) != 2 {
			t.Fatalf("update: got %+v, %v", two, err)
		}
		b.install(two.Authorization)
		if _, err := s.ConfirmReservation(t.Context(), admin, s.account.ID, one.ID, b.code(trust.CodeConfirmation)); err != nil {
			t.Fatal(err)
		}
		s.pool(smp, 4, 4, 0)
	})
}

// TestRule11ReservedBesideReported mixes a product that reports with one that holds: rule 7 stays, nothing reserved is lent.
func TestRule11ReservedBesideReported(t *testing.T) {
	t.Parallel()
	s := onOne(t)
	const high, low = license.Tag("ucm-cuwl"), license.Tag("ucm-enhanced")
	s.order("SO-1", line(high, 10), line(low, 2), line(smp, 5))
	p := s.product("P").mustRegister()
	p.must(use(smp, 2), use(low, 1))
	b := s.boxed("A")
	r := s.reserve(b.request(), want{smp: 3, high: 9})
	s.pool(smp, 5, 3, 0)
	_, err := s.Reserve(t.Context(), admin, s.account.ID, authority.NewReservation{Request: s.boxed("B").request(), Licenses: want{low: 3}})
	wantRefusal(t, err, "not-available") // reservations never borrow from a higher tier
	if m := p.must(use(smp, 3), use(low, 1)); m.Status != license.StatusOutOfCompliance {
		t.Errorf("what is reserved is not there for others: %+v", m)
	}
	p.must(use(smp, 2), use(low, 5))
	for _, l := range []license.Tag{high, low, smp} {
		row := s.row(l)
		if covered := row.InUse - row.Borrowed - row.Shortage; row.Quantity != covered+row.Lent+row.Reserved+row.Available {
			t.Errorf("rule 7 of %s: %+v", l, row)
		}
	}
	if row := s.row(high); row.Lent != 1 {
		t.Errorf("one of %s is free to lend: %+v", high, row)
	}
	_, err = s.Transfer(t.Context(), admin, s.account.ID, authority.Transfer{Tag: high, Quantity: 2, From: "Default", To: "Default"})
	wantRefusal(t, err, "same-place")
	if _, err := s.CreateVirtualAccount(t.Context(), admin, s.account.ID, "Lab"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Transfer(t.Context(), admin, s.account.ID, authority.Transfer{Tag: high, Quantity: 2, From: "Default", To: "Lab"})
	wantRefusal(t, err, "not-enough")
	// The instance moves with what is reserved for it.
	if err := s.MoveInstance(t.Context(), admin, s.account.ID, r.Instance, "Lab"); err != nil {
		t.Fatal(err)
	}
	s.pool(high, 1, 0, 0)
	rows, err := s.Licenses(t.Context(), admin, s.account.ID, "Lab")
	if err != nil || len(rows) != 2 || rows[0].Reserved+rows[1].Reserved != 12 {
		t.Fatalf("got %+v, %v", rows, err)
	}
	b.install(r.Authorization)
	if _, err := s.ReturnReservation(t.Context(), admin, s.account.ID, r.ID, b.code(trust.CodeReturn)); err != nil {
		t.Fatal(err)
	}
	rows, err = s.Licenses(t.Context(), admin, s.account.ID, "Lab")
	if err != nil || rows[0].Available+rows[1].Available != 12 {
		t.Fatalf("back where the reservation is: %+v, %v", rows, err)
	}
	s.check()
}

// TestRule40CodesSayWhatTheyAre enters wrong, old, foreign and made-up codes; none changes anything.
func TestRule40CodesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx, a := t.Context(), s.account.ID
		s.order("SO-1", line(smp, 10))
		b, c := s.boxed("A"), s.boxed("B")
		q := b.request()
		rb, rc := s.reserve(q, want{smp: 2}), s.reserve(c.request(), want{smp: 2})
		b.install(rb.Authorization)
		c.install(rc.Authorization)
		confirmation := b.code(trust.CodeConfirmation)
		mistyped := []byte(confirmation)
		mistyped[3] ^= 1
		for text, code := range map[string]string{
			string(mistyped):               "code-mistyped",
			confirmation[:10]:              "code-malformed",
			"":                             "code-malformed",
			strings.Repeat("x", 70_000):    "code-malformed",
			q:                              "code-kind",
			b.code(trust.CodeReturn):       "code-kind",
			c.code(trust.CodeConfirmation): "code-other-product",
			(&boxed{s, b.udi, 1, c.installed}).code(trust.CodeConfirmation): "code-made-up",
		} {
			_, err := s.ConfirmReservation(ctx, admin, a, rb.ID, text)
			wantRefusal(t, err, code)
		}
		other := *b
		other.installed.Sequence = 9
		_, err := s.ConfirmReservation(ctx, admin, a, rb.ID, other.code(trust.CodeConfirmation))
		wantRefusal(t, err, "code-other-request")
		other = *b
		other.installed.Version = 2
		_, err = s.ConfirmReservation(ctx, admin, a, rb.ID, other.code(trust.CodeConfirmation))
		wantRefusal(t, err, "code-ahead")
		if got, err := s.Reservation(ctx, admin, a, rb.ID); err != nil || got.State != license.ReservationIssued {
			t.Fatalf("after wrong codes: %+v, %v", got, err)
		}
		s.pool(smp, 10, 4, 6)

		// Guessing is bounded, and the right code works again after the hour.
		madeUp := &boxed{s, b.udi, 1, c.installed}
		for range 20 {
			if _, err = s.ReturnReservation(ctx, admin, a, rb.ID, madeUp.code(trust.CodeReturn)); license.AsError(err).Code == "too-many-codes" {
				break
			}
		}
		wantRefusal(t, err, "too-many-codes")
		_, err = s.ConfirmReservation(ctx, admin, a, rb.ID, confirmation)
		wantRefusal(t, err, "too-many-codes")
		s.clock.Advance(time.Hour)
		if _, err := s.ConfirmReservation(ctx, admin, a, rb.ID, confirmation); err != nil {
			t.Fatal(err)
		}
		s.check()
	})
}

// TestRule43SetBack gives a reservation up and then goes on with the state of before: later codes are refused, and the report says
// how many licenses may have been used and since when.
func TestRule43SetBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx, a := t.Context(), s.account.ID
		s.order("SO-1", line(smp, 10))
		b := s.boxed("A")
		r := s.reserve(b.request(), want{smp: 7})
		b.install(r.Authorization)
		snapshot := *b
		if _, err := s.ReturnReservation(ctx, admin, a, r.ID, b.code(trust.CodeReturn)); err != nil {
			t.Fatal(err)
		}
		returned := s.clock.Now()
		s.clock.Advance(3 * day)
		_, err := s.ConfirmReservation(ctx, admin, a, r.ID, snapshot.code(trust.CodeConfirmation))
		wantRefusal(t, err, "code-after-return")
		_, err = s.ReturnReservation(ctx, admin, a, r.ID, snapshot.code(trust.CodeReturn))
		wantRefusal(t, err, "code-after-return")
		snapshot.sequence = 0 // before its request
		_, err = s.Reserve(ctx, admin, a, authority.NewReservation{Request: snapshot.request(), Licenses: want{smp: 7}})
		wantRefusal(t, err, "request-old")
		got, err := s.Reservation(ctx, admin, a, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		revived := slices.ContainsFunc(got.Findings, func(f license.Fact) bool {
			return f.Code == license.FactRevived && f.Count == 3 && f.Since.Equal(returned.Add(3*day))
		})
		uncounted := slices.ContainsFunc(got.Findings, func(f license.Fact) bool {
			return f.Code == license.FactUncounted && f.Tag == string(smp) && f.Count == 7 && f.Since.Equal(returned)
		})
		if !revived || !uncounted {
			t.Errorf("the findings must name quantities and dates: %+v", got.Findings)
		}
		s.pool(smp, 10, 0, 10)
		events, _, err := s.Events(ctx, admin, a, authority.Page{Limit: 1000})
		alarms := 0
		for _, e := range events {
			if e.Kind == "reservation.revived" {
				alarms++
			}
		}
		if err != nil || alarms != 3 {
			t.Errorf("%d events say so, %v", alarms, err)
		}
	})
}

// TestRule43SetBackAndRegistered: a product that registers and remembers fewer requests than were answered was set back to when it held
// what it gave up since; the reservation says so. One that remembers all, or says nothing, is registered and that is all.
func TestRule43SetBackAndRegistered(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx, a := t.Context(), s.account.ID
		s.order("SO-1", line(smp, 10))
		b := s.boxed("A")
		var first authority.Reservation
		for i := range 3 {
			r := s.reserve(b.request(), want{smp: 7})
			if i == 0 {
				first = r
			}
			b.install(r.Authorization)
			if _, err := s.ReturnReservation(ctx, admin, a, r.ID, b.code(trust.CodeReturn)); err != nil {
				t.Fatal(err)
			}
		}
		p := s.product("A")
		for _, c := range []struct {
			remembers int
			revived   int64
		}{{3, 0}, {0, 0}, {1, 1}, {1, 2}} {
			p.nonce, p.requests = "nonce-of-registration-"+trust.NewID("ins", s.clock.Now()), c.remembers
			if _, err := p.register(ctx, s.token(authority.NewToken{}), true); err != nil {
				t.Fatal(err)
			}
			got, err := s.Reservation(ctx, admin, a, first.ID)
			i := slices.IndexFunc(got.Findings, func(f license.Fact) bool { return f.Code == license.FactRevived })
			if err != nil || (i >= 0) != (c.revived > 0) || i >= 0 && got.Findings[i].Count != c.revived {
				t.Errorf("remembering %d of 3: %+v, %v", c.remembers, got.Findings, err)
			}
		}
		s.check()
	})
}

func TestReservationAndRegistrationExclude(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx, a := t.Context(), s.account.ID
		s.order("SO-1", line(smp, 10))
		p := s.product("A").mustRegister()
		p.must(use(smp, 1))
		b := s.boxed("A")
		_, err := s.Reserve(ctx, admin, a, authority.NewReservation{Request: b.request(), Licenses: want{smp: 1}})
		wantRefusal(t, err, "instance-registered")
		if err := s.RemoveInstance(ctx, admin, a, p.instance, ""); err != nil {
			t.Fatal(err)
		}
		r := s.reserve(b.request(), want{smp: 1})
		if r.Instance != p.instance {
			t.Errorf("the same product has another instance: %s, %s", r.Instance, p.instance)
		}
		list, _, err := s.Instances(ctx, admin, a, "", authority.Page{})
		if err != nil || len(list) != 1 || list[0].State != "Reserved" || !list[0].RemovedAt.IsZero() {
			t.Fatalf("got %+v, %v", list, err)
		}
		_, err = p.authorize(ctx, use(smp, 1)) // a copy of the product as it was
		wantRefusal(t, err, wire.CodeRemoved)
		_, err = s.product("A").register(ctx, s.token(authority.NewToken{}), true)
		wantRefusal(t, err, "reserved")
		_, err = s.Reserve(ctx, admin, a, authority.NewReservation{Request: b.request(), Licenses: want{smp: 1}})
		wantRefusal(t, err, "already-reserved")
		b.install(r.Authorization)
		if got, err := s.ReturnReservation(ctx, admin, a, r.ID, b.code(trust.CodeDiscard)); err != nil || got.State != license.ReservationReturned {
			t.Fatalf("never installed: got %+v, %v", got, err)
		}
		s.product("A").mustRegister()
		s.check()
	})
}

func TestReservationLeave(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		ctx, a := t.Context(), s.account.ID
		s.order("SO-1", line(smp, 10))
		b := s.boxed("A")
		universal := authority.NewReservation{Request: b.request(), Kind: license.Universal}
		_, err := s.Reserve(ctx, admin, a, universal)
		wantRefusal(t, err, "universal-not-allowed")
		local := access.Person{ID: "key_local", Role: access.Administrator, Account: a}
		_, err = s.SetReservationLeave(ctx, local, a, authority.ReservationLeave{Universal: true})
		wantRefusal(t, err, "not-permitted")
		if _, err := s.SetReservationLeave(ctx, admin, a, authority.ReservationLeave{Universal: true}); err != nil {
			t.Fatal(err)
		}
		_, err = s.Reserve(ctx, admin, a, authority.NewReservation{Request: s.boxed("B").request(), Licenses: want{smp: 1}})
		wantRefusal(t, err, "reservation-not-allowed")
		r, err := s.Reserve(ctx, local, a, universal)
		if err != nil || r.Kind != license.Universal || len(r.Lots) != 0 {
			t.Fatalf("got %+v, %v", r, err)
		}
		if b.install(r.Authorization).Kind != license.Universal {
			t.Error("the authorization must say that it is universal")
		}
		s.pool(smp, 10, 0, 10)
		viewer := access.Person{ID: "key_viewer", Role: access.Viewer, Account: a}
		if got, err := s.Reservation(ctx, viewer, a, r.ID); err != nil || got.Authorization != nil {
			t.Errorf("a viewer gets no authorization: %v", err)
		}
		if _, err := s.ReturnReservation(ctx, admin, a, r.ID, b.code(trust.CodeReturn)); err != nil {
			t.Fatal(err)
		}
		_, err = s.Reserve(ctx, viewer, a, universal)
		wantRefusal(t, err, "not-permitted")
		s.check()
	})
}

func TestManyReservationsAreAdvised(t *testing.T) {
	t.Parallel()
	s := onOne(t)
	s.order("SO-1", line(smp, 100))
	for i := range license.ManyReservations + 1 {
		facts, err := s.ManyReservations(t.Context(), admin, s.account.ID)
		if err != nil || len(facts) != 0 {
			t.Fatalf("%d: %v, %v", i, facts, err)
		}
		s.reserve(s.boxed(string(rune('A'+i))).request(), want{smp: 1})
	}
	facts, err := s.ManyReservations(t.Context(), admin, s.account.ID)
	if err != nil || len(facts) != 1 || facts[0].Count != license.ManyReservations+1 || !strings.Contains(facts[0].Text(), "satellite") {
		t.Fatalf("got %v, %v", facts, err)
	}
	list, _, err := s.Reservations(t.Context(), admin, s.account.ID, authority.Page{Limit: 1000})
	if err != nil || len(list) != license.ManyReservations+1 {
		t.Fatalf("got %d, %v", len(list), err)
	}
}
