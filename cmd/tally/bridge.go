package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/conference"
)

type bridgeShowCmd struct {
	Name string `arg:"" help:"Bridge, by name or id."`
}

// bridgeShown is the document of a bridge with its runs.
type bridgeShown struct {
	api.BridgeDetail
	Sessions []api.BridgeSession `json:"sessions"`
}

// Run shows what came of a bridge: its call bridges, their runs, and its receiver addresses.
func (c bridgeShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	b, err := r.Bridge(ctx, account, c.Name)
	if err != nil {
		return err
	}
	sessions, err := gather(s, "sessions", r.BridgeSessions(ctx, account, b.ID))
	if err != nil {
		return err
	}
	return s.print(bridgeShown{b, append([]api.BridgeSession{}, sessions...)}, func(w io.Writer) {
		fields(w, "Bridge", b.ID, "Name", b.Name, "Made", b.CreatedAt, "Last post", b.LastPostAt, "Posts", b.Posts, "Records", b.Records, "Repeats", b.Repeats,
			"Lost", fmt.Sprintf("%d missing now, %d were announced", b.Missing, b.Announced), "Conflicts", b.Conflicts, "Refused posts", b.Refused)
		fmt.Fprintln(w)
		if len(b.Streams)+len(sessions) == 0 {
			fmt.Fprintln(w, "No record has come yet. The call bridge needs the address that `tally conference bridge add` printed; `bridge rotate` makes a new one.")
			fmt.Fprintln(w)
			writeReceivers(w, b.Receivers)
			return
		}
		t := newTable(w, "call bridge | runs | records | repeats | lost | announced | last record | counts")
		for _, v := range b.Streams {
			t.row(v.CallBridge, v.Sessions, v.Records, v.Repeats, v.Missing, v.Announced, v.LastAt, !v.Quarantined)
		}
		t.end()
		writeQuarantine(w, b)
		fmt.Fprintln(w)
		writeReceivers(w, b.Receivers)
		fmt.Fprintln(w)
		t = newTable(w, "session | call bridge | first record | last record | records | repeats | lost | gaps | over")
		for _, v := range sessions {
			t.row(v.ID, v.CallBridge, v.FirstAt, v.LastAt, v.Records, v.Repeats, v.Missing, v.Gaps, v.Over)
		}
		t.end()
	})
}

type bridgeAllowCmd struct {
	Name string `arg:"" help:"Bridge, by name or id."`
	GUID string `arg:"" help:"The call bridge."`
}

// Run makes the records of a call bridge count.
func (c bridgeAllowCmd) Run(ctx context.Context, s *shell) error {
	return setCallBridge(ctx, s, c.Name, c.GUID, true)
}

type bridgeDenyCmd struct {
	Name string `arg:"" help:"Bridge, by name or id."`
	GUID string `arg:"" help:"The call bridge."`
	Yes  bool   `env:"-" help:"Do not ask."`
}

// Run makes the records of a call bridge count no more.
func (c bridgeDenyCmd) Run(ctx context.Context, s *shell) error {
	if err := s.confirm(c.Yes, "Meetings of %s are taken out of the counts, also those of the past; its records are kept.", cellText(c.GUID)); err != nil {
		return err
	}
	return setCallBridge(ctx, s, c.Name, c.GUID, false)
}

func setCallBridge(ctx context.Context, s *shell, bridge, guid string, counts bool) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	b, err := r.SetCallBridge(ctx, account, bridge, guid, counts)
	if err != nil {
		return err
	}
	return s.print(b, func(w io.Writer) {
		t := newTable(w, "call bridge | records | last record | counts")
		for _, v := range b.Streams {
			t.row(v.CallBridge, v.Records, v.LastAt, !v.Quarantined)
		}
		t.end()
		if b.Changing {
			fmt.Fprintln(s.stderr, "Meetings are being decided anew; `tally conference bridge show` says when all are.")
		}
	})
}

// writeQuarantine says what to do about call bridges that do not count.
func writeQuarantine(w io.Writer, b api.BridgeDetail) {
	if b.Changing {
		fmt.Fprintln(w, "\nA call bridge was allowed or denied; meetings are being decided anew.")
	}
	for _, v := range b.Streams {
		switch {
		case v.Quarantined && v.CallBridge == "":
			fmt.Fprintf(w, "\nRecords without a call bridge's name came to this address. They are kept and do not count, as %q was added for named call bridges.\n", b.Name)
		case v.Quarantined:
			fmt.Fprintf(w, "\nThe call bridge %s is not among those that count for %q. Its records are kept; `tally conference bridge allow` counts them.\n", cellText(v.CallBridge), b.Name)
		case v.CallBridge == "" && len(b.Streams) > 0:
			fmt.Fprintf(w, "\nSome call bridges do not say who they are: their records belong to %q, as they came to its address. Give each such call bridge an address of its own.\n", b.Name)
		}
	}
}

