package conference

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/callbridge"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

const (
	pollLook       = 15 * time.Second // how often the schedule is looked at
	pollFor        = 10 * time.Minute // a turn at most
	pollLease      = pollFor + time.Minute
	pollsAtOnce    = 4
	directoryEvery = time.Hour            // spaces and users, which take a request each
	keepSnapshots  = 400 * 24 * time.Hour // what call bridges counted
	firstSnapshots = 90 * 24 * time.Hour  // of them, what the first reading asks for
	maxAlarms      = 100
	maxFeatures    = 50
	maxOnlyThere   = 20
)

// tlsOf is how the server of an API is known.
func tlsOf(r *db.BridgeApi, now func() time.Time) (*tls.Config, error) {
	if strings.HasPrefix(r.Url, "http:") {
		return nil, nil
	}
	var pin *trust.Fingerprint
	if r.Fingerprint != "" {
		f, err := trust.ParseFingerprint(r.Fingerprint)
		if err != nil {
			return nil, err
		}
		pin = &f
	}
	if now == nil {
		now = time.Time{}.UTC // settings are only checked
	}
	return trust.ServiceTLS(hostOf(r.Url), []byte(r.Ca), pin, now)
}

// polling asks the APIs of call bridges when they are due, until ctx ends. The replica that gets an API's lease asks it.
func (e *Engine) polling(ctx context.Context) {
	look := time.NewTicker(pollLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			e.pollDue(ctx)
		}
	}
}

// pollDue asks what is due now, a few at once, so that one that is slow does not hold up the others.
func (e *Engine) pollDue(ctx context.Context) {
	var parts sync.WaitGroup
	room := make(chan struct{}, pollsAtOnce)
	for _, account := range e.accounts(ctx) {
		var due []db.BridgeApi
		err := e.store.View(ctx, func(tx *store.Tx) error {
			rows, err := tx.BridgeAPIs(ctx, account)
			due = slices.DeleteFunc(rows, func(r db.BridgeApi) bool { return r.NextAt > store.Ms(tx.Now()) })
			return err
		})
		if err != nil {
			e.complain(ctx, "the APIs of call bridges are not known", err)
		}
		read := map[string]bool{} // clusters whose directory one of their call bridges reads
		for _, r := range due {
			directory := r.DirectoryNextAt <= store.Ms(e.now()) && !read[r.ClusterID]
			read[r.ClusterID] = read[r.ClusterID] || directory
			room <- struct{}{}
			parts.Go(func() {
				defer func() { <-room }()
				if _, err := e.poll(ctx, Scheduled, &r, directory); err != nil && !isConflict(err) {
					e.complain(ctx, "the API of a call bridge is not read", err)
				}
			})
		}
	}
	parts.Wait()
}

func isConflict(err error) bool {
	refusal := license.AsError(err)
	return refusal != nil && refusal.Kind == license.KindConflict
}

// PollBridgeAPIs asks the APIs of a cluster's call bridges now, spaces and users included, and returns what they said. An API that
// does not answer stands in the list with its failure.
func (e *Engine) PollBridgeAPIs(ctx context.Context, who, account, bridge string) ([]BridgeAPI, error) {
	var rows []db.BridgeApi
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		rows, err = apiRows(ctx, tx, account, bridge)
		return err
	})
	if err != nil {
		return nil, outcome("list bridge APIs", err)
	}
	if len(rows) == 0 {
		return nil, noAPI(bridge)
	}
	read := map[string]bool{} // clusters whose directory was read
	for i := range rows {
		found, err := e.poll(ctx, who, &rows[i], !read[rows[i].ClusterID])
		if err != nil && (isConflict(err) || license.AsError(err) == nil) {
			return nil, err
		}
		read[rows[i].ClusterID] = read[rows[i].ClusterID] || err == nil && found.Directory != nil
	}
	return e.BridgeAPIs(ctx, account, bridge)
}

func noAPI(bridge string) error {
	return license.Refuse(license.KindNotFound, "no-bridge-api", "set one: tally conference bridge api NAME --api https://… --user U --password-file F",
		"the bridge %.140q has no API", bridge)
}

// TestBridgeAPI signs in at an API and reads its status, and keeps nothing. Without a password it takes the kept one of the address.
func (e *Engine) TestBridgeAPI(ctx context.Context, account, bridge string, in NewBridgeAPI) (APIState, error) {
	var rows []db.BridgeApi
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		rows, err = apiRows(ctx, tx, account, bridge)
		return err
	})
	if err != nil {
		return APIState{}, outcome("list bridge APIs", err)
	}
	at := slices.IndexFunc(rows, func(r db.BridgeApi) bool { return in.URL == "" || sameServer(r.Url, in.URL) })
	if in.Password == "" {
		if at < 0 {
			return APIState{}, noAPI(bridge)
		}
		return e.ask(ctx, &rows[at])
	}
	row, err := in.row()
	if err != nil {
		return APIState{}, err
	}
	if e.keys == nil {
		return APIState{}, license.Refuse(license.KindRefused, "no-keys", "start the server with its keys", "this server cannot keep passwords")
	}
	row.AccountID = account
	row.Secret = e.keys.Hide(apiLabel(account, row.Url), in.Password)
	return e.ask(ctx, &row)
}

