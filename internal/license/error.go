package license

import (
	"errors"
	"fmt"
)

// Kind says what sort of refusal an Error is. Faces translate kinds, never codes: web into status numbers, the programs
// into exit codes, each in one table.
type Kind int

// The kinds. Their order is no contract.
const (
	KindInvalid     Kind = iota + 1 // the request itself is wrong: malformed, out of range
	KindRefused                     // a rule says no
	KindNotFound                    // the thing does not exist, or may not be known to the caller
	KindConflict                    // the state has moved on; the message says where it is
	KindPermission                  // the caller is known and may not do this
	KindUnknown                     // the caller is not known: no key, a wrong key
	KindTooLarge                    // above a documented bound
	KindBusy                        // over-load; try again after the time the face states
	KindUnavailable                 // a part that is needed is away; try again later
)

// Error is the only error whose text leaves a process. Code is stable and documented; Message is a sentence for people;
// Hint says what to do next. Err, when set, is the cause, for the log only.
type Error struct {
	Kind    Kind
	Code    string
	Message string
	Hint    string
	Err     error
}

// Error returns the message and, for the log, the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refuse makes an Error; the message is formatted with args.
func Refuse(kind Kind, code, hint, message string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(message, args...), Hint: hint}
}

// NotFound is the refusal for a thing that is not there. What is a noun such as "virtual account"; the hint says where such
// things are found.
func NotFound(what, name string) *Error {
	return Refuse(KindNotFound, "not-found", whereToFind(what), "there is no %s %.140q", what, name)
}

func whereToFind(what string) string {
	switch what {
	case "account":
		return "`tally account list` shows the accounts"
	case "virtual account":
		return "`tally va list` shows the virtual accounts"
	case "token":
		return "`tally token list` shows the tokens; name one by its id"
	case "product instance":
		return "`tally instance list` shows the product instances; name one by id, UDI, serial number or host name"
	case "reservation":
		return "`tally reservation list` shows the reservations; name one by id, request code, UDI or serial number"
	case "rehost":
		return "`tally reservation rehost list` shows the rehosts; name one by its id"
	case "order":
		return "`tally order list` shows the orders; name one by number or id"
	case "license":
		return "`tally license list` shows the licenses; name one by its tag"
	case "report":
		return "the reports are licenses, subscriptions, instances, usage and meetings"
	case "meeting":
		return "`tally meeting list` shows the meetings; name one by its id"
	case "bridge":
		return "`tally conference bridge list` shows the call bridges"
	case "LDAP source":
		return "`tally conference ldap list` shows the LDAP sources"
	case "directory source":
		return "`tally conference directory show --sources` shows the sources of the directory"
	case "machine verb":
		return "the verbs are register, authorize, renew, deregister and hello"
	}
	return "list what there is, then name one by its id or its name"
}

// AsError finds the license.Error in err, or returns nil.
func AsError(err error) *Error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	return e
}
