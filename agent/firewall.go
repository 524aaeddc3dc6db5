package agent

import (
	"context"
	"fmt"
	"net"
)

// Opening is one thing that a firewall between the product and its authority must let pass. Its JSON form is a contract.
type Opening struct {
	// Direction is out, from this host, or in, to it.
	Direction string `json:"direction"`
	// Host is the other side of an opening outward, and who may come for one inward.
	Host     string `json:"host"`
	Port     string `json:"port"`
	Protocol string `json:"protocol"` // TCP or UDP
	Purpose  string `json:"purpose"`
}

// Firewall lists what a firewall must let pass so that the product reaches its authority with the transport that is set.
func (a *Agent) Firewall(ctx context.Context) ([]Opening, error) {
	st, _, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	if err := st.initialized(); err != nil {
		return nil, err
	}
	w, err := st.way()
	if err != nil {
		return nil, err
	}
	to, purpose := w.authority, "registration, reports and renewals"
	if w.proxy != nil {
		to, purpose = w.proxy, "the proxy, which carries registration, reports and renewals to "+hostPort(w.authority)
	}
	host, port, err := net.SplitHostPort(hostPort(to))
	if err != nil {
		return nil, fmt.Errorf("read the kept address: %w", err)
	}
	all := []Opening{{Direction: "out", Host: host, Port: port, Protocol: "TCP", Purpose: purpose}}
	if net.ParseIP(host) == nil && !isLoopback(host) {
		for _, protocol := range []string{"UDP", "TCP"} {
			all = append(all, Opening{Direction: "out", Host: "the name servers of this host", Port: "53", Protocol: protocol, Purpose: "the address of " + host})
		}
	}
	return all, nil
}
