package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/internal/license"
)

// reword makes a refusal that a person can act on out of what went wrong with a server. doing is a verb.
func reword(ctx context.Context, s Server, doing string, err error) error {
	if e := license.AsError(err); e != nil {
		return e
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	refuse := func(kind license.Kind, code, hint, message string, args ...any) error {
		e := license.Refuse(kind, code, hint, message, args...)
		e.Err = err
		return e
	}
	entries := 0
	if broken, ok := errors.AsType[*brokenOff](err); ok {
		entries = broken.entries
	}
	server, said := s.URL, words(err)
	encryption, _ := errors.AsType[*tlsError](err)
	switch {
	case encryption != nil:
		return refuse(license.KindUnavailable, "ldap-tls", "check the name in --ldap, and --ca or --fingerprint; openssl s_client -showcerts shows what the server presents",
			"no trusted encryption with %s: %s", server, said)
	case errors.Is(err, errTooMany):
		return refuse(license.KindTooLarge, "ldap-too-large", "narrow the filter or the base DN", "the answer of %s has %s; nothing was changed", server, errTooMany)
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded):
		return refuse(license.KindUnavailable, "ldap-size-limit",
			"let the server give the service user everything (a size limit of its own), or read with paged results; a part is never taken for the whole",
			"%s ended its answer at its size limit, after %d entries; nothing was changed", server, entries)
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultTimeLimitExceeded):
		return refuse(license.KindUnavailable, "ldap-time-limit", "index the attributes of the filter, or let the service user take longer",
			"%s ended its answer at its time limit, after %d entries; nothing was changed", server, entries)
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultInappropriateAuthentication):
		return refuse(license.KindRefused, "ldap-credentials", "check --bind-dn and the password file, and that the account is not locked and may read below the base DN",
			"%s does not let this user %s: %s", server, doing, said)
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax):
		return refuse(license.KindRefused, "ldap-base-dn", "check --base-dn", "%s has nothing at the base DN: %s", server, said)
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultReferral):
		return refuse(license.KindRefused, "ldap-referral", "name the server that holds the tree; referrals are not followed", "%s refers to another server", server)
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultUnavailableCriticalExtension, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultConfidentialityRequired,
		ldap.LDAPResultStrongAuthRequired):
		return refuse(license.KindRefused, "ldap-unwilling", "a server without paged results wants --no-paging; one that wants encryption --start-tls or ldaps://",
			"%s refuses to %s: %s", server, doing, said)
	case entries > 0:
		return refuse(license.KindUnavailable, "ldap-broken-off", "look at the server and the network; it is tried again by itself",
			"the answer of %s broke off after %d entries; nothing was changed: %s", server, entries, said)
	}
	return refuse(license.KindUnavailable, "ldap-unreachable", "check --ldap, the network, and that the directory server runs", "%s does not answer as expected (to %s): %s",
		server, doing, said)
}

// words are an error's, as one short line.
func words(err error) string {
	if e, ok := errors.AsType[*ldap.Error](err); ok && e.ResultCode < ldap.ErrorNetwork {
		text := ldap.LDAPResultCodeMap[e.ResultCode]
		if e.Err != nil && e.Err.Error() != "" {
			text += ", " + e.Err.Error()
		}
		err = errors.New(text)
	}
	text := clean(strings.ToValidUTF8(strings.NewReplacer("\n", " ", "\r", " ").Replace(err.Error()), "?"))
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
