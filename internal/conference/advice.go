package conference

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/callbridge"
)

// Advice is what a person should do about what was found, in sentences; none where all is well.
func (s APIState) Advice() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if s.Receives == ReceivesNo {
		say("The call bridge does not post to our receiver: type the address that `tally conference bridge add` showed into its list of receivers of call-detail records. The list is its own; every call bridge of a cluster needs the address.")
	}
	for _, a := range s.Alarms {
		if a.Type == callbridge.AlarmCDR {
			say("The call bridge does not reach a receiver of call-detail records since %s: check names, ports and certificates on the way from it to here, and its other receivers.", a.Since.UTC().Format(time.DateTime))
		}
	}
	switch t := s.Tail; t.State {
	case TailLost:
		say("%d records that the call bridge numbered did not come: meetings of the time are marked incomplete until they do.", t.Lost)
	case TailRestart:
		say("The call bridge runs since %s and has numbered %d records, of which none came: if that stays so, it does not reach the receiver.", s.StartedAt.UTC().Format(time.DateTime), t.Next)
	case TailUnknown:
		say("Several call bridges post to the receiver: say with --callbridge which GUID this one has, so that lost records can be seen.")
	}
	for _, list := range []string{"/users", "/coSpaces"} {
		if slices.Contains(s.Missing, list) {
			say("The call bridge has no list %s, so nothing is learned from it of spaces and users, and what was learned before stays. `tally conference directory import` says whose spaces they are.", list)
		}
	}
	if d := s.Directory; d != nil && d.State == RunHeld {
		say("What it said of spaces and users takes away much and waits: look at `tally conference ldap history`, then agree with `tally conference ldap accept NAME`, where NAME is that of the bridge.")
	}
	if key, known := s.Licensing.key(); known && !key.Present {
		say("The call bridge has no activation key, by its own word: its whole bridge is at the highest level (`tally conference compliance`) until it has one.")
	}
	if a := s.Active; a != nil && len(a.OnlyThere) > 0 {
		say("By the call bridge, personal licenses of %s are in use, and no meeting that runs here is charged to them: `tally conference reconcile` compares the counts, `tally meeting list --running` says what is charged and why.", strings.Join(a.OnlyThere, ", "))
	}
	if s.Calls > s.Running {
		say("It has %s, of which %d run here; shortly after the begin of a call that is usual.", plural(s.Calls, "active call"), s.Running)
	}
	return out
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// FaceAlarms are the alarms that the engine knows: call bridges whose API does not answer, that do not post to us, whose records were
// lost, and their own alarms.
func (e *Engine) FaceAlarms(ctx context.Context, account string) ([]callbridge.Alarm, error) {
	all, err := e.BridgeAPIs(ctx, account, "")
	if err != nil {
		return nil, err
	}
	now := e.now()
	var out []callbridge.Alarm
	for i := range all {
		out = append(out, all[i].alarms(account, now)...)
	}
	return out, nil
}

// alarms are what is wrong with one call bridge at now. One that never answered is unreadable since it was set.
func (a *BridgeAPI) alarms(account string, now time.Time) []callbridge.Alarm {
	var out []callbridge.Alarm
	raise := func(kind, reason string, since time.Time) {
		alarm := callbridge.Alarm{ID: callbridge.Text(AlarmID(account, kind, a.ID)), Type: callbridge.Text(kind), FailureReason: callbridge.Text(reason)}
		if !since.IsZero() {
			alarm.ActiveSeconds = callbridge.Number(max(0, now.Sub(since)/time.Second))
		}
		out = append(out, alarm)
	}
	if f := a.Found.Failure; f != nil {
		since := a.Found.AnsweredAt
		if since.IsZero() {
			since = a.SetAt
		}
		raise("callBridgeUnreadable", f.Code, since)
	}
	if a.Found.Receives == ReceivesNo {
		raise("cdrReceiverMissing", a.URL, a.Found.AnsweredAt)
	}
	if a.Found.Tail.State == TailLost {
		raise("cdrRecordsLost", a.URL, a.Found.Tail.LastAt)
	}
	for _, own := range a.Found.Alarms {
		raise(own.Type, own.Reason, own.Since)
	}
	return out
}
