package api

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Finding is something that ought to be known, with its sentence.
type Finding struct {
	Code  string     `json:"code" doc:"Stable code."`
	Text  string     `json:"text" doc:"The sentence for people."`
	Tag   string     `json:"tag,omitempty" doc:"License tag."`
	Lot   string     `json:"lot,omitempty" doc:"Lot."`
	Name  string     `json:"name,omitempty" doc:"What it is about."`
	Count int64      `json:"count,omitempty" doc:"How many."`
	Of    int64      `json:"of,omitempty" doc:"Of how many."`
	Since *time.Time `json:"since,omitempty" doc:"Since when, or when."`
}

// Satellite is a satellite as its authority shows it.
type Satellite struct {
	ID              string     `json:"id" doc:"Id, sat_…"`
	Name            string     `json:"name" doc:"Name."`
	State           string     `json:"state" enum:"PENDING,OK,DUE,OVERDUE,REMOVED" doc:"PENDING: not synchronized yet. DUE from 30 and OVERDUE from 60 days without synchronization; REMOVED after 90, or by an administrator."`
	Leaving         bool       `json:"leaving" doc:"Whether it was asked to give everything back, as it is removed."`
	VirtualAccounts []string   `json:"virtualAccounts" nullable:"false" doc:"Names of its virtual accounts."`
	Instances       int        `json:"instances" doc:"How many products are registered at it."`
	InTransit       int64      `json:"inTransit" doc:"Licenses on their way to it."`
	Consigned       int64      `json:"consigned" doc:"Licenses that it has."`
	Reserved        int64      `json:"reserved" doc:"How many of those reservations there hold, as it said last; they are not given back before they are returned."`
	Asked           int64      `json:"asked" doc:"Licenses that are asked back and have not come."`
	Hosts           []string   `json:"hosts" nullable:"false" doc:"Names that its server certificate may hold."`
	Site            string     `json:"site,omitempty" doc:"Who it is by its key."`
	Program         string     `json:"program,omitempty" doc:"Version that it runs."`
	EverySeconds    int64      `json:"everySeconds,omitempty" doc:"How often it synchronizes by itself; absent for by hand."`
	Epoch           int64      `json:"epoch" doc:"Grows when its database was lost or restored."`
	Number          int64      `json:"number" doc:"Number of its last file."`
	CreatedAt       time.Time  `json:"createdAt" doc:"When it was made."`
	JoinedAt        *time.Time `json:"joinedAt,omitempty" doc:"When it joined last."`
	SyncedAt        *time.Time `json:"syncedAt,omitempty" doc:"Last good synchronization."`
	SyncedBy        string     `json:"syncedBy,omitempty" enum:"network,file" doc:"How it went."`
	IdentityEndsAt  *time.Time `json:"identityEndsAt,omitempty" doc:"When its certificate ends; every synchronization renews it."`
	RemovedAt       *time.Time `json:"removedAt,omitempty" doc:"When it was removed."`
	RemovedBy       string     `json:"removedBy,omitempty" doc:"Who removed it."`
	Findings        []Finding  `json:"findings" nullable:"false" doc:"What ought to be known."`
	Token           string     `json:"token,omitempty" doc:"One-time token that it joins with; only in the answer that made it."`
}

// NewSatellite describes a satellite to be made.
type NewSatellite struct {
	Name            string   `json:"name" doc:"Name of 1 to 120 characters, without a slash."`
	VirtualAccounts []string `json:"virtualAccounts,omitempty" doc:"Virtual accounts that it gets, by id or name: without products, tokens and the mark of the default one. None makes one by the satellite's name."`
	Days            int      `json:"days,omitempty" minimum:"1" maximum:"365" doc:"How long the token lasts; 30 when left out."`
}

// SatelliteInvitation says how long a new token lasts.
type SatelliteInvitation struct {
	Days int `json:"days,omitempty" minimum:"1" maximum:"365" doc:"1 to 365; 30 when left out."`
}

// SyncFile is a synchronization file.
type SyncFile struct {
	File string `json:"file" doc:"Its bytes: text and signature, to be carried as they are."`
	// Refused is why an answer is a signed No.
	Refused *SyncRefused `json:"refused,omitempty" doc:"Why it is a signed No; the satellite takes that over too."`
}

// SyncRefused is why a file was refused.
type SyncRefused struct {
	Code    string `json:"code" doc:"Stable code."`
	Message string `json:"message" doc:"The sentence for people."`
	Hint    string `json:"hint,omitempty" doc:"What to do next."`
}

// SyncPreview is what would leave the site.
type SyncPreview struct {
	Text string `json:"text" doc:"The next file as it would be written now, without its signature."`
}

// SyncApplied is what became of an answer.
type SyncApplied struct {
	Number    int64     `json:"number" doc:"Number of the file that it answers."`
	Old       bool      `json:"old" doc:"True when nothing changed, as this or a newer answer was applied before."`
	Restored  bool      `json:"restored" doc:"True when this satellite noticed that its database went back: the next file synchronizes everything."`
	Removed   bool      `json:"removed" doc:"True when the authority has removed this satellite."`
	Arrived   int64     `json:"arrived" doc:"Licenses that arrived."`
	GivenBack int64     `json:"givenBack" doc:"Licenses that were given back."`
	Findings  []Finding `json:"findings" nullable:"false" doc:"What ought to be known."`
}