// ask signs in and reads what is short.
func (e *Engine) ask(ctx context.Context, r *db.BridgeApi) (APIState, error) {
	client, err := e.client(r)
	if err != nil {
		return APIState{}, err
	}
	defer client.Close()
	t := turn{e: e, r: r, client: client}
	t.found.AskedAt = e.now()
	_, err = t.status(ctx)
	if err == nil {
		err = t.receivers(ctx)
	}
	return t.found, err
}

// poll is one turn at an API: it reads, keeps what is new, and says what it found. The failure of a turn is kept too.
func (e *Engine) poll(ctx context.Context, who string, r *db.BridgeApi, directory bool) (APIState, error) {
	name, holder := "bridge "+r.ApiID, trust.NewID("pol", e.now())
	got, err := lease(ctx, e.store, r.AccountID, name, holder, pollLease)
	if err != nil {
		return APIState{}, outcome("take the lease of a bridge API", err)
	}
	if !got {
		return APIState{}, license.Refuse(license.KindConflict, "poll-running", "wait for it; `tally conference bridge api show` says what it found", "the call bridge at %s is being read just now", r.Url)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockFor)
		defer cancel()
		if _, err := lease(ctx, e.store, r.AccountID, name, holder, -pollLease); err != nil {
			e.complain(ctx, "the lease of a bridge API is not given back; it ends by itself", err)
		}
	}()
	var before APIState
	if err := json.Unmarshal([]byte(r.State), &before); err != nil {
		return APIState{}, fmt.Errorf("decode state of %s: %w", r.ApiID, err)
	}
	within, end := context.WithTimeout(ctx, pollFor)
	defer end()
	found, learned, failure := e.turn(within, who, r, before, directory)
	found.Failure = nil
	if refusal := license.AsError(failure); refusal != nil {
		found.Failure = &Refusal{refusal.Code, refusal.Message, refusal.Hint}
		e.log.WarnContext(ctx, "the API of a call bridge is not read to its end", "account", r.AccountID, "url", r.Url, "error", refusal)
	} else if failure != nil {
		return found, failure
	}
	return found, errors.Join(failure, e.keepState(ctx, r, found, learned))
}

func (e *Engine) keepState(ctx context.Context, r *db.BridgeApi, found APIState, directory bool) error {
	text, err := json.Marshal(found)
	if err != nil {
		return fmt.Errorf("encode state of %s: %w", r.ApiID, err)
	}
	err = e.store.Update(context.WithoutCancel(ctx), "keep state of bridge API", func(tx *store.Tx) error {
		n, err := tx.SetBridgeAPIState(ctx, db.SetBridgeAPIStateParams{State: string(text), AccountID: r.AccountID, ApiID: r.ApiID, SetAt: r.SetAt})
		if err != nil || n == 0 { // removed or set anew meanwhile
			return err
		}
		if err := tx.SetBridgeAPINext(ctx, db.SetBridgeAPINextParams{NextAt: store.Ms(tx.Now()) + r.EveryMs, AccountID: r.AccountID, ApiID: r.ApiID}); err != nil || !directory {
			return err
		}
		return tx.SetBridgeDirectoryNext(ctx, db.SetBridgeDirectoryNextParams{NextAt: store.Ms(tx.Now().Add(directoryEvery)), AccountID: r.AccountID, ClusterID: r.ClusterID})
	})
	return outcome("keep state of bridge API", err)
}

// turn is one reading under way.
type turn struct {
	e       *Engine
	r       *db.BridgeApi
	client  *callbridge.Client
	found   APIState
	learned bool // spaces and users were read
}

