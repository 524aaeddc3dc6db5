package callbridge

import (
	"context"
	"maps"
	"net/url"
	"strconv"

	"github.com/tallystick/tallystick/internal/license"
)

// page is a document that is one part of a list.
type page[T any] interface {
	parts() (total int, items []T)
}

func (d *CoSpaces) parts() (int, []CoSpace)             { return int(d.Total), d.Spaces }
func (d *Users) parts() (int, []User)                   { return int(d.Total), d.Users }
func (d *UserProfiles) parts() (int, []UserProfile)     { return int(d.Total), d.Profiles }
func (d *LDAPSources) parts() (int, []LDAPSource)       { return int(d.Total), d.Sources }
func (d *Calls) parts() (int, []Call)                   { return int(d.Total), d.Calls }
func (d *CallLegs) parts() (int, []CallLeg)             { return int(d.Total), d.Legs }
func (d *Alarms) parts() (int, []Alarm)                 { return int(d.Total), d.Alarms }
func (d *Usage) parts() (int, []Snapshot)               { return int(d.Total), d.Entries }
func (d *KnownHosts) parts() (int, []Host)              { return int(d.Total), d.Hosts }
func (d *Receivers) parts() (int, []Receiver)           { return int(d.Total), d.Receivers }
func (d *ActiveLicenses) parts() (int, []ActiveLicense) { return int(d.Total), d.Users }

// all follows a list to its end. Offsets go on from what came, as a server gives fewer than are asked for; enough, when it is
// not nil, ends it early. A list whose total changes on the way is read again from its start, so that nothing is left out or
// taken twice.
func all[T any, D any, P interface {
	*D
	page[T]
}](ctx context.Context, c *Client, path string, query url.Values, enough func([]T) bool) ([]T, error) {
	for range maxReads {
		items, steady, err := readThrough[T, D, P](ctx, c, path, query, enough, false)
		if err != nil || steady {
			return items, err
		}
	}
	return nil, license.Refuse(license.KindUnavailable, "bridge-unsteady", "it is read again at the next turn", "the list %s of the call bridge changed each time while it was read", path)
}

// readThrough reads a list once. A list that is always in motion is not steady, and what was read of it is taken as it is.
func readThrough[T any, D any, P interface {
	*D
	page[T]
}](ctx context.Context, c *Client, path string, query url.Values, enough func([]T) bool, moving bool) (items []T, steady bool, err error) {
	first := -1
	for range maxPages {
		asked := maps.Clone(query)
		if asked == nil {
			asked = url.Values{}
		}
		asked.Set("offset", strconv.Itoa(len(items)))
		asked.Set("limit", strconv.Itoa(pageSize))
		doc := new(D)
		if err := c.Get(ctx, path, asked, doc); err != nil {
			return nil, false, err
		}
		total, part := P(doc).parts()
		if first < 0 {
			first = total
		}
		if total != first && !moving {
			return nil, false, nil
		}
		items = append(items, part...)
		switch {
		case len(items) > maxItems || total > maxItems && enough == nil:
			return nil, false, license.Refuse(license.KindTooLarge, "bridge-list-too-long", "split the cluster, or tell us of it", "the list %s of the call bridge has more than %d entries", path, maxItems)
		case len(items) >= total, enough != nil && enough(part):
			return items, true, nil
		case len(part) == 0:
			return items, moving, nil // it says that there is more and does not give it
		}
	}
	return nil, false, nil
}
