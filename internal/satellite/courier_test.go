package satellite_test

import (
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
)

// party is one side of the courier's model: a process over a database and a folder of keys.
type party struct {
	*desk // nil for a satellite that never joined

	host  string
	disk  *storetest.Disk
	store *store.Store
	keys  string
	// touched is whether something was written since its books were verified.
	touched bool
}

// open starts the process anew.
func (p *party) open(c *courier) {
	var err error
	if p.store == nil {
		if p.store, err = p.disk.Open(c.ctx, c.clock.Now); err != nil {
			c.rt.Fatalf("open the database of %s: %v", p.host, err)
		}
	}
	if p == c.down && !trust.HasSite(p.keys) {
		return
	}
	keys, err := trust.OpenKeys(p.keys, c.clock.Now())
	if err != nil {
		c.rt.Fatalf("open the keys of %s: %v", p.host, err)
	}
	p.desk = openDesk(c.t, p.keys, keys, p.store, c.clock, p.host)
}

func (p *party) close(c *courier) {
	if err := p.store.Close(); err != nil {
		c.rt.Fatalf("close the database of %s: %v", p.host, err)
	}
	p.store, p.desk = nil, nil
}

// kill ends the process where it stands and starts it over what it leaves on the disk.
func (p *party) kill(c *courier) {
	if c.estate.dialect == store.SQLite {
		old := p.disk
		p.disk = old.Copy(c.estate.dir) // before the store is closed, which would tidy it up
		defer old.Remove()
	}
	p.close(c)
	p.open(c)
}

// copy is a backup of the database.
func (p *party) copy(c *courier) *storetest.Disk {
	if c.estate.dialect == store.SQLite {
		return p.disk.Copy(c.estate.dir)
	}
	p.close(c)
	backup := p.disk.Copy(c.estate.dir)
	p.open(c)
	return backup
}

// restore puts a backup back.
func (p *party) restore(c *courier, backup *storetest.Disk) {
	p.close(c)
	p.disk.Remove()
	p.disk = backup.Copy(c.estate.dir)
	p.open(c)
}

func (p *party) view(c *courier, fn func(tx *store.Tx) error) {
	if err := p.store.View(c.ctx, fn); err != nil {
		c.rt.Fatalf("read the database of %s: %v", p.host, err)
	}
}

// held is a quantity of a lot at a place of a book. It is usable in the pool of a virtual account that is no satellite's.
type held struct {
	place, lot string
	n          int64
	usable     bool
}

func (p *party) holdings(c *courier) (out []held) {
	p.view(c, func(tx *store.Tx) error {
		out = nil
		vas, err := authority.VirtualAccountRows(c.ctx, tx, c.account.ID)
		if err != nil {
			return err
		}
		usable := map[string]bool{}
		for _, v := range vas {
			usable[authority.PoolPlace(v.VaID)] = v.SatelliteID == ""
		}
		rows, err := tx.Holdings(c.ctx, c.account.ID)
		for _, h := range rows {
			out = append(out, held{h.Place, h.LotID, h.Quantity, usable[h.Place]})
		}
		return err
	})
	return out
}

// tables are those that a verb of the model may write, beside account and event.
var tables = map[string][]string{
	"order":         {"purchase", "lot", "movement", "posting", "holding"},
	"export":        {"upstream", "upstream_stock", "movement", "posting", "holding"},
	"answer":        {"satellite", "satellite_stock", "satellite_instance", "satellite_recall", "virtual_account", "demand", "movement", "posting", "holding"},
	"answer join":   {"satellite", "satellite_stock", "movement"},
	"complete join": {"account_name", "upstream", "virtual_account", "purchase", "lot", "movement", "holding"},
	"apply":         {"upstream", "upstream_stock", "purchase", "lot", "instance", "exchange", "instance_usage", "demand", "movement", "posting", "holding"},
	"transfer":      {"idempotency", "satellite_stock", "satellite_recall", "movement", "posting", "holding"},
	"add":           {"virtual_account"},
	"make token":    {"token"},
	"reserve":       {"reservation", "reservation_version", "movement", "posting", "holding"},
	"return":        {"reservation", "movement", "posting", "holding"},
	"register":      {"token", "instance", "exchange"},
	"report":        {"instance", "exchange", "instance_usage", "demand"},
}

// attempt does a verb of a party with something that goes wrong on the way, or nothing. It says whether the caller learned the
// outcome.
func (c *courier) attempt(p *party, what string, verb func() error) (learned bool, err error) {
	p.touched = true
	trouble := pick(c, "trouble", []string{"", "", "", "", "", "", "", "", "", "", "", "", "", "write", "write", "commit", "unheard"})
	files := p.keyFiles(c, what)
	switch trouble {
	case "":
		return true, verb()
	case "unheard": // the process dies after its commit, before the answer is written
		err = verb()
		c.sum.unheard++
		if what == "apply" && rapid.Bool().Draw(c.rt, "keys lost") {
			p.undo(c, files, 0)
		}
		p.kill(c)
		return false, err
	case "write":
		p.disk.FailWrite(pick(c, "table", append(tables[what], "account", "event")), rapid.IntRange(0, 1).Draw(c.rt, "rows"), rapid.Bool().Draw(c.rt, "cut"))
	case "commit":
		p.disk.FailCommit(rapid.Bool().Draw(c.rt, "cut"))
	}
	err = verb()
	if !p.disk.Heal() {
		return true, err
	}
	if err == nil || refusal(err) {
		c.rt.Fatalf("%s: what was written failed, and the verb says %v", what, err)
	}
	if trouble == "write" {
		c.sum.died++
	} else {
		c.sum.undone++
	}
	if what == "complete join" {
		p.undo(c, files, rapid.IntRange(0, 3).Draw(c.rt, "key files"))
	}
	if trouble == "commit" || what == "complete join" || rapid.Bool().Draw(c.rt, "dies") {
		p.kill(c)
	}
	return false, err
}

