package license

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Compliance of a pool, in the words of faces and reports.
type Compliance string

// A pool is one or the other.
const (
	InCompliance    Compliance = "In Compliance"
	OutOfCompliance Compliance = "Out Of Compliance"
)

// Pool is what a virtual account holds and uses of one tag at one moment. Entitled counts the lots that are valid at that
// moment, Reserved the part of them that is held by reservations, Demand what the instances use together. All are at least
// zero. The remaining fields are optional and only make the explanation fuller.
type Pool struct {
	Tag      Tag
	Entitled int64
	Reserved int64
	Demand   int64
	Uses     []Use
	Changes  []LotChange
	// Elsewhere lists virtual accounts that have this tag free and that the reader may see.
	Elsewhere []Surplus
	// Leaving says that the virtual account is a satellite's that is being removed or was: nothing is given to it. Back is how many it
	// has given up and that lie here: these cover nothing there any more.
	Leaving bool
	Back    int64
}

// Use is what one instance uses of the pool's tag, since when.
type Use struct {
	Instance string
	Name     string
	Count    int64
	Since    time.Time
}

// LotChange is a lot that does not count now: Ended before, or starting later.
type LotChange struct {
	Lot      string
	Quantity int64
	At       time.Time
	Ended    bool
}

// Surplus is what another virtual account has free of a tag.
type Surplus struct {
	VirtualAccount string
	Free           int64
}

// Row is one tag in one virtual account: the numbers and, in Why, their reasons. Available and Shortage are never
// negative and never both positive. Quantity = own use covered + Lent + Reserved + Available (domain rule 7).
type Row struct {
	Tag       Tag
	Quantity  int64
	InUse     int64
	Reserved  int64
	Lent      int64
	Borrowed  int64
	Available int64
	Shortage  int64
	Status    Compliance
	Why       []Fact
}

// Comply compares use with stock for the pools of one virtual account, lending unused licenses of a higher tier to a
// shorter lower one along the catalog's tier graph. It is the only place where compliance is decided: the answer to a
// product, the license list, the reports and the console all come from it.
//
// Lending: higher tiers are served first, each from the nearest tier above it that has licenses free; reserved licenses are
// never lent (domain rules 7 to 11). The result does not depend on the order of pools; it is sorted by tag. Tags that lend
// but were not in pools do not appear, so callers pass every pool of the virtual account.
func Comply(c *Catalog, pools []Pool) []Row {
	pools = slices.Clone(pools)
	slices.SortFunc(pools, func(a, b Pool) int { return cmp.Compare(a.Tag, b.Tag) })
	rows := make([]Row, len(pools))
	short := make([]int, 0, 4)
	for i, p := range pools {
		stock := max(0, p.Entitled-p.Reserved)
		rows[i] = Row{
			Tag: p.Tag, Quantity: p.Entitled, InUse: p.Demand, Reserved: p.Reserved, Status: InCompliance,
			Available: max(0, stock-p.Demand), Shortage: max(0, p.Demand-stock),
		}
		if rows[i].Shortage > 0 {
			short = append(short, i)
		}
	}
	slices.SortStableFunc(short, func(a, b int) int {
		return cmp.Compare(c.height(rows[a].Tag), c.height(rows[b].Tag))
	})
	for _, i := range short {
		borrow(c, rows, &rows[i])
	}
	for i := range rows {
		if rows[i].Shortage > 0 {
			rows[i].Status = OutOfCompliance
		}
		explain(c, pools[i], &rows[i])
	}
	return rows
}

// borrow covers the shortage of row from the tiers above it, the nearest first.
func borrow(c *Catalog, rows []Row, row *Row) {
	for above := c.above(row.Tag); above != "" && row.Shortage > 0; above = c.above(above) {
		j, found := slices.BinarySearchFunc(rows, above, func(r Row, t Tag) int { return cmp.Compare(r.Tag, t) })
		if !found || rows[j].Available == 0 {
			continue
		}
		n := min(rows[j].Available, row.Shortage)
		rows[j].Available -= n
		rows[j].Lent += n
		row.Borrowed += n
		row.Shortage -= n
		rows[j].Why = append(rows[j].Why, Fact{Code: FactLent, Tag: string(above), Other: string(row.Tag), Count: n})
		row.Why = append(row.Why, Fact{Code: FactBorrowed, Tag: string(row.Tag), Other: string(above), Count: n})
	}
}

