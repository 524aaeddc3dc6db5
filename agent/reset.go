package agent

import (
	"context"
	"errors"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// FactoryReset forgets what was set and what was learned: the identity (given up as by Deregister, if there is one), the trusted
// authority, transport, privacy, peaks that were not reported, counts of messages. What may never run back stays: the time of
// evaluation that was used, the numbers of reservations and the codes of those that ended. So do which product this is, its
// policy, and what it uses. told is false when an identity was given up without the authority hearing of it; the instance
// is in Status then.
//
// It is refused while a reservation holds licenses (code reserved), was asked for (request-open) or has a return that is not completed (returned), for a member
// of a cluster (cluster-member) and for the node that holds one (holds-cluster), and when the authority says No.
func (a *Agent) FactoryReset(ctx context.Context) (told bool, err error) {
	st, _, err := a.load(ctx)
	if err != nil {
		return false, err
	}
	if err := st.mayReset(); err != nil {
		return false, err
	}
	told = true
	if st.Identity != nil || st.Unknown {
		if told, err = a.Deregister(ctx); err != nil {
			return told, err
		}
	}
	return told, a.update(context.WithoutCancel(ctx), func(st *state, _ time.Time) error {
		if err := st.mayReset(); err != nil {
			return err
		}
		orphan := st.Orphan
		if st.Identity != nil { // another process has registered meanwhile
			told, orphan = false, st.Identity.Instance
		}
		*st = state{
			Product: st.Product, Licensed: st.Licensed, Policy: st.Policy, Clock: st.Clock, Evaluations: st.Evaluations, Usage: st.Usage,
			Reservation: st.Reservation.reset(), Orphan: orphan,
		}
		return nil
	})
}

// mayReset refuses where a reset would lose what belongs to others.
func (st *state) mayReset() error {
	if err := errors.Join(st.initialized(), st.alone()); err != nil {
		return err
	}
	switch {
	case st.Holding != nil:
		return license.Refuse(license.KindRefused, "holds-cluster", "end the cluster first: tally-agent cluster leave",
			"this product holds the identity of a cluster, and its members report through it")
	case st.reserved() != nil:
		return license.Refuse(license.KindConflict, "reserved", "give the licenses up first: tally-agent license smart reservation return", "the product holds a reservation")
	case st.Reservation != nil && st.Reservation.Request != "":
		return license.Refuse(license.KindConflict, "request-open", "cancel it first: tally-agent license smart reservation cancel", "a request code was made and is not canceled")
	case st.Reservation != nil && st.Reservation.Frozen:
		return license.Refuse(license.KindConflict, "returned", "take the return code to the authority, then: tally-agent license smart reservation return complete",
			"the return of a reservation is not completed")
	}
	return nil
}

// reset is what stays of a reservation that holds nothing: its numbers and codes.
func (r *reservation) reset() *reservation {
	if r == nil {
		return nil
	}
	return &reservation{Sequence: r.Sequence, Gone: r.Gone, Endings: r.Endings, SetBack: r.SetBack}
}