// turn reads everything, the short things first. What it found counts, also when something else failed: a document that cannot be
// read keeps the others from nothing. The first failure is that of the turn. It ends there when nothing more is to be had, as the
// call bridge is away, busy, or refuses the sign-in.
func (e *Engine) turn(ctx context.Context, who string, r *db.BridgeApi, before APIState, directory bool) (APIState, bool, error) {
	t := turn{e: e, r: r, found: before}
	t.found.AskedAt, t.found.Missing, t.found.Snapshots = e.now(), nil, 0
	if !directory { // what was not there when spaces and users were read last is still not known
		t.found.Missing = slices.DeleteFunc(slices.Clone(before.Missing), func(d string) bool { return !slices.Contains(learnedFrom, d) })
	}
	client, err := e.client(r)
	if err != nil {
		return t.found, false, err
	}
	defer client.Close()
	t.client = client
	status, err := t.status(ctx)
	if err != nil {
		return t.found, false, err
	}
	steps := []func(context.Context) error{
		func(ctx context.Context) error { return t.tail(ctx, before.Tail, status) }, t.multiparty, t.licensing, t.receivers, t.alarms, t.calls, t.active, t.snapshots,
	}
	if directory {
		steps = append(steps, func(ctx context.Context) error { return t.learn(ctx, who) })
	}
	var failure error
	for _, step := range steps {
		err := step(ctx)
		if failure == nil {
			failure = err
		}
		if err != nil && !onlyHere(err) {
			return t.found, t.learned, failure
		}
	}
	if failure == nil {
		t.found.AnsweredAt = e.now()
	}
	return t.found, t.learned, failure
}

// onlyHere says that a failure is one of the document that was asked for, and not of the call bridge or of ours.
func onlyHere(err error) bool {
	refusal := license.AsError(err)
	return refusal != nil && slices.Contains([]string{"bridge-answer", "bridge-unsteady", "bridge-list-too-long"}, refusal.Code)
}

// lacks takes it as no failure that a version does not have a document.
func (t *turn) lacks(document string, err error) error {
	if refusal := license.AsError(err); refusal != nil && refusal.Kind == license.KindNotFound {
		t.found.Missing = append(t.found.Missing, document)
		return nil
	}
	return err
}

func (t *turn) status(ctx context.Context) (callbridge.Status, error) {
	s, err := t.client.Status(ctx)
	if err != nil {
		return s, err
	}
	t.found.Version, t.found.Host, t.found.Cluster = string(s.SoftwareVersion), string(s.HostID), bool(s.ClusterEnabled)
	t.found.StartedAt = t.e.now().Add(-time.Duration(s.UptimeSeconds) * time.Second)
	return s, nil
}

func (t *turn) multiparty(ctx context.Context) error {
	t.found.Multiparty = nil
	m, err := t.client.Multiparty(ctx)
	if err == nil {
		t.found.Multiparty = &APIUse{Users: int64(m.Users), Personal: int64(m.PersonalLicenses), Participants: int64(m.ParticipantsActive), Calls: int64(m.CallsActive),
			Weighted: int64(m.WeightedCallsActive), WithoutPmp: int64(m.CallsWithoutPersonalLicense), WeightedNoPmp: int64(m.WeightedCallsWithoutPersonalLicense)}
	}
	return t.lacks("/system/multipartyLicensing", err)
}

// licensing reads which features the call bridge is licensed for: those of the cluster, as newer versions have them, else its own.
func (t *turn) licensing(ctx context.Context) error {
	t.found.Licensing = nil
	name := callbridge.ClusterLicensing
	d, err := t.client.Licensing(ctx, name)
	if gone(err) {
		name = callbridge.SystemLicensing
		d, err = t.client.Licensing(ctx, name)
	}
	if err != nil {
		return t.lacks("/system/licensing", err)
	}
	found := &APILicensing{Document: name, Features: []APIFeature{}}
	for _, f := range d.Features.Features[:min(len(d.Features.Features), maxFeatures)] {
		if len(f.XMLName.Local)+len(f.Status) > 100 {
			continue // no name of a feature
		}
		one := APIFeature{Name: f.XMLName.Local, Status: string(f.Status)}
		if f.Expiry != nil {
			one.Expiry = f.Expiry.Time
		}
		found.Features = append(found.Features, one)
	}
	t.found.Licensing = found
	return nil
}

// active compares whose personal licenses are in use there and here. A call bridge of a cluster says it of its own part.
func (t *turn) active(ctx context.Context) error {
	t.found.Active = nil
	there, err := t.client.ActiveLicenses(ctx)
	if err != nil {
		return t.lacks("/system/multipartyLicensing/activePersonalLicenses", err)
	}
	running, err := t.e.runningMeetings(ctx, t.r.AccountID)
	if err != nil {
		return err
	}
	here := map[string]bool{}
	for _, m := range running {
		if m.user != "" && m.bridge == t.r.ClusterID {
			here[m.user] = true
		}
	}
	found := &APIActive{There: len(there), Here: len(here)}
	for _, u := range there {
		if jid := fold(string(u.UserJID)); jid != "" && !here[jid] && fits(jid) && len(found.OnlyThere) < maxOnlyThere {
			found.OnlyThere = append(found.OnlyThere, jid)
		}
	}
	slices.Sort(found.OnlyThere)
	t.found.Active = found
	return nil
}

