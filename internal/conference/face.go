package conference

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/callbridge"
	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// The documents of the call bridge's API with the numbers of this engine, for checks that know nothing else. The engine stands
// there as one call bridge that has all meetings of its account; its snapshots are those of one host for each bridge.

// maxRunning is how many running meetings are looked at.
const maxRunning = 20_000

// running is a meeting that runs, as far as the documents show it.
type running struct {
	call    callbridge.Call
	present int
	user    string // who is charged now; empty for a shared license
	license bool   // whether it takes one now
	bridge  string // id of its bridge
}

// runningMeetings reads the meetings that run.
func (e *Engine) runningMeetings(ctx context.Context, account string) ([]running, error) {
	if err := e.sync(ctx, account); err != nil {
		return nil, err
	}
	now := e.now()
	var out []running
	err := e.store.View(ctx, func(tx *store.Tx) error {
		out = out[:0]
		p := db.RunningFaceParams{AccountID: account, CountedFrom: countedFrom(store.Ms(now)), Far: far, Page: page}
		for len(out) < maxRunning {
			rows, err := tx.RunningFace(ctx, p)
			if err != nil {
				return err
			}
			for _, r := range rows {
				m, err := runningOf(&r, now)
				if err != nil {
					return err
				}
				out = append(out, m)
			}
			if len(rows) < page {
				return nil
			}
			last := rows[len(rows)-1]
			p.AfterAt, p.AfterID = last.StartedAt, last.MeetingID
		}
		return nil
	})
	return out, outcome("read running meetings", err)
}

func runningOf(r *db.RunningFaceRow, now time.Time) (running, error) {
	records, err := cdr.Decode(r.Records)
	if err != nil {
		return running{}, fmt.Errorf("read records of %s: %w", r.MeetingID, err)
	}
	conf := cdr.Fold(r.MeetingKey, records, cdr.Options{})
	m := running{bridge: r.ClusterID}
	for _, p := range conf.Participants {
		if p.To.IsZero() {
			m.present++
		}
	}
	segments, err := decodeSegments(r.MeetingID, r.Segments)
	if err != nil {
		return m, err
	}
	for _, s := range segments {
		if s.To == far {
			m.license, m.user = true, s.User
		}
	}
	id := guidOf("meeting", r.MeetingID)
	if len(conf.Calls) > 0 {
		id = conf.Calls[0]
	}
	number := func(n int64) *callbridge.Number { v := callbridge.Number(n); return &v }
	m.call = callbridge.Call{
		ID: callbridge.Text(id), Name: callbridge.Text(r.Name), Type: callbridge.Text(r.CallType), CoSpace: callbridge.Text(r.Space), OwnerName: callbridge.Text(conf.OwnerName),
		DurationSeconds: number(max(0, int64(now.Sub(store.At(r.StartedAt))/time.Second))), Legs: number(int64(m.present)), MaxLegs: number(r.ParticipantsMax),
		ParticipantsLocal: number(int64(m.present)), ParticipantsRemote: number(0),
	}
	for _, rec := range records {
		if rec.CallCorrelator != "" {
			m.call.Correlator = callbridge.Text(rec.CallCorrelator)
		}
	}
	return m, nil
}

// guidOf makes an identifier in the form of a GUID from what it stands for, always the same.
func guidOf(kind, text string) string {
	sum := trust.Digest("tallystick guid 1", []byte(kind), []byte(text))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8: made by a rule of our own
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// HostID is the id under which the engine of an account stands in the documents.
func HostID(account string) string { return guidOf("host", account) }

// FaceHost is a host whose snapshots the documents have.
type FaceHost struct{ ID, Bridge string } // Bridge is the id of a bridge, empty for the whole account

// FaceHosts are the hosts whose snapshots add up to the account: one for each bridge, as the call bridges of one share its meetings.
// An account with one bridge, or with none yet, has the host that /system/status names.
func (e *Engine) FaceHosts(ctx context.Context, account string) ([]FaceHost, error) {
	var all []db.Cluster
	err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = clusters(ctx, tx, account)
		return err
	})
	if err != nil || len(all) < 2 {
		return []FaceHost{{ID: HostID(account)}}, outcome("list bridges", err)
	}
	out := make([]FaceHost, len(all))
	for i, c := range all {
		out[i] = FaceHost{guidOf("host", account+" "+c.ClusterID), c.ClusterID}
	}
	return out, nil
}

