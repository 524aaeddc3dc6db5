package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/trust"
)

// schedules are the words for how often a satellite synchronizes by itself.
var schedules = map[string]time.Duration{"daily": 24 * time.Hour, "weekly": 7 * 24 * time.Hour, "monthly": 30 * 24 * time.Hour}

type syncJoinCmd struct {
	Config `embed:""`
	Token  string `arg:"" optional:"" help:"File with the token of tally satellite create; - for standard input."`
	Output string `short:"o" help:"Write a file for the authority to answer, in place of the network." placeholder:"FILE" env:"-"`
	Answer string `help:"Complete the join with the authority's answer." placeholder:"FILE" env:"-"`
}

// Run joins a satellite to its authority: over the network, or with a pair of files. It runs on the host.
func (c syncJoinCmd) Run(ctx context.Context, s *shell) error {
	if (c.Token == "") == (c.Answer == "") {
		return usage("tally sync join TOKENFILE --upstream URL, or TOKENFILE -o FILE and later --answer FILE", "either a token or --answer is needed")
	}
	if c.Answer != "" && c.Output != "" {
		return usage("tally sync join TOKENFILE -o FILE writes the request, tally sync join --answer FILE completes", "-o and --answer are two steps")
	}
	if c.Answer != "" {
		file, err := s.read("answer", c.Answer, satellite.MaxFile)
		if err != nil {
			return err
		}
		done, err := joinWith(ctx, c.Config, c.logger(s.stderr), func(j satellite.Joiner) (satellite.Applied, error) { return j.Complete(ctx, file) })
		return s.joined(done, "tally serve", err)
	}
	text, err := s.read("token", c.Token, 4096)
	if err != nil {
		return err
	}
	if c.Output == "" {
		if c.Upstream == "" {
			return usage("name the authority with --upstream URL, or write a file for it with -o FILE", "nothing says how to reach the authority")
		}
		if err := c.checkUpstream(); err != nil {
			return err
		}
		done, err := joinNow(ctx, c.Config, string(text), c.logger(s.stderr))
		return s.joined(done, "tally serve --upstream "+c.Upstream, err)
	}
	_, err = joinWith(ctx, c.Config, c.logger(s.stderr), func(j satellite.Joiner) (satellite.Applied, error) {
		file, err := j.Request(ctx, string(text))
		if err != nil {
			return satellite.Applied{}, err
		}
		return satellite.Applied{}, trust.WriteFile(c.Output, file, 0o600)
	})
	if err != nil {
		return err
	}
	return s.say(struct {
		File string `json:"file"`
	}{c.Output}, "the request is in %s: answer it at the authority with `tally satellite answer`, then complete with `tally sync join --answer`.\nIt holds the token: carry it as you would carry that.", c.Output)
}

func (s *shell) joined(done satellite.Applied, serve string, err error) error {
	if err != nil {
		return err
	}
	out := struct {
		Account   string `json:"account"`
		Arrived   int64  `json:"arrived"`
		GivenBack int64  `json:"givenBack"`
		Old       bool   `json:"old"` // nothing changed
	}{done.Account, done.Arrived, done.GivenBack, done.Old}
	switch {
	case done.Old:
		return s.say(out, "nothing changed: this answer was applied before, and this is a satellite of the account %s. Start it with `%s`.", done.Account, serve)
	case done.GivenBack > 0:
		return s.say(out, "joined: this is now a satellite of the account %s; %s came with the join, of which %d are asked back and go with the next synchronization. Make an administrator with `tally bootstrap` unless there is one, then start it with `%s`.",
			done.Account, counted(done.Arrived, "license", "licenses"), done.GivenBack, serve)
	}
	return s.say(out, "joined: this is now a satellite of the account %s; %s came with the join. Make an administrator with `tally bootstrap` unless there is one, then start it with `%s`.",
		done.Account, counted(done.Arrived, "license", "licenses"), serve)
}

