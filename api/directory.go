package api

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// LDAPMapping makes users of entries, by mapping expressions: text mixed with $attribute$ or
// $attribute|'/regex/replacement/option'$.
type LDAPMapping struct {
	JID               string `json:"jid,omitempty" doc:"The JID, such as $sAMAccountName$@acme.example; an entry without one of its attributes is left out."`
	Name              string `json:"name,omitempty" doc:"Name as people write it, such as $cn$."`
	UserID            string `json:"userId,omitempty" doc:"The sign-in name; schedulers name people by it."`
	Email             string `json:"email,omitempty" doc:"Address for mail; $mail$ when left out."`
	CDRTag            string `json:"cdrTag,omitempty" doc:"Tag that the call bridge puts on records."`
	SpaceURI          string `json:"spaceUri,omitempty" doc:"Address of the user's own space; only looked at for clashes."`
	SpaceSecondaryURI string `json:"spaceSecondaryUri,omitempty" doc:"Second address of the user's own space; only looked at for clashes."`
	SpaceCallID       string `json:"spaceCallId,omitempty" doc:"Call id of the user's own space; only looked at for clashes."`
}

// LDAPLimits are the bounds of a change beyond which it waits for a person.
type LDAPLimits struct {
	Removals int `json:"removals,omitempty" minimum:"0" maximum:"100" doc:"Percent of the source's users that may go without asking; 10 when left out."`
	Licenses int `json:"licenses,omitempty" minimum:"0" maximum:"100" doc:"Percent of all personal licenses that may be taken away without asking; 10 when left out."`
}

// NewLDAPSource describes a part of a directory server that is to be a source of the directory. In a change, what is left out stays.
type NewLDAPSource struct {
	Name          *string      `json:"name,omitempty" doc:"Name of 1 to 128 characters; not in a change."`
	Like          *string      `json:"like,omitempty" doc:"Another source whose server and sign-in this one uses too; not in a change."`
	URL           *string      `json:"url,omitempty" doc:"ldaps://HOST[:PORT] or ldap://HOST[:PORT]."`
	StartTLS      *bool        `json:"startTls,omitempty" doc:"Encrypt an ldap:// connection before anything is said."`
	CA            *string      `json:"ca,omitempty" doc:"PEM certificates of the CA that the server's certificate comes from."`
	Fingerprint   *string      `json:"fingerprint,omitempty" doc:"SHA-256 of the server's certificate, or of a CA's that it presents, in the place of ca."`
	BindDN        *string      `json:"bindDn,omitempty" doc:"Who signs in; nobody in particular when left out."`
	Password      *string      `json:"password,omitempty" doc:"Password of bindDn; kept encrypted and never shown."`
	PlaintextBind *bool        `json:"plaintextBind,omitempty" doc:"Let the password go unencrypted to another machine."`
	BaseDN        *string      `json:"baseDn,omitempty" doc:"Where the tree begins."`
	Filter        *string      `json:"filter,omitempty" doc:"Which entries; all when left out."`
	Mapping       *LDAPMapping `json:"mapping,omitempty" doc:"What entries become; in a change, expressions that are left out stay."`
	Tenant        *string      `json:"tenant,omitempty" doc:"Tenant of the users, by name or GUID."`
	Personal      *string      `json:"personal,omitempty" doc:"Whether the users hold a personal license: yes, no, or inherit from the tenant and the system."`
	NoPaging      *bool        `json:"noPaging,omitempty" doc:"For servers that do not know paged results."`
	Every         *string      `json:"every,omitempty" doc:"How often it is read, such as 6h, which is usual; 0 for on demand only."`
	Limits        *LDAPLimits  `json:"limits,omitempty" doc:"The bounds of a change."`
}