// AlarmID is the id of an alarm in the documents, the same as long as it stands.
func AlarmID(account, kind, about string) string { return guidOf("alarm", account+" "+kind+" "+about) }

// FaceStatus is the document /system/status.
func (e *Engine) FaceStatus(ctx context.Context, account string) (callbridge.Status, error) {
	all, err := e.runningMeetings(ctx, account)
	if err != nil {
		return callbridge.Status{}, err
	}
	bridges, err := e.Bridges(ctx, account, "", maxPage)
	if err != nil {
		return callbridge.Status{}, err
	}
	seen := 0
	for _, b := range bridges {
		seen += len(b.CallBridges)
	}
	legs := 0
	for _, m := range all {
		legs += m.present
	}
	now := e.now()
	return callbridge.Status{
		HostID: callbridge.Text(HostID(account)), SoftwareVersion: callbridge.Text("Tallystick " + e.version), UptimeSeconds: callbridge.Number(now.Sub(e.begun) / time.Second),
		CDRTime: callbridge.Instant{Time: now}, Activated: true, ClusterEnabled: seen > 1, CallLegsActive: callbridge.Number(legs),
	}, nil
}

// FaceMultiparty is the document /system/multipartyLicensing, without the limits, which are the authority's.
func (e *Engine) FaceMultiparty(ctx context.Context, account string) (callbridge.Multiparty, error) {
	all, err := e.runningMeetings(ctx, account)
	if err != nil {
		return callbridge.Multiparty{}, err
	}
	directory, err := e.Directory(ctx, account)
	if err != nil {
		return callbridge.Multiparty{}, err
	}
	d := callbridge.Multiparty{Timestamp: callbridge.Instant{Time: e.now()}, Users: callbridge.Number(directory.Users), PersonalLicenses: callbridge.Number(directory.Personal)}
	for _, m := range all {
		d.ParticipantsActive += callbridge.Number(m.present)
		if !m.license {
			continue
		}
		d.CallsActive++
		if m.user == "" {
			d.CallsWithoutPersonalLicense++
		}
	}
	d.WeightedCallsActive = callbridge.Thousandths(1000 * d.CallsActive)
	d.WeightedCallsWithoutPersonalLicense = callbridge.Thousandths(1000 * d.CallsWithoutPersonalLicense)
	return d, nil
}

// FaceActiveLicenses are the users whose personal license is in use, by JID.
func (e *Engine) FaceActiveLicenses(ctx context.Context, account string) ([]callbridge.ActiveLicense, error) {
	all, err := e.runningMeetings(ctx, account)
	if err != nil {
		return nil, err
	}
	calls := map[string]callbridge.Number{}
	for _, m := range all {
		if m.user != "" {
			calls[m.user]++
		}
	}
	users, err := e.directoryUsers(ctx, account)
	if err != nil {
		return nil, err
	}
	ids := map[string]callbridge.Text{}
	for _, u := range users {
		ids[u.Jid] = userID(u)
	}
	var out []callbridge.ActiveLicense
	for jid, n := range calls {
		out = append(out, callbridge.ActiveLicense{ID: cmp.Or(ids[jid], callbridge.Text(guidOf("user", jid))), UserJID: callbridge.Text(jid), CallsActive: n,
			WeightedCallsActive: callbridge.Thousandths(1000 * n)})
	}
	slices.SortFunc(out, func(a, b callbridge.ActiveLicense) int { return strings.Compare(string(a.UserJID), string(b.UserJID)) })
	return out, nil
}

