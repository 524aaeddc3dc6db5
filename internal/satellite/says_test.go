package satellite_test

import (
	"testing"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
)

// TestNameOfTheAuthority: a satellite on the authority's host is told to take another name, and is not told so any more when it has
// one: nobody asked for the name of the machine.
func TestNameOfTheAuthority(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world, address string) {
		_, token := w.invite("Plant 7")
		plant := w.join(token, address)
		for name, c := range map[string]struct {
			hosts   []string
			machine string
			found   bool
		}{
			"no other name":  {[]string{"authority.example", "localhost"}, "authority.example", true},
			"one of its own": {[]string{"plant.example", "authority.example", "localhost"}, "authority.example", false},
			"asked for":      {[]string{"authority.example", "plant.example", "localhost"}, "", true},
		} {
			plant.Sync = satellite.New(satellite.Options{Authority: plant.Authority, Now: w.clock.Now, Hosts: c.hosts, Machine: c.machine, Version: "test"})
			out := w.sync(plant)
			if found := len(out.Findings) == 1 && out.Findings[0].Code == license.FactSyncHost; found != c.found || !found && len(out.Findings) > 0 {
				t.Errorf("%s: the findings are %+v", name, out.Findings)
			}
		}
	})
}