// explain adds the reasons in the order in which a person asks: how much is missing, who uses it, what else takes or
// gives, and what would help.
func explain(c *Catalog, p Pool, row *Row) {
	var why []Fact
	tag := string(row.Tag)
	switch {
	case row.Shortage > 0:
		why = append(why, Fact{Code: FactShort, Tag: tag, Count: row.Shortage, Of: row.InUse})
	case row.InUse > 0:
		why = append(why, Fact{Code: FactCovered, Tag: tag, Count: row.InUse, Of: row.Quantity - row.Reserved + row.Borrowed})
	}
	if p.Back > 0 {
		why = append(why, Fact{Code: FactCameBack, Tag: tag, Count: p.Back})
	}
	for _, u := range p.Uses {
		why = append(why, Fact{Code: FactUse, Tag: tag, Instance: u.Instance, Name: u.Name, Count: u.Count, Since: u.Since})
	}
	if row.Reserved > 0 {
		why = append(why, Fact{Code: FactReserved, Tag: tag, Count: row.Reserved})
	}
	why = append(why, row.Why...)
	for _, l := range p.Changes {
		code := FactLotStarts
		if l.Ended {
			code = FactLotEnded
		}
		why = append(why, Fact{Code: code, Tag: tag, Lot: l.Lot, Count: l.Quantity, Since: l.At})
	}
	switch {
	case row.Shortage == 0:
	case p.Leaving: // neither ordering nor transferring reaches it
		why = append(why, Fact{Code: FactHelpDesk, Tag: tag})
	case !c.Knows(row.Tag) && row.Quantity == 0 && len(p.Changes) == 0:
		why = append(why, Fact{Code: FactUnknownKind, Tag: tag, Other: string(c.Nearest(row.Tag))}) // ordering would not help: nobody sells it
	default:
		for _, s := range p.Elsewhere {
			why = append(why, Fact{Code: FactHelpMove, Tag: tag, Other: s.VirtualAccount, Count: s.Free})
		}
		why = append(why, Fact{Code: FactHelpOrder, Tag: tag, Count: row.Shortage})
	}
	row.Why = why
}

// StatusOf is the answer to a product that uses the given tags of a virtual account whose rows Comply returned: out of
// compliance when one of its tags is.
func StatusOf(rows []Row, uses map[Tag]int64) AuthorizationStatus {
	status := StatusNone
	for tag, n := range uses {
		if n == 0 {
			continue
		}
		if status == StatusNone {
			status = StatusAuthorized
		}
		if r, ok := FindRow(rows, tag); ok && r.Status == OutOfCompliance {
			status = StatusOutOfCompliance
		}
	}
	return status
}

// FindRow finds the row of a tag in what Comply returned.
func FindRow(rows []Row, tag Tag) (Row, bool) {
	i, ok := slices.BinarySearchFunc(rows, tag, func(r Row, t Tag) int { return cmp.Compare(r.Tag, t) })
	if !ok {
		return Row{}, false
	}
	return rows[i], true
}

// Tag is the key of a kind of license: 1 to 64 characters, lower-case letters, digits, '-', '.' and '_', beginning with a
// letter or digit.
type Tag string

// ParseTag checks a tag.
func ParseTag(s string) (Tag, error) {
	ok := len(s) >= 1 && len(s) <= 64
	for i, r := range s {
		plain := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		ok = ok && (plain || i > 0 && strings.ContainsRune("-._", r))
	}
	if !ok {
		return "", Refuse(KindInvalid, "bad-tag", "use the tag of the catalog, such as cms-smp-plus",
			"%.80q is no license tag: 1 to 64 lower-case letters, digits, '-', '.' or '_'", s)
	}
	return Tag(s), nil
}
