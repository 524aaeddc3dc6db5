package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
)

// serverCertificate is the certificate of this server from the own root. It is made anew in the handshake that finds two
// thirds of its life gone, or another issuing certificate in force.
type serverCertificate struct {
	keys  *trust.Keys
	names []string
	now   func() time.Time

	mu      sync.Mutex // guards what follows
	current *tls.Certificate
	renewAt time.Time
}

// get is made for tls.Config.GetCertificate.
func (c *serverCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.current != nil && now.Before(c.renewAt) && bytes.Equal(c.current.Certificate[1], c.keys.SignerChain()[1]) {
		return c.current, nil
	}
	made, err := c.keys.ServerCertificate(c.names, now)
	if err != nil {
		return nil, fmt.Errorf("make the server certificate: %w", err)
	}
	leaf := made.Leaf
	c.current, c.renewAt = &made, leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore)*2/3)
	return c.current, nil
}

// machineName is the host name as one that nobody asked for; empty where it was configured.
func machineName(configured []string, hostname string) string {
	if slices.Contains(configured, hostname) {
		return ""
	}
	return hostname
}

// serverNames are the names that a server certificate is valid for.
func serverNames(configured []string, hostname string) []string {
	names := slices.Clone(configured)
	for _, name := range []string{hostname, "localhost", "127.0.0.1", "::1"} {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