// LDAPSource is a part of a directory server that is a source of the directory.
type LDAPSource struct {
	ID            string        `json:"id" doc:"Id, lds_…"`
	Name          string        `json:"name" doc:"Name."`
	Server        string        `json:"server" doc:"Id of the server and its sign-in, ldp_…; sources that share it were added with like."`
	URL           string        `json:"url" doc:"Address of the server."`
	StartTLS      bool          `json:"startTls" doc:"Whether the connection is encrypted by StartTLS."`
	CA            string        `json:"ca,omitempty" doc:"PEM certificates of the CA."`
	Fingerprint   string        `json:"fingerprint,omitempty" doc:"Pinned fingerprint."`
	BindDN        string        `json:"bindDn,omitempty" doc:"Who signs in."`
	PlaintextBind bool          `json:"plaintextBind,omitempty" doc:"Whether the password may go unencrypted."`
	BaseDN        string        `json:"baseDn" doc:"Where the tree begins."`
	Filter        string        `json:"filter,omitempty" doc:"Which entries."`
	Mapping       LDAPMapping   `json:"mapping" doc:"What entries become."`
	Tenant        string        `json:"tenant,omitempty" doc:"Tenant of the users."`
	Personal      string        `json:"personal" doc:"yes, no or inherit."`
	NoPaging      bool          `json:"noPaging,omitempty" doc:"Whether it is read without pages."`
	Every         string        `json:"every" doc:"How often it is read; 0s for on demand only."`
	Limits        LDAPLimits    `json:"limits" doc:"The bounds of a change."`
	AddedAt       time.Time     `json:"addedAt" doc:"When it was added."`
	NextAt        *time.Time    `json:"nextAt,omitempty" doc:"When it is read next by itself."`
	Users         int64         `json:"users" doc:"How many of its users are in force."`
	Held          string        `json:"held,omitempty" doc:"Id of the run that waits for a person."`
	Last          *DirectoryRun `json:"last,omitempty" doc:"Its last reading."`
}

// LDAPTest is what the first entries of a source would become.
type LDAPTest struct {
	Source   string          `json:"source" doc:"Id of the source."`
	Entries  []LDAPTestEntry `json:"entries" nullable:"false" doc:"The first entries."`
	More     bool            `json:"more" doc:"Whether there are more."`
	Personal bool            `json:"personalLicense" doc:"Whether its users would hold a personal license, if no other source says anything."`
	Level    string          `json:"level,omitempty" doc:"Who says so: source, tenant or system; absent where nobody does."`
}

// LDAPTestEntry is an entry and the user it would become, or why it would be left out.
type LDAPTestEntry struct {
	DN     string           `json:"dn" doc:"Distinguished name."`
	User   *DirectoryPerson `json:"user,omitempty" doc:"The user."`
	Skip   string           `json:"skip,omitempty" doc:"Code of the reason to leave it out."`
	Detail string           `json:"detail,omitempty" doc:"The attribute, or what is wrong."`
	Text   string           `json:"text,omitempty" doc:"The reason in a few words."`
}

// DirectorySource is what the directory is made of: the file, an LDAP source, a call bridge.
type DirectorySource struct {
	Kind       string        `json:"kind" doc:"file, ldap or callbridge."`
	ID         string        `json:"id,omitempty" doc:"Id; none of the file."`
	Name       string        `json:"name" doc:"Name."`
	Tenant     string        `json:"tenant,omitempty" doc:"Tenant of its users."`
	Personal   string        `json:"personal,omitempty" doc:"What it says of the license of all its users."`
	Users      int64         `json:"users" doc:"How many users of it are in force."`
	Spaces     int64         `json:"spaces" doc:"How many spaces of it are in force."`
	AcceptedAt *time.Time    `json:"acceptedAt,omitempty" doc:"When it last changed."`
	AcceptedBy string        `json:"acceptedBy,omitempty" doc:"Who brought that about."`
	Held       string        `json:"held,omitempty" doc:"Id of the run that waits for a person."`
	Last       *DirectoryRun `json:"last,omitempty" doc:"Its last reading."`
}

