package satellite_test

import (
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// clean does two clean exchanges. Where the satellite notices that its database went back, that one was not clean.
func (c *courier) clean() {
	for done, tries := 0, 0; done < 2; tries++ {
		file, err := c.down.Export(c.ctx, admin, c.account.ID, satellite.Network)
		if err != nil {
			c.rt.Fatalf("export: %v", err)
		}
		reply, refused := c.up.Answer(c.ctx, file, satellite.Network)
		if reply == nil || tries > 3 {
			c.rt.Fatalf("exchange %d: %v", tries, refused)
		}
		out, err := c.down.Apply(c.ctx, admin, c.account.ID, reply, satellite.Network)
		if err != nil {
			c.rt.Fatalf("apply: %v", err)
		}
		if refused == nil && !out.Restored {
			done++
		}
	}
	c.up.touched, c.down.touched = true, true
	c.verify()
}

// verify holds after every step: both books are right, every license that was bought is somewhere in the authority's, and none is
// usable at both. A database of the satellite that went back may use again what it had given back, and no more, until it notices.
func (c *courier) verify() {
	top := c.up.holdings(c)
	below := map[string]int64{}
	var burnt map[string]int64
	if c.joined {
		for _, h := range c.down.holdings(c) {
			if h.place != authority.OutPlace {
				below[h.lot] += h.n
			}
		}
		burnt = c.forgotten()
	}
	usable, lots := map[string]int64{}, map[string]int64{}
	var bought int64
	for _, h := range top {
		bought += h.n
		lots[h.lot] += h.n
		if h.usable {
			usable[h.lot] += h.n
		}
	}
	if bought != c.bought && bought != c.bought+c.ordered {
		c.rt.Fatalf("%d were bought, %d are somewhere in the authority's book", c.bought, bought)
	}
	for lot, quantity := range lots {
		if usable[lot]+below[lot] > quantity+burnt[lot] {
			c.rt.Fatalf("of lot %s, %d, %d are usable at the authority and %d at the satellite, which has forgotten that it gave %d back", lot, quantity, usable[lot], below[lot], burnt[lot])
		}
	}
	for _, p := range []*party{c.up, c.down} {
		if p == c.down && !c.joined || !p.touched {
			continue
		}
		p.touched = false
		if v, err := p.VerifyEvents(c.ctx, admin, c.account.ID); err != nil || len(v.Problems) > 0 {
			c.rt.Fatalf("books of %s: %v, %v", p.host, v.Problems, err)
		}
	}
}

// forgotten is what the satellite gave back and does not know of, by lot: nothing unless its database went back.
func (c *courier) forgotten() map[string]int64 {
	type spot struct{ va, lot string }
	here, out := map[spot]int64{}, map[string]int64{}
	c.down.view(c, func(tx *store.Tx) error {
		rows, err := tx.UpstreamStock(c.ctx, c.account.ID)
		for _, r := range rows {
			here[spot{r.VaID, r.LotID}] = r.Burnt
		}
		return err
	})
	c.up.view(c, func(tx *store.Tx) error {
		rows, err := tx.SatelliteStock(c.ctx, db.SatelliteStockParams{AccountID: c.account.ID, SatelliteID: c.satellite})
		for _, r := range rows {
			if n := r.Burnt - here[spot{r.VaID, r.LotID}]; n > 0 {
				out[r.LotID] += n
			}
		}
		return err
	})
	if len(out) > 0 && c.sum.restored == c.before {
		c.rt.Fatalf("the authority counts %v as given back, the satellite does not", out)
	}
	return out
}

// compare holds after clean exchanges. What reservations hold comes home when they are returned.
func (c *courier) compare() {
	var here, there int64
	for _, h := range c.up.holdings(c) {
		if h.usable {
			here += h.n
		}
	}
	for _, h := range c.down.holdings(c) {
		there += h.n
	}
	shown, err := c.up.Show(c.ctx, admin, c.account.ID, "Plant 7")
	if err != nil || shown.Consigned != there || shown.InTransit != 0 || shown.Asked > shown.Reserved {
		c.rt.Fatalf("the authority sees %d at the satellite, %d on their way and %d asked back, with %d reserved; the satellite has %d: %v",
			shown.Consigned, shown.InTransit, shown.Asked, shown.Reserved, there, err)
	}
	if here+shown.Asked != c.home || there-shown.Asked != c.bought-c.home {
		c.rt.Fatalf("%d are usable at the authority and %d at the satellite, of which %d are wanted back; %d were bought, and %d are wanted at the authority",
			here, there, shown.Asked, c.bought, c.home)
	}
	if above, below := c.standing(c.up.desk, c.down.desk), c.standing(c.down.desk, c.down.desk); above != below {
		c.rt.Fatalf("the authority shows\n%sand the satellite\n%s", above, below)
	}
}

// used is what a desk shows in use of the virtual accounts of the satellite.
func (c *courier) used() (n int64) {
	rows, err := c.down.Licenses(c.ctx, admin, c.account.ID, "")
	if err != nil {
		c.rt.Fatal(err)
	}
	for _, r := range rows {
		n += r.InUse
	}
	return n
}
