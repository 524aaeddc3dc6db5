package main

import (
	"context"
	"fmt"
	"io"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

type satelliteCreateCmd struct {
	Name   string   `arg:"" help:"Name of the satellite."`
	VA     []string `name:"va" short:"V" help:"Virtual account that it gets, without products and tokens; may repeat. None makes one by its name." placeholder:"VA"`
	Days   int      `help:"How long its token is valid, 1 to 365." default:"30"`
	Output string   `short:"o" help:"Write the token to this file, readable by its owner only, and do not print it." placeholder:"FILE"`
}

// Run makes a satellite and prints its token, once.
func (c satelliteCreateCmd) Run(ctx context.Context, s *shell) error {
	if err := checkDays(c.Days); err != nil {
		return err
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	made, err := r.CreateSatellite(ctx, account, api.NewSatellite{Name: c.Name, VirtualAccounts: c.VA, Days: c.Days})
	if err != nil {
		return err
	}
	return s.token(made, c.Output)
}

// token hands out the one-time token of a satellite.
func (s *shell) token(made api.Satellite, output string) error {
	if output != "" {
		if err := trust.WriteFile(output, []byte(made.Token+"\n"), 0o600); err != nil {
			return fmt.Errorf("the token was made and cannot be written; make another with `tally satellite invite`: %w", err)
		}
		made.Token = ""
	}
	return s.print(made, func(w io.Writer) {
		if made.Token != "" {
			fmt.Fprintln(w, made.Token)
		}
		fmt.Fprintf(s.stderr, "Satellite %s (%s): join it with `tally sync join` and this token. It works once.\n", cellText(made.Name), made.ID)
	})
}

type satelliteInviteCmd struct {
	Name   string `arg:"" help:"Satellite by name or id."`
	Days   int    `help:"How long the token is valid, 1 to 365." default:"30"`
	Output string `short:"o" help:"Write the token to this file, readable by its owner only, and do not print it." placeholder:"FILE"`
}

// Run makes a new token for a satellite that lost its database or keys.
func (c satelliteInviteCmd) Run(ctx context.Context, s *shell) error {
	if err := checkDays(c.Days); err != nil {
		return err
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	made, err := r.InviteSatellite(ctx, account, c.Name, c.Days)
	if err != nil {
		return err
	}
	return s.token(made, c.Output)
}

type satelliteListCmd struct{}

// Run lists satellites.
func (satelliteListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "satellites", r.Satellites(ctx, account))
	if err != nil {
		return err
	}
	return printList(s, all, "there is no satellite; make one with `tally satellite create`", "id | name | state | virtual accounts | products | consigned | reserved | in transit | asked back | synchronized | by",
		func(v api.Satellite) []any {
			return []any{v.ID, v.Name, satelliteState(v), len(v.VirtualAccounts), v.Instances, v.Consigned, v.Reserved, v.InTransit, v.Asked, v.SyncedAt, v.SyncedBy}
		})
}

func satelliteState(v api.Satellite) string {
	if v.Leaving {
		return v.State + ", leaving"
	}
	return v.State
}

type satelliteShowCmd struct {
	Name string `arg:"" help:"Satellite by name or id."`
}

// Run shows one satellite.
func (c satelliteShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	v, err := r.Satellite(ctx, account, c.Name)
	if err != nil {
		return err
	}
	return s.print(v, func(w io.Writer) {
		for _, line := range []struct {
			name  string
			value any
		}{
			{"satellite", v.Name}, {"id", v.ID}, {"state", satelliteState(v)}, {"virtual accounts", join(v.VirtualAccounts)}, {"products", v.Instances},
			{"licenses it has", v.Consigned}, {"of them reserved", v.Reserved}, {"on their way", v.InTransit}, {"asked back", v.Asked}, {"server names", join(v.Hosts)}, {"version", v.Program}, {"keys", v.Site},
			{"synchronizes", schedule(v.EverySeconds)}, {"last synchronized", v.SyncedAt}, {"by", v.SyncedBy}, {"file", v.Number}, {"epoch", v.Epoch}, {"joined", v.JoinedAt},
			{"certificate ends", v.IdentityEndsAt}, {"removed", v.RemovedAt},
		} {
			fmt.Fprintf(w, "%-18s %s\n", line.name, cellText(line.value))
		}
		findings(w, v.Findings)
	})
}

func findings(w io.Writer, list []api.Finding) {
	for _, f := range list {
		fmt.Fprintf(w, "! %s\n", cellText(f.Text))
	}
}

func join(list []string) string {
	text := ""
	for i, v := range list {
		if i > 0 {
			text += ", "
		}
		text += v
	}
	return text
}

// schedule words how often a satellite synchronizes.
func schedule(seconds int64) string {
	for name, every := range schedules {
		if seconds > 0 && int64(every.Seconds()) == seconds {
			return name
		}
	}
	if seconds > 0 {
		return fmt.Sprintf("every %d seconds", seconds)
	}
	return "by hand"
}

type satelliteSettleCmd struct {
	Name string `arg:"" help:"Satellite by name or id; the id of one that was removed."`
}

// Run ends the notes on a satellite that somebody has looked at.
func (c satelliteSettleCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	before, err := r.Satellite(ctx, account, c.Name)
	if err != nil {
		return err
	}
	v, err := r.SettleSatellite(ctx, account, before.ID)
	if err != nil {
		return err
	}
	if len(v.Findings) >= len(before.Findings) {
		return s.say(v, "%s (%s): nothing was noted that can be settled, and nothing changed", v.Name, v.ID)
	}
	return s.say(v, "%s (%s): what was noted of its database, its reservations and its removal is settled", v.Name, v.ID)
}

type satelliteAnswerCmd struct {
	File   string `arg:"" help:"File of the satellite; - for standard input."`
	Output string `short:"o" required:"" help:"Where to write the answer." placeholder:"FILE"`
}

// Run answers a file of a satellite.
func (c satelliteAnswerCmd) Run(ctx context.Context, s *shell) error {
	file, err := s.read("file", c.File, satellite.MaxFile)
	if err != nil {
		return err
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	answer, err := r.AnswerSatellite(ctx, account, file)
	if err != nil {
		return err
	}
	if err := trust.WriteFile(c.Output, []byte(answer.File), 0o600); err != nil {
		return err
	}
	if no := answer.Refused; no != nil {
		return s.say(no, "The file was refused: %s\nThe signed refusal is in %s: apply it at the satellite all the same.", no.Message, c.Output)
	}
	next := "apply it at the satellite with `tally sync apply`"
	if h, err := trust.PeekFile(file, satellite.MaxFile); err == nil && h.Kind == wire.KindJoin {
		next = "complete the join on the satellite's host with `tally sync join --answer`"
	}
	return s.say(struct {
		File string `json:"file"`
	}{c.Output}, "the answer is in %s: %s", c.Output, next)
}

type satelliteRemoveCmd struct {
	Name string `arg:"" help:"Satellite by name or id."`
	Lost bool   `help:"Remove it at once, without waiting for it: it will not be heard again."`
	Yes  bool   `help:"Do it without asking." env:"-"`
}

// Run removes a satellite.
func (c satelliteRemoveCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	v, err := r.Satellite(ctx, account, c.Name)
	if err != nil {
		return err
	}
	plan := "Satellite %s (%s) will be asked to give back its %d licenses; its virtual accounts are free when it has. Its products work on."
	if v.Reserved > 0 {
		plan += fmt.Sprintf("\nReservations there hold %d of them, as far as it has said: it is removed when their products have returned these.", v.Reserved)
	}
	if c.Lost {
		plan = "Satellite %s (%s) will be removed at once. Its %d licenses return to its virtual accounts here; if it is still at work, they may be used in two places until it is heard."
		if v.Reserved > 0 {
			plan += fmt.Sprintf("\nProducts with reservations of it hold %d of them, as far as it has said, and nobody will take their return codes.", v.Reserved)
		}
	}
	if err := s.confirm(c.Yes, plan, cellText(v.Name), v.ID, v.Consigned+v.InTransit); err != nil {
		return err
	}
	if v, err = r.RemoveSatellite(ctx, account, v.ID, c.Lost); err != nil {
		return err
	}
	if v.Leaving && v.Reserved > 0 {
		return s.say(v, "satellite %s gives back what is free with its next two synchronizations, and is removed when the %s that reservations hold there came back too", v.Name, counted(v.Reserved, "license", "licenses"))
	}
	if v.Leaving {
		return s.say(v, "satellite %s gives everything back with its next two synchronizations and is then removed", v.Name)
	}
	return s.say(v, "satellite %s is removed", v.Name)
}
