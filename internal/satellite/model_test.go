package satellite_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
)

// TestAnyCourier is the model of two parties and a random courier (rule 49; reliability, section 2, row 8): files are lost,
// repeated, delayed, reordered, cut off and bent; either party dies between any two writes, before and after its commit, with its
// key files written or not; databases of the satellite go back to backups; and after every step the books of both are right and no
// license counts in two places. After two clean exchanges both equal the model, which is a handful of sums: what was bought, what
// the people of both sides wanted where, and what the products use.
//
// -rapid.checks sets how many schedules are tried on SQLite.
func TestAnyCourier(t *testing.T) {
	t.Parallel()
	e := newEstate(t, store.SQLite)
	var sum tally
	rapid.Check(t, func(rt *rapid.T) { e.play(rt, &sum) })
	t.Log(sum)
	if sum.schedules > 20 && (sum.died == 0 || sum.undone == 0 || sum.unheard == 0 || sum.restored == 0 || sum.joins == 0) {
		t.Error("the schedules had no trouble of some kind, so that nothing was shown")
	}
}

// TestAnyCourierOnPostgreSQL is TestAnyCourier with authority and satellite on PostgreSQL, whose connections are cut as well.
// Everything takes longer there: it plays one schedule of ten, and a thousand at most.
func TestAnyCourierOnPostgreSQL(t *testing.T) {
	t.Parallel()
	e := newEstate(t, store.Postgres)
	var sum tally
	var tried int
	var failing bool // and being made smaller
	rapid.Check(t, func(rt *rapid.T) {
		if tried++; !failing && (tried%10 != 1 || sum.schedules >= 1000) {
			return
		}
		failing = true
		e.play(rt, &sum)
		failing = false
	})
	t.Log(sum)
}

// TestMain tries few schedules unless told otherwise: each one makes two databases.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("40"); err != nil {
			panic(err)
		}
	}
	// They are the same each time, which anybody can repeat; make soak tries others.
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == "0" && os.Getenv("TALLY_TEST_KILLS") == "" {
		_ = seed.Value.Set("48")
	}
	os.Exit(m.Run())
}

// tally counts what the schedules had.
type tally struct{ schedules, steps, died, undone, unheard, restored, joins int }

func (s tally) String() string {
	return fmt.Sprintf("%d schedules with %d steps: %d writes and %d commits failed, %d answers were lost with the process, %d backups were put back, %d joined",
		s.schedules, s.steps, s.died, s.undone, s.unheard, s.restored, s.joins)
}

// courier is one schedule.
type courier struct {
	*world

	estate   *estate
	rt       *rapid.T
	ctx      context.Context
	up, down *party // authority and satellite
	sum      *tally
	before   int // backups that earlier schedules put back

	token, satellite string
	joined           bool

	bought, home int64 // what was bought, and what people brought to the authority's own virtual account
	ordered      int64 // is perhaps bought already
	number       int   // of whatever needs a new name
	files        struct{ up, down [][]byte }
	backups      []*storetest.Disk
	products     map[string]*product
	uses         map[string]int64
	closed       map[string]*closed
}

func (c *courier) next(what string) string {
	c.number++
	return what + strconv.Itoa(c.number)
}

// one draws a file.
func (c *courier) one(files [][]byte) []byte { return pick(c, "file", files) }

// pick draws one of many, each as often as any other: what rapid draws itself is small for the most part.
func pick[T any](c *courier, label string, of []T) T {
	n := rapid.Custom(func(rt *rapid.T) (n int) {
		for range 8 {
			n *= 2
			if rapid.Bool().Draw(rt, "") {
				n++
			}
		}
		return n
	}).Draw(c.rt, label)
	return of[n%len(of)]
}

func (c *courier) play() {
	c.invite()
	c.join()
	steps := []string{"order", "order", "export", "export", "answer", "answer", "apply", "apply", "exchange", "recall", "give", "use", "reserve", "reserve", "add", "move", "backup", "restore", "restore", "bend", "wait"}
	for range rapid.IntRange(1, 15).Draw(c.rt, "steps") {
		c.sum.steps++
		c.step(pick(c, "step", steps))
		c.verify()
		c.clock.Advance(time.Hour)
	}
	c.clean()
	c.compare()
	for serial := range c.products {
		c.settle(serial)
	}
	for _, p := range c.closed {
		if p.id != "" {
			c.reserve(p, 0)
		}
	}
	c.clean()
	c.compare()
	var used int64
	for _, n := range c.uses {
		used += n
	}
	if got := c.used(); got != used {
		c.rt.Fatalf("the satellite sees %d in use, the products use %d", got, used)
	}
}

