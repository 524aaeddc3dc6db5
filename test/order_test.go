package test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/test/estate"
)

// nowhere is a transport to an authority that nobody reaches.
type nowhere struct{}

func (nowhere) Exchange(context.Context, string, []byte) ([]byte, error) {
	return nil, &agent.Unreachable{Err: errors.New("it is away")}
}

// engine is a conference engine in this process, over a database with one account and one receiver.
type engine struct {
	*conference.Engine
	t        failer
	ctx      context.Context
	store    *store.Store
	now      func() time.Time
	account  string
	receiver string
}

// failer is a test, or one case of a property.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// policies are the names of the generator's policies.
var policies = map[estate.Policy]string{estate.OwnerFirst: "owner-first", estate.MemberFirst: "member-first"}

// openEngine makes an engine over a database that is empty but for the directory of the estate. The caller closes its store.
func openEngine(ctx context.Context, t failer, database string, e *estate.Estate) *engine {
	t.Helper()
	now := e.From.AddDate(0, 0, 60) // when all is over
	p := &engine{t: t, ctx: ctx, now: func() time.Time { return now }, account: trust.NewID("acc", now)}
	var err error
	if p.store, err = store.Open(ctx, store.Options{URL: database, Now: p.now, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	err = p.store.Update(ctx, "seed", func(tx *store.Tx) error {
		if err := tx.InsertAccount(ctx, db.InsertAccountParams{AccountID: p.account, Name: "acme.example", EventHash: []byte{}, DefaultVa: "va_1"}); err != nil {
			return err
		}
		if _, err := tx.InsertVA(ctx, db.InsertVAParams{AccountID: p.account, VaID: "va_1", Name: "Default", NameKey: "default"}); err != nil {
			return err
		}
		return tx.PutConference(ctx, db.PutConferenceParams{AccountID: p.account, VaID: "va_1", Serial: "eng_1", EnabledAt: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	p.restart()
	if _, err := p.ImportDirectory(ctx, "admin", p.account, e.Directory()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.SetPolicy(ctx, "admin", p.account, "", policies[e.Policy], nil); err != nil {
		t.Fatal(err)
	}
	_, secret, err := p.AddBridge(ctx, "admin", p.account, "Main", nil)
	if err != nil {
		t.Fatal(err)
	}
	p.receiver = secret.Reveal()
	return p
}

// restart makes another engine on the same database, as after kill -9: what was not written is in the journal.
func (p *engine) restart() {
	p.Engine = conference.New(conference.Options{Store: p.store, Transport: func(string) agent.Transport { return nowhere{} }, Now: p.now, Log: slog.New(slog.DiscardHandler)})
}

func (p *engine) post(post estate.Post) {
	p.t.Helper()
	if _, err := p.Receive(p.ctx, p.receiver, post.Body()); err != nil {
		p.t.Fatalf("%v\n%s", err, post.Body())
	}
}

// found is what the engine made of it, in the generator's words.
func (p *engine) found(e *estate.Estate) (meetings, hours []string) {
	p.t.Helper()
	for cursor := ""; ; {
		page, next, err := p.Meetings(p.ctx, p.account, conference.Filter{}, cursor, 1000)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, m := range page {
			meetings = append(meetings, told(as[api.Meeting](p.t, m)).String())
		}
		if cursor = next; next == "" {
			break
		}
	}
	usage, err := p.Usage(p.ctx, p.account, e.From.AddDate(0, 0, -2), e.From.AddDate(0, 0, 60))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, u := range usage {
		if u.Sixths > 0 {
			hours = append(hours, estate.Hour{At: u.Hour.Unix(), Tag: u.Tag, Sixths: int(u.Sixths), PeakAt: u.PeakAt.Unix(), Meetings: int(u.Meetings)}.String())
		}
	}
	slices.Sort(meetings)
	slices.Sort(hours)
	return meetings, hours
}

// as reads the JSON of a value as another one.
func as[T any](t failer, v any) (out T) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// told is a meeting in the generator's words.
func told(m api.Meeting) estate.Meeting {
	out := estate.Meeting{Name: m.Name, Space: m.Space, CallType: m.CallType, From: m.StartedAt.Unix(), To: unix(m.EndedAt), Seconds: m.DurationSeconds,
		Most: int(m.ParticipantsMax), Bridges: m.Bridges, Incomplete: m.Incomplete, Estimated: m.Estimated}
	for _, s := range m.Segments {
		out.Segments = append(out.Segments, estate.Segment{From: s.From.Unix(), To: unix(s.To),
			Charge: estate.Charge{Tag: s.Tag, Sixths: int(s.Sixths), User: s.User, Rule: s.Rule}})
	}
	for _, p := range m.Participants {
		out.Participants = append(out.Participants, estate.Participant{Name: p.Name, From: p.From.Unix(), To: unix(p.To)})
	}
	return out
}

func unix(at *time.Time) int64 {
	if at == nil {
		return 0
	}
	return at.Unix()
}

func lines[T fmt.Stringer](all []T) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = v.String()
	}
	slices.Sort(out)
	return out
}

// differences lists what only one side has; both are sorted.
func differences(got, want []string) string {
	var out []string
	for len(got)+len(want) > 0 {
		switch {
		case len(want) == 0 || len(got) > 0 && got[0] < want[0]:
			out = append(out, "got  "+got[0])
			got = got[1:]
		case len(got) == 0 || want[0] < got[0]:
			out = append(out, "want "+want[0])
			want = want[1:]
		default:
			got, want = got[1:], want[1:]
		}
	}
	more := ""
	if len(out) > 20 {
		more = fmt.Sprintf("\n… and %d more", len(out)-20)
		out = out[:20]
	}
	return strings.Join(out, "\n") + more
}

// TestAnyOrderOfArrival: whatever comes first, however often it comes, and wherever the engine writes or dies in between, the
// same records leave the same tables behind, and those say the truth.
func TestAnyOrderOfArrival(t *testing.T) {
	t.Parallel()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		e := estate.New(estate.Options{
			Seed: rapid.Uint64().Draw(rt, "seed"), Meetings: rapid.IntRange(1, 8).Draw(rt, "meetings"), Bridges: rapid.IntRange(1, 3).Draw(rt, "bridges"),
			Receivers: rapid.IntRange(1, 2).Draw(rt, "receivers"), Restarts: rapid.IntRange(0, 2).Draw(rt, "restarts"),
			Losses: rapid.IntRange(0, 3).Draw(rt, "losses"), Overflows: rapid.IntRange(0, 2).Draw(rt, "overflows"), Nameless: rapid.Bool().Draw(rt, "nameless"), Most: 8, Repeats: 0.2,
			Policy: rapid.SampledFrom([]estate.Policy{estate.OwnerFirst, estate.MemberFirst}).Draw(rt, "policy"),
		})
		posts := slices.Concat(e.Streams()...)
		sent := make([]int, len(posts))
		for i := range sent {
			sent[i] = i
		}
		var kept []string
		for _, order := range [][]int{sent, rapid.Permutation(sent).Draw(rt, "order")} {
			run++
			p := openEngine(t.Context(), rt, filepath.Join(t.TempDir(), fmt.Sprintf("%d.db", run)), e)
			for i, n := range order {
				p.post(posts[n])
				if kept == nil {
					continue // all at once, in order
				}
				switch rapid.IntRange(0, 9).Draw(rt, fmt.Sprintf("after post %d", i)) {
				case 0:
					p.found(e) // writes
				case 1:
					p.restart()
				}
			}
			meetings, hours := p.found(e)
			if d := differences(meetings, lines(e.Truth.Meetings)) + differences(hours, lines(e.Truth.Hours)); d != "" {
				rt.Errorf("against the truth:\n%s", d)
			}
			dump := p.dump()
			if kept != nil {
				if d := differences(dump, kept); d != "" {
					rt.Errorf("the tables of another order:\n%s", d)
				}
			}
			kept = dump
			if err := p.store.Close(); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// dump is all that is kept of meetings and of their use, but for ids and for when it was written. The refs by which late records
// find their meeting may be more than are needed.
func (p *engine) dump() []string {
	p.t.Helper()
	var out []string
	err := p.store.View(p.ctx, func(tx *store.Tx) error {
		for _, query := range []string{
			`SELECT 'meeting', m.* FROM meeting m WHERE m.account_id = $1`,
			`SELECT 'segment', m.meeting_key, s.* FROM segment s JOIN meeting m ON m.account_id = s.account_id AND m.meeting_id = s.meeting_id WHERE s.account_id = $1`,
			`SELECT 'use', u.* FROM usage_hour u WHERE u.account_id = $1 AND u.peak > 0`,
		} {
			found, err := tx.DB().QueryContext(p.ctx, query, p.account)
			if err != nil {
				return err
			}
			more, err := dumped(found)
			if err != nil {
				return err
			}
			out = append(out, more...)
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func dumped(found *sql.Rows) ([]string, error) {
	defer found.Close()
	names, err := found.Columns()
	if err != nil {
		return nil, err
	}
	var out []string
	for found.Next() {
		values, to := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			to[i] = &values[i]
		}
		if err := found.Scan(to...); err != nil {
			return nil, err
		}
		var b strings.Builder
		for i, name := range names {
			switch name {
			case "account_id", "cluster_id", "meeting_id", "changed_at":
			case "records":
				fmt.Fprintf(&b, " %s %x", name, values[i])
			default:
				fmt.Fprintf(&b, " %s %v", name, values[i])
			}
		}
		out = append(out, b.String())
	}
	return out, found.Err()
}
