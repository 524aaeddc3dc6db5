package test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/test/play"
)

// The load of TestHostileLoad. By itself it is of seconds; TALLY_TEST_HOSTILE=20m makes it as long as that.
const (
	idleConnections = 5000
	slowConnections = 200                   // half with headers, half with bodies that never end
	garbagePosts    = 3000                  // and no more, as fast as the answers come; without end where a length is set
	goodPosts       = 1500                  // in quiet and again under load
	goodEvery       = 50 * time.Millisecond // by each connection, where a length is set: a busy call bridge
	floor           = 40 * time.Millisecond
	memoryLimit     = 450 << 20
)

// howLong is the length that TALLY_TEST_HOSTILE gives, 0 for none.
func howLong(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("TALLY_TEST_HOSTILE")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("TALLY_TEST_HOSTILE is %q, want a length such as 20m", text)
	}
	return d
}

// TestHostileLoad: while thousands of connections idle, others drip and a bridge sends garbage as fast as it can, the posts of a
// good bridge take at most twice as long as in quiet, or a floor that stands for the machine; memory stays below a limit; and
// everything that was acknowledged counts, and nothing else.
func TestHostileLoad(t *testing.T) {
	d := newDesk(t, filepath.Join(t.TempDir(), "tally.db"))
	d.json(tally(), "account", "create", "acme.example")
	d.run(0, tally(), "conference", "enable")
	url, _ := d.json(tally(), "conference", "bridge", "add", "good")["url"].(string)
	bad, _ := d.json(tally(), "conference", "bridge", "add", "bad")["url"].(string)
	bridge := play.NewBridge(1, time.Now().Add(-24*time.Hour))
	length, every, most := howLong(t), time.Duration(0), int64(garbagePosts)
	if length > 0 {
		every, most = goodEvery, math.MaxInt64
	}

	twin := calmTwin(t, length)
	quiet := percentile(goodLoad(t, url, bridge, every))
	ctx, calm := context.WithCancel(t.Context())
	var crowd sync.WaitGroup
	address := strings.TrimPrefix(d.srv.URL, "http://")
	opened := make(chan bool, idleConnections+slowConnections)
	crowd.Go(func() { // idle ones, a quarter of them after a first request
		for i := range idleConnections {
			hold(ctx, &crowd, address, opened, length > 0, i%4 == 0, "")
		}
	})
	crowd.Go(func() {
		for i := range slowConnections {
			head := "POST " + url[len(d.srv.URL):] + " HTTP/1.1\r\nHost: tally\r\n"
			if i%2 == 0 {
				head += "Content-Length: 900000\r\n\r\n<?xml version=\"1.0\"?><records session=\""
			}
			hold(ctx, &crowd, address, opened, length > 0, false, head)
		}
	})
	for range idleConnections + slowConnections {
		<-opened
	}
	var refused atomic.Int64
	garbage := [][]byte{
		[]byte(`<!DOCTYPE r [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><records session="x">&b;</records>`),
		[]byte(strings.Repeat("<a>", 100_000)),
		[]byte(`<records session="x"><record type="callStart" time="2026-03-02T08:00:00Z" recordIndex="1" correlatorIndex="0"><call id="` +
			strings.Repeat("n", 1<<20-200) + `"/></record></records>`),
		[]byte(`{"records":[]}`), []byte(twoRoots),
	}
	crowd.Go(func() {
		var posters sync.WaitGroup
		var next atomic.Int64
		for range 16 {
			posters.Go(func() {
				for n := next.Add(1); n <= most && ctx.Err() == nil; n = next.Add(1) {
					_, status, err := send(ctx, bad, garbage[n%int64(len(garbage))])
					if err == nil && status == http.StatusBadRequest {
						refused.Add(1)
					} else if err == nil && status == http.StatusOK {
						t.Errorf("garbage was taken: %.80s", garbage[n%int64(len(garbage))])
					}
				}
			})
		}
		posters.Wait()
	})
	began, all, worst := time.Now(), []time.Duration(nil), time.Duration(0)
	for rounds := 0; rounds == 0 || time.Since(began) < length; rounds++ {
		beside := twin.load(t, every)
		took := goodLoad(t, url, bridge, every)
		beside()
		if p99 := percentile(took); p99 > worst {
			worst = p99
		}
		all = append(all, took...)
		if rounds%10 == 9 {
			t.Logf("after %s: %d good posts, %d refused, %d MiB at most", time.Since(began).Round(time.Second), len(all), refused.Load(), d.srv.Memory()>>20)
		}
	}
	loaded, took := percentile(all), time.Since(began)
	memory := d.srv.Memory()
	calm()
	crowd.Wait()

	t.Logf("p99 of good posts: %s in quiet, %s of %d in %s (%s in the worst round of %d) with %d idle and %d dripping connections and %d refused posts; %d MiB of memory at most",
		quiet, loaded, len(all), took.Round(time.Second), worst, goodPosts, idleConnections, slowConnections, refused.Load(), memory>>20)
	if twin != nil { // what the machine gave at the same time, to a server that nobody attacks
		calm := percentile(twin.took)
		t.Logf("p99 of the same posts to another server beside it, at the same time: %s", calm)
		quiet = max(quiet, calm)
	}
	if limit := max(2*quiet, floor); loaded > limit {
		t.Errorf("p99 of good posts is %s under load, at most %s are allowed", loaded, limit)
	}
	if memory > memoryLimit {
		t.Errorf("the server took %d MiB, at most %d are allowed", memory>>20, int64(memoryLimit)>>20)
	}
	if refused.Load() == 0 {
		t.Error("no garbage was refused, so nothing was tested")
	}
	for _, b := range d.items(tally(), "conference", "bridge", "list") {
		switch b["name"] {
		case "good":
			if b["records"] != float64(bridge.Next()) || b["conflicts"] != 0.0 {
				t.Errorf("got %v, want all %d records of the good bridge", b, bridge.Next())
			}
		case "bad":
			if b["records"] != 0.0 || b["refused"].(float64) > 100 {
				t.Errorf("got %v, want nothing counted of the bad bridge, and at most 100 bodies kept", b)
			}
		}
	}
}

