package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/api"
)

type enableCmd struct {
	vaFlag
}

// Run registers the conference engine in a virtual account.
func (c enableCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	done, err := r.EnableConference(ctx, account, c.VA)
	if err != nil {
		return err
	}
	return s.say(done, "meetings take licenses of %s; add a call bridge with `tally conference bridge add NAME`", done.VirtualAccount)
}

type bridgeAddCmd struct {
	Name       string   `arg:"" help:"Name of the call bridge or cluster."`
	CallBridge []string `name:"callbridge" help:"GUID of a call bridge that may post; may repeat; any when left out." placeholder:"GUID"`
}

// Run makes a receiver and prints its address, once.
func (c bridgeAddCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	b, err := r.CreateBridge(ctx, account, api.NewBridge{Name: c.Name, CallBridges: c.CallBridge})
	if err != nil {
		return err
	}
	return s.print(b, func(w io.Writer) {
		fmt.Fprintln(w, b.URL)
		fmt.Fprintln(s.stderr, "Type this address into the call bridge as the receiver of its call-detail records. It is shown once; keep it secret.")
	})
}

// callBridges lists the call bridges of a bridge and says which are in quarantine.
func callBridges(b api.Bridge) string {
	all := slices.Clone(b.CallBridges)
	for i, g := range all {
		if slices.Contains(b.Quarantined, g) {
			all[i] += " (quarantined)"
		}
	}
	if slices.Contains(b.Quarantined, "") {
		all = append(all, "without a name (quarantined)")
	}
	return strings.Join(all, " ")
}

type bridgeListCmd struct{}

// Run lists receivers.
func (bridgeListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "bridges", r.Bridges(ctx, account))
	if err != nil {
		return err
	}
	return printList(s, all, "there is no receiver; make one with `tally conference bridge add NAME`", "id | name | call bridges | last post | posts | records | repeats | conflicts | missing | refused",
		func(b api.Bridge) []any {
			return []any{b.ID, b.Name, callBridges(b), b.LastPostAt, b.Posts, b.Records, b.Repeats, b.Conflicts, b.Missing, b.Refused}
		})
}