// DirectoryRun is one reading of a source and what became of it.
type DirectoryRun struct {
	ID         string           `json:"id,omitempty" doc:"Id, run_…; none of a preview."`
	Kind       string           `json:"kind" doc:"file, ldap or callbridge."`
	Source     string           `json:"source,omitempty" doc:"Id of the source; none of the file."`
	Name       string           `json:"name,omitempty" doc:"Name of the source."`
	State      string           `json:"state" doc:"complete, unchanged, held, accepted, superseded, failed or preview."`
	StartedAt  time.Time        `json:"startedAt" doc:"When it began."`
	EndedAt    time.Time        `json:"endedAt" doc:"When it ended."`
	By         string           `json:"by,omitempty" doc:"Id of the key, or schedule."`
	AcceptedAt *time.Time       `json:"acceptedAt,omitempty" doc:"When a person agreed."`
	AcceptedBy string           `json:"acceptedBy,omitempty" doc:"Who agreed."`
	Version    int64            `json:"version,omitempty" doc:"Version of the directory that it put in force."`
	Entries    int64            `json:"entries" doc:"Entries read."`
	Users      int64            `json:"users" doc:"Users they became."`
	Skipped    int64            `json:"skipped" doc:"Entries left out."`
	Clashes    int64            `json:"clashes" doc:"Contradictions within the source."`
	Added      int64            `json:"added" doc:"Users that were not known to the source before."`
	Removed    int64            `json:"removed" doc:"Users that the source does not know any more."`
	Gained     int64            `json:"gained" doc:"Users who gain a personal license."`
	Lost       int64            `json:"lost" doc:"Users who lose one."`
	Reasons    []HoldReason     `json:"reasons,omitempty" nullable:"false" doc:"Why it is held."`
	Code       string           `json:"code,omitempty" doc:"Code of the failure."`
	Detail     string           `json:"detail,omitempty" doc:"The failure as a sentence."`
	Hint       string           `json:"hint,omitempty" doc:"What to do about it."`
	Referrals  int              `json:"referrals,omitempty" doc:"References to other servers, which are not followed."`
	Skips      []LDAPTestEntry  `json:"skips,omitempty" nullable:"false" doc:"The first hundred entries left out."`
	Twice      []DirectoryClash `json:"clashList,omitempty" nullable:"false" doc:"The first hundred clashes."`
}

// HoldReason is why a change waits for a person.
type HoldReason struct {
	Code  string `json:"code" doc:"empty, removals, licenses or spaces."`
	Text  string `json:"text" doc:"The reason as a sentence."`
	Lost  int    `json:"lost" doc:"How many would go."`
	Of    int    `json:"of" doc:"Of how many."`
	Limit int    `json:"limit,omitempty" doc:"How many percent may go without asking."`
}

// DirectoryPerson is a user of the directory in force.
type DirectoryPerson struct {
	JID             string   `json:"jid" doc:"Identifier such as alice@acme.example."`
	Name            string   `json:"name,omitempty" doc:"Name as people write it."`
	UserID          string   `json:"userId,omitempty" doc:"The sign-in name."`
	Email           string   `json:"email,omitempty" doc:"Address for mail."`
	GUID            string   `json:"guid,omitempty" doc:"Identifier in the directory server."`
	CDRTag          string   `json:"cdrTag,omitempty" doc:"Tag on records."`
	PersonalLicense bool     `json:"personalLicense" doc:"Whether the user holds a personal license."`
	Level           string   `json:"level,omitempty" doc:"Who says so: source, tenant or system; absent where nobody does."`
	By              string   `json:"by,omitempty" doc:"The source that decided."`
	Sources         []string `json:"sources,omitempty" nullable:"false" doc:"Who knows the user, the strongest first."`
}

