package conference

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/callbridge"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
	"github.com/tallystick/tallystick/internal/trust"
)

// How often the API of a call bridge may be asked, and how often it is when nothing is said: as often as call bridges take their
// snapshots.
const (
	DefaultEvery = 5 * time.Minute
	minEvery     = time.Minute
	maxEvery     = 24 * time.Hour
	maxBridgeCA  = 64 << 10 // bytes of certificates
)

// BridgeAPI is the API of one call bridge of a cluster and what its last turn found.
type BridgeAPI struct {
	ID         string // "api_…"
	Bridge     string // id of the cluster
	BridgeName string
	URL        string
	User       string
	Trust      string // how the server is known: "ca", "fingerprint", or "system"
	CallBridge string // GUID that its records come with, empty for not given
	Every      time.Duration
	SetAt      time.Time
	SetBy      string
	NextAt     time.Time
	Found      APIState
}

// NewBridgeAPI says where an API is, how to sign in, and how the server is known: by certificates of CAs (PEM), by the SHA-256
// fingerprint of its own certificate, or by the roots of the system.
type NewBridgeAPI struct {
	URL         string
	User        string
	Password    trust.Secret
	CA          string
	Fingerprint string
	CallBridge  string
	Every       time.Duration // 0 for DefaultEvery
}

// APIState is what a turn found at the API of a call bridge.
type APIState struct {
	AskedAt    time.Time            `json:"askedAt,omitzero"`
	AnsweredAt time.Time            `json:"answeredAt,omitzero"` // when a turn came to its end last
	Failure    *Refusal             `json:"failure,omitempty"`   // of the last turn
	Version    string               `json:"version,omitempty"`
	Host       string               `json:"host,omitempty"`
	Cluster    bool                 `json:"cluster,omitempty"`
	StartedAt  time.Time            `json:"startedAt,omitzero"` // of the call bridge
	Multiparty *APIUse              `json:"multiparty,omitempty"`
	Licensing  *APILicensing        `json:"licensing,omitempty"`
	Active     *APIActive           `json:"active,omitempty"`
	Calls      int                  `json:"calls"`   // active, as it says
	Running    int                  `json:"running"` // meetings that run, as the engine has them
	Receives   string               `json:"receives,omitempty"`
	Alarms     []APIAlarm           `json:"alarms,omitempty"`
	Tail       Tail                 `json:"tail"`
	Hosts      map[string]time.Time `json:"hosts,omitempty"` // hosts with snapshots, and the newest of each
	Snapshots  int                  `json:"snapshots"`       // new in this turn
	Directory  *APIDirectory        `json:"directory,omitempty"`
	Missing    []string             `json:"missing,omitempty"` // documents that this version does not have
}

// What is known of whether our receiver is among those of a call bridge.
const (
	ReceivesYes = "yes"
	ReceivesNo  = "no"
)

// Refusal is a license.Error as it is kept.
type Refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// APIUse is what a call bridge says of its licenses now. Weighted numbers are thousandths.
type APIUse struct {
	Users         int64 `json:"users"`
	Personal      int64 `json:"personal"`
	Participants  int64 `json:"participants"`
	Calls         int64 `json:"calls"`
	Weighted      int64 `json:"weighted"`
	WithoutPmp    int64 `json:"withoutPersonal"`
	WeightedNoPmp int64 `json:"weightedWithoutPersonal"`
}

// APILicensing is what a call bridge says of the features it is licensed for.
type APILicensing struct {
	Document string       `json:"document"` // that says so
	Features []APIFeature `json:"features"`
}

// APIFeature is one of them, in the words of call bridges.
type APIFeature struct {
	Name   string    `json:"name"`
	Status string    `json:"status"`
	Expiry time.Time `json:"expiry,omitzero"`
}

// APIActive is whose personal licenses are in use, there and here.
type APIActive struct {
	There     int      `json:"there"`               // users, as the call bridge says
	Here      int      `json:"here"`                // users whom running meetings of the bridge are charged to
	OnlyThere []string `json:"onlyThere,omitempty"` // the first of those whom no running meeting here is charged to
}