func (c *courier) step(name string) {
	ctx, id := c.ctx, c.account.ID
	switch name {
	case "order":
		n, order := rapid.Int64Range(1, 9).Draw(c.rt, "quantity"), c.next("SO-")
		c.ordered = n
		c.surely(c.up, "order", func() error { return c.orders(order, n) })
		c.bought, c.ordered = c.bought+n, 0
	case "export":
		c.try(c.down, "export", func() error {
			file, err := c.down.Export(ctx, admin, id, satellite.File)
			if err == nil {
				c.files.up = append(c.files.up, file) // the process may have died since: the file is written, or it is as good as lost
			}
			return err
		})
	case "answer": // any file, old or new, and again
		if len(c.files.up) > 0 {
			c.answer(c.one(c.files.up))
		}
	case "apply":
		if len(c.files.down) > 0 {
			c.apply(c.one(c.files.down))
		}
	case "exchange": // the newest file, all the way
		c.step("export")
		if len(c.files.up) > 0 {
			c.answer(c.files.up[len(c.files.up)-1])
		}
		if len(c.files.down) > 0 {
			c.apply(c.files.down[len(c.files.down)-1])
		}
	case "recall":
		c.transfer(c.up, rapid.Int64Range(1, 5).Draw(c.rt, "back"), "Plant 7", "Default", 1)
	case "give":
		c.transfer(c.up, rapid.Int64Range(1, 5).Draw(c.rt, "again"), "Default", "Plant 7", -1)
	case "use":
		serial := pick(c, "product", []string{"A", "B"})
		c.use(serial, rapid.Int64Range(0, 6).Draw(c.rt, "use"))
	case "reserve": // and give it back
		c.reserve(c.closed[pick(c, "closed", []string{"C", "D"})], rapid.Int64Range(1, 5).Draw(c.rt, "reserved"))
	case "add":
		c.try(c.down, "add", func() error {
			_, err := c.down.CreateVirtualAccount(ctx, admin, id, "Lab") // the second time the name is taken
			return err
		})
	case "move":
		c.transfer(c.down, 1, "Plant 7", "Lab", 0)
	case "backup":
		c.backups = append(c.backups, c.down.copy(c))
	case "restore":
		if len(c.backups) == 0 {
			c.step("backup")
		} else {
			c.sum.restored++
			c.down.restore(c, pick(c, "backup", c.backups))
		}
	case "bend":
		c.bend()
	case "wait":
		c.clock.Advance(time.Duration(rapid.Int64Range(1, 200).Draw(c.rt, "days")) * 24 * time.Hour)
	}
}

// invite makes an account and a satellite of it.
func (c *courier) invite() {
	var err error
	if c.account, err = c.up.CreateAccount(c.ctx, admin, fmt.Sprintf("acme-%d.example", c.estate.accounts)); err != nil {
		c.rt.Fatal(err)
	}
	made, token, err := c.up.Create(c.ctx, admin, c.account.ID, satellite.NewSatellite{Name: "Plant 7"})
	if err != nil {
		c.rt.Fatal(err)
	}
	c.satellite, c.token = made.ID, token.Reveal()
}

// join makes the satellite, with everything in between that can go wrong, as often as it takes.
func (c *courier) join() {
	c.sum.joins++
	file, err := c.joiner().Request(c.ctx, c.token)
	if err != nil {
		c.rt.Fatalf("make request: %v", err)
	}
	if rapid.Bool().Draw(c.rt, "request again") { // the process died before the file was written
		c.down.kill(c)
		if file, err = c.joiner().Request(c.ctx, c.token); err != nil {
			c.rt.Fatalf("make request again: %v", err)
		}
	}
	var reply []byte
	c.surely(c.up, "answer join", func() error {
		again, err := c.up.Answer(c.ctx, file, satellite.File)
		if reply != nil && !bytes.Equal(reply, again) {
			c.rt.Fatalf("another answer to the same request: %v", err)
		}
		reply = again
		return err
	})
	if pick(c, "answer lost", []bool{false, true}) { // and asked for again, some time later
		c.clock.Advance(time.Hour)
		if again, err := c.joiner().Request(c.ctx, c.token); err != nil || !bytes.Equal(file, again) {
			c.rt.Fatalf("another file for the same token: %v", err)
		}
	}
	c.surely(c.down, "complete join", func() error {
		_, err := c.joiner().Complete(c.ctx, reply)
		return err
	})
	c.joined = true
	c.down.open(c)
}

func (c *courier) answer(file []byte) {
	var reply []byte
	learned := c.try(c.up, "answer", func() error {
		var err error
		reply, err = c.up.Answer(c.ctx, file, satellite.File)
		return err
	})
	switch {
	case learned && reply != nil:
		c.files.down = append(c.files.down, reply)
	case reply != nil && bytes.Equal(file, c.files.up[len(c.files.up)-1]): // the newest; its answer was stored, and lost with the process
		again, err := c.up.Answer(c.ctx, file, satellite.File)
		if !bytes.Equal(reply, again) {
			c.rt.Fatalf("another answer to the same file: %v", err)
		}
	}
}

func (c *courier) apply(answer []byte) {
	c.try(c.down, "apply", func() error {
		_, err := c.down.Apply(c.ctx, admin, c.account.ID, answer, satellite.File)
		if refusal(err) {
			c.rt.Fatalf("apply: %v", err)
		}
		return err
	})
}