// receivers looks whether the call bridge posts to the receiver of its cluster. Names of receivers are secrets: only the digests
// are compared.
func (t *turn) receivers(ctx context.Context) error {
	t.found.Receives = ""
	all, err := t.client.Receivers(ctx)
	if err != nil {
		return t.lacks("/system/cdrReceivers", err)
	}
	t.found.Receives = ReceivesNo
	for _, r := range all {
		_, name, ok := strings.Cut(string(r.URI), "/cdr/")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, "?")
		if c, _, err := t.e.receiver(ctx, strings.Trim(name, "/ ")); err == nil && c.account == t.r.AccountID && c.id == t.r.ClusterID {
			t.found.Receives = ReceivesYes
		}
	}
	return nil
}

func (t *turn) alarms(ctx context.Context) error {
	t.found.Alarms = nil
	all, err := t.client.Alarms(ctx)
	if err != nil {
		return t.lacks("/system/alarms", err)
	}
	for _, a := range all[:min(len(all), maxAlarms)] {
		t.found.Alarms = append(t.found.Alarms, APIAlarm{Type: string(a.Type), Reason: string(a.FailureReason), Since: t.e.now().Add(-time.Duration(a.ActiveSeconds) * time.Second)})
	}
	return nil
}

// calls counts the active calls there and the running meetings here.
func (t *turn) calls(ctx context.Context) error {
	calls, err := t.client.Calls(ctx)
	if err != nil {
		return t.lacks("/calls", err)
	}
	running, err := t.e.runningMeetings(ctx, t.r.AccountID)
	if err != nil {
		return err
	}
	t.found.Calls, t.found.Running = len(calls), 0
	here := map[callbridge.Text]bool{}
	for _, m := range running {
		here[m.call.Correlator] = true
	}
	for _, c := range calls {
		if c.Correlator != "" && here[c.Correlator] {
			t.found.Running++
		}
	}
	return nil
}

// snapshots keeps what call bridges counted since the newest that is kept, host by host (domain rule 25).
func (t *turn) snapshots(ctx context.Context) error {
	hosts, err := t.client.KnownHosts(ctx)
	if err != nil {
		return t.lacks("/system/MPLicenseUsage", err)
	}
	newest := map[string]time.Time{}
	for _, h := range hosts {
		last, err := t.snapshotsOf(ctx, h.ID)
		if err != nil {
			return t.lacks("/system/MPLicenseUsage", err)
		}
		newest[fold(string(h.ID))] = last
	}
	t.found.Hosts = newest
	return nil
}

func (t *turn) snapshotsOf(ctx context.Context, host callbridge.Text) (newest time.Time, err error) {
	id := fold(string(host))
	err = t.e.store.View(ctx, func(tx *store.Tx) error {
		at, err := tx.NewestSnapshot(ctx, db.NewestSnapshotParams{AccountID: t.r.AccountID, ClusterID: t.r.ClusterID, HostID: id})
		if errors.Is(err, store.ErrNoRow) {
			return nil
		}
		newest = store.At(at)
		return err
	})
	if err != nil {
		return newest, outcome("read snapshots", err)
	}
	after := newest
	if first := t.e.now().Add(-firstSnapshots); after.Before(first) {
		after = first
	}
	all, err := t.client.Snapshots(ctx, host, after)
	if err != nil || len(all) == 0 {
		return newest, err
	}
	rows := make([]db.BridgeSnapshot, 0, len(all))
	for _, s := range all {
		rows = append(rows, db.BridgeSnapshot{AccountID: t.r.AccountID, ClusterID: t.r.ClusterID, TakenAt: store.Ms(s.Time.Time), HostID: id, Pmp: int64(s.Personal),
			PmpAssigned: int64(s.Assigned), SmpAud: int64(s.AudioOnly), SmpPtp: int64(s.PointToPoint), SmpFull: int64(s.Full), Rec: int64(s.Recording), Str: int64(s.Streaming)})
		if s.Time.After(newest) {
			newest = s.Time.Time
		}
	}
	t.found.Snapshots += len(rows)
	err = t.e.store.Update(ctx, "keep snapshots", func(tx *store.Tx) error {
		if err := tx.PutBridgeSnapshots(ctx, rows); err != nil {
			return err
		}
		return tx.DropBridgeSnapshots(ctx, db.DropBridgeSnapshotsParams{AccountID: t.r.AccountID, ClusterID: t.r.ClusterID, BeforeAt: store.Ms(tx.Now().Add(-keepSnapshots))})
	})
	return newest, outcome("keep snapshots", err)
}