// refusal says whether an error is the rules' No, and not that of a server that cannot work now.
func refusal(err error) bool {
	e := license.AsError(err)
	return e != nil && e.Kind != license.KindUnavailable
}

// try does a verb that may fail, or be refused.
func (c *courier) try(p *party, what string, verb func() error) (learned bool) {
	learned, err := c.attempt(p, what, verb)
	if learned && err != nil && !refusal(err) {
		c.rt.Fatalf("%s: %v", what, err)
	}
	return learned
}

// surely does a verb until its outcome is learned. It is the same verb: nothing of it happens twice.
func (c *courier) surely(p *party, what string, verb func() error) {
	learned, err := c.attempt(p, what, verb)
	if !learned {
		c.verify()
		err = verb()
	}
	if err != nil {
		c.rt.Fatalf("%s: %v", what, err)
	}
}

// keyFiles reads the files of a satellite's keys before a verb that may write some.
func (p *party) keyFiles(c *courier, what string) map[string][]byte {
	if what != "apply" && what != "complete join" {
		return nil
	}
	files := map[string][]byte{}
	for _, path := range keyPaths(p.keys) {
		content, err := os.ReadFile(path)
		if err != nil {
			c.rt.Fatal(err)
		}
		files[path] = content
	}
	return files
}

func keyPaths(dir string) []string {
	paths, _ := filepath.Glob(filepath.Join(dir, "*", "*.pem"))
	return paths
}

// undo takes key files back to what they were, but for the first few that were written.
func (p *party) undo(c *courier, files map[string][]byte, but int) {
	var written []string
	for _, path := range []string{"signer.pem", "root.pem", "issuing.pem"} { // in the order in which they are written
		matches, _ := filepath.Glob(filepath.Join(p.keys, "*", path))
		written = append(written, matches...)
	}
	for _, path := range written[min(but, len(written)):] {
		was, known := files[path]
		var err error
		if known {
			err = os.WriteFile(path, was, 0o600)
		} else {
			err = os.Remove(path)
		}
		if err != nil {
			c.rt.Fatal(err)
		}
	}
}

// estate is an authority and a satellite that play some schedules one after the other, each with an account of its own: opening a
// database takes as long as most of a schedule.
type estate struct {
	t       *testing.T
	dialect string
	dir     string
	empty   *storetest.Disk
	keys    string // of the authority

	clock    *storetest.Clock
	top      *party
	plant    *party
	accounts int
}

const accountsOfEstate = 16

func newEstate(t *testing.T, dialect string) *estate {
	t.Helper()
	e := &estate{t: t, dialect: dialect, dir: memory(t)}
	e.empty, e.keys = storetest.NewDisk(t, dialect, e.dir), filepath.Join(e.dir, "keys")
	t.Cleanup(func() { e.end(); e.empty.Remove() })
	return e
}

// end closes what is open, whatever became of it.
func (e *estate) end() {
	for _, p := range []*party{e.top, e.plant} {
		if p == nil {
			continue
		}
		if p.store != nil {
			_ = p.store.Close()
		}
		p.disk.Remove()
	}
	e.top, e.plant, e.accounts = nil, nil, 0
}

// play plays one schedule.
func (e *estate) play(rt *rapid.T, sum *tally) {
	dir, err := os.MkdirTemp(e.dir, "")
	if err != nil {
		rt.Fatal(err)
	}
	if e.accounts == accountsOfEstate {
		e.end()
	}
	fresh := e.top == nil
	if fresh {
		keys, err := os.MkdirTemp(e.dir, "plant-")
		if err != nil {
			rt.Fatal(err)
		}
		e.clock = storetest.NewClock(storetest.Start())
		e.top = &party{disk: e.empty.Copy(e.dir), keys: e.keys, host: "authority.example"}
		e.plant = &party{disk: e.empty.Copy(e.dir), keys: keys, host: "plant.example"}
	}
	e.accounts++
	c := &courier{
		world: &world{t: e.t, clock: e.clock}, estate: e, rt: rt, ctx: e.t.Context(), up: e.top, down: e.plant,
		sum: sum, before: sum.restored, products: map[string]*product{}, uses: map[string]int64{},
	}
	c.closed = map[string]*closed{"C": c.world.closed("C"), "D": c.world.closed("D")}
	whole := false
	defer func() {
		for _, backup := range c.backups {
			backup.Remove()
		}
		_ = os.RemoveAll(dir)
		if !whole {
			e.end() // a schedule that fails is played again from the beginning
		}
	}()
	if fresh {
		e.top.open(c)
		e.plant.open(c)
	}
	sum.schedules++
	c.play()
	whole = true
}

// joiner is what `tally sync join` works with.
func (c *courier) joiner() satellite.Joiner {
	return satellite.Joiner{Store: c.down.store, Keys: c.down.keys, Catalog: license.DefaultCatalog(), Hosts: []string{c.down.host}, Version: "test", Now: c.clock.Now}
}

// memory is a folder in a file system in memory where the system has one: that a disk keeps what was synchronized is not shown here.
func memory(t *testing.T) string {
	t.Helper()
	if dir, err := os.MkdirTemp("/dev/shm", "tally-courier-"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}