// APIAlarm is an alarm of a call bridge.
type APIAlarm struct {
	Type   string    `json:"type"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
}

// APIDirectory is what became of the last reading of spaces and users.
type APIDirectory struct {
	ReadAt time.Time `json:"readAt"`
	State  string    `json:"state"` // of the run
	Run    string    `json:"run,omitempty"`
	Users  int       `json:"users"`
	Spaces int       `json:"spaces"`
}

// SetBridgeAPI keeps where the API of a call bridge of a cluster is; the same address again replaces what was known of it. Errors
// are license.Error of kind invalid, not found, or refused where this server cannot keep passwords.
func (e *Engine) SetBridgeAPI(ctx context.Context, who, account, bridge string, in NewBridgeAPI) (BridgeAPI, error) {
	if e.keys == nil {
		return BridgeAPI{}, license.Refuse(license.KindRefused, "no-keys", "start the server with its keys", "this server cannot keep passwords")
	}
	row, err := in.row()
	if err != nil {
		return BridgeAPI{}, err
	}
	var out BridgeAPI
	err = e.store.Update(ctx, "set bridge API", func(tx *store.Tx) error {
		chain, err := tx.Lock(ctx, account)
		if err != nil {
			return err
		}
		cluster, err := bridgeNamed(ctx, tx, account, bridge)
		if err != nil {
			return err
		}
		row.ApiID = trust.NewID("api", tx.Now())
		all, err := tx.BridgeAPIs(ctx, account)
		if err != nil {
			return err
		}
		for _, r := range all {
			if r.ClusterID == cluster.ClusterID && r.Url == row.Url {
				row.ApiID = r.ApiID
			}
		}
		row.AccountID, row.ClusterID, row.SetAt, row.SetBy = account, cluster.ClusterID, store.Ms(tx.Now()), who
		row.Secret = e.keys.Hide(apiLabel(account, row.Url), in.Password)
		if err := tx.PutBridgeAPI(ctx, db.PutBridgeAPIParams{AccountID: account, ApiID: row.ApiID, ClusterID: row.ClusterID, Url: row.Url, UserName: row.UserName,
			Secret: row.Secret, Ca: row.Ca, Fingerprint: row.Fingerprint, Callbridge: row.Callbridge, EveryMs: row.EveryMs, SetAt: row.SetAt, SetBy: who}); err != nil {
			return fmt.Errorf("keep bridge API: %w", err)
		}
		if out, err = apiOf(row, cluster.Name); err != nil {
			return err
		}
		_, err = chain.Record(ctx, who, "bridge.api-set", cluster.ClusterID, map[string]string{"api": row.ApiID, "url": row.Url, "user": row.UserName})
		return err
	})
	return out, outcome("set bridge API", err)
}

// apiLabel says whose password is hidden.
func apiLabel(account, address string) string { return "bridge api " + account + " " + address }

// row checks what was given and makes a row of it, without ids and secret.
func (in NewBridgeAPI) row() (db.BridgeApi, error) {
	address, err := callbridge.CheckURL(in.URL)
	if err != nil {
		return db.BridgeApi{}, err
	}
	if in.User == "" || len(in.User) > maxName || strings.ContainsFunc(in.User, func(r rune) bool { return r < ' ' || r == ':' }) {
		return db.BridgeApi{}, license.Refuse(license.KindInvalid, "bad-bridge-user", "use the name of an API user of the call bridge", "%.200q is no name to sign in with", in.User)
	}
	if in.Password == "" || len(in.Password) > 1024 {
		return db.BridgeApi{}, license.Refuse(license.KindInvalid, "bad-password", "give a file that holds the password on its first line", "there is no usable password")
	}
	guid := fold(in.CallBridge)
	if guid != "" && !isGUID(guid) {
		return db.BridgeApi{}, noCallBridge(in.CallBridge)
	}
	every := cmp.Or(in.Every, DefaultEvery)
	if every < minEvery || every > maxEvery {
		return db.BridgeApi{}, license.Refuse(license.KindInvalid, "bad-interval", "choose from 1m to 24h", "the API is asked every minute at most and once a day at least")
	}
	pin := ""
	if in.Fingerprint != "" {
		f, err := trust.ParseFingerprint(in.Fingerprint)
		if err != nil {
			return db.BridgeApi{}, license.Refuse(license.KindInvalid, "bad-fingerprint", "give 64 hexadecimal digits, with or without colons", "the fingerprint cannot be read")
		}
		pin = f.String()
	}
	row := db.BridgeApi{Url: address, UserName: in.User, Ca: in.CA, Fingerprint: pin, Callbridge: guid, EveryMs: every.Milliseconds()}
	if len(in.CA) > maxBridgeCA {
		return row, license.Refuse(license.KindTooLarge, "ca-too-large", "give the issuing certificate only", "the certificates have more than %d bytes", maxBridgeCA)
	}
	if _, err := tlsOf(&row, nil); err != nil {
		return row, license.Refuse(license.KindInvalid, "bad-ca", "give certificates in PEM, or a fingerprint, not both", "the certificates are refused: %v", err)
	}
	return row, nil
}

func apiOf(r db.BridgeApi, name string) (BridgeAPI, error) {
	out := BridgeAPI{ID: r.ApiID, Bridge: r.ClusterID, BridgeName: name, URL: r.Url, User: r.UserName, Trust: "system", CallBridge: r.Callbridge,
		Every: time.Duration(r.EveryMs) * time.Millisecond, SetAt: store.At(r.SetAt), SetBy: r.SetBy, NextAt: store.At(r.NextAt)}
	switch {
	case r.Fingerprint != "":
		out.Trust = "fingerprint"
	case r.Ca != "":
		out.Trust = "ca"
	}
	if r.State == "" {
		return out, nil
	}
	if err := json.Unmarshal([]byte(r.State), &out.Found); err != nil {
		return out, fmt.Errorf("decode state of %s: %w", r.ApiID, err)
	}
	return out, nil
}

// BridgeAPIs lists the APIs of an account's call bridges, or those of one cluster by id or name.
func (e *Engine) BridgeAPIs(ctx context.Context, account, bridge string) ([]BridgeAPI, error) {
	out := []BridgeAPI{}
	err := e.store.View(ctx, func(tx *store.Tx) error {
		out = out[:0]
		rows, err := apiRows(ctx, tx, account, bridge)
		for _, r := range rows {
			cluster, err := tx.Cluster(ctx, db.ClusterParams{AccountID: account, ClusterID: r.ClusterID})
			if err != nil {
				return err
			}
			a, err := apiOf(r, cluster.Name)
			if err != nil {
				return err
			}
			out = append(out, a)
		}
		return err
	})
	return out, outcome("list bridge APIs", err)
}

func apiRows(ctx context.Context, tx *store.Tx, account, bridge string) ([]db.BridgeApi, error) {
	rows, err := tx.BridgeAPIs(ctx, account)
	if err != nil || bridge == "" {
		return rows, err
	}
	cluster, err := bridgeNamed(ctx, tx, account, bridge)
	if err != nil {
		return nil, err
	}
	var out []db.BridgeApi
	for _, r := range rows {
		if r.ClusterID == cluster.ClusterID {
			out = append(out, r)
		}
	}
	return out, nil
}

// RemoveBridgeAPI forgets the APIs of a cluster's call bridges, or the one with an address or id. What was learned stays in the
// directory, unless forget says that the spaces and users that only these call bridges know are to go from the next meeting on.
func (e *Engine) RemoveBridgeAPI(ctx context.Context, who, account, bridge, address string, forget bool) (int, error) {
	removed := 0
	err := e.store.Update(ctx, "remove bridge API", func(tx *store.Tx) error {
		removed = 0
		d, err := lockDirectory(ctx, tx, account)
		if err != nil {
			return err
		}
		rows, err := apiRows(ctx, tx, account, bridge)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if address != "" && !sameServer(r.Url, address) && r.ApiID != address {
				continue
			}
			if _, err := tx.DeleteBridgeAPI(ctx, db.DeleteBridgeAPIParams{AccountID: account, ApiID: r.ApiID}); err != nil {
				return err
			}
			removed++
			if _, err := d.chain.Record(ctx, who, "bridge.api-removed", r.ClusterID, map[string]any{"api": r.ApiID, "url": r.Url, "forget": forget}); err != nil {
				return err
			}
		}
		if removed == 0 {
			return license.NotFound("bridge API", cmp.Or(address, bridge))
		}
		if forget && removed == len(rows) {
			_, err = d.dropSource(ctx, who, directory.Bridge, rows[0].ClusterID)
		}
		return err
	})
	e.use(account)
	return removed, outcome("remove bridge API", err)
}

func sameServer(a, b string) bool {
	checked, err := callbridge.CheckURL(b)
	return err == nil && a == checked
}

// client makes the client of an API.
func (e *Engine) client(r *db.BridgeApi) (*callbridge.Client, error) {
	if e.keys == nil {
		return nil, license.Refuse(license.KindRefused, "no-keys", "start the server with its keys", "this server cannot read passwords")
	}
	password, err := e.keys.Unhide(apiLabel(r.AccountID, r.Url), r.Secret)
	if err != nil {
		return nil, license.Refuse(license.KindRefused, "password-lost", "set the API again with its password", "the password of the call bridge at %s was kept by a server with other keys", r.Url)
	}
	settings, err := tlsOf(r, e.now)
	if err != nil {
		return nil, fmt.Errorf("TLS settings of %s: %w", r.ApiID, err)
	}
	return callbridge.New(callbridge.Config{URL: r.Url, User: r.UserName, Password: password.Reveal, TLS: settings})
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