func writeReceivers(w io.Writer, all []api.Receiver) {
	t := newTable(w, "receiver | made | retires | last used | by")
	for _, r := range all {
		var by []string
		for _, u := range r.Used {
			name := u.CallBridge
			if name == "" {
				name = "(unnamed)"
			}
			by = append(by, name+" "+u.At.UTC().Format("2006-01-02 15:04Z"))
		}
		t.row(r.ID, r.CreatedAt, r.RetireAt, r.UsedAt, strings.Join(by, ", "))
	}
	t.end()
}

type bridgeConflictsCmd struct {
	Name string `arg:"" help:"Bridge, by name or id."`
}

// Run lists records that contradict stored ones, with both contents.
func (c bridgeConflictsCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	all, err := gather(s, "conflicts", r.Conflicts(ctx, account, c.Name))
	if err != nil {
		return err
	}
	return s.print(list[api.Conflict]{append([]api.Conflict{}, all...)}, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(s.stderr, "no record contradicts a stored one")
			return
		}
		t := newTable(w, "noted | call bridge | session | correlator | the same | field | stored (counts) | received (kept)")
		for _, k := range all {
			same := "identity"
			if k.What == "recordIndex" { // both count
				same = fmt.Sprintf("recordIndex %d at %s", k.Index, k.Receiver)
			}
			head := []any{k.NotedAt, k.CallBridge, k.Session, k.Correlator, same}
			for _, d := range differingFields(k.Stored, k.Received) {
				t.row(append(head, d[0], d[1], d[2])...)
				head = []any{" ", " ", " ", " ", " "}
			}
			if len(k.Stored) == 0 {
				t.row(append(head, " ", "(its post is no longer kept)", " ")...)
			}
		}
		t.end()
	})
}

// differingFields lists the fields that are not the same in two records: path, first and second value.
func differingFields(a, b []api.Field) (out [][3]string) {
	values := map[string]string{}
	for _, f := range b {
		values[f.Path] = f.Value
	}
	seen := map[string]bool{}
	for _, f := range a {
		seen[f.Path] = true
		if f.Path != "@recordIndex" && values[f.Path] != f.Value {
			out = append(out, [3]string{f.Path, f.Value, values[f.Path]})
		}
	}
	for _, f := range b {
		if !seen[f.Path] && f.Path != "@recordIndex" {
			out = append(out, [3]string{f.Path, "", f.Value})
		}
	}
	return out
}

type bridgeRefusedCmd struct {
	Name string `arg:"" help:"Bridge, by name or id."`
	ID   string `arg:"" optional:"" help:"Id of a refused post: prints what is kept of it."`
}

// Run lists posts that were not taken, or prints one.
func (c bridgeRefusedCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	if c.ID != "" {
		body, err := r.RefusedBody(ctx, account, c.Name, c.ID)
		if err != nil {
			return err
		}
		return s.print(body, func(w io.Writer) {
			fmt.Fprintf(s.stderr, "%s: %s, %s\n", cellText(body.At), body.Reason, counted(body.Size, "byte", "bytes"))
			fmt.Fprintln(w, strings.Map(printableLine, body.Body))
		})
	}
	all, err := gather(s, "posts", r.RefusedBodies(ctx, account, c.Name))
	if err != nil {
		return err
	}
	return printList(s, all, "no post was refused", "id | came last | bytes | reason | begins with",
		func(b api.RefusedBody) []any { return []any{b.ID, b.At, b.Size, b.Reason, firstOf(b.Body, 60)} })
}

// printableLine is printable, and keeps line ends and tabs.
func printableLine(r rune) rune {
	if r == '\n' || r == '\t' {
		return r
	}
	return printable(r)
}