// SyncStatus is how a satellite stands with its authority.
type SyncStatus struct {
	Satellite      string     `json:"satellite" doc:"Id of the satellite at its authority."`
	Name           string     `json:"name" doc:"Its name there."`
	State          string     `json:"state" enum:"PENDING,OK,DUE,OVERDUE,REMOVED" doc:"As the authority shows it."`
	Leaving        bool       `json:"leaving" doc:"Whether the authority removes it."`
	Removed        bool       `json:"removed" doc:"Whether the authority has removed it: nothing synchronizes any more, and findings say how to go on."`
	Upstream       string     `json:"upstream,omitempty" doc:"Address of the authority; absent for files."`
	Root           string     `json:"root" doc:"Fingerprint of the authority's root certificate."`
	Epoch          int64      `json:"epoch" doc:"Grows when this database was lost or restored."`
	Number         int64      `json:"number" doc:"Number of the last file that was made."`
	Answered       int64      `json:"answered" doc:"Number of the newest answer that was applied."`
	EverySeconds   int64      `json:"everySeconds,omitempty" doc:"How often it synchronizes by itself; absent for by hand."`
	JoinedAt       *time.Time `json:"joinedAt,omitempty" doc:"When it joined last."`
	ExportedAt     *time.Time `json:"exportedAt,omitempty" doc:"When the last file was made."`
	SyncedAt       *time.Time `json:"syncedAt,omitempty" doc:"Last good synchronization."`
	SyncedBy       string     `json:"syncedBy,omitempty" doc:"How it went: network or file."`
	TriedAt        *time.Time `json:"triedAt,omitempty" doc:"Last attempt over the network."`
	Trouble        string     `json:"trouble,omitempty" doc:"Why that came to nothing; absent when it did not."`
	IdentityEndsAt time.Time  `json:"identityEndsAt" doc:"When the certificate of this satellite ends; every synchronization renews it."`
	Privacy        []string   `json:"privacy" nullable:"false" doc:"What does not leave the site: hostnames, addresses."`
	Findings       []Finding  `json:"findings" nullable:"false" doc:"What ought to be known."`
}

// SyncSettings are what can be set of synchronization.
type SyncSettings struct {
	Privacy []string `json:"privacy" nullable:"false" doc:"What does not leave the site: hostnames, addresses."`
}

// CreateSatellite makes a satellite; only this answer has its token.
func (c *Client) CreateSatellite(ctx context.Context, account string, s NewSatellite) (Satellite, error) {
	return write[Satellite](ctx, c, http.MethodPost, at("accounts", account, "satellites"), s)
}

// Satellites lists the satellites of an account.
func (c *Client) Satellites(ctx context.Context, account string) iter.Seq2[Satellite, error] {
	return pages[Satellite](ctx, c, at("accounts", account, "satellites"), nil)
}

// Satellite finds a satellite by id or name.
func (c *Client) Satellite(ctx context.Context, account, satellite string) (Satellite, error) {
	return get[Satellite](ctx, c, at("accounts", account, "satellites", satellite), nil)
}

// InviteSatellite makes a new token for a satellite that lost its database or keys.
func (c *Client) InviteSatellite(ctx context.Context, account, satellite string, days int) (Satellite, error) {
	return write[Satellite](ctx, c, http.MethodPost, at("accounts", account, "satellites", satellite, "invite"), SatelliteInvitation{Days: days})
}

// RemoveSatellite removes a satellite: by asking everything back, or at once when it is lost.
func (c *Client) RemoveSatellite(ctx context.Context, account, satellite string, lost bool) (Satellite, error) {
	q := url.Values{}
	if lost {
		q.Set("lost", "true")
	}
	return send[Satellite](ctx, c, http.MethodDelete, at("accounts", account, "satellites", satellite), q, "", nil)
}

// SettleSatellite ends the notes on a satellite that an administrator has looked at.
func (c *Client) SettleSatellite(ctx context.Context, account, satellite string) (Satellite, error) {
	return write[Satellite](ctx, c, http.MethodPost, at("accounts", account, "satellites", satellite, "settle"), struct{}{})
}

// AnswerSatellite answers a satellite's file.
func (c *Client) AnswerSatellite(ctx context.Context, account string, file []byte) (SyncFile, error) {
	return send[SyncFile](ctx, c, http.MethodPost, at("accounts", account, "satellites", "answer"), nil, "text/plain", file)
}

// SyncStatus says how a satellite stands with its authority.
func (c *Client) SyncStatus(ctx context.Context, account string) (SyncStatus, error) {
	return get[SyncStatus](ctx, c, at("accounts", account, "sync"), nil)
}

// SetSync changes settings of synchronization.
func (c *Client) SetSync(ctx context.Context, account string, s SyncSettings) (SyncStatus, error) {
	return write[SyncStatus](ctx, c, http.MethodPut, at("accounts", account, "sync"), s)
}

// SyncPreview is everything that would leave the site.
func (c *Client) SyncPreview(ctx context.Context, account string) (SyncPreview, error) {
	return get[SyncPreview](ctx, c, at("accounts", account, "sync", "preview"), nil)
}

// ExportSync makes the next file for the authority.
func (c *Client) ExportSync(ctx context.Context, account string) (SyncFile, error) {
	return send[SyncFile](ctx, c, http.MethodPost, at("accounts", account, "sync", "export"), nil, "", nil)
}

// ApplySync takes over an answer of the authority.
func (c *Client) ApplySync(ctx context.Context, account string, file []byte) (SyncApplied, error) {
	return send[SyncApplied](ctx, c, http.MethodPost, at("accounts", account, "sync", "apply"), nil, "text/plain", file)
}

// SyncNow synchronizes over the network and waits for the outcome.
func (c *Client) SyncNow(ctx context.Context, account string) (SyncApplied, error) {
	return send[SyncApplied](ctx, c, http.MethodPost, at("accounts", account, "sync", "now"), nil, "", nil)
}
