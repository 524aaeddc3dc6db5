package authority_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// TestReservationsConserve plays random ceremonies of several products, codes lost, repeated and late, against a model: what is
// reserved is at every moment the larger of what the product may hold and what it was last promised, and the books sum to zero.
func TestReservationsConserve(t *testing.T) {
	t.Parallel()
	one, accounts := onOne(t), 0 // a database for each of thousands would leave no file descriptors
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		accounts++
		account, err := one.CreateAccount(ctx, admin, fmt.Sprintf("acme-%d.example", accounts))
		if err != nil {
			rt.Fatal(err)
		}
		own := *one
		s, a := &own, account.ID
		s.account = account
		s.order("SO-1", line(smp, 12))
		type model struct {
			*boxed
			id                  string
			live, transit       bool
			confirmed, promised int64
			file                []byte
		}
		products := []*model{{boxed: s.boxed("A")}, {boxed: s.boxed("B")}, {boxed: s.boxed("C")}}
		charged := func() (sum int64) {
			for _, p := range products {
				if p.live {
					sum += max(p.confirmed, p.promised)
				}
			}
			return sum
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			p := rapid.SampledFrom(products).Draw(rt, "product")
			n := rapid.Int64Range(1, 8).Draw(rt, "n")
			switch rapid.SampledFrom([]string{"reserve", "update", "install", "confirm", "return"}).Draw(rt, "act") {
			case "reserve":
				if p.live {
					continue
				}
				free := 12 - charged()
				r, err := s.Reserve(ctx, admin, a, authority.NewReservation{Request: p.request(), Licenses: want{smp: n}})
				if (err == nil) != (n <= free) {
					rt.Fatalf("reserve %d of %d: %v", n, free, err)
				}
				if err == nil {
					p.id, p.live, p.transit, p.confirmed, p.promised, p.file, p.installed = r.ID, true, false, n, n, r.Authorization, wire.Reservation{}
				}
			case "update":
				if !p.live {
					continue
				}
				free := 12 - charged()
				r, err := s.UpdateReservation(ctx, admin, a, p.id, want{smp: n})
				switch {
				case n == p.promised:
					if err != nil || !r.Repeated {
						rt.Fatalf("the same again: %+v, %v", r, err)
					}
				case p.transit || n-p.promised > free:
					if err == nil {
						rt.Fatalf("update to %d was taken: %+v", n, r)
					}
				case err != nil:
					rt.Fatal(err)
				default:
					p.transit, p.confirmed, p.promised, p.file = true, p.promised, n, r.Authorization
				}
			case "install":
				if p.live {
					p.install(p.file)
				}
			case "confirm":
				if p.installed.Version == 0 || !p.live {
					continue
				}
				r, err := s.ConfirmReservation(ctx, admin, a, p.id, p.code(trust.CodeConfirmation))
				if err == nil && r.State == license.ReservationConfirmed {
					p.transit, p.confirmed = false, p.promised
				}
			case "return":
				if p.installed.Version == 0 || !p.live {
					continue
				}
				if _, err := s.ReturnReservation(ctx, admin, a, p.id, p.code(trust.CodeReturn)); err != nil {
					rt.Fatal(err)
				}
				p.live = false
			}
			if r := s.row(smp); r.Quantity != 12 || r.Reserved != charged() || r.Available != 12-charged() {
				rt.Fatalf("got %+v, charged %d", r.Row, charged())
			}
		}
		s.check()
	})
}