// KnownSpace is a space of the directory in force.
type KnownSpace struct {
	ID              string     `json:"id" doc:"GUID of the space on the call bridge."`
	Name            string     `json:"name,omitempty" doc:"Name."`
	Owner           string     `json:"owner,omitempty" doc:"The owner, by JID or GUID, as a source names it."`
	NamedBy         string     `json:"namedBy,omitempty" doc:"The source that names the owner."`
	JID             string     `json:"jid,omitempty" doc:"JID of the owner; absent where the owner is not among the users, so that meetings of the space take shared licenses."`
	PersonalLicense bool       `json:"personalLicense" doc:"Whether the owner holds a personal license."`
	Bridges         []string   `json:"bridges,omitempty" nullable:"false" doc:"Names of the bridges whose API has the space."`
	Sources         []string   `json:"sources,omitempty" nullable:"false" doc:"Who knows the space, the strongest first."`
	SeenAt          *time.Time `json:"seenAt,omitempty" doc:"When one of its sources was read to its end last."`
}

// DirectoryClash is a contradiction within a source or between two, and how it was resolved.
type DirectoryClash struct {
	Code    string `json:"code" doc:"jid-twice, space-uri-twice, call-id-twice, license-differs, guid-differs, guid-twice or user-id-twice."`
	Text    string `json:"text" doc:"The clash as a sentence."`
	Value   string `json:"value" doc:"What clashes."`
	Kept    string `json:"kept" doc:"The entry or source that counts."`
	Dropped string `json:"dropped" doc:"The one that does not."`
}

// DirectoryChange is what changed for one user.
type DirectoryChange struct {
	Day     string    `json:"day" doc:"Day, UTC."`
	At      time.Time `json:"at" doc:"When it came into force."`
	Version int64     `json:"version" doc:"Version of the directory."`
	JID     string    `json:"jid" doc:"The user."`
	Name    string    `json:"name,omitempty" doc:"The user's name."`
	What    string    `json:"what" doc:"appeared, disappeared, gained or lost; the last two of a personal license."`
	Source  string    `json:"source,omitempty" doc:"The source it came from."`
	By      string    `json:"by,omitempty" doc:"Who brought it about."`
}

// DirectoryDefault is what holds for the personal license where a source says nothing.
type DirectoryDefault struct {
	Tenant   string `json:"tenant,omitempty" doc:"Tenant; absent for the whole system."`
	Personal string `json:"personal" doc:"What is set: yes, no, or inherit for nothing."`
	InForce  string `json:"inForce,omitempty" readOnly:"true" doc:"What holds where a source says nothing, yes or no: what is set, or what the system has, where nothing said is no."`
}

func ldapAt(account string, more ...string) string {
	return at(append([]string{"accounts", account, "conference", "ldap"}, more...)...)
}

func directoryAt(account string, more ...string) string {
	return at(append([]string{"accounts", account, "conference", "directory"}, more...)...)
}

// AddLDAPSource adds an LDAP source; nothing is read yet.
func (c *Client) AddLDAPSource(ctx context.Context, account string, source NewLDAPSource) (LDAPSource, error) {
	return write[LDAPSource](ctx, c, http.MethodPost, ldapAt(account), source)
}

// ChangeLDAPSource changes what is given of an LDAP source.
func (c *Client) ChangeLDAPSource(ctx context.Context, account, source string, change NewLDAPSource) (LDAPSource, error) {
	return write[LDAPSource](ctx, c, http.MethodPatch, ldapAt(account, source), change)
}

// LDAPSources lists the LDAP sources.
func (c *Client) LDAPSources(ctx context.Context, account string) iter.Seq2[LDAPSource, error] {
	return pages[LDAPSource](ctx, c, ldapAt(account), nil)
}

// LDAPSource finds an LDAP source by id or name.
func (c *Client) LDAPSource(ctx context.Context, account, source string) (LDAPSource, error) {
	return get[LDAPSource](ctx, c, ldapAt(account, source), nil)
}

// RemoveLDAPSource removes a source with the users that only it knew; accept agrees to losing many.
func (c *Client) RemoveLDAPSource(ctx context.Context, account, source string, accept bool) (DirectorySummary, error) {
	return send[DirectorySummary](ctx, c, http.MethodDelete, ldapAt(account, source), query("accept", truth(accept)), "", nil)
}

