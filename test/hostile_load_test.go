package test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/test/play"
)

// The load of TestHostileLoad, which stands for an hour of it: what is bounded in a second is bounded in an hour.
const (
	idleConnections = 5000
	slowConnections = 200  // half with headers, half with bodies that never end
	garbagePosts    = 3000 // and no more, as fast as the answers come
	goodPosts       = 1500 // in quiet and again under load
	floor           = 40 * time.Millisecond
	memoryLimit     = 450 << 20
)

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

	quiet := goodLoad(t, url, bridge)
	ctx, calm := context.WithCancel(t.Context())
	var crowd sync.WaitGroup
	address := strings.TrimPrefix(d.srv.URL, "http://")
	opened := make(chan bool, idleConnections+slowConnections)
	crowd.Go(func() { // idle ones, a quarter of them after a first request
		for i := range idleConnections {
			hold(ctx, &crowd, address, opened, i%4 == 0, "")
		}
	})
	crowd.Go(func() {
		for i := range slowConnections {
			head := "POST " + url[len(d.srv.URL):] + " HTTP/1.1\r\nHost: tally\r\n"
			if i%2 == 0 {
				head += "Content-Length: 900000\r\n\r\n<?xml version=\"1.0\"?><records session=\""
			}
			hold(ctx, &crowd, address, opened, false, head)
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
				for n := next.Add(1); n <= garbagePosts && ctx.Err() == nil; n = next.Add(1) {
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
	loaded := goodLoad(t, url, bridge)
	memory := d.srv.Memory()
	calm()
	crowd.Wait()

	t.Logf("p99 of good posts: %s in quiet, %s with %d idle and %d dripping connections and %d refused posts; %d MiB of memory at most",
		quiet, loaded, idleConnections, slowConnections, refused.Load(), memory>>20)
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

// hold opens a connection, says a little, and keeps it until ctx ends or the server hangs up; then it is opened again, unless it
// idles.
func hold(ctx context.Context, crowd *sync.WaitGroup, address string, opened chan<- bool, first bool, head string) {
	conn, err := net.Dial("tcp", address)
	opened <- err == nil
	if err != nil {
		return
	}
	if first {
		_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: tally\r\n\r\n")
	}
	crowd.Go(func() {
		defer conn.Close()
		over := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer over()
		if head != "" {
			for _, c := range []byte(head) {
				if _, err := conn.Write([]byte{c}); err != nil {
					return
				}
			}
		}
		_, _ = io.Copy(io.Discard, bufio.NewReader(conn)) // until one of the two ends it
	})
}

// goodLoad posts like a call bridge, over a few connections one after the other, and returns the 99th of a hundred times.
func goodLoad(t *testing.T, url string, bridge *play.Bridge) time.Duration {
	t.Helper()
	const connections = 4
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	var mu sync.Mutex
	var took []time.Duration
	var posters sync.WaitGroup
	for range connections {
		posters.Go(func() {
			for range goodPosts / connections {
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
	slices.Sort(took)
	return took[len(took)*99/100]
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
