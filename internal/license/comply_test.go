package license

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func TestComply(t *testing.T) {
	t.Parallel()
	type want struct {
		tag                                               Tag
		quantity, inUse, lent, borrowed, available, short int64
	}
	for _, c := range []struct {
		name  string
		pools []Pool
		want  []want
	}{
		{"nothing", nil, nil},
		{"covered", []Pool{{Tag: "cms-smp-plus", Entitled: 3, Demand: 2}}, []want{{"cms-smp-plus", 3, 2, 0, 0, 1, 0}}},
		{"over-use is counted", []Pool{{Tag: "cms-smp-plus", Entitled: 3, Demand: 4}}, []want{{"cms-smp-plus", 3, 4, 0, 0, 0, 1}}},
		{"reserved is not free", []Pool{{Tag: "cms-smp-plus", Entitled: 3, Reserved: 2, Demand: 2}}, []want{{"cms-smp-plus", 3, 2, 0, 0, 0, 1}}},
		{"an unknown tag is short, not refused", []Pool{{Tag: "no-such-tag", Demand: 1}}, []want{{"no-such-tag", 0, 1, 0, 0, 0, 1}}},
		{"rule 10: the vendor's example leaves 40 of the higher tier", []Pool{{Tag: "ucm-cuwl", Entitled: 100, Demand: 10}, {Tag: "ucm-enhanced-plus", Demand: 50}},
			[]want{{"ucm-cuwl", 100, 10, 50, 0, 40, 0}, {"ucm-enhanced-plus", 0, 50, 0, 50, 0, 0}}},
		{"lending reaches over an empty tier", []Pool{{Tag: "ucm-cuwl-pro", Entitled: 5}, {Tag: "ucm-enhanced", Demand: 2}},
			[]want{{"ucm-cuwl-pro", 5, 0, 2, 0, 3, 0}, {"ucm-enhanced", 0, 2, 0, 2, 0, 0}}},
		{"the nearest tier lends first", []Pool{{Tag: "ucm-cuwl-pro", Entitled: 5}, {Tag: "ucm-cuwl", Entitled: 1}, {Tag: "ucm-enhanced-plus", Demand: 2}},
			[]want{{"ucm-cuwl", 1, 0, 1, 0, 0, 0}, {"ucm-cuwl-pro", 5, 0, 1, 0, 4, 0}, {"ucm-enhanced-plus", 0, 2, 0, 2, 0, 0}}},
		{"a higher tier is served before a lower one", []Pool{{Tag: "ucm-cuwl-pro", Entitled: 1}, {Tag: "ucm-cuwl", Demand: 1}, {Tag: "ucm-enhanced", Demand: 1}},
			[]want{{"ucm-cuwl", 0, 1, 0, 1, 0, 0}, {"ucm-cuwl-pro", 1, 0, 1, 0, 0, 0}, {"ucm-enhanced", 0, 1, 0, 0, 0, 1}}},
		{"a lower tier never lends upward", []Pool{{Tag: "ucm-enhanced", Entitled: 9}, {Tag: "ucm-cuwl", Demand: 1}},
			[]want{{"ucm-cuwl", 0, 1, 0, 0, 0, 1}, {"ucm-enhanced", 9, 0, 0, 0, 9, 0}}},
		{"reserved licenses are never lent", []Pool{{Tag: "ucm-cuwl", Entitled: 4, Reserved: 4}, {Tag: "ucm-enhanced-plus", Demand: 1}},
			[]want{{"ucm-cuwl", 4, 0, 0, 0, 0, 0}, {"ucm-enhanced-plus", 0, 1, 0, 0, 0, 1}}},
		{"a room lends to nobody", []Pool{{Tag: "ucm-tp-room", Entitled: 4}, {Tag: "ucm-enhanced-plus", Demand: 1}},
			[]want{{"ucm-enhanced-plus", 0, 1, 0, 0, 0, 1}, {"ucm-tp-room", 4, 0, 0, 0, 4, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []want
			for _, r := range Comply(DefaultCatalog(), c.pools) {
				got = append(got, want{r.Tag, r.Quantity, r.InUse, r.Lent, r.Borrowed, r.Available, r.Shortage})
				if (r.Status == OutOfCompliance) != (r.Shortage > 0) {
					t.Errorf("%s: status %s with a shortage of %d", r.Tag, r.Status, r.Shortage)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

func TestComplyExplains(t *testing.T) {
	t.Parallel()
	rows := Comply(DefaultCatalog(), []Pool{{
		Tag: "cms-smp-plus", Entitled: 1, Demand: 3, Uses: []Use{{Instance: "ins_1", Name: "Bridge", Count: 3, Since: noon}},
		Changes: []LotChange{{Lot: "lot_1", Quantity: 2, At: noon, Ended: true}}, Elsewhere: []Surplus{{VirtualAccount: "Labs", Free: 5}},
	}})
	want := []string{
		"2 licenses are missing: 3 in use, 1 available to this virtual account.",
		"Bridge (ins_1) uses 3, and has used this license since 2026-03-02 12:00 UTC.",
		"A lot of 2 ended on 2026-03-02 12:00 UTC and no longer counts.",
		`Virtual account "Labs" has 5 free: transferring them here would help.`,
		"Ordering 2 more of cms-smp-plus would cover the use.",
	}
	var got []string
	for _, f := range rows[0].Why {
		got = append(got, f.Text())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestRule7Conservation: for any pools, own use served + lent + reserved + free = stock, in any order of the pools, and
// nothing is lent that was not free.
func TestRule7Conservation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tags := []Tag{"ucm-cuwl-pro", "ucm-cuwl", "ucm-enhanced-plus", "ucm-enhanced", "ucm-basic", "ucm-essential", "ucm-tp-room", "cms-smp-plus"}
		var pools []Pool
		for _, tag := range tags {
			stock := rapid.Int64Range(0, 20).Draw(t, "stock")
			pools = append(pools, Pool{Tag: tag, Entitled: stock, Reserved: rapid.Int64Range(0, stock).Draw(t, "reserved"), Demand: rapid.Int64Range(0, 30).Draw(t, "demand")})
		}
		rows := Comply(DefaultCatalog(), pools)
		shuffled := rapid.Permutation(pools).Draw(t, "order")
		if again := Comply(DefaultCatalog(), shuffled); fmt.Sprint(again) != fmt.Sprint(rows) {
			t.Fatalf("the order of pools changes the result:\n%v\n%v", rows, again)
		}
		var lent, borrowed, short, free int64
		for _, r := range rows {
			own := r.InUse - r.Borrowed - r.Shortage
			if own < 0 || r.Available < 0 || r.Shortage < 0 || r.Available > 0 && r.Shortage > 0 || own+r.Lent+r.Reserved+r.Available != r.Quantity {
				t.Fatalf("the books of %s do not balance: %+v", r.Tag, r)
			}
			lent, borrowed = lent+r.Lent, borrowed+r.Borrowed
			if r.Tag != "ucm-tp-room" && r.Tag != "cms-smp-plus" {
				short += r.Shortage
			}
			if r.Tag == "ucm-cuwl-pro" {
				free = r.Available
			}
		}
		if lent != borrowed {
			t.Fatalf("%d lent, %d borrowed", lent, borrowed)
		}
		if short > 0 && free > 0 {
			t.Fatalf("%d are short while the highest tier has %d free", short, free)
		}
	})
}

func BenchmarkComply100(b *testing.B) {
	var doc []CatalogEntry
	var pools []Pool
	for i := range 100 {
		tag := Tag(fmt.Sprintf("tag-%03d", i))
		e := CatalogEntry{Tag: tag, Name: string(tag)}
		if i%10 > 0 {
			e.Above = Tag(fmt.Sprintf("tag-%03d", i-1))
		}
		doc = append(doc, e)
		pools = append(pools, Pool{Tag: tag, Entitled: int64(i % 7 * 10), Demand: int64(i % 5 * 10)})
	}
	c := &Catalog{entries: map[Tag]CatalogEntry{}, depth: map[Tag]int{}}
	for i, e := range doc {
		c.entries[e.Tag], c.depth[e.Tag] = e, i%10
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(Comply(c, pools)) != 100 {
			b.Fatal("want 100 rows")
		}
	}
}

// TestUnknownTag: use of a tag that nobody sells is not told to order it, and is told of the tag that it is like.
func TestUnknownTag(t *testing.T) {
	t.Parallel()
	for tag, like := range map[Tag]string{"nonsense": "", "cms-smp-plas": "cms-smp-plus", "cmssmpplus": "cms-smp-plus"} {
		why := Comply(DefaultCatalog(), []Pool{{Tag: tag, Demand: 2}})[0].Why
		if last := why[len(why)-1]; why[0].Code != FactShort || last.Code != FactUnknownKind || last.Other != like || strings.HasSuffix(last.Text(), "meant?") != (like != "") {
			t.Errorf("%s: %+v", tag, why)
		}
	}
}