// joinWith opens what a join needs beside a running server or without one.
func joinWith(ctx context.Context, c Config, log *slog.Logger, verb func(satellite.Joiner) (satellite.Applied, error)) (_ satellite.Applied, err error) {
	catalog, err := c.catalog()
	if err != nil {
		return satellite.Applied{}, err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return satellite.Applied{}, fmt.Errorf("make the data folder: %w", err)
	}
	now := clock()
	db, err := store.Open(ctx, store.Options{URL: c.database(), Now: now, Logger: log})
	if err != nil {
		return satellite.Applied{}, cannotOpen(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	host, err := os.Hostname()
	if err != nil {
		return satellite.Applied{}, fmt.Errorf("ask for the host name: %w", err)
	}
	return verb(satellite.Joiner{Store: db, Keys: c.keys(), Catalog: catalog, Hosts: serverNames(c.Name, host), Machine: machineName(c.Name, host), Version: version, Now: now, Every: c.every()})
}

// joinNow joins over the network.
func joinNow(ctx context.Context, c Config, text string, log *slog.Logger) (satellite.Applied, error) {
	token, err := trust.ParseToken(text)
	if err != nil {
		return satellite.Applied{}, license.Refuse(license.KindInvalid, "token-malformed", "copy the token from `tally satellite create`", "this is no token of a satellite: %v", err)
	}
	return joinWith(ctx, c, log, func(j satellite.Joiner) (satellite.Applied, error) {
		file, err := j.Request(ctx, text)
		if err != nil {
			return satellite.Applied{}, err
		}
		answer, err := newUplink(c.Upstream, token.Root, j.Now).carry(ctx, file)
		if err != nil {
			return satellite.Applied{}, err
		}
		return j.Complete(ctx, answer)
	})
}

type syncNowCmd struct{}

// Run synchronizes over the network.
func (syncNowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	done, err := r.SyncNow(ctx, account)
	if err != nil {
		return err
	}
	return s.applied(done)
}

// applied words what became of an answer.
func (s *shell) applied(done api.SyncApplied) error {
	return s.print(done, func(w io.Writer) {
		switch {
		case done.Removed:
			fmt.Fprintf(w, "The authority has removed this satellite; %s given back. Products work on.\n", counted(done.GivenBack, "license was", "licenses were"))
		case done.Restored:
			fmt.Fprintln(w, "The authority knows more than this database: it was restored or lost. The next file synchronizes everything; make it now.")
		case done.Old:
			fmt.Fprintf(w, "Nothing changed: the answer to file %d, or a newer one, was applied before.\n", done.Number)
		default:
			fmt.Fprintf(w, "Synchronized, file %d: %s arrived, %s given back.\n", done.Number, counted(done.Arrived, "license", "licenses"), counted(done.GivenBack, "license was", "licenses were"))
		}
		findings(w, done.Findings)
	})
}

type syncExportCmd struct {
	Output  string `short:"o" help:"Where to write the file; standard output when left out." placeholder:"FILE"`
	Preview bool   `help:"Show everything that would leave the site, and make no file."`
}

// Run makes the next file for the authority, or shows it.
func (c syncExportCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	var text string
	if c.Preview {
		p, err := r.SyncPreview(ctx, account)
		if err != nil {
			return err
		}
		if c.Output == "" {
			return s.print(p, func(w io.Writer) { _, _ = io.WriteString(w, p.Text) }) // into a buffer, which does not fail
		}
		text = p.Text
	} else {
		f, err := r.ExportSync(ctx, account)
		if err != nil {
			return err
		}
		if c.Output == "" {
			return s.print(f, func(w io.Writer) { _, _ = io.WriteString(w, f.File) }) // into a buffer, which does not fail
		}
		text = f.File
	}
	if err := trust.WriteFile(c.Output, []byte(text), 0o600); err != nil {
		return err
	}
	return s.say(struct {
		File string `json:"file"`
	}{c.Output}, "wrote %s", c.Output)
}

type syncApplyCmd struct {
	File string `arg:"" help:"Answer of the authority; - for standard input."`
}

// Run takes over an answer of the authority.
func (c syncApplyCmd) Run(ctx context.Context, s *shell) error {
	file, err := s.read("file", c.File, satellite.MaxFile)
	if err != nil {
		return err
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	done, err := r.ApplySync(ctx, account, file)
	if err != nil {
		return err
	}
	return s.applied(done)
}

type syncStatusCmd struct{}

// Run shows how the satellite stands with its authority.
func (syncStatusCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	v, err := r.SyncStatus(ctx, account)
	if err != nil {
		return err
	}
	return s.syncStatus(v)
}

func (s *shell) syncStatus(v api.SyncStatus) error {
	every := v.EverySeconds
	if v.Upstream == "" {
		every = 0 // whatever it was before: nothing synchronizes by itself
	}
	often := schedule(every)
	state := v.State
	if v.Removed {
		often = "no more"
	} else if v.Leaving {
		state += ", leaving"
	}
	return s.print(v, func(w io.Writer) {
		for _, line := range []struct {
			name  string
			value any
		}{
			{"satellite", v.Name}, {"id", v.Satellite}, {"state", state}, {"authority", cmp.Or(v.Upstream, "by files")}, {"root", v.Root}, {"synchronizes", often},
			{"last synchronized", v.SyncedAt}, {"by", v.SyncedBy}, {"last file", v.Number}, {"made", v.ExportedAt}, {"answered up to", v.Answered}, {"epoch", v.Epoch},
			{"joined", v.JoinedAt}, {"last attempt", v.TriedAt}, {"trouble", v.Trouble}, {"certificate ends", v.IdentityEndsAt}, {"kept back", join(v.Privacy)},
		} {
			fmt.Fprintf(w, "%-18s %s\n", line.name, cellText(line.value))
		}
		findings(w, v.Findings)
	})
}

type syncPrivacyCmd struct {
	Keep []string `arg:"" help:"What does not leave the site: hostnames, addresses, or none."`
}

// Run says what does not leave the site.
func (c syncPrivacyCmd) Run(ctx context.Context, s *shell) error {
	keep := c.Keep
	if slices.Contains(keep, "none") {
		if len(keep) > 1 {
			return usage("tally sync privacy none, or name what is to stay", "none and %s contradict each other", join(slices.DeleteFunc(keep, func(k string) bool { return k == "none" })))
		}
		keep = []string{}
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	v, err := r.SetSync(ctx, account, api.SyncSettings{Privacy: keep})
	if err != nil {
		return err
	}
	return s.syncStatus(v)
}
