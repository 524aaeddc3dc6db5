package satellite

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// maxTrouble bounds, in bytes, what is kept of an error.
const maxTrouble = 500

// NoteAttempt keeps when synchronization over the network was tried, what was in its way (nil for nothing) and how often it will be
// done. A refusal is a finding with what to do, from the first one until a synchronization is good again; an authority that cannot
// be reached says nothing of that.
func (s *Sync) NoteAttempt(ctx context.Context, account string, failed error, every time.Duration) error {
	who := access.Person{ID: "schedule", Role: access.Administrator, Account: access.Site}
	id, err := s.Authority.Scope(ctx, who, access.Manage, account)
	if err != nil {
		return err
	}
	return s.Authority.Books(ctx, who, id, "note attempt", func(b *authority.Books) error {
		up, err := upstream(ctx, b.Tx, id)
		if err != nil {
			return err
		}
		noteFailure(&up, failed, b.Time())
		up.TriedAt, up.EveryS = store.Ms(b.Time()), int64(every/time.Second)
		return keep(ctx, b.Tx, up)
	})
}

// noteFailure keeps what was in the way of an attempt at now.
func noteFailure(up *db.Upstream, failed error, now time.Time) {
	no := license.AsError(failed)
	switch {
	case failed == nil:
		up.Trouble = ""
	case no == nil:
		up.Trouble = clipTo(failed.Error(), maxTrouble)
	default:
		up.Trouble = clipTo(no.Message, maxTrouble)
	}
	refused := no != nil && no.Kind != license.KindUnavailable && no.Kind != license.KindBusy
	if failed != nil && !refused {
		return
	}
	var facts []license.Fact
	_ = json.Unmarshal([]byte(up.Findings), &facts) // written by us
	since := now
	facts = slices.DeleteFunc(facts, func(f license.Fact) bool {
		if f.Code == license.FactSyncRefused && refused && f.Other == no.Code {
			since = f.Since
		}
		return f.Code == license.FactSyncRefused
	})
	if refused {
		said := no.Message + "."
		if no.Hint != "" {
			said += " What to do: " + no.Hint + "."
		}
		facts = slices.Insert(facts, 0, license.Fact{Code: license.FactSyncRefused, Other: no.Code, Name: clipTo(said, 2*maxTrouble), Since: since})
	}
	up.Findings = factsText(facts)
}

func clipTo(text string, bytes int) string {
	if len(text) > bytes {
		text = strings.ToValidUTF8(text[:bytes], "")
	}
	return text
}
