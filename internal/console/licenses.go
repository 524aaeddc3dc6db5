package console

import (
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
)

// endsSoon is how long before the end of a lot the page begins to say so.
const endsSoon = 60 * day

// pools are the licenses of one virtual account.
type pools struct {
	name      string
	isDefault bool
	rows      []authority.LicenseRow
	short     int64 // licenses missing in all rows
}

// summary is the strip above the licenses. Products counts those that are registered; engine says that the account's
// conference engine is one of them.
type summary struct {
	inCompliance, outOfCompliance int
	running, products             string
	engine                        bool
}

// licenses shows what every virtual account has bought and uses.
func (c *console) licenses(v *visit) (sheet, error) {
	ctx, account := v.Context(), v.account.ID
	rows, err := c.Authority.Licenses(ctx, v.who, account, "")
	if err != nil {
		return sheet{}, err
	}
	products, more, err := c.Authority.Instances(ctx, v.who, account, "", authority.Page{Limit: 1000})
	if err != nil {
		return sheet{}, err
	}
	registered := slices.DeleteFunc(products, func(in authority.Instance) bool { return in.State == stateRemoved })
	running, err := c.runningMeetings(ctx, account)
	if err != nil {
		return sheet{}, err
	}
	s := summary{running: running, products: atLeast(len(registered), more != ""), engine: slices.ContainsFunc(registered, isEngine)}
	for _, r := range rows {
		if r.Shortage > 0 {
			s.outOfCompliance++
		} else {
			s.inCompliance++
		}
	}
	return sheet{title: "Licenses", tab: "licenses", body: licensesBody(v, s, gather(rows, v.account.DefaultVA))}, nil
}

// atLeast writes a count of which only a part may have been read.
func atLeast(n int, more bool) string {
	if more {
		return number(int64(n)) + "+"
	}
	return number(int64(n))
}

// gather puts rows under their virtual accounts: the default one first, then by name; what is short first in each.
func gather(rows []authority.LicenseRow, defaultVA string) []pools {
	of := map[string]*pools{}
	var out []*pools
	for _, r := range rows {
		p := of[r.VirtualAccountID]
		if p == nil {
			p = &pools{name: r.VirtualAccount, isDefault: r.VirtualAccountID == defaultVA}
			of[r.VirtualAccountID] = p
			out = append(out, p)
		}
		p.rows = append(p.rows, r)
		p.short += r.Shortage
	}
	slices.SortFunc(out, func(a, b *pools) int {
		if a.isDefault != b.isDefault {
			if a.isDefault {
				return -1
			}
			return 1
		}
		return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name))
	})
	sorted := make([]pools, len(out))
	for i, p := range out {
		slices.SortStableFunc(p.rows, func(a, b authority.LicenseRow) int {
			switch {
			case (a.Shortage > 0) == (b.Shortage > 0):
				return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
			case a.Shortage > 0:
				return -1
			}
			return 1
		})
		sorted[i] = *p
	}
	return sorted
}

// reasons parts the facts of a row into those that explain the numbers and those that say what would help.
func reasons(facts []license.Fact) (why, help []license.Fact) {
	for _, f := range facts {
		switch f.Code {
		case license.FactHelpMove, license.FactHelpOrder, license.FactHelpDesk, license.FactUnknownKind:
			help = append(help, f)
		default:
			why = append(why, f)
		}
	}
	return why, help
}

// remarks are the small words under a row's name: where licenses went to or came from.
func remarks(r authority.LicenseRow) []string {
	var out []string
	for _, m := range []struct {
		n    int64
		what string
	}{{r.Borrowed, "borrowed from a higher tier"}, {r.Lent, "lent to a lower tier"}, {r.Reserved, "reserved"}} {
		if m.n > 0 {
			out = append(out, number(m.n)+" "+m.what)
		}
	}
	return out
}

func ending(r authority.LicenseRow, now time.Time) bool {
	return !r.Ends.IsZero() && r.Ends.Sub(now) < endsSoon
}

// meter is a bar of use against stock, drawn in a box of 100 by 6: what is covered, and from there on what is short.
type meter struct{ covered, short string }

// leastShort is what is drawn of a shortage that would be too little to see.
const leastShort = 6

func meterOf(r authority.LicenseRow) meter {
	whole := max(r.InUse, r.Quantity-r.Reserved+r.Borrowed-r.Lent)
	covered := 100 * float64(r.InUse-r.Shortage) / float64(max(whole, 1))
	if r.Shortage > 0 {
		covered = min(covered, 100-leastShort)
	}
	return meter{decimal(covered), decimal(100 - covered)}
}
