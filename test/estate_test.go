package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/test/estate"
)

// number is a number from the environment, such as TALLY_TEST_SEEDS.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s is %q, want a number", name, text)
	}
	return n
}

// TestKilledEstate plays the meetings of a cluster of three call bridges to a server that is killed over and over: everything
// comes to four receivers, three posts of ten come again, posts overtake each other, and records are lost, for all receivers or
// for one. The same records come to another bridge as well, once, where member-first is in force. What the server then says of
// records, meetings, licenses and peaks is the generator's own truth under either policy, to the second. One seed with 1,000
// meetings on each database; TALLY_TEST_SEEDS says how many seeds, TALLY_TEST_SEED from which one on, TALLY_TEST_MEETINGS and
// TALLY_TEST_LOSSES how much of each.
func TestKilledEstate(t *testing.T) {
	t.Parallel()
	first, seeds := number(t, "TALLY_TEST_SEED", 1), number(t, "TALLY_TEST_SEEDS", 1)
	meetings, losses := number(t, "TALLY_TEST_MEETINGS", 1_000), number(t, "TALLY_TEST_LOSSES", 10)
	storetest.Each(t, func(t *testing.T, address string) {
		for seed := first; seed < first+seeds; seed++ {
			if seed > first {
				address = another(t, address)
			}
			killedEstate(t, address, estate.Options{Seed: uint64(seed), Meetings: meetings, Restarts: 12, Losses: losses, Overflows: losses, Repeats: 0.3, Disorder: 20})
			if t.Failed() {
				t.Fatalf("again: TALLY_TEST_SEED=%d TALLY_TEST_MEETINGS=%d TALLY_TEST_LOSSES=%d go test -count=1 -run '%s' ./test", seed, meetings, losses, t.Name())
			}
		}
	})
}

// another is a fresh database of the same kind.
func another(t *testing.T, address string) string {
	t.Helper()
	if bytes.HasPrefix([]byte(address), []byte("postgres")) {
		return storetest.PostgresURL(t)
	}
	return t.TempDir() + "/tally.db"
}

func killedEstate(t *testing.T, database string, o estate.Options) {
	t.Helper()
	began := time.Now()
	e := estate.New(o)
	o.Policy, o.Receivers, o.Overflows, o.Repeats, o.Disorder = estate.MemberFirst, 1, 0, 0, 0
	members := estate.New(o)
	played := time.Since(began)
	d := newDesk(t, database)
	d.json(tally(), "account", "create", "acme.example")
	d.run(0, tally(), "conference", "enable")
	d.run(0, tally(), "conference", "directory", "import", d.file("directory.json", string(e.Directory())))

	c := &estateCrash{desk: d, url: d.srv.URL, clusters: []estateCluster{{Estate: e, name: "cluster"}, {Estate: members, name: "members"}}}
	c.changed.L = &c.mu
	posts, records := 0, 0
	for i := range c.clusters {
		cl := &c.clusters[i]
		added := d.json(tally(), "conference", "bridge", "add", cl.name)
		cl.id, _ = added["id"].(string)
		d.run(0, tally(), "conference", "policy", "set", policies[cl.Policy], "--bridge", cl.name)
		for cl.take(d, added); len(cl.paths) < cl.Receivers; { // an address for each receiver that call bridges number for
			cl.take(d, d.json(tally(), "conference", "bridge", "receiver", "add", cl.name))
		}
		cl.streams = cl.Streams()
		for _, s := range cl.streams {
			posts += len(s)
			for i := range s {
				records += s[i].Records()
			}
		}
	}
	c.play(t, posts, rand.New(rand.NewPCG(o.Seed, 2)))
	sent := time.Since(began) - played
	c.check(t)
	t.Logf("seed %d: %d meetings, %d records in %d posts with %d records, %d kills: played in %s, posted in %s, compared in %s", o.Seed, len(e.Truth.Meetings),
		e.Truth.Records, posts, records, c.kills, played.Round(time.Millisecond), sent.Round(time.Millisecond), (time.Since(began) - played - sent).Round(time.Millisecond))
	if code := d.srv.Stop(); code != 0 {
		t.Errorf("the server ended with %d on SIGTERM", code)
	}
}

// estateCluster is a bridge that gets the records of an estate.
type estateCluster struct {
	*estate.Estate
	name, id string
	paths    []string // of its receivers
	streams  [][]estate.Post
}

// take keeps the address of a new receiver.
func (cl *estateCluster) take(d *desk, added map[string]any) {
	address, _ := added["url"].(string)
	cl.paths = append(cl.paths, address[len(d.srv.URL):])
}

// estateCrash posts estates to a server that dies in between.
type estateCrash struct {
	*desk
	clusters []estateCluster
	kills    int

	mu      sync.Mutex // guards what follows
	changed sync.Cond  // on url and posted
	url     string
	posted  int
	over    bool
}

const (
	estateKills = 6
	lanes       = 8 // connections of each stream: a call bridge has one, but ours wait for a disk that many tests share
)

