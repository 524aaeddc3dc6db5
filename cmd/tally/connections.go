package main

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
)

const (
	maxConnections = 8192 // open at once
	otherFiles     = 256  // file descriptors that are kept for the database and the rest
	leastRoom      = 64   // connections, however few descriptors there are
)

// connections keeps the number of open connections bounded without ever refusing a new one: when there are too many, those that
// have been silent for longest make room, first of the address that has the most. Who holds thousands of idle or dripping
// connections loses them to whoever has something to say.
type connections struct {
	most int
	log  *slog.Logger

	mu    sync.Mutex // guards what follows
	turn  int64      // grows with every change of a state
	all   map[net.Conn]*connection
	count map[string]int // by address
}

type connection struct {
	conn    net.Conn
	address string
	turn    int64 // of its last change
	idle    bool  // no request has begun
}

// newConnections makes the bound for this process: fewer than the system allows it to have open files.
func newConnections(log *slog.Logger) *connections {
	c := &connections{most: maxConnections, log: log, all: map[net.Conn]*connection{}, count: map[string]int{}}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		log.Warn("the limit of open files is not known", "error", err)
		return c
	}
	if room := int(min(files.Cur, 1<<30)) - otherFiles; room < c.most {
		c.most = max(room, leastRoom)
		log.Warn("this process may have few open files, so old connections make room for new ones sooner; raise the limit with LimitNOFILE= or ulimit -n",
			"files", files.Cur, "connections", c.most)
	}
	return c
}

// state is the ConnState of the http.Server.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	c.turn++
	known := c.all[conn]
	var leave []net.Conn
	switch state {
	case http.StateNew:
		address, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		c.all[conn] = &connection{conn, address, c.turn, true}
		c.count[address]++
		if len(c.all) > c.most {
			leave = c.oldest(len(c.all) - c.most + c.most/32)
		}
	case http.StateActive, http.StateIdle:
		if known != nil {
			known.turn, known.idle = c.turn, state == http.StateIdle
		}
	case http.StateClosed, http.StateHijacked:
		if known != nil {
			c.forget(known)
		}
	}
	c.mu.Unlock()
	for _, old := range leave {
		_ = old.Close() // its request fails, if it had one
	}
	if len(leave) > 0 {
		c.log.Debug("connections made room for new ones", "closed", len(leave))
	}
}

func (c *connections) forget(k *connection) {
	delete(c.all, k.conn)
	if c.count[k.address]--; c.count[k.address] == 0 {
		delete(c.count, k.address)
	}
}

// oldest takes out the connections that are to leave: of addresses that have many, idle ones, silent ones.
func (c *connections) oldest(n int) []net.Conn {
	all := make([]*connection, 0, len(c.all))
	for _, k := range c.all {
		if k.turn != c.turn { // not the new one
			all = append(all, k)
		}
	}
	many := func(k *connection) int { return c.count[k.address] / (c.most/8 + 1) }
	slices.SortFunc(all, func(a, b *connection) int {
		if by := cmp.Compare(many(b), many(a)); by != 0 {
			return by
		}
		if a.idle != b.idle {
			if a.idle {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.turn, b.turn)
	})
	out := make([]net.Conn, 0, n)
	for _, k := range all[:min(n, len(all))] {
		c.forget(k)
		raw := k.conn
		if secure, ok := raw.(*tls.Conn); ok {
			raw = secure.NetConn() // without a farewell, which could block
		}
		out = append(out, raw)
	}
	return out
}
