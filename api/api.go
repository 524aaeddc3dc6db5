// Package api is the REST contract under /api/v1: the documents that requests and answers carry, the problem document of a
// refusal, and a small client. The server answers with these types and nothing else, so what compiles against them is what
// is on the wire; docs/rest.md says how the resources hang together.
//
// It is not the machine gate, which products speak with signed envelopes, and it holds no rule: the server decides.
//
// Invariants: member names are lowerCamelCase and are never renamed or given another meaning, new ones may be added; times are
// RFC 3339 in UTC; ids are text with a prefix such as acc_ or ins_; a list is never null. Wherever a path takes an id, the
// name does as well.
package api

import "time"

// List is one page of a list. Next is the cursor of the next page, absent on the last one.
type List[T any] struct {
	Items []T    `json:"items" nullable:"false" doc:"The rows of this page."`
	Next  string `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one."`
}

// Reason is one fact beside a number: a stable code, the sentence it makes, and the arguments that its code has.
type Reason struct {
	Code     string     `json:"code" doc:"Stable code of the fact."`
	Text     string     `json:"text" doc:"The fact as a sentence for people."`
	Fact     string     `json:"fact" doc:"The same sentence as text."`
	Tag      string     `json:"tag,omitempty" doc:"License tag that the fact is about."`
	Other    string     `json:"other,omitempty" doc:"The other tag, or the other virtual account."`
	Instance string     `json:"instance,omitempty" doc:"Id of the product instance that uses the license."`
	Name     string     `json:"name,omitempty" doc:"Name of the product, or of the space."`
	Lot      string     `json:"lot,omitempty" doc:"Id of the lot."`
	Count    int64      `json:"count,omitempty" doc:"How many licenses the fact is about."`
	Of       int64      `json:"of,omitempty" doc:"How many there are in all."`
	Since    *time.Time `json:"since,omitempty" doc:"Since when, or from when on."`
	Space    string     `json:"space,omitempty" doc:"Identifier of the space."`
	Owner    string     `json:"owner,omitempty" doc:"JID of the owner of the space."`
	Type     string     `json:"type,omitempty" doc:"Type of the call."`
	// Args are what has no member of its own.
	Args map[string]string `json:"args,omitempty" doc:"Other arguments of the fact, by name."`
}

// Account is a customer.
type Account struct {
	ID                    string    `json:"id" doc:"Id, acc_…"`
	Name                  string    `json:"name" doc:"Name, unique without regard to case."`
	DefaultVirtualAccount string    `json:"defaultVirtualAccount" doc:"Id of the default virtual account."`
	CreatedAt             time.Time `json:"createdAt" doc:"When it was made."`
}

// NewAccount describes an account to be made.
type NewAccount struct {
	Name string `json:"name" doc:"Name of 1 to 120 characters."`
}

// VirtualAccount is a part of an account. Exactly one of an account is the default.
type VirtualAccount struct {
	ID        string    `json:"id" doc:"Id, va_…"`
	Name      string    `json:"name" doc:"Name, unique in the account without regard to case."`
	Default   bool      `json:"default" doc:"Whether it is meant where none is named."`
	CreatedAt time.Time `json:"createdAt" doc:"When it was made."`
	Satellite string    `json:"satellite,omitempty" doc:"Id of the satellite that it belongs to."`
}

// NewVirtualAccount describes a virtual account to be made.
type NewVirtualAccount struct {
	Name string `json:"name" doc:"Name of 1 to 120 characters, without a slash."`
}

// VirtualAccountChange says what to change of a virtual account.
type VirtualAccountChange struct {
	Name    string `json:"name,omitempty" doc:"The new name."`
	Default bool   `json:"default,omitempty" doc:"True makes it the default one; the mark is moved, never taken away."`
}

// Token is a registration token.
type Token struct {
	ID               string    `json:"id" doc:"Id, tok_…"`
	Token            string    `json:"token,omitempty" doc:"The text that products register with; only in the answer that made it."`
	VirtualAccount   string    `json:"virtualAccount" doc:"Name of the virtual account that products come to."`
	Description      string    `json:"description,omitempty" doc:"What it is for."`
	CreatedAt        time.Time `json:"createdAt" doc:"When it was made."`
	CreatedBy        string    `json:"createdBy" doc:"Id of the key that made it."`
	ExpiresAt        time.Time `json:"expiresAt" doc:"From when on it is refused."`
	MaxUses          int64     `json:"maxUses" doc:"How many registrations it is good for; 0 for no limit."`
	Uses             int64     `json:"uses" doc:"How many registrations there were."`
	ExportControlled bool      `json:"exportControlled" doc:"Whether products may use export-controlled functions."`
	Status           string    `json:"status" enum:"Active,Expired,Revoked,Exhausted" doc:"What it is now."`
}