// firstOf is the beginning of a text.
func firstOf(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

type bridgeRotateCmd struct {
	Name    string `arg:"" help:"Bridge, by name or id."`
	Overlap string `default:"7d" help:"For how long the addresses that there are go on working, such as 12h or 7d." placeholder:"TIME"`
}

// Run makes a new receiver address and lets the others end.
func (c bridgeRotateCmd) Run(ctx context.Context, s *shell) error {
	hours, err := overlapHours(c.Overlap)
	if err != nil {
		return err
	}
	return addReceiver(ctx, s, c.Name, api.NewReceiver{Rotate: true, OverlapHours: hours})
}

// overlapHours reads a time in hours or days.
func overlapHours(text string) (int64, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 32); err == nil && n >= 0 {
			return n * 24, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 && d%time.Hour == 0 {
		return int64(d / time.Hour), nil
	}
	return 0, usage("write whole hours or days, such as 12h or 7d", "%.40q is no overlap", text)
}

type receiverAddCmd struct {
	Name string `arg:"" help:"Bridge, by name or id."`
}

// Run makes another receiver address beside those that there are.
func (c receiverAddCmd) Run(ctx context.Context, s *shell) error {
	return addReceiver(ctx, s, c.Name, api.NewReceiver{})
}

func addReceiver(ctx context.Context, s *shell, bridge string, n api.NewReceiver) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	made, err := r.AddReceiver(ctx, account, bridge, n)
	if err != nil {
		return err
	}
	return s.print(made, func(w io.Writer) {
		fmt.Fprintln(w, made.URL)
		fmt.Fprintln(s.stderr, "Type this address into the call bridges as a receiver of their call-detail records. It is shown once; keep it secret.")
		if n.Rotate {
			fmt.Fprintf(s.stderr, "The addresses before work for %d hours more; `tally conference bridge show` says when each call bridge used them last.\n", n.OverlapHours)
		}
	})
}

type receiverListCmd struct {
	Name string `arg:"" help:"Bridge, by name or id."`
}

// Run lists the receiver addresses of a bridge, without their secrets.
func (c receiverListCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	b, err := r.Bridge(ctx, account, c.Name)
	if err != nil {
		return err
	}
	return s.print(list[api.Receiver]{b.Receivers}, func(w io.Writer) { writeReceivers(w, b.Receivers) })
}

type receiverRetireCmd struct {
	Name string `arg:"" help:"Bridge, by name or id."`
	ID   string `arg:"" help:"Id of the receiver, rcv_…"`
	Yes  bool   `env:"-" help:"Do not ask."`
}

// Run stops a receiver address.
func (c receiverRetireCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	if err := s.confirm(c.Yes, "Call bridges that post to %s get 404 from now on; they keep their records only for a while.", c.ID); err != nil {
		return err
	}
	if err := r.RetireReceiver(ctx, account, c.Name, c.ID); err != nil {
		return err
	}
	return s.say(removed{c.ID}, "%s does not work any more", c.ID)
}

type retentionShowCmd struct{}

// Run says for how long posts are kept.
func (retentionShowCmd) Run(ctx context.Context, s *shell) error {
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	k, err := r.Retention(ctx, account)
	if err != nil {
		return err
	}
	return s.print(k, func(w io.Writer) { writeRetention(w, k) })
}

func writeRetention(w io.Writer, k api.Retention) {
	days := "for ever"
	if k.Days > 0 {
		days = counted(k.Days, "day", "days")
	}
	fields(w, "Posts are kept", days, "Kept now", k.Posts, "Bytes, packed", k.Bytes, "Oldest", k.OldestAt)
}

// anyText is the value of a flag that may begin with a hyphen, so that a number below zero is refused as such and not as an unknown flag.
type anyText string

// Decode takes the word that follows, unless that is another flag.
func (t *anyText) Decode(k *kong.DecodeContext) error {
	word := k.Scan.Pop()
	if word.Type == kong.EOLToken || strings.HasPrefix(word.String(), "--") {
		return errors.New("missing value")
	}
	*t = anyText(word.String())
	return nil
}

type retentionSetCmd struct {
	Days anyText `required:"" help:"For how many days posts are kept, 1 to 36500, or forever." placeholder:"N"`
}

// Run sets for how long posts are kept.
func (c retentionSetCmd) Run(ctx context.Context, s *shell) error {
	days := int64(0)
	if c.Days != "forever" {
		n, err := strconv.ParseInt(string(c.Days), 10, 64)
		if err != nil || n < 1 || n > conference.MaxKeepDays {
			return usage("write --days 30, or --days forever", "posts are kept for 1 to %d days, or for ever; %.40q is neither", conference.MaxKeepDays, string(c.Days))
		}
		days = n
	}
	r, account, err := s.in(ctx)
	if err != nil {
		return err
	}
	k, err := r.SetRetention(ctx, account, days)
	if err != nil {
		return err
	}
	return s.print(k, func(w io.Writer) { writeRetention(w, k) })
}
