package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
)

// conn is one HTTP/1.1 connection that costs the measuring side as little as possible: requests are bytes made beforehand,
// of answers only the status and the length are read.
type conn struct {
	raw net.Conn
	in  *bufio.Reader
}

// dialer opens TLS connections to the server under measurement.
type dialer struct {
	address string
	config  *tls.Config
}

func newDialer(d description) (*dialer, error) {
	config, err := trust.RootTLS([]byte(d.RootPEM), time.Now)
	if err != nil {
		return nil, err
	}
	config.ServerName = "127.0.0.1"
	config.NextProtos = []string{"http/1.1"}
	return &dialer{d.Address, config}, nil
}

func (d *dialer) dial() (*conn, error) {
	raw, err := tls.Dial("tcp", d.address, d.config)
	if err != nil {
		return nil, err
	}
	return &conn{raw, bufio.NewReader(raw)}, nil
}

// request renders a POST.
func request(host, path, contentType string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, host, contentType, len(body))
	b.Write(body)
	return b.Bytes()
}

// do sends a request and reads the whole answer. Any status but 200 is an error with the answer's text.
func (c *conn) do(request []byte) ([]byte, error) {
	if _, err := c.raw.Write(request); err != nil {
		return nil, err
	}
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	first := ""
	if !ok {
		first = string(status)
	}
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, errors.New("the answer has no length")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s%s", first, body)
	}
	return body, nil
}

// work is a fixed number of requests for each of some connections.
type work [][][]byte

func (w work) total() int {
	n := 0
	for _, r := range w {
		n += len(r)
	}
	return n
}

// kept runs the work over connections that stay open, one request in flight on each, and returns the time it took.
func (d *dialer) kept(w work) (time.Duration, error) {
	conns := make([]*conn, len(w))
	for i := range conns {
		c, err := d.dial()
		if err != nil {
			return 0, err
		}
		defer c.raw.Close()
		conns[i] = c
	}
	return each(w, func(i int, requests [][]byte) error {
		for _, r := range requests {
			if _, err := conns[i].do(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// settled is kept, until also the meetings of the posts are decided and written: what the server puts off counts as well.
func (d *dialer) settled(w work) (time.Duration, error) {
	took, err := d.kept(w)
	if err != nil {
		return took, err
	}
	last, err := d.kept(work{{request(d.address, settlePath, "text/plain", nil)}})
	return took + last, err
}

// fresh runs the work with a new connection for every request.
func (d *dialer) fresh(w work) (time.Duration, error) {
	return each(w, func(_ int, requests [][]byte) error {
		for _, r := range requests {
			c, err := d.dial()
			if err != nil {
				return err
			}
			_, err = c.do(r)
			_ = c.raw.Close()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func each(w work, fn func(int, [][]byte) error) (time.Duration, error) {
	var wg sync.WaitGroup
	errs := make([]error, len(w))
	start := time.Now()
	for i, requests := range w {
		wg.Go(func() { errs[i] = fn(i, requests) })
	}
	wg.Wait()
	return time.Since(start), errors.Join(errs...)
}

// open sends requests at a fixed rate for as long as there are any, whatever the server does, and returns the latencies from
// the intended start of each. Enough connections stand ready that the client is never the queue.
func (d *dialer) open(ctx context.Context, w work, perSecond float64) ([]time.Duration, error) {
	conns := make([]*conn, len(w))
	for i := range conns {
		c, err := d.dial()
		if err != nil {
			return nil, err
		}
		defer c.raw.Close()
		conns[i] = c
	}
	latencies := make([][]time.Duration, len(w))
	var wg sync.WaitGroup
	errs := make([]error, len(w))
	start := time.Now().Add(10 * time.Millisecond)
	gap := time.Duration(float64(time.Second) / perSecond)
	for i, requests := range w {
		wg.Go(func() {
			for k, r := range requests {
				due := start.Add(time.Duration(k*len(w)+i) * gap)
				if wait := time.Until(due); wait > 0 {
					select {
					case <-time.After(wait):
					case <-ctx.Done():
						return
					}
				}
				if _, err := conns[i].do(r); err != nil {
					errs[i] = err
					return
				}
				latencies[i] = append(latencies[i], time.Since(due))
			}
		})
	}
	wg.Wait()
	var all []time.Duration
	for _, l := range latencies {
		all = append(all, l...)
	}
	return all, errors.Join(errs...)
}
