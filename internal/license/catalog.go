package license

import (
	_ "embed" // the default catalog
	"fmt"
	"maps"
	"slices"
	"sync"
)

//go:embed catalog.json
var defaultCatalog []byte

// Unit is what one license of a tag covers, for people.
type Unit string

// CatalogEntry describes a tag that can be sold and counted.
type CatalogEntry struct {
	Tag  Tag    `json:"tag"`
	Name string `json:"name"`
	// Kind groups tags for people, such as "conferencing".
	Kind string `json:"kind"`
	// Unit is what one license covers, such as "user" or "meeting at a time".
	Unit Unit `json:"unit"`
	// Above is the next higher tier, which lends to this one; empty for none.
	Above Tag `json:"above,omitempty"`
}

// SKU is a part number and what one unit of it deposits.
type SKU struct {
	SKU      string `json:"sku"`
	Name     string `json:"name"`
	Tag      Tag    `json:"tag"`
	Quantity int64  `json:"quantity"`
}

// Catalog says what is sold and counted. It is immutable and safe for concurrent use.
type Catalog struct {
	entries map[Tag]CatalogEntry
	skus    map[string]SKU
	order   []Tag
	depth   map[Tag]int
}

type catalogFile struct {
	// Replace drops what stood in the catalog before; otherwise the file extends it.
	Replace  bool           `json:"replace,omitempty"`
	Licenses []CatalogEntry `json:"licenses"`
	SKUs     []SKU          `json:"skus"`
}

// DefaultCatalog returns the embedded catalog. It panics when the embedded file is wrong, which a test rules out.
var DefaultCatalog = sync.OnceValue(func() *Catalog {
	c, err := ParseCatalog(defaultCatalog)
	if err != nil {
		panic(fmt.Sprintf("embedded catalog: %v", err))
	}
	return c
})

// ParseCatalog reads a catalog document that stands alone. See ExtendCatalog.
func ParseCatalog(doc []byte) (*Catalog, error) { return ExtendCatalog(nil, doc) }

// ExtendCatalog reads a catalog document: its tags and part numbers are added to those of base, in place of the ones that base
// has under the same name; a document with "replace": true stands alone. Unknown members, tags given twice, tiers that do not
// exist and circles among the tiers are refused. The caller bounds the size.
func ExtendCatalog(base *Catalog, doc []byte) (*Catalog, error) {
	var f catalogFile
	if err := strictJSON(doc, &f); err != nil {
		return nil, badCatalog("it is not a JSON document of the documented form: %v", err)
	}
	c := &Catalog{entries: map[Tag]CatalogEntry{}, skus: map[string]SKU{}, depth: map[Tag]int{}}
	if base != nil && !f.Replace {
		c.entries, c.skus, c.order = maps.Clone(base.entries), maps.Clone(base.skus), slices.Clone(base.order)
	}
	if err := c.addEntries(f.Licenses); err != nil {
		return nil, err
	}
	if err := c.measureTiers(); err != nil {
		return nil, err
	}
	return c, c.addSKUs(f.SKUs)
}

func (c *Catalog) addEntries(entries []CatalogEntry) error {
	given := map[Tag]bool{}
	for _, e := range entries {
		if _, err := ParseTag(string(e.Tag)); err != nil {
			return err
		}
		switch {
		case given[e.Tag]:
			return badCatalog("the tag %s stands in it twice", e.Tag)
		case e.Name == "":
			return badCatalog("the tag %s has no name", e.Tag)
		}
		given[e.Tag] = true
		if !c.Knows(e.Tag) {
			c.order = append(c.order, e.Tag)
		}
		c.entries[e.Tag] = e
	}
	return nil
}

// measureTiers counts the tiers above each tag and refuses tiers that do not exist or run in a circle.
func (c *Catalog) measureTiers() error {
	for _, tag := range c.order {
		depth := 0
		for above := c.entries[tag].Above; above != ""; above = c.entries[above].Above {
			if !c.Knows(above) {
				return badCatalog("the tier %s above %s does not exist", above, tag)
			}
			if depth++; depth > len(c.order) {
				return badCatalog("the tiers above %s run in a circle", tag)
			}
		}
		c.depth[tag] = depth
	}
	return nil
}

func (c *Catalog) addSKUs(skus []SKU) error {
	given := map[string]bool{}
	for _, s := range skus {
		if !c.Knows(s.Tag) {
			return badCatalog("the part number %s deposits the unknown tag %s", s.SKU, s.Tag)
		}
		if given[s.SKU] || s.SKU == "" || s.Quantity < 1 {
			return badCatalog("the part number %q is empty, stands in it twice, or deposits less than 1", s.SKU)
		}
		given[s.SKU] = true
		c.skus[s.SKU] = s
	}
	return nil
}

func badCatalog(format string, args ...any) *Error {
	return Refuse(KindInvalid, "bad-catalog", "mend the catalog file and start again", "the catalog cannot be used: "+format, args...)
}

// Name is the tag's name for people; a tag that is not in the catalog is its own name.
func (c *Catalog) Name(tag Tag) string {
	if e, ok := c.entries[tag]; ok {
		return e.Name
	}
	return string(tag)
}

// Knows says whether the catalog has the tag.
func (c *Catalog) Knows(tag Tag) bool { _, ok := c.entries[tag]; return ok }

// Nearest is the tag of the catalog that is most like one that it does not know, empty where none is alike: at most a third of its
// characters differ.
func (c *Catalog) Nearest(tag Tag) Tag {
	best, least := Tag(""), len(tag)/3+1
	for _, t := range c.order {
		if n := edits(string(tag), string(t)); n < least {
			best, least = t, n
		}
	}
	return best
}

// edits is how many characters have to be put in, left out or changed to make one text of the other.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// SKU finds a part number.
func (c *Catalog) SKU(number string) (SKU, bool) { s, ok := c.skus[number]; return s, ok }

// Entries returns the catalog's tags in its own order.
func (c *Catalog) Entries() []CatalogEntry {
	out := make([]CatalogEntry, 0, len(c.order))
	for _, t := range c.order {
		out = append(out, c.entries[t])
	}
	return out
}

func (c *Catalog) above(tag Tag) Tag  { return c.entries[tag].Above }
func (c *Catalog) height(tag Tag) int { return c.depth[tag] }
