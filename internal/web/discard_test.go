package web

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A client that writes all before it reads must find the refusal, not a broken connection.
func TestTooLargeIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("acme.example")
	server := httptest.NewServer(w.face)
	t.Cleanup(server.Close)
	body := bytes.Repeat([]byte("x"), 5<<20)
	for _, path := range []string{"/api/v1/accounts", "/api/v1/accounts/acme.example/orders", "/machine/v1/register", "/cdr/somebody"} {
		for _, length := range []string{fmt.Sprintf("Content-Length: %d", len(body)), "Transfer-Encoding: chunked"} {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			head := "POST " + path + " HTTP/1.1\r\nHost: tally\r\nAuthorization: Bearer " + w.key + "\r\nContent-Type: application/json\r\n" + length + "\r\n\r\n"
			sent := append([]byte(head), body...)
			if length[0] == 'T' {
				sent = fmt.Appendf([]byte(head), "%x\r\n%s\r\n0\r\n\r\n", len(body), body)
			}
			if _, err := conn.Write(sent); err != nil {
				t.Errorf("%s, %s: write: %v", path, length, err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("%s, %s: read: %v", path, length, err)
			} else if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || !resp.Close || len(text) == 0 {
				t.Errorf("%s, %s: got %d %s, closed %v, %v; want 413 and the end", path, length, resp.StatusCode, text, resp.Close, err)
			}
			_ = conn.Close()
		}
	}
}

// Who waits for leave to send does not get it.
func TestTooLargeIsNotAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(w.face)
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /machine/v1/register HTTP/1.1\r\nHost: tally\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("got %v, %v, want 413 at once", resp, err)
	}
	_ = resp.Body.Close()
}
