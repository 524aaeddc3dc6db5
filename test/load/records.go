package main

import "github.com/tallystick/tallystick/test/play"

// posts renders n posts of some records each, spread over the bridges.
func posts(bridges []*play.Bridge, address, path string, n, records int) work {
	w := make(work, len(bridges))
	for i := range n {
		b := i % len(bridges)
		w[b] = append(w[b], request(address, path, "application/xml", bridges[b].Post(records)))
	}
	return w
}
