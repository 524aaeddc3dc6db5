package directory

import "strings"

// Flag is what somebody says of the personal license of users: yes, no, or nothing.
type Flag string

// The flags. Inherit leaves it to the tenant's default, and that one to the system's.
const (
	Inherit Flag = "inherit"
	Yes     Flag = "yes"
	No      Flag = "no"
)

// ParseFlag reads a flag; empty is Inherit.
func ParseFlag(s string) (Flag, bool) {
	switch f := Flag(strings.ToLower(strings.TrimSpace(s))); f {
	case "":
		return Inherit, true
	case Inherit, Yes, No:
		return f, true
	}
	return "", false
}

// FlagOf is the flag of a truth.
func FlagOf(yes bool) Flag {
	if yes {
		return Yes
	}
	return No
}

// User is a person as one source knows them. JID is in lower case.
type User struct {
	JID    string `json:"jid"`
	Name   string `json:"name,omitempty"`
	UserID string `json:"userId,omitempty"`
	Email  string `json:"email,omitempty"`
	GUID   string `json:"guid,omitempty"`
	CDRTag string `json:"cdrTag,omitempty"`
	// Personal is what the source says of this very user; empty where it says the same of all its users.
	Personal Flag `json:"personal,omitempty"`
}

// Space is a permanent space as one source knows it. ID and Owner are in lower case.
type Space struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Owner string `json:"owner,omitempty"`
}

// Device is an endpoint that calls for a person. Party is as meeting.Party writes it, Owner in lower case.
type Device struct {
	Party string `json:"party"`
	Owner string `json:"owner"`
}

// Clash is a contradiction that was resolved: what was kept, what was dropped. Kept and Dropped name entries or sources.
type Clash struct {
	Code    string `json:"code"`
	Value   string `json:"value"`
	Kept    string `json:"kept"`
	Dropped string `json:"dropped"`
}

// The codes of clashes.
const (
	ClashJID     = "jid-twice"
	ClashURI     = "space-uri-twice"
	ClashCallID  = "call-id-twice"
	ClashLicense = "license-differs"
	ClashGUID    = "guid-twice"
	ClashUserID  = "user-id-twice"
	ClashPerson  = "guid-differs"
)

// Text is the clash as a sentence.
func (c Clash) Text() string {
	switch c.Code {
	case ClashJID:
		return "two entries are the user " + c.Value + ": " + c.Kept + " is imported, " + c.Dropped + " is not"
	case ClashURI:
		return "the space address " + c.Value + " is that of " + c.Kept + " and of " + c.Dropped + "; the latter gets no space"
	case ClashCallID:
		return "the call id " + c.Value + " is that of " + c.Kept + " and of " + c.Dropped + "; the latter gets no space"
	case ClashLicense:
		return "sources differ on the personal license of " + c.Value + ": " + c.Kept + " decides, not " + c.Dropped
	case ClashPerson:
		return "sources differ on who " + c.Value + " is, by the GUID: that of " + c.Kept + " counts, not that of " + c.Dropped
	case ClashGUID:
		return "the GUID " + c.Value + " belongs to " + c.Kept + " and to " + c.Dropped
	case ClashUserID:
		return "the user id " + c.Value + " belongs to " + c.Kept + " and to " + c.Dropped
	}
	return c.Code + ": " + c.Value + ", kept " + c.Kept + ", dropped " + c.Dropped
}
