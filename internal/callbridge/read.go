package callbridge

import (
	"context"
	"net/url"
	"slices"
	"time"
)

// Status reads /system/status.
func (c *Client) Status(ctx context.Context) (d Status, err error) {
	return d, c.Get(ctx, "/system/status", nil, &d)
}

// Multiparty reads /system/multipartyLicensing.
func (c *Client) Multiparty(ctx context.Context) (d Multiparty, err error) {
	return d, c.Get(ctx, "/system/multipartyLicensing", nil, &d)
}

// Licensing reads one of the two licensing documents, SystemLicensing or ClusterLicensing.
func (c *Client) Licensing(ctx context.Context, name string) (d Licensing, err error) {
	path := "/system/" + name
	if name == ClusterLicensing {
		path = "/" + name
	}
	return d, c.Get(ctx, path, nil, &d)
}

// SystemProfile reads /system/profiles.
func (c *Client) SystemProfile(ctx context.Context) (d SystemProfile, err error) {
	return d, c.Get(ctx, "/system/profiles", nil, &d)
}

// Tenant reads /tenants/{id}.
func (c *Client) Tenant(ctx context.Context, id Text) (d Tenant, err error) {
	return d, c.Get(ctx, "/tenants/"+url.PathEscape(string(id)), nil, &d)
}

// CoSpace reads /coSpaces/{id}.
func (c *Client) CoSpace(ctx context.Context, id Text) (d CoSpace, err error) {
	return d, c.Get(ctx, "/coSpaces/"+url.PathEscape(string(id)), nil, &d)
}

// User reads /users/{id}.
func (c *Client) User(ctx context.Context, id Text) (d User, err error) {
	return d, c.Get(ctx, "/users/"+url.PathEscape(string(id)), nil, &d)
}

// UserProfile reads /userProfiles/{id}.
func (c *Client) UserProfile(ctx context.Context, id Text) (d UserProfile, err error) {
	return d, c.Get(ctx, "/userProfiles/"+url.PathEscape(string(id)), nil, &d)
}

// Call reads /calls/{id}.
func (c *Client) Call(ctx context.Context, id Text) (d Call, err error) {
	return d, c.Get(ctx, "/calls/"+url.PathEscape(string(id)), nil, &d)
}

// Alarms reads all of /system/alarms.
func (c *Client) Alarms(ctx context.Context) ([]Alarm, error) {
	return all[Alarm, Alarms](ctx, c, "/system/alarms", nil, nil)
}

// Receivers reads all of /system/cdrReceivers.
func (c *Client) Receivers(ctx context.Context) ([]Receiver, error) {
	return all[Receiver, Receivers](ctx, c, "/system/cdrReceivers", nil, nil)
}

// CoSpaces reads all of /coSpaces.
func (c *Client) CoSpaces(ctx context.Context) ([]CoSpace, error) {
	return all[CoSpace, CoSpaces](ctx, c, "/coSpaces", nil, nil)
}

// Users reads all of /users.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	return all[User, Users](ctx, c, "/users", nil, nil)
}

// UserProfiles reads all of /userProfiles.
func (c *Client) UserProfiles(ctx context.Context) ([]UserProfile, error) {
	return all[UserProfile, UserProfiles](ctx, c, "/userProfiles", nil, nil)
}

// LDAPSources reads all of /ldapSources.
func (c *Client) LDAPSources(ctx context.Context) ([]LDAPSource, error) {
	return all[LDAPSource, LDAPSources](ctx, c, "/ldapSources", nil, nil)
}

// Calls reads /calls, each call once. Calls begin and end while they are listed, which is no reason to read them again.
func (c *Client) Calls(ctx context.Context) ([]Call, error) {
	read, _, err := readThrough[Call, Calls](ctx, c, "/calls", nil, nil, true)
	seen := make(map[Text]bool, len(read))
	return slices.DeleteFunc(read, func(call Call) bool {
		again := seen[call.ID]
		seen[call.ID] = true
		return again
	}), err
}

// ActiveLicenses reads all of /system/multipartyLicensing/activePersonalLicenses.
func (c *Client) ActiveLicenses(ctx context.Context) ([]ActiveLicense, error) {
	return all[ActiveLicense, ActiveLicenses](ctx, c, "/system/multipartyLicensing/activePersonalLicenses", nil, nil)
}

// KnownHosts reads all of /system/MPLicenseUsage/knownHosts.
func (c *Client) KnownHosts(ctx context.Context) ([]Host, error) {
	return all[Host, KnownHosts](ctx, c, "/system/MPLicenseUsage/knownHosts", nil, nil)
}

// Snapshots reads the snapshots of one host that are newer than an instant, the newest first. An old server that does not
// know startTime is not read further than that instant.
func (c *Client) Snapshots(ctx context.Context, host Text, after time.Time) ([]Snapshot, error) {
	query := url.Values{}
	if host != "" {
		query.Set("hostId", string(host))
	}
	if !after.IsZero() {
		query.Set("startTime", after.UTC().Format(time.RFC3339))
	}
	read, err := all[Snapshot, Usage](ctx, c, "/system/MPLicenseUsage", query, func(part []Snapshot) bool {
		return len(part) > 0 && !part[len(part)-1].Time.After(after)
	})
	out := make([]Snapshot, 0, len(read))
	for _, s := range read {
		if s.Time.After(after) {
			out = append(out, s)
		}
	}
	return out, err
}
