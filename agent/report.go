package agent

import (
	"context"
	"errors"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/wire"
)

// Answer is the authority's answer to a report.
type Answer struct {
	// Status is AUTHORIZED, OUT OF COMPLIANCE or No Licenses in Use.
	Status string `json:"status"`
	// At and NextAttempt are by the product's clock, ServerTime and Deadline by the authority's.
	At             time.Time   `json:"at"`
	ServerTime     time.Time   `json:"serverTime"`
	NextAttempt    time.Time   `json:"nextAttempt"`
	Deadline       time.Time   `json:"deadline"`
	Account        string      `json:"account"`
	VirtualAccount string      `json:"virtualAccount"`
	Tags           []TagAnswer `json:"tags,omitempty"`
}

// TagAnswer says for one tag what was asked and how the pool of the virtual account stands.
type TagAnswer struct {
	Tag       string   `json:"tag"`
	Name      string   `json:"name"`
	Requested int64    `json:"requested"`
	Entitled  int64    `json:"entitled"`
	Shortage  int64    `json:"shortage"`
	Status    string   `json:"status"` // In Compliance or Out Of Compliance
	Why       []Reason `json:"why,omitempty"`
}

// Reason is one fact beside a number: a stable code with its arguments, and the sentence for people.
type Reason struct {
	license.Fact
	Sentence string `json:"text"`
}

func answerOf(m wire.Authorized, now, next time.Time) *Answer {
	a := &Answer{
		Status: string(m.Status), At: now, ServerTime: m.ServerTime.UTC(), NextAttempt: next, Deadline: m.Deadline.UTC(),
		Account: m.Account, VirtualAccount: m.VirtualAccount,
	}
	for _, t := range m.Tags {
		tag := TagAnswer{
			Tag: string(t.Tag), Name: oneLine(t.Name), Requested: t.Requested, Entitled: t.Entitled, Shortage: t.Shortage, Status: string(t.Status),
		}
		for _, f := range t.Why {
			tag.Why = append(tag.Why, Reason{Fact: f, Sentence: f.Text()})
		}
		a.Tags = append(a.Tags, tag)
	}
	return a
}

// Report tells the authority what the product uses now, with the kept intervals, and returns its answer. Being short of
// licenses is an answer, not an error. After an *Unreachable error the same report may be tried again at any time; it is
// counted once.
func (a *Agent) Report(ctx context.Context) (Answer, error) {
	end, err := a.begin(ctx)
	if err != nil {
		return Answer{}, err
	}
	defer end()
	if st, _, err := a.load(ctx); err == nil && st.Joined != nil {
		return a.reportToHolder(ctx, st)
	}
	if err := a.check(ctx); err != nil {
		return Answer{}, err
	}
	got, err := a.converse(ctx, verbAuthorize)
	if err != nil {
		return Answer{}, err
	}
	if got.answer == nil {
		return Answer{}, errors.New("report: another process has given the identity up meanwhile")
	}
	if st, _, err := a.load(ctx); err == nil && st.Identity != nil && len(st.Identity.Issuers) > 0 {
		if _, err := a.converse(ctx, verbRenew); err != nil { // Run tries again
			a.opts.Logger.WarnContext(ctx, "the desk has other keys; the certificate below them is still to come", "error", err)
		}
	}
	return *got.answer, nil
}

// RenewAuthorization is Report under the name that administrators know.
func (a *Agent) RenewAuthorization(ctx context.Context) (Answer, error) { return a.Report(ctx) }

// RenewIdentity gets a new ID certificate for the same key. Run does so after 180 days of the 365.
func (a *Agent) RenewIdentity(ctx context.Context) error {
	end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := a.check(ctx); err != nil {
		return err
	}
	_, err = a.converse(ctx, verbRenew)
	return err
}

// check refuses for a product that is not registered.
func (a *Agent) check(ctx context.Context) error {
	st, _, err := a.load(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(st.initialized(), st.alone()); err != nil {
		return err
	}
	return st.registered()
}

// Deregister gives the identity up, here and at the authority, where the licenses are free again at once. It is done here
// whether or not the authority can be reached; confirmed says that the authority knows. Otherwise the instance must be
// removed there by hand. A signed No leaves the product registered.
func (a *Agent) Deregister(ctx context.Context) (confirmed bool, err error) {
	end, err := a.begin(ctx)
	if err != nil {
		return false, err
	}
	defer end()
	st, _, err := a.load(ctx)
	if err != nil {
		return false, err
	}
	if err := errors.Join(st.initialized(), st.alone()); err != nil {
		return false, err
	}
	if st.Removal != nil || st.Identity == nil && st.Unknown {
		known := st.Removal != nil // the authority said so itself
		return known, a.update(ctx, func(st *state, _ time.Time) error {
			st.giveUp()
			return nil
		})
	}
	if err := st.registered(); err != nil {
		return false, err
	}
	id := *st.Identity
	got, err := a.converse(ctx, verbDeregister)
	switch {
	case err == nil:
		return true, nil
	case got.refusal != nil && got.refusal.Code == wire.CodeRemoved:
		return true, a.update(context.WithoutCancel(ctx), func(st *state, _ time.Time) error {
			if st.Removal != nil {
				st.giveUp()
			}
			return nil
		})
	case got.refusal != nil:
		return false, err
	}
	a.opts.Logger.WarnContext(ctx, "deregistered here; the authority did not confirm it", "instance", id.Instance, "error", err)
	return false, a.update(context.WithoutCancel(ctx), func(st *state, _ time.Time) error {
		if st.Identity != nil && st.Identity.Instance == id.Instance {
			st.giveUp()
			st.Orphan = id.Instance
		}
		return nil
	})
}
