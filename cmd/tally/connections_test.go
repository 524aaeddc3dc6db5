package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
)

// far is a connection from an address, that remembers whether it was closed.
type far struct {
	net.Conn
	address string
	closed  bool
}

func (f *far) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(f.address), Port: 1}
}

func (f *far) Close() error { f.closed = true; return nil }

// TestConnectionsMakeRoom: who holds many connections loses the silent ones, others keep theirs, and every new one is taken.
func TestConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	c := newConnections(slog.New(slog.DiscardHandler))
	c.most = 100
	good := &far{address: "192.0.2.1"}
	c.state(good, http.StateNew)
	c.state(good, http.StateIdle)
	var crowd []*far
	for i := range 500 {
		f := &far{address: "198.51.100.7"}
		crowd = append(crowd, f)
		c.state(f, http.StateNew)
		if i%2 == 0 {
			c.state(f, http.StateActive)
		}
		if len(c.all) > c.most {
			t.Fatalf("%d connections are open, at most %d are allowed", len(c.all), c.most)
		}
		if f.closed {
			t.Fatal("a new connection was closed")
		}
	}
	open := 0
	for _, f := range crowd {
		if f.closed {
			c.state(f, http.StateClosed) // the server notices
		} else {
			open++
		}
	}
	if good.closed || open != len(c.all)-1 || open < 90 {
		t.Errorf("the good one is closed: %t; %d of the crowd are open, and %d are counted in all", good.closed, open, len(c.all))
	}
	var many []*far
	for i := range 200 { // from everywhere: the oldest leave
		f := &far{address: fmt.Sprintf("203.0.113.%d", i)}
		many = append(many, f)
		c.state(f, http.StateNew)
	}
	if !crowd[499].closed || many[199].closed || !many[0].closed {
		t.Error("the newest were not kept")
	}
}