func (c *courier) orders(number string, n int64) error {
	_, err := c.up.ImportOrder(c.ctx, admin, "", license.Order{Number: number, Account: c.account.Name, Lines: []license.OrderLine{{Tag: smp, Quantity: n, VirtualAccount: "Plant 7"}}})
	return err
}

// transfer moves licenses once, however often it is asked for.
func (c *courier) transfer(at *party, n int64, from, to string, homeward int64) {
	who := admin
	who.RequestKey = c.next("transfer-")
	var refused error
	c.surely(at, "transfer", func() error {
		_, err := at.Transfer(c.ctx, who, c.account.ID, authority.Transfer{Tag: smp, Quantity: n, From: from, To: to})
		refused = nil
		if refusal(err) { // there is nothing to move
			refused, err = err, nil
		}
		return err
	})
	if refused == nil {
		c.home += n * homeward
	}
}

// use registers a product at its first use and lets it report.
func (c *courier) use(serial string, n int64) {
	p := c.products[serial]
	if p == nil {
		p = c.register(serial)
	}
	p.desk = c.down.desk
	if p.unheard != nil { // byte for byte what it said before
		if again := p.unheard; c.try(c.down, "report", func() error { return again() }) {
			p.unheard = nil
		}
		p.desk = c.down.desk
	}
	c.uses[serial] = n
	if !c.try(c.down, "report", func() error {
		_, err := p.report(n) // after a restore it may be unknown for a while
		return err
	}) {
		sent := p.sent
		p.unheard = func() error {
			p.desk = c.down.desk
			return sent(&struct{}{})
		}
	}
}

func (c *courier) register(serial string) *product {
	var token string
	c.surely(c.down, "make token", func() error {
		_, text, err := c.down.CreateToken(c.ctx, admin, c.account.ID, authority.NewToken{VirtualAccount: "Plant 7", MaxUses: 1})
		token = text.Reveal()
		return err
	})
	p := c.product(serial)
	c.products[serial] = p
	c.surely(c.down, "register", func() error {
		p.desk = c.down.desk
		answer, err := p.ask(token)
		if err == nil {
			p.instance, p.number = answer.Instance, answer.Number
		}
		return err
	})
	return p
}

// reserve reserves for a product on a closed site, or gives back what it holds. A desk whose database went back refuses what it does
// not know.
func (c *courier) reserve(p *closed, n int64) {
	if p.id != "" {
		c.surely(c.down, "return", func() error {
			_, err := c.down.ReturnReservation(c.ctx, admin, c.account.ID, p.id, p.code(trust.CodeReturn))
			return unless(refusal(err), err)
		})
		p.id = ""
		return
	}
	p.sequence++
	code, err := trust.NewRequestCode(p.udi, p.sequence)
	if err != nil {
		c.rt.Fatal(err)
	}
	c.surely(c.down, "reserve", func() error {
		r, err := c.down.Reserve(c.ctx, admin, c.account.ID, authority.NewReservation{Request: code.String(), Licenses: map[license.Tag]int64{smp: n}})
		if err == nil {
			p.id = r.ID
			p.install(c.down.desk, r.Authorization)
		}
		return unless(refusal(err), err)
	})
}

// unless is an error that counts.
func unless(not bool, err error) error {
	if not {
		return nil
	}
	return err
}

// settle lets a product say what it uses; one that a backup forgot registers again.
func (c *courier) settle(serial string) {
	p := c.products[serial]
	p.desk = c.down.desk
	_, err := p.report(c.uses[serial])
	if no := license.AsError(err); no != nil && no.Code == "instance-unknown" {
		_, text, err := c.down.CreateToken(c.ctx, admin, c.account.ID, authority.NewToken{VirtualAccount: "Plant 7"})
		if err != nil {
			c.rt.Fatalf("make token: %v", err)
		}
		p = c.product(serial)
		p.desk = c.down.desk
		answer, err := p.ask(text.Reveal())
		if err != nil {
			c.rt.Fatalf("register again: %v", err)
		}
		p.instance, p.number = answer.Instance, answer.Number
		if _, err = p.report(c.uses[serial]); err != nil {
			c.rt.Fatalf("report: %v", err)
		}
		return
	}
	if err != nil {
		c.rt.Fatalf("report of %s: %v", serial, err)
	}
}

// bend changes a file on its way: nobody takes it.
func (c *courier) bend() {
	all := slices.Concat(c.files.up, c.files.down)
	if len(all) == 0 {
		return
	}
	file := bytes.Clone(c.one(all))
	if at := rapid.IntRange(0, len(file)-1).Draw(c.rt, "byte"); rapid.Bool().Draw(c.rt, "cut") {
		file = file[:at]
	} else {
		file[at] ^= byte(rapid.IntRange(1, 255).Draw(c.rt, "bits"))
	}
	if reply, err := c.up.Answer(c.ctx, file, satellite.File); reply != nil || err == nil {
		c.rt.Fatalf("a bent file is answered: %v", err)
	}
	if _, err := c.down.Apply(c.ctx, admin, c.account.ID, file, satellite.File); err == nil {
		c.rt.Fatal("a bent file is applied")
	}
}