// play posts all streams at once, and kills the server at some moments.
func (c *estateCrash) play(t *testing.T, posts int, random *rand.Rand) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.set(func() { c.over = true }) })
	defer stop()
	var at []int
	for range estateKills {
		at = append(at, random.IntN(posts*9/10))
	}
	slices.Sort(at)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	var senders sync.WaitGroup
	for _, cl := range c.clusters {
		for _, stream := range cl.streams {
			var sent atomic.Int64
			for range lanes {
				senders.Go(func() {
					for i := sent.Add(1) - 1; i < int64(len(stream)); i = sent.Add(1) - 1 {
						if err := c.send(ctx, client, cl.paths[stream[i].Receiver], stream[i].Body()); err != nil {
							t.Errorf("post %d of a stream: %v", i, err)
							return
						}
					}
				})
			}
		}
	}
	for _, n := range at {
		c.await(func() bool { return c.posted >= n })
		c.srv.Kill()
		c.start()
		c.kills++
		c.set(func() { c.url = c.srv.URL })
	}
	senders.Wait()
}

func (c *estateCrash) set(change func()) {
	c.mu.Lock()
	change()
	c.mu.Unlock()
	c.changed.Broadcast()
}

func (c *estateCrash) await(yes func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !yes() && !c.over {
		c.changed.Wait()
	}
}

// send posts until the server says that it has the records, as call bridges do.
func (c *estateCrash) send(ctx context.Context, client *http.Client, path string, body []byte) error {
	for {
		c.mu.Lock()
		url := c.url
		c.mu.Unlock()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		answer, err := client.Do(r)
		if err != nil { // it was killed
			c.await(func() bool { return c.url != url })
			if ctx.Err() != nil {
				return err
			}
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		switch answer.StatusCode {
		case http.StatusOK:
			c.set(func() { c.posted++ })
			return nil
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			continue
		case http.StatusBadRequest:
			if bytes.Contains(text, []byte("send it again")) { // it came too slowly, as this machine is busy
				continue
			}
		}
		return fmt.Errorf("status %d: %s\n%s", answer.StatusCode, text, body)
	}
}

// check compares what the server says with the truth.
func (c *estateCrash) check(t *testing.T) {
	t.Helper()
	client := c.client()
	all, err := api.Collect(client.Meetings(t.Context(), "acme.example", api.MeetingFilter{}))
	if err != nil {
		t.Fatal(err)
	}
	var both []estate.Meeting
	for _, cl := range c.clusters {
		var here []api.Meeting
		var got []string
		for i := range all {
			if all[i].Bridge == cl.id {
				here = append(here, all[i])
				got = append(got, told(all[i]).String())
			}
		}
		c.participants(t, cl.Estate, client, here, got)
		slices.Sort(got)
		if d := differences(got, lines(cl.Truth.Meetings)); d != "" {
			t.Errorf("%s: %d meetings, want %d; they differ:\n%s", cl.name, len(got), len(cl.Truth.Meetings), d)
		}
		both = append(both, cl.Truth.Meetings...)
	}
	usage, err := api.Collect(client.ConferenceUsage(t.Context(), "acme.example", time.Time{}, time.Time{}))
	if err != nil {
		t.Fatal(err)
	}
	var hours []string
	for _, u := range usage {
		if u.PeakSixths > 0 {
			hours = append(hours, estate.Hour{At: u.Hour.Unix(), Tag: u.Tag, Sixths: int(u.PeakSixths), PeakAt: u.PeakAt.Unix(), Meetings: int(u.Meetings)}.String())
		}
	}
	slices.Sort(hours)
	if d := differences(hours, lines(estate.Hours(both))); d != "" {
		t.Errorf("hours differ:\n%s", d)
	}
	bridges, err := api.Collect(client.Bridges(t.Context(), "acme.example"))
	if err != nil || len(bridges) != len(c.clusters) {
		t.Errorf("got %+v, %v", bridges, err)
	}
	for _, b := range bridges {
		e := c.clusters[0].Estate
		if b.ID == c.clusters[1].id {
			e = c.clusters[1].Estate
		}
		if b.Records != e.Truth.Records || b.Missing != e.Truth.Lost || b.Conflicts != 0 || b.Refused != 0 {
			t.Errorf("got %+v; want %d records, %d missing and no conflicts", b, e.Truth.Records, e.Truth.Lost)
		}
	}
}

// participants compares who took part in some of the meetings.
func (c *estateCrash) participants(t *testing.T, e *estate.Estate, client *api.Client, all []api.Meeting, got []string) {
	t.Helper()
	want := map[string]estate.Meeting{}
	for _, m := range e.Truth.Meetings {
		want[m.String()] = m
	}
	for i := 0; i < len(all); i += len(all)/200 + 1 {
		truth, known := want[got[i]]
		if !known {
			continue // reported
		}
		m, err := client.Meeting(t.Context(), "acme.example", all[i].ID)
		if err != nil {
			t.Fatal(err)
		}
		if found := estate.Sorted(told(m).Participants); !slices.Equal(found, truth.Participants) {
			t.Errorf("%s:\ngot  %v\nwant %v", got[i], found, truth.Participants)
		}
	}
}