// TestLDAPSource reads the first entries of a source and changes nothing.
func (c *Client) TestLDAPSource(ctx context.Context, account, source string) (LDAPTest, error) {
	return send[LDAPTest](ctx, c, http.MethodPost, ldapAt(account, source, "test"), nil, "", nil)
}

// SyncLDAPSource reads a source now; with preview it says what that would change and changes nothing.
func (c *Client) SyncLDAPSource(ctx context.Context, account, source string, preview bool) (DirectoryRun, error) {
	return send[DirectoryRun](ctx, c, http.MethodPost, ldapAt(account, source, "sync"), query("preview", truth(preview)), "", nil)
}

// DirectorySources lists what the directory is made of.
func (c *Client) DirectorySources(ctx context.Context, account string) iter.Seq2[DirectorySource, error] {
	return pages[DirectorySource](ctx, c, directoryAt(account, "sources"), nil)
}

// AcceptDirectorySource agrees to a change that is held. The source is named by id or name.
func (c *Client) AcceptDirectorySource(ctx context.Context, account, source string) (DirectoryRun, error) {
	return send[DirectoryRun](ctx, c, http.MethodPost, directoryAt(account, "sources", source, "accept"), nil, "", nil)
}

// DirectoryRuns lists the history, the newest first, of one source or, with an empty one, of all.
func (c *Client) DirectoryRuns(ctx context.Context, account, source string) iter.Seq2[DirectoryRun, error] {
	return pages[DirectoryRun](ctx, c, directoryAt(account, "runs"), query("source", source))
}

// DirectoryUsers lists the users in force.
func (c *Client) DirectoryUsers(ctx context.Context, account string) iter.Seq2[DirectoryPerson, error] {
	return pages[DirectoryPerson](ctx, c, directoryAt(account, "users"), nil)
}

// DirectorySpaces lists the spaces in force.
func (c *Client) DirectorySpaces(ctx context.Context, account string) iter.Seq2[KnownSpace, error] {
	return pages[KnownSpace](ctx, c, directoryAt(account, "spaces"), nil)
}

// DirectoryClashes lists the contradictions and how they were resolved.
func (c *Client) DirectoryClashes(ctx context.Context, account string) iter.Seq2[DirectoryClash, error] {
	return pages[DirectoryClash](ctx, c, directoryAt(account, "clashes"), nil)
}

// DirectoryChanges lists who appeared, disappeared, gained or lost a personal license in a period; zero times are open.
func (c *Client) DirectoryChanges(ctx context.Context, account string, from, to time.Time) iter.Seq2[DirectoryChange, error] {
	return pages[DirectoryChange](ctx, c, directoryAt(account, "changes"), query("from", instant(from), "to", instant(to)))
}

// DirectoryDefaults lists what holds where a source says nothing.
func (c *Client) DirectoryDefaults(ctx context.Context, account string) iter.Seq2[DirectoryDefault, error] {
	return pages[DirectoryDefault](ctx, c, directoryAt(account, "defaults"), nil)
}

// SetDirectoryDefault sets what holds where a source says nothing; accept agrees to losing many licenses.
func (c *Client) SetDirectoryDefault(ctx context.Context, account string, d DirectoryDefault, accept bool) (DirectorySummary, error) {
	path := directoryAt(account, "defaults")
	if accept {
		path += "?accept=true"
	}
	return write[DirectorySummary](ctx, c, http.MethodPut, path, d)
}

// ReplaceDirectory is ImportDirectory for a file that takes away much, on purpose.
func (c *Client) ReplaceDirectory(ctx context.Context, account string, file []byte) (DirectorySummary, error) {
	return send[DirectorySummary](ctx, c, http.MethodPut, directoryAt(account), query("accept", "true"), "application/json", file)
}

func truth(yes bool) string {
	if yes {
		return "true"
	}
	return ""
}