// NewToken describes a registration token to be made.
type NewToken struct {
	Days             *int   `json:"days,omitempty" minimum:"1" maximum:"365" doc:"How long it is valid, 1 to 365 days; 30 when left out."`
	MaxUses          *int64 `json:"maxUses,omitempty" minimum:"1" doc:"How many registrations it is good for; no limit when left out."`
	ExportControlled bool   `json:"exportControlled,omitempty" doc:"Whether products may use export-controlled functions."`
	Description      string `json:"description,omitempty" doc:"What it is for, at most 120 characters."`
}

// Instance is a registered product.
type Instance struct {
	ID               string        `json:"id" doc:"Id, ins_…"`
	Product          string        `json:"product" doc:"Name of the product."`
	Hostname         string        `json:"hostname,omitempty" doc:"Host that it said it runs on."`
	Version          string        `json:"version,omitempty" doc:"Version that it said it has."`
	UDI              string        `json:"udi" doc:"Product id and serial number, which identify it for ever."`
	VirtualAccount   string        `json:"virtualAccount" doc:"Name of the virtual account whose licenses it uses."`
	State            string        `json:"state" enum:"Active,Overdue,Expired,Duplicate,Reserved,Removed" doc:"Overdue: 10 days past its announced contact. Expired: its certificate ended. Duplicate: two copies of its state are at work. Reserved: it holds a reservation and never reports."`
	Next             string        `json:"next,omitempty" doc:"What to do; absent when there is nothing."`
	Authorization    string        `json:"authorization,omitempty" doc:"What its last report was answered; absent before the first."`
	StatusSince      *time.Time    `json:"statusSince,omitempty" doc:"Since when the authorization is so."`
	ExportControlled bool          `json:"exportControlled" doc:"Whether it may use export-controlled functions."`
	RegisteredAt     time.Time     `json:"registeredAt" doc:"When it registered."`
	RenewedAt        *time.Time    `json:"renewedAt,omitempty" doc:"When it got its certificate."`
	ExpiresAt        *time.Time    `json:"expiresAt,omitempty" doc:"When its certificate ends; absent for a product that holds a reservation."`
	LastContact      *time.Time    `json:"lastContact,omitempty" doc:"When it reported last."`
	NextContact      *time.Time    `json:"nextContact,omitempty" doc:"When it will report next."`
	Deadline         *time.Time    `json:"deadline,omitempty" doc:"Until when its authorization holds without a report."`
	ForkedAt         *time.Time    `json:"forkedAt,omitempty" doc:"When two copies of its state were first seen at work; absent again once that is settled."`
	RemovedAt        *time.Time    `json:"removedAt,omitempty" doc:"When it was removed."`
	RemovedBy        string        `json:"removedBy,omitempty" doc:"Who removed it."`
	Satellite        string        `json:"satellite,omitempty" doc:"Name of the satellite that it is registered at."`
	LastKnownAt      *time.Time    `json:"lastKnownAt,omitempty" doc:"When that satellite spoke last, if it was removed since: authorization and usage are as of then, and count nowhere any more."`
	Usage            []InstanceUse `json:"usage" nullable:"false" doc:"What it uses now."`
}

// InstanceUse is what a product uses of a tag.
type InstanceUse struct {
	Tag     string    `json:"tag" doc:"License tag."`
	License string    `json:"license" doc:"Name of the license."`
	Count   int64     `json:"count" doc:"How many it uses."`
	Since   time.Time `json:"since" doc:"Since when."`
}

// InstanceMove says where a product goes.
type InstanceMove struct {
	VirtualAccount string `json:"virtualAccount" doc:"Virtual account to move to, by id or name."`
}

// Event is one entry of an account's chain. Seq counts from 1 without gaps.
type Event struct {
	Seq     int64     `json:"seq" doc:"Number of the event in its account, without gaps."`
	At      time.Time `json:"at" doc:"When it happened."`
	Actor   string    `json:"actor" doc:"Who did it: the id of a key, a session or a product instance."`
	Kind    string    `json:"kind" doc:"What happened, such as order.imported."`
	Subject string    `json:"subject" doc:"Id of what it happened to."`
	Data    any       `json:"data,omitempty" doc:"What else is recorded; its members depend on the kind."`
	Hash    string    `json:"hash" doc:"SHA-256 over the hash before and the event's bytes, in hexadecimal."`
}

// Verification is what a check of an account's events and books found.
type Verification struct {
	Events   int64    `json:"events" doc:"How many events were checked."`
	Problems []string `json:"problems" nullable:"false" doc:"What does not fit, one sentence each; empty when all is well."`
}

// Report is a report as JSON. Each item has the members that Columns names, in that order.
type Report struct {
	Kind    string           `json:"kind" doc:"Kind of report."`
	Columns []string         `json:"columns" nullable:"false" doc:"Names of the columns."`
	Items   []map[string]any `json:"items" nullable:"false" doc:"The rows."`
}