// twin is a server like the one that is attacked, with a good call bridge of its own. In a long test the machine is not as quiet all
// the time as it was at first; what it gives to the twin at the same time tells that from what the attack does.
type twin struct {
	url    string
	bridge *play.Bridge
	took   []time.Duration
}

// calmTwin starts one for a long test.
func calmTwin(t *testing.T, length time.Duration) *twin {
	t.Helper()
	if length == 0 {
		return nil
	}
	d := newDesk(t, filepath.Join(t.TempDir(), "twin.db"))
	d.json(tally(), "account", "create", "acme.example")
	d.run(0, tally(), "conference", "enable")
	url, _ := d.json(tally(), "conference", "bridge", "add", "good")["url"].(string)
	return &twin{url: url, bridge: play.NewBridge(2, time.Now().Add(-24*time.Hour))}
}

// load posts a round to the twin; what it returns waits for its end.
func (w *twin) load(t *testing.T, every time.Duration) (wait func()) {
	t.Helper()
	if w == nil {
		return func() {}
	}
	var round sync.WaitGroup
	round.Go(func() { w.took = append(w.took, goodLoad(t, w.url, w.bridge, every)...) })
	return round.Wait
}

// hold opens a connection, says a little, and keeps it until ctx ends or the server hangs up; then it is opened again, if it is to
// last.
func hold(ctx context.Context, crowd *sync.WaitGroup, address string, opened chan<- bool, lasts, first bool, head string) {
	conn, err := net.Dial("tcp", address)
	opened <- err == nil
	if err != nil {
		return
	}
	crowd.Go(func() {
		for {
			if conn != nil {
				linger(ctx, conn, first, head)
			}
			if !lasts || ctx.Err() != nil {
				return
			}
			again := time.NewTimer(time.Second) // as fast as 5,000 idlers can without being the load themselves
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
			conn, _ = (&net.Dialer{}).DialContext(ctx, "tcp", address) // nil where the server takes none now
		}
	})
}

// linger says a little and waits until one side ends the connection.
func linger(ctx context.Context, conn net.Conn, first bool, head string) {
	defer conn.Close()
	over := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer over()
	if first {
		_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: tally\r\n\r\n")
	}
	for _, c := range []byte(head) {
		if _, err := conn.Write([]byte{c}); err != nil {
			return
		}
	}
	_, _ = io.Copy(io.Discard, bufio.NewReader(conn)) // until one of the two ends it
}

// percentile is the 99th of a hundred.
func percentile(took []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[len(sorted)*99/100]
}

// goodLoad posts like a call bridge, over a few connections one after the other or at a pace, and returns the times it took.
func goodLoad(t *testing.T, url string, bridge *play.Bridge, every time.Duration) []time.Duration {
	t.Helper()
	const connections = 4
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	var mu sync.Mutex
	var took []time.Duration
	var posters sync.WaitGroup
	for range connections {
		posters.Go(func() {
			var pace <-chan time.Time
			if every > 0 {
				ticker := time.NewTicker(every)
				defer ticker.Stop()
				pace = ticker.C
			}
			for range goodPosts / connections {
				if pace != nil {
					<-pace
				}
				mu.Lock()
				body := bridge.Post(10)
				mu.Unlock()
				began := time.Now()
				if err := post(client, url, body); err != nil {
					t.Errorf("a good post: %v", err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	posters.Wait()
	if len(took) == 0 {
		t.Fatal("no good post was taken")
	}
	return took
}

// post sends a body until it is taken, at most three times, as a call bridge does.
func post(client *http.Client, url string, body []byte) error {
	var problem error
	for range 3 {
		r, err := client.Post(url, "text/xml", bytes.NewReader(body))
		if err != nil {
			problem = err
			continue
		}
		text, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if r.StatusCode == http.StatusOK {
			return nil
		}
		problem = fmt.Errorf("status %d: %s", r.StatusCode, text)
	}
	return problem
}
