package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

type keysShowCmd struct {
	Config `embed:""`
}

// Run shows which keys are in force.
func (c keysShowCmd) Run(s *shell) error {
	keys, err := c.folder()
	if err != nil {
		return err
	}
	return s.keyState(keys)
}

type keysRotateCmd struct {
	Config `embed:""`
	Yes    bool     `help:"Do it without asking." env:"-"`
	After  []string `help:"At an authority: an issuer that was in force and is lost, because an older copy of the folder was put back; may repeat. Products name it." placeholder:"ISSUER" env:"-"`
}

// Run replaces the issuing key and the message key: at an authority at once, at a satellite with its next synchronization.
func (c keysRotateCmd) Run(s *shell) error {
	keys, err := c.folder()
	if err != nil {
		return err
	}
	site := keys.Site() != ""
	if site && len(c.After) > 0 {
		return usage("join the satellite anew: its authority knows which keys were lost", "--after is for an authority")
	}
	state, err := keys.State()
	if err != nil {
		return err
	}
	if state.Waiting != "" {
		fmt.Fprintf(s.stderr, "No other keys were made: %s waits already, until the next synchronization of each account of this satellite has brought its certificate.\n", state.Waiting)
		return s.keyState(keys)
	}
	plan := "The authority gets another issuing key and another message key below the same root, at once; the old ones are removed."
	if site {
		plan = "The satellite gets another issuing key and another message key. They wait for their certificate, which comes with the next synchronization of each of its accounts; until then the old ones go on, and then they are removed."
	}
	if err := s.confirm(c.Yes, "%s Products take the new ones over at their next contact and need nothing. Keep a copy of the key folder afterwards.", plan); err != nil {
		return err
	}
	unlock, err := lockFile(filepath.Join(c.keys(), ".rotate.lock"), license.Refuse(license.KindRefused, "in-use", "wait until it has ended", "another `tally keys rotate` is at work on %s", c.keys()))
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }() // closes a file that nobody writes
	replace := func() (string, string, error) { return trust.Rotate(c.keys(), c.After, clock()()) }
	if site {
		replace = func() (string, string, error) { return trust.PrepareSite(c.keys()) }
	}
	if _, _, err := replace(); errors.Is(err, trust.ErrRootKeyAway) {
		return license.Refuse(license.KindUnavailable, "root-key-away", "put root.key back into the folder authority-1 for the time that it takes", "%v", err)
	} else if err != nil {
		return err
	}
	if _, err := keys.Refresh(); err != nil {
		return err
	}
	return s.keyState(keys)
}

// folder opens the keys of a server that was started before.
func (c Config) folder() (*trust.Keys, error) {
	keys, err := trust.OpenExisting(c.keys())
	if err != nil {
		return nil, err
	}
	if keys == nil {
		return nil, license.Refuse(license.KindNotFound, "no-keys", "name the key folder of a server with --data or --keys", "there are no keys in %s", c.keys())
	}
	return keys, nil
}

// keyDoc is what a key folder holds.
type keyDoc struct {
	Kind        string    `json:"kind"` // authority or satellite
	Issuer      string    `json:"issuer"`
	Root        string    `json:"root"`
	RootKey     bool      `json:"rootKeyHere"`
	Since       time.Time `json:"since"`
	Ends        time.Time `json:"ends"`
	MessagesEnd time.Time `json:"messagesEnd"`
	Replaced    []string  `json:"replaced"`
	Waiting     string    `json:"waiting,omitempty"`
}

func (s *shell) keyState(keys *trust.Keys) error {
	v, err := keys.State()
	if err != nil {
		return err
	}
	doc := keyDoc{"authority", v.Issuer, v.Root.String(), v.RootKey, v.Since, v.Ends, v.MessagesEnd, append([]string{}, v.Replaced...), v.Waiting}
	if v.Site != "" {
		doc.Kind = "satellite"
	}
	return s.print(doc, func(w io.Writer) {
		rootKey := "in the folder"
		if !doc.RootKey {
			rootKey = "elsewhere"
		}
		waiting := ""
		if doc.Waiting != "" {
			waiting = doc.Waiting + ", for its certificate: synchronize with `tally sync now` or a pair of files"
		}
		for _, line := range []struct {
			name  string
			value any
		}{
			{"keys of", doc.Kind}, {"issuer", doc.Issuer}, {"certified", doc.Since}, {"certificate ends", doc.Ends}, {"messages until", doc.MessagesEnd},
			{"in the place of", join(doc.Replaced)}, {"waiting", waiting}, {"root", doc.Root}, {"root's key", map[bool]string{true: "at its authority", false: rootKey}[v.Site != ""]},
		} {
			fmt.Fprintf(w, "%-18s %s\n", line.name, cellText(line.value))
		}
	})
}

// keysEvery is how often a server looks for keys that another process has put in force.
const keysEvery = 10 * time.Second

// followKeys takes over the keys that `tally keys rotate`, a join or another replica have put in force, and has them kept, until
// ctx ends.
func followKeys(ctx context.Context, keys *trust.Keys, keep func(context.Context) error, log *slog.Logger) {
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	last, kept := "", true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := keys.Refresh()
		switch text := fmt.Sprint(err); {
		case err != nil && text != last:
			log.Warn("the key folder cannot be read; the keys of before stay in force", "error", err)
			last = text
		case changed:
			log.Info("other keys are in force", "site", cmp.Or(keys.Site(), "authority"), "signer", keys.SignerThumbprint())
			last, kept = "", false
		}
		if !kept {
			if err := keep(ctx); err != nil {
				log.Warn("what keys are in force was not kept; it is tried again", "error", err)
			} else {
				kept = true
			}
		}
	}
}