// FaceCalls are the meetings that run.
func (e *Engine) FaceCalls(ctx context.Context, account string) ([]callbridge.Call, error) {
	all, err := e.runningMeetings(ctx, account)
	out := make([]callbridge.Call, len(all))
	for i, m := range all {
		out[i] = m.call
	}
	return out, err
}

// directoryUsers reads the users in force, by JID.
func (e *Engine) directoryUsers(ctx context.Context, account string) ([]db.DirectoryUsersRow, error) {
	var out []db.DirectoryUsersRow
	err := e.store.View(ctx, func(tx *store.Tx) error {
		out = out[:0]
		for after := ""; ; {
			rows, err := tx.DirectoryUsers(ctx, db.DirectoryUsersParams{AccountID: account, After: after, Page: page})
			if err != nil {
				return err
			}
			out = append(out, rows...)
			if len(rows) < page {
				return nil
			}
			after = rows[len(rows)-1].Jid
		}
	})
	return out, outcome("read directory", err)
}

// userID is the id of a user in the documents: the GUID of the directory, or one made from the JID.
func userID(u db.DirectoryUsersRow) callbridge.Text {
	if g, ok := meeting.ParseGUID(u.Guid); ok {
		return callbridge.Text(g.String())
	}
	return callbridge.Text(guidOf("user", u.Jid))
}

// The profiles that the documents show: of those who hold a personal license, and of the others.
var (
	licensedProfile   = callbridge.Text(guidOf("profile", "personal license"))
	unlicensedProfile = callbridge.Text(guidOf("profile", "no license"))
)

// FaceUsers are the users of the directory in force, by JID.
func (e *Engine) FaceUsers(ctx context.Context, account string) ([]callbridge.User, error) {
	rows, err := e.directoryUsers(ctx, account)
	out := make([]callbridge.User, len(rows))
	for i, u := range rows {
		out[i] = callbridge.User{ID: userID(u), UserJID: callbridge.Text(u.Jid), Name: callbridge.Text(u.Name), Email: callbridge.Text(u.Email), UserProfile: unlicensedProfile}
		if u.Personal {
			out[i].UserProfile = licensedProfile
		}
	}
	return out, err
}

// FaceProfiles are the two profiles of users.
func FaceProfiles() []callbridge.UserProfile {
	yes, no := callbridge.Flag(true), callbridge.Flag(false)
	return []callbridge.UserProfile{{ID: licensedProfile, HasLicense: &yes}, {ID: unlicensedProfile, HasLicense: &no}}
}

// FaceSpaces are the spaces of the directory in force, by id.
func (e *Engine) FaceSpaces(ctx context.Context, account string) ([]callbridge.CoSpace, error) {
	users, err := e.directoryUsers(ctx, account)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]callbridge.Text, len(users))
	for _, u := range users {
		ids[u.Jid] = userID(u)
	}
	var out []callbridge.CoSpace
	err = e.store.View(ctx, func(tx *store.Tx) error {
		out = out[:0]
		for after := ""; ; {
			rows, err := tx.DirectorySpaces(ctx, db.DirectorySpacesParams{AccountID: account, After: after, Page: page})
			if err != nil {
				return err
			}
			for _, s := range rows {
				out = append(out, callbridge.CoSpace{ID: callbridge.Text(s.SpaceID), Name: callbridge.Text(s.Name), OwnerJID: callbridge.Text(s.Owner), OwnerID: ids[s.Owner]})
			}
			if len(rows) < page {
				return nil
			}
			after = rows[len(rows)-1].SpaceID
		}
	})
	return out, outcome("read directory", err)
}

// EngineVA is the virtual account whose licenses meetings take. The error is a license.Error of kind refused while the engine is
// not enabled.
func (e *Engine) EngineVA(ctx context.Context, account string) (string, error) {
	var va string
	err := e.store.View(ctx, func(tx *store.Tx) error {
		conf, err := tx.Conference(ctx, account)
		if errors.Is(err, store.ErrNoRow) {
			return notEnabled()
		}
		va = conf.VaID
		return err
	})
	return va, outcome("read conference", err)
}
